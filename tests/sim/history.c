#include "tests/sim/history.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"

enum {
    /* How far cluster time may be from true time: clock drift, and what an
     * estimate loses when leadership changes. */
    TIMED_LATE_US = 700000,
    TIMED_EARLY_US = 200000,
    /* How far the next leader's clock may be behind: what messages take. */
    CLOCK_SLACK_MS = 45,
};

enum op_state { OP_OPEN, OP_OK, OP_NOT_APPLIED, OP_UNKNOWN };

struct op {
    uint32_t key;
    enum op_state state;
    uint64_t began;
    uint64_t ended; /* UINT64_MAX while it may still happen */
    uint64_t pos;   /* place in a list, count of a counter; 0 unknown */
    uint64_t ttl_us;
    uint64_t earliest_ms; /* of the deadline, by cluster time; 0: unknown */
    uint64_t latest_ms;
};

/* At this time it was known that the key had come so far. */
struct mark {
    uint64_t at;
    uint64_t pos;
};

struct key {
    enum hist_kind kind;
    struct buf value; /* lists: the longest seen */
    struct mark *marks;
    size_t marks_n;
    size_t marks_cap;
    uint64_t oks;
    uint64_t maybes;
    uint32_t *ops;
    size_t ops_n;
    size_t ops_cap;
    uint32_t absent_after; /* registers: 1 once a value was acknowledged */
};

struct hist {
    struct check *c;
    struct op *ops; /* from 1 */
    uint32_t ops_n;
    uint32_t ops_cap;
    struct key *keys;
    uint32_t keys_n;
    uint32_t keys_cap;
    uint64_t acknowledged;
    uint64_t unknowns;
    uint64_t refused;
    uint64_t reads;
};

struct hist *hist_new(struct check *c)
{
    struct hist *h = hf_calloc(1, sizeof *h);

    h->c = c;
    h->ops_n = 1;
    return h;
}

void hist_free(struct hist *h)
{
    for (uint32_t i = 0; i < h->keys_n; i++) {
        buf_release(&h->keys[i].value);
        free(h->keys[i].marks);
        free(h->keys[i].ops);
    }
    free(h->keys);
    free(h->ops);
    free(h);
}

uint32_t hist_key(struct hist *h, enum hist_kind kind)
{
    if (h->keys_n == h->keys_cap) {
        h->keys_cap = h->keys_cap == 0 ? 64 : h->keys_cap * 2;
        h->keys = hf_realloc(h->keys, h->keys_cap * sizeof *h->keys);
    }
    h->keys[h->keys_n] = (struct key){.kind = kind};
    return h->keys_n++;
}

/* ---- how far a key was known to be, and when ---- */

static void mark(struct key *k, uint64_t now, uint64_t pos)
{
    if (k->marks_n > 0 && k->marks[k->marks_n - 1].pos >= pos) {
        return;
    }
    if (k->marks_n == k->marks_cap) {
        k->marks_cap = k->marks_cap == 0 ? 64 : k->marks_cap * 2;
        k->marks = hf_realloc(k->marks, k->marks_cap * sizeof *k->marks);
    }
    k->marks[k->marks_n++] = (struct mark){now, pos};
}

/* What was known strictly before @t. */
static uint64_t known_before(const struct key *k, uint64_t t)
{
    size_t lo = 0;
    size_t hi = k->marks_n;

    while (lo < hi) {
        size_t mid = (lo + hi) / 2;

        if (k->marks[mid].at < t) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo == 0 ? 0 : k->marks[lo - 1].pos;
}

/* ---- operations ---- */

uint32_t hist_begin(struct hist *h, uint32_t key, uint64_t now)
{
    struct key *k = &h->keys[key];

    hf_assert(key < h->keys_n);
    if (h->ops_n >= h->ops_cap) {
        h->ops_cap = h->ops_cap == 0 ? 1024 : h->ops_cap * 2;
        h->ops = hf_realloc(h->ops, h->ops_cap * sizeof *h->ops);
    }
    if (k->ops_n == k->ops_cap) {
        k->ops_cap = k->ops_cap == 0 ? 16 : k->ops_cap * 2;
        k->ops = hf_realloc(k->ops, k->ops_cap * sizeof *k->ops);
    }
    k->ops[k->ops_n++] = h->ops_n;
    h->ops[h->ops_n] =
        (struct op){.key = key, .began = now, .ended = UINT64_MAX};
    return h->ops_n++;
}

void hist_tag(uint32_t op, char tag[HIST_TAG])
{
    char text[HIST_TAG + 1];

    snprintf(text, sizeof text, "~%08x", op);
    memcpy(tag, text, HIST_TAG);
}

/* 0 if it is no tag of ours. */
static uint32_t tag_op(const struct hist *h, const uint8_t *p)
{
    uint32_t v = 0;

    if (p[0] != '~') {
        return 0;
    }
    for (int i = 1; i < HIST_TAG; i++) {
        uint32_t d = p[i] >= '0' && p[i] <= '9'   ? (uint32_t)(p[i] - '0')
                     : p[i] >= 'a' && p[i] <= 'f' ? (uint32_t)(p[i] - 'a' + 10)
                                                  : 99;

        if (d > 15) {
            return 0;
        }
        v = v * 16 + d;
    }
    return v < h->ops_n ? v : 0;
}

void hist_not_applied(struct hist *h, uint32_t op, uint64_t now)
{
    struct op *o = &h->ops[op];

    hf_assert(o->state == OP_OPEN);
    o->state = OP_NOT_APPLIED;
    o->ended = now;
    h->refused++;
    if (o->pos != 0) {
        check_fail(h->c,
                   "operation %08x: said to be not applied, but it was "
                   "seen at %llu",
                   op, (unsigned long long)o->pos);
    }
}

void hist_unknown(struct hist *h, uint32_t op, uint64_t now)
{
    struct op *o = &h->ops[op];

    (void)now;
    hf_assert(o->state == OP_OPEN);
    o->state = OP_UNKNOWN;
    h->unknowns++;
    h->keys[o->key].maybes++;
}

static struct op *done(struct hist *h, uint32_t op, uint64_t now)
{
    struct op *o = &h->ops[op];

    hf_assert(o->state == OP_OPEN);
    o->state = OP_OK;
    o->ended = now < o->ended ? now : o->ended;
    h->acknowledged++;
    h->keys[o->key].oks++;
    return o;
}

/* ---- lists ---- */

void hist_append_ok(struct hist *h, uint32_t op, uint64_t now, int64_t len)
{
    struct op *o = done(h, op, now);
    struct key *k = &h->keys[o->key];
    uint64_t pos = (uint64_t)len / HIST_TAG;

    if (len <= 0 || len % HIST_TAG != 0) {
        check_fail(h->c, "append %08x: length %lld", op, (long long)len);
        return;
    }
    if (o->pos != 0 && o->pos != pos) {
        check_fail(h->c,
                   "append %08x: reply says place %llu, it was seen at "
                   "%llu",
                   op, (unsigned long long)pos, (unsigned long long)o->pos);
    }
    if (o->pos == 0 && pos <= k->value.n / HIST_TAG) {
        check_fail(h->c,
                   "append %08x: reply says place %llu, another one was "
                   "seen there",
                   op, (unsigned long long)pos);
    }
    if (pos <= known_before(k, o->began)) {
        check_fail(h->c,
                   "append %08x: place %llu is before one known when it "
                   "began (%llu)",
                   op, (unsigned long long)pos,
                   (unsigned long long)known_before(k, o->began));
    }
    o->pos = pos;
    mark(k, now, pos);
}

/* One more place of a list is known. */
static void list_extend(struct hist *h, uint32_t key, const uint8_t *tag)
{
    struct key *k = &h->keys[key];
    uint64_t pos = k->value.n / HIST_TAG + 1;
    uint32_t op = tag_op(h, tag);
    struct op *o = &h->ops[op];

    buf_append(&k->value, tag, HIST_TAG);
    if (op == 0 || o->key != key) {
        check_fail(h->c, "list %u: foreign bytes \"%.9s\" at place %llu", key,
                   (const char *)tag, (unsigned long long)pos);
        return;
    }
    if (o->pos != 0 && o->pos != pos) {
        check_fail(h->c, "append %08x: at place %llu, and at %llu", op,
                   (unsigned long long)pos, (unsigned long long)o->pos);
    }
    if (o->state == OP_NOT_APPLIED) {
        check_fail(h->c,
                   "append %08x: said to be not applied, but is at "
                   "place %llu",
                   op, (unsigned long long)pos);
    }
    o->pos = pos;
}

static void list_match(struct hist *h, uint32_t key, struct bytes v)
{
    struct key *k = &h->keys[key];
    size_t common = v.n < k->value.n ? v.n : k->value.n;

    if (v.n % HIST_TAG != 0) {
        check_fail(h->c, "list %u: %zu bytes", key, v.n);
        return;
    }
    if (common > 0 && memcmp(v.p, k->value.p, common) != 0) {
        check_fail(h->c, "list %u: two histories within %zu bytes", key,
                   common);
        return;
    }
    for (size_t at = common; at < v.n; at += HIST_TAG) {
        list_extend(h, key, v.p + at);
    }
}

void hist_list_read(struct hist *h,
                    uint32_t key,
                    uint64_t began,
                    uint64_t now,
                    uint64_t age_us,
                    struct bytes v)
{
    struct key *k = &h->keys[key];
    uint64_t since = began > age_us ? began - age_us : 0;

    h->reads++;
    h->acknowledged++;
    list_match(h, key, v);
    if (v.n / HIST_TAG < known_before(k, since)) {
        check_fail(h->c,
                   "list %u: a read (age %llu us) shows %zu, %llu was "
                   "known before",
                   key, (unsigned long long)age_us, v.n / HIST_TAG,
                   (unsigned long long)known_before(k, since));
    }
    mark(k, now, v.n / HIST_TAG);
}

void hist_pair_read(struct hist *h,
                    uint32_t a,
                    uint32_t b,
                    struct bytes va,
                    struct bytes vb)
{
    if (va.n != vb.n) {
        check_fail(h->c,
                   "lists %u and %u change together but hold %zu and "
                   "%zu bytes",
                   a, b, va.n, vb.n);
        return;
    }
    for (size_t at = 0; at + HIST_TAG <= va.n; at += HIST_TAG) {
        if (tag_op(h, va.p + at) + 1 != tag_op(h, vb.p + at)) {
            check_fail(h->c, "lists %u and %u differ at place %zu", a, b,
                       at / HIST_TAG + 1);
            return;
        }
    }
}

static int by_pos(const void *pa, const void *pb)
{
    const struct op *a = *(const struct op *const *)pa;
    const struct op *b = *(const struct op *const *)pb;

    return a->pos < b->pos ? -1 : a->pos > b->pos;
}

/* No operation may stand after one that began when it had ended. */
static void order_check(struct hist *h, uint32_t key)
{
    struct key *k = &h->keys[key];
    struct op **at = hf_malloc((k->ops_n + 1) * sizeof *at);
    size_t n = 0;
    uint64_t latest = 0;

    for (size_t i = 0; i < k->ops_n; i++) {
        struct op *o = &h->ops[k->ops[i]];

        if (o->pos != 0) {
            at[n++] = o;
        }
    }
    qsort(at, n, sizeof *at, by_pos);
    for (size_t i = 0; i < n; i++) {
        if (i > 0 && at[i]->pos == at[i - 1]->pos) {
            check_fail(h->c, "key %u: two operations at place %llu", key,
                       (unsigned long long)at[i]->pos);
        }
        if (at[i]->ended < latest) {
            check_fail(h->c,
                       "key %u: place %llu had ended before an earlier "
                       "one began",
                       key, (unsigned long long)at[i]->pos);
        }
        latest = at[i]->began > latest ? at[i]->began : latest;
    }
    free(at);
}

void hist_list_final(struct hist *h, uint32_t key, struct bytes v)
{
    struct key *k = &h->keys[key];

    if (v.n < k->value.n) {
        check_fail(h->c, "list %u: lost, %zu bytes at the end, %zu were seen",
                   key, v.n, k->value.n);
    }
    list_match(h, key, v);
    for (size_t i = 0; i < k->ops_n; i++) {
        const struct op *o = &h->ops[k->ops[i]];

        if (o->state == OP_OK && (o->pos == 0 || o->pos > v.n / HIST_TAG)) {
            check_fail(h->c,
                       "list %u: acknowledged %08x at place %llu is "
                       "lost",
                       key, k->ops[i], (unsigned long long)o->pos);
        }
    }
    order_check(h, key);
}

/* ---- counters ---- */

void hist_incr_ok(struct hist *h, uint32_t op, uint64_t now, int64_t count)
{
    struct op *o = done(h, op, now);
    struct key *k = &h->keys[o->key];

    if (count <= 0 || (uint64_t)count <= known_before(k, o->began)) {
        check_fail(h->c, "counter %u: %lld after %llu", o->key,
                   (long long)count,
                   (unsigned long long)known_before(k, o->began));
    }
    o->pos = (uint64_t)count;
    mark(k, now, o->pos);
}

void hist_counter_final(struct hist *h, uint32_t key, int64_t count)
{
    struct key *k = &h->keys[key];

    order_check(h, key);
    if (count < (int64_t)k->oks || count > (int64_t)(k->oks + k->maybes)) {
        check_fail(h->c,
                   "counter %u: %lld after %llu acknowledged and %llu "
                   "unknown",
                   key, (long long)count, (unsigned long long)k->oks,
                   (unsigned long long)k->maybes);
    }
}

/* ---- registers ---- */

void hist_set_ok(struct hist *h, uint32_t op, uint64_t now)
{
    struct op *o = done(h, op, now);

    h->keys[o->key].absent_after = 1;
}

/* Did a write that began after @o ended also end before @t? */
static bool overwritten(const struct hist *h, const struct op *o, uint64_t t)
{
    const struct key *k = &h->keys[o->key];

    for (size_t i = k->ops_n; i-- > 0;) {
        const struct op *w = &h->ops[k->ops[i]];

        if (w->began <= o->ended) {
            return false; /* those before it began still earlier */
        }
        if (w->state == OP_OK && w->ended < t) {
            return true;
        }
    }
    return false;
}

static bool absent_allowed(const struct hist *h,
                           const struct key *k,
                           uint64_t began)
{
    for (size_t i = 0; i < k->ops_n; i++) {
        const struct op *o = &h->ops[k->ops[i]];

        if (o->state == OP_OK && o->ended < began) {
            return false;
        }
    }
    return true;
}

/* The operation whose value this is; NULL after a violation. */
static struct op *value_op(struct hist *h, uint32_t key, struct bytes v)
{
    uint32_t op = v.n >= HIST_TAG ? tag_op(h, v.p) : 0;
    struct op *o = &h->ops[op];

    if (op == 0 || o->key != key) {
        check_fail(h->c, "key %u holds foreign bytes", key);
        return NULL;
    }
    if (o->state == OP_NOT_APPLIED) {
        check_fail(h->c, "set %08x: said to be not applied, but read", op);
        return NULL;
    }
    o->pos = 1;
    return o;
}

void hist_reg_read(struct hist *h,
                   uint32_t key,
                   uint64_t began,
                   uint64_t now,
                   struct bytes v)
{
    struct key *k = &h->keys[key];
    struct op *o;

    h->reads++;
    h->acknowledged++;
    if (v.p == NULL) {
        if (!absent_allowed(h, k, began)) {
            check_fail(h->c, "register %u: absent after a write", key);
        }
        return;
    }
    o = value_op(h, key, v);
    if (o == NULL) {
        return;
    }
    if (o->ended != UINT64_MAX && overwritten(h, o, began)) {
        check_fail(h->c,
                   "register %u: a read that began at %llu shows "
                   "%08x, which was overwritten",
                   key, (unsigned long long)began, (unsigned)(o - h->ops));
    }
    /* A value that was read is written: what began later comes after it. */
    if (o->ended > now) {
        o->ended = now;
    }
}

/* ---- timed keys: each set once ---- */

void hist_timed_set(struct hist *h, uint32_t op, uint64_t ttl_us)
{
    h->ops[op].ttl_us = ttl_us;
}

void hist_timed_read(struct hist *h,
                     uint32_t key,
                     uint64_t began,
                     uint64_t now,
                     struct bytes v,
                     uint64_t warm_us,
                     bool ever_cold)
{
    struct key *k = &h->keys[key];
    struct op *o;

    h->reads++;
    h->acknowledged++;
    if (k->ops_n == 0) {
        return;
    }
    o = &h->ops[k->ops[0]];
    if (v.p != NULL && value_op(h, key, v) == NULL) {
        return;
    }
    if (o->state != OP_OK || began <= o->ended || warm_us >= o->began) {
        return;
    }
    if (v.p != NULL && began > o->ended + o->ttl_us + TIMED_LATE_US) {
        check_fail(h->c, "timed key %u: there %llu us after its deadline", key,
                   (unsigned long long)(began - o->ended - o->ttl_us));
    }
    if (v.p == NULL && !ever_cold &&
        now + TIMED_EARLY_US < o->began + o->ttl_us) {
        check_fail(h->c, "timed key %u: gone %llu us before its deadline", key,
                   (unsigned long long)(o->began + o->ttl_us - now));
    }
}

void hist_timed_deadline(struct hist *h,
                         uint32_t op,
                         uint64_t earliest_ms,
                         uint64_t latest_ms)
{
    h->ops[op].earliest_ms = earliest_ms;
    h->ops[op].latest_ms = latest_ms;
}

void hist_timed_clocks(struct hist *h,
                       uint32_t key,
                       uint64_t began,
                       uint64_t certain_ms,
                       uint64_t latest_ms,
                       bool there)
{
    const struct key *k = &h->keys[key];
    const struct op *o = k->ops_n == 0 ? NULL : &h->ops[k->ops[0]];

    if (o == NULL || o->state != OP_OK || began <= o->ended ||
        o->latest_ms == 0) {
        return;
    }
    if (there && certain_ms > o->latest_ms + CLOCK_SLACK_MS) {
        check_fail(h->c,
                   "timed key %u: there %llu ms after its deadline by the "
                   "leader's clock",
                   key, (unsigned long long)(certain_ms - o->latest_ms));
    }
    if (!there && latest_ms + CLOCK_SLACK_MS < o->earliest_ms) {
        check_fail(h->c,
                   "timed key %u: gone %llu ms before its deadline by every "
                   "clock",
                   key, (unsigned long long)(o->earliest_ms - latest_ms));
    }
}

uint64_t hist_acknowledged(const struct hist *h)
{
    return h->acknowledged;
}

uint64_t hist_unknowns(const struct hist *h)
{
    return h->unknowns;
}

uint64_t hist_refused(const struct hist *h)
{
    return h->refused;
}

uint64_t hist_reads(const struct hist *h)
{
    return h->reads;
}
