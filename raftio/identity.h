/* Who a data directory belongs to: files "lock" and "identity".
 *
 * A blank directory has a directory id only: 16 random bytes made on its
 * first start, never changed, never copied. kv init or joining adds the
 * cluster id, then the node id; both are final. */
#ifndef HF_RAFTIO_IDENTITY_H
#define HF_RAFTIO_IDENTITY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/disk.h"
#include "base/err.h"

enum { IDENTITY_BYTES = 512, IDENTITY_VERSION = 1, ID_BYTES = 16 };

struct identity {
    uint8_t cluster_id[ID_BYTES]; /* zeros: none yet */
    uint8_t dir_id[ID_BYTES];     /* never zeros */
    uint64_t node_id;             /* 0: none yet */
};

static inline bool identity_has_node(const struct identity *id)
{
    return id->node_id != 0;
}

/* Lock the directory for the process's life and read its identity; on the
 * first start make one with @fresh_dir_id (16 unpredictable bytes). Blocks.
 *
 * HF_EBUSY      another process has the directory.
 * HF_ECORRUPT   the identity file is damaged, or missing beside a log, vote
 *               or snapshot.
 * HF_EVERSION   written by a newer version.
 * HF_EACCES, HF_EROFS, HF_ENOSPC, HF_EIO   as the file system said. */
int identity_open(struct disk *d,
                  const uint8_t fresh_dir_id[ID_BYTES],
                  struct identity *out,
                  struct errmsg *em);

/* Store cluster and node id; @node_id 0: not known yet. What is there already
 * must be the same (then nothing is written) or absent, else HF_EIDENTITY.
 * On failure @id and the file are as before. Blocks: four disk calls. */
int identity_assign(struct disk *d,
                    struct identity *id,
                    const uint8_t cluster_id[ID_BYTES],
                    uint64_t node_id,
                    struct errmsg *em);

/* Take back a promise: the cluster id goes, as if it had never been assigned.
 * Only without a node id (asserted). */
int identity_forget(struct disk *d, struct identity *id, struct errmsg *em);

/* Read it again; the directory is locked already. */
int identity_read(struct disk *d, struct identity *out, struct errmsg *em);

/* The member is given up: the directory gets the id @dir_id and is blank from
 * then on (raftio/repair.h moves the member's files aside). */
int identity_renew(struct disk *d,
                   struct identity *id,
                   const uint8_t dir_id[ID_BYTES],
                   struct errmsg *em);

/* Pure halves, for tests and fuzzing. @name goes into messages. */
void identity_encode(const struct identity *id, uint8_t out[IDENTITY_BYTES]);
int identity_decode(const uint8_t *p,
                    size_t n,
                    const char *name,
                    struct identity *out,
                    struct errmsg *em);

/* 33 bytes: 32 hexadecimal digits and NUL. */
void identity_hex(const uint8_t id[ID_BYTES], char out[2 * ID_BYTES + 1]);

#endif
