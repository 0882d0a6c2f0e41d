#include "tests/sim/cluster.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "server/command/command.h"
#include "server/edge/conn.h"
#include "server/node/node_int.h"
#include "tests/sim/disk_sim.h"
#include "tests/sim/mini.h"

enum {
    PLAIN_PORT = 7379,
    CLUSTER_PORT = 8379,
    PEER_PORT = 17379,
    EXITS = 128,
    SYNC_US = 100,
    MIB_US = 1000,
    WARM_US = 2000000, /* up for so long: it has an estimate of the time */
    LOOK_US = 5000,    /* clocks are looked at so often */
    SLOTS_LOOK_US = 100000,
    CLOCK_PPM = 2500,   /* slew and drifts, generously */
    CLOCK_SLACK_MS = 6, /* a leader without requests slews in one step */
};

#define NEWCOMER_IP "10.0.2.1"

struct machine_slot {
    struct cluster *cl;
    int i;    /* of the observer too */
    int seat; /* whose peer address it announces */
    int host;
    int moved; /* added to the ports for peers and cluster-aware clients */
    char addr[64];
    const struct node_observer *inner; /* the checks */
    struct node_observer obs;
    struct logger log;
    uint64_t once_idle_ms;
    uint64_t named; /* what was last seen to be named as leader */
    bool leads;
    uint64_t looked_us;
    struct disk *disk;
    struct env *env; /* NULL: no process */
    struct node *node;
    struct edge *edge;
    uint64_t started_us;
    bool ended; /* the node said that it is done */
    int status;
    char why[160];
    bool wipe; /* before the next start */
    uint64_t start_at;
};

/* Does it take part? Not one that waits for its repair. */
static bool running(const struct machine_slot *m)
{
    return m->node != NULL && !m->ended && m->node->running &&
           m->node->machine != NULL;
}

/* ---- between the node and the checks ---- */

static void tune(struct machine_slot *m)
{
    if (m->once_idle_ms != 0 && m->node != NULL && m->node->machine != NULL) {
        machine_once_set_idle(m->node->machine, m->once_idle_ms);
    }
}

static void on_leader(void *self, uint64_t id, uint64_t term)
{
    struct machine_slot *m = self;

    m->inner->on_leader(m->inner->self, id, term);
}

static void on_append(void *self,
                      uint64_t id,
                      uint64_t index,
                      uint64_t term,
                      int type,
                      struct bytes payload)
{
    struct machine_slot *m = self;

    tune(m); /* before it is applied */
    m->inner->on_append(m->inner->self, id, index, term, type, payload);
}

static void on_apply(void *self,
                     uint64_t id,
                     uint64_t index,
                     uint64_t term,
                     int type,
                     struct bytes payload,
                     uint64_t digest)
{
    struct machine_slot *m = self;

    tune(m);
    m->inner->on_apply(m->inner->self, id, index, term, type, payload, digest);
}

static void on_state(void *self,
                     uint64_t id,
                     uint64_t index,
                     uint64_t term,
                     uint64_t digest,
                     struct bytes config)
{
    struct machine_slot *m = self;

    m->inner->on_state(m->inner->self, id, index, term, digest, config);
}

static void on_event(void *self,
                     uint64_t id,
                     enum node_event what,
                     uint64_t a,
                     uint64_t b);

static const struct node_observer *observe(struct machine_slot *m,
                                           struct check *c)
{
    m->inner = check_observer(c, m->i);
    m->obs = (struct node_observer){.self = m,
                                    .on_leader = on_leader,
                                    .on_append = on_append,
                                    .on_apply = on_apply,
                                    .on_state = on_state,
                                    .on_event = on_event};
    return &m->obs;
}

struct cluster {
    struct cluster_config cfg;
    struct machine_slot m[CLUSTER_MAX + 1]; /* the newcomer comes last */
    uint64_t clock_ms;   /* the latest cluster time that anyone knew */
    uint64_t clock_us;   /* when that was */
    bool clock_known;    /* every majority had one that knew it */
    uint64_t certain_ms; /* at the last look */
    uint64_t fell_us;    /* when it was seen to be less than before */
    uint64_t warm_since;
    bool ever_warm;
    bool ever_cold;
    uint64_t exits[EXITS];
};

static void clock_look(struct cluster *cl);

static bool disk_dead(struct disk *d)
{
    return disk_sim_dead(d);
}

static const struct sim_disk_ops disk_ops = {
    .take_cost_us = disk_sim_take_cost_us,
    .dies_after = disk_sim_dies_after,
    .dead = disk_dead,
};

static struct machine_slot *newcomer(struct cluster *cl)
{
    return &cl->m[cl->cfg.nodes];
}

struct cluster *cluster_new(const struct cluster_config *cfg)
{
    struct cluster *cl = hf_calloc(1, sizeof *cl);
    struct machine_slot *late = &cl->m[cfg->nodes];
    char addr[64];

    hf_assert(cfg->nodes <= CLUSTER_MAX);
    sim_set_disk_ops(cfg->s, &disk_ops);
    cl->cfg = *cfg;
    cl->warm_since = UINT64_MAX;
    for (int i = 0; i < cfg->nodes; i++) {
        struct machine_slot *m = &cl->m[i];

        snprintf(addr, sizeof addr, "10.0.0.%d", i + 1);
        m->cl = cl;
        m->host = sim_host(cfg->s, addr);
        m->i = i;
        m->seat = i;
        m->disk = disk_sim_new();
        snprintf(m->addr, sizeof m->addr, "10.0.0.%d:%d", i + 1, PLAIN_PORT);
    }
    for (int i = 0; i < CLUSTER_CLIENT_HOSTS; i++) {
        snprintf(addr, sizeof addr, "10.0.1.%d", i + 1);
        (void)sim_host(cfg->s, addr);
    }
    late->cl = cl;
    late->i = cfg->nodes;
    late->host = -1;
    late->disk = disk_sim_new();
    snprintf(late->addr, sizeof late->addr, NEWCOMER_IP ":%d", PLAIN_PORT);
    return cl;
}

int cluster_nodes(const struct cluster *cl)
{
    return cl->cfg.nodes;
}

const char *cluster_addr(const struct cluster *cl, int i)
{
    return cl->m[i].addr;
}

int cluster_client_host(const struct cluster *cl, int i)
{
    return cl->cfg.nodes + i;
}

/* ---- time without a cold start ---- */

static void warm_update(struct cluster *cl)
{
    uint64_t now = sim_now_us(cl->cfg.s);
    int warm = 0;

    for (int i = 0; i < cl->cfg.nodes; i++) {
        const struct machine_slot *m = &cl->m[i];

        warm += m->env != NULL && now - m->started_us > WARM_US &&
                !(m->node != NULL && repair_active(&m->node->repair));
    }
    if (warm * 2 <= cl->cfg.nodes) {
        cl->warm_since = UINT64_MAX;
        cl->ever_cold |= cl->ever_warm;
    } else if (cl->warm_since == UINT64_MAX) {
        cl->warm_since = now;
        cl->ever_warm = true;
    }
}

uint64_t cluster_warm_since(const struct cluster *cl)
{
    return cl->warm_since;
}

bool cluster_ever_cold(const struct cluster *cl)
{
    return cl->ever_cold;
}

/* ---- the end of a process ---- */

/* Free what the dead process held. */
static void bury(struct machine_slot *m)
{
    hf_assert(sim_env_dead(m->env));
    if (m->edge != NULL) {
        edge_free(m->edge);
        m->edge = NULL;
    }
    if (m->node != NULL) {
        node_free(m->node);
        m->node = NULL;
    }
    sim_env_free(m->env);
    m->env = NULL;
    m->ended = false;
    check_died(m->cl->cfg.c, m->i);
    warm_update(m->cl);
    clock_look(m->cl);
}

static void lose_power(struct machine_slot *m)
{
    struct sim *s = m->cl->cfg.s;

    bury(m);
    disk_sim_crash(m->disk, rng_next(sim_rng(s)));
    sim_host_power(s, m->host, false);
}

void cluster_power_cut(struct cluster *cl, int i)
{
    struct machine_slot *m = &cl->m[i];

    if (m->env == NULL) {
        return;
    }
    sim_env_kill(m->env, SIM_POWER_CUT);
    lose_power(m);
}

void cluster_kill(struct cluster *cl, int i)
{
    struct machine_slot *m = &cl->m[i];

    if (m->env == NULL) {
        return;
    }
    sim_env_kill(m->env, SIM_KILLED);
    bury(m);
    disk_sim_kill(m->disk);
}

void cluster_power_cut_at(struct cluster *cl, int i, uint64_t k)
{
    if (cl->m[i].env != NULL) {
        disk_sim_dies_after(cl->m[i].disk, k);
    }
}

/* The disk died under the process, as ordered. */
static void on_env_exit(void *data, struct env *e, int status)
{
    struct machine_slot *m = data;
    struct sim *s = m->cl->cfg.s;

    (void)e;
    hf_assert(status == SIM_EXIT_DISK);
    lose_power(m);
    if (m != newcomer(m->cl)) {
        cluster_start_later(m->cl, m->i, 1000 + rng_below(sim_rng(s), 1500000));
    }
}

/* A node that ended by itself: what a service manager would do. */
static void reap(void *data)
{
    struct machine_slot *m = data;
    struct cluster *cl = m->cl;
    struct sim *s = cl->cfg.s;
    int status = m->status;

    if (m->env == NULL || !m->ended) {
        return;
    }
    sim_env_kill(m->env, SIM_KILLED);
    bury(m);
    disk_sim_kill(m->disk);
    cl->exits[status < 0 || status >= EXITS ? EXITS - 1 : status]++;
    if (status == NODE_EXIT_REMOVED) {
        m->wipe = true;
    } else if (status != NODE_EXIT_OK && status != NODE_EXIT_DISK) {
        check_fail(cl->cfg.c, "n%d ended with status %d: %s", m->i + 1, status,
                   m->why);
    }
    if (m != newcomer(cl)) {
        cluster_start_later(cl, m->i, 300000 + rng_below(sim_rng(s), 500000));
    }
}

static void on_node_exit(void *data, enum node_exit status, const char *why)
{
    struct machine_slot *m = data;
    struct sim *s = m->cl->cfg.s;

    m->ended = true;
    m->status = (int)status;
    snprintf(m->why, sizeof m->why, "%s", why);
    sim_at(s, sim_now_us(s), reap, m);
}

static void on_node_ready(void *data)
{
    (void)data;
}

static void on_node_room(void *data)
{
    struct machine_slot *m = data;

    if (m->edge != NULL) {
        edge_on_room(m->edge);
    }
}

static void on_node_users(void *data)
{
    struct machine_slot *m = data;

    if (m->edge != NULL) {
        edge_on_users(m->edge);
    }
}

/* ---- the start of one ---- */

static void log_line(struct logger *l, enum log_level level, const char *text)
{
    struct machine_slot *m = l->data;
    char line[512];

    snprintf(line, sizeof line, "n%d: %s", m->i + 1, text);
    m->cl->cfg.log->line(m->cl->cfg.log, level, line);
}

/* Lines say whose they are. NULL when nobody reads them. */
static struct logger *log_of(struct machine_slot *m)
{
    if (m->cl->cfg.log == NULL) {
        return NULL;
    }
    m->log = *m->cl->cfg.log;
    m->log.line = log_line;
    m->log.data = m;
    return &m->log;
}

static void fill_config(struct machine_slot *m, struct node_config *nc)
{
    struct cluster *cl = m->cl;
    int ip = m->seat + 1;
    int peer = PEER_PORT + m->moved;
    int cluster = CLUSTER_PORT + m->moved;

    *nc = cl->cfg.node;
    snprintf(nc->peer_listen, LIM_ADDR, "10.0.0.%d:%d", ip, peer);
    snprintf(nc->client_announce, LIM_ADDR, "%s", m->addr);
    snprintf(nc->cluster_announce, LIM_ADDR, "10.0.0.%d:%d", ip, cluster);
    snprintf(nc->peer_announce, LIM_ADDR, "%s", nc->peer_listen);
    if (m == newcomer(cl)) {
        snprintf(nc->peer_listen, LIM_ADDR, NEWCOMER_IP ":%d", peer);
        snprintf(nc->cluster_announce, LIM_ADDR, NEWCOMER_IP ":%d", cluster);
    }
    nc->join_n = cl->cfg.nodes;
    for (int i = 0; i < cl->cfg.nodes; i++) {
        /* Who moves a machine tells those that start later. */
        snprintf(nc->join[i], LIM_ADDR, "10.0.0.%d:%d", i + 1,
                 PEER_PORT + cl->m[i].moved);
    }
    nc->log = log_of(m);
    m->once_idle_ms = cl->cfg.once_idle_ms;
    nc->observer = observe(m, cl->cfg.c);
}

/* What main() of the server does. */
static void process_main(void *data)
{
    struct machine_slot *m = data;
    struct check *c = m->cl->cfg.c;
    struct node_config nc;
    struct node_cbs cbs = {m, on_node_exit, on_node_ready, on_node_room,
                           on_node_users};
    struct edge_options eo = EDGE_OPTIONS_DEFAULT;
    struct errmsg em = {{0}};

    fill_config(m, &nc);
    if (node_start(m->env, &nc, &cbs, &m->node, &em) != 0) {
        m->node = NULL;
        check_fail(c, "n%d does not start: %s", m->i + 1, em.text);
        return;
    }
    m->edge = edge_new(m->env, m->node, &eo, nc.log);
    if (edge_listen(m->edge, EDGE_PLAIN, m->addr, &em) != 0) {
        check_fail(c, "n%d does not listen: %s", m->i + 1, em.text);
    }
    if (edge_listen(m->edge, EDGE_CLUSTER, nc.cluster_announce, &em) != 0) {
        check_fail(c, "n%d does not listen: %s", m->i + 1, em.text);
    }
}

static void check_warm(void *data)
{
    warm_update(data);
}

static void on_event(void *self,
                     uint64_t id,
                     enum node_event what,
                     uint64_t a,
                     uint64_t b)
{
    struct machine_slot *m = self;

    m->inner->on_event(m->inner->self, id, what, a, b);
    if (what == NODE_EV_REPAIR) { /* it knows the time from here on only */
        m->started_us = sim_now_us(m->cl->cfg.s);
        sim_at(m->cl->cfg.s, m->started_us + WARM_US + 1000, check_warm, m->cl);
    }
}

void cluster_start(struct cluster *cl, int i)
{
    struct machine_slot *m = &cl->m[i];
    struct sim *s = cl->cfg.s;

    if (m->env != NULL) {
        return;
    }
    if (m->wipe) {
        cluster_wipe(cl, i);
    }
    sim_host_power(s, m->host, true);
    m->env = sim_env_new(s, m->host, m->disk, on_env_exit, m);
    m->started_us = sim_now_us(s);
    sim_env_post(m->env, process_main, m);
    sim_at(s, m->started_us + WARM_US + 1000, check_warm, cl);
}

static void start_due(void *data)
{
    struct machine_slot *m = data;

    if (sim_now_us(m->cl->cfg.s) >= m->start_at) {
        cluster_start(m->cl, m->i);
    }
}

void cluster_start_later(struct cluster *cl, int i, uint64_t us)
{
    struct machine_slot *m = &cl->m[i];

    m->start_at = sim_now_us(cl->cfg.s) + us;
    sim_at(cl->cfg.s, m->start_at, start_due, m);
}

bool cluster_up(const struct cluster *cl, int i)
{
    return cl->m[i].env != NULL;
}

static void stop_in(void *data)
{
    struct machine_slot *m = data;

    if (m->node != NULL && !m->ended) {
        if (m->edge != NULL) {
            edge_stop_listening(m->edge);
        }
        node_stop(m->node);
    }
}

void cluster_stop(struct cluster *cl, int i)
{
    struct machine_slot *m = &cl->m[i];

    if (m->env != NULL) {
        sim_env_post(m->env, stop_in, m);
    }
}

void cluster_wipe(struct cluster *cl, int i)
{
    struct machine_slot *m = &cl->m[i];

    hf_assert(m->env == NULL);
    m->wipe = false;
    disk_sim_wipe(m->disk);
    check_wiped(cl->cfg.c, i);
}

struct disk *cluster_disk(struct cluster *cl, int i)
{
    return cl->m[i].disk;
}

void cluster_disk_speed(struct cluster *cl, int i, uint64_t factor)
{
    disk_sim_set_cost(cl->m[i].disk, SYNC_US * factor, MIB_US * factor);
}

void cluster_disk_room(struct cluster *cl, int i, uint64_t bytes)
{
    struct disk *d = cl->m[i].disk;

    disk_sim_set_room(
        d, bytes == UINT64_MAX ? UINT64_MAX : disk_sim_used(d) + bytes);
}

void cluster_disk_fail(struct cluster *cl, int i, uint64_t k)
{
    disk_sim_fail_at(cl->m[i].disk, k, EIO, false);
}

uint64_t cluster_node_id(const struct cluster *cl, int i)
{
    const struct machine_slot *m = &cl->m[i];

    return m->node == NULL || m->ended ? 0 : node_id(m->node);
}

struct node *cluster_node(const struct cluster *cl, int i)
{
    const struct machine_slot *m = &cl->m[i];

    return m->ended ? NULL : m->node;
}

const char *cluster_cluster_addr(const struct cluster *cl, int i)
{
    static char text[64];

    snprintf(text, sizeof text, "10.0.0.%d:%d", i + 1,
             CLUSTER_PORT + cl->m[i].moved);
    return text;
}

void cluster_move(struct cluster *cl, int i)
{
    hf_assert(cl->m[i].env == NULL);
    cl->m[i].moved++;
}

void cluster_newcomer_start(struct cluster *cl, int seat)
{
    struct machine_slot *m = newcomer(cl);

    hf_assert(m->env == NULL);
    if (m->host < 0) {
        m->host = sim_host(cl->cfg.s, NEWCOMER_IP);
    }
    m->seat = seat;
    m->moved = cl->m[seat].moved;
    cluster_start(cl, m->i);
}

void cluster_newcomer_stop(struct cluster *cl)
{
    struct machine_slot *m = newcomer(cl);

    cluster_kill(cl, m->i);
    cluster_wipe(cl, m->i);
}

uint64_t cluster_newcomer_id(const struct cluster *cl)
{
    return cluster_node_id(cl, cl->cfg.nodes);
}

bool cluster_whole(const struct cluster *cl)
{
    for (int i = 0; i < cl->cfg.nodes; i++) {
        uint64_t id = cluster_node_id(cl, i);

        if (id == 0 || !running(&cl->m[i]) || !check_is_voter(cl->cfg.c, id)) {
            return false;
        }
    }
    return true;
}

/* ---- what the members know of each other's addresses ---- */

bool cluster_addresses_known(const struct cluster *cl)
{
    for (int i = 0; i < cl->cfg.nodes; i++) {
        for (int j = 0; j < cl->cfg.nodes; j++) {
            const struct member *x;

            if (!running(&cl->m[i]) || !running(&cl->m[j])) {
                return false;
            }
            x = machine_member(cl->m[j].node->machine, cl->m[i].node->id);
            if (x == NULL ||
                strcmp(x->peer, cl->m[i].node->cfg.peer_announce) != 0 ||
                strcmp(x->cluster, cl->m[i].node->cfg.cluster_announce) != 0) {
                return false;
            }
        }
    }
    return true;
}

/* ---- time ---- */

static uint64_t clock_of(struct machine_slot *m)
{
    uint64_t ms = 0;

    if (m->node == NULL || m->ended) {
        return 0;
    }
    ms = node_time_ms(m->node);
    if (running(m) && machine_time(m->node->machine) > ms) {
        ms = machine_time(m->node->machine);
    }
    return ms;
}

/* What any majority's latest node knows at least. */
static uint64_t clock_floor(const struct cluster *cl)
{
    uint64_t v[CLUSTER_MAX] = {0};
    int n = cl->cfg.nodes;

    for (int i = 0; i < n; i++) {
        const struct machine_slot *m = &cl->m[i];
        int k = i;

        v[i] = m->node == NULL || m->ended ? 0 : node_time_ms(m->node);
        while (k > 0 && v[k - 1] < v[k]) {
            uint64_t t = v[k];

            v[k] = v[k - 1];
            v[--k] = t;
        }
    }
    return v[n - (n / 2 + 1)];
}

static void clock_look(struct cluster *cl)
{
    uint64_t now = sim_now_us(cl->cfg.s);
    uint64_t past = now - cl->clock_us;
    uint64_t certain = clock_floor(cl);
    uint64_t top = 0;

    for (int i = 0; i < cl->cfg.nodes; i++) {
        uint64_t ms = clock_of(&cl->m[i]);

        top = ms > top ? ms : top;
    }
    /* Without one that knows the time in every majority, a cold start may
     * follow; and later still, one that slept through it. */
    if (certain != 0) {
        cl->clock_known = true;
    } else if (cl->clock_known) {
        cl->ever_cold = true;
    }
    if (certain + CLOCK_SLACK_MS < cl->certain_ms) {
        cl->fell_us = now;
    }
    cl->certain_ms = certain;
    if (cl->clock_known && cl->clock_ms != 0 && !cl->ever_cold &&
        top > cl->clock_ms + (past + past * CLOCK_PPM / 1000000) / 1000 +
                  CLOCK_SLACK_MS) {
        check_fail(cl->cfg.c,
                   "cluster time jumps from %llu to %llu ms without a cold "
                   "start",
                   (unsigned long long)cl->clock_ms, (unsigned long long)top);
    }
    if (top >= cl->clock_ms) {
        cl->clock_ms = top;
        cl->clock_us = now;
    }
}

uint64_t cluster_clock_latest(struct cluster *cl)
{
    clock_look(cl);
    return cl->clock_ms;
}

uint64_t cluster_clock_certain(struct cluster *cl)
{
    clock_look(cl);
    return cl->certain_ms;
}

uint64_t cluster_clock_fell_us(struct cluster *cl)
{
    clock_look(cl);
    return cl->fell_us;
}

/* ---- what a node tells cluster-aware clients ---- */

/* "host:port" of the first node in a reply to CLUSTER SLOTS. */
static bool slots_master(struct bytes reply, char out[LIM_ADDR])
{
    struct mini_reply r;
    struct mini_reply range;
    struct mini_reply node;

    if (mini_parse(reply, &r) <= 0 || r.type != '*' || r.num != 1 ||
        mini_parse(r.el[0].v, &range) <= 0 || range.num < 3 ||
        mini_parse(range.el[2].v, &node) <= 0 || node.num < 2 ||
        node.el[0].v.n == 0) {
        return false;
    }
    snprintf(out, LIM_ADDR, "%.*s:%lld", (int)node.el[0].v.n,
             (const char *)node.el[0].v.p, (long long)node.el[1].num);
    return true;
}

static void slots_ask(struct node *n, struct buf *reply)
{
    struct bytes words[2] = {bytes_str("CLUSTER"), bytes_str("SLOTS")};
    struct member_view members[LIM_NODES];
    char message[NODE_MESSAGE_MAX];
    struct node_view v;
    struct buf error = BUF_INIT;
    struct blob *b =
        command_encode(command_find(words, 2, &error), 0, words, 2);

    node_view_fill(n, &v, members, message);
    admin_run(&v, blob_bytes(b), reply);
    blob_unref(b);
    buf_release(&error);
}

static void slots_look(struct machine_slot *m)
{
    struct node *n = m->node;
    const char *own = n->cfg.cluster_announce;
    const char *moved = node_leader_cluster_address(n);
    const struct member *self = machine_member(n->machine, n->id);
    struct check *c = m->cl->cfg.c;
    struct buf reply = BUF_INIT;
    char master[LIM_ADDR];
    bool alone = moved[0] == '\0' && node_leaderless_ms(n) >= ADMIN_ALONE_MS;

    if (self != NULL) {
        own = self->cluster; /* as the cluster knows it */
    }
    slots_ask(n, &reply);
    if (!slots_master(buf_bytes(&reply), master)) {
        if (!alone && (self != NULL || moved[0] != '\0')) {
            check_fail(c, "n%d lists nobody in CLUSTER SLOTS: %.*s", m->i + 1,
                       (int)(reply.n < 80 ? reply.n : 80),
                       (const char *)reply.p);
        }
    } else if (alone) {
        check_fail(c, "n%d lists %s, but has known no leader for long",
                   m->i + 1, master);
    } else if (strcmp(master,
                      node_is_leader(n) || moved[0] == '\0' ? own : moved) !=
               0) {
        check_fail(c, "n%d: MOVED says %s, CLUSTER SLOTS %s", m->i + 1,
                   node_is_leader(n) ? own : moved, master);
    }
    if (!node_is_leader(n) && strcmp(moved, own) == 0) {
        check_fail(c, "n%d: MOVED to itself", m->i + 1);
    }
    buf_release(&reply);
}

void cluster_look(struct cluster *cl)
{
    uint64_t now = sim_now_us(cl->cfg.s);

    for (int i = 0; i < cl->cfg.nodes; i++) {
        struct machine_slot *m = &cl->m[i];
        uint64_t named;

        if (!running(m)) {
            continue;
        }
        named = node_ready_leader(m->node);
        if (named != m->named || node_is_leader(m->node) != m->leads ||
            now >= m->looked_us + SLOTS_LOOK_US) {
            m->named = named;
            m->leads = node_is_leader(m->node);
            m->looked_us = now;
            slots_look(m);
        }
    }
    if (now >= cl->clock_us + LOOK_US) {
        clock_look(cl);
    }
}

uint64_t cluster_exits(const struct cluster *cl, enum node_exit status)
{
    return cl->exits[status];
}

void cluster_free(struct cluster *cl)
{
    for (int i = 0; i <= cl->cfg.nodes; i++) {
        cluster_kill(cl, i);
        disk_sim_free(cl->m[i].disk);
    }
    free(cl);
}
