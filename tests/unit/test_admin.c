/* What a node says of itself, from plain views of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/env.h"
#include "base/err.h"
#include "resp/resp.h"
#include "server/command/admin.h"
#include "server/command/command.h"

/* Three members; node 2 is asked, node 1 leads, all are alive. */
struct fixture {
    struct member_view members[3];
    struct node_view v;
    struct buf reply;
    char text[8192];
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    for (unsigned i = 0; i < 3; i++) {
        struct member_view *m = &f->members[i];

        m->id = i + 1;
        m->alive = true;
        m->voter = true;
        m->self = i == 1;
        m->seat = i + 1;
        snprintf(m->address, LIM_ADDR, "10.0.0.%u:7379", i + 1);
        snprintf(m->cluster_address, LIM_ADDR, "10.0.0.%u:8379", i + 1);
        snprintf(m->peer_address, LIM_ADDR, "10.0.0.%u:17379", i + 1);
    }
    f->v.cluster_id[0] = 0xC1;
    f->v.node_id = 2;
    f->v.version = "0.1.0";
    f->v.role = NODE_FOLLOWER;
    f->v.leader_id = 1;
    f->v.term = 7;
    f->v.applied_index = 41;
    f->v.commit_index = 42;
    f->v.init = true;
    f->v.tolerates_loss = 1;
    f->v.cluster_ms = 1234567;
    f->v.cluster_us = 89;
    f->v.members = f->members;
    f->v.n_members = 3;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    buf_release(&f->reply);
    free(f);
    return 0;
}

static struct blob *encode(const char *line)
{
    static char words[256];
    struct bytes argv[16];
    struct buf error = BUF_INIT;
    const struct command *c;
    char *rest = words;
    int argc = 0;

    snprintf(words, sizeof words, "%s", line);
    for (char *w; (w = strtok_r(rest, " ", &rest)) != NULL;) {
        argv[argc++] = bytes_str(w);
    }
    c = command_find(argv, argc, &error);
    assert_non_null(c);
    return command_encode(c, COMMAND_CLUSTER_PORT, argv, argc);
}

/* The reply, line ends as spaces; it is one whole reply. */
static const char *ask(struct fixture *f, const char *line)
{
    struct blob *b = encode(line);
    struct resp_value *v;
    size_t n = 0;

    buf_clear(&f->reply);
    admin_run(&f->v, blob_bytes(b), &f->reply);
    blob_unref(b);
    assert_int_equal(resp_parse_reply(buf_bytes(&f->reply), &v), 0);
    resp_value_free(v);
    for (size_t i = 0; i < f->reply.n && n < sizeof f->text - 1; i++) {
        if (f->reply.p[i] != '\r') {
            f->text[n++] = f->reply.p[i] == '\n' ? ' ' : (char)f->reply.p[i];
        }
    }
    f->text[n] = 0;
    return f->text;
}

static struct resp_value *tree(struct fixture *f, const char *line)
{
    struct resp_value *v;

    ask(f, line);
    assert_int_equal(resp_parse_reply(buf_bytes(&f->reply), &v), 0);
    return v;
}

/* Hosts of CLUSTER SLOTS, in order, as "host host ". */
static const char *slots(struct fixture *f)
{
    static char hosts[256];
    struct resp_value *v = tree(f, "CLUSTER SLOTS");
    size_t n = 0;

    assert_int_equal(v->n, 1);
    assert_int_equal(v->items[0].items[0].i, 0);
    assert_int_equal(v->items[0].items[1].i, 16383);
    hosts[0] = 0;
    for (size_t i = 2; i < v->items[0].n; i++) {
        const struct resp_value *node = &v->items[0].items[i];

        assert_int_equal(node->n, 4);
        assert_int_equal(node->items[1].i, 8379);
        assert_int_equal(node->items[2].str.n, 40);
        n += (size_t)snprintf(hosts + n, sizeof hosts - n, "%.*s ",
                              (int)node->items[0].str.n,
                              (const char *)node->items[0].str.p);
    }
    resp_value_free(v);
    return hosts;
}

/* The leader is the master, the others its replicas. */
static void slots_leader(void **state)
{
    assert_string_equal(slots(*state), "10.0.0.1 10.0.0.2 10.0.0.3 ");
}

/* Without a leader the node that is asked names itself. */
static void slots_leaderless(void **state)
{
    struct fixture *f = *state;

    f->v.leader_id = 0;
    f->members[0].alive = false;
    assert_string_equal(slots(f), "10.0.0.2 10.0.0.3 ");
}

/* For an election's time only: one that is cut off from the others is left by
 * the clients that ask it, and by those that ask whether all is well. */
static void slots_alone(void **state)
{
    struct fixture *f = *state;

    f->v.leader_id = 0;
    f->v.leaderless_ms = ADMIN_ALONE_MS - 1;
    assert_string_equal(slots(f), "10.0.0.2 10.0.0.1 10.0.0.3 ");
    assert_non_null(strstr(ask(f, "CLUSTER INFO"), "cluster_state:ok"));
    f->v.leaderless_ms++;
    assert_memory_equal(ask(f, "CLUSTER SLOTS"), "-CLUSTERDOWN", 12);
    assert_memory_equal(ask(f, "CLUSTER SHARDS"), "-CLUSTERDOWN", 12);
    assert_non_null(strstr(ask(f, "CLUSTER INFO"), "cluster_state:fail"));
    f->v.leader_id = 1; /* it was heard of this moment */
    assert_string_equal(slots(f), "10.0.0.1 10.0.0.2 10.0.0.3 ");
}

/* Dead members are left out. */
static void slots_dead(void **state)
{
    struct fixture *f = *state;

    f->members[2].alive = false;
    assert_string_equal(slots(f), "10.0.0.1 10.0.0.2 ");
}

/* A blank node has nothing to name, and says so instead of an empty list. */
static void slots_blank(void **state)
{
    struct fixture *f = *state;

    f->v.n_members = 0;
    f->v.node_id = 0;
    assert_string_equal(ask(f, "CLUSTER SLOTS"),
                        "-CLUSTERDOWN this node is in no cluster yet; run "
                        "`kv init` ");
}

/* A member that starts again does not say that it is in no cluster. The word
 * stays: clients go to another node for it. */
static void slots_starting(void **state)
{
    struct fixture *f = *state;

    f->v.n_members = 0;
    f->v.loading = true;
    assert_string_equal(ask(f, "CLUSTER SLOTS"),
                        "-CLUSTERDOWN this node is reading its data "
                        "directory ");
    f->v.loading = false;
    assert_string_equal(ask(f, "CLUSTER NODES"),
                        "-CLUSTERDOWN this node has not met its cluster "
                        "yet ");
}

/* SHARDS, NODES, ROLE and INFO tell the same story as SLOTS. */
static void same_master(void **state)
{
    struct fixture *f = *state;
    const char *text;

    for (int leader = 0; leader <= 3; leader++) {
        int master = leader == 0 ? 2 : leader;
        char want[64];

        f->v.leader_id = (uint64_t)leader;
        text = ask(f, "CLUSTER NODES");
        snprintf(want, sizeof want, "10.0.0.%d:8379@17379 %smaster - ", master,
                 master == 2 ? "myself," : "");
        assert_non_null(strstr(text, want));
        assert_null(strstr(strstr(text, "master") + 1, "master"));
        assert_non_null(strstr(text, "myself,"));
        text = ask(f, "CLUSTER SHARDS");
        snprintf(want, sizeof want, "$2 ip $8 10.0.0.%d", master);
        assert_non_null(strstr(text, want));
        assert_true(strstr(text, want) < strstr(text, "$7 replica"));
        text = ask(f, "ROLE");
        assert_memory_equal(text, master == 2 ? "*3 $6 master" : "*5 $5 slave",
                            11);
        text = ask(f, "INFO replication");
        assert_non_null(
            strstr(text, master == 2 ? "role:master" : "role:slave"));
        snprintf(want, sizeof want, "10.0.0.%d ", master);
        assert_memory_equal(slots(f), want, strlen(want));
    }
}

/* The ids that clients know are different, and do not change. */
static void hex_ids(void **state)
{
    struct fixture *f = *state;
    char a[41], b[41], again[41];

    admin_member_hex(&f->v, 1, a);
    admin_member_hex(&f->v, 2, b);
    admin_member_hex(&f->v, 1, again);
    assert_string_not_equal(a, b);
    assert_string_equal(a, again);
    assert_int_equal(strspn(a, "0123456789abcdef"), 40);
    assert_non_null(strstr(ask(f, "CLUSTER MYID"), b));
}

/* STATUS names its fields as kv reads them. */
static void status(void **state)
{
    struct fixture *f = *state;
    static const char *const fields[] = {
        "cluster_id",     "node_id",    "role",         "leader_id",
        "term",           "last_index", "commit_index", "applied_index",
        "snapshot_index", "disk_bytes", "memory_bytes", "keys",
        "tolerates_loss", "message",    "members"};
    struct resp_value *v = tree(f, "STATUS");

    assert_int_equal(v->type, RESP_MAP);
    for (size_t k = 0; k < sizeof fields / sizeof fields[0]; k++) {
        size_t i = 0;

        while (i < v->n && !bytes_eq(v->items[i].str, bytes_str(fields[k]))) {
            i += 2;
        }
        assert_true(i < v->n);
    }
    resp_value_free(v);
    f->members[0].alive = false;
    f->members[2].voter = false;
    assert_non_null(strstr(ask(f, "MEMBER LIST"), "$5 state $4 down "));
    assert_non_null(strstr(f->text, "$5 state $8 follower "));
    assert_non_null(strstr(f->text, "$4 role $7 learner $5 state $7 joining"));
}

/* TIME is cluster time; CONFIG GET takes globs and several names. */
static void time_and_config(void **state)
{
    static const struct config_view config[] = {{"election-ms", "300"},
                                                {"maxclients", "10000"}};
    struct fixture *f = *state;

    assert_string_equal(ask(f, "TIME"), "*2 $4 1234 $6 567089 ");
    f->v.config = config;
    f->v.n_config = 2;
    assert_string_equal(ask(f, "CONFIG GET election*"),
                        "%1 $11 election-ms $3 300 ");
    assert_string_equal(ask(f, "CONFIG GET save appendonly"),
                        "%2 $4 save $0  $10 appendonly $3 yes ");
    assert_string_equal(ask(f, "CONFIG GET maxclients"),
                        "%1 $10 maxclients $5 10000 ");
    assert_string_equal(ask(f, "CONFIG GET none"), "%0 ");
}

/* Patterns are tried for a bounded time, many of them, too. */
static void slow_config(void **state)
{
    enum { N = 30000 };
    static const char error[] = "-ERR the pattern takes too long to match\r\n";
    struct fixture *f = *state;
    struct bytes *argv = malloc((N + 2) * sizeof *argv);
    uint8_t pattern[128];
    struct blob *b;

    memset(pattern, '!', sizeof pattern);
    memcpy(pattern, "*[", 2);
    pattern[sizeof pattern - 1] = ']';
    argv[0] = bytes_str("CONFIG");
    argv[1] = bytes_str("GET");
    for (int i = 0; i < N; i++) {
        argv[2 + i] = bytes_of(pattern, sizeof pattern);
    }
    b = command_encode(command_find(argv, N + 2, &f->reply), 0, argv, N + 2);
    admin_run(&f->v, blob_bytes(b), &f->reply);
    assert_int_equal(f->reply.n, strlen(error));
    assert_memory_equal(f->reply.p, error, strlen(error));
    blob_unref(b);
    free(argv);
}

/* INFO gives the sections asked for, in lines of Redis's form. */
static void info(void **state)
{
    struct fixture *f = *state;

    assert_non_null(strstr(ask(f, "INFO"), "# Server redis_version:"));
    assert_non_null(strstr(f->text, "# Holdfast "));
    assert_null(strstr(ask(f, "INFO cluster"), "# Server"));
    assert_non_null(strstr(f->text, "cluster_enabled:1"));
    assert_string_equal(ask(f, "INFO nothing"), "=4 txt: ");
    f->v.keys = 3;
    assert_non_null(strstr(ask(f, "INFO keyspace"), "db0:keys=3,expires=0"));
}

/* INFO has the histogram of the loop's turns, without what is empty. */
static void info_turns(void **state)
{
    struct fixture *f = *state;
    struct env_turns t = {.longest_us = 90};

    assert_null(strstr(ask(f, "INFO holdfast"), "loop_turn"));
    f->v.turns = &t;
    t.turns[3] = 5;
    t.turns[7] = 2;
    t.turns[ENV_TURN_BUCKETS - 1] = 1;
    assert_non_null(strstr(ask(f, "INFO holdfast"),
                           "loop_turns:8 loop_turn_longest_us:90 "
                           "loop_turn_us:8=5,128=2,16777216=1 "));
}

/* What the node is to do is read from the same bytes. */
static void actions(void **state)
{
    static const struct {
        const char *line;
        int rv;
        struct admin_action want;
    } cases[] = {
        {"STATUS", 0, {.verb = ADMIN_NONE, .force = false, .id = 0}},
        {"MEMBER LIST", 0, {.verb = ADMIN_NONE, .force = false, .id = 0}},
        {"INIT", 0, {.verb = ADMIN_INIT, .force = false, .id = 0}},
        {"INIT force", 0, {.verb = ADMIN_INIT, .force = true, .id = 0}},
        {"INIT what", HF_EINVAL, {.verb = ADMIN_NONE, .force = false, .id = 0}},
        {"MEMBER REMOVE 3", 0, {.verb = ADMIN_REMOVE, .force = false, .id = 3}},
        {"MEMBER REMOVE 0",
         HF_EINVAL,
         {.verb = ADMIN_NONE, .force = false, .id = 0}},
        {"MEMBER REMOVE x",
         HF_EINVAL,
         {.verb = ADMIN_NONE, .force = false, .id = 0}},
        {"MEMBER PROMOTE 4",
         0,
         {.verb = ADMIN_PROMOTE, .force = false, .id = 4}},
        {"MEMBER TRANSFER",
         0,
         {.verb = ADMIN_TRANSFER, .force = false, .id = 0}},
        {"MEMBER TRANSFER 2",
         0,
         {.verb = ADMIN_TRANSFER, .force = false, .id = 2}},
        {"CLUSTER FAILOVER", 0, {.verb = ADMIN_TAKE}},
        {"CLUSTER FAILOVER force", 0, {.verb = ADMIN_TAKE}},
        {"CLUSTER FAILOVER takeover", HF_EINVAL, {.verb = ADMIN_NONE}},
        {"CLUSTER FAILOVER what", HF_EINVAL, {.verb = ADMIN_NONE}},
        {"CLUSTER FORGET abc", 0, {.verb = ADMIN_FORGET}},
        {"SAVE", 0, {.verb = ADMIN_SAVE}},
        {"BGSAVE", 0, {.verb = ADMIN_BGSAVE}},
        {"BGSAVE schedule", 0, {.verb = ADMIN_BGSAVE}},
        {"BGSAVE what", HF_EINVAL, {.verb = ADMIN_NONE}},
        {"WAIT 2 100", 0, {.verb = ADMIN_WAIT, .count = 2, .timeout_ms = 100}},
        {"WAIT x 100", HF_EINVAL, {.verb = ADMIN_NONE}},
        {"WAIT 1 -1", HF_EINVAL, {.verb = ADMIN_NONE}},
        {"WAIT 1 x", HF_EINVAL, {.verb = ADMIN_NONE}},
        {"MEMBER TRANSFER 2 3",
         HF_EINVAL,
         {.verb = ADMIN_NONE, .force = false, .id = 0}},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct admin_action a = {.verb = ADMIN_NONE, .force = false, .id = 0};
        struct blob *b = encode(cases[i].line);

        buf_clear(&f->reply);
        assert_int_equal(admin_action(blob_bytes(b), &a, &f->reply),
                         cases[i].rv);
        assert_int_equal(f->reply.n > 0, cases[i].rv != 0);
        assert_int_equal(a.verb, cases[i].want.verb);
        assert_int_equal(a.force, cases[i].want.force);
        assert_int_equal(a.id, cases[i].want.id);
        assert_int_equal(a.count, cases[i].want.count);
        assert_int_equal(a.timeout_ms, cases[i].want.timeout_ms);
        blob_unref(b);
    }
}

/* A member that left asks for replicas: one reply, not two. */
static void replicas_gone(void **state)
{
    struct fixture *f = *state;
    char line[64] = "CLUSTER REPLICAS ";

    admin_member_hex(&f->v, 3, line + strlen(line));
    f->members[1].self = false;
    f->v.leader_id = 0;
    assert_int_equal(strncmp(ask(f, line), "-CLUSTERDOWN ", 13), 0);
    assert_int_equal(
        strncmp(ask(f, "CLUSTER REPLICAS foo"), "-ERR Unknown node foo", 21),
        0);
}

/* Addresses with brackets lose them; ports are found after the last colon. */
static void addresses(void **state)
{
    char host[LIM_ADDR];

    (void)state;
    assert_int_equal(admin_split("h.example:8379", host), 8379);
    assert_string_equal(host, "h.example");
    assert_int_equal(admin_split("[fe80::1]:1", host), 1);
    assert_string_equal(host, "fe80::1");
    assert_int_equal(admin_split("bare", host), 0);
    assert_string_equal(host, "bare");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    static const struct CMUnitTest tests[] = {
        T(slots_leader), T(slots_leaderless), T(slots_dead),    T(slots_alone),
        T(slots_blank),  T(slots_starting),   T(same_master),   T(hex_ids),
        T(status),       T(time_and_config),  T(slow_config),   T(info),
        T(info_turns),   T(actions),          T(replicas_gone), T(addresses),
    };

    return cmocka_run_group_tests_name("admin", tests, NULL, NULL);
}
