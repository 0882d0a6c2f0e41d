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
    enum hf_call_mode mode;
    const struct hf_bytes *argv;
    size_t argc;
    int64_t deadline_ms;
    uint32_t pace_ms;
    size_t tries;       /* nodes given up in this call */
    size_t stale;       /* of them, because of stale data */
    bool reopened;      /* a lost session was replaced in this call */
    bool doubt;         /* a node may have the whole request */
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

/* "host:port", "host", "[v6 host]:port" or "[v6 host]". */
static int add_endpoint(struct hf *c, const char *s, size_t n)
{
    const char *colon = memrchr(s, ':', n);
    bool has_port = colon != NULL && s[n - 1] != ']';
    char *to;

    if (n == 0 || n >= LIM_ADDR - sizeof(":65535") ||
        c->nendpoints == HF_ENDPOINTS_MAX ||
        (has_port && (colon == s || colon == s + n - 1))) {
        return HF_EARGUMENT;
    }
    to = c->endpoints[c->nendpoints];
    memcpy(to, s, n);
    to[n] = '\0';
    if (!has_port) {
        snprintf(to + n, LIM_ADDR - n, ":%d", HF_PORT_DEFAULT);
    }
    c->nendpoints++;
    return HF_OK;
}

int hf_open(const char *endpoints,
            const struct hf_options *opt,
            struct hf **out)
{
    struct hf *c = hf_calloc(1, sizeof(*c));
    int rv = HF_OK;

    conn_init(&c->conn);
    while (rv == HF_OK) {
        size_t n = strcspn(endpoints, ",");

        rv = add_endpoint(c, endpoints, n);
        if (endpoints[n] == '\0') {
            break;
        }
        endpoints += n + 1;
    }
    if (rv != HF_OK) {
        free(c);
        return rv;
    }
    if (opt != NULL) {
        c->opt = *opt;
    }
    *out = c;
    return HF_OK;
}

void hf_close(struct hf *c)
{
    if (c != NULL) {
        conn_close(&c->conn);
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
static void next_node(struct call *k)
{
    struct hf *c = k->c;
    struct timespec ts;
    int64_t left;

    conn_close(&c->conn);
    c->next = (c->next + 1) % c->nendpoints;
    k->tries++;
    if (k->tries % c->nendpoints != 0) {
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

/* One command of the greeting. */
static int greet(struct call *k, struct buf *request, int64_t until_ms)
{
    struct conn *conn = &k->c->conn;
    bool sent;
    int rv = conn_exchange(conn, buf_bytes(request), until_ms,
                           HF_CONNECT_TIMEOUT, &sent, &k->reply);

    buf_clear(request);
    if (rv != CONN_OK) {
        return hf_fail(k->c, rv, "%s", conn->error);
    }
    if (k->reply.p[0] == '-') {
        note_reply(k);
        return CONN_EGARBAGE;
    }
    return CONN_OK;
}

/* Protocol 3, and stale reads if they were asked for. */
static int greet_all(struct call *k, int64_t until_ms)
{
    struct hf *c = k->c;
    struct buf b = BUF_INIT;
    int rv;

    buf_printf(&b, "*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n");
    rv = greet(k, &b, until_ms);
    if (rv == CONN_OK && c->opt.stale) {
        char age[16];

        snprintf(age, sizeof(age), "%u", c->opt.max_age_ms);
        resp_array(&b, c->opt.max_age_ms > 0 ? 3 : 1);
        resp_bulk_str(&b, "READONLY");
        if (c->opt.max_age_ms > 0) {
            resp_bulk_str(&b, "MAXAGE");
            resp_bulk_str(&b, age);
        }
        rv = greet(k, &b, until_ms);
    }
    buf_release(&b);
    return rv;
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
    until_ms = until_ms < k->deadline_ms ? until_ms : k->deadline_ms;
    memcpy(addr, c->moved[0] != '\0' ? c->moved : c->endpoints[c->next],
           LIM_ADDR);
    c->moved[0] = '\0';
    rv = conn_dial(&c->conn, addr, until_ms);
    if (rv != CONN_OK) {
        return hf_fail(c, rv, "%s", c->conn.error);
    }
    return greet_all(k, until_ms);
}

/* "MOVED slot host:port": dial that one next. */
static void follow(struct call *k)
{
    struct hf *c = k->c;
    char text[LIM_ADDR * 2];
    char addr[LIM_ADDR];
    int n = (int)(k->reply.n < sizeof(text) ? k->reply.n : sizeof(text) - 1);

    snprintf(text, sizeof(text), "%.*s", n, (const char *)k->reply.p);
    next_node(k);
    if (sscanf(text, "-MOVED %*u %127s", addr) == 1) {
        memcpy(c->moved, addr, LIM_ADDR);
    }
}

/* ---- one attempt ---- */

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
        next_node(k);
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
    struct buf *b = &k->request;
    char text[24];

    if (b->n > 0) {
        return; /* the same bytes again */
    }
    resp_array(b, k->argc + (k->mode == HF_CALL_WRITE ? 3 : 0));
    if (k->mode == HF_CALL_WRITE) {
        resp_bulk_str(b, "ONCE");
        snprintf(text, sizeof(text), "%llu", (unsigned long long)k->c->session);
        resp_bulk_str(b, text);
        snprintf(text, sizeof(text), "%llu", (unsigned long long)k->c->number);
        resp_bulk_str(b, text);
    }
    for (size_t i = 0; i < k->argc; i++) {
        resp_bulk(b, bytes_of(k->argv[i].p, k->argv[i].n));
    }
}

/* Send once, and judge. VERDICT_NEXT also for a lost attempt; k->doubt then
 * says whether it may have been taken. */
static enum verdict attempt(struct call *k)
{
    struct hf *c = k->c;
    int64_t silence_ms = HF_SILENCE_TIMEOUT;
    enum verdict v;
    bool sent;
    int rv;

    if (k->mode == HF_CALL_ONCE) {
        silence_ms = INT32_MAX; /* no second try to save time for */
    }
    write_request(k);
    rv = conn_exchange(&c->conn, buf_bytes(&k->request), k->deadline_ms,
                       silence_ms, &sent, &k->reply);
    if (rv != CONN_OK) {
        (void)hf_fail(c, rv, "%s", c->conn.error);
        k->doubt = k->doubt || (sent && k->mode != HF_CALL_READ);
        next_node(k);
        if (mutant(CLIENT_RENUMBERS) && k->mode == HF_CALL_WRITE) {
            c->session = 0;
        }
        return VERDICT_NEXT;
    }
    note_reply(k);
    v = hf_judge(k->reply);
    if (v == VERDICT_UNKNOWN && k->mode != HF_CALL_READ) {
        k->doubt = true;
    }
    if (!sent) {
        conn_close(&c->conn); /* refused half-way: out of step */
    }
    return v;
}

/* ---- the whole call ---- */

/* What to do after a verdict. 1: *@code is the result; 0: once more. */
static int decide(struct call *k, enum verdict v, int *code)
{
    struct hf *c = k->c;
    bool doubt = k->doubt && !mutant(CLIENT_BELIEVES_REFUSAL);

    switch (v) {
        case VERDICT_DONE:
            *code = HF_OK;
            return 1;
        case VERDICT_REFUSED:
            *code = HF_EREFUSED;
            return 1;
        case VERDICT_DENIED:
            *code = doubt ? HF_EUNKNOWN : HF_EREFUSED;
            return 1;
        case VERDICT_FULL:
            if (!doubt) {
                *code = HF_EFULL;
                return 1;
            }
            break;
        case VERDICT_STALE:
            if (++k->stale >= c->nendpoints) {
                *code = HF_ESTALE;
                return 1;
            }
            break;
        case VERDICT_NOSESSION:
            c->session = 0;
            if (k->doubt && !mutant(CLIENT_FORGETS_SESSION)) {
                *code = HF_EUNKNOWN;
                return 1;
            }
            if (!k->reopened) {
                k->reopened = true; /* at once, but only once */
                return 0;
            }
            break;
        case VERDICT_MOVED:
            follow(k);
            return 0;
        default:
            break;
    }
    if (k->doubt && k->mode == HF_CALL_ONCE &&
        !mutant(CLIENT_RESENDS_UNNAMED)) {
        *code = HF_EUNKNOWN;
        return 1;
    }
    /* An attempt that was lost has closed its connection already. */
    if (c->conn.fd >= 0) {
        next_node(k);
    }
    return 0;
}

static int run(struct call *k)
{
    int code = HF_EPROTOCOL;

    while (conn_now_ms() < k->deadline_ms) {
        enum verdict v;

        if (connect_once(k) != CONN_OK) {
            next_node(k);
            continue;
        }
        if (k->mode == HF_CALL_WRITE && have_session(k) == 0) {
            if (k->c->conn.fd < 0) {
                continue; /* lost */
            }
            note_reply(k);
            v = hf_judge(k->reply);
            v = v == VERDICT_DONE || v == VERDICT_UNKNOWN ? VERDICT_NEXT : v;
        } else {
            v = attempt(k);
        }
        if (decide(k, v, &code) != 0) {
            return code;
        }
    }
    return k->doubt ? HF_EUNKNOWN : HF_ENOLEADER;
}

/* The session after a named write. */
static void settle(struct call *k, int code)
{
    struct hf *c = k->c;

    if (k->mode != HF_CALL_WRITE) {
        return;
    }
    if (code == HF_OK) {
        c->number++;
    } else if (!mutant(CLIENT_REUSES_NUMBER)) {
        c->session = 0;
    }
}

static int check(struct hf *c, const struct hf_bytes *argv, size_t argc)
{
    size_t total = 0;

    if (argc == 0 || argc > LIM_ARGS - 3) {
        return hf_fail(c, HF_EARGUMENT, "a command has 1 to %d words",
                       LIM_ARGS - 3);
    }
    for (size_t i = 0; i < argc; i++) {
        if (argv[i].n > HF_REQUEST_MAX - total) {
            return hf_fail(c, HF_ETOOBIG, "the request is over %d bytes",
                           HF_REQUEST_MAX);
        }
        total += argv[i].n;
    }
    return HF_OK;
}

int hf_call(struct hf *c,
            enum hf_call_mode mode,
            const struct hf_bytes *argv,
            size_t argc,
            uint32_t timeout_ms,
            struct hf_reply **reply_out)
{
    struct call k = {.c = c, .mode = mode, .argv = argv, .argc = argc};
    struct hf_reply *r = NULL;
    int code = check(c, argv, argc);

    if (reply_out != NULL) {
        *reply_out = NULL;
    }
    if (code != HF_OK) {
        return code;
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
    buf_release(&k.request);
    if (reply_out != NULL) {
        *reply_out = r;
    } else {
        hf_reply_free(r);
    }
    return code;
}
