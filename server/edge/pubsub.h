/* Publish and subscribe: who of this node's connections listens to which
 * channel. Loop thread only.
 *
 * A message reaches the subscribers of every node: pubsub_publish() delivers
 * here and has the node tell the others (server/node: node_publish()), whose
 * edges deliver to their own. At most once, and in the order of the node it
 * was published at; a node that cannot be told misses it. Nothing is kept for
 * those that subscribe later.
 *
 * Bounds; beyond each one SUBSCRIBE gets -ERR and nothing is subscribed:
 *   PUBSUB_CONN_MAX      subscriptions of one connection, of each kind
 *   PUBSUB_TOTAL_MAX     subscriptions of all connections
 *   PUBSUB_PATTERNS_MAX  different patterns: each is tried for each message
 *   PUBSUB_BYTES_MAX     names of all channels and patterns
 * A connection with more than CONN_PUSH_MAX unsent bytes when a message comes
 * for it is closed, with a log line. */
#ifndef HF_SERVER_EDGE_PUBSUB_H
#define HF_SERVER_EDGE_PUBSUB_H

#include <stdbool.h>
#include <stddef.h>

#include "base/bytes.h"

struct command;
struct conn;
struct edge;
struct pubsub;

enum pubsub_kind {
    PUBSUB_CHANNEL, /* SUBSCRIBE */
    PUBSUB_SHARD,   /* SSUBSCRIBE: the cluster is one shard */
    PUBSUB_PATTERN, /* PSUBSCRIBE */
    PUBSUB_KINDS
};

enum {
    PUBSUB_CONN_MAX = 1 << 16,
    PUBSUB_TOTAL_MAX = 1 << 20,
    PUBSUB_PATTERNS_MAX = 10000,
    PUBSUB_BYTES_MAX = 256 << 20,
    PUBSUB_CHANNEL_BYTES = 64 << 10, /* of a name; beyond: -ERR */
    PUBSUB_PATTERN_BYTES = 1 << 10,  /* ... each is compared with channels */
    CONN_PUSH_MAX = 32 << 20,
};

/* One connection's side, in struct conn. */
struct pubsub_sub;
struct pubsub_conn {
    struct pubsub_sub *first[PUBSUB_KINDS]; /* oldest first */
    struct pubsub_sub *last[PUBSUB_KINDS];
    size_t n[PUBSUB_KINDS];
};

struct pubsub *pubsub_new(struct edge *e);
void pubsub_free(struct pubsub *p); /* no connection subscribes any more */

/* Deliver to this node's subscribers: of @kind CHANNEL or SHARD. How many
 * messages were written. */
size_t pubsub_deliver(struct edge *e,
                      enum pubsub_kind kind,
                      struct bytes channel,
                      struct bytes message);
/* ... and to the other nodes'. The result counts this node's alone. */
size_t pubsub_publish(struct edge *e,
                      enum pubsub_kind kind,
                      struct bytes channel,
                      struct bytes message);
/* Is it short enough to be listened to, or published at? */
bool pubsub_name_fits(enum pubsub_kind kind, struct bytes name);
/* Does anybody listen to anything? */
bool pubsub_used(const struct edge *e);

/* Does @c listen to anything? In RESP2 it may then send but few commands. */
bool pubsub_subscribed(const struct conn *c);
/* Give @fn what it listens to until it returns false. */
void pubsub_each(const struct conn *c,
                 bool (*fn)(void *ctx,
                            enum pubsub_kind kind,
                            struct bytes name),
                 void *ctx);
/* May a RESP2 subscriber send it? */
bool pubsub_allows(const struct command *cmd);
/* [P|S]SUBSCRIBE, [P|S]UNSUBSCRIBE: what follows waits for their turn. */
bool pubsub_changes(const struct command *cmd);
/* Everything that is of this part, at its turn; false: it is another's. */
bool pubsub_command(struct conn *c,
                    const struct command *cmd,
                    const struct bytes *argv,
                    int argc,
                    struct buf *reply);
/* The connection ends, or RESET: no replies. */
void pubsub_forget(struct conn *c);

/* One canonical RESP3 push (or several) to @c, now, between two replies. To a
 * RESP2 connection it goes as an array. */
void conn_push(struct conn *c, struct bytes push);

#endif
