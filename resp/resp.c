/* The request parser.
 *
 * A request is read in three kinds of steps: its header "*n", then per
 * argument a header "$n" and n bytes. p->pos is the offset at which the next
 * step starts, so a call that finds too little does again only its last,
 * short step. Arguments are kept as offsets until the request is whole,
 * because the caller's buffer moves when it grows. */
#include "resp/resp.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/mutant.h"
#include "resp/resp_int.h"

enum {
    ARGS_FIRST = 8,  /* room at first; doubles, up to LIM_ARGS */
    ARGS_KEEP = 1024 /* more room than this is not kept between requests */
};

void resp_parser_init(struct resp_parser *p, size_t request_max)
{
    memset(p, 0, sizeof(*p));
    p->request_max = request_max;
}

void resp_parser_release(struct resp_parser *p)
{
    free(p->slices);
    free(p->argv);
    buf_release(&p->text);
    memset(p, 0, sizeof(*p));
}

const char *resp_parser_error(const struct resp_parser *p)
{
    return p->error;
}

bool resp_parser_busy(const struct resp_parser *p)
{
    return p->pos > 0;
}

size_t resp_parser_wants(const struct resp_parser *p, size_t n)
{
    size_t end = p->in_bulk ? p->pos + p->bulk + 2 : 0;

    return end > n ? end - n : 0;
}

static int fail(struct resp_parser *p, const char *text)
{
    snprintf(p->error, sizeof(p->error), "Protocol error: %s", text);
    return HF_EINVAL;
}

static void arg_add(struct resp_parser *p, size_t off, size_t len)
{
    if (p->argc == p->cap) {
        p->cap = p->cap == 0 ? ARGS_FIRST : p->cap * 2;
        p->slices = hf_realloc(p->slices, p->cap * sizeof(*p->slices));
        p->argv = hf_realloc(p->argv, p->cap * sizeof(*p->argv));
    }
    hf_assert(p->argc < LIM_ARGS);
    p->slices[p->argc].off = off;
    p->slices[p->argc].len = len;
    p->argc++;
}

/* Hand out the arguments; offsets are relative to @base. */
static int finish(struct resp_parser *p,
                  const uint8_t *base,
                  struct resp_args *out)
{
    hf_assert(p->argc > 0);
    for (size_t i = 0; i < p->argc; i++) {
        size_t len = p->slices[i].len;

        /* @base is NULL when all arguments are empty. */
        p->argv[i] = bytes_of(
            len == 0 ? (const uint8_t *)"" : base + p->slices[i].off, len);
    }
    out->argv = p->argv;
    out->argc = p->argc;
    p->argc = 0;
    p->pos = 0;
    return 1;
}

bool resp_number(const uint8_t *s, size_t n, int64_t *out)
{
    uint64_t v = 0;
    bool neg = n > 0 && s[0] == '-';
    uint64_t max = neg ? (uint64_t)INT64_MAX + 1 : (uint64_t)INT64_MAX;

    if (n == (neg ? 1u : 0u) || n > 20 || (s[neg] == '0' && n > 1)) {
        return false;
    }
    for (size_t i = neg ? 1 : 0; i < n; i++) {
        uint64_t digit = (uint64_t)s[i] - '0';

        if (digit > 9 || v > (max - digit) / 10) {
            return false;
        }
        v = v * 10 + digit;
    }
    *out = neg ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}

/* The line at p->pos: its length without line end, or 0: not all there, or
 * HF_EINVAL: longer than a header can be, or CR without LF. */
static int header_line(const struct resp_parser *p,
                       const uint8_t *data,
                       size_t n,
                       size_t *len)
{
    size_t room = n - p->pos;
    const uint8_t *s = data + p->pos;
    const uint8_t *cr;

    if (room > RESP_HEADER_MAX) {
        room = RESP_HEADER_MAX;
    }
    cr = memchr(s, '\r', room);
    if (cr == NULL) {
        return room == RESP_HEADER_MAX ? HF_EINVAL : 0;
    }
    *len = (size_t)(cr - s);
    if (*len + 1 == room) {
        return room == RESP_HEADER_MAX ? HF_EINVAL : 0;
    }
    return cr[1] == '\n' ? 1 : HF_EINVAL;
}

/* Skip blanks from @i. */
static size_t skip_blank(const uint8_t *s, size_t n, size_t i)
{
    while (i < n && isspace(s[i])) {
        i++;
    }
    return i;
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (uint8_t)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The escape sequence at s[*i] == '\\', inside double quotes. */
static uint8_t unescape(const uint8_t *s, size_t n, size_t *i)
{
    static const char from[] = "nrtba";
    static const char to[] = "\n\r\t\b\a";
    const char *hit;
    uint8_t c = s[*i + 1];

    if (c == 'x' && *i + 3 < n && hex_digit(s[*i + 2]) >= 0 &&
        hex_digit(s[*i + 3]) >= 0) {
        c = (uint8_t)(hex_digit(s[*i + 2]) * 16 + hex_digit(s[*i + 3]));
        *i += 4;
        return c;
    }
    *i += 2;
    hit = c == 0 ? NULL : strchr(from, c);
    return hit == NULL ? c : (uint8_t)to[hit - from];
}

/* One argument, quotes removed, from s[*i] to the end of @text. False when
 * its quotes do not end, or end in the middle of a word. */
static bool inline_arg(struct buf *text, const uint8_t *s, size_t n, size_t *i)
{
    uint8_t quote = 0;

    while (*i < n && (quote != 0 || !isspace(s[*i]))) {
        uint8_t c = s[*i];

        if (quote == 0 && (c == '"' || c == '\'')) {
            quote = c;
        } else if (quote != 0 && c == quote) {
            *i += 1;
            return *i == n || isspace(s[*i]);
        } else if (quote == '"' && c == '\\' && *i + 1 < n) {
            buf_u8(text, unescape(s, n, i));
            continue;
        } else if (quote == '\'' && c == '\\' && *i + 1 < n &&
                   s[*i + 1] == '\'') {
            buf_u8(text, '\'');
            *i += 1;
        } else {
            buf_u8(text, c);
        }
        *i += 1;
    }
    return quote == 0;
}

/* A line that does not start with '*'. 1: command; 0: more bytes needed, or
 * (*skip > 0) an empty line of so many bytes. */
static int parse_inline(struct resp_parser *p,
                        const uint8_t *data,
                        size_t n,
                        size_t *skip)
{
    const uint8_t *nl = memchr(data + p->pos, '\n', n - p->pos);
    size_t len = nl == NULL ? n : (size_t)(nl - data);
    size_t i;

    if (len > LIM_INLINE) {
        return fail(p, "too big inline request");
    }
    if (nl == NULL) {
        p->pos = n;
        return 0;
    }
    *skip = len + 1;
    buf_clear(&p->text);
    for (i = skip_blank(data, len, 0); i < len; i = skip_blank(data, len, i)) {
        size_t off = p->text.n;

        if (!inline_arg(&p->text, data, len, &i)) {
            return fail(p, "unbalanced quotes in request");
        }
        arg_add(p, off, p->text.n - off);
    }
    return p->argc > 0 ? 1 : 0;
}

/* One huge request must not cost its connection memory for ever. */
static void shrink(struct resp_parser *p)
{
    if (p->cap > ARGS_KEEP) {
        free(p->slices);
        free(p->argv);
        p->slices = NULL;
        p->argv = NULL;
        p->cap = 0;
    }
}

/* The "*n" line. As parse_inline(). */
static int parse_array_header(struct resp_parser *p,
                              const uint8_t *data,
                              size_t n,
                              size_t *skip)
{
    size_t len = 0;
    int64_t count;
    int rv = header_line(p, data, n, &len);

    if (rv == 0) {
        return 0;
    }
    if (rv < 0 || !resp_number(data + p->pos + 1, len - 1, &count) ||
        count > LIM_ARGS) {
        return fail(p, "invalid multibulk length");
    }
    p->pos += len + 2;
    if (count <= 0) {
        *skip = p->pos;
        return 0;
    }
    shrink(p);
    p->left = (size_t)count;
    return 1;
}

/* May a bulk of @size bytes, whose header of @header bytes is next, still be
 * part of this request? */
static bool fits(const struct resp_parser *p, size_t header, int64_t size)
{
    size_t used = p->pos + header + 2; /* 2: the line end after the bulk */

    if (mutant(RESP_LIMIT_IGNORED)) {
        return size < LIM_REQUEST_TOP;
    }
    return used <= p->request_max && (uint64_t)size <= p->request_max - used;
}

static int parse_bulk_header(struct resp_parser *p,
                             const uint8_t *data,
                             size_t n)
{
    char text[RESP_ERROR_MAX / 2];
    uint8_t c;
    size_t len = 0;
    int64_t size;
    int rv;

    if (p->pos == n) {
        return 0;
    }
    c = data[p->pos];
    if (c != '$') {
        snprintf(text, sizeof(text), "expected '$', got '%c'",
                 c == '\r' || c == '\n' ? ' ' : c);
        return fail(p, text);
    }
    rv = header_line(p, data, n, &len);
    if (rv == 0) {
        return 0;
    }
    if (rv < 0 || !resp_number(data + p->pos + 1, len - 1, &size) || size < 0 ||
        !fits(p, len + 2, size)) {
        return fail(p, "invalid bulk length");
    }
    p->pos += len + 2;
    p->bulk = (size_t)size;
    p->in_bulk = true;
    return 1;
}

/* All arguments that are there. 1: the request is whole. */
static int parse_args(struct resp_parser *p, const uint8_t *data, size_t n)
{
    while (p->left > 0) {
        if (!p->in_bulk) {
            int rv = parse_bulk_header(p, data, n);

            if (rv <= 0) {
                return rv;
            }
        }
        if (n - p->pos < p->bulk + 2) {
            return 0;
        }
        if (data[p->pos + p->bulk] != '\r' ||
            data[p->pos + p->bulk + 1] != '\n') {
            return fail(p, "expected CRLF after bulk string");
        }
        arg_add(p, p->pos, p->bulk);
        p->pos += p->bulk + 2;
        p->in_bulk = false;
        p->left--;
    }
    return 1;
}

int resp_parse_request(struct resp_parser *p,
                       const uint8_t *data,
                       size_t n,
                       size_t *used,
                       struct resp_args *out)
{
    *used = 0;
    hf_assert(p->pos <= n);
    while (n > 0) {
        bool is_array = data[0] == '*';
        size_t skip = 0;
        int rv = 1;

        if (!is_array) {
            rv = parse_inline(p, data, n, &skip);
        } else if (p->left == 0) {
            rv = parse_array_header(p, data, n, &skip);
        }
        if (rv == 1 && is_array) {
            rv = parse_args(p, data, n);
            skip = rv == 1 ? p->pos : 0;
        }
        if (rv < 0 || skip == 0) {
            return rv;
        }
        *used += skip;
        if (rv == 1) {
            return finish(p, is_array ? data : p->text.p, out);
        }
        data += skip; /* an empty request */
        n -= skip;
        p->pos = 0;
    }
    return 0;
}

void resp_request(struct buf *b, const struct bytes *argv, size_t argc)
{
    resp_array(b, argc);
    for (size_t i = 0; i < argc; i++) {
        resp_bulk(b, argv[i]);
    }
}
