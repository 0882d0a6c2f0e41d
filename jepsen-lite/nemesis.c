/* Options, the schedule, and the end of a run. */
#include "jepsen-lite/nemesis.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    KINDS_MAX = 64,
    LANES = 2,
    POLL_MS = 20,
    DENSE_S = 400,        /* runs up to here have faults without long gaps */
    PER_HOUR = 400,       /* SIGKILLs, and leader changes, to have */
    LAST_START_MS = 5000, /* before the end of faults */
    LAST_DESTROY_MS = 25000,
    END_WHOLE_MS = 60000
};

struct nemesis nem = {
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .destroying = PTHREAD_MUTEX_INITIALIZER,
    .port = 7379,
    .seed = 1,
};

static const struct kind *kinds[KINDS_MAX];
static unsigned counts[KINDS_MAX];
static int kinds_n;
static int bag[KINDS_MAX];
static int bag_n;
static struct rng bag_rng;
static pthread_mutex_t bag_lock = PTHREAD_MUTEX_INITIALIZER;

int64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

void sleep_ms(int64_t ms)
{
    struct timespec ts = {ms / 1000, ms % 1000 * 1000000};

    if (ms > 0) {
        nanosleep(&ts, NULL);
    }
}

bool nem_over(void)
{
    return now_ns() >= nem.stop_ns;
}

void nem_hold(int64_t ms)
{
    int64_t until = now_ns() + ms * 1000000;

    while (now_ns() < until && !nem_over()) {
        int64_t left = (until - now_ns()) / 1000000;

        sleep_ms(left < POLL_MS ? left + 1 : POLL_MS);
    }
}

bool nem_until(int64_t ms, bool (*test)(void *arg), void *arg)
{
    int64_t until = now_ns() + ms * 1000000;

    while (!test(arg)) {
        if (now_ns() >= until) {
            return false;
        }
        sleep_ms(POLL_MS);
    }
    return true;
}

/* ---- what comes next ---- */

static bool selected(const char *list, const struct kind *k)
{
    char copy[NEM_PATH];
    char *save = NULL;

    snprintf(copy, sizeof copy, "%s", list);
    for (char *w = strtok_r(copy, ",", &save); w != NULL;
         w = strtok_r(NULL, ",", &save)) {
        if (strcmp(w, "all") == 0 || strcmp(w, k->family) == 0 ||
            strcmp(w, k->f) == 0) {
            return true;
        }
    }
    return false;
}

static void kinds_add(const struct kind *k, const char *list)
{
    for (; k->f != NULL; k++) {
        if ((k->flags & FAULT_FIVE) != 0 && nem.nodes < 5) {
            continue;
        }
        if ((k->flags & FAULT_UPGRADE) != 0 && nem.upgrade[0] == '\0') {
            continue;
        }
        if (selected(list, k) && kinds_n < KINDS_MAX) {
            kinds[kinds_n++] = k;
        }
    }
}

/* One of those with @flag by chance, or -1. */
static int one_with(int flag)
{
    int of[KINDS_MAX];
    int n = 0;

    for (int i = 0; i < kinds_n; i++) {
        if ((kinds[i]->flags & flag) != 0 &&
            (kinds[i]->flags & FAULT_DESTROYS) == 0) {
            of[n++] = i;
        }
    }
    return n == 0 ? -1 : of[rng_below(&bag_rng, (uint64_t)n)];
}

/* All kinds come once in an order by chance, then again; every second time
 * one that the run has too few of goes before. */
static int next_kind(void)
{
    static unsigned turn;
    int64_t due = (now_ns() - nem.begin_ns) / 1000000000 * PER_HOUR / 3600;
    int k = -1;

    pthread_mutex_lock(&bag_lock);
    if (turn++ % 2 == 1) {
        if (nem.leader_changes < due) {
            k = one_with(FAULT_LEADER);
        }
        if (k < 0 && nem.sigkills < due) {
            k = one_with(FAULT_KILLS);
        }
    }
    if (k < 0 && bag_n == 0) {
        for (int i = 0; i < kinds_n; i++) {
            bag[bag_n++] = i;
        }
    }
    if (k < 0) {
        int at = (int)rng_below(&bag_rng, (uint64_t)bag_n);

        k = bag[at];
        bag[at] = bag[--bag_n];
    }
    pthread_mutex_unlock(&bag_lock);
    return k;
}

/* ---- one fault ---- */

/* Nodes of @f run again, whatever it did. */
static void restore_nodes(struct fault *f)
{
    for (int i = 1; i <= nem.nodes; i++) {
        if (!f->claimed[i]) {
            continue;
        }
        if (!node_running(i)) {
            int status = -1;
            char how[64];

            (void)node_gone(i, 0, &status);
            snprintf(how, sizeof how, "under %s, wait status 0x%x", f->kind->f,
                     (unsigned)status);
            out_died(i, how);
            pthread_mutex_lock(&nem.lock);
            nem.died++;
            pthread_mutex_unlock(&nem.lock);
            node_start(i, NULL);
        }
        (void)node_ready(i, NEM_READY_MS);
    }
}

/* False when it found nothing to act on. */
static bool inflict(struct fault *f)
{
    bool destroys = (f->kind->flags & FAULT_DESTROYS) != 0;

    if (destroys) {
        if (nem.stop_ns - now_ns() < LAST_DESTROY_MS * 1000000LL ||
            pthread_mutex_trylock(&nem.destroying) != 0) {
            return false;
        }
        if (!cluster_whole(NEM_WHOLE_MS)) {
            pthread_mutex_unlock(&nem.destroying);
            return false;
        }
    }
    f->kind->run(f);
    restore_nodes(f);
    if (destroys) {
        pthread_mutex_unlock(&nem.destroying);
    }
    claim_release(f);
    if (f->began) {
        out_stop(f);
    }
    return f->began;
}

static bool majority_runs(void *arg)
{
    int n = 0;

    (void)arg;
    for (int i = 1; i <= nem.nodes; i++) {
        n += node_running(i);
    }
    return n > nem.nodes / 2;
}

/* Once more if it did not bite: as when the other lane had ended all nodes,
 * and there was nothing to cut off. */
static void fault_run(int k, int lane, struct rng *rng)
{
    int64_t longest = nem.dense ? 3000 : 10000;
    bool bit = false;

    for (int attempt = 0; attempt < 2 && !bit; attempt++) {
        struct fault f = {.kind = kinds[k], .lane = lane};

        if (attempt > 0) {
            (void)nem_until(NEM_READY_MS, majority_runs, NULL);
        }
        f.rng.s = rng_next(rng);
        f.hold_ms = (int64_t)rng_below(rng, (uint64_t)longest);
        f.n = __atomic_add_fetch(&nem.faults, 1, __ATOMIC_RELAXED);
        if (!inflict(&f)) {
            return;
        }
        __atomic_fetch_add(&counts[k], 1, __ATOMIC_RELAXED);
        bit = f.bit;
    }
    __atomic_fetch_add(bit ? &nem.bitten : &nem.missed, 1, __ATOMIC_RELAXED);
}

/* Faults one after the other; the second lane is idle half of its time. */
static void *lane(void *arg)
{
    int number = (int)(intptr_t)arg;
    struct rng rng = {nem.seed * LANES + (uint64_t)number};
    int64_t shortest = nem.dense ? 300 : 2000;
    int64_t longest = nem.dense ? 1200 : 10000;

    while (nem.stop_ns - now_ns() > LAST_START_MS * 1000000LL) {
        int64_t began = now_ns();
        int64_t gap =
            shortest + (int64_t)rng_below(&rng, (uint64_t)(longest - shortest));

        while (nem.calm > 0 && !nem_over()) {
            sleep_ms(POLL_MS);
        }
        if (nem.stop_ns - now_ns() > LAST_START_MS * 1000000LL) {
            fault_run(next_kind(), number, &rng);
        }
        nem_hold(gap);
        if (number > 0) {
            nem_hold((now_ns() - began) / 1000000);
        }
    }
    return NULL;
}

/* ---- a run ---- */

static void heal_all(void)
{
    run(NULL, 0,
        "for c in FORWARD INPUT OUTPUT; do iptables -w -F $c;"
        " iptables -w -t mangle -F $c; done");
    for (int i = 1; i <= nem.nodes; i++) {
        int64_t shifted = (int64_t)CTL_GET(nem.node[i].ctl, shifted);

        memset(nem.node[i].ctl, 0, sizeof *nem.node[i].ctl);
        CTL_SET(nem.node[i].ctl, shifted, (uint64_t)shifted);
        if (node_state(i) == 'T') {
            (void)kill(nem.node[i].pid, SIGCONT);
        }
        node_start(i, NULL);
    }
}

static void summary(bool whole, bool empty)
{
    char faults[2048] = "";
    size_t n = 0;

    for (int i = 0; i < kinds_n; i++) {
        if (counts[i] > 0) {
            n += (size_t)snprintf(faults + n, sizeof faults - n, "%s\"%s\":%u",
                                  n == 0 ? "" : ",", kinds[i]->f, counts[i]);
        }
    }
    out_line(
        "\"type\":\"summary\",\"faults\":{%s},\"leader_changes\":%u,"
        "\"sigkills\":%u,\"bitten\":%u,\"missed\":%u,\"died\":%u,"
        "\"whole\":%s,\"void\":%s",
        faults, nem.leader_changes, nem.sigkills, nem.bitten, nem.missed,
        nem.died, whole ? "true" : "false",
        nem.missed > 0 || empty ? "true" : "false");
}

static int nemesis_run(void)
{
    pthread_t lanes[LANES];
    bool whole, empty;

    if (out_open() != 0 || nodes_open() != 0 || watch_start() != 0) {
        return 2;
    }
    if (!cluster_whole(END_WHOLE_MS)) {
        fputs("the cluster is not whole at the start\n", stderr);
        return 2;
    }
    for (int i = 0; i < LANES; i++) {
        if (pthread_create(&lanes[i], NULL, lane, (void *)(intptr_t)i) != 0) {
            return 2;
        }
    }
    for (int i = 0; i < LANES; i++) {
        pthread_join(lanes[i], NULL);
    }
    sleep_ms((nem.stop_ns - now_ns()) / 1000000);
    heal_all();
    whole = cluster_whole(END_WHOLE_MS);
    out_line("\"type\":\"quiet\"");
    sleep_ms((nem.end_ns - now_ns()) / 1000000);
    empty = nem.bitten == 0;
    summary(whole, empty);
    if (nem.missed > 0 || empty) {
        fprintf(stderr, "void: %u faults did not bite, %u did\n", nem.missed,
                nem.bitten);
        return 3;
    }
    if (!whole || nem.died > 0) {
        fprintf(stderr, "%u nodes ended by themselves; %s at the end\n",
                nem.died, whole ? "whole" : "not whole");
        return 1;
    }
    return 0;
}

static int usage(void)
{
    fputs(
        "holdfast-nemesis --dir RUN --net NAME --nodes N --seconds T"
        " [--quiet Q]\n    [--seed S] [--nemesis LIST] --tools DIR --kv PATH"
        " --endpoints LIST\n    [--port P] [--upgrade HOLDFASTD]\n"
        "See jepsen-lite/nemesis.h.\n",
        stderr);
    return 2;
}

static const struct option options[] = {
    {"dir", required_argument, NULL, 'd'},
    {"net", required_argument, NULL, 'e'},
    {"nodes", required_argument, NULL, 'n'},
    {"seconds", required_argument, NULL, 't'},
    {"quiet", required_argument, NULL, 'q'},
    {"seed", required_argument, NULL, 's'},
    {"nemesis", required_argument, NULL, 'm'},
    {"tools", required_argument, NULL, 'o'},
    {"kv", required_argument, NULL, 'k'},
    {"endpoints", required_argument, NULL, 'a'},
    {"port", required_argument, NULL, 'p'},
    {"upgrade", required_argument, NULL, 'u'},
    {NULL, 0, NULL, 0},
};

static bool take(int c, long *seconds, long *quiet, const char **list)
{
    switch (c) {
        case 'd':
            snprintf(nem.dir, sizeof nem.dir, "%s", optarg);
            break;
        case 'e':
            snprintf(nem.net, sizeof nem.net, "%s", optarg);
            break;
        case 'n':
            nem.nodes = atoi(optarg);
            break;
        case 't':
            *seconds = atol(optarg);
            break;
        case 'q':
            *quiet = atol(optarg);
            break;
        case 's':
            nem.seed = strtoull(optarg, NULL, 10);
            break;
        case 'm':
            *list = optarg;
            break;
        case 'o':
            snprintf(nem.tools, sizeof nem.tools, "%s", optarg);
            break;
        case 'k':
            snprintf(nem.kv, sizeof nem.kv, "%s", optarg);
            break;
        case 'a':
            snprintf(nem.endpoints, sizeof nem.endpoints, "%s", optarg);
            break;
        case 'p':
            nem.port = atoi(optarg);
            break;
        case 'u':
            snprintf(nem.upgrade, sizeof nem.upgrade, "%s", optarg);
            break;
        default:
            return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    long seconds = 60, quiet = 10;
    const char *list = "all";
    int c;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (!take(c, &seconds, &quiet, &list)) {
            return usage();
        }
    }
    if ((nem.nodes != 3 && nem.nodes != NEM_NODES) || seconds <= quiet ||
        nem.dir[0] == '\0' || nem.net[0] == '\0' || optind != argc) {
        return usage();
    }
    nem.majority = nem.nodes / 2 + 1;
    nem.dense = seconds <= DENSE_S;
    nem.begin_ns = now_ns();
    nem.stop_ns = nem.begin_ns + (seconds - quiet) * 1000000000LL;
    nem.end_ns = nem.begin_ns + seconds * 1000000000LL;
    bag_rng.s = nem.seed;
    kinds_add(kinds_proc, list);
    kinds_add(kinds_net, list);
    kinds_add(kinds_disk, list);
    if (kinds_n == 0) {
        fprintf(stderr, "no fault is called %s\n", list);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    return nemesis_run();
}
