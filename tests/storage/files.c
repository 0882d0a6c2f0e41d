/* Whole files: cut short at every sector, missing, in each other's place, of
 * another node, another cluster, another directory. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/storage/rig.h"
#include "tests/storage/sweep.h"

enum { FILES_MAX = 64, CASES_MAX = 32768 };

enum row {
    CUT_SHORT,
    MISSING,
    SWAPPED,
    OTHER_NODE,
    OTHER_CLUSTER,
    OTHER_DIRECTORY,
};

static const char *const rows[] = {
    "cut short",     "missing",         "swapped", "of another node",
    "other cluster", "other directory", NULL};

/* Closed in order, or killed after a quiet time; a young member: one segment,
 * one term, no snapshot. */
enum { CLOSED, IDLE, YOUNG, ENDS };
static const char *const end_name[] = {"closed", "idle", "young"};

struct scene {
    struct disk *d;
    struct rig *r;
    struct rig_found whole;
    char names[FILES_MAX][DISK_NAME_MAX];
    size_t n;
};

/* The directory itself, and others whose files may get into it. */
static struct scene mine[ENDS];
static struct scene others[3];

static struct {
    uint16_t end;
    uint16_t row;
    uint16_t file;
    uint16_t other; /* SWAPPED: the other file */
    uint64_t bytes; /* CUT_SHORT */
} cases[CASES_MAX];
static size_t cases_n;
static uint64_t files_seed;

/* ---- scenes ---- */

static int add_name(void *data, const char *name)
{
    struct scene *s = data;

    hf_assert(s->n < FILES_MAX);
    snprintf(s->names[s->n++], DISK_NAME_MAX, "%s", name);
    return 0;
}

static void list_dir(struct scene *s, const char *dir)
{
    size_t from = s->n;

    hf_assert(disk_list(s->d, dir, add_name, s) == 0);
    for (size_t i = from; i < s->n; i++) {
        char name[DISK_NAME_MAX];

        snprintf(name, sizeof name, "%.50s", s->names[i]);
        snprintf(s->names[i], DISK_NAME_MAX, "%s/%.50s", dir, name);
    }
}

static void list_all(struct scene *s)
{
    static const char *const top[] = {"identity", "vote.a", "vote.b"};

    s->n = 0;
    for (size_t i = 0; i < 3; i++) {
        snprintf(s->names[s->n++], DISK_NAME_MAX, "%s", top[i]);
    }
    list_dir(s, "log");
    list_dir(s, "snap");
}

static void scene_init(struct scene *s,
                       uint64_t seed,
                       uint8_t cluster,
                       uint64_t node,
                       uint8_t dir)
{
    memset(s, 0, sizeof *s);
    s->d = disk_sim_new();
    s->r = hf_calloc(1, sizeof *s->r);
    rig_init(s->r, s->d, seed, cluster, node);
    rig_set_dir(s->r, dir);
    hf_assert(rig_start(s->r));
    for (int i = 0; i < 60; i++) {
        rig_work(s->r);
    }
    rig_settle(s->r, 100000);
    rig_snapshot(s->r, wal_durable_index(s->r->w));
    /* Several segments after the snapshot, the last two without a vote that
     * would witness them. */
    for (int i = 0; i < 90; i++) {
        rig_append(s->r, 3, 900);
        rig_settle(s->r, 0);
        if (i < 40 && i % 16 == 0) {
            rig_vote(s->r);
        }
    }
    rig_settle(s->r, 100000);
    hf_assert(!s->r->stopped && s->r->text[0] == '\0');
}

static void scene_young(struct scene *s, uint64_t seed)
{
    memset(s, 0, sizeof *s);
    s->d = disk_sim_new();
    s->r = hf_calloc(1, sizeof *s->r);
    rig_init(s->r, s->d, seed, 7, 3);
    rig_set_dir(s->r, 1);
    hf_assert(rig_start(s->r));
    rig_vote(s->r);
    rig_append(s->r, 4, 500);
    rig_settle(s->r, 0);
    rig_append(s->r, 2, 500);
    rig_settle(s->r, 100000);
    hf_assert(!s->r->stopped && s->r->text[0] == '\0');
}

static void scene_end(struct scene *s, bool close)
{
    if (close) {
        rig_close(s->r);
    }
    rig_drop(s->r);
    disk_sim_kill(s->d);
    list_all(s);
    rig_open(s->r, s->d, &s->whole);
    hf_assert(rig_explain(s->r, &s->whole));
    disk_sim_kill(s->d);
}

static void scene_release(struct scene *s)
{
    rig_found_release(&s->whole);
    disk_sim_free(s->d);
    free(s->r);
}

/* ---- cases ---- */

static void add_case(int e, enum row row, size_t f, size_t o, uint64_t bytes)
{
    hf_assert(cases_n < CASES_MAX);
    cases[cases_n].end = (uint16_t)e;
    cases[cases_n].row = (uint16_t)row;
    cases[cases_n].file = (uint16_t)f;
    cases[cases_n].other = (uint16_t)o;
    cases[cases_n++].bytes = bytes;
}

/* The directory part: files of one kind trade places. Spares are blank logs.
 */
static bool same_kind(const char *a, const char *b)
{
    return strncmp(a, b, 4) == 0;
}

static void cases_of(int e)
{
    const struct scene *s = &mine[e];

    for (size_t f = 0; f < s->n; f++) {
        uint64_t size = (uint64_t)disk_sim_size(s->d, s->names[f]);

        for (uint64_t n = 0; n < size; n += DISK_SECTOR) {
            add_case(e, CUT_SHORT, f, 0, n);
        }
        add_case(e, CUT_SHORT, f, 0, size - 1);
        add_case(e, MISSING, f, 0, 0);
        for (size_t o = f + 1; o < s->n; o++) {
            if (same_kind(s->names[f], s->names[o])) {
                add_case(e, SWAPPED, f, o, 0);
            }
        }
        for (enum row row = OTHER_NODE; row <= OTHER_DIRECTORY; row++) {
            const struct scene *from = &others[row - OTHER_NODE];

            for (size_t o = 0; o < from->n; o++) {
                if (same_kind(s->names[f], from->names[o])) {
                    add_case(e, row, f, o, 0);
                }
            }
        }
    }
}

static uint64_t begin(uint64_t seed)
{
    files_seed = seed;
    for (int e = CLOSED; e < YOUNG; e++) {
        scene_init(&mine[e], seed, 7, 3, 1);
        scene_end(&mine[e], e == CLOSED);
    }
    scene_young(&mine[YOUNG], seed);
    scene_end(&mine[YOUNG], false);
    scene_init(&others[0], seed, 7, 4, 2);
    scene_init(&others[1], seed, 8, 3, 1);
    scene_init(&others[2], seed, 7, 3, 5);
    for (int i = 0; i < 3; i++) {
        scene_end(&others[i], i == 0);
    }
    for (int e = 0; e < ENDS; e++) {
        cases_of(e);
    }
    return cases_n;
}

static void end(void)
{
    for (int e = 0; e < ENDS; e++) {
        scene_release(&mine[e]);
    }
    for (int i = 0; i < 3; i++) {
        scene_release(&others[i]);
    }
    cases_n = 0;
}

/* ---- one case ---- */

static void damage(struct disk *d, size_t i, const char **of)
{
    const struct scene *s = &mine[cases[i].end];
    const char *name = s->names[cases[i].file];
    const struct scene *from;

    *of = "";
    switch ((enum row)cases[i].row) {
        case CUT_SHORT:
            hf_assert(disk_sim_cut(d, name, cases[i].bytes) == 0);
            break;
        case MISSING:
            hf_assert(disk_sim_lose(d, name) == 0);
            break;
        case SWAPPED:
            *of = s->names[cases[i].other];
            hf_assert(disk_sim_swap(d, name, *of) == 0);
            break;
        default:
            from = &others[cases[i].row - OTHER_NODE];
            *of = from->names[cases[i].other];
            hf_assert(disk_sim_replace(d, name, from->d, *of) == 0);
            break;
    }
}

static bool same(const struct rig_found *a, const struct rig_found *b)
{
    return memcmp(&a->id, &b->id, sizeof a->id) == 0 &&
           memcmp(&a->snap, &b->snap, sizeof a->snap) == 0 &&
           memcmp(&a->voted, &b->voted, sizeof a->voted) == 0 &&
           rig_same_log(&a->log, &b->log);
}

static void one(uint64_t ordinal, struct tally *t)
{
    const struct scene *s = &mine[cases[ordinal].end];
    int row = cases[ordinal].row;
    struct disk *d = disk_sim_clone(s->d);
    struct rig_found f;
    const char *of;

    damage(d, ordinal, &of);
    rig_open(s->r, d, &f);
    if (rig_reported(&f) && rig_survey_true(&f, s->whole.log.last)) {
        tally_add(t, row, REPORTED);
    } else if (f.status == 0 && same(&f, &s->whole)) {
        tally_add(t, row, SAME);
    } else {
        tally_fail(t, row,
                   "%s: %s %s (%llu bytes, %s): status %d, %zu of %zu entries, "
                   "survey %d %llu, snapshot %llu, term %llu: %.200s; --seed "
                   "%llu --from %llu "
                   "--points 1",
                   rows[row], s->names[cases[ordinal].file], of,
                   (unsigned long long)cases[ordinal].bytes,
                   end_name[cases[ordinal].end], f.status, f.log.n,
                   s->whole.log.n, f.survey.known,
                   (unsigned long long)f.survey.last,
                   (unsigned long long)f.snap.index,
                   (unsigned long long)f.voted.term, f.em.text,
                   (unsigned long long)files_seed, (unsigned long long)ordinal);
    }
    rig_found_release(&f);
    disk_sim_free(d);
}

const struct sweep sweep_files = {"files", "case", begin, one, end, rows};
