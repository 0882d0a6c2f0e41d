/* Snapshot files: directory "snap". docs/FORMATS.md has the bytes.
 *
 * A file is header (index, term, configuration), 64 KiB pieces of one LZ4
 * frame, each with its checksum, footer (length, hash of everything). It gets
 * its final name only when synced; what has the final name is whole, or
 * damaged by the disk, and then the node refuses to start.
 *
 * All functions block and touch only the disk and their own arguments: run
 * them in env_work.fn on ENV_POOL (at start: anywhere). One writer and one
 * incoming file at a time. */
#ifndef HF_RAFTIO_SNAP_H
#define HF_RAFTIO_SNAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/disk.h"
#include "base/err.h"
#include "raftio/identity.h"

enum {
    SNAP_VERSION = 1,
    SNAP_PIECE = 64 << 10,     /* most bytes of a piece */
    SNAP_SYNC_BYTES = 4 << 20, /* written between two syncs */
    SNAP_CONF_MAX = 16 << 10,  /* bytes of a configuration */
    SNAP_LIST_MAX = 64,        /* final files in the directory */
};

struct snap_file {
    uint64_t index; /* last entry that it covers; never 0 */
    uint64_t term;  /* of that entry */
    uint64_t conf_index;
    struct bytes conf;      /* configuration as of @index, the engine's bytes */
    uint64_t node_id;       /* who wrote it; set by snap_write() */
    uint64_t log_no;        /* writer's wal_durable_no(), at least at @index */
    uint64_t file_bytes;    /* set by reading functions */
    uint64_t data_bytes;    /* before compression; set by reading functions */
    uint32_t hash;          /* of its bytes; set by all of them */
    struct blob *conf_blob; /* owns @conf in what reading functions return */
};
void snap_file_release(struct snap_file *m); /* harmless twice */

/* ---- at start ---- */
/* Remove temporary files (not a part of an incoming one that snapxfer.h can go
 * on with), make the directory, and find the newest snapshot:
 * its header and footer are checked, the rest by snap_read(). No snapshot:
 * m->index is 0. A newest file that is damaged is refused (HF_ECORRUPT) even
 * if an older one is whole: the log between them may be gone. */
int snap_open(struct disk *d,
              const struct identity *id,
              struct snap_file *m,
              struct errmsg *em);

/* Index and term in the name of the newest one, whatever state it is in; 0: no
 * snapshot. For a repair: what snap_open() refused. */
int snap_newest(struct disk *d,
                uint64_t *index,
                uint64_t *term,
                struct errmsg *em);

/* ---- writing ---- */
struct snap_source {
    /* Append the next bytes to @out. 1 more, 0 end (@out may have the last
     * ones), <0 an HF_ code: given up. On the worker. */
    int (*next)(void *src, struct buf *out);
    void *src;
    /* May be NULL: called after each sync with how long to rest so that the
     * rate is kept; the real node sleeps, the simulator does not. */
    void (*rest)(void *src, uint64_t us);
    uint64_t bytes_per_s; /* 0: as fast as it goes */
};
/* Write, sync, rename, sync the directory, read back and compare checksums.
 * On success *m has its sizes. On failure nothing is left under the final
 * name, except after HF_ECORRUPT of the read back (removed too, if the disk
 * lets it). The older one stays: snap_retire(). No room and an I/O error are
 * not fatal: try again later.
 * Call it only for an index that the node's own log has durable. */
int snap_write(struct disk *d,
               const struct identity *id,
               struct snap_file *m,
               const struct snap_source *s,
               struct errmsg *em);

/* Remove all snapshots older than @index, oldest first. Only when the one of
 * @index is durable (snap_write, snap_in_finish or snap_open said 0). */
int snap_retire(struct disk *d, uint64_t index, struct errmsg *em);

/* ---- reading ---- */
struct snap_sink {
    /* The next bytes of the content; <0 gives up with that code. They come
     * before the file's end is verified: use them only after snap_read()
     * returned 0. */
    int (*feed)(void *dst, struct bytes b);
    void *dst; /* @feed NULL: verify only */
};
/* Verify every byte of the final file (@index, @term). */
int snap_read(struct disk *d,
              const struct identity *id,
              uint64_t index,
              uint64_t term,
              const struct snap_sink *s,
              struct snap_file *m,
              struct errmsg *em);

/* ---- sending: raw ranges of a pinned file ---- */
struct snap_out {
    struct disk_file *file; /* stays readable after snap_retire() */
    uint64_t bytes;
};
int snap_open_for_send(struct disk *d,
                       uint64_t index,
                       uint64_t term,
                       struct snap_out *out,
                       struct errmsg *em);
/* Up to @n bytes from @off; returns how many (0 at the end) or an HF_ code. */
int64_t snap_out_read(struct snap_out *o,
                      void *p,
                      size_t n,
                      uint64_t off,
                      struct errmsg *em);
void snap_out_close(struct snap_out *o);

/* Name of the final file, at least DISK_NAME_MAX bytes of room. */
void snap_name(uint64_t index, uint64_t term, char *out);
/* Verify every byte of any file @name: a snapshot of this cluster at (@index,
 * @term)? *@m as snap_read() leaves it. */
int snap_verify(struct disk *d,
                const struct identity *id,
                const char *name,
                uint64_t index,
                uint64_t term,
                struct snap_file *m,
                struct errmsg *em);
/* Give the verified and synced file @name its final name; durable on return.
 */
int snap_adopt(struct disk *d,
               const char *name,
               uint64_t index,
               uint64_t term,
               struct errmsg *em);

/* ---- receiving ---- */
struct snap_in {
    struct disk *disk;
    struct disk_file *file; /* NULL: none open */
    struct identity id;
    uint64_t index;
    uint64_t term;
    uint64_t bytes; /* announced */
    uint64_t have;  /* written so far: the only @off that is taken next */
    uint64_t unsynced;
};
/* An older incoming file is dropped. @in is the caller's, zeroed. */
int snap_in_begin(struct disk *d,
                  const struct identity *id,
                  uint64_t index,
                  uint64_t term,
                  uint64_t bytes,
                  struct snap_in *in,
                  struct errmsg *em);
/* HF_EINVAL: not at in->have, or beyond the announced end; nothing written. */
int snap_in_write(struct snap_in *in,
                  uint64_t off,
                  const void *p,
                  size_t n,
                  struct errmsg *em);
/* Sync, verify every byte, that it is of this cluster and of (index, term),
 * then rename and sync the directory. HF_ECORRUPT: removed. Any failure
 * closes @in. */
int snap_in_finish(struct snap_in *in, struct snap_file *m, struct errmsg *em);
void snap_in_abort(struct snap_in *in); /* harmless twice */

#endif
