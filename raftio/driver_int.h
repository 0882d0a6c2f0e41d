/* Shared by the driver's own files: driver.c (steps, disk, lifecycle),
 * driver_send.c (to peers), driver_recv.c (from peers), driver_ask.c
 * (requests of the owner). */
#ifndef HF_RAFTIO_DRIVER_INT_H
#define HF_RAFTIO_DRIVER_INT_H

#include "raftio/driver.h"

/* Where the entries of an update come from, and what the event was. */
struct driver_source {
    const struct entry *e; /* entry @first, @first + 1, ... */
    uint64_t first;
    unsigned n;
    bool stale; /* a request of a term below ours */
};

/* Every public function that acts is between these two. enter() is false
 * once the driver has failed. */
bool driver_enter(struct driver *d, uint64_t now_ms);
void driver_leave(struct driver *d, bool was_timeout);
void driver_fail(struct driver *d, const char *why);

/* One step of the engine, its update carried out, and whatever follows from
 * it (applying, the accession barrier) stepped too. Returns the engine's
 * code, which is 0 but for SUBMIT and TRANSFER: others are fatal. @src is
 * NULL when the event carries no entries. */
int driver_step(struct driver *d,
                struct raft_event *ev,
                const struct driver_source *src);

/* Append @n entries of one kind as the leader. Engine's code. */
int driver_append_own(struct driver *d,
                      const struct entry *e,
                      unsigned n,
                      uint64_t *first_index);

/* A fresh engine configuration from bytes already checked by conf_decode();
 * the engine consumes it. */
void driver_engine_conf(struct driver *d,
                        const struct blob *b,
                        struct raft_configuration *out);
/* The last CHANGE at or below @index, else the snapshot's. NULL: none. */
struct blob *driver_conf_at(const struct driver *d,
                            uint64_t index,
                            uint64_t *conf_index);
/* Entries up to @upto are covered by the snapshot, whose bytes carry the last
 * CHANGE among them. */
void driver_forget_changes(struct driver *d, uint64_t upto);
/* The engine's list as ours; for accessors and gates. */
void driver_conf_of_engine(const struct raft_configuration *c,
                           struct conf *out);
bool driver_is_lone_voter(const struct driver *d);
/* A leader of our term or a later one was heard. */
void driver_note_contact(struct driver *d, uint64_t from);
/* Something from a leader of an earlier term was. */
void driver_note_false_alarm(struct driver *d, uint64_t from);
/* A server has answered an AppendEntries of the present term. */
void driver_note_answer(struct driver *d, uint64_t from);

/* How this leader last went back for @id; NULL: not in this term. */
struct driver_back *driver_back_of(struct driver *d, uint64_t id);

/* ---- sending ---- */
void driver_send_update(struct driver *d,
                        struct raft_message *batch,
                        unsigned n,
                        bool stale);
void driver_release_held(struct driver *d);
void driver_probe_send(struct driver *d);

/* ---- requests ---- */
void driver_probe_fail(struct driver *d);
void driver_probe_check(struct driver *d);
void driver_probe_resend(struct driver *d);
/* Hand over if the target has everything. True if it stepped the engine. */
bool driver_transfer_try(struct driver *d);

#endif
