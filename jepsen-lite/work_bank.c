/* bank: transfers between the accounts of a bank; their sum stays.
 *
 * A bank is opened by one client, and used only after that was answered;
 * after KEY_OPS_MAX operations it is given up for the next one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jepsen-lite/load.h"

enum { ACCOUNTS = 5, OPENING = 100, AMOUNT_MAX = 60 };

struct bank {
    struct keys keys;
    pthread_mutex_t lock;
    char open[NAME_MAX_LEN]; /* the bank in use; "": none yet */
};

static void *setup(struct load *l)
{
    struct bank *s = hf_calloc(1, sizeof(*s));

    (void)l;
    keys_init(&s->keys, "b", 1);
    pthread_mutex_init(&s->lock, NULL);
    return s;
}

/* Open bank @name. If that fails or is not known it is never used. */
static void do_init(struct client *c, struct bank *s, const char *name)
{
    struct buf v = BUF_INIT;
    struct buf q = BUF_INIT;
    struct answer a = {0};
    enum outcome o;

    buf_printf(&q, "MSET");
    for (int i = 0; i < ACCOUNTS; i++) {
        buf_printf(&v, "%s%d", i == 0 ? "[" : ",", OPENING);
        buf_printf(&q, " %s:%d %d", name, i, OPENING);
    }
    buf_printf(&v, "]");
    op_begin(c, false, "init", name, op_text(&v), "");
    o = client_do(c, true, &a, "%s", op_text(&q));
    op_end(c, o, NULL, "");
    if (o == OUT_OK) {
        pthread_mutex_lock(&s->lock);
        snprintf(s->open, sizeof(s->open), "%s", name);
        pthread_mutex_unlock(&s->lock);
    } else {
        keys_drop(&s->keys, name);
    }
    answer_clear(&a);
    buf_release(&v);
    buf_release(&q);
}

static bool do_read(struct client *c, const char *name)
{
    struct buf v = BUF_INIT;
    struct buf q = BUF_INIT;
    struct answer a = {0};
    bool mget = rng_permille(&c->rng, 500);
    enum outcome o;

    if (mget) {
        buf_printf(&q, "MGET");
    }
    for (int i = 0; i < ACCOUNTS; i++) {
        buf_printf(&q, mget ? " %s:%d" : "GET %s:%d\n", name, i);
    }
    op_begin(c, true, "read", name, "null", "");
    o = mget ? client_do(c, false, &a, "%s", op_text(&q))
             : client_txn(c, TXN_ANY, "", op_text(&q), &a);
    for (size_t i = 0; o == OUT_OK && i < a.v->n; i++) {
        const struct resp_value *x = &a.v->items[i];

        buf_printf(&v, "%s%.*s", i == 0 ? "[" : ",",
                   answer_nil(x) ? 4 : (int)x->str.n,
                   answer_nil(x) ? "null" : (const char *)x->str.p);
    }
    buf_printf(&v, "]");
    op_end(c, o, o == OUT_OK ? op_text(&v) : NULL, "");
    answer_clear(&a);
    buf_release(&v);
    buf_release(&q);
    return o == OUT_OK;
}

static long long balance(const struct resp_value *v)
{
    char text[24];

    snprintf(text, sizeof(text), "%.*s", (int)v->str.n, (const char *)v->str.p);
    return strtoll(text, NULL, 10);
}

struct transfer {
    const char *name;
    int from, to, amount;
    bool deltas; /* DECRBY and INCRBY rather than SET */
};

/* What moves the money, for balances @f and @t. */
static void commands(char out[256],
                     const struct transfer *x,
                     long long f,
                     long long t)
{
    if (x->deltas) {
        snprintf(out, 256, "DECRBY %s:%d %d\nINCRBY %s:%d %d\n", x->name,
                 x->from, x->amount, x->name, x->to, x->amount);
    } else {
        snprintf(out, 256, "SET %s:%d %lld\nSET %s:%d %lld\n", x->name, x->from,
                 f - x->amount, x->name, x->to, t + x->amount);
    }
}

static enum outcome refuse(struct client *c, const char *why)
{
    snprintf(c->error, sizeof(c->error), "%s", why);
    return OUT_FAIL;
}

/* WATCH, MGET, MULTI, ..., EXEC. */
static enum outcome by_watch(struct client *c,
                             const struct transfer *x,
                             struct answer *a)
{
    char cmds[256];
    long long f;
    long long t;
    enum outcome o = client_do(c, false, a, "WATCH %s:%d %s:%d", x->name,
                               x->from, x->name, x->to);

    c->pinned = true;
    if (o == OUT_OK) {
        o = client_do(c, false, a, "MGET %s:%d %s:%d", x->name, x->from,
                      x->name, x->to);
    }
    if (o == OUT_OK && a->v->n != 2) {
        o = refuse(c, "not two balances");
    }
    if (o != OUT_OK) {
        client_disconnect(c);
        c->pinned = false;
        return OUT_FAIL; /* nothing was written */
    }
    f = balance(&a->v->items[0]);
    t = balance(&a->v->items[1]);
    if (f < x->amount) {
        (void)client_do(c, false, a, "UNWATCH");
        o = refuse(c, "not enough");
    } else {
        commands(cmds, x, f, t);
        o = client_txn(c, TXN_WATCHED, "", cmds, a);
    }
    c->pinned = false;
    return o;
}

/* TXN with the revisions of both accounts. */
static enum outcome by_revision(struct client *c,
                                const struct transfer *x,
                                struct answer *a)
{
    char cmds[256];
    char conds[256];
    const struct resp_value *f;
    const struct resp_value *t;

    snprintf(cmds, sizeof(cmds), "GETV %s:%d\nGETV %s:%d\n", x->name, x->from,
             x->name, x->to);
    if (client_txn(c, TXN_ANY, "", cmds, a) != OUT_OK) {
        return OUT_FAIL; /* nothing was written */
    }
    f = &a->v->items[0];
    t = &a->v->items[1];
    if (f->n != 3 || t->n != 3) {
        return refuse(c, "no account");
    }
    if (balance(&f->items[0]) < x->amount) {
        return refuse(c, "not enough");
    }
    snprintf(conds, sizeof(conds), "%s:%d %lld %s:%d %lld ", x->name, x->from,
             (long long)f->items[2].i, x->name, x->to,
             (long long)t->items[2].i);
    commands(cmds, x, balance(&f->items[0]), balance(&t->items[0]));
    return client_txn(c, TXN_TXN, conds, cmds, a);
}

static enum outcome do_transfer(struct client *c, const char *name)
{
    struct transfer x = {.name = name};
    struct answer a = {0};
    char json[64];
    enum outcome o;

    x.from = (int)rng_below(&c->rng, ACCOUNTS);
    x.to = (x.from + 1 + (int)rng_below(&c->rng, ACCOUNTS - 1)) % ACCOUNTS;
    x.amount = 1 + (int)rng_below(&c->rng, AMOUNT_MAX);
    x.deltas = rng_permille(&c->rng, 500);
    snprintf(json, sizeof(json), "[%d,%d,%d]", x.from, x.to, x.amount);
    op_begin(c, false, "transfer", name, json, "");
    o = c->via_lib || rng_permille(&c->rng, 200) ? by_revision(c, &x, &a)
                                                 : by_watch(c, &x, &a);
    if (o == OUT_OK && answer_nil(a.v)) {
        o = refuse(c, "the accounts changed");
    }
    op_end(c, o, NULL, "");
    answer_clear(&a);
    return o;
}

static void step(struct client *c, void *shared)
{
    struct bank *s = shared;
    char name[NAME_MAX_LEN];
    bool open;

    if (keys_use(&s->keys, 0, c->p, 1, name)) {
        do_init(c, s, name);
        return;
    }
    pthread_mutex_lock(&s->lock);
    open = strcmp(s->open, name) == 0;
    pthread_mutex_unlock(&s->lock);
    if (!open) {
        return; /* soon, or the next one */
    }
    if (rng_permille(&c->rng, 400)) {
        (void)do_read(c, name);
    } else if (do_transfer(c, name) == OUT_INFO) {
        keys_info(&s->keys, name);
    }
}

static bool final(struct client *c, void *shared)
{
    struct bank *s = shared;

    return s->open[0] == '\0' || do_read(c, s->open);
}

const struct workload work_bank = {"bank", 4, false, setup, NULL, step, final};
