/* diskfault.so: preloaded into a node (before undo.so, if that is there too),
 * it makes the disk under the data directory stall, full, failing or
 * read-only, as fault_ctl says (preload.h). A call that gets an errno changes
 * nothing.
 *
 * "Full" refuses what needs new space: bytes beyond a file's end and new
 * files. Writes into what a file has go on, as on a real file system. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "jepsen-lite/preload.h"

enum { PATH_BYTES = 4096, STALL_POLL_NS = 2000000 };

static struct fault_ctl *ctl;
static char dir[PATH_BYTES];
static size_t dir_n;

static ssize_t (*real_pwrite)(int, const void *, size_t, off64_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_openat)(int, const char *, int, ...);
static int (*real_renameat)(int, const char *, int, const char *);
static int (*real_unlinkat)(int, const char *, int);

/* dlsym() returns an object pointer; ISO C has no cast to a function. */
static void find(void *out, const char *name)
{
    void *p = dlsym(RTLD_NEXT, name);

    if (p == NULL) {
        abort();
    }
    memcpy(out, &p, sizeof p);
}

__attribute__((constructor)) static void diskfault_start(void)
{
    const char *path = getenv(FAULT_CTL_ENV);
    const char *at = getenv(FAULT_DIR_ENV);
    void *p;
    int fd;

    find(&real_pwrite, "pwrite64");
    find(&real_fsync, "fsync");
    find(&real_fdatasync, "fdatasync");
    find(&real_openat, "openat64");
    find(&real_renameat, "renameat");
    find(&real_unlinkat, "unlinkat");
    if (path == NULL || at == NULL) {
        return;
    }
    snprintf(dir, sizeof dir, "%s", at);
    dir_n = strlen(dir);
    fd = real_openat(AT_FDCWD, path, O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        abort(); /* a run without faults proves nothing */
    }
    p = mmap(NULL, sizeof *ctl, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (p == MAP_FAILED) {
        abort();
    }
    ctl = p;
}

/* True for a file or directory under the data directory; almost always no
 * fault is on, and then nothing is asked. */
static bool ours(int fd, struct stat *st)
{
    char link[40], path[PATH_BYTES];
    ssize_t n;

    if (ctl == NULL || (CTL_GET(ctl, stall) | CTL_GET(ctl, full) |
                        CTL_GET(ctl, once) | CTL_GET(ctl, readonly)) == 0) {
        return false;
    }
    if (fstat(fd, st) != 0 || !(S_ISREG(st->st_mode) || S_ISDIR(st->st_mode))) {
        return false;
    }
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    n = readlink(link, path, sizeof path - 1);
    if (n <= 0) {
        return false;
    }
    path[n] = '\0';
    return strncmp(path, dir, dir_n) == 0 &&
           (path[dir_n] == '/' || path[dir_n] == '\0');
}

static void stall(void)
{
    struct timespec ts = {0, STALL_POLL_NS};

    if (CTL_GET(ctl, stall) != 0) {
        CTL_COUNT(ctl, stalled);
        while (CTL_GET(ctl, stall) != 0) {
            nanosleep(&ts, NULL);
        }
    }
}

static int refuse(int code)
{
    CTL_COUNT(ctl, refused);
    errno = code;
    return -1;
}

/* The errno that a change gets, or 0. @grows: it needs new space. */
static int verdict(bool grows)
{
    int once;

    stall();
    once = __atomic_exchange_n(&ctl->once, 0, __ATOMIC_RELAXED);
    if (once != 0) {
        return once;
    }
    if (CTL_GET(ctl, readonly) != 0) {
        return EROFS;
    }
    return grows && CTL_GET(ctl, full) != 0 ? ENOSPC : 0;
}

static ssize_t fault_pwrite(int fd, const void *p, size_t n, off64_t off)
{
    struct stat st;
    int code;

    if (!ours(fd, &st)) {
        return real_pwrite(fd, p, n, off);
    }
    code = verdict((uint64_t)off + n > (uint64_t)st.st_size);
    return code != 0 ? refuse(code) : real_pwrite(fd, p, n, off);
}

static int fault_sync(int fd, int (*real)(int))
{
    struct stat st;
    int code;

    if (!ours(fd, &st)) {
        return real(fd);
    }
    code = verdict(false);
    return code != 0 ? refuse(code) : real(fd);
}

/* A change of names in the directory @at. */
static int fault_name(int at, bool grows)
{
    struct stat st;

    return at != AT_FDCWD && ours(at, &st) ? verdict(grows) : 0;
}

static int fault_open(int at, const char *name, int flags, mode_t mode)
{
    int code = 0;
    struct stat st;

    if ((flags & (O_CREAT | O_TRUNC)) != 0 && at != AT_FDCWD) {
        bool made = fstatat(at, name, &st, 0) != 0;

        code = made ? fault_name(at, true) : 0;
    }
    return code != 0 ? refuse(code) : real_openat(at, name, flags, mode);
}

/* ---- what the node calls ---- */

ssize_t pwrite(int fd, const void *p, size_t n, off_t off)
{
    return fault_pwrite(fd, p, n, off);
}

ssize_t pwrite64(int fd, const void *p, size_t n, off64_t off)
{
    return fault_pwrite(fd, p, n, off);
}

int fsync(int fd)
{
    return fault_sync(fd, real_fsync);
}

int fdatasync(int fd)
{
    return fault_sync(fd, real_fdatasync);
}

int openat(int at, const char *name, int flags, ...)
{
    va_list ap;
    mode_t mode;

    va_start(ap, flags);
    mode = (flags & O_CREAT) != 0 ? va_arg(ap, mode_t) : 0;
    va_end(ap);
    return fault_open(at, name, flags, mode);
}

int openat64(int at, const char *name, int flags, ...)
{
    va_list ap;
    mode_t mode;

    va_start(ap, flags);
    mode = (flags & O_CREAT) != 0 ? va_arg(ap, mode_t) : 0;
    va_end(ap);
    return fault_open(at, name, flags, mode);
}

int renameat(int at, const char *from, int to_at, const char *to)
{
    int code = fault_name(at, false);

    return code != 0 ? refuse(code) : real_renameat(at, from, to_at, to);
}

int unlinkat(int at, const char *name, int flags)
{
    int code = fault_name(at, false);

    return code != 0 ? refuse(code) : real_unlinkat(at, name, flags);
}
