/* libholdfast: the calls for keys, each one command. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "client/hf_int.h"

enum { NUMBER_MAX = 24 };

static struct hf_bytes u64_text(char text[NUMBER_MAX], uint64_t v)
{
    snprintf(text, NUMBER_MAX, "%" PRIu64, v);
    return hf_str(text);
}

/* A call whose good reply is of type @type; null is HF_NO where @null_is_no.
 * *@out is set with HF_OK only. */
static int call_typed(struct hf *c,
                      enum hf_call_mode mode,
                      const struct hf_bytes *argv,
                      size_t argc,
                      uint32_t timeout_ms,
                      enum hf_reply_type type,
                      bool null_is_no,
                      struct hf_reply **out)
{
    struct hf_reply *r;
    int rv = hf_call(c, mode, argv, argc, timeout_ms, &r);

    if (rv == HF_OK && r->type == HF_REPLY_NULL && null_is_no) {
        rv = HF_NO;
    } else if (rv == HF_OK && r->type != type) {
        rv = hf_fail(c, HF_EPROTOCOL, "%s: unexpected type of reply",
                     hf_node(c));
    } else if (rv == HF_OK) {
        *out = r;
        return HF_OK;
    }
    hf_reply_free(r);
    return rv;
}

/* A call whose good reply is an integer. */
static int call_integer(struct hf *c,
                        enum hf_call_mode mode,
                        const struct hf_bytes *argv,
                        size_t argc,
                        uint32_t timeout_ms,
                        int64_t *out)
{
    struct hf_reply *r;
    int rv = call_typed(c, mode, argv, argc, timeout_ms, HF_REPLY_INTEGER,
                        false, &r);

    if (rv == HF_OK) {
        *out = r->integer;
        hf_reply_free(r);
    }
    return rv;
}

void hf_value_release(struct hf_value *v)
{
    free(v->p);
    memset(v, 0, sizeof(*v));
}

int hf_get(struct hf *c,
           struct hf_bytes key,
           uint32_t timeout_ms,
           struct hf_value *out)
{
    struct hf_bytes argv[] = {hf_str("GETV"), key};
    struct hf_reply *r;
    int rv = call_typed(c, HF_CALL_READ, argv, 2, timeout_ms, HF_REPLY_ARRAY,
                        true, &r);

    if (rv != HF_OK) {
        return rv;
    }
    if (r->n < 3 || r->items[0].str == NULL) {
        hf_reply_free(r);
        return hf_fail(c, HF_EPROTOCOL, "%s: unexpected reply to GETV",
                       hf_node(c));
    }
    out->n = r->items[0].len;
    out->p = hf_malloc(out->n + 1);
    memcpy(out->p, r->items[0].str, out->n + 1);
    out->created = (uint64_t)r->items[1].integer;
    out->revision = (uint64_t)r->items[2].integer;
    hf_reply_free(r);
    return HF_OK;
}

int hf_set(struct hf *c,
           struct hf_bytes key,
           struct hf_bytes value,
           const struct hf_set_options *opt,
           uint32_t timeout_ms)
{
    static const struct hf_set_options none;
    struct hf_bytes argv[8] = {hf_str("SET"), key, value};
    struct hf_reply *r;
    char ttl[NUMBER_MAX];
    size_t n = 3;
    int rv;

    opt = opt == NULL ? &none : opt;
    if ((opt->if_absent && opt->if_present) ||
        (opt->keep_ttl && opt->ttl_ms > 0)) {
        return hf_fail(c, HF_EARGUMENT, "options that exclude each other");
    }
    if (opt->ttl_ms > 0) {
        argv[n++] = hf_str("PX");
        argv[n++] = u64_text(ttl, opt->ttl_ms);
    }
    if (opt->keep_ttl) {
        argv[n++] = hf_str("KEEPTTL");
    }
    if (opt->if_absent || opt->if_present) {
        argv[n++] = hf_str(opt->if_absent ? "NX" : "XX");
    }
    rv = call_typed(c, HF_CALL_WRITE, argv, n, timeout_ms, HF_REPLY_STATUS,
                    true, &r);
    if (rv == HF_OK) {
        hf_reply_free(r);
    }
    return rv;
}

int hf_del(struct hf *c,
           const struct hf_bytes *keys,
           size_t n,
           uint32_t timeout_ms,
           uint64_t *deleted_out)
{
    struct hf_bytes *argv = hf_calloc(n + 1, sizeof(*argv));
    int64_t deleted = 0;
    int rv;

    argv[0] = hf_str("DEL");
    if (n > 0) {
        memcpy(argv + 1, keys, n * sizeof(*keys));
    }
    rv = call_integer(c, HF_CALL_WRITE, argv, n + 1, timeout_ms, &deleted);
    free(argv);
    if (rv == HF_OK && deleted_out != NULL) {
        *deleted_out = (uint64_t)deleted;
    }
    return rv == HF_OK && deleted == 0 ? HF_NO : rv;
}

int hf_incr(struct hf *c,
            struct hf_bytes key,
            int64_t by,
            uint32_t timeout_ms,
            int64_t *out)
{
    char text[NUMBER_MAX];
    struct hf_bytes argv[] = {hf_str("INCRBY"), key, {text, 0}};
    int64_t sum;
    int rv;

    argv[2].n = (size_t)snprintf(text, sizeof(text), "%" PRId64, by);
    rv = call_integer(c, HF_CALL_WRITE, argv, 3, timeout_ms, &sum);
    if (rv == HF_OK && out != NULL) {
        *out = sum;
    }
    return rv;
}

int hf_cas(struct hf *c,
           struct hf_bytes key,
           uint64_t revision,
           struct hf_bytes value,
           uint32_t timeout_ms)
{
    struct hf_condition cond = {key, revision};
    struct hf_bytes argv[] = {hf_str("SET"), key, value};
    struct hf_command cmd = {argv, 3};
    struct hf_reply *r;
    int rv = hf_txn(c, &cond, 1, &cmd, 1, timeout_ms, &r);

    if (rv == HF_OK && (r->n != 1 || r->items[0].type != HF_REPLY_STATUS)) {
        rv = hf_fail(c, HF_EREFUSED, "%s",
                     r->n == 1 && r->items[0].str != NULL ? r->items[0].str
                                                          : "senseless reply");
    }
    hf_reply_free(r);
    return rv;
}

int hf_ttl(struct hf *c,
           struct hf_bytes key,
           uint32_t timeout_ms,
           int64_t *ms_out)
{
    struct hf_bytes argv[] = {hf_str("PTTL"), key};
    int64_t ms;
    int rv = call_integer(c, HF_CALL_READ, argv, 2, timeout_ms, &ms);

    if (rv != HF_OK) {
        return rv;
    }
    if (ms == -2) {
        return HF_NO;
    }
    *ms_out = ms;
    return HF_OK;
}

int hf_scan(struct hf *c,
            struct hf_scan *s,
            uint32_t timeout_ms,
            struct hf_reply **out)
{
    struct hf_bytes argv[6] = {hf_str("SCAN"), hf_str("0")};
    struct hf_reply *r;
    char count[NUMBER_MAX];
    size_t n = 2;
    int rv;

    if (s->done) {
        return hf_fail(c, HF_EARGUMENT, "the scan is done");
    }
    if (s->cursor[0] != '\0') {
        argv[1] = hf_str(s->cursor);
    }
    if (s->match != NULL) {
        argv[n++] = hf_str("MATCH");
        argv[n++] = hf_str(s->match);
    }
    if (s->count > 0) {
        argv[n++] = hf_str("COUNT");
        argv[n++] = u64_text(count, s->count);
    }
    rv = call_typed(c, HF_CALL_READ, argv, n, timeout_ms, HF_REPLY_ARRAY, false,
                    &r);
    if (rv != HF_OK) {
        return rv;
    }
    if (r->n != 2 || r->items[0].str == NULL || r->items[0].len == 0 ||
        r->items[0].len >= sizeof(s->cursor) ||
        r->items[1].type != HF_REPLY_ARRAY) {
        hf_reply_free(r);
        return hf_fail(c, HF_EPROTOCOL, "%s: unexpected reply to SCAN",
                       hf_node(c));
    }
    memcpy(s->cursor, r->items[0].str, r->items[0].len + 1);
    s->done = strcmp(s->cursor, "0") == 0;
    /* The keys become the root: one allocation holds the whole reply. */
    *r = r->items[1];
    *out = r;
    return HF_OK;
}

int hf_range(struct hf *c,
             struct hf_bytes start,
             struct hf_bytes end,
             uint64_t limit,
             bool reverse,
             uint32_t timeout_ms,
             struct hf_reply **out)
{
    struct hf_bytes argv[6] = {hf_str("RANGE"), start, end};
    char text[NUMBER_MAX];
    size_t n = 3;

    if (limit > 0) {
        argv[n++] = hf_str("LIMIT");
        argv[n++] = u64_text(text, limit);
    }
    if (reverse) {
        argv[n++] = hf_str("REV");
    }
    return call_typed(c, HF_CALL_READ, argv, n, timeout_ms, HF_REPLY_ARRAY,
                      false, out);
}

/* TXN ncond [key revision]... ncmd [argc arg...]... */
int hf_txn(struct hf *c,
           const struct hf_condition *conds,
           size_t nconds,
           const struct hf_command *cmds,
           size_t ncmds,
           uint32_t timeout_ms,
           struct hf_reply **out)
{
    size_t words = 3 + 2 * nconds + ncmds;
    struct hf_reply *r = NULL;
    struct hf_bytes *argv;
    char(*text)[NUMBER_MAX];
    size_t n = 0;
    size_t t = 0;
    int rv;

    for (size_t i = 0; i < ncmds; i++) {
        words += cmds[i].argc;
    }
    argv = hf_calloc(words, sizeof(*argv));
    text = hf_calloc(2 + nconds + ncmds, sizeof(*text));
    argv[n++] = hf_str("TXN");
    argv[n++] = u64_text(text[t++], nconds);
    for (size_t i = 0; i < nconds; i++) {
        argv[n++] = conds[i].key;
        argv[n++] = u64_text(text[t++], conds[i].revision);
    }
    argv[n++] = u64_text(text[t++], ncmds);
    for (size_t i = 0; i < ncmds; i++) {
        argv[n++] = u64_text(text[t++], cmds[i].argc);
        for (size_t k = 0; k < cmds[i].argc; k++) {
            argv[n++] = cmds[i].argv[k];
        }
    }
    hf_assert(n == words && t == 2 + nconds + ncmds);
    rv = call_typed(c, HF_CALL_WRITE, argv, n, timeout_ms, HF_REPLY_ARRAY, true,
                    &r);
    free(text);
    free(argv);
    if (out != NULL) {
        *out = r;
    } else {
        hf_reply_free(r);
    }
    return rv;
}
