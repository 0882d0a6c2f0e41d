/* KEYS, RANGE, and CLUSTER COUNTKEYSINSLOT and GETKEYSINSLOT: commands that
 * may look at every key.
 *
 * A walk reads the tree of one moment, either the live one (loop thread,
 * done before the next change) or a frozen root (any one thread), in steps of
 * bounded work. Inside a transaction there is one step only. */
#ifndef HF_SERVER_COMMAND_WALK_H
#define HF_SERVER_COMMAND_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

struct map_node;
struct walk;

enum {
    /* Units of work: one a key, more for long keys, patterns and replies;
     * some tenths of a microsecond each. */
    WALK_SHORT = 8192,  /* what a walk on the loop may take; in a transaction:
                           beyond, -ERR */
    WALK_STEP = 200000, /* a step off the loop */
};

/* Is it one of those? */
bool walk_is(struct bytes command);
/* Begin; @command is borrowed until walk_free(), the tree too. NULL: @command
 * is malformed. */
struct walk *walk_new(struct bytes command,
                      const struct map_node *tree,
                      uint64_t time_ms);
void walk_free(struct walk *w);
/* Work on until @units are used up: true when all is seen. */
bool walk_step(struct walk *w, uint64_t units);
/* Append the reply. After the last step. */
void walk_reply(struct walk *w, struct buf *reply);

#endif
