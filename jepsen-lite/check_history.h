/* A run as it was written down (HISTORY.md), read into memory.
 *
 * Everything lives until history_free(). Times are nanoseconds of the run's
 * monotonic clock. Strings are interned: equal numbers, equal text; 0 is "no
 * string". */
#ifndef HF_JEPSEN_CHECK_HISTORY_H
#define HF_JEPSEN_CHECK_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum {
    HISTORY_LINE_MAX = 64 << 20, /* bytes of a line; beyond: unreadable */
    HISTORY_OPS_MAX = 20000000,  /* operations; beyond: unreadable */
    HISTORY_NODES_MAX = 64,
};

/* W(ENUM, "name") and F(ENUM, "name") as in the files. */
#define CHECK_WORKLOADS(W)  \
    W(REGISTER, "register") \
    W(APPEND, "append")     \
    W(SET, "set")           \
    W(COUNTER, "counter")   \
    W(BANK, "bank")         \
    W(IDS, "ids")           \
    W(LOCK, "lock")         \
    W(STALE, "stale")       \
    W(TTL, "ttl")           \
    W(FEED, "feed")         \
    W(TRACKING, "tracking") \
    W(WATCH, "watch")       \
    W(STATE, "state")

#define CHECK_FUNCTIONS(F)  \
    F(READ, "read")         \
    F(WRITE, "write")       \
    F(CAS, "cas")           \
    F(TXN, "txn")           \
    F(ADD, "add")           \
    F(TRANSFER, "transfer") \
    F(INIT, "init")         \
    F(GEN, "gen")           \
    F(ACQUIRE, "acquire")   \
    F(RELEASE, "release")   \
    F(GUARD, "guard")       \
    F(SET, "set")           \
    F(WATCH, "watch")       \
    F(EXEC, "exec")         \
    F(POLL, "poll")         \
    F(TOLD, "told")         \
    F(STATE, "state")

enum workload {
#define W(id, name) W_##id,
    CHECK_WORKLOADS(W)
#undef W
        W_COUNT
};

enum function {
#define F(id, name) F_##id,
    CHECK_FUNCTIONS(F)
#undef F
        F_COUNT
};

extern const char *const workload_names[W_COUNT];
extern const char *const function_names[F_COUNT];

/* A JSON value of this subset. A list of whole numbers (also the empty list)
 * is V_INTS. */
enum val_type { V_NULL, V_INT, V_STR, V_INTS, V_LIST };
struct val {
    enum val_type type;
    uint32_t n; /* of a list */
    union {
        int64_t i;
        uint32_t s;
        const int64_t *ints;
        const struct val *list;
    } u;
};

enum op_end { OP_OK, OP_FAIL, OP_INFO };

#define OP_NEVER INT64_MAX

/* One operation: its invoke and its end. */
struct op {
    int64_t t0;    /* invoke */
    int64_t t1;    /* ok, fail; OP_NEVER of an info: it may happen later */
    int64_t ended; /* when the end was written; OP_NEVER: never */
    struct val in;
    struct val out; /* of ok */
    int64_t p;
    int64_t rev;     /* 0: not told */
    int64_t px;      /* ms; 0: none */
    int64_t maxage;  /* ms; 0: none */
    int64_t session; /* -1: none */
    int64_t index;   /* -1: none */
    uint32_t key;
    uint32_t err;
    uint32_t id;
    uint32_t line; /* of the invoke */
    uint8_t w;     /* enum workload */
    uint8_t f;     /* enum function */
    uint8_t end;   /* enum op_end */
    uint8_t node;
    bool final;
    bool cached; /* a read that asked nobody */
};

/* A fault, from its start to its stop, or a leader seen (node, term). */
struct fault {
    int64_t from;
    int64_t to; /* OP_NEVER: it never stopped */
    int64_t n;
    uint32_t family;
    uint32_t f;
    uint32_t text;
    uint64_t nodes; /* bit i: node i */
    bool leader;
    bool bit;
    int64_t node; /* of a leader */
    int64_t term;
};

struct history {
    struct op *ops; /* by t0 */
    size_t n_ops;
    struct fault *faults; /* by from */
    size_t n_faults;
    int64_t begin; /* the first t of both files */
    int64_t end;
    /* run.json */
    int64_t seed;
    int64_t nodes;
    int64_t seconds;
    char commit[64];
    bool asked[W_COUNT];
    bool load_summary; /* the last line of the history is there */
    bool settled;      /* what it says: the final reads are complete */
    /* nemesis.jsonl */
    bool summary;
    bool nemesis_void;
    bool whole;   /* every seat votes at the end */
    int64_t died; /* nodes that ended by themselves */
    int64_t leader_changes;
    int64_t sigkills;
    /* Memory. */
    struct strings *strings;
    struct arena *arena;
};

struct history *history_new(void);
void history_free(struct history *h);

/* Read run.json, history.jsonl and nemesis.jsonl of @folder. A missing
 * nemesis.jsonl is a run without a summary. HF_EIO: cannot be read;
 * HF_EINVAL: malformed, @e says which line of which file. */
int history_load(struct history *h, const char *folder, struct errmsg *e);

/* The same, one file at a time; @h->ops is ready after the history. */
int history_load_ops(struct history *h, const char *file, struct errmsg *e);
int history_load_run(struct history *h, const char *file, struct errmsg *e);
int history_load_nemesis(struct history *h, const char *file, struct errmsg *e);

/* Text of interned string @s; "" for 0. */
const char *history_str(const struct history *h, uint32_t s);
uint32_t history_intern(struct history *h, const char *s);
/* Memory as long as @h. */
void *history_alloc(struct history *h, size_t n);

#endif
