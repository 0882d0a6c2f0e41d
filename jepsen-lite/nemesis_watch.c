/* A watcher a node: asks STATUS some times a second over a connection that it
 * keeps, writes down who leads, and notices a node that ends on its own. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "jepsen-lite/nemesis.h"

enum {
    ASK_EVERY_MS = 50,
    ANSWER_MS = 400, /* beyond: it does not answer */
    REPLY_MAX = 32768,
    WORDS_MAX = 1024,
    FILL_VALUE = 65536
};

/* Connected within ANSWER_MS, or -1. */
static int dial(int i)
{
    struct sockaddr_in a = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval tv = {0, ANSWER_MS * 1000};

    if (fd < 0) {
        return -1;
    }
    a.sin_port = htons((uint16_t)nem.port);
    a.sin_addr.s_addr = htonl(0x0A630000U | (uint32_t)i); /* 10.99.0.i */
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof tv);
    if (connect(fd, (struct sockaddr *)&a, sizeof a) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* The scalars of a reply in order, NUL-terminated in place; how many, or -1
 * while it is incomplete. */
static int words_of(char *p, size_t n, char *words[WORDS_MAX])
{
    char *end = p + n;
    long left = 1;
    int count = 0;

    while (left > 0) {
        char *eol = memchr(p, '\r', (size_t)(end - p));
        char kind;
        long k;

        if (eol == NULL || eol + 1 >= end || count == WORDS_MAX) {
            return -1;
        }
        kind = *p;
        k = strtol(p + 1, NULL, 10);
        left--;
        if (kind == '*' || kind == '%') {
            left += k * (kind == '%' ? 2 : 1);
            p = eol + 2;
        } else if (kind == '$' && k >= 0) {
            if (end - (eol + 2) < k + 2) {
                return -1;
            }
            words[count++] = eol + 2;
            p = eol + 2 + k + 2;
        } else {
            words[count++] = p + 1;
            p = eol + 2;
        }
    }
    for (int i = 0; i < count; i++) {
        words[i][strcspn(words[i], "\r")] = '\0';
    }
    return count;
}

static uint64_t number_of(char **w, int n, const char *name)
{
    for (int i = 0; i + 1 < n; i++) {
        if (strcmp(w[i], name) == 0) {
            return strtoull(w[i + 1], NULL, 10);
        }
    }
    return 0;
}

static const char *text_of(char **w, int n, const char *name)
{
    for (int i = 0; i + 1 < n; i++) {
        if (strcmp(w[i], name) == 0) {
            return w[i + 1];
        }
    }
    return "";
}

static bool ask(int fd, struct seen *s)
{
    static __thread char reply[REPLY_MAX];
    char copy[REPLY_MAX];
    char *w[WORDS_MAX];
    size_t got = 0;
    int n = -1;

    if (send(fd, "STATUS\r\n", 8, MSG_NOSIGNAL) != 8) {
        return false;
    }
    while (n < 0 && got < sizeof reply) {
        ssize_t k = recv(fd, reply + got, sizeof reply - got, 0);

        if (k <= 0) {
            return false;
        }
        got += (size_t)k;
        memcpy(copy, reply, got);
        n = words_of(copy, got, w);
    }
    if (n < 10) { /* an error, as while it loads */
        return false;
    }
    s->id = number_of(w, n, "node_id");
    s->leader = strcmp(text_of(w, n, "role"), "leader") == 0;
    s->term = number_of(w, n, "term");
    s->last = number_of(w, n, "last_index");
    s->commit = number_of(w, n, "commit_index");
    s->applied = number_of(w, n, "applied_index");
    s->snapshot = number_of(w, n, "snapshot_index");
    s->tolerates = (int)number_of(w, n, "tolerates_loss");
    s->healthy = strncmp(text_of(w, n, "message"), "healthy", 7) == 0;
    return true;
}

/* Who leads; a new one is written down. */
static void note_leader(int i, const struct seen *s)
{
    bool fresh;

    pthread_mutex_lock(&nem.lock);
    fresh = s->leader && s->term > nem.leader_term;
    if (fresh) {
        /* The first is no change. */
        nem.leader_changes += nem.leader_term > 0;
        nem.leader_term = s->term;
        nem.leader = i;
    }
    pthread_mutex_unlock(&nem.lock);
    if (fresh) {
        out_leader(i, s->term);
    }
}

static void note_seen(int i, const struct seen *s, bool up)
{
    struct seen *at = &nem.node[i].seen;

    pthread_mutex_lock(&nem.lock);
    if (up) {
        int64_t boot = at->at_ns != 0 ? at->boot_ns : now_ns();

        *at = *s;
        at->at_ns = now_ns();
        at->boot_ns = boot;
    } else {
        *at = (struct seen){0};
    }
    pthread_mutex_unlock(&nem.lock);
}

/* A node that nobody has claimed must run. */
static void check_alive(int i)
{
    char how[64] = "gone";
    bool died;
    int status = -1;

    pthread_mutex_lock(&nem.lock);
    died = !nem.node[i].claimed && !node_running(i);
    if (died) {
        nem.node[i].claimed = true; /* until it is started again */
        nem.died++;
    }
    pthread_mutex_unlock(&nem.lock);
    if (!died) {
        return;
    }
    if (node_gone(i, 0, &status) && status != -1) {
        snprintf(how, sizeof how, "wait status 0x%x", (unsigned)status);
    }
    out_died(i, how);
    sleep_ms(200);
    node_start(i, NULL);
    pthread_mutex_lock(&nem.lock);
    nem.node[i].claimed = false;
    pthread_mutex_unlock(&nem.lock);
}

static void *watch(void *arg)
{
    int i = (int)(intptr_t)arg;
    int fd = -1;

    while (now_ns() < nem.end_ns) {
        struct seen s = {0};
        bool up;

        check_alive(i);
        if (fd < 0) {
            fd = dial(i);
        }
        up = fd >= 0 && ask(fd, &s);
        if (up) {
            note_leader(i, &s);
        } else if (fd >= 0) {
            close(fd);
            fd = -1;
        }
        note_seen(i, &s, up);
        sleep_ms(ASK_EVERY_MS);
    }
    if (fd >= 0) {
        close(fd);
    }
    return NULL;
}

int watch_start(void)
{
    for (int i = 1; i <= nem.nodes; i++) {
        pthread_t t;

        if (pthread_create(&t, NULL, watch, (void *)(intptr_t)i) != 0) {
            return -1;
        }
        pthread_detach(t);
    }
    return 0;
}

/* The same key again and again: it is the log that grows. */
void fill(int i, int64_t bytes)
{
    static const char head[] = "*3\r\n$3\r\nSET\r\n$12\r\nnemesis:fill\r\n";
    char value[FILL_VALUE + 128], reply[256];
    int fd = dial(i);
    int n;

    if (fd < 0) {
        return;
    }
    n = snprintf(value, sizeof value, "%s$%d\r\n", head, FILL_VALUE);
    memset(value + n, 'x', sizeof value - (size_t)n);
    for (int64_t sent = 0; sent < bytes; sent += FILL_VALUE) {
        size_t all = (size_t)n + FILL_VALUE + 2;
        size_t off = 0;

        memcpy(value + n + FILL_VALUE, "\r\n", 2);
        while (off < all) {
            ssize_t k = send(fd, value + off, all - off, MSG_NOSIGNAL);

            if (k <= 0) {
                close(fd);
                return;
            }
            off += (size_t)k;
        }
        if (recv(fd, reply, sizeof reply, 0) <= 0) {
            break;
        }
    }
    close(fd);
}
