#include "raftio/vote.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

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

static void open_ok(struct vote *v, struct disk *d, bool have_data)
{
    struct identity id = who();
    struct errmsg em = {{0}};

    if (vote_open(v, d, &id, have_data, &em) != 0) {
        fail_msg("%s", em.text);
    }
}

static void set_ok(struct vote *v, uint64_t term, uint64_t vote)
{
    struct errmsg em = {{0}};

    assert_int_equal(vote_set(v, term, vote, 9, &em), 0);
}

/* What was set is there after a power cut. */
static void survives(void **state)
{
    struct disk *d = disk_sim_new();
    struct vote v;

    (void)state;
    open_ok(&v, d, false);
    assert_int_equal(v.now.term, 0);
    set_ok(&v, 3, 0);
    set_ok(&v, 3, 2);
    set_ok(&v, 4, 5);
    disk_sim_crash(d, 1);
    open_ok(&v, d, true);
    assert_int_equal(v.now.term, 4);
    assert_int_equal(v.now.vote, 5);
    assert_int_equal(v.now.log_no, 9);
    disk_sim_free(d);
}

/* The same term never erases a vote, and writes nothing. */
static void same_is_no_op(void **state)
{
    struct disk *d = disk_sim_new();
    struct vote v;
    uint64_t calls;

    (void)state;
    open_ok(&v, d, false);
    set_ok(&v, 3, 2);
    calls = disk_sim_calls(d);
    set_ok(&v, 3, 0);
    set_ok(&v, 3, 2);
    assert_int_equal(disk_sim_calls(d), calls);
    assert_int_equal(v.now.vote, 2);
    disk_sim_free(d);
}

/* A note changes nothing but the witness for the log, never back, and is
 * there after a power cut. */
static void note(void **state)
{
    struct disk *d = disk_sim_new();
    struct errmsg em = {{0}};
    struct vote v;
    uint64_t calls;

    (void)state;
    open_ok(&v, d, false);
    assert_int_equal(vote_set(&v, 3, 2, 0, &em), 0);
    assert_int_equal(vote_note(&v, 4, &em), 0);
    calls = disk_sim_calls(d);
    assert_int_equal(vote_note(&v, 4, &em), 0);
    assert_int_equal(vote_note(&v, 1, &em), 0);
    assert_int_equal(disk_sim_calls(d), calls);
    disk_sim_crash(d, 1);
    open_ok(&v, d, true);
    assert_int_equal(v.now.term, 3);
    assert_int_equal(v.now.vote, 2);
    assert_int_equal(v.now.log_no, 4);
    disk_sim_fail_at(d, 2, EIO, false);
    assert_int_equal(vote_note(&v, 5, &em), HF_EIO);
    assert_true(v.failed);
    disk_sim_free(d);
}

/* The power fails at each disk call: what was promised holds; what was not
 * may hold. */
static void crash_everywhere(void **state)
{
    bool died = true;

    (void)state;
    for (uint64_t k = 0; died; k++) {
        for (uint64_t seed = 0; seed < 40; seed++) {
            struct disk *d = disk_sim_new();
            struct vote v;
            uint64_t promised = 0;

            disk_sim_dies_after(d, k);
            open_ok(&v, d, false);
            for (uint64_t t = 1; t <= 4; t++) {
                set_ok(&v, t, t + 10);
                promised = disk_sim_dead(d) ? promised : t;
            }
            died = disk_sim_dead(d);
            disk_sim_crash(d, seed);
            open_ok(&v, d, promised > 0);
            assert_true(v.now.term >= promised && v.now.term <= promised + 1);
            assert_int_equal(v.now.vote, v.now.term == 0 ? 0 : v.now.term + 10);
            disk_sim_crash(d, seed);
            open_ok(&v, d, promised > 0);
            disk_sim_free(d);
        }
    }
}

/* Any bit of one slot may change: the other one has the truth. */
static void every_bit(void **state)
{
    static const char *const name[] = {"vote.a", "vote.b"};
    struct disk *d = disk_sim_new();
    struct vote v;

    (void)state;
    open_ok(&v, d, false);
    set_ok(&v, 3, 2);
    for (int i = 0; i < 2; i++) {
        for (uint64_t bit = 0; bit < VOTE_SLOT_BYTES * 8; bit++) {
            assert_int_equal(disk_sim_flip(d, name[i], bit), 0);
            open_ok(&v, d, true);
            assert_true(v.repaired);
            assert_int_equal(v.now.term, 3);
            assert_int_equal(v.now.vote, 2);
        }
    }
    disk_sim_free(d);
}

/* Both slots bad or missing beside a log: refused. */
static void both_bad(void **state)
{
    struct identity id = who();
    struct vote v;

    (void)state;
    for (int what = 0; what < 3; what++) {
        struct disk *d = disk_sim_new();
        struct errmsg em = {{0}};

        open_ok(&v, d, false);
        set_ok(&v, 3, 2);
        if (what == 0) {
            disk_sim_flip(d, "vote.a", 600);
            disk_sim_flip(d, "vote.b", 600);
        } else if (what == 1) {
            disk_sim_cut(d, "vote.a", 0);
            disk_sim_cut(d, "vote.b", 100);
        } else {
            disk_sim_wipe(d);
        }
        assert_int_equal(vote_open(&v, d, &id, true, &em), HF_ECORRUPT);
        assert_non_null(strstr(em.text, "vote.a"));
        disk_sim_free(d);
    }
}

/* Slots more than one change apart contradict each other: one of the two
 * writes that were acknowledged is not there. */
static void contradiction(void **state)
{
    struct disk *d = disk_sim_new();
    struct identity id = who();
    struct errmsg em = {{0}};
    struct disk_file *f;
    uint8_t *old = aligned_alloc(4096, VOTE_SLOT_BYTES);
    struct vote v;

    (void)state;
    open_ok(&v, d, false);
    assert_int_equal(disk_open(d, "vote.b", DISK_WRITE, &f), 0);
    assert_int_equal(disk_pread(f, old, VOTE_SLOT_BYTES, 0), VOTE_SLOT_BYTES);
    set_ok(&v, 3, 2);
    set_ok(&v, 4, 1);
    assert_int_equal(disk_pwrite(f, old, VOTE_SLOT_BYTES, 0), 0);
    disk_close(f);
    free(old);
    assert_int_equal(vote_open(&v, d, &id, true, &em), HF_ECORRUPT);
    disk_sim_free(d);
}

/* Files of another node are refused, not repaired. */
static void foreign(void **state)
{
    struct disk *d = disk_sim_new();
    struct identity id = who();
    struct errmsg em = {{0}};
    struct vote v;

    (void)state;
    open_ok(&v, d, false);
    id.node_id = 6;
    assert_int_equal(vote_open(&v, d, &id, true, &em), HF_EIDENTITY);
    disk_sim_free(d);
}

/* Each write that fails is reported. */
static void errors(void **state)
{
    bool failed = true;

    (void)state;
    for (uint64_t k = 1; failed; k++) {
        struct disk *d = disk_sim_new();
        struct errmsg em = {{0}};
        struct vote v;
        uint64_t before;

        open_ok(&v, d, false);
        before = disk_sim_changes(d);
        disk_sim_fail_at(d, k, EIO, false);
        failed = vote_set(&v, 7, 1, 0, &em) != 0;
        assert_int_equal(failed, disk_sim_changes(d) == before + k);
        assert_int_equal(v.failed, failed);
        assert_true(k > 1 || failed);
        disk_sim_free(d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(survives),         cmocka_unit_test(note),
        cmocka_unit_test(same_is_no_op),    cmocka_unit_test(both_bad),
        cmocka_unit_test(contradiction),    cmocka_unit_test(foreign),
        cmocka_unit_test(errors),           cmocka_unit_test(every_bit),
        cmocka_unit_test(crash_everywhere),
    };

    test_choose_mutant();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
