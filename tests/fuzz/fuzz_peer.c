/* libFuzzer target: bytes of a peer, as frame, handshake, message between
 * drivers and configuration; and for a live transport over a network without
 * sockets, to which they arrive in pieces after an accepted connection; the
 * first byte says how. What is accepted is encoded to the same bytes. */
#include "base/env.h"
#include "raftio/conf.h"
#include "raftio/message.h"
#include "raftio/peer_frame.h"
#include "tests/fuzz/fuzz.h"

/* ---- an environment with one connection and no threads ---- */

static uint64_t now_us;
static void (*accept_cb)(void *data, struct net_conn *c);
static void *accept_data;
static struct net_listener the_listener;
static bool conn_open;

static uint64_t fake_now(struct env *e)
{
    (void)e;
    return now_us;
}

static void fake_random(struct env *e, void *p, size_t n)
{
    (void)e;
    memset(p, 42, n);
}

static int fake_listen(struct env *e,
                       const char *hostport,
                       void (*on_accept)(void *data, struct net_conn *c),
                       void *data,
                       struct net_listener **out,
                       struct errmsg *em)
{
    (void)hostport;
    (void)em;
    accept_cb = on_accept;
    accept_data = data;
    the_listener.env = e;
    *out = &the_listener;
    return 0;
}

static void fake_unlisten(struct net_listener *l)
{
    (void)l;
}

static void fake_write(struct net_conn *c, const void *p, size_t n)
{
    (void)p;
    (void)n;
    hf_assert(conn_open && c != NULL);
}

static size_t fake_pending(const struct net_conn *c)
{
    (void)c;
    return 0;
}

static void fake_close(struct net_conn *c)
{
    (void)c;
    hf_assert(conn_open);
    conn_open = false;
}

static const struct env_ops fake_ops = {
    .now_us = fake_now,
    .random = fake_random,
    .listen = fake_listen,
    .unlisten = fake_unlisten,
    .write = fake_write,
    .pending = fake_pending,
    .close = fake_close,
};

static void on_message(void *data,
                       uint64_t from,
                       uint8_t type,
                       struct blob *payload)
{
    volatile uint8_t sum = type;

    (void)data;
    hf_assert(from != 0);
    for (size_t i = 0; i < payload->n; i++) {
        sum = (uint8_t)(sum + payload->d[i]);
    }
}

static void on_anon(void *data,
                    struct peer_anon *h,
                    const struct peer_ident *who,
                    uint8_t type,
                    struct blob *payload)
{
    (void)data;
    (void)type;
    hf_assert(memchr(who->addr, 0, sizeof who->addr) != NULL);
    peer_anon_reply(h, 1, blob_bytes(payload));
}

static const struct peer_cbs cbs = {.on_message = on_message,
                                    .on_anon = on_anon};

/* ---- input ---- */

static void feed(struct net_conn *c, const uint8_t *p, size_t n, size_t step)
{
    while (conn_open && n > 0) {
        size_t k = n < step ? n : step;
        uint8_t *copy = fuzz_copy(bytes_of(p, k));

        c->cbs->on_read(c, copy, k);
        free(copy);
        p += k;
        n -= k;
        now_us += 1000;
    }
}

/* A handshake in front, so that the fuzzer starts behind the checksums. */
static void greet(struct buf *b, uint8_t purpose)
{
    struct hello h = {.version_min = 1, .version_max = 1};
    struct buf payload = BUF_INIT;
    struct frame f = {.kind = FRAME_HELLO, .seq = 1};
    uint8_t head[FRAME_HEADER];
    uint64_t nonce;

    h.purpose = purpose % 2 == 0 ? HELLO_MEMBER : HELLO_QUESTION;
    memset(h.who.cluster_id, 7, PEER_ID_BYTES);
    memset(h.who.dir_id, 8, PEER_ID_BYTES);
    h.who.node_id = 2;
    hello_encode(&payload, &h);
    f.payload_len = (uint32_t)payload.n;
    f.payload_crc = crc32c(0, payload.p, payload.n);
    frame_encode(head, &f, 0);
    buf_append(b, head, sizeof head);
    buf_bytes_append(b, buf_bytes(&payload));
    buf_release(&payload);
    memset(&nonce, 42, sizeof nonce);
    f = (struct frame){.kind = FRAME_READY, .seq = 2};
    frame_encode(head, &f, frame_salt(0, nonce, false));
    buf_append(b, head, sizeof head);
}

/* The rest of the input as frames with right checksums: u8 kind, class, type,
 * flags, u16 message length, u8 payload length, payload. */
static void frames(struct buf *b, struct reader r)
{
    uint64_t nonce;
    uint64_t seq = 2;

    memset(&nonce, 42, sizeof nonce);
    while (r.n > 7) {
        struct frame f = {.kind = (enum frame_kind)(rd_u8(&r) % 8)};
        uint8_t head[FRAME_HEADER];
        struct bytes payload;

        f.class = (enum peer_class)(rd_u8(&r) % 3);
        f.type = rd_u8(&r);
        f.flags = rd_u8(&r) % 5;
        f.message_len = rd_u16(&r);
        payload.n = rd_u8(&r);
        payload = rd_bytes(&r, payload.n < r.n ? payload.n : r.n);
        f.seq = ++seq;
        f.payload_len = (uint32_t)payload.n;
        f.payload_crc = crc32c(0, payload.p, payload.n);
        frame_encode(head, &f, frame_salt(0, nonce, false));
        buf_append(b, head, sizeof head);
        buf_bytes_append(b, payload);
    }
}

static void transport(uint8_t how, const uint8_t *data, size_t size)
{
    struct env e;
    struct peer_config c = {.env = &e, .silence_ms = 300, .cbs = &cbs};
    struct net_conn conn = {.env = &e, .remote = "fuzz"};
    struct buf b = BUF_INIT;
    struct peer_net *p;

    env_init(&e, &fake_ops);
    now_us = 1;
    memset(c.self.cluster_id, 7, PEER_ID_BYTES);
    memset(c.self.dir_id, 9, PEER_ID_BYTES);
    c.self.node_id = 1;
    p = peer_new(&c);
    (void)peer_listen(p, "x:1", NULL);
    conn_open = true;
    accept_cb(accept_data, &conn);
    if (how % 4 != 0) {
        greet(&b, how / 4);
    }
    if (how % 4 == 2) {
        frames(&b, reader_of(bytes_of(data, size)));
    } else {
        buf_append(&b, data, size);
    }
    feed(&conn, b.p, b.n, 1 + how % 61);
    now_us += 2000000;
    env_turn(&e);
    peer_free(p);
    env_release(&e);
    buf_release(&b);
}

/* ---- decoders ---- */

static void fuzz_frame(struct bytes b)
{
    uint8_t head[FRAME_HEADER];
    uint8_t *p = fuzz_copy(b);
    struct frame f;

    if (b.n >= FRAME_HEADER) {
        put_u32(p, crc32c(0, p + 4, FRAME_HEADER - 4));
    }
    if (frame_header_decode(bytes_of(p, b.n), 0, &f) == 0) {
        frame_encode(head, &f, 0);
        hf_assert(memcmp(head, p, sizeof head) == 0);
    }
    (void)frame_decode(bytes_of(p, b.n), 0, &f);
    free(p);
}

static void fuzz_hello(struct bytes b)
{
    struct peer_ident self = {{7}, 1, {9}, "x:1"};
    char reason[PEER_REASON_MAX];
    struct buf again = BUF_INIT;
    struct hello h;

    if (hello_decode(b, &h) != 0) {
        return;
    }
    (void)hello_refusal(&self, &h, 0, NULL, reason);
    hello_encode(&again, &h);
    hf_assert(again.n <= b.n && memcmp(again.p, b.p, again.n) == 0);
    buf_release(&again);
}

static void fuzz_message(struct bytes b)
{
    struct blob *blob = blob_copy(b.p, b.n);
    struct buf again = BUF_INIT;
    struct raft_msg m;

    if (raft_msg_decode(blob, blob_bytes(blob), &m) == 0) {
        raft_msg_encode(&m, &again);
        for (unsigned i = 0; i < m.n_entries; i++) {
            buf_bytes_append(&again, m.entries[i].data);
        }
        hf_assert(bytes_eq(buf_bytes(&again), b));
        raft_msg_release(&m);
    }
    buf_release(&again);
    blob_unref(blob);
}

static void fuzz_conf(struct bytes b)
{
    struct conf c;
    struct conf back;
    struct blob *again;

    if (conf_decode(b, &c) != 0) {
        return;
    }
    hf_assert(c.n >= 1 && c.n <= LIM_NODES && conf_voters(&c) >= 1);
    again = conf_encode(&c);
    hf_assert(conf_decode(blob_bytes(again), &back) == 0 && back.n == c.n);
    for (unsigned i = 0; i < c.n; i++) {
        hf_assert(back.m[i].id == c.m[i].id && back.m[i].role == c.m[i].role);
    }
    blob_unref(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes b;

    if (size == 0) {
        return 0;
    }
    b = bytes_of(data + 1, size - 1);
    fuzz_frame(b);
    fuzz_hello(b);
    fuzz_message(b);
    fuzz_conf(b);
    transport(data[0], b.p, b.n);
    return 0;
}
