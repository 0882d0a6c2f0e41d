/* kv: the verbs for keys. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/kv_int.h"

enum { PAGE = 1000 }; /* keys of one step of kv range */

static bool parse_u64(const char* s, uint64_t* out)
{
    char* end;

    errno = 0;
    if (s[0] < '0' || s[0] > '9') {
        return false;
    }
    *out = strtoull(s, &end, 10);
    return errno == 0 && *end == '\0';
}

static void print_done(const struct kv* kv)
{
    printf("%s\n", kv->output == KV_JSON ? "{\"done\":true}" : "OK");
}

int kv_get(struct kv* kv)
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
static bool value_of(const char* arg, struct buf* b, struct hf_bytes* out)
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

int kv_set(struct kv* kv)
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

int kv_del(struct kv* kv)
{
    struct hf_bytes* keys = hf_calloc(kv->nargs, sizeof(*keys));
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

int kv_incr(struct kv* kv)
{
    int64_t by = 1;
    int64_t sum = 0;
    int rv;

    if (kv->nargs == 2) {
        char* end;

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

int kv_cas(struct kv* kv)
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

int kv_scan(struct kv* kv)
{
    struct hf_scan s = {.match = kv->nargs > 0 ? kv->args[0] : NULL,
                        .count = PAGE};
    uint64_t printed = 0;

    while (!s.done && (kv->limit == 0 || printed < kv->limit)) {
        struct hf_reply* keys;
        int rv = hf_scan(kv->c, &s, kv->timeout_ms, &keys);

        if (rv != HF_OK) {
            return kv_result(kv, rv, "");
        }
        for (size_t i = 0; i < keys->n; i++) {
            const struct hf_reply* k = &keys->items[i];

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

static void print_pair(const struct kv* kv, const struct hf_reply* key,
                       const struct hf_reply* value)
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

/* One page; *@left counts down. True: there may be more after it. */
static bool range_page(struct kv* kv, struct buf* start, struct buf* end,
                       uint64_t* left, int* rv)
{
    uint64_t limit = *left < PAGE ? *left : PAGE;
    const struct hf_reply* last;
    struct hf_reply* r;
    bool more = false;

    *rv =
        hf_range(kv->c, hf_bytes(start->p, start->n), hf_bytes(end->p, end->n),
                 limit, kv->reverse, kv->timeout_ms, &r);
    if (*rv != HF_OK) {
        return false;
    }
    for (size_t i = 0; i + 1 < r->n; i += 2) {
        if (r->items[i].str != NULL && r->items[i + 1].str != NULL) {
            print_pair(kv, &r->items[i], &r->items[i + 1]);
        }
        *left -= *left > 0;
    }
    if (r->n / 2 >= limit && r->n >= 2 && *left > 0) {
        last = &r->items[r->n - 2];
        more = last->str != NULL;
    }
    if (more && kv->reverse) {
        buf_clear(end);
        buf_append(end, last->str, last->len);
        more = last->len > 0; /* an empty end would have no bound */
    } else if (more) {
        buf_clear(start);
        buf_append(start, last->str, last->len + 1); /* key and NUL */
    }
    hf_reply_free(r);
    return more;
}

int kv_range(struct kv* kv)
{
    struct buf start = BUF_INIT;
    struct buf end = BUF_INIT;
    uint64_t left = kv->limit > 0 ? kv->limit : UINT64_MAX;
    int rv = HF_OK;

    buf_bytes_append(&start, bytes_str(kv->args[0]));
    if (kv->nargs > 1) {
        buf_bytes_append(&end, bytes_str(kv->args[1]));
    }
    while (range_page(kv, &start, &end, &left, &rv)) {
    }
    buf_release(&start);
    buf_release(&end);
    return kv_result(kv, rv, "");
}

int kv_ttl(struct kv* kv)
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
