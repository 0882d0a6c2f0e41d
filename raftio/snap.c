#include "raftio/snap.h"

#include <errno.h>
#include <lz4frame.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/crc32c.h"
#include "base/mutant.h"
#include "raftio/file_int.h"

/* Happy path of a write: header, pieces, footer to write.tmp, with a sync
 * every few MiB so that the log's syncs never wait for a large one; last
 * sync, rename, directory sync, read back. Crash before the directory sync:
 * the older snapshot and the log behind it are still there. Each piece's
 * checksum goes on from the one before, so pieces cannot change places. */

static const char snap_dir[] = "snap";
static const char write_tmp[] = "snap/write.tmp";
static const char in_tmp[] = "snap/in.tmp";
static const uint8_t head_magic[8] = {'H', 'F', 'S', 'N', 'A', 'P', '1', '\n'};
static const uint8_t foot_magic[8] = {'H', 'F', 'S', 'N', 'E', 'N', 'D', '\n'};

enum {
    HEAD_VERSION_AT = 8,
    HEAD_LEN_AT = 12,
    HEAD_CLUSTER_AT = 16,
    HEAD_NODE_AT = 32,
    HEAD_INDEX_AT = 40,
    HEAD_TERM_AT = 48,
    HEAD_CONF_INDEX_AT = 56,
    HEAD_LOG_NO_AT = 64,
    HEAD_CONF_LEN_AT = 72,
    HEAD_ZERO_AT = 76,
    HEAD_CONF_AT = 128, /* configuration, then CRC of all before */
    PIECE_HEAD = 8,     /* u32 length, u32 CRC; length 0: the footer */
    FOOT_BYTES = 44,
    FOOT_DATA_AT = 8, /* after the piece head of length 0 */
    FOOT_FILE_AT = 16,
    FOOT_PIECES_AT = 24,
    FOOT_HASH_AT = 32, /* CRC of all of the file before the footer */
    FOOT_MAGIC_AT = 36,
    IO_STEP = 1 << 20,
};
_Static_assert(FOOT_MAGIC_AT + 8 == FOOT_BYTES, "footer ends with its magic");

enum { SNAP_PATH_MAX = DISK_NAME_MAX };

static void snap_path(uint64_t index, uint64_t term, char out[SNAP_PATH_MAX])
{
    snprintf(out, SNAP_PATH_MAX, "%s/%016llx-%016llx.snap", snap_dir,
             (unsigned long long)index, (unsigned long long)term);
}

void snap_file_release(struct snap_file *m)
{
    blob_unref(m->conf_blob);
    memset(m, 0, sizeof *m);
}

static int damaged(struct errmsg *em,
                   const char *name,
                   uint64_t at,
                   const char *what)
{
    return errmsg_set(em, HF_ECORRUPT,
                      "%s is damaged at offset %llu (%s). If no repair follows "
                      "and other nodes have the data, remove this member from "
                      "the cluster, empty its directory, and let it join again",
                      name, (unsigned long long)at, what);
}

/* ---- header and footer ---- */

static void head_encode(struct buf *b,
                        const struct identity *id,
                        const struct snap_file *m)
{
    uint8_t h[HEAD_CONF_AT];

    hf_assert(m->conf.n <= SNAP_CONF_MAX);
    memset(h, 0, sizeof h);
    memcpy(h, head_magic, sizeof head_magic);
    put_u32(h + HEAD_VERSION_AT, SNAP_VERSION);
    put_u32(h + HEAD_LEN_AT, (uint32_t)(HEAD_CONF_AT + m->conf.n + 4));
    memcpy(h + HEAD_CLUSTER_AT, id->cluster_id, ID_BYTES);
    put_u64(h + HEAD_NODE_AT, m->node_id);
    put_u64(h + HEAD_INDEX_AT, m->index);
    put_u64(h + HEAD_TERM_AT, m->term);
    put_u64(h + HEAD_CONF_INDEX_AT, m->conf_index);
    put_u64(h + HEAD_LOG_NO_AT, m->log_no);
    put_u32(h + HEAD_CONF_LEN_AT, (uint32_t)m->conf.n);
    buf_append(b, h, sizeof h);
    buf_bytes_append(b, m->conf);
    buf_u32(b, crc32c(0, b->p, b->n));
}

/* Length of the header that begins at @p (HEAD_CONF_AT bytes), or <0. */
static int head_len(const uint8_t *p, const char *name, struct errmsg *em)
{
    uint32_t len = get_u32(p + HEAD_LEN_AT);

    if (memcmp(p, head_magic, sizeof head_magic) != 0) {
        return damaged(em, name, 0, "not a snapshot");
    }
    if (len < HEAD_CONF_AT + 4 || len > HEAD_CONF_AT + 4 + SNAP_CONF_MAX) {
        return damaged(em, name, HEAD_LEN_AT, "length of the header");
    }
    return (int)len;
}

static int head_decode(const uint8_t *p,
                       size_t len,
                       const char *name,
                       const struct identity *id,
                       struct snap_file *m,
                       struct errmsg *em)
{
    if (get_u32(p + len - 4) != crc32c(0, p, len - 4) && !mutant(CRC_IGNORED)) {
        return damaged(em, name, len - 4, "header checksum");
    }
    if (get_u32(p + HEAD_VERSION_AT) != SNAP_VERSION) {
        return errmsg_set(em, HF_EVERSION,
                          "%s has format version %u, this program knows %d: "
                          "start the newer version that wrote it",
                          name, get_u32(p + HEAD_VERSION_AT), SNAP_VERSION);
    }
    if (memcmp(p + HEAD_CLUSTER_AT, id->cluster_id, ID_BYTES) != 0 &&
        !mutant(SNAP_ID_UNCHECKED)) {
        return errmsg_set(em, HF_EIDENTITY,
                          "%s belongs to another cluster: put back the file "
                          "of this data directory",
                          name);
    }
    for (size_t i = HEAD_ZERO_AT; i < HEAD_CONF_AT; i++) {
        if (p[i] != 0) {
            return damaged(em, name, i, "reserved byte");
        }
    }
    if (get_u32(p + HEAD_CONF_LEN_AT) != len - HEAD_CONF_AT - 4) {
        return damaged(em, name, HEAD_CONF_LEN_AT, "configuration's length");
    }
    memset(m, 0, sizeof *m);
    m->node_id = get_u64(p + HEAD_NODE_AT);
    m->index = get_u64(p + HEAD_INDEX_AT);
    m->term = get_u64(p + HEAD_TERM_AT);
    m->conf_index = get_u64(p + HEAD_CONF_INDEX_AT);
    m->log_no = get_u64(p + HEAD_LOG_NO_AT);
    m->conf_blob = blob_copy(p + HEAD_CONF_AT, len - HEAD_CONF_AT - 4);
    m->conf = blob_bytes(m->conf_blob);
    return 0;
}

static void foot_encode(uint8_t out[FOOT_BYTES],
                        uint64_t data,
                        uint64_t before,
                        uint64_t pieces,
                        uint32_t hash,
                        uint32_t chain)
{
    memset(out, 0, FOOT_BYTES);
    put_u64(out + FOOT_DATA_AT, data);
    put_u64(out + FOOT_FILE_AT, before + FOOT_BYTES);
    put_u64(out + FOOT_PIECES_AT, pieces);
    put_u32(out + FOOT_HASH_AT, hash);
    memcpy(out + FOOT_MAGIC_AT, foot_magic, sizeof foot_magic);
    put_u32(out + 4, crc32c(crc32c(chain, out, 4), out + PIECE_HEAD,
                            FOOT_BYTES - PIECE_HEAD));
}

/* ---- writing ---- */

struct writer {
    struct disk_file *file;
    const struct snap_source *src;
    struct errmsg *em;
    struct buf out; /* not yet written */
    struct buf lz;  /* compressed, not yet cut into pieces */
    uint64_t written;
    uint64_t unsynced;
    uint64_t data_bytes;
    uint64_t pieces;
    uint32_t hash;
    uint32_t chain;
};

static int writer_sync(struct writer *w)
{
    uint64_t n = w->unsynced;
    int rv = mutant(SNAP_NO_SYNC) ? 0 : disk_sync(w->file);

    w->unsynced = 0;
    if (rv < 0) {
        return file_err(w->em, rv, "sync", write_tmp);
    }
    if (w->src->rest != NULL && w->src->bytes_per_s > 0) {
        w->src->rest(w->src->src, n * 1000000 / w->src->bytes_per_s);
    }
    return 0;
}

static int writer_flush(struct writer *w)
{
    int rv = disk_pwrite(w->file, w->out.p, w->out.n, w->written);

    if (rv < 0) {
        return file_err(w->em, rv, "write", write_tmp);
    }
    w->hash = crc32c(w->hash, w->out.p, w->out.n);
    w->written += w->out.n;
    w->unsynced += w->out.n;
    buf_clear(&w->out);
    return w->unsynced >= SNAP_SYNC_BYTES ? writer_sync(w) : 0;
}

/* Cut what is compressed into pieces; all of it when @end. */
static int writer_pieces(struct writer *w, bool end)
{
    size_t at = 0;

    while (w->lz.n - at >= SNAP_PIECE || (end && w->lz.n > at)) {
        size_t n = w->lz.n - at < SNAP_PIECE ? w->lz.n - at : SNAP_PIECE;
        uint8_t h[PIECE_HEAD];
        int rv = 0;

        put_u32(h, (uint32_t)n);
        w->chain = crc32c(crc32c(w->chain, h, 4), w->lz.p + at, n);
        put_u32(h + 4, w->chain);
        buf_append(&w->out, h, sizeof h);
        buf_append(&w->out, w->lz.p + at, n);
        w->pieces++;
        at += n;
        if (w->out.n >= IO_STEP) {
            rv = writer_flush(w);
        }
        if (rv < 0) {
            return rv;
        }
    }
    buf_consume(&w->lz, at);
    return 0;
}

static int lz_err(struct errmsg *em, const char *name, size_t code)
{
    return errmsg_set(em, HF_EIO, "compress into %s: %s", name,
                      LZ4F_getErrorName(code));
}

/* Compress @n bytes, in steps that bound the output buffer. */
static int writer_data(struct writer *w,
                       LZ4F_cctx *c,
                       const uint8_t *p,
                       size_t n)
{
    w->data_bytes += n;
    for (size_t at = 0; at < n;) {
        size_t step = n - at < IO_STEP ? n - at : IO_STEP;
        size_t r;
        int rv;

        buf_reserve(&w->lz, LZ4F_compressBound(step, NULL) + 64);
        r = LZ4F_compressUpdate(c, w->lz.p + w->lz.n, w->lz.cap - w->lz.n,
                                p + at, step, NULL);
        if (LZ4F_isError(r)) {
            return lz_err(w->em, write_tmp, r);
        }
        w->lz.n += r;
        at += step;
        rv = writer_pieces(w, false);
        if (rv < 0) {
            return rv;
        }
    }
    return 0;
}

static int writer_stream(struct writer *w, LZ4F_cctx *c)
{
    LZ4F_preferences_t prefs;
    struct buf chunk = BUF_INIT;
    size_t r;
    int more = 1;
    int rv = 0;

    memset(&prefs, 0, sizeof prefs);
    prefs.frameInfo.contentChecksumFlag = LZ4F_contentChecksumEnabled;
    buf_reserve(&w->lz, LZ4F_HEADER_SIZE_MAX);
    r = LZ4F_compressBegin(c, w->lz.p, w->lz.cap, &prefs);
    if (LZ4F_isError(r)) {
        return lz_err(w->em, write_tmp, r);
    }
    w->lz.n = r;
    while (more == 1 && rv == 0) {
        buf_clear(&chunk);
        more = w->src->next(w->src->src, &chunk);
        rv = more < 0 ? errmsg_set(w->em, more, "snapshot given up")
                      : writer_data(w, c, chunk.p, chunk.n);
    }
    buf_release(&chunk);
    if (rv < 0) {
        return rv;
    }
    buf_reserve(&w->lz, LZ4F_compressBound(0, NULL) + 64);
    r = LZ4F_compressEnd(c, w->lz.p + w->lz.n, w->lz.cap - w->lz.n, NULL);
    if (LZ4F_isError(r)) {
        return lz_err(w->em, write_tmp, r);
    }
    w->lz.n += r;
    return writer_pieces(w, true);
}

static int writer_run(struct writer *w,
                      const struct identity *id,
                      struct snap_file *m)
{
    uint8_t foot[FOOT_BYTES];
    LZ4F_cctx *c = NULL;
    size_t r = LZ4F_createCompressionContext(&c, LZ4F_VERSION);
    int rv;

    hf_assert(!LZ4F_isError(r));
    head_encode(&w->out, id, m);
    w->chain = get_u32(w->out.p + w->out.n - 4);
    rv = writer_stream(w, c);
    LZ4F_freeCompressionContext(c);
    if (rv == 0) {
        rv = writer_flush(w);
    }
    if (rv < 0) {
        return rv;
    }
    foot_encode(foot, w->data_bytes, w->written, w->pieces, w->hash, w->chain);
    buf_append(&w->out, foot, sizeof foot);
    rv = writer_flush(w);
    if (rv == 0) {
        rv = writer_sync(w);
    }
    m->file_bytes = w->written;
    m->data_bytes = w->data_bytes;
    m->hash = get_u32(foot + FOOT_HASH_AT);
    return rv;
}

static int sync_dir(struct disk *d, struct errmsg *em)
{
    int rv = mutant(NO_DIR_SYNC) ? 0 : disk_sync_dir(d, snap_dir);

    return rv < 0 ? file_err(em, rv, "sync directory", snap_dir) : 0;
}

static int publish(struct disk *d,
                   const char *tmp,
                   const char *name,
                   struct errmsg *em)
{
    int rv = disk_rename(d, tmp, name);

    if (rv < 0) {
        return file_err(em, rv, "rename into", name);
    }
    return sync_dir(d, em);
}

static int verify_file(struct disk *d,
                       const char *name,
                       const struct identity *id,
                       uint64_t index,
                       uint64_t term,
                       const struct snap_sink *s,
                       struct snap_file *m,
                       struct errmsg *em);

int snap_write(struct disk *d,
               const struct identity *id,
               struct snap_file *m,
               const struct snap_source *s,
               struct errmsg *em)
{
    struct snap_sink none = {NULL, NULL};
    struct snap_file back;
    struct writer w;
    char name[SNAP_PATH_MAX];
    int rv;

    hf_assert(m->index != 0 && m->term != 0);
    memset(&w, 0, sizeof w);
    memset(&back, 0, sizeof back);
    w.src = s;
    w.em = em;
    m->node_id = id->node_id;
    snap_path(m->index, m->term, name);
    rv =
        disk_open(d, write_tmp, DISK_WRITE | DISK_CREATE | DISK_TRUNC, &w.file);
    if (rv < 0) {
        return file_err(em, rv, "create", write_tmp);
    }
    rv = writer_run(&w, id, m);
    disk_close(w.file);
    buf_release(&w.out);
    buf_release(&w.lz);
    if (rv == 0) {
        rv = publish(d, write_tmp, name, em);
    }
    if (rv < 0) {
        (void)disk_unlink(d, write_tmp);
        return rv;
    }
    rv = verify_file(d, name, id, m->index, m->term, &none, &back, em);
    snap_file_release(&back);
    if (rv < 0) {
        /* Read back wrong: the older one is still there and still counts. */
        (void)disk_unlink(d, name);
        (void)sync_dir(d, NULL);
    }
    return rv;
}

/* ---- reading ---- */

/* A file read in steps, past the page cache; @acc has what is not used. */
struct stream {
    struct disk_file *file;
    const char *name;
    struct errmsg *em;
    uint8_t *raw;
    struct buf acc;
    uint64_t read; /* bytes taken from the file */
    uint64_t pos;  /* bytes used */
    uint32_t hash;
    bool end;
};

/* Have @n bytes at acc.p; damaged if the file ends before. */
static int stream_need(struct stream *s, size_t n)
{
    while (s->acc.n < n) {
        int64_t got;

        if (s->end) {
            return damaged(s->em, s->name, s->pos + s->acc.n, "cut short");
        }
        got = disk_pread(s->file, s->raw, IO_STEP, s->read);
        if (got < 0) {
            return file_err(s->em, got, "read", s->name);
        }
        s->end = got < IO_STEP;
        s->read += (uint64_t)got;
        buf_append(&s->acc, s->raw, (size_t)got);
    }
    return 0;
}

static void stream_use(struct stream *s, size_t n)
{
    s->hash = crc32c(s->hash, s->acc.p, n);
    buf_consume(&s->acc, n);
    s->pos += n;
}

static int feed_piece(struct stream *s,
                      LZ4F_dctx *d,
                      const uint8_t *p,
                      size_t n,
                      const struct snap_sink *sink,
                      uint8_t *plain,
                      uint64_t *data,
                      bool *frame_end)
{
    while (n > 0) {
        size_t in = n;
        size_t out = IO_STEP;
        size_t r = LZ4F_decompress(d, plain, &out, p, &in, NULL);
        int rv = 0;

        if (LZ4F_isError(r) || *frame_end) {
            return damaged(s->em, s->name, s->pos, "compressed data");
        }
        *data += out;
        if (out > 0 && sink->feed != NULL) {
            rv = sink->feed(sink->dst, bytes_of(plain, out));
        }
        if (rv < 0) {
            return errmsg_set(s->em, rv,
                              "load %s: content refused near "
                              "offset %llu",
                              s->name, (unsigned long long)s->pos);
        }
        *frame_end = r == 0;
        p += in;
        n -= in;
    }
    return 0;
}

static int check_foot(struct stream *s,
                      uint64_t data,
                      uint64_t pieces,
                      uint32_t chain,
                      uint32_t hash,
                      bool frame_end)
{
    uint8_t want[FOOT_BYTES];
    int rv = stream_need(s, FOOT_BYTES);

    if (rv < 0) {
        return mutant(SNAP_FOOTER_UNCHECKED) ? 0 : rv;
    }
    foot_encode(want, data, s->pos, pieces, hash, chain);
    if (mutant(SNAP_FOOTER_UNCHECKED)) {
        return 0;
    }
    if (memcmp(want, s->acc.p, FOOT_BYTES) != 0 && !mutant(CRC_IGNORED)) {
        return damaged(s->em, s->name, s->pos, "footer");
    }
    if (!frame_end) {
        return damaged(s->em, s->name, s->pos, "compressed data cut short");
    }
    stream_use(s, FOOT_BYTES);
    if (s->acc.n > 0 || !s->end) {
        return damaged(s->em, s->name, s->pos, "bytes after the footer");
    }
    return 0;
}

static int read_pieces(struct stream *s,
                       LZ4F_dctx *d,
                       uint32_t chain,
                       const struct snap_sink *sink,
                       struct snap_file *m)
{
    uint8_t *plain = hf_malloc(IO_STEP);
    uint64_t data = 0;
    uint64_t pieces = 0;
    bool frame_end = false;
    int rv;

    for (;;) {
        uint32_t n;

        rv = stream_need(s, PIECE_HEAD);
        n = rv < 0 ? 0 : get_u32(s->acc.p);
        if (n == 0) {
            break;
        }
        rv = n > SNAP_PIECE ? damaged(s->em, s->name, s->pos, "piece's length")
                            : stream_need(s, PIECE_HEAD + n);
        if (rv < 0) {
            break;
        }
        chain = crc32c(crc32c(chain, s->acc.p, 4), s->acc.p + PIECE_HEAD, n);
        if (chain != get_u32(s->acc.p + 4) && !mutant(CRC_IGNORED)) {
            rv = damaged(s->em, s->name, s->pos, "piece's checksum");
            break;
        }
        rv = feed_piece(s, d, s->acc.p + PIECE_HEAD, n, sink, plain, &data,
                        &frame_end);
        if (rv < 0) {
            break;
        }
        stream_use(s, PIECE_HEAD + n);
        pieces++;
    }
    m->hash = s->hash;
    if (rv == 0 || (s->acc.n == 0 && mutant(SNAP_FOOTER_UNCHECKED))) {
        rv = check_foot(s, data, pieces, chain, s->hash, frame_end);
    }
    free(plain);
    m->data_bytes = data;
    m->file_bytes = s->pos;
    return rv;
}

static int read_head(struct stream *s,
                     const struct identity *id,
                     struct snap_file *m,
                     uint32_t *chain)
{
    int rv = stream_need(s, HEAD_CONF_AT);
    int len = rv < 0 ? rv : head_len(s->acc.p, s->name, s->em);

    if (len < 0) {
        return len;
    }
    rv = stream_need(s, (size_t)len);
    if (rv == 0) {
        rv = head_decode(s->acc.p, (size_t)len, s->name, id, m, s->em);
    }
    if (rv == 0) {
        *chain = get_u32(s->acc.p + len - 4);
        stream_use(s, (size_t)len);
    }
    return rv;
}

static int verify_stream(struct stream *s,
                         const struct identity *id,
                         uint64_t index,
                         uint64_t term,
                         const struct snap_sink *sink,
                         struct snap_file *m)
{
    LZ4F_dctx *d = NULL;
    size_t r = LZ4F_createDecompressionContext(&d, LZ4F_VERSION);
    uint32_t chain;
    int rv;

    hf_assert(!LZ4F_isError(r));
    rv = read_head(s, id, m, &chain);
    if (rv == 0 && (m->index != index || m->term != term)) {
        rv = damaged(s->em, s->name, HEAD_INDEX_AT, "index or term");
    }
    if (rv == 0) {
        rv = read_pieces(s, d, chain, sink, m);
    }
    LZ4F_freeDecompressionContext(d);
    return rv;
}

static int verify_file(struct disk *d,
                       const char *name,
                       const struct identity *id,
                       uint64_t index,
                       uint64_t term,
                       const struct snap_sink *sink,
                       struct snap_file *m,
                       struct errmsg *em)
{
    struct stream s;
    int rv;

    memset(&s, 0, sizeof s);
    memset(m, 0, sizeof *m);
    s.name = name;
    s.em = em;
    rv = disk_open(d, name, DISK_READ | DISK_DIRECT, &s.file);
    if (rv < 0) {
        return file_err(em, rv, "open", name);
    }
    s.raw = file_buf(IO_STEP);
    rv = verify_stream(&s, id, index, term, sink, m);
    disk_close(s.file);
    free(s.raw);
    buf_release(&s.acc);
    if (rv < 0) {
        snap_file_release(m);
    }
    return rv;
}

int snap_read(struct disk *d,
              const struct identity *id,
              uint64_t index,
              uint64_t term,
              const struct snap_sink *s,
              struct snap_file *m,
              struct errmsg *em)
{
    char name[SNAP_PATH_MAX];

    snap_path(index, term, name);
    return verify_file(d, name, id, index, term, s, m, em);
}

void snap_name(uint64_t index, uint64_t term, char *out)
{
    snap_path(index, term, out);
}

int snap_verify(struct disk *d,
                const struct identity *id,
                const char *name,
                uint64_t index,
                uint64_t term,
                struct snap_file *m,
                struct errmsg *em)
{
    struct snap_sink none = {NULL, NULL};

    return verify_file(d, name, id, index, term, &none, m, em);
}

/* ---- the directory ---- */

struct snap_list {
    struct {
        uint64_t index;
        uint64_t term;
    } v[SNAP_LIST_MAX];
    size_t n;
    bool tmp_write;
    bool tmp_in;
    bool part; /* says how much of it is good */
};

static int list_one(void *data, const char *name)
{
    struct snap_list *l = data;
    unsigned long long index;
    unsigned long long term;
    char tail[8] = "";

    if (strcmp(name, "write.tmp") == 0) {
        l->tmp_write = true;
    } else if (strcmp(name, "in.tmp") == 0) {
        l->tmp_in = true;
    } else if (strcmp(name, "in.part") == 0) {
        l->part = true;
    } else if (sscanf(name, "%16llx-%16llx%7s", &index, &term, tail) == 3 &&
               strcmp(tail, ".snap") == 0) {
        if (l->n == SNAP_LIST_MAX) {
            return -EOVERFLOW;
        }
        l->v[l->n].index = index;
        l->v[l->n++].term = term;
    }
    return 0;
}

static int list_snaps(struct disk *d, struct snap_list *l, struct errmsg *em)
{
    int rv;

    memset(l, 0, sizeof *l);
    rv = disk_list(d, snap_dir, list_one, l);
    return rv < 0 ? file_err(em, rv, "list", snap_dir) : 0;
}

/* Header and footer of a final file, without what is between. */
static int peek_file(struct stream *s,
                     const struct identity *id,
                     uint64_t index,
                     uint64_t term,
                     struct snap_file *m)
{
    int64_t size = disk_size(s->file);
    uint8_t foot[FOOT_BYTES];
    uint32_t chain;
    int64_t got;
    int rv;

    if (size < 0) {
        return file_err(s->em, size, "size of", s->name);
    }
    rv = read_head(s, id, m, &chain);
    if (rv < 0) {
        return rv;
    }
    if (m->index != index || m->term != term) {
        return damaged(s->em, s->name, HEAD_INDEX_AT, "index or term");
    }
    if ((uint64_t)size < s->pos + FOOT_BYTES) {
        return damaged(s->em, s->name, (uint64_t)size, "cut short");
    }
    got = disk_pread(s->file, foot, FOOT_BYTES, (uint64_t)size - FOOT_BYTES);
    if (got < 0) {
        return file_err(s->em, got, "read", s->name);
    }
    if (got != FOOT_BYTES ||
        memcmp(foot + FOOT_MAGIC_AT, foot_magic, sizeof foot_magic) != 0 ||
        get_u64(foot + FOOT_FILE_AT) != (uint64_t)size) {
        return damaged(s->em, s->name, (uint64_t)size - FOOT_BYTES, "footer");
    }
    m->file_bytes = (uint64_t)size;
    m->data_bytes = get_u64(foot + FOOT_DATA_AT);
    m->hash = get_u32(foot + FOOT_HASH_AT);
    return 0;
}

static int peek(struct disk *d,
                const struct identity *id,
                uint64_t index,
                uint64_t term,
                struct snap_file *m,
                struct errmsg *em)
{
    char name[SNAP_PATH_MAX];
    struct stream s;
    int rv;

    snap_path(index, term, name);
    memset(&s, 0, sizeof s);
    s.name = name;
    s.em = em;
    rv = disk_open(d, name, DISK_READ, &s.file);
    if (rv < 0) {
        return file_err(em, rv, "open", name);
    }
    s.raw = file_buf(IO_STEP);
    rv = peek_file(&s, id, index, term, m);
    disk_close(s.file);
    free(s.raw);
    buf_release(&s.acc);
    if (rv < 0) {
        snap_file_release(m);
    }
    return rv;
}

static int prepare_dir(struct disk *d, struct snap_list *l, struct errmsg *em)
{
    int rv = disk_mkdir(d, snap_dir);

    if (rv < 0 && rv != -EEXIST) {
        return file_err(em, rv, "make directory", snap_dir);
    }
    rv = disk_sync_dir(d, "");
    if (rv < 0) {
        return file_err(em, rv, "sync the directory of", snap_dir);
    }
    rv = list_snaps(d, l, em);
    if (rv < 0) {
        return rv;
    }
    rv = l->tmp_write ? disk_unlink(d, write_tmp) : 0;
    if (rv == 0 && l->tmp_in && !l->part) {
        rv = disk_unlink(d, in_tmp);
    }
    if (rv < 0) {
        return file_err(em, rv, "remove temporary files in", snap_dir);
    }
    /* A killed process may not have come to the sync of its rename. */
    return sync_dir(d, em);
}

int snap_open(struct disk *d,
              const struct identity *id,
              struct snap_file *m,
              struct errmsg *em)
{
    struct snap_list l;
    int rv = prepare_dir(d, &l, em);

    memset(m, 0, sizeof *m);
    if (rv < 0 || l.n == 0) {
        return rv;
    }
    /* The list is in order of the names: by index, then term. */
    rv = peek(d, id, l.v[l.n - 1].index, l.v[l.n - 1].term, m, em);
    if (rv == HF_ECORRUPT && mutant(SNAP_OLD_FALLBACK) && l.n > 1) {
        rv = peek(d, id, l.v[l.n - 2].index, l.v[l.n - 2].term, m, em);
    }
    return rv;
}

int snap_newest(struct disk *d,
                uint64_t *index,
                uint64_t *term,
                struct errmsg *em)
{
    struct snap_list l;
    int rv = list_snaps(d, &l, em);

    *index = rv == 0 && l.n > 0 ? l.v[l.n - 1].index : 0;
    *term = rv == 0 && l.n > 0 ? l.v[l.n - 1].term : 0;
    return rv;
}

int snap_retire(struct disk *d, uint64_t index, struct errmsg *em)
{
    struct snap_list l;
    char name[SNAP_PATH_MAX];
    int rv = list_snaps(d, &l, em);

    for (size_t i = 0; i < l.n && rv == 0; i++) {
        if (l.v[i].index >= index) {
            break;
        }
        snap_path(l.v[i].index, l.v[i].term, name);
        rv = disk_unlink(d, name);
        rv = rv < 0 ? file_err(em, rv, "remove", name) : sync_dir(d, em);
    }
    return rv;
}

/* ---- sending ---- */

int snap_open_for_send(struct disk *d,
                       uint64_t index,
                       uint64_t term,
                       struct snap_out *out,
                       struct errmsg *em)
{
    char name[SNAP_PATH_MAX];
    struct disk_file *f;
    int64_t size;
    int rv;

    snap_path(index, term, name);
    rv = disk_open(d, name, DISK_READ, &f);
    if (rv < 0) {
        return file_err(em, rv, "open", name);
    }
    size = disk_size(f);
    if (size < 0) {
        disk_close(f);
        return file_err(em, size, "size of", name);
    }
    out->file = f;
    out->bytes = (uint64_t)size;
    return 0;
}

int64_t snap_out_read(struct snap_out *o,
                      void *p,
                      size_t n,
                      uint64_t off,
                      struct errmsg *em)
{
    int64_t got = disk_pread(o->file, p, n, off);

    return got < 0 ? file_err(em, got, "read", snap_dir) : got;
}

void snap_out_close(struct snap_out *o)
{
    disk_close(o->file);
    o->file = NULL;
}

/* ---- receiving ---- */

int snap_in_begin(struct disk *d,
                  const struct identity *id,
                  uint64_t index,
                  uint64_t term,
                  uint64_t bytes,
                  struct snap_in *in,
                  struct errmsg *em)
{
    struct disk_file *f;
    int rv;

    hf_assert(in->file == NULL && index != 0 && term != 0);
    rv = disk_open(d, in_tmp, DISK_WRITE | DISK_CREATE | DISK_TRUNC, &f);
    if (rv < 0) {
        return file_err(em, rv, "create", in_tmp);
    }
    memset(in, 0, sizeof *in);
    in->disk = d;
    in->file = f;
    in->id = *id;
    in->index = index;
    in->term = term;
    in->bytes = bytes;
    return 0;
}

int snap_in_write(struct snap_in *in,
                  uint64_t off,
                  const void *p,
                  size_t n,
                  struct errmsg *em)
{
    int rv;

    if (off != in->have || n > in->bytes - in->have) {
        return errmsg_set(em, HF_EINVAL,
                          "snapshot bytes at %llu+%zu, expected at %llu of "
                          "%llu",
                          (unsigned long long)off, n,
                          (unsigned long long)in->have,
                          (unsigned long long)in->bytes);
    }
    rv = disk_pwrite(in->file, p, n, off);
    if (rv < 0) {
        return file_err(em, rv, "write", in_tmp);
    }
    in->have += n;
    in->unsynced += n;
    if (in->unsynced >= SNAP_SYNC_BYTES) {
        in->unsynced = 0;
        rv = disk_sync(in->file);
    }
    return rv < 0 ? file_err(em, rv, "sync", in_tmp) : 0;
}

int snap_in_finish(struct snap_in *in, struct snap_file *m, struct errmsg *em)
{
    struct snap_sink none = {NULL, NULL};
    char name[SNAP_PATH_MAX];
    int rv;

    memset(m, 0, sizeof *m);
    snap_path(in->index, in->term, name);
    if (in->have != in->bytes) {
        rv = damaged(em, in_tmp, in->have, "cut short on the way");
    } else {
        rv = mutant(SNAP_NO_SYNC) ? 0 : disk_sync(in->file);
        rv = rv < 0 ? file_err(em, rv, "sync", in_tmp) : 0;
    }
    if (rv == 0) {
        rv = verify_file(in->disk, in_tmp, &in->id, in->index, in->term, &none,
                         m, em);
    }
    if (rv == 0) {
        rv = publish(in->disk, in_tmp, name, em);
    }
    if (rv < 0) {
        snap_file_release(m);
        snap_in_abort(in);
        return rv;
    }
    disk_close(in->file);
    in->file = NULL;
    return 0;
}

int snap_adopt(struct disk *d,
               const char *name,
               uint64_t index,
               uint64_t term,
               struct errmsg *em)
{
    char final[SNAP_PATH_MAX];

    snap_path(index, term, final);
    return publish(d, name, final, em);
}

void snap_in_abort(struct snap_in *in)
{
    if (in->file == NULL) {
        return;
    }
    disk_close(in->file);
    in->file = NULL;
    (void)disk_unlink(in->disk, in_tmp);
}
