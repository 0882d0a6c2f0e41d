/* The kv command: the real program against nodes in this process. */
#include <errno.h>
#include <poll.h>
#include <pty.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/fake_cluster.h"

enum { ARGS_MAX = 16, OUTPUT_MAX = 1 << 16 };

struct fixture {
    struct fake fake;
    char kv[4096]; /* path of the program */
    char out[OUTPUT_MAX];
    size_t out_len;
    char err[OUTPUT_MAX];
};

/* The program lies in the top folder of the build, two above this test. */
static void find_kv(struct fixture *x)
{
    ssize_t n = readlink("/proc/self/exe", x->kv, sizeof(x->kv) - 8);
    char *slash;

    assert_true(n > 0);
    x->kv[n] = '\0';
    for (int i = 0; i < 3; i++) {
        slash = strrchr(x->kv, '/');
        assert_non_null(slash);
        *slash = '\0';
    }
    snprintf(slash, 4, "/kv");
    assert_int_equal(access(x->kv, X_OK), 0);
}

static int setup(void **state)
{
    struct fixture *x = hf_calloc(1, sizeof(*x));

    find_kv(x);
    fake_start(&x->fake);
    assert_int_equal(setenv("KV_ENDPOINTS", x->fake.endpoints, 1), 0);
    *state = x;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *x = *state;

    fake_stop(&x->fake);
    free(x);
    return 0;
}

/* All of @f from its start, NUL-terminated. */
static size_t slurp(FILE *f, char *to)
{
    size_t n;

    rewind(f);
    n = fread(to, 1, OUTPUT_MAX - 1, f);
    to[n] = '\0';
    fclose(f);
    return n;
}

/* Run kv with words @line (split at blanks; '_' stands for one) and @input
 * on stdin. Returns its exit status; -1: killed. */
static int kv(struct fixture *x, const char *line, const char *input)
{
    char *argv[ARGS_MAX] = {x->kv};
    char *copy = hf_strdup(line);
    char *rest;
    FILE *in = tmpfile();
    FILE *out = tmpfile();
    FILE *err = tmpfile();
    int argc = 1;
    int status;
    pid_t pid;

    for (char *w = strtok_r(copy, " ", &rest); w != NULL;
         w = strtok_r(NULL, " ", &rest)) {
        assert_true(argc < ARGS_MAX - 1);
        for (char *u = strchr(w, '_'); u != NULL; u = strchr(u, '_')) {
            *u = ' ';
        }
        argv[argc++] = w;
    }
    fputs(input, in);
    rewind(in);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)dup2(fileno(in), 0);
        (void)dup2(fileno(out), 1);
        (void)dup2(fileno(err), 2);
        execv(x->kv, argv);
        _exit(126);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    fclose(in);
    x->out_len = slurp(out, x->out);
    (void)slurp(err, x->err);
    free(copy);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void plan_all(struct fixture *x, enum fake_what what, const char *text)
{
    struct fake_action a = {FAKE_ON_COMMAND, what, text, true};

    for (size_t i = 0; i < FAKE_NODES; i++) {
        fake_script(&x->fake, i, a);
    }
}

/* A value goes in and comes out as it was, piped without a line end. */
static void set_get(void **state)
{
    struct fixture *x = *state;

    assert_int_equal(kv(x, "set k hello", ""), 0);
    assert_string_equal(x->out, "OK\n");
    assert_int_equal(kv(x, "get k", ""), 0);
    assert_string_equal(x->out, "hello");
    assert_string_equal(x->err, "");
}

/* "-" takes the value from stdin, line ends and all. */
static void set_from_stdin(void **state)
{
    struct fixture *x = *state;

    assert_int_equal(kv(x, "set k -", "two\nlines\n"), 0);
    assert_int_equal(kv(x, "get k", ""), 0);
    assert_string_equal(x->out, "two\nlines\n");
}

/* Status 1: no such key, or a condition that is false. */
static void status_no(void **state)
{
    static const char *const lines[] = {"get none",
                                        "del none",
                                        "ttl none",
                                        "cas none 5 v",
                                        "set --if-present none v",
                                        "set --if-absent k v",
                                        "cas k absent v"};
    struct fixture *x = *state;

    assert_int_equal(kv(x, "set k v", ""), 0);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        assert_int_equal(kv(x, lines[i], ""), 1);
        assert_string_equal(x->out, "");
        assert_memory_equal(x->err, "kv: ", 4);
    }
    assert_int_equal(kv(x, "txn", "if k = 99\nSET k w\n"), 1);
}

/* Status 2: the command line is wrong; nothing is sent, a hint is given. */
static void status_usage(void **state)
{
    static const char *const lines[] = {"nonsense",
                                        "get",
                                        "get a b",
                                        "set k",
                                        "incr k x",
                                        "get --limit 5 k",
                                        "get k --nonsense",
                                        "range a b c",
                                        "set --ttl 0 k v",
                                        "--timeout x get k",
                                        "--timeout",
                                        "--output xml get k",
                                        "member",
                                        "member shout",
                                        "member remove",
                                        "--max-age 5 get k",
                                        "cas k -1 v",
                                        "--endpoints , get k",
                                        "set --ttl 5s --keep-ttl k v",
                                        "call",
                                        "set --if-absent --if-present k v",
                                        "--wait get k",
                                        "member list 5"};
    struct fixture *x = *state;

    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        assert_int_equal(kv(x, lines[i], ""), 2);
        assert_string_equal(x->out, "");
        assert_non_null(strstr(x->err, "hint: "));
    }
    assert_int_equal(kv(x, "--max-age 5", ""), 2);
    assert_int_equal(kv(x, "txn", ""), 2);
    assert_int_equal(kv(x, "txn", "SET a 1\nif a = 1\n"), 2);
    assert_int_equal(kv(x, "txn", "if a 1\nSET a 1\n"), 2);
    assert_int_equal(kv(x, "txn", "SET \"a 1\n"), 2);
    assert_int_equal(fake_applied(&x->fake), 0);
}

/* Status 3: certainly not done; the message says why and what to do. */
static void status_failed(void **state)
{
    struct fixture *x = *state;

    assert_int_equal(kv(x, "--endpoints 127.0.0.1:1 --timeout 100 set k v", ""),
                     3);
    assert_non_null(strstr(x->err, "refused"));
    assert_non_null(strstr(x->err, "hint: "));
    assert_int_equal(kv(x, "set k word", ""), 0);
    assert_int_equal(kv(x, "incr k", ""), 3);
    assert_non_null(strstr(x->err, "not an integer"));
    plan_all(x, FAKE_SAY, "-NOSPACE no room\r\n");
    assert_int_equal(kv(x, "set k v", ""), 3);
    assert_non_null(strstr(x->err, "NOSPACE"));
}

/* Status 4: the outcome is unknown. */
static void status_unknown(void **state)
{
    struct fixture *x = *state;

    plan_all(x, FAKE_APPLY_DROP, NULL);
    assert_int_equal(kv(x, "--timeout 1s set k v", ""), 4);
    assert_non_null(strstr(x->err, "unknown"));
    assert_int_equal(fake_applied(&x->fake), 1);
    assert_int_equal(kv(x, "--timeout 1s call set k v", ""), 4);
}

/* incr adds once though its answer is lost; negative steps are no options. */
static void incr_and_retry(void **state)
{
    struct fixture *x = *state;
    struct fake_action a = {FAKE_ON_COMMAND, FAKE_APPLY_DROP, NULL, false};

    fake_script(&x->fake, 0, a);
    assert_int_equal(kv(x, "incr n 5", ""), 0);
    assert_string_equal(x->out, "5\n");
    assert_int_equal(kv(x, "incr n -7", ""), 0);
    assert_string_equal(x->out, "-2\n");
}

/* cas and txn compare revisions that get shows. */
static void cas_and_txn(void **state)
{
    struct fixture *x = *state;

    assert_int_equal(kv(x, "cas k absent v1", ""), 0);
    assert_int_equal(kv(x, "--output json get k", ""), 0);
    assert_string_equal(
        x->out,
        "{\"key\":\"k\",\"value\":\"v1\",\"revision\":1,\"created\":1}\n");
    assert_int_equal(kv(x, "cas k 1 v2", ""), 0);
    assert_int_equal(kv(x, "txn",
                        "# a comment\n\nif k = 2\nIF lock absent\n"
                        "SET lock 'not mine'\nINCRBY n 3\n"),
                     0);
    assert_string_equal(x->out, "OK\n3\n");
    assert_int_equal(kv(x, "get lock", ""), 0);
    assert_string_equal(x->out, "not mine");
}

/* A transaction of which a part failed has a status of its own, and names
 * what failed; one that failed as a whole was certainly not done. */
static void txn_partly(void **state)
{
    struct fixture *x = *state;

    assert_int_equal(kv(x, "set k word", ""), 0);
    assert_int_equal(kv(x, "txn", "SET a 1\nINCRBY k 1\n"), 6);
    assert_non_null(strstr(x->err, "command 2 (INCRBY) failed: ERR value"));
    assert_int_equal(kv(x, "get a", ""), 0);
    assert_int_equal(kv(x, "txn", "INCRBY k 1\n"), 3);
}

/* JSON is JSON, whatever the bytes. */
static void json_output(void **state)
{
    struct fixture *x = *state;

    assert_int_equal(kv(x, "set k -", "a\"\\\n\x01\xc3\xa4"), 0);
    assert_int_equal(kv(x, "--output json get k", ""), 0);
    assert_non_null(strstr(x->out, "\"a\\\"\\\\\\u000a\\u0001\xc3\xa4\""));
    assert_int_equal(kv(x, "set k -", "\xff\xfe"), 0);
    assert_int_equal(kv(x, "--output=json get k", ""), 0);
    assert_non_null(strstr(x->out, "{\"base64\":\"//4=\"}"));
}

/* scan and range print all keys; del counts; call shows any reply. */
static void lists(void **state)
{
    struct fixture *x = *state;

    assert_int_equal(kv(x, "set a 1", ""), 0);
    assert_int_equal(kv(x, "set b 2", ""), 0);
    assert_int_equal(kv(x, "scan", ""), 0);
    assert_string_equal(x->out, "a\nb\n");
    assert_int_equal(kv(x, "range a --limit 2", ""), 0);
    assert_string_equal(x->out, "a\t1\nb\t2\n");
    assert_int_equal(kv(x, "range --keys-only --limit 2 a z", ""), 0);
    assert_string_equal(x->out, "a\nb\n");
    assert_int_equal(kv(x, "--output text ttl a", ""), 0);
    assert_string_equal(x->out, "never expires\n");
    assert_int_equal(kv(x, "del a b c", ""), 0);
    assert_string_equal(x->out, "2\n");
    assert_int_equal(kv(x, "--output text call getv none", ""), 0);
    assert_string_equal(x->out, "(nil)\n");
    assert_int_equal(kv(x, "call nonsense --limit", ""), 3);
    assert_string_equal(x->out, "ERR unknown command\n");
}

/* A range is read in pages, forwards and backwards, each key once, in pages
 * that are small enough. */
static void range_pages(void **state)
{
    struct fixture *x = *state;
    char line[16];

    for (char c = 'a'; c <= 'g'; c++) {
        snprintf(line, sizeof(line), "set %c v", c);
        assert_int_equal(kv(x, line, ""), 0);
    }
    assert_int_equal(kv(x, "range --keys-only b", ""), 0);
    assert_string_equal(x->out, "b\nc\nd\ne\nf\ng\n");
    assert_int_equal(kv(x, "range --keys-only --reverse b g", ""), 0);
    assert_string_equal(x->out, "f\ne\nd\nc\nb\n");
    assert_int_equal(kv(x, "range --keys-only --limit 3 b", ""), 0);
    assert_string_equal(x->out, "b\nc\nd\n");
}

/* status says in words whether a node can be lost, and tolerates fields that
 * it does not know. */
static void status_words(void **state)
{
    struct fixture *x = *state;

    assert_int_equal(kv(x, "status --wait", ""), 0);
    assert_non_null(strstr(x->out, "any one node can be lost"));
    assert_non_null(strstr(x->out, "c0ffee"));
    assert_non_null(strstr(x->out, "voter"));
    x->fake.seats = 3; /* nobody reads it now */
    assert_int_equal(kv(x, "--timeout 1500 status --wait", ""), 3);
    assert_non_null(strstr(x->out, "1 of 3 taken"));
    x->fake.seats = 1;
    assert_int_equal(kv(x, "--output json status", ""), 0);
    assert_non_null(strstr(x->out, "\"a_field_of_tomorrow\":[null]"));
}

#define CHANGES                                                                \
    "%1\r\n$13\r\n__changes__:k\r\n*2\r\n*2\r\n$3\r\n5-0\r\n*10\r\n$4\r\ntype" \
    "\r\n$3\r\nset\r\n$3\r\nkey\r\n$2\r\nk1\r\n$5\r\nvalue\r\n$3\r\na\tb\r\n"  \
    "$8\r\ndeadline\r\n$4\r\n1234\r\n$8\r\nrevision\r\n$1\r\n5\r\n*2\r\n"      \
    "$3\r\n6-0\r\n*4\r\n$4\r\ntype\r\n$5\r\nclear\r\n$8\r\nrevision\r\n$"      \
    "1\r\n6"                                                                   \
    "\r\n"

/* watch prints one change a line, whose bytes cannot end it, and ends when it
 * was enough. */
static void watch_lines(void **state)
{
    struct fixture *x = *state;

    plan_all(x, FAKE_SAY, CHANGES);
    assert_int_equal(kv(x, "watch k --from 5 --count 2", ""), 0);
    assert_string_equal(x->out, "5-0\tset\tk1\ta\\x09b\t1234\n6-0\tclear\n");
    assert_int_equal(kv(x, "--output json watch k --from 4-9 --count 1", ""),
                     0);
    assert_string_equal(
        x->out,
        "{\"id\":\"5-0\",\"type\":\"set\",\"revision\":5,"
        "\"key\":\"k1\",\"value\":\"a\\u0009b\",\"deadline\":1234}"
        "\n");
    assert_int_equal(kv(x, "watch k --from x", ""), 2);
}

/* Status 5: changes were missed; the message says where to go on. */
static void watch_trimmed(void **state)
{
    struct fixture *x = *state;

    plan_all(x, FAKE_SAY,
             "-TRIMMED the changes up to 7-0 are no longer kept: read the "
             "keys, then go on from 9-0\r\n");
    assert_int_equal(kv(x, "watch k --from 5", ""), 5);
    assert_non_null(strstr(x->err, "go on from 9-0"));
    assert_non_null(strstr(x->err, "hint: "));
}

/* Every verb has help, on stdout, with status 0. */
static void help(void **state)
{
    static const char *const verbs[] = {
        "get", "set",  "del",    "incr",   "cas",  "scan",  "range", "ttl",
        "txn", "init", "status", "member", "call", "watch", "bench"};
    struct fixture *x = *state;

    assert_int_equal(kv(x, "--help", ""), 0);
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        char line[32];

        snprintf(line, sizeof(line), "\n  %s ", verbs[i]);
        assert_int_equal(kv(x, "--help", ""), 0);
        assert_non_null(strstr(x->out, line));
        snprintf(line, sizeof(line), "%s --help", verbs[i]);
        assert_int_equal(kv(x, line, ""), 0);
        assert_memory_equal(x->out, "usage: kv ", 10);
        assert_non_null(strstr(x->out, "Status: 0 done"));
    }
    assert_int_equal(kv(x, "--version", ""), 0);
    assert_memory_equal(x->out, "kv ", 3);
}

/* ---- scripts and the prompt ---- */

/* Without a verb, lines of stdin are commands; the status is the highest. */
static void script(void **state)
{
    struct fixture *x = *state;

    assert_int_equal(kv(x, "",
                        "# a comment\n\nSET k \"a b\\x41\"\nget k\nset 'a b' "
                        "2\nincrby 'a b' 1\n"),
                     0);
    assert_string_equal(x->out, "OK\na bA\nOK\n3\n");
    assert_int_equal(kv(x, "", "incrby k 1\ndbsize x\nset z 1\n"), 3);
    assert_int_equal(kv(x, "get z", ""), 0);
    assert_string_equal(x->out, "1");
    assert_int_equal(kv(x, "", "set \"k 1\n"), 2);
    assert_int_equal(kv(x, "", "exit\nset never 1\n"), 0);
    assert_int_equal(kv(x, "get never", ""), 1);
}

/* Writes of a script are named: a lost answer is no error, and no second
 * write; what is neither a read nor a write is sent once. */
static void script_is_exactly_once(void **state)
{
    struct fixture *x = *state;
    struct fake_action drop = {FAKE_ON_COMMAND, FAKE_APPLY_DROP, NULL, false};

    fake_script(&x->fake, 0, drop);
    assert_int_equal(kv(x, "", "incrby n 1\nincrby n 1\n"), 0);
    assert_string_equal(x->out, "1\n2\n");
    assert_int_equal(fake_applied(&x->fake), 2);
    fake_script(&x->fake, 0, drop);
    assert_int_equal(kv(x, "", "ping\nping\n"), 4);
    assert_string_equal(x->out, "PONG\n");
}

/* What only reads leaves no doubt behind, though it is sent once because it
 * waits. */
static void script_reads_leave_no_doubt(void **state)
{
    struct fixture *x = *state;
    struct fake_action stall = {FAKE_ON_COMMAND, FAKE_STALL, NULL, false};

    fake_script(&x->fake, 0, stall);
    assert_int_equal(
        kv(x, "--timeout 1s", "xread block 0 streams __changes__ $\n"), 3);
    assert_non_null(strstr(x->err, "nothing was changed"));
    assert_null(strstr(x->err, "unknown"));
}

/* A user who may not ask for the commands can use those that he may. */
static void script_without_command(void **state)
{
    struct fixture *x = *state;
    struct fake_action deny = {FAKE_ON_STATUS, FAKE_SAY,
                               "-NOPERM not 'command'\r\n", true};

    for (size_t i = 0; i < FAKE_NODES; i++) {
        fake_script(&x->fake, i, deny);
    }
    assert_int_equal(kv(x, "", "set k 1\nget k\n"), 0);
    assert_string_equal(x->out, "OK\n1\n");
    assert_int_equal(kv(x, "", "multi\nset k 2\nincrby k 1\nexec\n"), 0);
    assert_string_equal(x->out, "OK\nQUEUED\nQUEUED\nOK\n3\n");
}

/* A transaction is collected and sent as one, named; conditions hold. */
static void script_multi(void **state)
{
    struct fixture *x = *state;
    struct fake_action drop = {FAKE_ON_COMMAND, FAKE_APPLY_DROP, NULL, false};

    fake_script(&x->fake, 0, drop);
    assert_int_equal(kv(x, "", "multi\nset a 1\nincrby a 5\nexec\n"), 0);
    assert_string_equal(x->out, "OK\nQUEUED\nQUEUED\nOK\n6\n");
    assert_int_equal(kv(x, "", "watch a\nset a 9\nmulti\nset a 7\nexec\n"), 0);
    assert_non_null(strstr(x->out, "(nil)"));
    assert_int_equal(kv(x, "", "watch a\nmulti\nset a 7\nexec\nget a\n"), 0);
    assert_non_null(strstr(x->out, "QUEUED\nOK\n7\n"));
    assert_int_equal(kv(x, "", "multi\nnonsense\nset a 1\nexec\nget a\n"), 3);
    assert_non_null(strstr(x->out, "EXECABORT"));
    assert_non_null(strstr(x->out, "\n7\n"));
    assert_int_equal(kv(x, "", "multi\nset a 1\ndiscard\nget a\n"), 0);
    assert_non_null(strstr(x->out, "\n7\n"));
    assert_int_equal(kv(x, "", "multi\nset a 1\n"), 3);
    assert_int_equal(kv(x, "", "exec\n"), 3);
}

/* A kv on a terminal of its own. */
struct terminal {
    pid_t pid;
    int fd;
    char home[64];
    char text[OUTPUT_MAX]; /* all that it printed */
    size_t n;
};

static void terminal_start(struct fixture *x, struct terminal *t)
{
    struct winsize size = {24, 200, 0, 0};

    memset(t, 0, sizeof(*t));
    snprintf(t->home, sizeof(t->home), "/tmp/test_kv.XXXXXX");
    assert_non_null(mkdtemp(t->home));
    t->pid = forkpty(&t->fd, NULL, NULL, &size);
    assert_true(t->pid >= 0);
    if (t->pid == 0) {
        setenv("HOME", t->home, 1);
        setenv("TERM", "dumb", 1);
        execl(x->kv, "kv", (char *)NULL);
        _exit(126);
    }
}

/* Wait until @text has come @times times. */
static void expect(struct terminal *t, const char *text, int times)
{
    for (int tries = 0; tries < 200; tries++) {
        struct pollfd p = {t->fd, POLLIN, 0};
        const char *at = t->text;
        int seen = 0;

        while ((at = strstr(at, text)) != NULL) {
            at++;
            seen++;
        }
        if (seen >= times) {
            return;
        }
        if (poll(&p, 1, 50) > 0) {
            ssize_t got =
                read(t->fd, t->text + t->n, sizeof(t->text) - 1 - t->n);

            if (got <= 0) {
                break;
            }
            t->n += (size_t)got;
            t->text[t->n] = '\0';
        }
    }
    fail_msg("\"%s\" did not come %d times: %s", text, times, t->text);
}

static void type(struct terminal *t, const char *keys)
{
    assert_int_equal(write(t->fd, keys, strlen(keys)), strlen(keys));
}

/* What is still printed is taken, so that nothing waits for that. */
static int terminal_end(struct terminal *t)
{
    int status = 0;
    pid_t ended = 0;

    for (int tries = 0; tries < 600 && ended == 0; tries++) {
        struct pollfd p = {t->fd, POLLIN, 0};
        char left[4096];

        if (poll(&p, 1, 50) > 0 && read(t->fd, left, sizeof(left)) <= 0) {
            usleep(50000);
        }
        ended = waitpid(t->pid, &status, WNOHANG);
    }
    if (ended != t->pid) {
        (void)kill(t->pid, SIGKILL);
        (void)waitpid(t->pid, &status, 0);
    }
    close(t->fd);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* The prompt names the node, answers as redis-cli, shows a transaction, is
 * completed and helped by the node's own words, and ends with Ctrl-D. */
static void prompt(void **state)
{
    struct fixture *x = *state;
    struct terminal t;
    char first[64];

    snprintf(first, sizeof(first), "127.0.0.1:%u> ", x->fake.nodes[0].port);
    terminal_start(x, &t);
    expect(&t, first, 1);
    type(&t, "set k \"a b\"\n");
    expect(&t, "OK\r\n", 1);
    type(&t, "get k\n");
    expect(&t, "\"a b\"\r\n", 1);
    type(&t, "incrby n 5\n");
    expect(&t, "(integer) 5", 1);
    type(&t, "multi\n");
    expect(&t, "(tx)> ", 1);
    type(&t, "incrby n 1\n");
    expect(&t, "QUEUED", 1);
    type(&t, "exec\n");
    expect(&t, "1) (integer) 6", 1);
    type(&t, "dbs\t");
    expect(&t, "dbsize ", 1);
    type(&t, "\x15help SET\n");
    expect(&t, "SET key value [NX | XX]", 1);
    expect(&t, "What a summary says.", 1);
    type(&t, "kv get k\n");
    expect(&t, "a b\r\n", 1);
    type(&t, "\x04");
    assert_int_equal(terminal_end(&t), 0);
}

/* Ctrl-C cancels the line, not the prompt; a lost node is a wait; Ctrl-D is
 * not lost when a command runs. */
static void prompt_ctrl_c(void **state)
{
    struct fixture *x = *state;
    struct fake_action drop = {FAKE_ON_COMMAND, FAKE_APPLY_DROP, NULL, false};
    struct fake_action stall = {FAKE_ON_COMMAND, FAKE_STALL, NULL, false};
    struct terminal t;
    char second[64];

    snprintf(second, sizeof(second), "127.0.0.1:%u> ", x->fake.nodes[1].port);
    terminal_start(x, &t);
    expect(&t, "> ", 1);
    type(&t, "set k never");
    expect(&t, "never", 1);
    type(&t, "\x03");
    expect(&t, "> ", 2);
    fake_script(&x->fake, 0, drop);
    type(&t, "incrby n 7\n");
    expect(&t, "(integer) 7", 1);
    expect(&t, second, 1);
    /* Typed while a command runs: it ends the prompt after that. */
    fake_script(&x->fake, 1, stall);
    type(&t, "incrby n 1\n");
    usleep(100000);
    type(&t, "\x04");
    assert_int_equal(terminal_end(&t), 0);
    assert_int_equal(fake_applied(&x->fake), 1);
}

/* Wait until node 0 has taken all that was planned. */
static void wait_taken(struct fixture *x)
{
    struct fake_node *n = &x->fake.nodes[0];
    bool taken = false;

    for (int tries = 0; tries < 1000 && !taken; tries++) {
        usleep(10000);
        pthread_mutex_lock(&x->fake.lock);
        taken = n->script_next == n->script_len;
        pthread_mutex_unlock(&x->fake.lock);
    }
    assert_true(taken);
}

/* Ctrl-C ends a command that waits: a write in doubt, a read without one;
 * the next command is a new one. */
static void prompt_ctrl_c_ends_commands(void **state)
{
    struct fixture *x = *state;
    struct fake_action stall = {FAKE_ON_COMMAND, FAKE_STALL, NULL, false};
    struct terminal t;
    char first[64];

    snprintf(first, sizeof(first), "127.0.0.1:%u> ", x->fake.nodes[0].port);
    terminal_start(x, &t);
    expect(&t, first, 1);
    fake_script(&x->fake, 0, stall);
    type(&t, "incrby n 1\n");
    wait_taken(x);
    type(&t, "\x03");
    expect(&t, "kv: outcome unknown: ", 1);
    expect(&t, "not connected> ", 1);
    fake_mute(&x->fake, 1, true);
    fake_mute(&x->fake, 2, true);
    type(&t, "get n\n");
    expect(&t, "(nil)", 1);
    expect(&t, first, 2);
    fake_script(&x->fake, 0, stall);
    type(&t, "get n\n");
    wait_taken(x);
    type(&t, "\x03");
    expect(&t, "hint: nothing was changed", 1);
    type(&t, "\x04");
    assert_int_equal(terminal_end(&t), 0);
    assert_int_equal(fake_applied(&x->fake), 0);
}

/* The history is the owner's alone, and no password is ever in it. */
static void prompt_history(void **state)
{
    struct fixture *x = *state;
    struct terminal t;
    struct stat st;
    char path[128];
    char text[4096] = "";
    FILE *f;

    terminal_start(x, &t);
    expect(&t, "> ", 1);
    type(&t, "set kept 1\n");
    expect(&t, "OK\r\n", 1);
    type(&t, "AUTH someone hunter1\n");
    expect(&t, "> ", 3);
    type(&t, "acl setuser u >hunter2\n");
    expect(&t, "> ", 4);
    type(&t, "hello 3 auth u hunter3\n");
    expect(&t, "> ", 5);
    type(&t, "kv call auth u hunter4\n");
    expect(&t, "> ", 6);
    type(&t, "\"auth\" u hunter5\n");
    expect(&t, "> ", 7);
    type(&t, "exit\n");
    assert_int_equal(terminal_end(&t), 0);
    snprintf(path, sizeof(path), "%s/.kv_history", t.home);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    f = fopen(path, "r");
    assert_non_null(f);
    assert_true(fread(text, 1, sizeof(text) - 1, f) > 0);
    fclose(f);
    assert_non_null(strstr(text, "kept"));
    assert_null(strstr(text, "hunter"));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(t.home), 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(set_get),
        T(set_from_stdin),
        T(status_no),
        T(status_usage),
        T(status_failed),
        T(status_unknown),
        T(incr_and_retry),
        T(cas_and_txn),
        T(txn_partly),
        T(script),
        T(script_is_exactly_once),
        T(script_reads_leave_no_doubt),
        T(script_without_command),
        T(script_multi),
        T(prompt),
        T(prompt_ctrl_c),
        T(prompt_ctrl_c_ends_commands),
        T(prompt_history),
        T(json_output),
        T(range_pages),
        T(lists),
        T(status_words),
        T(help),
        T(watch_lines),
        T(watch_trimmed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
