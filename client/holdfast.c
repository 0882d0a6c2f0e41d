/* libholdfast: one request until it is decided.
 *
 * A write is sent as "ONCE session number command". The cluster applies each
 * number of a session once and keeps the reply to the last one, so when an
 * answer is lost the same bytes go to the next node until one tells how it
 * ended. Three rules keep this honest:
 *
 *  - From the moment that a node may have the whole request, the attempt is
 *    in doubt. A later attempt that is turned away (no leader, no room, no
 *    permission) says nothing about an earlier one in doubt.
 *  - A number is given up, with its session, as soon as it is not certain
 *    whether it was taken: after an error reply and after a doubt that was
 *    not resolved. Else the next write could get the old one's reply.
 *  - When the session is gone, an attempt in doubt can never be resolved:
 *    HF_EUNKNOWN, not another try under a new name. */
#include "client/holdfast.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/assert.h"
#include "base/mutant.h"
#include "client/conn.h"
#include "client/hf_int.h"
#include "resp/resp.h"

/* One call under way. */
struct call {
    struct hf *c;
    struct attempts at; /* what is known of it */
    const struct hf_bytes *argv;
    size_t argc;
    int64_t deadline_ms;
    uint32_t pace_ms;
    size_t tries;       /* nodes given up in this call */
    size_t denied;      /* greetings that were refused for want of a password */
    bool spent;         /* the connection is no use once @reply was read */
    bool turned_away;   /* by the node before, for want of a leader */
    int64_t sent_ms;    /* begin of the last attempt */
    struct buf request; /* empty: to be written */
    struct bytes reply; /* of the last attempt; borrowed from the conn */
};

int hf_fail(struct hf *c, int code, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(c->error, sizeof(c->error), fmt, ap);
    va_end(ap);
    return code;
}

int hf_open(const char *endpoints,
            const struct hf_options *opt,
            struct hf **out)
{
    struct hf *c = hf_calloc(1, sizeof(*c));
    int rv = nodes_parse(&c->nodes, endpoints);

    conn_init(&c->conn);
    if (rv != HF_OK) {
        free(c);
        return rv;
    }
    c->node = c->nodes.n;
    if (opt != NULL) {
        hf_options_copy(&c->opt, opt);
    }
    *out = c;
    return HF_OK;
}

void hf_close(struct hf *c)
{
    if (c != NULL) {
        conn_close(&c->conn);
        hf_options_release(&c->opt);
        free(c);
    }
}

const char *hf_error(const struct hf *c)
{
    return c->error;
}

const char *hf_node(const struct hf *c)
{
    return c->conn.fd >= 0 ? c->conn.addr : "";
}

size_t hf_nodes(const struct hf *c, struct hf_node_info *out, size_t max)
{
    return nodes_info(&c->nodes, conn_now_ms(), out, max);
}

/* ---- finding a node ---- */

/* Keep the text of the error reply at hand. */
static void note_reply(struct call *k)
{
    struct bytes r = k->reply;

    if (r.n > 3 && r.p[0] == '-') {
        int n = (int)(r.n - 3 > HF_ERROR_MAX ? HF_ERROR_MAX : r.n - 3);

        (void)hf_fail(k->c, 0, "%s: %.*s", k->c->conn.addr, n,
                      (const char *)r.p + 1);
    }
}

/* Give up the node in use; pause when all of them had their turn. */
static void next_node(struct call *k, enum node_luck luck)
{
    struct hf *c = k->c;
    struct timespec ts;
    int64_t left;

    conn_close(&c->conn);
    if (conn_stopped(&c->conn)) {
        return; /* by whoever asked: no fault of the node */
    }
    nodes_luck(&c->nodes, c->node, luck, conn_now_ms());
    k->tries++;
    if (k->tries % c->nodes.n != 0) {
        return;
    }
    left = k->deadline_ms - conn_now_ms();
    left = left < (int64_t)k->pace_ms ? left : (int64_t)k->pace_ms;
    if (left > 0) {
        ts.tv_sec = left / 1000;
        ts.tv_nsec = left % 1000 * 1000000;
        (void)nanosleep(&ts, NULL);
    }
    k->pace_ms =
        k->pace_ms * 2 < HF_PACE_MAX_MS ? k->pace_ms * 2 : HF_PACE_MAX_MS;
}

/* Send @b, which is emptied, and wait for its reply. */
static int ask(struct conn *conn,
               struct buf *b,
               int64_t until_ms,
               struct bytes *reply)
{
    bool sent;
    int rv = conn_exchange(conn, buf_bytes(b), until_ms, HF_AUTH_TIMEOUT, &sent,
                           reply);

    buf_clear(b);
    return rv;
}

/* Protocol 3, and stale reads if they were asked for. An error reply is
 * CONN_EGARBAGE; *@reply is it. */
static int greet(const struct hf *c,
                 struct conn *conn,
                 int64_t until_ms,
                 struct bytes *reply)
{
    struct buf b = BUF_INIT;
    int rv;

    *reply = bytes_of(NULL, 0);
    hf_greeting(&c->opt, &b);
    rv = ask(conn, &b, until_ms, reply);
    if (rv == CONN_OK && reply->p[0] == '-') {
        rv = CONN_EGARBAGE;
    }
    if (rv == CONN_OK && c->opt.stale) {
        hf_greeting_stale(&c->opt, &b);
        rv = ask(conn, &b, until_ms, reply);
        if (rv == CONN_OK && reply->p[0] == '-') {
            rv = CONN_EGARBAGE;
        }
    }
    buf_release(&b);
    return rv;
}

static int64_t sooner(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* One try to have a connection. */
static int connect_once(struct call *k)
{
    struct hf *c = k->c;
    int64_t until_ms = conn_now_ms() + HF_CONNECT_TIMEOUT;
    char addr[LIM_ADDR];
    int rv;

    if (c->conn.fd >= 0) {
        return CONN_OK;
    }
    until_ms = sooner(until_ms, k->deadline_ms);
    if (c->moved[0] != '\0') {
        memcpy(addr, c->moved, LIM_ADDR);
        c->node = nodes_find(&c->nodes, addr);
    } else {
        c->node = nodes_pick(&c->nodes, conn_now_ms());
        memcpy(addr, c->nodes.list[c->node].addr, LIM_ADDR);
    }
    c->moved[0] = '\0';
    rv = conn_dial(&c->conn, addr, until_ms);
    if (rv != CONN_OK) {
        return hf_fail(c, rv, "%s", c->conn.error);
    }
    until_ms = sooner(conn_now_ms() + hf_greeting_ms(&c->opt), k->deadline_ms);
    rv = greet(c, &c->conn, until_ms, &k->reply);
    if (rv == CONN_EGARBAGE && k->reply.n > 0) {
        note_reply(k);
    } else if (rv != CONN_OK) {
        return hf_fail(c, rv, "%s", c->conn.error);
    }
    return rv;
}

/* ---- silent nodes ---- */

static int ask_status(struct conn *conn, int64_t until_ms, struct bytes *reply)
{
    struct buf b = BUF_INIT;
    int rv;

    resp_array(&b, 1);
    resp_bulk_str(&b, "STATUS");
    rv = ask(conn, &b, until_ms, reply);
    buf_release(&b);
    return rv;
}

/* Ask node @addr over a connection of its own how it is. */
static enum probe probe(struct call *k, const char *addr)
{
    int64_t until_ms =
        sooner(conn_now_ms() + HF_CONNECT_TIMEOUT, k->deadline_ms);
    enum probe p = PROBE_DEAD;
    struct bytes reply;
    struct conn conn;

    conn_init(&conn);
    if (conn_dial(&conn, addr, until_ms) == CONN_OK) {
        int rv;

        until_ms =
            sooner(conn_now_ms() + hf_greeting_ms(&k->c->opt), k->deadline_ms);
        rv = greet(k->c, &conn, until_ms, &reply);

        if (rv == CONN_OK) {
            rv = ask_status(&conn, until_ms, &reply);
        }
        if (rv == CONN_OK || (rv == CONN_EGARBAGE && reply.n > 0)) {
            p = probe_read(reply);
        }
    }
    conn_close(&conn);
    return p;
}

/* Does a node other than the one in use know a leader? */
static bool served_elsewhere(struct call *k)
{
    struct nodes *s = &k->c->nodes;

    for (size_t i = 0; i < s->n && conn_now_ms() < k->deadline_ms &&
                       !conn_stopped(&k->c->conn);
         i++) {
        enum probe p;

        if (i == k->c->node || s->list[i].state != HF_NODE_GOOD) {
            continue;
        }
        p = probe(k, s->list[i].addr);
        if (p == PROBE_SERVES) {
            return true;
        }
        if (p == PROBE_DEAD) {
            nodes_luck(s, i, NODE_FAILED, conn_now_ms());
        }
    }
    return false;
}

/* The node in use has been silent for HF_SILENCE_TIMEOUT. */
static bool wait_on(void *data)
{
    struct call *k = data;
    struct conn *conn = &k->c->conn;
    enum probe own;
    bool elsewhere;

    if (conn_now_ms() - k->sent_ms >= HF_ANSWER_TIMEOUT) {
        return false;
    }
    own = probe(k, conn->addr);
    elsewhere = own == PROBE_NO_LEADER && served_elsewhere(k);
    if (own == PROBE_NO_LEADER) {
        snprintf(conn->error, sizeof(conn->error), "%s: knows no leader",
                 conn->addr);
    }
    return !probe_says_leave(own, elsewhere);
}

/* A node that knows no leader would keep a write until its own deadline, and
 * if that is behind ours, leave us in doubt. So after one has turned it away,
 * the next one is asked first. */
static bool would_park(struct call *k)
{
    struct hf *c = k->c;
    struct bytes reply;

    if (!k->turned_away || k->at.doubt || k->at.mode == HF_CALL_READ) {
        return false;
    }
    k->turned_away = false;
    if (ask_status(&c->conn,
                   sooner(conn_now_ms() + HF_CONNECT_TIMEOUT, k->deadline_ms),
                   &reply) != CONN_OK) {
        (void)hf_fail(c, 0, "%s", c->conn.error);
        next_node(k, NODE_FAILED);
        k->turned_away = true;
        return true;
    }
    if (probe_read(reply) == PROBE_NO_LEADER) {
        (void)hf_fail(c, 0, "%s: knows no leader", c->conn.addr);
        next_node(k, NODE_TURNED_AWAY);
        k->turned_away = true;
        return true;
    }
    return false;
}

/* "MOVED slot host:port": dial that one next. */
static void follow(struct call *k)
{
    struct hf *c = k->c;
    char text[LIM_ADDR * 2];
    char addr[LIM_ADDR];
    int n = (int)(k->reply.n < sizeof(text) ? k->reply.n : sizeof(text) - 1);

    snprintf(text, sizeof(text), "%.*s", n, (const char *)k->reply.p);
    next_node(k, NODE_ANSWERED);
    if (sscanf(text, "-MOVED %*u %127s", addr) == 1) {
        memcpy(c->moved, addr, LIM_ADDR);
    }
}

/* ---- one attempt ---- */

static enum node_luck luck_of(int rv)
{
    return rv == CONN_ELOST ? NODE_TURNED_AWAY : NODE_FAILED;
}

/* Open a session if there is none. It changes nothing for anybody, so it is
 * simply tried again. 1: there is one; 0: try again. */
static int have_session(struct call *k)
{
    struct hf *c = k->c;
    struct buf b = BUF_INIT;
    struct hf_reply *r;
    bool sent;
    int rv;

    if (c->session != 0) {
        return 1;
    }
    buf_printf(&b, "*2\r\n$4\r\nONCE\r\n$4\r\nOPEN\r\n");
    rv = conn_exchange(&c->conn, buf_bytes(&b), k->deadline_ms,
                       HF_SILENCE_TIMEOUT, &sent, &k->reply);
    buf_release(&b);
    if (rv != CONN_OK) {
        (void)hf_fail(c, rv, "%s", c->conn.error);
        next_node(k, luck_of(rv));
        return 0;
    }
    r = hf_reply_make(k->reply);
    if (r != NULL && r->type == HF_REPLY_INTEGER && r->integer > 0) {
        c->session = (uint64_t)r->integer;
        c->number = 1;
        buf_clear(&k->request);
    }
    hf_reply_free(r);
    return c->session != 0 ? 1 : 0;
}

static void write_request(struct call *k)
{
    bool named = k->at.mode == HF_CALL_WRITE;

    if (k->request.n == 0) { /* else the same bytes again */
        hf_request(&k->request, named ? k->c->session : 0, k->c->number,
                   k->argv, k->argc);
    }
}

/* Send once, and judge. VERDICT_NEXT also for a lost attempt; k->at then
 * says whether it may have been taken. */
static enum verdict attempt(struct call *k)
{
    struct hf *c = k->c;
    int64_t silence_ms = HF_SILENCE_TIMEOUT;
    enum verdict v;
    bool sent;
    int rv;

    if (k->at.mode == HF_CALL_ONCE) {
        silence_ms = INT32_MAX; /* no second try to save time for */
    }
    write_request(k);
    c->conn.wait_on = wait_on;
    c->conn.data = k;
    k->sent_ms = conn_now_ms();
    rv = conn_exchange(&c->conn, buf_bytes(&k->request), k->deadline_ms,
                       silence_ms, &sent, &k->reply);
    c->conn.wait_on = NULL;
    if (rv != CONN_OK) {
        (void)hf_fail(c, rv, "%s", c->conn.error);
        attempts_lost(&k->at, sent);
        next_node(k, luck_of(rv));
        if (mutant(CLIENT_RENUMBERS) && k->at.mode == HF_CALL_WRITE) {
            c->session = 0;
        }
        return VERDICT_NEXT;
    }
    note_reply(k);
    v = hf_judge(k->reply);
    k->spent = !sent; /* refused half-way: out of step */
    return v;
}

/* ---- the whole call ---- */

/* What to do after a verdict. 1: *@code is the result; 0: once more. */
static int decide(struct call *k, enum verdict v, bool opening, int *code)
{
    struct hf *c = k->c;
    bool session_lost;
    enum attempts_next next =
        attempts_judged(&k->at, v, opening, &session_lost, code);

    if (session_lost) {
        c->session = 0;
    }
    if (v != VERDICT_NEXT && v != VERDICT_UNKNOWN) {
        nodes_luck(&c->nodes, c->node, NODE_ANSWERED, conn_now_ms());
    }
    switch (next) {
        case NEXT_END:
            return 1;
        case NEXT_AGAIN:
            return 0;
        case NEXT_MOVED:
            follow(k);
            return 0;
        case NEXT_NODE:
            /* An attempt that was lost has closed its connection already. */
            if (c->conn.fd >= 0) {
                k->turned_away = v == VERDICT_NEXT;
                next_node(k,
                          v == VERDICT_NEXT ? NODE_TURNED_AWAY : NODE_ANSWERED);
            }
            return 0;
    }
    return 0;
}

/* Every node wants a password, or another one: another try is no use. */
static bool shut_out(struct call *k, int rv)
{
    k->spent = rv == CONN_EGARBAGE && attempts_shut_out(k->reply) &&
               ++k->denied >= k->c->nodes.n;
    return k->spent;
}

static int run(struct call *k)
{
    int code = HF_EPROTOCOL;

    while (conn_now_ms() < k->deadline_ms && !conn_stopped(&k->c->conn)) {
        enum verdict v;
        bool opening;
        int rv;

        if (k->spent) {
            conn_close(&k->c->conn);
            k->spent = false;
        }
        rv = connect_once(k);
        if (rv != CONN_OK && shut_out(k, rv)) {
            return k->at.doubt ? HF_EUNKNOWN : HF_EREFUSED;
        }
        if (rv != CONN_OK) {
            next_node(k, rv == CONN_EGARBAGE || rv == CONN_ELOST
                             ? NODE_TURNED_AWAY
                             : NODE_FAILED);
            continue;
        }
        if (would_park(k)) {
            continue;
        }
        opening = k->at.mode == HF_CALL_WRITE && have_session(k) == 0;
        if (opening && k->c->conn.fd < 0) {
            continue; /* lost */
        }
        if (opening) {
            note_reply(k);
            v = hf_judge(k->reply);
        } else {
            v = attempt(k);
        }
        if (decide(k, v, opening, &code) != 0) {
            return code;
        }
    }
    if (k->c->error[0] == '\0' && conn_stopped(&k->c->conn)) {
        (void)hf_fail(k->c, 0, "interrupted");
    }
    return attempts_timeout(&k->at);
}

/* The session after a named write. */
static void settle(struct call *k, int code)
{
    struct hf *c = k->c;

    if (k->at.mode != HF_CALL_WRITE) {
        return;
    }
    if (!attempts_keep_session(code)) {
        c->session = 0;
    } else if (code == HF_OK) {
        c->number++;
    }
}

int hf_call(struct hf *c,
            enum hf_call_mode mode,
            const struct hf_bytes *argv,
            size_t argc,
            uint32_t timeout_ms,
            struct hf_reply **reply_out)
{
    struct call k = {.c = c,
                     .at = {.mode = mode, .nodes = c->nodes.n},
                     .argv = argv,
                     .argc = argc};
    struct hf_reply *r = NULL;
    const char *error;
    int code = hf_check(argv, argc, &error);

    if (reply_out != NULL) {
        *reply_out = NULL;
    }
    if (code != HF_OK) {
        return hf_fail(c, code, "%s", error);
    }
    if (timeout_ms == 0) {
        timeout_ms = HF_TIMEOUT_DEFAULT;
    }
    c->error[0] = '\0';
    k.deadline_ms = conn_now_ms() + timeout_ms;
    k.pace_ms = HF_PACE_FIRST_MS;
    code = run(&k);
    settle(&k, code);
    if (code == HF_OK || code == HF_EREFUSED || code == HF_EFULL) {
        r = hf_reply_make(k.reply);
        if (r == NULL) {
            code =
                hf_fail(c, HF_EPROTOCOL, "%s: senseless reply", c->conn.addr);
        }
    }
    if (k.spent) {
        conn_close(&c->conn);
    }
    buf_release(&k.request);
    if (reply_out != NULL) {
        *reply_out = r;
    } else {
        hf_reply_free(r);
    }
    return code;
}
