/* The disk half of the seam: one data directory. Two implementations:
 * base/disk_posix.c (real) and tests/sim/disk_sim.c (volatile and durable
 * state per 512-byte sector, every fault by seed).
 *
 * All calls are synchronous and may block: on the loop only for the vote
 * file and during start; otherwise from env_work.fn. Different files may be
 * used from different threads at once. Names are relative to the data
 * directory, with at most one '/'. Every call returns 0 (or a count) or
 * -errno: the caller sees exactly what the kernel said. */
#ifndef HF_BASE_DISK_H
#define HF_BASE_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct disk;
struct disk_file;

enum disk_open_flags {
    DISK_READ = 0,
    DISK_WRITE = 1,  /* read and write */
    DISK_CREATE = 2, /* must not exist; mode 0600 */
    DISK_TRUNC = 4,  /* with CREATE: an old one is emptied instead */
    DISK_DIRECT = 8, /* bypass the page cache where the file system can;
                        buffers, offsets, lengths then in 4096s/512s */
    DISK_DSYNC = 16, /* each write is synced on return */
};

enum { DISK_SECTOR = 512, DISK_ALIGN = 4096, DISK_NAME_MAX = 64 };

struct disk_ops {
    int (*open)(struct disk *d,
                const char *name,
                int flags,
                struct disk_file **out);
    void (*close)(struct disk_file *f);
    /* Whole transfer or -errno; a short write is retried inside until it
     * fails. pread returns the bytes read, short only at end of file. */
    int64_t (*pread)(struct disk_file *f, void *p, size_t n, uint64_t off);
    int (*pwrite)(struct disk_file *f, const void *p, size_t n, uint64_t off);
    int (*sync)(struct disk_file *f); /* data and size: fdatasync */
    int64_t (*size)(struct disk_file *f);
    int (*rename)(struct disk *d, const char *from, const char *to);
    int (*unlink)(struct disk *d, const char *name);
    int (*mkdir)(struct disk *d, const char *name);   /* -EEXIST if there */
    int (*sync_dir)(struct disk *d, const char *dir); /* "" is the top */
    /* Calls @cb for each entry of @dir in name order, "." and ".." left out;
     * stops when @cb returns non-zero and returns that. */
    int (*list)(struct disk *d,
                const char *dir,
                int (*cb)(void *data, const char *name),
                void *data);
    /* Bytes an unprivileged writer can still allocate. */
    int64_t (*room)(struct disk *d);
    /* Exclusive lock for the process's life; -EAGAIN when held elsewhere. */
    int (*lock)(struct disk *d, const char *name);
};

struct disk {
    const struct disk_ops *ops;
};

struct disk_file_head {
    struct disk *disk;
};
/* Implementations' struct disk_file begins with struct disk_file_head. */

int disk_open(struct disk *d,
              const char *name,
              int flags,
              struct disk_file **out);
void disk_close(struct disk_file *f); /* NULL is allowed */
int64_t disk_pread(struct disk_file *f, void *p, size_t n, uint64_t off);
int disk_pwrite(struct disk_file *f, const void *p, size_t n, uint64_t off);
int disk_sync(struct disk_file *f);
int64_t disk_size(struct disk_file *f);
int disk_rename(struct disk *d, const char *from, const char *to);
int disk_unlink(struct disk *d, const char *name);
int disk_mkdir(struct disk *d, const char *name);
int disk_sync_dir(struct disk *d, const char *dir);
int disk_list(struct disk *d,
              const char *dir,
              int (*cb)(void *data, const char *name),
              void *data);
int64_t disk_room(struct disk *d);
int disk_lock(struct disk *d, const char *name);

/* The real one, over directory @path (made if missing, mode 0700). Free with
 * disk_posix_free(). */
int disk_posix_new(const char *path, struct disk **out, int *err_out);
void disk_posix_free(struct disk *d);

#endif
