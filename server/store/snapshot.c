/* The state as a stream of bytes and back. docs/FORMATS.md, "State stream". */
#include <stdlib.h>

#include "base/crc32c.h"
#include "server/store/machine_int.h"

enum { SNAP_VERSION = 2, SNAP_CHUNK = 256 << 10, SNAP_HEAD = 124 };
static const uint8_t snap_magic[4] = {'H', 'F', 'S', 'M'};

enum snap_record {
    SNAP_REC_HEAD = 1,
    SNAP_REC_SEAT = 2,
    SNAP_REC_MEMBER = 3,
    SNAP_REC_KEY = 4,
    SNAP_REC_NAMED = 5,
    SNAP_REC_END = 6,
    SNAP_REC_HISTORY = 7, /* from version 2 */
    SNAP_REC_USER = 8,    /* from version 2 on, as all after it */
};
enum { REC_HEAD = 5, KEY_HEAD = 28, NAMED_HEAD = 16 };
/* Bytes of the longest record's payload. */
enum { REC_MAX = (int)HISTORY_HEAD + (int)LIM_KEY + (int)LIM_REQUEST_TOP };
_Static_assert((int)KEY_HEAD < (int)HISTORY_HEAD, "the longest record");
enum { HEAD_CLUSTER = 1, HEAD_INITIALIZED = 2 };

/* ---- writing ---- */

struct machine_frozen {
    struct machine_base base;
    uint64_t time_ms;
    uint64_t revision;
    uint64_t store_sum;
    struct map_root *keys; /* NULL in a digest, which reads the live maps */
    struct map_root *named;
    struct history_frozen *history; /* NULL in a digest: it may differ */
    const struct map_node *keys_node;
    const struct map_node *named_node;
    uint64_t keys_n;
    uint64_t named_n;
    struct blob *users; /* records; a digest has no reference of its own */
    uint64_t bytes;
    /* The worker's. */
    enum snap_record stage; /* what comes next; 0: all was given */
    struct map_iter iter;
    const struct item *item;
    uint32_t crc;
};

static void rec_end(struct buf *out, size_t at);
static size_t rec_begin(struct buf *out, enum snap_record type);

/* Users are few: their records are kept until the next change. Without any
 * change ever there are none. */
static struct blob *users_image(struct machine *m)
{
    struct buf b = BUF_INIT;

    if (m->users_image != NULL) {
        return m->users_image;
    }
    for (unsigned i = 0; i < m->users.n && !m->users.plain; i++) {
        size_t at = rec_begin(&b, SNAP_REC_USER);

        user_encode(m->users.v[i], &b);
        rec_end(&b, at);
    }
    m->users_image = blob_copy(b.p, b.n);
    buf_release(&b);
    return m->users_image;
}

static void frozen_init(struct machine_frozen *f, struct machine *m)
{
    struct map *keys = store_map(m->store);

    memset(f, 0, sizeof *f);
    f->base = m->base;
    f->time_ms = store_time(m->store);
    f->revision = store_revision(m->store);
    f->store_sum = store_sum(m->store);
    f->keys_node = map_live_node(keys);
    f->named_node = map_live_node(m->named);
    f->keys_n = map_count(keys);
    f->named_n = map_count(m->named);
    f->users = users_image(m);
    f->bytes = map_bytes(keys) + map_bytes(m->named) +
               history_bytes(store_history(m->store)) + f->users->n;
    f->stage = SNAP_REC_HEAD;
}

struct machine_frozen *machine_freeze(struct machine *m)
{
    struct machine_frozen *f = hf_malloc(sizeof *f);

    hf_assert(!m->applying);
    frozen_init(f, m);
    f->keys = map_freeze(store_map(m->store));
    f->named = map_freeze(m->named);
    blob_ref(f->users);
    f->history = history_freeze(store_history(m->store));
    return f;
}

void machine_freeze_release(struct machine *m, struct machine_frozen *f)
{
    map_release(store_map(m->store), f->keys);
    map_release(m->named, f->named);
    blob_unref(f->users);
    history_freeze_release(f->history);
    free(f);
}

uint64_t machine_frozen_index(const struct machine_frozen *f)
{
    return f->base.index;
}

uint64_t machine_frozen_size(const struct machine_frozen *f)
{
    return f->bytes;
}

static size_t rec_begin(struct buf *out, enum snap_record type)
{
    buf_u8(out, (uint8_t)type);
    buf_u32(out, 0);
    return out->n;
}

static void rec_end(struct buf *out, size_t at)
{
    put_u32(out->p + at - 4, (uint32_t)(out->n - at));
}

static void write_head(const struct machine_frozen *f, struct buf *out)
{
    const struct machine_base *b = &f->base;
    size_t at = rec_begin(out, SNAP_REC_HEAD);
    uint8_t flags = 0;

    flags |= b->has_cluster ? HEAD_CLUSTER : 0;
    flags |= b->initialized ? HEAD_INITIALIZED : 0;
    buf_append(out, snap_magic, sizeof snap_magic);
    buf_u16(out, SNAP_VERSION);
    buf_u64(out, b->index);
    buf_u64(out, f->time_ms);
    buf_u64(out, f->revision);
    buf_u64(out, f->store_sum);
    buf_u64(out, b->sum);
    buf_u64(out, b->next_id);
    buf_u64(out, b->once_idle_ms);
    buf_u64(out, b->once_floor_ms);
    buf_u64(out, f->keys_n);
    buf_u64(out, f->named_n);
    buf_append(out, b->cluster_id, HF_ID_SIZE);
    buf_u8(out, flags);
    buf_u8(out, (uint8_t)b->seats_n);
    buf_u32(out, b->members_n);
    buf_u64(out, 0); /* reserved */
    buf_u64(out, 0);
    buf_u32(out, crc32c(0, out->p + at, out->n - at));
    hf_assert(out->n - at == SNAP_HEAD + 4);
    rec_end(out, at);
}

static void write_members(const struct machine_frozen *f, struct buf *out)
{
    for (unsigned i = 0; i < f->base.seats_n; i++) {
        size_t at = rec_begin(out, SNAP_REC_SEAT);

        buf_u64(out, f->base.seats[i].holder);
        put_seat(out, f->base.seats[i].peer);
        rec_end(out, at);
    }
    for (unsigned i = 0; i < f->base.members_n; i++) {
        const struct member *x = &f->base.members[i];
        bool none = mutant(MACHINE_SNAP_NO_SESSIONS);
        size_t at = rec_begin(out, SNAP_REC_MEMBER);

        buf_u64(out, x->id);
        buf_u64(out, none ? 0 : x->session);
        buf_u64(out, none ? 0 : x->last_number);
        buf_append(out, x->nonce, HF_ID_SIZE);
        buf_append(out, x->dir_id, HF_ID_SIZE);
        put_addresses(out, x);
        rec_end(out, at);
    }
}

static void write_key(const struct item *it, struct buf *out)
{
    struct bytes key = item_key(it);
    struct bytes value = item_value(it);
    size_t n = KEY_HEAD + key.n + value.n;
    uint64_t deadline = item_deadline(it);
    uint8_t *p;

    if (mutant(MACHINE_SNAP_NO_DEADLINE)) {
        deadline = 0;
    }
    buf_reserve(out, REC_HEAD + n);
    p = out->p + out->n;
    p[0] = SNAP_REC_KEY;
    put_u32(p + 1, (uint32_t)n);
    put_u64(p + 5, it->create_rev);
    put_u64(p + 13, it->mod_rev);
    put_u64(p + 21, deadline);
    put_u32(p + 29, (uint32_t)key.n);
    memcpy(p + 33, item_key(it).p, key.n + value.n); /* they are neighbours */
    out->n += REC_HEAD + n;
}

static void write_named(const struct item *it, struct buf *out)
{
    size_t at = rec_begin(out, SNAP_REC_NAMED);
    uint8_t id[8];

    for (int i = 0; i < 8; i++) {
        id[i] = item_key(it).p[7 - i];
    }
    buf_append(out, id, sizeof id);
    buf_u64(out, item_deadline(it));
    buf_bytes_append(out, item_value(it));
    rec_end(out, at);
}

/* Items until the chunk is full; false when there are no more. */
static bool write_items(struct machine_frozen *f,
                        struct buf *out,
                        size_t from,
                        void (*write)(const struct item *, struct buf *))
{
    while (f->item != NULL) {
        if (out->n - from >= SNAP_CHUNK) {
            return true;
        }
        write(f->item, out);
        f->item = map_iter_next(&f->iter);
    }
    return false;
}

static void write_history_head(struct machine_frozen *f, struct buf *out)
{
    size_t at = rec_begin(out, SNAP_REC_HISTORY);

    history_frozen_head(f->history, out);
    rec_end(out, at);
}

/* As write_items(). */
static bool write_history(struct machine_frozen *f,
                          struct buf *out,
                          size_t from)
{
    struct bytes change;

    do {
        if (out->n - from >= SNAP_CHUNK) {
            return true;
        }
        if (!history_frozen_next(f->history, &change)) {
            return false;
        }
        buf_u8(out, SNAP_REC_HISTORY);
        buf_lbytes(out, change);
    } while (true);
}

bool machine_snapshot_next(struct machine_frozen *f, struct buf *out)
{
    size_t from = out->n;
    size_t at;

    if (f->stage == 0) {
        return false;
    }
    if (f->stage == SNAP_REC_HEAD) {
        write_head(f, out);
        write_members(f, out);
        if (!mutant(MACHINE_SNAP_NO_USERS)) {
            buf_bytes_append(out, blob_bytes(f->users));
        }
        f->item = map_iter_first(&f->iter, f->keys_node);
        f->stage = SNAP_REC_KEY;
    }
    if (f->stage == SNAP_REC_KEY && !write_items(f, out, from, write_key)) {
        f->item = map_iter_first(&f->iter, f->named_node);
        f->stage = SNAP_REC_NAMED;
    }
    if (f->stage == SNAP_REC_NAMED && !write_items(f, out, from, write_named)) {
        f->stage = SNAP_REC_END;
        if (f->history != NULL && !mutant(HISTORY_NO_SNAP)) {
            write_history_head(f, out);
            f->stage = SNAP_REC_HISTORY;
        }
    }
    if (f->stage == SNAP_REC_HISTORY && !write_history(f, out, from)) {
        f->stage = SNAP_REC_END;
    }
    f->crc = crc32c(f->crc, out->p + from, out->n - from);
    if (f->stage == SNAP_REC_END) {
        at = rec_begin(out, SNAP_REC_END);
        buf_u32(out, f->crc);
        rec_end(out, at);
        f->stage = (enum snap_record)0;
    }
    return true;
}

uint64_t machine_digest(struct machine *m)
{
    struct machine_frozen f;
    struct buf chunk = BUF_INIT;
    uint8_t step[16];
    uint64_t h = 0;

    frozen_init(&f, m);
    while (machine_snapshot_next(&f, &chunk)) {
        put_u64(step, h);
        put_u64(step + 8, map_hash(buf_bytes(&chunk)));
        h = map_hash(bytes_of(step, sizeof step));
        buf_clear(&chunk);
    }
    buf_release(&chunk);
    return h;
}

/* ---- reading ---- */

struct machine_load {
    struct machine *m;
    struct buf rest; /* the beginning of a record that goes on */
    uint64_t keys_n; /* as the head says; counted down */
    uint64_t named_n;
    unsigned seats_n;
    unsigned members_n;
    uint64_t revision;
    uint64_t last_named;
    struct users users; /* n == 0: no record came, and the machine's stay */
    uint32_t crc;
    uint16_t version;
    bool has_head;
    bool has_history;
    bool ended;
    bool failed;
};

struct machine_load *machine_load_begin(void)
{
    struct machine_load *l = hf_calloc(1, sizeof *l);

    l->m = machine_new();
    machine_history_limits(l->m, UINT64_MAX, UINT64_MAX);
    return l;
}

void machine_load_abort(struct machine_load *l)
{
    if (l != NULL) {
        users_release(&l->users);
        machine_free(l->m);
        buf_release(&l->rest);
        free(l);
    }
}

static int damaged(struct errmsg *e, const char *what)
{
    return errmsg_set(e, HF_ECORRUPT, "state stream: %s", what);
}

static bool head_values_ok(const struct machine_load *l, uint8_t flags)
{
    const struct machine_base *b = &l->m->base;

    return (flags & ~(HEAD_CLUSTER | HEAD_INITIALIZED)) == 0 &&
           l->seats_n <= LIM_SEATS && l->members_n <= LIM_NODES &&
           l->named_n <= LIM_NAMED && b->next_id >= 1 && b->once_idle_ms >= 1;
}

static int load_head(struct machine_load *l, struct bytes p, struct errmsg *e)
{
    struct machine_base *b = &l->m->base;
    struct reader r = reader_of(p);
    uint64_t time_ms;
    uint64_t sum;
    uint8_t flags;

    if (l->has_head || p.n < 6 || memcmp(p.p, snap_magic, 4) != 0) {
        return damaged(e, "does not begin with a head");
    }
    rd_bytes(&r, 4);
    l->version = rd_u16(&r);
    if (l->version > SNAP_VERSION) {
        return errmsg_set(e, HF_EVERSION, "state stream of a newer version");
    }
    if (p.n != SNAP_HEAD + 4 ||
        get_u32(p.p + SNAP_HEAD) != crc32c(0, p.p, SNAP_HEAD)) {
        return damaged(e, "the head fails its checksum");
    }
    b->index = rd_u64(&r);
    time_ms = rd_u64(&r);
    l->revision = rd_u64(&r);
    sum = rd_u64(&r);
    b->sum = rd_u64(&r);
    b->next_id = rd_u64(&r);
    b->once_idle_ms = rd_u64(&r);
    b->once_floor_ms = rd_u64(&r);
    l->keys_n = rd_u64(&r);
    l->named_n = rd_u64(&r);
    memcpy(b->cluster_id, rd_bytes(&r, HF_ID_SIZE).p, HF_ID_SIZE);
    flags = rd_u8(&r);
    b->has_cluster = (flags & HEAD_CLUSTER) != 0;
    b->initialized = (flags & HEAD_INITIALIZED) != 0;
    l->seats_n = rd_u8(&r);
    l->members_n = rd_u32(&r);
    if (!head_values_ok(l, flags)) {
        return damaged(e, "the head makes no sense");
    }
    store_restore(l->m->store, time_ms, l->revision, sum);
    map_build_begin(store_map(l->m->store), l->keys_n);
    map_build_begin(l->m->named, l->named_n);
    l->has_head = true;
    return 0;
}

static int load_seat(struct machine_load *l, struct bytes p, struct errmsg *e)
{
    struct machine_base *b = &l->m->base;
    struct reader r = reader_of(p);
    struct seat s;

    memset(&s, 0, sizeof s);
    s.holder = rd_u64(&r);
    if (b->seats_n == l->seats_n || !rd_seat(&r, s.peer) || !reader_done(&r)) {
        return damaged(e, "bad seat");
    }
    b->seats[b->seats_n++] = s;
    return 0;
}

static int load_member(struct machine_load *l, struct bytes p, struct errmsg *e)
{
    struct machine_base *b = &l->m->base;
    struct reader r = reader_of(p);
    struct member x;
    struct bytes nonce;
    struct bytes dir;

    memset(&x, 0, sizeof x);
    x.id = rd_u64(&r);
    x.session = rd_u64(&r);
    x.last_number = rd_u64(&r);
    nonce = rd_bytes(&r, HF_ID_SIZE);
    dir = rd_bytes(&r, HF_ID_SIZE);
    if (!reader_ok(&r) || !rd_addresses(&r, &x) || !reader_done(&r)) {
        return damaged(e, "bad member");
    }
    memcpy(x.nonce, nonce.p, HF_ID_SIZE);
    memcpy(x.dir_id, dir.p, HF_ID_SIZE);
    if (b->members_n == l->members_n || x.id == 0 || x.id >= b->next_id ||
        x.session > b->index || machine_member(l->m, x.id) != NULL ||
        machine_member_by_dir(l->m, x.dir_id) != NULL) {
        return damaged(e, "a member that makes no sense");
    }
    b->members[b->members_n++] = x;
    return 0;
}

static int load_key(struct machine_load *l, struct bytes p, struct errmsg *e)
{
    uint64_t create_rev;
    uint64_t mod_rev;
    uint64_t deadline;
    uint32_t key_n;
    struct bytes key;
    struct bytes value;

    if (p.n < KEY_HEAD || l->keys_n == 0) {
        return damaged(e, "bad key record");
    }
    create_rev = get_u64(p.p);
    mod_rev = get_u64(p.p + 8);
    deadline = get_u64(p.p + 16);
    key_n = get_u32(p.p + 24);
    if (key_n > p.n - KEY_HEAD || key_n > LIM_KEY ||
        p.n - KEY_HEAD - key_n > LIM_REQUEST_TOP || create_rev == 0 ||
        create_rev > mod_rev || mod_rev > l->revision) {
        return damaged(e, "a key that makes no sense");
    }
    key = bytes_of(p.p + KEY_HEAD, key_n);
    value = bytes_of(key.p + key_n, p.n - KEY_HEAD - key_n);
    if (!map_build_add(store_map(l->m->store), key, value, create_rev, mod_rev,
                       deadline)) {
        return damaged(e, "keys out of order");
    }
    l->keys_n--;
    return 0;
}

static int load_named(struct machine_load *l, struct bytes p, struct errmsg *e)
{
    struct machine *m = l->m;
    uint64_t id;
    uint8_t key[8];
    struct bytes value;
    uint64_t deadline;

    if (p.n < NAMED_HEAD + ONCE_HEAD || l->named_n == 0 ||
        p.n > NAMED_HEAD + ONCE_HEAD + ONCE_OWNER + LIM_SAVED_REPLY) {
        return damaged(e, "bad named session");
    }
    id = get_u64(p.p);
    deadline = get_u64(p.p + 8);
    value = bytes_of(p.p + NAMED_HEAD, p.n - NAMED_HEAD);
    if (id <= l->last_named || id > m->base.index || deadline == 0 ||
        (value.p[8] & ~(ONCE_TOO_LARGE | ONCE_OWNED)) != 0 ||
        ((value.p[8] & ONCE_OWNED) != 0 && value.n < ONCE_HEAD + ONCE_OWNER)) {
        return damaged(e, "a named session that makes no sense");
    }
    for (int i = 0; i < 8; i++) {
        key[i] = p.p[7 - i];
    }
    l->last_named = id;
    m->saved_bytes += value.n - ONCE_HEAD;
    hf_assert(map_build_add(m->named, bytes_of(key, 8), value, m->base.index,
                            m->base.index, deadline));
    l->named_n--;
    return 0;
}

/* In the order of their names. */
static int load_user(struct machine_load *l, struct bytes p, struct errmsg *e)
{
    struct users *us = &l->users;
    struct user *u = l->version < 2 ? NULL : user_decode(p);

    if (u == NULL || us->n >= LIM_USERS || u->born > l->m->base.index ||
        us->bytes + p.n > LIM_USERS_BYTES ||
        (us->n > 0 && bytes_cmp(blob_bytes(us->v[us->n - 1]->name),
                                blob_bytes(u->name)) >= 0)) {
        user_free(u);
        return damaged(e, "bad user");
    }
    us->v = hf_realloc(us->v, (us->n + 1) * sizeof *us->v);
    us->v[us->n++] = u;
    us->bytes += p.n;
    return 0;
}

/* They take the place of those of a new machine. */
static bool users_ok(struct machine_load *l)
{
    struct users none = {NULL, 0, 0, false, false};

    if (l->users.n == 0) {
        return true;
    }
    if (users_find(&l->users, bytes_str("default")) == NULL) {
        return false;
    }
    users_release(&l->m->users);
    l->m->users = l->users;
    l->users = none;
    users_look(&l->m->users);
    return true;
}

/* The first record says where the history begins, the others are changes. */
static int load_history(struct machine_load *l,
                        struct bytes p,
                        struct errmsg *e)
{
    struct history *h = store_history(l->m->store);
    bool head = p.n > 12 && p.p[12] == 0;

    if (l->version < 2 || head == l->has_history || !history_load(h, p)) {
        return damaged(e, "a change that makes no sense");
    }
    l->has_history = true;
    return 0;
}

static bool holders_ok(const struct machine *m)
{
    for (unsigned i = 0; i < m->base.seats_n; i++) {
        uint64_t id = m->base.seats[i].holder;

        if (id != 0 && machine_member(m, id) == NULL) {
            return false;
        }
    }
    return true;
}

static int load_end(struct machine_load *l, struct bytes p, struct errmsg *e)
{
    if (p.n != 4 || get_u32(p.p) != l->crc) {
        return damaged(e, "checksum wrong");
    }
    if (l->keys_n != 0 || l->named_n != 0 || l->m->base.seats_n != l->seats_n ||
        l->m->base.members_n != l->members_n || !holders_ok(l->m) ||
        !users_ok(l)) {
        return damaged(e, "not what its head announced");
    }
    if (history_last(store_history(l->m->store)).rev != l->revision) {
        return damaged(e, "the history ends too early");
    }
    map_build_end(store_map(l->m->store));
    map_build_end(l->m->named);
    l->ended = true;
    return 0;
}

static int load_record(struct machine_load *l,
                       struct bytes rec,
                       struct errmsg *e)
{
    struct bytes p = bytes_of(rec.p + REC_HEAD, rec.n - REC_HEAD);
    uint8_t type = rec.p[0];
    int rv;

    if (l->ended || l->has_head == (type == SNAP_REC_HEAD)) {
        return damaged(e, "a record out of place");
    }
    switch (type) {
        case SNAP_REC_HEAD:
            rv = load_head(l, p, e);
            break;
        case SNAP_REC_SEAT:
            rv = load_seat(l, p, e);
            break;
        case SNAP_REC_MEMBER:
            rv = load_member(l, p, e);
            break;
        case SNAP_REC_KEY:
            rv = load_key(l, p, e);
            break;
        case SNAP_REC_NAMED:
            rv = load_named(l, p, e);
            break;
        case SNAP_REC_USER:
            rv = load_user(l, p, e);
            break;
        case SNAP_REC_HISTORY:
            rv = load_history(l, p, e);
            break;
        case SNAP_REC_END:
            rv = load_end(l, p, e);
            break;
        default:
            rv = damaged(e, "unknown record type");
            break;
    }
    l->crc = crc32c(l->crc, rec.p, rec.n);
    return rv;
}

/* Move bytes from @chunk to l->rest until that has @n. False: chunk is out. */
static bool fill_rest(struct machine_load *l, struct bytes *chunk, size_t n)
{
    size_t k = n > l->rest.n ? n - l->rest.n : 0;

    k = k < chunk->n ? k : chunk->n;
    buf_append(&l->rest, chunk->p, k);
    chunk->p += k;
    chunk->n -= k;
    return l->rest.n >= n;
}

/* Finish the record that the last chunk began, if it did. */
static int load_rest(struct machine_load *l,
                     struct bytes *chunk,
                     struct errmsg *e)
{
    size_t n;
    int rv;

    if (l->rest.n == 0 || !fill_rest(l, chunk, REC_HEAD)) {
        return 0;
    }
    n = get_u32(l->rest.p + 1);
    if (n > REC_MAX) {
        return damaged(e, "a record is too long");
    }
    if (!fill_rest(l, chunk, REC_HEAD + n)) {
        return 0;
    }
    rv = load_record(l, buf_bytes(&l->rest), e);
    buf_clear(&l->rest);
    return rv;
}

int machine_load_feed(struct machine_load *l,
                      struct bytes chunk,
                      struct errmsg *e)
{
    int rv;

    hf_assert(!l->failed);
    rv = load_rest(l, &chunk, e);
    while (rv == 0 && chunk.n >= REC_HEAD) {
        size_t n = get_u32(chunk.p + 1);

        if (n > REC_MAX) {
            rv = damaged(e, "a record is too long");
        } else if (chunk.n - REC_HEAD < n) {
            break;
        } else {
            rv = load_record(l, bytes_of(chunk.p, REC_HEAD + n), e);
            chunk.p += REC_HEAD + n;
            chunk.n -= REC_HEAD + n;
        }
    }
    if (rv == 0 && chunk.n > 0) {
        buf_append(&l->rest, chunk.p, chunk.n);
    }
    l->failed = rv != 0;
    return rv;
}

int machine_load_finish(struct machine_load *l,
                        struct machine **out,
                        struct errmsg *e)
{
    hf_assert(!l->failed);
    if (!l->ended || l->rest.n != 0) {
        return damaged(e, "it does not end where it should");
    }
    *out = l->m;
    buf_release(&l->rest);
    free(l);
    return 0;
}
