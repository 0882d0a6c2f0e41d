/* Small helpers over base/disk.h, for this folder only. */
#ifndef HF_RAFTIO_FILE_INT_H
#define HF_RAFTIO_FILE_INT_H

#include <stddef.h>
#include <stdint.h>

#include "base/disk.h"
#include "base/err.h"

/* Translate -errno @rv of @what on file @name: fills @em with the system's
 * own words and returns the HF_ code. */
int file_err(struct errmsg *em, int64_t rv, const char *what, const char *name);

/* Memory aligned for DISK_DIRECT; free() it. @n is rounded up. */
uint8_t *file_buf(size_t n);

/* Read at most @cap bytes of @name from its start into @p (file_buf()),
 * past the page cache. The count, or -errno. */
int64_t file_read_head(struct disk *d, const char *name, void *p, size_t cap);

/* Replace @name by @n bytes: @tmp written, synced, renamed, top directory
 * synced. A crash leaves the old or the new content. */
int file_replace(struct disk *d,
                 const char *tmp,
                 const char *name,
                 const void *p,
                 size_t n,
                 struct errmsg *em);

#endif
