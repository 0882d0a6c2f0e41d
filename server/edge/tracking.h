/* Client-side caching: who is to be told when a key changes. Loop thread only.
 *
 * A connection that said CLIENT TRACKING ON keeps what it reads. This table
 * remembers the keys, and each change that this node applies is told to those
 * that read the key, or, with BCAST, to those that asked for its prefix.
 *
 * What makes that exact (docs/ARCHITECTURE.md, "Client-side caching"):
 *
 * * A read is watched from the moment it is dispatched until its reply is
 *   written. What changes in between is told *behind* the reply, even if it
 *   was told before: else a client would drop nothing, and then keep an old
 *   value for ever. Only then are its keys remembered.
 * * The node answers a tracking connection nothing that is ahead of what it
 *   has applied (client_set_tracking()): changes are told before the reply to
 *   whatever came after them.
 * * When changes may have been missed (node_hooks.on_lost) all are told to drop
 *   everything; while this node is out of touch with the leader nothing that
 *   is read may be kept at all: it is told so behind the reply.
 *
 * Bounds: tracking_max keys, TRACK_ITEMS_PER_KEY pairs of key and connection
 * for each of them: beyond, the oldest key is forgotten and told as changed.
 * TRACK_PREFIXES_MAX prefixes of all connections: beyond, -ERR. */
#ifndef HF_SERVER_EDGE_TRACKING_H
#define HF_SERVER_EDGE_TRACKING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

struct command;
struct conn;
struct edge;
struct track;    /* one connection's, while it tracks */
struct track_op; /* a read under way */
struct tracking;

enum {
    TRACK_KEYS_DEFAULT = 1000000,
    TRACK_ITEMS_PER_KEY = 8,
    TRACK_PREFIXES_MAX = 4096,
    TRACK_STEP = 4096, /* forgotten pairs freed in a turn */
};

struct tracking *tracking_new(struct edge *e);
/* All connections are gone. */
void tracking_free(struct tracking *t);
/* Keys that are remembered at most; 0: TRACK_KEYS_DEFAULT. */
void tracking_set_max(struct tracking *t, uint64_t keys);

/* CLIENT TRACKING, TRACKINGINFO, GETREDIR, at their turn; false: another. */
bool tracking_command(struct conn *c,
                      const struct command *cmd,
                      const struct bytes *argv,
                      int argc,
                      struct buf *reply);
/* CLIENT TRACKING: what follows waits for its turn. */
bool tracking_changes(const struct command *cmd);
/* CLIENT CACHING is of the command behind it, so it acts when it is
 * dispatched. */
bool tracking_is_caching(const struct command *cmd);
void tracking_caching(struct conn *c,
                      const struct bytes *argv,
                      struct buf *reply);
/* @cmd was dispatched: that word was about it. */
void tracking_dispatched(struct conn *c, const struct command *cmd);

/* A read or transaction is about to be submitted. NULL: nothing to watch. */
struct track_op *tracking_begin(struct conn *c,
                                const struct command *cmd,
                                const struct bytes *argv,
                                int argc);
/* Its reply was written. @op may be NULL. */
void tracking_end(struct track_op *op);
/* It will have none. */
void tracking_drop(struct track_op *op);

/* The node's hooks. @by: the connection whose request it was, or NULL. */
void tracking_changed(struct edge *e, struct bytes key, const struct conn *by);
void tracking_lost(struct edge *e);

/* For CLIENT LIST: its letters (at most 3), and where it is redirected to (0:
 * nowhere, -1: it does not track). */
size_t tracking_flags(const struct conn *c, char *out);
int64_t tracking_redirect(const struct conn *c);

/* The connection ends, or RESET. */
void tracking_forget(struct conn *c);
/* ... and for good: nobody can be redirected to it any more. */
void tracking_gone(struct conn *c);

#endif
