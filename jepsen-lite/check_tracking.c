/* Caches of clients that are told what changed. A read from a cache is one of
 * a session: never older than what its client had read or written before. And
 * when all is quiet a cache holds what the key holds. */
#include <stdlib.h>

#include "jepsen-lite/check_int.h"

enum { NOBODY = UINT32_MAX };

/* A change that one node has served has been told by all after so long, when
 * nothing is broken. */
#define SETTLED 400000000LL /* ns */

static int64_t value_of(const struct op *o)
{
    return o->out.type == V_INT ? o->out.u.i : 0;
}

/* The last reads: what a node says, and what a cache says well after that. */
static void settled(struct check *c, const struct group *g)
{
    for (size_t k = 0; k < g->n; k++) {
        const struct op *o = op_of(c, g->ops[k]);
        uint32_t newest = NOBODY;
        if (o->f != F_READ || o->end != OP_OK || !o->final || !o->cached) {
            continue;
        }
        for (size_t m = 0; m < k; m++) {
            const struct op *r = op_of(c, g->ops[m]);
            if (r->f == F_READ && r->end == OP_OK && r->final && !r->cached &&
                r->t1 + SETTLED < o->t0 &&
                (newest == NOBODY ||
                 value_of(r) > value_of(op_of(c, newest)))) {
                newest = g->ops[m];
            }
        }
        if (newest != NOBODY && value_of(op_of(c, newest)) > value_of(o)) {
            found2(c, W_TRACKING, "not told", newest, g->ops[k],
                   "Key %s was %lld; %.3f s later, with all at rest, the "
                   "cache of reader %lld still had %lld.",
                   key_of(c, o), (long long)value_of(op_of(c, newest)),
                   seconds(o->t0 - op_of(c, newest)->t1), (long long)o->session,
                   (long long)value_of(o));
        }
    }
}

void check_tracking(struct check *c)
{
    struct groups g = groups_of(c, W_TRACKING);
    int64_t told[4] = {0}; /* hits, keys told, all told, connections lost */
    size_t reads = 0;
    size_t cached = 0;

    for (size_t i = 0; i < g.n; i++) {
        reads += check_numbers(c, W_TRACKING, &g.of[i]);
        settled(c, &g.of[i]);
    }
    for (size_t i = 0; i < c->h->n_ops; i++) {
        const struct op *o = &c->h->ops[i];
        if (o->w != W_TRACKING || o->end != OP_OK) {
            continue;
        }
        cached += o->f == F_READ && o->cached;
        for (uint32_t k = 0; o->f == F_TOLD && k < o->out.n && k < 4; k++) {
            told[k] += o->out.u.ints[k];
        }
    }
    if (cached == 0) {
        undecided(c, W_TRACKING, "no read was answered from a cache");
    } else if (told[1] + told[2] == 0) {
        undecided(c, W_TRACKING, "no reader was told of a change");
    }
    looked_at(c, W_TRACKING,
              "%zu keys, %zu reads, %zu from caches; %lld keys told, %lld "
              "times all",
              g.n, reads, cached, (long long)told[1], (long long)told[2]);
    groups_free(&g);
}
