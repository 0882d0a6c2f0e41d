/* The simulated clock, network and threads keep the promises of env.h, and
 * break what a fault says they break. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/disk.h"
#include "tests/sim/env_sim.h"

enum { A, B, HOSTS };

/* What one side of a connection saw. */
struct side {
    struct net_conn *c;
    struct buf got;
    bool opened;
    bool drained;
    int closed; /* times on_close came */
    int code;
    bool echo;
};

struct world {
    struct sim *s;
    struct env *e[HOSTS];
    struct net_listener *l;
    struct side cl; /* dials from A */
    struct side sv; /* accepted at B */
    int accepts;
    const char *to;
};

static void side_open(struct net_conn *c)
{
    ((struct side *)c->data)->opened = true;
}

static void side_read(struct net_conn *c, const uint8_t *p, size_t n)
{
    struct side *sd = c->data;

    buf_append(&sd->got, p, n);
    if (sd->echo) {
        net_write(c, p, n);
    }
}

static void side_drain(struct net_conn *c)
{
    ((struct side *)c->data)->drained = true;
}

static void side_close(struct net_conn *c, int code)
{
    struct side *sd = c->data;

    sd->closed++;
    sd->code = code;
    sd->c = NULL;
}

static const struct net_conn_cbs side_cbs = {side_open, side_read, side_drain,
                                             side_close};

static void on_accept(void *data, struct net_conn *c)
{
    struct world *w = data;

    w->accepts++;
    w->sv.c = c;
    c->cbs = &side_cbs;
    c->data = &w->sv;
}

static void do_listen(void *data)
{
    struct world *w = data;

    assert_int_equal(net_listen(w->e[B], ":70", on_accept, w, &w->l, NULL), 0);
}

static void do_dial(void *data)
{
    struct world *w = data;

    w->cl.c = net_connect(w->e[A], w->to, NULL);
    w->cl.c->cbs = &side_cbs;
    w->cl.c->data = &w->cl;
}

static void run_for(struct world *w, uint64_t us)
{
    uint64_t until = sim_now_us(w->s) + us;

    while (sim_step(w->s, until)) {
    }
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);

    w->s = sim_new(7);
    sim_host(w->s, "10.0.0.1");
    sim_host(w->s, "10.0.0.2");
    for (int i = 0; i < HOSTS; i++) {
        w->e[i] = sim_env_new(w->s, i, NULL, NULL, NULL);
    }
    w->to = "10.0.0.2:70";
    sim_env_post(w->e[B], do_listen, w);
    run_for(w, 100);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;

    sim_free(w->s);
    buf_release(&w->cl.got);
    buf_release(&w->sv.got);
    free(w);
    return 0;
}

static void dial(struct world *w)
{
    sim_env_post(w->e[A], do_dial, w);
    run_for(w, 5000);
}

static void send_hello(void *data)
{
    struct world *w = data;

    net_write(w->cl.c, "hello", 5);
}

static void block(struct world *w, int from, int to, bool blocked)
{
    sim_link(w->s, from, to)->blocked = blocked;
    sim_link_healed(w->s, from, to);
}

static void assert_got(const struct side *sd, const char *text)
{
    assert_int_equal(sd->got.n, strlen(text));
    assert_memory_equal(sd->got.p, text, strlen(text));
}

/* Bytes arrive whole and in order, both ways, and EOF comes after them. */
static void bytes_go_both_ways(void **state)
{
    struct world *w = *state;

    w->sv.echo = true;
    dial(w);
    assert_true(w->cl.opened);
    sim_env_post(w->e[A], send_hello, w);
    run_for(w, 5000);
    assert_got(&w->sv, "hello");
    assert_got(&w->cl, "hello");
    net_close(w->cl.c);
    run_for(w, 5000);
    assert_int_equal(w->sv.closed, 1);
    assert_int_equal(w->sv.code, 0);
    assert_int_equal(w->cl.closed, 0);
}

/* A live host refuses at once where nobody listens. */
static void nobody_listens(void **state)
{
    struct world *w = *state;

    w->to = "10.0.0.2:71";
    dial(w);
    assert_int_equal(w->cl.closed, 1);
    assert_int_equal(w->cl.code, HF_EIO);
    assert_false(w->cl.opened);
}

/* Without power nobody answers: the caller gives up after its timeout. */
static void no_answer_times_out(void **state)
{
    struct world *w = *state;

    sim_env_kill(w->e[B], SIM_POWER_CUT);
    sim_host_power(w->s, B, false);
    dial(w);
    assert_int_equal(w->cl.closed, 0);
    run_for(w, NET_CONNECT_TIMEOUT_MS * 1000);
    assert_int_equal(w->cl.closed, 1);
    assert_int_equal(w->cl.code, HF_ETIMEOUT);
}

/* A one-way cut holds the bytes back; they come after it heals. */
static void cut_holds_bytes(void **state)
{
    struct world *w = *state;

    dial(w);
    block(w, A, B, true);
    sim_env_post(w->e[A], send_hello, w);
    run_for(w, 3000000);
    assert_int_equal(w->sv.got.n, 0);
    assert_int_equal(w->cl.closed, 0);
    block(w, A, B, false);
    run_for(w, SIM_RTO_TOP_US + 1000);
    assert_got(&w->sv, "hello");
}

/* A kernel accepts and acknowledges for a stopped process, which finds it
 * all when it goes on. */
static void pause_holds_the_process(void **state)
{
    struct world *w = *state;

    sim_host_pause(w->s, B, true);
    dial(w);
    assert_true(w->cl.opened);
    sim_env_post(w->e[A], send_hello, w);
    run_for(w, 100000);
    assert_int_equal(w->accepts, 0);
    assert_int_equal(net_pending(w->cl.c), 0);
    sim_host_pause(w->s, B, false);
    run_for(w, 1000);
    assert_int_equal(w->accepts, 1);
    assert_got(&w->sv, "hello");
}

/* A killed process's kernel closes its connections. */
static void kill_closes(void **state)
{
    struct world *w = *state;

    dial(w);
    sim_env_kill(w->e[B], SIM_KILLED);
    run_for(w, 5000);
    assert_int_equal(w->cl.closed, 1);
    assert_int_equal(w->sv.closed, 0);
}

/* After a power cut the other end knows nothing until it sends to the
 * machine that came back. */
static void power_cut_leaves_half_open(void **state)
{
    struct world *w = *state;

    dial(w);
    sim_env_kill(w->e[B], SIM_POWER_CUT);
    sim_host_power(w->s, B, false);
    run_for(w, 10000000);
    assert_int_equal(w->cl.closed, 0);
    sim_host_power(w->s, B, true);
    sim_env_post(w->e[A], send_hello, w);
    run_for(w, 5000);
    assert_int_equal(w->cl.closed, 1);
    assert_int_equal(w->cl.code, HF_EIO);
}

static void write_much(void *data)
{
    struct world *w = data;
    static uint8_t block_of[1 << 20];

    net_write(w->cl.c, block_of, sizeof block_of);
}

/* A reader that does not read holds the writer at the size of the socket
 * buffers; on_drain says when there is room. */
static void backpressure(void **state)
{
    struct world *w = *state;

    dial(w);
    net_read_pause(w->sv.c, true);
    sim_env_post(w->e[A], write_much, w);
    run_for(w, 100000);
    assert_int_equal(net_pending(w->cl.c), (1 << 20) - SIM_SOCKBUF);
    assert_false(w->cl.drained);
    net_read_pause(w->sv.c, false);
    run_for(w, 100000);
    assert_int_equal(w->sv.got.n, 1 << 20);
    assert_int_equal(net_pending(w->cl.c), 0);
    assert_true(w->cl.drained);
}

/* ---- timers, threads ---- */

struct tick {
    struct world *w;
    struct env_timer t;
    uint64_t rang_at;
};

static void tick_cb(struct env_timer *t)
{
    struct tick *k = t->data;

    k->rang_at = env_now_us(k->w->e[A]);
}

/* A timer rings by its machine's own clock, drift included. */
static void timer_by_own_clock(void **state)
{
    struct world *w = *state;
    struct tick k = {.w = w};
    uint64_t start = sim_now_us(w->s);
    uint64_t due;

    sim_host_drift(w->s, A, 1000);
    due = env_now_us(w->e[A]) + 1000000;
    env_timer_init(&k.t, tick_cb, &k);
    env_timer_start(w->e[A], &k.t, due);
    while (k.rang_at == 0 && sim_step(w->s, start + 2000000)) {
    }
    assert_in_range(k.rang_at, due, due + 100);
    assert_in_range(sim_now_us(w->s) - start, 998000, 999200);
}

struct job {
    struct env_work w;
    struct world *world;
    int *order;
    int ran;
    int done;
};

static void job_fn(struct env_work *w)
{
    struct job *j = w->data;

    j->ran = ++*j->order;
}

static void job_done(struct env_work *w)
{
    struct job *j = w->data;

    j->done = ++*j->order;
}

/* The log thread runs one piece of work at a time, in order. */
static void log_thread_in_order(void **state)
{
    struct world *w = *state;
    struct job j[5];
    int order = 0;

    for (int i = 0; i < 5; i++) {
        j[i] = (struct job){.order = &order};
        j[i].w.fn = job_fn;
        j[i].w.done = job_done;
        j[i].w.data = &j[i];
        env_work(w->e[A], ENV_LOG, &j[i].w);
        assert_int_equal(j[i].done, 0);
    }
    run_for(w, 100000);
    for (int i = 1; i < 5; i++) {
        assert_true(j[i].ran > j[i - 1].ran);
        assert_true(j[i].done > j[i].ran);
    }
}

/* ---- a disk that counts calls ---- */

struct toy_disk {
    struct disk d;
    uint64_t cost;
    uint64_t left;
    bool dead;
    int wrote;
};

static uint64_t toy_cost(struct disk *d)
{
    struct toy_disk *t = (struct toy_disk *)d;
    uint64_t c = t->cost;

    t->cost = 0;
    return c;
}

static void toy_dies(struct disk *d, uint64_t k)
{
    ((struct toy_disk *)d)->left = k;
}

static bool toy_dead(struct disk *d)
{
    return ((struct toy_disk *)d)->dead;
}

static void toy_write(struct toy_disk *t)
{
    if (t->left == 0) {
        t->dead = true;
    } else {
        t->left--;
        t->wrote++;
        t->cost += 5000;
    }
}

static const struct sim_disk_ops toy_ops = {toy_cost, toy_dies, toy_dead};

static void job_write(struct env_work *w)
{
    struct job *j = w->data;

    for (int i = 0; i < 10; i++) {
        toy_write((struct toy_disk *)j->world->e[A]->disk);
    }
}

static int exits;

static void on_exit_cb(void *data, struct env *e, int status)
{
    (void)data;
    (void)e;
    exits += status == SIM_EXIT_DISK ? 1 : 100;
}

/* A crash can leave any part of the work in flight done; done() never
 * comes. */
static void crash_between_any_two_calls(void **state)
{
    struct world *w = *state;
    int order = 0;
    int partly = 0;

    sim_set_disk_ops(w->s, &toy_ops);
    for (int i = 0; i < 50; i++) {
        struct toy_disk t = {.left = UINT64_MAX};
        struct job j = {.order = &order, .world = w};

        w->e[A] = sim_env_new(w->s, A, &t.d, NULL, NULL);
        j.w.fn = job_write;
        j.w.done = job_done;
        j.w.data = &j;
        env_work(w->e[A], ENV_POOL, &j.w);
        sim_env_kill(w->e[A], SIM_POWER_CUT);
        run_for(w, 1000000);
        assert_int_equal(j.done, 0);
        partly += t.wrote > 0 && t.wrote < 10;
    }
    assert_in_range(partly, 5, 49);
}

/* A disk that dies under a process ends it; its on_exit says so. */
static void dead_disk_ends_the_process(void **state)
{
    struct world *w = *state;
    struct toy_disk t = {.left = 5};
    int order = 0;
    struct job j = {.order = &order, .world = w};

    exits = 0;
    sim_set_disk_ops(w->s, &toy_ops);
    w->e[A] = sim_env_new(w->s, A, &t.d, on_exit_cb, NULL);
    j.w.fn = job_write;
    j.w.done = job_done;
    j.w.data = &j;
    env_work(w->e[A], ENV_POOL, &j.w);
    run_for(w, 1000000);
    assert_int_equal(j.done, 0);
    assert_int_equal(exits, 1);
    assert_true(sim_env_dead(w->e[A]));
}

static void vote_then_send(void *data)
{
    struct world *w = data;

    toy_write((struct toy_disk *)w->e[A]->disk);
    net_write(w->cl.c, "vote", 4);
}

/* What a turn writes to the network leaves after its disk calls' time. */
static void output_waits_for_the_disk(void **state)
{
    struct world *w = *state;
    struct toy_disk t = {.left = UINT64_MAX};

    dial(w);
    sim_set_disk_ops(w->s, &toy_ops);
    w->e[A]->disk = &t.d;
    sim_env_post(w->e[A], vote_then_send, w);
    run_for(w, 4900);
    assert_int_equal(w->sv.got.n, 0);
    run_for(w, 500);
    assert_got(&w->sv, "vote");
}

static uint64_t run_traced(uint64_t seed)
{
    struct world w = {0};
    uint64_t trace;

    w.s = sim_new(seed);
    sim_host(w.s, "10.0.0.1");
    sim_host(w.s, "10.0.0.2");
    w.e[A] = sim_env_new(w.s, A, NULL, NULL, NULL);
    w.e[B] = sim_env_new(w.s, B, NULL, NULL, NULL);
    w.to = "10.0.0.2:70";
    w.sv.echo = true;
    sim_env_post(w.e[B], do_listen, &w);
    sim_link(w.s, A, B)->loss_permille = 100;
    sim_link(w.s, A, B)->split_permille = 900;
    run_for(&w, 1000);
    dial(&w);
    sim_env_post(w.e[A], send_hello, &w);
    run_for(&w, 3000000);
    trace = sim_trace(w.s);
    sim_free(w.s);
    buf_release(&w.cl.got);
    buf_release(&w.sv.got);
    return trace;
}

/* One seed, one run; another seed, another. */
static void same_seed_same_trace(void **state)
{
    (void)state;
    assert_true(run_traced(3) == run_traced(3));
    assert_false(run_traced(3) == run_traced(4));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(bytes_go_both_ways),          T(nobody_listens),
        T(no_answer_times_out),         T(cut_holds_bytes),
        T(pause_holds_the_process),     T(kill_closes),
        T(power_cut_leaves_half_open),  T(backpressure),
        T(timer_by_own_clock),          T(log_thread_in_order),
        T(crash_between_any_two_calls), T(dead_disk_ends_the_process),
        T(output_waits_for_the_disk),   T(same_seed_same_trace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
