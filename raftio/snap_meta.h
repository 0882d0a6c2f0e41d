/* What a snapshot is called: the last entry it covers and the configuration
 * in force there. */
#ifndef HF_RAFTIO_SNAP_META_H
#define HF_RAFTIO_SNAP_META_H

#include <stdint.h>

#include "base/bytes.h"

/* All zero: no snapshot. @conf is the payload of the CHANGE at @conf_index. */
struct snap_meta {
    uint64_t index;
    uint64_t term;
    uint64_t conf_index;
    struct blob *conf;
};

/* *@dst = *@src, with a reference of its own; what @dst had is released. */
static inline void snap_meta_set(struct snap_meta *dst,
                                 const struct snap_meta *src)
{
    struct blob *old = dst->conf;

    (void)blob_ref(src->conf);
    *dst = *src;
    blob_unref(old);
}

static inline void snap_meta_release(struct snap_meta *m)
{
    blob_unref(m->conf);
    *m = (struct snap_meta){0, 0, 0, NULL};
}

#endif
