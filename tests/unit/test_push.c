/* What nodes push to their clients, over whole clusters on simulated machines:
 * messages published elsewhere, events of keys, and what a client that keeps
 * what it reads is told, while leaders die and nodes are cut off. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mutant.h"
#include "base/rng.h"
#include "resp/resp.h"
#include "server/edge/conn.h"
#include "server/node/node_int.h"
#include "tests/sim/cluster.h"

enum {
    NODES = 3,
    TALKS = 32,
    MS = 1000,
    SECOND = 1000 * MS,
    PATIENCE = 20 * SECOND,
};

struct world;

/* One connection: what came in, line ends as spaces. */
struct talk {
    struct world *w;
    struct net_conn *c; /* NULL: closed */
    int node;
    bool open;
    struct buf got;
    struct buf send;
    void (*on_data)(struct talk *t); /* NULL: the test looks at @got */
    void *data;
};

struct world {
    struct sim *s;
    struct check *c;
    struct cluster *cl;
    struct env *env; /* of the clients */
    struct talk t[TALKS];
    unsigned talks;
};

static uint64_t world_now(void *data)
{
    return sim_now_us(((struct world *)data)->s);
}

static void pass(struct world *w, uint64_t us)
{
    uint64_t end = sim_now_us(w->s) + us;

    while (sim_step(w->s, end)) {
        if (check_failed(w->c)) {
            fail_msg("%s", check_text(w->c));
        }
    }
}

/* ---- connections ---- */

static void on_open(struct net_conn *c)
{
    ((struct talk *)c->data)->open = true;
}

static void on_read(struct net_conn *c, const uint8_t *p, size_t n)
{
    struct talk *t = c->data;

    buf_append(&t->got, p, n);
    if (t->on_data != NULL) {
        t->on_data(t);
    }
}

static void on_close(struct net_conn *c, int code)
{
    struct talk *t = c->data;

    (void)code;
    t->c = NULL;
    t->open = false;
    buf_clear(&t->got);
}

static const struct net_conn_cbs callbacks = {.on_open = on_open,
                                              .on_read = on_read,
                                              .on_close = on_close};

/* Inside the process of the clients. */
static void dial(void *data)
{
    struct talk *t = data;

    t->c = net_connect(t->w->env, cluster_addr(t->w->cl, t->node), NULL);
    t->c->cbs = &callbacks;
    t->c->data = t;
}

static void flush(void *data)
{
    struct talk *t = data;

    if (t->c != NULL) {
        net_write(t->c, t->send.p, t->send.n);
    }
    buf_clear(&t->send);
}

static struct talk *talk(struct world *w, int node)
{
    struct talk *t = &w->t[w->talks++];

    assert_true(w->talks <= TALKS);
    t->w = w;
    t->node = node;
    sim_env_post(w->env, dial, t);
    for (int i = 0; i < 1000 && !t->open; i++) {
        pass(w, MS);
    }
    assert_true(t->open);
    return t;
}

static void say(struct talk *t, const char *text)
{
    buf_printf(&t->send, "%s\r\n", text);
    sim_env_post(t->w->env, flush, t);
}

static const char *text_of(struct talk *t)
{
    static char text[1 << 16];
    size_t n = 0;

    for (size_t i = 0; i < t->got.n && n < sizeof text - 1; i++) {
        if (t->got.p[i] != '\r') {
            text[n++] = t->got.p[i] == '\n' ? ' ' : (char)t->got.p[i];
        }
    }
    text[n] = 0;
    return text;
}

/* Wait until @want has come, and nothing else; forget it. */
static void expect(struct talk *t, const char *want)
{
    for (uint64_t us = 0; us < PATIENCE && strlen(text_of(t)) < strlen(want);
         us += MS) {
        pass(t->w, MS);
    }
    if (strcmp(text_of(t), want) != 0) {
        fail_msg("came \"%s\", not \"%s\"", text_of(t), want);
    }
    buf_clear(&t->got);
}

static void ask(struct talk *t, const char *line, const char *want)
{
    say(t, line);
    expect(t, want);
}

static struct talk *talk3(struct world *w, int node)
{
    struct talk *t = talk(w, node);

    say(t, "HELLO 3");
    pass(w, 20 * MS);
    assert_int_equal(t->got.p[0], '%');
    buf_clear(&t->got);
    return t;
}

/* ---- clusters ---- */

static int leader(struct world *w)
{
    for (int k = 0; k < 2000; k++) {
        for (int i = 0; i < NODES; i++) {
            struct node *n = cluster_node(w->cl, i);

            if (n != NULL && node_is_leader(n) && node_in_touch(n)) {
                return i;
            }
        }
        pass(w, 10 * MS);
    }
    fail_msg("no leader");
    return -1;
}

static int follower(struct world *w, int k)
{
    int l = leader(w);

    for (int i = 0; i < NODES; i++) {
        if (i != l && k-- == 0) {
            return i;
        }
    }
    return -1;
}

static void world_init(struct world *w,
                       uint64_t seed,
                       const struct node_config *nc)
{
    struct cluster_config cc = {0};
    struct talk *t;

    memset(w, 0, sizeof *w);
    w->s = sim_new(seed);
    w->c = check_new(world_now, w);
    cc.s = w->s;
    cc.c = w->c;
    cc.nodes = NODES;
    cc.node = *nc;
    cc.node.segment_bytes = 1 << 16;
    w->cl = cluster_new(&cc);
    w->env = sim_env_new(w->s, cluster_client_host(w->cl, 0), NULL, NULL, NULL);
    for (int i = 0; i < NODES; i++) {
        cluster_start(w->cl, i);
    }
    pass(w, 50 * MS);
    t = talk(w, 0);
    ask(t, "INIT", "+OK ");
    ask(t, "SET warm 1", "+OK ");
    pass(w, 200 * MS);
}

static void world_end(struct world *w)
{
    cluster_free(w->cl);
    sim_free(w->s);
    for (unsigned i = 0; i < w->talks; i++) {
        buf_release(&w->t[i].got);
        buf_release(&w->t[i].send);
    }
    check_free(w->c);
}

static const struct node_config plain;

static void isolate(struct world *w, int i, bool on)
{
    for (int k = 0; k < NODES; k++) {
        if (k != i) {
            sim_link(w->s, i, k)->blocked = on;
            sim_link(w->s, k, i)->blocked = on;
            if (!on) {
                sim_link_healed(w->s, i, k);
                sim_link_healed(w->s, k, i);
            }
        }
    }
}

/* So many entries of the log. */
static void fill(struct world *w, struct talk *t, int n)
{
    for (int i = 0; i < n; i++) {
        char line[64];

        snprintf(line, sizeof line, "SET fill%d %032d", i % 10, i);
        say(t, line);
        while (t->got.n == 0) {
            assert_true(sim_step(w->s, sim_now_us(w->s) + SECOND));
        }
        expect(t, "+OK ");
    }
}

/* ---- publish ---- */

/* Subscribers of every node get each message once, in the order of the node
 * where it was published; the reply counts those of that node. */
static void publish_crosses(void **state)
{
    struct buf want = BUF_INIT;
    struct talk *sub[NODES], *pub;
    struct world w;

    (void)state;
    world_init(&w, 1, &plain);
    for (int i = 0; i < NODES; i++) {
        sub[i] = talk(&w, i);
        ask(sub[i], "SUBSCRIBE news", "*3 $9 subscribe $4 news :1 ");
    }
    pub = talk(&w, 1);
    for (int i = 10; i < 60; i++) {
        char line[40];

        snprintf(line, sizeof line, "PUBLISH news %d", i);
        ask(pub, line, ":1 ");
        buf_printf(&want, "*3 $7 message $4 news $2 %d ", i);
    }
    buf_u8(&want, 0);
    pass(&w, 100 * MS);
    for (int i = 0; i < NODES; i++) {
        expect(sub[i], (char *)want.p);
    }
    ask(pub, "SPUBLISH news x", ":0 ");
    pass(&w, 50 * MS);
    expect(sub[0], "");
    buf_release(&want);
    world_end(&w);
}

/* A node that cannot be reached misses messages; publishing goes on, and is
 * heard again when it is back. */
static void publish_past_a_dead_node(void **state)
{
    struct talk *sub, *pub;
    struct world w;
    int f, g;

    (void)state;
    world_init(&w, 2, &plain);
    f = follower(&w, 0);
    g = follower(&w, 1);
    sub = talk(&w, f);
    ask(sub, "SUBSCRIBE news", "*3 $9 subscribe $4 news :1 ");
    cluster_power_cut(w.cl, g);
    pub = talk(&w, leader(&w));
    ask(pub, "PUBLISH news 1", ":0 ");
    expect(sub, "*3 $7 message $4 news $1 1 ");
    cluster_start(w.cl, g);
    pass(&w, 2 * SECOND);
    sub = talk(&w, g);
    ask(sub, "SUBSCRIBE news", "*3 $9 subscribe $4 news :1 ");
    ask(pub, "PUBLISH news 2", ":0 ");
    expect(sub, "*3 $7 message $4 news $1 2 ");
    world_end(&w);
}

/* What a node does not take is dropped for it alone, and bounded. */
static void publish_to_a_slow_node(void **state)
{
    enum { MESSAGE = 1 << 20, MESSAGES = 20 };
    char *text = hf_calloc(1, MESSAGE + 1);
    struct talk *sub, *pub;
    struct world w;
    struct node *n;
    int l, f, g;

    (void)state;
    world_init(&w, 8, &plain);
    l = leader(&w);
    f = follower(&w, 0);
    g = follower(&w, 1);
    sub = talk(&w, g);
    ask(sub, "SUBSCRIBE news", "*3 $9 subscribe $4 news :1 ");
    pub = talk(&w, l);
    memset(text, 'x', MESSAGE);
    sim_link(w.s, l, f)->blocked = true;
    for (int i = 0; i < MESSAGES; i++) {
        buf_printf(&pub->send, "*3\r\n$7\r\nPUBLISH\r\n$4\r\nnews\r\n$%d\r\n",
                   MESSAGE);
        buf_append(&pub->send, text, MESSAGE);
        buf_printf(&pub->send, "\r\n");
    }
    sim_env_post(w.env, flush, pub);
    n = cluster_node(w.cl, l);
    for (int i = 0; i < 200; i++) {
        pass(&w, MS);
        for (unsigned k = 0; k < machine_members(n->machine); k++) {
            uint64_t id = machine_member_at(n->machine, k)->id;

            assert_true(id == n->id || peer_bulk_pending(n->peers, id) <=
                                           NODE_PUBLISH_BYTES + 2 * MESSAGE);
        }
    }
    pass(&w, SECOND);
    assert_true(pub->got.n == 4 * MESSAGES); /* ":0" each */
    assert_true(sub->got.n > (size_t)MESSAGES / 2 * MESSAGE);
    free(text);
    world_end(&w);
}

/* ---- events ---- */

static void notify_all(struct world *w, int i)
{
    edge_set_notify(cluster_node(w->cl, i)->hooks.data,
                    NOTIFY_ALL | NOTIFY_NEW | NOTIFY_KEYEVENT);
}

/* Every node tells its own subscribers of a change, once, wherever it was
 * asked for; log that is applied again after a restart is not told. */
static void events_everywhere(void **state)
{
    struct talk *sub[NODES], *t;
    struct world w;
    int f;

    (void)state;
    world_init(&w, 3, &plain);
    for (int i = 0; i < NODES; i++) {
        notify_all(&w, i);
        sub[i] = talk(&w, i);
        ask(sub[i], "SUBSCRIBE __keyevent@0__:incrby",
            "*3 $9 subscribe $21 __keyevent@0__:incrby :1 ");
    }
    f = follower(&w, 0);
    t = talk(&w, f);
    ask(t, "INCR n", ":1 ");
    pass(&w, 100 * MS);
    for (int i = 0; i < NODES; i++) {
        expect(sub[i], "*3 $7 message $21 __keyevent@0__:incrby $1 n ");
    }
    cluster_power_cut(w.cl, f);
    cluster_start(w.cl, f);
    pass(&w, MS);
    notify_all(&w, f);
    sub[f] = talk(&w, f);
    ask(sub[f], "SUBSCRIBE __keyevent@0__:incrby",
        "*3 $9 subscribe $21 __keyevent@0__:incrby :1 ");
    pass(&w, 2 * SECOND);
    t = talk(&w, f);
    ask(t, "GET n", "$1 1 ");
    ask(t, "INCR m", ":1 ");
    pass(&w, 100 * MS);
    expect(sub[f], "*3 $7 message $21 __keyevent@0__:incrby $1 m ");
    world_end(&w);
}

/* ---- client-side caching ---- */

/* The own write is answered when its change was told, at a follower too, where
 * the leader's answer comes first. */
static void change_before_reply(void **state)
{
    struct world w;
    struct talk *t;

    (void)state;
    world_init(&w, 4, &plain);
    t = talk3(&w, follower(&w, 0));
    ask(t, "CLIENT TRACKING ON", "+OK ");
    for (int i = 0; i < 5; i++) {
        say(t, "GET a");
        pass(&w, 100 * MS);
        buf_clear(&t->got);
        ask(t, "SET a 1", ">2 $10 invalidate *1 $1 a +OK ");
    }
    ask(t, "CLIENT TRACKING ON NOLOOP", "+OK ");
    ask(t, "GET a", "$1 1 ");
    ask(t, "SET a 2", "+OK ");
    ask(t, "GET a", "$1 2 ");
    ask(talk(&w, leader(&w)), "SET a 3", "+OK ");
    expect(t, ">2 $10 invalidate *1 $1 a ");
    world_end(&w);
}

/* What stands behind CLIENT TRACKING is read under it, however much of the
 * pipeline before it is answered only then. */
static void tracked_in_a_pipeline(void **state)
{
    struct world w;
    struct talk *t;

    (void)state;
    world_init(&w, 5, &plain);
    t = talk(&w, leader(&w));
    say(t, "SET a 1\r\nHELLO 3\r\nHELLO 3\r\nCLIENT TRACKING ON\r\nGET a");
    pass(&w, 200 * MS);
    assert_non_null(strstr(text_of(t), " +OK $1 1 "));
    buf_clear(&t->got);
    ask(talk(&w, leader(&w)), "SET a 2", "+OK ");
    expect(t, ">2 $10 invalidate *1 $1 a ");
    world_end(&w);
}

/* A read of one that keeps what it reads is not answered by the leader, ahead
 * of changes that this node has yet to tell. */
static void never_ahead(void **state)
{
    struct node_config nc = {.snapshot_floor = 1 << 15,
                             .cache_bytes = 1 << 14,
                             .request_timeout_ms = 60000};
    struct world w;
    struct talk *t;
    uint64_t have;
    int f;

    (void)state;
    world_init(&w, 5, &nc);
    f = follower(&w, 0);
    cluster_power_cut(w.cl, f);
    fill(&w, talk(&w, leader(&w)), 2500);
    ask(talk(&w, leader(&w)), "SET k v", "+OK ");
    have = driver_applied(&cluster_node(w.cl, leader(&w))->driver);
    cluster_start(w.cl, f);
    pass(&w, 2 * MS);
    while (cluster_node(w.cl, f)->seen_leader == 0) {
        assert_true(sim_step(w.s, sim_now_us(w.s) + SECOND));
    }
    cluster_disk_speed(w.cl, f, 2000);
    t = talk(&w, f);
    ask(t, "CLIENT TRACKING ON", "+OK ");
    say(t, "GET k");
    for (int i = 0; i < 40000 && t->got.n == 0; i++) {
        pass(&w, MS);
    }
    assert_memory_equal(text_of(t), "$1 v ", 5);
    assert_true(driver_applied(&cluster_node(w.cl, f)->driver) >= have);
    world_end(&w);
}

/* A node that hears no leader, or leads without hearing a majority, has its
 * clients drop what they keep, and keep nothing until it does again. */
static void lost_touch(void **state)
{
    (void)state;
    for (int leads = 0; leads < 2; leads++) {
        struct world w;
        struct talk *t;
        int i;

        world_init(&w, 6, &plain);
        i = leads ? leader(&w) : follower(&w, 0);
        t = talk3(&w, i);
        ask(t, "CLIENT TRACKING ON", "+OK ");
        ask(t, "GET warm", "$1 1 ");
        pass(&w, SECOND);
        expect(t, "");
        isolate(&w, i, true);
        pass(&w, 2 * LIM_ELECTION_MS * MS);
        expect(t, ">2 $10 invalidate _ ");
        ask(t, "READONLY", "+OK ");
        ask(t, "GET warm", "$1 1 >2 $10 invalidate *1 $4 warm ");
        ask(talk(&w, leader(&w)), "SET warm 2", "+OK ");
        isolate(&w, i, false);
        pass(&w, 5 * SECOND);
        expect(t, "");
        ask(t, "READWRITE", "+OK ");
        ask(t, "GET warm", "$1 2 ");
        ask(talk(&w, leader(&w)), "SET warm 3", "+OK ");
        expect(t, ">2 $10 invalidate *1 $4 warm ");
        world_end(&w);
    }
}

/* A snapshot jumps over changes: all is dropped when it is installed. */
static void install_drops(void **state)
{
    struct node_config nc = {.snapshot_floor = 1 << 15, .cache_bytes = 1 << 14};
    uint64_t installs;
    struct world w;
    struct talk *t;
    int f;

    (void)state;
    world_init(&w, 7, &nc);
    f = follower(&w, 0);
    t = talk3(&w, f);
    ask(t, "CLIENT TRACKING ON", "+OK ");
    ask(t, "GET warm", "$1 1 ");
    isolate(&w, f, true);
    installs = check_count(w.c, NODE_EV_INSTALL);
    fill(&w, talk(&w, leader(&w)), 2500);
    expect(t, ">2 $10 invalidate _ "); /* lost touch */
    isolate(&w, f, false);
    pass(&w, 10 * SECOND);
    assert_true(check_count(w.c, NODE_EV_INSTALL) > installs);
    expect(t, ">2 $10 invalidate _ ");
    world_end(&w);
}

/* ---- the promise, under faults ---- */

/* Every write is MSET k0 v .. k4 v with a greater v than the one before, by
 * one writer. So whoever has heard of v, by a read of any key or a write, must
 * find no key in its cache that is older. */
enum { KEYS = 5, WAITING = 64, KEEPERS = 4, RUN_MS = 30000 };

struct keeper_stats {
    uint64_t hits;
    uint64_t told;
    uint64_t drops;
    uint64_t replies;
};

struct keeper {
    struct talk *t;
    struct world *w;
    struct rng *rng;
    struct keeper_stats *stats;
    struct resp_scan scan;
    int cache[KEYS]; /* 0: not there */
    int floor;       /* what was heard of */
    bool writes;     /* it is the writer */
    int next;
    int writing;          /* the version under way; 0: none */
    int waiting[WAITING]; /* key asked for; -1: MSET; -2: anything; -3: EXEC */
    unsigned in, out;
    bool bcast;
};

static void heard(struct keeper *r, int v)
{
    if (v > r->floor) {
        r->floor = v;
    }
}

static int number(const struct resp_value *v)
{
    char text[24] = "0";

    if (v->type == RESP_BULK && v->str.n < sizeof text) {
        memcpy(text, v->str.p, v->str.n);
    }
    return atoi(text);
}

static void pushed(struct keeper *r, const struct resp_value *v)
{
    const struct resp_value *what = &v->items[1];

    assert_true(v->n == 2);
    if (what->type == RESP_NULL) {
        memset(r->cache, 0, sizeof r->cache);
        r->stats->drops++;
        return;
    }
    for (size_t i = 0; i < what->n; i++) {
        assert_true(what->items[i].str.n == 2);
        r->cache[what->items[i].str.p[1] - '0'] = 0;
        r->stats->told++;
    }
}

static void replied(struct keeper *r, const struct resp_value *v)
{
    int key = r->waiting[r->out++ % WAITING];

    r->stats->replies++;
    if (key == -1) {
        if (v->type == RESP_STATUS) {
            heard(r, r->writing);
        }
        r->writing = 0;
    } else if (key == -3 && v->type == RESP_ARRAY) {
        heard(r, number(&v->items[0]));
    } else if (key >= 0 && v->type == RESP_BULK) {
        int got = number(v);

        if (got < r->floor) {
            fail_msg("read %d after %d was heard of", got, r->floor);
        }
        heard(r, got);
        r->cache[key] = got;
    }
}

static void keeper_data(struct talk *t)
{
    struct keeper *r = t->data;
    struct resp_value *v = NULL;
    size_t n;

    while (resp_scan_reply(&r->scan, t->got.p, t->got.n, 1 << 20, &n) == 1) {
        assert_int_equal(resp_parse_reply(bytes_of(t->got.p, n), &v), 0);
        if (v->type == RESP_PUSH) {
            pushed(r, v);
        } else {
            replied(r, v);
        }
        resp_value_free(v);
        buf_consume(&t->got, n);
    }
    /* All that came was looked at: the cache must be good. */
    for (int k = 0; k < KEYS; k++) {
        if (r->cache[k] != 0 && r->cache[k] < r->floor) {
            fail_msg("k%d is kept at %d, %d was heard of", k, r->cache[k],
                     r->floor);
        }
        r->stats->hits += r->cache[k] != 0;
    }
}

static void keeper_ask(struct keeper *r, int what, const char *line)
{
    r->waiting[r->in++ % WAITING] = what;
    buf_printf(&r->t->send, "%s\r\n", line);
}

static void keeper_dial(struct keeper *r)
{
    if (r->t->c == NULL) {
        memset(r->cache, 0, sizeof r->cache);
        memset(&r->scan, 0, sizeof r->scan);
        r->in = r->out = 0;
        r->writing = 0;
        r->t->node = (int)rng_below(r->rng, NODES);
        sim_env_post(r->w->env, dial, r->t);
        keeper_ask(r, -2, "HELLO 3");
        keeper_ask(r, -2,
                   r->bcast ? "CLIENT TRACKING ON BCAST PREFIX k"
                            : "CLIENT TRACKING ON");
    }
}

static void keeper_step(struct keeper *r)
{
    char line[100];

    if (r->t->c == NULL) {
        keeper_dial(r);
        return;
    }
    if (r->in - r->out > WAITING - 8) {
        return;
    }
    for (unsigned k = 0; k < KEYS; k++) {
        if (r->cache[k] == 0 && rng_below(r->rng, 3) == 0) {
            snprintf(line, sizeof line, "GET k%u", k);
            keeper_ask(r, (int)k, line);
        }
    }
    if (r->writes && r->writing == 0 && rng_below(r->rng, 3) == 0) {
        int v = r->writing = ++r->next;

        snprintf(line, sizeof line, "MSET k0 %d k1 %d k2 %d k3 %d k4 %d", v, v,
                 v, v, v);
        keeper_ask(r, -1, line);
    }
    if (!r->writes && rng_below(r->rng, 10) == 0) {
        keeper_ask(r, -2, "MULTI");
        keeper_ask(r, -2, "GET k1");
        keeper_ask(r, -2, "INCR mine");
        keeper_ask(r, -3, "EXEC");
    }
    if (r->t->open) {
        sim_env_post(r->w->env, flush, r->t);
    }
}

/* A fault every now and then: the leader dies, or a node is cut off. */
static void faults(struct world *w, struct rng *rng, int ms, int *kills)
{
    static int cut = -1;

    if (ms == 0) {
        cut = -1;
    }
    if (ms % 1500 == 700) {
        if (rng_below(rng, 2) == 0) {
            int l = leader(w);

            (rng_below(rng, 2) == 0 ? cluster_power_cut : cluster_kill)(w->cl,
                                                                        l);
            cluster_start_later(w->cl, l, 300 * MS);
            (*kills)++;
        } else {
            cut = (int)rng_below(rng, NODES);
            isolate(w, cut, true);
        }
    } else if (ms % 1500 == 1300 && cut >= 0) {
        isolate(w, cut, false);
        cut = -1;
    }
}

static void promise_of(uint64_t seed, struct keeper_stats *stats, int *kills)
{
    struct keeper keepers[KEEPERS];
    struct rng rng;
    struct world w;

    rng.s = seed;
    world_init(&w, seed, &plain);
    memset(keepers, 0, sizeof keepers);
    for (int i = 0; i < KEEPERS; i++) {
        struct keeper *r = &keepers[i];

        r->w = &w;
        r->rng = &rng;
        r->stats = stats;
        r->t = &w.t[w.talks++];
        r->t->w = &w;
        r->t->data = r;
        r->t->on_data = keeper_data;
        r->writes = i == 0;
        r->bcast = i == 3;
    }
    /* Replies of the leader overtake what it replicates, or the reverse. */
    for (int a = 0; a < NODES; a++) {
        for (int b = 0; b < NODES; b++) {
            sim_link(w.s, a, b)->lat_max_us =
                (uint32_t)(200 + rng_below(&rng, 8000));
        }
    }
    for (int ms = 0; ms < RUN_MS; ms += 2) {
        faults(&w, &rng, ms, kills);
        for (int i = 0; i < KEEPERS; i++) {
            keeper_step(&keepers[i]);
        }
        pass(&w, 2 * MS);
    }
    world_end(&w);
}

/* Whatever happens, what a client keeps is never older than what it has heard
 * of by a read or a write of its own. */
static void promise(void **state)
{
    struct keeper_stats stats = {0};
    int kills = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        promise_of(seed, &stats, &kills);
    }
    print_message("%d leaders killed; kept %llu, told %llu, dropped %llu\n",
                  kills, (unsigned long long)stats.hits,
                  (unsigned long long)stats.told,
                  (unsigned long long)stats.drops);
    assert_true(kills >= 10);
    assert_true(stats.hits > 10000 && stats.told > 1000 && stats.drops > 10);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(publish_crosses),
        cmocka_unit_test(publish_past_a_dead_node),
        cmocka_unit_test(publish_to_a_slow_node),
        cmocka_unit_test(events_everywhere),
        cmocka_unit_test(change_before_reply),
        cmocka_unit_test(tracked_in_a_pipeline),
        cmocka_unit_test(never_ahead),
        cmocka_unit_test(lost_touch),
        cmocka_unit_test(install_drops),
        cmocka_unit_test(promise),
    };

    return cmocka_run_group_tests_name("push", tests, NULL, NULL);
}
