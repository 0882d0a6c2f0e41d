#include "tests/sim/env_sim.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"

enum {
    READ_MAX = 64 << 10, /* bytes handed over by one on_read */
    SEG_MAX = 64 << 10,  /* bytes of one segment */
    DRAIN_AT = 64 << 10, /* see on_drain in base/env.h */
    TURN_US = 8,         /* what a turn costs, its disk calls aside */
    TIMERS_LATE_US = 10000,
    WAKE_US = 2, /* from readiness to the turn */
    POOL_SLOW_PERMILLE = 50,
};

enum ev_kind {
    EV_CALL,
    EV_ALARM,
    EV_TURN,
    EV_FLUSH,
    EV_WORK_RUN,
    EV_WORK_DONE,
    EV_SYN,
    EV_CONNECT_TIMEOUT,
    EV_SEG,
    EV_RST,
};

struct ev {
    uint64_t at;
    uint64_t seq;
    enum ev_kind kind;
    void (*fn)(void *data);
    void *p;
};

/* ---- what travels from one end of a connection to the other ---- */
enum seg_kind { SEG_DATA, SEG_HELLO, SEG_FIN, SEG_RST };

struct seg {
    struct seg *next;
    enum seg_kind kind;
    uint64_t at; /* arrives then, if the link lets it */
    size_t n;
    uint8_t d[];
};

/* One end. @peer is the other; the pipe from here to there belongs to this
 * end. Ends live until sim_free(), because events point to them. */
struct simconn {
    struct net_conn c; /* first: what the owner sees */
    struct simconn *all_next;
    struct simconn *env_next; /* of the same process */
    struct simenv *env;
    struct simconn *peer; /* NULL until accepted by the other kernel */
    int host;
    uint64_t id;
    char addr[64];  /* dialled */
    bool closed;    /* the owner's part is over */
    bool vanished;  /* its kernel lost power */
    bool known;     /* the process has been told of it */
    bool in_ready;  /* queued in the process's inbox */
    bool accepting; /* on_accept is due */
    bool opening;   /* on_open is due */
    bool opened;    /* output may leave */
    bool draining;  /* on_drain is due */
    bool writable;  /* room came back */
    bool eof;       /* nothing more comes in */
    bool broken;    /* reset or timed out: on_close now, with @code */
    bool read_paused;
    bool flush_queued;
    bool drain_armed;
    int code;
    size_t drain_below;
    struct simlisten *listener; /* that took it; NULL: dialled */
    struct buf out;             /* written, not yet taken by the kernel */
    struct buf in;              /* received, not yet read */
    size_t flight;              /* taken by the kernel, not yet read there */
    size_t held;                /* read there, the news of it blocked */
    struct seg *head;
    struct seg *tail;
    bool seg_event;
    uint64_t rto;
    uint64_t line_free; /* the line is busy sending until then */
    uint64_t last_at;   /* arrival of the last segment */
};

struct simlisten {
    struct net_listener l; /* first */
    struct simlisten *next;
    struct simenv *env;
    uint16_t port;
    bool closed;
    void (*on_accept)(void *data, struct net_conn *c);
    void *data;
};

/* ---- a process ---- */
enum in_kind { IN_WORK, IN_CONN, IN_CALL };

struct in_item {
    enum in_kind kind;
    void *p;
    void (*fn)(void *data);
};

enum work_state { WORK_QUEUED, WORK_STARTED, WORK_HELD, WORK_RAN };

struct simwork {
    struct simwork *next;
    struct simenv *env;
    struct env_work *w;
    enum env_queue q;
    enum work_state state;
};

struct simenv {
    struct env e; /* first */
    struct sim *s;
    struct simenv *all_next;
    int id;
    int host;
    bool dead;
    bool freed;
    bool in_turn;
    bool turn_due;  /* an EV_TURN is in the heap */
    bool turn_held; /* it came while the host was paused */
    bool flush_due; /* an EV_FLUSH is in the heap, or held */
    bool flush_held;
    uint64_t busy_until;
    uint64_t alarm_at;    /* true time; UINT64_MAX: none */
    uint64_t alarm_ev_at; /* earliest EV_ALARM in the heap */
    struct in_item *inbox;
    size_t in_n;
    size_t in_cap;
    struct simwork *work; /* in order of submission */
    struct simwork **work_tail;
    struct simconn *conns;
    struct simconn **flush;
    size_t flush_n;
    size_t flush_cap;
    void (*on_exit)(void *data, struct env *e, int status);
    void *exit_data;
};

struct simhost {
    char addr[64];
    bool used;
    bool up;
    bool paused;
    uint16_t next_port;
    uint64_t ref_true; /* at this true time ... */
    uint64_t ref_boot; /* ... its boot clock showed this */
    int ppm;
    int64_t wall_off_ms;
};

struct sim {
    struct rng rng;
    uint64_t now;
    uint64_t seq;
    uint64_t trace;
    uint64_t events;
    struct ev *heap;
    size_t heap_n;
    size_t heap_cap;
    struct simhost hosts[SIM_HOSTS];
    int host_n;
    struct sim_link links[SIM_HOSTS][SIM_HOSTS];
    struct simenv *envs;
    struct simenv **env_tail;
    int env_ids;
    struct simconn *conns;
    uint64_t conn_ids;
    struct simlisten *listens;
    struct sim_disk_ops disk;
    /* The process whose code runs now, and the way out of it. */
    struct simenv *running;
    jmp_buf out;
    int exit_status;
};

enum { WALL_BASE_S = 1700000000 };

/* ---- trace ---- */

void sim_trace_mix(struct sim *s, uint64_t v)
{
    s->trace = (s->trace ^ v) * 0x9E3779B97F4A7C15ULL;
    s->trace ^= s->trace >> 29;
}

static void trace_bytes(struct sim *s, const uint8_t *p, size_t n)
{
    uint64_t h = n;

    while (n >= 8) {
        uint64_t w;

        memcpy(&w, p, 8);
        h = (h ^ w) * 0x100000001B3ULL;
        h ^= h >> 31;
        p += 8;
        n -= 8;
    }
    while (n > 0) {
        h = (h ^ *p++) * 0x100000001B3ULL;
        n--;
    }
    sim_trace_mix(s, h);
}

/* ---- events ---- */

static bool ev_before(const struct ev *a, const struct ev *b)
{
    return a->at < b->at || (a->at == b->at && a->seq < b->seq);
}

static void push(struct sim *s,
                 uint64_t at,
                 enum ev_kind kind,
                 void *p,
                 void (*fn)(void *data))
{
    struct ev ev = {at < s->now ? s->now : at, ++s->seq, kind, fn, p};
    size_t i;

    if (s->heap_n == s->heap_cap) {
        s->heap_cap = s->heap_cap == 0 ? 1024 : s->heap_cap * 2;
        s->heap = hf_realloc(s->heap, s->heap_cap * sizeof *s->heap);
    }
    i = s->heap_n++;
    while (i > 0 && ev_before(&ev, &s->heap[(i - 1) / 2])) {
        s->heap[i] = s->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    s->heap[i] = ev;
}

static struct ev pop(struct sim *s)
{
    struct ev top = s->heap[0];
    struct ev last = s->heap[--s->heap_n];
    size_t i = 0;

    for (;;) {
        size_t kid = i * 2 + 1;

        if (kid >= s->heap_n) {
            break;
        }
        if (kid + 1 < s->heap_n &&
            ev_before(&s->heap[kid + 1], &s->heap[kid])) {
            kid++;
        }
        if (!ev_before(&s->heap[kid], &last)) {
            break;
        }
        s->heap[i] = s->heap[kid];
        i = kid;
    }
    s->heap[i] = last;
    return top;
}

/* ---- clocks ---- */

static uint64_t boot_now(const struct sim *s, int host)
{
    const struct simhost *h = &s->hosts[host];
    uint64_t d = s->now - h->ref_true;

    return h->ref_boot + d * (uint64_t)(1000000 + h->ppm) / 1000000;
}

/* The first true time at which the boot clock shows at least @at. */
static uint64_t true_at(const struct sim *s, int host, uint64_t at)
{
    const struct simhost *h = &s->hosts[host];
    uint64_t rate = (uint64_t)(1000000 + h->ppm);

    if (at <= h->ref_boot) {
        return s->now;
    }
    at -= h->ref_boot;
    if (at > UINT64_MAX / 2000000) {
        return UINT64_MAX / 2;
    }
    return h->ref_true + (at * 1000000 + rate - 1) / rate;
}

/* ---- a process: inbox, turns ---- */

static struct simenv *se_of(struct env *e)
{
    return (struct simenv *)(void *)e;
}

static void kick(struct simenv *se)
{
    uint64_t at = se->s->now + WAKE_US;

    if (se->dead || se->turn_due || se->in_turn) {
        return;
    }
    se->turn_due = true;
    push(se->s, at < se->busy_until ? se->busy_until : at, EV_TURN, se, NULL);
}

static void inbox_add(struct simenv *se,
                      enum in_kind kind,
                      void *p,
                      void (*fn)(void *data))
{
    if (se->dead) {
        return;
    }
    if (se->in_n == se->in_cap) {
        se->in_cap = se->in_cap == 0 ? 64 : se->in_cap * 2;
        se->inbox = hf_realloc(se->inbox, se->in_cap * sizeof *se->inbox);
    }
    se->inbox[se->in_n++] = (struct in_item){kind, p, fn};
    kick(se);
}

static void conn_ready(struct simconn *sc)
{
    if (!sc->in_ready && !sc->closed) {
        sc->in_ready = true;
        inbox_add(sc->env, IN_CONN, sc, NULL);
    }
}

/* ---- connections ---- */

static struct simconn *sc_of(struct net_conn *c)
{
    return (struct simconn *)(void *)c;
}

static bool cut(const struct sim *s, int from, int to)
{
    return s->links[from][to].blocked || !s->hosts[to].up;
}

static uint64_t latency(struct sim *s, int from, int to)
{
    const struct sim_link *l = &s->links[from][to];

    return l->lat_min_us +
           rng_below(&s->rng, l->lat_max_us - l->lat_min_us + 1);
}

static struct simconn *conn_new(struct simenv *se)
{
    struct sim *s = se->s;
    struct simconn *sc = hf_calloc(1, sizeof *sc);

    sc->c.env = &se->e;
    sc->env = se;
    sc->host = se->host;
    sc->id = ++s->conn_ids;
    sc->rto = SIM_RTO_US;
    sc->known = true;
    sc->all_next = s->conns;
    s->conns = sc;
    sc->env_next = se->conns;
    se->conns = sc;
    return sc;
}

static void seg_schedule(struct simconn *sc)
{
    if (!sc->seg_event && sc->head != NULL) {
        sc->seg_event = true;
        push(sc->env->s, sc->head->at, EV_SEG, sc, NULL);
    }
}

/* Put a segment on the line. */
static void seg_send(struct simconn *sc,
                     enum seg_kind kind,
                     const void *p,
                     size_t n)
{
    struct sim *s = sc->env->s;
    const struct sim_link *l = &s->links[sc->host][sc->peer->host];
    struct seg *g = hf_malloc(sizeof *g + n);
    uint64_t at = sc->line_free > s->now ? sc->line_free : s->now;

    g->next = NULL;
    g->kind = kind;
    g->n = n;
    if (n > 0) {
        memcpy(g->d, p, n);
    }
    if (l->bytes_per_ms != 0) {
        at += n * 1000 / l->bytes_per_ms;
    }
    sc->line_free = at;
    at += latency(s, sc->host, sc->peer->host);
    if (rng_permille(&s->rng, l->loss_permille)) {
        /* Fast retransmission, or the timer, which doubles each time that
         * what it sent again is lost as well. */
        uint64_t rto = SIM_RTO_US;

        at += rng_permille(&s->rng, 500) ? 3 * (uint64_t)l->lat_max_us : rto;
        while (rto < SIM_LOST_RTO_MAX_US &&
               rng_permille(&s->rng, l->loss_permille)) {
            rto *= 2;
            at += rto;
        }
    }
    g->at = at > sc->last_at ? at : sc->last_at;
    sc->last_at = g->at;
    if (sc->tail != NULL) {
        sc->tail->next = g;
    } else {
        sc->head = g;
    }
    sc->tail = g;
    seg_schedule(sc);
}

static void segs_drop(struct simconn *sc)
{
    while (sc->head != NULL) {
        struct seg *g = sc->head;

        sc->head = g->next;
        free(g);
    }
    sc->tail = NULL;
}

/* Let the kernel take what it has room for. */
static void conn_flush(struct simconn *sc)
{
    struct sim *s = sc->env->s;

    if (sc->closed || !sc->opened || sc->broken) {
        return;
    }
    while (sc->out.n > 0 && sc->flight < SIM_SOCKBUF) {
        size_t n = sc->out.n < SEG_MAX ? sc->out.n : SEG_MAX;

        if (n > SIM_SOCKBUF - sc->flight) {
            n = SIM_SOCKBUF - sc->flight;
        }
        if (n > 1 &&
            rng_permille(&s->rng,
                         s->links[sc->host][sc->peer->host].split_permille)) {
            n = 1 + rng_below(&s->rng, n);
        }
        seg_send(sc, SEG_DATA, sc->out.p, n);
        sc->flight += n;
        buf_consume(&sc->out, n);
    }
    if (sc->drain_armed && sc->out.n < sc->drain_below) {
        sc->drain_armed = false;
        sc->draining = true;
        conn_ready(sc);
    }
}

static void flush_queue(struct simconn *sc)
{
    struct simenv *se = sc->env;

    if (sc->flush_queued || se->dead) {
        return;
    }
    sc->flush_queued = true;
    if (se->flush_n == se->flush_cap) {
        se->flush_cap = se->flush_cap == 0 ? 32 : se->flush_cap * 2;
        se->flush = hf_realloc(se->flush, se->flush_cap * sizeof(void *));
    }
    se->flush[se->flush_n++] = sc;
    kick(se);
}

static void flush_all(struct simenv *se)
{
    for (size_t i = 0; i < se->flush_n; i++) {
        struct simconn *sc = se->flush[i];

        sc->flush_queued = false;
        conn_flush(sc);
    }
    se->flush_n = 0;
}

/* @n bytes of what @sc sent were read: there is room for more. */
static void credit(struct simconn *sc, size_t n)
{
    struct sim *s = sc->env->s;

    if (s->links[sc->peer->host][sc->host].blocked) {
        sc->held += n;
        return;
    }
    sc->flight -= n;
    if (sc->out.n > 0 && !sc->closed) {
        sc->writable = true;
        conn_ready(sc);
    }
}

static void unlink_conn(struct simconn *sc)
{
    struct simconn **pp = &sc->env->conns;

    while (*pp != sc) {
        hf_assert(*pp != NULL);
        pp = &(*pp)->env_next;
    }
    *pp = sc->env_next;
}

/* The owner's part ends. Bytes on the line still arrive. */
static void conn_end(struct simconn *sc)
{
    bool unread = sc->in.n > 0;

    hf_assert(!sc->closed);
    sc->closed = true;
    unlink_conn(sc);
    buf_release(&sc->out);
    buf_release(&sc->in);
    if (sc->peer != NULL && !sc->broken) {
        seg_send(sc, unread ? SEG_RST : SEG_FIN, NULL, 0);
    }
}

static void conn_break(struct simconn *sc, int code)
{
    if (sc->closed || sc->broken) {
        return;
    }
    sc->broken = true;
    sc->code = code;
    segs_drop(sc);
    conn_ready(sc);
}

/* The kernel at @sc's host knows no such connection: tell the sender. */
static void answer_reset(struct simconn *sc)
{
    struct sim *s = sc->env->s;

    if (sc->peer != NULL && !cut(s, sc->host, sc->peer->host)) {
        push(s, s->now + latency(s, sc->host, sc->peer->host), EV_RST, sc->peer,
             NULL);
    }
}

/* The answer to the first packet of @a's connection came back. */
static void hello_back(struct simconn *a)
{
    if (!a->broken) {
        a->opening = true;
        seg_send(a, SEG_HELLO, NULL, 0);
        conn_ready(a);
    }
}

/* A segment from @from reached the kernel of the other end. */
static void seg_arrive(struct simconn *from, const struct seg *g)
{
    struct simconn *to = from->peer;
    struct sim *s = from->env->s;

    sim_trace_mix(s, from->id * 4 + (uint64_t)g->kind);
    if (to->closed || to->vanished) {
        if (g->kind == SEG_DATA || g->kind == SEG_HELLO) {
            answer_reset(to);
        }
        return;
    }
    switch (g->kind) {
        case SEG_HELLO:
            if (to->listener == NULL) {
                hello_back(to);
            } else {
                to->accepting = true;
                conn_ready(to);
            }
            break;
        case SEG_DATA:
            trace_bytes(s, g->d, g->n);
            buf_append(&to->in, g->d, g->n);
            conn_ready(to);
            break;
        case SEG_FIN:
            to->eof = true;
            conn_ready(to);
            break;
        case SEG_RST:
            conn_break(to, HF_EIO);
            break;
    }
}

/* Would the head of @sc's line be lost now? One that cannot be answered by
 * a kernel that does not know the connection is as good as lost. */
static bool seg_lost(const struct simconn *sc)
{
    const struct sim *s = sc->env->s;
    const struct simconn *to = sc->peer;

    return cut(s, sc->host, to->host) ||
           ((to->closed || to->vanished) && cut(s, to->host, sc->host));
}

static void on_seg(struct simconn *sc)
{
    struct sim *s = sc->env->s;
    struct seg *g = sc->head;

    sc->seg_event = false;
    if (g == NULL) {
        return;
    }
    if (g->at > s->now) {
        seg_schedule(sc);
        return;
    }
    if (seg_lost(sc)) {
        /* A kernel without power does not send again. */
        if (sc->vanished || !s->hosts[sc->host].up) {
            segs_drop(sc);
            return;
        }
        g->at = s->now + sc->rto;
        sc->rto = sc->rto * 2 < SIM_RTO_TOP_US ? sc->rto * 2 : SIM_RTO_TOP_US;
        seg_schedule(sc);
        return;
    }
    sc->rto = SIM_RTO_US;
    sc->head = g->next;
    if (sc->head == NULL) {
        sc->tail = NULL;
    }
    seg_arrive(sc, g);
    free(g);
    seg_schedule(sc);
}

/* ---- connecting ---- */

/* Split "host:port" or ":port"; false if it makes no sense. */
static bool split_addr(const char *hostport,
                       char *host,
                       size_t cap,
                       uint16_t *port)
{
    const char *colon = strrchr(hostport, ':');
    size_t n;
    long v;
    char *end;

    if (colon == NULL) {
        return false;
    }
    n = (size_t)(colon - hostport);
    v = strtol(colon + 1, &end, 10);
    if (n >= cap || end == colon + 1 || *end != '\0' || v < 0 || v > 65535) {
        return false;
    }
    memcpy(host, hostport, n);
    host[n] = '\0';
    *port = (uint16_t)v;
    return true;
}

static int host_find(const struct sim *s, const char *addr)
{
    for (int i = 0; i < s->host_n; i++) {
        if (strcmp(s->hosts[i].addr, addr) == 0) {
            return i;
        }
    }
    return -1;
}

static struct simlisten *listen_find(const struct sim *s,
                                     int host,
                                     uint16_t port)
{
    for (struct simlisten *l = s->listens; l != NULL; l = l->next) {
        if (!l->closed && l->env->host == host && l->port == port) {
            return l;
        }
    }
    return NULL;
}

static uint16_t port_next(struct simhost *h)
{
    h->next_port = h->next_port < 60000 ? (uint16_t)(h->next_port + 1) : 20001;
    return h->next_port;
}

static struct net_conn *op_connect(struct env *e,
                                   const char *hostport,
                                   const char *bind_host)
{
    struct simenv *se = se_of(e);
    struct sim *s = se->s;
    struct simconn *sc = conn_new(se);
    char host[64];
    uint16_t port;
    int to = -1;

    (void)bind_host;
    snprintf(sc->c.remote, sizeof sc->c.remote, "%.63s", hostport);
    if (se->dead) {
        return &sc->c;
    }
    if (split_addr(hostport, host, sizeof host, &port)) {
        to = host_find(s, host);
    }
    if (to < 0) {
        conn_break(sc, HF_ENOENT);
        return &sc->c;
    }
    snprintf(sc->addr, sizeof sc->addr, "%.63s", hostport);
    push(s, s->now + (uint64_t)NET_CONNECT_TIMEOUT_MS * 1000,
         EV_CONNECT_TIMEOUT, sc, NULL);
    if (!rng_permille(&s->rng, s->links[se->host][to].loss_permille)) {
        push(s, s->now + latency(s, se->host, to), EV_SYN, sc, NULL);
    }
    return &sc->c;
}

/* The first packet of @a's connection reaches the kernel it dialled. */
static void on_syn(struct simconn *a)
{
    struct sim *s = a->env->s;
    char host[64];
    uint16_t port;
    struct simlisten *l;
    struct simconn *b;
    int to;

    if (!split_addr(a->addr, host, sizeof host, &port)) {
        return;
    }
    to = host_find(s, host);
    if (a->closed || cut(s, a->host, to) || cut(s, to, a->host)) {
        return; /* the next try would come after the caller gave up */
    }
    l = listen_find(s, to, port);
    if (l == NULL) {
        push(s, s->now + latency(s, to, a->host), EV_RST, a, NULL);
        return;
    }
    b = conn_new(l->env);
    b->known = false;
    b->listener = l;
    b->opened = true;
    b->peer = a;
    a->peer = b;
    snprintf(b->c.remote, sizeof b->c.remote, "%.48s:%u",
             s->hosts[a->host].addr, port_next(&s->hosts[a->host]));
    seg_send(b, SEG_HELLO, NULL, 0);
}

/* ---- what the owner calls ---- */

static void op_write(struct net_conn *c, const void *p, size_t n)
{
    struct simconn *sc = sc_of(c);
    size_t before = sc->out.n;

    if (sc->env->dead || sc->broken) {
        return;
    }
    hf_assert(!sc->closed);
    buf_append(&sc->out, p, n);
    if (before < DRAIN_AT && sc->out.n >= DRAIN_AT) {
        sc->drain_armed = true;
        sc->drain_below = sc->out.n / 2;
    }
    flush_queue(sc);
}

static size_t op_pending(const struct net_conn *c)
{
    return ((const struct simconn *)(const void *)c)->out.n;
}

static void op_read_pause(struct net_conn *c, bool paused)
{
    struct simconn *sc = sc_of(c);

    if (sc->read_paused && !paused) {
        conn_ready(sc);
    }
    sc->read_paused = paused;
}

static void op_close(struct net_conn *c)
{
    struct simconn *sc = sc_of(c);

    if (!sc->env->dead) {
        conn_end(sc);
    }
}

static int op_listen(struct env *e,
                     const char *hostport,
                     void (*on_accept)(void *data, struct net_conn *c),
                     void *data,
                     struct net_listener **out,
                     struct errmsg *em)
{
    struct simenv *se = se_of(e);
    struct sim *s = se->s;
    struct simlisten *l;
    char host[64];
    uint16_t port;

    if (!split_addr(hostport, host, sizeof host, &port)) {
        return errmsg_set(em, HF_EINVAL, "listen on %s: not an address",
                          hostport);
    }
    if (port == 0) {
        port = port_next(&s->hosts[se->host]);
    }
    if (listen_find(s, se->host, port) != NULL) {
        return errmsg_set(em, HF_EBUSY, "listen on %s: in use", hostport);
    }
    l = hf_calloc(1, sizeof *l);
    l->l.env = e;
    l->env = se;
    l->port = port;
    l->on_accept = on_accept;
    l->data = data;
    l->closed = se->dead;
    l->next = s->listens;
    s->listens = l;
    *out = &l->l;
    return 0;
}

static void op_unlisten(struct net_listener *nl)
{
    ((struct simlisten *)(void *)nl)->closed = true;
}

static uint16_t op_listen_port(struct net_listener *nl)
{
    return ((struct simlisten *)(void *)nl)->port;
}

static uint64_t op_now(struct env *e)
{
    struct simenv *se = se_of(e);

    return boot_now(se->s, se->host);
}

static uint64_t op_wall(struct env *e)
{
    struct simenv *se = se_of(e);
    const struct simhost *h = &se->s->hosts[se->host];
    int64_t ms = (int64_t)WALL_BASE_S * 1000 + h->wall_off_ms;

    ms += (int64_t)(se->s->now * (uint64_t)(1000000 + h->ppm) / 1000000 / 1000);
    return (uint64_t)ms;
}

static void op_random(struct env *e, void *p, size_t n)
{
    struct sim *s = se_of(e)->s;
    uint8_t *d = p;

    for (size_t i = 0; i < n; i++) {
        d[i] = (uint8_t)rng_next(&s->rng);
    }
}

static void op_alarm(struct env *e, uint64_t at_us)
{
    struct simenv *se = se_of(e);

    if (se->dead || se->in_turn) {
        return; /* a turn asks again at its end */
    }
    if (at_us == UINT64_MAX) {
        se->alarm_at = UINT64_MAX;
        return;
    }
    se->alarm_at = true_at(se->s, se->host, at_us);
    if (se->alarm_at < se->alarm_ev_at) {
        se->alarm_ev_at = se->alarm_at;
        push(se->s, se->alarm_at, EV_ALARM, se, NULL);
    }
}

static void on_alarm(struct simenv *se, uint64_t at)
{
    if (se->dead) {
        return;
    }
    if (at >= se->alarm_ev_at) {
        se->alarm_ev_at = UINT64_MAX;
    }
    if (se->alarm_at <= se->s->now) {
        kick(se);
    } else if (se->alarm_at < se->alarm_ev_at) {
        se->alarm_ev_at = se->alarm_at;
        push(se->s, se->alarm_at, EV_ALARM, se, NULL);
    }
}

/* ---- work off the loop ---- */

static void work_start(struct simwork *sw)
{
    struct sim *s = sw->env->s;
    uint64_t d = 10 + rng_below(&s->rng, 100);

    if (sw->q == ENV_POOL && rng_permille(&s->rng, POOL_SLOW_PERMILLE)) {
        d += rng_below(&s->rng, 20000);
    }
    sw->state = WORK_STARTED;
    push(s, s->now + d, EV_WORK_RUN, sw, NULL);
}

/* The log thread takes the next one when it is idle. */
static void log_next(struct simenv *se)
{
    for (struct simwork *sw = se->work; sw != NULL; sw = sw->next) {
        if (sw->q == ENV_LOG) {
            if (sw->state == WORK_QUEUED) {
                work_start(sw);
            }
            return; /* first in, first out: the others wait */
        }
    }
}

static void op_work(struct env *e, enum env_queue q, struct env_work *w)
{
    struct simenv *se = se_of(e);
    struct simwork *sw;

    if (se->dead) {
        return;
    }
    sw = hf_calloc(1, sizeof *sw);
    sw->env = se;
    sw->w = w;
    sw->q = q;
    *se->work_tail = sw;
    se->work_tail = &sw->next;
    if (q == ENV_POOL) {
        work_start(sw);
    } else {
        log_next(se);
    }
}

static void work_remove(struct simenv *se, struct simwork *sw)
{
    struct simwork **pp = &se->work;

    while (*pp != sw) {
        pp = &(*pp)->next;
    }
    *pp = sw->next;
    if (se->work_tail == &sw->next) {
        se->work_tail = pp;
    }
}

/* ---- running a process's code ---- */

static const struct env_ops sim_ops;

static uint64_t disk_cost(struct simenv *se)
{
    struct sim *s = se->s;

    if (se->e.disk == NULL || s->disk.take_cost_us == NULL) {
        return 0;
    }
    return s->disk.take_cost_us(se->e.disk);
}

static bool disk_dead(struct simenv *se)
{
    struct sim *s = se->s;

    return se->e.disk != NULL && s->disk.dead != NULL &&
           s->disk.dead(se->e.disk);
}

/* Run @fn(@p) as code of @se. False: it ended the process. */
static bool guarded(struct simenv *se,
                    void (*fn)(struct simenv *, void *),
                    void *p)
{
    struct sim *s = se->s;

    hf_assert(s->running == NULL);
    s->running = se;
    if (setjmp(s->out) != 0) {
        s->running = NULL;
        return false;
    }
    fn(se, p);
    s->running = NULL;
    return true;
}

_Noreturn void sim_env_exit(struct env *e, int status)
{
    struct sim *s = se_of(e)->s;

    hf_assert(s->running == se_of(e));
    s->exit_status = status;
    longjmp(s->out, 1);
}

static void ended(struct simenv *se, int status, enum sim_kill how)
{
    sim_trace_mix(se->s, (uint64_t)(uint32_t)status);
    sim_env_kill(&se->e, how);
    if (se->on_exit != NULL) {
        se->on_exit(se->exit_data, &se->e, status);
    }
}

/* After code of @se ran: true if it is still alive. */
static bool survived(struct simenv *se, bool returned)
{
    if (disk_dead(se)) {
        ended(se, SIM_EXIT_DISK, SIM_POWER_CUT);
        return false;
    }
    if (!returned) {
        ended(se, se->s->exit_status, SIM_KILLED);
        return false;
    }
    return true;
}

static void run_fn(struct simenv *se, void *p)
{
    struct env_work *w = p;

    (void)se;
    w->fn(w);
}

static void on_work_run(struct simwork *sw)
{
    struct simenv *se = sw->env;
    struct sim *s = se->s;

    if (se->dead) {
        return; /* freed with the process's other work */
    }
    if (s->hosts[se->host].paused) {
        sw->state = WORK_HELD;
        return;
    }
    sw->state = WORK_RAN;
    if (survived(se, guarded(se, run_fn, sw->w))) {
        push(s, s->now + 5 + disk_cost(se), EV_WORK_DONE, sw, NULL);
    }
}

static void on_work_done(struct simwork *sw)
{
    struct simenv *se = sw->env;

    if (se->dead) {
        return;
    }
    work_remove(se, sw);
    inbox_add(se, IN_WORK, sw->w, NULL);
    log_next(se);
    free(sw);
}

/* ---- a turn ---- */

static void conn_read(struct simconn *sc)
{
    while (sc->in.n > 0 && !sc->read_paused && !sc->closed) {
        size_t n = sc->in.n < READ_MAX ? sc->in.n : READ_MAX;
        uint8_t *p = hf_malloc(n);

        memcpy(p, sc->in.p, n);
        buf_consume(&sc->in, n);
        credit(sc->peer, n);
        sc->c.cbs->on_read(&sc->c, p, n);
        free(p);
    }
}

/* False: there is nothing to tell the process, or never will be. */
static bool conn_accept(struct simconn *sc)
{
    if (sc->closed || (!sc->accepting && !sc->broken && !sc->eof)) {
        return false;
    }
    if (!sc->accepting || sc->broken || sc->listener->closed) {
        conn_end(sc);
        return false;
    }
    sc->accepting = false;
    sc->known = true;
    sc->listener->on_accept(sc->listener->data, &sc->c);
    return true;
}

/* All that has happened to a connection, in order. */
static void conn_callbacks(struct simconn *sc)
{
    sc->in_ready = false;
    if (!sc->known && !conn_accept(sc)) {
        return;
    }
    if (sc->opening && !sc->closed && !sc->broken) {
        sc->opening = false;
        sc->opened = true;
        flush_queue(sc);
        if (sc->c.cbs->on_open != NULL) {
            sc->c.cbs->on_open(&sc->c);
        }
    }
    if (sc->writable && !sc->closed) {
        sc->writable = false;
        flush_queue(sc);
    }
    if (!sc->broken) {
        conn_read(sc);
    }
    if (sc->draining && !sc->closed && !sc->broken) {
        sc->draining = false;
        if (sc->c.cbs->on_drain != NULL) {
            sc->c.cbs->on_drain(&sc->c);
        }
    }
    if (!sc->closed && (sc->broken || (sc->eof && sc->in.n == 0))) {
        int code = sc->broken ? sc->code : 0;

        conn_end(sc);
        sc->c.cbs->on_close(&sc->c, code);
    }
}

static void turn_body(struct simenv *se, void *p)
{
    uint64_t now = env_now_us(&se->e);
    uint64_t next = env_next_us(&se->e);
    size_t n;

    (void)p;
    /* A real loop looks at its timers before it looks at its sockets; it only
     * matters after a pause. */
    if (next != UINT64_MAX && next + TIMERS_LATE_US < now) {
        env_turn(&se->e);
    }
    n = se->in_n; /* what comes in meanwhile is for the next turn */
    for (size_t i = 0; i < n; i++) {
        struct in_item it = se->inbox[i];

        if (it.kind == IN_WORK) {
            struct env_work *w = it.p;

            w->done(w);
        } else if (it.kind == IN_CONN) {
            conn_callbacks(it.p);
        } else {
            it.fn(it.p);
        }
    }
    se->in_n -= n;
    if (se->in_n > 0) {
        memmove(se->inbox, se->inbox + n, se->in_n * sizeof *se->inbox);
    }
    env_turn(&se->e);
}

static void on_turn(struct simenv *se)
{
    struct sim *s = se->s;
    uint64_t cost;
    bool returned;

    se->turn_due = false;
    if (se->dead) {
        return;
    }
    if (s->hosts[se->host].paused || se->flush_due) {
        se->turn_held = true;
        return;
    }
    if (s->now < se->busy_until) {
        kick(se);
        return;
    }
    se->in_turn = true;
    returned = guarded(se, turn_body, NULL);
    se->in_turn = false;
    if (!survived(se, returned)) {
        return;
    }
    cost = disk_cost(se);
    se->busy_until = s->now + TURN_US + cost;
    se->alarm_at = UINT64_MAX;
    op_alarm(&se->e, env_next_us(&se->e));
    if (cost == 0) {
        flush_all(se);
    } else if (se->flush_n > 0) {
        se->flush_due = true;
        push(s, se->busy_until, EV_FLUSH, se, NULL);
    }
    if (se->in_n > 0) {
        kick(se);
    }
}

static void on_flush(struct simenv *se)
{
    if (se->dead) {
        return;
    }
    if (se->s->hosts[se->host].paused) {
        se->flush_held = true;
        return;
    }
    se->flush_due = false;
    flush_all(se);
    if (se->turn_held) {
        se->turn_held = false;
        kick(se);
    }
}

/* ---- the machine ---- */

static void on_rst(struct simconn *sc)
{
    conn_break(sc, HF_EIO);
}

static void on_connect_timeout(struct simconn *sc)
{
    if (!sc->opened && !sc->opening) {
        conn_break(sc, HF_ETIMEOUT);
    }
}

bool sim_step(struct sim *s, uint64_t until_us)
{
    struct ev ev;

    if (s->heap_n == 0 || s->heap[0].at > until_us) {
        s->now = s->now < until_us ? until_us : s->now;
        return false;
    }
    ev = pop(s);
    s->now = ev.at;
    s->events++;
    sim_trace_mix(s, ev.at * 16 + (uint64_t)ev.kind);
    switch (ev.kind) {
        case EV_CALL:
            ev.fn(ev.p);
            break;
        case EV_ALARM:
            on_alarm(ev.p, ev.at);
            break;
        case EV_TURN:
            on_turn(ev.p);
            break;
        case EV_FLUSH:
            on_flush(ev.p);
            break;
        case EV_WORK_RUN:
            on_work_run(ev.p);
            break;
        case EV_WORK_DONE:
            on_work_done(ev.p);
            break;
        case EV_SYN:
            on_syn(ev.p);
            break;
        case EV_CONNECT_TIMEOUT:
            on_connect_timeout(ev.p);
            break;
        case EV_SEG:
            on_seg(ev.p);
            break;
        case EV_RST:
            on_rst(ev.p);
            break;
    }
    return true;
}

static const struct env_ops sim_ops = {
    .now_us = op_now,
    .wall_ms = op_wall,
    .random = op_random,
    .work = op_work,
    .alarm = op_alarm,
    .listen = op_listen,
    .unlisten = op_unlisten,
    .listen_port = op_listen_port,
    .connect = op_connect,
    .write = op_write,
    .pending = op_pending,
    .read_pause = op_read_pause,
    .close = op_close,
};

struct sim *sim_new(uint64_t seed)
{
    struct sim *s = hf_calloc(1, sizeof *s);

    s->rng.s = seed * 0x2545F4914F6CDD1DULL + 99;
    s->now = 1000;
    s->env_tail = &s->envs;
    for (int i = 0; i < SIM_HOSTS; i++) {
        for (int j = 0; j < SIM_HOSTS; j++) {
            s->links[i][j].lat_min_us = 30;
            s->links[i][j].lat_max_us = 100;
        }
    }
    return s;
}

static void env_delete(struct simenv *se)
{
    sim_env_free(&se->e);
    while (se->work != NULL) {
        struct simwork *sw = se->work;

        se->work = sw->next;
        free(sw);
    }
    free(se);
}

void sim_free(struct sim *s)
{
    while (s->envs != NULL) {
        struct simenv *se = s->envs;

        se->dead = true;
        s->envs = se->all_next;
        env_delete(se);
    }
    while (s->conns != NULL) {
        struct simconn *sc = s->conns;

        s->conns = sc->all_next;
        segs_drop(sc);
        buf_release(&sc->in);
        buf_release(&sc->out);
        free(sc);
    }
    while (s->listens != NULL) {
        struct simlisten *l = s->listens;

        s->listens = l->next;
        free(l);
    }
    free(s->heap);
    free(s);
}

void sim_set_disk_ops(struct sim *s, const struct sim_disk_ops *ops)
{
    s->disk = *ops;
}

uint64_t sim_now_us(const struct sim *s)
{
    return s->now;
}

uint64_t sim_trace(const struct sim *s)
{
    return s->trace;
}

uint64_t sim_events(const struct sim *s)
{
    return s->events;
}

struct rng *sim_rng(struct sim *s)
{
    return &s->rng;
}

void sim_at(struct sim *s, uint64_t at_us, void (*fn)(void *data), void *data)
{
    push(s, at_us, EV_CALL, data, fn);
}

int sim_host(struct sim *s, const char *addr)
{
    struct simhost *h = &s->hosts[s->host_n];

    hf_assert(s->host_n < SIM_HOSTS);
    snprintf(h->addr, sizeof h->addr, "%.63s", addr);
    h->used = true;
    h->up = true;
    h->next_port = 20000;
    h->ref_true = s->now;
    h->ref_boot = 1000000 + rng_below(&s->rng, 100000000000ULL);
    return s->host_n++;
}

static void resume(struct simenv *se)
{
    for (struct simwork *sw = se->work; sw != NULL; sw = sw->next) {
        if (sw->state == WORK_HELD) {
            work_start(sw);
        }
    }
    if (se->flush_held) {
        se->flush_held = false;
        push(se->s, se->s->now, EV_FLUSH, se, NULL);
    } else if (se->turn_held && !se->flush_due) {
        se->turn_held = false;
        kick(se);
    }
}

void sim_host_pause(struct sim *s, int host, bool paused)
{
    s->hosts[host].paused = paused;
    for (struct simenv *se = s->envs; se != NULL && !paused;
         se = se->all_next) {
        if (se->host == host && !se->dead) {
            resume(se);
        }
    }
}

bool sim_host_paused(const struct sim *s, int host)
{
    return s->hosts[host].paused;
}

void sim_host_power(struct sim *s, int host, bool up)
{
    struct simhost *h = &s->hosts[host];

    if (up && !h->up) {
        h->ref_true = s->now;
        h->ref_boot = 1000000 + rng_below(&s->rng, 10000000);
    }
    h->up = up;
}

void sim_host_wall_step(struct sim *s, int host, int64_t ms)
{
    s->hosts[host].wall_off_ms += ms;
}

void sim_host_drift(struct sim *s, int host, int ppm)
{
    struct simhost *h = &s->hosts[host];
    uint64_t boot = boot_now(s, host);

    hf_assert(ppm >= -1000 && ppm <= 1000);
    h->ref_true = s->now;
    h->ref_boot = boot;
    h->ppm = ppm;
    for (struct simenv *se = s->envs; se != NULL; se = se->all_next) {
        if (se->host == host && !se->dead) {
            op_alarm(&se->e, env_next_us(&se->e));
        }
    }
}

struct sim_link *sim_link(struct sim *s, int from, int to)
{
    return &s->links[from][to];
}

void sim_link_healed(struct sim *s, int from, int to)
{
    if (s->links[from][to].blocked) {
        return;
    }
    for (struct simconn *sc = s->conns; sc != NULL; sc = sc->all_next) {
        if (sc->held > 0 && sc->peer->host == from && sc->host == to) {
            size_t n = sc->held;

            sc->held = 0;
            credit(sc, n);
        }
    }
}

void sim_reset_conns(struct sim *s, int a, int b)
{
    for (struct simconn *sc = s->conns; sc != NULL; sc = sc->all_next) {
        if (sc->peer != NULL && ((sc->host == a && sc->peer->host == b) ||
                                 (sc->host == b && sc->peer->host == a))) {
            conn_break(sc, HF_EIO);
        }
    }
}

struct env *sim_env_new(struct sim *s,
                        int host,
                        struct disk *disk,
                        void (*on_exit)(void *data, struct env *e, int status),
                        void *data)
{
    struct simenv *se = hf_calloc(1, sizeof *se);

    hf_assert(host >= 0 && host < s->host_n && s->hosts[host].up);
    env_init(&se->e, &sim_ops);
    se->e.disk = disk;
    se->s = s;
    se->id = ++s->env_ids;
    se->host = host;
    se->alarm_at = se->alarm_ev_at = UINT64_MAX;
    se->work_tail = &se->work;
    se->on_exit = on_exit;
    se->exit_data = data;
    *s->env_tail = se;
    s->env_tail = &se->all_next;
    return &se->e;
}

/* The last moments of the worker threads: what was handed to them is done up
 * to a random disk call. */
static void work_last(struct simenv *se)
{
    struct sim *s = se->s;
    struct simwork *sw = se->work;

    if (se->e.disk == NULL || s->disk.dies_after == NULL || disk_dead(se)) {
        return;
    }
    s->disk.dies_after(se->e.disk,
                       rng_below(&s->rng, 1ULL << rng_below(&s->rng, 7)));
    for (; sw != NULL && !disk_dead(se); sw = sw->next) {
        if (sw->state != WORK_RAN) {
            sw->state = WORK_RAN;
            (void)guarded(se, run_fn, sw->w);
        }
    }
}

static void conn_kill(struct simconn *sc, enum sim_kill how)
{
    bool unread = sc->in.n > 0;

    if (how == SIM_POWER_CUT) {
        sc->vanished = true;
    } else if (sc->peer != NULL && !sc->broken) {
        seg_send(sc, unread ? SEG_RST : SEG_FIN, NULL, 0);
    }
    sc->closed = true;
    buf_release(&sc->in);
    buf_release(&sc->out);
}

void sim_env_kill(struct env *e, enum sim_kill how)
{
    struct simenv *se = se_of(e);

    if (se->dead) {
        return;
    }
    hf_assert(se->s->running == NULL);
    se->dead = true;
    work_last(se);
    for (struct simconn *sc = se->conns; sc != NULL; sc = sc->env_next) {
        conn_kill(sc, how);
    }
    se->conns = NULL;
    for (struct simlisten *l = se->s->listens; l != NULL; l = l->next) {
        if (l->env == se) {
            l->closed = true;
        }
    }
}

void sim_env_free(struct env *e)
{
    struct simenv *se = se_of(e);

    hf_assert(se->dead);
    if (!se->freed) {
        se->freed = true;
        env_release(e);
        free(se->inbox);
        free(se->flush);
        se->inbox = NULL;
        se->flush = NULL;
        se->in_n = se->flush_n = 0;
    }
}

bool sim_env_dead(const struct env *e)
{
    return ((const struct simenv *)(const void *)e)->dead;
}

void sim_env_post(struct env *e, void (*fn)(void *data), void *data)
{
    inbox_add(se_of(e), IN_CALL, data, fn);
}

struct sim *sim_of(struct env *e)
{
    return se_of(e)->s;
}

int sim_env_host(const struct env *e)
{
    return ((const struct simenv *)(const void *)e)->host;
}
