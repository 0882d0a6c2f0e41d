/* append: transactions of one to four appends and reads over a few lists. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jepsen-lite/load.h"

enum { SLOTS = 4, MICRO_MAX = 4 };

struct append {
    struct keys keys;
    pthread_mutex_t lock;
    uint64_t next; /* element */
};

struct micro {
    char key[NAME_MAX_LEN];
    uint64_t element; /* 0: a read */
};

static void *setup(struct load *l)
{
    struct append *s = hf_calloc(1, sizeof(*s));

    (void)l;
    keys_init(&s->keys, "a", SLOTS);
    pthread_mutex_init(&s->lock, NULL);
    s->next = 1;
    return s;
}

static uint64_t element(struct append *s)
{
    uint64_t n;

    pthread_mutex_lock(&s->lock);
    n = s->next++;
    pthread_mutex_unlock(&s->lock);
    return n;
}

/* The micro-operations as JSON; with @replies the reads are filled in. */
static void spell(struct buf *b,
                  const struct micro *m,
                  size_t n,
                  const struct resp_value *replies)
{
    buf_clear(b);
    buf_printf(b, "[");
    for (size_t i = 0; i < n; i++) {
        const struct resp_value *r =
            replies != NULL ? &replies->items[i] : NULL;

        buf_printf(b, "%s[\"%s\",\"%s\",", i == 0 ? "" : ",",
                   m[i].element != 0 ? "append" : "r", m[i].key);
        if (m[i].element != 0) {
            buf_printf(b, "%llu]", (unsigned long long)m[i].element);
        } else if (r == NULL || r->str.n == 0) {
            buf_printf(b, "null]");
        } else { /* "1,4,7," */
            buf_printf(b, "[%.*s]]", (int)r->str.n - 1, (const char *)r->str.p);
        }
    }
    buf_printf(b, "]");
}

static enum outcome do_txn(struct client *c, const struct micro *m, size_t n)
{
    struct buf v = BUF_INIT;
    struct buf cmds = BUF_INIT;
    struct answer a = {0};
    bool reads = true;
    enum outcome o;

    for (size_t i = 0; i < n; i++) {
        if (m[i].element != 0) {
            buf_printf(&cmds, "APPEND %s %llu,\n", m[i].key,
                       (unsigned long long)m[i].element);
            reads = false;
        } else {
            buf_printf(&cmds, "GET %s\n", m[i].key);
        }
    }
    spell(&v, m, n, NULL);
    op_begin(c, reads, "txn", "", op_text(&v), "");
    o = client_txn(c, TXN_ANY, "", op_text(&cmds), &a);
    if (o == OUT_OK) {
        spell(&v, m, n, a.v);
    }
    op_end(c, o, o == OUT_OK ? op_text(&v) : NULL, "");
    answer_clear(&a);
    buf_release(&v);
    buf_release(&cmds);
    return o;
}

static void step(struct client *c, void *shared)
{
    struct append *s = shared;
    struct micro m[MICRO_MAX];
    size_t n = 1 + (size_t)rng_below(&c->rng, MICRO_MAX);

    for (size_t i = 0; i < n; i++) {
        keys_use(&s->keys, (int)rng_below(&c->rng, SLOTS), c->p, 1, m[i].key);
        m[i].element = rng_permille(&c->rng, 500) ? element(s) : 0;
    }
    if (do_txn(c, m, n) == OUT_INFO) {
        for (size_t i = 0; i < n; i++) {
            keys_info(&s->keys, m[i].key);
        }
    }
}

static bool final(struct client *c, void *shared)
{
    struct append *s = shared;
    struct micro m[SLOTS];

    for (int i = 0; i < SLOTS; i++) {
        keys_name(&s->keys, i, m[i].key);
        m[i].element = 0;
    }
    return do_txn(c, m, SLOTS) == OUT_OK;
}

const struct workload work_append = {"append", 4,    false, setup,
                                     NULL,     step, final};
