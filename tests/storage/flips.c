/* Every single bit: whichever one of a file changes, the directory comes back
 * identical or the start reports the damage. */
#include <stdio.h>
#include <stdlib.h>

#include "raftio/wal_int.h"
#include "tests/storage/rig.h"
#include "tests/storage/sweep.h"

enum {
    BYTES_MIN = 64 << 10,
    FILES_MAX = 400,
    VOTES = 8, /* states of term and vote: 8 KiB in two files each */
};

enum row {
    LOG_CLOSED,
    LOG_IDLE,
    LOG_KILLED,
    LOG_SPARE,
    VOTE_ONE,
    VOTE_BOTH,
    SNAPSHOT,
    IDENTITY,
};

static const char *const rows[] = {
    "log, closed",    "log, idle",      "log, killed",
    "spare segments", "vote, one file", "vote, both files",
    "snapshot",       "identity",       NULL};

/* A directory in a state to be damaged, and what it holds whole. */
struct scene {
    struct rig *r;
    struct disk *d;
    struct disk *whole_d; /* a copy: starts repair vote files */
    struct rig_found whole;
    uint64_t last_seg; /* frame that nothing witnesses; 0 none */
    uint64_t last_off;
    uint64_t last_end;
};

struct target {
    struct scene *scene;
    enum row row;
    char name[DISK_NAME_MAX];
    uint64_t bits;
    uint64_t seg; /* number, of log files */
};

static struct scene scenes[3 + VOTES];
static size_t scenes_n;
static struct target targets[FILES_MAX];
static size_t targets_n;
static uint64_t flips_seed;

/* ---- scenes ---- */

/* A log with everything in it: several segments, recycled ones, truncations,
 * replaced ends, quiet times with marks, an install, restarts. */
static void script(struct rig *r)
{
    hf_assert(rig_start(r));
    for (int i = 0; i < 150; i++) {
        rig_step(r);
        hf_assert(!r->stopped && r->text[0] == '\0');
    }
    if (r->w == NULL) {
        hf_assert(rig_start(r));
    }
    rig_install(r);
    rig_settle(r, 100000);
    r->snap_bytes = BYTES_MIN + 9000;
    for (int i = 0; i < 60 || wal_bytes(r->w) < BYTES_MIN * 5 / 4; i++) {
        rig_append(r, 3, i % 10 == 0 ? 2500 : 700);
        test_env_step(&r->t);
        if (i % 9 == 8) {
            rig_settle(r, 30000);
            rig_truncate(r, r->now.next - 2);
        } else if (i % 9 == 4) {
            rig_settle(r, 0);
            rig_replace(r, r->now.next - 3);
            rig_vote(r);
        }
        hf_assert(!r->stopped && i < 5000);
    }
    rig_settle(r, 0);
    rig_snapshot(r, r->snap.index + 5);
    rig_settle(r, 100000);
    hf_assert(!r->stopped && r->acked == r->submitted);
}

static void scene_end(struct scene *s, enum row how)
{
    const struct wal_index *x;

    /* Of these frames no vote and no snapshot speaks. */
    rig_append(s->r, 2, 1500);
    rig_settle(s->r, 0);
    rig_append(s->r, 2, 1500);
    rig_settle(s->r, 100000);
    if (how == LOG_CLOSED) {
        rig_close(s->r);
        hf_assert(s->r->clean);
    }
    if (how == LOG_KILLED) {
        rig_append(s->r, 2, 900);
        while (s->r->acked < s->r->submitted && test_env_step(&s->r->t)) {
        }
    }
    rig_drop(s->r);
    disk_sim_kill(s->d);
    rig_open(s->r, s->d, &s->whole);
    hf_assert(rig_explain(s->r, &s->whole) && s->whole.log.n > 20);
    disk_sim_kill(s->d);
    if (how == LOG_KILLED) {
        x = &s->whole.log.index[s->whole.log.index_n - 1];
        s->last_seg = x->seg;
        s->last_off = x->off;
        s->last_end = x->off + x->len;
    }
}

static struct scene *scene_new(enum row how, uint64_t seed)
{
    struct scene *s = &scenes[scenes_n++];

    s->d = disk_sim_new();
    s->r = hf_calloc(1, sizeof *s->r);
    rig_init(s->r, s->d, seed, 7, 3);
    script(s->r);
    scene_end(s, how);
    s->whole_d = disk_sim_clone(s->d);
    return s;
}

/* Only identity and votes: state @i of term and vote. */
static struct scene *vote_scene(int i)
{
    struct scene *s = &scenes[scenes_n++];

    s->d = disk_sim_new();
    s->r = hf_calloc(1, sizeof *s->r);
    rig_init(s->r, s->d, flips_seed + (uint64_t)i, 7, 3);
    hf_assert(rig_start(s->r));
    rig_append(s->r, 2, 100);
    rig_settle(s->r, 0);
    for (int k = 0; k < 2 * i + 1; k++) {
        rig_vote(s->r);
    }
    rig_settle(s->r, 100000);
    rig_drop(s->r);
    disk_sim_kill(s->d);
    rig_open(s->r, s->d, &s->whole);
    hf_assert(rig_explain(s->r, &s->whole));
    disk_sim_kill(s->d);
    s->whole_d = disk_sim_clone(s->d);
    return s;
}

/* ---- targets ---- */

static void target_add(struct scene *s, enum row row, const char *name)
{
    struct target *t = &targets[targets_n++];
    unsigned long long seg = 0;

    hf_assert(targets_n <= FILES_MAX);
    t->scene = s;
    t->row = row;
    snprintf(t->name, sizeof t->name, "%s", name);
    t->bits = (uint64_t)disk_sim_size(s->d, name) * 8;
    (void)sscanf(name, "log/%16llx.log", &seg);
    t->seg = seg;
}

struct adding {
    struct scene *s;
    enum row row;
};

static int add_log(void *data, const char *name)
{
    struct adding *a = data;
    char path[DISK_NAME_MAX];
    bool spare = strncmp(name, "spare", 5) == 0;

    snprintf(path, sizeof path, "log/%.50s", name);
    if (!spare || a->row == LOG_CLOSED) {
        target_add(a->s, spare ? LOG_SPARE : a->row, path);
    }
    return 0;
}

static void log_targets(struct scene *s, enum row row)
{
    struct adding a = {s, row};
    uint64_t bits = 0;

    hf_assert(disk_list(s->d, "log", add_log, &a) == 0);
    for (size_t i = 0; i < targets_n; i++) {
        bits += targets[i].row == row ? targets[i].bits : 0;
    }
    hf_assert(bits >= BYTES_MIN * 8 && s->whole.log.segs_n >= 2);
}

static void end(void)
{
    for (size_t i = 0; i < scenes_n; i++) {
        rig_found_release(&scenes[i].whole);
        disk_sim_free(scenes[i].d);
        if (scenes[i].whole_d != NULL) {
            disk_sim_free(scenes[i].whole_d);
        }
        free(scenes[i].r);
    }
    memset(scenes, 0, sizeof scenes);
    scenes_n = targets_n = 0;
}

static uint64_t begin(uint64_t seed)
{
    char name[DISK_NAME_MAX];
    struct scene *s;
    uint64_t n = 0;

    flips_seed = seed;
    for (enum row how = LOG_CLOSED; how <= LOG_KILLED; how++) {
        s = scene_new(how, seed + how);
        log_targets(s, how);
        if (how == LOG_CLOSED) {
            snap_name(s->whole.snap.index, s->whole.snap.term, name);
            target_add(s, SNAPSHOT, name);
            hf_assert(targets[targets_n - 1].bits >= BYTES_MIN * 8);
            target_add(s, IDENTITY, "identity");
        }
    }
    for (int i = 0; i < VOTES; i++) {
        s = vote_scene(i);
        target_add(s, VOTE_ONE, "vote.a");
        target_add(s, VOTE_ONE, "vote.b");
        target_add(s, VOTE_BOTH, "vote.a");
    }
    for (size_t i = 0; i < targets_n; i++) {
        n += targets[i].bits;
    }
    return n;
}

/* ---- one flip ---- */

/* What came back is the whole less the frame that nothing witnesses. */
static bool residue(const struct target *t,
                    uint64_t bit,
                    const struct wal_recovered *got)
{
    const struct scene *s = t->scene;
    const struct wal_recovered *whole = &s->whole.log;
    struct wal_recovered less = *whole;
    const struct wal_index *x;

    if (s->last_end == 0 || t->seg != s->last_seg || bit / 8 < s->last_off ||
        bit / 8 >= s->last_end || got->torn_bytes == 0) {
        return false;
    }
    x = &whole->index[whole->index_n - 1];
    less.n -= (size_t)(x->last - x->first + 1);
    less.last = x->first - 1;
    less.last_term =
        less.n == 0 ? s->whole.snap.term : less.entries[less.n - 1].term;
    return rig_same_log(&less, got);
}

static bool same_rest(const struct rig_found *a, const struct rig_found *b)
{
    return memcmp(&a->id, &b->id, sizeof a->id) == 0 &&
           memcmp(&a->snap, &b->snap, sizeof a->snap) == 0 &&
           memcmp(&a->voted, &b->voted, sizeof a->voted) == 0 &&
           a->vote.now.log_no == b->vote.now.log_no;
}

static enum outcome judge(const struct target *t,
                          uint64_t bit,
                          const struct rig_found *f)
{
    if (f->status != 0) {
        return rig_reported(f) && rig_survey_true(f, t->scene->whole.log.last)
                   ? REPORTED
                   : SILENT;
    }
    if (!same_rest(f, &t->scene->whole)) {
        return SILENT;
    }
    if (t->scene->r->skip_log || rig_same_log(&f->log, &t->scene->whole.log)) {
        return SAME;
    }
    return residue(t, bit, &f->log) ? RESIDUE : SILENT;
}

static void flip(const struct target *t, uint64_t bit)
{
    struct disk *d = t->scene->d;

    if (disk_sim_flip(d, t->name, bit) != 0) {
        fprintf(stderr, "%s is not there any more\n", t->name);
        abort();
    }
    if (t->row == VOTE_BOTH) {
        uint64_t other = bit * 2654435761U % (VOTE_SLOT_BYTES * 8);

        hf_assert(disk_sim_flip(d, "vote.b", other) == 0);
    }
}

/* A start repairs the vote files, and removes a spare that does not fit. */
static void unflip(const struct target *t, uint64_t bit)
{
    struct scene *s = t->scene;

    if (t->row == VOTE_ONE || t->row == VOTE_BOTH) {
        hf_assert(disk_sim_replace(s->d, "vote.a", s->whole_d, "vote.a") == 0);
        hf_assert(disk_sim_replace(s->d, "vote.b", s->whole_d, "vote.b") == 0);
    } else if (t->row == LOG_SPARE) {
        hf_assert(disk_sim_replace(s->d, t->name, s->whole_d, t->name) == 0);
    } else {
        flip(t, bit);
    }
    disk_sim_kill(s->d);
}

static void one(uint64_t ordinal, struct tally *tally)
{
    const struct target *t = targets;
    struct rig_found f;
    uint64_t bit = ordinal;
    enum outcome o;

    while (bit >= t->bits) {
        bit -= t->bits;
        t++;
    }
    t->scene->r->skip_log = t->row >= VOTE_ONE && t->row <= SNAPSHOT;
    t->scene->r->skip_content = t->row != SNAPSHOT;
    flip(t, bit);
    rig_open(t->scene->r, t->scene->d, &f);
    o = judge(t, bit, &f);
    if (o == SILENT) {
        tally_fail(tally, (int)t->row,
                   "flip of bit %llu of %s (%s): status %d, %zu of %zu "
                   "entries, survey %d %llu, term %llu vote %llu: %.200s; "
                   "--seed %llu --from "
                   "%llu --points 1",
                   (unsigned long long)bit, t->name, rows[t->row], f.status,
                   f.log.n, t->scene->whole.log.n, f.survey.known,
                   (unsigned long long)f.survey.last,
                   (unsigned long long)f.voted.term,
                   (unsigned long long)f.voted.vote, f.em.text,
                   (unsigned long long)flips_seed, (unsigned long long)ordinal);
    } else {
        tally_add(tally, (int)t->row, o);
    }
    rig_found_release(&f);
    unflip(t, bit);
}

const struct sweep sweep_flips = {"flips", "position", begin, one, end, rows};
