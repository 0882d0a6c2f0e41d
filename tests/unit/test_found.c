/* What the fuzzers found, each kept as a test. The bytes have right
 * checksums, so a disk does not make them; a fault of a writer could. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/crc32c.h"
#include "raftio/vote.h"
#include "raftio/wal_int.h"
#include "server/node/peers_file.h"
#include "tests/sim/disk_sim.h"
#include "tests/unit/wal_env.h"

enum { SEGMENT = WAL_SEGMENT_MIN };

static void put_file(struct disk *d, const char *name, struct bytes b)
{
    struct disk_file *f;

    assert_int_equal(disk_open(d, name, DISK_WRITE | DISK_CREATE, &f), 0);
    assert_int_equal(disk_pwrite(f, b.p, b.n, 0), 0);
    assert_int_equal(disk_sync(f), 0);
    disk_close(f);
}

/* Segment @number of the log: SEGMENT bytes. */
static void put_segment(struct disk *d, uint64_t number, const uint8_t *p)
{
    char name[WAL_PATH_MAX];

    seg_path(number, name);
    put_file(d, name, bytes_of(p, SEGMENT));
}

/* Head of the log's first segment. */
static struct seg_head first_head(const struct wal_recover_in *in,
                                  uint64_t first_index,
                                  uint64_t prev_term)
{
    struct seg_head h = {.id = in->cfg.id,
                         .number = 1,
                         .first_index = first_index,
                         .prev_term = prev_term,
                         .first_no = 1,
                         .salt = 7,
                         .size = SEGMENT,
                         .flight = SEGMENT / 4};

    return h;
}

/* Recover a log of the one segment @p. */
static int recover_bytes(struct disk *d,
                         const struct wal_recover_in *in,
                         const uint8_t *p)
{
    struct wal_recovered r;
    struct errmsg em = {{0}};
    int rv;

    assert_int_equal(disk_mkdir(d, "log"), 0);
    put_segment(d, 1, p);
    rv = wal_recover(d, in, &r, &em);
    if (rv == 0) {
        wal_recovered_release(&r);
    } else {
        assert_non_null(strstr(em.text, "damaged"));
    }
    return rv;
}

/* Recover a log of one segment with head @h, of which only the place tells,
 * and frame @f (NULL: none). */
static int recover(struct seg_head *h, struct frame *f)
{
    struct wal_recover_in in = {.cfg = {{{1}, {2}, 3}, SEGMENT, 0}};
    struct disk *d = disk_sim_new();
    uint8_t *p = hf_calloc(1, SEGMENT);
    int rv;

    in.snap_index = h->first_index > 1 && h->first_index < UINT64_MAX
                        ? h->first_index - 1
                        : 0;
    in.snap_term = h->prev_term;
    *h = first_head(&in, h->first_index, h->prev_term);
    seg_head_encode(h, p);
    if (f != NULL) {
        f->no = 1;
        f->salt = 7;
        f->prev = h->crc;
        wal_frame_encode(f, p + SEG_HEADER);
    }
    rv = recover_bytes(d, &in, p);
    free(p);
    disk_sim_free(d);
    return rv;
}

/* Entries begin at 1: a log that begins at 0 would go on at an index that
 * nobody can append. */
static void log_begins_at_zero(void **state)
{
    struct seg_head good = {.first_index = 1};
    struct seg_head bad = {.first_index = 0};

    (void)state;
    assert_int_equal(recover(&good, NULL), 0);
    assert_int_equal(recover(&bad, NULL), HF_ECORRUPT);
}

/* Nor can anything bring it back to 0. */
static void log_reset_to_zero(void **state)
{
    static const uint16_t kinds[] = {FRAME_RESET, FRAME_TRUNCATE};

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct seg_head h = {.first_index = 1};
        struct frame good = {.kind = kinds[i], .first = 1};
        struct frame bad = {.kind = kinds[i], .first = 0};

        assert_int_equal(recover(&h, &good), 0);
        assert_int_equal(recover(&h, &bad), HF_ECORRUPT);
    }
}

/* A frame whose last entry's index does not fit a number is refused. */
static void log_index_overflows(void **state)
{
    struct seg_head h = {.first_index = UINT64_MAX};
    struct frame f = {.kind = FRAME_ENTRIES, .first = UINT64_MAX, .count = 2};

    (void)state;
    assert_int_equal(recover(&h, &f), HF_ECORRUPT);
}

/* Truncating says which term the entry before has. If that is another one
 * than the log knows, the next segment goes on from the wrong one, and with
 * the first segment trimmed away what was appended there would be dropped. */
static void log_truncated_with_another_term(void **state)
{
    (void)state;
    for (uint64_t term = 0; term < 6; term++) {
        struct seg_head h = {.first_index = 2, .prev_term = 3};
        struct frame f = {.kind = FRAME_TRUNCATE, .first = 2, .term = term};

        assert_int_equal(recover(&h, &f), term == 3 ? 0 : HF_ECORRUPT);
    }
}

/* The same behind entries: terms would fall within the log. */
static void log_truncated_behind_another_term(void **state)
{
    (void)state;
    for (uint64_t term = 0; term < 6; term++) {
        struct disk *d = disk_sim_new();
        uint8_t *p = hf_calloc(1, SEGMENT);
        struct wal_recover_in in = {.cfg = {{{1}, {2}, 3}, SEGMENT, 0}};
        struct entry e = {3, ENTRY_COMMAND, {NULL, 0}, NULL};
        struct seg_head h = first_head(&in, 1, 0);
        struct frame f = {.kind = FRAME_ENTRIES,
                          .no = 1,
                          .first = 1,
                          .last = 1,
                          .count = 1,
                          .term = 3,
                          .salt = 7,
                          .payload_len = ENTRY_HEADER};
        struct frame cut = {.kind = FRAME_TRUNCATE,
                            .no = 2,
                            .first = 2,
                            .term = term,
                            .salt = 7};

        seg_head_encode(&h, p);
        entry_encode(p + SEG_HEADER + FRAME_HEADER, 1, &e);
        f.prev = h.crc;
        wal_frame_encode(&f, p + SEG_HEADER);
        cut.prev = f.crc;
        wal_frame_encode(&cut, p + SEG_HEADER + f.len);
        assert_int_equal(recover_bytes(d, &in, p), term == 3 ? 0 : HF_ECORRUPT);
        free(p);
        disk_sim_free(d);
    }
}

/* Of segments without entries the last one tells the term before the log,
 * as it does when the others are trimmed away. */
static void log_begins_in_second_segment(void **state)
{
    struct wal_recover_in in = {.cfg = {{{1}, {2}, 3}, SEGMENT, 0}};
    uint8_t *p = hf_calloc(1, SEGMENT);
    struct seg_head h = first_head(&in, 2, 3);
    bool need_reset[2];

    (void)state;
    in.snap_index = 1;
    in.snap_term = 3;
    for (int segs = 1; segs <= 2; segs++) {
        struct disk *d = disk_sim_new();
        struct wal_recovered r;
        struct seg_head next = h;

        assert_int_equal(disk_mkdir(d, "log"), 0);
        seg_head_encode(&h, p);
        if (segs == 2) {
            put_segment(d, 1, p);
        }
        next.number = 2;
        next.prev_term = 4;
        next.pred_end = SEG_HEADER;
        next.pred_last = 1;
        next.pred_chain = h.crc;
        seg_head_encode(&next, p);
        put_segment(d, 2, p);
        assert_int_equal(wal_recover(d, &in, &r, NULL), 0);
        need_reset[segs - 1] = r.need_reset;
        assert_int_equal(r.last, 1);
        wal_recovered_release(&r);
        disk_sim_free(d);
    }
    assert_true(need_reset[0]);
    assert_true(need_reset[1]);
    free(p);
}

/* A vote slot that is too long is mended for good: bytes behind its end
 * would keep it bad, and rot in the other one would then forget the vote. */
static void vote_slot_too_long(void **state)
{
    static const char *const name[] = {"vote.a", "vote.b"};
    static const uint8_t more[DISK_ALIGN];
    struct identity id = {{1}, {2}, 3};

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct disk *d = disk_sim_new();
        struct disk_file *f;
        struct vote v;

        assert_int_equal(vote_open(&v, d, &id, false, NULL), 0);
        assert_int_equal(vote_set(&v, 3, 2, 9, NULL), 0);
        assert_int_equal(disk_open(d, name[i], DISK_WRITE, &f), 0);
        assert_int_equal(disk_pwrite(f, more, sizeof more, VOTE_SLOT_BYTES), 0);
        assert_int_equal(disk_sync(f), 0);
        disk_close(f);
        assert_int_equal(vote_open(&v, d, &id, true, NULL), 0);
        assert_true(v.repaired);
        disk_sim_crash(d, 1);
        assert_int_equal(disk_sim_flip(d, name[1 - i], 600), 0);
        assert_int_equal(vote_open(&v, d, &id, true, NULL), 0);
        assert_int_equal(v.now.term, 3);
        assert_int_equal(v.now.vote, 2);
        disk_sim_free(d);
    }
}

/* The power fails at each disk call of mending a slot that is too long: the
 * vote is kept, whatever the other one did not have on the disk yet. */
static void vote_slot_too_long_crash(void **state)
{
    static const uint8_t more[DISK_ALIGN];
    struct identity id = {{1}, {2}, 3};
    bool died = true;

    (void)state;
    for (uint64_t k = 0; died; k++) {
        for (uint64_t seed = 0; seed < 40; seed++) {
            struct disk *d = disk_sim_new();
            struct disk_file *f;
            struct vote v;

            assert_int_equal(vote_open(&v, d, &id, false, NULL), 0);
            assert_int_equal(vote_set(&v, 3, 2, 9, NULL), 0);
            assert_int_equal(disk_open(d, seed % 2 == 0 ? "vote.a" : "vote.b",
                                       DISK_WRITE, &f),
                             0);
            assert_int_equal(disk_pwrite(f, more, sizeof more, VOTE_SLOT_BYTES),
                             0);
            assert_int_equal(disk_sync(f), 0);
            disk_close(f);
            disk_sim_dies_after(d, k);
            assert_int_equal(vote_open(&v, d, &id, true, NULL), 0);
            died = disk_sim_dead(d);
            disk_sim_crash(d, seed);
            assert_int_equal(vote_open(&v, d, &id, true, NULL), 0);
            assert_int_equal(v.now.term, 3);
            assert_int_equal(v.now.vote, 2);
            disk_sim_free(d);
        }
    }
}

/* An address ends where it says: a zero byte inside makes it another one. */
static void peer_address_with_zero(void **state)
{
    struct peer_member m[2] = {{.id = 1, .addr = "a:1"},
                               {.id = 2, .addr = "bcd:2"}};
    struct peer_member out[LIM_NODES];
    struct disk *d = disk_sim_new();
    struct buf b = BUF_INIT;

    (void)state;
    peers_file_encode(&b, m, 2);
    put_file(d, "peers", buf_bytes(&b));
    assert_int_equal(peers_file_load(d, out, LIM_NODES), 2);
    assert_string_equal(out[1].addr, "bcd:2");
    b.p[b.n - 2] = 0;
    put_u32(b.p, crc32c(0, b.p + 4, b.n - 4));
    assert_int_equal(disk_unlink(d, "peers"), 0);
    put_file(d, "peers", buf_bytes(&b));
    assert_int_equal(peers_file_load(d, out, LIM_NODES), 0);
    buf_release(&b);
    disk_sim_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(log_begins_at_zero),
        cmocka_unit_test(log_reset_to_zero),
        cmocka_unit_test(log_index_overflows),
        cmocka_unit_test(log_truncated_with_another_term),
        cmocka_unit_test(log_truncated_behind_another_term),
        cmocka_unit_test(log_begins_in_second_segment),
        cmocka_unit_test(vote_slot_too_long),
        cmocka_unit_test(vote_slot_too_long_crash),
        cmocka_unit_test(peer_address_with_zero),
    };

    test_choose_mutant();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
