/* Snapshots of this node: taken beside writes, sent, received, installed.
 *
 *   taking      freeze (O(1)) -> a worker writes the file -> engine told ->
 *               log trimmed -> older file removed
 *   installing  a named snapshot is fetched first -> engine accepts it ->
 *               renamed and loaded by a worker -> log reset -> machine swapped
 */
#ifndef HF_NODE_SNAPSHOT_H
#define HF_NODE_SNAPSHOT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/env.h"
#include "raftio/snap.h"
#include "raftio/snap_meta.h"
#include "raftio/snapxfer.h"
#include "server/store/machine.h"

struct node;
struct raft_msg;

enum {
    SNAPSHOT_TRAILING = 1024, /* entries kept behind an own snapshot */
    SNAPSHOT_RETRY_MS = 5000, /* after one that failed */
};

/* One job of a worker: writing or loading. Heap; freed when done. */
struct snapshot_job {
    struct env_work work;
    struct node *node;
    struct disk *disk;
    struct identity ident;
    struct snap_meta meta;
    struct snap_file file;
    struct machine_frozen *frozen;
    struct machine_load *load;
    struct machine *machine;
    uint64_t started_us;
    int status;
    struct errmsg em;
};

struct snapshotter {
    struct snapxfer *xfer;
    struct snapshot_job *taking;     /* NULL: none */
    struct snapshot_job *installing; /* NULL: none */
    uint64_t last_bytes;  /* size of the last one, uncompressed */
    uint64_t log_bytes;   /* of the log that was left after it */
    uint64_t file_bytes;  /* size of its file */
    uint64_t file_crc;
    uint64_t index;       /* of the newest durable one; 0: none */
    uint64_t term;
    uint64_t retry_us;    /* not before */
    bool received;        /* a fetched, verified file is at hand */
    uint64_t received_index;
    uint64_t received_term;
};

void snapshot_init(struct node *n);
void snapshot_release(struct node *n);
void snapshot_tick(struct node *n);
/* The leader's engine names a snapshot to @to. */
void snapshot_send(struct node *n, const struct raft_msg *m);
/* An RMSG_INSTALL arrived: what is held of another snapshot is of no use any
 * more, and would keep the place of the one named now. */
void snapshot_named(struct node *n, uint64_t index, uint64_t term);
/* Is exactly that snapshot at hand? */
bool snapshot_at_hand(const struct node *n, uint64_t index, uint64_t term);
/* The engine accepted it. */
void snapshot_install(struct node *n, const struct snap_meta *m);
/* The log was reset behind the installed snapshot. */
void snapshot_log_reset(struct node *n);

#endif
