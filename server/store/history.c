#include "server/store/history.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/mutant.h"
#include "server/store/store.h"

/* A change as it lies in a chunk and in a state stream:
 *
 *   offset  bytes  field
 *        0      8  revision
 *        8      4  seq
 *       12      1  kind (enum store_event)
 *       13      8  cluster time of the change, ms
 *       21      8  deadline, 0: none
 *       29      4  bytes of the key
 *       33      4  bytes of the value
 *       37      -  key, value
 *
 * The record before all changes has kind 0, the floor as its id, and at 13
 * the count of all changes ever added up to the floor. */
enum { HEAD_RECORD = 21 };

/* Slots below the newest are never written again: a worker reads those that
 * were there when it was given the chunk. @refs is the loop thread's. */
struct chunk {
    uint32_t refs;
    uint32_t n;     /* changes */
    uint32_t first; /* slots before it are not kept any more */
    size_t used;
    size_t cap;
    uint32_t at[HISTORY_CHUNK_CHANGES]; /* where each change begins */
    uint8_t data[];
};

struct history {
    struct chunk **ring; /* chunk i is ring[(head + i) % cap] */
    size_t head;
    size_t n;
    size_t cap;
    size_t bytes;
    size_t held; /* of chunks that only frozen histories refer to */
    uint64_t count;
    uint64_t added;
    uint64_t count_max;
    uint64_t bytes_max;
    struct history_id last;
    struct history_id floor;
};

struct history *history_new(void)
{
    struct history *h = hf_calloc(1, sizeof *h);

    h->count_max = HISTORY_COUNT_DEFAULT;
    h->bytes_max = HISTORY_BYTES_DEFAULT;
    return h;
}

static struct chunk *chunk_at(const struct history *h, size_t i)
{
    hf_assert(i < h->n);
    return h->ring[(h->head + i) % h->cap];
}

static size_t chunk_bytes(const struct chunk *c)
{
    return sizeof *c + c->cap;
}

static void chunk_unref(struct chunk *c)
{
    hf_assert(c->refs > 0);
    if (--c->refs == 0) {
        free(c);
    }
}

static void change_read(const struct chunk *c, uint32_t slot, struct change *x)
{
    const uint8_t *p = c->data + c->at[slot];
    uint32_t key_n = get_u32(p + 29);

    x->id.rev = get_u64(p);
    x->id.seq = get_u32(p + 8);
    x->kind = p[12];
    x->time_ms = get_u64(p + 13);
    x->deadline = get_u64(p + 21);
    x->key = bytes_of(p + HISTORY_HEAD, key_n);
    x->value = bytes_of(p + HISTORY_HEAD + key_n, get_u32(p + 33));
}

static struct history_id id_at(const struct chunk *c, uint32_t slot)
{
    const uint8_t *p = c->data + c->at[slot];

    return (struct history_id){get_u64(p), get_u32(p + 8)};
}

/* ---- dropping ---- */

static void drop_chunk(struct history *h)
{
    struct chunk *c = chunk_at(h, 0);

    if (c->first < c->n) {
        h->floor = id_at(c, c->n - 1);
        h->count -= c->n - c->first;
    }
    h->bytes -= chunk_bytes(c);
    h->held += c->refs > 1 ? chunk_bytes(c) : 0;
    h->head = (h->head + 1) % h->cap;
    h->n--;
    chunk_unref(c);
}

static void trim(struct history *h)
{
    while (h->n > 0 && h->bytes > h->bytes_max && !mutant(HISTORY_UNBOUNDED)) {
        drop_chunk(h);
    }
    while (h->count > h->count_max && !mutant(HISTORY_UNBOUNDED)) {
        struct chunk *c = chunk_at(h, 0);
        uint64_t drop = h->count - h->count_max;

        if (drop >= c->n - c->first) {
            drop_chunk(h);
        } else {
            c->first += (uint32_t)drop;
            h->count -= drop;
            h->floor = id_at(c, c->first - 1);
        }
    }
}

bool history_free_sliced(struct history *h, size_t budget)
{
    while (h->n > 0) {
        if (budget-- == 0) {
            return false;
        }
        drop_chunk(h);
    }
    free(h->ring);
    free(h);
    return true;
}

void history_free(struct history *h)
{
    if (h != NULL) {
        (void)history_free_sliced(h, SIZE_MAX);
    }
}

void history_limits(struct history *h, uint64_t count, uint64_t bytes)
{
    h->count_max = count;
    h->bytes_max = bytes;
    trim(h);
}

/* ---- adding ---- */

static void grow_ring(struct history *h)
{
    size_t cap = h->cap == 0 ? 16 : 2 * h->cap;
    struct chunk **ring = hf_malloc(cap * sizeof *ring);

    for (size_t i = 0; i < h->n; i++) {
        ring[i] = chunk_at(h, i);
    }
    free(h->ring);
    h->ring = ring;
    h->head = 0;
    h->cap = cap;
}

/* The chunk that takes @need bytes more. */
static struct chunk *chunk_for(struct history *h, size_t need)
{
    struct chunk *c = h->n > 0 ? chunk_at(h, h->n - 1) : NULL;
    size_t cap = HISTORY_CHUNK;

    if (c != NULL && c->n < HISTORY_CHUNK_CHANGES && c->cap - c->used >= need) {
        return c;
    }
    if (need > HISTORY_CHUNK - HISTORY_CHUNK / 4) {
        cap = need + HISTORY_CHUNK / 4; /* small ones that follow fit, too */
    }
    if (h->n == h->cap) {
        grow_ring(h);
    }
    c = hf_malloc(sizeof *c + cap);
    c->refs = 1;
    c->n = c->first = 0;
    c->used = 0;
    c->cap = cap;
    h->ring[(h->head + h->n) % h->cap] = c;
    h->n++;
    h->bytes += chunk_bytes(c);
    return c;
}

static void append(struct history *h, const struct change *x)
{
    size_t need = HISTORY_HEAD + x->key.n + x->value.n;
    struct chunk *c = chunk_for(h, need);
    uint8_t *p = c->data + c->used;

    put_u64(p, x->id.rev);
    put_u32(p + 8, x->id.seq);
    p[12] = x->kind;
    put_u64(p + 13, x->time_ms);
    put_u64(p + 21, x->deadline);
    put_u32(p + 29, (uint32_t)x->key.n);
    put_u32(p + 33, (uint32_t)x->value.n);
    if (x->key.n > 0) {
        memcpy(p + HISTORY_HEAD, x->key.p, x->key.n);
    }
    if (x->value.n > 0) {
        memcpy(p + HISTORY_HEAD + x->key.n, x->value.p, x->value.n);
    }
    c->at[c->n++] = (uint32_t)c->used;
    c->used += need;
    h->last = x->id;
    h->count++;
    h->added++;
    trim(h);
}

void history_add(struct history *h, const struct change *c)
{
    struct change x = *c;

    hf_assert(x.id.rev >= h->last.rev);
    x.id.seq = x.id.rev == h->last.rev ? h->last.seq + 1 : 0;
    if (mutant(HISTORY_ONE_SEQ)) {
        x.id.seq = 0;
    }
    append(h, &x);
}

void history_reset(struct history *h, uint64_t rev)
{
    while (h->n > 0) {
        drop_chunk(h);
    }
    h->count = h->added = 0;
    /* How many changes @rev had is not known: all of them are missing. */
    h->last = h->floor = (struct history_id){rev, rev > 0 ? UINT32_MAX : 0};
}

/* ---- reading ---- */

uint64_t history_count(const struct history *h)
{
    return h->count;
}

size_t history_chunks(const struct history *h)
{
    return h->n;
}

size_t history_bytes(const struct history *h)
{
    return h->bytes;
}

size_t history_bytes_held(const struct history *h)
{
    return h->held;
}

uint64_t history_added(const struct history *h)
{
    return h->added;
}

struct history_id history_last(const struct history *h)
{
    return h->last;
}

struct history_id history_floor(const struct history *h)
{
    return h->floor;
}

/* How many chunks (and then slots) begin at or before @id. */
static size_t chunks_to(const struct history *h, struct history_id id)
{
    size_t low = 0;
    size_t high = h->n;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        const struct chunk *c = chunk_at(h, mid);

        if (history_cmp(id_at(c, c->first), id) <= 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

static uint32_t slots_to(const struct chunk *c, struct history_id id)
{
    uint32_t low = c->first;
    uint32_t high = c->n;

    while (low < high) {
        uint32_t mid = low + (high - low) / 2;

        if (history_cmp(id_at(c, mid), id) <= 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

/* Where the first change after @id is, or would be. */
static void seek(struct history_iter *it, struct history_id id)
{
    size_t n = chunks_to(it->h, id);
    const struct chunk *c;

    it->chunk = n;
    it->slot = n < it->h->n ? chunk_at(it->h, n)->first : 0;
    if (n > 0) {
        c = chunk_at(it->h, n - 1);
        if (slots_to(c, id) < c->n) {
            it->chunk = n - 1;
            it->slot = slots_to(c, id);
        }
    }
}

static bool give(const struct history_iter *it, struct change *out)
{
    change_read(chunk_at(it->h, it->chunk), it->slot, out);
    return true;
}

bool history_next(struct history_iter *it, struct change *out)
{
    if (++it->slot >= chunk_at(it->h, it->chunk)->n) {
        if (++it->chunk >= it->h->n) {
            return false;
        }
        it->slot = chunk_at(it->h, it->chunk)->first;
    }
    return give(it, out);
}

bool history_prev(struct history_iter *it, struct change *out)
{
    if (it->chunk >= it->h->n ||
        it->slot == chunk_at(it->h, it->chunk)->first) {
        if (it->chunk == 0) {
            return false;
        }
        it->chunk--;
        it->slot = chunk_at(it->h, it->chunk)->n;
    }
    it->slot--;
    return give(it, out);
}

bool history_after(const struct history *h,
                   struct history_iter *it,
                   struct history_id id,
                   struct change *out)
{
    it->h = h;
    seek(it, id);
    return it->chunk < h->n && give(it, out);
}

bool history_before(const struct history *h,
                    struct history_iter *it,
                    struct history_id id,
                    struct change *out)
{
    it->h = h;
    seek(it, id); /* after it; the one itself may stand in between */
    if (!history_prev(it, out)) {
        return false;
    }
    return history_cmp(out->id, id) < 0 || history_prev(it, out);
}

/* ---- snapshots ---- */

struct history_frozen {
    struct history *h;
    struct history_id floor;
    uint64_t added; /* up to the floor */
    size_t n;
    uint32_t first;  /* slot of the first chunk */
    uint32_t last_n; /* changes of the last chunk */
    size_t chunk;    /* the worker's place */
    uint32_t slot;
    struct chunk *chunks[];
};

struct history_frozen *history_freeze(struct history *h)
{
    struct history_frozen *f =
        hf_malloc(sizeof *f + h->n * sizeof f->chunks[0]);

    f->h = h;
    f->floor = h->floor;
    f->added = h->added - h->count;
    f->n = h->n;
    f->first = h->n > 0 ? chunk_at(h, 0)->first : 0;
    f->last_n = h->n > 0 ? chunk_at(h, h->n - 1)->n : 0;
    f->chunk = 0;
    f->slot = f->first;
    for (size_t i = 0; i < h->n; i++) {
        f->chunks[i] = chunk_at(h, i);
        f->chunks[i]->refs++;
    }
    return f;
}

void history_freeze_release(struct history_frozen *f)
{
    struct history *h = f->h;

    for (size_t i = 0; i < f->n; i++) {
        struct chunk *c = f->chunks[i];

        /* Nobody else has it: it was dropped. */
        if (c->refs == 1) {
            hf_assert(h->held >= chunk_bytes(c));
            h->held -= chunk_bytes(c);
        }
        chunk_unref(c);
    }
    free(f);
}

void history_frozen_head(const struct history_frozen *f, struct buf *out)
{
    buf_u64(out, f->floor.rev);
    buf_u32(out, f->floor.seq);
    buf_u8(out, 0);
    buf_u64(out, f->added);
}

bool history_frozen_next(struct history_frozen *f, struct bytes *out)
{
    const struct chunk *c;
    const uint8_t *p;

    if (f->chunk == f->n) {
        return false;
    }
    c = f->chunks[f->chunk];
    p = c->data + c->at[f->slot];
    *out = bytes_of(p, HISTORY_HEAD + get_u32(p + 29) + get_u32(p + 33));
    /* The loop thread appends to the last one: its count is not read. */
    if (++f->slot == (f->chunk + 1 == f->n ? f->last_n : c->n)) {
        f->chunk++;
        f->slot = 0;
    }
    return true;
}

static bool load_head(struct history *h, struct reader *r)
{
    struct history_id floor;
    uint64_t added;

    floor.rev = rd_u64(r);
    floor.seq = rd_u32(r);
    rd_u8(r);
    added = rd_u64(r);
    if (!reader_done(r) || h->count > 0 || floor.rev > h->last.rev) {
        return false;
    }
    h->floor = h->last = floor;
    h->added = added;
    return true;
}

static bool change_ok(const struct history *h, const struct change *c)
{
    bool next = c->id.rev == h->last.rev + 1 && c->id.seq == 0;
    /* Behind the last seq that there is comes no other. */
    bool same = c->id.rev == h->last.rev && h->last.seq < UINT32_MAX &&
                c->id.seq == h->last.seq + 1;

    /* The very first change of all has nothing before it. */
    return (next || same || mutant(HISTORY_LOAD_GAP)) && c->id.rev > 0 &&
           c->kind >= STORE_SET && c->kind <= STORE_CLEAR &&
           c->key.n <= LIM_KEY && c->value.n <= LIM_REQUEST_TOP &&
           (c->kind == STORE_SET || c->value.n == 0);
}

bool history_load(struct history *h, struct bytes record)
{
    struct reader r = reader_of(record);
    struct change c;
    uint32_t key_n;
    uint32_t value_n;

    if (record.n == HEAD_RECORD && record.p[12] == 0) {
        return load_head(h, &r);
    }
    c.id.rev = rd_u64(&r);
    c.id.seq = rd_u32(&r);
    c.kind = rd_u8(&r);
    c.time_ms = rd_u64(&r);
    c.deadline = rd_u64(&r);
    key_n = rd_u32(&r);
    value_n = rd_u32(&r);
    c.key = rd_bytes(&r, key_n);
    c.value = rd_bytes(&r, value_n);
    if (!reader_done(&r) || !change_ok(h, &c)) {
        return false;
    }
    append(h, &c);
    return true;
}
