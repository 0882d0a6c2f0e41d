/* INFO: the fields that dashboards and client libraries read, in the words of
 * Redis, and a section of Holdfast's own. */
#include "server/command/info.h"

#include <inttypes.h>
#include <stdio.h>

#include "resp/resp.h"

static void line_u64(struct buf *b, const char *name, uint64_t v)
{
    buf_printf(b, "%s:%" PRIu64 "\r\n", name, v);
}

static void line_str(struct buf *b, const char *name, const char *v)
{
    buf_printf(b, "%s:%s\r\n", name, v);
}

/* "1.50M", as Redis writes sizes for people. */
static void line_human(struct buf *b, const char *name, uint64_t v)
{
    static const char units[] = "BKMGTP";
    double d = (double)v;
    int unit = 0;

    while (d >= 1024 && units[unit + 1] != 0) {
        d /= 1024;
        unit++;
    }
    buf_printf(b, unit == 0 ? "%s:%.0f%c\r\n" : "%s:%.2f%c\r\n", name, d,
               units[unit]);
}

static const struct edge_counters *counters(const struct node_view *v)
{
    static const struct edge_counters none;

    return v->edge != NULL ? v->edge : &none;
}

static void section_server(const struct node_view *v,
                           bool cluster,
                           struct buf *b)
{
    char hex[41];

    admin_member_hex(v, v->node_id, hex);
    line_str(b, "redis_version", "7.0.15");
    line_str(b, "holdfast_version", v->version);
    line_str(b, "redis_mode", cluster ? "cluster" : "standalone");
    line_str(b, "os", "Linux");
    line_u64(b, "arch_bits", 8 * sizeof(void *));
    line_u64(b, "process_id", v->pid);
    line_str(b, "run_id", hex);
    line_u64(b, "tcp_port",
             cluster ? counters(v)->cluster_port : counters(v)->plain_port);
    line_u64(b, "server_time_usec", v->cluster_ms * 1000 + v->cluster_us);
    line_u64(b, "uptime_in_seconds", v->uptime_s);
    line_u64(b, "uptime_in_days", v->uptime_s / 86400);
    line_u64(b, "hz", 10);
}

static void section_clients(const struct node_view *v,
                            bool cluster,
                            struct buf *b)
{
    (void)cluster;
    line_u64(b, "connected_clients", counters(v)->connected);
    line_u64(b, "maxclients", counters(v)->maxclients);
    line_u64(b, "blocked_clients", v->blocked);
    line_u64(b, "tracking_clients", 0);
    line_u64(b, "parked_requests", v->parked);
}

static void section_memory(const struct node_view *v,
                           bool cluster,
                           struct buf *b)
{
    (void)cluster;
    line_u64(b, "used_memory", v->memory_bytes);
    line_human(b, "used_memory_human", v->memory_bytes);
    line_u64(b, "used_memory_rss", v->rss_bytes);
    line_human(b, "used_memory_rss_human", v->rss_bytes);
    line_u64(b, "used_memory_dataset", v->memory_bytes);
    line_u64(b, "maxmemory", v->memory_limit);
    line_human(b, "maxmemory_human", v->memory_limit);
    line_str(b, "maxmemory_policy", "noeviction");
    buf_printf(b, "mem_fragmentation_ratio:%.2f\r\n",
               v->memory_bytes == 0
                   ? 0.0
                   : (double)v->rss_bytes / (double)v->memory_bytes);
    line_u64(b, "number_of_cached_scripts", 0);
}

static void section_persistence(const struct node_view *v,
                                bool cluster,
                                struct buf *b)
{
    (void)cluster;
    line_u64(b, "loading", v->loading);
    line_u64(
        b, "rdb_changes_since_last_save",
        v->last_index - (v->snapshot_index < v->last_index ? v->snapshot_index
                                                           : v->last_index));
    line_u64(b, "rdb_bgsave_in_progress", 0);
    line_str(b, "rdb_last_bgsave_status", "ok");
    line_u64(b, "aof_enabled", 1);
    line_str(b, "aof_last_write_status", "ok");
    line_u64(b, "log_bytes", v->log_bytes);
    line_u64(b, "snapshot_bytes", v->snapshot_bytes);
    line_u64(b, "disk_bytes", v->disk_bytes);
}

static void section_stats(const struct node_view *v,
                          bool cluster,
                          struct buf *b)
{
    const struct edge_counters *c = counters(v);

    (void)cluster;
    line_u64(b, "total_connections_received", c->accepted);
    line_u64(b, "total_commands_processed", c->commands);
    line_u64(b, "total_error_replies", c->errors);
    line_u64(b, "total_net_input_bytes", c->input_bytes);
    line_u64(b, "total_net_output_bytes", c->output_bytes);
    line_u64(b, "rejected_connections", c->rejected);
    line_u64(b, "client_output_buffer_limit_disconnections", c->slow_closed);
    line_u64(b, "protocol_errors", c->protocol_errors);
    line_u64(b, "expired_keys", v->expired);
    line_u64(b, "evicted_keys", 0);
    line_u64(b, "pubsub_channels", 0);
    line_u64(b, "pubsub_patterns", 0);
}

static void section_replication(const struct node_view *v,
                                bool cluster,
                                struct buf *b)
{
    const struct member_view *master = admin_master(v);
    bool is_master = master == NULL || master->self;
    char host[LIM_ADDR], hex[41];
    uint64_t n = 0;

    (void)cluster;
    line_str(b, "role", is_master ? "master" : "slave");
    if (!is_master) {
        uint16_t port = admin_split(master->cluster_address, host);

        line_str(b, "master_host", host);
        line_u64(b, "master_port", port);
        line_str(b, "master_link_status", "up");
        line_u64(b, "master_last_io_seconds_ago", 0);
        line_u64(b, "master_sync_in_progress", 0);
        line_u64(b, "slave_repl_offset", v->applied_index);
        line_u64(b, "slave_read_only", 1);
    }
    for (size_t i = 0; is_master && i < v->n_members; i++) {
        n += !v->members[i].self && v->members[i].alive;
    }
    line_u64(b, "connected_slaves", n);
    n = 0;
    for (size_t i = 0; is_master && i < v->n_members; i++) {
        const struct member_view *m = &v->members[i];

        if (!m->self && m->alive) {
            uint16_t port = admin_split(m->cluster_address, host);

            buf_printf(b,
                       "slave%" PRIu64
                       ":ip=%s,port=%u,state=online,"
                       "offset=%" PRIu64 ",lag=%" PRIu64 "\r\n",
                       n++, host, port, m->match_index, m->lag);
        }
    }
    admin_member_hex(v, 0, hex);
    line_str(b, "master_replid", hex);
    line_u64(b, "master_repl_offset", v->commit_index);
}

static void section_cpu(const struct node_view *v, bool cluster, struct buf *b)
{
    (void)cluster;
    buf_printf(b, "used_cpu_sys:%.6f\r\nused_cpu_user:%.6f\r\n",
               v->cpu_system_s, v->cpu_user_s);
}

static void section_cluster(const struct node_view *v,
                            bool cluster,
                            struct buf *b)
{
    (void)v;
    line_u64(b, "cluster_enabled", cluster);
}

static void section_holdfast(const struct node_view *v,
                             bool cluster,
                             struct buf *b)
{
    (void)cluster;
    line_u64(b, "node_id", v->node_id);
    line_str(b, "raft_role", node_role_name(v->role));
    line_u64(b, "leader_id", v->leader_id);
    line_u64(b, "term", v->term);
    line_u64(b, "last_index", v->last_index);
    line_u64(b, "commit_index", v->commit_index);
    line_u64(b, "applied_index", v->applied_index);
    line_u64(b, "snapshot_index", v->snapshot_index);
    line_u64(b, "leader_changes", v->leader_changes);
    line_u64(b, "leader_silence_max_ms", v->leader_silence_max_ms);
    line_u64(b, "election_timeout_ms", v->election_ms);
    line_u64(b, "quorum_timeout_ms", v->quorum_ms);
    line_u64(b, "named_sessions", v->sessions);
}

static void section_keyspace(const struct node_view *v,
                             bool cluster,
                             struct buf *b)
{
    (void)cluster;
    if (v->keys > 0) {
        buf_printf(b, "db0:keys=%" PRIu64 ",expires=%" PRIu64 ",avg_ttl=0\r\n",
                   v->keys, v->keys_expiring);
    }
}

static const struct {
    const char *name;
    void (*fn)(const struct node_view *v, bool cluster, struct buf *b);
} sections[] = {
    {"Server", section_server},     {"Clients", section_clients},
    {"Memory", section_memory},     {"Persistence", section_persistence},
    {"Stats", section_stats},       {"Replication", section_replication},
    {"CPU", section_cpu},           {"Cluster", section_cluster},
    {"Holdfast", section_holdfast}, {"Keyspace", section_keyspace},
};

static bool wanted(const struct bytes *argv, int argc, const char *section)
{
    if (argc <= 1) {
        return true;
    }
    for (int i = 1; i < argc; i++) {
        if (bytes_ieq(argv[i], "all") || bytes_ieq(argv[i], "everything") ||
            bytes_ieq(argv[i], "default") || bytes_ieq(argv[i], section)) {
            return true;
        }
    }
    return false;
}

void admin_info(const struct node_view *v,
                bool cluster_port,
                const struct bytes *argv,
                int argc,
                struct buf *reply)
{
    struct buf text = BUF_INIT;

    for (size_t i = 0; i < sizeof sections / sizeof sections[0]; i++) {
        if (wanted(argv, argc, sections[i].name)) {
            buf_printf(&text, "%s# %s\r\n", text.n > 0 ? "\r\n" : "",
                       sections[i].name);
            sections[i].fn(v, cluster_port, &text);
        }
    }
    resp_verbatim(reply, buf_bytes(&text));
    buf_release(&text);
}
