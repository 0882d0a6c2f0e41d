/* Client connections over a network in memory and a node that answers from a
 * machine of its own, at once or when the test says so. */
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

static uint64_t mem_now(struct env *e)
{
    return ((struct world *)e)->now_us;
}

static uint64_t mem_wall(struct env *e)
{
    return ((struct world *)e)->now_us / 1000;
}

static int mem_listen(struct env *e,
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

static void mem_unlisten(struct net_listener *l)
{
    (void)l;
}

static uint16_t mem_port(struct net_listener *l)
{
    struct world *w = (struct world *)l->env;

    return (uint16_t)(7379 + 1000 * ((struct net_listener_mem *)l - w->ports));
}

static void mem_write(struct net_conn *c, const void *p, size_t n)
{
    struct wire *w = (struct wire *)c;
    bool below = w->unsent.n < 65536;

    assert_false(w->closed);
    buf_append(&w->unsent, p, n);
    if (below && w->unsent.n >= 65536) {
        w->crossed = w->unsent.n;
    }
}

static size_t mem_pending(const struct net_conn *c)
{
    return ((const struct wire *)c)->unsent.n;
}

static void mem_pause(struct net_conn *c, bool paused)
{
    ((struct wire *)c)->paused = paused;
}

static void mem_close(struct net_conn *c)
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
    struct env_task task;
    bool stale;
    bool hold;
    uint64_t max_age_ms;
};

struct node {
    struct env *env;
    struct machine *m;
    struct machine *behind; /* what this node has applied; NULL: all of @m */
    bool held;              /* answers wait */
    bool leads;
    bool full;
    uint64_t leaderless_ms;
    const char *leader;
    const char *garbage; /* given instead of replies; NULL: not */
    char kinds[512];     /* of operations run: r w n, R for a stale read */
    size_t n_kinds;
    struct client *clients;
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
    (void)n;
    (void)h;
}

void node_set_notify(struct node *n, unsigned classes)
{
    (void)n;
    (void)classes;
}

bool node_in_touch(const struct node *n)
{
    (void)n;
    return true;
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
    (void)n;
    (void)kind;
    (void)channel;
    (void)message;
}

struct machine *node_machine(struct node *n)
{
    return n->behind != NULL ? n->behind : n->m;
}

bool node_full(const struct node *n)
{
    return n->full;
}

static void answer(struct client *c, struct client_op *op)
{
    struct store *s = machine_store(c->node->m);
    struct node *n = c->node;
    struct node_view view = {.version = "test", .node_id = 1};
    struct buf reply = BUF_INIT;
    char kind = 'n';

    if (op->kind == OP_WRITE) {
        kind = 'w';
        store_begin(s);
        command_run(NULL, n->m, blob_bytes(op->command), &reply);
        store_end(s);
    } else if (op->kind == OP_READ) {
        kind = c->stale ? 'R' : 'r';
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

static void client_turn(struct env_task *t)
{
    struct client *c = t->data;
    struct client_op *op = c->head;

    if (op == NULL || c->node->held) {
        return;
    }
    c->head = op->next;
    env_defer(c->node->env, &c->task);
    if (op->kind == OP_LOCAL) {
        op->local(op);
    } else {
        answer(c, op);
    }
}

struct client *client_new(struct node *n, void *data)
{
    struct client *c = hf_calloc(1, sizeof *c);

    (void)data;
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

/* ---- the world ---- */

static void world_options(struct world *w, const struct edge_options *o)
{
    struct errmsg em = {{0}};

    memset(w, 0, sizeof *w);
    env_init(&w->env, &ops);
    w->now_us = 1000000;
    w->node = hf_calloc(1, sizeof *w->node);
    w->node->env = &w->env;
    w->node->m = machine_new();
    w->node->leads = true;
    w->node->leader = "";
    w->edge = edge_new(&w->env, w->node, o, NULL);
    assert_int_equal(edge_listen(w->edge, EDGE_PLAIN, "x:0", &em), 0);
    assert_int_equal(edge_listen(w->edge, EDGE_CLUSTER, "x:0", &em), 0);
}

static void world_init(struct world *w)
{
    struct edge_options o = EDGE_OPTIONS_DEFAULT;

    world_options(w, &o);
}

static void world_release(struct world *w)
{
    edge_free(w->edge);
    env_release(&w->env);
    machine_free(w->node->m);
    free(w->node);
    for (int i = 0; i < w->n_wires; i++) {
        assert_true(w->wires[i]->closed);
        buf_release(&w->wires[i]->unsent);
        buf_release(&w->wires[i]->got);
        free(w->wires[i]);
    }
}

static void take(struct wire *c, size_t n)
{
    n = n < c->unsent.n ? n : c->unsent.n;
    buf_append(&c->got, c->unsent.p, n);
    buf_consume(&c->unsent, n);
    if (c->crossed != 0 && c->unsent.n < c->crossed / 2) {
        c->crossed = 0;
        c->net.cbs->on_drain(&c->net);
    }
}

static void turn(struct world *w)
{
    env_turn(&w->env);
    for (int i = 0; i < w->n_wires; i++) {
        if (!w->wires[i]->closed && !w->wires[i]->deaf) {
            take(w->wires[i], SIZE_MAX);
        }
    }
}

/* Turns until all is quiet; time stands still. */
static void settle(struct world *w)
{
    for (int i = 0; i < 20; i++) {
        turn(w);
        while (w->env.tasks_head != NULL || env_next_us(&w->env) <= w->now_us) {
            turn(w);
        }
    }
}

/* ... and a little later. */
static void later(struct world *w)
{
    settle(w);
    w->now_us += 10000;
    settle(w);
}

static struct wire *dial(struct world *w, enum edge_port port)
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
static void bytes_in(struct wire *c, const void *p, size_t n)
{
    if (!c->closed) {
        c->net.cbs->on_read(&c->net, p, n);
    }
}

static void send_text(struct wire *c, const char *s)
{
    bytes_in(c, s, strlen(s));
}

static void hang_up(struct wire *c)
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
static void expect(struct world *w,
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
static void unhold(struct world *w)
{
    w->node->held = false;
    for (struct client *c = w->node->clients; c != NULL; c = c->next) {
        env_defer(&w->env, &c->task);
    }
    settle(w);
}

static void expect_got(struct wire *c, const char *want)
{
    assert_string_equal(got(c), want);
}

/* ---- tests ---- */

/* A pipeline of thousands is answered, all of it, in order. */
static void pipeline(void **state)
{
    struct buf in = BUF_INIT, want = BUF_INIT;
    struct world w;
    struct wire *c;

    (void)state;
    world_init(&w);
    c = dial(&w, EDGE_PLAIN);
    for (int i = 1; i <= 5000; i++) {
        buf_printf(&in, "*2\r\n$4\r\nINCR\r\n$1\r\na\r\nPING %d\r\n", i);
        buf_printf(&want, ":%d\r\n$%d\r\n%d\r\n", i, snprintf(NULL, 0, "%d", i),
                   i);
    }
    bytes_in(c, in.p, in.n);
    settle(&w);
    assert_int_equal(c->got.n, want.n);
    assert_memory_equal(c->got.p, want.p, want.n);
    assert_false(c->paused);
    assert_int_equal(edge_unanswered(w.edge), 0);
    assert_int_equal(edge_counters(w.edge)->commands, 10000);
    buf_release(&in);
    buf_release(&want);
    world_release(&w);
}

static const char mixed[] =
    "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$4\r\nx\ny \r\n"
    "*2\r\n$3\r\nGET\r\n$1\r\na\r\n"
    "PING \"a b\"\r\n\r\n"
    "*0\r\nWATCH a\r\nMULTI\r\n*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n"
    "GET a\nEXEC\r\nHELLO 3\r\nGET none\r\nNOPE\r\n";

static const char mixed_replies[] =
    "+OK $4 x y  $3 a b +OK +OK +QUEUED +QUEUED *2 :1 $4 x y  %7 $6 server "
    "$5 redis $7 version $6 7.0.15 $5 proto :3 $2 id :1 $4 mode $10 "
    "standalone $4 role $6 master $7 modules *0 _ -ERR unknown command "
    "'NOPE', with args beginning with: ";

/* The same bytes in any two pieces give the same replies. */
static void fragments(void **state)
{
    (void)state;
    for (size_t cut = 0; cut < sizeof mixed; cut++) {
        struct world w;
        struct wire *c;

        world_init(&w);
        c = dial(&w, EDGE_PLAIN);
        bytes_in(c, mixed, cut);
        settle(&w);
        bytes_in(c, mixed + cut, sizeof mixed - 1 - cut);
        settle(&w);
        expect_got(c, mixed_replies);
        world_release(&w);
    }
}

/* A byte at a time, too. */
static void byte_by_byte(void **state)
{
    struct world w;
    struct wire *c;

    (void)state;
    world_init(&w);
    c = dial(&w, EDGE_PLAIN);
    for (size_t i = 0; i < sizeof mixed - 1; i++) {
        bytes_in(c, mixed + i, 1);
        settle(&w);
    }
    expect_got(c, mixed_replies);
    world_release(&w);
}

/* What is not the protocol gets its error, then the connection is closed;
 * what was asked before is answered first, and nobody else notices. */
static void protocol_errors(void **state)
{
    static const struct {
        const char *bytes;
        const char *reply;
    } cases[] = {
        {"*1\r\n!3\r\n", "-ERR Protocol error: expected '$', got '!'"},
        {"*x\r\n", "-ERR Protocol error: invalid multibulk length"},
        {"*9999999\r\n", "-ERR Protocol error: invalid multibulk length"},
        {"*1\r\n$-5\r\n", "-ERR Protocol error: invalid bulk length"},
        {"*1\r\n$99999999999\r\n", "-ERR Protocol error: invalid bulk length"},
        {"GET \"a\r\n", "-ERR Protocol error: unbalanced quotes in request"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char want[256];
        struct world w;
        struct wire *good, *bad;

        world_init(&w);
        good = dial(&w, EDGE_PLAIN);
        bad = dial(&w, EDGE_PLAIN);
        w.node->held = true;
        send_text(good, "*2\r\n$4\r\nPI");
        send_text(bad, "SET a 1\r\n");
        send_text(bad, cases[i].bytes);
        send_text(bad, "SET a 2\r\n");
        settle(&w);
        assert_false(bad->closed);
        unhold(&w);
        snprintf(want, sizeof want, "+OK %s", cases[i].reply);
        expect_got(bad, want);
        /* What still comes in is taken, so that the kernel has no reason to
         * send a reset that would destroy the reply. */
        assert_false(bad->paused);
        assert_false(bad->closed);
        for (int k = 0; k < 5; k++) {
            later(&w);
        }
        assert_true(bad->closed);
        send_text(good, "NG\r\n$1\r\nx\r\n");
        expect(&w, good, "GET a\r\n", "$1 x $1 1");
        assert_int_equal(edge_counters(w.edge)->protocol_errors, 1);
        world_release(&w);
    }
}

/* A request that is larger than the limit is refused by its header. */
static void oversize(void **state)
{
    struct edge_options o = EDGE_OPTIONS_DEFAULT;
    struct world w;
    struct wire *c;

    (void)state;
    o.request_max = 1000;
    world_options(&w, &o);
    c = dial(&w, EDGE_PLAIN);
    send_text(c, "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$2000\r\n");
    for (int i = 0; i < 5; i++) {
        later(&w);
    }
    assert_true(c->closed);
    assert_memory_equal(got(c), "-ERR Protocol error", 19);
    world_release(&w);
}

/* What a browser posts is not run: the connection ends at the words that only
 * HTTP has. */
static void http(void **state)
{
    static const char *const heads[] = {"POST / HTTP/1.1\r\n", "post /\r\n",
                                        "host: x\r\n"};

    (void)state;
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        struct world w;
        struct wire *c;

        world_init(&w);
        c = dial(&w, EDGE_PLAIN);
        send_text(c, heads[i]);
        send_text(c, "SET a 1\r\n");
        settle(&w);
        assert_true(c->closed);
        assert_string_equal(got(c), "");
        c = dial(&w, EDGE_PLAIN);
        expect(&w, c, "GET a\r\n", "$-1");
        world_release(&w);
    }
}

/* Half a request, then silence, costs its bytes and nothing else; with an
 * idle timeout it is closed then, and not before. */
static void silence(void **state)
{
    struct edge_options o = EDGE_OPTIONS_DEFAULT;
    struct world w;
    struct wire *c;

    (void)state;
    for (uint32_t timeout = 0; timeout <= 60; timeout += 60) {
        o.idle_timeout_s = timeout;
        world_options(&w, &o);
        c = dial(&w, EDGE_PLAIN);
        send_text(c, "*2\r\n$4\r\nPI");
        w.now_us += 59 * 1000000;
        settle(&w);
        assert_false(c->closed);
        w.now_us += 2 * 1000000;
        settle(&w);
        assert_int_equal(c->closed, timeout != 0);
        world_release(&w);
    }
}

/* An answer of the connection's own does not overtake those of the node. */
static void order(void **state)
{
    struct world w;
    struct wire *c;

    (void)state;
    world_init(&w);
    c = dial(&w, EDGE_PLAIN);
    w.node->held = true;
    expect(&w, c, "SET a 1\r\nPING\r\nHELLO 3\r\nGET b\r\nNOPE\r\nGET\r\n", "");
    unhold(&w);
    expect_got(c,
               "+OK +PONG %7 $6 server $5 redis $7 version $6 7.0.15 "
               "$5 proto :3 $2 id :1 $4 mode $10 standalone $4 role "
               "$6 master $7 modules *0 _ -ERR unknown command 'NOPE', "
               "with args beginning with:  -ERR wrong number of arguments "
               "for 'get' command");
    world_release(&w);
}

/* RESP2 and RESP3 of the same replies. */
static void versions(void **state)
{
    struct world w;
    struct wire *c;

    (void)state;
    world_init(&w);
    c = dial(&w, EDGE_PLAIN);
    expect(&w, c, "GET none\r\n", "$-1");
    expect(&w, c, "MGET none\r\n", "*1 $-1");
    expect(&w, c, "TXN 1 none 7 0\r\n", "*-1");
    expect(&w, c, "CONFIG GET save\r\n", "*2 $4 save $0 ");
    assert_memory_equal((send_text(c, "HELLO 3\r\n"), settle(&w), got(c)), "%7",
                        2);
    expect(&w, c, "GET none\r\n", "_");
    expect(&w, c, "MGET none\r\n", "*1 _");
    expect(&w, c, "TXN 1 none 7 0\r\n", "_");
    expect(&w, c, "CONFIG GET save\r\n", "%1 $4 save $0 ");
    expect(&w, c, "HELLO 4\r\n", "-NOPROTO unsupported protocol version");
    expect(&w, c, "HELLO x\r\n",
           "-ERR Protocol version is not an integer or out of range");
    expect(&w, c, "HELLO 2 WHAT\r\n",
           "-ERR Syntax error in HELLO option 'WHAT'");
    assert_memory_equal(
        (send_text(c, "HELLO 2 SETNAME me\r\n"), settle(&w), got(c)), "*14", 3);
    expect(&w, c, "CLIENT GETNAME\r\n", "$2 me");
    world_release(&w);
}

/* The reply of an EXEC is bounded, whatever it is made of. */
static void exec_reply_is_bounded(void **state)
{
    struct world w;
    struct wire *c;
    size_t one, n;

    (void)state;
    world_init(&w);
    c = dial(&w, EDGE_PLAIN);
    send_text(c, "COMMAND DOCS\r\n");
    settle(&w);
    one = c->got.n;
    n = (size_t)2 * REPLY_MAX / one;
    assert_true(n < MULTI_COMMANDS_MAX);
    buf_clear(&c->got);
    send_text(c, "MULTI\r\n");
    for (size_t i = 0; i < n; i++) {
        send_text(c, "COMMAND DOCS\r\n");
        settle(&w);
    }
    buf_clear(&c->got);
    send_text(c, "EXEC\r\n");
    settle(&w);
    assert_true(c->got.n > REPLY_MAX - one);
    assert_true(c->got.n < REPLY_MAX + 100 * n);
    expect(&w, (buf_clear(&c->got), c), "PING\r\n", "+PONG");
    world_release(&w);
}

/* MULTI keeps commands, EXEC runs them as one, DISCARD forgets them. */
static void transactions(void **state)
{
    struct world w;
    struct wire *c;

    (void)state;
    world_init(&w);
    c = dial(&w, EDGE_PLAIN);
    expect(&w, c, "EXEC\r\n", "-ERR EXEC without MULTI");
    expect(&w, c, "DISCARD\r\n", "-ERR DISCARD without MULTI");
    expect(&w, c, "MULTI\r\nSET a 1\r\nINCR a\r\nGET a\r\nEXEC\r\n",
           "+OK +QUEUED +QUEUED +QUEUED *3 +OK :2 $1 2");
    assert_string_equal(w.node->kinds, "w");
    expect(&w, c, "MULTI\r\nGET a\r\nEXEC\r\n", "+OK +QUEUED *1 $1 2");
    assert_string_equal(w.node->kinds, "wr");
    expect(&w, c, "MULTI\r\nEXEC\r\n", "+OK *0");
    expect(&w, c, "MULTI\r\nMULTI\r\nWATCH a\r\nINCR a\r\nEXEC\r\n",
           "+OK -ERR MULTI calls can not be nested -ERR WATCH inside MULTI is "
           "not allowed +QUEUED *1 :3");
    expect(&w, c, "MULTI\r\nINCR a\r\nDISCARD\r\nGET a\r\n",
           "+OK +QUEUED +OK $1 3");
    expect(&w, c, "MULTI\r\nINCR a\r\nNOPE\r\nEXEC\r\nGET a\r\n",
           "+OK +QUEUED -ERR unknown command 'NOPE', with args beginning "
           "with:  -EXECABORT Transaction discarded because of previous "
           "errors. $1 3");
    expect(&w, c, "MULTI\r\nINCR\r\nEXEC\r\n",
           "+OK -ERR wrong number of arguments for 'incr' command -EXECABORT "
           "Transaction discarded because of previous errors.");
    expect(&w, c, "MULTI\r\nMEMBER TRANSFER\r\nEXEC\r\nGET a\r\n",
           "+OK -ERR Command not allowed inside a transaction -EXECABORT "
           "Transaction discarded because of previous errors. $1 3");
    expect(&w, c, "MULTI\r\nCLIENT HELP\r\nEXEC\r\nGET a\r\n",
           "+OK -ERR Command not allowed inside a transaction -EXECABORT "
           "Transaction discarded because of previous errors. $1 3");
    /* EXEC with words ends its transaction. */
    expect(&w, c, "MULTI\r\nINCR a\r\nEXEC x\r\nGET a\r\nEXEC\r\n",
           "+OK +QUEUED -EXECABORT Transaction discarded because of: wrong "
           "number of arguments for 'exec' command $1 3 -ERR EXEC without "
           "MULTI");
    /* As in Redis: a bad option shows when it runs, and stops nothing. */
    expect(&w, c, "MULTI\r\nSET a 1 BAD\r\nINCR a\r\nEXEC\r\n",
           "+OK +QUEUED +QUEUED *2 -ERR syntax error :4");
    world_release(&w);
}

/* A watched key that changed makes EXEC answer null; one that did not, not. */
static void watching(void **state)
{
    struct world w;
    struct wire *c, *other;

    (void)state;
    world_init(&w);
    c = dial(&w, EDGE_PLAIN);
    other = dial(&w, EDGE_PLAIN);
    expect(&w, c, "WATCH a b\r\nMULTI\r\nSET a 1\r\n", "+OK +OK +QUEUED");
    expect(&w, c, "EXEC\r\n", "*1 +OK");
    expect(&w, c, "WATCH a b\r\nMULTI\r\nSET a 2\r\n", "+OK +OK +QUEUED");
    expect(&w, other, "SET b 9\r\n", "+OK");
    expect(&w, c, "EXEC\r\nGET a\r\n", "*-1 $1 1");
    /* EXEC forgot: the next one is free. */
    expect(&w, c, "MULTI\r\nSET a 3\r\nEXEC\r\n", "+OK +QUEUED *1 +OK");
    expect(&w, c, "WATCH a\r\nUNWATCH\r\n", "+OK +OK");
    expect(&w, other, "SET a 4\r\n", "+OK");
    expect(&w, c, "MULTI\r\nGET a\r\nEXEC\r\n", "+OK +QUEUED *1 $1 4");
    expect(&w, c, "WATCH a\r\nMULTI\r\nDISCARD\r\n", "+OK +OK +OK");
    expect(&w, other, "SET a 5\r\n", "+OK");
    expect(&w, c, "MULTI\r\nGET a\r\nEXEC\r\n", "+OK +QUEUED *1 $1 5");
    world_release(&w);
}

/* An EXEC that arrives together with its WATCH waits for the revisions. */
static void watch_pipelined(void **state)
{
    struct world w;
    struct wire *c;

    (void)state;
    world_init(&w);
    c = dial(&w, EDGE_PLAIN);
    expect(&w, c, "SET a 1\r\n", "+OK");
    w.node->held = true;
    expect(&w, c,
           "WATCH a\r\nMULTI\r\nINCR a\r\nEXEC\r\nWATCH a\r\nSET a 7\r\n"
           "MULTI\r\nGET a\r\nEXEC\r\nGET a\r\n",
           "");
    unhold(&w);
    expect_got(c, "+OK +OK +QUEUED *1 :2 +OK +OK +OK +QUEUED *-1 $1 7");
    world_release(&w);
}

/* UNWATCH before the revisions came: they guard nothing later. */
static void unwatch_early(void **state)
{
    struct world w;
    struct wire *c;

    (void)state;
    world_init(&w);
    c = dial(&w, EDGE_PLAIN);
    w.node->held = true;
    expect(&w, c, "WATCH a\r\nUNWATCH\r\nSET a 1\r\nMULTI\r\nGET a\r\nEXEC\r\n",
           "");
    unhold(&w);
    expect_got(c, "+OK +OK +OK +OK +QUEUED *1 $1 1");
    world_release(&w);
}

/* A transaction that grows too large is refused while it is gathered. */
static void large_transaction(void **state)
{
    struct edge_options o = EDGE_OPTIONS_DEFAULT;
    struct world w;
    struct wire *c;

    (void)state;
    o.request_max = 200;
    world_options(&w, &o);
    c = dial(&w, EDGE_PLAIN);
    expect(&w, c, "MULTI\r\n", "+OK");
    for (int i = 0; i < 10; i++) {
        send_text(c, "SET a 12345678901234567890\r\n");
    }
    settle(&w);
    assert_non_null(strstr(got(c), "-ERR transaction is too large"));
    assert_memory_equal((send_text(c, "EXEC\r\n"), settle(&w), got(c)),
                        "-EXECABORT", 10);
    world_release(&w);
}

/* Watched keys count too: an EXEC is never larger than a request. */
static void large_watch(void **state)
{
    struct edge_options o = EDGE_OPTIONS_DEFAULT;
    struct world w;
    struct wire *c;

    (void)state;
    o.request_max = 200;
    world_options(&w, &o);
    c = dial(&w, EDGE_PLAIN);
    expect(&w, c, "WATCH a b c d e f\r\n", "+OK");
    expect(&w, c, "WATCH g\r\n", "-ERR too many watched keys");
    expect(&w, c, "MULTI\r\nGET a\r\n", "+OK -ERR transaction is too large");
    expect(&w, c, "DISCARD\r\nMULTI\r\nGET a\r\nEXEC\r\n",
           "+OK +OK +QUEUED *1 $-1");
    world_release(&w);
}

/* On the cluster port a follower sends what names a key, or writes, to the
 * leader; after READONLY it serves reads. */
static void moved(void **state)
{
    struct world w;
    struct wire *c, *plain;

    (void)state;
    world_init(&w);
    w.node->leads = false;
    w.node->leader = "[::1]:8380";
    c = dial(&w, EDGE_CLUSTER);
    plain = dial(&w, EDGE_PLAIN);
    expect(&w, plain, "SET foo 1\r\nGET foo\r\n", "+OK $1 1");
    expect(&w, c, "GET foo\r\nSET foo 1\r\nWATCH foo\r\n",
           "-MOVED 12182 ::1:8380 -MOVED 12182 ::1:8380 -MOVED 12182 "
           "::1:8380");
    expect(&w, c, "FLUSHALL\r\nONCE 1 1 SET foo 1\r\n",
           "-MOVED 0 ::1:8380 -MOVED 12182 ::1:8380");
    expect(&w, c, "DBSIZE\r\nPING\r\n", ":1 +PONG");
    expect(&w, c, "MULTI\r\nGET foo\r\nEXEC\r\n",
           "+OK -MOVED 12182 ::1:8380 -EXECABORT Transaction discarded "
           "because of previous errors.");
    expect(&w, c, "READONLY\r\nGET foo\r\nSET foo 2\r\n",
           "+OK $1 1 -MOVED 12182 ::1:8380");
    expect(&w, c, "MULTI\r\nGET foo\r\nEXEC\r\n", "+OK +QUEUED *1 $1 1");
    expect(&w, c, "READWRITE\r\nGET foo\r\n", "+OK -MOVED 12182 ::1:8380");
    /* No leader known: parked like on the plain port. */
    w.node->leader = "";
    w.node->leaderless_ms = ADMIN_ALONE_MS - 1;
    expect(&w, c, "GET foo\r\n", "$1 1");
    /* Cut off for longer than an election takes: the client, which knows of
     * other nodes, is not kept here. One of the plain port may not. */
    w.node->leaderless_ms++;
    expect(&w, c, "GET foo\r\nSET foo 1\r\nDBSIZE\r\n",
           "-CLUSTERDOWN this node knows no leader; ask another one "
           "-CLUSTERDOWN this node knows no leader; ask another one :1");
    expect(&w, c, "READONLY\r\nGET foo\r\nREADWRITE\r\n", "+OK $1 1 +OK");
    expect(&w, plain, "GET foo\r\n", "$1 1");
    w.node->leader = "127.0.0.1:8381";
    w.node->leads = true;
    expect(&w, c, "SET foo 3\r\n", "+OK");
    world_release(&w);
}

/* READONLY is for what comes after it; WATCH stays linearizable. */
static void stale(void **state)
{
    struct world w;
    struct wire *c;

    (void)state;
    world_init(&w);
    c = dial(&w, EDGE_PLAIN);
    w.node->held = true;
    expect(&w, c,
           "GET a\r\nREADONLY MAXAGE 500\r\nGET a\r\nWATCH a\r\nGET a\r\n"
           "READWRITE\r\nGET a\r\n",
           "");
    unhold(&w);
    expect_got(c, "$-1 +OK $-1 +OK $-1 +OK $-1");
    assert_string_equal(w.node->kinds, "rRrRr");
    expect(&w, c, "READONLY MAXAGE 5\r\n", "+OK");
    assert_int_equal(w.node->clients->max_age_ms, 5);
    expect(&w, c, "READONLY MAXAGE 0\r\n",
           "-ERR value is not an integer or out of range");
    expect(&w, c, "READONLY WHAT\r\n", "-ERR syntax error");
    expect(&w, c, "RESET\r\n", "+RESET");
    assert_false(w.node->clients->stale);
    world_release(&w);
}

/* QUIT answers, closes, and nothing after it is begun. */
static void quit(void **state)
{
    struct world w;
    struct wire *c;

    (void)state;
    world_init(&w);
    c = dial(&w, EDGE_PLAIN);
    w.node->held = true;
    send_text(c, "SET a 1\r\nQUIT\r\nSET a 2\r\n");
    settle(&w);
    assert_false(c->closed);
    unhold(&w);
    expect_got(c, "+OK +OK");
    assert_true(c->closed);
    c = dial(&w, EDGE_PLAIN);
    expect(&w, c, "GET a\r\n", "$1 1");
    world_release(&w);
}

/* RESET makes the connection as new. */
static void reset(void **state)
{
    struct world w;
    struct wire *c;

    (void)state;
    world_init(&w);
    c = dial(&w, EDGE_PLAIN);
    send_text(c, "HELLO 3 SETNAME x\r\nWATCH a\r\nMULTI\r\nSET a 1\r\n");
    settle(&w);
    (void)got(c);
    expect(&w, c, "RESET\r\nGET a\r\nCLIENT GETNAME\r\nEXEC\r\n",
           "+RESET $-1 $-1 -ERR EXEC without MULTI");
    world_release(&w);
}

/* Names, library, numbers of connections. */
static void client_commands(void **state)
{
    struct world w;
    struct wire *c, *d;

    (void)state;
    world_init(&w);
    c = dial(&w, EDGE_PLAIN);
    d = dial(&w, EDGE_CLUSTER);
    expect(&w, c, "CLIENT ID\r\n", ":1");
    expect(&w, d, "CLIENT ID\r\n", ":2");
    expect(&w, c, "CLIENT GETNAME\r\nCLIENT SETNAME me\r\nCLIENT GETNAME\r\n",
           "$-1 +OK $2 me");
    expect(&w, c, "CLIENT SETNAME \"a b\"\r\n",
           "-ERR Client names cannot contain spaces, newlines or special "
           "characters.");
    expect(&w, c, "CLIENT SETINFO LIB-NAME redis-py\r\n", "+OK");
    expect(&w, c, "CLIENT SETINFO WHAT x\r\n",
           "-ERR Unrecognized option 'WHAT'");
    send_text(c, "CLIENT INFO\r\n");
    settle(&w);
    assert_non_null(strstr(got(c), "lib-name=redis-py"));
    expect(&w, c, "SELECT 0\r\nSELECT 1\r\n",
           "+OK -ERR DB index is out of range");
    expect(&w, d, "SELECT 1\r\n", "-ERR SELECT is not allowed in cluster mode");
    world_release(&w);
}

/* One client too many gets Redis's words and is closed; room is made by
 * leaving. */
static void maxclients(void **state)
{
    struct edge_options o = EDGE_OPTIONS_DEFAULT;
    struct world w;
    struct wire *a, *b, *c;

    (void)state;
    o.maxclients = 2;
    world_options(&w, &o);
    a = dial(&w, EDGE_PLAIN);
    b = dial(&w, EDGE_CLUSTER);
    c = dial(&w, EDGE_PLAIN);
    later(&w);
    expect_got(c, "-ERR max number of clients reached");
    assert_true(c->closed);
    expect(&w, b, "PING\r\n", "+PONG");
    hang_up(a);
    c = dial(&w, EDGE_PLAIN);
    expect(&w, c, "PING\r\n", "+PONG");
    assert_int_equal(edge_counters(w.edge)->rejected, 1);
    assert_int_equal(edge_counters(w.edge)->connected, 2);
    world_release(&w);
}

static void big_value(struct world *w, struct wire *c, size_t n)
{
    struct buf in = BUF_INIT;

    buf_printf(&in, "*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n$%zu\r\n", n);
    for (size_t i = 0; i < n; i++) {
        buf_u8(&in, 'x');
    }
    buf_printf(&in, "\r\n");
    bytes_in(c, in.p, in.n);
    settle(w);
    expect_got(c, "+OK");
    buf_release(&in);
}

/* A client that asks much and reads nothing is held back, then closed; its
 * memory stays within the limit and others do not notice. */
static void slow_reader(void **state)
{
    struct world w;
    struct wire *slow, *other;

    (void)state;
    world_init(&w);
    slow = dial(&w, EDGE_PLAIN);
    other = dial(&w, EDGE_PLAIN);
    big_value(&w, other, 1 << 20);
    slow->deaf = true;
    for (int i = 0; i < 100; i++) {
        send_text(slow, "GET big\r\n");
        settle(&w);
    }
    assert_true(slow->paused);
    assert_true(slow->unsent.n < 40u << 20);
    expect(&w, other, "PING\r\n", "+PONG");
    w.now_us += 61 * 1000000ull;
    settle(&w);
    assert_true(slow->closed);
    assert_int_equal(edge_counters(w.edge)->slow_closed, 1);
    expect(&w, other, "PING\r\n", "+PONG");
    world_release(&w);
}

/* The same client that reads late gets everything. */
static void late_reader(void **state)
{
    struct world w;
    struct wire *c;

    (void)state;
    world_init(&w);
    c = dial(&w, EDGE_PLAIN);
    big_value(&w, c, 1 << 20);
    c->deaf = true;
    for (int i = 0; i < 100; i++) {
        send_text(c, "GET big\r\n");
        settle(&w);
    }
    for (int s = 0; s < 200; s++) {
        w.now_us += 1000000ull;
        take(c, 1 << 20);
        settle(&w);
        assert_false(c->closed);
    }
    c->deaf = false;
    settle(&w);
    assert_int_equal(c->got.n, 100 * ((1 << 20) + 12));
    assert_false(c->paused);
    world_release(&w);
}

/* A reply far above the soft limit leaves slowly; what was asked behind it is
 * answered all the same. */
static void large_reply(void **state)
{
    struct world w;
    struct wire *c;

    (void)state;
    world_init(&w);
    c = dial(&w, EDGE_PLAIN);
    big_value(&w, c, 1 << 20);
    c->deaf = true;
    send_text(c, "MGET big big big big big big big big big big\r\n");
    settle(&w);
    send_text(c, "PING\r\n");
    settle(&w);
    assert_true(c->paused);
    assert_true(w.node->clients->hold); /* reads that were begun wait, too */
    take(c, 6 << 20); /* on_drain comes here, and never again */
    settle(&w);
    assert_true(c->unsent.n > CONN_OUTPUT_SOFT);
    take(c, c->unsent.n);
    w.now_us += 600000;
    settle(&w);
    assert_false(c->paused);
    assert_false(w.node->clients->hold);
    c->deaf = false;
    later(&w);
    assert_memory_equal(c->got.p + c->got.n - 7, "+PONG\r\n", 7);
    world_release(&w);
}

/* Above output_max a connection is closed at once. */
static void output_limit(void **state)
{
    struct edge_options o = EDGE_OPTIONS_DEFAULT;
    struct world w;
    struct wire *c;

    (void)state;
    o.output_max = 3 << 20;
    world_options(&w, &o);
    c = dial(&w, EDGE_PLAIN);
    big_value(&w, c, 1 << 20);
    c->deaf = true;
    send_text(c, "MGET big big big big\r\nPING\r\n");
    settle(&w);
    assert_true(c->closed);
    assert_int_equal(edge_counters(w.edge)->slow_closed, 1);
    world_release(&w);
}

/* When all connections together hold too much, the one with the most goes;
 * the others stay. */
static void output_total(void **state)
{
    struct edge_options o = EDGE_OPTIONS_DEFAULT;
    struct wire *small, *large, *last;
    struct world w;

    (void)state;
    o.output_total = 5 << 20;
    world_options(&w, &o);
    small = dial(&w, EDGE_PLAIN);
    large = dial(&w, EDGE_PLAIN);
    last = dial(&w, EDGE_PLAIN);
    big_value(&w, small, 1 << 20);
    small->deaf = large->deaf = last->deaf = true;
    send_text(small, "GET big\r\n");
    send_text(large, "MGET big big big\r\n");
    settle(&w);
    assert_false(large->closed);
    send_text(last, "MGET big big\r\n");
    settle(&w);
    assert_true(large->closed);
    assert_false(small->closed);
    assert_false(last->closed);
    /* What was taken counts no more. */
    take(last, last->unsent.n);
    send_text(small, "MGET big big big\r\n");
    settle(&w);
    assert_false(small->closed);
    assert_int_equal(edge_counters(w.edge)->slow_closed, 1);
    world_release(&w);
}

static void count_line(struct logger *l, enum log_level level, const char *text)
{
    (void)level;
    (void)text;
    ++*(int *)l->data;
}

/* However many clients send garbage, the log stays readable. */
static void log_lines(void **state)
{
    enum { GARBAGE = 30 };
    int lines = 0;
    struct logger l = {LOG_INFO, count_line, &lines};
    struct world w;

    (void)state;
    world_init(&w);
    w.edge->log = &l;
    for (int i = 0; i < GARBAGE; i++) {
        send_text(dial(&w, EDGE_PLAIN), "*1\r\n$x\r\n");
        settle(&w);
    }
    assert_int_equal(edge_counters(w.edge)->protocol_errors, GARBAGE);
    assert_int_equal(lines, QUOTA_LINES);
    w.now_us += QUOTA_US;
    send_text(dial(&w, EDGE_PLAIN), "*1\r\n$x\r\n");
    settle(&w);
    assert_int_equal(lines, QUOTA_LINES + 2); /* how many were left out */
    world_release(&w);
}

/* A long pipeline leaves room for others in every turn. */
static void fair(void **state)
{
    struct world w;
    struct wire *greedy, *other;
    struct buf in = BUF_INIT;

    (void)state;
    world_init(&w);
    greedy = dial(&w, EDGE_PLAIN);
    other = dial(&w, EDGE_PLAIN);
    for (int i = 0; i < 10000; i++) {
        buf_printf(&in, "PING\r\n");
    }
    bytes_in(greedy, in.p, in.n);
    send_text(other, "PING\r\n");
    turn(&w);
    assert_int_equal(other->got.n, 7);
    assert_true(greedy->got.n < 7 * 1000);
    settle(&w);
    assert_int_equal(greedy->got.n, 7 * 10000);
    assert_false(greedy->paused);
    buf_release(&in);
    world_release(&w);
}

/* While the node is full sockets are not read; then they are again. */
static void full(void **state)
{
    struct world w;
    struct wire *c;

    (void)state;
    world_init(&w);
    c = dial(&w, EDGE_PLAIN);
    w.node->full = true;
    expect(&w, c, "SET a 1\r\nGET a\r\n", "");
    assert_true(c->paused);
    w.node->full = false;
    edge_on_room(w.edge);
    settle(&w);
    expect_got(c, "+OK $1 1");
    assert_false(c->paused);
    world_release(&w);
}

/* A client that leaves in the middle of everything leaves nothing behind. */
static void leaves(void **state)
{
    struct world w;
    struct wire *c;

    (void)state;
    world_init(&w);
    w.node->held = true;
    c = dial(&w, EDGE_PLAIN);
    send_text(c, "SET a 1\r\nWATCH a\r\nPING\r\nMULTI\r\nGET a\r\nEXEC\r\n*1");
    settle(&w);
    assert_true(edge_unanswered(w.edge) > 0);
    hang_up(c);
    assert_int_equal(edge_unanswered(w.edge), 0);
    c = dial(&w, EDGE_PLAIN);
    send_text(c, "SET b 1\r\nMULTI\r\nGET a\r\n");
    unhold(&w);
    expect_got(c, "+OK +OK +QUEUED");
    world_release(&w); /* with one connected */
}

/* Named requests, transactions among them. */
static void named(void **state)
{
    struct world w;
    struct wire *c;

    (void)state;
    world_init(&w);
    c = dial(&w, EDGE_PLAIN);
    expect(&w, c, "ONCE 1 1 EXEC\r\n", "-ERR EXEC without MULTI");
    expect(&w, c, "MULTI\r\nSET a 1\r\nONCE x 1 EXEC\r\nGET a\r\n",
           "+OK +QUEUED -ERR value is not an integer or out of range $-1");
    expect(&w, c, "MULTI\r\nONCE 1 1 SET a 1\r\nEXEC\r\n",
           "+OK -ERR Command not allowed inside a transaction -EXECABORT "
           "Transaction discarded because of previous errors.");
    world_release(&w);
}

/* So is one to an EXEC that has too few elements for its commands. */
static void garbage_in_exec(void **state)
{
    struct world w;
    struct wire *c;

    (void)state;
    world_init(&w);
    c = dial(&w, EDGE_PLAIN);
    w.node->garbage = "*1\r\n$1\r\n1\r\n";
    expect(&w, c, "MULTI\r\nGET a\r\nPING\r\nGET b\r\nEXEC\r\n",
           "+OK +QUEUED +QUEUED +QUEUED -UNKNOWN the reply came malformed");
    w.node->garbage = NULL;
    expect(&w, c, "GET a\r\n", "$-1");
    world_release(&w);
}

/* An EXEC with very many commands leaves others their turns, and a client that
 * ends itself in it has its reply. */
static void exec_in_turns(void **state)
{
    struct world w;
    struct wire *c, *other;

    (void)state;
    world_init(&w);
    c = dial(&w, EDGE_PLAIN);
    other = dial(&w, EDGE_PLAIN);
    send_text(c, "MULTI\r\nCLIENT KILL ID 1 SKIPME no\r\n");
    for (int i = 0; i < 3 * CONN_TURN_COMMANDS; i++) {
        send_text(c, "PING\r\n");
        settle(&w);
    }
    (void)got(c);
    send_text(c, "EXEC\r\n");
    turn(&w);
    send_text(other, "PING\r\n");
    turn(&w);
    assert_string_equal(got(other), "+PONG");
    assert_int_equal(c->got.n, 0);
    settle(&w);
    assert_memory_equal(got(c), "*385 :1 +PONG +PONG", 19);
    later(&w);
    assert_true(c->closed);
    world_release(&w);
}

/* A reply that makes no sense is an unknown outcome, and does no harm. */
static void garbage(void **state)
{
    static const char *const replies[] = {"", "%1\r\n+a\r\n", "*1\r\n?\r\n"};
    struct world w;
    struct wire *c;

    (void)state;
    for (size_t i = 0; i < sizeof replies / sizeof replies[0]; i++) {
        world_init(&w);
        c = dial(&w, EDGE_PLAIN);
        w.node->garbage = replies[i];
        expect(&w, c, "GET a\r\n", "-UNKNOWN the reply came malformed");
        w.node->garbage = NULL;
        expect(&w, c, "GET a\r\n", "$-1");
        world_release(&w);
    }
}

/* Questions to the node say by which port they came. */
static void node_commands(void **state)
{
    struct world w;
    struct wire *plain, *cluster;

    (void)state;
    world_init(&w);
    plain = dial(&w, EDGE_PLAIN);
    cluster = dial(&w, EDGE_CLUSTER);
    send_text(plain, "INFO\r\n");
    send_text(cluster, "INFO\r\n");
    settle(&w);
    assert_non_null(strstr(got(plain), "cluster_enabled:0"));
    assert_non_null(strstr(got(cluster), "cluster_enabled:1"));
    expect(&w, plain, "CLUSTER KEYSLOT foo\r\n", ":12182");
    world_release(&w);
}

/* Commands that are not on data stand between MULTI and EXEC, too, in their
 * places; those on data are one transaction all the same. */
static void mixed_transaction(void **state)
{
    struct world w;
    struct wire *c, *d;

    (void)state;
    world_init(&w);
    c = dial(&w, EDGE_PLAIN);
    d = dial(&w, EDGE_PLAIN);
    expect(&w, c, "MULTI\r\nPING\r\nSET a 1\r\nCLIENT ID\r\nGET a\r\nTIME\r\n",
           "+OK +QUEUED +QUEUED +QUEUED +QUEUED +QUEUED");
    send_text(c, "EXEC\r\nPING after\r\n");
    settle(&w);
    assert_non_null(strstr(got(c), "*5 +PONG +OK :1 $1 1 *2 "));
    assert_string_equal(w.node->kinds, "wn");
    /* None on data: nothing is asked of the machine. */
    expect(&w, c,
           "MULTI\r\nPING\r\nECHO x\r\nUNWATCH\r\nEXEC\r\nPING after\r\n",
           "+OK +QUEUED +QUEUED +QUEUED *3 +PONG $1 x +OK $5 after");
    assert_string_equal(w.node->kinds, "wn");
    /* What was watched changed: nobody is answered. */
    expect(&w, c, "WATCH a\r\nMULTI\r\nPING\r\n", "+OK +OK +QUEUED");
    expect(&w, d, "SET a 2\r\n", "+OK");
    expect(&w, c, "EXEC\r\nPING\r\n", "*-1 +PONG");
    expect(&w, c, "MULTI\r\nMONITOR\r\nEXEC\r\n",
           "+OK -ERR Command not allowed inside a transaction -EXECABORT "
           "Transaction discarded because of previous errors.");
    world_release(&w);
}

/* The connection ends while the transaction's own commands are under way. */
static void mixed_transaction_left(void **state)
{
    struct world w;
    struct wire *c;

    (void)state;
    world_init(&w);
    c = dial(&w, EDGE_PLAIN);
    expect(&w, c, "MULTI\r\nSET a 1\r\nTIME\r\nPING\r\n",
           "+OK +QUEUED +QUEUED +QUEUED");
    w.node->held = true;
    send_text(c, "EXEC\r\n");
    settle(&w);
    hang_up(c);
    unhold(&w);
    settle(&w);
    world_release(&w);
}

/* CLIENT LIST names every connection, a line each; by id those that are. */
static void client_list(void **state)
{
    struct world w;
    struct wire *c, *d;
    const char *text;

    (void)state;
    world_init(&w);
    c = dial(&w, EDGE_PLAIN);
    d = dial(&w, EDGE_PLAIN);
    expect(&w, d, "CLIENT SETNAME dee\r\nCLIENT NO-EVICT ON\r\n", "+OK +OK");
    send_text(c, "CLIENT LIST\r\n");
    settle(&w);
    text = got(c);
    assert_non_null(strstr(text, "id=1 addr=peer:0"));
    assert_non_null(strstr(text, "cmd=client|list"));
    assert_non_null(strstr(strstr(text, "id=2"), "name=dee"));
    assert_non_null(strstr(strstr(text, "id=2"), "flags=e"));
    send_text(c, "CLIENT LIST ID");
    for (int k = 0; k <= CONN_IDS_MAX; k++) {
        send_text(c, " 2");
    }
    expect(&w, c, "\r\n", "-ERR too many client IDs");
    send_text(c, "CLIENT LIST ID 2 99\r\n");
    settle(&w);
    text = got(c);
    assert_null(strstr(text, "id=1"));
    assert_non_null(strstr(text, "id=2"));
    expect(&w, c,
           "CLIENT LIST ID x\r\nCLIENT LIST TYPE odd\r\nCLIENT LIST x\r\n",
           "-ERR Invalid client ID -ERR Unknown client type 'odd' -ERR syntax "
           "error");
    world_release(&w);
}

/* CLIENT KILL closes whom it names, and says how many. */
static void client_kill(void **state)
{
    struct world w;
    struct wire *c, *d, *e;

    (void)state;
    world_init(&w);
    c = dial(&w, EDGE_PLAIN);
    d = dial(&w, EDGE_PLAIN);
    e = dial(&w, EDGE_PLAIN);
    expect(&w, c, "CLIENT KILL nobody:1\r\nCLIENT KILL peer:1\r\n",
           "-ERR No such client +OK");
    assert_true(d->closed);
    expect(&w, c,
           "CLIENT KILL ID 0\r\nCLIENT KILL ID 7 SKIPME\r\n"
           "CLIENT KILL USER who\r\nCLIENT KILL SKIPME perhaps\r\n",
           "-ERR client-id should be greater than 0 -ERR syntax error "
           "-ERR No such user 'who' -ERR syntax error");
    expect(&w, c, "CLIENT KILL TYPE normal\r\n", ":1");
    assert_true(e->closed);
    send_text(c, "CLIENT KILL ID 1 SKIPME no\r\nPING\r\n");
    later(&w);
    expect_got(c, ":1");
    assert_true(c->closed);
    world_release(&w);
}

/* While clients are paused nothing of theirs is begun; WRITE: no write. Then
 * it is, in order, and CLIENT itself always is. */
static void client_pause(void **state)
{
    struct world w;
    struct wire *c, *d;

    (void)state;
    world_init(&w);
    c = dial(&w, EDGE_PLAIN);
    d = dial(&w, EDGE_PLAIN);
    expect(&w, c, "CLIENT PAUSE 1000\r\n", "+OK");
    expect(&w, d, "SET a 1\r\nGET a\r\n", "");
    expect(&w, c, "CLIENT UNPAUSE\r\n", "+OK");
    expect(&w, d, "PING\r\n", "+OK $1 1 +PONG");
    expect(&w, c, "CLIENT PAUSE 1000 WRITE\r\n", "+OK");
    expect(&w, d, "GET a\r\nSET a 2\r\nGET a\r\n", "$1 1");
    w.now_us += 1000000;
    settle(&w);
    expect_got(d, "+OK $1 2");
    expect(&w, c,
           "CLIENT PAUSE x\r\nCLIENT PAUSE -1\r\nCLIENT PAUSE 1 SOME\r\n",
           "-ERR timeout is not an integer or out of range -ERR timeout is "
           "negative -ERR CLIENT PAUSE mode must be WRITE or ALL");
    world_release(&w);
}

/* CLIENT REPLY leaves replies out, in the order of the commands. */
static void client_reply(void **state)
{
    struct world w;
    struct wire *c;

    (void)state;
    world_init(&w);
    c = dial(&w, EDGE_PLAIN);
    expect(&w, c, "PING 1\r\nCLIENT REPLY SKIP\r\nSET a 1\r\nGET a\r\n",
           "$1 1 $1 1");
    expect(&w, c,
           "CLIENT REPLY OFF\r\nGET a\r\nNOPE\r\nCLIENT REPLY ON\r\n"
           "GET a\r\n",
           "+OK $1 1");
    expect(&w, c, "CLIENT REPLY odd\r\n", "-ERR syntax error");
    world_release(&w);
}

/* MONITOR shows what other connections ask, and no secrets. */
static void monitor(void **state)
{
    struct world w;
    struct wire *c, *d;
    const char *text;

    (void)state;
    world_init(&w);
    c = dial(&w, EDGE_PLAIN);
    d = dial(&w, EDGE_PLAIN);
    expect(&w, c, "MONITOR\r\n", "+OK");
    expect(&w, d, "SET a \"x\\ny\\x01\\\\\"\r\n", "+OK");
    text = got(c);
    assert_non_null(strstr(text,
                           " [0 peer:1] \"SET\" \"a\" "
                           "\"x\\ny\\x01\\\\\""));
    send_text(d, "HELLO 2 AUTH me secret\r\nCONFIG GET x\r\n");
    settle(&w);
    got(d);
    assert_int_equal(c->got.n, 0);
    send_text(d, "TXN 0 1 3 AUTH me secret\r\n");
    settle(&w);
    got(d);
    assert_non_null(strstr(got(c), "\"AUTH\" \"(redacted)\" \"(redacted)\""));
    send_text(c, "RESET\r\n");
    settle(&w);
    assert_non_null(strstr(got(c), "+RESET"));
    expect(&w, d, "PING\r\n", "+PONG");
    assert_int_equal(c->got.n, 0);
    world_release(&w);
}

/* All output over its limit: one that said NO-EVICT is not the one to go. */
static void no_evict(void **state)
{
    struct edge_options o = EDGE_OPTIONS_DEFAULT;
    struct wire *small, *large;
    struct world w;

    (void)state;
    o.output_total = 5 << 20;
    world_options(&w, &o);
    small = dial(&w, EDGE_PLAIN);
    large = dial(&w, EDGE_PLAIN);
    big_value(&w, small, 1 << 20);
    expect(&w, large, "CLIENT NO-EVICT ON\r\n", "+OK");
    small->deaf = large->deaf = true;
    send_text(large, "MGET big big big\r\n");
    send_text(small, "MGET big big\r\n");
    settle(&w);
    assert_true(small->closed);
    assert_false(large->closed);
    world_release(&w);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(pipeline),
        cmocka_unit_test(fragments),
        cmocka_unit_test(byte_by_byte),
        cmocka_unit_test(protocol_errors),
        cmocka_unit_test(http),
        cmocka_unit_test(oversize),
        cmocka_unit_test(silence),
        cmocka_unit_test(order),
        cmocka_unit_test(versions),
        cmocka_unit_test(transactions),
        cmocka_unit_test(watching),
        cmocka_unit_test(watch_pipelined),
        cmocka_unit_test(unwatch_early),
        cmocka_unit_test(large_transaction),
        cmocka_unit_test(large_watch),
        cmocka_unit_test(moved),
        cmocka_unit_test(stale),
        cmocka_unit_test(quit),
        cmocka_unit_test(reset),
        cmocka_unit_test(client_commands),
        cmocka_unit_test(maxclients),
        cmocka_unit_test(slow_reader),
        cmocka_unit_test(late_reader),
        cmocka_unit_test(output_limit),
        cmocka_unit_test(output_total),
        cmocka_unit_test(log_lines),
        cmocka_unit_test(large_reply),
        cmocka_unit_test(fair),
        cmocka_unit_test(full),
        cmocka_unit_test(leaves),
        cmocka_unit_test(named),
        cmocka_unit_test(garbage),
        cmocka_unit_test(exec_reply_is_bounded),
        cmocka_unit_test(garbage_in_exec),
        cmocka_unit_test(exec_in_turns),
        cmocka_unit_test(node_commands),
        cmocka_unit_test(mixed_transaction),
        cmocka_unit_test(mixed_transaction_left),
        cmocka_unit_test(client_list),
        cmocka_unit_test(client_kill),
        cmocka_unit_test(client_pause),
        cmocka_unit_test(client_reply),
        cmocka_unit_test(monitor),
        cmocka_unit_test(no_evict),
    };

    return cmocka_run_group_tests_name("conn", tests, NULL, NULL);
}
