/* What the fuzzers found, each kept as a test. The bytes have right
 * checksums, so a disk does not make them; a fault of a writer could. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/crc32c.h"
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

/* Recover a log of one segment with head @h and frame @f (NULL: none). */
static int recover(struct seg_head *h, struct frame *f)
{
    struct wal_recover_in in = {.cfg = {{{1}, {2}, 3}, SEGMENT, 0}};
    struct disk *d = disk_sim_new();
    uint8_t *p = hf_calloc(1, SEGMENT);
    struct wal_recovered r;
    struct errmsg em = {{0}};
    char name[WAL_PATH_MAX];
    int rv;

    h->id = in.cfg.id;
    h->number = 1;
    h->salt = 7;
    h->size = SEGMENT;
    h->flight = SEGMENT / 4;
    h->first_no = 1;
    seg_head_encode(h, p);
    if (f != NULL) {
        f->no = 1;
        f->salt = 7;
        f->prev = h->crc;
        wal_frame_encode(f, p + SEG_HEADER);
    }
    seg_path(1, name);
    assert_int_equal(disk_mkdir(d, "log"), 0);
    put_file(d, name, bytes_of(p, SEGMENT));
    rv = wal_recover(d, &in, &r, &em);
    if (rv == 0) {
        wal_recovered_release(&r);
    } else {
        assert_non_null(strstr(em.text, "damaged"));
    }
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
        cmocka_unit_test(peer_address_with_zero),
    };

    test_choose_mutant();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
