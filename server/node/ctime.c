#include "server/node/ctime.h"

#include <stdlib.h>

#include "server/node/node_int.h"

static uint64_t ctime_now_us(struct node *n)
{
    struct ctime *c = &n->ctime;

    return c->base_us + (env_now_us(n->env) - c->at_us);
}

uint64_t ctime_estimate(struct node *n)
{
    return n->ctime.known ? ctime_now_us(n) / 1000 : 0;
}

uint64_t ctime_told(struct node *n)
{
    return n->ctime.cold && !mutant(COLD_TOLD_EARLY) ? 0 : ctime_estimate(n);
}

static void ctime_set(struct node *n, uint64_t us)
{
    n->ctime.base_us = us;
    n->ctime.at_us = env_now_us(n->env);
    n->ctime.known = true;
}

static void ctime_hear_wall(struct node *n, uint64_t from, uint64_t wall_ms)
{
    struct ctime *c = &n->ctime;
    unsigned i = 0;

    while (i < c->walls_n && c->walls[i].node != from) {
        i++;
    }
    if (i == c->walls_n) {
        if (c->walls_n == LIM_NODES) {
            return;
        }
        c->walls_n++;
    }
    c->walls[i] = (struct ctime_wall){from, wall_ms, env_now_us(n->env)};
}

void ctime_observe(struct node *n,
                   uint64_t from,
                   uint64_t estimate_ms,
                   uint64_t wall_ms)
{
    /* Beyond year 2527 the other side is not serious. */
    if (estimate_ms > UINT64_C(0x0FFFFFFFFFFF) || from == 0) {
        return;
    }
    ctime_hear_wall(n, from, wall_ms);
    if (estimate_ms == 0 || mutant(ESTIMATE_IGNORED)) {
        return;
    }
    if (!n->ctime.known || estimate_ms * 1000 > ctime_now_us(n)) {
        ctime_set(n, estimate_ms * 1000);
    }
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* Lower median of the wall clocks heard, our own included. */
static uint64_t ctime_median_wall(struct node *n)
{
    struct ctime *c = &n->ctime;
    uint64_t v[LIM_NODES + 1];
    size_t k = 0;

    v[k++] = env_wall_ms(n->env);
    for (unsigned i = 0; i < c->walls_n; i++) {
        uint64_t aged = (env_now_us(n->env) - c->walls[i].at_us) / 1000;

        v[k++] = c->walls[i].wall_ms + aged;
    }
    qsort(v, k, sizeof v[0], by_value);
    return v[mutant(COLD_JUMP_TO_MAX) ? k - 1 : (k - 1) / 2];
}

void ctime_lead(struct node *n)
{
    uint64_t logged = machine_time(n->machine);
    uint64_t wall;

    if (n->ctime.known && !mutant(COLD_JUMP_ALWAYS)) {
        /* Slewing begins now: what it would have made up for while this
         * node followed would be a step. */
        uint64_t now = ctime_now_us(n);

        ctime_set(n, logged * 1000 > now ? logged * 1000 : now);
        return;
    }
    n->ctime.cold = true;
    wall = mutant(COLD_TIME_STANDS) ? 0 : ctime_median_wall(n);
    ctime_set(n, (wall > logged ? wall : logged) * 1000);
    n->ctime.cold_ms = ctime_estimate(n);
    log_info(n->log,
             "cold start: cluster time goes on at %llu ms, %lld ms after the "
             "log's",
             (unsigned long long)ctime_estimate(n),
             (long long)(ctime_estimate(n) - logged));
}

void ctime_follow(struct node *n)
{
    if (n->ctime.cold && !mutant(COLD_TOLD_EARLY)) {
        n->ctime.cold = false;
        n->ctime.known = false;
    }
}

void ctime_applied(struct node *n)
{
    struct ctime *c = &n->ctime;

    if (c->cold && machine_time(n->machine) >= c->cold_ms) {
        c->cold = false;
    }
}

uint64_t ctime_stamp(struct node *n, uint64_t floor_ms)
{
    uint64_t now = ctime_now_us(n);
    uint64_t wall = env_wall_ms(n->env) * 1000;
    uint64_t elapsed = env_now_us(n->env) - n->ctime.at_us;
    uint64_t slew = elapsed * CTIME_SLEW_PPM / 1000000;

    /* Slewed only in steps of a microsecond or more, so that frequent stamps
     * do not lose the fraction. */
    if (mutant(TIME_FROM_WALL)) {
        now = wall;
        ctime_set(n, now);
    } else if (slew > 0) {
        uint64_t gap = wall > now ? wall - now : now - wall;
        uint64_t by = gap < slew || mutant(TIME_STEPS) ? gap : slew;

        now = wall > now ? now + by : now - by;
        ctime_set(n, now);
    }
    if (now / 1000 < floor_ms) {
        now = floor_ms * 1000;
        ctime_set(n, now);
    }
    return now / 1000;
}
