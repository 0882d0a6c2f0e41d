/* Client connections over a network in memory, and a node that answers from a
 * machine of its own, at once or when the test says so. Changes are told to
 * the edge as the node does. For tests of what is pushed to clients. */
#ifndef HF_TESTS_UNIT_EDGE_WORLD_H
#define HF_TESTS_UNIT_EDGE_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/assert.h"
#include "server/command/command.h"
#include "server/edge/conn_int.h"
#include "server/node/node.h"
#include "server/store/machine.h"

/* ---- a network in memory ---- */

struct wire {
    struct net_conn net; /* first */
    struct buf unsent;   /* written, not taken by the client */
    struct buf got;      /* taken */
    size_t crossed;      /* unsent when it last crossed 64 KiB; 0: not */
    bool paused;
    bool closed;
    bool deaf; /* the client takes nothing */
};

struct net_listener_mem {
    struct net_listener l;
    void (*on_accept)(void *data, struct net_conn *c);
    void *data;
};

struct world {
    struct env env; /* first */
    uint64_t now_us;
    struct net_listener_mem ports[EDGE_PORTS];
    int n_ports;
    struct edge *edge;
    struct node *node;
    struct wire *wires[64];
    int n_wires;
};

static inline uint64_t mem_now(struct env *e)
{
    return ((struct world *)e)->now_us;
}

static inline uint64_t mem_wall(struct env *e)
{
    return ((struct world *)e)->now_us / 1000;
}

static inline int mem_listen(struct env *e,
                             const char *hostport,
                             void (*on_accept)(void *data, struct net_conn *c),
                             void *data,
                             struct net_listener **out,
                             struct errmsg *em)
{
    struct world *w = (struct world *)e;
    struct net_listener_mem *l = &w->ports[w->n_ports++];

    (void)hostport;
    (void)em;
    *l = (struct net_listener_mem){{e}, on_accept, data};
    *out = &l->l;
    return 0;
}

static inline void mem_unlisten(struct net_listener *l)
{
    (void)l;
}

static inline uint16_t mem_port(struct net_listener *l)
{
    struct world *w = (struct world *)l->env;

    return (uint16_t)(7379 + 1000 * ((struct net_listener_mem *)l - w->ports));
}

static inline void mem_write(struct net_conn *c, const void *p, size_t n)
{
    struct wire *w = (struct wire *)c;
    bool below = w->unsent.n < 65536;

    assert_false(w->closed);
    buf_append(&w->unsent, p, n);
    if (below && w->unsent.n >= 65536) {
        w->crossed = w->unsent.n;
    }
}

static inline size_t mem_pending(const struct net_conn *c)
{
    assert_false(((const struct wire *)c)->closed);
    return ((const struct wire *)c)->unsent.n;
}

static inline void mem_pause(struct net_conn *c, bool paused)
{
    ((struct wire *)c)->paused = paused;
}

static inline void mem_close(struct net_conn *c)
{
    struct wire *w = (struct wire *)c;

    assert_false(w->closed);
    w->closed = true;
}

static const struct env_ops ops = {
    .now_us = mem_now,
    .wall_ms = mem_wall,
    .listen = mem_listen,
    .unlisten = mem_unlisten,
    .listen_port = mem_port,
    .write = mem_write,
    .pending = mem_pending,
    .read_pause = mem_pause,
    .close = mem_close,
};

/* ---- a node that answers ---- */

struct client {
    struct client *next; /* of the node */
    struct node *node;
    struct client_op *head;
    struct client_op *tail;
    void *data;
    struct env_task task;
    bool stale;
    bool hold;
    uint64_t max_age_ms;
};

struct node {
    struct env *env;
    struct machine *m;
    bool loading;           /* the data are still being read */
    struct machine *behind; /* what this node has applied; NULL: all of @m */
    bool held;              /* answers wait */
    bool late;              /* reads are evaluated, and their replies wait */
    bool cut_off;           /* from the leader */
    struct client *changing;
    bool leads;
    bool full;
    uint64_t leaderless_ms;
    const char *leader;
    const char *garbage; /* given instead of replies; NULL: not */
    char kinds[512];     /* of operations run: r w n, R for a stale read */
    size_t n_kinds;
    struct client *clients;
    struct node_hooks hooks;
    struct buf published; /* what the other nodes were told */
};

bool node_is_leader(const struct node *n)
{
    return n->leads;
}

const char *node_leader_cluster_address(const struct node *n)
{
    return n->leader;
}

uint64_t node_leaderless_ms(const struct node *n)
{
    return n->leaderless_ms;
}

void node_set_hooks(struct node *n, const struct node_hooks *h)
{
    n->hooks = h != NULL ? *h : (struct node_hooks){0};
}

void node_set_notify(struct node *n, unsigned classes)
{
    machine_set_notify(n->m, classes);
}

bool node_in_touch(const struct node *n)
{
    return !n->cut_off;
}

void client_set_tracking(struct client *c, bool on)
{
    (void)c;
    (void)on;
}

void node_publish(struct node *n,
                  uint8_t kind,
                  struct bytes channel,
                  struct bytes message)
{
    buf_printf(&n->published, "%d:%.*s:%.*s ", (int)kind, (int)channel.n,
               (const char *)channel.p, (int)message.n,
               (const char *)message.p);
}

struct machine *node_machine(struct node *n)
{
    if (n->loading) {
        return NULL;
    }
    return n->behind != NULL ? n->behind : n->m;
}

bool node_full(const struct node *n)
{
    return n->full;
}

static inline void answer(struct client *c, struct client_op *op)
{
    struct store *s = machine_store(c->node->m);
    struct node *n = c->node;
    struct node_view view = {.version = "test", .node_id = 1};
    struct buf reply = BUF_INIT;
    char kind = 'n';

    if (op->kind == OP_WRITE) {
        kind = 'w';
        n->changing = c;
        store_begin(s);
        command_run(NULL, n->m, blob_bytes(op->command), &reply);
        store_end(s);
        n->changing = NULL;
    } else if (op->kind == OP_READ) {
        kind = c->stale && !op->fresh ? 'R' : 'r';
        command_read(n->m, blob_bytes(op->command), &reply);
    } else {
        admin_run(&view, blob_bytes(op->command), &reply);
    }
    if (n->n_kinds < sizeof n->kinds - 1) {
        n->kinds[n->n_kinds++] = kind;
    }
    if (n->garbage != NULL) {
        buf_clear(&reply);
        buf_append(&reply, n->garbage, strlen(n->garbage));
    }
    op->done(op, buf_bytes(&reply));
    buf_release(&reply);
}

static inline void client_turn(struct env_task *t)
{
    struct client *c = t->data;
    struct client_op *op = c->head;

    if (op == NULL || c->node->held) {
        return;
    }
    if (op->kind == OP_READ && c->node->late) {
        if (op->state != OP_DONE) {
            command_read(c->node->m, blob_bytes(op->command), &op->reply);
            op->state = OP_DONE;
        }
        return;
    }
    c->head = op->next;
    env_defer(c->node->env, &c->task);
    if (op->state == OP_DONE) {
        struct buf reply = op->reply;

        buf_init(&op->reply);
        op->done(op, buf_bytes(&reply));
        buf_release(&reply);
    } else if (op->kind == OP_LOCAL) {
        op->local(op);
    } else {
        answer(c, op);
    }
}

void *client_data(const struct client *c)
{
    return c->data;
}

struct client *client_new(struct node *n, void *data)
{
    struct client *c = hf_calloc(1, sizeof *c);

    c->data = data;
    c->node = n;
    c->next = n->clients;
    n->clients = c;
    env_task_init(&c->task, client_turn, c);
    return c;
}

void client_free(struct client *c, void (*drop)(struct client_op *op))
{
    struct client **at = &c->node->clients;

    while (*at != c) {
        at = &(*at)->next;
    }
    *at = c->next;
    env_undefer(c->node->env, &c->task);
    while (c->head != NULL) {
        struct client_op *op = c->head;

        c->head = op->next;
        buf_release(&op->reply);
        drop(op);
    }
    free(c);
}

void client_submit(struct client *c, struct client_op *op)
{
    op->next = NULL;
    if (c->head == NULL) {
        c->head = op;
    } else {
        c->tail->next = op;
    }
    c->tail = op;
    env_defer(c->node->env, &c->task);
}

void client_hold(struct client *c, bool on)
{
    c->hold = on;
}

bool client_unblock(struct client *c, bool error)
{
    (void)c;
    (void)error;
    return false;
}

void client_set_stale(struct client *c, bool on, uint64_t max_age_ms)
{
    c->stale = on;
    c->max_age_ms = max_age_ms;
}

/* ---- the machine's hooks ---- */

static inline void told_change(void *ctx, enum store_event kind, struct bytes k)
{
    struct node *n = ctx;

    n->hooks.on_change(n->hooks.data, kind, k,
                       n->changing != NULL ? n->changing->data : NULL);
}

static inline void told_notify(void *ctx,
                               enum notify_class class,
                               const char *event,
                               struct bytes key)
{
    struct node *n = ctx;

    n->hooks.on_notify(n->hooks.data, class, event, key);
}

/* Another node's client does it: it is applied here now. */
static inline void settle(struct world *w);
static inline void elsewhere(struct world *w, const char *line);

/* ---- the world ---- */

static inline void world_options(struct world *w, const struct edge_options *o)
{
    struct errmsg em = {{0}};

    memset(w, 0, sizeof *w);
    env_init(&w->env, &ops);
    w->now_us = 1000000;
    w->node = hf_calloc(1, sizeof *w->node);
    w->node->env = &w->env;
    w->node->m = machine_new();
    machine_set_observer(w->node->m,
                         &(struct machine_observer){.ctx = w->node,
                                                    .on_change = told_change,
                                                    .on_notify = told_notify});
    w->node->leads = true;
    w->node->leader = "";
    w->edge = edge_new(&w->env, w->node, o, NULL);
    assert_int_equal(edge_listen(w->edge, EDGE_PLAIN, "x:0", &em), 0);
    assert_int_equal(edge_listen(w->edge, EDGE_CLUSTER, "x:0", &em), 0);
}

static inline void elsewhere(struct world *w, const char *line)
{
    struct bytes argv[8];
    struct buf reply = BUF_INIT;
    struct blob *b;
    int argc = 0;

    for (const char *p = line; *p != 0; p += *p == ' ') {
        size_t n = strcspn(p, " ");

        argv[argc++] = bytes_of(p, n);
        p += n;
    }
    b = command_encode(command_by_name(argv[0]), 0, argv, argc);
    store_begin(machine_store(w->node->m));
    command_run(NULL, w->node->m, blob_bytes(b), &reply);
    store_end(machine_store(w->node->m));
    blob_unref(b);
    buf_release(&reply);
    settle(w);
}

static inline void world_init(struct world *w)
{
    struct edge_options o = EDGE_OPTIONS_DEFAULT;

    world_options(w, &o);
}

static inline void world_release(struct world *w)
{
    edge_free(w->edge);
    env_release(&w->env);
    machine_free(w->node->m);
    buf_release(&w->node->published);
    free(w->node);
    for (int i = 0; i < w->n_wires; i++) {
        assert_true(w->wires[i]->closed);
        buf_release(&w->wires[i]->unsent);
        buf_release(&w->wires[i]->got);
        free(w->wires[i]);
    }
}

static inline void take(struct wire *c, size_t n)
{
    n = n < c->unsent.n ? n : c->unsent.n;
    buf_append(&c->got, c->unsent.p, n);
    buf_consume(&c->unsent, n);
    if (c->crossed != 0 && c->unsent.n < c->crossed / 2) {
        c->crossed = 0;
        c->net.cbs->on_drain(&c->net);
    }
}

static inline void turn(struct world *w)
{
    env_turn(&w->env);
    for (int i = 0; i < w->n_wires; i++) {
        if (!w->wires[i]->closed && !w->wires[i]->deaf) {
            take(w->wires[i], SIZE_MAX);
        }
    }
}

/* Turns until all is quiet; time stands still. */
static inline void settle(struct world *w)
{
    for (int i = 0; i < 20; i++) {
        turn(w);
        while (w->env.tasks_head != NULL || env_next_us(&w->env) <= w->now_us) {
            turn(w);
        }
    }
}

/* ... and a little later. */
static inline void later(struct world *w)
{
    settle(w);
    w->now_us += 10000;
    settle(w);
}

static inline struct wire *dial(struct world *w, enum edge_port port)
{
    struct wire *c = hf_calloc(1, sizeof *c);

    c->net.env = &w->env;
    snprintf(c->net.remote, sizeof c->net.remote, "peer:%d", w->n_wires);
    w->wires[w->n_wires++] = c;
    w->ports[port].on_accept(w->ports[port].data, &c->net);
    return c;
}

/* Bytes reach the server. What a paused socket gets waits in the kernel: the
 * tests that care look at @paused. */
static inline void bytes_in(struct wire *c, const void *p, size_t n)
{
    if (!c->closed) {
        c->net.cbs->on_read(&c->net, p, n);
    }
}

static inline void send_text(struct wire *c, const char *s)
{
    bytes_in(c, s, strlen(s));
}

static inline void hang_up(struct wire *c)
{
    const struct net_conn_cbs *cbs = c->net.cbs;

    c->closed = true;
    cbs->on_close(&c->net, 0);
}

/* What the client has got so far, line ends as spaces; then forgotten. */
static const char *got(struct wire *c)
{
    static char text[1 << 16];
    size_t n = 0;

    for (size_t i = 0; i < c->got.n && n < sizeof text - 1; i++) {
        if (c->got.p[i] != '\r') {
            text[n++] = c->got.p[i] == '\n' ? ' ' : (char)c->got.p[i];
        }
    }
    text[n - (n > 0)] = 0;
    buf_clear(&c->got);
    return text;
}

/* Send inline commands, a line each, and compare all replies. */
static inline void expect(struct world *w,
                          struct wire *c,
                          const char *commands,
                          const char *replies)
{
    const char *text;

    send_text(c, commands);
    settle(w);
    text = got(c);
    if (strcmp(text, replies) != 0) {
        fail_msg("%s\n  gave %s\n  not  %s", commands, text, replies);
    }
}

/* The node answers again. */
static inline void unhold(struct world *w)
{
    w->node->held = false;
    w->node->late = false;
    for (struct client *c = w->node->clients; c != NULL; c = c->next) {
        env_defer(&w->env, &c->task);
    }
    settle(w);
}

static inline void expect_got(struct wire *c, const char *want)
{
    assert_string_equal(got(c), want);
}

#endif
