#include "jepsen-lite/check.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mutant.h"
#include "jepsen-lite/check_int.h"
#include "jepsen-lite/check_wgl.h"

/* ---- what a check finds ---- */

static char *text_of(const char *fmt, va_list ap)
{
    char *text = NULL;

    hf_assert(vasprintf(&text, fmt, ap) >= 0);
    return text;
}

static int tag_order(const void *x, const void *y, void *ops)
{
    uint32_t a = ((const uint32_t *)ops)[*(const uint32_t *)x - 1];
    uint32_t b = ((const uint32_t *)ops)[*(const uint32_t *)y - 1];

    return a < b ? -1 : a > b;
}

/* Operations of a finding by time, each with its tag. Of many the last ones:
 * they are where it came to light. */
static void set_ops(struct finding *f, const uint32_t *ops, size_t n)
{
    uint32_t *copy = hf_malloc(n * sizeof(*copy));

    f->n_all = n;
    f->n_ops = n < CHECK_FINDING_OPS ? n : CHECK_FINDING_OPS;
    f->tags = hf_malloc(n * sizeof(*f->tags));
    f->ops = hf_malloc(n * sizeof(*f->ops));
    memcpy(copy, ops, n * sizeof(*copy));
    for (size_t i = 0; i < n; i++) {
        f->tags[i] = (uint32_t)i + 1;
    }
    qsort_r(f->tags, n, sizeof(*f->tags), tag_order, copy);
    memmove(f->tags, f->tags + (n - f->n_ops), f->n_ops * sizeof(*f->tags));
    for (size_t i = 0; i < f->n_ops; i++) {
        f->ops[i] = ops[f->tags[i] - 1];
    }
    free(copy);
}

void found(struct check *c,
           enum workload w,
           const char *anomaly,
           const uint32_t *ops,
           size_t n,
           const char *fmt,
           ...)
{
    struct judged *j = &c->w[w];
    struct finding *f;
    va_list ap;

    hf_assert(n > 0);
    if (mutant(CHECK_ACCEPTS_ALL)) {
        return;
    }
    j->violations++;
    if (j->n_findings == CHECK_FINDINGS_MAX) {
        return;
    }
    f = &j->findings[j->n_findings++];
    f->anomaly = anomaly;
    set_ops(f, ops, n);
    va_start(ap, fmt);
    f->text = text_of(fmt, ap);
    va_end(ap);
}

void found_ring(struct check *c,
                enum workload w,
                const char *anomaly,
                const uint32_t *ops,
                size_t n,
                const char *text)
{
    struct judged *j = &c->w[w];
    size_t before = j->n_findings;

    found(c, w, anomaly, ops, n, "%s", text);
    if (j->n_findings > before) {
        j->findings[before].ring = true;
    }
}

void undecided(struct check *c, enum workload w, const char *fmt, ...)
{
    va_list ap;

    if (c->w[w].unknown == NULL) {
        va_start(ap, fmt);
        c->w[w].unknown = text_of(fmt, ap);
        va_end(ap);
    }
}

void looked_at(struct check *c, enum workload w, const char *fmt, ...)
{
    va_list ap;

    free(c->w[w].how);
    va_start(ap, fmt);
    c->w[w].how = text_of(fmt, ap);
    va_end(ap);
}

/* ---- operations by key ---- */

struct sort_key {
    uint32_t key;
    uint32_t op;
};

static int by_key(const void *x, const void *y)
{
    const struct sort_key *a = x;
    const struct sort_key *b = y;

    if (a->key != b->key) {
        return a->key < b->key ? -1 : 1;
    }
    return a->op < b->op ? -1 : a->op > b->op;
}

struct groups groups_of(const struct check *c, enum workload w)
{
    struct groups g = {NULL, 0, NULL};
    struct sort_key *all;
    size_t n = 0;

    all = hf_malloc((c->h->n_ops + 1) * sizeof(*all));
    for (uint32_t i = 0; i < c->h->n_ops; i++) {
        if (c->h->ops[i].w == (uint8_t)w) {
            all[n++] = (struct sort_key){c->h->ops[i].key, i};
        }
    }
    qsort(all, n, sizeof(*all), by_key);
    g.memory = hf_malloc((n + 1) * sizeof(*g.memory));
    g.of = hf_malloc((n + 1) * sizeof(*g.of));
    for (size_t i = 0; i < n; i++) {
        g.memory[i] = all[i].op;
        if (i == 0 || all[i].key != all[i - 1].key) {
            g.of[g.n++] = (struct group){&g.memory[i], 0, all[i].key};
        }
        g.of[g.n - 1].n++;
    }
    free(all);
    return g;
}

void groups_free(struct groups *g)
{
    free(g->of);
    free(g->memory);
}

/* ---- the whole ---- */

void check_init(struct check *c, struct history *h)
{
    *c = (struct check){
        .h = h, .states_max = WGL_STATES_MAX, .ok_min = CHECK_OK_MIN};
}

void check_release(struct check *c)
{
    for (int w = 0; w < W_COUNT; w++) {
        for (size_t i = 0; i < c->w[w].n_findings; i++) {
            free(c->w[w].findings[i].text);
            free(c->w[w].findings[i].ops);
            free(c->w[w].findings[i].tags);
        }
        free(c->w[w].unknown);
        free(c->w[w].how);
    }
    free(c->void_why);
}

static void set_void(struct check *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static void set_void(struct check *c, const char *fmt, ...)
{
    va_list ap;

    if (c->void_why == NULL) {
        va_start(ap, fmt);
        c->void_why = text_of(fmt, ap);
        va_end(ap);
    }
}

/* Workload @w was asked for and ends with a read at every node: it is there.
 * The clients' own word (settled) is not taken for it. */
static void check_final(struct check *c, enum workload w)
{
    uint64_t nodes = 0;

    for (size_t i = 0; i < c->h->n_ops; i++) {
        const struct op *o = &c->h->ops[i];
        if (o->w == (uint8_t)w && o->final && o->end == OP_OK &&
            o->node < HISTORY_NODES_MAX) {
            nodes |= 1ULL << o->node;
        }
    }
    for (int n = 1; n <= c->h->nodes && n < HISTORY_NODES_MAX; n++) {
        if ((nodes >> n & 1) == 0) {
            set_void(c, "workload %s has no final read at node %d",
                     workload_names[w], n);
        }
    }
}

/* Some fault proved that it bit. The nemesis' own sum is not taken for it. */
static bool bitten(const struct history *h)
{
    for (size_t i = 0; i < h->n_faults; i++) {
        if (!h->faults[i].leader && h->faults[i].bit) {
            return true;
        }
    }
    return false;
}

/* A run that proves nothing. */
static void check_void(struct check *c)
{
    /* Locks and stale reads have none, and a bank may be closed. */
    static const enum workload last[] = {
        W_REGISTER, W_APPEND, W_SET,      W_COUNTER, W_IDS,
        W_TTL,      W_FEED,   W_TRACKING, W_WATCH,   W_STATE};
    uint64_t ok = 0;

    if (!c->h->summary) {
        set_void(c, "the nemesis left no summary");
    } else if (c->h->nemesis_void) {
        set_void(c, "the nemesis says so: a fault did not bite");
    } else if (!bitten(c->h)) {
        set_void(c, "no fault bit");
    }
    if (c->h->died > 0) {
        set_void(c, "a node ended that no fault had ended");
    } else if (c->h->summary && !c->h->whole) {
        set_void(c, "the cluster was not whole at the end");
    }
    if (!c->h->load_summary) {
        set_void(c, "the clients left no summary: the history is cut");
    } else if (!c->h->settled) {
        set_void(c, "the clients say so: the final reads are not complete");
    }
    for (int w = 0; w < W_COUNT; w++) {
        ok += c->w[w].count[OP_OK];
        if (c->h->asked[w] && c->w[w].count[OP_OK] == 0) {
            set_void(c, "workload %s has no operation that succeeded",
                     workload_names[w]);
        }
    }
    for (size_t i = 0; i < sizeof(last) / sizeof(last[0]); i++) {
        if (c->h->asked[last[i]]) {
            check_final(c, last[i]);
        }
    }
    if (ok < c->ok_min) {
        set_void(c, "only %llu operations succeeded; %llu are needed",
                 (unsigned long long)ok, (unsigned long long)c->ok_min);
    }
}

int check_run(struct check *c)
{
    static void (*const checks[W_COUNT])(struct check *) = {
        [W_REGISTER] = check_register, [W_APPEND] = check_append,
        [W_SET] = check_set,           [W_COUNTER] = check_counter,
        [W_BANK] = check_bank,         [W_IDS] = check_ids,
        [W_LOCK] = check_lock,         [W_STALE] = check_stale,
        [W_TTL] = check_ttl,           [W_FEED] = check_feed,
        [W_TRACKING] = check_tracking, [W_WATCH] = check_watch,
        [W_STATE] = check_state,
    };

    for (size_t i = 0; i < c->h->n_ops; i++) {
        struct judged *j = &c->w[c->h->ops[i].w];
        j->ops++;
        j->count[c->h->ops[i].end]++;
    }
    for (int w = 0; w < W_COUNT; w++) {
        struct judged *j = &c->w[w];
        if (j->ops == 0) {
            j->verdict = VERDICT_NONE;
            continue;
        }
        checks[w](c);
        j->verdict = j->violations > 0    ? VERDICT_INVALID
                     : j->unknown != NULL ? VERDICT_UNKNOWN
                                          : VERDICT_VALID;
    }
    check_void(c);
    return check_status(c);
}

int check_status(const struct check *c)
{
    bool unknown = c->void_why != NULL;

    for (int w = 0; w < W_COUNT; w++) {
        if (c->w[w].verdict == VERDICT_INVALID) {
            return CHECK_VIOLATION;
        }
        unknown |= c->w[w].verdict == VERDICT_UNKNOWN;
    }
    return unknown ? CHECK_UNKNOWN : CHECK_VALID;
}

const char *check_word(int status)
{
    switch (status) {
        case CHECK_VALID:
            return "valid";
        case CHECK_VIOLATION:
            return "violation";
        default:
            return "unknown";
    }
}
