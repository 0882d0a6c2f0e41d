/* tracking: readers that keep what they read until they are told to drop it.
 *
 * Each client is a process with a cache and two connections to one node. On
 * the first one it is told what changed. Which one it reads through depends on
 * its mode. It writes 1, 2, 3, ... to keys of its own through either of them,
 * to one after the other, and reads all keys, from its cache where it can.
 * After a write of unknown outcome it takes a new key: the old one may still
 * change. A cache that was not told of a change in time would be behind what
 * its own process knows. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "jepsen-lite/load.h"

enum {
    READERS_MAX = 64,
    KEYS = 12, /* of a writer, written for a while in turn */
    STAY = 15, /* writes of one before the next, about */
    CACHE_MAX = READERS_MAX * KEYS,
    VALUES_MAX = 1000,  /* of a key */
    READS_MAX = 4,      /* of one step */
    PING_MS = 500,      /* between two proofs that the node still tells us */
    AGE_MS = 10000,     /* a cache is no older than that behind a proof */
    SETTLE_US = 600000, /* until every node has told of the last changes */
    SYNC_MS = 2000
};

enum mode { MODE_KEYS, MODE_BCAST, MODE_REDIRECT, MODE_OPTIN, MODES };

struct entry {
    bool there;
    uint64_t generation; /* of the key */
    uint64_t value;      /* 0: null */
};

struct keeper {
    bool used;
    enum mode mode;
    struct rconn told; /* is told what changed; RESP3 */
    struct rconn other;
    int node;             /* of both */
    int64_t ping_ms;      /* when it was asked last and answered */
    uint64_t value[KEYS]; /* last one tried: each is tried once */
    long long hits, drops, flushes, losses;
    struct entry cache[CACHE_MAX]; /* by number of the key */
};

struct tracking {
    pthread_mutex_t lock;
    int readers;
    int now[READERS_MAX]; /* the key that each writer writes */
    uint64_t generation[CACHE_MAX];
    struct keeper reader[READERS_MAX];
};

static void *setup(struct load *l)
{
    struct tracking *s = hf_calloc(1, sizeof(*s));

    (void)l;
    pthread_mutex_init(&s->lock, NULL);
    return s;
}

static void begin(struct client *c, void *shared)
{
    struct tracking *s = shared;
    struct keeper *r = &s->reader[c->number % READERS_MAX];

    r->used = true;
    r->mode = (enum mode)(c->number % MODES);
    rconn_init(&r->told);
    rconn_init(&r->other);
    c->on_cluster = false;
    s->readers = c->number >= s->readers ? c->number + 1 : s->readers;
    s->readers = s->readers > READERS_MAX ? READERS_MAX : s->readers;
}

static uint64_t generation(struct tracking *s, int i)
{
    uint64_t g;

    pthread_mutex_lock(&s->lock);
    g = s->generation[i];
    pthread_mutex_unlock(&s->lock);
    return g;
}

/* Keys have numbers: those of the first writer, of the second one, ... */
static void key_name(char key[NAME_MAX_LEN], int i, uint64_t g)
{
    snprintf(key, NAME_MAX_LEN, "track:%d_%llu", i, (unsigned long long)g);
}

/* Which one @writer writes now; it may be the next. */
static int key_now(struct tracking *s, int writer, bool next)
{
    int k;

    pthread_mutex_lock(&s->lock);
    s->now[writer] = (s->now[writer] + next) % KEYS;
    k = s->now[writer];
    pthread_mutex_unlock(&s->lock);
    return k;
}

/* ---- what it is told ---- */

static void flush(struct keeper *r)
{
    memset(r->cache, 0, sizeof(r->cache));
    r->flushes++;
}

static void lost(struct keeper *r)
{
    rconn_close(&r->told);
    rconn_close(&r->other);
    memset(r->cache, 0, sizeof(r->cache));
    r->losses++;
}

static void drop(struct keeper *r, struct bytes key)
{
    char text[NAME_MAX_LEN];
    unsigned long long g;
    int i;

    snprintf(text, sizeof(text), "%.*s", (int)key.n, (const char *)key.p);
    if (sscanf(text, "track:%d_%llu", &i, &g) == 2 && i >= 0 && i < CACHE_MAX &&
        r->cache[i].generation == g) {
        r->cache[i].there = false;
        r->drops++;
    }
}

/* Anything but an invalidation is no longer to be relied on. */
static void push(struct keeper *r, const struct resp_value *v)
{
    if (v->n == 2 && bytes_eq(v->items[0].str, bytes_str("invalidate"))) {
        if (answer_nil(&v->items[1])) {
            flush(r);
        }
        for (size_t i = 0; i < v->items[1].n; i++) {
            drop(r, v->items[1].items[i].str);
        }
        return;
    }
    lost(r);
}

/* All that has arrived. */
static void listen_now(struct keeper *r)
{
    struct answer a = {0};
    int rv;

    while ((rv = rconn_next(&r->told, 0, &a)) == 1 && a.v->type == RESP_PUSH) {
        push(r, a.v);
    }
    if (rv != 0) {
        lost(r);
    }
    answer_clear(&a);
}

/* ---- requests ---- */

/* @n commands, as lines; the last reply counts. Pushes on the way are done in
 * their place. */
static enum outcome exchange(struct client *c,
                             struct keeper *r,
                             struct rconn *conn,
                             const char *lines,
                             int n,
                             struct answer *a)
{
    int64_t deadline_ms = rconn_now_ms() + c->timeout_ms;
    enum outcome o = OUT_OK;

    if (conn->fd < 0) {
        snprintf(c->error, sizeof(c->error), "not connected");
        return OUT_FAIL;
    }
    if (!rconn_send(conn, bytes_str(lines), deadline_ms)) {
        snprintf(c->error, sizeof(c->error), "%s", conn->error);
        return OUT_INFO;
    }
    while (n > 0) {
        if (rconn_next(conn, deadline_ms, a) != 1) {
            snprintf(c->error, sizeof(c->error), "%s", conn->error);
            rconn_close(conn);
            return OUT_INFO;
        }
        if (a->v->type == RESP_PUSH) {
            if (conn == &r->told) {
                push(r, a->v);
            }
        } else {
            n--;
        }
    }
    o = rconn_judge(a->v);
    if (o != OUT_OK) {
        snprintf(c->error, sizeof(c->error), "%.*s", (int)a->v->str.n,
                 (const char *)a->v->str.p);
    }
    return o;
}

/* What was told before now has been heard. */
static bool sync_told(struct client *c, struct keeper *r)
{
    struct answer a = {0};
    int64_t now = rconn_now_ms();
    bool ok = exchange(c, r, &r->told, "PING\r\n", 1, &a) == OUT_OK;

    if (ok) {
        r->ping_ms = now;
    } else {
        lost(r);
    }
    answer_clear(&a);
    return ok;
}

/* ---- connections ---- */

static struct rconn *reads_through(struct keeper *r)
{
    return r->mode == MODE_REDIRECT ? &r->other : &r->told;
}

/* CLIENT TRACKING as the mode has it. */
static bool track(struct client *c, struct keeper *r)
{
    struct answer a = {0};
    char line[80] = "CLIENT TRACKING ON\r\n";
    bool ok = true;

    if (r->mode == MODE_REDIRECT) {
        ok = exchange(c, r, &r->told, "CLIENT ID\r\n", 1, &a) == OUT_OK;
        snprintf(line, sizeof(line), "CLIENT TRACKING ON REDIRECT %lld\r\n",
                 ok ? (long long)a.v->i : 0LL);
    } else if (r->mode == MODE_BCAST) {
        snprintf(line, sizeof(line),
                 "CLIENT TRACKING ON BCAST PREFIX track:\r\n");
    } else if (r->mode == MODE_OPTIN) {
        snprintf(line, sizeof(line), "CLIENT TRACKING ON OPTIN\r\n");
    }
    ok = ok && exchange(c, r, reads_through(r), line, 1, &a) == OUT_OK;
    /* What the other one answers is not to be ahead of what we are told. */
    ok = ok &&
         (r->mode == MODE_REDIRECT ||
          exchange(c, r, &r->other, "CLIENT TRACKING ON\r\n", 1, &a) == OUT_OK);
    answer_clear(&a);
    return ok;
}

static bool connect_both(struct client *c, struct keeper *r)
{
    const char *addr = c->load->nodes[c->node - 1].plain;
    int64_t until = rconn_now_ms() + LOAD_CONNECT_MS;
    struct answer a = {0};
    bool ok;

    if (r->told.fd >= 0 && r->other.fd >= 0 && r->node == c->node) {
        return true;
    }
    lost(r);
    r->node = c->node;
    ok = rconn_dial(&r->told, addr, until) &&
         rconn_dial(&r->other, addr, until) &&
         exchange(c, r, &r->told, "HELLO 3\r\n", 1, &a) == OUT_OK &&
         exchange(c, r, &r->other, "HELLO 3\r\n", 1, &a) == OUT_OK &&
         track(c, r) && sync_told(c, r);
    answer_clear(&a);
    if (!ok) {
        lost(r);
        client_next_node(c);
    }
    return ok;
}

/* ---- operations ---- */

static void do_write(struct client *c, struct tracking *s, struct keeper *r)
{
    int writer = c->number % READERS_MAX;
    int k = key_now(s, writer, rng_below(&c->rng, STAY) == 0);
    int i = writer * KEYS + k;
    /* Where it is told without tracking, replies are ahead of that. */
    bool other = r->mode == MODE_REDIRECT || rng_permille(&c->rng, 500);
    struct answer a = {0};
    char key[NAME_MAX_LEN];
    char json[24];
    char more[40];
    char line[128];
    enum outcome o;

    key_name(key, i, generation(s, i));
    snprintf(json, sizeof(json), "%llu", (unsigned long long)++r->value[k]);
    snprintf(more, sizeof(more), ",\"session\":%d", writer);
    snprintf(line, sizeof(line), "SET %s %s\r\n", key, json);
    op_begin(c, false, "write", key, json, more);
    o = exchange(c, r, other ? &r->other : &r->told, line, 1, &a);
    op_end(c, o, NULL, "");
    answer_clear(&a);
    if (o == OUT_INFO || r->value[k] == VALUES_MAX) {
        r->value[k] = 0;
        pthread_mutex_lock(&s->lock);
        s->generation[i]++;
        pthread_mutex_unlock(&s->lock);
    }
    if (r->told.fd < 0 || r->other.fd < 0) {
        lost(r);
    } else if (other) {
        (void)sync_told(c, r);
    }
}

/* From the cache: no time passes. */
static void cached_read(struct client *c, struct keeper *r, int reader, int i)
{
    const struct entry *e = &r->cache[i];
    char key[NAME_MAX_LEN];
    char more[100];
    char json[24] = "null";

    key_name(key, i, e->generation);
    snprintf(more, sizeof(more),
             ",\"session\":%d,\"cached\":true,\"maxage\":%lld", reader,
             (long long)(rconn_now_ms() - r->ping_ms) + AGE_MS);
    if (e->value > 0) {
        snprintf(json, sizeof(json), "%llu", (unsigned long long)e->value);
    }
    op_begin(c, true, "read", key, "null", more);
    op_end(c, OUT_OK, json, "");
    r->hits++;
}

/* From the node, and kept. */
static void fresh_read(struct client *c,
                       struct keeper *r,
                       int reader,
                       int i,
                       uint64_t g)
{
    struct answer a = {0};
    bool optin = r->mode == MODE_OPTIN;
    char key[NAME_MAX_LEN];
    char more[40];
    char json[32] = "null";
    char line[128];
    enum outcome o;

    key_name(key, i, g);
    snprintf(more, sizeof(more), ",\"session\":%d", reader);
    snprintf(line, sizeof(line), "%sGET %s\r\n",
             optin ? "CLIENT CACHING YES\r\n" : "", key);
    op_begin(c, true, "read", key, "null", more);
    o = exchange(c, r, reads_through(r), line, optin ? 2 : 1, &a);
    if (o == OUT_OK && !answer_nil(a.v)) {
        snprintf(json, sizeof(json), "%.*s", (int)a.v->str.n,
                 (const char *)a.v->str.p);
    }
    op_end(c, o, o == OUT_OK ? json : NULL, "");
    if (o == OUT_OK) {
        r->cache[i] = (struct entry){
            true, g, answer_nil(a.v) ? 0 : strtoull(json, NULL, 10)};
    } else if (o == OUT_INFO) {
        lost(r);
    } else if (rng_permille(&c->rng, 100)) {
        client_next_node(c);
    }
    answer_clear(&a);
}

static void do_read(struct client *c, struct tracking *s, struct keeper *r)
{
    int writer = (int)rng_below(&c->rng, (uint64_t)s->readers);
    int k = key_now(s, writer, false);
    uint64_t g;
    int i;

    if (rng_permille(&c->rng, 300)) {
        k = (int)rng_below(&c->rng, KEYS);
    }
    i = writer * KEYS + k;
    g = generation(s, i);
    listen_now(r);
    if (r->told.fd < 0) {
        return;
    }
    if (r->cache[i].there && r->cache[i].generation == g) {
        cached_read(c, r, c->number, i);
    } else {
        fresh_read(c, r, c->number, i, g);
    }
}

static void step(struct client *c, void *shared)
{
    struct tracking *s = shared;
    struct keeper *r = &s->reader[c->number % READERS_MAX];
    int n = 1 + (int)rng_below(&c->rng, READS_MAX);

    if (!connect_both(c, r) ||
        (rconn_now_ms() - r->ping_ms > PING_MS && !sync_told(c, r))) {
        return;
    }
    if (rng_permille(&c->rng, 250)) {
        do_write(c, s, r);
    }
    for (int i = 0; i < n && r->told.fd >= 0; i++) {
        do_read(c, s, r);
    }
}

/* ---- the end ---- */

static bool plain_read(struct client *c, int i, uint64_t g)
{
    struct answer a = {0};
    char key[NAME_MAX_LEN];
    char json[32] = "null";
    enum outcome o;

    key_name(key, i, g);
    op_begin(c, true, "read", key, "null", "");
    o = client_do(c, false, &a, "GET %s", key);
    if (o == OUT_OK && !answer_nil(a.v)) {
        snprintf(json, sizeof(json), "%.*s", (int)a.v->str.n,
                 (const char *)a.v->str.p);
    }
    op_end(c, o, o == OUT_OK ? json : NULL, "");
    answer_clear(&a);
    return o == OUT_OK;
}

/* What is in a cache when all is quiet, and what its reader has counted. */
static void last_reads(struct client *c, struct tracking *s, int reader)
{
    struct keeper *r = &s->reader[reader];
    int node = c->node;
    char key[NAME_MAX_LEN];
    char json[100];

    c->node = r->node > 0 ? r->node : node;
    if (r->told.fd >= 0 && sync_told(c, r)) {
        for (int i = 0; i < s->readers * KEYS; i++) {
            if (r->cache[i].there &&
                r->cache[i].generation == s->generation[i]) {
                cached_read(c, r, reader, i);
            }
        }
    }
    snprintf(key, sizeof(key), "reader:%d", reader);
    snprintf(json, sizeof(json), "[%lld,%lld,%lld,%lld]", r->hits, r->drops,
             r->flushes, r->losses);
    op_begin(c, true, "told", key, "null", "");
    op_end(c, OUT_OK, json, "");
    rconn_close(&r->told);
    rconn_close(&r->other);
    r->used = false;
    c->node = node;
}

static bool final(struct client *c, void *shared)
{
    struct tracking *s = shared;
    bool ok = true;

    for (int i = 0; ok && i < s->readers * KEYS; i++) {
        ok = plain_read(c, i, s->generation[i]);
    }
    if (!ok) {
        return false;
    }
    usleep(SETTLE_US);
    for (int i = 0; i < s->readers; i++) {
        if (s->reader[i].used && i % c->load->n_nodes == c->node - 1) {
            last_reads(c, s, i);
        }
    }
    return true;
}

const struct workload work_tracking = {"tracking", 4,    true, setup,
                                       begin,      step, final};
