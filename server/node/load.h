/* Reading the data directory at a start, on a worker: identity, a repair that
 * was under way, newest snapshot, votes, log, and what is wrong with them. */
#ifndef HF_NODE_LOAD_H
#define HF_NODE_LOAD_H

#include "base/disk.h"
#include "base/env.h"
#include "base/limits.h"
#include "raftio/identity.h"
#include "raftio/peer.h"
#include "raftio/repair.h"
#include "raftio/snap.h"
#include "raftio/vote.h"
#include "raftio/wal.h"
#include "server/store/machine.h"

struct node;

/* What is to be done about what was found. */
enum load_verdict {
    LOAD_START,  /* all is there */
    LOAD_FETCH,  /* a snapshot at @need or later makes it whole: same id */
    LOAD_REJOIN, /* only a new id is safe */
};

struct node_loader {
    struct env_work work;
    struct node *node;
    struct disk *disk;
    uint64_t started_us;
    uint64_t segment_bytes;
    uint64_t wall_s;
    bool again;  /* the directory is locked already */
    bool repair; /* a setting: else damage is refused */
    uint8_t fresh[ID_BYTES];
    struct identity ident;
    struct repair_mark mark; /* kind REPAIR_NONE: no repair under way */
    struct vote vote;
    struct snap_file snap;
    struct wal_recovered wal;
    bool have_wal;
    struct machine_load *load;
    struct machine *machine;
    struct peer_member peers[LIM_NODES];
    unsigned peers_n;
    enum load_verdict verdict;
    uint64_t need;   /* FETCH: the last index this log ever held */
    uint64_t log_no; /* FETCH: its last frame */
    int status;
    struct errmsg em; /* also why the verdict is not LOAD_START */
};

/* env_work.fn; @w->data is the loader. */
void load_fn(struct env_work *w);
void load_free(struct node_loader *l);

#endif
