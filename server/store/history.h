/* The latest changes of the key space, in order: what change feeds read.
 *
 * Every change has an id, (revision, seq): the changes of one request share
 * its revision and are counted from 0 within it. Revisions have no gaps, so
 * neither have ids: after (r, s) comes (r, s + 1) or (r + 1, 0).
 *
 * Kept are the newest ones, at most so many and in about so much memory; the
 * oldest go. Everything after history_floor() is kept, nothing before. The
 * bounds may differ between nodes: no state that nodes compare depends on
 * what is kept.
 *
 * Changes are copied into chunks that are only appended to, so a worker may
 * read a frozen history while the loop thread goes on. Everything else is
 * for one thread. */
#ifndef HF_STORE_HISTORY_H
#define HF_STORE_HISTORY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

enum {
    HISTORY_CHUNK = 64 << 10,     /* bytes of changes in an ordinary chunk */
    HISTORY_CHUNK_CHANGES = 1024, /* changes of one chunk, at most */
    HISTORY_HEAD = 37,            /* bytes of a change beside its strings */
    HISTORY_COUNT_DEFAULT = 1000000,
    HISTORY_BYTES_DEFAULT = 64 << 20,
};

struct history_id {
    uint64_t rev;
    uint32_t seq;
};

static inline int history_cmp(struct history_id a, struct history_id b)
{
    if (a.rev != b.rev) {
        return a.rev < b.rev ? -1 : 1;
    }
    return a.seq < b.seq ? -1 : a.seq > b.seq;
}

/* Strings are borrowed until the history changes (frozen: until its
 * release). */
struct change {
    struct history_id id;
    uint8_t kind; /* enum store_event */
    uint64_t time_ms;
    uint64_t deadline; /* as it is now; 0: none */
    struct bytes key;
    struct bytes value; /* of a SET */
};

struct history;

struct history *history_new(void); /* with the default bounds */
void history_free(struct history *h);
/* About @budget chunks; call until true, then @h is gone. */
bool history_free_sliced(struct history *h, size_t budget);
/* At most @count changes in at most @bytes of memory, now and from now on. 0
 * of either: nothing is kept. */
void history_limits(struct history *h, uint64_t count, uint64_t bytes);

/* Of @c everything but the seq counts: it is given here. Revisions never go
 * back. */
void history_add(struct history *h, const struct change *c);
/* Empty, after revision @rev: what a state without a history has. */
void history_reset(struct history *h, uint64_t rev);

uint64_t history_count(const struct history *h);
size_t history_chunks(const struct history *h);
size_t history_bytes(const struct history *h); /* memory */
/* That of dropped changes which a frozen history still sees. */
size_t history_bytes_held(const struct history *h);
/* All that were ever added, as far as known. */
uint64_t history_added(const struct history *h);
/* The id of the newest change, kept or not. */
struct history_id history_last(const struct history *h);
/* The newest id that is not kept (any more). */
struct history_id history_floor(const struct history *h);

/* Any change of the history ends the iteration. */
struct history_iter {
    const struct history *h;
    size_t chunk;
    uint32_t slot;
};
/* The first change after @id, or the last one before it; false: none. */
bool history_after(const struct history *h,
                   struct history_iter *it,
                   struct history_id id,
                   struct change *out);
bool history_before(const struct history *h,
                    struct history_iter *it,
                    struct history_id id,
                    struct change *out);
bool history_next(struct history_iter *it, struct change *out);
bool history_prev(struct history_iter *it, struct change *out);

/* ---- snapshots ---- */

struct history_frozen;

/* One reference for each chunk. Loop thread; so is the release, which comes
 * before @h goes. */
struct history_frozen *history_freeze(struct history *h);
void history_freeze_release(struct history_frozen *f);
/* The record at the start of a stream's history, then those of the changes:
 * append the next one's bytes (docs/FORMATS.md); false when all were given.
 * One worker. */
void history_frozen_head(const struct history_frozen *f, struct buf *out);
bool history_frozen_next(struct history_frozen *f, struct bytes *out);
/* Take one of those records, in order, into a history that was reset. False:
 * it makes no sense there; nothing changed. */
bool history_load(struct history *h, struct bytes record);

#endif
