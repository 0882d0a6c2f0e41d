/* What the nemesis tells libraries that are preloaded into a node
 * (diskfault.c, clockshift.c), and what they tell it: one file a node, mapped
 * by all. It outlives the node; each field is read and written on its own. */
#ifndef HF_JEPSEN_PRELOAD_H
#define HF_JEPSEN_PRELOAD_H

#include <stdint.h>

struct fault_ctl {
    int64_t clock_ns; /* added to every reading of the wall clock */
    int32_t stall;    /* 1: writes and syncs wait until it is 0 */
    int32_t full;     /* 1: ENOSPC for what needs new space */
    int32_t once;     /* an errno for the next write or sync; taken back */
    int32_t readonly; /* 1: EROFS for every change */
    uint64_t shifted; /* readings with clock_ns */
    uint64_t stalled; /* calls that waited */
    uint64_t refused; /* calls that got an errno */
};

/* Names in the environment of the node. */
#define FAULT_CTL_ENV "HF_FAULT_CTL" /* the file */
#define FAULT_DIR_ENV "HF_FAULT_DIR" /* the data directory */

#define CTL_GET(c, field) __atomic_load_n(&(c)->field, __ATOMIC_RELAXED)
#define CTL_SET(c, field, v) \
    __atomic_store_n(&(c)->field, (v), __ATOMIC_RELAXED)
#define CTL_COUNT(c, field) __atomic_fetch_add(&(c)->field, 1, __ATOMIC_RELAXED)

#endif
