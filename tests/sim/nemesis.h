/* What goes wrong, by seed: the network, processes, machines, disks, clocks,
 * membership. All of it within what the cluster promises to survive: never
 * more than a minority of disks is lost. */
#ifndef HF_TESTS_SIM_NEMESIS_H
#define HF_TESTS_SIM_NEMESIS_H

#include "tests/sim/cluster.h"
#include "tests/sim/workload.h"

struct nemesis;

/* Begins now; a fault every @gap_us on average until nemesis_heal(). */
struct nemesis *nemesis_new(struct sim *s,
                            struct cluster *cl,
                            struct workload *w,
                            struct check *c,
                            uint64_t gap_us,
                            bool verbose);
/* No more faults; the network is whole, everything is started. */
void nemesis_heal(struct nemesis *n);
uint64_t nemesis_rots(const struct nemesis *n); /* damaged directories */
uint64_t nemesis_faults(const struct nemesis *n);
void nemesis_free(struct nemesis *n);

#endif
