/* What one member shows to whoever checks it (the simulator). All callbacks
 * may be NULL; they run on the loop and must not call back into the node. */
#ifndef HF_NODE_OBSERVER_H
#define HF_NODE_OBSERVER_H

#include <stdbool.h>
#include <stdint.h>

struct entry;
struct machine;

struct node_observer {
    void *data;
    /* This node leads @term from now on. */
    void (*on_leader)(void *data, uint64_t node, uint64_t term,
                      uint64_t last_index);
    /* An entry went into this node's log (not yet durable). Lower than an
     * earlier @index: what was there from @index on is truncated. */
    void (*on_append)(void *data, uint64_t node, uint64_t index,
                      const struct entry *e);
    /* The entry was applied; @m is the machine afterwards. */
    void (*on_apply)(void *data, uint64_t node, uint64_t index,
                     const struct entry *e, struct machine *m);
    /* A snapshot was installed (from a leader) or loaded (at start). */
    void (*on_restore)(void *data, uint64_t node, uint64_t index,
                       uint64_t term, struct machine *m);
    /* A snapshot of this node's own became durable. */
    void (*on_snapshot)(void *data, uint64_t node, uint64_t index);
    /* Something worth counting: "resend", "void", "expire", "truncate",
     * "install", "change", "transfer", "torn", "lost_session". */
    void (*on_event)(void *data, uint64_t node, const char *what, uint64_t n);
};

#endif
