/* Storage faults, one ordinal each: what a sweep is to the program.
 *
 * That they can fail is shown with mutants (base/mutants_log.def.h). The
 * mistakes that storage of this kind is known for, and what notices each:
 *
 *   mistake                        mutant                 unit test, sweep
 *   ack after write, before sync   ACK_BEFORE_SYNC        wal, errors
 *   vote not persisted             VOTE_NOT_PERSISTED     vote, all
 *   same term clears the vote      VOTE_CLEARED           vote, flips, cuts
 *   append error swallowed         WRITE_ERROR_IGNORED    wal, errors
 *   sync tried again               SYNC_RETRIED           wal, errors
 *   checksums ignored              CRC_IGNORED            wal, vote, flips
 *   rot in the middle cut as torn  ROT_IS_TORN            wal, flips
 *   no directory sync              NO_DIR_SYNC            vote, wal, errors
 *   trimmed before snapshot sync   TRIM_EARLY             simulated clusters
 *     (or renamed before it)       SNAP_NO_SYNC           snap, errors
 *   truncation not replayed        TRUNCATE_IGNORED       wal, all
 *   directory not locked           NO_LOCK                identity
 *   snapshot's footer not checked  SNAP_FOOTER_UNCHECKED  snap
 *   last segment not missed        NO_SEAL                wal, files
 *   a new member's log not missed  LOG_NOT_NOTED          node, files
 *   no mark when idle              NO_MARK                flips */
#ifndef HF_TESTS_STORAGE_SWEEP_H
#define HF_TESTS_STORAGE_SWEEP_H

#include <stdbool.h>
#include <stdint.h>

enum { SWEEP_ROWS = 16, SWEEP_TEXTS = 20 };

/* How a faulty directory came back. */
enum outcome {
    SAME,     /* identical: every entry, term, byte, vote, snapshot */
    REPORTED, /* the start says what is damaged, with a reason */
    RESIDUE,  /* rot in the last frame of an unclean stop: cut like a tear */
    SILENT,   /* anything else */
    OUTCOMES
};

struct tally {
    uint64_t n[SWEEP_ROWS][OUTCOMES];
    uint64_t points;
    uint64_t failures;
    char text[SWEEP_TEXTS][640];
};

struct sweep {
    const char *name;
    const char *unit; /* what an ordinal is */
    /* Once, before the first: make what all ordinals share. Returns how many
     * ordinals there are; UINT64_MAX: without end. */
    uint64_t (*begin)(uint64_t seed);
    /* Try one; adds one point or more. */
    void (*one)(uint64_t ordinal, struct tally *t);
    void (*end)(void);
    const char *const *rows; /* names, up to NULL */
};

extern const struct sweep sweep_flips;
extern const struct sweep sweep_cuts;
extern const struct sweep sweep_errors;
extern const struct sweep sweep_files;

void tally_add(struct tally *t, int row, enum outcome o);
/* A violation: counts as SILENT, and says what and how to see it again. */
void tally_fail(struct tally *t, int row, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
