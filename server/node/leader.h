/* The leader's side of writes: intake by number, batches, replies.
 *
 * Only a leader whose accession barrier is applied takes requests: then the
 * machine shows the last applied number of every session, and whatever else
 * of a session is in the log was taken by this leader itself. Numbers are
 * taken without gaps; a gap is answered with what is expected. */
#ifndef HF_NODE_LEADER_H
#define HF_NODE_LEADER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/env.h"
#include "base/limits.h"

struct node;

enum {
    LEADER_SESSIONS_MAX = 2 * LIM_NODES, /* beyond: the oldest is forgotten
                                            and looked up again */
    LEADER_BATCHES_MAX = 4096,      /* closed, not yet with the engine; then
                                       intake stops and origins send again */
    LEADER_CLOSED_BYTES = 64 << 20, /* of those; the same */
    LEADER_GATHER_MAX = 4,  /* times a batch waits for other tasks of the
                               same turn */
    LEADER_FLYING_MAX = 64, /* entries on their way whose records count */
    LEADER_FILL_MAX = 64,   /* empty entries of one leader_fill() */
    LEADER_TIME_MS = 10,    /* at most one time entry in so long */
    LEADER_EXPIRE_MS = 100, /* idle check for passed deadlines */
    LEADER_STATE_MS = 1500, /* so old may be what a member told */
    /* Bytes per second into a log that nears its budget, and at it. */
    LEADER_PACE_MAX = 128 << 20,
    LEADER_PACE_MIN = 16 << 20,
};

enum numbered_kind { NUMBERED_REQUEST = 1, NUMBERED_VOID = 2 };

struct lead_session {
    uint64_t id;
    uint64_t node;
    uint64_t expected; /* next number to take */
    bool owed;         /* told of @expected as soon as there is place */
};

/* An entry of ours that is not applied yet. */
struct lead_entry {
    uint64_t index;
    uint64_t records;
};

struct leader {
    uint64_t term; /* 0: not leading, or not ready yet */
    bool cold;     /* the next entry is the first after a cold start */
    struct lead_session sessions[LEADER_SESSIONS_MAX];
    unsigned sessions_n;
    struct buf batch; /* records of the open batch */
    uint64_t batch_records;
    bool batch_opens; /* has the one record that may open a session */
    unsigned gathered;
    struct blob *closed[LEADER_BATCHES_MAX]; /* ring */
    uint64_t closed_records[LEADER_BATCHES_MAX];
    unsigned closed_head;
    unsigned closed_n;
    uint64_t closed_bytes;
    struct lead_entry flying[LEADER_FLYING_MAX]; /* ring */
    unsigned flying_head;
    unsigned flying_n;
    uint64_t flying_records;
    uint64_t stamp_ms; /* time of the last entry submitted */
    uint64_t time_us;  /* when the last time entry was submitted */
    struct buf replies[LIM_NODES];
    uint64_t replies_to[LIM_NODES];
    struct env_task close_task;
    struct env_task reply_task;
    struct env_timer announce;
    struct env_timer expire;
    struct env_timer pace;
    uint64_t pace_us; /* nothing is submitted before */
};

void leader_init(struct node *n);
void leader_release(struct node *n);
/* Role, term or readiness changed. */
void leader_changed(struct node *n);

/* Take one numbered request or void. 0: taken, or a duplicate.
 * HF_ENOLEADER; HF_EAGAIN: a gap; HF_ELIMIT: no room just now. A request
 * that the disk has no room for is taken as its void: not applied. */
int leader_take(struct node *n,
                uint64_t session,
                uint64_t number,
                bool as_void,
                struct bytes command);
/* Log that @node opens a session. */
void leader_open_session(struct node *n,
                         uint64_t node,
                         const uint8_t nonce[16]);
/* Add one record (as in the log entry) to the batch. HF_ENOLEADER. */
int leader_record(struct node *n, struct bytes record);
/* Log empty entries, LEADER_FILL_MAX at most, until the log reaches @upto. */
void leader_fill(struct node *n, uint64_t upto);
/* See to it that every deadline up to now is logged. *@index: what a read
 * has to wait for (0: nothing). False: not yet, try again in a moment. */
bool leader_log_deadlines(struct node *n, uint64_t *index);

/* Messages. */
void leader_on_writes(struct node *n, uint64_t from, struct reader *r);
void leader_on_open(struct node *n, uint64_t from, struct reader *r);
/* The machine applied a request of @session. */
void leader_reply(struct node *n,
                  uint64_t session,
                  uint64_t number,
                  bool voided,
                  struct bytes reply,
                  uint64_t index);
bool leader_wants_reply(const struct node *n, uint64_t session);
/* Entries were applied: there may be room for more. */
void leader_applied(struct node *n);
void leader_announce(struct node *n);

#endif
