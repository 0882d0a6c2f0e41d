/* Lines of the log that people and their tools read. */
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"

static const struct timespec at = {1767323045, 678900000};

static size_t line(char *to, enum log_format f, const char *text)
{
    return log_format_line(to, f, at, LOG_WARN, UINT64_MAX, text);
}

/* A line of text has time, level and text. */
static void text_line(void **state)
{
    char got[LOG_LINE_MAX] = "";
    size_t n;

    (void)state;
    n = line(got, LOG_TEXT, "a \"b\"");
    assert_int_equal(n, strlen(got));
    assert_string_equal(got, "2026-01-02T03:04:05.678Z warn  a \"b\"\n");
}

/* The fields of a JSON line, in their order. */
static void json_line(void **state)
{
    char got[LOG_LINE_MAX];

    (void)state;
    (void)line(got, LOG_JSON, "a \"b\" \\ \xc3\xa4\xff\n");
    assert_string_equal(got,
                        "{\"time\":\"2026-01-02T03:04:05.678Z\",\"level\":"
                        "\"warn\",\"node\":18446744073709551615,\"text\":"
                        "\"a \\\"b\\\" \\\\ \xc3\xa4\\\\xff\\u000a\"}\n");
}

/* Every pair of bytes makes one line that a JSON parser reads back; ASCII
 * comes out as it went in. */
static void json_any_bytes(void **state)
{
    char got[LOG_LINE_MAX];
    char text[3] = "";

    (void)state;
    for (int i = 1; i < 256; i++) {
        for (int k = 1; k < 256; k++) {
            json_t *o;
            size_t n;

            text[0] = (char)i;
            text[1] = (char)k;
            n = log_format_line(got, LOG_JSON, at, LOG_INFO, 1, text);
            assert_ptr_equal(memchr(got, '\n', n), got + n - 1);
            o = json_loadb(got, n, JSON_REJECT_DUPLICATES, NULL);
            assert_non_null(o);
            if (i < 128 && k < 128) {
                assert_string_equal(
                    json_string_value(json_object_get(o, "text")), text);
            }
            json_decref(o);
        }
    }
}

/* The longest text of the longest escapes fits, and more is cut. */
static void longest_line(void **state)
{
    char got[LOG_LINE_MAX];
    char text[LOG_TEXT_MAX + 100];
    size_t n;

    (void)state;
    memset(text, 1, sizeof text);
    text[sizeof text - 1] = '\0';
    n = line(got, LOG_JSON, text);
    assert_int_equal(got[n - 1], '\n');
    assert_true(n >= (size_t)LOG_TEXT_MAX * 6);
    n = line(got, LOG_TEXT, text);
    assert_int_equal(got[n - 1], '\n');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_line),
        cmocka_unit_test(json_line),
        cmocka_unit_test(json_any_bytes),
        cmocka_unit_test(longest_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
