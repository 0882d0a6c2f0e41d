/* The smallest env for tests of the log: work is run one item at a time, in
 * an order drawn from a seed; the clock moves only when nothing else can. */
#ifndef HF_TESTS_UNIT_WAL_ENV_H
#define HF_TESTS_UNIT_WAL_ENV_H

#include <stdlib.h>

#include "base/assert.h"
#include "base/env.h"
#include "base/mutant.h"
#include "base/rng.h"

enum { TEST_WORKS = 64 };

struct test_env {
    struct env e;
    uint64_t now_us;
    struct rng rng;
    struct env_work *q[2][TEST_WORKS];
    size_t n[2];
};

static inline struct test_env *test_env_of(struct env *e)
{
    return HF_CONTAINER_OF(e, struct test_env, e);
}

static uint64_t test_now(struct env *e)
{
    return test_env_of(e)->now_us;
}

static void test_random(struct env *e, void *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        ((uint8_t *)p)[i] = (uint8_t)rng_next(&test_env_of(e)->rng);
    }
}

static void test_work(struct env *e, enum env_queue q, struct env_work *w)
{
    struct test_env *t = test_env_of(e);

    hf_assert(t->n[q] < TEST_WORKS);
    t->q[q][t->n[q]++] = w;
}

static const struct env_ops test_env_ops = {
    .now_us = test_now,
    .random = test_random,
    .work = test_work,
};

static inline void test_env_init(struct test_env *t,
                                 struct disk *d,
                                 uint64_t seed)
{
    memset(t, 0, sizeof *t);
    env_init(&t->e, &test_env_ops);
    t->e.disk = d;
    t->now_us = 1000000;
    t->rng.s = seed;
}

/* Run one work item; false if there is none. */
static inline bool test_env_step(struct test_env *t)
{
    size_t k = t->n[0] == 0 || (t->n[1] > 0 && rng_below(&t->rng, 2)) ? 1 : 0;
    struct env_work *w;

    env_turn(&t->e);
    if (t->n[0] + t->n[1] == 0) {
        return false;
    }
    k = t->n[k] > 0 ? k : 1 - k;
    w = t->q[k][0];
    t->n[k]--;
    memmove(t->q[k], t->q[k] + 1, t->n[k] * sizeof t->q[k][0]);
    w->fn(w);
    w->done(w);
    env_turn(&t->e);
    return true;
}

/* Run all work, then let @us pass with what it brings. */
static inline void test_env_run(struct test_env *t, uint64_t us)
{
    uint64_t end = t->now_us + us;

    while (test_env_step(t) || env_next_us(&t->e) <= end) {
        if (t->n[0] + t->n[1] == 0 && env_next_us(&t->e) <= end &&
            env_next_us(&t->e) > t->now_us) {
            t->now_us = env_next_us(&t->e);
        }
    }
    t->now_us = end;
}

/* Mutant builds: the fault to carry, by name. */
static inline void test_choose_mutant(void)
{
#ifdef HF_MUTANTS
    const char *name = getenv("HF_MUTANT");

    if (name != NULL) {
        mutant_chosen = (enum mutant_id)mutant_find(name);
    }
#endif
}

#endif
