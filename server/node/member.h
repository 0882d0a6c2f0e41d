/* Cluster life: init, join, seats, promotion, removal, transfer.
 *
 * The member table in the machine is what should be; the engine's
 * configuration is what is. The leader compares the two on every tick and
 * makes one change at a time: first members that are gone from the table,
 * then new ones (SPARE, STANDBY, and VOTER once caught up). So whatever
 * leader dies half way, the next one goes on.
 *
 *   blank --kv init here--> prepare every seat --> first member, leads alone
 *   blank --JOIN answered--> member id stored --> learner --> voter */
#ifndef HF_NODE_MEMBER_H
#define HF_NODE_MEMBER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/env.h"
#include "base/limits.h"
#include "raftio/peer.h"

struct node;
struct client_op;

enum {
    MEMBER_ASK_MS = 300, /* a blank node asks its seats so often */
    MEMBER_ASK_TIMEOUT_MS = 1000,
    MEMBER_WAIT_LOG_MS = 10000, /* "waiting for kv init" line */
    MEMBER_STATE_MS = 100,      /* a follower tells the leader its state */
    MEMBER_FULL_MS = 2000,      /* a full leader lets requests wait so long */
    MEMBER_HAND_MS = 500,       /* between its tries to hand over */
    MEMBER_ADDRESS_MS = 1000,   /* ... and addresses that have changed */
    MEMBER_LOST_MS = 2000,      /* without a leader: ask whether removed */
    MEMBER_INIT_MS = 30000,     /* kv init gives up waiting for voters */
    MEMBER_CAUGHT_UP = 64,      /* entries behind that still count as caught up
                                   for a promotion */
    MEMBER_REASON_MAX = 256,
};

/* Answers to NASK_JOIN and NASK_PREPARE. On the wire: never renumber. */
enum member_answer {
    ANSWER_OK = 0,
    ANSWER_REFUSED = 1, /* with the reason */
    ANSWER_LATER = 2,   /* not now: no leader here, or under way */
    ANSWER_BLANK = 3,   /* this seat waits for kv init, too */
    ANSWER_REMOVED = 4, /* the asking member was removed */
    ANSWER_DAMAGED = 5, /* this node is being repaired */
};

struct seat_ask {
    struct node *node;
    struct peer_ask *ask; /* NULL: none under way */
    unsigned seat;
};

enum init_phase { INIT_NONE, INIT_CHECK, INIT_PREPARE, INIT_FORM, INIT_WAIT };

struct membership {
    struct env_timer ask_timer;
    struct seat_ask asks[LIM_SEATS];
    uint64_t wait_logged_us;
    char refusal[MEMBER_REASON_MAX]; /* last one logged */
    uint64_t no_leader_us;           /* since when none is known; 0: is */
    uint64_t state_us;               /* when the state was last sent */
    uint64_t address_us;             /* when new addresses were last told */
    /* kv init at this node */
    enum init_phase phase;
    struct client_op *init_op; /* NULL: its client is gone */
    bool init_force;
    uint64_t init_deadline_us;
    uint8_t init_cluster[16];
    bool seat_done[LIM_SEATS];
    /* as leader */
    uint64_t lead_since_us;
    uint64_t gone_us;     /* when a GONE was last logged */
    uint64_t joined_us;   /* when a JOIN was last logged */
    uint64_t catching_up; /* member of a running catch-up; 0: none */
    uint64_t full_us;     /* since when the own disk has no room; 0: it has */
    uint64_t handed_us;   /* when leadership was last given away for that */
};

void member_init(struct node *n);
void member_release(struct node *n);
/* A data directory without a node id was opened: wait for init, ask to join.
 */
void member_blank(struct node *n);
void member_tick(struct node *n);
/* Ask every seat but the own one to let directory @dir_id in; with an id,
 * whether that member still belongs. */
void member_ask_seats(struct node *n, uint64_t id, const uint8_t *dir_id);
void member_lead(struct node *n); /* began to lead */
bool member_majority_has_room(struct node *n);
/* LEADER_NOSPACE, LEADER_HOLD or 0. */
unsigned member_room_flags(struct node *n);

/* Questions of other nodes. */
void member_on_anon(struct node *n,
                    struct peer_anon *h,
                    const struct peer_ident *who,
                    uint8_t type,
                    struct bytes body);
void member_on_state(struct node *n, uint64_t from, struct reader *r);
void member_on_address(struct node *n, uint64_t from, struct reader *r);

/* Operator's actions. NULL: under way or done; else an error line. */
void member_do_init(struct node *n, struct client_op *op, bool force);
const char *member_do_remove(struct node *n, uint64_t id);
const char *member_do_promote(struct node *n, uint64_t id);
const char *member_do_transfer(struct node *n, uint64_t id);
/* Voter with the most of the log, other than this one; 0: none. */
uint64_t member_best_heir(struct node *n);
void member_init_cancel(struct node *n, struct client_op *op);

#endif
