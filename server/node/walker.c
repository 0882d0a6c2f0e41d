#include "server/node/walker.h"

#include <stdlib.h>

#include "server/command/acl.h"
#include "server/command/walk.h"
#include "server/node/node_int.h"

struct walker_job {
    struct env_work work;
    struct node *node;
    struct machine *machine;
    struct map_root *keys;
    struct client_op *op; /* NULL: its client is gone */
    struct blob *command;
    struct walk *walk;
    struct buf reply;
    uint64_t index;
    uint64_t started_us;
    bool adopted; /* @machine goes with the job */
    bool over;
};

static void walker_pump(struct node *n);

static void job_free(struct walker_job *j)
{
    walk_free(j->walk);
    map_release(store_map(machine_store(j->machine)), j->keys);
    if (j->adopted) {
        machine_free(j->machine);
    }
    blob_unref(j->command);
    buf_release(&j->reply);
    free(j);
}

static void job_fn(struct env_work *w)
{
    struct walker_job *j = w->data;

    j->over = walk_step(j->walk, WALK_STEP);
    if (j->over) {
        walk_reply(j->walk, &j->reply);
    }
}

static void job_answer(struct walker_job *j)
{
    struct client_op *op = j->op;

    if (op == NULL) {
        return;
    }
    if (j->over) {
        buf_release(&op->reply);
        op->reply = j->reply;
        buf_init(&j->reply);
        client_op_done(op, j->index);
    } else {
        client_op_error(op,
                        "TRYAGAIN the walk took longer than a second; "
                        "use SCAN, or RANGE with LIMIT");
    }
}

static void job_done(struct env_work *w)
{
    struct walker_job *j = w->data;
    struct node *n = j->node;
    uint64_t now = env_now_us(n->env);

    if (!n->ended && !j->over && j->op != NULL &&
        now - j->started_us < WALKER_MS * 1000) {
        env_work(n->env, ENV_POOL, w);
        return;
    }
    n->walker.job = NULL;
    if (!n->ended) {
        job_answer(j);
        node_garbage(n);
    }
    job_free(j);
    if (!n->ended) {
        walker_pump(n);
    }
}

static void walker_pump(struct node *n)
{
    struct walker *w = &n->walker;
    struct client_op *op;
    struct walker_job *j;
    struct store *s;

    if (w->job != NULL || !n->running || driver_installing(&n->driver)) {
        return;
    }
    op = op_list_pop(&w->waiting);
    if (op == NULL) {
        return;
    }
    j = hf_calloc(1, sizeof *j);
    j->node = n;
    j->machine = n->machine;
    s = machine_store(j->machine);
    j->keys = map_freeze(store_map(s));
    j->op = op;
    j->command = blob_ref(op->command);
    j->index = driver_applied(&n->driver);
    j->started_us = env_now_us(n->env);
    j->walk =
        walk_new(blob_bytes(j->command), map_root_node(j->keys), store_time(s));
    hf_assert(j->walk != NULL); /* it was looked at in walker_take() */
    j->work.fn = job_fn;
    j->work.done = job_done;
    j->work.data = j;
    w->job = j;
    env_work(n->env, ENV_POOL, &j->work);
}

bool walker_take(struct node *n, struct client_op *op)
{
    struct bytes command = blob_bytes(op->command);
    struct store *s;
    struct walk *walk;
    bool over;

    if (!walk_is(command) || mutant(WALK_ON_LOOP)) {
        return false;
    }
    if (!mutant(ACL_WALK_UNSEEN) &&
        acl_refuses(n->machine, command, &op->reply)) {
        client_op_done(op, driver_applied(&n->driver));
        return true;
    }
    s = machine_store(n->machine);
    walk = walk_new(command, map_live_node(store_map(s)), store_time(s));
    if (walk == NULL) {
        return false; /* malformed: command_read() says so */
    }
    over = walk_step(walk, WALK_SHORT);
    if (over) {
        walk_reply(walk, &op->reply);
    }
    walk_free(walk);
    if (over) {
        client_op_done(op, driver_applied(&n->driver));
    } else if (n->walker.waiting.n >= WALKER_MAX) {
        client_op_error(op, "TRYAGAIN too many walks over keys are waiting");
    } else {
        op_list_push(&n->walker.waiting, op);
        walker_pump(n);
    }
    return true;
}

bool walker_cancel(struct node *n, struct client_op *op)
{
    struct walker *w = &n->walker;

    if (w->job != NULL && w->job->op == op) {
        w->job->op = NULL;
        return true;
    }
    return op_list_remove(&w->waiting, op);
}

void walker_expire(struct node *n, uint64_t now)
{
    struct client_op *next;

    for (struct client_op *op = n->walker.waiting.head; op != NULL; op = next) {
        next = op->list_next;
        if (op->deadline_us <= now) {
            (void)op_list_remove(&n->walker.waiting, op);
            client_op_error(op,
                            "TRYAGAIN other walks over keys took too "
                            "long");
        }
    }
    walker_pump(n);
}

bool walker_uses(const struct node *n, const struct machine *m)
{
    return n->walker.job != NULL && n->walker.job->machine == m;
}

void walker_adopt(struct node *n, struct machine *m)
{
    hf_assert(walker_uses(n, m));
    n->walker.job->adopted = true;
}

void walker_release(struct node *n)
{
    struct walker *w = &n->walker;

    if (w->job != NULL) {
        /* Another node's is freed with the lists. */
        if (w->job->op != NULL && w->job->op->client == NULL) {
            op_list_push(&w->waiting, w->job->op);
        }
        job_free(w->job);
        w->job = NULL;
    }
}
