#include "raftio/file_int.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mutant.h"

int file_err(struct errmsg *em, int64_t rv, const char *what, const char *name)
{
    int code;

    hf_assert(rv < 0);
    code = hf_err_from_errno((int)-rv);
    return errmsg_set(em, code, "%s %s: %s", what, name, strerror((int)-rv));
}

uint8_t *file_buf(size_t n)
{
    void *p = NULL;
    size_t up = (n + DISK_ALIGN - 1) / DISK_ALIGN * DISK_ALIGN;
    int rv = posix_memalign(&p, DISK_ALIGN, up);

    hf_assert(rv == 0 && p != NULL);
    return p;
}

int64_t file_read_head(struct disk *d, const char *name, void *p, size_t cap)
{
    struct disk_file *f;
    int64_t n = disk_open(d, name, DISK_READ | DISK_DIRECT, &f);

    if (n < 0) {
        return n;
    }
    n = disk_pread(f, p, cap, 0);
    disk_close(f);
    return n;
}

static int replace_content(struct disk *d,
                           const char *tmp,
                           const void *p,
                           size_t n,
                           struct errmsg *em)
{
    struct disk_file *f;
    int rv = disk_open(d, tmp, DISK_WRITE | DISK_CREATE | DISK_TRUNC, &f);

    if (rv < 0) {
        return file_err(em, rv, "create", tmp);
    }
    rv = disk_pwrite(f, p, n, 0);
    if (rv < 0) {
        rv = file_err(em, rv, "write", tmp);
        goto close_file;
    }
    rv = disk_sync(f);
    if (rv < 0) {
        rv = file_err(em, rv, "sync", tmp);
    }
close_file:
    disk_close(f);
    return rv;
}

int file_replace(struct disk *d,
                 const char *tmp,
                 const char *name,
                 const void *p,
                 size_t n,
                 struct errmsg *em)
{
    int rv = replace_content(d, tmp, p, n, em);

    if (rv < 0) {
        goto remove_tmp;
    }
    rv = disk_rename(d, tmp, name);
    if (rv < 0) {
        rv = file_err(em, rv, "rename into", name);
        goto remove_tmp;
    }
    if (mutant(NO_DIR_SYNC)) {
        return 0;
    }
    rv = disk_sync_dir(d, "");
    return rv < 0 ? file_err(em, rv, "sync the directory of", name) : 0;

remove_tmp:
    (void)disk_unlink(d, tmp); /* the next start removes it otherwise */
    return rv;
}
