/* What must hold of the nodes, whatever happens: checked as they report it
 * through server/node/observer.h.
 *
 *   one leader per term; a new leader's log holds all that was applied;
 *   the same (index, term) has the same payload in every log; the same index
 *   is applied with the same entry everywhere, one after the other; equal
 *   state at equal index; a term of a leader never comes twice; a snapshot
 *   holds the configuration of the last CHANGE that it covers.
 *
 * The first violation is kept; everything after it is noise. */
#ifndef HF_TESTS_SIM_CHECK_H
#define HF_TESTS_SIM_CHECK_H

#include <stdbool.h>
#include <stdint.h>

#include "server/node/observer.h"

enum { CHECK_SLOTS = 8 };

struct check;

/* @now gives virtual microseconds for messages. */
struct check *check_new(uint64_t (*now)(void *data), void *data);
void check_free(struct check *c);

/* Where machine @slot reports to; valid as long as @c. */
const struct node_observer *check_observer(struct check *c, int slot);
/* The process of @slot died: what it had not made durable is forgotten. */
void check_died(struct check *c, int slot);
/* Its data were wiped: it is somebody else from now on. */
void check_wiped(struct check *c, int slot);

void check_fail(struct check *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
bool check_failed(const struct check *c);
const char *check_text(const struct check *c); /* "" when all is well */

uint64_t check_count(const struct check *c, enum node_event what);
uint64_t check_leaders(const struct check *c); /* leader changes */
int check_last_leader(const struct check *c);  /* its slot; -1: none yet */
uint64_t check_applied(const struct check *c, int slot); /* index */
/* The last index that its log was given. */
uint64_t check_last_index(const struct check *c, int slot);
uint64_t check_applied_max(const struct check *c);
/* Bytes of the largest entry that any log was given. */
size_t check_entry_max(const struct check *c);
/* Has @id a vote in the newest configuration that was applied anywhere? */
bool check_is_voter(const struct check *c, uint64_t id);
/* Print everything reported, as it comes. */
void check_verbose(struct check *c, bool on);
/* Hash of everything reported, for comparing two runs of one seed. */
uint64_t check_hash(const struct check *c);

#endif
