/* watch: WATCH and GET, a pause in which the key may be changed or expire and
 * the leader may go, then MULTI, SET and EXEC. Values are unique. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "jepsen-lite/load.h"

enum { SLOTS = 4, VALUE_MAX = 48, PX_MAX = 1200, PAUSE_MAX = 1500 };

struct watch {
    struct keys keys;
    pthread_mutex_t lock;
    uint64_t next; /* number of the next WATCH */
};

static void *setup(struct load *l)
{
    struct watch *s = hf_calloc(1, sizeof(*s));

    (void)l;
    keys_init(&s->keys, "w", SLOTS);
    pthread_mutex_init(&s->lock, NULL);
    return s;
}

/* Half of the values live for a while only. */
static int some_px(struct client *c)
{
    return rng_permille(&c->rng, 500) ? 0
                                      : 20 + (int)rng_below(&c->rng, PX_MAX);
}

static void set_words(char out[128], const char *key, const char *v, int px)
{
    if (px > 0) {
        snprintf(out, 128, "SET %s %s PX %d", key, v, px);
    } else {
        snprintf(out, 128, "SET %s %s", key, v);
    }
}

static void new_value(struct client *c, char out[VALUE_MAX])
{
    snprintf(out, VALUE_MAX, "%llu-%llu", (unsigned long long)c->p,
             (unsigned long long)c->n);
}

static enum outcome do_set(struct client *c, const char *key)
{
    struct answer a = {0};
    char value[VALUE_MAX];
    char json[VALUE_MAX + 2];
    char more[32] = "";
    char words[128];
    int px = some_px(c);
    enum outcome o;

    new_value(c, value);
    snprintf(json, sizeof(json), "\"%s\"", value);
    if (px > 0) {
        snprintf(more, sizeof(more), ",\"px\":%d", px);
    }
    set_words(words, key, value, px);
    op_begin(c, false, "set", key, json, more);
    o = client_do(c, true, &a, "%s", words);
    op_end(c, o, NULL, "");
    answer_clear(&a);
    return o;
}

/* WATCH and GET over one connection, which stays pinned; @json of what was
 * there. */
static bool do_watch(struct client *c,
                     const char *key,
                     uint64_t number,
                     char json[VALUE_MAX + 2])
{
    struct answer a = {0};
    char more[40];
    enum outcome o;

    snprintf(more, sizeof(more), ",\"session\":%llu",
             (unsigned long long)number);
    op_begin(c, true, "watch", key, "null", more);
    o = client_do(c, false, &a, "WATCH %s", key);
    c->pinned = true;
    if (o == OUT_OK) {
        o = client_do(c, false, &a, "GET %s", key);
    }
    snprintf(json, VALUE_MAX + 2, "null");
    if (o == OUT_OK && !answer_nil(a.v)) {
        snprintf(json, VALUE_MAX + 2, "\"%.*s\"", (int)a.v->str.n,
                 (const char *)a.v->str.p);
    }
    op_end(c, o, o == OUT_OK ? json : NULL, "");
    answer_clear(&a);
    if (o != OUT_OK) {
        client_disconnect(c);
        c->pinned = false;
    }
    return o == OUT_OK;
}

static enum outcome do_exec(struct client *c,
                            const char *key,
                            uint64_t number,
                            const char *seen)
{
    struct answer a = {0};
    char value[VALUE_MAX];
    char json[2 * VALUE_MAX + 8];
    char more[80];
    char words[128];
    char cmds[130];
    int px = some_px(c);
    enum outcome o;

    new_value(c, value);
    snprintf(json, sizeof(json), "[%s,\"%s\"]", seen, value);
    snprintf(more, sizeof(more), ",\"session\":%llu",
             (unsigned long long)number);
    if (px > 0) {
        snprintf(more, sizeof(more), ",\"session\":%llu,\"px\":%d",
                 (unsigned long long)number, px);
    }
    set_words(words, key, value, px);
    snprintf(cmds, sizeof(cmds), "%s\n", words);
    op_begin(c, false, "exec", key, json, more);
    o = client_txn(c, TXN_WATCHED, "", cmds, &a);
    if (o == OUT_OK && answer_nil(a.v)) {
        snprintf(c->error, sizeof(c->error), "null");
        o = OUT_FAIL;
    }
    op_end(c, o, NULL, "");
    answer_clear(&a);
    c->pinned = false;
    return o;
}

static void between(struct client *c)
{
    uint64_t dice = rng_below(&c->rng, 100);
    uint64_t ms = 0;

    if (dice < 25) {
        ms = rng_below(&c->rng, PAUSE_MAX);
    } else if (dice < 75) {
        ms = rng_below(&c->rng, PAUSE_MAX / 10);
    }
    usleep((useconds_t)(ms * 1000));
}

static void step(struct client *c, void *shared)
{
    struct watch *s = shared;
    char key[NAME_MAX_LEN];
    char seen[VALUE_MAX + 2];
    uint64_t number;
    enum outcome o = OUT_OK;

    (void)keys_use(&s->keys, (int)rng_below(&c->rng, SLOTS), c->p, 2, key);
    if (rng_permille(&c->rng, 450)) {
        o = do_set(c, key);
    } else {
        pthread_mutex_lock(&s->lock);
        number = ++s->next;
        pthread_mutex_unlock(&s->lock);
        if (do_watch(c, key, number, seen)) {
            between(c);
            o = do_exec(c, key, number, seen);
        }
    }
    if (o == OUT_INFO) {
        keys_info(&s->keys, key);
    }
}

static bool final(struct client *c, void *shared)
{
    struct watch *s = shared;
    char key[NAME_MAX_LEN];
    char seen[VALUE_MAX + 2];
    bool ok = true;

    for (int i = 0; ok && i < SLOTS; i++) {
        keys_name(&s->keys, i, key);
        ok = do_watch(c, key, 0, seen);
        c->pinned = false;
    }
    return ok;
}

const struct workload work_watch = {"watch", 4, true, setup, NULL, step, final};
