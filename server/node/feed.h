/* Change feeds of this node's clients: stepped, parked, woken.
 *
 *   read round --> STEPPING --something found--> answered
 *                     |  ^
 *        nothing, and |  | a change was applied
 *        may wait     v  |
 *                    PARKED --its time is over--> read round --> answered
 *
 * A request that waits is asked for nothing: what it is given was applied
 * here, and is therefore the truth in its order, whether or not there is a
 * leader now. Only that there was nothing has to be confirmed: when its time
 * is over it makes a last round, and without a leader it is refused
 * (-CLUSTERDOWN) rather than told a lie. */
#ifndef HF_NODE_FEED_H
#define HF_NODE_FEED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/env.h"
#include "server/node/read.h"
#include "server/store/history.h"

struct client_op;
struct node;

enum {
    FEED_PARKED_MAX = 1000,  /* requests that wait for a change, of one node;
                                beyond: -TRYAGAIN */
    FEED_STEPPING_MAX = 256, /* requests that are looked through changes for
                                in steps; beyond: -TRYAGAIN */
    FEED_TURN_STEPS = 4,     /* of FEED_STEP, in one turn of the loop */
    FEED_WAKE_US = 2000,     /* for those that wait, in one turn */
};

struct feeds {
    struct op_list stepping; /* not at the end of the history yet */
    struct op_list parked;
    struct history_id seen; /* the parked ones have looked so far */
    struct env_timer step;  /* goes on with those in the next turn */
    struct env_timer timer; /* the first wait is over */
    uint64_t timer_us;      /* when it is armed for */
};

void feed_init(struct node *n);
void feed_release(struct node *n);
/* Answer @op if it is about a change feed; false: it is not. */
bool feed_take(struct node *n, struct client_op *op);
/* False: @op is none that is stepped or waits. */
bool feed_cancel(struct node *n, struct client_op *op);
/* The op is over: frees what belongs to it. */
void feed_op_end(struct client_op *op);
/* Entries were applied, a snapshot installed, or replies taken. */
void feed_applied(struct node *n);
/* End the wait of @op (client_unblock()). False: it does not wait. */
bool feed_unblock(struct node *n, struct client_op *op, bool error);
/* The node goes: those that wait are sent elsewhere. */
void feed_stop(struct node *n);
/* Tell @n's machine how much history to keep. */
void feed_limits(struct node *n);

#endif
