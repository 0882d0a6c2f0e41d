/* SplitMix64: a small seeded generator for the simulator, jitter and tests.
 * Never for secrets: those come from env_random(). Steele, Lea and Flood,
 * "Fast splittable pseudorandom number generators", OOPSLA 2014. */
#ifndef HF_BASE_RNG_H
#define HF_BASE_RNG_H

#include <stdbool.h>
#include <stdint.h>

struct rng {
    uint64_t s;
};

static inline uint64_t rng_next(struct rng *r)
{
    uint64_t z = (r->s += 0x9E3779B97F4A7C15ULL);

    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31);
}

/* Uniform in 0..n-1; 0 when n is 0. The bias is below n / 2^64. */
static inline uint64_t rng_below(struct rng *r, uint64_t n)
{
    return n == 0 ? 0 : rng_next(r) % n;
}

static inline bool rng_permille(struct rng *r, uint64_t p)
{
    return rng_below(r, 1000) < p;
}

#endif
