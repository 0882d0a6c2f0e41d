/* What a client does with the cluster, and how it writes that down. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mutant.h"
#include "jepsen-lite/load.h"

enum {
    WORDS_MAX = 256, /* of one request */
    SILENCE_MAX = 5, /* failed connects before one that stays goes away */
    CHANGE_MS = 3000 /* about the time between two changes by habit */
};

/* ---- who ---- */

uint64_t load_process(struct load *l)
{
    uint64_t p;

    pthread_mutex_lock(&l->lock);
    p = l->next_process++;
    pthread_mutex_unlock(&l->lock);
    return p;
}

bool load_over(const struct load *l)
{
    return rconn_now_ms() >= l->end_ms;
}

void client_init(struct client *c, struct load *l, uint64_t seed)
{
    memset(c, 0, sizeof(*c));
    c->load = l;
    c->rng.s = seed;
    c->p = load_process(l);
    c->node = 1 + (int)rng_below(&c->rng, (uint64_t)l->n_nodes);
    c->resp3 = rng_permille(&c->rng, 500);
    c->on_cluster = rng_permille(&c->rng, 330);
    c->timeout_ms =
        rng_permille(&c->rng, 250) ? LOAD_SHORT_MS : LOAD_TIMEOUT_MS;
    c->habit = rng_permille(&c->rng, 500)   ? HABIT_STAY
               : rng_permille(&c->rng, 500) ? HABIT_MOVE
                                            : HABIT_RECONNECT;
    rconn_init(&c->conn);
    client_habit(c);
}

void client_disconnect(struct client *c)
{
    rconn_close(&c->conn);
    lib_close(c->lib);
    c->lib = NULL;
}

void client_release(struct client *c)
{
    client_disconnect(c);
    buf_release(&c->op.v);
    buf_release(&c->op.more);
}

void client_go(struct client *c, int node)
{
    client_disconnect(c);
    c->node = node;
}

void client_next_node(struct client *c)
{
    client_go(c, 1 + c->node % c->load->n_nodes);
}

void client_habit(struct client *c)
{
    int64_t now = rconn_now_ms();

    if (now < c->change_ms) {
        return;
    }
    if (c->change_ms != 0 && c->habit == HABIT_RECONNECT) {
        client_disconnect(c);
    }
    if (c->change_ms != 0 && c->habit == HABIT_MOVE) {
        client_go(c, 1 + (int)rng_below(&c->rng, (uint64_t)c->load->n_nodes));
    }
    c->change_ms = now + CHANGE_MS / 2 + (int64_t)rng_below(&c->rng, CHANGE_MS);
}

/* ---- connecting ---- */

static const char *address(const struct client *c)
{
    const struct node_at *n = &c->load->nodes[c->node - 1];

    return c->on_cluster ? n->cluster : n->plain;
}

/* The node at @addr; @fallback when there is none. */
static int node_of(const struct load *l, const char *addr, int fallback)
{
    for (int i = 0; i < l->n_nodes; i++) {
        if (strcmp(l->nodes[i].plain, addr) == 0 ||
            strcmp(l->nodes[i].cluster, addr) == 0) {
            return i + 1;
        }
    }
    return fallback;
}

/* Say who we are on a connection just made. */
static bool greet(struct client *c, int64_t deadline_ms)
{
    struct buf b = BUF_INIT;
    struct answer a = {0};
    bool ok;
    size_t n = 1;

    buf_printf(&b, "HELLO %d\r\n", c->resp3 ? 3 : 2);
    if (c->stale && c->max_age_ms > 0) {
        buf_printf(&b, "READONLY MAXAGE %u\r\n", c->max_age_ms);
        n++;
    } else if (c->stale) {
        buf_printf(&b, "READONLY\r\n");
        n++;
    }
    ok = rconn_exchange(&c->conn, buf_bytes(&b), n, deadline_ms, &a) == OUT_OK;
    for (size_t i = 0; ok && i < n; i++) {
        ok = a.root->items[i].type != RESP_ERROR;
    }
    if (!ok) {
        rconn_close(&c->conn);
    }
    answer_clear(&a);
    buf_release(&b);
    return ok;
}

bool client_connect(struct client *c, int64_t deadline_ms)
{
    int64_t until = rconn_now_ms() + LOAD_CONNECT_MS;

    if (rconn_alive(&c->conn)) {
        return true;
    }
    if (until > deadline_ms) {
        until = deadline_ms;
    }
    if (!rconn_dial(&c->conn, address(c), until) || !greet(c, until)) {
        snprintf(c->error, sizeof(c->error), "%s", c->conn.error);
        c->failures++;
        if (c->failures % SILENCE_MAX == 0 && !c->final) {
            client_next_node(c);
        }
        return false;
    }
    c->failures = 0;
    pthread_mutex_lock(&c->load->lock);
    c->session = ++c->load->next_session;
    pthread_mutex_unlock(&c->load->lock);
    return true;
}

/* All nodes, this client's first. */
static bool open_lib(struct client *c)
{
    struct buf b = BUF_INIT;
    const struct load *l = c->load;

    if (c->lib != NULL) {
        return true;
    }
    for (int i = 0; i < l->n_nodes; i++) {
        int node = (c->node - 1 + i) % l->n_nodes;

        buf_printf(&b, "%s%s", i == 0 ? "" : ",", l->nodes[node].plain);
    }
    c->lib = lib_open(op_text(&b), c->stale, c->max_age_ms);
    buf_release(&b);
    hf_assert(c->lib != NULL);
    return true;
}

/* ---- requests ---- */

/* Split @text at spaces into @words, which lend from it. */
static size_t split(const char *text, size_t n, struct bytes words[WORDS_MAX])
{
    size_t count = 0;
    size_t from = 0;

    for (size_t i = 0; i <= n; i++) {
        if (i < n && text[i] != ' ') {
            continue;
        }
        if (i > from) {
            struct bytes w = bytes_of(text + from, i - from);

            hf_assert(count < WORDS_MAX);
            words[count++] =
                bytes_eq(w, bytes_str("''")) ? bytes_of(w.p, 0) : w;
        }
        from = i + 1;
    }
    return count;
}

static void put_command(struct buf *b, const char *text, size_t n)
{
    struct bytes words[WORDS_MAX];
    size_t count = split(text, n, words);

    resp_request(b, words, count);
}

static void note(struct client *c, const struct resp_value *v)
{
    snprintf(c->error, sizeof(c->error), "%.*s", (int)v->str.n,
             (const char *)v->str.p);
}

/* Any reply of them that sends us elsewhere. */
static bool moved(const struct answer *a, char addr[LIM_ADDR])
{
    for (size_t i = 0; i < a->root->n; i++) {
        if (rconn_moved(&a->root->items[i], addr)) {
            return true;
        }
    }
    return false;
}

/* Send @request, @n commands; the last reply counts. Where the cluster port
 * points to another node, go there: nothing was applied. */
static enum outcome send_resp(struct client *c,
                              struct bytes request,
                              size_t n,
                              struct answer *a)
{
    int64_t deadline_ms = rconn_now_ms() + c->timeout_ms;
    char addr[LIM_ADDR];
    enum outcome o;

    for (int hops = 0;; hops++) {
        if (c->pinned && !rconn_alive(&c->conn)) {
            snprintf(c->error, sizeof(c->error), "connection lost before");
            return OUT_FAIL;
        }
        if (!c->pinned && !client_connect(c, deadline_ms)) {
            return OUT_FAIL;
        }
        o = rconn_exchange(&c->conn, request, n, deadline_ms, a);
        if (o != OUT_OK) {
            snprintf(c->error, sizeof(c->error), "%s", c->conn.error);
            return o;
        }
        o = rconn_judge(a->v);
        if (o == OUT_OK) {
            return o;
        }
        note(c, a->v);
        if (o == OUT_INFO || c->pinned || hops == LOAD_MOVES_MAX ||
            !moved(a, addr)) {
            return o;
        }
        client_go(c, node_of(c->load, addr, c->node));
    }
}

static enum outcome send_lib(struct client *c,
                             bool write,
                             const char *text,
                             size_t n,
                             struct answer *a)
{
    struct bytes words[WORDS_MAX];
    size_t count = split(text, n, words);
    enum outcome o;

    open_lib(c);
    o = lib_call(c->lib, write, words, count, c->timeout_ms, a);
    if (o != OUT_OK) {
        snprintf(c->error, sizeof(c->error), "%s", lib_error(c->lib));
    }
    c->node = node_of(c->load, lib_node(c->lib), c->node);
    return o;
}

static enum outcome one_command(struct client *c,
                                bool write,
                                const char *text,
                                size_t n,
                                struct answer *a)
{
    struct buf b = BUF_INIT;
    enum outcome o;

    if (c->via_lib) {
        return send_lib(c, write, text, n, a);
    }
    put_command(&b, text, n);
    o = send_resp(c, buf_bytes(&b), 1, a);
    buf_release(&b);
    return o;
}

enum outcome client_do(struct client *c,
                       bool write,
                       struct answer *a,
                       const char *fmt,
                       ...)
{
    enum outcome o;
    va_list ap;
    char *text;
    int n;

    va_start(ap, fmt);
    n = vasprintf(&text, fmt, ap);
    va_end(ap);
    hf_assert(n > 0);
    o = one_command(c, write, text, (size_t)n, a);
    free(text);
    return o;
}

/* ---- transactions ---- */

static size_t count_of(const char *s, char ch)
{
    size_t n = 0;

    for (; *s != '\0'; s++) {
        n += *s == ch;
    }
    return n;
}

static enum outcome as_txn(struct client *c,
                           const char *conds,
                           const char *cmds,
                           struct answer *a)
{
    struct buf b = BUF_INIT;
    enum outcome o;

    buf_printf(&b, "TXN %zu %s%zu", count_of(conds, ' ') / 2, conds,
               count_of(cmds, '\n'));
    while (*cmds != '\0') {
        size_t n = strcspn(cmds, "\n");
        struct bytes words[WORDS_MAX];

        buf_printf(&b, " %zu %.*s", split(cmds, n, words), (int)n, cmds);
        cmds += n + 1;
    }
    o = one_command(c, true, (const char *)b.p, b.n, a);
    buf_release(&b);
    return o;
}

static enum outcome as_multi(struct client *c,
                             const char *cmds,
                             struct answer *a)
{
    struct buf b = BUF_INIT;
    size_t count = count_of(cmds, '\n');
    enum outcome o;

    put_command(&b, "MULTI", 5);
    while (*cmds != '\0') {
        size_t n = strcspn(cmds, "\n");

        put_command(&b, cmds, n);
        cmds += n + 1;
    }
    put_command(&b, "EXEC", 4);
    o = send_resp(c, buf_bytes(&b), count + 2, a);
    buf_release(&b);
    /* Without its MULTI each command stood for itself. */
    if (a->root != NULL && a->root->items[0].type == RESP_ERROR) {
        o = OUT_INFO;
    }
    return o;
}

enum outcome client_txn(struct client *c,
                        enum txn_way way,
                        const char *conds,
                        const char *cmds,
                        struct answer *a)
{
    enum outcome o;

    if (way == TXN_WATCHED) {
        hf_assert(!c->via_lib && c->pinned && conds[0] == '\0');
        o = as_multi(c, cmds, a);
    } else if (way == TXN_TXN || c->via_lib || rng_permille(&c->rng, 400)) {
        o = as_txn(c, conds, cmds, a);
    } else {
        hf_assert(conds[0] == '\0');
        o = as_multi(c, cmds, a);
    }
    for (size_t i = 0; o == OUT_OK && i < a->v->n; i++) {
        if (a->v->items[i].type == RESP_ERROR) {
            note(c, &a->v->items[i]);
            o = OUT_INFO;
        }
    }
    if (o == OUT_OK && answer_nil(a->v) && conds[0] == '\0' &&
        way != TXN_WATCHED) {
        snprintf(c->error, sizeof(c->error), "null without a condition");
        o = OUT_INFO;
    }
    if (o == OUT_OK && !answer_nil(a->v) && a->v->n != count_of(cmds, '\n')) {
        snprintf(c->error, sizeof(c->error), "not one reply a command");
        o = OUT_INFO;
    }
    return o;
}

/* ---- writing down ---- */

const char *op_text(struct buf *b)
{
    buf_reserve(b, 1);
    b->p[b->n] = '\0';
    return (const char *)b->p;
}

void op_json(struct buf *b, const struct resp_value *v)
{
    switch (v->type) {
        case RESP_INT:
        case RESP_BOOL:
            buf_printf(b, "%lld", (long long)v->i);
            return;
        case RESP_NULL:
        case RESP_NULL_ARRAY:
            buf_printf(b, "null");
            return;
        case RESP_ARRAY:
        case RESP_MAP:
        case RESP_SET:
        case RESP_PUSH:
            buf_printf(b, "[");
            for (size_t i = 0; i < v->n; i++) {
                buf_printf(b, "%s", i == 0 ? "" : ",");
                op_json(b, &v->items[i]);
            }
            buf_printf(b, "]");
            return;
        default:
            json_string(b, v->str);
    }
}

static void line(struct client *c,
                 const char *type,
                 const char *v,
                 const char *more,
                 const char *err)
{
    struct buf b = BUF_INIT;

    buf_printf(&b,
               "\"p\":%llu,\"type\":\"%s\",\"w\":\"%s\",\"f\":\"%s\","
               "\"key\":\"%s\",\"v\":%s,\"node\":%d,\"via\":\"%s\","
               "\"port\":\"%s\"%s%s%s",
               (unsigned long long)c->p, type, c->w->name, c->op.f, c->op.key,
               v, c->node, c->via_lib ? "lib" : "resp",
               c->on_cluster ? "cluster" : "plain",
               c->final ? ",\"final\":true" : "", op_text(&c->op.more), more);
    if (err != NULL) {
        buf_printf(&b, ",\"err\":");
        json_string(&b, bytes_str(err));
    }
    history_line(c->load->out, "%s", op_text(&b));
    buf_release(&b);
}

void op_begin(struct client *c,
              bool read,
              const char *f,
              const char *key,
              const char *v,
              const char *more)
{
    c->n++;
    snprintf(c->op.f, sizeof(c->op.f), "%s", f);
    snprintf(c->op.key, sizeof(c->op.key), "%s", key);
    c->op.read = read;
    c->error[0] = '\0';
    buf_clear(&c->op.v);
    buf_printf(&c->op.v, "%s", v);
    buf_clear(&c->op.more);
    buf_printf(&c->op.more, "%s", more);
    line(c, "invoke", v, "", NULL);
}

/* Something was ok at @now: the silence before it ends. */
static void note_gap(uint64_t now, uint64_t *last, uint64_t *gap)
{
    if (now > *last) {
        *gap = now - *last > *gap ? now - *last : *gap;
        *last = now;
    }
}

static void saw_ok(struct load *l, int node)
{
    uint64_t now = history_now_ns();

    pthread_mutex_lock(&l->lock);
    note_gap(now, &l->last_ok_ns, &l->gap_ns);
    note_gap(now, &l->node_last_ok_ns[node - 1], &l->node_gap_ns[node - 1]);
    note_gap(now, &l->quiet_last_ok_ns, &l->quiet_gap_ns);
    pthread_mutex_unlock(&l->lock);
}

void load_gaps_end(struct load *l)
{
    uint64_t now = (uint64_t)l->end_ms * 1000000;

    note_gap(now, &l->last_ok_ns, &l->gap_ns);
    note_gap(now, &l->quiet_last_ok_ns, &l->quiet_gap_ns);
    for (int i = 0; i < l->n_nodes; i++) {
        note_gap(now, &l->node_last_ok_ns[i], &l->node_gap_ns[i]);
    }
}

void op_end(struct client *c, enum outcome o, const char *v, const char *more)
{
    if (v == NULL) {
        v = op_text(&c->op.v);
    }
    if (o == OUT_INFO && (c->op.read || mutant(INFO_AS_FAIL))) {
        o = OUT_FAIL;
    }
    if (o == OUT_OK) {
        line(c, "ok", v, more, NULL);
        c->tally.ok++;
        if (!c->final) {
            saw_ok(c->load, c->node);
        }
    } else if (o == OUT_FAIL) {
        line(c, "fail", op_text(&c->op.v), "", c->error);
        c->tally.fail++;
    } else {
        line(c, "info", op_text(&c->op.v), "", c->error);
        c->tally.info++;
        c->p = load_process(c->load);
    }
}
