/* One member: the life of a request between the client's connection and the
 * replicated machine (docs/ARCHITECTURE.md tours the files).
 *
 *   client.c    order within one connection
 *   session.c   numbered writes of this node: parked, sent, resent, voided
 *   leader.c    intake of numbered writes at the leader, batches, replies
 *   read.c      read rounds, stale reads, reads passed to the leader
 *   feed.c      XREAD and its like: looking through changes, waiting for them
 *   walker.c    KEYS, RANGE: walks over many keys, beside the loop
 *   ctime.c     cluster time
 *   wait.c      WAIT and SAVE: answers that wait for something
 *   member.c    init, join, seats, promotion, removal, transfer
 *   snapshot.c  taking, sending, installing snapshots
 *   load.c      reading the data directory
 *   repair.c    a damaged data directory
 *   publish.c   messages to subscribers of other nodes
 *   node.c      start, stop, and the wiring of log, vote, peers and engine
 *
 * Everything here runs on the loop thread. */
#ifndef HF_NODE_NODE_H
#define HF_NODE_NODE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/env.h"
#include "base/limits.h"
#include "base/log.h"
#include "server/node/observer.h"
#include "server/store/machine.h"

struct config_view;
struct edge_counters;
struct process_hooks;
struct machine;
struct member_view;
struct node;
struct node_view;

/* Exit statuses of the process; holdfastd(8) and the service file list them.
 */
enum node_exit {
    NODE_EXIT_OK = 0,
    NODE_EXIT_USAGE = 2,
    NODE_EXIT_BUG = 70,     /* an internal contradiction was found */
    NODE_EXIT_DISK = 74,    /* a log or vote write or sync failed */
    NODE_EXIT_DAMAGED = 75, /* the data are damaged, or of another node */
    NODE_EXIT_BUSY = 76,    /* another process has the data directory */
    NODE_EXIT_REMOVED = 77, /* this member was removed from its cluster */
};

/* Copied by node_start(), strings included. Zero means the default. */
struct node_config {
    char peer_listen[LIM_ADDR];      /* where to accept peers */
    char peer_announce[LIM_ADDR];    /* what peers dial: this node's seat */
    char client_announce[LIM_ADDR];  /* plain port, as clients should dial */
    char cluster_announce[LIM_ADDR]; /* cluster port, likewise */
    char bind_host[LIM_ADDR];        /* source address for dialling peers */
    char join[LIM_SEATS][LIM_ADDR];  /* peer addresses of all seats */
    int join_n;

    uint64_t election_ms;        /* LIM_ELECTION_MS */
    uint64_t heartbeat_ms;       /* LIM_HEARTBEAT_MS */
    uint64_t request_timeout_ms; /* 4000 */
    uint64_t silence_ms;         /* 3000: a seat's holder may be replaced */
    uint64_t segment_bytes;      /* 64 MiB */
    uint64_t snapshot_floor;     /* 128 MiB of log before the first snapshot */
    uint64_t snapshot_rate;      /* bytes/s of a transfer, 128 MiB */
    uint64_t log_budget;         /* bytes of log at which writes slow down */
    uint64_t cache_bytes;        /* entry payloads kept in memory, 32 MiB */
    uint64_t memory_limit;       /* bytes of keys and values; 0 = none */
    uint64_t request_max;        /* bytes of one request, LIM_REQUEST */
    uint64_t history_count; /* latest changes kept, HISTORY_COUNT_DEFAULT */
    uint64_t history_bytes; /* of them, HISTORY_BYTES_DEFAULT; at most an
                               eighth of memory_limit */
    bool repair_refuse;     /* a damaged directory is refused */

    /* For INFO and CONFIG GET; may be NULL. Kept, not copied. */
    const struct config_view *settings;
    size_t settings_n;
    const struct edge_counters *edge;
    /* What only the process can do: CONFIG SET, SHUTDOWN... Kept. */
    const struct process_hooks *process;

    struct logger *log;
    const struct node_observer *observer; /* may be NULL */
};

struct node_cbs {
    void *data;
    /* The node has ended by itself or after node_stop(): the owner calls
     * node_free() from a later turn. @why is one line, never NULL. */
    void (*on_exit)(void *data, enum node_exit status, const char *why);
    /* Identity and data are read; the node takes part (or waits for init). */
    void (*on_ready)(void *data);
    /* Parked requests fell below their limits again: read sockets. */
    void (*on_room)(void *data);
    /* Users were changed, or the whole state was: during apply, so only take
     * note. */
    void (*on_users)(void *data);
};

/* Open the data directory of @e->disk and take part. Returns at once; data
 * are read off the loop while requests are parked. Errors that show later
 * come through on_exit. */
int node_start(struct env *e,
               const struct node_config *cfg,
               const struct node_cbs *cbs,
               struct node **out,
               struct errmsg *em);

/* Orderly end: refuse new requests, hand leadership over, close the log.
 * on_exit(NODE_EXIT_OK) follows within NODE_STOP_MAX_MS. */
void node_stop(struct node *n);
enum { NODE_STOP_MAX_MS = 5000 };

/* Free everything at once without writing anything more: after on_exit, or
 * as a crash in simulation. No work of this node may still be running. */
void node_free(struct node *n);

/* Connections that wait for a change. */
size_t node_blocked(const struct node *n);

/* ---- what edge and admin need to know ---- */
bool node_is_leader(const struct node *n); /* and ready to serve */
uint64_t node_id(const struct node *n);    /* 0: blank */
/* Cluster address of the leader ("" when unknown or not announced yet). */
const char *node_leader_cluster_address(const struct node *n);
/* For how long no leader has been known; 0: one is. */
uint64_t node_leaderless_ms(const struct node *n);
bool node_full(const struct node *n); /* stop reading client sockets */
bool node_draining(const struct node *n);
struct machine *node_machine(struct node *n); /* NULL while loading */
uint64_t node_time_ms(struct node *n);        /* cluster time, estimated */
enum { NODE_MESSAGE_MAX = 512 };
/* Everything that INFO, STATUS and CLUSTER show. @members has LIM_NODES
 * places; @v points into it and into @message. Returns their number. */
unsigned node_view_fill(struct node *n,
                        struct node_view *v,
                        struct member_view *members,
                        char message[NODE_MESSAGE_MAX]);

/* ---- what the edge hears from the node ---- */

/* Any may be NULL. They must not call back into the node, but for
 * node_publish() and what asks. */
struct node_hooks {
    void *data;
    /* A client of another node published this. */
    void (*on_publish)(void *data,
                       uint8_t kind,
                       struct bytes channel,
                       struct bytes message);
    /* A key changed at this node (STORE_CLEAR: all did, @key is empty), log
     * that is applied again after a start included. @client: client_data() of
     * whose request did it, NULL if it is not one of this node. */
    void (*on_change)(void *data,
                      enum store_event kind,
                      struct bytes key,
                      void *client);
    /* As machine_observer.on_notify(), of what node_set_notify() asked for.
     * Not of log that is applied again after a start. */
    void (*on_notify)(void *data,
                      enum notify_class class,
                      const char *event,
                      struct bytes key);
    /* What was read here may be old, and nothing will say so: changes were
     * jumped over, or this node lost touch with the leader. */
    void (*on_lost)(void *data);
};
/* Copied; NULL: none any more. */
void node_set_hooks(struct node *n, const struct node_hooks *h);

void node_set_notify(struct node *n, unsigned classes);
/* Has this node heard, within an election timeout, of a leader (leading: of a
 * majority)? If not, on_lost() was called, and is again after the next loss. */
bool node_in_touch(const struct node *n);

/* Tell every other node that is up. At most once, in order; never blocks:
 * beyond NODE_PUBLISH_BYTES unsent bytes it is dropped for that node, with a
 * log line. */
enum { NODE_PUBLISH_BYTES = 8 << 20 };
void node_publish(struct node *n,
                  uint8_t kind,
                  struct bytes channel,
                  struct bytes message);
/* Settings that were changed: of @cfg are taken request_timeout_ms,
 * snapshot_rate, snapshot_floor, log_budget, memory_limit and history_*. */
void node_configure(struct node *n, const struct node_config *cfg);
/* @event took @ms: for LATENCY. */
void node_latency(struct node *n, const char *event, uint64_t ms);

/* The edge is made after the node: its counters for INFO. Kept. */
void node_set_edge(struct node *n, const struct edge_counters *edge);

#endif
