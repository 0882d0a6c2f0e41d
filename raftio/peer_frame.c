#include "raftio/peer_frame.h"

#include <stdio.h>

#include "base/crc32c.h"
#include "base/err.h"
#include "base/mutant.h"

static const uint64_t HELLO_MAGIC = 0x3152454550464848; /* "HHFPEER1" */

void frame_encode(uint8_t out[FRAME_HEADER],
                  const struct frame *f,
                  uint32_t salt)
{
    memset(out, 0, FRAME_HEADER);
    put_u32(out + 4, f->payload_crc);
    put_u32(out + 8, f->payload_len);
    out[12] = (uint8_t)f->kind;
    out[13] = (uint8_t)f->class;
    out[14] = f->type;
    out[15] = f->flags;
    put_u64(out + 16, f->seq);
    put_u32(out + 24, f->message_len);
    put_u32(out, crc32c(salt, out + 4, FRAME_HEADER - 4));
}

int frame_header_decode(struct bytes b, uint32_t salt, struct frame *f)
{
    const uint8_t *p = b.p;

    if (b.n < FRAME_HEADER) {
        return HF_EAGAIN;
    }
    if (get_u32(p) != crc32c(salt, p + 4, FRAME_HEADER - 4) &&
        !mutant(PEER_HEADER_CRC)) {
        return HF_ECORRUPT;
    }
    if (get_u32(p + 8) > FRAME_PAYLOAD_MAX || p[12] < FRAME_HELLO ||
        p[12] > FRAME_MSG || p[13] > PEER_BULK ||
        (p[15] & ~(FRAME_FIRST | FRAME_LAST)) != 0 || get_u32(p + 28) != 0) {
        return HF_ECORRUPT;
    }
    f->payload_crc = get_u32(p + 4);
    f->payload_len = get_u32(p + 8);
    f->kind = (enum frame_kind)p[12];
    f->class = (enum peer_class)p[13];
    f->type = p[14];
    f->flags = p[15];
    f->seq = get_u64(p + 16);
    f->message_len = get_u32(p + 24);
    return 0;
}

int frame_decode(struct bytes b, uint32_t salt, struct frame *f)
{
    struct frame got;
    int rv = frame_header_decode(b, salt, &got);

    if (rv != 0) {
        return rv;
    }
    if (b.n - FRAME_HEADER < got.payload_len) {
        return HF_EAGAIN;
    }
    if (crc32c(0, b.p + FRAME_HEADER, got.payload_len) != got.payload_crc &&
        !mutant(PEER_PAYLOAD_CRC)) {
        return HF_ECORRUPT;
    }
    *f = got;
    return 0;
}

uint32_t frame_salt(uint64_t dialler_nonce,
                    uint64_t acceptor_nonce,
                    bool to_dialler)
{
    uint8_t b[16];
    uint32_t salt;

    put_u64(b, dialler_nonce);
    put_u64(b + 8, acceptor_nonce);
    salt = crc32c(0, b, sizeof b);
    if (mutant(PEER_SALT)) {
        salt = 0;
    }
    return to_dialler ? ~salt : salt;
}

/* ---- handshake ---- */

void hello_encode(struct buf *out, const struct hello *h)
{
    static const uint8_t auth[PEER_AUTH_BYTES];

    buf_u64(out, HELLO_MAGIC);
    buf_u16(out, h->version_min);
    buf_u16(out, h->version_max);
    buf_u8(out, (uint8_t)h->purpose);
    buf_append(out, h->who.cluster_id, PEER_ID_BYTES);
    buf_u64(out, h->who.node_id);
    buf_append(out, h->who.dir_id, PEER_ID_BYTES);
    buf_u64(out, h->expected_id);
    buf_u64(out, h->nonce);
    buf_u32(out, h->features);
    buf_append(out, auth, sizeof auth);
    buf_lbytes(out, bytes_str(h->who.addr));
}

static bool all_zero(const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (p[i] != 0) {
            return false;
        }
    }
    return true;
}

static void read_id(struct reader *r, uint8_t out[PEER_ID_BYTES])
{
    struct bytes b = rd_bytes(r, PEER_ID_BYTES);

    if (b.n == PEER_ID_BYTES) {
        memcpy(out, b.p, PEER_ID_BYTES);
    }
}

int hello_decode(struct bytes b, struct hello *out)
{
    struct reader r = reader_of(b);
    struct hello h;
    struct bytes auth;
    struct bytes addr;
    uint8_t purpose;

    memset(&h, 0, sizeof h);
    if (rd_u64(&r) != HELLO_MAGIC) {
        return HF_ECORRUPT;
    }
    h.version_min = rd_u16(&r);
    h.version_max = rd_u16(&r);
    if (!reader_ok(&r) || h.version_min > h.version_max) {
        return HF_ECORRUPT;
    }
    if (h.version_min > PEER_VERSION_MAX || h.version_max < PEER_VERSION_MIN) {
        out->version_min = h.version_min;
        out->version_max = h.version_max;
        return HF_EVERSION;
    }
    purpose = rd_u8(&r);
    h.purpose = (enum hello_purpose)purpose;
    read_id(&r, h.who.cluster_id);
    h.who.node_id = rd_u64(&r);
    read_id(&r, h.who.dir_id);
    h.expected_id = rd_u64(&r);
    h.nonce = rd_u64(&r);
    h.features = rd_u32(&r);
    auth = rd_bytes(&r, PEER_AUTH_BYTES);
    addr = rd_lbytes(&r);
    if (!reader_ok(&r) || purpose > HELLO_QUESTION || addr.n >= LIM_ADDR ||
        memchr(addr.p, 0, addr.n) != NULL || !all_zero(auth.p, auth.n) ||
        all_zero(h.who.dir_id, PEER_ID_BYTES)) {
        return HF_ECORRUPT;
    }
    memcpy(h.who.addr, addr.p, addr.n);
    /* It ends up in log lines and in answers to clients. */
    for (size_t i = 0; i < addr.n; i++) {
        if (addr.p[i] <= ' ' || addr.p[i] >= 0x7F) {
            return HF_ECORRUPT;
        }
    }
    *out = h;
    return 0;
}

bool peer_ident_blank(const struct peer_ident *w)
{
    return w->node_id == 0 || all_zero(w->cluster_id, PEER_ID_BYTES);
}

static void hex(char out[2 * PEER_ID_BYTES + 1], const uint8_t *id)
{
    for (size_t i = 0; i < PEER_ID_BYTES; i++) {
        snprintf(out + 2 * i, 3, "%02x", id[i]);
    }
}

static const char *differ(char *reason,
                          const char *what,
                          const uint8_t *is,
                          const uint8_t *expected)
{
    char a[2 * PEER_ID_BYTES + 1];
    char b[2 * PEER_ID_BYTES + 1];

    hex(a, is);
    hex(b, expected);
    snprintf(reason, PEER_REASON_MAX, "%s is %s, expected %s", what, a, b);
    return reason;
}

const char *hello_refusal(const struct peer_ident *self,
                          const struct hello *h,
                          uint64_t dialled,
                          const uint8_t *pinned,
                          char reason[PEER_REASON_MAX])
{
    unsigned long long id = (unsigned long long)h->who.node_id;
    char what[48];

    if (peer_ident_blank(self)) {
        snprintf(reason, PEER_REASON_MAX, "the node is in no cluster yet");
        return reason;
    }
    if (peer_ident_blank(&h->who)) {
        snprintf(reason, PEER_REASON_MAX,
                 "the other node is in no cluster yet");
        return reason;
    }
    if (memcmp(self->cluster_id, h->who.cluster_id, PEER_ID_BYTES) != 0 &&
        !mutant(PEER_CLUSTER_ID)) {
        return differ(reason, "cluster id", h->who.cluster_id,
                      self->cluster_id);
    }
    if (h->expected_id != 0 && h->expected_id != self->node_id &&
        !mutant(PEER_EXPECTED_ID)) {
        snprintf(reason, PEER_REASON_MAX, "here is node %llu, not node %llu",
                 (unsigned long long)self->node_id,
                 (unsigned long long)h->expected_id);
        return reason;
    }
    if (dialled != 0 && h->who.node_id != dialled &&
        !mutant(PEER_EXPECTED_ID)) {
        snprintf(reason, PEER_REASON_MAX, "node %llu answered for node %llu",
                 id, (unsigned long long)dialled);
        return reason;
    }
    if (h->who.node_id == self->node_id) {
        snprintf(reason, PEER_REASON_MAX,
                 "node id %llu is already taken by this node", id);
        return reason;
    }
    if (pinned != NULL && memcmp(pinned, h->who.dir_id, PEER_ID_BYTES) != 0 &&
        !mutant(PEER_DIRECTORY_ID)) {
        snprintf(what, sizeof what, "directory id of node %llu", id);
        return differ(reason, what, h->who.dir_id, pinned);
    }
    return NULL;
}
