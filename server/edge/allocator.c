#include "server/edge/allocator.h"

#ifdef HF_JEMALLOC

#include <jemalloc/jemalloc.h>
#include <stdio.h>

#define TEXT_OF(x) #x
#define NUMBER(x) TEXT_OF(x)

const char *allocator_name(void)
{
    return "jemalloc-" NUMBER(JEMALLOC_VERSION_MAJOR) "." NUMBER(
        JEMALLOC_VERSION_MINOR) "." NUMBER(JEMALLOC_VERSION_BUGFIX);
}

void allocator_purge(void)
{
    (void)mallctl("thread.tcache.flush", NULL, NULL, NULL, 0);
    (void)mallctl("arena." NUMBER(MALLCTL_ARENAS_ALL) ".purge", NULL, NULL,
                  NULL, 0);
}

static size_t told(const char *name)
{
    size_t v = 0;
    size_t n = sizeof v;

    return mallctl(name, &v, &n, NULL, 0) == 0 ? v : 0;
}

void allocator_stats(struct buf *text)
{
    uint64_t epoch = 1;

    /* The numbers are of the last epoch. */
    (void)mallctl("epoch", NULL, NULL, &epoch, sizeof epoch);
    buf_printf(text,
               "allocated %zu, active %zu, resident %zu, retained %zu, of "
               "its own %zu\n",
               told("stats.allocated"), told("stats.active"),
               told("stats.resident"), told("stats.retained"),
               told("stats.metadata"));
}

#else

#include <malloc.h>

const char *allocator_name(void)
{
    return "libc";
}

void allocator_purge(void)
{
    (void)malloc_trim(0);
}

void allocator_stats(struct buf *text)
{
    struct mallinfo2 m = mallinfo2();

    buf_printf(text,
               "allocated %zu, free in arenas %zu, arenas %zu, mapped alone "
               "%zu (%zu pieces), could be given back %zu\n",
               m.uordblks, m.fordblks, m.arena, m.hblkhd, m.hblks, m.keepcost);
}

#endif
