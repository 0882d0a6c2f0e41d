/* Clients that keep what they read until they are told of a change (CLIENT
 * TRACKING), in a simulated run: one at each client machine, that moves to
 * another node now and then and whenever its node dies or falls silent.
 *
 * They fail the check when one serves a value from its cache that is older
 * than what it has read or written itself, when a read that asked is older
 * than any acknowledged write, or when a cache is not what the key is after
 * all has come to rest. */
#ifndef HF_TESTS_SIM_CACHES_H
#define HF_TESTS_SIM_CACHES_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/sim/check.h"
#include "tests/sim/env_sim.h"

struct caches;

enum { CACHES_CLIENTS = 2 };

/* @addr: plain ports of @nodes nodes; kept, not copied. */
struct caches *caches_new(struct sim *s,
                          struct check *c,
                          struct env *const envs[CACHES_CLIENTS],
                          const char (*addr)[64],
                          int nodes);
/* After sim_free(). */
void caches_free(struct caches *f);
void caches_start(struct caches *f);
/* No new operations from now on. */
void caches_stop(struct caches *f);
/* Stopped, nothing under way, and every cache holds what was written last. */
bool caches_even(const struct caches *f);
uint64_t caches_hits(const struct caches *f); /* reads that asked nobody */

#endif
