#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mutant.h"
#include "raftio/file_int.h"
#include "raftio/wal_int.h"

/* Happy path: the segments are read in order, past the page cache, each up
 * to the end that its successor recorded, the last one up to the first
 * position where the expected frame is not. Then the question is whether
 * that frame was ever durable. It was, and the log is DAMAGED, if a witness
 * says so: a later frame of this life with durable_no at or above it, a
 * successor, the vote file or a local snapshot, or a span of strange bytes
 * that no write in flight could have left. Otherwise it was never
 * acknowledged, and is cut. */

enum { WINDOW = 1 << 20, SEGS_MAX = 1 << 16 };

struct scan {
    struct disk *disk;
    const struct wal_recover_in *in;
    struct wal_recovered *out;
    struct errmsg *em;
    struct wal_cfg cfg;
    struct seg_head *heads;
    /* replay */
    uint64_t first;       /* of the log */
    uint64_t next;        /* index after the last */
    uint64_t before_term; /* term of first - 1; 0 unknown */
    uint64_t last_term;
    uint64_t next_no;
    uint32_t chain;
    uint64_t snap_term_seen; /* term at snap_index; 0 not in the log */
    bool clean;              /* last frame is a mark of an orderly end */
    size_t cap;              /* of out->entries */
    size_t index_cap;
    size_t pend; /* entries from here on point into the window */
    /* window over one file */
    struct disk_file *file;
    const char *name;
    uint64_t size;
    uint8_t *buf;
    size_t buf_cap;
    uint64_t buf_off;
    size_t buf_n;
};

/* ---- listing ---- */

static int list_one(void *data, const char *name)
{
    struct wal_listing *l = data;
    unsigned long long v;
    char tail[8] = "";

    if (strcmp(name, "spare.tmp") == 0) {
        l->tmp = true;
    } else if (sscanf(name, "spare-%16llx%7s", &v, tail) == 1) {
        l->spares =
            hf_realloc(l->spares, (l->spares_n + 1) * sizeof *l->spares);
        l->spares[l->spares_n++] = v;
    } else if (sscanf(name, "%16llx%7s", &v, tail) == 2 &&
               strcmp(tail, ".log") == 0) {
        if (l->segs_n == SEGS_MAX) {
            return -EOVERFLOW;
        }
        l->segs = hf_realloc(l->segs, (l->segs_n + 1) * sizeof *l->segs);
        l->segs[l->segs_n++] = v; /* in order: the names have fixed width */
    }
    return 0;
}

int wal_list(struct disk *d, struct wal_listing *l, struct errmsg *em)
{
    int rv = disk_list(d, wal_dir, list_one, l);

    if (rv == -ENOENT) {
        return 0;
    }
    return rv < 0 ? file_err(em, rv, "list", wal_dir) : 0;
}

int wal_exists(struct disk *d, bool *out, struct errmsg *em)
{
    struct wal_listing *l = hf_calloc(1, sizeof *l);
    int rv = wal_list(d, l, em);

    if (rv == 0) {
        *out = l->segs_n > 0;
    }
    free(l->segs);
    free(l->spares);
    free(l);
    return rv;
}

static bool all_zero(const uint8_t *p, size_t n)
{
    return p[0] == 0 && memcmp(p, p + 1, n - 1) == 0;
}

/* A prepared segment is taken over only if no header was ever begun in it:
 * then all of it is zero. In any other it is unknown whose frames they are
 * (a new header may be torn, or whole above an older life's frames). */
static bool spare_fits(struct scan *s, const char *name)
{
    struct disk_file *f;
    uint8_t *raw;
    bool fits;

    if (disk_open(s->disk, name, DISK_READ | DISK_DIRECT, &f) != 0) {
        return false;
    }
    raw = file_buf(SEG_HEADER);
    fits = disk_size(f) == (int64_t)s->cfg.segment_bytes &&
           disk_pread(f, raw, SEG_HEADER, 0) == SEG_HEADER &&
           all_zero(raw, SEG_HEADER);
    free(raw);
    disk_close(f);
    return fits;
}

/* Keep prepared segments that fit the setting, remove the rest. */
static void adopt_spares(struct scan *s, const struct wal_listing *l)
{
    struct wal_recovered *out = s->out;
    char name[WAL_PATH_MAX];

    out->spares = hf_calloc(l->spares_n + 1, sizeof *out->spares);
    if (l->tmp) {
        (void)disk_unlink(s->disk, wal_tmp_path);
    }
    for (size_t i = 0; i < l->spares_n; i++) {
        spare_path(l->spares[i], name);
        if (l->spares[i] >= out->next_name) {
            out->next_name = l->spares[i] + 1;
        }
        if (out->spares_n < WAL_SPARES && spare_fits(s, name)) {
            out->spares[out->spares_n++] = l->spares[i];
        } else {
            (void)disk_unlink(s->disk, name);
        }
    }
}

/* ---- messages ---- */

static int damaged(struct scan *s, uint64_t at, const char *what)
{
    return errmsg_set(s->em, HF_ECORRUPT,
                      "%s is damaged at offset %llu (%s; frame %llu, index "
                      "%llu): nothing was changed. If no repair follows and "
                      "other nodes have the data, remove this member from the "
                      "cluster, empty its directory, and let it join again",
                      s->name, (unsigned long long)at, what,
                      (unsigned long long)s->next_no,
                      (unsigned long long)s->next);
}

/* ---- window ---- */

/* Give the entries that point into the window memory of their own: one blob
 * for all of them. */
static void window_settle(struct scan *s)
{
    struct wal_recovered *out = s->out;
    struct blob *b;
    size_t total = 0;

    for (size_t i = s->pend; i < out->n; i++) {
        total += out->entries[i].data.n;
    }
    if (total > 0) {
        b = blob_new(total);
        total = 0;
        for (size_t i = s->pend; i < out->n; i++) {
            struct entry *e = &out->entries[i];

            if (e->data.n > 0) {
                memcpy(b->d + total, e->data.p, e->data.n);
                e->data.p = b->d + total;
                e->blob = blob_ref(b);
                total += e->data.n;
            }
        }
        blob_unref(b);
    }
    s->pend = out->n;
}

/* Make [off, off + n) of the file, n within its size, lie in the window. */
static int window_need(struct scan *s, uint64_t off, size_t n)
{
    size_t want = n > WINDOW ? n : WINDOW;
    int64_t got;

    hf_assert(off % FRAME_ALIGN == 0 && off + n <= s->size);
    want = want > s->size ? (size_t)s->size : want; /* small segments */
    if (off >= s->buf_off && off + n <= s->buf_off + s->buf_n) {
        return 0;
    }
    window_settle(s);
    if (want > s->buf_cap) {
        free(s->buf);
        s->buf = file_buf(want);
        s->buf_cap = want;
    }
    if (want > s->size - off) {
        want = (size_t)(s->size - off);
    }
    s->buf_n = 0;
    got = disk_pread(s->file, s->buf, want, off);
    if (got < 0) {
        return file_err(s->em, got, "read", s->name);
    }
    if ((uint64_t)got < n) {
        return damaged(s, off + (uint64_t)got, "shorter than its size");
    }
    s->buf_off = off;
    s->buf_n = (size_t)got;
    return 0;
}

static const uint8_t *window_at(const struct scan *s, uint64_t off)
{
    return s->buf + (off - s->buf_off);
}

/* ---- replay ---- */

static void drop_from(struct scan *s, uint64_t index)
{
    struct wal_recovered *out = s->out;

    while (out->n > 0 && out->first_index + out->n > index) {
        entry_unref(&out->entries[--out->n]);
    }
    if (s->pend > out->n) {
        s->pend = out->n;
    }
    while (out->index_n > 0 && out->index[out->index_n - 1].first >= index) {
        out->index_n--;
    }
    if (out->index_n > 0 && out->index[out->index_n - 1].last >= index) {
        out->index[out->index_n - 1].last = index - 1;
    }
    if (s->in->snap_index >= index) {
        s->snap_term_seen = 0;
    }
}

static void push_entry(struct scan *s, const struct entry *e)
{
    struct wal_recovered *out = s->out;

    if (out->n == s->cap) {
        s->cap = s->cap == 0 ? 256 : s->cap * 2;
        out->entries = hf_realloc(out->entries, s->cap * sizeof *e);
    }
    out->entries[out->n++] = *e;
}

static void push_index(struct scan *s, const struct frame *f, uint64_t off)
{
    struct wal_recovered *out = s->out;
    struct wal_index *x;

    if (out->index_n == s->index_cap) {
        s->index_cap = s->index_cap == 0 ? 256 : s->index_cap * 2;
        out->index = hf_realloc(out->index, s->index_cap * sizeof *out->index);
    }
    x = &out->index[out->index_n++];
    x->first = f->first;
    x->last = f->last;
    x->term = f->term;
    x->seg = out->segs[out->segs_n - 1].number;
    x->off = off;
    x->len = f->len;
}

static int replay_entries(struct scan *s, const struct frame *f, uint64_t off)
{
    const uint8_t *p = window_at(s, off) + FRAME_HEADER;
    struct reader r = reader_of(bytes_of(p, f->payload_len));
    struct wal_seg *seg = &s->out->segs[s->out->segs_n - 1];
    struct entry e;

    if (f->first != s->next || f->count == 0 || f->term < s->last_term ||
        f->last != f->first + f->count - 1 || f->last < f->first) {
        return damaged(s, off, "frame out of order");
    }
    for (uint64_t i = f->first; i <= f->last; i++) {
        if (!entry_decode(&r, i, f->term, &e)) {
            return damaged(s, off, "entry makes no sense");
        }
        if (i > s->in->snap_index) {
            push_entry(s, &e);
        } else if (i == s->in->snap_index) {
            s->snap_term_seen = f->term;
        }
    }
    if (!reader_done(&r)) {
        return damaged(s, off, "bytes left over");
    }
    push_index(s, f, off);
    s->next = f->last + 1;
    s->last_term = f->term;
    if (f->last > seg->max_index) {
        seg->max_index = f->last;
    }
    return 0;
}

static int replay_truncate(struct scan *s, const struct frame *f, uint64_t off)
{
    struct wal_recovered *out = s->out;
    uint64_t known = 0; /* term of the entry that is then the last one */

    if (f->first > s->next) {
        return damaged(s, off, "frame out of order");
    }
    if (mutant(TRUNCATE_IGNORED)) {
        return 0;
    }
    drop_from(s, f->first);
    s->next = f->first;
    if (f->first > s->first) {
        hf_assert(out->index_n > 0);
        known = out->index[out->index_n - 1].term;
    } else if (f->first == s->first) {
        known = s->before_term;
    }
    if (known != 0 && f->term != known) {
        return damaged(s, off, "another term than the entry before has");
    }
    s->last_term = f->term;
    if (f->first <= s->first) {
        s->first = f->first;
        s->before_term = f->term;
    }
    return 0;
}

static int replay(struct scan *s, const struct frame *f, uint64_t off)
{
    int rv = 0;

    s->clean = false;
    if (f->first == 0 && f->kind != FRAME_MARK) {
        return damaged(s, off, "frame out of order");
    }
    switch (f->kind) {
        case FRAME_ENTRIES:
            rv = replay_entries(s, f, off);
            break;
        case FRAME_TRUNCATE:
            rv = replay_truncate(s, f, off);
            break;
        case FRAME_RESET:
            drop_from(s, 0);
            s->first = s->next = f->first;
            s->before_term = s->last_term = f->term;
            break;
        case FRAME_MARK:
            s->clean = (f->flags & FRAME_CLEAN) != 0;
            break;
        default:
            return damaged(s, off, "unknown kind of frame");
    }
    s->out->frames++;
    s->out->bytes += f->len;
    s->next_no = f->no + 1;
    s->chain = f->crc;
    return rv;
}

/* ---- one segment ---- */

/* Is the expected frame at @off? 1 yes, 0 no, <0 could not be read. */
static int frame_at(struct scan *s,
                    const struct seg_head *h,
                    uint64_t off,
                    struct frame *f)
{
    int rv;

    if (off + FRAME_ALIGN > s->size) {
        return 0;
    }
    rv = window_need(s, off, FRAME_ALIGN);
    if (rv < 0) {
        return rv;
    }
    if (!wal_frame_decode(window_at(s, off), f) || f->len > s->size - off) {
        return 0;
    }
    if (!mutant(CHAIN_UNCHECKED) &&
        (f->salt != h->salt || f->no != s->next_no || f->prev != s->chain)) {
        return 0;
    }
    rv = window_need(s, off, f->len);
    if (rv < 0) {
        return rv;
    }
    return frame_payload_ok(f, window_at(s, off)) ? 1 : 0;
}

/* What lies from @g to the end of the last segment? Finds later frames of
 * this life, and how far from @g strange bytes go: zeros are not strange,
 * nor is anything after a whole frame header of the file's earlier life. */
static int scan_tail(struct scan *s,
                     const struct seg_head *h,
                     uint64_t g,
                     uint64_t *span,
                     uint64_t *witness)
{
    bool earlier_life = false;
    uint64_t touched = g;
    struct frame f;

    *witness = 0;
    for (uint64_t off = g; off + FRAME_ALIGN <= s->size; off += FRAME_ALIGN) {
        const uint8_t *p;
        int rv = window_need(s, off, FRAME_ALIGN);

        if (rv < 0) {
            return rv;
        }
        p = window_at(s, off);
        if (all_zero(p, FRAME_ALIGN)) {
            continue;
        }
        if (wal_frame_decode(p, &f)) {
            if (f.salt == h->salt && f.no >= s->next_no &&
                f.durable_no > *witness) {
                *witness = f.durable_no;
            }
            if (h->old_salt != 0 && f.salt == h->old_salt) {
                earlier_life = true;
            }
        }
        if (!earlier_life) {
            touched = off + FRAME_ALIGN;
        }
    }
    *span = touched - g;
    return 0;
}

/* The last segment ends at @g: torn, clean or damaged? */
static int judge_tail(struct scan *s, const struct seg_head *h, uint64_t g)
{
    uint64_t span;
    uint64_t witness;
    int rv = scan_tail(s, h, g, &span, &witness);

    if (rv < 0) {
        return rv;
    }
    if (mutant(ROT_IS_TORN)) {
        witness = 0;
    } else if (s->in->durable_no > witness) {
        witness = s->in->durable_no;
    }
    if (witness >= s->next_no) {
        return damaged(s, g, "a frame that was durable is not whole");
    }
    /* In a recycled file a frame of the earlier life may begin before @g and
     * reach beyond it: as many strange bytes again. */
    if (span > h->flight * (h->old_salt != 0 ? 2 : 1) && !mutant(ROT_IS_TORN)) {
        return damaged(s, g, "more than one unfinished write");
    }
    s->out->torn_bytes = s->clean ? 0 : span;
    s->out->clean = s->clean;
    /* Only zeros may be written over. Each frame would uncover more of what
     * lies behind the end, and the next start would have to explain it; an
     * earlier life's frames, or a mark, vouch for it only while they are
     * there. A new segment leaves it where nobody looks. */
    s->out->same_segment =
        (span == 0 && h->old_salt == 0) || (s->clean && mutant(MARK_VOUCHES));
    return 0;
}

static int scan_segment(struct scan *s,
                        const struct seg_head *h,
                        const struct seg_head *next)
{
    struct wal_seg *seg = &s->out->segs[s->out->segs_n - 1];
    uint64_t stop = next != NULL ? next->pred_end : UINT64_MAX;
    uint64_t off = SEG_HEADER;
    struct frame f;

    while (off != stop) {
        int rv = frame_at(s, h, off, &f);

        if (rv == 0 && next == NULL) {
            seg->end = off;
            return judge_tail(s, h, off);
        }
        if (rv == 1 && next == NULL && f.kind == FRAME_MARK &&
            (f.flags & FRAME_SEALED) != 0) {
            return damaged(s, off, "the segment that follows it is missing");
        }
        if (rv == 0 || (rv == 1 && off + f.len > stop)) {
            rv = damaged(s, off, "the next segment says that it goes on");
        }
        if (rv >= 0) {
            rv = replay(s, &f, off);
        }
        if (rv < 0) {
            return rv;
        }
        off += f.len;
    }
    seg->end = off;
    if (next != NULL &&
        (next->pred_last != s->next - 1 || next->pred_chain != s->chain)) {
        return damaged(s, off, "its end is not what the next segment recorded");
    }
    return 0;
}

/* ---- all segments ---- */

static int read_heads(struct scan *s, const struct wal_listing *l)
{
    uint8_t *raw = file_buf(SEG_HEADER);
    char name[WAL_PATH_MAX];
    int rv = 0;

    s->heads = hf_calloc(l->segs_n + 1, sizeof *s->heads);
    for (size_t i = 0; i < l->segs_n && rv == 0; i++) {
        int64_t n;

        seg_path(l->segs[i], name);
        s->name = name;
        n = file_read_head(s->disk, name, raw, SEG_HEADER);
        if (n < 0) {
            rv = file_err(s->em, n, "read", name);
        } else if (n < SEG_HEADER) {
            rv = damaged(s, (uint64_t)n, "shorter than its header");
        } else {
            rv =
                seg_head_decode(raw, name, &s->in->cfg.id, &s->heads[i], s->em);
        }
        if (rv == 0 && (s->heads[i].number != l->segs[i] ||
                        s->heads[i].number != l->segs[0] + i)) {
            rv = damaged(s, 0, "a segment before it is missing");
        }
    }
    free(raw);
    return rv;
}

static int open_segment(struct scan *s, size_t i, char name[WAL_PATH_MAX])
{
    const struct seg_head *h = &s->heads[i];
    struct wal_seg *seg = &s->out->segs[s->out->segs_n++];
    int64_t size;
    int rv;

    seg_path(h->number, name);
    s->name = name;
    s->buf_n = 0;
    rv = disk_open(s->disk, name, DISK_WRITE | DISK_DIRECT, &s->file);
    if (rv < 0) {
        s->file = NULL;
        return file_err(s->em, rv, "open", name);
    }
    size = disk_size(s->file);
    if (size < 0) {
        return file_err(s->em, size, "size of", name);
    }
    s->size = (uint64_t)size;
    if (s->size < h->size) {
        return damaged(s, s->size, "shorter than its header says");
    }
    s->size = h->size;
    seg->number = h->number;
    seg->size = h->size;
    seg->salt = h->salt;
    seg->flight = h->flight;
    if (h->first_index == 0) {
        return damaged(s, 0, "it begins before the first entry");
    }
    if (i == 0) {
        s->first = s->next = h->first_index;
        s->before_term = s->last_term = h->prev_term;
        s->next_no = h->first_no;
    } else if (h->first_index != s->next || h->first_no != s->next_no) {
        return damaged(s, 0, "it does not go on where the one before ended");
    } else if (s->first == s->next) {
        /* Without entries the ones before it may be trimmed at any time:
         * then this one alone says what the log goes on from. */
        s->before_term = s->last_term = h->prev_term;
    }
    s->chain = h->crc;
    return 0;
}

static int scan_all(struct scan *s, size_t n)
{
    char name[WAL_PATH_MAX];
    int rv = 0;

    for (size_t i = 0; i < n && rv == 0; i++) {
        rv = open_segment(s, i, name);
        if (rv == 0) {
            rv = scan_segment(s, &s->heads[i],
                              i + 1 < n ? &s->heads[i + 1] : NULL);
        }
        window_settle(s);
        /* A process that was killed may have written what only the page
         * cache or the drive's cache has: it counts as durable from here. */
        if (rv == 0 && i + 1 == n && !mutant(NO_RECOVERY_SYNC)) {
            rv = disk_sync(s->file);
            rv = rv < 0 ? file_err(s->em, rv, "sync", name) : 0;
        }
        disk_close(s->file);
        s->file = NULL;
    }
    s->name = wal_dir;
    return rv;
}

/* Fit log and snapshot together. */
static int reconcile(struct scan *s)
{
    const struct wal_recover_in *in = s->in;
    struct wal_recovered *out = s->out;
    uint64_t at_snap = s->snap_term_seen;

    if (s->first > in->snap_index + 1 && !mutant(LOG_HOLE_IGNORED)) {
        return errmsg_set(
            s->em, HF_ECORRUPT,
            "the log in %s begins at index %llu, but the newest snapshot ends "
            "at %llu: entries between are missing. If no repair follows, put "
            "back the newer snapshot, or, if other nodes have the data, remove "
            "this member from the cluster, empty its directory, and let it "
            "join again",
            wal_dir, (unsigned long long)s->first,
            (unsigned long long)in->snap_index);
    }
    if (in->snap_index + 1 == s->first) {
        at_snap = s->before_term;
    }
    /* An installed snapshot replaces a log that does not reach it, or that
     * has another entry at its place; the RESET frame did not get to the
     * disk before the process ended. */
    if (s->next <= in->snap_index ||
        (in->snap_index > 0 && at_snap != 0 && at_snap != in->snap_term)) {
        drop_from(s, 0);
        out->need_reset = true;
        s->last_term = in->snap_term;
    }
    out->first = s->first;
    out->last = s->next - 1;
    out->last_term = s->last_term;
    out->before_term = s->before_term;
    out->last_no = s->next_no - 1;
    out->chain = s->chain;
    return 0;
}

static int recover(struct scan *s, const struct wal_listing *l)
{
    int rv;

    s->first = s->next = s->in->snap_index + 1;
    s->before_term = s->last_term = s->in->snap_term;
    s->next_no = s->in->emptied ? s->in->durable_no + 1 : 1;
    s->name = wal_dir;
    s->out->segs = hf_calloc(l->segs_n + 1, sizeof *s->out->segs);
    rv = read_heads(s, l);
    if (rv == 0) {
        rv = scan_all(s, l->segs_n);
    }
    if (rv < 0) {
        return rv;
    }
    if (l->segs_n == 0 && s->in->durable_no > 0 && !s->in->emptied) {
        return damaged(s, 0, "all segments are missing");
    }
    rv = l->segs_n == 0 ? 0 : disk_sync_dir(s->disk, wal_dir);
    if (rv < 0) {
        return file_err(s->em, rv, "sync directory", wal_dir);
    }
    rv = reconcile(s);
    if (rv == 0) {
        adopt_spares(s, l);
    }
    return rv;
}

int wal_recover(struct disk *d,
                const struct wal_recover_in *in,
                struct wal_recovered *out,
                struct errmsg *em)
{
    struct wal_listing *l = hf_calloc(1, sizeof *l);
    struct scan s;
    int rv;

    memset(&s, 0, sizeof s);
    memset(out, 0, sizeof *out);
    s.disk = d;
    s.in = in;
    s.out = out;
    s.em = em;
    s.cfg = in->cfg;
    wal_cfg_defaults(&s.cfg);
    out->first_index = in->snap_index + 1;
    out->next_name = 1;
    rv = wal_list(d, l, em);
    if (rv == 0) {
        rv = recover(&s, l);
    }
    if (rv < 0) {
        wal_recovered_release(out);
    }
    free(s.heads);
    free(s.buf);
    free(l->segs);
    free(l->spares);
    free(l);
    return rv;
}

void wal_recovered_release(struct wal_recovered *r)
{
    for (size_t i = 0; i < r->n; i++) {
        entry_unref(&r->entries[i]);
    }
    free(r->entries);
    free(r->segs);
    free(r->index);
    free(r->spares);
    memset(r, 0, sizeof *r);
}
