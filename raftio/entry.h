/* One entry of the replicated log, as the log, the driver and the peers hand
 * it around.
 *
 * @data points into @blob, which is shared: a whole received message or read
 * chunk may stand behind many entries. entry_ref() before keeping a copy,
 * entry_unref() when done; loop thread only. */
#ifndef HF_RAFTIO_ENTRY_H
#define HF_RAFTIO_ENTRY_H

#include <stdint.h>

#include "base/bytes.h"

/* On disk and on the wire; equal to enum raft_entry_type. */
enum entry_type {
    ENTRY_COMMAND = 1, /* for the state machine */
    ENTRY_BARRIER = 2, /* made at an election */
    ENTRY_CHANGE = 3,  /* the whole new configuration */
};

struct entry {
    uint64_t term;
    uint8_t type; /* enum entry_type */
    struct bytes data;
    struct blob* blob; /* what @data points into; NULL if static or none */
};

static inline void entry_ref(const struct entry* e)
{
    (void)blob_ref(e->blob);
}

static inline void entry_unref(struct entry* e)
{
    blob_unref(e->blob);
    e->blob = NULL;
}

#endif
