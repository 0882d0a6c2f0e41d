/* etcd_load: the load of redis-benchmark -t set,get, for etcd.
 *
 *   etcd_load put|get CONNECTIONS REQUESTS KEYS VALUE_BYTES PORT
 *
 * Plain gRPC over HTTP/2, one request at a time on each connection, random
 * keys "key:000000000000"; get is linearizable, etcd's default. No library
 * lies between, so that the client costs as little as redis-benchmark does.
 * Prints "REQUESTS_PER_SECOND P50_MS P99_MS". Exit 0, or 1 with the reason.
 *
 * Of HTTP/2 only what this needs: requests without Huffman or dynamic table;
 * of an answer the frames are counted (an error has no DATA frame), PING and
 * SETTINGS are acknowledged, and the connection's window is opened once for
 * the whole run (2 GiB). The peer reopens ours long before it closes. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"

enum {
    CONNECTIONS_MAX = 256,
    VALUE_MAX = 4096,
    FRAME_HEADER = 9,
    FRAME_DATA = 0,
    FRAME_HEADERS = 1,
    FRAME_RESET = 3,
    FRAME_SETTINGS = 4,
    FRAME_PING = 6,
    FRAME_GOAWAY = 7,
    FLAG_END_STREAM = 1,
    FLAG_ACK = 1,
    FLAG_END_HEADERS = 4,
};

struct conn {
    int fd;
    uint32_t stream; /* of the request under way; odd, growing */
    bool data_seen;
    uint64_t sent_us;
    struct buf in, out;
};

struct load {
    bool put;
    int connections, port;
    long requests, keys, started, done;
    size_t value_n;
    uint64_t seed;
    uint32_t *latency_us;
    struct conn c[CONNECTIONS_MAX];
};

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "etcd_load: %s: %s\n", what, why);
    exit(1);
}

static uint64_t now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static uint64_t next_random(struct load *l)
{
    l->seed ^= l->seed << 13;
    l->seed ^= l->seed >> 7;
    l->seed ^= l->seed << 17;
    return l->seed;
}

static void put_be32(struct buf *b, uint32_t v)
{
    for (int shift = 24; shift >= 0; shift -= 8) {
        buf_u8(b, (uint8_t)(v >> shift));
    }
}

static void put_frame(struct buf *b,
                      int type,
                      int flags,
                      uint32_t stream,
                      struct bytes body)
{
    buf_u8(b, (uint8_t)(body.n >> 16));
    buf_u8(b, (uint8_t)(body.n >> 8));
    buf_u8(b, (uint8_t)body.n);
    buf_u8(b, (uint8_t)type);
    buf_u8(b, (uint8_t)flags);
    put_be32(b, stream);
    buf_bytes_append(b, body);
}

static void put_text(struct buf *b, const char *s)
{
    buf_u8(b, (uint8_t)strlen(s)); /* below 127: one byte, no Huffman */
    buf_append(b, s, strlen(s));
}

static void put_headers(struct buf *b, bool put)
{
    buf_u8(b, 0x83); /* :method POST */
    buf_u8(b, 0x86); /* :scheme http */
    buf_u8(b, 0x04); /* :path */
    put_text(b, put ? "/etcdserverpb.KV/Put" : "/etcdserverpb.KV/Range");
    buf_u8(b, 0x01); /* :authority */
    put_text(b, "127.0.0.1");
    buf_u8(b, 0x0F); /* content-type, entry 31 of the static table */
    buf_u8(b, 0x10);
    put_text(b, "application/grpc");
    buf_u8(b, 0x00);
    put_text(b, "te");
    put_text(b, "trailers");
}

static void put_varint(struct buf *b, size_t v)
{
    for (; v >= 0x80; v >>= 7) {
        buf_u8(b, (uint8_t)(v | 0x80));
    }
    buf_u8(b, (uint8_t)v);
}

/* PutRequest {1: key, 2: value} or RangeRequest {1: key}. */
static void put_message(struct load *l, struct buf *b)
{
    char key[32];
    int n = snprintf(key, sizeof key, "key:%012llu",
                     (unsigned long long)(next_random(l) % (uint64_t)l->keys));

    buf_u8(b, 0x0A);
    put_varint(b, (size_t)n);
    buf_append(b, key, (size_t)n);
    if (l->put) {
        buf_u8(b, 0x12);
        put_varint(b, l->value_n);
        for (size_t i = 0; i < l->value_n; i++) {
            buf_u8(b, (uint8_t)('a' + next_random(l) % 26));
        }
    }
}

static void conn_flush(struct conn *c)
{
    while (c->out.n > 0) {
        ssize_t n = send(c->fd, c->out.p, c->out.n, MSG_NOSIGNAL);

        if (n < 0) {
            fail("send", strerror(errno));
        }
        buf_consume(&c->out, (size_t)n);
    }
}

static void conn_request(struct load *l, struct conn *c)
{
    struct buf headers = BUF_INIT, body = BUF_INIT, message = BUF_INIT;

    l->started++;
    c->stream = c->stream == 0 ? 1 : c->stream + 2;
    c->data_seen = false;
    put_headers(&headers, l->put);
    put_message(l, &message);
    buf_u8(&body, 0); /* not compressed */
    put_be32(&body, (uint32_t)message.n);
    buf_bytes_append(&body, buf_bytes(&message));
    put_frame(&c->out, FRAME_HEADERS, FLAG_END_HEADERS, c->stream,
              buf_bytes(&headers));
    put_frame(&c->out, FRAME_DATA, FLAG_END_STREAM, c->stream,
              buf_bytes(&body));
    buf_release(&headers);
    buf_release(&message);
    buf_release(&body);
    c->sent_us = now_us();
    conn_flush(c);
}

static void conn_frame(struct load *l,
                       struct conn *c,
                       int type,
                       int flags,
                       struct bytes body)
{
    if (type == FRAME_SETTINGS && !(flags & FLAG_ACK)) {
        put_frame(&c->out, FRAME_SETTINGS, FLAG_ACK, 0, bytes_of(NULL, 0));
    } else if (type == FRAME_PING && !(flags & FLAG_ACK)) {
        put_frame(&c->out, FRAME_PING, FLAG_ACK, 0, body);
    } else if (type == FRAME_RESET || type == FRAME_GOAWAY) {
        fail("etcd", "closed the stream");
    } else if (type == FRAME_DATA) {
        c->data_seen = true;
    } else if (type == FRAME_HEADERS && (flags & FLAG_END_STREAM)) {
        if (!c->data_seen) {
            fail("etcd", "answered with an error");
        }
        l->latency_us[l->done++] = (uint32_t)(now_us() - c->sent_us);
        if (l->started < l->requests) {
            conn_request(l, c);
        }
    }
    conn_flush(c);
}

static void conn_read(struct load *l, struct conn *c)
{
    ssize_t n;

    buf_reserve(&c->in, 65536);
    n = recv(c->fd, c->in.p + c->in.n, 65536, 0);
    if (n <= 0) {
        fail("receive", n == 0 ? "connection closed" : strerror(errno));
    }
    c->in.n += (size_t)n;
    while (c->in.n >= FRAME_HEADER) {
        const uint8_t *p = c->in.p;
        size_t len = (size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2];

        if (c->in.n < FRAME_HEADER + len) {
            return;
        }
        conn_frame(l, c, p[3], p[4], bytes_of(p + FRAME_HEADER, len));
        buf_consume(&c->in, FRAME_HEADER + len);
    }
}

static void conn_open(struct load *l, struct conn *c)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    static const uint8_t window[4] = {0x7F, 0xFE, 0, 0};
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)l->port)};
    int one = 1;

    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&a, sizeof a) != 0) {
        fail("connect", strerror(errno));
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    buf_append(&c->out, preface, sizeof preface - 1);
    put_frame(&c->out, FRAME_SETTINGS, 0, 0, bytes_of(NULL, 0));
    put_frame(&c->out, 8 /* WINDOW_UPDATE */, 0, 0, bytes_of(window, 4));
}

static void run(struct load *l)
{
    struct pollfd p[CONNECTIONS_MAX];

    for (int i = 0; i < l->connections; i++) {
        conn_open(l, &l->c[i]);
        p[i].fd = l->c[i].fd;
        p[i].events = POLLIN;
    }
    for (int i = 0; i < l->connections && l->started < l->requests; i++) {
        conn_request(l, &l->c[i]);
    }
    while (l->done < l->requests) {
        if (poll(p, (nfds_t)l->connections, 10000) <= 0) {
            fail("wait", "no answer for 10 s");
        }
        for (int i = 0; i < l->connections; i++) {
            if (p[i].revents != 0) {
                conn_read(l, &l->c[i]);
            }
        }
    }
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
    static struct load l;
    uint64_t began, took;

    if (argc != 7) {
        fprintf(stderr,
                "usage: etcd_load put|get CONNECTIONS REQUESTS KEYS "
                "VALUE_BYTES PORT\n");
        return 2;
    }
    l.put = strcmp(argv[1], "put") == 0;
    l.connections = atoi(argv[2]);
    l.requests = atol(argv[3]);
    l.keys = atol(argv[4]);
    l.value_n = (size_t)atol(argv[5]);
    l.port = atoi(argv[6]);
    l.seed = now_us() | 1;
    if (l.connections < 1 || l.connections > CONNECTIONS_MAX ||
        l.requests < 1 || l.keys < 1 || l.value_n > VALUE_MAX) {
        fail("arguments", "out of range");
    }
    l.latency_us = hf_calloc((size_t)l.requests, sizeof *l.latency_us);
    began = now_us();
    run(&l);
    took = now_us() - began;
    qsort(l.latency_us, (size_t)l.requests, sizeof *l.latency_us, by_value);
    printf("%.0f %.3f %.3f\n", (double)l.requests * 1e6 / (double)took,
           l.latency_us[l.requests / 2] / 1e3,
           l.latency_us[l.requests * 99 / 100] / 1e3);
    free(l.latency_us);
    return 0;
}
