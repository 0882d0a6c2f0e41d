/* undo.so: preloaded into a node, it follows what the node does to the files
 * under $UNDO_DIR and appends to $UNDO_LOG how to take back what is not yet
 * synced (undo.h). Files that are removed or replaced stay reachable by a
 * link in $UNDO_KEEP (same file system) until powercut has run.
 *
 * A write's undo data are logged before it starts; the record that makes
 * them void follows when the kernel says that it is safe: at once on a
 * descriptor with O_DSYNC, else at fdatasync or fsync. Names are safe after
 * fsync of their directory. Writes and syncs of one file exclude each other,
 * so that a sync never covers a write that it might have missed. Writes that
 * bypass these functions (pwritev, fallocate, io_uring by raw system calls)
 * are not seen: those with a name here are logged as unmodelled, and
 * powercut refuses a log without any write. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tests/fault/undo.h"

enum { LOCKS = 64, PATH_BYTES = 4096, BATCH_SECTORS = 256 };

static int log_fd = -1;
static char dir[PATH_BYTES], keep[PATH_BYTES];
static size_t dir_n;
static pthread_mutex_t locks[LOCKS];

static ssize_t (*real_pwrite)(int, const void *, size_t, off64_t);
static ssize_t (*real_write)(int, const void *, size_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_openat)(int, const char *, int, ...);
static int (*real_renameat)(int, const char *, int, const char *);
static int (*real_unlinkat)(int, const char *, int);
static int (*real_mkdirat)(int, const char *, mode_t);

/* dlsym() returns an object pointer; ISO C has no cast to a function. */
static void find(void *out, const char *name)
{
    void *p = dlsym(RTLD_NEXT, name);

    if (p == NULL) {
        abort();
    }
    memcpy(out, &p, sizeof p);
}

__attribute__((constructor)) static void undo_start(void)
{
    const char *path = getenv("UNDO_LOG");

    find(&real_pwrite, "pwrite64");
    find(&real_write, "write");
    find(&real_fsync, "fsync");
    find(&real_fdatasync, "fdatasync");
    find(&real_openat, "openat64");
    find(&real_renameat, "renameat");
    find(&real_unlinkat, "unlinkat");
    find(&real_mkdirat, "mkdirat");
    for (int i = 0; i < LOCKS; i++) {
        pthread_mutex_init(&locks[i], NULL);
    }
    if (path == NULL || getenv("UNDO_DIR") == NULL ||
        getenv("UNDO_KEEP") == NULL) {
        return;
    }
    snprintf(dir, sizeof dir, "%s", getenv("UNDO_DIR"));
    snprintf(keep, sizeof keep, "%s", getenv("UNDO_KEEP"));
    dir_n = strlen(dir);
    log_fd = real_openat(AT_FDCWD, path,
                         O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
    if (log_fd < 0) {
        abort();
    }
}

/* ---- records ---- */

static void put(const void *p, size_t n)
{
    if (real_write(log_fd, p, n) != (ssize_t)n) {
        abort(); /* a run without its whole log proves nothing */
    }
}

static void put_record(uint32_t kind,
                       uint64_t ino,
                       uint64_t off,
                       uint64_t a,
                       const void *data,
                       size_t n)
{
    char raw[sizeof(struct undo_record) + UNDO_DATA_MAX];
    struct undo_record r = {kind, (uint32_t)n, ino, off, a};

    if (n > UNDO_DATA_MAX) {
        abort();
    }
    memcpy(raw, &r, sizeof r);
    if (n > 0) {
        memcpy(raw + sizeof r, data, n);
    }
    put(raw, sizeof r + n);
}

static void unmodelled(const char *name)
{
    put_record(UNDO_UNMODELLED, 0, 0, 0, name, strlen(name) + 1);
}

/* ---- which files ---- */

static bool under_dir(const char *path)
{
    return strncmp(path, dir, dir_n) == 0 &&
           (path[dir_n] == '/' || path[dir_n] == '\0');
}

static bool fd_path(int fd, char out[PATH_BYTES])
{
    char link[40];
    ssize_t n;

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    n = readlink(link, out, PATH_BYTES - 1);
    if (n <= 0) {
        return false;
    }
    out[n] = '\0';
    return true;
}

/* True for a regular file or directory under $UNDO_DIR. */
static bool followed(int fd, struct stat *st)
{
    char path[PATH_BYTES];
    int e = errno;
    bool yes = log_fd >= 0 && fstat(fd, st) == 0 &&
               (S_ISREG(st->st_mode) || S_ISDIR(st->st_mode)) &&
               fd_path(fd, path) && under_dir(path);

    errno = e;
    return yes;
}

/* The whole path of @name at @fd, and its directory's inode. False when it
 * is not under $UNDO_DIR. */
static bool name_path(int fd,
                      const char *name,
                      char out[PATH_BYTES],
                      uint64_t *dir_ino)
{
    char top[PATH_BYTES] = "";
    struct stat st;
    char *slash;
    int e = errno;
    bool yes = false;

    if (log_fd < 0) {
        return false;
    }
    if (name[0] == '/') {
        yes = true;
    } else if (fd == AT_FDCWD) {
        yes = getcwd(top, sizeof top) != NULL;
    } else {
        yes = fd_path(fd, top);
    }
    if (yes &&
        snprintf(out, PATH_BYTES, "%s%s%s", top, name[0] == '/' ? "" : "/",
                 name) < PATH_BYTES &&
        under_dir(out) && (slash = strrchr(out, '/')) != NULL) {
        *slash = '\0';
        yes = stat(out, &st) == 0;
        *dir_ino = (uint64_t)st.st_ino;
        *slash = '/';
    } else {
        yes = false;
    }
    errno = e;
    return yes;
}

static pthread_mutex_t *lock_of(const struct stat *st)
{
    return &locks[st->st_ino % LOCKS];
}

/* ---- content ---- */

/* Log the sectors of [off, end) that exist, as they are now. */
static void put_sectors(int fd, uint64_t ino, uint64_t off, uint64_t end)
{
    static __thread char
        raw[BATCH_SECTORS * (sizeof(struct undo_record) + UNDO_SECTOR_BYTES)];
    char path[40];
    size_t n = 0;
    int rd;

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    rd = real_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    if (rd < 0) {
        abort();
    }
    for (uint64_t s = off / UNDO_SECTOR_BYTES * UNDO_SECTOR_BYTES; s < end;
         s += UNDO_SECTOR_BYTES) {
        struct undo_record r = {UNDO_SECTOR, UNDO_SECTOR_BYTES, ino, s, 0};

        memcpy(raw + n, &r, sizeof r);
        memset(raw + n + sizeof r, 0, UNDO_SECTOR_BYTES);
        if (pread(rd, raw + n + sizeof r, UNDO_SECTOR_BYTES, (off_t)s) < 0) {
            abort();
        }
        n += sizeof r + UNDO_SECTOR_BYTES;
        if (n == sizeof raw) {
            put(raw, n);
            n = 0;
        }
    }
    if (n > 0) {
        put(raw, n);
    }
    close(rd);
}

static ssize_t follow_pwrite(int fd, const void *p, size_t n, off64_t off)
{
    struct stat st;
    bool durable;
    uint64_t ino, end, old;
    ssize_t k;

    if (!followed(fd, &st)) {
        return real_pwrite(fd, p, n, off);
    }
    pthread_mutex_lock(lock_of(&st));
    durable = (fcntl(fd, F_GETFL) & O_DSYNC) != 0;
    ino = (uint64_t)st.st_ino;
    end = (uint64_t)off + n;
    old = fstat(fd, &st) == 0 ? (uint64_t)st.st_size : 0;
    if (end > old) {
        put_record(UNDO_EXTEND, ino, old, end, NULL, 0);
    }
    if ((uint64_t)off < old) {
        put_sectors(fd, ino, (uint64_t)off, end < old ? end : old);
    }
    k = real_pwrite(fd, p, n, off);
    if (k > 0 && durable) {
        int e = errno;

        put_record(UNDO_DURABLE, ino, (uint64_t)off, (uint64_t)k, NULL, 0);
        errno = e;
    }
    pthread_mutex_unlock(lock_of(&st));
    return k;
}

static int follow_sync(int fd, int (*real)(int))
{
    struct stat st;
    int rv;

    if (!followed(fd, &st)) {
        return real(fd);
    }
    pthread_mutex_lock(lock_of(&st));
    rv = real(fd);
    if (rv == 0) {
        put_record(UNDO_SYNC, (uint64_t)st.st_ino, 0, 0, NULL, 0);
    }
    pthread_mutex_unlock(lock_of(&st));
    return rv;
}

/* ---- names ---- */

/* A further link to @path under $UNDO_KEEP; "" when there is nothing. */
static void keep_link(const char *path, char out[PATH_BYTES])
{
    static unsigned next;
    int n = snprintf(out, PATH_BYTES, "%s/%d.%u", keep, (int)getpid(),
                     __atomic_fetch_add(&next, 1, __ATOMIC_RELAXED));

    if (n >= PATH_BYTES || link(path, out) != 0) {
        out[0] = '\0';
    }
}

/* Put @n strings, each with its NUL. */
static void put_names(uint32_t kind,
                      uint64_t dir_ino,
                      const char *const *s,
                      int n)
{
    char data[UNDO_DATA_MAX];
    size_t at = 0;

    for (int i = 0; i < n; i++) {
        size_t k = strlen(s[i]) + 1;

        if (at + k > sizeof data) {
            abort();
        }
        memcpy(data + at, s[i], k);
        at += k;
    }
    put_record(kind, dir_ino, 0, 0, data, at);
}

static int follow_open(int at, const char *name, int flags, mode_t mode)
{
    char path[PATH_BYTES];
    uint64_t dir_ino;
    struct stat st;
    bool ours = (flags & (O_CREAT | O_TRUNC)) != 0 &&
                name_path(at, name, path, &dir_ino);
    bool made = ours && lstat(path, &st) != 0;
    int fd = real_openat(at, name, flags, mode);

    if (ours && !made && fd >= 0 && (flags & O_TRUNC) != 0) {
        /* Its old content is of no interest to anyone. */
        put_record(UNDO_SYNC, (uint64_t)st.st_ino, 0, 0, NULL, 0);
    }
    if (made && fd >= 0 && fstat(fd, &st) == 0) {
        put_record(UNDO_CREATE, dir_ino, 0, (uint64_t)st.st_ino, path,
                   strlen(path) + 1);
    }
    return fd;
}

static int follow_rename(int at, const char *from, int to_at, const char *to)
{
    char a[PATH_BYTES], b[PATH_BYTES], kept[PATH_BYTES];
    const char *names[] = {a, b, kept};
    uint64_t from_ino, to_ino;
    int rv;

    if (!name_path(at, from, a, &from_ino) ||
        !name_path(to_at, to, b, &to_ino)) {
        return real_renameat(at, from, to_at, to);
    }
    keep_link(b, kept);
    rv = real_renameat(at, from, to_at, to);
    if (rv == 0) {
        put_names(UNDO_RENAME, to_ino, names, 3);
    }
    return rv;
}

static int follow_unlink(int at, const char *name, int flags)
{
    char path[PATH_BYTES], kept[PATH_BYTES];
    const char *names[] = {path, kept};
    uint64_t dir_ino;
    int rv;

    if (flags != 0 || !name_path(at, name, path, &dir_ino)) {
        return real_unlinkat(at, name, flags);
    }
    keep_link(path, kept);
    rv = real_unlinkat(at, name, flags);
    if (rv == 0) {
        put_names(UNDO_UNLINK, dir_ino, names, 2);
    }
    return rv;
}

static int follow_mkdir(int at, const char *name, mode_t mode)
{
    char path[PATH_BYTES];
    const char *names[] = {path};
    uint64_t dir_ino;
    int rv = real_mkdirat(at, name, mode);

    if (rv == 0 && name_path(at, name, path, &dir_ino)) {
        put_names(UNDO_MKDIR, dir_ino, names, 1);
    }
    return rv;
}

/* ---- what the program calls instead of the C library ---- */

#define EXPORT __attribute__((visibility("default")))

EXPORT ssize_t pwrite64(int fd, const void *p, size_t n, off64_t off)
{
    return follow_pwrite(fd, p, n, off);
}

EXPORT ssize_t pwrite(int fd, const void *p, size_t n, off_t off)
{
    return follow_pwrite(fd, p, n, off);
}

EXPORT int fsync(int fd)
{
    return follow_sync(fd, real_fsync);
}

EXPORT int fdatasync(int fd)
{
    return follow_sync(fd, real_fdatasync);
}

/* The mode is there only if a file may be made. */
#define OPEN_BODY(at, name, flags)                            \
    mode_t mode = 0;                                          \
                                                              \
    if (((flags)&O_CREAT) != 0 || ((flags)&O_TMPFILE) != 0) { \
        va_list ap;                                           \
                                                              \
        va_start(ap, flags);                                  \
        mode = va_arg(ap, mode_t);                            \
        va_end(ap);                                           \
    }                                                         \
    return follow_open(at, name, flags, mode)

EXPORT int openat(int at, const char *name, int flags, ...)
{
    OPEN_BODY(at, name, flags);
}

EXPORT int openat64(int at, const char *name, int flags, ...)
{
    OPEN_BODY(at, name, flags);
}

EXPORT int open(const char *name, int flags, ...)
{
    OPEN_BODY(AT_FDCWD, name, flags);
}

EXPORT int open64(const char *name, int flags, ...)
{
    OPEN_BODY(AT_FDCWD, name, flags);
}

EXPORT int renameat(int at, const char *from, int to_at, const char *to)
{
    return follow_rename(at, from, to_at, to);
}

EXPORT int rename(const char *from, const char *to)
{
    return follow_rename(AT_FDCWD, from, AT_FDCWD, to);
}

EXPORT int unlinkat(int at, const char *name, int flags)
{
    return follow_unlink(at, name, flags);
}

EXPORT int unlink(const char *name)
{
    return follow_unlink(AT_FDCWD, name, 0);
}

EXPORT int mkdirat(int at, const char *name, mode_t mode)
{
    return follow_mkdir(at, name, mode);
}

EXPORT int mkdir(const char *name, mode_t mode)
{
    return follow_mkdir(AT_FDCWD, name, mode);
}

/* Not followed: seen, so that a run with them is not taken for a proof. */

EXPORT ssize_t write(int fd, const void *p, size_t n)
{
    struct stat st;

    if (fd != log_fd && followed(fd, &st)) {
        unmodelled("write");
    }
    return real_write(fd, p, n);
}

#define NOT_FOLLOWED(type, name, params, ...) \
    EXPORT type name params                   \
    {                                         \
        type(*real) params;                   \
        struct stat st;                       \
                                              \
        find(&real, #name);                   \
        if (followed(fd, &st)) {              \
            unmodelled(#name);                \
        }                                     \
        return real(__VA_ARGS__);             \
    }

NOT_FOLLOWED(int, ftruncate, (int fd, off_t n), fd, n)
NOT_FOLLOWED(int, ftruncate64, (int fd, off64_t n), fd, n)
NOT_FOLLOWED(int, fallocate, (int fd, int m, off_t o, off_t n), fd, m, o, n)
NOT_FOLLOWED(int,
             fallocate64,
             (int fd, int m, off64_t o, off64_t n),
             fd,
             m,
             o,
             n)
NOT_FOLLOWED(int, posix_fallocate, (int fd, off_t o, off_t n), fd, o, n)
NOT_FOLLOWED(int, posix_fallocate64, (int fd, off64_t o, off64_t n), fd, o, n)
NOT_FOLLOWED(ssize_t, writev, (int fd, const struct iovec *v, int k), fd, v, k)
NOT_FOLLOWED(ssize_t,
             pwritev,
             (int fd, const struct iovec *v, int k, off_t o),
             fd,
             v,
             k,
             o)
NOT_FOLLOWED(ssize_t,
             pwritev64,
             (int fd, const struct iovec *v, int k, off64_t o),
             fd,
             v,
             k,
             o)
