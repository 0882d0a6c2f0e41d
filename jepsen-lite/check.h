/* The judge: a history in, a verdict on each workload out. */
#ifndef HF_JEPSEN_CHECK_H
#define HF_JEPSEN_CHECK_H

#include <stdio.h>

#include "base/bytes.h"
#include "jepsen-lite/check_history.h"

enum {
    CHECK_OK_MIN = 100,      /* fewer ok operations: the run is void */
    CHECK_FINDINGS_MAX = 10, /* of a workload that are kept; all are counted */
    CHECK_FINDING_OPS = 40,  /* operations of a finding that are kept */
};

enum verdict { VERDICT_VALID, VERDICT_INVALID, VERDICT_UNKNOWN, VERDICT_NONE };

/* One violation. */
struct finding {
    const char *anomaly; /* its name */
    char *text;          /* what is wrong, in sentences */
    uint32_t *ops;       /* numbers of operations that prove it, by time */
    uint32_t *tags;      /* the place of each in the text's order, from 1 */
    bool ring; /* a circle of transactions: the text names them by tag */
    size_t n_ops;
    size_t n_all; /* before CHECK_FINDING_OPS */
};

struct judged {
    enum verdict verdict;
    uint64_t ops;
    uint64_t count[3]; /* by enum op_end */
    struct finding findings[CHECK_FINDINGS_MAX];
    size_t n_findings;
    uint64_t violations; /* all, also those not kept */
    char *unknown;       /* why; NULL: not unknown */
    char *how;           /* what was looked at, for the table */
};

struct check {
    struct history *h;   /* borrowed */
    uint64_t states_max; /* of one search; see check_wgl.h */
    uint64_t ok_min;
    struct judged w[W_COUNT];
    char *void_why; /* NULL: the run counts */
};

/* Exit status of holdfast-check. */
enum {
    CHECK_VALID = 0,
    CHECK_VIOLATION = 1,
    CHECK_UNREADABLE = 2,
    CHECK_UNKNOWN = 3
};

void check_init(struct check *c, struct history *h);
void check_release(struct check *c);

/* Judge all; returns CHECK_VALID, CHECK_VIOLATION or CHECK_UNKNOWN. */
int check_run(struct check *c);
/* The status again, and its word. */
int check_status(const struct check *c);
const char *check_word(int status);

/* Reports of a check that has run. */
void check_text(const struct check *c, FILE *out);
void check_json(const struct check *c, FILE *out);
void check_timeline(const struct check *c, FILE *out);

#endif
