/* The key space with time, expiry and revisions. Deterministic; no clock.
 *
 * Time is what store_advance() was last told (cluster time, Unix ms; never
 * goes back). A key whose deadline is not after it is absent to every
 * function here, the count included, whether or not it was removed yet.
 *
 * Revisions. A request runs between store_begin() and store_end(); all its
 * changes share one revision, the next one, taken at the first change. A
 * request that changes nothing takes none. Each key keeps the revision that
 * created it and the one that changed it last. Every key that expiry removes
 * takes a revision of its own. There is no rollback: conditions come first.
 *
 * Loop thread only, apart from a frozen root (map.h). */
#ifndef HF_STORE_STORE_H
#define HF_STORE_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "server/store/history.h"
#include "server/store/map.h"

enum store_event {
    STORE_SET = 1,      /* value stored (created or replaced) */
    STORE_DEADLINE = 2, /* only the deadline changed */
    STORE_DELETE = 3,
    STORE_EXPIRE = 4, /* removed because its deadline passed */
    STORE_CLEAR = 5,  /* every key at once; no key is named */
};

struct store;

struct store *store_new(void);
void store_free(struct store *s);
/* Slices: call until true; then @s is gone (map_free_sliced). */
bool store_free_sliced(struct store *s, size_t budget);

/* Told of each change, after it, in order. Replaces the one before; NULL
 * ends it. @item is NULL where the key is gone; @key is borrowed. */
typedef void (*store_event_fn)(void *ctx,
                               enum store_event kind,
                               struct bytes key,
                               const struct item *item,
                               uint64_t revision);
void store_on_event(struct store *s, store_event_fn fn, void *ctx);

/* ---- reading ---- */

/* NULL when absent. Valid until the next change of the store. */
const struct item *store_get(const struct store *s, struct bytes key);
/* What WATCH compares: the key's last revision, 0 when absent. */
uint64_t store_revision_of(const struct store *s, struct bytes key);
uint64_t store_count(const struct store *s);
/* Keys present that have a deadline. */
uint64_t store_count_volatile(const struct store *s);
uint64_t store_time(const struct store *s);
/* The latest revision given out. */
uint64_t store_revision(const struct store *s);
/* Earliest deadline after the applied time and after @logged_ms, 0 when none:
 * once the clock has passed it a time entry is due before a read. */
uint64_t store_next_deadline(const struct store *s, uint64_t logged_ms);
/* Keys that are absent by their deadline and wait for removal. */
uint64_t store_expired_waiting(const struct store *s);
/* A running checksum over all changes in order: equal histories, equal sums. */
uint64_t store_sum(const struct store *s);
size_t store_bytes(const struct store *s);      /* live */
size_t store_bytes_held(const struct store *s); /* roots and garbage */

/* Milliseconds since @it was written last, as far as this node saw it: less by
 * up to 1/256 of it or a second, and never more than since this node began
 * to apply. Differs between nodes, so no change may depend on it. */
uint64_t store_idle_ms(const struct store *s,
                       const struct item *it,
                       uint64_t now_ms);

/* Ordered range. Any change of the store ends the iteration. */
struct store_iter {
    const struct store *s;
    struct map_iter it;
    bool reverse;
};
/* First item at or after @from (reverse: last one at or before it). With
 * @from NULL: from the end of the key space that the direction starts at. */
const struct item *store_iter_seek(const struct store *s,
                                   struct store_iter *it,
                                   const struct bytes *from,
                                   bool reverse);
const struct item *store_iter_next(struct store_iter *it);

/* SCAN: about @want items in hash order (map_scan()); those that are absent
 * by their deadline are counted but not given. Returns the next cursor, 0 at
 * the end. */
uint64_t store_scan(const struct store *s,
                    uint64_t cursor,
                    uint64_t want,
                    map_scan_fn fn,
                    void *ctx);

/* ---- changing: only between store_begin() and store_end() ---- */

void store_begin(struct store *s);
/* The revision of this request's changes, 0 when it changed nothing. */
uint64_t store_end(struct store *s);

/* @deadline 0: none (an earlier one is dropped). A deadline not after the
 * applied time is allowed: the key is then absent at once and is removed by
 * the next store_expire(). @key, @value may lie in the item replaced. */
void store_put(struct store *s,
               struct bytes key,
               struct bytes value,
               uint64_t deadline);
/* False when absent. */
bool store_delete(struct store *s, struct bytes key);
/* Change the deadline (0: none) and nothing else. False when absent. Setting
 * the one that it has is no change (and true). */
bool store_set_deadline(struct store *s, struct bytes key, uint64_t deadline);
/* Remove all; how many keys were present. None: no change, no revision. */
uint64_t store_clear(struct store *s);

/* ---- time, between requests ---- */

/* Raise the applied time to @time_ms; an earlier one does nothing. */
void store_advance(struct store *s, uint64_t time_ms);
/* Remove expired keys in (deadline, key) order, at most @max; how many. */
uint64_t store_expire(struct store *s, uint64_t max);

/* ---- snapshots ---- */

/* The map underneath: freeze, release, free_step (map.h). */
struct map *store_map(struct store *s);
/* The latest changes: bounds, reading (history.h). */
struct history *store_history(struct store *s);
/* While loading: set what the map does not hold. The history is empty then. */
void store_restore(struct store *s,
                   uint64_t time_ms,
                   uint64_t revision,
                   uint64_t sum);

#endif
