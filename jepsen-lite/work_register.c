/* register: reads, writes and compare-and-set of single keys. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jepsen-lite/load.h"

enum { SLOTS = 3, VALUE_MAX = 48 };

static void *setup(struct load *l)
{
    struct keys *k = hf_malloc(sizeof(*k));

    (void)l;
    keys_init(k, "r", SLOTS);
    return k;
}

/* ",\"rev\":n" of a GETV reply, or "". */
static void revision(const struct resp_value *v, char out[VALUE_MAX])
{
    out[0] = '\0';
    if (v->type == RESP_ARRAY && v->n == 3) {
        snprintf(out, VALUE_MAX, ",\"rev\":%lld", (long long)v->items[2].i);
    }
}

/* A read as an operation of its own; @value and @rev of what was there. */
static bool do_read(struct client *c,
                    const char *key,
                    char value[VALUE_MAX],
                    int64_t *rev)
{
    bool plain = !c->via_lib && rng_permille(&c->rng, 300);
    struct answer a = {0};
    struct buf v = BUF_INIT;
    char more[VALUE_MAX] = "";
    enum outcome o;

    value[0] = '\0';
    *rev = 0;
    op_begin(c, true, "read", key, "null", "");
    o = client_do(c, false, &a, "%s %s", plain ? "GET" : "GETV", key);
    if (o == OUT_OK) {
        const struct resp_value *s = a.v;

        if (!plain && s->type == RESP_ARRAY && s->n == 3) {
            revision(s, more);
            *rev = s->items[2].i;
            s = &s->items[0];
        }
        op_json(&v, s);
        snprintf(value, VALUE_MAX, "%.*s", (int)s->str.n,
                 (const char *)s->str.p);
    }
    op_end(c, o, o == OUT_OK ? op_text(&v) : NULL, more);
    answer_clear(&a);
    buf_release(&v);
    return o == OUT_OK;
}

static enum outcome do_write(struct client *c, const char *key)
{
    struct answer a = {0};
    char value[VALUE_MAX];
    char json[VALUE_MAX + 2];
    char cmds[128];
    char more[VALUE_MAX] = "";
    enum outcome o;

    snprintf(value, sizeof(value), "%llu-%llu", (unsigned long long)c->p,
             (unsigned long long)c->n);
    snprintf(json, sizeof(json), "\"%s\"", value);
    op_begin(c, false, "write", key, json, "");
    if (rng_permille(&c->rng, 500)) {
        o = client_do(c, true, &a, "SET %s %s", key, value);
    } else {
        snprintf(cmds, sizeof(cmds), "SET %s %s\nGETV %s\n", key, value, key);
        o = client_txn(c, TXN_ANY, "", cmds, &a);
        if (o == OUT_OK) {
            revision(&a.v->items[1], more);
        }
    }
    op_end(c, o, NULL, more);
    answer_clear(&a);
    return o;
}

/* The ways to compare and set; @o of the one taken. A null reply: the value
 * was another (values are unique, so another revision is another value). */
static enum outcome cas_way(struct client *c,
                            const char *key,
                            const char *old,
                            int64_t rev,
                            const char *new,
                            struct answer *a)
{
    char conds[96];
    char cmds[128];

    if (rev == 0) {
        return client_do(c, true, a, "SET %s %s IFEQ %s", key, new, old);
    }
    snprintf(conds, sizeof(conds), "%s %lld ", key, (long long)rev);
    snprintf(cmds, sizeof(cmds), "SET %s %s\n", key, new);
    return client_txn(c, TXN_TXN, conds, cmds, a);
}

/* WATCH, GET, MULTI, SET, EXEC: compares with what it has read itself. */
static enum outcome cas_watched(struct client *c,
                                const char *key,
                                const char *old,
                                const char *new,
                                struct answer *a)
{
    char cmds[128];
    enum outcome o = client_do(c, false, a, "WATCH %s", key);

    c->pinned = true;
    if (o == OUT_OK) {
        o = client_do(c, false, a, "GET %s", key);
    }
    if (o != OUT_OK) {
        client_disconnect(c);
        o = OUT_FAIL; /* nothing was written */
    } else if (!bytes_eq(a->v->str, bytes_str(old))) {
        (void)client_do(c, false, a, "UNWATCH");
        snprintf(c->error, sizeof(c->error), "another value");
        o = OUT_FAIL;
    } else {
        snprintf(cmds, sizeof(cmds), "SET %s %s\n", key, new);
        o = client_txn(c, TXN_WATCHED, "", cmds, a);
    }
    c->pinned = false;
    return o;
}

static enum outcome do_cas(struct client *c, const char *key)
{
    struct answer a = {0};
    char old[VALUE_MAX];
    char new[VALUE_MAX];
    char json[2 * VALUE_MAX + 8];
    int64_t rev;
    enum outcome o;

    if (!do_read(c, key, old, &rev) || old[0] == '\0') {
        return OUT_OK;
    }
    snprintf(new, sizeof(new), "%llu-%llu", (unsigned long long)c->p,
             (unsigned long long)c->n);
    snprintf(json, sizeof(json), "[\"%s\",\"%s\"]", old, new);
    op_begin(c, false, "cas", key, json, "");
    if (!c->via_lib && rng_permille(&c->rng, 400)) {
        o = cas_watched(c, key, old, new, &a);
    } else {
        o = cas_way(c, key, old, rev, new, &a);
    }
    if (o == OUT_OK && answer_nil(a.v)) {
        snprintf(c->error, sizeof(c->error), "another value");
        o = OUT_FAIL;
    }
    op_end(c, o, NULL, "");
    answer_clear(&a);
    return o;
}

static void step(struct client *c, void *shared)
{
    struct keys *k = shared;
    char key[NAME_MAX_LEN];
    char value[VALUE_MAX];
    int64_t rev;
    uint64_t dice = rng_below(&c->rng, 100);
    enum outcome o = OUT_OK;

    /* A compare-and-set reads first, which is an operation, too. */
    if (keys_use(k, (int)rng_below(&c->rng, SLOTS), c->p, dice < 30 ? 2 : 1,
                 key)) {
        dice = 99; /* the first operation on a key */
    }
    if (dice < 30) {
        o = do_cas(c, key);
    } else if (dice < 60) {
        (void)do_read(c, key, value, &rev);
    } else {
        o = do_write(c, key);
    }
    if (o == OUT_INFO) {
        keys_info(k, key);
    }
}

static bool final(struct client *c, void *shared)
{
    char key[NAME_MAX_LEN];
    char value[VALUE_MAX];
    int64_t rev;
    bool ok = true;

    for (int i = 0; ok && i < SLOTS; i++) {
        keys_name(shared, i, key);
        ok = do_read(c, key, value, &rev);
    }
    return ok;
}

const struct workload work_register = {"register", 4,    false, setup,
                                       NULL,       step, final};
