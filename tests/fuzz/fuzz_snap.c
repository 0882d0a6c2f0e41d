/* libFuzzer target: snapshot files. What is accepted is the state of one
 * machine: written anew and read back it is the same; and a file that comes
 * from a peer is taken if and only if it is also good at start.
 *
 *   first byte % 3   0: a file as it is
 *                    1: a file; checksums and footer are put right
 *                    2: a state stream, written into a file
 *   then             the file, or the stream */
#include <lz4frame.h>

#include "raftio/snap.h"
#include "server/store/machine.h"
#include "tests/fuzz/fuzz.h"

enum { HEAD = 128, PIECE_HEAD = 8, FOOT = 44, STREAM_MAX = 1 << 20 };

/* Bytes that LZ4 makes of a piece, as far as it is right. */
static uint64_t plain_bytes(LZ4F_dctx *c, const uint8_t *p, size_t n)
{
    static uint8_t out[64 << 10];
    uint64_t sum = 0;

    while (n > 0) {
        size_t in = n;
        size_t k = sizeof out;
        size_t r = LZ4F_decompress(c, out, &k, p, &in, NULL);

        if (LZ4F_isError(r)) {
            break;
        }
        sum += k;
        p += in;
        n -= in;
    }
    return sum;
}

static void mend_foot(uint8_t *p,
                      size_t at,
                      uint64_t data,
                      uint64_t pieces,
                      uint32_t chain)
{
    uint8_t *f = p + at;

    put_u64(f + 8, data);
    put_u64(f + 16, at + FOOT);
    put_u64(f + 24, pieces);
    put_u32(f + 32, crc32c(0, p, at));
    put_u32(f + 4, crc32c(crc32c(chain, f, 4), f + 8, FOOT - 8));
}

static void mend(uint8_t *p, size_t n)
{
    size_t at = n < HEAD ? 0 : get_u32(p + 12);
    LZ4F_dctx *c = NULL;
    uint64_t data = 0;
    uint64_t pieces = 0;
    uint32_t chain;

    if (at < HEAD + 4 || at > n) {
        return;
    }
    chain = crc32c(0, p, at - 4);
    put_u32(p + at - 4, chain);
    hf_assert(!LZ4F_isError(LZ4F_createDecompressionContext(&c, 100)));
    while (n - at >= PIECE_HEAD) {
        size_t k = get_u32(p + at);

        if (k == 0) {
            if (n - at >= FOOT) {
                mend_foot(p, at, data, pieces, chain);
            }
            break;
        }
        if (k > n - at - PIECE_HEAD) {
            break;
        }
        chain = crc32c(crc32c(chain, p + at, 4), p + at + PIECE_HEAD, k);
        put_u32(p + at + 4, chain);
        data += plain_bytes(c, p + at + PIECE_HEAD, k);
        pieces++;
        at += PIECE_HEAD + k;
    }
    LZ4F_freeDecompressionContext(c);
}

/* ---- machine and file ---- */

struct load {
    struct machine_load *l;
    uint64_t n;
};

static int feed(void *dst, struct bytes b)
{
    struct load *l = dst;

    l->n += b.n;
    return l->n > STREAM_MAX ? HF_ELIMIT : machine_load_feed(l->l, b, NULL);
}

/* The machine in the file, NULL if it is not good; *@rv says why. */
static struct machine *load_file(struct disk *d,
                                 uint64_t index,
                                 uint64_t term,
                                 struct snap_file *f,
                                 int *rv)
{
    struct load l = {machine_load_begin(), 0};
    struct snap_sink sink = {feed, &l};
    struct identity id = fuzz_who();
    struct errmsg em = {{0}};
    struct machine *m = NULL;

    *rv = snap_read(d, &id, index, term, &sink, f, &em);
    hf_assert(*rv == 0 || em.text[0] != '\0');
    if (*rv == 0) {
        *rv = machine_load_finish(l.l, &m, &em);
    }
    if (m == NULL) {
        machine_load_abort(l.l);
    }
    return m;
}

static int next(void *src, struct buf *out)
{
    return machine_snapshot_next(src, out) ? 1 : 0;
}

static void write_again(struct machine *m, const struct snap_file *f)
{
    struct disk *d = disk_sim_new();
    struct machine_frozen *z = machine_freeze(m);
    struct snap_source src = {.next = next, .src = z};
    struct snap_file is = *f;
    struct snap_file back = {0};
    struct identity id = fuzz_who();
    struct machine *other;
    int rv;

    is.conf_blob = NULL;
    hf_assert(disk_mkdir(d, "snap") == 0);
    hf_assert(snap_write(d, &id, &is, &src, NULL) == 0);
    machine_freeze_release(m, z);
    other = load_file(d, f->index, f->term, &back, &rv);
    hf_assert(other != NULL);
    hf_assert(machine_digest(m) == machine_digest(other));
    hf_assert(bytes_eq(f->conf, back.conf) && f->log_no == back.log_no &&
              f->conf_index == back.conf_index);
    snap_file_release(&back);
    machine_free(other);
    disk_sim_free(d);
}

/* ---- files ---- */

static void from_peer(struct bytes b, uint64_t index, uint64_t term, int want)
{
    struct disk *d = disk_sim_new();
    struct identity id = fuzz_who();
    struct snap_in in = {0};
    struct snap_file f = {0};
    int rv;

    hf_assert(disk_mkdir(d, "snap") == 0);
    hf_assert(snap_in_begin(d, &id, index, term, b.n, &in, NULL) == 0);
    for (uint64_t at = 0; at < b.n; at = in.have) {
        size_t k = b.n - at < 1000 ? b.n - at : 1000;

        hf_assert(snap_in_write(&in, at + 1, b.p + at, k, NULL) < 0);
        hf_assert(snap_in_write(&in, at, b.p + at, k, NULL) == 0);
    }
    rv = snap_in_finish(&in, &f, NULL);
    hf_assert((rv == 0) == (want == 0));
    snap_file_release(&f);
    disk_sim_free(d);
}

static void fuzz_file(struct bytes b, bool mended)
{
    uint64_t index = b.n < HEAD ? 1 : get_u64(b.p + 40);
    uint64_t term = b.n < HEAD ? 1 : get_u64(b.p + 48);
    struct disk *d = disk_sim_new();
    struct identity id = fuzz_who();
    struct snap_file f = {0};
    struct errmsg em = {{0}};
    char name[DISK_NAME_MAX];
    uint8_t *p = fuzz_copy(b);
    struct machine *m;
    int rv;

    if (mended) {
        mend(p, b.n);
    }
    snap_name(index, term, name);
    hf_assert(disk_mkdir(d, "snap") == 0);
    fuzz_put(d, name, bytes_of(p, b.n));
    rv = snap_verify(d, &id, name, index, term, &f, &em);
    hf_assert(rv == 0 || em.text[0] != '\0');
    snap_file_release(&f);
    if (index != 0 && term != 0) { /* others are never asked for */
        from_peer(bytes_of(p, b.n), index, term, rv);
    }
    /* What is whole is also found. */
    hf_assert(snap_open(d, &id, &f, &em) == 0 || rv != 0);
    snap_file_release(&f);
    m = load_file(d, index, term, &f, &rv);
    if (m != NULL) {
        if (index != 0 && term != 0) {
            write_again(m, &f);
        }
        machine_free(m);
    }
    snap_file_release(&f);
    free(p);
    disk_sim_free(d);
}

static int all_at_once(void *src, struct buf *out)
{
    buf_bytes_append(out, *(struct bytes *)src);
    return 0;
}

static void fuzz_stream(struct bytes b)
{
    uint8_t *p = fuzz_copy(b);
    struct bytes stream = bytes_of(p, b.n);
    struct snap_source src = {.next = all_at_once, .src = &stream};
    struct snap_file f = {.index = 6, .term = 2, .log_no = 3};
    struct disk *d = disk_sim_new();
    struct identity id = fuzz_who();
    struct machine *m;
    int rv;

    fuzz_mend_stream(p, b.n);
    hf_assert(disk_mkdir(d, "snap") == 0);
    hf_assert(snap_write(d, &id, &f, &src, NULL) == 0);
    hf_assert(f.data_bytes == b.n);
    m = load_file(d, 6, 2, &f, &rv);
    if (m != NULL) {
        write_again(m, &f);
        machine_free(m);
    }
    snap_file_release(&f);
    free(p);
    disk_sim_free(d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    if (data[0] % 3 == 2) {
        fuzz_stream(bytes_of(data + 1, size - 1));
    } else {
        fuzz_file(bytes_of(data + 1, size - 1), data[0] % 3 == 1);
    }
    return 0;
}
