/* Client-side caching and keyspace notifications at one node: who is told of
 * what, and when, beside the replies. */
#include "server/edge/htab.h"
#include "tests/unit/edge_world.h"

#include "base/mutant.h"
#include "server/command/notify.h"

static struct wire *dial3(struct world *w)
{
    struct wire *c = dial(w, EDGE_PLAIN);

    (void)(send_text(c, "HELLO 3\r\n"), settle(w), got(c));
    return c;
}

#define INVALID(key, n) ">2 $10 invalidate *1 $" #n " " key

/* A key that was read is told when it changes, once, until it is read again;
 * one that was not read is not. */
static void told_once(void **state)
{
    struct world w;
    struct wire *c;

    (void)state;
    world_init(&w);
    c = dial3(&w);
    expect(&w, c, "CLIENT TRACKING ON\r\nGET a\r\n", "+OK _");
    elsewhere(&w, "SET a 1");
    expect_got(c, INVALID("a", 1));
    elsewhere(&w, "SET a 2");
    elsewhere(&w, "SET b 2");
    expect_got(c, "");
    expect(&w, c, "MGET a b\r\nGET a\r\n", "*2 $1 2 $1 2 $1 2");
    assert_int_equal(edge_counters(w.edge)->tracking_total_keys, 2);
    assert_int_equal(edge_counters(w.edge)->tracking_total_items, 2);
    elsewhere(&w, "DEL a b");
    expect_got(c, INVALID("a", 1) " " INVALID("b", 1));
    assert_int_equal(edge_counters(w.edge)->tracking_total_keys, 0);
    world_release(&w);
}

/* Every kind of change is told: a new deadline, its end, and FLUSHALL, which
 * is told as all keys. */
static void every_change(void **state)
{
    struct world w;
    struct wire *c;

    (void)state;
    world_init(&w);
    c = dial3(&w);
    expect(&w, c, "SET a 1\r\nCLIENT TRACKING ON\r\nGET a\r\n", "+OK +OK $1 1");
    elsewhere(&w, "PEXPIREAT a 5000");
    expect_got(c, INVALID("a", 1));
    expect(&w, c, "GET a\r\n", "$1 1");
    store_advance(machine_store(w.node->m), 6000);
    assert_int_equal(store_expire(machine_store(w.node->m), 10), 1);
    settle(&w);
    expect_got(c, INVALID("a", 1));
    elsewhere(&w, "SET b 1");
    expect(&w, c, "GET a\r\nGET b\r\n", "_ $1 1");
    elsewhere(&w, "FLUSHALL");
    expect_got(c, ">2 $10 invalidate _");
    elsewhere(&w, "SET a 2");
    expect_got(c, "");
    world_release(&w);
}

/* The own change is told before the reply to it, and with NOLOOP not at all:
 * the other connection is told all the same. */
static void own_changes(void **state)
{
    struct world w;
    struct wire *c, *d;

    (void)state;
    world_init(&w);
    c = dial3(&w);
    d = dial3(&w);
    expect(&w, c, "CLIENT TRACKING ON\r\nGET a\r\nSET a 1\r\n",
           "+OK _ " INVALID("a", 1) " +OK");
    expect(&w, c, "CLIENT TRACKING ON NOLOOP\r\nGET a\r\n", "+OK $1 1");
    expect(&w, d, "CLIENT TRACKING ON\r\nGET a\r\n", "+OK $1 1");
    expect(&w, c, "SET a 2\r\n", "+OK");
    expect_got(d, INVALID("a", 1));
    world_release(&w);
}

/* What is read inside a transaction is tracked, what is written is not. */
static void transaction(void **state)
{
    struct world w;
    struct wire *c;

    (void)state;
    world_init(&w);
    c = dial3(&w);
    expect(&w, c, "CLIENT TRACKING ON\r\nMULTI\r\nGET a\r\nSET b 1\r\nEXEC\r\n",
           "+OK +OK +QUEUED +QUEUED *2 _ +OK");
    elsewhere(&w, "SET b 2");
    expect_got(c, "");
    elsewhere(&w, "SET a 2");
    expect_got(c, INVALID("a", 1));
    /* One that reads what it then changes must not be kept. */
    expect(&w, c, "MULTI\r\nGET a\r\nSET a 3\r\nEXEC\r\n",
           "+OK +QUEUED +QUEUED *2 $1 2 +OK " INVALID("a", 1));
    /* With commands of the connection's own among them. */
    expect(&w, c, "MULTI\r\nGET a\r\nPING\r\nEXEC\r\n",
           "+OK +QUEUED +QUEUED *2 $1 3 +PONG");
    elsewhere(&w, "SET a 4");
    expect_got(c, INVALID("a", 1));
    world_release(&w);
}

/* A change that comes between the evaluation of a read and its reply is told
 * behind the reply: else an old value would be kept for ever. */
static void crossing(void **state)
{
    struct world w;
    struct wire *c, *b;

    (void)state;
    world_init(&w);
    c = dial3(&w);
    b = dial3(&w);
    expect(&w, c, "SET a old\r\nCLIENT TRACKING ON\r\n", "+OK +OK");
    expect(&w, b, "CLIENT TRACKING ON BCAST PREFIX a\r\n", "+OK");
    w.node->late = true;
    expect(&w, c, "GET a\r\n", "");
    expect(&w, b, "GET a\r\n", "");
    elsewhere(&w, "SET a new");
    expect_got(c, "");
    expect_got(b, INVALID("a", 1)); /* of no use: the reply is behind it */
    unhold(&w);
    expect_got(c, "$3 old " INVALID("a", 1));
    expect_got(b, "$3 old " INVALID("a", 1));
    /* Then it is not tracked: the next read is. */
    elsewhere(&w, "SET a newer");
    expect_got(c, "");
    expect_got(b, INVALID("a", 1));
    /* Everything may have changed meanwhile. */
    w.node->late = true;
    expect(&w, c, "GET a\r\n", "");
    w.node->hooks.on_lost(w.node->hooks.data);
    settle(&w);
    expect_got(c, ">2 $10 invalidate _");
    unhold(&w);
    expect_got(c, "$5 newer " INVALID("a", 1));
    world_release(&w);
}

/* When the node may have missed changes all is dropped; what is read while it
 * is out of touch must not be kept. */
static void out_of_touch(void **state)
{
    struct world w;
    struct wire *c;

    (void)state;
    world_init(&w);
    c = dial3(&w);
    expect(&w, c, "CLIENT TRACKING ON\r\nGET a\r\n", "+OK _");
    w.node->cut_off = true;
    w.node->hooks.on_lost(w.node->hooks.data);
    settle(&w);
    expect_got(c, ">2 $10 invalidate _");
    expect(&w, c, "READONLY\r\nGET a\r\n", "+OK _ " INVALID("a", 1));
    w.node->cut_off = false;
    expect(&w, c, "GET a\r\n", "_");
    elsewhere(&w, "SET a 1");
    expect_got(c, INVALID("a", 1));
    world_release(&w);
}

/* BCAST: changes of keys with the prefix, read or not. */
static void broadcast(void **state)
{
    struct world w;
    struct wire *c;

    (void)state;
    world_init(&w);
    c = dial3(&w);
    expect(&w, c, "CLIENT TRACKING ON BCAST PREFIX a PREFIX b\r\nGET z\r\n",
           "+OK _");
    elsewhere(&w, "MSET ab 1 b 2 z 3");
    expect_got(c, INVALID("ab", 2) " " INVALID("b", 1));
    assert_int_equal(edge_counters(w.edge)->tracking_total_prefixes, 2);
    expect(&w, c, "CLIENT TRACKING ON BCAST PREFIX ab\r\n",
           "-ERR Prefix 'ab' overlaps with an existing prefix 'a'. Prefixes "
           "for a single client must not overlap.");
    expect(&w, c, "CLIENT TRACKING ON BCAST PREFIX x PREFIX xy\r\n",
           "-ERR Prefix 'x' overlaps with another provided prefix 'xy'. "
           "Prefixes for a single client must not overlap.");
    expect(&w, c, "CLIENT TRACKING ON BCAST\r\nCLIENT TRACKINGINFO\r\n",
           "+OK %3 $5 flags ~2 $2 on $5 bcast $8 redirect :0 $8 prefixes "
           "*3 $0  $1 a $1 b");
    elsewhere(&w, "SET z 4");
    expect_got(c, INVALID("z", 1));
    expect(&w, c, "RESET\r\nCLIENT TRACKINGINFO\r\n",
           "+RESET *6 $5 flags *1 $3 off $8 redirect :-1 $8 prefixes *0");
    assert_int_equal(edge_counters(w.edge)->tracking_total_prefixes, 0);
    world_release(&w);
}

/* OPTIN and OPTOUT: CLIENT CACHING is of the next command or transaction. */
static void opting(void **state)
{
    struct world w;
    struct wire *c;

    (void)state;
    world_init(&w);
    c = dial3(&w);
    expect(&w, c,
           "CLIENT TRACKING ON OPTIN\r\nGET a\r\nCLIENT CACHING YES\r\n"
           "GET b\r\nGET c\r\n",
           "+OK _ +OK _ _");
    elsewhere(&w, "MSET a 1 b 1 c 1");
    expect_got(c, INVALID("b", 1));
    expect(&w, c,
           "CLIENT CACHING YES\r\nMULTI\r\nGET a\r\nGET b\r\nEXEC\r\nGET c\r\n",
           "+OK +OK +QUEUED +QUEUED *2 $1 1 $1 1 $1 1");
    elsewhere(&w, "MSET a 1 b 1 c 1");
    expect_got(c, INVALID("a", 1) " " INVALID("b", 1));
    expect(&w, c,
           "CLIENT TRACKING OFF\r\nCLIENT TRACKING ON OPTOUT\r\nGET a\r\n"
           "CLIENT CACHING NO\r\nCLIENT ID\r\nGET b\r\nGET c\r\n",
           "+OK +OK $1 1 +OK :1 $1 1 $1 1");
    elsewhere(&w, "MSET a 1 b 1 c 1");
    expect_got(c, INVALID("a", 1) " " INVALID("c", 1));
    /* An EXEC that waits for its WATCH uses the word up as well. */
    expect(&w, c,
           "CLIENT CACHING NO\r\nWATCH a\r\nCLIENT CACHING NO\r\nMULTI\r\n"
           "GET a\r\nEXEC\r\nGET b\r\n",
           "+OK +OK +OK +OK +QUEUED *1 $1 1 $1 1");
    elsewhere(&w, "MSET a 1 b 1");
    expect_got(c, INVALID("b", 1));
    world_release(&w);
}

/* RESP2 is told by way of another connection, as RESP3 may be. */
static void redirected(void **state)
{
    const char *text;
    struct world w;
    struct wire *c, *r, *c3;

    (void)state;
    world_init(&w);
    r = dial(&w, EDGE_PLAIN);
    c = dial(&w, EDGE_PLAIN);
    c3 = dial3(&w);
    expect(&w, r, "SUBSCRIBE __redis__:invalidate\r\n",
           "*3 $9 subscribe $20 __redis__:invalidate :1");
    expect(&w, c, "CLIENT TRACKING ON REDIRECT 1\r\nCLIENT GETREDIR\r\n",
           "+OK :1");
    expect(&w, c3, "CLIENT TRACKING ON REDIRECT 1\r\nGET a\r\n", "+OK _");
    expect(&w, c, "GET b\r\n", "$-1");
    elsewhere(&w, "MSET a 1 b 1");
    expect_got(r,
               "*3 $7 message $20 __redis__:invalidate *1 $1 a "
               "*3 $7 message $20 __redis__:invalidate *1 $1 b");
    elsewhere(&w, "FLUSHALL");
    expect_got(r,
               "*3 $7 message $20 __redis__:invalidate $-1 "
               "*3 $7 message $20 __redis__:invalidate $-1");
    hang_up(r);
    settle(&w);
    expect_got(c3, ">2 $21 tracking-redir-broken :1");
    expect(&w, c, "CLIENT TRACKINGINFO\r\n",
           "*6 $5 flags *2 $2 on $15 broken_redirect $8 redirect :1 "
           "$8 prefixes *0");
    elsewhere(&w, "SET b 1");
    expect_got(c, "");
    send_text(c, "CLIENT INFO\r\n");
    settle(&w);
    text = got(c);
    assert_non_null(strstr(text, " flags=tR "));
    assert_non_null(strstr(text, " redir=1 "));
    world_release(&w);
}

/* What others are told because a connection ends does not count its output
 * again, and nothing more is written to it. */
static void gone_for_good(void **state)
{
    struct world w;
    struct wire *c, *r, *c3, *d;

    (void)state;
    world_init(&w);
    r = dial(&w, EDGE_PLAIN);
    c3 = dial3(&w);
    d = dial(&w, EDGE_PLAIN);
    c = dial(&w, EDGE_PLAIN);
    (void)(expect(&w, c3, "CLIENT TRACKING ON REDIRECT 1\r\n", "+OK"), c);
    r->deaf = d->deaf = true;
    send_text(r, "PING\r\n");
    send_text(d, "ECHO 12345678901234567890123456789012345678901234567890\r\n");
    settle(&w);
    w.edge->opt.output_total = w.edge->unsent + 10;
    hang_up(r);
    settle(&w);
    expect_got(c3, ">2 $21 tracking-redir-broken :1");
    assert_true(d->closed); /* it had the most */
    expect(&w, c, "PING\r\n", "+PONG");
    assert_true(w.edge->unsent < 1000);
    world_release(&w);
}

/* A read that ends with its connection makes room in the table; its owner is
 * not told. */
static void room_when_gone(void **state)
{
    struct world w;
    struct wire *c;

    (void)state;
    world_init(&w);
    c = dial3(&w);
    expect(&w, c, "CLIENT TRACKING ON\r\nGET a\r\nGET b\r\n", "+OK _ _");
    w.node->held = true;
    send_text(c, "GET d\r\n");
    turn(&w);
    tracking_set_max(w.edge->tracking, 1);
    hang_up(c);
    settle(&w);
    assert_int_equal(edge_counters(w.edge)->tracking_total_items, 0);
    world_release(&w);
}

static bool in_table(const struct htab *t, const struct hnode *want)
{
    for (struct hnode *h = htab_first(t, want->hash); h != NULL; h = h->next) {
        if (h == want) {
            return true;
        }
    }
    return false;
}

/* The table under all of this: whatever its size is, all are found, and no
 * slot has more than its share. */
static void table(void **state)
{
    enum { N = 3000 };
    static struct hnode nodes[N];
    struct htab t = {0};

    (void)state;
    for (int i = 0; i < N; i++) {
        htab_add(&t, &nodes[i],
                 (uint64_t)i * UINT64_C(0x9E3779B97F4A7C15) >> 20);
        for (int k = i % 7; k <= i; k += 7) {
            assert_true(in_table(&t, &nodes[k]));
        }
    }
    assert_int_equal(t.cap, N);
    for (size_t s = 0; s < t.cap; s++) {
        int chain = 0;

        for (struct hnode *h = t.slots[s]; h != NULL; h = h->next) {
            chain++;
        }
        assert_true(chain < 12);
    }
    for (int i = 0; i < N; i++) {
        htab_remove(&t, &nodes[i]);
        assert_false(in_table(&t, &nodes[i]));
        assert_true(i + 1 == N || in_table(&t, &nodes[N - 1]));
    }
    htab_release(&t);
}

/* Mistakes, each with the text of Redis. */
static void mistakes(void **state)
{
    static const struct {
        const char *line, *reply;
    } cases[] = {
        {"CLIENT TRACKING",
         "wrong number of arguments for 'client|tracking' command"},
        {"CLIENT TRACKING x", "syntax error"},
        {"CLIENT TRACKING ON foo", "syntax error"},
        {"CLIENT TRACKING ON REDIRECT", "syntax error"},
        {"CLIENT TRACKING ON REDIRECT x",
         "value is not an integer or out of range"},
        {"CLIENT TRACKING ON REDIRECT 99",
         "The client ID you want redirect to does not exist"},
        {"CLIENT TRACKING ON REDIRECT 0",
         "The client ID you want redirect to does not exist"},
        {"CLIENT TRACKING ON REDIRECT 1 REDIRECT 1",
         "A client can only redirect to a single other client"},
        {"CLIENT TRACKING ON PREFIX a",
         "PREFIX option requires BCAST mode to be enabled"},
        {"CLIENT TRACKING ON BCAST OPTIN",
         "OPTIN and OPTOUT are not compatible with BCAST"},
        {"CLIENT TRACKING ON OPTIN OPTOUT",
         "You can't specify both OPTIN mode and OPTOUT mode"},
        {"CLIENT CACHING YES",
         "CLIENT CACHING can be called only when the client is in tracking "
         "mode with OPTIN or OPTOUT mode enabled"},
    };
    struct world w;
    struct wire *c;

    (void)state;
    world_init(&w);
    c = dial(&w, EDGE_PLAIN);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char line[100], reply[200];

        snprintf(line, sizeof line, "%s\r\n", cases[i].line);
        snprintf(reply, sizeof reply, "-ERR %s", cases[i].reply);
        expect(&w, c, line, reply);
    }
    expect(&w, c, "CLIENT TRACKING ON OPTIN\r\nCLIENT CACHING NO\r\n",
           "+OK -ERR CLIENT CACHING NO is only valid when tracking is "
           "enabled in OPTOUT mode.");
    expect(&w, c, "CLIENT CACHING x\r\n", "-ERR syntax error");
    expect(&w, c, "CLIENT TRACKING ON OPTOUT\r\n",
           "-ERR You can't switch OPTIN/OPTOUT mode before disabling tracking "
           "for this client, and then re-enabling it with a different mode.");
    expect(&w, c, "CLIENT TRACKING ON BCAST\r\n",
           "-ERR You can't switch BCAST mode on/off before disabling tracking "
           "for this client, and then re-enabling it with a different mode.");
    expect(&w, c, "CLIENT TRACKING ON\r\nCLIENT CACHING YES\r\n",
           "+OK -ERR CLIENT CACHING YES is only valid when tracking is "
           "enabled in OPTIN mode.");
    world_release(&w);
}

/* Beyond its bound the table forgets the oldest key, and tells of it. */
static void bounded(void **state)
{
    struct world w;
    struct wire *c;

    (void)state;
    world_init(&w);
    tracking_set_max(w.edge->tracking, 2);
    c = dial3(&w);
    expect(&w, c, "CLIENT TRACKING ON\r\nGET a\r\nGET b\r\nGET c\r\n",
           "+OK _ _ _ " INVALID("a", 1));
    elsewhere(&w, "MSET a 1 c 1");
    expect_got(c, INVALID("c", 1));
    assert_int_equal(edge_counters(w.edge)->tracking_total_keys, 1);
    tracking_set_max(w.edge->tracking, 100000);
    for (int i = 0; i < 3 * TRACK_STEP; i++) {
        char line[40];

        snprintf(line, sizeof line, "GET k%d\r\n", i);
        (void)(send_text(c, line), settle(&w), got(c));
    }
    assert_int_equal(edge_counters(w.edge)->tracking_total_keys,
                     3 * TRACK_STEP + 1);
    tracking_set_max(w.edge->tracking, 10);
    for (int i = 0; i < 5; i++) {
        later(&w);
    }
    assert_int_equal(edge_counters(w.edge)->tracking_total_keys, 10);
    world_release(&w);
}

/* A connection that ends leaves nothing behind, in slices if it was much. */
static void leaves(void **state)
{
    struct world w;
    struct wire *c, *d;

    (void)state;
    world_init(&w);
    c = dial3(&w);
    d = dial3(&w);
    expect(&w, c, "CLIENT TRACKING ON\r\n", "+OK");
    expect(&w, d, "CLIENT TRACKING ON\r\nGET k1\r\n", "+OK _");
    for (int i = 0; i < 2 * TRACK_STEP; i++) {
        char line[40];

        snprintf(line, sizeof line, "GET k%d\r\n", i);
        (void)(send_text(c, line), settle(&w), got(c));
    }
    assert_int_equal(edge_counters(w.edge)->tracking_clients, 2);
    w.node->held = true;
    send_text(c, "GET q\r\n");
    settle(&w);
    hang_up(c);
    assert_int_equal(edge_counters(w.edge)->tracking_total_items, 1);
    assert_int_equal(edge_counters(w.edge)->tracking_clients, 1);
    for (int i = 0; i < 4; i++) {
        later(&w);
    }
    assert_int_equal(edge_counters(w.edge)->tracking_total_keys, 1);
    w.node->held = false;
    elsewhere(&w, "SET k1 1");
    expect_got(d, INVALID("k1", 2));
    world_release(&w);
}

/* ---- keyspace notifications ---- */

/* The letters, as Redis reads and prints them. */
static void letters(void **state)
{
    static const char *const cases[][2] = {
        {"", ""},
        {"KEA", "AKE"},
        {"gxKE", "gxKE"},
        {"An", "A"},
        {"nm", "nm"},
        {"xKEAnm", "AKEm"},
        {"g$lshzxetdK", "AK"},
        {"Ex$g", "g$xE"},
    };
    char text[NOTIFY_TEXT];
    unsigned flags = 77;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_true(notify_parse(cases[i][0], &flags));
        notify_format(flags, text);
        assert_string_equal(text, cases[i][1]);
    }
    flags = 77;
    assert_false(notify_parse("Kq", &flags));
    assert_int_equal(flags, 77);
}

static const char *const event_cases[][2] = {
    {"SET a 1", "new:a set:a"},
    {"SET a 1 EX 100", "set:a expire:a"},
    {"SET a 1 KEEPTTL", "set:a"},
    {"SET a 1 NX", ""},
    {"SETNX a 1", ""},
    {"SETNX b 1", "new:b set:b"},
    {"SETEX c 10 1", "new:c set:c expire:c"},
    {"PSETEX c 10000 1", "set:c expire:c"},
    {"GETSET a 1", "set:a"},
    {"SET a 1 GET", "set:a"},
    {"SET zz 1 XX GET", ""},
    {"GET none", "keymiss:none"},
    {"MGET none a none2", "keymiss:none keymiss:none2"},
    {"STRLEN none", "keymiss:none"},
    {"EXISTS none", "keymiss:none"},
    {"TTL none", "keymiss:none"},
    {"TYPE none", "keymiss:none"},
    {"GETRANGE none 0 1", "keymiss:none"},
    {"DUMP none", "keymiss:none"},
    {"GETEX a EX 10", "expire:a"},
    {"GETEX a PERSIST", "persist:a"},
    {"GETEX a", ""},
    {"GETEX a PERSIST", ""},
    {"GETEX a PXAT 1", "del:a"},
    {"MSET m1 1 m2 2", "new:m1 set:m1 new:m2 set:m2"},
    {"MSETNX m1 1 m3 3", ""},
    {"MSETNX m4 1 m5 3", "new:m4 set:m4 new:m5 set:m5"},
    {"APPEND m1 x", "append:m1"},
    {"SETRANGE m1 0 ab", "setrange:m1"},
    {"SETRANGE newr 2 x", "new:newr setrange:newr"},
    {"INCR i", "new:i incrby:i"},
    {"DECRBY i 2", "incrby:i"},
    {"INCRBYFLOAT i 1.5", "incrbyfloat:i"},
    {"GETDEL i", "del:i"},
    {"GETDEL i", ""},
    {"EXPIRE m1 100", "expire:m1"},
    {"EXPIRE m1 100", "expire:m1"},
    {"EXPIRE m1 -1", "del:m1"},
    {"PEXPIREAT m2 99999999999", "expire:m2"},
    {"PERSIST m2", "persist:m2"},
    {"PERSIST m2", ""},
    {"RENAME m2 m9", "new:m9 rename_from:m2 rename_to:m9"},
    {"RENAME m9 m9", ""},
    {"RENAMENX m9 b", ""},
    {"RENAME m9 b", "new:b rename_from:m9 rename_to:b"},
    {"COPY b b3", "new:b3 copy_to:b3"},
    {"COPY b b3", ""},
    {"COPY b b3 REPLACE", "new:b3 copy_to:b3"},
    {"DEL b b3 none", "del:b del:b3"},
    {"UNLINK c", "del:c"},
    {"TOUCH newr", ""},
    {"FLUSHALL", ""},
};

/* Each command tells what Redis tells: event and key, in order. */
static void events(void **state)
{
    struct world w;
    struct wire *c, *s;
    unsigned flags = 0;

    (void)state;
    world_init(&w);
    store_advance(machine_store(w.node->m), 1000);
    assert_true(notify_parse("EAnm", &flags));
    edge_set_notify(w.edge, flags);
    c = dial(&w, EDGE_PLAIN);
    s = dial3(&w);
    (void)(send_text(s, "PSUBSCRIBE __key*\r\n"), settle(&w), got(s));
    for (size_t i = 0; i < sizeof event_cases / sizeof event_cases[0]; i++) {
        char line[100], told[300] = "";

        snprintf(line, sizeof line, "%s\r\n", event_cases[i][0]);
        (void)(send_text(c, line), settle(&w), got(c));
        for (const char *p = got(s); (p = strstr(p, "__keyevent@0__:"));) {
            char event[40], key[40];

            p += 15;
            assert_int_equal(sscanf(p, "%39s $%*d %39s", event, key), 2);
            snprintf(told + strlen(told), sizeof told - strlen(told), "%s%s:%s",
                     told[0] != 0 ? " " : "", event, key);
        }
        if (strcmp(told, event_cases[i][1]) != 0) {
            fail_msg("%s told \"%s\", not \"%s\"", event_cases[i][0], told,
                     event_cases[i][1]);
        }
    }
    world_release(&w);
}

/* Two kinds of channels, and only the classes that were asked for. */
static void channels(void **state)
{
    struct world w;
    struct wire *c, *s;

    (void)state;
    world_init(&w);
    c = dial(&w, EDGE_PLAIN);
    s = dial(&w, EDGE_PLAIN);
    expect(&w, s, "SUBSCRIBE __keyspace@0__:a __keyevent@0__:del\r\n",
           "*3 $9 subscribe $16 __keyspace@0__:a :1 "
           "*3 $9 subscribe $18 __keyevent@0__:del :2");
    expect(&w, c, "SET a 1\r\n", "+OK");
    expect_got(s, "");
    edge_set_notify(w.edge, NOTIFY_KEYSPACE | NOTIFY_KEYEVENT | NOTIFY_GENERIC);
    expect(&w, c, "SET a 1\r\nDEL a\r\n", "+OK :1");
    expect_got(s,
               "*3 $7 message $16 __keyspace@0__:a $3 del "
               "*3 $7 message $18 __keyevent@0__:del $1 a");
    edge_set_notify(w.edge, NOTIFY_ALL); /* neither K nor E */
    expect(&w, c, "SET a 1\r\nDEL a\r\n", "+OK :1");
    expect_got(s, "");
    assert_int_equal(w.node->published.n, 0); /* each node tells its own */
    world_release(&w);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(told_once),   cmocka_unit_test(every_change),
        cmocka_unit_test(own_changes), cmocka_unit_test(transaction),
        cmocka_unit_test(crossing),    cmocka_unit_test(out_of_touch),
        cmocka_unit_test(broadcast),   cmocka_unit_test(opting),
        cmocka_unit_test(redirected),  cmocka_unit_test(gone_for_good),
        cmocka_unit_test(table),       cmocka_unit_test(room_when_gone),
        cmocka_unit_test(mistakes),    cmocka_unit_test(bounded),
        cmocka_unit_test(leaves),      cmocka_unit_test(letters),
        cmocka_unit_test(events),      cmocka_unit_test(channels),
    };

    return cmocka_run_group_tests_name("tracking", tests, NULL, NULL);
}
