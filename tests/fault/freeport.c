/* freeport N: print a port p so that the plain, cluster and peer ports of N
 * nodes from p on are free on loopback, outside the range that the kernel
 * gives to outgoing connections. Tests that run beside each other use it. */
#include <arpa/inet.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { LOWEST = 10000, HIGHEST = 21000, TRIES = 1000, NODES_MAX = 10 };

static bool is_free(int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int one = 1;
    bool free;

    if (fd < 0) {
        return false;
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    free = bind(fd, (struct sockaddr *)&a, sizeof a) == 0;
    close(fd);
    return free;
}

int main(int argc, char **argv)
{
    int n = argc == 2 ? atoi(argv[1]) : 0;

    if (n < 1 || n > NODES_MAX) {
        fprintf(stderr, "usage: freeport N\n");
        return 2;
    }
    srandom((unsigned)getpid() ^ (unsigned)time(NULL));
    for (int try = 0; try < TRIES; try++) {
        int p = LOWEST + (int)(random() % ((HIGHEST - LOWEST) / 10)) * 10;
        bool all = true;

        for (int i = 0; i < n && all; i++) {
            all = is_free(p + i) && is_free(p + i + 1000) &&
                  is_free(p + i + 10000);
        }
        if (all) {
            printf("%d\n", p);
            return 0;
        }
    }
    fprintf(stderr, "freeport: none found\n");
    return 1;
}
