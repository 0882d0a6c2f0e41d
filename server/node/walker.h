/* Walks over many keys (KEYS, RANGE), beside the loop.
 *
 *   short enough --> answered on the loop at once
 *   else WAITING --> a worker reads a frozen root, step by step --> answered
 *
 * One root at a time, for WALKER_MS at most: it holds what is overwritten
 * meanwhile. The reply is that of the moment when the root was taken, which
 * lies between request and reply. */
#ifndef HF_NODE_WALKER_H
#define HF_NODE_WALKER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/env.h"
#include "server/node/read.h"

struct machine;
struct node;
struct walker_job;

enum {
    WALKER_MS = 1000,  /* then -TRYAGAIN */
    WALKER_MAX = 1000, /* waiting; beyond: -TRYAGAIN */
};

struct walker {
    struct op_list waiting;
    struct walker_job *job; /* NULL: none runs */
};

void walker_release(struct node *n);
/* Answer @op if it is a walk; false: it is none. */
bool walker_take(struct node *n, struct client_op *op);
bool walker_cancel(struct node *n, struct client_op *op);
void walker_expire(struct node *n, uint64_t now);
/* Is a root of @m in use? Then @m must stay. */
bool walker_uses(const struct node *n, const struct machine *m);
/* @m is to go as soon as its root is not in use: the walker sees to it. */
void walker_adopt(struct node *n, struct machine *m);

#endif
