/* A histogram of latencies in constant memory: log-linear buckets, as in
 * HdrHistogram (Tene, "How NOT to measure latency"). Each power of two is cut
 * into HIST_STEPS buckets of equal width, so that a bucket's upper end is less
 * than 1/128 (0.8 %) above every value in it; values below HIST_STEPS
 * microseconds are exact. Private to kv.
 *
 * Values are microseconds. 0 counts as 1, what is over HIST_MAX_US as that;
 * the largest and the sum are kept as they are. */
#ifndef HF_CLIENT_KV_HIST_H
#define HF_CLIENT_KV_HIST_H

#include <stddef.h>
#include <stdint.h>

enum {
    HIST_STEPS_LOG = 7,
    HIST_STEPS = 1 << HIST_STEPS_LOG,
    HIST_TOP_LOG = 32, /* values have at most so many bits */
    HIST_BUCKETS = (HIST_TOP_LOG - HIST_STEPS_LOG + 1) * HIST_STEPS
};

#define HIST_MAX_US UINT64_C(3600000000) /* an hour */

/* All zero: empty. */
struct hist {
    uint64_t n;
    uint64_t sum_us;
    uint64_t max_us;
    uint64_t counts[HIST_BUCKETS];
};

void hist_add(struct hist *h, uint64_t us);

/* As if what @from holds had been added to @to one by one. */
void hist_merge(struct hist *to, const struct hist *from);

/* The smallest upper end of a bucket that at least @ppm millionths of the
 * values do not exceed (999000: p99.9), and never more than the largest value.
 * 0 when there are no values. */
uint64_t hist_percentile(const struct hist *h, uint32_t ppm);

/* 0 when there are no values. */
double hist_mean_us(const struct hist *h);

/* The largest value that falls into bucket @i, @i < HIST_BUCKETS. */
uint64_t hist_bucket_top_us(size_t i);

#endif
