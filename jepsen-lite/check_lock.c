/* Locks with fencing tokens. A token is the revision at which its lock was
 * taken: those of one lock increase, and once a larger one was acknowledged
 * no write with a smaller one may be accepted any more. */
#include <stdlib.h>

#include "jepsen-lite/check_int.h"
#include "jepsen-lite/check_map.h"

enum { NOBODY = UINT32_MAX };

struct locks {
    struct check *c;
    struct pair_map taken; /* token: number of its acquire */
    uint32_t *ends;        /* acknowledged acquires, by end */
    size_t n;
};

static int64_t token_of(const struct op *o)
{
    return o->f == F_ACQUIRE ? o->out.u.i : o->in.u.list[0].u.i;
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
        }
    }
}

/* Accepted writes of one guarded key. */
static void guards(struct locks *l, const struct group *g)
{
    struct pair_map top = {NULL, 0, 0}; /* lock: its largest token's acquire */
    size_t e = 0;
    bool added;

    for (size_t k = 0; k < g->n; k++) {
        const struct op *o = op_of(l->c, g->ops[k]);
        const uint32_t *mine;
        const uint32_t *larger;
        if (o->f != F_GUARD || o->end != OP_OK) {
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
                   "A write to %s was accepted with token %lld, which no "
                   "acquire was given.",
                   key_of(l->c, o), (long long)token_of(o));
            continue;
        }
        larger = pair_map_get(&top, op_of(l->c, *mine)->key, 0);
        if (larger != NULL && token_of(op_of(l->c, *larger)) > token_of(o)) {
            found(l->c, W_LOCK, "stale token accepted",
                  (const uint32_t[]){*mine, *larger, g->ops[k]}, 3,
                  "A write to %s with token %lld was accepted although it "
                  "began after lock %s had gone on to token %lld.",
                  key_of(l->c, o), (long long)token_of(o),
                  key_of(l->c, op_of(l->c, *larger)),
                  (long long)token_of(op_of(l->c, *larger)));
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
    for (size_t i = 0; i < g.n; i++) {
        acquires(&l, &g.of[i]);
        guards(&l, &g.of[i]);
    }
    looked_at(c, W_LOCK, "%zu keys, %zu tokens", g.n, l.n);
    pair_map_free(&l.taken);
    free(l.ends);
    groups_free(&g);
}
