#include "raftio/snapxfer.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/crc32c.h"
#include "base/err.h"
#include "base/mutant.h"
#include "raftio/file_int.h"

/* Messages: u8 kind, u64 index, u64 term, u32 tag, then
 *   OFFER   u64 size, u32 file_crc, u32 length + meta
 *   PULL    u64 offset, u32 length
 *   CHUNK   u64 offset, u32 crc of the bytes, bytes to the end
 *   RESULT  u8 1 has it, 0 failed
 * The tag is a checksum over all of the offer: messages about another file of
 * the same index and term do not fit. */
enum { MSG_OFFER = 1, MSG_PULL = 2, MSG_CHUNK = 3, MSG_RESULT = 4 };

struct offer {
    struct snapx_offer o; /* o.meta points to @meta */
    struct buf meta;
    uint32_t tag;
};

/* ---- sending side ---- */

/* One follower that is offered a file. Reads of its file go one at a time. */
struct sending {
    struct snapxfer *x;
    uint64_t to; /* 0: free place */
    struct offer offer;
    char name[DISK_NAME_MAX];
    struct disk_file *file; /* opened by the first read; worker's while busy */
    struct {
        uint64_t off;
        uint32_t len;
    } pulls[SNAPX_PULLS]; /* waiting, first in first out */
    size_t pulls_n;
    uint64_t done_bytes; /* end of the furthest pull answered */
    uint64_t last_new_us;
    uint64_t last_pull_us;
    uint64_t offered_us;
    bool busy;   /* @work is under way */
    bool ending; /* forget it when the work is done */
    struct env_work work;
    uint64_t read_off;
    uint32_t read_len;
    int read_rv;
    uint8_t *buf; /* SNAPX_CHUNK */
};

/* ---- receiving side ---- */

/*  IDLE --offer--> LOOKING --> PULLING --all written--> FINISHING --> HELD
 *    ^                |            |                        |          |
 *    '--- DROPPING <--+------------+-- other offer, abort, failure, done   */
enum rx_state {
    RX_IDLE,
    RX_LOOKING, /* is a part of it here from before a restart? */
    RX_PULLING,
    RX_FINISHING,
    RX_HELD,
    RX_DROPPING,
};
enum rx_op { RX_LOOK, RX_WRITE, RX_FINISH, RX_DROP };

struct slot {
    bool used;
    uint64_t off;
    uint32_t len;
    uint64_t sent_us;   /* when the pull left */
    struct blob *bytes; /* arrived; NULL: waited for */
};

struct receiving {
    enum rx_state state;
    uint64_t from;
    struct offer offer;
    struct slot slots[SNAPX_PULLS];
    uint64_t next_off; /* of the next new pull */
    uint64_t written;
    uint64_t last_new_us;
    uint64_t pull_at_us;  /* the rate allows the next pull */
    uint32_t refused_tag; /* failed too often */
    uint32_t tries;
    uint64_t not_before_us; /* the disk refused: pause until then */
    bool told_done;         /* RESULT of this tag was "has it" */
    uint32_t done_tag;
    /* the worker's while busy */
    bool busy;
    struct env_work work;
    enum rx_op op;
    struct disk_file *file;
    struct blob *writing;
    uint64_t write_off;
    uint64_t unsynced;
    uint64_t found; /* bytes that a restart left */
    int rv;
};

struct snapxfer {
    struct env *env;
    struct disk *disk;
    struct logger *log;
    char tmp_name[DISK_NAME_MAX];
    char part_name[DISK_NAME_MAX]; /* "": none */
    uint64_t rate;
    const struct snapx_cbs *cbs;
    void *data;
    struct env_timer timer;
    struct sending tx[LIM_NODES];
    struct receiving rx;
    uint64_t log_us; /* last progress line */
    bool closing;
    void (*closed)(void *data);
    void *closed_data;
};

static const uint8_t part_magic[8] = {'H', 'F', 'P', 'A', 'R', 'T', '1', '\n'};

enum { PART_VERSION = 1, PROGRESS_LOG_US = 5 * 1000 * 1000 };

static void step(struct snapxfer *x);

/* ---- offers ---- */

static uint32_t offer_tag(const struct snapx_offer *o)
{
    uint8_t b[28];

    put_u64(b, o->index);
    put_u64(b + 8, o->term);
    put_u64(b + 16, o->size);
    put_u32(b + 24, o->file_crc);
    return crc32c(crc32c(0, b, sizeof b), o->meta.p, o->meta.n);
}

static void offer_set(struct offer *to, const struct snapx_offer *o)
{
    buf_clear(&to->meta);
    buf_bytes_append(&to->meta, o->meta);
    to->o = *o;
    to->o.meta = buf_bytes(&to->meta);
    to->tag = offer_tag(&to->o);
}

static void head_of(struct buf *b, uint8_t kind, const struct offer *f)
{
    buf_u8(b, kind);
    buf_u64(b, f->o.index);
    buf_u64(b, f->o.term);
    buf_u32(b, f->tag);
}

static bool send_buf(struct snapxfer *x,
                     uint64_t to,
                     struct buf *b,
                     struct bytes body)
{
    bool ok = x->cbs->send(x->data, to, buf_bytes(b), body);

    buf_release(b);
    return ok;
}

/* ---- sending ---- */

static struct sending *tx_find(const struct snapxfer *x, uint64_t to)
{
    for (size_t i = 0; i < LIM_NODES; i++) {
        if (x->tx[i].to == to) {
            return (struct sending *)&x->tx[i];
        }
    }
    return NULL;
}

static void tx_free(struct sending *t)
{
    struct snapxfer *x = t->x;

    hf_assert(!t->busy);
    disk_close(t->file);
    buf_release(&t->offer.meta);
    free(t->buf);
    memset(t, 0, sizeof *t);
    t->x = x;
}

static void tx_end(struct sending *t)
{
    if (t->busy) {
        t->ending = true;
    } else {
        tx_free(t);
    }
}

static void tx_offer(struct sending *t, uint64_t now)
{
    struct buf b = BUF_INIT;

    t->offered_us = now;
    head_of(&b, MSG_OFFER, &t->offer);
    buf_u64(&b, t->offer.o.size);
    buf_u32(&b, t->offer.o.file_crc);
    buf_lbytes(&b, t->offer.o.meta);
    (void)send_buf(t->x, t->to, &b, bytes_of(NULL, 0));
}

static void read_fn(struct env_work *w)
{
    struct sending *t = HF_CONTAINER_OF(w, struct sending, work);
    int64_t n;

    if (t->file == NULL) {
        t->read_rv = disk_open(t->x->disk, t->name, DISK_READ, &t->file);
        if (t->read_rv != 0) {
            t->file = NULL;
            return;
        }
    }
    n = disk_pread(t->file, t->buf, t->read_len, t->read_off);
    t->read_rv = n == (int64_t)t->read_len ? 0 : n < 0 ? (int)n : -1;
}

static void tx_chunk(struct sending *t)
{
    struct bytes body = bytes_of(t->buf, t->read_len);
    struct buf b = BUF_INIT;
    uint64_t end = t->read_off + t->read_len;

    head_of(&b, MSG_CHUNK, &t->offer);
    buf_u64(&b, t->read_off);
    buf_u32(&b, crc32c(0, body.p, body.n));
    if (send_buf(t->x, t->to, &b, body) && end > t->done_bytes) {
        t->done_bytes = end;
        t->last_new_us = env_now_us(t->x->env);
    }
}

static void read_done(struct env_work *w)
{
    struct sending *t = HF_CONTAINER_OF(w, struct sending, work);
    struct snapxfer *x = t->x;

    t->busy = false;
    if (t->ending || x->closing) {
        tx_free(t);
    } else if (t->read_rv != 0) {
        uint64_t to = t->to;
        uint64_t index = t->offer.o.index;

        log_warn(x->log, "snapshot at %llu: cannot read %s to send it: %d",
                 (unsigned long long)index, t->name, t->read_rv);
        tx_free(t);
        if (x->cbs->on_sent != NULL) {
            x->cbs->on_sent(x->data, to, index, HF_EIO);
        }
    } else {
        tx_chunk(t);
    }
    step(x);
}

static void tx_read_next(struct sending *t)
{
    if (t->busy || t->pulls_n == 0) {
        return;
    }
    t->read_off = t->pulls[0].off;
    t->read_len = t->pulls[0].len;
    t->pulls_n--;
    memmove(t->pulls, t->pulls + 1, t->pulls_n * sizeof *t->pulls);
    if (t->buf == NULL) {
        t->buf = hf_malloc(SNAPX_CHUNK);
    }
    t->busy = true;
    t->work.fn = read_fn;
    t->work.done = read_done;
    env_work(t->x->env, ENV_POOL, &t->work);
}

int snapx_send(struct snapxfer *x,
               uint64_t to,
               const struct snapx_offer *o,
               const char *name)
{
    struct sending *t = tx_find(x, to);
    uint64_t now = env_now_us(x->env);

    hf_assert(to != 0 && o->size > 0 && o->meta.n <= SNAPX_META_MAX);
    hf_assert(strlen(name) < DISK_NAME_MAX);
    if (t != NULL && !t->ending && t->offer.tag == offer_tag(o) &&
        strcmp(t->name, name) == 0) {
        return 0;
    }
    if (t != NULL) {
        tx_end(t);
    }
    if (t == NULL || t->busy) {
        /* A busy place of an old offer frees itself when its read is done. */
        t = t != NULL ? NULL : tx_find(x, 0);
    }
    if (t == NULL) {
        return HF_ELIMIT;
    }
    t->x = x;
    t->to = to;
    offer_set(&t->offer, o);
    snprintf(t->name, sizeof t->name, "%s", name);
    t->last_new_us = now;
    tx_offer(t, now);
    step(x);
    return 0;
}

void snapx_send_end(struct snapxfer *x, uint64_t to)
{
    struct sending *t = to != 0 ? tx_find(x, to) : NULL;

    if (t != NULL) {
        tx_end(t);
    }
}

void snapx_set_rate(struct snapxfer *x, uint64_t rate)
{
    x->rate = rate < SNAPX_RATE_MIN ? SNAPX_RATE_MIN : rate;
}

bool snapx_sending(const struct snapxfer *x)
{
    uint64_t now = env_now_us(x->env);

    for (size_t i = 0; i < LIM_NODES; i++) {
        const struct sending *t = &x->tx[i];

        if (t->to != 0 && !t->ending && t->done_bytes > 0 &&
            now - t->last_new_us < SNAPX_PROGRESS_MS * 1000ULL) {
            return true;
        }
    }
    return false;
}

static void got_pull(struct snapxfer *x, struct sending *t, struct reader *r)
{
    uint64_t off = rd_u64(r);
    uint32_t len = rd_u32(r);
    uint64_t size = t->offer.o.size;

    if (!reader_done(r) || len == 0 || len > SNAPX_CHUNK || off > size ||
        len > size - off) {
        log_warn(x->log, "snapshot: node %llu asks for bytes beyond the file",
                 (unsigned long long)t->to);
        return;
    }
    t->last_pull_us = env_now_us(x->env);
    if (t->pulls_n == SNAPX_PULLS) {
        return; /* more than it may have in flight: it will ask again */
    }
    t->pulls[t->pulls_n].off = off;
    t->pulls[t->pulls_n].len = len;
    t->pulls_n++;
    tx_read_next(t);
}

static void got_result(struct snapxfer *x, struct sending *t, struct reader *r)
{
    bool has = rd_u8(r) == 1;
    uint64_t to = t->to;
    uint64_t index = t->offer.o.index;

    if (!reader_done(r)) {
        return;
    }
    tx_end(t);
    if (x->cbs->on_sent != NULL) {
        x->cbs->on_sent(x->data, to, index, has ? 0 : HF_ECORRUPT);
    }
}

/* ---- receiving: work ---- */

/* How much of which file is synced. */
static void part_write(const struct receiving *r,
                       struct snapxfer *x,
                       uint64_t bytes)
{
    uint8_t b[SNAPX_PART_BYTES] = {0};
    char tmp[DISK_NAME_MAX + 4];

    if (x->part_name[0] == '\0') {
        return;
    }
    memcpy(b, part_magic, sizeof part_magic);
    put_u32(b + 8, PART_VERSION);
    put_u32(b + 12, r->offer.tag);
    put_u64(b + 16, r->offer.o.index);
    put_u64(b + 24, r->offer.o.term);
    put_u64(b + 32, r->offer.o.size);
    put_u64(b + 40, bytes);
    put_u32(b + SNAPX_PART_BYTES - 4, crc32c(0, b, SNAPX_PART_BYTES - 4));
    snprintf(tmp, sizeof tmp, "%s.tmp", x->part_name);
    /* Without it a restart begins afresh, no more. */
    (void)file_replace(x->disk, tmp, x->part_name, b, sizeof b, NULL);
}

static uint64_t part_read(const struct receiving *r, struct snapxfer *x)
{
    uint8_t *b = file_buf(DISK_ALIGN);
    int64_t n = file_read_head(x->disk, x->part_name, b, DISK_ALIGN);
    uint64_t bytes = 0;

    if (n == SNAPX_PART_BYTES &&
        memcmp(b, part_magic, sizeof part_magic) == 0 &&
        get_u32(b + SNAPX_PART_BYTES - 4) ==
            crc32c(0, b, SNAPX_PART_BYTES - 4) &&
        get_u32(b + 8) == PART_VERSION &&
        (get_u32(b + 12) == r->offer.tag || mutant(SNAPX_ANY_PART)) &&
        get_u64(b + 16) == r->offer.o.index &&
        get_u64(b + 24) == r->offer.o.term &&
        get_u64(b + 32) == r->offer.o.size &&
        get_u64(b + 40) <= r->offer.o.size) {
        bytes = get_u64(b + 40);
    }
    free(b);
    return bytes;
}

static void look_fn(struct receiving *r, struct snapxfer *x)
{
    r->found = x->part_name[0] != '\0' ? part_read(r, x) : 0;
    if (r->found == 0) {
        return;
    }
    if (disk_open(x->disk, x->tmp_name, DISK_WRITE, &r->file) != 0) {
        r->file = NULL;
        r->found = 0;
    } else if (disk_size(r->file) < (int64_t)r->found) {
        disk_close(r->file);
        r->file = NULL;
        r->found = 0;
    }
    r->unsynced = 0;
}

static void write_fn(struct receiving *r, struct snapxfer *x)
{
    if (r->file == NULL) {
        r->rv = disk_open(x->disk, x->tmp_name,
                          DISK_WRITE | DISK_CREATE | DISK_TRUNC, &r->file);
        if (r->rv != 0) {
            r->file = NULL;
            return;
        }
        r->unsynced = 0;
    }
    r->rv = disk_pwrite(r->file, r->writing->d, r->writing->n, r->write_off);
    r->unsynced += r->writing->n;
    /* In steps: one sync of a gigabyte would stall the log's. */
    if (r->rv == 0 && r->unsynced >= SNAPX_SYNC_BYTES) {
        r->rv = disk_sync(r->file);
        r->unsynced = 0;
        if (r->rv == 0) {
            part_write(r, x, r->write_off + r->writing->n);
        }
    }
}

static void finish_fn(struct receiving *r, struct snapxfer *x)
{
    int64_t size = disk_size(r->file);

    r->rv = disk_sync(r->file);
    disk_close(r->file);
    r->file = NULL;
    if (r->rv == 0 && size != (int64_t)r->offer.o.size) {
        r->rv = HF_ECORRUPT;
    }
    if (r->rv == 0) {
        part_write(r, x, r->offer.o.size);
    }
    if (r->rv == 0 && x->cbs->verify != NULL) {
        r->rv = x->cbs->verify(x->data, x->disk, x->tmp_name, r->offer.o.index,
                               r->offer.o.term);
    }
}

static void rx_fn(struct env_work *w)
{
    struct snapxfer *x = w->data;
    struct receiving *r = &x->rx;

    r->rv = 0;
    switch (r->op) {
        case RX_LOOK:
            look_fn(r, x);
            break;
        case RX_WRITE:
            write_fn(r, x);
            break;
        case RX_FINISH:
            finish_fn(r, x);
            break;
        case RX_DROP:
            disk_close(r->file);
            r->file = NULL;
            (void)disk_unlink(x->disk, x->tmp_name);
            if (x->part_name[0] != '\0') {
                (void)disk_unlink(x->disk, x->part_name);
            }
            break;
    }
}

static void rx_done(struct env_work *w);

static void rx_submit(struct snapxfer *x, enum rx_op op)
{
    struct receiving *r = &x->rx;

    hf_assert(!r->busy);
    r->busy = true;
    r->op = op;
    r->work.fn = rx_fn;
    r->work.done = rx_done;
    r->work.data = x;
    env_work(x->env, ENV_POOL, &r->work);
}

/* ---- receiving: state ---- */

static void slots_clear(struct receiving *r)
{
    for (size_t i = 0; i < SNAPX_PULLS; i++) {
        blob_unref(r->slots[i].bytes);
    }
    memset(r->slots, 0, sizeof r->slots);
}

static void rx_drop(struct snapxfer *x)
{
    struct receiving *r = &x->rx;

    if (r->state == RX_IDLE || r->state == RX_DROPPING) {
        return;
    }
    r->state = RX_DROPPING;
    slots_clear(r);
    if (!r->busy) {
        rx_submit(x, RX_DROP);
    }
}

static void rx_begin(struct snapxfer *x,
                     uint64_t from,
                     const struct snapx_offer *o)
{
    struct receiving *r = &x->rx;
    uint64_t now = env_now_us(x->env);
    uint32_t before = r->offer.tag;

    offer_set(&r->offer, o);
    if (r->offer.tag != before) {
        r->tries = 0;
    }
    r->state = RX_LOOKING;
    r->from = from;
    r->next_off = r->written = 0;
    r->last_new_us = now;
    r->pull_at_us = now;
    log_info(x->log, "snapshot at %llu (%llu bytes) comes from node %llu",
             (unsigned long long)o->index, (unsigned long long)o->size,
             (unsigned long long)from);
    rx_submit(x, RX_LOOK);
}

/* What was found is gone on with. */
static void rx_looked(struct snapxfer *x)
{
    struct receiving *r = &x->rx;

    r->state = RX_PULLING;
    r->next_off = r->written = r->found;
    if (r->found > 0) {
        log_info(x->log, "snapshot at %llu: %llu bytes are here already",
                 (unsigned long long)r->offer.o.index,
                 (unsigned long long)r->found);
    }
}

/* Another node has the very same file: on from there. */
static void rx_switch(struct receiving *r, uint64_t from)
{
    r->from = from;
    for (size_t i = 0; i < SNAPX_PULLS; i++) {
        r->slots[i].sent_us = 0; /* what is waited for is pulled again */
    }
}

static void tell_result(struct snapxfer *x,
                        uint64_t to,
                        const struct offer *f,
                        bool has)
{
    struct buf b = BUF_INIT;

    head_of(&b, MSG_RESULT, f);
    buf_u8(&b, has ? 1 : 0);
    (void)send_buf(x, to, &b, bytes_of(NULL, 0));
}

/* The own disk could not take it, perhaps for want of room: no fault of the
 * offer, which is taken again a little later, as often as it is made. */
static void rx_unwritten(struct snapxfer *x)
{
    struct receiving *r = &x->rx;

    if (mutant(SNAPX_GIVES_UP)) {
        r->refused_tag = r->offer.tag;
        r->tries = SNAPX_VERIFY_TRIES;
    }
    r->not_before_us = env_now_us(x->env) + SNAPX_WRITE_PAUSE_MS * 1000;
    log_warn(x->log, "snapshot at %llu: writing failed: %s; again in %d ms",
             (unsigned long long)r->offer.o.index, hf_strerror(r->rv),
             SNAPX_WRITE_PAUSE_MS);
    rx_drop(x);
}

/* The file that was offered does not verify. */
static void rx_failed(struct snapxfer *x)
{
    struct receiving *r = &x->rx;

    r->tries++;
    log_warn(x->log, "snapshot at %llu: verification failed (%d), try %u of %d",
             (unsigned long long)r->offer.o.index, r->rv, r->tries,
             SNAPX_VERIFY_TRIES);
    if (r->tries >= SNAPX_VERIFY_TRIES) {
        r->refused_tag = r->offer.tag;
        tell_result(x, r->from, &r->offer, false);
    }
    rx_drop(x);
}

static void rx_finished(struct snapxfer *x)
{
    struct receiving *r = &x->rx;

    if (r->rv != 0) {
        rx_failed(x);
        return;
    }
    r->state = RX_HELD;
    x->cbs->on_received(x->data, r->from, &r->offer.o, x->tmp_name);
}

static void rx_done(struct env_work *w)
{
    struct snapxfer *x = w->data;
    struct receiving *r = &x->rx;

    r->busy = false;
    blob_unref(r->writing);
    r->writing = NULL;
    if (x->closing) {
        disk_close(r->file);
        r->file = NULL;
    } else if (r->state == RX_DROPPING) {
        if (r->op == RX_DROP) {
            r->state = RX_IDLE;
        } else {
            rx_submit(x, RX_DROP);
        }
    } else if (r->op == RX_WRITE && r->rv != 0) {
        rx_unwritten(x);
    } else if (r->op == RX_FINISH) {
        rx_finished(x);
    } else if (r->op == RX_LOOK) {
        rx_looked(x);
    }
    step(x);
}

/* Write what arrived, in order: what is written is a prefix. */
static void rx_write_next(struct snapxfer *x)
{
    struct receiving *r = &x->rx;

    if (r->busy || r->state != RX_PULLING) {
        return;
    }
    if (r->written == r->offer.o.size) {
        r->state = RX_FINISHING;
        rx_submit(x, RX_FINISH);
        return;
    }
    for (size_t i = 0; i < SNAPX_PULLS; i++) {
        struct slot *s = &r->slots[i];

        if (s->used && s->bytes != NULL && s->off == r->written) {
            r->writing = s->bytes;
            r->write_off = s->off;
            r->written += s->len;
            memset(s, 0, sizeof *s);
            rx_submit(x, RX_WRITE);
            return;
        }
    }
}

static void send_pull(struct snapxfer *x, struct slot *s, uint64_t now)
{
    struct receiving *r = &x->rx;
    struct buf b = BUF_INIT;
    uint64_t cost = s->len * 1000000ULL / x->rate;

    s->sent_us = now;
    if (r->pull_at_us + SNAPX_BURST_US < now) {
        r->pull_at_us = now - SNAPX_BURST_US;
    }
    if (!mutant(SNAPX_UNTHROTTLED)) {
        r->pull_at_us += cost;
    }
    head_of(&b, MSG_PULL, &r->offer);
    buf_u64(&b, s->off);
    buf_u32(&b, s->len);
    (void)send_buf(x, r->from, &b, bytes_of(NULL, 0));
}

static bool slot_overdue(const struct slot *s, uint64_t now)
{
    return s->used && s->bytes == NULL &&
           now - s->sent_us >= SNAPX_RETRY_MS * 1000ULL &&
           !mutant(SNAPX_NO_RETRY);
}

/* Fill a free slot with the next range; false: nothing more to pull. */
static bool slot_fill(struct receiving *r, struct slot *s)
{
    uint64_t left = r->offer.o.size - r->next_off;

    if (s->used || left == 0) {
        return false;
    }
    s->used = true;
    s->off = r->next_off;
    s->len = (uint32_t)(left < SNAPX_CHUNK ? left : SNAPX_CHUNK);
    r->next_off += s->len;
    return true;
}

/* Lost pulls again, then new ones, as far as rate and slots allow. */
static void rx_pull(struct snapxfer *x, uint64_t now)
{
    struct receiving *r = &x->rx;

    if (r->state != RX_PULLING) {
        return;
    }
    for (size_t i = 0; i < SNAPX_PULLS; i++) {
        struct slot *s = &r->slots[i];

        if (r->pull_at_us > now) {
            return;
        }
        if (slot_overdue(s, now) || slot_fill(r, s)) {
            send_pull(x, s, now);
        }
    }
}

static bool offer_same(const struct receiving *r, uint64_t from, uint32_t tag)
{
    return r->state != RX_IDLE && r->from == from && r->offer.tag == tag;
}

/* May the present transfer make place for another offer? */
static bool rx_give_up(struct snapxfer *x, const struct snapx_offer *o)
{
    struct receiving *r = &x->rx;

    if (r->state != RX_HELD) {
        return true;
    }
    if (x->cbs->on_dropped == NULL ||
        (r->offer.o.index == o->index && r->offer.o.term == o->term)) {
        return false;
    }
    x->cbs->on_dropped(x->data, r->offer.o.index, r->offer.o.term);
    return true;
}

static void got_offer(struct snapxfer *x,
                      uint64_t from,
                      struct snapx_offer *o,
                      uint32_t tag,
                      struct reader *rd)
{
    struct receiving *r = &x->rx;
    struct offer done = {.o = *o, .tag = tag};

    o->size = rd_u64(rd);
    o->file_crc = rd_u32(rd);
    o->meta = rd_lbytes(rd);
    if (!reader_done(rd) || o->size == 0 || o->index == 0 ||
        o->meta.n > SNAPX_META_MAX || offer_tag(o) != tag) {
        log_warn(x->log, "snapshot: malformed offer from node %llu",
                 (unsigned long long)from);
        return;
    }
    if (offer_same(r, from, tag)) {
        return; /* a reminder */
    }
    if (r->told_done && r->done_tag == tag) {
        tell_result(x, from, &done, true); /* that answer was lost */
        return;
    }
    if ((r->refused_tag == tag && r->tries >= SNAPX_VERIFY_TRIES) ||
        (x->cbs->accept != NULL && !x->cbs->accept(x->data, from, o))) {
        return;
    }
    if (r->state == RX_PULLING && r->offer.tag == tag && o->file_crc != 0) {
        rx_switch(r, from);
    } else if (r->state == RX_IDLE && !r->busy) {
        if (env_now_us(x->env) >= r->not_before_us) {
            rx_begin(x, from, o);
        }
    } else if (rx_give_up(x, o)) {
        rx_drop(x); /* begins with the sender's next reminder */
    }
}

static void got_chunk(struct snapxfer *x,
                      uint64_t from,
                      uint32_t tag,
                      struct reader *rd)
{
    struct receiving *r = &x->rx;
    uint64_t off = rd_u64(rd);
    uint32_t crc = rd_u32(rd);
    struct bytes b = bytes_of(rd->p, rd->n);

    if (!reader_ok(rd) || r->state != RX_PULLING || r->from != from ||
        (r->offer.tag != tag && !mutant(SNAPX_ANY_OFFER))) {
        return;
    }
    if (crc32c(0, b.p, b.n) != crc && !mutant(SNAPX_CHUNK_CRC)) {
        log_warn(x->log, "snapshot: a chunk from node %llu is damaged",
                 (unsigned long long)from);
        return; /* it will be pulled again */
    }
    for (size_t i = 0; i < SNAPX_PULLS; i++) {
        struct slot *s = &r->slots[i];

        if (s->used && s->bytes == NULL && s->off == off && s->len == b.n) {
            s->bytes = blob_copy(b.p, b.n);
            r->last_new_us = env_now_us(x->env);
            return;
        }
    }
}

void snapx_received_done(struct snapxfer *x, int code)
{
    struct receiving *r = &x->rx;

    if (r->state != RX_HELD) {
        return;
    }
    tell_result(x, r->from, &r->offer, code == 0);
    r->told_done = code == 0;
    r->done_tag = r->offer.tag;
    if (code == 0) {
        r->state = RX_IDLE; /* the owner has renamed the file */
    } else {
        rx_drop(x);
    }
}

void snapx_receive_abort(struct snapxfer *x)
{
    rx_drop(x);
}

/* ---- both ---- */

void snapx_receive(struct snapxfer *x, uint64_t from, struct bytes msg)
{
    struct reader r = reader_of(msg);
    struct snapx_offer o = {0};
    uint8_t kind = rd_u8(&r);
    uint32_t tag;
    struct sending *t = from != 0 ? tx_find(x, from) : NULL;

    o.index = rd_u64(&r);
    o.term = rd_u64(&r);
    tag = rd_u32(&r);
    if (!reader_ok(&r) || kind < MSG_OFFER || kind > MSG_RESULT) {
        log_warn(x->log, "snapshot: malformed message from node %llu",
                 (unsigned long long)from);
        return;
    }
    if (kind == MSG_OFFER) {
        got_offer(x, from, &o, tag, &r);
    } else if (kind == MSG_CHUNK) {
        got_chunk(x, from, tag, &r);
    } else if (t != NULL && !t->ending && t->offer.tag == tag) {
        if (kind == MSG_PULL) {
            got_pull(x, t, &r);
        } else {
            got_result(x, t, &r);
        }
    }
    step(x);
}

static void earliest(uint64_t *at, uint64_t candidate)
{
    if (candidate < *at) {
        *at = candidate;
    }
}

/* Nobody pulls: the follower is gone, or has another leader. */
static bool tx_given_up(struct sending *t, uint64_t now)
{
    struct snapxfer *x = t->x;
    uint64_t to = t->to;
    uint64_t index = t->offer.o.index;
    uint64_t last =
        t->last_pull_us > t->last_new_us ? t->last_pull_us : t->last_new_us;

    if (t->busy || now - last < SNAPX_GIVE_UP_MS * 1000ULL) {
        return false;
    }
    tx_free(t);
    if (x->cbs->on_sent != NULL) {
        x->cbs->on_sent(x->data, to, index, HF_ETIMEOUT);
    }
    return true;
}

static void tx_step(struct snapxfer *x, uint64_t now, uint64_t *next)
{
    for (size_t i = 0; i < LIM_NODES; i++) {
        struct sending *t = &x->tx[i];
        uint64_t last =
            t->last_pull_us > t->offered_us ? t->last_pull_us : t->offered_us;

        if (t->to == 0 || t->ending) {
            continue;
        }
        if (tx_given_up(t, now)) {
            continue;
        }
        tx_read_next(t);
        if (now - last >= SNAPX_OFFER_MS * 1000ULL) {
            tx_offer(t, now);
            last = now;
        }
        earliest(next, last + SNAPX_OFFER_MS * 1000ULL);
    }
}

static void rx_step(struct snapxfer *x, uint64_t now, uint64_t *next)
{
    struct receiving *r = &x->rx;

    rx_write_next(x);
    rx_pull(x, now);
    if (r->state != RX_PULLING) {
        return;
    }
    for (size_t i = 0; i < SNAPX_PULLS; i++) {
        const struct slot *s = &r->slots[i];

        if (s->used && s->bytes == NULL) {
            uint64_t due = s->sent_us + SNAPX_RETRY_MS * 1000ULL;

            earliest(next, due > r->pull_at_us ? due : r->pull_at_us);
        } else if (!s->used && r->next_off < r->offer.o.size) {
            earliest(next, r->pull_at_us);
        }
    }
    if (now - x->log_us >= PROGRESS_LOG_US) {
        x->log_us = now;
        log_info(x->log, "snapshot at %llu: %llu of %llu bytes are here",
                 (unsigned long long)r->offer.o.index,
                 (unsigned long long)r->written,
                 (unsigned long long)r->offer.o.size);
    }
}

static void maybe_gone(struct snapxfer *x)
{
    void (*closed)(void *data) = x->closed;
    void *data = x->closed_data;
    bool busy = x->rx.busy;

    for (size_t i = 0; i < LIM_NODES; i++) {
        busy = busy || x->tx[i].busy;
    }
    if (busy) {
        return;
    }
    for (size_t i = 0; i < LIM_NODES; i++) {
        tx_free(&x->tx[i]);
    }
    disk_close(x->rx.file);
    slots_clear(&x->rx);
    buf_release(&x->rx.offer.meta);
    free(x);
    if (closed != NULL) {
        closed(data);
    }
}

/* Do what can be done now and set the timer for the rest. Last in every
 * caller: @x may be gone after. */
static void step(struct snapxfer *x)
{
    uint64_t now = env_now_us(x->env);
    uint64_t next = UINT64_MAX;

    if (x->closing) {
        maybe_gone(x);
        return;
    }
    tx_step(x, now, &next);
    rx_step(x, now, &next);
    if (next == UINT64_MAX) {
        env_timer_stop(x->env, &x->timer);
    } else {
        env_timer_start(x->env, &x->timer, next > now ? next : now + 1000);
    }
}

static void timer_cb(struct env_timer *t)
{
    step(t->data);
}

struct snapxfer *snapx_new(const struct snapx_config *c)
{
    struct snapxfer *x = hf_calloc(1, sizeof *x);

    hf_assert(c->cbs->send != NULL && c->cbs->on_received != NULL);
    hf_assert(strlen(c->tmp_name) < sizeof x->tmp_name);
    x->env = c->env;
    x->disk = c->env->disk;
    x->log = c->log;
    x->cbs = c->cbs;
    x->data = c->data;
    x->rate = c->rate == 0 ? SNAPX_RATE_DEFAULT : c->rate;
    if (x->rate < SNAPX_RATE_MIN) {
        x->rate = SNAPX_RATE_MIN;
    }
    snprintf(x->tmp_name, sizeof x->tmp_name, "%s", c->tmp_name);
    if (c->part_name != NULL) {
        hf_assert(strlen(c->part_name) + 4 < sizeof x->part_name);
        snprintf(x->part_name, sizeof x->part_name, "%s", c->part_name);
    }
    env_timer_init(&x->timer, timer_cb, x);
    for (size_t i = 0; i < LIM_NODES; i++) {
        x->tx[i].x = x;
    }
    return x;
}

void snapx_close(struct snapxfer *x, void (*closed)(void *data), void *data)
{
    hf_assert(!x->closing);
    x->closing = true;
    x->closed = closed;
    x->closed_data = data;
    env_timer_stop(x->env, &x->timer);
    maybe_gone(x);
}

void snapx_free_crashed(struct snapxfer *x)
{
    for (size_t i = 0; i < LIM_NODES; i++) {
        x->tx[i].busy = false;
    }
    x->rx.busy = false;
    blob_unref(x->rx.writing); /* a write that will never be done */
    x->rx.writing = NULL;
    snapx_close(x, NULL, NULL);
}

size_t snapx_progress(const struct snapxfer *x,
                      struct snapx_progress *out,
                      size_t max)
{
    uint64_t now = env_now_us(x->env);
    const struct receiving *r = &x->rx;
    size_t n = 0;

    if (r->state != RX_IDLE && r->state != RX_DROPPING && n < max) {
        out[n++] = (struct snapx_progress){
            .active = true,
            .receiving = true,
            .peer = r->from,
            .index = r->offer.o.index,
            .size = r->offer.o.size,
            .done_bytes = r->written,
            .idle_ms = (uint32_t)((now - r->last_new_us) / 1000)};
    }
    for (size_t i = 0; i < LIM_NODES && n < max; i++) {
        const struct sending *t = &x->tx[i];

        if (t->to != 0 && !t->ending) {
            out[n++] = (struct snapx_progress){
                .active = true,
                .peer = t->to,
                .index = t->offer.o.index,
                .size = t->offer.o.size,
                .done_bytes = t->done_bytes,
                .idle_ms = (uint32_t)((now - t->last_new_us) / 1000)};
        }
    }
    return n;
}
