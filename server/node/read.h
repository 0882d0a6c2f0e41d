/* Read rounds, stale reads, and reads passed on to the leader.
 *
 *   WAITING --round leaves--> ASKED --index named--> INDEXED --applied--> done
 *      |                        |                       |
 *      | no leader: parked      | lost: asked again     | not applied within
 *      `------------------------'  under a new id       | READ_BEHIND_MS:
 *                                                       `-> passed to leader
 *
 * One round serves all reads that were waiting when its question left. Round
 * ids are never reused, not even after a restart. */
#ifndef HF_NODE_READ_H
#define HF_NODE_READ_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/env.h"
#include "base/limits.h"

struct node;
struct client_op;

enum {
    READ_ASKS_MAX = 64,  /* questions of nodes for one probe round; beyond:
                            dropped, asked again */
    READ_BEHIND_MS = 50, /* then a read is passed to the leader */
    READ_TICK_MS = 10,
    READ_PASSED_MAX = 10000,
    READ_BOUNDS_MAX = 16, /* distinct MAXAGE bounds tracked; more share one */
};

struct op_list {
    struct client_op *head;
    struct client_op *tail;
    size_t n;
    size_t bytes; /* of their commands */
};

struct read_ask {
    uint64_t node;
    uint64_t round;
};

struct read_bound {
    uint64_t age_ms;
    unsigned users;
};

struct reads {
    struct op_list waiting; /* for the next round */
    struct op_list asked;   /* in the round on its way */
    struct op_list indexed; /* op->number = index; ascending */
    struct op_list full; /* applied, but their clients are full; no deadline */
    struct op_list passed; /* op->number = pass id */
    uint64_t round;        /* last id used */
    bool asking;
    uint64_t asked_us;
    uint64_t asked_leader;
    uint64_t asked_term;
    uint64_t indexed_us; /* when the head of @indexed got its index */
    uint64_t pass_id;
    /* the leader's side */
    struct read_ask next_asks[READ_ASKS_MAX];
    struct read_ask asks[READ_ASKS_MAX];
    unsigned next_asks_n;
    unsigned asks_n;
    bool probe_over; /* probe_done() said so; answers are due */
    bool probe_ok;
    uint64_t probe_index;
    uint64_t probe_round;
    uint64_t deadline_index; /* of the time entry that this round names */
    uint64_t kicked;         /* commit index last made known at once */
    /* age of local data */
    uint64_t fresh_us;      /* data here are at least as new as this */
    uint64_t confirm_us;    /* a confirmed round left then ... */
    uint64_t confirm_index; /* ... and counts once this is applied; 0: none */
    struct read_bound bounds[READ_BOUNDS_MAX];
    unsigned bounds_n;
    struct env_task task;
    struct env_timer timer;
};

void op_list_push(struct op_list *l, struct client_op *op);
struct client_op *op_list_pop(struct op_list *l);
/* False when it is not in this one. */
bool op_list_remove(struct op_list *l, struct client_op *op);

/* Replies are taken fast enough for another one. */
bool read_reply_room(const struct node *n);
/* So many reads wait that no more should be begun. */
bool read_full(const struct node *n);

void read_init(struct node *n);
void read_release(struct node *n);
void read_begin(struct node *n, struct client_op *op);
void read_cancel(struct node *n, struct client_op *op);
/* A connection starts (+1) or ends (-1) stale reads with this bound. */
void read_stale_user(struct node *n, uint64_t max_age_ms, int delta);
/* Leader or term changed. */
void read_leader_changed(struct node *n);
/* Entries were applied, or a snapshot was installed. */
void read_applied(struct node *n);
/* A client that was full is not any more. */
void read_room(struct node *n);
void read_probe_done(struct node *n, bool ok, uint64_t index);

/* Messages. */
void read_on_round(struct node *n, uint64_t from, struct reader *r);
void read_on_index(struct node *n, uint64_t from, struct reader *r);
void read_on_pass(struct node *n, uint64_t from, struct reader *r);
void read_on_pass_reply(struct node *n, uint64_t from, struct reader *r);
/* Have the leader answer @op (a read, or administration). */
void read_pass(struct node *n, struct client_op *op);

#endif
