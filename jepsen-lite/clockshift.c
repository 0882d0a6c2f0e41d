/* clockshift.so: preloaded into a node, it moves the wall clock that the node
 * reads by fault_ctl.clock_ns (preload.h). The monotonic clock stays: a
 * machine's own does not step either. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "jepsen-lite/preload.h"

static struct fault_ctl *ctl;
static int (*real_clock_gettime)(clockid_t, struct timespec *);

static void find_real(void)
{
    void *p = dlsym(RTLD_NEXT, "clock_gettime");

    if (p == NULL) {
        abort();
    }
    memcpy(&real_clock_gettime, &p, sizeof p);
}

__attribute__((constructor)) static void clockshift_start(void)
{
    const char *path = getenv(FAULT_CTL_ENV);
    void *p;
    int fd;

    find_real();
    fd = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        return;
    }
    p = mmap(NULL, sizeof *ctl, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (p != MAP_FAILED) {
        ctl = p;
    }
}

int clock_gettime(clockid_t clock, struct timespec *ts)
{
    enum { SECOND = 1000000000 };
    int64_t by, ns;
    int rv;

    if (real_clock_gettime == NULL) {
        /* Before the constructor, which opens a file: an allocator that sets
         * itself up asks for the time, and what else is preloaded cannot
         * open yet. */
        find_real();
    }
    rv = real_clock_gettime(clock, ts);
    if (rv != 0 || ctl == NULL ||
        (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE)) {
        return rv;
    }
    by = CTL_GET(ctl, clock_ns);
    if (by != 0) {
        ns = ts->tv_nsec + by % SECOND;
        ts->tv_sec += by / SECOND;
        if (ns < 0) {
            ns += SECOND;
            ts->tv_sec--;
        } else if (ns >= SECOND) {
            ns -= SECOND;
            ts->tv_sec++;
        }
        ts->tv_nsec = ns;
        CTL_COUNT(ctl, shifted);
    }
    return rv;
}

int gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
    struct timespec ts;
    int rv = clock_gettime(CLOCK_REALTIME, &ts);

    (void)zone;
    tv->tv_sec = ts.tv_sec;
    tv->tv_usec = ts.tv_nsec / 1000;
    return rv;
}

time_t time(time_t *out)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_REALTIME, &ts);
    if (out != NULL) {
        *out = ts.tv_sec;
    }
    return ts.tv_sec;
}
