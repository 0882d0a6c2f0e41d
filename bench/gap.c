/* gap: writers that count, to see what a failover looks like from outside.
 *
 *   gap [--writers N] [--seconds S] [--pause MS] [--prefix P] [--acked FILE]
 *       AT...
 *
 * Each writer is one plain TCP connection (to each AT in turn, which is PORT on
 * 127.0.0.1 or IPV4:PORT) that sends INCR of its own new key and waits for the
 * reply: the nth reply must be n. There is no retry and no reconnect. It ends
 * after S seconds or at SIGTERM, waits for the last replies, and prints one
 * line:
 *
 *   acknowledged A, longest gap G ms, errors E, breaks B
 *
 * A gap is the time between two replies of one writer. SIGUSR1 begins another
 * window of time; a gap counts for the window in which it ends, and the longest
 * of each window follows in the line: ", windows G0 G1 ...". An error is an
 * error reply or a lost connection (the writer ends there), a break a reply
 * that is not the next number. FILE gets "key number" of the last acknowledged
 * reply of each writer. Exit 0 without errors and breaks, else 1; usage 2. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    WRITERS_MAX = 256,
    PORTS_MAX = 8,
    DRAIN_MS = 10000, /* how long to wait for the last replies */
    WINDOWS_MAX = 8,
};

struct writer {
    int fd; /* -1: ended */
    char key[64];
    int64_t acked;
    int64_t last_ms; /* when the last reply came */
    int64_t gap_ms[WINDOWS_MAX];
    char in[256];
    size_t in_n;
    bool waiting;
};

struct run {
    int writers, ports;
    struct sockaddr_in port[PORTS_MAX];
    int64_t seconds, pause_ms;
    const char *prefix, *acked_path;
    int64_t errors, breaks;
    struct writer w[WRITERS_MAX];
};

static volatile sig_atomic_t stopping;
static volatile sig_atomic_t window; /* which one it is */

static void on_term(int sig)
{
    (void)sig;
    stopping = 1;
}

static void on_window(int sig)
{
    (void)sig;
    if (window < WINDOWS_MAX - 1) {
        window++;
    }
}

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void writer_end(struct run *r, struct writer *w, const char *why)
{
    fprintf(stderr, "gap: %s after %lld: %s\n", w->key, (long long)w->acked,
            why);
    r->errors++;
    close(w->fd);
    w->fd = -1;
    w->waiting = false;
}

static int writer_open(struct writer *w, const struct sockaddr_in *a)
{
    int one = 1;

    w->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (w->fd < 0 ||
        connect(w->fd, (const struct sockaddr *)a, sizeof *a) != 0) {
        fprintf(stderr, "gap: port %d: %s\n", ntohs(a->sin_port),
                strerror(errno));
        return -1;
    }
    setsockopt(w->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    w->last_ms = now_ms();
    return 0;
}

static void writer_send(struct run *r, struct writer *w)
{
    char cmd[128];
    int n = snprintf(cmd, sizeof cmd, "*2\r\n$4\r\nINCR\r\n$%zu\r\n%s\r\n",
                     strlen(w->key), w->key);

    w->waiting = true;
    /* Far below the socket's buffer: never partly taken. */
    if (send(w->fd, cmd, (size_t)n, MSG_NOSIGNAL) != n) {
        writer_end(r, w, strerror(errno));
    }
}

static void writer_gap(struct writer *w, int64_t now)
{
    int64_t *longest = &w->gap_ms[window];

    if (now - w->last_ms > *longest) {
        *longest = now - w->last_ms;
    }
    w->last_ms = now;
}

/* One whole reply line is in w->in. */
static void writer_reply(struct run *r, struct writer *w)
{
    int64_t now = now_ms();
    int64_t value;

    w->waiting = false;
    writer_gap(w, now);
    w->in_n = 0;
    if (w->in[0] != ':') {
        w->in[strcspn(w->in, "\r\n")] = '\0';
        writer_end(r, w, w->in);
        return;
    }
    value = strtoll(w->in + 1, NULL, 10);
    if (value != w->acked + 1) {
        fprintf(stderr, "gap: %s: %lld came after %lld\n", w->key,
                (long long)value, (long long)w->acked);
        r->breaks++;
    }
    w->acked = value;
}

static void writer_read(struct run *r, struct writer *w)
{
    ssize_t n = recv(w->fd, w->in + w->in_n, sizeof w->in - 1 - w->in_n, 0);

    if (n <= 0) {
        writer_end(r, w, n == 0 ? "connection closed" : strerror(errno));
        return;
    }
    w->in_n += (size_t)n;
    w->in[w->in_n] = '\0';
    if (strchr(w->in, '\n') != NULL) {
        writer_reply(r, w);
    } else if (w->in_n == sizeof w->in - 1) {
        writer_end(r, w, "reply without an end");
    }
}

/* Serve all writers until @until_ms, or until no reply is awaited when
 * @drain. New requests are sent only when not draining. */
static void run_until(struct run *r, int64_t until_ms, bool drain)
{
    struct pollfd p[WRITERS_MAX];

    while (now_ms() < until_ms && (drain || !stopping)) {
        int open = 0;

        for (int i = 0; i < r->writers; i++) {
            struct writer *w = &r->w[i];

            if (w->fd >= 0 && !w->waiting && !drain &&
                now_ms() - w->last_ms >= r->pause_ms) {
                writer_send(r, w);
            }
            p[i].fd = w->waiting ? w->fd : -1;
            p[i].events = POLLIN;
            p[i].revents = 0;
            open += w->waiting;
        }
        if (open == 0 && (drain || r->pause_ms == 0)) {
            return;
        }
        /* A signal between two polls must not wait for a reply. */
        if (poll(p, (nfds_t)r->writers, r->pause_ms > 0 ? 1 : 100) <= 0) {
            continue;
        }
        for (int i = 0; i < r->writers; i++) {
            if (p[i].revents != 0) {
                writer_read(r, &r->w[i]);
            }
        }
    }
}

static int report(struct run *r)
{
    int64_t acked = 0, gap[WINDOWS_MAX] = {0}, longest = 0, end = now_ms();
    FILE *f = NULL;

    if (r->acked_path != NULL && (f = fopen(r->acked_path, "w")) == NULL) {
        fprintf(stderr, "gap: %s: %s\n", r->acked_path, strerror(errno));
        return 1;
    }
    for (int i = 0; i < r->writers; i++) {
        struct writer *w = &r->w[i];

        if (w->waiting) { /* no answer at all: a gap and an error */
            writer_gap(w, end);
            writer_end(r, w, "no reply");
        }
        acked += w->acked;
        for (int k = 0; k <= window; k++) {
            gap[k] = w->gap_ms[k] > gap[k] ? w->gap_ms[k] : gap[k];
            longest = gap[k] > longest ? gap[k] : longest;
        }
        if (f != NULL) {
            fprintf(f, "%s %lld\n", w->key, (long long)w->acked);
        }
    }
    if (f != NULL && fclose(f) != 0) {
        return 1;
    }
    printf("acknowledged %lld, longest gap %lld ms, errors %lld, breaks %lld",
           (long long)acked, (long long)longest, (long long)r->errors,
           (long long)r->breaks);
    for (int k = 0; k <= window && window > 0; k++) {
        printf("%s%lld", k == 0 ? ", windows " : " ", (long long)gap[k]);
    }
    printf("\n");
    return r->errors != 0 || r->breaks != 0;
}

static int usage(void)
{
    fprintf(stderr,
            "usage: gap [--writers N] [--seconds S] [--pause MS] "
            "[--prefix P] [--acked FILE] [IPV4:]PORT...\n");
    return 2;
}

/* PORT or IPV4:PORT. */
static int address(const char *text, struct sockaddr_in *out)
{
    const char *colon = strrchr(text, ':');
    char host[INET_ADDRSTRLEN] = "127.0.0.1";
    int port = atoi(colon != NULL ? colon + 1 : text);

    if (colon != NULL) {
        if ((size_t)(colon - text) >= sizeof host) {
            return -1;
        }
        memcpy(host, text, (size_t)(colon - text));
        host[colon - text] = '\0';
    }
    memset(out, 0, sizeof *out);
    out->sin_family = AF_INET;
    out->sin_port = htons((uint16_t)port);
    return port > 0 && inet_pton(AF_INET, host, &out->sin_addr) == 1 ? 0 : -1;
}

static int options(struct run *r, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;

        if (strncmp(argv[i], "--", 2) != 0) {
            if (r->ports == PORTS_MAX ||
                address(argv[i], &r->port[r->ports++]) != 0) {
                return usage();
            }
            continue;
        }
        if (value == NULL) {
            return usage();
        }
        if (strcmp(argv[i], "--writers") == 0) {
            r->writers = atoi(value);
        } else if (strcmp(argv[i], "--seconds") == 0) {
            r->seconds = atoi(value);
        } else if (strcmp(argv[i], "--pause") == 0) {
            r->pause_ms = atoi(value);
        } else if (strcmp(argv[i], "--prefix") == 0) {
            r->prefix = value;
        } else if (strcmp(argv[i], "--acked") == 0) {
            r->acked_path = value;
        } else {
            return usage();
        }
        i++;
    }
    if (r->ports == 0 || r->writers < 1 || r->writers > WRITERS_MAX ||
        r->seconds < 1 || strlen(r->prefix) > 32) {
        return usage();
    }
    return 0;
}

int main(int argc, char **argv)
{
    static struct run r = {.writers = 1, .seconds = 10};
    char prefix[40];
    int rv;

    snprintf(prefix, sizeof prefix, "gap:%lld:%d", (long long)time(NULL),
             (int)getpid());
    r.prefix = prefix;
    rv = options(&r, argc, argv);
    if (rv != 0) {
        return rv;
    }
    signal(SIGTERM, on_term);
    signal(SIGINT, on_term);
    signal(SIGUSR1, on_window);
    for (int i = 0; i < r.writers; i++) {
        snprintf(r.w[i].key, sizeof r.w[i].key, "%s:%d", r.prefix, i);
        if (writer_open(&r.w[i], &r.port[i % r.ports]) != 0) {
            return 1;
        }
    }
    run_until(&r, now_ms() + r.seconds * 1000, false);
    run_until(&r, now_ms() + DRAIN_MS, true);
    return report(&r);
}
