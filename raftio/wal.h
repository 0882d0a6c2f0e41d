/* The replicated log on disk: directory "log", numbered segments of framed,
 * checksummed, chained batches. docs/FORMATS.md has the bytes.
 *
 * Group commit: one write is in flight on ENV_LOG; everything appended
 * meanwhile joins the next one. Completions come in order, on the loop. A
 * failed write or sync is final: on_fatal() once, then nothing is ever
 * acknowledged or retried; the process must end (status 74), because after a
 * failed sync nobody knows what is on the disk.
 *
 * Being out of room is no failure: segments are zero-filled ahead of need, so
 * an append that has one cannot meet it. An append that finds none waits
 * until one could be made; wal_reserved_room() is how the owner keeps it from
 * coming to that.
 *
 * Loop thread, except wal_recover(). */
#ifndef HF_RAFTIO_WAL_H
#define HF_RAFTIO_WAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/disk.h"
#include "base/env.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/log.h"
#include "raftio/entry.h"
#include "raftio/identity.h"

enum {
    WAL_SEGMENT_BYTES = 64 << 20, /* default size of a segment */
    WAL_SEGMENT_MIN = 32 << 10,   /* smallest that the setting allows */
    WAL_FIRST_BYTES = 4 << 20,    /* of a start's first one, made at once */
    WAL_FLIGHT_BYTES = 9 << 20,   /* default bound of one write */
    WAL_SPARES = 2,               /* prepared segments kept ready */
    WAL_MARK_IDLE_MS = 20,        /* quiet time before a mark frame */
    WAL_RETRY_MS = 1000,          /* until a failed preparation is repeated */
    WAL_READS_MAX = 16,           /* catch-up reads at once; then HF_EAGAIN */
    WAL_CONTROL_BYTES = 1 << 20,  /* kept free of requests at any time (half
                                     a segment, where those are small) */
};

struct wal_cfg {
    struct identity id;     /* must have a node id */
    uint64_t segment_bytes; /* 0: WAL_SEGMENT_BYTES; multiple of 4096 */
    uint64_t flight_bytes;  /* 0: the smaller of WAL_FLIGHT_BYTES and a
                               quarter of the segment */
};

/* ---- recovery: on a worker ---- */

struct wal_recover_in {
    struct wal_cfg cfg;
    uint64_t snap_index; /* newest snapshot; 0 none */
    uint64_t snap_term;
    uint64_t durable_no; /* the largest of vote_state.log_no and the local
                            snapshot's log_no: frames that must be there */
    /* The log was given up for the snapshot (raftio/repair.h): there may be
     * no segment yet, and its first frame comes after durable_no. */
    bool emptied;
};

struct wal_seg; /* private */
struct wal_index;

struct wal_recovered {
    uint64_t first_index; /* of entries[0]; snap_index + 1 */
    struct entry *entries;
    size_t n;
    /* What was found, for the start's log line. */
    uint64_t frames;
    uint64_t bytes;      /* of valid frames */
    uint64_t torn_bytes; /* cut from the tail; 0 when it ended clean */
    bool clean;          /* the last process had closed the log */
    /* Private: handed to wal_new(). */
    struct wal_seg *segs;
    size_t segs_n;
    struct wal_index *index;
    size_t index_n;
    uint64_t *spares;
    size_t spares_n;
    uint64_t next_name;
    uint64_t first; /* first and last index in the files */
    uint64_t last;
    uint64_t last_term;
    uint64_t before_term;
    uint64_t last_no;
    uint32_t chain;
    bool need_reset;
    bool same_segment;
};

/* Read the log. Blocks; touches only @d and its own memory. On success the
 * caller owns @out: give it to wal_new(), or wal_recovered_release() it.
 *
 * HF_ECORRUPT   damaged in the middle, a hole, or entries missing that were
 *               once durable: @em names file and offset and what to do.
 * HF_EIDENTITY  a segment of another cluster, node or directory.
 * HF_EVERSION   written by a newer version.
 * HF_EIO ...    as the file system said. */
int wal_recover(struct disk *d,
                const struct wal_recover_in *in,
                struct wal_recovered *out,
                struct errmsg *em);
void wal_recovered_release(struct wal_recovered *r);

/* Where did a log end that wal_recover() found to be damaged? */
struct wal_survey {
    bool known; /* @last is the last index the log held when the
                   process ended: as certain as for a whole log */
    uint64_t last;
    uint64_t last_no; /* no frame number was larger, as far as is known */
    bool any;         /* there is a segment */
};
/* Read only. Looks at the end of the log alone: the newest segment's header
 * tells the place at its start, frames behind a damaged one are found by the
 * segment's salt, and the end is judged as for a whole log. What makes it
 * unknown: a newest segment that is missing, has no good header or is cut
 * short; a durable frame of which not even the header can be read at the very
 * end. 0, or HF_EIDENTITY, HF_EVERSION, HF_EIO ... */
int wal_survey(struct disk *d,
               const struct wal_recover_in *in,
               struct wal_survey *out,
               struct errmsg *em);

/* True when directory "log" has a segment: for vote_open(). */
int wal_exists(struct disk *d, bool *out, struct errmsg *em);

/* ---- the log ---- */

struct wal;

struct wal_cbs {
    /* The append or reset with @token is durable, as is all before it. Never
     * before wal_append() returned. */
    void (*on_durable)(void *data, uint64_t token);
    /* Once; see above. wal_free() only from outside this call. */
    void (*on_fatal)(void *data, const struct errmsg *em);
    void *data;
};

/* Start writing where @r ended; takes over its private parts; entries stay
 * with the caller (wal_recovered_release() frees what is left). Never fails:
 * what needs the disk is done by workers. @l may be NULL. */
struct wal *wal_new(struct env *e,
                    struct logger *l,
                    const struct wal_cfg *cfg,
                    struct wal_recovered *r,
                    const struct wal_cbs *cbs);

/* Append @n >= 1 entries at @first_index, which is at most one past the last
 * appended; if it is not past it, all from @first_index on is truncated
 * first. Takes a reference of each entry's blob until it is written.
 * Terms never fall within what is then the log (asserted), an entry has at
 * most LIM_ENTRY bytes (asserted). The caller bounds wal_pending_bytes(). */
void wal_append(struct wal *w,
                uint64_t first_index,
                const struct entry *e,
                size_t n,
                uint64_t token);
/* Truncate only: the next append is at @index. Callback as for appends. */
void wal_truncate(struct wal *w, uint64_t index, uint64_t token);
/* After installing a snapshot of @next_index - 1 (durable already), whose
 * last entry has @snap_term: the log is empty and goes on at @next_index. In
 * order with the appends; callback too. Old segments go with wal_trim(). */
void wal_reset(struct wal *w,
               uint64_t next_index,
               uint64_t snap_term,
               uint64_t token);

/* Entries up to @upto are not needed: a durable snapshot covers them, and
 * the caller has given back what it read. Whole segments are recycled or
 * removed, oldest first, in the background. */
void wal_trim(struct wal *w, uint64_t upto);

/* Asynchronous read of durable entries from @first on (inclusive), as many as
 * fit @max_bytes of data, at least one. @cb once, never before this returns:
 *   status 0           @entries borrowed during the call; entry_ref() to keep
 *   HF_ECORRUPT, HF_EIO   @em says where; the log is damaged
 * Returns 0, HF_ENOENT (not in the log: trimmed, or not durable yet) or
 * HF_EAGAIN (WAL_READS_MAX are running); then @cb is not called. */
struct wal_read_result {
    int status;
    uint64_t first;
    const struct entry *entries;
    size_t n;
    const struct errmsg *em;
};
int wal_read(struct wal *w,
             uint64_t first,
             size_t max_bytes,
             void (*cb)(void *data, const struct wal_read_result *r),
             void *data);

/* First index still readable; last + 1 when empty. */
uint64_t wal_first_index(const struct wal *w);
uint64_t wal_last_index(const struct wal *w);    /* appended */
uint64_t wal_durable_index(const struct wal *w); /* acknowledged */
uint64_t wal_durable_no(const struct wal *w);    /* for vote_set(), snap */
uint64_t wal_bytes(const struct wal *w);         /* frames not yet trimmed */
/* The part of it from the frame with @index on. */
uint64_t wal_bytes_from(const struct wal *w, uint64_t index);
/* The first index of the log's tail of at most @bytes; last + 1 if its last
 * frame is larger. */
uint64_t wal_tail_index(const struct wal *w, uint64_t bytes);
uint64_t wal_bytes_on_disk(const struct wal *w); /* all files, spares too */
/* Bytes that can be written without needing room on the file system. */
uint64_t wal_reserved_room(const struct wal *w);
uint64_t wal_pending_bytes(const struct wal *w); /* appended, not durable */
/* How long the last write took, in microseconds, its sync included. */
uint64_t wal_write_us(const struct wal *w);
/* Age of the write in flight, in microseconds; 0 when there is none. */
uint64_t wal_stall_us(const struct wal *w);
/* A segment could not be made (disk full): appends beyond
 * wal_reserved_room() wait until one can; it is tried every WAL_RETRY_MS. */
bool wal_wants_room(const struct wal *w);
/* May @n more bytes of requests be appended? Every byte that waits counts,
 * and requests never use up what barriers, voids, time and membership need:
 * WAL_CONTROL_BYTES while files can be made, and once one could not be made,
 * all that WAL_SPARES segments hold. */
enum wal_room {
    WAL_ROOM,      /* yes */
    WAL_ROOM_SOON, /* when a segment is ready that is being made */
    WAL_ROOM_NONE, /* the file system has none */
};
enum wal_room wal_room(const struct wal *w, uint64_t n);

/* Write what is queued and a mark that says that all is well, then call @cb;
 * after it wal_free(). Nothing may be appended any more. @cb also comes, with
 * false, if the log failed before or fails now. */
void wal_close(struct wal *w, void (*cb)(void *data, bool clean), void *data);

/* Free; callbacks stop at once. Work in flight is waited for by its own
 * completion (the memory goes then), so the env must still turn, or its
 * owner must have dropped all work (as the simulator does on a crash: then
 * wal_free_crashed()). */
void wal_free(struct wal *w);
void wal_free_crashed(struct wal *w);

#endif
