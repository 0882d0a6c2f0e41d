/* The protocol codec: requests, replies, conversion. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/limits.h"
#include "base/rng.h"
#include "resp/resp.h"

#define S(lit) bytes_of(lit, sizeof(lit) - 1)

static int parse(struct resp_parser *p,
                 struct bytes in,
                 size_t *used,
                 struct resp_args *out)
{
    return resp_parse_request(p, in.p, in.n, used, out);
}

/* @in is refused with @text, whole and byte by byte. */
static void refused_sized(struct bytes in, size_t max, const char *text)
{
    struct resp_parser p;
    struct resp_args a;
    size_t used;
    int rv = 0;

    resp_parser_init(&p, max);
    assert_int_equal(parse(&p, in, &used, &a), HF_EINVAL);
    assert_string_equal(resp_parser_error(&p), text);
    resp_parser_release(&p);

    resp_parser_init(&p, max);
    for (size_t n = 1; n <= in.n && rv == 0; n++) {
        rv = parse(&p, bytes_of(in.p, n), &used, &a);
    }
    assert_int_equal(rv, HF_EINVAL);
    assert_string_equal(resp_parser_error(&p), text);
    resp_parser_release(&p);
}

static void refused(struct bytes in, const char *text)
{
    refused_sized(in, LIM_REQUEST, text);
}

/* The line @in is the words of @want, separated by '|'. */
static void inline_is(struct bytes in, const char *want)
{
    struct resp_parser p;
    struct resp_args a;
    struct buf got = BUF_INIT;
    size_t used;

    resp_parser_init(&p, LIM_REQUEST);
    assert_int_equal(parse(&p, in, &used, &a), 1);
    assert_int_equal(used, in.n);
    for (size_t i = 0; i < a.argc; i++) {
        buf_append(&got, "|", i > 0 ? 1 : 0);
        buf_bytes_append(&got, a.argv[i]);
    }
    buf_u8(&got, 0);
    assert_string_equal((const char *)got.p, want);
    buf_release(&got);
    resp_parser_release(&p);
}

/* What resp_request() writes is what the parser reads. */
static void request_round_trip(void **state)
{
    struct bytes argv[] = {S("SET"), S(""), S("a\r\n\0b")};
    struct buf b = BUF_INIT;
    struct resp_parser p;
    struct resp_args a;
    size_t used;

    (void)state;
    resp_request(&b, argv, 3);
    resp_parser_init(&p, LIM_REQUEST);
    assert_int_equal(parse(&p, buf_bytes(&b), &used, &a), 1);
    assert_int_equal(used, b.n);
    assert_int_equal(a.argc, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_true(bytes_eq(a.argv[i], argv[i]));
    }
    resp_parser_release(&p);
    buf_release(&b);
}

/* A request cut anywhere is incomplete, and complete with its last byte,
 * also when the buffer has moved in between. */
static void request_cut_at_every_length(void **state)
{
    static const char in[] =
        "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$12\r\n\r\n*1\r\n$4"
        "\r\nXY\r\n";
    size_t total = sizeof(in) - 1;
    struct resp_parser p;
    struct resp_args a;
    size_t used;

    (void)state;
    resp_parser_init(&p, LIM_REQUEST);
    for (size_t n = 0; n <= total; n++) {
        uint8_t *copy = malloc(n + 1);

        memcpy(copy, in, n);
        assert_int_equal(resp_parse_request(&p, copy, n, &used, &a),
                         n == total);
        assert_int_equal(used, n == total ? total : 0);
        if (n == total) {
            assert_true(bytes_eq(a.argv[2], S("\r\n*1\r\n$4\r\nXY")));
        }
        free(copy);
    }
    resp_parser_release(&p);
}

/* Any byte of the framing that changes gives an error, a wait for more, or
 * another well-formed request, and never reads beyond the bytes. */
static void request_every_byte_flipped(void **state)
{
    static const char in[] = "*2\r\n$3\r\nGET\r\n$10\r\n0123456789\r\n";
    size_t n = sizeof(in) - 1;
    size_t refusals = 0;

    (void)state;
    for (size_t i = 0; i < n * 256; i++) {
        uint8_t *copy = malloc(n); /* exact: a sanitizer sees overruns */
        struct resp_parser p;
        struct resp_args a;
        size_t used;
        int rv;

        memcpy(copy, in, n);
        copy[i / 256] = (uint8_t)i;
        resp_parser_init(&p, LIM_REQUEST);
        rv = resp_parse_request(&p, copy, n, &used, &a);
        assert_true(used <= n);
        refusals += rv < 0;
        for (size_t k = 0; rv == 1 && k < a.argc; k++) {
            assert_true(a.argv[k].n <= n);
            assert_true(a.argv[k].n == 0 || a.argv[k].p != NULL);
        }
        resp_parser_release(&p);
        free(copy);
    }
    assert_true(refusals > 1000);
}

/* A pipeline split at random places gives the same commands as whole. */
static void pipeline_random_splits(void **state)
{
    struct rng r = {7};
    struct buf all = BUF_INIT;
    struct bytes argv[3] = {S("SET"), S("key"), {NULL, 0}};
    static uint8_t value[5000];

    (void)state;
    for (size_t i = 0; i < 50; i++) {
        argv[2] = bytes_of(value, i * 100);
        resp_request(&all, argv, 3);
        buf_append(&all, "*0\r\n\r\n*-1\r\nPING x\r\n", 19);
    }
    for (int round = 0; round < 200; round++) {
        struct resp_parser p;
        size_t start = 0;
        size_t end = 0;
        size_t commands = 0;

        resp_parser_init(&p, LIM_REQUEST);
        while (start < all.n) {
            struct resp_args a;
            size_t used;
            int rv =
                resp_parse_request(&p, all.p + start, end - start, &used, &a);

            assert_true(rv >= 0);
            start += used;
            if (rv == 1) {
                assert_int_equal(a.argc, commands % 2 == 0 ? 3 : 2);
                assert_true(commands % 2 == 1 ||
                            a.argv[2].n == commands / 2 * 100);
                commands++;
            } else {
                end += rng_below(&r, 700);
                end = end > all.n ? all.n : end;
            }
        }
        assert_int_equal(commands, 100);
        resp_parser_release(&p);
    }
    buf_release(&all);
}

/* Bytes that were seen are not looked at again: what lies before the present
 * step may even change. */
static void request_is_not_rescanned(void **state)
{
    static const char in[] = "*2\r\n$3\r\nGET\r\n$3\r\nabc\r\n";
    char copy[sizeof(in)];
    struct resp_parser p;
    struct resp_args a;
    size_t used;

    (void)state;
    memcpy(copy, in, sizeof(in));
    resp_parser_init(&p, LIM_REQUEST);
    assert_int_equal(parse(&p, bytes_of(copy, 19), &used, &a), 0);
    assert_true(resp_parser_busy(&p));
    assert_int_equal(resp_parser_wants(&p, 19), 3);
    memset(copy + 1, '!', 16);
    assert_int_equal(parse(&p, bytes_of(copy, sizeof(in) - 1), &used, &a), 1);
    assert_true(bytes_eq(a.argv[1], S("abc")));
    resp_parser_release(&p);
}

/* Each malformed request has Redis's text. */
static void request_errors(void **state)
{
    (void)state;
    refused(S("*x\r\n"), "Protocol error: invalid multibulk length");
    refused(S("*131073\r\n"), "Protocol error: invalid multibulk length");
    refused(S("*99999999999999999999\r\n"),
            "Protocol error: invalid multibulk length");
    refused(S("*0000000000000000000000000000000001\r\n"),
            "Protocol error: invalid multibulk length");
    refused(S("*1\r\n+GET\r\n"), "Protocol error: expected '$', got '+'");
    refused(S("*1\r\n\r\n"), "Protocol error: expected '$', got ' '");
    refused(S("*1\r\n$-1\r\n"), "Protocol error: invalid bulk length");
    refused(S("*1\r\n$abc\r\n"), "Protocol error: invalid bulk length");
    refused(S("*1\r\n$4\r\nPINGxx"),
            "Protocol error: expected CRLF after bulk string");
    refused(S("SET \"a\r\n"), "Protocol error: unbalanced quotes in request");
    refused(S("SET \"a\"b\r\n"),
            "Protocol error: unbalanced quotes in request");
    refused(S("SET 'a\r\n"), "Protocol error: unbalanced quotes in request");
}

/* A request over the limit is refused at its header, one of exactly the
 * limit is not. */
static void request_over_limit(void **state)
{
    struct resp_parser p;
    struct resp_args a;
    size_t used;

    (void)state;
    refused(S("*1\r\n$8388608\r\n"), "Protocol error: invalid bulk length");
    refused(S("*2\r\n$1\r\nx\r\n$9223372036854775807\r\n"),
            "Protocol error: invalid bulk length");
    refused_sized(S("*2\r\n$1\r\na\r\n$1\r\n"), 17,
                  "Protocol error: invalid bulk length");
    resp_parser_init(&p, 18);
    assert_int_equal(parse(&p, S("*2\r\n$1\r\na\r\n$1\r\nb\r\n"), &used, &a),
                     1);
    resp_parser_release(&p);
}

/* A line without end is refused when it is longer than an inline command. */
static void inline_too_big(void **state)
{
    uint8_t *line = malloc(LIM_INLINE + 1);
    struct resp_parser p;
    struct resp_args a;
    size_t used;

    (void)state;
    memset(line, 'x', LIM_INLINE + 1);
    resp_parser_init(&p, LIM_REQUEST);
    assert_int_equal(resp_parse_request(&p, line, LIM_INLINE, &used, &a), 0);
    assert_int_equal(resp_parse_request(&p, line, LIM_INLINE + 1, &used, &a),
                     HF_EINVAL);
    assert_string_equal(resp_parser_error(&p),
                        "Protocol error: too big inline request");
    resp_parser_release(&p);
    free(line);
}

/* Inline commands follow the quoting rules of Redis. */
static void inline_quotes(void **state)
{
    (void)state;
    inline_is(S("PING\r\n"), "PING");
    inline_is(S("  set  k\tv \n"), "set|k|v");
    inline_is(S("set \"a b\" 'c d'\r\n"), "set|a b|c d");
    inline_is(S("set \"\\x41\\n\\\"\\q\" 'it\\'s \\n'\r\n"),
              "set|A\n\"q|it's \\n");
    inline_is(S("set \"\" ''\r\n"), "set||");
    inline_is(S("a\"b c\"\r\n"), "ab c");
}

/* The writer's canonical forms, byte for byte. */
static void writer_forms(void **state)
{
    struct buf b = BUF_INIT;

    (void)state;
    resp_ok(&b);
    resp_simple(&b, "PONG");
    resp_error(&b, "ERR a\r\n+OK");
    resp_int(&b, INT64_MIN);
    resp_int(&b, 0);
    resp_bulk(&b, S("a\0b"));
    resp_null(&b);
    resp_null_array(&b);
    resp_array(&b, 0);
    resp_map(&b, 0);
    resp_set(&b, 0);
    resp_push(&b, 0);
    resp_double(&b, 1.5);
    resp_double(&b, -INFINITY);
    resp_bool(&b, true);
    resp_verbatim(&b, S("hi"));
    assert_true(bytes_eq(
        buf_bytes(&b),
        S("+OK\r\n+PONG\r\n-ERR a\r\n:-9223372036854775808\r\n:0\r\n"
          "$3\r\na\0b\r\n_\r\n*-1\r\n*0\r\n%0\r\n~0\r\n>0\r\n,1.5\r\n,-inf\r\n"
          "#t\r\n=6\r\ntxt:hi\r\n")));
    buf_release(&b);
}

#define NESTED                                                      \
    "%2\r\n+a\r\n*3\r\n_\r\n*-1\r\n#f\r\n$1\r\nb\r\n~1\r\n,2.5\r\n" \
    ">1\r\n=6\r\ntxt:hi\r\n(123\r\n!5\r\nERR x\r\n:7\r\n-ERR y\r\n"

/* Every RESP3 type has its RESP2 form, at any depth. */
static void converts_to_resp2(void **state)
{
    struct buf b = BUF_INIT;

    (void)state;
    assert_int_equal(resp3_to_resp2(S(NESTED), &b), 0);
    assert_true(bytes_eq(
        buf_bytes(&b),
        S("*4\r\n+a\r\n*3\r\n$-1\r\n*-1\r\n:0\r\n$1\r\nb\r\n*1\r\n$3\r\n2.5\r\n"
          "*1\r\n$2\r\nhi\r\n$3\r\n123\r\n-ERR x\r\n:7\r\n-ERR y\r\n")));
    assert_true(resp3_is_resp2(buf_bytes(&b)));
    assert_false(resp3_is_resp2(S(NESTED)));
    assert_false(resp3_is_resp2(S("*1\r\n_\r\n")));
    buf_clear(&b);
    assert_int_equal(resp3_fix_null_arrays(S("*2\r\n*-1\r\n:1\r\n"), &b), 0);
    assert_true(bytes_eq(buf_bytes(&b), S("*2\r\n_\r\n:1\r\n")));
    buf_release(&b);
}

/* Half a reply is not converted, and the output stays as it was. */
static void converts_whole_replies_only(void **state)
{
    static const char in[] = "*2\r\n_\r\n%1\r\n+a\r\n#t\r\n";
    struct buf b = BUF_INIT;

    (void)state;
    buf_append(&b, "x", 1);
    for (size_t n = 1; n < sizeof(in) - 1; n++) {
        assert_int_equal(resp3_to_resp2(bytes_of(in, n), &b), HF_EINVAL);
        assert_int_equal(b.n, 1);
    }
    assert_int_equal(resp3_to_resp2(bytes_of(in, sizeof(in) - 1), &b), 0);
    buf_release(&b);
}

/* The scanner finds the end of a reply with its last byte, never before. */
static void scan_cut_at_every_length(void **state)
{
    static const char in[] = "*2\r\n%1\r\n$5\r\n+OK\r\n\r\n*1\r\n_\r\n:1\r\n";
    struct resp_scan s = {0};
    size_t total = sizeof(in) - 1;
    size_t len = 0;

    (void)state;
    for (size_t n = 0; n <= total; n++) {
        assert_int_equal(
            resp_scan_reply(&s, (const uint8_t *)in, n, 1000, &len),
            n == total);
    }
    assert_int_equal(len, total);
    assert_int_equal(
        resp_scan_reply(&s, (const uint8_t *)in, total, 1000, &len), 1);
}

/* A reply that is or will be over the limit is refused at once. */
static void scan_over_limit(void **state)
{
    struct resp_scan s = {0};
    struct bytes in = S("*2\r\n$100\r\n");
    size_t len;

    (void)state;
    assert_int_equal(resp_scan_reply(&s, in.p, in.n, 100, &len), HF_ELIMIT);
    memset(&s, 0, sizeof(s));
    assert_int_equal(resp_scan_reply(&s, in.p, in.n, 200, &len), 0);
}

/* Counts and lengths that make no sense are refused. */
static void scan_refuses_nonsense(void **state)
{
    static const char *const bad[] = {
        "$-2\r\n",        "*-2\r\n",
        "%-1\r\n",        "=3\r\nabc\r\n",
        "=4\r\ntxt.\r\n", "#x\r\n",
        "_x\r\n",         "$1\r\nab\r\n",
        ":1x\r\n",        "*9223372036854775807\r\n",
        ":\r\n",          "?\r\n",
        ",\r\n",          "$9999999999\r\n",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct resp_scan s = {0};
        struct bytes in = bytes_str(bad[i]);
        struct resp_value *v = NULL;
        size_t len;

        assert_int_equal(resp_scan_reply(&s, in.p, in.n, 1 << 30, &len),
                         HF_EINVAL);
        assert_int_equal(resp_parse_reply(in, &v), HF_EINVAL);
        assert_null(v);
    }
}

/* The tree has every type with its value. */
static void tree_has_all_types(void **state)
{
    struct resp_value *v;

    (void)state;
    assert_int_equal(resp_parse_reply(S("%2\r\n+a\r\n*3\r\n_\r\n*-1\r\n#t\r\n"
                                        ":-5\r\n=6\r\ntxt:hi\r\n"),
                                      &v),
                     0);
    assert_int_equal(v->type, RESP_MAP);
    assert_int_equal(v->n, 4);
    assert_int_equal(v->items[0].type, RESP_STATUS);
    assert_int_equal(v->items[1].type, RESP_ARRAY);
    assert_int_equal(v->items[1].items[0].type, RESP_NULL);
    assert_int_equal(v->items[1].items[1].type, RESP_NULL_ARRAY);
    assert_int_equal(v->items[1].items[2].i, 1);
    assert_int_equal(v->items[2].i, -5);
    assert_true(bytes_eq(v->items[3].str, S("hi")));
    resp_value_free(v);
    assert_int_equal(resp_parse_reply(S(",-2.5\r\n"), &v), 0);
    assert_true(v->d < -2.4 && v->d > -2.6);
    resp_value_free(v);
}

/* Nesting is bounded: the deepest that is allowed works, one more does not. */
static void tree_depth_is_bounded(void **state)
{
    struct buf b = BUF_INIT;
    struct resp_value *v = NULL;

    (void)state;
    for (int i = 1; i < RESP_DEPTH_MAX; i++) {
        buf_append(&b, "*1\r\n", 4);
    }
    buf_append(&b, ":1\r\n", 4);
    assert_int_equal(resp_parse_reply(buf_bytes(&b), &v), 0);
    resp_value_free(v);
    v = NULL;
    buf_clear(&b);
    for (int i = 0; i < RESP_DEPTH_MAX; i++) {
        buf_append(&b, "*1\r\n", 4);
    }
    buf_append(&b, ":1\r\n", 4);
    assert_int_equal(resp_parse_reply(buf_bytes(&b), &v), HF_EINVAL);
    assert_null(v);
    buf_release(&b);
}

/* Whichever byte changes, scanner, tree and conversion agree whether there
 * is a whole reply, and none reads beyond the bytes. */
static void reply_every_byte_flipped(void **state)
{
    static const char in[] =
        "%1\r\n$3\r\nabc\r\n*2\r\n=6\r\ntxt:hi\r\n,1.5"
        "\r\n";
    size_t n = sizeof(in) - 1;
    size_t whole = 0;

    (void)state;
    for (size_t i = 0; i < n * 256; i++) {
        uint8_t *copy = malloc(n);
        struct resp_scan s = {0};
        struct resp_value *v;
        struct buf b = BUF_INIT;
        size_t len;

        memcpy(copy, in, n);
        copy[i / 256] = (uint8_t)i;
        if (resp_scan_reply(&s, copy, n, 1000, &len) == 1 && len == n) {
            assert_int_equal(resp_parse_reply(bytes_of(copy, n), &v), 0);
            assert_int_equal(resp3_to_resp2(bytes_of(copy, n), &b), 0);
            resp_value_free(v);
            whole++;
        } else {
            assert_int_equal(resp_parse_reply(bytes_of(copy, n), &v),
                             HF_EINVAL);
        }
        buf_release(&b);
        free(copy);
    }
    assert_in_range(whole, 1000, n * 256 / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(request_round_trip),
        cmocka_unit_test(request_cut_at_every_length),
        cmocka_unit_test(request_every_byte_flipped),
        cmocka_unit_test(pipeline_random_splits),
        cmocka_unit_test(request_is_not_rescanned),
        cmocka_unit_test(request_errors),
        cmocka_unit_test(request_over_limit),
        cmocka_unit_test(inline_too_big),
        cmocka_unit_test(inline_quotes),
        cmocka_unit_test(writer_forms),
        cmocka_unit_test(converts_to_resp2),
        cmocka_unit_test(converts_whole_replies_only),
        cmocka_unit_test(scan_cut_at_every_length),
        cmocka_unit_test(scan_over_limit),
        cmocka_unit_test(scan_refuses_nonsense),
        cmocka_unit_test(tree_has_all_types),
        cmocka_unit_test(tree_depth_is_bounded),
        cmocka_unit_test(reply_every_byte_flipped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
