/* Publish and subscribe at one node: who gets what, in both protocols, what a
 * subscriber may still send, and every bound. */
#include "tests/unit/edge_world.h"

#include "base/mutant.h"

/* A channel's message reaches its subscribers, in the protocol of each; a
 * pattern's comes after; the reply counts both, and the other nodes hear. */
static void delivers(void **state)
{
    struct world w;
    struct wire *two, *three, *pub;

    (void)state;
    world_init(&w);
    two = dial(&w, EDGE_PLAIN);
    three = dial(&w, EDGE_PLAIN);
    pub = dial(&w, EDGE_PLAIN);
    expect(&w, two, "SUBSCRIBE a b a\r\n",
           "*3 $9 subscribe $1 a :1 *3 $9 subscribe $1 b :2 "
           "*3 $9 subscribe $1 a :2");
    (void)(send_text(three, "HELLO 3\r\n"), settle(&w), got(three));
    expect(&w, three, "PSUBSCRIBE a* ?\r\n",
           ">3 $10 psubscribe $2 a* :1 >3 $10 psubscribe $1 ? :2");
    expect(&w, pub, "PUBLISH a hi\r\nPUBLISH ab x\r\nPUBLISH zz y\r\n",
           ":3 :1 :0");
    expect_got(two, "*3 $7 message $1 a $2 hi");
    expect_got(three,
               ">4 $8 pmessage $2 a* $1 a $2 hi >4 $8 pmessage $1 ? $1 a $2 hi "
               ">4 $8 pmessage $2 a* $2 ab $1 x");
    buf_u8(&w.node->published, 0);
    assert_string_equal((char *)w.node->published.p, "0:a:hi 0:ab:x 0:zz:y ");
    world_release(&w);
}

/* What another node's client published is delivered here and told to no one
 * again; of a kind that is not known, to nobody. */
static void from_elsewhere(void **state)
{
    struct world w;
    struct wire *c;

    (void)state;
    world_init(&w);
    c = dial(&w, EDGE_PLAIN);
    expect(&w, c, "SUBSCRIBE a\r\nSSUBSCRIBE a\r\n",
           "*3 $9 subscribe $1 a :1 *3 $10 ssubscribe $1 a :1");
    w.node->hooks.on_publish(w.node->hooks.data, PUBSUB_CHANNEL, bytes_str("a"),
                             bytes_str("far"));
    w.node->hooks.on_publish(w.node->hooks.data, PUBSUB_SHARD, bytes_str("a"),
                             bytes_str("s"));
    w.node->hooks.on_publish(w.node->hooks.data, PUBSUB_PATTERN, bytes_str("a"),
                             bytes_str("no"));
    w.node->hooks.on_publish(w.node->hooks.data, 99, bytes_str("a"),
                             bytes_str("no"));
    settle(&w);
    expect_got(c, "*3 $7 message $1 a $3 far *3 $8 smessage $1 a $1 s");
    assert_int_equal(w.node->published.n, 0);
    world_release(&w);
}

/* Shard channels are a world of their own. */
static void shard(void **state)
{
    struct world w;
    struct wire *c, *pub;

    (void)state;
    world_init(&w);
    c = dial(&w, EDGE_PLAIN);
    pub = dial(&w, EDGE_PLAIN);
    expect(&w, c, "SSUBSCRIBE a\r\nPSUBSCRIBE *\r\n",
           "*3 $10 ssubscribe $1 a :1 *3 $10 psubscribe $1 * :1");
    expect(&w, pub, "SPUBLISH a hi\r\nSPUBLISH b x\r\nPUBLISH a y\r\n",
           ":1 :0 :1");
    expect_got(c, "*3 $8 smessage $1 a $2 hi *4 $8 pmessage $1 * $1 a $1 y");
    expect(&w, pub, "PUBSUB SHARDCHANNELS\r\nPUBSUB SHARDNUMSUB a b\r\n",
           "*1 $1 a *4 $1 a :1 $1 b :0");
    expect(&w, c, "SUNSUBSCRIBE\r\nSUNSUBSCRIBE\r\nSUNSUBSCRIBE q\r\n",
           "*3 $12 sunsubscribe $1 a :0 *3 $12 sunsubscribe $-1 :0 "
           "*3 $12 sunsubscribe $1 q :0");
    world_release(&w);
}

static const char *refused(const char *name)
{
    static char text[200];

    snprintf(text, sizeof text,
             "-ERR Can't execute '%s': only (P|S)SUBSCRIBE / "
             "(P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this "
             "context",
             name);
    return text;
}

/* In RESP2 a subscriber may do little else; in RESP3 everything. */
static void subscriber_mode(void **state)
{
    struct world w;
    struct wire *c;

    (void)state;
    world_init(&w);
    c = dial(&w, EDGE_PLAIN);
    expect(&w, c, "SUBSCRIBE a\r\n", "*3 $9 subscribe $1 a :1");
    expect(&w, c, "GET x\r\n", refused("get"));
    expect(&w, c, "CLIENT ID\r\n", refused("client|id"));
    expect(&w, c, "HELLO 3\r\n", refused("hello"));
    expect(&w, c, "MULTI\r\n", refused("multi"));
    expect(&w, c, "PUBLISH a b\r\n", refused("publish"));
    expect(&w, c, "NOPE\r\n",
           "-ERR unknown command 'NOPE', with args beginning with: ");
    expect(&w, c, "PING\r\nPING hi\r\n", "*2 $4 pong $0  *2 $4 pong $2 hi");
    expect(&w, c, "PING a b\r\n",
           "-ERR wrong number of arguments for 'ping' command");
    expect(&w, c, "UNSUBSCRIBE a\r\nGET x\r\nPING\r\n",
           "*3 $11 unsubscribe $1 a :0 $-1 +PONG");
    (void)(send_text(c, "HELLO 3\r\n"), settle(&w), got(c));
    expect(&w, c, "SUBSCRIBE a\r\nGET x\r\nPING\r\nPUBLISH a me\r\n",
           ">3 $9 subscribe $1 a :1 _ +PONG >3 $7 message $1 a $2 me :1");
    (void)(send_text(c, "HELLO 2\r\nGET x\r\n"), settle(&w));
    assert_non_null(strstr(got(c), refused("get")));
    world_release(&w);
}

/* What is pipelined behind SUBSCRIBE is judged as if it came later, also
 * while the SUBSCRIBE still waits for its turn. */
static void pipelined(void **state)
{
    char want[400];
    struct world w;
    struct wire *c;

    (void)state;
    world_init(&w);
    c = dial(&w, EDGE_PLAIN);
    w.node->held = true;
    expect(&w, c, "SET x 1\r\nSUBSCRIBE a\r\nGET x\r\nUNSUBSCRIBE\r\nGET x\r\n",
           "");
    unhold(&w);
    later(&w);
    snprintf(want, sizeof want,
             "+OK *3 $9 subscribe $1 a :1 %s *3 $11 unsubscribe $1 a :0 $1 1",
             refused("get"));
    expect_got(c, want);
    world_release(&w);
}

/* A message comes between replies; it never waits for one. */
static void between(void **state)
{
    struct world w;
    struct wire *c, *pub;

    (void)state;
    world_init(&w);
    c = dial(&w, EDGE_PLAIN);
    pub = dial(&w, EDGE_PLAIN);
    (void)(send_text(c, "HELLO 3\r\nSUBSCRIBE a\r\n"), settle(&w), got(c));
    w.node->held = true;
    expect(&w, c, "GET x\r\n", "");
    expect(&w, pub, "PUBLISH a 1\r\n", ":1");
    expect_got(c, ">3 $7 message $1 a $1 1");
    unhold(&w);
    expect_got(c, "_");
    world_release(&w);
}

/* Leaving: by name, all at once, by RESET, and by going. */
static void leaving(void **state)
{
    const struct edge_counters *n;
    struct world w;
    struct wire *c, *pub;

    (void)state;
    world_init(&w);
    n = edge_counters(w.edge);
    c = dial(&w, EDGE_PLAIN);
    pub = dial(&w, EDGE_PLAIN);
    expect(&w, c, "UNSUBSCRIBE\r\nPUNSUBSCRIBE x\r\n",
           "*3 $11 unsubscribe $-1 :0 *3 $12 punsubscribe $1 x :0");
    expect(&w, c, "SUBSCRIBE a b\r\nPSUBSCRIBE p\r\n",
           "*3 $9 subscribe $1 a :1 *3 $9 subscribe $1 b :2 "
           "*3 $10 psubscribe $1 p :3");
    assert_int_equal(n->pubsub_channels, 2);
    assert_int_equal(n->pubsub_patterns, 1);
    expect(&w, c, "UNSUBSCRIBE\r\n",
           "*3 $11 unsubscribe $1 a :2 *3 $11 unsubscribe $1 b :1");
    expect(&w, c, "SUBSCRIBE a\r\nRESET\r\nPING\r\n",
           "*3 $9 subscribe $1 a :2 +RESET +PONG");
    assert_int_equal(n->pubsub_channels, 0);
    assert_int_equal(n->pubsub_patterns, 0);
    expect(&w, pub, "PUBLISH a 1\r\n", ":0");
    expect(&w, c, "SUBSCRIBE a\r\n", "*3 $9 subscribe $1 a :1");
    hang_up(c);
    expect(&w, pub, "PUBLISH a 1\r\nPUBSUB CHANNELS\r\n", ":0 *0");
    world_release(&w);
}

/* PUBSUB tells of this node. */
static void questions(void **state)
{
    struct world w;
    struct wire *c, *q;

    (void)state;
    world_init(&w);
    c = dial(&w, EDGE_PLAIN);
    q = dial(&w, EDGE_PLAIN);
    expect(&w, c, "SUBSCRIBE a ab\r\nPSUBSCRIBE p\r\n",
           "*3 $9 subscribe $1 a :1 *3 $9 subscribe $2 ab :2 "
           "*3 $10 psubscribe $1 p :3");
    expect(&w, q, "PUBSUB CHANNELS\r\nPUBSUB CHANNELS a?\r\n",
           "*2 $1 a $2 ab *1 $2 ab");
    expect(&w, q, "PUBSUB NUMSUB\r\nPUBSUB NUMSUB a x\r\nPUBSUB NUMPAT\r\n",
           "*0 *4 $1 a :1 $1 x :0 :1");
    expect(&w, q, "PUBSUB\r\n",
           "-ERR wrong number of arguments for 'pubsub' command");
    expect(&w, q, "PUBSUB NUMPAT x\r\n",
           "-ERR wrong number of arguments for 'pubsub|numpat' command");
    expect(&w, q, "PUBSUB X\r\n",
           "-ERR unknown subcommand 'X'. Try PUBSUB HELP.");
    expect(&w, q, "PUBSUB CHANNELS a b\r\n",
           "-ERR unknown subcommand or wrong number of arguments for "
           "'CHANNELS'. Try PUBSUB HELP.");
    world_release(&w);
}

/* A subscriber that reads nothing is closed when too much waits for it; its
 * neighbour and the publisher notice nothing. */
static void slow(void **state)
{
    struct buf in = BUF_INIT;
    struct world w;
    struct wire *deaf, *good, *pub;
    uint8_t *mib = hf_calloc(1, 1 << 20);

    (void)state;
    world_init(&w);
    deaf = dial(&w, EDGE_PLAIN);
    good = dial(&w, EDGE_PLAIN);
    pub = dial(&w, EDGE_PLAIN);
    expect(&w, deaf, "SUBSCRIBE a\r\n", "*3 $9 subscribe $1 a :1");
    expect(&w, good, "SUBSCRIBE a\r\n", "*3 $9 subscribe $1 a :1");
    deaf->deaf = true;
    resp_request(&in,
                 (struct bytes[]){bytes_str("PUBLISH"), bytes_str("a"),
                                  bytes_of(mib, 1 << 20)},
                 3);
    for (int i = 0; i < 40; i++) {
        bytes_in(pub, in.p, in.n);
        settle(&w);
        buf_clear(&good->got);
    }
    assert_true(deaf->closed);
    assert_true(deaf->unsent.n <= CONN_PUSH_MAX + (2 << 20));
    assert_int_equal(edge_counters(w.edge)->slow_closed, 1);
    buf_clear(&pub->got);
    expect(&w, pub, "PUBLISH a 1\r\n", ":1");
    expect_got(good, "*3 $7 message $1 a $1 1");
    buf_release(&in);
    free(mib);
    world_release(&w);
}

/* Too many names at once: refused, and nothing of it is subscribed. */
static void bounded(void **state)
{
    struct buf in = BUF_INIT;
    struct world w;
    struct wire *c;

    (void)state;
    world_init(&w);
    c = dial(&w, EDGE_PLAIN);
    buf_printf(&in, "*%d\r\n$10\r\nPSUBSCRIBE\r\n", PUBSUB_PATTERNS_MAX + 2);
    for (int i = 0; i <= PUBSUB_PATTERNS_MAX; i++) {
        buf_printf(&in, "$6\r\np%05d\r\n", i);
    }
    bytes_in(c, in.p, in.n);
    settle(&w);
    expect_got(c, "-ERR too many subscriptions");
    expect(&w, c, "PUBSUB NUMPAT\r\n", ":0");
    buf_release(&in);
    world_release(&w);
}

/* One command with a name of @n bytes. */
static void say_long(struct world *w,
                     struct wire *c,
                     const char *verb,
                     size_t n,
                     const char *message)
{
    struct buf in = BUF_INIT;

    resp_array(&in, message != NULL ? 3 : 2);
    resp_bulk_str(&in, verb);
    buf_printf(&in, "$%zu\r\n", n);
    for (size_t i = 0; i < n; i++) {
        buf_u8(&in, 'a');
    }
    buf_append(&in, "\r\n", 2);
    if (message != NULL) {
        resp_bulk_str(&in, message);
    }
    bytes_in(c, in.p, in.n);
    settle(w);
    buf_release(&in);
}

/* Names are short enough to be compared with patterns on the loop. */
static void long_names(void **state)
{
    static const char error[] = "-ERR the channel or pattern is too long";
    struct world w;
    struct wire *c;

    (void)state;
    world_init(&w);
    c = dial(&w, EDGE_PLAIN);
    say_long(&w, c, "PSUBSCRIBE", PUBSUB_PATTERN_BYTES + 1, NULL);
    expect_got(c, error);
    say_long(&w, c, "SUBSCRIBE", PUBSUB_CHANNEL_BYTES + 1, NULL);
    expect_got(c, error);
    say_long(&w, c, "PUBLISH", PUBSUB_CHANNEL_BYTES + 1, "m");
    expect_got(c, error);
    say_long(&w, c, "SPUBLISH", PUBSUB_CHANNEL_BYTES + 1, "m");
    expect_got(c, error);
    say_long(&w, c, "PUBLISH", PUBSUB_CHANNEL_BYTES, "m");
    expect_got(c, ":0");
    say_long(&w, c, "PSUBSCRIBE", PUBSUB_PATTERN_BYTES, NULL);
    assert_memory_equal(got(c), "*3 $10 psubscribe", 17);
    world_release(&w);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(delivers),   cmocka_unit_test(from_elsewhere),
        cmocka_unit_test(shard),      cmocka_unit_test(subscriber_mode),
        cmocka_unit_test(pipelined),  cmocka_unit_test(between),
        cmocka_unit_test(leaving),    cmocka_unit_test(questions),
        cmocka_unit_test(slow),       cmocka_unit_test(bounded),
        cmocka_unit_test(long_names),
    };

    return cmocka_run_group_tests_name("pubsub", tests, NULL, NULL);
}
