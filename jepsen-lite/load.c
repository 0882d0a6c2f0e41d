/* holdfast-load: clients that know nothing of faults, and a history of all
 * that they asked and were told (jepsen-lite/HISTORY.md).
 *
 * Traffic for --seconds, then reads from every node, then the state of every
 * node at one index. It empties the cluster first. */
#include "jepsen-lite/load.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "base/err.h"

enum {
    WORKLOADS = 12,
    RATE_DEFAULT = 600, /* operations a second, of all clients */
    QUIET_DEFAULT = 5,  /* s */
    EMPTY_MS = 30000,   /* for the first request of all */
    PAUSE_MS = 200      /* between two tries of final reads */
};

static const struct workload *const all[WORKLOADS] = {
    &work_register, &work_append, &work_set,      &work_counter,
    &work_bank,     &work_ids,    &work_lock,     &work_stale,
    &work_ttl,      &work_feed,   &work_tracking, &work_watch};

struct options {
    const char *nodes, *workload, *history;
    uint64_t seed;
    int seconds, clients, rate, quiet;
};

struct run {
    struct options opt;
    struct load load;
    const struct workload *w[WORKLOADS];
    void *shared[WORKLOADS];
    struct tally tally[WORKLOADS];
    int n_w;
    bool want_state;
    struct client *clients;
    int n_clients;
};

/* ---- command line ---- */

static int usage(void)
{
    fputs(
        "usage: holdfast-load --nodes HOST:PLAIN:CLUSTER,...\n"
        "           --workload all|LIST --seed S --seconds T --history FILE\n"
        "           [--clients N] [--rate R] [--quiet Q]\n"
        "workloads: ",
        stderr);
    for (int i = 0; i < WORKLOADS; i++) {
        fprintf(stderr, "%s,", all[i]->name);
    }
    fputs("state\nIt empties the cluster first.\n", stderr);
    return 2;
}

static bool options_read(struct options *o, int argc, char **argv)
{
    static const struct option longs[] = {
        {"nodes", 1, NULL, 'n'},   {"workload", 1, NULL, 'w'},
        {"seed", 1, NULL, 's'},    {"seconds", 1, NULL, 't'},
        {"history", 1, NULL, 'h'}, {"clients", 1, NULL, 'c'},
        {"rate", 1, NULL, 'r'},    {"quiet", 1, NULL, 'q'},
        {NULL, 0, NULL, 0}};
    int ch;

    *o = (struct options){.workload = "all",
                          .seconds = 10,
                          .rate = RATE_DEFAULT,
                          .quiet = QUIET_DEFAULT};
    while ((ch = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        switch (ch) {
            case 'n':
                o->nodes = optarg;
                break;
            case 'w':
                o->workload = optarg;
                break;
            case 's':
                o->seed = strtoull(optarg, NULL, 10);
                break;
            case 't':
                o->seconds = atoi(optarg);
                break;
            case 'h':
                o->history = optarg;
                break;
            case 'c':
                o->clients = atoi(optarg);
                break;
            case 'r':
                o->rate = atoi(optarg);
                break;
            case 'q':
                o->quiet = atoi(optarg);
                break;
            default:
                return false;
        }
    }
    return optind == argc && o->nodes != NULL && o->history != NULL &&
           o->seconds > 0 && o->rate > 0 && o->quiet >= 0 && o->clients >= 0 &&
           o->clients <= LOAD_CLIENTS_MAX;
}

/* "host:plain:cluster" of @n bytes. */
static bool add_node(struct load *l, const char *s, size_t n)
{
    char text[LIM_ADDR];
    struct node_at *at = &l->nodes[l->n_nodes];
    char *cluster;
    char *plain;

    if (n == 0 || n >= sizeof(text) || l->n_nodes == LOAD_NODES_MAX) {
        return false;
    }
    memcpy(text, s, n);
    text[n] = '\0';
    cluster = strrchr(text, ':');
    if (cluster == NULL) {
        return false;
    }
    *cluster++ = '\0';
    plain = strrchr(text, ':');
    if (plain == NULL) {
        return false;
    }
    *plain++ = '\0';
    snprintf(at->plain, LIM_ADDR, "%.90s:%.10s", text, plain);
    snprintf(at->cluster, LIM_ADDR, "%.90s:%.10s", text, cluster);
    l->n_nodes++;
    return true;
}

static bool nodes_read(struct load *l, const char *s)
{
    for (;;) {
        size_t n = strcspn(s, ",");

        if (!add_node(l, s, n)) {
            return false;
        }
        if (s[n] == '\0') {
            return true;
        }
        s += n + 1;
    }
}

static bool named(const char *list, const char *name)
{
    size_t len = strlen(name);

    for (;;) {
        size_t n = strcspn(list, ",");

        if (n == len && strncmp(list, name, n) == 0) {
            return true;
        }
        if (list[n] == '\0') {
            return false;
        }
        list += n + 1;
    }
}

static bool workloads_read(struct run *r)
{
    bool every = strcmp(r->opt.workload, "all") == 0;
    size_t known = 0;
    size_t given = 1;

    for (int i = 0; i < WORKLOADS; i++) {
        if (every || named(r->opt.workload, all[i]->name)) {
            r->w[r->n_w++] = all[i];
            known++;
        }
    }
    r->want_state = every || named(r->opt.workload, "state");
    known += r->want_state;
    for (const char *s = r->opt.workload; *s != '\0'; s++) {
        given += *s == ',';
    }
    return every || given == known;
}

/* ---- traffic ---- */

static void sleep_until(int64_t ms)
{
    struct timespec ts = {ms / 1000, ms % 1000 * 1000000};

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) != 0) {
    }
}

static void *client_main(void *data)
{
    struct client *c = data;
    uint32_t mean = c->load->interval_ms;
    int64_t due = rconn_now_ms();

    while (!load_over(c->load)) {
        due += (int64_t)rng_below(&c->rng, 2 * (uint64_t)mean + 1);
        if (due < rconn_now_ms()) {
            due = rconn_now_ms(); /* what was not done is not made up for */
        }
        sleep_until(due);
        client_habit(c);
        c->w->step(c, c->shared);
    }
    free(c->mine);
    return NULL;
}

static void make_clients(struct run *r)
{
    struct rng rng = {r->opt.seed};
    int weights = 0;
    int want[WORKLOADS];

    for (int i = 0; i < r->n_w; i++) {
        weights += r->w[i]->clients;
    }
    for (int i = 0; i < r->n_w; i++) {
        want[i] = r->w[i]->clients;
        if (r->opt.clients > 0) {
            want[i] = want[i] * r->opt.clients / weights;
        }
        want[i] += want[i] == 0;
        r->n_clients += want[i];
    }
    r->clients = hf_calloc((size_t)r->n_clients + 1, sizeof(*r->clients));
    r->load.interval_ms = (uint32_t)(r->n_clients * 1000 / r->opt.rate) + 1;
    for (int i = 0, k = 0; i < r->n_w; i++) {
        for (int j = 0; j < want[i]; j++, k++) {
            struct client *c = &r->clients[k];

            client_init(c, &r->load, rng_next(&rng));
            c->w = r->w[i];
            c->shared = r->shared[i];
            c->number = j;
            c->via_lib = j % 2 == 1 && !c->w->resp_only;
            c->on_cluster = c->on_cluster && !c->via_lib;
            if (c->w->begin != NULL) {
                c->w->begin(c, c->shared);
            }
        }
    }
}

static void traffic(struct run *r)
{
    pthread_t *threads = hf_calloc((size_t)r->n_clients + 1, sizeof(*threads));

    for (int i = 0; i < r->n_clients; i++) {
        int rv = pthread_create(&threads[i], NULL, client_main, &r->clients[i]);

        hf_assert(rv == 0);
    }
    for (int i = 0; i < r->n_clients; i++) {
        pthread_join(threads[i], NULL);
    }
    load_gaps_end(&r->load);
    for (int i = 0; i < r->n_clients; i++) {
        for (int k = 0; k < r->n_w; k++) {
            if (r->w[k] == r->clients[i].w) {
                r->tally[k].ok += r->clients[i].tally.ok;
                r->tally[k].fail += r->clients[i].tally.fail;
                r->tally[k].info += r->clients[i].tally.info;
            }
        }
        client_release(&r->clients[i]);
    }
    free(threads);
    free(r->clients);
}

/* ---- the end ---- */

/* The reads of one workload at one node, tried until they are answered. */
static bool final_at(struct run *r, int w, int node, int64_t deadline_ms)
{
    struct client c;
    bool ok = false;

    client_init(&c, &r->load, r->opt.seed + (uint64_t)node);
    c.w = r->w[w];
    c.final = true;
    c.on_cluster = false;
    c.timeout_ms = LOAD_TIMEOUT_MS;
    c.node = node;
    while (!ok && rconn_now_ms() < deadline_ms) {
        ok = c.w->final(&c, r->shared[w]);
        if (!ok) {
            sleep_until(rconn_now_ms() + PAUSE_MS);
        }
    }
    client_release(&c);
    return ok;
}

static bool final_reads(struct run *r)
{
    int64_t deadline_ms = rconn_now_ms() + LOAD_FINAL_MS;
    bool ok = true;

    for (int w = 0; w < r->n_w; w++) {
        for (int node = 1; node <= r->load.n_nodes; node++) {
            if (r->w[w]->final != NULL && !final_at(r, w, node, deadline_ms)) {
                fprintf(stderr, "%s: node %d gave no final reads\n",
                        r->w[w]->name, node);
                ok = false;
            }
        }
    }
    if (r->want_state &&
        !state_final(&r->load, rconn_now_ms() + LOAD_FINAL_MS)) {
        fputs("state: the nodes never came to one index\n", stderr);
        ok = false;
    }
    return ok;
}

static void summary(struct run *r, double seconds, bool settled)
{
    struct buf b = BUF_INIT;
    struct load *l = &r->load;

    buf_printf(&b, "\"type\":\"load_summary\",\"seconds\":%.1f,\"ops\":{",
               seconds);
    for (int i = 0; i < r->n_w; i++) {
        struct tally *t = &r->tally[i];

        printf("%s %llu/%llu/%llu, ", r->w[i]->name, (unsigned long long)t->ok,
               (unsigned long long)t->fail, (unsigned long long)t->info);
        buf_printf(&b, "%s\"%s\":{\"ok\":%llu,\"fail\":%llu,\"info\":%llu}",
                   i == 0 ? "" : ",", r->w[i]->name, (unsigned long long)t->ok,
                   (unsigned long long)t->fail, (unsigned long long)t->info);
    }
    buf_printf(&b, "},\"gap_ms\":%llu,\"node_gap_ms\":[",
               (unsigned long long)(l->gap_ns / 1000000));
    printf("longest gap %llu ms, in the quiet end %llu, by node",
           (unsigned long long)(l->gap_ns / 1000000),
           (unsigned long long)(l->quiet_gap_ns / 1000000));
    for (int i = 0; i < l->n_nodes; i++) {
        printf(" %llu", (unsigned long long)(l->node_gap_ns[i] / 1000000));
        buf_printf(&b, "%s%llu", i == 0 ? "" : ",",
                   (unsigned long long)(l->node_gap_ns[i] / 1000000));
    }
    printf(" (ok/fail/info in %.1f s)\n", seconds);
    buf_printf(&b, "],\"quiet_gap_ms\":%llu,\"settled\":%s",
               (unsigned long long)(l->quiet_gap_ns / 1000000),
               settled ? "true" : "false");
    history_line(l->out, "%s", op_text(&b));
    buf_release(&b);
}

/* Nothing of an earlier run may be there. Named, so that it is done once and
 * before everything else, or not at all. */
static bool empty_cluster(struct load *l)
{
    struct bytes word = bytes_str("FLUSHALL");
    struct buf at = BUF_INIT;
    struct answer a = {0};
    struct lib *lib;
    bool ok;

    for (int i = 0; i < l->n_nodes; i++) {
        buf_printf(&at, "%s%s", i == 0 ? "" : ",", l->nodes[i].plain);
    }
    lib = lib_open(op_text(&at), false, 0);
    ok = lib != NULL && lib_call(lib, true, &word, 1, EMPTY_MS, &a) == OUT_OK;
    if (!ok) {
        fprintf(stderr, "the cluster does not serve: %s\n",
                lib == NULL ? "addresses" : lib_error(lib));
    }
    answer_clear(&a);
    lib_close(lib);
    buf_release(&at);
    return ok;
}

static void clocks_start(struct run *r)
{
    struct load *l = &r->load;
    int64_t quiet_ms;

    l->end_ms = rconn_now_ms() + (int64_t)r->opt.seconds * 1000;
    l->last_ok_ns = history_now_ns();
    quiet_ms = r->opt.quiet < r->opt.seconds ? r->opt.quiet * 1000 : 0;
    l->quiet_last_ok_ns = (uint64_t)(l->end_ms - quiet_ms) * 1000000;
    for (int i = 0; i < l->n_nodes; i++) {
        l->node_last_ok_ns[i] = l->last_ok_ns;
    }
}

int main(int argc, char **argv)
{
    struct run r = {0};
    struct errmsg e = {{0}};
    int64_t start_ms;
    double seconds;
    bool settled;

    if (!options_read(&r.opt, argc, argv) ||
        !nodes_read(&r.load, r.opt.nodes) || !workloads_read(&r)) {
        return usage();
    }
    pthread_mutex_init(&r.load.lock, NULL);
    r.load.seed = r.opt.seed;
    if (!empty_cluster(&r.load)) {
        return 1;
    }
    if (history_open(r.opt.history, &e, &r.load.out) != 0) {
        fprintf(stderr, "%s\n", e.text);
        return 2;
    }
    clocks_start(&r);
    for (int i = 0; i < r.n_w; i++) {
        r.shared[i] = r.w[i]->setup(&r.load);
    }
    make_clients(&r);
    start_ms = rconn_now_ms();
    traffic(&r);
    seconds = (double)(rconn_now_ms() - start_ms) / 1000;
    settled = final_reads(&r);
    summary(&r, seconds, settled);
    if (history_close(r.load.out, &e) != 0) {
        fprintf(stderr, "%s\n", e.text);
        return 1;
    }
    for (int i = 0; i < r.n_w; i++) {
        free(r.shared[i]);
    }
    return settled ? 0 : 1;
}
