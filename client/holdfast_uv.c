/* libholdfast_uv: calls, sessions, and which node they go to.
 *
 *   WAITING --> OPENING --> SENT --> done, and its callback
 *    ^  '----------------->  |
 *    '---- at another node --'   (attempt.h decides)
 *
 * Happy path: a call waits until the link to the node in use is up, takes a
 * session if it is a write (opening it first), goes out with all others of
 * this turn of the loop in one write, and its reply comes in its turn.
 *
 * When a link breaks, each call on it was sent and may have been taken; named
 * writes go to the next node under the same name. One that is turned away
 * sends all calls on to another node, and no write goes there before it says
 * that it knows a leader: a node without one would keep it until its own
 * deadline, and turn what is certain into a doubt.
 *
 * Time is looked at every HF_UV_TICK_MS, as long as there is something to
 * wait for. */
#include "client/holdfast_uv.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "base/assert.h"
#include "base/mutant.h"
#include "client/hf_int_uv.h"

struct slot {
    uint64_t id; /* 0: to be opened */
    uint64_t number;
    bool busy;
};

enum ucall_state { CALL_WAITING, CALL_OPENING, CALL_SENT, CALL_DONE };

/* What an answer means beyond hf_call(). */
enum ucall_kind { CALL_ANY, CALL_NULL_IS_NO, CALL_ZERO_IS_NO };

struct ucall {
    TAILQ_ENTRY(ucall) all;
    TAILQ_ENTRY(ucall) wait;
    struct hf_uv *h;
    enum ucall_state state;
    enum ucall_kind kind;
    struct attempts at;
    struct buf words; /* as bulks */
    size_t argc;
    struct slot *slot; /* of a write that was sent or will be again */
    int64_t deadline_ms;
    int64_t not_before_ms;
    uint32_t pace_ms;
    size_t tries;
    int code;
    struct hf_reply *reply;
    char error[UV_ERROR_MAX];
    hf_uv_cb cb;
    void *data;
};

TAILQ_HEAD(ucalls, ucall);

/* Asking a silent node, and the others, how they are. */
struct inquiry {
    bool on;
    size_t node;
    bool own_known;
    enum probe own;
    bool elsewhere;
};

struct hf_uv {
    uv_loop_t *loop;
    uv_timer_t tick;
    uv_timer_t kick;
    struct hf_options opt;
    struct nodes nodes;
    struct link *links[HF_ENDPOINTS_MAX];
    struct link *probes[HF_ENDPOINTS_MAX];
    size_t turns[HF_ENDPOINTS_MAX]; /* dials that failed */
    size_t current;                 /* node in use; nodes.n: none */
    bool check_leader;              /* writes wait until a node knows one */
    size_t denied;                  /* greetings refused in a row */
    size_t setbacks;                /* nodes given up since all went well */
    int64_t dial_at_ms;             /* not before */
    uint32_t pace_ms;
    struct inquiry inquiry;
    struct ucalls all;    /* not done */
    struct ucalls plain;  /* waiting */
    struct ucalls writes; /* waiting */
    struct ucalls done;   /* callbacks to come */
    struct slot *slots;
    size_t nslots;
    size_t sessions_max;
    size_t calls_max;
    size_t ncalls; /* of @all and @done */
    size_t bytes;  /* of their requests */
    size_t holds;  /* handles of libuv that are open */
    bool closing;
    void (*close_cb)(void *data);
    void *close_data;
    char error[UV_ERROR_MAX]; /* of the last link */
};

/* ---- for links ---- */

int64_t huv_now_ms(const struct hf_uv *h)
{
    return (int64_t)uv_now(h->loop);
}

const struct hf_options *huv_options(const struct hf_uv *h)
{
    return &h->opt;
}

const char *huv_addr(const struct hf_uv *h, size_t node)
{
    return h->nodes.list[node].addr;
}

size_t huv_turn(const struct hf_uv *h, size_t node)
{
    return h->turns[node];
}

uv_loop_t *huv_loop(const struct hf_uv *h)
{
    return h->loop;
}

void huv_hold(struct hf_uv *h)
{
    h->holds++;
}

void huv_link_gone(struct hf_uv *h, struct link *l)
{
    struct link **at = l->probe ? &h->probes[l->node] : &h->links[l->node];

    hf_assert(*at == l);
    *at = NULL;
}

/* ---- the end of a call ---- */

static void release_slot(struct ucall *k, int code)
{
    struct slot *s = k->slot;

    if (s == NULL) {
        return;
    }
    k->slot = NULL;
    if (k->state == CALL_OPENING) {
        return; /* busy until the session is open or its link lost */
    }
    if (!attempts_keep_session(code)) {
        s->id = 0;
    } else if (code == HF_OK) {
        s->number++;
    }
    s->busy = false;
}

/* @reply: the last one, or none. */
static void finish(struct ucall *k, int code, struct bytes reply)
{
    struct hf_uv *h = k->h;

    hf_assert(k->state != CALL_DONE);
    if (k->at.mode == HF_CALL_WRITE) {
        release_slot(k, code);
    }
    if (k->state == CALL_WAITING) {
        TAILQ_REMOVE(k->at.mode == HF_CALL_WRITE ? &h->writes : &h->plain, k,
                     wait);
    }
    if (code == HF_OK || code == HF_EREFUSED || code == HF_EFULL) {
        k->reply = hf_reply_make(reply);
        code = k->reply != NULL ? code : HF_EPROTOCOL;
    }
    if (code == HF_OK) {
        bool null = k->reply->type == HF_REPLY_NULL;
        bool zero =
            k->reply->type == HF_REPLY_INTEGER && k->reply->integer == 0;

        code = (null && k->kind == CALL_NULL_IS_NO) ||
                       (zero && k->kind == CALL_ZERO_IS_NO)
                   ? HF_NO
                   : HF_OK;
    }
    if (code < 0 && k->error[0] == '\0') {
        snprintf(k->error, sizeof(k->error), "%s", h->error);
    }
    k->code = code;
    k->state = CALL_DONE;
    TAILQ_REMOVE(&h->all, k, all);
    TAILQ_INSERT_TAIL(&h->done, k, all);
}

static void deliver(struct hf_uv *h)
{
    struct ucall *k;

    while ((k = TAILQ_FIRST(&h->done)) != NULL) {
        TAILQ_REMOVE(&h->done, k, all);
        h->ncalls--;
        h->bytes -= k->words.n;
        buf_release(&k->words);
        k->cb(k->data, k->code, k->reply, k->code < 0 ? k->error : "");
        hf_reply_free(k->reply);
        free(k);
    }
}

/* ---- another node ---- */

static void set_back(struct hf_uv *h)
{
    h->current = h->nodes.n;
    h->setbacks++;
    if (h->setbacks % h->nodes.n == 0) {
        h->dial_at_ms = huv_now_ms(h) + h->pace_ms;
        h->pace_ms =
            h->pace_ms * 2 < HF_PACE_MAX_MS ? h->pace_ms * 2 : HF_PACE_MAX_MS;
    }
}

static void all_well(struct hf_uv *h)
{
    h->setbacks = 0;
    h->pace_ms = HF_PACE_FIRST_MS;
}

/* Node @i did not serve. The calls on it that say the same count once. */
static void leave(struct hf_uv *h, size_t i, enum node_luck luck)
{
    if (h->current == i) {
        nodes_luck(&h->nodes, i, luck, huv_now_ms(h));
        set_back(h);
    }
}

static void wait_again(struct ucall *k, bool at_once)
{
    struct hf_uv *h = k->h;

    k->state = CALL_WAITING;
    if (!at_once) {
        k->tries++;
        if (k->tries % h->nodes.n == 0) {
            k->not_before_ms = huv_now_ms(h) + k->pace_ms;
            k->pace_ms = k->pace_ms * 2 < HF_PACE_MAX_MS ? k->pace_ms * 2
                                                         : HF_PACE_MAX_MS;
        }
    }
    /* It has waited longer than all that were not sent yet. */
    if (k->at.mode == HF_CALL_WRITE) {
        TAILQ_INSERT_HEAD(&h->writes, k, wait);
    } else {
        TAILQ_INSERT_HEAD(&h->plain, k, wait);
    }
}

static void call_lost(struct ucall *k, bool opening, const char *why)
{
    int code;

    snprintf(k->error, sizeof(k->error), "%s", why);
    attempts_lost(&k->at, !opening);
    if (opening) {
        k->slot = NULL;
    }
    if (mutant(CLIENT_UV_RENUMBERS) && k->slot != NULL) {
        k->slot->id = 0;
    }
    if (attempts_after_loss(&k->at, &code) == NEXT_END) {
        finish(k, code, bytes_of(NULL, 0));
    } else {
        wait_again(k, false);
    }
}

static void inquiry_heard(struct hf_uv *h, size_t node, enum probe p);

void link_lost(struct link *l, enum node_luck luck, const char *why)
{
    struct hf_uv *h = l->h;
    size_t node = l->node;
    bool probe = l->probe;

    if (luck == NODE_FAILED) {
        h->turns[node]++;
    }
    link_close(l);
    if (probe) {
        inquiry_heard(h, node, PROBE_DEAD);
        return;
    }
    snprintf(h->error, sizeof(h->error), "%s", why);
    leave(h, node, luck);
    for (size_t i = 0; i < l->n; i++) {
        struct sent *s = link_sent(l, i);

        if (s->what == SENT_OPEN) {
            s->slot->id = 0;
            s->slot->busy = false;
        }
        if (s->call != NULL) {
            call_lost(s->call, s->what == SENT_OPEN, why);
        }
    }
    l->n = 0;
}

/* ---- sending ---- */

static struct slot *free_slot(struct hf_uv *h)
{
    struct slot *unopened = NULL;

    for (size_t i = 0; i < h->nslots; i++) {
        if (!h->slots[i].busy && h->slots[i].id != 0) {
            return &h->slots[i];
        }
        if (!h->slots[i].busy) {
            unopened = &h->slots[i];
        }
    }
    if (unopened == NULL && h->nslots < h->sessions_max) {
        unopened = &h->slots[h->nslots++];
    }
    return unopened;
}

static void send_call(struct ucall *k, struct link *l)
{
    struct sent s = {.what = SENT_CALL, .call = k};
    bool named = k->at.mode == HF_CALL_WRITE;
    struct buf b = BUF_INIT;

    hf_request_head(&b, named ? k->slot->id : 0, named ? k->slot->number : 0,
                    k->argc);
    buf_bytes_append(&b, buf_bytes(&k->words));
    k->state = CALL_SENT;
    link_send(l, buf_bytes(&b), s);
    buf_release(&b);
}

static void send_open(struct ucall *k, struct link *l)
{
    struct sent s = {.what = SENT_OPEN, .call = k, .slot = k->slot};

    k->state = CALL_OPENING;
    link_send(l, bytes_str("*2\r\n$4\r\nONCE\r\n$4\r\nOPEN\r\n"), s);
}

static void ask_status(struct link *l)
{
    struct sent s = {.what = SENT_STATUS};

    l->asking = true;
    link_send(l, bytes_str("*1\r\n$6\r\nSTATUS\r\n"), s);
}

/* The link to send on, begun if need be; NULL: none is up. */
static struct link *usable(struct hf_uv *h)
{
    struct link *l;

    if (h->current == h->nodes.n) {
        if (huv_now_ms(h) < h->dial_at_ms) {
            return NULL;
        }
        h->current = nodes_pick(&h->nodes, huv_now_ms(h));
    }
    l = h->links[h->current];
    if (l == NULL) {
        l = link_start(h, h->current, false);
        h->links[h->current] = l;
    }
    return l->state == LINK_UP ? l : NULL;
}

static void pump_plain(struct hf_uv *h, struct link *l)
{
    int64_t now = huv_now_ms(h);
    struct ucall *k = TAILQ_FIRST(&h->plain);

    while (k != NULL) {
        struct ucall *next = TAILQ_NEXT(k, wait);
        bool held =
            h->check_leader && !(h->opt.stale && k->at.mode == HF_CALL_READ);

        if (!held && now >= k->not_before_ms) {
            TAILQ_REMOVE(&h->plain, k, wait);
            send_call(k, l);
        }
        k = next;
    }
}

static void pump_writes(struct hf_uv *h, struct link *l)
{
    int64_t now = huv_now_ms(h);
    struct ucall *k = TAILQ_FIRST(&h->writes);

    while (k != NULL && !h->check_leader) {
        struct ucall *next = TAILQ_NEXT(k, wait);

        if (now >= k->not_before_ms) {
            if (k->slot == NULL) {
                k->slot = free_slot(h);
                if (k->slot == NULL) {
                    return; /* those behind it have none either */
                }
                k->slot->busy = true;
            }
            TAILQ_REMOVE(&h->writes, k, wait);
            if (k->slot->id == 0) {
                send_open(k, l);
            } else {
                send_call(k, l);
            }
        }
        k = next;
    }
}

static void pump(struct hf_uv *h)
{
    struct link *l;

    if (TAILQ_EMPTY(&h->plain) && TAILQ_EMPTY(&h->writes)) {
        return;
    }
    l = usable(h);
    if (l == NULL) {
        return;
    }
    if (h->check_leader && !l->asking) {
        ask_status(l);
    }
    pump_plain(h, l);
    pump_writes(h, l);
}

/* ---- replies ---- */

/* When all nodes want another password another try is no use. */
void huv_denied(struct hf_uv *h, struct bytes reply)
{
    struct ucall *k = TAILQ_FIRST(&h->all);

    h->denied++;
    while (k != NULL && h->denied >= h->nodes.n) {
        struct ucall *next = TAILQ_NEXT(k, all);

        if (k->state == CALL_WAITING) {
            snprintf(k->error, sizeof(k->error), "%.*s",
                     (int)(reply.n - 3 < 150 ? reply.n - 3 : 150),
                     (const char *)reply.p + 1);
            finish(k, k->at.doubt ? HF_EUNKNOWN : HF_EREFUSED, reply);
        }
        k = next;
    }
}

void link_up(struct link *l)
{
    if (!l->probe) {
        l->h->denied = 0;
    }
    if (l->probe) {
        ask_status(l);
    }
}

static void note_reply(struct ucall *k, const struct link *l, struct bytes r)
{
    int n = (int)(r.n < UV_ERROR_MAX ? r.n : UV_ERROR_MAX);

    if (r.p[0] == '-') {
        snprintf(k->error, sizeof(k->error), "%s: %.*s",
                 huv_addr(k->h, l->node), n > 3 ? n - 3 : 0,
                 (const char *)r.p + 1);
    }
}

/* "-MOVED slot host:port": go there if it is one of ours. */
static void follow(struct hf_uv *h, size_t from, struct bytes reply)
{
    char text[LIM_ADDR * 2];
    char addr[LIM_ADDR];
    int n = (int)(reply.n < sizeof(text) ? reply.n : sizeof(text) - 1);
    size_t to = h->nodes.n;

    snprintf(text, sizeof(text), "%.*s", n, (const char *)reply.p);
    if (sscanf(text, "-MOVED %*u %127s", addr) == 1) {
        to = nodes_find(&h->nodes, addr);
    }
    if (h->current == from) {
        h->current = to;
    }
}

static void judge(struct ucall *k,
                  struct link *l,
                  bool opening,
                  struct bytes reply)
{
    struct hf_uv *h = k->h;
    enum verdict v = hf_judge(reply);
    bool session_lost;
    int code;
    enum attempts_next next =
        attempts_judged(&k->at, v, opening, &session_lost, &code);

    note_reply(k, l, reply);
    if (v != VERDICT_NEXT && v != VERDICT_UNKNOWN) {
        nodes_luck(&h->nodes, l->node, NODE_ANSWERED, huv_now_ms(h));
        all_well(h);
    }
    if (session_lost && k->slot != NULL) {
        k->slot->id = 0;
    }
    switch (next) {
        case NEXT_END:
            finish(k, code, reply);
            return;
        case NEXT_AGAIN:
            wait_again(k, true);
            return;
        case NEXT_MOVED:
            follow(h, l->node, reply);
            break;
        case NEXT_NODE:
            h->check_leader = h->check_leader || v == VERDICT_NEXT;
            leave(h, l->node,
                  v == VERDICT_NEXT ? NODE_TURNED_AWAY : NODE_ANSWERED);
            break;
    }
    wait_again(k, false);
}

static void opened(struct link *l, struct sent s, struct bytes reply)
{
    struct hf_reply *r = hf_reply_make(reply);

    if (r != NULL && r->type == HF_REPLY_INTEGER && r->integer > 0) {
        s.slot->id = (uint64_t)r->integer;
        s.slot->number = 1;
        if (s.call != NULL) {
            send_call(s.call, l);
        } else {
            s.slot->busy = false;
        }
    } else {
        s.slot->busy = false;
        if (s.call != NULL) {
            s.call->slot = NULL;
            judge(s.call, l, true, reply);
        }
    }
    hf_reply_free(r);
}

static void status_known(struct link *l, struct bytes reply)
{
    struct hf_uv *h = l->h;
    enum probe p = probe_read(reply);

    l->asking = false;
    if (l->probe) {
        size_t node = l->node;

        link_close(l);
        inquiry_heard(h, node, p);
    } else if (p == PROBE_NO_LEADER) {
        snprintf(h->error, sizeof(h->error), "%s: knows no leader",
                 huv_addr(h, l->node));
        leave(h, l->node, NODE_TURNED_AWAY);
    } else {
        nodes_luck(&h->nodes, l->node, NODE_ANSWERED, huv_now_ms(h));
        h->check_leader = false;
    }
}

void link_reply(struct link *l, struct sent s, struct bytes reply)
{
    if (s.what == SENT_STATUS) {
        status_known(l, reply);
    } else if (s.what == SENT_OPEN) {
        opened(l, s, reply);
    } else if (s.call != NULL) {
        judge(s.call, l, false, reply);
    }
}

/* ---- silent nodes ---- */

static void inquiry_decide(struct hf_uv *h)
{
    struct inquiry *q = &h->inquiry;
    struct link *l = h->links[q->node];
    bool others = false;
    char why[UV_ERROR_MAX];

    for (size_t i = 0; i < h->nodes.n; i++) {
        others = others || (i != q->node && h->probes[i] != NULL);
    }
    if (!q->own_known ||
        (others && q->own == PROBE_NO_LEADER && !q->elsewhere)) {
        return; /* more is to be heard */
    }
    q->on = false;
    if (l == NULL) {
        return;
    }
    if (probe_says_leave(q->own, q->elsewhere)) {
        snprintf(why, sizeof(why), "%.100s: silent, %s", huv_addr(h, q->node),
                 q->own == PROBE_DEAD ? "and another connection is, too"
                                      : "knows no leader");
        link_lost(l, q->own == PROBE_DEAD ? NODE_FAILED : NODE_TURNED_AWAY,
                  why);
    } else {
        l->heard_ms = huv_now_ms(h);
    }
}

static void inquiry_heard(struct hf_uv *h, size_t node, enum probe p)
{
    struct inquiry *q = &h->inquiry;

    if (!q->on) {
        return;
    }
    if (node == q->node) {
        q->own_known = true;
        q->own = p;
    } else {
        q->elsewhere = q->elsewhere || p == PROBE_SERVES;
        if (p == PROBE_DEAD) {
            nodes_luck(&h->nodes, node, NODE_FAILED, huv_now_ms(h));
        }
    }
    inquiry_decide(h);
}

static void inquire(struct hf_uv *h, size_t node)
{
    struct inquiry q = {.on = true, .node = node};

    h->inquiry = q;
    for (size_t i = 0; i < h->nodes.n; i++) {
        if (h->probes[i] == NULL &&
            (i == node || h->nodes.list[i].state == HF_NODE_GOOD)) {
            h->probes[i] = link_start(h, i, true);
        }
    }
}

/* Look after the link to node @i. */
static void watch_link(struct hf_uv *h, size_t i, int64_t now)
{
    struct link *l = h->links[i];
    int64_t since;
    char why[UV_ERROR_MAX];

    if (l == NULL) {
        return;
    }
    link_tick(l, now);
    l = h->links[i];
    if (l == NULL || l->state != LINK_UP || l->n == 0) {
        return;
    }
    since = link_sent(l, 0)->at_ms;
    if (now - since >= HF_ANSWER_TIMEOUT &&
        now - l->heard_ms >= HF_SILENCE_TIMEOUT) {
        snprintf(why, sizeof(why), "%.100s: no answer in time", huv_addr(h, i));
        link_lost(l, NODE_FAILED, why);
        return;
    }
    since = since > l->heard_ms ? since : l->heard_ms;
    if (now - since >= HF_SILENCE_TIMEOUT && !h->inquiry.on) {
        inquire(h, i);
    }
}

/* ---- time ---- */

static void expire(struct hf_uv *h, int64_t now)
{
    struct ucall *k = TAILQ_FIRST(&h->all);

    while (k != NULL) {
        struct ucall *next = TAILQ_NEXT(k, all);

        if (now >= k->deadline_ms) {
            for (size_t i = 0; i < h->nodes.n; i++) {
                struct link *l = h->links[i];

                for (size_t j = 0; l != NULL && j < l->n; j++) {
                    if (link_sent(l, j)->call == k) {
                        link_sent(l, j)->call = NULL;
                    }
                }
            }
            if (k->state == CALL_SENT) {
                attempts_lost(&k->at, true);
                snprintf(k->error, sizeof(k->error), "no answer in time");
            }
            finish(k, attempts_timeout(&k->at), bytes_of(NULL, 0));
        }
        k = next;
    }
}

static bool is_idle(const struct hf_uv *h)
{
    bool idle = h->ncalls == 0;

    for (size_t i = 0; i < h->nodes.n; i++) {
        idle = idle && h->probes[i] == NULL &&
               (h->links[i] == NULL ||
                (h->links[i]->state == LINK_UP && h->links[i]->n == 0));
    }
    return idle;
}

static void tick_cb(uv_timer_t *t)
{
    struct hf_uv *h = t->data;
    int64_t now = huv_now_ms(h);

    for (size_t i = 0; i < h->nodes.n; i++) {
        watch_link(h, i, now);
        if (h->probes[i] != NULL) {
            struct link *l = h->probes[i];

            /* It has as long for its answer as for all before it. */
            link_tick(l, now);
            if (h->probes[i] == l &&
                now - l->start_ms >= hf_greeting_ms(&h->opt)) {
                link_lost(l, NODE_FAILED, "no answer");
            }
        }
    }
    expire(h, now);
    huv_settle(h);
}

static void kick_cb(uv_timer_t *t)
{
    huv_settle(t->data);
}

void huv_settle(struct hf_uv *h)
{
    if (h->closing) {
        return;
    }
    pump(h);
    for (size_t i = 0; i < h->nodes.n; i++) {
        if (h->links[i] != NULL) {
            link_flush(h->links[i]);
        }
        if (h->probes[i] != NULL) {
            link_flush(h->probes[i]);
        }
    }
    deliver(h);
    if (h->closing) {
        return;
    }
    if (h->ncalls > 0) {
        uv_ref((uv_handle_t *)&h->tick);
    } else {
        uv_unref((uv_handle_t *)&h->tick);
    }
    if (is_idle(h)) {
        uv_timer_stop(&h->tick);
    } else if (!uv_is_active((uv_handle_t *)&h->tick)) {
        uv_timer_start(&h->tick, tick_cb, HF_UV_TICK_MS, HF_UV_TICK_MS);
    }
}

/* ---- the handle ---- */

static void ignore_sigpipe(void)
{
    struct sigaction now;

    if (sigaction(SIGPIPE, NULL, &now) == 0 &&
        (now.sa_flags & SA_SIGINFO) == 0 && now.sa_handler == SIG_DFL) {
        now.sa_handler = SIG_IGN;
        (void)sigaction(SIGPIPE, &now, NULL);
    }
}

int hf_uv_open(uv_loop_t *loop,
               const char *endpoints,
               const struct hf_uv_options *opt,
               struct hf_uv **out)
{
    static const struct hf_uv_options none;
    struct hf_uv *h = hf_calloc(1, sizeof(*h));
    int rv = nodes_parse(&h->nodes, endpoints);

    if (rv != HF_OK) {
        free(h);
        return rv;
    }
    ignore_sigpipe();
    opt = opt != NULL ? opt : &none;
    h->loop = loop;
    hf_options_copy(&h->opt, &opt->common);
    h->calls_max = opt->calls_max > 0 ? opt->calls_max : HF_UV_CALLS;
    h->sessions_max =
        opt->sessions_max > 0 ? opt->sessions_max : HF_UV_SESSIONS;
    h->slots = hf_calloc(h->sessions_max, sizeof(*h->slots));
    h->current = h->nodes.n;
    h->pace_ms = HF_PACE_FIRST_MS;
    TAILQ_INIT(&h->all);
    TAILQ_INIT(&h->plain);
    TAILQ_INIT(&h->writes);
    TAILQ_INIT(&h->done);
    (void)uv_timer_init(loop, &h->tick); /* they cannot fail */
    (void)uv_timer_init(loop, &h->kick);
    h->tick.data = h;
    h->kick.data = h;
    h->holds = 2;
    *out = h;
    return HF_OK;
}

void huv_drop(struct hf_uv *h)
{
    hf_assert(h->holds > 0);
    h->holds--;
    if (h->holds > 0) {
        return;
    }
    hf_assert(h->closing);
    deliver(h);
    if (h->close_cb != NULL) {
        h->close_cb(h->close_data);
    }
    hf_options_release(&h->opt);
    free(h->slots);
    free(h);
}

static void timer_closed(uv_handle_t *handle)
{
    huv_drop(handle->data);
}

void hf_uv_close(struct hf_uv *h, void (*cb)(void *data), void *data)
{
    struct ucall *k;

    if (h->closing) {
        return;
    }
    h->closing = true;
    h->close_cb = cb;
    h->close_data = data;
    h->inquiry.on = false;
    while ((k = TAILQ_FIRST(&h->all)) != NULL) {
        attempts_lost(&k->at, k->state == CALL_SENT);
        snprintf(k->error, sizeof(k->error), "the handle was closed");
        finish(k, attempts_timeout(&k->at), bytes_of(NULL, 0));
    }
    for (size_t i = 0; i < h->nodes.n; i++) {
        if (h->links[i] != NULL) {
            link_close(h->links[i]);
        }
        if (h->probes[i] != NULL) {
            link_close(h->probes[i]);
        }
    }
    uv_close((uv_handle_t *)&h->tick, timer_closed);
    uv_close((uv_handle_t *)&h->kick, timer_closed);
}

/* ---- calls ---- */

static int submit(struct hf_uv *h,
                  enum ucall_kind kind,
                  enum hf_call_mode mode,
                  const struct hf_bytes *argv,
                  size_t argc,
                  uint32_t timeout_ms,
                  hf_uv_cb cb,
                  void *data)
{
    struct ucall *k;
    const char *error;
    size_t bytes = 0;
    int rv = h->closing ? HF_EARGUMENT : hf_check(argv, argc, &error);

    if (rv != HF_OK) {
        return rv;
    }
    for (size_t i = 0; i < argc; i++) {
        bytes += argv[i].n;
    }
    if (h->ncalls >= h->calls_max || bytes > HF_UV_BYTES_MAX - h->bytes) {
        return HF_EBUSY;
    }
    k = hf_calloc(1, sizeof(*k));
    k->h = h;
    k->kind = kind;
    k->at.mode = mode;
    k->at.nodes = h->nodes.n;
    k->argc = argc;
    k->cb = cb;
    k->data = data;
    k->pace_ms = HF_PACE_FIRST_MS;
    /* The clock of the loop stands still while the caller computes. */
    uv_update_time(h->loop);
    k->deadline_ms =
        huv_now_ms(h) + (timeout_ms > 0 ? timeout_ms : HF_TIMEOUT_DEFAULT);
    for (size_t i = 0; i < argc; i++) {
        resp_bulk(&k->words, bytes_of(argv[i].p, argv[i].n));
    }
    h->ncalls++;
    h->bytes += k->words.n;
    TAILQ_INSERT_TAIL(&h->all, k, all);
    if (mode == HF_CALL_WRITE) {
        TAILQ_INSERT_TAIL(&h->writes, k, wait);
    } else {
        TAILQ_INSERT_TAIL(&h->plain, k, wait);
    }
    if (!uv_is_active((uv_handle_t *)&h->kick)) {
        uv_timer_start(&h->kick, kick_cb, 0, 0);
    }
    return HF_OK;
}

int hf_uv_call(struct hf_uv *h,
               enum hf_call_mode mode,
               const struct hf_bytes *argv,
               size_t argc,
               uint32_t timeout_ms,
               hf_uv_cb cb,
               void *data)
{
    return submit(h, CALL_ANY, mode, argv, argc, timeout_ms, cb, data);
}

int hf_uv_get(struct hf_uv *h,
              struct hf_bytes key,
              uint32_t timeout_ms,
              hf_uv_cb cb,
              void *data)
{
    struct hf_bytes argv[] = {hf_str("GET"), key};

    return submit(h, CALL_NULL_IS_NO, HF_CALL_READ, argv, 2, timeout_ms, cb,
                  data);
}

int hf_uv_set(struct hf_uv *h,
              struct hf_bytes key,
              struct hf_bytes value,
              uint64_t ttl_ms,
              uint32_t timeout_ms,
              hf_uv_cb cb,
              void *data)
{
    char ttl[24];
    struct hf_bytes argv[] = {hf_str("SET"), key, value, hf_str("PX"),
                              hf_bytes(ttl, 0)};

    argv[4].n =
        (size_t)snprintf(ttl, sizeof(ttl), "%llu", (unsigned long long)ttl_ms);
    return submit(h, CALL_ANY, HF_CALL_WRITE, argv, ttl_ms > 0 ? 5 : 3,
                  timeout_ms, cb, data);
}

int hf_uv_del(struct hf_uv *h,
              struct hf_bytes key,
              uint32_t timeout_ms,
              hf_uv_cb cb,
              void *data)
{
    struct hf_bytes argv[] = {hf_str("DEL"), key};

    return submit(h, CALL_ZERO_IS_NO, HF_CALL_WRITE, argv, 2, timeout_ms, cb,
                  data);
}

int hf_uv_incr(struct hf_uv *h,
               struct hf_bytes key,
               int64_t by,
               uint32_t timeout_ms,
               hf_uv_cb cb,
               void *data)
{
    char text[24];
    struct hf_bytes argv[] = {hf_str("INCRBY"), key, hf_bytes(text, 0)};

    argv[2].n = (size_t)snprintf(text, sizeof(text), "%lld", (long long)by);
    return submit(h, CALL_ANY, HF_CALL_WRITE, argv, 3, timeout_ms, cb, data);
}

size_t hf_uv_nodes(const struct hf_uv *h, struct hf_node_info *out, size_t max)
{
    return nodes_info(&h->nodes, huv_now_ms(h), out, max);
}

const char *hf_uv_node(const struct hf_uv *h)
{
    return h->current < h->nodes.n && h->links[h->current] != NULL &&
                   h->links[h->current]->state == LINK_UP
               ? huv_addr(h, h->current)
               : "";
}

size_t hf_uv_pending(const struct hf_uv *h)
{
    return h->ncalls;
}
