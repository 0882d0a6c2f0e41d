/* Parts of values, floats, digests, dumps; keys moved and copied. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/limits.h"
#include "base/rng.h"
#include "server/command/digest.h"
#include "server/command/dump.h"
#include "server/command/float.h"
#include "tests/unit/ask.h"

#define NOT_FLOAT "-ERR value is not a valid float"
#define NOT_HEX "-ERR must be exactly 16 hexadecimal characters"

/* GETSET gives the old value and drops the deadline. */
static void getset(void **state)
{
    static const struct line lines[] = {
        {"GETSET a 1", "_"},    {"GETSET a 2", "$1 1"}, {"EXPIRE a 10", ":1"},
        {"GETSET a 3", "$1 2"}, {"TTL a", ":-1"},       {"GET a", "$1 3"},
        {NULL, NULL},
    };

    check_lines(*state, lines);
}

/* GETRANGE: every combination of ends before, in and behind the value. */
static void parts(void **state)
{
    static const struct line lines[] = {
        {"SET a 0123456789", "+OK"},
        {"GETRANGE a 0 3", "$4 0123"},
        {"GETRANGE a -3 -1", "$3 789"},
        {"GETRANGE a 0 -1", "$10 0123456789"},
        {"GETRANGE a 5 3", "$0 "},
        {"GETRANGE a 8 100", "$2 89"},
        {"GETRANGE a -100 1", "$2 01"},
        {"GETRANGE a 0 -100", "$1 0"},
        {"GETRANGE a 1 -100", "$0 "},
        {"GETRANGE a -100 -101", "$0 "},
        {"GETRANGE a -100 -100", "$1 0"},
        {"GETRANGE a 10 12", "$0 "},
        {"GETRANGE a -9223372036854775808 9223372036854775807",
         "$10 0123456789"},
        {"GETRANGE none 0 -1", "$0 "},
        {"GETRANGE a x 1", NOT_INT},
        {"GETRANGE a 1 x", NOT_INT},
        {"SUBSTR a 2 3", "$2 23"},
        {"GETRANGE a 1",
         "-ERR wrong number of arguments for 'getrange' "
         "command"},
        {NULL, NULL},
    };

    check_lines(*state, lines);
}

/* SETRANGE keeps the deadline; an empty part changes nothing at all. */
static void parts_written(void **state)
{
    static const struct line lines[] = {
        {"SETRANGE a 0 ''", ":0"},
        {"EXISTS a", ":0"},
        {"SETRANGE a 0 hello", ":5"},
        {"EXPIRE a 10", ":1"},
        {"SETRANGE a 3 PP", ":5"},
        {"GET a", "$5 helPP"},
        {"TTL a", ":10"},
        {"SETRANGE a 5 !!", ":7"},
        {"SETRANGE a 1 ''", ":7"},
        {"SETRANGE a -1 x", "-ERR offset is out of range"},
        {"SETRANGE a x y", NOT_INT},
        {"SETRANGE a 536870912 y",
         "-ERR string exceeds maximum allowed size (proto-max-bulk-len)"},
        {"SETRANGE none 9223372036854775807 y",
         "-ERR string exceeds maximum allowed size (proto-max-bulk-len)"},
        {"SETRANGE none 9223372036854775807 ''", ":0"},
        {"GET a", "$7 helPP!!"},
        {NULL, NULL},
    };
    struct fixture *f = *state;

    check_lines(f, lines);
    ask(f, "SETRANGE pad 2 x");
    ask(f, "GET pad");
    assert_memory_equal(f->reply.p, "$3\r\n\0\0x\r\n", 9);
}

/* Sums as redis-server 7.0.15 gives them on amd64: 64 bits of mantissa, 17
 * decimals, no exponent. */
static void floats(void **state)
{
    static const struct line lines[] = {
        {"SET a 5.6", "+OK"},
        {"INCRBYFLOAT a 5e3", "$22 5005.60000000000000009"},
        {"SET a 10.5", "+OK"},
        {"EXPIRE a 10", ":1"},
        {"INCRBYFLOAT a 0.1", "$4 10.6"},
        {"TTL a", ":10"},
        {"SET a 3.0e3", "+OK"},
        {"INCRBYFLOAT a 1.23e-5", "$22 3000.00001230000000008"},
        {"SET a 0.1", "+OK"},
        {"INCRBYFLOAT a 0.2", "$3 0.3"},
        {"INCRBYFLOAT new -0", "$1 0"},
        {"INCRBYFLOAT new 0x1p3", "$1 8"},
        {"INCRBYFLOAT new 0x1.8", "$3 9.5"},
        {"INCRBYFLOAT new .5", "$2 10"},
        {"INCRBYFLOAT new +5.", "$2 15"},
        {"INCRBYFLOAT new 1e-4940", "$2 15"},
        {"INCRBYFLOAT new -15", "$1 0"},
        {"SET b 9007199254740993", "+OK"},
        {"INCRBYFLOAT b 0.5", "$18 9007199254740993.5"},
        {"SET b 18446744073709551617", "+OK"},
        {"INCRBYFLOAT b 1", "$20 18446744073709551616"},
        {NULL, NULL},
    };

    check_lines(*state, lines);
}

/* What is no number, and sums that are none, change nothing. */
static void floats_refused(void **state)
{
    static const char *const bad[] = {
        "x",    "''",  ".",     "1e",  "0x",    "1e5000", "nan",
        "1e1x", "--1", "1.2.3", "0b1", "@inf@", "1@3",    "1e-5000"};
    static const struct line lines[] = {
        {"INCRBYFLOAT a inf", "-ERR increment would produce NaN or Infinity"},
        {"INCRBYFLOAT a -Infinity",
         "-ERR increment would produce NaN or Infinity"},
        {"SET a 1.1e4932", "+OK"},
        {"INCRBYFLOAT a 1.1e4932",
         "-ERR increment would produce NaN or Infinity"},
        {"GET a", "$8 1.1e4932"},
        {"SET a text", "+OK"},
        {"INCRBYFLOAT a 1", NOT_FLOAT},
        {"SET a ''", "+OK"},
        {"INCRBYFLOAT a 1", NOT_FLOAT},
        {NULL, NULL},
    };
    char line[64];

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        snprintf(line, sizeof line, "INCRBYFLOAT a %s", bad[i]);
        assert_string_equal(ask(*state, line), NOT_FLOAT);
    }
    check_lines(*state, lines);
}

#if defined(__x86_64__)
/* Where the processor has the same registers as Redis uses, it agrees. */
static void floats_as_x87(void **state)
{
    struct rng r = {5};

    (void)state;
    for (int i = 0; i < 20000; i++) {
        char a[64], b[64], want[FLOAT_TEXT_MAX];
        struct buf got = BUF_INIT;
        long double sum;
        size_t n;

        snprintf(a, sizeof a, "%lld.%llue%lld",
                 (long long)(int64_t)rng_next(&r) >> rng_below(&r, 64),
                 (unsigned long long)rng_next(&r) >> rng_below(&r, 64),
                 (long long)rng_below(&r, 60) - 40);
        snprintf(b, sizeof b, "%lld.%llue%lld",
                 (long long)(int64_t)rng_next(&r) >> rng_below(&r, 64),
                 (unsigned long long)rng_next(&r) >> rng_below(&r, 64),
                 (long long)rng_below(&r, 60) - 40);
        sum = strtold(a, NULL) + strtold(b, NULL);
        n = (size_t)snprintf(want, sizeof want, "%.17Lf", sum);
        while (want[n - 1] == '0') {
            n--;
        }
        n -= want[n - 1] == '.';
        want[n] = 0;
        assert_int_equal(float_add(bytes_str(a), bytes_str(b), &got), 0);
        buf_u8(&got, 0);
        assert_string_equal((char *)got.p,
                            strcmp(want, "-0") == 0 ? "0" : want);
        buf_release(&got);
    }
}
#endif

/* The published XXH3 digests, leading zeros kept. */
static void digests(void **state)
{
    static const struct line lines[] = {
        {"DIGEST none", "_"},
        {"SET a ''", "+OK"},
        {"DIGEST a", "$16 2d06800538d394c2"},
        {"SET a "
         "2jkfzkjytls8l7u5b",
         "+OK"},
        {"DIGEST a x", "-ERR wrong number of arguments for 'digest' command"},
        {NULL, NULL},
    };
    char text[DIGEST_DIGITS + 1];
    uint64_t d;

    check_lines(*state, lines);
    digest_text(0x0123, text);
    assert_string_equal(text, "0000000000000123");
    assert_true(digest_parse(bytes_str("00000000000aBcDf"), &d));
    assert_int_equal(d, 0xABCDF);
    assert_false(digest_parse(bytes_str("00000000000abcdg"), &d));
    assert_false(digest_parse(bytes_str("000000000000abcdf"), &d));
}

/* SET with each comparison: equal, different, absent. */
static void set_compares(void **state)
{
    static const struct line lines[] = {
        {"SET none x IFEQ 1", "_"},
        {"SET none x IFDEQ 0000000000000000", "_"},
        {"EXISTS none", ":0"},
        {"SET a x IFNE 1", "+OK"},
        {"SET b x IFDNE 0000000000000000", "+OK"},
        {"SET a y IFNE x", "_"},
        {"SET a y IFEQ z", "_"},
        {"SET a y IFEQ x GET", "$1 x"},
        {"SET a '' IFNE z", "+OK"},
        {"SET a 1 IFDEQ 2D06800538D394C2 EX 10", "+OK"},
        {"TTL a", ":10"},
        {"SET a 2 IFDEQ 2d06800538d394c2", "_"},
        {"SET a '' IFDNE 2d06800538d394c2 KEEPTTL", "+OK"},
        {"TTL a", ":10"},
        {"SET a 2 IFDNE 2d06800538d394c2 GET", "$0 "},
        {"GET a", "$0 "},
        {"SET a 2 IFDEQ 123", NOT_HEX},
        {"SET a 2 IFDNE 2d06800538d394cz", NOT_HEX},
        {"SET a 2 IFEQ x IFEQ x", SYNTAX},
        {"SET a 2 IFNE x NX", SYNTAX},
        {"SET a 2 XX IFDNE 2d06800538d394c2", SYNTAX},
        {"SET a 2 IFNE", SYNTAX},
        {NULL, NULL},
    };

    check_lines(*state, lines);
}

/* DELEX: with and without each condition; an absent key is 0 whatever is
 * asked. */
static void delex(void **state)
{
    static const struct line lines[] = {
        {"DELEX a", ":0"},
        {"DELEX a IFNE 1", ":0"},
        {"DELEX a WHAT 1", ":0"},
        {"DELEX a IFDEQ 1", ":0"},
        {"SET a 1", "+OK"},
        {"DELEX a IFEQ 2", ":0"},
        {"DELEX a IFNE 1", ":0"},
        {"DELEX a IFDEQ 2d06800538d394c2", ":0"},
        {"DELEX a WHAT 1", "-ERR Invalid condition"},
        {"DELEX a NX 1", "-ERR Invalid condition"},
        {"DELEX a IFDNE 1", NOT_HEX},
        {"DELEX a IFEQ", "-ERR wrong number of arguments for 'delex' command"},
        {"DELEX a IFEQ 1 2",
         "-ERR wrong number of arguments for 'delex' command"},
        {"EXISTS a", ":1"},
        {"DELEX a ifeq 1", ":1"},
        {"SET a ''", "+OK"},
        {"DELEX a IFDNE 2d06800538d394c2", ":0"},
        {"DELEX a IFDEQ 2d06800538d394c2", ":1"},
        {"SET a ''", "+OK"},
        {"DELEX a IFNE x", ":1"},
        {"SET a x", "+OK"},
        {"DELEX a IFDNE 2d06800538d394c2", ":1"},
        {"SET a x", "+OK"},
        {"DELEX a", ":1"},
        {"EXISTS a", ":0"},
        {NULL, NULL},
    };

    check_lines(*state, lines);
}

/* MSETEX: all or none; one time for all. */
static void msetex(void **state)
{
    static const struct line lines[] = {
        {"MSETEX 2 a 1 b 2", ":1"},
        {"MSETEX 2 b 3 c 3 NX", ":0"},
        {"MSETEX 2 b 3 c 3 XX", ":0"},
        {"EXISTS c", ":0"},
        {"GET b", "$1 2"},
        {"MSETEX 2 a 3 b 4 XX EX 10", ":1"},
        {"TTL a", ":10"},
        {"TTL b", ":10"},
        {"MSETEX 2 a 5 c 5 KEEPTTL", ":1"},
        {"MGET a b c", "*3 $1 5 $1 4 $1 5"},
        {"TTL a", ":10"},
        {"TTL c", ":-1"},
        {"MSETEX 1 a 6", ":1"},
        {"TTL a", ":-1"},
        {"MSETEX 1 d 1 PXAT 1", ":1"},
        {"EXISTS d", ":0"},
        {"MSETEX 0 a 1", "-ERR invalid numkeys value"},
        {"MSETEX x a 1", "-ERR invalid numkeys value"},
        {"MSETEX 2147483648 a 1", "-ERR invalid numkeys value"},
        {"MSETEX 2147483647 a 1", "-ERR wrong number of key-value pairs"},
        {"MSETEX 2 a 1 b", "-ERR wrong number of key-value pairs"},
        {"MSETEX 1 a 1 WHAT", SYNTAX},
        {"MSETEX 1 a 1 NX XX", SYNTAX},
        {"MSETEX 1 a 1 EX 1 PX 1", SYNTAX},
        {"MSETEX 1 a 1 IFEQ 1", SYNTAX},
        {"MSETEX 1 a 1 EX 0", "-ERR invalid expire time in 'msetex' command"},
        {"COMMAND GETKEYS MSETEX 2 a 1 b 2 EX 10", "*2 $1 a $1 b"},
        {NULL, NULL},
    };

    check_lines(*state, lines);
}

/* RENAME and COPY take the deadline along, and replace what they find. */
static void moved(void **state)
{
    static const struct line lines[] = {
        {"RENAME a b", "-ERR no such key"},
        {"RENAMENX a b", "-ERR no such key"},
        {"SET a 1 EX 10", "+OK"},
        {"SET b 2 EX 99", "+OK"},
        {"RENAMENX a b", ":0"},
        {"RENAMENX a a", ":0"},
        {"RENAME a a", "+OK"},
        {"RENAME a b", "+OK"},
        {"EXISTS a", ":0"},
        {"GET b", "$1 1"},
        {"TTL b", ":10"},
        {"RENAMENX b c", ":1"},
        {"TTL c", ":10"},
        {"SET d 4", "+OK"},
        {"RENAME d c", "+OK"},
        {"TTL c", ":-1"},
        {"DBSIZE", ":1"},
        {"COPY none c", ":0"},
        {"EXPIRE c 10", ":1"},
        {"COPY c d", ":1"},
        {"TTL d", ":10"},
        {"SET d 5", "+OK"},
        {"COPY c d", ":0"},
        {"GET d", "$1 5"},
        {"COPY c d DB 0 replace", ":1"},
        {"GET d", "$1 4"},
        {"COPY c c", "-ERR source and destination objects are the same"},
        {"COPY c d DB 1", "-ERR DB index is out of range"},
        {"COPY c d DB x", NOT_INT},
        {"COPY c d DB", SYNTAX},
        {"COPY c d WHAT", SYNTAX},
        {"TOUCH c d c none", ":3"},
        {"FLUSHDB SYNC", "+OK"},
        {"FLUSHDB NOW", SYNTAX},
        {"DBSIZE", ":0"},
        {NULL, NULL},
    };

    check_lines(*state, lines);
}

/* OBJECT answers as Redis would hold the value. */
static void objects(void **state)
{
    static const struct line lines[] = {
        {"OBJECT ENCODING none", "_"},
        {"OBJECT FREQ none", "_"},
        {"SET a 9223372036854775807", "+OK"},
        {"OBJECT ENCODING a", "$3 int"},
        {"OBJECT REFCOUNT a", ":1"},
        {"SET a 9999", "+OK"},
        {"OBJECT REFCOUNT a", ":2147483647"},
        {"SET a 10000", "+OK"},
        {"OBJECT REFCOUNT a", ":1"},
        {"SET a 12345678901234567890123456789012345678901234", "+OK"},
        {"OBJECT ENCODING a", "$6 embstr"},
        {"SET a 123456789012345678901234567890123456789012345", "+OK"},
        {"OBJECT ENCODING a", "$3 raw"},
        {"OBJECT IDLETIME a", ":0"},
        {"+12400", ""},
        {"SET b 1", "+OK"},
        {"OBJECT IDLETIME a", ":12"},
        {"OBJECT IDLETIME b", ":0"},
        {"OBJECT ENCODING",
         "-ERR wrong number of arguments for 'object|encoding' command"},
        {"OBJECT", "-ERR wrong number of arguments for 'object' command"},
        {"OBJECT WHAT a", "-ERR unknown subcommand 'WHAT'. Try OBJECT HELP."},
        {"TXN 0 1 2 OBJECT ENCODING",
         "*1 -ERR wrong number of arguments for 'object|encoding' command"},
        {"TXN 0 1 2 OBJECT WHAT",
         "*1 -ERR unknown subcommand 'WHAT'. Try OBJECT HELP."},
        {"TXN 0 1 3 OBJECT IDLETIME a", "*1 :12"},
        {"TXN 0 2 3 SET b 1 3 OBJECT IDLETIME a",
         "*2 +OK -ERR OBJECT IDLETIME cannot stand in a transaction that "
         "writes"},
        {NULL, NULL},
    };

    check_lines(*state, lines);
}

/* RANDOMKEY: every key comes, an expired one never, and of none null. */
static void random_key(void **state)
{
    struct fixture *f = *state;
    unsigned seen = 0;
    char line[32];

    assert_string_equal(ask(f, "RANDOMKEY"), "_");
    for (int i = 0; i < 10; i++) {
        snprintf(line, sizeof line, "SET %d v", i);
        ask(f, line);
    }
    for (int i = 0; i < 1000; i++) {
        ask(f, "RANDOMKEY");
        assert_int_equal(f->text[1], '1');
        seen |= 1u << (f->text[3] - '0');
    }
    assert_int_equal(seen, 0x3FF);
    for (int i = 0; i < 10; i++) {
        snprintf(line, sizeof line, "PEXPIRE %d %d", i, i == 3 ? 100 : 1);
        ask(f, line);
    }
    f->time += 5;
    ask(f, "PEXPIRE 3 1000");
    for (int i = 0; i < 20; i++) {
        assert_string_equal(ask(f, "RANDOMKEY"), "$1 3");
    }
}

/* Replies in an entry may be saved, so there they depend on the state alone:
 * reads before on one of the nodes do not matter. */
static void same_in_entries(void **state)
{
    struct fixture *a = *state;
    struct fixture b;
    char line[128];

    fixture_init(&b);
    for (int i = 0; i < 50; i++) {
        snprintf(line, sizeof line, "SET k%d %060d", i, i);
        ask(a, line);
        ask(&b, line);
    }
    ask(a, "RANDOMKEY");
    for (int i = 0; i < 10; i++) {
        snprintf(line, sizeof line, "TXN 0 2 3 SET x %d 1 RANDOMKEY", i);
        ask(a, line);
        assert_string_equal(ask(&b, line), a->text);
    }
    /* Packing depends on what is in memory, so there it is not done. */
    ask(a, "TXN 0 2 3 SET x 1 2 DUMP k1");
    assert_true(memmem(a->reply.p, a->reply.n, "0000000000000000", 16) != NULL);
    fixture_release(&b);
}

/* The second of two nodes that apply the same has the same sums, whatever
 * command changes the state. */
static void same_everywhere(void **state)
{
    static const char *const lines[] = {
        "INCRBYFLOAT f 5.6",
        "INCRBYFLOAT f 5e3",
        "SETRANGE s 3 x",
        "GETSET s y",
        "COPY s t",
        "RENAME t u",
        "MSETEX 2 a 1 b 2 PX 100",
        "DELEX a IFEQ 1",
        "SET f 1 IFNE 1",
    };
    struct fixture *a = *state;
    struct fixture b;

    fixture_init(&b);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        ask(a, lines[i]);
        assert_string_equal(ask(&b, lines[i]), a->text);
        ask(a, "OBJECT IDLETIME f");
        ask(a, "RANDOMKEY");
        assert_true(machine_sum(a->m) == machine_sum(b.m));
    }
    assert_true(machine_digest(a->m) == machine_digest(b.m));
    fixture_release(&b);
}

/* ---- DUMP and RESTORE ---- */

struct sample {
    const char *dump;
    size_t n;
    const char *value;
};

/* Dumps made by redis-server 7.0.15. */
#define D(s) (s), sizeof(s) - 1
static const struct sample samples[] = {
    {D("\x00\xc0\x05\n\x00"
       "c/_f\x83/\xb3Q"),
     "5"},
    {D("\x00\xc0\xff\n\x00\x0c\x93~$\x85\x08\x9d\xc5"), "-1"},
    {D("\x00\xc1\x80\x00\n\x00\xebz\xb3\xb5\x10\xcfKe"), "128"},
    {D("\x00\xc1\x7f\xff\n\x00\x17`\x82(T\x80\x84\x80"), "-129"},
    {D("\x00\xc2\x00\x80\x00\x00\n\x00"
       "E\xd8.\xed\xd5\xbd\xa9\x10"),
     "32768"},
    {D("\x00\xc2\xff\xff\xff\x7f\n\x00,t\xe5\x9e\xe0.\xad\xa1"), "2147483647"},
    {D("\x00\n2147483648\n\x00\xe7\xb1)\xa3L\x1dv\xee"), "2147483648"},
    {D("\x00\x05hello\n\x00"
       "cr\xdfve4 \n"),
     "hello"},
    {D("\x00\x00\n\x00]\x9b\\@\x0f\x7f\xa2\xda"), ""},
    {D("\x00\x1a"
       "abcdefghijklmnopqrstuvwxyz\n\x00\x9e\x1b?4\xab\xfc_y"),
     "abcdefghijklmnopqrstuvwxyz"},
    {D("\x00\xc3\t@O\x01"
       "aa\xe0"
       "B\x00\x01"
       "aa\n\x00:K\xde\xe6W\x8dK\x9a"),
     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
     "aa"
     "aaaa"},
};
enum { SAMPLES = sizeof samples / sizeof samples[0] };

/* What Redis dumped is read, and the same bytes are written. */
static void dumps(void **state)
{
    (void)state;
    for (size_t i = 0; i < SAMPLES; i++) {
        struct bytes dump = bytes_of(samples[i].dump, samples[i].n);
        struct bytes value = bytes_str(samples[i].value);
        struct buf b = BUF_INIT;

        assert_true(dump_check(dump));
        assert_int_equal(dump_decode(dump, &b), 0);
        assert_true(bytes_eq(buf_bytes(&b), value));
        buf_clear(&b);
        dump_encode(value, true, &b);
        assert_true(bytes_eq(buf_bytes(&b), dump));
        buf_release(&b);
    }
}

/* Every length around the forms of a length comes back, packed or not. */
static void dumps_of_lengths(void **state)
{
    static const size_t lengths[] = {20, 21, 63, 64, 65, 16383, 16384, 100000};
    struct rng r = {7};

    (void)state;
    for (size_t i = 0; i < 4 * sizeof lengths / sizeof lengths[0]; i++) {
        size_t n = lengths[i / 4];
        uint8_t *v = malloc(n);
        struct buf dump = BUF_INIT, back = BUF_INIT;

        for (size_t k = 0; k < n; k++) {
            v[k] = i % 2 == 0 ? (uint8_t)rng_next(&r) : (uint8_t)(k % 7);
        }
        dump_encode(bytes_of(v, n), i % 4 < 2, &dump);
        assert_true(dump_check(buf_bytes(&dump)));
        assert_int_equal(dump_decode(buf_bytes(&dump), &back), 0);
        assert_true(bytes_eq(buf_bytes(&back), bytes_of(v, n)));
        buf_release(&dump);
        buf_release(&back);
        free(v);
    }
}

/* Every flipped byte and every cut is noticed by the checksum. */
static void dumps_damaged(void **state)
{
    (void)state;
    for (size_t i = 0; i < SAMPLES; i++) {
        uint8_t d[128];

        memcpy(d, samples[i].dump, samples[i].n);
        for (size_t at = 0; at < samples[i].n; at++) {
            d[at] ^= 0x20;
            assert_false(dump_check(bytes_of(d, samples[i].n)));
            d[at] ^= 0x20;
            assert_false(dump_check(bytes_of(d, at)));
        }
    }
}

/* With a good checksum the bytes are still not trusted: nothing is read
 * beyond them, nothing huge is made of them. */
static void dumps_lie(void **state)
{
    struct rng r = {11};

    (void)state;
    for (int round = 0; round < 20000; round++) {
        const struct sample *s = &samples[rng_below(&r, SAMPLES)];
        size_t n = 1 + rng_below(&r, s->n);
        uint8_t *d = malloc(n + DUMP_FOOTER);
        struct buf out = BUF_INIT;

        memcpy(d, s->dump, n);
        d[rng_below(&r, n)] = (uint8_t)rng_next(&r);
        memset(d + n, 0, DUMP_FOOTER);
        if (dump_decode(bytes_of(d, n + DUMP_FOOTER), &out) == 0) {
            assert_true(out.n <= VALUE_MAX);
        } else {
            assert_int_equal(out.n, 0);
        }
        buf_release(&out);
        free(d);
    }
}

static const char *restore(struct fixture *f,
                           const char *key,
                           const char *ttl,
                           struct bytes dump,
                           const char *option)
{
    struct bytes argv[] = {bytes_str("RESTORE"), bytes_str(key), bytes_str(ttl),
                           dump, bytes_str(option)};

    ask_words(f, argv, option[0] == 0 ? 4 : 5);
    snprintf(f->text, sizeof f->text, "%.*s", (int)f->reply.n - 2,
             (const char *)f->reply.p);
    return f->text;
}

/* RESTORE: what is there is only replaced when told to; times relative and
 * absolute, past ones remove. */
static void restores(void **state)
{
    struct fixture *f = *state;
    struct bytes dump = bytes_of(samples[7].dump, samples[7].n);
    static const uint8_t other[] = {4, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0};

    assert_string_equal(restore(f, "a", "0", dump, ""), "+OK");
    assert_string_equal(ask(f, "GET a"), "$5 hello");
    assert_string_equal(ask(f, "TTL a"), ":-1");
    assert_string_equal(restore(f, "a", "x", dump, ""),
                        "-BUSYKEY Target key name already exists.");
    assert_string_equal(restore(f, "a", "1500", dump, "REPLACE"), "+OK");
    assert_string_equal(ask(f, "PTTL a"), ":1500");
    assert_string_equal(restore(f, "b", "1000001", dump, "ABSTTL"), "+OK");
    assert_string_equal(ask(f, "PTTL b"), ":1");
    assert_string_equal(restore(f, "c", "1", dump, "ABSTTL"), "+OK");
    assert_string_equal(ask(f, "EXISTS c"), ":0");
    assert_string_equal(restore(f, "c", "-1", dump, ""),
                        "-ERR Invalid TTL value, must be >= 0");
    assert_string_equal(restore(f, "c", "x", dump, ""), NOT_INT);
    assert_string_equal(restore(f, "c", "0", dump, "IDLETIME"), SYNTAX);
    assert_string_equal(restore(f, "c", "0", bytes_of(dump.p, dump.n - 1), ""),
                        "-ERR DUMP payload version or checksum are wrong");
    assert_string_equal(restore(f, "c", "0", bytes_of(other, 2), ""),
                        "-ERR DUMP payload version or checksum are wrong");
    assert_string_equal(ask(f, "EXISTS c"), ":0");
}

/* A dump of a newer version, or of what is no string, is refused. */
static void restores_refused(void **state)
{
    struct fixture *f = *state;
    struct buf b = BUF_INIT;

    dump_encode(bytes_str("v"), true, &b);
    b.p[b.n - DUMP_FOOTER] = DUMP_VERSION + 1;
    assert_false(dump_check(buf_bytes(&b)));
    b.p[b.n - DUMP_FOOTER] = DUMP_VERSION;
    assert_true(dump_check(buf_bytes(&b)));
    b.p[0] = 4; /* a hash */
    assert_int_equal(dump_decode(buf_bytes(&b), &f->reply), HF_EINVAL);
    buf_release(&b);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    static const struct CMUnitTest tests[] = {
        T(getset),
        T(parts),
        T(parts_written),
        T(floats),
        T(floats_refused),
        T(digests),
        T(set_compares),
        T(delex),
        T(msetex),
        T(moved),
        T(objects),
        T(random_key),
        T(same_in_entries),
        T(same_everywhere),
        T(dumps),
        T(dumps_of_lengths),
        T(dumps_damaged),
        T(dumps_lie),
        T(restores),
        T(restores_refused),
#if defined(__x86_64__)
        T(floats_as_x87),
#endif
    };

    return cmocka_run_group_tests_name("strings", tests, NULL, NULL);
}
