/* One client connection, inside server/edge.
 *
 *   edge.c      listeners, the list of connections, counters
 *   conn.c      bytes in, bytes out, fair turns, closing
 *   dispatch.c  from a command to an operation; MULTI, WATCH, EXEC
 *   local.c     commands that the connection answers itself
 *   auth.c      AUTH, who a connection is, what it may do here; acl_log.c
 *   clients.c   CLIENT and MONITOR: the connections as operators see them
 *   exec.c      an EXEC with commands that are not on data
 *   pubsub.c    publish and subscribe
 *   tracking.c  client-side caching
 *
 * Two moments of a command are kept apart. It is *dispatched* when its words
 * are parsed: what decides its form (inside MULTI or not, stale or not) is
 * of that moment. Its *turn* comes when all earlier ones are answered: what
 * shapes the reply (RESP version, names) is of that one. */
#ifndef HF_SERVER_EDGE_CONN_INT_H
#define HF_SERVER_EDGE_CONN_INT_H

#include "base/quota.h"
#include "resp/resp.h"
#include "server/command/command.h"
#include "server/command/stats.h"
#include "server/edge/auth.h"
#include "server/edge/conn.h"
#include "server/edge/pubsub.h"
#include "server/edge/tracking.h"

enum { CONN_REPLY_GUESS = (256 << 10) + 1 }; /* before any reply was seen */

/* Kinds of lines that clients can cause. */
enum edge_quota {
    EDGE_QUOTA_PROTOCOL,
    EDGE_QUOTA_REFUSED,
    EDGE_QUOTA_SLOW,
    EDGE_QUOTA_REPLY,
    EDGE_QUOTA_IDLE,
    EDGE_QUOTA_AUTH,
    EDGE_QUOTAS
};

/* What is to be counted when a command is answered. */
struct counted {
    const struct command *command; /* NULL: nothing */
    uint64_t start_us;             /* when its words were there */
    bool rejected;                 /* before it was begun */
};

struct edge {
    struct env *env;
    struct node *node;
    struct logger *log;
    struct edge_options opt;
    struct net_listener *listener[EDGE_PORTS];
    struct conn *head;
    uint64_t next_id;
    size_t unanswered;
    struct edge_counters counters;
    bool starved;      /* some connection waits for edge_on_room() */
    size_t unsent;     /* of all connections, as last looked at: not too low */
    unsigned monitors; /* connections that said MONITOR */
    uint64_t pause_until_us; /* CLIENT PAUSE; 0: none */
    bool pause_all;          /* ... of all commands, not of writes only */
    struct env_timer pause;
    struct quota quota[EDGE_QUOTAS];
    struct acl_log *acl_log; /* NULL: nothing was refused yet */
    struct pubsub *pubsub;
    struct tracking *tracking;
    unsigned notify;    /* enum notify_class */
    uint64_t turn_us;   /* when conn_process() began */
    struct counted now; /* the command that dispatch() is at */
    const struct bytes *now_argv;
    int now_argc;
};

struct exec_chain;

/* A watched key and its revision. */
struct watched {
    struct blob *key;
    uint64_t revision;
};

struct conn {
    struct edge *edge;
    struct conn *prev;
    struct conn *next;
    struct net_conn *net;
    struct client *client; /* NULL: refused at once, only closing */
    enum edge_port port;
    uint64_t id;
    uint64_t born_ms;
    uint64_t active_us; /* last bytes from the client */

    /* bytes in */
    struct buf in;
    size_t in_at; /* bytes of @in that are done with */
    struct resp_parser parser;
    bool paused;   /* the socket is not read */
    unsigned turn; /* commands it may still begin in this turn */

    /* operations */
    size_t pending;        /* submitted, unanswered */
    size_t pending_bytes;  /* their commands */
    size_t reply_peak;     /* size of late replies, decaying */
    struct env_task task;  /* ends it, or goes on with @in */
    struct env_timer more; /* goes on with @in in the next turn; lingers */
    struct env_timer idle;
    struct env_timer stall;
    uint64_t written;     /* bytes given to the socket, ever */
    size_t counted;       /* of edge->unsent */
    uint64_t stall_taken; /* of them sent when @stall last saw progress */
    uint64_t stall_since_us;
    uint64_t stall_wait_us;

    /* ending */
    bool quitting;  /* no further command is begun */
    bool lingering; /* closes when its output has left */
    bool doomed;    /* closes in its task */
    uint64_t linger_us;

    bool drain;        /* ... and what comes in is thrown away before */
    uint64_t drain_us; /* when something last came */

    /* of the turn */
    bool resp3;
    bool reply_off;  /* CLIENT REPLY OFF */
    bool reply_skip; /* ... SKIP: the next reply is not sent */
    bool no_reply;   /* the command that has its turn has none */
    bool no_evict;
    bool no_touch;
    bool monitor;
    struct pubsub_conn subs; /* changed while nothing else is under way */
    struct track *track;     /* NULL: it does not; as subs */
    size_t redirected;       /* connections that track have it told here */
    struct buf name;
    struct buf lib_name;
    struct buf lib_ver;

    /* of dispatch */
    struct blob *user;  /* it has authenticated as; NULL: as nobody */
    uint64_t user_born; /* see struct user */
    bool leaving;       /* may have removed its own user */
    bool asking; /* whether the last command may run; then it is dispatched */
    const struct command *last; /* NULL: none yet */
    bool postponed;             /* a pause keeps it */
    bool stale;
    uint64_t max_age_ms;
    bool multi;
    bool multi_dirty;
    bool multi_writes;
    struct buf queue; /* for each command: u32 words, each u32 length, bytes */
    size_t queue_commands;
    size_t queue_own;         /* of them not on data: exec.c */
    struct exec_chain *chain; /* an EXEC that is being answered, or NULL */
    size_t queue_words;
    struct watched *watched;
    size_t n_watched;
    size_t watching;      /* keys whose revisions are being asked for */
    size_t watch_bytes;   /* what both make of an EXEC, in bytes */
    uint64_t watch_epoch; /* raised when what is watched is forgotten */
    bool watch_broken;    /* a WATCH failed: so must the EXEC */
    bool exec_waits;      /* an EXEC until the revisions are known */
    struct buf exec_once; /* ... and its session and number, or empty */
    bool held; /* nothing is dispatched until the last one had its turn */
};

/* One command under way. */
struct conn_op {
    struct client_op op;
    struct conn *conn;
    size_t bytes;
    struct buf reply;  /* OP_LOCAL: what is answered, if known beforehand */
    uint64_t epoch;    /* WATCH */
    size_t keys;       /* WATCH */
    struct blob *then; /* AUTH: what is answered then, or NULL */
    struct track_op *track; /* what it reads, for a client that keeps it */
    struct counted counted;
};

/* conn.c */
struct conn *conn_new(struct edge *e,
                      enum edge_port port,
                      struct net_conn *net);
void conn_close(struct conn *c); /* at once; not from inside an operation */
void conn_doom(struct conn *c);  /* at once, from anywhere */
void conn_too_slow(struct conn *c, const char *why); /* the same, logged */
/* Answer one canonical reply now: it is this command's turn. */
void conn_reply(struct conn *c, struct bytes reply);
/* Bytes as they are, between two replies. */
void conn_write(struct conn *c, struct bytes b);
/* Begin nothing more; close when what was answered has left. */
void conn_finish(struct conn *c);
/* Operations begun, answered; conn_ended() may let more begin. */
struct conn_op *conn_op_new(struct conn *c, enum client_op_kind kind);
void conn_op_submit(struct conn_op *o);
void conn_op_free(struct conn_op *o); /* answered: counts, goes on */
void conn_process(struct conn *c);    /* begin what may begin */
void conn_wake(struct conn *c);       /* conn_process() in a task */
/* Output has grown: no read is evaluated while there is too much. */
void conn_hold_reads(struct conn *c);

/* @reply was given to what dispatch() is at, or to @o. */
void edge_count_now(struct conn *c, struct bytes reply);
void edge_count_op(struct conn_op *o, struct bytes reply);
/* ... to an EXEC that was not one operation. */
void edge_count_exec(struct conn *c,
                     const struct counted *k,
                     struct bytes reply);
/* Is a line of this kind to be written now? */
bool edge_may_log(struct edge *e, enum edge_quota kind);
/* Output of @c has grown: no more than output_total in all. */
void edge_count_output(struct edge *e, struct conn *c);

/* dispatch.c */
void dispatch(struct conn *c, const struct bytes *argv, int argc);
/* The same, of a command that was found and may run. */
void dispatch_go(struct conn *c,
                 const struct command *cmd,
                 const struct bytes *argv,
                 int argc);
/* Answer in turn with @reply, whose bytes are taken. */
void dispatch_answer(struct conn *c, struct buf *reply);
/* Begin an operation of the node; @done frees it. */
void dispatch_op(struct conn *c,
                 enum client_op_kind kind,
                 const struct command *cmd,
                 const struct bytes *argv,
                 int argc,
                 void (*done)(struct client_op *op, struct bytes reply));
void multi_forget(struct conn *c);
void watch_forget(struct conn *c);

/* local.c */

/* HELLO's words; pointers into them, NULL where there is none. */
struct hello {
    bool resp3;
    const struct bytes *user;
    const struct bytes *password;
    const struct bytes *name;
};
/* False: the error was appended. */
bool hello_parse(const struct conn *c,
                 const struct bytes *argv,
                 int argc,
                 struct hello *h,
                 struct buf *reply);
/* The line of CLIENT INFO. */
void conn_info(const struct conn *c, struct buf *out);
/* Now is its turn. */
void local_run(struct conn *c,
               const struct command *cmd,
               const struct bytes *argv,
               int argc,
               struct buf *reply);

/* clients.c */
void client_command(struct conn *c,
                    const struct command *cmd,
                    const struct bytes *argv,
                    int argc,
                    struct buf *reply);
/* NULL: there is none, or it only ends. */
struct conn *conn_by_id(const struct edge *e, uint64_t id);
/* False, with an error: @what may not be called so. */
bool conn_set_name(struct buf *to,
                   struct bytes name,
                   const char *what,
                   struct buf *reply);
/* Is nothing begun now (@all), or no write? */
bool edge_pauses(const struct edge *e, bool all);
void edge_on_unpause(struct env_timer *t);
void conn_monitor(struct conn *c, struct buf *reply);
void conn_unmonitor(struct conn *c);
/* Show a command to those that said MONITOR. */
void edge_monitor(struct conn *c,
                  const struct command *cmd,
                  const struct bytes *argv,
                  int argc);

/* exec.c */
/* May stand between MULTI and EXEC, and is not the machine's. */
bool exec_is_own(const struct command *cmd);
/* Answer what is queued, of which some is not on data. @txn: what is, and the
 * conditions; NULL: there is neither. */
void exec_chain(struct conn *c,
                enum client_op_kind kind,
                const struct command *txn,
                const struct bytes *argv,
                int argc);
void exec_chain_free(struct exec_chain *x); /* NULL is allowed */

#endif
