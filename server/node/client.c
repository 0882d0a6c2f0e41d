#include "server/node/client.h"

#include <stdlib.h>

#include "base/assert.h"
#include "server/command/feed.h"
#include "server/node/node_int.h"

/* A connection's operations, oldest first. Everything before @next has begun;
 * the counters say what of it is still without a reply. */
struct client {
    struct node *node;
    void *data;
    struct client_op *head;
    struct client_op *tail;
    struct client_op *next;     /* first that has not begun; NULL: all have */
    struct client_op *read;     /* no read before it runs; NULL: none does */
    struct client_op *blocking; /* an XREAD that may wait; NULL: none runs */
    size_t reads_out;
    size_t writes_out;
    struct env_task task; /* delivers and begins; see client_turn() */
    bool hold;            /* see client_hold() */
    size_t reads_held;    /* waiting for that, by their index */
    size_t done_bytes;    /* of replies that wait for their turn */
    bool stale;
    bool tracks;
    uint64_t max_age_ms;
    uint64_t write_index; /* of the last write answered */
    uint64_t min_index;   /* local reads wait until this is applied */
    uint64_t served_us;   /* when an operation was last done, and not refused */
};

/* Replies of one connection that wait for their turn: more reads are not
 * evaluated meanwhile. */
enum { CLIENT_DONE_MAX = 1 << 20 };

static void client_turn(struct env_task *t);

struct client *client_new(struct node *n, void *data)
{
    struct client *c = hf_calloc(1, sizeof *c);

    c->node = n;
    c->data = data;
    env_task_init(&c->task, client_turn, c);
    return c;
}

void *client_data(const struct client *c)
{
    return c->data;
}

void client_set_stale(struct client *c, bool on, uint64_t max_age_ms)
{
    if (c->stale) {
        read_stale_user(c->node, c->max_age_ms, -1);
    }
    c->stale = on;
    c->max_age_ms = max_age_ms;
    if (on) {
        read_stale_user(c->node, max_age_ms, 1);
    }
}

void client_set_tracking(struct client *c, bool on)
{
    c->tracks = on;
}

bool client_tracks(const struct client *c)
{
    return c != NULL && c->tracks;
}

bool client_is_stale(const struct client *c, uint64_t *max_age_ms)
{
    *max_age_ms = c->max_age_ms;
    return c->stale;
}

bool client_reads_alone(const struct client *c)
{
    return c->reads_out == 1;
}

bool client_full(const struct client *c)
{
    return c->hold || c->done_bytes > CLIENT_DONE_MAX;
}

bool client_read_is_first(struct client *c, const struct client_op *op)
{
    while (c->read != NULL && c->read != c->next &&
           (c->read->kind != OP_READ || c->read->state != OP_RUNNING)) {
        c->read = c->read->next;
    }
    return c->read == op;
}

size_t client_reads_held(struct client *c, int change)
{
    if (c == NULL) {
        return 0; /* another node's read */
    }
    c->reads_held += (size_t)change;
    return c->reads_held;
}

/* Its reads may be evaluated again. */
static void client_room(struct client *c, bool was_full)
{
    if (was_full && !client_full(c)) {
        env_defer(c->node->env, &c->task);
        read_room(c->node);
    }
}

void client_hold(struct client *c, bool on)
{
    bool full = client_full(c);

    c->hold = on;
    client_room(c, full);
}

uint64_t client_write_index(const struct client *c)
{
    return c->write_index;
}

uint64_t client_min_index(const struct client *c)
{
    return c->min_index;
}

static void client_reply_taken(struct node *n, size_t bytes)
{
    bool waits = n->reply_bytes >= NODE_REPLY_BYTES;

    hf_assert(n->reply_bytes >= bytes);
    n->reply_bytes -= bytes;
    if (waits && n->reply_bytes < NODE_REPLY_BYTES) {
        env_defer(n->env, &n->reads.task);
    }
}

void client_free(struct client *c, void (*drop)(struct client_op *op))
{
    client_set_stale(c, false, 0);
    env_undefer(c->node->env, &c->task);
    while (c->head != NULL) {
        struct client_op *op = c->head;

        c->head = op->next;
        if (op->state == OP_RUNNING) {
            node_op_cancel(c->node, op);
        } else if (op->state == OP_DONE) {
            client_reply_taken(c->node, op->reply.n);
        }
        buf_release(&op->reply);
        feed_op_end(op);
        op->client = NULL;
        drop(op);
    }
    free(c);
}

static uint64_t client_time_us(const struct client *c,
                               const struct client_op *op)
{
    uint64_t ms = c->node->cfg.request_timeout_ms;

    return (op->timeout_ms != 0 && op->timeout_ms < ms ? op->timeout_ms : ms) *
           1000;
}

void client_submit(struct client *c, struct client_op *op)
{
    hf_assert(op->client == NULL);
    op->client = c;
    op->state = OP_QUEUED;
    op->next = NULL;
    op->list = NULL;
    op->list_next = op->list_prev = NULL;
    op->number = 0;
    op->feed = NULL;
    buf_init(&op->reply);
    op->deadline_us =
        (op->since_us != 0 ? op->since_us : env_now_us(c->node->env)) +
        client_time_us(c, op);
    if (c->tail != NULL && c->head != NULL) {
        c->tail->next = op;
    } else {
        c->head = op;
    }
    c->tail = op;
    if (c->next == NULL) {
        c->next = op;
    }
    env_defer(c->node->env, &c->task);
}

/* May @op begin, given what is still out before it? */
static bool client_may_begin(const struct client *c, const struct client_op *op)
{
    switch (op->kind) {
        case OP_WRITE:
            if (mutant(ORDER_WRITE_EARLY)) {
                return true;
            }
            return c->reads_out == 0;
        case OP_READ:
            if (mutant(ORDER_READ_EARLY)) {
                return true;
            }
            /* A stale one would be evaluated at once. */
            return c->writes_out == 0 && !(c->stale && client_full(c));
        case OP_LOCAL:
        case OP_NODE:
            return op == c->head;
    }
    hf_assert(false);
    return false;
}

/* Nothing behind @op begins before it is over. */
static void client_blocks(struct client *c, struct client_op *op)
{
    if (feed_is_blocking(blob_bytes(op->command)) && !mutant(FEED_OVERTAKEN)) {
        c->blocking = op;
    }
}

/* It is over: what is behind it has all its time yet. */
static void client_unblocked(struct client *c)
{
    uint64_t now = env_now_us(c->node->env);

    for (struct client_op *op = c->blocking->next; op != NULL; op = op->next) {
        op->deadline_us = now + client_time_us(c, op);
    }
    c->blocking = NULL;
}

bool client_unblock(struct client *c, bool error)
{
    return c->blocking != NULL && feed_unblock(c->node, c->blocking, error);
}

bool client_op_blocks(const struct client_op *op)
{
    return op->client != NULL && op->client->blocking == op;
}

/* The time in which it waited for others of its connection that were served
 * does not count: a long pipeline of reads and writes in turns takes as long
 * as it takes. */
static void client_timed(const struct client *c, struct client_op *op)
{
    uint64_t deadline = c->served_us + client_time_us(c, op);

    if (op->deadline_us < deadline && !mutant(DEADLINE_IN_LINE)) {
        op->deadline_us = deadline;
    }
}

/* Begin what may begin. Stops at a local operation that is not at the head:
 * it runs when the ones before it have been delivered. */
static void client_begin(struct client *c)
{
    while (c->next != NULL && c->next->kind != OP_LOCAL &&
           c->blocking == NULL && client_may_begin(c, c->next)) {
        struct client_op *op = c->next;

        c->next = op->next;
        op->state = OP_RUNNING;
        client_timed(c, op);
        if (op->kind == OP_WRITE) {
            c->writes_out++;
            session_write(c->node, op);
        } else if (op->kind == OP_READ) {
            c->reads_out++;
            if (c->reads_out == 1) {
                c->read = op;
            }
            client_blocks(c, op);
            read_begin(c->node, op);
        } else {
            admin_begin(c->node, op);
        }
    }
}

static void client_pop(struct client *c)
{
    struct client_op *op = c->head;

    c->head = op->next;
    if (c->head == NULL) {
        c->tail = NULL;
    }
    if (c->next == op) {
        c->next = op->next;
    }
    if (c->read == op) {
        c->read = op->next;
    }
    op->client = NULL;
}

/* Deliver from the head, then begin what that made possible. A callback may
 * free the whole client: its owner then finds no queued task, and we must
 * not touch it again, hence one delivery per round. */
static void client_turn(struct env_task *t)
{
    struct client *c = t->data;
    struct client_op *op = c->head;

    client_begin(c);
    if (op == NULL) {
        return;
    }
    if (op->kind == OP_LOCAL && op->state == OP_QUEUED) {
        client_pop(c);
        env_defer(c->node->env, &c->task);
        op->local(op);
        return;
    }
    if (op->state == OP_DONE) {
        struct buf reply = op->reply;
        bool full = client_full(c);

        client_pop(c);
        c->done_bytes -= reply.n;
        client_room(c, full);
        env_defer(c->node->env, &c->task);
        client_reply_taken(c->node, reply.n);
        buf_init(&op->reply);
        op->done(op, buf_bytes(&reply));
        buf_release(&reply);
    }
}

void client_op_done(struct client_op *op, uint64_t index)
{
    struct client *c = op->client;

    hf_assert(op->state == OP_RUNNING);
    op->state = OP_DONE;
    feed_op_end(op);
    if (c == NULL) { /* another node's, answered here */
        struct buf reply = op->reply;

        buf_init(&op->reply);
        op->done(op, buf_bytes(&reply));
        buf_release(&reply);
        return;
    }
    c->done_bytes += op->reply.n;
    c->node->reply_bytes += op->reply.n;
    if (index > c->min_index) {
        c->min_index = index;
    }
    if (index > 0) {
        c->served_us = env_now_us(c->node->env);
    }
    if (c->blocking == op) {
        client_unblocked(c);
    }
    if (op->kind == OP_WRITE) {
        c->write_index = index > c->write_index ? index : c->write_index;
        hf_assert(c->writes_out > 0);
        c->writes_out--;
    } else if (op->kind == OP_READ) {
        hf_assert(c->reads_out > 0);
        c->reads_out--;
        read_room(c->node); /* for later ones that waited for it */
    }
    env_defer(c->node->env, &c->task);
}

void client_op_reply(struct client_op *op, struct bytes reply, uint64_t index)
{
    buf_clear(&op->reply);
    buf_bytes_append(&op->reply, reply);
    client_op_done(op, index);
}

void client_op_error(struct client_op *op, const char *line)
{
    buf_clear(&op->reply);
    buf_u8(&op->reply, '-');
    buf_append(&op->reply, line, strlen(line));
    buf_append(&op->reply, "\r\n", 2);
    client_op_done(op, 0);
}
