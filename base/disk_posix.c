#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/disk.h"

/* Happy path: every name is opened relative to one directory handle, so that
 * the directory may be moved while the process runs. Failure: the kernel's
 * errno goes up unchanged; only O_DIRECT, which some file systems (tmpfs,
 * overlays) refuse at open or at the first transfer, is given up silently. */

struct disk_posix {
    struct disk base; /* first */
    int dirfd;
    int lockfd; /* -1: none; held for life */
};

struct disk_file {
    struct disk_file_head head; /* first */
    int fd;
    bool direct;
};

enum { LIST_MAX = 4096 }; /* names of one directory; beyond: -EOVERFLOW */

static struct disk_posix *posix_of(struct disk *d)
{
    return HF_CONTAINER_OF(d, struct disk_posix, base);
}

static int posix_open(struct disk *d,
                      const char *name,
                      int flags,
                      struct disk_file **out)
{
    int dirfd = posix_of(d)->dirfd;
    int o = O_CLOEXEC | O_NOFOLLOW;
    int extra = 0;
    int fd;

    o |= (flags & DISK_WRITE) != 0 ? O_RDWR : O_RDONLY;
    if ((flags & DISK_CREATE) != 0) {
        o |= O_CREAT | ((flags & DISK_TRUNC) != 0 ? O_TRUNC : O_EXCL);
    }
    o |= (flags & DISK_DSYNC) != 0 ? O_DSYNC : 0;
    extra = (flags & DISK_DIRECT) != 0 ? O_DIRECT : 0;
    fd = openat(dirfd, name, o | extra, 0600);
    if (fd < 0 && errno == EINVAL && extra != 0) {
        extra = 0;
        /* The failed open may have made the file. */
        fd = openat(dirfd, name, o & ~O_EXCL, 0600);
    }
    if (fd < 0) {
        return -errno;
    }
    *out = hf_calloc(1, sizeof **out);
    (*out)->head.disk = d;
    (*out)->fd = fd;
    (*out)->direct = extra != 0;
    return 0;
}

static void posix_close(struct disk_file *f)
{
    close(f->fd);
    free(f);
}

/* True when a transfer that failed with EINVAL is to be tried without
 * O_DIRECT: the file system took the flag but wants another alignment. */
static bool direct_given_up(struct disk_file *f)
{
    int fl = fcntl(f->fd, F_GETFL);

    if (!f->direct || fl < 0 || fcntl(f->fd, F_SETFL, fl & ~O_DIRECT) != 0) {
        return false;
    }
    f->direct = false;
    return true;
}

static int64_t posix_pread(struct disk_file *f, void *p, size_t n, uint64_t off)
{
    size_t got = 0;

    while (got < n) {
        ssize_t r = pread(f->fd, (char *)p + got, n - got, (off_t)(off + got));

        if (r < 0 && errno == EINTR) {
            continue;
        }
        if (r < 0 && errno == EINVAL && direct_given_up(f)) {
            continue;
        }
        if (r < 0) {
            return -errno;
        }
        if (r == 0) {
            break;
        }
        got += (size_t)r;
    }
    return (int64_t)got;
}

static int posix_pwrite(struct disk_file *f,
                        const void *p,
                        size_t n,
                        uint64_t off)
{
    size_t put = 0;

    while (put < n) {
        ssize_t r =
            pwrite(f->fd, (const char *)p + put, n - put, (off_t)(off + put));

        if (r < 0 && errno == EINTR) {
            continue;
        }
        if (r < 0 && errno == EINVAL && direct_given_up(f)) {
            continue;
        }
        if (r < 0) {
            return -errno;
        }
        if (r == 0) {
            return -EIO;
        }
        put += (size_t)r;
    }
    return 0;
}

static int posix_sync(struct disk_file *f)
{
    return fdatasync(f->fd) == 0 ? 0 : -errno;
}

static int64_t posix_size(struct disk_file *f)
{
    struct stat st;

    return fstat(f->fd, &st) == 0 ? (int64_t)st.st_size : -errno;
}

static int posix_rename(struct disk *d, const char *from, const char *to)
{
    int fd = posix_of(d)->dirfd;

    return renameat(fd, from, fd, to) == 0 ? 0 : -errno;
}

static int posix_unlink(struct disk *d, const char *name)
{
    return unlinkat(posix_of(d)->dirfd, name, 0) == 0 ? 0 : -errno;
}

static int posix_mkdir(struct disk *d, const char *name)
{
    return mkdirat(posix_of(d)->dirfd, name, 0700) == 0 ? 0 : -errno;
}

static int dir_open(struct disk *d, const char *dir)
{
    return openat(posix_of(d)->dirfd, dir[0] == '\0' ? "." : dir,
                  O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int posix_sync_dir(struct disk *d, const char *dir)
{
    int fd = dir_open(d, dir);
    int rv;

    if (fd < 0) {
        return -errno;
    }
    rv = fsync(fd) == 0 ? 0 : -errno;
    close(fd);
    return rv;
}

static int name_cmp(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names of @dp, allocated; returns how many or -errno. */
static int list_collect(DIR *dp, char **names)
{
    int n = 0;

    for (;;) {
        struct dirent *de;

        errno = 0;
        de = readdir(dp);
        if (de == NULL) {
            return errno == 0 ? n : -errno;
        }
        if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0) {
            continue;
        }
        if (n == LIST_MAX) {
            return -EOVERFLOW;
        }
        names[n++] = hf_strdup(de->d_name);
    }
}

static int posix_list(struct disk *d,
                      const char *dir,
                      int (*cb)(void *data, const char *name),
                      void *data)
{
    char **names;
    int fd = dir_open(d, dir);
    DIR *dp;
    int n;
    int rv = 0;

    if (fd < 0) {
        return -errno;
    }
    dp = fdopendir(fd);
    if (dp == NULL) {
        rv = -errno;
        close(fd);
        return rv;
    }
    names = hf_calloc(LIST_MAX, sizeof *names);
    n = list_collect(dp, names);
    closedir(dp);
    if (n < 0) {
        rv = n;
    } else {
        qsort(names, (size_t)n, sizeof *names, name_cmp);
        for (int i = 0; i < n && rv == 0; i++) {
            rv = cb(data, names[i]);
        }
    }
    for (int i = 0; i < LIST_MAX && names[i] != NULL; i++) {
        free(names[i]);
    }
    free(names);
    return rv;
}

static int64_t posix_room(struct disk *d)
{
    struct statvfs s;

    if (fstatvfs(posix_of(d)->dirfd, &s) != 0) {
        return -errno;
    }
    return (int64_t)(s.f_bavail * s.f_frsize);
}

static int posix_lock(struct disk *d, const char *name)
{
    struct disk_posix *p = posix_of(d);
    int fd = openat(p->dirfd, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    int rv;

    hf_assert(p->lockfd < 0);
    if (fd < 0) {
        return -errno;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        rv = errno == EWOULDBLOCK ? -EAGAIN : -errno;
        close(fd);
        return rv;
    }
    p->lockfd = fd;
    return 0;
}

static const struct disk_ops posix_ops = {
    .open = posix_open,
    .close = posix_close,
    .pread = posix_pread,
    .pwrite = posix_pwrite,
    .sync = posix_sync,
    .size = posix_size,
    .rename = posix_rename,
    .unlink = posix_unlink,
    .mkdir = posix_mkdir,
    .sync_dir = posix_sync_dir,
    .list = posix_list,
    .room = posix_room,
    .lock = posix_lock,
};

int disk_posix_new(const char *path, struct disk **out, int *err_out)
{
    struct disk_posix *p;
    int fd;

    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        *err_out = errno;
        return -1;
    }
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        *err_out = errno;
        return -1;
    }
    p = hf_calloc(1, sizeof *p);
    p->base.ops = &posix_ops;
    p->dirfd = fd;
    p->lockfd = -1;
    *out = &p->base;
    return 0;
}

void disk_posix_free(struct disk *d)
{
    struct disk_posix *p = posix_of(d);

    if (p->lockfd >= 0) {
        close(p->lockfd);
    }
    close(p->dirfd);
    free(p);
}
