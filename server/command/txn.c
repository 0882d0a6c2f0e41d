/* Transactions and named requests.
 *
 * TXN is the one form in which a transaction reaches the log: MULTI ... EXEC
 * is encoded as the TXN whose conditions are the watched revisions. All words
 * are checked before anything is done; then the conditions are compared,
 * then every command runs. An error of one command is its own element of the
 * reply and stops no other. */
#include "server/command/txn.h"

#include "base/mutant.h"
#include "resp/resp.h"
#include "server/command/args.h"
#include "server/store/machine.h"

/* A count of up to TXN_COMMANDS_MAX. */
static bool need_count(struct bytes s, int *out, struct buf *reply)
{
    uint64_t v;

    if (!args_u64(s, &v) || v > TXN_COMMANDS_MAX) {
        return args_fail(reply, ERR_NOT_INT);
    }
    *out = (int)v;
    return true;
}

/* A subcommand's row where the command itself has nothing to do. */
static const struct command *nested_row(const struct bytes *argv, int argc)
{
    const struct command *c = command_by_name(argv[0]);
    const struct command *sub = c != NULL && c->handler == NULL && argc > 1
                                    ? command_sub(c, argv[1])
                                    : NULL;

    return sub != NULL ? sub : c;
}

/* The row of a nested command that may stand in a TXN. */
static bool nested_check(const struct bytes *argv, int argc, struct buf *reply)
{
    const struct command *c = nested_row(argv, argc);

    if (c == NULL || (c->flags & CMD_HIDDEN) != 0) {
        return args_fail(reply, "ERR unknown command in a transaction");
    }
    if (!command_nests(c)) {
        return args_fail(reply, "ERR Command not allowed inside a transaction");
    }
    if (!command_fits(c, argc)) {
        command_error_arity(c, reply);
        return false;
    }
    return true;
}

bool txn_parse(const struct bytes *argv,
               int argc,
               struct txn *t,
               struct buf *reply)
{
    uint64_t revision;
    int at;
    int n = 0;

    memset(t, 0, sizeof *t);
    t->argv = argv;
    if (argc < 3 || !need_count(argv[1], &t->conditions, reply)) {
        return argc < 3 ? args_fail(reply, ERR_SYNTAX) : false;
    }
    if (t->conditions > (argc - 3) / 2) {
        return args_fail(reply, ERR_SYNTAX);
    }
    for (int i = 0; i < t->conditions; i++) {
        if (!args_need_key(argv[2 + 2 * i], reply)) {
            return false;
        }
        if (!args_u64(argv[3 + 2 * i], &revision)) {
            return args_fail(reply, ERR_NOT_INT);
        }
    }
    at = 2 + 2 * t->conditions;
    if (!need_count(argv[at++], &t->commands, reply)) {
        return false;
    }
    t->at = at;
    t->left = t->commands;
    for (int i = 0; i < t->commands; i++) {
        if (at >= argc) {
            return args_fail(reply, ERR_SYNTAX);
        }
        if (!need_count(argv[at++], &n, reply)) {
            return false;
        }
        if (n < 1 || n > argc - at) {
            return args_fail(reply, ERR_SYNTAX);
        }
        if (!nested_check(argv + at, n, reply)) {
            return false;
        }
        at += n;
    }
    return at == argc || args_fail(reply, ERR_SYNTAX);
}

struct bytes txn_condition(const struct txn *t, int i, uint64_t *revision)
{
    (void)args_u64(t->argv[3 + 2 * i], revision);
    return t->argv[2 + 2 * i];
}

const struct command *txn_next(struct txn *t,
                               const struct bytes **argv,
                               int *argc)
{
    uint64_t n = 0;

    if (t->left == 0) {
        return NULL;
    }
    t->left--;
    (void)args_u64(t->argv[t->at], &n);
    *argv = t->argv + t->at + 1;
    *argc = (int)n;
    t->at += 1 + (int)n;
    return nested_row(*argv, *argc);
}

static bool conditions_hold(struct machine *m, const struct txn *t)
{
    for (int i = 0; i < t->conditions; i++) {
        uint64_t want = 0;
        struct bytes key = txn_condition(t, i, &want);

        if (store_revision_of(machine_store(m), key) != want) {
            return mutant(TXN_CONDITION);
        }
    }
    return true;
}

void cmd_txn(struct machine *m,
             const struct bytes *argv,
             int argc,
             struct buf *reply)
{
    size_t start = reply->n;
    const struct command *c;
    const struct bytes *words;
    struct txn t;
    int n;

    if (!txn_parse(argv, argc, &t, reply) || m == NULL) {
        return;
    }
    if (!conditions_hold(m, &t)) {
        resp_null_array(reply);
        return;
    }
    resp_array(reply, (size_t)t.commands);
    while ((c = txn_next(&t, &words, &n)) != NULL) {
        size_t element = reply->n;

        c->handler(m, words, n, reply);
        /* What was written stays written: only the text is cut. */
        if (reply->n - start > REPLY_MAX) {
            reply->n = element;
            resp_error(reply, "ERR reply of the transaction is too large");
        }
    }
}

bool once_parse(const struct bytes *argv,
                int argc,
                struct once *o,
                struct buf *reply)
{
    memset(o, 0, sizeof *o);
    if (argc == 2 && bytes_ieq(argv[1], "OPEN")) {
        o->verb = ONCE_OPEN;
        return true;
    }
    if (argc == 3 && bytes_ieq(argv[1], "CLOSE")) {
        o->verb = ONCE_CLOSE;
        return args_u64(argv[2], &o->session) || args_fail(reply, ERR_NOT_INT);
    }
    o->verb = ONCE_COMMAND;
    if (argc < 4) {
        return args_fail(reply, ERR_SYNTAX);
    }
    if (!args_u64(argv[1], &o->session) || !args_u64(argv[2], &o->number) ||
        o->number == 0) {
        return args_fail(reply, ERR_NOT_INT);
    }
    o->command = command_find(argv + 3, argc - 3, reply);
    if (o->command == NULL) {
        return false;
    }
    if (o->command->handler == NULL || (o->command->flags & CMD_WRITE) == 0 ||
        o->command->handler == cmd_once) {
        return args_fail(reply, "ERR ONCE takes a command that writes");
    }
    return true;
}

static void once_refuse(enum once_verdict v, struct buf *reply)
{
    switch (v) {
        case ONCE_REPLAY_TOO_LARGE:
            resp_error(reply,
                       "UNKNOWN applied before; its reply was too "
                       "large to keep");
            break;
        case ONCE_LOWER:
            resp_error(reply,
                       "UNKNOWN a later request of this session was "
                       "applied; this one perhaps before it");
            break;
        case ONCE_HIGHER:
            resp_error(reply, "ERR number is not the next of this session");
            break;
        default:
            resp_error(reply,
                       "NOSESSION this session was never opened, or "
                       "expired; nothing was applied now");
            break;
    }
}

static void once_command(struct machine *m,
                         const struct once *o,
                         const struct bytes *argv,
                         int argc,
                         struct buf *reply)
{
    struct bytes saved = bytes_of(NULL, 0);
    enum once_verdict v = machine_once_begin(m, o->session, o->number, &saved);
    size_t start = reply->n;

    if (v == ONCE_RUN || (v == ONCE_REPLAY && mutant(ONCE_AGAIN))) {
        o->command->handler(m, argv + 3, argc - 3, reply);
        machine_once_end(m, o->session, o->number,
                         bytes_of(reply->p + start, reply->n - start));
    } else if (v == ONCE_REPLAY) {
        buf_bytes_append(reply, saved);
    } else {
        once_refuse(v, reply);
    }
}

void cmd_once(struct machine *m,
              const struct bytes *argv,
              int argc,
              struct buf *reply)
{
    struct once o;
    uint64_t id;

    if (!once_parse(argv, argc, &o, reply)) {
        return;
    }
    if (m == NULL) {
        if (o.verb == ONCE_COMMAND) {
            o.command->handler(NULL, argv + 3, argc - 3, reply);
        }
        return;
    }
    switch (o.verb) {
        case ONCE_OPEN:
            id = machine_once_open(m);
            if (id == 0) {
                resp_error(reply, "TRYAGAIN no room for a named session");
            } else {
                resp_int(reply, (int64_t)id);
            }
            break;
        case ONCE_CLOSE:
            resp_int(reply, machine_once_close(m, o.session));
            break;
        case ONCE_COMMAND:
            once_command(m, &o, argv, argc, reply);
            break;
    }
}

/* What WATCH asks: not for clients, so its reply has no promise to keep. */
void cmd_revs(struct machine *m,
              const struct bytes *argv,
              int argc,
              struct buf *reply)
{
    if (!args_need_keys(argv, argc, 1, 1, reply) || m == NULL) {
        return;
    }
    resp_array(reply, (size_t)argc - 1);
    for (int i = 1; i < argc; i++) {
        resp_int(reply, (int64_t)store_revision_of(machine_store(m), argv[i]));
    }
}
