/* Whole clusters of consensus drivers in one process, under faults.
 *
 * One 64-bit seed decides everything: latencies, lost, doubled and late
 * messages, partitions, pauses, slow disks, crashes that keep any durable
 * prefix, membership changes, transfers, snapshots. After every event the
 * promises of Raft are checked; when the faults stop the cluster must elect
 * and acknowledge again.
 *
 *   raft_sim [--seed S] [--seeds N] [--scenario K] [--mutant NAME] [-x] [-v]
 *
 * Exit status 1 and a line per failing seed; -x stops at the first. Scenarios:
 * 0 mixed, 1 late messages and many snapshots, 2 slow disks, 3 much churn,
 * 4 loss only. */
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/rng.h"
#include "raftio/driver.h"
#include "tests/args.h"

enum {
    NODES = 5,
    ELECTION_MS = 100,
    HEARTBEAT_MS = 20,
    EVENTS_MAX = 3000000, /* per seed: more is a loop that does not end */
    SPIN_MAX = 1000,      /* timeouts within one millisecond */
    BACKLOG_MAX = 300,    /* uncommitted entries a client allows */
    SETTLE_US = 4000000,  /* 40 election timeouts to recover in */
};

enum kind {
    EV_TIMER = 1,
    EV_MSG,
    EV_DISK,
    EV_PUT,
    EV_LOGREAD,
    EV_FAULT,
    EV_CLIENT,
    EV_RESTART,
    EV_PROBE,
    EV_SNAP,
    EV_CHURN,
    EV_TRANSFER,
    EV_HEAL,
    EV_DIED, /* node is told that the process of from has ended */
};

struct event {
    uint64_t at;
    uint64_t seq;
    enum kind kind;
    unsigned node; /* 0: the world */
    unsigned from;
    uint64_t arg;
    unsigned n;
    uint64_t first;
    struct blob *msg;
};

struct disk_op {
    bool install;
    uint64_t token;
    uint64_t first;
    unsigned n;
    struct entry *e;
    struct snap_meta snap;
};

struct pending {
    uint64_t index;
    uint64_t term;
};

struct node {
    unsigned id;
    struct driver *d;
    bool up;
    unsigned generation; /* events of an earlier life are ignored */
    /* durable */
    uint64_t term;
    uint64_t vote;
    struct snap_meta snap;
    uint64_t first;
    unsigned log_n;
    unsigned log_cap;
    struct entry *log;
    /* being written */
    struct disk_op *ops;
    unsigned ops_n;
    unsigned ops_cap;
    bool disk_busy;
    struct snap_meta put;
    bool putting;
    /* running */
    uint64_t timer;
    uint64_t paused_until;
    unsigned slow;
    uint64_t state; /* hash of everything applied */
    struct pending *pending;
    unsigned pending_n;
    unsigned pending_cap;
    uint64_t read_floor; /* acknowledged when the read began */
    uint64_t spin_ms;
    unsigned spins;
    uint64_t seen_term; /* as leader, already checked */
};

/* What the cluster has agreed on, by index: the first to apply it says. */
struct fact {
    uint64_t term;
    uint64_t hash;
    uint64_t state;
    uint64_t conf_index;
    uint64_t applied_in; /* term of the node that applied it first */
};

struct seen {
    uint64_t index;
    uint64_t term;
    uint64_t hash;
};

struct tally {
    uint64_t events, messages, leaders, acks, reads, changes, transfers;
    uint64_t crashes, snapshots, installs, refused, log_reads;
    uint64_t recover_max_us;
};

static struct {
    struct rng rng;
    uint64_t now;
    struct event *heap;
    size_t heap_n, heap_cap;
    uint64_t seq;
    struct node nodes[NODES + 1];
    bool blocked[NODES + 1][NODES + 1];
    uint64_t last_delivery[NODES + 1][NODES + 1];
    struct fact *facts;
    uint64_t facts_n, facts_cap;
    unsigned *leaders;
    uint64_t leaders_cap;
    struct seen *seen;
    size_t seen_n, seen_cap;
    uint64_t acked, op, healed_at, first_ack_after, heal_at, end_at;
    unsigned drop, dup, late, refuse;
    bool fifo, healed, pre_vote;
    uint64_t latency, lateness;
    unsigned inflight, trailing;
    uint64_t cache_bytes;
    uint32_t message_bytes;
    uint64_t fault_gap, client_gap, snap_gap, churn_gap, transfer_gap;
    int scenario;
    bool verbose;
    bool bad;
    char why[256];
    unsigned back_to;  /* its rejection is being received; 0: none */
    unsigned back_out; /* what was sent to it in answer */
    struct tally tally;
} w;

static uint64_t below(uint64_t n)
{
    return rng_below(&w.rng, n);
}

static bool permille(unsigned p)
{
    return below(1000) < p;
}

static void violation(const char *fmt, ...)
    __attribute__((format(printf, 1, 2)));
static void violation(const char *fmt, ...)
{
    va_list ap;

    if (!w.bad) {
        w.bad = true;
        va_start(ap, fmt);
        (void)vsnprintf(w.why, sizeof w.why, fmt, ap);
        va_end(ap);
    }
}

#define U(x) ((unsigned long long)(x))

/* ---- events in order of time ---- */

static bool earlier(const struct event *a, const struct event *b)
{
    return a->at < b->at || (a->at == b->at && a->seq < b->seq);
}

static void swap_events(size_t i, size_t k)
{
    struct event x = w.heap[i];

    w.heap[i] = w.heap[k];
    w.heap[k] = x;
}

static void push(struct event ev)
{
    size_t i = w.heap_n++;

    if (i == w.heap_cap) {
        w.heap_cap = w.heap_cap * 2 + 1024;
        w.heap = hf_realloc(w.heap, w.heap_cap * sizeof *w.heap);
    }
    ev.seq = w.seq++;
    w.heap[i] = ev;
    while (i > 0 && earlier(&w.heap[i], &w.heap[(i - 1) / 2])) {
        swap_events(i, (i - 1) / 2);
        i = (i - 1) / 2;
    }
}

static void push_in(uint64_t us, enum kind kind, unsigned node, uint64_t arg)
{
    push((struct event){
        .at = w.now + us, .kind = kind, .node = node, .arg = arg});
}

static struct event pop(void)
{
    struct event top = w.heap[0];
    size_t i = 0;

    w.heap[0] = w.heap[--w.heap_n];
    for (;;) {
        size_t l = 2 * i + 1;
        size_t s = i;

        if (l < w.heap_n && earlier(&w.heap[l], &w.heap[s])) {
            s = l;
        }
        if (l + 1 < w.heap_n && earlier(&w.heap[l + 1], &w.heap[s])) {
            s = l + 1;
        }
        if (s == i) {
            return top;
        }
        swap_events(i, s);
        i = s;
    }
}

/* ---- what must agree ---- */

static uint64_t hash_bytes(const void *p, size_t n, uint64_t h)
{
    const uint8_t *c = p;

    h ^= 0xcbf29ce484222325ULL;
    for (size_t i = 0; i < n; i++) {
        h = (h ^ c[i]) * 0x100000001b3ULL;
    }
    return h;
}

static uint64_t hash_entry(const struct entry *e)
{
    return hash_bytes(e->data.p, e->data.n, (uint64_t)e->type * 77);
}

static struct fact *fact(uint64_t index)
{
    if (index >= w.facts_cap) {
        uint64_t old = w.facts_cap;

        w.facts_cap = index * 2 + 1024;
        w.facts = hf_realloc(w.facts, w.facts_cap * sizeof *w.facts);
        memset(w.facts + old, 0, (w.facts_cap - old) * sizeof *w.facts);
    }
    return &w.facts[index];
}

static size_t seen_slot(const struct seen *t,
                        size_t cap,
                        uint64_t i,
                        uint64_t term)
{
    size_t k = (size_t)((i * 0x9E3779B1u) ^ (term * 0x85EBCA77u)) & (cap - 1);

    while (t[k].index != 0 && (t[k].index != i || t[k].term != term)) {
        k = (k + 1) & (cap - 1);
    }
    return k;
}

static void seen_grow(void)
{
    size_t cap = w.seen_cap == 0 ? 4096 : w.seen_cap * 2;
    struct seen *t = hf_calloc(cap, sizeof *t);

    for (size_t i = 0; i < w.seen_cap; i++) {
        if (w.seen[i].index != 0) {
            t[seen_slot(t, cap, w.seen[i].index, w.seen[i].term)] = w.seen[i];
        }
    }
    free(w.seen);
    w.seen = t;
    w.seen_cap = cap;
}

/* Log matching: one payload for each (index, term), anywhere, ever. */
static void check_payload(unsigned id, uint64_t index, const struct entry *e)
{
    uint64_t h = hash_entry(e);
    size_t k;

    if ((w.seen_n + 1) * 2 > w.seen_cap) {
        seen_grow();
    }
    k = seen_slot(w.seen, w.seen_cap, index, e->term);
    if (w.seen[k].index == 0) {
        w.seen[k] = (struct seen){index, e->term, h};
        w.seen_n++;
    } else if (w.seen[k].hash != h) {
        violation("n%u: two payloads at %llu^%llu", id, U(index), U(e->term));
    }
}

static void note_leader(unsigned id, uint64_t term)
{
    if (term >= w.leaders_cap) {
        uint64_t old = w.leaders_cap;

        w.leaders_cap = term * 2 + 64;
        w.leaders = hf_realloc(w.leaders, w.leaders_cap * sizeof *w.leaders);
        memset(w.leaders + old, 0, (w.leaders_cap - old) * sizeof *w.leaders);
    }
    if (w.leaders[term] != 0 && w.leaders[term] != id) {
        violation("two leaders in term %llu: n%u and n%u", U(term),
                  w.leaders[term], id);
    }
    w.leaders[term] = id;
}

/* One leader per term, and it has everything committed in earlier terms. */
static void check_leader(struct node *n)
{
    struct driver *d = n->d;
    uint64_t term = driver_term(d);
    uint64_t x = w.facts_n;
    uint64_t own;

    if (driver_role(d) != DRIVER_LEADER || n->seen_term == term) {
        return;
    }
    n->seen_term = term;
    w.tally.leaders++;
    if (w.verbose) {
        printf("%9llu n%u leads term %llu last %llu commit %llu\n", U(w.now),
               n->id, U(term), U(driver_last(d)), U(driver_commit(d)));
    }
    note_leader(n->id, term);
    while (x > 0 && w.facts[x].applied_in >= term) {
        x--;
    }
    own = driver_term_of(d, x);
    if (x > 0 && (driver_last(d) < x || (own && own != w.facts[x].term))) {
        violation("leader n%u of term %llu lacks %llu^%llu, applied elsewhere",
                  n->id, U(term), U(x), U(w.facts[x].term));
    }
}

/* The engine's membership is the last CHANGE of the log. */
static void check_conf(struct node *n)
{
    struct driver *d = n->d;
    uint64_t at = driver_conf_index(d);
    uint64_t pending = d->r.configuration_uncommitted_index;
    struct conf engine = {0}, own = {0};
    struct blob *b =
        d->changes_n > 0 ? d->changes[d->changes_n - 1].conf : d->snap.conf;

    if (driver_installing(d) || b == NULL) {
        return;
    }
    driver_members(d, &engine);
    if (conf_decode(blob_bytes(b), &own) != 0) {
        violation("n%u: CHANGE %llu does not decode", n->id, U(at));
        return;
    }
    for (unsigned i = 0; i < own.n; i++) {
        if (own.n != engine.n || own.m[i].id != engine.m[i].id ||
            own.m[i].role != engine.m[i].role) {
            violation("n%u: engine's members are not those of CHANGE %llu",
                      n->id, U(at));
        }
    }
    if (pending != 0 && pending != at) {
        violation("n%u: pending change %llu, last CHANGE %llu", n->id,
                  U(pending), U(at));
    }
}

static void check_node(unsigned id)
{
    struct node *n = &w.nodes[id];

    if (!n->up || w.bad) {
        return;
    }
    check_leader(n);
    check_conf(n);
    if (n->d->commit_regressions > 0) {
        violation("n%u: the engine's commit index went back", id);
    }
    if (driver_commit(n->d) < driver_applied(n->d)) {
        violation("n%u: applied beyond commit", id);
    }
}

/* ---- the durable side of a node ---- */

static void log_cut(struct node *n, uint64_t from)
{
    while (n->log_n > 0 && n->first + n->log_n - 1 >= from) {
        entry_unref(&n->log[--n->log_n]);
    }
}

static void log_trim(struct node *n, uint64_t upto)
{
    unsigned k = 0;

    while (k < n->log_n && n->first + k <= upto) {
        entry_unref(&n->log[k++]);
    }
    if (k > 0) {
        n->log_n -= k;
        n->first += k;
        memmove(n->log, n->log + k, n->log_n * sizeof *n->log);
    }
}

static void log_add(struct node *n, const struct entry *e)
{
    if (n->log_n == n->log_cap) {
        n->log_cap = n->log_cap * 2 + 64;
        n->log = hf_realloc(n->log, n->log_cap * sizeof *n->log);
    }
    entry_ref(e);
    n->log[n->log_n++] = *e;
}

static void op_free(struct disk_op *op)
{
    for (unsigned i = 0; i < op->n; i++) {
        entry_unref(&op->e[i]);
    }
    free(op->e);
    snap_meta_release(&op->snap);
}

/* Do @op on the disk; a crash may leave only @limit entries of it, or a
 * snapshot without the log reset. */
static void op_do(struct node *n,
                  struct disk_op *op,
                  unsigned limit,
                  bool reset)
{
    if (op->install) {
        if (op->snap.index > n->snap.index) {
            snap_meta_set(&n->snap, &op->snap);
        }
        if (reset) {
            log_cut(n, 0);
            n->first = op->snap.index + 1;
        }
        return;
    }
    log_cut(n, op->first);
    if (op->first != n->first + n->log_n) {
        violation("n%u: a hole in the log on disk", n->id);
        return;
    }
    for (unsigned i = 0; i < op->n && i < limit; i++) {
        log_add(n, &op->e[i]);
    }
}

static uint64_t disk_latency(const struct node *n)
{
    uint64_t us = 100 + below(2000) + (permille(30) ? below(20000) : 0);

    return us * (n->slow ? n->slow : 1);
}

static void disk_kick(struct node *n)
{
    if (n->ops_n > 0 && !n->disk_busy) {
        n->disk_busy = true;
        push_in(disk_latency(n), EV_DISK, n->id, n->generation);
    }
}

static struct disk_op *op_new(struct node *n)
{
    if (n->ops_n == n->ops_cap) {
        n->ops_cap = n->ops_cap * 2 + 8;
        n->ops = hf_realloc(n->ops, n->ops_cap * sizeof *n->ops);
    }
    memset(&n->ops[n->ops_n], 0, sizeof *n->ops);
    return &n->ops[n->ops_n++];
}

/* ---- what drivers ask of their owner ---- */

static void on_vote(void *o, uint64_t term, uint64_t vote)
{
    struct node *n = o;

    if (term < n->term) {
        violation("n%u: term went back", n->id);
    }
    if (term == n->term && n->vote != 0 && vote != n->vote) {
        violation("n%u: second vote in term %llu", n->id, U(term));
    }
    n->term = term;
    n->vote = vote;
}

static void on_append(void *o,
                      uint64_t first,
                      const struct entry *e,
                      unsigned n,
                      uint64_t token)
{
    struct node *node = o;
    struct disk_op *op = op_new(node);

    op->token = token;
    op->first = first;
    op->n = n;
    op->e = hf_malloc(n * sizeof *e);
    for (unsigned i = 0; i < n; i++) {
        entry_ref(&e[i]);
        op->e[i] = e[i];
        check_payload(node->id, first + i, &e[i]);
    }
    disk_kick(node);
}

static void on_install(void *o, const struct snap_meta *m)
{
    struct node *n = o;
    struct disk_op *op = op_new(n);

    op->install = true;
    snap_meta_set(&op->snap, m);
    w.tally.installs++;
    disk_kick(n);
}

static void deliver(unsigned from, unsigned to, struct blob *msg)
{
    uint64_t at = w.now + 200 + below(w.latency);

    if (permille(w.late)) {
        at += below(w.lateness);
    }
    if (w.fifo) {
        uint64_t *last = &w.last_delivery[from][to];

        at = at < *last ? *last : at;
        *last = at;
    }
    push((struct event){.at = at,
                        .kind = EV_MSG,
                        .node = to,
                        .from = from,
                        .msg = blob_ref(msg)});
}

static void on_send(void *o, const struct raft_msg *m)
{
    struct node *n = o;
    struct buf b = BUF_INIT;
    struct blob *msg;

    w.tally.messages++;
    if (m->to < 1 || m->to > NODES || m->to == n->id) {
        violation("n%u: message to nobody", n->id);
        return;
    }
    w.back_out += m->to == w.back_to &&
                  (m->kind == RMSG_APPEND || m->kind == RMSG_INSTALL);
    if (w.blocked[n->id][m->to] || permille(w.drop)) {
        return;
    }
    raft_msg_encode(m, &b);
    for (unsigned i = 0; i < m->n_entries; i++) {
        buf_bytes_append(&b, m->entries[i].data);
    }
    msg = blob_copy(b.p, b.n);
    buf_release(&b);
    if (permille(w.dup)) {
        deliver(n->id, (unsigned)m->to, msg);
    }
    deliver(n->id, (unsigned)m->to, msg);
    blob_unref(msg);
}

static void on_read_log(void *o, uint64_t first, unsigned n, uint64_t token)
{
    struct node *node = o;

    w.tally.log_reads++;
    push((struct event){.at = w.now + disk_latency(node),
                        .kind = EV_LOGREAD,
                        .node = node->id,
                        .from = node->generation,
                        .arg = token,
                        .first = first,
                        .n = n});
}

static void acknowledge(struct node *n, uint64_t index, const struct entry *e)
{
    while (n->pending_n > 0 && n->pending[0].index <= index) {
        if (n->pending[0].index == index && n->pending[0].term == e->term) {
            w.acked = index > w.acked ? index : w.acked;
            w.tally.acks++;
            if (w.healed && w.first_ack_after == 0) {
                w.first_ack_after = w.now;
            }
        }
        memmove(n->pending, n->pending + 1,
                --n->pending_n * sizeof *n->pending);
    }
}

static void learn(struct node *n,
                  uint64_t index,
                  const struct entry *e,
                  uint64_t h)
{
    struct fact *f = fact(index);
    const struct fact *before = index > 1 ? fact(index - 1) : NULL;

    if (index != w.facts_n + 1) {
        violation("n%u applies %llu, nobody applied all before (%llu)", n->id,
                  U(index), U(w.facts_n));
        return;
    }
    f->term = e->term;
    f->hash = h;
    f->applied_in = driver_term(n->d);
    f->state = hash_bytes(&h, sizeof h, before != NULL ? before->state : 0);
    f->conf_index = before != NULL ? before->conf_index : 0;
    if (e->type == ENTRY_CHANGE) {
        f->conf_index = index;
    }
    w.facts_n = index;
}

static void on_apply(void *o, uint64_t index, const struct entry *e)
{
    struct node *n = o;
    uint64_t h = hash_entry(e);

    (void)fact(index + 1);
    if (index > w.facts_n) {
        learn(n, index, e, h);
    }
    if (fact(index)->term != e->term || fact(index)->hash != h) {
        violation("n%u applies %llu^%llu, others applied ^%llu", n->id,
                  U(index), U(e->term), U(fact(index)->term));
    }
    n->state = hash_bytes(&h, sizeof h, n->state);
    if (n->state != fact(index)->state) {
        violation("n%u: other state at %llu", n->id, U(index));
    }
    if (e->type == ENTRY_COMMAND) {
        acknowledge(n, index, e);
    }
}

static void on_timer(void *o, uint64_t at_ms)
{
    struct node *n = o;
    uint64_t at = at_ms * 1000;

    n->timer = at < w.now ? w.now : at;
    push((struct event){
        .at = n->timer, .kind = EV_TIMER, .node = n->id, .arg = n->timer});
}

static void on_news(void *o)
{
    (void)o;
}

static void on_probe_done(void *o, uint64_t round, bool ok, uint64_t index)
{
    struct node *n = o;

    (void)round;
    if (!ok) {
        return;
    }
    w.tally.reads++;
    if (driver_applied(n->d) < index || index < n->read_floor) {
        violation("n%u: stale read at %llu, %llu acknowledged before it began",
                  n->id, U(index), U(n->read_floor));
    }
}

static void on_fatal(void *o, const char *why)
{
    struct node *n = o;

    violation("n%u: fatal: %s", n->id, why);
}

static const struct driver_ops OPS = {
    .persist_vote = on_vote,
    .append = on_append,
    .install = on_install,
    .send = on_send,
    .read_log = on_read_log,
    .apply = on_apply,
    .timer = on_timer,
    .state = on_news,
    .config = on_news,
    .probe_done = on_probe_done,
    .fatal = on_fatal,
};

/* ---- lives of a node ---- */

/* The machine as the snapshot has it. */
static void load_machine(struct node *n, const struct snap_meta *s)
{
    n->state = 0;
    if (s->index == 0) {
        return;
    }
    if (s->index > w.facts_n || fact(s->index)->term != s->term) {
        violation("n%u loads snapshot %llu^%llu that is not the prefix", n->id,
                  U(s->index), U(s->term));
    }
    n->state = fact(s->index)->state;
}

static void node_config(struct driver_config *c)
{
    driver_config_default(c);
    c->election_ms = ELECTION_MS;
    c->heartbeat_ms = HEARTBEAT_MS;
    c->install_ms = 500;
    c->catch_up_ms = 1000;
    c->pre_vote = w.pre_vote;
    c->max_inflight = w.inflight;
    c->cache_bytes = w.cache_bytes;
    c->message_bytes = w.message_bytes;
    c->seed = (uint32_t)rng_next(&w.rng);
}

static void node_start(unsigned id)
{
    struct node *n = &w.nodes[id];
    struct driver_config c;

    n->up = true;
    n->disk_busy = false;
    n->seen_term = 0;
    n->d = hf_malloc(sizeof *n->d);
    node_config(&c);
    driver_init(n->d, id, &OPS, n, &c);
    load_machine(n, &n->snap);
    if (driver_start(n->d, w.now / 1000, n->term, n->vote, &n->snap, n->first,
                     n->log, n->log_n) != 0) {
        violation("n%u: its own disk was refused", id);
        return;
    }
    if (driver_first(n->d) > n->first && n->log_n > 0) {
        log_cut(n, 0);
    }
    if (n->log_n == 0) {
        n->first = driver_first(n->d);
    }
}

/* A crash keeps a prefix of what was being written, perhaps torn. */
static void disk_crash(struct node *n, bool clean)
{
    unsigned whole = clean ? n->ops_n : (unsigned)below(n->ops_n + 1);

    for (unsigned i = 0; i < n->ops_n; i++) {
        struct disk_op *op = &n->ops[i];

        if (i < whole) {
            op_do(n, op, UINT32_MAX, true);
        } else if (i == whole && !op->install && permille(500)) {
            op_do(n, op, (unsigned)below(op->n + 1), true);
        } else if (i == whole && op->install && permille(300)) {
            op_do(n, op, 0, false);
        }
        op_free(op);
    }
    n->ops_n = 0;
    if (n->putting) {
        if ((clean || permille(500)) && n->put.index > n->snap.index) {
            snap_meta_set(&n->snap, &n->put);
        }
        snap_meta_release(&n->put);
        n->putting = false;
    }
}

static void node_stop(unsigned id, bool clean)
{
    struct node *n = &w.nodes[id];

    disk_crash(n, clean);
    driver_release(n->d);
    free(n->d);
    n->d = NULL;
    n->up = false;
    n->generation++;
    n->pending_n = 0;
}

static unsigned newest_leader(void)
{
    unsigned best = 0;
    uint64_t term = 0;

    for (unsigned i = 1; i <= NODES; i++) {
        struct node *n = &w.nodes[i];

        if (n->up && driver_role(n->d) == DRIVER_LEADER &&
            driver_term(n->d) > term) {
            best = i;
            term = driver_term(n->d);
        }
    }
    return best;
}

static unsigned any_leader(void)
{
    unsigned c[NODES];
    unsigned k = 0;

    for (unsigned i = 1; i <= NODES; i++) {
        if (w.nodes[i].up && driver_role(w.nodes[i].d) == DRIVER_LEADER) {
            c[k++] = i;
        }
    }
    return k > 0 ? c[below(k)] : 0;
}

/* ---- what happens to the cluster ---- */

static void note_pending(struct node *n, uint64_t first, unsigned k)
{
    uint64_t term = driver_term(n->d);

    while (n->pending_n + k > n->pending_cap) {
        n->pending_cap = n->pending_cap * 2 + 32;
        n->pending =
            hf_realloc(n->pending, n->pending_cap * sizeof *n->pending);
    }
    while (n->pending_n > 0 && n->pending[n->pending_n - 1].index >= first) {
        n->pending_n--; /* cut off here: this node cannot tell any more */
    }
    for (unsigned i = 0; i < k; i++) {
        n->pending[n->pending_n++] = (struct pending){first + i, term};
    }
}

static void client(struct node *n)
{
    struct entry e[8];
    unsigned k = 1 + (unsigned)below(permille(150) ? 8 : 3);
    uint64_t first;

    if (driver_last(n->d) > driver_commit(n->d) + BACKLOG_MAX) {
        return;
    }
    for (unsigned i = 0; i < k; i++) {
        uint64_t x[2] = {++w.op, rng_next(&w.rng)};

        memset(&e[i], 0, sizeof e[i]);
        e[i].blob = blob_copy(x, 8 + below(9));
        e[i].data = blob_bytes(e[i].blob);
    }
    /* Nothing is applied inside a submit: only a write's end commits. */
    if (driver_submit(n->d, w.now / 1000, e, k, &first) == 0) {
        note_pending(n, first, k);
    }
    for (unsigned i = 0; i < k; i++) {
        entry_unref(&e[i]);
    }
}

static int churn_standby(struct driver *d, unsigned target, unsigned k)
{
    uint64_t ms = w.now / 1000;

    if (k >= 8) {
        return driver_change(d, ms, target, k == 8 ? CONF_NONE : CONF_SPARE);
    }
    if (driver_match(d, target) == driver_last(d) ||
        driver_catch_up_status(d, target) == DRIVER_CATCH_UP_FINISHED) {
        return driver_change(d, ms, target, CONF_VOTER);
    }
    (void)driver_catch_up(d, ms, target);
    return HF_EAGAIN;
}

static int churn_spare(struct driver *d, unsigned target, unsigned k)
{
    uint64_t ms = w.now / 1000;

    if (k < 8) {
        return driver_change(d, ms, target, k < 7 ? CONF_STANDBY : CONF_NONE);
    }
    (void)driver_catch_up(d, ms, target);
    return HF_EAGAIN;
}

static void churn(struct node *n)
{
    struct driver *d = n->d;
    unsigned target = 1 + (unsigned)below(NODES);
    unsigned k = (unsigned)below(10);
    const struct conf_member *m;
    struct conf c;
    int rv = HF_EAGAIN;

    driver_members(d, &c);
    m = conf_find(&c, target);
    if (m == NULL) {
        rv = driver_change(d, w.now / 1000, target, CONF_SPARE);
    } else if (m->role == CONF_SPARE) {
        rv = churn_spare(d, target, k);
    } else if (m->role == CONF_STANDBY) {
        rv = churn_standby(d, target, k);
    } else if (conf_voters(&c) > 2 || (conf_voters(&c) == 2 && permille(400))) {
        int role = k < 3 ? CONF_NONE : (k < 7 ? CONF_STANDBY : CONF_SPARE);

        rv = driver_change(d, w.now / 1000, target, role);
    }
    w.tally.changes += rv == 0;
}

/* @of does not run, or so the operating system says to @to. */
static void tell_died(unsigned to, unsigned of, uint64_t delay_us)
{
    push((struct event){
        .at = w.now + delay_us, .kind = EV_DIED, .node = to, .from = of});
}

static void crash(unsigned id, bool clean, uint64_t down_us)
{
    if (w.nodes[id].up) {
        w.tally.crashes += !clean;
        node_stop(id, clean);
        for (unsigned i = 1; i <= NODES; i++) {
            if (!w.blocked[i][id] && permille(800)) {
                tell_died(i, id, below(20000));
            }
        }
        push_in(1000 + below(down_us), EV_RESTART, id, 0);
    }
}

static void partition(void)
{
    uint64_t side = rng_next(&w.rng);

    for (unsigned i = 1; i <= NODES; i++) {
        for (unsigned j = 1; j <= NODES; j++) {
            w.blocked[i][j] = ((side >> i) & 1) != ((side >> j) & 1);
        }
    }
}

static void block_all(unsigned a, bool outgoing)
{
    for (unsigned j = 1; j <= NODES; j++) {
        if (outgoing) {
            w.blocked[a][j] = true;
        } else {
            w.blocked[j][a] = true;
        }
    }
}

static void fault(void)
{
    unsigned a = 1 + (unsigned)below(NODES);
    unsigned b = 1 + (unsigned)below(NODES);

    switch (below(12)) {
        case 0:
        case 1:
            partition();
            break;
        case 2:
            w.blocked[a][b] = true;
            break;
        case 3:
        case 4:
            block_all(a, permille(500));
            break;
        case 5:
        case 6:
            memset(w.blocked, 0, sizeof w.blocked);
            break;
        case 7:
        case 8:
            crash(a, false, permille(500) ? 20000 : 500000);
            break;
        case 9:
            crash(a, true, 50000);
            break;
        case 10:
            w.nodes[a].paused_until = w.now + below(400000);
            break;
        default:
            w.nodes[a].slow = permille(500) ? 0 : 1 + (unsigned)below(100);
    }
    /* A port that refuses is no proof: firewalls say so of living nodes. */
    if (permille(200)) {
        tell_died(b, permille(700) ? newest_leader() : a, below(20000));
    }
    for (unsigned i = 1; w.scenario == 2 && i <= NODES; i++) {
        w.nodes[i].slow = 1 + (unsigned)below(40);
    }
    a = newest_leader();
    if (a != 0 && permille(60)) {
        crash(a, false, 200000);
    }
}

/* A snapshot must be named for exactly the applied prefix. */
static void check_snapshot(struct node *n, const struct snap_meta *s)
{
    struct fact *f = fact(s->index);

    if (s->index > w.facts_n || f->term != s->term) {
        violation("n%u: snapshot %llu^%llu is not applied", n->id, U(s->index),
                  U(s->term));
    } else if (f->state != n->state) {
        violation("n%u: snapshot %llu has another state", n->id, U(s->index));
    } else if (f->conf_index != s->conf_index ||
               fact(f->conf_index)->hash !=
                   hash_bytes(s->conf->d, s->conf->n,
                              (uint64_t)ENTRY_CHANGE * 77)) {
        violation("n%u: snapshot %llu names change %llu, last is %llu", n->id,
                  U(s->index), U(s->conf_index), U(f->conf_index));
    }
}

static void take_snapshot(struct node *n)
{
    if (n->putting || driver_snapshot_meta(n->d, &n->put) != 0) {
        return;
    }
    w.tally.snapshots++;
    check_snapshot(n, &n->put);
    n->putting = true;
    push_in(disk_latency(n) * 3, EV_PUT, n->id, n->generation);
}

static void put_done(struct node *n)
{
    struct snap_meta m = n->put;

    n->putting = false;
    n->put = (struct snap_meta){0, 0, 0, NULL};
    if (m.index > n->snap.index) {
        snap_meta_set(&n->snap, &m);
    }
    if (driver_snapshot_done(n->d, w.now / 1000, &m, w.trailing) == 0 &&
        !driver_installing(n->d) && !w.bad) {
        log_trim(n, driver_first(n->d) - 1);
    }
    snap_meta_release(&m);
}

static void disk_done(struct node *n)
{
    struct disk_op op = n->ops[0];
    uint64_t ms = w.now / 1000;

    memmove(n->ops, n->ops + 1, --n->ops_n * sizeof *n->ops);
    n->disk_busy = false;
    op_do(n, &op, UINT32_MAX, true);
    if (op.install) {
        load_machine(n, &op.snap);
        driver_installed(n->d, ms);
    } else {
        driver_appended(n->d, ms, op.token);
    }
    op_free(&op);
    disk_kick(n);
}

static void log_read_done(struct node *n, const struct event *ev)
{
    unsigned k = ev->n;

    if (ev->first < n->first || ev->first >= n->first + n->log_n) {
        driver_read_done(n->d, w.now / 1000, ev->arg, NULL, 0);
        return;
    }
    if (k > n->first + n->log_n - ev->first) {
        k = (unsigned)(n->first + n->log_n - ev->first);
    }
    driver_read_done(n->d, w.now / 1000, ev->arg, &n->log[ev->first - n->first],
                     k);
}

/* A rejection is answered with one message at most: with more, those that one
 * lost message causes would cause ever more of them. */
static void receive(struct node *n, unsigned from, const struct raft_msg *m)
{
    bool rejects =
        m->kind == RMSG_APPEND_RESULT && m->append_result.rejected > 0;

    w.back_to = rejects ? from : 0;
    w.back_out = 0;
    driver_receive(n->d, w.now / 1000, from, m);
    if (w.back_to != 0 && w.back_out > 1) {
        violation("n%u answers a rejection with %u messages", n->id,
                  w.back_out);
    }
    w.back_to = 0;
}

static void message(struct node *n, const struct event *ev)
{
    struct raft_msg m;

    if (!n->up || w.blocked[ev->from][ev->node]) {
        return;
    }
    if (raft_msg_decode(ev->msg, blob_bytes(ev->msg), &m) != 0) {
        violation("n%u: a message does not decode", n->id);
        return;
    }
    if (m.kind == RMSG_INSTALL && permille(w.refuse)) {
        w.tally.refused++;
        driver_refuse_install(n->d, w.now / 1000, ev->from, &m);
    } else {
        receive(n, ev->from, &m);
    }
    raft_msg_release(&m);
}

static void timeout(struct node *n, const struct event *ev)
{
    uint64_t ms = w.now / 1000;

    if (!n->up || n->timer != ev->arg) {
        return;
    }
    if (ms != n->spin_ms) {
        n->spin_ms = ms;
        n->spins = 0;
    } else if (++n->spins > SPIN_MAX) {
        violation("n%u: its timer fires for ever", n->id);
        return;
    }
    driver_timeout(n->d, ms);
}

static void heal(void)
{
    w.healed = true;
    w.healed_at = w.now;
    memset(w.blocked, 0, sizeof w.blocked);
    w.drop = w.dup = w.late = 0;
    w.refuse = w.refuse > 300 ? 300 : w.refuse;
    w.latency = 3000;
    w.client_gap = 40000;
    for (unsigned i = 1; i <= NODES; i++) {
        w.nodes[i].paused_until = 0;
        w.nodes[i].slow = 0;
        if (!w.nodes[i].up) {
            node_start(i);
        }
    }
}

/* ---- the world's own events ---- */

static void again(enum kind kind, uint64_t gap)
{
    push_in(gap / 2 + below(gap), kind, 0, 0);
}

static void do_probe(struct node *n)
{
    if (n->paused_until <= w.now && !driver_probing(n->d)) {
        n->read_floor = w.acked;
        (void)driver_probe(n->d, w.now / 1000, ++w.op);
        if (permille(100)) {
            driver_kick(n->d, w.now / 1000);
        }
    }
}

static void do_transfer(struct node *n, unsigned to)
{
    w.tally.transfers += driver_transfer(n->d, w.now / 1000, to) == 0;
}

static void repeat(enum kind kind)
{
    switch (kind) {
        case EV_CLIENT:
            again(kind, w.client_gap);
            break;
        case EV_PROBE:
            push_in(3000 + below(20000), kind, 0, 0);
            break;
        case EV_SNAP:
            again(kind, w.snap_gap);
            break;
        case EV_CHURN:
            if (!w.healed) {
                again(kind, w.churn_gap);
            }
            break;
        case EV_TRANSFER:
            if (!w.healed) {
                again(kind, w.transfer_gap);
            }
            break;
        default:
            break;
    }
}

/* Something done at one node: which one depends on what. */
static void at_one_node(enum kind kind)
{
    unsigned any = 1 + (unsigned)below(NODES);
    unsigned id = permille(300) ? any_leader() : newest_leader();
    struct node *n;

    if (kind == EV_SNAP) {
        id = any;
    } else if (kind == EV_PROBE) {
        id = any_leader();
    } else if (kind == EV_TRANSFER) {
        id = newest_leader();
    }
    n = &w.nodes[id];
    if (id != 0 && n->up) {
        switch (kind) {
            case EV_CLIENT:
                client(n);
                break;
            case EV_PROBE:
                do_probe(n);
                break;
            case EV_SNAP:
                take_snapshot(n);
                break;
            case EV_CHURN:
                churn(n);
                break;
            default:
                do_transfer(n, any);
        }
        check_node(id);
    }
    repeat(kind);
}

static void world(const struct event *ev)
{
    switch (ev->kind) {
        case EV_FAULT:
            if (!w.healed) {
                fault();
                again(EV_FAULT, w.fault_gap);
            }
            break;
        case EV_HEAL:
            heal();
            break;
        default:
            at_one_node(ev->kind);
    }
}

static void handle(const struct event *ev)
{
    struct node *n = &w.nodes[ev->node];
    bool alive = n->up && n->generation == ev->arg;

    switch (ev->kind) {
        case EV_TIMER:
            timeout(n, ev);
            break;
        case EV_MSG:
            message(n, ev);
            break;
        case EV_DISK:
            if (alive) {
                disk_done(n);
            }
            break;
        case EV_PUT:
            if (alive && n->putting) {
                put_done(n);
            }
            break;
        case EV_LOGREAD:
            if (n->up && n->generation == ev->from) {
                log_read_done(n, ev);
            }
            break;
        case EV_RESTART:
            if (!n->up) {
                node_start(ev->node);
            }
            break;
        case EV_DIED:
            if (n->up && ev->from != 0 && n->paused_until <= w.now) {
                driver_peer_died(n->d, w.now / 1000, ev->from);
            }
            break;
        default:
            world(ev);
    }
    if (ev->node != 0) {
        check_node(ev->node);
    }
}

/* ---- one seed ---- */

static void choose_faults(void)
{
    w.drop = permille(300) ? 0 : (unsigned)below(80);
    w.dup = permille(300) ? 0 : (unsigned)below(60);
    w.late = permille(300) ? 0 : (unsigned)below(80);
    w.refuse = permille(500) ? 0 : (unsigned)below(900);
    w.fifo = permille(300);
    w.latency = 500 + below(6000);
    w.lateness = permille(300) ? 900000 : 60000;
    w.pre_vote = true;
    w.inflight = permille(300) ? 4 : (permille(500) ? 32 : 1000);
    w.trailing = permille(250) ? 0 : (unsigned)below(40);
    w.cache_bytes = permille(400) ? 1 << 20 : below(1000);
    w.message_bytes = permille(500) ? 1 << 20 : 1 + (uint32_t)below(200);
    w.fault_gap = 20000 + below(300000);
    w.client_gap = 1000 + below(permille(300) ? 100000 : 8000);
    w.snap_gap = 5000 + below(300000);
    w.churn_gap = permille(200) ? 0 : 20000 + below(400000);
    w.transfer_gap = permille(300) ? 0 : 50000 + below(800000);
    w.heal_at = 1500000 + below(3000000);
}

static void choose_scenario(void)
{
    switch (w.scenario) {
        case 1:
            w.late = 250;
            w.lateness = 400000;
            w.fifo = false;
            w.trailing = 0;
            w.snap_gap = 4000;
            w.fault_gap = 50000;
            w.churn_gap = 0;
            w.drop = 50;
            break;
        case 2:
            w.fault_gap = 25000;
            w.client_gap = 1500;
            w.churn_gap = 0;
            w.snap_gap = 400000;
            w.inflight = 1000;
            w.fifo = true;
            w.late = 0;
            w.latency = 2000;
            break;
        case 3:
            w.fault_gap = 40000;
            w.churn_gap = 30000;
            w.snap_gap = 20000;
            w.trailing = 0;
            w.transfer_gap = 60000;
            break;
        case 4:
            w.fifo = true;
            w.dup = 0;
            w.late = 0;
            break;
        default:
            break;
    }
    w.end_at = w.heal_at + SETTLE_US;
}

static void bootstrap(void)
{
    unsigned voters = permille(500) ? 3 : 5;
    struct conf c = {0};
    struct entry e;

    for (unsigned i = 1; i <= voters; i++) {
        c.m[c.n++] = (struct conf_member){i, CONF_VOTER};
    }
    driver_bootstrap_entry(&c, &e);
    check_payload(1, 1, &e);
    for (unsigned i = 1; i <= NODES; i++) {
        struct node *n = &w.nodes[i];
        unsigned generation = n->generation + 1;

        memset(n, 0, sizeof *n);
        n->id = i;
        n->generation = generation;
        n->first = 1;
        if (i <= voters) {
            n->term = 1;
            log_add(n, &e);
        }
        node_start(i);
    }
    entry_unref(&e);
}

static void first_events(void)
{
    push_in(300000, EV_FAULT, 0, 0);
    push_in(200000, EV_CLIENT, 0, 0);
    push_in(250000, EV_SNAP, 0, 0);
    push_in(220000, EV_PROBE, 0, 0);
    if (w.churn_gap != 0) {
        push_in(250000, EV_CHURN, 0, 0);
    }
    if (w.transfer_gap != 0) {
        push_in(300000, EV_TRANSFER, 0, 0);
    }
    push_in(w.heal_at, EV_HEAL, 0, 0);
}

/* When the faults are over: a leader, writes, and everybody up to date. */
static void check_recovered(void)
{
    unsigned l = newest_leader();
    struct driver *d;
    struct conf c;

    if (l == 0) {
        violation("no leader after 40 election timeouts of peace");
        return;
    }
    if (w.first_ack_after == 0) {
        violation("leader n%u, but nothing acknowledged in peace", l);
        return;
    }
    d = w.nodes[l].d;
    if (driver_applied(d) < w.acked) {
        violation("acknowledged %llu, leader n%u applied %llu", U(w.acked), l,
                  U(driver_applied(d)));
    }
    driver_members(d, &c);
    for (unsigned i = 0; i < c.n; i++) {
        struct driver *o = w.nodes[c.m[i].id].d;

        if (c.m[i].role != CONF_SPARE &&
            driver_applied(o) + 200 < driver_applied(d)) {
            violation("n%llu is left behind at %llu of %llu%s", U(c.m[i].id),
                      U(driver_applied(o)), U(driver_applied(d)),
                      driver_installing(o) ? ", installing" : "");
        }
    }
}

static void tear_down(void)
{
    while (w.heap_n > 0) {
        blob_unref(w.heap[--w.heap_n].msg);
    }
    for (unsigned i = 1; i <= NODES; i++) {
        struct node *n = &w.nodes[i];

        if (n->up) {
            node_stop(i, true);
        }
        log_cut(n, 0);
        free(n->log);
        free(n->ops);
        free(n->pending);
        snap_meta_release(&n->snap);
    }
}

static void reset(uint64_t seed)
{
    w.rng.s = seed * 0x2545F4914F6CDD1DULL + 99;
    (void)rng_next(&w.rng);
    w.now = 1000;
    w.bad = false;
    w.healed = false;
    w.acked = w.op = w.facts_n = w.first_ack_after = 0;
    memset(w.blocked, 0, sizeof w.blocked);
    memset(w.last_delivery, 0, sizeof w.last_delivery);
    if (w.facts != NULL) {
        memset(w.facts, 0, w.facts_cap * sizeof *w.facts);
    }
    if (w.leaders != NULL) {
        memset(w.leaders, 0, w.leaders_cap * sizeof *w.leaders);
    }
    free(w.seen);
    w.seen = NULL;
    w.seen_n = w.seen_cap = 0;
}

static bool run(uint64_t seed)
{
    unsigned budget = EVENTS_MAX;

    reset(seed);
    choose_faults();
    choose_scenario();
    bootstrap();
    first_events();
    while (w.heap_n > 0 && !w.bad && w.heap[0].at <= w.end_at) {
        struct event ev = pop();
        struct node *n = &w.nodes[ev.node];

        if (--budget == 0) {
            violation("events without end");
        }
        if (ev.node != 0 && ev.kind != EV_RESTART && n->paused_until > ev.at) {
            ev.at = n->paused_until;
            push(ev);
            continue;
        }
        w.tally.events++;
        w.now = ev.at;
        handle(&ev);
        blob_unref(ev.msg);
    }
    if (!w.bad) {
        check_recovered();
    }
    if (!w.bad && w.first_ack_after - w.healed_at > w.tally.recover_max_us) {
        w.tally.recover_max_us = w.first_ack_after - w.healed_at;
    }
    tear_down();
    return !w.bad;
}

static void report(uint64_t seeds, uint64_t failed)
{
    const struct tally *t = &w.tally;

    printf(
        "%llu seeds, %llu failed | events %llu messages %llu leaders %llu "
        "acks %llu reads %llu changes %llu transfers %llu crashes %llu "
        "snapshots %llu installs %llu (refused %llu) log reads %llu | "
        "slowest recovery %llu ms\n",
        U(seeds), U(failed), U(t->events), U(t->messages), U(t->leaders),
        U(t->acks), U(t->reads), U(t->changes), U(t->transfers), U(t->crashes),
        U(t->snapshots), U(t->installs), U(t->refused), U(t->log_reads),
        U(t->recover_max_us / 1000));
}

struct options {
    uint64_t first;
    uint64_t count;
    bool stop;
};

static bool parse(int argc, char **argv, struct options *opt)
{
    static const struct option longs[] = {
        {"seed", required_argument, NULL, 's'},
        {"seeds", required_argument, NULL, 'n'},
        {"scenario", required_argument, NULL, 'S'},
        {"mutant", required_argument, NULL, 'm'},
        {NULL, 0, NULL, 0},
    };
    int o;

    while ((o = getopt_long(argc, argv, "vx", longs, NULL)) != -1) {
        switch (o) {
            case 's':
                opt->first = strtoull(optarg, NULL, 10);
                break;
            case 'n':
                opt->count = strtoull(optarg, NULL, 10);
                break;
            case 'S':
                w.scenario = atoi(optarg);
                break;
            case 'm':
                arg_mutant(optarg);
                break;
            case 'x':
                opt->stop = true;
                break;
            case 'v':
                w.verbose = true;
                break;
            default:
                return false;
        }
    }
    return true;
}

int main(int argc, char **argv)
{
    struct options opt = {1, 20, false};
    uint64_t failed = 0, done = 0;

    if (!parse(argc, argv, &opt)) {
        return 2;
    }
    while (done < opt.count && (failed == 0 || !opt.stop)) {
        uint64_t seed = opt.first + done++;

        if (!run(seed)) {
            failed++;
            printf("seed %llu at %llu us: %s\n", U(seed), U(w.now), w.why);
            (void)fflush(stdout);
        }
    }
    report(done, failed);
    free(w.heap);
    free(w.facts);
    free(w.leaders);
    free(w.seen);
    return failed == 0 ? 0 : 1;
}
