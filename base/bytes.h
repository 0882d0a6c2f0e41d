/* Byte ranges, growing buffers, shared blobs, little-endian integers.
 *
 * struct bytes   borrowed range, never owns.
 * struct buf     growing buffer that owns its memory.
 * struct blob    reference-counted immutable bytes; loop thread only, unless
 *                said otherwise where a pointer is lent to a worker.
 * struct reader  bounds-checked cursor over foreign bytes: after the first
 *                read past the end every further read gives zeros and
 *                reader_ok() is false; check it once at the end. */
#ifndef HF_BASE_BYTES_H
#define HF_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct bytes {
    const uint8_t *p;
    size_t n;
};

static inline struct bytes bytes_of(const void *p, size_t n)
{
    struct bytes b = {(const uint8_t *)p, n};
    return b;
}

static inline struct bytes bytes_str(const char *s)
{
    return bytes_of(s, strlen(s));
}

static inline bool bytes_eq(struct bytes a, struct bytes b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* Order of unsigned bytes, shorter first on a common prefix: the order of
 * keys everywhere. <0, 0, >0. */
int bytes_cmp(struct bytes a, struct bytes b);

/* Case-insensitive (ASCII) comparison with a literal. */
bool bytes_ieq(struct bytes a, const char *lit);

/* Memory allocation that never returns NULL: running out of memory is met
 * earlier, by the memory limit; beyond it the process stops. */
void *hf_malloc(size_t n);
void *hf_calloc(size_t count, size_t size);
void *hf_realloc(void *p, size_t n);
char *hf_strdup(const char *s);

/* ---- growing buffer ---- */
struct buf {
    uint8_t *p;
    size_t n;   /* bytes used */
    size_t cap; /* bytes allocated */
};

#define BUF_INIT   \
    {              \
        NULL, 0, 0 \
    }

void buf_init(struct buf *b);
void buf_release(struct buf *b);           /* frees; @b is empty again */
void buf_reserve(struct buf *b, size_t n); /* room for @n more bytes */
void buf_append(struct buf *b, const void *p, size_t n);
void buf_consume(struct buf *b, size_t n); /* drop @n bytes at the front */
void buf_printf(struct buf *b, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static inline void buf_clear(struct buf *b)
{
    b->n = 0;
}
static inline struct bytes buf_bytes(const struct buf *b)
{
    return bytes_of(b->p, b->n);
}
static inline void buf_bytes_append(struct buf *b, struct bytes s)
{
    buf_append(b, s.p, s.n);
}
void buf_u8(struct buf *b, uint8_t v);
void buf_u16(struct buf *b, uint16_t v); /* little-endian, as all below */
void buf_u32(struct buf *b, uint32_t v);
void buf_u64(struct buf *b, uint64_t v);
/* u32 length, then the bytes: read back with rd_lbytes(). */
void buf_lbytes(struct buf *b, struct bytes s);

/* ---- shared immutable bytes ---- */
struct blob {
    uint32_t refs;
    size_t n;
    uint8_t d[];
};

struct blob *blob_new(size_t n);                 /* uninitialised, 1 ref */
struct blob *blob_copy(const void *p, size_t n); /* 1 ref */
struct blob *blob_ref(struct blob *b);           /* NULL is allowed */
void blob_unref(struct blob *b);                 /* NULL is allowed */
static inline struct bytes blob_bytes(const struct blob *b)
{
    return bytes_of(b->d, b->n);
}

/* ---- fixed-place integers, little-endian ---- */
static inline void put_u16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}
static inline void put_u32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++) {
        p[i] = (uint8_t)(v >> (8 * i));
    }
}
static inline void put_u64(uint8_t *p, uint64_t v)
{
    for (int i = 0; i < 8; i++) {
        p[i] = (uint8_t)(v >> (8 * i));
    }
}
static inline uint16_t get_u16(const uint8_t *p)
{
    return (uint16_t)(p[0] | (uint16_t)(p[1] << 8));
}
static inline uint32_t get_u32(const uint8_t *p)
{
    uint32_t v = 0;
    for (int i = 0; i < 4; i++) {
        v |= (uint32_t)p[i] << (8 * i);
    }
    return v;
}
static inline uint64_t get_u64(const uint8_t *p)
{
    uint64_t v = 0;
    for (int i = 0; i < 8; i++) {
        v |= (uint64_t)p[i] << (8 * i);
    }
    return v;
}

/* Bytes of the UTF-8 character (RFC 3629) at @p, 1 to 4; 0: it is none, or
 * @n bytes do not hold all of it. @n is at least 1. */
size_t utf8_len(const uint8_t *p, size_t n);

/* ---- bounds-checked reader ---- */
struct reader {
    const uint8_t *p;
    size_t n; /* bytes left */
    bool bad;
};

static inline struct reader reader_of(struct bytes b)
{
    struct reader r = {b.p, b.n, false};
    return r;
}
/* True when nothing was read past the end. */
static inline bool reader_ok(const struct reader *r)
{
    return !r->bad;
}
/* True when all was well and every byte was used. */
static inline bool reader_done(const struct reader *r)
{
    return !r->bad && r->n == 0;
}
uint8_t rd_u8(struct reader *r);
uint16_t rd_u16(struct reader *r);
uint32_t rd_u32(struct reader *r);
uint64_t rd_u64(struct reader *r);
struct bytes rd_bytes(struct reader *r, size_t n); /* borrowed */
struct bytes rd_lbytes(struct reader *r);          /* u32 length first */

#endif
