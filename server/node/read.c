#include "server/node/read.h"

#include <stdlib.h>

#include "server/command/admin.h"
#include "server/command/command.h"
#include "server/command/stats.h"
#include "server/node/node_int.h"

/* A read or question of another node that this one answers. */
struct passed_op {
    struct client_op op;
    struct node *node;
    uint64_t from;
    uint64_t id;
};

/* ---- lists of operations, by their list_next ---- */

static size_t op_bytes(const struct client_op *op)
{
    return op->command != NULL ? op->command->n : 0;
}

void op_list_push(struct op_list *l, struct client_op *op)
{
    hf_assert(op->list == NULL);
    op->list = l;
    op->list_next = NULL;
    op->list_prev = l->tail;
    *(l->tail != NULL ? &l->tail->list_next : &l->head) = op;
    l->tail = op;
    l->n++;
    l->bytes += op_bytes(op);
}

bool op_list_remove(struct op_list *l, struct client_op *op)
{
    if (op->list != l) {
        return false;
    }
    *(op->list_prev != NULL ? &op->list_prev->list_next : &l->head) =
        op->list_next;
    *(op->list_next != NULL ? &op->list_next->list_prev : &l->tail) =
        op->list_prev;
    op->list = NULL;
    op->list_next = op->list_prev = NULL;
    l->n--;
    l->bytes -= op_bytes(op);
    return true;
}

struct client_op *op_list_pop(struct op_list *l)
{
    struct client_op *op = l->head;

    if (op != NULL) {
        (void)op_list_remove(l, op);
    }
    return op;
}

static void op_list_move(struct op_list *to, struct op_list *from)
{
    struct client_op *op;

    while ((op = op_list_pop(from)) != NULL) {
        op_list_push(to, op);
    }
}

/* ---- life ---- */

static void read_task(struct env_task *t);
static void read_timer(struct env_timer *t);

void read_init(struct node *n)
{
    struct reads *r = &n->reads;
    uint64_t start;

    memset(r, 0, sizeof *r);
    /* Ids start at an unpredictable place, so that an answer to an earlier
     * process of this node is not taken for one to this. */
    env_random(n->env, &start, sizeof start);
    r->round = start >> 16;
    r->pass_id = start >> 16;
    env_task_init(&r->task, read_task, n);
    env_timer_init(&r->timer, read_timer, n);
}

/* Reads of other nodes are ours to free; connections free their own. */
static void read_free_passed(struct op_list *l)
{
    struct client_op *op;

    while ((op = op_list_pop(l)) != NULL) {
        if (op->client == NULL) {
            blob_unref(op->command);
            buf_release(&op->reply);
            feed_op_end(op);
            free(HF_CONTAINER_OF(op, struct passed_op, op));
        }
    }
}

void read_release(struct node *n)
{
    env_undefer(n->env, &n->reads.task);
    env_timer_stop(n->env, &n->reads.timer);
    read_free_passed(&n->reads.waiting);
    read_free_passed(&n->reads.asked);
    read_free_passed(&n->reads.indexed);
    read_free_passed(&n->reads.passed);
    read_free_passed(&n->admin);
    read_free_passed(&n->walker.waiting);
    read_free_passed(&n->feeds.stepping);
}

bool read_full(const struct node *n)
{
    const struct reads *r = &n->reads;

    return r->waiting.n + r->asked.n + r->indexed.n + r->passed.n +
                   n->walker.waiting.n >=
               LIM_READING ||
           r->waiting.bytes + r->asked.bytes + r->indexed.bytes +
                   r->passed.bytes >=
               LIM_PARKED_BYTES;
}

void read_cancel(struct node *n, struct client_op *op)
{
    struct reads *r = &n->reads;
    bool full = node_full(n);

    if (!op_list_remove(&r->waiting, op) && !op_list_remove(&r->asked, op) &&
        !op_list_remove(&r->indexed, op) && !op_list_remove(&r->full, op) &&
        !walker_cancel(n, op) && !feed_cancel(n, op)) {
        (void)op_list_remove(&r->passed, op);
    }
    node_made_room(n, full);
}

/* ---- evaluation ---- */

static void read_evaluate(struct node *n, struct client_op *op)
{
    buf_clear(&op->reply);
    if (walker_take(n, op) || feed_take(n, op)) {
        return;
    }
    if (mutant(READ_LOCAL_CLOCK)) {
        store_advance(machine_store(n->machine), env_wall_ms(n->env));
    }
    machine_set_clock(n->machine, ctime_told(n));
    command_read(n->machine, blob_bytes(op->command), &op->reply);
    if (n->cfg.edge != NULL && n->cfg.edge->stats != NULL) {
        machine_take_lookups(n->machine, &n->cfg.edge->stats->hits,
                             &n->cfg.edge->stats->misses);
    }
    client_op_done(op, driver_applied(&n->driver));
}

bool read_reply_room(const struct node *n)
{
    return n->reply_bytes < NODE_REPLY_BYTES || mutant(REPLIES_AT_ONCE);
}

/* Not while its connection is full. And reads of a connection are evaluated
 * in their order, also when an earlier one was passed to the leader or asks
 * for another round: else it would see newer data than a later one. */
static bool read_must_wait(struct node *n, const struct client_op *op)
{
    return !read_reply_room(n) ||
           (op->client != NULL &&
            (client_full(op->client) || !client_read_is_first(op->client, op)));
}

static void read_evaluate_or_hold(struct node *n, struct client_op *op)
{
    uint64_t leader = node_ready_leader(n);

    if (read_must_wait(n, op)) {
        op_list_push(&n->reads.full, op);
        client_reads_held(op->client, 1);
    } else if (op->client != NULL && leader != n->id &&
               driver_applied(&n->driver) < client_min_index(op->client)) {
        /* The leader answered an earlier read of this connection with newer
         * data than there are here: it answers this one, too; or the next
         * one is asked for an index, which cannot be an earlier one. */
        if (client_tracks(op->client) && !mutant(TRACK_PASSED)) {
            /* It must not be ahead of the changes that it was told. */
            op->number = client_min_index(op->client);
            op->term = driver_term(&n->driver);
            op_list_push(&n->reads.indexed, op);
        } else if (leader != 0) {
            read_pass(n, op);
        } else {
            op_list_push(&n->reads.waiting, op);
            env_defer(n->env, &n->reads.task);
        }
    } else {
        read_evaluate(n, op);
    }
}

void read_applied(struct node *n)
{
    struct reads *r = &n->reads;
    uint64_t applied = driver_applied(&n->driver);
    bool full = node_full(n);

    if (driver_installing(&n->driver)) {
        return;
    }
    feed_applied(n);
    if (r->confirm_index != 0 && applied >= r->confirm_index) {
        r->fresh_us = r->confirm_us;
        r->confirm_index = 0;
    }
    /* Replies of one turn could be more than memory holds: the rest waits
     * until some were taken. */
    for (size_t left = r->full.n; left > 0; left--) {
        struct client_op *op = op_list_pop(&r->full);

        client_reads_held(op->client, -1);
        read_evaluate_or_hold(n, op); /* all of them: keeps their order */
    }
    while (r->indexed.head != NULL && r->indexed.head->number <= applied &&
           read_reply_room(n)) {
        struct client_op *op = op_list_pop(&r->indexed);

        /* What was named may have been the log's end, for its time, and not
         * committed: in another term another entry may stand there. */
        if (op->term != driver_term(&n->driver) && !mutant(NAMED_IN_ANY_TERM)) {
            op_list_push(&r->waiting, op);
            env_defer(n->env, &r->task);
        } else {
            read_evaluate_or_hold(n, op);
        }
        r->indexed_us = env_now_us(n->env);
    }
    node_made_room(n, full);
}

void read_room(struct node *n)
{
    if (n->reads.full.n > 0) {
        env_defer(n->env, &n->reads.task);
    }
}

/* Answer from local data if they are young enough for this connection. */
static bool read_stale(struct node *n, struct client_op *op)
{
    uint64_t bound_ms;
    uint64_t now = env_now_us(n->env);

    if (op->client == NULL || op->fresh ||
        !client_is_stale(op->client, &bound_ms) || n->machine == NULL ||
        !n->running || driver_installing(&n->driver)) {
        return false;
    }
    /* An earlier read of the connection may yet show newer data. */
    if ((!client_reads_alone(op->client) && !mutant(STALE_OVERTAKES)) ||
        (driver_applied(&n->driver) < client_min_index(op->client) &&
         !mutant(REPLY_INDEX_IGNORED))) {
        return false;
    }
    if (bound_ms != 0 && !mutant(STALE_UNBOUNDED) &&
        (n->reads.fresh_us == 0 || now - n->reads.fresh_us > bound_ms * 1000)) {
        return false;
    }
    read_evaluate(n, op);
    return true;
}

void read_begin(struct node *n, struct client_op *op)
{
    struct reads *r = &n->reads;

    if (n->stopping) {
        client_op_error(op, "TRYAGAIN this node is shutting down");
        return;
    }
    if (read_stale(n, op)) {
        return;
    }
    if (r->waiting.n + r->asked.n + r->indexed.n + r->passed.n >=
        2 * LIM_READING) {
        client_op_error(op, "TRYAGAIN too many requests are waiting");
        return;
    }
    if (mutant(READ_LOCAL) && n->machine != NULL && n->running) {
        read_evaluate(n, op);
        return;
    }
    op_list_push(&r->waiting, op);
    env_defer(n->env, &r->task);
}

/* ---- the asking side ---- */

static bool read_stale_due(struct node *n)
{
    struct reads *r = &n->reads;
    uint64_t smallest = UINT64_MAX;

    for (unsigned i = 0; i < r->bounds_n; i++) {
        if (r->bounds[i].age_ms != 0 && r->bounds[i].age_ms < smallest) {
            smallest = r->bounds[i].age_ms;
        }
    }
    return smallest != UINT64_MAX && !mutant(STALE_NOT_RENEWED) &&
           env_now_us(n->env) - r->asked_us > smallest * 1000 / 4;
}

/* The leader (perhaps this node) has named @index for our round. */
static void read_named(struct node *n, bool ok, uint64_t index)
{
    struct reads *r = &n->reads;
    struct client_op *op;

    hf_assert(r->asking);
    r->asking = false;
    if (!ok) {
        /* It does not lead any more: ask the next one. */
        op_list_move(&r->asked, &r->waiting);
        op_list_move(&r->waiting, &r->asked);
        return;
    }
    if (r->indexed.head == NULL) {
        r->indexed_us = env_now_us(n->env);
    }
    if (mutant(ROUND_SERVES_LATECOMERS)) {
        op_list_move(&r->asked, &r->waiting);
    }
    while ((op = op_list_pop(&r->asked)) != NULL) {
        op->number = mutant(READ_BEFORE_APPLIED) ? 0 : index;
        op->term = r->asked_term;
        op_list_push(&r->indexed, op);
    }
    if (mutant(STALE_AGE_FROM_ANSWER)) {
        r->asked_us = env_now_us(n->env);
    }
    /* One that still waits to be applied counts first: were it replaced with
     * every round, a node that lags a little would never be young. */
    if (r->confirm_index == 0) {
        r->confirm_us = r->asked_us;
        r->confirm_index = index == 0 ? 1 : index;
    }
    if (driver_applied(&n->driver) >= index || mutant(STALE_AGE_UNAPPLIED)) {
        r->fresh_us = r->asked_us;
        r->confirm_index = 0;
    }
    env_defer(n->env, &r->task);
}

static void read_probe(struct node *n);

/* Let a round leave, if one is due and a leader is known. */
static void read_ask(struct node *n)
{
    struct reads *r = &n->reads;
    uint64_t leader = node_ready_leader(n);

    if (r->asking || leader == 0 || (r->waiting.n == 0 && !read_stale_due(n))) {
        return;
    }
    if (leader == n->id) {
        if (r->next_asks_n == READ_ASKS_MAX) {
            return;
        }
        r->next_asks[r->next_asks_n++] = (struct read_ask){n->id, ++r->round};
    } else {
        struct buf b = BUF_INIT;
        bool sent;

        node_envelope(n, &b);
        buf_u64(&b, ++r->round);
        sent = peer_send(n->peers, leader, PEER_CONTROL, NMSG_READ_ROUND,
                         buf_bytes(&b), NULL, 0);
        buf_release(&b);
        if (!sent) {
            return; /* again with the next tick */
        }
    }
    r->asking = true;
    r->asked_us = env_now_us(n->env);
    r->asked_leader = leader;
    r->asked_term = driver_term(&n->driver);
    op_list_move(&r->asked, &r->waiting);
    if (leader == n->id) {
        read_probe(n);
    }
}

/* An answer will not come: ask again, under a new id. */
static void read_ask_again(struct node *n)
{
    struct reads *r = &n->reads;

    if (!r->asking) {
        return;
    }
    r->asking = false;
    if (mutant(READ_ID_REUSED)) {
        r->round--;
    }
    op_list_move(&r->asked, &r->waiting); /* keep the order of arrival */
    op_list_move(&r->waiting, &r->asked);
    env_defer(n->env, &r->task);
}

/* An earlier leader may have named an entry that was never committed. A node
 * that leads without it would wait for its own next writes: ask again. */
static void read_drop_named(struct node *n)
{
    struct reads *r = &n->reads;

    if (node_ready_leader(n) != n->id) {
        return;
    }
    for (size_t left = r->indexed.n; left > 0; left--) {
        struct client_op *op = op_list_pop(&r->indexed);
        bool lost = op->number > driver_last(&n->driver);

        op_list_push(lost ? &r->waiting : &r->indexed, op);
    }
}

void read_leader_changed(struct node *n)
{
    struct reads *r = &n->reads;

    if (r->asking && (r->asked_leader != node_ready_leader(n) ||
                      r->asked_term != driver_term(&n->driver))) {
        read_ask_again(n);
    }
    for (unsigned left = (unsigned)r->passed.n; left > 0; left--) {
        struct client_op *op = op_list_pop(&r->passed);

        if (op->kind == OP_READ) {
            op_list_push(&r->waiting, op);
        } else {
            op_list_push(&r->passed, op); /* its deadline answers it */
        }
    }
    read_drop_named(n);
    env_defer(n->env, &r->task);
}

void read_on_index(struct node *n, uint64_t from, struct reader *rd)
{
    struct reads *r = &n->reads;
    uint64_t round = rd_u64(rd);
    bool ok = rd_u8(rd) != 0;
    uint64_t index = rd_u64(rd);

    if (!reader_done(rd) || !r->asking || round != r->round ||
        from != r->asked_leader) {
        return;
    }
    read_named(n, ok, index);
    read_applied(n);
}

/* ---- the leader's side ---- */

static void read_answer(struct node *n,
                        const struct read_ask *a,
                        bool ok,
                        uint64_t index)
{
    struct reads *r = &n->reads;
    struct buf b = BUF_INIT;

    if (a->node == n->id) {
        if (r->asking && a->round == r->round) {
            read_named(n, ok, index);
        }
        return;
    }
    node_envelope(n, &b);
    buf_u64(&b, a->round);
    buf_u8(&b, ok ? 1 : 0);
    buf_u64(&b, index);
    peer_send(n->peers, a->node, PEER_CONTROL, NMSG_READ_INDEX, buf_bytes(&b),
              NULL, 0);
    buf_release(&b);
}

static void read_answer_all(struct node *n, bool ok, uint64_t index)
{
    struct reads *r = &n->reads;
    unsigned k = r->asks_n;
    bool others = false;

    r->asks_n = 0;
    for (unsigned i = 0; i < k; i++) {
        others |= r->asks[i].node != n->id;
        read_answer(n, &r->asks[i], ok, index);
    }
    if (ok && others && driver_commit(&n->driver) > r->kicked &&
        !mutant(NO_KICK)) {
        r->kicked = driver_commit(&n->driver);
        driver_kick(&n->driver, node_now_ms(n));
    }
}

/* Begin a probe round for all questions that are there now. */
static void read_probe(struct node *n)
{
    struct reads *r = &n->reads;
    int rv;

    if (r->next_asks_n == 0 || r->asks_n > 0 || driver_probing(&n->driver)) {
        return;
    }
    if (n->leader.term == 0) {
        memcpy(r->asks, r->next_asks, r->next_asks_n * sizeof r->asks[0]);
        r->asks_n = r->next_asks_n;
        r->next_asks_n = 0;
        read_answer_all(n, false, 0);
        return;
    }
    if (!leader_log_deadlines(n, &r->deadline_index)) {
        return; /* the tick comes back */
    }
    memcpy(r->asks, r->next_asks, r->next_asks_n * sizeof r->asks[0]);
    r->asks_n = r->next_asks_n;
    r->next_asks_n = 0;
    rv = driver_probe(&n->driver, node_now_ms(n), ++r->probe_round);
    if (rv != 0) {
        read_answer_all(n, false, 0);
    }
}

void read_on_round(struct node *n, uint64_t from, struct reader *rd)
{
    struct reads *r = &n->reads;
    uint64_t round = rd_u64(rd);

    if (!reader_done(rd) || r->next_asks_n == READ_ASKS_MAX) {
        return; /* asked again under another id */
    }
    r->next_asks[r->next_asks_n++] = (struct read_ask){from, round};
    env_defer(n->env, &r->task);
}

/* From inside the driver: only take note. */
void read_probe_done(struct node *n, bool ok, uint64_t index)
{
    struct reads *r = &n->reads;

    r->probe_over = true;
    r->probe_ok = ok;
    r->probe_index = index;
    env_defer(n->env, &r->task);
}

/* ---- reads and questions passed to the leader ---- */

void read_pass(struct node *n, struct client_op *op)
{
    struct reads *r = &n->reads;
    uint64_t leader = node_ready_leader(n);
    struct bytes body = blob_bytes(op->command);
    struct buf b = BUF_INIT;

    if ((leader == 0 || leader == n->id ||
         (client_op_blocks(op) && !mutant(FEED_PASSED))) &&
        op->kind == OP_READ) {
        op_list_push(&r->waiting, op); /* for a round of its own */
        env_defer(n->env, &r->task);
        return;
    }
    op->number = ++r->pass_id;
    op_list_push(&r->passed, op);
    if (leader == 0 || leader == n->id) {
        return; /* its deadline, or the next leader, takes it on */
    }
    node_envelope(n, &b);
    buf_u64(&b, op->number);
    buf_u8(&b, op->kind == OP_READ ? 0 : 1);
    peer_send(n->peers, leader, PEER_BULK, NMSG_PASS, buf_bytes(&b), &body, 1);
    buf_release(&b);
}

static void passed_done(struct client_op *op, struct bytes reply)
{
    struct passed_op *p = HF_CONTAINER_OF(op, struct passed_op, op);
    struct buf b = BUF_INIT;

    node_envelope(p->node, &b);
    buf_u64(&b, p->id);
    buf_u64(&b, driver_applied(&p->node->driver));
    peer_send(p->node->peers, p->from, PEER_BULK, NMSG_PASS_REPLY,
              buf_bytes(&b), &reply, 1);
    buf_release(&b);
    node_internal_op_end(p->node, op->command->n);
    blob_unref(op->command);
    free(p);
}

void read_on_pass(struct node *n, uint64_t from, struct reader *rd)
{
    uint64_t id = rd_u64(rd);
    uint8_t kind = rd_u8(rd);
    struct passed_op *p;

    if (!reader_ok(rd) || kind > 1 || n->internal_ops >= READ_PASSED_MAX ||
        n->internal_bytes + rd->n > LIM_PARKED_BYTES || n->leader.term == 0) {
        return;
    }
    p = hf_calloc(1, sizeof *p);
    p->node = n;
    p->from = from;
    p->id = id;
    p->op.kind = kind == 0 ? OP_READ : OP_NODE;
    p->op.command = blob_copy(rd->p, rd->n);
    p->op.done = passed_done;
    p->op.state = OP_RUNNING;
    p->op.deadline_us = env_now_us(n->env) + n->cfg.request_timeout_ms * 1000;
    n->internal_ops++;
    n->internal_bytes += rd->n;
    if (kind == 0) {
        read_begin(n, &p->op);
    } else {
        admin_begin(n, &p->op);
    }
}

/* The leader answers what this node is behind with: one read of a connection
 * at a time. An earlier one that is held, or has to be asked for again, would
 * come to see newer data. */
static void read_pass_behind(struct node *n)
{
    struct reads *r = &n->reads;

    if (r->indexed.head == NULL || r->asked_leader == n->id ||
        env_now_us(n->env) - r->indexed_us <= READ_BEHIND_MS * 1000 ||
        mutant(READ_NOT_PASSED)) {
        return;
    }
    for (size_t left = r->indexed.n; left > 0; left--) {
        struct client_op *op = op_list_pop(&r->indexed);

        if (op->client != NULL &&
            ((client_tracks(op->client) && !mutant(TRACK_PASSED)) ||
             client_reads_held(op->client, 0) > 0 ||
             (!client_read_is_first(op->client, op) &&
              !mutant(PASS_OVERTAKES)))) {
            op_list_push(&r->indexed, op);
        } else {
            read_pass(n, op);
        }
    }
}

void read_on_pass_reply(struct node *n, uint64_t from, struct reader *rd)
{
    struct reads *r = &n->reads;
    uint64_t id = rd_u64(rd);
    uint64_t index = rd_u64(rd);

    (void)from;
    if (!reader_ok(rd)) {
        return;
    }
    for (struct client_op *op = r->passed.head; op != NULL;
         op = op->list_next) {
        if (op->number == id) {
            bool full = node_full(n);

            (void)op_list_remove(&r->passed, op);
            client_op_reply(op, bytes_of(rd->p, rd->n), index);
            node_made_room(n, full);
            read_pass_behind(n);
            return;
        }
    }
}

/* ---- time ---- */

static void read_expire_list(struct op_list *l, uint64_t now, const char *text)
{
    for (unsigned left = (unsigned)l->n; left > 0; left--) {
        struct client_op *op = op_list_pop(l);
        uint64_t bound;

        if (op->deadline_us > now) {
            op_list_push(l, op);
        } else if (op->kind == OP_NODE) {
            client_op_error(op,
                            "UNKNOWN the leader did not answer before "
                            "the deadline");
        } else if (op->client != NULL && !op->fresh &&
                   client_is_stale(op->client, &bound)) {
            client_op_error(op, "STALE local data are older than the bound");
        } else {
            client_op_error(op, text);
        }
    }
}

static void read_expire(struct node *n, uint64_t now)
{
    static const char none[] =
        "CLUSTERDOWN no leader confirmed the read before its deadline";
    struct reads *r = &n->reads;
    bool full = node_full(n);

    read_expire_list(&r->waiting, now,
                     n->machine == NULL
                         ? "LOADING the node is still reading its data"
                         : none);
    read_expire_list(&r->asked, now, none);
    read_expire_list(&r->indexed, now, none);
    read_expire_list(&r->passed, now, none);
    walker_expire(n, now);
    node_made_room(n, full);
}

/* What came in this turn: questions, an ended probe, reads that wait. */
static void read_task(struct env_task *t)
{
    struct node *n = t->data;
    struct reads *r = &n->reads;

    if (!n->running) {
        goto arm;
    }
    if (r->probe_over) {
        uint64_t index = r->probe_index > r->deadline_index ? r->probe_index
                                                            : r->deadline_index;

        r->probe_over = false;
        read_answer_all(n, r->probe_ok || mutant(READ_UNCONFIRMED), index);
    }
    read_ask(n);
    read_probe(n);
    read_applied(n);
arm:
    if (!env_timer_armed(&r->timer) &&
        (r->waiting.n + r->asked.n + r->indexed.n + r->passed.n +
                 n->walker.waiting.n + r->next_asks_n >
             0 ||
         r->bounds_n > 0)) {
        env_timer_start(n->env, &r->timer,
                        env_now_us(n->env) + READ_TICK_MS * 1000);
    }
}

static void read_timer(struct env_timer *t)
{
    struct node *n = t->data;
    struct reads *r = &n->reads;
    uint64_t now = env_now_us(n->env);

    read_expire(n, now);
    if (r->asking && now - r->asked_us > n->cfg.election_ms * 1000) {
        read_ask_again(n);
    }
    read_pass_behind(n);
    env_defer(n->env, &r->task);
}

/* ---- stale readers ---- */

void read_stale_user(struct node *n, uint64_t max_age_ms, int delta)
{
    struct reads *r = &n->reads;
    unsigned i = 0;

    while (i < r->bounds_n && r->bounds[i].age_ms != max_age_ms) {
        i++;
    }
    if (i == r->bounds_n) {
        if (delta < 0) {
            return; /* it shared one that is gone */
        }
        if (r->bounds_n == READ_BOUNDS_MAX) {
            return; /* its reads wait for a round when data are too old */
        }
        r->bounds[r->bounds_n++] = (struct read_bound){max_age_ms, 0};
    }
    r->bounds[i].users += (unsigned)delta;
    if (r->bounds[i].users == 0) {
        r->bounds[i] = r->bounds[--r->bounds_n];
    }
    env_defer(n->env, &r->task);
}
