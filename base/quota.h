/* A bound on log lines about what others do: so many in ten seconds, then
 * one that says how many were left out. */
#ifndef HF_BASE_QUOTA_H
#define HF_BASE_QUOTA_H

#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"

enum { QUOTA_LINES = 20, QUOTA_US = 10000000 };

/* Zeroed by its owner. One per kind of line. */
struct quota {
    uint64_t since_us;
    uint32_t lines;
    uint32_t hidden;
};

/* May one more line be written now? */
static inline bool quota_take(struct quota *q,
                              struct logger *l,
                              uint64_t now_us)
{
    if (q->since_us == 0 || now_us - q->since_us >= QUOTA_US) {
        if (q->hidden > 0) {
            log_warn(l, "%u more lines like the next were left out",
                     (unsigned)q->hidden);
        }
        q->since_us = now_us;
        q->lines = q->hidden = 0;
    }
    if (q->lines < QUOTA_LINES) {
        q->lines++;
        return true;
    }
    q->hidden++;
    return false;
}

#endif
