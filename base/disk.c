#include "base/disk.h"

#include "base/assert.h"

static struct disk *disk_of(const struct disk_file *f)
{
    return ((const struct disk_file_head *)(const void *)f)->disk;
}

int disk_open(struct disk *d,
              const char *name,
              int flags,
              struct disk_file **out)
{
    return d->ops->open(d, name, flags, out);
}

void disk_close(struct disk_file *f)
{
    if (f != NULL) {
        disk_of(f)->ops->close(f);
    }
}

int64_t disk_pread(struct disk_file *f, void *p, size_t n, uint64_t off)
{
    return disk_of(f)->ops->pread(f, p, n, off);
}

int disk_pwrite(struct disk_file *f, const void *p, size_t n, uint64_t off)
{
    return disk_of(f)->ops->pwrite(f, p, n, off);
}

int disk_sync(struct disk_file *f)
{
    return disk_of(f)->ops->sync(f);
}

int64_t disk_size(struct disk_file *f)
{
    return disk_of(f)->ops->size(f);
}

int disk_rename(struct disk *d, const char *from, const char *to)
{
    return d->ops->rename(d, from, to);
}

int disk_unlink(struct disk *d, const char *name)
{
    return d->ops->unlink(d, name);
}

int disk_mkdir(struct disk *d, const char *name)
{
    return d->ops->mkdir(d, name);
}

int disk_sync_dir(struct disk *d, const char *dir)
{
    return d->ops->sync_dir(d, dir);
}

int disk_list(struct disk *d,
              const char *dir,
              int (*cb)(void *data, const char *name),
              void *data)
{
    return d->ops->list(d, dir, cb, data);
}

int64_t disk_room(struct disk *d)
{
    return d->ops->room(d);
}

int disk_lock(struct disk *d, const char *name)
{
    return d->ops->lock(d, name);
}
