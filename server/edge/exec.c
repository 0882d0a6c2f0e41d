/* An EXEC with commands that are not the machine's: PING, INFO, CLIENT ...
 *
 * Those on data are one TXN, which is atomic as ever; when it has its reply
 * the others are answered, in their places, before the connection begins
 * anything else. A TXN that was refused, or whose watched keys had changed,
 * answers for all. */
#include <stdlib.h>

#include "base/assert.h"
#include "base/mutant.h"
#include "server/edge/conn_int.h"

struct exec_chain {
    struct conn *conn;
    struct buf queue; /* as of struct conn */
    struct reader r;  /* what of it is to be answered */
    size_t left;
    size_t data_n;   /* commands on data */
    struct buf data; /* their replies */
    size_t at;
    struct buf out;
    struct counted counted;
    struct track_op *track; /* of the TXN: ends with the whole reply */
    struct env_timer more;  /* goes on in the next turn */
};

void exec_chain_free(struct exec_chain *x)
{
    if (x != NULL) {
        env_timer_stop(x->conn->edge->env, &x->more);
        buf_release(&x->queue);
        buf_release(&x->data);
        buf_release(&x->out);
        tracking_drop(x->track);
        free(x);
    }
}

static void chain_end(struct exec_chain *x, struct bytes reply)
{
    struct conn *c = x->conn;

    c->chain = NULL;
    edge_count_exec(c, &x->counted, reply);
    conn_reply(c, reply);
    tracking_end(x->track);
    x->track = NULL;
    exec_chain_free(x);
    if (c->quitting && c->pending == 0) {
        conn_finish(c);
    } else {
        conn_wake(c);
    }
}

/* The next reply of the TXN goes to its place. */
static void chain_data(struct exec_chain *x)
{
    struct resp_scan scan = {0};
    size_t n = 0;
    int rv = resp_scan_reply(&scan, x->data.p + x->at, x->data.n - x->at,
                             REPLY_MAX, &n);

    /* Whoever answered it, the reply was found to be whole. */
    hf_assert(rv == 1);
    buf_append(&x->out, x->data.p + x->at, n);
    x->at += n;
}

/* The last reply began at @from. As in a TXN: what was done stays done, only
 * the text is cut. */
static void chain_fit(struct exec_chain *x, size_t from)
{
    if (x->out.n > REPLY_MAX && !mutant(EXEC_REPLY_UNBOUNDED)) {
        x->out.n = from;
        resp_error(&x->out, "ERR reply of the transaction is too large");
    }
}

static void chain_go(struct exec_chain *x);

static void chain_node_done(struct client_op *op, struct bytes reply)
{
    struct conn_op *o = HF_CONTAINER_OF(op, struct conn_op, op);
    struct exec_chain *x = o->conn->chain;
    size_t from = x->out.n;

    (void)auth_note(o->conn, op->command, reply);
    buf_bytes_append(&x->out, reply);
    chain_fit(x, from);
    chain_go(x);
    conn_op_free(o);
}

/* One command. False: it will be answered later. */
static bool chain_one(struct exec_chain *x)
{
    struct buf ignored = BUF_INIT;
    uint32_t n = rd_u32(&x->r);
    struct bytes *argv = hf_malloc(n * sizeof *argv);
    const struct command *cmd;
    size_t from = x->out.n;
    bool now = true;

    for (uint32_t i = 0; i < n; i++) {
        argv[i] = rd_lbytes(&x->r);
    }
    x->left--;
    cmd = command_find(argv, (int)n, &ignored);
    hf_assert(cmd != NULL); /* it was found when it was queued */
    if (command_nests(cmd)) {
        chain_data(x);
    } else if (auth_refuses(x->conn, cmd, argv, (int)n, &x->out)) {
        chain_fit(x, from);
    } else if ((cmd->flags & CMD_LOCAL) != 0) {
        local_run(x->conn, cmd, argv, (int)n, &x->out);
        chain_fit(x, from);
    } else {
        now = false;
        dispatch_op(x->conn, OP_NODE, cmd, argv, (int)n, chain_node_done);
    }
    free(argv);
    return now;
}

static void chain_go(struct exec_chain *x)
{
    for (int n = 0; x->left > 0; n++) {
        if (n == CONN_TURN_COMMANDS) {
            env_timer_start(x->conn->edge->env, &x->more,
                            env_now_us(x->conn->edge->env));
            return;
        }
        if (!chain_one(x)) {
            return;
        }
    }
    hf_assert(reader_done(&x->r));
    chain_end(x, buf_bytes(&x->out));
}

static void chain_more(struct env_timer *t)
{
    chain_go(t->data);
}

static void chain_begin(struct exec_chain *x)
{
    resp_array(&x->out, x->left);
    chain_go(x);
}

static void chain_turn(struct client_op *op)
{
    struct conn_op *o = HF_CONTAINER_OF(op, struct conn_op, op);

    chain_begin(o->conn->chain);
    conn_op_free(o);
}

static void chain_txn_done(struct client_op *op, struct bytes reply)
{
    struct conn_op *o = HF_CONTAINER_OF(op, struct conn_op, op);
    struct exec_chain *x = o->conn->chain;
    struct resp_value *v = NULL;
    const uint8_t *end;

    if (auth_note(o->conn, op->command, reply)) {
        tracking_drop(o->track); /* it has read nothing */
    } else {
        x->track = o->track;
    }
    o->track = NULL;
    if (resp_parse_reply(reply, &v) != 0 || v->type != RESP_ARRAY) {
        chain_end(x, reply);
    } else if (v->n != x->data_n) {
        chain_end(x, bytes_str("-UNKNOWN the reply came malformed\r\n"));
    } else {
        end = memchr(reply.p, '\n', reply.n);
        buf_append(&x->data, end + 1, (size_t)(reply.p + reply.n - end) - 1);
        chain_begin(x);
    }
    resp_value_free(v);
    conn_op_free(o);
}

bool exec_is_own(const struct command *cmd)
{
    return cmd->handler == NULL && (cmd->flags & CMD_NOMULTI) == 0 &&
           (cmd->flags & (CMD_LOCAL | CMD_NODE)) != 0;
}

void exec_chain(struct conn *c,
                enum client_op_kind kind,
                const struct command *txn,
                const struct bytes *argv,
                int argc)
{
    struct exec_chain *x = hf_calloc(1, sizeof *x);

    x->conn = c;
    env_timer_init(&x->more, chain_more, x);
    x->counted = c->edge->now;
    c->edge->now.command = NULL;
    x->queue = c->queue;
    buf_init(&c->queue);
    x->r = reader_of(buf_bytes(&x->queue));
    x->left = c->queue_commands;
    x->data_n = c->queue_commands - c->queue_own;
    c->chain = x;
    if (txn == NULL) {
        struct conn_op *o = conn_op_new(c, OP_LOCAL);

        o->op.local = chain_turn;
        conn_op_submit(o);
    } else {
        dispatch_op(c, kind, txn, argv, argc, chain_txn_done);
    }
}
