/* Commands that are answered from what the node knows of itself: INFO, TIME,
 * ROLE, CONFIG GET, STATUS, MEMBER LIST, CLUSTER. The node fills a struct
 * node_view, plain data, and this formats it. Pure functions. */
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
    uint16_t plain_port;
    uint16_t cluster_port;
};

struct config_view {
    const char *name;
    const char *value;
};

/* Everything in it is borrowed during one call. */
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
    uint64_t election_ms; /* the election timeout in force */
    uint64_t quorum_ms;   /* a leader's, without a majority */
    bool loading;         /* reading its data */
    bool init;            /* belongs to a cluster */
    int tolerates_loss;   /* voters that may fail now; <0: unknown */
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
    uint64_t parked;        /* requests that wait */
    uint64_t blocked;       /* connections that wait for a change */
    uint64_t sessions;
    /* clock */
    uint64_t cluster_ms; /* Unix ms */
    uint64_t cluster_us; /* microseconds within that ms, 0..999 */
    uint64_t uptime_s;
    uint32_t pid;
    /* process */
    double cpu_user_s;
    double cpu_system_s;
    /* members, self included (on a blank node: with id 0), in order of id */
    const struct member_view *members;
    size_t n_members;
    /* settings for CONFIG GET */
    const struct config_view *config;
    size_t n_config;
    const struct edge_counters *edge; /* may be NULL */
};

/* Answer the command bytes of an OP_NODE operation from @v: exactly one
 * reply is appended. INIT and MEMBER REMOVE, PROMOTE, TRANSFER are for the
 * node itself (admin_action()); here they get an error reply. */
void admin_run(const struct node_view *v,
               struct bytes command,
               struct buf *reply);

enum admin_verb {
    ADMIN_NONE, /* a question: admin_run() answers */
    ADMIN_INIT,
    ADMIN_REMOVE,
    ADMIN_PROMOTE,
    ADMIN_TRANSFER,
};

struct admin_action {
    enum admin_verb verb;
    bool force;  /* INIT FORCE */
    uint64_t id; /* member; TRANSFER: 0 = anyone */
};

/* What the command bytes ask the node to do. 0, or HF_EINVAL with an error
 * reply appended. */
int admin_action(struct bytes command,
                 struct admin_action *out,
                 struct buf *reply);

/* The 40 hexadecimal digits by which cluster-aware clients know a member:
 * stable over restarts. */
void admin_member_hex(const struct node_view *v, uint64_t id, char out[41]);

/* "host:port", "[v6]:port" into its host (without brackets) and port. */
uint16_t admin_split(const char *address, char host[LIM_ADDR]);

/* The member whose cluster port clients should take for the master: the
 * leader, or this node while it knows none (a live node that parks requests
 * is what clients must find then). NULL without members. */
const struct member_view *admin_master(const struct node_view *v);

#endif
