#include "raftio/pace.h"

#include <string.h>

#include "base/assert.h"
#include "base/mutant.h"

void pace_init(struct pace *p, uint64_t base_ms, uint64_t limit_ms)
{
    hf_assert(base_ms > 0 && base_ms <= limit_ms);
    memset(p, 0, sizeof *p);
    p->base_ms = base_ms;
    p->limit_ms = limit_ms;
}

void pace_note(struct pace *p, uint64_t now_ms, uint64_t silence_ms)
{
    uint64_t slot = now_ms / PACE_SLOT_MS;
    uint64_t *max;

    if (silence_ms > p->limit_ms && !mutant(PACE_OUTAGE)) {
        return;
    }
    for (uint64_t i = slot; i > p->slot && slot - i < PACE_SLOTS; i--) {
        p->max_ms[i % PACE_SLOTS] = 0;
    }
    p->slot = slot > p->slot ? slot : p->slot;
    max = &p->max_ms[p->slot % PACE_SLOTS];
    *max = silence_ms > *max ? silence_ms : *max;
}

uint64_t pace_timeout(const struct pace *p, uint64_t now_ms)
{
    uint64_t slot = now_ms / PACE_SLOT_MS;
    uint64_t max = 0;
    uint64_t ms;

    for (unsigned i = 0; i < PACE_SLOTS; i++) {
        /* The slot number that max_ms[i] belongs to. */
        uint64_t age = (p->slot - i) % PACE_SLOTS;
        uint64_t old = slot - p->slot + age;

        if ((old < PACE_SLOTS || mutant(PACE_KEPT)) && p->max_ms[i] > max) {
            max = p->max_ms[i];
        }
    }
    if (mutant(PACE_FIXED)) {
        return p->base_ms;
    }
    ms = max * PACE_FACTOR;
    ms = ms < p->base_ms ? p->base_ms : ms;
    return ms > p->limit_ms && !mutant(PACE_UNBOUNDED) ? p->limit_ms : ms;
}
