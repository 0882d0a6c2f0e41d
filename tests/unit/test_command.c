/* The commands, on a machine: replies and errors, line by line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/limits.h"
#include "base/rng.h"
#include "resp/resp.h"
#include "server/command/args.h"
#include "server/command/command.h"
#include "server/store/machine.h"
#include "tests/unit/ask.h"

/* Values are stored, read, counted, joined and removed. */
static void strings(void **state)
{
    static const struct line lines[] = {
        {"GET a", "_"},
        {"SET a 1", "+OK"},
        {"GET a", "$1 1"},
        {"get a", "$1 1"},
        {"SET e ''", "+OK"},
        {"GET e", "$0 "},
        {"STRLEN a", ":1"},
        {"STRLEN none", ":0"},
        {"APPEND a 23", ":3"},
        {"APPEND n xy", ":2"},
        {"APPEND z ''", ":0"},
        {"EXISTS z", ":1"},
        {"GET a", "$3 123"},
        {"SETNX a 9", ":0"},
        {"SETNX b 9", ":1"},
        {"MGET a none b a", "*4 $3 123 _ $1 9 $3 123"},
        {"MSET x 1 y 2 x 3", "+OK"},
        {"MGET x y", "*2 $1 3 $1 2"},
        {"MSET x 1 y", "-ERR wrong number of arguments for 'mset' command"},
        {"MSETNX x 5 q 5", ":0"},
        {"GET q", "_"},
        {"MSETNX p 5 q 6 p 7", ":1"},
        {"MGET p q", "*2 $1 7 $1 6"},
        {"MSETNX p", "-ERR wrong number of arguments for 'msetnx' command"},
        {"GETDEL p", "$1 7"},
        {"GETDEL p", "_"},
        {"TYPE a", "+string"},
        {"TYPE p", "+none"},
        {"EXISTS a a b none", ":3"},
        {"DEL a a none", ":1"},
        {"UNLINK b x none", ":2"},
        {"DBSIZE", ":5"},
        {"FLUSHALL", "+OK"},
        {"FLUSHALL ASYNC", "+OK"},
        {"FLUSHALL SOON", SYNTAX},
        {"DBSIZE", ":0"},
        {NULL, NULL},
    };

    check_lines(*state, lines);
}

/* Each option of SET, alone and with each other. */
static void set_options(void **state)
{
    static const struct line lines[] = {
        {"SET a 1 XX", "_"},
        {"SET a 1 NX", "+OK"},
        {"SET a 2 NX", "_"},
        {"SET a 2 nx get", "$1 1"},
        {"SET a 2 XX GET", "$1 1"},
        {"SET new 2 XX GET", "_"},
        {"EXISTS new", ":0"},
        {"SET new 2 NX GET", "_"},
        {"GET new", "$1 2"},
        {"SET a 3 IFEQ 1", "_"},
        {"SET a 3 IFEQ 2", "+OK"},
        {"SET a 4 IFEQ 9 GET", "$1 3"},
        {"GET a", "$1 3"},
        {"SET gone 4 IFEQ 9", "_"},
        {"SET a 4 IFEQ 3 NX", SYNTAX},
        {"SET a 4 IFEQ", SYNTAX},
        {"SET a 4 NX XX", SYNTAX},
        {"SET a 4 EX", SYNTAX},
        {"SET a 4 EX 10 PX 10", SYNTAX},
        {"SET a 4 EX 10 KEEPTTL", SYNTAX},
        {"SET a 4 PERSIST", SYNTAX},
        {"SET a 4 WHAT", SYNTAX},
        {"SET a 4 EX x", NOT_INT},
        {"SET a 4 EX 0", "-ERR invalid expire time in 'set' command"},
        {"SET a 4 PX -1", "-ERR invalid expire time in 'set' command"},
        {"SET a 4 EX 9223372036854775807",
         "-ERR invalid expire time in 'set' command"},
        {"SET a 4 PX 9223372036854775807",
         "-ERR invalid expire time in 'set' command"},
        {"SET a 4 EXAT 9223372036854775807",
         "-ERR invalid expire time in 'set' command"},
        {"GET a", "$1 3"},
        {"SET a 4 EX 100 EX 200", "+OK"},
        {"PTTL a", ":200000"},
        {"SET a 5 KEEPTTL", "+OK"},
        {"TTL a", ":200"},
        {"SET a 6", "+OK"},
        {"TTL a", ":-1"},
        {"SET a 7 PX 1500", "+OK"},
        {"PEXPIRETIME a", ":1001500"},
        {"SET a 8 EXAT 2000", "+OK"},
        {"PTTL a", ":1000000"},
        {"SET a 8 PXAT 1000001", "+OK"},
        {"PTTL a", ":1"},
        {"SET a 8 PXAT 1000000", "+OK"},
        {"GET a", "_"},
        {"SET a 8 EXAT 1", "+OK"},
        {"EXISTS a", ":0"},
        {NULL, NULL},
    };

    check_lines(*state, lines);
}

/* Deadlines: set in every way, read in every way, passed, taken away. */
static void deadlines(void **state)
{
    static const struct line lines[] = {
        {"SETEX a 10 v", "+OK"},
        {"TTL a", ":10"},
        {"PSETEX b 1499 v", "+OK"},
        {"TTL b", ":1"},
        {"+1000", ""},
        {"TTL b", ":0"},
        {"PTTL b", ":499"},
        {"+499", ""},
        {"GET b", "_"},
        {"TTL b", ":-2"},
        {"DBSIZE", ":1"},
        {"SETEX a 0 v", "-ERR invalid expire time in 'setex' command"},
        {"PSETEX a -1 v", "-ERR invalid expire time in 'psetex' command"},
        {"SETEX a x v", NOT_INT},
        {"PERSIST a", ":1"},
        {"PERSIST a", ":0"},
        {"PERSIST none", ":0"},
        {"TTL a", ":-1"},
        {"PTTL a", ":-1"},
        {"EXPIRETIME a", ":-1"},
        {"PEXPIRETIME none", ":-2"},
        {"EXPIRE none 10", ":0"},
        {"EXPIRE a 10", ":1"},
        {"EXPIRE a 10 NX", ":0"},
        {"EXPIRE a 5 GT", ":0"},
        {"EXPIRE a 20 GT", ":1"},
        {"EXPIRE a 30 LT", ":0"},
        {"EXPIRE a 10 lt xx", ":1"},
        {"PEXPIRE a 5000 XX", ":1"},
        {"PTTL a", ":5000"},
        {"EXPIREAT a 2000", ":1"},
        {"EXPIRETIME a", ":2000"},
        {"PEXPIREAT a 1600400", ":1"},
        {"EXPIRETIME a", ":1600"},
        {"PERSIST a", ":1"},
        {"EXPIRE a 10 XX", ":0"},
        {"EXPIRE a 10 GT", ":0"},
        {"EXPIRE a 10 LT", ":1"},
        {"EXPIRE a x", NOT_INT},
        {"EXPIRE a 10 WHAT", "-ERR Unsupported option WHAT"},
        {"EXPIRE a 10 NX GT",
         "-ERR NX and XX, GT or LT options at the same "
         "time are not compatible"},
        {"EXPIRE a 10 GT LT",
         "-ERR GT and LT options at the same time are "
         "not compatible"},
        {"EXPIRE a 9223372036854775807",
         "-ERR invalid expire time in 'expire' command"},
        {"PEXPIRE a 9223372036854775807",
         "-ERR invalid expire time in 'pexpire' command"},
        {"EXPIREAT a -9223372036854775808",
         "-ERR invalid expire time in 'expireat' command"},
        {"EXPIRE a -1", ":1"},
        {"EXISTS a", ":0"},
        {"SET a v", "+OK"},
        {"PEXPIREAT a -9223372036854775808", ":1"},
        {"EXISTS a", ":0"},
        {NULL, NULL},
    };

    check_lines(*state, lines);
}

/* GETEX changes deadlines as it reads; a change in place keeps them. */
static void deadlines_kept(void **state)
{
    static const struct line lines[] = {
        {"SET a v EX 10", "+OK"},
        {"GETEX a", "$1 v"},
        {"TTL a", ":10"},
        {"GETEX a PX 5000", "$1 v"},
        {"TTL a", ":5"},
        {"GETEX a PERSIST", "$1 v"},
        {"TTL a", ":-1"},
        {"GETEX a EX 10 PERSIST", SYNTAX},
        {"GETEX a NX", SYNTAX},
        {"GETEX a EX 0", "-ERR invalid expire time in 'getex' command"},
        {"GETEX none EX 5", "_"},
        {"GETEX a EXAT 1", "$1 v"},
        {"EXISTS a", ":0"},
        {"SET n 1 EX 10", "+OK"},
        {"INCR n", ":2"},
        {"APPEND n 3", ":2"},
        {"TTL n", ":10"},
        {NULL, NULL},
    };

    check_lines(*state, lines);
}

/* Integers are canonical decimals of 64 bits, and nothing wraps. */
static void integers(void **state)
{
    static const struct line lines[] = {
        {"INCR a", ":1"},
        {"INCRBY a 41", ":42"},
        {"DECR a", ":41"},
        {"DECRBY a 50", ":-9"},
        {"GET a", "$2 -9"},
        {"INCRBY a x", NOT_INT},
        {"INCRBY a +1", NOT_INT},
        {"INCRBY a 01", NOT_INT},
        {"INCRBY a -0", NOT_INT},
        {"INCRBY a ''", NOT_INT},
        {"INCRBY a 9223372036854775808", NOT_INT},
        {"DECRBY a -9223372036854775808", "-ERR decrement would overflow"},
        {"SET s text", "+OK"},
        {"INCR s", NOT_INT},
        {"SET s 007", "+OK"},
        {"INCR s", NOT_INT},
        {"SET s 9223372036854775807", "+OK"},
        {"INCR s", "-ERR increment or decrement would overflow"},
        {"GET s", "$19 9223372036854775807"},
        {"SET s -9223372036854775808", "+OK"},
        {"DECR s", "-ERR increment or decrement would overflow"},
        {"INCRBY s -1", "-ERR increment or decrement would overflow"},
        {"INCRBY s 9223372036854775807", ":-1"},
        {NULL, NULL},
    };

    check_lines(*state, lines);
}

/* What is no command, or has too few or too many words, is said as Redis
 * says it. */
static void unknown(void **state)
{
    static const struct line lines[] = {
        {"NOPE a b",
         "-ERR unknown command 'NOPE', with args beginning with: 'a' 'b' "},
        {"REVS a",
         "-ERR unknown command 'REVS', with args beginning with: "
         "'a' "},
        {"GET", "-ERR wrong number of arguments for 'get' command"},
        {"GET a b", "-ERR wrong number of arguments for 'get' command"},
        {"SET a", "-ERR wrong number of arguments for 'set' command"},
        {"CONFIG", "-ERR wrong number of arguments for 'config' command"},
        {"CONFIG GET",
         "-ERR wrong number of arguments for 'config|get' command"},
        {"CONFIG NOPE a", "-ERR unknown subcommand 'NOPE'. Try CONFIG HELP."},
        {"CLIENT NOPE x", "-ERR unknown subcommand 'NOPE'. Try CLIENT HELP."},
        {"PING a b", "-ERR wrong number of arguments for 'ping' command"},
        {"PING", "+PONG"},
        {"PING x", "$1 x"},
        {"ECHO x", "$1 x"},
        {"ONCE", "-ERR wrong number of arguments for 'once' command"},
        {NULL, NULL},
    };

    check_lines(*state, lines);
}

/* GETV tells the revision that created a key and the last one; TXN compares
 * the last one; zero stands for an absent key. */
static void revisions(void **state)
{
    struct fixture *f = *state;
    static const struct line lines[] = {
        {"GETV a", "_"},
        {"SET a 1", "+OK"},
        {"SET b 1", "+OK"},
        {"SET a 2", "+OK"},
        {"GETV a", "*3 $1 2 :1 :3"},
        {"TXN 1 a 3 2 3 SET a 3 2 GET b", "*2 +OK $1 1"},
        {"TXN 1 a 3 1 3 SET a 4", "*-1"},
        {"GET a", "$1 3"},
        {"TXN 1 c 0 1 3 SET c 1", "*1 +OK"},
        {"TXN 1 c 0 1 3 SET c 2", "*-1"},
        {"TXN 0 0", "*0"},
        {"TXN 2 c 5 a 4 1 2 GET c", "*1 $1 1"},
        /* Both changes of one transaction share a revision. */
        {"TXN 0 2 3 SET p 1 3 SET q 1", "*2 +OK +OK"},
        {"GETV p", "*3 $1 1 :6 :6"},
        {"GETV q", "*3 $1 1 :6 :6"},
        /* A nested error is its own element and stops no other. */
        {"TXN 0 3 2 INCR p 3 SET p x 2 INCR p", "*3 :2 +OK " NOT_INT},
        {"TXN 0 1 4 SET a 1 BAD", "*1 " SYNTAX},
        {"TXN 0 1 1 PING", "-ERR Command not allowed inside a transaction"},
        {"TXN 0 1 3 TXN 0 0",
         "-ERR Command not allowed inside a "
         "transaction"},
        {"TXN 0 1 2 ONCE OPEN",
         "-ERR Command not allowed inside a "
         "transaction"},
        {"TXN 0 1 2 REVS a", "-ERR unknown command in a transaction"},
        {"TXN 0 1 1 GET", "-ERR wrong number of arguments for 'get' command"},
        {"TXN 0 1 9 GET a", SYNTAX},
        {"TXN 0 1 0 GET a", SYNTAX},
        {"TXN 0 2 2 GET a", SYNTAX},
        {"TXN 0 1 2 GET a b", SYNTAX},
        {"TXN 1 a 0", SYNTAX},
        {"TXN 9 a 0 0", SYNTAX},
        {"TXN x 0", NOT_INT},
        {"TXN -1 0", NOT_INT},
        {"TXN 1 a x 0", NOT_INT},
        {NULL, NULL},
    };

    check_lines(f, lines);
}

/* A transaction of reads alone is a read: it needs no log entry. */
static void reads_only(void **state)
{
    struct bytes argv[WORDS];
    char w[] = "TXN 0 2 2 GET a 3 MGET b c";
    char x[] = "TXN 0 2 2 GET a 2 DEL b";
    const struct command *txn = command_by_name(bytes_str("txn"));
    int argc = split(w, argv);

    (void)state;
    assert_false(command_writes(txn, argv, argc));
    argc = split(x, argv);
    assert_true(command_writes(txn, argv, argc));
}

/* A named request is applied once; sent again it gets the same reply. */
static void once(void **state)
{
    struct fixture *f = *state;
    char line[64];
    unsigned long long s;

    assert_int_equal(sscanf(ask(f, "ONCE OPEN"), ":%llu", &s), 1);
    snprintf(line, sizeof line, "ONCE %llu 1 INCR a", s);
    assert_string_equal(ask(f, line), ":1");
    assert_string_equal(ask(f, line), ":1");
    assert_string_equal(ask(f, "GET a"), "$1 1");
    snprintf(line, sizeof line, "ONCE %llu 3 INCR a", s);
    assert_string_equal(ask(f, line),
                        "-ERR number is not the next of this session");
    snprintf(line, sizeof line, "ONCE %llu 2 TXN 1 a 9 1 2 DEL a", s);
    assert_string_equal(ask(f, line), "*-1");
    assert_string_equal(ask(f, line), "*-1");
    snprintf(line, sizeof line, "ONCE %llu 1 INCR a", s);
    assert_memory_equal(ask(f, line), "-UNKNOWN", 8);
    snprintf(line, sizeof line, "ONCE %llu 3 INCR a", s);
    assert_string_equal(ask(f, line), ":2");
    snprintf(line, sizeof line, "ONCE CLOSE %llu", s);
    assert_string_equal(ask(f, line), ":1");
    assert_string_equal(ask(f, line), ":0");
    snprintf(line, sizeof line, "ONCE %llu 4 INCR a", s);
    assert_memory_equal(ask(f, line), "-NOSESSION", 10);
    assert_string_equal(ask(f, "GET a"), "$1 2");
}

/* What ONCE cannot take is refused before it takes a number. */
static void once_refuses(void **state)
{
    static const struct line lines[] = {
        {"ONCE 1", SYNTAX},
        {"ONCE x 1 SET a 1", NOT_INT},
        {"ONCE 1 0 SET a 1", NOT_INT},
        {"ONCE 1 1 GET a", "-ERR ONCE takes a command that writes"},
        {"ONCE 1 1 ONCE OPEN", "-ERR ONCE takes a command that writes"},
        {"ONCE 1 1 PING", "-ERR ONCE takes a command that writes"},
        {"ONCE 1 1 SET a",
         "-ERR wrong number of arguments for 'set' "
         "command"},
        {"ONCE 1 1 SET a 1 BAD", SYNTAX},
        {"ONCE 1 1 NOPE",
         "-ERR unknown command 'NOPE', with args beginning "
         "with: "},
        {"ONCE OPEN x",
         "-ERR wrong number of arguments for 'once|open' "
         "command"},
        {"ONCE CLOSE x", NOT_INT},
        {NULL, NULL},
    };

    check_lines(*state, lines);
}

/* RANGE gives keys in order of their bytes, from start to before end. */
static void ranges(void **state)
{
    static const struct line lines[] = {
        {"RANGE '' ''", "*0"},
        {"MSET a 1 b 2 c 3 d 4 bb 5", "+OK"},
        {"RANGE '' ''",
         "*10 $1 a $1 1 $1 b $1 2 $2 bb $1 5 $1 c $1 3 $1 d $1 4"},
        {"RANGE b c", "*4 $1 b $1 2 $2 bb $1 5"},
        {"RANGE b c REV", "*4 $2 bb $1 5 $1 b $1 2"},
        {"RANGE b '' REV LIMIT 2", "*4 $1 d $1 4 $1 c $1 3"},
        {"RANGE '' bb REV LIMIT 1", "*2 $1 b $1 2"},
        {"RANGE '' cc rev limit 1", "*2 $1 c $1 3"},
        {"RANGE bb '' LIMIT 1", "*2 $2 bb $1 5"},
        {"RANGE '' '' LIMIT 0", "*0"},
        {"RANGE c b", "*0"},
        {"RANGE c b REV", "*0"},
        {"RANGE a b LIMIT", SYNTAX},
        {"RANGE a b LIMIT -1", SYNTAX},
        {"RANGE a b LIMIT x", NOT_INT},
        {"RANGE a b WHAT", SYNTAX},
        {"KEYS *", "*5 $1 a $1 b $2 bb $1 c $1 d"},
        {"KEYS b*", "*2 $1 b $2 bb"},
        {"KEYS [c-d]", "*2 $1 c $1 d"},
        {"KEYS none", "*0"},
        {NULL, NULL},
    };

    check_lines(*state, lines);
}

/* SCAN gives every key, whatever the step, and ends. */
static void scans(void **state)
{
    struct fixture *f = *state;
    static const int counts[] = {1, 7, 1000};
    char line[64];

    for (int i = 0; i < 500; i++) {
        snprintf(line, sizeof line, "SET key:%d v", i);
        ask(f, line);
    }
    for (size_t k = 0; k < sizeof counts / sizeof counts[0]; k++) {
        bool seen[500] = {false};
        char cursor[32] = "0";
        int keys = 0, rounds = 0;

        do {
            struct resp_value *v;

            snprintf(line, sizeof line, "SCAN %s COUNT %d", cursor, counts[k]);
            ask(f, line);
            assert_int_equal(resp_parse_reply(buf_bytes(&f->reply), &v), 0);
            snprintf(cursor, sizeof cursor, "%.*s", (int)v->items[0].str.n,
                     (const char *)v->items[0].str.p);
            for (size_t i = 0; i < v->items[1].n; i++) {
                int at = atoi((const char *)v->items[1].items[i].str.p + 4);

                keys += !seen[at];
                seen[at] = true;
            }
            resp_value_free(v);
            assert_true(++rounds < 5000);
        } while (strcmp(cursor, "0") != 0);
        assert_int_equal(keys, 500);
    }
}

/* The options of SCAN, and what it refuses. */
static void scan_options(void **state)
{
    static const struct line lines[] = {
        {"SET a 1", "+OK"},
        {"SCAN 0", "*2 $1 0 *1 $1 a"},
        {"SCAN 0 MATCH b*", "*2 $1 0 *0"},
        {"SCAN 0 TYPE string", "*2 $1 0 *1 $1 a"},
        {"SCAN 0 TYPE hash COUNT 100", "*2 $1 0 *0"},
        {"SCAN x", "-ERR invalid cursor"},
        {"SCAN -1", "*2 $1 0 *0"},
        {"SCAN 9007199254740992", "*2 $1 0 *0"},
        {"SCAN 18446744073709551616", "-ERR invalid cursor"},
        {"SCAN 0 COUNT 0", SYNTAX},
        {"SCAN 0 COUNT x", NOT_INT},
        {"SCAN 0 COUNT", SYNTAX},
        {"SCAN 0 WHAT x", SYNTAX},
        {NULL, NULL},
    };

    check_lines(*state, lines);
}

/* Keys beyond the limit are refused before admission, wherever they stand. */
static void long_keys(void **state)
{
    static const char *const lines[] = {
        "GET K",   "SET K v",     "MGET a K",        "MSET a 1 K 2",
        "DEL a K", "TXN 1 K 0 0", "ONCE 1 1 SET K v"};
    static uint8_t key[LIM_KEY + 1];
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        for (int over = 0; over <= 1; over++) {
            struct bytes argv[WORDS];
            char words[64];
            bool refused;
            int argc;

            snprintf(words, sizeof words, "%s", lines[i]);
            argc = split(words, argv);
            for (int k = 0; k < argc; k++) {
                if (bytes_eq(argv[k], bytes_str("K"))) {
                    argv[k] = bytes_of(key, LIM_KEY + (size_t)over);
                }
            }
            ask_words(f, argv, argc);
            refused =
                f->reply.n > 12 && memcmp(f->reply.p, "-ERR key is l", 13) == 0;
            assert_int_equal(refused, over == 1);
        }
    }
}

/* A reply beyond the limit becomes an error, not memory. */
static void long_replies(void **state)
{
    struct fixture *f = *state;
    static uint8_t value[8 << 20];
    struct bytes argv[12] = {bytes_str("SET"), bytes_str("a"),
                             bytes_of(value, sizeof value)};

    ask_words(f, argv, 3);
    for (int i = 1; i < 10; i++) {
        argv[i] = bytes_str("a");
    }
    argv[0] = bytes_str("MGET");
    ask_words(f, argv, 10);
    assert_memory_equal(f->reply.p, "-ERR reply is larger", 20);
    ask_words(f, argv, 8);
    assert_int_equal(f->reply.p[0], '*');
    /* In a transaction what is too much is cut, the rest done. */
    assert_true(strstr(ask(f,
                           "TXN 0 3 8 MGET a a a a a a a 3 MGET a a "
                           "3 SET b 1"),
                       "") != NULL);
    assert_memory_equal(f->reply.p + f->reply.n - 5, "+OK\r\n", 5);
    assert_true(f->reply.n < REPLY_MAX + 1000);
    assert_string_equal(ask(f, "GET b"), "$1 1");
}

/* Every row has its own id and name, and what it says of itself is sound. */
static void table(void **state)
{
    size_t n;
    const struct command *rows = command_table(&n);

    (void)state;
    for (size_t i = 0; i < n; i++) {
        const struct command *c = &rows[i];

        assert_ptr_equal(command_by_id(c->id), c);
        if (c->parent == NULL) {
            assert_ptr_equal(command_by_name(bytes_str(c->name)), c);
        } else {
            const struct command *p = command_by_name(bytes_str(c->parent));

            assert_non_null(p);
            assert_ptr_equal(command_sub(p, bytes_str(c->name)), c);
        }
        assert_true(c->help[0] != 0 && c->arity != 0);
        assert_true((c->first_key == 0) == (c->step == 0));
        /* Who answers? Exactly one. */
        assert_int_equal(((c->flags & CMD_LOCAL) != 0) +
                             ((c->flags & CMD_NODE) != 0) +
                             (c->handler != NULL) +
                             (c->handler == NULL && c->flags == CMD_CONN),
                         1);
        assert_int_equal(c->handler != NULL,
                         (c->flags & (CMD_READ | CMD_WRITE)) != 0);
    }
    assert_null(command_by_id(0));
    assert_null(command_by_id(9999));
}

/* Command bytes give back the words they were made of. */
static void encoded(void **state)
{
    struct bytes argv[] = {bytes_str("CONFIG"), bytes_str("GET"),
                           bytes_str("a*"), bytes_str("")};
    const struct command *c;
    struct buf error = BUF_INIT;
    struct command_words w;
    struct blob *b;

    (void)state;
    c = command_find(argv, 4, &error);
    b = command_encode(c, COMMAND_CLUSTER_PORT, argv, 4);
    assert_int_equal(command_decode(blob_bytes(b), &w), 0);
    assert_ptr_equal(w.command, c);
    assert_int_equal(w.argc, 4);
    assert_int_equal(w.marks, COMMAND_CLUSTER_PORT);
    assert_true(bytes_eq(w.argv[1], bytes_str("get")));
    assert_true(bytes_eq(w.argv[2], argv[2]));
    assert_int_equal(w.argv[3].n, 0);
    command_words_release(&w);
    blob_unref(b);
}

/* Command bytes cut anywhere are refused, and change nothing at apply. */
static void cut(void **state)
{
    struct fixture *f = *state;
    struct bytes argv[] = {bytes_str("SET"), bytes_str("key"),
                           bytes_str("value")};
    struct blob *b = command_encode(command_by_name(argv[0]), 0, argv, 3);
    struct command_words w;

    for (size_t n = 0; n < b->n; n++) {
        assert_int_equal(command_decode(bytes_of(b->d, n), &w), HF_EINVAL);
        apply_command(f, bytes_of(b->d, n));
        assert_string_equal((const char *)ask(f, "DBSIZE"), ":0");
    }
    blob_unref(b);
}

/* Whatever byte changes, apply answers something and two machines agree. */
static void flipped(void **state)
{
    struct fixture *f = *state;
    struct fixture g;
    struct bytes argv[] = {bytes_str("TXN"), bytes_str("1"), bytes_str("k"),
                           bytes_str("0"),   bytes_str("1"), bytes_str("3"),
                           bytes_str("SET"), bytes_str("k"), bytes_str("v")};
    struct blob *b = command_encode(command_by_name(argv[0]), 0, argv, 9);

    fixture_init(&g);
    for (size_t i = 0; i < b->n; i++) {
        for (int bit = 0; bit < 8; bit++) {
            b->d[i] ^= (uint8_t)(1 << bit);
            apply_command(f, blob_bytes(b));
            apply_command(&g, blob_bytes(b));
            assert_true(f->reply.n > 0);
            assert_true(bytes_eq(buf_bytes(&f->reply), buf_bytes(&g.reply)));
            assert_true(machine_sum(f->m) == machine_sum(g.m));
            b->d[i] ^= (uint8_t)(1 << bit);
        }
    }
    blob_unref(b);
    fixture_release(&g);
}

/* Random words of known commands: check and apply agree on what is
 * well-formed, and every reply is exactly one whole reply. */
static void random_words(void **state)
{
    static const char *const words[] = {
        "a",  "b",   "1",   "0",  "-1", "EX",   "PX",  "NX",     "XX",
        "GT", "GET", "SET", "LT", "",   "INCR", "TXN", "KEEPTTL"};
    struct fixture *f = *state;
    struct rng r = {42};
    size_t rows;
    const struct command *table_rows = command_table(&rows);

    for (int i = 0; i < 20000; i++) {
        const struct command *c = &table_rows[rng_below(&r, rows)];
        struct bytes argv[8];
        int argc = 1 + (int)rng_below(&r, 7);
        struct resp_value *v = NULL;

        argv[0] = bytes_str(c->name);
        for (int k = 1; k < argc; k++) {
            argv[k] =
                bytes_str(words[rng_below(&r, sizeof words / sizeof words[0])]);
        }
        if (c->handler == NULL || c->parent != NULL) {
            continue;
        }
        ask_words(f, argv, argc);
        assert_int_equal(resp_parse_reply(buf_bytes(&f->reply), &v), 0);
        resp_value_free(v);
    }
}

/* A write cannot come in where reads are answered. */
static void reads_do_not_write(void **state)
{
    struct fixture *f = *state;
    struct bytes argv[] = {bytes_str("SET"), bytes_str("a"), bytes_str("1")};
    struct blob *b = command_encode(command_by_name(argv[0]), 0, argv, 3);

    buf_clear(&f->reply);
    command_read(f->m, blob_bytes(b), &f->reply);
    assert_int_equal(f->reply.p[0], '-');
    assert_string_equal(ask(f, "DBSIZE"), ":0");
    blob_unref(b);
}

/* Globs as in Redis. */
static void globs(void **state)
{
    static const struct {
        const char *pattern;
        const char *text;
        bool match;
    } cases[] = {
        {"*", "", true},           {"", "", true},
        {"", "a", false},          {"a", "", false},
        {"a*", "abc", true},       {"*c", "abc", true},
        {"a*c", "abbc", true},     {"a*b*c", "axbxc", true},
        {"a*d", "abc", false},     {"?", "", false},
        {"?b?", "abc", true},      {"[ab]", "b", true},
        {"[^ab]", "b", false},     {"[^ab]", "c", true},
        {"[a-c]x", "bx", true},    {"[c-a]x", "bx", true},
        {"[a-c", "b", true},       {"\\*", "*", true},
        {"\\*", "a", false},       {"[\\]]", "]", true},
        {"**a**", "bab", true},    {"a\\", "a\\", true},
        {"*[0-9]", "key:7", true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (command_glob(bytes_str(cases[i].pattern),
                         bytes_str(cases[i].text)) != cases[i].match) {
            fail_msg("%s on %s", cases[i].pattern, cases[i].text);
        }
    }
}

/* Stars cannot make a glob take exponential time. */
static void glob_time(void **state)
{
    char text[2001], pattern[101];

    (void)state;
    memset(text, 'a', 2000);
    text[2000] = 0;
    for (int i = 0; i < 100; i += 2) {
        memcpy(pattern + i, "*a", 3);
    }
    pattern[99] = 'b';
    assert_false(command_glob(bytes_str(pattern), bytes_str(text)));
}

/* A glob gives up when its steps are used up, and says so; what is found
 * before leaves some. */
static void glob_steps(void **state)
{
    enum { CLASS = 1 << 20 };
    char *pattern = malloc(CLASS + 8);
    uint64_t steps;

    (void)state;
    memset(pattern, 'x', CLASS + 8);
    memcpy(pattern, "*[", 2);
    pattern[CLASS] = ']';
    pattern[CLASS + 1] = 0;
    steps = 4 * CLASS;
    assert_false(
        command_glob_within(bytes_str(pattern), bytes_str("aaaaaaaa"), &steps));
    assert_int_equal(steps, 0);
    steps = 4 * CLASS;
    assert_true(
        command_glob_within(bytes_str(pattern), bytes_str("aax"), &steps));
    assert_in_range(steps, 1, CLASS);
    steps = 100;
    assert_true(command_glob_within(bytes_str("a*"), bytes_str("abc"), &steps));
    assert_true(steps > 90);
    free(pattern);
}

static void set_key(struct fixture *f, const uint8_t *key, size_t n)
{
    struct bytes argv[] = {bytes_str("SET"), bytes_of(key, n), bytes_str("v")};

    ask_words(f, argv, 3);
    assert_memory_equal(f->reply.p, "+OK", 3);
}

static void too_slow(struct fixture *f, const struct bytes *argv, int argc)
{
    static const char error[] = "-ERR the pattern takes too long to match\r\n";

    ask_words(f, argv, argc);
    assert_int_equal(f->reply.n, strlen(error));
    assert_memory_equal(f->reply.p, error, strlen(error));
}

/* A client's pattern is tried for a bounded time, whatever it and the keys
 * are: beyond, it is refused. */
static void slow_patterns(void **state)
{
    enum { KEY = 60000, PATTERN = 30000, CLASS = 1 << 20 };
    struct bytes scan[] = {bytes_str("SCAN"), bytes_str("0"),
                           bytes_str("MATCH"), bytes_str("")};
    struct bytes keys[] = {bytes_str("KEYS"), bytes_str("")};
    struct bytes list[] = {bytes_str("COMMAND"), bytes_str("LIST"),
                           bytes_str("FILTERBY"), bytes_str("PATTERN"),
                           bytes_str("")};
    uint8_t *key = malloc(KEY);
    uint8_t *pattern = malloc(CLASS);
    struct fixture *f = *state;

    memset(key, 'a', KEY);
    memset(pattern, 'a', CLASS);
    pattern[0] = '*';
    pattern[PATTERN - 1] = '!';
    scan[3] = keys[1] = bytes_of(pattern, PATTERN);
    set_key(f, key, KEY);
    too_slow(f, scan, 4);
    too_slow(f, keys, 2);
    memset(pattern + 1, '!', CLASS - 1);
    pattern[1] = '[';
    pattern[CLASS - 1] = ']';
    list[4] = bytes_of(pattern, CLASS);
    too_slow(f, list, 5);
    free(pattern);
    free(key);
}

/* One that is slow on every key ends a SCAN early, and the next one goes on
 * from there. */
static void slow_scan(void **state)
{
    enum { KEYS = 300, KEY = 800, PATTERN = 400 };
    uint8_t key[KEY], pattern[PATTERN];
    struct bytes scan[] = {bytes_str("SCAN"),  bytes_str("0"),
                           bytes_str("MATCH"), bytes_of(pattern, PATTERN),
                           bytes_str("COUNT"), bytes_str("10000")};
    char cursor[32] = "0";
    struct fixture *f = *state;
    int rounds = 0;

    memset(key, 'a', KEY);
    memset(pattern, 'a', PATTERN);
    pattern[0] = '*';
    pattern[PATTERN - 1] = '!';
    for (int i = 0; i < KEYS; i++) {
        key[KEY - 1] = (uint8_t)i;
        key[KEY - 2] = (uint8_t)(i >> 8);
        set_key(f, key, KEY);
    }
    do {
        struct resp_value *v;

        scan[1] = bytes_str(cursor);
        ask_words(f, scan, 6);
        assert_int_equal(resp_parse_reply(buf_bytes(&f->reply), &v), 0);
        assert_int_equal(v->n, 2);
        assert_int_equal(v->items[1].n, 0);
        snprintf(cursor, sizeof cursor, "%.*s", (int)v->items[0].str.n,
                 (const char *)v->items[0].str.p);
        resp_value_free(v);
        assert_true(++rounds <= KEYS);
    } while (strcmp(cursor, "0") != 0);
    assert_true(rounds > 5);
}

/* Slots as every cluster-aware client computes them. */
static void slots(void **state)
{
    (void)state;
    assert_int_equal(command_key_slot(bytes_str("123456789")), 0x31C3);
    assert_int_equal(command_key_slot(bytes_str("foo")), 12182);
    assert_int_equal(command_key_slot(bytes_str("{foo}.x")), 12182);
    assert_int_equal(command_key_slot(bytes_str("a{foo}{b}")), 12182);
    assert_int_equal(command_key_slot(bytes_str("foo{}{bar}")), 8363);
    assert_int_equal(command_key_slot(bytes_str("")), 0);
}

/* COMMAND in its forms. */
static void command_command(void **state)
{
    static const struct line lines[] = {
        {"COMMAND INFO get nope",
         "*2 *10 $3 get :2 ~2 +readonly +fast :1 :1 :1 ~3 +@read +@string "
         "+@fast ~0 ~1 %3 $5 flags ~2 +RO +access $12 begin_search %2 $4 type "
         "$5 index $4 spec %1 $5 index :1 $9 find_keys %2 $4 type $5 range $4 "
         "spec %3 $7 lastkey :0 $7 keystep :1 $5 limit :0 ~0 _"},
        {"COMMAND GETKEYS MSET a 1 b 2", "*2 $1 a $1 b"},
        {"COMMAND GETKEYS TXN 1 x 0 1 3 SET y 1", "*2 $1 x $1 y"},
        {"COMMAND GETKEYS ONCE 1 1 DEL p q", "*2 $1 p $1 q"},
        {"COMMAND GETKEYS PING x", "-ERR The command has no key arguments"},
        {"COMMAND GETKEYS NOPE x", "-ERR Invalid command specified"},
        {"COMMAND GETKEYS GET",
         "-ERR wrong number of arguments for 'command|getkeys' command"},
        {"COMMAND GETKEYS GET a b",
         "-ERR Invalid number of arguments specified for command"},
        {"COMMAND DOCS nope", "%0"},
        {"COMMAND GETKEYS MEMORY USAGE k", "*1 $1 k"},
        {"COMMAND GETKEYSANDFLAGS SET a b", "*1 *2 $1 a ~2 +OW +update"},
        {"COMMAND GETKEYSANDFLAGS SET a b GET",
         "*1 *2 $1 a ~3 +RW +access +update"},
        {"COMMAND GETKEYSANDFLAGS RENAME a b",
         "*2 *2 $1 a ~3 +RW +access +delete *2 $1 b ~2 +OW +update"},
        {"COMMAND LIST FILTERBY PATTERN config|re*",
         "*2 $16 config|resetstat $14 config|rewrite"},
        {"COMMAND LIST FILTERBY ACLCAT nope", "*0"},
        {"COMMAND LIST FILTERBY MODULE x", "*0"},
        {"COMMAND LIST FILTERBY", "-ERR syntax error"},
        {"COMMAND WHAT", "-ERR unknown subcommand 'WHAT'. Try COMMAND HELP."},
        {NULL, NULL},
    };
    struct fixture *f = *state;
    struct resp_value *v;
    long long count;

    check_lines(f, lines);
    assert_int_equal(sscanf(ask(f, "COMMAND COUNT"), ":%lld", &count), 1);
    ask(f, "COMMAND");
    assert_int_equal(resp_parse_reply(buf_bytes(&f->reply), &v), 0);
    assert_int_equal(v->n, count);
    resp_value_free(v);
    ask(f, "COMMAND DOCS");
    assert_int_equal(resp_parse_reply(buf_bytes(&f->reply), &v), 0);
    assert_int_equal(v->n, 2 * count);
    resp_value_free(v);
}

/* The commands in docs/PROTOCOL.md are the ones of the table. */
static void documented(void **state)
{
    const char *dir = getenv("srcdir");
    struct buf page = BUF_INIT, rows = BUF_INIT;
    char path[1024], block[4096];
    size_t n;
    FILE *file;

    (void)state;
    snprintf(path, sizeof path, "%s/docs/PROTOCOL.md", dir != NULL ? dir : ".");
    file = fopen(path, "r");
    assert_non_null(file);
    while ((n = fread(block, 1, sizeof block, file)) > 0) {
        buf_append(&page, block, n);
    }
    fclose(file);
    command_markdown(&rows);
    if (memmem(page.p, page.n, rows.p, rows.n) == NULL) {
        fail_msg("docs/PROTOCOL.md is not current; run scripts/protocol");
    }
    buf_release(&page);
    buf_release(&rows);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    static const struct CMUnitTest tests[] = {
        T(strings),         T(set_options),  T(deadlines),
        T(deadlines_kept),  T(integers),     T(unknown),
        T(revisions),       T(reads_only),   T(once),
        T(once_refuses),    T(ranges),       T(scans),
        T(scan_options),    T(long_keys),    T(long_replies),
        T(table),           T(encoded),      T(cut),
        T(flipped),         T(random_words), T(globs),
        T(glob_time),       T(glob_steps),   T(slow_patterns),
        T(slow_scan),       T(slots),        T(reads_do_not_write),
        T(command_command), T(documented),
    };

    return cmocka_run_group_tests_name("command", tests, NULL, NULL);
}
