#include "server/node/session.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "server/node/node_int.h"

_Static_assert((LIM_SESSION_WINDOW & (LIM_SESSION_WINDOW - 1)) == 0,
               "the ring is indexed by the low bits of the number");

static struct numbered *slot(struct session *s, uint64_t number)
{
    hf_assert(number >= s->base && number < s->next);
    return &s->ring[number & (LIM_SESSION_WINDOW - 1)];
}

static void session_timer(struct env_timer *t);

static void session_pump_task(struct env_task *t)
{
    session_pump(t->data, false);
}

void session_init(struct node *n)
{
    struct session *s = &n->session;

    memset(s, 0, sizeof *s);
    s->base = s->next = s->sent = s->voiding = 1;
    s->ring = hf_calloc(LIM_SESSION_WINDOW, sizeof *s->ring);
    s->nonce_set = mutant(SESSION_KEPT_ACROSS_RESTART);
    env_timer_init(&s->timer, session_timer, n);
    env_task_init(&s->pump, session_pump_task, n);
}

void session_release(struct node *n)
{
    struct session *s = &n->session;

    for (uint64_t i = s->base; i < s->next; i++) {
        blob_unref(slot(s, i)->command);
    }
    free(s->ring);
    s->ring = NULL;
    env_timer_stop(n->env, &s->timer);
    env_undefer(n->env, &s->pump);
}

/* ---- parked ---- */

bool node_full(const struct node *n)
{
    const struct op_list *p = &n->session.parked;

    if (mutant(PARKED_UNBOUNDED)) {
        return false;
    }
    return p->n >= LIM_PARKED || p->bytes >= LIM_PARKED_BYTES || read_full(n);
}

void node_made_room(struct node *n, bool was_full)
{
    if (was_full && !node_full(n) && n->cbs.on_room != NULL) {
        n->cbs.on_room(n->cbs.data);
    }
}

void session_write(struct node *n, struct client_op *op)
{
    struct session *s = &n->session;

    if (n->stopping) {
        client_op_error(op, "TRYAGAIN this node is shutting down");
        return;
    }
    if (mutant(LOADING_REFUSES) && n->loading) {
        client_op_error(op, "LOADING the node is still reading its data");
        return;
    }
    if (s->parked.n >= 2 * LIM_PARKED ||
        s->parked.bytes >= LIM_PARKED_BYTES + LIM_REQUEST_TOP) {
        client_op_error(op, "TRYAGAIN too many requests are waiting");
        return;
    }
    op_list_push(&s->parked, op);
    env_defer(n->env, &s->pump);
}

void session_cancel(struct node *n, struct client_op *op)
{
    struct session *s = &n->session;

    if (op->number == 0) {
        bool full = node_full(n);

        (void)op_list_remove(&s->parked, op);
        node_made_room(n, full);
        return;
    }
    if (op->number >= s->base) {
        struct numbered *q = slot(s, op->number);

        hf_assert(q->op == op);
        q->op = NULL;
    }
}

/* ---- giving numbers and sending ---- */

static const char nospace_text[] =
    "NOSPACE no majority of the nodes has room on disk";

/* A refusal that the leader has announced, or NULL. Said of requests that
 * have no number: certainly not applied. */
static const char *leader_refusal(const struct node *n,
                                  const struct client_op *op)
{
    unsigned flags = node_leader_flags(n);

    if (mutant(FLAGS_IGNORED)) {
        return NULL;
    }
    if ((flags & LEADER_NOSPACE) != 0) {
        return nospace_text;
    }
    if ((flags & LEADER_OOM) != 0 && !command_frees(op->command)) {
        return "OOM command not allowed when used memory > 'memory-limit'";
    }
    return NULL;
}

static bool session_may_number(const struct session *s)
{
    const struct client_op *op = s->parked.head;

    return op != NULL && s->next - s->base < LIM_SESSION_WINDOW &&
           (s->bytes == 0 || s->bytes + op->command->n <= LIM_SESSION_BYTES);
}

static void session_number_parked(struct node *n)
{
    struct session *s = &n->session;
    bool full = node_full(n);
    uint64_t now = env_now_us(n->env);
    /* A number is worth giving only while there is time to hear of it. */
    uint64_t patience = n->cfg.request_timeout_ms * 1000 / 8;

    while (session_may_number(s)) {
        struct client_op *op = op_list_pop(&s->parked);
        const char *no = leader_refusal(n, op);
        struct numbered *q;

        if (no == NULL && op->deadline_us <= now + patience) {
            no = "CLUSTERDOWN no leader was found before the deadline";
        }
        if (no != NULL) {
            client_op_error(op, no);
            continue;
        }
        op->number = s->next++;
        q = slot(s, op->number);
        memset(q, 0, sizeof *q);
        q->command = blob_ref(op->command);
        s->bytes += op->command->n;
        q->op = op;
        q->deadline_us = op->deadline_us;
        q->void_us = op->deadline_us - patience;
    }
    node_made_room(n, full);
}

/* One message with as many unsent requests as fit. */
static bool session_send_remote(struct node *n, uint64_t leader)
{
    struct session *s = &n->session;
    struct buf b = BUF_INIT;
    uint64_t to = s->sent;
    bool ok;

    node_envelope(n, &b);
    buf_u64(&b, s->id);
    buf_u64(&b, s->sent);
    while (to < s->next && b.n < SESSION_SEND_MAX) {
        struct numbered *q = slot(s, to);
        /* One applied already, with an earlier one still open, only keeps
         * its place: the store takes no number twice. */
        bool as_void = to < s->voiding || q->resolved;

        buf_u8(&b, as_void ? NUMBERED_VOID : NUMBERED_REQUEST);
        buf_lbytes(&b, as_void ? bytes_of(NULL, 0) : blob_bytes(q->command));
        to++;
    }
    ok = peer_send(n->peers, leader, PEER_BULK, NMSG_WRITES, buf_bytes(&b),
                   NULL, 0);
    if (ok) {
        s->sent = to;
    }
    buf_release(&b);
    return ok;
}

static void session_send_local(struct node *n)
{
    struct session *s = &n->session;

    while (s->sent < s->next) {
        struct numbered *q = slot(s, s->sent);
        bool as_void = s->sent < s->voiding || q->resolved;

        if (leader_take(n, s->id, s->sent, as_void,
                        as_void ? bytes_of(NULL, 0) : blob_bytes(q->command)) !=
            0) {
            break;
        }
        s->sent++;
    }
}

/* Ask the leader for a session. Its id comes with the own apply. */
static void session_open(struct node *n, uint64_t leader)
{
    struct session *s = &n->session;
    uint64_t now = env_now_us(n->env);

    if (s->open_us != 0 && now - s->open_us < SESSION_OPEN_MS * 1000) {
        return;
    }
    if (!s->nonce_set) {
        env_random(n->env, s->nonce, sizeof s->nonce);
        s->nonce_set = true;
    }
    s->open_us = now;
    if (leader == n->id) {
        leader_open_session(n, n->id, s->nonce);
    } else {
        struct buf b = BUF_INIT;

        node_envelope(n, &b);
        buf_append(&b, s->nonce, sizeof s->nonce);
        peer_send(n->peers, leader, PEER_BULK, NMSG_OPEN, buf_bytes(&b), NULL,
                  0);
        buf_release(&b);
    }
}

void session_pump(struct node *n, bool again)
{
    struct session *s = &n->session;
    uint64_t leader = node_ready_leader(n);

    if (again && s->sent > s->base) {
        node_event(n, NODE_EV_RESEND, s->base, s->sent - s->base);
        s->sent = mutant(NO_RESEND) ? s->sent : s->base;
        s->progress_us = env_now_us(n->env);
    }
    if (!env_timer_armed(&s->timer) &&
        (s->parked.n > 0 || s->base < s->next || s->id == 0)) {
        env_timer_start(n->env, &s->timer,
                        env_now_us(n->env) + SESSION_TICK_MS * 1000);
    }
    if (mutant(NUMBER_WHILE_PARKED) && s->id != 0) {
        session_number_parked(n);
    }
    if (leader == 0) {
        return;
    }
    if (s->id == 0) {
        session_open(n, leader);
        return;
    }
    if (!(node_leader_flags(n) & (LEADER_INIT | LEADER_HOLD))) {
        session_number_parked(n);
    }
    if (leader == n->id) {
        session_send_local(n);
        return;
    }
    while (s->sent < s->next && session_send_remote(n, leader)) {
    }
}

static void session_rewind(struct node *n, uint64_t expected)
{
    struct session *s = &n->session;

    s->nack_us = env_now_us(n->env);
    s->nacked = 0;
    if (expected >= s->base && expected < s->sent) {
        s->sent = expected;
    }
}

void session_nack(struct node *n, uint64_t id, uint64_t expected)
{
    struct session *s = &n->session;

    if (id != s->id || expected < s->base || expected >= s->sent ||
        mutant(NO_RESEND)) {
        return; /* of an earlier state of things */
    }
    /* Every message under way behind the gap brings one: answering each with
     * all of them again would multiply them. */
    if (s->nack_us != 0 &&
        env_now_us(n->env) - s->nack_us < SESSION_TICK_MS * 1000) {
        s->nacked = expected;
        return;
    }
    session_rewind(n, expected);
    session_pump(n, false);
}

/* ---- resolution ---- */

static void session_advance(struct node *n)
{
    struct session *s = &n->session;

    while (s->base < s->next && slot(s, s->base)->resolved) {
        s->base++;
        s->progress_us = env_now_us(n->env);
    }
    if (s->sent < s->base) {
        s->sent = s->base;
    }
    if (s->voiding < s->base) {
        s->voiding = s->base;
    }
    if (s->parked.head != NULL) {
        env_defer(n->env, &s->pump);
    }
}

static void numbered_settle(struct session *s, struct numbered *q)
{
    s->bytes -= q->command->n;
    blob_unref(q->command);
    q->command = NULL;
    q->op = NULL;
    q->resolved = true;
}

struct client *session_client(struct node *n, uint64_t number)
{
    struct session *s = &n->session;
    struct numbered *q;

    if (number < s->base || number >= s->next) {
        return NULL;
    }
    q = slot(s, number);
    return q->op != NULL ? q->op->client : NULL;
}

bool session_waits_for_apply(struct node *n, uint64_t number)
{
    struct client *c = session_client(n, number);

    return c != NULL && client_tracks(c) && !mutant(TRACK_REPLY_EARLY);
}

void session_resolve(struct node *n,
                     uint64_t number,
                     bool voided,
                     struct bytes reply,
                     uint64_t index)
{
    struct session *s = &n->session;
    struct numbered *q;
    struct client_op *op;

    if (number < s->base || number >= s->next) {
        return; /* answered before, by the leader or by the own apply */
    }
    q = slot(s, number);
    op = q->op;
    if (q->resolved) {
        return;
    }
    numbered_settle(s, q);
    if (op == NULL) {
        /* answered at its deadline, or its connection is gone */
    } else if (voided && mutant(VOID_SAYS_APPLIED)) {
        client_op_reply(op, bytes_str("+OK\r\n"), index);
    } else if (voided) {
        /* A void that this node did not send is the leader's refusal: only
         * a disk without room makes it refuse what has a number. */
        client_op_error(op, number >= s->voiding
                                ? nospace_text
                                : "CLUSTERDOWN not applied: no leader took "
                                  "the request before its deadline");
    } else {
        client_op_reply(op, reply, index);
    }
    session_advance(n);
}

void session_opened(struct node *n, uint64_t id, const uint8_t nonce[16])
{
    struct session *s = &n->session;

    if (s->nonce_set && memcmp(nonce, s->nonce, sizeof s->nonce) == 0) {
        if (s->id == id) {
            return;
        }
        hf_assert(s->id == 0 && s->base == s->next);
        s->id = id;
        s->base = s->next = s->sent = s->voiding = 1;
        log_debug(n->log, "session %llu open", (unsigned long long)id);
        session_pump(n, false);
        return;
    }
    /* Another incarnation's, of this directory, applied late. */
    if (s->id != 0) {
        session_lost(n, "another session of this node was opened");
    }
}

void session_lost(struct node *n, const char *why)
{
    struct session *s = &n->session;

    log_warn(n->log, "session %llu lost: %s", (unsigned long long)s->id, why);
    for (uint64_t i = s->base; i < s->next; i++) {
        struct numbered *q = slot(s, i);
        struct client_op *op = q->op;

        if (!q->resolved) {
            numbered_settle(s, q);
            if (op != NULL && mutant(LOST_RENUMBERED)) {
                op->number = 0;
                op_list_push(&s->parked, op);
            } else if (op != NULL) {
                client_op_error(op, mutant(LOST_SAYS_REFUSED)
                                        ? "CLUSTERDOWN the session was lost"
                                        : "UNKNOWN the node's session was "
                                          "lost; the request may have been "
                                          "applied");
            }
        }
    }
    s->id = 0;
    s->nonce_set = false;
    s->open_us = 0;
    s->nacked = 0;
    s->base = s->next = s->sent = s->voiding = 1;
    env_defer(n->env, &s->pump);
}

void session_restored(struct node *n)
{
    struct session *s = &n->session;
    uint64_t last = 0;
    uint64_t id = machine_session_of_node(n->machine, n->id, &last);

    if (s->id == 0 || mutant(RESTORE_FORGETS_SESSION)) {
        return; /* an OPEN that it may contain is asked for again */
    }
    if (id != s->id) {
        session_lost(n, "a snapshot does not know it");
        return;
    }
    for (uint64_t i = s->base; i < s->next && i <= last; i++) {
        struct numbered *q = slot(s, i);
        struct client_op *op = q->op;

        if (q->resolved) {
            continue;
        }
        numbered_settle(s, q);
        if (op != NULL) {
            /* A void may have taken the number instead. */
            client_op_error(op, i < s->voiding ? "UNKNOWN its reply was lost"
                                               : "UNKNOWN applied, reply lost");
        }
    }
    session_advance(n);
}

/* ---- time ---- */

static const char *parked_text(const struct node *n)
{
    if (n->machine == NULL) {
        return "LOADING the node is still reading its data";
    }
    if (n->id == 0) {
        return "CLUSTERDOWN this node is in no cluster yet: run kv init";
    }
    return "CLUSTERDOWN no leader was found before the deadline";
}

/* Parked requests at their deadline never had a number. Their deadlines are
 * in no order: each counts from when its client sent it, and it may have
 * waited for others of the connection before it came here. */
static void session_expire_parked(struct node *n, uint64_t now)
{
    struct session *s = &n->session;
    bool full = node_full(n);
    struct client_op *next;

    for (struct client_op *op = s->parked.head; op != NULL; op = next) {
        next = op->list_next;
        if (op->deadline_us <= now) {
            (void)op_list_remove(&s->parked, op);
            client_op_error(op, parked_text(n));
        } else if (mutant(DEADLINE_HEAD_ONLY)) {
            break;
        }
    }
    node_made_room(n, full);
}

/* The fault of mutant NO_VOID: the number is dropped, nothing takes it. */
static void session_abandon(struct node *n, uint64_t first)
{
    struct session *s = &n->session;

    for (uint64_t i = first; i < s->voiding; i++) {
        session_resolve(n, i, true, bytes_of(NULL, 0), 0);
    }
}

static void session_expire_numbered(struct node *n, uint64_t now)
{
    struct session *s = &n->session;
    uint64_t first = 0;

    while (s->voiding < s->next && slot(s, s->voiding)->void_us <= now) {
        if (first == 0) {
            first = s->voiding;
        }
        s->voiding++;
    }
    if (first != 0) {
        if (mutant(NO_VOID)) {
            session_abandon(n, first);
            return;
        }
        node_event(n, NODE_EV_VOID, first, s->voiding - first);
        if (s->sent > first) {
            s->sent = first;
        }
    }
    for (uint64_t i = s->base; i < s->next; i++) {
        struct numbered *q = slot(s, i);
        struct client_op *op = q->op;

        if (op == NULL || q->resolved || q->deadline_us > now) {
            continue;
        }
        q->op = NULL;
        if (mutant(UNKNOWN_AS_FAILED)) {
            client_op_error(op, "CLUSTERDOWN deadline passed");
        } else {
            client_op_error(op,
                            "UNKNOWN the deadline passed while the "
                            "request was in the cluster's hands");
        }
    }
}

static void session_timer(struct env_timer *t)
{
    struct node *n = t->data;
    struct session *s = &n->session;
    uint64_t now = env_now_us(n->env);
    bool stalled = s->base < s->sent &&
                   now - s->progress_us > 2 * n->cfg.election_ms * 1000;

    session_expire_parked(n, now);
    session_expire_numbered(n, now);
    if (s->nacked != 0) {
        session_rewind(n, s->nacked);
    }
    session_pump(n, stalled);
}
