/* damage FILE middle | AT | version N: spoil a file of a data directory.
 *
 *   middle     flips a byte in the middle of what is in use (up to the last
 *              byte that is not zero)
 *   AT         flips the byte at this offset
 *   version N  an identity file of format N with a good checksum */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/crc32c.h"

enum { AT_VERSION = 8, IDENTITY_SIZE = 512 };

static int fail(const char *what)
{
    perror(what);
    return 1;
}

static off_t middle(int fd, off_t size)
{
    off_t end = size;
    unsigned char c = 0;

    while (end > 0 && pread(fd, &c, 1, end - 1) == 1 && c == 0) {
        end--;
    }
    return end / 2;
}

static int renew(int fd, uint32_t version)
{
    uint8_t raw[IDENTITY_SIZE];

    if (pread(fd, raw, sizeof raw, 0) != (ssize_t)sizeof raw) {
        return -1;
    }
    put_u32(raw + AT_VERSION, version);
    put_u32(raw + sizeof raw - 4, crc32c(0, raw, sizeof raw - 4));
    return pwrite(fd, raw, sizeof raw, 0) == (ssize_t)sizeof raw ? 0 : -1;
}

int main(int argc, char **argv)
{
    struct stat st;
    unsigned char c;
    off_t at;
    int fd;

    if (argc < 3) {
        fprintf(stderr, "usage: damage FILE middle | AT | version N\n");
        return 2;
    }
    fd = open(argv[1], O_RDWR | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) {
        return fail(argv[1]);
    }
    if (strcmp(argv[2], "version") == 0 && argc == 4) {
        return renew(fd, (uint32_t)atoi(argv[3])) == 0 ? 0 : fail(argv[1]);
    }
    at = strcmp(argv[2], "middle") == 0 ? middle(fd, st.st_size)
                                        : (off_t)atoll(argv[2]);
    if (pread(fd, &c, 1, at) != 1) {
        return fail(argv[1]);
    }
    c ^= 0xFF;
    if (pwrite(fd, &c, 1, at) != 1) {
        return fail(argv[1]);
    }
    printf("%lld\n", (long long)at);
    return 0;
}
