/* One rule of a member at a time: whole nodes with their client ports, on
 * simulated machines, network and disks. Each test would end in a lie, a
 * lost write, a request applied twice or a hang if its rule were broken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/command/command.h"
#include "server/node/node_int.h"
#include "tests/sim/cluster.h"
#include "tests/sim/disk_sim.h"
#include "tests/sim/mini.h"

enum {
    TALKS = 16,
    REPLIES = 64,
    SHOWN_MAX = 512,
    MS = 1000,
    SECOND = 1000 * MS,
    PATIENCE = 20 * SECOND,
};

struct world;

/* One connection of a client. */
struct talk {
    struct world *w;
    struct mini m;
    int node;
    char got[REPLIES][SHOWN_MAX]; /* a ring */
    unsigned in;
    unsigned out;
    bool closed;
};

struct world {
    struct sim *s;
    struct check *c;
    struct cluster *cl;
    struct env *env; /* of the clients */
    int nodes;
    struct talk t[TALKS];
    unsigned talks;
};

/* ---- time ---- */

static uint64_t world_now(void *data)
{
    return sim_now_us(((struct world *)data)->s);
}

static void sound(struct world *w)
{
    if (check_failed(w->c)) {
        fail_msg("%s", check_text(w->c));
    }
}

static void pass(struct world *w, uint64_t us)
{
    uint64_t end = sim_now_us(w->s) + us;

    while (sim_step(w->s, end)) {
        sound(w);
    }
}

/* ---- calls inside of a process ---- */

struct call {
    void (*fn)(void *data);
    void *data;
    bool done;
};

static void call_run(void *data)
{
    struct call *c = data;

    c->fn(c->data);
    c->done = true;
}

static void call_in(struct world *w,
                    struct env *e,
                    void (*fn)(void *data),
                    void *data)
{
    struct call c = {fn, data, false};

    sim_env_post(e, call_run, &c);
    while (!c.done) {
        assert_true(sim_step(w->s, sim_now_us(w->s) + SECOND));
        sound(w);
    }
}

static struct node *node_at(struct world *w, int i)
{
    struct node *n = cluster_node(w->cl, i);

    assert_non_null(n);
    return n;
}

static void in_node(struct world *w, int i, void (*fn)(struct node *n))
{
    struct node *n = node_at(w, i);

    call_in(w, n->env, (void (*)(void *))(uintptr_t)fn, n);
}

/* ---- clients ---- */

static void render_elem(char *out, size_t cap, const struct mini_elem *e)
{
    if (e->null) {
        snprintf(out, cap, "(nil)");
    } else if (e->type == ':') {
        snprintf(out, cap, "%lld", (long long)e->num);
    } else {
        snprintf(out, cap, "%.*s", (int)e->v.n, (const char *)e->v.p);
    }
}

static void render(char *out, const struct mini_reply *r)
{
    char el[SHOWN_MAX / 4];

    if (r->null) {
        snprintf(out, SHOWN_MAX, "(nil)");
    } else if (r->type == ':') {
        snprintf(out, SHOWN_MAX, ":%lld", (long long)r->num);
    } else if (r->type == '*') {
        snprintf(out, SHOWN_MAX, "[");
        for (int i = 0; i < r->num && i < MINI_ELEMENTS; i++) {
            render_elem(el, sizeof el, &r->el[i]);
            snprintf(out + strlen(out), SHOWN_MAX - strlen(out), "%s%s",
                     i == 0 ? "" : " ", el);
        }
        snprintf(out + strlen(out), SHOWN_MAX - strlen(out), "]");
    } else {
        snprintf(out, SHOWN_MAX, "%s%.*s",
                 r->type == '$'   ? ""
                 : r->type == '+' ? "+"
                                  : "-",
                 (int)(r->v.n < 100 ? r->v.n : 100), (const char *)r->v.p);
    }
}

static void on_reply(struct mini *m, const struct mini_reply *r)
{
    struct talk *t = m->data;

    assert_true(t->in - t->out < REPLIES);
    render(t->got[t->in++ % REPLIES], r);
}

static void on_close(struct mini *m, int code)
{
    (void)code;
    ((struct talk *)m->data)->closed = true;
}

static void talk_connect(void *data)
{
    struct talk *t = data;

    mini_connect(&t->m, t->w->env, cluster_addr(t->w->cl, t->node));
}

/* A new connection to node @i. */
static struct talk *talk(struct world *w, int i)
{
    struct talk *t = &w->t[w->talks++];

    assert_true(w->talks <= TALKS);
    memset(t, 0, sizeof *t);
    t->w = w;
    t->node = i;
    t->m.data = t;
    t->m.on_reply = on_reply;
    t->m.on_close = on_close;
    call_in(w, w->env, talk_connect, t);
    while (!t->m.open) {
        assert_true(sim_step(w->s, sim_now_us(w->s) + SECOND));
    }
    return t;
}

struct words {
    struct talk *t;
    const char *line;
};

static void say_it(void *data)
{
    struct words *w = data;
    struct buf b = BUF_INIT;

    mini_line(&b, w->line);
    mini_send(&w->t->m, &b);
    buf_release(&b);
}

/* Send one command. */
static void say(struct talk *t, const char *line)
{
    struct words w = {t, line};

    call_in(t->w, t->w->env, say_it, &w);
}

/* The next reply, or what came instead within @us. */
static const char *hear_within(struct talk *t, uint64_t us)
{
    uint64_t end = sim_now_us(t->w->s) + us;

    while (t->in == t->out) {
        if (t->closed) {
            return "(closed)";
        }
        if (!sim_step(t->w->s, end)) {
            return "(nothing)";
        }
        sound(t->w);
    }
    return t->got[t->out++ % REPLIES];
}

static const char *hear(struct talk *t)
{
    return hear_within(t, PATIENCE);
}

static const char *ask(struct talk *t, const char *line)
{
    say(t, line);
    return hear(t);
}

#define assert_starts(reply, with) \
    assert_starts_at(reply, with, __FILE__, __LINE__)
static void assert_starts_at(const char *reply,
                             const char *with,
                             const char *file,
                             int line)
{
    if (strncmp(reply, with, strlen(with)) != 0) {
        printf("\"%s\" does not start with \"%s\"\n", reply, with);
        _fail(file, line);
    }
}

/* ---- clusters ---- */

/* Machines that are off. @nc: settings, zero means the default. */
static void world_init_with(struct world *w,
                            int nodes,
                            const struct node_config *nc)
{
    struct cluster_config cc = {0};

    memset(w, 0, sizeof *w);
    w->nodes = nodes;
    w->s = sim_new(1);
    w->c = check_new(world_now, w);
    cc.s = w->s;
    cc.c = w->c;
    cc.nodes = nodes;
    cc.node = *nc;
    cc.node.segment_bytes = 1 << 16;
    w->cl = cluster_new(&cc);
    w->env = sim_env_new(w->s, cluster_client_host(w->cl, 0), NULL, NULL, NULL);
}

static void world_init(struct world *w, int nodes)
{
    static const struct node_config defaults;

    world_init_with(w, nodes, &defaults);
}

static void start_all(struct world *w)
{
    for (int i = 0; i < w->nodes; i++) {
        cluster_start(w->cl, i);
    }
    pass(w, 50 * MS);
}

static int leader(struct world *w)
{
    for (int k = 0; k < 2000; k++) {
        for (int i = 0; i < w->nodes; i++) {
            struct node *n = cluster_node(w->cl, i);

            if (n != NULL && node_is_leader(n)) {
                return i;
            }
        }
        pass(w, 10 * MS);
    }
    fail_msg("no leader");
    return -1;
}

/* The @k-th node that does not lead. */
static int follower(struct world *w, int k)
{
    int l = leader(w);

    for (int i = 0; i < w->nodes; i++) {
        if (i != l && k-- == 0) {
            return i;
        }
    }
    fail_msg("no such follower");
    return -1;
}

static void form(struct world *w)
{
    start_all(w);
    assert_string_equal(ask(talk(w, 0), "INIT"), "+OK");
    for (int i = 0; i < w->nodes; i++) {
        assert_string_equal(ask(talk(w, i), "SET warm 1"), "+OK");
    }
    pass(w, 200 * MS);
}

static void world_end(struct world *w)
{
    sound(w);
    cluster_free(w->cl);
    for (unsigned i = 0; i < w->talks; i++) {
        w->t[i].m.c = NULL;
    }
    sim_free(w->s);
    for (unsigned i = 0; i < w->talks; i++) {
        mini_release(&w->t[i].m);
    }
    check_free(w->c);
}

static void block(struct world *w, int from, int to, bool on)
{
    sim_link(w->s, from, to)->blocked = on;
    if (!on) {
        sim_link_healed(w->s, from, to);
    }
}

static void block_both(struct world *w, int a, int b, bool on)
{
    block(w, a, b, on);
    block(w, b, a, on);
}

/* Cut node @i off from the other nodes. */
static void isolate(struct world *w, int i, bool on)
{
    for (int k = 0; k < w->nodes; k++) {
        if (k != i) {
            block_both(w, i, k, on);
        }
    }
}

static void slow(struct world *w, int from, int to, uint32_t us)
{
    sim_link(w->s, from, to)->lat_min_us = us;
    sim_link(w->s, from, to)->lat_max_us = us;
}

static uint64_t applied(struct world *w, int i)
{
    return driver_applied(&node_at(w, i)->driver);
}

static void wait_applied(struct world *w, int i, uint64_t index)
{
    for (int k = 0; applied(w, i) < index; k++) {
        assert_true(k < 20000);
        pass(w, MS);
    }
}

/* ---- writes and node sessions ---- */

static void say_mixed(void *data)
{
    static const char *const lines[] = {"SET s abc", "INCR s", "SET t 1"};
    struct talk *t = data;
    struct buf b = BUF_INIT;

    for (int i = 0; i < 3; i++) {
        mini_line(&b, lines[i]);
    }
    mini_send(&t->m, &b);
    buf_release(&b);
}

/* What comes together shares an entry, and nothing else: the error of one
 * command touches that one alone. */
static void error_is_its_own(void **state)
{
    struct world w;
    struct talk *t;
    uint64_t before;

    (void)state;
    world_init(&w, 3);
    form(&w);
    t = talk(&w, leader(&w));
    before = applied(&w, leader(&w));
    call_in(&w, w.env, say_mixed, t);
    assert_string_equal(hear(t), "+OK");
    assert_starts(hear(t), "-ERR");
    assert_string_equal(hear(t), "+OK");
    assert_int_equal(applied(&w, leader(&w)), before + 1);
    assert_string_equal(ask(talk(&w, follower(&w, 0)), "GET t"), "1");
    world_end(&w);
}

/* Every node takes every request, and a write is seen at all of them. */
static void any_node_takes_any_request(void **state)
{
    struct world w;

    (void)state;
    world_init(&w, 3);
    form(&w);
    for (int i = 0; i < 3; i++) {
        struct talk *t = talk(&w, i);
        char want[8];

        snprintf(want, sizeof want, ":%d", i + 1);
        assert_string_equal(ask(t, "INCR n"), want);
        assert_string_equal(ask(talk(&w, (i + 1) % 3), "GET n"), want + 1);
    }
    world_end(&w);
}

/* A write that was never handed to a leader is certainly not applied, and
 * its reply says so. */
static void parked_is_refused(void **state)
{
    struct world w;
    struct talk *t;
    int l, f;

    (void)state;
    world_init(&w, 3);
    form(&w);
    l = leader(&w);
    f = follower(&w, 0);
    t = talk(&w, f);
    for (int i = 0; i < 3; i++) {
        if (i != f) {
            cluster_kill(w.cl, i);
        }
    }
    pass(&w, SECOND);
    assert_starts(ask(t, "SET k v"), "-CLUSTERDOWN");
    cluster_start(w.cl, l);
    assert_string_equal(ask(talk(&w, l), "SET other v"), "+OK");
    assert_string_equal(ask(t, "GET k"), "(nil)");
    world_end(&w);
}

/* A write that a leader has, and could not commit before the deadline, may
 * yet be applied: -UNKNOWN. */
static void in_the_clusters_hands_is_unknown(void **state)
{
    struct world w;
    struct talk *t;
    int l;

    (void)state;
    world_init(&w, 3);
    form(&w);
    l = leader(&w);
    t = talk(&w, l);
    isolate(&w, l, true);
    assert_starts(ask(t, "SET k v"), "-UNKNOWN");
    isolate(&w, l, false);
    world_end(&w);
}

/* A request whose way to the leader broke is sent again, and counts once. */
static void lost_on_the_way_is_resent(void **state)
{
    struct world w;
    struct talk *t;
    int l, f;

    (void)state;
    world_init(&w, 3);
    form(&w);
    l = leader(&w);
    f = follower(&w, 0);
    t = talk(&w, f);
    slow(&w, f, l, 20 * MS);
    say(t, "INCR n");
    pass(&w, 5 * MS);
    sim_reset_conns(w.s, f, l);
    assert_string_equal(hear(t), ":1");
    world_end(&w);
}

static void say_in_turns(void *data)
{
    struct talk *t = data;
    struct buf b = BUF_INIT;

    for (int i = 0; i < 20; i++) {
        mini_line(&b, i % 2 == 0 ? "INCR n" : "GET n");
    }
    mini_send(&t->m, &b);
    buf_release(&b);
}

/* Reads and writes in turns wait for each other: a pipeline of them may take
 * longer than a request's time, as long as it is served. When it is no more,
 * all of it ends at once. */
static void long_pipeline_is_served(void **state)
{
    const struct node_config nc = {.request_timeout_ms = 300};
    struct world w;
    struct talk *t;
    uint64_t then;
    int l, f;

    (void)state;
    world_init_with(&w, 3, &nc);
    form(&w);
    l = leader(&w);
    f = follower(&w, 0);
    t = talk(&w, f);
    slow(&w, f, l, 20 * MS);
    then = sim_now_us(w.s);
    call_in(&w, w.env, say_in_turns, t);
    for (int i = 0; i < 20; i++) {
        char want[8];

        snprintf(want, sizeof want, ":%d", i / 2 + 1);
        assert_string_equal(hear(t), want + i % 2);
    }
    assert_true(sim_now_us(w.s) - then > 400 * MS);
    isolate(&w, f, true);
    then = sim_now_us(w.s);
    call_in(&w, w.env, say_in_turns, t);
    for (int i = 0; i < 20; i++) {
        assert_starts(hear(t), "-");
    }
    assert_true(sim_now_us(w.s) - then < SECOND);
    isolate(&w, f, false);
    world_end(&w);
}

static void nack_base(struct node *n)
{
    assert_true(n->session.base < n->session.sent);
    session_nack(n, n->session.id, n->session.base);
}

/* A leader's word that numbers are missing has them sent again; taken twice
 * they count once. */
static void missing_numbers_are_resent(void **state)
{
    struct world w;
    struct talk *t;
    int l, f;

    (void)state;
    world_init(&w, 3);
    form(&w);
    l = leader(&w);
    f = follower(&w, 0);
    t = talk(&w, f);
    slow(&w, f, l, 20 * MS);
    say(t, "INCR n");
    pass(&w, 5 * MS);
    in_node(&w, f, nack_base);
    assert_string_equal(hear(t), ":1");
    assert_string_equal(ask(t, "INCR n"), ":2");
    world_end(&w);
}

/* After the deadline a void takes the number: the reply is that nothing was
 * applied, that is true, and later writes of the node go on. */
static void void_takes_the_number(void **state)
{
    struct world w;
    struct talk *t;
    int l, f;

    (void)state;
    world_init(&w, 3);
    form(&w);
    l = leader(&w);
    f = follower(&w, 0);
    t = talk(&w, f);
    block_both(&w, f, l, true);
    say(t, "SET k v");
    pass(&w, 3550 * MS);
    block_both(&w, f, l, false);
    assert_starts(hear(t), "-CLUSTERDOWN not applied");
    assert_string_equal(ask(talk(&w, l), "GET k"), "(nil)");
    assert_string_equal(ask(t, "SET k w"), "+OK");
    world_end(&w);
}

static struct {
    uint64_t session;
    uint64_t number;
    int rv;
    size_t n;
} taken;

static void take(struct node *n)
{
    static const uint8_t some[8];

    taken.rv = leader_take(n, taken.session, taken.number, false,
                           bytes_of(some, taken.n));
}

/* A leader takes numbers without gaps: else the lower one could never be
 * applied, and its client was told nothing. */
static void gaps_are_not_taken(void **state)
{
    struct world w;
    struct talk *t;
    int l, f;

    (void)state;
    world_init(&w, 3);
    form(&w);
    l = leader(&w);
    f = follower(&w, 0);
    t = talk(&w, f);
    taken.session = node_at(&w, f)->session.id;
    taken.number = node_at(&w, f)->session.next + 1;
    taken.n = 8;
    in_node(&w, l, take);
    assert_int_equal(taken.rv, HF_EAGAIN);
    assert_string_equal(ask(t, "INCR n"), ":1");
    assert_string_equal(ask(t, "INCR n"), ":2");
    world_end(&w);
}

/* What the leader must refuse it logs as a void: the origin hears that
 * nothing was applied, and the next number is taken. */
static void refused_is_logged_as_void(void **state)
{
    struct world w;
    struct talk *t;
    int l, f;

    (void)state;
    world_init(&w, 3);
    form(&w);
    l = leader(&w);
    f = follower(&w, 0);
    t = talk(&w, f);
    taken.session = node_at(&w, f)->session.id;
    taken.number = node_at(&w, f)->session.next;
    taken.n = LIM_REQUEST_TOP + 1; /* never read beyond its head */
    slow(&w, f, l, 20 * MS);
    say(t, "SET k v");
    pass(&w, 5 * MS);
    in_node(&w, l, take);
    assert_starts(hear(t), "-NOSPACE");
    assert_string_equal(ask(t, "GET k"), "(nil)");
    assert_string_equal(ask(t, "SET k w"), "+OK");
    world_end(&w);
}

/* A node that starts again opens a new session: numbers of the earlier one
 * would be taken for old ones and never answered. */
static void restart_opens_a_session(void **state)
{
    struct world w;
    struct talk *t;
    int f;

    (void)state;
    world_init(&w, 3);
    form(&w);
    f = follower(&w, 0);
    t = talk(&w, f);
    for (int i = 0; i < 5; i++) {
        ask(t, "INCR n");
    }
    cluster_kill(w.cl, f);
    pass(&w, 100 * MS);
    cluster_start(w.cl, f);
    pass(&w, 500 * MS);
    t = talk(&w, f);
    say(t, "INCR n");
    assert_string_equal(hear_within(t, SECOND), ":6");
    world_end(&w);
}

static void lose_session(struct node *n)
{
    session_lost(n, "as the test wants it");
}

/* Requests of a session that was lost are of unknown outcome: this one was
 * applied. The node goes on with a new session. */
static void lost_session_is_unknown(void **state)
{
    struct world w;
    struct talk *t;
    int l, f;

    (void)state;
    world_init(&w, 3);
    form(&w);
    l = leader(&w);
    f = follower(&w, 0);
    t = talk(&w, f);
    block(&w, l, f, true);
    say(t, "INCR n");
    pass(&w, 20 * MS);
    in_node(&w, f, lose_session);
    assert_starts(hear(t), "-UNKNOWN");
    block(&w, l, f, false);
    assert_string_equal(ask(t, "INCR n"), ":2");
    world_end(&w);
}

/* The leader dies after the commit and before its reply: the origin takes
 * the reply from its own apply. */
static void own_apply_gives_the_reply(void **state)
{
    struct world w;
    struct talk *t;
    uint64_t before;
    int l, f;

    (void)state;
    world_init(&w, 3);
    form(&w);
    l = leader(&w);
    f = follower(&w, 0);
    t = talk(&w, f);
    before = applied(&w, l);
    block(&w, l, f, true);
    say(t, "INCR n");
    wait_applied(&w, l, before + 1);
    cluster_power_cut(w.cl, l);
    assert_string_equal(hear(t), ":1");
    assert_string_equal(ask(t, "GET n"), "1");
    world_end(&w);
}

/* Write until node @i was given @more entries. */
static void write_entries(struct world *w, struct talk *t, int more)
{
    char line[64];

    (void)w;
    for (int i = 0; i < more; i++) {
        snprintf(line, sizeof line, "SET fill%d %032d", i % 10, i);
        assert_string_equal(ask(t, line), "+OK");
    }
}

/* A node that is brought up by a snapshot learns from it which of its writes
 * were applied; their replies are lost, and it says exactly that. */
static void snapshot_settles_writes(void **state)
{
    struct node_config nc = {.snapshot_floor = 1 << 15,
                             .request_timeout_ms = 60000,
                             .cache_bytes = 1 << 14};
    struct world w;
    struct talk *t;
    uint64_t installs;
    int l, f;

    (void)state;
    world_init_with(&w, 3, &nc);
    form(&w);
    l = leader(&w);
    f = follower(&w, 0);
    t = talk(&w, f);
    block(&w, l, f, true);
    block(&w, follower(&w, 1), f, true);
    say(t, "INCR n");
    pass(&w, 20 * MS);
    installs = check_count(w.c, NODE_EV_INSTALL);
    write_entries(&w, talk(&w, l), 2500);
    block(&w, l, f, false);
    block(&w, follower(&w, 1), f, false);
    assert_string_equal(hear(t), "-UNKNOWN applied, reply lost");
    assert_true(check_count(w.c, NODE_EV_INSTALL) > installs);
    assert_string_equal(ask(t, "INCR n"), ":2");
    assert_true(node_at(&w, f)->session.base == node_at(&w, f)->session.next);
    world_end(&w);
}

/* What comes one by one while nothing is acknowledged leaves in batches that
 * are as large as what is on its way: a few do not wait, many become few
 * entries. */
static void batches_grow_with_what_flies(void **state)
{
    enum { WRITES = 60 };
    struct world w;
    struct talk *t;
    uint64_t before;
    int l;

    (void)state;
    world_init(&w, 3);
    form(&w);
    l = leader(&w);
    t = talk(&w, l);
    assert_string_equal(ask(t, "INCR n"), ":1");
    pass(&w, 100 * MS);
    block(&w, l, follower(&w, 0), true);
    block(&w, l, follower(&w, 1), true);
    before = driver_last(&node_at(&w, l)->driver);
    say(t, "INCR n");
    pass(&w, MS);
    say(t, "INCR n");
    pass(&w, MS);
    assert_int_equal(driver_last(&node_at(&w, l)->driver), before + 2);
    for (int i = 2; i < WRITES; i++) {
        say(t, "INCR n");
        pass(&w, MS);
    }
    assert_in_range(driver_last(&node_at(&w, l)->driver), before + 4,
                    before + 12);
    block(&w, l, follower(&w, 0), false);
    block(&w, l, follower(&w, 1), false);
    for (int i = 0; i < WRITES; i++) {
        char want[16];

        snprintf(want, sizeof want, ":%d", i + 2);
        assert_string_equal(hear(t), want);
    }
    world_end(&w);
}

/* ---- named requests and transactions ---- */

static const char *named(struct talk *t, const char *session, int number)
{
    char line[SHOWN_MAX + 32];

    snprintf(line, sizeof line, "ONCE %s %d INCR n", session, number);
    return ask(t, line);
}

/* A named request that is sent again after a failover is answered as before
 * and not applied again; lower numbers and skipped ones are refused. */
static void named_across_failover(void **state)
{
    struct world w;
    struct talk *t;
    char session[SHOWN_MAX];
    int f;

    (void)state;
    world_init(&w, 3);
    form(&w);
    f = follower(&w, 0);
    t = talk(&w, f);
    snprintf(session, sizeof session, "%s", ask(t, "ONCE OPEN") + 1);
    assert_string_equal(named(t, session, 1), ":1");
    assert_string_equal(named(t, session, 2), ":2");
    cluster_power_cut(w.cl, leader(&w));
    assert_string_equal(named(t, session, 2), ":2");
    assert_starts(named(t, session, 1), "-UNKNOWN");
    assert_starts(named(t, session, 4), "-ERR");
    assert_string_equal(named(t, session, 3), ":3");
    assert_starts(named(t, "999999", 1), "-");
    assert_string_equal(ask(t, "GET n"), "3");
    world_end(&w);
}

/* A follower that did not run for some election timeouts hears what the leader
 * sent meanwhile before it takes it for dead. */
static void pause_is_not_silence(void **state)
{
    struct world w;
    uint64_t changes;
    int f;

    (void)state;
    world_init(&w, 3);
    form(&w);
    f = follower(&w, 0);
    changes = node_at(&w, f)->leader_changes;
    for (int i = 0; i < 10; i++) {
        sim_host_pause(w.s, f, true);
        pass(&w, 3 * LIM_ELECTION_MS * MS);
        sim_host_pause(w.s, f, false);
        pass(&w, SECOND);
    }
    assert_int_equal(node_at(&w, f)->leader_changes, changes);
    world_end(&w);
}

/* The same after a snapshot and a restart of every node. */
static void named_across_snapshot(void **state)
{
    struct node_config nc = {.snapshot_floor = 1 << 15};
    struct world w;
    struct talk *t;
    char session[SHOWN_MAX];

    (void)state;
    world_init_with(&w, 3, &nc);
    form(&w);
    t = talk(&w, 1);
    snprintf(session, sizeof session, "%s", ask(t, "ONCE OPEN") + 1);
    assert_string_equal(named(t, session, 1), ":1");
    write_entries(&w, t, 1500);
    pass(&w, SECOND);
    for (int i = 0; i < 3; i++) {
        assert_true(node_at(&w, i)->snapshot.index > 1000);
        cluster_power_cut(w.cl, i);
    }
    start_all(&w);
    t = talk(&w, 2);
    assert_string_equal(named(t, session, 1), ":1");
    assert_string_equal(named(t, session, 2), ":2");
    world_end(&w);
}

/* WATCH and EXEC hold across a change of leader: a key that nobody touched
 * lets the transaction through, one that was written stops it. */
static void watch_across_failover(void **state)
{
    struct world w;
    struct talk *a, *b;
    int f, l;

    (void)state;
    world_init(&w, 3);
    form(&w);
    l = leader(&w);
    f = follower(&w, 0);
    a = talk(&w, f);
    b = talk(&w, follower(&w, 1));
    assert_string_equal(ask(a, "SET k 1"), "+OK");
    assert_string_equal(ask(a, "WATCH k"), "+OK");
    assert_string_equal(ask(a, "MULTI"), "+OK");
    assert_string_equal(ask(a, "SET k 2"), "+QUEUED");
    cluster_power_cut(w.cl, l);
    assert_string_equal(ask(a, "EXEC"), "[OK]");
    cluster_start(w.cl, l);
    pass(&w, SECOND);
    assert_string_equal(ask(a, "WATCH k"), "+OK");
    assert_string_equal(ask(b, "SET k 3"), "+OK");
    l = leader(&w);
    if (l != f) {
        cluster_power_cut(w.cl, l);
    }
    assert_string_equal(ask(a, "MULTI"), "+OK");
    assert_string_equal(ask(a, "SET k 4"), "+QUEUED");
    assert_string_equal(ask(a, "EXEC"), "(nil)");
    assert_string_equal(ask(a, "GET k"), "3");
    world_end(&w);
}

/* ---- reads ---- */

/* A read that comes after the round's question left is not served by it: a
 * write may have been acknowledged in between. */
static void round_serves_who_waited(void **state)
{
    struct world w;
    struct talk *a, *b, *c;
    int l, f;

    (void)state;
    world_init(&w, 3);
    form(&w);
    l = leader(&w);
    f = follower(&w, 0);
    a = talk(&w, f);
    b = talk(&w, f);
    c = talk(&w, l);
    assert_string_equal(ask(c, "SET k old"), "+OK");
    slow(&w, l, f, 60 * MS);
    say(a, "GET k");
    pass(&w, 10 * MS);
    assert_string_equal(ask(c, "SET k new"), "+OK");
    say(b, "GET k");
    assert_string_equal(hear(a), "old");
    assert_string_equal(hear(b), "new");
    world_end(&w);
}

static struct {
    uint64_t round;
    uint64_t from;
    uint64_t index;
} late;

static void note_round(struct node *n)
{
    late.round = n->reads.round;
    late.from = n->reads.asked_leader;
    late.index = driver_applied(&n->driver);
    assert_true(n->reads.asking);
    n->reads.asked_us -= SECOND; /* it gives up waiting */
}

static void late_answer(struct node *n)
{
    struct buf b = BUF_INIT;
    struct reader r;

    assert_true(n->reads.asking);
    buf_u64(&b, late.round);
    buf_u8(&b, 1);
    buf_u64(&b, late.index);
    r = reader_of(buf_bytes(&b));
    read_on_index(n, late.from, &r);
    buf_release(&b);
}

/* A round asked again has another id: the late answer to the first question
 * says nothing about reads that came after it. */
static void late_answer_counts_for_nothing(void **state)
{
    struct world w;
    struct talk *a, *b, *c;
    int l, f;

    (void)state;
    world_init(&w, 3);
    form(&w);
    l = leader(&w);
    f = follower(&w, 0);
    a = talk(&w, f);
    b = talk(&w, f);
    c = talk(&w, l);
    assert_string_equal(ask(c, "SET k old"), "+OK");
    pass(&w, 100 * MS);
    block(&w, l, f, true);
    say(a, "GET k");
    pass(&w, 5 * MS);
    in_node(&w, f, note_round);
    assert_string_equal(ask(c, "SET k new"), "+OK");
    say(b, "GET k");
    pass(&w, 30 * MS);
    in_node(&w, f, late_answer);
    block(&w, l, f, false);
    (void)hear(a);
    assert_string_equal(hear(b), "new");
    world_end(&w);
}

/* A leader that lost its majority confirms no read: the read is answered by
 * the next leader, with what was written there. */
static void deposed_leader_confirms_nothing(void **state)
{
    struct world w;
    struct talk *t;
    int l, f;

    (void)state;
    world_init(&w, 3);
    form(&w);
    l = leader(&w);
    f = follower(&w, 0);
    t = talk(&w, l);
    assert_string_equal(ask(t, "SET k old"), "+OK");
    isolate(&w, l, true);
    pass(&w, 20 * MS);
    say(t, "GET k");
    assert_string_equal(ask(talk(&w, f), "SET k new"), "+OK");
    pass(&w, SECOND);
    isolate(&w, l, false);
    assert_string_equal(hear(t), "new");
    world_end(&w);
}

static void probe_fails(struct node *n)
{
    assert_true(driver_probing(&n->driver) && n->reads.asks_n > 0);
    read_probe_done(n, false, 0);
}

/* A round that no majority confirmed says so, and is asked again. */
static void failed_round_is_asked_again(void **state)
{
    struct world w;
    struct talk *a, *c;
    int l, f;

    (void)state;
    world_init(&w, 3);
    form(&w);
    l = leader(&w);
    f = follower(&w, 0);
    a = talk(&w, f);
    c = talk(&w, l);
    assert_string_equal(ask(c, "SET k old"), "+OK");
    pass(&w, 100 * MS);
    slow(&w, l, f, 20 * MS);
    assert_string_equal(ask(c, "SET k new"), "+OK");
    slow(&w, follower(&w, 1), l, 20 * MS);
    say(a, "GET k");
    pass(&w, 2 * MS);
    in_node(&w, l, probe_fails);
    assert_string_equal(hear(a), "new");
    world_end(&w);
}

/* A follower answers a read only when it has applied the index that the
 * leader named, and the leader sees to it that this is soon. */
static void follower_reads_what_was_acknowledged(void **state)
{
    struct node_config nc = {.heartbeat_ms = 200, .election_ms = 1200};
    struct world w;
    struct talk *a, *b;
    char line[32];
    int l, f;

    (void)state;
    world_init_with(&w, 3, &nc);
    form(&w);
    l = leader(&w);
    f = follower(&w, 0);
    a = talk(&w, l);
    b = talk(&w, f);
    for (int i = 0; i < 20; i++) {
        snprintf(line, sizeof line, "SET k v%d", i);
        assert_string_equal(ask(a, line), "+OK");
        say(b, "GET k");
        assert_string_equal(hear_within(b, 20 * MS), line + 6);
    }
    world_end(&w);
}

/* A node that is busy installing a snapshot passes its reads to the leader.
 */
static void lagging_node_passes_reads(void **state)
{
    struct node_config nc = {.snapshot_floor = 1 << 15, .cache_bytes = 1 << 14};
    struct world w;
    struct talk *t;
    int l, f;

    (void)state;
    world_init_with(&w, 3, &nc);
    form(&w);
    l = leader(&w);
    f = follower(&w, 0);
    cluster_power_cut(w.cl, f);
    write_entries(&w, talk(&w, l), 2500);
    assert_string_equal(ask(talk(&w, l), "SET k v"), "+OK");
    cluster_start(w.cl, f);
    pass(&w, 2 * MS);
    while (node_at(&w, f)->seen_leader == 0) {
        assert_true(sim_step(w.s, sim_now_us(w.s) + SECOND));
    }
    cluster_disk_speed(w.cl, f, 20000);
    t = talk(&w, f);
    say(t, "GET k");
    assert_string_equal(hear_within(t, 300 * MS), "v");
    assert_true(applied(&w, f) < 1000);
    world_end(&w);
}

static void ask_first_again(struct node *n)
{
    struct reads *r = &n->reads;

    assert_int_equal(r->indexed.n, 2);
    assert_false(r->asking);
    op_list_push(&r->asked, op_list_pop(&r->indexed));
    r->asking = true;
    r->asked_us = env_now_us(n->env);
    r->round++; /* nobody was asked, so it takes an election timeout */
}

/* One of two reads of a connection has to be asked for again. The other, which
 * could be passed to the leader, is not: it would be answered with older data
 * than the one before it. */
static void passing_overtakes_nothing(void **state)
{
    struct node_config nc = {.snapshot_floor = 1 << 15, .cache_bytes = 1 << 14};
    struct world w;
    struct talk *t, *c;
    const char *second;
    bool newer;
    int l, f;

    (void)state;
    world_init_with(&w, 3, &nc);
    form(&w);
    l = leader(&w);
    f = follower(&w, 0);
    c = talk(&w, l);
    cluster_power_cut(w.cl, f);
    write_entries(&w, c, 2500);
    assert_string_equal(ask(c, "SET k v"), "+OK");
    cluster_start(w.cl, f);
    pass(&w, 2 * MS);
    while (node_at(&w, f)->seen_leader == 0) {
        assert_true(sim_step(w.s, sim_now_us(w.s) + SECOND));
    }
    cluster_disk_speed(w.cl, f, 20000);
    t = talk(&w, f);
    say(t, "GET k");
    say(t, "GET k");
    while (node_at(&w, f)->reads.indexed.n < 2) {
        assert_true(sim_step(w.s, sim_now_us(w.s) + SECOND));
    }
    in_node(&w, f, ask_first_again);
    pass(&w, 60 * MS);
    assert_string_equal(ask(c, "SET k newer"), "+OK");
    newer = strcmp(hear(t), "newer") == 0;
    second = hear(t);
    assert_true(!newer || strcmp(second, "newer") == 0);
    world_end(&w);
}

static void lose_round(struct node *n)
{
    assert_true(n->reads.asking);
    n->reads.round++; /* no answer is one to this */
}

/* Commands of one connection take effect in the order sent: a read does not
 * see the write behind it, and sees the one before it. */
static void pipeline_keeps_its_order(void **state)
{
    struct world w;
    struct talk *t;
    int l, f;

    (void)state;
    world_init(&w, 3);
    form(&w);
    l = leader(&w);
    f = follower(&w, 0);
    t = talk(&w, f);
    assert_string_equal(ask(t, "SET k old"), "+OK");
    slow(&w, l, f, 10 * MS);
    say(t, "GET k");
    say(t, "SET k new");
    say(t, "GET k");
    pass(&w, 5 * MS);
    in_node(&w, f, lose_round);
    assert_string_equal(hear(t), "old");
    assert_string_equal(hear(t), "+OK");
    assert_string_equal(hear(t), "new");
    slow(&w, f, l, 10 * MS);
    say(t, "SET k newer");
    say(t, "GET k");
    assert_string_equal(hear(t), "+OK");
    assert_string_equal(hear(t), "newer");
    world_end(&w);
}

enum { READERS = 400, BIG = 256 << 10 };

static struct {
    struct node *n;
    struct client *c[READERS];
    struct client_op op[READERS];
    unsigned done;
    size_t most; /* bytes of replies that were there at a time */
} many;

static void big_done(struct client_op *op, struct bytes reply)
{
    (void)op;
    assert_true(reply.n > BIG);
    many.done++;
    if (many.n->reply_bytes > many.most) {
        many.most = many.n->reply_bytes;
    }
}

static void read_big(struct node *n)
{
    struct bytes argv[2] = {bytes_str("get"), bytes_str("big")};

    many.n = n;
    for (unsigned i = 0; i < READERS; i++) {
        many.c[i] = client_new(n, NULL);
        many.op[i].kind = OP_READ;
        many.op[i].command =
            command_encode(command_by_name(argv[0]), 0, argv, 2);
        many.op[i].done = big_done;
        client_submit(many.c[i], &many.op[i]);
    }
}

static void read_big_end(struct node *n)
{
    (void)n;
    for (unsigned i = 0; i < READERS; i++) {
        client_free(many.c[i], NULL);
        blob_unref(many.op[i].command);
    }
}

/* One round serves many clients, but their replies are not in memory all at
 * once: the rest is evaluated when some were taken. */
static void replies_in_portions(void **state)
{
    static char line[BIG + 16] = "SET big ";
    struct world w;
    int l;

    (void)state;
    world_init(&w, 3);
    form(&w);
    l = leader(&w);
    memset(line + strlen(line), 'x', BIG);
    assert_string_equal(ask(talk(&w, l), line), "+OK");
    memset(&many, 0, sizeof many);
    in_node(&w, l, read_big);
    pass(&w, 2 * SECOND);
    assert_int_equal(many.done, READERS);
    assert_in_range(many.most, NODE_REPLY_BYTES / 2,
                    NODE_REPLY_BYTES + 2 * BIG);
    in_node(&w, l, read_big_end);
    world_end(&w);
}

/* ---- stale reads ---- */

/* A node that is cut off serves stale reads up to the bound and no longer;
 * without a bound it goes on. */
static void stale_within_the_bound(void **state)
{
    struct world w;
    struct talk *t, *u;
    int f;

    (void)state;
    world_init(&w, 3);
    form(&w);
    f = follower(&w, 0);
    t = talk(&w, f);
    u = talk(&w, f);
    assert_string_equal(ask(t, "SET k v"), "+OK");
    assert_string_equal(ask(t, "READONLY MAXAGE 1000"), "+OK");
    assert_string_equal(ask(u, "READONLY"), "+OK");
    pass(&w, SECOND);
    isolate(&w, f, true);
    pass(&w, 400 * MS);
    say(t, "GET k");
    assert_string_equal(hear_within(t, 10 * MS), "v");
    pass(&w, 800 * MS);
    assert_starts(ask(t, "GET k"), "-STALE");
    assert_string_equal(ask(u, "GET k"), "v");
    isolate(&w, f, false);
    assert_string_equal(ask(t, "GET k"), "v");
    world_end(&w);
}

/* The age of data counts from when the question was sent, not from when its
 * answer came. */
static void age_counts_from_the_question(void **state)
{
    struct world w;
    struct talk *t;
    struct reads *r;
    uint64_t age;
    int l, f;

    (void)state;
    world_init(&w, 3);
    form(&w);
    l = leader(&w);
    f = follower(&w, 0);
    t = talk(&w, f);
    r = &node_at(&w, f)->reads;
    slow(&w, l, f, 80 * MS);
    assert_string_equal(ask(t, "GET k"), "(nil)");
    age = env_now_us(node_at(&w, f)->env) - r->fresh_us;
    assert_in_range(age, 80 * MS, 200 * MS);
    world_end(&w);
}

static void confirm_ahead(struct node *n)
{
    struct buf b = BUF_INIT;
    struct reader rd;

    assert_true(n->reads.asking);
    n->reads.fresh_us = 0;
    buf_u64(&b, n->reads.round);
    buf_u8(&b, 1);
    buf_u64(&b, driver_applied(&n->driver) + 1);
    rd = reader_of(buf_bytes(&b));
    read_on_index(n, n->reads.asked_leader, &rd);
    buf_release(&b);
    late.index = n->reads.fresh_us;
}

/* A confirmed round makes data young only once its index is applied here. */
static void age_counts_when_applied(void **state)
{
    struct world w;
    struct talk *t;
    int l, f;

    (void)state;
    world_init(&w, 3);
    form(&w);
    l = leader(&w);
    f = follower(&w, 0);
    t = talk(&w, f);
    slow(&w, l, f, 40 * MS);
    say(t, "GET k");
    pass(&w, 5 * MS);
    in_node(&w, f, confirm_ahead);
    assert_int_equal(late.index, 0);
    assert_string_equal(ask(talk(&w, l), "SET k v"), "+OK");
    (void)hear(t);
    assert_int_not_equal(node_at(&w, f)->reads.fresh_us, 0);
    world_end(&w);
}

/* A connection sees its own writes in its local reads. */
static void stale_reads_own_writes(void **state)
{
    struct world w;
    struct talk *t;
    char line[32];
    int f;

    (void)state;
    world_init(&w, 3);
    form(&w);
    f = follower(&w, 0);
    t = talk(&w, f);
    assert_string_equal(ask(t, "READONLY"), "+OK");
    for (int i = 0; i < 20; i++) {
        snprintf(line, sizeof line, "SET k v%d", i);
        assert_string_equal(ask(t, line), "+OK");
        assert_string_equal(ask(t, "GET k"), line + 6);
    }
    world_end(&w);
}

static void make_fresh(struct node *n)
{
    n->reads.fresh_us = env_now_us(n->env);
}

/* A local read does not overtake an earlier read of its connection that was
 * sent to the leader: it would show older data after newer. */
static void stale_does_not_overtake(void **state)
{
    struct world w;
    struct talk *a, *c;
    int l, f;

    (void)state;
    world_init(&w, 3);
    form(&w);
    l = leader(&w);
    f = follower(&w, 0);
    a = talk(&w, f);
    c = talk(&w, l);
    assert_string_equal(ask(c, "SET k old"), "+OK");
    pass(&w, 100 * MS);
    slow(&w, l, f, 40 * MS);
    assert_string_equal(ask(a, "READONLY MAXAGE 10"), "+OK");
    pass(&w, 200 * MS);
    block(&w, l, f, true);
    pass(&w, 50 * MS);
    assert_string_equal(ask(c, "SET k new"), "+OK");
    say(a, "GET k");
    pass(&w, 2 * MS);
    in_node(&w, f, make_fresh);
    say(a, "GET k");
    pass(&w, 5 * MS);
    block(&w, l, f, false);
    assert_string_equal(hear(a), "new");
    assert_string_equal(hear(a), "new");
    world_end(&w);
}

/* ---- change feeds ---- */

/* Does the reply of an XREAD tell of @word? */
static bool tells(const char *reply, const char *word)
{
    return reply[0] == '[' && strstr(reply, word) != NULL;
}

/* A request that waits at a follower is answered when the change is applied
 * there, wherever it was made; one for another prefix is not. */
static void feed_wakes(void **state)
{
    struct world w;
    struct talk *t;
    struct talk *other;

    (void)state;
    world_init(&w, 3);
    form(&w);
    t = talk(&w, follower(&w, 0));
    other = talk(&w, follower(&w, 0));
    say(t, "XREAD BLOCK 0 STREAMS __changes__:k $");
    say(other, "XREAD BLOCK 0 STREAMS __changes__:z $");
    assert_string_equal(hear_within(t, 30 * SECOND), "(nothing)");
    assert_int_equal(node_blocked(node_at(&w, follower(&w, 0))), 2);
    assert_string_equal(ask(talk(&w, leader(&w)), "SET k1 v"), "+OK");
    assert_true(tells(hear_within(t, 100 * MS), "k1"));
    assert_string_equal(hear_within(other, SECOND), "(nothing)");
    assert_string_equal(ask(talk(&w, leader(&w)), "FLUSHALL"), "+OK");
    assert_true(tells(hear_within(other, 100 * MS), "clear"));
    assert_int_equal(node_blocked(node_at(&w, follower(&w, 0))), 0);
    world_end(&w);
}

/* What is sent behind a request that waits begins when that is over, and has
 * all its time from then on. */
static void feed_holds_what_follows(void **state)
{
    struct world w;
    struct talk *t;
    struct talk *other;

    (void)state;
    world_init(&w, 3);
    form(&w);
    t = talk(&w, follower(&w, 0));
    other = talk(&w, leader(&w));
    say(t, "XREAD BLOCK 0 STREAMS __changes__ $");
    say(t, "GET k");
    say(t, "INCR n");
    assert_string_equal(hear_within(t, 30 * SECOND), "(nothing)");
    assert_string_equal(ask(other, "GET n"), "(nil)");
    assert_string_equal(ask(other, "SET k v"), "+OK");
    assert_true(tells(hear_within(t, 100 * MS), "$1\r\nk"));
    assert_string_equal(hear_within(t, SECOND), "v");
    assert_string_equal(hear_within(t, SECOND), ":1");
    world_end(&w);
}

/* That nothing came is said only after the leader confirmed it: a node that
 * is cut off does not say it, and one that missed a change gives that. */
static void feed_null_is_confirmed(void **state)
{
    struct world w;
    struct talk *t;
    int f;

    (void)state;
    world_init(&w, 3);
    form(&w);
    f = follower(&w, 0);
    t = talk(&w, f);
    say(t, "XREAD BLOCK 200 STREAMS __changes__ $");
    assert_string_equal(hear_within(t, 190 * MS), "(nothing)");
    assert_string_equal(hear_within(t, 50 * MS), "(nil)");
    say(t, "XREAD BLOCK 200 STREAMS __changes__ $");
    pass(&w, 50 * MS);
    isolate(&w, f, true);
    assert_starts(hear_within(t, 10 * SECOND), "-CLUSTERDOWN");
    isolate(&w, f, false);
    pass(&w, SECOND);
    say(t, "XREAD BLOCK 200 STREAMS __changes__ $");
    pass(&w, 50 * MS);
    isolate(&w, f, true);
    assert_string_equal(ask(talk(&w, leader(&w)), "SET missed 1"), "+OK");
    pass(&w, SECOND);
    isolate(&w, f, false);
    assert_true(tells(hear_within(t, 3 * SECOND), "missed"));
    world_end(&w);
}

/* Requests that wait stay where they are when the leader dies, also at the
 * node that leads next. */
static void feed_stays_over_failover(void **state)
{
    struct world w;
    struct talk *t[2];
    int l;

    (void)state;
    world_init(&w, 3);
    form(&w);
    l = leader(&w);
    for (int i = 0; i < 2; i++) {
        t[i] = talk(&w, follower(&w, i));
        say(t[i], "XREAD BLOCK 0 STREAMS __changes__ $");
    }
    pass(&w, 20 * MS);
    cluster_kill(w.cl, l);
    assert_string_equal(hear_within(t[0], 5 * SECOND), "(nothing)");
    assert_string_equal(ask(talk(&w, leader(&w)), "SET k v"), "+OK");
    assert_true(tells(hear_within(t[0], SECOND), "$1\r\nk"));
    assert_true(tells(hear_within(t[1], SECOND), "$1\r\nk"));
    world_end(&w);
}

/* A node that is brought up by a snapshot goes on with what waited there, and
 * has the changes that it did not apply itself. */
static void feed_across_install(void **state)
{
    struct node_config nc = {.snapshot_floor = 1 << 15, .cache_bytes = 1 << 14};
    struct world w;
    struct talk *t;
    struct talk *o;
    uint64_t installs;
    int l, f;

    (void)state;
    world_init_with(&w, 3, &nc);
    form(&w);
    l = leader(&w);
    f = follower(&w, 0);
    t = talk(&w, f);
    o = talk(&w, l);
    say(t, "XREAD BLOCK 0 COUNT 1 STREAMS __changes__ $");
    pass(&w, 20 * MS);
    block(&w, l, f, true);
    block(&w, follower(&w, 1), f, true);
    installs = check_count(w.c, NODE_EV_INSTALL);
    assert_string_equal(ask(o, "SET first 1"), "+OK");
    write_entries(&w, o, 2500);
    block(&w, l, f, false);
    block(&w, follower(&w, 1), f, false);
    assert_true(tells(hear(t), "first"));
    assert_true(check_count(w.c, NODE_EV_INSTALL) > installs);
    say(t, "XLEN __changes__");
    assert_string_equal(hear(t), ask(o, "XLEN __changes__"));
    world_end(&w);
}

/* A node that is behind does not have the leader answer what may wait: that
 * there is nothing would be the leader's word for now. */
static void feed_waits_where_it_is(void **state)
{
    struct node_config nc = {.snapshot_floor = 1 << 15, .cache_bytes = 1 << 14};
    struct world w;
    struct talk *t;
    int l, f;

    (void)state;
    world_init_with(&w, 3, &nc);
    form(&w);
    l = leader(&w);
    f = follower(&w, 0);
    cluster_power_cut(w.cl, f);
    write_entries(&w, talk(&w, l), 2500);
    cluster_start(w.cl, f);
    pass(&w, 2 * MS);
    while (node_at(&w, f)->seen_leader == 0) {
        assert_true(sim_step(w.s, sim_now_us(w.s) + SECOND));
    }
    cluster_disk_speed(w.cl, f, 20000);
    t = talk(&w, f);
    say(t, "XREAD BLOCK 0 STREAMS __changes__:x $");
    assert_string_equal(hear_within(t, 300 * MS), "(nothing)");
    assert_true(applied(&w, f) < 1000);
    world_end(&w);
}

/* Ranges that are large are worked off one after the other, in turns, and
 * small requests pass by them. */
static void feed_ranges_take_turns(void **state)
{
    struct world w;
    struct talk *t[3];
    struct talk *small;
    int l;

    (void)state;
    world_init(&w, 3);
    form(&w);
    l = leader(&w);
    write_entries(&w, talk(&w, l), 6000);
    for (int i = 0; i < 3; i++) {
        t[i] = talk(&w, l);
        say(t[i], "XRANGE __changes__:none - +");
    }
    small = talk(&w, l);
    say(small, "XREAD COUNT 1 STREAMS __changes__ 0");
    for (int i = 0; i < 3; i++) {
        assert_string_equal(hear(t[i]), "[]");
    }
    assert_true(tells(hear(small), "warm"));
    world_end(&w);
}

/* Between the steps of a long one the loop has other turns. */
static void feed_steps_are_turns(void **state)
{
    uint64_t end;
    unsigned seen = 0;
    struct world w;
    struct talk *t;
    int l;

    (void)state;
    world_init(&w, 3);
    form(&w);
    l = leader(&w);
    write_entries(&w, talk(&w, l), 16000);
    t = talk(&w, l);
    say(t, "XRANGE __changes__ - + COUNT 15000");
    end = sim_now_us(w.s) + SECOND;
    while (t->in == t->out && sim_step(w.s, end)) {
        seen += node_at(&w, l)->feeds.stepping.n > 0;
    }
    assert_true(seen > 0);
    assert_true(tells(hear(t), "warm"));
    world_end(&w);
}

static bool unblocked_with_error;

static void unblock_first(struct node *n)
{
    struct client_op *op = n->feeds.parked.head;

    assert_true(client_unblock(op->client, unblocked_with_error));
}

/* CLIENT UNBLOCK ends a wait: with an error, or as its time would. */
static void feed_unblocks(void **state)
{
    struct world w;
    struct talk *t;
    int f;

    (void)state;
    world_init(&w, 3);
    form(&w);
    f = follower(&w, 0);
    t = talk(&w, f);
    for (int error = 0; error < 2; error++) {
        say(t, "XREAD BLOCK 0 STREAMS __changes__ $");
        pass(&w, 50 * MS);
        unblocked_with_error = error != 0;
        in_node(&w, f, unblock_first);
        assert_string_equal(hear_within(t, 100 * MS),
                            error != 0
                                ? "-UNBLOCKED client unblocked via CLIENT "
                                  "UNBLOCK"
                                : "(nil)");
    }
    assert_string_equal(ask(t, "SET k v"), "+OK");
    world_end(&w);
}

static struct {
    struct client *c[FEED_PARKED_MAX + 2];
    struct client_op op[FEED_PARKED_MAX + 2];
    unsigned refused;
} waiting;

static void waiting_done(struct client_op *op, struct bytes reply)
{
    (void)op;
    waiting.refused += reply.n > 9 && memcmp(reply.p, "-TRYAGAIN", 9) == 0;
}

static void waiting_drop(struct client_op *op)
{
    blob_unref(op->command);
    op->command = NULL;
}

static void wait_many(struct node *n)
{
    struct bytes argv[] = {bytes_str("xread"),       bytes_str("block"),
                           bytes_str("0"),           bytes_str("streams"),
                           bytes_str("__changes__"), bytes_str("$")};

    for (unsigned i = 0; i < FEED_PARKED_MAX + 2; i++) {
        waiting.c[i] = client_new(n, NULL);
        waiting.op[i].kind = OP_READ;
        waiting.op[i].command =
            command_encode(command_by_name(argv[0]), 0, argv, 6);
        waiting.op[i].done = waiting_done;
        client_submit(waiting.c[i], &waiting.op[i]);
    }
}

static void wait_many_end(struct node *n)
{
    (void)n;
    for (unsigned i = 0; i < FEED_PARKED_MAX + 2; i++) {
        client_free(waiting.c[i], waiting_drop);
        if (waiting.op[i].command != NULL) {
            blob_unref(waiting.op[i].command);
        }
    }
}

/* So many may wait at a node, and a connection that ends waits no more. */
static void feed_waits_are_bounded(void **state)
{
    struct world w;
    int l;

    (void)state;
    world_init(&w, 3);
    form(&w);
    l = leader(&w);
    memset(&waiting, 0, sizeof waiting);
    in_node(&w, l, wait_many);
    pass(&w, SECOND);
    assert_int_equal(waiting.refused, 2);
    assert_int_equal(node_blocked(node_at(&w, l)), FEED_PARKED_MAX);
    in_node(&w, l, wait_many_end);
    assert_int_equal(node_blocked(node_at(&w, l)), 0);
    assert_string_equal(ask(talk(&w, l), "SET k v"), "+OK");
    world_end(&w);
}

/* A node that stops sends those that wait to another one. */
static void feed_ends_with_the_node(void **state)
{
    struct world w;
    struct talk *t;
    int f;

    (void)state;
    world_init(&w, 3);
    form(&w);
    f = follower(&w, 0);
    t = talk(&w, f);
    say(t, "XREAD BLOCK 0 STREAMS __changes__ $");
    pass(&w, 50 * MS);
    cluster_stop(w.cl, f);
    assert_starts(hear(t), "-TRYAGAIN");
    world_end(&w);
}

/* A memory limit is not used up by changes that are kept: keys that were
 * deleted make room. */
static void feed_leaves_memory(void **state)
{
    static char line[100000 + 16] = "SET big ";
    struct node_config nc = {.memory_limit = 4 << 20};
    struct world w;
    struct talk *t;

    (void)state;
    world_init_with(&w, 1, &nc);
    form(&w);
    t = talk(&w, 0);
    memset(line + strlen(line), 'x', 100000);
    for (int i = 0; i < 100; i++) {
        assert_string_equal(ask(t, line), "+OK");
        pass(&w, 100 * MS);
    }
    world_end(&w);
}

/* ---- cluster time ---- */

/* Cluster time in milliseconds, as node @i's clients see it. */
static int64_t cluster_ms(struct world *w, int i)
{
    long long s = 0;
    long long us = 0;
    struct talk *t = talk(w, i);
    const char *reply = ask(t, "TIME");

    w->talks--;
    mini_release(&t->m);
    assert_int_equal(sscanf(reply, "[%lld %lld]", &s, &us), 2);
    return s * 1000 + us / 1000;
}

/* What is left of a key's life counts down on every node alike while nothing
 * is logged, and so does what OBJECT IDLETIME tells. */
static void time_left_counts_down(void **state)
{
    struct world w;
    struct talk *t[3];

    (void)state;
    world_init(&w, 3);
    form(&w);
    for (int i = 0; i < 3; i++) {
        t[i] = talk(&w, i);
    }
    assert_string_equal(ask(t[0], "SET k v PX 9000"), "+OK");
    for (int k = 1; k <= 3; k++) {
        pass(&w, 2 * SECOND);
        for (int i = 0; i < 3; i++) {
            int left = 9000 - 2000 * k, got = atoi(ask(t[i], "PTTL k") + 1);
            char want[8];

            assert_true(got <= left && got > left - 100);
            snprintf(want, sizeof want, ":%d", left / 1000);
            assert_string_equal(ask(t[i], "TTL k"), want);
            snprintf(want, sizeof want, ":%d", 2 * k);
            assert_string_equal(ask(t[i], "OBJECT IDLETIME k"), want);
        }
    }
    world_end(&w);
}

/* A read after a key's deadline does not see it, although nothing was logged
 * since: at the leader and at a follower. */
static void read_sees_no_passed_deadline(void **state)
{
    struct world w;
    struct talk *a, *b;
    int l;

    (void)state;
    world_init(&w, 3);
    form(&w);
    l = leader(&w);
    a = talk(&w, l);
    b = talk(&w, follower(&w, 0));
    for (int i = 0; i < 10; i++) {
        struct talk *t = i % 2 == 0 ? a : b;

        assert_string_equal(ask(a, "SET k v PX 31"), "+OK");
        pass(&w, 33 * MS);
        assert_string_equal(ask(t, "GET k"), "(nil)");
        pass(&w, 7 * MS);
    }
    world_end(&w);
}

/* Nor when the entry that was named for its time is lost with its leader, and
 * the next one's first stands in its place. */
static void read_waits_for_the_entry_named(void **state)
{
    struct world w;
    struct talk *t;
    int l, other;

    (void)state;
    world_init(&w, 3);
    form(&w);
    l = leader(&w);
    t = talk(&w, l);
    assert_string_equal(ask(t, "SET k v PX 31"), "+OK");
    pass(&w, 32 * MS);
    isolate(&w, l, true);
    say(t, "GET k");
    pass(&w, 1 * MS);
    in_node(&w, l, confirm_ahead);
    do {
        assert_true(sim_step(w.s, sim_now_us(w.s) + SECOND));
        other = node_is_leader(node_at(&w, (l + 1) % 3)) ||
                node_is_leader(node_at(&w, (l + 2) % 3));
    } while (!other);
    isolate(&w, l, false);
    assert_string_equal(hear(t), "(nil)");
    world_end(&w);
}

/* Nor when entries that waited for a majority have logged the time of the
 * first deadline and not that of the second. */
static void read_sees_no_later_deadline(void **state)
{
    struct world w;
    struct talk *a, *b;
    int l;

    (void)state;
    world_init(&w, 3);
    form(&w);
    l = leader(&w);
    a = talk(&w, l);
    b = talk(&w, l);
    for (int i = 0; i < 8; i++) {
        assert_string_equal(ask(a, "SET one v PX 31"), "+OK");
        assert_string_equal(ask(a, "SET two v PX 61"), "+OK");
        cluster_disk_speed(w.cl, follower(&w, 0), 300);
        cluster_disk_speed(w.cl, follower(&w, 1), 300);
        pass(&w, 40 * MS);
        say(a, "SET x y");
        pass(&w, 25 * MS);
        say(b, "GET two");
        assert_string_equal(hear(b), "(nil)");
        assert_string_equal(hear(a), "+OK");
        cluster_disk_speed(w.cl, follower(&w, 0), 1);
        cluster_disk_speed(w.cl, follower(&w, 1), 1);
        pass(&w, 13 * MS);
    }
    world_end(&w);
}

/* Keys that pass away one after the other, with reads in between: the log
 * gets a time entry each 10 ms and not one for each key. */
static void time_entries_are_shared(void **state)
{
    enum { KEYS = 200 };
    struct world w;
    struct talk *a;
    uint64_t before, from;
    char line[48];
    int l;

    (void)state;
    world_init(&w, 3);
    form(&w);
    l = leader(&w);
    a = talk(&w, l);
    for (int i = 0; i < KEYS; i++) {
        snprintf(line, sizeof line, "SET k%d v PX %d", i, 2000 + i);
        assert_string_equal(ask(a, line), "+OK");
    }
    from = sim_now_us(w.s);
    before = applied(&w, l);
    while (sim_now_us(w.s) < from + 3 * SECOND) {
        assert_string_equal(ask(a, "GET other"), "(nil)");
    }
    assert_string_equal(ask(a, "EXISTS k0"), ":0");
    assert_in_range(applied(&w, l) - before, 10, 60);
    world_end(&w);
}

static void is_refused(const char *reply, const char *why)
{
    if (strstr(reply, why) == NULL) {
        fail_msg("%s, not %s", reply, why);
    }
}

/* While a node does not know its users yet, who asks for what an operator does
 * waits until it does, and who got to listen is closed then. */
static void users_come_with_the_load(void **state)
{
    struct world w;
    struct talk *t, *l;

    (void)state;
    world_init(&w, 1);
    form(&w);
    t = talk(&w, 0);
    assert_string_equal(ask(t, "ACL SETUSER default -monitor resetchannels"),
                        "+OK");
    assert_string_equal(ask(t, "SAVE"), "+OK");
    cluster_kill(w.cl, 0);
    cluster_start(w.cl, 0);
    t = talk(&w, 0);
    assert_null(node_machine(node_at(&w, 0)));
    l = talk(&w, 0);
    is_refused(ask(l, "SUBSCRIBE a"), "subscribe");
    assert_null(node_machine(node_at(&w, 0)));
    is_refused(ask(t, "MONITOR"), "NOPERM");
    assert_non_null(node_machine(node_at(&w, 0)));
    pass(&w, SECOND);
    assert_true(l->closed);
    assert_false(t->closed);
    world_end(&w);
}

/* What ACL SETUSER says holds at once at a node that is behind, for whatever
 * is asked there, and after its leader is gone. */
static void users_hold_at_once(void **state)
{
    struct world w;
    struct talk *a, *b, *c;
    int l, f;

    (void)state;
    world_init(&w, 3);
    form(&w);
    l = leader(&w);
    f = follower(&w, 0);
    a = talk(&w, l);
    b = talk(&w, f);
    c = talk(&w, f);
    assert_string_equal(ask(a, "SET a1 v"), "+OK");
    slow(&w, l, f, 20000);
    for (int i = 0; i < 4; i++) {
        assert_string_equal(
            ask(a, "ACL SETUSER u on >pw ~a* +get +set +range +keys +info"),
            "+OK");
        assert_string_equal(ask(b, "AUTH u pw"), "+OK");
        assert_string_equal(ask(b, "GET a1"), "v");
        assert_string_equal(ask(b, "SET a2 v"), "+OK");
        is_refused(ask(b, "RANGE a c"), "NOPERM");
        is_refused(ask(b, "RANGE a b"), "a1");
        is_refused(ask(c, "AUTH u no"), "WRONGPASS");
        assert_string_equal(
            ask(a, "ACL SETUSER u -get -set -range -keys -info"), "+OK");
        is_refused(ask(b, "RANGE a b"), "NOPERM");
        is_refused(ask(b, "KEYS *"), "NOPERM");
        is_refused(ask(b, "GET a1"), "NOPERM");
        is_refused(ask(b, "SET a2 w"), "NOPERM");
        is_refused(ask(b, "INFO"), "NOPERM");
        assert_string_equal(ask(a, "ACL DELUSER u"), ":1");
        is_refused(ask(c, "AUTH u pw"), "WRONGPASS");
        b = talk(&w, f);
    }
    assert_string_equal(ask(a, "ACL SETUSER u on >pw ~a* +get"), "+OK");
    cluster_power_cut(w.cl, l);
    pass(&w, 2 * SECOND);
    assert_string_equal(ask(b, "AUTH u pw"), "+OK");
    assert_string_equal(ask(b, "GET a2"), "v");
    is_refused(ask(b, "GET b"), "NOPERM");
    world_end(&w);
}

/* A step of the leader's wall clock does not move cluster time. */
static void time_does_not_step(void **state)
{
    struct world w;
    struct talk *t;
    int64_t before;
    int l;

    (void)state;
    world_init(&w, 3);
    form(&w);
    l = leader(&w);
    t = talk(&w, l);
    assert_string_equal(ask(t, "SET k v PX 30000"), "+OK");
    before = cluster_ms(&w, l);
    sim_host_wall_step(w.s, l, 3600000);
    assert_string_equal(ask(t, "SET other v"), "+OK");
    pass(&w, SECOND);
    assert_string_equal(ask(t, "SET other v"), "+OK");
    assert_string_equal(ask(t, "GET k"), "v");
    assert_in_range(cluster_ms(&w, l) - before, 1000, 1200);
    world_end(&w);
}

/* A new leader goes on from the time it was told, whatever its wall clock
 * says. */
static void time_goes_on_after_failover(void **state)
{
    struct world w;
    int64_t before;
    int l, f;

    (void)state;
    world_init(&w, 3);
    form(&w);
    l = leader(&w);
    f = follower(&w, 0);
    before = cluster_ms(&w, l);
    for (int i = 0; i < 3; i++) {
        sim_host_wall_step(w.s, i, 3600000);
    }
    cluster_power_cut(w.cl, l);
    pass(&w, 2 * SECOND);
    assert_string_equal(ask(talk(&w, f), "SET k v"), "+OK");
    assert_in_range(cluster_ms(&w, f) - before, 2000, 4000);
    world_end(&w);
}

/* While somebody has an estimate, a node that starts again takes it over and
 * does not jump when it comes to lead. */
static void restarted_leader_does_not_jump(void **state)
{
    struct world w;
    char line[32];
    int64_t before;
    int l, f;

    (void)state;
    world_init(&w, 3);
    form(&w);
    l = leader(&w);
    f = follower(&w, 0);
    cluster_kill(w.cl, f);
    pass(&w, 100 * MS);
    cluster_start(w.cl, f);
    pass(&w, SECOND);
    before = cluster_ms(&w, l);
    for (int i = 0; i < 3; i++) {
        sim_host_wall_step(w.s, i, 3600000);
    }
    snprintf(line, sizeof line, "MEMBER TRANSFER %llu",
             (unsigned long long)cluster_node_id(w.cl, f));
    assert_string_equal(ask(talk(&w, l), line), "+OK");
    pass(&w, SECOND);
    assert_int_equal(leader(&w), f);
    assert_string_equal(ask(talk(&w, f), "SET k v"), "+OK");
    assert_in_range(cluster_ms(&w, f) - before, 1000, 2000);
    world_end(&w);
}

/* After a cold start downtime counts, by the lower median of the wall
 * clocks: one that is far ahead does not decide. */
static void cold_start_counts_downtime(void **state)
{
    struct world w;
    int64_t before;
    struct talk *t;

    (void)state;
    world_init(&w, 3);
    form(&w);
    t = talk(&w, 0);
    assert_string_equal(ask(t, "SET short v PX 20000"), "+OK");
    assert_string_equal(ask(t, "SET long v PX 3000000"), "+OK");
    before = cluster_ms(&w, 0);
    for (int i = 0; i < 3; i++) {
        cluster_power_cut(w.cl, i);
    }
    sim_host_wall_step(w.s, 1, 86400000);
    pass(&w, 30 * SECOND);
    start_all(&w);
    t = talk(&w, 0);
    assert_string_equal(ask(t, "GET short"), "(nil)");
    assert_string_equal(ask(t, "GET long"), "v");
    assert_in_range(cluster_ms(&w, 0) - before, 30000, 35000);
    world_end(&w);
}

/* Nobody is told the time of a cold start before the entry that tells of it is
 * applied: it may be lost with its leader. */
static void cold_time_is_told_when_logged(void **state)
{
    struct world w;
    struct node *n = NULL;

    (void)state;
    world_init(&w, 3);
    form(&w);
    for (int i = 0; i < 3; i++) {
        cluster_power_cut(w.cl, i);
        sim_host_wall_step(w.s, i, 7200000);
    }
    for (int i = 0; i < 3; i++) {
        cluster_start(w.cl, i);
    }
    while (n == NULL) {
        assert_true(sim_step(w.s, sim_now_us(w.s) + SECOND));
        for (int i = 0; i < 3; i++) {
            struct node *k = cluster_node(w.cl, i);

            if (k != NULL && k->ctime.cold) {
                n = k;
            }
        }
    }
    assert_true(ctime_estimate(n) > 0);
    assert_int_equal(ctime_told(n), 0);
    pass(&w, SECOND);
    assert_false(n->ctime.cold);
    assert_int_equal(ctime_told(n), ctime_estimate(n));
    world_end(&w);
}

/* ---- seats and members ---- */

/* kv init needs every seat: while one does not answer, nothing is formed. */
static void init_needs_every_seat(void **state)
{
    struct world w;
    struct talk *t;

    (void)state;
    world_init(&w, 3);
    cluster_start(w.cl, 0);
    cluster_start(w.cl, 1);
    pass(&w, 50 * MS);
    t = talk(&w, 0);
    assert_starts(ask(t, "INIT"), "-ERR the seat at 10.0.0.3");
    pass(&w, SECOND);
    assert_int_equal(cluster_node_id(w.cl, 0), 0);
    cluster_start(w.cl, 2);
    pass(&w, 50 * MS);
    assert_string_equal(ask(t, "INIT"), "+OK");
    world_end(&w);
}

static unsigned voters(struct world *w, int i)
{
    struct conf c;

    driver_members(&node_at(w, i)->driver, &c);
    return conf_voters(&c);
}

/* When kv init returns, every seat votes: the loss of the first one then
 * loses nothing. */
static void init_returns_with_all_votes(void **state)
{
    struct world w;

    (void)state;
    world_init(&w, 3);
    start_all(&w);
    assert_string_equal(ask(talk(&w, 0), "INIT"), "+OK");
    assert_int_equal(voters(&w, 0), 3);
    cluster_power_cut(w.cl, 0);
    assert_string_equal(ask(talk(&w, 1), "SET k v"), "+OK");
    world_end(&w);
}

/* Two kv init at once make one cluster, or none and an error: a seat
 * promises itself to one of them. */
static void two_inits_make_one_cluster(void **state)
{
    struct world w;
    struct talk *a, *b;
    bool one, two;

    (void)state;
    world_init(&w, 3);
    start_all(&w);
    a = talk(&w, 0);
    b = talk(&w, 1);
    say(a, "INIT");
    say(b, "INIT");
    one = strcmp(hear_within(a, 2 * PATIENCE), "+OK") == 0;
    two = strcmp(hear_within(b, 2 * PATIENCE), "+OK") == 0;
    assert_false(one && two);
    if (!one && !two) {
        assert_string_equal(ask(a, "INIT FORCE"), "+OK");
    }
    for (int i = 1; i < 3; i++) {
        assert_memory_equal(node_at(&w, 0)->ident.cluster_id,
                            node_at(&w, i)->ident.cluster_id, ID_BYTES);
    }
    world_end(&w);
}

/* Another directory that comes up under a seat's address: a process of its
 * own on a machine that is none of the cluster's. */
struct stranger {
    struct disk *disk;
    struct env *env;
    struct node *node;
    struct node_config nc;
};

static void stranger_exit(void *data, enum node_exit status, const char *why)
{
    (void)data;
    (void)status;
    (void)why;
}

static void stranger_ready(void *data)
{
    (void)data;
}

static void stranger_main(void *data)
{
    static const struct node_cbs cbs = {.on_exit = stranger_exit,
                                        .on_ready = stranger_ready};
    struct stranger *x = data;
    struct errmsg em = {{0}};

    assert_int_equal(node_start(x->env, &x->nc, &cbs, &x->node, &em), 0);
}

static void stranger_start(struct world *w,
                           struct stranger *x,
                           const char *seat)
{
    memset(x, 0, sizeof *x);
    x->disk = disk_sim_new();
    x->env =
        sim_env_new(w->s, cluster_client_host(w->cl, 1), x->disk, NULL, NULL);
    snprintf(x->nc.peer_listen, LIM_ADDR, "10.0.1.2:17379");
    snprintf(x->nc.peer_announce, LIM_ADDR, "%s", seat);
    x->nc.segment_bytes = 1 << 16;
    x->nc.join_n = 3;
    for (int i = 0; i < 3; i++) {
        snprintf(x->nc.join[i], LIM_ADDR, "10.0.0.%d:17379", i + 1);
    }
    call_in(w, x->env, stranger_main, x);
}

static void stranger_end(struct stranger *x)
{
    sim_env_kill(x->env, SIM_KILLED);
    node_free(x->node);
    sim_env_free(x->env);
    disk_sim_kill(x->disk);
    disk_sim_free(x->disk);
}

/* A live holder keeps its seat: a newcomer at its address is refused, with
 * the reason. */
static void live_holder_keeps_its_seat(void **state)
{
    struct world w;
    struct stranger x;
    uint64_t id;
    char seat[LIM_ADDR];
    int f;

    (void)state;
    world_init(&w, 3);
    form(&w);
    f = follower(&w, 0);
    id = cluster_node_id(w.cl, f);
    snprintf(seat, sizeof seat, "10.0.0.%d:17379", f + 1);
    stranger_start(&w, &x, seat);
    pass(&w, 5 * SECOND);
    assert_int_equal(node_id(x.node), 0);
    assert_non_null(strstr(x.node->member.refusal, "which is alive"));
    assert_non_null(machine_member(node_at(&w, leader(&w))->machine, id));
    assert_int_equal(voters(&w, leader(&w)), 3);
    stranger_end(&x);
    world_end(&w);
}

/* Whoever has no seat is not let in. */
static void no_seat_no_member(void **state)
{
    struct world w;
    struct stranger x;

    (void)state;
    world_init(&w, 3);
    form(&w);
    stranger_start(&w, &x, "10.0.1.2:17379");
    pass(&w, 3 * SECOND);
    assert_int_equal(node_id(x.node), 0);
    assert_non_null(strstr(x.node->member.refusal, "no seat"));
    stranger_end(&x);
    world_end(&w);
}

/* A lost disk heals without an operator: the seat's new directory becomes a
 * voter under a new id, once the old one was silent for long enough. */
static void lost_disk_heals(void **state)
{
    struct world w;
    uint64_t id;
    int f;

    (void)state;
    world_init(&w, 3);
    form(&w);
    f = follower(&w, 0);
    id = cluster_node_id(w.cl, f);
    cluster_power_cut(w.cl, f);
    cluster_wipe(w.cl, f);
    cluster_start(w.cl, f);
    pass(&w, 2 * SECOND);
    assert_int_equal(cluster_node_id(w.cl, f), 0);
    pass(&w, 8 * SECOND);
    assert_true(cluster_node_id(w.cl, f) > id);
    assert_int_equal(voters(&w, leader(&w)), 3);
    assert_null(machine_member(node_at(&w, leader(&w))->machine, id));
    assert_string_equal(ask(talk(&w, f), "GET warm"), "1");
    world_end(&w);
}

/* Every member's vote file speaks of its log, also in a term that began before
 * the log did: else a log that is lost as a whole would not be missed. */
static void new_log_is_noted(void **state)
{
    struct world w;

    (void)state;
    world_init(&w, 3);
    form(&w);
    for (int i = 0; i < 3; i++) {
        assert_true(wal_durable_no(node_at(&w, i)->wal) > 0);
        assert_true(node_at(&w, i)->vote.now.log_no > 0);
    }
    world_end(&w);
}

static const char *remove_node(struct world *w, struct talk *t, int i)
{
    char line[64];

    snprintf(line, sizeof line, "MEMBER REMOVE %llu",
             (unsigned long long)cluster_node_id(w->cl, i));
    return ask(t, line);
}

/* No member is removed that the others cannot do without. */
static void needed_member_stays(void **state)
{
    struct world w;
    struct talk *t;
    int l, f;

    (void)state;
    world_init(&w, 3);
    form(&w);
    l = leader(&w);
    f = follower(&w, 0);
    t = talk(&w, l);
    cluster_power_cut(w.cl, follower(&w, 1));
    pass(&w, SECOND);
    assert_starts(remove_node(&w, t, f), "-ERR without it");
    assert_int_equal(voters(&w, l), 3);
    assert_string_equal(ask(t, "SET k v"), "+OK");
    world_end(&w);
}

/* ---- damage ---- */

struct found {
    char name[DISK_NAME_MAX];
    const char *dir;
    const char *tail;
    unsigned n;
};

/* Keeps the last one whose name ends with @tail. */
static int find_file(void *data, const char *name)
{
    struct found *f = data;
    size_t n = strlen(name);
    size_t k = strlen(f->tail);

    if (n > k && n < DISK_NAME_MAX - 10 && strcmp(name + n - k, f->tail) == 0) {
        snprintf(f->name, sizeof f->name, "%.8s/%.50s", f->dir, name);
        f->n++;
    }
    return 0;
}

static unsigned count_files(struct disk *d, const char *dir, const char *tail)
{
    struct found f = {.dir = dir, .tail = tail};

    (void)disk_list(d, dir, find_file, &f);
    return f.n;
}

/* Flip a bit at @byte of the last file of @dir. */
static void spoil_first(struct disk *d, const char *dir, uint64_t byte)
{
    struct found f = {.dir = dir,
                      .tail = strcmp(dir, "log") == 0 ? ".log" : ".snap"};

    (void)disk_list(d, dir, find_file, &f);
    assert_true(f.n > 0);
    assert_int_equal(disk_sim_flip(d, f.name, byte * 8), 0);
}

static void spoil_votes(struct disk *d)
{
    assert_int_equal(disk_sim_flip(d, "vote.a", 800), 0);
    assert_int_equal(disk_sim_flip(d, "vote.b", 800), 0);
}

static bool in_repair(struct world *w, int i)
{
    struct node *n = cluster_node(w->cl, i);

    return n != NULL && repair_active(&n->repair);
}

/* Off and on again, with its newest segment damaged right behind its header
 * (or, with a snapshot, that). */
static void spoil_log(struct world *w, int i)
{
    pass(w, 200 * MS); /* a mark proves the last entries */
    cluster_kill(w->cl, i);
    spoil_first(cluster_disk(w->cl, i), "log", 4096 + 20);
    cluster_start(w->cl, i);
}

static void lead(struct world *w, int i)
{
    char line[64];

    snprintf(line, sizeof line, "MEMBER TRANSFER %llu",
             (unsigned long long)cluster_node_id(w->cl, i));
    assert_string_equal(ask(talk(w, leader(w)), line), "+OK");
    pass(w, 200 * MS);
    assert_int_equal(leader(w), i);
}

/* A log that is damaged in the middle is replaced by a snapshot of the others
 * that reaches as far; the member keeps its id, and may then lead: nothing is
 * missing. What was there is kept. */
static void damaged_log_is_mended(void **state)
{
    struct node_config nc = {.snapshot_floor = 1 << 15};
    struct world w;
    uint64_t id, last;
    int f;

    (void)state;
    world_init_with(&w, 3, &nc);
    form(&w);
    write_entries(&w, talk(&w, 0), 600);
    assert_string_equal(ask(talk(&w, 1), "SET kept yes"), "+OK");
    f = follower(&w, 0);
    id = cluster_node_id(w.cl, f);
    pass(&w, 200 * MS);
    last = driver_last(&node_at(&w, f)->driver);
    spoil_log(&w, f);
    for (int k = 0; k < 100 && check_count(w.c, NODE_EV_REPAIR) == 0; k++) {
        pass(&w, 100 * MS);
    }
    assert_int_equal(check_count(w.c, NODE_EV_REPAIR), 1);
    assert_int_equal(cluster_node_id(w.cl, f), id);
    assert_true(node_at(&w, f)->snapshot.index >= last);
    assert_true(count_files(cluster_disk(w.cl, f), "damaged", ".log") > 0);
    assert_false(disk_sim_exists(cluster_disk(w.cl, f), "repair"));
    pass(&w, SECOND);
    lead(&w, f);
    assert_string_equal(ask(talk(&w, f), "GET kept"), "yes");
    assert_string_equal(ask(talk(&w, f), "SET more 1"), "+OK");
    /* And it starts again as any other. */
    cluster_power_cut(w.cl, f);
    cluster_start(w.cl, f);
    pass(&w, 2 * SECOND);
    assert_string_equal(ask(talk(&w, f), "GET more"), "1");
    world_end(&w);
}

/* The same for its newest snapshot. */
static void damaged_snapshot_is_mended(void **state)
{
    struct node_config nc = {.snapshot_floor = 1 << 15};
    struct world w;
    int f;

    (void)state;
    world_init_with(&w, 3, &nc);
    form(&w);
    write_entries(&w, talk(&w, 0), 600);
    f = follower(&w, 0);
    cluster_kill(w.cl, f);
    spoil_first(cluster_disk(w.cl, f), "snap", 300);
    cluster_start(w.cl, f);
    pass(&w, 5 * SECOND);
    assert_int_equal(check_count(w.c, NODE_EV_REPAIR), 1);
    lead(&w, f);
    assert_string_equal(ask(talk(&w, f), "GET warm"), "1");
    world_end(&w);
}

/* A former leader goes on offering its snapshot beside the new leader's. Each
 * would do; a repair that left one for the other, by turns, would never end. */
static void repair_stays_with_one_snapshot(void **state)
{
    struct world w;
    int l, f, o;

    (void)state;
    world_init(&w, 3);
    form(&w);
    l = leader(&w);
    f = follower(&w, 0);
    o = follower(&w, 1);
    pass(&w, 200 * MS);
    cluster_kill(w.cl, f);
    spoil_first(cluster_disk(w.cl, f), "log", 4096 + 20);
    for (int i = 0; i < 2; i++) {
        write_entries(&w, talk(&w, l), 20);
        pass(&w, 200 * MS);
        assert_true(snapshot_now(node_at(&w, i == 0 ? o : l)));
        pass(&w, 200 * MS);
    }
    assert_true(node_at(&w, o)->snapshot.index <
                node_at(&w, l)->snapshot.index);
    cluster_start(w.cl, f);
    pass(&w, 50 * MS);
    assert_true(in_repair(&w, f));
    slow(&w, f, o, 20 * MS);
    slow(&w, f, l, 20 * MS);
    snapshot_serve(node_at(&w, o), cluster_node_id(w.cl, f), 1);
    snapshot_serve(node_at(&w, l), cluster_node_id(w.cl, f), 1);
    pass(&w, 3 * SECOND);
    assert_int_equal(check_count(w.c, NODE_EV_REPAIR), 1);
    world_end(&w);
}

/* Nobody knows what a member without its votes promised: its seat gets a new
 * member, in the same directory, and the old id never comes back. */
static void lost_votes_mean_a_new_member(void **state)
{
    struct world w;
    uint64_t id;
    int f;

    (void)state;
    world_init(&w, 3);
    form(&w);
    f = follower(&w, 0);
    id = cluster_node_id(w.cl, f);
    cluster_kill(w.cl, f);
    spoil_votes(cluster_disk(w.cl, f));
    cluster_start(w.cl, f);
    pass(&w, 2 * SECOND);
    assert_true(in_repair(&w, f)); /* the seat's holder is not silent yet */
    pass(&w, 8 * SECOND);
    assert_true(cluster_node_id(w.cl, f) > id);
    assert_null(machine_member(node_at(&w, leader(&w))->machine, id));
    assert_int_equal(voters(&w, leader(&w)), 3);
    assert_true(count_files(cluster_disk(w.cl, f), "damaged", "identity") == 1);
    assert_true(count_files(cluster_disk(w.cl, f), "damaged", "vote.a") == 1);
    lead(&w, f);
    assert_string_equal(ask(talk(&w, f), "GET warm"), "1");
    world_end(&w);
}

/* Without a majority of the others nothing on its disk is given up; with it,
 * the repair goes on by itself. */
static void damaged_waits_for_the_others(void **state)
{
    struct world w;
    uint64_t id;
    int f, l, o;

    (void)state;
    world_init(&w, 3);
    form(&w);
    l = leader(&w);
    f = follower(&w, 0);
    o = follower(&w, 1);
    id = cluster_node_id(w.cl, f);
    cluster_power_cut(w.cl, o);
    cluster_kill(w.cl, f);
    spoil_votes(cluster_disk(w.cl, f));
    cluster_start(w.cl, f);
    pass(&w, 20 * SECOND);
    assert_true(in_repair(&w, f));
    assert_int_equal(cluster_node_id(w.cl, f), id);
    assert_int_equal(count_files(cluster_disk(w.cl, f), "damaged", ""), 0);
    cluster_start(w.cl, o);
    pass(&w, 15 * SECOND);
    assert_true(cluster_node_id(w.cl, f) > id);
    assert_int_equal(voters(&w, leader(&w)), 3);
    (void)l;
    world_end(&w);
}

/* Damage on all at once: everything stays as it is, for whoever comes with a
 * copy. */
static void all_damaged_change_nothing(void **state)
{
    struct world w;
    uint64_t id[3];

    (void)state;
    world_init(&w, 3);
    form(&w);
    for (int i = 0; i < 3; i++) {
        id[i] = cluster_node_id(w.cl, i);
        cluster_kill(w.cl, i);
        spoil_votes(cluster_disk(w.cl, i));
    }
    for (int i = 0; i < 3; i++) {
        cluster_start(w.cl, i);
    }
    pass(&w, 25 * SECOND);
    for (int i = 0; i < 3; i++) {
        assert_true(in_repair(&w, i));
        assert_int_equal(cluster_node_id(w.cl, i), id[i]);
        assert_true(node_at(&w, i)->repair.damaged ==
                    node_at(&w, i)->repair.heard);
        assert_int_equal(count_files(cluster_disk(w.cl, i), "damaged", ""), 0);
    }
    world_end(&w);
}

/* A damaged member helps nobody to lead: it may have forgotten what only it
 * and the dead leader have. */
static void damaged_votes_for_nobody(void **state)
{
    struct world w;
    int f, l, o;

    (void)state;
    world_init(&w, 3);
    form(&w);
    l = leader(&w);
    f = follower(&w, 0);
    o = follower(&w, 1);
    pass(&w, 200 * MS);
    cluster_power_cut(w.cl, l);
    spoil_log(&w, f);
    for (int k = 0; k < 100; k++) {
        pass(&w, 100 * MS);
        assert_true(driver_role(&node_at(&w, o)->driver) != DRIVER_LEADER);
    }
    assert_true(in_repair(&w, f));
    cluster_start(w.cl, l);
    pass(&w, 10 * SECOND);
    assert_false(in_repair(&w, f));
    assert_string_equal(ask(talk(&w, f), "GET warm"), "1");
    world_end(&w);
}

/* A member that comes back at other addresses is followed there: the others
 * know them, and it serves; also when it is damaged. */
static void moved_member_is_followed(void **state)
{
    struct node_config nc = {.snapshot_floor = 1 << 15};
    struct world w;
    uint64_t id;
    int f;

    (void)state;
    world_init_with(&w, 3, &nc);
    form(&w);
    f = follower(&w, 0);
    id = cluster_node_id(w.cl, f);
    cluster_kill(w.cl, f);
    cluster_move(w.cl, f);
    cluster_start(w.cl, f);
    pass(&w, 4 * SECOND);
    assert_true(cluster_addresses_known(w.cl));
    assert_int_equal(cluster_node_id(w.cl, f), id);
    write_entries(&w, talk(&w, f), 600);
    pass(&w, 200 * MS);
    cluster_kill(w.cl, f);
    cluster_move(w.cl, f);
    spoil_first(cluster_disk(w.cl, f), "log", 4096 + 20);
    cluster_start(w.cl, f);
    pass(&w, 10 * SECOND);
    assert_int_equal(check_count(w.c, NODE_EV_REPAIR), 1);
    assert_true(cluster_addresses_known(w.cl));
    assert_int_equal(cluster_node_id(w.cl, f), id);
    lead(&w, f);
    assert_string_equal(ask(talk(&w, f), "GET warm"), "1");
    world_end(&w);
}

/* A member that was removed learns it and stops with a status of its own. */
static void removed_member_stops(void **state)
{
    struct world w;
    int l, f;

    (void)state;
    world_init(&w, 3);
    form(&w);
    l = leader(&w);
    f = follower(&w, 0);
    assert_string_equal(remove_node(&w, talk(&w, l), f), "+OK");
    for (int i = 0; i < 80; i++) {
        pass(&w, 100 * MS);
        if (cluster_exits(w.cl, NODE_EXIT_REMOVED) > 0) {
            break;
        }
    }
    assert_int_equal(cluster_exits(w.cl, NODE_EXIT_REMOVED), 1);
    assert_string_equal(ask(talk(&w, l), "SET k v"), "+OK");
    world_end(&w);
}

/* Store @n bytes that do not compress. */
static void write_noise(struct world *w, struct talk *t, int key, int n)
{
    char line[8300];
    int at = snprintf(line, sizeof line, "SET noise%d ", key);

    for (int i = 0; i < n && at < (int)sizeof line - 1; i++) {
        line[at++] = (char)('!' + rng_below(sim_rng(w->s), 90));
    }
    line[at] = '\0';
    assert_string_equal(ask(t, line), "+OK");
}

static void snapshot_due_if_sending(struct node *n)
{
    if (snapx_sending(n->snapshot.xfer)) {
        n->snapshot.last_bytes = 0;
        n->cfg.snapshot_floor = 1;
        snapshot_tick(n);
    }
}

/* A snapshot on its way to a follower is not replaced by the next one: with
 * writes that go on, the follower would never have a whole one. */
static void snapshot_on_its_way_stays(void **state)
{
    struct node_config nc = {.snapshot_floor = 1 << 15, .cache_bytes = 1 << 14};
    struct world w;
    struct talk *t;
    uint64_t until;
    int l, f;

    (void)state;
    world_init_with(&w, 3, &nc);
    form(&w);
    l = leader(&w);
    f = follower(&w, 0);
    t = talk(&w, l);
    cluster_power_cut(w.cl, f);
    write_entries(&w, t, 1500);
    for (int i = 0; i < 60; i++) {
        write_noise(&w, t, i, 8000);
    }
    pass(&w, SECOND);
    sim_link(w.s, l, f)->bytes_per_ms = 4000;
    cluster_start(w.cl, f);
    until = sim_now_us(w.s) + 3 * SECOND;
    while (check_count(w.c, NODE_EV_INSTALL) == 0) {
        assert_true(sim_now_us(w.s) < until);
        assert_string_equal(ask(t, "SET k v"), "+OK");
        in_node(&w, l, snapshot_due_if_sending);
        pass(&w, 20 * MS);
    }
    world_end(&w);
}

/* ---- orderly end ---- */

/* A leader that stops hands over first: clients of other nodes see no error
 * and hardly a pause. */
static void stopping_leader_hands_over(void **state)
{
    struct node_config nc = {.election_ms = 1000};
    struct world w;
    struct talk *t;
    uint64_t from;
    int l;

    (void)state;
    world_init_with(&w, 3, &nc);
    form(&w);
    l = leader(&w);
    t = talk(&w, follower(&w, 0));
    from = sim_now_us(w.s);
    cluster_stop(w.cl, l);
    while (sim_now_us(w.s) < from + 3 * SECOND) {
        say(t, "INCR n");
        assert_starts(hear_within(t, 300 * MS), ":");
        pass(&w, 5 * MS);
    }
    assert_int_equal(cluster_exits(w.cl, NODE_EXIT_OK), 1);
    world_end(&w);
}

/* A node that stops answers first what it has handed to the leader. */
static void stopping_node_answers_first(void **state)
{
    struct world w;
    struct talk *t;
    int l, f;

    (void)state;
    world_init(&w, 3);
    form(&w);
    l = leader(&w);
    f = follower(&w, 0);
    t = talk(&w, f);
    slow(&w, f, l, 50 * MS);
    for (int i = 0; i < 10; i++) {
        say(t, "INCR n");
    }
    pass(&w, 5 * MS);
    cluster_stop(w.cl, f);
    for (int i = 0; i < 10; i++) {
        char want[8];

        snprintf(want, sizeof want, ":%d", i + 1);
        assert_string_equal(hear(t), want);
    }
    world_end(&w);
}

/* WAIT counts the members beside the leader that have the connection's last
 * write on their disks, on any node; it ends at its time; a silent member does
 * not hold what was written since. */
static void wait_counts_holders(void **state)
{
    struct world w;
    struct talk *at_leader, *at_follower;
    int gone;

    (void)state;
    world_init(&w, 3);
    form(&w);
    gone = follower(&w, 1);
    at_leader = talk(&w, leader(&w));
    at_follower = talk(&w, follower(&w, 0));
    assert_string_equal(ask(at_leader, "WAIT 0 100"), ":2");
    assert_string_equal(ask(at_leader, "SET k v"), "+OK");
    assert_string_equal(ask(at_leader, "WAIT 2 1000"), ":2");
    assert_string_equal(ask(at_follower, "SET k w"), "+OK");
    assert_string_equal(ask(at_follower, "WAIT 2 1000"), ":2");
    isolate(&w, gone, true);
    assert_string_equal(ask(at_leader, "SET k x"), "+OK");
    say(at_leader, "WAIT 2 300");
    assert_string_equal(hear_within(at_leader, 200 * MS), "(nothing)");
    assert_string_equal(hear_within(at_leader, 200 * MS), ":1");
    isolate(&w, gone, false);
    assert_string_equal(ask(at_leader, "WAIT 2 3000"), ":2");
    assert_starts(ask(at_leader, "WAIT 2 -1"), "-ERR timeout is negative");
    world_end(&w);
}

/* A node that stops says how many there are, and does not wait for more. */
static void wait_ends_with_the_node(void **state)
{
    struct world w;
    struct talk *t;
    int f;

    (void)state;
    world_init(&w, 3);
    form(&w);
    f = follower(&w, 0);
    t = talk(&w, f);
    assert_string_equal(ask(t, "SET k v"), "+OK");
    pass(&w, 100 * MS);
    say(t, "WAIT 7 0");
    pass(&w, 100 * MS);
    assert_int_equal(node_at(&w, f)->waits.ops.n, 1);
    cluster_stop(w.cl, f);
    assert_string_equal(hear_within(t, 100 * MS), ":2");
    world_end(&w);
}

/* Between MULTI and EXEC it tells what there is, and does not wait. */
static void wait_in_multi(void **state)
{
    struct world w;
    struct talk *t;

    (void)state;
    world_init(&w, 3);
    form(&w);
    t = talk(&w, leader(&w));
    assert_string_equal(ask(t, "MULTI"), "+OK");
    assert_string_equal(ask(t, "WAIT 7 0"), "+QUEUED");
    say(t, "EXEC");
    assert_string_equal(hear_within(t, 100 * MS), "[2]");
    world_end(&w);
}

/* SAVE is answered when the snapshot is on disk; where nothing changed the
 * one that is there is as good. */
static void save_makes_a_snapshot(void **state)
{
    struct world w;
    struct talk *t;
    int f;

    (void)state;
    world_init(&w, 3);
    form(&w);
    f = follower(&w, 0);
    t = talk(&w, f);
    assert_string_equal(ask(t, "SET k v"), "+OK");
    assert_string_equal(ask(t, "SAVE"), "+OK");
    assert_true(node_at(&w, f)->snapshot.index > 0);
    assert_int_equal(node_at(&w, f)->snapshot.index, applied(&w, f));
    assert_string_equal(ask(t, "SAVE"), "+OK");
    assert_int_equal(node_at(&w, f)->snapshot.taken_n, 1);
    assert_string_equal(ask(t, "SET k w"), "+OK");
    assert_string_equal(ask(t, "BGSAVE"), "+Background saving started");
    pass(&w, SECOND);
    assert_int_equal(node_at(&w, f)->snapshot.taken_n, 2);
    world_end(&w);
}

/* CLUSTER FAILOVER brings leadership to the node that was asked; a leader
 * refuses. */
static void failover_comes_here(void **state)
{
    struct world w;
    int f;

    (void)state;
    world_init(&w, 3);
    form(&w);
    f = follower(&w, 0);
    assert_starts(ask(talk(&w, leader(&w)), "CLUSTER FAILOVER"),
                  "-ERR You should send CLUSTER FAILOVER to a replica");
    assert_string_equal(ask(talk(&w, f), "CLUSTER FAILOVER"), "+OK");
    assert_int_equal(leader(&w), f);
    world_end(&w);
}

/* CLUSTER FORGET removes the member of that id, asked of any other. */
static void forget_removes(void **state)
{
    struct member_view members[LIM_NODES];
    char message[NODE_MESSAGE_MAX], line[80], hex[41];
    struct node_view v;
    struct world w;
    struct talk *t;
    int f, gone;

    (void)state;
    world_init(&w, 3);
    form(&w);
    f = follower(&w, 0);
    gone = follower(&w, 1);
    t = talk(&w, f);
    node_view_fill(node_at(&w, f), &v, members, message);
    admin_member_hex(&v, cluster_node_id(w.cl, f), hex);
    snprintf(line, sizeof line, "CLUSTER FORGET %s", hex);
    assert_starts(ask(t, line), "-ERR I tried hard but I can't forget myself");
    assert_starts(ask(t, "CLUSTER FORGET abc"), "-ERR Unknown node abc");
    assert_int_equal(voters(&w, leader(&w)), 3);
    admin_member_hex(&v, cluster_node_id(w.cl, gone), hex);
    snprintf(line, sizeof line, "CLUSTER FORGET %s", hex);
    assert_string_equal(ask(t, line), "+OK");
    assert_int_equal(voters(&w, leader(&w)), 2);
    world_end(&w);
}

/* Where nobody is let in without a password, who may use them alone is not
 * refused by the leader, nor when the removal is being waited for. */
static void operator_of_a_closed_cluster(void **state)
{
    struct member_view members[LIM_NODES];
    char message[NODE_MESSAGE_MAX], line[80], hex[41];
    struct node_view v;
    struct world w;
    struct talk *t;
    int f, gone;

    (void)state;
    world_init(&w, 3);
    form(&w);
    f = follower(&w, 0);
    t = talk(&w, f);
    assert_string_equal(
        ask(t, "ACL SETUSER op on >pw +cluster|failover +cluster|forget"),
        "+OK");
    assert_string_equal(ask(t, "AUTH op pw"), "+OK");
    assert_string_equal(ask(talk(&w, f), "ACL SETUSER default off"), "+OK");
    assert_string_equal(ask(t, "CLUSTER FAILOVER"), "+OK");
    assert_int_equal(leader(&w), f);
    gone = follower(&w, 0);
    node_view_fill(node_at(&w, f), &v, members, message);
    admin_member_hex(&v, cluster_node_id(w.cl, gone), hex);
    snprintf(line, sizeof line, "CLUSTER FORGET %s", hex);
    assert_string_equal(ask(t, line), "+OK");
    assert_int_equal(voters(&w, f), 2);
    assert_starts(ask(t, "MEMBER TRANSFER 1"), "-NOPERM");
    world_end(&w);
}

/* Whether a user may do what a node answers itself is asked for a second, then
 * that node decides: also on a connection that was served just before. */
static void nobody_tells_of_a_user(void **state)
{
    struct world w;
    struct talk *t;

    (void)state;
    world_init(&w, 3);
    form(&w);
    t = talk(&w, leader(&w));
    assert_string_equal(ask(t, "ACL SETUSER u on >pw ~* &* +@all"), "+OK");
    assert_string_equal(ask(t, "AUTH u pw"), "+OK");
    isolate(&w, leader(&w), true);
    say(t, "PUBLISH a b");
    assert_string_equal(hear_within(t, SECOND + 100 * MS), ":0");
    world_end(&w);
}

/* What was begun is told as it ends, whether or not he who asked for it may
 * still do so. */
static void begun_is_not_refused(void **state)
{
    struct world w;
    struct talk *t, *a;
    char line[40];
    int l;

    (void)state;
    world_init(&w, 3);
    form(&w);
    l = leader(&w);
    t = talk(&w, l);
    a = talk(&w, l);
    assert_string_equal(ask(a, "ACL SETUSER op on >pw +member|remove"), "+OK");
    assert_string_equal(ask(t, "AUTH op pw"), "+OK");
    snprintf(line, sizeof line, "MEMBER REMOVE %llu",
             (unsigned long long)cluster_node_id(w.cl, follower(&w, 1)));
    say(t, line);
    while (node_at(&w, l)->admin.n == 0) {
        assert_true(sim_step(w.s, sim_now_us(w.s) + SECOND));
    }
    assert_string_equal(ask(a, "ACL SETUSER op -member|remove"), "+OK");
    assert_true(node_at(&w, l)->admin.n == 1); /* it is not answered yet */
    assert_string_equal(hear(t), "+OK");
    assert_int_equal(voters(&w, l), 2);
    world_end(&w);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(error_is_its_own),
    cmocka_unit_test(wait_counts_holders),
    cmocka_unit_test(wait_ends_with_the_node),
    cmocka_unit_test(wait_in_multi),
    cmocka_unit_test(save_makes_a_snapshot),
    cmocka_unit_test(failover_comes_here),
    cmocka_unit_test(forget_removes),
    cmocka_unit_test(operator_of_a_closed_cluster),
    cmocka_unit_test(nobody_tells_of_a_user),
    cmocka_unit_test(begun_is_not_refused),
    cmocka_unit_test(any_node_takes_any_request),
    cmocka_unit_test(parked_is_refused),
    cmocka_unit_test(in_the_clusters_hands_is_unknown),
    cmocka_unit_test(lost_on_the_way_is_resent),
    cmocka_unit_test(long_pipeline_is_served),
    cmocka_unit_test(missing_numbers_are_resent),
    cmocka_unit_test(void_takes_the_number),
    cmocka_unit_test(gaps_are_not_taken),
    cmocka_unit_test(refused_is_logged_as_void),
    cmocka_unit_test(restart_opens_a_session),
    cmocka_unit_test(lost_session_is_unknown),
    cmocka_unit_test(own_apply_gives_the_reply),
    cmocka_unit_test(snapshot_settles_writes),
    cmocka_unit_test(batches_grow_with_what_flies),
    cmocka_unit_test(named_across_failover),
    cmocka_unit_test(pause_is_not_silence),
    cmocka_unit_test(named_across_snapshot),
    cmocka_unit_test(watch_across_failover),
    cmocka_unit_test(round_serves_who_waited),
    cmocka_unit_test(late_answer_counts_for_nothing),
    cmocka_unit_test(deposed_leader_confirms_nothing),
    cmocka_unit_test(failed_round_is_asked_again),
    cmocka_unit_test(follower_reads_what_was_acknowledged),
    cmocka_unit_test(lagging_node_passes_reads),
    cmocka_unit_test(passing_overtakes_nothing),
    cmocka_unit_test(pipeline_keeps_its_order),
    cmocka_unit_test(replies_in_portions),
    cmocka_unit_test(stale_within_the_bound),
    cmocka_unit_test(feed_wakes),
    cmocka_unit_test(feed_holds_what_follows),
    cmocka_unit_test(feed_null_is_confirmed),
    cmocka_unit_test(feed_stays_over_failover),
    cmocka_unit_test(feed_across_install),
    cmocka_unit_test(feed_waits_where_it_is),
    cmocka_unit_test(feed_ranges_take_turns),
    cmocka_unit_test(feed_steps_are_turns),
    cmocka_unit_test(feed_unblocks),
    cmocka_unit_test(feed_waits_are_bounded),
    cmocka_unit_test(feed_ends_with_the_node),
    cmocka_unit_test(feed_leaves_memory),
    cmocka_unit_test(age_counts_from_the_question),
    cmocka_unit_test(age_counts_when_applied),
    cmocka_unit_test(stale_reads_own_writes),
    cmocka_unit_test(stale_does_not_overtake),
    cmocka_unit_test(read_sees_no_passed_deadline),
    cmocka_unit_test(read_sees_no_later_deadline),
    cmocka_unit_test(time_left_counts_down),
    cmocka_unit_test(read_waits_for_the_entry_named),
    cmocka_unit_test(time_entries_are_shared),
    cmocka_unit_test(users_come_with_the_load),
    cmocka_unit_test(users_hold_at_once),
    cmocka_unit_test(time_does_not_step),
    cmocka_unit_test(time_goes_on_after_failover),
    cmocka_unit_test(restarted_leader_does_not_jump),
    cmocka_unit_test(cold_start_counts_downtime),
    cmocka_unit_test(cold_time_is_told_when_logged),
    cmocka_unit_test(init_needs_every_seat),
    cmocka_unit_test(init_returns_with_all_votes),
    cmocka_unit_test(two_inits_make_one_cluster),
    cmocka_unit_test(live_holder_keeps_its_seat),
    cmocka_unit_test(no_seat_no_member),
    cmocka_unit_test(lost_disk_heals),
    cmocka_unit_test(damaged_log_is_mended),
    cmocka_unit_test(repair_stays_with_one_snapshot),
    cmocka_unit_test(damaged_snapshot_is_mended),
    cmocka_unit_test(lost_votes_mean_a_new_member),
    cmocka_unit_test(damaged_waits_for_the_others),
    cmocka_unit_test(all_damaged_change_nothing),
    cmocka_unit_test(damaged_votes_for_nobody),
    cmocka_unit_test(new_log_is_noted),
    cmocka_unit_test(needed_member_stays),
    cmocka_unit_test(moved_member_is_followed),
    cmocka_unit_test(removed_member_stops),
    cmocka_unit_test(snapshot_on_its_way_stays),
    cmocka_unit_test(stopping_leader_hands_over),
    cmocka_unit_test(stopping_node_answers_first),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
