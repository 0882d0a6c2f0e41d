#include "server/command/admin.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mutant.h"
#include "resp/resp.h"
#include "server/command/admin_int.h"
#include "server/command/args.h"
#include "server/command/info.h"

const char *node_role_name(enum node_role r)
{
    switch (r) {
        case NODE_BLANK:
            return "blank";
        case NODE_LEARNER:
            return "learner";
        case NODE_FOLLOWER:
            return "follower";
        case NODE_CANDIDATE:
            return "candidate";
        case NODE_LEADER:
            return "leader";
    }
    return "unknown";
}

uint16_t admin_split(const char *address, char host[LIM_ADDR])
{
    const char *colon = strrchr(address, ':');
    size_t n = colon == NULL ? strlen(address) : (size_t)(colon - address);

    if (n >= 2 && address[0] == '[' && address[n - 1] == ']') {
        address++;
        n -= 2;
    }
    n = n < LIM_ADDR ? n : LIM_ADDR - 1;
    memcpy(host, address, n);
    host[n] = 0;
    return colon == NULL ? 0 : (uint16_t)strtoul(colon + 1, NULL, 10);
}

/* A bijection of 64 bits, so that ids of one cluster never share digits. */
static uint64_t mix(uint64_t x)
{
    x += 0x9E3779B97F4A7C15u;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
}

void admin_member_hex(const struct node_view *v, uint64_t id, char out[41])
{
    int n = snprintf(out, 41, "%016" PRIx64, mix(id));

    for (int i = 0; i < 12; i++) {
        n += snprintf(out + n, (size_t)(41 - n), "%02x", v->cluster_id[i]);
    }
    hf_assert(n == 40);
}

static const struct member_view *member_by_id(const struct node_view *v,
                                              uint64_t id)
{
    for (size_t i = 0; i < v->n_members; i++) {
        if (v->members[i].id == id) {
            return &v->members[i];
        }
    }
    return NULL;
}

const struct member_view *admin_self(const struct node_view *v)
{
    for (size_t i = 0; i < v->n_members; i++) {
        if (v->members[i].self) {
            return &v->members[i];
        }
    }
    return NULL;
}

const struct member_view *admin_master(const struct node_view *v)
{
    const struct member_view *leader =
        v->leader_id == 0 ? NULL : member_by_id(v, v->leader_id);

    return leader != NULL && leader->cluster_address[0] != 0 ? leader
                                                             : admin_self(v);
}

const struct member_view *admin_by_hex(const struct node_view *v,
                                       struct bytes hex)
{
    char digits[41];

    for (size_t i = 0; i < v->n_members; i++) {
        admin_member_hex(v, v->members[i].id, digits);
        if (bytes_ieq(hex, digits)) {
            return &v->members[i];
        }
    }
    return NULL;
}

/* Does a cluster-aware client hear of @m as a replica? Not of dead ones. */
static bool is_replica(const struct node_view *v, const struct member_view *m)
{
    return m != admin_master(v) && (m->alive || m->self) &&
           m->cluster_address[0] != 0;
}

static uint64_t offset_of(const struct node_view *v,
                          const struct member_view *m)
{
    if (m->self) {
        return v->applied_index;
    }
    return m->match_index != 0 ? m->match_index : v->commit_index;
}

/* ---- CLUSTER ---- */

bool admin_need_master(const struct ask *a)
{
    if (admin_master(a->v) != NULL) {
        return true;
    }
    resp_error(a->reply,
               a->v->loading ? "CLUSTERDOWN this node is reading its data "
                               "directory"
               : a->v->node_id != 0
                   ? "CLUSTERDOWN this node has not met its cluster yet"
                   : "CLUSTERDOWN this node is in no cluster yet; "
                     "run `kv init`");
    return false;
}

bool admin_need_process(const struct ask *a)
{
    if (a->v->process == NULL) {
        resp_error(a->reply, "ERR not possible in this process");
        return false;
    }
    return true;
}

double admin_ratio(uint64_t a, uint64_t b)
{
    return b == 0 ? 0 : (double)a / (double)b;
}

/* Has this node been without a leader for longer than an election takes? Then
 * it is cut off, or the majority is lost. */
static bool is_alone(const struct node_view *v)
{
    return v->leader_id == 0 && v->leaderless_ms >= ADMIN_ALONE_MS &&
           !mutant(SLOTS_ALONE);
}

/* A map to give to a client? While an election lasts this node is the master
 * of its own map, since the request that follows waits here. One that is alone
 * has none: else a client that asks it would not look for the others. */
static bool need_map(const struct ask *a)
{
    if (!admin_need_master(a)) {
        return false;
    }
    if (is_alone(a->v)) {
        resp_error(a->reply,
                   "CLUSTERDOWN this node knows no leader; ask another one");
        return false;
    }
    return true;
}

static void slots_node(const struct ask *a, const struct member_view *m)
{
    char host[LIM_ADDR], hex[41];
    uint16_t port = admin_split(
        mutant(SLOTS_PLAIN) ? m->address : m->cluster_address, host);

    admin_member_hex(a->v, m->id, hex);
    resp_array(a->reply, 4);
    resp_bulk_str(a->reply, host);
    resp_int(a->reply, port);
    resp_bulk_str(a->reply, hex);
    resp_map(a->reply, 0);
}

static size_t replica_count(const struct node_view *v)
{
    size_t n = 0;

    for (size_t i = 0; i < v->n_members; i++) {
        n += is_replica(v, &v->members[i]);
    }
    return n;
}

static void cluster_slots(const struct ask *a)
{
    const struct node_view *v = a->v;

    if (!need_map(a)) {
        return;
    }
    resp_array(a->reply, 1);
    resp_array(a->reply, 3 + replica_count(v));
    resp_int(a->reply, 0);
    resp_int(a->reply, 16383);
    slots_node(a, admin_master(v));
    for (size_t i = 0; i < v->n_members; i++) {
        if (is_replica(v, &v->members[i])) {
            slots_node(a, &v->members[i]);
        }
    }
}

void admin_field_str(struct buf *b, const char *name, const char *value)
{
    resp_bulk_str(b, name);
    resp_bulk_str(b, value);
}

void admin_field_int(struct buf *b, const char *name, uint64_t value)
{
    resp_bulk_str(b, name);
    resp_int(b, (int64_t)value);
}

static void shards_node(const struct ask *a, const struct member_view *m)
{
    char host[LIM_ADDR], hex[41];
    uint16_t port = admin_split(m->cluster_address, host);

    admin_member_hex(a->v, m->id, hex);
    resp_map(a->reply, 7);
    admin_field_str(a->reply, "id", hex);
    admin_field_int(a->reply, "port", port);
    admin_field_str(a->reply, "ip", host);
    admin_field_str(a->reply, "endpoint", host);
    admin_field_str(a->reply, "role",
                    m == admin_master(a->v) ? "master" : "replica");
    admin_field_int(a->reply, "replication-offset", offset_of(a->v, m));
    admin_field_str(a->reply, "health",
                    m->self && a->v->loading ? "loading" : "online");
}

static void cluster_shards(const struct ask *a)
{
    const struct node_view *v = a->v;

    if (!need_map(a)) {
        return;
    }
    resp_array(a->reply, 1);
    resp_map(a->reply, 2);
    resp_bulk_str(a->reply, "slots");
    resp_array(a->reply, 2);
    resp_int(a->reply, 0);
    resp_int(a->reply, 16383);
    resp_bulk_str(a->reply, "nodes");
    resp_array(a->reply, 1 + replica_count(v));
    shards_node(a, admin_master(v));
    for (size_t i = 0; i < v->n_members; i++) {
        if (is_replica(v, &v->members[i])) {
            shards_node(a, &v->members[i]);
        }
    }
}

void admin_nodes_line(const struct node_view *v,
                      const struct member_view *m,
                      struct buf *text)
{
    const struct member_view *master = admin_master(v);
    char host[LIM_ADDR], peer[LIM_ADDR], hex[41], of[41];
    uint16_t port = admin_split(m->cluster_address, host);
    uint16_t bus = admin_split(m->peer_address, peer);
    bool up = m->alive || m->self;

    admin_member_hex(v, m->id, hex);
    admin_member_hex(v, master->id, of);
    buf_printf(
        text, "%s %s:%u@%u %s%s%s %s 0 0 %" PRIu64 " %s%s", hex, host, port,
        bus, m->self ? "myself," : "", m == master ? "master" : "slave",
        up ? "" : ",fail", m == master ? "-" : of, v->term,
        up ? "connected" : "disconnected", m == master ? " 0-16383" : "");
}

static void cluster_nodes(const struct ask *a)
{
    const struct node_view *v = a->v;
    struct buf text = BUF_INIT;

    if (!admin_need_master(a)) {
        return;
    }
    for (size_t i = 0; i < v->n_members; i++) {
        if (v->members[i].cluster_address[0] != 0) {
            admin_nodes_line(v, &v->members[i], &text);
            buf_u8(&text, '\n');
        }
    }
    resp_verbatim(a->reply, buf_bytes(&text));
    buf_release(&text);
}

static void cluster_info(const struct ask *a)
{
    const struct node_view *v = a->v;
    struct buf text = BUF_INIT;
    int slots = v->init ? 16384 : 0;
    uint64_t sent = 0, received = 0;

    for (size_t i = 0; i < v->n_links; i++) {
        sent += v->links[i].sent_messages;
        received += v->links[i].received_messages;
    }

    buf_printf(&text,
               "cluster_enabled:1\r\n"
               "cluster_state:%s\r\n"
               "cluster_slots_assigned:%d\r\n"
               "cluster_slots_ok:%d\r\n"
               "cluster_slots_pfail:0\r\n"
               "cluster_slots_fail:0\r\n"
               "cluster_known_nodes:%zu\r\n"
               "cluster_size:1\r\n"
               "cluster_current_epoch:%" PRIu64
               "\r\n"
               "cluster_my_epoch:%" PRIu64
               "\r\n"
               "cluster_stats_messages_sent:%" PRIu64
               "\r\n"
               "cluster_stats_messages_received:%" PRIu64
               "\r\n"
               "total_cluster_links_buffer_limit_exceeded:0\r\n",
               v->init && !is_alone(v) ? "ok" : "fail", slots, slots,
               v->n_members, v->term, v->term, sent, received);
    resp_verbatim(a->reply, buf_bytes(&text));
    buf_release(&text);
}

static void cluster_myid(const struct ask *a)
{
    const struct member_view *self = admin_self(a->v);
    char hex[41];

    admin_member_hex(a->v, self != NULL ? self->id : a->v->node_id, hex);
    resp_bulk_str(a->reply, hex);
}

static void cluster_keyslot(const struct ask *a)
{
    resp_int(a->reply, command_key_slot(a->argv[2]));
}

/* ---- STATUS, MEMBER LIST ---- */

static const char *member_state(const struct node_view *v,
                                const struct member_view *m)
{
    if (m->repairing) {
        return "repairing";
    }
    if (!m->alive && !m->self) {
        return "down";
    }
    if (m->id == v->leader_id && m->id != 0) {
        return "leader";
    }
    return m->voter ? "follower" : "joining";
}

static void members_reply(const struct ask *a)
{
    const struct node_view *v = a->v;
    struct buf *b = a->reply;

    resp_array(b, v->n_members);
    for (size_t i = 0; i < v->n_members; i++) {
        const struct member_view *m = &v->members[i];

        resp_map(b, 11);
        admin_field_int(b, "id", m->id);
        admin_field_str(b, "address", m->address);
        admin_field_str(b, "client_address", m->address);
        admin_field_str(b, "cluster_address", m->cluster_address);
        admin_field_str(b, "peer_address", m->peer_address);
        admin_field_str(b, "role", m->voter ? "voter" : "learner");
        admin_field_str(b, "state", member_state(v, m));
        admin_field_int(b, "self", m->self);
        admin_field_int(b, "match_index", m->match_index);
        admin_field_int(b, "lag", m->lag);
        admin_field_int(b, "seat", m->seat);
    }
}

static void status(const struct ask *a)
{
    const struct node_view *v = a->v;
    struct buf *b = a->reply;
    char hex[33];

    for (int i = 0; i < 16; i++) {
        snprintf(hex + 2 * i, 3, "%02x", v->cluster_id[i]);
    }
    resp_map(b, 20);
    admin_field_str(b, "cluster_id", v->init ? hex : "");
    admin_field_int(b, "node_id", v->node_id);
    admin_field_str(b, "version", v->version);
    admin_field_str(b, "role", node_role_name(v->role));
    admin_field_int(b, "leader_id", v->leader_id);
    admin_field_int(b, "term", v->term);
    admin_field_int(b, "last_index", v->last_index);
    admin_field_int(b, "commit_index", v->commit_index);
    admin_field_int(b, "applied_index", v->applied_index);
    admin_field_int(b, "snapshot_index", v->snapshot_index);
    admin_field_int(b, "disk_bytes", v->disk_bytes);
    admin_field_int(b, "memory_bytes", v->memory_bytes);
    admin_field_int(b, "keys", v->keys);
    admin_field_int(b, "cluster_time_ms", v->cluster_ms);
    admin_field_int(b, "uptime_s", v->uptime_s);
    resp_bulk_str(b, "loading");
    resp_bool(b, v->loading);
    resp_bulk_str(b, "tolerates_loss");
    resp_int(b, v->tolerates_loss);
    admin_field_int(b, "seats", v->seats);
    admin_field_str(b, "message", v->message != NULL ? v->message : "");
    resp_bulk_str(b, "members");
    members_reply(a);
}

/* ---- TIME, ROLE ---- */

static void time_reply(const struct ask *a)
{
    char text[32];

    resp_array(a->reply, 2);
    snprintf(text, sizeof text, "%" PRIu64, a->v->cluster_ms / 1000);
    resp_bulk_str(a->reply, text);
    snprintf(text, sizeof text, "%" PRIu64,
             a->v->cluster_ms % 1000 * 1000 + a->v->cluster_us % 1000);
    resp_bulk_str(a->reply, text);
}

static void role(const struct ask *a)
{
    const struct node_view *v = a->v;
    const struct member_view *master = admin_master(v);
    char host[LIM_ADDR], text[32];

    if (!admin_need_master(a)) {
        return;
    }
    if (!master->self) {
        uint16_t port = admin_split(master->cluster_address, host);

        resp_array(a->reply, 5);
        resp_bulk_str(a->reply, "slave");
        resp_bulk_str(a->reply, host);
        resp_int(a->reply, port);
        resp_bulk_str(a->reply, "connected");
        resp_int(a->reply, (int64_t)v->applied_index);
        return;
    }
    resp_array(a->reply, 3);
    resp_bulk_str(a->reply, "master");
    resp_int(a->reply, (int64_t)v->applied_index);
    resp_array(a->reply, replica_count(v));
    for (size_t i = 0; i < v->n_members; i++) {
        const struct member_view *m = &v->members[i];

        if (is_replica(v, m)) {
            uint16_t port = admin_split(m->cluster_address, host);

            resp_array(a->reply, 3);
            resp_bulk_str(a->reply, host);
            snprintf(text, sizeof text, "%u", port);
            resp_bulk_str(a->reply, text);
            snprintf(text, sizeof text, "%" PRIu64, offset_of(v, m));
            resp_bulk_str(a->reply, text);
        }
    }
}

/* ---- dispatch ---- */

static void info(const struct ask *a)
{
    admin_info(a->v, a->cluster_port, a->argv, a->argc, a->reply);
}

static const struct {
    const char *name;
    void (*fn)(const struct ask *a);
} answers[] = {
    {"info", info},
    {"time", time_reply},
    {"role", role},
    {"status", status},
    {"member|list", members_reply},
    {"cluster|slots", cluster_slots},
    {"cluster|shards", cluster_shards},
    {"cluster|nodes", cluster_nodes},
    {"cluster|info", cluster_info},
    {"cluster|myid", cluster_myid},
    {"cluster|keyslot", cluster_keyslot},
    {"cluster|myshardid", admin_cluster_myshardid},
    {"cluster|replicas", admin_cluster_replicas},
    {"cluster|slaves", admin_cluster_replicas},
    {"cluster|links", admin_cluster_links},
    {"cluster|count-failure-reports", admin_cluster_reports},
    {"cluster|reset", admin_cluster_refused},
    {"cluster|meet", admin_cluster_refused},
    {"cluster|addslots", admin_cluster_refused},
    {"cluster|addslotsrange", admin_cluster_refused},
    {"cluster|delslots", admin_cluster_refused},
    {"cluster|delslotsrange", admin_cluster_refused},
    {"cluster|flushslots", admin_cluster_refused},
    {"cluster|setslot", admin_cluster_refused},
    {"cluster|replicate", admin_cluster_refused},
    {"cluster|set-config-epoch", admin_cluster_refused},
    {"cluster|bumpepoch", admin_cluster_refused},
    {"cluster|saveconfig", admin_cluster_refused},
    {"replicaof", admin_cluster_refused},
    {"slaveof", admin_cluster_refused},
    {"failover", admin_cluster_refused},
    {"config|get", admin_config_get},
    {"config|set", admin_config_set},
    {"config|resetstat", admin_config_resetstat},
    {"config|rewrite", admin_config_rewrite},
    {"slowlog|get", admin_slowlog_get},
    {"slowlog|len", admin_slowlog_len},
    {"slowlog|reset", admin_slowlog_reset},
    {"latency|latest", admin_latency_latest},
    {"latency|history", admin_latency_history},
    {"latency|reset", admin_latency_reset},
    {"latency|doctor", admin_latency_doctor},
    {"latency|graph", admin_latency_graph},
    {"latency|histogram", admin_latency_histogram},
    {"memory|stats", admin_memory_stats},
    {"memory|doctor", admin_memory_doctor},
    {"memory|purge", admin_memory_purge},
    {"memory|malloc-stats", admin_memory_malloc},
    {"lastsave", admin_lastsave},
    {"debug", admin_debug},
    {"shutdown", admin_shutdown},
    {"lolwut", admin_lolwut},
    {"module|list", admin_module_list},
};

void admin_run(const struct node_view *v,
               struct bytes command,
               struct buf *reply)
{
    struct command_words w;
    char name[48];

    if (command_decode(command, &w) != 0) {
        resp_error(reply, "ERR malformed command bytes");
        return;
    }
    command_full_name(w.command, name);
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        if (strcmp(answers[i].name, name) == 0) {
            struct ask a = {v, w.argv, w.argc,
                            (w.marks & COMMAND_CLUSTER_PORT) != 0, reply};

            answers[i].fn(&a);
            command_words_release(&w);
            return;
        }
    }
    resp_error(reply, "ERR not a question to this node");
    command_words_release(&w);
}

/* ---- what the node is to do ---- */

static bool need_id(struct bytes s, uint64_t *id, struct buf *reply)
{
    return (args_u64(s, id) && *id != 0) ||
           args_fail(reply, "ERR a member's id is a number over 0");
}

static bool may_force(const struct command_words *w,
                      bool *force,
                      struct buf *reply)
{
    *force = w->argc == 2 && bytes_ieq(w->argv[1], "FORCE");
    return w->argc < 2 || *force || args_fail(reply, ERR_SYNTAX);
}

static bool may_failover(const struct command_words *w, struct buf *reply)
{
    if (w->argc == 3 && bytes_ieq(w->argv[2], "TAKEOVER")) {
        return args_fail(reply,
                         "ERR TAKEOVER would lead without the consent of a "
                         "majority: not here");
    }
    return w->argc == 2 || (w->argc == 3 && bytes_ieq(w->argv[2], "FORCE")) ||
           args_fail(reply, ERR_SYNTAX);
}

static bool wait_words(const struct command_words *w,
                       struct admin_action *a,
                       struct buf *reply)
{
    int64_t ms;

    if (!args_need_i64(w->argv[1], &a->count, reply)) {
        return false;
    }
    if (!args_i64(w->argv[2], &ms)) {
        return args_fail(reply,
                         "ERR timeout is not an integer or out of range");
    }
    if (ms < 0) {
        return args_fail(reply, "ERR timeout is negative");
    }
    if (ms > ADMIN_WAIT_MAX_MS) {
        return args_fail(reply, "ERR timeout is out of range");
    }
    a->timeout_ms = (uint64_t)ms;
    if ((w->marks & COMMAND_IN_MULTI) != 0 && !mutant(WAIT_IN_MULTI)) {
        a->count = 0; /* what there is now */
    }
    return true;
}

/* Those that came from Redis. */
static bool action_redis(const struct command_words *w,
                         const char *name,
                         struct admin_action *a,
                         struct buf *reply)
{
    if (strcmp(name, "cluster|failover") == 0) {
        a->verb = ADMIN_TAKE;
        return may_failover(w, reply);
    }
    if (strcmp(name, "cluster|forget") == 0) {
        a->verb = ADMIN_FORGET;
        a->hex = w->argv[2];
        return true;
    }
    if (strcmp(name, "wait") == 0) {
        a->verb = ADMIN_WAIT;
        return wait_words(w, a, reply);
    }
    if (strcmp(name, "save") == 0) {
        a->verb = ADMIN_SAVE;
        return true;
    }
    if (strcmp(name, "bgsave") == 0) {
        a->verb = ADMIN_BGSAVE;
        return w->argc == 1 ||
               (w->argc == 2 && bytes_ieq(w->argv[1], "SCHEDULE")) ||
               args_fail(reply, ERR_SYNTAX);
    }
    return true;
}

static bool action(const struct command_words *w,
                   struct admin_action *a,
                   struct buf *reply)
{
    char name[48];

    command_full_name(w->command, name);
    if (strcmp(name, "init") == 0) {
        a->verb = ADMIN_INIT;
        return may_force(w, &a->force, reply);
    }
    if (strcmp(name, "member|remove") == 0 && w->argc == 3) {
        a->verb = ADMIN_REMOVE;
        return need_id(w->argv[2], &a->id, reply);
    }
    if (strcmp(name, "member|promote") == 0 && w->argc == 3) {
        a->verb = ADMIN_PROMOTE;
        return need_id(w->argv[2], &a->id, reply);
    }
    if (strcmp(name, "member|transfer") == 0) {
        a->verb = ADMIN_TRANSFER;
        if (w->argc > 3) {
            return args_fail(reply, ERR_SYNTAX);
        }
        return w->argc < 3 || need_id(w->argv[2], &a->id, reply);
    }
    return action_redis(w, name, a, reply);
}

int admin_action(struct bytes command,
                 struct admin_action *out,
                 struct buf *reply)
{
    struct admin_action a = {.verb = ADMIN_NONE};
    struct command_words w;
    bool ok;

    if (command_decode(command, &w) != 0) {
        resp_error(reply, "ERR malformed command bytes");
        return HF_EINVAL;
    }
    ok = command_fits(w.command, w.argc)
             ? action(&w, &a, reply)
             : args_fail(reply, "ERR malformed command bytes");
    command_words_release(&w);
    if (!ok) {
        return HF_EINVAL;
    }
    *out = a;
    return 0;
}
