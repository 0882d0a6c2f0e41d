/* Log entries: building, checking, walking. The bytes are described in
 * docs/FORMATS.md, "Log entry". */
#include "base/assert.h"
#include "server/store/machine_int.h"

/* ---- building ---- */

void entry_begin(struct buf *b, uint64_t time_ms, uint8_t flags)
{
    buf_u8(b, ENTRY_VERSION);
    buf_u64(b, time_ms);
    buf_u8(b, flags);
}

void entry_set_time(uint8_t *entry, uint64_t time_ms)
{
    hf_assert(entry[0] == ENTRY_VERSION);
    put_u64(entry + 1, time_ms);
}

static void put_address(struct buf *b, const char *s)
{
    size_t n = strlen(s);

    hf_assert(n < LIM_ADDR);
    buf_u8(b, (uint8_t)n);
    buf_append(b, s, n);
}

static size_t record_begin(struct buf *b, enum entry_record type)
{
    buf_u8(b, (uint8_t)type);
    buf_u32(b, 0);
    return b->n;
}

static void record_end(struct buf *b, size_t at)
{
    hf_assert(b->n >= at && b->n - at <= LIM_ENTRY);
    put_u32(b->p + at - 4, (uint32_t)(b->n - at));
}

void entry_request(struct buf *b,
                   uint64_t session,
                   uint64_t number,
                   struct bytes command)
{
    size_t at = record_begin(b, ENTRY_REQUEST);

    buf_u64(b, session);
    buf_u64(b, number);
    buf_bytes_append(b, command);
    record_end(b, at);
}

void entry_void(struct buf *b, uint64_t session, uint64_t number)
{
    size_t at = record_begin(b, ENTRY_VOID);

    buf_u64(b, session);
    buf_u64(b, number);
    record_end(b, at);
}

void entry_open(struct buf *b, uint64_t id, const uint8_t nonce[HF_ID_SIZE])
{
    size_t at = record_begin(b, ENTRY_OPEN);

    buf_u64(b, id);
    buf_append(b, nonce, HF_ID_SIZE);
    record_end(b, at);
}

static void put_node(struct buf *b, const struct entry_node *node)
{
    buf_append(b, node->dir_id, HF_ID_SIZE);
    put_address(b, node->peer);
    put_address(b, node->client);
    put_address(b, node->cluster);
}

void entry_init(struct buf *b,
                const uint8_t cluster_id[HF_ID_SIZE],
                const char *const *seats,
                unsigned seats_n,
                const struct entry_node *first)
{
    size_t at = record_begin(b, ENTRY_INIT);

    hf_assert(seats_n >= 1 && seats_n <= LIM_SEATS);
    buf_append(b, cluster_id, HF_ID_SIZE);
    buf_u8(b, (uint8_t)seats_n);
    for (unsigned i = 0; i < seats_n; i++) {
        put_address(b, seats[i]);
    }
    put_node(b, first);
    record_end(b, at);
}

void entry_join(struct buf *b, const struct entry_node *node)
{
    size_t at = record_begin(b, ENTRY_JOIN);

    put_node(b, node);
    record_end(b, at);
}

void entry_address(struct buf *b,
                   uint64_t id,
                   const char *peer,
                   const char *client,
                   const char *cluster)
{
    size_t at = record_begin(b, ENTRY_ADDRESS);

    buf_u64(b, id);
    put_address(b, peer);
    put_address(b, client);
    put_address(b, cluster);
    record_end(b, at);
}

void entry_gone(struct buf *b, uint64_t id)
{
    size_t at = record_begin(b, ENTRY_GONE);

    buf_u64(b, id);
    record_end(b, at);
}

void entry_initialized(struct buf *b)
{
    record_end(b, record_begin(b, ENTRY_INITIALIZED));
}

uint64_t entry_time(struct bytes entry)
{
    return entry.n < ENTRY_HEAD_SIZE ? 0 : get_u64(entry.p + 1);
}

/* ---- walking ---- */

bool entry_iter_begin(struct entry_iter *it, struct bytes entry)
{
    it->r = reader_of(entry);
    if (rd_u8(&it->r) != ENTRY_VERSION) {
        return false;
    }
    rd_u64(&it->r);
    rd_u8(&it->r);
    return reader_ok(&it->r);
}

bool entry_iter_next(struct entry_iter *it, struct entry_view *out)
{
    struct reader p;

    if (it->r.bad || it->r.n == 0) {
        return false;
    }
    memset(out, 0, sizeof *out);
    out->type = (enum entry_record)rd_u8(&it->r);
    out->payload = rd_lbytes(&it->r);
    if (!reader_ok(&it->r)) {
        return false;
    }
    if (out->type == ENTRY_REQUEST || out->type == ENTRY_VOID) {
        p = reader_of(out->payload);
        out->session = rd_u64(&p);
        out->number = rd_u64(&p);
        out->command = bytes_of(p.p, p.n);
        return reader_ok(&p);
    }
    return true;
}

/* ---- parts of records ---- */

static bool rd_address(struct reader *r, char out[LIM_ADDR], bool may_be_empty)
{
    size_t n = rd_u8(r);
    struct bytes s;

    if (n >= LIM_ADDR || (n == 0 && !may_be_empty)) {
        return false;
    }
    s = rd_bytes(r, n);
    if (!reader_ok(r) || (n > 0 && memchr(s.p, 0, n) != NULL)) {
        return false;
    }
    memset(out, 0, LIM_ADDR);
    if (n > 0) {
        memcpy(out, s.p, n);
    }
    return true;
}

bool rd_addresses(struct reader *r, struct member *out)
{
    return rd_address(r, out->peer, false) &&
           rd_address(r, out->client, true) &&
           rd_address(r, out->cluster, true);
}

void put_addresses(struct buf *b, const struct member *m)
{
    put_address(b, m->peer);
    put_address(b, m->client);
    put_address(b, m->cluster);
}

bool rd_seat(struct reader *r, char out[LIM_ADDR])
{
    return rd_address(r, out, false);
}

void put_seat(struct buf *b, const char *peer)
{
    put_address(b, peer);
}

bool rd_node(struct bytes payload, struct member *out)
{
    struct reader r = reader_of(payload);
    struct bytes dir = rd_bytes(&r, HF_ID_SIZE);

    memset(out, 0, sizeof *out);
    if (!reader_ok(&r)) {
        return false;
    }
    memcpy(out->dir_id, dir.p, HF_ID_SIZE);
    return rd_addresses(&r, out) && reader_done(&r);
}

bool rd_init(struct bytes payload, struct entry_init_view *out)
{
    struct reader r = reader_of(payload);
    struct bytes id = rd_bytes(&r, HF_ID_SIZE);
    bool first_has_seat = false;

    memset(out, 0, sizeof *out);
    out->seats_n = rd_u8(&r);
    if (!reader_ok(&r) || out->seats_n < 1 || out->seats_n > LIM_SEATS) {
        return false;
    }
    memcpy(out->cluster_id, id.p, HF_ID_SIZE);
    for (unsigned i = 0; i < out->seats_n; i++) {
        if (!rd_seat(&r, out->seats[i].peer)) {
            return false;
        }
        for (unsigned k = 0; k < i; k++) {
            if (strcmp(out->seats[k].peer, out->seats[i].peer) == 0) {
                return false;
            }
        }
    }
    if (!rd_node(bytes_of(r.p, r.n), &out->first)) {
        return false;
    }
    for (unsigned i = 0; i < out->seats_n; i++) {
        first_has_seat |= strcmp(out->seats[i].peer, out->first.peer) == 0;
    }
    return first_has_seat;
}

bool rd_id_addresses(struct bytes payload, struct member *out)
{
    struct reader r = reader_of(payload);

    memset(out, 0, sizeof *out);
    out->id = rd_u64(&r);
    return rd_addresses(&r, out) && reader_done(&r);
}

/* ---- checking ---- */

static bool record_ok(const struct entry_view *v)
{
    struct entry_init_view init;
    struct member node;

    switch (v->type) {
        case ENTRY_REQUEST:
            return v->payload.n >= 16;
        case ENTRY_VOID:
            return v->payload.n == 16;
        case ENTRY_OPEN:
            return v->payload.n == 8 + HF_ID_SIZE;
        case ENTRY_INIT:
            return rd_init(v->payload, &init);
        case ENTRY_JOIN:
            return rd_node(v->payload, &node);
        case ENTRY_ADDRESS:
            return rd_id_addresses(v->payload, &node);
        case ENTRY_GONE:
            return v->payload.n == 8;
        case ENTRY_INITIALIZED:
            return v->payload.n == 0;
        default:
            return false;
    }
}

int machine_entry_check(struct bytes entry, struct errmsg *e)
{
    struct entry_iter it;
    struct entry_view v;

    if (entry.n > 0 && entry.p[0] > ENTRY_VERSION) {
        return errmsg_set(e, HF_EVERSION, "log entry of version %u",
                          entry.p[0]);
    }
    if (!entry_iter_begin(&it, entry)) {
        return errmsg_set(e, HF_ECORRUPT, "log entry without its head");
    }
    if ((entry.p[9] & ~ENTRY_COLD_START) != 0) {
        return errmsg_set(e, HF_ECORRUPT, "log entry with unknown flags");
    }
    while (entry_iter_next(&it, &v)) {
        if (!record_ok(&v)) {
            return errmsg_set(e, HF_ECORRUPT,
                              "log entry: bad record of type %d", (int)v.type);
        }
    }
    if (!reader_done(&it.r)) {
        return errmsg_set(e, HF_ECORRUPT, "log entry: a record is cut short");
    }
    return 0;
}
