/* feed: unique values written to a few keys, and consumers of the change feed,
 * each of which goes on behind what it has seen, at whatever node it is. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jepsen-lite/load.h"

enum {
    KEYS = 8,
    CONSUMERS_MAX = 64,
    BLOCK_MAX_MS = 1500,
    COUNT_MAX = 1000,
    VALUE_MAX = 48,
    STEPS_MAX = 100000 /* polls of one consumer at the end */
};

#define PREFIX "feed:"

/* One chain of positions. */
struct consumer {
    bool used;
    bool whole; /* of all keys */
    uint64_t session;
    uint64_t rev;
    uint64_t seq;
};

struct feed {
    pthread_mutex_t lock;
    uint64_t next_session;
    struct consumer consumers[CONSUMERS_MAX]; /* by number of the client */
};

static void *setup(struct load *l)
{
    struct feed *s = hf_calloc(1, sizeof(*s));

    (void)l;
    pthread_mutex_init(&s->lock, NULL);
    return s;
}

/* From @rev-@seq on, as a consumer that nobody was before. */
static void consumer_start(struct feed *s,
                           struct consumer *k,
                           uint64_t rev,
                           uint64_t seq)
{
    k->used = true;
    k->rev = rev;
    k->seq = seq;
    pthread_mutex_lock(&s->lock);
    k->session = ++s->next_session;
    pthread_mutex_unlock(&s->lock);
}

static void begin(struct client *c, void *shared)
{
    struct feed *s = shared;
    struct consumer *k;

    if (!c->via_lib && c->number < CONSUMERS_MAX) {
        k = &s->consumers[c->number];
        k->whole = c->number % 4 == 0;
        consumer_start(s, k, 0, 0);
    }
}

/* ---- writes ---- */

/* The last revision of the reply @v of GETV; 0: none. */
static int64_t revision(const struct resp_value *v)
{
    return v->n == 3 ? v->items[2].i : 0;
}

static void do_write(struct client *c)
{
    struct answer a = {0};
    uint64_t dice = rng_below(&c->rng, 100);
    int k = (int)rng_below(&c->rng, KEYS);
    char x[VALUE_MAX];
    char json[4 * VALUE_MAX];
    char cmds[4 * VALUE_MAX];
    char more[VALUE_MAX] = "";
    enum outcome o;

    snprintf(x, sizeof(x), "%llu-%llu", (unsigned long long)c->p,
             (unsigned long long)c->n);
    snprintf(json, sizeof(json), "[\"" PREFIX "%d\",\"%s\"]", k, x);
    if (dice < 25) {
        snprintf(json, sizeof(json),
                 "[\"" PREFIX "%d\",\"%s\",\"" PREFIX "%d\",\"%sb\"]", k, x,
                 (k + 1) % KEYS, x);
    }
    op_begin(c, false, "write", "", json, "");
    if (dice < 25) {
        o = client_do(c, true, &a, "MSET " PREFIX "%d %s " PREFIX "%d %sb", k,
                      x, (k + 1) % KEYS, x);
    } else if (dice < 60) {
        o = client_do(c, true, &a, "SET " PREFIX "%d %s", k, x);
    } else {
        snprintf(cmds, sizeof(cmds), "SET " PREFIX "%d %s\nGETV " PREFIX "%d\n",
                 k, x, k);
        o = client_txn(c, TXN_ANY, "", cmds, &a);
        if (o == OUT_OK && revision(&a.v->items[1]) > 0) {
            snprintf(more, sizeof(more), ",\"rev\":%lld",
                     (long long)revision(&a.v->items[1]));
        }
    }
    op_end(c, o, NULL, more);
    answer_clear(&a);
}

/* ---- polls ---- */

static struct bytes field(const struct resp_value *entry, const char *name)
{
    const struct resp_value *f = entry->n == 2 ? &entry->items[1] : NULL;

    for (size_t i = 0; f != NULL && i + 1 < f->n; i += 2) {
        if (bytes_eq(f->items[i].str, bytes_str(name))) {
            return f->items[i + 1].str;
        }
    }
    return bytes_of(NULL, 0);
}

static bool id_of(struct bytes s, uint64_t *rev, uint64_t *seq)
{
    char text[48];

    snprintf(text, sizeof(text), "%.*s", (int)s.n, (const char *)s.p);
    return sscanf(text, "%" SCNu64 "-%" SCNu64, rev, seq) == 2;
}

/* An entry as a line has it. What cannot be read is 0-0, which no consumer
 * can have behind anything. */
static void put_entry(struct buf *b,
                      struct consumer *k,
                      const struct resp_value *entry)
{
    struct bytes key = field(entry, "key");
    struct bytes type = field(entry, "type");
    size_t n = strlen(PREFIX);
    uint64_t rev = 0;
    uint64_t seq = 0;

    if (entry->n == 2 && id_of(entry->items[0].str, &rev, &seq)) {
        k->rev = rev;
        k->seq = seq;
    }
    buf_printf(b, "[%" PRIu64 ",%" PRIu64, rev, seq);
    if (key.n >= n && memcmp(key.p, PREFIX, n) == 0) {
        buf_printf(b, ",");
        json_string(b, key);
        buf_printf(b, ",");
        json_string(
            b, bytes_eq(type, bytes_str("set")) ? field(entry, "value") : type);
    }
    buf_printf(b, "]");
}

/* The entries of the only stream in the reply of XREAD; NULL: it is null. */
static const struct resp_value *entries(const struct resp_value *v)
{
    if (v->type == RESP_MAP && v->n == 2) {
        return &v->items[1];
    }
    return v->type == RESP_ARRAY && v->n == 1 && v->items[0].n == 2
               ? &v->items[0].items[1]
               : NULL;
}

/* Goes on behind the end of what is no longer kept, as another consumer. */
static void trimmed(struct client *c, struct feed *s, struct consumer *k)
{
    const char *id = strstr(c->error, " up to ");
    uint64_t rev;
    uint64_t seq;

    if (strncmp(c->error, "TRIMMED ", 8) == 0 && id != NULL &&
        id_of(bytes_str(id + 7), &rev, &seq)) {
        consumer_start(s, k, rev, seq);
    }
}

/* One XREAD; @block_ms < 0: at once. Returns how many changes it gave, or -1:
 * it was not answered. */
static int do_poll(struct client *c,
                   struct feed *s,
                   struct consumer *k,
                   int count,
                   int block_ms)
{
    static const char *const names[2] = {"__changes__:" PREFIX, "__changes__"};
    const char *name = names[k->whole];
    struct answer a = {0};
    struct buf v = BUF_INIT;
    char block[32] = "";
    char more[64];
    char at[48];
    enum outcome o;
    int n = -1;

    snprintf(at, sizeof(at), "\"%" PRIu64 "-%" PRIu64 "\"", k->rev, k->seq);
    snprintf(more, sizeof(more), ",\"session\":%" PRIu64, k->session);
    if (block_ms >= 0) {
        snprintf(block, sizeof(block), "BLOCK %d ", block_ms);
        snprintf(more, sizeof(more), ",\"session\":%" PRIu64 ",\"px\":%d",
                 k->session, block_ms);
    }
    op_begin(c, true, "poll", name, at, more);
    o = client_do(c, false, &a, "XREAD COUNT %d %sSTREAMS %s %.*s", count,
                  block, name, (int)strlen(at) - 2, at + 1);
    buf_printf(&v, "[");
    if (o == OUT_OK) {
        const struct resp_value *e = entries(a.v);

        n = e == NULL ? 0 : (int)e->n;
        for (int i = 0; i < n; i++) {
            buf_printf(&v, "%s", i == 0 ? "" : ",");
            put_entry(&v, k, &e->items[i]);
        }
    }
    buf_printf(&v, "]");
    op_end(c, o, o == OUT_OK ? op_text(&v) : NULL, "");
    if (o != OUT_OK) {
        trimmed(c, s, k);
    }
    answer_clear(&a);
    buf_release(&v);
    return n;
}

static void poll_step(struct client *c, struct feed *s)
{
    uint32_t most = c->timeout_ms / 2;
    int block_ms = -1;
    int count = COUNT_MAX;

    most = most > BLOCK_MAX_MS ? BLOCK_MAX_MS : most;
    if (rng_permille(&c->rng, 700)) {
        block_ms = 1 + (int)rng_below(&c->rng, most);
    }
    if (rng_permille(&c->rng, 200)) {
        count = 1 + (int)rng_below(&c->rng, 20);
    }
    /* What one node does not answer, another one may. */
    if (do_poll(c, s, &s->consumers[c->number], count, block_ms) < 0 &&
        rng_permille(&c->rng, 500)) {
        client_next_node(c);
    }
}

static void step(struct client *c, void *shared)
{
    struct feed *s = shared;

    if (!c->via_lib && c->number < CONSUMERS_MAX &&
        rng_permille(&c->rng, 600)) {
        poll_step(c, s);
    } else {
        do_write(c);
    }
}

/* ---- the end ---- */

static bool read_key(struct client *c, int i)
{
    struct answer a = {0};
    struct buf v = BUF_INIT;
    char key[NAME_MAX_LEN];
    char more[40] = "";
    enum outcome o;

    snprintf(key, sizeof(key), PREFIX "%d", i);
    op_begin(c, true, "read", key, "null", "");
    o = client_do(c, false, &a, "GETV %s", key);
    if (o == OUT_OK && revision(a.v) > 0) {
        json_string(&v, a.v->items[0].str);
        snprintf(more, sizeof(more), ",\"rev\":%lld", (long long)revision(a.v));
    } else {
        buf_printf(&v, "null");
    }
    op_end(c, o, o == OUT_OK ? op_text(&v) : NULL, more);
    answer_clear(&a);
    buf_release(&v);
    return o == OUT_OK;
}

/* To the end of the feed. */
static bool drain(struct client *c, struct feed *s, struct consumer *k)
{
    int n = 1;

    for (int i = 0; i < STEPS_MAX && n > 0; i++) {
        n = do_poll(c, s, k, COUNT_MAX, -1);
    }
    return n == 0;
}

/* The keys, then all of the feed from this node, then the rest of the feed
 * for those consumers that fall to it. */
static bool final(struct client *c, void *shared)
{
    struct feed *s = shared;
    struct consumer fresh = {.used = true};
    bool ok = true;

    for (int i = 0; ok && i < KEYS; i++) {
        ok = read_key(c, i);
    }
    if (ok) {
        consumer_start(s, &fresh, 0, 0);
        ok = drain(c, s, &fresh);
    }
    for (int i = 0; ok && i < CONSUMERS_MAX; i++) {
        if (s->consumers[i].used && i % c->load->n_nodes == c->node - 1) {
            ok = drain(c, s, &s->consumers[i]);
        }
    }
    return ok;
}

const struct workload work_feed = {"feed", 4, false, setup, begin, step, final};
