/* A disk in memory for tests and the simulator: struct disk of base/disk.h.
 *
 * Each file has two contents: what readers see (volatile) and what a power
 * cut leaves at least (durable). A write touches only the first, per sector
 * of 512 bytes; disk_sync() and DISK_DSYNC writes move the file's sectors to
 * the second. Directory entries (create, rename, unlink, mkdir) live twice in
 * the same way; disk_sync_dir() makes those of one directory durable.
 *
 * One per node; it outlives the node's restarts. Files that were open when
 * the node died stay valid memory: closing them is allowed, everything else
 * on them fails with -EIO. One thread. Everything is deterministic. */
#ifndef HF_TESTS_SIM_DISK_SIM_H
#define HF_TESTS_SIM_DISK_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/disk.h"

struct disk *disk_sim_new(void);
/* No file may be open (stale ones excepted). */
void disk_sim_free(struct disk *d);
/* A disk with the same contents; no faults, no open files, no lock. */
struct disk *disk_sim_clone(struct disk *d);
/* A disk in the same state, what is not durable included: what a power cut
 * may leave of @d can be tried on it. No faults, no open files, no lock. */
struct disk *disk_sim_twin(struct disk *d);

/* ---- the node dies ---- */
/* Power cut: each unsynced sector is kept, dropped or torn (half new, half
 * old), each unsynced directory entry kept or lost, by @seed. Locks fall,
 * armed faults are cleared, open files become stale. */
void disk_sim_crash(struct disk *d, uint64_t seed);
/* Only the process died: what was written stays, synced or not. */
void disk_sim_kill(struct disk *d);
/* The directory's content is gone, as after rm -r and a sync. */
void disk_sim_wipe(struct disk *d);

/* ---- faults ---- */
/* Calls so far. Counted: open, pread, pwrite, sync, size, rename, unlink,
 * mkdir, sync_dir, list, room, lock; not close. */
uint64_t disk_sim_calls(const struct disk *d);
/* Calls of those that change something (open with CREATE, pwrite, sync,
 * rename, unlink, mkdir, sync_dir). */
uint64_t disk_sim_changes(const struct disk *d);
/* After @k more changing calls the power is gone: each further one succeeds
 * without effect, until disk_sim_crash(). UINT64_MAX: never. */
void disk_sim_dies_after(struct disk *d, uint64_t k);
/* True once such a call was swallowed. */
bool disk_sim_dead(const struct disk *d);
/* Call number @k from now (1 = the next) of those that change something
 * fails with -@err. A write that fails has written a seeded part of its
 * sectors. @sticky: every later change fails too. */
void disk_sim_fail_at(struct disk *d, uint64_t k, int err, bool sticky);
/* The same for reading calls (open without CREATE, pread, size, list). */
void disk_sim_fail_read_at(struct disk *d, uint64_t k, int err);
/* In the middle of every changing call, when readers would see what it does
 * and nothing of it is durable yet: the moment at which power may fail. @cb
 * may make twins and use them, arm faults, set the room; not use @d's files.
 * NULL: none. */
void disk_sim_on_change(struct disk *d, void (*cb)(void *data), void *data);
/* A write that fails leaves any number of its bytes, not whole sectors. */
void disk_sim_set_short(struct disk *d, uint64_t seed);
/* Bytes that files may take in all; writes that grow beyond get -ENOSPC. */
void disk_sim_set_room(struct disk *d, uint64_t bytes);
/* Flip one bit of a file, volatile and durable. -ENOENT, -EINVAL (beyond its
 * end) or 0. */
int disk_sim_flip(struct disk *d, const char *name, uint64_t bit);
/* Cut a file to @n bytes, volatile and durable. */
int disk_sim_cut(struct disk *d, const char *name, uint64_t n);
/* Change names, durably: @a and @b trade places; @name is gone; @name is what
 * @other of another disk is. -ENOENT or 0. */
int disk_sim_swap(struct disk *d, const char *a, const char *b);
int disk_sim_lose(struct disk *d, const char *name);
int disk_sim_replace(struct disk *d,
                     const char *name,
                     struct disk *from,
                     const char *other);

/* ---- looking in ---- */
int64_t disk_sim_size(struct disk *d, const char *name);
bool disk_sim_exists(struct disk *d, const char *name);
uint64_t disk_sim_used(const struct disk *d); /* bytes of all files */

/* ---- time ---- */
/* Cost of a sync and of a MiB moved, in microseconds; 100 and 1000 at first.
 * The simulator multiplies them for slow disks. */
void disk_sim_set_cost(struct disk *d, uint64_t sync_us, uint64_t mib_us);
/* Microseconds that the calls since the last take would have lasted. */
uint64_t disk_sim_take_cost_us(struct disk *d);

#endif
