/* set: unique elements, appended to a few keys; all are there at the end. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jepsen-lite/load.h"

enum {
    PARTS = 16,           /* keys that the elements are spread over */
    READ_EVERY_MS = 10000 /* a read gives all elements: not often */
};

struct set {
    pthread_mutex_t lock;
    uint64_t next;
    int64_t read_ms; /* time of the next read */
};

static void *setup(struct load *l)
{
    struct set *s = hf_calloc(1, sizeof(*s));

    (void)l;
    pthread_mutex_init(&s->lock, NULL);
    s->next = 1;
    s->read_ms = rconn_now_ms() + READ_EVERY_MS;
    return s;
}

static void do_add(struct client *c, uint64_t n)
{
    struct answer a = {0};
    char json[24];
    enum outcome o;

    snprintf(json, sizeof(json), "%llu", (unsigned long long)n);
    op_begin(c, false, "add", "set", json, "");
    o = client_do(c, true, &a, "APPEND set:%d %s,", (int)(n % PARTS), json);
    op_end(c, o, NULL, "");
    answer_clear(&a);
}

static bool do_read(struct client *c)
{
    struct answer a = {0};
    struct buf q = BUF_INIT;
    struct buf v = BUF_INIT;
    enum outcome o;

    op_begin(c, true, "read", "set", "null", "");
    buf_printf(&q, "MGET");
    for (int i = 0; i < PARTS; i++) {
        buf_printf(&q, " set:%d", i);
    }
    o = client_do(c, false, &a, "%s", op_text(&q));
    if (o == OUT_OK) {
        buf_printf(&v, "[");
        for (size_t i = 0; i < a.v->n; i++) {
            buf_bytes_append(&v, a.v->items[i].str);
        }
        if (v.n > 1) {
            v.n--; /* the last element's comma */
        }
        buf_printf(&v, "]");
    }
    op_end(c, o, o == OUT_OK ? op_text(&v) : NULL, "");
    answer_clear(&a);
    buf_release(&q);
    buf_release(&v);
    return o == OUT_OK;
}

static void step(struct client *c, void *shared)
{
    struct set *s = shared;
    int64_t now = rconn_now_ms();
    bool read = false;
    uint64_t n = 0;

    pthread_mutex_lock(&s->lock);
    if (now >= s->read_ms) {
        s->read_ms = now + READ_EVERY_MS;
        read = true;
    } else {
        n = s->next++;
    }
    pthread_mutex_unlock(&s->lock);
    if (read) {
        (void)do_read(c);
    } else {
        do_add(c, n);
    }
}

static bool final(struct client *c, void *shared)
{
    (void)shared;
    return do_read(c);
}

const struct workload work_set = {"set", 3, false, setup, NULL, step, final};
