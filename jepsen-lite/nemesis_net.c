/* Faults of the network: rules in the hub, in a chain of each fault's own, so
 * that what overlaps heals apart. Delays are in table mangle: a packet that
 * was held passes the other table's rules too. */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mutant.h"
#include "jepsen-lite/nemesis.h"

enum {
    BITE_MS = 400, /* heartbeats of 50 ms meet a rule within this */
    FLAP_LONGEST_MS = 500,
    TRIM_FILL = 3 << 20,
    TRIM_WAIT_MS = 15000,
    QUEUE_BASE = 40,
    DELAY_MS_MAX = 100
};

/* ---- chains ---- */

static pthread_mutex_t rules_lock = PTHREAD_MUTEX_INITIALIZER;

void rules_init(struct rules *r,
                struct fault *f,
                const char *table,
                const char *hook)
{
    static unsigned next;

    memset(r, 0, sizeof *r);
    r->table = table;
    r->hook = hook;
    snprintf(r->chain, sizeof r->chain, "F%u_%u", f->n,
             __atomic_fetch_add(&next, 1, __ATOMIC_RELAXED));
    rules_add(r, "*%s\n:%s - [0:0]\n", table, r->chain);
}

void rules_add(struct rules *r, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    r->n += (size_t)vsnprintf(r->text + r->n, sizeof r->text - r->n, fmt, ap);
    va_end(ap);
    if (r->n >= sizeof r->text) {
        abort();
    }
}

void rules_drop(struct rules *r, int from, int to)
{
    rules_add(r, "-A %s -s 10.99.0.%d -d 10.99.0.%d -j DROP\n", r->chain, from,
              to);
}

void rules_cut(struct rules *r, int a, int b)
{
    rules_drop(r, a, b);
    rules_drop(r, b, a);
}

void rules_isolate(struct rules *r, int i)
{
    for (int k = 1; k <= nem.nodes; k++) {
        if (k != i) {
            rules_cut(r, i, k);
        }
    }
}

/* Feed @text to iptables-restore: all of it at once, or nothing. */
static int restore(const char *text)
{
    FILE *p = popen("iptables-restore -w --noflush", "we");

    if (p == NULL) {
        return -1;
    }
    fputs(text, p);
    return pclose(p);
}

void rules_on(struct rules *r)
{
    rules_add(r, "-I %s -j %s\nCOMMIT\n", r->hook, r->chain);
    if (mutant(RULES_NOT_APPLIED)) {
        return;
    }
    pthread_mutex_lock(&rules_lock);
    r->on = restore(r->text) == 0;
    pthread_mutex_unlock(&rules_lock);
}

static uint64_t rules_packets(const struct rules *r)
{
    char text[RULES_TEXT * 2];
    uint64_t n = 0;
    char *save = NULL;

    run(text, sizeof text, "iptables -w -t %s -nvxL %s 2>/dev/null", r->table,
        r->chain);
    for (char *line = strtok_r(text, "\n", &save); line != NULL;
         line = strtok_r(NULL, "\n", &save)) {
        n += strtoull(line, NULL, 10); /* 0 for the two lines of the head */
    }
    return n;
}

uint64_t rules_off(struct rules *r)
{
    char text[512];
    uint64_t n;

    if (!r->on) {
        return 0;
    }
    pthread_mutex_lock(&rules_lock);
    n = rules_packets(r);
    snprintf(text, sizeof text, "*%s\n-D %s -j %s\n-F %s\n-X %s\nCOMMIT\n",
             r->table, r->hook, r->chain, r->chain, r->chain);
    if (restore(text) != 0) {
        fprintf(stderr, "%s stays\n", r->chain);
    }
    pthread_mutex_unlock(&rules_lock);
    r->on = false;
    return n;
}

/* ---- partitions ---- */

static void forward(struct rules *r, struct fault *f)
{
    rules_init(r, f, "filter", "FORWARD");
}

/* The usual course: on, hold, off, and the proof. */
static void hold_rules(struct fault *f, struct rules *r)
{
    uint64_t n;

    rules_on(r);
    sleep_ms(BITE_MS);
    nem_hold(f->hold_ms - BITE_MS);
    n = rules_off(r);
    fault_proof(f, "\"packets\":%llu", (unsigned long long)n);
    f->bit = n > 0;
}

static void isolate_leader(struct fault *f)
{
    struct rules r;

    if (!choose(f, 1, 1)) {
        return;
    }
    fault_begin(f, "leader cut off");
    forward(&r, f);
    rules_isolate(&r, f->nodes[0]);
    hold_rules(f, &r);
}

static void isolate_random(struct fault *f)
{
    struct rules r;

    (void)choose(f, 1, 0);
    fault_begin(f, "cut off");
    forward(&r, f);
    rules_isolate(&r, f->nodes[0]);
    hold_rules(f, &r);
}

/* Its next entry is gone from the leader's log. */
static bool is_trimmed(void *arg)
{
    int i = *(int *)arg;
    int leader = leader_now();

    if (leader == 0 || leader == i) {
        return false;
    }
    if (node_seen(leader).snapshot > node_seen(i).last) {
        return node_seen(i).last > 0;
    }
    fill(leader, TRIM_FILL);
    return false;
}

static bool is_caught_up(void *arg)
{
    int i = *(int *)arg;
    int leader = leader_now();

    return leader != 0 && node_seen(i).snapshot > 0 &&
           node_seen(i).applied + 100 > node_seen(leader).commit;
}

/* Until only a snapshot brings it back; claimed, since it must not restart
 * in between. */
static void isolate_trim(struct fault *f)
{
    struct rules r;
    bool trimmed;
    uint64_t n;

    if (!choose(f, 1, -1) || !claim_one(f, f->nodes[0])) {
        return;
    }
    fault_begin(f, "follower cut off past the trim of the log");
    forward(&r, f);
    rules_isolate(&r, f->nodes[0]);
    rules_on(&r);
    sleep_ms(BITE_MS);
    trimmed = nem_until(TRIM_WAIT_MS, is_trimmed, &f->nodes[0]);
    n = rules_off(&r);
    if (trimmed) {
        (void)nem_until(TRIM_WAIT_MS, is_caught_up, &f->nodes[0]);
    }
    fault_proof(f, "\"packets\":%llu,\"trimmed\":%s,\"snapshot\":%llu",
                (unsigned long long)n, trimmed ? "true" : "false",
                (unsigned long long)node_seen(f->nodes[0]).snapshot);
    f->bit = n > 0 && (trimmed || nem_over());
}

/* A minority on one side; the leader on either. */
static void split(struct fault *f)
{
    int order[NEM_NODES];
    int less =
        1 + (int)rng_below(&f->rng, (uint64_t)(nem.nodes - nem.majority));
    struct rules r;

    if (!choose(f, nem.nodes, rng_below(&f->rng, 2) == 0 ? 1 : -1)) {
        return;
    }
    memcpy(order, f->nodes, sizeof order);
    f->nodes_n = less;
    fault_begin(f, "split from the others");
    forward(&r, f);
    for (int a = 0; a < less; a++) {
        for (int b = less; b < nem.nodes; b++) {
            rules_cut(&r, order[a], order[b]);
        }
    }
    hold_rules(f, &r);
}

/* Each node hears its two neighbours only: all see another majority. */
static void ring(struct fault *f)
{
    struct rules r;
    int n = nem.nodes;

    (void)choose(f, n, 0);
    fault_begin(f, "each hears its neighbours in this ring");
    forward(&r, f);
    for (int a = 0; a < n; a++) {
        for (int b = a + 2; b < n; b++) {
            if (b - a != n - 1) {
                rules_cut(&r, f->nodes[a], f->nodes[b]);
            }
        }
    }
    hold_rules(f, &r);
}

/* Two halves that meet in one node. */
static void bridge(struct fault *f)
{
    struct rules r;
    int half = nem.nodes / 2;

    (void)choose(f, nem.nodes, 0);
    fault_begin(f, "two halves, the one in the middle hears all");
    forward(&r, f);
    for (int a = 0; a < half; a++) {
        for (int b = half + 1; b < nem.nodes; b++) {
            rules_cut(&r, f->nodes[a], f->nodes[b]);
        }
    }
    hold_rules(f, &r);
}

static void one_way(struct fault *f)
{
    struct rules r;

    if (!choose(f, 2, rng_below(&f->rng, 2) == 0 ? 1 : 0)) {
        return;
    }
    if (rng_below(&f->rng, 2) == 0) {
        int t = f->nodes[0];

        f->nodes[0] = f->nodes[1];
        f->nodes[1] = t;
    }
    fault_begin(f, "the first reaches the second no more");
    forward(&r, f);
    rules_drop(&r, f->nodes[0], f->nodes[1]);
    hold_rules(f, &r);
}

static void half_cut(struct fault *f, bool hears, const char *text)
{
    struct rules r;

    if (!choose(f, 1, rng_below(&f->rng, 2) == 0 ? 1 : 0)) {
        return;
    }
    fault_begin(f, "%s", text);
    forward(&r, f);
    for (int i = 1; i <= nem.nodes; i++) {
        if (i != f->nodes[0] && hears) {
            rules_drop(&r, f->nodes[0], i);
        } else if (i != f->nodes[0]) {
            rules_drop(&r, i, f->nodes[0]);
        }
    }
    hold_rules(f, &r);
}

static void deaf(struct fault *f)
{
    half_cut(f, false, "sends and hears nothing");
}

static void mute(struct fault *f)
{
    half_cut(f, true, "hears and sends nothing");
}

/* Off and on, a half to two election timeouts each. */
static void flapping(struct fault *f)
{
    int64_t half = 60 + (int64_t)rng_below(&f->rng, FLAP_LONGEST_MS - 60);
    int64_t until = now_ns() + (f->hold_ms + 4 * half) * 1000000;
    uint64_t packets = 0;
    int flaps = 0;

    if (!choose(f, 1, rng_below(&f->rng, 2) == 0 ? 1 : 0)) {
        return;
    }
    fault_begin(f, "cut off and back every %lld ms", (long long)half);
    do {
        struct rules r;

        forward(&r, f);
        rules_isolate(&r, f->nodes[0]);
        rules_on(&r);
        sleep_ms(half);
        packets += rules_off(&r);
        flaps++;
        sleep_ms(half);
    } while (now_ns() < until && !nem_over());
    fault_proof(f, "\"packets\":%llu,\"flaps\":%d", (unsigned long long)packets,
                flaps);
    f->bit = packets > 0;
}

/* ---- bad wires ---- */

static void loss(struct fault *f)
{
    int percent = 5 + (int)rng_below(&f->rng, 40);
    struct rules r;

    (void)choose(f, nem.nodes, 0);
    fault_begin(f, "%d %% of packets lost", percent);
    forward(&r, f);
    rules_add(&r,
              "-A %s -m statistic --mode random --probability 0.%02d"
              " -j DROP\n",
              r.chain, percent);
    hold_rules(f, &r);
}

/* netdelay on queue @queue; its pid. */
static pid_t delay_start(int queue, int ms, int jitter_ms, uint64_t seed)
{
    char path[NEM_PATH + 32], q[16], d[24], j[24], s[24];
    pid_t pid;

    snprintf(path, sizeof path, "%s/holdfast-netdelay", nem.tools);
    snprintf(q, sizeof q, "%d", queue);
    snprintf(d, sizeof d, "%d", ms * 1000);
    snprintf(j, sizeof j, "%d", jitter_ms * 1000);
    snprintf(s, sizeof s, "%llu", (unsigned long long)seed);
    pid = fork();
    if (pid == 0) {
        execl(path, path, q, d, j, "0", s, (char *)NULL);
        _exit(127);
    }
    return pid;
}

static void delay(struct fault *f)
{
    int ms = 1 + (int)rng_below(&f->rng, DELAY_MS_MAX);
    int jitter = (int)rng_below(&f->rng, (uint64_t)ms + 1);
    int queue = QUEUE_BASE + f->lane;
    int one = rng_below(&f->rng, 2) == 0 ? 1 : 0;
    int status = -1;
    struct rules r;
    pid_t pid;

    if (!choose(f, one ? 1 : nem.nodes, one)) {
        return;
    }
    fault_begin(f, "packets held %d to %d ms", ms, ms + jitter);
    pid = delay_start(queue, ms, jitter, rng_next(&f->rng));
    sleep_ms(100);
    rules_init(&r, f, "mangle", "FORWARD");
    for (int k = 0; k < f->nodes_n; k++) {
        rules_add(&r, "-A %s -s 10.99.0.%d -j NFQUEUE --queue-num %d\n",
                  r.chain, f->nodes[k], queue);
    }
    hold_rules(f, &r);
    if (pid > 0) { /* ends by itself if it could not start */
        kill(pid, SIGTERM);
        waitpid(pid, &status, 0);
    }
    /* Its status says whether it held a packet. */
    f->bit = f->bit && status == 0;
}

static int reset_socks(int from, int to)
{
    char text[16384];
    int lines = 0;

    if (mutant(RULES_NOT_APPLIED)) {
        return 0;
    }
    run(text, sizeof text, "ip netns exec %s-n%d ss -HKtn dst 10.99.0.%d 2>&1",
        nem.net, from, to);
    for (const char *p = text; (p = strchr(p, '\n')) != NULL; p++) {
        lines++;
    }
    return lines;
}

/* Connections of one node with another are broken, and new ones refused. */
static void reset(struct fault *f)
{
    struct rules r;
    int killed;

    if (!choose(f, 2, rng_below(&f->rng, 2) == 0 ? 1 : 0)) {
        return;
    }
    fault_begin(f, "connections reset");
    forward(&r, f);
    for (int k = 0; k < 2; k++) {
        rules_add(&r,
                  "-A %s -p tcp -s 10.99.0.%d -d 10.99.0.%d -j REJECT"
                  " --reject-with tcp-reset\n",
                  r.chain, f->nodes[k], f->nodes[1 - k]);
    }
    killed = reset_socks(f->nodes[0], f->nodes[1]);
    fault_proof(f, "\"sockets\":%d", killed);
    hold_rules(f, &r);
}

/* The other end never learns that a connection ended: cut, killed, healed. */
static void half_open(struct fault *f)
{
    struct rules r;
    bool killed;
    uint64_t n;

    if (!claim(f, 1, rng_below(&f->rng, 2) == 0)) {
        return;
    }
    fault_begin(f, "cut off from all, killed, back on the wire");
    forward(&r, f);
    rules_isolate(&r, f->nodes[0]);
    rules_on(&r);
    sleep_ms(BITE_MS);
    killed = node_kill(f->nodes[0]);
    sleep_ms(50);
    n = rules_off(&r);
    nem_hold(f->hold_ms / 2);
    node_start(f->nodes[0], NULL);
    fault_proof(f, "\"packets\":%llu,\"killed\":%s", (unsigned long long)n,
                killed ? "true" : "false");
    f->bit = n > 0 && killed;
}

/* Clients lose a node that its peers still have, in one way or both. */
static void clients(struct fault *f)
{
    uint64_t way = rng_below(&f->rng, 3);
    struct rules in, out;
    uint64_t n;

    if (!choose(f, 1, rng_below(&f->rng, 2) == 0 ? 1 : 0)) {
        return;
    }
    fault_begin(f, "clients lose it%s",
                way == 0   ? ""
                : way == 1 ? ": its answers"
                           : ": their requests");
    rules_init(&in, f, "filter", "INPUT");
    rules_init(&out, f, "filter", "OUTPUT");
    if (way != 2) {
        rules_add(&in, "-A %s -s 10.99.0.%d -j DROP\n", in.chain, f->nodes[0]);
    }
    if (way != 1) {
        rules_add(&out, "-A %s -d 10.99.0.%d -j DROP\n", out.chain,
                  f->nodes[0]);
    }
    rules_on(&out);
    hold_rules(f, &in);
    n = rules_off(&out);
    fault_proof(f, "\"sent\":%llu", (unsigned long long)n);
    f->bit = f->bit || n > 0;
}

const struct kind kinds_net[] = {
    {"partition", "isolate", isolate_leader, FAULT_LEADER},
    {"partition", "isolate-any", isolate_random, 0},
    {"partition", "trim", isolate_trim, 0},
    {"partition", "split", split, 0},
    {"partition", "ring", ring, FAULT_FIVE},
    {"partition", "bridge", bridge, 0},
    {"partition", "one-way", one_way, 0},
    {"partition", "deaf", deaf, 0},
    {"partition", "mute", mute, 0},
    {"partition", "flapping", flapping, 0},
    {"wire", "loss", loss, 0},
    {"wire", "delay", delay, 0},
    {"wire", "reset", reset, 0},
    {"wire", "half-open", half_open, FAULT_KILLS},
    {"clients", "clients", clients, 0},
    {NULL, NULL, NULL, 0},
};
