/* The peer transport on loopback sockets: several nodes, a proxy that can
 * swallow or spoil bytes, and a puppet that speaks the protocol by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/crc32c.h"
#include "raftio/peer.h"
#include "raftio/peer_frame.h"
#include "server/edge/env_uv.h"
#include "tests/unit/own_time.h"

enum { NODES = 3, SILENCE_MS = 200, LEGS_MAX = 64 };

struct node {
    struct world *w;
    struct peer_net *p;
    struct peer_ident self;
    char addr[LIM_ADDR];
    int messages, anons, ups, downs, refused, refused_by_us, dead, moves;
    uint64_t last_from;
    uint8_t last_type;
    struct blob *last; /* the latest message */
    uint8_t order[64]; /* types as they came */
    char reason[PEER_REASON_MAX];
    char moved_to[LIM_ADDR];
    struct peer_anon *held;
    bool hold;
};

struct world {
    struct env_uv *u;
    struct env *e;
    struct own_time time;
    struct node n[NODES];
    struct logger log;
    int lines;
    char last_line[512];
    struct env_timer poll;
    bool (*cond)(struct world *w);
    uint64_t until_us;
};

/* ---- running ---- */

static void poll_cb(struct env_timer *t)
{
    struct world *w = t->data;

    if ((w->cond != NULL && w->cond(w)) || env_now_us(w->e) >= w->until_us) {
        env_uv_stop(w->u);
        return;
    }
    env_timer_start(w->e, t, env_now_us(w->e) + 1000);
}

static bool run_until(struct world *w,
                      bool (*cond)(struct world *w),
                      uint32_t ms)
{
    w->cond = cond;
    w->until_us = env_now_us(w->e) + ms * 1000ULL;
    env_timer_start(w->e, &w->poll, env_now_us(w->e));
    env_uv_run(w->u);
    return cond != NULL && cond(w);
}

static void run_ms(struct world *w, uint32_t ms)
{
    (void)run_until(w, NULL, ms);
}

/* ---- nodes ---- */

static void on_message(void *data,
                       uint64_t from,
                       uint8_t type,
                       struct blob *payload)
{
    struct node *n = data;

    n->order[n->messages % 64] = type;
    n->messages++;
    n->last_from = from;
    n->last_type = type;
    blob_unref(n->last);
    n->last = blob_ref(payload);
}

static void on_anon(void *data,
                    struct peer_anon *h,
                    const struct peer_ident *who,
                    uint8_t type,
                    struct blob *payload)
{
    struct node *n = data;
    char answer[300];

    n->anons++;
    if (n->hold) {
        n->held = h;
        return;
    }
    snprintf(answer, sizeof answer, "%s asks %.*s", who->addr, (int)payload->n,
             (const char *)payload->d);
    peer_anon_reply(h, (uint8_t)(type + 1), bytes_str(answer));
}

static void on_up(void *data, uint64_t id)
{
    (void)id;
    ((struct node *)data)->ups++;
}

static void on_down(void *data, uint64_t id)
{
    (void)id;
    ((struct node *)data)->downs++;
}

static void on_refused_connect(void *data, uint64_t id)
{
    (void)id;
    ((struct node *)data)->dead++;
}

static void on_moved(void *data, uint64_t id, const char *addr)
{
    struct node *n = data;

    (void)id;
    n->moves++;
    snprintf(n->moved_to, sizeof n->moved_to, "%s", addr);
}

static void on_refused(void *data, uint64_t id, bool by_us, const char *reason)
{
    struct node *n = data;

    (void)id;
    n->refused++;
    n->refused_by_us += by_us ? 1 : 0;
    snprintf(n->reason, sizeof n->reason, "%s", reason);
}

static const struct peer_cbs cbs = {
    .on_message = on_message,
    .on_anon = on_anon,
    .on_up = on_up,
    .on_down = on_down,
    .on_refused_connect = on_refused_connect,
    .on_moved = on_moved,
    .on_refused = on_refused,
};

static void node_start(struct node *n)
{
    struct peer_config c = {.env = n->w->e,
                            .log = &n->w->log,
                            .self = n->self,
                            .silence_ms = SILENCE_MS,
                            .cbs = &cbs,
                            .data = n};
    struct errmsg em = {{0}};

    n->p = peer_new(&c);
    assert_int_equal(
        peer_listen(n->p, n->addr[0] != '\0' ? n->addr : "127.0.0.1:0", &em),
        0);
    snprintf(n->addr, sizeof n->addr, "127.0.0.1:%u", peer_port(n->p));
    snprintf(n->self.addr, sizeof n->self.addr, "%s", n->addr);
    peer_set_self(n->p, &n->self);
}

static void node_stop(struct node *n)
{
    if (n->p != NULL) {
        peer_free(n->p);
        n->p = NULL;
    }
}

static void meets(struct node *a, const struct node *b, const char *addr)
{
    struct peer_member m = {.id = b->self.node_id};

    snprintf(m.addr, sizeof m.addr, "%s", addr != NULL ? addr : b->addr);
    peer_set_members(a->p, &m, 1);
}

static void line_cb(struct logger *l, enum log_level level, const char *text)
{
    struct world *w = l->data;

    if (level >= LOG_WARN) {
        w->lines++;
        snprintf(w->last_line, sizeof w->last_line, "%s", text);
    }
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);

    assert_int_equal(env_uv_new(&w->u, NULL), 0);
    w->e = env_uv_env(w->u);
    own_time_init(&w->time, w->e);
    w->log = (struct logger){.level = LOG_DEBUG, .line = line_cb, .data = w};
    env_timer_init(&w->poll, poll_cb, w);
    for (int i = 0; i < NODES; i++) {
        struct node *n = &w->n[i];

        n->w = w;
        memset(n->self.cluster_id, 7, PEER_ID_BYTES);
        memset(n->self.dir_id, 'a' + i, PEER_ID_BYTES);
        n->self.node_id = (uint64_t)i + 1;
        node_start(n);
    }
    *state = w;
    return 0;
}

static void leftovers(void);

static int teardown(void **state)
{
    struct world *w = *state;

    leftovers();
    for (int i = 0; i < NODES; i++) {
        node_stop(&w->n[i]);
        blob_unref(w->n[i].last);
    }
    env_timer_stop(w->e, &w->poll);
    env_uv_free(w->u);
    free(w);
    return 0;
}

/* Payload of @n bytes that a misplaced piece would change. */
static struct blob *pattern(size_t n)
{
    struct blob *b = blob_new(n);

    for (size_t i = 0; i < n; i++) {
        b->d[i] = (uint8_t)(i * 13 + i / 251);
    }
    return b;
}

static bool say(struct node *from,
                struct node *to,
                enum peer_class c,
                uint8_t type,
                struct bytes b)
{
    return peer_send(from->p, to->self.node_id, c, type, b, NULL, 0);
}

static bool one_up(struct world *w)
{
    return w->n[0].ups >= 1;
}
static bool one_up_twice(struct world *w)
{
    return w->n[0].ups >= 2;
}
static bool one_down(struct world *w)
{
    return w->n[0].downs >= 1;
}
static bool two_heard(struct world *w)
{
    return w->n[1].messages >= 1;
}
static bool two_heard_two(struct world *w)
{
    return w->n[1].messages >= 2;
}
static bool one_refused(struct world *w)
{
    return w->n[0].refused >= 1;
}
static bool both_refused(struct world *w)
{
    return w->n[0].refused >= 1 && w->n[1].refused >= 1;
}

/* ---- a proxy between node 0 and whoever it dials ---- */

struct proxy {
    struct world *w;
    struct net_listener *l;
    char addr[LIM_ADDR];
    const char *to;
    struct leg {
        struct proxy *x;
        struct net_conn *c[2]; /* accepted, dialled */
        bool swallow, hold, hold_back;
        struct buf held;      /* toward the dialled side */
        struct buf held_back; /* toward the accepted side */
    } legs[LEGS_MAX];
    int n;
    struct buf tape; /* all that the first leg carried to the dialled side */
    size_t flip_at;  /* spoil that byte of it; 0: none */
    int dumb_from, dumb_to; /* these legs swallow from the beginning */
};

static void proxy_read(struct net_conn *c, const uint8_t *p, size_t n)
{
    struct leg *g = c->data;
    struct net_conn *other = g->c[0] == c ? g->c[1] : g->c[0];
    uint8_t *copy;

    if (g->swallow || other == NULL) {
        return;
    }
    copy = hf_malloc(n);
    memcpy(copy, p, n);
    if (c == g->c[0] && g == &g->x->legs[0]) {
        size_t at = g->x->tape.n;

        if (g->x->flip_at > at && g->x->flip_at - at <= n) {
            copy[g->x->flip_at - at - 1] ^= 0x20;
        }
        buf_append(&g->x->tape, p, n);
    }
    if (g->hold && c == g->c[0]) {
        buf_append(&g->held, copy, n);
    } else if (g->hold_back && c == g->c[1]) {
        buf_append(&g->held_back, copy, n);
    } else {
        net_write(other, copy, n);
    }
    free(copy);
}

static void proxy_close(struct net_conn *c, int code)
{
    struct leg *g = c->data;
    int i = g->c[0] == c ? 0 : 1;

    (void)code;
    g->c[i] = NULL;
    if (!g->hold && g->c[1 - i] != NULL) {
        net_close(g->c[1 - i]);
        g->c[1 - i] = NULL;
    }
}

static const struct net_conn_cbs proxy_cbs = {
    .on_read = proxy_read,
    .on_close = proxy_close,
};

static void proxy_accept(void *data, struct net_conn *c)
{
    struct proxy *x = data;
    struct leg *g;

    if (x->n == LEGS_MAX) {
        net_close(c);
        return;
    }
    g = &x->legs[x->n++];
    g->x = x;
    g->swallow = x->n > x->dumb_from && x->n <= x->dumb_to;
    g->c[0] = c;
    g->c[1] = net_connect(x->w->e, x->to, NULL);
    for (int i = 0; i < 2; i++) {
        g->c[i]->cbs = &proxy_cbs;
        g->c[i]->data = g;
    }
}

static struct proxy *live_proxy; /* a failed test leaves it to teardown */

static void proxy_start(struct proxy *x, struct world *w, const char *to)
{
    memset(x, 0, sizeof *x);
    live_proxy = x;
    x->w = w;
    x->to = to;
    assert_int_equal(
        net_listen(w->e, "127.0.0.1:0", proxy_accept, x, &x->l, NULL), 0);
    snprintf(x->addr, sizeof x->addr, "127.0.0.1:%u", net_listen_port(x->l));
}

static void proxy_stop(struct proxy *x)
{
    for (int i = 0; i < x->n; i++) {
        for (int k = 0; k < 2; k++) {
            if (x->legs[i].c[k] != NULL) {
                net_close(x->legs[i].c[k]);
            }
        }
        buf_release(&x->legs[i].held);
        buf_release(&x->legs[i].held_back);
    }
    net_unlisten(x->l);
    buf_release(&x->tape);
    live_proxy = NULL;
}

/* ---- a puppet: raw connection to node 1 that can play node 0 ---- */

struct puppet {
    struct world *w;
    struct net_conn *c;
    bool open, closed;
    struct buf in;
    uint64_t seq;
    uint32_t salt;
};

static struct puppet pup;

static void pup_open(struct net_conn *c)
{
    (void)c;
    pup.open = true;
}

static void pup_read(struct net_conn *c, const uint8_t *p, size_t n)
{
    (void)c;
    buf_append(&pup.in, p, n);
}

static void pup_close(struct net_conn *c, int code)
{
    (void)c;
    (void)code;
    pup.c = NULL;
    pup.closed = true;
}

static const struct net_conn_cbs pup_cbs = {
    .on_open = pup_open,
    .on_read = pup_read,
    .on_close = pup_close,
};

static bool pup_is_open(struct world *w)
{
    (void)w;
    return pup.open;
}

static bool pup_is_closed(struct world *w)
{
    (void)w;
    return pup.closed;
}

static bool pup_has_frame(struct world *w)
{
    (void)w;
    return pup.in.n >= FRAME_HEADER;
}

static void pup_dial(struct world *w, const char *addr)
{
    memset(&pup, 0, sizeof pup);
    pup.w = w;
    pup.c = net_connect(w->e, addr, NULL);
    pup.c->cbs = &pup_cbs;
    assert_true(run_until(w, pup_is_open, 1000));
}

static void pup_end(void)
{
    if (pup.c != NULL) {
        net_close(pup.c);
        pup.c = NULL;
    }
    buf_release(&pup.in);
}

static void pup_frame(struct frame f, struct bytes payload, bool bad_crc)
{
    uint8_t head[FRAME_HEADER];

    f.payload_len = (uint32_t)payload.n;
    f.payload_crc = crc32c(0, payload.p, payload.n) ^ (bad_crc ? 1 : 0);
    f.seq += ++pup.seq;
    frame_encode(head, &f, pup.salt);
    net_write(pup.c, head, sizeof head);
    net_write(pup.c, payload.p, payload.n);
}

static void pup_hello(const struct hello *h)
{
    struct buf b = BUF_INIT;

    hello_encode(&b, h);
    pup_frame((struct frame){.kind = FRAME_HELLO}, buf_bytes(&b), false);
    buf_release(&b);
}

/* Full handshake with node 1 in the name of node 0. */
static void pup_member(struct world *w)
{
    struct hello h = {
        .version_min = 1, .version_max = 1, .who = w->n[0].self, .nonce = 99};
    struct hello other;
    struct frame f;

    node_stop(&w->n[0]); /* else it would take its connection back */
    pup_dial(w, w->n[1].addr);
    pup_hello(&h);
    assert_true(run_until(w, pup_has_frame, 1000));
    assert_int_equal(frame_decode(buf_bytes(&pup.in), 0, &f), 0);
    assert_int_equal(f.kind, FRAME_WELCOME);
    assert_int_equal(
        hello_decode(bytes_of(pup.in.p + FRAME_HEADER, f.payload_len), &other),
        0);
    pup.salt = frame_salt(99, other.nonce, false);
    pup_frame((struct frame){.kind = FRAME_READY}, bytes_of(NULL, 0), false);
}

static void leftovers(void)
{
    pup_end();
    if (live_proxy != NULL) {
        proxy_stop(live_proxy);
    }
}

/* ---- frames and handshake, pure ---- */

static size_t make_frame(uint8_t out[256])
{
    struct frame f = {.payload_len = 100,
                      .kind = FRAME_MSG,
                      .class = PEER_BULK,
                      .type = 9,
                      .flags = FRAME_FIRST,
                      .seq = 77,
                      .message_len = 1000};

    for (size_t i = 0; i < 100; i++) {
        out[FRAME_HEADER + i] = (uint8_t)(i * 3);
    }
    f.payload_crc = crc32c(0, out + FRAME_HEADER, 100);
    frame_encode(out, &f, 5);
    return FRAME_HEADER + 100;
}

/* A frame is read as it was written. */
static void frame_round_trip(void **state)
{
    uint8_t b[256];
    size_t n = make_frame(b);
    struct frame f;

    (void)state;
    assert_int_equal(frame_decode(bytes_of(b, n), 5, &f), 0);
    assert_int_equal(f.kind, FRAME_MSG);
    assert_int_equal(f.class, PEER_BULK);
    assert_int_equal(f.type, 9);
    assert_int_equal(f.flags, FRAME_FIRST);
    assert_int_equal(f.seq, 77);
    assert_int_equal(f.message_len, 1000);
    assert_int_equal(f.payload_len, 100);
}

/* Whichever byte changes, or with another salt, the frame is refused. */
static void frame_flipped(void **state)
{
    uint8_t b[256];
    size_t n = make_frame(b);
    struct frame f;

    (void)state;
    for (size_t i = 0; i < n; i++) {
        b[i] ^= 0x40;
        assert_int_equal(frame_decode(bytes_of(b, n), 5, &f), HF_ECORRUPT);
        b[i] ^= 0x40;
    }
    assert_int_equal(frame_decode(bytes_of(b, n), 6, &f), HF_ECORRUPT);
    assert_int_not_equal(frame_salt(1, 2, true), frame_salt(1, 2, false));
    assert_int_not_equal(frame_salt(1, 2, true), frame_salt(1, 3, true));
}

/* Cut anywhere, the frame asks for more. */
static void frame_cut(void **state)
{
    uint8_t b[256];
    size_t n = make_frame(b);
    struct frame f;

    (void)state;
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(frame_decode(bytes_of(b, i), 5, &f), HF_EAGAIN);
    }
}

static struct hello make_hello(void)
{
    struct hello h = {.version_min = 1,
                      .version_max = 1,
                      .purpose = HELLO_QUESTION,
                      .expected_id = 4,
                      .nonce = 0x1122334455667788,
                      .features = 3};

    memset(h.who.cluster_id, 1, PEER_ID_BYTES);
    memset(h.who.dir_id, 2, PEER_ID_BYTES);
    h.who.node_id = 6;
    snprintf(h.who.addr, sizeof h.who.addr, "node-6:17379");
    return h;
}

/* A handshake is read as it was written, later versions' additions or not;
 * cut short it is refused. */
static void hello_round_trip(void **state)
{
    struct hello h = make_hello();
    struct hello got;
    struct buf b = BUF_INIT;

    (void)state;
    hello_encode(&b, &h);
    for (size_t i = 0; i < b.n; i++) {
        assert_int_equal(hello_decode(bytes_of(b.p, i), &got), HF_ECORRUPT);
    }
    buf_append(&b, "more", 4);
    memset(&got, 0, sizeof got);
    assert_int_equal(hello_decode(buf_bytes(&b), &got), 0);
    assert_int_equal(got.purpose, HELLO_QUESTION);
    assert_int_equal(got.who.node_id, 6);
    assert_int_equal(got.expected_id, 4);
    assert_int_equal(got.nonce, h.nonce);
    assert_int_equal(got.features, 3);
    assert_string_equal(got.who.addr, "node-6:17379");
    buf_release(&b);
}

/* A version range that does not meet ours is told apart from garbage. */
static void hello_versions(void **state)
{
    struct hello h = make_hello();
    struct hello got = {0};
    struct buf b = BUF_INIT;

    (void)state;
    h.version_min = 2;
    h.version_max = 9;
    hello_encode(&b, &h);
    assert_int_equal(hello_decode(buf_bytes(&b), &got), HF_EVERSION);
    assert_int_equal(got.version_max, 9);
    buf_clear(&b);
    h.version_min = 1;
    hello_encode(&b, &h);
    assert_int_equal(hello_decode(buf_bytes(&b), &got), 0);
    buf_release(&b);
}

/* Who may talk to whom: one row per rule. */
static void who_is_refused(void **state)
{
    struct peer_ident self = {.node_id = 1};
    struct hello h = make_hello();
    uint8_t pin[PEER_ID_BYTES];
    char r[PEER_REASON_MAX];

    (void)state;
    memset(self.cluster_id, 1, PEER_ID_BYTES);
    memset(self.dir_id, 9, PEER_ID_BYTES);
    memset(pin, 2, sizeof pin);
    h.expected_id = 1;
    assert_null(hello_refusal(&self, &h, 6, pin, r));
    assert_null(hello_refusal(&self, &h, 0, NULL, r));
    assert_non_null(hello_refusal(&self, &h, 5, pin, r));
    assert_non_null(strstr(r, "node 6 answered for node 5"));
    h.expected_id = 2;
    assert_non_null(hello_refusal(&self, &h, 6, pin, r));
    assert_non_null(strstr(r, "here is node 1, not node 2"));
    h.expected_id = 0;
    pin[3] = 0;
    assert_non_null(hello_refusal(&self, &h, 6, pin, r));
    assert_non_null(strstr(r, "directory id of node 6"));
    h.who.cluster_id[15] ^= 1;
    assert_non_null(hello_refusal(&self, &h, 6, NULL, r));
    assert_non_null(strstr(r, "cluster id is"));
    h.who.cluster_id[15] ^= 1;
    h.who.node_id = 1;
    assert_non_null(hello_refusal(&self, &h, 0, NULL, r));
    assert_non_null(strstr(r, "already taken"));
    h.who.node_id = 0;
    assert_non_null(hello_refusal(&self, &h, 0, NULL, r));
    h.who.node_id = 6;
    self.node_id = 0;
    assert_non_null(hello_refusal(&self, &h, 0, NULL, r));
}

/* ---- messages ---- */

/* Messages of every size, from several parts, arrive whole. */
static void messages(void **state)
{
    static const size_t sizes[] = {0,     1,      1000,    65503,   65504,
                                   65505, 131008, 1 << 20, 5000001, 20000000};
    struct world *w = *state;
    struct node *a = &w->n[0];
    struct node *b = &w->n[1];

    meets(a, b, NULL);
    assert_true(run_until(w, one_up, 2000));
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct blob *p = pattern(sizes[i]);
        size_t third = sizes[i] / 3;
        struct bytes parts[2] = {
            bytes_of(p->d + third, third),
            bytes_of(p->d + 2 * third, sizes[i] - 2 * third)};

        b->messages = 0;
        assert_true(peer_send(a->p, 2, PEER_BULK, (uint8_t)i,
                              bytes_of(p->d, third), parts, 2));
        assert_true(run_until(w, two_heard, 3000));
        assert_int_equal(b->last_type, i);
        assert_int_equal(b->last_from, 1);
        assert_int_equal(b->last->n, sizes[i]);
        assert_memory_equal(b->last->d, p->d, sizes[i]);
        blob_unref(p);
    }
    assert_int_equal(w->lines, 0);
}

/* A small message does not wait for a large one that was sent before it. */
static void control_overtakes(void **state)
{
    struct world *w = *state;
    struct blob *big = pattern(16 << 20);

    meets(&w->n[0], &w->n[1], NULL);
    assert_true(run_until(w, one_up, 2000));
    assert_true(say(&w->n[0], &w->n[1], PEER_BULK, 1, blob_bytes(big)));
    assert_true(say(&w->n[0], &w->n[1], PEER_CONTROL, 2, bytes_str("beat")));
    assert_true(run_until(w, two_heard_two, 3000));
    assert_int_equal(w->n[1].order[0], 2);
    assert_int_equal(w->n[1].order[1], 1);
    assert_memory_equal(w->n[1].last->d, big->d, big->n);
    blob_unref(big);
}

/* Messages of one class keep their order. */
static void order_kept(void **state)
{
    struct world *w = *state;
    struct blob *big = pattern(300000);

    meets(&w->n[0], &w->n[1], NULL);
    assert_true(run_until(w, one_up, 2000));
    for (uint8_t i = 0; i < 50; i++) {
        struct bytes b = i % 7 == 0 ? blob_bytes(big) : bytes_str("x");

        assert_true(say(&w->n[0], &w->n[1], PEER_BULK, i, b));
    }
    run_ms(w, 300);
    assert_int_equal(w->n[1].messages, 50);
    for (uint8_t i = 0; i < 50; i++) {
        assert_int_equal(w->n[1].order[i], i);
    }
    blob_unref(big);
}

/* The queue to a peer that reads nothing is bounded, in both classes; what
 * is beyond is dropped and counted. */
static void queues_bounded(void **state)
{
    struct world *w = *state;
    struct blob *part = pattern(1 << 20);
    struct peer_stats st;
    int taken = 0;

    meets(&w->n[0], &w->n[1], NULL);
    assert_true(run_until(w, one_up, 2000));
    while (taken < 100 &&
           say(&w->n[0], &w->n[1], PEER_BULK, 1, blob_bytes(part))) {
        taken++;
    }
    assert_in_range(taken, PEER_BULK_MAX / (1 << 20),
                    PEER_BULK_MAX / (1 << 20) + 2);
    assert_true(peer_bulk_pending(w->n[0].p, 2) <= PEER_BULK_MAX);
    taken = 0;
    while (taken < 1000 &&
           say(&w->n[0], &w->n[1], PEER_CONTROL, 1, bytes_of(part->d, 10000))) {
        taken++;
    }
    assert_in_range(taken, 50, 150);
    assert_int_equal(peer_stats(w->n[0].p, &st, 1), 1);
    assert_int_equal(st.dropped, 2);
    blob_unref(part);
}

/* Nothing is taken for a peer that is not connected. */
static void not_up(void **state)
{
    struct world *w = *state;

    assert_false(say(&w->n[0], &w->n[1], PEER_CONTROL, 1, bytes_str("x")));
    meets(&w->n[0], &w->n[1], NULL);
    assert_false(say(&w->n[0], &w->n[1], PEER_CONTROL, 1, bytes_str("x")));
    assert_false(peer_is_up(w->n[0].p, 2));
}

/* ---- identity ---- */

static bool nothing_up(const struct world *w)
{
    return w->n[0].ups == 0 && w->n[1].ups == 0 && w->n[1].messages == 0;
}

/* Nodes of two clusters refuse each other, both with the reason, said once
 * however often they redial. */
static void other_cluster(void **state)
{
    struct world *w = *state;

    w->n[1].self.cluster_id[0] ^= 1;
    peer_set_self(w->n[1].p, &w->n[1].self);
    meets(&w->n[0], &w->n[1], NULL);
    assert_true(run_until(w, both_refused, 2000));
    run_ms(w, 1000);
    assert_true(nothing_up(w));
    assert_int_equal(w->n[0].refused, 1);
    assert_int_equal(w->n[1].refused, 1);
    assert_int_equal(w->n[1].refused_by_us, 1);
    assert_int_equal(w->n[0].refused_by_us, 0);
    assert_non_null(strstr(w->n[0].reason, "cluster id"));
    assert_non_null(strstr(w->n[1].reason, "cluster id"));
    assert_int_equal(w->lines, 2);
}

/* The node behind an address is another one than its record says. */
static void other_node(void **state)
{
    struct world *w = *state;
    struct peer_member m = {.id = 3};

    snprintf(m.addr, sizeof m.addr, "%s", w->n[1].addr);
    peer_set_members(w->n[0].p, &m, 1);
    assert_true(run_until(w, one_refused, 2000));
    assert_non_null(strstr(w->n[0].reason, "node 2, not node 3"));
    assert_true(nothing_up(w));
}

/* A record's directory id that is not the node's is refused. */
static void other_directory(void **state)
{
    struct world *w = *state;
    struct peer_member m = {.id = 2};

    snprintf(m.addr, sizeof m.addr, "%s", w->n[1].addr);
    memset(m.dir_id, 0x55, PEER_ID_BYTES);
    peer_set_members(w->n[0].p, &m, 1);
    assert_true(run_until(w, both_refused, 2000));
    assert_non_null(strstr(w->n[1].reason, "directory id"));
    assert_true(nothing_up(w));
}

/* While a node is connected, another directory under its id is refused and
 * the first one goes on undisturbed. */
static void live_copy(void **state)
{
    struct world *w = *state;

    meets(&w->n[0], &w->n[1], NULL);
    assert_true(run_until(w, one_up, 2000));
    w->n[2].self.node_id = 1; /* says that it is node 1 */
    peer_set_self(w->n[2].p, &w->n[2].self);
    meets(&w->n[2], &w->n[1], NULL);
    run_ms(w, 300);
    assert_int_equal(w->n[2].ups, 0);
    assert_true(w->n[2].refused >= 1);
    assert_non_null(strstr(w->n[2].reason, "another data directory"));
    assert_int_equal(w->n[0].downs, 0);
    assert_true(say(&w->n[0], &w->n[1], PEER_CONTROL, 1, bytes_str("x")));
    assert_true(run_until(w, two_heard, 1000));
}

/* While a node is connected, a copy of its directory at another address is
 * refused; once the node is gone, that one has moved and is let in. */
static void live_copy_elsewhere(void **state)
{
    struct world *w = *state;

    meets(&w->n[0], &w->n[1], NULL);
    assert_true(run_until(w, one_up, 2000));
    w->n[2].self.node_id = 1; /* says that it is node 1 */
    memcpy(w->n[2].self.dir_id, w->n[0].self.dir_id, PEER_ID_BYTES);
    peer_set_self(w->n[2].p, &w->n[2].self);
    meets(&w->n[2], &w->n[1], NULL);
    run_ms(w, 300);
    assert_int_equal(w->n[2].ups, 0);
    assert_non_null(strstr(w->n[2].reason, "a copy of it"));
    assert_int_equal(w->n[0].downs, 0);
    assert_true(say(&w->n[0], &w->n[1], PEER_CONTROL, 1, bytes_str("x")));
    assert_true(run_until(w, two_heard, 1000));
    node_stop(&w->n[0]);
    run_ms(w, 1500);
    assert_int_equal(w->n[2].ups, 1);
}

/* A node without cluster is no member for anybody. */
static void blank_member(void **state)
{
    struct world *w = *state;

    meets(&w->n[0], &w->n[1], NULL); /* the record still says node 2 */
    w->n[1].self.node_id = 0;
    memset(w->n[1].self.cluster_id, 0, PEER_ID_BYTES);
    peer_set_self(w->n[1].p, &w->n[1].self);
    assert_true(run_until(w, one_refused, 2000));
    assert_non_null(strstr(w->n[0].reason, "no cluster yet"));
    assert_true(nothing_up(w));
}

static bool two_moved(struct world *w)
{
    return w->n[1].moves > 0;
}

/* A known node at another address is reported, and dialled there. */
static void moved_node(void **state)
{
    struct world *w = *state;

    meets(&w->n[1], &w->n[0], "127.0.0.1:1"); /* nobody there */
    meets(&w->n[0], &w->n[1], NULL);
    assert_true(run_until(w, two_moved, 2000));
    assert_string_equal(w->n[1].moved_to, w->n[0].addr);
    run_ms(w, 1500);
    assert_int_equal(w->n[1].ups, 1);
    assert_int_equal(w->n[1].moves, 1);
}

static bool two_up(struct world *w)
{
    return w->n[1].ups > 0;
}

/* A node that is in no list but connects is dialled, so that it can be
 * answered: it may be a leader that the log does not know yet. */
static void unknown_leader(void **state)
{
    struct world *w = *state;

    meets(&w->n[0], &w->n[1], NULL);
    assert_true(run_until(w, two_up, 2000));
    assert_true(peer_is_up(w->n[1].p, 1));
    peer_set_members(w->n[0].p, NULL, 0);
    peer_set_members(w->n[1].p, NULL, 0);
    (void)run_until(w, NULL, 100);
    assert_false(peer_is_up(w->n[1].p, 1));
}

/* ---- life of connections ---- */

static bool one_dead(struct world *w)
{
    return w->n[0].dead > 0;
}

/* The process dies: down, then "refused", at once; it comes back: up. */
static void death_and_return(void **state)
{
    struct world *w = *state;
    uint64_t t0;

    meets(&w->n[0], &w->n[1], NULL);
    assert_true(run_until(w, one_up, 2000));
    t0 = env_now_us(w->e);
    node_stop(&w->n[1]);
    assert_true(run_until(w, one_dead, 1000));
    assert_true(env_now_us(w->e) - t0 < 150000);
    assert_int_equal(w->n[0].downs, 1);
    node_start(&w->n[1]);
    assert_true(run_until(w, one_up_twice, 2000));
}

/* Nobody listens at the recorded address, but the node talks to us: it has
 * moved, and is not dead until it is silent, too. */
static void moved_is_not_dead(void **state)
{
    struct world *w = *state;
    static struct proxy x;

    proxy_start(&x, w, w->n[1].addr);
    meets(&w->n[0], &w->n[1], x.addr);
    meets(&w->n[1], &w->n[0], NULL);
    assert_true(run_until(w, two_up, 2000));
    proxy_stop(&x);
    run_ms(w, 4 * PEER_REDIAL_MIN_MS);
    assert_int_equal(w->n[0].downs, 1);
    assert_int_equal(w->n[0].dead, 0);
    node_stop(&w->n[1]);
    assert_true(run_until(w, one_dead, 2000));
}

/* An idle connection stays up for many times the silence. */
static void idle_stays(void **state)
{
    struct world *w = *state;

    meets(&w->n[0], &w->n[1], NULL);
    assert_true(run_until(w, one_up, 2000));
    run_ms(w, 5 * SILENCE_MS);
    assert_int_equal(w->n[0].downs, 0);
    assert_int_equal(w->n[0].ups, 1);
}

/* Node 0 reaches node 1, which says that it lives there, by way of @x alone. */
static void meets_through(struct world *w, struct proxy *x)
{
    proxy_start(x, w, w->n[1].addr);
    snprintf(w->n[1].self.addr, sizeof w->n[1].self.addr, "%s", x->addr);
    peer_set_self(w->n[1].p, &w->n[1].self);
    meets(&w->n[0], &w->n[1], x->addr);
}

/* A wire that swallows everything: the connection is dropped after some
 * silences, and made again when that is possible. */
static void silence(void **state)
{
    struct world *w = *state;
    static struct proxy x;
    uint64_t t0;

    meets_through(w, &x);
    assert_true(run_until(w, one_up, 2000));
    x.legs[0].swallow = true;
    x.dumb_from = 1;
    x.dumb_to = LEGS_MAX;
    t0 = env_now_us(w->e);
    assert_true(run_until(w, one_down, 4 * PEER_SILENCES_MAX * SILENCE_MS));
    assert_in_range((env_now_us(w->e) - t0) / 1000,
                    (PEER_SILENCES_MAX - 1) * SILENCE_MS,
                    (PEER_SILENCES_MAX + 2) * SILENCE_MS);
    x.dumb_to = 0;
    assert_true(run_until(w, one_up_twice, 2000));
    proxy_stop(&x);
}

/* A connection on which nothing comes is kept while others are dialled in
 * vain, and when it speaks again it goes on: nothing is lost. */
static void silent_is_kept(void **state)
{
    struct world *w = *state;
    static struct proxy x;
    struct leg *g = &x.legs[0];

    meets_through(w, &x);
    assert_true(run_until(w, one_up, 2000));
    x.dumb_from = 1;
    x.dumb_to = LEGS_MAX;
    g->hold_back = true;
    run_ms(w, 3 * SILENCE_MS);
    assert_true(x.n > 2); /* it did try */
    g->hold_back = false;
    net_write(g->c[0], g->held_back.p, g->held_back.n);
    run_ms(w, SILENCE_MS);
    assert_int_equal(w->n[0].downs, 0);
    assert_int_equal(w->n[0].ups, 1);
    assert_true(say(&w->n[0], &w->n[1], PEER_CONTROL, 1, bytes_str("x")));
    assert_true(run_until(w, two_heard, 1000));
    proxy_stop(&x);
}

/* When a connection falls silent and another can be made, that one takes its
 * place without a time in between; what is then sent arrives. */
static void new_one_takes_over(void **state)
{
    struct world *w = *state;
    static struct proxy x;

    meets_through(w, &x);
    assert_true(run_until(w, one_up, 2000));
    x.legs[0].hold_back = true;
    assert_true(run_until(w, one_up_twice, 3 * SILENCE_MS));
    assert_int_equal(w->n[0].downs, 0);
    assert_true(say(&w->n[0], &w->n[1], PEER_CONTROL, 1, bytes_str("x")));
    assert_true(run_until(w, two_heard, 1000));
    proxy_stop(&x);
}

/* A dial whose handshake is lost does not hold up the next. */
static void dials_overlap(void **state)
{
    struct world *w = *state;
    static struct proxy x;
    uint64_t t0 = env_now_us(w->e);

    meets_through(w, &x);
    x.dumb_to = 2;
    assert_true(run_until(w, one_up, 2000));
    assert_true(env_now_us(w->e) - t0 < PEER_HANDSHAKE_MS * 1000 / 2);
    assert_true(x.n > 2);
    proxy_stop(&x);
}

/* A node that is heard but does not hear says so: another connection is made,
 * though the old one does not seem to be silent. */
static void deaf_one_says_so(void **state)
{
    struct world *w = *state;
    static struct proxy x;

    meets_through(w, &x);
    assert_true(run_until(w, one_up, 2000));
    run_ms(w, 50);
    x.legs[0].hold = true;
    assert_true(run_until(w, one_up_twice, 2 * SILENCE_MS));
    assert_int_equal(w->n[0].downs, 0);
    proxy_stop(&x);
}

/* A spoiled byte ends the connection with one line; nothing false is
 * delivered and the next connection works. */
static void spoiled_byte(void **state)
{
    struct world *w = *state;
    static struct proxy x;

    proxy_start(&x, w, w->n[1].addr);
    meets(&w->n[0], &w->n[1], x.addr);
    assert_true(run_until(w, one_up, 2000));
    run_ms(w, 5);
    x.flip_at = x.tape.n + FRAME_HEADER + 3; /* of a payload */
    assert_true(say(&w->n[0], &w->n[1], PEER_CONTROL, 1,
                    bytes_str("payload to spoil")));
    assert_true(run_until(w, one_up_twice, 2000));
    assert_int_equal(w->n[1].messages, 0);
    assert_int_equal(peer_bad_connections(w->n[1].p), 1);
    assert_int_equal(w->lines, 1);
    assert_true(say(&w->n[0], &w->n[1], PEER_CONTROL, 1, bytes_str("again")));
    assert_true(run_until(w, two_heard, 1000));
    proxy_stop(&x);
}

/* What an old connection still carries is not delivered once a newer one of
 * the same node is up. */
static void old_connection(void **state)
{
    struct world *w = *state;
    static struct proxy x;
    struct leg *g = &x.legs[0];

    proxy_start(&x, w, w->n[1].addr);
    meets(&w->n[0], &w->n[1], x.addr);
    assert_true(run_until(w, one_up, 2000));
    g->hold = true;
    assert_true(say(&w->n[0], &w->n[1], PEER_CONTROL, 1, bytes_str("old")));
    run_ms(w, 20);
    net_close(g->c[0]); /* node 0 sees the end, node 1 does not */
    g->c[0] = NULL;
    assert_true(run_until(w, one_up_twice, 150));
    assert_true(say(&w->n[0], &w->n[1], PEER_CONTROL, 2, bytes_str("new")));
    assert_true(run_until(w, two_heard, 100));
    if (g->c[1] != NULL) {
        net_write(g->c[1], g->held.p, g->held.n);
    }
    run_ms(w, 50);
    assert_int_equal(w->n[1].messages, 1);
    assert_int_equal(w->n[1].last_type, 2);
    proxy_stop(&x);
}

/* A recorded connection that is played again delivers nothing. */
static void replay(void **state)
{
    struct world *w = *state;
    static struct proxy x;

    proxy_start(&x, w, w->n[1].addr);
    meets(&w->n[0], &w->n[1], x.addr);
    assert_true(run_until(w, one_up, 2000));
    assert_true(say(&w->n[0], &w->n[1], PEER_CONTROL, 1, bytes_str("once")));
    assert_true(run_until(w, two_heard, 1000));
    pup_dial(w, w->n[1].addr);
    net_write(pup.c, x.tape.p, x.tape.n);
    assert_true(run_until(w, pup_is_closed, 1000));
    assert_int_equal(w->n[1].messages, 1);
    assert_int_equal(w->n[0].downs, 0);
    pup_end();
    proxy_stop(&x);
}

/* ---- foreigners ---- */

/* Node 1 works: node 0 can connect and be heard. */
static void unharmed(struct world *w)
{
    w->n[1].messages = 0;
    if (w->n[0].p == NULL) {
        node_start(&w->n[0]);
    }
    if (w->n[0].ups == 0) {
        meets(&w->n[0], &w->n[1], NULL);
        assert_true(run_until(w, one_up, 2000));
    }
    assert_true(say(&w->n[0], &w->n[1], PEER_CONTROL, 1, bytes_str("x")));
    assert_true(run_until(w, two_heard, 1000));
}

/* Garbage, another protocol, and random bytes end the connection with one
 * line each. */
static void garbage(void **state)
{
    static const char get[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    struct world *w = *state;
    uint8_t junk[4096];

    for (int i = 0; i < 5; i++) {
        pup_dial(w, w->n[1].addr);
        if (i == 0) {
            net_write(pup.c, get, sizeof get);
            net_write(pup.c, get, sizeof get);
        } else {
            env_random(w->e, junk, sizeof junk);
            net_write(pup.c, junk, sizeof junk);
        }
        assert_true(run_until(w, pup_is_closed, 1000));
        pup_end();
    }
    assert_int_equal(peer_bad_connections(w->n[1].p), 5);
    assert_int_equal(w->lines, 5);
    unharmed(w);
}

/* Half a handshake and then silence, or silence at once, is closed. */
static void half_handshake(void **state)
{
    struct world *w = *state;
    struct hello h = make_hello();
    struct buf b = BUF_INIT;

    hello_encode(&b, &h);
    pup_dial(w, w->n[1].addr);
    net_write(pup.c, b.p, 20);
    assert_true(run_until(w, pup_is_closed, PEER_HANDSHAKE_MS + 500));
    pup_end();
    pup_dial(w, w->n[1].addr);
    assert_true(run_until(w, pup_is_closed, PEER_HANDSHAKE_MS + 500));
    pup_end();
    buf_release(&b);
    unharmed(w);
}

/* Half a frame kept alive byte by byte is closed in the end. */
static void slow_frame(void **state)
{
    struct world *w = *state;
    uint8_t zero = 0;
    int steps = 0;

    pup_member(w);
    pup_frame((struct frame){.kind = FRAME_MSG,
                             .flags = FRAME_FIRST | FRAME_LAST,
                             .message_len = 1},
              bytes_str("m"), false);
    assert_true(run_until(w, two_heard, 1000));
    while (!pup.closed && steps < 400) {
        if (pup.seq == 3) { /* a header that promises 60000 bytes */
            struct frame f = {.payload_len = 60000,
                              .kind = FRAME_MSG,
                              .flags = FRAME_FIRST | FRAME_LAST,
                              .message_len = 60000,
                              .seq = ++pup.seq};
            uint8_t head[FRAME_HEADER];

            frame_encode(head, &f, pup.salt);
            net_write(pup.c, head, sizeof head);
        }
        net_write(pup.c, &zero, 1);
        w->time.skew_us += 60000;
        run_ms(w, 5);
        steps++;
    }
    assert_true(pup.closed);
    assert_in_range(steps, 100, 250);
    assert_non_null(strstr(w->last_line, "half a frame"));
    pup_end();
    unharmed(w);
}

enum { F = FRAME_FIRST, L = FRAME_LAST };
static const struct broken_rule {
    const char *what;
    struct frame f;
    bool bad_crc;
    bool twice; /* the rule is broken by sending it twice */
} broken_rule_rows[] = {
    {"payload checksum",
     {.kind = FRAME_MSG, .flags = F | L, .message_len = 4},
     true,
     false},
    {"sequence",
     {.kind = FRAME_MSG, .flags = F | L, .message_len = 4, .seq = 5},
     false,
     false},
    {"replayed sequence",
     {.kind = FRAME_MSG, .flags = F | L, .message_len = 4, .seq = (uint64_t)-1},
     false,
     false},
    {"total of one piece",
     {.kind = FRAME_MSG, .flags = F | L, .message_len = 5},
     false,
     false},
    {"too large",
     {.kind = FRAME_MSG,
      .class = PEER_BULK,
      .flags = F,
      .message_len = PEER_MSG_MAX + 1},
     false,
     false},
    {"continuation without a beginning",
     {.kind = FRAME_MSG, .class = PEER_BULK, .flags = L, .message_len = 4},
     false,
     false},
    {"two beginnings",
     {.kind = FRAME_MSG, .class = PEER_BULK, .flags = F, .message_len = 100},
     false,
     true},
    {"longer than it says",
     {.kind = FRAME_MSG, .class = PEER_BULK, .flags = F, .message_len = 2},
     false,
     false},
    {"small one in pieces",
     {.kind = FRAME_MSG, .class = PEER_CONTROL, .flags = F, .message_len = 100},
     false,
     false},
    {"second hello", {.kind = FRAME_HELLO}, false, false},
    {"second ready", {.kind = FRAME_READY}, false, false},
};

/* Every frame that breaks a rule after the handshake ends the connection,
 * and its message is not delivered. */
static void broken_rules(void **state)
{
    const struct broken_rule *rows = broken_rule_rows;
    struct world *w = *state;

    for (size_t i = 0; i < sizeof broken_rule_rows / sizeof *rows; i++) {
        pup_member(w);
        pup_frame(rows[i].f, bytes_str("four"), rows[i].bad_crc);
        if (rows[i].twice) {
            pup_frame(rows[i].f, bytes_str("four"), rows[i].bad_crc);
        }
        if (!run_until(w, pup_is_closed, 150)) {
            fail_msg("not closed: %s", rows[i].what);
        }
        assert_int_equal(w->n[1].messages, 0);
        assert_int_equal(peer_bad_connections(w->n[1].p), i + 1);
        pup_end();
    }
    unharmed(w);
}

/* A flood of bad connections makes a bounded number of lines. */
static void lines_limited(void **state)
{
    struct world *w = *state;

    for (int i = 0; i < 40; i++) {
        pup_dial(w, w->n[1].addr);
        net_write(pup.c, "nonsense nonsense nonsense nonsense", 35);
        assert_true(run_until(w, pup_is_closed, 1000));
        pup_end();
    }
    assert_int_equal(w->lines, PEER_LOG_BURST);
    unharmed(w);
}

/* Mute connections cannot take all places from members. */
static void crowd(void **state)
{
    struct world *w = *state;
    struct net_conn *c[PEER_CONNS_MAX + 8];
    static const struct net_conn_cbs quiet = {.on_read = pup_read};

    for (size_t i = 0; i < PEER_CONNS_MAX + 8; i++) {
        c[i] = net_connect(w->e, w->n[1].addr, NULL);
        c[i]->cbs = &quiet;
    }
    run_ms(w, 30);
    unharmed(w);
    assert_int_equal(w->n[0].ups, 1);
    /* The transport has closed some of them; their pointers are dead. */
    run_ms(w, PEER_HANDSHAKE_MS + 200);
}

/* ---- questions ---- */

struct answer {
    int calls, code;
    uint8_t type;
    uint64_t who;
    char text[400];
    char why[PEER_REASON_MAX];
};

static struct answer got;

static void on_answer(void *data,
                      int code,
                      const struct peer_ident *who,
                      uint8_t type,
                      struct blob *payload,
                      const char *why)
{
    (void)data;
    got.calls++;
    got.code = code;
    got.type = type;
    if (code == 0) {
        got.who = who->node_id;
        snprintf(got.text, sizeof got.text, "%.*s", (int)payload->n,
                 (const char *)payload->d);
    } else {
        snprintf(got.why, sizeof got.why, "%s", why);
    }
}

static bool answered(struct world *w)
{
    (void)w;
    return got.calls > 0;
}

/* A node in no cluster asks one of another cluster and is answered. */
static void question(void **state)
{
    struct world *w = *state;
    char expected[400];

    memset(&got, 0, sizeof got);
    w->n[0].self.node_id = 0;
    memset(w->n[0].self.cluster_id, 0, PEER_ID_BYTES);
    peer_set_self(w->n[0].p, &w->n[0].self);
    peer_ask(w->n[0].p, w->n[1].addr, 20, bytes_str("who leads"), 1000,
             on_answer, NULL);
    assert_int_equal(got.calls, 0);
    assert_true(run_until(w, answered, 1000));
    assert_int_equal(got.code, 0);
    assert_int_equal(got.type, 21);
    assert_int_equal(got.who, 2);
    snprintf(expected, sizeof expected, "%s asks who leads", w->n[0].addr);
    assert_string_equal(got.text, expected);
    run_ms(w, 50);
    assert_int_equal(got.calls, 1);
    assert_int_equal(w->lines, 0);
}

/* Unanswered, refused and impossible questions end with a code and a text,
 * once; a cancelled one never ends. */
static void question_failures(void **state)
{
    struct world *w = *state;
    struct peer_ask *a;

    memset(&got, 0, sizeof got);
    w->n[1].hold = true;
    peer_ask(w->n[0].p, w->n[1].addr, 1, bytes_str("q"), 100, on_answer, NULL);
    assert_true(run_until(w, answered, 1000));
    assert_int_equal(got.code, HF_ETIMEOUT);
    assert_non_null(strstr(got.why, "did not answer"));
    run_ms(w, 20);
    peer_anon_reply(w->n[1].held, 2, bytes_str("too late"));

    got.calls = 0;
    peer_ask(w->n[0].p, "127.0.0.1:1", 1, bytes_str("q"), 1000, on_answer,
             NULL);
    assert_true(run_until(w, answered, 1000));
    assert_int_equal(got.code, HF_ECLOSED);

    got.calls = 0;
    a = peer_ask(w->n[0].p, w->n[1].addr, 1, bytes_str("q"), 1000, on_answer,
                 NULL);
    run_ms(w, 20);
    peer_ask_cancel(a);
    run_ms(w, 20);
    assert_int_equal(got.calls, 0);
    peer_anon_drop(w->n[1].held);
    for (int i = 0; i <= PEER_ASKS_MAX; i++) {
        a = peer_ask(w->n[0].p, w->n[1].addr, 1, bytes_str("q"), 3000,
                     on_answer, NULL);
        w->n[1].hold = false;
    }
    run_ms(w, 200);
    assert_int_equal(got.calls, PEER_ASKS_MAX + 1);
}

/* The transport goes while a question is open: the handle can still be given
 * back. */
static void question_outlives(void **state)
{
    struct world *w = *state;

    memset(&got, 0, sizeof got);
    w->n[1].hold = true;
    peer_ask(w->n[0].p, w->n[1].addr, 1, bytes_str("q"), 1000, on_answer, NULL);
    run_ms(w, 50);
    assert_non_null(w->n[1].held);
    node_stop(&w->n[1]);
    peer_anon_reply(w->n[1].held, 2, bytes_str("late"));
    assert_true(run_until(w, answered, 1000));
    assert_int_equal(got.code, HF_ECLOSED);
}

/* Someone who only asks cannot send messages as a member. */
static void question_only(void **state)
{
    struct world *w = *state;
    struct hello h = {.version_min = 1,
                      .version_max = 1,
                      .purpose = HELLO_QUESTION,
                      .nonce = 99};
    struct hello other;
    struct frame f;

    memset(h.who.dir_id, 3, PEER_ID_BYTES);
    pup_dial(w, w->n[1].addr);
    pup_hello(&h);
    assert_true(run_until(w, pup_has_frame, 1000));
    assert_int_equal(frame_decode(buf_bytes(&pup.in), 0, &f), 0);
    assert_int_equal(
        hello_decode(bytes_of(pup.in.p + FRAME_HEADER, f.payload_len), &other),
        0);
    pup.salt = frame_salt(99, other.nonce, false);
    pup_frame((struct frame){.kind = FRAME_READY}, bytes_of(NULL, 0), false);
    pup_frame((struct frame){.kind = FRAME_MSG,
                             .flags = FRAME_FIRST | FRAME_LAST,
                             .message_len = 4},
              bytes_str("vote"), false);
    run_ms(w, 50);
    assert_int_equal(w->n[1].messages, 0);
    assert_int_equal(w->n[1].anons, 1);
    pup_end();
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frame_round_trip),
        cmocka_unit_test(frame_flipped),
        cmocka_unit_test(frame_cut),
        cmocka_unit_test(hello_round_trip),
        cmocka_unit_test(hello_versions),
        cmocka_unit_test(who_is_refused),
        T(messages),
        T(control_overtakes),
        T(order_kept),
        T(queues_bounded),
        T(not_up),
        T(other_cluster),
        T(other_node),
        T(other_directory),
        T(live_copy),
        T(live_copy_elsewhere),
        T(blank_member),
        T(moved_node),
        T(unknown_leader),
        T(death_and_return),
        T(moved_is_not_dead),
        T(idle_stays),
        T(silence),
        T(silent_is_kept),
        T(new_one_takes_over),
        T(dials_overlap),
        T(deaf_one_says_so),
        T(spoiled_byte),
        T(old_connection),
        T(replay),
        T(garbage),
        T(half_handshake),
        T(slow_frame),
        T(broken_rules),
        T(lines_limited),
        T(crowd),
        T(question),
        T(question_failures),
        T(question_outlives),
        T(question_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
