/* libholdfast on the caller's libuv loop: no threads, nothing blocks.
 *
 * Many calls may be under way at once; they share one connection to the node
 * in use. Each write is named, as in holdfast.h, and takes effect once. One
 * session has one write outstanding, so the handle keeps a pool of sessions
 * that grows with need. Results have the same meanings and the same honesty;
 * both clients decide by the same code.
 *
 *     struct hf_uv *h;
 *     hf_uv_open(loop, "127.0.0.1:7379,127.0.0.1:7380", NULL, &h);
 *     hf_uv_incr(h, hf_str("n"), 1, 0, on_sum, NULL);
 *     uv_run(loop, UV_RUN_DEFAULT);
 *
 * Everything here is to be called from the thread of the loop. An open handle
 * with nothing to do does not keep uv_run() going, one with calls does.
 *
 * Bounds, each with its answer:
 *   calls under way    calls_max, and HF_UV_BYTES_MAX bytes of their requests;
 *                      beyond: HF_EBUSY
 *   sessions           sessions_max; beyond, writes wait in their order within
 *                      their timeout
 *   time               of each call: its timeout_ms, to about HF_UV_TICK_MS
 * Commands that block (XREAD BLOCK), that change the connection (SUBSCRIBE,
 * MULTI, AUTH, ...) and the cluster port's MOVED to a node that is not among
 * the endpoints are not for this client: the connection is shared. */
#ifndef HOLDFAST_UV_H
#define HOLDFAST_UV_H

#include <uv.h>

#include "holdfast.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    HF_UV_CALLS = 1024,  /* default of calls_max */
    HF_UV_SESSIONS = 64, /* default of sessions_max */
    HF_UV_BYTES_MAX = 256 << 20,
    HF_UV_TICK_MS = 10
};

struct hf_uv;

/* All zero: the defaults. */
struct hf_uv_options {
    struct hf_options common;
    uint32_t calls_max;
    uint32_t sessions_max;
};

/* The end of a call, exactly once, never before the submitting call has
 * returned. @reply as hf_call() would give it, valid until this returns; NULL
 * if it gives none. @error: one line for people, "" with HF_OK and HF_NO; the
 * same. Any function here may be called from within. */
typedef void (*hf_uv_cb)(void *data,
                         int code,
                         const struct hf_reply *reply,
                         const char *error);

/* As hf_open(). @loop must live until the handle is closed. libuv writes to
 * sockets in a way that a node's end would end this process, so SIGPIPE is
 * set to be ignored, if its action is the default one. */
int hf_uv_open(uv_loop_t *loop,
               const char *endpoints,
               const struct hf_uv_options *opt,
               struct hf_uv **out);

/* End the handle. Calls under way end with HF_EUNKNOWN if a node may have
 * them, else with HF_ENOLEADER; then @cb (may be NULL) is called and @h is
 * gone. Closing twice is harmless: the first @cb counts. */
void hf_uv_close(struct hf_uv *h, void (*cb)(void *data), void *data);

/* Send any command; as hf_call(). @argv is copied.
 *
 * HF_OK         accepted: @cb will be called.
 * HF_EARGUMENT  wrong argument, or @h is closing.    @cb will not be called.
 * HF_ETOOBIG    over HF_REQUEST_MAX bytes.           The same.
 * HF_EBUSY      too many calls are under way.        The same. */
int hf_uv_call(struct hf_uv *h,
               enum hf_call_mode mode,
               const struct hf_bytes *argv,
               size_t argc,
               uint32_t timeout_ms,
               hf_uv_cb cb,
               void *data);

/* The value comes as a string; no such key: HF_NO. */
int hf_uv_get(struct hf_uv *h,
              struct hf_bytes key,
              uint32_t timeout_ms,
              hf_uv_cb cb,
              void *data);
/* @ttl_ms 0: the key stays. */
int hf_uv_set(struct hf_uv *h,
              struct hf_bytes key,
              struct hf_bytes value,
              uint64_t ttl_ms,
              uint32_t timeout_ms,
              hf_uv_cb cb,
              void *data);
/* The integer 1, or HF_NO: there was none. */
int hf_uv_del(struct hf_uv *h,
              struct hf_bytes key,
              uint32_t timeout_ms,
              hf_uv_cb cb,
              void *data);
/* The sum comes as an integer. */
int hf_uv_incr(struct hf_uv *h,
               struct hf_bytes key,
               int64_t by,
               uint32_t timeout_ms,
               hf_uv_cb cb,
               void *data);

/* As hf_nodes(). */
size_t hf_uv_nodes(const struct hf_uv *h, struct hf_node_info *out, size_t max);

/* "host:port" of the node in use; "" when there is none. */
const char *hf_uv_node(const struct hf_uv *h);

/* Calls whose callback is still to come. */
size_t hf_uv_pending(const struct hf_uv *h);

#ifdef __cplusplus
}
#endif

#endif
