#include "raftio/repair.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/crc32c.h"
#include "raftio/file_int.h"

static const char file_name[] = "repair";
static const char temp_name[] = "repair.tmp";
static const char keep_dir[] = "damaged";
static const uint8_t file_magic[8] = {'H', 'F', 'R', 'E', 'P', 'R', '1', '\n'};

enum {
    AT_VERSION = 8,
    AT_KIND = 12,
    AT_STEP = 14,
    AT_STAMP = 16,
    AT_CLUSTER = 24,
    AT_OLD_DIR = 40,
    AT_NODE = 56,
    AT_NEW_DIR = 64,
    AT_INDEX = 80,
    AT_TERM = 88,
    AT_LOG_NO = 96,
    AT_ZERO = 104,
    AT_CRC = REPAIR_BYTES - 4,
};

/* ---- the file ---- */

void repair_encode(const struct repair_mark *m, uint8_t out[REPAIR_BYTES])
{
    memset(out, 0, REPAIR_BYTES);
    memcpy(out, file_magic, sizeof file_magic);
    put_u32(out + AT_VERSION, REPAIR_VERSION);
    put_u16(out + AT_KIND, (uint16_t)m->kind);
    put_u16(out + AT_STEP, (uint16_t)m->step);
    put_u64(out + AT_STAMP, m->stamp);
    memcpy(out + AT_CLUSTER, m->old.cluster_id, ID_BYTES);
    memcpy(out + AT_OLD_DIR, m->old.dir_id, ID_BYTES);
    put_u64(out + AT_NODE, m->old.node_id);
    memcpy(out + AT_NEW_DIR, m->dir_id, ID_BYTES);
    put_u64(out + AT_INDEX, m->index);
    put_u64(out + AT_TERM, m->term);
    put_u64(out + AT_LOG_NO, m->log_no);
    put_u32(out + AT_CRC, crc32c(0, out, AT_CRC));
}

static int damaged(struct errmsg *em, size_t at, const char *what)
{
    return errmsg_set(em, HF_ECORRUPT,
                      "%s is damaged at offset %zu (%s): a repair was under "
                      "way. If other nodes have the data, remove this member "
                      "from the cluster, empty its directory, and let it join "
                      "again",
                      file_name, at, what);
}

int repair_decode(const uint8_t *p,
                  size_t n,
                  struct repair_mark *m,
                  struct errmsg *em)
{
    memset(m, 0, sizeof *m);
    if (n != REPAIR_BYTES) {
        return damaged(em, n, "wrong length");
    }
    if (memcmp(p, file_magic, sizeof file_magic) != 0) {
        return damaged(em, 0, "not a repair file");
    }
    if (get_u32(p + AT_CRC) != crc32c(0, p, AT_CRC)) {
        return damaged(em, AT_CRC, "checksum");
    }
    if (get_u32(p + AT_VERSION) != REPAIR_VERSION) {
        return errmsg_set(em, HF_EVERSION,
                          "%s has format version %u, this program knows %d: "
                          "start the newer version that wrote it",
                          file_name, get_u32(p + AT_VERSION), REPAIR_VERSION);
    }
    for (size_t i = AT_ZERO; i < AT_CRC; i++) {
        if (p[i] != 0) {
            return damaged(em, i, "reserved byte");
        }
    }
    m->kind = (enum repair_kind)get_u16(p + AT_KIND);
    m->step = (enum repair_step)get_u16(p + AT_STEP);
    m->stamp = get_u64(p + AT_STAMP);
    memcpy(m->old.cluster_id, p + AT_CLUSTER, ID_BYTES);
    memcpy(m->old.dir_id, p + AT_OLD_DIR, ID_BYTES);
    m->old.node_id = get_u64(p + AT_NODE);
    memcpy(m->dir_id, p + AT_NEW_DIR, ID_BYTES);
    m->index = get_u64(p + AT_INDEX);
    m->term = get_u64(p + AT_TERM);
    m->log_no = get_u64(p + AT_LOG_NO);
    if ((m->kind != REPAIR_LOG && m->kind != REPAIR_NEW) ||
        m->step < REPAIR_ASK || m->step > REPAIR_EMPTY) {
        return damaged(em, AT_KIND, "kind or step");
    }
    return 0;
}

int repair_read(struct disk *d, struct repair_mark *m, struct errmsg *em)
{
    uint8_t *raw = file_buf(DISK_ALIGN);
    int64_t n = file_read_head(d, file_name, raw, DISK_ALIGN);
    int rv = 0;

    memset(m, 0, sizeof *m);
    if (n < 0 && n != -ENOENT) {
        rv = file_err(em, n, "read", file_name);
    } else if (n >= 0) {
        rv = repair_decode(raw, (size_t)n, m, em);
    }
    free(raw);
    return rv;
}

int repair_write(struct disk *d, const struct repair_mark *m, struct errmsg *em)
{
    uint8_t raw[REPAIR_BYTES];

    repair_encode(m, raw);
    return file_replace(d, temp_name, file_name, raw, sizeof raw, em);
}

static int sync_dir(struct disk *d, const char *dir, struct errmsg *em)
{
    int rv = disk_sync_dir(d, dir);

    return rv < 0 && rv != -ENOENT ? file_err(em, rv, "sync directory", dir)
                                   : 0;
}

int repair_clear(struct disk *d, struct errmsg *em)
{
    int rv = disk_unlink(d, file_name);

    if (rv < 0 && rv != -ENOENT) {
        return file_err(em, rv, "remove", file_name);
    }
    return rv == 0 ? sync_dir(d, "", em) : 0;
}

/* ---- what is kept ---- */

struct names {
    char (*v)[DISK_NAME_MAX];
    size_t n;
};

static int collect(void *data, const char *name)
{
    struct names *l = data;

    if (l->n < REPAIR_FILES_MAX && strlen(name) < DISK_NAME_MAX) {
        snprintf(l->v[l->n++], DISK_NAME_MAX, "%s", name);
    }
    return 0;
}

/* Names in @dir; none if there is no such directory. free(l->v). */
static int list(struct disk *d,
                const char *dir,
                struct names *l,
                struct errmsg *em)
{
    int rv;

    l->n = 0;
    l->v = hf_calloc(REPAIR_FILES_MAX, sizeof *l->v);
    rv = disk_list(d, dir, collect, l);
    return rv < 0 && rv != -ENOENT ? file_err(em, rv, "list", dir) : 0;
}

static bool stamp_of(const char *name, uint64_t *out)
{
    unsigned long long v;
    char dash;

    if (sscanf(name, "%llu%c", &v, &dash) != 2 || dash != '-') {
        return false;
    }
    *out = v;
    return true;
}

int repair_stamp(struct disk *d,
                 uint64_t wall_s,
                 uint64_t *out,
                 struct errmsg *em)
{
    struct names l;
    int rv = list(d, keep_dir, &l, em);

    *out = wall_s;
    for (size_t i = 0; i < l.n; i++) {
        uint64_t s;

        if (stamp_of(l.v[i], &s) && s >= *out) {
            *out = s + 1;
        }
    }
    free(l.v);
    return rv;
}

/* Remove files of the oldest stamps until at most @keep others than @own are
 * left. */
static int drop_old(struct disk *d,
                    uint64_t own,
                    unsigned keep,
                    struct errmsg *em)
{
    struct names l;
    int rv = list(d, keep_dir, &l, em);

    for (size_t i = 0; i < l.n && rv == 0; i++) {
        char path[2 * DISK_NAME_MAX];
        uint64_t newer[REPAIR_KEEP + 1];
        unsigned k = 0;
        uint64_t s;

        if (!stamp_of(l.v[i], &s) || s == own) {
            continue;
        }
        for (size_t j = 0; j < l.n && k < keep; j++) {
            uint64_t t;
            bool known = !stamp_of(l.v[j], &t) || t <= s || t == own;

            for (unsigned x = 0; x < k && !known; x++) {
                known = newer[x] == t;
            }
            if (!known) {
                newer[k++] = t;
            }
        }
        if (k < keep) {
            continue;
        }
        snprintf(path, sizeof path, "%s/%s", keep_dir, l.v[i]);
        rv = disk_unlink(d, path);
        rv = rv < 0 && rv != -ENOENT ? file_err(em, rv, "remove", path) : 0;
    }
    free(l.v);
    return rv;
}

static int begin(struct disk *d, const struct repair_mark *m, struct errmsg *em)
{
    int rv = disk_mkdir(d, keep_dir);

    if (rv < 0 && rv != -EEXIST) {
        return file_err(em, rv, "make directory", keep_dir);
    }
    rv = sync_dir(d, "", em);
    return rv < 0 ? rv : drop_old(d, m->stamp, REPAIR_KEEP - 1, em);
}

/* @name is gone from its place afterwards; harmless if it was before. */
static int move_one(struct disk *d,
                    const struct repair_mark *m,
                    const char *dir,
                    const char *name,
                    struct errmsg *em)
{
    char from[2 * DISK_NAME_MAX];
    char to[2 * DISK_NAME_MAX];
    int rv;

    snprintf(from, sizeof from, "%s%s%s", dir, dir[0] == '\0' ? "" : "/", name);
    snprintf(to, sizeof to, "%s/%010llu-%s", keep_dir,
             (unsigned long long)m->stamp, name);
    hf_assert(strlen(from) < DISK_NAME_MAX && strlen(to) < DISK_NAME_MAX);
    rv = disk_rename(d, from, to);
    return rv < 0 && rv != -ENOENT ? file_err(em, rv, "move aside", from) : 0;
}

static bool ends_with(const char *name, const char *tail)
{
    size_t n = strlen(name);
    size_t k = strlen(tail);

    return n >= k && strcmp(name + n - k, tail) == 0;
}

/* Move what ends with @tail, except @keep; drop prepared segments, they have
 * nothing of ours. @more: there were too many for one go. */
static int move_some(struct disk *d,
                     const struct repair_mark *m,
                     const char *dir,
                     const char *tail,
                     const char *keep,
                     bool *more,
                     struct errmsg *em)
{
    struct names l;
    int rv = list(d, dir, &l, em);
    size_t gone = 0;

    for (size_t i = 0; i < l.n && rv == 0; i++) {
        char path[2 * DISK_NAME_MAX];

        if (strncmp(l.v[i], "spare", 5) == 0) {
            snprintf(path, sizeof path, "%s/%s", dir, l.v[i]);
            rv = disk_unlink(d, path);
            rv = rv < 0 && rv != -ENOENT ? file_err(em, rv, "remove", path) : 0;
            gone++;
        } else if (ends_with(l.v[i], tail) &&
                   (keep == NULL || strcmp(l.v[i], keep) != 0)) {
            rv = move_one(d, m, dir, l.v[i], em);
            gone++;
        }
    }
    *more = l.n == REPAIR_FILES_MAX && gone > 0;
    free(l.v);
    return rv;
}

static int move_dir(struct disk *d,
                    const struct repair_mark *m,
                    const char *dir,
                    const char *tail,
                    const char *keep,
                    struct errmsg *em)
{
    bool more = true;
    int rv = 0;

    while (more && rv == 0) {
        rv = move_some(d, m, dir, tail, keep, &more, em);
    }
    /* At both ends: a crash must not leave a file in neither. */
    rv = rv == 0 ? sync_dir(d, keep_dir, em) : rv;
    return rv == 0 ? sync_dir(d, dir, em) : rv;
}

int repair_move_log(struct disk *d,
                    const struct repair_mark *m,
                    struct errmsg *em)
{
    char keep[DISK_NAME_MAX];
    int rv = begin(d, m, em);

    snprintf(keep, sizeof keep, "%016llx-%016llx.snap",
             (unsigned long long)m->index, (unsigned long long)m->term);
    rv = rv == 0 ? move_dir(d, m, "log", ".log", NULL, em) : rv;
    return rv == 0 ? move_dir(d, m, "snap", ".snap", keep, em) : rv;
}

static int keep_identity(struct disk *d,
                         const struct repair_mark *m,
                         struct errmsg *em)
{
    uint8_t raw[IDENTITY_BYTES];
    char name[DISK_NAME_MAX];

    snprintf(name, sizeof name, "%s/%010llu-identity", keep_dir,
             (unsigned long long)m->stamp);
    identity_encode(&m->old, raw);
    return file_replace(d, temp_name, name, raw, sizeof raw, em);
}

int repair_move_all(struct disk *d,
                    const struct repair_mark *m,
                    struct errmsg *em)
{
    static const char *const votes[] = {"vote.a", "vote.b"};
    int rv = begin(d, m, em);

    rv = rv == 0 ? keep_identity(d, m, em) : rv;
    rv = rv == 0 ? move_dir(d, m, "log", ".log", NULL, em) : rv;
    rv = rv == 0 ? move_dir(d, m, "snap", ".snap", NULL, em) : rv;
    for (unsigned i = 0; i < 2 && rv == 0; i++) {
        rv = move_one(d, m, "", votes[i], em);
    }
    rv = rv == 0 ? sync_dir(d, keep_dir, em) : rv;
    return rv == 0 ? sync_dir(d, "", em) : rv;
}
