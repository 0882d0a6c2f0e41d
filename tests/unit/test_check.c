/* The judge: planted faults are found and named, good histories pass, and
 * the search agrees with brute force. */
#include <dirent.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/rng.h"
#include "jepsen-lite/check.h"
#include "jepsen-lite/check_wgl.h"

/* ---- saved histories ---- */

/* What tests/jepsen/NAME.jsonl is found to be; NULL: valid. The part before
 * the first dash is the workload. */
static const struct {
    const char *name;
    const char *anomaly;
} saved[] = {
    {"append-double-apply", "double apply"},
    {"append-g-single", "G-single"},
    {"append-g0", "G0"},
    {"append-g0-realtime", "G0-realtime"},
    {"append-g1a", "G1a"},
    {"append-g1b", "G1b"},
    {"append-g1c", "G1c"},
    {"append-g1c-realtime", "G1c-realtime"},
    {"append-g2", "G2-item"},
    {"append-good", NULL},
    {"append-lost-update", "lost update"},
    {"append-lost-write", "lost write"},
    {"append-order", "incompatible order"},
    {"append-own", "own append not seen"},
    {"append-phantom", "phantom"},
    {"append-stale-read", "G-single-realtime"},
    {"bank-good", NULL},
    {"bank-lie", "lie"},
    {"bank-negative", "negative balance"},
    {"bank-stale-read", "stale read"},
    {"bank-torn", "torn transaction"},
    {"counter-double-apply", "double apply"},
    {"counter-good", NULL},
    {"counter-lie", "lie"},
    {"counter-lost-update", "lost update"},
    {"counter-lost-write", "lost write"},
    {"counter-stale-read", "stale read"},
    {"feed-against-time", "against time"},
    {"feed-another-revision", "another revision"},
    {"feed-consumers-differ", "consumers differ"},
    {"feed-double-apply", "double apply"},
    {"feed-future", "read of the future"},
    {"feed-good", NULL},
    {"feed-hole", "hole"},
    {"feed-keys-differ", "keys differ"},
    {"feed-lie", "lie"},
    {"feed-lost-write", "lost write"},
    {"feed-missing", "missing"},
    {"feed-order", "out of order"},
    {"feed-phantom", "phantom"},
    {"feed-stale-read", "stale read"},
    {"feed-torn", "torn request"},
    {"feed-trimmed", "trimmed"},
    {"feed-twice", "seen twice"},
    {"ids-double-apply", "double apply"},
    {"ids-duplicate", "duplicate id"},
    {"ids-going-back", "id going back"},
    {"ids-good", NULL},
    {"lock-duplicate", "duplicate token"},
    {"lock-expired", "expired token accepted"},
    {"lock-going-back", "token going back"},
    {"lock-good", NULL},
    {"lock-held", "taken while held"},
    {"lock-phantom", "phantom token"},
    {"lock-released", "released token accepted"},
    {"lock-stale-token", "stale token accepted"},
    {"register-double-apply", "double apply"},
    {"register-future", "read of the future"},
    {"register-good", NULL},
    {"register-lie", "lie"},
    {"register-lost-update", "lost update"},
    {"register-lost-write", "lost write"},
    {"register-no-order", "not linearizable"},
    {"register-not-monotonic", "stale read"},
    {"register-phantom", "phantom"},
    {"register-rev-order", "revision order"},
    {"register-stale-read", "stale read"},
    {"register-stale-rev", "stale read"},
    {"set-double-apply", "double apply"},
    {"set-good", NULL},
    {"set-lie", "lie"},
    {"set-lost-element", "lost element"},
    {"set-lost-write", "lost write"},
    {"set-nodes-differ", "nodes differ"},
    {"set-phantom", "phantom"},
    {"set-resurrected", "resurrected element"},
    {"set-stale-read", "stale read"},
    {"stale-going-back", "session going back"},
    {"stale-good", NULL},
    {"stale-lie", "lie"},
    {"stale-own-write", "own write not seen"},
    {"stale-too-old", "too old"},
    {"state-differs", "nodes differ"},
    {"state-good", NULL},
    {"tracking-going-back", "session going back"},
    {"tracking-good", NULL},
    {"tracking-lie", "lie"},
    {"tracking-not-told", "not told"},
    {"tracking-own-write", "own write not seen"},
    {"tracking-phantom", "phantom"},
    {"tracking-stale-read", "stale read"},
    {"tracking-too-old", "too old"},
    {"ttl-early", "early expiry"},
    {"ttl-good", NULL},
    {"ttl-late", "late expiry"},
    {"ttl-lie", "lie"},
    {"ttl-resurrected", "resurrected"},
    {"watch-changed", "changed under watch"},
    {"watch-created", "changed under watch"},
    {"watch-expired", "expired under watch"},
    {"watch-future", "read of the future"},
    {"watch-good", NULL},
    {"watch-late", "late expiry"},
    {"watch-lie", "lie"},
    {"watch-lost-update", "lost update"},
    {"watch-phantom", "phantom"},
    {"watch-stale-read", "stale read"},
};

enum { SAVED = sizeof(saved) / sizeof(saved[0]) };

static const char *saved_dir(void)
{
    static char dir[4096];
    const char *src = getenv("srcdir");

    snprintf(dir, sizeof(dir), "%s/tests/jepsen", src == NULL ? "." : src);
    return dir;
}

/* What else a history needs to count: a fault that bit, and both summaries. */
static void make_count(struct history *h)
{
    h->faults = hf_calloc(1, sizeof(*h->faults));
    h->n_faults = 1;
    h->faults[0].bit = true;
    h->summary = true;
    h->whole = true;
    h->load_summary = true;
    h->settled = true;
}

/* A history that counts, with whatever few operations. */
static void start(struct check *c, struct history *h)
{
    make_count(h);
    h->nodes = 5;
    check_init(c, h);
    c->ok_min = 1;
}

static struct history *load_saved(const char *name)
{
    struct history *h = history_new();
    struct errmsg e = {{0}};
    char file[8192];

    snprintf(file, sizeof(file), "%s/%s.jsonl", saved_dir(), name);
    if (history_load_ops(h, file, &e) != 0) {
        fail_msg("%s", e.text);
    }
    return h;
}

static const struct judged *only_workload(const struct check *c)
{
    for (int w = 0; w < W_COUNT; w++) {
        if (c->w[w].verdict != VERDICT_NONE) {
            return &c->w[w];
        }
    }
    fail_msg("no workload has a verdict");
    return NULL;
}

/* Every saved history gets its verdict, and its fault its name. */
static void saved_histories(void **state)
{
    (void)state;
    for (size_t i = 0; i < SAVED; i++) {
        struct history *h = load_saved(saved[i].name);
        const struct judged *j;
        struct check c;
        int status;

        start(&c, h);
        status = check_run(&c);
        j = only_workload(&c);
        if (saved[i].anomaly == NULL) {
            if (status != CHECK_VALID) {
                fail_msg("%s: %s", saved[i].name,
                         j->n_findings > 0 ? j->findings[0].text : j->unknown);
            }
        } else {
            if (status != CHECK_VIOLATION) {
                fail_msg("%s: %s", saved[i].name, check_word(status));
            }
            if (strcmp(j->findings[0].anomaly, saved[i].anomaly) != 0) {
                fail_msg("%s: %s", saved[i].name, j->findings[0].anomaly);
            }
        }
        check_release(&c);
        history_free(h);
    }
}

/* Readers that never use their caches, or are never told anything, prove
 * nothing about caches. */
static void caches_are_used(void **state)
{
    (void)state;
    for (int without = 0; without < 3; without++) {
        struct history *h = load_saved("tracking-good");
        struct check c;

        for (size_t i = 0; i < h->n_ops; i++) {
            struct op *o = &h->ops[i];

            if (o->f == F_READ && o->cached && without == 1) {
                o->end = OP_FAIL;
            }
            if (o->f == F_TOLD && without == 2) {
                o->end = OP_FAIL;
            }
        }
        start(&c, h);
        assert_int_equal(check_run(&c),
                         without == 0 ? CHECK_VALID : CHECK_UNKNOWN);
        check_release(&c);
        history_free(h);
    }
}

/* No saved history is forgotten by the table above. */
static void all_saved_are_judged(void **state)
{
    DIR *d = opendir(saved_dir());
    size_t n = 0;
    struct dirent *f;

    (void)state;
    assert_non_null(d);
    while ((f = readdir(d)) != NULL) {
        n += strstr(f->d_name, ".jsonl") != NULL;
    }
    closedir(d);
    assert_int_equal(n, SAVED);
}

/* Reports of every saved history: JSON that parses, a page without anything
 * from outside, a text that names the anomaly. */
static void reports(void **state)
{
    (void)state;
    for (size_t i = 0; i < SAVED; i++) {
        struct history *h = load_saved(saved[i].name);
        struct check c;
        char *text[3] = {NULL, NULL, NULL};
        size_t size[3];
        void (*const print[3])(const struct check *, FILE *) = {
            check_text, check_json, check_timeline};
        json_t *j;

        start(&c, h);
        check_run(&c);
        for (int k = 0; k < 3; k++) {
            FILE *f = open_memstream(&text[k], &size[k]);
            print[k](&c, f);
            fclose(f);
            if (saved[i].anomaly != NULL) {
                assert_non_null(strstr(text[k], saved[i].anomaly));
            }
        }
        j = json_loads(text[1], JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(j);
        json_decref(j);
        assert_null(strstr(text[2], "http"));
        assert_null(strstr(text[2], "<script"));
        for (int k = 0; k < 3; k++) {
            free(text[k]);
        }
        check_release(&c);
        history_free(h);
    }
}

/* ---- histories made here ---- */

enum { OPS_MAX = 400 };

static struct op *add_op(struct history *h,
                         enum workload w,
                         enum function f,
                         int64_t p,
                         int64_t t0,
                         int64_t t1)
{
    struct op *o;

    if (h->ops == NULL) {
        h->ops = hf_calloc(OPS_MAX, sizeof(*h->ops));
        h->begin = 0;
    }
    assert_true(h->n_ops < OPS_MAX);
    o = &h->ops[h->n_ops++];
    *o = (struct op){.t0 = t0,
                     .t1 = t1,
                     .ended = t1,
                     .p = p,
                     .session = -1,
                     .index = -1,
                     .w = (uint8_t)w,
                     .f = (uint8_t)f,
                     .key = history_intern(h, "k"),
                     .line = (uint32_t)h->n_ops};
    return o;
}

static int by_begin(const void *x, const void *y)
{
    const struct op *a = x;
    const struct op *b = y;

    return a->t0 < b->t0 ? -1 : a->t0 > b->t0;
}

static struct val str_val(struct history *h, int n)
{
    char text[32];

    if (n == 0) {
        return (struct val){V_NULL, 0, {0}};
    }
    snprintf(text, sizeof(text), "v%d", n);
    return (struct val){V_STR, 0, {.s = history_intern(h, text)}};
}

static void set_cas(struct history *h, struct op *o, int old, int new)
{
    struct val *two = history_alloc(h, 2 * sizeof(*two));

    two[0] = str_val(h, old);
    two[1] = str_val(h, new);
    o->in = (struct val){V_LIST, 2, {.list = two}};
}

/* Of unknown outcome: nobody knows when it ended. */
static void set_info(struct op *o)
{
    o->end = OP_INFO;
    o->t1 = OP_NEVER;
}

struct plan {
    int ops;
    int processes;
    int info_permille; /* of changes */
    bool revs;
};

/* A register whose every operation took effect at one moment between its
 * begin and its end, if at all. Moments are @i * 10; begins and ends around
 * them overlap those of other processes. */
static void random_register(struct history *h,
                            struct rng *r,
                            const struct plan *plan)
{
    int64_t busy[16] = {0};
    int64_t process[16];
    int64_t next_process = 16;
    int value = 0;
    int last = 0;

    for (int i = 0; i < 16; i++) {
        process[i] = i;
    }
    for (int i = 1; i <= plan->ops; i++) {
        int who = (int)rng_below(r, (uint64_t)plan->processes);
        int64_t at = i * 10;
        int64_t span = 1 + (int64_t)rng_below(r, 10 * 8);
        int64_t t0 = at - span > busy[who] ? at - span : busy[who] + 1;
        int64_t t1 = at + 1 + (int64_t)rng_below(r, 10 * 8);
        struct op *o;

        if (busy[who] >= at) {
            continue;
        }
        busy[who] = t1;
        o = add_op(h, W_REGISTER, F_READ, process[who], t0, t1);
        if (rng_permille(r, 500)) {
            o->out = str_val(h, value);
            o->rev = plan->revs ? value : 0;
            continue;
        }
        last++;
        o->f = F_WRITE;
        o->in = str_val(h, last);
        if (value != 0 && rng_permille(r, 400)) {
            o->f = F_CAS;
            set_cas(h, o, value, last);
        }
        o->rev = plan->revs ? last : 0;
        if (rng_permille(r, 100)) {
            o->end = OP_FAIL;
            continue;
        }
        if (rng_permille(r, (uint64_t)plan->info_permille)) {
            set_info(o);
            o->rev = 0;
            process[who] = next_process++;
            if (rng_permille(r, 500)) {
                continue; /* it never happened */
            }
        }
        value = last;
    }
    qsort(h->ops, h->n_ops, sizeof(*h->ops), by_begin);
}

static int judge_register(struct history *h, struct check *c)
{
    start(c, h);
    c->ok_min = 0;
    return check_run(c);
}

/* A thousand random histories of a real register are all valid: few and many
 * processes, many unknown outcomes, with revisions and without. */
static void good_registers(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 1000; seed++) {
        struct rng r = {seed};
        struct plan plan = {20 + (int)rng_below(&r, 180),
                            1 + (int)rng_below(&r, 12), (int)rng_below(&r, 400),
                            seed % 2 == 0};
        struct history *h = history_new();
        struct check c;

        random_register(h, &r, &plan);
        if (judge_register(h, &c) != CHECK_VALID) {
            fail_msg("seed %d: %s", (int)seed,
                     c.w[W_REGISTER].n_findings > 0
                         ? c.w[W_REGISTER].findings[0].text
                         : c.w[W_REGISTER].unknown);
        }
        check_release(&c);
        history_free(h);
    }
}

/* ---- brute force: every order there is ---- */

struct brute {
    const struct op *ops[16];
    bool used[16];
    int n;
};

static uint32_t val_id(const struct val *v)
{
    return v->type == V_STR ? v->u.s : 0;
}

/* The value after @o, or UINT32_MAX if it cannot come now. */
static uint32_t brute_step(const struct op *o, uint32_t value)
{
    switch (o->f) {
        case F_READ:
            return val_id(&o->out) == value ? value : UINT32_MAX;
        case F_WRITE:
            return val_id(&o->in);
        default:
            return val_id(&o->in.u.list[0]) == value ? val_id(&o->in.u.list[1])
                                                     : UINT32_MAX;
    }
}

static bool brute_go(struct brute *b, uint32_t value)
{
    bool left = false;

    for (int i = 0; i < b->n; i++) {
        left |= !b->used[i] && b->ops[i]->end == OP_OK;
    }
    if (!left) {
        return true;
    }
    for (int i = 0; i < b->n; i++) {
        uint32_t next;
        bool late = b->used[i];
        for (int k = 0; k < b->n; k++) {
            late |= !b->used[k] && b->ops[k]->t1 < b->ops[i]->t0;
        }
        if (late) {
            continue;
        }
        next = brute_step(b->ops[i], value);
        if (next == UINT32_MAX) {
            continue;
        }
        b->used[i] = true;
        if (brute_go(b, next)) {
            return true;
        }
        b->used[i] = false;
    }
    return false;
}

static bool brute_valid(const struct history *h)
{
    struct brute b = {.n = 0};

    for (size_t i = 0; i < h->n_ops; i++) {
        if (h->ops[i].end == OP_OK ||
            (h->ops[i].end == OP_INFO && h->ops[i].f != F_READ)) {
            assert_true(b.n < 16);
            b.ops[b.n++] = &h->ops[i];
        }
    }
    return brute_go(&b, 0);
}

/* Let one read see another value that was written, or an acknowledged change
 * be refused: mostly wrong, sometimes not. */
static void spoil(struct history *h, struct rng *r)
{
    struct op *o = &h->ops[rng_below(r, h->n_ops)];
    int tries = 50;

    while (tries-- > 0 && (o->end != OP_OK || o->f != F_READ)) {
        o = &h->ops[rng_below(r, h->n_ops)];
    }
    if (o->f == F_READ && o->end == OP_OK) {
        const struct op *w = &h->ops[rng_below(r, h->n_ops)];
        o->out = (struct val){V_NULL, 0, {0}};
        if (w->f == F_WRITE) {
            o->out = w->in;
        }
    }
}

/* On 5,000 small histories, good and spoiled, the judge says what trying
 * every order says; both answers occur often. */
static void agrees_with_brute_force(void **state)
{
    int bad = 0;

    (void)state;
    for (uint64_t seed = 0; seed < 5000; seed++) {
        struct rng r = {seed * 7919 + 1};
        struct plan plan = {3 + (int)rng_below(&r, 7),
                            2 + (int)rng_below(&r, 4), 250, false};
        struct history *h = history_new();
        struct check c;
        bool valid;

        random_register(h, &r, &plan);
        if (seed % 4 != 0 && h->n_ops > 0) {
            spoil(h, &r);
        }
        valid = brute_valid(h);
        bad += !valid;
        if ((judge_register(h, &c) == CHECK_VALID) != valid) {
            check_text(&c, stderr);
            fail_msg("seed %d: by brute force it is %s", (int)seed,
                     valid ? "valid" : "not valid");
        }
        check_release(&c);
        history_free(h);
    }
    assert_in_range(bad, 400, 4600);
}

struct raw {
    int64_t sees[8];   /* 0: does not look */
    int64_t leaves[8]; /* 0: does not change */
};

static bool raw_step(const void *model,
                     size_t i,
                     const int64_t *from,
                     int64_t *to)
{
    const struct raw *m = model;

    if (m->sees[i] != 0 && m->sees[i] != *from) {
        return false;
    }
    *to = m->leaves[i] != 0 ? m->leaves[i] : *from;
    return true;
}

static bool raw_brute(const struct wgl_op *ops,
                      size_t n,
                      const struct raw *m,
                      unsigned used,
                      int64_t value)
{
    bool left = false;

    for (size_t i = 0; i < n; i++) {
        left |= ((used >> i) & 1) == 0 && !ops[i].optional;
    }
    if (!left) {
        return true;
    }
    for (size_t i = 0; i < n; i++) {
        bool late = ((used >> i) & 1) != 0;
        int64_t next;
        for (size_t k = 0; k < n; k++) {
            late |= ((used >> k) & 1) == 0 && !ops[k].optional &&
                    ops[k].t1 < ops[i].t0;
        }
        if (!late && raw_step(m, i, &value, &next) &&
            raw_brute(ops, n, m, used | 1U << i, next)) {
            return true;
        }
    }
    return false;
}

/* The search alone, on values that are not unique and times that are
 * sometimes equal. */
static void search_agrees_with_brute_force(void **state)
{
    int bad = 0;

    (void)state;
    for (uint64_t seed = 0; seed < 20000; seed++) {
        struct rng r = {seed};
        struct wgl_op ops[8];
        struct raw m = {{0}, {0}};
        size_t n = 1 + (size_t)rng_below(&r, 7);
        int64_t initial = 1;
        bool valid;

        for (size_t i = 0; i < n; i++) {
            ops[i].t0 = (int64_t)rng_below(&r, 12);
            ops[i].t1 = ops[i].t0 + (int64_t)rng_below(&r, 8);
            ops[i].optional = rng_permille(&r, 200);
            m.sees[i] =
                rng_permille(&r, 600) ? 1 + (int64_t)rng_below(&r, 3) : 0;
            m.leaves[i] =
                rng_permille(&r, 500) ? 1 + (int64_t)rng_below(&r, 3) : 0;
        }
        valid = raw_brute(ops, n, &m, 0, initial);
        bad += !valid;
        assert_int_equal(
            wgl_run(ops, n, 1, &initial, raw_step, &m, 100000, NULL),
            valid ? WGL_VALID : WGL_INVALID);
    }
    assert_in_range(bad, 2000, 18000);
}

/* A search that would take too long is no verdict. */
static void cap_is_unknown(void **state)
{
    struct rng r = {3};
    struct plan plan = {150, 12, 100, false};
    struct history *h = history_new();
    struct check c;

    (void)state;
    random_register(h, &r, &plan);
    start(&c, h);
    c.states_max = 5;
    assert_int_equal(check_run(&c), CHECK_UNKNOWN);
    assert_non_null(strstr(c.w[W_REGISTER].unknown, "states"));
    check_release(&c);
    history_free(h);
}

/* Of 200 operations only the few that prove a stale read are shown. */
static void proof_is_small(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct rng r = {seed};
        struct plan plan = {180, 6, 50, false};
        struct history *h = history_new();
        struct check c;
        struct val first = {V_NULL, 0, {0}};
        struct op *o = NULL;

        random_register(h, &r, &plan);
        for (size_t i = 0; i < h->n_ops; i++) {
            if (h->ops[i].f == F_READ && h->ops[i].end == OP_OK) {
                o = &h->ops[i];
                if (first.type == V_NULL) {
                    first = o->out;
                }
            }
        }
        assert_non_null(o);
        o->out = first;
        assert_int_equal(judge_register(h, &c), CHECK_VIOLATION);
        assert_in_range(c.w[W_REGISTER].findings[0].n_ops, 2, 4);
        assert_string_not_equal(c.w[W_REGISTER].findings[0].anomaly,
                                "not linearizable");
        check_release(&c);
        history_free(h);
    }
}

/* ---- transactions ---- */

enum { TXNS = 6, LISTS = 2, TXN_MICRO = 3 };

struct model {
    int64_t list[LISTS][64];
    uint32_t n[LISTS];
};

static const char *const list_names[LISTS] = {"x", "y"};

static struct val micro(struct history *h,
                        const char *f,
                        int list,
                        struct val v)
{
    struct val *m = history_alloc(h, 3 * sizeof(*m));

    m[0] = (struct val){V_STR, 0, {.s = history_intern(h, f)}};
    m[1] = (struct val){V_STR, 0, {.s = history_intern(h, list_names[list])}};
    m[2] = v;
    return (struct val){V_LIST, 3, {.list = m}};
}

static struct val list_val(struct history *h,
                           const struct model *m,
                           int list,
                           uint32_t n)
{
    int64_t *copy = history_alloc(h, 64 * sizeof(*copy));

    if (n == 0) {
        return (struct val){V_NULL, 0, {0}};
    }
    memcpy(copy, m->list[list], n * sizeof(*copy));
    return (struct val){V_INTS, n, {.ints = copy}};
}

/* One transaction applied to the model, into @o. Reads come first, so that
 * brute force need not know of own appends. */
static void random_txn(struct history *h,
                       struct rng *r,
                       struct model *m,
                       struct op *o,
                       int64_t *element)
{
    uint32_t n = 1 + (uint32_t)rng_below(r, TXN_MICRO);
    uint32_t reads = (uint32_t)rng_below(r, n + 1);
    struct val *in = history_alloc(h, n * sizeof(*in));
    struct val *out = history_alloc(h, n * sizeof(*out));
    struct val nothing = {V_NULL, 0, {0}};

    for (uint32_t i = 0; i < n; i++) {
        int l = (int)rng_below(r, LISTS);
        if (i < reads) {
            in[i] = micro(h, "r", l, nothing);
            out[i] = micro(h, "r", l, list_val(h, m, l, m->n[l]));
        } else {
            struct val v = {V_INT, 0, {.i = (*element)++}};
            m->list[l][m->n[l]++] = v.u.i;
            in[i] = out[i] = micro(h, "append", l, v);
        }
    }
    o->in = (struct val){V_LIST, n, {.list = in}};
    o->out = (struct val){V_LIST, n, {.list = out}};
}

static void random_append(struct history *h, struct rng *r, struct model *m)
{
    int64_t element = 1;
    struct op *o;

    memset(m, 0, sizeof(*m));
    for (int i = 1; i <= TXNS; i++) {
        o = add_op(h, W_APPEND, F_TXN, i,
                   i * 10 - 1 - (int64_t)rng_below(r, 30),
                   i * 10 + 1 + (int64_t)rng_below(r, 30));
        o->key = 0;
        random_txn(h, r, m, o, &element);
    }
    /* Both lists are read at the end, so the order of all is known. */
    o = add_op(h, W_APPEND, F_TXN, TXNS + 1, 1000, 1001);
    o->key = 0;
    {
        struct val *v = history_alloc(h, LISTS * sizeof(*v));
        for (int l = 0; l < LISTS; l++) {
            v[l] = micro(h, "r", l, list_val(h, m, l, m->n[l]));
        }
        o->in = o->out = (struct val){V_LIST, LISTS, {.list = v}};
    }
    qsort(h->ops, h->n_ops, sizeof(*h->ops), by_begin);
}

/* Some read but the last ones sees a shorter or longer prefix. */
static void spoil_append(struct history *h,
                         struct rng *r,
                         const struct model *m)
{
    for (int tries = 0; tries < 50; tries++) {
        struct op *o = &h->ops[rng_below(r, h->n_ops - 1)];
        uint32_t i = (uint32_t)rng_below(r, o->out.n);
        const char *f = history_str(h, o->out.u.list[i].u.list[0].u.s);
        uint32_t l = o->out.u.list[i].u.list[1].u.s;
        int which = strcmp(history_str(h, l), "y") == 0;
        struct val *copy;
        if (strcmp(f, "r") != 0) {
            continue;
        }
        copy = history_alloc(h, o->out.n * sizeof(*copy));
        memcpy(copy, o->out.u.list, o->out.n * sizeof(*copy));
        copy[i] = micro(
            h, "r", which,
            list_val(h, m, which, (uint32_t)rng_below(r, m->n[which] + 1U)));
        o->out.u.list = copy;
        return;
    }
}

static bool txn_fits(const struct history *h,
                     const struct op *o,
                     struct model *m)
{
    for (uint32_t i = 0; i < o->out.n; i++) {
        const struct val *mi = o->out.u.list[i].u.list;
        int l = strcmp(history_str(h, mi[1].u.s), "y") == 0;
        uint32_t n = mi[2].type == V_INTS ? mi[2].n : 0;
        if (mi[2].type == V_INT) {
            m->list[l][m->n[l]++] = mi[2].u.i;
        } else if (n != m->n[l] ||
                   (n > 0 && memcmp(mi[2].u.ints, m->list[l],
                                    n * sizeof(int64_t)) != 0)) {
            return false;
        }
    }
    return true;
}

static bool append_brute(const struct history *h,
                         unsigned used,
                         const struct model *m)
{
    if (used == (1U << h->n_ops) - 1) {
        return true;
    }
    for (size_t i = 0; i < h->n_ops; i++) {
        bool late = ((used >> i) & 1) != 0;
        struct model next = *m;
        for (size_t k = 0; k < h->n_ops; k++) {
            late |= ((used >> k) & 1) == 0 && h->ops[k].t1 < h->ops[i].t0;
        }
        if (!late && txn_fits(h, &h->ops[i], &next) &&
            append_brute(h, used | 1U << i, &next)) {
            return true;
        }
    }
    return false;
}

/* On 3,000 small histories of transactions the cycles found are there if and
 * only if no order of all exists. */
static void cycles_agree_with_brute_force(void **state)
{
    int bad = 0;

    (void)state;
    for (uint64_t seed = 0; seed < 3000; seed++) {
        struct rng r = {seed};
        struct history *h = history_new();
        struct model *m = hf_calloc(1, sizeof(*m));
        struct model *empty = hf_calloc(1, sizeof(*empty));
        struct check c;
        bool valid;

        random_append(h, &r, m);
        if (seed % 3 != 0) {
            spoil_append(h, &r, m);
        }
        valid = append_brute(h, 0, empty);
        bad += !valid;
        start(&c, h);
        if ((check_run(&c) == CHECK_VALID) != valid) {
            check_text(&c, stderr);
            fail_msg("seed %d: by brute force it is %s", (int)seed,
                     valid ? "valid" : "not valid");
        }
        check_release(&c);
        history_free(h);
        free(m);
        free(empty);
    }
    assert_in_range(bad, 500, 2500);
}

/* ---- files ---- */

static int load_text(const char *text,
                     size_t len,
                     struct errmsg *e,
                     int (*load)(struct history *,
                                 const char *,
                                 struct errmsg *))
{
    char file[] = "/tmp/holdfast-check-XXXXXX";
    int fd = mkstemp(file);
    struct history *h = history_new();
    int rv;

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, len), len);
    close(fd);
    rv = load(h, file, e);
    unlink(file);
    history_free(h);
    return rv;
}

#define INVOKE                                                                \
    "{\"t\":1,\"p\":1,\"type\":\"invoke\",\"w\":\"set\",\"f\":\"add\",\"v\":" \
    "1}\n"
#define END(type, t)                        \
    "{\"t\":" t ",\"p\":1,\"type\":\"" type \
    "\",\"w\":\"set\",\"f\":\"add\",\"v\":1}\n"

/* What is not a history is refused, with the number of the line. */
static void malformed(void **state)
{
    static const struct {
        const char *text;
        const char *line;
    } bad[] = {
        {"{}\n", "line 1"},
        {"[]\n", "line 1"},
        {"\n", "line 1"},
        {INVOKE "nonsense\n", "line 2"},
        {INVOKE INVOKE, "line 2"},
        {END("ok", "2"), "line 1"},
        {INVOKE END("ok", "0"), "line 2"},
        {INVOKE END("ok", "2") END("ok", "3"), "line 3"},
        {INVOKE END("info", "2") INVOKE, "line 3"},
        {INVOKE END("maybe", "2"), "line 2"},
        {"{\"t\":1,\"t\":1,\"p\":1,\"type\":\"invoke\",\"w\":\"set\",\"f\":"
         "\"add\",\"v\":1}\n",
         "line 1"},
        {"{\"t\":1,\"p\":1,\"type\":\"invoke\",\"w\":\"set\",\"f\":\"add\","
         "\"v\":\"x\"}\n",
         "line 1"},
        {"{\"t\":1,\"p\":1,\"type\":\"invoke\",\"w\":\"set\",\"f\":\"gen\","
         "\"v\":1}\n",
         "line 1"},
        {"{\"t\":1.5,\"p\":1,\"type\":\"invoke\",\"w\":\"set\",\"f\":\"add\","
         "\"v\":1}\n",
         "line 1"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct errmsg e = {{0}};
        if (load_text(bad[i].text, strlen(bad[i].text), &e, history_load_ops) !=
            HF_EINVAL) {
            fail_msg("taken: %s", bad[i].text);
        }
        assert_non_null(strstr(e.text, bad[i].line));
    }
}

/* A history cut anywhere but at the end of a line is refused. */
static void cut_history(void **state)
{
    const char *text = INVOKE END("ok", "2");
    size_t n = strlen(text);

    (void)state;
    for (size_t len = 0; len <= n; len++) {
        struct errmsg e = {{0}};
        bool whole = len == 0 || text[len - 1] == '\n';
        assert_int_equal(load_text(text, len, &e, history_load_ops),
                         whole ? 0 : HF_EINVAL);
    }
}

/* No flipped byte of any of the files does worse than to be refused. */
static void flipped_bytes(void **state)
{
    static const struct {
        const char *text;
        int (*load)(struct history *, const char *, struct errmsg *);
    } files[] = {
        {INVOKE END("ok", "2"), history_load_ops},
        {"{\"version\":1,\"seed\":7,\"nodes\":5,\"seconds\":600,"
         "\"workloads\":[\"register\"],\"commit\":\"x\"}\n",
         history_load_run},
        {"{\"t\":5,\"type\":\"start\",\"family\":\"partition\",\"f\":"
         "\"isolate\",\"nodes\":[1],\"n\":17}\n"
         "{\"t\":9,\"type\":\"stop\",\"n\":17,\"bit\":true}\n"
         "{\"t\":9,\"type\":\"summary\",\"void\":false}\n",
         history_load_nemesis},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        size_t n = strlen(files[i].text);
        char *text = hf_strdup(files[i].text);
        struct errmsg e = {{0}};

        assert_int_equal(load_text(text, n, &e, files[i].load), 0);
        for (size_t k = 0; k < n; k++) {
            int rv;
            text[k] = (char)(text[k] ^ 0xFF);
            rv = load_text(text, n, &e, files[i].load);
            assert_int_equal(rv, HF_EINVAL); /* not ASCII any more */
            text[k] = (char)(text[k] ^ 0xFF ^ 0x01);
            (void)load_text(text, n, &e, files[i].load);
            text[k] = (char)(text[k] ^ 0x01);
        }
        free(text);
    }
}

/* ---- void runs ---- */

static struct history *hundred(void)
{
    struct history *h = history_new();

    for (int i = 0; i < CHECK_OK_MIN; i++) {
        struct op *o = add_op(h, W_IDS, F_GEN, 1, i * 10, i * 10 + 5);
        o->out = (struct val){V_INT, 0, {.i = i + 1}};
    }
    make_count(h);
    h->asked[W_IDS] = true;
    return h;
}

static int judge(struct history *h)
{
    struct check c;
    int status;

    check_init(&c, h);
    status = check_run(&c);
    assert_true((status == CHECK_UNKNOWN) == (c.void_why != NULL));
    check_release(&c);
    history_free(h);
    return status;
}

/* A run that the nemesis calls void, or does not sum up, in which a node died
 * or stayed away, without all final reads, with too few operations or a
 * workload without any is no success. */
static void void_runs(void **state)
{
    struct history *h = hundred();

    (void)state;
    assert_int_equal(judge(h), CHECK_VALID);
    h = hundred();
    h->summary = false;
    assert_int_equal(judge(h), CHECK_UNKNOWN);
    h = hundred();
    h->nemesis_void = true;
    assert_int_equal(judge(h), CHECK_UNKNOWN);
    h = hundred();
    h->died = 1;
    assert_int_equal(judge(h), CHECK_UNKNOWN);
    h = hundred();
    h->whole = false;
    assert_int_equal(judge(h), CHECK_UNKNOWN);
    h = hundred();
    h->settled = false;
    assert_int_equal(judge(h), CHECK_UNKNOWN);
    h = hundred();
    h->load_summary = false; /* the last line of the file */
    assert_int_equal(judge(h), CHECK_UNKNOWN);
    h = hundred();
    h->faults[0].bit = false;
    assert_int_equal(judge(h), CHECK_UNKNOWN);
    h = hundred();
    h->nodes = 1;
    h->ops[7].final = true;
    h->ops[7].node = 1;
    assert_int_equal(judge(h), CHECK_VALID);
    h = hundred();
    h->nodes = 2; /* no final read at the second */
    h->ops[7].final = true;
    h->ops[7].node = 1;
    assert_int_equal(judge(h), CHECK_UNKNOWN);
    h = hundred();
    h->n_ops--;
    assert_int_equal(judge(h), CHECK_UNKNOWN);
    h = hundred();
    h->asked[W_BANK] = true;
    assert_int_equal(judge(h), CHECK_UNKNOWN);
}

/* A key that was to die while a majority was down may do so at any time:
 * cluster time is then set anew. Without that it is a violation. */
static void cold_start_excuses_expiry(void **state)
{
    (void)state;
    for (int cold = 0; cold < 2; cold++) {
        struct history *h = load_saved("ttl-late");
        struct check c;

        start(&c, h);
        h->faults[0] = (struct fault){.bit = true,
                                      .from = 100000000,
                                      .to = 110000000,
                                      .family = history_intern(h, "kill"),
                                      .nodes = cold ? 0x0e : 0x06};
        assert_int_equal(check_run(&c), cold ? CHECK_VALID : CHECK_VIOLATION);
        check_release(&c);
        history_free(h);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(saved_histories),
        cmocka_unit_test(caches_are_used),
        cmocka_unit_test(all_saved_are_judged),
        cmocka_unit_test(reports),
        cmocka_unit_test(good_registers),
        cmocka_unit_test(agrees_with_brute_force),
        cmocka_unit_test(search_agrees_with_brute_force),
        cmocka_unit_test(cap_is_unknown),
        cmocka_unit_test(proof_is_small),
        cmocka_unit_test(cycles_agree_with_brute_force),
        cmocka_unit_test(malformed),
        cmocka_unit_test(cut_history),
        cmocka_unit_test(flipped_bytes),
        cmocka_unit_test(void_runs),
        cmocka_unit_test(cold_start_excuses_expiry),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
