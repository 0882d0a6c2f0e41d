#include "jepsen-lite/client_lib.h"

#include <stdio.h>
#include <stdlib.h>

#include "client/holdfast.h"

/* Words of one command here; a transaction of the workloads has fewer. */
enum { LIB_WORDS_MAX = 256 };

struct lib {
    struct hf *hf;
};

struct lib *lib_open(const char *endpoints, bool stale, uint32_t max_age_ms)
{
    struct hf_options opt = {.stale = stale, .max_age_ms = max_age_ms};
    struct lib *l = hf_calloc(1, sizeof(*l));

    if (hf_open(endpoints, &opt, &l->hf) != HF_OK) {
        free(l);
        return NULL;
    }
    return l;
}

void lib_close(struct lib *l)
{
    if (l != NULL) {
        hf_close(l->hf);
        free(l);
    }
}

const char *lib_error(const struct lib *l)
{
    return hf_error(l->hf);
}

const char *lib_node(const struct lib *l)
{
    return hf_node(l->hf);
}

/* What the library promises by each code. */
static enum outcome outcome_of(int code)
{
    switch (code) {
        case HF_OK:
        case HF_NO:
            return OUT_OK;
        case HF_EUNKNOWN:
        case HF_EPROTOCOL:
            return OUT_INFO;
        default:
            return OUT_FAIL;
    }
}

static void put(struct buf *b, const struct hf_reply *r)
{
    struct bytes s = bytes_of(r->str, r->len);

    switch (r->type) {
        case HF_REPLY_STATUS:
            resp_simple(b, r->str);
            return;
        case HF_REPLY_ERROR:
            resp_error(b, r->str);
            return;
        case HF_REPLY_BOOL:
        case HF_REPLY_INTEGER:
            resp_int(b, r->integer);
            return;
        case HF_REPLY_STRING:
        case HF_REPLY_DOUBLE:
            resp_bulk(b, s);
            return;
        case HF_REPLY_NULL:
            resp_null(b);
            return;
        case HF_REPLY_ARRAY:
        case HF_REPLY_MAP:
            resp_array(b, r->n);
            for (size_t i = 0; i < r->n; i++) {
                put(b, &r->items[i]);
            }
    }
}

static struct hf_bytes lent(struct bytes s)
{
    return hf_bytes(s.p, s.n);
}

static bool is(const struct bytes *argv, size_t argc, const char *w, size_t n)
{
    return argc == n && bytes_ieq(argv[0], w);
}

static int64_t number(struct bytes s)
{
    char text[24];

    snprintf(text, sizeof(text), "%.*s", (int)s.n, (const char *)s.p);
    return strtoll(text, NULL, 10);
}

/* GETV key. */
static int call_get(struct lib *l,
                    struct bytes key,
                    uint32_t timeout_ms,
                    struct buf *out)
{
    struct hf_value v;
    int code = hf_get(l->hf, lent(key), timeout_ms, &v);

    if (code == HF_OK) {
        resp_array(out, 3);
        resp_bulk(out, bytes_of(v.p, v.n));
        resp_int(out, (int64_t)v.created);
        resp_int(out, (int64_t)v.revision);
        hf_value_release(&v);
    } else if (code == HF_NO) {
        resp_null(out);
    }
    return code;
}

/* TXN 1 key revision 1 3 SET key value. */
static int call_cas(struct lib *l,
                    const struct bytes *argv,
                    uint32_t timeout_ms,
                    struct buf *out)
{
    int code = hf_cas(l->hf, lent(argv[2]), (uint64_t)number(argv[3]),
                      lent(argv[8]), timeout_ms);

    if (code == HF_OK) {
        resp_array(out, 1);
        resp_ok(out);
    } else if (code == HF_NO) {
        resp_null(out);
    }
    return code;
}

static bool is_cas(const struct bytes *argv, size_t argc)
{
    return is(argv, argc, "TXN", 9) && bytes_ieq(argv[1], "1") &&
           bytes_ieq(argv[4], "1") && bytes_ieq(argv[6], "SET") &&
           bytes_eq(argv[2], argv[7]);
}

static int call_any(struct lib *l,
                    bool write,
                    const struct bytes *argv,
                    size_t argc,
                    uint32_t timeout_ms,
                    struct buf *out)
{
    struct hf_bytes words[LIB_WORDS_MAX];
    struct hf_reply *r = NULL;
    int code;

    if (argc > LIB_WORDS_MAX) {
        return HF_EARGUMENT;
    }
    for (size_t i = 0; i < argc; i++) {
        words[i] = lent(argv[i]);
    }
    code = hf_call(l->hf, write ? HF_CALL_WRITE : HF_CALL_READ, words, argc,
                   timeout_ms, &r);
    if (code == HF_OK) {
        put(out, r);
    }
    hf_reply_free(r);
    return code;
}

enum outcome lib_call(struct lib *l,
                      bool write,
                      const struct bytes *argv,
                      size_t argc,
                      uint32_t timeout_ms,
                      struct answer *a)
{
    struct buf *out = &a->raw;
    int64_t sum;
    int code;

    answer_clear(a);
    if (is(argv, argc, "GETV", 2)) {
        code = call_get(l, argv[1], timeout_ms, out);
    } else if (is(argv, argc, "SET", 3)) {
        code = hf_set(l->hf, lent(argv[1]), lent(argv[2]), NULL, timeout_ms);
        if (code == HF_OK) {
            resp_ok(out);
        }
    } else if (is(argv, argc, "INCRBY", 3)) {
        code = hf_incr(l->hf, lent(argv[1]), number(argv[2]), timeout_ms, &sum);
        if (code == HF_OK) {
            resp_int(out, sum);
        }
    } else if (is_cas(argv, argc)) {
        code = call_cas(l, argv, timeout_ms, out);
    } else {
        code = call_any(l, write, argv, argc, timeout_ms, out);
    }
    if (outcome_of(code) == OUT_OK && !answer_parse(a, 1)) {
        return OUT_INFO;
    }
    return outcome_of(code);
}
