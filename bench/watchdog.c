/* watchdog: stalls of the whole machine, seen by a process that does nothing
 * but sleep.
 *
 *   watchdog [LIMIT_MS]
 *
 * Sleeps 10 ms again and again; each sleep that took LIMIT_MS (100) longer is
 * a line "END LATE": when it ended (ms of the monotonic clock, as the first
 * field of /proc/uptime) and by how many ms it was late. Ends at SIGTERM with
 * status 0. */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { SLEEP_MS = 10 };

static volatile sig_atomic_t stopping;

static void on_term(int sig)
{
    (void)sig;
    stopping = 1;
}

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int main(int argc, char **argv)
{
    const struct timespec nap = {0, SLEEP_MS * 1000000L};
    long limit = argc > 1 ? atol(argv[1]) : 100;
    int64_t from = now_ms();

    if (limit < 1) {
        fprintf(stderr, "usage: watchdog [LIMIT_MS]\n");
        return 2;
    }
    signal(SIGTERM, on_term);
    signal(SIGINT, on_term);
    while (!stopping) {
        int64_t now;

        nanosleep(&nap, NULL);
        now = now_ms();
        if (now - from - SLEEP_MS > limit) {
            printf("%lld %lld\n", (long long)now,
                   (long long)(now - from - SLEEP_MS));
            fflush(stdout);
        }
        from = now;
    }
    return 0;
}
