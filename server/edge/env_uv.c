#include "server/edge/env_uv.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "server/edge/env_int_uv.h"

/* ---- clocks and chance ---- */

static uint64_t clock_us(clockid_t id)
{
    struct timespec ts;

    hf_assert(clock_gettime(id, &ts) == 0);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* CLOCK_BOOTTIME counts suspended time: what was promised for a second must
 * not still hold after a night's sleep. */
static uint64_t uvenv_now_us(struct env *e)
{
    (void)e;
    return clock_us(CLOCK_BOOTTIME);
}

static uint64_t uvenv_wall_ms(struct env *e)
{
    (void)e;
    return clock_us(CLOCK_REALTIME) / 1000;
}

static void uvenv_random(struct env *e, void *p, size_t n)
{
    uint8_t *at = p;

    (void)e;
    while (n > 0) {
        ssize_t got = getrandom(at, n, 0);

        if (got < 0) {
            hf_assert(errno == EINTR);
            continue;
        }
        at += got;
        n -= (size_t)got;
    }
}

/* ---- timers: one uv timer for the earliest of ours ---- */

static void timer_cb(uv_timer_t *t)
{
    struct env_uv *u = t->data;

    turn_begin(u);
    /* The turn, which follows in this iteration, runs what is due and arms
     * the next one. */
    u->armed_us = UINT64_MAX;
}

static void uvenv_alarm(struct env *e, uint64_t at_us)
{
    struct env_uv *u = env_uv_of(e);
    uint64_t now;
    uint64_t ms;

    if (at_us == u->armed_us) {
        return;
    }
    u->armed_us = at_us;
    if (at_us == UINT64_MAX) {
        uv_timer_stop(&u->timer);
        return;
    }
    now = uvenv_now_us(e);
    /* Rounded up: rounded down it would fire early and spin until due. */
    ms = at_us <= now ? 0 : (at_us - now + 999) / 1000;
    uv_update_time(&u->loop);
    hf_assert(uv_timer_start(&u->timer, timer_cb, ms, 0) == 0);
}

/* ---- work: our own threads, so that name look-ups and snapshot files never
 *      stand before a log write ---- */

static struct env_work *work_next(struct env_work *w)
{
    return w->impl[0];
}

static void work_link(struct env_work **head,
                      struct env_work **tail,
                      struct env_work *w)
{
    w->impl[0] = NULL;
    if (*tail != NULL) {
        (*tail)->impl[0] = w;
    } else {
        *head = w;
    }
    *tail = w;
}

static struct env_work *work_unlink(struct env_work **head,
                                    struct env_work **tail)
{
    struct env_work *w = *head;

    if (w != NULL) {
        *head = work_next(w);
        if (*head == NULL) {
            *tail = NULL;
        }
    }
    return w;
}

static void worker(void *arg)
{
    struct uvwork_queue *q = arg;
    struct env_uv *u = q->u;

    (void)pthread_setname_np(pthread_self(), q->name);
    for (;;) {
        struct env_work *w;
        bool first;

        uv_sem_wait(&q->work);
        uv_mutex_lock(&q->mutex);
        w = work_unlink(&q->head, &q->tail);
        uv_mutex_unlock(&q->mutex);
        if (w == NULL) {
            return;
        }
        w->fn(w);
        uv_mutex_lock(&u->done_mutex);
        first = u->done_head == NULL;
        work_link(&u->done_head, &u->done_tail, w);
        uv_mutex_unlock(&u->done_mutex);
        if (first) {
            uv_async_send(&u->async);
        }
    }
}

static void async_cb(uv_async_t *a)
{
    struct env_uv *u = a->data;
    struct env_work *w;

    turn_begin(u);
    uv_mutex_lock(&u->done_mutex);
    w = u->done_head;
    u->done_head = u->done_tail = NULL;
    uv_mutex_unlock(&u->done_mutex);
    while (w != NULL) {
        struct env_work *next = work_next(w);

        hf_assert(u->work_under_way > 0);
        u->work_under_way--;
        w->done(w); /* may free @w or submit it again */
        w = next;
    }
}

static void uvenv_work(struct env *e, enum env_queue queue, struct env_work *w)
{
    struct env_uv *u = env_uv_of(e);
    struct uvwork_queue *q = &u->queues[queue];

    u->work_under_way++;
    uv_mutex_lock(&q->mutex);
    work_link(&q->head, &q->tail, w);
    uv_mutex_unlock(&q->mutex);
    /* A semaphore: with a condition both sides enter the kernel once more for
     * its mutex, with each write of the log. */
    uv_sem_post(&q->work);
}

static int queue_start(struct env_uv *u,
                       enum env_queue which,
                       const char *name,
                       size_t threads)
{
    struct uvwork_queue *q = &u->queues[which];

    q->u = u;
    q->name = name;
    hf_assert(threads <= ENV_UV_POOL_THREADS);
    hf_assert(uv_mutex_init(&q->mutex) == 0);
    hf_assert(uv_sem_init(&q->work, 0) == 0);
    while (q->threads_n < threads) {
        if (uv_thread_create(&q->threads[q->threads_n], worker, q) != 0) {
            return HF_EAGAIN;
        }
        q->threads_n++;
    }
    return 0;
}

static void queue_stop(struct uvwork_queue *q)
{
    if (q->u == NULL) {
        return; /* never started */
    }
    uv_mutex_lock(&q->mutex);
    hf_assert(q->head == NULL);
    uv_mutex_unlock(&q->mutex);
    for (size_t i = 0; i < q->threads_n; i++) {
        uv_sem_post(&q->work); /* one that finds nothing ends */
    }
    for (size_t i = 0; i < q->threads_n; i++) {
        uv_thread_join(&q->threads[i]);
    }
    uv_sem_destroy(&q->work);
    uv_mutex_destroy(&q->mutex);
}

/* ---- the turn ---- */

static void idle_cb(uv_idle_t *i)
{
    (void)i; /* its being active is what keeps the loop from blocking */
}

static void turn_count(struct env_turns *t, uint64_t us)
{
    unsigned i = us <= 1 ? 0 : 64 - (unsigned)__builtin_clzll(us - 1);

    t->turns[i < ENV_TURN_BUCKETS ? i : ENV_TURN_BUCKETS - 1]++;
    if (us > t->longest_us) {
        t->longest_us = us;
    }
}

/* Everybody waits for a turn that does not end. */
static void turn_over(struct env_uv *u)
{
    uint64_t us = (uv_hrtime() - u->turn_ns) / 1000;

    u->turn_ns = 0;
    turn_count(&u->turns, us);
    if (us >= 1000 && u->turn_cb != NULL) {
        u->turn_cb(u->turn_data, us);
    }
    if (us > ENV_UV_LONG_TURN_MS * 1000) {
        log_debug(u->log, "a turn of the loop took %llu ms",
                  (unsigned long long)us / 1000);
    }
}

void env_uv_set_turn(struct env_uv *u,
                     void (*cb)(void *data, uint64_t us),
                     void *data)
{
    u->turn_cb = cb;
    u->turn_data = data;
}

void env_uv_set_log(struct env_uv *u, struct logger *l)
{
    u->log = l;
}

void env_uv_reset_turns(struct env_uv *u)
{
    u->turns = (struct env_turns){0};
}

/* Runs before the loop may block, after all events of the last poll. Flushed
 * output may call on_drain(), which may write and defer again: hence rounds,
 * and never blocking while something is left. */
static void prepare_cb(uv_prepare_t *p)
{
    struct env_uv *u = p->data;

    turn_begin(u);
    for (int i = 0; i < ENV_UV_FLUSH_ROUNDS; i++) {
        env_turn(&u->env);
        uvnet_flush(u);
        if (u->dirty == NULL && u->env.tasks_head == NULL) {
            break;
        }
    }
    if (u->dirty != NULL || u->env.tasks_head != NULL) {
        uv_idle_start(&u->idle, idle_cb);
    } else {
        uv_idle_stop(&u->idle);
    }
    turn_over(u);
}

static uint64_t resident_bytes(void)
{
    unsigned long size = 0;
    unsigned long rss = 0;
    FILE *f = fopen("/proc/self/statm", "re");

    if (f == NULL) {
        return 0;
    }
    if (fscanf(f, "%lu %lu", &size, &rss) != 2) {
        rss = 0;
    }
    fclose(f);
    return (uint64_t)rss * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void uvenv_usage(struct env *e, struct env_usage *out)
{
    struct rusage ru;

    (void)e;
    getrusage(RUSAGE_SELF, &ru);
    out->rss_bytes = resident_bytes();
    out->cpu_user_s =
        (double)ru.ru_utime.tv_sec + (double)ru.ru_utime.tv_usec / 1e6;
    out->cpu_system_s =
        (double)ru.ru_stime.tv_sec + (double)ru.ru_stime.tv_usec / 1e6;
}

static const struct env_turns *uvenv_turns(const struct env *e)
{
    return &((const struct env_uv *)(const void *)e)->turns;
}

static const struct env_ops uvenv_ops = {
    .now_us = uvenv_now_us,
    .wall_ms = uvenv_wall_ms,
    .random = uvenv_random,
    .work = uvenv_work,
    .alarm = uvenv_alarm,
    .listen = uvnet_listen,
    .unlisten = uvnet_unlisten,
    .listen_port = uvnet_listen_port,
    .connect = uvnet_connect,
    .write = uvnet_write,
    .pending = uvnet_pending,
    .read_pause = uvnet_read_pause,
    .close = uvnet_close,
    .usage = uvenv_usage,
    .turns = uvenv_turns,
};

/* ---- life ---- */

static void handles_init(struct env_uv *u)
{
    hf_assert(uv_timer_init(&u->loop, &u->timer) == 0);
    hf_assert(uv_prepare_init(&u->loop, &u->prepare) == 0);
    hf_assert(uv_idle_init(&u->loop, &u->idle) == 0);
    hf_assert(uv_signal_init(&u->loop, &u->sigterm) == 0);
    hf_assert(uv_signal_init(&u->loop, &u->sigint) == 0);
    u->timer.data = u->prepare.data = u->idle.data = u;
    u->sigterm.data = u->sigint.data = u->async.data = u;
    hf_assert(uv_prepare_start(&u->prepare, prepare_cb) == 0);
}

int env_uv_new(struct env_uv **out, struct errmsg *em)
{
    struct env_uv *u = hf_calloc(1, sizeof *u);
    int rv = uv_loop_init(&u->loop);

    if (rv != 0) {
        free(u);
        return errmsg_set(em, HF_EIO, "make an event loop: %s",
                          uv_strerror(rv));
    }
    rv = uv_async_init(&u->loop, &u->async, async_cb);
    if (rv != 0) {
        uv_loop_close(&u->loop);
        free(u);
        return errmsg_set(em, HF_EIO, "make a wake-up handle: %s",
                          uv_strerror(rv));
    }
    env_init(&u->env, &uvenv_ops);
    u->armed_us = UINT64_MAX;
    u->read_buf = hf_malloc(ENV_UV_READ_BUF);
    handles_init(u);
    hf_assert(uv_mutex_init(&u->done_mutex) == 0);
    (void)signal(SIGPIPE, SIG_IGN);
    if (queue_start(u, ENV_LOG, "hf-log", 1) != 0 ||
        queue_start(u, ENV_POOL, "hf-pool", ENV_UV_POOL_THREADS) != 0) {
        env_uv_free(u);
        return errmsg_set(em, HF_EAGAIN, "start a worker thread");
    }
    *out = u;
    return 0;
}

void env_uv_free(struct env_uv *u)
{
    hf_assert(u->work_under_way == 0);
    hf_assert(u->sockets == 0);
    queue_stop(&u->queues[ENV_LOG]);
    queue_stop(&u->queues[ENV_POOL]);
    uv_close((uv_handle_t *)&u->timer, NULL);
    uv_close((uv_handle_t *)&u->prepare, NULL);
    uv_close((uv_handle_t *)&u->idle, NULL);
    uv_close((uv_handle_t *)&u->async, NULL);
    uv_close((uv_handle_t *)&u->sigterm, NULL);
    uv_close((uv_handle_t *)&u->sigint, NULL);
    uv_run(&u->loop, UV_RUN_DEFAULT);
    hf_assert(uv_loop_close(&u->loop) == 0);
    uv_mutex_destroy(&u->done_mutex);
    env_release(&u->env);
    free(u->read_buf);
    free(u);
}

bool env_uv_busy(const struct env_uv *u)
{
    return u->work_under_way != 0;
}

struct env *env_uv_env(struct env_uv *u)
{
    return &u->env;
}

uv_loop_t *env_uv_loop(struct env_uv *u)
{
    return &u->loop;
}

static void signal_cb(uv_signal_t *s, int signum)
{
    struct env_uv *u = s->data;

    turn_begin(u);
    u->signal_cb(u->signal_data, signum);
}

int env_uv_signals(struct env_uv *u,
                   void (*cb)(void *data, int signum),
                   void *data)
{
    u->signal_cb = cb;
    u->signal_data = data;
    if (uv_signal_start(&u->sigterm, signal_cb, SIGTERM) != 0 ||
        uv_signal_start(&u->sigint, signal_cb, SIGINT) != 0) {
        return HF_EIO;
    }
    return 0;
}

void env_uv_run(struct env_uv *u)
{
    uv_run(&u->loop, UV_RUN_DEFAULT);
}

void env_uv_stop(struct env_uv *u)
{
    uv_stop(&u->loop);
}
