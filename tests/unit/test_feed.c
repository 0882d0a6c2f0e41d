/* The history of changes, and the commands that read it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/limits.h"
#include "resp/resp.h"
#include "server/command/command.h"
#include "server/command/feed.h"
#include "server/store/machine.h"

#define B(s) bytes_str(s)

/* ---- the history alone ---- */

static void add(struct history *h, uint64_t rev, const char *key, size_t value)
{
    uint8_t *v = hf_calloc(1, value + 1);
    struct change c = {{rev, 0}, STORE_SET,      5,
                       0,        bytes_str(key), bytes_of(v, value)};

    history_add(h, &c);
    free(v);
}

/* All that is kept, as "rev-seq:key ...". */
static const char *all(const struct history *h)
{
    static char text[4096];
    struct history_iter it;
    struct change c;
    size_t n = 0;

    text[0] = 0;
    for (bool more = history_after(h, &it, history_floor(h), &c); more;
         more = history_next(&it, &c)) {
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%d-%d:%.*s",
                              n > 0 ? " " : "", (int)c.id.rev, (int)c.id.seq,
                              (int)c.key.n, (const char *)c.key.p);
    }
    return text;
}

/* Changes of one revision are counted, and found from both sides. */
static void history_order(void **state)
{
    struct history *h = history_new();
    struct history_iter it;
    struct change c;

    (void)state;
    add(h, 1, "a", 3);
    add(h, 2, "b", 0);
    add(h, 2, "c", 0);
    add(h, 3, "d", 0);
    assert_string_equal(all(h), "1-0:a 2-0:b 2-1:c 3-0:d");
    assert_true(history_after(h, &it, (struct history_id){2, 0}, &c));
    assert_int_equal(c.id.seq, 1);
    assert_true(history_before(h, &it, (struct history_id){2, 1}, &c));
    assert_int_equal(c.id.seq, 0);
    assert_true(history_prev(&it, &c));
    assert_int_equal(c.value.n, 3);
    assert_false(history_prev(&it, &c));
    assert_false(history_after(h, &it, (struct history_id){3, 0}, &c));
    assert_true(history_before(h, &it, (struct history_id){9, 9}, &c));
    assert_int_equal(c.id.rev, 3);
    assert_false(history_before(h, &it, (struct history_id){1, 0}, &c));
    history_free(h);
}

/* At most so many are kept, and so much memory; the floor says which. */
static void history_bounds(void **state)
{
    struct history *h = history_new();

    (void)state;
    history_limits(h, 3, UINT64_MAX);
    for (uint64_t i = 1; i <= 5000; i++) {
        add(h, i, "k", 0);
    }
    assert_string_equal(all(h), "4998-0:k 4999-0:k 5000-0:k");
    assert_int_equal(history_floor(h).rev, 4997);
    assert_int_equal(history_added(h), 5000);
    history_limits(h, 1, UINT64_MAX);
    assert_string_equal(all(h), "5000-0:k");
    history_limits(h, UINT64_MAX, 1 << 20);
    for (uint64_t i = 5001; i <= 5100; i++) {
        add(h, i, "k", i % 2 == 0 ? 100000 : 10);
        assert_true(history_bytes(h) <= 1 << 20);
    }
    assert_true(history_count(h) > 10);
    assert_int_equal(history_floor(h).rev + history_count(h), 5100);
    history_limits(h, 0, 0);
    assert_int_equal(history_count(h), 0);
    assert_int_equal(history_bytes(h), 0);
    assert_int_equal(history_floor(h).rev, 5100);
    add(h, 5101, "k", 0);
    assert_int_equal(history_count(h), 0);
    assert_int_equal(history_last(h).rev, 5101);
    history_free(h);
}

/* Wherever one looks from, over chunks, the next one is the next one. */
static void history_seeks(void **state)
{
    struct history *h = history_new();
    struct history_iter it;
    struct change c;

    (void)state;
    history_limits(h, 6000, UINT64_MAX);
    for (uint64_t i = 3; i <= 10002; i++) {
        add(h, i / 3, "key", i % 50);
        assert_int_equal(history_last(h).seq, i % 3);
    }
    assert_true(history_chunks(h) > 4);
    for (uint64_t i = 4003; i < 10002; i++) {
        struct history_id id = {i / 3, (uint32_t)(i % 3)};

        assert_true(history_after(h, &it, id, &c));
        assert_int_equal(c.id.rev, (i + 1) / 3);
        assert_int_equal(c.id.seq, (i + 1) % 3);
        assert_int_equal(history_before(h, &it, id, &c), i > 4003);
        if (i > 4003) {
            assert_int_equal(c.id.rev, (i - 1) / 3);
            assert_int_equal(c.id.seq, (i - 1) % 3);
        }
    }
    history_free(h);
}

/* What was frozen stays as it was, whatever is added and dropped. */
static void history_frozen(void **state)
{
    struct history *h = history_new();
    struct history *copy = history_new();
    struct history_frozen *f;
    struct buf head = BUF_INIT;
    struct bytes record;

    (void)state;
    history_limits(h, 5, UINT64_MAX);
    for (uint64_t i = 1; i <= 9; i++) {
        add(h, i, "k", i);
    }
    f = history_freeze(h);
    for (uint64_t i = 10; i <= 3000; i++) {
        add(h, i, "k", i);
    }
    assert_int_equal(history_chunks(h), 1);
    assert_in_range(history_bytes_held(h), HISTORY_CHUNK, 2 * HISTORY_CHUNK);
    history_frozen_head(f, &head);
    history_reset(copy, 9);
    assert_true(history_load(copy, buf_bytes(&head)));
    while (history_frozen_next(f, &record)) {
        assert_true(history_load(copy, record));
    }
    assert_string_equal(all(copy), "5-0:k 6-0:k 7-0:k 8-0:k 9-0:k");
    assert_int_equal(history_floor(copy).rev, 4);
    assert_int_equal(history_added(copy), 9);
    history_freeze_release(f);
    assert_int_equal(history_bytes_held(h), 0);
    buf_release(&head);
    history_free(copy);
    history_free(h);
}

/* Records with a hole, a double, a wrong length or kind are refused, and
 * leave the history as it was. */
static void history_refuses(void **state)
{
    struct history *h = history_new();
    struct history *copy = history_new();
    struct history_frozen *f;
    struct buf head = BUF_INIT;
    struct bytes r[3];
    uint8_t bad[64];

    (void)state;
    for (uint64_t i = 1; i <= 3; i++) {
        add(h, i, "k", i);
    }
    f = history_freeze(h);
    history_frozen_head(f, &head);
    for (int i = 0; i < 3; i++) {
        assert_true(history_frozen_next(f, &r[i]));
    }
    history_reset(copy, 3);
    for (size_t n = 0; n < head.n; n++) {
        assert_false(history_load(copy, bytes_of(head.p, n)));
    }
    assert_true(history_load(copy, buf_bytes(&head)));
    assert_false(history_load(copy, r[1]));
    assert_true(history_load(copy, r[0]));
    assert_false(history_load(copy, r[0]));
    assert_false(history_load(copy, r[2]));
    assert_false(history_load(copy, buf_bytes(&head)));
    for (size_t n = 0; n < r[1].n; n++) {
        assert_false(history_load(copy, bytes_of(r[1].p, n)));
    }
    memcpy(bad, r[1].p, r[1].n);
    bad[12] = 6;
    assert_false(history_load(copy, bytes_of(bad, r[1].n)));
    bad[12] = STORE_DELETE; /* with a value */
    assert_false(history_load(copy, bytes_of(bad, r[1].n)));
    assert_true(history_load(copy, r[1]));
    assert_string_equal(all(copy), "1-0:k 2-0:k");
    history_reset(copy, 3); /* all of revision 3 is missing */
    assert_false(history_load(copy, r[2]));
    history_freeze_release(f);
    buf_release(&head);
    history_free(copy);
    history_free(h);
}

/* ---- the commands ---- */

struct fixture {
    struct machine *m;
    uint64_t index;
    uint64_t time;
    struct buf reply;
    char text[1 << 16];
};

/* Split at blanks; two quotes are an empty word. */
static int split(const char *line, struct bytes *argv)
{
    int n = 0;

    while (*line != '\0') {
        size_t len = strcspn(line, " ");

        argv[n++] = bytes_eq(bytes_of(line, len), B("''"))
                        ? B("")
                        : bytes_of(line, len);
        line += len;
        line += strspn(line, " ");
    }
    return n;
}

/* Apply a write as an entry's only change. */
static void run(struct fixture *f, const char *text)
{
    struct store *s = machine_store(f->m);
    struct bytes argv[64];
    char line[256];
    int argc;
    const struct command *c;

    snprintf(line, sizeof line, "%s", text);
    argc = split(line, argv);
    c = command_by_name(argv[0]);
    buf_clear(&f->reply);
    store_advance(s, ++f->time);
    (void)store_expire(s, 1000);
    store_begin(s);
    c->handler(f->m, argv, argc, &f->reply);
    store_end(s);
    assert_true(f->reply.p[0] != '-');
}

/* The reply with blanks for line ends. */
static const char *show(struct fixture *f)
{
    size_t n = 0;

    for (size_t i = 0; i < f->reply.n && n < sizeof f->text - 1; i++) {
        if (f->reply.p[i] != '\n') {
            char c = (char)f->reply.p[i];

            f->text[n++] = c == '\r' ? ' ' : c;
        }
    }
    f->text[n > 0 ? n - 1 : 0] = 0;
    return f->text;
}

static const char *ask(struct fixture *f, const char *text)
{
    struct bytes argv[300];
    char line[8192];
    const struct command *c;
    struct blob *b;
    int argc;

    snprintf(line, sizeof line, "%s", text);
    argc = split(line, argv);
    buf_clear(&f->reply);
    c = command_find(argv, argc, &f->reply);
    if (c != NULL && command_check(c, argv, argc, &f->reply)) {
        b = command_encode(c, 0, argv, argc);
        command_read(f->m, blob_bytes(b), &f->reply);
        blob_unref(b);
    }
    return show(f);
}

static int setup(void **state)
{
    struct fixture *f = hf_calloc(1, sizeof *f);

    f->m = machine_new();
    f->time = 1000;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    machine_free(f->m);
    buf_release(&f->reply);
    free(f);
    return 0;
}

/* Every kind of change is told, with its fields. */
static void feed_entries(void **state)
{
    struct fixture *f = *state;

    run(f, "SET a 1");
    run(f, "PEXPIREAT a 1004");
    assert_string_equal(
        ask(f, "XRANGE __changes__ - +"),
        "*2 *2 $3 1-0 *8 $4 type $3 set $3 key $1 a $5 value $1 1 $8 revision "
        "$1 1 *2 $3 2-0 *8 $4 type $8 deadline $3 key $1 a $8 deadline $4 1004 "
        "$8 revision $1 2");
    run(f, "GET a");
    run(f, "SET b 2 PX 9000"); /* a expires in front of it */
    run(f, "DEL b");
    run(f, "SET c ''");
    run(f, "FLUSHALL");
    assert_string_equal(
        ask(f, "XRANGE __changes__ 3 +"),
        "*5 *2 $3 3-0 *6 $4 type $6 expire $3 key $1 a $8 revision $1 3 "
        "*2 $3 4-0 *10 $4 type $3 set $3 key $1 b $5 value $1 2 $8 deadline $5 "
        "10004 $8 revision $1 4 "
        "*2 $3 5-0 *6 $4 type $6 delete $3 key $1 b $8 revision $1 5 "
        "*2 $3 6-0 *8 $4 type $3 set $3 key $1 c $5 value $0  $8 revision $1 6 "
        "*2 $3 7-0 *4 $4 type $5 clear $8 revision $1 7");
}

/* What XREAD gives is behind the id; a map of streams, in RESP2 pairs. */
static void feed_read(void **state)
{
    struct fixture *f = *state;
    struct buf out = BUF_INIT;

    assert_string_equal(ask(f, "XREAD STREAMS __changes__ 0"), "*-1");
    run(f, "MSET a 1 b 2");
    run(f, "SET ab 3");
    assert_string_equal(
        ask(f, "XREAD COUNT 1 STREAMS __changes__ 1-0"),
        "&1 ^ $11 __changes__ *1 *2 $3 1-1 *8 $4 type $3 set $3 key $1 b $5 "
        "value $1 2 $8 revision $1 1");
    assert_non_null(strstr(ask(f, "XREAD STREAMS __changes__ 1"), "1-1"));
    assert_null(strstr(ask(f, "XREAD STREAMS __changes__ 1"), "1-0"));
    assert_string_equal(ask(f, "XREAD STREAMS __changes__ $"), "*-1");
    assert_string_equal(ask(f, "XREAD STREAMS __changes__ 2-0"), "*-1");
    assert_string_equal(ask(f, "XREAD STREAMS __changes__ 77-1"), "*-1");
    (void)ask(f, "XREAD STREAMS __changes__:b __changes__:a 0 1-0");
    assert_int_equal(resp3_to_resp2(buf_bytes(&f->reply), &out), 0);
    assert_memory_equal(out.p, "*2\r\n*2\r\n$13\r\n__changes__:b\r\n*1\r\n",
                        32);
    buf_clear(&out);
    assert_int_equal(resp3_fix_null_arrays(buf_bytes(&f->reply), &out), 0);
    assert_memory_equal(out.p, "%2\r\n$13\r\n__changes__:b\r\n*1\r\n*2\r\n",
                        32);
    buf_release(&out);
}

/* The feed of a prefix has its keys and every FLUSHALL. */
static void feed_prefix(void **state)
{
    struct fixture *f = *state;

    run(f, "SET user:1 a");
    run(f, "SET use b");
    run(f, "SET user: c");
    run(f, "FLUSHALL");
    assert_string_equal(ask(f, "XLEN __changes__:user:"), ":3");
    assert_string_equal(ask(f, "XLEN __changes__:"), ":4");
    assert_string_equal(ask(f, "XLEN __changes__:zz"), ":1");
    assert_string_equal(
        ask(f, "XREVRANGE __changes__:user: + - COUNT 2"),
        "*2 *2 $3 4-0 *4 $4 type $5 clear $8 revision $1 4 *2 $3 3-0 *8 $4 "
        "type $3 set $3 key $5 user: $5 value $1 c $8 revision $1 3");
}

static int count(struct fixture *f, const char *text)
{
    const char *s = ask(f, text);

    assert_true(s[0] == '*');
    return atoi(s + 1);
}

/* Ranges: both ends included, "(" excludes, whole revisions. */
static void feed_range(void **state)
{
    struct fixture *f = *state;

    run(f, "MSET a 1 b 2 c 3");
    run(f, "SET d 4");
    run(f, "MSET e 5 f 6");
    assert_int_equal(count(f, "XRANGE __changes__ - +"), 6);
    assert_int_equal(count(f, "XRANGE __changes__ 1-1 2"), 3);
    assert_int_equal(count(f, "XRANGE __changes__ (1-1 (3-1"), 3);
    assert_int_equal(count(f, "XRANGE __changes__ 1 1"), 3);
    assert_int_equal(count(f, "XRANGE __changes__ 3 2"), 0);
    assert_int_equal(count(f, "XRANGE __changes__ - + COUNT 4"), 4);
    assert_int_equal(count(f, "XRANGE __changes__ - + COUNT 0"), -1);
    assert_int_equal(count(f, "XREVRANGE __changes__ 2 1-1"), 3);
    assert_int_equal(count(f, "XREVRANGE __changes__ (3-1 (1-2"), 2);
    assert_int_equal(count(f, "XREVRANGE __changes__ - +"), 0);
    assert_int_equal(count(f, "XRANGE __changes__ 4 9"), 0);
}

/* A position that is no longer kept is an error that says where to go on;
 * "-" is the oldest kept. */
static void feed_trimmed(void **state)
{
    static const char *const told =
        "-TRIMMED the changes up to 7-0 are no longer kept: read the keys, "
        "then go on from 10-0";
    struct fixture *f = *state;

    machine_history_limits(f->m, 3, UINT64_MAX);
    for (int i = 0; i < 10; i++) {
        run(f, "INCR n");
    }
    assert_string_equal(ask(f, "XREAD STREAMS __changes__ 0"), told);
    assert_string_equal(ask(f, "XREAD STREAMS __changes__ 6-9"), told);
    assert_non_null(strstr(ask(f, "XREAD STREAMS __changes__ 7-0"), "8-0"));
    assert_string_equal(ask(f, "XRANGE __changes__ 7 +"), told);
    assert_string_equal(ask(f, "XRANGE __changes__ 0 +"), told);
    assert_string_equal(ask(f, "XREVRANGE __changes__ + 5"), told);
    assert_int_equal(count(f, "XREVRANGE __changes__ + 5 COUNT 3"), 3);
    assert_int_equal(count(f, "XRANGE __changes__ (7-0 +"), 3);
    assert_int_equal(count(f, "XRANGE __changes__ - +"), 3);
    assert_int_equal(count(f, "XREVRANGE __changes__ + -"), 3);
    assert_string_equal(ask(f, "XLEN __changes__"), ":3");
}

/* A state that came without its history: of its last revision, too, nobody
 * knows how many changes are missing. */
static void feed_from_nothing(void **state)
{
    struct fixture *f = *state;

    store_restore(machine_store(f->m), 1000, 7, 0);
    assert_memory_equal(ask(f, "XREAD STREAMS __changes__ 7-2"), "-TRIMMED", 8);
    run(f, "SET k v");
    assert_memory_equal(ask(f, "XREAD STREAMS __changes__ 7-2"), "-TRIMMED", 8);
    assert_int_equal(count(f, "XRANGE __changes__ - +"), 1);
    assert_memory_equal(ask(f, "XREAD STREAMS __changes__ 8"), "*-1", 3);
}

/* XINFO STREAM has the ten fields of Redis 7.0. */
static void feed_info(void **state)
{
    struct fixture *f = *state;

    assert_string_equal(
        ask(f, "XINFO STREAM __changes__"),
        "%10 $6 length :0 $15 radix-tree-keys :0 $16 radix-tree-nodes :1 $17 "
        "last-generated-id $3 0-0 $20 max-deleted-entry-id $3 0-0 $13 "
        "entries-added :0 $23 recorded-first-entry-id $3 0-0 $6 groups :0 $11 "
        "first-entry _ $10 last-entry _");
    machine_history_limits(f->m, 2, UINT64_MAX);
    run(f, "DEL a");
    run(f, "MSET a 1 b 2 c 3");
    assert_string_equal(
        ask(f, "XINFO STREAM __changes__"),
        "%10 $6 length :2 $15 radix-tree-keys :1 $16 radix-tree-nodes :2 $17 "
        "last-generated-id $3 1-2 $20 max-deleted-entry-id $3 1-0 $13 "
        "entries-added :3 $23 recorded-first-entry-id $3 1-1 $6 groups :0 $11 "
        "first-entry *2 $3 1-1 *8 $4 type $3 set $3 key $1 b $5 value $1 2 $8 "
        "revision $1 1 $10 last-entry *2 $3 1-2 *8 $4 type $3 set $3 key $1 c "
        "$5 value $1 3 $8 revision $1 1");
}

/* What is wrong with a request is said as Redis 7.0 does. */
static void feed_errors(void **state)
{
    static const char *const cases[][2] = {
        {"XREAD STREAMS __changes__ x",
         "-ERR Invalid stream ID specified as stream command argument"},
        {"XREAD STREAMS __changes__ 1-x",
         "-ERR Invalid stream ID specified as stream command argument"},
        {"XREAD STREAMS __changes__ 1-",
         "-ERR Invalid stream ID specified as stream command argument"},
        {"XREAD STREAMS __changes__ __changes__ 1",
         "-ERR Unbalanced XREAD list of streams: for each stream key an ID "
         "or '$' must be specified."},
        {"XREAD BLOCK x STREAMS __changes__ 1",
         "-ERR timeout is not an integer or out of range"},
        {"XREAD BLOCK -1 STREAMS __changes__ 1", "-ERR timeout is negative"},
        {"XREAD COUNT x STREAMS __changes__ 1",
         "-ERR value is not an integer or out of range"},
        {"XREAD COUNT 1 BLOCK 1", "-ERR syntax error"},
        {"XREAD NOACK STREAMS __changes__ 1",
         "-ERR The NOACK option is only supported by XREADGROUP. You called "
         "XREAD instead."},
        {"XREAD GROUP g c STREAMS __changes__ 1",
         "-ERR The GROUP option is only supported by XREADGROUP. You called "
         "XREAD instead."},
        {"XREAD STREAMS __changes__ >",
         "-ERR The > ID can be specified only when calling XREADGROUP using "
         "the GROUP <group> <consumer> option."},
        {"XREAD STREAMS other 1",
         "-ERR no such stream: there are __changes__ and __changes__:<prefix>"},
        {"XRANGE __changes__x - +",
         "-ERR no such stream: there are __changes__ and __changes__:<prefix>"},
        {"XRANGE __changes__ - + LIMIT 1", "-ERR syntax error"},
        {"XRANGE __changes__ (+ +",
         "-ERR Invalid stream ID specified as stream command argument"},
        {"XRANGE __changes__ (18446744073709551615-4294967295 +",
         "-ERR invalid start ID for the interval"},
        {"XRANGE __changes__ 0 (0-0", "-ERR invalid end ID for the interval"},
        {"XLEN", "-ERR wrong number of arguments for 'xlen' command"},
        {"XINFO STREAM",
         "-ERR wrong number of arguments for 'xinfo|stream' command"},
        {"XADD a * b c",
         "-ERR unknown command 'XADD', with args beginning with: 'a' '*' 'b' "
         "'c' "},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_string_equal(ask(f, cases[i][0]), cases[i][1]);
    }
}

/* A reply ends at a thousand changes or a mebibyte, and never in between
 * what a consumer needs to go on. */
static void feed_reply_is_bounded(void **state)
{
    struct fixture *f = *state;
    struct store *s = machine_store(f->m);
    char *big = hf_calloc(1, 400000);

    for (int i = 0; i < 1500; i++) {
        run(f, "INCR n");
    }
    assert_non_null(strstr(ask(f, "XREAD STREAMS __changes__ 0"), "*1000 "));
    for (int i = 0; i < 5; i++) {
        store_begin(s);
        store_put(s, B("big"), bytes_of(big, 400000), 0);
        store_end(s);
    }
    (void)ask(f, "XREAD STREAMS __changes__ 1500-0");
    assert_memory_equal(f->reply.p, "&1\r\n^\r\n$11\r\n__changes__\r\n*3\r\n",
                        29);
    free(big);
}

/* A feed that is worked off in steps gives what one step gives, and one that
 * found nothing goes on where it was. */
static void feed_steps(void **state)
{
    struct bytes argv[] = {B("xread"),   B("block"),         B("0"),
                           B("streams"), B("__changes__:x"), B("0")};
    struct fixture *f = *state;
    struct history *h = store_history(machine_store(f->m));
    struct blob *b = command_encode(command_by_name(B("xread")), 0, argv, 6);
    struct feed *feed;
    int steps = 0;

    for (int i = 0; i < 100; i++) {
        run(f, "INCR n");
    }
    assert_true(feed_is(blob_bytes(b)) && feed_is_blocking(blob_bytes(b)));
    feed = feed_new(blob_bytes(b));
    while (!feed_step(feed, h, 7)) {
        steps++;
    }
    assert_true(steps > 10);
    assert_true(feed_empty(feed));
    /* Far fewer are kept than it has seen: it has missed none. */
    machine_history_limits(f->m, 1, UINT64_MAX);
    run(f, "SET x 1");
    assert_true(feed_step(feed, h, 7));
    assert_false(feed_empty(feed));
    buf_clear(&f->reply);
    feed_reply(feed, &f->reply);
    assert_non_null(strstr(show(f), "101-0"));
    feed_free(feed);
    blob_unref(b);
}

/* One that was overtaken by the end of what is kept says so. */
static void feed_overtaken(void **state)
{
    struct bytes argv[] = {B("xread"),   B("block"),         B("0"),
                           B("streams"), B("__changes__:x"), B("$")};
    struct fixture *f = *state;
    struct history *h = store_history(machine_store(f->m));
    struct blob *b = command_encode(command_by_name(B("xread")), 0, argv, 6);
    struct feed *feed = feed_new(blob_bytes(b));

    machine_history_limits(f->m, 1, UINT64_MAX);
    run(f, "SET x 0");
    assert_true(feed_step(feed, h, UINT64_MAX));
    assert_true(feed_empty(feed)); /* "$" was then */
    run(f, "SET y 1");
    run(f, "SET y 2");
    assert_true(feed_step(feed, h, UINT64_MAX));
    assert_false(feed_empty(feed));
    buf_clear(&f->reply);
    feed_reply(feed, &f->reply);
    assert_memory_equal(f->reply.p, "-TRIMMED", 8);
    feed_free(feed);
    blob_unref(b);
}

/* The "$" of a request that waits is the time at which it came. */
static void feed_dollar_stays(void **state)
{
    struct bytes argv[] = {B("xread"),   B("block"),       B("0"),
                           B("streams"), B("__changes__"), B("$")};
    struct fixture *f = *state;
    struct history *h = store_history(machine_store(f->m));
    struct blob *b = command_encode(command_by_name(B("xread")), 0, argv, 6);
    struct feed *feed = feed_new(blob_bytes(b));

    run(f, "SET x 0");
    assert_true(feed_step(feed, h, UINT64_MAX));
    assert_true(feed_empty(feed));
    run(f, "SET y 1");
    assert_true(feed_step(feed, h, UINT64_MAX));
    assert_false(feed_empty(feed));
    feed_free(feed);
    blob_unref(b);
}

/* ---- snapshots ---- */

static struct machine *reloaded(struct machine *m)
{
    struct machine_frozen *z = machine_freeze(m);
    struct machine_load *l = machine_load_begin();
    struct machine *out = NULL;
    struct buf b = BUF_INIT;

    while (machine_snapshot_next(z, &b)) {
        assert_int_equal(machine_load_feed(l, buf_bytes(&b), NULL), 0);
        buf_clear(&b);
    }
    assert_int_equal(machine_load_finish(l, &out, NULL), 0);
    buf_release(&b);
    machine_freeze_release(m, z);
    return out;
}

/* A node that starts from a snapshot serves every position that the one which
 * made it kept; what is kept changes no digest. */
static void feed_survives_snapshot(void **state)
{
    struct fixture *f = *state;
    struct machine *m;
    char before[4096];

    machine_history_limits(f->m, 20, UINT64_MAX);
    for (int i = 0; i < 30; i++) {
        run(f, "MSET a 1 b 2");
    }
    snprintf(before, sizeof before, "%s", ask(f, "XRANGE __changes__ - +"));
    m = reloaded(f->m);
    assert_int_equal(machine_digest(m), machine_digest(f->m));
    machine_history_limits(f->m, 3, UINT64_MAX);
    assert_int_equal(machine_digest(m), machine_digest(f->m));
    assert_int_equal(machine_sum(m), machine_sum(f->m));
    machine_free(f->m);
    f->m = m;
    assert_string_equal(ask(f, "XRANGE __changes__ - +"), before);
    assert_memory_equal(ask(f, "XREAD STREAMS __changes__ 0"), "-TRIMMED", 8);
    run(f, "SET c 3");
    assert_non_null(strstr(ask(f, "XREAD STREAMS __changes__ 30-1"), "31-0"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(history_order),
        cmocka_unit_test(history_bounds),
        cmocka_unit_test(history_seeks),
        cmocka_unit_test(history_frozen),
        cmocka_unit_test(history_refuses),
        cmocka_unit_test_setup_teardown(feed_entries, setup, teardown),
        cmocka_unit_test_setup_teardown(feed_read, setup, teardown),
        cmocka_unit_test_setup_teardown(feed_prefix, setup, teardown),
        cmocka_unit_test_setup_teardown(feed_range, setup, teardown),
        cmocka_unit_test_setup_teardown(feed_trimmed, setup, teardown),
        cmocka_unit_test_setup_teardown(feed_from_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(feed_info, setup, teardown),
        cmocka_unit_test_setup_teardown(feed_errors, setup, teardown),
        cmocka_unit_test_setup_teardown(feed_reply_is_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(feed_steps, setup, teardown),
        cmocka_unit_test_setup_teardown(feed_overtaken, setup, teardown),
        cmocka_unit_test_setup_teardown(feed_dollar_stays, setup, teardown),
        cmocka_unit_test_setup_teardown(feed_survives_snapshot, setup,
                                        teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
