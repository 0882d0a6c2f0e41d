#include <inttypes.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/mutant.h"
#include "server/command/args.h"
#include "server/command/notify.h"
#include "server/edge/acl_log.h"
#include "server/edge/conn_int.h"
#include "server/node/node.h"

/* ---- what the node tells ---- */

static void on_publish(void *data,
                       uint8_t kind,
                       struct bytes channel,
                       struct bytes message)
{
    if ((kind == PUBSUB_CHANNEL || kind == PUBSUB_SHARD) &&
        pubsub_name_fits((enum pubsub_kind)kind, channel)) {
        (void)pubsub_deliver(data, (enum pubsub_kind)kind, channel, message);
    }
}

static void on_change(void *data,
                      enum store_event kind,
                      struct bytes key,
                      void *client)
{
    if (kind == STORE_CLEAR) {
        tracking_lost(data);
    } else if (kind != STORE_DEADLINE || !mutant(TRACK_NO_DEADLINE)) {
        tracking_changed(data, key, client);
    }
}

static void notify(struct edge *e,
                   const char *space,
                   struct bytes name,
                   struct bytes message)
{
    struct buf channel = BUF_INIT;

    buf_printf(&channel, "%s@0__:", space);
    buf_bytes_append(&channel, name);
    (void)pubsub_deliver(e, PUBSUB_CHANNEL, buf_bytes(&channel), message);
    buf_release(&channel);
}

static void on_notify(void *data,
                      enum notify_class class,
                      const char *event,
                      struct bytes key)
{
    struct edge *e = data;

    (void)class;
    if (!pubsub_used(e)) {
        return;
    }
    if ((e->notify & NOTIFY_KEYSPACE) != 0) {
        notify(e, "__keyspace", key, bytes_str(event));
    }
    if ((e->notify & NOTIFY_KEYEVENT) != 0) {
        notify(e, "__keyevent", bytes_str(event), key);
    }
}

void edge_set_notify(struct edge *e, unsigned classes)
{
    bool told = (classes & (NOTIFY_KEYSPACE | NOTIFY_KEYEVENT)) != 0;

    e->notify = classes;
    node_set_notify(e->node, told ? classes : 0);
}

static void on_lost(void *data)
{
    tracking_lost(data);
}

static void edge_hook(struct edge *e)
{
    struct node_hooks h = {.data = e,
                           .on_publish = on_publish,
                           .on_change = on_change,
                           .on_notify = on_notify,
                           .on_lost = on_lost};

    node_set_hooks(e->node, &h);
}

struct edge *edge_new(struct env *env,
                      struct node *node,
                      const struct edge_options *opt,
                      struct logger *log)
{
    struct edge *e = hf_calloc(1, sizeof *e);

    e->env = env;
    e->node = node;
    e->log = log;
    e->counters.stats = stats_new();
    e->pubsub = pubsub_new(e);
    e->tracking = tracking_new(e);
    edge_configure(e, opt);
    env_timer_init(&e->pause, edge_on_unpause, e);
    edge_hook(e);
    return e;
}

void edge_configure(struct edge *e, const struct edge_options *opt)
{
    struct stats *s = e->counters.stats;
    bool idle = e->opt.idle_timeout_s != opt->idle_timeout_s;
    unsigned classes = 0;

    e->opt = *opt;
    if (e->opt.output_total == 0) {
        e->opt.output_total = EDGE_OUTPUT_TOTAL;
    }
    e->counters.maxclients = opt->maxclients;
    s->slow_us = opt->slowlog_us;
    s->slow_max_len = opt->slowlog_max_len;
    s->latency_ms = opt->latency_event_ms;
    stats_slow_trim(s);
    hf_assert(notify_parse(opt->notify_events, &classes)); /* canonical */
    edge_set_notify(e, classes);
    tracking_set_max(e->tracking, opt->tracking_max);
    for (struct conn *c = e->head; idle && c != NULL; c = c->next) {
        env_timer_stop(e->env, &c->idle);
        if (opt->idle_timeout_s > 0) {
            env_timer_start(
                e->env, &c->idle,
                c->active_us + (uint64_t)opt->idle_timeout_s * 1000000);
        }
    }
}

void edge_reset_stats(struct edge *e)
{
    struct edge_counters *c = &e->counters;

    stats_reset(c->stats);
    c->accepted = 0;
    c->rejected = 0;
    c->slow_closed = 0;
    c->protocol_errors = 0;
    c->commands = 0;
    c->errors = 0;
    c->input_bytes = 0;
    c->output_bytes = 0;
    c->reads = 0;
}

/* ---- what is counted of commands ---- */

/* Those that wait because they were asked to do not count the time. */
static bool waits(const struct command *c)
{
    static const char *const names[] = {"wait", "xread", "save", "init"};

    if (!command_has(c, CMD_NODE) && c->handler != cmd_feed) {
        return false;
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(c->name, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

static void slow(struct conn *c,
                 const struct command *cmd,
                 const struct bytes *argv,
                 int argc,
                 uint64_t us)
{
    struct edge *e = c->edge;
    struct stats_slow_call call = {
        .command = cmd,
        .argv = argv,
        .argc = argc,
        .us = us,
        .unix_s = env_wall_ms(e->env) / 1000,
        .addr = c->net->remote,
        .name = buf_bytes(&c->name),
    };

    stats_slow_add(e->counters.stats, &call);
}

/* The time that is counted; *@keep: it is slow. */
static uint64_t count_call(struct conn *c,
                           const struct counted *k,
                           struct bytes reply,
                           bool *keep)
{
    struct edge *e = c->edge;
    struct stats *s = e->counters.stats;
    uint64_t now = env_now_us(e->env);
    uint64_t us = now - k->start_us;

    *keep = false;
    if (k->rejected) {
        stats_reject(s, k->command, reply);
        return 0;
    }
    if (us >= 1000 && waits(k->command)) {
        us = 0;
    }
    stats_call(s, k->command, us, reply);
    if (s->latency_ms > 0 && us >= s->latency_ms * 1000) {
        stats_event(s, "command", us / 1000, env_wall_ms(e->env) / 1000);
    }
    *keep = stats_is_slow(s, us) && stats_slow_room(s, now);
    return us;
}

void edge_count_now(struct conn *c, struct bytes reply)
{
    struct edge *e = c->edge;
    struct counted k = e->now;
    uint64_t us;
    bool keep;

    if (k.command == NULL) {
        if (reply.n > 0 && reply.p[0] == '-' && e->now_argv != NULL) {
            stats_error(e->counters.stats, reply);
        }
        return;
    }
    e->now.command = NULL;
    us = count_call(c, &k, reply, &keep);
    if (keep && e->now_argv != NULL) {
        slow(c, k.command, e->now_argv, e->now_argc, us);
    }
}

void edge_count_exec(struct conn *c,
                     const struct counted *k,
                     struct bytes reply)
{
    struct bytes name = bytes_str("exec");
    uint64_t us;
    bool keep;

    if (k->command != NULL) {
        us = count_call(c, k, reply, &keep);
        if (keep) {
            slow(c, k->command, &name, 1, us);
        }
    }
}

void edge_count_op(struct conn_op *o, struct bytes reply)
{
    struct counted k = o->counted;
    struct command_words w;
    struct bytes name;
    uint64_t us;
    bool keep;

    if (k.command == NULL) {
        return;
    }
    us = count_call(o->conn, &k, reply, &keep);
    if (!keep) {
        return;
    }
    name = bytes_str(k.command->name);
    if (o->op.command == NULL ||
        command_decode(blob_bytes(o->op.command), &w) != 0) {
        slow(o->conn, k.command, &name, 1, us);
        return;
    }
    if (w.command == k.command) {
        slow(o->conn, k.command, w.argv, w.argc, us);
    } else { /* EXEC became a TXN, WATCH a question for revisions */
        slow(o->conn, k.command, &name, 1, us);
    }
    command_words_release(&w);
}

bool edge_may_log(struct edge *e, enum edge_quota kind)
{
    return mutant(EDGE_LOG_UNBOUNDED) ||
           quota_take(&e->quota[kind], e->log, env_now_us(e->env));
}

static void count(struct edge *e, struct conn *c)
{
    size_t now = c->doomed ? 0 : net_pending(c->net);

    e->unsent += now;
    e->unsent -= c->counted;
    c->counted = now;
    e->counters.unsent_bytes = e->unsent;
}

/* Those that said CLIENT NO-EVICT ON come last. */
static bool more_evictable(const struct conn *c, const struct conn *most)
{
    return c->no_evict != most->no_evict && !mutant(EDGE_EVICTS_ALL)
               ? most->no_evict
               : c->counted > most->counted;
}

/* What was sent since is only noticed here: exact when it matters. */
static struct conn *count_all(struct edge *e)
{
    struct conn *most = NULL;

    for (struct conn *c = e->head; c != NULL; c = c->next) {
        count(e, c);
        if (!c->doomed && (most == NULL || more_evictable(c, most))) {
            most = c;
        }
    }
    return most;
}

void edge_count_output(struct edge *e, struct conn *c)
{
    count(e, c);
    while (e->unsent > e->opt.output_total && !mutant(EDGE_TOTAL_UNBOUNDED)) {
        struct conn *most = count_all(e);

        if (e->unsent <= e->opt.output_total || most == NULL) {
            return;
        }
        conn_too_slow(most, "the most of all, which are over the limit");
        count(e, most);
    }
}

static void refuse(struct conn *c)
{
    struct buf reply = BUF_INIT;

    c->edge->counters.rejected++;
    if (edge_may_log(c->edge, EDGE_QUOTA_REFUSED)) {
        log_warn(c->edge->log, "client at %s refused: %u clients already",
                 c->net->remote, c->edge->opt.maxclients);
    }
    resp_error(&reply, "ERR max number of clients reached");
    conn_reply(c, buf_bytes(&reply));
    buf_release(&reply);
    conn_finish(c);
}

static void accepted(struct edge *e, enum edge_port port, struct net_conn *net)
{
    struct conn *c = conn_new(e, port, net);

    e->counters.accepted++;
    if (e->counters.connected >= e->opt.maxclients &&
        !mutant(EDGE_NO_MAXCLIENTS)) {
        refuse(c);
        return;
    }
    e->counters.connected++;
    c->client = client_new(e->node, c);
    log_debug(e->log, "client %" PRIu64 " at %s", c->id, net->remote);
}

static void accepted_plain(void *data, struct net_conn *net)
{
    accepted(data, EDGE_PLAIN, net);
}

static void accepted_cluster(void *data, struct net_conn *net)
{
    accepted(data, EDGE_CLUSTER, net);
}

int edge_listen(struct edge *e,
                enum edge_port port,
                const char *hostport,
                struct errmsg *em)
{
    int rv;

    hf_assert(port < EDGE_PORTS && e->listener[port] == NULL);
    rv = net_listen(e->env, hostport,
                    port == EDGE_PLAIN ? accepted_plain : accepted_cluster, e,
                    &e->listener[port], em);
    if (rv != 0) {
        return rv;
    }
    *(port == EDGE_PLAIN ? &e->counters.plain_port
                         : &e->counters.cluster_port) =
        net_listen_port(e->listener[port]);
    return 0;
}

uint16_t edge_port_number(const struct edge *e, enum edge_port port)
{
    return port == EDGE_PLAIN ? e->counters.plain_port
                              : e->counters.cluster_port;
}

void edge_stop_listening(struct edge *e)
{
    for (int i = 0; i < EDGE_PORTS; i++) {
        if (e->listener[i] != NULL) {
            net_unlisten(e->listener[i]);
            e->listener[i] = NULL;
        }
    }
}

void edge_on_room(struct edge *e)
{
    if (!e->starved) {
        return;
    }
    e->starved = false;
    for (struct conn *c = e->head; c != NULL; c = c->next) {
        if (c->paused) {
            conn_wake(c);
        }
    }
}

void edge_free(struct edge *e)
{
    edge_stop_listening(e);
    env_timer_stop(e->env, &e->pause);
    while (e->head != NULL) {
        conn_close(e->head);
    }
    hf_assert(e->unanswered == 0);
    acl_log_free(e->acl_log);
    node_set_hooks(e->node, NULL);
    tracking_free(e->tracking);
    pubsub_free(e->pubsub);
    stats_free(e->counters.stats);
    free(e);
}

const struct edge_counters *edge_counters(const struct edge *e)
{
    return &e->counters;
}

size_t edge_unanswered(const struct edge *e)
{
    return e->unanswered;
}

size_t edge_unsent(const struct edge *e)
{
    size_t n = 0;

    for (const struct conn *c = e->head; c != NULL; c = c->next) {
        n += net_pending(c->net);
    }
    return n;
}
