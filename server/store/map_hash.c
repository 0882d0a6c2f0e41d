/* The hash index: a directory of segments, each the items whose hashes share
 * their first bits. One segment splits or merges at a time, some hundred
 * items: there is no pause for a rehash, and buckets are always in hash
 * order, which is what stateless scan cursors need. */
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "server/store/map_int.h"

static uint64_t mum(uint64_t a, uint64_t b)
{
    unsigned __int128 r = (unsigned __int128)a * b;

    return (uint64_t)r ^ (uint64_t)(r >> 64);
}

static uint64_t load64(const uint8_t *p, size_t n)
{
    uint64_t v = 0;

    memcpy(&v, p, n);
    return le64toh(v);
}

/* Multiply and fold, 16 bytes a step; the constants are SplitMix64's and two
 * random odd numbers. Part of the wire format of SCAN cursors. */
uint64_t map_hash(struct bytes key)
{
    const uint64_t c0 = 0x9E3779B97F4A7C15ULL;
    const uint64_t c1 = 0xD6E8FEB86659FD93ULL;
    const uint64_t c2 = 0xA0761D6478BD642FULL;
    uint64_t h = (uint64_t)key.n ^ c2;
    const uint8_t *p = key.p;
    size_t n = key.n;

    while (n > 16) {
        h = mum(load64(p, 8) ^ c0, load64(p + 8, 8) ^ h);
        p += 16;
        n -= 16;
    }
    if (n > 8) {
        h = mum(load64(p, 8) ^ c0, load64(p + 8, n - 8) ^ h);
    } else if (n > 0) {
        h = mum(load64(p, n) ^ c0, h);
    }
    return mum(h ^ c1, c0);
}

static size_t dir_index(unsigned depth, uint64_t h)
{
    return depth == 0 ? 0 : (size_t)(h >> (64 - depth));
}

static size_t bucket_index(const struct seg *s, uint64_t h)
{
    return (size_t)((h << s->depth) >> (64 - SEG_BITS));
}

static struct seg *seg_new(struct map *m, unsigned depth)
{
    struct seg *s = hf_calloc(1, sizeof *s);

    s->depth = depth;
    map_account(m, sizeof *s);
    return s;
}

static void seg_push(struct seg *s, struct item *it, uint64_t h)
{
    struct item **b = &s->bucket[bucket_index(s, h)];

    it->next = *b;
    *b = it;
    s->n++;
}

void hash_init(struct map *m, unsigned depth)
{
    size_t n = (size_t)1 << depth;

    m->hash.depth = depth;
    m->hash.dir = hf_calloc(n, sizeof m->hash.dir[0]);
    for (size_t i = 0; i < n; i++) {
        m->hash.dir[i] = seg_new(m, depth);
    }
}

struct item **hash_slot(const struct hash *h, struct bytes key)
{
    uint64_t v = map_hash(key);
    struct seg *s = h->dir[dir_index(h->depth, v)];
    struct item **p = &s->bucket[bucket_index(s, v)];

    while (*p != NULL && !bytes_eq(item_key(*p), key)) {
        p = &(*p)->next;
    }
    return *p == NULL ? NULL : p;
}

/* The segment's head and the bucket are apart in memory, and the head says
 * where the bucket is: hence a stage for each. */
void hash_warm(const struct hash *h, struct bytes key, unsigned stage)
{
    uint64_t v = map_hash(key);
    const struct seg *s = h->dir[dir_index(h->depth, v)];

    if (stage == 0) {
        __builtin_prefetch(s);
    } else if (stage == 1) {
        __builtin_prefetch(&s->bucket[bucket_index(s, v)]);
    } else {
        __builtin_prefetch(s->bucket[bucket_index(s, v)]);
    }
}

/* Unhook every item of @s into one chain. */
static struct item *seg_take(struct seg *s)
{
    struct item *all = NULL;

    for (unsigned i = 0; i < SEG_SIZE; i++) {
        struct item *it = s->bucket[i];

        while (it != NULL) {
            struct item *next = it->next;

            it->next = all;
            all = it;
            it = next;
        }
        s->bucket[i] = NULL;
    }
    s->n = 0;
    return all;
}

/* Point the directory's entries for all hashes that begin like @h in the
 * first @depth bits to @s. */
static void dir_set(struct hash *h, uint64_t v, unsigned depth, struct seg *s)
{
    size_t span = (size_t)1 << (h->depth - depth);
    size_t first = dir_index(depth, v) * span;

    for (size_t i = 0; i < span; i++) {
        h->dir[first + i] = s;
    }
}

static void dir_double(struct hash *h)
{
    size_t n = (size_t)1 << h->depth;
    struct seg **dir = hf_malloc(2 * n * sizeof dir[0]);

    for (size_t i = 0; i < n; i++) {
        dir[2 * i] = dir[2 * i + 1] = h->dir[i];
    }
    free(h->dir);
    h->dir = dir;
    h->depth++;
}

static void seg_split(struct map *m, struct seg *s, uint64_t v)
{
    struct hash *h = &m->hash;
    uint64_t bit = 1ULL << (63 - s->depth);
    struct seg *upper = seg_new(m, s->depth + 1);
    struct item *it = seg_take(s);

    if (s->depth == h->depth) {
        dir_double(h);
    }
    s->depth++;
    dir_set(h, v | bit, s->depth, upper);
    while (it != NULL) {
        struct item *next = it->next;
        uint64_t x = map_hash(item_key(it));

        seg_push((x & bit) != 0 ? upper : s, it, x);
        it = next;
    }
}

void hash_add(struct map *m, struct item *it, uint64_t n)
{
    struct hash *h = &m->hash;
    uint64_t v = map_hash(item_key(it));
    struct seg *s = h->dir[dir_index(h->depth, v)];

    /* A directory larger than the contents call for would only be made for
     * chosen keys: their buckets get long instead. */
    if (s->n >= SEG_SPLIT &&
        (s->depth < h->depth || (n >> 5) > (1ULL << h->depth))) {
        seg_split(m, s, v);
        s = h->dir[dir_index(h->depth, v)];
    }
    seg_push(s, it, v);
}

static void merge_buddies(struct map *m, uint64_t v)
{
    struct hash *h = &m->hash;

    for (;;) {
        struct seg *s = h->dir[dir_index(h->depth, v)];
        struct seg *other;
        struct item *it;

        if (s->depth == 0) {
            return;
        }
        other = h->dir[dir_index(h->depth, v ^ (1ULL << (64 - s->depth)))];
        if (other->depth != s->depth || s->n + other->n >= SEG_MERGE) {
            return;
        }
        it = seg_take(s);
        s->depth--;
        while (it != NULL) {
            struct item *next = it->next;

            seg_push(s, it, map_hash(item_key(it)));
            it = next;
        }
        it = seg_take(other);
        while (it != NULL) {
            struct item *next = it->next;

            seg_push(s, it, map_hash(item_key(it)));
            it = next;
        }
        dir_set(h, v, s->depth, s);
        free(other);
        m->live -= sizeof *other;
        m->total -= sizeof *other;
    }
}

void hash_remove(struct map *m, struct item *it)
{
    uint64_t v = map_hash(item_key(it));
    struct seg *s = m->hash.dir[dir_index(m->hash.depth, v)];
    struct item **p = &s->bucket[bucket_index(s, v)];

    while (*p != it) {
        hf_assert(*p != NULL);
        p = &(*p)->next;
    }
    *p = it->next;
    s->n--;
    if (s->n < SEG_MERGE) {
        merge_buddies(m, v);
    }
}

void hash_take(struct map *m, void (*fn)(void *ctx, struct seg *s), void *ctx)
{
    struct hash *h = &m->hash;
    struct seg *last = NULL;

    for (size_t i = 0; i < (size_t)1 << h->depth; i++) {
        if (h->dir[i] != last) {
            last = h->dir[i];
            fn(ctx, last);
        }
    }
    free(h->dir);
    h->dir = NULL;
    h->depth = 0;
}

/* ---- scan ---- */

enum { POS_SHIFT = 64 - MAP_CURSOR_BITS };

struct found {
    uint64_t pos;
    const struct item *it;
};

static int found_cmp(const void *pa, const void *pb)
{
    const struct found *a = pa;
    const struct found *b = pb;

    if (a->pos != b->pos) {
        return a->pos < b->pos ? -1 : 1;
    }
    return bytes_cmp(item_key(a->it), item_key(b->it));
}

/* The items of one bucket at or after @cursor, in order, into @b. */
static size_t bucket_sorted(const struct item *it,
                            uint64_t cursor,
                            struct buf *b)
{
    size_t n;

    buf_clear(b);
    for (; it != NULL; it = it->next) {
        struct found f = {map_hash(item_key(it)) >> POS_SHIFT, it};

        if (f.pos >= cursor) {
            buf_append(b, &f, sizeof f);
        }
    }
    n = b->n / sizeof(struct found);
    if (n > 1) {
        qsort(b->p, n, sizeof(struct found), found_cmp);
    }
    return n;
}

uint64_t map_scan(const struct map *m,
                  uint64_t cursor,
                  uint64_t want,
                  map_scan_fn fn,
                  void *ctx)
{
    const uint64_t end = 1ULL << MAP_CURSOR_BITS;
    struct buf sorted = BUF_INIT;
    uint64_t given = 0;
    uint64_t last = 0;

    while (cursor < end) {
        uint64_t v = cursor << POS_SHIFT;
        const struct seg *s = m->hash.dir[dir_index(m->hash.depth, v)];
        unsigned bits = s->depth + SEG_BITS;
        size_t n =
            bucket_sorted(s->bucket[bucket_index(s, v)], cursor, &sorted);
        const struct found *f = (const struct found *)(void *)sorted.p;

        for (size_t i = 0; i < n; i++) {
            if (given >= want && given > 0 && f[i].pos != last) {
                buf_release(&sorted);
                return last + 1;
            }
            fn(ctx, f[i].it);
            last = f[i].pos;
            given++;
        }
        cursor = ((cursor >> (MAP_CURSOR_BITS - bits)) + 1)
                 << (MAP_CURSOR_BITS - bits);
    }
    buf_release(&sorted);
    return 0;
}

void hash_check(const struct map *m, uint64_t n)
{
    const struct hash *h = &m->hash;
    uint64_t seen = 0;

    for (size_t i = 0; i < (size_t)1 << h->depth; i++) {
        const struct seg *s = h->dir[i];
        uint32_t in_seg = 0;

        hf_assert(s->depth <= h->depth);
        if (i > 0 && h->dir[i - 1] == s) {
            continue;
        }
        for (unsigned b = 0; b < SEG_SIZE; b++) {
            for (struct item *it = s->bucket[b]; it != NULL; it = it->next) {
                uint64_t v = map_hash(item_key(it));

                hf_assert(h->dir[dir_index(h->depth, v)] == s);
                hf_assert(bucket_index(s, v) == b);
                in_seg++;
            }
        }
        hf_assert(in_seg == s->n);
        seen += in_seg;
    }
    hf_assert(seen == n);
}
