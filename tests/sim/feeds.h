/* Consumers of the change feed in a simulated run: one at each client
 * machine, that moves to another node now and then and whenever its node dies
 * or falls silent, and goes on behind the last id that it has seen.
 *
 * They fail the check when an id is missing or repeated, when two of them see
 * another change under one id, or when a change that one has seen is not
 * there any more, whatever crashed in between. */
#ifndef HF_TESTS_SIM_FEEDS_H
#define HF_TESTS_SIM_FEEDS_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/sim/check.h"
#include "tests/sim/env_sim.h"

struct feeds;

enum { FEEDS_CONSUMERS = 2 };

/* @addr: plain ports of @nodes nodes; kept, not copied. */
struct feeds *feeds_new(struct sim *s,
                        struct check *c,
                        struct env *const envs[FEEDS_CONSUMERS],
                        const char (*addr)[64],
                        int nodes);
/* After sim_free(). */
void feeds_free(struct feeds *f);
void feeds_start(struct feeds *f);
/* Have all of them seen everything up to @revision? */
bool feeds_at(const struct feeds *f, uint64_t revision);
uint64_t feeds_changes(const struct feeds *f);

#endif
