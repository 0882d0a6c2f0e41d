/* What a client's connection may ask of its node: the only door between
 * server/edge and server/node. Loop thread only.
 *
 * A connection is one struct client: a context of order. Its operations take
 * effect and complete in the order in which they were submitted, whatever
 * their kinds. */
#ifndef HF_SERVER_NODE_CLIENT_H
#define HF_SERVER_NODE_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "server/command/admin.h"

struct node;
struct client;

enum client_op_kind {
    OP_LOCAL, /* local() answers when it is this operation's turn */
    OP_READ,  /* linearizable, or stale after client_set_stale() */
    OP_WRITE, /* through the log */
    OP_NODE,  /* INFO STATUS MEMBER CLUSTER INIT TIME CONFIG ...: the node */
};

/* One operation; the submitter embeds it. */
struct client_op {
    enum client_op_kind kind;
    /* Command bytes (server/command/command.h), NULL for OP_LOCAL. One
     * reference that stays the submitter's until done() or client_free();
     * the node takes its own where it keeps the bytes longer. */
    struct blob *command;
    /* Runs exactly once, never before client_submit() returned. @reply is
     * one canonical RESP3 reply, borrowed during the call. The operation
     * may be gone when it returns; client_free() must not be called in it.
     * Not called for OP_LOCAL. */
    void (*done)(struct client_op *op, struct bytes reply);
    /* OP_LOCAL: its turn; the operation is over when it returns. May run
     * before client_submit() returns. */
    void (*local)(struct client_op *op);
    void *priv[8]; /* the node's */
};

/* @data is for the node's log lines only. */
struct client *client_new(struct node *n, void *data);
/* Pending operations are cancelled: done() and local() are never called.
 * What was already handed to the cluster may still take effect. */
void client_free(struct client *c);
void client_submit(struct client *c, struct client_op *op);
/* Reads submitted from here on are local while @on; with @max_age_ms over 0
 * they fail with -STALE when the data is older. */
void client_set_stale(struct client *c, bool on, uint64_t max_age_ms);

/* Parked requests reached their limit: the edge stops reading sockets. When
 * there is room again @on_room runs (once per time that node_full() was
 * true). One edge per node. */
bool node_full(struct node *n);
void node_on_room(struct node *n, void (*on_room)(void *data), void *data);

bool node_is_leader(struct node *n);
/* The leader's cluster port as announced, "host:port"; "" = unknown. The
 * same string as in CLUSTER SLOTS at every instant. */
const char *node_leader_cluster_address(struct node *n);
/* Counters of the edge, for INFO: the node puts this pointer into each
 * node_view. Valid until replaced; NULL at the end. */
void node_set_counters(struct node *n, const struct edge_counters *counters);

#endif
