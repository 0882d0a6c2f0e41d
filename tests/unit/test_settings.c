/* Settings: flags, file, what follows from what, and every refusal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "server/edge/settings.h"

static struct settings s;
static struct errmsg em;

/* Parse one line of words. */
static int parse(const char *line)
{
    static char copy[4096];
    char *argv[64] = {copy};
    char *rest = copy;
    int argc = 1;

    snprintf(copy, sizeof copy, "%s", line);
    argv[0] = (char[]){"holdfastd"};
    for (char *w; (w = strtok_r(rest, " ", &rest)) != NULL;) {
        argv[argc++] = w;
    }
    memset(&em, 0, sizeof em);
    return settings_parse(&s, argc, argv, &em);
}

static void refused(const char *line, const char *why)
{
    if (parse(line) != HF_EINVAL) {
        fail_msg("taken: %s", line);
    }
    if (strstr(em.text, why) == NULL) {
        fail_msg("%s: \"%s\" does not say \"%s\"", line, em.text, why);
    }
    assert_null(strchr(em.text, '\n'));
}

/* Only the data directory has to be said; the rest has its documented
 * default. */
static void defaults(void **state)
{
    (void)state;
    assert_int_equal(parse("--data-dir d"), 0);
    assert_string_equal(s.data_dir, "d");
    assert_string_equal(s.listen, "127.0.0.1:7379");
    assert_string_equal(s.cluster_listen, "127.0.0.1:8379");
    assert_string_equal(s.peer_listen, "127.0.0.1:17379");
    assert_string_equal(s.announce_plain, "127.0.0.1:7379");
    assert_string_equal(s.announce_peer, "127.0.0.1:17379");
    assert_int_equal(s.join_n, 0);
    assert_int_equal(s.election_timeout_ms, 250);
    assert_int_equal(s.heartbeat_ms, 50);
    assert_int_equal(s.request_max, 8 << 20);
    assert_int_equal(s.log_level, LOG_INFO);
    assert_false(s.insecure);
}

/* Every kind of value, in both ways of writing a flag. */
static void values(void **state)
{
    (void)state;
    assert_int_equal(parse("--data-dir=/a/b --listen [::1]:1000 --insecure "
                           "--join=127.0.0.1:1,localhost:2 --request-max 16M "
                           "--log-level=debug --log-format json --memory-limit "
                           "2g --announce-peer h:5 "
                           "--bind-source 127.0.0.2"),
                     0);
    assert_string_equal(s.listen, "[::1]:1000");
    assert_string_equal(s.cluster_listen, "[::1]:2000");
    assert_string_equal(s.peer_listen, "[::1]:11000");
    assert_true(s.insecure);
    assert_int_equal(s.join_n, 2);
    assert_string_equal(s.join[1], "localhost:2");
    assert_int_equal(s.request_max, 16 << 20);
    assert_int_equal(s.memory_limit, 2LL << 30);
    assert_int_equal(s.log_level, LOG_DEBUG);
    assert_int_equal(s.log_format, LOG_JSON);
    assert_string_equal(s.announce_peer, "h:5");
    assert_string_equal(s.bind_source, "127.0.0.2");
}

/* Each mistake is one line that names the flag. */
static void mistakes(void **state)
{
    static const char *const rows[][2] = {
        {"", "--data-dir: missing"},
        {"--data-dir", "--data-dir: needs a value"},
        {"--data-dir a --data-dir b", "--data-dir: given twice"},
        {"--data-dir a extra", "\"extra\" is not a flag"},
        {"--data-dir a --", "\"--\" is not a flag"},
        {"--data-dir a --lisen x", "--lisen: no such flag"},
        {"--data-dir a --listen 7379", "--listen: \"7379\" is not HOST:PORT"},
        {"--data-dir a --listen h:0", "--listen"},
        {"--data-dir a --listen h:65536", "--listen"},
        {"--data-dir a --listen ::1:80", "--listen"},
        {"--data-dir a --listen 127.0.0.1:60000", "--peer-listen"},
        {"--data-dir a --listen 127.0.0.1:1 --peer-listen 127.0.0.1:1",
         "--listen and --peer-listen are both"},
        {"--data-dir a --listen 10.0.0.1:7379", "--insecure"},
        {"--data-dir a --listen :7379", "--insecure"},
        {"--data-dir a --peer-listen 10.0.0.1:1", "--insecure"},
        {"--data-dir a --insecure --listen 0.0.0.0:7379 --join h:1",
         "--announce-plain"},
        {"--data-dir a --insecure --peer-listen 0.0.0.0:7", "--announce-peer"},
        {"--data-dir a --announce-peer 0.0.0.0:7", "--announce-peer"},
        {"--data-dir a --join 10.0.0.1:1", "give --peer-listen"},
        {"--data-dir a --join h", "--join"},
        {"--data-dir a --join 127.0.0.1:1,,", "--join"},
        {"--data-dir a --join 127.0.0.1:1,127.0.0.1:1", "twice"},
        {"--data-dir a --join l:1,l:2,l:3,l:4,l:5,l:6", "more than 5"},
        {"--data-dir a --heartbeat 101", "--heartbeat 101"},
        {"--data-dir a --heartbeat x", "number from 5 to 10000 ms"},
        {"--data-dir a --heartbeat -5", "--heartbeat"},
        {"--data-dir a --heartbeat 50x", "--heartbeat"},
        {"--data-dir a --heartbeat 50kk", "--heartbeat"},
        {"--data-dir a --request-max 65m", "--request-max"},
        {"--data-dir a --memory-limit 99999999999999999999", "--memory-"},
        {"--data-dir a --memory-limit 18446744073709551615g", "--memory-"},
        {"--data-dir a --segment-size 128m --log-budget 128m", "--log-budget"},
        {"--data-dir a --insecure=maybe", "yes or no"},
        {"--data-dir a --log-level loud", "--log-level"},
        {"--data-dir a --log-format xml", "--log-format"},
        {"--data-dir a --config /no/such/file", "/no/such/file"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        refused(rows[i][0], rows[i][1]);
    }
}

/* A text that does not fit is refused, not cut. */
static void too_long(void **state)
{
    char line[3000] = "--data-dir ";
    size_t n = strlen(line);

    (void)state;
    memset(line + n, 'x', SETTINGS_PATH - 1);
    assert_int_equal(parse(line), 0);
    line[n + SETTINGS_PATH - 1] = 'x';
    refused(line, "--data-dir: longer than");
    snprintf(line, sizeof line, "--data-dir a --listen ");
    n = strlen(line);
    memset(line + n, 'h', LIM_ADDR);
    memcpy(line + n + LIM_ADDR, ":80", sizeof ":80");
    refused(line, "--listen");
}

static char path[64];

static void write_file(const char *text)
{
    FILE *f;
    int fd;

    snprintf(path, sizeof path, "/tmp/settings-XXXXXX");
    fd = mkstemp(path);
    f = fdopen(fd, "w");
    fputs(text, f);
    fclose(f);
}

static int parse_file(const char *text, const char *flags)
{
    char line[200];
    int rv;

    write_file(text);
    snprintf(line, sizeof line, "--config %s %s", path, flags);
    rv = parse(line);
    unlink(path);
    return rv;
}

/* Each flag is a line of the file; a flag wins over its line. */
static void file(void **state)
{
    (void)state;
    assert_int_equal(parse_file("; comment\n\ndata-dir = /f\n"
                                "join = 127.0.0.1:1,127.0.0.1:2\n"
                                "heartbeat=40\ninsecure = yes\n",
                                "--heartbeat 30"),
                     0);
    assert_string_equal(s.data_dir, "/f");
    assert_int_equal(s.join_n, 2);
    assert_int_equal(s.heartbeat_ms, 30);
    assert_true(s.insecure);
}

/* Each mistake in a file names the file and the setting. */
static void file_mistakes(void **state)
{
    static const char *const rows[][2] = {
        {"data-dir = a\nheartbet = 4\n", "no such setting: heartbet"},
        {"[section]\ndata-dir = a\n", "no such setting: section.data-dir"},
        {"data-dir = a\nheartbeat = x\n", "heartbeat: \"x\""},
        {"data-dir = a\ndata-dir = b\n", "data-dir: given twice"},
        {"data-dir = a\nwhat is this\n", "line 2"},
        {"data-dir = a\nconfig = b\n", "no such setting: config"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(parse_file(rows[i][0], ""), HF_EINVAL);
        if (strstr(em.text, rows[i][1]) == NULL ||
            strstr(em.text, path) == NULL) {
            fail_msg("\"%s\" does not say \"%s\"", em.text, rows[i][1]);
        }
    }
}

/* --help and --version need nothing else, and nothing else is checked. */
static void help_and_version(void **state)
{
    (void)state;
    assert_int_equal(parse("--help --config /no/such"), 0);
    assert_true(s.help);
    assert_int_equal(parse("--version"), 0);
    assert_true(s.version);
}

/* Every row is in the help text and in CONFIG GET, and what CONFIG GET says
 * can be given back as a flag. */
static void one_table(void **state)
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    const char *name;
    char value[SETTINGS_PATH];
    char line[4000] = "";
    size_t rows = 0;

    (void)state;
    settings_help(f);
    fclose(f);
    assert_int_equal(parse("--data-dir d --join 127.0.0.1:9"), 0);
    for (; settings_row(&s, rows, &name, value, sizeof value); rows++) {
        char flag[80];

        snprintf(flag, sizeof flag, "  --%s ", name);
        if (strstr(text, flag) == NULL) {
            fail_msg("not in the help: %s", name);
        }
        if (value[0] != '\0') {
            size_t at = strlen(line);

            snprintf(line + at, sizeof line - at, "--%s=%s ", name, value);
        }
    }
    assert_true(rows > 25);
    assert_int_equal(parse(line), 0);
    assert_int_equal(s.election_timeout_ms, 250);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(values),
        cmocka_unit_test(mistakes),
        cmocka_unit_test(too_long),
        cmocka_unit_test(file),
        cmocka_unit_test(file_mistakes),
        cmocka_unit_test(help_and_version),
        cmocka_unit_test(one_table),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
