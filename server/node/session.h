/* Writes of this node's clients: parked, numbered, sent, resent, voided.
 *
 *   PARKED --a leader takes requests--> NUMBERED --applied--> resolved
 *      |                                    |
 *      `- deadline: -CLUSTERDOWN            `- near its deadline: a VOID with
 *         (certainly not applied)              the same number is sent; the
 *                                              deadline itself: -UNKNOWN
 *
 * A number is given when a request is handed to a leader and is never
 * dropped, reused or moved: it is sent to each next leader until this node
 * has seen it applied, as the request or as a void. So "not applied" is said
 * only of a request that never had a number or whose void was applied. */
#ifndef HF_NODE_SESSION_H
#define HF_NODE_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/env.h"
#include "base/limits.h"
#include "server/node/read.h"

struct client;
struct node;
struct client_op;

/* Why a leader takes no new requests now; announced to all nodes. */
enum leader_flag {
    LEADER_NOSPACE = 1, /* no majority has room on disk */
    LEADER_OOM = 2,     /* memory limit */
    LEADER_INIT = 4,    /* kv init has not finished */
    LEADER_HOLD = 8,    /* full, and about to hand over to one that is not */
};

enum {
    SESSION_OPEN_MS = 200,        /* an unanswered OPEN is sent again */
    SESSION_SEND_MAX = 512 << 10, /* bytes of one message of requests */
    SESSION_TICK_MS = 20,
};

/* One numbered request. */
struct numbered {
    struct blob *command;
    struct client_op *op; /* NULL: answered already, or cancelled */
    uint64_t void_us;     /* from then on sent as a void */
    uint64_t deadline_us;
    bool resolved;
};

struct session {
    uint64_t id; /* 0: none open */
    uint8_t nonce[16];
    bool nonce_set;        /* an OPEN with it may be under way */
    uint64_t open_us;      /* when it was last sent; 0: never */
    uint64_t base;         /* lowest unresolved number */
    uint64_t next;         /* next number to give */
    uint64_t sent;         /* next number to send to the present leader */
    uint64_t voiding;      /* numbers below are sent as voids */
    uint64_t progress_us;  /* base moved, or all was sent again */
    uint64_t nack_us;      /* when the leader's last one was acted on */
    uint64_t nacked;       /* one to act on at the next tick; 0: none */
    struct numbered *ring; /* LIM_SESSION_WINDOW, by number */
    size_t bytes;          /* commands of unresolved numbers */
    struct op_list parked; /* without a number */
    struct env_timer timer;
    struct env_task pump;
};

void session_init(struct node *n);
void session_release(struct node *n);

/* Take over a write that may begin. */
void session_write(struct node *n, struct client_op *op);
void session_cancel(struct node *n, struct client_op *op);
/* Leader, readiness, connection or window changed: see what can be sent.
 * @again: everything unresolved has to be sent again. */
void session_pump(struct node *n, bool again);
/* The leader lacks numbers from @expected on. */
void session_nack(struct node *n, uint64_t id, uint64_t expected);
/* Number @number of the own session was applied at @index: as the request
 * (@reply is its answer) or as a void. */
void session_resolve(struct node *n,
                     uint64_t number,
                     bool voided,
                     struct bytes reply,
                     uint64_t index);
/* Whose number @number is; NULL: it is answered, or nobody's. */
struct client *session_client(struct node *n, uint64_t number);
/* Is it answered by the own apply alone? */
bool session_waits_for_apply(struct node *n, uint64_t number);
/* The own apply opened a session for this node. */
void session_opened(struct node *n, uint64_t id, const uint8_t nonce[16]);
/* The session is gone: everything with a number is of unknown outcome. */
void session_lost(struct node *n, const char *why);
/* A snapshot replaced the machine: compare with what it says. */
void session_restored(struct node *n);

#endif
