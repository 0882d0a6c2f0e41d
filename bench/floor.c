/* floor: what disk and loopback allow, without any server in between.
 *
 *   floor DIR [SAMPLES]
 *
 * Takes SAMPLES (2000) of each of the following, in turns of a tenth: what a
 * disk does changes from second to second. Prints one line each, microseconds:
 * "NAME P50 P99 MIN MAX MEAN".
 *
 * disk: one durable write of a 4 KiB block, as raftio/wal.c does it: at growing
 * offsets of a file that was written and synced before, opened with
 * O_DIRECT|O_DSYNC, by one pwrite().
 *
 * rtt: a message of 200 bytes to another process and back, over TCP on
 * loopback; both sides wait in epoll, as servers and clients do.
 *
 * majority: client to leader; there the leader's own block, and beside it the
 * same message to two followers, each of which answers when it has written a
 * block; two of the three; leader to client. Blocks are written by a thread of
 * each process, as in every server whose loop must not wait for a disk: a
 * hand-over there and one back (eventfd) are part of this floor.
 *
 * read: client to leader, a round to two followers without any disk, one of
 * the two; leader to client. A read that asks a majority cannot be faster.
 *
 * DIR is on the file system to be measured. Everything made there is removed.
 * Exit 0, or 1 with the reason. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    BLOCK = 4096,
    FILE_BYTES = 16 << 20, /* the writes go round in it */
    MESSAGE = 200,
    FOLLOWERS = 2,
    SAMPLES_MAX = 1000000,
    TURNS = 10,
    WARM_UP = 20, /* of each turn, not counted */
};

/* One process that writes blocks by a thread: a leader or a follower. */
struct disk {
    int fd, ask, done; /* file; eventfds to the thread and from it */
    off_t at;
    void *block;
    pthread_t thread;
};

static void fail(const char *what)
{
    fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* ---- the disk ---- */

/* A file whose blocks exist, so that a write changes no metadata. The name is
 * gone at once: nothing is left behind, whatever happens. */
static int file_make(const char *dir, void *block)
{
    char path[4096];
    int fd;

    snprintf(path, sizeof path, "%s/floor.XXXXXX", dir);
    fd = mkstemp(path);
    if (fd < 0) {
        fail(path);
    }
    for (off_t at = 0; at < FILE_BYTES; at += BLOCK) {
        if (pwrite(fd, block, BLOCK, at) != BLOCK) {
            fail("prepare the file");
        }
    }
    if (fsync(fd) != 0) {
        fail("fsync");
    }
    close(fd);
    fd = open(path, O_RDWR | O_DSYNC | O_DIRECT | O_CLOEXEC);
    if (fd < 0 && errno == EINVAL) { /* as base/disk_posix.c */
        fprintf(stderr, "floor: no O_DIRECT here\n");
        fd = open(path, O_RDWR | O_DSYNC | O_CLOEXEC);
    }
    if (fd < 0 || unlink(path) != 0) {
        fail(path);
    }
    return fd;
}

static void disk_write(struct disk *d)
{
    if (pwrite(d->fd, d->block, BLOCK, d->at) != BLOCK) {
        fail("write a block");
    }
    d->at = (d->at + BLOCK) % FILE_BYTES;
}

static void *disk_thread(void *arg)
{
    struct disk *d = arg;
    uint64_t n;

    while (read(d->ask, &n, sizeof n) == (ssize_t)sizeof n) {
        disk_write(d);
        if (write(d->done, &n, sizeof n) != (ssize_t)sizeof n) {
            fail("eventfd");
        }
    }
    return NULL;
}

static void disk_init(struct disk *d, const char *dir)
{
    memset(d, 0, sizeof *d);
    if (posix_memalign(&d->block, BLOCK, BLOCK) != 0) {
        fail("memory");
    }
    memset(d->block, 0x5A, BLOCK);
    d->fd = file_make(dir, d->block);
}

static void disk_start(struct disk *d)
{
    d->ask = eventfd(0, EFD_CLOEXEC);
    d->done = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (d->ask < 0 || d->done < 0 ||
        pthread_create(&d->thread, NULL, disk_thread, d) != 0) {
        fail("start a thread");
    }
}

static void disk_ask(struct disk *d)
{
    uint64_t one = 1;

    if (write(d->ask, &one, sizeof one) != (ssize_t)sizeof one) {
        fail("eventfd");
    }
}

/* ---- sockets ---- */

static void pair(int fds[2])
{
    struct sockaddr_in a = {.sin_family = AF_INET};
    socklen_t n = sizeof a;
    int one = 1;
    int l = socket(AF_INET, SOCK_STREAM, 0);

    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    fds[0] = socket(AF_INET, SOCK_STREAM, 0);
    if (l < 0 || fds[0] < 0 || bind(l, (struct sockaddr *)&a, n) != 0 ||
        listen(l, 1) != 0 || getsockname(l, (struct sockaddr *)&a, &n) != 0 ||
        connect(fds[0], (struct sockaddr *)&a, n) != 0) {
        fail("loopback");
    }
    fds[1] = accept(l, NULL, NULL);
    close(l);
    if (fds[1] < 0) {
        fail("accept");
    }
    for (int i = 0; i < 2; i++) {
        (void)setsockopt(fds[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    }
}

static void message_send(int fd)
{
    static const char message[MESSAGE];

    if (send(fd, message, MESSAGE, MSG_NOSIGNAL) != MESSAGE) {
        _exit(0); /* the other side has ended */
    }
}

static void message_take(int fd)
{
    char message[MESSAGE];

    if (recv(fd, message, MESSAGE, MSG_WAITALL) != MESSAGE) {
        _exit(0);
    }
}

static int poll_make(const int *fds, int n)
{
    int e = epoll_create1(EPOLL_CLOEXEC);

    for (int i = 0; i < n; i++) {
        struct epoll_event ev = {.events = EPOLLIN, .data.fd = fds[i]};

        if (e < 0 || epoll_ctl(e, EPOLL_CTL_ADD, fds[i], &ev) != 0) {
            fail("epoll");
        }
    }
    return e;
}

/* ---- the processes ---- */

/* Messages that came while a block was being written share the next one, as
 * entries do in a log. @d NULL: answers at once. */
static void follower(int fd, struct disk *d)
{
    int fds[2] = {fd, -1};
    int e;

    if (d != NULL) {
        disk_start(d);
        fds[1] = d->done;
    }
    e = poll_make(fds, d == NULL ? 1 : 2);
    for (;;) {
        struct epoll_event ev;
        uint64_t n = 0;

        if (epoll_wait(e, &ev, 1, -1) != 1) {
            continue;
        }
        if (ev.data.fd != fd) {
            (void)!read(d->done, &n, sizeof n);
            for (; n > 0; n--) {
                message_send(fd);
            }
            continue;
        }
        message_take(fd);
        if (d == NULL) {
            message_send(fd);
        } else {
            disk_ask(d);
        }
    }
}

/* Round @round has two of the three: who is slowest is not waited for, and
 * may be rounds behind. */
static bool majority(const uint64_t acked[FOLLOWERS + 1], uint64_t round)
{
    int have = 0;

    for (int i = 0; i <= FOLLOWERS; i++) {
        have += acked[i] >= round;
    }
    return have >= 2;
}

/* @d NULL: it needs no write of its own. */
static void leader(int client, const int peers[FOLLOWERS], struct disk *d)
{
    int fds[FOLLOWERS + 2] = {client, peers[0], peers[1], -1};
    uint64_t acked[FOLLOWERS + 1] = {0};
    uint64_t round = 0, answered = 0;
    int e;

    if (d != NULL) {
        disk_start(d);
        fds[FOLLOWERS + 1] = d->done;
    }
    e = poll_make(fds, FOLLOWERS + (d == NULL ? 1 : 2));
    for (;;) {
        struct epoll_event ev;
        uint64_t n = 0;

        if (epoll_wait(e, &ev, 1, -1) != 1) {
            continue;
        }
        if (ev.data.fd == client) {
            message_take(client);
            round++;
            message_send(peers[0]);
            message_send(peers[1]);
            if (d != NULL) {
                disk_ask(d);
            }
            acked[0] += d == NULL;
        } else if (d != NULL && ev.data.fd == d->done) {
            (void)!read(d->done, &n, sizeof n);
            acked[0] += n;
        } else {
            message_take(ev.data.fd);
            acked[ev.data.fd == peers[0] ? 1 : 2]++;
        }
        if (answered < round && majority(acked, round)) {
            message_send(client);
            answered = round;
        }
    }
}

/* A child that ends with its parent; true in the child. */
static bool child(pid_t *pid)
{
    *pid = fork();
    if (*pid < 0) {
        fail("fork");
    }
    if (*pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    }
    return *pid == 0;
}

/* ---- measuring ---- */

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static void report(const char *name, uint32_t *ns, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++) {
        sum += ns[i];
    }
    qsort(ns, n, sizeof *ns, by_value);
    printf("%s %.1f %.1f %.1f %.1f %.1f\n", name, ns[n / 2] / 1e3,
           ns[n * 99 / 100] / 1e3, ns[0] / 1e3, ns[n - 1] / 1e3,
           sum / (double)n / 1e3);
    fflush(stdout);
}

/* One of the four: what is asked, and the times that it took. */
struct measure {
    const char *name;
    int fd; /* the client's socket; -1: @disk is written here */
    int poll;
    struct disk disk;
    pid_t pids[FOLLOWERS + 1];
    int pids_n;
    uint32_t *ns;
    size_t n;
};

static void measure_init(struct measure *m, const char *name, size_t samples)
{
    memset(m, 0, sizeof *m);
    m->name = name;
    m->fd = -1;
    m->ns = calloc(samples, sizeof *m->ns);
    if (m->ns == NULL) {
        fail("memory");
    }
}

static void measure_rtt(struct measure *m)
{
    int fds[2];

    pair(fds);
    if (child(&m->pids[m->pids_n++])) {
        follower(fds[1], NULL);
    }
    close(fds[1]);
    m->fd = fds[0];
    m->poll = poll_make(&m->fd, 1);
}

/* @dir NULL: nobody writes. */
static void measure_round(struct measure *m, const char *dir)
{
    struct disk disks[FOLLOWERS + 1];
    int peers[FOLLOWERS][2], fds[2];

    pair(fds);
    for (int i = 0; i <= FOLLOWERS && dir != NULL; i++) {
        disk_init(&disks[i], dir);
    }
    for (int i = 0; i < FOLLOWERS; i++) {
        pair(peers[i]);
        if (child(&m->pids[m->pids_n++])) {
            follower(peers[i][1], dir == NULL ? NULL : &disks[i]);
        }
    }
    if (child(&m->pids[m->pids_n++])) {
        int leads[FOLLOWERS] = {peers[0][0], peers[1][0]};

        leader(fds[1], leads, dir == NULL ? NULL : &disks[FOLLOWERS]);
    }
    m->fd = fds[0];
    m->poll = poll_make(&m->fd, 1);
}

/* The client waits in epoll, as clients do. */
static void measure_once(struct measure *m, bool keep)
{
    uint64_t began = now_ns();

    if (m->fd < 0) {
        disk_write(&m->disk);
    } else {
        struct epoll_event ev;

        message_send(m->fd);
        while (epoll_wait(m->poll, &ev, 1, -1) != 1) {
        }
        message_take(m->fd);
    }
    if (keep) {
        m->ns[m->n++] = (uint32_t)(now_ns() - began);
    }
}

int main(int argc, char **argv)
{
    size_t samples = argc > 2 ? strtoul(argv[2], NULL, 10) : 2000;
    struct measure m[4];

    if (argc < 2 || argc > 3 || samples < TURNS || samples > SAMPLES_MAX) {
        fputs("usage: floor DIR [SAMPLES]\n", stderr);
        return 2;
    }
    measure_init(&m[0], "disk", samples);
    disk_init(&m[0].disk, argv[1]);
    measure_init(&m[1], "rtt", samples);
    measure_rtt(&m[1]);
    measure_init(&m[2], "majority", samples);
    measure_round(&m[2], argv[1]);
    measure_init(&m[3], "read", samples);
    measure_round(&m[3], NULL);
    for (int turn = 0; turn < TURNS; turn++) {
        for (int i = 0; i < 4; i++) {
            for (size_t k = 0; k < samples / TURNS + WARM_UP; k++) {
                measure_once(&m[i], k >= WARM_UP);
            }
        }
    }
    for (int i = 0; i < 4; i++) {
        report(m[i].name, m[i].ns, m[i].n);
        for (int k = 0; k < m[i].pids_n; k++) {
            (void)kill(m[i].pids[k], SIGKILL);
            (void)waitpid(m[i].pids[k], NULL, 0);
        }
        free(m[i].ns);
    }
    return 0;
}
