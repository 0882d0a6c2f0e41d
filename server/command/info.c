/* INFO: the fields that dashboards and client libraries read, in the words of
 * Redis, and a section of Holdfast's own. */
#include "server/command/info.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/env.h"
#include "base/mutant.h"
#include "resp/resp.h"
#include "server/command/admin_int.h"
#include "server/command/stats.h"

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

static uint64_t rate(const struct node_view *v, enum stats_rate kind)
{
    return counters(v)->stats == NULL ? 0
                                      : stats_rate(counters(v)->stats, kind);
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
    line_str(b, "os", v->os != NULL ? v->os : "Linux");
    line_u64(b, "arch_bits", 8 * sizeof(void *));
    line_str(b, "monotonic_clock", "POSIX clock_gettime");
    line_str(b, "multiplexing_api", "epoll");
    line_str(b, "gcc_version", __VERSION__);
    line_u64(b, "process_id", v->pid);
    line_str(b, "run_id", hex);
    line_u64(b, "tcp_port",
             cluster ? counters(v)->cluster_port : counters(v)->plain_port);
    line_u64(b, "server_time_usec", v->cluster_ms * 1000 + v->cluster_us);
    line_u64(b, "uptime_in_seconds", v->uptime_s);
    line_u64(b, "uptime_in_days", v->uptime_s / 86400);
    line_u64(b, "hz", 10);
    line_u64(b, "configured_hz", 10);
    if (v->process != NULL) {
        line_str(b, "executable", v->process->executable);
        line_str(b, "config_file", v->process->config);
    }
    line_u64(b, "io_threads_active", 0);
}

static void section_clients(const struct node_view *v,
                            bool cluster,
                            struct buf *b)
{
    size_t links = 0;

    (void)cluster;
    for (size_t i = 0; i < v->n_links; i++) {
        links += v->links[i].up;
    }
    line_u64(b, "connected_clients", counters(v)->connected);
    line_u64(b, "cluster_connections", links);
    line_u64(b, "maxclients", counters(v)->maxclients);
    line_u64(b, "blocked_clients", v->blocked);
    line_u64(b, "tracking_clients", counters(v)->tracking_clients);
    line_u64(b, "parked_requests", v->parked);
}

static void both(struct buf *b, const char *name, uint64_t v)
{
    char human[64];

    line_u64(b, name, v);
    snprintf(human, sizeof human, "%s_human", name);
    line_human(b, human, v);
}

static void section_memory(const struct node_view *v,
                           bool cluster,
                           struct buf *b)
{
    const struct stats *s = counters(v)->stats;
    uint64_t peak = s == NULL ? 0 : s->memory_peak;

    (void)cluster;
    peak = peak > v->memory_bytes ? peak : v->memory_bytes;
    both(b, "used_memory", v->memory_bytes);
    both(b, "used_memory_rss", v->rss_bytes);
    both(b, "used_memory_peak", peak);
    buf_printf(b, "used_memory_peak_perc:%.2f%%\r\n",
               100 * admin_ratio(v->memory_bytes, peak));
    line_u64(b, "used_memory_overhead", v->memory_held);
    line_u64(b, "used_memory_startup", 0);
    line_u64(b, "used_memory_dataset", v->memory_bytes);
    buf_printf(b, "used_memory_dataset_perc:%.2f%%\r\n",
               v->memory_bytes > 0 ? 100.0 : 0.0);
    both(b, "total_system_memory", v->system_memory);
    both(b, "used_memory_lua", 0);
    line_u64(b, "used_memory_scripts", 0);
    line_u64(b, "number_of_cached_scripts", 0);
    line_u64(b, "number_of_functions", 0);
    line_u64(b, "number_of_libraries", 0);
    both(b, "maxmemory", v->memory_limit);
    line_str(b, "maxmemory_policy", "noeviction");
    buf_printf(b, "mem_fragmentation_ratio:%.2f\r\n",
               admin_ratio(v->rss_bytes, v->memory_bytes));
    buf_printf(b, "mem_fragmentation_bytes:%" PRId64 "\r\n",
               (int64_t)v->rss_bytes - (int64_t)v->memory_bytes);
    line_u64(b, "mem_not_counted_for_evict", 0);
    line_u64(b, "mem_clients_normal", v->clients_bytes);
    line_u64(b, "mem_clients_slaves", 0);
    line_u64(b, "mem_replication_backlog", 0);
    line_str(b, "mem_allocator",
             v->process != NULL && v->process->allocator != NULL
                 ? v->process->allocator
                 : "libc");
    line_u64(b, "active_defrag_running", 0);
    line_u64(b, "lazyfree_pending_objects", 0);
}

static void line_i64(struct buf *b, const char *name, int64_t v)
{
    buf_printf(b, "%s:%" PRId64 "\r\n", name, v);
}

static void section_persistence(const struct node_view *v,
                                bool cluster,
                                struct buf *b)
{
    bool write_ok = v->disk_room == NULL || strcmp(v->disk_room, "none") != 0;

    (void)cluster;
    line_u64(b, "loading", v->loading);
    line_u64(b, "async_loading", v->snapshot_installing);
    line_u64(
        b, "rdb_changes_since_last_save",
        v->last_index - (v->snapshot_index < v->last_index ? v->snapshot_index
                                                           : v->last_index));
    line_u64(b, "rdb_bgsave_in_progress", v->snapshot_taking);
    line_u64(b, "rdb_last_save_time", v->snapshot_unix_s);
    line_str(b, "rdb_last_bgsave_status", v->snapshot_failed ? "err" : "ok");
    line_i64(b, "rdb_last_bgsave_time_sec",
             v->snapshot_ms < 0 ? -1 : v->snapshot_ms / 1000);
    line_i64(b, "rdb_current_bgsave_time_sec", v->snapshot_taking_s);
    line_u64(b, "rdb_saves", v->snapshots);
    line_u64(b, "rdb_last_cow_size", 0);
    line_u64(b, "aof_enabled", 1);
    line_u64(b, "aof_rewrite_in_progress", 0);
    line_u64(b, "aof_rewrite_scheduled", 0);
    line_i64(b, "aof_last_rewrite_time_sec", -1);
    line_i64(b, "aof_current_rewrite_time_sec", -1);
    line_str(b, "aof_last_bgrewrite_status", "ok");
    line_str(b, "aof_last_write_status", write_ok ? "ok" : "err");
    line_u64(b, "aof_current_size", v->log_bytes);
    line_u64(b, "aof_base_size", 0);
    line_u64(b, "aof_pending_rewrite", 0);
    line_u64(b, "aof_buffer_length", 0);
    line_u64(b, "aof_pending_bio_fsync", v->disk_stall_ms > 0);
    line_u64(b, "aof_delayed_fsync", 0);
    line_u64(b, "log_bytes", v->log_bytes);
    line_u64(b, "snapshot_bytes", v->snapshot_bytes);
    line_u64(b, "disk_bytes", v->disk_bytes);
}

static void section_stats(const struct node_view *v,
                          bool cluster,
                          struct buf *b)
{
    const struct edge_counters *c = counters(v);
    uint64_t in = 0, out = 0;

    (void)cluster;
    for (size_t i = 0; i < v->n_links; i++) {
        in += v->links[i].received_bytes;
        out += v->links[i].sent_bytes;
    }
    line_u64(b, "total_connections_received", c->accepted);
    line_u64(b, "total_commands_processed", c->commands);
    line_u64(b, "instantaneous_ops_per_sec", rate(v, RATE_COMMANDS));
    line_u64(b, "total_net_input_bytes", c->input_bytes);
    line_u64(b, "total_net_output_bytes", c->output_bytes);
    line_u64(b, "total_net_repl_input_bytes", in);
    line_u64(b, "total_net_repl_output_bytes", out);
    buf_printf(b, "instantaneous_input_kbps:%.2f\r\n",
               (double)rate(v, RATE_INPUT) / 1024);
    buf_printf(b, "instantaneous_output_kbps:%.2f\r\n",
               (double)rate(v, RATE_OUTPUT) / 1024);
    line_u64(b, "rejected_connections", c->rejected);
    line_u64(b, "sync_full", v->snapshots_sent);
    line_u64(b, "sync_partial_ok", 0);
    line_u64(b, "sync_partial_err", 0);
    line_u64(b, "expired_keys", v->expired);
    line_u64(b, "evicted_keys", 0);
    line_u64(b, "evicted_clients", c->slow_closed);
    line_u64(b, "keyspace_hits", c->stats == NULL ? 0 : c->stats->hits);
    line_u64(b, "keyspace_misses", c->stats == NULL ? 0 : c->stats->misses);
    line_u64(b, "pubsub_channels", c->pubsub_channels);
    line_u64(b, "pubsub_patterns", c->pubsub_patterns);
    line_u64(b, "pubsubshard_channels", c->pubsubshard_channels);
    line_u64(b, "tracking_total_keys", c->tracking_total_keys);
    line_u64(b, "tracking_total_items", c->tracking_total_items);
    line_u64(b, "tracking_total_prefixes", c->tracking_total_prefixes);
    line_u64(b, "latest_fork_usec", 0);
    line_u64(b, "total_forks", 0);
    line_u64(b, "migrate_cached_sockets", 0);
    line_u64(b, "slave_expires_tracked_keys", 0);
    line_u64(b, "active_defrag_hits", 0);
    line_u64(b, "active_defrag_misses", 0);
    line_u64(b, "active_defrag_key_hits", 0);
    line_u64(b, "active_defrag_key_misses", 0);
    line_u64(b, "unexpected_error_replies", 0);
    line_u64(b, "total_error_replies", c->errors);
    line_u64(b, "total_reads_processed", c->reads);
    line_u64(b, "client_output_buffer_limit_disconnections", c->slow_closed);
    line_u64(b, "protocol_errors", c->protocol_errors);
}

static void replication_of_slave(const struct node_view *v, struct buf *b)
{
    const struct member_view *master = admin_master(v);
    char host[LIM_ADDR];
    uint16_t port = admin_split(master->cluster_address, host);

    line_str(b, "master_host", host);
    line_u64(b, "master_port", port);
    /* The leader was heard of within an election timeout: node_ready_leader()
     * knows none otherwise, and then this node names itself. */
    line_str(b, "master_link_status", "up");
    line_u64(b, "master_last_io_seconds_ago", v->leader_silence_ms / 1000);
    line_u64(b, "master_sync_in_progress", v->snapshot_installing);
    line_u64(b, "slave_read_repl_offset", v->last_index);
    line_u64(b, "slave_repl_offset", v->applied_index);
    line_u64(b, "slave_priority", 100);
    line_u64(b, "slave_read_only", 1);
    line_u64(b, "replica_announced", 1);
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
        replication_of_slave(v, b);
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
    line_str(b, "master_failover_state", "no-failover");
    admin_member_hex(v, 0, hex);
    line_str(b, "master_replid", hex);
    line_str(b, "master_replid2", "0000000000000000000000000000000000000000");
    line_u64(b, "master_repl_offset", v->commit_index);
    line_i64(b, "second_repl_offset", -1);
    line_u64(b, "repl_backlog_active", v->last_index > v->snapshot_index);
    line_u64(b, "repl_backlog_size", v->log_bytes);
    line_u64(b, "repl_backlog_first_byte_offset", v->snapshot_index + 1);
    line_u64(b, "repl_backlog_histlen",
             v->last_index > v->snapshot_index
                 ? v->last_index - v->snapshot_index
                 : 0);
}

static void section_cpu(const struct node_view *v, bool cluster, struct buf *b)
{
    (void)cluster;
    buf_printf(b,
               "used_cpu_sys:%.6f\r\nused_cpu_user:%.6f\r\n"
               "used_cpu_sys_children:0.000000\r\n"
               "used_cpu_user_children:0.000000\r\n",
               v->cpu_system_s, v->cpu_user_s);
}

static void section_modules(const struct node_view *v,
                            bool cluster,
                            struct buf *b)
{
    (void)v;
    (void)cluster;
    (void)b; /* there are none */
}

static void section_commandstats(const struct node_view *v,
                                 bool cluster,
                                 struct buf *b)
{
    const struct stats *s = counters(v)->stats;
    size_t rows;
    const struct command *c = command_table(&rows);
    char name[48];

    (void)cluster;
    for (size_t i = 0; s != NULL && i < rows; i++) {
        const struct stats_command *r = s->commands[i];

        if (r != NULL) {
            command_full_name(&c[i], name);
            buf_printf(b,
                       "cmdstat_%s:calls=%" PRIu64 ",usec=%" PRIu64
                       ",usec_per_call=%.2f,rejected_calls=%" PRIu64
                       ",failed_calls=%" PRIu64 "\r\n",
                       name, r->calls, r->us, admin_ratio(r->us, r->calls),
                       r->rejected, r->failed);
        }
    }
}

static void section_errorstats(const struct node_view *v,
                               bool cluster,
                               struct buf *b)
{
    const struct stats *s = counters(v)->stats;

    (void)cluster;
    for (unsigned i = 0; s != NULL && i < s->errors_n; i++) {
        buf_printf(b, "errorstat_%s:count=%" PRIu64 "\r\n", s->errors[i].name,
                   s->errors[i].count);
    }
}

static void section_latencystats(const struct node_view *v,
                                 bool cluster,
                                 struct buf *b)
{
    const struct stats *s = counters(v)->stats;
    size_t rows;
    const struct command *c = command_table(&rows);
    char name[48];

    (void)cluster;
    for (size_t i = 0; s != NULL && i < rows; i++) {
        const struct stats_command *r = s->commands[i];

        if (r != NULL && r->calls > 0) {
            command_full_name(&c[i], name);
            buf_printf(b,
                       "latency_percentiles_usec_%s:p50=%.3f,p99=%.3f,"
                       "p99.9=%.3f\r\n",
                       name, stats_percentile(r, 50), stats_percentile(r, 99),
                       stats_percentile(r, 99.9));
        }
    }
}

static void section_cluster(const struct node_view *v,
                            bool cluster,
                            struct buf *b)
{
    (void)v;
    line_u64(b, "cluster_enabled", cluster);
}

static void holdfast_members(const struct node_view *v, struct buf *b)
{
    for (size_t i = 0; i < v->n_members; i++) {
        const struct member_view *m = &v->members[i];

        buf_printf(b,
                   "member%" PRIu64
                   ":address=%s,role=%s,alive=%d,self=%d,repairing=%d,"
                   "match=%" PRIu64 ",lag=%" PRIu64 ",seat=%u\r\n",
                   m->id, m->address, m->voter ? "voter" : "learner",
                   m->alive || m->self, m->self, m->repairing, m->match_index,
                   m->lag, m->seat);
    }
}

/* "loop_turn_us:64=1200,128=3": so many turns took at most so many
 * microseconds, and more than half of that; empty buckets are left out. */
static void holdfast_turns(const struct env_turns *t, struct buf *b)
{
    const char *comma = "";
    uint64_t n = 0;

    for (unsigned i = 0; i < ENV_TURN_BUCKETS; i++) {
        n += t->turns[i];
    }
    line_u64(b, "loop_turns", n);
    line_u64(b, "loop_turn_longest_us", t->longest_us);
    buf_printf(b, "loop_turn_us:");
    for (unsigned i = 0; i < ENV_TURN_BUCKETS; i++) {
        if (t->turns[i] != 0) {
            buf_printf(b, "%s%" PRIu64 "=%" PRIu64, comma, (uint64_t)1 << i,
                       t->turns[i]);
            comma = ",";
        }
    }
    buf_printf(b, "\r\n");
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
    line_i64(b, "snapshot_age_s", v->snapshot_age_s);
    line_u64(b, "revision", v->revision);
    line_u64(b, "cluster_time_ms", v->cluster_ms);
    line_u64(b, "log_bytes", v->log_bytes);
    line_u64(b, "disk_bytes", v->disk_bytes);
    line_str(b, "disk_room", v->disk_room != NULL ? v->disk_room : "ok");
    line_u64(b, "disk_stall_ms", v->disk_stall_ms);
    line_str(b, "repair", v->repair != NULL ? v->repair : "none");
    line_u64(b, "leader_changes", v->leader_changes);
    line_u64(b, "leader_silence_ms", v->leader_silence_ms);
    line_u64(b, "leader_silence_max_ms", v->leader_silence_max_ms);
    line_u64(b, "election_timeout_ms", v->election_ms);
    line_u64(b, "quorum_timeout_ms", v->quorum_ms);
    line_u64(b, "named_sessions", v->sessions);
    line_u64(b, "history_changes", v->history_changes);
    line_u64(b, "history_bytes", v->history_bytes);
    line_u64(b, "history_floor", v->history_floor);
    line_u64(b, "parked_requests", v->parked);
    if (v->turns != NULL) {
        holdfast_turns(v->turns, b);
    }
    line_i64(b, "tolerates_loss", v->tolerates_loss);
    line_u64(b, "members", v->n_members);
    holdfast_members(v, b);
}

static void section_keyspace(const struct node_view *v,
                             bool cluster,
                             struct buf *b)
{
    (void)cluster;
    if (v->keys > 0) {
        buf_printf(b,
                   "db0:keys=%" PRIu64 ",expires=%" PRIu64 ",avg_ttl=%" PRIu64
                   "\r\n",
                   v->keys, v->keys_expiring, v->avg_ttl_ms);
    }
}

static const struct {
    const char *title;
    const char *name; /* as it is asked for */
    void (*fn)(const struct node_view *v, bool cluster, struct buf *b);
    bool by_default;
} sections[] = {
    {"Server", "server", section_server, true},
    {"Clients", "clients", section_clients, true},
    {"Memory", "memory", section_memory, true},
    {"Persistence", "persistence", section_persistence, true},
    {"Stats", "stats", section_stats, true},
    {"Replication", "replication", section_replication, true},
    {"CPU", "cpu", section_cpu, true},
    {"Modules", "modules", section_modules, true},
    {"Commandstats", "commandstats", section_commandstats, false},
    {"Errorstats", "errorstats", section_errorstats, true},
    {"Latencystats", "latencystats", section_latencystats, false},
    {"Cluster", "cluster", section_cluster, true},
    {"Holdfast", "holdfast", section_holdfast, true},
    {"Keyspace", "keyspace", section_keyspace, true},
};

static bool wanted(const struct bytes *argv,
                   int argc,
                   const char *section,
                   bool by_default)
{
    if (argc <= 1 || mutant(INFO_UNASKED)) {
        return by_default;
    }
    for (int i = 1; i < argc; i++) {
        if (bytes_ieq(argv[i], "all") || bytes_ieq(argv[i], "everything") ||
            (bytes_ieq(argv[i], "default") && by_default) ||
            bytes_ieq(argv[i], section)) {
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
        if (wanted(argv, argc, sections[i].name, sections[i].by_default)) {
            buf_printf(&text, "%s# %s\r\n", text.n > 0 ? "\r\n" : "",
                       sections[i].title);
            sections[i].fn(v, cluster_port, &text);
        }
    }
    resp_verbatim(reply, buf_bytes(&text));
    buf_release(&text);
}
