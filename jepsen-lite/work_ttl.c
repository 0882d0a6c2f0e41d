/* ttl: values that go away in time, on every node at once, and stay away.
 * Each client sets keys of its own, one after the other has gone, and reads
 * everybody's. */
#include <stdio.h>
#include <stdlib.h>

#include "jepsen-lite/load.h"

enum {
    WRITERS_MAX = 64,
    PX_MIN = 100, /* ms */
    PX_MAX = 3000,
    SETS_MAX = 30, /* of a key */
    LATE_MS = 200  /* after its time, before it is expected to be gone */
};

struct ttl {
    pthread_mutex_t lock;
    int writers;
    uint64_t generation[WRITERS_MAX];
};

struct mine {
    int writer;
    int sets;        /* of the present key */
    bool held;       /* a value was set and not yet seen gone */
    int64_t gone_ms; /* when it should be */
};

static void *setup(struct load *l)
{
    struct ttl *s = hf_calloc(1, sizeof(*s));

    (void)l;
    pthread_mutex_init(&s->lock, NULL);
    return s;
}

static void begin(struct client *c, void *shared)
{
    struct ttl *s = shared;
    struct mine *m = hf_calloc(1, sizeof(*m));

    m->writer = c->number % WRITERS_MAX;
    pthread_mutex_lock(&s->lock);
    s->writers = m->writer >= s->writers ? m->writer + 1 : s->writers;
    pthread_mutex_unlock(&s->lock);
    c->mine = m;
}

static void key_of(struct ttl *s, int writer, char key[NAME_MAX_LEN])
{
    pthread_mutex_lock(&s->lock);
    snprintf(key, NAME_MAX_LEN, "ttl%d_%llu", writer,
             (unsigned long long)s->generation[writer]);
    pthread_mutex_unlock(&s->lock);
}

static void next_key(struct ttl *s, struct mine *m)
{
    m->sets = 0;
    m->held = false;
    pthread_mutex_lock(&s->lock);
    s->generation[m->writer]++;
    pthread_mutex_unlock(&s->lock);
}

static void do_set(struct client *c, struct ttl *s)
{
    struct mine *m = c->mine;
    struct answer a = {0};
    int px = PX_MIN + (int)rng_below(&c->rng, PX_MAX - PX_MIN);
    char key[NAME_MAX_LEN];
    char value[48];
    char json[64];
    char more[24];
    enum outcome o;

    key_of(s, m->writer, key);
    snprintf(value, sizeof(value), "%llu-%llu", (unsigned long long)c->p,
             (unsigned long long)c->n);
    snprintf(json, sizeof(json), "\"%s\"", value);
    snprintf(more, sizeof(more), ",\"px\":%d", px);
    op_begin(c, false, "set", key, json, more);
    o = rng_permille(&c->rng, 500)
            ? client_do(c, true, &a, "SET %s %s PX %d", key, value, px)
            : client_do(c, true, &a, "PSETEX %s %d %s", key, px, value);
    op_end(c, o, NULL, "");
    answer_clear(&a);
    m->held = o == OUT_OK;
    m->gone_ms = rconn_now_ms() + px + px / 1000 + LATE_MS;
    if (o == OUT_INFO) {
        next_key(s, m); /* it may still come */
    } else if (o == OUT_OK) {
        m->sets++;
    }
}

/* True: answered, and there was nothing. */
static bool do_read(struct client *c, const char *key, bool *answered)
{
    struct answer a = {0};
    struct buf v = BUF_INIT;
    enum outcome o;
    bool gone;

    op_begin(c, true, "read", key, "null", "");
    o = client_do(c, false, &a, "GET %s", key);
    if (o == OUT_OK) {
        op_json(&v, a.v);
    }
    gone = o == OUT_OK && answer_nil(a.v);
    op_end(c, o, o == OUT_OK ? op_text(&v) : NULL, "");
    *answered = o == OUT_OK;
    answer_clear(&a);
    buf_release(&v);
    return gone;
}

static void step(struct client *c, void *shared)
{
    struct ttl *s = shared;
    struct mine *m = c->mine;
    bool late = m->held && rconn_now_ms() >= m->gone_ms;
    char key[NAME_MAX_LEN];
    int writer = m->writer;
    bool answered;

    if (!m->held && rng_permille(&c->rng, 500)) {
        if (m->sets >= SETS_MAX) {
            next_key(s, m);
        }
        do_set(c, s);
        return;
    }
    if (!late && rng_permille(&c->rng, 600)) {
        writer = (int)rng_below(&c->rng, (uint64_t)s->writers);
    }
    key_of(s, writer, key);
    if (do_read(c, key, &answered) && late) {
        m->held = false;
    }
}

static bool final(struct client *c, void *shared)
{
    struct ttl *s = shared;
    char key[NAME_MAX_LEN];
    bool answered = true;

    for (int i = 0; answered && i < s->writers; i++) {
        key_of(s, i, key);
        (void)do_read(c, key, &answered);
    }
    return answered;
}

const struct workload work_ttl = {"ttl", 3, false, setup, begin, step, final};
