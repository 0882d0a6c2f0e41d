/* Term and vote on disk: two slots in two files, "vote.a" and "vote.b".
 *
 * Every change writes and syncs slot a, then slot b, and only then returns:
 * whatever one slot suffers, the other tells what was promised. (Alternating
 * slots would let rot in the newest one forget a vote.) */
#ifndef HF_RAFTIO_VOTE_H
#define HF_RAFTIO_VOTE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/disk.h"
#include "base/err.h"
#include "raftio/identity.h"

enum { VOTE_SLOT_BYTES = 4096, VOTE_VERSION = 1 };

struct vote_state {
    uint64_t seq;    /* number of the change */
    uint64_t term;   /* 0 before the first election */
    uint64_t vote;   /* node id voted for in @term; 0 none */
    uint64_t log_no; /* log frames up to this number were durable: a witness
                        for wal_recover(), never newer than the truth */
};

struct vote {
    struct disk *disk;
    struct identity id;
    struct vote_state now; /* what both files hold */
    bool failed;           /* a write failed: the process must end */
    bool repaired;         /* one slot was rewritten at start */
};

/* Read both slots; rewrite a bad, missing or older one from the other.
 * @have_data: a log or snapshot exists; then slots that are both missing are
 * refused too (a voter that forgot its vote can elect two leaders).
 * Blocks. HF_ECORRUPT, HF_EIDENTITY, HF_EVERSION, or the disk's code. */
int vote_open(struct vote *v,
              struct disk *d,
              const struct identity *id,
              bool have_data,
              struct errmsg *em);

/* Make (@term, @vote) durable; returns after the second sync. Called on the
 * loop: it blocks there, a vote must not overtake its sync.
 *
 * @term is never below the stored one (asserted). In the stored term a vote
 * is given once: @vote 0 or the same changes nothing and writes nothing; a
 * second one for another node is asserted against.
 * Any error is final: nothing may leave the node, the process must end. */
int vote_set(struct vote *v,
             uint64_t term,
             uint64_t vote,
             uint64_t log_no,
             struct errmsg *em);

/* Make only the witness for the log durable; nothing if it is no newer than
 * what is stored. Once, before anything of a log is acknowledged of which no
 * witness speaks: else its loss as a whole would go unnoticed. Errors as of
 * vote_set(). */
int vote_note(struct vote *v, uint64_t log_no, struct errmsg *em);

/* Pure halves, for tests and fuzzing. */
void vote_encode(const struct vote_state *s,
                 const struct identity *id,
                 uint8_t out[VOTE_SLOT_BYTES]);
int vote_decode(const uint8_t *p,
                size_t n,
                const char *name,
                const struct identity *id,
                struct vote_state *out,
                struct errmsg *em);

#endif
