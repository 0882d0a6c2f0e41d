/* A blocking RESP client that knows what became of its requests.
 *
 * One connection to one node. Every request ends in one of three ways: an
 * answer, a proof that it was not applied, or neither. What cannot be proved
 * is OUT_INFO; no error text and no closed socket is trusted beyond what the
 * protocol's table of errors says. */
#ifndef HF_JEPSEN_CLIENT_RESP_H
#define HF_JEPSEN_CLIENT_RESP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "resp/resp.h"

enum outcome {
    OUT_OK,   /* answered */
    OUT_FAIL, /* certainly not applied: refused, or never sent */
    OUT_INFO  /* applied now, later or never */
};

enum { RCONN_ERROR_MAX = 200, RCONN_REPLY_MAX = 80 << 20 };

/* An answer: @v borrows from @raw. All zero to start with. */
struct answer {
    struct buf raw;
    struct resp_value *root;
    const struct resp_value *v; /* of the last reply; NULL: none */
};

void answer_clear(struct answer *a); /* frees; may be used again */
bool answer_nil(const struct resp_value *v);
/* @raw holds @n whole replies; make @root (their array) and @v of it. False:
 * they are no replies. */
bool answer_parse(struct answer *a, size_t n);

/* Fields are for reading. */
struct rconn {
    int fd; /* -1: not connected */
    struct buf in;
    char addr[LIM_ADDR];
    char error[RCONN_ERROR_MAX]; /* of the last OUT_FAIL and OUT_INFO */
};

int64_t rconn_now_ms(void); /* CLOCK_MONOTONIC */

void rconn_init(struct rconn *c);
void rconn_close(struct rconn *c); /* closing twice is harmless */

/* Connect to @addr, "host:port", until @deadline_ms; an old connection is
 * closed. False: @c->error. */
bool rconn_dial(struct rconn *c, const char *addr, int64_t deadline_ms);

/* True if connected and the node has not closed it in the meantime. */
bool rconn_alive(struct rconn *c);

/* Send @request, which is @n commands, and wait for their @n replies until
 * @deadline_ms. OUT_OK: @a is set, error replies included (see
 * rconn_judge()). OUT_FAIL: not a byte was sent. After OUT_FAIL and OUT_INFO
 * the connection is closed. */
enum outcome rconn_exchange(struct rconn *c,
                            struct bytes request,
                            size_t n,
                            int64_t deadline_ms,
                            struct answer *a);

/* For connections that are told things unasked (pushes). Send @request until
 * @deadline_ms; false: the connection is closed, and it may have arrived. */
bool rconn_send(struct rconn *c, struct bytes request, int64_t deadline_ms);
/* The next reply or push to @a, waited for until @deadline_ms (0: only what
 * has arrived). 1: there is one; 0: not in time, and the connection stays; -1:
 * it is closed. */
int rconn_next(struct rconn *c, int64_t deadline_ms, struct answer *a);

/* What the reply @v says about its request. Unknown words are OUT_INFO. */
enum outcome rconn_judge(const struct resp_value *v);

/* True if @v is "-MOVED slot host:port"; the address goes to @addr. */
bool rconn_moved(const struct resp_value *v, char addr[LIM_ADDR]);

#endif
