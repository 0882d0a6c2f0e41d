#include "jepsen-lite/client_resp.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { READ_CHUNK = 1 << 16 };

/* ---- answers ---- */

void answer_clear(struct answer *a)
{
    resp_value_free(a->root);
    buf_release(&a->raw);
    memset(a, 0, sizeof(*a));
}

bool answer_nil(const struct resp_value *v)
{
    return v->type == RESP_NULL || v->type == RESP_NULL_ARRAY;
}

bool answer_parse(struct answer *a, size_t n)
{
    struct buf whole = BUF_INIT;

    resp_array(&whole, n);
    buf_append(&whole, a->raw.p, a->raw.n);
    buf_release(&a->raw);
    a->raw = whole;
    if (n == 0 || resp_parse_reply(buf_bytes(&a->raw), &a->root) != 0) {
        return false;
    }
    a->v = &a->root->items[n - 1];
    return true;
}

/* ---- connection ---- */

int64_t rconn_now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void rconn_init(struct rconn *c)
{
    memset(c, 0, sizeof(*c));
    c->fd = -1;
}

void rconn_close(struct rconn *c)
{
    if (c->fd >= 0) {
        close(c->fd);
    }
    c->fd = -1;
    buf_release(&c->in);
}

static bool wait_for(struct rconn *c, short events, int64_t deadline_ms)
{
    for (;;) {
        struct pollfd p = {.fd = c->fd, .events = events};
        int64_t left = deadline_ms - rconn_now_ms();
        int n;

        if (left <= 0) {
            snprintf(c->error, sizeof(c->error), "no answer in time");
            return false;
        }
        n = poll(&p, 1, (int)left);
        if (n > 0) {
            return true;
        }
        if (n < 0 && errno != EINTR) {
            snprintf(c->error, sizeof(c->error), "poll: %s", strerror(errno));
            return false;
        }
    }
}

static struct addrinfo *resolve(struct rconn *c, const char *addr)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_NUMERICSERV};
    struct addrinfo *ai = NULL;
    char host[LIM_ADDR];
    const char *colon = strrchr(addr, ':');
    size_t n;

    if (colon == NULL || (size_t)(colon - addr) >= sizeof(host)) {
        snprintf(c->error, sizeof(c->error), "no address: %.60s", addr);
        return NULL;
    }
    n = (size_t)(colon - addr);
    memcpy(host, addr, n);
    host[n] = '\0';
    if (getaddrinfo(host, colon + 1, &hints, &ai) != 0) {
        snprintf(c->error, sizeof(c->error), "no such host: %.60s", addr);
        return NULL;
    }
    return ai;
}

bool rconn_dial(struct rconn *c, const char *addr, int64_t deadline_ms)
{
    struct addrinfo *ai;
    int error = 0;
    int one = 1;
    socklen_t len = sizeof(error);

    rconn_close(c);
    ai = resolve(c, addr);
    if (ai == NULL) {
        return false;
    }
    snprintf(c->addr, sizeof(c->addr), "%s", addr);
    c->fd =
        socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd >= 0) {
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        if (connect(c->fd, ai->ai_addr, ai->ai_addrlen) != 0) {
            error = errno;
        }
    } else {
        error = errno;
    }
    freeaddrinfo(ai);
    if (error == EINPROGRESS) {
        error = 0;
        if (!wait_for(c, POLLOUT, deadline_ms)) {
            error = ETIMEDOUT;
        } else {
            getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len);
        }
    }
    if (error != 0) {
        snprintf(c->error, sizeof(c->error), "connect: %s", strerror(error));
        rconn_close(c);
        return false;
    }
    return true;
}

bool rconn_alive(struct rconn *c)
{
    struct pollfd p = {.fd = c->fd, .events = POLLIN};

    if (c->fd < 0) {
        return false;
    }
    /* Nothing is outstanding: a byte, an end or an error is the end. */
    if (poll(&p, 1, 0) != 0) {
        rconn_close(c);
        return false;
    }
    return true;
}

/* How many bytes of @request went out; all of them, or an error. */
static size_t send_all(struct rconn *c,
                       struct bytes request,
                       int64_t deadline_ms)
{
    size_t sent = 0;

    while (sent < request.n) {
        ssize_t n =
            send(c->fd, request.p + sent, request.n - sent, MSG_NOSIGNAL);

        if (n > 0) {
            sent += (size_t)n;
        } else if (n < 0 && errno == EAGAIN) {
            if (!wait_for(c, POLLOUT, deadline_ms)) {
                break;
            }
        } else if (n < 0 && errno != EINTR) {
            snprintf(c->error, sizeof(c->error), "send: %s", strerror(errno));
            break;
        }
    }
    return sent;
}

/* More bytes of the node; false: none will come. */
static bool receive(struct rconn *c, int64_t deadline_ms)
{
    for (;;) {
        ssize_t n;

        buf_reserve(&c->in, READ_CHUNK);
        n = recv(c->fd, c->in.p + c->in.n, c->in.cap - c->in.n, 0);
        if (n > 0) {
            c->in.n += (size_t)n;
            return true;
        }
        if (n == 0) {
            snprintf(c->error, sizeof(c->error), "closed by the node");
            return false;
        }
        if (errno == EAGAIN) {
            if (!wait_for(c, POLLIN, deadline_ms)) {
                return false;
            }
        } else if (errno != EINTR) {
            snprintf(c->error, sizeof(c->error), "recv: %s", strerror(errno));
            return false;
        }
    }
}

/* The next reply goes to the end of @a->raw. */
static bool next_reply(struct rconn *c, int64_t deadline_ms, struct answer *a)
{
    struct resp_scan scan = {0};

    for (;;) {
        size_t len = 0;
        int rv =
            resp_scan_reply(&scan, c->in.p, c->in.n, RCONN_REPLY_MAX, &len);

        if (rv == 1) {
            buf_append(&a->raw, c->in.p, len);
            buf_consume(&c->in, len);
            return true;
        }
        if (rv < 0) {
            snprintf(c->error, sizeof(c->error), "not the protocol");
            return false;
        }
        if (!receive(c, deadline_ms)) {
            return false;
        }
    }
}

enum outcome rconn_exchange(struct rconn *c,
                            struct bytes request,
                            size_t n,
                            int64_t deadline_ms,
                            struct answer *a)
{
    size_t sent;

    answer_clear(a);
    if (c->fd < 0) {
        snprintf(c->error, sizeof(c->error), "not connected");
        return OUT_FAIL;
    }
    sent = send_all(c, request, deadline_ms);
    if (sent < request.n) {
        rconn_close(c);
        return sent == 0 ? OUT_FAIL : OUT_INFO;
    }
    for (size_t i = 0; i < n; i++) {
        if (!next_reply(c, deadline_ms, a)) {
            rconn_close(c);
            return OUT_INFO;
        }
    }
    if (!answer_parse(a, n)) {
        snprintf(c->error, sizeof(c->error), "not the protocol");
        rconn_close(c);
        return OUT_INFO;
    }
    return OUT_OK;
}

bool rconn_send(struct rconn *c, struct bytes request, int64_t deadline_ms)
{
    if (c->fd < 0) {
        snprintf(c->error, sizeof(c->error), "not connected");
        return false;
    }
    if (send_all(c, request, deadline_ms) < request.n) {
        rconn_close(c);
        return false;
    }
    return true;
}

/* A byte, an end or an error may be there. */
static bool readable(struct rconn *c)
{
    struct pollfd p = {.fd = c->fd, .events = POLLIN};

    return poll(&p, 1, 0) != 0;
}

int rconn_next(struct rconn *c, int64_t deadline_ms, struct answer *a)
{
    struct resp_scan scan = {0};
    size_t len = 0;
    int rv;

    answer_clear(a);
    if (c->fd < 0) {
        return -1;
    }
    while ((rv = resp_scan_reply(&scan, c->in.p, c->in.n, RCONN_REPLY_MAX,
                                 &len)) == 0) {
        if (!readable(c) && (deadline_ms <= rconn_now_ms() ||
                             !wait_for(c, POLLIN, deadline_ms))) {
            return 0;
        }
        if (!receive(c, rconn_now_ms() + 1)) {
            rconn_close(c);
            return -1;
        }
    }
    if (rv == 1) {
        buf_append(&a->raw, c->in.p, len);
        buf_consume(&c->in, len);
    }
    if (rv < 0 || !answer_parse(a, 1)) {
        snprintf(c->error, sizeof(c->error), "not the protocol");
        rconn_close(c);
        return -1;
    }
    return 1;
}

/* ---- errors ---- */

enum outcome rconn_judge(const struct resp_value *v)
{
    /* NOSESSION is not here: what is sent again may have been applied. */
    static const char *const refusals[] = {
        "ERR", "EXECABORT", "NOPROTO", "CLUSTERDOWN", "TRYAGAIN",
        "OOM", "NOSPACE",   "LOADING", "MOVED",       "STALE"};
    size_t n = 0;

    if (v->type != RESP_ERROR) {
        return OUT_OK;
    }
    while (n < v->str.n && v->str.p[n] != ' ') {
        n++;
    }
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        if (bytes_eq(bytes_of(v->str.p, n), bytes_str(refusals[i]))) {
            return OUT_FAIL;
        }
    }
    return OUT_INFO;
}

bool rconn_moved(const struct resp_value *v, char addr[LIM_ADDR])
{
    char text[LIM_ADDR + 32];
    const char *space;

    if (v->type != RESP_ERROR || v->str.n >= sizeof(text)) {
        return false;
    }
    memcpy(text, v->str.p, v->str.n);
    text[v->str.n] = '\0';
    space = strrchr(text, ' ');
    if (strncmp(text, "MOVED ", 6) != 0 || space == NULL ||
        strlen(space + 1) >= LIM_ADDR) {
        return false;
    }
    snprintf(addr, LIM_ADDR, "%s", space + 1);
    return true;
}
