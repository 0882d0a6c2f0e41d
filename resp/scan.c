/* Replies: tokens, the scanner, the conversion to RESP2 and the tree.
 *
 * A reply is a sequence of tokens; an aggregate's token says how many values
 * follow. One counter of the values still owed therefore finds the end of a
 * reply, however deep it nests, without a stack. */
#include <stdlib.h>

#include "base/assert.h"
#include "base/err.h"
#include "resp/resp.h"
#include "resp/resp_int.h"

/* More values than this owed at one time is nonsense, and no sum of two
 * such numbers wraps. */
#define VALUES_MAX ((uint64_t)1 << 40)

/* The line after the type byte. *@len is its length without line end. */
static int token_line(const uint8_t *data, size_t n, size_t *len)
{
    size_t room = n < RESP_LINE_MAX ? n : RESP_LINE_MAX;
    const uint8_t *cr = memchr(data, '\r', room);

    if (cr == NULL || (size_t)(cr - data) + 1 == room) {
        return room == RESP_LINE_MAX ? HF_EINVAL : 0;
    }
    *len = (size_t)(cr - data);
    return cr[1] == '\n' ? 1 : HF_EINVAL;
}

static bool token_has_count(char type)
{
    return type != 0 && strchr(":$=!*%~>&", type) != NULL;
}

/* The bytes after the header of '$', '=' or '!'. */
static int token_bulk(struct resp_token *t,
                      const uint8_t *data,
                      size_t n,
                      size_t *want)
{
    size_t size = (size_t)t->count;

    if (t->count < -1 || (t->count < 0 && t->type != '$') ||
        t->count > RESP_BULK_MAX) {
        return HF_EINVAL;
    }
    if (t->count == -1) {
        t->body = bytes_of(NULL, 0);
        return 1;
    }
    if (n - t->len < size + 2) {
        *want = t->len + size + 2;
        return 0;
    }
    t->body = bytes_of(data + t->len, size);
    t->len += size + 2;
    if (data[t->len - 2] != '\r' || data[t->len - 1] != '\n') {
        return HF_EINVAL;
    }
    return t->type == '=' && (size < 4 || t->body.p[3] != ':') ? HF_EINVAL : 1;
}

/* Is the line of a value without count what its type allows? */
static bool token_line_ok(const struct resp_token *t)
{
    struct bytes s = t->body;

    switch (t->type) {
        case '+':
        case '-':
            return memchr(s.p, '\n', s.n) == NULL;
        case '_':
        case '^':
            return s.n == 0;
        case '#':
            return s.n == 1 && (s.p[0] == 't' || s.p[0] == 'f');
        case ',':
        case '(':
            return s.n > 0 && s.n <= RESP_HEADER_MAX;
        default:
            return false;
    }
}

int resp_token_read(struct resp_token *t,
                    const uint8_t *data,
                    size_t n,
                    size_t *want)
{
    size_t len;
    int rv;

    if (n == 0) {
        return 0;
    }
    memset(t, 0, sizeof(*t));
    t->type = (char)data[0];
    if (!token_has_count(t->type) &&
        (t->type == 0 || strchr("+-_#,(^", t->type) == NULL)) {
        return HF_EINVAL;
    }
    rv = token_line(data + 1, n - 1, &len);
    if (rv <= 0) {
        return rv;
    }
    t->body = bytes_of(data + 1, len);
    t->len = len + 3;
    if (!token_has_count(t->type)) {
        t->children = t->type == '^' ? 2 : 0;
        return token_line_ok(t) ? 1 : HF_EINVAL;
    }
    if (!resp_number(t->body.p, t->body.n, &t->count)) {
        return HF_EINVAL;
    }
    switch (t->type) {
        case ':':
            return 1;
        case '$':
        case '=':
        case '!':
            return token_bulk(t, data, n, want);
        case '*':
            if (t->count == -1) {
                return 1;
            }
            break;
        default:
            break;
    }
    if (t->count < 0 || (uint64_t)t->count > VALUES_MAX) {
        return HF_EINVAL;
    }
    t->children = (uint64_t)t->count * (t->type == '%' ? 2 : 1);
    return 1;
}

int resp_scan_reply(struct resp_scan *s,
                    const uint8_t *data,
                    size_t n,
                    size_t max,
                    size_t *len)
{
    struct resp_token t;

    hf_assert(s->pos <= n);
    if (!s->started) {
        memset(s, 0, sizeof(*s));
        s->started = true;
        s->left = 1;
    }
    while (s->left > 0) {
        size_t want = 0;
        int rv = n == s->pos
                     ? 0 /* @data may be NULL */
                     : resp_token_read(&t, data + s->pos, n - s->pos, &want);

        if (rv < 0) {
            return rv;
        }
        /* Checked against what the reply says that it will be, before its
         * bytes are waited for. */
        if (s->pos + want > max || (rv == 0 && n > max) ||
            (rv == 1 && s->pos + t.len > max)) {
            return HF_ELIMIT;
        }
        if (rv == 0) {
            return 0;
        }
        s->pos += t.len;
        s->left += t.children - 1;
        if (s->left > VALUES_MAX) {
            return HF_EINVAL;
        }
    }
    *len = s->pos;
    memset(s, 0, sizeof(*s));
    return 1;
}

/* ---- conversion ---- */

static bool token_is_resp2(const struct resp_token *t)
{
    return strchr("+-:$*", t->type) != NULL;
}

bool resp3_is_resp2(struct bytes in)
{
    struct resp_token t;

    while (in.n > 0) {
        size_t want = 0;

        /* Damaged input is for the conversion to refuse. */
        if (resp_token_read(&t, in.p, in.n, &want) != 1 ||
            !token_is_resp2(&t)) {
            return false;
        }
        in = bytes_of(in.p + t.len, in.n - t.len);
    }
    return true;
}

static void token_to_resp2(const struct resp_token *t, struct buf *out)
{
    switch (t->type) {
        case '%':
        case '~':
        case '>':
        case '&':
        case '^':
            resp_array(out, (size_t)t->children);
            break;
        case '_':
            buf_append(out, "$-1\r\n", 5);
            break;
        case '#':
            resp_int(out, t->body.p[0] == 't');
            break;
        case '=':
            resp_bulk(out, bytes_of(t->body.p + 4, t->body.n - 4));
            break;
        case '!':
            buf_u8(out, '-');
            for (size_t i = 0; i < t->body.n; i++) {
                uint8_t c = t->body.p[i];

                buf_u8(out, c == '\r' || c == '\n' ? ' ' : c);
            }
            buf_append(out, "\r\n", 2);
            break;
        default:
            hf_assert(t->type == ',' || t->type == '(');
            resp_bulk(out, t->body);
            break;
    }
}

static bool fix_keeps(const struct resp_token *t)
{
    return !(t->type == '*' && t->count == -1) && t->type != '&' &&
           t->type != '^';
}

static void fix_token(const struct resp_token *t, struct buf *out)
{
    if (t->type == '*') {
        resp_null(out);
    } else if (t->type == '&') {
        resp_map(out, (size_t)t->count);
    } /* "^": a map's pairs have no header of their own */
}

/* Copy runs of tokens that @keep accepts; give the others to @change. */
static int convert(struct bytes in,
                   struct buf *out,
                   bool (*keep)(const struct resp_token *),
                   void (*change)(const struct resp_token *, struct buf *))
{
    struct resp_token t;
    size_t undo = out->n;
    size_t run = 0; /* start of the bytes not copied yet */
    size_t pos = 0;
    uint64_t left = 0;

    if (in.n == 0) {
        return 0;
    }
    while (pos < in.n) {
        size_t want = 0;

        if (resp_token_read(&t, in.p + pos, in.n - pos, &want) != 1) {
            out->n = undo;
            return HF_EINVAL;
        }
        left = (left == 0 ? 1 : left) + t.children - 1;
        if (left > VALUES_MAX) {
            out->n = undo;
            return HF_EINVAL;
        }
        if (!keep(&t)) {
            buf_append(out, in.p + run, pos - run);
            change(&t, out);
            run = pos + t.len;
        }
        pos += t.len;
    }
    if (left != 0) {
        out->n = undo;
        return HF_EINVAL;
    }
    buf_append(out, in.p + run, pos - run);
    return 0;
}

int resp3_to_resp2(struct bytes in, struct buf *out)
{
    return convert(in, out, token_is_resp2, token_to_resp2);
}

int resp3_fix_null_arrays(struct bytes in, struct buf *out)
{
    return convert(in, out, fix_keeps, fix_token);
}

/* ---- tree ---- */

struct builder {
    struct bytes in;          /* what is left to read */
    struct resp_value *nodes; /* all of the tree's, the root first */
    size_t used;
    size_t count;
};

static double to_double(struct bytes s)
{
    char text[RESP_HEADER_MAX + 1];

    hf_assert(s.n <= RESP_HEADER_MAX);
    memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    return strtod(text, NULL);
}

static void value_set(struct resp_value *v, const struct resp_token *t)
{
    static const char types[] = "+-:$_*%~>,#=(!&^";
    static const enum resp_type to[] = {
        RESP_STATUS, RESP_ERROR,  RESP_INT,   RESP_BULK,
        RESP_NULL,   RESP_ARRAY,  RESP_MAP,   RESP_SET,
        RESP_PUSH,   RESP_DOUBLE, RESP_BOOL,  RESP_VERBATIM,
        RESP_BIGNUM, RESP_ERROR,  RESP_ARRAY, RESP_ARRAY};

    v->type = to[strchr(types, t->type) - types];
    v->str = t->body;
    v->i = t->count;
    if (v->type == RESP_BULK && t->count == -1) {
        v->type = RESP_NULL;
    } else if (v->type == RESP_ARRAY && t->count == -1) {
        v->type = RESP_NULL_ARRAY;
    } else if (v->type == RESP_VERBATIM) {
        v->str = bytes_of(t->body.p + 4, t->body.n - 4);
    } else if (v->type == RESP_DOUBLE) {
        v->d = to_double(t->body);
    } else if (v->type == RESP_BOOL) {
        v->i = t->body.p[0] == 't';
    }
}

static int build(struct builder *b, struct resp_value *v, int depth)
{
    struct resp_token t;
    size_t want = 0;

    if (depth > RESP_DEPTH_MAX ||
        resp_token_read(&t, b->in.p, b->in.n, &want) != 1) {
        return HF_EINVAL;
    }
    b->in = bytes_of(b->in.p + t.len, b->in.n - t.len);
    value_set(v, &t);
    if (t.children == 0) {
        return 0;
    }
    hf_assert(t.children <= b->count - b->used); /* the scan counted them */
    v->items = b->nodes + b->used;
    v->n = (size_t)t.children;
    b->used += v->n;
    for (size_t i = 0; i < v->n; i++) {
        if (build(b, &v->items[i], depth + 1) != 0) {
            return HF_EINVAL;
        }
    }
    return 0;
}

/* Values of the one reply that @in is; 0: it is not one whole reply. */
static size_t count_values(struct bytes in)
{
    struct resp_token t;
    uint64_t left = 1;
    size_t values = 0;

    while (left > 0) {
        size_t want = 0;

        if (resp_token_read(&t, in.p, in.n, &want) != 1) {
            return 0;
        }
        in = bytes_of(in.p + t.len, in.n - t.len);
        values++;
        left += t.children - 1;
        if (left > VALUES_MAX) {
            return 0;
        }
    }
    return in.n == 0 ? values : 0;
}

int resp_parse_reply(struct bytes in, struct resp_value **out)
{
    struct builder b = {in, NULL, 1, count_values(in)};

    if (b.count == 0) {
        return HF_EINVAL;
    }
    b.nodes = hf_calloc(b.count, sizeof(*b.nodes));
    if (build(&b, b.nodes, 1) != 0) {
        free(b.nodes);
        return HF_EINVAL;
    }
    hf_assert(b.used == b.count);
    *out = b.nodes;
    return 0;
}

void resp_value_free(struct resp_value *v)
{
    free(v);
}
