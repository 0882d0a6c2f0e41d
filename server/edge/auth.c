#include "server/edge/auth.h"

#include <inttypes.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/mutant.h"
#include "server/command/args.h"
#include "server/command/category.h"
#include "server/edge/acl_log.h"
#include "server/edge/conn_int.h"
#include "server/node/node.h"
#include "server/store/machine.h"
#include "server/store/users.h"

_Static_assert(SHA256_DIGEST_LENGTH == ACL_HASH, "SHA-256");

/* ---- passwords ---- */

/* Where the rules of an ACL SETUSER begin, in a named request, too; argc: it
 * is none. */
static int rules_at(const struct bytes *argv, int argc)
{
    int at = 0;

    if (argc > 3 && bytes_ieq(argv[0], "once")) {
        at = 3;
    }
    if (argc - at > 3 && bytes_ieq(argv[at], "acl") &&
        bytes_ieq(argv[at + 1], "setuser")) {
        return at + 3;
    }
    return argc;
}

static bool is_clear(struct bytes word)
{
    return word.n > 0 && (word.p[0] == '>' || word.p[0] == '<');
}

/* "#", or "!", and the hash in digits. One that is too long becomes a word
 * that no rule is. */
static void hash_word(struct bytes word, char out[72])
{
    uint8_t hash[ACL_HASH];

    if (word.n - 1 > LIM_PASSWORD) {
        snprintf(out, 72, ">(too long)");
        return;
    }
    SHA256(word.p + 1, word.n - 1, hash);
    out[0] = word.p[0] == '>' ? '#' : '!';
    for (unsigned i = 0; i < ACL_HASH; i++) {
        snprintf(out + 1 + (size_t)2 * i, 3, "%02x", hash[i]);
    }
}

bool auth_hash_words(const struct bytes *argv, int argc, struct auth_words *out)
{
    int from = rules_at(argv, argc);
    size_t n = 0;

    for (int i = from; i < argc; i++) {
        n += is_clear(argv[i]);
    }
    if (n == 0 || mutant(ACL_CLEAR_TEXT)) {
        return false;
    }
    out->argv = hf_malloc((size_t)argc * sizeof *out->argv);
    out->text = hf_malloc(n * sizeof *out->text);
    memcpy(out->argv, argv, (size_t)argc * sizeof *out->argv);
    for (int i = from; i < argc; i++) {
        if (is_clear(argv[i])) {
            hash_word(argv[i], out->text[--n]);
            out->argv[i] = bytes_str(out->text[n]);
        }
    }
    return true;
}

void auth_words_release(struct auth_words *w)
{
    free(w->argv);
    free(w->text);
}

/* ---- who ---- */

struct acl_who auth_who(const struct conn *c)
{
    return (struct acl_who){
        c->user != NULL,
        c->user != NULL ? blob_bytes(c->user) : bytes_of("", 0), c->user_born};
}

struct bytes auth_name(const struct conn *c)
{
    return c->user != NULL ? blob_bytes(c->user) : bytes_str("default");
}

bool auth_closed(const struct conn *c)
{
    const struct machine *m = node_machine(c->edge->node);
    const struct command *get = command_by_name(bytes_str("get"));
    struct acl_who nobody = {false, {NULL, 0}, 0};
    struct acl_denial d;

    return c->user == NULL && m != NULL && !acl_open(m) &&
           acl_check(m, &nobody, get, NULL, 1, &d) == ACL_NOAUTH;
}

bool auth_knows(const struct edge *e, struct bytes name)
{
    const struct machine *m = node_machine(e->node);

    return m == NULL ? bytes_eq(name, bytes_str("default"))
                     : users_find(machine_users(m), name) != NULL;
}

void auth_forget(struct conn *c)
{
    blob_unref(c->user);
    c->user = NULL;
    c->user_born = 0;
}

struct blob *auth_encode(const struct conn *c,
                         const struct command *cmd,
                         uint8_t marks,
                         const struct bytes *argv,
                         int argc)
{
    struct acl_who who = auth_who(c);

    return command_encode_as(cmd, marks, &who, argv, argc);
}

/* ---- ACL LOG ---- */

static void log_add(struct conn *c,
                    const char *reason,
                    bool multi,
                    struct bytes object,
                    struct bytes user)
{
    struct edge *e = c->edge;
    struct buf client = BUF_INIT;
    struct acl_log_entry entry = {
        reason, multi ? "multi" : "toplevel", object, user, {NULL, 0}};

    conn_info(c, &client);
    if (client.n > 0 && client.p[client.n - 1] == '\n') {
        client.n--;
    }
    entry.client = buf_bytes(&client);
    if (e->acl_log == NULL) {
        e->acl_log = acl_log_new();
    }
    acl_log_add(e->acl_log, &entry, env_now_ms(e->env));
    buf_release(&client);
}

static void log_denial(struct conn *c, const struct acl_denial *d)
{
    char name[48];

    switch (d->why) {
        case ACL_OK:
        case ACL_NOAUTH:
            break; /* not logged by Redis either */
        case ACL_COMMAND:
            command_full_name(d->command, name);
            log_add(c, "command", c->multi || d->nested, bytes_str(name),
                    auth_name(c));
            break;
        case ACL_KEY:
            log_add(c, "key", c->multi || d->nested, d->object, auth_name(c));
            break;
        case ACL_CHANNEL:
            log_add(c, "channel", c->multi || d->nested, d->object,
                    auth_name(c));
            break;
    }
}

static bool starts(struct bytes s, const char *with)
{
    size_t n = strlen(with);

    return s.n >= n && memcmp(s.p, with, n) == 0;
}

/* Why is looked for in the users that this node knows of. If they do not say
 * yet, the command's name must do. */
bool auth_note(struct conn *c, const struct blob *command, struct bytes reply)
{
    const struct machine *m = node_machine(c->edge->node);
    struct command_words w;
    struct acl_denial d;
    struct acl_who who;

    if (!starts(reply, "-NOPERM") || m == NULL ||
        command_decode(blob_bytes(command), &w) != 0) {
        return starts(reply, "-NOPERM") || starts(reply, "-NOAUTH");
    }
    who = (struct acl_who){(w.marks & COMMAND_USER) != 0, w.user, w.born};
    if (acl_check(m, &who, w.command, w.argv, w.argc, &d) == ACL_OK) {
        d = (struct acl_denial){ACL_COMMAND, w.command, {NULL, 0}, false};
    }
    log_denial(c, &d);
    command_words_release(&w);
    return true;
}

static void log_wrong(struct conn *c, struct bytes user)
{
    char name[65];
    size_t n = user.n < 64 ? user.n : 64;

    for (size_t i = 0; i < n; i++) {
        name[i] = user.p[i] < ' ' || user.p[i] >= 127 ? '?' : (char)user.p[i];
    }
    name[n] = 0;
    log_add(c, "auth", c->multi, bytes_str("auth"), user);
    if (edge_may_log(c->edge, EDGE_QUOTA_AUTH)) {
        log_warn(c->edge->log,
                 "client %" PRIu64 " at %s: failed to authenticate as '%s'",
                 c->id, c->net->remote, name);
    }
}

/* ---- asking ---- */

/* By a linearizable read, after READONLY too; nothing is begun meanwhile. */
static void ask(struct conn *c, struct conn_op *o)
{
    o->op.fresh = true;
    o->op.timeout_ms = AUTH_ASK_MS;
    c->held = true;
    conn_op_submit(o);
}

/* Not an answer about users: nobody could tell in time. */
static bool nobody_said(struct bytes reply)
{
    return starts(reply, "-CLUSTERDOWN") || starts(reply, "-LOADING") ||
           starts(reply, "-TRYAGAIN") || starts(reply, "-UNKNOWN");
}

/* ---- AUTH ---- */

static void enter(struct conn *c, struct conn_op *o, const struct resp_value *v)
{
    struct buf reply = BUF_INIT;
    struct command_words w;

    auth_forget(c);
    c->user = blob_copy(v->items[1].str.p, v->items[1].str.n);
    c->user_born = (uint64_t)v->items[0].i;
    if (o->then == NULL) {
        resp_ok(&reply);
    } else {
        hf_assert(command_decode(blob_bytes(o->then), &w) == 0);
        local_run(c, w.command, w.argv, w.argc, &reply);
        command_words_release(&w);
    }
    edge_count_op(o, buf_bytes(&reply));
    conn_reply(c, buf_bytes(&reply));
    buf_release(&reply);
}

static void auth_done(struct client_op *op, struct bytes reply)
{
    struct conn_op *o = HF_CONTAINER_OF(op, struct conn_op, op);
    struct conn *c = o->conn;
    struct machine *m = node_machine(c->edge->node);
    struct resp_value *v = NULL;
    struct buf own = BUF_INIT;
    struct command_words w;

    hf_assert(command_decode(blob_bytes(op->command), &w) == 0);
    if (nobody_said(reply) && m != NULL) {
        cmd_aclauth(m, w.argv, w.argc, &own);
        reply = buf_bytes(&own);
    }
    c->held = false;
    if (resp_parse_reply(reply, &v) == 0 && v->type == RESP_ARRAY &&
        v->n == 2) {
        enter(c, o, v);
    } else {
        if (starts(reply, "-WRONGPASS")) {
            log_wrong(c, w.argc == 3 ? w.argv[2] : bytes_str("default"));
        }
        edge_count_op(o, reply);
        conn_reply(c, reply);
    }
    resp_value_free(v);
    buf_release(&own);
    command_words_release(&w);
    conn_op_free(o);
}

/* @then, taken, is what is answered on success; NULL: OK. */
static void auth_ask(struct conn *c,
                     const struct bytes *name,
                     struct bytes password,
                     struct blob *then)
{
    uint8_t hash[ACL_HASH];
    struct bytes argv[3] = {bytes_str("aclauth"), bytes_of(hash, sizeof hash),
                            name != NULL ? *name : bytes_of("", 0)};
    struct conn_op *o;

    if (password.n > LIM_PASSWORD) {
        struct buf reply = BUF_INIT;

        blob_unref(then);
        resp_errorf(&reply, "ERR a password is at most %d bytes long",
                    (int)LIM_PASSWORD);
        dispatch_answer(c, &reply);
        return;
    }
    SHA256(password.p, password.n, hash);
    o = conn_op_new(c, OP_READ);
    o->op.command =
        command_encode(command_by_name(argv[0]), 0, argv, name != NULL ? 3 : 2);
    o->op.done = auth_done;
    o->then = then;
    ask(c, o);
}

/* HELLO with AUTH becomes an AUTH, then the HELLO without it. */
static bool hello_begin(struct conn *c, const struct bytes *argv, int argc)
{
    struct hello h;
    struct buf reply = BUF_INIT;
    struct bytes words[4];
    int n = 2;

    if (!hello_parse(c, argv, argc, &h, &reply)) {
        dispatch_answer(c, &reply);
        return true;
    }
    if (h.user == NULL) {
        return false;
    }
    words[0] = argv[0];
    words[1] = argv[1];
    if (h.name != NULL) {
        words[n++] = bytes_str("setname");
        words[n++] = *h.name;
    }
    auth_ask(c, h.user, *h.password,
             command_encode(command_by_name(bytes_str("hello")), 0, words, n));
    return true;
}

bool auth_begin(struct conn *c,
                const struct command *cmd,
                const struct bytes *argv,
                int argc)
{
    struct buf reply = BUF_INIT;

    if (c->multi || cmd->parent != NULL || !command_has(cmd, CMD_CONN)) {
        return false;
    }
    if (strcmp(cmd->name, "hello") == 0) {
        return argc > 2 && hello_begin(c, argv, argc);
    }
    if (strcmp(cmd->name, "auth") != 0) {
        return false;
    }
    if (argc > 3) {
        resp_error(&reply, ERR_SYNTAX);
        dispatch_answer(c, &reply);
    } else {
        auth_ask(c, argc == 3 ? &argv[1] : NULL, argv[argc - 1], NULL);
    }
    return true;
}

/* ---- may it run? ---- */

/* Shows and changes nothing but the connection and how the nodes are, or
 * is a read that is decided later: by what this node knows. Cluster-aware
 * clients need these while there is no leader. */
static bool mild(const struct command *cmd)
{
    static const char *const names[] = {
        "ping",   "echo", "select",  "readonly", "readwrite",  "command",
        "multi",  "exec", "discard", "watch",    "unwatch",    "asking",
        "wait",   "time", "acl|cat", "acl|help", "acl|whoami", "acl|genpass",
        "status", "auth", "hello",   "quit",     "reset"};
    char name[48];

    if (cmd->parent != NULL && strcmp(cmd->parent, "cluster") == 0) {
        return !command_has(cmd, CMD_ADMIN) &&
               (command_categories(cmd) & CAT_ADMIN) == 0;
    }
    command_full_name(cmd, name);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(names[i], name) == 0 ||
            (cmd->parent != NULL && strcmp(names[i], cmd->parent) == 0)) {
            return true;
        }
    }
    return strcmp(name, "client") == 0 ||
           (cmd->parent != NULL && strcmp(cmd->parent, "client") == 0 &&
            (command_categories(cmd) & CAT_ADMIN) == 0);
}

static void deny(struct conn *c, const struct acl_denial *d)
{
    struct buf reply = BUF_INIT;

    log_denial(c, d);
    c->multi_dirty |= c->multi;
    c->edge->now.rejected = true;
    acl_error(d, &reply);
    dispatch_answer(c, &reply);
}

/* As this node knows the users. */
static bool known_to_allow(struct conn *c,
                           const struct command *cmd,
                           const struct bytes *argv,
                           int argc,
                           struct acl_denial *d)
{
    const struct machine *m = node_machine(c->edge->node);
    struct acl_who who = auth_who(c);

    return m != NULL && acl_check(m, &who, cmd, argv, argc, d) == ACL_OK;
}

bool auth_refuses(struct conn *c,
                  const struct command *cmd,
                  const struct bytes *argv,
                  int argc,
                  struct buf *reply)
{
    const struct machine *m = node_machine(c->edge->node);
    struct acl_denial d;

    if (m == NULL || (c->user == NULL && acl_open(m)) ||
        known_to_allow(c, cmd, argv, argc, &d)) {
        return false;
    }
    /* Its user may have been made later than what this node knows. */
    if (c->user != NULL && c->user_born > machine_index(m)) {
        return false;
    }
    log_denial(c, &d);
    acl_error(&d, reply);
    return true;
}

static void gate_go(struct conn *c, struct conn_op *o, struct bytes reply)
{
    struct blob *command = blob_ref(o->op.command);
    bool told = !nobody_said(reply);
    struct buf ignored = BUF_INIT;
    const struct command *cmd;
    struct command_words w;
    struct acl_denial d;

    hf_assert(command_decode(blob_bytes(command), &w) == 0);
    cmd = command_find(w.argv + 1, w.argc - 1, &ignored);
    hf_assert(cmd != NULL);
    /* It is counted from when its words came. */
    c->edge->now = o->counted;
    c->edge->now_argv = w.argv + 1;
    c->edge->now_argc = w.argc - 1;
    conn_op_free(o);
    if (told || known_to_allow(c, cmd, w.argv + 1, w.argc - 1, &d)) {
        dispatch_go(c, cmd, w.argv + 1, w.argc - 1);
        tracking_dispatched(c, cmd);
    } else {
        deny(c, &d);
    }
    c->edge->now.command = NULL;
    c->edge->now_argv = NULL;
    command_words_release(&w);
    blob_unref(command);
}

static void gate_done(struct client_op *op, struct bytes reply)
{
    struct conn_op *o = HF_CONTAINER_OF(op, struct conn_op, op);
    struct conn *c = o->conn;
    bool known = node_machine(c->edge->node) != NULL;

    c->held = false;
    c->asking = false;
    if (starts(reply, "+OK") || (nobody_said(reply) && known)) {
        gate_go(c, o, reply);
        return;
    }
    (void)auth_note(c, op->command, reply);
    tracking_dispatched(c, NULL);
    c->multi_dirty |= c->multi;
    o->counted.rejected = true;
    edge_count_op(o, reply);
    conn_reply(c, reply);
    conn_op_free(o);
}

static void gate_ask(struct conn *c, const struct bytes *argv, int argc)
{
    const struct command *check = command_by_name(bytes_str("aclcheck"));
    struct bytes *words = hf_malloc(((size_t)argc + 1) * sizeof *words);
    struct conn_op *o = conn_op_new(c, OP_READ);

    words[0] = bytes_str(check->name);
    memcpy(words + 1, argv, (size_t)argc * sizeof *words);
    o->op.command = auth_encode(c, check, 0, words, argc + 1);
    o->op.done = gate_done;
    free(words);
    c->asking = true;
    ask(c, o);
}

/* The connection's user was made, or made again, later than what this node
 * has applied, or is gone. */
static bool unheard_of(const struct conn *c, const struct acl_denial *d)
{
    return c->user != NULL && d->why == ACL_NOAUTH;
}

/* While the data are read the users are not known. What an operator does must
 * wait until they are; what tells of this node need not. */
static bool waits_for_users(const struct command *cmd)
{
    return cmd->handler == NULL && !mild(cmd) &&
           (command_categories(cmd) & CAT_ADMIN) != 0 &&
           !mutant(ACL_OPEN_WHILE_LOADING);
}

bool auth_gate(struct conn *c,
               const struct command *cmd,
               const struct bytes *argv,
               int argc)
{
    const struct machine *m = node_machine(c->edge->node);
    struct acl_denial d;

    if (c->user == NULL && (m == NULL ? !waits_for_users(cmd) : acl_open(m))) {
        return false;
    }
    c->leaving |= cmd->handler == cmd_acl_deluser;
    /* What reads or writes data is decided where it is evaluated. Only what
     * would be refused as far as is known is asked for before: so it is
     * refused for that, whatever else is wrong with it, and does not fill the
     * log. */
    if (known_to_allow(c, cmd, argv, argc, &d)) {
        if (cmd->handler != NULL || mild(cmd) || mutant(ACL_AT_DISPATCH_ONLY)) {
            return false;
        }
    } else if (m != NULL && ((mild(cmd) && !unheard_of(c, &d)) ||
                             mutant(ACL_AT_DISPATCH_ONLY))) {
        deny(c, &d);
        return true;
    }
    gate_ask(c, argv, argc);
    return true;
}

/* ---- the edge's own ---- */

struct listening {
    struct conn *conn;
    bool allowed;
};

static bool check_topic(void *ctx, enum pubsub_kind kind, struct bytes name)
{
    static const char *const names[PUBSUB_KINDS] = {
        [PUBSUB_CHANNEL] = "subscribe",
        [PUBSUB_SHARD] = "ssubscribe",
        [PUBSUB_PATTERN] = "psubscribe"};
    struct listening *l = ctx;
    struct bytes argv[2] = {bytes_str(names[kind]), name};
    struct acl_denial d;

    l->allowed = known_to_allow(l->conn, command_by_name(argv[0]), argv, 2, &d);
    return l->allowed;
}

/* May it go on to get what it once asked for? */
static bool may_listen(struct conn *c)
{
    struct bytes monitor = bytes_str("monitor");
    struct bytes track[3] = {bytes_str("client"), bytes_str("tracking"),
                             bytes_str("on")};
    struct buf ignored = BUF_INIT;
    struct listening l = {c, true};
    struct acl_denial d;

    if (c->track != NULL &&
        (auth_closed(c) ||
         !known_to_allow(c, command_find(track, 3, &ignored), track, 3, &d))) {
        return false; /* nobody gets invalidations there */
    }
    if (c->monitor &&
        !known_to_allow(c, command_by_name(monitor), &monitor, 1, &d)) {
        return false;
    }
    pubsub_each(c, check_topic, &l);
    return l.allowed;
}

/* Is the user that it authenticated as still there? One that this node has
 * not heard of yet is not gone. */
static bool user_stays(const struct machine *m, const struct conn *c)
{
    const struct user *u;

    if (c->user == NULL || c->user_born > machine_index(m)) {
        return true;
    }
    u = users_find(machine_users(m), blob_bytes(c->user));
    return u != NULL && u->born == c->user_born;
}

void edge_on_users(struct edge *e)
{
    const struct machine *m = node_machine(e->node);

    for (struct conn *c = e->head; c != NULL && m != NULL; c = c->next) {
        bool ahead = c->user != NULL && c->user_born > machine_index(m);

        if (c->doomed || c->client == NULL || mutant(ACL_KEEPS_GONE) ||
            (user_stays(m, c) && (ahead || may_listen(c)))) {
            continue;
        }
        if (c->leaving && c->pending > 0) {
            c->quitting = true; /* it did it itself, and hears so */
        } else {
            conn_doom(c);
        }
    }
}

static void reply_cat(uint32_t set, struct buf *reply)
{
    char name[48];
    size_t rows;
    const struct command *c = command_table(&rows);
    size_t n = 0;

    for (size_t i = 0; i < rows; i++) {
        n += !command_has(&c[i], CMD_HIDDEN) &&
             (command_categories(&c[i]) & set) != 0;
    }
    resp_array(reply, n);
    for (size_t i = 0; i < rows; i++) {
        if (!command_has(&c[i], CMD_HIDDEN) &&
            (command_categories(&c[i]) & set) != 0) {
            command_full_name(&c[i], name);
            resp_bulk_str(reply, name);
        }
    }
}

static void acl_cat(const struct bytes *argv, int argc, struct buf *reply)
{
    uint32_t set;

    if (argc == 2) {
        resp_array(reply, CATEGORY_N);
        for (unsigned i = 0; i < CATEGORY_N; i++) {
            resp_bulk_str(reply, category_name(i));
        }
        return;
    }
    set = category_by_name(argv[2]);
    if (set == 0) {
        resp_errorf(reply, "ERR Unknown category '%.*s'",
                    (int)(argv[2].n < 128 ? argv[2].n : 128),
                    (const char *)argv[2].p);
    } else {
        reply_cat(set, reply);
    }
}

static void acl_genpass(struct conn *c,
                        const struct bytes *argv,
                        int argc,
                        struct buf *reply)
{
    enum { BITS_MAX = 4096, BITS_DEFAULT = 256 };
    uint8_t random[BITS_MAX / 8];
    char text[BITS_MAX / 4 + 1];
    int64_t bits = BITS_DEFAULT;
    size_t digits;

    if (argc == 3 && !args_need_i64(argv[2], &bits, reply)) {
        return;
    }
    if (bits <= 0 || bits > BITS_MAX) {
        resp_errorf(reply,
                    "ERR ACL GENPASS argument must be the number of bits for "
                    "the output password, a positive number up to %d",
                    BITS_MAX);
        return;
    }
    digits = ((size_t)bits + 3) / 4;
    env_random(c->edge->env, random, sizeof random);
    for (size_t i = 0; i < digits; i++) {
        text[i] = "0123456789abcdef"[random[i / 2] >> 4 * (i % 2) & 15];
    }
    resp_bulk(reply, bytes_of(text, digits));
}

static void acl_log(struct conn *c,
                    const struct bytes *argv,
                    int argc,
                    struct buf *reply)
{
    struct edge *e = c->edge;
    int64_t max = 10;

    if (e->acl_log == NULL) {
        e->acl_log = acl_log_new();
    }
    if (argc == 3 && bytes_ieq(argv[2], "reset")) {
        acl_log_clear(e->acl_log);
        resp_ok(reply);
        return;
    }
    if (argc == 3 && !args_need_i64(argv[2], &max, reply)) {
        return;
    }
    acl_log_reply(e->acl_log, max < 0 ? 0 : (uint64_t)max, env_now_ms(e->env),
                  reply);
}

void auth_local(struct conn *c,
                const struct command *cmd,
                const struct bytes *argv,
                int argc,
                struct buf *reply)
{
    if (strcmp(cmd->name, "whoami") == 0) {
        resp_bulk(reply, auth_name(c));
    } else if (argc > 3) {
        resp_errorf(reply,
                    "ERR unknown subcommand or wrong number of arguments for "
                    "'%.*s'. Try ACL HELP.",
                    (int)argv[1].n, (const char *)argv[1].p);
    } else if (strcmp(cmd->name, "cat") == 0) {
        acl_cat(argv, argc, reply);
    } else if (strcmp(cmd->name, "genpass") == 0) {
        acl_genpass(c, argv, argc, reply);
    } else if (strcmp(cmd->name, "log") == 0) {
        acl_log(c, argv, argc, reply);
    } else {
        resp_error(reply,
                   "ERR This Redis instance is not configured to use an ACL "
                   "file. You may want to specify users via the ACL SETUSER "
                   "command and then issue a CONFIG REWRITE (assuming you "
                   "have a Redis configuration file set) in order to store "
                   "users in the Redis configuration.");
    }
}
