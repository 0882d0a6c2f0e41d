/* What a repair writes down and moves aside, and how far a damaged log can be
 * told to have reached. */
#include "raftio/repair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "raftio/wal_int.h"
#include "tests/sim/disk_sim.h"
#include "tests/unit/wal_env.h"

static struct identity ident(void)
{
    struct identity id;

    memset(&id, 0, sizeof id);
    memset(id.cluster_id, 7, ID_BYTES);
    memset(id.dir_id, 9, ID_BYTES);
    id.node_id = 3;
    return id;
}

static struct repair_mark mark(void)
{
    struct repair_mark m;

    memset(&m, 0, sizeof m);
    m.kind = REPAIR_LOG;
    m.step = REPAIR_MOVE;
    m.stamp = 1795181005;
    m.old = ident();
    memset(m.dir_id, 5, ID_BYTES);
    m.index = 77;
    m.term = 6;
    m.log_no = 4242;
    return m;
}

/* ---- the file ---- */

/* What is written is what is read. */
static void mark_round_trip(void **state)
{
    struct repair_mark m = mark();
    struct repair_mark back;
    struct disk *d = disk_sim_new();
    struct errmsg em = {{0}};

    (void)state;
    assert_int_equal(repair_read(d, &back, &em), 0);
    assert_int_equal(back.kind, REPAIR_NONE);
    assert_int_equal(repair_write(d, &m, &em), 0);
    disk_sim_crash(d, 1); /* durable on return */
    assert_int_equal(repair_read(d, &back, &em), 0);
    assert_memory_equal(&back, &m, sizeof m);
    assert_int_equal(repair_clear(d, &em), 0);
    disk_sim_crash(d, 2);
    assert_int_equal(repair_read(d, &back, &em), 0);
    assert_int_equal(back.kind, REPAIR_NONE);
    disk_sim_free(d);
}

/* Every flipped bit and every cut is refused. */
static void mark_damage_is_refused(void **state)
{
    struct repair_mark m = mark();
    struct repair_mark back;
    struct errmsg em = {{0}};
    uint8_t raw[REPAIR_BYTES];

    (void)state;
    repair_encode(&m, raw);
    assert_int_equal(repair_decode(raw, sizeof raw, &back, &em), 0);
    for (size_t i = 0; i < sizeof raw * 8; i++) {
        raw[i / 8] ^= (uint8_t)(1u << (i % 8));
        assert_true(repair_decode(raw, sizeof raw, &back, &em) < 0);
        raw[i / 8] ^= (uint8_t)(1u << (i % 8));
    }
    for (size_t n = 0; n < sizeof raw; n++) {
        assert_int_equal(repair_decode(raw, n, &back, &em), HF_ECORRUPT);
    }
}

/* ---- moving aside ---- */

static void put(struct disk *d, const char *name)
{
    struct disk_file *f;

    assert_int_equal(
        disk_open(d, name, DISK_WRITE | DISK_CREATE | DISK_TRUNC, &f), 0);
    assert_int_equal(disk_pwrite(f, name, strlen(name), 0), 0);
    assert_int_equal(disk_sync(f), 0);
    disk_close(f);
}

static struct disk *full_disk(void)
{
    struct disk *d = disk_sim_new();

    assert_int_equal(disk_mkdir(d, "log"), 0);
    assert_int_equal(disk_mkdir(d, "snap"), 0);
    put(d, "log/0000000000000001.log");
    put(d, "log/0000000000000002.log");
    put(d, "log/spare-0000000000000009");
    put(d, "snap/0000000000000041-0000000000000005.snap");
    put(d, "snap/000000000000004d-0000000000000006.snap");
    put(d, "vote.a");
    put(d, "vote.b");
    assert_int_equal(disk_sync_dir(d, "log"), 0);
    assert_int_equal(disk_sync_dir(d, "snap"), 0);
    assert_int_equal(disk_sync_dir(d, ""), 0);
    return d;
}

static bool aside(struct disk *d, const char *name)
{
    char path[DISK_NAME_MAX];

    snprintf(path, sizeof path, "damaged/1795181005-%.45s", name);
    return disk_sim_exists(d, path);
}

/* Wherever a crash comes, doing it again ends the same: every file of the log
 * and the older snapshot are aside, the covering one is in its place. */
static void log_is_moved_whatever_crashes(void **state)
{
    struct repair_mark m = mark();
    struct errmsg em = {{0}};

    (void)state;
    for (uint64_t k = 0; k < 24; k++) {
        struct disk *d = full_disk();

        disk_sim_dies_after(d, k);
        (void)repair_move_log(d, &m, &em);
        disk_sim_crash(d, k);
        assert_int_equal(repair_move_log(d, &m, &em), 0);
        assert_true(aside(d, "0000000000000001.log"));
        assert_true(aside(d, "0000000000000002.log"));
        assert_true(aside(d, "0000000000000041-0000000000000005.snap"));
        assert_true(
            disk_sim_exists(d, "snap/000000000000004d-0000000000000006.snap"));
        assert_false(disk_sim_exists(d, "log/0000000000000001.log"));
        assert_false(disk_sim_exists(d, "log/spare-0000000000000009"));
        assert_true(disk_sim_exists(d, "vote.a"));
        disk_sim_free(d);
    }
}

/* A member that is given up leaves nothing in its place. */
static void member_is_moved_whatever_crashes(void **state)
{
    struct repair_mark m = mark();
    struct errmsg em = {{0}};

    (void)state;
    m.kind = REPAIR_NEW;
    for (uint64_t k = 0; k < 32; k++) {
        struct disk *d = full_disk();

        disk_sim_dies_after(d, k);
        (void)repair_move_all(d, &m, &em);
        disk_sim_crash(d, k);
        assert_int_equal(repair_move_all(d, &m, &em), 0);
        assert_true(aside(d, "identity"));
        assert_true(aside(d, "vote.a"));
        assert_true(aside(d, "vote.b"));
        assert_true(aside(d, "0000000000000002.log"));
        assert_true(aside(d, "000000000000004d-0000000000000006.snap"));
        assert_false(disk_sim_exists(d, "vote.a"));
        assert_false(disk_sim_exists(d, "vote.b"));
        disk_sim_free(d);
    }
}

/* Files of the last REPAIR_KEEP repairs are kept, no more. */
static void kept_files_are_bounded(void **state)
{
    struct disk *d = full_disk();
    struct repair_mark m = mark();
    struct errmsg em = {{0}};

    (void)state;
    for (unsigned i = 0; i < REPAIR_KEEP + 2; i++) {
        uint64_t before = m.stamp;

        put(d, "log/0000000000000001.log");
        assert_int_equal(repair_stamp(d, 1000, &m.stamp, &em), 0);
        assert_true(i == 0 || m.stamp > before);
        assert_int_equal(repair_move_log(d, &m, &em), 0);
    }
    assert_false(disk_sim_exists(d, "damaged/0000001000-0000000000000001.log"));
    assert_false(disk_sim_exists(d, "damaged/0000001001-0000000000000001.log"));
    for (unsigned i = 2; i < REPAIR_KEEP + 2; i++) {
        char name[DISK_NAME_MAX];

        snprintf(name, sizeof name, "damaged/%010u-0000000000000001.log",
                 1000 + i);
        assert_true(disk_sim_exists(d, name));
    }
    disk_sim_free(d);
}

/* ---- how far did the log reach? ---- */

enum { ENTRIES = 40 };
static const char segment[] = "log/0000000000000001.log";

struct rig {
    struct disk *d;
    struct test_env t;
    struct wal *w;
    struct wal_cfg cfg;
};

static void on_durable(void *data, uint64_t token)
{
    (void)data;
    (void)token;
}

static void on_fatal(void *data, const struct errmsg *em)
{
    (void)data;
    fail_msg("%s", em->text);
}

static void append(struct rig *r, uint64_t index, uint64_t term)
{
    struct blob *b = blob_new(100);
    struct entry e = {term, ENTRY_COMMAND, blob_bytes(b), b};

    memset(b->d, (int)index, 100);
    wal_append(r->w, index, &e, 1, index);
    entry_unref(&e);
    while (test_env_step(&r->t)) {
    }
}

/* @n frames of one entry each, and a mark at the end. */
static void rig_fill(struct rig *r, uint64_t n)
{
    struct wal_cbs cbs = {on_durable, on_fatal, r};
    struct wal_recover_in in;
    struct wal_recovered rec;
    struct errmsg em = {{0}};

    memset(r, 0, sizeof *r);
    r->d = disk_sim_new();
    test_env_init(&r->t, r->d, 1);
    r->cfg.id = ident();
    r->cfg.segment_bytes = 128 << 10;
    memset(&in, 0, sizeof in);
    in.cfg = r->cfg;
    assert_int_equal(wal_recover(r->d, &in, &rec, &em), 0);
    r->w = wal_new(&r->t.e, NULL, &r->cfg, &rec, &cbs);
    wal_recovered_release(&rec);
    for (uint64_t i = 1; i <= n; i++) {
        append(r, i, 1 + i / 10);
    }
    r->t.now_us += 1000000;
    while (test_env_step(&r->t)) {
    }
    disk_sim_crash(r->d, 1);
    wal_free_crashed(r->w);
}

/* One segment. */
static void rig_make(struct rig *r)
{
    rig_fill(r, ENTRIES);
}

static struct wal_survey survey(struct disk *d, uint64_t durable_no)
{
    struct wal_recover_in in;
    struct wal_survey s;
    struct errmsg em = {{0}};

    memset(&in, 0, sizeof in);
    in.cfg.id = ident();
    in.durable_no = durable_no;
    assert_int_equal(wal_survey(d, &in, &s, &em), 0);
    return s;
}

/* Any one damaged byte before the last frame leaves the end certain. */
static void end_is_told_despite_damage(void **state)
{
    struct rig r;
    uint64_t last;

    (void)state;
    rig_make(&r);
    last = SEG_HEADER + ENTRIES * 512;
    for (uint64_t at = SEG_HEADER; at < last; at += 37) {
        struct disk *d = disk_sim_clone(r.d);
        struct wal_survey s;

        assert_int_equal(disk_sim_flip(d, segment, at * 8), 0);
        s = survey(d, 0);
        assert_true(s.known);
        assert_int_equal(s.last, ENTRIES);
        disk_sim_free(d);
    }
    disk_sim_free(r.d);
}

/* A stretch of lost frames, too, as long as the last one stands. */
static void end_is_told_behind_a_hole(void **state)
{
    struct rig r;
    struct wal_survey s;

    (void)state;
    rig_make(&r);
    for (uint64_t at = SEG_HEADER; at < SEG_HEADER + 512 * ENTRIES; at += 512) {
        assert_int_equal(disk_sim_flip(r.d, segment, at * 8), 0);
    }
    s = survey(r.d, 0);
    assert_true(s.known);
    assert_int_equal(s.last, ENTRIES);
    disk_sim_free(r.d);
}

/* Whatever takes the proof away makes the end unknown: a damaged header, a
 * file cut short, frames that the vote file knows of. */
static void end_is_unknown_without_proof(void **state)
{
    struct rig r;
    struct disk *d;

    (void)state;
    rig_make(&r);
    d = disk_sim_clone(r.d);
    assert_int_equal(disk_sim_flip(d, segment, 800), 0);
    assert_false(survey(d, 0).known);
    disk_sim_free(d);
    d = disk_sim_clone(r.d);
    assert_int_equal(disk_sim_cut(d, segment, SEG_HEADER + 5120), 0);
    assert_false(survey(d, 0).known);
    disk_sim_free(d);
    assert_false(survey(r.d, ENTRIES + 100).known);
    assert_true(survey(r.d, ENTRIES).known);
    disk_sim_free(r.d);
}

/* When the last segment is gone, the one before says that it was there. */
static void end_is_not_before_a_lost_segment(void **state)
{
    struct rig r;

    (void)state;
    rig_fill(&r, 400);
    assert_true(survey(r.d, 0).known);
    assert_int_equal(survey(r.d, 0).last, 400);
    assert_int_equal(disk_unlink(r.d, "log/0000000000000002.log"), 0);
    assert_false(survey(r.d, 0).known);
    disk_sim_free(r.d);
}

/* Segments that changed places do not pass for the end of the log. */
static void end_is_not_in_a_stranger(void **state)
{
    struct rig r;

    (void)state;
    rig_make(&r);
    assert_int_equal(disk_rename(r.d, segment, "log/0000000000000005.log"), 0);
    assert_false(survey(r.d, 0).known);
    disk_sim_free(r.d);
}

/* A log that was given up goes on behind its old frame numbers: what the vote
 * file remembers of them is no witness against the new one. */
static void emptied_log_goes_on(void **state)
{
    struct disk *d = disk_sim_new();
    struct wal_recover_in in;
    struct wal_recovered rec;
    struct errmsg em = {{0}};

    (void)state;
    memset(&in, 0, sizeof in);
    in.cfg.id = ident();
    in.snap_index = 90;
    in.snap_term = 4;
    in.durable_no = 500;
    assert_int_equal(wal_recover(d, &in, &rec, &em), HF_ECORRUPT);
    in.emptied = true;
    assert_int_equal(wal_recover(d, &in, &rec, &em), 0);
    assert_int_equal(rec.last_no, 500);
    assert_int_equal(rec.last, 90);
    assert_int_equal(rec.n, 0);
    wal_recovered_release(&rec);
    disk_sim_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mark_round_trip),
        cmocka_unit_test(mark_damage_is_refused),
        cmocka_unit_test(log_is_moved_whatever_crashes),
        cmocka_unit_test(member_is_moved_whatever_crashes),
        cmocka_unit_test(kept_files_are_bounded),
        cmocka_unit_test(end_is_told_despite_damage),
        cmocka_unit_test(end_is_told_behind_a_hole),
        cmocka_unit_test(end_is_unknown_without_proof),
        cmocka_unit_test(end_is_not_in_a_stranger),
        cmocka_unit_test(end_is_not_before_a_lost_segment),
        cmocka_unit_test(emptied_log_goes_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
