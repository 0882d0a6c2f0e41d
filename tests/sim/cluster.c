#include "tests/sim/cluster.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "server/edge/conn.h"
#include "tests/sim/disk_sim.h"

enum {
    PLAIN_PORT = 7379,
    CLUSTER_PORT = 8379,
    PEER_PORT = 17379,
    EXITS = 128,
    SYNC_US = 100,
    MIB_US = 1000,
    WARM_US = 2000000, /* up for so long: it has an estimate of the time */
};

struct machine_slot {
    struct cluster *cl;
    int i;
    char addr[64];
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

struct cluster {
    struct cluster_config cfg;
    struct machine_slot m[CLUSTER_MAX];
    uint64_t warm_since;
    bool ever_warm;
    bool ever_cold;
    uint64_t exits[EXITS];
};

static bool disk_dead(struct disk *d)
{
    return disk_sim_dead(d);
}

static const struct sim_disk_ops disk_ops = {
    .take_cost_us = disk_sim_take_cost_us,
    .dies_after = disk_sim_dies_after,
    .dead = disk_dead,
};

struct cluster *cluster_new(const struct cluster_config *cfg)
{
    struct cluster *cl = hf_calloc(1, sizeof *cl);
    char addr[64];

    hf_assert(cfg->nodes <= CLUSTER_MAX);
    sim_set_disk_ops(cfg->s, &disk_ops);
    cl->cfg = *cfg;
    cl->warm_since = UINT64_MAX;
    for (int i = 0; i < cfg->nodes; i++) {
        struct machine_slot *m = &cl->m[i];

        snprintf(addr, sizeof addr, "10.0.0.%d", i + 1);
        m->cl = cl;
        m->i = sim_host(cfg->s, addr);
        m->disk = disk_sim_new();
        snprintf(m->addr, sizeof m->addr, "10.0.0.%d:%d", i + 1, PLAIN_PORT);
    }
    for (int i = 0; i < CLUSTER_CLIENT_HOSTS; i++) {
        snprintf(addr, sizeof addr, "10.0.1.%d", i + 1);
        (void)sim_host(cfg->s, addr);
    }
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

        warm += m->env != NULL && now - m->started_us > WARM_US;
    }
    if (warm * 2 <= cl->cfg.nodes) {
        cl->warm_since = UINT64_MAX;
        cl->ever_cold = cl->ever_warm;
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
}

static void lose_power(struct machine_slot *m)
{
    struct sim *s = m->cl->cfg.s;

    bury(m);
    disk_sim_crash(m->disk, rng_next(sim_rng(s)));
    sim_host_power(s, m->i, false);
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
    cluster_start_later(m->cl, m->i, 1000 + rng_below(sim_rng(s), 1500000));
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
    cluster_start_later(cl, m->i, 300000 + rng_below(sim_rng(s), 500000));
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

/* ---- the start of one ---- */

static void fill_config(struct machine_slot *m, struct node_config *nc)
{
    struct cluster *cl = m->cl;
    int ip = m->i + 1;

    *nc = cl->cfg.node;
    snprintf(nc->peer_listen, LIM_ADDR, "10.0.0.%d:%d", ip, PEER_PORT);
    snprintf(nc->peer_announce, LIM_ADDR, "10.0.0.%d:%d", ip, PEER_PORT);
    snprintf(nc->client_announce, LIM_ADDR, "10.0.0.%d:%d", ip, PLAIN_PORT);
    snprintf(nc->cluster_announce, LIM_ADDR, "10.0.0.%d:%d", ip, CLUSTER_PORT);
    nc->join_n = cl->cfg.nodes;
    for (int i = 0; i < cl->cfg.nodes; i++) {
        snprintf(nc->join[i], LIM_ADDR, "10.0.0.%d:%d", i + 1, PEER_PORT);
    }
    nc->log = cl->cfg.log;
    nc->observer = check_observer(cl->cfg.c, m->i);
}

/* What main() of the server does. */
static void process_main(void *data)
{
    struct machine_slot *m = data;
    struct check *c = m->cl->cfg.c;
    struct node_config nc;
    struct node_cbs cbs = {m, on_node_exit, on_node_ready, on_node_room};
    struct edge_options eo = EDGE_OPTIONS_DEFAULT;
    struct errmsg em = {{0}};
    char addr[64];

    fill_config(m, &nc);
    if (node_start(m->env, &nc, &cbs, &m->node, &em) != 0) {
        m->node = NULL;
        check_fail(c, "n%d does not start: %s", m->i + 1, em.text);
        return;
    }
    m->edge = edge_new(m->env, m->node, &eo, m->cl->cfg.log);
    if (edge_listen(m->edge, EDGE_PLAIN, m->addr, &em) != 0) {
        check_fail(c, "n%d does not listen: %s", m->i + 1, em.text);
    }
    snprintf(addr, sizeof addr, "10.0.0.%d:%d", m->i + 1, CLUSTER_PORT);
    if (edge_listen(m->edge, EDGE_CLUSTER, addr, &em) != 0) {
        check_fail(c, "n%d does not listen: %s", m->i + 1, em.text);
    }
}

static void check_warm(void *data)
{
    warm_update(data);
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
    sim_host_power(s, m->i, true);
    m->env = sim_env_new(s, m->i, m->disk, on_env_exit, m);
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

uint64_t cluster_exits(const struct cluster *cl, enum node_exit status)
{
    return cl->exits[status];
}

void cluster_free(struct cluster *cl)
{
    for (int i = 0; i < cl->cfg.nodes; i++) {
        cluster_kill(cl, i);
        disk_sim_free(cl->m[i].disk);
    }
    free(cl);
}
