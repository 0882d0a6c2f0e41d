#include "raftio/snap.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "tests/sim/disk_sim.h"
#include "tests/unit/wal_env.h"

static struct identity who(void)
{
    struct identity id;

    memset(&id, 0, sizeof id);
    memset(id.cluster_id, 1, ID_BYTES);
    memset(id.dir_id, 2, ID_BYTES);
    id.node_id = 5;
    return id;
}

/* Content of @total bytes that compress a little, by @seed. */
struct gen {
    uint64_t seed;
    size_t total;
    size_t at;
};

static uint8_t gen_byte(uint64_t seed, size_t i)
{
    struct rng r = {seed * 1000003 + i / 3};

    return (uint8_t)rng_next(&r);
}

static int gen_next(void *src, struct buf *out)
{
    struct gen *g = src;

    for (int i = 0; i < 5000 && g->at < g->total; i++) {
        buf_u8(out, gen_byte(g->seed, g->at++));
    }
    return g->at < g->total ? 1 : 0;
}

static int gen_feed(void *dst, struct bytes b)
{
    struct gen *g = dst;

    for (size_t i = 0; i < b.n; i++) {
        if (b.p[i] != gen_byte(g->seed, g->at++)) {
            return HF_EINVAL;
        }
    }
    return 0;
}

static int write_one(struct disk *d,
                     uint64_t index,
                     size_t total,
                     struct errmsg *em)
{
    struct identity id = who();
    struct gen g = {index, total, 0};
    struct snap_source src = {gen_next, &g, NULL, 0};
    struct snap_file m;

    memset(&m, 0, sizeof m);
    m.index = index;
    m.term = 7;
    m.conf_index = 2;
    m.conf = bytes_str("configuration");
    m.log_no = 11;
    return snap_write(d, &id, &m, &src, em);
}

/* 0 and content right, or the error. */
static int read_one(struct disk *d,
                    uint64_t index,
                    size_t total,
                    struct errmsg *em)
{
    struct identity id = who();
    struct gen g = {index, total, 0};
    struct snap_sink sink = {gen_feed, &g};
    struct snap_file m;
    int rv = snap_read(d, &id, index, 7, &sink, &m, em);

    if (rv == 0) {
        assert_int_equal(g.at, total);
        assert_int_equal(m.data_bytes, total);
        assert_int_equal(m.conf_index, 2);
        assert_int_equal(m.log_no, 11);
        assert_int_equal(m.node_id, 5);
        assert_true(bytes_eq(m.conf, bytes_str("configuration")));
        snap_file_release(&m);
    }
    return rv;
}

static uint64_t newest(struct disk *d)
{
    struct identity id = who();
    struct errmsg em = {{0}};
    struct snap_file m;
    uint64_t index;

    if (snap_open(d, &id, &m, &em) != 0) {
        fail_msg("%s", em.text);
    }
    index = m.index;
    snap_file_release(&m);
    return index;
}

/* What was written is read back, of all sizes around a piece. */
static void round_trip(void **state)
{
    static const size_t sizes[] = {0, 1, 65535, 65536, 65537, 700000};

    (void)state;
    for (size_t i = 0; i < 6; i++) {
        struct disk *d = disk_sim_new();
        struct errmsg em = {{0}};

        assert_int_equal(newest(d), 0);
        assert_int_equal(write_one(d, 9, sizes[i], &em), 0);
        disk_sim_crash(d, i);
        assert_int_equal(newest(d), 9);
        assert_int_equal(read_one(d, 9, sizes[i], &em), 0);
        disk_sim_free(d);
    }
}

/* The newest counts; older ones go when told. */
static void retire(void **state)
{
    struct disk *d = disk_sim_new();
    struct errmsg em = {{0}};

    (void)state;
    assert_int_equal(newest(d), 0);
    for (uint64_t i = 7; i < 20; i += 4) {
        assert_int_equal(write_one(d, i, 100, &em), 0);
    }
    assert_int_equal(newest(d), 19);
    assert_int_equal(snap_retire(d, 19, &em), 0);
    disk_sim_crash(d, 0);
    assert_int_equal(newest(d), 19);
    assert_int_equal(read_one(d, 15, 100, &em), HF_ENOENT);
    disk_sim_free(d);
}

static const char file9[] = "snap/0000000000000009-0000000000000007.snap";

/* Whichever bit changes: refused, never other content. */
static void every_bit(void **state)
{
    struct disk *d = disk_sim_new();
    struct errmsg em = {{0}};
    uint64_t bits;

    (void)state;
    assert_int_equal(newest(d), 0);
    assert_int_equal(write_one(d, 9, 1000, &em), 0);
    bits = (uint64_t)disk_sim_size(d, file9) * 8;
    assert_true(bits > 8000);
    for (uint64_t bit = 0; bit < bits; bit++) {
        int rv;

        disk_sim_flip(d, file9, bit);
        rv = read_one(d, 9, 1000, &em);
        assert_int_equal(rv, HF_ECORRUPT);
        assert_non_null(strstr(em.text, file9));
        disk_sim_flip(d, file9, bit);
    }
    assert_int_equal(read_one(d, 9, 1000, &em), 0);
    disk_sim_free(d);
}

/* Cut anywhere, or with bytes behind its end: refused. */
static void every_cut(void **state)
{
    struct disk *d = disk_sim_new();
    struct errmsg em = {{0}};
    struct disk_file *f;

    (void)state;
    assert_int_equal(newest(d), 0);
    assert_int_equal(write_one(d, 9, 3000, &em), 0);
    for (int64_t n = disk_sim_size(d, file9) - 1; n >= 0; n--) {
        disk_sim_cut(d, file9, (uint64_t)n);
        assert_int_equal(read_one(d, 9, 3000, &em), HF_ECORRUPT);
    }
    assert_int_equal(disk_unlink(d, file9), 0);
    assert_int_equal(write_one(d, 9, 3000, &em), 0);
    assert_int_equal(disk_open(d, file9, DISK_WRITE, &f), 0);
    assert_int_equal(disk_pwrite(f, "x", 1, (uint64_t)disk_size(f)), 0);
    disk_close(f);
    assert_int_equal(read_one(d, 9, 3000, &em), HF_ECORRUPT);
    disk_sim_free(d);
}

/* A damaged newest one is refused even beside a whole older one. */
static void no_fallback(void **state)
{
    struct disk *d = disk_sim_new();
    struct identity id = who();
    struct errmsg em = {{0}};
    struct snap_file m;

    (void)state;
    assert_int_equal(newest(d), 0);
    assert_int_equal(write_one(d, 5, 1000, &em), 0);
    assert_int_equal(write_one(d, 9, 1000, &em), 0);
    disk_sim_cut(d, file9, 800);
    assert_int_equal(snap_open(d, &id, &m, &em), HF_ECORRUPT);
    assert_non_null(strstr(em.text, file9));
    disk_sim_free(d);
}

/* A snapshot of another cluster is refused, at start and on receipt. */
static void foreign(void **state)
{
    struct disk *d = disk_sim_new();
    struct identity id = who();
    struct errmsg em = {{0}};
    struct snap_file m;

    (void)state;
    assert_int_equal(newest(d), 0);
    assert_int_equal(write_one(d, 9, 1000, &em), 0);
    id.cluster_id[3] ^= 1;
    assert_int_equal(snap_open(d, &id, &m, &em), HF_EIDENTITY);
    disk_sim_free(d);
}

/* The power fails at each disk call while the second snapshot is written and
 * the first retired: the start finds the second if its writing was answered,
 * one of the two in any case, and it is whole. */
static void crash_everywhere(void **state)
{
    bool died = true;

    (void)state;
    for (uint64_t k = 0; died; k++) {
        for (uint64_t seed = 0; seed < 20; seed++) {
            struct disk *d = disk_sim_new();
            struct errmsg em = {{0}};
            bool answered;
            uint64_t got;
            int rv;

            assert_int_equal(newest(d), 0);
            assert_int_equal(write_one(d, 5, 3000, &em), 0);
            disk_sim_dies_after(d, k);
            rv = write_one(d, 9, 3000, &em);
            answered = rv == 0 && !disk_sim_dead(d);
            if (rv == 0) {
                assert_int_equal(snap_retire(d, 9, &em), 0);
            }
            died = disk_sim_dead(d);
            disk_sim_crash(d, seed);
            got = newest(d);
            assert_true(got == 9 || (got == 5 && !answered));
            assert_int_equal(read_one(d, got, 3000, &em), 0);
            disk_sim_free(d);
        }
    }
}

/* Each disk call fails in turn: an error, and the older one still counts. */
static void errors(void **state)
{
    static const int errs[] = {EIO, ENOSPC, EROFS};
    bool failed = true;

    (void)state;
    for (uint64_t k = 1; failed; k++) {
        struct disk *d = disk_sim_new();
        struct errmsg em = {{0}};
        uint64_t before;
        int rv;

        assert_int_equal(newest(d), 0);
        assert_int_equal(write_one(d, 5, 3000, &em), 0);
        before = disk_sim_changes(d);
        disk_sim_fail_at(d, k, errs[k % 3], false);
        rv = write_one(d, 9, 3000, &em);
        failed = disk_sim_changes(d) >= before + k;
        assert_int_equal(rv != 0, failed);
        disk_sim_crash(d, k);
        assert_true(newest(d) == 5 || newest(d) == 9);
        assert_int_equal(read_one(d, newest(d), 3000, &em), 0);
        disk_sim_free(d);
    }
}

/* Send @total bytes of content from @a to @b with bit @flip wrong (none if
 * beyond the end), in pieces. */
static int transfer(struct disk *a,
                    struct disk *b,
                    uint64_t flip,
                    struct errmsg *em)
{
    struct identity id = who();
    struct snap_file m;
    struct snap_out out;
    struct snap_in in;
    uint8_t p[777];
    uint64_t off = 0;
    int64_t n;

    memset(&in, 0, sizeof in);
    assert_int_equal(snap_open_for_send(a, 9, 7, &out, em), 0);
    assert_int_equal(snap_retire(a, 10, em), 0); /* stays readable */
    assert_int_equal(snap_in_begin(b, &id, 9, 7, out.bytes, &in, em), 0);
    while ((n = snap_out_read(&out, p, sizeof p, off, em)) > 0) {
        if (flip / 8 >= off && flip / 8 < off + (uint64_t)n) {
            p[flip / 8 - off] ^= (uint8_t)(1U << (flip % 8));
        }
        assert_int_equal(snap_in_write(&in, off + 1, p, 1, em), HF_EINVAL);
        assert_int_equal(snap_in_write(&in, off, p, (size_t)n, em), 0);
        off += (uint64_t)n;
    }
    snap_out_close(&out);
    n = snap_in_finish(&in, &m, em);
    assert_null(in.file);
    snap_file_release(&m);
    return (int)n;
}

/* A transferred file is taken only if every bit is right. */
static void transfers(void **state)
{
    struct errmsg em = {{0}};

    (void)state;
    for (uint64_t flip = 0; flip < 20000; flip += 97) {
        struct disk *a = disk_sim_new();
        struct disk *b = disk_sim_new();
        bool hit;
        int rv;

        assert_int_equal(newest(a), 0);
        assert_int_equal(newest(b), 0);
        assert_int_equal(write_one(a, 9, 2000, &em), 0);
        hit = flip / 8 < (uint64_t)disk_sim_size(a, file9);
        rv = transfer(a, b, flip, &em);
        assert_true(hit ? rv != 0 : rv == 0);
        disk_sim_crash(b, flip);
        assert_int_equal(newest(b), hit ? 0 : 9);
        if (!hit) {
            assert_int_equal(read_one(b, 9, 2000, &em), 0);
        }
        disk_sim_free(a);
        disk_sim_free(b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),       cmocka_unit_test(retire),
        cmocka_unit_test(every_bit),        cmocka_unit_test(every_cut),
        cmocka_unit_test(no_fallback),      cmocka_unit_test(foreign),
        cmocka_unit_test(errors),           cmocka_unit_test(transfers),
        cmocka_unit_test(crash_everywhere),
    };

    test_choose_mutant();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
