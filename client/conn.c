/* Connections of libholdfast.
 *
 * Happy path: dial, then any number of exchanges. Sending and receiving run
 * in one loop, because a node may refuse a request before it has all of it
 * (too large, not allowed) and close: its reason should still be read. */
#include "client/conn.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "client/holdfast.h"

enum { READ_MIN = 16 << 10 };

int64_t conn_now_ms(void)
{
    struct timespec ts;
    int rv = clock_gettime(CLOCK_MONOTONIC, &ts);

    hf_assert(rv == 0);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void conn_init(struct conn *c)
{
    memset(c, 0, sizeof(*c));
    c->fd = -1;
    c->stop_fd = -1;
}

bool conn_stopped(const struct conn *c)
{
    struct pollfd p = {c->stop_fd, POLLIN, 0};

    return c->stop_fd >= 0 && poll(&p, 1, 0) > 0;
}

void conn_close(struct conn *c)
{
    if (c->fd >= 0) {
        close(c->fd);
        c->fd = -1;
    }
    buf_release(&c->in);
    memset(&c->scan, 0, sizeof(c->scan));
    c->used = 0;
}

static int fail(struct conn *c, int status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static int fail(struct conn *c, int status, const char *fmt, ...)
{
    char what[CONN_ERROR_MAX / 2];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(what, sizeof(what), fmt, ap);
    va_end(ap);
    snprintf(c->error, sizeof(c->error), "%.100s: %s", c->addr, what);
    return status;
}

bool conn_split_addr(const char *addr, char host[LIM_ADDR], char port[LIM_ADDR])
{
    const char *colon = strrchr(addr, ':');
    size_t n;

    if (colon == NULL || colon == addr || strlen(addr) >= LIM_ADDR) {
        return false;
    }
    n = (size_t)(colon - addr);
    if (addr[0] == '[' && addr[n - 1] == ']') {
        addr++;
        n -= 2;
    }
    memcpy(host, addr, n);
    host[n] = '\0';
    snprintf(port, LIM_ADDR, "%s", colon + 1);
    return n > 0;
}

/* Wait for @events. >0: some of them; 0: too late, or @stop_fd (-1: none) is
 * readable. */
static int wait_for(int fd, int stop_fd, short events, int64_t until_ms)
{
    for (;;) {
        struct pollfd p[] = {{fd, events, 0}, {stop_fd, POLLIN, 0}};
        int64_t left = until_ms - conn_now_ms();
        int rv;

        if (left <= 0) {
            return 0;
        }
        rv = poll(p, 2, left > INT32_MAX ? INT32_MAX : (int)left);
        if (rv >= 0) {
            /* What has come is taken, else an outcome that is known would be
             * reported as a doubt. */
            return p[1].revents != 0 && (p[0].revents & POLLIN) == 0
                       ? 0
                       : p[0].revents;
        }
        if (errno != EINTR) {
            return POLLERR;
        }
    }
}

/* A connected socket, or -1 with errno. */
static int dial_one(const struct addrinfo *ai, int64_t deadline_ms)
{
    int one = 1;
    int err = 0;
    socklen_t len = sizeof(err);
    int fd = socket(ai->ai_family,
                    ai->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        return -1;
    }
    if (connect(fd, ai->ai_addr, ai->ai_addrlen) != 0) {
        err = errno;
        if (err == EINPROGRESS) {
            if (wait_for(fd, -1, POLLOUT, deadline_ms) == 0) {
                err = ETIMEDOUT;
            } else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) != 0) {
                err = errno;
            }
        }
    }
    if (err != 0) {
        close(fd);
        errno = err;
        return -1;
    }
    /* Best effort: without it requests are only slower. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return fd;
}

int conn_dial(struct conn *c, const char *addr, int64_t deadline_ms)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM};
    struct addrinfo *list;
    char host[LIM_ADDR];
    char port[LIM_ADDR];
    int rv;

    hf_assert(c->fd < 0);
    snprintf(c->addr, sizeof(c->addr), "%s", addr);
    if (!conn_split_addr(addr, host, port)) {
        return fail(c, CONN_EDIAL, "not an address of the form host:port");
    }
    rv = getaddrinfo(host, port, &hints, &list);
    if (rv != 0) {
        return fail(c, CONN_EDIAL, "%s", gai_strerror(rv));
    }
    for (const struct addrinfo *ai = list; ai != NULL && c->fd < 0;
         ai = ai->ai_next) {
        c->fd = dial_one(ai, deadline_ms);
    }
    rv = c->fd >= 0 ? CONN_OK : fail(c, CONN_EDIAL, "%s", strerror(errno));
    freeaddrinfo(list);
    return rv;
}

/* Send what the socket takes. */
static int send_some(struct conn *c, struct bytes *rest)
{
    ssize_t n = send(c->fd, rest->p, rest->n, MSG_NOSIGNAL);

    if (n >= 0) {
        *rest = bytes_of(rest->p + n, rest->n - (size_t)n);
        return CONN_OK;
    }
    if (errno == EAGAIN || errno == EINTR) {
        return CONN_OK;
    }
    return fail(c, CONN_ELOST, "%s", strerror(errno));
}

/* Receive what is there. */
static int receive_some(struct conn *c)
{
    ssize_t n;

    buf_reserve(&c->in, c->in.n > READ_MIN ? c->in.n : READ_MIN);
    n = recv(c->fd, c->in.p + c->in.n, c->in.cap - c->in.n, 0);
    if (n > 0) {
        c->in.n += (size_t)n;
        return CONN_OK;
    }
    if (n == 0) {
        return fail(c, CONN_ELOST, "closed the connection");
    }
    if (errno == EAGAIN || errno == EINTR) {
        return CONN_OK;
    }
    return fail(c, CONN_ELOST, "%s", strerror(errno));
}

/* 1: *@reply is whole; 0: not yet. Pushes are dropped: nobody asked. */
static int take_reply(struct conn *c, struct bytes *reply)
{
    for (;;) {
        size_t len;
        int rv =
            resp_scan_reply(&c->scan, c->in.p, c->in.n, HF_REPLY_MAX, &len);

        if (rv < 0) {
            return fail(c, CONN_EGARBAGE, "does not speak the protocol");
        }
        if (rv == 0) {
            return 0;
        }
        if (c->in.p[0] != '>') {
            *reply = bytes_of(c->in.p, len);
            c->used = len;
            return 1;
        }
        buf_consume(&c->in, len);
    }
}

/* The node went away while we were sending: its last words, if any. */
static int last_words(struct conn *c, int status, struct bytes *reply)
{
    while (receive_some(c) == CONN_OK) {
        int rv = take_reply(c, reply);

        if (rv != 0) {
            return rv == 1 ? CONN_OK : status;
        }
        if (wait_for(c->fd, -1, POLLIN, conn_now_ms() + 1) == 0) {
            break;
        }
    }
    return status;
}

int conn_exchange(struct conn *c,
                  struct bytes request,
                  int64_t deadline_ms,
                  int64_t silence_ms,
                  bool *sent_out,
                  struct bytes *reply_out)
{
    int rv;

    hf_assert(c->fd >= 0);
    *sent_out = false;
    buf_consume(&c->in, c->used);
    c->used = 0;
    /* A node that closed this connection since its last use is found out
     * here, while it is certain that it did not get the request. */
    rv = receive_some(c);
    if (rv != CONN_OK) {
        return rv;
    }
    for (;;) {
        int64_t until = conn_now_ms() + silence_ms;
        short events = (short)(request.n > 0 ? POLLIN | POLLOUT : POLLIN);
        int ready;

        until = until < deadline_ms ? until : deadline_ms;
        ready = wait_for(c->fd, c->stop_fd, events, until);
        if (ready == 0 && conn_stopped(c)) {
            return fail(c, CONN_ESILENT, "interrupted");
        }
        if (ready == 0 && conn_now_ms() >= deadline_ms) {
            return fail(c, CONN_ESILENT, "no answer in time");
        }
        if (ready == 0) {
            (void)fail(c, CONN_ESILENT, "silent for %d ms", (int)silence_ms);
            if (c->wait_on == NULL || !c->wait_on(c->data)) {
                return CONN_ESILENT;
            }
            continue;
        }
        if ((ready & POLLOUT) != 0 && request.n > 0) {
            rv = send_some(c, &request);
            if (rv != CONN_OK) {
                return last_words(c, rv, reply_out);
            }
            *sent_out = request.n == 0;
        }
        if ((ready & ~POLLOUT) != 0) {
            rv = receive_some(c);
            if (rv != CONN_OK) {
                return rv;
            }
            rv = take_reply(c, reply_out);
            if (rv != 0) {
                return rv == 1 ? CONN_OK : rv;
            }
        }
    }
}
