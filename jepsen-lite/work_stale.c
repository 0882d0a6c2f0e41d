/* stale: reads of a node's own data. Each client writes 1, 2, 3, ... to a key
 * of its own and reads all keys over the same connection, which is one
 * session. After a write of unknown outcome it takes a new key: the old one
 * may still change. */
#include <stdio.h>
#include <stdlib.h>

#include "jepsen-lite/load.h"

enum { WRITERS_MAX = 64, VALUES_MAX = 1000 /* of a key */ };

struct stale {
    pthread_mutex_t lock;
    int writers;
    uint64_t generation[WRITERS_MAX];
};

struct mine {
    int writer;
    uint64_t value; /* last one tried: each is tried once */
};

static void *setup(struct load *l)
{
    struct stale *s = hf_calloc(1, sizeof(*s));

    (void)l;
    pthread_mutex_init(&s->lock, NULL);
    return s;
}

static void begin(struct client *c, void *shared)
{
    struct stale *s = shared;
    struct mine *m = hf_calloc(1, sizeof(*m));

    m->writer = c->number % WRITERS_MAX;
    pthread_mutex_lock(&s->lock);
    s->writers = m->writer >= s->writers ? m->writer + 1 : s->writers;
    pthread_mutex_unlock(&s->lock);
    client_disconnect(c);
    c->mine = m;
    c->stale = true;
}

/* A connection (for the library: a handle) and what its reads may be. */
static bool ready(struct client *c)
{
    static const uint32_t ages[] = {0, 0, 20, 100, 500, 2000};

    if (c->via_lib) {
        if (c->lib == NULL) {
            c->max_age_ms = ages[rng_below(&c->rng, 6)];
        }
        /* It may go to another node with each call. */
        pthread_mutex_lock(&c->load->lock);
        c->session = ++c->load->next_session;
        pthread_mutex_unlock(&c->load->lock);
        return true;
    }
    if (!rconn_alive(&c->conn)) {
        c->max_age_ms = ages[rng_below(&c->rng, 6)];
    }
    return client_connect(c, rconn_now_ms() + LOAD_CONNECT_MS);
}

static void fields(struct client *c, char out[80])
{
    snprintf(out, 80, ",\"session\":%llu,\"maxage\":%u",
             (unsigned long long)c->session, c->max_age_ms);
}

static void key_of(struct stale *s, int writer, char key[NAME_MAX_LEN])
{
    pthread_mutex_lock(&s->lock);
    snprintf(key, NAME_MAX_LEN, "stale%d_%llu", writer,
             (unsigned long long)s->generation[writer]);
    pthread_mutex_unlock(&s->lock);
}

static void do_write(struct client *c, struct stale *s)
{
    struct mine *m = c->mine;
    struct answer a = {0};
    char key[NAME_MAX_LEN];
    char more[80];
    char json[24];
    enum outcome o;

    key_of(s, m->writer, key);
    fields(c, more);
    snprintf(json, sizeof(json), "%llu", (unsigned long long)++m->value);
    op_begin(c, false, "write", key, json, more);
    o = client_do(c, true, &a, "SET %s %s", key, json);
    op_end(c, o, NULL, "");
    answer_clear(&a);
    if (o == OUT_INFO || m->value == VALUES_MAX) {
        m->value = 0;
        pthread_mutex_lock(&s->lock);
        s->generation[m->writer]++;
        pthread_mutex_unlock(&s->lock);
    }
    if (o == OUT_INFO) {
        client_disconnect(c);
    }
}

static void do_read(struct client *c, const char *key)
{
    struct answer a = {0};
    char more[80];
    char json[32] = "null";
    enum outcome o;

    fields(c, more);
    op_begin(c, true, "read", key, "null", more);
    o = client_do(c, false, &a, "GET %s", key);
    if (o == OUT_OK && !answer_nil(a.v)) {
        snprintf(json, sizeof(json), "%.*s", (int)a.v->str.n,
                 (const char *)a.v->str.p);
    }
    op_end(c, o, o == OUT_OK ? json : NULL, "");
    answer_clear(&a);
}

static void step(struct client *c, void *shared)
{
    struct stale *s = shared;
    struct mine *m = c->mine;
    char key[NAME_MAX_LEN];
    int writer = m->writer;

    if (!ready(c)) {
        return;
    }
    c->pinned = !c->via_lib;
    /* On the cluster port a write would go to another connection. */
    if (!c->on_cluster && rng_permille(&c->rng, 350)) {
        do_write(c, s);
    } else {
        if (c->on_cluster || rng_permille(&c->rng, 600)) {
            writer = (int)rng_below(&c->rng, (uint64_t)s->writers);
        }
        key_of(s, writer, key);
        do_read(c, key);
    }
    c->pinned = false;
}

const struct workload work_stale = {"stale", 4,    false, setup,
                                    begin,   step, NULL};
