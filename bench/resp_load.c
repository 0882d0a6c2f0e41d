/* resp_load: loads of the measurements that redis-benchmark does not have.
 *
 *   resp_load fill PORT KEYS VALUE_BYTES
 *       SET every key once, in order.
 *   resp_load write PORT KEYS VALUE_BYTES REQUESTS CONNECTIONS PIPE [FILE]
 *       SET random keys; FILE gets a line for each request: wall clock of
 *       its answer (us) and its latency (us). Prints "PER_SECOND P50_MS
 *       P99_MS MAX_MS".
 *   resp_load check PORT KEYS VALUE_BYTES
 *       GET every key; a value must be one that was made for its key. Prints
 *       a sum of all values: equal sums, equal data.
 *   resp_load first PORT KEYS VALUE_BYTES START_US [FROM]
 *       GET a random key (not one of the first FROM), dialling again and again
 * until the answer is right. Prints the milliseconds since START_US (wall
 * clock).
 *
 * Keys are "key:000000000000"; a value is a random number and what follows
 * from it and the key, so that it does not compress and can be checked.
 * Exit 0, or 1 with the reason. An error reply to a SET is a reason. */
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
    VALUE_MAX = 1 << 20,
    FILL_CONNECTIONS = 16,
    FILL_PIPE = 32,
    FIRST_WAIT_MS = 300000,
};

struct conn {
    int fd;
    long waiting; /* replies of the batch under way */
    uint64_t sent_us;
    struct buf in, out;
    size_t out_off;
};

struct load {
    int port;
    bool random_keys;
    int connections;
    long keys, value_n, pipe, requests, started, done;
    uint64_t seed;
    uint32_t *latency_us;
    uint64_t *at_us;
    uint8_t *value;
    struct conn c[CONNECTIONS_MAX];
};

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "resp_load: %s: %s\n", what, why);
    exit(1);
}

static uint64_t wall_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static uint64_t mix(uint64_t *seed)
{
    uint64_t z = (*seed += 0x9E3779B97F4A7C15u);

    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

/* ---- keys and values ---- */

static void value_make(uint8_t *out, size_t n, long key, uint64_t number)
{
    uint64_t seed = number ^ ((uint64_t)key << 20);
    size_t at = sizeof number < n ? sizeof number : n;

    memcpy(out, &number, at);
    while (at < n) {
        uint64_t r = mix(&seed);
        size_t k = n - at < sizeof r ? n - at : sizeof r;

        memcpy(out + at, &r, k);
        at += k;
    }
}

static bool value_ok(const uint8_t *p, size_t n, long key, uint8_t *scratch)
{
    uint64_t number = 0;

    memcpy(&number, p, sizeof number < n ? sizeof number : n);
    value_make(scratch, n, key, number);
    return memcmp(p, scratch, n) == 0;
}

static void put_set(struct load *l, struct buf *b, long key)
{
    char head[96];
    int n = snprintf(head, sizeof head,
                     "*3\r\n$3\r\nSET\r\n$16\r\nkey:%012ld\r\n$%ld\r\n", key,
                     l->value_n);

    buf_append(b, head, (size_t)n);
    value_make(l->value, (size_t)l->value_n, key, mix(&l->seed));
    buf_append(b, l->value, (size_t)l->value_n);
    buf_append(b, "\r\n", 2);
}

static void put_get(struct buf *b, long key)
{
    char head[64];
    int n = snprintf(head, sizeof head,
                     "*2\r\n$3\r\nGET\r\n$16\r\nkey:%012ld\r\n", key);

    buf_append(b, head, (size_t)n);
}

/* ---- connections ---- */

static int dial(int port)
{
    struct sockaddr_in a;
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    memset(&a, 0, sizeof a);
    a.sin_family = AF_INET;
    a.sin_port = htons((uint16_t)port);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a) != 0) {
        close(fd);
        return -1;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static void batch_start(struct load *l, struct conn *c)
{
    buf_clear(&c->out);
    c->out_off = 0;
    c->sent_us = wall_us();
    while (c->waiting < l->pipe && l->started < l->requests) {
        long key = l->random_keys ? (long)(mix(&l->seed) % (uint64_t)l->keys)
                                  : l->started;

        put_set(l, &c->out, key);
        l->started++;
        c->waiting++;
    }
}

static void conn_send(struct conn *c)
{
    while (c->out_off < c->out.n) {
        ssize_t k = send(c->fd, c->out.p + c->out_off, c->out.n - c->out_off,
                         MSG_NOSIGNAL | MSG_DONTWAIT);

        if (k < 0 && errno == EAGAIN) {
            return;
        }
        if (k < 0) {
            fail("send", strerror(errno));
        }
        c->out_off += (size_t)k;
    }
}

/* Count the "+OK" lines that have arrived. */
static void conn_replies(struct load *l, struct conn *c)
{
    const uint8_t *end;
    size_t at = 0;
    uint64_t now = wall_us();

    while ((end = memchr(c->in.p + at, '\n', c->in.n - at)) != NULL) {
        if (c->in.p[at] != '+') {
            fprintf(stderr, "%.*s\n", (int)(end - c->in.p - (long)at),
                    (const char *)c->in.p + at);
            fail("reply", "not OK");
        }
        l->latency_us[l->done] = (uint32_t)(now - c->sent_us);
        l->at_us[l->done++] = now;
        c->waiting--;
        at = (size_t)(end - c->in.p) + 1;
    }
    memmove(c->in.p, c->in.p + at, c->in.n - at);
    c->in.n -= at;
}

static void conn_recv(struct load *l, struct conn *c)
{
    uint8_t bytes[16384];
    ssize_t k = recv(c->fd, bytes, sizeof bytes, MSG_DONTWAIT);

    if (k < 0 && errno == EAGAIN) {
        return;
    }
    if (k <= 0) {
        fail("receive", k == 0 ? "connection closed" : strerror(errno));
    }
    buf_append(&c->in, bytes, (size_t)k);
    conn_replies(l, c);
    if (c->waiting == 0) {
        batch_start(l, c);
        conn_send(c);
    }
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static void run(struct load *l)
{
    struct pollfd p[CONNECTIONS_MAX];

    l->latency_us = calloc((size_t)l->requests, sizeof *l->latency_us);
    l->at_us = calloc((size_t)l->requests, sizeof *l->at_us);
    if (l->latency_us == NULL || l->at_us == NULL) {
        fail("memory", "none");
    }
    for (int i = 0; i < l->connections; i++) {
        l->c[i].fd = dial(l->port);
        if (l->c[i].fd < 0) {
            fail("connect", strerror(errno));
        }
        batch_start(l, &l->c[i]);
        conn_send(&l->c[i]);
    }
    while (l->done < l->requests) {
        for (int i = 0; i < l->connections; i++) {
            bool more = l->c[i].out_off < l->c[i].out.n;

            p[i].fd = l->c[i].fd;
            p[i].events = (short)(POLLIN | (more ? POLLOUT : 0));
            p[i].revents = 0;
        }
        if (poll(p, (nfds_t)l->connections, 30000) == 0) {
            fail("wait", "no answer for 30 s");
        }
        for (int i = 0; i < l->connections; i++) {
            if ((p[i].revents & POLLOUT) != 0) {
                conn_send(&l->c[i]);
            }
            if ((p[i].revents & ~POLLOUT) != 0) {
                conn_recv(l, &l->c[i]);
            }
        }
    }
}

/* ---- reading ---- */

/* One GET on a blocking connection; length of the value, -1 when the answer
 * is no value or the connection broke. */
static long read_value(int fd, long key, uint8_t *out)
{
    struct buf b = BUF_INIT;
    char line[32];
    size_t n = 0;
    long len = -1;
    long got = 0;

    put_get(&b, key);
    if (send(fd, b.p, b.n, MSG_NOSIGNAL) != (ssize_t)b.n) {
        goto free_buf;
    }
    while (n < sizeof line - 1 && recv(fd, &line[n], 1, 0) == 1 &&
           line[n++] != '\n') {
    }
    line[n] = '\0';
    if (line[0] != '$' || atol(line + 1) < 0 || atol(line + 1) > VALUE_MAX) {
        goto free_buf;
    }
    len = atol(line + 1) + 2;
    while (got < len) {
        ssize_t k = recv(fd, out + got, (size_t)(len - got), 0);

        if (k <= 0) {
            len = 1;
            break;
        }
        got += k;
    }
    len -= 2;
free_buf:
    buf_release(&b);
    return len;
}

static void check(struct load *l, uint8_t *scratch)
{
    int fd = dial(l->port);
    uint64_t sum = 0;

    if (fd < 0) {
        fail("connect", strerror(errno));
    }
    for (long key = 0; key < l->keys; key++) {
        uint64_t number = 0;

        if (read_value(fd, key, l->value) != l->value_n ||
            !value_ok(l->value, (size_t)l->value_n, key, scratch)) {
            fprintf(stderr, "key %ld\n", key);
            fail("check", "not a value that was written to it");
        }
        memcpy(&number, l->value, sizeof number);
        number ^= (uint64_t)key;
        sum += mix(&number);
    }
    printf("%016llx\n", (unsigned long long)sum);
}

static void first(struct load *l,
                  uint8_t *scratch,
                  uint64_t start_us,
                  long from)
{
    long key = from + (long)(mix(&l->seed) % (uint64_t)(l->keys - from));

    while (wall_us() - start_us < (uint64_t)FIRST_WAIT_MS * 1000) {
        int fd = dial(l->port);
        bool ok = fd >= 0 && read_value(fd, key, l->value) == l->value_n &&
                  value_ok(l->value, (size_t)l->value_n, key, scratch);

        if (fd >= 0) {
            close(fd);
        }
        if (ok) {
            printf("%llu\n", (unsigned long long)(wall_us() - start_us) / 1000);
            return;
        }
        usleep(2000);
    }
    fail("first", "no right answer");
}

/* ---- command line ---- */

static void report(struct load *l, const char *path, uint64_t began_us)
{
    double s = (double)(wall_us() - began_us) / 1e6;
    size_t n = (size_t)l->requests;
    FILE *f = path == NULL ? NULL : fopen(path, "w");

    for (size_t i = 0; f != NULL && i < n; i++) {
        fprintf(f, "%llu %u\n", (unsigned long long)l->at_us[i],
                l->latency_us[i]);
    }
    if (path != NULL && (f == NULL || fclose(f) != 0)) {
        fail(path, strerror(errno));
    }
    qsort(l->latency_us, n, sizeof *l->latency_us, by_value);
    printf("%.0f %.3f %.3f %.3f\n", (double)n / s, l->latency_us[n / 2] / 1e3,
           l->latency_us[n * 99 / 100] / 1e3, l->latency_us[n - 1] / 1e3);
}

static void usage(void)
{
    fputs("usage: resp_load fill|write|check|first PORT KEYS VALUE_BYTES ...\n",
          stderr);
    exit(2);
}

int main(int argc, char **argv)
{
    static struct load l;
    uint8_t *scratch = malloc(VALUE_MAX);
    uint64_t began_us = wall_us();
    const char *what = argc > 4 ? argv[1] : "";

    if (argc < 5 || scratch == NULL) {
        usage();
    }
    l.port = atoi(argv[2]);
    l.keys = atol(argv[3]);
    l.value_n = atol(argv[4]);
    l.value = malloc(VALUE_MAX + 2);
    l.seed = began_us ^ ((uint64_t)getpid() << 40);
    if (l.keys < 1 || l.value_n < 8 || l.value_n > VALUE_MAX) {
        usage();
    }
    l.requests = l.keys;
    l.connections = FILL_CONNECTIONS;
    l.pipe = FILL_PIPE;
    if (strcmp(what, "fill") == 0) {
        run(&l);
        report(&l, NULL, began_us);
    } else if (strcmp(what, "write") == 0 && argc >= 8) {
        l.random_keys = true;
        l.requests = atol(argv[5]);
        l.connections = atoi(argv[6]);
        l.pipe = atol(argv[7]);
        if (l.requests < 1 || l.connections < 1 || l.pipe < 1 ||
            l.connections > CONNECTIONS_MAX) {
            usage();
        }
        run(&l);
        report(&l, argc > 8 ? argv[8] : NULL, began_us);
    } else if (strcmp(what, "check") == 0) {
        check(&l, scratch);
    } else if (strcmp(what, "first") == 0 && argc >= 6) {
        long from = argc > 6 ? atol(argv[6]) : 0;

        if (from < 0 || from >= l.keys) {
            usage();
        }
        first(&l, scratch, strtoull(argv[5], NULL, 10), from);
    } else {
        usage();
    }
    return 0;
}
