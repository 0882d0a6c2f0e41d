/* Shared by the files of libholdfast_uv only.
 *
 * holdfast_uv.c   calls: the queue, sessions, decisions, the API
 * link_uv.c       links: one connection to one node each
 *
 * A link reports to the calls by the functions link_up(), link_reply() and
 * link_lost(); it is gone when link_lost() returns. Nothing here calls the
 * user but deliver(), last in each event of the loop. */
#ifndef HF_CLIENT_HF_INT_UV_H
#define HF_CLIENT_HF_INT_UV_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "client/hf_int.h"
#include "client/holdfast_uv.h"
#include "client/nodes.h"
#include "resp/resp.h"

enum { UV_ERROR_MAX = 200 };

struct slot; /* a session */
struct ucall;

/* One request that was sent on a link and is not answered. */
struct sent {
    enum { SENT_GREETING, SENT_STATUS, SENT_OPEN, SENT_CALL } what;
    struct ucall *call; /* NULL: its time was over before the answer */
    struct slot *slot;  /* of SENT_OPEN */
    int64_t at_ms;
};

/*  RESOLVING --> DIALING --> GREETING --> UP
 *      |  numeric: at once      |  each has to end within
 *      '------------------------'  HF_CONNECT_TIMEOUT, else: lost  */
enum link_state { LINK_RESOLVING, LINK_DIALING, LINK_GREETING, LINK_UP };

struct link {
    uv_tcp_t tcp;
    uv_connect_t connect;
    uv_getaddrinfo_t dns;
    struct hf_uv *h;
    size_t node;
    enum link_state state;
    bool probe;    /* only to ask a silent node how it is */
    bool dns_busy; /* freed when both are done */
    bool closed;
    int failed; /* not 0: so it ended while it was started */
    int64_t start_ms;
    int64_t heard_ms; /* last byte, or "it lives" from a probe */
    struct buf out;   /* to be written at the end of this event */
    struct buf in;
    struct resp_scan scan;
    struct sent *fifo; /* ring */
    size_t head;
    size_t n;
    size_t cap;
    bool asking; /* SENT_STATUS is under way */
};

/* Begin to connect to node @node. Errors come later, as link_lost(). */
struct link *link_start(struct hf_uv *h, size_t node, bool probe);
/* The bytes of one request: s goes into the FIFO, the bytes to @l->out. */
void link_send(struct link *l, struct bytes request, struct sent s);
void link_flush(struct link *l);
/* No more events of it; what was sent is the caller's matter. */
void link_close(struct link *l);
/* Timeouts of connecting. */
void link_tick(struct link *l, int64_t now_ms);
struct sent *link_sent(struct link *l, size_t i);

/* ---- what links report ---- */

int64_t huv_now_ms(const struct hf_uv *h);
const struct hf_options *huv_options(const struct hf_uv *h);
const char *huv_addr(const struct hf_uv *h, size_t node);
size_t huv_turn(const struct hf_uv *h, size_t node); /* of its addresses */
uv_loop_t *huv_loop(const struct hf_uv *h);
/* A handle of libuv was opened, or is closed. */
void huv_hold(struct hf_uv *h);
void huv_drop(struct hf_uv *h);
void huv_link_gone(struct hf_uv *h, struct link *l);

/* A node wants a password, or another one. */
void huv_denied(struct hf_uv *h, struct bytes reply);

void link_up(struct link *l);
void link_reply(struct link *l, struct sent s, struct bytes reply);
void link_lost(struct link *l, enum node_luck luck, const char *why);
/* The end of an event: send what is waiting, call the user. */
void huv_settle(struct hf_uv *h);

#endif
