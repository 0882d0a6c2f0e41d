#include "base/env.h"

#include <stdlib.h>

#include "base/assert.h"

void env_init(struct env *e, const struct env_ops *ops)
{
    memset(e, 0, sizeof *e);
    e->ops = ops;
}

void env_release(struct env *e)
{
    free(e->heap);
    e->heap = NULL;
    e->heap_n = e->heap_cap = 0;
}

/* ---- timers: a binary heap ordered by (at_us, seq) ---- */

static bool timer_before(const struct env_timer *a, const struct env_timer *b)
{
    return a->at_us < b->at_us || (a->at_us == b->at_us && a->seq < b->seq);
}

static void heap_put(struct env *e, size_t pos, struct env_timer *t)
{
    e->heap[pos - 1] = t;
    t->heap_pos = pos;
}

static void heap_up(struct env *e, size_t pos, struct env_timer *t)
{
    while (pos > 1 && timer_before(t, e->heap[pos / 2 - 1])) {
        heap_put(e, pos, e->heap[pos / 2 - 1]);
        pos /= 2;
    }
    heap_put(e, pos, t);
}

static void heap_down(struct env *e, size_t pos, struct env_timer *t)
{
    for (;;) {
        size_t kid = pos * 2;

        if (kid > e->heap_n) {
            break;
        }
        if (kid < e->heap_n && timer_before(e->heap[kid], e->heap[kid - 1])) {
            kid++;
        }
        if (!timer_before(e->heap[kid - 1], t)) {
            break;
        }
        heap_put(e, pos, e->heap[kid - 1]);
        pos = kid;
    }
    heap_put(e, pos, t);
}

void env_timer_init(struct env_timer *t,
                    void (*cb)(struct env_timer *),
                    void *data)
{
    memset(t, 0, sizeof *t);
    t->cb = cb;
    t->data = data;
}

void env_timer_stop(struct env *e, struct env_timer *t)
{
    size_t pos = t->heap_pos;
    struct env_timer *last;

    if (pos == 0) {
        return;
    }
    hf_assert(pos <= e->heap_n && e->heap[pos - 1] == t);
    t->heap_pos = 0;
    last = e->heap[--e->heap_n];
    if (last == t) {
        return;
    }
    if (pos > 1 && timer_before(last, e->heap[pos / 2 - 1])) {
        heap_up(e, pos, last);
    } else {
        heap_down(e, pos, last);
    }
}

void env_timer_start(struct env *e, struct env_timer *t, uint64_t at_us)
{
    hf_assert(t->cb != NULL);
    env_timer_stop(e, t);
    if (e->heap_n == e->heap_cap) {
        e->heap_cap = e->heap_cap == 0 ? 64 : e->heap_cap * 2;
        e->heap = hf_realloc(e->heap, e->heap_cap * sizeof *e->heap);
    }
    t->at_us = at_us;
    t->seq = ++e->seq;
    e->heap_n++;
    heap_up(e, e->heap_n, t);
    if (t->heap_pos == 1 && e->ops->alarm != NULL) {
        e->ops->alarm(e, at_us);
    }
}

uint64_t env_next_us(const struct env *e)
{
    return e->heap_n == 0 ? UINT64_MAX : e->heap[0]->at_us;
}

/* ---- deferred tasks ---- */

void env_task_init(struct env_task *t,
                   void (*cb)(struct env_task *),
                   void *data)
{
    memset(t, 0, sizeof *t);
    t->cb = cb;
    t->data = data;
}

void env_defer(struct env *e, struct env_task *t)
{
    hf_assert(t->cb != NULL);
    if (t->queued) {
        return;
    }
    t->queued = true;
    t->next = NULL;
    t->prev = e->tasks_tail;
    if (e->tasks_tail != NULL) {
        e->tasks_tail->next = t;
    } else {
        e->tasks_head = t;
    }
    e->tasks_tail = t;
}

void env_undefer(struct env *e, struct env_task *t)
{
    if (!t->queued) {
        return;
    }
    *(t->prev != NULL ? &t->prev->next : &e->tasks_head) = t->next;
    *(t->next != NULL ? &t->next->prev : &e->tasks_tail) = t->prev;
    t->queued = false;
    t->next = t->prev = NULL;
}

void env_turn(struct env *e)
{
    uint64_t seq = e->seq; /* timers armed from here on wait for next turn */
    uint64_t now = env_now_us(e);

    for (;;) {
        if (e->tasks_head != NULL) {
            struct env_task *t = e->tasks_head;

            env_undefer(e, t);
            t->cb(t);
        } else if (e->heap_n > 0 && e->heap[0]->at_us <= now &&
                   e->heap[0]->seq <= seq) {
            struct env_timer *t = e->heap[0];

            env_timer_stop(e, t);
            t->cb(t);
        } else {
            break;
        }
    }
    if (e->ops->alarm != NULL) {
        e->ops->alarm(e, env_next_us(e));
    }
}

/* ---- the rest only passes through ---- */

void env_work(struct env *e, enum env_queue q, struct env_work *w)
{
    hf_assert(w->fn != NULL && w->done != NULL);
    e->ops->work(e, q, w);
}

uint64_t env_now_us(struct env *e)
{
    return e->ops->now_us(e);
}

uint64_t env_wall_ms(struct env *e)
{
    return e->ops->wall_ms(e);
}

struct env_usage env_usage(struct env *e)
{
    struct env_usage u = {0};

    if (e->ops->usage != NULL) {
        e->ops->usage(e, &u);
    }
    return u;
}

const struct env_turns *env_turns(const struct env *e)
{
    return e->ops->turns != NULL ? e->ops->turns(e) : NULL;
}

void env_random(struct env *e, void *p, size_t n)
{
    e->ops->random(e, p, n);
}

int net_listen(struct env *e,
               const char *hostport,
               void (*on_accept)(void *data, struct net_conn *c),
               void *data,
               struct net_listener **out,
               struct errmsg *em)
{
    return e->ops->listen(e, hostport, on_accept, data, out, em);
}

void net_unlisten(struct net_listener *l)
{
    l->env->ops->unlisten(l);
}

uint16_t net_listen_port(struct net_listener *l)
{
    return l->env->ops->listen_port(l);
}

struct net_conn *net_connect(struct env *e,
                             const char *hostport,
                             const char *bind_host)
{
    return e->ops->connect(e, hostport, bind_host);
}

void net_write(struct net_conn *c, const void *p, size_t n)
{
    if (n != 0) {
        c->env->ops->write(c, p, n);
    }
}

size_t net_pending(const struct net_conn *c)
{
    return c->env->ops->pending(c);
}

void net_read_pause(struct net_conn *c, bool paused)
{
    c->env->ops->read_pause(c, paused);
}

void net_close(struct net_conn *c)
{
    c->env->ops->close(c);
}
