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
#include "base/limits.h"
#include "raftio/snap.h"
#include "raftio/snap_meta.h"
#include "raftio/snapxfer.h"
#include "server/store/machine.h"

struct node;
struct raft_msg;

enum {
    SNAPSHOT_TRAILING = 1024, /* entries kept behind an own snapshot, */
    SNAPSHOT_TRAILING_BYTES = 32 << 20, /* and what they take at most */
    SNAPSHOT_TRAILING_MIN = 16,         /* but so many in any case */
    SNAPSHOT_BACKLOG = 64,    /* entries not yet applied: no snapshot now */
    SNAPSHOT_SENT_MS = 60000, /* so long the log behind a snapshot that was
                                 sent to a live node is kept for it */
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

/* What a follower was sent last. */
struct snapshot_sent {
    uint64_t to; /* 0: free */
    uint64_t index;
    uint64_t at_us;
};

extern const char snapshot_tmp[]; /* where a received file grows */

struct snapshotter {
    struct snapxfer *xfer;
    struct snapshot_job *taking;     /* NULL: none */
    struct snapshot_job *installing; /* NULL: none */
    struct snapshot_job *checking;   /* the newest is read; NULL: not */
    uint64_t last_bytes;             /* size of the last one, uncompressed */
    uint64_t file_bytes;             /* size of its file */
    uint32_t file_crc;               /* snap_file.hash */
    uint64_t index;                  /* of the newest durable one; 0: none */
    uint64_t term;
    uint64_t retry_us;     /* not before */
    uint64_t taken_n;      /* since the start */
    uint64_t taken_unix_s; /* when the last one was durable; 0: none was */
    uint64_t taken_us;     /* the same by env_now_us() */
    uint64_t taken_ms;     /* what it took */
    uint64_t sent_n;
    bool failed;     /* the last try */
    bool unreadable; /* it, or the log behind it: another is due */
    bool received;   /* a fetched, verified file is at hand */
    uint64_t received_index;
    uint64_t received_term;
    struct snapshot_sent sent[LIM_NODES];
};

void snapshot_init(struct node *n);
void snapshot_release(struct node *n);
void snapshot_tick(struct node *n);
/* Take one now. False: it is not possible now. */
bool snapshot_now(struct node *n);
/* The log's growth at which the next one is due, and the size of the log that
 * is not to be exceeded: the setting, or, where a snapshot costs more than
 * that, enough for the log to grow while it is made. */
uint64_t snapshot_due_bytes(const struct node *n);
uint64_t snapshot_log_budget(const struct node *n);
/* The leader's engine names a snapshot to @to. */
void snapshot_send(struct node *n, const struct raft_msg *m);
/* Member @to is damaged and needs a snapshot at @need or later: offer it, make
 * it, or see to it that the log reaches so far. Asked again until it has it. */
void snapshot_serve(struct node *n, uint64_t to, uint64_t need);
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
