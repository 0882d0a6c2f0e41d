#include "tests/sim/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "raftio/conf.h"
#include "raftio/entry.h"

enum { TEXT_MAX = 512, INDEX_MAX = 1 << 22 };

struct place {
    uint64_t term;
    uint64_t hash;
    uint64_t digest;
};

/* One (index, term) that was in some log. */
struct seen {
    uint64_t index; /* 0: free */
    uint64_t term;
    uint64_t hash;
};

/* A CHANGE that was applied. */
struct change {
    uint64_t index;
    struct blob *conf;
};

struct slot {
    struct check *c;
    struct node_observer obs;
    int n;
    uint64_t applied; /* 0: nothing since start */
    uint64_t first;   /* index of terms[0] */
    uint64_t *terms;  /* of the log, from first on */
    size_t terms_n;
    size_t terms_cap;
};

struct check {
    uint64_t (*now)(void *data);
    void *now_data;
    struct slot slots[CHECK_SLOTS];
    struct place *applied; /* by index */
    size_t applied_cap;
    uint64_t applied_max;
    struct seen *seen; /* open addressing, a power of two */
    size_t seen_n;
    size_t seen_cap;
    uint64_t *leaders; /* by term: id */
    size_t leaders_cap;
    uint64_t leader_changes;
    size_t entry_max;       /* bytes of the largest payload of an entry */
    uint64_t top_change;    /* index of the newest membership change */
    struct change *changes; /* by index */
    size_t changes_n;
    size_t changes_cap;
    uint64_t top_term; /* of any leader */
    int last_leader;   /* slot, -1: none yet */
    uint64_t events[NODE_EV_COUNT];
    uint64_t hash;
    bool verbose;
    bool failed;
    char text[TEXT_MAX];
};

/* ---- verdict ---- */

void check_fail(struct check *c, const char *fmt, ...)
{
    va_list ap;
    int n;

    if (c->failed) {
        return;
    }
    c->failed = true;
    n = snprintf(c->text, sizeof c->text,
                 "at %.6f s: ", (double)c->now(c->now_data) / 1e6);
    va_start(ap, fmt);
    vsnprintf(c->text + n, sizeof c->text - (size_t)n, fmt, ap);
    va_end(ap);
    if (c->verbose) {
        printf("FAILED %s\n", c->text);
    }
}

static void say(struct check *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void say(struct check *c, const char *fmt, ...)
{
    va_list ap;

    if (!c->verbose) {
        return;
    }
    printf("%11.6f ", (double)c->now(c->now_data) / 1e6);
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    putchar('\n');
}

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * 0x9E3779B97F4A7C15ULL;
    return h ^ (h >> 32);
}

static uint64_t hash_bytes(int type, struct bytes b)
{
    uint64_t h = mix((uint64_t)type, b.n);
    size_t i = 0;

    for (; i + 8 <= b.n; i += 8) {
        h = mix(h, get_u64(b.p + i));
    }
    for (; i < b.n; i++) {
        h = mix(h, b.p[i]);
    }
    return h;
}

/* ---- tables ---- */

static struct place *applied_at(struct check *c, uint64_t index)
{
    if (index >= c->applied_cap) {
        size_t old = c->applied_cap;
        size_t cap = old == 0 ? 4096 : old;

        hf_assert(index < INDEX_MAX);
        while (cap <= index) {
            cap *= 2;
        }
        c->applied = hf_realloc(c->applied, cap * sizeof *c->applied);
        memset(c->applied + old, 0, (cap - old) * sizeof *c->applied);
        c->applied_cap = cap;
    }
    return &c->applied[index];
}

static size_t seen_place(const struct seen *t,
                         size_t cap,
                         uint64_t index,
                         uint64_t term)
{
    size_t i = (size_t)mix(index, term) & (cap - 1);

    while (t[i].index != 0 && (t[i].index != index || t[i].term != term)) {
        i = (i + 1) & (cap - 1);
    }
    return i;
}

static struct seen *seen_at(struct check *c, uint64_t index, uint64_t term)
{
    if ((c->seen_n + 1) * 2 > c->seen_cap) {
        size_t cap = c->seen_cap == 0 ? 8192 : c->seen_cap * 2;
        struct seen *t = hf_calloc(cap, sizeof *t);

        for (size_t i = 0; i < c->seen_cap; i++) {
            if (c->seen[i].index != 0) {
                t[seen_place(t, cap, c->seen[i].index, c->seen[i].term)] =
                    c->seen[i];
            }
        }
        free(c->seen);
        c->seen = t;
        c->seen_cap = cap;
    }
    return &c->seen[seen_place(c->seen, c->seen_cap, index, term)];
}

/* ---- what nodes report ---- */

static void on_append(void *self,
                      uint64_t id,
                      uint64_t index,
                      uint64_t term,
                      int type,
                      struct bytes payload)
{
    struct slot *sl = self;
    struct check *c = sl->c;
    uint64_t h = hash_bytes(type, payload);
    struct seen *sn = seen_at(c, index, term);

    c->hash = mix(c->hash, index * 31 + term);
    c->entry_max = payload.n > c->entry_max ? payload.n : c->entry_max;
    if (sn->index == 0) {
        *sn = (struct seen){index, term, h};
        c->seen_n++;
    } else if (sn->hash != h) {
        check_fail(c,
                   "n%d (id %llu) has another payload at index %llu term "
                   "%llu",
                   sl->n, (unsigned long long)id, (unsigned long long)index,
                   (unsigned long long)term);
    }
    /* A log that begins anew, at its start or after a snapshot. */
    if (index < sl->first || index > sl->first + sl->terms_n) {
        sl->first = index;
        sl->terms_n = 0;
    }
    sl->terms_n = (size_t)(index - sl->first);
    if (sl->terms_n == sl->terms_cap) {
        sl->terms_cap = sl->terms_cap == 0 ? 1024 : sl->terms_cap * 2;
        sl->terms = hf_realloc(sl->terms, sl->terms_cap * sizeof(uint64_t));
    }
    sl->terms[sl->terms_n++] = term;
    say(c, "n%d append %llu^%llu type %d %zu bytes", sl->n,
        (unsigned long long)index, (unsigned long long)term, type, payload.n);
}

/* Everything applied anywhere must be in a new leader's log. */
static void check_complete(struct slot *sl, uint64_t term)
{
    struct check *c = sl->c;
    uint64_t last = sl->first + sl->terms_n - 1;

    if (last < c->applied_max) {
        check_fail(c,
                   "n%d leads term %llu with a log up to %llu; %llu was "
                   "applied",
                   sl->n, (unsigned long long)term, (unsigned long long)last,
                   (unsigned long long)c->applied_max);
    }
    for (size_t i = 0; i < sl->terms_n; i++) {
        uint64_t index = sl->first + i;

        if (index <= c->applied_max && c->applied[index].term != 0 &&
            c->applied[index].term != sl->terms[i]) {
            check_fail(c, "n%d leads term %llu without applied entry %llu",
                       sl->n, (unsigned long long)term,
                       (unsigned long long)index);
        }
    }
}

static void on_leader(void *self, uint64_t id, uint64_t term)
{
    struct slot *sl = self;
    struct check *c = sl->c;

    if (term >= c->leaders_cap) {
        size_t old = c->leaders_cap;
        size_t cap = (size_t)term * 2 + 64;

        c->leaders = hf_realloc(c->leaders, cap * sizeof(uint64_t));
        memset(c->leaders + old, 0, (cap - old) * sizeof(uint64_t));
        c->leaders_cap = cap;
    }
    say(c, "n%d (id %llu) LEADER of term %llu", sl->n, (unsigned long long)id,
        (unsigned long long)term);
    c->hash = mix(c->hash, term * 64 + id);
    if (c->leaders[term] != 0 && c->leaders[term] != id) {
        check_fail(c, "two leaders of term %llu: ids %llu and %llu",
                   (unsigned long long)term,
                   (unsigned long long)c->leaders[term],
                   (unsigned long long)id);
    }
    if (c->leaders[term] == 0) {
        c->leader_changes++;
        c->last_leader = sl->n - 1;
    }
    c->leaders[term] = id;
    /* One that slept since its election may lead behind a later one's back:
     * it need not have what that one committed. */
    if (term >= c->top_term) {
        c->top_term = term;
        check_complete(sl, term);
    }
}

static void check_digest(struct slot *sl, uint64_t index, uint64_t digest)
{
    struct place *e = applied_at(sl->c, index);

    if (digest == 0) {
        return;
    }
    if (e->digest == 0) {
        e->digest = digest;
    } else if (e->digest != digest) {
        check_fail(sl->c, "n%d has another state at index %llu", sl->n,
                   (unsigned long long)index);
    }
}

static void change_add(struct check *c, uint64_t index, struct bytes conf)
{
    if (c->changes_n > 0 && index <= c->changes[c->changes_n - 1].index) {
        return;
    }
    if (c->changes_n == c->changes_cap) {
        c->changes_cap = c->changes_cap == 0 ? 32 : c->changes_cap * 2;
        c->changes =
            hf_realloc(c->changes, c->changes_cap * sizeof *c->changes);
    }
    c->changes[c->changes_n++] =
        (struct change){index, blob_copy(conf.p, conf.n)};
}

/* A snapshot holds the configuration of the last CHANGE it covers. */
static void check_conf(struct slot *sl, uint64_t index, struct bytes conf)
{
    struct check *c = sl->c;
    size_t i = c->changes_n;
    struct bytes want;

    while (i > 0 && c->changes[i - 1].index > index) {
        i--;
    }
    if (i == 0) {
        check_fail(c, "n%d has a snapshot at %llu before any configuration",
                   sl->n, (unsigned long long)index);
        return;
    }
    want = blob_bytes(c->changes[i - 1].conf);
    if (conf.n != want.n || memcmp(conf.p, want.p, want.n) != 0) {
        check_fail(c,
                   "n%d has a snapshot at %llu whose configuration is not "
                   "that of the CHANGE at %llu",
                   sl->n, (unsigned long long)index,
                   (unsigned long long)c->changes[i - 1].index);
    }
}

static void on_apply(void *self,
                     uint64_t id,
                     uint64_t index,
                     uint64_t term,
                     int type,
                     struct bytes payload,
                     uint64_t digest)
{
    struct slot *sl = self;
    struct check *c = sl->c;
    struct place *e = applied_at(c, index);
    uint64_t h = hash_bytes(type, payload);

    (void)id;
    c->hash = mix(c->hash, index * 8 + (uint64_t)sl->n);
    if (sl->applied != 0 && index != sl->applied + 1) {
        check_fail(c, "n%d applied %llu after %llu", sl->n,
                   (unsigned long long)index, (unsigned long long)sl->applied);
    }
    sl->applied = index;
    if (e->term == 0) {
        e->term = term;
        e->hash = h;
    } else if (e->term != term || e->hash != h) {
        check_fail(c,
                   "n%d applied another entry at %llu: term %llu, not "
                   "%llu",
                   sl->n, (unsigned long long)index, (unsigned long long)term,
                   (unsigned long long)e->term);
    }
    check_digest(sl, index, digest);
    if (type == ENTRY_CHANGE) {
        change_add(c, index, payload);
    }
    if (index > c->applied_max) {
        c->applied_max = index;
    }
    say(c, "n%d apply %llu^%llu", sl->n, (unsigned long long)index,
        (unsigned long long)term);
}

static void on_state(void *self,
                     uint64_t id,
                     uint64_t index,
                     uint64_t term,
                     uint64_t digest,
                     struct bytes config)
{
    struct slot *sl = self;
    struct check *c = sl->c;
    struct place *e = applied_at(c, index);

    (void)id;
    say(c, "n%d state of snapshot %llu^%llu", sl->n, (unsigned long long)index,
        (unsigned long long)term);
    if (index < sl->applied) {
        check_fail(c, "n%d went back from %llu to snapshot %llu", sl->n,
                   (unsigned long long)sl->applied, (unsigned long long)index);
    }
    if (index > c->applied_max) {
        check_fail(c, "n%d has a snapshot at %llu; only %llu was applied",
                   sl->n, (unsigned long long)index,
                   (unsigned long long)c->applied_max);
    } else if (e->term != 0 && e->term != term) {
        check_fail(c, "n%d has a snapshot at %llu of term %llu, not %llu",
                   sl->n, (unsigned long long)index, (unsigned long long)term,
                   (unsigned long long)e->term);
    } else {
        check_conf(sl, index, config);
    }
    check_digest(sl, index, digest);
    sl->applied = index;
    /* The log is empty now, or will be told anew. */
    sl->first = index + 1;
    sl->terms_n = 0;
}

static const char *const event_names[NODE_EV_COUNT] = {
    "truncate", "install", "snapshot", "membership", "torn",  "resend",
    "void",     "expire",  "transfer", "nospace",    "repair"};

static void on_event(void *self,
                     uint64_t id,
                     enum node_event what,
                     uint64_t a,
                     uint64_t b)
{
    struct slot *sl = self;
    struct check *c = sl->c;

    say(c, "n%d (id %llu) %s %llu %llu", sl->n, (unsigned long long)id,
        event_names[what], (unsigned long long)a, (unsigned long long)b);
    if (what == NODE_EV_MEMBERSHIP) { /* each change once, not each apply */
        if (a <= c->top_change) {
            return;
        }
        c->top_change = a;
    }
    c->events[what]++;
    c->hash = mix(c->hash, (uint64_t)what * 16 + (uint64_t)sl->n);
    if (what == NODE_EV_TRUNCATE && a >= sl->first &&
        a < sl->first + sl->terms_n) {
        sl->terms_n = (size_t)(a - sl->first);
    }
}

/* ---- life ---- */

struct check *check_new(uint64_t (*now)(void *data), void *data)
{
    struct check *c = hf_calloc(1, sizeof *c);

    c->now = now;
    c->last_leader = -1;
    c->now_data = data;
    for (int i = 0; i < CHECK_SLOTS; i++) {
        struct slot *sl = &c->slots[i];

        sl->c = c;
        sl->n = i + 1;
        sl->first = 1;
        sl->obs = (struct node_observer){.self = sl,
                                         .on_leader = on_leader,
                                         .on_append = on_append,
                                         .on_apply = on_apply,
                                         .on_state = on_state,
                                         .on_event = on_event};
    }
    return c;
}

void check_free(struct check *c)
{
    for (int i = 0; i < CHECK_SLOTS; i++) {
        free(c->slots[i].terms);
    }
    for (size_t i = 0; i < c->changes_n; i++) {
        blob_unref(c->changes[i].conf);
    }
    free(c->changes);
    free(c->applied);
    free(c->seen);
    free(c->leaders);
    free(c);
}

const struct node_observer *check_observer(struct check *c, int slot)
{
    return &c->slots[slot].obs;
}

void check_died(struct check *c, int slot)
{
    c->slots[slot].applied = 0;
    c->slots[slot].terms_n = 0;
    c->slots[slot].first = 1;
}

void check_wiped(struct check *c, int slot)
{
    check_died(c, slot);
}

bool check_failed(const struct check *c)
{
    return c->failed;
}

const char *check_text(const struct check *c)
{
    return c->text;
}

uint64_t check_count(const struct check *c, enum node_event what)
{
    return c->events[what];
}

size_t check_entry_max(const struct check *c)
{
    return c->entry_max;
}

uint64_t check_leaders(const struct check *c)
{
    return c->leader_changes;
}

int check_last_leader(const struct check *c)
{
    return c->last_leader;
}

uint64_t check_applied(const struct check *c, int slot)
{
    return c->slots[slot].applied;
}

uint64_t check_last_index(const struct check *c, int slot)
{
    return c->slots[slot].first + c->slots[slot].terms_n - 1;
}

uint64_t check_applied_max(const struct check *c)
{
    return c->applied_max;
}

bool check_is_voter(const struct check *c, uint64_t id)
{
    struct conf conf;
    const struct conf_member *m;

    if (c->changes_n == 0 ||
        conf_decode(blob_bytes(c->changes[c->changes_n - 1].conf), &conf) !=
            0) {
        return false;
    }
    m = conf_find(&conf, id);
    return m != NULL && m->role == CONF_VOTER;
}

void check_verbose(struct check *c, bool on)
{
    c->verbose = on;
}

uint64_t check_hash(const struct check *c)
{
    return c->hash;
}
