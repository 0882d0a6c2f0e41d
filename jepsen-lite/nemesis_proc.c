/* Faults of processes, of their clocks, and of who is a member. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "jepsen-lite/nemesis.h"

enum {
    ELECTION_MS = 250,
    LONG_PAUSE_MS = 8000,
    STROBE_MS = 200,
    HOUR_S = 3600,
    NEW_LEADER_MS = 4000,
    TRANSFERS = 4,
    LIST_BYTES = 8192
};

/* ---- kill ---- */

/* Restart at once, after a moment, or after more than an election. */
static void restart_later(struct fault *f)
{
    switch (rng_below(&f->rng, 3)) {
        case 0:
            break;
        case 1:
            nem_hold((int64_t)rng_below(&f->rng, ELECTION_MS));
            break;
        default:
            nem_hold(ELECTION_MS * 2 + f->hold_ms);
            break;
    }
    for (int k = 0; k < f->nodes_n; k++) {
        node_start(f->nodes[k], NULL);
    }
}

static void kill_some(struct fault *f, int n, bool lead, const char *text)
{
    int gone;

    if (!claim(f, n, lead)) {
        return;
    }
    fault_begin(f, "%s killed", text);
    gone = nodes_kill(f->nodes, n);
    restart_later(f);
    fault_proof(f, "\"gone\":%d", gone);
    f->bit = gone == n;
}

static void kill_leader(struct fault *f)
{
    kill_some(f, 1, true, "leader");
}

static void kill_random(struct fault *f)
{
    kill_some(f, 1, false, "one");
}

static void kill_majority(struct fault *f)
{
    kill_some(f, nem.majority, rng_below(&f->rng, 2) == 0, "a majority");
}

static void kill_all(struct fault *f)
{
    kill_some(f, nem.nodes, false, "all");
}

/* ---- pause ---- */

static void pause_some(struct fault *f, int n, bool lead, const char *text)
{
    int64_t ms =
        ELECTION_MS / 2 + (int64_t)rng_below(&f->rng, ELECTION_MS * 5 / 2);
    int stopped = 0;

    if (!claim(f, n, lead)) {
        return;
    }
    if (rng_below(&f->rng, 3) == 0) {
        ms = ELECTION_MS * 3 + (int64_t)rng_below(&f->rng, LONG_PAUSE_MS);
    }
    fault_begin(f, "%s stopped for %lld ms", text, (long long)ms);
    for (int k = 0; k < n; k++) {
        (void)node_signal(f->nodes[k], SIGSTOP);
    }
    nem_hold(ms);
    for (int k = 0; k < n; k++) {
        stopped += node_state(f->nodes[k]) == 'T';
    }
    for (int k = 0; k < n; k++) {
        (void)node_signal(f->nodes[k], SIGCONT);
    }
    fault_proof(f, "\"stopped\":%d", stopped);
    f->bit = stopped == n;
}

static void pause_leader(struct fault *f)
{
    pause_some(f, 1, true, "leader");
}

static void pause_random(struct fault *f)
{
    pause_some(f, 1, false, "one");
}

static void pause_majority(struct fault *f)
{
    pause_some(f, nem.majority, rng_below(&f->rng, 2) == 0, "a majority");
}

/* ---- in order ---- */

/* One node after the other, from @binary if not NULL. */
static void roll(struct fault *f, const char *binary)
{
    int clean = 0, done = 0;

    for (int k = 0; k < f->nodes_n && !nem_over(); k++) {
        int i = f->nodes[k];
        bool owned = nem.node[i].owned;
        int status = node_stop(i);

        /* The status of one that the launcher started is its. */
        clean += status == 0 || (!owned && !node_running(i));
        done++;
        node_start(i, binary);
        (void)node_ready(i, NEM_READY_MS);
        nem_hold((int64_t)rng_below(&f->rng, 1000));
    }
    fault_proof(f, "\"restarted\":%d,\"clean\":%d", done, clean);
    f->bit = done > 0 && clean == done;
}

static void rolling(struct fault *f)
{
    if (!claim(f, nem.nodes, false)) {
        return;
    }
    fault_begin(f, "restarted in order, one after the other");
    roll(f, NULL);
}

/* To the other binary, and back. */
static void upgrade(struct fault *f)
{
    bool bit;

    if (!claim(f, nem.nodes, false)) {
        return;
    }
    fault_begin(f, "restarted one after the other with another binary");
    roll(f, nem.upgrade);
    bit = f->bit;
    nem_hold(f->hold_ms);
    roll(f, NULL);
    f->bit = f->bit && bit;
}

/* ---- clocks ---- */

static uint64_t shifted(const struct fault *f)
{
    uint64_t n = 0;

    for (int k = 0; k < f->nodes_n; k++) {
        n += CTL_GET(nem.node[f->nodes[k]].ctl, shifted);
    }
    return n;
}

static void clocks_by(const struct fault *f, int64_t ns)
{
    for (int k = 0; k < f->nodes_n; k++) {
        CTL_SET(nem.node[f->nodes[k]].ctl, clock_ns, ns);
    }
}

static bool claim_any(struct fault *f)
{
    int n = 1 + (int)rng_below(&f->rng, (uint64_t)nem.majority);

    return claim(f, n, rng_below(&f->rng, 2) == 0);
}

static void clock_step(struct fault *f)
{
    int64_t s = rng_below(&f->rng, 2) == 0 ? HOUR_S : -HOUR_S;
    uint64_t was;

    if (!claim_any(f)) {
        return;
    }
    fault_begin(f, "wall clock off by %lld s", (long long)s);
    was = shifted(f);
    clocks_by(f, s * 1000000000);
    sleep_ms(500);
    nem_hold(f->hold_ms);
    clocks_by(f, 0);
    was = shifted(f) - was;
    fault_proof(f, "\"readings\":%llu", (unsigned long long)was);
    f->bit = was > 0;
}

static void clock_strobe(struct fault *f)
{
    int64_t until = now_ns() + (1000 + f->hold_ms) * 1000000;
    uint64_t was;

    if (!claim_any(f)) {
        return;
    }
    fault_begin(f, "wall clock to and fro every %d ms", STROBE_MS);
    was = shifted(f);
    for (int64_t k = 1; now_ns() < until && !nem_over(); k++) {
        clocks_by(f, (k % 2 == 0 ? -1 : 1) * HOUR_S * 1000000000LL);
        sleep_ms(STROBE_MS);
    }
    clocks_by(f, 0);
    was = shifted(f) - was;
    fault_proof(f, "\"readings\":%llu", (unsigned long long)was);
    f->bit = was > 0;
}

/* ---- members ---- */

static int kv(const char *words, char *out, size_t cap)
{
    return run(out, cap, "%s --timeout 8s --endpoints %s %s 2>&1", nem.kv,
               nem.endpoints, words);
}

static bool other_term(void *arg)
{
    return nem.leader_term > *(uint64_t *)arg;
}

/* To one that is named, or to whom the leader likes. What else is going on
 * may prevent it: some tries. */
static void transfer(struct fault *f)
{
    bool named = rng_below(&f->rng, 2) == 0;
    uint64_t term = nem.leader_term;
    char text[LIST_BYTES], words[64] = "member transfer";
    bool moved = false;
    int rv = 0, tries = 0;

    while (!moved && tries < TRANSFERS && !nem_over()) {
        if (!choose(f, 1, -1)) {
            return;
        }
        if (named) {
            snprintf(words, sizeof words, "member transfer %llu",
                     (unsigned long long)node_seen(f->nodes[0]).id);
        }
        if (tries++ == 0) {
            fault_begin(f, "%s", words);
        }
        rv = kv(words, text, sizeof text);
        moved = nem_until(NEW_LEADER_MS, other_term, &term);
    }
    fault_proof(f, "\"status\":%d,\"tries\":%d,\"moved\":%s", rv, tries,
                moved ? "true" : "false");
    f->bit = moved;
}

/* A member is removed while another node is killed or cut off; then the
 * removed one, blank, takes its seat again. */
static void remove_member(struct fault *f)
{
    char text[LIST_BYTES], words[64];
    bool cut = rng_below(&f->rng, 2) == 0;
    uint64_t id, now_id;
    struct rules r;
    uint64_t packets = 0;
    bool bit = false;
    int rv;

    if (!claim(f, 2, false)) {
        return;
    }
    id = node_seen(f->nodes[0]).id;
    fault_begin(f, "member %llu removed, the other one %s",
                (unsigned long long)id, cut ? "cut off" : "killed");
    if (cut) {
        rules_init(&r, f, "filter", "FORWARD");
        rules_isolate(&r, f->nodes[1]);
        rules_on(&r);
    } else {
        bit = node_kill(f->nodes[1]);
    }
    snprintf(words, sizeof words, "member remove %llu", (unsigned long long)id);
    rv = kv(words, text, sizeof text);
    nem_hold(f->hold_ms / 2);
    if (cut) {
        packets = rules_off(&r);
        bit = packets > 0;
    } else {
        node_start(f->nodes[1], NULL);
    }
    (void)node_kill(f->nodes[0]);
    node_wipe(f->nodes[0]);
    node_start(f->nodes[0], NULL);
    bit = cluster_whole(NEM_WHOLE_MS) && bit;
    now_id = node_seen(f->nodes[0]).id;
    fault_proof(f, "\"status\":%d,\"packets\":%llu,\"was\":%llu,\"is\":%llu",
                rv, (unsigned long long)packets, (unsigned long long)id,
                (unsigned long long)now_id);
    f->bit = bit && now_id != id && now_id != 0;
}

const struct kind kinds_proc[] = {
    {"kill", "kill-leader", kill_leader, FAULT_KILLS | FAULT_LEADER},
    {"kill", "kill-any", kill_random, FAULT_KILLS},
    {"kill", "kill-majority", kill_majority, FAULT_KILLS | FAULT_LEADER},
    {"kill", "kill-all", kill_all, FAULT_KILLS | FAULT_LEADER},
    {"pause", "pause-leader", pause_leader, FAULT_LEADER},
    {"pause", "pause-any", pause_random, 0},
    {"pause", "pause-majority", pause_majority, 0},
    {"rolling", "rolling", rolling, FAULT_LEADER},
    {"rolling", "upgrade", upgrade, FAULT_UPGRADE},
    {"clock", "clock-step", clock_step, 0},
    {"clock", "clock-strobe", clock_strobe, 0},
    {"member", "transfer", transfer, FAULT_LEADER},
    {"member", "remove", remove_member, FAULT_DESTROYS},
    {NULL, NULL, NULL, 0},
};
