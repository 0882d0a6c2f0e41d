#include "tests/sim/disk_sim.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/rng.h"

enum { NAMES_MAX = 4096, OPS_MAX = 4096 };

/* A file's content. Both arrays have @cap bytes, zero beyond their size. */
struct inode {
    uint32_t refs;
    bool is_dir;
    uint8_t *vol;   /* what readers see */
    uint8_t *dur;   /* what a power cut leaves at least */
    uint8_t *dirty; /* per sector: written since the last good sync */
    size_t vol_n;
    size_t dur_n;
    size_t cap;
    struct inode *twin; /* while disk_sim_twin() runs */
};

struct name {
    char name[DISK_NAME_MAX];
    struct inode *ino;
};

struct names {
    struct name *v;
    size_t n;
};

/* A change of a directory that is not durable yet: @to now means @ino,
 * @from means nothing any more. Either may be empty. */
struct dir_op {
    char from[DISK_NAME_MAX];
    char to[DISK_NAME_MAX];
    struct inode *ino;
};

struct sim_disk {
    struct disk base; /* first */
    struct names vol;
    struct names dur;
    struct dir_op *ops;
    size_t ops_n;
    uint64_t gen; /* files opened in an earlier life are stale */
    bool locked;
    uint64_t calls;
    uint64_t changes;
    uint64_t dies_after; /* changes left; UINT64_MAX never */
    bool dying;          /* the current call is the one power fails in */
    bool dead;
    uint64_t fail_at;
    int fail_err;
    bool fail_sticky;
    uint64_t read_fail_at;
    int read_fail_err;
    uint64_t room;
    uint64_t sync_us;
    uint64_t mib_us;
    uint64_t cost_us;
    struct rng rng; /* how much of a failing write arrives */
    bool short_writes;
    void (*on_change)(void *data);
    void *on_change_data;
};

struct disk_file {
    struct disk_file_head head; /* first */
    struct inode *ino;
    uint64_t gen;
    bool dsync;
    bool direct;
    bool writable;
};

static struct sim_disk *sim_of(struct disk *d)
{
    return HF_CONTAINER_OF(d, struct sim_disk, base);
}

static const struct sim_disk *sim_of_const(const struct disk *d)
{
    return (const struct sim_disk *)(const void *)d;
}

/* ---- contents ---- */

static struct inode *inode_new(void)
{
    struct inode *i = hf_calloc(1, sizeof *i);

    i->refs = 1;
    return i;
}

static void inode_unref(struct inode *i)
{
    if (i != NULL && --i->refs == 0) {
        free(i->vol);
        free(i->dur);
        free(i->dirty);
        free(i);
    }
}

static struct inode *inode_ref(struct inode *i)
{
    i->refs++;
    return i;
}

static void inode_reserve(struct inode *i, size_t n)
{
    size_t cap = i->cap == 0 ? DISK_SECTOR : i->cap;

    if (n <= i->cap) {
        return;
    }
    while (cap < n) {
        cap *= 2;
    }
    i->vol = hf_realloc(i->vol, cap);
    i->dur = hf_realloc(i->dur, cap);
    i->dirty = hf_realloc(i->dirty, cap / DISK_SECTOR);
    memset(i->vol + i->cap, 0, cap - i->cap);
    memset(i->dur + i->cap, 0, cap - i->cap);
    memset(i->dirty + i->cap / DISK_SECTOR, 0, (cap - i->cap) / DISK_SECTOR);
    i->cap = cap;
}

static void inode_write(struct inode *i, const void *p, size_t n, uint64_t off)
{
    if (n == 0) {
        return;
    }
    inode_reserve(i, off + n);
    memcpy(i->vol + off, p, n);
    for (uint64_t s = off / DISK_SECTOR; s <= (off + n - 1) / DISK_SECTOR;
         s++) {
        i->dirty[s] = 1;
    }
    if (off + n > i->vol_n) {
        i->vol_n = off + n;
    }
}

/* Make the dirty sectors of @n bytes from @off durable. */
static void inode_sync(struct inode *i, uint64_t off, uint64_t n)
{
    uint64_t end = (off + n + DISK_SECTOR - 1) / DISK_SECTOR;

    for (uint64_t s = off / DISK_SECTOR; s < end && s * DISK_SECTOR < i->cap;
         s++) {
        if (i->dirty[s]) {
            memcpy(i->dur + s * DISK_SECTOR, i->vol + s * DISK_SECTOR,
                   DISK_SECTOR);
            i->dirty[s] = 0;
        }
    }
    if (i->dur_n > i->vol_n) {
        memset(i->dur + i->vol_n, 0, i->dur_n - i->vol_n);
    }
    i->dur_n = i->vol_n;
}

/* A flush failed and no page remembers: each sector is still in the drive's
 * cache, or is read as it was before. */
static void inode_lose(struct inode *i, struct rng *r)
{
    for (size_t s = 0; s < i->cap / DISK_SECTOR; s++) {
        if (i->dirty[s] && rng_below(r, 2) == 0) {
            memcpy(i->vol + s * DISK_SECTOR, i->dur + s * DISK_SECTOR,
                   DISK_SECTOR);
            i->dirty[s] = 0;
        }
    }
}

/* What the platter has after a power cut. */
static void inode_crash(struct inode *i, struct rng *r)
{
    size_t n = i->dur_n;

    if (i->vol_n != i->dur_n && rng_below(r, 2) == 0) {
        n = i->vol_n;
    }
    for (size_t s = 0; s * DISK_SECTOR < i->cap; s++) {
        uint8_t *dur = i->dur + s * DISK_SECTOR;
        const uint8_t *vol = i->vol + s * DISK_SECTOR;
        uint64_t fate = i->dirty[s] ? rng_below(r, 5) : 0;

        if (fate >= 3) {
            memcpy(dur, vol, DISK_SECTOR);
        } else if (fate == 2) {
            size_t cut = (size_t)rng_below(r, DISK_SECTOR);

            memcpy(dur, vol, cut);
        }
        i->dirty[s] = 0;
    }
    i->dur_n = n;
    if (i->cap > n) {
        memset(i->dur + n, 0, i->cap - n);
    }
    i->vol_n = n;
    if (i->cap > 0) {
        memcpy(i->vol, i->dur, i->cap);
    }
}

/* ---- names ---- */

/* Place of @name, or where it would go. */
static size_t names_pos(const struct names *v, const char *name, bool *found)
{
    size_t lo = 0;
    size_t hi = v->n;

    while (lo < hi) {
        size_t mid = (lo + hi) / 2;

        if (strcmp(v->v[mid].name, name) < 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    *found = lo < v->n && strcmp(v->v[lo].name, name) == 0;
    return lo;
}

static struct inode *names_get(const struct names *v, const char *name)
{
    bool found;
    size_t i = names_pos(v, name, &found);

    return found ? v->v[i].ino : NULL;
}

static void names_del(struct names *v, const char *name)
{
    bool found;
    size_t i = names_pos(v, name, &found);

    if (found) {
        inode_unref(v->v[i].ino);
        memmove(&v->v[i], &v->v[i + 1], (v->n - i - 1) * sizeof *v->v);
        v->n--;
    }
}

static void names_set(struct names *v, const char *name, struct inode *ino)
{
    bool found;
    size_t i = names_pos(v, name, &found);

    inode_ref(ino);
    if (found) {
        inode_unref(v->v[i].ino);
        v->v[i].ino = ino;
        return;
    }
    hf_assert(v->n < NAMES_MAX && strlen(name) < DISK_NAME_MAX);
    v->v = hf_realloc(v->v, (v->n + 1) * sizeof *v->v);
    memmove(&v->v[i + 1], &v->v[i], (v->n - i) * sizeof *v->v);
    memset(&v->v[i], 0, sizeof v->v[i]);
    memcpy(v->v[i].name, name, strlen(name) + 1);
    v->v[i].ino = ino;
    v->n++;
}

static void names_release(struct names *v)
{
    for (size_t i = 0; i < v->n; i++) {
        inode_unref(v->v[i].ino);
    }
    free(v->v);
    memset(v, 0, sizeof *v);
}

static void names_apply(struct names *v, const struct dir_op *op)
{
    if (op->from[0] != '\0') {
        names_del(v, op->from);
    }
    if (op->to[0] != '\0') {
        names_set(v, op->to, op->ino);
    }
}

/* True when @name lies in directory @dir ("" is the top). */
static bool in_dir(const char *name, const char *dir)
{
    size_t n = strlen(dir);
    const char *slash = strchr(name, '/');

    if (n == 0) {
        return slash == NULL;
    }
    return strncmp(name, dir, n) == 0 && name[n] == '/';
}

/* Do @op for readers and remember that it is not durable. */
static void dir_change(struct sim_disk *s,
                       const char *from,
                       const char *to,
                       struct inode *ino)
{
    struct dir_op *op;

    hf_assert(s->ops_n < OPS_MAX);
    s->ops = hf_realloc(s->ops, (s->ops_n + 1) * sizeof *s->ops);
    op = &s->ops[s->ops_n++];
    memset(op, 0, sizeof *op);
    memcpy(op->from, from, strlen(from) + 1);
    memcpy(op->to, to, strlen(to) + 1);
    op->ino = ino == NULL ? NULL : inode_ref(ino);
    names_apply(&s->vol, op);
}

static const char *op_name(const struct dir_op *op)
{
    return op->to[0] != '\0' ? op->to : op->from;
}

/* ---- faults ---- */

/* Count a reading call; returns 0 or the fault due now. */
static int reading(struct sim_disk *s)
{
    s->calls++;
    if (s->read_fail_at != 0 && --s->read_fail_at == 0) {
        return -s->read_fail_err;
    }
    return 0;
}

/* Count a changing call. Sets s->dying for the call that the power cut hits:
 * it may still arrive in part. 1: swallow it. */
static int changing(struct sim_disk *s)
{
    s->calls++;
    s->changes++;
    s->dying = false;
    if (s->dead) {
        return 1;
    }
    if (s->dies_after == 0) {
        s->dead = true;
        s->dying = true;
        return 0;
    }
    if (s->dies_after != UINT64_MAX) {
        s->dies_after--;
    }
    if (s->fail_at != 0 && --s->fail_at == 0) {
        if (s->fail_sticky) {
            s->fail_at = 1;
        }
        return -s->fail_err;
    }
    return 0;
}

/* A changing call has had its effect on what readers see. */
static void midway(struct sim_disk *s)
{
    if (s->on_change != NULL) {
        s->on_change(s->on_change_data);
    }
}

static bool stale(const struct disk_file *f)
{
    return f->gen != sim_of(f->head.disk)->gen;
}

static void cost_sync(struct sim_disk *s)
{
    s->cost_us += s->sync_us;
}

static void cost_move(struct sim_disk *s, size_t n)
{
    s->cost_us += (uint64_t)n * s->mib_us / (1 << 20);
}

/* ---- the calls ---- */

static struct disk_file *file_new(struct sim_disk *s,
                                  struct inode *ino,
                                  int flags)
{
    struct disk_file *f = hf_calloc(1, sizeof *f);

    f->head.disk = &s->base;
    f->ino = inode_ref(ino);
    f->gen = s->gen;
    f->dsync = (flags & DISK_DSYNC) != 0;
    f->direct = (flags & DISK_DIRECT) != 0;
    f->writable = (flags & DISK_WRITE) != 0;
    return f;
}

static bool parent_missing(struct sim_disk *s, const char *name)
{
    char dir[DISK_NAME_MAX];
    const char *slash = strchr(name, '/');
    struct inode *ino;

    if (slash == NULL) {
        return false;
    }
    memcpy(dir, name, (size_t)(slash - name));
    dir[slash - name] = '\0';
    ino = names_get(&s->vol, dir);
    return ino == NULL || !ino->is_dir;
}

static int sim_create(struct sim_disk *s,
                      const char *name,
                      int flags,
                      struct disk_file **out)
{
    int rv = changing(s);
    struct inode *ino = names_get(&s->vol, name);

    if (rv < 0) {
        return rv;
    }
    if (rv == 1) { /* no power: a file that nobody will ever see */
        ino = inode_new();
        *out = file_new(s, ino, flags);
        inode_unref(ino);
        return 0;
    }
    if (ino != NULL && (flags & DISK_TRUNC) == 0) {
        return -EEXIST;
    }
    if (parent_missing(s, name)) {
        return -ENOENT;
    }
    if (ino != NULL) {
        if (ino->vol_n > 0) {
            memset(ino->vol, 0, ino->vol_n);
            memset(ino->dirty, 1, (ino->vol_n + DISK_SECTOR - 1) / DISK_SECTOR);
        }
        ino->vol_n = 0;
        midway(s);
        *out = file_new(s, ino, flags);
        return 0;
    }
    if (disk_sim_used(&s->base) >= s->room) {
        return -ENOSPC;
    }
    ino = inode_new();
    dir_change(s, "", name, ino);
    midway(s);
    *out = file_new(s, ino, flags);
    inode_unref(ino);
    return 0;
}

static int sim_open(struct disk *d,
                    const char *name,
                    int flags,
                    struct disk_file **out)
{
    struct sim_disk *s = sim_of(d);
    struct inode *ino;
    int rv;

    hf_assert(strlen(name) < DISK_NAME_MAX);
    if ((flags & DISK_CREATE) != 0) {
        return sim_create(s, name, flags, out);
    }
    rv = reading(s);
    if (rv != 0) {
        return rv;
    }
    ino = names_get(&s->vol, name);
    if (ino == NULL) {
        return -ENOENT;
    }
    if (ino->is_dir) {
        return -EISDIR;
    }
    *out = file_new(s, ino, flags);
    return 0;
}

static void sim_close(struct disk_file *f)
{
    inode_unref(f->ino);
    free(f);
}

static int64_t sim_pread(struct disk_file *f, void *p, size_t n, uint64_t off)
{
    struct sim_disk *s = sim_of(f->head.disk);
    int rv = reading(s);

    if (stale(f)) {
        return -EIO;
    }
    if (rv != 0) {
        return rv;
    }
    if (off >= f->ino->vol_n) {
        return 0;
    }
    if (n > f->ino->vol_n - off) {
        n = f->ino->vol_n - off;
    }
    if (n > 0) {
        memcpy(p, f->ino->vol + off, n);
    }
    cost_move(s, n);
    return (int64_t)n;
}

static int sim_pwrite(struct disk_file *f,
                      const void *p,
                      size_t n,
                      uint64_t off)
{
    struct sim_disk *s = sim_of(f->head.disk);
    int rv;

    if (stale(f)) {
        return -EIO;
    }
    if (!f->writable) {
        return -EBADF;
    }
    rv = changing(s);
    cost_move(s, n);
    if (rv < 0) { /* its first sectors or bytes may have arrived */
        uint64_t part =
            s->short_writes
                ? rng_below(&s->rng, n + 1)
                : rng_below(&s->rng, n / DISK_SECTOR + 1) * DISK_SECTOR;

        inode_write(f->ino, p, (size_t)part, off);
        return rv;
    }
    if (rv == 1) {
        return 0;
    }
    if (off + n > f->ino->vol_n &&
        disk_sim_used(&s->base) + (off + n - f->ino->vol_n) > s->room) {
        return -ENOSPC;
    }
    inode_write(f->ino, p, n, off);
    midway(s);
    if (f->dsync) {
        cost_sync(s);
        if (!s->dying) {
            inode_sync(f->ino, off, n);
        }
    }
    return 0;
}

static int sim_sync(struct disk_file *f)
{
    struct sim_disk *s = sim_of(f->head.disk);
    int rv;

    if (stale(f)) {
        return -EIO;
    }
    rv = changing(s);
    cost_sync(s);
    if (rv == 0) {
        midway(s);
    }
    if (rv < 0 && f->direct) {
        inode_lose(f->ino, &s->rng);
        return rv;
    }
    if (rv < 0) {
        /* As Linux does: the pages count as clean now, the next sync says
         * that all is well, and the platter has the old content. */
        memset(f->ino->dirty, 0, f->ino->cap / DISK_SECTOR);
        return rv;
    }
    if (rv == 0 && !s->dying) {
        inode_sync(f->ino, 0, f->ino->cap);
    }
    return 0;
}

static int64_t sim_size(struct disk_file *f)
{
    int rv = reading(sim_of(f->head.disk));

    if (stale(f)) {
        return -EIO;
    }
    return rv != 0 ? rv : (int64_t)f->ino->vol_n;
}

static int sim_rename(struct disk *d, const char *from, const char *to)
{
    struct sim_disk *s = sim_of(d);
    int rv = changing(s);
    struct inode *ino = names_get(&s->vol, from);

    if (rv != 0) {
        return rv < 0 ? rv : 0;
    }
    if (ino == NULL || parent_missing(s, to)) {
        return -ENOENT;
    }
    dir_change(s, from, to, ino);
    midway(s);
    return 0;
}

static int sim_unlink(struct disk *d, const char *name)
{
    struct sim_disk *s = sim_of(d);
    int rv = changing(s);

    if (rv != 0) {
        return rv < 0 ? rv : 0;
    }
    if (names_get(&s->vol, name) == NULL) {
        return -ENOENT;
    }
    dir_change(s, name, "", NULL);
    midway(s);
    return 0;
}

static int sim_mkdir(struct disk *d, const char *name)
{
    struct sim_disk *s = sim_of(d);
    int rv = changing(s);
    struct inode *ino;

    if (rv != 0) {
        return rv < 0 ? rv : 0;
    }
    if (names_get(&s->vol, name) != NULL) {
        return -EEXIST;
    }
    ino = inode_new();
    ino->is_dir = true;
    dir_change(s, "", name, ino);
    midway(s);
    inode_unref(ino);
    return 0;
}

static int sim_sync_dir(struct disk *d, const char *dir)
{
    struct sim_disk *s = sim_of(d);
    int rv = changing(s);
    size_t kept = 0;

    cost_sync(s);
    if (rv != 0 || s->dying) {
        return rv < 0 ? rv : 0;
    }
    if (dir[0] != '\0' && names_get(&s->vol, dir) == NULL) {
        return -ENOENT;
    }
    midway(s);
    for (size_t i = 0; i < s->ops_n; i++) {
        if (!in_dir(op_name(&s->ops[i]), dir)) {
            s->ops[kept++] = s->ops[i];
            continue;
        }
        names_apply(&s->dur, &s->ops[i]);
        inode_unref(s->ops[i].ino);
    }
    s->ops_n = kept;
    return 0;
}

static int sim_list(struct disk *d,
                    const char *dir,
                    int (*cb)(void *data, const char *name),
                    void *data)
{
    struct sim_disk *s = sim_of(d);
    int rv = reading(s);
    size_t skip = dir[0] == '\0' ? 0 : strlen(dir) + 1;
    struct names copy = {NULL, 0};

    if (rv != 0) {
        return rv;
    }
    if (skip != 0 && names_get(&s->vol, dir) == NULL) {
        return -ENOENT;
    }
    for (size_t i = 0; i < s->vol.n; i++) { /* @cb may change the directory */
        if (in_dir(s->vol.v[i].name, dir)) {
            names_set(&copy, s->vol.v[i].name, s->vol.v[i].ino);
        }
    }
    for (size_t i = 0; i < copy.n && rv == 0; i++) {
        rv = cb(data, copy.v[i].name + skip);
    }
    names_release(&copy);
    return rv;
}

static int64_t sim_room(struct disk *d)
{
    struct sim_disk *s = sim_of(d);
    uint64_t used = disk_sim_used(d);

    s->calls++;
    return used >= s->room              ? 0
           : s->room - used > INT64_MAX ? INT64_MAX
                                        : (int64_t)(s->room - used);
}

static int sim_lock(struct disk *d, const char *name)
{
    struct sim_disk *s = sim_of(d);
    struct inode *ino;

    s->calls++;
    if (s->locked) {
        return -EAGAIN;
    }
    if (names_get(&s->vol, name) == NULL && !s->dead) {
        ino = inode_new();
        dir_change(s, "", name, ino);
        inode_unref(ino);
    }
    s->locked = true;
    return 0;
}

static const struct disk_ops sim_ops = {
    .open = sim_open,
    .close = sim_close,
    .pread = sim_pread,
    .pwrite = sim_pwrite,
    .sync = sim_sync,
    .size = sim_size,
    .rename = sim_rename,
    .unlink = sim_unlink,
    .mkdir = sim_mkdir,
    .sync_dir = sim_sync_dir,
    .list = sim_list,
    .room = sim_room,
    .lock = sim_lock,
};

/* ---- life and death ---- */

struct disk *disk_sim_new(void)
{
    struct sim_disk *s = hf_calloc(1, sizeof *s);

    s->base.ops = &sim_ops;
    s->dies_after = UINT64_MAX;
    s->room = UINT64_MAX;
    s->sync_us = 100;
    s->mib_us = 1000;
    s->rng.s = 1;
    return &s->base;
}

static void ops_release(struct sim_disk *s)
{
    for (size_t i = 0; i < s->ops_n; i++) {
        inode_unref(s->ops[i].ino);
    }
    free(s->ops);
    s->ops = NULL;
    s->ops_n = 0;
}

void disk_sim_free(struct disk *d)
{
    struct sim_disk *s = sim_of(d);

    ops_release(s);
    names_release(&s->vol);
    names_release(&s->dur);
    free(s);
}

struct disk *disk_sim_clone(struct disk *d)
{
    const struct sim_disk *s = sim_of_const(d);
    struct disk *copy = disk_sim_new();
    struct sim_disk *c = sim_of(copy);

    for (size_t i = 0; i < s->vol.n; i++) {
        const struct inode *from = s->vol.v[i].ino;
        struct inode *to = inode_new();

        to->is_dir = from->is_dir;
        inode_write(to, from->vol, from->vol_n, 0);
        inode_sync(to, 0, to->cap);
        names_set(&c->vol, s->vol.v[i].name, to);
        names_set(&c->dur, s->vol.v[i].name, to);
        inode_unref(to);
    }
    return copy;
}

/* The copy of @i, made at the first call for it. */
static struct inode *twin_of(struct inode *i)
{
    struct inode *t = i->twin;

    if (t != NULL) {
        return t;
    }
    t = i->twin = inode_new();
    t->is_dir = i->is_dir;
    t->vol_n = i->vol_n;
    t->dur_n = i->dur_n;
    if (i->cap > 0) {
        t->cap = i->cap;
        t->vol = hf_malloc(i->cap);
        t->dur = hf_malloc(i->cap);
        t->dirty = hf_malloc(i->cap / DISK_SECTOR);
        memcpy(t->vol, i->vol, i->cap);
        memcpy(t->dur, i->dur, i->cap);
        memcpy(t->dirty, i->dirty, i->cap / DISK_SECTOR);
    }
    return t;
}

static void twin_names(struct names *to, const struct names *from)
{
    to->n = from->n;
    to->v = hf_calloc(from->n + 1, sizeof *to->v);
    for (size_t i = 0; i < from->n; i++) {
        to->v[i] = from->v[i];
        to->v[i].ino = inode_ref(twin_of(from->v[i].ino));
    }
}

/* Drop the references that making the twins took. */
static void twin_end(struct inode *i)
{
    inode_unref(i->twin);
    i->twin = NULL;
}

struct disk *disk_sim_twin(struct disk *d)
{
    struct sim_disk *s = sim_of(d);
    struct disk *copy = disk_sim_new();
    struct sim_disk *c = sim_of(copy);

    twin_names(&c->vol, &s->vol);
    twin_names(&c->dur, &s->dur);
    c->ops = hf_calloc(s->ops_n + 1, sizeof *c->ops);
    c->ops_n = s->ops_n;
    for (size_t i = 0; i < s->ops_n; i++) {
        c->ops[i] = s->ops[i];
        if (s->ops[i].ino != NULL) {
            c->ops[i].ino = inode_ref(twin_of(s->ops[i].ino));
        }
    }
    for (size_t i = 0; i < s->ops_n; i++) {
        if (s->ops[i].ino != NULL) {
            twin_end(s->ops[i].ino);
        }
    }
    for (size_t i = 0; i < s->vol.n; i++) {
        twin_end(s->vol.v[i].ino);
    }
    for (size_t i = 0; i < s->dur.n; i++) {
        twin_end(s->dur.v[i].ino);
    }
    return copy;
}

static void new_life(struct sim_disk *s)
{
    s->gen++;
    s->locked = false;
    s->dead = false;
    s->dying = false;
    s->dies_after = UINT64_MAX;
    s->fail_at = 0;
    s->read_fail_at = 0;
    s->short_writes = false;
}

void disk_sim_kill(struct disk *d)
{
    new_life(sim_of(d));
}

void disk_sim_crash(struct disk *d, uint64_t seed)
{
    struct sim_disk *s = sim_of(d);
    struct rng r = {seed};
    /* A journal keeps a first part of the changes; without one, any. */
    bool journal = rng_below(&r, 2) == 0;
    uint64_t first = rng_below(&r, s->ops_n + 1);

    for (size_t i = 0; i < s->ops_n; i++) {
        if (journal ? i < first : rng_below(&r, 2) == 0) {
            names_apply(&s->dur, &s->ops[i]);
        }
    }
    ops_release(s);
    names_release(&s->vol);
    for (size_t i = 0; i < s->dur.n; i++) {
        inode_crash(s->dur.v[i].ino, &r);
        names_set(&s->vol, s->dur.v[i].name, s->dur.v[i].ino);
    }
    new_life(s);
}

void disk_sim_wipe(struct disk *d)
{
    struct sim_disk *s = sim_of(d);

    ops_release(s);
    names_release(&s->vol);
    names_release(&s->dur);
    new_life(s);
}

/* ---- arming and looking ---- */

uint64_t disk_sim_calls(const struct disk *d)
{
    return sim_of_const(d)->calls;
}

uint64_t disk_sim_changes(const struct disk *d)
{
    return sim_of_const(d)->changes;
}

void disk_sim_dies_after(struct disk *d, uint64_t k)
{
    sim_of(d)->dies_after = k;
}

bool disk_sim_dead(const struct disk *d)
{
    return sim_of_const(d)->dead;
}

void disk_sim_fail_at(struct disk *d, uint64_t k, int err, bool sticky)
{
    struct sim_disk *s = sim_of(d);

    s->fail_at = k;
    s->fail_err = err;
    s->fail_sticky = sticky;
}

void disk_sim_fail_read_at(struct disk *d, uint64_t k, int err)
{
    sim_of(d)->read_fail_at = k;
    sim_of(d)->read_fail_err = err;
}

void disk_sim_on_change(struct disk *d, void (*cb)(void *data), void *data)
{
    sim_of(d)->on_change = cb;
    sim_of(d)->on_change_data = data;
}

void disk_sim_set_short(struct disk *d, uint64_t seed)
{
    sim_of(d)->short_writes = true;
    sim_of(d)->rng.s = seed;
}

void disk_sim_set_room(struct disk *d, uint64_t bytes)
{
    sim_of(d)->room = bytes;
}

int disk_sim_flip(struct disk *d, const char *name, uint64_t bit)
{
    struct inode *i = names_get(&sim_of(d)->vol, name);

    if (i == NULL) {
        return -ENOENT;
    }
    if (bit / 8 >= i->vol_n) {
        return -EINVAL;
    }
    i->vol[bit / 8] ^= (uint8_t)(1U << (bit % 8));
    i->dur[bit / 8] ^= (uint8_t)(1U << (bit % 8));
    return 0;
}

int disk_sim_cut(struct disk *d, const char *name, uint64_t n)
{
    struct inode *i = names_get(&sim_of(d)->vol, name);

    if (i == NULL) {
        return -ENOENT;
    }
    if (n > i->vol_n) {
        return -EINVAL;
    }
    if (i->cap > n) {
        memset(i->vol + n, 0, i->cap - n);
        memset(i->dur + n, 0, i->cap - n);
    }
    i->vol_n = i->dur_n = n;
    return 0;
}

static void rename_ino(struct sim_disk *s, const char *name, struct inode *ino)
{
    names_set(&s->vol, name, ino);
    names_set(&s->dur, name, ino);
}

int disk_sim_swap(struct disk *d, const char *a, const char *b)
{
    struct sim_disk *s = sim_of(d);
    struct inode *x = names_get(&s->vol, a);
    struct inode *y = names_get(&s->vol, b);

    if (x == NULL || y == NULL) {
        return -ENOENT;
    }
    inode_ref(x);
    rename_ino(s, a, y);
    rename_ino(s, b, x);
    inode_unref(x);
    return 0;
}

int disk_sim_lose(struct disk *d, const char *name)
{
    struct sim_disk *s = sim_of(d);

    if (names_get(&s->vol, name) == NULL) {
        return -ENOENT;
    }
    names_del(&s->vol, name);
    names_del(&s->dur, name);
    return 0;
}

int disk_sim_replace(struct disk *d,
                     const char *name,
                     struct disk *from,
                     const char *other)
{
    struct inode *ino = names_get(&sim_of(from)->vol, other);
    struct inode *copy;

    if (ino == NULL) {
        return -ENOENT;
    }
    copy = inode_new();
    copy->is_dir = ino->is_dir;
    inode_write(copy, ino->vol, ino->vol_n, 0);
    inode_sync(copy, 0, copy->cap);
    rename_ino(sim_of(d), name, copy);
    inode_unref(copy);
    return 0;
}

int64_t disk_sim_size(struct disk *d, const char *name)
{
    struct inode *i = names_get(&sim_of(d)->vol, name);

    return i == NULL ? -ENOENT : (int64_t)i->vol_n;
}

bool disk_sim_exists(struct disk *d, const char *name)
{
    return names_get(&sim_of(d)->vol, name) != NULL;
}

uint64_t disk_sim_used(const struct disk *d)
{
    const struct sim_disk *s = sim_of_const(d);
    uint64_t n = 0;

    for (size_t i = 0; i < s->vol.n; i++) {
        n += s->vol.v[i].ino->vol_n;
    }
    return n;
}

void disk_sim_set_cost(struct disk *d, uint64_t sync_us, uint64_t mib_us)
{
    sim_of(d)->sync_us = sync_us;
    sim_of(d)->mib_us = mib_us;
}

uint64_t disk_sim_take_cost_us(struct disk *d)
{
    struct sim_disk *s = sim_of(d);
    uint64_t us = s->cost_us;

    s->cost_us = 0;
    return us;
}
