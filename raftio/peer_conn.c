/* One connection of the peer transport: handshake, frames, reassembly. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/crc32c.h"
#include "base/err.h"
#include "base/mutant.h"
#include "raftio/peer_int.h"

enum {
    LOG_WINDOW_US = 10 * 1000 * 1000,
    SAME_REFUSAL_US = 60 * 1000 * 1000, /* repeated line for an old reason */
    ANSWER_LINGER_MS = 2000,            /* for the asker to take the answer */
    MSG_FIRST_ROOM = 1 << 20, /* claimed lengths get memory as bytes come */
};

void peer_note(struct peer_net *p, const char *fmt, ...)
{
    uint64_t now = env_now_us(p->env);
    char text[PEER_REASON_MAX + 200];
    va_list ap;

    if (now - p->log_window_us >= LOG_WINDOW_US) {
        if (p->log_hidden > 0) {
            log_warn(p->log, "peer: %u more lines like these left out",
                     p->log_hidden);
        }
        p->log_window_us = now;
        p->log_lines = p->log_hidden = 0;
    }
    if (p->log_lines >= PEER_LOG_BURST) {
        p->log_hidden++;
        return;
    }
    p->log_lines++;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    log_warn(p->log, "peer: %s", text);
}

struct pconn *pconn_new(struct peer_net *p, struct net_conn *c, bool dialled)
{
    struct pconn *pc = hf_calloc(1, sizeof *pc);
    uint64_t now = env_now_us(p->env);

    pc->p = p;
    pc->c = c;
    pc->dialled = dialled;
    pc->state = dialled ? PCONN_CONNECTING : PCONN_WAIT_HELLO;
    pc->deadline_us = now + PEER_HANDSHAKE_MS * 1000ULL;
    pc->last_in_us = pc->last_out_us = now;
    env_random(p->env, &pc->nonce, sizeof pc->nonce);
    c->cbs = &pconn_cbs;
    c->data = pc;
    pc->next = p->conns;
    p->conns = pc;
    return pc;
}

/* From here on the connection is only memory until the turn's end: callers up
 * the stack may still look at its state. */
static void pconn_die(struct pconn *pc, bool close_socket)
{
    hf_assert(pc->state != PCONN_DEAD);
    if (close_socket) {
        net_close(pc->c);
    }
    pc->c = NULL;
    pc->state = PCONN_DEAD;
    if (pc->anon != NULL) {
        pc->anon->pc = NULL;
        pc->anon = NULL;
    }
    blob_unref(pc->msg);
    pc->msg = NULL;
    buf_release(&pc->in);
    env_defer(pc->p->env, &pc->p->reap);
}

void pconn_kill(struct pconn *pc)
{
    if (pc->state == PCONN_DEAD) {
        return;
    }
    if (pc->m != NULL) {
        (void)member_forget(pc->m, pc);
        pc->m = NULL;
    }
    if (pc->ask != NULL) {
        pc->ask->pc = NULL;
        pc->ask = NULL;
    }
    pconn_die(pc, true);
}

/* Tell whoever dialled it that it is gone. */
static void pconn_detach(struct pconn *pc,
                         bool refused_connect,
                         int code,
                         const char *why)
{
    struct member *m = pc->m;
    struct peer_ask *ask = pc->ask;

    pc->m = NULL;
    pc->ask = NULL;
    if (m != NULL) {
        bool was_out = member_forget(m, pc);

        member_lost(m, was_out, refused_connect, why);
    }
    if (ask != NULL) {
        ask->pc = NULL;
        ask_finish(ask, code, NULL, 0, NULL, why);
    }
}

void pconn_close(struct pconn *pc, int code, const char *why)
{
    if (pc->state == PCONN_DEAD) {
        return;
    }
    pconn_die(pc, true);
    pconn_detach(pc, false, code, why);
}

/* The other side broke the rules. */
static void pconn_bad(struct pconn *pc, const char *what)
{
    pc->p->bad_connections++;
    if (peer_ident_blank(&pc->other.who)) {
        peer_note(pc->p, "connection %s %s closed: %s",
                  pc->dialled ? "to" : "from", pc->c->remote, what);
    } else {
        peer_note(pc->p, "connection %s %s (node %llu) closed: %s",
                  pc->dialled ? "to" : "from", pc->c->remote,
                  (unsigned long long)pc->other.who.node_id, what);
    }
    pconn_close(pc, HF_ECORRUPT, what);
}

/* ---- output ---- */

void pconn_frame(struct pconn *pc,
                 const struct frame *f,
                 const struct bytes *parts,
                 size_t n)
{
    struct frame out = *f;
    uint8_t head[FRAME_HEADER];

    out.payload_crc = 0;
    out.payload_len = 0;
    for (size_t i = 0; i < n; i++) {
        out.payload_crc = crc32c(out.payload_crc, parts[i].p, parts[i].n);
        out.payload_len += (uint32_t)parts[i].n;
    }
    hf_assert(out.payload_len <= FRAME_PAYLOAD_MAX);
    out.seq = ++pc->seq_out;
    frame_encode(head, &out, pc->salt_out);
    net_write(pc->c, head, sizeof head);
    for (size_t i = 0; i < n; i++) {
        net_write(pc->c, parts[i].p, parts[i].n);
    }
    pc->last_out_us = env_now_us(pc->p->env);
}

void pconn_message(struct pconn *pc, uint8_t type, struct bytes b)
{
    size_t at = 0;

    do {
        size_t n = b.n - at < FRAME_PAYLOAD_MAX ? b.n - at : FRAME_PAYLOAD_MAX;
        struct bytes part = bytes_of(b.p + at, n);
        struct frame f = {.kind = FRAME_MSG,
                          .class = PEER_BULK,
                          .type = type,
                          .message_len = (uint32_t)b.n};

        f.flags = (uint8_t)((at == 0 ? FRAME_FIRST : 0) |
                            (at + n == b.n ? FRAME_LAST : 0));
        pconn_frame(pc, &f, &part, n == 0 ? 0 : 1);
        at += n;
    } while (at < b.n);
}

static void send_hello(struct pconn *pc, enum frame_kind kind)
{
    struct peer_net *p = pc->p;
    struct hello h = {.version_min = PEER_VERSION_MIN,
                      .version_max = PEER_VERSION_MAX,
                      .who = p->self,
                      .nonce = pc->nonce};
    struct buf b = BUF_INIT;
    struct frame f = {.kind = kind};
    struct bytes part;

    h.purpose = pc->ask != NULL ? HELLO_QUESTION : HELLO_MEMBER;
    h.expected_id = pc->m != NULL ? pc->m->id : 0;
    hello_encode(&b, &h);
    part = buf_bytes(&b);
    pconn_frame(pc, &f, &part, 1);
    buf_release(&b);
}

/* ---- refusals ---- */

static void tell_refused(struct pconn *pc, bool by_us, const char *reason)
{
    struct peer_net *p = pc->p;
    uint64_t now = env_now_us(p->env);
    uint64_t id = pc->m != NULL ? pc->m->id : pc->other.who.node_id;
    char *last = p->last_refusal;

    if (pc->ask != NULL) {
        return; /* its asker is told */
    }
    if (pc->m != NULL) {
        last = pc->m->stats.refused;
    } else if (now - p->last_refusal_us > SAME_REFUSAL_US) {
        last[0] = '\0';
    }
    if (strcmp(last, reason) == 0) {
        return; /* said already; every redial would say it again */
    }
    snprintf(last, PEER_REASON_MAX, "%s", reason);
    if (pc->m == NULL) {
        p->last_refusal_us = now;
    }
    peer_note(p, "%s %s %s: %s", by_us ? "refused" : "refused by",
              pc->dialled ? "node at" : "connection from",
              pc->c != NULL ? pc->c->remote : "?", reason);
    if (p->cbs->on_refused != NULL) {
        p->cbs->on_refused(p->data, id, by_us, reason);
    }
}

/* Say why, give it time to arrive, close. */
static void refuse(struct pconn *pc, const char *reason)
{
    struct frame f = {.kind = FRAME_REFUSE};
    struct bytes part = bytes_str(reason);

    pconn_frame(pc, &f, &part, 1);
    pc->state = PCONN_LINGER;
    pc->deadline_us = env_now_us(pc->p->env) + PEER_LINGER_MS * 1000ULL;
    tell_refused(pc, true, reason);
    pconn_detach(pc, false, HF_EIDENTITY, reason);
}

static void refused_by_other(struct pconn *pc, struct bytes b)
{
    char reason[PEER_REASON_MAX];
    size_t n = b.n < sizeof reason ? b.n : sizeof reason - 1;

    for (size_t i = 0; i < n; i++) {
        reason[i] = b.p[i] >= ' ' && b.p[i] < 0x7F ? (char)b.p[i] : '?';
    }
    reason[n] = '\0';
    tell_refused(pc, false, reason);
    pconn_close(pc, HF_EIDENTITY, reason);
}

/* ---- handshake ---- */

/* Decode the other's identity; false: the connection has ended. */
static bool take_hello(struct pconn *pc, struct bytes payload)
{
    struct hello h = {0};
    char reason[PEER_REASON_MAX];
    int rv = hello_decode(payload, &h);

    if (rv == HF_EVERSION) {
        snprintf(reason, sizeof reason,
                 "the other node speaks versions %u to %u, this one %u to %u",
                 h.version_min, h.version_max, PEER_VERSION_MIN,
                 PEER_VERSION_MAX);
        refuse(pc, reason);
        return false;
    }
    if (rv != 0) {
        pconn_bad(pc, "malformed handshake");
        return false;
    }
    pc->other = h;
    return true;
}

/* Another live connection, in either direction, whose node has the same id
 * but lives in another directory or at another address: one of the two is a
 * copy. A node that has moved is let in when its old connections are gone:
 * at once if its process ended, else after silence_ms. */
static const struct pconn *live_twin(const struct pconn *pc)
{
    const struct peer_ident *who = &pc->other.who;
    uint64_t now = env_now_us(pc->p->env);

    for (const struct pconn *o = pc->p->conns; o != NULL; o = o->next) {
        const struct peer_ident *w = &o->other.who;

        if (o == pc || o->state != PCONN_UP ||
            o->other.purpose != HELLO_MEMBER || o->ask != NULL ||
            w->node_id != who->node_id) {
            continue;
        }
        if (memcmp(w->dir_id, who->dir_id, PEER_ID_BYTES) != 0 &&
            !mutant(PEER_DIRECTORY_ID)) {
            return o;
        }
        if (strcmp(w->addr, who->addr) != 0 &&
            now - o->last_in_us <= pc->p->silence_ms * 1000ULL &&
            !mutant(PEER_COPY)) {
            return o;
        }
    }
    return NULL;
}

/* True when the other side may be talked to as a member. */
static bool check_member(struct pconn *pc)
{
    struct member *m = member_find(pc->p, pc->other.who.node_id);
    const uint8_t *pinned = m != NULL && m->dir_known ? m->dir_id : NULL;
    const struct pconn *twin;
    char reason[PEER_REASON_MAX];

    if (hello_refusal(&pc->p->self, &pc->other, pc->m != NULL ? pc->m->id : 0,
                      pinned, reason) != NULL) {
        refuse(pc, reason);
        return false;
    }
    twin = live_twin(pc);
    if (twin != NULL) {
        bool copy = memcmp(twin->other.who.dir_id, pc->other.who.dir_id,
                           PEER_ID_BYTES) == 0;

        snprintf(reason, sizeof reason,
                 copy ? "node %llu is alive at %.100s: a copy of it is not "
                        "let in"
                      : "node %llu is connected from another data directory "
                        "(%.100s)",
                 (unsigned long long)pc->other.who.node_id,
                 twin->other.who.addr);
        refuse(pc, reason);
        return false;
    }
    return true;
}

static void salt_set(struct pconn *pc)
{
    uint64_t d = pc->dialled ? pc->nonce : pc->other.nonce;
    uint64_t a = pc->dialled ? pc->other.nonce : pc->nonce;

    pc->salt_in = frame_salt(d, a, pc->dialled);
    pc->salt_out = frame_salt(d, a, !pc->dialled);
}

static void accept_hello(struct pconn *pc, struct bytes payload)
{
    if (!take_hello(pc, payload)) {
        return;
    }
    if (pc->other.purpose == HELLO_MEMBER && !check_member(pc)) {
        return;
    }
    send_hello(pc, FRAME_WELCOME);
    salt_set(pc);
    pc->state = PCONN_WAIT_READY;
}

static void moved(struct peer_net *p, const struct peer_ident *who)
{
    struct member *m = member_find(p, who->node_id);

    if (who->addr[0] == '\0' || who->node_id == p->self.node_id) {
        return;
    }
    if (m == NULL) {
        /* A leader that this node's log does not know yet: without an answer
         * it could never send the entries that tell of it. */
        member_meet(p, who);
        return;
    }
    if (strcmp(m->addr, who->addr) == 0) {
        m->hint[0] = '\0';
        m->use_hint = false;
        return;
    }
    if (strcmp(m->hint, who->addr) == 0) {
        return;
    }
    snprintf(m->hint, sizeof m->hint, "%s", who->addr);
    log_info(p->log, "peer: node %llu announces %s, its record says %s",
             (unsigned long long)m->id, m->hint, m->addr);
    if (p->cbs->on_moved != NULL) {
        p->cbs->on_moved(p->data, m->id, who->addr);
    }
}

/* The dialler has proved that it reads us. Only now do its older connections
 * go, and they go before this one is read: nothing overtakes. */
static void accept_ready(struct pconn *pc)
{
    pc->state = PCONN_UP;
    pc->deadline_us = 0;
    if (pc->other.purpose != HELLO_MEMBER) {
        return;
    }
    for (struct pconn *o = pc->p->conns; o != NULL; o = o->next) {
        if (o != pc && !o->dialled && o->state == PCONN_UP &&
            o->other.purpose == HELLO_MEMBER &&
            o->other.who.node_id == pc->other.who.node_id &&
            !mutant(PEER_OLD_KEPT)) {
            log_debug(pc->p->log, "peer: node %llu has a new connection",
                      (unsigned long long)pc->other.who.node_id);
            pconn_close(o, HF_ECLOSED, "replaced");
        }
    }
    moved(pc->p, &pc->other.who);
    member_reachable(pc->p, pc->other.who.node_id);
}

static void dial_welcome(struct pconn *pc, struct bytes payload)
{
    struct frame f = {.kind = FRAME_READY};

    if (!take_hello(pc, payload)) {
        return;
    }
    salt_set(pc);
    if (pc->m != NULL && !check_member(pc)) {
        return;
    }
    pconn_frame(pc, &f, NULL, 0);
    pc->state = PCONN_UP;
    pc->deadline_us = 0;
    if (pc->ask != NULL) {
        pconn_message(pc, pc->ask->type, buf_bytes(&pc->ask->question));
    } else {
        member_up(pc->m, pc);
    }
}

/* ---- messages ---- */

static void deliver(struct pconn *pc, uint8_t type, struct blob *b)
{
    struct peer_net *p = pc->p;

    if (pc->ask != NULL) {
        struct peer_ask *ask = pc->ask;
        struct peer_ident who = pc->other.who;

        pc->ask = NULL;
        ask->pc = NULL;
        pconn_close(pc, 0, "answered");
        ask_finish(ask, 0, &who, type, b, NULL);
    } else if (pc->other.purpose == HELLO_QUESTION) {
        struct peer_anon *h = pc->anon == NULL ? anon_new(pc) : NULL;

        if (h == NULL) {
            pconn_bad(pc, "too many questions");
            return;
        }
        p->cbs->on_anon(p->data, h, &pc->other.who, type, b);
    } else {
        struct member *m = member_find(p, pc->other.who.node_id);

        if (m != NULL) {
            m->stats.received_messages++;
        }
        p->cbs->on_message(p->data, pc->other.who.node_id, type, b);
    }
}

/* Room for @n more bytes of the message; the claimed total is only believed
 * as its bytes arrive. */
static void msg_reserve(struct pconn *pc, size_t n)
{
    size_t need = pc->msg_have + n;
    size_t room = pc->msg_room;

    if (need <= room) {
        return;
    }
    room = room == 0 ? MSG_FIRST_ROOM : room * 2;
    room = room < need ? need : room;
    room = room > pc->msg_total ? pc->msg_total : room;
    if (pc->msg == NULL) {
        pc->msg = blob_new(room);
    } else {
        pc->msg = hf_realloc(pc->msg, sizeof *pc->msg + room);
    }
    pc->msg_room = room;
}

static void take_piece(struct pconn *pc,
                       const struct frame *f,
                       struct bytes payload)
{
    size_t max = pc->ask != NULL || pc->other.purpose == HELLO_QUESTION
                     ? PEER_ANON_MSG_MAX
                     : PEER_MSG_MAX;
    bool first = (f->flags & FRAME_FIRST) != 0;
    struct blob *b;

    if (f->message_len > max) {
        pconn_bad(pc, "message too large");
        return;
    }
    if (first != (pc->msg == NULL) ||
        (!first &&
         (f->message_len != pc->msg_total || f->type != pc->msg_type))) {
        pconn_bad(pc, "pieces of messages mixed");
        return;
    }
    if (first) {
        pc->msg_total = f->message_len;
        pc->msg_have = pc->msg_room = 0;
        pc->msg_type = f->type;
    }
    if (payload.n == 0 || payload.n > pc->msg_total - pc->msg_have) {
        pconn_bad(pc, "message longer than it says");
        return;
    }
    msg_reserve(pc, payload.n);
    memcpy(pc->msg->d + pc->msg_have, payload.p, payload.n);
    pc->msg_have += payload.n;
    if (((f->flags & FRAME_LAST) != 0) != (pc->msg_have == pc->msg_total)) {
        pconn_bad(pc, "message shorter than it says");
        return;
    }
    if (pc->msg_have < pc->msg_total) {
        return;
    }
    b = pc->msg;
    b->n = pc->msg_total;
    pc->msg = NULL;
    deliver(pc, pc->msg_type, b);
    blob_unref(b);
}

static void take_message(struct pconn *pc,
                         const struct frame *f,
                         struct bytes payload)
{
    struct blob *b;

    if (pc->m != NULL) {
        pconn_bad(pc, "message on a connection that only receives");
        return;
    }
    if ((f->flags & FRAME_FIRST) == 0 || (f->flags & FRAME_LAST) == 0) {
        if (f->class != PEER_BULK) {
            pconn_bad(pc, "a small message in pieces");
            return;
        }
        take_piece(pc, f, payload);
        return;
    }
    if (f->message_len != payload.n ||
        (f->class == PEER_BULK && pc->msg != NULL)) {
        pconn_bad(pc, "message length is wrong");
        return;
    }
    b = blob_copy(payload.p, payload.n);
    deliver(pc, f->type, b);
    blob_unref(b);
}

/* ---- input ---- */

static void take_frame(struct pconn *pc,
                       const struct frame *f,
                       struct bytes payload)
{
    bool handshake = pc->state != PCONN_UP;

    if (f->seq != pc->seq_in + 1 && !mutant(PEER_SEQ)) {
        pconn_bad(pc, "frame lost or replayed");
        return;
    }
    pc->seq_in = f->seq;
    if (handshake && f->kind == FRAME_REFUSE && pc->state != PCONN_WAIT_HELLO) {
        refused_by_other(pc, payload);
    } else if (pc->state == PCONN_WAIT_HELLO && f->kind == FRAME_HELLO) {
        accept_hello(pc, payload);
    } else if (pc->state == PCONN_WAIT_READY && f->kind == FRAME_READY) {
        accept_ready(pc);
    } else if (pc->state == PCONN_HELLO_SENT && f->kind == FRAME_WELCOME) {
        dial_welcome(pc, payload);
    } else if (pc->state == PCONN_UP && f->kind == FRAME_PING) {
        pc->unheard = f->type == PING_UNHEARD && !mutant(PEER_DEAF);
    } else if (pc->state == PCONN_UP && f->kind == FRAME_MSG) {
        take_message(pc, f, payload);
    } else {
        pconn_bad(pc, "unexpected frame");
    }
}

/* Bytes of the frame that @b begins, as far as known; 0: it is bad. */
static size_t frame_need(struct pconn *pc, struct bytes b)
{
    struct frame f;
    int rv = frame_header_decode(b, pc->salt_in, &f);

    if (rv == HF_EAGAIN) {
        return FRAME_HEADER;
    }
    if (rv != 0 || (pc->state != PCONN_UP && f.payload_len > FRAME_HELLO_MAX)) {
        return 0;
    }
    return FRAME_HEADER + f.payload_len;
}

static bool alive(const struct pconn *pc)
{
    return pc->state != PCONN_DEAD && pc->state != PCONN_LINGER;
}

/* Take one whole frame from the front of @b; returns its bytes, 0 if there
 * is none yet or the connection has ended. */
static size_t take_one(struct pconn *pc, struct bytes b)
{
    struct frame f;
    size_t need = frame_need(pc, b);
    int rv;

    if (need == 0) {
        pconn_bad(pc, "not a frame of this protocol");
        return 0;
    }
    if (b.n < need) {
        return 0;
    }
    rv = frame_decode(b, pc->salt_in, &f);
    if (rv != 0) {
        pconn_bad(pc, "frame checksum is wrong");
        return 0;
    }
    take_frame(pc, &f, bytes_of(b.p + FRAME_HEADER, f.payload_len));
    return need;
}

/* Complete the frame that began in an earlier read, taking no more bytes
 * from @b than it needs. */
static void fill_half(struct pconn *pc, struct bytes *b)
{
    while (alive(pc) && pc->in.n > 0 && b->n > 0) {
        size_t need = frame_need(pc, buf_bytes(&pc->in));
        size_t n = need > pc->in.n ? need - pc->in.n : 0;
        struct buf whole;

        n = n < b->n ? n : b->n;
        buf_append(&pc->in, b->p, n);
        b->p += n;
        b->n -= n;
        if (need != 0 && pc->in.n < need) {
            return;
        }
        if (need == FRAME_HEADER &&
            frame_need(pc, buf_bytes(&pc->in)) > FRAME_HEADER) {
            continue; /* the header is complete: now its payload */
        }
        whole = pc->in; /* taking it may end the connection and its buffer */
        buf_init(&pc->in);
        take_one(pc, buf_bytes(&whole));
        buf_release(&whole);
    }
}

static void on_read(struct net_conn *c, const uint8_t *p, size_t n)
{
    struct pconn *pc = c->data;
    struct bytes b = bytes_of(p, n);
    struct member *m = member_find(pc->p, pc->other.who.node_id);
    size_t used;

    pc->last_in_us = env_now_us(pc->p->env);
    if (m != NULL && pc->state == PCONN_UP) {
        m->stats.received_bytes += n;
    }
    if (!alive(pc)) {
        return;
    }
    fill_half(pc, &b);
    while (alive(pc) && pc->in.n == 0 && b.n > 0) {
        used = take_one(pc, b);
        if (used == 0) {
            break;
        }
        b.p += used;
        b.n -= used;
        pc->half_since_us = 0;
    }
    if (alive(pc) && pc->in.n == 0 && b.n > 0) {
        buf_append(&pc->in, b.p, b.n);
        pc->half_since_us = pc->last_in_us;
    }
}

static void on_open(struct net_conn *c)
{
    struct pconn *pc = c->data;

    pc->state = PCONN_HELLO_SENT;
    pc->last_in_us = env_now_us(pc->p->env);
    pc->deadline_us = pc->last_in_us + PEER_HANDSHAKE_MS * 1000ULL;
    send_hello(pc, FRAME_HELLO);
}

static void on_drain(struct net_conn *c)
{
    struct pconn *pc = c->data;

    if (pc->m != NULL && pc->state == PCONN_UP) {
        member_feed(pc->m);
    }
}

static void on_close(struct net_conn *c, int code)
{
    struct pconn *pc = c->data;
    bool refused = pc->state == PCONN_CONNECTING && code == HF_ECLOSED;
    char why[80];

    snprintf(why, sizeof why, "%s",
             refused     ? "connection refused"
             : code == 0 ? "closed by the other side"
                         : hf_strerror(code));
    pconn_die(pc, false);
    pconn_detach(pc, refused, code == 0 ? HF_ECLOSED : code, why);
}

const struct net_conn_cbs pconn_cbs = {
    .on_open = on_open,
    .on_read = on_read,
    .on_drain = on_drain,
    .on_close = on_close,
};

/* ---- time ---- */

/* How long it may be silent. One that carries messages is kept, at both ends,
 * while others are dialled beside it. */
static uint64_t patience_us(const struct pconn *pc)
{
    bool kept = pc->ask == NULL && pc->other.purpose == HELLO_MEMBER &&
                !mutant(PEER_OLD_DROPPED);

    return pc->p->silence_ms * 1000ULL * (kept ? PEER_SILENCES_MAX : 1);
}

void pconn_tick(struct pconn *pc, uint64_t now)
{
    struct peer_net *p = pc->p;
    struct frame ping = {.kind = FRAME_PING};

    if (pc->state == PCONN_DEAD) {
        return;
    }
    if (pc->deadline_us != 0 && now >= pc->deadline_us) {
        if (pc->state == PCONN_LINGER) {
            pconn_close(pc, HF_ECLOSED, "done");
        } else if (pc->dialled) {
            pconn_close(pc, HF_ETIMEOUT, "no answer to the handshake");
        } else {
            pconn_bad(pc, "no handshake in time");
        }
        return;
    }
    if (pc->state != PCONN_UP) {
        return;
    }
    if (pc->in.n > 0 && now - pc->half_since_us > PEER_FRAME_MS * 1000ULL &&
        !mutant(PEER_HALF_FRAME)) {
        pconn_bad(pc, "half a frame, then nothing for long");
        return;
    }
    if (now - pc->last_in_us > patience_us(pc) && !mutant(PEER_SILENCE)) {
        pconn_close(pc, HF_ETIMEOUT, "silent for too long");
        return;
    }
    if (now - pc->last_in_us > p->silence_ms * 1000ULL) {
        ping.type = PING_UNHEARD;
    }
    if (now - pc->last_out_us >= p->ping_ms * 500ULL) {
        pconn_frame(pc, &ping, NULL, 0);
    }
}
