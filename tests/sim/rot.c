#include "tests/sim/rot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "raftio/file_int.h"
#include "raftio/wal_int.h"
#include "tests/sim/disk_sim.h"

enum { FILES_MAX = 64 };

struct files {
    char v[FILES_MAX][DISK_NAME_MAX];
    size_t n;
    const char *dir;
    const char *tail;
};

static int collect(void *data, const char *name)
{
    struct files *f = data;
    size_t n = strlen(name);
    size_t k = strlen(f->tail);

    if (f->n < FILES_MAX && n > k && strcmp(name + n - k, f->tail) == 0) {
        int w = snprintf(f->v[f->n], DISK_NAME_MAX, "%s/%s", f->dir, name);

        hf_assert(w > 0 && w < DISK_NAME_MAX);
        f->n++;
    }
    return 0;
}

static void files_of(struct disk *d,
                     const char *dir,
                     const char *tail,
                     struct files *f)
{
    memset(f, 0, sizeof *f);
    f->dir = dir;
    f->tail = tail;
    (void)disk_list(d, dir, collect, f);
}

static uint64_t some(struct rng *g, uint64_t n)
{
    return n == 0 ? 0 : rng_below(g, n);
}

/* Where the last frame of the newest segment begins that no other proves to
 * have been durable: rot from there on cannot be told from a torn write. */
static uint64_t provable_end(struct disk *d, const char *name)
{
    int64_t size = disk_sim_size(d, name);
    struct disk_file *f;
    struct frame fr;
    uint64_t salt;
    uint64_t proved = 0;
    uint64_t end = SEG_HEADER;
    uint8_t *p;

    if (size < SEG_HEADER || disk_open(d, name, DISK_READ, &f) != 0) {
        return 0;
    }
    p = file_buf((size_t)size);
    (void)disk_pread(f, p, (size_t)size, 0);
    disk_close(f);
    salt = get_u64(p + 88);
    for (uint64_t off = SEG_HEADER; off + FRAME_ALIGN <= (uint64_t)size;
         off += FRAME_ALIGN) {
        if (wal_frame_decode(p + off, &fr) && fr.salt == salt &&
            fr.durable_no > proved) {
            proved = fr.durable_no;
        }
    }
    for (uint64_t off = SEG_HEADER; off + FRAME_ALIGN <= (uint64_t)size;) {
        if (wal_frame_decode(p + off, &fr) && fr.salt == salt &&
            fr.no <= proved) {
            off += fr.len;
            end = off;
        } else {
            break;
        }
    }
    free(p);
    return end;
}

static void flip(struct disk *d,
                 struct rng *g,
                 const char *name,
                 uint64_t from,
                 uint64_t to)
{
    uint64_t bits = 1 + some(g, 3) * some(g, 200);
    uint64_t at = (from + some(g, to - from)) * 8;

    /* A few bits, or a stretch of them. */
    for (uint64_t i = 0; i < bits && at + i < to * 8; i++) {
        (void)disk_sim_flip(d, name, at + i);
    }
}

static bool rot_log(struct disk *d, struct rng *g, char what[ROT_TEXT])
{
    struct files f;
    size_t i;
    uint64_t end;

    files_of(d, "log", ".log", &f);
    if (f.n == 0) {
        return false;
    }
    i = some(g, 2) == 0 ? f.n - 1 : (size_t)some(g, f.n);
    end = i == f.n - 1 ? provable_end(d, f.v[i])
                       : (uint64_t)disk_sim_size(d, f.v[i]);
    if (end <= SEG_HEADER) {
        return false;
    }
    switch (some(g, 8)) {
        case 0: /* the header */
            flip(d, g, f.v[i], 0, SEG_HEADER);
            snprintf(what, ROT_TEXT, "header of %s", f.v[i]);
            return true;
        case 1:
            (void)disk_sim_cut(d, f.v[i], some(g, end));
            snprintf(what, ROT_TEXT, "%s cut", f.v[i]);
            return true;
        case 2:
            if (i == f.n - 1) {
                return false; /* see docs/FORMATS.md: not to be told */
            }
            (void)disk_unlink(d, f.v[i]);
            (void)disk_sync_dir(d, "log");
            snprintf(what, ROT_TEXT, "%s deleted", f.v[i]);
            return true;
        case 3:
            if (f.n < 2) {
                return false;
            }
            (void)disk_rename(d, f.v[f.n - 1], "log/x");
            (void)disk_rename(d, f.v[f.n - 2], f.v[f.n - 1]);
            (void)disk_rename(d, "log/x", f.v[f.n - 2]);
            (void)disk_sync_dir(d, "log");
            snprintf(what, ROT_TEXT, "%s swapped", f.v[f.n - 1]);
            return true;
        default:
            for (uint64_t k = 1 + some(g, 4); k > 0; k--) {
                flip(d, g, f.v[i], SEG_HEADER, end);
            }
            snprintf(what, ROT_TEXT, "bits of %s", f.v[i]);
            return true;
    }
}

static bool rot_snap(struct disk *d, struct rng *g, char what[ROT_TEXT])
{
    struct files f;
    const char *name;
    uint64_t size;

    files_of(d, "snap", ".snap", &f);
    if (f.n == 0) {
        return false;
    }
    name = f.v[f.n - 1];
    size = (uint64_t)disk_sim_size(d, name);
    switch (some(g, 4)) {
        case 0:
            (void)disk_sim_cut(d, name, some(g, size));
            snprintf(what, ROT_TEXT, "%s cut", name);
            return true;
        case 1:
            (void)disk_unlink(d, name);
            (void)disk_sync_dir(d, "snap");
            snprintf(what, ROT_TEXT, "%s deleted", name);
            return true;
        default:
            flip(d, g, name, 0, size);
            snprintf(what, ROT_TEXT, "bits of %s", name);
            return true;
    }
}

static bool rot_vote(struct disk *d, struct rng *g, char what[ROT_TEXT])
{
    bool both = some(g, 2) == 0;

    if (!disk_sim_exists(d, "vote.a") || !disk_sim_exists(d, "vote.b")) {
        return false;
    }
    (void)disk_sim_flip(d, "vote.a", some(g, 4096 * 8));
    if (both) {
        (void)disk_sim_flip(d, "vote.b", some(g, 4096 * 8));
    }
    snprintf(what, ROT_TEXT, "%s", both ? "both votes" : "vote.a");
    return true;
}

bool rot_apply(struct disk *d, struct rng *g, char what[ROT_TEXT])
{
    switch (some(g, 8)) {
        case 0:
            return rot_vote(d, g, what);
        case 1:
        case 2:
            return rot_snap(d, g, what);
        default:
            return rot_log(d, g, what);
    }
}
