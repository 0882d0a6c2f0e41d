/* libholdfast against nodes that fail in every way that matters. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "base/rng.h"
#include "client/hf_int.h"
#include "client/holdfast.h"
#include "tests/unit/fake_cluster.h"

struct fixture {
    struct fake fake;
    struct hf *c;
};

static int setup(void **state)
{
    struct fixture *x = hf_calloc(1, sizeof(*x));

    fake_start(&x->fake);
    assert_int_equal(hf_open(x->fake.endpoints, NULL, &x->c), HF_OK);
    *state = x;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *x = *state;

    hf_close(x->c);
    fake_stop(&x->fake);
    free(x);
    return 0;
}

/* The next command at node @node is treated like this. */
static void plan(struct fixture *x,
                 size_t node,
                 enum fake_what what,
                 const char *text)
{
    struct fake_action a = {FAKE_ON_COMMAND, what, text, false};

    fake_script(&x->fake, node, a);
}

/* All commands at all nodes are answered by @text. */
static void plan_all(struct fixture *x, const char *text)
{
    struct fake_action a = {FAKE_ON_COMMAND, FAKE_SAY, text, true};

    for (size_t i = 0; i < FAKE_NODES; i++) {
        fake_script(&x->fake, i, a);
    }
}

static int incr(struct fixture *x, uint32_t timeout_ms, int64_t *sum)
{
    return hf_incr(x->c, hf_str("n"), 1, timeout_ms, sum);
}

static int64_t now_ms(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* What is stored is read, with its revisions; what is not there is HF_NO. */
static void set_and_get(void **state)
{
    struct fixture *x = *state;
    struct hf_value v;

    assert_int_equal(hf_get(x->c, hf_str("k"), 0, &v), HF_NO);
    assert_int_equal(
        hf_set(x->c, hf_str("k"), hf_bytes("a\0\r\nb", 5), NULL, 0), HF_OK);
    assert_int_equal(hf_get(x->c, hf_str("k"), 0, &v), HF_OK);
    assert_int_equal(v.n, 5);
    assert_memory_equal(v.p, "a\0\r\nb", 6);
    assert_int_equal(v.created, 1);
    assert_int_equal(v.revision, 1);
    hf_value_release(&v);
}

/* Conditions of set are answers, not errors. */
static void set_conditions(void **state)
{
    struct fixture *x = *state;
    struct hf_set_options nx = {.if_absent = true};
    struct hf_set_options xx = {.if_present = true};
    struct hf_set_options both = {.if_absent = true, .if_present = true};

    assert_int_equal(hf_set(x->c, hf_str("k"), hf_str("v"), &xx, 0), HF_NO);
    assert_int_equal(hf_set(x->c, hf_str("k"), hf_str("v"), &nx, 0), HF_OK);
    assert_int_equal(hf_set(x->c, hf_str("k"), hf_str("v"), &nx, 0), HF_NO);
    assert_int_equal(hf_set(x->c, hf_str("k"), hf_str("v"), &both, 0),
                     HF_EARGUMENT);
    assert_int_equal(fake_applied(&x->fake), 3);
}

/* Each of the other key calls understands its reply. */
static void other_calls(void **state)
{
    struct fixture *x = *state;
    struct hf_bytes keys[] = {hf_str("k"), hf_str("none")};
    struct hf_scan s = {.match = "*", .count = 10};
    struct hf_reply *r;
    uint64_t deleted;
    int64_t ms;

    assert_int_equal(hf_ttl(x->c, keys[0], 0, &ms), HF_NO);
    assert_int_equal(hf_set(x->c, keys[0], hf_str("v"), NULL, 0), HF_OK);
    assert_int_equal(hf_ttl(x->c, keys[0], 0, &ms), HF_OK);
    assert_int_equal(ms, -1);
    assert_int_equal(hf_scan(x->c, &s, 0, &r), HF_OK);
    assert_true(s.done);
    assert_int_equal(r->n, 1);
    assert_string_equal(r->items[0].str, "k");
    hf_reply_free(r);
    assert_int_equal(hf_scan(x->c, &s, 0, &r), HF_EARGUMENT);
    assert_int_equal(hf_range(x->c, hf_str(""), hf_str(""), 5, true, 0, &r),
                     HF_OK);
    assert_int_equal(r->n, 2);
    assert_string_equal(r->items[1].str, "v");
    hf_reply_free(r);
    assert_int_equal(hf_del(x->c, keys, 2, 0, &deleted), HF_OK);
    assert_int_equal(deleted, 1);
    assert_int_equal(hf_del(x->c, keys, 2, 0, &deleted), HF_NO);
}

/* A compare-and-set counts only with the right revision. */
static void cas_by_revision(void **state)
{
    struct fixture *x = *state;
    struct hf_value v;

    assert_int_equal(hf_cas(x->c, hf_str("k"), 7, hf_str("a"), 0), HF_NO);
    assert_int_equal(hf_cas(x->c, hf_str("k"), 0, hf_str("a"), 0), HF_OK);
    assert_int_equal(hf_cas(x->c, hf_str("k"), 0, hf_str("b"), 0), HF_NO);
    assert_int_equal(hf_cas(x->c, hf_str("k"), 1, hf_str("c"), 0), HF_OK);
    assert_int_equal(hf_get(x->c, hf_str("k"), 0, &v), HF_OK);
    assert_string_equal(v.p, "c");
    hf_value_release(&v);
}

/* A write takes effect once, whatever happens to its first attempt. */
static void lost_answer_is_resolved(void **state)
{
    static const enum fake_what faults[] = {FAKE_DROP,       FAKE_APPLY_DROP,
                                            FAKE_APPLY_HALF, FAKE_APPLY_HANG,
                                            FAKE_HANG,       FAKE_LATE};
    struct fixture *x = *state;

    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        int64_t sum = 0;

        for (size_t node = 0; node < FAKE_NODES; node++) {
            x->fake.nodes[node].script_len = 0; /* none is connected */
            x->fake.nodes[node].script_next = 0;
            fake_mute(&x->fake, node, false);
            plan(x, node, node < 2 ? faults[i] : FAKE_SERVE, NULL);
        }
        assert_int_equal(incr(x, 0, &sum), HF_OK);
        assert_int_equal(sum, i + 1);
        assert_int_equal(fake_applied(&x->fake), i + 1);
        hf_close(x->c);
        assert_int_equal(hf_open(x->fake.endpoints, NULL, &x->c), HF_OK);
    }
}

/* "UNKNOWN" is asked again under the same name until it is known. */
static void unknown_is_resolved(void **state)
{
    struct fixture *x = *state;
    int64_t sum = 0;

    plan(x, 0, FAKE_APPLY_SAY, "-UNKNOWN deadline passed\r\n");
    plan(x, 1, FAKE_SAY, "-UNKNOWN deadline passed\r\n");
    assert_int_equal(incr(x, 0, &sum), HF_OK);
    assert_int_equal(sum, 1);
    assert_int_equal(fake_applied(&x->fake), 1);
}

/* What cannot be resolved within the timeout is HF_EUNKNOWN, and the next
 * write does not get its answer. */
static void unknown_for_ever(void **state)
{
    struct fixture *x = *state;
    int64_t sum = 0;

    plan(x, 0, FAKE_APPLY_DROP, NULL);
    for (int i = 0; i < 300; i++) {
        for (size_t node = 0; node < FAKE_NODES; node++) {
            plan(x, node, FAKE_SAY, "-UNKNOWN deadline passed\r\n");
        }
    }
    assert_int_equal(incr(x, 300, &sum), HF_EUNKNOWN);
    assert_int_equal(sum, 0);
    for (size_t node = 0; node < FAKE_NODES; node++) {
        pthread_mutex_lock(&x->fake.lock);
        x->fake.nodes[node].script_len = 0;
        x->fake.nodes[node].script_next = 0;
        pthread_mutex_unlock(&x->fake.lock);
    }
    assert_int_equal(incr(x, 0, &sum), HF_OK);
    assert_int_equal(sum, 2);
}

/* That a later attempt is turned away says nothing about one in doubt. */
static void refusal_after_doubt(void **state)
{
    static const char *const refusals[] = {
        "-OOM no memory\r\n",         "-NOSPACE no disk\r\n",
        "-CLUSTERDOWN no leader\r\n", "-TRYAGAIN busy\r\n",
        "-LOADING not yet\r\n",       "-NOPERM not you\r\n"};

    (void)state;
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        struct fixture *x;
        int64_t sum;

        setup((void **)&x);
        plan(x, 0, FAKE_APPLY_DROP, NULL);
        plan_all(x, refusals[i]);
        assert_int_equal(incr(x, 200, &sum), HF_EUNKNOWN);
        assert_int_equal(fake_applied(&x->fake), 1);
        teardown((void **)&x);
    }
}

/* Without an attempt in doubt the same refusals are certain. */
static void refusal_is_certain(void **state)
{
    static const struct {
        const char *text;
        int code;
    } table[] = {
        {"-OOM no memory\r\n", HF_EFULL},
        {"-NOSPACE no disk\r\n", HF_EFULL},
        {"-CLUSTERDOWN no leader\r\n", HF_ENOLEADER},
        {"-TRYAGAIN busy\r\n", HF_ENOLEADER},
        {"-LOADING not yet\r\n", HF_ENOLEADER},
        {"-NOPERM not you\r\n", HF_EREFUSED},
        {"-WRONGTYPE not so\r\n", HF_EREFUSED},
        {"-ERR syntax error\r\n", HF_EREFUSED},
        {"-UNKNOWN who knows\r\n", HF_EUNKNOWN},
        {"-NOSESSION gone\r\n", HF_ENOLEADER},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct fixture *x;
        int64_t sum;

        setup((void **)&x);
        plan_all(x, table[i].text);
        assert_int_equal(incr(x, 150, &sum), table[i].code);
        assert_int_equal(fake_applied(&x->fake), 0);
        teardown((void **)&x);
    }
}

/* A node without a leader is left for one that has one. */
static void next_node_after_clusterdown(void **state)
{
    struct fixture *x = *state;
    int64_t sum = 0;

    plan(x, 0, FAKE_SAY, "-CLUSTERDOWN no leader\r\n");
    plan(x, 1, FAKE_SAY, "-LOADING not yet\r\n");
    assert_int_equal(incr(x, 0, &sum), HF_OK);
    assert_int_equal(sum, 1);
}

/* After a write that the cluster refused, the next write is a new one: it
 * does not get the reply kept for the refused. */
static void number_after_error(void **state)
{
    struct fixture *x = *state;
    int64_t sum = 0;

    assert_int_equal(hf_set(x->c, hf_str("n"), hf_str("x"), NULL, 0), HF_OK);
    assert_int_equal(incr(x, 0, &sum), HF_EREFUSED);
    assert_non_null(strstr(hf_error(x->c), "not an integer"));
    assert_int_equal(hf_set(x->c, hf_str("n"), hf_str("5"), NULL, 0), HF_OK);
    assert_int_equal(incr(x, 0, &sum), HF_OK);
    assert_int_equal(sum, 6);
}

/* One session serves many writes. */
static void session_is_kept(void **state)
{
    struct fixture *x = *state;
    int64_t sum = 0;

    for (int i = 0; i < 50; i++) {
        assert_int_equal(incr(x, 0, &sum), HF_OK);
    }
    assert_int_equal(sum, 50);
    assert_int_equal(fake_sessions(&x->fake), 1);
}

/* An expired session is replaced when nothing is in doubt. */
static void session_expired_when_idle(void **state)
{
    struct fixture *x = *state;
    int64_t sum = 0;

    assert_int_equal(incr(x, 0, &sum), HF_OK);
    fake_expire_sessions(&x->fake);
    assert_int_equal(incr(x, 0, &sum), HF_OK);
    assert_int_equal(sum, 2);
    assert_int_equal(fake_sessions(&x->fake), 2);
}

/* A session that expired while a write is in doubt leaves it in doubt; it is
 * not done a second time under another name. */
static void session_expired_in_doubt(void **state)
{
    struct fixture *x = *state;
    int64_t sum = 0;

    plan(x, 0, FAKE_APPLY_DROP, NULL);
    plan(x, 1, FAKE_SAY, "-NOSESSION expired\r\n");
    assert_int_equal(incr(x, 0, &sum), HF_EUNKNOWN);
    assert_int_equal(fake_applied(&x->fake), 1);
    assert_int_equal(incr(x, 0, &sum), HF_OK);
    assert_int_equal(sum, 2);
}

/* A lost or refused ONCE OPEN is tried elsewhere. */
static void session_open_fails(void **state)
{
    struct fixture *x = *state;
    struct fake_action drop = {FAKE_ON_OPEN, FAKE_APPLY_DROP, NULL, false};
    struct fake_action down = {FAKE_ON_OPEN, FAKE_SAY,
                               "-CLUSTERDOWN no leader\r\n", false};
    int64_t sum = 0;

    fake_script(&x->fake, 0, drop);
    fake_script(&x->fake, 1, down);
    assert_int_equal(incr(x, 0, &sum), HF_OK);
    assert_int_equal(sum, 1);
}

/* An unnamed command is never sent again once a node may have it. */
static void unnamed_is_sent_once(void **state)
{
    struct fixture *x = *state;
    struct hf_bytes argv[] = {hf_str("INCRBY"), hf_str("n"), hf_str("1")};
    struct hf_reply *r;

    plan(x, 0, FAKE_APPLY_DROP, NULL);
    assert_int_equal(hf_call(x->c, HF_CALL_ONCE, argv, 3, 0, &r), HF_EUNKNOWN);
    assert_null(r);
    assert_int_equal(fake_applied(&x->fake), 1);
    plan(x, 1, FAKE_SAY, "-UNKNOWN who knows\r\n");
    assert_int_equal(hf_call(x->c, HF_CALL_ONCE, argv, 3, 0, &r), HF_EUNKNOWN);
    assert_int_equal(fake_applied(&x->fake), 1);
}

/* A read goes on to the next node, without end until one answers. */
static void read_is_repeated(void **state)
{
    struct fixture *x = *state;
    struct hf_value v;

    assert_int_equal(hf_set(x->c, hf_str("k"), hf_str("v"), NULL, 0), HF_OK);
    plan(x, 0, FAKE_DROP, NULL);
    plan(x, 1, FAKE_SAY, "this is not the protocol\r\n");
    plan(x, 2, FAKE_SAY, "-LOADING not yet\r\n");
    assert_int_equal(hf_get(x->c, hf_str("k"), 0, &v), HF_OK);
    hf_value_release(&v);
}

/* Dead and silent nodes cost at most a connect timeout each. */
static void dead_and_silent_nodes(void **state)
{
    struct fixture *x = *state;
    struct fake_action silent = {FAKE_ON_HELLO, FAKE_HANG, NULL, true};
    int64_t start = now_ms();
    char endpoints[128];
    struct hf *c;

    fake_script(&x->fake, 0, silent);
    snprintf(endpoints, sizeof(endpoints),
             "127.0.0.1:1,127.0.0.1:%u,127.0.0.1:%u", x->fake.nodes[0].port,
             x->fake.nodes[1].port);
    assert_int_equal(hf_open(endpoints, NULL, &c), HF_OK);
    assert_int_equal(hf_set(c, hf_str("k"), hf_str("v"), NULL, 0), HF_OK);
    assert_in_range(now_ms() - start, HF_CONNECT_TIMEOUT - 50,
                    HF_CONNECT_TIMEOUT + 400);
    hf_close(c);
}

/* With a password each connection begins with it; when every node refuses it
 * that is the answer, at once and not at the timeout. */
static void refused_password(void **state)
{
    struct fixture *x = *state;
    struct hf_options opt = {.user = "u", .password = "wrong"};
    struct fake_action wrong = {FAKE_ON_HELLO, FAKE_SAY,
                                "-WRONGPASS invalid\r\n", true};
    int64_t start = now_ms();
    struct hf *c;

    for (size_t i = 1; i < FAKE_NODES; i++) {
        fake_script(&x->fake, i, wrong);
    }
    assert_int_equal(hf_open(x->fake.endpoints, &opt, &c), HF_OK);
    assert_int_equal(hf_set(c, hf_str("k"), hf_str("v"), NULL, 0), HF_OK);
    hf_close(c);
    fake_script(&x->fake, 0, wrong);
    assert_int_equal(hf_open(x->fake.endpoints, &opt, &c), HF_OK);
    assert_int_equal(hf_set(c, hf_str("k"), hf_str("v"), NULL, 0), HF_EREFUSED);
    assert_non_null(strstr(hf_error(c), "WRONGPASS"));
    assert_in_range(now_ms() - start, 0, HF_TIMEOUT_DEFAULT / 2);
    hf_close(c);
}

/* A node that was silent is not dialled again while others are good, though
 * they send the client on at each call. */
static void silent_node_is_skipped(void **state)
{
    struct fixture *x = *state;
    struct hf_node_info info[HF_ENDPOINTS_MAX];
    int64_t start;
    int64_t sum;

    fake_mute(&x->fake, 0, true);
    assert_int_equal(incr(x, 0, &sum), HF_OK);
    assert_int_equal(hf_nodes(x->c, info, HF_ENDPOINTS_MAX), FAKE_NODES);
    assert_int_equal(info[0].state, HF_NODE_SKIPPED);
    assert_int_equal(info[0].failures, 1);
    assert_in_range(info[0].skipped_ms, 1, HF_SKIP_FIRST_MS);
    assert_int_equal(info[1].state, HF_NODE_GOOD);
    x->c->nodes.list[0].until_ms += 60000; /* this machine may be slow */
    start = now_ms();
    for (int i = 0; i < 6; i++) {
        plan(x, x->c->node, FAKE_DROP, NULL);
        assert_int_equal(incr(x, 0, &sum), HF_OK);
        assert_int_equal(sum, i + 2);
    }
    assert_in_range(now_ms() - start, 0, HF_CONNECT_TIMEOUT - 100);
}

/* The states of one node: skipped at once when silent, ever longer; after
 * three refusals in a row; good again with one answer; and if all are bad,
 * the one that is due first. */
static void breaker_states(void **state)
{
    struct nodes s;

    (void)state;
    assert_int_equal(nodes_parse(&s, "a,b,c:1"), HF_OK);
    for (int64_t at = 0, skip = HF_SKIP_FIRST_MS; skip < HF_SKIP_MAX_MS;
         skip *= 2) {
        s.next = 0;
        assert_int_equal(nodes_pick(&s, at), 0);
        nodes_luck(&s, 0, NODE_FAILED, at);
        s.next = 0;
        assert_int_equal(nodes_pick(&s, at + skip - 1), 1);
        at += skip;
    }
    nodes_luck(&s, 0, NODE_ANSWERED, 0);
    for (int i = 0; i < NODES_SOFT_MAX; i++) {
        s.next = 0;
        assert_int_equal(nodes_pick(&s, 0), 0);
        nodes_luck(&s, 0, NODE_TURNED_AWAY, 0);
    }
    s.next = 0;
    assert_int_equal(nodes_pick(&s, 1), 1);
    nodes_luck(&s, 1, NODE_FAILED, 5);
    nodes_luck(&s, 2, NODE_FAILED, 3);
    s.next = 1;
    assert_int_equal(nodes_pick(&s, 6), 0);
    assert_int_equal(s.list[0].state, HF_NODE_TRIED);
    /* While it is tried, nobody else takes it. */
    s.next = 0;
    assert_int_equal(nodes_pick(&s, HF_SKIP_FIRST_MS + 4), 2);
    nodes_luck(&s, 7, NODE_FAILED, 0);
}

/* A node that lives is waited for: its own word is certain. */
static void living_node_is_waited_for(void **state)
{
    static const int64_t leaders[] = {1, 0};
    struct fixture *x = *state;
    int64_t sum;

    for (int i = 0; i < 2; i++) {
        int64_t start = now_ms();

        fake_leader(&x->fake, leaders[i]);
        hf_close(x->c);
        assert_int_equal(hf_open(x->fake.endpoints, NULL, &x->c), HF_OK);
        plan(x, 0, FAKE_STALL, NULL);
        /* Only node 0 gets it: the others would have answered. */
        assert_int_equal(incr(x, HF_SILENCE_TIMEOUT + 500, &sum), HF_EUNKNOWN);
        assert_int_equal(fake_applied(&x->fake), 0);
        assert_in_range(now_ms() - start, HF_SILENCE_TIMEOUT + 400,
                        HF_SILENCE_TIMEOUT + 1000);
    }
}

/* A node that turned a write away for want of a leader is followed by one
 * that says it knows one: what was certain does not turn into a doubt. */
static void certain_stays_certain(void **state)
{
    struct fixture *x = *state;
    int64_t sum;

    fake_leader(&x->fake, 0);
    plan(x, 0, FAKE_SAY, "-CLUSTERDOWN no leader\r\n");
    plan(x, 1, FAKE_STALL, NULL);
    plan(x, 2, FAKE_STALL, NULL);
    assert_int_equal(incr(x, 300, &sum), HF_ENOLEADER);
    assert_non_null(strstr(hf_error(x->c), "leader"));
    fake_leader(&x->fake, 1);
    hf_close(x->c);
    assert_int_equal(hf_open(x->fake.endpoints, NULL, &x->c), HF_OK);
    assert_int_equal(incr(x, 300, &sum), HF_OK);
    assert_int_equal(sum, 1);
}

/* Without any node the call ends at its timeout, certainly not done. */
static void no_node_at_all(void **state)
{
    int64_t start = now_ms();
    struct hf *c;

    (void)state;
    assert_int_equal(hf_open("127.0.0.1:1", NULL, &c), HF_OK);
    assert_int_equal(hf_set(c, hf_str("k"), hf_str("v"), NULL, 250),
                     HF_ENOLEADER);
    assert_in_range(now_ms() - start, 240, 700);
    assert_non_null(strstr(hf_error(c), "refused"));
    hf_close(c);
}

/* MOVED leads to the node that it names. */
static void moved_is_followed(void **state)
{
    struct fixture *x = *state;
    char text[64];
    char endpoints[64];
    int64_t sum = 0;
    struct hf *c;

    snprintf(text, sizeof(text), "-MOVED 0 127.0.0.1:%u\r\n",
             x->fake.nodes[2].port);
    snprintf(endpoints, sizeof(endpoints), "127.0.0.1:%u",
             x->fake.nodes[0].port);
    plan(x, 0, FAKE_SAY, text);
    assert_int_equal(hf_open(endpoints, NULL, &c), HF_OK);
    assert_int_equal(hf_incr(c, hf_str("n"), 1, 0, &sum), HF_OK);
    assert_int_equal(sum, 1);
    snprintf(text, sizeof(text), "127.0.0.1:%u", x->fake.nodes[2].port);
    assert_string_equal(hf_node(c), text);
    hf_close(c);
}

/* A node that is too far behind is left for another; if all are, the read
 * says so at once. */
static void stale_nodes(void **state)
{
    struct fixture *x = *state;
    struct hf_value v;

    assert_int_equal(hf_set(x->c, hf_str("k"), hf_str("v"), NULL, 0), HF_OK);
    plan(x, 0, FAKE_SAY, "-STALE too old\r\n");
    plan(x, 1, FAKE_SAY, "-STALE too old\r\n");
    assert_int_equal(hf_get(x->c, hf_str("k"), 0, &v), HF_OK);
    hf_value_release(&v);
    plan_all(x, "-STALE too old\r\n");
    assert_int_equal(hf_get(x->c, hf_str("k"), 0, &v), HF_ESTALE);
}

/* Endpoints of the wrong form are refused before anything is sent. */
static void endpoints_are_checked(void **state)
{
    static const char *const bad[] = {"",
                                      ",",
                                      "a:1,",
                                      ":1",
                                      "a:",
                                      "a:0",
                                      "a:65536",
                                      "a:99999",
                                      "a:1x",
                                      "a:-1",
                                      "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q"};
    static const char *const good[] = {"a", "a:1,b:65535", "[::1]", "[::1]:2"};
    struct hf *c = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(hf_open(bad[i], NULL, &c), HF_EARGUMENT);
        assert_null(c);
    }
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_int_equal(hf_open(good[i], NULL, &c), HF_OK);
        hf_close(c);
    }
}

/* Too large a request is refused without a node. */
static void too_big_is_not_sent(void **state)
{
    struct fixture *x = *state;
    char *big = hf_calloc(1, HF_REQUEST_MAX);

    assert_int_equal(
        hf_set(x->c, hf_str("k"), hf_bytes(big, HF_REQUEST_MAX), NULL, 0),
        HF_ETOOBIG);
    assert_int_equal(fake_applied(&x->fake), 0);
    free(big);
}

/* Too large for the nodes: the reason is heard though the request is not out
 * yet, and the connection, in the middle of it, is not used again. */
static void refused_half_way(void **state)
{
    struct fixture *x = *state;
    size_t n = HF_REQUEST_MAX - 64;
    char *big = hf_calloc(1, n);
    struct hf_bytes argv[] = {hf_str("SET"), hf_str("k"), hf_bytes(big, n)};
    struct hf_reply *r = NULL;

    assert_int_equal(hf_call(x->c, HF_CALL_ONCE, argv, 3, 0, &r), HF_EREFUSED);
    assert_non_null(r);
    assert_non_null(strstr(r->str, "Protocol error"));
    assert_non_null(strstr(hf_error(x->c), "Protocol error"));
    hf_reply_free(r);
    assert_string_equal(hf_node(x->c), "");
    assert_int_equal(fake_applied(&x->fake), 0);
    assert_int_equal(incr(x, 0, NULL), HF_OK);
    free(big);
}

/* Under any mix of faults, the nth increment that is counted gives n. */
static void random_faults(void **state)
{
    static const enum fake_what faults[] = {FAKE_SERVE,      FAKE_DROP,
                                            FAKE_APPLY_DROP, FAKE_APPLY_HALF,
                                            FAKE_LATE,       FAKE_APPLY_SAY};
    struct fixture *x = *state;
    struct rng r = {1};

    for (size_t i = 0; i < 450; i++) {
        size_t f = rng_below(&r, sizeof(faults) / sizeof(faults[0]));

        plan(x, i % FAKE_NODES, faults[f], "-UNKNOWN who knows\r\n");
    }
    for (int64_t i = 1; i <= 150; i++) {
        int64_t sum = 0;

        assert_int_equal(incr(x, 20000, &sum), HF_OK);
        assert_int_equal(sum, i);
    }
    assert_int_equal(fake_applied(&x->fake), 150);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* ---- following changes ---- */

struct followed {
    char ids[256];
    int quiet; /* calls without a change */
    int left;
};

static bool follow(void *ctx, const struct hf_change *c)
{
    struct followed *f = ctx;

    if (c == NULL) {
        f->quiet++;
        return true;
    }
    snprintf(f->ids + strlen(f->ids), sizeof f->ids - strlen(f->ids),
             "%s%s:%d:%.*s=%.*s", f->ids[0] != '\0' ? " " : "", c->id,
             (int)c->type, (int)c->key.n, (const char *)c->key.p,
             (int)c->value.n, (const char *)c->value.p);
    return --f->left > 0;
}

#define ENTRY_SET(id, key)                               \
    "*2\r\n$3\r\n" id                                    \
    "\r\n*8\r\n$4\r\ntype\r\n$3\r\nset\r\n$3\r\nkey\r\n" \
    "$1\r\n" key "\r\n$5\r\nvalue\r\n$1\r\n1\r\n$8\r\nrevision\r\n$1\r\n5\r\n"
#define STREAM(n) "%1\r\n$11\r\n__changes__\r\n*" n "\r\n"

/* A watch begins where the history ends, and goes on at another node when
 * its own is lost or has nothing to say. */
static void watch_goes_on(void **state)
{
    struct fixture *x = *state;
    struct followed f = {.left = 3};

    plan(x, 0, FAKE_SAY, "%1\r\n$17\r\nlast-generated-id\r\n$3\r\n4-0\r\n");
    plan(x, 0, FAKE_SAY, "_\r\n");
    plan(x, 0, FAKE_SAY,
         STREAM("2") ENTRY_SET("5-0", "a") ENTRY_SET("5-1", "b"));
    plan(x, 0, FAKE_DROP, NULL);
    plan(x, 1, FAKE_SAY, "-CLUSTERDOWN no leader\r\n");
    plan(x, 2, FAKE_SAY, STREAM("1") ENTRY_SET("6-0", "c"));
    assert_int_equal(hf_watch(x->c, hf_str(""), NULL, 0, follow, &f), HF_OK);
    assert_string_equal(f.ids, "5-0:1:a=1 5-1:1:b=1 6-0:1:c=1");
    assert_int_equal(f.quiet, 1);
}

/* That changes were missed is a result of its own, and names where to go
 * on. */
static void watch_is_told_of_a_gap(void **state)
{
    struct fixture *x = *state;
    struct followed f = {.left = 3};

    plan_all(x,
             "-TRIMMED the changes up to 7-0 are no longer kept: read the "
             "keys, then go on from 9-0\r\n");
    assert_int_equal(hf_watch(x->c, hf_str("p"), "1", 0, follow, &f),
                     HF_ETRIMMED);
    assert_non_null(strstr(hf_error(x->c), "go on from 9-0"));
    assert_int_equal(f.left, 3);
}

/* A change that was seen is not given again, whatever a node says. */
static void watch_goes_not_back(void **state)
{
    struct fixture *x = *state;
    struct followed f = {.left = 9};

    plan(x, 0, FAKE_SAY, STREAM("1") ENTRY_SET("5-1", "a"));
    plan(x, 0, FAKE_SAY, STREAM("1") ENTRY_SET("5-1", "a"));
    plan(x, 0, FAKE_SAY, STREAM("1") ENTRY_SET("4-7", "a"));
    assert_int_equal(hf_watch(x->c, hf_str(""), "5-0", 0, follow, &f),
                     HF_EPROTOCOL);
    assert_string_equal(f.ids, "5-1:1:a=1");
}

/* What is no position is refused before anything is sent. */
static void watch_refuses_positions(void **state)
{
    static const char *const bad[] = {"", "x", "-1", "5-", "5-x", "5x", " 5"};
    struct fixture *x = *state;
    struct followed f = {.left = 1};

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(hf_watch(x->c, hf_str(""), bad[i], 0, follow, &f),
                         HF_EARGUMENT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(set_and_get),
        T(set_conditions),
        T(watch_goes_on),
        T(watch_is_told_of_a_gap),
        T(watch_goes_not_back),
        T(watch_refuses_positions),
        T(other_calls),
        T(cas_by_revision),
        T(lost_answer_is_resolved),
        T(unknown_is_resolved),
        T(unknown_for_ever),
        cmocka_unit_test(refusal_after_doubt),
        cmocka_unit_test(refusal_is_certain),
        T(next_node_after_clusterdown),
        T(number_after_error),
        T(session_is_kept),
        T(session_expired_when_idle),
        T(session_expired_in_doubt),
        T(session_open_fails),
        T(unnamed_is_sent_once),
        T(read_is_repeated),
        T(dead_and_silent_nodes),
        T(refused_password),
        T(silent_node_is_skipped),
        cmocka_unit_test(breaker_states),
        T(living_node_is_waited_for),
        T(certain_stays_certain),
        cmocka_unit_test(no_node_at_all),
        T(moved_is_followed),
        T(stale_nodes),
        cmocka_unit_test(endpoints_are_checked),
        T(too_big_is_not_sent),
        T(refused_half_way),
        T(random_faults),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
