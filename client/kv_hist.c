#include "client/kv_hist.h"

#include "base/assert.h"
#include "base/mutant.h"

static size_t bucket_of(uint64_t us)
{
    unsigned shift;

    if (us < HIST_STEPS) {
        return (size_t)us;
    }
    shift = (unsigned)(63 - __builtin_clzll(us)) - HIST_STEPS_LOG;
    return ((size_t)shift + 1) * HIST_STEPS + (size_t)(us >> shift) -
           HIST_STEPS;
}

uint64_t hist_bucket_top_us(size_t i)
{
    uint64_t step = HIST_STEPS + i % HIST_STEPS;

    hf_assert(i < HIST_BUCKETS);
    if (i < HIST_STEPS) {
        return i;
    }
    if (mutant(CLIENT_HIST_LOW_END)) {
        return step << (i / HIST_STEPS - 1);
    }
    return ((step + 1) << (i / HIST_STEPS - 1)) - 1;
}

void hist_add(struct hist *h, uint64_t us)
{
    uint64_t in = us == 0 ? 1 : us > HIST_MAX_US ? HIST_MAX_US : us;

    h->counts[bucket_of(in)]++;
    h->n++;
    h->sum_us += us;
    if (us > h->max_us) {
        h->max_us = us;
    }
}

void hist_merge(struct hist *to, const struct hist *from)
{
    for (size_t i = 0; i < HIST_BUCKETS; i++) {
        to->counts[i] += from->counts[i];
    }
    to->n += from->n;
    to->sum_us += from->sum_us;
    if (from->max_us > to->max_us && !mutant(CLIENT_HIST_MERGE_MAX)) {
        to->max_us = from->max_us;
    }
}

uint64_t hist_percentile(const struct hist *h, uint32_t ppm)
{
    /* By the nearest rank, the first being 1; in parts, so that no product
     * wraps. */
    uint64_t rank =
        h->n / 1000000 * ppm + (h->n % 1000000 * ppm + 999999) / 1000000;
    uint64_t seen = 0;

    hf_assert(ppm <= 1000000);
    rank = rank == 0 ? 1 : rank;
    for (size_t i = 0; i < HIST_BUCKETS && h->n > 0; i++) {
        seen += h->counts[i];
        if (seen >= rank) {
            uint64_t top = hist_bucket_top_us(i);

            return top < h->max_us || h->max_us > HIST_MAX_US ? top : h->max_us;
        }
    }
    return 0;
}

double hist_mean_us(const struct hist *h)
{
    return h->n == 0 ? 0 : (double)h->sum_us / (double)h->n;
}
