/* libholdfast: what replies mean, and as trees of their own. */
#include <stdlib.h>

#include "base/assert.h"
#include "client/hf_int.h"
#include "resp/resp.h"

/* One allocation holds root, nodes and strings. */
struct copy {
    struct hf_reply *node;
    char *text;
};

static void count(const struct resp_value *v, size_t *nodes, size_t *text)
{
    *nodes += 1;
    *text += v->str.n + 1;
    for (size_t i = 0; i < v->n; i++) {
        count(&v->items[i], nodes, text);
    }
}

static enum hf_reply_type type_of(enum resp_type t)
{
    static const enum hf_reply_type to[] = {
        [RESP_STATUS] = HF_REPLY_STATUS,   [RESP_ERROR] = HF_REPLY_ERROR,
        [RESP_INT] = HF_REPLY_INTEGER,     [RESP_BULK] = HF_REPLY_STRING,
        [RESP_NULL] = HF_REPLY_NULL,       [RESP_NULL_ARRAY] = HF_REPLY_NULL,
        [RESP_ARRAY] = HF_REPLY_ARRAY,     [RESP_MAP] = HF_REPLY_MAP,
        [RESP_SET] = HF_REPLY_ARRAY,       [RESP_PUSH] = HF_REPLY_ARRAY,
        [RESP_DOUBLE] = HF_REPLY_DOUBLE,   [RESP_BOOL] = HF_REPLY_BOOL,
        [RESP_VERBATIM] = HF_REPLY_STRING, [RESP_BIGNUM] = HF_REPLY_STRING,
    };

    return to[t];
}

static bool has_text(enum resp_type t)
{
    return t == RESP_STATUS || t == RESP_ERROR || t == RESP_BULK ||
           t == RESP_DOUBLE || t == RESP_VERBATIM || t == RESP_BIGNUM;
}

static void fill(struct copy *c,
                 struct hf_reply *to,
                 const struct resp_value *v)
{
    to->type = type_of(v->type);
    to->integer = v->i;
    to->number = v->d;
    if (has_text(v->type)) {
        if (v->str.n > 0) {
            memcpy(c->text, v->str.p, v->str.n);
        }
        to->str = c->text;
        to->len = v->str.n;
        c->text += v->str.n + 1; /* zeroed: the NUL is there */
    }
    to->items = v->n > 0 ? c->node : NULL;
    to->n = v->n;
    c->node += v->n;
    for (size_t i = 0; i < v->n; i++) {
        fill(c, &to->items[i], &v->items[i]);
    }
}

struct hf_reply *hf_reply_make(struct bytes in)
{
    struct resp_value *v;
    struct hf_reply *root;
    struct copy c;
    size_t nodes = 0;
    size_t text = 0;

    if (resp_parse_reply(in, &v) != 0) {
        return NULL;
    }
    count(v, &nodes, &text);
    root = hf_calloc(1, nodes * sizeof(*root) + text);
    c.node = root + 1;
    c.text = (char *)(root + nodes);
    fill(&c, root, v);
    hf_assert(c.node == root + nodes);
    resp_value_free(v);
    return root;
}

void hf_reply_free(struct hf_reply *r)
{
    free(r);
}

const struct hf_reply *hf_reply_field(const struct hf_reply *r, const char *key)
{
    size_t n = strlen(key);

    if (r == NULL || r->type != HF_REPLY_MAP) {
        return NULL;
    }
    for (size_t i = 0; i + 1 < r->n; i += 2) {
        const struct hf_reply *k = &r->items[i];

        if (k->str != NULL && k->len == n && memcmp(k->str, key, n) == 0) {
            return &r->items[i + 1];
        }
    }
    return NULL;
}

const char *hf_result_name(int code)
{
    static const struct {
        int code;
        const char *name;
    } names[] = {
        {HF_OK, "ok"},
        {HF_NO, "no"},
        {HF_EARGUMENT, "wrong argument"},
        {HF_ETOOBIG, "too big"},
        {HF_EREFUSED, "refused"},
        {HF_ENOLEADER, "no node took it"},
        {HF_EFULL, "full"},
        {HF_ESTALE, "stale"},
        {HF_ETRIMMED, "no longer kept"},
        {HF_EBUSY, "busy"},
        {HF_EUNKNOWN, "outcome unknown"},
        {HF_EPROTOCOL, "protocol error"},
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (names[i].code == code) {
            return names[i].name;
        }
    }
    return "?";
}
