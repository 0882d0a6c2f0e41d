/* libholdfast_uv: one connection to one node. */
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "client/hf_int_uv.h"

enum { READ_MIN = 64 << 10 };

struct write {
    uv_write_t req;
    struct link *l;
    struct buf b;
};

static void link_free(struct link *l)
{
    struct hf_uv *h = l->h;

    buf_release(&l->out);
    buf_release(&l->in);
    free(l->fifo);
    free(l);
    huv_drop(h);
}

static void close_cb(uv_handle_t *handle)
{
    struct link *l = handle->data;

    l->closed = true;
    if (!l->dns_busy) {
        link_free(l);
    }
}

void link_close(struct link *l)
{
    huv_link_gone(l->h, l);
    if (l->dns_busy) {
        (void)uv_cancel((uv_req_t *)&l->dns); /* else its callback comes */
    }
    uv_close((uv_handle_t *)&l->tcp, close_cb);
}

static bool is_closing(const struct link *l)
{
    return uv_is_closing((const uv_handle_t *)&l->tcp) != 0;
}

static void lost(struct link *l, enum node_luck luck, const char *what)
{
    char why[UV_ERROR_MAX];

    snprintf(why, sizeof(why), "%.100s: %.90s", huv_addr(l->h, l->node), what);
    link_lost(l, luck, why);
}

/* ---- requests ---- */

struct sent *link_sent(struct link *l, size_t i)
{
    hf_assert(i < l->n);
    return &l->fifo[(l->head + i) % l->cap];
}

static void push(struct link *l, struct sent s)
{
    if (l->n == l->cap) {
        size_t cap = l->cap == 0 ? 16 : l->cap * 2;
        struct sent *to = hf_calloc(cap, sizeof(*to));

        for (size_t i = 0; i < l->n; i++) {
            to[i] = *link_sent(l, i);
        }
        free(l->fifo);
        l->fifo = to;
        l->head = 0;
        l->cap = cap;
    }
    l->n++;
    *link_sent(l, l->n - 1) = s;
}

void link_send(struct link *l, struct bytes request, struct sent s)
{
    s.at_ms = huv_now_ms(l->h);
    push(l, s);
    buf_bytes_append(&l->out, request);
}

static void write_cb(uv_write_t *req, int status)
{
    struct write *w = (struct write *)req;
    struct link *l = w->l;

    buf_release(&w->b);
    free(w);
    if (status < 0 && !is_closing(l)) {
        lost(l, NODE_TURNED_AWAY, uv_strerror(status));
    }
    if (status < 0) {
        huv_settle(l->h);
    }
}

void link_flush(struct link *l)
{
    struct write *w;
    uv_buf_t b;
    int rv;

    if (l->out.n == 0) {
        return;
    }
    w = hf_calloc(1, sizeof(*w));
    w->l = l;
    w->b = l->out;
    buf_init(&l->out);
    b = uv_buf_init((char *)w->b.p, (unsigned)w->b.n);
    rv = uv_write(&w->req, (uv_stream_t *)&l->tcp, &b, 1, write_cb);
    if (rv != 0) {
        buf_release(&w->b);
        free(w);
        lost(l, NODE_TURNED_AWAY, uv_strerror(rv));
    }
}

/* ---- replies ---- */

static void alloc_cb(uv_handle_t *handle, size_t hint, uv_buf_t *b)
{
    struct link *l = handle->data;

    (void)hint;
    buf_reserve(&l->in, l->in.n > READ_MIN ? l->in.n : READ_MIN);
    *b = uv_buf_init(
        (char *)l->in.p + l->in.n,
        (unsigned)(l->in.cap - l->in.n > INT32_MAX ? INT32_MAX
                                                   : l->in.cap - l->in.n));
}

static void take_greeting(struct link *l, struct bytes reply)
{
    char text[UV_ERROR_MAX / 2];

    if (reply.p[0] == '-') {
        snprintf(text, sizeof(text), "%.*s",
                 (int)(reply.n - 3 < 80 ? reply.n - 3 : 80),
                 (const char *)reply.p + 1);
        if (!l->probe && attempts_shut_out(reply)) {
            huv_denied(l->h, reply);
        }
        lost(l, NODE_TURNED_AWAY, text);
    } else if (l->n == 0) {
        l->state = LINK_UP;
        link_up(l);
    }
}

static void take(struct link *l, struct bytes reply)
{
    struct sent s;

    if (reply.p[0] == '>') {
        return; /* a push: nobody asked */
    }
    if (l->n == 0) {
        lost(l, NODE_TURNED_AWAY, "answers what was not asked");
        return;
    }
    s = *link_sent(l, 0);
    l->head = (l->head + 1) % l->cap;
    l->n--;
    if (s.what == SENT_GREETING) {
        take_greeting(l, reply);
    } else {
        link_reply(l, s, reply);
    }
}

static void read_cb(uv_stream_t *stream, ssize_t n, const uv_buf_t *b)
{
    struct link *l = stream->data;
    struct hf_uv *h = l->h;
    size_t pos = 0;

    (void)b;
    if (n == 0) {
        return;
    }
    if (n < 0) {
        lost(l, NODE_TURNED_AWAY,
             n == UV_EOF ? "closed the connection" : uv_strerror((int)n));
        huv_settle(h);
        return;
    }
    l->in.n += (size_t)n;
    l->heard_ms = huv_now_ms(h);
    while (!is_closing(l)) {
        size_t len;
        int rv = resp_scan_reply(&l->scan, l->in.p + pos, l->in.n - pos,
                                 HF_REPLY_MAX, &len);

        if (rv < 0) {
            lost(l, NODE_TURNED_AWAY, "does not speak the protocol");
            break;
        }
        if (rv == 0) {
            buf_consume(&l->in, pos);
            break;
        }
        take(l, bytes_of(l->in.p + pos, len));
        pos += len;
    }
    huv_settle(h); /* @l lives until its close callback */
}

/* ---- connecting ---- */

static void greet(struct link *l)
{
    const struct hf_options *opt = huv_options(l->h);
    struct sent s = {.what = SENT_GREETING};
    struct buf b = BUF_INIT;

    l->state = LINK_GREETING;
    hf_greeting(opt, &b);
    link_send(l, buf_bytes(&b), s);
    buf_clear(&b);
    if (opt->stale) {
        hf_greeting_stale(opt, &b);
        link_send(l, buf_bytes(&b), s);
    }
    buf_release(&b);
    link_flush(l);
}

static void connect_cb(uv_connect_t *req, int status)
{
    struct link *l = req->data;

    if (is_closing(l)) {
        return;
    }
    if (status < 0) {
        lost(l, NODE_FAILED, uv_strerror(status));
    } else {
        (void)uv_tcp_nodelay(&l->tcp, 1); /* else only slower */
        greet(l);
    }
    if (!is_closing(l)) {
        int rv = uv_read_start((uv_stream_t *)&l->tcp, alloc_cb, read_cb);

        hf_assert(rv == 0);
    }
    huv_settle(l->h);
}

static void dial(struct link *l, const struct sockaddr *sa)
{
    int rv;

    l->state = LINK_DIALING;
    l->connect.data = l;
    rv = uv_tcp_connect(&l->connect, &l->tcp, sa, connect_cb);
    if (rv != 0) {
        l->failed = rv; /* link_tick() tells: nothing is lost while it starts */
    }
}

static void dns_cb(uv_getaddrinfo_t *req, int status, struct addrinfo *list)
{
    struct link *l = req->data;
    struct hf_uv *h = l->h;
    size_t n = 0;
    size_t turn;

    l->dns_busy = false;
    if (l->closed) {
        uv_freeaddrinfo(list);
        link_free(l);
        return;
    }
    if (!is_closing(l) && status < 0) {
        lost(l, NODE_FAILED, uv_strerror(status));
    } else if (!is_closing(l)) {
        const struct addrinfo *ai = list;

        for (; ai != NULL; ai = ai->ai_next) {
            n++;
        }
        /* Each address in its turn, from one dial to the next. */
        turn = huv_turn(h, l->node) % n;
        for (ai = list; turn > 0; turn--) {
            ai = ai->ai_next;
        }
        dial(l, ai->ai_addr);
    }
    uv_freeaddrinfo(list);
    huv_settle(h);
}

static void resolve(struct link *l, const char *addr)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM};
    char host[LIM_ADDR];
    char port[LIM_ADDR];
    struct sockaddr_in in;
    struct sockaddr_in6 in6;

    l->dns.data = l;
    if (!conn_split_addr(addr, host, port)) {
        l->failed = UV_EINVAL;
    } else if (uv_ip4_addr(host, atoi(port), &in) == 0) {
        dial(l, (const struct sockaddr *)&in);
    } else if (uv_ip6_addr(host, atoi(port), &in6) == 0) {
        dial(l, (const struct sockaddr *)&in6);
    } else {
        l->failed =
            uv_getaddrinfo(huv_loop(l->h), &l->dns, dns_cb, host, port, &hints);
        l->dns_busy = l->failed == 0;
    }
}

struct link *link_start(struct hf_uv *h, size_t node, bool probe)
{
    struct link *l = hf_calloc(1, sizeof(*l));
    int rv = uv_tcp_init(huv_loop(h), &l->tcp);

    hf_assert(rv == 0); /* without flags it makes no socket */
    l->tcp.data = l;
    l->h = h;
    l->node = node;
    l->probe = probe;
    l->start_ms = huv_now_ms(h);
    l->heard_ms = l->start_ms;
    /* An idle handle does not keep the loop going; calls do. */
    uv_unref((uv_handle_t *)&l->tcp);
    huv_hold(h);
    resolve(l, huv_addr(h, node));
    return l;
}

void link_tick(struct link *l, int64_t now_ms)
{
    if (l->failed != 0) {
        lost(l, NODE_FAILED, uv_strerror(l->failed));
    } else if (l->state != LINK_UP &&
               now_ms - l->start_ms >= (l->state == LINK_GREETING
                                            ? hf_greeting_ms(huv_options(l->h))
                                            : HF_CONNECT_TIMEOUT)) {
        lost(l, NODE_FAILED,
             l->state == LINK_GREETING ? "does not greet" : "not reached");
    }
}
