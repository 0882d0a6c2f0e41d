/* Whole simulated clusters at their limits: full disks, full memory, walks
 * over many keys, clients that want too much. */
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "server/node/node.h"
#include "tests/sim/check.h"
#include "tests/sim/cluster.h"
#include "tests/sim/env_sim.h"
#include "tests/sim/mini.h"

/* cmocka.h wants these first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { NODES = 3, CLIENTS = 4, TEXT = 256, SECOND = 1000000 };

struct fixture;

/* One connection that sends and counts. */
struct talker {
    struct fixture *f;
    struct mini m;
    struct buf out;
    char addr[64];
    bool connected;
    bool closed;
    unsigned replies;
    unsigned errors;
    char type;
    char first; /* type of an array's first element */
    int64_t num;
    char text[TEXT];
};

struct fixture {
    struct sim *s;
    struct check *c;
    struct cluster *cl;
    struct env *env;
    struct talker t[CLIENTS];
};

static uint64_t now_cb(void *data)
{
    return sim_now_us(((struct fixture *)data)->s);
}

static void pass_us(struct fixture *f, uint64_t us)
{
    uint64_t end = sim_now_us(f->s) + us;

    while (sim_step(f->s, end)) {
        if (check_failed(f->c)) {
            fail_msg("%s", check_text(f->c));
        }
    }
}

/* ---- talkers ---- */

static void on_reply(struct mini *m, const struct mini_reply *r)
{
    struct talker *t = m->data;

    t->replies++;
    t->errors += r->type == '-';
    t->type = r->null ? '_' : r->type;
    t->num = r->num;
    t->first = r->el[0].type;
    snprintf(t->text, sizeof t->text, "%.*s",
             (int)(r->v.n < TEXT - 1 ? r->v.n : TEXT - 1),
             r->v.n > 0 ? (const char *)r->v.p : "");
}

static void on_close(struct mini *m, int code)
{
    struct talker *t = m->data;

    (void)code;
    m->c = NULL;
    t->closed = true;
    t->connected = false;
}

static void talk(void *data)
{
    struct talker *t = data;

    if (!t->connected) {
        mini_connect(&t->m, t->f->env, t->addr);
        t->connected = true;
    }
    mini_send(&t->m, &t->out);
}

static void say(struct fixture *f, int who, int node, const char *line)
{
    struct talker *t = &f->t[who];

    if (strcmp(t->addr, cluster_addr(f->cl, node)) != 0) {
        mini_close(&t->m);
        t->connected = false;
    }
    snprintf(t->addr, sizeof t->addr, "%s", cluster_addr(f->cl, node));
    t->closed = false;
    mini_line(&t->out, line);
}

static void flush(struct fixture *f, int who)
{
    sim_env_post(f->env, talk, &f->t[who]);
}

/* The reply to @line as "+OK", ":5", "$text", "_"; "" when none comes within
 * 10 s. */
static const char *ask(struct fixture *f, int node, const char *line)
{
    static char out[TEXT + 2];
    struct talker *t = &f->t[0];
    unsigned before = t->replies;
    uint64_t end = sim_now_us(f->s) + 10 * SECOND;

    say(f, 0, node, line);
    flush(f, 0);
    while (t->replies == before && !t->closed && sim_step(f->s, end)) {
        if (check_failed(f->c)) {
            fail_msg("%s", check_text(f->c));
        }
    }
    if (t->replies == before) {
        return "";
    }
    if (t->type == ':' || t->type == '*') {
        snprintf(out, sizeof out, "%c%lld", t->type, (long long)t->num);
    } else {
        snprintf(out, sizeof out, "%c%s", t->type, t->text);
    }
    return out;
}

static bool is(const char *reply, const char *start)
{
    return strncmp(reply, start, strlen(start)) == 0;
}

/* Like ask(), over the time that an election takes. */
static const char *ask_long(struct fixture *f, int node, const char *line)
{
    const char *r = "";

    for (int i = 0; i < 5; i++) {
        r = ask(f, node, line);
        if (r[0] != '\0' && !is(r, "-CLUSTERDOWN")) {
            break;
        }
    }
    return r;
}

/* ---- life ---- */

static void config_default(struct node_config *nc)
{
    memset(nc, 0, sizeof *nc);
    nc->segment_bytes = 256 << 10;
    nc->snapshot_floor = UINT64_C(1) << 40;
    nc->request_timeout_ms = 2000;
}

static struct fixture *start(const struct node_config *nc)
{
    struct fixture *f = hf_calloc(1, sizeof *f);
    struct cluster_config cc = {0};

    f->s = sim_new(7);
    f->c = check_new(now_cb, f);
    cc.s = f->s;
    cc.c = f->c;
    cc.nodes = NODES;
    cc.node = *nc;
    f->cl = cluster_new(&cc);
    f->env = sim_env_new(f->s, cluster_client_host(f->cl, 0), NULL, NULL, NULL);
    for (int i = 0; i < CLIENTS; i++) {
        struct talker *t = &f->t[i];

        t->f = f;
        t->m.data = t;
        t->m.on_reply = on_reply;
        t->m.on_close = on_close;
    }
    for (int i = 0; i < NODES; i++) {
        cluster_start(f->cl, i);
    }
    pass_us(f, 100000);
    assert_string_equal(ask(f, 0, "INIT"), "+OK");
    return f;
}

static void stop(struct fixture *f)
{
    assert_false(check_failed(f->c));
    for (int i = 0; i < CLIENTS; i++) {
        mini_release(&f->t[i].m);
        buf_release(&f->t[i].out);
    }
    cluster_free(f->cl);
    sim_free(f->s);
    check_free(f->c);
    free(f);
}

static int leader(struct fixture *f)
{
    return check_last_leader(f->c);
}

static int follower(struct fixture *f)
{
    return (leader(f) + 1) % NODES;
}

/* SET k@i to 8 KiB by node @node. */
static const char *put(struct fixture *f, int node, int i)
{
    static char line[8300];
    int n = snprintf(line, sizeof line, "SET k%d ", i);

    memset(line + n, 'a' + i % 26, 8192);
    line[n + 8192] = '\0';
    return ask(f, node, line);
}

static void must_have(struct fixture *f, int node, int i)
{
    char line[32];
    char want[3] = {'$', (char)('a' + i % 26), '\0'};
    const char *r;

    snprintf(line, sizeof line, "GET k%d", i);
    r = ask(f, node, line);
    if (!is(r, want)) {
        fail_msg("n%d: %s: %.40s", node + 1, line, r);
    }
}

/* Write until @stop_at comes; how many were acknowledged. */
static int fill(struct fixture *f, int node, const char *stop_at, int max)
{
    for (int i = 0; i < max; i++) {
        const char *r = put(f, node, i);

        if (is(r, stop_at)) {
            return i;
        }
        if (strcmp(r, "+OK") != 0) {
            fail_msg("write %d: %s", i, r);
        }
    }
    fail_msg("%d writes and no %s", max, stop_at);
    return 0;
}

/* ---- disks ---- */

/* With all disks full writes are refused as not applied, nothing that was
 * acknowledged is missing, reads and elections go on, and room brings writes
 * back without a restart. */
static void all_disks_full(void **state)
{
    struct node_config nc;
    struct fixture *f;
    int n, old;

    (void)state;
    config_default(&nc);
    f = start(&nc);
    assert_string_equal(ask(f, 1, "SET before 1"), "+OK");
    for (int i = 0; i < NODES; i++) {
        cluster_disk_room(f->cl, i, 100 << 10);
    }
    n = fill(f, follower(f), "-NOSPACE", 2000);
    assert_true(n > 0);
    assert_true(check_count(f->c, NODE_EV_NOSPACE) > 0);
    for (int i = 0; i < n; i++) {
        must_have(f, i % NODES, i);
    }
    pass_us(f, 5 * SECOND);
    assert_true(is(ask(f, 0, "SET never 1"), "-NOSPACE"));
    /* The next leader commits its barrier from what was kept free. */
    old = leader(f);
    cluster_kill(f->cl, old);
    pass_us(f, 2 * SECOND);
    assert_true(leader(f) != old);
    for (int i = 0; i < n; i++) {
        must_have(f, leader(f), i);
    }
    assert_true(is(ask_long(f, leader(f), "SET never 1"), "-NOSPACE"));
    cluster_start(f->cl, old);
    for (int i = 0; i < NODES; i++) {
        cluster_disk_room(f->cl, i, UINT64_MAX);
    }
    pass_us(f, 3 * SECOND);
    assert_string_equal(ask_long(f, 0, "EXISTS never"), ":0");
    assert_string_equal(put(f, old, 5), "+OK");
    for (int i = 0; i < NODES; i++) {
        must_have(f, i, n - 1);
    }
    stop(f);
}

/* A leader whose disk alone is full hands over; no write is refused. */
static void full_leader_hands_over(void **state)
{
    struct node_config nc;
    struct fixture *f;
    int old;

    (void)state;
    config_default(&nc);
    f = start(&nc);
    old = leader(f);
    cluster_disk_room(f->cl, old, 0);
    for (int i = 0; i < 300; i++) {
        assert_string_equal(put(f, (old + 1) % NODES, i), "+OK");
    }
    assert_true(leader(f) != old);
    assert_true(check_count(f->c, NODE_EV_TRANSFER) > 0);
    assert_int_equal(check_count(f->c, NODE_EV_NOSPACE), 0);
    pass_us(f, 5 * SECOND);
    assert_true(leader(f) != old);
    cluster_disk_room(f->cl, old, UINT64_MAX);
    pass_us(f, 4 * SECOND);
    assert_int_equal(check_applied(f->c, old), check_applied_max(f->c));
    stop(f);
}

/* A full follower takes only what it has room for, does not stand for
 * election, and catches up by itself. */
static void full_follower_waits(void **state)
{
    struct node_config nc;
    struct fixture *f;
    uint64_t leaders;
    int who;

    (void)state;
    config_default(&nc);
    f = start(&nc);
    who = follower(f);
    leaders = check_leaders(f->c);
    cluster_disk_room(f->cl, who, 0);
    for (int i = 0; i < 400; i++) { /* 3.2 MiB, its room is below 1 */
        assert_string_equal(put(f, leader(f), i), "+OK");
    }
    pass_us(f, 3 * SECOND);
    assert_int_equal(check_leaders(f->c), leaders);
    assert_true(check_last_index(f->c, who) < 250);
    must_have(f, who, 399); /* passed on: it is behind */
    assert_false(node_in_touch(cluster_node(f->cl, who)));
    cluster_disk_room(f->cl, who, UINT64_MAX);
    pass_us(f, 4 * SECOND);
    assert_int_equal(check_applied(f->c, who), check_applied_max(f->c));
    assert_int_equal(check_leaders(f->c), leaders);
    assert_true(node_in_touch(cluster_node(f->cl, who)));
    stop(f);
}

/* ---- memory ---- */

/* At the memory limit writes that need memory are refused as not applied,
 * whatever they are sent to; what frees memory and reads go on, and bring
 * writes back. */
static void memory_limit_refuses(void **state)
{
    struct node_config nc;
    struct fixture *f;
    char line[32];
    int n, more;

    (void)state;
    config_default(&nc);
    nc.memory_limit = 2 << 20;
    f = start(&nc);
    n = fill(f, follower(f), "-OOM", 600);
    pass_us(f, SECOND);
    for (int i = 0; i < NODES; i++) {
        assert_true(is(ask(f, i, "SET never 1"), "-OOM"));
        must_have(f, i, n - 1);
    }
    assert_string_equal(ask(f, 0, "EXISTS never"), ":0");
    more = n / 2;
    for (int i = 0; i < more; i++) {
        snprintf(line, sizeof line, "DEL k%d", i);
        assert_string_equal(ask(f, i % NODES, line), ":1");
    }
    pass_us(f, SECOND);
    assert_string_equal(put(f, follower(f), 0), "+OK");
    stop(f);
}

/* ---- walks ---- */

/* Send one line @n times, a number added, and wait for the replies. */
static void many(struct fixture *f,
                 int who,
                 int node,
                 const char *line,
                 int from,
                 int n)
{
    struct talker *t = &f->t[who];
    unsigned before = t->replies;
    char text[64];

    for (int i = 0; i < n; i++) {
        snprintf(text, sizeof text, line, from + i);
        say(f, who, node, text);
    }
    flush(f, who);
    for (int i = 0; i < 300 && t->replies - before < (unsigned)n; i++) {
        pass_us(f, 100000);
    }
    assert_int_equal(t->replies - before, n);
}

/* KEYS and RANGE over more keys than the loop may look at are answered, at
 * every node, with the keys of one moment; in a transaction they are not. */
static void long_walks(void **state)
{
    enum { KEYS = 20000 };
    struct node_config nc;
    struct fixture *f;

    (void)state;
    config_default(&nc);
    f = start(&nc);
    many(f, 1, leader(f), "SET key:%d x", 0, KEYS);
    assert_int_equal(f->t[1].errors, 0);
    for (int i = 0; i < NODES; i++) {
        assert_string_equal(ask(f, i, "KEYS *"), "*20000");
        assert_string_equal(ask(f, i, "KEYS key:1999?"), "*10");
        assert_string_equal(ask(f, i, "RANGE a z"), "*40000");
        assert_string_equal(ask(f, i, "RANGE a z LIMIT 15000 REV"), "*30000");
    }
    /* A write of the connection that asks comes after; others' may not. */
    say(f, 2, 0, "KEYS *");
    say(f, 2, 0, "FLUSHALL");
    say(f, 2, 0, "KEYS *");
    flush(f, 2);
    pass_us(f, SECOND);
    assert_int_equal(f->t[2].replies, 3);
    assert_int_equal(f->t[2].num, 0);
    many(f, 1, leader(f), "SET key:%d x", 0, KEYS);
    assert_string_equal(ask(f, 0, "MULTI"), "+OK");
    assert_string_equal(ask(f, 0, "KEYS *"), "+QUEUED");
    assert_string_equal(ask(f, 0, "EXEC"), "*1");
    assert_int_equal(f->t[0].first, '-');
    assert_string_equal(ask(f, 0, "DBSIZE"), ":20000");
    stop(f);
}

/* A client that leaves during a walk, and nodes that do, leave nothing. */
static void walks_cut_short(void **state)
{
    struct node_config nc;
    struct fixture *f;

    (void)state;
    config_default(&nc);
    f = start(&nc);
    many(f, 1, leader(f), "SET key:%d x", 0, 20000);
    for (int i = 0; i < NODES; i++) {
        for (int k = 0; k < 20; k++) {
            say(f, 2, i, "KEYS *");
        }
        flush(f, 2);
        pass_us(f, 700 + 300 * (uint64_t)i);
        mini_close(&f->t[2].m);
        f->t[2].connected = false;
        pass_us(f, SECOND);
    }
    assert_string_equal(ask(f, 0, "KEYS *"), "*20000");
    say(f, 2, 1, "KEYS *");
    flush(f, 2);
    pass_us(f, 800);
    cluster_kill(f->cl, 1);
    pass_us(f, 2 * SECOND);
    cluster_start(f->cl, 1);
    pass_us(f, SECOND);
    assert_string_equal(ask_long(f, 1, "KEYS *"), "*20000");
    stop(f);
}

/* ---- requests that wait ---- */

static void leave_alone(struct fixture *f, int node)
{
    for (int i = 0; i < NODES; i++) {
        if (i != node) {
            cluster_kill(f->cl, i);
        }
    }
    pass_us(f, SECOND);
}

/* Beyond the limit of parked requests sockets are not read: what is refused
 * at the deadline is no more than that; later ones go on when they can. */
static void parked_limit(void **state)
{
    struct node_config nc;
    struct fixture *f;
    unsigned replies = 0;

    (void)state;
    config_default(&nc);
    f = start(&nc);
    for (int who = 1; who < CLIENTS; who++) {
        many(f, who, 0, "PING", 0, 1000); /* small replies: a wide window */
        f->t[who].replies = 0;
    }
    leave_alone(f, 0);
    for (int who = 1; who < CLIENTS; who++) {
        for (int i = 0; i < 4000; i++) {
            say(f, who, 0, "INCR n");
        }
        flush(f, who);
    }
    pass_us(f, 2 * SECOND + 300000);
    for (int who = 1; who < CLIENTS; who++) {
        replies += f->t[who].replies;
        assert_int_equal(f->t[who].errors, f->t[who].replies);
    }
    /* Some began a moment after the others had gone. */
    assert_in_range(replies, LIM_PARKED - 200, LIM_PARKED + 200);
    cluster_start(f->cl, 1);
    cluster_start(f->cl, 2);
    pass_us(f, 5 * SECOND);
    replies = 0;
    for (int who = 1; who < CLIENTS; who++) {
        assert_int_equal(f->t[who].replies, 4000);
        replies += f->t[who].replies - f->t[who].errors;
    }
    assert_true(replies > 0);
    assert_int_equal(atoi(ask(f, 0, "GET n") + 1), replies);
    stop(f);
}

/* What waited for a leader is logged in entries of the size of a batch,
 * however much it is: a heartbeat must not wait for megabytes. */
static void batches_are_bounded(void **state)
{
    static char line[33000];
    struct node_config nc;
    struct fixture *f;

    (void)state;
    config_default(&nc);
    nc.request_timeout_ms = 8000;
    f = start(&nc);
    leave_alone(f, 0);
    for (int who = 1; who < CLIENTS; who++) {
        for (int i = 0; i < 100; i++) {
            int n = snprintf(line, sizeof line, "SET k%d ", i);

            memset(line + n, 'x', 32768);
            line[n + 32768] = '\0';
            say(f, who, 0, line);
        }
        flush(f, who);
    }
    pass_us(f, SECOND);
    for (int i = 1; i < NODES; i++) {
        cluster_start(f->cl, i);
    }
    pass_us(f, 4 * SECOND);
    for (int who = 1; who < CLIENTS; who++) {
        assert_int_equal(f->t[who].replies, 100);
        assert_int_equal(f->t[who].errors, 0);
    }
    assert_in_range(check_entry_max(f->c), LIM_BATCH / 2, LIM_BATCH + 256);
    stop(f);
}

/* A request that waited for others of its connection has its answer at its
 * own deadline, whatever came in between. */
static void own_deadline(void **state)
{
    struct node_config nc;
    struct fixture *f;

    (void)state;
    config_default(&nc);
    f = start(&nc);
    leave_alone(f, 0);
    say(f, 1, 0, "GET a"); /* the SET begins when this has its answer */
    say(f, 1, 0, "SET a 1");
    flush(f, 1);
    pass_us(f, 1900000);
    say(f, 2, 0, "SET b 1");
    flush(f, 2);
    pass_us(f, 300000);
    assert_int_equal(f->t[1].replies, 2);
    assert_int_equal(f->t[1].errors, 2);
    assert_int_equal(f->t[2].replies, 0);
    pass_us(f, 1900000);
    assert_int_equal(f->t[2].errors, 1);
    stop(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_disks_full),
        cmocka_unit_test(full_leader_hands_over),
        cmocka_unit_test(full_follower_waits),
        cmocka_unit_test(memory_limit_refuses),
        cmocka_unit_test(long_walks),
        cmocka_unit_test(walks_cut_short),
        cmocka_unit_test(parked_limit),
        cmocka_unit_test(batches_are_bounded),
        cmocka_unit_test(own_deadline),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
