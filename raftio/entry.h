/* One entry of the replicated log in memory. */
#ifndef HF_RAFTIO_ENTRY_H
#define HF_RAFTIO_ENTRY_H

#include <stdint.h>

#include "base/bytes.h"

/* Values equal the engine's RAFT_COMMAND, RAFT_BARRIER, RAFT_CHANGE, and are
 * stored on disk: never renumber. */
enum entry_type { ENTRY_COMMAND = 1, ENTRY_BARRIER = 2, ENTRY_CHANGE = 3 };

struct entry {
    uint64_t term;
    uint8_t type;
    struct bytes data; /* inside @blob; empty allowed, @blob then NULL too */
    struct blob *blob; /* one reference held; several entries may share it */
};

/* Take or drop the entry's reference. Loop thread only. */
static inline void entry_ref(const struct entry *e)
{
    blob_ref(e->blob);
}
static inline void entry_unref(struct entry *e)
{
    blob_unref(e->blob);
    e->blob = NULL;
    e->data = bytes_of(NULL, 0);
}

#endif
