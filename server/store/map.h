/* Ordered map, copy on write: any bytes as key and value.
 *
 * Keys are in the order of bytes_cmp(). Three indexes share the items:
 *   - a B+tree in key order, the one that can be frozen;
 *   - a hash index over the live items, for GET and SCAN;
 *   - a B+tree of (deadline, key) over the live items that have a deadline.
 *
 * Frozen roots. map_freeze() is O(1). Nodes and items that a frozen root can
 * see are neither changed nor freed until map_release() and the map_free_step()
 * calls after it, so one worker thread may iterate a root while the loop
 * thread changes the map. Everything else is loop thread only.
 *
 * Deterministic: the contents and their order, scan cursors and results
 * depend only on the calls made, never on addresses or a seed.
 *
 * Sizes: keys at most LIM_KEY bytes, values at most LIM_REQUEST_TOP; the
 * caller has checked (asserted here). */
#ifndef HF_STORE_MAP_H
#define HF_STORE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

/* One key with its value, immutable once in the map (but for @next, which
 * belongs to the loop thread). Read it through the functions below. */
struct item {
    struct item *next;   /* of the same hash bucket; loop thread only */
    uint64_t create_rev; /* revision that created the key */
    uint64_t mod_rev;    /* revision that changed it last */
    uint32_t value_n;
    uint32_t key_n; /* top bit: a deadline follows the header */
    uint8_t data[]; /* [u64 deadline in host order] key value */
};

enum { ITEM_HAS_DEADLINE_BIT = 31 };

static inline size_t item_prefix_n(const struct item *it)
{
    return (it->key_n >> ITEM_HAS_DEADLINE_BIT) != 0 ? 8 : 0;
}

static inline struct bytes item_key(const struct item *it)
{
    return bytes_of(it->data + item_prefix_n(it),
                    it->key_n & ~(1U << ITEM_HAS_DEADLINE_BIT));
}

static inline struct bytes item_value(const struct item *it)
{
    struct bytes key = item_key(it);

    return bytes_of(key.p + key.n, it->value_n);
}

/* Milliseconds of cluster time; 0: the key has no deadline. */
static inline uint64_t item_deadline(const struct item *it)
{
    uint64_t d = 0;

    if (item_prefix_n(it) != 0) {
        memcpy(&d, it->data, sizeof d);
    }
    return d;
}

struct map;
struct map_node;
struct map_root; /* a frozen root */

enum { MAP_ROOTS_MAX = 4, MAP_DEPTH_MAX = 16 };

struct map *map_new(void);
/* Free everything at once. No root may be frozen (assert). */
void map_free(struct map *m);
/* The same in slices: call until it is true; then @m is gone. After the first
 * call nothing else may be done with @m. */
bool map_free_sliced(struct map *m, size_t budget);

/* NULL when absent. The item is valid until the next change of the map. */
const struct item *map_get(const struct map *m, struct bytes key);
/* Begin to bring into the processor's cache what map_get() of @key reads:
 * stage 0, then, after as much for some other keys, 1, then 2. Changes
 * nothing. */
void map_warm(const struct map *m, struct bytes key, unsigned stage);

/* Store @value under @key, replacing what was there. @deadline 0: none.
 * @mod_rev must be above every mod_rev that was put before the newest frozen
 * root was made (asserted): that is how the map knows what a root can see.
 * @key and @value are copied; they may lie in the item that is replaced. */
const struct item *map_put(struct map *m,
                           struct bytes key,
                           struct bytes value,
                           uint64_t create_rev,
                           uint64_t mod_rev,
                           uint64_t deadline);

/* The same, when @old is what map_get() of @key gave just now (or NULL): it is
 * not looked for again. */
const struct item *map_put_over(struct map *m,
                                const struct item *old,
                                struct bytes key,
                                struct bytes value,
                                uint64_t create_rev,
                                uint64_t mod_rev,
                                uint64_t deadline);

/* False when there was none. @key may lie in the item itself. */
bool map_delete(struct map *m, struct bytes key);

/* Remove everything in O(1); memory goes by map_free_step(). */
void map_clear(struct map *m);

uint64_t map_count(const struct map *m);

/* Bytes of live items and indexes. */
size_t map_bytes(const struct map *m);
/* Bytes that only frozen roots, or garbage not yet freed, still hold. */
size_t map_bytes_held(const struct map *m);

/* ---- deadlines ---- */

/* How many keys have a deadline at or before @time; O(log n). */
uint64_t map_due(const struct map *m, uint64_t time);
uint64_t map_with_deadline(const struct map *m);
/* The mean of all deadlines; 0: no key has one. O(1). */
uint64_t map_deadline_mean(const struct map *m);
/* The item with the smallest (deadline, key); NULL when none has one. */
const struct item *map_first_deadline(const struct map *m);
/* The smallest deadline after @time, 0 when there is none; O(log n). */
uint64_t map_deadline_after(const struct map *m, uint64_t time);

/* ---- frozen roots ---- */

/* O(1). At most MAP_ROOTS_MAX at a time (assert). */
struct map_root *map_freeze(struct map *m);
/* Loop thread; nobody may read @r any more. O(1): garbage goes by
 * map_free_step(). */
void map_release(struct map *m, struct map_root *r);
/* Free @budget pieces of garbage: an item, a node, or a leaf with the up to
 * 63 items in it. True when more is left. */
bool map_free_step(struct map *m, size_t budget);
unsigned map_roots(const struct map *m);

/* ---- iteration in key order ---- */

struct map_iter {
    const struct map_node *node[MAP_DEPTH_MAX];
    uint16_t at[MAP_DEPTH_MAX];
    unsigned depth; /* 0: at the end */
};

/* What to iterate: a frozen root (any one thread) or the live map (loop
 * thread, valid until the next change). */
const struct map_node *map_root_node(const struct map_root *r);
uint64_t map_root_count(const struct map_root *r);
const struct map_node *map_live_node(const struct map *m);

/* First item, last item, first at or after @key, last at or before @key. */
const struct item *map_iter_first(struct map_iter *it,
                                  const struct map_node *root);
const struct item *map_iter_last(struct map_iter *it,
                                 const struct map_node *root);
const struct item *map_iter_ge(struct map_iter *it,
                               const struct map_node *root,
                               struct bytes key);
const struct item *map_iter_le(struct map_iter *it,
                               const struct map_node *root,
                               struct bytes key);
/* NULL at the end; from then on always NULL. */
const struct item *map_iter_next(struct map_iter *it);
const struct item *map_iter_prev(struct map_iter *it);

/* ---- scan in hash order ---- */

/* 64-bit hash that every node and version shares: scan cursors are made of
 * it. No seed, so not proof against keys chosen to collide: such keys make
 * their own bucket slow, nothing more. */
uint64_t map_hash(struct bytes key);

enum { MAP_CURSOR_BITS = 53 };

typedef void (*map_scan_fn)(void *ctx, const struct item *it);

/* Give @fn at least @want items (fewer only at the end) in hash order, from
 * position @cursor on; returns the position to go on from, 0 at the end.
 * Positions are the top MAP_CURSOR_BITS of the hash, so that cursors stay
 * valid while the index grows or shrinks, over restarts and between nodes: a
 * key that is there during the whole scan is given exactly once. The result
 * is a function of the contents. @fn must not change the map. A @cursor of
 * 2^53 or more gives nothing and 0. */
uint64_t map_scan(const struct map *m,
                  uint64_t cursor,
                  uint64_t want,
                  map_scan_fn fn,
                  void *ctx);

/* ---- building from sorted input (any one thread, a map of its own) ---- */

/* @m must be new. @expected sizes the hash index (a hint, capped). */
void map_build_begin(struct map *m, uint64_t expected);
/* False, and nothing is done, when @key is not after the one before it. */
bool map_build_add(struct map *m,
                   struct bytes key,
                   struct bytes value,
                   uint64_t create_rev,
                   uint64_t mod_rev,
                   uint64_t deadline);
void map_build_end(struct map *m);

/* Assert every invariant of the map (tests; walks everything). */
void map_check(const struct map *m);

#endif
