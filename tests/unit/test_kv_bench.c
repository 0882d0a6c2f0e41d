/* kv bench: its parts, and the real program against nodes in this process. */
#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "client/kv_bench_int.h"
#include "tests/unit/fake_cluster.h"

enum { ARGS_MAX = 32, OUTPUT_MAX = 1 << 18, SAMPLES = 20000 };

/* ---- histogram ---- */

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* The exact percentile by the nearest rank. */
static uint64_t exact(const uint64_t *sorted, size_t n, uint32_t ppm)
{
    double rank = ceil((double)n * ppm / 1e6);

    return sorted[rank < 1 ? 0 : (size_t)rank - 1];
}

static const uint32_t ppms[] = {0,      1,      100000, 500000,
                                900000, 990000, 999000, 1000000};

/* Never below the exact value, and at most 1 % above it. */
static void compare(const struct hist *h, uint64_t *v, size_t n)
{
    qsort(v, n, sizeof(*v), by_value);
    for (size_t i = 0; i < sizeof(ppms) / sizeof(ppms[0]); i++) {
        uint64_t want = exact(v, n, ppms[i]);
        uint64_t got = hist_percentile(h, ppms[i]);

        assert_true(got >= want);
        assert_true(got - want <= want / 100);
    }
    assert_int_equal(h->n, n);
    assert_int_equal(h->max_us, v[n - 1]);
}

/* Spread over all magnitudes from 1 us to an hour. */
static uint64_t any_latency(struct rng *r)
{
    uint64_t v = rng_next(r) >> (32 + rng_below(r, 32));

    return v == 0 ? 1 : v > HIST_MAX_US ? HIST_MAX_US : v;
}

/* Every percentile is within 1 % of what sorting all values gives. */
static void hist_against_sorting(void **state)
{
    uint64_t *v = hf_calloc(SAMPLES, sizeof(*v));
    struct rng r = {7};

    (void)state;
    for (size_t n = 1; n <= SAMPLES; n = n * 3 + 1) {
        struct hist h = {0};
        double sum = 0;

        for (size_t i = 0; i < n; i++) {
            v[i] = any_latency(&r);
            sum += (double)v[i];
            hist_add(&h, v[i]);
        }
        compare(&h, v, n);
        assert_true(fabs(hist_mean_us(&h) - sum / (double)n) < 0.01 * sum);
    }
    free(v);
}

/* Merged histograms are as one that saw all the values. */
static void hist_merges(void **state)
{
    uint64_t *v = hf_calloc(SAMPLES, sizeof(*v));
    struct hist one = {0};
    struct hist two = {0};
    struct hist all = {0};
    struct rng r = {8};

    (void)state;
    for (size_t i = 0; i < SAMPLES; i++) {
        /* The second one has the largest ones. */
        v[i] = i < SAMPLES / 2 ? 1 + rng_below(&r, 5000) : any_latency(&r);
        hist_add(i < SAMPLES / 2 ? &one : &two, v[i]);
        hist_add(&all, v[i]);
    }
    hist_merge(&one, &two);
    compare(&one, v, SAMPLES);
    assert_memory_equal(&one, &all, sizeof(all));
    free(v);
}

/* Buckets follow each other without a gap, narrow ones; each value lies in
 * the first one that reaches up to it. */
static void hist_buckets(void **state)
{
    (void)state;
    for (size_t i = 1; i < HIST_BUCKETS; i++) {
        uint64_t low = hist_bucket_top_us(i - 1) + 1;
        uint64_t top = hist_bucket_top_us(i);
        struct hist h = {0};

        assert_true(top >= low);
        assert_true((top - low) * 100 <= low);
        hist_add(&h, low);
        hist_add(&h, top);
        assert_int_equal(h.counts[i], low > HIST_MAX_US ? 0 : h.n);
        if (top > HIST_MAX_US) {
            return;
        }
    }
    fail();
}

/* Nothing: 0. 0 us counts as 1; more than an hour is kept as the largest. */
static void hist_edges(void **state)
{
    struct hist h = {0};

    (void)state;
    assert_int_equal(hist_percentile(&h, 500000), 0);
    assert_true(hist_mean_us(&h) < 0.5);
    hist_add(&h, 0);
    assert_int_equal(h.counts[1], 1);
    hist_add(&h, HIST_MAX_US * 50);
    assert_int_equal(h.max_us, HIST_MAX_US * 50);
    assert_true(hist_percentile(&h, 1000000) >= HIST_MAX_US);
}

/* ---- requests ---- */

/* Ranks come as often as Zipf's law says: within 5 standard deviations. */
static void zipf_frequencies(void **state)
{
    enum { N = 1000, DRAWS = 400000 };
    static uint32_t seen[N];
    struct rng r = {3};
    struct zipf z;
    double sum = 0;

    (void)state;
    zipf_init(&z, N);
    for (int i = 0; i < DRAWS; i++) {
        uint64_t k = zipf_next(&z, &r);

        assert_true(k < N);
        seen[k]++;
    }
    for (int k = 0; k < N; k++) {
        sum += pow(k + 1, -ZIPF_EXPONENT);
    }
    for (int k = 0; k < N; k++) {
        double p = pow(k + 1, -ZIPF_EXPONENT) / sum;

        assert_true(fabs(seen[k] - DRAWS * p) < 5 * sqrt(DRAWS * p));
    }
    zipf_init(&z, 1);
    assert_int_equal(zipf_next(&z, &r), 0);
}

/* Every request is a GET or a SET of a key of ours, of the sizes and in the
 * shares asked for; a seed gives the same ones again. */
static void mix_requests(void **state)
{
    struct bench_config cfg = {.reads = 30,
                               .keys = 1000,
                               .key_size = 16,
                               .value_size = 100,
                               .seed = 9};
    struct resp_parser p;
    struct resp_args a;
    struct buf once = BUF_INIT;
    struct buf again = BUF_INIT;
    size_t reads = 0;
    size_t off = 0;
    size_t used;
    struct mix m;

    (void)state;
    for (int k = 0; k < 2; k++) {
        mix_init(&m, &cfg);
        for (int i = 0; i < 10000; i++) {
            (void)mix_next(&m, k == 0 ? &once : &again);
        }
        mix_release(&m);
    }
    assert_true(bytes_eq(buf_bytes(&once), buf_bytes(&again)));
    resp_parser_init(&p, LIM_REQUEST);
    for (int i = 0; i < 10000; i++) {
        assert_int_equal(
            resp_parse_request(&p, once.p + off, once.n - off, &used, &a), 1);
        off += used;
        assert_int_equal(a.argv[1].n, 16);
        assert_memory_equal(a.argv[1].p, "bench:0000000", 13);
        reads += bytes_ieq(a.argv[0], "GET");
        if (!bytes_ieq(a.argv[0], "GET")) {
            assert_true(bytes_ieq(a.argv[0], "SET"));
            assert_int_equal(a.argc, 3);
            assert_int_equal(a.argv[2].n, 100);
        }
    }
    assert_int_equal(off, once.n);
    assert_in_range(reads, 2750, 3250);
    resp_parser_release(&p);
    buf_release(&once);
    buf_release(&again);
}

/* A key has room for all of its digits, or the size is refused. */
static void mix_key_room(void **state)
{
    (void)state;
    assert_true(mix_keys_fit(10, 7));
    assert_false(mix_keys_fit(11, 7));
    assert_true(mix_keys_fit(11, 8));
    assert_false(mix_keys_fit(1, 6));
}

/* Errors are counted by their first word, each with its first text; what
 * exceeds the table is counted, too. */
static void error_kinds(void **state)
{
    struct bench_result *r = hf_calloc(1, sizeof(*r));
    char text[32];

    (void)state;
    bench_error(r, NULL, bytes_str("OOM first"));
    bench_error(r, NULL, bytes_str("OOM second"));
    assert_int_equal(r->nerrors, 1);
    assert_int_equal(r->errors[0].count, 2);
    assert_string_equal(r->errors[0].word, "OOM");
    assert_string_equal(r->errors[0].text, "OOM first");
    for (int i = 0; i < 40; i++) {
        snprintf(text, sizeof(text), "E%d x", i);
        bench_error(r, NULL, bytes_str(text));
    }
    assert_int_equal(r->nerrors, BENCH_ERRORS_MAX);
    assert_string_equal(r->errors[BENCH_ERRORS_MAX - 1].word, "OTHER");
    assert_int_equal(r->errors[BENCH_ERRORS_MAX - 1].count,
                     40 - (BENCH_ERRORS_MAX - 2));
    free(r);
}

/* ---- the program ---- */

struct fixture {
    struct fake fake;
    char kv[4096];
    char out[OUTPUT_MAX];
    char err[OUTPUT_MAX];
    pid_t pid;
    FILE *out_file;
    FILE *err_file;
    json_t *json;
};

static int setup(void **state)
{
    struct fixture *x = hf_calloc(1, sizeof(*x));
    ssize_t n = readlink("/proc/self/exe", x->kv, sizeof(x->kv) - 8);
    char *slash = NULL;

    /* The program lies in the top folder of the build. */
    assert_true(n > 0);
    x->kv[n] = '\0';
    for (int i = 0; i < 3; i++) {
        slash = strrchr(x->kv, '/');
        assert_non_null(slash);
        *slash = '\0';
    }
    snprintf(slash, 4, "/kv");
    fake_start(&x->fake);
    assert_int_equal(setenv("KV_ENDPOINTS", x->fake.endpoints, 1), 0);
    *state = x;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *x = *state;

    json_decref(x->json);
    fake_stop(&x->fake);
    free(x);
    return 0;
}

/* Start "kv --output json bench" with words @line. */
static void start(struct fixture *x, const char *line)
{
    char *argv[ARGS_MAX] = {x->kv, "--output", "json", "bench"};
    char *copy = hf_strdup(line);
    char *rest;
    int argc = 4;

    for (char *w = strtok_r(copy, " ", &rest); w != NULL;
         w = strtok_r(NULL, " ", &rest)) {
        assert_true(argc < ARGS_MAX - 1);
        argv[argc++] = w;
    }
    x->out_file = tmpfile();
    x->err_file = tmpfile();
    x->pid = fork();
    assert_true(x->pid >= 0);
    if (x->pid == 0) {
        (void)dup2(fileno(x->out_file), 1);
        (void)dup2(fileno(x->err_file), 2);
        execv(x->kv, argv);
        _exit(126);
    }
    free(copy);
}

static void slurp(FILE *f, char *to)
{
    size_t n;

    rewind(f);
    n = fread(to, 1, OUTPUT_MAX - 1, f);
    to[n] = '\0';
    fclose(f);
}

/* Its exit status; x->json: what it printed, NULL if it is no JSON. */
static int finish(struct fixture *x)
{
    int status;

    assert_int_equal(waitpid(x->pid, &status, 0), x->pid);
    slurp(x->out_file, x->out);
    slurp(x->err_file, x->err);
    json_decref(x->json);
    x->json = json_loads(x->out, JSON_REJECT_DUPLICATES, NULL);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int bench(struct fixture *x, const char *line)
{
    start(x, line);
    return finish(x);
}

/* A number at "a.b". */
static double at(const struct fixture *x, const char *path)
{
    const json_t *v = x->json;
    char name[64];

    while (*path != '\0') {
        size_t n = strcspn(path, ".");

        snprintf(name, sizeof(name), "%.*s", (int)n, path);
        path += path[n] == '.' ? n + 1 : n;
        v = json_object_get(v, name);
    }
    assert_true(json_is_number(v));
    return json_number_value(v);
}

static double sum_histogram(const struct fixture *x, const char *side)
{
    const json_t *list =
        json_object_get(json_object_get(x->json, side), "histogram");
    double sum = 0;

    assert_true(json_is_array(list));
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *pair = json_array_get(list, i);

        assert_int_equal(json_array_size(pair), 2);
        sum += json_number_value(json_array_get(pair, 1));
    }
    return sum;
}

#define NEAR(value, want, by)                     \
    do {                                          \
        double near_value = (value);              \
        assert_true(near_value >= (want) - (by)); \
        assert_true(near_value <= (want) + (by)); \
    } while (0)

/* A closed loop sends exactly what was asked for, reads and writes by their
 * share; its JSON holds one object whose parts add up. */
static void closed_loop(void **state)
{
    struct fixture *x = *state;

    assert_int_equal(bench(x,
                           "--requests 3000 --connections 8 --pipeline 4 "
                           "--keys 50 --fill --reads 40"),
                     0);
    assert_string_equal(x->err, "");
    assert_non_null(x->json);
    NEAR(at(x, "requests"), 3000, 0);
    NEAR(at(x, "reads.count") + at(x, "writes.count"), 3000, 0);
    NEAR(at(x, "reads.count"), 1200, 150);
    NEAR(at(x, "reads.misses"), 0, 0);
    NEAR(at(x, "failed"), 0, 0);
    NEAR(sum_histogram(x, "reads"), at(x, "reads.count"), 0);
    NEAR(sum_histogram(x, "writes"), at(x, "writes.count"), 0);
    assert_true(at(x, "throughput") > 0);
    assert_true(at(x, "writes.p50_us") > 0);
    assert_true(at(x, "writes.p50_us") <= at(x, "writes.p999_us"));
    assert_true(at(x, "writes.p999_us") <= at(x, "writes.max_us"));
    /* The fill and the writes. */
    NEAR((double)fake_applied(&x->fake), 50 + at(x, "writes.count"), 0);
}

/* Reads of keys that nobody stored are told. */
static void misses(void **state)
{
    struct fixture *x = *state;

    assert_int_equal(bench(x, "--requests 100 --connections 1 --reads 100"), 0);
    NEAR(at(x, "reads.misses"), 100, 0);
}

/* An open loop keeps its rate; a rate that divides no second evenly, too. */
static void open_loop_rate(void **state)
{
    struct fixture *x = *state;

    assert_int_equal(
        bench(x, "--rate 1499 --duration 1 --connections 4 --keys 50"), 0);
    NEAR(at(x, "requests"), 1499, 1);
    NEAR(at(x, "measured_s"), 1, 0.001);
    NEAR(at(x, "late.count"), 1499, 1);
    assert_true(at(x, "late.p50_us") < 100e3);
    assert_int_equal(bench(x,
                           "--rate 999999 --requests 5000 --connections 4 "
                           "--keys 50"),
                     0);
    NEAR(at(x, "requests"), 5000, 0);
}

/* What is due in the warm-up is not measured. */
static void warm_up(void **state)
{
    struct fixture *x = *state;

    assert_int_equal(bench(x,
                           "--rate 1000 --warmup 500ms --duration 500ms "
                           "--connections 4 --keys 50 --reads 0"),
                     0);
    NEAR(at(x, "requests"), 500, 1);
    NEAR((double)fake_applied(&x->fake), 1000, 1);
}

/* Wait until @n writes were done. */
static void wait_applied(struct fixture *x, uint64_t n)
{
    for (int i = 0; fake_applied(&x->fake) < n; i++) {
        assert_true(i < 5000);
        (void)usleep(2000);
    }
}

/* After @n writes node 0 stands still for @ms; returns how long in us. */
static double stall_after(struct fixture *x, uint64_t n, int ms)
{
    struct timespec a;
    struct timespec b;

    wait_applied(x, n);
    fake_mute(&x->fake, 0, true);
    (void)clock_gettime(CLOCK_MONOTONIC, &a);
    (void)usleep((useconds_t)ms * 1000);
    (void)clock_gettime(CLOCK_MONOTONIC, &b);
    fake_mute(&x->fake, 0, false);
    return (double)(b.tv_sec - a.tv_sec) * 1e6 +
           (double)(b.tv_nsec - a.tv_nsec) / 1e3;
}

/* A server that stands still for 400 ms is seen by all of the requests of
 * that time: of 1000 about 400, whose latencies spread evenly over it. */
static void stall_is_seen(void **state)
{
    struct fixture *x = *state;
    double us;

    start(x,
          "--rate 1000 --duration 1 --connections 1 --pipeline 1 --keys 9 "
          "--reads 0");
    us = stall_after(x, 100, 400);
    assert_int_equal(finish(x), 0);
    NEAR(at(x, "requests"), 1000, 1);
    assert_true(at(x, "writes.max_us") >= us - 50e3);
    assert_true(at(x, "late.max_us") >= us - 50e3);
    assert_true(at(x, "late.requests_max") >= us / 1000 - 50);
    /* A tenth of all waited for all of it but 100 ms at most. */
    assert_true(at(x, "writes.p90_us") >= us - 150e3);
}

/* A closed loop sees the same stall once: that is what it hides. */
static void stall_in_closed_loop(void **state)
{
    struct fixture *x = *state;
    double us;

    start(x, "--duration 1 --connections 1 --keys 9 --reads 0");
    us = stall_after(x, 100, 400);
    assert_int_equal(finish(x), 0);
    assert_true(at(x, "writes.max_us") >= us - 50e3);
    assert_true(at(x, "writes.p90_us") < us / 2);
    NEAR(at(x, "late.count"), 0, 0);
}

/* More than a server can do: the backlog is sent and counted after the end,
 * in full. */
static void stall_at_the_end(void **state)
{
    struct fixture *x = *state;
    double us;

    start(x,
          "--rate 500 --duration 500ms --connections 1 --pipeline 1 --keys 9 "
          "--reads 0");
    us = stall_after(x, 50, 600);
    assert_int_equal(finish(x), 0);
    NEAR(at(x, "requests"), 250, 1);
    assert_true(at(x, "writes.max_us") >= us - 50e3);
    NEAR(at(x, "measured_s"), 0.5, 0.001);
    assert_true(at(x, "throughput") < 350); /* in the 500 ms */
}

/* A node that never answers again: what is in flight may have been done, what
 * waits was not sent; both are told. */
static void silent_server(void **state)
{
    struct fixture *x = *state;

    start(x,
          "--rate 500 --duration 500ms --connections 1 --pipeline 4 --keys 9 "
          "--reads 0 --timeout 300ms --spread");
    wait_applied(x, 50);
    for (size_t i = 0; i < FAKE_NODES; i++) {
        fake_mute(&x->fake, i, true);
    }
    assert_int_equal(finish(x), 4);
    assert_non_null(x->json);
    NEAR(at(x, "unknown"), 4, 0);
    NEAR(at(x, "failed") + at(x, "requests"), 250, 1);
    assert_true(at(x, "failed") > 50);
    assert_non_null(strstr(x->out, "\"TIMEOUT\""));
    assert_non_null(strstr(x->out, "\"UNSENT\""));
}

static void plan(struct fixture *x, enum fake_what what, const char *text)
{
    struct fake_action a = {FAKE_ON_COMMAND, what, text, false};

    fake_script(&x->fake, 0, a);
}

/* An error reply is counted by its kind with its text; status 3. */
static void error_replies(void **state)
{
    struct fixture *x = *state;

    plan(x, FAKE_SAY, "-OOM no room\r\n");
    plan(x, FAKE_SAY, "-OOM no room\r\n");
    plan(x, FAKE_SAY, "-READONLY a replica\r\n");
    assert_int_equal(
        bench(x, "--requests 100 --connections 1 --keys 9 --reads 0"), 3);
    NEAR(at(x, "failed"), 3, 0);
    NEAR(at(x, "requests"), 97, 0);
    NEAR(at(x, "unknown"), 0, 0);
    assert_non_null(strstr(
        x->out, "{\"kind\":\"OOM\",\"count\":2,\"text\":\"OOM no room\"}"));
    assert_non_null(strstr(x->err, "certainly not done"));
    plan(x, FAKE_SAY, "-UNKNOWN perhaps\r\n");
    assert_int_equal(
        bench(x, "--requests 100 --connections 1 --keys 9 --reads 0"), 4);
}

/* A connection that breaks is made anew; its writes in flight are unknown,
 * its reads are not. */
static void lost_connection(void **state)
{
    struct fixture *x = *state;

    plan(x, FAKE_APPLY_DROP, NULL);
    assert_int_equal(
        bench(x, "--requests 100 --connections 1 --keys 9 --reads 0"), 4);
    NEAR(at(x, "requests"), 99, 0);
    NEAR(at(x, "unknown"), 1, 0);
    NEAR(at(x, "reconnects"), 1, 0);
    assert_non_null(strstr(x->out, "closed the connection"));
    plan(x, FAKE_DROP, NULL);
    assert_int_equal(
        bench(x, "--requests 100 --connections 1 --keys 9 --reads 100"), 3);
    NEAR(at(x, "failed"), 1, 0);
    NEAR(at(x, "unknown"), 0, 0);
}

/* -MOVED is an error of that request; the next ones go where it says. */
static void moved_is_followed(void **state)
{
    struct fixture *x = *state;
    char text[64];

    snprintf(text, sizeof(text), "-MOVED 5 127.0.0.1:%u\r\n",
             x->fake.nodes[2].port);
    plan(x, FAKE_SAY, text);
    assert_int_equal(bench(x, "--requests 100 --connections 1 --keys 9"), 3);
    NEAR(at(x, "failed"), 1, 0);
    NEAR(at(x, "requests"), 99, 0);
    NEAR(json_number_value(json_object_get(
             json_array_get(json_object_get(x->json, "nodes"), 2), "requests")),
         99, 0);
}

/* A server that does not know STATUS is taken as it is. */
static void plain_server(void **state)
{
    struct fixture *x = *state;
    struct fake_action status = {FAKE_ON_STATUS, FAKE_SAY,
                                 "-ERR unknown command 'STATUS'\r\n", true};

    fake_script(&x->fake, 0, status);
    assert_int_equal(bench(x, "--requests 100 --connections 2 --keys 9"), 0);
    NEAR(at(x, "requests"), 100, 0);
}

/* A server without HELLO is spoken to in RESP2, unless a password needs it. */
static void no_hello(void **state)
{
    struct fixture *x = *state;
    struct fake_action hello = {FAKE_ON_HELLO, FAKE_SAY,
                                "-ERR unknown command 'HELLO'\r\n", true};

    for (size_t i = 0; i < FAKE_NODES; i++) {
        fake_script(&x->fake, i, hello);
    }
    assert_int_equal(
        bench(x, "--spread --requests 100 --connections 3 --keys 9"), 0);
    NEAR(at(x, "requests"), 100, 0);
    assert_int_equal(bench(x, "--requests 100 --connections 3 --keys 9"), 0);
    assert_int_equal(setenv("HOLDFAST_PASSWORD", "x", 1), 0);
    assert_int_equal(
        bench(x, "--spread --requests 100 --connections 3 --keys 9"), 3);
    assert_int_equal(unsetenv("HOLDFAST_PASSWORD"), 0);
    assert_non_null(strstr(x->err, "unknown command 'HELLO'"));
}

/* A password that is wrong is told at once; nothing is sent. */
static void shut_out(void **state)
{
    struct fixture *x = *state;
    struct fake_action wrong = {FAKE_ON_HELLO, FAKE_SAY,
                                "-WRONGPASS no such user\r\n", true};

    for (size_t i = 0; i < FAKE_NODES; i++) {
        fake_script(&x->fake, i, wrong);
    }
    assert_int_equal(bench(x, "--requests 100 --timeout 60s --connections 4"),
                     3);
    assert_non_null(strstr(x->err, "WRONGPASS no such user"));
    assert_int_equal(
        bench(x, "--requests 100 --timeout 60s --connections 4 --spread"), 3);
    assert_non_null(strstr(x->err, "WRONGPASS no such user"));
    assert_int_equal(fake_applied(&x->fake), 0);
}

/* --spread takes all endpoints in turn; idle connections are there, too. */
static void spread_and_idle(void **state)
{
    struct fixture *x = *state;
    const json_t *nodes;

    assert_int_equal(bench(x,
                           "--requests 3000 --connections 6 --idle 9 "
                           "--spread --keys 9 --stale --rate 9000"),
                     0);
    nodes = json_object_get(x->json, "nodes");
    assert_int_equal(json_array_size(nodes), 3);
    for (size_t i = 0; i < 3; i++) {
        assert_true(json_number_value(json_object_get(json_array_get(nodes, i),
                                                      "requests")) > 500);
        assert_int_equal(fake_dials(&x->fake, i), 5 + 1);
    }
}

/* No node: status 3, and nothing was sent. */
static void nobody_there(void **state)
{
    struct fixture *x = *state;

    assert_int_equal(bench(x, "--requests 9 --endpoints 127.0.0.1:1"), 3);
    assert_non_null(strstr(x->err, "no node took it"));
    assert_int_equal(bench(x,
                           "--requests 9 --endpoints 127.0.0.1:1 --spread "
                           "--timeout 300ms --connections 1"),
                     3);
    assert_non_null(strstr(x->err, "refused"));
    assert_string_equal(x->out, "");
}

/* Wrong options are refused with a reason, before anything is sent. */
static void usage(void **state)
{
    static const char *const lines[] = {
        "--connections 10001",
        "--connections 0",
        "--pipeline 1025",
        "--rate 0",
        "--rate 10000001",
        "--reads 101",
        "--reads x",
        "--duration 5 --requests 5",
        "--duration 5x",
        "--duration 0.5",
        "--distribution normal",
        "--key-size 6",
        "--key-size 65537",
        "--keys 10000000000",
        "--value-size 1048577",
        "--connections 10000 --pipeline 1024",
        "--connections 1025 --value-size 1048576",
        "--idle 10001",
        "--limit 5",
        "word"};
    struct fixture *x = *state;

    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        assert_int_equal(bench(x, lines[i]), 2);
        assert_string_equal(x->out, "");
        assert_non_null(strstr(x->err, "hint: "));
    }
    for (size_t i = 0; i < FAKE_NODES; i++) {
        assert_int_equal(fake_dials(&x->fake, i), 0);
    }
}

/* --progress tells each second on stderr; Ctrl-C ends early with what is
 * known. */
static void progress_and_interrupt(void **state)
{
    struct fixture *x = *state;

    start(x,
          "--rate 100 --duration 60 --connections 1 --keys 9 --progress "
          "--reads 0");
    wait_applied(x, 120);
    assert_int_equal(kill(x->pid, SIGINT), 0);
    assert_int_equal(finish(x), 0);
    assert_non_null(strstr(x->err, "   1 s "));
    assert_non_null(strstr(x->err, "/s   p50 "));
    assert_true(json_is_true(json_object_get(x->json, "interrupted")));
    assert_true(at(x, "requests") >= 120);
    assert_true(at(x, "requests") < 1000);
    NEAR(at(x, "measured_s"), at(x, "requests") / 100, 0.2);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hist_against_sorting),
        cmocka_unit_test(hist_merges),
        cmocka_unit_test(hist_buckets),
        cmocka_unit_test(hist_edges),
        cmocka_unit_test(zipf_frequencies),
        cmocka_unit_test(mix_requests),
        cmocka_unit_test(mix_key_room),
        cmocka_unit_test(error_kinds),
        T(closed_loop),
        T(misses),
        T(open_loop_rate),
        T(warm_up),
        T(stall_is_seen),
        T(stall_in_closed_loop),
        T(stall_at_the_end),
        T(silent_server),
        T(error_replies),
        T(lost_connection),
        T(moved_is_followed),
        T(plain_server),
        T(no_hello),
        T(shut_out),
        T(spread_and_idle),
        T(nobody_there),
        T(usage),
        T(progress_and_interrupt),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
