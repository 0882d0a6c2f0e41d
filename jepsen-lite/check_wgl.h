/* Is there one order of the operations of one object that agrees with real
 * time and with the object's rules? Wing and Gong, "Testing and verifying
 * concurrent objects", 1993, with Lowe's memory of what was tried ("Testing
 * for linearizability", 2017): pairs of the set of operations already in
 * order and the object's state. Of such a pair 128 bits of hash are kept. */
#ifndef HF_JEPSEN_CHECK_WGL_H
#define HF_JEPSEN_CHECK_WGL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WGL_STATES_MAX = 3000000 }; /* default cap; beyond: WGL_UNKNOWN */

struct wgl_op {
    int64_t t0;
    int64_t t1;    /* not before @t0; OP_NEVER is allowed */
    bool optional; /* may never have happened; @t1 counts as infinite */
};

/* Apply operation @i to the state @from: false if it cannot come next, else
 * true and the state after it in @to. */
typedef bool (*wgl_step)(const void *model,
                         size_t i,
                         const int64_t *from,
                         int64_t *to);

enum wgl_verdict { WGL_VALID, WGL_INVALID, WGL_UNKNOWN };

/* @words: numbers in a state; @initial: the first one. @states, which may be
 * NULL, is set to the number of pairs tried. */
enum wgl_verdict wgl_run(const struct wgl_op *ops,
                         size_t n,
                         size_t words,
                         const int64_t *initial,
                         wgl_step step,
                         const void *model,
                         uint64_t states_max,
                         uint64_t *states);

/* Make a failing set of operations small. @kept has @n flags, all true at
 * the beginning; what is left at the end is still bad, and no single one that
 * may go could go. @may_go: can @i be left out as long as the others in @kept
 * stay (without making a good history bad)? @bad: do those in @kept still
 * violate? */
void wgl_shrink(bool *kept,
                size_t n,
                bool (*may_go)(const void *model, size_t i, const bool *kept),
                bool (*bad)(const void *model, const bool *kept),
                const void *model);

#endif
