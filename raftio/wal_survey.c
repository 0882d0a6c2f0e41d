#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mutant.h"
#include "raftio/file_int.h"
#include "raftio/wal_int.h"

/* The end of a log lies in its newest segment, and that one's header says at
 * which index and frame it began: so damage before it does not matter here.
 * Within it, a frame whose header is whole says how far it goes, whatever has
 * become of its entries; where not even that can be read, the next whole
 * header with this segment's salt says where the log then was. Only the last
 * frame needs care: it is judged by the witnesses that wal_recover() knows. */

struct survey {
    struct disk_file *file;
    const char *name;
    struct errmsg *em;
    uint64_t number; /* by its name */
    struct seg_head head;
    uint8_t *buf; /* all of the segment */
    uint64_t size;
    uint64_t next;    /* index after the last */
    uint64_t next_no; /* of the frame that is expected */
    uint64_t witness; /* frames up to it were durable */
    bool placed;      /* @next is certain */
    bool sealed;      /* a newer segment was there */
};

static bool all_zero(const uint8_t *p, size_t n)
{
    return p[0] == 0 && memcmp(p, p + 1, n - 1) == 0;
}

/* A whole frame header of this life at @off, not before the expected one? */
static bool header_at(const struct survey *s, uint64_t off, struct frame *f)
{
    return off + FRAME_ALIGN <= s->size && wal_frame_decode(s->buf + off, f) &&
           f->salt == s->head.salt && f->no >= s->next_no &&
           f->len >= FRAME_ALIGN && f->len <= s->size - off;
}

static void take(struct survey *s, const struct frame *f)
{
    bool gap = f->no != s->next_no;

    switch (f->kind) {
        case FRAME_ENTRIES:
            s->next = f->last + 1;
            s->placed = true;
            break;
        case FRAME_TRUNCATE:
        case FRAME_RESET:
            s->next = f->first;
            s->placed = true;
            break;
        default:
            s->sealed = s->sealed || (f->flags & FRAME_SEALED) != 0;
            /* Marks of the first format do not tell their place. */
            if (f->first != 0) {
                s->next = f->first;
                s->placed = true;
            } else if (gap) {
                s->placed = false;
            }
            break;
    }
    s->next_no = f->no + 1;
    if (f->durable_no > s->witness) {
        s->witness = f->durable_no;
    }
}

/* The end of the last frame that can be told. */
static uint64_t walk(struct survey *s)
{
    uint64_t end = SEG_HEADER;
    uint64_t off = SEG_HEADER;
    struct frame f;

    while (off + FRAME_ALIGN <= s->size) {
        if (!header_at(s, off, &f)) {
            off += FRAME_ALIGN;
            continue;
        }
        if (f.no != s->next_no) {
            s->placed = false; /* what was between is not known */
        }
        take(s, &f);
        off += f.len;
        end = off;
    }
    return end;
}

/* Can what lies behind @end be an unfinished write and nothing else? */
static bool tail_fits(const struct survey *s, uint64_t end)
{
    bool earlier_life = false;
    uint64_t touched = end;
    struct frame f;

    for (uint64_t off = end; off + FRAME_ALIGN <= s->size; off += FRAME_ALIGN) {
        if (all_zero(s->buf + off, FRAME_ALIGN)) {
            continue;
        }
        if (s->head.old_salt != 0 && wal_frame_decode(s->buf + off, &f) &&
            f.salt == s->head.old_salt) {
            earlier_life = true;
        }
        if (!earlier_life) {
            touched = off + FRAME_ALIGN;
        }
    }
    return touched - end <= s->head.flight * (s->head.old_salt != 0 ? 2 : 1);
}

static int load(struct survey *s)
{
    int64_t got;

    s->buf = file_buf((size_t)s->size);
    got = disk_pread(s->file, s->buf, (size_t)s->size, 0);
    if (got < 0) {
        return file_err(s->em, got, "read", s->name);
    }
    if ((uint64_t)got < s->size) {
        s->size = (uint64_t)got;
    }
    return 0;
}

static int look(struct survey *s,
                const struct wal_recover_in *in,
                struct wal_survey *out)
{
    int64_t size = disk_size(s->file);
    bool cut;
    int rv;

    if (size < 0) {
        return file_err(s->em, size, "size of", s->name);
    }
    s->size = (uint64_t)size;
    if (s->size < SEG_HEADER) {
        return 0;
    }
    rv = load(s);
    if (rv != 0) {
        return rv;
    }
    if (s->size < SEG_HEADER) {
        return 0;
    }
    rv = seg_head_decode(s->buf, s->name, &in->cfg.id, &s->head, s->em);
    if (rv != 0) {
        return rv == HF_ECORRUPT ? 0 : rv;
    }
    if (s->head.number != s->number) {
        return 0; /* it has changed places with another one */
    }
    cut = s->size < s->head.size;
    s->size = cut ? s->size : s->head.size;
    s->next = s->head.first_index;
    s->next_no = s->head.first_no;
    s->witness = in->durable_no;
    s->placed = true;
    out->known = tail_fits(s, walk(s)) && s->placed && !s->sealed && !cut &&
                 (s->witness < s->next_no || mutant(REPAIR_SAME_ID));
    out->last = s->next - 1;
    if (s->next_no - 1 > out->last_no) {
        out->last_no = s->next_no - 1;
    }
    if (s->witness > out->last_no) {
        out->last_no = s->witness;
    }
    return 0;
}

int wal_survey(struct disk *d,
               const struct wal_recover_in *in,
               struct wal_survey *out,
               struct errmsg *em)
{
    struct wal_listing *l = hf_calloc(1, sizeof *l);
    char name[WAL_PATH_MAX];
    struct survey s;
    int rv;

    memset(&s, 0, sizeof s);
    memset(out, 0, sizeof *out);
    out->last_no = in->durable_no;
    s.em = em;
    rv = wal_list(d, l, em);
    out->any = l->segs_n > 0;
    if (rv == 0 && l->segs_n > 0) {
        seg_path(l->segs[l->segs_n - 1], name);
        s.name = name;
        s.number = l->segs[l->segs_n - 1];
        rv = disk_open(d, name, DISK_READ | DISK_DIRECT, &s.file);
        if (rv < 0) {
            s.file = NULL;
            rv = file_err(em, rv, "open", name);
        } else {
            rv = look(&s, in, out);
        }
    }
    disk_close(s.file);
    free(s.buf);
    free(l->segs);
    free(l->spares);
    free(l);
    return rv;
}
