/* godown DIR [flush]: the file system of DIR stops at once, as when the power
 * goes: ext4 and xfs take the same request. With "flush" what is in the
 * journal's memory still reaches the disk, else not even that. What was only
 * in memory is gone at the next mount. Exit 0, 1 (not taken), 2 usage. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { LOG_FLUSH = 1, NO_LOG_FLUSH = 2 };

#define FS_SHUTDOWN _IOR('X', 125, uint32_t)

int main(int argc, char **argv)
{
    uint32_t how = NO_LOG_FLUSH;
    int fd;

    if (argc < 2 || argc > 3 || (argc == 3 && strcmp(argv[2], "flush") != 0)) {
        fprintf(stderr, "usage: godown DIR [flush]\n");
        return 2;
    }
    if (argc == 3) {
        how = LOG_FLUSH;
    }
    fd = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || ioctl(fd, FS_SHUTDOWN, &how) != 0) {
        perror(argv[1]);
        return 1;
    }
    close(fd);
    return 0;
}
