/* One seed, one run: a cluster is made, formed, troubled, healed, and must
 * then be whole again. */
#ifndef HF_TESTS_SIM_SEED_H
#define HF_TESTS_SIM_SEED_H

#include <stdbool.h>
#include <stdint.h>

#include "server/node/observer.h"

/* Faults and progress are counted, so that a run in which nothing happened
 * does not pass for a good one. */
enum seed_count {
    SEED_FAULTS,
    SEED_ACKNOWLEDGED,
    SEED_REFUSED,
    SEED_UNKNOWN,
    SEED_LEADERS,
    SEED_TRUNCATIONS,
    SEED_INSTALLS,
    SEED_SNAPSHOTS,
    SEED_MEMBERSHIP,
    SEED_TORN,
    SEED_RESENDS,
    SEED_VOIDS,
    SEED_EXPIRIES,
    SEED_TRANSFERS,
    SEED_MOVED,
    SEED_SESSIONS,
    SEED_NEWCOMERS,
    SEED_INITS,
    SEED_ROTS,
    SEED_REPAIRS,
    SEED_CHANGES,
    SEED_CACHED,
    SEED_COUNTS
};

struct seed_options {
    int nodes; /* 3, 5, or 0: by seed */
    bool verbose;
};

struct seed_result {
    uint64_t seed;
    uint64_t trace;
    uint64_t virtual_us;
    uint64_t events;
    uint64_t count[SEED_COUNTS];
    int nodes;
    bool ok;
    char text[512]; /* what was violated */
};

const char *seed_count_name(enum seed_count what);
void seed_run(uint64_t seed,
              const struct seed_options *opt,
              struct seed_result *out);

#endif
