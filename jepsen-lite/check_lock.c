/* Locks with fencing tokens. A token is the revision at which its lock was
 * taken: those of one lock increase. Once a larger one was acknowledged, the
 * lock was released or its time is over, nothing with that token may be
 * accepted any more; and until then nobody else may take the lock. */
#include <stdlib.h>

#include "jepsen-lite/check_int.h"
#include "jepsen-lite/check_map.h"

enum { NOBODY = UINT32_MAX };

#define MS 1000000LL

struct locks {
    struct check *c;
    struct pair_map taken;    /* token: number of its acquire */
    struct pair_map released; /* token: the first release acknowledged */
    struct pair_map freed; /* token: the first begun that may have happened */
    uint32_t *ends;        /* acknowledged acquires, by end */
    size_t n;
};

static int64_t token_of(const struct op *o)
{
    switch (o->f) {
        case F_ACQUIRE:
            return o->out.u.i;
        case F_RELEASE:
            return o->in.u.i;
        default:
            return o->in.u.list[0].u.i;
    }
}

/* How much longer or shorter the life of @o may seem than its px. Time is
 * counted in whole milliseconds, so it may be shorter by one of them. */
static int64_t slack_of(const struct op *o)
{
    return o->px * MS / 1000000 * SLEW_PER_MILLION;
}

static int by_end(const void *x, const void *y, void *data)
{
    const struct op *a = op_of(data, *(const uint32_t *)x);
    const struct op *b = op_of(data, *(const uint32_t *)y);

    return a->t1 < b->t1 ? -1 : a->t1 > b->t1;
}

/* Tokens are given once. */
static void tokens(struct locks *l, const struct groups *g)
{
    bool added;

    for (size_t i = 0; i < g->n; i++) {
        for (size_t k = 0; k < g->of[i].n; k++) {
            uint32_t n = g->of[i].ops[k];
            const struct op *o = op_of(l->c, n);
            uint32_t *other;
            if (o->f != F_ACQUIRE || o->end != OP_OK) {
                continue;
            }
            l->ends[l->n++] = n;
            other =
                pair_map_put(&l->taken, (uint64_t)token_of(o), 0, n, &added);
            if (!added) {
                found2(l->c, W_LOCK, "duplicate token", *other, n,
                       "Token %lld was given twice.", (long long)token_of(o));
            }
        }
    }
    qsort_r(l->ends, l->n, sizeof(*l->ends), by_end, l->c);
}

/* Releases by their token. */
static void releases(struct locks *l, const struct groups *g)
{
    bool added;

    for (size_t i = 0; i < g->n; i++) {
        for (size_t k = 0; k < g->of[i].n; k++) {
            uint32_t n = g->of[i].ops[k];
            const struct op *o = op_of(l->c, n);
            uint64_t token;
            uint32_t *r;
            if (o->f != F_RELEASE || o->end == OP_FAIL) {
                continue;
            }
            token = (uint64_t)token_of(o);
            pair_map_put(&l->freed, token, 0, n, &added);
            if (o->end != OP_OK) {
                continue;
            }
            r = pair_map_put(&l->released, token, 0, n, &added);
            if (o->t1 < op_of(l->c, *r)->t1) {
                *r = n;
            }
        }
    }
}

/* @i took a lock that @held holds for sure: within its time, and without a
 * release that may have happened. */
static void exclusion(struct locks *l, uint32_t held, uint32_t i)
{
    const struct op *a = op_of(l->c, held);
    const struct op *o = op_of(l->c, i);
    const uint32_t *r = pair_map_get(&l->freed, (uint64_t)token_of(a), 0);
    int64_t end = a->t0 + a->px * MS - slack_of(a) - MS;

    if (a->px > 0 && o->t1 < end &&
        (r == NULL || op_of(l->c, *r)->t0 > o->t1) &&
        !cold_start(l->c, a->t0, o->t1)) {
        found2(l->c, W_LOCK, "taken while held", held, i,
               "Lock %s was held under token %lld for another %.6f s, and was "
               "taken with token %lld.",
               key_of(l->c, o), (long long)token_of(a), seconds(end - o->t1),
               (long long)token_of(o));
    }
}

/* Acknowledged acquires of one lock, one after the other in real time, have
 * growing tokens. */
static void acquires(struct locks *l, const struct group *g)
{
    uint32_t top = NOBODY;
    size_t e = 0;

    for (size_t k = 0; k < g->n; k++) {
        const struct op *o = op_of(l->c, g->ops[k]);
        if (o->f != F_ACQUIRE || o->end != OP_OK) {
            continue;
        }
        for (; e < l->n && op_of(l->c, l->ends[e])->t1 < o->t0; e++) {
            const struct op *a = op_of(l->c, l->ends[e]);
            if (a->key == g->key &&
                (top == NOBODY || token_of(a) > token_of(op_of(l->c, top)))) {
                top = l->ends[e];
            }
        }
        if (top != NOBODY && token_of(o) < token_of(op_of(l->c, top))) {
            found2(l->c, W_LOCK, "token going back", top, g->ops[k],
                   "Lock %s was taken with token %lld after the larger %lld "
                   "had been given.",
                   key_of(l->c, o), (long long)token_of(o),
                   (long long)token_of(op_of(l->c, top)));
        } else if (top != NOBODY && token_of(o) > token_of(op_of(l->c, top))) {
            exclusion(l, top, g->ops[k]);
        }
    }
}

/* @i was accepted with the token of @mine: that must not have been given up
 * nor be over. */
static void in_force(struct locks *l, uint32_t mine, uint32_t i)
{
    const struct op *a = op_of(l->c, mine);
    const struct op *o = op_of(l->c, i);
    const uint32_t *r = pair_map_get(&l->released, (uint64_t)token_of(o), 0);
    int64_t end = a->t1 + a->px * MS + slack_of(a);

    if (r != NULL && *r != i && op_of(l->c, *r)->t1 < o->t0) {
        found(l->c, W_LOCK, "released token accepted",
              (const uint32_t[]){mine, *r, i}, 3,
              "Token %lld was accepted at %s although it began after the lock "
              "had been released.",
              (long long)token_of(o), key_of(l->c, o));
    } else if (a->px > 0 && o->t0 > end && !cold_start(l->c, a->t0, o->t1)) {
        found2(l->c, W_LOCK, "expired token accepted", mine, i,
               "Token %lld was accepted at %s %.6f s after its lock's %lld ms "
               "were over.",
               (long long)token_of(o), key_of(l->c, o), seconds(o->t0 - end),
               (long long)a->px);
    }
}

/* What was accepted with tokens: writes of one guarded key, releases of one
 * lock. */
static void uses(struct locks *l, const struct group *g)
{
    struct pair_map top = {NULL, 0, 0}; /* lock: its largest token's acquire */
    size_t e = 0;
    bool added;

    for (size_t k = 0; k < g->n; k++) {
        const struct op *o = op_of(l->c, g->ops[k]);
        const uint32_t *mine;
        const uint32_t *larger;
        if ((o->f != F_GUARD && o->f != F_RELEASE) || o->end != OP_OK) {
            continue;
        }
        for (; e < l->n && op_of(l->c, l->ends[e])->t1 < o->t0; e++) {
            const struct op *a = op_of(l->c, l->ends[e]);
            uint32_t *t = pair_map_put(&top, a->key, 0, l->ends[e], &added);
            if (token_of(a) > token_of(op_of(l->c, *t))) {
                *t = l->ends[e];
            }
        }
        mine = pair_map_get(&l->taken, (uint64_t)token_of(o), 0);
        if (mine == NULL) {
            found1(l->c, W_LOCK, "phantom token", g->ops[k],
                   "At %s token %lld was accepted, which no acquire was "
                   "given.",
                   key_of(l->c, o), (long long)token_of(o));
            continue;
        }
        larger = pair_map_get(&top, op_of(l->c, *mine)->key, 0);
        if (larger != NULL && token_of(op_of(l->c, *larger)) > token_of(o)) {
            found(l->c, W_LOCK, "stale token accepted",
                  (const uint32_t[]){*mine, *larger, g->ops[k]}, 3,
                  "At %s token %lld was accepted although that began after "
                  "lock %s had gone on to token %lld.",
                  key_of(l->c, o), (long long)token_of(o),
                  key_of(l->c, op_of(l->c, *larger)),
                  (long long)token_of(op_of(l->c, *larger)));
        } else {
            in_force(l, *mine, g->ops[k]);
        }
    }
    pair_map_free(&top);
}

void check_lock(struct check *c)
{
    struct groups g = groups_of(c, W_LOCK);
    struct locks l = {.c = c};

    l.ends = hf_calloc(c->h->n_ops + 1, sizeof(*l.ends));
    tokens(&l, &g);
    releases(&l, &g);
    for (size_t i = 0; i < g.n; i++) {
        acquires(&l, &g.of[i]);
        uses(&l, &g.of[i]);
    }
    looked_at(c, W_LOCK, "%zu keys, %zu tokens", g.n, l.n);
    pair_map_free(&l.taken);
    pair_map_free(&l.released);
    pair_map_free(&l.freed);
    free(l.ends);
    groups_free(&g);
}
