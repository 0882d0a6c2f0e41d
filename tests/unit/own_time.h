/* The clock of a test on real sockets: time in which this process did not run
 * does not pass, so a slow machine makes the test slower, and nothing else. */
#ifndef HF_TESTS_UNIT_OWN_TIME_H
#define HF_TESTS_UNIT_OWN_TIME_H

#include "base/assert.h"
#include "base/env.h"

/* As much passes at most between two looks at the clock. A test has a timer
 * that looks every millisecond. */
enum { OWN_TIME_STEP_US = 5000 };

struct own_time {
    const struct env_ops *real;
    struct env_ops ops;
    uint64_t seen_us; /* the real time, at the latest look */
    uint64_t lost_us; /* of real time; did not pass */
    uint64_t skew_us; /* added by the test */
};

static inline uint64_t own_time_now(struct env *e)
{
    struct own_time *t = HF_CONTAINER_OF(e->ops, struct own_time, ops);
    uint64_t now = t->real->now_us(e);

    if (now - t->seen_us > OWN_TIME_STEP_US) {
        t->lost_us += now - t->seen_us - OWN_TIME_STEP_US;
    }
    t->seen_us = now;
    return now - t->lost_us + t->skew_us;
}

static inline void own_time_alarm(struct env *e, uint64_t at_us)
{
    struct own_time *t = HF_CONTAINER_OF(e->ops, struct own_time, ops);

    if (at_us != UINT64_MAX) {
        at_us += t->lost_us;
        at_us -= at_us < t->skew_us ? at_us : t->skew_us;
    }
    t->real->alarm(e, at_us);
}

/* @e lives by @t from now on. */
static inline void own_time_init(struct own_time *t, struct env *e)
{
    *t = (struct own_time){.real = e->ops, .ops = *e->ops};
    t->seen_us = e->ops->now_us(e);
    t->ops.now_us = own_time_now;
    t->ops.alarm = own_time_alarm;
    e->ops = &t->ops;
}

#endif
