/* Private to server/node: the member and its parts. */
#ifndef HF_NODE_NODE_INT_H
#define HF_NODE_NODE_INT_H

#include "base/assert.h"
#include "base/disk.h"
#include "base/mutant.h"
#include "base/quota.h"
#include "raftio/driver.h"
#include "raftio/identity.h"
#include "raftio/peer.h"
#include "raftio/snap.h"
#include "raftio/snapxfer.h"
#include "raftio/vote.h"
#include "raftio/wal.h"
#include "server/command/admin.h"
#include "server/node/client.h"
#include "server/node/ctime.h"
#include "server/node/feed.h"
#include "server/node/leader.h"
#include "server/node/member.h"
#include "server/node/node.h"
#include "server/node/read.h"
#include "server/node/repair.h"
#include "server/node/session.h"
#include "server/node/snapshot.h"
#include "server/node/wait.h"
#include "server/node/walker.h"
#include "server/store/machine.h"

/* Messages between nodes (docs/FORMATS.md, "Node messages"). Each begins with
 * the envelope: u64 estimate of cluster time (ms, 0: none), u64 wall clock
 * (ms). Never reuse a number. */
enum node_msg {
    NMSG_RAFT = 1,
    NMSG_LEADER = 2,     /* a ready leader: term, flags */
    NMSG_OPEN = 3,       /* open a session: nonce */
    NMSG_WRITES = 4,     /* numbered requests and voids */
    NMSG_NACK = 5,       /* numbers are missing */
    NMSG_REPLIES = 6,    /* of applied requests */
    NMSG_READ_ROUND = 7, /* name an index for a read round */
    NMSG_READ_INDEX = 8,
    NMSG_PASS = 9, /* answer this read or question for me */
    NMSG_PASS_REPLY = 10,
    NMSG_SNAP = 11,    /* snapshot transfer */
    NMSG_STATE = 12,   /* what a follower has: room, applied index */
    NMSG_ADDRESS = 13, /* this member's addresses are others now */
    NMSG_REPAIR = 14,  /* damaged: u8 wants a snapshot, u64 at least at */
    NMSG_PUBLISH = 15, /* a message for subscribers */
    /* questions between nodes that need not know each other */
    NASK_JOIN = 32,
    NASK_PREPARE = 33,
    NASK_ANSWER = 34,
};
enum { NODE_ENVELOPE = 16 };

/* What a member last told the leader, or the leader everyone. */
struct peer_state {
    uint64_t id;
    uint64_t heard_us; /* any message of it; 0: never */
    uint64_t applied;
    bool no_room;
    uint64_t log_bytes; /* of its log */
    uint64_t state_us;  /* when it said so; 0: never */
    uint64_t repair_us; /* when it said that it is in repair; 0: it is not */
    /* What the leader last announced of it (on followers). */
    uint64_t told_us; /* when; 0: never */
    uint64_t told_match;
    bool told_alive;
};

struct node {
    struct env *env;
    struct node_config cfg;
    struct node_cbs cbs;
    struct logger *log;
    uint64_t id; /* 0: blank */
    uint64_t started_us;
    bool loading;  /* the data directory is being read */
    bool running;  /* the engine runs */
    bool stopping; /* orderly end under way */
    bool ended;    /* on_exit was called: nothing happens any more */

    struct identity ident;
    struct vote vote;
    struct wal *wal;
    struct peer_net *peers;
    struct driver driver;
    bool driver_made;
    struct machine *machine;     /* NULL while loading */
    struct machine *old_machine; /* being freed in slices */

    /* leader as announced: takes requests in that term */
    uint64_t ready_leader;
    uint64_t ready_term;
    unsigned ready_flags;
    uint64_t seen_leader; /* last (leader, term) that parts were told */
    uint64_t seen_term;
    uint64_t leader_changes;
    uint64_t leaderless_us; /* since when none is known; 0: one is */

    struct peer_state states[LIM_NODES + 1];
    unsigned states_n;

    struct session session;
    struct leader leader;
    struct reads reads;
    struct walker walker;
    struct feeds feeds;
    struct ctime ctime;
    struct membership member;
    struct snapshotter snapshot;
    struct node_repair repair;
    struct node_hooks hooks;
    unsigned notify;         /* enum notify_class */
    uint64_t replay_to;      /* last index that the log had at the start */
    struct client *changing; /* whose request is being applied; NULL: none */
    uint64_t touch_us;       /* last sign of a leader, or of a majority */
    uint64_t no_room_us;     /* entries are cut off since then; 0: none are */
    bool out_of_touch;
    struct quota unpublished;  /* lines about messages that were dropped */
    struct snap_meta settling; /* index 0: no repair is being ended */
    bool told_ready;           /* on_ready() was called */

    struct env_timer driver_timer;
    bool timer_was_late;
    struct env_timer tick; /* housekeeping every NODE_TICK_MS */
    struct env_timer stop_timer;
    struct env_task changed_task; /* role, leader or configuration changed */
    struct env_task applied_task; /* entries were applied */
    struct env_timer garbage;
    struct node_loader *loader; /* while loading */
    struct op_list admin;       /* actions that wait for a leader */
    struct waits waits;
    struct link_view links[LIM_NODES]; /* as last asked for */
    char os[200];                      /* uname */
    struct quota foreign;              /* lines about what peers send */
    size_t internal_ops;               /* other nodes' reads answered here */
    size_t internal_bytes;             /* of their commands */
    size_t reply_bytes; /* of replies that no connection has taken yet */
    uint64_t applying;  /* index being applied, for observers */
    uint64_t stall_us;  /* when a stalled disk was last acted on */
    struct peers_job *peers_job; /* the peers file is being written */
    bool peers_dirty;
    bool members_dirty;
    struct log_read *log_reads; /* under way */
    bool forming;               /* entry 1 is on its way to the disk */
    bool closing;               /* the log is being closed */
    uint64_t stop_us;           /* when node_stop() was called */
    char exit_why[HF_ERRMSG_MAX];
    enum node_exit exit_status;
    struct env_task exit_task;
};

enum {
    NODE_TICK_MS = 50,
    NODE_LATE_MS = 20,       /* a timer as late as that: first the sockets */
    NODE_GARBAGE_STEP = 64,  /* pieces freed at a time, ... */
    NODE_GARBAGE_STEPS = 64, /* ... so often in a turn at most, ... */
    NODE_GARBAGE_US = 2000,  /* ... and no longer than that */
    NODE_REPLY_BYTES = 64 << 20,   /* replies not taken yet; then no read is
                                      evaluated */
    NODE_APPEND_BYTES = 128 << 20, /* entries of a leader that wait for the
                                      disk; then they are refused, and sent
                                      again by the leader */
    NODE_STALL_EXIT_MS = 10000,    /* a log write that takes so long: exit */
    NODE_STOP_TRANSFER_MS = 1500,  /* to hand leadership over */
    NODE_STOP_DRAIN_MS = 1000,     /* for requests under way */
};

/* Tokens of log writes that are not the driver's. */
#define NODE_TOKEN_RESET (UINT64_MAX - 1)
#define NODE_TOKEN_FORM (UINT64_MAX - 2)
#define NODE_TOKEN_SETTLE (UINT64_MAX - 3)

/* ---- node.c ---- */
void node_fail(struct node *n, enum node_exit status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void node_envelope(struct node *n, struct buf *b);
void node_event(struct node *n, enum node_event what, uint64_t a, uint64_t b);
/* The leader that takes requests now, as announced; 0: none known. */
uint64_t node_ready_leader(const struct node *n);
unsigned node_leader_flags(const struct node *n);
void node_op_cancel(struct node *n, struct client_op *op);
struct peer_state *node_peer_state(struct node *n, uint64_t id);
/* Was @id heard of within two election timeouts? Of other followers a
 * follower knows what the leader announces. */
bool node_alive(struct node *n, uint64_t id);
/* The last index that @id is known to have; 0: nothing is known. */
uint64_t node_match(struct node *n, uint64_t id);
static inline uint64_t node_now_ms(struct node *n)
{
    return env_now_ms(n->env);
}
/* Blank seat: remember which cluster it is promised to. */
int node_promise(struct node *n,
                 const uint8_t cluster[ID_BYTES],
                 bool force,
                 struct errmsg *em);
/* Become the first member of the promised cluster. */
int node_form(struct node *n, struct errmsg *em);
/* Become member @id of @cluster, with an empty log. */
int node_join(struct node *n,
              const uint8_t cluster[ID_BYTES],
              uint64_t id,
              struct errmsg *em);
/* Read the data directory again: its repair has changed it. */
void node_reload(struct node *n);
void node_machine_swap(struct node *n, struct machine *m);
/* A snapshot was installed or loaded: tell the parts. */
void node_restored(struct node *n, const struct snap_meta *m);
void node_garbage(struct node *n);
void node_formed(struct node *n);
void node_internal_op_end(struct node *n, size_t bytes);
/* What made node_full() true may have gone: sockets are read again. */
void node_made_room(struct node *n, bool was_full);

/* ---- publish.c ---- */
void publish_on_message(struct node *n, uint64_t from, struct reader *r);
/* The machine's, for struct node_hooks. */
void publish_change(void *ctx, enum store_event kind, struct bytes key);
void publish_notify(void *ctx,
                    enum notify_class class,
                    const char *event,
                    struct bytes key);
/* The machine jumped. */
void publish_lost(struct node *n);
/* Housekeeping: is the leader there? */
void publish_tick(struct node *n);

/* ---- client.c ---- */
void client_op_done(struct client_op *op, uint64_t index);
void client_op_reply(struct client_op *op, struct bytes reply, uint64_t index);
void client_op_error(struct client_op *op, const char *line);
bool client_is_stale(const struct client *c, uint64_t *max_age_ms);
uint64_t client_min_index(const struct client *c);
/* Its replies are not taken fast enough: no further read is evaluated. */
bool client_full(const struct client *c);
/* See client_set_tracking(). */
bool client_tracks(const struct client *c);
/* Is running read @op the oldest that has no reply? */
bool client_read_is_first(struct client *c, const struct client_op *op);
/* An XREAD that may wait: its place is this node. */
bool client_op_blocks(const struct client_op *op);
/* How many reads wait for that, after @change (1, -1, 0). */
size_t client_reads_held(struct client *c, int change);
/* The read that begins now is the only one without a reply. */
bool client_reads_alone(const struct client *c);

/* ---- admin.c ---- */
void admin_begin(struct node *n, struct client_op *op);
void admin_cancel(struct node *n, struct client_op *op);
void admin_tick(struct node *n);
/* Command bytes that open a named session (one per log entry). */
bool command_opens(struct bytes command);
/* Command bytes that can only free memory: allowed at the memory limit. */
bool command_frees(const struct blob *command);

#endif
