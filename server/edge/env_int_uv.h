/* Shared by env_uv.c (loop, clocks, threads) and net_uv.c (sockets). */
#ifndef HF_SERVER_EDGE_ENV_INT_UV_H
#define HF_SERVER_EDGE_ENV_INT_UV_H

#include "server/edge/env_uv.h"

struct uvnet_conn;

/* One first-in-first-out queue and the threads that empty it. */
struct uvwork_queue {
    struct env_uv *u;
    uv_mutex_t mutex;
    uv_sem_t work;         /* counts what is in the queue, and ends */
    struct env_work *head; /* linked through impl[0] */
    struct env_work *tail;
    const char *name;
    uv_thread_t threads[ENV_UV_POOL_THREADS];
    size_t threads_n;
};

struct env_uv {
    struct env env; /* first: struct env * is struct env_uv * */
    uv_loop_t loop;
    uv_timer_t timer;     /* the earliest env_timer */
    uint64_t armed_us;    /* when @timer fires; UINT64_MAX: stopped */
    uv_prepare_t prepare; /* runs the turn before the loop may block */
    uv_idle_t idle;       /* active while output waits for another round */
    uv_async_t async;     /* work is done */
    uv_signal_t sigterm;
    uv_signal_t sigint;
    bool signals_on;
    struct logger *log;
    uint64_t turn_ns; /* when this turn began; 0: nothing happened yet */
    struct env_turns turns;
    void (*turn_cb)(void *data, uint64_t us);
    void *turn_data;
    void (*signal_cb)(void *data, int signum);
    void *signal_data;

    struct uvwork_queue queues[2]; /* by enum env_queue */
    uv_mutex_t done_mutex;
    struct env_work *done_head;
    struct env_work *done_tail;
    size_t work_under_way; /* loop thread's count */

    uint8_t *read_buf;        /* ENV_UV_READ_BUF bytes, lent to on_read */
    struct uvnet_conn *dirty; /* connections with bytes to flush */
    size_t sockets;           /* connections and listeners still open */
};

static inline struct env_uv *env_uv_of(struct env *e)
{
    return (struct env_uv *)(void *)e;
}

/* Each callback of the loop calls it first: a turn lasts from the first one to
 * the end of what they brought about. */
static inline void turn_begin(struct env_uv *u)
{
    if (u->turn_ns == 0) {
        u->turn_ns = uv_hrtime();
    }
}

/* net_uv.c */
int uvnet_listen(struct env *e,
                 const char *hostport,
                 void (*on_accept)(void *data, struct net_conn *c),
                 void *data,
                 struct net_listener **out,
                 struct errmsg *em);
void uvnet_unlisten(struct net_listener *l);
uint16_t uvnet_listen_port(struct net_listener *l);
struct net_conn *uvnet_connect(struct env *e,
                               const char *hostport,
                               const char *bind_host);
void uvnet_write(struct net_conn *c, const void *p, size_t n);
size_t uvnet_pending(const struct net_conn *c);
void uvnet_read_pause(struct net_conn *c, bool paused);
void uvnet_close(struct net_conn *c);
/* Write out what the turn produced, once per connection. */
void uvnet_flush(struct env_uv *u);

#endif
