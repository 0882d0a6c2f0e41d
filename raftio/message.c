#include "raftio/message.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"

/* Every encoding starts with these; a reader refuses other formats, so that a
 * later layout is seen for what it is. */
enum { RMSG_FORMAT = 1 };

const char *raft_msg_name(int kind)
{
    static const char *const names[] = {
        [RMSG_APPEND] = "append",   [RMSG_APPEND_RESULT] = "append-result",
        [RMSG_VOTE] = "vote",       [RMSG_VOTE_RESULT] = "vote-result",
        [RMSG_INSTALL] = "install", [RMSG_TIMEOUT_NOW] = "timeout-now",
        [RMSG_PROBE] = "probe",     [RMSG_PROBE_ACK] = "probe-ack",
    };

    return kind >= RMSG_APPEND && kind <= RMSG_PROBE_ACK ? names[kind] : "?";
}

/* ---- encoding ---- */

static void put_append(const struct raft_msg *m, struct buf *b)
{
    hf_assert(m->n_entries <= RMSG_ENTRIES_MAX);
    buf_u64(b, m->append.prev_index);
    buf_u64(b, m->append.prev_term);
    buf_u64(b, m->append.commit);
    buf_u32(b, m->n_entries);
    for (unsigned i = 0; i < m->n_entries; i++) {
        buf_u64(b, m->entries[i].term);
        buf_u8(b, m->entries[i].type);
        buf_u32(b, (uint32_t)m->entries[i].data.n);
    }
}

static void put_install(const struct snap_meta *s, struct buf *b)
{
    buf_u64(b, s->index);
    buf_u64(b, s->term);
    buf_u64(b, s->conf_index);
    buf_lbytes(b, blob_bytes(s->conf));
}

static void put_flags(struct buf *b, bool low, bool high)
{
    buf_u8(b, (uint8_t)((low ? 1 : 0) | (high ? 2 : 0)));
}

void raft_msg_encode(const struct raft_msg *m, struct buf *b)
{
    buf_u8(b, RMSG_FORMAT);
    buf_u8(b, m->kind);
    buf_u8(b, m->version);
    buf_u64(b, m->term);
    switch (m->kind) {
        case RMSG_APPEND:
            put_append(m, b);
            break;
        case RMSG_APPEND_RESULT:
            buf_u64(b, m->append_result.rejected);
            buf_u64(b, m->append_result.last_index);
            buf_u16(b, m->append_result.features);
            buf_u16(b, m->append_result.capacity);
            break;
        case RMSG_VOTE:
            buf_u64(b, m->vote.candidate);
            buf_u64(b, m->vote.last_index);
            buf_u64(b, m->vote.last_term);
            put_flags(b, m->vote.disrupt_leader, m->vote.pre_vote);
            break;
        case RMSG_VOTE_RESULT:
            put_flags(b, m->vote_result.granted, m->vote_result.pre_vote);
            buf_u16(b, m->vote_result.features);
            buf_u16(b, m->vote_result.capacity);
            break;
        case RMSG_INSTALL:
            put_install(&m->install, b);
            break;
        case RMSG_TIMEOUT_NOW:
            buf_u64(b, m->timeout_now.last_index);
            buf_u64(b, m->timeout_now.last_term);
            break;
        case RMSG_PROBE:
        case RMSG_PROBE_ACK:
            buf_u64(b, m->probe.round);
            buf_u64(b, m->probe.attempt);
            break;
        default:
            hf_assert(m->kind <= RMSG_PROBE_ACK);
            hf_assert(m->kind >= RMSG_APPEND);
    }
}

size_t raft_msg_payload_bytes(const struct raft_msg *m)
{
    size_t n = 0;

    for (unsigned i = 0; i < m->n_entries; i++) {
        n += m->entries[i].data.n;
    }
    return n;
}

/* ---- decoding ---- */

enum { ENTRY_HEAD = 8 + 1 + 4 };

/* A CHANGE gets bytes of its own: it is kept for long and must not hold a
 * whole message in memory, and the engine reads it as aligned words. */
static void own_change(struct entry *e)
{
    struct blob *own = blob_copy(e->data.p, e->data.n);

    entry_unref(e);
    e->blob = own;
    e->data = blob_bytes(own);
}

static bool get_entry(struct reader *head,
                      struct reader *payload,
                      struct blob *b,
                      struct entry *e)
{
    uint32_t n;

    e->term = rd_u64(head);
    e->type = rd_u8(head);
    n = rd_u32(head);
    if (!reader_ok(head) || e->type < ENTRY_COMMAND || e->type > ENTRY_CHANGE ||
        n > LIM_ENTRY || n > payload->n ||
        (e->type == ENTRY_CHANGE && n > RMSG_CONF_MAX)) {
        return false;
    }
    e->data = rd_bytes(payload, n);
    e->blob = blob_ref(b);
    if (e->type == ENTRY_CHANGE) {
        own_change(e);
    }
    return true;
}

static bool get_append(struct reader *r, struct blob *b, struct raft_msg *m)
{
    struct reader payload;
    uint32_t n;

    m->append.prev_index = rd_u64(r);
    m->append.prev_term = rd_u64(r);
    m->append.commit = rd_u64(r);
    n = rd_u32(r);
    if (!reader_ok(r) || n > RMSG_ENTRIES_MAX || r->n / ENTRY_HEAD < n) {
        return false;
    }
    payload = *r;
    (void)rd_bytes(&payload, (size_t)n * ENTRY_HEAD);
    if (payload.n > RMSG_PAYLOAD_MAX) {
        return false;
    }
    m->entries = n == 0 ? NULL : hf_calloc(n, sizeof *m->entries);
    while (m->n_entries < n) {
        if (!get_entry(r, &payload, b, &m->entries[m->n_entries])) {
            return false;
        }
        m->n_entries++;
    }
    *r = payload;
    return true;
}

static bool get_install(struct reader *r, struct snap_meta *s)
{
    struct bytes conf;

    s->index = rd_u64(r);
    s->term = rd_u64(r);
    s->conf_index = rd_u64(r);
    conf = rd_lbytes(r);
    if (!reader_ok(r) || conf.n > RMSG_CONF_MAX) {
        return false;
    }
    s->conf = blob_copy(conf.p, conf.n);
    return true;
}

static bool get_flags(struct reader *r, bool *low, bool *high)
{
    uint8_t f = rd_u8(r);

    *low = (f & 1) != 0;
    *high = (f & 2) != 0;
    return f <= 3;
}

static bool get_body(struct reader *r, struct blob *b, struct raft_msg *m)
{
    switch (m->kind) {
        case RMSG_APPEND:
            return get_append(r, b, m);
        case RMSG_APPEND_RESULT:
            m->append_result.rejected = rd_u64(r);
            m->append_result.last_index = rd_u64(r);
            m->append_result.features = rd_u16(r);
            m->append_result.capacity = rd_u16(r);
            return true;
        case RMSG_VOTE:
            m->vote.candidate = rd_u64(r);
            m->vote.last_index = rd_u64(r);
            m->vote.last_term = rd_u64(r);
            return get_flags(r, &m->vote.disrupt_leader, &m->vote.pre_vote);
        case RMSG_VOTE_RESULT:
            if (!get_flags(r, &m->vote_result.granted,
                           &m->vote_result.pre_vote)) {
                return false;
            }
            m->vote_result.features = rd_u16(r);
            m->vote_result.capacity = rd_u16(r);
            return true;
        case RMSG_INSTALL:
            return get_install(r, &m->install);
        case RMSG_TIMEOUT_NOW:
            m->timeout_now.last_index = rd_u64(r);
            m->timeout_now.last_term = rd_u64(r);
            return true;
        case RMSG_PROBE:
        case RMSG_PROBE_ACK:
            m->probe.round = rd_u64(r);
            m->probe.attempt = rd_u64(r);
            return true;
        default:
            return false;
    }
}

int raft_msg_decode(struct blob *b, struct bytes at, struct raft_msg *out)
{
    struct reader r = reader_of(at);
    struct raft_msg m;
    uint8_t format = rd_u8(&r);

    memset(&m, 0, sizeof m);
    m.kind = rd_u8(&r);
    m.version = rd_u8(&r);
    m.term = rd_u64(&r);
    if (!reader_ok(&r) || format != RMSG_FORMAT) {
        return HF_ECORRUPT;
    }
    if (!get_body(&r, b, &m) || !reader_done(&r)) {
        raft_msg_release(&m);
        return HF_ECORRUPT;
    }
    *out = m;
    return 0;
}

/* ---- copies ---- */

void raft_msg_copy(struct raft_msg *dst, const struct raft_msg *src)
{
    *dst = *src;
    if (src->kind == RMSG_INSTALL) {
        (void)blob_ref(src->install.conf);
    }
    if (src->n_entries > 0) {
        dst->entries = hf_malloc(src->n_entries * sizeof *dst->entries);
        for (unsigned i = 0; i < src->n_entries; i++) {
            dst->entries[i] = src->entries[i];
            entry_ref(&src->entries[i]);
        }
    }
}

void raft_msg_release(struct raft_msg *m)
{
    for (unsigned i = 0; i < m->n_entries; i++) {
        entry_unref(&m->entries[i]);
    }
    free(m->entries);
    m->entries = NULL;
    m->n_entries = 0;
    if (m->kind == RMSG_INSTALL) {
        snap_meta_release(&m->install);
    }
}
