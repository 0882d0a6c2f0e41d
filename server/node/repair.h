/* A node whose data directory is damaged (docs/ARCHITECTURE.md, "Repair").
 *
 *   FETCH   its log reached index @need at most: it takes no part until it
 *           has a snapshot that reaches as far; then it is the same member
 *   REJOIN  how far is not known, or its votes are lost: it asks for its own
 *           seat as a new member, and gives its old one up only when that was
 *           granted
 *
 * In both it votes for nobody, acknowledges nothing and serves nothing, and
 * nothing on its disk is touched before a peer has what replaces it. */
#ifndef HF_NODE_REPAIR_H
#define HF_NODE_REPAIR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/env.h"
#include "base/limits.h"
#include "raftio/peer.h"
#include "raftio/repair.h"
#include "raftio/snapxfer.h"

struct node;
struct node_loader;
struct repair_job;
struct reader;

enum {
    REPAIR_ASK_MS = 200,   /* the leader is asked for a snapshot so often */
    REPAIR_SEATS_MS = 500, /* ... and the seats for what they know */
    REPAIR_LOG_MS = 10000, /* "waiting for" line */
    REPAIR_TOLD_MS = 2000, /* so long a node that said so is in repair */
    REPAIR_TEXT = 400,
};

enum repair_mode { REPAIR_OFF, REPAIR_FETCH, REPAIR_REJOIN };

struct node_repair {
    enum repair_mode mode;
    uint64_t need;
    uint64_t log_no;
    struct repair_mark mark;
    struct env_timer timer;
    uint64_t seats_us;
    uint64_t logged_us;
    unsigned damaged;       /* seats that say they are in repair, too (bits) */
    unsigned heard;         /* seats that answered */
    struct repair_job *job; /* NULL: none under way */
    char why[HF_ERRMSG_MAX];
    char refusal[REPAIR_TEXT];
};

void repair_init(struct node *n);
void repair_release(struct node *n);
/* The directory was read and is damaged. */
void repair_begin(struct node *n, const struct node_loader *l);
static inline bool repair_active(const struct node_repair *r)
{
    return r->mode != REPAIR_OFF;
}

/* What a seat answered, as member.c decoded it. */
struct repair_answer {
    unsigned seat;
    bool granted; /* REJOIN: this directory is a member now */
    bool refused;
    bool damaged;
    const char *reason;
    const struct peer_member *members;
    unsigned members_n;
};
void repair_answered(struct node *n, const struct repair_answer *a);

/* The transfer's questions while in repair. */
bool repair_accepts(struct node *n, uint64_t from, const struct snapx_offer *o);
void repair_received(struct node *n, const struct snapx_offer *o);

/* A member says that it is in repair. */
void repair_on_message(struct node *n, uint64_t from, struct reader *r);

/* Did @id say lately that it is in repair? */
bool repair_of_peer(struct node *n, uint64_t id);

/* The log that replaces a void one is on disk. */
void repair_settled(struct node *n);

#endif
