/* What is on disk of the repair of a data directory: file "repair", and
 * directory "damaged" with what was moved aside (docs/ARCHITECTURE.md has the
 * whole course).
 *
 *   LOG   same id. A snapshot that covers every index the log ever held is
 *         durable; the log is void.
 *           MOVE    files of the log and other snapshots go to damaged/
 *           EMPTY   they have gone; the new log is not on disk yet
 *   NEW   the directory becomes another member: until the identity file has
 *         the fresh directory id nothing has been decided; from then on all
 *         of the old member's files go to damaged/.
 *
 * Every step may be repeated after a crash. All functions block and touch
 * only the disk and their arguments. */
#ifndef HF_RAFTIO_REPAIR_H
#define HF_RAFTIO_REPAIR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/disk.h"
#include "base/err.h"
#include "raftio/identity.h"

enum {
    REPAIR_BYTES = 512, /* of the file */
    REPAIR_VERSION = 1,
    REPAIR_KEEP = 3,        /* repairs whose old files are kept */
    REPAIR_FILES_MAX = 4096 /* files moved in one go */
};

enum repair_kind { REPAIR_NONE = 0, REPAIR_LOG = 1, REPAIR_NEW = 2 };
enum repair_step { REPAIR_ASK = 1, REPAIR_MOVE = 2, REPAIR_EMPTY = 3 };

struct repair_mark {
    enum repair_kind kind;
    enum repair_step step;
    uint64_t stamp;      /* names the files moved aside: damaged/<stamp>-* */
    struct identity old; /* of the damaged member */
    uint8_t dir_id[ID_BYTES]; /* NEW: of the member to be */
    uint64_t index;           /* LOG: of the snapshot that covers the log */
    uint64_t term;
    uint64_t log_no; /* LOG: frames of the new log come after it */
};

/* kind is REPAIR_NONE when there is no such file. HF_ECORRUPT, HF_EVERSION:
 * refuse. */
int repair_read(struct disk *d, struct repair_mark *m, struct errmsg *em);
/* Durable on return. */
int repair_write(struct disk *d,
                 const struct repair_mark *m,
                 struct errmsg *em);
int repair_clear(struct disk *d, struct errmsg *em);

/* A stamp later than those in use, from @wall_s (Unix time). */
int repair_stamp(struct disk *d,
                 uint64_t wall_s,
                 uint64_t *out,
                 struct errmsg *em);

/* LOG: move the log's segments, and all snapshots but that of the mark; drop
 * prepared segments. Older stamps beyond REPAIR_KEEP go for good. */
int repair_move_log(struct disk *d,
                    const struct repair_mark *m,
                    struct errmsg *em);
/* NEW: move all that made the old member: log, snapshots, votes; a copy of
 * its identity goes with them. */
int repair_move_all(struct disk *d,
                    const struct repair_mark *m,
                    struct errmsg *em);

/* Pure halves, for tests and fuzzing. */
void repair_encode(const struct repair_mark *m, uint8_t out[REPAIR_BYTES]);
int repair_decode(const uint8_t *p,
                  size_t n,
                  struct repair_mark *m,
                  struct errmsg *em);

#endif
