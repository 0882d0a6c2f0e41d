/* Storage faults, one ordinal each: what a sweep is to the program. */
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
