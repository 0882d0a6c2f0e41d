/* rude PORT WHAT [SECONDS]: a client, or a peer, with bad manners.
 *
 *   noise   64 KiB of random bytes
 *   inline  a line that is no command
 *   quote   an inline command with an open quote
 *   bulk    a request whose value is said to be far too long
 *   array   a request of far too many words
 *   half    the first half of a request, then silence
 *   crowd   connections that do nothing, until one is refused
 *
 * Prints the first line that comes back ("" if none within SECONDS, 2 unless
 * given), and "closed" if the other side has ended the connection, "open" if
 * not. Exit 0; 1 when it could not connect; 2 usage. */
#include <arpa/inet.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/rng.h"

enum { NOISE = 64 << 10, CROWD_MAX = 200, REPLY_MAX = 512 };

static const struct {
    const char *name;
    const char *bytes;
} kinds[] = {
    {"inline", "\x01\x02nonsense \xff\xfe\r\n"},
    {"quote", "SET k \"no end\r\n"},
    {"bulk", "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$99999999999\r\n"},
    {"array", "*1000000000\r\n"},
    {"half", "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100\r\nabc"},
};

static int dial(int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a) != 0) {
        perror("rude");
        exit(1);
    }
    return fd;
}

/* What comes back until @ms pass without a byte, or the end. */
static bool hear(int fd, int ms, char out[REPLY_MAX])
{
    size_t n = 0;
    struct pollfd p = {.fd = fd, .events = POLLIN};

    out[0] = '\0';
    while (poll(&p, 1, ms) > 0) {
        char raw[4096];
        ssize_t k = recv(fd, raw, sizeof raw, 0);

        if (k <= 0) {
            return false;
        }
        for (ssize_t i = 0; i < k && n < REPLY_MAX - 1; i++) {
            out[n++] = raw[i];
        }
        out[n] = '\0';
    }
    return true;
}

static int report(int fd, int ms)
{
    char reply[REPLY_MAX];
    bool open = hear(fd, ms, reply);

    reply[strcspn(reply, "\r\n")] = '\0';
    printf("%s\n%s\n", reply, open ? "open" : "closed");
    close(fd);
    return 0;
}

static int noise(int port, int ms)
{
    static uint8_t raw[NOISE];
    struct rng r = {.s = 1};
    int fd = dial(port);

    for (size_t i = 0; i < sizeof raw; i++) {
        raw[i] = (uint8_t)rng_next(&r);
    }
    send(fd, raw, sizeof raw, MSG_NOSIGNAL);
    return report(fd, ms);
}

static int crowd(int port, int ms)
{
    for (int i = 0; i < CROWD_MAX; i++) {
        int fd = dial(port);
        char reply[REPLY_MAX];

        if (!hear(fd, 20, reply)) {
            reply[strcspn(reply, "\r\n")] = '\0';
            printf("%s\nclosed\n", reply);
            return 0;
        }
    }
    (void)ms;
    printf("\nopen\n");
    return 0;
}

int main(int argc, char **argv)
{
    int port = argc >= 3 ? atoi(argv[1]) : 0;
    int ms = argc == 4 ? atoi(argv[3]) * 1000 : 2000;

    if (port > 0 && strcmp(argv[2], "noise") == 0) {
        return noise(port, ms);
    }
    if (port > 0 && strcmp(argv[2], "crowd") == 0) {
        return crowd(port, ms);
    }
    for (size_t i = 0; port > 0 && i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(kinds[i].name, argv[2]) == 0) {
            int fd = dial(port);

            send(fd, kinds[i].bytes, strlen(kinds[i].bytes), MSG_NOSIGNAL);
            return report(fd, ms);
        }
    }
    fprintf(stderr,
            "usage: rude PORT noise|inline|quote|bulk|array|half|crowd "
            "[SECONDS]\n");
    return 2;
}
