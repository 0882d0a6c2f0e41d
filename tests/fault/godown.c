/* godown [flush] [SUB MS US] DIR...: the file systems of the DIRs stop at once,
 * as when the power goes: ext4 and xfs take the same request. With "flush" what
 * is in the journal's memory still reaches the disk, else not even that. What
 * was only in memory is gone at the next mount.
 *
 * With SUB it waits at most MS ms until a file in DIR/SUB of one of the DIRs
 * gets its final name (log: not a spare one; snap), then US microseconds more:
 * names are not safe for a moment only, and a cut at any other time finds
 * little to take.
 * Prints "moved" if it saw one. Exit 0, 1 (not taken), 2 usage. */
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { LOG_FLUSH = 1, NO_LOG_FLUSH = 2, DIRS_MAX = 8 };

#define FS_SHUTDOWN _IOR('X', 125, uint32_t)

static int usage(void)
{
    fprintf(stderr, "usage: godown [flush] [SUB MS US] DIR...\n");
    return 2;
}

/* True if one of the events read from @in is about a final name. */
static bool final_name(int in)
{
    char raw[4096] __attribute__((aligned(8)));
    ssize_t n = read(in, raw, sizeof raw);
    size_t at = 0;

    while (n > 0 && at < (size_t)n) {
        struct inotify_event e;
        const char *name = raw + at + sizeof e;

        memcpy(&e, raw + at, sizeof e);
        if (e.len > 0 && strncmp(name, "spare", 5) != 0) {
            return true;
        }
        at += sizeof e + e.len;
    }
    return false;
}

static void wait_named(const char *sub, char **dir, int n, int ms, int us)
{
    int in = inotify_init1(IN_CLOEXEC);
    struct pollfd p = {in, POLLIN, 0};
    char path[PATH_MAX];
    time_t end = time(NULL) + 2; /* other names come at most so long */

    for (int i = 0; i < n; i++) {
        snprintf(path, sizeof path, "%s/%s", dir[i], sub);
        if (inotify_add_watch(in, path, IN_MOVED_TO) < 0) {
            perror(path);
            exit(1);
        }
    }
    while (time(NULL) < end && poll(&p, 1, ms) == 1) {
        if (final_name(in)) {
            if (us > 0) {
                usleep((useconds_t)us);
            }
            puts("moved");
            break;
        }
    }
    close(in);
}

int main(int argc, char **argv)
{
    uint32_t how = NO_LOG_FLUSH;
    int fd[DIRS_MAX];
    const char *sub = NULL;
    int ms = 0;
    int us = 0;
    int at = 1;

    if (at < argc && strcmp(argv[at], "flush") == 0) {
        how = LOG_FLUSH;
        at++;
    }
    if (at + 2 < argc && argv[at][0] != '/') {
        sub = argv[at];
        ms = atoi(argv[at + 1]);
        us = atoi(argv[at + 2]);
        at += 3;
    }
    if (at == argc || argc - at > DIRS_MAX) {
        return usage();
    }
    for (int i = at; i < argc; i++) {
        fd[i - at] = open(argv[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    if (sub != NULL) {
        wait_named(sub, argv + at, argc - at, ms, us);
    }
    for (int i = at; i < argc; i++) {
        if (ioctl(fd[i - at], FS_SHUTDOWN, &how) != 0) {
            perror(argv[i]);
            return 1;
        }
    }
    return 0;
}
