/* Commands that are answered from what the node and the process know of
 * themselves: INFO, TIME, ROLE, CONFIG, STATUS, MEMBER LIST, CLUSTER, SLOWLOG,
 * LATENCY, MEMORY... The node fills a struct node_view, plain data, and this
 * formats it. What the process has to do itself is behind process_hooks.
 *
 *   admin.c     STATUS, MEMBER LIST, TIME, ROLE, CLUSTER SLOTS, SHARDS, NODES,
 *               INFO; what the node is to do
 *   cluster.c   the rest of CLUSTER
 *   config.c    CONFIG
 *   info.c      INFO
 *   observe.c   SLOWLOG, LATENCY, MEMORY, and the rest */
#ifndef HF_SERVER_COMMAND_ADMIN_H
#define HF_SERVER_COMMAND_ADMIN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/limits.h"

enum node_role {
    NODE_BLANK, /* in no cluster yet */
    NODE_LEARNER,
    NODE_FOLLOWER,
    NODE_CANDIDATE,
    NODE_LEADER,
};

/* "blank", "learner", "follower", "candidate", "leader". */
const char *node_role_name(enum node_role r);

struct stats;

struct member_view {
    uint64_t id;
    char address[LIM_ADDR]; /* plain port, as announced */
    char cluster_address[LIM_ADDR];
    char peer_address[LIM_ADDR];
    bool voter; /* else a learner (spare) */
    bool alive; /* heard of within an election timeout */
    bool self;
    bool repairing;       /* its directory is damaged; it takes no part yet */
    uint64_t match_index; /* 0: unknown (only a leader knows) */
    uint64_t lag;         /* entries behind the leader */
    uint32_t seat;        /* from 1; 0: in no seat */
};

/* Kept by the edge. */
struct edge_counters {
    uint64_t connected; /* clients now */
    uint64_t maxclients;
    uint64_t accepted;    /* connections, ever */
    uint64_t rejected;    /* ... over maxclients */
    uint64_t slow_closed; /* ... closed as they did not read */
    uint64_t protocol_errors;
    uint64_t commands; /* processed, ever */
    uint64_t errors;   /* replies that were errors, ever */
    uint64_t input_bytes;
    uint64_t output_bytes;
    /* of this node */
    uint64_t pubsub_channels;
    uint64_t pubsub_patterns;
    uint64_t pubsubshard_channels;
    uint64_t tracking_clients;
    uint64_t tracking_total_keys;
    uint64_t tracking_total_items;    /* pairs of key and client */
    uint64_t tracking_total_prefixes; /* of all clients */
    uint64_t reads;                   /* of sockets */
    uint64_t unsent_bytes;            /* replies that wait for their clients */
    uint16_t plain_port;
    uint16_t cluster_port;
    struct stats *stats; /* of commands; NULL: not counted */
};

struct config_view {
    const char *name;
    const char *value;
};

/* What only the process itself can do. Errors are whole replies. */
struct process_hooks {
    void *data;
    /* CONFIG SET: @pairs names and @pairs values, in turn; all or none. True,
     * or false with an error appended. */
    bool (*config_set)(void *data,
                       const struct bytes *words,
                       size_t pairs,
                       struct buf *reply);
    /* CONFIG REWRITE: likewise. */
    bool (*config_rewrite)(void *data, struct buf *reply);
    void (*reset_stats)(void *data);
    /* As SIGTERM does. False: it is being stopped already. */
    bool (*shutdown)(void *data);
    void (*sleep_us)(void *data, uint64_t us); /* the whole loop */
    void (*purge)(void *data); /* free memory goes back to the system */
    /* What the allocator says of itself, as text. */
    void (*malloc_stats)(void *data, struct buf *text);
    const char *allocator; /* its name and version */
    bool debug;            /* DEBUG is allowed */
    const char *config;    /* the settings' file; "": none */
    const char *executable;
};

/* The connections between this node and another member. */
struct link_view {
    uint64_t id;
    bool up;
    uint64_t since_ms; /* cluster time; 0: not known */
    uint64_t sent_messages, received_messages;
    uint64_t sent_bytes, received_bytes;
    uint64_t queued_bytes;
};

/* Everything in it is borrowed during one call. */
/* A node that has known no leader for so long gives clients no map. */
enum { ADMIN_ALONE_MS = 2000 };

struct node_view {
    /* identity */
    uint8_t cluster_id[16]; /* zero: none yet */
    uint64_t node_id;       /* 0: none yet */
    const char *version;    /* of holdfastd, "0.1.0" */
    const char *message;    /* one line on the state, may be "" or NULL */
    /* Raft */
    enum node_role role;
    uint64_t leader_id; /* 0: unknown */
    uint64_t term;
    uint64_t last_index;
    uint64_t commit_index;
    uint64_t applied_index;
    uint64_t snapshot_index;
    uint64_t leader_changes; /* seen since the start */
    /* The longest time without hearing a leader that was then heard again. */
    uint64_t leader_silence_max_ms;
    uint64_t election_ms;   /* the election timeout in force */
    uint64_t quorum_ms;     /* a leader's, without a majority */
    bool loading;           /* reading its data */
    uint64_t leaderless_ms; /* for how long none is known; 0: one is */
    bool init;              /* belongs to a cluster */
    int tolerates_loss;     /* voters that may fail now; <0: unknown */
    uint64_t seats;         /* of the cluster, vacant ones included */
    /* sizes */
    uint64_t disk_bytes;
    uint64_t log_bytes;
    uint64_t snapshot_bytes;
    uint64_t memory_bytes;  /* of the store */
    uint64_t memory_limit;  /* 0: none */
    uint64_t rss_bytes;     /* of the process */
    uint64_t keys;          /* alive at cluster_ms */
    uint64_t keys_expiring; /* ... that have a deadline */
    uint64_t expired;       /* removed by deadline since the start */
    uint64_t revision;      /* the latest given out */
    uint64_t memory_held;   /* of it, by what is being read or freed */
    uint64_t parked;        /* requests that wait */
    uint64_t blocked;       /* clients that wait: for a change, WAIT, SAVE */
    uint64_t sessions;
    uint64_t history_changes; /* kept for change feeds */
    uint64_t history_bytes;
    uint64_t history_floor; /* the newest revision that is not kept */
    /* clock */
    uint64_t cluster_ms; /* Unix ms */
    uint64_t cluster_us; /* microseconds within that ms, 0..999 */
    uint64_t uptime_s;
    uint32_t pid;
    /* snapshots of this process */
    uint64_t snapshots;
    uint64_t snapshots_sent;
    uint64_t snapshot_unix_s; /* of the last; else of the start */
    int64_t snapshot_age_s;   /* -1: none was made since the start */
    int64_t snapshot_ms;      /* so long the last took; -1: none */
    bool snapshot_failed;     /* the last one */
    bool snapshot_taking;
    int64_t snapshot_taking_s; /* -1: none is being made */
    bool snapshot_installing;
    uint64_t leader_silence_ms; /* a follower's: since it was heard */
    const char *repair;         /* "none", "fetch", "rejoin" */
    const char *disk_room;      /* "ok", "soon", "none" */
    uint64_t disk_stall_ms;     /* of the write in flight */
    /* process */
    const char *os;
    uint64_t system_memory;
    uint64_t clients_bytes; /* held for clients */
    uint64_t avg_ttl_ms;    /* of keys that have a deadline */
    double cpu_user_s;
    double cpu_system_s;
    const struct env_turns *turns; /* of the loop; may be NULL */
    /* members, self included (on a blank node: with id 0), in order of id */
    const struct member_view *members;
    size_t n_members;
    /* settings for CONFIG GET */
    const struct config_view *config;
    size_t n_config;
    const struct edge_counters *edge; /* may be NULL */
    const struct link_view *links;
    size_t n_links;
    const struct process_hooks *process; /* may be NULL */
};

/* Answer the command bytes of an OP_NODE operation from @v: exactly one
 * reply is appended. INIT and MEMBER REMOVE, PROMOTE, TRANSFER are for the
 * node itself (admin_action()); here they get an error reply. */
void admin_run(const struct node_view *v,
               struct bytes command,
               struct buf *reply);

/* The setting's own name for a name of Redis; NULL: it is none of those. */
const char *admin_config_alias(struct bytes name);
/* A name of Redis that CONFIG GET answers and nobody can set? */
bool admin_config_fixed(struct bytes name);

enum admin_verb {
    ADMIN_NONE, /* a question: admin_run() answers */
    ADMIN_INIT,
    ADMIN_REMOVE,
    ADMIN_PROMOTE,
    ADMIN_TRANSFER,
    ADMIN_TAKE,   /* CLUSTER FAILOVER: leadership comes here */
    ADMIN_FORGET, /* CLUSTER FORGET: REMOVE, by @hex */
    ADMIN_WAIT,   /* @count, @timeout_ms */
    ADMIN_SAVE,   /* a snapshot now; answered when it is made */
    ADMIN_BGSAVE, /* ... when it is begun */
};

enum { ADMIN_WAIT_MAX_MS = 1000 * 1000 * 1000 };

struct admin_action {
    enum admin_verb verb;
    bool force;          /* INIT FORCE */
    uint64_t id;         /* member; TRANSFER: 0 = anyone */
    struct bytes hex;    /* FORGET: borrowed from the command */
    int64_t count;       /* WAIT: members */
    uint64_t timeout_ms; /* 0: none */
};

/* What the command bytes ask the node to do. 0, or HF_EINVAL with an error
 * reply appended. */
int admin_action(struct bytes command,
                 struct admin_action *out,
                 struct buf *reply);

/* The 40 hexadecimal digits by which cluster-aware clients know a member:
 * stable over restarts. */
void admin_member_hex(const struct node_view *v, uint64_t id, char out[41]);

/* The member with those digits (case does not matter), or NULL. */
const struct member_view *admin_by_hex(const struct node_view *v,
                                       struct bytes hex);

/* "host:port", "[v6]:port" into its host (without brackets) and port. */
uint16_t admin_split(const char *address, char host[LIM_ADDR]);

/* The member whose cluster port clients should take for the master: the
 * leader, or this node while it knows none (a live node that parks requests
 * is what clients must find then). NULL without members. */
const struct member_view *admin_master(const struct node_view *v);

#endif
