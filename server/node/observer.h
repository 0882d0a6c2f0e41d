/* What a node tells a watcher about itself, for checks that the outside
 * cannot make. Every pointer may be NULL; all calls come on the loop thread,
 * must not call back into the node, and cost nothing when nobody watches.
 *
 * @self is config's, handed back unchanged; @id is the node's raft id. */
#ifndef HF_SERVER_NODE_OBSERVER_H
#define HF_SERVER_NODE_OBSERVER_H

#include <stdint.h>

#include "base/bytes.h"

enum node_event {
    NODE_EV_TRUNCATE,   /* a = first index cut from the log */
    NODE_EV_INSTALL,    /* a = index of a snapshot installed */
    NODE_EV_SNAPSHOT,   /* a = index of an own snapshot, durable */
    NODE_EV_MEMBERSHIP, /* a = index of an applied membership entry */
    NODE_EV_TORN,       /* a = last index kept: a torn tail was cut */
    NODE_EV_RESEND,     /* a = number sent again to a next leader */
    NODE_EV_VOID,       /* a = number: a void was sent for it */
    NODE_EV_EXPIRE,     /* a = keys removed by time, b = index */
    NODE_EV_TRANSFER,   /* a = id that leadership is handed to */
    NODE_EV_NOSPACE,    /* writes are refused for want of room */
    NODE_EV_REPAIR,     /* b = 0: whole again by the snapshot at a; 1: as a
                           new member */
    NODE_EV_COUNT
};

struct node_observer {
    void *self;
    /* Became leader of @term. */
    void (*on_leader)(void *self, uint64_t id, uint64_t term);
    /* The log now holds (@index, @term) with this payload; also called for
     * each entry loaded at start. @type is the engine's entry type. */
    void (*on_append)(void *self,
                      uint64_t id,
                      uint64_t index,
                      uint64_t term,
                      int type,
                      struct bytes payload);
    /* Applied, in index order; @digest is the state's digest after it (0
     * where the store has none cheap enough). */
    void (*on_apply)(void *self,
                     uint64_t id,
                     uint64_t index,
                     uint64_t term,
                     int type,
                     struct bytes payload,
                     uint64_t digest);
    /* The state is now that of a snapshot: at start and on install.
     * @config is the encoded configuration in it. */
    void (*on_state)(void *self,
                     uint64_t id,
                     uint64_t index,
                     uint64_t term,
                     uint64_t digest,
                     struct bytes config);
    void (*on_event)(void *self,
                     uint64_t id,
                     enum node_event what,
                     uint64_t a,
                     uint64_t b);
};

#endif
