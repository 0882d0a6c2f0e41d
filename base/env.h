/* The seam: everything above the socket, the disk and the clock sees only
 * this header. Two implementations exist: libuv's (server/edge/env_uv.c) and
 * the simulator's (tests/sim/env_sim.c). One struct env per node.
 *
 * Threads: all functions are called from the loop thread and all callbacks
 * run on it, except env_work.fn, which runs on a worker and may touch only
 * its own operation and a struct disk.
 *
 * Turn: implementations handle a batch of events (timers, sockets, finished
 * work), then call env_turn(), which runs due timers and deferred tasks until
 * none is left, then flush socket output. Nothing above depends on more. */
#ifndef HF_BASE_ENV_H
#define HF_BASE_ENV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"

struct env;
struct disk;
struct net_conn;
struct net_listener;

/* ---- timers: caller's memory, intrusive ---- */
struct env_timer {
    void (*cb)(struct env_timer *t);
    void *data;
    uint64_t at_us;  /* env_now_us() at which it is due */
    uint64_t seq;    /* order among equals; private */
    size_t heap_pos; /* 1-based place in the heap; 0 = not armed; private */
};

void env_timer_init(struct env_timer *t,
                    void (*cb)(struct env_timer *),
                    void *data);
/* (Re)arm for @at_us; a time in the past is due in the next turn. */
void env_timer_start(struct env *e, struct env_timer *t, uint64_t at_us);
void env_timer_stop(struct env *e, struct env_timer *t); /* harmless twice */
static inline bool env_timer_armed(const struct env_timer *t)
{
    return t->heap_pos != 0;
}

/* ---- deferred tasks: run at the end of this turn, once per defer ---- */
struct env_task {
    void (*cb)(struct env_task *t);
    void *data;
    struct env_task *next; /* private */
    struct env_task *prev; /* private */
    bool queued;           /* private */
};

void env_task_init(struct env_task *t,
                   void (*cb)(struct env_task *),
                   void *data);
void env_defer(struct env *e, struct env_task *t); /* once while queued */
void env_undefer(struct env *e, struct env_task *t);

/* ---- work off the loop ----
 * ENV_LOG is one thread, strictly first in first out: log appends only.
 * ENV_POOL is at least one other thread: snapshot files, catch-up reads,
 * segment preparation; no order is promised.
 * fn() runs on a worker; done() later on the loop, never before the submit
 * call returned. There is no cancel: an owner that goes away first waits. */
enum env_queue { ENV_LOG, ENV_POOL };

struct env_work {
    void (*fn)(struct env_work *w);
    void (*done)(struct env_work *w);
    void *data;
    void *impl[6]; /* private to the implementation */
};

void env_work(struct env *e, enum env_queue q, struct env_work *w);

/* ---- clocks and chance ---- */
/* Microseconds since boot, suspended time included; never goes back. */
uint64_t env_now_us(struct env *e);
static inline uint64_t env_now_ms(struct env *e)
{
    return env_now_us(e) / 1000;
}
/* Unix milliseconds by this machine's wall clock: may jump, may lie. */
uint64_t env_wall_ms(struct env *e);
/* Unpredictable bytes (in simulation: of the seed). */
void env_random(struct env *e, void *p, size_t n);

/* What this process uses; all 0 where nobody measures (in simulation). */
struct env_usage {
    uint64_t rss_bytes; /* resident memory */
    double cpu_user_s;
    double cpu_system_s;
};

/* How long the turns of the loop took, without the time it slept: turns[i] of
 * them at most 2^i us and more than the half of that; the last bucket has all
 * that were longer. Since the start, or the last reset. */
enum { ENV_TURN_BUCKETS = 25 };
struct env_turns {
    uint64_t turns[ENV_TURN_BUCKETS];
    uint64_t longest_us;
};
/* NULL where nobody measures (in simulation). */
const struct env_turns *env_turns(const struct env *e);
struct env_usage env_usage(struct env *e);

/* ---- implementation's side ---- */
struct env_ops {
    uint64_t (*now_us)(struct env *e);
    uint64_t (*wall_ms)(struct env *e);
    void (*random)(struct env *e, void *p, size_t n);
    void (*work)(struct env *e, enum env_queue q, struct env_work *w);
    /* Wake the loop no later than @at_us (UINT64_MAX: no timer armed). */
    void (*alarm)(struct env *e, uint64_t at_us);

    int (*listen)(struct env *e,
                  const char *hostport,
                  void (*on_accept)(void *data, struct net_conn *c),
                  void *data,
                  struct net_listener **out,
                  struct errmsg *em);
    void (*unlisten)(struct net_listener *l);
    uint16_t (*listen_port)(struct net_listener *l);
    struct net_conn *(*connect)(struct env *e,
                                const char *hostport,
                                const char *bind_host);
    void (*write)(struct net_conn *c, const void *p, size_t n);
    size_t (*pending)(const struct net_conn *c);
    void (*read_pause)(struct net_conn *c, bool paused);
    void (*close)(struct net_conn *c);
    void (*usage)(struct env *e, struct env_usage *out);   /* may be NULL */
    const struct env_turns *(*turns)(const struct env *e); /* may be NULL */
};

struct env {
    const struct env_ops *ops;
    struct disk *disk; /* the node's data directory; set before use */
    struct env_timer **heap;
    size_t heap_n;
    size_t heap_cap;
    uint64_t seq;
    struct env_task *tasks_head;
    struct env_task *tasks_tail;
};

void env_init(struct env *e, const struct env_ops *ops);
void env_release(struct env *e); /* no timer armed, no task queued */
/* Run due timers and deferred tasks, in order, until neither is left. A
 * callback that arms a timer for now gets it in the next turn. */
void env_turn(struct env *e);
/* When the earliest timer is due; UINT64_MAX if none is armed. */
uint64_t env_next_us(const struct env *e);

/* ---- network: byte streams ----
 * "host:port", "[v6]:port"; names are resolved by the implementation.
 * A connection's callbacks are set by its owner right after connect() or in
 * on_accept; none runs before the call that made the connection returned.
 * After net_close() no callback of that connection runs again, and the
 * pointer is dead for the owner. Without net_close(), on_close runs exactly
 * once, last; after it the pointer is dead too (do not net_close() it). */
struct net_conn_cbs {
    void (*on_open)(struct net_conn *c); /* outgoing only: connected */
    /* @p is borrowed during the call. */
    void (*on_read)(struct net_conn *c, const uint8_t *p, size_t n);
    /* Output fell below half of what it was when net_write() last crossed
     * 64 KiB; may be NULL. */
    void (*on_drain)(struct net_conn *c);
    void (*on_close)(struct net_conn *c, int code); /* enum hf_err; 0 = EOF */
};

/* Implementations embed this as the first member of their listener. */
struct net_listener {
    struct env *env;
};

/* Implementations embed this as the first member of their connection. */
struct net_conn {
    struct env *env;
    const struct net_conn_cbs *cbs;
    void *data;      /* the owner's */
    char remote[64]; /* "addr:port" of the other side, for logs */
    char local[64];  /* of this side; empty where unknown */
};

int net_listen(struct env *e,
               const char *hostport,
               void (*on_accept)(void *data, struct net_conn *c),
               void *data,
               struct net_listener **out,
               struct errmsg *em);
void net_unlisten(struct net_listener *l);
uint16_t net_listen_port(struct net_listener *l); /* as bound, for port 0 */
/* Never NULL; failure comes as on_close. @bind_host may be NULL: the source
 * address to dial from. The implementation gives up after
 * NET_CONNECT_TIMEOUT_MS. */
struct net_conn *net_connect(struct env *e,
                             const char *hostport,
                             const char *bind_host);
/* Copies; gathered and written at the end of the turn. Bytes written before
 * on_open wait for it. The owner bounds net_pending(). */
void net_write(struct net_conn *c, const void *p, size_t n);
size_t net_pending(const struct net_conn *c);
void net_read_pause(struct net_conn *c, bool paused);
void net_close(struct net_conn *c); /* flushes nothing that is not sent */

enum { NET_CONNECT_TIMEOUT_MS = 500 };

#endif
