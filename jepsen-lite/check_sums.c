/* Counters and banks: numbers that must add up. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "jepsen-lite/check_int.h"
#include "jepsen-lite/check_wgl.h"

enum {
    NOBODY = UINT32_MAX,
    COUNTER_SEARCH_MAX = 400, /* operations; beyond: by sums alone */
    BANK_SEARCH_MAX = 2000,   /* the same; a bank within it must be decided */
    GAP_MAX = 100000,         /* a gap whose parts are looked for */
};

/* ---- counter ---- */

static int64_t sum_of(const struct op *o)
{
    return o->out.type == V_INT ? o->out.u.i : 0;
}

static int64_t added_by(const struct op *o)
{
    return o->f == F_ADD ? o->in.u.i : 0;
}

static int by_sum(const void *x, const void *y, void *data)
{
    const struct op *a = op_of(data, *(const uint32_t *)x);
    const struct op *b = op_of(data, *(const uint32_t *)y);

    if (sum_of(a) != sum_of(b)) {
        return sum_of(a) < sum_of(b) ? -1 : 1;
    }
    /* The add that made the sum, then those who read it. */
    if (a->f != b->f) {
        return a->f == F_ADD ? -1 : 1;
    }
    return a->t0 < b->t0 ? -1 : a->t0 > b->t0;
}

static int by_end(const void *x, const void *y, void *data)
{
    const struct op *a = op_of(data, *(const uint32_t *)x);
    const struct op *b = op_of(data, *(const uint32_t *)y);

    return a->t1 < b->t1 ? -1 : a->t1 > b->t1;
}

/* Is there a set of adds that ended with @end and began before @before whose
 * amounts make @gap? */
static bool made_of(const struct check *c,
                    const struct group *g,
                    enum op_end end,
                    int64_t before,
                    int64_t gap)
{
    bool *can;
    bool yes;

    if (gap > GAP_MAX) {
        return false;
    }
    can = hf_calloc((size_t)gap + 1, sizeof(*can));
    can[0] = true;
    for (size_t k = 0; k < g->n; k++) {
        const struct op *o = op_of(c, g->ops[k]);
        int64_t v = added_by(o);
        if (o->f != F_ADD || o->end != end || o->t0 >= before || v > gap) {
            continue;
        }
        for (int64_t s = gap; s >= v; s--) {
            can[s] |= can[s - v];
        }
    }
    yes = can[gap];
    free(can);
    return yes;
}

/* An add that ended with @end, began before @before and is of @amount. */
static uint32_t add_of(const struct check *c,
                       const struct group *g,
                       enum op_end end,
                       int64_t before,
                       int64_t amount)
{
    uint32_t last = NOBODY;

    for (size_t k = 0; k < g->n; k++) {
        const struct op *o = op_of(c, g->ops[k]);
        if (o->f == F_ADD && o->end == end && o->t0 < before &&
            added_by(o) == amount) {
            last = g->ops[k];
        }
    }
    return last;
}

/* @i tells of @excess more than all adds that may have happened. */
static void report_excess(struct check *c,
                          const struct group *g,
                          uint32_t i,
                          int64_t excess)
{
    const struct op *o = op_of(c, i);
    uint32_t a = add_of(c, g, OP_FAIL, o->t1, excess);
    bool lie = a != NOBODY || made_of(c, g, OP_FAIL, o->t1, excess);
    uint32_t ops[2] = {i, NOBODY};

    if (a == NOBODY && !lie) {
        a = add_of(c, g, OP_OK, o->t1, excess);
    }
    if (a == NOBODY && !lie) {
        a = add_of(c, g, OP_INFO, o->t1, excess);
    }
    ops[1] = a;
    found(c, W_COUNTER, lie ? "lie" : "double apply", ops, a == NOBODY ? 1 : 2,
          "Counter %s is at %lld: %lld more than all adds that may have "
          "happened%s",
          key_of(c, o), (long long)sum_of(o), (long long)excess,
          lie ? "; adds that were answered \"certainly not applied\" make it "
                "up."
              : ".");
}

/* Every sum lies between the adds acknowledged before and all those begun. */
static void counter_bounds(struct check *c, const struct group *g)
{
    uint32_t *ends = hf_calloc(g->n + 1, sizeof(*ends));
    uint32_t *begins = hf_calloc(g->n + 1, sizeof(*begins));
    int64_t low = 0;
    int64_t high = 0;
    size_t n = 0;
    size_t k = 0;
    size_t m = 0;

    for (size_t i = 0; i < g->n; i++) {
        if (op_of(c, g->ops[i])->end == OP_OK) {
            ends[n++] = g->ops[i];
        }
    }
    /* Lower bound: by begin of the reader. */
    memcpy(begins, ends, n * sizeof(*ends));
    qsort_r(ends, n, sizeof(*ends), by_end, c);
    for (size_t i = 0; i < n; i++) {
        const struct op *o = op_of(c, begins[i]);
        for (; k < n && op_of(c, ends[k])->t1 < o->t0; k++) {
            low += added_by(op_of(c, ends[k]));
        }
        if (sum_of(o) - added_by(o) < low) {
            found1(c, W_COUNTER,
                   o->f == F_READ && !o->final ? "stale read" : "lost write",
                   begins[i],
                   "Counter %s is at %lld, but adds of %lld had been "
                   "acknowledged before.",
                   key_of(c, o), (long long)(sum_of(o) - added_by(o)),
                   (long long)low);
            break;
        }
    }
    /* Upper bound: by end of the reader. */
    for (size_t i = 0; i < n; i++) {
        const struct op *o = op_of(c, ends[i]);
        for (; m < g->n && op_of(c, g->ops[m])->t0 <= o->t1; m++) {
            if (op_of(c, g->ops[m])->end != OP_FAIL) {
                high += added_by(op_of(c, g->ops[m]));
            }
        }
        if (sum_of(o) > high) {
            report_excess(c, g, ends[i], sum_of(o) - high);
            break;
        }
    }
    free(ends);
    free(begins);
}

/* The sums of acknowledged adds line up: none overlap, and what is between
 * two is made of adds of unknown outcome. */
static void counter_line_up(struct check *c, const struct group *g)
{
    uint32_t *ok = hf_calloc(g->n + 1, sizeof(*ok));
    int64_t at = 0;
    uint32_t before = NOBODY;
    size_t n = 0;

    for (size_t i = 0; i < g->n; i++) {
        if (op_of(c, g->ops[i])->end == OP_OK) {
            ok[n++] = g->ops[i];
        }
    }
    qsort_r(ok, n, sizeof(*ok), by_sum, c);
    for (size_t i = 0; i < n; i++) {
        const struct op *o = op_of(c, ok[i]);
        int64_t from = sum_of(o) - added_by(o);
        uint32_t ops[2] = {ok[i], before};
        if (from < at) {
            found(c, W_COUNTER, "lost update", ops, before == NOBODY ? 1 : 2,
                  "Counter %s: an add of %lld was answered %lld, but the sum "
                  "of another was %lld: one of them is not in the other.",
                  key_of(c, o), (long long)added_by(o), (long long)sum_of(o),
                  (long long)at);
            break;
        }
        if (from > at && !made_of(c, g, OP_INFO, o->t1, from - at)) {
            report_excess(c, g, ok[i], from - at);
            break;
        }
        if (o->f == F_ADD) {
            before = ok[i];
        }
        at = sum_of(o);
    }
    free(ok);
}

/* One after the other in real time, sums do not go back. */
static void counter_order(struct check *c, const struct group *g)
{
    uint32_t *ends = hf_calloc(g->n + 1, sizeof(*ends));
    uint32_t top = NOBODY;
    size_t n = 0;
    size_t k = 0;

    for (size_t i = 0; i < g->n; i++) {
        if (op_of(c, g->ops[i])->end == OP_OK) {
            ends[n++] = g->ops[i];
        }
    }
    qsort_r(ends, n, sizeof(*ends), by_end, c);
    for (size_t i = 0; i < g->n; i++) {
        const struct op *o = op_of(c, g->ops[i]);
        for (; k < n && op_of(c, ends[k])->t1 < o->t0; k++) {
            if (top == NOBODY ||
                sum_of(op_of(c, ends[k])) > sum_of(op_of(c, top))) {
                top = ends[k];
            }
        }
        if (o->end == OP_OK && top != NOBODY &&
            sum_of(o) - added_by(o) < sum_of(op_of(c, top))) {
            found2(c, W_COUNTER, o->f == F_READ ? "stale read" : "lost update",
                   top, g->ops[i],
                   "Counter %s was at %lld, and a later operation found %lld.",
                   key_of(c, o), (long long)sum_of(op_of(c, top)),
                   (long long)(sum_of(o) - added_by(o)));
            break;
        }
    }
    free(ends);
}

struct sums {
    const struct check *c;
    const uint32_t *ops;
    size_t words;
};

static bool counter_step(const void *model,
                         size_t i,
                         const int64_t *from,
                         int64_t *to)
{
    const struct sums *s = model;
    const struct op *o = op_of(s->c, s->ops[i]);

    *to = *from + added_by(o);
    return o->end != OP_OK || sum_of(o) == *to;
}

/* Operations of @g that the search takes, into @ops and @w. */
static size_t for_search(const struct check *c,
                         const struct group *g,
                         int64_t from,
                         uint32_t *ops,
                         struct wgl_op *w)
{
    size_t n = 0;

    for (size_t i = 0; i < g->n; i++) {
        const struct op *o = op_of(c, g->ops[i]);
        if (o->f == F_INIT || o->end == OP_FAIL || o->t0 <= from ||
            (o->end == OP_INFO && o->f == F_READ)) {
            continue;
        }
        ops[n] = g->ops[i];
        w[n++] = (struct wgl_op){o->t0, o->t1, o->end == OP_INFO};
    }
    return n;
}

static void counter_search(struct check *c, const struct group *g)
{
    uint32_t *ops = hf_calloc(g->n + 1, sizeof(*ops));
    struct wgl_op *w = hf_calloc(g->n + 1, sizeof(*w));
    struct sums s = {c, ops, 1};
    int64_t zero = 0;
    size_t n = for_search(c, g, INT64_MIN, ops, w);

    /* Given up: the sums have decided already. */
    if (wgl_run(w, n, 1, &zero, counter_step, &s, c->states_max, NULL) ==
        WGL_INVALID) {
        found(c, W_COUNTER, "not linearizable", ops, n,
              "Counter %s: no order of its adds agrees with real time and "
              "with the sums.",
              history_str(c->h, g->key));
    }
    free(ops);
    free(w);
}

void check_counter(struct check *c)
{
    struct groups g = groups_of(c, W_COUNTER);
    size_t searched = 0;

    for (size_t i = 0; i < g.n; i++) {
        const struct group *one = &g.of[i];
        uint64_t before = c->w[W_COUNTER].violations;
        bool positive = true;
        for (size_t k = 0; k < one->n; k++) {
            const struct op *o = op_of(c, one->ops[k]);
            positive &= o->f != F_ADD || o->in.u.i > 0;
        }
        if (!positive) {
            undecided(c, W_COUNTER, "counter %s: adds that are not positive",
                      history_str(c->h, one->key));
            continue;
        }
        counter_line_up(c, one);
        if (c->w[W_COUNTER].violations == before) {
            counter_bounds(c, one);
        }
        if (c->w[W_COUNTER].violations == before) {
            counter_order(c, one);
        }
        if (c->w[W_COUNTER].violations == before &&
            one->n <= COUNTER_SEARCH_MAX) {
            counter_search(c, one);
            searched++;
        }
    }
    looked_at(c, W_COUNTER, "%zu counters, %zu of them searched", g.n,
              searched);
    groups_free(&g);
}

/* ---- bank ---- */

static bool bank_step(const void *model,
                      size_t i,
                      const int64_t *from,
                      int64_t *to)
{
    const struct sums *s = model;
    const struct op *o = op_of(s->c, s->ops[i]);
    const int64_t *v = o->in.u.ints;

    if (o->f == F_READ) {
        if (memcmp(o->out.u.ints, from, s->words * sizeof(*from)) != 0) {
            return false;
        }
        memcpy(to, from, s->words * sizeof(*to));
        return true;
    }
    if (from[v[0]] < v[2]) {
        return false;
    }
    memcpy(to, from, s->words * sizeof(*to));
    to[v[0]] -= v[2];
    to[v[1]] += v[2];
    return true;
}

/* Everything names accounts that are there, and the first operation is the
 * init. */
static uint32_t bank_init(struct check *c, const struct group *g)
{
    uint32_t init = NOBODY;
    const char *bank = history_str(c->h, g->key);

    for (size_t i = 0; i < g->n && init == NOBODY; i++) {
        if (op_of(c, g->ops[i])->f == F_INIT) {
            init = g->ops[i];
        }
    }
    if (init == NOBODY || op_of(c, init)->end != OP_OK) {
        if (g->n > 1) {
            undecided(c, W_BANK, "bank %s has no init that was answered", bank);
        }
        return NOBODY;
    }
    for (size_t i = 0; i < g->n; i++) {
        const struct op *o = op_of(c, g->ops[i]);
        int64_t n = op_of(c, init)->in.n;
        if (o->f == F_TRANSFER &&
            (o->in.u.ints[0] < 0 || o->in.u.ints[0] >= n ||
             o->in.u.ints[1] < 0 || o->in.u.ints[1] >= n)) {
            undecided(c, W_BANK, "bank %s: line %u names no account", bank,
                      o->line);
            return NOBODY;
        }
    }
    return init;
}

static int64_t total(const struct val *v)
{
    int64_t sum = 0;

    for (uint32_t i = 0; i < v->n; i++) {
        sum += v->u.ints[i];
    }
    return sum;
}

/* Sum and sign of every read. */
static bool bank_reads(struct check *c, const struct group *g, uint32_t init)
{
    const struct op *first = op_of(c, init);
    bool good = true;

    for (size_t i = 0; i < g->n; i++) {
        const struct op *o = op_of(c, g->ops[i]);
        int64_t least = 0;
        if (o->f != F_READ || o->end != OP_OK || o->t0 <= first->t1) {
            continue;
        }
        if (o->out.type != V_INTS) {
            found1(c, W_BANK, "lost write", g->ops[i],
                   "Bank %s: an account is not there.", key_of(c, o));
            good = false;
            continue;
        }
        if (o->out.n != first->in.n || total(&o->out) != total(&first->in)) {
            found1(c, W_BANK, "torn transaction", g->ops[i],
                   "Bank %s: the balances of one read make %lld, not %lld.",
                   key_of(c, o), (long long)total(&o->out),
                   (long long)total(&first->in));
            good = false;
            continue;
        }
        for (uint32_t k = 0; k < o->out.n; k++) {
            least = o->out.u.ints[k] < least ? o->out.u.ints[k] : least;
        }
        if (least < 0) {
            found1(c, W_BANK, "negative balance", g->ops[i],
                   "Bank %s: an account is at %lld.", key_of(c, o),
                   (long long)least);
            good = false;
        }
    }
    return good;
}

struct bank_shrink {
    struct check *c;
    const uint32_t *ops;
    const struct wgl_op *w;
    size_t n;
    size_t words;
    const int64_t *initial;
};

/* Only reads may go; a transfer is part of every balance after it. */
static bool bank_may_go(const void *model, size_t i, const bool *kept)
{
    const struct bank_shrink *b = model;

    (void)kept;
    return op_of(b->c, b->ops[i])->f == F_READ;
}

static enum wgl_verdict bank_search(const struct bank_shrink *b,
                                    const bool *kept)
{
    uint32_t *ops = hf_calloc(b->n + 1, sizeof(*ops));
    struct wgl_op *w = hf_calloc(b->n + 1, sizeof(*w));
    struct sums s = {b->c, ops, b->words};
    enum wgl_verdict v;
    size_t n = 0;

    for (size_t i = 0; i < b->n; i++) {
        if (kept == NULL || kept[i]) {
            ops[n] = b->ops[i];
            w[n++] = b->w[i];
        }
    }
    v = wgl_run(w, n, b->words, b->initial, bank_step, &s, b->c->states_max,
                NULL);
    free(ops);
    free(w);
    return v;
}

static bool bank_bad(const void *model, const bool *kept)
{
    return bank_search(model, kept) == WGL_INVALID;
}

/* Does it add up once the one refused transfer @i was applied after all? */
static bool bank_lie(const struct bank_shrink *b, uint32_t i)
{
    struct bank_shrink with = *b;
    uint32_t *ops = hf_malloc((b->n + 1) * sizeof(*ops));
    struct wgl_op *w = hf_malloc((b->n + 1) * sizeof(*w));
    enum wgl_verdict v;

    memcpy(ops, b->ops, b->n * sizeof(*ops));
    memcpy(w, b->w, b->n * sizeof(*w));
    ops[b->n] = i;
    w[b->n] = (struct wgl_op){op_of(b->c, i)->t0, OP_NEVER, true};
    with.ops = ops;
    with.w = w;
    with.n = b->n + 1;
    v = bank_search(&with, NULL);
    free(ops);
    free(w);
    return v == WGL_VALID;
}

/* Does it add up if read @k is of any earlier moment? */
static bool bank_stale(const struct bank_shrink *b, size_t k)
{
    struct bank_shrink early = *b;
    struct wgl_op *w = hf_malloc((b->n + 1) * sizeof(*w));
    enum wgl_verdict v;

    memcpy(w, b->w, b->n * sizeof(*w));
    w[k].t0 = INT64_MIN;
    early.w = w;
    v = bank_search(&early, NULL);
    free(w);
    return v == WGL_VALID;
}

/* Single operations that explain all. True if one does. */
static bool report_bank_cause(struct bank_shrink *b,
                              const struct group *g,
                              const bool *kept,
                              uint32_t *ops,
                              size_t n)
{
    for (size_t k = 0; k < b->n; k++) {
        const struct op *o = op_of(b->c, b->ops[k]);
        if (kept[k] && o->f == F_READ && bank_stale(b, k)) {
            found(b->c, W_BANK, "stale read", ops, n,
                  "Bank %s: the read at %.6f s shows balances of an earlier "
                  "time.",
                  key_of(b->c, o), seconds(o->t0 - b->c->h->begin));
            return true;
        }
    }
    for (size_t k = 0; k < g->n; k++) {
        const struct op *o = op_of(b->c, g->ops[k]);
        if (o->f == F_TRANSFER && o->end == OP_FAIL && bank_lie(b, g->ops[k])) {
            ops[n] = g->ops[k];
            found(b->c, W_BANK, "lie", ops, n + 1,
                  "Bank %s: the transfer at %.6f s was answered \"certainly "
                  "not applied\", but the balances only add up with it.",
                  key_of(b->c, o), seconds(o->t0 - b->c->h->begin));
            return true;
        }
    }
    return false;
}

/* What no order explains: the reads that matter and all transfers. */
static void report_bank(struct bank_shrink *b, const struct group *g)
{
    bool *kept = hf_calloc(b->n + 1, sizeof(*kept));
    uint32_t *ops = hf_calloc(b->n + 2, sizeof(*ops));
    size_t n = 0;

    memset(kept, true, b->n);
    wgl_shrink(kept, b->n, bank_may_go, bank_bad, b);
    for (size_t i = 0; i < b->n; i++) {
        if (kept[i]) {
            ops[n++] = b->ops[i];
        }
    }
    hf_assert(n > 0);
    if (!report_bank_cause(b, g, kept, ops, n)) {
        found(b->c, W_BANK, "not linearizable", ops, n,
              "Bank %s: no order of its transfers agrees with real time and "
              "with the balances read.",
              key_of(b->c, op_of(b->c, ops[0])));
    }
    free(kept);
    free(ops);
}

static bool bank_key(struct check *c, const struct group *g)
{
    uint32_t init = bank_init(c, g);
    uint32_t *ops;
    struct wgl_op *w;
    struct bank_shrink b;
    enum wgl_verdict v;

    if (init == NOBODY || !bank_reads(c, g, init)) {
        return false;
    }
    ops = hf_calloc(g->n + 1, sizeof(*ops));
    w = hf_calloc(g->n + 1, sizeof(*w));
    b = (struct bank_shrink){.c = c,
                             .ops = ops,
                             .w = w,
                             .words = op_of(c, init)->in.n,
                             .initial = op_of(c, init)->in.u.ints};
    b.n = for_search(c, g, op_of(c, init)->t1, ops, w);
    v = b.words > 0 ? bank_search(&b, NULL) : WGL_VALID;
    if (v == WGL_INVALID) {
        report_bank(&b, g);
    } else if (v == WGL_UNKNOWN && b.n <= BANK_SEARCH_MAX) {
        undecided(c, W_BANK, "bank %s: more than %llu states to search",
                  history_str(c->h, g->key), (unsigned long long)c->states_max);
    }
    free(ops);
    free(w);
    return v == WGL_VALID;
}

void check_bank(struct check *c)
{
    struct groups g = groups_of(c, W_BANK);
    size_t searched = 0;

    for (size_t i = 0; i < g.n; i++) {
        searched += bank_key(c, &g.of[i]);
    }
    looked_at(c, W_BANK, "%zu banks, %zu of them searched", g.n, searched);
    groups_free(&g);
}
