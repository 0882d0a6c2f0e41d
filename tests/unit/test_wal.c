#include "raftio/wal_int.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/crc32c.h"
#include "tests/sim/disk_sim.h"
#include "tests/unit/wal_env.h"

/* ---- a model of what was asked of the log ---- */

enum { OPS = 400, BATCH = 6, IDX = 2000, SEG = 32 << 10 };

enum kind { APPEND, TRUNC, RESET };

struct mop {
    enum kind kind;
    uint64_t first;
    uint64_t term;
    size_t n;
    uint32_t id[BATCH];
    uint32_t len[BATCH];
};

struct state {
    uint64_t next;
    uint64_t floor; /* first index possible */
    uint64_t floor_term;
    uint64_t term[IDX];
    uint32_t id[IDX];
    uint32_t len[IDX];
};

struct rig {
    struct disk *d;
    struct test_env t;
    struct wal *w;
    struct wal_cfg cfg;
    struct mop ops[OPS];
    size_t submitted;
    size_t acked;
    struct state now; /* after all submitted */
    uint64_t term;
    uint64_t snap_index;
    uint64_t snap_term;
    uint64_t hint; /* a durable_no that is on disk elsewhere */
    uint32_t next_id;
    int fatals;
    bool after_fatal;
    bool closed;
    bool clean;
    struct rng rng;
};

static void state_init(struct state *s)
{
    s->next = s->floor = 1;
    s->floor_term = 0;
}

static uint64_t state_term(const struct state *s, uint64_t i)
{
    return i >= s->next ? 0 : i < s->floor ? s->floor_term : s->term[i];
}

/* Apply the first @m entries of @op. */
static void state_apply(struct state *s, const struct mop *op, size_t m)
{
    if (op->kind == RESET) {
        s->next = s->floor = op->first;
        s->floor_term = op->term;
        return;
    }
    s->next = op->first;
    for (size_t i = 0; i < m; i++) {
        s->term[s->next] = op->term;
        s->id[s->next] = op->id[i];
        s->len[s->next] = op->len[i];
        s->next++;
    }
}

static struct blob *content(uint32_t id, uint32_t len)
{
    struct blob *b = blob_new(len);

    for (uint32_t i = 0; i < len; i++) {
        b->d[i] = (uint8_t)(i < 4 ? id >> (8 * i) : id * 31 + i * 7 + i / 251);
    }
    return b;
}

static bool same_entry(const struct entry *e,
                       uint64_t term,
                       uint32_t id,
                       uint32_t len)
{
    struct blob *b = content(id, len);
    bool same = e->term == term && bytes_eq(e->data, blob_bytes(b));

    blob_unref(b);
    return same;
}

static void on_durable(void *data, uint64_t token)
{
    struct rig *r = data;

    if (r->fatals > 0) {
        r->after_fatal = true;
    }
    if (!disk_sim_dead(r->d)) {
        assert_int_equal(token, r->acked + 1);
        r->acked = (size_t)token;
    }
}

static void on_fatal(void *data, const struct errmsg *em)
{
    struct rig *r = data;

    assert_true(em->text[0] != '\0');
    r->fatals++;
}

static void on_closed(void *data, bool clean)
{
    struct rig *r = data;

    r->closed = true;
    r->clean = clean;
}

static void rig_init(struct rig *r, uint64_t seed)
{
    memset(r, 0, sizeof *r);
    r->d = disk_sim_new();
    r->rng.s = seed;
    r->cfg.segment_bytes = SEG;
    memset(r->cfg.id.cluster_id, 7, ID_BYTES);
    memset(r->cfg.id.dir_id, 9, ID_BYTES);
    r->cfg.id.node_id = 3;
    r->term = 1;
    r->next_id = 1;
    state_init(&r->now);
}

static int rig_recover(struct rig *r,
                       struct wal_recovered *rec,
                       struct errmsg *em)
{
    struct wal_recover_in in;

    memset(&in, 0, sizeof in);
    in.cfg = r->cfg;
    in.snap_index = r->snap_index;
    in.snap_term = r->snap_term;
    in.durable_no = r->hint;
    return wal_recover(r->d, &in, rec, em);
}

static void rig_open(struct rig *r, struct wal_recovered *rec, uint64_t seed)
{
    struct wal_cbs cbs = {on_durable, on_fatal, r};

    test_env_init(&r->t, r->d, seed);
    r->w = wal_new(&r->t.e, NULL, &r->cfg, rec, &cbs);
    wal_recovered_release(rec);
}

static void rig_start(struct rig *r, uint64_t seed)
{
    struct wal_recovered rec;
    struct errmsg em = {{0}};

    if (rig_recover(r, &rec, &em) != 0) {
        fail_msg("recover: %s", em.text);
    }
    rig_open(r, &rec, seed);
}

/* The process is gone; the disk stays. */
static void rig_drop(struct rig *r)
{
    wal_free_crashed(r->w);
    r->w = NULL;
    env_release(&r->t.e);
}

static void rig_release(struct rig *r)
{
    if (r->w != NULL) {
        rig_drop(r);
    }
    disk_sim_free(r->d);
}

static void rig_submit(struct rig *r, const struct mop *op)
{
    struct entry e[BATCH];

    assert_true(r->submitted < OPS);
    r->ops[r->submitted++] = *op;
    state_apply(&r->now, op, op->n);
    if (op->kind == RESET) {
        wal_reset(r->w, op->first, op->term, r->submitted);
        return;
    }
    if (op->kind == TRUNC) {
        wal_truncate(r->w, op->first, r->submitted);
        return;
    }
    for (size_t i = 0; i < op->n; i++) {
        e[i].term = op->term;
        e[i].type = ENTRY_COMMAND;
        e[i].blob = op->len[i] == 0 ? NULL : content(op->id[i], op->len[i]);
        e[i].data = op->len[i] == 0 ? bytes_of(NULL, 0) : blob_bytes(e[i].blob);
    }
    wal_append(r->w, op->first, e, op->n, r->submitted);
    for (size_t i = 0; i < op->n; i++) {
        entry_unref(&e[i]);
    }
}

static void rig_append(struct rig *r, size_t n, uint32_t max_len)
{
    struct mop op;

    memset(&op, 0, sizeof op);
    op.kind = APPEND;
    op.first = r->now.next;
    op.term = r->term;
    op.n = n;
    for (size_t i = 0; i < n; i++) {
        op.id[i] = r->next_id++;
        op.len[i] = (uint32_t)rng_below(&r->rng, max_len + 1);
    }
    rig_submit(r, &op);
}

/* Index of the last acknowledged entry that no later op takes away. */
static uint64_t safe_index(struct rig *r)
{
    return wal_durable_index(r->w);
}

static void rig_random_op(struct rig *r)
{
    uint64_t dice = rng_below(&r->rng, 100);
    uint64_t safe = safe_index(r);
    struct mop op;

    memset(&op, 0, sizeof op);
    if (dice < 8 && r->now.next > r->snap_index + 1) {
        /* A new leader's entries replace the end. */
        r->term++;
        op.kind = rng_below(&r->rng, 4) == 0 ? TRUNC : APPEND;
        op.first =
            r->now.next - rng_below(&r->rng, r->now.next - r->snap_index);
        op.term = r->term;
        op.n = op.kind == APPEND ? 1 : 0;
        op.id[0] = r->next_id++;
        op.len[0] = 100;
        rig_submit(r, &op);
    } else if (dice < 20 && safe > r->snap_index && !disk_sim_dead(r->d)) {
        r->snap_index += 1 + rng_below(&r->rng, safe - r->snap_index);
        r->snap_term = state_term(&r->now, r->snap_index);
        r->hint = wal_durable_no(r->w);
        wal_trim(r->w, r->snap_index);
    } else if (dice < 23 && !disk_sim_dead(r->d)) {
        r->snap_index = r->now.next + rng_below(&r->rng, 5);
        r->snap_term = ++r->term;
        op.kind = RESET;
        op.first = r->snap_index + 1;
        op.term = r->snap_term;
        rig_submit(r, &op);
    } else {
        rig_append(r, 1 + rng_below(&r->rng, BATCH),
                   dice < 30   ? 12000
                   : dice < 60 ? 3000
                               : 200);
    }
    for (uint64_t i = rng_below(&r->rng, 3); i > 0; i--) {
        test_env_step(&r->t);
    }
    if (rng_below(&r->rng, 8) == 0) {
        test_env_run(&r->t, 30000);
    }
}

/* Does the recovered log equal @s, seen from the snapshot? */
static bool matches(const struct rig *r,
                    const struct state *s,
                    const struct wal_recovered *rec)
{
    uint64_t term = state_term(s, r->snap_index);

    if (!rec->need_reset && s->next - 1 != rec->last) {
        return false;
    }
    if (r->snap_index >= s->next ||
        (r->snap_index > 0 && term != r->snap_term)) {
        return rec->n == 0;
    }
    if (rec->n != s->next - 1 - r->snap_index) {
        return false;
    }
    for (size_t i = 0; i < rec->n; i++) {
        uint64_t x = r->snap_index + 1 + i;

        if (!same_entry(&rec->entries[i], s->term[x], s->id[x], s->len[x])) {
            return false;
        }
    }
    return true;
}

/* The recovered log is the state after some op not before the last one that
 * was acknowledged, or within the one after it. Returns that op's number plus
 * one, with the model cut to it; 0 if there is none. */
static bool explain(struct rig *r, const struct wal_recovered *rec)
{
    static struct state s;
    static struct state part;

    state_init(&s);
    for (size_t j = 0; j <= r->submitted; j++) {
        if (j > 0) {
            state_apply(&s, &r->ops[j - 1], r->ops[j - 1].n);
        }
        if (j < r->acked) {
            continue;
        }
        if (matches(r, &s, rec)) {
            r->now = s;
            r->submitted = r->acked = j;
            return true;
        }
        if (j == r->submitted) {
            continue;
        }
        for (size_t m = 0; m < r->ops[j].n; m++) {
            part = s;
            state_apply(&part, &r->ops[j], m);
            if (matches(r, &part, rec)) {
                r->now = part;
                r->ops[j].n = m;
                r->submitted = r->acked = j + 1;
                return true;
            }
        }
    }
    return false;
}

/* Recover, compare with the model, go on with what was found. */
static void rig_restart(struct rig *r, uint64_t seed)
{
    struct wal_recovered rec;
    struct errmsg em = {{0}};

    if (rig_recover(r, &rec, &em) != 0) {
        fail_msg("refused (op %zu acked %zu snap %llu hint %llu): %s",
                 r->submitted, r->acked, (unsigned long long)r->snap_index,
                 (unsigned long long)r->hint, em.text);
    }
    if (!explain(r, &rec)) {
        fail_msg("recovered %zu entries from %llu: not a state after op %zu",
                 rec.n, (unsigned long long)rec.first_index, r->acked);
    }
    if (rec.need_reset) {
        struct mop op = {RESET, r->snap_index + 1, r->snap_term, 0, {0}, {0}};

        state_apply(&r->now, &op, 0);
        r->ops[r->submitted++] = op;
        r->acked = r->submitted;
    }
    r->fatals = 0;
    r->after_fatal = false;
    rig_open(r, &rec, seed);
}

/* ---- tests ---- */

/* What was appended comes back, in order, with its terms and bytes. */
static void round_trip(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 1);
    rig_start(&r, 1);
    for (int i = 0; i < 40; i++) {
        rig_append(&r, 3, 900);
    }
    test_env_run(&r.t, 100000);
    assert_int_equal(r.acked, 40);
    assert_int_equal(wal_durable_index(r.w), 120);
    wal_close(r.w, on_closed, &r);
    test_env_run(&r.t, 1000);
    assert_true(r.closed && r.clean);
    wal_free(r.w);
    r.w = NULL;
    env_release(&r.t.e);
    disk_sim_crash(r.d, 5);
    rig_restart(&r, 2);
    assert_int_equal(wal_last_index(r.w), 120);
    rig_release(&r);
}

/* An orderly stop needs no new segment at the next start. */
static void clean_close_goes_on(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 1);
    rig_start(&r, 1);
    for (int i = 0; i < 5; i++) {
        rig_append(&r, 1, 100);
        test_env_run(&r.t, 100000);
        wal_close(r.w, on_closed, &r);
        test_env_run(&r.t, 1000);
        wal_free(r.w);
        env_release(&r.t.e);
        disk_sim_kill(r.d);
        rig_restart(&r, 2);
    }
    assert_true(disk_sim_exists(r.d, "log/0000000000000001.log"));
    assert_false(disk_sim_exists(r.d, "log/0000000000000002.log"));
    rig_release(&r);
}

/* One entry larger than a whole segment gets a segment of its own. */
static void large_entry(void **state)
{
    struct rig r;
    struct mop op;

    (void)state;
    rig_init(&r, 1);
    rig_start(&r, 1);
    rig_append(&r, 1, 100);
    memset(&op, 0, sizeof op);
    op.first = r.now.next;
    op.term = 1;
    op.n = 2;
    op.id[0] = 1000;
    op.len[0] = 5 * SEG;
    op.id[1] = 1001;
    op.len[1] = 10;
    rig_submit(&r, &op);
    rig_append(&r, 3, 100);
    test_env_run(&r.t, 100000);
    assert_int_equal(r.acked, 3);
    rig_drop(&r);
    disk_sim_crash(r.d, 9);
    rig_restart(&r, 2);
    assert_int_equal(wal_last_index(r.w), 6);
    rig_release(&r);
}

/* The power fails after every disk call, with several fates of what was not
 * synced, and once more after going on: nothing acknowledged is lost, nothing
 * that was never written appears. */
static void crash_everywhere(void **state)
{
    size_t torn = 0;
    bool died = true;

    (void)state;
    for (uint64_t k = 0; died; k++) {
        died = false;
        for (uint64_t seed = 0; seed < 20; seed++) {
            struct rig r;

            rig_init(&r, seed + 31 * k);
            for (uint64_t life = 0; life < 3; life++) {
                struct wal_recovered rec;
                struct errmsg em = {{0}};

                rig_restart(&r, seed * 7 + life);
                disk_sim_dies_after(r.d, life == 0 ? k : k % 23);
                for (int i = 0; i < 60 && !disk_sim_dead(r.d); i++) {
                    rig_random_op(&r);
                }
                died = died || (life == 0 && disk_sim_dead(r.d));
                rig_drop(&r);
                if (rng_below(&r.rng, 4) == 0 && !disk_sim_dead(r.d)) {
                    disk_sim_kill(r.d);
                } else {
                    disk_sim_crash(r.d, seed + 100 * k);
                }
                if (rig_recover(&r, &rec, &em) == 0) {
                    torn += rec.torn_bytes > 0;
                    wal_recovered_release(&rec);
                }
            }
            rig_restart(&r, seed);
            rig_release(&r);
        }
    }
    assert_true(torn > 50); /* else the test says little */
}

/* Only the process dies, then the power fails right after recovery: what
 * recovery gave out as durable is. */
static void killed_then_crashed(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct rig r;
        struct disk_file *f;
        uint8_t *raw;
        struct wal_recovered rec;
        struct errmsg em = {{0}};
        size_t n;

        rig_init(&r, seed);
        rig_start(&r, 1);
        rig_append(&r, 2, 2000);
        test_env_run(&r.t, 100000);
        rig_append(&r, 3, 3000);
        test_env_run(&r.t, 1000);
        rig_drop(&r);
        /* The last write is in the cache only: rewrite it unsynced. */
        disk_sim_kill(r.d);
        raw = aligned_alloc(4096, SEG);
        assert_int_equal(
            disk_open(r.d, "log/0000000000000001.log", DISK_WRITE, &f), 0);
        assert_int_equal(disk_pread(f, raw, SEG, 0), SEG);
        uint8_t *zero = calloc(1, SEG);
        assert_int_equal(disk_pwrite(f, zero, SEG - 6144, 6144), 0);
        assert_int_equal(disk_sync(f), 0);
        assert_int_equal(disk_pwrite(f, raw + 6144, SEG - 6144, 6144), 0);
        disk_close(f);
        free(zero);
        free(raw);
        disk_sim_kill(r.d);
        assert_int_equal(rig_recover(&r, &rec, &em), 0);
        n = rec.n;
        wal_recovered_release(&rec);
        disk_sim_crash(r.d, seed);
        assert_int_equal(rig_recover(&r, &rec, &em), 0);
        assert_int_equal(rec.n, n);
        wal_recovered_release(&rec);
        rig_release(&r);
    }
}

/* A disk call fails, each in turn, once or for good: nothing is acknowledged
 * after a failed write, nothing acknowledged is lost, and the process ends
 * unless it is only room that is wanting. */
static void error_everywhere(void **state)
{
    static const int errs[] = {EIO, ENOSPC, EROFS};
    bool failed = true;

    (void)state;
    for (uint64_t k = 1; failed; k++) {
        failed = false;
        for (uint64_t seed = 0; seed < 6; seed++) {
            struct rig r;
            uint64_t before;

            rig_init(&r, seed);
            rig_start(&r, seed);
            before = disk_sim_changes(r.d);
            disk_sim_fail_at(r.d, k, errs[seed % 3], seed % 2 == 0);
            for (int i = 0; i < 40; i++) {
                rig_random_op(&r);
            }
            test_env_run(&r.t, 3000000);
            failed = failed || disk_sim_changes(r.d) >= before + k;
            assert_false(r.after_fatal);
            assert_true(r.fatals <= 1);
            /* Only want of room passes: what a second try says of a sync
             * that failed is no proof. */
            if (errs[seed % 3] != ENOSPC &&
                disk_sim_changes(r.d) >= before + k) {
                assert_int_equal(r.fatals, 1);
            }
            rig_drop(&r);
            disk_sim_crash(r.d, seed + k);
            rig_restart(&r, seed);
            rig_release(&r);
        }
    }
}

static int add_name(void *data, const char *name)
{
    char(*names)[DISK_NAME_MAX] = data;

    while ((*names)[0] != '\0') {
        names++;
    }
    if (strncmp(name, "spare", 5) != 0) {
        snprintf(*names, DISK_NAME_MAX, "log/%s", name);
    }
    return 0;
}

/* A log of three segments, one recycled, that ended with a mark. */
static void small_log(struct rig *r)
{
    rig_init(r, 3);
    rig_start(r, 3);
    for (int i = 0; i < 40; i++) {
        rig_append(r, 3, 2000);
        test_env_run(&r->t, 100);
        if (i == 30) {
            r->snap_index = 75;
            r->snap_term = 1;
            wal_trim(r->w, 75);
        }
    }
    test_env_run(&r->t, 100000);
    assert_int_equal(r->acked, r->submitted);
    rig_drop(r);
    disk_sim_kill(r->d);
}

/* Whichever bit of the log changes, recovery gives the same entries or
 * refuses with the file's name. */
static void every_bit(void **state)
{
    char names[16][DISK_NAME_MAX] = {{0}};
    struct rig r;
    size_t refused = 0;
    size_t same = 0;

    (void)state;
    small_log(&r);
    assert_int_equal(disk_list(r.d, "log", add_name, names), 0);
    for (size_t f = 0; names[f][0] != '\0'; f++) {
        uint64_t bits = (uint64_t)disk_sim_size(r.d, names[f]) * 8;

        for (uint64_t bit = 0; bit < bits; bit += bit < 40000 ? 1 : 13) {
            struct wal_recovered rec;
            struct errmsg em = {{0}};
            size_t submitted = r.submitted;

            disk_sim_flip(r.d, names[f], bit);
            if (rig_recover(&r, &rec, &em) != 0) {
                assert_non_null(strstr(em.text, "log"));
                refused++;
            } else {
                assert_true(explain(&r, &rec));
                assert_int_equal(r.submitted, submitted);
                same++;
                wal_recovered_release(&rec);
            }
            disk_sim_flip(r.d, names[f], bit);
        }
    }
    assert_true(refused > 10000 && same > 100);
    rig_release(&r);
}

/* Missing, shortened or foreign segments are refused by name. */
static void damaged_files(void **state)
{
    static const char first[] = "log/0000000000000001.log";
    static const char second[] = "log/0000000000000002.log";
    struct wal_recovered rec;

    (void)state;
    for (int what = 0; what < 6; what++) {
        struct errmsg em = {{0}};
        struct rig r;

        rig_init(&r, 3);
        rig_start(&r, 3);
        for (int i = 0; i < 60; i++) {
            rig_append(&r, 3, 2000);
        }
        test_env_run(&r.t, 100000);
        r.hint = wal_durable_no(r.w);
        rig_drop(&r);
        disk_sim_kill(r.d);
        if (what == 0) {
            assert_int_equal(disk_unlink(r.d, second), 0);
        } else if (what == 1) {
            assert_int_equal(disk_unlink(r.d, first), 0);
        } else if (what == 2) {
            disk_sim_cut(r.d, second, SEG - 512);
        } else if (what == 3) {
            r.cfg.id.node_id = 4;
        } else if (what == 4) {
            disk_sim_cut(r.d, first, 100);
        } else {
            disk_sim_wipe(r.d);
        }
        assert_int_equal(rig_recover(&r, &rec, &em),
                         what == 3 ? HF_EIDENTITY : HF_ECORRUPT);
        assert_non_null(strstr(em.text, "log"));
        rig_release(&r);
    }
}

/* Bytes that no write in flight can have left are damage, not a torn tail. */
static void too_much_torn(void **state)
{
    struct rig r;
    struct wal_recovered rec;
    struct errmsg em = {{0}};

    (void)state;
    rig_init(&r, 3);
    rig_start(&r, 3);
    rig_append(&r, 3, 100);
    test_env_run(&r.t, 100000);
    rig_drop(&r);
    disk_sim_kill(r.d);
    assert_int_equal(
        disk_sim_flip(r.d, "log/0000000000000001.log", (uint64_t)(SEG - 1) * 8),
        0);
    assert_int_equal(rig_recover(&r, &rec, &em), HF_ECORRUPT);
    rig_release(&r);
}

struct reading {
    struct rig *r;
    uint64_t next;
    int results;
};

static void on_read(void *data, const struct wal_read_result *res)
{
    struct reading *g = data;

    assert_int_equal(res->status, 0);
    assert_int_equal(res->first, g->next);
    assert_true(res->n > 0);
    for (size_t i = 0; i < res->n; i++) {
        uint64_t x = g->next++;

        assert_true(same_entry(&res->entries[i], g->r->now.term[x],
                               g->r->now.id[x], g->r->now.len[x]));
    }
    g->results++;
}

/* Entries are read back as they are after truncations and trims, in pieces,
 * also after a restart. */
static void reads(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 60; seed++) {
        struct rig r;
        struct reading g;

        rig_init(&r, seed);
        rig_start(&r, seed);
        for (int i = 0; i < 60; i++) {
            rig_random_op(&r);
        }
        test_env_run(&r.t, 100000);
        if (seed % 2 == 0) {
            rig_drop(&r);
            disk_sim_kill(r.d);
            rig_restart(&r, seed);
            test_env_run(&r.t, 100000);
        }
        g.r = &r;
        g.next = wal_first_index(r.w);
        assert_true(g.next <= r.snap_index + 1);
        while (g.next < r.now.next) {
            assert_int_equal(wal_read(r.w, g.next, 5000, on_read, &g), 0);
            test_env_run(&r.t, 1000);
        }
        assert_int_equal(wal_read(r.w, g.next, 5000, on_read, &g), HF_ENOENT);
        rig_release(&r);
    }
}

/* Trimmed segments are used again instead of new ones, and space stays
 * bounded. */
static void recycles(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 1);
    rig_start(&r, 1);
    for (int i = 0; i < 390; i++) {
        rig_append(&r, 3, 2000);
        test_env_run(&r.t, 100);
        r.snap_index = wal_durable_index(r.w);
        r.snap_term = 1;
        wal_trim(r.w, r.snap_index);
        assert_true(wal_bytes_on_disk(r.w) <= 6 * SEG);
    }
    assert_true(wal_reserved_room(r.w) >= SEG - 4096);
    assert_true(disk_sim_used(r.d) <= 6 * SEG);
    rig_drop(&r);
    disk_sim_crash(r.d, 1);
    rig_restart(&r, 2);
    rig_release(&r);
}

/* The header of segment @number; false if there is none. */
static bool seg_head_of(struct rig *r, uint64_t number, struct seg_head *h)
{
    uint8_t raw[SEG_HEADER];
    char name[WAL_PATH_MAX];
    struct disk_file *f;

    seg_path(number, name);
    if (disk_open(r->d, name, DISK_READ, &f) != 0) {
        return false;
    }
    assert_int_equal(disk_pread(f, raw, SEG_HEADER, 0), SEG_HEADER);
    disk_close(f);
    assert_int_equal(seg_head_decode(raw, name, &r->cfg.id, h, NULL), 0);
    return true;
}

static uint64_t newest(struct rig *r, struct seg_head *h)
{
    struct wal_listing l = {0};
    uint64_t number;

    assert_int_equal(wal_list(r->d, &l, NULL), 0);
    assert_true(l.segs_n > 0);
    number = l.segs[l.segs_n - 1];
    free(l.segs);
    free(l.spares);
    assert_true(seg_head_of(r, number, h));
    return number;
}

static void stop(struct rig *r)
{
    wal_close(r->w, on_closed, r);
    test_env_run(&r->t, 1000);
    assert_true(r->clean);
    wal_free(r->w);
    r->w = NULL;
    env_release(&r->t.e);
    disk_sim_kill(r->d);
}

/* Many appends at once; now and then several files are trimmed while others
 * fill up, so that those are used again that may be. */
static void churn(struct rig *r)
{
    for (int i = 0; i < 8; i++) {
        rig_append(r, BATCH, 2500);
    }
    do {
        if (rng_below(&r->rng, 10) == 0) {
            r->snap_index = wal_durable_index(r->w);
            r->snap_term = 1;
            wal_trim(r->w, r->snap_index);
        }
    } while (test_env_step(&r->t));
}

/* Strange bytes behind the first whole frame of the file's earlier life; true
 * if they are more than an unfinished write could be. */
static bool spoil_behind(struct rig *r, const struct seg_head *h)
{
    uint8_t p[FRAME_ALIGN];
    char name[WAL_PATH_MAX];
    struct disk_file *f;
    struct frame fr;
    bool found = false;
    uint64_t spoilt = 0;

    seg_path(h->number, name);
    assert_int_equal(disk_open(r->d, name, DISK_WRITE, &f), 0);
    for (uint64_t at = SEG_HEADER; at < SEG; at += FRAME_ALIGN) {
        assert_int_equal(disk_pread(f, p, FRAME_ALIGN, at), FRAME_ALIGN);
        if (found) {
            memset(p, 0xA5, FRAME_ALIGN);
            assert_int_equal(disk_pwrite(f, p, FRAME_ALIGN, at), 0);
            spoilt += FRAME_ALIGN;
        }
        found = found || (wal_frame_decode(p, &fr) && fr.salt == h->old_salt);
    }
    assert_int_equal(disk_sync(f), 0);
    disk_close(f);
    return spoilt > 2 * h->flight;
}

/* What recovery did not refuse it does not uncover: behind an orderly end the
 * log does not go on over bytes that only an earlier life's frame excused. */
static void strange_behind_mark(void **state)
{
    size_t shown = 0;

    (void)state;
    for (uint64_t seed = 1; seed < 40; seed++) {
        struct seg_head h;
        struct seg_head now;
        struct rig r;

        rig_init(&r, seed);
        rig_start(&r, seed);
        for (int i = 0; i < 5; i++) {
            churn(&r);
        }
        stop(&r);
        newest(&r, &h);
        if (h.old_salt == 0 || !spoil_behind(&r, &h)) {
            rig_release(&r);
            continue;
        }
        shown++;
        for (int i = 0; i < 10; i++) {
            rig_restart(&r, seed);
            rig_append(&r, 1, 2000);
            test_env_run(&r.t, 100000);
            assert_true(newest(&r, &now) > h.number);
            rig_drop(&r);
            disk_sim_crash(r.d, seed);
        }
        rig_release(&r);
    }
    assert_true(shown > 0);
}

/* No file here was a segment with one of @salts before. How many were one? */
static size_t lives(struct rig *r, const uint64_t *salts, size_t n)
{
    struct seg_head h;
    size_t again = 0;

    for (uint64_t k = newest(r, &h); seg_head_of(r, k, &h); k--) {
        again += h.old_salt != 0;
        for (size_t j = 0; j < n; j++) {
            assert_true(h.old_salt != salts[j]);
        }
    }
    return again;
}

/* What an earlier process left is not used again when it is trimmed: nobody
 * has looked behind its end. */
static void found_not_recycled(void **state)
{
    size_t again = 0;

    (void)state;
    for (uint64_t seed = 1; seed < 20; seed++) {
        struct seg_head h;
        struct rig r;
        uint64_t salts[32];
        size_t n = 0;

        rig_init(&r, seed);
        rig_start(&r, seed);
        for (int i = 0; i < 24; i++) {
            rig_append(&r, BATCH, 2500);
        }
        test_env_run(&r.t, 100000);
        stop(&r);
        rig_restart(&r, seed + 100); /* other salts */
        while (seg_head_of(&r, n + 1, &h)) {
            assert_true(n < 32);
            salts[n++] = h.salt;
        }
        assert_true(n >= 3);
        for (int i = 0; i < 6; i++) {
            churn(&r);
            again += lives(&r, salts, n);
        }
        rig_release(&r);
    }
    assert_true(again > 0); /* its own ones it does */
}

/* A file with one entry larger than an ordinary write is not used again: in
 * its next life the rest of that entry would look like damage. */
static void large_not_recycled(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed < 40; seed++) {
        struct mop op = {.kind = APPEND, .term = 1, .n = 1};
        struct rig r;

        rig_init(&r, seed);
        rig_start(&r, seed);
        for (int i = 0; i < 4; i++) {
            op.first = r.now.next;
            op.id[0] = r.next_id++;
            op.len[0] = SEG / 4 * 3;
            rig_submit(&r, &op);
            churn(&r);
        }
        rig_drop(&r);
        disk_sim_crash(r.d, seed);
        rig_restart(&r, seed);
        rig_release(&r);
    }
}

/* The bytes from an index on, and the tail that fits a number of bytes, are
 * each other's inverse, across segments. */
static void bytes_behind(void **state)
{
    struct rig r;
    uint64_t all;
    uint64_t last;

    (void)state;
    rig_init(&r, 1);
    rig_start(&r, 1);
    for (int i = 0; i < 40; i++) {
        rig_append(&r, 1, 2000);
        test_env_run(&r.t, 5);
    }
    last = wal_durable_index(r.w);
    all = wal_bytes_from(r.w, wal_first_index(r.w));
    assert_true(all > SEG && all <= wal_bytes(r.w));
    assert_int_equal(wal_bytes_from(r.w, 0), wal_bytes(r.w));
    assert_int_equal(wal_bytes_from(r.w, last + 1), 0);
    assert_int_equal(wal_tail_index(r.w, 0), last + 1);
    assert_int_equal(wal_tail_index(r.w, UINT64_MAX), wal_first_index(r.w));
    for (uint64_t i = wal_first_index(r.w); i <= last; i++) {
        uint64_t n = wal_bytes_from(r.w, i);

        assert_true(n > wal_bytes_from(r.w, i + 1));
        assert_true(wal_tail_index(r.w, n) <= i);
        assert_true(wal_tail_index(r.w, n - wal_bytes_from(r.w, i + 1)) >= i);
    }
    rig_release(&r);
}

/* With a full disk appends wait, nothing fails, and all goes on when there
 * is room again. */
static void full_disk(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 1);
    rig_start(&r, 1);
    rig_append(&r, 1, 100);
    test_env_run(&r.t, 10000);
    disk_sim_set_room(r.d, disk_sim_used(r.d));
    for (int i = 0; i < 100; i++) {
        rig_append(&r, 3, 2000);
    }
    test_env_run(&r.t, 100000);
    assert_true(wal_wants_room(r.w));
    assert_true(r.acked < r.submitted);
    assert_int_equal(r.fatals, 0);
    disk_sim_set_room(r.d, UINT64_MAX);
    test_env_run(&r.t, 5000000);
    assert_int_equal(r.acked, r.submitted);
    rig_release(&r);
}

/* A gap between snapshot and log is refused. */
static void hole(void **state)
{
    struct rig r;
    struct wal_recovered rec;
    struct errmsg em = {{0}};

    (void)state;
    small_log(&r);
    r.snap_index = 1;
    assert_int_equal(rig_recover(&r, &rec, &em), HF_ECORRUPT);
    assert_non_null(strstr(em.text, "missing"));
    rig_release(&r);
}

/* The last segment's file is gone: the log does not end where the one before
 * it ends, whatever else is known. */
static void last_segment_missing(void **state)
{
    struct wal_recover_in in;
    struct wal_survey survey;
    struct wal_recovered rec;
    struct errmsg em = {{0}};
    struct rig r;

    (void)state;
    for (int how = 0; how < 3; how++) {
        rig_init(&r, 1);
        rig_start(&r, 1);
        while (!disk_sim_exists(r.d, "log/0000000000000003.log")) {
            rig_append(&r, 1, 900);
            test_env_run(&r.t, 100);
        }
        if (how > 0) { /* a start after an unclean stop makes one, too */
            rig_drop(&r);
            disk_sim_crash(r.d, 3);
            disk_sim_flip(r.d, "log/0000000000000003.log", 6144 * 8);
            rig_restart(&r, 2);
            rig_append(&r, 1, 900);
            test_env_run(&r.t, 100);
        }
        rig_drop(&r);
        disk_sim_kill(r.d);
        assert_true(disk_sim_exists(r.d, "log/0000000000000004.log") ==
                    (how > 0));
        if (how > 0) {
            assert_int_equal(disk_sim_lose(r.d, "log/0000000000000004.log"), 0);
        }
        if (how != 1) {
            assert_int_equal(disk_sim_lose(r.d, "log/0000000000000003.log"), 0);
        }
        assert_int_equal(rig_recover(&r, &rec, &em), HF_ECORRUPT);
        assert_non_null(strstr(em.text, "log/000000000000000"));
        memset(&in, 0, sizeof in);
        in.cfg = r.cfg;
        assert_int_equal(wal_survey(r.d, &in, &survey, &em), 0);
        assert_true(survey.any);
        assert_false(survey.known); /* no repair under the same id */
        rig_release(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(clean_close_goes_on),
        cmocka_unit_test(large_entry),
        cmocka_unit_test(reads),
        cmocka_unit_test(recycles),
        cmocka_unit_test(strange_behind_mark),
        cmocka_unit_test(found_not_recycled),
        cmocka_unit_test(large_not_recycled),
        cmocka_unit_test(bytes_behind),
        cmocka_unit_test(full_disk),
        cmocka_unit_test(hole),
        cmocka_unit_test(damaged_files),
        cmocka_unit_test(last_segment_missing),
        cmocka_unit_test(too_much_torn),
        cmocka_unit_test(killed_then_crashed),
        cmocka_unit_test(crash_everywhere),
        cmocka_unit_test(error_everywhere),
        cmocka_unit_test(every_bit),
    };

    test_choose_mutant();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
