#include "jepsen-lite/check_wgl.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "jepsen-lite/check_map.h"

/* The list holds calls and returns by time. An operation that was put in
 * order is lifted out with its return; going back unlifts it. */
enum { NIL = 0 };

struct entry {
    int64_t t;
    uint32_t op;
    bool ret;
};

struct seen {
    uint64_t a;
    uint64_t b;
};

struct wgl {
    const struct wgl_op *ops;
    size_t words;
    wgl_step step;
    const void *model;
    uint32_t *next; /* by entry number; 0 is the head */
    uint32_t *prev;
    uint32_t *op_of;
    bool *is_ret;
    uint32_t *call; /* entry of an operation's call */
    uint32_t *ret;  /* NIL: none */
    uint32_t *stack;
    int64_t *states; /* one per depth */
    size_t depth;
    size_t left; /* operations that must still be put in order */
    uint64_t set_a;
    uint64_t set_b;
    struct seen *seen;
    size_t seen_cap;
    size_t seen_n;
};

static int by_time(const void *x, const void *y)
{
    const struct entry *a = x;
    const struct entry *b = y;

    if (a->t != b->t) {
        return a->t < b->t ? -1 : 1;
    }
    /* Equal times prove no order: calls first. */
    if (a->ret != b->ret) {
        return a->ret ? 1 : -1;
    }
    return a->op < b->op ? -1 : a->op > b->op;
}

static void wgl_list(struct wgl *w, size_t n)
{
    struct entry *entries = hf_malloc((2 * n + 1) * sizeof(*entries));
    size_t k = 0;

    for (size_t i = 0; i < n; i++) {
        const struct wgl_op *o = &w->ops[i];
        entries[k++] = (struct entry){o->t0, (uint32_t)i, false};
        if (!o->optional) {
            hf_assert(o->t1 >= o->t0);
            entries[k++] = (struct entry){o->t1, (uint32_t)i, true};
            w->left++;
        }
    }
    qsort(entries, k, sizeof(*entries), by_time);
    for (size_t i = 0; i < k; i++) {
        uint32_t e = (uint32_t)(i + 1);
        w->op_of[e] = entries[i].op;
        w->is_ret[e] = entries[i].ret;
        w->prev[e] = (uint32_t)i;
        w->next[e] = i + 1 < k ? e + 1 : NIL;
        if (entries[i].ret) {
            w->ret[entries[i].op] = e;
        } else {
            w->call[entries[i].op] = e;
        }
    }
    w->next[0] = k > 0 ? 1 : NIL;
    free(entries);
}

static void unlink_entry(struct wgl *w, uint32_t e)
{
    w->next[w->prev[e]] = w->next[e];
    if (w->next[e] != NIL) {
        w->prev[w->next[e]] = w->prev[e];
    }
}

static void relink_entry(struct wgl *w, uint32_t e)
{
    w->next[w->prev[e]] = e;
    if (w->next[e] != NIL) {
        w->prev[w->next[e]] = e;
    }
}

static void toggle(struct wgl *w, uint32_t op)
{
    w->set_a ^= mix64(2 * (uint64_t)op + 1);
    w->set_b ^= mix64(~(2 * (uint64_t)op));
}

static bool seen_add(struct seen *table, size_t cap, struct seen s)
{
    for (size_t i = (size_t)s.a;; i++) {
        struct seen *p = &table[i & (cap - 1)];
        if (p->a == s.a && p->b == s.b) {
            return false;
        }
        if (p->a == 0 && p->b == 0) {
            *p = s;
            return true;
        }
    }
}

/* True if the set of operations with this state is new. */
static bool remember(struct wgl *w, const int64_t *state)
{
    struct seen s = {w->set_a, w->set_b};

    for (size_t i = 0; i < w->words; i++) {
        s.a = mix64(s.a + mix64((uint64_t)state[i] + 1));
        s.b = mix64(s.b + mix64((uint64_t)state[i] ^ 0x5851F42D4C957F2DULL));
    }
    s.b |= 1; /* never the empty slot */
    if (w->seen_n * 2 >= w->seen_cap) {
        size_t cap = w->seen_cap == 0 ? 256 : w->seen_cap * 2;
        struct seen *bigger = hf_calloc(cap, sizeof(*bigger));
        for (size_t i = 0; i < w->seen_cap; i++) {
            if (w->seen[i].b != 0) {
                seen_add(bigger, cap, w->seen[i]);
            }
        }
        free(w->seen);
        w->seen = bigger;
        w->seen_cap = cap;
    }
    if (!seen_add(w->seen, w->seen_cap, s)) {
        return false;
    }
    w->seen_n++;
    return true;
}

static void lift(struct wgl *w, uint32_t op)
{
    unlink_entry(w, w->call[op]);
    if (w->ret[op] != NIL) {
        unlink_entry(w, w->ret[op]);
        w->left--;
    }
}

static void unlift(struct wgl *w, uint32_t op)
{
    if (w->ret[op] != NIL) {
        relink_entry(w, w->ret[op]);
        w->left++;
    }
    relink_entry(w, w->call[op]);
}

/* Put the operation of call @e next, if it can be and leads to something
 * new. */
static bool advance(struct wgl *w, uint32_t e)
{
    uint32_t op = w->op_of[e];
    const int64_t *from = w->states + w->depth * w->words;
    int64_t *to = w->states + (w->depth + 1) * w->words;

    if (!w->step(w->model, op, from, to)) {
        return false;
    }
    toggle(w, op);
    if (!remember(w, to)) {
        toggle(w, op);
        return false;
    }
    w->stack[w->depth++] = e;
    lift(w, op);
    return true;
}

static enum wgl_verdict wgl_search(struct wgl *w, uint64_t states_max)
{
    uint32_t e = w->next[0];

    while (w->left > 0) {
        if (e != NIL && !w->is_ret[e]) {
            e = advance(w, e) ? w->next[0] : w->next[e];
            if (w->seen_n > states_max) {
                return WGL_UNKNOWN;
            }
            continue;
        }
        /* An operation has ended that is not in order yet: go back. */
        if (w->depth == 0) {
            return WGL_INVALID;
        }
        e = w->stack[--w->depth];
        toggle(w, w->op_of[e]);
        unlift(w, w->op_of[e]);
        e = w->next[e];
    }
    return WGL_VALID;
}

enum wgl_verdict wgl_run(const struct wgl_op *ops,
                         size_t n,
                         size_t words,
                         const int64_t *initial,
                         wgl_step step,
                         const void *model,
                         uint64_t states_max,
                         uint64_t *states)
{
    struct wgl w = {.ops = ops, .words = words, .step = step, .model = model};
    enum wgl_verdict v;
    size_t entries = 2 * n + 1;

    hf_assert(words > 0);
    hf_assert(n < UINT32_MAX / 2);
    w.next = hf_calloc(entries, sizeof(*w.next));
    w.prev = hf_calloc(entries, sizeof(*w.prev));
    w.op_of = hf_calloc(entries, sizeof(*w.op_of));
    w.is_ret = hf_calloc(entries, sizeof(*w.is_ret));
    w.call = hf_calloc(n + 1, sizeof(*w.call));
    w.ret = hf_calloc(n + 1, sizeof(*w.ret));
    w.stack = hf_calloc(n + 1, sizeof(*w.stack));
    w.states = hf_calloc((n + 2) * words, sizeof(*w.states));
    memcpy(w.states, initial, words * sizeof(*initial));
    wgl_list(&w, n);
    v = wgl_search(&w, states_max);
    if (states != NULL) {
        *states = w.seen_n;
    }
    free(w.next);
    free(w.prev);
    free(w.op_of);
    free(w.is_ret);
    free(w.call);
    free(w.ret);
    free(w.stack);
    free(w.states);
    free(w.seen);
    return v;
}

/* Leave out those of @from..@to-1 that may go, if it stays bad without. */
static bool shrink_by(bool *kept,
                      bool *trial,
                      size_t n,
                      size_t from,
                      size_t to,
                      bool (*may_go)(const void *, size_t, const bool *),
                      bool (*bad)(const void *, const bool *),
                      const void *model)
{
    bool any = false;

    memcpy(trial, kept, n * sizeof(*trial));
    for (size_t i = from; i < to; i++) {
        if (trial[i] && may_go(model, i, trial)) {
            trial[i] = false;
            any = true;
        }
    }
    if (!any || !bad(model, trial)) {
        return false;
    }
    memcpy(kept, trial, n * sizeof(*trial));
    return true;
}

void wgl_shrink(bool *kept,
                size_t n,
                bool (*may_go)(const void *model, size_t i, const bool *kept),
                bool (*bad)(const void *model, const bool *kept),
                const void *model)
{
    bool *trial = hf_calloc(n + 1, sizeof(*trial));
    size_t chunk = n;
    bool progress = false;

    while (chunk > 0) {
        progress = false;
        for (size_t from = 0; from < n; from += chunk) {
            size_t to = n - from < chunk ? n : from + chunk;
            progress |= shrink_by(kept, trial, n, from, to, may_go, bad, model);
        }
        if (!progress) {
            chunk /= 2;
        }
    }
    free(trial);
}
