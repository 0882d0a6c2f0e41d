/* Cluster time: Unix milliseconds that never go back, run by the leader's
 * boot-time clock.
 *
 * Every message between nodes carries the sender's estimate and its wall
 * clock. A node's estimate is the largest it was told, plus its own elapsed
 * time. A new leader starts from the largest of its log's time and its
 * estimate. Only when nobody has an estimate (a cold start) does it jump
 * forward, to the lower median of the wall clocks of a majority. While it
 * leads, time is slewed toward its wall clock by at most 0.05 %. */
#ifndef HF_NODE_CTIME_H
#define HF_NODE_CTIME_H

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"

struct node;

enum { CTIME_SLEW_PPM = 500 };

struct ctime_wall {
    uint64_t node;
    uint64_t wall_ms;
    uint64_t at_us; /* when it was heard, by our boot clock */
};

struct ctime {
    bool known;       /* an estimate, not only the log's time */
    bool cold;        /* by a cold start that no applied entry tells of yet */
    uint64_t cold_ms; /* where it began */
    uint64_t base_us; /* cluster time in microseconds at @at_us */
    uint64_t at_us;
    struct ctime_wall walls[LIM_NODES];
    unsigned walls_n;
};

/* The estimate now, ms; 0 when there is none. */
uint64_t ctime_estimate(struct node *n);
/* What others are told of it: nothing before the entry of a cold start is
 * applied. If that were lost, the next leader would go on from the new time
 * with nothing in the log to say that the time between was downtime. */
uint64_t ctime_told(struct node *n);
void ctime_observe(struct node *n,
                   uint64_t from,
                   uint64_t estimate_ms,
                   uint64_t wall_ms);
/* This node begins to lead: settle where time goes on from. */
void ctime_lead(struct node *n);
/* It leads no more. */
void ctime_follow(struct node *n);
/* An entry was applied. */
void ctime_applied(struct node *n);
/* The stamp for the next entry, at least @floor_ms. Leader only. */
uint64_t ctime_stamp(struct node *n, uint64_t floor_ms);

#endif
