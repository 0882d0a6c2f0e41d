/* Micro benchmark of the map and the state machine: one million keys of 16 +
 * 100 bytes in random order. Prints one line a figure. */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/assert.h"
#include "base/rng.h"
#include "server/store/machine.h"

enum { KEYS = 1000000 };

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double rss_mb(void)
{
    FILE *f = fopen("/proc/self/statm", "r");
    long pages = 0;
    long skip = 0;

    if (f == NULL) {
        return 0;
    }
    if (fscanf(f, "%ld %ld", &skip, &pages) != 2) {
        pages = 0;
    }
    fclose(f);
    return (double)pages * 4096 / 1e6;
}

static struct bytes key_of(uint64_t i, char out[24])
{
    snprintf(out, 24, "key:%012llu", (unsigned long long)i);
    return bytes_of(out, 16);
}

static uint64_t *shuffled(void)
{
    uint64_t *a = hf_malloc(KEYS * sizeof *a);
    struct rng r = {42};

    for (uint64_t i = 0; i < KEYS; i++) {
        uint64_t k = rng_below(&r, i + 1);

        a[i] = a[k];
        a[k] = i;
    }
    return a;
}

static void report(const char *what, double from, double n)
{
    double s = now_s() - from;

    printf("%-32s %7.3f s  %7.0f ns each\n", what, s, s / n * 1e9);
}

static void store_all(struct store *s, const uint64_t *order, const char *value)
{
    char k[24];

    for (uint64_t i = 0; i < KEYS; i++) {
        store_begin(s);
        store_put(s, key_of(order[i], k), bytes_of(value, 100), 0);
        store_end(s);
    }
}

static void load_back(const struct buf *stream)
{
    double t = now_s();
    struct machine_load *l = machine_load_begin();
    struct machine *m = NULL;

    for (size_t at = 0; at < stream->n; at += 65536) {
        size_t n = stream->n - at < 65536 ? stream->n - at : 65536;

        hf_assert(machine_load_feed(l, bytes_of(stream->p + at, n), NULL) == 0);
    }
    hf_assert(machine_load_finish(l, &m, NULL) == 0);
    report("load", t, KEYS);
    hf_assert(store_count(machine_store(m)) == KEYS);
    t = now_s();
    machine_free(m);
    report("free", t, KEYS);
}

int main(void)
{
    static char value[200];
    uint64_t *order = shuffled();
    double rss = rss_mb();
    struct machine *m = machine_new();
    struct store *s = machine_store(m);
    struct machine_frozen *f;
    struct buf out = BUF_INIT;
    char k[24];
    double t = now_s();

    store_all(s, order, value);
    report("insert, random order", t, KEYS);
    printf("%-32s %7.1f bytes a key (RSS), %.1f counted\n", "memory",
           (rss_mb() - rss) * 1e6 / KEYS, (double)machine_bytes(m) / KEYS);
    t = now_s();
    for (uint64_t i = 0; i < KEYS; i++) {
        hf_assert(store_get(s, key_of(order[KEYS - 1 - i], k)) != NULL);
    }
    report("get, random", t, KEYS);
    t = now_s();
    store_all(s, order, value + 1);
    report("overwrite, nothing frozen", t, KEYS);
    buf_reserve(&out, 200 << 20);
    t = now_s();
    f = machine_freeze(m);
    printf("%-32s %7.1f us\n", "freeze", (now_s() - t) * 1e6);
    while (machine_snapshot_next(f, &out)) {
    }
    report("stream", t, KEYS);
    t = now_s();
    store_all(s, order, value + 2);
    report("overwrite under a frozen root", t, KEYS);
    printf("%-32s %7.1f MB\n", "held by the root",
           (double)machine_bytes_held(m) / 1e6);
    machine_freeze_release(m, f);
    t = now_s();
    while (machine_free_step(m, 1000)) {
    }
    report("free what it held", t, KEYS);
    load_back(&out);
    buf_release(&out);
    machine_free(m);
    free(order);
    return 0;
}
