/* libholdfast_uv against nodes that fail in every way that matters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rng.h"
#include "client/holdfast_uv.h"
#include "tests/unit/fake_cluster.h"

enum { RESULTS_MAX = 2048 };

struct fixture {
    struct fake fake;
    uv_loop_t loop;
    struct hf_uv *h;
    int codes[RESULTS_MAX]; /* in the order of the ends */
    int64_t sums[RESULTS_MAX];
    size_t n;
    char error[256];
    bool closed;
    size_t more; /* calls that callbacks are to make */
};

static void on_closed(void *data)
{
    ((struct fixture *)data)->closed = true;
}

static void open_handle(struct fixture *x, const struct hf_uv_options *opt)
{
    assert_int_equal(hf_uv_open(&x->loop, x->fake.endpoints, opt, &x->h),
                     HF_OK);
}

static void close_handle(struct fixture *x)
{
    x->closed = false;
    hf_uv_close(x->h, on_closed, x);
    assert_false(x->closed);
    (void)uv_run(&x->loop, UV_RUN_DEFAULT);
    assert_true(x->closed);
}

static int setup(void **state)
{
    struct fixture *x = hf_calloc(1, sizeof(*x));

    fake_start(&x->fake);
    assert_int_equal(uv_loop_init(&x->loop), 0);
    open_handle(x, NULL);
    *state = x;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *x = *state;

    close_handle(x);
    assert_int_equal(uv_loop_close(&x->loop), 0);
    fake_stop(&x->fake);
    free(x);
    return 0;
}

static void plan(struct fixture *x,
                 size_t node,
                 enum fake_what what,
                 const char *text)
{
    struct fake_action a = {FAKE_ON_COMMAND, what, text, false};

    fake_script(&x->fake, node, a);
}

static void plan_all(struct fixture *x, const char *text)
{
    struct fake_action a = {FAKE_ON_COMMAND, FAKE_SAY, text, true};

    for (size_t i = 0; i < FAKE_NODES; i++) {
        fake_script(&x->fake, i, a);
    }
}

static void incr(struct fixture *x, uint32_t timeout_ms);

static void on_end(void *data,
                   int code,
                   const struct hf_reply *reply,
                   const char *error)
{
    struct fixture *x = data;

    assert_true(x->n < RESULTS_MAX);
    x->codes[x->n] = code;
    x->sums[x->n] = reply != NULL ? reply->integer : 0;
    x->n++;
    snprintf(x->error, sizeof(x->error), "%s", error);
    if (x->more > 0) {
        x->more--;
        incr(x, 20000);
    }
}

static void incr(struct fixture *x, uint32_t timeout_ms)
{
    assert_int_equal(hf_uv_incr(x->h, hf_str("n"), 1, timeout_ms, on_end, x),
                     HF_OK);
}

/* Until all calls have ended: an idle handle does not keep the loop. */
static void run(struct fixture *x)
{
    (void)uv_run(&x->loop, UV_RUN_DEFAULT);
    assert_int_equal(hf_uv_pending(x->h), 0);
}

static int one(struct fixture *x, uint32_t timeout_ms)
{
    x->n = 0;
    incr(x, timeout_ms);
    assert_int_equal(x->n, 0); /* never from within */
    run(x);
    assert_int_equal(x->n, 1);
    return x->codes[0];
}

static uint64_t now_ms(void)
{
    return uv_hrtime() / 1000000;
}

/* Each of the short calls understands its reply. */
static void short_calls(void **state)
{
    static const int expected[] = {HF_NO, HF_OK, HF_OK, HF_OK, HF_NO};
    struct fixture *x = *state;
    struct hf_bytes none = hf_str("none");
    struct hf_bytes n = hf_str("n");

    for (int i = 0; i < 5; i++) {
        int rv = i == 0   ? hf_uv_del(x->h, none, 0, on_end, x)
                 : i == 1 ? hf_uv_set(x->h, n, hf_str("5"), 0, 0, on_end, x)
                 : i == 2 ? hf_uv_incr(x->h, n, -2, 0, on_end, x)
                 : i == 3 ? hf_uv_del(x->h, n, 0, on_end, x)
                          : hf_uv_get(x->h, none, 0, on_end, x);

        assert_int_equal(rv, HF_OK);
        run(x);
        assert_int_equal(x->codes[i], expected[i]);
    }
    assert_int_equal(x->sums[2], 3);
    assert_string_not_equal(hf_uv_node(x->h), "");
}

/* Many writes at once: each takes effect, by no more sessions than allowed. */
static void many_at_once(void **state)
{
    struct hf_uv_options opt = {.sessions_max = 8};
    struct fixture *x = *state;
    int64_t total = 0;

    close_handle(x);
    open_handle(x, &opt);
    for (int i = 0; i < 200; i++) {
        incr(x, 0);
    }
    run(x);
    assert_int_equal(x->n, 200);
    for (size_t i = 0; i < x->n; i++) {
        assert_int_equal(x->codes[i], HF_OK);
        total += x->sums[i];
    }
    assert_int_equal(total, 200 * 201 / 2);
    assert_int_equal(fake_applied(&x->fake), 200);
    assert_in_range(fake_sessions(&x->fake), 1, 8);
}

/* A write takes effect once, whatever happens to its first attempts. */
static void lost_answer_is_resolved(void **state)
{
    static const enum fake_what faults[] = {FAKE_DROP,       FAKE_APPLY_DROP,
                                            FAKE_APPLY_HALF, FAKE_APPLY_HANG,
                                            FAKE_HANG,       FAKE_LATE};
    struct fixture *x = *state;

    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        close_handle(x);
        open_handle(x, NULL);
        for (size_t node = 0; node < FAKE_NODES; node++) {
            fake_mute(&x->fake, node, false);
            plan(x, node, node < 2 ? faults[i] : FAKE_SERVE, NULL);
        }
        assert_int_equal(one(x, 20000), HF_OK);
        assert_int_equal(x->sums[0], i + 1);
        assert_int_equal(fake_applied(&x->fake), i + 1);
        for (size_t node = 0; node < FAKE_NODES; node++) {
            x->fake.nodes[node].script_len = 0;
            x->fake.nodes[node].script_next = 0;
        }
    }
}

/* 64 increments at a time under any mix of faults: none lost, none doubled. */
static void random_faults(void **state)
{
    static const enum fake_what faults[] = {FAKE_SERVE,      FAKE_DROP,
                                            FAKE_APPLY_DROP, FAKE_APPLY_HALF,
                                            FAKE_LATE,       FAKE_APPLY_SAY};
    struct fixture *x = *state;
    struct rng r = {7};
    bool seen[1025] = {false};

    for (size_t i = 0; i < 450; i++) {
        size_t f = rng_below(&r, sizeof(faults) / sizeof(faults[0]));

        plan(x, i % FAKE_NODES, faults[f], "-UNKNOWN who knows\r\n");
    }
    x->more = 1024 - 64;
    for (int i = 0; i < 64; i++) {
        incr(x, 20000);
    }
    run(x);
    assert_int_equal(x->n, 1024);
    for (size_t i = 0; i < x->n; i++) {
        assert_int_equal(x->codes[i], HF_OK);
        assert_in_range(x->sums[i], 1, 1024);
        assert_false(seen[x->sums[i]]); /* each sum once */
        seen[x->sums[i]] = true;
    }
    assert_int_equal(fake_applied(&x->fake), 1024);
}

/* Without a leader: certainly not done, and the reason is the node's. */
static void no_leader(void **state)
{
    struct fixture *x = *state;

    plan_all(x, "-CLUSTERDOWN no leader\r\n");
    assert_int_equal(one(x, 1000), HF_ENOLEADER);
    assert_non_null(strstr(x->error, "CLUSTERDOWN"));
    assert_int_equal(fake_applied(&x->fake), 0);
}

/* What was certain does not turn into a doubt at a node without a leader. */
static void certain_stays_certain(void **state)
{
    struct fixture *x = *state;

    fake_leader(&x->fake, 0);
    plan(x, 0, FAKE_SAY, "-CLUSTERDOWN no leader\r\n");
    plan(x, 1, FAKE_STALL, NULL);
    plan(x, 2, FAKE_STALL, NULL);
    assert_int_equal(one(x, 1000), HF_ENOLEADER);
    fake_leader(&x->fake, 1);
}

/* That a later attempt is turned away says nothing about one in doubt. */
static void refusal_after_doubt(void **state)
{
    struct fixture *x = *state;

    plan(x, 0, FAKE_APPLY_DROP, NULL);
    plan_all(x, "-OOM no memory\r\n");
    assert_int_equal(one(x, 500), HF_EUNKNOWN);
    assert_int_equal(fake_applied(&x->fake), 1);
}

/* A session that is gone: replaced if nothing is in doubt, else unknown. */
static void session_lost(void **state)
{
    struct fixture *x = *state;

    assert_int_equal(one(x, 0), HF_OK);
    fake_expire_sessions(&x->fake);
    assert_int_equal(one(x, 0), HF_OK);
    assert_int_equal(x->sums[0], 2);
    plan(x, 0, FAKE_APPLY_DROP, NULL);
    plan(x, 1, FAKE_SAY, "-NOSESSION no such session\r\n");
    assert_int_equal(one(x, 0), HF_EUNKNOWN);
    assert_int_equal(one(x, 0), HF_OK);
    assert_int_equal(x->sums[0], 4);
}

/* The number of a write that was refused is not used again. */
static void number_after_error(void **state)
{
    struct fixture *x = *state;

    assert_int_equal(
        hf_uv_set(x->h, hf_str("n"), hf_str("word"), 0, 0, on_end, x), HF_OK);
    run(x);
    assert_int_equal(one(x, 0), HF_EREFUSED);
    assert_int_equal(hf_uv_set(x->h, hf_str("n"), hf_str("1"), 0, 0, on_end, x),
                     HF_OK);
    run(x);
    assert_int_equal(one(x, 0), HF_OK);
    assert_int_equal(x->sums[0], 2);
}

/* An unnamed command is never sent again once a node may have it. */
static void unnamed_is_sent_once(void **state)
{
    struct fixture *x = *state;
    struct hf_bytes argv[] = {hf_str("INCRBY"), hf_str("n"), hf_str("1")};

    plan(x, 0, FAKE_APPLY_DROP, NULL);
    assert_int_equal(hf_uv_call(x->h, HF_CALL_ONCE, argv, 3, 0, on_end, x),
                     HF_OK);
    run(x);
    assert_int_equal(x->codes[0], HF_EUNKNOWN);
    assert_int_equal(fake_applied(&x->fake), 1);
}

/* A node that falls silent is left after HF_SILENCE_TIMEOUT, with all that
 * was on its link, and skipped from then on. */
static void silent_node(void **state)
{
    struct fixture *x = *state;
    struct hf_node_info info[HF_ENDPOINTS_MAX];
    uint64_t start = now_ms();

    plan(x, 0, FAKE_APPLY_HANG, NULL);
    for (int i = 0; i < 10; i++) {
        incr(x, 0);
    }
    run(x);
    for (size_t i = 0; i < 10; i++) {
        assert_int_equal(x->codes[i], HF_OK);
    }
    assert_int_equal(fake_applied(&x->fake), 10);
    assert_in_range(now_ms() - start, HF_SILENCE_TIMEOUT - 50, 3500);
    assert_int_equal(hf_uv_nodes(x->h, info, HF_ENDPOINTS_MAX), FAKE_NODES);
    assert_int_not_equal(info[0].state, HF_NODE_GOOD);
    assert_int_equal(info[1].state, HF_NODE_GOOD);
}

/* A node that lives is waited for, though it takes long. */
static void living_node_is_waited_for(void **state)
{
    struct fixture *x = *state;
    uint64_t start = now_ms();

    plan(x, 0, FAKE_STALL, NULL);
    assert_int_equal(one(x, HF_SILENCE_TIMEOUT + 500), HF_EUNKNOWN);
    assert_in_range(now_ms() - start, HF_SILENCE_TIMEOUT + 400, 4000);
    assert_int_equal(fake_applied(&x->fake), 0);
}

/* Nodes that want another password are not tried again and again. */
static void shut_out(void **state)
{
    struct fixture *x = *state;
    struct fake_action a = {FAKE_ON_HELLO, FAKE_SAY,
                            "-WRONGPASS not that one\r\n", true};
    uint64_t start = now_ms();

    for (size_t i = 0; i < FAKE_NODES; i++) {
        fake_script(&x->fake, i, a);
    }
    assert_int_equal(one(x, 0), HF_EREFUSED);
    assert_memory_equal(x->error, "WRONGPASS", 9);
    assert_in_range(now_ms() - start, 0, 2000);
}

/* Over the bound of calls: said at once, and the others are not harmed. */
static void busy(void **state)
{
    struct hf_uv_options opt = {.calls_max = 3};
    struct fixture *x = *state;

    close_handle(x);
    open_handle(x, &opt);
    for (int i = 0; i < 3; i++) {
        incr(x, 0);
    }
    assert_int_equal(hf_uv_incr(x->h, hf_str("n"), 1, 0, on_end, x), HF_EBUSY);
    run(x);
    assert_int_equal(x->n, 3);
    assert_int_equal(one(x, 0), HF_OK);
}

/* Closing ends each call under way once: unknown if a node may have it. */
static void close_under_way(void **state)
{
    struct hf_uv_options opt = {.sessions_max = 1};
    struct fixture *x = *state;

    close_handle(x);
    open_handle(x, &opt);
    plan(x, 0, FAKE_STALL, NULL);
    incr(x, 0);
    incr(x, 0);
    for (int i = 0; i < 20000 && !fake_script_done(&x->fake, 0); i++) {
        (void)uv_run(&x->loop, UV_RUN_NOWAIT);
        uv_sleep(1);
    }
    assert_int_equal(x->n, 0);
    close_handle(x);
    assert_int_equal(x->n, 2);
    assert_int_equal(x->codes[0], HF_EUNKNOWN);
    assert_int_equal(x->codes[1], HF_ENOLEADER);
    open_handle(x, NULL);
    x->n = 0;
    incr(x, 0);
    close_handle(x); /* before the first turn of the loop */
    assert_int_equal(x->codes[0], HF_ENOLEADER);
    open_handle(x, NULL);
}

static void closer(void *data,
                   int code,
                   const struct hf_reply *reply,
                   const char *error)
{
    struct fixture *x = data;

    (void)reply;
    (void)error;
    assert_int_equal(code, HF_OK);
    hf_uv_close(x->h, on_closed, x);
    hf_uv_close(x->h, NULL, NULL);
    assert_int_equal(hf_uv_incr(x->h, hf_str("n"), 1, 0, on_end, x),
                     HF_EARGUMENT);
}

/* A handle can be closed from a callback. */
static void close_from_callback(void **state)
{
    struct fixture *x = *state;

    x->closed = false;
    assert_int_equal(hf_uv_incr(x->h, hf_str("n"), 1, 0, closer, x), HF_OK);
    incr(x, 0);
    (void)uv_run(&x->loop, UV_RUN_DEFAULT);
    assert_true(x->closed);
    assert_int_equal(x->n, 1);
    open_handle(x, NULL);
}

/* Names are looked up, and nodes that are not there are passed over. */
static void dead_nodes_and_names(void **state)
{
    struct fixture *x = *state;
    char endpoints[128];

    close_handle(x);
    snprintf(endpoints, sizeof(endpoints),
             "127.0.0.1:1,no.such.host.invalid:1,localhost:%u",
             x->fake.nodes[0].port);
    assert_int_equal(hf_uv_open(&x->loop, endpoints, NULL, &x->h), HF_OK);
    assert_int_equal(one(x, 0), HF_OK);
    close_handle(x);
    assert_int_equal(hf_uv_open(&x->loop, "127.0.0.1:1", NULL, &x->h), HF_OK);
    assert_int_equal(one(x, 500), HF_ENOLEADER);
    assert_non_null(strstr(x->error, "refused"));
    assert_int_equal(hf_uv_open(&x->loop, "a:99999", NULL, &x->h),
                     HF_EARGUMENT);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(short_calls),
        T(many_at_once),
        T(lost_answer_is_resolved),
        T(random_faults),
        T(no_leader),
        T(certain_stays_certain),
        T(refusal_after_doubt),
        T(session_lost),
        T(number_after_error),
        T(unnamed_is_sent_once),
        T(silent_node),
        T(living_node_is_waited_for),
        T(shut_out),
        T(busy),
        T(close_under_way),
        T(close_from_callback),
        T(dead_nodes_and_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
