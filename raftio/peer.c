/* Peer transport: members, sending, questions. Connections: peer_conn.c. */
#include "raftio/peer.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mutant.h"
#include "raftio/peer_int.h"

enum {
    FEED_MARK = 64 << 10,    /* socket bytes above which BULK waits its turn */
    STABLE_US = 1000 * 1000, /* up this long: the next redial is at once */
    DIAL_LONG = 4,           /* every so manieth dial is patient */
    DIAL_NEW_US = 20 * 1000, /* a younger dial is left to itself */
    REDIAL_SOON_US = 2 * 1000, /* a refusal of it may start an election */
};

/* ---- members ---- */

struct member *member_find(struct peer_net *p, uint64_t id)
{
    for (size_t i = 0; id != 0 && i < LIM_NODES; i++) {
        if (p->members[i].id == id) {
            return &p->members[i];
        }
    }
    return NULL;
}

static bool member_is_up(const struct member *m)
{
    return m->out != NULL && m->out->state == PCONN_UP;
}

static void queue_clear(struct member *m, bool lost)
{
    while (m->head != NULL) {
        struct queued *q = m->head;

        m->head = q->next;
        m->stats.dropped += lost ? 1 : 0;
        free(q);
    }
    m->tail = NULL;
    m->queued_bytes = 0;
}

/* Nothing came for so long, there or here, that another connection should be
 * tried. */
static bool member_stalls(const struct member *m)
{
    return m->out != NULL &&
           (m->out->unheard || env_now_us(m->p->env) - m->out->last_in_us >
                                   m->p->silence_ms * 1000ULL);
}

static void redial_in(struct member *m, uint64_t us)
{
    if (mutant(PEER_NO_REDIAL) && m->stats.connects > 0) {
        return;
    }
    env_timer_start(m->p->env, &m->redial, env_now_us(m->p->env) + us);
}

/* A dial into a cut wire is given up soon: the kernel would try again only
 * after a second. Each few a longer one, for slow names and far nodes, which
 * has only the connect's own time-out; the handshake starts after that. */
static uint64_t dial_patience_us(struct member *m, struct pconn *pc)
{
    bool patient = m->dials_n++ % DIAL_LONG == DIAL_LONG - 1;

    for (unsigned i = 0; i < PEER_DIALS_MAX; i++) {
        patient = patient && (m->dials[i] == NULL || !m->dials[i]->patient);
    }
    pc->patient = patient;
    return patient ? (NET_CONNECT_TIMEOUT_MS + PEER_HANDSHAKE_MS) * 1000ULL
                   : m->p->silence_ms * 500ULL;
}

static void dial_start(struct member *m, struct pconn **slot)
{
    struct peer_net *p = m->p;
    bool hinted = m->use_hint && m->hint[0] != '\0';
    struct pconn *pc =
        pconn_new(p,
                  net_connect(p->env, hinted ? m->hint : m->addr,
                              p->bind_host[0] != '\0' ? p->bind_host : NULL),
                  true);

    pc->m = m;
    pc->hinted = hinted;
    pc->deadline_us = env_now_us(p->env) + dial_patience_us(m, pc);
    *slot = pc;
    m->use_hint = m->hint[0] != '\0' && !hinted;
}

/* One more dial, if there is room, and the time of the next. Dials that are
 * refused, or lost on their way, are so followed by others; with jitter, so
 * that nodes do not dial in step. */
static void redial_cb(struct env_timer *t)
{
    struct member *m = t->data;
    struct pconn **slot = NULL;

    hf_assert(m->id != 0);
    if (m->out != NULL && !member_stalls(m)) {
        return;
    }
    for (unsigned i = 0; i < PEER_DIALS_MAX; i++) {
        if (m->dials[i] == NULL) {
            slot = &m->dials[i];
        } else if (mutant(PEER_ONE_DIAL)) {
            slot = NULL;
            break;
        }
    }
    if (slot != NULL) {
        dial_start(m, slot);
    }
    m->backoff_ms = m->backoff_ms * 2 < PEER_REDIAL_MIN_MS ? PEER_REDIAL_MIN_MS
                    : m->backoff_ms * 2 > PEER_REDIAL_MAX_MS
                        ? PEER_REDIAL_MAX_MS
                        : m->backoff_ms * 2;
    redial_in(m, m->backoff_ms * 500ULL +
                     rng_below(&m->p->rng, m->backoff_ms * 500ULL + 1));
}

bool member_forget(struct member *m, struct pconn *pc)
{
    if (m->out == pc) {
        m->out = NULL;
        return true;
    }
    for (unsigned i = 0; i < PEER_DIALS_MAX; i++) {
        if (m->dials[i] == pc) {
            m->dials[i] = NULL;
        }
    }
    return false;
}

static void dials_kill(struct member *m)
{
    for (unsigned i = 0; i < PEER_DIALS_MAX; i++) {
        if (m->dials[i] != NULL) {
            pconn_kill(m->dials[i]);
        }
    }
}

/* The own connection has fallen silent, or speaks again. */
static void member_watch(struct member *m)
{
    if (member_stalls(m) && !env_timer_armed(&m->redial)) {
        redial_in(m, 0);
    } else if (m->out != NULL && !member_stalls(m)) {
        dials_kill(m);
    }
}

/* Does it hold a connection to us? */
static bool member_talks(const struct member *m)
{
    for (struct pconn *pc = m->p->conns; pc != NULL; pc = pc->next) {
        if (!pc->dialled && pc->state == PCONN_UP &&
            pc->other.purpose == HELLO_MEMBER &&
            pc->other.who.node_id == m->id) {
            return !mutant(PEER_REFUSED_TALKS);
        }
    }
    return false;
}

void member_up(struct member *m, struct pconn *pc)
{
    struct peer_net *p = m->p;
    bool instead = m->out != NULL;

    (void)member_forget(m, pc);
    dials_kill(m);
    if (instead) {
        pconn_kill(m->out);
        queue_clear(m, true); /* the first may be half sent */
    }
    env_timer_stop(p->env, &m->redial);
    m->out = pc;
    m->use_hint = pc->hinted;
    m->up_since_us = env_now_us(p->env);
    m->stats.connects++;
    m->stats.up_since_ms = env_now_ms(p->env);
    m->stats.refused[0] = '\0';
    log_info(p->log, "peer: node %llu at %s is connected%s",
             (unsigned long long)m->id, pc->c->remote, instead ? " anew" : "");
    if (p->cbs->on_up != NULL) {
        p->cbs->on_up(p->data, m->id);
    }
}

/* The cost of a dial is a packet, the cost of waiting is an outage: a
 * connection that held is made again at once. */
static void member_down(struct member *m, const char *why)
{
    struct peer_net *p = m->p;
    uint64_t id = m->id;

    if (env_now_us(p->env) - m->up_since_us >= STABLE_US) {
        m->backoff_ms = 0;
    }
    redial_in(m, m->backoff_ms == 0
                     ? rng_below(&p->rng, REDIAL_SOON_US)
                     : m->backoff_ms * 500ULL +
                           rng_below(&p->rng, m->backoff_ms * 500ULL + 1));
    m->up_since_us = 0;
    queue_clear(m, true);
    log_info(p->log, "peer: node %llu lost: %s", (unsigned long long)id, why);
    if (p->cbs->on_down != NULL) {
        p->cbs->on_down(p->data, id);
    }
}

void member_lost(struct member *m,
                 bool was_out,
                 bool refused_connect,
                 const char *why)
{
    struct peer_net *p = m->p;

    if (was_out) {
        member_down(m, why);
    }
    if (refused_connect && !member_talks(m) &&
        p->cbs->on_refused_connect != NULL) {
        p->cbs->on_refused_connect(p->data, m->id);
    }
}

void member_reachable(struct peer_net *p, uint64_t id)
{
    struct member *m = member_find(p, id);

    if (m == NULL || (m->out != NULL && !member_stalls(m))) {
        return;
    }
    for (unsigned i = 0; i < PEER_DIALS_MAX; i++) {
        struct pconn *pc = m->dials[i];

        if (pc != NULL && env_now_us(p->env) - pc->last_in_us <= DIAL_NEW_US) {
            return;
        }
        if (pc != NULL && pc->state == PCONN_CONNECTING) {
            pconn_kill(pc); /* into a wire that was cut and no longer is */
        }
    }
    redial_in(m, 0);
}

static void member_drop_conn(struct member *m)
{
    dials_kill(m);
    if (m->out != NULL) {
        pconn_kill(m->out);
    }
    m->up_since_us = 0;
    queue_clear(m, true);
}

static void member_remove(struct member *m)
{
    member_drop_conn(m);
    env_timer_stop(m->p->env, &m->redial);
    for (struct pconn *pc = m->p->conns; pc != NULL; pc = pc->next) {
        if (!pc->dialled && pc->other.who.node_id == m->id &&
            pc->other.purpose == HELLO_MEMBER) {
            pconn_kill(pc);
        }
    }
    m->id = 0;
}

static void member_update(struct member *m, const struct peer_member *r)
{
    static const uint8_t none[PEER_ID_BYTES];
    bool known = memcmp(r->dir_id, none, PEER_ID_BYTES) != 0;

    hf_assert(strlen(r->addr) < LIM_ADDR);
    if (strcmp(m->addr, r->addr) != 0) {
        snprintf(m->addr, sizeof m->addr, "%s", r->addr);
        m->hint[0] = '\0';
        m->use_hint = false;
    }
    if (known && m->dir_known &&
        memcmp(m->dir_id, r->dir_id, PEER_ID_BYTES) != 0) {
        member_drop_conn(m);
    }
    m->dir_known = known;
    memcpy(m->dir_id, r->dir_id, PEER_ID_BYTES);
    if (m->out == NULL && !env_timer_armed(&m->redial)) {
        redial_in(m, 0);
    }
}

static struct member *member_add(struct peer_net *p, uint64_t id)
{
    for (size_t i = 0; i < LIM_NODES; i++) {
        struct member *m = &p->members[i];

        if (m->id == 0) {
            memset(m, 0, sizeof *m);
            m->p = p;
            m->id = id;
            env_timer_init(&m->redial, redial_cb, m);
            return m;
        }
    }
    return NULL;
}

void member_meet(struct peer_net *p, const struct peer_ident *who)
{
    struct member *m = member_add(p, who->node_id);
    struct peer_member r;

    if (m == NULL) {
        return; /* the table is full of members */
    }
    memset(&r, 0, sizeof r);
    r.id = who->node_id;
    snprintf(r.addr, sizeof r.addr, "%s", who->addr);
    /* Its directory is not pinned: only a record says which is right. */
    member_update(m, &r);
}

void peer_set_members(struct peer_net *p, const struct peer_member *r, size_t n)
{
    for (size_t i = 0; i < LIM_NODES; i++) {
        struct member *m = &p->members[i];
        bool stays = false;

        for (size_t k = 0; k < n; k++) {
            stays = stays || (m->id == r[k].id && m->id != p->self.node_id);
        }
        if (m->id != 0 && !stays) {
            member_remove(m);
        }
    }
    for (size_t k = 0; k < n; k++) {
        struct member *m;

        if (r[k].id == p->self.node_id || r[k].id == 0) {
            continue;
        }
        m = member_find(p, r[k].id);
        if (m == NULL) {
            m = member_add(p, r[k].id);
        }
        hf_assert(m != NULL);
        member_update(m, &r[k]);
    }
}

/* ---- sending ---- */

/* One chunk of the oldest BULK message. */
static void feed_one(struct member *m)
{
    struct queued *q = m->head;
    size_t left = q->n - q->sent;
    size_t n = left < FRAME_PAYLOAD_MAX ? left : FRAME_PAYLOAD_MAX;
    struct bytes part = bytes_of(q->d + q->sent, n);
    struct frame f = {.kind = FRAME_MSG,
                      .class = PEER_BULK,
                      .type = q->type,
                      .message_len = (uint32_t)q->n};

    f.flags = (uint8_t)((q->sent == 0 ? FRAME_FIRST : 0) |
                        (n == left ? FRAME_LAST : 0));
    pconn_frame(m->out, &f, &part, n == 0 ? 0 : 1);
    q->sent += n;
    m->queued_bytes -= n;
    if (q->sent < q->n) {
        return;
    }
    m->head = q->next;
    if (m->head == NULL) {
        m->tail = NULL;
    }
    free(q);
}

/* Hand the socket little more than it can take now: what it has cannot be
 * overtaken. Passing FEED_MARK is what makes on_drain come. */
void member_feed(struct member *m)
{
    while (m->head != NULL && net_pending(m->out->c) <= FEED_MARK) {
        feed_one(m);
    }
}

static bool bulk_has_room(const struct member *m, size_t n)
{
    /* A message larger than the queue passes when it is alone. */
    return mutant(PEER_UNBOUNDED) || m->head == NULL ||
           (n <= PEER_BULK_MAX && m->queued_bytes <= PEER_BULK_MAX - n);
}

static void bulk_push(struct member *m,
                      uint8_t type,
                      const struct bytes *parts,
                      size_t n,
                      size_t total)
{
    struct queued *q = hf_malloc(sizeof *q + total);
    size_t at = 0;

    *q = (struct queued){.n = total, .type = type};
    for (size_t i = 0; i < n; i++) {
        if (parts[i].n > 0) {
            memcpy(q->d + at, parts[i].p, parts[i].n);
        }
        at += parts[i].n;
    }
    *(m->tail != NULL ? &m->tail->next : &m->head) = q;
    m->tail = q;
    m->queued_bytes += total;
    member_feed(m);
}

static bool member_send(struct member *m,
                        enum peer_class c,
                        uint8_t type,
                        const struct bytes *parts,
                        size_t n)
{
    size_t total = 0;
    size_t waiting;
    struct frame f = {.kind = FRAME_MSG,
                      .class = c,
                      .type = type,
                      .flags = FRAME_FIRST | FRAME_LAST};

    for (size_t i = 0; i < n; i++) {
        if (parts[i].n > PEER_MSG_MAX - total) {
            return false;
        }
        total += parts[i].n;
    }
    waiting = net_pending(m->out->c);
    if (total > FRAME_PAYLOAD_MAX || mutant(PEER_BULK_FIRST)) {
        c = f.class = PEER_BULK;
    }
    if (c == PEER_BULK &&
        (total > FRAME_PAYLOAD_MAX || m->head != NULL || waiting > FEED_MARK)) {
        if (!bulk_has_room(m, total)) {
            return false;
        }
        bulk_push(m, type, parts, n, total);
        return true;
    }
    if (c == PEER_CONTROL && waiting > PEER_CONTROL_MAX &&
        !mutant(PEER_UNBOUNDED)) {
        return false;
    }
    f.message_len = (uint32_t)total;
    pconn_frame(m->out, &f, parts, n);
    return true;
}

bool peer_send(struct peer_net *p,
               uint64_t id,
               enum peer_class c,
               uint8_t type,
               struct bytes header,
               const struct bytes *parts,
               size_t n)
{
    struct member *m = member_find(p, id);
    struct bytes all[PEER_PARTS_MAX + 1];

    hf_assert(n <= PEER_PARTS_MAX);
    if (m == NULL) {
        return false;
    }
    all[0] = header;
    if (n > 0) {
        memcpy(all + 1, parts, n * sizeof *parts);
    }
    if (!member_is_up(m) || !member_send(m, c, type, all, n + 1)) {
        m->stats.dropped++;
        return false;
    }
    m->stats.sent_messages++;
    for (size_t i = 0; i <= n; i++) {
        m->stats.sent_bytes += all[i].n;
    }
    return true;
}

bool peer_is_up(const struct peer_net *p, uint64_t id)
{
    const struct member *m = member_find((struct peer_net *)p, id);

    return m != NULL && member_is_up(m);
}

size_t peer_bulk_pending(const struct peer_net *p, uint64_t id)
{
    const struct member *m = member_find((struct peer_net *)p, id);

    return m == NULL ? 0 : m->queued_bytes;
}

/* ---- questions asked ---- */

void ask_finish(struct peer_ask *a,
                int code,
                const struct peer_ident *who,
                uint8_t type,
                struct blob *payload,
                const char *why)
{
    struct peer_ask **at = &a->p->asks;

    while (*at != a) {
        hf_assert(*at != NULL);
        at = &(*at)->next;
    }
    *at = a->next;
    env_timer_stop(a->p->env, &a->timer);
    if (a->pc != NULL) {
        pconn_kill(a->pc);
    }
    if (a->cb != NULL) {
        a->cb(a->data, code, who, type, payload, why);
    }
    buf_release(&a->question);
    free(a);
}

static void ask_timer(struct env_timer *t)
{
    struct peer_ask *a = t->data;

    ask_finish(a, a->code, NULL, 0, NULL, a->why);
}

struct peer_ask *peer_ask(struct peer_net *p,
                          const char *addr,
                          uint8_t type,
                          struct bytes question,
                          uint32_t timeout_ms,
                          peer_ask_cb cb,
                          void *data)
{
    struct peer_ask *a = hf_calloc(1, sizeof *a);
    uint64_t now = env_now_us(p->env);
    size_t asks = 0;

    a->p = p;
    a->cb = cb;
    a->data = data;
    a->type = type;
    env_timer_init(&a->timer, ask_timer, a);
    for (struct peer_ask *o = p->asks; o != NULL; o = o->next) {
        asks++;
    }
    a->next = p->asks;
    p->asks = a;
    if (asks >= PEER_ASKS_MAX || question.n > PEER_ANON_MSG_MAX) {
        a->code = HF_ELIMIT;
        snprintf(a->why, sizeof a->why, "too many questions, or too long");
        env_timer_start(p->env, &a->timer, now);
        return a;
    }
    a->code = HF_ETIMEOUT;
    snprintf(a->why, sizeof a->why, "%.100s did not answer within %u ms", addr,
             timeout_ms);
    env_timer_start(p->env, &a->timer, now + timeout_ms * 1000ULL);
    buf_bytes_append(&a->question, question);
    a->pc =
        pconn_new(p,
                  net_connect(p->env, addr,
                              p->bind_host[0] != '\0' ? p->bind_host : NULL),
                  true);
    a->pc->ask = a;
    return a;
}

void peer_ask_cancel(struct peer_ask *a)
{
    a->cb = NULL;
    ask_finish(a, HF_ECLOSED, NULL, 0, NULL, NULL);
}

/* ---- questions answered ---- */

struct peer_anon *anon_new(struct pconn *pc)
{
    struct peer_net *p = pc->p;
    struct peer_anon *h;
    size_t n = 0;

    for (h = p->anons; h != NULL; h = h->next) {
        n++;
    }
    if (n >= PEER_ANON_MAX) {
        return NULL;
    }
    h = hf_calloc(1, sizeof *h);
    h->p = p;
    h->pc = pc;
    h->next = p->anons;
    p->anons = h;
    pc->anon = h;
    return h;
}

static void anon_free(struct peer_anon *h)
{
    struct peer_anon **at;

    if (h->pc != NULL) {
        h->pc->anon = NULL;
    }
    if (h->p != NULL) {
        for (at = &h->p->anons; *at != h; at = &(*at)->next) {
            hf_assert(*at != NULL);
        }
        *at = h->next;
    }
    free(h);
}

void peer_anon_reply(struct peer_anon *h, uint8_t type, struct bytes answer)
{
    struct pconn *pc = h->pc;

    hf_assert(answer.n <= PEER_ANON_MSG_MAX);
    if (pc != NULL) {
        pconn_message(pc, type, answer);
        /* The asker closes; the deadline is for one that does not. */
        pc->state = PCONN_LINGER;
        pc->deadline_us = env_now_us(pc->p->env) + PEER_ANSWER_MS * 1000ULL;
    }
    anon_free(h);
}

void peer_anon_drop(struct peer_anon *h)
{
    struct pconn *pc = h->pc;

    anon_free(h);
    if (pc != NULL) {
        pconn_kill(pc);
    }
}

/* ---- listening ---- */

/* When all places are taken, somebody who has not said who he is goes. */
static bool accept_room(struct peer_net *p)
{
    struct pconn *victim = NULL;
    size_t n = 0;

    for (struct pconn *pc = p->conns; pc != NULL; pc = pc->next) {
        if (pc->dialled || pc->state == PCONN_DEAD) {
            continue;
        }
        n++;
        if (pc->state != PCONN_UP || pc->other.purpose != HELLO_MEMBER) {
            victim = pc; /* the list is newest first: ends at the oldest */
        }
    }
    if (n < PEER_CONNS_MAX) {
        return true;
    }
    peer_note(p, "%zu connections: %s", n,
              victim != NULL ? "closed the oldest unknown one"
                             : "a new one is refused");
    if (victim == NULL) {
        return false;
    }
    pconn_kill(victim);
    return true;
}

static void on_accept(void *data, struct net_conn *c)
{
    struct peer_net *p = data;

    if (!accept_room(p)) {
        net_close(c);
        return;
    }
    pconn_new(p, c, false);
}

int peer_listen(struct peer_net *p, const char *hostport, struct errmsg *em)
{
    hf_assert(p->listener == NULL);
    return net_listen(p->env, hostport, on_accept, p, &p->listener, em);
}

uint16_t peer_port(const struct peer_net *p)
{
    return p->listener == NULL ? 0 : net_listen_port(p->listener);
}

/* ---- life ---- */

static void reap_cb(struct env_task *t)
{
    struct peer_net *p = t->data;
    struct pconn **at = &p->conns;

    while (*at != NULL) {
        struct pconn *pc = *at;

        if (pc->state == PCONN_DEAD) {
            *at = pc->next;
            free(pc);
        } else {
            at = &pc->next;
        }
    }
}

static void tick_arm(struct peer_net *p, uint64_t now)
{
    env_timer_start(p->env, &p->tick, now + p->ping_ms * 500ULL);
}

static uint64_t later(uint64_t at, uint64_t by, uint64_t now)
{
    return at + by < now ? at + by : now;
}

static void tick_cb(struct env_timer *t)
{
    struct peer_net *p = t->data;
    uint64_t now = env_now_us(p->env);
    uint64_t late = now - t->at_us;

    for (struct pconn *pc = p->conns; pc != NULL; pc = pc->next) {
        /* Silence that we slept through says nothing about the others: after
         * a pause of this process their bytes may still lie in the socket. */
        if (late > p->silence_ms * 500ULL) {
            pc->last_in_us = later(pc->last_in_us, late, now);
            pc->half_since_us = later(pc->half_since_us, late, now);
        }
        pconn_tick(pc, now);
    }
    for (size_t i = 0; i < LIM_NODES; i++) {
        if (p->members[i].id != 0) {
            member_watch(&p->members[i]);
        }
    }
    tick_arm(p, now);
}

void peer_set_timeouts(struct peer_net *p,
                       uint32_t silence_ms,
                       uint32_t ping_ms)
{
    hf_assert(silence_ms > 0);
    p->silence_ms = silence_ms;
    p->ping_ms = ping_ms != 0 ? ping_ms : silence_ms / 4;
    if (p->ping_ms == 0) {
        p->ping_ms = 1;
    }
    tick_arm(p, env_now_us(p->env));
}

struct peer_net *peer_new(const struct peer_config *c)
{
    struct peer_net *p = hf_calloc(1, sizeof *p);
    uint64_t seed;

    hf_assert(c->cbs->on_message != NULL && c->cbs->on_anon != NULL);
    p->env = c->env;
    p->log = c->log;
    p->self = c->self;
    p->cbs = c->cbs;
    p->data = c->data;
    if (c->bind_host != NULL) {
        snprintf(p->bind_host, sizeof p->bind_host, "%s", c->bind_host);
    }
    env_random(c->env, &seed, sizeof seed);
    p->rng.s = seed;
    env_timer_init(&p->tick, tick_cb, p);
    env_task_init(&p->reap, reap_cb, p);
    peer_set_timeouts(p, c->silence_ms, c->ping_ms);
    return p;
}

void peer_free(struct peer_net *p)
{
    for (size_t i = 0; i < LIM_NODES; i++) {
        if (p->members[i].id != 0) {
            member_remove(&p->members[i]);
        }
    }
    while (p->asks != NULL) {
        peer_ask_cancel(p->asks);
    }
    while (p->anons != NULL) {
        struct peer_anon *h = p->anons;

        p->anons = h->next;
        if (h->pc != NULL) {
            h->pc->anon = NULL;
        }
        h->pc = NULL;
        h->p = NULL; /* its owner still frees it */
    }
    for (struct pconn *pc = p->conns; pc != NULL; pc = pc->next) {
        pconn_kill(pc);
    }
    if (p->listener != NULL) {
        net_unlisten(p->listener);
    }
    env_timer_stop(p->env, &p->tick);
    env_undefer(p->env, &p->reap);
    reap_cb(&p->reap);
    free(p);
}

void peer_set_self(struct peer_net *p, const struct peer_ident *self)
{
    p->self = *self;
    for (struct pconn *pc = p->conns; pc != NULL; pc = pc->next) {
        struct member *m = pc->m;

        /* A question keeps its connection: its answer may be the news. */
        if (pc->ask != NULL || pc->other.purpose == HELLO_QUESTION) {
            continue;
        }
        pconn_kill(pc);
        if (m != NULL) {
            m->up_since_us = 0;
            queue_clear(m, true);
            redial_in(m, 0);
        }
    }
    if (member_find(p, self->node_id) != NULL) {
        member_remove(member_find(p, self->node_id));
    }
}

/* ---- statistics ---- */

size_t peer_stats(const struct peer_net *p, struct peer_stats *out, size_t max)
{
    uint64_t now = env_now_us(p->env);
    size_t n = 0;

    for (size_t i = 0; i < LIM_NODES && n < max; i++) {
        const struct member *m = &p->members[i];
        uint64_t last = 0;

        if (m->id == 0) {
            continue;
        }
        out[n] = m->stats;
        out[n].id = m->id;
        memcpy(out[n].addr, m->addr, sizeof m->addr);
        out[n].up = member_is_up(m);
        out[n].in_up = false;
        out[n].bulk_pending = m->queued_bytes;
        for (struct pconn *pc = p->conns; pc != NULL; pc = pc->next) {
            bool in = !pc->dialled && pc->other.purpose == HELLO_MEMBER &&
                      pc->other.who.node_id == m->id;

            if (pc->state == PCONN_UP && (in || pc->m == m)) {
                last = pc->last_in_us > last ? pc->last_in_us : last;
                out[n].in_up = out[n].in_up || in;
            }
        }
        out[n].silent_ms =
            last == 0 ? UINT32_MAX : (uint32_t)((now - last) / 1000);
        n++;
    }
    return n;
}

uint64_t peer_bad_connections(const struct peer_net *p)
{
    return p->bad_connections;
}
