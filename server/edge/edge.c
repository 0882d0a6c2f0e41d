#include <inttypes.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/mutant.h"
#include "server/edge/conn_int.h"
#include "server/node/node.h"

/* ---- what the node tells ---- */

static void on_publish(void *data,
                       uint8_t kind,
                       struct bytes channel,
                       struct bytes message)
{
    if (kind == PUBSUB_CHANNEL || kind == PUBSUB_SHARD) {
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

void edge_set_notify(struct edge *e, unsigned flags)
{
    bool told = (flags & (NOTIFY_KEYSPACE | NOTIFY_KEYEVENT)) != 0;

    e->notify = flags;
    node_set_notify(e->node, told ? flags : 0);
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
    e->opt = *opt;
    if (e->opt.output_total == 0) {
        e->opt.output_total = EDGE_OUTPUT_TOTAL;
    }
    e->log = log;
    e->counters.maxclients = opt->maxclients;
    e->pubsub = pubsub_new(e);
    e->tracking = tracking_new(e);
    edge_hook(e);
    env_timer_init(&e->pause, edge_on_unpause, e);
    return e;
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
    node_set_hooks(e->node, NULL);
    tracking_free(e->tracking);
    pubsub_free(e->pubsub);
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
