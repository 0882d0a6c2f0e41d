/* What a process counts of its commands and tells of itself, and settings
 * that change while it runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "resp/resp.h"
#include "server/command/admin.h"
#include "server/command/stats.h"
#include "server/edge/settings.h"
#include "tests/unit/ask.h"

static const struct command *row(const char *name)
{
    const struct command *c = command_by_name(bytes_str(name));

    assert_non_null(c);
    return c;
}

/* ---- counts ---- */

static const struct stats_command *of(const struct stats *s, const char *name)
{
    size_t n;

    return s->commands[row(name) - command_table(&n)];
}

/* Every time falls into the bucket whose top is not below it, and the bucket
 * before is below it. */
static void buckets(void **state)
{
    (void)state;
    for (uint64_t us = 1; us < UINT64_C(1) << 36; us += 1 + us / 7) {
        struct stats *s = stats_new();
        unsigned i = 0;

        stats_call(s, row("get"), us, bytes_str("_\r\n"));
        while (stats_percentile(of(s, "get"), 50) !=
               (double)stats_bucket_top(i)) {
            i++;
        }
        assert_true(stats_bucket_top(i) >= us);
        assert_true(i == 0 || stats_bucket_top(i - 1) < us);
        assert_true(stats_bucket_top(i) - us <= us / 8 + 1);
        stats_free(s);
    }
}

/* Calls, failures and refusals are apart; errors are counted by class. */
static void calls(void **state)
{
    struct stats *s = stats_new();

    (void)state;
    stats_call(s, row("get"), 10, bytes_str("$1\r\nx\r\n"));
    stats_call(s, row("get"), 30, bytes_str("-WRONGTYPE no\r\n"));
    stats_reject(s, row("get"), bytes_str("-ERR words\r\n"));
    stats_reject(s, NULL, bytes_str("-ERR unknown\r\n"));
    assert_int_equal(of(s, "get")->calls, 2);
    assert_int_equal(of(s, "get")->us, 40);
    assert_int_equal(of(s, "get")->failed, 1);
    assert_int_equal(of(s, "get")->rejected, 1);
    assert_int_equal(s->errors_n, 2);
    assert_string_equal(s->errors[0].name, "WRONGTYPE");
    assert_int_equal(s->errors[0].count, 1);
    assert_string_equal(s->errors[1].name, "ERR");
    assert_int_equal(s->errors[1].count, 2);
    stats_reset(s);
    assert_null(of(s, "get"));
    assert_int_equal(s->errors_n, 0);
    stats_free(s);
}

static void slow(struct stats *s, const struct bytes *argv, int argc)
{
    struct stats_slow_call c = {
        .command = command_find(argv, argc, &(struct buf)BUF_INIT),
        .argv = argv,
        .argc = argc,
        .us = 12345,
        .unix_s = 99,
        .addr = "a:1",
        .name = bytes_str("me"),
    };

    if (c.command == NULL) {
        c.command = row("get");
    }
    stats_slow_add(s, &c);
}

/* The newest slow commands are kept, so many as the setting says. */
static void slow_bound(void **state)
{
    struct bytes argv[] = {bytes_str("GET"), bytes_str("k")};
    struct stats *s = stats_new();

    (void)state;
    s->slow_max_len = 3;
    for (int i = 0; i < 5; i++) {
        slow(s, argv, 2);
    }
    assert_int_equal(s->slow_n, 3);
    assert_int_equal(s->slow->id, 4);
    assert_int_equal(s->slow->older->older->id, 2);
    assert_null(s->slow->older->older->older);
    s->slow_max_len = 1;
    stats_slow_trim(s);
    assert_int_equal(s->slow_n, 1);
    assert_null(s->slow->older);
    assert_true(stats_is_slow(s, 10000));
    assert_false(stats_is_slow(s, 9999));
    for (int i = 0; i < 3 * STATS_SLOW_BURST; i++) {
        assert_int_equal(stats_slow_room(s, 5000000 + (uint64_t)i),
                         i < STATS_SLOW_BURST);
    }
    assert_true(stats_slow_room(s, 6000000));
    s->slow_us = 0;
    for (int i = 0; i < 3 * STATS_SLOW_BURST; i++) {
        assert_true(stats_slow_room(s, 6000000));
    }
    s->slow_us = -1;
    assert_false(stats_is_slow(s, UINT64_MAX));
    stats_free(s);
}

/* Long words and many words are cut, and it is said how much. */
static void slow_words(void **state)
{
    struct bytes argv[40];
    char word[200];
    struct stats *s = stats_new();
    const char *end = "... (9 more arguments)\r\n";

    (void)state;
    memset(word, 'x', sizeof word);
    argv[0] = bytes_str("DEL");
    for (int i = 1; i < 40; i++) {
        argv[i] = bytes_of(word, 130);
    }
    slow(s, argv, 40);
    assert_memory_equal(s->slow->words.p, "*32\r\n$3\r\nDEL\r\n$146\r\nxxx",
                        22);
    assert_non_null(memmem(s->slow->words.p, s->slow->words.n,
                           "x... (2 more bytes)\r\n", 21));
    assert_null(memmem(s->slow->words.p, s->slow->words.n, word, 129));
    assert_memory_equal(s->slow->words.p + s->slow->words.n - strlen(end), end,
                        strlen(end));
    stats_free(s);
}

/* No password gets into the slow log. */
static void slow_secrets(void **state)
{
    struct bytes hello[] = {bytes_str("HELLO"), bytes_str("3"),
                            bytes_str("AUTH"), bytes_str("u"),
                            bytes_str("secret")};
    struct stats *s = stats_new();

    (void)state;
    slow(s, hello, 5);
    assert_null(memmem(s->slow->words.p, s->slow->words.n, "secret", 6));
    assert_non_null(
        memmem(s->slow->words.p, s->slow->words.n, "(redacted)", 10));
    if (command_by_name(bytes_str("auth")) != NULL) {
        struct bytes auth[] = {bytes_str("AUTH"), bytes_str("secret")};

        slow(s, auth, 2);
        assert_null(memmem(s->slow->words.p, s->slow->words.n, "secret", 6));
    }
    stats_free(s);
}

/* Nor by way of what is refused, or only asks about a command. */
static void slow_nested_secrets(void **state)
{
    static const char *const lines[][8] = {
        {"TXN", "0", "1", "4", "ACL", "SETUSER", "u", ">secret"},
        {"ONCE", "1", "1", "AUTH", "u", "secret"},
        {"ACL", "DRYRUN", "u", "auth", "u", "secret"},
        {"COMMAND", "GETKEYS", "AUTH", "u", "secret"},
        {"CONFIG", "SET", "save", "", "requirepass", "secret"},
        {"CONFIG", "SET", "MasterAuth", "secret"},
    };
    struct stats *s = stats_new();

    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct bytes argv[8];
        int argc = 0;

        while (argc < 8 && lines[i][argc] != NULL) {
            argv[argc] = bytes_str(lines[i][argc]);
            argc++;
        }
        slow(s, argv, argc);
        assert_null(memmem(s->slow->words.p, s->slow->words.n, "secret", 6));
    }
    stats_free(s);
}

/* The longest of each second is a sample; shorter than the threshold is none;
 * a ring of them is kept. */
static void events(void **state)
{
    struct stats *s = stats_new();
    struct stats_event *e;
    struct bytes name = bytes_str("x");

    (void)state;
    stats_event(s, "x", 1000, 1);
    assert_int_equal(s->events_n, 0); /* nothing is, by default */
    s->latency_ms = 10;
    stats_event(s, "x", 9, 1);
    assert_int_equal(s->events_n, 0);
    stats_event(s, "x", 20, 1);
    stats_event(s, "x", 40, 1);
    stats_event(s, "x", 30, 1);
    stats_event(s, "x", 25, 2);
    e = stats_event_find(s, name);
    assert_int_equal(e->n, 2);
    assert_int_equal(stats_event_at(e, 0)->ms, 40);
    assert_int_equal(stats_event_at(e, 1)->ms, 25);
    assert_int_equal(e->max_ms, 40);
    for (unsigned i = 0; i < STATS_SAMPLES; i++) {
        stats_event(s, "x", 11, 10 + i);
    }
    assert_int_equal(e->n, STATS_SAMPLES);
    assert_int_equal(stats_event_at(e, 0)->unix_s, 10);
    for (int i = 0; i < 2 * STATS_EVENTS_MAX; i++) {
        char other[16];

        snprintf(other, sizeof other, "e%d", i);
        stats_event(s, other, 50, 1);
    }
    assert_int_equal(s->events_n, STATS_EVENTS_MAX);
    assert_int_equal(stats_event_reset(s, &name), 1);
    assert_int_equal(stats_event_reset(s, &name), 0);
    assert_int_equal(stats_event_reset(s, NULL), STATS_EVENTS_MAX - 1);
    stats_free(s);
}

/* A rate is the mean of the last samples. */
static void rates(void **state)
{
    struct stats *s = stats_new();
    uint64_t totals[STATS_RATE_KINDS] = {0};

    (void)state;
    for (uint64_t i = 0; i <= 40; i++) {
        totals[RATE_COMMANDS] = i * 10;
        stats_tick(s, 1000000 + i * 100000, totals, i);
    }
    assert_int_equal(stats_rate(s, RATE_COMMANDS), 100);
    assert_int_equal(s->memory_peak, 40);
    totals[RATE_COMMANDS] = 0; /* they were reset */
    stats_tick(s, 1000000 + 41 * 100000, totals, 0);
    assert_true(stats_rate(s, RATE_COMMANDS) < 100);
    assert_int_equal(s->memory_peak, 40);
    stats_free(s);
}

/* ---- answers ---- */

struct view {
    struct node_view v;
    struct edge_counters edge;
    struct buf reply;
};

static const char *question(struct view *w, const char *line)
{
    struct bytes argv[8];
    char words[200];
    char *rest = words;
    struct blob *b;
    int argc = 0;
    const struct command *c;

    snprintf(words, sizeof words, "%s", line);
    for (char *p; (p = strtok_r(rest, " ", &rest)) != NULL;) {
        argv[argc++] = bytes_str(p);
    }
    buf_clear(&w->reply);
    c = command_find(argv, argc, &w->reply);
    if (c != NULL) {
        b = command_encode(c, 0, argv, argc);
        admin_run(&w->v, blob_bytes(b), &w->reply);
        blob_unref(b);
    }
    buf_u8(&w->reply, 0);
    return (const char *)w->reply.p;
}

static void view_init(struct view *w)
{
    memset(w, 0, sizeof *w);
    w->v.version = "0.0";
    w->v.edge = &w->edge;
    w->edge.stats = stats_new();
}

static void view_release(struct view *w)
{
    stats_free(w->edge.stats);
    buf_release(&w->reply);
}

/* INFO shows the sections that were asked for; those that are long only by
 * name or with all. */
static void info_sections(void **state)
{
    struct view w;
    const char *t;

    (void)state;
    view_init(&w);
    stats_call(w.edge.stats, row("get"), 10, bytes_str("-ERR x\r\n"));
    t = question(&w, "INFO");
    assert_non_null(strstr(t, "# Server\r\n"));
    assert_non_null(strstr(t, "# Holdfast\r\n"));
    assert_non_null(strstr(t, "errorstat_ERR:count=1\r\n"));
    assert_null(strstr(t, "# Commandstats"));
    assert_string_equal(question(&w, "INFO default"), question(&w, "INFO"));
    t = question(&w, "INFO all");
    assert_non_null(strstr(t,
                           "cmdstat_get:calls=1,usec=10,usec_per_call=10.00,"
                           "rejected_calls=0,failed_calls=1\r\n"));
    assert_non_null(strstr(t, "latency_percentiles_usec_get:p50=10."));
    t = question(&w, "INFO commandstats cpu");
    assert_non_null(strstr(t, "# CPU\r\n"));
    assert_non_null(strstr(t, "\r\n\r\n# Commandstats\r\n"));
    assert_null(strstr(t, "# Server"));
    assert_string_equal(question(&w, "INFO nope"), "=4\r\ntxt:\r\n");
    view_release(&w);
}

/* SLOWLOG and LATENCY show what was kept. */
static void kept_is_shown(void **state)
{
    struct bytes argv[] = {bytes_str("GET"), bytes_str("k")};
    struct view w;

    (void)state;
    view_init(&w);
    slow(w.edge.stats, argv, 2);
    slow(w.edge.stats, argv, 2);
    assert_string_equal(question(&w, "SLOWLOG LEN"), ":2\r\n");
    assert_string_equal(question(&w, "SLOWLOG GET 1"),
                        "*1\r\n*6\r\n:1\r\n:99\r\n:12345\r\n*2\r\n$3\r\nGET"
                        "\r\n$1\r\nk\r\n$3\r\na:1\r\n$2\r\nme\r\n");
    assert_memory_equal(question(&w, "SLOWLOG GET -1"), "*2\r\n", 4);
    assert_memory_equal(question(&w, "SLOWLOG GET x"), "-ERR count", 10);
    assert_string_equal(question(&w, "SLOWLOG RESET"), "+OK\r\n");
    assert_string_equal(question(&w, "SLOWLOG LEN"), ":0\r\n");
    w.edge.stats->latency_ms = 1;
    stats_event(w.edge.stats, "log-fsync", 30, 7);
    assert_string_equal(question(&w, "LATENCY LATEST"),
                        "*1\r\n*4\r\n$9\r\nlog-fsync\r\n:7\r\n:30\r\n:30\r\n");
    assert_string_equal(question(&w, "LATENCY HISTORY log-fsync"),
                        "*1\r\n*2\r\n:7\r\n:30\r\n");
    assert_non_null(strstr(question(&w, "LATENCY DOCTOR"), "fsync"));
    assert_string_equal(question(&w, "LATENCY RESET nope log-fsync"), ":1\r\n");
    stats_call(w.edge.stats, row("get"), 3, bytes_str("_\r\n"));
    stats_call(w.edge.stats, row("get"), 20, bytes_str("_\r\n"));
    assert_string_equal(question(&w, "LATENCY HISTOGRAM get set"),
                        "%1\r\n$3\r\nget\r\n%2\r\n$5\r\ncalls\r\n:2\r\n$14\r\n"
                        "histogram_usec\r\n%2\r\n:4\r\n:1\r\n:32\r\n:2\r\n");
    view_release(&w);
}

/* CONFIG GET: by pattern or name, in any case, each once; the words of Redis
 * for the same things. */
static void config_get(void **state)
{
    static const struct config_view rows[] = {
        {"memory-limit", "77"}, {"clients-max", "5"}, {"log-level", "info"}};
    struct view w;

    (void)state;
    view_init(&w);
    w.v.config = rows;
    w.v.n_config = 3;
    assert_string_equal(question(&w, "CONFIG GET memory-limit"),
                        "%1\r\n$12\r\nmemory-limit\r\n$2\r\n77\r\n");
    assert_string_equal(question(&w, "CONFIG GET MaxMemory"),
                        "%1\r\n$9\r\nMaxMemory\r\n$2\r\n77\r\n");
    assert_string_equal(question(&w, "CONFIG GET MAXCL* maxclients"),
                        "%1\r\n$10\r\nmaxclients\r\n$1\r\n5\r\n");
    assert_string_equal(question(&w, "CONFIG GET loglevel"),
                        "%1\r\n$8\r\nloglevel\r\n$6\r\nnotice\r\n");
    assert_string_equal(question(&w, "CONFIG GET nope"), "%0\r\n");
    assert_memory_equal(question(&w, "CONFIG SET a"), "-ERR wrong", 10);
    view_release(&w);
}

/* The keys of a slot are counted and named, in a read of any node. */
static void slots(void **state)
{
    static const struct line lines[] = {
        {"CLUSTER COUNTKEYSINSLOT 12182", ":0"},
        {"SET foo 1", "+OK"},
        {"SET {foo}a 1", "+OK"},
        {"SET bar 1", "+OK"},
        {"CLUSTER COUNTKEYSINSLOT 12182", ":2"},
        {"CLUSTER GETKEYSINSLOT 12182 10", "*2 $3 foo $6 {foo}a"},
        {"CLUSTER GETKEYSINSLOT 12182 1", "*1 $3 foo"},
        {"CLUSTER GETKEYSINSLOT 12182 0", "*0"},
        {"CLUSTER GETKEYSINSLOT 1 10", "*0"},
        {"CLUSTER COUNTKEYSINSLOT 16384", "-ERR Invalid slot"},
        {"CLUSTER GETKEYSINSLOT 1 -1", "-ERR Invalid slot or number of keys"},
        {"MEMORY USAGE nope", "_"},
        {"MEMORY USAGE foo SAMPLES", "-ERR syntax error"},
        {"MEMORY USAGE foo SAMPLES -1", "-ERR syntax error"},
        {NULL, NULL},
    };
    struct fixture *f = *state;

    check_lines(f, lines);
    assert_true(atoi(ask(f, "MEMORY USAGE foo") + 1) > 4);
}

/* Reads count the keys that they find and those that they do not. */
static void lookups(void **state)
{
    struct fixture *f = *state;
    uint64_t hits = 0, misses = 0;

    ask(f, "SET a 1");
    ask(f, "MGET a b a");
    ask(f, "EXISTS b");
    ask(f, "GETDEL a");
    machine_take_lookups(f->m, &hits, &misses);
    assert_int_equal(hits, 2);
    assert_int_equal(misses, 2);
    machine_take_lookups(f->m, &hits, &misses);
    assert_int_equal(hits, 2);
}

/* ---- settings ---- */

static struct settings set;

static void settings_of(const char *config)
{
    char *argv[] = {"holdfastd", "--data-dir", "d", "--config",
                    (char *)(uintptr_t)config};
    struct errmsg em = {{0}};

    assert_int_equal(settings_parse(&set, config != NULL ? 5 : 3, argv, &em),
                     0);
}

static const char *change(const char *line)
{
    static struct buf reply;
    struct bytes argv[8];
    static char words[200];
    char *rest = words;
    size_t n = 0;

    snprintf(words, sizeof words, "%s", line);
    for (char *p; (p = strtok_r(rest, " ", &rest)) != NULL;) {
        argv[n++] = strcmp(p, "''") == 0 ? bytes_str("") : bytes_str(p);
    }
    buf_release(&reply);
    if (settings_config_set(&set, argv, n / 2, &reply)) {
        return "";
    }
    buf_u8(&reply, 0);
    return (const char *)reply.p;
}

/* A change is whole or not at all, and says what is wrong with it. */
static void config_set(void **state)
{
    static const struct line refused[] = {
        {"nope 1",
         "-ERR Unknown option or number of arguments for CONFIG SET - 'nope'"},
        {"clients-max 7 nope 1",
         "-ERR Unknown option or number of arguments for CONFIG SET - 'nope'"},
        {"clients-max 7 data-dir e",
         "-ERR CONFIG SET failed (possibly related to argument 'data-dir') - "
         "can't set immutable config"},
        {"clients-max 7 appendonly no",
         "-ERR CONFIG SET failed (possibly related to argument 'appendonly') - "
         "can't set immutable config"},
        {"clients-max 7 idle-timeout x",
         "-ERR CONFIG SET failed (possibly related to argument "
         "'idle-timeout') - argument couldn't be parsed into an integer"},
        {"clients-max 7 maxclients 8",
         "-ERR CONFIG SET failed (possibly related to argument 'maxclients') - "
         "duplicate parameter"},
        {"clients-max 0",
         "-ERR CONFIG SET failed (possibly related to argument "
         "'clients-max') - argument must be between 1 and 1000000 inclusive"},
        {"memory-limit x",
         "-ERR CONFIG SET failed (possibly related to argument "
         "'memory-limit') - argument must be a memory value"},
        {"log-budget 64m",
         "-ERR CONFIG SET failed (possibly related to argument "
         "'log-budget') - argument must be a memory value"},
        {NULL, NULL},
    };

    (void)state;
    settings_of(NULL);
    for (const struct line *l = refused; l->command != NULL; l++) {
        const char *got = change(l->command);

        if (strncmp(got, l->reply, strlen(l->reply)) != 0) {
            fail_msg("%s\n gave %s\n not  %s", l->command, got, l->reply);
        }
        assert_int_equal(set.clients_max, 10000);
    }
    assert_string_equal(change("clients-max 7 MaxMemory 1mb timeout 9"), "");
    assert_int_equal(set.clients_max, 7);
    assert_int_equal(set.memory_limit, 1 << 20);
    assert_int_equal(set.idle_timeout_s, 9);
    assert_string_equal(change("loglevel notice"), "");
    assert_string_equal(change("slowlog-log-slower-than -1"), "");
    assert_int_equal(set.slowlog_us, -1);
    assert_string_equal(change("notify-keyspace-events KEA"), "");
    assert_string_equal(set.notify_events, "AKE");
    assert_string_equal(change("notify-keyspace-events ''"), "");
    assert_string_equal(set.notify_events, "");
}

/* Classes of events, in the order in which Redis shows them. */
static void notify(void **state)
{
    static const char *const cases[][2] = {
        {"", ""},       {"KEA", "AKE"},        {"gxE", "gxE"},
        {"Kn$", "$nK"}, {"Eg$lshzxetd", "AE"}, {"Am", "Am"},
        {"EAn", "AEn"}, {"KK", "K"},           {"tzd", "ztd"},
    };
    char out[24];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(settings_notify(cases[i][0], out), 0);
        assert_string_equal(out, cases[i][1]);
    }
    assert_int_equal(settings_notify("KEX", out), HF_EINVAL);
}

/* The file gets what was changed, in its line or at the end, and keeps all
 * else; without a file that is an error. */
static void config_rewrite(void **state)
{
    char path[] = "/tmp/holdfast-test-XXXXXX", tmp[64], text[512];
    struct errmsg em = {{0}};
    const char *old = "# mine\nclients-max : 50\n\nidle-timeout = 3";
    int fd = mkstemp(path);
    FILE *f;
    size_t n;

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, old, strlen(old)), strlen(old));
    close(fd);
    settings_of(path);
    assert_string_equal(change("clients-max 60 slowlog-max-len 5"), "");
    assert_int_equal(settings_rewrite(&set, &em), 0);
    f = fopen(path, "r");
    n = fread(text, 1, sizeof text - 1, f);
    text[n] = 0;
    fclose(f);
    assert_string_equal(text,
                        "# mine\nclients-max = 60\n\nidle-timeout = 3\n"
                        "slowlog-max-len = 5\n");
    settings_of(path);
    assert_int_equal(set.clients_max, 60);
    assert_int_equal(set.slowlog_max_len, 5);
    snprintf(tmp, sizeof tmp, "%s.new", path);
    assert_int_equal(access(tmp, F_OK), -1);
    unlink(path);
    assert_int_equal(settings_rewrite(&set, &em), HF_EIO);
    settings_of(NULL);
    assert_int_equal(settings_rewrite(&set, &em), HF_ENOENT);
    assert_string_equal(em.text, "The server is running without a config file");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buckets),
        cmocka_unit_test(calls),
        cmocka_unit_test(slow_bound),
        cmocka_unit_test(slow_words),
        cmocka_unit_test(slow_secrets),
        cmocka_unit_test(slow_nested_secrets),
        cmocka_unit_test(events),
        cmocka_unit_test(rates),
        cmocka_unit_test(info_sections),
        cmocka_unit_test(kept_is_shown),
        cmocka_unit_test(config_get),
        cmocka_unit_test_setup_teardown(slots, setup, teardown),
        cmocka_unit_test_setup_teardown(lookups, setup, teardown),
        cmocka_unit_test(config_set),
        cmocka_unit_test(notify),
        cmocka_unit_test(config_rewrite),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
