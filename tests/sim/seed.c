#include "tests/sim/seed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/store/machine.h"
#include "tests/sim/caches.h"
#include "tests/sim/feeds.h"
#include "tests/sim/nemesis.h"

enum {
    CLIENTS = 8,
    FORM_US = 30000000,    /* kv init must be done by then */
    FAULT_US = 14000000,   /* length of the bad times */
    HEAL_US = 7000000,     /* of the good ones */
    PROGRESS_US = 5000000, /* a write must be acknowledged within */
    SETTLE_US = 20000000,  /* clients have all their answers */
    FINAL_US = 20000000,   /* one node answers for every key */
    EVENTS_MAX = 20000000, /* more is a loop that never ends */
    SCENE_US = 1500000,    /* a newcomer asks so long after the silence_ms */
    FAULTS_MIN = 20,
    ACKNOWLEDGED_MIN = 200,
};

struct run {
    struct sim *s;
    struct check *c;
    struct hist *h;
    struct cluster *cl;
    struct workload *w;
    struct feeds *feeds;   /* in every other seed */
    struct caches *caches; /* in every fourth one */
    char addr[WORKLOAD_NODES][64];
    struct nemesis *n;
    struct logger log;
    const struct seed_options *opt;
    struct rng opts; /* options of the run, apart from its course */
    int nodes;
    bool formed;
    uint64_t silence_us;
    uint64_t newcomers;
    uint64_t inits;
    uint64_t forming; /* membership changes that were part of forming */
    uint64_t healed_us;
};

static const char *const count_names[SEED_COUNTS] = {"faults",
                                                     "acknowledged requests",
                                                     "refused requests",
                                                     "unknown outcomes",
                                                     "leader changes",
                                                     "truncations",
                                                     "snapshot installs",
                                                     "snapshots",
                                                     "membership changes",
                                                     "torn tails",
                                                     "resends",
                                                     "voids",
                                                     "expiries",
                                                     "transfers",
                                                     "answers with MOVED",
                                                     "idle sessions ended",
                                                     "newcomers refused",
                                                     "inits with a crash",
                                                     "damaged directories",
                                                     "repairs",
                                                     "changes followed",
                                                     "reads from caches"};

const char *seed_count_name(enum seed_count what)
{
    return count_names[what];
}

static uint64_t now_cb(void *data)
{
    return sim_now_us(((struct run *)data)->s);
}

static void log_line(struct logger *l, enum log_level level, const char *text)
{
    struct run *r = l->data;

    printf("%11.6f %s %s\n", (double)sim_now_us(r->s) / 1e6,
           log_level_name(level), text);
}

static uint64_t warm_us(void *data)
{
    return cluster_warm_since(((struct run *)data)->cl);
}

static bool ever_cold(void *data)
{
    return cluster_ever_cold(((struct run *)data)->cl);
}

static uint64_t clock_latest(void *data)
{
    return cluster_clock_latest(((struct run *)data)->cl);
}

static uint64_t clock_certain(void *data)
{
    return cluster_clock_certain(((struct run *)data)->cl);
}

static uint64_t clock_fell_us(void *data)
{
    return cluster_clock_fell_us(((struct run *)data)->cl);
}

static const char *cluster_addr_of(void *data, int node)
{
    return cluster_cluster_addr(((struct run *)data)->cl, node);
}

/* Small numbers, so that everything happens often. */
static void choose(struct run *r, struct node_config *nc)
{
    struct rng *g = &r->opts;

    memset(nc, 0, sizeof *nc);
    nc->heartbeat_ms = 30 + rng_below(g, 30);
    nc->election_ms = nc->heartbeat_ms * 5 + rng_below(g, 100);
    nc->request_timeout_ms = 1000 + rng_below(g, 3000);
    nc->silence_ms = 1500 + rng_below(g, 1500);
    nc->segment_bytes = 65536ULL << rng_below(g, 3);
    nc->snapshot_floor = 32768ULL << rng_below(g, 5);
    nc->snapshot_rate = 1048576ULL << rng_below(g, 7);
    nc->log_budget = 64 << 20;
    nc->cache_bytes = 16384ULL << rng_below(g, 8);
}

/* Let time pass until @us from now, or until @until(r) holds: true. */
static bool pass(struct run *r, uint64_t us, bool (*until)(struct run *r))
{
    uint64_t end = sim_now_us(r->s) + us;

    while (!check_failed(r->c)) {
        if (until != NULL && until(r)) {
            return true;
        }
        if (!sim_step(r->s, end)) {
            return until != NULL && until(r);
        }
        cluster_look(r->cl);
        if (sim_events(r->s) > EVENTS_MAX) {
            check_fail(r->c, "a loop that does not end");
        }
    }
    return false;
}

/* ---- forming the cluster ---- */

static void ask_init(void *data);

static void init_reply(void *data, const char *reply)
{
    struct run *r = data;

    if (r->opt->verbose) {
        printf("%11.6f INIT %s\n", (double)sim_now_us(r->s) / 1e6,
               reply == NULL ? "(nothing)" : reply);
    }
    if (reply != NULL && (reply[0] == '+' || strstr(reply, "already"))) {
        r->formed = true;
    } else {
        sim_at(r->s, sim_now_us(r->s) + 200000, ask_init, r);
    }
}

static void ask_init(void *data)
{
    struct run *r = data;

    workload_admin(r->w, 0, "INIT", init_reply, r);
}

static bool is_formed(struct run *r)
{
    return r->formed;
}

static void init_crash(void *data)
{
    struct run *r = data;
    int v = (int)rng_below(&r->opts, (uint64_t)r->nodes);

    if (r->formed) {
        return;
    }
    r->inits++;
    if (rng_below(&r->opts, 2) == 0) {
        cluster_kill(r->cl, v);
    } else {
        cluster_power_cut(r->cl, v);
    }
    cluster_start_later(r->cl, v, 1000 + rng_below(&r->opts, 700000));
}

/* Crashes while the seats promise themselves, form and join. */
static void trouble_init(struct run *r)
{
    uint64_t n = rng_below(&r->opts, 3) == 0 ? 1 + rng_below(&r->opts, 4) : 0;

    for (uint64_t i = 0; i < n; i++) {
        int v = (int)rng_below(&r->opts, (uint64_t)r->nodes);

        if (rng_below(&r->opts, 2) == 0) {
            /* The disk says when: between any two of its changes. */
            cluster_power_cut_at(r->cl, v, 1 + rng_below(&r->opts, 60));
            r->inits++;
        } else {
            sim_at(r->s,
                   sim_now_us(r->s) + 100000 + rng_below(&r->opts, 900000),
                   init_crash, r);
        }
    }
}

/* ---- a newcomer at a seat that is held ---- */

static bool holder_lost(struct run *r)
{
    return cluster_newcomer_id(r->cl) != 0;
}

/* One machine is down, another's seat is claimed by a blank directory: its
 * holder lives and must win. */
static void newcomer(struct run *r)
{
    int leader = check_last_leader(r->c);
    int holder = (int)rng_below(&r->opts, (uint64_t)r->nodes);
    int down;
    uint64_t id;

    if (holder == leader) {
        holder = (holder + 1) % r->nodes;
    }
    down = (holder + 1) % r->nodes;
    down = down == leader ? (down + 1) % r->nodes : down;
    if (!cluster_whole(r->cl) || down == holder) {
        return;
    }
    id = cluster_node_id(r->cl, holder);
    r->newcomers++;
    if (rng_below(&r->opts, 2) == 0) {
        cluster_power_cut(r->cl, down);
    }
    cluster_newcomer_start(r->cl, holder);
    if (pass(r, r->silence_us + SCENE_US, holder_lost) ||
        cluster_node_id(r->cl, holder) != id || !check_is_voter(r->c, id)) {
        check_fail(r->c, "n%d (id %llu) lived, and a newcomer has its seat",
                   holder + 1, (unsigned long long)id);
    }
    cluster_newcomer_stop(r->cl);
    cluster_start(r->cl, down);
}

/* ---- after the healing ---- */

static bool has_progress(struct run *r)
{
    return workload_last_write_us(r->w) > r->healed_us;
}

static bool is_idle(struct run *r)
{
    return workload_idle(r->w);
}

static bool is_final(struct run *r)
{
    return workload_final_done(r->w);
}

static bool is_even(struct run *r)
{
    for (int i = 0; i < r->nodes; i++) {
        if (!cluster_up(r->cl, i) ||
            check_applied(r->c, i) != check_applied_max(r->c)) {
            return false;
        }
    }
    return true;
}

/* Have the consumers of changes seen the last one? */
static bool feeds_even(struct run *r)
{
    struct store *s = machine_store(node_machine(cluster_node(r->cl, 0)));

    return feeds_at(r->feeds, store_revision(s));
}

/* Is every cache what the keys are? */
static bool caches_are_even(struct run *r)
{
    return caches_even(r->caches);
}

static bool addresses_known(struct run *r)
{
    return cluster_addresses_known(r->cl);
}

/* A member in repair refuses all it is asked for until its seat is granted
 * anew. That takes as long as this limit, and all clients may be there. */
static bool makes_progress(struct run *r)
{
    if (pass(r, PROGRESS_US / 2, has_progress)) {
        return true;
    }
    workload_spread(r->w);
    return pass(r, PROGRESS_US / 2, has_progress);
}

static void afterwards(struct run *r)
{
    if (!makes_progress(r)) {
        check_fail(r->c, "no write acknowledged within %d s of the healing",
                   PROGRESS_US / 1000000);
    }
    pass(r, HEAL_US, NULL);
    workload_stop(r->w);
    if (r->caches != NULL) {
        caches_stop(r->caches);
    }
    if (!pass(r, SETTLE_US, is_idle)) {
        check_fail(r->c, "clients wait for answers %d s after the end",
                   SETTLE_US / 1000000);
    }
    for (int i = 0; i < r->nodes; i++) {
        workload_final(r->w, i);
        if (!pass(r, FINAL_US, is_final)) {
            check_fail(r->c, "n%d does not answer %d s after the healing",
                       i + 1, FINAL_US / 1000000);
        }
    }
    if (!pass(r, FINAL_US, addresses_known)) {
        check_fail(r->c, "not all members know where all the others are");
    }
    if (r->caches != NULL && !pass(r, FINAL_US, caches_are_even)) {
        check_fail(r->c, "cache: not every change was told");
    }
    if (!pass(r, FINAL_US, is_even)) {
        check_fail(r->c, "the nodes do not come to the same index");
    }
    if (r->feeds != NULL && !pass(r, FINAL_US, feeds_even)) {
        check_fail(r->c, "feed: not every change was told");
    }
}

static void course(struct run *r)
{
    for (int i = 0; i < r->nodes; i++) {
        cluster_start(r->cl, i);
    }
    sim_at(r->s, sim_now_us(r->s) + 100000, ask_init, r);
    trouble_init(r);
    if (!pass(r, FORM_US, is_formed)) {
        check_fail(r->c, "the cluster was not formed within %d s",
                   FORM_US / 1000000);
        return;
    }
    r->forming = check_count(r->c, NODE_EV_MEMBERSHIP);
    workload_start(r->w);
    if (r->feeds != NULL) {
        feeds_start(r->feeds);
    }
    if (r->caches != NULL) {
        caches_start(r->caches);
    }
    pass(r, 300000, NULL);
    if (rng_below(&r->opts, 5) == 0) {
        newcomer(r);
    }
    r->n = nemesis_new(r->s, r->cl, r->w, r->c,
                       250000 + rng_below(&r->opts, 300000), r->opt->verbose);
    pass(r, FAULT_US, NULL);
    nemesis_heal(r->n);
    r->healed_us = sim_now_us(r->s);
    afterwards(r);
}

static void set_up(struct run *r, uint64_t seed)
{
    struct cluster_config cc = {0};
    struct workload_config wc = {0};

    r->s = sim_new(seed);
    r->opts.s = seed ^ 0x6A09E667F3BCC909ULL;
    r->c = check_new(now_cb, r);
    check_verbose(r->c, r->opt->verbose);
    r->h = hist_new(r->c);
    r->nodes = r->opt->nodes != 0            ? r->opt->nodes
               : rng_below(&r->opts, 3) == 0 ? 5
                                             : 3;
    r->log = (struct logger){LOG_DEBUG, log_line, r};
    cc.s = r->s;
    cc.c = r->c;
    cc.nodes = r->nodes;
    cc.log = r->opt->verbose ? &r->log : NULL;
    choose(r, &cc.node);
    r->silence_us = cc.node.silence_ms * 1000;
    cc.once_idle_ms = rng_below(&r->opts, 3) == 0
                          ? 2000 + rng_below(&r->opts, 2000)
                          : 3600000;
    wc.once_idle_ms = cc.once_idle_ms;
    r->cl = cluster_new(&cc);
    wc.s = r->s;
    wc.c = r->c;
    wc.h = r->h;
    wc.nodes = r->nodes;
    wc.clients = CLIENTS;
    wc.think_us = 30000 + rng_below(&r->opts, 150000);
    wc.timed = rng_below(&r->opts, 2) == 0;
    wc.warm_us = warm_us;
    wc.ever_cold = ever_cold;
    wc.clock_latest = clock_latest;
    wc.clock_certain = clock_certain;
    wc.clock_fell_us = clock_fell_us;
    wc.cluster_addr = cluster_addr_of;
    wc.data = r;
    for (int i = 0; i < CLUSTER_CLIENT_HOSTS; i++) {
        wc.envs[i] =
            sim_env_new(r->s, cluster_client_host(r->cl, i), NULL, NULL, NULL);
    }
    for (int i = 0; i < r->nodes; i++) {
        snprintf(wc.addr[i], sizeof wc.addr[i], "%s", cluster_addr(r->cl, i));
        memcpy(r->addr[i], wc.addr[i], sizeof r->addr[i]);
    }
    r->w = workload_new(&wc);
    if (seed % 2 == 0) {
        r->feeds = feeds_new(r->s, r->c, wc.envs, r->addr, r->nodes);
    }
    if (seed % 4 == 1) {
        r->caches = caches_new(r->s, r->c, wc.envs, r->addr, r->nodes);
    }
}

static void counts(const struct run *r, struct seed_result *out)
{
    static const struct {
        enum seed_count to;
        enum node_event from;
    } map[] = {
        {SEED_TRUNCATIONS, NODE_EV_TRUNCATE},
        {SEED_INSTALLS, NODE_EV_INSTALL},
        {SEED_SNAPSHOTS, NODE_EV_SNAPSHOT},
        {SEED_MEMBERSHIP, NODE_EV_MEMBERSHIP},
        {SEED_TORN, NODE_EV_TORN},
        {SEED_RESENDS, NODE_EV_RESEND},
        {SEED_VOIDS, NODE_EV_VOID},
        {SEED_EXPIRIES, NODE_EV_EXPIRE},
        {SEED_TRANSFERS, NODE_EV_TRANSFER},
        {SEED_REPAIRS, NODE_EV_REPAIR},
    };

    for (size_t i = 0; i < sizeof map / sizeof map[0]; i++) {
        out->count[map[i].to] = check_count(r->c, map[i].from);
    }
    out->count[SEED_MEMBERSHIP] -= r->forming;
    out->count[SEED_FAULTS] = r->n == NULL ? 0 : nemesis_faults(r->n);
    out->count[SEED_ROTS] = r->n == NULL ? 0 : nemesis_rots(r->n);
    out->count[SEED_ACKNOWLEDGED] = hist_acknowledged(r->h);
    out->count[SEED_REFUSED] = hist_refused(r->h);
    out->count[SEED_UNKNOWN] = hist_unknowns(r->h);
    out->count[SEED_MOVED] = workload_moved(r->w);
    out->count[SEED_SESSIONS] = workload_sessions_ended(r->w);
    out->count[SEED_NEWCOMERS] = r->newcomers;
    out->count[SEED_INITS] = r->inits;
    out->count[SEED_LEADERS] = check_leaders(r->c);
    out->count[SEED_CHANGES] = r->feeds == NULL ? 0 : feeds_changes(r->feeds);
    out->count[SEED_CACHED] = r->caches == NULL ? 0 : caches_hits(r->caches);
}

void seed_run(uint64_t seed,
              const struct seed_options *opt,
              struct seed_result *out)
{
    struct run r = {.opt = opt};

    memset(out, 0, sizeof *out);
    set_up(&r, seed);
    course(&r);
    counts(&r, out);
    if (out->count[SEED_FAULTS] < FAULTS_MIN) {
        check_fail(r.c, "only %llu faults",
                   (unsigned long long)out->count[SEED_FAULTS]);
    }
    if (out->count[SEED_ACKNOWLEDGED] < ACKNOWLEDGED_MIN) {
        check_fail(r.c, "only %llu requests acknowledged",
                   (unsigned long long)out->count[SEED_ACKNOWLEDGED]);
    }
    out->seed = seed;
    out->nodes = r.nodes;
    out->trace = sim_trace(r.s) ^ check_hash(r.c);
    out->virtual_us = sim_now_us(r.s);
    out->events = sim_events(r.s);
    out->ok = !check_failed(r.c);
    snprintf(out->text, sizeof out->text, "%s", check_text(r.c));
    cluster_free(r.cl);
    sim_free(r.s);
    feeds_free(r.feeds);
    caches_free(r.caches);
    workload_free(r.w);
    if (r.n != NULL) {
        nemesis_free(r.n);
    }
    hist_free(r.h);
    check_free(r.c);
}
