/* How long to wait for a sign of life before taking silence for an end: as
 * configured on a good wire, longer on one that has lately been silent for a
 * while and then spoke again (loss, retransmissions, jitter). In the spirit of
 * accrual failure detection (Hayashibara et al. 2004), with a maximum in place
 * of a fitted distribution: silences by retransmission come in few sizes.
 *
 * Times are milliseconds of one monotonic clock. Pure. */
#ifndef HF_RAFTIO_PACE_H
#define HF_RAFTIO_PACE_H

#include <stdint.h>

enum {
    PACE_FACTOR = 3,    /* patience, in recent longest silences */
    PACE_SLOTS = 4,     /* of PACE_SLOT_MS each, the last one growing: */
    PACE_SLOT_MS = 8000 /* a silence is forgotten after 24 to 32 s */
};

struct pace {
    uint64_t base_ms;  /* never less patience than this */
    uint64_t limit_ms; /* never more; a longer silence was an outage, of which
                          nothing is learned */
    uint64_t slot;     /* number of the newest */
    uint64_t max_ms[PACE_SLOTS];
};

void pace_init(struct pace *p, uint64_t base_ms, uint64_t limit_ms);
/* A silence of @silence_ms has ended. */
void pace_note(struct pace *p, uint64_t now_ms, uint64_t silence_ms);
/* What to wait now: base_ms to limit_ms. */
uint64_t pace_timeout(const struct pace *p, uint64_t now_ms);

#endif
