/* WAIT: a write is acknowledged when a majority has it, so all that is asked
 * for is how many more do. The leader knows what each member has from its
 * answers; the others know it from the leader's announcements, a little later.
 *
 * Fields of an operation here: number, what is waited for: members, or
 * WAIT_FOR_SNAPSHOT; term, the index; deadline_us, UINT64_MAX for ever. */
#include "server/node/wait.h"

#include "resp/resp.h"
#include "server/command/admin.h"
#include "server/node/node_int.h"

#define WAIT_FOR_SNAPSHOT UINT64_MAX

int64_t wait_holders(struct node *n, uint64_t index)
{
    uint64_t leader = node_ready_leader(n);
    int64_t holders = 0;

    for (unsigned i = 0; n->running && i < machine_members(n->machine); i++) {
        uint64_t id = machine_member_at(n->machine, i)->id;

        if ((id == leader || (leader == 0 && id == n->id)) &&
            !mutant(WAIT_SELF)) {
            continue; /* it holds all that was ever acknowledged */
        }
        /* The log of this node may hold another entry there as long as it was
         * not told that the index is committed. */
        if (index == 0) {
            holders += node_alive(n, id);
        } else if (id == n->id) {
            holders += driver_durable(&n->driver) >= index &&
                       driver_commit(&n->driver) >= index;
        } else {
            holders += node_match(n, id) >= index || mutant(WAIT_OLD);
        }
    }
    return holders;
}

static void wait_answer(struct client_op *op, int64_t holders)
{
    buf_clear(&op->reply);
    resp_int(&op->reply, holders);
    client_op_done(op, 0);
}

/* Is the answer there? */
static bool wait_over(struct node *n, struct client_op *op, uint64_t now)
{
    int64_t holders;

    if (op->number == WAIT_FOR_SNAPSHOT) {
        if (n->snapshot.index >= op->term) {
            client_op_reply(op, bytes_str("+OK\r\n"), 0);
            return true;
        }
        if (n->snapshot.taking != NULL && n->running) {
            return false;
        }
        client_op_error(op, "ERR the snapshot was not made; see the log");
        return true;
    }
    holders = wait_holders(n, op->term);
    if (holders < (int64_t)op->number && op->deadline_us > now) {
        return false;
    }
    wait_answer(op, holders);
    return true;
}

static void wait_timer(struct env_timer *t)
{
    struct node *n = t->data;
    uint64_t now = env_now_us(n->env);

    for (size_t left = n->waits.ops.n; left > 0 && !n->ended; left--) {
        struct client_op *op = op_list_pop(&n->waits.ops);

        if (!wait_over(n, op, now)) {
            op_list_push(&n->waits.ops, op);
        }
    }
    if (n->waits.ops.n > 0) {
        env_timer_start(n->env, t, now + WAIT_TICK_MS * 1000);
    }
}

void wait_init(struct node *n)
{
    env_timer_init(&n->waits.timer, wait_timer, n);
}

void wait_release(struct node *n)
{
    env_timer_stop(n->env, &n->waits.timer);
}

static void wait_push(struct node *n, struct client_op *op)
{
    if (wait_over(n, op, env_now_us(n->env))) {
        return;
    }
    op_list_push(&n->waits.ops, op);
    if (!env_timer_armed(&n->waits.timer)) {
        env_timer_start(n->env, &n->waits.timer,
                        env_now_us(n->env) + WAIT_TICK_MS * 1000);
    }
}

/* Begin a snapshot; the error's text, or NULL. */
static const char *save_start(struct node *n)
{
    if (!n->running) {
        return "ERR this node is in no cluster yet";
    }
    if (n->snapshot.taking != NULL) {
        return "ERR Background save already in progress";
    }
    if (driver_applied(&n->driver) == n->snapshot.index) {
        return NULL;
    }
    return snapshot_now(n) ? NULL
                           : "ERR a snapshot cannot be made now: one is being "
                             "sent or installed, or the last try failed";
}

static void save_begin(struct node *n, struct client_op *op, bool wait)
{
    const char *error = save_start(n);

    if (error != NULL) {
        client_op_error(op, error);
    } else if (!wait) {
        buf_clear(&op->reply);
        resp_simple(&op->reply,
                    n->snapshot.taking != NULL
                        ? "Background saving started"
                        : "Background saving not needed: nothing changed");
        client_op_done(op, 0);
    } else {
        op->number = WAIT_FOR_SNAPSHOT;
        op->term = n->snapshot.taking != NULL ? n->snapshot.taking->meta.index
                                              : n->snapshot.index;
        wait_push(n, op);
    }
}

void wait_begin(struct node *n,
                struct client_op *op,
                const struct admin_action *a)
{
    if (n->stopping) {
        client_op_error(op, "TRYAGAIN this node is shutting down");
        return;
    }
    if (a->verb != ADMIN_WAIT) {
        save_begin(n, op, a->verb == ADMIN_SAVE);
        return;
    }
    op->number = a->count < 0 ? 0 : (uint64_t)a->count;
    op->term = op->client != NULL ? client_write_index(op->client) : 0;
    op->deadline_us = a->timeout_ms == 0
                          ? UINT64_MAX
                          : env_now_us(n->env) + a->timeout_ms * 1000;
    wait_push(n, op);
}

void wait_stop(struct node *n)
{
    for (size_t left = n->waits.ops.n; left > 0; left--) {
        struct client_op *op = op_list_pop(&n->waits.ops);

        if (op->number == WAIT_FOR_SNAPSHOT) {
            op_list_push(&n->waits.ops, op);
        } else {
            wait_answer(op, wait_holders(n, op->term));
        }
    }
}

bool wait_cancel(struct node *n, struct client_op *op)
{
    return op_list_remove(&n->waits.ops, op);
}
