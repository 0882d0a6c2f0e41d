/* holdfastd: settings, the log on standard error, signals, and the wiring of
 * loop, disk, node and edge. */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/disk.h"
#include "resp/resp.h"
#include "server/edge/allocator.h"
#include "server/edge/conn.h"
#include "server/edge/env_uv.h"
#include "server/edge/hostport.h"
#include "server/edge/settings.h"
#include "server/node/node.h"

#ifndef HF_VERSION
#define HF_VERSION "0"
#endif

enum {
    FILES_WITHOUT_CLIENTS = 256, /* log, snapshots, peers, libraries */
    FLUSH_STEP_MS = 10,          /* last replies before an orderly end */
    FLUSH_STEPS_MAX = 100,
    VALUE_MAX = SETTINGS_PATH,
};

struct server {
    struct settings s;
    struct env_uv *u;
    struct env *env;
    struct disk *disk;
    struct node *node;
    struct edge *edge;
    struct logger log;
    struct config_view views[SETTINGS_MAX];
    char values[SETTINGS_MAX][VALUE_MAX];
    size_t views_n;
    struct process_hooks hooks;
    char executable[SETTINGS_PATH];
    struct env_timer stop;  /* SHUTDOWN, as soon as it is answered */
    struct env_timer flush; /* after the node's end */
    int flush_steps;
    bool stopping;
    bool ended;
};

/* ---- the log that people read ---- */

static void log_line(struct logger *l, enum log_level level, const char *text)
{
    struct server *v = l->data;
    char line[LOG_LINE_MAX];
    struct timespec ts;
    size_t n;

    clock_gettime(CLOCK_REALTIME, &ts);
    n = log_format_line(line, (enum log_format)v->s.log_format, ts, level,
                        v->node == NULL ? 0 : node_id(v->node), text);
    /* One write: lines of several processes in one file do not mix. Nothing
     * can be said about a log that cannot be written. */
    if (write(STDERR_FILENO, line, n) < 0) {
        return;
    }
}

static int complain(const struct errmsg *em)
{
    fprintf(stderr, "holdfastd: %s\n", em->text);
    return NODE_EXIT_USAGE;
}

/* ---- systemd: one datagram a change of state ---- */

static void notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    socklen_t len;
    int fd;

    if (path == NULL || (path[0] != '/' && path[0] != '@') ||
        strlen(path) >= sizeof sa.sun_path) {
        return;
    }
    memcpy(sa.sun_path, path, strlen(path));
    len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    if (path[0] == '@') {
        sa.sun_path[0] = '\0';
    }
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return;
    }
    (void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&sa,
                 len);
    close(fd);
}

/* ---- the end ---- */

static void flush_cb(struct env_timer *t)
{
    struct server *v = t->data;

    if (++v->flush_steps < FLUSH_STEPS_MAX &&
        (edge_unanswered(v->edge) > 0 || edge_unsent(v->edge) > 0)) {
        env_timer_start(v->env, t,
                        env_now_us(v->env) + FLUSH_STEP_MS * 1000ULL);
        return;
    }
    env_uv_stop(v->u);
}

static void on_exit_cb(void *data, enum node_exit status, const char *why)
{
    struct server *v = data;

    if (status != NODE_EXIT_OK) {
        /* At once: a node whose disk or memory cannot be trusted says
         * nothing more to anybody. */
        log_error(&v->log, "stopped with status %d: %s", (int)status, why);
        _exit((int)status);
    }
    log_info(&v->log, "stopped in order");
    v->ended = true;
    env_timer_start(v->env, &v->flush, env_now_us(v->env));
}

/* @why: who wants it. */
static void stop(struct server *v, const char *why)
{
    if (v->stopping) {
        log_info(&v->log, "%s again: still stopping", why);
        return;
    }
    v->stopping = true;
    log_info(&v->log, "%s: stopping", why);
    notify("STOPPING=1");
    edge_stop_listening(v->edge);
    node_stop(v->node);
}

static void on_signal(void *data, int signum)
{
    stop(data, signum == SIGTERM ? "SIGTERM" : "SIGINT");
}

/* ---- what commands ask of the process ---- */

static uint64_t clients_possible(uint64_t wanted);
static void fill_views(struct server *v);

static void edge_options_fill(const struct settings *s, struct edge_options *o)
{
    *o = (struct edge_options)EDGE_OPTIONS_DEFAULT;
    o->maxclients = (uint32_t)s->clients_max;
    o->idle_timeout_s = (uint32_t)s->idle_timeout_s;
    o->request_max = s->request_max;
    o->output_max = s->output_max;
    o->output_stall_s = (uint32_t)s->output_stall_s;
    o->slowlog_us = s->slowlog_us;
    o->slowlog_max_len = s->slowlog_max_len;
    o->latency_event_ms = s->latency_ms;
    o->tracking_max = s->tracking_max;
    snprintf(o->notify_events, sizeof o->notify_events, "%s", s->notify_events);
}

static void node_settings_fill(const struct settings *s, struct node_config *c)
{
    c->request_timeout_ms = s->request_timeout_ms;
    c->snapshot_floor = s->snapshot_floor;
    c->snapshot_rate = s->snapshot_rate;
    c->log_budget = s->log_budget;
    c->memory_limit = s->memory_limit;
    c->history_count = s->history_count;
    c->history_bytes = s->history_bytes;
}

/* False, and an error was appended: nothing is changed. */
static bool change_settings(struct server *v,
                            const struct bytes *words,
                            size_t pairs,
                            struct buf *reply)
{
    struct settings *old = hf_malloc(sizeof *old);
    bool ok;

    *old = v->s;
    ok = settings_config_set(&v->s, words, pairs, reply);
    if (ok && v->s.clients_max > old->clients_max &&
        clients_possible(v->s.clients_max) < v->s.clients_max) {
        resp_errorf(reply,
                    "ERR CONFIG SET failed (possibly related to argument "
                    "'clients-max') - the file limit allows no more than %llu",
                    (unsigned long long)clients_possible(v->s.clients_max));
        v->s = *old;
        ok = false;
    }
    free(old);
    return ok;
}

static bool hook_config_set(void *data,
                            const struct bytes *words,
                            size_t pairs,
                            struct buf *reply)
{
    struct server *v = data;
    struct node_config c = {0};
    struct edge_options o;

    if (!change_settings(v, words, pairs, reply)) {
        return false;
    }
    fill_views(v);
    v->log.level = (enum log_level)v->s.log_level;
    edge_options_fill(&v->s, &o);
    edge_configure(v->edge, &o);
    node_settings_fill(&v->s, &c);
    node_configure(v->node, &c);
    for (size_t i = 0; i < pairs; i++) {
        log_info(&v->log, "CONFIG SET: %.*s is now \"%.*s\"",
                 (int)words[2 * i].n, (const char *)words[2 * i].p,
                 words[2 * i + 1].n < 200 ? (int)words[2 * i + 1].n : 200,
                 (const char *)words[2 * i + 1].p);
    }
    return true;
}

static bool hook_config_rewrite(void *data, struct buf *reply)
{
    struct server *v = data;
    struct errmsg em = {{0}};

    if (settings_rewrite(&v->s, &em) != 0) {
        resp_errorf(reply, "ERR %s", em.text);
        return false;
    }
    log_info(&v->log, "CONFIG REWRITE: %s written", v->s.config);
    return true;
}

static void hook_reset_stats(void *data)
{
    struct server *v = data;

    edge_reset_stats(v->edge);
    env_uv_reset_turns(v->u);
}

static void stop_cb(struct env_timer *t)
{
    stop(t->data, "SHUTDOWN by a client");
}

static bool hook_shutdown(void *data)
{
    struct server *v = data;

    if (v->stopping || env_timer_armed(&v->stop)) {
        return false;
    }
    env_timer_start(v->env, &v->stop, env_now_us(v->env));
    return true;
}

static void hook_sleep(void *data, uint64_t us)
{
    struct server *v = data;

    log_warn(&v->log, "DEBUG SLEEP: nothing is done for %llu ms",
             (unsigned long long)us / 1000);
    while (us > 0) {
        useconds_t some = us < 999999 ? (useconds_t)us : 999999;

        usleep(some);
        us -= some;
    }
}

static void hook_purge(void *data)
{
    (void)data;
    allocator_purge();
}

static void hook_malloc_stats(void *data, struct buf *text)
{
    (void)data;
    allocator_stats(text);
}

static void hooks_fill(struct server *v)
{
    ssize_t n =
        readlink("/proc/self/exe", v->executable, sizeof v->executable - 1);

    v->executable[n < 0 ? 0 : n] = '\0';
    v->hooks = (struct process_hooks){
        .data = v,
        .config_set = hook_config_set,
        .config_rewrite = hook_config_rewrite,
        .reset_stats = hook_reset_stats,
        .shutdown = hook_shutdown,
        .sleep_us = hook_sleep,
        .purge = hook_purge,
        .malloc_stats = hook_malloc_stats,
        .allocator = allocator_name(),
        .debug = v->s.debug_command,
        .config = v->s.config,
        .executable = v->executable,
    };
}

/* The loop was busy for so long. */
static void on_turn(void *data, uint64_t us)
{
    struct server *v = data;

    if (v->node != NULL) {
        node_latency(v->node, "loop-turn", us / 1000);
    }
}

static void on_ready(void *data)
{
    (void)data;
    notify("READY=1");
}

static void on_room(void *data)
{
    struct server *v = data;

    if (v->edge != NULL) {
        edge_on_room(v->edge);
    }
}

static void on_users(void *data)
{
    struct server *v = data;

    if (v->edge != NULL) {
        edge_on_users(v->edge);
    }
}

/* ---- the start ---- */

/* How many of @wanted clients there are files for; raises the limit. */
static uint64_t clients_possible(uint64_t wanted)
{
    struct rlimit r;

    if (getrlimit(RLIMIT_NOFILE, &r) != 0) {
        return wanted;
    }
    r.rlim_cur = r.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &r) != 0 ||
        getrlimit(RLIMIT_NOFILE, &r) != 0 ||
        r.rlim_cur >= (rlim_t)wanted + FILES_WITHOUT_CLIENTS) {
        return wanted;
    }
    return r.rlim_cur > 2 * FILES_WITHOUT_CLIENTS
               ? r.rlim_cur - FILES_WITHOUT_CLIENTS
               : FILES_WITHOUT_CLIENTS;
}

static void fit_file_limit(struct server *v)
{
    uint64_t n = clients_possible(v->s.clients_max);

    if (n < v->s.clients_max) {
        log_warn(&v->log, "the file limit allows %llu clients, not %llu",
                 (unsigned long long)n, (unsigned long long)v->s.clients_max);
        v->s.clients_max = n;
    }
}

static void nobody(void *data, struct net_conn *c)
{
    (void)data;
    net_close(c);
}

/* Ports and names are tried before any data is touched: what is wrong with
 * them is one line and status 2. */
static int try_ports(struct server *v, struct errmsg *em)
{
    const char *const at[] = {v->s.listen, v->s.cluster_listen,
                              v->s.peer_listen};
    static const char *const names[] = {"--listen", "--cluster-listen",
                                        "--peer-listen"};

    for (size_t i = 0; i < 3; i++) {
        struct net_listener *l;
        int rv = net_listen(v->env, at[i], nobody, NULL, &l, em);

        if (rv != 0) {
            return errmsg_wrap(em, rv, "%s", names[i]);
        }
        net_unlisten(l);
    }
    return 0;
}

static int one_entry(void *data, const char *name)
{
    (void)data;
    (void)name;
    return 1;
}

/* Peers' names must resolve when a node is new; later they are only hints,
 * and a node must come back while the name server is away. */
static int try_names(struct server *v, struct errmsg *em)
{
    bool blank = disk_list(v->disk, "", one_entry, NULL) == 0;

    for (int i = 0; i < v->s.join_n; i++) {
        char host[LIM_ADDR];
        char port[8];
        struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
        struct addrinfo *res = NULL;
        int e;

        hf_assert(hostport_split(v->s.join[i], host, sizeof host, port,
                                 sizeof port) == 0);
        e = getaddrinfo(host, port, &hints, &res);
        if (e == 0) {
            freeaddrinfo(res);
        } else if (blank) {
            return errmsg_set(em, HF_EINVAL, "--join %s: %s", v->s.join[i],
                              gai_strerror(e));
        } else {
            log_warn(&v->log, "peer %s: %s", v->s.join[i], gai_strerror(e));
        }
    }
    return 0;
}

static void fill_views(struct server *v)
{
    const char *name;
    size_t i = 0;

    while (settings_row(&v->s, i, &name, v->values[i], VALUE_MAX)) {
        v->views[i].name = name;
        v->views[i].value = v->values[i];
        i++;
    }
    v->views_n = i;
}

static void copy_addr(char to[LIM_ADDR], const char *from)
{
    snprintf(to, LIM_ADDR, "%s", from);
}

static int start_node(struct server *v, struct errmsg *em)
{
    struct node_cbs cbs = {.data = v,
                           .on_exit = on_exit_cb,
                           .on_ready = on_ready,
                           .on_room = on_room,
                           .on_users = on_users};
    struct node_config c = {
        .join_n = v->s.join_n,
        .election_ms = v->s.election_timeout_ms,
        .heartbeat_ms = v->s.heartbeat_ms,
        .silence_ms = v->s.seat_silence_ms,
        .segment_bytes = v->s.segment_size,
        .repair_refuse = strcmp(v->s.repair, "refuse") == 0,
        .cache_bytes = v->s.entry_cache,
        .request_max = v->s.request_max,
        .settings = v->views,
        .settings_n = v->views_n,
        .process = &v->hooks,
        .log = &v->log,
    };

    node_settings_fill(&v->s, &c);
    copy_addr(c.peer_listen, v->s.peer_listen);
    copy_addr(c.peer_announce, v->s.announce_peer);
    copy_addr(c.client_announce, v->s.announce_plain);
    copy_addr(c.cluster_announce, v->s.announce_cluster);
    copy_addr(c.bind_host, v->s.bind_source);
    memcpy(c.join, v->s.join, sizeof c.join);
    return node_start(v->env, &c, &cbs, &v->node, em);
}

static int start_edge(struct server *v, struct errmsg *em)
{
    struct edge_options o;
    int rv;

    edge_options_fill(&v->s, &o);
    v->edge = edge_new(v->env, v->node, &o, &v->log);
    node_set_edge(v->node, edge_counters(v->edge));
    rv = edge_listen(v->edge, EDGE_PLAIN, v->s.listen, em);
    if (rv == 0) {
        rv = edge_listen(v->edge, EDGE_CLUSTER, v->s.cluster_listen, em);
    }
    return rv;
}

/* The data directory; errors name it. 0 or the exit status. */
static int open_disk(struct server *v)
{
    int e = 0;
    int rv = disk_posix_new(v->s.data_dir, &v->disk, &e);

    if (rv == 0) {
        v->env->disk = v->disk;
        return 0;
    }
    fprintf(stderr, "holdfastd: --data-dir %s: %s\n", v->s.data_dir,
            strerror(abs(e)));
    e = abs(e);
    return e == EIO || e == EROFS || e == ENOSPC ? NODE_EXIT_DISK
                                                 : NODE_EXIT_USAGE;
}

/* What node_start() refuses, as an exit status. */
static int status_of(int rv)
{
    switch (rv) {
        case HF_EINVAL:
        case HF_ENOENT:
        case HF_EACCES:
            return NODE_EXIT_USAGE;
        case HF_EBUSY:
        case HF_EAGAIN:
            return NODE_EXIT_BUSY;
        case HF_EIO:
        case HF_ENOSPC:
        case HF_EROFS:
            return NODE_EXIT_DISK;
        case HF_ECORRUPT:
        case HF_EVERSION:
        case HF_EIDENTITY:
            return NODE_EXIT_DAMAGED;
        default:
            return NODE_EXIT_BUG;
    }
}

static int start(struct server *v)
{
    struct errmsg em = {{0}};
    int rv = open_disk(v);

    if (rv != 0) {
        return rv;
    }
    if (try_ports(v, &em) != 0 || try_names(v, &em) != 0) {
        return complain(&em);
    }
    log_info(&v->log,
             "holdfastd %s, libuv %s: data %s, plain %s, cluster %s, peer %s",
             HF_VERSION, uv_version_string(), v->s.data_dir, v->s.listen,
             v->s.cluster_listen, v->s.peer_listen);
    fit_file_limit(v);
    fill_views(v);
    if (env_uv_signals(v->u, on_signal, v) != 0) {
        return NODE_EXIT_BUG;
    }
    rv = start_node(v, &em);
    if (rv != 0) {
        log_error(&v->log, "%s", em.text);
        return status_of(rv);
    }
    if (start_edge(v, &em) != 0) {
        complain(&em);
        /* The node is reading its data; there is nothing to hand over. */
        _exit(NODE_EXIT_USAGE);
    }
    return 0;
}

static int serve(struct server *v)
{
    struct errmsg em = {{0}};
    int status;

    if (env_uv_new(&v->u, &em) != 0) {
        fprintf(stderr, "holdfastd: %s\n", em.text);
        return NODE_EXIT_BUG;
    }
    env_uv_set_log(v->u, &v->log);
    v->env = env_uv_env(v->u);
    env_timer_init(&v->flush, flush_cb, v);
    env_timer_init(&v->stop, stop_cb, v);
    env_uv_set_turn(v->u, on_turn, v);
    hooks_fill(v);
    status = start(v);
    if (status == 0) {
        env_uv_run(v->u);
        hf_assert(v->ended);
        if (env_uv_busy(v->u)) {
            /* A snapshot is being written, or the like: nobody waits for it,
             * and what it uses must not be freed under it. */
            _exit(status);
        }
        edge_free(v->edge);
        node_free(v->node);
        v->node = NULL; /* the log asks it for its id */
    }
    env_uv_free(v->u);
    if (v->disk != NULL) {
        disk_posix_free(v->disk);
    }
    return status;
}

int main(int argc, char **argv)
{
    static struct server v;
    struct errmsg em = {{0}};

    if (settings_parse(&v.s, argc, argv, &em) != 0) {
        return complain(&em);
    }
    if (v.s.help) {
        settings_help(stdout);
        return 0;
    }
    if (v.s.version) {
        puts("holdfastd " HF_VERSION);
        return 0;
    }
    if (v.s.check_config) {
        return 0;
    }
    v.log.level = (enum log_level)v.s.log_level;
    v.log.line = log_line;
    v.log.data = &v;
    return serve(&v);
}
