/* What clients did and saw, checked as it comes and once more at the end.
 *
 * Lists are keys that only APPEND changes, with a tag of HIST_TAG bytes per
 * operation: the value then tells the whole order of the operations that
 * were applied. From it follow, per key: nothing acknowledged lost, "not
 * applied" never said of what was, exactly once, writes and reads in an
 * order that agrees with real time (linearizable), stale reads within their
 * bound. Pairs are two lists that are only changed together.
 *
 * Counters are changed by INCR only, registers by SET with unique values,
 * timed keys by SET with PX.
 *
 * Times are virtual microseconds of the observer, who sees all. */
#ifndef HF_TESTS_SIM_HISTORY_H
#define HF_TESTS_SIM_HISTORY_H

#include "base/bytes.h"
#include "tests/sim/check.h"

enum { HIST_TAG = 9 };

struct hist;

struct hist *hist_new(struct check *c);
void hist_free(struct hist *h);

enum hist_kind { HIST_LIST, HIST_COUNTER, HIST_REG, HIST_TIMED };

/* A new key, with a number of its own for the calls below. */
uint32_t hist_key(struct hist *h, enum hist_kind kind);

/* A change of @key begins; returns its operation. */
uint32_t hist_begin(struct hist *h, uint32_t key, uint64_t now);
/* The tag of @op, without NUL: "~" and 8 hexadecimal digits. */
void hist_tag(uint32_t op, char tag[HIST_TAG]);
/* Its end: certainly not applied; or nobody knows. */
void hist_not_applied(struct hist *h, uint32_t op, uint64_t now);
void hist_unknown(struct hist *h, uint32_t op, uint64_t now);
/* Lists: the reply was the value's new length. */
void hist_append_ok(struct hist *h, uint32_t op, uint64_t now, int64_t len);
/* Counters: the reply was the new count. */
void hist_incr_ok(struct hist *h, uint32_t op, uint64_t now, int64_t count);
/* Registers and timed keys. */
void hist_set_ok(struct hist *h, uint32_t op, uint64_t now);

/* A read of a list that began at @began and is answered @now with @v; it may
 * be @age_us old at most (0: linearizable). */
void hist_list_read(struct hist *h,
                    uint32_t key,
                    uint64_t began,
                    uint64_t now,
                    uint64_t age_us,
                    struct bytes v);
/* Both lists of a pair, read at one moment. */
void hist_pair_read(struct hist *h,
                    uint32_t a,
                    uint32_t b,
                    struct bytes va,
                    struct bytes vb);
/* A linearizable read of a register; @v.p NULL: absent. */
void hist_reg_read(struct hist *h,
                   uint32_t key,
                   uint64_t began,
                   uint64_t now,
                   struct bytes v);
/* A timed key was set by @op to live @ttl_us. */
void hist_timed_set(struct hist *h, uint32_t op, uint64_t ttl_us);
/* @warm_us: since then there was no cold start of the cluster: time may have
 * stood still for keys set before. @ever_cold: there was one, and a machine
 * that slept through it may make time jump forward at any later change of
 * leaders. */
void hist_timed_read(struct hist *h,
                     uint32_t key,
                     uint64_t began,
                     uint64_t now,
                     struct bytes v,
                     uint64_t warm_us,
                     bool ever_cold);

/* The deadline of @op, acknowledged now, by cluster time in ms: it is within
 * these. */
void hist_timed_deadline(struct hist *h,
                         uint32_t op,
                         uint64_t earliest_ms,
                         uint64_t latest_ms);
/* A linearizable read of a timed key began at @began us, when whoever leads
 * was at @certain_ms or later, and ended when nobody was beyond
 * @latest_ms. */
void hist_timed_clocks(struct hist *h,
                       uint32_t key,
                       uint64_t began,
                       uint64_t certain_ms,
                       uint64_t latest_ms,
                       bool there);

/* The value of each key after everything has settled, with no operation
 * running. */
void hist_list_final(struct hist *h, uint32_t key, struct bytes v);
void hist_counter_final(struct hist *h, uint32_t key, int64_t count);

uint64_t hist_acknowledged(const struct hist *h);
uint64_t hist_unknowns(const struct hist *h);
uint64_t hist_refused(const struct hist *h);
uint64_t hist_reads(const struct hist *h);

#endif
