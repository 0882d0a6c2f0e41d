/* Damage to the files of a data directory, as rot, a careless hand or a bad
 * disk leaves it: only such that a node can tell from an unfinished write. */
#ifndef HF_TESTS_SIM_ROT_H
#define HF_TESTS_SIM_ROT_H

#include <stddef.h>

#include "base/disk.h"
#include "base/rng.h"

enum { ROT_TEXT = 96 };

/* The power is off. Spoils something; false: nothing there to spoil. @what
 * says what was done. */
bool rot_apply(struct disk *d, struct rng *g, char what[ROT_TEXT]);

#endif
