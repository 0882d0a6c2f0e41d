/* floor: what disk and loopback allow, without any server in between.
 *
 *   floor DIR [SAMPLES] [WARM_UP]
 *
 * Prints one line each, microseconds: "NAME P50 P99 MIN MAX MEAN":
 *   disk      one durable write of a 4 KiB block, as raftio/wal.c does it: at
 *             growing offsets of a file that was written and synced before,
 *             opened with O_DIRECT|O_DSYNC, by one pwrite()
 *   rtt       a message of 200 bytes to another process and back, over TCP on
 *             loopback; both sides wait in epoll, as servers and clients do
 *   majority  client -> leader; the leader's own block by a thread of its own,
 *             and beside it the same message to two followers that each write
 *             a block by a thread of theirs before they answer; two of the
 *             three; leader -> client
 *   read      client -> leader, a round to two followers without any disk, one
 *             of the two; leader -> client
 * The block goes by a thread, as in every server whose loop must not wait for
 * a disk: a hand-over there and one back (eventfd) are part of the floor.
 * "read" is the floor of a read that asks a majority each time.
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

static void measure_disk(const char *dir, uint32_t *ns, size_t n, size_t warm)
{
    struct disk d;

    disk_init(&d, dir);
    for (size_t i = 0; i < n + warm; i++) {
        uint64_t began = now_ns();

        disk_write(&d);
        if (i >= warm) {
            ns[i - warm] = (uint32_t)(now_ns() - began);
        }
    }
    close(d.fd);
    free(d.block);
    report("disk", ns, n);
}

/* The client's side: a message, and its answer, waited for in epoll. */
static void ask_all(const char *name,
                    int fd,
                    uint32_t *ns,
                    size_t n,
                    size_t warm)
{
    int e = poll_make(&fd, 1);

    for (size_t i = 0; i < n + warm; i++) {
        struct epoll_event ev;
        uint64_t began = now_ns();

        message_send(fd);
        while (epoll_wait(e, &ev, 1, -1) != 1) {
        }
        message_take(fd);
        if (i >= warm) {
            ns[i - warm] = (uint32_t)(now_ns() - began);
        }
    }
    close(e);
    report(name, ns, n);
}

static void measure_rtt(uint32_t *ns, size_t n, size_t warm)
{
    int fds[2];
    pid_t pid;

    pair(fds);
    if (child(&pid)) {
        close(fds[0]);
        follower(fds[1], NULL);
    }
    close(fds[1]);
    ask_all("rtt", fds[0], ns, n, warm);
    close(fds[0]);
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
}

/* @dir NULL: nobody writes. */
static void measure_round(const char *name,
                          const char *dir,
                          uint32_t *ns,
                          size_t n,
                          size_t warm)
{
    struct disk disks[FOLLOWERS + 1];
    int peers[FOLLOWERS][2], fds[2];
    pid_t pids[FOLLOWERS + 1];

    pair(fds);
    for (int i = 0; i <= FOLLOWERS && dir != NULL; i++) {
        disk_init(&disks[i], dir);
    }
    for (int i = 0; i < FOLLOWERS; i++) {
        pair(peers[i]);
        if (child(&pids[i])) {
            follower(peers[i][1], dir == NULL ? NULL : &disks[i]);
        }
    }
    if (child(&pids[FOLLOWERS])) {
        int leads[FOLLOWERS] = {peers[0][0], peers[1][0]};

        leader(fds[1], leads, dir == NULL ? NULL : &disks[FOLLOWERS]);
    }
    ask_all(name, fds[0], ns, n, warm);
    for (int i = 0; i <= FOLLOWERS; i++) {
        (void)kill(pids[i], SIGKILL);
        (void)waitpid(pids[i], NULL, 0);
    }
}

int main(int argc, char **argv)
{
    size_t n = argc > 2 ? strtoul(argv[2], NULL, 10) : 2000;
    size_t warm = argc > 3 ? strtoul(argv[3], NULL, 10) : n / 10;
    uint32_t *ns;

    if (argc < 2 || argc > 4 || n < 1 || n > SAMPLES_MAX ||
        warm > SAMPLES_MAX) {
        fputs("usage: floor DIR [SAMPLES] [WARM_UP]\n", stderr);
        return 2;
    }
    ns = calloc(n, sizeof *ns);
    if (ns == NULL) {
        fail("memory");
    }
    measure_disk(argv[1], ns, n, warm);
    measure_rtt(ns, n, warm);
    measure_round("majority", argv[1], ns, n, warm);
    measure_round("read", NULL, ns, n, warm);
    free(ns);
    return 0;
}
