/* A call of the disk fails, each in turn: the process stops, or goes on
 * without having acknowledged anything that is not on the disk; after a
 * power cut and a restart all that was acknowledged is there. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/storage/rig.h"
#include "tests/storage/sweep.h"

enum {
    OPS = 1000, /* of the script */
    AFTER = 30, /* that it goes on after the error */
};

enum row { ERR_EIO, ERR_ENOSPC, ERR_EROFS, SHORT, FULL, READ_EIO, ROWS };

static const char *const rows[] = {"EIO",         "ENOSPC",    "EROFS, stays",
                                   "short write", "disk full", "EIO, reading",
                                   NULL};

struct script {
    struct rig *r;
    struct disk *d;
    enum row row;
    uint64_t at;      /* call that is to fail */
    uint64_t full_at; /* changing calls until the room is gone; 0 never */
    bool full;
};

static uint64_t errors_seed;
static uint64_t writes; /* changing calls of the script */
static uint64_t reads;

static void count_change(void *data)
{
    struct script *s = data;

    if (s->full_at > 0 && --s->full_at == 0) {
        s->full = true;
        s->r->must_not_stop = true;
        disk_sim_set_room(s->d, disk_sim_used(s->d));
    }
}

static void script_init(struct script *s)
{
    memset(s, 0, sizeof *s);
    s->d = disk_sim_new();
    s->r = hf_malloc(sizeof *s->r);
    rig_init(s->r, s->d, errors_seed, 7, 3);
    disk_sim_on_change(s->d, count_change, s);
}

static void script_release(struct script *s)
{
    rig_drop(s->r);
    disk_sim_free(s->d);
    free(s->r);
}

static uint64_t begin(uint64_t seed)
{
    struct script s;

    errors_seed = seed;
    script_init(&s);
    hf_assert(rig_start(s.r));
    while (s.r->done < OPS) {
        rig_step(s.r);
        if (s.r->stopped || s.r->text[0] != '\0') {
            fprintf(stderr, "without an error: %s\n", s.r->text);
            abort();
        }
    }
    writes = disk_sim_changes(s.d);
    reads = disk_sim_calls(s.d) - writes;
    script_release(&s);
    return writes * READ_EIO + reads;
}

/* Calls of the kind that may fail, so far. */
static uint64_t calls_of(const struct script *s)
{
    uint64_t changes = disk_sim_changes(s->d);

    return s->row == READ_EIO ? disk_sim_calls(s->d) - changes : changes;
}

static bool fired(const struct script *s)
{
    return s->row == FULL ? s->full : calls_of(s) >= s->at;
}

/* At first, and after each restart, which takes the disk's faults back. */
static void arm(void *data)
{
    struct script *s = data;
    uint64_t left = s->at - calls_of(s);

    if (fired(s)) {
        return;
    }
    switch (s->row) {
        case ERR_EIO:
            disk_sim_fail_at(s->d, left, EIO, false);
            break;
        case ERR_ENOSPC:
            disk_sim_fail_at(s->d, left, ENOSPC, false);
            break;
        case ERR_EROFS:
            disk_sim_fail_at(s->d, left, EROFS, true);
            break;
        case SHORT:
            disk_sim_fail_at(s->d, left, EIO, false);
            disk_sim_set_short(s->d, left);
            break;
        case FULL:
            s->full_at = left;
            break;
        default:
            disk_sim_fail_read_at(s->d, left, EIO);
            break;
    }
}

/* Up to the error and some steps more. */
static void run_into(struct script *s)
{
    int more = AFTER;

    if (!rig_start(s->r)) {
        return;
    }
    while (more > 0 && !s->r->stopped && s->r->done < OPS + AFTER) {
        if (fired(s)) {
            more--;
            rig_work(s->r);
        } else {
            rig_step(s->r);
        }
    }
}

/* Room comes back, and with it everything that waited. */
static void make_room(struct script *s)
{
    disk_sim_set_room(s->d, UINT64_MAX);
    rig_settle(s->r, 5000000);
    if (!s->r->stopped && s->r->text[0] == '\0' &&
        s->r->acked != s->r->submitted) {
        snprintf(s->r->text, sizeof s->r->text,
                 "%llu ops still wait although there is room",
                 (unsigned long long)(s->r->submitted - s->r->acked));
    }
}

/* A start that met the error refuses for that reason, and harms nothing. */
static void start_refused(struct rig *r)
{
    if (r->open_status == HF_EIO || r->open_status == HF_ENOSPC ||
        r->open_status == HF_EROFS) {
        r->text[0] = '\0';
    }
}

static void one(uint64_t ordinal, struct tally *t)
{
    enum row row =
        ordinal < writes * READ_EIO ? (enum row)(ordinal / writes) : READ_EIO;
    uint64_t at = ordinal - (uint64_t)row * writes + 1;
    enum outcome o = SAME;
    struct rig_found f;
    struct script s;

    script_init(&s);
    s.row = row;
    s.at = at;
    s.r->on_restart = arm;
    s.r->on_restart_data = &s;
    arm(&s);
    run_into(&s);
    if (s.r->w == NULL && s.r->open_status != 0) {
        start_refused(s.r);
        o = REPORTED;
    } else if (s.r->stopped) {
        o = REPORTED;
    }
    if (row == FULL) {
        make_room(&s);
    }
    if (s.r->late_ack && s.r->text[0] == '\0') {
        snprintf(s.r->text, sizeof s.r->text, "acknowledged after the end");
    }
    disk_sim_on_change(s.d, NULL, NULL);
    rig_drop(s.r);
    disk_sim_crash(s.d, ordinal + errors_seed);
    if (s.r->text[0] == '\0') {
        rig_open(s.r, s.d, &f);
        (void)rig_explain(s.r, &f);
        rig_found_release(&f);
    }
    if (s.r->text[0] != '\0') {
        tally_fail(t, (int)row,
                   "%s at call %llu: %.300s; --seed %llu --from %llu "
                   "--points 1",
                   rows[row], (unsigned long long)at, s.r->text,
                   (unsigned long long)errors_seed,
                   (unsigned long long)ordinal);
    } else {
        tally_add(t, (int)row, o);
    }
    script_release(&s);
}

static void end(void)
{
}

const struct sweep sweep_errors = {"errors", "call", begin, one, end, rows};
