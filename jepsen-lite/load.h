/* The workloads' common ground: clients, operations, keys.
 *
 * Each client is a thread that does one operation after the other. It has a
 * way to the cluster (RESP or libholdfast, one of the two ports, RESP2 or 3),
 * a timeout and habits (keeps to its node, moves, reconnects), all by seed,
 * and writes down what it does with op_begin() and op_end(). */
#ifndef HF_JEPSEN_LOAD_H
#define HF_JEPSEN_LOAD_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "base/rng.h"
#include "jepsen-lite/client_lib.h"
#include "jepsen-lite/client_resp.h"
#include "jepsen-lite/history_out.h"

enum {
    LOAD_NODES_MAX = LIM_NODES,
    LOAD_CLIENTS_MAX = 1000,
    LOAD_TIMEOUT_MS = 5000, /* longer than a node's deadline */
    LOAD_SHORT_MS = 300,    /* of the impatient: makes unknown outcomes */
    LOAD_CONNECT_MS = 500,
    LOAD_FINAL_MS = 30000, /* in which every node has to answer at the end */
    LOAD_MOVES_MAX = 5,    /* -MOVED in a row */
    KEY_OPS_MAX = 200,     /* operations on a key; then the next key */
    KEY_PROCESSES_MAX = 10,
    KEY_INFO_MAX = 4,
    KEY_SLOTS_MAX = 8, /* keys in use at a time, a workload */
    NAME_MAX_LEN = 32  /* bytes of a key's name, NUL included */
};

struct client;
struct load;

/* ---- workloads ---- */

struct workload {
    const char *name;
    int clients;    /* of 30; more or fewer clients are dealt out alike */
    bool resp_only; /* needs what the library has not */
    void *(*setup)(struct load *l); /* state shared by its clients */
    void (*begin)(struct client *c,
                  void *shared); /* before all traffic; or NULL */
    void (*step)(struct client *c, void *shared); /* about one operation */
    /* The quiet end: reads at the node of @c. False: it did not answer. */
    bool (*final)(struct client *c, void *shared);
};

extern const struct workload work_append, work_bank, work_counter, work_feed,
    work_ids, work_lock, work_register, work_set, work_stale, work_tracking,
    work_ttl, work_watch;

/* ---- the run ---- */

struct node_at {
    char plain[LIM_ADDR];
    char cluster[LIM_ADDR];
};

struct tally {
    uint64_t ok, fail, info;
};

struct load {
    struct node_at nodes[LOAD_NODES_MAX];
    int n_nodes;
    uint64_t seed;
    int64_t end_ms;       /* of the traffic, rconn_now_ms() */
    uint32_t interval_ms; /* mean time between operations of a client */
    struct history_out *out;

    pthread_mutex_t lock; /* of all below */
    uint64_t next_process;
    uint64_t next_session; /* of connections */
    uint64_t last_ok_ns;
    uint64_t gap_ns; /* longest time without any ok */
    uint64_t node_last_ok_ns[LOAD_NODES_MAX];
    uint64_t node_gap_ns[LOAD_NODES_MAX];
    uint64_t quiet_last_ok_ns; /* from the quiet end's beginning on */
    uint64_t quiet_gap_ns;
};

uint64_t load_process(struct load *l); /* a number never used before */
bool load_over(const struct load *l);
/* The traffic is over: silence until now counts as a gap, too. */
void load_gaps_end(struct load *l);

/* ---- clients ---- */

enum habit { HABIT_STAY, HABIT_MOVE, HABIT_RECONNECT };

struct client {
    struct load *load;
    const struct workload *w;
    void *shared;
    struct rng rng;
    int number; /* 0.. among the clients of its workload */
    uint64_t p; /* process */
    uint64_t n; /* operations begun, for unique values */
    struct tally tally;

    bool via_lib;
    bool on_cluster; /* port */
    bool resp3;
    bool final;
    enum habit habit;
    uint32_t timeout_ms;
    int node;          /* 1.. */
    int failures;      /* in a row, of connecting */
    int64_t change_ms; /* when the habit comes through next */

    struct rconn conn;
    struct lib *lib;
    bool stale;          /* reads are local: READONLY at each connection */
    uint32_t max_age_ms; /* of those; 0: any */
    uint64_t session;    /* number of the present connection */
    /* Requests go over the present connection or fail: what was said on it
     * (WATCH, a session's reads) must not be forgotten on the way. */
    bool pinned;

    struct {
        char f[12];
        char key[NAME_MAX_LEN];
        struct buf v;
        struct buf more;
        bool read;
    } op;
    char error[RCONN_ERROR_MAX];
    void *mine; /* the workload's, of this client */
};

void client_init(struct client *c, struct load *l, uint64_t seed);
void client_release(struct client *c);
/* What the habit wants is done; between operations. */
void client_habit(struct client *c);
/* Go to node @node (1..) with the next request. */
void client_go(struct client *c, int node);
void client_next_node(struct client *c);
/* A connection, now. Not for libholdfast, which does that by itself. */
bool client_connect(struct client *c, int64_t deadline_ms);
void client_disconnect(struct client *c);

/* One command, its words parted by single spaces ('' is the empty word).
 * OUT_OK: @a->v is the reply, no error; else c->error. */
enum outcome client_do(struct client *c,
                       bool write,
                       struct answer *a,
                       const char *fmt,
                       ...) __attribute__((format(printf, 4, 5)));

enum txn_way {
    TXN_ANY,    /* TXN over libholdfast, else TXN or MULTI by seed */
    TXN_TXN,    /* needed when there are conditions */
    TXN_WATCHED /* MULTI, pinned to the connection of an earlier WATCH */
};

/* @cmds: commands, each ended by a line feed. @conds: "key revision " each.
 * OUT_OK: @a->v is the array of replies, or null: a condition was false. An
 * error among the replies, or null without a condition, is OUT_INFO. */
enum outcome client_txn(struct client *c,
                        enum txn_way way,
                        const char *conds,
                        const char *cmds,
                        struct answer *a);

/* ---- operations ---- */

/* Write the invoke. @v: JSON; @more: further fields, ",\"a\":1", or "". */
void op_begin(struct client *c,
              bool read,
              const char *f,
              const char *key,
              const char *v,
              const char *more);
/* Write the end. @v: JSON, NULL: as begun. @more as above; with OUT_OK only.
 * A read that got no answer has failed. After an info the process is new. */
void op_end(struct client *c, enum outcome o, const char *v, const char *more);
/* JSON of a reply: a string, a number, an array of them, or null. */
void op_json(struct buf *b, const struct resp_value *v);
const char *op_text(struct buf *b); /* NUL-terminated; NULL buffer: "" */

/* ---- keys in turn ---- */

struct key_slot {
    uint64_t number;
    int ops;
    int infos;
    int n_processes;
    uint64_t processes[KEY_PROCESSES_MAX];
};

/* The keys of a workload that are in use; each is given up for the next one
 * before a checker would have too much to do. */
struct keys {
    pthread_mutex_t lock;
    const char *prefix;
    int n_slots;
    uint64_t next;
    struct key_slot slots[KEY_SLOTS_MAX];
};

void keys_init(struct keys *k, const char *prefix, int n_slots);
/* A key for @ops operations of process @p: a slot by @slot, its name to @name.
 * True: the key is new. */
bool keys_use(struct keys *k,
              int slot,
              uint64_t p,
              int ops,
              char name[NAME_MAX_LEN]);
/* The name in a slot, for the final reads. */
void keys_name(struct keys *k, int slot, char name[NAME_MAX_LEN]);
/* An operation on @name ended with an unknown outcome. */
void keys_info(struct keys *k, const char *name);
/* Take the next key already. */
void keys_drop(struct keys *k, const char *name);

/* ---- the end ---- */

/* Write a state line for each node, as soon as all have applied the same;
 * until @deadline_ms. False: they never had. */
bool state_final(struct load *l, int64_t deadline_ms);

#endif
