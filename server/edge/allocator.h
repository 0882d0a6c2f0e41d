/* The allocator of the process: jemalloc where it was built with it
 * (configure, --with-jemalloc), or the C library's. */
#ifndef HF_SERVER_EDGE_ALLOCATOR_H
#define HF_SERVER_EDGE_ALLOCATOR_H

#include "base/bytes.h"

/* As INFO tells it: "jemalloc-5.3.0", "libc". */
const char *allocator_name(void);

/* Unused memory goes back to the system. */
void allocator_purge(void);

/* What it says of itself, one line. */
void allocator_stats(struct buf *text);

#endif
