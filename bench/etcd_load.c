/* etcd_load: a load for etcd like those of redis-benchmark and kv bench.
 *
 *   etcd_load put|get CONNECTIONS REQUESTS KEYS VALUE_BYTES PORT
 *             [STREAMS [RATE [FILE]]]
 *
 * Plain gRPC over HTTP/2, STREAMS (1) requests at a time on each connection,
 * random keys "key:000000000000"; get is linearizable, etcd's default. No
 * library lies between, so that the client costs as little as redis-benchmark
 * does. With RATE (requests a second; 0: none) request i is due i / RATE after
 * the start, whatever has become of the others, and its latency counts from
 * then. Prints "REQUESTS_PER_SECOND P50_MS P99_MS P99.9_MS MAX_MS"; FILE gets
 * the distribution, "PERCENT MS" a line. Exit 0, or 1 with the reason.
 *
 * What h2load cannot do and this is for: it sends the same bytes in every
 * request, so one key only, and has no due times. With one key both agree
 * (./dev bench, row h2load).
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
    STREAMS_MAX = 64,
    WINDOW = 60000, /* what may be under way on a connection; 64 KiB less
                     * headers, so that it is never full */
    ANSWER_MS = 10000,
    FRAME_HEADER = 9,
    FRAME_MAX = 16384, /* the protocol's first setting */
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

struct request {
    uint32_t stream; /* 0: none */
    bool data_seen;
    uint64_t due_us; /* sent, or to be sent */
};

struct conn {
    int fd;
    uint32_t stream; /* the latest; odd, growing */
    struct request requests[STREAMS_MAX];
    int busy;
    struct buf in, out;
};

struct load {
    bool put;
    int connections, port, streams;
    double rate; /* a second; 0: closed loop */
    uint64_t began_us;
    unsigned next_conn;
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

static struct request *request_find(struct load *l,
                                    struct conn *c,
                                    uint32_t stream)
{
    for (int i = 0; i < l->streams; i++) {
        if (c->requests[i].stream == stream) {
            return &c->requests[i];
        }
    }
    return NULL;
}

/* When the next request is due; now, when there is no rate. */
static uint64_t next_due_us(const struct load *l)
{
    return l->rate == 0
               ? now_us()
               : l->began_us + (uint64_t)((double)l->started * 1e6 / l->rate);
}

static void conn_request(struct load *l, struct conn *c, uint64_t due_us)
{
    struct buf headers = BUF_INIT, body = BUF_INIT, message = BUF_INIT;
    struct request *r = request_find(l, c, 0);

    l->started++;
    c->busy++;
    c->stream = c->stream == 0 ? 1 : c->stream + 2;
    r->stream = c->stream;
    r->data_seen = false;
    r->due_us = due_us;
    put_headers(&headers, l->put);
    put_message(l, &message);
    buf_u8(&body, 0); /* not compressed */
    put_be32(&body, (uint32_t)message.n);
    buf_bytes_append(&body, buf_bytes(&message));
    put_frame(&c->out, FRAME_HEADERS, FLAG_END_HEADERS, c->stream,
              buf_bytes(&headers));
    for (size_t at = 0; at < body.n; at += FRAME_MAX) {
        size_t n = body.n - at < FRAME_MAX ? body.n - at : FRAME_MAX;

        put_frame(&c->out, FRAME_DATA, at + n == body.n ? FLAG_END_STREAM : 0,
                  c->stream, bytes_of(body.p + at, n));
    }
    buf_release(&headers);
    buf_release(&message);
    buf_release(&body);
}

/* Whatever is due and has room on @c. */
static void conn_fill(struct load *l, struct conn *c)
{
    uint64_t now = now_us();

    while (c->busy < l->streams && l->started < l->requests) {
        uint64_t due = next_due_us(l);

        if (due > now && l->rate != 0) {
            break;
        }
        conn_request(l, c, due);
    }
    conn_flush(c);
}

static void conn_frame(struct load *l,
                       struct conn *c,
                       int type,
                       int flags,
                       uint32_t stream,
                       struct bytes body)
{
    struct request *r = stream == 0 ? NULL : request_find(l, c, stream);

    if (type == FRAME_SETTINGS && !(flags & FLAG_ACK)) {
        put_frame(&c->out, FRAME_SETTINGS, FLAG_ACK, 0, bytes_of(NULL, 0));
    } else if (type == FRAME_PING && !(flags & FLAG_ACK)) {
        put_frame(&c->out, FRAME_PING, FLAG_ACK, 0, body);
    } else if (type == FRAME_RESET || type == FRAME_GOAWAY) {
        fail("etcd", "closed the stream");
    } else if (type == FRAME_DATA && r != NULL) {
        r->data_seen = true;
    } else if (type == FRAME_HEADERS && (flags & FLAG_END_STREAM) &&
               r != NULL) {
        if (!r->data_seen) {
            fail("etcd", "answered with an error");
        }
        l->latency_us[l->done++] = (uint32_t)(now_us() - r->due_us);
        r->stream = 0;
        c->busy--;
    }
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
            break;
        }
        conn_frame(l, c, p[3], p[4],
                   ((uint32_t)p[5] << 24 | (uint32_t)p[6] << 16 |
                    (uint32_t)p[7] << 8 | p[8]) &
                       0x7FFFFFFF,
                   bytes_of(p + FRAME_HEADER, len));
        buf_consume(&c->in, FRAME_HEADER + len);
    }
    conn_fill(l, c);
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

/* Until the next request is due, or the peer has had long enough. */
static struct timespec patience(const struct load *l)
{
    uint64_t us = ANSWER_MS * 1000;

    if (l->rate != 0 && l->started < l->requests) {
        uint64_t now = now_us();
        uint64_t due = next_due_us(l);

        /* When it is due already, no stream is free for it. */
        us = due <= now ? us : due - now;
    }
    return (struct timespec){(time_t)(us / 1000000),
                             (long)(us % 1000000) * 1000};
}

/* What is due goes to the connections in turn. */
static void fill_all(struct load *l)
{
    for (int tried = 0; tried < l->connections; tried++) {
        struct conn *c = &l->c[l->next_conn++ % (unsigned)l->connections];

        if (l->started >= l->requests || next_due_us(l) > now_us()) {
            return;
        }
        if (c->busy < l->streams) {
            conn_request(l, c, next_due_us(l));
            conn_flush(c);
            tried = -1;
        }
    }
}

static void run(struct load *l)
{
    struct pollfd p[CONNECTIONS_MAX];
    struct timespec wait;
    uint64_t heard_us;

    for (int i = 0; i < l->connections; i++) {
        conn_open(l, &l->c[i]);
        p[i].fd = l->c[i].fd;
        p[i].events = POLLIN;
    }
    l->began_us = heard_us = now_us();
    for (int i = 0; i < l->connections && l->rate == 0; i++) {
        conn_fill(l, &l->c[i]);
    }
    while (l->done < l->requests) {
        if (l->rate != 0) {
            fill_all(l);
        }
        wait = patience(l);
        if (ppoll(p, (nfds_t)l->connections, &wait, NULL) > 0) {
            heard_us = now_us();
        } else if (now_us() - heard_us > ANSWER_MS * 1000) {
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

static double at_percent_ms(const struct load *l, double percent)
{
    long i = (long)((double)l->requests * percent / 100);

    return l->latency_us[i < l->requests ? i : l->requests - 1] / 1e3;
}

/* Percentiles that halve the distance to 100 %, as redis-benchmark's. */
static void distribution(const struct load *l, const char *path)
{
    FILE *f = fopen(path, "w");

    for (double left = 100; f != NULL && left * (double)l->requests >= 50;
         left /= 2) {
        fprintf(f, "%.6f %.3f\n", 100 - left, at_percent_ms(l, 100 - left));
    }
    if (f == NULL || fclose(f) != 0) {
        fail(path, strerror(errno));
    }
}

static void arguments(struct load *l, int argc, char **argv)
{
    if (argc < 7 || argc > 10) {
        fputs(
            "usage: etcd_load put|get CONNECTIONS REQUESTS KEYS "
            "VALUE_BYTES PORT [STREAMS [RATE [FILE]]]\n",
            stderr);
        exit(2);
    }
    l->put = strcmp(argv[1], "put") == 0;
    l->connections = atoi(argv[2]);
    l->requests = atol(argv[3]);
    l->keys = atol(argv[4]);
    l->value_n = (size_t)atol(argv[5]);
    l->port = atoi(argv[6]);
    l->streams = argc > 7 ? atoi(argv[7]) : 1;
    l->rate = argc > 8 ? atof(argv[8]) : 0;
    l->seed = now_us() | 1;
    if (l->connections < 1 || l->connections > CONNECTIONS_MAX ||
        l->requests < 1 || l->keys < 1 || l->streams < 1 ||
        l->streams > STREAMS_MAX || l->rate < 0 ||
        (l->value_n + 100) * (size_t)l->streams > WINDOW) {
        fail("arguments", "out of range");
    }
}

int main(int argc, char **argv)
{
    static struct load l;
    uint64_t took;

    arguments(&l, argc, argv);
    l.latency_us = hf_calloc((size_t)l.requests, sizeof *l.latency_us);
    run(&l);
    took = now_us() - l.began_us;
    qsort(l.latency_us, (size_t)l.requests, sizeof *l.latency_us, by_value);
    printf("%.0f %.3f %.3f %.3f %.3f\n",
           (double)l.requests * 1e6 / (double)took, at_percent_ms(&l, 50),
           at_percent_ms(&l, 99), at_percent_ms(&l, 99.9),
           at_percent_ms(&l, 100));
    if (argc > 9) {
        distribution(&l, argv[9]);
    }
    free(l.latency_us);
    return 0;
}
