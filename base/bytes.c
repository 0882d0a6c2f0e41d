#include "base/bytes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"

int bytes_cmp(struct bytes a, struct bytes b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int rv = n == 0 ? 0 : memcmp(a.p, b.p, n);

    if (rv != 0) {
        return rv;
    }
    return a.n < b.n ? -1 : (a.n > b.n ? 1 : 0);
}

static int lower(int c)
{
    return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
}

bool bytes_ieq(struct bytes a, const char *lit)
{
    size_t n = strlen(lit);

    if (a.n != n) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (lower(a.p[i]) != lower((unsigned char)lit[i])) {
            return false;
        }
    }
    return true;
}

static void *must(void *p, size_t n)
{
    if (p == NULL && n != 0) {
        fprintf(stderr, "holdfast: out of memory (%zu bytes)\n", n);
        abort();
    }
    return p;
}

void *hf_malloc(size_t n)
{
    return must(malloc(n), n);
}

void *hf_calloc(size_t count, size_t size)
{
    return must(calloc(count, size), count * size);
}

void *hf_realloc(void *p, size_t n)
{
    return must(realloc(p, n), n);
}

char *hf_strdup(const char *s)
{
    size_t n = strlen(s) + 1;

    return memcpy(hf_malloc(n), s, n);
}

void buf_init(struct buf *b)
{
    memset(b, 0, sizeof *b);
}

void buf_release(struct buf *b)
{
    free(b->p);
    buf_init(b);
}

void buf_reserve(struct buf *b, size_t n)
{
    size_t want;

    hf_assert(n <= SIZE_MAX / 4 && b->n <= SIZE_MAX / 4);
    if (b->cap - b->n >= n && b->p != NULL) {
        return;
    }
    want = b->cap < 64 ? 64 : b->cap * 2;
    if (want < b->n + n) {
        want = b->n + n;
    }
    b->p = hf_realloc(b->p, want);
    b->cap = want;
}

void buf_append(struct buf *b, const void *p, size_t n)
{
    if (n == 0) {
        return;
    }
    buf_reserve(b, n);
    memcpy(b->p + b->n, p, n);
    b->n += n;
}

void buf_consume(struct buf *b, size_t n)
{
    hf_assert(n <= b->n);
    if (n == 0) {
        return;
    }
    memmove(b->p, b->p + n, b->n - n);
    b->n -= n;
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    hf_assert(n >= 0);
    buf_reserve(b, (size_t)n + 1);
    va_start(ap, fmt);
    vsnprintf((char *)b->p + b->n, (size_t)n + 1, fmt, ap);
    va_end(ap);
    b->n += (size_t)n;
}

void buf_u8(struct buf *b, uint8_t v)
{
    buf_append(b, &v, 1);
}

void buf_u16(struct buf *b, uint16_t v)
{
    uint8_t t[2];

    put_u16(t, v);
    buf_append(b, t, sizeof t);
}

void buf_u32(struct buf *b, uint32_t v)
{
    uint8_t t[4];

    put_u32(t, v);
    buf_append(b, t, sizeof t);
}

void buf_u64(struct buf *b, uint64_t v)
{
    uint8_t t[8];

    put_u64(t, v);
    buf_append(b, t, sizeof t);
}

void buf_lbytes(struct buf *b, struct bytes s)
{
    hf_assert(s.n <= UINT32_MAX);
    buf_u32(b, (uint32_t)s.n);
    buf_append(b, s.p, s.n);
}

struct blob *blob_new(size_t n)
{
    struct blob *b = hf_malloc(sizeof *b + n);

    b->refs = 1;
    b->n = n;
    return b;
}

struct blob *blob_copy(const void *p, size_t n)
{
    struct blob *b = blob_new(n);

    if (n != 0) {
        memcpy(b->d, p, n);
    }
    return b;
}

struct blob *blob_ref(struct blob *b)
{
    if (b != NULL) {
        hf_assert(b->refs > 0 && b->refs < UINT32_MAX);
        b->refs++;
    }
    return b;
}

void blob_unref(struct blob *b)
{
    if (b == NULL) {
        return;
    }
    hf_assert(b->refs > 0);
    if (--b->refs == 0) {
        free(b);
    }
}

struct bytes rd_bytes(struct reader *r, size_t n)
{
    struct bytes b = {NULL, 0};

    if (r->bad || n > r->n) {
        r->bad = true;
        return b;
    }
    b = bytes_of(r->p, n);
    r->p += n;
    r->n -= n;
    return b;
}

uint8_t rd_u8(struct reader *r)
{
    struct bytes b = rd_bytes(r, 1);

    return b.n == 1 ? b.p[0] : 0;
}

uint16_t rd_u16(struct reader *r)
{
    struct bytes b = rd_bytes(r, 2);

    return b.n == 2 ? get_u16(b.p) : 0;
}

uint32_t rd_u32(struct reader *r)
{
    struct bytes b = rd_bytes(r, 4);

    return b.n == 4 ? get_u32(b.p) : 0;
}

uint64_t rd_u64(struct reader *r)
{
    struct bytes b = rd_bytes(r, 8);

    return b.n == 8 ? get_u64(b.p) : 0;
}

struct bytes rd_lbytes(struct reader *r)
{
    return rd_bytes(r, rd_u32(r));
}

size_t utf8_len(const uint8_t *p, size_t n)
{
    uint32_t v = p[0];
    size_t len = v < 0x80 ? 1 : v < 0xC2 ? 0 : v < 0xE0 ? 2 : v < 0xF0 ? 3 : 4;

    if (v > 0xF4 || len == 0 || len > n) {
        return 0;
    }
    v &= len == 1 ? 0x7Fu : 0x7Fu >> len;
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xC0) != 0x80) {
            return 0;
        }
        v = v << 6 | (p[i] & 0x3Fu);
    }
    if ((len == 3 && (v < 0x800 || (v >= 0xD800 && v < 0xE000))) ||
        (len == 4 && (v < 0x10000 || v > 0x10FFFF))) {
        return 0;
    }
    return len;
}
