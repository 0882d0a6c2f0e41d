/* The seam's implementation over libuv: sockets, clocks, threads, signals.
 *
 * One struct env_uv per process and loop. Everything above it uses only
 * base/env.h. A turn: libuv handles a batch of events; then (and before the
 * loop may block) env_turn() runs and every connection that was written to is
 * flushed with one write. */
#ifndef HF_SERVER_EDGE_ENV_UV_H
#define HF_SERVER_EDGE_ENV_UV_H

#include <uv.h>

#include "base/env.h"
#include "base/err.h"
#include "base/log.h"

enum {
    ENV_UV_READ_BUF = 256 << 10, /* one shared read buffer for the loop */
    ENV_UV_POOL_THREADS = 2,
    ENV_UV_BACKLOG = 1024,
    ENV_UV_ACCEPT_MAX = 64,        /* accepted per listener and wake-up */
    ENV_UV_FLUSH_ROUNDS = 8,       /* turns run before the loop polls again */
    ENV_UV_ACCEPT_RETRY_MS = 100,  /* pause of accept without descriptors */
    ENV_UV_USER_TIMEOUT_MS = 2000, /* unacknowledged data breaks a socket */
    ENV_UV_NOTSENT_BYTES = 128 << 10, /* outgoing: unsent bytes in kernel */
    ENV_UV_LONG_TURN_MS = 100, /* a turn that took longer is logged (debug) */
};

struct env_uv;

/* Loop, threads and wake-up handle. 0 or an error with a message. */
int env_uv_new(struct env_uv **out, struct errmsg *em);

/* All connections and listeners closed by their owners, all work done. The
 * threads are joined, the loop drained and closed. */
void env_uv_free(struct env_uv *u);

/* Is work on a worker, or its done() still to run? */
bool env_uv_busy(const struct env_uv *u);

struct env *env_uv_env(struct env_uv *u);
uv_loop_t *env_uv_loop(struct env_uv *u);

/* SIGTERM and SIGINT come to @cb on the loop; SIGPIPE is ignored. */
int env_uv_signals(struct env_uv *u,
                   void (*cb)(void *data, int signum),
                   void *data);

/* Where long turns are logged; kept, may be NULL (as at first). */
void env_uv_set_log(struct env_uv *u, struct logger *l);
/* Called after each turn that took a millisecond or longer. */
void env_uv_set_turn(struct env_uv *u,
                     void (*cb)(void *data, uint64_t us),
                     void *data);
/* From now on env_turns() counts anew. */
void env_uv_reset_turns(struct env_uv *u);

/* Run until env_uv_stop(). */
void env_uv_run(struct env_uv *u);
/* From the loop thread: env_uv_run() returns after this turn. */
void env_uv_stop(struct env_uv *u);

#endif
