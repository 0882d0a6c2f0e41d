#include "tests/sim/workload.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "tests/sim/mini.h"

enum {
    CLIENTS = 16,
    LISTS = 4,
    PAIRS = 2,
    COUNTERS = 3,
    REGS = 4,
    TIMED = 6,
    LIST_FULL = 60, /* tags; then another key takes the list's place */
    PENDING = 64,   /* operations of one client in flight */
    BURST = 8,
    GIVE_UP_US = 7000000, /* without any reply: connect elsewhere */
    ADMIN_US = 5000000,
    PAD = 1500,
    AIM_US = 110000,       /* after a deadline, a read looks for the key */
    LONG_TTL_MS = 600000,  /* of keys that outlive the run */
    IDLE_EARLY_US = 50000, /* a named session may end so early or late */
    IDLE_LATE_US = 1500000,
    MOVED_AFTER = 400, /* visits of cluster ports without any MOVED */
};
#define EXPECT_SAW UINT64_MAX /* what the read before EXEC showed */

enum kind {
    K_WATCH,
    K_PLAIN, /* '+': OK, QUEUED; errors are told by what follows */
    K_APPEND,
    K_LIST_GET,
    K_INCR,
    K_SET,
    K_REG_GET,
    K_TIMED_SET,
    K_TIMED_GET,
    K_CLAIM,
    K_SLOTS,
    K_WATCHED_GET,
    K_PAIR_EXEC, /* op, op + 1 on key, key + 1 */
    K_PAIR_READ,
    K_WATCH_GET,
    K_WATCH_EXEC,
    K_ONCE_OPEN,
    K_ONCE,
    K_LIST_FINAL,
    K_COUNTER_FINAL,
};

struct pend {
    enum kind kind;
    uint32_t op;
    uint32_t key;
    uint64_t began;
    uint64_t expect; /* K_WATCH_EXEC: tags there when watched */
    uint64_t clock;  /* K_TIMED_*: cluster time is not behind this, ms */
    uint64_t ttl_ms; /* K_TIMED_SET */
};

enum nature { NORMAL, STALE, NAMED, CLUSTERED };

/* A read shortly after the deadline of a key. */
struct aim {
    struct aim *next; /* all of a run, freed at its end */
    struct workload *w;
    struct client *c;
    uint32_t key;
};

struct client {
    struct workload *w;
    int n;
    enum nature nature;
    struct env *e;
    struct mini m;
    int node;
    struct env_timer timer;
    struct pend q[PENDING]; /* a ring */
    size_t q_head;
    size_t q_n;
    bool alone;      /* nothing else until this is done */
    bool watching;   /* WATCH was taken */
    char at[64];     /* cluster port this one is connected to */
    char target[64]; /* where to go next; "": anywhere */
    bool redirected;
    uint64_t saw; /* tags that K_WATCHED_GET showed; UINT64_MAX: nothing */
    uint64_t age_us;
    uint64_t last_us; /* when something last came */
    uint64_t once_session;
    uint64_t once_number;
    uint64_t once_tries;   /* how often the operation was sent */
    uint64_t once_sent_us; /* when the operation, or OPEN, was last sent */
    uint64_t once_from_us; /* when the last answered one was sent, */
    uint64_t once_used_us; /* and answered: its idle time began between */
    uint64_t once_rest_us; /* the session is left alone until then */
    bool once_due;         /* the named operation below has no end yet */
    struct pend once;
    uint64_t *floors; /* by key: how far this connection has seen it */
    size_t floors_n;
    struct buf out;
};

struct finale {
    struct workload *w;
    struct mini m;
    struct env_timer timer;
    int node;
    uint32_t key; /* next reply is for this one */
    bool done;
};

struct workload {
    struct workload_config cfg;
    struct client cl[CLIENTS];
    uint32_t lists[LISTS];
    uint32_t pairs[PAIRS];
    uint32_t counters[COUNTERS];
    uint32_t regs[REGS];
    uint32_t timed[TIMED];
    enum hist_kind *kinds; /* by key */
    bool *pair;            /* by key: first of a pair */
    bool *won;             /* by key: a claim was acknowledged */
    int64_t *expires;      /* by key: deadline at the end; 0: not asked yet */
    uint32_t keys;
    uint32_t claim; /* key that SET NX is tried on */
    struct aim *aims;
    uint64_t visits; /* of cluster ports without a hint */
    uint64_t moveds;
    uint64_t sessions_ended;
    bool stopped;
    uint64_t writes;
    uint64_t last_write_us;
    struct finale fin;
};

static uint64_t now_of(const struct workload *w)
{
    return sim_now_us(w->cfg.s);
}

static uint64_t pick(struct workload *w, uint64_t n)
{
    return rng_below(sim_rng(w->cfg.s), n);
}

static uint32_t new_key(struct workload *w, enum hist_kind kind)
{
    uint32_t k = hist_key(w->cfg.h, kind);

    w->kinds = hf_realloc(w->kinds, (k + 1) * sizeof *w->kinds);
    w->pair = hf_realloc(w->pair, (k + 1) * sizeof *w->pair);
    w->kinds[k] = kind;
    w->won = hf_realloc(w->won, (k + 1) * sizeof *w->won);
    w->expires = hf_realloc(w->expires, (k + 1) * sizeof *w->expires);
    w->pair[k] = false;
    w->won[k] = false;
    w->expires[k] = 0;
    w->keys = k + 1;
    return k;
}

static uint32_t new_pair(struct workload *w)
{
    uint32_t a = new_key(w, HIST_LIST);

    (void)new_key(w, HIST_LIST);
    w->pair[a] = true;
    return a;
}

static void wrote(struct workload *w)
{
    w->writes++;
    w->last_write_us = now_of(w);
}

/* ---- order within the connection ---- */

static uint64_t *floor_of(struct client *c, uint32_t key)
{
    if (key >= c->floors_n) {
        size_t n = key + 64;

        c->floors = hf_realloc(c->floors, n * sizeof *c->floors);
        memset(c->floors + c->floors_n, 0,
               (n - c->floors_n) * sizeof *c->floors);
        c->floors_n = n;
    }
    return &c->floors[key];
}

/* @pos: place of an own append (then it must be beyond all that was seen),
 * or length of a read. */
static void conn_order(struct client *c,
                       uint32_t key,
                       uint64_t pos,
                       bool append)
{
    uint64_t *f = floor_of(c, key);

    if (pos < *f || (append && pos == *f)) {
        check_fail(c->w->cfg.c,
                   "client %d, list %u: %s %llu after %llu on one connection",
                   c->n, key, append ? "appended at" : "read",
                   (unsigned long long)pos, (unsigned long long)*f);
    }
    *f = pos > *f ? pos : *f;
}

/* ---- sending ---- */

static void put(struct client *c,
                const char *verb,
                uint32_t key,
                struct bytes a,
                struct bytes b,
                struct bytes d)
{
    char name[16];
    struct bytes argv[8];
    int argc = 0;

    snprintf(name, sizeof name, "key:%u", key);
    if (c->once_due && c->once.kind == K_ONCE) {
        static char sess[32];
        static char num[32];

        snprintf(sess, sizeof sess, "%llu",
                 (unsigned long long)c->once_session);
        snprintf(num, sizeof num, "%llu", (unsigned long long)c->once_number);
        argv[argc++] = bytes_str("ONCE");
        argv[argc++] = bytes_str(sess);
        argv[argc++] = bytes_str(num);
    }
    argv[argc++] = bytes_str(verb);
    argv[argc++] = bytes_str(name);
    if (a.p != NULL) {
        argv[argc++] = a;
    }
    if (b.p != NULL) {
        argv[argc++] = b;
    }
    if (d.p != NULL) {
        argv[argc++] = d;
    }
    mini_command(&c->out, argc, argv);
}

static const struct bytes none = {NULL, 0};

static void expect(struct client *c, struct pend p)
{
    hf_assert(c->q_n < PENDING);
    c->q[(c->q_head + c->q_n) % PENDING] = p;
    c->q_n++;
}

static void plain(struct client *c, const char *line)
{
    mini_line(&c->out, line);
    expect(c, (struct pend){.kind = K_PLAIN});
}

static struct pend begin(struct client *c, enum kind kind, uint32_t key)
{
    struct pend p = {.kind = kind, .key = key, .began = now_of(c->w)};

    p.op = hist_begin(c->w->cfg.h, key, p.began);
    return p;
}

static void get(struct client *c, enum kind kind, uint32_t key)
{
    put(c, "GET", key, none, none, none);
    expect(c, (struct pend){.kind = kind, .key = key, .began = now_of(c->w)});
}

static void append(struct client *c, uint32_t key, uint32_t op)
{
    char tag[HIST_TAG];

    hist_tag(op, tag);
    put(c, "APPEND", key, bytes_of(tag, HIST_TAG), none, none);
}

static void do_append(struct client *c)
{
    uint32_t key = c->w->lists[pick(c->w, LISTS)];
    struct pend p = begin(c, K_APPEND, key);

    append(c, key, p.op);
    expect(c, p);
}

static void do_incr(struct client *c)
{
    uint32_t key = c->w->counters[pick(c->w, COUNTERS)];
    struct pend p = begin(c, K_INCR, key);

    put(c, "INCR", key, none, none, none);
    expect(c, p);
}

/* A value that begins with the operation's tag. */
static struct bytes tagged(struct client *c, uint32_t op, uint8_t *room)
{
    size_t n = HIST_TAG + (size_t)pick(c->w, PAD);

    memset(room, 'x', n);
    for (size_t i = HIST_TAG; i + 8 < n; i += 8) {
        put_u64(room + i, rng_next(sim_rng(c->w->cfg.s)));
    }
    hist_tag(op, (char *)room);
    return bytes_of(room, n);
}

static void do_set(struct client *c)
{
    uint32_t key = c->w->regs[pick(c->w, REGS)];
    struct pend p = begin(c, K_SET, key);
    uint8_t room[HIST_TAG + PAD];

    put(c, "SET", key, tagged(c, p.op, room), none, none);
    expect(c, p);
}

static void do_timed_set(struct client *c)
{
    struct workload *w = c->w;
    size_t i = (size_t)pick(w, TIMED);
    uint64_t ms = pick(w, 8) == 0 ? LONG_TTL_MS : 30 + pick(w, 3000);
    struct pend p;
    char text[24];
    char tag[HIST_TAG];

    w->timed[i] = new_key(w, HIST_TIMED);
    p = begin(c, K_TIMED_SET, w->timed[i]);
    p.clock = w->cfg.clock_certain(w->cfg.data);
    p.ttl_ms = ms;
    hist_timed_set(w->cfg.h, p.op, ms * 1000);
    hist_tag(p.op, tag);
    snprintf(text, sizeof text, "%llu", (unsigned long long)ms);
    put(c, "SET", p.key, bytes_of(tag, HIST_TAG), bytes_str("PX"),
        bytes_str(text));
    expect(c, p);
}

static void do_timed_get(struct client *c, uint32_t key)
{
    struct workload *w = c->w;

    put(c, "GET", key, none, none, none);
    expect(c, (struct pend){.kind = K_TIMED_GET,
                            .key = key,
                            .began = now_of(w),
                            .clock = w->cfg.clock_certain(w->cfg.data)});
}

/* Of many that set one key with NX, one may be told that it did. */
static void do_claim(struct client *c)
{
    uint32_t key = c->w->claim;
    struct pend p = begin(c, K_CLAIM, key);
    char tag[HIST_TAG];

    hist_tag(p.op, tag);
    put(c, "SET", key, bytes_of(tag, HIST_TAG), bytes_str("NX"), none);
    expect(c, p);
}

static void pair_exec(struct client *c,
                      uint32_t key,
                      enum kind kind,
                      uint64_t before)
{
    struct pend p = begin(c, kind, key);

    (void)hist_begin(c->w->cfg.h, key + 1, p.began);
    p.expect = before;
    plain(c, "MULTI");
    append(c, key, p.op);
    expect(c, (struct pend){.kind = K_PLAIN});
    append(c, key + 1, p.op + 1);
    expect(c, (struct pend){.kind = K_PLAIN});
    mini_line(&c->out, "EXEC");
    expect(c, p);
}

static void do_pair_read(struct client *c)
{
    uint32_t key = c->w->pairs[pick(c->w, PAIRS)];
    struct pend p = {.kind = K_PAIR_READ, .key = key, .began = now_of(c->w)};

    plain(c, "MULTI");
    put(c, "GET", key, none, none, none);
    expect(c, (struct pend){.kind = K_PLAIN});
    put(c, "GET", key + 1, none, none, none);
    expect(c, (struct pend){.kind = K_PLAIN});
    mini_line(&c->out, "EXEC");
    expect(c, p);
}

static void do_watch(struct client *c)
{
    uint32_t key = c->w->pairs[pick(c->w, PAIRS)];

    c->alone = true;
    put(c, "WATCH", key, none, none, none);
    expect(c, (struct pend){.kind = K_WATCH});
    get(c, K_WATCH_GET, key);
}

/* All in one go: EXEC is there before WATCH has its revisions. */
static void do_watch_burst(struct client *c)
{
    uint32_t key = c->w->pairs[pick(c->w, PAIRS)];

    c->alone = true;
    c->saw = UINT64_MAX;
    put(c, "WATCH", key, none, none, none);
    expect(c, (struct pend){.kind = K_WATCH});
    get(c, K_WATCHED_GET, key);
    pair_exec(c, key, K_WATCH_EXEC, EXPECT_SAW);
}

/* Writes that no history follows: what they leave must be the same on every
 * node, which is compared at every index. */
static void do_scribble(struct client *c)
{
    static const char dump[] = "\0\x05hello\n\0cr\xdfve4 \n";
    static const char *const floats[] = {"5.6", "5e3", "1e-17", "-3.3e3",
                                         "0x1.8p3"};
    struct workload *w = c->w;
    unsigned a = (unsigned)pick(w, 6), b = (unsigned)pick(w, 6);
    struct bytes argv[5] = {bytes_str("RESTORE"), bytes_str("free:0"),
                            bytes_str("300"), bytes_of(dump, sizeof dump - 1),
                            bytes_str("REPLACE")};
    char line[96];

    switch (pick(w, 9)) {
        case 0:
        case 1:
            snprintf(line, sizeof line, "INCRBYFLOAT free:f%u %s", a,
                     floats[pick(w, 5)]);
            break;
        case 2:
            snprintf(line, sizeof line, "SETRANGE free:%u %u abc", a, 7 * b);
            break;
        case 3:
            snprintf(line, sizeof line, "RENAME free:%u free:%u", a, b);
            break;
        case 4:
            snprintf(line, sizeof line, "COPY free:%u free:%u REPLACE", a, b);
            break;
        case 5:
            snprintf(line, sizeof line, "MSETEX 2 free:%u 1 free:%u 22 NX%s", a,
                     b, w->cfg.timed ? " PX 500" : "");
            break;
        case 6:
            snprintf(line, sizeof line, "DELEX free:%u IFNE 22", a);
            break;
        case 7:
            snprintf(line, sizeof line,
                     "SET free:%u %u IFDNE 2d06800538d394c2 KEEPTTL", a, b);
            break;
        default:
            argv[2] = w->cfg.timed ? argv[2] : bytes_str("0");
            mini_command(&c->out, 5, argv);
            expect(c, (struct pend){.kind = K_PLAIN});
            return;
    }
    plain(c, line);
}

static void one(struct client *c)
{
    struct workload *w = c->w;
    uint64_t x = pick(w, 100);

    if (c->nature == STALE && x >= 10) {
        get(c, K_LIST_GET, w->lists[pick(w, LISTS)]);
    } else if (pick(w, 16) == 0) {
        do_scribble(c);
    } else if (c->nature == CLUSTERED && pick(w, 12) == 0) {
        mini_line(&c->out, "CLUSTER SLOTS");
        expect(c, (struct pend){.kind = K_SLOTS});
    } else if (x < 27) {
        do_append(c);
    } else if (x < 40) {
        get(c, K_LIST_GET, w->lists[pick(w, LISTS)]);
    } else if (x < 50) {
        do_incr(c);
    } else if (x < 54) {
        do_claim(c);
    } else if (x < 62) {
        do_set(c);
    } else if (x < 70) {
        get(c, K_REG_GET, w->regs[pick(w, REGS)]);
    } else if (x < 72) {
        get(c, K_REG_GET, w->claim);
    } else if (x < 77 && w->cfg.timed) {
        do_timed_set(c);
    } else if (x < 82 && w->cfg.timed) {
        do_timed_get(c, w->timed[pick(w, TIMED)]);
    } else if (x < 88) {
        pair_exec(c, w->pairs[pick(w, PAIRS)], K_PAIR_EXEC, 0);
    } else if (x < 93) {
        do_pair_read(c);
    } else if (x < 97) {
        do_watch_burst(c);
    } else if (c->q_n == 0) {
        do_watch(c);
    }
}

/* The named operation, first time or again. */
static void named(struct client *c)
{
    struct workload *w = c->w;

    if (c->q_n > 0 || now_of(w) < c->once_rest_us) {
        return;
    }
    c->once_sent_us = now_of(w);
    if (c->once_session == 0) {
        mini_line(&c->out, "ONCE OPEN");
        expect(c, (struct pend){.kind = K_ONCE_OPEN});
        return;
    }
    if (!c->once_due) {
        if (w->stopped) {
            return;
        }
        c->once = begin(c, K_ONCE,
                        pick(w, 2) == 0 ? w->lists[pick(w, LISTS)]
                                        : w->counters[pick(w, COUNTERS)]);
        c->once_due = true;
        c->once_number++;
        c->once_tries = 0;
    }
    c->once_tries++;
    if (w->kinds[c->once.key] == HIST_LIST) {
        append(c, c->once.key, c->once.op);
    } else {
        put(c, "INCR", c->once.key, none, none, none);
    }
    expect(c, c->once);
}

/* ---- connecting, moving ---- */

static void pend_lost(struct client *c, const struct pend *p)
{
    struct hist *h = c->w->cfg.h;
    uint64_t now = now_of(c->w);

    switch (p->kind) {
        case K_APPEND:
        case K_INCR:
        case K_SET:
        case K_CLAIM:
        case K_TIMED_SET:
            hist_unknown(h, p->op, now);
            break;
        case K_PAIR_EXEC:
        case K_WATCH_EXEC:
            hist_unknown(h, p->op, now);
            hist_unknown(h, p->op + 1, now);
            break;
        default:
            break; /* reads, and K_ONCE, which is sent again */
    }
}

static void lost_all(struct client *c)
{
    for (size_t i = 0; i < c->q_n; i++) {
        pend_lost(c, &c->q[(c->q_head + i) % PENDING]);
    }
    c->q_n = 0;
    c->alone = false;
    buf_clear(&c->out);
    if (c->floors_n > 0) {
        memset(c->floors, 0, c->floors_n * sizeof *c->floors);
    }
}

static void again(struct client *c, uint64_t us)
{
    env_timer_start(c->e, &c->timer, env_now_us(c->e) + us);
}

static void client_connect(struct client *c)
{
    struct workload *w = c->w;

    lost_all(c);
    c->last_us = now_of(w);
    c->redirected = false;
    if (c->nature == CLUSTERED) {
        w->visits += c->target[0] == '\0';
        snprintf(c->at, sizeof c->at, "%s",
                 c->target[0] != '\0'
                     ? c->target
                     : w->cfg.cluster_addr(w->cfg.data, c->node));
        c->target[0] = '\0';
        mini_connect(&c->m, c->e, c->at);
        return;
    }
    mini_connect(&c->m, c->e, w->cfg.addr[c->node]);
    if (c->nature == STALE) {
        char line[64];

        c->age_us = (100 + pick(w, 1500)) * 1000;
        snprintf(line, sizeof line, "READONLY MAXAGE %llu",
                 (unsigned long long)(c->age_us / 1000));
        plain(c, line);
        mini_send(&c->m, &c->out);
    }
}

static void client_move(struct client *c)
{
    mini_close(&c->m);
    lost_all(c);
    if (pick(c->w, 3) != 0) {
        c->node = (int)pick(c->w, (uint64_t)c->w->cfg.nodes);
    }
    again(c, 10000 + pick(c->w, 100000));
}

static void on_close(struct mini *m, int code)
{
    (void)code;
    client_move(m->data);
}

static void on_timer(struct env_timer *t)
{
    struct client *c = t->data;
    struct workload *w = c->w;
    uint64_t n = 1;

    if (c->m.c == NULL) {
        if (!w->stopped || c->once_due) {
            client_connect(c);
        }
    } else if (c->q_n > 0 && now_of(w) > c->last_us + GIVE_UP_US) {
        client_move(c);
        return;
    } else if (!w->stopped && pick(w, c->nature == CLUSTERED ? 30 : 200) == 0) {
        client_move(c);
        return;
    } else if (c->redirected) {
        if (c->q_n == 0) {
            client_connect(c);
        }
        again(c, 5000 + pick(w, 5000));
        return;
    }
    if (c->m.c != NULL && c->nature == NAMED) {
        named(c);
    } else if (c->m.c != NULL && !w->stopped) {
        n = pick(w, 4) == 0 ? 1 + pick(w, BURST) : 1;
        while (n-- > 0 && !c->alone && c->q_n + 6 < PENDING) {
            one(c);
        }
    }
    mini_send(&c->m, &c->out);
    again(c, w->cfg.think_us / 4 + pick(w, w->cfg.think_us * 3 / 2));
}

/* ---- replies ---- */

static bool starts(struct bytes v, const char *word)
{
    size_t n = strlen(word);

    return v.n >= n && memcmp(v.p, word, n) == 0 && (v.n == n || v.p[n] == ' ');
}

static bool not_applied(struct client *c, const struct mini_reply *r);

/* "MOVED slot host:port" */
static void on_moved(struct client *c, struct bytes text)
{
    char slot[16];
    char to[64];
    char line[128];

    snprintf(line, sizeof line, "%.*s", (int)(text.n < 100 ? text.n : 100),
             (const char *)text.p);
    c->w->moveds++;
    if (sscanf(line, "MOVED %15s %63s", slot, to) != 2) {
        check_fail(c->w->cfg.c, "client %d: malformed \"%s\"", c->n, line);
        return;
    }
    if (strcmp(to, c->at) == 0) {
        check_fail(c->w->cfg.c, "client %d: %s was sent to itself", c->n, to);
    }
    snprintf(c->target, sizeof c->target, "%s", to);
    c->redirected = true;
}

/* The first node of the only range. */
static void slots_reply(struct client *c, const struct mini_reply *r)
{
    struct mini_reply range;
    struct mini_reply node;

    if (r->type == '-') {
        if (!starts(r->v, "UNKNOWN")) {
            (void)not_applied(c, r);
        }
        return;
    }
    if (r->type != '*' || r->num != 1 || mini_parse(r->el[0].v, &range) <= 0 ||
        range.num < 3 || mini_parse(range.el[2].v, &node) <= 0 ||
        node.num < 2 || node.el[0].v.n == 0 || node.el[1].num == 0) {
        check_fail(c->w->cfg.c, "client %d: CLUSTER SLOTS lists nobody", c->n);
        return;
    }
    if (pick(c->w, 4) == 0) {
        snprintf(c->target, sizeof c->target, "%.*s:%lld",
                 (int)(node.el[0].v.n < 40 ? node.el[0].v.n : 40),
                 (const char *)node.el[0].v.p, (long long)node.el[1].num);
        c->redirected = strcmp(c->target, c->at) != 0;
    }
}

/* Does this error promise that nothing happened? */
static bool not_applied(struct client *c, const struct mini_reply *r)
{
    static const char *const words[] = {"CLUSTERDOWN", "TRYAGAIN", "OOM",
                                        "NOSPACE",     "LOADING",  "EXECABORT"};

    if (starts(r->v, "UNKNOWN")) {
        return false;
    }
    if (c->nature == CLUSTERED && starts(r->v, "MOVED")) {
        on_moved(c, r->v);
        return true;
    }
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (starts(r->v, words[i])) {
            return true;
        }
    }
    check_fail(c->w->cfg.c, "client %d: unexpected error \"%.*s\"", c->n,
               (int)r->v.n, (const char *)r->v.p);
    return true;
}

static void ended_badly(struct client *c,
                        uint32_t op,
                        const struct mini_reply *r)
{
    if (r->null || (r->type == '-' && not_applied(c, r))) {
        hist_not_applied(c->w->cfg.h, op, now_of(c->w));
    } else if (r->type == '-') {
        hist_unknown(c->w->cfg.h, op, now_of(c->w));
    } else {
        check_fail(c->w->cfg.c, "client %d: reply of type %c", c->n, r->type);
        hist_unknown(c->w->cfg.h, op, now_of(c->w));
    }
}

static void append_reply(struct client *c, const struct pend *p, int64_t len)
{
    hist_append_ok(c->w->cfg.h, p->op, now_of(c->w), len);
    conn_order(c, p->key, (uint64_t)len / HIST_TAG, true);
    wrote(c->w);
    if (len >= LIST_FULL * HIST_TAG) {
        for (int i = 0; i < LISTS; i++) {
            if (c->w->lists[i] == p->key) {
                c->w->lists[i] = new_key(c->w, HIST_LIST);
            }
        }
    }
}

static bool can_take(const struct client *c)
{
    return (c->nature == NORMAL || c->nature == CLUSTERED) && c->m.c != NULL &&
           !c->alone && !c->redirected && c->q_n + 6 < PENDING;
}

static void aim_read(void *data)
{
    struct aim *a = data;

    if (can_take(a->c)) {
        do_timed_get(a->c, a->key);
        mini_send(&a->c->m, &a->c->out);
    }
}

static void aim_due(void *data)
{
    struct aim *a = data;
    struct client *c = &a->w->cl[pick(a->w, (uint64_t)a->w->cfg.clients)];

    if (!a->w->stopped && can_take(c)) {
        a->c = c;
        sim_env_post(c->e, aim_read, a);
    }
}

/* Have somebody look for @key just after its deadline. */
static void aim(struct workload *w, uint32_t key, uint64_t ttl_ms)
{
    struct aim *a = hf_calloc(1, sizeof *a);

    a->next = w->aims;
    a->w = w;
    a->key = key;
    w->aims = a;
    sim_at(w->cfg.s, now_of(w) + ttl_ms * 1000 + pick(w, AIM_US), aim_due, a);
}

/* What was certain of cluster time when @p began, in ms; 0 if those that knew
 * it died since. A request may wait at its node for a leader, and a cold start
 * come between: by a wall clock that is behind, it goes on from the log's
 * time, which is before what the dead ones knew. */
static uint64_t clock_of_start(const struct client *c, const struct pend *p)
{
    const struct workload_config *cfg = &c->w->cfg;

    return cfg->clock_fell_us(cfg->data) < p->began ? p->clock : 0;
}

static void timed_set_reply(struct client *c, const struct pend *p)
{
    struct workload *w = c->w;

    hist_timed_deadline(w->cfg.h, p->op, clock_of_start(c, p) + p->ttl_ms,
                        w->cfg.clock_latest(w->cfg.data) + p->ttl_ms);
    if (p->ttl_ms < LONG_TTL_MS) {
        aim(w, p->key, p->ttl_ms);
        aim(w, p->key, p->ttl_ms);
    }
}

static void claim_reply(struct client *c, const struct pend *p, bool won)
{
    struct workload *w = c->w;

    if (won) {
        if (w->won[p->key]) {
            check_fail(w->cfg.c, "client %d: key %u was claimed twice", c->n,
                       p->key);
        }
        w->won[p->key] = true;
    }
    if (w->claim == p->key && (won || pick(w, 8) == 0)) {
        w->claim = new_key(w, HIST_REG);
    }
}

static void write_reply(struct client *c,
                        const struct pend *p,
                        const struct mini_reply *r)
{
    struct hist *h = c->w->cfg.h;
    uint64_t now = now_of(c->w);

    if (p->kind == K_APPEND && r->type == ':') {
        append_reply(c, p, r->num);
    } else if (p->kind == K_INCR && r->type == ':') {
        hist_incr_ok(h, p->op, now, r->num);
        wrote(c->w);
    } else if (p->kind == K_CLAIM && r->type == '$' && r->null) {
        hist_not_applied(h, p->op, now);
        claim_reply(c, p, false);
    } else if ((p->kind == K_SET || p->kind == K_TIMED_SET ||
                p->kind == K_CLAIM) &&
               r->type == '+') {
        hist_set_ok(h, p->op, now);
        wrote(c->w);
        if (p->kind == K_TIMED_SET) {
            timed_set_reply(c, p);
        } else if (p->kind == K_CLAIM) {
            claim_reply(c, p, true);
        }
    } else {
        ended_badly(c, p->op, r);
    }
}

static void list_read(struct client *c,
                      uint32_t key,
                      uint64_t began,
                      bool null,
                      struct bytes v)
{
    uint64_t age = c->nature == STALE ? c->age_us + c->age_us / 500 + 2000 : 0;

    if (null) {
        v = bytes_of("", 0);
    }
    hist_list_read(c->w->cfg.h, key, began, now_of(c->w), age, v);
    conn_order(c, key, v.n / HIST_TAG, false);
}

static void read_reply(struct client *c,
                       const struct pend *p,
                       const struct mini_reply *r)
{
    struct workload *w = c->w;
    struct bytes v = r->null ? none : r->v;
    uint64_t now = now_of(w);

    if (r->type == '-') {
        if (!starts(r->v, "STALE") && !starts(r->v, "UNKNOWN")) {
            (void)not_applied(c, r);
        }
    } else if (r->type != '$') {
        check_fail(w->cfg.c, "client %d: GET answered with %c", c->n, r->type);
    } else if (p->kind == K_LIST_GET) {
        list_read(c, p->key, p->began, r->null, r->v);
    } else if (p->kind == K_REG_GET) {
        hist_reg_read(w->cfg.h, p->key, p->began, now, v);
    } else {
        hist_timed_read(w->cfg.h, p->key, p->began, now, v,
                        w->cfg.warm_us(w->cfg.data),
                        w->cfg.ever_cold(w->cfg.data));
        hist_timed_clocks(w->cfg.h, p->key, p->began, clock_of_start(c, p),
                          w->cfg.clock_latest(w->cfg.data), !r->null);
    }
}

static void exec_reply(struct client *c,
                       const struct pend *p,
                       const struct mini_reply *r)
{
    struct pend second = *p;
    uint64_t before = p->expect == EXPECT_SAW ? c->saw : p->expect;

    c->alone = false;
    if (r->type != '*' || r->null) {
        ended_badly(c, p->op, r);
        ended_badly(c, p->op + 1, r);
        return;
    }
    if (r->num != 2 || r->el[0].type != ':' || r->el[1].type != ':') {
        check_fail(c->w->cfg.c, "client %d: EXEC answered strangely", c->n);
        hist_unknown(c->w->cfg.h, p->op, now_of(c->w));
        hist_unknown(c->w->cfg.h, p->op + 1, now_of(c->w));
        return;
    }
    second.op++;
    second.key++;
    append_reply(c, p, r->el[0].num);
    append_reply(c, &second, r->el[1].num);
    if (p->kind == K_WATCH_EXEC && before != UINT64_MAX &&
        (uint64_t)r->el[0].num / HIST_TAG != before + 1) {
        check_fail(c->w->cfg.c,
                   "client %d: list %u changed between WATCH and EXEC", c->n,
                   p->key);
    }
}

static void pair_reply(struct client *c,
                       const struct pend *p,
                       const struct mini_reply *r)
{
    if (r->type != '*' || r->num != 2) {
        return;
    }
    if (r->el[0].type != '$' || r->el[1].type != '$') {
        check_fail(c->w->cfg.c, "client %d: EXEC of reads", c->n);
        return;
    }
    list_read(c, p->key, p->began, r->el[0].null, r->el[0].v);
    list_read(c, p->key + 1, p->began, r->el[1].null, r->el[1].v);
    hist_pair_read(c->w->cfg.h, p->key, p->key + 1, r->el[0].v, r->el[1].v);
}

/* A named session is in use, @now. */
static void once_used(struct client *c)
{
    struct workload *w = c->w;
    uint64_t idle_us = w->cfg.once_idle_ms * 1000;

    c->once_from_us = c->once_sent_us;
    c->once_used_us = now_of(w);
    if (idle_us < GIVE_UP_US && pick(w, 60) == 0) {
        c->once_rest_us =
            now_of(w) + idle_us - 500000 + pick(w, 3 * IDLE_LATE_US);
    }
}

/* The session has ended: not before its idle time is over. */
static void once_ended(struct client *c)
{
    struct workload *w = c->w;
    uint64_t idle_us = w->cfg.once_idle_ms * 1000;
    uint64_t rested = now_of(w) - c->once_from_us;

    if (rested + idle_us / 400 + IDLE_EARLY_US < idle_us &&
        (!w->cfg.ever_cold(w->cfg.data) || idle_us > LONG_TTL_MS * 1000)) {
        check_fail(w->cfg.c,
                   "client %d: its session ended after %llu us without use",
                   c->n, (unsigned long long)rested);
    }
    if (c->once_tries > 1) {
        hist_unknown(w->cfg.h, c->once.op, now_of(w));
    } else {
        hist_not_applied(w->cfg.h, c->once.op, now_of(w));
    }
    w->sessions_ended++;
    c->once_due = false;
    c->once_session = 0;
}

static void once_late_check(struct client *c)
{
    struct workload *w = c->w;
    uint64_t idle_us = w->cfg.once_idle_ms * 1000;
    uint64_t rested = c->once_sent_us - c->once_used_us;

    if (c->once_tries == 1 && rested > idle_us + idle_us / 400 + IDLE_LATE_US &&
        w->cfg.warm_us(w->cfg.data) < c->once_from_us &&
        !w->cfg.ever_cold(w->cfg.data)) {
        check_fail(w->cfg.c, "client %d: its session lives after %llu us", c->n,
                   (unsigned long long)rested);
    }
}

static void once_reply(struct client *c, const struct mini_reply *r)
{
    struct pend p = c->once;

    if (r->type == ':') {
        once_late_check(c);
        once_used(c);
        c->once_due = false;
        if (c->w->kinds[p.key] == HIST_LIST) {
            append_reply(c, &p, r->num);
        } else {
            hist_incr_ok(c->w->cfg.h, p.op, now_of(c->w), r->num);
            wrote(c->w);
        }
        return;
    }
    if (r->type == '-' && starts(r->v, "NOSESSION")) {
        once_ended(c);
        return;
    }
    if (r->type == '-' && starts(r->v, "UNKNOWN")) {
        return; /* again, under the same name */
    }
    if (r->type == '-' && not_applied(c, r)) {
        return;
    }
    check_fail(c->w->cfg.c, "client %d: ONCE answered with %c", c->n, r->type);
}

static void watch_reply(struct client *c,
                        const struct pend *p,
                        const struct mini_reply *r)
{
    if (r->type != '$' || !c->watching) {
        c->alone = false;
        plain(c, "UNWATCH");
        mini_send(&c->m, &c->out);
        return;
    }
    list_read(c, p->key, p->began, r->null, r->v);
    pair_exec(c, p->key, K_WATCH_EXEC, r->v.n / HIST_TAG);
    mini_send(&c->m, &c->out);
}

static void watched_reply(struct client *c,
                          const struct pend *p,
                          const struct mini_reply *r)
{
    if (r->type == '$' && c->watching) {
        list_read(c, p->key, p->began, r->null, r->v);
        c->saw = r->null ? 0 : r->v.n / HIST_TAG;
    }
}

static void on_reply(struct mini *m, const struct mini_reply *r)
{
    struct client *c = m->data;
    struct pend p;

    c->last_us = now_of(c->w);
    if (c->q_n == 0) {
        check_fail(c->w->cfg.c, "client %d: a reply to nothing", c->n);
        return;
    }
    p = c->q[c->q_head];
    c->q_head = (c->q_head + 1) % PENDING;
    c->q_n--;
    switch (p.kind) {
        case K_PLAIN:
            break;
        case K_WATCH:
            c->watching = r->type == '+';
            break;
        case K_APPEND:
        case K_INCR:
        case K_SET:
        case K_CLAIM:
        case K_TIMED_SET:
            write_reply(c, &p, r);
            break;
        case K_PAIR_EXEC:
        case K_WATCH_EXEC:
            exec_reply(c, &p, r);
            break;
        case K_PAIR_READ:
            pair_reply(c, &p, r);
            break;
        case K_SLOTS:
            slots_reply(c, r);
            break;
        case K_WATCHED_GET:
            watched_reply(c, &p, r);
            break;
        case K_WATCH_GET:
            watch_reply(c, &p, r);
            break;
        case K_ONCE_OPEN:
            c->once_session = r->type == ':' ? (uint64_t)r->num : 0;
            c->once_number = 0;
            once_used(c);
            break;
        case K_ONCE:
            once_reply(c, r);
            break;
        default:
            read_reply(c, &p, r);
            break;
    }
}

/* ---- life ---- */

uint64_t workload_moved(const struct workload *w)
{
    return w->moveds;
}

uint64_t workload_sessions_ended(const struct workload *w)
{
    return w->sessions_ended;
}

struct workload *workload_new(const struct workload_config *cfg)
{
    struct workload *w = hf_calloc(1, sizeof *w);

    hf_assert(cfg->clients <= CLIENTS);
    w->cfg = *cfg;
    for (int i = 0; i < LISTS; i++) {
        w->lists[i] = new_key(w, HIST_LIST);
    }
    for (int i = 0; i < PAIRS; i++) {
        w->pairs[i] = new_pair(w);
    }
    for (int i = 0; i < COUNTERS; i++) {
        w->counters[i] = new_key(w, HIST_COUNTER);
    }
    for (int i = 0; i < REGS; i++) {
        w->regs[i] = new_key(w, HIST_REG);
    }
    for (int i = 0; i < TIMED; i++) {
        w->timed[i] = new_key(w, HIST_TIMED);
    }
    w->claim = new_key(w, HIST_REG);
    for (int i = 0; i < cfg->clients; i++) {
        struct client *c = &w->cl[i];

        c->w = w;
        c->n = i;
        c->nature = i % 4 == 2   ? STALE
                    : i % 4 == 3 ? NAMED
                    : i % 4 == 1 ? CLUSTERED
                                 : NORMAL;
        c->e = cfg->envs[i % 2];
        c->node = (int)pick(w, (uint64_t)cfg->nodes);
        c->m = (struct mini){
            .data = c, .on_reply = on_reply, .on_close = on_close};
        env_timer_init(&c->timer, on_timer, c);
    }
    return w;
}

void workload_free(struct workload *w)
{
    for (int i = 0; i < w->cfg.clients; i++) {
        buf_release(&w->cl[i].out);
        buf_release(&w->cl[i].m.in);
        free(w->cl[i].floors);
    }
    buf_release(&w->fin.m.in);
    while (w->aims != NULL) {
        struct aim *a = w->aims;

        w->aims = a->next;
        free(a);
    }
    free(w->kinds);
    free(w->pair);
    free(w->won);
    free(w->expires);
    free(w);
}

static void start_client(void *data)
{
    struct client *c = data;

    again(c, pick(c->w, 100000));
}

void workload_start(struct workload *w)
{
    for (int i = 0; i < w->cfg.clients; i++) {
        sim_env_post(w->cl[i].e, start_client, &w->cl[i]);
    }
}

static void go_to_own(void *data)
{
    struct client *c = data;
    int own = c->n / 2 % c->w->cfg.nodes;

    if (c->node == own || c->w->stopped) {
        return;
    }
    if (c->m.c != NULL) {
        mini_close(&c->m);
        lost_all(c);
        again(c, 10000);
    }
    c->node = own;
}

void workload_spread(struct workload *w)
{
    for (int i = 0; i < w->cfg.clients; i += 2) {
        sim_env_post(w->cl[i].e, go_to_own, &w->cl[i]);
    }
}

void workload_stop(struct workload *w)
{
    w->stopped = true;
    if (w->visits > MOVED_AFTER && w->moveds == 0) {
        check_fail(w->cfg.c, "%llu visits of cluster ports and no MOVED",
                   (unsigned long long)w->visits);
    }
}

bool workload_idle(const struct workload *w)
{
    for (int i = 0; i < w->cfg.clients; i++) {
        if (w->cl[i].q_n > 0 || w->cl[i].once_due) {
            return false;
        }
    }
    return w->stopped;
}

uint64_t workload_writes(const struct workload *w)
{
    return w->writes;
}

uint64_t workload_last_write_us(const struct workload *w)
{
    return w->last_write_us;
}

/* ---- the last word ---- */

static bool wanted(const struct workload *w, uint32_t key)
{
    return w->kinds[key] != HIST_REG;
}

static void skip_unwanted(struct finale *f)
{
    while (f->key < f->w->keys && !wanted(f->w, f->key)) {
        f->key++;
    }
    f->done = f->key == f->w->keys;
}

static void fin_again(struct finale *f)
{
    env_timer_start(f->w->cfg.envs[0], &f->timer,
                    env_now_us(f->w->cfg.envs[0]) + 200000);
}

/* The same deadline on every node, or gone by now. */
static void fin_deadline(struct finale *f, int64_t ms)
{
    int64_t *known = &f->w->expires[f->key];

    if ((*known < 0 && ms != *known) ||
        (*known > 0 && ms > 0 && ms != *known)) {
        check_fail(f->w->cfg.c,
                   "timed key %u ends at %lld ms on n%d, at %lld on others",
                   f->key, (long long)ms, f->node + 1, (long long)*known);
    }
    *known = ms;
}

static void fin_reply(struct mini *m, const struct mini_reply *r)
{
    struct finale *f = m->data;
    struct workload *w = f->w;
    struct hist *h = w->cfg.h;

    if (r->type == '-') { /* an error: all over again */
        mini_close(&f->m);
        fin_again(f);
        return;
    }
    if (w->kinds[f->key] == HIST_LIST) {
        hist_list_final(h, f->key, r->null ? bytes_of("", 0) : r->v);
    } else if (w->kinds[f->key] == HIST_TIMED) {
        fin_deadline(f, r->num);
    } else {
        char text[24] = {0};

        memcpy(text, r->v.p == NULL ? (const uint8_t *)"0" : r->v.p,
               r->v.n < 23 ? r->v.n : 23);
        hist_counter_final(h, f->key, strtoll(text, NULL, 10));
    }
    f->key++;
    skip_unwanted(f);
    if (f->done) {
        mini_close(&f->m);
        env_timer_stop(w->cfg.envs[0], &f->timer);
    }
}

static void fin_close(struct mini *m, int code)
{
    (void)code;
    fin_again(m->data);
}

static void fin_begin(struct finale *f)
{
    struct workload *w = f->w;
    struct buf b = BUF_INIT;
    char line[32];

    f->key = 0;
    skip_unwanted(f);
    mini_connect(&f->m, w->cfg.envs[0], w->cfg.addr[f->node]);
    for (uint32_t k = 0; k < w->keys; k++) {
        if (wanted(w, k)) {
            snprintf(line, sizeof line, "%s key:%u",
                     w->kinds[k] == HIST_TIMED ? "PEXPIRETIME" : "GET", k);
            mini_line(&b, line);
        }
    }
    mini_send(&f->m, &b);
    buf_release(&b);
    env_timer_start(w->cfg.envs[0], &f->timer,
                    env_now_us(w->cfg.envs[0]) + ADMIN_US);
}

static void fin_timer(struct env_timer *t)
{
    fin_begin(t->data);
}

static void fin_post(void *data)
{
    fin_begin(data);
}

void workload_final(struct workload *w, int node)
{
    struct finale *f = &w->fin;

    f->w = w;
    f->node = node;
    f->done = false;
    f->m.data = f;
    f->m.on_reply = fin_reply;
    f->m.on_close = fin_close;
    env_timer_init(&f->timer, fin_timer, f);
    sim_env_post(w->cfg.envs[0], fin_post, f);
}

bool workload_final_done(const struct workload *w)
{
    return w->fin.done;
}

/* ---- one command ---- */

struct admin {
    struct workload *w;
    struct mini m;
    struct env_timer timer;
    int node;
    char line[128];
    void (*done)(void *data, const char *reply);
    void *data;
};

static void admin_end(struct admin *a, const char *reply)
{
    void (*fn)(void *, const char *) = a->done;
    void *data = a->data;

    env_timer_stop(a->w->cfg.envs[1], &a->timer);
    mini_release(&a->m);
    free(a);
    fn(data, reply);
}

static void admin_reply(struct mini *m, const struct mini_reply *r)
{
    char text[256];

    if (r->type == '*') {
        snprintf(text, sizeof text, "array of %lld", (long long)r->num);
    } else {
        snprintf(text, sizeof text, "%c%.*s", r->type,
                 (int)(r->v.n < 250 ? r->v.n : 250),
                 r->v.p == NULL ? "" : (const char *)r->v.p);
    }
    /* The caller goes on with the connection: end it from the timer. */
    snprintf(((struct admin *)m->data)->line, 128, "%.127s", text);
    ((struct admin *)m->data)->node = -1;
    env_timer_start(((struct admin *)m->data)->w->cfg.envs[1],
                    &((struct admin *)m->data)->timer, 0);
}

static void admin_timer(struct env_timer *t)
{
    struct admin *a = t->data;
    char text[128];

    memcpy(text, a->line, sizeof text);
    admin_end(a, a->node < 0 ? text : NULL);
}

static void admin_close(struct mini *m, int code)
{
    struct admin *a = m->data;

    (void)code;
    admin_timer(&a->timer);
}

static void admin_begin(void *data)
{
    struct admin *a = data;
    struct buf b = BUF_INIT;
    struct env *e = a->w->cfg.envs[1];

    mini_connect(&a->m, e, a->w->cfg.addr[a->node]);
    mini_line(&b, a->line);
    mini_send(&a->m, &b);
    buf_release(&b);
    env_timer_start(e, &a->timer, env_now_us(e) + ADMIN_US);
}

void workload_admin(struct workload *w,
                    int node,
                    const char *line,
                    void (*done)(void *data, const char *reply),
                    void *data)
{
    struct admin *a = hf_calloc(1, sizeof *a);

    a->w = w;
    a->node = node;
    a->done = done;
    a->data = data;
    snprintf(a->line, sizeof a->line, "%s", line);
    a->m.data = a;
    a->m.on_reply = admin_reply;
    a->m.on_close = admin_close;
    env_timer_init(&a->timer, admin_timer, a);
    sim_env_post(w->cfg.envs[1], admin_begin, a);
}
