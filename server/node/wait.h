/* Questions whose answer waits for something: WAIT for other members, SAVE for
 * a snapshot. They are never in the log.
 *
 * Looked at every WAIT_TICK_MS while there are any. */
#ifndef HF_NODE_WAIT_H
#define HF_NODE_WAIT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/env.h"
#include "server/node/read.h"

struct admin_action;
struct node;

enum { WAIT_TICK_MS = 2 };

struct waits {
    struct op_list ops;
    struct env_timer timer;
};

void wait_init(struct node *n);
void wait_release(struct node *n);
/* WAIT, SAVE, BGSAVE: answered now or later. */
void wait_begin(struct node *n,
                struct client_op *op,
                const struct admin_action *a);
/* The node goes: those that wait for members hear how many there are. */
void wait_stop(struct node *n);
bool wait_cancel(struct node *n, struct client_op *op);

/* How many members besides the leader hold entry @index on their disks, as
 * far as this node knows; @index 0: how many are there. */
int64_t wait_holders(struct node *n, uint64_t index);

#endif
