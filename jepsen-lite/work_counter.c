/* counter: named increments, sent again under their name until answered.
 *
 * The library does that by itself; over RESP it is done by hand here: the
 * same session and number, at another node, until a node says what became of
 * it. A refusal proves nothing about an earlier attempt whose answer was lost,
 * so once in doubt only an answer ends it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "jepsen-lite/load.h"

enum {
    COUNTERS = 3,
    GIVE_UP_MS = 20000, /* without an answer: unknown */
    PAUSE_MS = 50       /* before another node is asked */
};

struct mine {
    uint64_t session; /* 0: none */
    uint64_t number;  /* last one given up or answered */
};

static void *setup(struct load *l)
{
    (void)l;
    return NULL;
}

static void begin(struct client *c, void *shared)
{
    (void)shared;
    c->mine = hf_calloc(1, sizeof(struct mine));
}

static void pause_ms(int ms)
{
    struct timespec ts = {0, ms * 1000000L};

    nanosleep(&ts, NULL);
}

/* An opened session that we do not hear of is nobody's. */
static bool have_session(struct client *c)
{
    struct mine *m = c->mine;
    struct answer a = {0};

    if (m->session == 0 && client_do(c, true, &a, "ONCE OPEN") == OUT_OK &&
        a.v->type == RESP_INT) {
        m->session = (uint64_t)a.v->i;
        m->number = 0;
    }
    answer_clear(&a);
    return m->session != 0;
}

static enum outcome add_by_hand(struct client *c,
                                const char *key,
                                int by,
                                struct answer *a)
{
    struct mine *m = c->mine;
    int64_t until = rconn_now_ms() + GIVE_UP_MS;
    bool doubt = false;
    enum outcome o;

    m->number++;
    for (;;) {
        o = client_do(c, true, a, "ONCE %llu %llu INCRBY %s %d",
                      (unsigned long long)m->session,
                      (unsigned long long)m->number, key, by);
        if (o == OUT_OK) {
            return o;
        }
        doubt = doubt || o == OUT_INFO;
        if (strncmp(c->error, "NOSESSION", 9) == 0 || rconn_now_ms() >= until) {
            break;
        }
        pause_ms(PAUSE_MS);
        client_next_node(c);
    }
    m->session = 0; /* its next number is not known */
    return doubt ? OUT_INFO : OUT_FAIL;
}

static void do_add(struct client *c, const char *key)
{
    struct mine *m = c->mine;
    struct answer a = {0};
    struct buf v = BUF_INIT;
    int by = 1 + (int)rng_below(&c->rng, 1000);
    char json[16];
    char more[64] = "";
    enum outcome o;

    if (!c->via_lib && !have_session(c)) {
        return;
    }
    snprintf(json, sizeof(json), "%d", by);
    if (!c->via_lib) {
        snprintf(more, sizeof(more), ",\"id\":\"%llu:%llu\"",
                 (unsigned long long)m->session,
                 (unsigned long long)m->number + 1);
    }
    op_begin(c, false, "add", key, json, more);
    if (c->via_lib) {
        o = client_do(c, true, &a, "INCRBY %s %d", key, by);
    } else {
        o = add_by_hand(c, key, by, &a);
    }
    if (o == OUT_OK) {
        op_json(&v, a.v);
    }
    op_end(c, o, o == OUT_OK ? op_text(&v) : NULL, "");
    answer_clear(&a);
    buf_release(&v);
}

static bool do_read(struct client *c, const char *key)
{
    struct answer a = {0};
    enum outcome o;
    char json[32] = "0"; /* no such key: nothing was added yet */

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

static void step(struct client *c, void *shared)
{
    char key[NAME_MAX_LEN];

    (void)shared;
    snprintf(key, sizeof(key), "counter%d", (int)rng_below(&c->rng, COUNTERS));
    if (rng_permille(&c->rng, 200)) {
        (void)do_read(c, key);
    } else {
        do_add(c, key);
    }
}

static bool final(struct client *c, void *shared)
{
    char key[NAME_MAX_LEN];
    bool ok = true;

    (void)shared;
    for (int i = 0; ok && i < COUNTERS; i++) {
        snprintf(key, sizeof(key), "counter%d", i);
        ok = do_read(c, key);
    }
    return ok;
}

const struct workload work_counter = {"counter", 4,    false, setup,
                                      begin,     step, final};
