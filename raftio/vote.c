#include "raftio/vote.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/mutant.h"
#include "raftio/file_int.h"

/* Happy path of a change: slot a written and synced, then slot b. Crash in
 * between: a is n or torn, b is n - 1; n was never acknowledged, so either
 * is right. Rot later: the other slot has the same. So two good slots are at
 * most one change apart; anything else is damage, and is refused. */

static const char *const slot_name[2] = {"vote.a", "vote.b"};
static const uint8_t slot_magic[8] = {'H', 'F', 'V', 'O', 'T', 'E', '1', '\n'};

enum {
    AT_VERSION = 8,
    AT_SEQ = 16,
    AT_CLUSTER = 24,
    AT_DIR = 40,
    AT_NODE = 56,
    AT_TERM = 64,
    AT_VOTE = 72,
    AT_LOG_NO = 80,
    AT_ZERO = 88,
    AT_CRC = VOTE_SLOT_BYTES - 4,
};

void vote_encode(const struct vote_state *s,
                 const struct identity *id,
                 uint8_t out[VOTE_SLOT_BYTES])
{
    memset(out, 0, VOTE_SLOT_BYTES);
    memcpy(out, slot_magic, sizeof slot_magic);
    put_u32(out + AT_VERSION, VOTE_VERSION);
    put_u64(out + AT_SEQ, s->seq);
    memcpy(out + AT_CLUSTER, id->cluster_id, ID_BYTES);
    memcpy(out + AT_DIR, id->dir_id, ID_BYTES);
    put_u64(out + AT_NODE, id->node_id);
    put_u64(out + AT_TERM, s->term);
    put_u64(out + AT_VOTE, s->vote);
    put_u64(out + AT_LOG_NO, s->log_no);
    put_u32(out + AT_CRC, crc32c(0, out, AT_CRC));
}

static int damaged(struct errmsg *em,
                   const char *name,
                   size_t at,
                   const char *what)
{
    return errmsg_set(em, HF_ECORRUPT, "%s is damaged at offset %zu (%s)", name,
                      at, what);
}

int vote_decode(const uint8_t *p,
                size_t n,
                const char *name,
                const struct identity *id,
                struct vote_state *out,
                struct errmsg *em)
{
    if (n != VOTE_SLOT_BYTES) {
        return damaged(em, name, n, "wrong length");
    }
    if (memcmp(p, slot_magic, sizeof slot_magic) != 0) {
        return damaged(em, name, 0, "not a vote file");
    }
    if (get_u32(p + AT_CRC) != crc32c(0, p, AT_CRC) && !mutant(CRC_IGNORED)) {
        return damaged(em, name, AT_CRC, "checksum");
    }
    if (get_u32(p + AT_VERSION) != VOTE_VERSION) {
        return errmsg_set(em, HF_EVERSION,
                          "%s has format version %u, this program knows %d: "
                          "start the newer version that wrote it",
                          name, get_u32(p + AT_VERSION), VOTE_VERSION);
    }
    if (memcmp(p + AT_CLUSTER, id->cluster_id, ID_BYTES) != 0 ||
        memcmp(p + AT_DIR, id->dir_id, ID_BYTES) != 0 ||
        get_u64(p + AT_NODE) != id->node_id) {
        return errmsg_set(em, HF_EIDENTITY,
                          "%s belongs to another node (%llu) or directory: "
                          "put back the file of this data directory",
                          name, (unsigned long long)get_u64(p + AT_NODE));
    }
    for (size_t i = AT_ZERO; i < AT_CRC; i++) {
        if (p[i] != 0) {
            return damaged(em, name, i, "reserved byte");
        }
    }
    out->seq = get_u64(p + AT_SEQ);
    out->term = get_u64(p + AT_TERM);
    out->vote = get_u64(p + AT_VOTE);
    out->log_no = get_u64(p + AT_LOG_NO);
    return 0;
}

/* Write and sync slot @i, making the file if it is not there. @more: flags
 * besides. */
static int slot_write(struct vote *v,
                      int i,
                      const struct vote_state *s,
                      int more,
                      struct errmsg *em)
{
    int flags = DISK_WRITE | DISK_DIRECT | DISK_DSYNC | more;
    struct disk_file *f;
    uint8_t *raw;
    int rv = disk_open(v->disk, slot_name[i], flags, &f);

    if (rv == -ENOENT) {
        rv = disk_open(v->disk, slot_name[i], flags | DISK_CREATE, &f);
    }
    if (rv < 0) {
        return file_err(em, rv, "open", slot_name[i]);
    }
    raw = file_buf(VOTE_SLOT_BYTES);
    vote_encode(s, &v->id, raw);
    rv = disk_pwrite(f, raw, VOTE_SLOT_BYTES, 0);
    if (rv < 0) {
        rv = file_err(em, rv, "write", slot_name[i]);
    }
    free(raw);
    disk_close(f);
    return rv;
}

/* A slot that a killed process wrote may be readable but not on the disk. */
static int slot_sync(struct vote *v, int i, struct errmsg *em)
{
    struct disk_file *f;
    int rv = disk_open(v->disk, slot_name[i], DISK_WRITE, &f);

    if (rv < 0) {
        return file_err(em, rv, "open", slot_name[i]);
    }
    rv = disk_sync(f);
    disk_close(f);
    return rv < 0 ? file_err(em, rv, "sync", slot_name[i]) : 0;
}

enum slot_kind { SLOT_GOOD, SLOT_MISSING, SLOT_BAD, SLOT_LONG };

static int slot_read(struct vote *v,
                     int i,
                     struct vote_state *s,
                     enum slot_kind *kind,
                     struct errmsg *em)
{
    uint8_t *raw = file_buf(2 * VOTE_SLOT_BYTES);
    int64_t n = file_read_head(v->disk, slot_name[i], raw, 2 * VOTE_SLOT_BYTES);
    int rv;

    if (n == -ENOENT) {
        *kind = SLOT_MISSING;
        rv = 0;
    } else if (n < 0) {
        rv = file_err(em, n, "read", slot_name[i]);
    } else {
        rv = vote_decode(raw, (size_t)n, slot_name[i], &v->id, s, em);
        *kind = rv == 0               ? SLOT_GOOD
                : n > VOTE_SLOT_BYTES ? SLOT_LONG
                                      : SLOT_BAD;
        rv = rv == HF_ECORRUPT ? 0 : rv;
    }
    free(raw);
    return rv;
}

static int refuse(struct errmsg *em, const char *why)
{
    return errmsg_set(em, HF_ECORRUPT,
                      "%s and %s: %s. A voter that forgot its vote can elect "
                      "two leaders: if no repair follows and other nodes have "
                      "the data, remove this member from the cluster, empty "
                      "its directory, and let it join again",
                      slot_name[0], slot_name[1], why);
}

/* Which slot tells the truth? 0 or 1; 2 when neither was ever acknowledged;
 * negative to refuse. */
static int choose(const struct vote_state s[2],
                  const enum slot_kind kind[2],
                  bool have_data,
                  struct errmsg *em)
{
    bool a = kind[0] == SLOT_GOOD;
    bool b = kind[1] == SLOT_GOOD;

    if (a && b) {
        uint64_t apart =
            s[0].seq > s[1].seq ? s[0].seq - s[1].seq : s[1].seq - s[0].seq;

        if (apart > 1 || (apart == 0 && memcmp(&s[0], &s[1], sizeof s[0]))) {
            return refuse(em, "they contradict each other");
        }
        return s[0].seq >= s[1].seq ? 0 : 1;
    }
    if (a || b) {
        return a ? 0 : 1;
    }
    if (have_data && kind[0] == SLOT_MISSING && kind[1] == SLOT_MISSING) {
        return refuse(em, "both missing beside a log or snapshot");
    }
    if (have_data) {
        char why[160];

        /* Reading left where the last one of them is bad. */
        snprintf(why, sizeof why, "neither is whole (%.120s)",
                 em != NULL ? em->text : "");
        return refuse(em, why);
    }
    /* The very first write: a torn or absent, b not begun or, its name kept
     * and its content not, empty. Nothing was promised before both were. */
    return 2;
}

static int settle(struct vote *v,
                  const enum slot_kind kind[2],
                  const struct vote_state s[2],
                  int good,
                  struct errmsg *em)
{
    int rv = 0;

    if (good < 2) {
        v->now = s[good];
        rv = slot_sync(v, good, em);
    }
    for (int i = 0; i < 2 && rv == 0; i++) {
        if (i == good) {
            continue;
        }
        if (kind[i] == SLOT_GOOD && s[i].seq == v->now.seq) {
            rv = slot_sync(v, i, em);
        } else {
            /* One that is too long stays bad unless its end goes, too. The
             * other one is synced by now. */
            int more = kind[i] == SLOT_LONG ? DISK_CREATE | DISK_TRUNC : 0;

            rv = slot_write(v, i, &v->now, more, em);
            v->repaired = v->repaired || good < 2;
        }
    }
    if (rv == 0 && !mutant(NO_DIR_SYNC)) {
        rv = disk_sync_dir(v->disk, "");
        rv = rv < 0 ? file_err(em, rv, "sync the directory of", slot_name[0])
                    : 0;
    }
    return rv;
}

int vote_open(struct vote *v,
              struct disk *d,
              const struct identity *id,
              bool have_data,
              struct errmsg *em)
{
    struct vote_state s[2];
    enum slot_kind kind[2] = {SLOT_MISSING, SLOT_MISSING};
    int good;

    memset(v, 0, sizeof *v);
    memset(s, 0, sizeof s);
    v->disk = d;
    v->id = *id;
    v->now.seq = 1;
    for (int i = 0; i < 2; i++) {
        int rv = slot_read(v, i, &s[i], &kind[i], em);

        if (rv < 0) {
            return rv;
        }
    }
    good = choose(s, kind, have_data, em);
    if (good < 0) {
        return good;
    }
    return settle(v, kind, s, good, em);
}

/* Both slots, one after the other. */
static int store(struct vote *v, const struct vote_state *s, struct errmsg *em)
{
    int rv = mutant(VOTE_NOT_PERSISTED) ? 0 : slot_write(v, 0, s, 0, em);

    if (rv == 0 && !mutant(VOTE_ONE_SLOT) && !mutant(VOTE_NOT_PERSISTED)) {
        rv = slot_write(v, 1, s, 0, em);
    }
    if (rv < 0) {
        v->failed = true;
        return errmsg_wrap(em, rv, "store term %llu",
                           (unsigned long long)s->term);
    }
    v->now = *s;
    return 0;
}

int vote_set(struct vote *v,
             uint64_t term,
             uint64_t vote,
             uint64_t log_no,
             struct errmsg *em)
{
    struct vote_state s = v->now;

    hf_assert(!v->failed);
    hf_assert(term >= s.term);
    if (term == s.term && (vote == 0 || vote == s.vote)) {
        if (mutant(VOTE_CLEARED)) {
            s.vote = 0;
            return store(v, &s, em);
        }
        return 0;
    }
    hf_assert(term > s.term || s.vote == 0);
    s.seq++;
    s.term = term;
    s.vote = vote;
    s.log_no = log_no > s.log_no ? log_no : s.log_no;
    return store(v, &s, em);
}

int vote_note(struct vote *v, uint64_t log_no, struct errmsg *em)
{
    struct vote_state s = v->now;

    hf_assert(!v->failed);
    if (log_no <= s.log_no) {
        return 0;
    }
    s.seq++;
    s.log_no = log_no;
    return store(v, &s, em);
}
