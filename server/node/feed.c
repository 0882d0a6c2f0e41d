#include "server/node/feed.h"

#include <stdlib.h>

#include "server/command/acl.h"
#include "server/command/feed.h"
#include "server/node/node_int.h"

/* What an operation's request has come to. */
struct feed_op {
    struct feed *feed;
    uint64_t end_us; /* when it stops to wait; 0: never */
    bool blocks;
    bool last; /* its time is over: the next answer is the answer */
};

static void feed_turn(struct env_timer *t);
static void feed_timer(struct env_timer *t);

void feed_init(struct node *n)
{
    env_timer_init(&n->feeds.step, feed_turn, n);
    env_timer_init(&n->feeds.timer, feed_timer, n);
}

void feed_release(struct node *n)
{
    env_timer_stop(n->env, &n->feeds.step);
    env_timer_stop(n->env, &n->feeds.timer);
}

void feed_op_end(struct client_op *op)
{
    if (op->feed != NULL) {
        feed_free(op->feed->feed);
        free(op->feed);
        op->feed = NULL;
    }
}

static struct history *history_of(struct node *n)
{
    return store_history(machine_store(n->machine));
}

void feed_limits(struct node *n)
{
    uint64_t bytes = n->cfg.history_bytes;

    /* Else a small memory limit would be used up by changes, which no
     * deletion of keys frees. */
    if (n->cfg.memory_limit != 0 && bytes > n->cfg.memory_limit / 8 &&
        !mutant(FEED_TAKES_MEMORY)) {
        bytes = n->cfg.memory_limit / 8;
    }
    if (n->machine != NULL) {
        machine_history_limits(n->machine, n->cfg.history_count, bytes);
    }
}

size_t node_blocked(const struct node *n)
{
    return n->feeds.parked.n;
}

/* ---- waiting ---- */

/* Wake when the first one's time is over. */
static void arm(struct node *n)
{
    uint64_t first = 0;

    for (const struct client_op *op = n->feeds.parked.head; op != NULL;
         op = op->list_next) {
        uint64_t end = op->feed->end_us;

        if (end != 0 && (first == 0 || end < first)) {
            first = end;
        }
    }
    env_timer_stop(n->env, &n->feeds.timer);
    if (first != 0) {
        n->feeds.timer_us = first;
        env_timer_start(n->env, &n->feeds.timer, first);
    }
}

static void park(struct node *n, struct client_op *op)
{
    struct feed_op *w = op->feed;

    if (n->feeds.parked.n >= FEED_PARKED_MAX &&
        !mutant(FEED_PARKED_UNBOUNDED)) {
        client_op_error(op, "TRYAGAIN too many requests wait for changes");
        return;
    }
    if (n->stopping) {
        client_op_error(op, "TRYAGAIN this node is shutting down");
        return;
    }
    op_list_push(&n->feeds.parked, op);
    if (w->end_us != 0 &&
        (!env_timer_armed(&n->feeds.timer) || w->end_us < n->feeds.timer_us)) {
        arm(n);
    }
}

/* Its time is over: one more round tells whether there was nothing. */
static void last_round(struct node *n, struct client_op *op)
{
    hf_assert(op_list_remove(&n->feeds.parked, op));
    op->feed->last = true;
    op->deadline_us = env_now_us(n->env) + n->cfg.request_timeout_ms * 1000;
    if (mutant(FEED_LOCAL_NULL)) {
        (void)feed_take(n, op);
        return;
    }
    read_begin(n, op);
}

static void feed_timer(struct env_timer *t)
{
    struct node *n = t->data;
    uint64_t now = env_now_us(n->env);
    struct client_op *next;

    for (struct client_op *op = n->feeds.parked.head; op != NULL; op = next) {
        next = op->list_next;
        if (op->feed->end_us != 0 && op->feed->end_us <= now) {
            last_round(n, op);
        }
    }
    arm(n);
}

/* ---- looking ---- */

/* A timer, not a task: other work and sockets come in between. */
static void step_soon(struct node *n)
{
    if (!env_timer_armed(&n->feeds.step)) {
        env_timer_start(n->env, &n->feeds.step, env_now_us(n->env));
    }
}

static void step_later(struct node *n, struct client_op *op)
{
    if (n->feeds.stepping.n >= FEED_STEPPING_MAX) {
        client_op_error(op, "TRYAGAIN too many requests go through changes");
        return;
    }
    op_list_push(&n->feeds.stepping, op);
    step_soon(n);
}

/* Is a large one under way? Others wait for it with empty hands. */
static bool large_runs(const struct node *n)
{
    for (const struct client_op *op = n->feeds.stepping.head; op != NULL;
         op = op->list_next) {
        if (feed_is_large(op->feed->feed)) {
            return true;
        }
    }
    return false;
}

static void look(struct node *n, struct client_op *op, uint64_t units)
{
    struct feed_op *w = op->feed;

    /* Again each time: it may have waited long. */
    buf_clear(&op->reply);
    if (!mutant(ACL_WALK_UNSEEN) &&
        acl_refuses(n->machine, blob_bytes(op->command), &op->reply)) {
        client_op_done(op, driver_applied(&n->driver));
        return;
    }
    if (!feed_step(w->feed, history_of(n), units)) {
        step_later(n, op);
        return;
    }
    if (feed_empty(w->feed) && w->blocks && !w->last && op->client != NULL) {
        park(n, op);
        return;
    }
    buf_clear(&op->reply);
    feed_reply(w->feed, &op->reply);
    client_op_done(op, driver_applied(&n->driver));
}

bool feed_take(struct node *n, struct client_op *op)
{
    struct bytes command = blob_bytes(op->command);
    struct feed_op *w = op->feed;
    struct feed *f;

    if (!feed_is(command)) {
        return false;
    }
    if (w == NULL) {
        f = feed_new(command);
        if (f == NULL) {
            return false; /* malformed: command_read() says so */
        }
        w = hf_calloc(1, sizeof *w);
        w->feed = f;
        w->blocks = feed_is_blocking(command);
        if (w->blocks && feed_block_ms(f) > 0) {
            w->end_us = env_now_us(n->env) + feed_block_ms(f) * 1000;
        }
        op->feed = w;
    }
    if (feed_is_large(w->feed) && large_runs(n)) {
        step_later(n, op);
    } else {
        /* Short ones are not kept waiting by those that are not. */
        look(n, op,
             n->feeds.stepping.n < FEED_TURN_STEPS ? FEED_STEP
                                                   : FEED_STEP_SHORT);
    }
    return true;
}

bool feed_cancel(struct node *n, struct client_op *op)
{
    return op_list_remove(&n->feeds.parked, op) ||
           op_list_remove(&n->feeds.stepping, op);
}

static bool may_look(const struct node *n)
{
    return n->running && n->machine != NULL && !driver_installing(&n->driver);
}

/* Those that wait look at what came. When that takes long the rest does so in
 * the next turn: the ones that have looked are behind them, and find nothing
 * new. */
static void feed_wake(struct node *n)
{
    struct feeds *d = &n->feeds;
    struct history_id last;
    uint64_t start;

    if (d->parked.n == 0 || !may_look(n) || mutant(FEED_NOT_WOKEN)) {
        return;
    }
    last = history_last(history_of(n));
    if (history_cmp(last, d->seen) == 0) {
        return;
    }
    start = env_now_us(n->env);
    for (size_t left = d->parked.n; left > 0; left--) {
        if (!read_reply_room(n)) {
            return; /* again when replies were taken */
        }
        if (env_now_us(n->env) - start > FEED_WAKE_US) {
            step_soon(n);
            return;
        }
        look(n, op_list_pop(&d->parked), FEED_STEP);
    }
    d->seen = last;
}

void feed_applied(struct node *n)
{
    if (n->feeds.stepping.n > 0) {
        step_soon(n); /* if an install or full replies held it */
    }
    feed_wake(n);
}

/* The next step of the first few that are not at the end yet. */
static void feed_turn(struct env_timer *t)
{
    struct node *n = t->data;
    bool large = false; /* one was looked at */
    int steps = 0;

    if (!may_look(n)) {
        /* Requests end with the node, or go on behind the install. */
        return;
    }
    for (size_t left = n->feeds.stepping.n;
         left > 0 && steps < FEED_TURN_STEPS && read_reply_room(n); left--) {
        struct client_op *op = op_list_pop(&n->feeds.stepping);

        if (large && feed_is_large(op->feed->feed)) {
            op_list_push(&n->feeds.stepping, op);
        } else {
            large |= feed_is_large(op->feed->feed);
            steps++;
            look(n, op, FEED_STEP);
        }
    }
    if (n->feeds.stepping.n > 0 && read_reply_room(n)) {
        step_soon(n); /* else when replies were taken */
    }
    feed_wake(n);
}

/* ---- ends ---- */

void feed_stop(struct node *n)
{
    struct client_op *op;

    while ((op = op_list_pop(&n->feeds.parked)) != NULL) {
        client_op_error(op, "TRYAGAIN this node is shutting down");
    }
}

bool feed_unblock(struct node *n, struct client_op *op, bool error)
{
    if (op->list != &n->feeds.parked) {
        return false;
    }
    if (error) {
        (void)op_list_remove(&n->feeds.parked, op);
        client_op_error(op, "UNBLOCKED client unblocked via CLIENT UNBLOCK");
    } else {
        last_round(n, op);
    }
    return true;
}
