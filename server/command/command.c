#include "server/command/command.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/mutant.h"
#include "resp/resp.h"
#include "server/command/acl.h"
#include "server/command/args.h"
#include "server/command/digest.h"
#include "server/command/feed.h"
#include "server/command/help.h"
#include "server/command/txn.h"
#include "server/store/machine.h"

/* ---- finding and checking ---- */

void command_error_arity(const struct command *c, struct buf *reply)
{
    char name[48];

    command_full_name(c, name);
    resp_errorf(reply, "ERR wrong number of arguments for '%s' command", name);
}

/* Client bytes in an error line: at most @max, none that breaks the line. As
 * in Redis, whose words are C strings there. */
static void quote(struct buf *b, struct bytes s, size_t max)
{
    for (size_t i = 0; i < s.n && i < max && s.p[i] != 0; i++) {
        buf_u8(b, s.p[i] == '\r' || s.p[i] == '\n' ? ' ' : s.p[i]);
    }
}

static void error_unknown(const struct bytes *argv, int argc, struct buf *reply)
{
    enum { SHOWN = 128 };
    struct buf text = BUF_INIT;
    size_t from;

    buf_printf(&text, "ERR unknown command '");
    quote(&text, argv[0], SHOWN);
    buf_printf(&text, "', with args beginning with: ");
    from = text.n;
    for (int i = 1; i < argc && text.n - from < SHOWN; i++) {
        size_t room = SHOWN - (text.n - from);

        buf_printf(&text, "'");
        quote(&text, argv[i], room);
        buf_printf(&text, "' ");
    }
    buf_u8(&text, 0);
    resp_error(reply, (const char *)text.p);
    buf_release(&text);
}

static void upper_name(const char *name, char out[32])
{
    size_t n = strlen(name);

    hf_assert(n < 32);
    for (size_t i = 0; i <= n; i++) {
        out[i] = name[i] >= 'a' && name[i] <= 'z'
                     ? (char)(name[i] - ('a' - 'A'))
                     : name[i];
    }
}

void command_error_subcommand(const struct command *parent,
                              struct bytes sub,
                              struct buf *reply)
{
    struct buf text = BUF_INIT;
    char name[32];

    upper_name(parent->name, name);
    buf_printf(&text, "ERR unknown subcommand '");
    quote(&text, sub, 128);
    buf_printf(&text, "'. Try %s HELP.", name);
    buf_u8(&text, 0);
    resp_error(reply, (const char *)text.p);
    buf_release(&text);
}

static bool has_subcommands(const struct command *parent)
{
    size_t n;
    const struct command *rows = command_table(&n);

    for (size_t i = n; i-- > 0 && rows[i].parent != NULL;) {
        if (strcmp(rows[i].parent, parent->name) == 0) {
            return true;
        }
    }
    return false;
}

/* Lines of @text, each as a status. How many. */
static size_t help_lines(const char *indent,
                         const char *text,
                         struct buf *reply)
{
    size_t lines = 0;

    while (*text != 0) {
        size_t n = strcspn(text, "\n");
        struct buf line = BUF_INIT;

        buf_printf(&line, "%s%.*s", indent, (int)n, text);
        buf_u8(&line, 0);
        resp_simple(reply, (const char *)line.p);
        buf_release(&line);
        text += n + (text[n] != 0);
        lines++;
    }
    return lines;
}

/* What stands in the table. */
static size_t help_rows(const struct command *parent, struct buf *body)
{
    size_t n, lines = 0;
    const struct command *rows = command_table(&n);
    char name[32], line[256];

    for (size_t i = 0; i < n; i++) {
        if (rows[i].parent == NULL ||
            strcmp(rows[i].parent, parent->name) != 0) {
            continue;
        }
        upper_name(rows[i].name, name);
        snprintf(line, sizeof line, "%s%s%s", name,
                 rows[i].syntax[0] != 0 ? " " : "", rows[i].syntax);
        resp_simple(body, line);
        lines += 1 + help_lines("    ", rows[i].help, body);
    }
    return lines;
}

void command_help(const struct command *parent, struct buf *reply)
{
    static const struct {
        const char *name;
        const char *text;
    } texts[] = {
#define H(name, text) {#name, text},
        COMMAND_HELP(H)
#undef H
    };
    struct buf body = BUF_INIT;
    size_t lines = 0;
    char name[32], line[256];

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (strcmp(texts[i].name, parent->name) == 0) {
            lines = help_lines("", texts[i].text, &body);
        }
    }
    lines = lines > 0 ? lines : help_rows(parent, &body);
    upper_name(parent->name, name);
    snprintf(
        line, sizeof line,
        "%s <subcommand> [<arg> [value] [opt] ...]. Subcommands are:", name);
    resp_array(reply, lines + 3);
    resp_simple(reply, line);
    buf_bytes_append(reply, buf_bytes(&body));
    resp_simple(reply, "HELP");
    resp_simple(reply, "    Prints this help.");
    buf_release(&body);
}

/* A word that is no subcommand of @parent's. */
static void find_help(const struct command *parent,
                      const struct bytes *argv,
                      int argc,
                      struct buf *reply)
{
    if (!bytes_ieq(argv[1], "HELP")) {
        command_error_subcommand(parent, argv[1], reply);
    } else if (argc != 2) {
        resp_errorf(reply,
                    "ERR wrong number of arguments for '%s|help' command",
                    parent->name);
    } else {
        command_help(parent, reply);
    }
}

bool command_fits(const struct command *c, int argc)
{
    return c->arity >= 0 ? argc == c->arity : argc >= -c->arity;
}

const struct command *command_find(const struct bytes *argv,
                                   int argc,
                                   struct buf *reply)
{
    const struct command *c = command_by_name(argv[0]);
    const struct command *sub;

    hf_assert(argc >= 1);
    if (c == NULL || (c->flags & CMD_HIDDEN) != 0) {
        error_unknown(argv, argc, reply);
        return NULL;
    }
    /* ONCE has a form of its own beside its subcommands. */
    if (argc >= 2 && (c->arity == -2 || c->arity == -1) && has_subcommands(c)) {
        sub = command_sub(c, argv[1]);
        if (sub == NULL && c->handler == cmd_once) {
            sub = c;
        }
        if (sub == NULL) {
            find_help(c, argv, argc, reply);
            return NULL;
        }
        c = sub;
    }
    if (!command_fits(c, argc)) {
        command_error_arity(c, reply);
        return NULL;
    }
    return c;
}

bool command_check(const struct command *c,
                   const struct bytes *argv,
                   int argc,
                   struct buf *reply)
{
    size_t before = reply->n;

    if (c->handler != NULL) {
        c->handler(NULL, argv, argc, reply);
    }
    return reply->n == before;
}

bool command_nests(const struct command *c)
{
    return c->handler != NULL && (c->flags & (CMD_NOMULTI | CMD_HIDDEN)) == 0;
}

/* ---- keys ---- */

bool command_writes(const struct command *c, const struct bytes *argv, int argc)
{
    struct buf ignored = BUF_INIT;
    bool writes = (c->flags & CMD_WRITE) != 0;
    const struct bytes *words;
    struct txn t;
    int n;

    if (writes && c->handler == cmd_txn) {
        if (txn_parse(argv, argc, &t, &ignored)) {
            writes = false;
            while (!writes && (c = txn_next(&t, &words, &n)) != NULL) {
                writes = (c->flags & CMD_WRITE) != 0;
            }
        }
        buf_release(&ignored);
    }
    return writes;
}

/* False: @fn wants no more. */
static bool plain_keys(const struct command *c,
                       const struct bytes *argv,
                       int argc,
                       bool (*fn)(void *, struct bytes),
                       void *ctx)
{
    int last = c->last_key >= 0 ? c->last_key : argc + c->last_key;

    if (c->handler == cmd_msetex) {
        last = 2 * msetex_count(argv, argc);
    }
    if (c->handler == cmd_feed) {
        return feed_keys(argv, argc, fn, ctx);
    }
    if (c->first_key == 0) {
        return true;
    }
    for (int i = c->first_key; i <= last && i < argc; i += c->step) {
        if (!fn(ctx, argv[i])) {
            return false;
        }
    }
    return true;
}

static void txn_keys(const struct bytes *argv,
                     int argc,
                     bool (*fn)(void *, struct bytes),
                     void *ctx)
{
    struct buf ignored = BUF_INIT;
    const struct command *c;
    const struct bytes *words;
    uint64_t revision;
    struct txn t;
    int n;

    if (!txn_parse(argv, argc, &t, &ignored)) {
        buf_release(&ignored);
        return;
    }
    for (int i = 0; i < t.conditions; i++) {
        if (!fn(ctx, txn_condition(&t, i, &revision))) {
            return;
        }
    }
    while ((c = txn_next(&t, &words, &n)) != NULL) {
        if (!plain_keys(c, words, n, fn, ctx)) {
            return;
        }
    }
}

void command_each_key(const struct command *c,
                      const struct bytes *argv,
                      int argc,
                      bool (*fn)(void *ctx, struct bytes key),
                      void *ctx)
{
    if (c->handler == cmd_once) {
        if (argc < 4) {
            return;
        }
        argv += 3;
        argc -= 3;
        c = command_by_name(argv[0]);
        if (c == NULL || c->handler == cmd_once) {
            return;
        }
    }
    if (c->handler == cmd_txn) {
        txn_keys(argv, argc, fn, ctx);
    } else {
        (void)plain_keys(c, argv, argc, fn, ctx);
    }
}

struct first_key {
    struct bytes key;
    bool found;
};

static bool take_first(void *ctx, struct bytes key)
{
    struct first_key *f = ctx;

    f->key = key;
    f->found = true;
    return false;
}

bool command_first_key(const struct command *c,
                       const struct bytes *argv,
                       int argc,
                       struct bytes *key)
{
    struct first_key f = {bytes_of(NULL, 0), false};

    command_each_key(c, argv, argc, take_first, &f);
    if (f.found) {
        *key = f.key;
    }
    return f.found;
}

/* ---- command bytes ---- */

static int name_words(const struct command *c)
{
    return c->parent == NULL ? 1 : 2;
}

struct blob *command_encode(const struct command *c,
                            uint8_t marks,
                            const struct bytes *argv,
                            int argc)
{
    return command_encode_as(c, marks, NULL, argv, argc);
}

struct blob *command_encode_as(const struct command *c,
                               uint8_t marks,
                               const struct acl_who *who,
                               const struct bytes *argv,
                               int argc)
{
    bool named = who != NULL && who->named && !mutant(ACL_UNMARKED);
    int names = name_words(c);
    size_t size = COMMAND_HEADER + (named ? 8 + 4 + who->name.n : 0);
    struct blob *b;
    uint8_t *p;

    hf_assert(argc >= names && argc - names <= LIM_ARGS);
    for (int i = names; i < argc; i++) {
        size += 4 + argv[i].n;
    }
    b = blob_new(size);
    put_u16(b->d, c->id);
    b->d[2] = marks | (named ? COMMAND_USER : 0);
    b->d[3] = 0;
    put_u32(b->d + 4, (uint32_t)(argc - names));
    p = b->d + COMMAND_HEADER;
    for (int i = names; i < argc; i++) {
        put_u32(p, (uint32_t)argv[i].n);
        p += 4;
        if (argv[i].n > 0) {
            memcpy(p, argv[i].p, argv[i].n);
        }
        p += argv[i].n;
    }
    if (named) {
        put_u64(p, who->born);
        put_u32(p + 8, (uint32_t)who->name.n);
        p += 12;
        if (who->name.n > 0) {
            memcpy(p, who->name.p, who->name.n);
        }
        p += who->name.n;
    }
    hf_assert(p == b->d + size);
    return b;
}

int command_decode(struct bytes command, struct command_words *out)
{
    struct reader r = reader_of(command);
    const struct command *c = command_by_id(rd_u16(&r));
    uint8_t marks = rd_u8(&r);
    uint8_t reserved = rd_u8(&r);
    uint32_t count = rd_u32(&r);
    struct bytes user = bytes_of("", 0);
    uint64_t born = 0;
    struct bytes *argv;
    int names;

    /* Each word has at least its length, so a short input cannot claim a
     * large array. */
    if (!reader_ok(&r) || c == NULL || reserved != 0 || count > LIM_ARGS ||
        count > r.n / 4 ||
        (marks & ~(COMMAND_CLUSTER_PORT | COMMAND_USER | COMMAND_IN_MULTI |
                   COMMAND_ALLOWED)) != 0) {
        return HF_EINVAL;
    }
    names = name_words(c);
    argv = count + 2 <= COMMAND_WORDS_FEW
               ? out->few
               : hf_malloc((count + 2) * sizeof *argv);
    argv[0] = bytes_str(c->parent != NULL ? c->parent : c->name);
    argv[1] = bytes_str(c->name);
    for (uint32_t i = 0; i < count; i++) {
        argv[(uint32_t)names + i] = rd_lbytes(&r);
    }
    if ((marks & COMMAND_USER) != 0) {
        born = rd_u64(&r);
        user = rd_lbytes(&r);
    }
    if (!reader_done(&r)) {
        if (argv != out->few) {
            free(argv);
        }
        return HF_EINVAL;
    }
    out->command = c;
    out->marks = marks;
    out->user = user;
    out->born = born;
    out->argc = names + (int)count;
    out->argv = argv;
    return 0;
}

void command_words_release(struct command_words *w)
{
    if (w->argv != w->few) {
        free(w->argv);
    }
    w->argv = NULL;
    w->argc = 0;
}

bool command_log_key(struct bytes command, struct bytes *key)
{
    struct reader r = reader_of(command);
    const struct command *c = command_by_id(rd_u16(&r));

    rd_u16(&r); /* marks, reserved */
    if (rd_u32(&r) == 0 || c == NULL || c->parent != NULL ||
        c->first_key != 1) {
        return false;
    }
    *key = rd_lbytes(&r);
    return reader_ok(&r);
}

/* True, and the error was appended. */
static bool refuses(const struct machine *m,
                    const struct command_words *w,
                    struct buf *reply)
{
    struct acl_who who = {(w->marks & COMMAND_USER) != 0, w->user, w->born};
    struct acl_denial d;

    if ((!who.named && acl_open(m)) || mutant(ACL_AT_DISPATCH_ONLY) ||
        acl_check(m, &who, w->command, w->argv, w->argc, &d) == ACL_OK) {
        return false;
    }
    acl_error(&d, reply);
    return true;
}

/* Whose named sessions it may use: of who has the name now, since then. 0:
 * the user "default". */
static uint64_t owner_of(const struct command_words *w)
{
    struct buf b = BUF_INIT;
    uint64_t owner;

    if ((w->marks & COMMAND_USER) == 0 || w->born == 0) {
        return 0;
    }
    buf_u64(&b, w->born);
    buf_bytes_append(&b, w->user);
    owner = digest_of(buf_bytes(&b));
    buf_release(&b);
    return owner != 0 ? owner : 1;
}

static void run(struct machine *m,
                struct bytes command,
                bool may_write,
                struct buf *reply)
{
    struct command_words w;

    if (command_decode(command, &w) != 0) {
        resp_error(reply, "ERR malformed command bytes");
        return;
    }
    if (w.command->handler == NULL || !command_fits(w.command, w.argc)) {
        resp_error(reply, "ERR not a command for the log");
    } else if (!may_write && command_writes(w.command, w.argv, w.argc)) {
        resp_error(reply, "ERR a write came where reads are answered");
    } else if (!refuses(m, &w, reply)) {
        if (w.command->handler == cmd_once) {
            machine_once_set_owner(m, owner_of(&w));
        }
        w.command->handler(m, w.argv, w.argc, reply);
    }
    command_words_release(&w);
}

void command_run(void *ctx,
                 struct machine *m,
                 struct bytes command,
                 struct buf *reply)
{
    struct buf unwanted = BUF_INIT;

    (void)ctx;
    run(m, command, true, reply != NULL ? reply : &unwanted);
    buf_release(&unwanted);
}

void command_read(struct machine *m, struct bytes command, struct buf *reply)
{
    run(m, command, false, reply);
}
