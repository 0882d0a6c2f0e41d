/* libholdfast: following changes.
 *
 * A watch is a loop of XREADs, each behind the last id that was seen. What
 * is lost on the way is asked for again, at another node if need be: ids are
 * the same everywhere. So there is no state but that one id. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mutant.h"
#include "client/hf_int.h"

/* A node that blocks says something well before HF_SILENCE_TIMEOUT. */
#define BLOCK_MS "500"
/* Changes of one answer. */
#define BATCH "1000"

struct watch {
    struct hf *c;
    uint32_t timeout_ms;
    hf_watch_fn fn;
    void *ctx;
    char stream[sizeof "__changes__:" + HF_WATCH_PREFIX_MAX];
    size_t stream_n;
    char id[HF_WATCH_ID];
    uint64_t revision; /* of @id */
    uint64_t seq;
};

static bool parse_id(const char *s, uint64_t *revision, uint64_t *seq)
{
    int n = -1;

    return sscanf(s, "%" SCNu64 "-%" SCNu64 "%n", revision, seq, &n) == 2 &&
           n > 0 && s[n] == '\0';
}

static void set_id(struct watch *w, uint64_t revision, uint64_t seq)
{
    w->revision = revision;
    w->seq = seq;
    snprintf(w->id, sizeof w->id, "%" PRIu64 "-%" PRIu64, revision, seq);
}

static struct hf_bytes stream_of(const struct watch *w)
{
    return hf_bytes(w->stream, w->stream_n);
}

static int senseless(struct watch *w)
{
    return hf_fail(w->c, HF_EPROTOCOL, "%s: unexpected reply to XREAD",
                   hf_node(w->c));
}

/* Where the history ends now: behind it the watch begins. */
static int start_now(struct watch *w)
{
    struct hf_bytes argv[] = {hf_str("XINFO"), hf_str("STREAM"),
                              hf_str("__changes__")};
    const struct hf_reply *last;
    struct hf_reply *r;
    int rv = hf_call(w->c, HF_CALL_READ, argv, 3, w->timeout_ms, &r);

    if (rv != HF_OK) {
        hf_reply_free(r);
        return rv;
    }
    last = hf_reply_field(r, "last-generated-id");
    if (last == NULL || last->str == NULL ||
        !parse_id(last->str, &w->revision, &w->seq)) {
        rv = senseless(w);
    } else {
        set_id(w, w->revision, w->seq);
    }
    hf_reply_free(r);
    return rv;
}

/* "12-3": behind it. "12": from the first change of revision 12 on. */
static int start(struct watch *w, const char *from)
{
    uint64_t revision;
    uint64_t seq;
    int n = -1;

    if (from == NULL) {
        return start_now(w);
    }
    if (from[0] < '0' || from[0] > '9') {
        return hf_fail(w->c, HF_EARGUMENT, "not a revision or id");
    }
    if (parse_id(from, &revision, &seq)) {
        set_id(w, revision, seq);
    } else if (sscanf(from, "%" SCNu64 "%n", &revision, &n) == 1 &&
               from[n] == '\0') {
        set_id(w, revision > 0 ? revision - 1 : 0,
               revision > 0 ? UINT32_MAX : 0);
    } else {
        return hf_fail(w->c, HF_EARGUMENT, "not a revision or id");
    }
    return HF_OK;
}

static struct hf_bytes text_of(const struct hf_reply *r)
{
    return hf_bytes(r->str, r->len);
}

static bool is(const struct hf_reply *r, const char *word)
{
    return r->len == strlen(word) && memcmp(r->str, word, r->len) == 0;
}

static bool take_field(struct hf_change *out,
                       const struct hf_reply *name,
                       const struct hf_reply *value)
{
    static const char *const types[] = {"set", "deadline", "delete", "expire",
                                        "clear"};

    if (name->str == NULL || value->str == NULL) {
        return false;
    }
    if (is(name, "type")) {
        for (int i = 0; i < 5; i++) {
            if (is(value, types[i])) {
                out->type = (enum hf_change_type)(i + 1);
            }
        }
    } else if (is(name, "key")) {
        out->key = text_of(value);
    } else if (is(name, "value")) {
        out->value = text_of(value);
    } else if (is(name, "deadline")) {
        out->deadline_ms = strtoull(value->str, NULL, 10);
    }
    return true; /* fields of later versions are skipped */
}

static bool follows(const struct watch *w, uint64_t revision, uint64_t seq)
{
    return revision > w->revision ||
           (revision == w->revision && seq > w->seq) || mutant(FEED_GOES_BACK);
}

/* One entry, [id, [name, value, ...]]. Ids rise, else the answer is not what
 * was asked for. */
static bool take_change(struct watch *w,
                        const struct hf_reply *entry,
                        struct hf_change *out)
{
    const struct hf_reply *fields;
    uint64_t revision;
    uint64_t seq;

    memset(out, 0, sizeof *out);
    if (entry->n != 2) {
        return false;
    }
    fields = &entry->items[1];
    if (entry->items[0].str == NULL || fields->type != HF_REPLY_ARRAY ||
        fields->n % 2 != 0 || !parse_id(entry->items[0].str, &revision, &seq) ||
        !follows(w, revision, seq)) {
        return false;
    }
    for (size_t i = 0; i < fields->n; i += 2) {
        if (!take_field(out, &fields->items[i], &fields->items[i + 1])) {
            return false;
        }
    }
    set_id(w, revision, seq);
    out->id = w->id;
    out->revision = revision;
    return out->type != 0;
}

/* HF_OK: go on; HF_NO: the caller wants no more. */
static int give(struct watch *w, const struct hf_reply *r)
{
    const struct hf_reply *list;
    struct hf_change change;

    if (r->type == HF_REPLY_NULL) {
        return w->fn(w->ctx, NULL) ? HF_OK : HF_NO;
    }
    if (r->type != HF_REPLY_MAP || r->n != 2 ||
        r->items[1].type != HF_REPLY_ARRAY) {
        return senseless(w);
    }
    list = &r->items[1];
    for (size_t i = 0; i < list->n; i++) {
        if (!take_change(w, &list->items[i], &change)) {
            return senseless(w);
        }
        if (!w->fn(w->ctx, &change)) {
            return HF_NO;
        }
    }
    return HF_OK;
}

static int step(struct watch *w)
{
    struct hf_bytes argv[] = {
        hf_str("XREAD"),  hf_str("COUNT"),   hf_str(BATCH), hf_str("BLOCK"),
        hf_str(BLOCK_MS), hf_str("STREAMS"), stream_of(w),  hf_str(w->id)};
    struct hf_reply *r;
    int rv;

    rv = hf_call(w->c, HF_CALL_READ, argv, 8, w->timeout_ms, &r);
    if (rv == HF_EREFUSED && r != NULL && r->str != NULL &&
        strncmp(r->str, "TRIMMED ", 8) == 0) {
        rv = HF_ETRIMMED;
    }
    if (rv == HF_OK) {
        rv = give(w, r);
    }
    hf_reply_free(r);
    return rv;
}

int hf_watch(struct hf *c,
             struct hf_bytes prefix,
             const char *from,
             uint32_t timeout_ms,
             hf_watch_fn fn,
             void *ctx)
{
    struct watch w = {.c = c, .timeout_ms = timeout_ms, .fn = fn, .ctx = ctx};
    int rv;

    if (prefix.n > HF_WATCH_PREFIX_MAX) {
        return hf_fail(c, HF_EARGUMENT, "a prefix has at most %d bytes",
                       HF_WATCH_PREFIX_MAX);
    }
    w.stream_n = (size_t)snprintf(w.stream, sizeof w.stream, "__changes__%s",
                                  prefix.n > 0 ? ":" : "");
    if (prefix.n > 0) {
        memcpy(w.stream + w.stream_n, prefix.p, prefix.n);
        w.stream_n += prefix.n;
    }
    rv = start(&w, from);
    while (rv == HF_OK) {
        rv = step(&w);
    }
    return rv == HF_NO ? HF_OK : rv;
}
