#include "raftio/identity.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/mutant.h"
#include "raftio/file_int.h"

/* Happy path: lock, read 512 bytes, done. First start: the file is missing
 * and nothing else of ours is there: write one. Failure: a directory that
 * has data but no readable identity is never given a new one; it might be
 * another cluster's, or a voter's that would come back without its past. */

static const char lock_name[] = "lock";
static const char file_name[] = "identity";
static const char temp_name[] = "identity.tmp";
static const uint8_t file_magic[8] = {'H', 'F', 'I', 'D', 'E', 'N', 'T', '\n'};

enum {
    AT_MAGIC = 0,
    AT_VERSION = 8,
    AT_CLUSTER = 16,
    AT_DIR = 32,
    AT_NODE = 48,
    AT_ZERO = 56,
    AT_CRC = IDENTITY_BYTES - 4,
};

static const uint8_t no_id[ID_BYTES];

void identity_encode(const struct identity *id, uint8_t out[IDENTITY_BYTES])
{
    memset(out, 0, IDENTITY_BYTES);
    memcpy(out + AT_MAGIC, file_magic, sizeof file_magic);
    put_u32(out + AT_VERSION, IDENTITY_VERSION);
    memcpy(out + AT_CLUSTER, id->cluster_id, ID_BYTES);
    memcpy(out + AT_DIR, id->dir_id, ID_BYTES);
    put_u64(out + AT_NODE, id->node_id);
    put_u32(out + AT_CRC, crc32c(0, out, AT_CRC));
}

static int damaged(struct errmsg *em,
                   const char *name,
                   size_t at,
                   const char *what)
{
    return errmsg_set(em, HF_ECORRUPT,
                      "%s is damaged at offset %zu (%s): restore the data "
                      "directory from a copy, or empty it and let the node "
                      "join again",
                      name, at, what);
}

int identity_decode(const uint8_t *p,
                    size_t n,
                    const char *name,
                    struct identity *out,
                    struct errmsg *em)
{
    struct identity id;

    if (n != IDENTITY_BYTES) {
        return damaged(em, name, n, "wrong length");
    }
    if (memcmp(p, file_magic, sizeof file_magic) != 0) {
        return damaged(em, name, AT_MAGIC, "not an identity file");
    }
    if (get_u32(p + AT_CRC) != crc32c(0, p, AT_CRC)) {
        return damaged(em, name, AT_CRC, "checksum");
    }
    if (get_u32(p + AT_VERSION) != IDENTITY_VERSION) {
        return errmsg_set(em, HF_EVERSION,
                          "%s has format version %u, this program knows %d: "
                          "start the newer version that wrote it",
                          name, get_u32(p + AT_VERSION), IDENTITY_VERSION);
    }
    for (size_t i = AT_ZERO; i < AT_CRC; i++) {
        if (p[i] != 0) {
            return damaged(em, name, i, "reserved byte");
        }
    }
    memcpy(id.cluster_id, p + AT_CLUSTER, ID_BYTES);
    memcpy(id.dir_id, p + AT_DIR, ID_BYTES);
    id.node_id = get_u64(p + AT_NODE);
    if (memcmp(id.dir_id, no_id, ID_BYTES) == 0 ||
        (id.node_id != 0 && memcmp(id.cluster_id, no_id, ID_BYTES) == 0)) {
        return damaged(em, name, AT_CLUSTER, "empty id");
    }
    *out = id;
    return 0;
}

void identity_hex(const uint8_t id[ID_BYTES], char out[2 * ID_BYTES + 1])
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < ID_BYTES; i++) {
        out[2 * i] = digits[id[i] >> 4];
        out[2 * i + 1] = digits[id[i] & 15];
    }
    out[2 * ID_BYTES] = '\0';
}

static int save(struct disk *d, const struct identity *id, struct errmsg *em)
{
    uint8_t raw[IDENTITY_BYTES];

    identity_encode(id, raw);
    return file_replace(d, temp_name, file_name, raw, sizeof raw, em);
}

static int is_ours(void *data, const char *name)
{
    static const char *const ours[] = {"log", "snap", "vote.a", "vote.b"};

    (void)data;
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++) {
        if (strcmp(name, ours[i]) == 0) {
            return 1;
        }
    }
    return 0;
}

static int first_start(struct disk *d,
                       const uint8_t fresh[ID_BYTES],
                       struct identity *out,
                       struct errmsg *em)
{
    struct identity id;
    int rv = disk_list(d, "", is_ours, NULL);

    if (rv < 0) {
        return file_err(em, rv, "list", "the data directory");
    }
    if (rv > 0) {
        return errmsg_set(em, HF_ECORRUPT,
                          "%s is missing beside a log, vote or snapshot: "
                          "restore it from a copy, or empty the directory and "
                          "let the node join again",
                          file_name);
    }
    memset(&id, 0, sizeof id);
    memcpy(id.dir_id, fresh, ID_BYTES);
    rv = save(d, &id, em);
    if (rv == 0) {
        *out = id;
    }
    return rv;
}

static int lock_dir(struct disk *d, struct errmsg *em)
{
    int rv = mutant(NO_LOCK) ? 0 : disk_lock(d, lock_name);

    if (rv == -EAGAIN) {
        return errmsg_set(em, HF_EBUSY,
                          "the data directory is in use by another process "
                          "(file %s is locked): stop that one first, or "
                          "choose another directory",
                          lock_name);
    }
    return rv < 0 ? file_err(em, rv, "lock", lock_name) : 0;
}

int identity_open(struct disk *d,
                  const uint8_t fresh_dir_id[ID_BYTES],
                  struct identity *out,
                  struct errmsg *em)
{
    uint8_t *raw;
    int64_t n;
    int rv = lock_dir(d, em);

    if (rv < 0) {
        return rv;
    }
    hf_assert(memcmp(fresh_dir_id, no_id, ID_BYTES) != 0);
    raw = file_buf(DISK_ALIGN);
    n = file_read_head(d, file_name, raw, DISK_ALIGN);
    if (n == -ENOENT) {
        rv = first_start(d, fresh_dir_id, out, em);
    } else if (n < 0) {
        rv = file_err(em, n, "read", file_name);
    } else {
        rv = identity_decode(raw, (size_t)n, file_name, out, em);
        if (rv == 0) {
            /* A process that was killed may not have come to this sync. */
            rv = disk_sync_dir(d, "");
            rv = rv < 0 ? file_err(em, rv, "sync the directory of", file_name)
                        : 0;
        }
    }
    free(raw);
    return rv;
}

int identity_read(struct disk *d, struct identity *out, struct errmsg *em)
{
    uint8_t *raw = file_buf(DISK_ALIGN);
    int64_t n = file_read_head(d, file_name, raw, DISK_ALIGN);
    int rv = n < 0 ? file_err(em, n, "read", file_name)
                   : identity_decode(raw, (size_t)n, file_name, out, em);

    free(raw);
    return rv;
}

int identity_renew(struct disk *d,
                   struct identity *id,
                   const uint8_t dir_id[ID_BYTES],
                   struct errmsg *em)
{
    struct identity want;
    int rv;

    hf_assert(memcmp(dir_id, no_id, ID_BYTES) != 0);
    memset(&want, 0, sizeof want);
    memcpy(want.dir_id, dir_id, ID_BYTES);
    rv = save(d, &want, em);
    if (rv == 0) {
        *id = want;
    }
    return rv;
}

int identity_assign(struct disk *d,
                    struct identity *id,
                    const uint8_t cluster_id[ID_BYTES],
                    uint64_t node_id,
                    struct errmsg *em)
{
    struct identity want = *id;
    char hex[2 * ID_BYTES + 1];
    int rv;

    hf_assert(memcmp(cluster_id, no_id, ID_BYTES) != 0);
    if (memcmp(id->cluster_id, no_id, ID_BYTES) != 0 &&
        memcmp(id->cluster_id, cluster_id, ID_BYTES) != 0) {
        identity_hex(id->cluster_id, hex);
        return errmsg_set(em, HF_EIDENTITY,
                          "the data directory belongs to cluster %s already",
                          hex);
    }
    if (id->node_id != 0 && node_id != 0 && id->node_id != node_id) {
        return errmsg_set(em, HF_EIDENTITY,
                          "the data directory belongs to node %llu already",
                          (unsigned long long)id->node_id);
    }
    memcpy(want.cluster_id, cluster_id, ID_BYTES);
    want.node_id = node_id != 0 ? node_id : id->node_id;
    if (memcmp(&want, id, sizeof want) == 0) {
        return 0;
    }
    rv = save(d, &want, em);
    if (rv == 0) {
        *id = want;
    }
    return rv;
}

int identity_forget(struct disk *d, struct identity *id, struct errmsg *em)
{
    struct identity want = *id;
    int rv;

    hf_assert(id->node_id == 0);
    memset(want.cluster_id, 0, ID_BYTES);
    rv = save(d, &want, em);
    if (rv == 0) {
        *id = want;
    }
    return rv;
}
