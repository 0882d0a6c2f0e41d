/* What the checks of the workloads share. */
#ifndef HF_JEPSEN_CHECK_INT_H
#define HF_JEPSEN_CHECK_INT_H

#include "jepsen-lite/check.h"

/* A violation of workload @w, proved by @ops (any order; copied). */
void found(struct check *c,
           enum workload w,
           const char *anomaly,
           const uint32_t *ops,
           size_t n,
           const char *fmt,
           ...) __attribute__((format(printf, 6, 7)));
/* The same for a circle: @text calls the operations T1, T2, ... as they stand
 * in @ops. */
void found_ring(struct check *c,
                enum workload w,
                const char *anomaly,
                const uint32_t *ops,
                size_t n,
                const char *text);
/* The same with one and with two operations. */
#define found1(c, w, anomaly, a, ...) \
    found(c, w, anomaly, (const uint32_t[]){a}, 1, __VA_ARGS__)
#define found2(c, w, anomaly, a, b, ...) \
    found(c, w, anomaly, (const uint32_t[]){a, b}, 2, __VA_ARGS__)

/* No verdict is possible on @w; the first reason is kept. */
void undecided(struct check *c, enum workload w, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* What was looked at, for people. */
void looked_at(struct check *c, enum workload w, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Numbers of the operations of one key, by time. */
struct group {
    const uint32_t *ops;
    size_t n;
    uint32_t key;
};
struct groups {
    struct group *of;
    size_t n;
    uint32_t *memory;
};
struct groups groups_of(const struct check *c, enum workload w);
void groups_free(struct groups *g);

static inline const struct op *op_of(const struct check *c, uint32_t i)
{
    return &c->h->ops[i];
}
static inline const char *key_of(const struct check *c, const struct op *o)
{
    return history_str(c->h, o->key);
}

/* Seconds between two times, for messages. */
static inline double seconds(int64_t ns)
{
    return (double)ns / 1e9;
}

/* One operation in words ("write \"x\" -> ok"), at most @size bytes. */
void op_words(const struct history *h,
              const struct op *o,
              char *out,
              size_t size);
/* A value in words. */
void val_words(const struct history *h,
               const struct val *v,
               char *out,
               size_t size);
/* The fault in words: family, f, text and nodes. */
void fault_words(const struct history *h,
                 const struct fault *f,
                 char *out,
                 size_t size);

/* Cluster time may run slower or faster than real time by this much while it
 * is slewed. */
enum { SLEW_PER_MILLION = 500 };

/* A majority may have been down at one moment between @from and @to: cluster
 * time was then set anew by wall clocks, and no deadline can be judged. */
bool cold_start(const struct check *c, int64_t from, int64_t to);

/* One key whose only writer counts up, of stale or tracking: bounds of age,
 * sessions that do not go back. Returns how many reads it has. */
size_t check_numbers(struct check *c, enum workload w, const struct group *g);

void check_register(struct check *c);
void check_append(struct check *c);
void check_set(struct check *c);
void check_counter(struct check *c);
void check_bank(struct check *c);
void check_ids(struct check *c);
void check_lock(struct check *c);
void check_stale(struct check *c);
void check_ttl(struct check *c);
void check_feed(struct check *c);
void check_tracking(struct check *c);
void check_watch(struct check *c);
void check_state(struct check *c);

#endif
