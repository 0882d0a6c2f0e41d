/* From words to operations.
 *
 * Outside MULTI a command becomes one operation of the node: a read, a write,
 * a question to the node, or a local answer that waits for its turn. Between
 * MULTI and EXEC it is only kept; EXEC then becomes one TXN whose conditions
 * are the revisions that WATCH was told. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/mutant.h"
#include "server/edge/conn_int.h"
#include "server/node/node.h"

/* ---- answers of the connection's own ---- */

static void local_turn(struct client_op *op)
{
    struct conn_op *o = HF_CONTAINER_OF(op, struct conn_op, op);
    struct conn *c = o->conn;
    struct command_words w;

    if (o->op.command == NULL) {
        edge_count_op(o, buf_bytes(&o->reply));
        conn_reply(c, buf_bytes(&o->reply));
    } else if (command_decode(blob_bytes(o->op.command), &w) == 0) {
        local_run(c, w.command, w.argv, w.argc, &o->reply);
        edge_count_op(o, buf_bytes(&o->reply));
        conn_reply(c, buf_bytes(&o->reply));
        command_words_release(&w);
    } else {
        hf_assert(false); /* we encoded it */
    }
    conn_op_free(o);
}

static bool my_turn(const struct conn *c)
{
    return c->pending == 0 || mutant(EDGE_REPLY_EARLY);
}

void dispatch_answer(struct conn *c, struct buf *reply)
{
    if (my_turn(c)) {
        edge_count_now(c, buf_bytes(reply));
        conn_reply(c, buf_bytes(reply));
        buf_release(reply);
        if (c->quitting) {
            conn_finish(c);
        }
    } else {
        struct conn_op *o = conn_op_new(c, OP_LOCAL);

        o->reply = *reply;
        buf_init(reply);
        o->op.local = local_turn;
        conn_op_submit(o);
    }
}

static void answer_ok(struct conn *c)
{
    struct buf reply = BUF_INIT;

    resp_ok(&reply);
    dispatch_answer(c, &reply);
}

static void answer_error(struct conn *c, const char *text)
{
    struct buf reply = BUF_INIT;

    resp_error(&reply, text);
    dispatch_answer(c, &reply);
}

/* Run @cmd when all before it are answered. */
static void answer_in_turn(struct conn *c,
                           const struct command *cmd,
                           const struct bytes *argv,
                           int argc)
{
    struct conn_op *o;

    if (my_turn(c)) {
        struct buf reply = BUF_INIT;

        local_run(c, cmd, argv, argc, &reply);
        dispatch_answer(c, &reply);
        return;
    }
    o = conn_op_new(c, OP_LOCAL);
    o->op.command = command_encode(cmd, 0, argv, argc);
    o->op.local = local_turn;
    conn_op_submit(o);
}

/* ---- operations of the node ---- */

/* As in Redis: a SHUTDOWN that is obeyed is answered by the end of the
 * connection; client libraries take a reply for a refusal. */
static bool obeyed_shutdown(const struct conn_op *o, struct bytes reply)
{
    const struct command *c = o->counted.command;

    return c != NULL && strcmp(c->name, "shutdown") == 0 && reply.n > 0 &&
           reply.p[0] == '+';
}

static void node_done(struct client_op *op, struct bytes reply)
{
    struct conn_op *o = HF_CONTAINER_OF(op, struct conn_op, op);

    if (auth_note(o->conn, op->command, reply)) {
        tracking_drop(o->track); /* it has read nothing */
        o->track = NULL;
    }
    edge_count_op(o, reply);
    if (obeyed_shutdown(o, reply)) {
        conn_finish(o->conn);
    } else {
        conn_reply(o->conn, reply);
    }
    conn_op_free(o);
}

void dispatch_op(struct conn *c,
                 enum client_op_kind kind,
                 const struct command *cmd,
                 const struct bytes *argv,
                 int argc,
                 void (*done)(struct client_op *op, struct bytes reply))
{
    struct conn_op *o = conn_op_new(c, kind);
    int marks = 0;

    if (kind == OP_NODE) {
        marks |= c->port == EDGE_CLUSTER ? COMMAND_CLUSTER_PORT : 0;
        marks |= c->chain != NULL ? COMMAND_IN_MULTI : 0;
    }
    o->op.command = auth_encode(c, cmd, (uint8_t)marks, argv, argc);
    o->op.done = done;
    o->track = tracking_begin(c, cmd, argv, argc);
    conn_op_submit(o);
}

static void submit(struct conn *c,
                   enum client_op_kind kind,
                   const struct command *cmd,
                   const struct bytes *argv,
                   int argc)
{
    dispatch_op(c, kind, cmd, argv, argc, node_done);
}

/* On the cluster port of a node that does not lead, whatever names a key or
 * writes is sent to the leader; reads stay after READONLY. While no leader is
 * known it is parked here like on the plain port; but not at a node that is
 * cut off: this client knows of others. */
static bool moved(struct conn *c,
                  const struct command *cmd,
                  const struct bytes *argv,
                  int argc,
                  struct buf *reply)
{
    struct bytes key = bytes_of("", 0);
    const char *leader;
    char host[LIM_ADDR];
    bool writes, keyed;
    uint16_t port;

    if (c->port != EDGE_CLUSTER || node_is_leader(c->edge->node) ||
        mutant(EDGE_FOLLOWER_SERVES)) {
        return false;
    }
    leader = node_leader_cluster_address(c->edge->node);
    writes = command_writes(cmd, argv, argc);
    keyed = command_first_key(cmd, argv, argc, &key);
    if (!writes && (!keyed || c->stale)) {
        return false;
    }
    if (leader[0] == 0) {
        if (node_leaderless_ms(c->edge->node) < ADMIN_ALONE_MS ||
            mutant(SLOTS_ALONE)) {
            return false;
        }
        resp_error(reply,
                   "CLUSTERDOWN this node knows no leader; ask another one");
        return true;
    }
    port = admin_split(leader, host);
    resp_errorf(reply, "MOVED %u %s:%u", keyed ? command_key_slot(key) : 0,
                host, port);
    return true;
}

/* ---- MULTI ---- */

void multi_forget(struct conn *c)
{
    c->multi = false;
    c->multi_dirty = false;
    c->multi_writes = false;
    buf_release(&c->queue);
    c->queue_commands = 0;
    c->queue_words = 0;
    c->queue_own = 0;
}

static void do_multi(struct conn *c, const struct bytes *argv, int argc)
{
    (void)argv;
    (void)argc;
    if (c->multi) {
        answer_error(c, "ERR MULTI calls can not be nested");
        return;
    }
    c->multi = true;
    answer_ok(c);
}

static void do_discard(struct conn *c, const struct bytes *argv, int argc)
{
    (void)argv;
    (void)argc;
    if (!c->multi) {
        answer_error(c, "ERR DISCARD without MULTI");
        return;
    }
    multi_forget(c);
    watch_forget(c);
    answer_ok(c);
}

/* Bytes that a number and its length take, at most, in an encoded EXEC. */
enum { NUMBER_BYTES = 24 };

/* Bytes of the EXEC that is being gathered: it shall be no larger than one
 * request may be. */
static size_t exec_room(const struct conn *c)
{
    size_t used =
        c->queue.n + c->queue_commands * NUMBER_BYTES + c->watch_bytes;

    hf_assert(used <= c->edge->opt.request_max);
    return c->edge->opt.request_max - used;
}

/* Why @cmd cannot be queued: an error reply was appended. */
static bool queue_refuses(struct conn *c,
                          const struct command *cmd,
                          const struct bytes *argv,
                          int argc,
                          size_t bytes,
                          struct buf *reply)
{
    enum { WORDS_MAX = LIM_ARGS - 2 * WATCH_KEYS_MAX - 16 };

    if (!command_nests(cmd) && !exec_is_own(cmd)) {
        resp_error(reply, "ERR Command not allowed inside a transaction");
    } else if (command_nests(cmd) && moved(c, cmd, argv, argc, reply)) {
        return true;
    } else if (c->queue_commands >= MULTI_COMMANDS_MAX ||
               c->queue_words + (size_t)argc + 1 > WORDS_MAX ||
               bytes + NUMBER_BYTES > exec_room(c)) {
        resp_error(reply, "ERR transaction is too large");
    }
    return reply->n > 0;
}

static void queue_command(struct conn *c,
                          const struct command *cmd,
                          const struct bytes *argv,
                          int argc)
{
    struct buf reply = BUF_INIT;
    size_t bytes = 4;

    for (int i = 0; i < argc; i++) {
        bytes += 4 + argv[i].n;
    }
    if (queue_refuses(c, cmd, argv, argc, bytes, &reply)) {
        c->multi_dirty = true;
        c->edge->now.rejected = true;
        dispatch_answer(c, &reply);
        return;
    }
    buf_u32(&c->queue, (uint32_t)argc);
    for (int i = 0; i < argc; i++) {
        buf_lbytes(&c->queue, argv[i]);
    }
    c->queue_commands++;
    c->queue_own += !command_nests(cmd);
    c->queue_words += (size_t)argc + 1;
    c->multi_writes |= (cmd->flags & CMD_WRITE) != 0;
    c->edge->now.command = NULL; /* EXEC is what is counted */
    resp_simple(&reply, "QUEUED");
    dispatch_answer(c, &reply);
}

/* ---- WATCH ---- */

void watch_forget(struct conn *c)
{
    for (size_t i = 0; i < c->n_watched; i++) {
        blob_unref(c->watched[i].key);
    }
    free(c->watched);
    c->watched = NULL;
    c->n_watched = 0;
    c->watching = 0;
    c->watch_bytes = 0;
    c->watch_broken = false;
    c->watch_epoch++;
}

static void watch_add(struct conn *c,
                      const struct command_words *w,
                      const struct resp_value *revisions)
{
    size_t n = (size_t)w->argc - 1;

    c->watched =
        hf_realloc(c->watched, (c->n_watched + n) * sizeof *c->watched);
    for (size_t i = 0; i < n; i++) {
        c->watched[c->n_watched++] =
            (struct watched){blob_copy(w->argv[i + 1].p, w->argv[i + 1].n),
                             (uint64_t)revisions->items[i].i};
    }
}

static void exec_submit(struct conn *c);

static void watch_done(struct client_op *op, struct bytes reply)
{
    struct conn_op *o = HF_CONTAINER_OF(op, struct conn_op, op);
    struct conn *c = o->conn;
    struct resp_value *v = NULL;
    struct command_words w;
    bool ok = resp_parse_reply(reply, &v) == 0 && v->type == RESP_ARRAY &&
              v->n == o->keys;

    hf_assert(command_decode(blob_bytes(op->command), &w) == 0);
    if (o->epoch == c->watch_epoch) {
        c->watching -= o->keys;
        if (ok) {
            watch_add(c, &w, v);
        } else {
            c->watch_broken = true;
        }
    }
    if (c->stale) {
        uint64_t max_age_ms = c->max_age_ms;

        c->held = false;
        client_set_stale(c->client, true, max_age_ms);
    }
    if (!ok) {
        (void)auth_note(c, op->command, reply);
    }
    reply = ok ? bytes_str("+OK\r\n") : reply;
    edge_count_op(o, reply);
    conn_reply(c, reply);
    resp_value_free(v);
    command_words_release(&w);
    if (c->exec_waits && c->watching == 0) {
        c->exec_waits = false;
        c->edge->now.command = command_by_name(bytes_str("exec"));
        c->edge->now.start_us = env_now_us(c->edge->env);
        exec_submit(c);
        c->edge->now.command = NULL;
    }
    conn_op_free(o);
}

/* The revisions come by a linearizable read, after READONLY too: what was
 * sent before and after stays stale, so this one is alone meanwhile. */
static void watch_submit(struct conn *c, const struct bytes *argv, int argc)
{
    struct conn_op *o = conn_op_new(c, OP_READ);

    o->op.command =
        auth_encode(c, command_by_name(bytes_str("revs")), 0, argv, argc);
    o->op.done = watch_done;
    o->epoch = c->watch_epoch;
    o->keys = (size_t)argc - 1;
    if (c->stale && !mutant(WATCH_STALE)) {
        client_set_stale(c->client, false, 0);
        c->held = true;
    }
    conn_op_submit(o);
}

static void watch_turn(struct client_op *op)
{
    struct conn_op *o = HF_CONTAINER_OF(op, struct conn_op, op);
    struct conn *c = o->conn;
    struct command_words w;

    hf_assert(command_decode(blob_bytes(op->command), &w) == 0);
    c->held = false;
    c->edge->now = o->counted;
    watch_submit(c, w.argv, w.argc);
    command_words_release(&w);
    conn_op_free(o);
}

static void do_watch(struct conn *c, const struct bytes *argv, int argc)
{
    const struct command *revs = command_by_name(bytes_str("revs"));
    struct buf reply = BUF_INIT;
    size_t keys = (size_t)argc - 1;
    size_t bytes = 0;
    struct conn_op *o;

    for (int i = 1; i < argc; i++) {
        bytes += argv[i].n + 4 + NUMBER_BYTES;
    }
    if (c->multi) {
        answer_error(c, "ERR WATCH inside MULTI is not allowed");
        return;
    }
    if (moved(c, revs, argv, argc, &reply) ||
        !command_check(revs, argv, argc, &reply)) {
        dispatch_answer(c, &reply);
        return;
    }
    if (keys > WATCH_KEYS_MAX - c->n_watched - c->watching ||
        bytes > exec_room(c)) {
        answer_error(c, "ERR too many watched keys");
        return;
    }
    c->watching += keys;
    c->watch_bytes += bytes;
    if (!c->stale || c->pending == 0) {
        watch_submit(c, argv, argc);
        return;
    }
    o = conn_op_new(c, OP_LOCAL);
    o->op.command = command_encode(revs, 0, argv, argc);
    o->op.local = watch_turn;
    c->held = true;
    conn_op_submit(o);
}

static void do_unwatch(struct conn *c, const struct bytes *argv, int argc)
{
    (void)argv;
    (void)argc;
    watch_forget(c);
    answer_ok(c);
}

/* ---- EXEC ---- */

/* Builds the words of a TXN; numbers live in @text. */
struct exec_words {
    struct bytes *argv;
    int argc;
    char (*text)[24];
    size_t numbers;
};

static void push(struct exec_words *x, struct bytes s)
{
    x->argv[x->argc++] = s;
}

static void push_number(struct exec_words *x, uint64_t v)
{
    char *t = x->text[x->numbers++];

    snprintf(t, 24, "%" PRIu64, v);
    push(x, bytes_str(t));
}

static bool queued_is_own(const struct bytes *argv, int argc)
{
    struct buf ignored = BUF_INIT;
    const struct command *cmd = command_find(argv, argc, &ignored);

    hf_assert(cmd != NULL); /* it was queued */
    return !command_nests(cmd);
}

static void exec_words(struct conn *c, struct exec_words *x)
{
    size_t words = 6 + 2 * c->n_watched + c->queue_words;
    struct reader r = reader_of(buf_bytes(&c->queue));
    struct reader once = reader_of(buf_bytes(&c->exec_once));

    *x = (struct exec_words){
        hf_malloc(words * sizeof *x->argv), 0,
        hf_malloc((2 + c->n_watched + c->queue_commands) * sizeof *x->text), 0};
    if (c->exec_once.n > 0) {
        push(x, bytes_str("once"));
        push(x, rd_lbytes(&once));
        push(x, rd_lbytes(&once));
    }
    push(x, bytes_str("txn"));
    push_number(x, c->n_watched);
    for (size_t i = 0; i < c->n_watched; i++) {
        push(x, blob_bytes(c->watched[i].key));
        push_number(x, c->watched[i].revision);
    }
    push_number(x, c->queue_commands - c->queue_own);
    for (size_t i = 0; i < c->queue_commands; i++) {
        int from = x->argc;
        uint32_t n = rd_u32(&r);

        push_number(x, n);
        for (uint32_t k = 0; k < n; k++) {
            push(x, rd_lbytes(&r));
        }
        if (c->queue_own > 0 && queued_is_own(x->argv + from + 1, (int)n)) {
            x->argc = from;
            x->numbers--;
        }
    }
    hf_assert(reader_done(&r) && (size_t)x->argc <= words);
}

/* Mutant: an array of replies to requests that are none but neighbours. */
static void exec_piecewise(struct conn *c)
{
    struct reader r = reader_of(buf_bytes(&c->queue));
    struct buf reply = BUF_INIT;

    resp_array(&reply, c->queue_commands);
    dispatch_answer(c, &reply);
    for (size_t i = 0; i < c->queue_commands; i++) {
        uint32_t n = rd_u32(&r);
        struct bytes *argv = hf_malloc(n * sizeof *argv);
        const struct command *cmd;

        for (uint32_t k = 0; k < n; k++) {
            argv[k] = rd_lbytes(&r);
        }
        cmd = command_by_name(argv[0]);
        submit(c, (cmd->flags & CMD_WRITE) != 0 ? OP_WRITE : OP_READ, cmd, argv,
               (int)n);
        free(argv);
    }
}

static void exec_submit(struct conn *c)
{
    struct buf reply = BUF_INIT;
    const struct command *cmd;
    struct exec_words x;

    if (c->watch_broken) {
        resp_error(&reply,
                   "EXECABORT Transaction discarded because of "
                   "previous errors.");
        dispatch_answer(c, &reply);
    } else if (mutant(EXEC_PIECEWISE) && c->exec_once.n == 0) {
        exec_piecewise(c);
    } else if (c->queue_own == c->queue_commands && c->n_watched == 0 &&
               c->queue_own > 0 && c->exec_once.n == 0) {
        exec_chain(c, OP_LOCAL, NULL, NULL, 0);
    } else {
        enum client_op_kind kind =
            c->multi_writes || c->exec_once.n > 0 ? OP_WRITE : OP_READ;

        exec_words(c, &x);
        cmd = command_by_name(x.argv[0]);
        if (command_check(cmd, x.argv, x.argc, &reply) && c->queue_own > 0) {
            exec_chain(c, kind, cmd, x.argv, x.argc);
        } else if (reply.n == 0) {
            submit(c, kind, cmd, x.argv, x.argc);
        } else {
            dispatch_answer(c, &reply);
        }
        free(x.argv);
        free(x.text);
    }
    multi_forget(c);
    watch_forget(c);
    buf_release(&c->exec_once);
    tracking_dispatched(c, NULL);
}

/* @argv: EXEC, or ONCE session number EXEC. */
static void do_exec(struct conn *c, const struct bytes *argv, int argc)
{
    if (!c->multi) {
        answer_error(c, "ERR EXEC without MULTI");
        return;
    }
    if (c->multi_dirty && !mutant(EDGE_DIRTY_EXEC)) {
        multi_forget(c);
        watch_forget(c);
        answer_error(c,
                     "EXECABORT Transaction discarded because of previous "
                     "errors.");
        return;
    }
    buf_clear(&c->exec_once);
    if (argc == 4) {
        buf_lbytes(&c->exec_once, argv[1]);
        buf_lbytes(&c->exec_once, argv[2]);
    }
    if (c->watching > 0 && !mutant(EDGE_EXEC_EARLY)) {
        c->exec_waits = true;
        return;
    }
    exec_submit(c);
}

/* ---- what acts on the connection when it is dispatched ---- */

static void do_quit(struct conn *c, const struct bytes *argv, int argc)
{
    (void)argv;
    (void)argc;
    c->quitting = true;
    answer_ok(c);
}

/* RESET READONLY READWRITE: the rest of the pipeline waits for their turn,
 * as earlier reads must still be of the kind that they were sent as. */
static void hold(struct conn *c,
                 const char *name,
                 const struct bytes *argv,
                 int argc)
{
    c->held = true;
    answer_in_turn(c, command_by_name(bytes_str(name)), argv, argc);
}

static void do_reset(struct conn *c, const struct bytes *argv, int argc)
{
    multi_forget(c);
    watch_forget(c);
    hold(c, "reset", argv, argc);
}

static void do_readonly(struct conn *c, const struct bytes *argv, int argc)
{
    hold(c, "readonly", argv, argc);
}

static void do_readwrite(struct conn *c, const struct bytes *argv, int argc)
{
    hold(c, "readwrite", argv, argc);
}

static const struct {
    const char *name;
    void (*fn)(struct conn *c, const struct bytes *argv, int argc);
    bool in_multi; /* acts there too, instead of being queued or refused */
} at_dispatch[] = {
    {"multi", do_multi, true},          {"exec", do_exec, true},
    {"discard", do_discard, true},      {"watch", do_watch, true},
    {"reset", do_reset, true},          {"quit", do_quit, true},
    {"unwatch", do_unwatch, false},     {"readonly", do_readonly, false},
    {"readwrite", do_readwrite, false},
};

/* Does it decide what the commands behind it may be? */
static bool changes_form(const struct command *cmd)
{
    return pubsub_changes(cmd) || tracking_changes(cmd) ||
           (cmd->parent == NULL && strcmp(cmd->name, "hello") == 0);
}

static bool acts_now(struct conn *c,
                     const struct command *cmd,
                     const struct bytes *argv,
                     int argc)
{
    if ((cmd->flags & CMD_CONN) == 0) {
        return false;
    }
    if (!c->multi && changes_form(cmd)) {
        c->held = !mutant(SUBSCRIBE_LATE);
        answer_in_turn(c, cmd, argv, argc);
        return true;
    }
    if (!c->multi && tracking_is_caching(cmd)) {
        struct buf reply = BUF_INIT;

        tracking_caching(c, argv, &reply);
        dispatch_answer(c, &reply);
        return true;
    }
    if (cmd->parent != NULL) {
        return false;
    }
    for (size_t i = 0; i < sizeof at_dispatch / sizeof at_dispatch[0]; i++) {
        if (strcmp(at_dispatch[i].name, cmd->name) == 0 &&
            (at_dispatch[i].in_multi || !c->multi)) {
            at_dispatch[i].fn(c, argv, argc);
            return true;
        }
    }
    return false;
}

/* A RESP2 connection that has subscribed takes but few commands. What waits
 * for its turn cannot change that: what could is held (acts_now()). */
static bool subscriber_refuses(struct conn *c, const struct command *cmd)
{
    struct buf reply = BUF_INIT;
    char name[48];

    if (c->resp3 || !pubsub_subscribed(c) || pubsub_allows(cmd) ||
        mutant(PUBSUB_ALLOWS_ALL)) {
        return false;
    }
    command_full_name(cmd, name);
    resp_errorf(&reply,
                "ERR Can't execute '%s': only (P|S)SUBSCRIBE / "
                "(P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this "
                "context",
                name);
    dispatch_answer(c, &reply);
    return true;
}

/* The row that words with an error in them meant; NULL: none. */
static const struct command *meant(const struct bytes *argv, int argc)
{
    const struct command *cmd = command_by_name(argv[0]);
    const struct command *sub =
        cmd != NULL && argc > 1 ? command_sub(cmd, argv[1]) : NULL;

    return cmd == NULL || command_has(cmd, CMD_HIDDEN) ? NULL
           : sub != NULL                               ? sub
                                                       : cmd;
}

void dispatch_go(struct conn *c,
                 const struct command *cmd,
                 const struct bytes *argv,
                 int argc)
{
    struct buf reply = BUF_INIT;

    edge_monitor(c, cmd, argv, argc);
    if (acts_now(c, cmd, argv, argc)) {
        return;
    }
    if (c->multi) {
        queue_command(c, cmd, argv, argc);
    } else if ((cmd->flags & CMD_LOCAL) != 0) {
        answer_in_turn(c, cmd, argv, argc);
    } else if ((cmd->flags & CMD_NODE) != 0) {
        submit(c, OP_NODE, cmd, argv, argc);
    } else if (moved(c, cmd, argv, argc, &reply)) {
        c->edge->now.rejected = true;
        dispatch_answer(c, &reply);
    } else if (!command_check(cmd, argv, argc, &reply)) {
        dispatch_answer(c, &reply);
    } else {
        submit(c, command_writes(cmd, argv, argc) ? OP_WRITE : OP_READ, cmd,
               argv, argc);
    }
}

static void dispatch_found(struct conn *c,
                           const struct command *cmd,
                           const struct bytes *argv,
                           int argc)
{
    c->last = cmd;
    if (!subscriber_refuses(c, cmd) && !auth_begin(c, cmd, argv, argc) &&
        !auth_gate(c, cmd, argv, argc)) {
        dispatch_go(c, cmd, argv, argc);
    }
}

/* A browser that a stranger's page made talk to this port: what it says after
 * its headers would be commands. Redis, too, closes at these words. */
static bool is_http(const struct conn *c, const struct bytes *argv)
{
    if (!bytes_ieq(argv[0], "POST") && !bytes_ieq(argv[0], "Host:")) {
        return false;
    }
    if (edge_may_log(c->edge, EDGE_QUOTA_PROTOCOL)) {
        log_warn(c->edge->log,
                 "client %" PRIu64
                 " at %s: speaks HTTP, perhaps to have "
                 "commands run from a web page; closing",
                 c->id, c->net->remote);
    }
    return !mutant(EDGE_HTTP_RUNS);
}

/* HELP is no command: what it says is nobody's who is not let in, and no
 * part of a transaction. */
static void help_refused(const struct conn *c, struct buf *reply)
{
    const char *why = auth_closed(c) ? "NOAUTH Authentication required."
                      : c->multi
                          ? "ERR Command not allowed inside a transaction"
                          : NULL;

    if (reply->p[0] != '-' && why != NULL) {
        buf_clear(reply);
        resp_error(reply, why);
    }
}

/* @reply is what command_find() had to say. EXEC with words ends its
 * transaction; any other error lets its EXEC fail. */
static void dispatch_rejected(struct conn *c,
                              const struct bytes *argv,
                              int argc,
                              struct buf *reply)
{
    struct edge *e = c->edge;

    help_refused(c, reply);
    c->multi_dirty = c->multi;
    if (reply->p[0] == '-') {
        e->now.command = meant(argv, argc);
        e->now.rejected = true;
    }
    if (bytes_ieq(argv[0], "EXEC")) {
        multi_forget(c);
        watch_forget(c);
        buf_clear(reply);
        resp_error(reply,
                   "EXECABORT Transaction discarded because of: wrong number "
                   "of arguments for 'exec' command");
    }
    dispatch_answer(c, reply);
}

static void dispatch_words(struct conn *c, const struct bytes *argv, int argc)
{
    struct edge *e = c->edge;
    struct buf reply = BUF_INIT;
    const struct command *cmd;

    if (is_http(c, argv)) {
        conn_doom(c);
        return;
    }
    e->counters.commands++;
    /* One look at the clock for all that came together. */
    e->now = (struct counted){NULL, e->turn_us, false};
    e->now_argv = argv;
    e->now_argc = argc;
    if (argc == 4 && bytes_ieq(argv[3], "EXEC") && bytes_ieq(argv[0], "ONCE")) {
        e->now.command = command_by_name(argv[0]);
        do_exec(c, argv, argc);
        tracking_dispatched(c, NULL);
    } else if ((cmd = command_find(argv, argc, &reply)) != NULL) {
        e->now.command = cmd;
        dispatch_found(c, cmd, argv, argc);
        if (!c->asking) {
            tracking_dispatched(c, cmd);
        }
    } else {
        dispatch_rejected(c, argv, argc, &reply);
        tracking_dispatched(c, NULL);
    }
    e->now.command = NULL;
    e->now_argv = NULL;
}

void dispatch(struct conn *c, const struct bytes *argv, int argc)
{
    struct auth_words w;

    if (auth_hash_words(argv, argc, &w)) {
        dispatch_words(c, w.argv, argc);
        auth_words_release(&w);
    } else {
        dispatch_words(c, argv, argc);
    }
}
