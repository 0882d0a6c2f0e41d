/* Sets, counters, unique ids, equal states: judged by counting. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "jepsen-lite/check_int.h"
#include "jepsen-lite/check_map.h"

enum { NOBODY = UINT32_MAX };

/* ---- set ---- */

/* What is known of one element. */
struct element {
    int64_t value;
    uint32_t add;
    uint32_t seen;    /* the first read that had it; NOBODY */
    uint32_t missing; /* a read that should have had it; NOBODY */
    bool again;       /* seen after it was missing */
};

struct set {
    struct check *c;
    const struct group *g;
    struct pair_map of; /* value: number in elements */
    struct element *elements;
    size_t n;
    uint32_t *stamp; /* by element: the last read that had it, plus one */
};

static void set_adds(struct set *s)
{
    bool added;

    for (size_t k = 0; k < s->g->n; k++) {
        const struct op *o = op_of(s->c, s->g->ops[k]);
        if (o->f != F_ADD) {
            continue;
        }
        pair_map_put(&s->of, (uint64_t)o->in.u.i, 0, (uint32_t)s->n, &added);
        if (!added) {
            undecided(s->c, W_SET, "element %lld is added twice",
                      (long long)o->in.u.i);
            continue;
        }
        s->elements[s->n++] =
            (struct element){o->in.u.i, s->g->ops[k], NOBODY, NOBODY, false};
    }
}

static void set_seen(struct set *s, uint32_t read, int64_t value)
{
    const struct op *o = op_of(s->c, read);
    uint32_t *at = pair_map_get(&s->of, (uint64_t)value, 0);
    struct element *e;

    if (at == NULL) {
        found1(s->c, W_SET, "phantom", read,
               "Element %lld was read, which nobody added.", (long long)value);
        return;
    }
    e = &s->elements[*at];
    if (s->stamp[*at] == read + 1) {
        found2(s->c, W_SET, "double apply", e->add, read,
               "Element %lld is in one read twice.", (long long)value);
    }
    s->stamp[*at] = read + 1;
    if (op_of(s->c, e->add)->t0 > o->t1) {
        found2(s->c, W_SET, "read of the future", e->add, read,
               "Element %lld was read before its add began.", (long long)value);
    }
    if (op_of(s->c, e->add)->end == OP_FAIL && e->seen == NOBODY) {
        found2(s->c, W_SET, "lie", e->add, read,
               "The add of element %lld was answered \"certainly not "
               "applied\", but it is there.",
               (long long)value);
    }
    if (e->seen == NOBODY) {
        e->seen = read;
    }
    if (e->missing != NOBODY && op_of(s->c, e->missing)->t1 < o->t0) {
        e->again = true;
    }
}

/* Elements that had to be in @read and were not: added before it, or read by
 * one that ended before it. */
static void set_missing(struct set *s, uint32_t read)
{
    const struct op *o = op_of(s->c, read);

    for (size_t i = 0; i < s->n; i++) {
        struct element *e = &s->elements[i];
        const struct op *add = op_of(s->c, e->add);
        bool there = (add->end == OP_OK && add->t1 < o->t0) ||
                     (e->seen != NOBODY && op_of(s->c, e->seen)->t1 < o->t0);
        if (there && s->stamp[i] != read + 1 && e->missing == NOBODY) {
            e->missing = read;
        }
    }
}

static void set_lost(struct set *s)
{
    for (size_t i = 0; i < s->n; i++) {
        const struct element *e = &s->elements[i];
        uint32_t ops[3] = {e->add, e->missing, e->seen};
        size_t n = e->seen == NOBODY ? 2 : 3;
        long long v = (long long)e->value;
        if (e->missing == NOBODY) {
            continue;
        }
        if (e->again &&
            op_of(s->c, e->seen)->t1 < op_of(s->c, e->missing)->t0) {
            found(s->c, W_SET, "resurrected element", ops, n,
                  "Element %lld was read, then missing, then there again.", v);
        } else if (e->again) {
            found(s->c, W_SET, "stale read", ops, n,
                  "Element %lld was missing in a read that began after it was "
                  "acknowledged; later it was there.",
                  v);
        } else {
            found(s->c, W_SET,
                  e->seen == NOBODY ? "lost write" : "lost element", ops, n,
                  "Element %lld, %s, is missing in the last reads.", v,
                  e->seen == NOBODY ? "acknowledged and never seen"
                                    : "which had been read");
        }
    }
}

static uint64_t read_hash(const struct op *o)
{
    uint64_t hash = o->out.n;

    for (uint32_t i = 0; i < o->out.n; i++) {
        hash += mix64((uint64_t)o->out.u.ints[i] + 0x9E3779B97F4A7C15ULL);
    }
    return hash;
}

/* In the quiet end all nodes hold the same. */
static void set_nodes(struct set *s)
{
    uint32_t first = NOBODY;
    int64_t last_change = 0;

    for (size_t k = 0; k < s->g->n; k++) {
        const struct op *o = op_of(s->c, s->g->ops[k]);
        if (o->f == F_ADD && o->end != OP_FAIL && o->ended != OP_NEVER &&
            o->ended > last_change) {
            last_change = o->ended;
        }
    }
    for (size_t k = 0; k < s->g->n; k++) {
        uint32_t i = s->g->ops[k];
        const struct op *o = op_of(s->c, i);
        if (o->f != F_READ || o->end != OP_OK || !o->final ||
            o->t0 <= last_change) {
            continue;
        }
        if (first == NOBODY) {
            first = i;
        } else if (read_hash(o) != read_hash(op_of(s->c, first))) {
            found2(s->c, W_SET, "nodes differ", first, i,
                   "At the end node %u holds %u elements and node %u holds "
                   "%u, not the same.",
                   op_of(s->c, first)->node, op_of(s->c, first)->out.n, o->node,
                   o->out.n);
            return;
        }
    }
}

static size_t set_key(struct check *c, const struct group *g)
{
    struct set s = {.c = c, .g = g};
    size_t reads = 0;

    s.elements = hf_calloc(g->n + 1, sizeof(*s.elements));
    s.stamp = hf_calloc(g->n + 1, sizeof(*s.stamp));
    set_adds(&s);
    for (size_t k = 0; k < g->n; k++) {
        const struct op *o = op_of(c, g->ops[k]);
        if (o->f != F_READ || o->end != OP_OK) {
            continue;
        }
        for (uint32_t i = 0; i < o->out.n; i++) {
            set_seen(&s, g->ops[k], o->out.u.ints[i]);
        }
        set_missing(&s, g->ops[k]);
        reads++;
    }
    set_lost(&s);
    set_nodes(&s);
    pair_map_free(&s.of);
    free(s.elements);
    free(s.stamp);
    return reads;
}

void check_set(struct check *c)
{
    struct groups g = groups_of(c, W_SET);
    size_t reads = 0;

    for (size_t i = 0; i < g.n; i++) {
        size_t n = set_key(c, &g.of[i]);
        if (n == 0) {
            undecided(c, W_SET, "set %s was never read",
                      history_str(c->h, g.of[i].key));
        }
        reads += n;
    }
    looked_at(c, W_SET, "%zu reads", reads);
    groups_free(&g);
}

/* ---- ids ---- */

static int id_order(const void *x, const void *y, void *data)
{
    const struct op *a = op_of(data, *(const uint32_t *)x);
    const struct op *b = op_of(data, *(const uint32_t *)y);

    if (a->out.u.i != b->out.u.i) {
        return a->out.u.i < b->out.u.i ? -1 : 1;
    }
    return a->t0 < b->t0 ? -1 : a->t0 > b->t0;
}

static int end_order(const void *x, const void *y, void *data)
{
    const struct op *a = op_of(data, *(const uint32_t *)x);
    const struct op *b = op_of(data, *(const uint32_t *)y);

    return a->t1 < b->t1 ? -1 : a->t1 > b->t1;
}

/* Ids count from 1: none is larger than the calls that may have happened. */
static void ids_bound(struct check *c,
                      const struct group *g,
                      uint32_t *ok,
                      size_t n)
{
    int64_t begun = 0;
    size_t k = 0;

    for (size_t i = 0; i < n; i++) { /* by end */
        const struct op *o = op_of(c, ok[i]);
        for (; k < g->n && op_of(c, g->ops[k])->t0 <= o->t1; k++) {
            begun += op_of(c, g->ops[k])->end != OP_FAIL;
        }
        if (o->out.u.i > begun) {
            found1(c, W_IDS, "double apply", ok[i],
                   "The id %lld was given, but no more than %lld calls may "
                   "have happened: one was applied twice, or though refused.",
                   (long long)o->out.u.i, (long long)begun);
            return;
        }
    }
}

static void ids_key(struct check *c, const struct group *g)
{
    uint64_t before = c->w[W_IDS].violations;
    uint32_t *ok = hf_calloc(g->n + 1, sizeof(*ok));
    uint32_t top = NOBODY; /* of those that ended: the largest number */
    size_t n = 0;
    size_t k = 0;

    for (size_t i = 0; i < g->n; i++) {
        if (op_of(c, g->ops[i])->end == OP_OK) {
            ok[n++] = g->ops[i];
        }
    }
    qsort_r(ok, n, sizeof(*ok), id_order, c);
    for (size_t i = 1; i < n; i++) {
        if (op_of(c, ok[i])->out.u.i == op_of(c, ok[i - 1])->out.u.i) {
            found2(c, W_IDS, "duplicate id", ok[i - 1], ok[i],
                   "The id %lld was given twice.",
                   (long long)op_of(c, ok[i])->out.u.i);
        }
    }
    qsort_r(ok, n, sizeof(*ok), end_order, c);
    for (size_t i = 0; i < g->n; i++) {
        const struct op *o = op_of(c, g->ops[i]);
        for (; k < n && op_of(c, ok[k])->t1 < o->t0; k++) {
            if (top == NOBODY ||
                op_of(c, ok[k])->out.u.i > op_of(c, top)->out.u.i) {
                top = ok[k];
            }
        }
        if (o->end == OP_OK && top != NOBODY &&
            o->out.u.i < op_of(c, top)->out.u.i) {
            found2(c, W_IDS, "id going back", top, g->ops[i],
                   "The id %lld was given after the larger %lld had been.",
                   (long long)o->out.u.i, (long long)op_of(c, top)->out.u.i);
        }
    }
    if (c->w[W_IDS].violations == before) {
        ids_bound(c, g, ok, n);
    }
    free(ok);
}

void check_ids(struct check *c)
{
    struct groups g = groups_of(c, W_IDS);

    for (size_t i = 0; i < g.n; i++) {
        ids_key(c, &g.of[i]);
    }
    looked_at(c, W_IDS, "%zu sequences", g.n);
    groups_free(&g);
}

/* ---- state ---- */

/* A node that told its state at an index of its own was compared with none. */
static void states_alone(struct check *c)
{
    struct pair_map told = {NULL, 0, 0}; /* index: how many */
    bool added;

    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < c->h->n_ops; i++) {
            const struct op *o = op_of(c, i);
            uint32_t *n;
            if (o->w != W_STATE || o->end != OP_OK || o->index < 0) {
                continue;
            }
            n = pair_map_put(&told, (uint64_t)o->index, 0, 0, &added);
            *n += pass == 0;
            if (pass == 1 && *n == 1 && o->final) {
                undecided(c, W_STATE,
                          "no other node told its state at index %lld of node "
                          "%u",
                          (long long)o->index, o->node);
            }
        }
    }
    pair_map_free(&told);
}

void check_state(struct check *c)
{
    struct pair_map first = {NULL, 0, 0};
    size_t compared = 0;
    size_t read = 0;
    bool added;

    for (uint32_t i = 0; i < c->h->n_ops; i++) {
        const struct op *o = op_of(c, i);
        uint32_t *other;
        if (o->w != W_STATE || o->end != OP_OK) {
            continue;
        }
        read++;
        if (o->index < 0) {
            undecided(c, W_STATE, "line %u: a state without its index",
                      o->line);
            continue;
        }
        other = pair_map_put(&first, (uint64_t)o->index, 0, i, &added);
        compared += !added && op_of(c, *other)->node != o->node;
        if (!added && op_of(c, *other)->out.u.s != o->out.u.s) {
            found2(c, W_STATE, "nodes differ", *other, i,
                   "At index %lld node %u and node %u hold different data.",
                   (long long)o->index, op_of(c, *other)->node, o->node);
        }
    }
    states_alone(c);
    if (read > 0 && compared == 0) {
        undecided(c, W_STATE, "no two nodes told their state at one index");
    }
    looked_at(c, W_STATE, "%zu states, %zu compared", read, compared);
    pair_map_free(&first);
}
