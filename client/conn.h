/* One connection of libholdfast to one node: plain blocking use of a
 * non-blocking socket. Private to client/. */
#ifndef HF_CLIENT_CONN_H
#define HF_CLIENT_CONN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "resp/resp.h"

enum { CONN_ERROR_MAX = 256 };

enum conn_status {
    CONN_OK = 0,
    CONN_EDIAL = -1,   /* no such host, refused, or too slow to accept */
    CONN_ELOST = -2,   /* closed by the node, or a socket error */
    CONN_ESILENT = -3, /* no byte for too long, or the deadline has passed */
    CONN_EGARBAGE = -4 /* the node does not speak the protocol */
};

struct conn {
    int fd; /* -1: not connected */
    struct buf in;
    size_t used; /* bytes of @in that the last reply took */
    struct resp_scan scan;
    char addr[LIM_ADDR];
    char error[CONN_ERROR_MAX]; /* what happened last, for people */
    /* Asked when a node was silent for so long; true: wait once more. NULL:
     * never. It may set @error. */
    bool (*wait_on)(void *data);
    void *data;
    /* Readable: stop waiting for the reply, as if its time were over. Stays
     * so until its owner empties it; -1: none. */
    int stop_fd;
};

/* Milliseconds of a clock that only goes forward. */
int64_t conn_now_ms(void);

/* "host:port" apart; brackets around an IPv6 address are removed. */
bool conn_split_addr(const char *addr,
                     char host[LIM_ADDR],
                     char port[LIM_ADDR]);

void conn_init(struct conn *c);

/* Was it told to stop? */
bool conn_stopped(const struct conn *c);

/* Connect to @addr, "host:port" or "[host]:port", until @deadline_ms. */
int conn_dial(struct conn *c, const char *addr, int64_t deadline_ms);

/* Send @request and wait for its reply, until @deadline_ms and as long as
 * bytes flow at least every @silence_ms, or c->wait_on() is for it.
 *
 * @sent_out   true when the node may have the whole request, whatever is
 *             returned; false: it certainly has not.
 * @reply_out  with CONN_OK; valid until the next call on @c.
 *
 * After an error the connection is of no use: conn_close(). */
int conn_exchange(struct conn *c,
                  struct bytes request,
                  int64_t deadline_ms,
                  int64_t silence_ms,
                  bool *sent_out,
                  struct bytes *reply_out);

void conn_close(struct conn *c); /* closing twice is harmless */

#endif
