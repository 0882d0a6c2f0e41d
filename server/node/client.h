/* Order within one client connection.
 *
 * The edge gives each connection a struct client and each command a struct
 * client_op. Operations take effect and complete in the order of
 * client_submit(), whatever the mix: a write is numbered only when all
 * earlier reads of the connection are evaluated, a read begins only when all
 * earlier writes have their replies. Writes of one connection are pipelined,
 * and so are reads. Behind an XREAD that may block nothing begins before that
 * has its reply; the time of what is behind it counts from then. The deadline
 * of a request counts from its coming, or from the latest one of the connection
 * that was served before it began, if that was later.
 *
 *   QUEUED --may begin--> RUNNING --reply there--> DONE --at the head--> done()
 */
#ifndef HF_NODE_CLIENT_H
#define HF_NODE_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

struct node;
struct client;
struct feed_op;
struct op_list;

enum client_op_kind {
    OP_LOCAL, /* the edge answers by itself when its turn comes */
    OP_READ,  /* evaluated on the machine after a read round */
    OP_WRITE, /* goes through the log */
    OP_NODE,  /* administration: answered from the node's knowledge */
};

enum client_op_state { OP_QUEUED, OP_RUNNING, OP_DONE };

/* Embedded in the edge's per-command struct; zeroed by its owner. */
struct client_op {
    enum client_op_kind kind;
    /* READ, WRITE: command bytes (server/command: command_encode()); NODE:
     * likewise. One reference, released by the owner after done(). */
    struct blob *command;
    /* Once, in submission order. @reply is canonical RESP3, borrowed during
     * the call. The op is the owner's again: done() may free it. */
    void (*done)(struct client_op *op, struct bytes reply);
    /* OP_LOCAL: called when all earlier operations are done. done() is not
     * called; the op is the owner's again and may be freed in the call. */
    void (*local)(struct client_op *op);

    /* READ: linearizable, after client_set_stale(), too. */
    bool fresh;
    uint64_t since_us;   /* its time runs from then on; 0: from now on */
    uint64_t timeout_ms; /* less time than a request has; 0: as much */

    /* Private to server/node. */
    struct client *client; /* NULL: cancelled */
    enum client_op_state state;
    struct client_op *next; /* in the connection's order */
    struct op_list *list;   /* parked, reading, admin: the one it is in */
    struct client_op *list_next;
    struct client_op *list_prev;
    struct buf reply; /* held until the op is at the head */
    uint64_t deadline_us;
    uint64_t number;      /* WRITE: of the node session; 0 = not yet numbered */
    uint64_t term;        /* READ: in which its index was named */
    struct feed_op *feed; /* READ of a change feed; NULL: none yet */
};

/* @data is the owner's; never NULL is returned. */
struct client *client_new(struct node *n, void *data);
void *client_data(const struct client *c);
/* Pending operations are cancelled: neither done() nor local() is called for
 * them; @drop is called for each so that its owner can free it. A write that
 * has its number may still take effect. */
void client_free(struct client *c, void (*drop)(struct client_op *op));
/* May call done() or local() of this or earlier ops before it returns? No:
 * completions are delivered from a deferred task, never inside submit. */
void client_submit(struct client *c, struct client_op *op);
/* The index of its last write that was answered; 0: none. */
uint64_t client_write_index(const struct client *c);
/* @on: what reads the replies does not keep up. Reads that have not been
 * evaluated wait until it does, their deadline with them; else a pipeline of
 * large values would be in memory all at once. Writes go on. */
void client_hold(struct client *c, bool on);
/* End the wait of this connection's XREAD: with an error, or as if its time
 * were over. False: it does not wait. */
bool client_unblock(struct client *c, bool error);
/* @on: what this client reads it keeps, until it is told of a change. Whatever
 * it hears must then not be ahead of what this node has applied, and so of the
 * changes that it was told: writes are answered by the own apply, and no read
 * by the leader. */
void client_set_tracking(struct client *c, bool on);
/* Stale reads: OP_READ is answered locally. @max_age_ms 0: no bound. */
void client_set_stale(struct client *c, bool on, uint64_t max_age_ms);

#endif
