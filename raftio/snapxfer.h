/* Transfer of a snapshot file from a leader to a follower, in ranges.
 *
 *   leader                         follower
 *     OFFER index term size ... --->
 *                              <--- PULL offset length   (several in flight)
 *     CHUNK offset bytes crc ----->                      (written as it comes)
 *                              <--- RESULT done | failed | busy
 *
 * The follower pulls, so it sets the pace: a bounded number of pulls in
 * flight, at most rate bytes per second, lost ones pulled again. It resumes
 * after any break, also at another sender of the very same file, and with
 * part_name after a restart, while the offer stays the same, and starts afresh
 * when the offer changes. The file counts only when all of it has been synced
 * and verified from disk by the owner's verify(). File reads, writes and
 * verification run on ENV_POOL. Memory: SNAPX_PULLS * SNAPX_CHUNK per side
 * and follower.
 *
 * This module sends nothing itself: the owner gives it send() and hands it
 * what arrives, so it runs in simulation like everything else. */
#ifndef HF_RAFTIO_SNAPXFER_H
#define HF_RAFTIO_SNAPXFER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/disk.h"
#include "base/env.h"
#include "base/limits.h"
#include "base/log.h"

enum {
    SNAPX_CHUNK = 256 << 10,  /* bytes of one pull */
    SNAPX_PULLS = 8,          /* pulls in flight */
    SNAPX_META_MAX = 4096,    /* owner's bytes in an offer */
    SNAPX_RETRY_MS = 300,     /* a pull without its chunk is sent again */
    SNAPX_OFFER_MS = 200,     /* an offer without pulls is sent again */
    SNAPX_PROGRESS_MS = 5000, /* without a new pull this long: no progress */
    SNAPX_GIVE_UP_MS = 30000, /* of offers without a pull: on_sent(TIMEOUT) */
    SNAPX_RATE_MIN = 32 << 20,
    SNAPX_RATE_DEFAULT = 64 << 20,
    SNAPX_SYNC_BYTES = 8 << 20,  /* written between two syncs */
    SNAPX_PART_BYTES = 64,       /* of the file of part_name */
    SNAPX_BURST_US = 20000,      /* of pulls at once after a pause */
    SNAPX_WRITE_PAUSE_MS = 1000, /* after the own disk refused to take it */
    SNAPX_VERIFY_TRIES = 3, /* of one offer; beyond: refused until it changes */
};

/* Names one snapshot file; two offers are the same if all of it is. */
struct snapx_offer {
    uint64_t index;
    uint64_t term;
    uint64_t size;     /* bytes of the file */
    uint32_t file_crc; /* owner's digest, 0 if it has none; only compared */
    struct bytes meta; /* configuration and its index; borrowed */
};

struct snapxfer;

struct snapx_cbs {
    /* Send one message to @to; false: not now (pulls are repeated, so it is
     * only lost). */
    bool (*send)(void *data,
                 uint64_t to,
                 struct bytes header,
                 struct bytes body);
    /* On a worker: check the whole file @name against the offer. 0 or an
     * error. NULL: only size and chunk checksums are checked. */
    int (*verify)(void *data,
                  struct disk *d,
                  const char *name,
                  uint64_t index,
                  uint64_t term);
    /* Receiver: the verified, synced file lies under @name (the temporary
     * name given to snapx_new()); the owner renames and installs it.
     * snapx_received_done() ends the transfer. */
    void (*on_received)(void *data,
                        uint64_t from,
                        const struct snapx_offer *o,
                        const char *name);
    /* Sender: the transfer has ended: 0 @to has installed the file;
     * HF_ECORRUPT it could not use it; HF_EIO the file cannot be read;
     * HF_ETIMEOUT it does not ask for it. */
    void (*on_sent)(void *data, uint64_t to, uint64_t index, int code);
    /* Receiver: may this offer be begun? NULL: always. What was being
     * received before is given up. */
    bool (*accept)(void *data, uint64_t from, const struct snapx_offer *o);
    /* Receiver: a file that on_received() named is given up for a newer
     * offer that accept() took. NULL: a received file stays until
     * snapx_received_done(), and other offers wait. */
    void (*on_dropped)(void *data, uint64_t index, uint64_t term);
};

struct snapx_config {
    struct env *env; /* its disk is used */
    struct logger *log;
    const char *tmp_name; /* where a received file grows; copied */
    /* Where it is written down how much of it is synced; copied. NULL: a
     * restart begins afresh. What it says is only believed when the whole file
     * is verified. */
    const char *part_name;
    uint64_t rate; /* bytes per second; 0: SNAPX_RATE_DEFAULT; raised to
                      SNAPX_RATE_MIN */
    const struct snapx_cbs *cbs;
    void *data;
};

struct snapxfer *snapx_new(const struct snapx_config *c);
/* Ends transfers and frees @x: at once if no work is under way, else when it
 * is done. Then calls @closed (may be NULL), possibly before this returns. No
 * other callback runs any more. */
void snapx_close(struct snapxfer *x, void (*closed)(void *data), void *data);

/* Free at once: the env has dropped all work, its done() will never run. */
void snapx_free_crashed(struct snapxfer *x);

/* A message of the owner's snapshot type from @from arrived. Malformed ones
 * are dropped with a line. */
void snapx_receive(struct snapxfer *x, uint64_t from, struct bytes msg);

/* ---- sender ---- */
/* Begin (or go on) offering the file @name to @to. The file must stay
 * readable under @name until snapx_send_end() or on_sent; the same offer
 * again is harmless; another one replaces it. HF_ELIMIT: too many. */
int snapx_send(struct snapxfer *x,
               uint64_t to,
               const struct snapx_offer *o,
               const char *name);
void snapx_send_end(struct snapxfer *x, uint64_t to);
/* Bytes per second from now on; raised to SNAPX_RATE_MIN. */
void snapx_set_rate(struct snapxfer *x, uint64_t rate);
/* Is the snapshot being sent to a follower that makes progress? Then the
 * next snapshot has to wait. */
bool snapx_sending(const struct snapxfer *x);

/* ---- receiver ---- */
/* The owner has taken (or thrown away) the received file. Code 0 tells the
 * sender so. */
void snapx_received_done(struct snapxfer *x, int code);
/* Give up what is being received (the term changed, the leader went). */
void snapx_receive_abort(struct snapxfer *x);

/* ---- for logs and INFO ---- */
struct snapx_progress {
    bool active;
    bool receiving; /* else sending */
    uint64_t peer;
    uint64_t index;
    uint64_t size;
    uint64_t done_bytes;
    uint32_t idle_ms; /* since the last new byte */
};
/* The receiving side first, then each sending one; returns how many. */
size_t snapx_progress(const struct snapxfer *x,
                      struct snapx_progress *out,
                      size_t max);

#endif
