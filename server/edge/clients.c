/* The connections of this node as their operators see them: CLIENT LIST,
 * KILL, PAUSE, and what a connection says of itself. */
#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/mutant.h"
#include "server/command/args.h"
#include "server/edge/conn_int.h"
#include "server/node/node.h"

/* Bytes of @s for a "%.*s" with a text that never is NULL. */
#define TEXT(b) (int)(b).n, ((b).n > 0 ? (const char *)(b).p : "")

/* Client bytes in an error line. */
static int shown(struct bytes s)
{
    return (int)(s.n < 128 ? s.n : 128);
}

/* ---- names ---- */

static bool plain_name(struct bytes s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '!' || s.p[i] > '~') {
            return false;
        }
    }
    return true;
}

bool conn_set_name(struct buf *to,
                   struct bytes name,
                   const char *what,
                   struct buf *reply)
{
    if (!plain_name(name)) {
        resp_errorf(reply,
                    "ERR %s cannot contain spaces, newlines or special "
                    "characters.",
                    what);
        return false;
    }
    if (name.n > CONN_NAME_MAX) {
        resp_errorf(reply, "ERR %s longer than %d bytes", what,
                    (int)CONN_NAME_MAX);
        return false;
    }
    buf_clear(to);
    buf_bytes_append(to, name);
    return true;
}

static void client_setinfo(struct conn *c,
                           const struct bytes *argv,
                           struct buf *reply)
{
    bool name = bytes_ieq(argv[2], "LIB-NAME");

    if (!name && !bytes_ieq(argv[2], "LIB-VER")) {
        resp_errorf(reply, "ERR Unrecognized option '%.*s'", shown(argv[2]),
                    (const char *)argv[2].p);
        return;
    }
    if (conn_set_name(name ? &c->lib_name : &c->lib_ver, argv[3],
                      name ? "lib-name" : "lib-ver", reply)) {
        resp_ok(reply);
    }
}

static void client_getname(const struct conn *c, struct buf *reply)
{
    if (c->name.n == 0) {
        resp_null(reply);
    } else {
        resp_bulk(reply, buf_bytes(&c->name));
    }
}

/* ---- lines ---- */

static void flags_text(const struct conn *c, char out[16])
{
    size_t n = 0;

    if (c->monitor) {
        out[n++] = 'O';
    }
    if (pubsub_subscribed(c)) {
        out[n++] = 'P';
    }
    if (c->multi) {
        out[n++] = 'x';
    }
    n += tracking_flags(c, out + n);
    if (c->quitting) {
        out[n++] = 'c';
    }
    if (c->stale) {
        out[n++] = 'r';
    }
    if (c->no_evict) {
        out[n++] = 'e';
    }
    if (c->no_touch) {
        out[n++] = 'T';
    }
    if (n == 0) {
        out[n++] = 'N';
    }
    out[n] = 0;
}

void conn_info(const struct conn *c, struct buf *t)
{
    uint64_t now = env_now_ms(c->edge->env);
    char flags[16];
    char cmd[48] = "NULL";

    flags_text(c, flags);
    if (c->last != NULL) {
        command_full_name(c->last, cmd);
    }
    buf_printf(t,
               "id=%" PRIu64 " addr=%s laddr=%s fd=-1 name=%.*s age=%" PRIu64
               " idle=%" PRIu64
               " flags=%s db=0 sub=%zu psub=%zu ssub=%zu multi=%lld"
               " qbuf=%zu qbuf-free=%zu argv-mem=0 multi-mem=%zu rbs=0 rbp=0"
               " obl=0 oll=0 omem=%zu tot-mem=%zu events=%s cmd=%s"
               " user=%.*s redir=%lld resp=%d lib-name=%.*s lib-ver=%.*s\n",
               c->id, c->net->remote, c->net->local, TEXT(c->name),
               (now - c->born_ms) / 1000, (now - c->active_us / 1000) / 1000,
               flags, c->subs.n[PUBSUB_CHANNEL], c->subs.n[PUBSUB_PATTERN],
               c->subs.n[PUBSUB_SHARD],
               c->multi ? (long long)c->queue_commands : -1LL,
               c->in.n - c->in_at, c->in.cap - c->in.n, c->queue.n,
               net_pending(c->net),
               c->in.cap + c->queue.cap + net_pending(c->net) + sizeof *c,
               net_pending(c->net) > 0 ? "rw" : "r", cmd, TEXT(auth_name(c)),
               (long long)tracking_redirect(c), c->resp3 ? 3 : 2,
               TEXT(c->lib_name), TEXT(c->lib_ver));
}

enum kind { KIND_NONE, KIND_NORMAL, KIND_PUBSUB, KIND_OTHER };

/* What CLIENT LIST TYPE and KILL TYPE name; KIND_OTHER: known to clients, and
 * no connection here is of it. */
static enum kind kind_of(struct bytes name)
{
    if (bytes_ieq(name, "normal")) {
        return KIND_NORMAL;
    }
    if (bytes_ieq(name, "pubsub")) {
        return KIND_PUBSUB;
    }
    if (bytes_ieq(name, "master") || bytes_ieq(name, "slave") ||
        bytes_ieq(name, "replica")) {
        return KIND_OTHER;
    }
    return KIND_NONE;
}

static bool is_of(const struct conn *c, enum kind kind)
{
    return kind == KIND_NONE ||
           kind == (pubsub_subscribed(c) ? KIND_PUBSUB : KIND_NORMAL);
}

static enum kind need_kind(struct bytes name, struct buf *reply)
{
    enum kind k = kind_of(name);

    if (k == KIND_NONE) {
        resp_errorf(reply, "ERR Unknown client type '%.*s'", shown(name),
                    (const char *)name.p);
    }
    return k;
}

struct conn *conn_by_id(const struct edge *e, uint64_t id)
{
    for (struct conn *c = e->head; c != NULL; c = c->next) {
        if (c->id == id && c->client != NULL && !c->doomed) {
            return c;
        }
    }
    return NULL;
}

static void list_ids(struct conn *c,
                     const struct bytes *argv,
                     int argc,
                     struct buf *reply)
{
    struct buf t = BUF_INIT;
    uint64_t id;

    if (argc - 3 > CONN_IDS_MAX && !mutant(CLIENT_IDS_UNBOUNDED)) {
        resp_error(reply, "ERR too many client IDs");
        return;
    }
    for (int i = 3; i < argc; i++) {
        struct conn *other;

        if (!args_u64(argv[i], &id)) {
            resp_error(reply, "ERR Invalid client ID");
            buf_release(&t);
            return;
        }
        other = conn_by_id(c->edge, id);
        if (other != NULL) {
            conn_info(other, &t);
        }
    }
    resp_verbatim(reply, buf_bytes(&t));
    buf_release(&t);
}

static void client_list(struct conn *c,
                        const struct bytes *argv,
                        int argc,
                        struct buf *reply)
{
    const struct conn *other = c->edge->head;
    struct buf t = BUF_INIT;
    enum kind kind = KIND_NONE;

    if (argc > 3 && bytes_ieq(argv[2], "ID")) {
        list_ids(c, argv, argc, reply);
        return;
    }
    if (argc != 2 && (argc != 4 || !bytes_ieq(argv[2], "TYPE"))) {
        resp_error(reply, ERR_SYNTAX);
        return;
    }
    if (argc == 4 && (kind = need_kind(argv[3], reply)) == KIND_NONE) {
        return;
    }
    /* The newest is at the front: oldest first is how Redis has it. */
    while (other != NULL && other->next != NULL) {
        other = other->next;
    }
    for (; other != NULL; other = other->prev) {
        if (other->client != NULL && !other->doomed && is_of(other, kind)) {
            conn_info(other, &t);
        }
    }
    resp_verbatim(reply, buf_bytes(&t));
    buf_release(&t);
}

static void client_info(struct conn *c, struct buf *reply)
{
    struct buf t = BUF_INIT;

    conn_info(c, &t);
    resp_verbatim(reply, buf_bytes(&t));
    buf_release(&t);
}

/* ---- CLIENT KILL ---- */

struct victim {
    uint64_t id; /* 0: any */
    const struct bytes *addr;
    const struct bytes *laddr;
    const struct bytes *user;
    enum kind kind;
    bool skip_me;
};

/* One pair of words of a CLIENT KILL. */
static bool victim_pair(struct victim *v,
                        const struct bytes *argv,
                        struct buf *reply)
{
    int64_t id;

    if (bytes_ieq(argv[0], "ID")) {
        if (!args_i64(argv[1], &id) || id <= 0) {
            return args_fail(reply, "ERR client-id should be greater than 0");
        }
        v->id = (uint64_t)id;
    } else if (bytes_ieq(argv[0], "TYPE")) {
        v->kind = need_kind(argv[1], reply);
        return v->kind != KIND_NONE;
    } else if (bytes_ieq(argv[0], "ADDR")) {
        v->addr = &argv[1];
    } else if (bytes_ieq(argv[0], "LADDR")) {
        v->laddr = &argv[1];
    } else if (bytes_ieq(argv[0], "USER")) {
        v->user = &argv[1];
    } else if (bytes_ieq(argv[0], "SKIPME") && bytes_ieq(argv[1], "yes")) {
        v->skip_me = true;
    } else if (bytes_ieq(argv[0], "SKIPME") && bytes_ieq(argv[1], "no")) {
        v->skip_me = false;
    } else {
        return args_fail(reply, ERR_SYNTAX);
    }
    return true;
}

static bool is_victim(const struct victim *v, const struct conn *o)
{
    if (o->client == NULL || o->doomed || (v->id != 0 && v->id != o->id) ||
        !is_of(o, v->kind)) {
        return false;
    }
    if (v->addr != NULL && !bytes_eq(*v->addr, bytes_str(o->net->remote))) {
        return false;
    }
    if (v->user != NULL && !bytes_eq(*v->user, auth_name(o))) {
        return false;
    }
    return v->laddr == NULL || bytes_eq(*v->laddr, bytes_str(o->net->local));
}

/* How many; the one that asks goes when it has its answer. */
static uint64_t kill_them(struct conn *c, const struct victim *v)
{
    uint64_t n = 0;

    for (struct conn *o = c->edge->head; o != NULL; o = o->next) {
        if (!is_victim(v, o) || (o == c && v->skip_me)) {
            continue;
        }
        n++;
        if (o == c) {
            c->quitting = true;
        } else {
            conn_doom(o);
        }
    }
    return n;
}

static void client_kill(struct conn *c,
                        const struct bytes *argv,
                        int argc,
                        struct buf *reply)
{
    struct victim v = {.skip_me = argc != 3, .kind = KIND_NONE};

    if (argc == 3) {
        v.addr = &argv[2];
        if (kill_them(c, &v) > 0) {
            resp_ok(reply);
        } else {
            resp_error(reply, "ERR No such client");
        }
        return;
    }
    for (int i = 2; i < argc; i += 2) {
        if (i + 1 >= argc) {
            resp_error(reply, ERR_SYNTAX);
            return;
        }
        if (!victim_pair(&v, argv + i, reply)) {
            return;
        }
    }
    if (v.user != NULL && !auth_knows(c->edge, *v.user)) {
        resp_errorf(reply, "ERR No such user '%.*s'", shown(*v.user),
                    (const char *)v.user->p);
        return;
    }
    resp_int(reply, (int64_t)kill_them(c, &v));
}

/* ---- CLIENT PAUSE ---- */

bool edge_pauses(const struct edge *e, bool all)
{
    return env_now_us(e->env) < e->pause_until_us && (e->pause_all || !all);
}

static void wake_all(struct edge *e)
{
    for (struct conn *c = e->head; c != NULL; c = c->next) {
        if (c->client != NULL && !c->doomed) {
            conn_wake(c);
        }
    }
}

void edge_on_unpause(struct env_timer *t)
{
    struct edge *e = t->data;

    e->pause_until_us = 0;
    wake_all(e);
}

static void client_pause(struct conn *c,
                         const struct bytes *argv,
                         int argc,
                         struct buf *reply)
{
    struct edge *e = c->edge;
    uint64_t now = env_now_us(e->env);
    bool all = true;
    int64_t ms;

    if (argc > 4) {
        resp_error(reply,
                   "ERR unknown subcommand or wrong number of arguments for "
                   "'PAUSE'. Try CLIENT HELP.");
        return;
    }
    if (argc == 4 && bytes_ieq(argv[3], "WRITE")) {
        all = false;
    } else if (argc == 4 && !bytes_ieq(argv[3], "ALL")) {
        resp_error(reply, "ERR CLIENT PAUSE mode must be WRITE or ALL");
        return;
    }
    if (!args_i64(argv[2], &ms) || ms > CONN_PAUSE_MAX_MS) {
        resp_error(reply, "ERR timeout is not an integer or out of range");
        return;
    }
    if (ms < 0) {
        resp_error(reply, "ERR timeout is negative");
        return;
    }
    /* Of two pauses the stronger and the longer holds. */
    if (edge_pauses(e, false)) {
        all = all || e->pause_all;
    } else {
        e->pause_until_us = 0;
    }
    e->pause_all = all;
    if (now + (uint64_t)ms * 1000 > e->pause_until_us) {
        e->pause_until_us = now + (uint64_t)ms * 1000;
    }
    env_timer_start(e->env, &e->pause, e->pause_until_us);
    resp_ok(reply);
}

static void client_unpause(struct conn *c, struct buf *reply)
{
    env_timer_stop(c->edge->env, &c->edge->pause);
    edge_on_unpause(&c->edge->pause);
    resp_ok(reply);
}

static void client_unblocks(struct conn *c,
                            const struct bytes *argv,
                            int argc,
                            struct buf *reply)
{
    bool error = argc == 4 && bytes_ieq(argv[3], "ERROR");
    const struct conn *other;
    int64_t id;

    if (argc > 4 || (argc == 4 && !error && !bytes_ieq(argv[3], "TIMEOUT"))) {
        resp_error(reply,
                   argc == 4
                       ? "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR"
                       : "ERR unknown subcommand or wrong number of arguments "
                         "for 'UNBLOCK'. Try CLIENT HELP.");
    } else if (!args_i64(argv[2], &id)) {
        resp_error(reply, ERR_NOT_INT);
    } else {
        other = id > 0 ? conn_by_id(c->edge, (uint64_t)id) : NULL;
        resp_int(reply, other != NULL && client_unblock(other->client, error));
    }
}

/* ---- CLIENT REPLY and marks ---- */

static void client_reply(struct conn *c, struct bytes word, struct buf *reply)
{
    if (bytes_ieq(word, "ON")) {
        c->reply_off = false;
        c->reply_skip = false;
        resp_ok(reply);
    } else if (bytes_ieq(word, "OFF")) {
        c->reply_off = true;
    } else if (bytes_ieq(word, "SKIP")) {
        c->reply_skip = !c->reply_off;
    } else {
        resp_error(reply, ERR_SYNTAX);
    }
    c->no_reply = reply->n == 0;
}

static void on_off(bool *mark, struct bytes word, struct buf *reply)
{
    if (bytes_ieq(word, "ON") || bytes_ieq(word, "OFF")) {
        *mark = bytes_ieq(word, "ON");
        resp_ok(reply);
    } else {
        resp_error(reply, ERR_SYNTAX);
    }
}

static void answer_id(struct conn *c, struct buf *reply)
{
    resp_int(reply, (int64_t)c->id);
}

void client_command(struct conn *c,
                    const struct command *cmd,
                    const struct bytes *argv,
                    int argc,
                    struct buf *reply)
{
    const char *name = cmd->name;

    if (strcmp(name, "id") == 0) {
        answer_id(c, reply);
    } else if (strcmp(name, "getname") == 0) {
        client_getname(c, reply);
    } else if (strcmp(name, "setname") == 0) {
        if (conn_set_name(&c->name, argv[2], "Client names", reply)) {
            resp_ok(reply);
        }
    } else if (strcmp(name, "setinfo") == 0) {
        client_setinfo(c, argv, reply);
    } else if (strcmp(name, "info") == 0) {
        client_info(c, reply);
    } else if (strcmp(name, "list") == 0) {
        client_list(c, argv, argc, reply);
    } else if (strcmp(name, "kill") == 0) {
        client_kill(c, argv, argc, reply);
    } else if (strcmp(name, "pause") == 0) {
        client_pause(c, argv, argc, reply);
    } else if (strcmp(name, "unblock") == 0) {
        client_unblocks(c, argv, argc, reply);
    } else if (strcmp(name, "unpause") == 0) {
        client_unpause(c, reply);
    } else if (strcmp(name, "reply") == 0) {
        client_reply(c, argv[2], reply);
    } else if (strcmp(name, "no-evict") == 0) {
        on_off(&c->no_evict, argv[2], reply);
    } else if (strcmp(name, "no-touch") == 0) {
        on_off(&c->no_touch, argv[2], reply);
    } else {
        hf_assert(false); /* every row of the table is here */
    }
}

/* ---- MONITOR ---- */

void conn_monitor(struct conn *c, struct buf *reply)
{
    if (!c->monitor) {
        c->monitor = true;
        c->edge->monitors++;
    }
    resp_ok(reply);
}

void conn_unmonitor(struct conn *c)
{
    if (c->monitor) {
        c->monitor = false;
        hf_assert(c->edge->monitors > 0);
        c->edge->monitors--;
    }
}

/* As Redis spells bytes in its logs: C escapes, and \x for what has none. */
static void quoted(struct buf *b, struct bytes s)
{
    static const char special[] = "\\\"\n\r\t\a\b";
    static const char letter[] = "\\\"nrtab";

    buf_u8(b, ' ');
    buf_u8(b, '"');
    for (size_t i = 0; i < s.n; i++) {
        const char *at = s.p[i] == 0 ? NULL : strchr(special, s.p[i]);

        if (at != NULL) {
            buf_u8(b, '\\');
            buf_u8(b, (uint8_t)letter[at - special]);
        } else if (s.p[i] < ' ' || s.p[i] > '~') {
            buf_printf(b, "\\x%02x", s.p[i]);
        } else {
            buf_u8(b, s.p[i]);
        }
    }
    buf_u8(b, '"');
}

/* Words that carry secrets, or that are the operator's own. */
static bool unseen(const struct command *cmd)
{
    const char *name = cmd->parent != NULL ? cmd->parent : cmd->name;

    return (cmd->flags & CMD_ADMIN) != 0 || strcmp(name, "auth") == 0 ||
           strcmp(name, "hello") == 0 || strcmp(name, "acl") == 0;
}

void edge_monitor(struct conn *c,
                  const struct command *cmd,
                  const struct bytes *argv,
                  int argc)
{
    struct edge *e = c->edge;
    struct buf t = BUF_INIT;
    uint64_t ms;
    int secret;

    if (e->monitors == 0 || (unseen(cmd) && !mutant(MONITOR_SHOWS_SECRETS))) {
        return;
    }
    ms = env_wall_ms(e->env);
    buf_printf(&t, "+%" PRIu64 ".%03" PRIu64 "000 [0 %s]", ms / 1000, ms % 1000,
               c->net->remote);
    secret = mutant(MONITOR_SHOWS_SECRETS) ? argc
                                           : stats_secret_from(cmd, argv, argc);
    for (int i = 0; i < argc; i++) {
        quoted(&t, i < secret ? argv[i] : bytes_str("(redacted)"));
    }
    buf_append(&t, "\r\n", 2);
    for (struct conn *o = e->head; o != NULL; o = o->next) {
        if (o->monitor && !o->doomed) {
            conn_write(o, buf_bytes(&t));
        }
    }
    buf_release(&t);
}
