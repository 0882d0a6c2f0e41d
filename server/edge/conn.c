#include "server/edge/conn_int.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/mutant.h"
#include "server/node/node.h"

enum {
    INPUT_KEPT = 16 << 10, /* buffer kept by a silent connection */
    STALL_FIRST_US = 5000, /* looks at full output, doubling to ... */
    STALL_TOP_US = 500000,
};

/* ---- may it begin another command? ---- */

static size_t window(const struct conn *c)
{
    size_t n = CONN_WINDOW_BYTES / (c->reply_peak + 1);

    if (n < 4) {
        return 4;
    }
    return n < CONN_PIPELINE_MAX ? n : CONN_PIPELINE_MAX;
}

static bool output_full(const struct conn *c)
{
    return net_pending(c->net) > CONN_OUTPUT_SOFT;
}

static bool may_begin(struct conn *c)
{
    if (c->quitting || c->doomed || c->exec_waits || c->held ||
        c->chain != NULL || c->postponed || c->pending >= window(c) ||
        c->pending_bytes >= CONN_PIPELINE_BYTES || output_full(c)) {
        return false;
    }
    if (node_full(c->edge->node)) {
        c->edge->starved = true;
        return false;
    }
    return true;
}

/* ---- bytes in ---- */

static void protocol_error(struct conn *c)
{
    struct buf reply = BUF_INIT;

    c->edge->counters.protocol_errors++;
    if (edge_may_log(c->edge, EDGE_QUOTA_PROTOCOL)) {
        log_info(c->edge->log, "client %" PRIu64 " at %s: %s; closing", c->id,
                 c->net->remote, resp_parser_error(&c->parser));
    }
    resp_errorf(&reply, "ERR %s", resp_parser_error(&c->parser));
    c->quitting = true;
    c->drain = true;
    dispatch_answer(c, &reply);
}

/* CLIENT PAUSE: is this command to wait? CLIENT itself never does, so that
 * the pause can be ended. */
static bool paused_by_operator(const struct conn *c,
                               const struct bytes *argv,
                               int argc)
{
    const struct command *cmd;

    if (c->edge->pause_until_us == 0 || bytes_ieq(argv[0], "CLIENT")) {
        return false;
    }
    if (edge_pauses(c->edge, true)) {
        return true;
    }
    if (!edge_pauses(c->edge, false)) {
        return false;
    }
    cmd = command_by_name(argv[0]);
    return cmd != NULL && (command_writes(cmd, argv, argc) ||
                           (strcmp(cmd->name, "exec") == 0 && c->multi_writes));
}

/* Parse and begin one command. False: more bytes are needed, or an error
 * ended the connection. */
static bool step(struct conn *c)
{
    struct resp_args args;
    size_t used = 0;
    int rv = resp_parse_request(&c->parser, c->in.p + c->in_at,
                                c->in.n - c->in_at, &used, &args);

    if (rv == 1 && paused_by_operator(c, args.argv, (int)args.argc)) {
        c->postponed = true; /* parsed anew when the pause has ended */
        return false;
    }
    if (rv == 1) {
        if (args.argc > LIM_ARGS) {
            struct buf reply = BUF_INIT;

            resp_errorf(&reply, "ERR more than %d arguments", (int)LIM_ARGS);
            dispatch_answer(c, &reply);
        } else {
            dispatch(c, args.argv, (int)args.argc);
        }
    }
    c->in_at += used;
    if (rv < 0) {
        protocol_error(c);
    }
    return rv == 1;
}

static void input_tidy(struct conn *c)
{
    if (c->in_at == c->in.n) {
        buf_clear(&c->in);
        c->in_at = 0;
        if (c->in.cap > INPUT_KEPT) {
            buf_release(&c->in);
        }
    } else if (c->in_at > c->in.n / 2) {
        buf_consume(&c->in, c->in_at);
        c->in_at = 0;
    }
}

static void pause_reading(struct conn *c, bool paused)
{
    if (c->paused != paused) {
        c->paused = paused;
        net_read_pause(c->net, paused);
    }
}

static uint64_t taken(const struct conn *c)
{
    return c->written - net_pending(c->net);
}

static void stall_again(struct conn *c, uint64_t now, uint64_t wait_us)
{
    c->stall_wait_us = wait_us < STALL_TOP_US ? wait_us : STALL_TOP_US;
    env_timer_start(c->edge->env, &c->stall, now + c->stall_wait_us);
}

/* While output is full, look now and then: on_drain comes once, and perhaps
 * when there is still too much. */
static void stall_watch(struct conn *c)
{
    if (output_full(c) && !env_timer_armed(&c->stall)) {
        c->stall_taken = taken(c);
        c->stall_since_us = env_now_us(c->edge->env);
        stall_again(c, c->stall_since_us, STALL_FIRST_US);
    }
}

/* Of what was begun no more is read while the output is full. */
void conn_hold_reads(struct conn *c)
{
    if (c->client != NULL) {
        client_hold(c->client, output_full(c));
    }
    stall_watch(c);
}

void conn_process(struct conn *c)
{
    bool more = c->in_at < c->in.n;

    if (more) {
        c->edge->turn_us = env_now_us(c->edge->env);
    }
    while (more && may_begin(c) && c->turn > 0) {
        c->turn -= !mutant(EDGE_UNFAIR);
        more = step(c) && c->in_at < c->in.n;
    }
    if (c->doomed || c->lingering) {
        return;
    }
    input_tidy(c);
    if (more && c->turn == 0 && may_begin(c)) {
        /* Others first: the rest comes in the next turn. */
        env_timer_start(c->edge->env, &c->more, env_now_us(c->edge->env));
    }
    pause_reading(c, c->quitting || env_timer_armed(&c->more) || !may_begin(c));
    conn_hold_reads(c);
}

static void on_read(struct net_conn *n, const uint8_t *p, size_t len)
{
    struct conn *c = n->data;

    c->edge->counters.input_bytes += len;
    c->edge->counters.reads++;
    c->active_us = env_now_us(c->edge->env);
    if (c->quitting || c->doomed || c->lingering) {
        c->drain_us = c->active_us;
        return; /* nobody will look at it */
    }
    if (c->in_at > 0 && c->in.cap - c->in.n < len) {
        buf_consume(&c->in, c->in_at);
        c->in_at = 0;
    }
    buf_append(&c->in, p, len);
    if (!env_timer_armed(&c->more)) {
        c->turn = CONN_TURN_COMMANDS;
        conn_process(c);
    }
}

static void on_drain(struct net_conn *n)
{
    conn_wake(n->data);
}

/* ---- bytes out ---- */

void conn_too_slow(struct conn *c, const char *why)
{
    c->edge->counters.slow_closed++;
    if (edge_may_log(c->edge, EDGE_QUOTA_SLOW)) {
        log_warn(c->edge->log,
                 "client %" PRIu64
                 " at %s does not read its replies (%zu bytes "
                 "unsent, %s); closing",
                 c->id, c->net->remote, net_pending(c->net), why);
    }
    conn_doom(c);
}

/* The bytes to send for a canonical reply. Replies may come from other nodes:
 * one that makes no sense has an unknown outcome. */
static struct bytes render(struct conn *c,
                           struct bytes reply,
                           struct buf *other)
{
    int rv = reply.n > 0 ? 0 : HF_EINVAL;

    if (rv == 0 && c->resp3 && (reply.p[0] == '*' || reply.p[0] == '&')) {
        rv = resp3_fix_null_arrays(reply, other);
        reply = buf_bytes(other);
    } else if (rv == 0 && !c->resp3 && !resp3_is_resp2(reply)) {
        rv = resp3_to_resp2(reply, other);
        reply = buf_bytes(other);
    }
    if (rv == 0) {
        return reply;
    }
    if (edge_may_log(c->edge, EDGE_QUOTA_REPLY)) {
        log_error(c->edge->log, "client %" PRIu64 ": a malformed reply came",
                  c->id);
    }
    buf_clear(other);
    resp_error(other, "UNKNOWN the reply came malformed");
    return buf_bytes(other);
}

/* CLIENT REPLY: is this one left out? */
static bool reply_unsent(struct conn *c)
{
    if (c->no_reply) {
        c->no_reply = false;
        return true;
    }
    if (c->reply_off || c->reply_skip) {
        c->reply_skip = false;
        return true;
    }
    return false;
}

void conn_reply(struct conn *c, struct bytes reply)
{
    struct buf other = BUF_INIT;

    if (c->doomed || reply_unsent(c)) {
        return;
    }
    if (reply.n > c->reply_peak) {
        c->reply_peak = reply.n;
    } else {
        c->reply_peak -= (c->reply_peak - reply.n) / 64;
    }
    reply = render(c, reply, &other);
    c->edge->counters.errors += reply.p[0] == '-';
    conn_write(c, reply);
    buf_release(&other);
}

void conn_write(struct conn *c, struct bytes b)
{
    c->edge->counters.output_bytes += b.n;
    c->written += b.n;
    net_write(c->net, b.p, b.n);
    if (net_pending(c->net) > c->edge->opt.output_max &&
        !mutant(EDGE_OUTPUT_UNBOUNDED)) {
        conn_too_slow(c, "over the limit");
        return;
    }
    edge_count_output(c->edge, c);
    conn_hold_reads(c);
}

static void on_stall(struct env_timer *t)
{
    struct conn *c = t->data;
    uint64_t now = env_now_us(c->edge->env);

    if (!output_full(c)) {
        conn_wake(c);
    } else if (taken(c) != c->stall_taken) {
        c->stall_taken = taken(c);
        c->stall_since_us = now;
        stall_again(c, now, STALL_FIRST_US);
    } else if (now - c->stall_since_us >=
               (uint64_t)c->edge->opt.output_stall_s * 1000000) {
        conn_too_slow(c, "nothing taken for too long");
    } else {
        stall_again(c, now, 2 * c->stall_wait_us);
    }
}

/* ---- operations ---- */

struct conn_op *conn_op_new(struct conn *c, enum client_op_kind kind)
{
    struct conn_op *o = hf_calloc(1, sizeof *o);

    o->op.kind = kind;
    o->conn = c;
    if (c->edge->now.command != NULL) {
        o->counted = c->edge->now;
        o->op.since_us = o->counted.start_us;
        c->edge->now.command = NULL; /* counted once, with this operation */
    }
    return o;
}

void conn_op_submit(struct conn_op *o)
{
    struct conn *c = o->conn;

    o->bytes =
        sizeof *o + o->reply.n + (o->op.command != NULL ? o->op.command->n : 0);
    c->pending++;
    c->pending_bytes += o->bytes;
    c->edge->unanswered++;
    client_submit(c->client, &o->op);
}

static void op_gone(struct conn_op *o)
{
    struct conn *c = o->conn;

    hf_assert(c->pending > 0 && c->pending_bytes >= o->bytes);
    c->pending--;
    c->pending_bytes -= o->bytes;
    c->edge->unanswered--;
    tracking_drop(o->track);
    blob_unref(o->op.command);
    blob_unref(o->then);
    buf_release(&o->reply);
    free(o);
}

void conn_op_free(struct conn_op *o)
{
    struct conn *c = o->conn;

    tracking_end(o->track);
    o->track = NULL;
    op_gone(o);
    if (c->quitting && c->pending == 0 && c->chain == NULL && !c->lingering) {
        conn_finish(c);
    } else if (c->paused) {
        conn_wake(c);
    }
}

static void op_drop(struct client_op *op)
{
    op_gone(HF_CONTAINER_OF(op, struct conn_op, op));
}

/* ---- life ---- */

void conn_wake(struct conn *c)
{
    env_defer(c->edge->env, &c->task);
}

void conn_doom(struct conn *c)
{
    c->doomed = true;
    conn_wake(c);
}

static void on_task(struct env_task *t)
{
    struct conn *c = t->data;

    if (c->postponed && !edge_pauses(c->edge, false)) {
        c->postponed = false;
    }
    if (c->doomed) {
        conn_close(c);
    } else if (!c->lingering && !env_timer_armed(&c->more)) {
        conn_process(c);
    }
}

void conn_finish(struct conn *c)
{
    if (c->lingering || c->doomed) {
        return;
    }
    c->quitting = true;
    c->lingering = true;
    c->linger_us = env_now_us(c->edge->env) + CONN_LINGER_MS * 1000;
    if (c->drain) {
        /* Closed with unread bytes, the kernel would send a reset, and the
         * client might never see the last reply. */
        c->drain_us = env_now_us(c->edge->env);
        pause_reading(c, mutant(EDGE_CLOSE_UNREAD));
    }
    env_timer_start(c->edge->env, &c->more, 0);
}

static bool drains(const struct conn *c, uint64_t now)
{
    return c->drain && now < c->drain_us + CONN_DRAIN_MS * 1000;
}

/* The next turn of a connection with more input; or one that waits for its
 * last reply to leave. */
static void on_more(struct env_timer *t)
{
    struct conn *c = t->data;
    uint64_t now = env_now_us(c->edge->env);

    if (!c->lingering) {
        c->turn = CONN_TURN_COMMANDS;
        conn_process(c);
    } else if (now >= c->linger_us ||
               (net_pending(c->net) == 0 && !drains(c, now))) {
        conn_close(c);
    } else {
        env_timer_start(c->edge->env, &c->more, now + 5000);
    }
}

static void on_idle(struct env_timer *t)
{
    struct conn *c = t->data;
    uint64_t due =
        c->active_us + (uint64_t)c->edge->opt.idle_timeout_s * 1000000;

    if (c->edge->opt.idle_timeout_s == 0) {
        return; /* the setting was changed */
    }
    if (c->pending > 0 || env_now_us(c->edge->env) < due) {
        env_timer_start(
            c->edge->env, t,
            c->pending > 0 ? env_now_us(c->edge->env) + 1000000 : due);
        return;
    }
    if (edge_may_log(c->edge, EDGE_QUOTA_IDLE)) {
        log_info(c->edge->log, "client %" PRIu64 " at %s: idle; closing", c->id,
                 c->net->remote);
    }
    conn_close(c);
}

static void conn_release(struct conn *c)
{
    struct edge *e = c->edge;

    /* What others are told below must find neither socket nor output here. */
    c->doomed = true;
    e->unsent -= c->counted;
    c->counted = 0;
    if (c->client != NULL) {
        client_free(c->client, op_drop);
        c->client = NULL;
        e->counters.connected--;
    }
    hf_assert(c->pending == 0 && c->pending_bytes == 0);
    env_undefer(e->env, &c->task);
    env_timer_stop(e->env, &c->more);
    env_timer_stop(e->env, &c->idle);
    env_timer_stop(e->env, &c->stall);
    conn_unmonitor(c);
    exec_chain_free(c->chain);
    tracking_gone(c); /* no read of it is under way any more */
    pubsub_forget(c);
    multi_forget(c);
    watch_forget(c);
    auth_forget(c);
    buf_release(&c->exec_once);
    buf_release(&c->in);
    buf_release(&c->queue);
    buf_release(&c->name);
    buf_release(&c->lib_name);
    buf_release(&c->lib_ver);
    resp_parser_release(&c->parser);
    *(c->prev != NULL ? &c->prev->next : &e->head) = c->next;
    if (c->next != NULL) {
        c->next->prev = c->prev;
    }
    free(c);
}

void conn_close(struct conn *c)
{
    net_close(c->net);
    conn_release(c);
}

static void on_close(struct net_conn *n, int code)
{
    struct conn *c = n->data;

    log_debug(c->edge->log, "client %" PRIu64 " at %s: gone (%s)", c->id,
              n->remote, hf_strerror(code));
    conn_release(c);
}

static const struct net_conn_cbs callbacks = {
    .on_read = on_read,
    .on_drain = on_drain,
    .on_close = on_close,
};

struct conn *conn_new(struct edge *e, enum edge_port port, struct net_conn *net)
{
    struct conn *c = hf_calloc(1, sizeof *c);

    c->edge = e;
    c->port = port;
    c->net = net;
    c->id = ++e->next_id;
    c->born_ms = env_now_ms(e->env);
    c->active_us = env_now_us(e->env);
    c->reply_peak = CONN_REPLY_GUESS;
    c->turn = CONN_TURN_COMMANDS;
    resp_parser_init(&c->parser, e->opt.request_max);
    env_task_init(&c->task, on_task, c);
    env_timer_init(&c->more, on_more, c);
    env_timer_init(&c->idle, on_idle, c);
    env_timer_init(&c->stall, on_stall, c);
    net->cbs = &callbacks;
    net->data = c;
    c->next = e->head;
    if (e->head != NULL) {
        e->head->prev = c;
    }
    e->head = c;
    if (e->opt.idle_timeout_s > 0) {
        env_timer_start(
            e->env, &c->idle,
            c->active_us + (uint64_t)e->opt.idle_timeout_s * 1000000);
    }
    return c;
}
