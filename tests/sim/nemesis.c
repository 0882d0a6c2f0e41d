#include "tests/sim/nemesis.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "tests/sim/rot.h"

enum {
    HOSTS_MAX = CLUSTER_MAX + CLUSTER_CLIENT_HOSTS,
    SAFE_GAP_US = 6000000,   /* between two removals */
    WIPE_GAP_US = 1500000,   /* from a wiped seat to a removal */
    ROT_GAP_US = 3000000,    /* between damage, and from it to a wipe */
    OUTAGE_MS = 2 * 3600000, /* what the clocks show after a long one */
};

struct undo;

struct nemesis {
    struct undo *undos;
    struct sim *s;
    struct cluster *cl;
    struct workload *w;
    struct check *c;
    uint64_t gap_us;
    bool verbose;
    bool healed;
    bool removals; /* members are removed */
    int wipes;     /* seats that may still be wiped */
    int moves;     /* members that may still get other addresses */
    uint64_t last_removal;
    uint64_t last_wipe;
    uint64_t last_rot;
    uint64_t rots;
    uint64_t faults;
    int hosts;
    uint32_t lat_max; /* of a link without trouble */
};

/* The end of a fault on one machine, or of all cuts (-1). */
struct undo {
    struct undo *next; /* all of a run, freed at its end */
    struct nemesis *n;
    int i;
};

static uint64_t pick(struct nemesis *n, uint64_t k)
{
    return rng_below(sim_rng(n->s), k);
}

static int any_node(struct nemesis *n)
{
    return (int)pick(n, (uint64_t)cluster_nodes(n->cl));
}

/* The leader more often than its share. */
static int victim(struct nemesis *n)
{
    int leader = check_last_leader(n->c);

    return leader >= 0 && pick(n, 3) == 0 ? leader : any_node(n);
}

static void say(const struct nemesis *n, const char *what, int i, uint64_t v)
{
    if (n->verbose) {
        printf("%11.6f FAULT %s n%d %llu\n", (double)sim_now_us(n->s) / 1e6,
               what, i + 1, (unsigned long long)v);
    }
}

static void later(struct nemesis *n, uint64_t us, void (*fn)(void *), int i)
{
    struct undo *u = hf_malloc(sizeof *u);

    *u = (struct undo){n->undos, n, i};
    n->undos = u;
    sim_at(n->s, sim_now_us(n->s) + us, fn, u);
}

/* ---- network ---- */

static void cut(struct nemesis *n, int a, int b)
{
    sim_link(n->s, a, b)->blocked = true;
}

static void links_mend(struct nemesis *n)
{
    for (int a = 0; a < n->hosts; a++) {
        for (int b = 0; b < n->hosts; b++) {
            struct sim_link *l = sim_link(n->s, a, b);
            bool was = l->blocked;

            l->blocked = false;
            l->lat_min_us = 20;
            l->lat_max_us = n->lat_max;
            l->loss_permille = 0;
            l->bytes_per_ms = 0;
            if (was) {
                sim_link_healed(n->s, a, b);
            }
        }
    }
}

static void mend_due(void *data)
{
    struct undo *u = data;

    links_mend(u->n);
    say(u->n, "links mended", 0, 0);
}

static void split(struct nemesis *n)
{
    uint64_t side = rng_next(sim_rng(n->s));

    for (int a = 0; a < n->hosts; a++) {
        for (int b = 0; b < n->hosts; b++) {
            if (((side >> a) & 1) != ((side >> b) & 1)) {
                cut(n, a, b);
            }
        }
    }
    say(n, "split", 0, side & 127);
}

/* One machine alone, deaf, or mute. */
static void isolate(struct nemesis *n)
{
    int v = victim(n);
    uint64_t how = pick(n, 3);
    int limit = pick(n, 2) == 0 ? n->hosts : cluster_nodes(n->cl);

    for (int i = 0; i < limit; i++) {
        if (i != v && how != 1) {
            cut(n, v, i);
        }
        if (i != v && how != 2) {
            cut(n, i, v);
        }
    }
    say(n, how == 0 ? "isolated" : how == 1 ? "deaf" : "mute", v, 0);
}

static void one_way(struct nemesis *n)
{
    int a = (int)pick(n, (uint64_t)n->hosts);
    int b = (int)pick(n, (uint64_t)n->hosts);

    cut(n, a, b);
    say(n, "one way", a, (uint64_t)b + 1);
}

/* Every machine hears some of the others: there may be a majority that only
 * an old leader does not hear of. */
static void sieve(struct nemesis *n)
{
    uint64_t holes = 150 + pick(n, 350);
    int nodes = cluster_nodes(n->cl);

    for (int a = 0; a < nodes; a++) {
        for (int b = 0; b < nodes; b++) {
            if (a != b && rng_permille(sim_rng(n->s), holes)) {
                cut(n, a, b);
            }
        }
    }
    say(n, "sieve", 0, holes);
}

static void rough(struct nemesis *n)
{
    uint32_t lat = 1000 + (uint32_t)pick(n, 30000);
    uint32_t loss = (uint32_t)pick(n, 200);
    uint32_t bytes = pick(n, 3) == 0 ? 20 + (uint32_t)pick(n, 2000) : 0;

    for (int a = 0; a < n->hosts; a++) {
        for (int b = 0; b < n->hosts; b++) {
            struct sim_link *l = sim_link(n->s, a, b);

            if (pick(n, 2) == 0) {
                l->lat_max_us = lat;
                l->loss_permille = loss;
                l->bytes_per_ms = bytes;
            }
        }
    }
    say(n, "rough network", 0, loss);
}

static void network(struct nemesis *n)
{
    switch (pick(n, 6)) {
        case 0:
            split(n);
            break;
        case 3:
            sieve(n);
            break;
        case 1:
            one_way(n);
            break;
        case 2:
            rough(n);
            break;
        default:
            isolate(n);
            break;
    }
    later(n, 100000 + pick(n, pick(n, 3) == 0 ? 5000000 : 1200000), mend_due,
          -1);
}

static void resets(struct nemesis *n)
{
    int a = (int)pick(n, (uint64_t)n->hosts);
    int b = (int)pick(n, (uint64_t)n->hosts);

    sim_reset_conns(n->s, a, b);
    say(n, "reset", a, (uint64_t)b + 1);
}

/* ---- processes and machines ---- */

static void resume_due(void *data)
{
    struct undo *u = data;

    sim_host_pause(u->n->s, u->i, false);
    say(u->n, "resumed", u->i, 0);
}

static void pause_one(struct nemesis *n)
{
    int v = victim(n);
    uint64_t us = 20000 + pick(n, pick(n, 3) == 0 ? 5000000 : 900000);

    sim_host_pause(n->s, v, true);
    say(n, "paused", v, us);
    later(n, us, resume_due, v);
}

static void cut_due(void *data)
{
    struct undo *u = data;

    /* It wrote too little: cut it now. */
    cluster_power_cut_at(u->n->cl, u->i, UINT64_MAX);
    if (!u->n->healed) {
        cluster_power_cut(u->n->cl, u->i);
        cluster_start_later(u->n->cl, u->i, 1000 + pick(u->n, 1000000));
    }
}

static void crash(struct nemesis *n)
{
    int v = victim(n);
    uint64_t down = pick(n, 2) == 0 ? pick(n, 50000) : pick(n, 2000000);
    uint64_t k = pick(n, 1ULL << pick(n, 9));

    switch (pick(n, 4)) {
        case 0:
            say(n, "killed", v, down);
            cluster_kill(n->cl, v);
            cluster_start_later(n->cl, v, 1000 + down);
            break;
        case 1:
            say(n, "power cut", v, down);
            cluster_power_cut(n->cl, v);
            cluster_start_later(n->cl, v, 1000 + down);
            break;
        default:
            say(n, "power cut after changes", v, k);
            if (cluster_up(n->cl, v)) {
                cluster_power_cut_at(n->cl, v, k);
                later(n, 500000, cut_due, v);
            }
            break;
    }
}

static void blackout(struct nemesis *n)
{
    bool outage = pick(n, 4) == 0;

    say(n, outage ? "a long outage of all from" : "power cut of all from", 0,
        0);
    for (int i = 0; outage && i < cluster_nodes(n->cl); i++) {
        sim_host_wall_step(n->s, i, OUTAGE_MS);
    }
    for (int i = 0; i < cluster_nodes(n->cl); i++) {
        cluster_power_cut(n->cl, i);
        cluster_start_later(n->cl, i, 1000 + pick(n, 800000));
    }
}

/* It comes back at other ports. */
static void move(struct nemesis *n, int v)
{
    n->moves--;
    say(n, "moved", v, 0);
    cluster_kill(n->cl, v);
    cluster_move(n->cl, v);
    cluster_start_later(n->cl, v, 1000 + pick(n, 500000));
}

static void orderly(struct nemesis *n)
{
    int v = victim(n);

    say(n, "stopped in order", v, 0);
    cluster_stop(n->cl, v);
}

/* ---- disks and clocks ---- */

static void disk_mend_due(void *data)
{
    struct undo *u = data;

    cluster_disk_speed(u->n->cl, u->i, 1);
    cluster_disk_room(u->n->cl, u->i, UINT64_MAX);
}

static void disk_trouble(struct nemesis *n)
{
    int v = victim(n);
    uint64_t factor = 1ULL << pick(n, 10);
    uint64_t room = pick(n, 200000);

    uint64_t kind = pick(n, 5);

    if (kind == 0) {
        cluster_disk_fail(n->cl, v, 1 + room % 60);
        say(n, "disk error after changes", v, room % 60);
    } else if (kind < 3) {
        cluster_disk_speed(n->cl, v, factor);
        say(n, "slow disk", v, factor);
    } else {
        cluster_disk_room(n->cl, v, room);
        say(n, "full disk", v, room);
    }
    later(n, 200000 + pick(n, 3000000), disk_mend_due, v);
}

static void clocks(struct nemesis *n)
{
    int v = any_node(n);
    int64_t ms = (int64_t)pick(n, 20000) - 10000;

    if (pick(n, 2) == 0) {
        sim_host_wall_step(n->s, v, ms);
        say(n, "wall clock stepped", v, (uint64_t)(ms < 0 ? -ms : ms));
    } else {
        sim_host_drift(n->s, v, (int)pick(n, 401) - 200);
        say(n, "clock drifts", v, 0);
    }
}

/* ---- membership ---- */

static void ignore_reply(void *data, const char *reply)
{
    struct nemesis *n = data;

    if (n->verbose) {
        printf("%11.6f ADMIN %s\n", (double)sim_now_us(n->s) / 1e6,
               reply == NULL ? "(nothing)" : reply);
    }
}

static void member_command(struct nemesis *n, const char *verb, int v)
{
    uint64_t id = cluster_node_id(n->cl, v);
    char line[64];

    if (id != 0) {
        snprintf(line, sizeof line, "MEMBER %s %llu", verb,
                 (unsigned long long)id);
        workload_admin(n->w, any_node(n), line, ignore_reply, n);
        say(n, line, v, id);
    }
}

/* A copy of everything goes with each, so that one must be made good before
 * the next: all seats vote again. A removal that is still on its way would
 * take the second of two. */
static void membership(struct nemesis *n)
{
    uint64_t now = sim_now_us(n->s);
    bool whole = cluster_whole(n->cl) && cluster_addresses_known(n->cl) &&
                 now > n->last_removal + SAFE_GAP_US &&
                 (n->last_rot == 0 || now > n->last_rot + ROT_GAP_US);
    int v = any_node(n);
    uint64_t x = pick(n, 4);

    if (n->removals && whole && now > n->last_wipe + WIPE_GAP_US && x < 2) {
        n->last_removal = now;
        member_command(n, "REMOVE", v);
    } else if (n->wipes > 0 && whole && x < 3) {
        n->wipes--;
        n->last_wipe = now;
        say(n, "wiped", v, 0);
        cluster_power_cut(n->cl, v);
        cluster_wipe(n->cl, v);
        cluster_start_later(n->cl, v, 1000 + pick(n, 1000000));
    } else if (n->moves > 0 && whole) {
        move(n, v);
    } else if (pick(n, 2) == 0) {
        member_command(n, "PROMOTE", v);
    } else {
        member_command(n, "TRANSFER", v);
    }
}

/* ---- damage ---- */

/* One machine's files, and only while all members are whole: what the others
 * have must be enough. */
static void rot(struct nemesis *n)
{
    uint64_t now = sim_now_us(n->s);
    int v = victim(n);
    char what[ROT_TEXT] = "";

    if (!cluster_whole(n->cl) || !cluster_addresses_known(n->cl) ||
        now < n->last_rot + ROT_GAP_US || now < n->last_wipe + ROT_GAP_US ||
        now < n->last_removal + SAFE_GAP_US) {
        return;
    }
    if (pick(n, 2) == 0) {
        cluster_kill(n->cl, v);
    } else {
        cluster_power_cut(n->cl, v);
    }
    if (rot_apply(cluster_disk(n->cl, v), sim_rng(n->s), what)) {
        n->last_rot = now;
        n->rots++;
        say(n, what, v, 0);
    }
    cluster_start_later(n->cl, v, 1000 + pick(n, 1000000));
}

uint64_t nemesis_rots(const struct nemesis *n)
{
    return n->rots;
}

/* ---- the course of it ---- */

static void next_fault(void *data);

static void plan(struct nemesis *n)
{
    sim_at(n->s, sim_now_us(n->s) + n->gap_us / 2 + pick(n, n->gap_us),
           next_fault, n);
}

static void next_fault(void *data)
{
    struct nemesis *n = data;
    uint64_t x = pick(n, 100);

    if (n->healed) {
        return;
    }
    n->faults++;
    if (x < 30) {
        network(n);
    } else if (x < 36) {
        resets(n);
    } else if (x < 46) {
        pause_one(n);
    } else if (x < 64) {
        crash(n);
    } else if (x < 67) {
        blackout(n);
    } else if (x < 71) {
        orderly(n);
    } else if (x < 81) {
        disk_trouble(n);
    } else if (x < 84) {
        clocks(n);
    } else if (x < 91) {
        rot(n);
    } else {
        membership(n);
    }
    plan(n);
}

struct nemesis *nemesis_new(struct sim *s,
                            struct cluster *cl,
                            struct workload *w,
                            struct check *c,
                            uint64_t gap_us,
                            bool verbose)
{
    struct nemesis *n = hf_calloc(1, sizeof *n);

    n->s = s;
    n->cl = cl;
    n->w = w;
    n->c = c;
    n->gap_us = gap_us;
    n->verbose = verbose;
    n->hosts = cluster_nodes(cl) + CLUSTER_CLIENT_HOSTS;
    n->removals = pick(n, 2) == 0;
    n->wipes = pick(n, 3) == 0 ? 0 : 1 + (int)pick(n, 2);
    /* A removed member asks where it was told to at its start: that must not
     * be out of date. */
    n->moves = n->removals ? 0 : (int)pick(n, 3);
    n->lat_max = 60 + (uint32_t)pick(n, 800);
    links_mend(n);
    for (int a = 0; a < n->hosts; a++) {
        for (int b = 0; b < n->hosts; b++) {
            sim_link(s, a, b)->split_permille = 30;
        }
    }
    plan(n);
    return n;
}

void nemesis_heal(struct nemesis *n)
{
    n->healed = true;
    say(n, "none any more", 0, 0);
    links_mend(n);
    for (int i = 0; i < cluster_nodes(n->cl); i++) {
        cluster_disk_speed(n->cl, i, 1);
        cluster_disk_room(n->cl, i, UINT64_MAX);
        cluster_power_cut_at(n->cl, i, UINT64_MAX);
        sim_host_pause(n->s, i, false);
        cluster_start(n->cl, i);
    }
}

uint64_t nemesis_faults(const struct nemesis *n)
{
    return n->faults;
}

void nemesis_free(struct nemesis *n)
{
    while (n->undos != NULL) {
        struct undo *u = n->undos;

        n->undos = u->next;
        free(u);
    }
    free(n);
}
