/* Registers: each key linearizable. Values are unique in the run, so whose
 * write a read saw is known; that names most faults at sight, and what is
 * left is for the search (check_wgl.h). */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "jepsen-lite/check_int.h"
#include "jepsen-lite/check_map.h"
#include "jepsen-lite/check_wgl.h"

enum { NOBODY = UINT32_MAX, ABSENT = -1 };

/* One operation as the register sees it. */
struct reg_op {
    uint32_t op;
    int64_t sees;   /* value that was there; UNSEEN: does not say */
    int64_t leaves; /* value after it; UNSEEN: as it was */
};
#define UNSEEN INT64_MIN

struct reg {
    struct check *c;
    struct reg_op *ops; /* ok and info ones, by time */
    size_t n;
    struct pair_map writer; /* value: number in the history, fails too */
    uint64_t states;
    bool unknown;
};

static int64_t value_of(const struct val *v)
{
    return v->type == V_STR ? (int64_t)v->u.s : ABSENT;
}

static struct reg_op reg_op_of(const struct check *c, uint32_t i)
{
    const struct op *o = op_of(c, i);
    struct reg_op r = {i, UNSEEN, UNSEEN};

    switch (o->f) {
        case F_READ:
            r.sees = value_of(&o->out);
            break;
        case F_WRITE:
            r.leaves = value_of(&o->in);
            break;
        default:
            hf_assert(o->f == F_CAS);
            r.sees = value_of(&o->in.u.list[0]);
            r.leaves = value_of(&o->in.u.list[1]);
            break;
    }
    return r;
}

static bool is_ok(const struct reg *r, size_t i)
{
    return op_of(r->c, r->ops[i].op)->end == OP_OK;
}

/* Who wrote @value? NOBODY for the absent one and for one never written. */
static uint32_t writer_of(const struct reg *r, int64_t value)
{
    const uint32_t *w = pair_map_get(&r->writer, (uint64_t)value, 0);
    return w == NULL ? NOBODY : *w;
}

static void reg_init(struct reg *r, struct check *c, const struct group *g)
{
    bool added;

    *r = (struct reg){.c = c};
    r->ops = hf_calloc(g->n + 1, sizeof(*r->ops));
    for (size_t k = 0; k < g->n; k++) {
        struct reg_op o = reg_op_of(c, g->ops[k]);
        const struct op *op = op_of(c, g->ops[k]);
        if (o.leaves != UNSEEN) {
            pair_map_put(&r->writer, (uint64_t)o.leaves, 0, g->ops[k], &added);
            if (!added) {
                undecided(c, W_REGISTER, "key %s: a value is written twice",
                          key_of(c, op));
                r->unknown = true;
            }
        }
        if (op->end == OP_OK || (op->end == OP_INFO && op->f != F_READ)) {
            r->ops[r->n++] = o;
        }
    }
}

/* Values that cannot be: written by nobody, by a refused write, or by one
 * that began later. True if there is none. */
static bool sources_good(struct reg *r)
{
    bool good = true;

    for (size_t i = 0; i < r->n; i++) {
        const struct reg_op *o = &r->ops[i];
        const struct op *op = op_of(r->c, o->op);
        uint32_t w;
        if (!is_ok(r, i) || o->sees == UNSEEN || o->sees == ABSENT) {
            continue;
        }
        w = writer_of(r, o->sees);
        if (w == NOBODY) {
            found1(r->c, W_REGISTER, "phantom", o->op,
                   "Key %s held \"%s\", which nobody wrote.", key_of(r->c, op),
                   history_str(r->c->h, (uint32_t)o->sees));
        } else if (op_of(r->c, w)->end == OP_FAIL) {
            found2(r->c, W_REGISTER, "lie", w, o->op,
                   "The write of \"%s\" to key %s was answered \"certainly "
                   "not applied\", but its value was there.",
                   history_str(r->c->h, (uint32_t)o->sees), key_of(r->c, op));
        } else if (op_of(r->c, w)->t0 > op->t1) {
            found2(r->c, W_REGISTER, "read of the future", w, o->op,
                   "Key %s held \"%s\" before its write began.",
                   key_of(r->c, op), history_str(r->c->h, (uint32_t)o->sees));
        } else {
            continue;
        }
        good = false;
    }
    return good;
}

/* Two successful changes from the same value: one of them was lost. */
static bool swaps_good(struct reg *r)
{
    struct pair_map first = {NULL, 0, 0};
    bool good = true;
    bool added;

    for (size_t i = 0; i < r->n; i++) {
        const struct reg_op *o = &r->ops[i];
        uint32_t *other;
        if (!is_ok(r, i) || o->sees == UNSEEN || o->leaves == UNSEEN ||
            o->sees == ABSENT) {
            continue;
        }
        other = pair_map_put(&first, (uint64_t)o->sees, 0, o->op, &added);
        if (!added) {
            found2(r->c, W_REGISTER, "lost update", *other, o->op,
                   "Key %s was changed from \"%s\" twice, and that value was "
                   "written once.",
                   key_of(r->c, op_of(r->c, o->op)),
                   history_str(r->c->h, (uint32_t)o->sees));
            good = false;
        }
    }
    pair_map_free(&first);
    return good;
}

/* Was @value ever seen in this key? */
static bool ever_seen(const struct reg *r, int64_t value)
{
    for (size_t i = 0; i < r->n; i++) {
        if (is_ok(r, i) && r->ops[i].sees == value) {
            return true;
        }
    }
    return false;
}

/* A good name for what is wrong with operation @late (it saw an older state)
 * when @early had put or seen a newer one before @late began. @witness saw
 * the older one early enough to prove it older; NOBODY: not needed. */
static void report_older(struct reg *r,
                         const struct reg_op *early,
                         const struct reg_op *late,
                         uint32_t witness)
{
    const struct op *a = op_of(r->c, early->op);
    const struct op *b = op_of(r->c, late->op);
    bool wrote = early->leaves != UNSEEN;
    bool lost = wrote && !ever_seen(r, early->leaves);
    uint32_t ops[4] = {early->op, late->op};
    uint32_t more[2] = {late->sees >= 0 ? writer_of(r, late->sees) : NOBODY,
                        witness};
    size_t n = 2;
    char was[80] = "nothing";

    for (int i = 0; i < 2; i++) {
        if (more[i] != NOBODY && more[i] != early->op && more[i] != late->op) {
            ops[n++] = more[i];
        }
    }
    if (late->sees >= 0) {
        snprintf(was, sizeof(was), "the older \"%s\"",
                 history_str(r->c->h, (uint32_t)late->sees));
    }
    found(r->c, W_REGISTER, lost ? "lost write" : "stale read", ops, n,
          "Key %s: the %s of \"%s\" had ended %.6f s before the %s began "
          "that found %s.%s",
          key_of(r->c, a), function_names[a->f],
          history_str(r->c->h, (uint32_t)(wrote ? early->leaves : early->sees)),
          seconds(b->t0 - a->t1), function_names[b->f], was,
          lost ? " No read ever saw the acknowledged value." : "");
}

/* ---- by revisions ---- */

/* The revision of what an operation left or saw; 0: not told. */
static int64_t rev_of(const struct reg *r, size_t i)
{
    const struct op *o = op_of(r->c, r->ops[i].op);
    return o->end == OP_OK ? o->rev : 0;
}

/* The value that goes with that revision. */
static int64_t rev_value(const struct reg_op *o)
{
    return o->leaves != UNSEEN ? o->leaves : o->sees;
}

static bool rev_values_good(struct reg *r)
{
    struct pair_map by_rev = {NULL, 0, 0};
    struct pair_map by_value = {NULL, 0, 0};
    bool good = true;
    bool added;

    for (size_t i = 0; i < r->n && good; i++) {
        const struct reg_op *o = &r->ops[i];
        int64_t rev = rev_of(r, i);
        uint32_t *other;
        if (rev == 0 || rev_value(o) == ABSENT) {
            continue;
        }
        other = pair_map_put(&by_rev, (uint64_t)rev, 0, (uint32_t)i, &added);
        if (!added && rev_value(&r->ops[*other]) != rev_value(o)) {
            found2(r->c, W_REGISTER, "revision with two values",
                   r->ops[*other].op, o->op,
                   "Key %s: revision %lld goes with two values.",
                   key_of(r->c, op_of(r->c, o->op)), (long long)rev);
            good = false;
        }
        other = pair_map_put(&by_value, (uint64_t)rev_value(o), 0, (uint32_t)i,
                             &added);
        if (!added && rev_of(r, *other) != rev) {
            found2(r->c, W_REGISTER, "double apply", r->ops[*other].op, o->op,
                   "Key %s: the value \"%s\", written once, has two "
                   "revisions, %lld and %lld: its write was applied twice.",
                   key_of(r->c, op_of(r->c, o->op)),
                   history_str(r->c->h, (uint32_t)rev_value(o)),
                   (long long)rev_of(r, *other), (long long)rev);
            good = false;
        }
    }
    pair_map_free(&by_rev);
    pair_map_free(&by_value);
    return good;
}

struct by_end {
    int64_t t1;
    size_t i;
};

static int end_order(const void *x, const void *y)
{
    const struct by_end *a = x;
    const struct by_end *b = y;

    return a->t1 < b->t1 ? -1 : a->t1 > b->t1;
}

/* Of operations one after the other in real time the later one must not have
 * a smaller revision, and a change must have a larger one. */
static bool rev_order_good(struct reg *r)
{
    struct by_end *ends = hf_calloc(r->n + 1, sizeof(*ends));
    size_t n = 0;
    size_t k = 0;
    size_t top = SIZE_MAX; /* ended; the largest revision */
    bool good = true;

    for (size_t i = 0; i < r->n; i++) {
        if (rev_of(r, i) != 0) {
            ends[n++] = (struct by_end){op_of(r->c, r->ops[i].op)->t1, i};
        }
    }
    qsort(ends, n, sizeof(*ends), end_order);
    for (size_t i = 0; i < r->n && good; i++) {
        const struct op *o = op_of(r->c, r->ops[i].op);
        bool change = r->ops[i].leaves != UNSEEN;
        for (; k < n && ends[k].t1 < o->t0; k++) {
            if (top == SIZE_MAX || rev_of(r, ends[k].i) > rev_of(r, top)) {
                top = ends[k].i;
            }
        }
        if (top == SIZE_MAX || rev_of(r, i) == 0 ||
            rev_of(r, i) > rev_of(r, top) ||
            (rev_of(r, i) == rev_of(r, top) && !change)) {
            continue;
        }
        good = false;
        if (!change) {
            report_older(r, &r->ops[top], &r->ops[i], NOBODY);
        } else {
            found2(r->c, W_REGISTER, "revision order", r->ops[top].op,
                   r->ops[i].op,
                   "Key %s: a change got revision %lld after %lld was seen.",
                   key_of(r->c, o), (long long)rev_of(r, i),
                   (long long)rev_of(r, top));
        }
    }
    free(ends);
    return good;
}

/* ---- by search ---- */

struct search {
    const struct reg *r;
    const struct reg_op **ops; /* by number in the search */
};

static bool reg_step(const void *model,
                     size_t i,
                     const int64_t *from,
                     int64_t *to)
{
    const struct reg_op *o = ((const struct search *)model)->ops[i];

    if (o->sees != UNSEEN && o->sees != *from) {
        return false;
    }
    *to = o->leaves != UNSEEN ? o->leaves : *from;
    return true;
}

/* When each value was seen first, at the latest. */
struct first_seen {
    struct pair_map of; /* value: number in t */
    int64_t *t;
    bool changed;
};

static void saw(struct first_seen *f, int64_t value, int64_t t)
{
    bool added;
    uint32_t *at =
        pair_map_put(&f->of, (uint64_t)value, 0, (uint32_t)f->of.n, &added);

    if (added || t < f->t[*at]) {
        f->t[*at] = t;
        f->changed = true;
    }
}

/* By when had operation @i happened? OP_NEVER: it may not have. One of
 * unknown outcome whose value was seen did happen, before that was seen. */
static int64_t happened_by(const struct reg *r,
                           const struct first_seen *f,
                           size_t i)
{
    const struct op *o = op_of(r->c, r->ops[i].op);
    const uint32_t *at;

    if (o->end == OP_OK) {
        return o->t1;
    }
    at = pair_map_get(&f->of, (uint64_t)r->ops[i].leaves, 0);
    if (at == NULL) {
        return OP_NEVER;
    }
    /* Seen before it began: there is no order anyway. */
    return f->t[*at] < o->t0 ? o->t0 : f->t[*at];
}

/* A swap that happened saw its old value, which may be all that is known of
 * the one before it: again until nothing new is learnt. */
static void learn(const struct reg *r, const bool *kept, struct first_seen *f)
{
    do {
        f->changed = false;
        for (size_t i = 0; i < r->n; i++) {
            int64_t t1;
            if ((kept != NULL && !kept[i]) || r->ops[i].sees == UNSEEN) {
                continue;
            }
            t1 = happened_by(r, f, i);
            if (t1 != OP_NEVER) {
                saw(f, r->ops[i].sees, t1);
            }
        }
    } while (f->changed);
}

/* The operations in @kept (NULL: all) in the search. Those of unknown outcome
 * whose value nobody saw are left out: they may not have happened, and if
 * they did, only a write could have come next. */
static enum wgl_verdict reg_search(const struct reg *r,
                                   const bool *kept,
                                   uint64_t *states)
{
    struct wgl_op *ops = hf_calloc(r->n + 1, sizeof(*ops));
    struct search s = {r, hf_calloc(r->n + 1, sizeof(*s.ops))};
    struct first_seen f = {.t = hf_calloc(r->n + 1, sizeof(*f.t))};
    int64_t initial = ABSENT;
    size_t n = 0;
    enum wgl_verdict v;

    learn(r, kept, &f);
    for (size_t i = 0; i < r->n; i++) {
        int64_t t1 = happened_by(r, &f, i);
        if ((kept == NULL || kept[i]) && t1 != OP_NEVER) {
            s.ops[n] = &r->ops[i];
            ops[n++] =
                (struct wgl_op){op_of(r->c, r->ops[i].op)->t0, t1, false};
        }
    }
    v = wgl_run(ops, n, 1, &initial, reg_step, &s, r->c->states_max, states);
    pair_map_free(&f.of);
    free(f.t);
    free(s.ops);
    free(ops);
    return v;
}

static bool reg_bad(const void *model, const bool *kept)
{
    return reg_search(model, kept, NULL) == WGL_INVALID;
}

/* Reads may go; a change may when nobody left saw it. */
static bool reg_may_go(const void *model, size_t i, const bool *kept)
{
    const struct reg *r = model;

    if (r->ops[i].leaves == UNSEEN) {
        return true;
    }
    for (size_t k = 0; k < r->n; k++) {
        if (kept[k] && k != i && r->ops[k].sees == r->ops[i].leaves) {
            return false;
        }
    }
    return true;
}

/* Of those in @kept that saw @value the one that ended first; NOBODY. */
static uint32_t witness_of(const struct reg *r, const bool *kept, int64_t value)
{
    uint32_t best = NOBODY;

    for (size_t i = 0; i < r->n; i++) {
        if (kept[i] && is_ok(r, i) && r->ops[i].sees == value &&
            (best == NOBODY ||
             op_of(r->c, r->ops[i].op)->t1 < op_of(r->c, best)->t1)) {
            best = r->ops[i].op;
        }
    }
    return best;
}

/* Did @early leave or see something newer than what @late saw, and end before
 * that began? Then it is told. */
static bool report_if_older(struct reg *r,
                            const bool *kept,
                            const struct reg_op *early,
                            const struct reg_op *late)
{
    int64_t newer = early->leaves != UNSEEN ? early->leaves : early->sees;
    uint32_t maker = newer == ABSENT ? NOBODY : writer_of(r, newer);
    uint32_t w = late->sees == ABSENT ? NOBODY : writer_of(r, late->sees);
    uint32_t witness = NOBODY;
    bool older = late->sees == ABSENT ||
                 (early->leaves != UNSEEN && early->sees == late->sees);

    if (newer == late->sees || maker == NOBODY ||
        op_of(r->c, early->op)->t1 >= op_of(r->c, late->op)->t0) {
        return false;
    }
    if (!older && op_of(r->c, w)->t1 >= op_of(r->c, maker)->t0) {
        witness = witness_of(r, kept, late->sees);
        w = witness;
    }
    if (!older &&
        (w == NOBODY || op_of(r->c, w)->t1 >= op_of(r->c, maker)->t0)) {
        return false;
    }
    report_older(r, early, late, witness);
    return true;
}

/* Is one operation of the proof older than another that ended before it? */
static bool report_pair(struct reg *r, const bool *kept)
{
    for (size_t i = 0; i < r->n; i++) {
        if (!kept[i] || !is_ok(r, i) || r->ops[i].sees == UNSEEN) {
            continue;
        }
        for (size_t k = 0; k < r->n; k++) {
            if (kept[k] && is_ok(r, k) &&
                report_if_older(r, kept, &r->ops[k], &r->ops[i])) {
                return true;
            }
        }
    }
    return false;
}

static void report_search(struct reg *r)
{
    bool *kept = hf_calloc(r->n + 1, sizeof(*kept));
    uint32_t *ops = hf_calloc(r->n + 1, sizeof(*ops));
    size_t n = 0;

    memset(kept, true, r->n);
    wgl_shrink(kept, r->n, reg_may_go, reg_bad, r);
    for (size_t i = 0; i < r->n; i++) {
        if (kept[i]) {
            ops[n++] = r->ops[i].op;
        }
    }
    hf_assert(n > 0);
    if (!report_pair(r, kept)) {
        found(r->c, W_REGISTER, "not linearizable", ops, n,
              "Key %s: no order of these %zu operations agrees with real time "
              "and with what they saw.",
              key_of(r->c, op_of(r->c, ops[0])), n);
    }
    free(kept);
    free(ops);
}

static void check_key(struct check *c, const struct group *g, uint64_t *total)
{
    struct reg r;
    uint64_t states = 0;

    reg_init(&r, c, g);
    if (!r.unknown && sources_good(&r) && swaps_good(&r) &&
        rev_values_good(&r) && rev_order_good(&r)) {
        switch (reg_search(&r, NULL, &states)) {
            case WGL_VALID:
                break;
            case WGL_INVALID:
                report_search(&r);
                break;
            case WGL_UNKNOWN:
                undecided(c, W_REGISTER,
                          "key %s: more than %llu states to search",
                          history_str(c->h, g->key),
                          (unsigned long long)c->states_max);
                break;
        }
    }
    *total += states;
    pair_map_free(&r.writer);
    free(r.ops);
}

void check_register(struct check *c)
{
    struct groups g = groups_of(c, W_REGISTER);
    uint64_t states = 0;

    for (size_t i = 0; i < g.n; i++) {
        check_key(c, &g.of[i], &states);
    }
    looked_at(c, W_REGISTER, "%zu keys, %llu states", g.n,
              (unsigned long long)states);
    groups_free(&g);
}
