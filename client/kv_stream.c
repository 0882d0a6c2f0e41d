/* kv: what comes without being asked for, one connection of its own.
 *
 * Connect, send the command, print until Ctrl-C. When the node dies or falls
 * silent, say so and do the same at the next one: what was published in
 * between is missed, because messages are not kept anywhere. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "client/conn.h"
#include "client/hf_int.h"
#include "client/kv_session.h"

enum {
    STREAM_SILENCE_MS = 2000, /* then the node is asked; so long again: lost */
    STREAM_PACE_MS = 250      /* after each node was tried */
};

struct stream {
    struct session *s;
    struct conn conn;
    struct buf request;
    bool ping;  /* the node may be asked whether it lives */
    bool asked; /* it was, and said nothing since */
};

/* Print what is whole. False: not the protocol. */
static bool print_whole(struct stream *t)
{
    struct conn *c = &t->conn;

    for (;;) {
        struct hf_reply *r;
        size_t len;
        int rv =
            resp_scan_reply(&c->scan, c->in.p, c->in.n, HF_REPLY_MAX, &len);

        if (rv <= 0) {
            fflush(stdout);
            return rv == 0;
        }
        r = hf_reply_make(bytes_of(c->in.p, len));
        if (r != NULL && !(r->type == HF_REPLY_STATUS && t->ping &&
                           strcmp(r->str, "PONG") == 0)) {
            kv_print_reply(t->s->kv, r);
        }
        hf_reply_free(r);
        buf_consume(&c->in, len);
    }
}

static bool put(struct stream *t, struct bytes b)
{
    /* Small, and the socket is empty: it takes all. */
    return send(t->conn.fd, b.p, b.n, MSG_NOSIGNAL) == (ssize_t)b.n;
}

/* Until the connection is of no use, or Ctrl-C. Why not: text or NULL. */
static const char *follow(struct stream *t)
{
    struct conn *c = &t->conn;

    t->asked = false;
    while (!kv_interrupted) {
        struct pollfd p = {c->fd, POLLIN, 0};
        int n = poll(&p, 1, STREAM_SILENCE_MS);
        ssize_t got;

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n == 0 && t->ping && t->asked) {
            return "silent";
        }
        if (n == 0) {
            t->asked = true;
            if (t->ping && !put(t, bytes_str("*1\r\n$4\r\nPING\r\n"))) {
                return "lost";
            }
            continue;
        }
        buf_reserve(&c->in, 64 << 10);
        got = recv(c->fd, c->in.p + c->in.n, c->in.cap - c->in.n, 0);
        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
            return "closed the connection";
        }
        c->in.n += got > 0 ? (size_t)got : 0;
        t->asked = false;
        if (!print_whole(t)) {
            return "does not speak the protocol";
        }
    }
    return NULL;
}

/* Connect to @addr and greet. */
static bool begin(struct stream *t, const char *addr)
{
    struct conn *c = &t->conn;
    int64_t until = conn_now_ms() + HF_AUTH_TIMEOUT;
    struct buf b = BUF_INIT;
    struct bytes reply;
    bool sent;
    int rv = conn_dial(c, addr, conn_now_ms() + HF_CONNECT_TIMEOUT);

    if (rv == CONN_OK) {
        hf_greeting(&t->s->kv->c->opt, &b);
        rv = conn_exchange(c, buf_bytes(&b), until, HF_AUTH_TIMEOUT, &sent,
                           &reply);
    }
    buf_release(&b);
    if (rv != CONN_OK) {
        fprintf(stderr, "kv: %s\n", c->error);
        return false;
    }
    if (reply.p[0] == '-') {
        fprintf(stderr, "kv: %s: %.*s\n", addr, (int)(reply.n - 3),
                (const char *)reply.p + 1);
        return false;
    }
    buf_consume(&c->in, c->used);
    c->used = 0;
    if (!put(t, buf_bytes(&t->request))) {
        fprintf(stderr, "kv: %s: the command could not be sent\n", addr);
        return false;
    }
    return true;
}

int session_stream(struct session *s,
                   const struct hf_bytes *argv,
                   size_t argc,
                   bool ping)
{
    struct stream t = {.s = s, .ping = ping};
    struct nodes *nodes = &s->kv->c->nodes;
    size_t i = nodes_find(nodes, hf_node(s->kv->c));

    i = i < nodes->n ? i : 0;
    conn_init(&t.conn);
    t.conn.stop_fd = s->kv->c->conn.stop_fd;
    hf_request(&t.request, 0, 0, argv, argc);
    printf("Reading messages... (press Ctrl-C to quit)\n");
    fflush(stdout);
    while (!kv_interrupted) {
        if (begin(&t, nodes->list[i].addr)) {
            const char *why = follow(&t);

            if (why != NULL) {
                fprintf(stderr,
                        "kv: %s: %s; going on at another node, messages may "
                        "have been missed\n",
                        nodes->list[i].addr, why);
            }
        }
        conn_close(&t.conn);
        i = (i + 1) % nodes->n;
        if (i == 0 && !kv_interrupted) {
            (void)poll(NULL, 0, STREAM_PACE_MS);
        }
    }
    kv_interrupted = 0;
    buf_release(&t.request);
    putchar('\n');
    return KV_DONE;
}
