/* lock: locks that expire, with the revision of the lock as fencing token,
 * and writes that hold only under the token. Owners go on after their lock has
 * expired, as a paused process does. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jepsen-lite/load.h"

enum {
    LOCKS = 3,
    TTL_MIN_MS = 200,
    TTL_MAX_MS = 2000,
    GUARDS_MAX = 8 /* guarded writes under one token, about */
};

struct mine {
    int lock;
    int64_t token; /* 0: holds none, as far as known */
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

/* The revision in the GETV reply @v if the value is @owner, else 0. */
static int64_t token_of(const struct resp_value *v, const char *owner)
{
    if (v->type != RESP_ARRAY || v->n != 3 ||
        !bytes_eq(v->items[0].str, bytes_str(owner))) {
        return 0;
    }
    return v->items[2].i;
}

/* In one step. *@token 0 with OUT_FAIL: held. */
static enum outcome acquire_txn(struct client *c,
                                const char *lock,
                                const char *owner,
                                int ttl_ms,
                                int64_t *token)
{
    struct answer a = {0};
    char cmds[160];
    enum outcome o;

    snprintf(cmds, sizeof(cmds), "SET %s %s NX PX %d\nGETV %s\n", lock, owner,
             ttl_ms, lock);
    o = client_txn(c, TXN_ANY, "", cmds, &a);
    if (o == OUT_OK) {
        *token = token_of(&a.v->items[1], owner);
        if (answer_nil(&a.v->items[0])) {
            snprintf(c->error, sizeof(c->error), "held");
            o = OUT_FAIL;
        }
    }
    answer_clear(&a);
    return o;
}

/* In two: the lock may have expired before its token is read. */
static enum outcome acquire_set(struct client *c,
                                const char *lock,
                                const char *owner,
                                int ttl_ms,
                                int64_t *token)
{
    struct answer a = {0};
    enum outcome o =
        client_do(c, true, &a, "SET %s %s NX PX %d", lock, owner, ttl_ms);

    if (o == OUT_OK && answer_nil(a.v)) {
        snprintf(c->error, sizeof(c->error), "held");
        o = OUT_FAIL;
    } else if (o == OUT_OK) {
        o = OUT_INFO; /* taken, but without its token of no use */
        snprintf(c->error, sizeof(c->error), "token not learnt");
        if (client_do(c, false, &a, "GETV %s", lock) == OUT_OK) {
            *token = token_of(a.v, owner);
            o = *token != 0 ? OUT_OK : OUT_INFO;
        }
    }
    answer_clear(&a);
    return o;
}

static void acquire(struct client *c, struct mine *m)
{
    char lock[NAME_MAX_LEN];
    char owner[48];
    char json[64];
    char more[32];
    int ttl_ms = TTL_MIN_MS + (int)rng_below(&c->rng, TTL_MAX_MS - TTL_MIN_MS);
    int64_t token = 0;
    enum outcome o;

    m->lock = (int)rng_below(&c->rng, LOCKS);
    snprintf(lock, sizeof(lock), "lock%d", m->lock);
    snprintf(owner, sizeof(owner), "%llu-%llu", (unsigned long long)c->p,
             (unsigned long long)c->n);
    snprintf(json, sizeof(json), "\"%s\"", owner);
    snprintf(more, sizeof(more), ",\"px\":%d", ttl_ms);
    op_begin(c, false, "acquire", lock, json, more);
    o = rng_permille(&c->rng, 700)
            ? acquire_txn(c, lock, owner, ttl_ms, &token)
            : acquire_set(c, lock, owner, ttl_ms, &token);
    snprintf(json, sizeof(json), "%lld", (long long)token);
    op_end(c, o, o == OUT_OK ? json : NULL, "");
    m->token = o == OUT_OK ? token : 0;
}

static void release(struct client *c, struct mine *m)
{
    struct answer a = {0};
    char lock[NAME_MAX_LEN];
    char conds[80];
    char cmds[48];
    char json[24];
    enum outcome o;

    snprintf(lock, sizeof(lock), "lock%d", m->lock);
    snprintf(conds, sizeof(conds), "%s %lld ", lock, (long long)m->token);
    snprintf(cmds, sizeof(cmds), "DEL %s\n", lock);
    snprintf(json, sizeof(json), "%lld", (long long)m->token);
    op_begin(c, false, "release", lock, json, "");
    o = client_txn(c, TXN_TXN, conds, cmds, &a);
    if (o == OUT_OK && answer_nil(a.v)) {
        snprintf(c->error, sizeof(c->error), "not held any more");
        o = OUT_FAIL;
    }
    op_end(c, o, NULL, "");
    answer_clear(&a);
    m->token = 0;
}

static void guard(struct client *c, struct mine *m)
{
    struct answer a = {0};
    char key[NAME_MAX_LEN];
    char conds[80];
    char cmds[96];
    char json[80];
    char more[48];
    enum outcome o;

    snprintf(key, sizeof(key), "guard%d", m->lock);
    snprintf(conds, sizeof(conds), "lock%d %lld ", m->lock,
             (long long)m->token);
    snprintf(cmds, sizeof(cmds), "SET %s %llu-%llu\n", key,
             (unsigned long long)c->p, (unsigned long long)c->n);
    snprintf(json, sizeof(json), "[%lld,\"%llu-%llu\"]", (long long)m->token,
             (unsigned long long)c->p, (unsigned long long)c->n);
    snprintf(more, sizeof(more), ",\"lock\":\"lock%d\"", m->lock);
    op_begin(c, false, "guard", key, json, more);
    o = client_txn(c, TXN_TXN, conds, cmds, &a);
    if (o == OUT_OK && answer_nil(a.v)) {
        snprintf(c->error, sizeof(c->error), "not held any more");
        o = OUT_FAIL;
        m->token = 0;
    }
    op_end(c, o, NULL, "");
    answer_clear(&a);
}

static void step(struct client *c, void *shared)
{
    struct mine *m = c->mine;

    (void)shared;
    if (m->token == 0) {
        acquire(c, m);
    } else if (rng_below(&c->rng, GUARDS_MAX) != 0) {
        guard(c, m);
    } else if (rng_permille(&c->rng, 700)) {
        release(c, m);
    } else {
        m->token = 0; /* forgotten: it expires */
    }
}

const struct workload work_lock = {"lock", 4, false, setup, begin, step, NULL};
