/* stale_read LEADER_PID LEADER_PORT OTHER_PORT KEY: one try to get an old
 * value out of a leader that was asleep.
 *
 * KEY is set to "old" and read through the leader, which is then stopped
 * (SIGSTOP). Reads are sent into its sockets and lie there while OTHER_PORT's
 * node takes "new" for KEY, which needs another leader. Then it goes on
 * (SIGCONT, also at every failure), and each of the reads must bring "new" or
 * an error: "old" was overwritten before, and that was acknowledged.
 *
 * Prints "new N, errors E, old O" for the reads. Exit 0 when none was old,
 * 3 when one was, 1 when the try did not come about. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    READS = 8,
    REPLY_MAX = 256,
    REPLY_MS = 15000,
    TRIES_MAX = 50, /* for a new leader */
    TRY_MS = 100,
};

static pid_t stopped; /* 0: none */

static void go_on(void)
{
    if (stopped != 0) {
        kill(stopped, SIGCONT);
        stopped = 0;
    }
}

static void fail(const char *what)
{
    fprintf(stderr, "stale_read: %s\n", what);
    go_on();
    exit(1);
}

static int dial(const char *port)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)atoi(port))};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int one = 1;

    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a) != 0) {
        fail(strerror(errno));
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static void say(int fd, const char *command)
{
    if (send(fd, command, strlen(command), MSG_NOSIGNAL) !=
        (ssize_t)strlen(command)) {
        fail("send");
    }
}

/* One reply of at most two lines (a short bulk string has two). */
static void hear(int fd, char out[REPLY_MAX])
{
    size_t n = 0;

    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        ssize_t k;
        char *end;

        if (poll(&p, 1, REPLY_MS) <= 0) {
            fail("no reply");
        }
        k = recv(fd, out + n, REPLY_MAX - 1 - n, 0);
        if (k <= 0) {
            snprintf(out, REPLY_MAX, "-closed\r\n");
            return;
        }
        n += (size_t)k;
        out[n] = '\0';
        end = strstr(out, "\r\n");
        if (end != NULL && (out[0] != '$' || out[1] == '-' ||
                            strstr(end + 2, "\r\n") != NULL)) {
            return;
        }
        if (n == REPLY_MAX - 1) {
            fail("a reply that is too long");
        }
    }
}

static void set(int fd, const char *key, const char *value)
{
    char command[200];
    char reply[REPLY_MAX] = "";
    struct timespec pause = {0, TRY_MS * 1000000L};

    snprintf(command, sizeof command, "SET %s %s\r\n", key, value);
    for (int i = 0; i < TRIES_MAX; i++) {
        say(fd, command);
        hear(fd, reply);
        if (strcmp(reply, "+OK\r\n") == 0) {
            return;
        }
        nanosleep(&pause, NULL);
    }
    fail(reply);
}

int main(int argc, char **argv)
{
    char get[200];
    char reply[REPLY_MAX];
    int reader[READS];
    int count[3] = {0, 0, 0}; /* new, errors, old */
    int other;

    if (argc != 5 || atoi(argv[1]) <= 1 || strlen(argv[4]) > 100) {
        fprintf(stderr,
                "usage: stale_read LEADER_PID LEADER_PORT OTHER_PORT KEY\n");
        return 2;
    }
    snprintf(get, sizeof get, "GET %s\r\n", argv[4]);
    other = dial(argv[3]);
    for (int i = 0; i < READS; i++) {
        reader[i] = dial(argv[2]);
    }
    set(reader[0], argv[4], "old");
    for (int i = 0; i < READS; i++) {
        say(reader[i], get);
        hear(reader[i], reply);
        if (strcmp(reply, "$3\r\nold\r\n") != 0) {
            fail(reply);
        }
    }
    stopped = atoi(argv[1]);
    if (kill(stopped, SIGSTOP) != 0) {
        stopped = 0;
        fail("cannot stop the leader");
    }
    for (int i = 0; i < READS; i++) {
        say(reader[i], get);
    }
    set(other, argv[4], "new");
    go_on();
    for (int i = 0; i < READS; i++) {
        hear(reader[i], reply);
        count[strcmp(reply, "$3\r\nnew\r\n") == 0   ? 0
              : strcmp(reply, "$3\r\nold\r\n") == 0 ? 2
                                                    : 1]++;
        if (reply[0] != '$' && reply[0] != '-') {
            fail(reply);
        }
    }
    printf("new %d, errors %d, old %d\n", count[0], count[1], count[2]);
    return count[2] > 0 ? 3 : 0;
}
