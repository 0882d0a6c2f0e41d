/* The power fails in the middle of every changing call of a script, and what
 * was not synced is kept, dropped or torn by seed, several times for each
 * call: what was acknowledged is there, nothing else appears. An ordinal is
 * a script; it has some hundreds of calls. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/storage/rig.h"
#include "tests/storage/sweep.h"

enum {
    STEPS = 90,   /* of a script */
    FATES = 4,    /* for each call */
    AGAIN_IN = 8, /* one in so many goes on, and fails again */
    AGAIN_STEPS = 6,
};

enum row { CUT, KILL_CUT, CUT_AGAIN };

static const char *const rows[] = {"power cut", "killed, then cut",
                                   "cut, gone on, cut", NULL};

static uint64_t cuts_seed;

struct cutting {
    struct rig *r;
    struct tally *tally;
    uint64_t script;
    uint64_t call;
    uint64_t fates; /* seeds used so far */
    bool failed;    /* one report for each script is enough */
};

static void report(struct cutting *c, enum row row, const struct rig *f)
{
    if (f->text[0] == '\0') {
        tally_add(c->tally, (int)row, SAME);
        return;
    }
    c->failed = true;
    tally_fail(c->tally, (int)row,
               "%s in call %llu of script %llu: %.300s; --seed %llu --from "
               "%llu --points 1",
               rows[row], (unsigned long long)c->call,
               (unsigned long long)c->script, f->text,
               (unsigned long long)cuts_seed, (unsigned long long)c->script);
}

/* Open @d and hold it against what @r knows; false: violated. */
static bool look(struct rig *r, struct disk *d)
{
    struct rig_found f;
    bool ok;

    rig_open(r, d, &f);
    ok = rig_explain(r, &f);
    rig_found_release(&f);
    return ok;
}

struct again {
    struct rig *r;
    struct rig *seen; /* what the second cut left, and the verdict */
    uint64_t left;    /* calls until it */
    uint64_t seed;
};

static void cut_again(void *data)
{
    struct again *a = data;
    struct disk *d;

    if (a->seen != NULL || a->left-- > 0) {
        return;
    }
    d = disk_sim_twin(a->r->d);
    a->seen = hf_malloc(sizeof *a->seen);
    rig_fork(a->seen, a->r, d);
    disk_sim_crash(d, a->seed);
    (void)look(a->seen, d);
    disk_sim_free(d);
}

/* The node goes on where the cut left it, and the power fails once more at
 * some call of the new life. */
static void go_on(struct rig *r, struct disk *d, uint64_t seed)
{
    struct again a = {r, NULL, seed % 60, seed};

    disk_sim_kill(d);
    disk_sim_on_change(d, cut_again, &a);
    r->stopped = false;
    r->rng.s = seed;
    if (rig_start(r)) {
        for (int i = 0; i < AGAIN_STEPS && a.seen == NULL; i++) {
            rig_work(r);
        }
    }
    a.left = 0;
    if (r->w != NULL) {
        rig_settle(r, 100000);
    }
    disk_sim_on_change(d, NULL, NULL);
    rig_drop(r);
    if (r->text[0] == '\0' && a.seen != NULL) {
        memcpy(r->text, a.seen->text, sizeof r->text);
    }
    free(a.seen);
}

static void fate(struct cutting *c, uint64_t seed)
{
    struct disk *d = disk_sim_twin(c->r->d);
    struct rig *r = hf_malloc(sizeof *r);
    enum row row = seed % 8 == 0 ? KILL_CUT : CUT;

    rig_fork(r, c->r, d);
    if (row == KILL_CUT) {
        disk_sim_kill(d);
    } else {
        disk_sim_crash(d, seed);
    }
    if (look(r, d)) {
        /* What a start has given out stays, were the power to fail now. */
        disk_sim_crash(d, seed + 77);
        (void)look(r, d);
    }
    report(c, row, r);
    if (r->text[0] == '\0' && seed / 8 % AGAIN_IN == 0) {
        go_on(r, d, seed);
        report(c, CUT_AGAIN, r);
    }
    free(r);
    disk_sim_free(d);
}

static void cut_here(void *data)
{
    struct cutting *c = data;

    c->call++;
    for (int i = 0; i < FATES && !c->failed; i++) {
        struct rng x = {cuts_seed * 1000003 + c->script * 7919 + c->fates++};

        fate(c, rng_next(&x));
    }
}

static void one(uint64_t ordinal, struct tally *t)
{
    struct rig *r = hf_malloc(sizeof *r);
    struct disk *d = disk_sim_new();
    struct cutting c = {r, t, ordinal, 0, 0, false};

    rig_init(r, d, cuts_seed * 0x9E3779B9 + ordinal, 7, 3);
    disk_sim_on_change(d, cut_here, &c);
    if (rig_start(r)) {
        for (int i = 0; i < STEPS && !r->stopped && !c.failed; i++) {
            rig_step(r);
        }
    }
    disk_sim_on_change(d, NULL, NULL);
    if (!c.failed && (r->stopped || r->text[0] != '\0')) {
        snprintf(r->text + strnlen(r->text, 400), 40, " (without a cut)");
        report(&c, CUT, r);
    }
    rig_drop(r);
    disk_sim_free(d);
    free(r);
}

static uint64_t begin(uint64_t seed)
{
    cuts_seed = seed;
    return UINT64_MAX;
}

static void end(void)
{
}

const struct sweep sweep_cuts = {"cuts", "script", begin, one, end, rows};
