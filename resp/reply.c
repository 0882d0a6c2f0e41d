/* The reply writer: canonical replies into a struct buf. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/mutant.h"
#include "resp/resp.h"
#include "resp/resp_int.h"

enum { ERROR_TEXT_MAX = 512 };

/* snprintf() is too slow for a line that every reply has. */
void resp_header(struct buf *b, char type, int64_t v)
{
    uint8_t t[RESP_HEADER_MAX];
    size_t i = sizeof(t);
    uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;

    t[--i] = '\n';
    t[--i] = '\r';
    do {
        t[--i] = (uint8_t)('0' + u % 10);
        u /= 10;
    } while (u > 0);
    if (v < 0) {
        t[--i] = '-';
    }
    t[--i] = (uint8_t)type;
    buf_append(b, t + i, sizeof(t) - i);
}

static void put_line(struct buf *b, char type, const char *text)
{
    size_t n = strcspn(text, "\r\n");

    if (mutant(RESP_ERROR_UNCUT)) {
        n = strlen(text);
    }
    buf_reserve(b, n + 3);
    buf_u8(b, (uint8_t)type);
    buf_append(b, text, n);
    buf_append(b, "\r\n", 2);
}

static void put_count(struct buf *b, char type, size_t n)
{
    hf_assert(n <= INT64_MAX);
    resp_header(b, type, (int64_t)n);
}

void resp_ok(struct buf *b)
{
    buf_append(b, "+OK\r\n", 5);
}

void resp_simple(struct buf *b, const char *text)
{
    put_line(b, '+', text);
}

void resp_error(struct buf *b, const char *text)
{
    put_line(b, '-', text);
}

void resp_errorf(struct buf *b, const char *fmt, ...)
{
    char text[ERROR_TEXT_MAX];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    resp_error(b, text);
}

void resp_int(struct buf *b, int64_t v)
{
    resp_header(b, ':', v);
}

void resp_bulk(struct buf *b, struct bytes s)
{
    buf_reserve(b, s.n + RESP_HEADER_MAX);
    put_count(b, '$', s.n);
    buf_bytes_append(b, s);
    buf_append(b, "\r\n", 2);
}

void resp_bulk_str(struct buf *b, const char *s)
{
    resp_bulk(b, bytes_str(s));
}

void resp_null(struct buf *b)
{
    buf_append(b, "_\r\n", 3);
}

void resp_null_array(struct buf *b)
{
    buf_append(b, "*-1\r\n", 5);
}

void resp_array(struct buf *b, size_t n)
{
    put_count(b, '*', n);
}

void resp_map(struct buf *b, size_t n)
{
    put_count(b, '%', n);
}

void resp_set(struct buf *b, size_t n)
{
    put_count(b, '~', n);
}

void resp_pairs(struct buf *b, size_t n)
{
    put_count(b, '&', n);
}

void resp_pair(struct buf *b)
{
    buf_append(b, "^\r\n", 3);
}

void resp_push(struct buf *b, size_t n)
{
    put_count(b, '>', n);
}

void resp_double(struct buf *b, double v)
{
    if (isnan(v)) {
        buf_append(b, ",nan\r\n", 6);
    } else if (isinf(v)) {
        buf_printf(b, ",%sinf\r\n", v < 0 ? "-" : "");
    } else {
        buf_printf(b, ",%.17g\r\n", v);
    }
}

void resp_bool(struct buf *b, bool v)
{
    buf_append(b, v ? "#t\r\n" : "#f\r\n", 4);
}

void resp_verbatim(struct buf *b, struct bytes text)
{
    put_count(b, '=', text.n + 4);
    buf_append(b, "txt:", 4);
    buf_bytes_append(b, text);
    buf_append(b, "\r\n", 2);
}
