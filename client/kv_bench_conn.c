/* kv bench: the connections. */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/mutant.h"
#include "client/conn.h"
#include "client/hf_int.h"
#include "client/kv_bench_load.h"

enum {
    RECV_BYTES = 256 << 10,
    KEEP_BYTES = 64 << 10 /* a buffer that is empty may keep so many */
};

/* ---- errors ---- */

static size_t word_of(struct bytes text)
{
    size_t n = 0;

    while (n < text.n && n < BENCH_ERROR_WORD - 1 && text.p[n] > ' ') {
        n++;
    }
    return n;
}

void bench_error(struct bench_result *r, const char *word, struct bytes text)
{
    struct bytes w =
        word != NULL ? bytes_str(word) : bytes_of(text.p, word_of(text));
    struct bench_error *e;
    size_t i = 0;

    while (i < r->nerrors && !bytes_eq(w, bytes_str(r->errors[i].word))) {
        i++;
    }
    if (i >= BENCH_ERRORS_MAX - 1) {
        i = BENCH_ERRORS_MAX - 1;
        w = bytes_str("OTHER");
    }
    e = &r->errors[i];
    if (i >= r->nerrors) {
        r->nerrors = i + 1;
        snprintf(e->word, sizeof(e->word), "%.*s", (int)w.n, (const char *)w.p);
        snprintf(e->text, sizeof(e->text), "%.*s",
                 (int)(text.n < BENCH_ERROR_TEXT ? text.n : BENCH_ERROR_TEXT),
                 (const char *)text.p);
    }
    e->count++;
}

/* A request failed. @unknown: it may have been done. */
static void request_failed(struct load *l, bool read, bool unknown)
{
    l->r->failed++;
    l->r->unknown += unknown && !read ? 1 : 0;
}

/* ---- life of a connection ---- */

void bench_resolve(struct bench_node *n, bool dial)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    char host[LIM_ADDR];
    char port[LIM_ADDR];
    struct conn c;

    conn_init(&c);
    if (dial &&
        conn_dial(&c, n->addr, conn_now_ms() + HF_CONNECT_TIMEOUT) == CONN_OK) {
        socklen_t len = sizeof(n->sa);

        if (getpeername(c.fd, (struct sockaddr *)&n->sa, &len) == 0) {
            n->sa_len = len;
        }
    }
    conn_close(&c);
    if (n->sa_len == 0 && conn_split_addr(n->addr, host, port) &&
        getaddrinfo(host, port, &hints, &list) == 0) {
        memcpy(&n->sa, list->ai_addr, list->ai_addrlen);
        n->sa_len = list->ai_addrlen;
    }
    if (list != NULL) {
        freeaddrinfo(list);
    }
}

static void trim(struct buf *b)
{
    if (b->n == 0 && b->cap > KEEP_BYTES) {
        buf_release(b);
    }
}

/* Back to WAITING. Nothing is in flight. */
static void conn_shut(struct load *l, struct bench_conn *c, int64_t dial_ns)
{
    hf_assert(c->count == 0);
    hf_assert(c->state != CONN_WAITING);
    if (c->state == CONN_UP) {
        l->up--;
        l->up_busy -= c->idle ? 0 : 1;
    } else {
        l->dialing--;
    }
    if (c->fd >= 0) {
        close(c->fd);
    }
    c->fd = -1;
    c->state = CONN_WAITING;
    c->blocked = c->leaving = false;
    c->heard_ns = dial_ns;
    c->out_off = 0;
    buf_release(&c->out);
    buf_release(&c->in);
    memset(&c->scan, 0, sizeof(c->scan));
}

/* The next one of those that can be dialled. */
static void conn_next_node(struct load *l, struct bench_conn *c)
{
    for (size_t k = 0; k < l->cfg->nnodes; k++) {
        c->node = (uint16_t)((c->node + 1) % l->cfg->nnodes);
        if (l->cfg->nodes[c->node].sa_len > 0) {
            return;
        }
    }
}

void conn_lost(struct load *l,
               struct bench_conn *c,
               const char *word,
               const char *text)
{
    char full[BENCH_ERROR_TEXT];
    bool fresh = c->state != CONN_UP;
    uint32_t lost = c->count;

    snprintf(full, sizeof(full), "%.80s: %s", l->cfg->nodes[c->node].addr,
             text);
    for (; c->count > 0; c->count--) {
        request_failed(l, (c->ring[c->head] & 1) != 0, true);
        bench_error(l->r, word, bytes_str(full));
        c->head = (c->head + 1) % (uint32_t)l->cfg->pipeline;
        l->in_flight--;
    }
    if (lost == 0) {
        bench_error(l->r, fresh ? "CONNECT" : "CLOSED", bytes_str(full));
        l->r->troubles += l->running ? 1 : 0;
    }
    conn_shut(l, c, bench_now_ns() + (int64_t)c->pause_ms * 1000000);
    if (fresh) {
        c->pause_ms = c->pause_ms * 2 < BENCH_REDIAL_MAX_MS
                          ? c->pause_ms * 2
                          : BENCH_REDIAL_MAX_MS;
        conn_next_node(l, c);
    }
}

static void conn_up(struct load *l, struct bench_conn *c)
{
    c->state = CONN_UP;
    c->pause_ms = BENCH_REDIAL_FIRST_MS;
    l->dialing--;
    l->up++;
    l->up_busy += c->idle ? 0 : 1;
    l->r->redials += c->was_up ? 1 : 0;
    c->was_up = true;
    conn_list(l, c);
}

static void conn_dial_one(struct load *l, struct bench_conn *c, int64_t now)
{
    const struct bench_node *n = &l->cfg->nodes[c->node];
    struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT,
                             .data.u64 = (uint64_t)(c - l->conns)};
    int one = 1;

    c->state = CONN_DIALING;
    c->heard_ns = now;
    l->dialing++;
    c->fd =
        socket(n->sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    /* Best effort: without NODELAY requests are only slower. */
    if (c->fd < 0 ||
        (setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)),
         connect(c->fd, (const struct sockaddr *)&n->sa, n->sa_len) != 0 &&
             errno != EINPROGRESS) ||
        epoll_ctl(l->epfd, EPOLL_CTL_ADD, c->fd, &ev) != 0) {
        conn_lost(l, c, "CONNECT", strerror(errno));
        return;
    }
    c->blocked = true;
}

void conns_dial(struct load *l, int64_t now)
{
    for (size_t i = 0; i < l->nconns && l->dialing < BENCH_DIALS_MAX &&
                       l->up + l->dialing < l->nconns;
         i++) {
        struct bench_conn *c = &l->conns[i];

        if (c->state == CONN_WAITING && now >= c->heard_ns) {
            conn_dial_one(l, c, now);
        }
    }
}

void conns_check(struct load *l, int64_t now)
{
    for (size_t i = 0; i < l->nconns; i++) {
        struct bench_conn *c = &l->conns[i];
        bool waits = c->count > 0 || c->state == CONN_DIALING ||
                     c->state == CONN_GREETING;

        if (c->state != CONN_WAITING && waits &&
            now - c->heard_ns > l->cfg->timeout_ns) {
            conn_lost(l, c, "TIMEOUT", "no answer in time");
        }
    }
}

/* ---- sending ---- */

bool conn_has_room(const struct load *l, const struct bench_conn *c)
{
    return c->state == CONN_UP && !c->idle && !c->leaving &&
           c->count < l->cfg->pipeline &&
           c->out.n - c->out_off < BENCH_OUT_HIGH;
}

void conn_list(struct load *l, struct bench_conn *c)
{
    if (!c->listed && conn_has_room(l, c)) {
        l->ready[(l->ready_head + l->ready_n) % l->cfg->connections] =
            (uint32_t)(c - l->conns);
        l->ready_n++;
        c->listed = true;
    }
}

/* Wait for the socket to take more, or no longer. */
static void conn_block(struct load *l, struct bench_conn *c, bool blocked)
{
    struct epoll_event ev = {.events = EPOLLIN | (blocked ? EPOLLOUT : 0),
                             .data.u64 = (uint64_t)(c - l->conns)};

    if (c->blocked != blocked) {
        c->blocked = blocked;
        hf_assert(epoll_ctl(l->epfd, EPOLL_CTL_MOD, c->fd, &ev) == 0);
    }
}

void conn_flush(struct load *l, struct bench_conn *c)
{
    bool full = false;

    while (c->fd >= 0 && c->out_off < c->out.n && !full) {
        ssize_t n = send(c->fd, c->out.p + c->out_off, c->out.n - c->out_off,
                         MSG_NOSIGNAL);

        if (n > 0) {
            c->out_off += (size_t)n;
        } else if (errno == EAGAIN) {
            full = true;
        } else if (errno != EINTR) {
            conn_lost(l, c, "LOST", strerror(errno));
            return;
        }
    }
    if (c->fd < 0) {
        return;
    }
    if (!full) {
        c->out_off = 0;
        buf_clear(&c->out);
        trim(&c->out);
    }
    conn_block(l, c, full);
    conn_list(l, c);
}

/* ---- the greeting ---- */

static void greet(struct load *l, struct bench_conn *c)
{
    int err = 0;
    socklen_t len = sizeof(err);

    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &len) != 0) {
        err = errno;
    }
    if (err != 0) {
        conn_lost(l, c, "CONNECT", strerror(err));
        return;
    }
    c->state = CONN_GREETING;
    hf_greeting(l->cfg->login, &c->out);
    c->replies = 1;
    if (l->cfg->login->stale) {
        hf_greeting_stale(l->cfg->login, &c->out);
        c->replies = 2;
    }
    conn_flush(l, c);
}

static bool begins(struct bytes s, const char *with)
{
    size_t n = strlen(with);

    return s.n >= n && memcmp(s.p, with, n) == 0;
}

/* False: the connection is gone. */
static bool greeted(struct load *l, struct bench_conn *c, struct bytes reply)
{
    bool hello = c->replies == (l->cfg->login->stale ? 2 : 1);
    char text[BENCH_ERROR_TEXT];

    /* A server without HELLO, or without RESP3: RESP2 will do. */
    if (reply.p[0] == '-' && !(hello && l->cfg->login->password == NULL &&
                               (begins(reply, "-ERR unknown command") ||
                                begins(reply, "-NOPROTO")))) {
        snprintf(text, sizeof(text), "%s: %.*s", hello ? "HELLO" : "READONLY",
                 (int)(reply.n < 100 ? reply.n - 3 : 100), reply.p + 1);
        l->shut_out = l->shut_out || !hello || attempts_shut_out(reply);
        conn_lost(l, c, "CONNECT", text);
        return false;
    }
    if (--c->replies == 0) {
        conn_up(l, c);
    }
    return true;
}

/* ---- replies ---- */

/* -MOVED slot host:port: there from now on. */
static void moved(struct load *l, struct bench_conn *c, struct bytes text)
{
    struct bench_config *cfg = l->cfg;
    const uint8_t *blank = memrchr(text.p, ' ', text.n);
    size_t n = blank == NULL ? 0 : (size_t)(text.p + text.n - blank - 1);
    size_t i = 0;

    if (cfg->spread || n == 0 || n >= LIM_ADDR || c->leaving) {
        return;
    }
    while (i < cfg->nnodes &&
           !bytes_eq(bytes_str(cfg->nodes[i].addr), bytes_of(blank + 1, n))) {
        i++;
    }
    if (i == cfg->nnodes) {
        struct bench_node *to = &cfg->nodes[i];

        if (i == BENCH_NODES_MAX) {
            return;
        }
        memset(to, 0, sizeof(*to));
        memcpy(to->addr, blank + 1, n);
        bench_resolve(to, false);
        if (to->sa_len == 0) {
            return;
        }
        cfg->nnodes++;
    }
    c->node = (uint16_t)i;
    c->leaving = true;
}

static void answered(struct load *l, bool read, int64_t due, int64_t now)
{
    struct bench_side *side = read ? &l->r->reads : &l->r->writes;
    uint64_t us = (uint64_t)(now - due + 999) / 1000;

    hist_add(&l->second, us);
    if (due >= l->measure_ns || mutant(CLIENT_BENCH_WARMUP)) {
        hist_add(&side->latency, us);
        l->last_ns = now;
    }
    if (now >= l->measure_ns && now < l->end_ns) {
        l->window++;
    }
}

/* One reply to a request. */
static void replied(struct load *l,
                    struct bench_conn *c,
                    struct bytes reply,
                    int64_t now)
{
    bool read = (c->ring[c->head] & 1) != 0;
    int64_t due = (int64_t)(c->ring[c->head] >> 1);
    struct bytes text = bytes_of(reply.p + 1, reply.n - 3);

    c->head = (c->head + 1) % (uint32_t)l->cfg->pipeline;
    c->count--;
    l->in_flight--;
    c->heard_ns = now;
    l->cfg->nodes[c->node].requests++;
    if (reply.p[0] == '-') {
        request_failed(l, read, begins(text, "UNKNOWN "));
        bench_error(l->r, NULL, text);
        if (begins(text, "MOVED ")) {
            moved(l, c, text);
        }
        return;
    }
    if (read ? reply.p[0] != '$' && reply.p[0] != '_' : reply.p[0] != '+') {
        request_failed(l, read, true);
        bench_error(l->r, "PROTOCOL", text);
        return;
    }
    if (read && (reply.p[0] == '_' || reply.p[1] == '-') &&
        due >= l->measure_ns) {
        l->r->reads.misses++;
    }
    answered(l, read, due, now);
}

/* False: the connection is gone. */
static bool take_reply(struct load *l,
                       struct bench_conn *c,
                       struct bytes reply,
                       int64_t now)
{
    if (reply.p[0] == '>') {
        return true; /* a push is nobody's answer */
    }
    if (c->state == CONN_GREETING) {
        return greeted(l, c, reply);
    }
    if (c->count == 0) {
        char text[100];

        snprintf(text, sizeof(text), "unasked: %.*s",
                 (int)(reply.n < 80 ? reply.n - 2 : 80), reply.p);
        conn_lost(l, c, "PROTOCOL", text);
        return false;
    }
    replied(l, c, reply, now);
    return true;
}

/* All whole replies of @in. *@used: bytes dealt with. False: the connection
 * is gone. */
static bool take_replies(struct load *l,
                         struct bench_conn *c,
                         struct bytes in,
                         size_t *used,
                         int64_t now)
{
    size_t len;
    int rv = 1;

    *used = 0;
    while (*used < in.n) {
        rv = resp_scan_reply(&c->scan, in.p + *used, in.n - *used,
                             BENCH_REPLY_MAX, &len);
        if (rv < 0) {
            conn_lost(l, c, "PROTOCOL", "that is not the Redis protocol");
            return false;
        }
        if (rv == 0) {
            return true;
        }
        if (!take_reply(l, c, bytes_of(in.p + *used, len), now)) {
            return false;
        }
        *used += len;
    }
    return true;
}

/* What came: mostly whole replies, which are read where they lie. */
static bool take_bytes(struct load *l,
                       struct bench_conn *c,
                       size_t n,
                       int64_t now)
{
    struct bytes in = bytes_of(l->bytes, n);
    size_t used;

    if (c->in.n > 0) {
        buf_append(&c->in, l->bytes, n);
        in = buf_bytes(&c->in);
    }
    if (!take_replies(l, c, in, &used, now)) {
        return false;
    }
    if (c->in.n > 0) {
        buf_consume(&c->in, used);
        trim(&c->in);
    } else {
        buf_append(&c->in, in.p + used, in.n - used);
    }
    return true;
}

static void conn_read(struct load *l, struct bench_conn *c)
{
    ssize_t n = recv(c->fd, l->bytes, RECV_BYTES, 0);

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n <= 0) {
        conn_lost(l, c, "LOST",
                  n == 0 ? "closed the connection" : strerror(errno));
        return;
    }
    if (!take_bytes(l, c, (size_t)n, bench_now_ns())) {
        return;
    }
    if (c->leaving && c->count == 0) {
        conn_shut(l, c, 0);
        return;
    }
    conn_list(l, c);
}

void conn_event(struct load *l, struct bench_conn *c, uint32_t events)
{
    if (c->fd < 0) {
        return; /* closed since the event was found */
    }
    if (c->state == CONN_DIALING) {
        greet(l, c);
        return;
    }
    if ((events & EPOLLOUT) != 0) {
        conn_flush(l, c);
    }
    if (c->fd >= 0 && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
        conn_read(l, c);
    }
}
