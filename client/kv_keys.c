/* kv: the verbs for keys. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/kv_int.h"

enum { PAGE = 1000 }; /* keys of one step of kv range */

static bool parse_u64(const char *s, uint64_t *out)
{
    char *end;

    errno = 0;
    if (s[0] < '0' || s[0] > '9') {
        return false;
    }
    *out = strtoull(s, &end, 10);
    return errno == 0 && *end == '\0';
}

static void print_done(const struct kv *kv)
{
    printf("%s\n", kv->output == KV_JSON ? "{\"done\":true}" : "OK");
}

int kv_get(struct kv *kv)
{
    struct hf_value v;
    int rv = hf_get(kv->c, hf_str(kv->args[0]), kv->timeout_ms, &v);

    if (rv != HF_OK) {
        return kv_result(kv, rv, "no such key");
    }
    if (kv->output == KV_JSON) {
        printf("{\"key\":");
        kv_print_json(kv->args[0], strlen(kv->args[0]));
        printf(",\"value\":");
        kv_print_json(v.p, v.n);
        printf(",\"revision\":%" PRIu64 ",\"created\":%" PRIu64 "}\n",
               v.revision, v.created);
    } else {
        kv_print_bytes(kv, v.p, v.n);
    }
    hf_value_release(&v);
    return KV_DONE;
}

/* The value argument; "-" stands for stdin. */
static bool value_of(const char *arg, struct buf *b, struct hf_bytes *out)
{
    if (strcmp(arg, "-") != 0) {
        *out = hf_str(arg);
        return true;
    }
    if (!kv_stdin(b)) {
        return false;
    }
    *out = hf_bytes(b->p, b->n);
    return true;
}

int kv_set(struct kv *kv)
{
    struct hf_set_options opt = {.ttl_ms = kv->ttl_ms,
                                 .if_absent = kv->if_absent,
                                 .if_present = kv->if_present,
                                 .keep_ttl = kv->keep_ttl};
    struct buf b = BUF_INIT;
    struct hf_bytes value;
    int rv;

    if ((opt.if_absent && opt.if_present) || (opt.keep_ttl && opt.ttl_ms > 0)) {
        return kv_usage(kv, "these options exclude each other");
    }
    if (!value_of(kv->args[1], &b, &value)) {
        buf_release(&b);
        return kv_usage(kv, "the value on stdin is over %d bytes",
                        HF_REQUEST_MAX);
    }
    rv = hf_set(kv->c, hf_str(kv->args[0]), value, &opt, kv->timeout_ms);
    buf_release(&b);
    if (rv == HF_OK) {
        print_done(kv);
    }
    return kv_result(kv, rv,
                     opt.if_absent ? "the key exists; nothing was changed"
                                   : "no such key; nothing was changed");
}

int kv_del(struct kv *kv)
{
    struct hf_bytes *keys = hf_calloc(kv->nargs, sizeof(*keys));
    uint64_t deleted = 0;
    int rv;

    for (size_t i = 0; i < kv->nargs; i++) {
        keys[i] = hf_str(kv->args[i]);
    }
    rv = hf_del(kv->c, keys, kv->nargs, kv->timeout_ms, &deleted);
    free(keys);
    if (rv == HF_OK) {
        printf(kv->output == KV_JSON ? "{\"deleted\":%" PRIu64 "}\n"
                                     : "%" PRIu64 "\n",
               deleted);
    }
    return kv_result(kv, rv, "no such key");
}

int kv_incr(struct kv *kv)
{
    int64_t by = 1;
    int64_t sum = 0;
    int rv;

    if (kv->nargs == 2) {
        char *end;

        errno = 0;
        by = strtoll(kv->args[1], &end, 10);
        if (errno != 0 || end == kv->args[1] || *end != '\0') {
            return kv_usage(kv, "not an integer: %s", kv->args[1]);
        }
    }
    rv = hf_incr(kv->c, hf_str(kv->args[0]), by, kv->timeout_ms, &sum);
    if (rv == HF_OK) {
        printf(kv->output == KV_JSON ? "{\"value\":%" PRId64 "}\n"
                                     : "%" PRId64 "\n",
               sum);
    }
    return kv_result(kv, rv, "");
}

int kv_cas(struct kv *kv)
{
    struct buf b = BUF_INIT;
    struct hf_bytes value;
    uint64_t revision = 0;
    int rv;

    if (strcmp(kv->args[1], "absent") != 0 &&
        !parse_u64(kv->args[1], &revision)) {
        return kv_usage(kv, "not a revision: %s", kv->args[1]);
    }
    if (!value_of(kv->args[2], &b, &value)) {
        buf_release(&b);
        return kv_usage(kv, "the value on stdin is over %d bytes",
                        HF_REQUEST_MAX);
    }
    rv = hf_cas(kv->c, hf_str(kv->args[0]), revision, value, kv->timeout_ms);
    buf_release(&b);
    if (rv == HF_OK) {
        print_done(kv);
    }
    return kv_result(kv, rv,
                     "the key has another revision; nothing was changed");
}

int kv_scan(struct kv *kv)
{
    struct hf_scan s = {.match = kv->nargs > 0 ? kv->args[0] : NULL,
                        .count = PAGE};
    uint64_t printed = 0;

    while (!s.done && (kv->limit == 0 || printed < kv->limit)) {
        struct hf_reply *keys;
        int rv = hf_scan(kv->c, &s, kv->timeout_ms, &keys);

        if (rv != HF_OK) {
            return kv_result(kv, rv, "");
        }
        for (size_t i = 0; i < keys->n; i++) {
            const struct hf_reply *k = &keys->items[i];

            if (k->str == NULL || (kv->limit > 0 && printed == kv->limit)) {
                continue;
            }
            kv_print_bytes(kv, k->str, k->len);
            if (kv->output == KV_RAW) {
                putchar('\n');
            }
            printed++;
        }
        hf_reply_free(keys);
    }
    return KV_DONE;
}

static void print_pair(const struct kv *kv,
                       const struct hf_reply *key,
                       const struct hf_reply *value)
{
    if (kv->output == KV_JSON) {
        printf("{\"key\":");
        kv_print_json(key->str, key->len);
        if (!kv->keys_only) {
            printf(",\"value\":");
            kv_print_json(value->str, value->len);
        }
        printf("}\n");
        return;
    }
    if (kv->output == KV_RAW) {
        (void)fwrite(key->str, 1, key->len, stdout);
    } else {
        kv_print_safe(key->str, key->len);
    }
    if (!kv->keys_only) {
        putchar('\t');
        if (kv->output == KV_RAW) {
            (void)fwrite(value->str, 1, value->len, stdout);
        } else {
            kv_print_safe(value->str, value->len);
        }
    }
    putchar('\n');
}

/* A walk over a range. */
struct walk {
    struct buf start;
    struct buf end;
    uint64_t left; /* pairs still wanted */
    uint64_t page; /* pairs asked for at a time */
};

/* Go on after @last. False: nothing can come after it. */
static bool walk_on(const struct kv *kv,
                    struct walk *w,
                    const struct hf_reply *last)
{
    if (last->str == NULL || w->left == 0) {
        return false;
    }
    if (kv->reverse) {
        buf_clear(&w->end);
        buf_append(&w->end, last->str, last->len);
        return last->len > 0; /* an empty end would have no bound */
    }
    buf_clear(&w->start);
    buf_append(&w->start, last->str, last->len + 1); /* the key and a NUL */
    return true;
}

/* One page. True: there may be more after it. */
static bool range_page(struct kv *kv, struct walk *w, int *rv)
{
    uint64_t limit = w->left < w->page ? w->left : w->page;
    struct hf_reply *r;
    bool more;

    *rv = hf_range(kv->c, hf_bytes(w->start.p, w->start.n),
                   hf_bytes(w->end.p, w->end.n), limit, kv->reverse,
                   kv->timeout_ms, &r);
    if (*rv == HF_EREFUSED && w->page > 1) {
        w->page /= 4; /* perhaps too large for one reply */
        w->page = w->page > 0 ? w->page : 1;
        return true;
    }
    if (*rv != HF_OK) {
        return false;
    }
    for (size_t i = 0; i + 1 < r->n && w->left > 0; i += 2) {
        if (r->items[i].str != NULL && r->items[i + 1].str != NULL) {
            print_pair(kv, &r->items[i], &r->items[i + 1]);
        }
        w->left--;
    }
    /* A page may be shorter than asked for: only an empty one is the last. */
    more = r->n >= 2 && walk_on(kv, w, &r->items[r->n - 2]);
    hf_reply_free(r);
    return more;
}

int kv_range(struct kv *kv)
{
    struct walk w = {.left = kv->limit > 0 ? kv->limit : UINT64_MAX,
                     .page = PAGE};
    int rv = HF_OK;

    buf_bytes_append(&w.start, bytes_str(kv->args[0]));
    if (kv->nargs > 1) {
        buf_bytes_append(&w.end, bytes_str(kv->args[1]));
    }
    while (range_page(kv, &w, &rv)) {
    }
    buf_release(&w.start);
    buf_release(&w.end);
    return kv_result(kv, rv, "");
}

int kv_ttl(struct kv *kv)
{
    int64_t ms = 0;
    int rv = hf_ttl(kv->c, hf_str(kv->args[0]), kv->timeout_ms, &ms);

    if (rv != HF_OK) {
        return kv_result(kv, rv, "no such key");
    }
    if (kv->output == KV_JSON && ms < 0) {
        printf("{\"ttl_ms\":null}\n");
    } else if (kv->output == KV_JSON) {
        printf("{\"ttl_ms\":%" PRId64 "}\n", ms);
    } else if (kv->output == KV_TEXT) {
        ms < 0 ? printf("never expires\n") : printf("%" PRId64 " ms\n", ms);
    } else {
        printf("%" PRId64 "\n", ms);
    }
    return KV_DONE;
}
