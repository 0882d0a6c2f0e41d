/* The tail of the log in memory: terms and types of every entry after the
 * snapshot, and the payloads of the newest ones.
 *
 * Payloads go oldest first, only below a bound that the owner names; an entry
 * without payload keeps data.n and has data.p == NULL. */
#ifndef HF_RAFTIO_ENTRY_CACHE_H
#define HF_RAFTIO_ENTRY_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "raftio/entry.h"

struct entry_cache {
    uint64_t first; /* index of the oldest entry; never 0 */
    size_t n;
    struct entry *e; /* ring */
    size_t head;
    size_t cap;
    uint64_t evicted; /* payloads up to here are gone */
    uint64_t bytes;   /* of the payloads present */
};

void entry_cache_init(struct entry_cache *c, uint64_t first);
void entry_cache_release(struct entry_cache *c);

uint64_t entry_cache_last(const struct entry_cache *c); /* first - 1: empty */
/* NULL outside; valid until the cache changes. */
const struct entry *entry_cache_get(const struct entry_cache *c,
                                    uint64_t index);
bool entry_cache_has_payload(const struct entry_cache *c, uint64_t index);

void entry_cache_push(struct entry_cache *c, const struct entry *e);
void entry_cache_truncate(struct entry_cache *c, uint64_t from); /* >= from */
void entry_cache_trim(struct entry_cache *c, uint64_t upto);     /* <= upto */
void entry_cache_reset(struct entry_cache *c, uint64_t first);   /* all */
/* Drop payloads up to @upto, oldest first, while more than @max are held. */
void entry_cache_evict(struct entry_cache *c, uint64_t upto, uint64_t max);

#endif
