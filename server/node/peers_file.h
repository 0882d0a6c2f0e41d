/* File "peers": where the members were last known to be. A hint for a cold
 * start, when nothing is applied yet and so the member table is empty;
 * losing or damaging it loses nothing (--join is asked then). */
#ifndef HF_NODE_PEERS_FILE_H
#define HF_NODE_PEERS_FILE_H

#include <stddef.h>

#include "base/disk.h"
#include "base/err.h"
#include "raftio/peer.h"

struct node;

enum { PEERS_FILE_VERSION = 1, PEERS_FILE_MAX = 4096 };

/* Write it in the background; the latest wins. Failures are only logged. */
void peers_file_store(struct node *n, const struct peer_member *m, unsigned k);
void peers_file_release(struct node *n);
/* Its bytes. Pure. */
void peers_file_encode(struct buf *b, const struct peer_member *m, unsigned k);
/* On a worker. How many were read; 0 for a missing or damaged file. */
unsigned peers_file_load(struct disk *d, struct peer_member *m, unsigned max);
/* On a worker: remove log, votes and snapshots of a directory that never
 * became a member's. */
int peers_file_wipe_unborn(struct disk *d, struct errmsg *em);

#endif
