/* What is said of the commands: COMMAND, and the generated part of
 * docs/PROTOCOL.md; and the few commands that need nothing but their words. */
#include <stdio.h>

#include "base/assert.h"
#include "resp/resp.h"
#include "server/command/args.h"
#include "server/command/command.h"

static const struct flag_name {
    uint32_t flag;
    const char *name;
} flag_names[] = {
    {CMD_WRITE, "write"},  {CMD_READ, "readonly"}, {CMD_ADMIN, "admin"},
    {CMD_OPEN, "loading"}, {CMD_OPEN, "stale"},    {CMD_NOMULTI, "no_multi"},
};
enum { FLAG_NAMES = sizeof flag_names / sizeof flag_names[0] };

static bool moves_keys(const struct command *c)
{
    return c->handler == cmd_txn || c->handler == cmd_once ||
           c->handler == cmd_msetex;
}

static void flags_reply(const struct command *c, struct buf *reply)
{
    size_t n = moves_keys(c);

    for (size_t i = 0; i < FLAG_NAMES; i++) {
        n += (c->flags & flag_names[i].flag) != 0;
    }
    resp_set(reply, n);
    for (size_t i = 0; i < FLAG_NAMES; i++) {
        if ((c->flags & flag_names[i].flag) != 0) {
            resp_simple(reply, flag_names[i].name);
        }
    }
    if (moves_keys(c)) {
        resp_simple(reply, "movablekeys");
    }
}

static void categories_reply(const struct command *c, struct buf *reply)
{
    bool data = (c->flags & (CMD_READ | CMD_WRITE)) != 0;
    bool admin = (c->flags & CMD_ADMIN) != 0;
    char group[40];

    resp_set(reply, 1 + (size_t)data + (size_t)admin);
    if (data) {
        resp_simple(reply, (c->flags & CMD_WRITE) != 0 ? "@write" : "@read");
    }
    if (admin) {
        resp_simple(reply, "@admin");
    }
    snprintf(group, sizeof group, "@%s", c->group);
    resp_simple(reply, group);
}

static bool is_child(const struct command *c, const struct command *parent)
{
    return c->parent != NULL && strcmp(c->parent, parent->name) == 0;
}

static size_t children(const struct command *parent)
{
    size_t n, found = 0;
    const struct command *rows = command_table(&n);

    for (size_t i = 0; i < n; i++) {
        found += is_child(&rows[i], parent);
    }
    return found;
}

/* The ten elements of a COMMAND row. */
static void row_reply(const struct command *c, struct buf *reply)
{
    char name[48];
    size_t n;
    const struct command *rows = command_table(&n);

    command_full_name(c, name);
    resp_array(reply, 10);
    resp_bulk_str(reply, name);
    resp_int(reply, c->arity);
    flags_reply(c, reply);
    resp_int(reply, c->first_key);
    resp_int(reply, c->last_key);
    resp_int(reply, c->step);
    categories_reply(c, reply);
    resp_array(reply, 0); /* tips */
    resp_array(reply, 0); /* key specifications */
    resp_array(reply, c->parent == NULL ? children(c) : 0);
    for (size_t i = 0; c->parent == NULL && i < n; i++) {
        if (is_child(&rows[i], c)) {
            row_reply(&rows[i], reply); /* one level: they have none */
        }
    }
}

static bool listed(const struct command *c)
{
    return c->parent == NULL && (c->flags & CMD_HIDDEN) == 0;
}

static size_t listed_count(void)
{
    size_t n, found = 0;
    const struct command *rows = command_table(&n);

    for (size_t i = 0; i < n; i++) {
        found += listed(&rows[i]);
    }
    return found;
}

/* "get" or "config|get". */
static const struct command *by_full_name(struct bytes name)
{
    const uint8_t *bar = name.n == 0 ? NULL : memchr(name.p, '|', name.n);
    const struct command *c;

    if (bar != NULL) {
        size_t n = (size_t)(bar - name.p);

        c = command_by_name(bytes_of(name.p, n));
        return c == NULL ? NULL
                         : command_sub(c, bytes_of(bar + 1, name.n - n - 1));
    }
    c = command_by_name(name);
    return c == NULL || (c->flags & CMD_HIDDEN) != 0 ? NULL : c;
}

/* The arguments go into one "argument" whose name is the whole syntax: that
 * is what interactive clients show. */
static void doc_reply(const struct command *c, struct buf *reply)
{
    size_t subs = c->parent == NULL ? children(c) : 0, n;
    const struct command *rows = command_table(&n);
    bool args = c->syntax[0] != 0;
    char name[48];

    command_full_name(c, name);
    resp_bulk_str(reply, name);
    resp_map(reply, 3 + (size_t)args + (subs > 0 ? 1 : 0));
    resp_bulk_str(reply, "summary");
    resp_bulk_str(reply, c->help);
    resp_bulk_str(reply, "since");
    resp_bulk_str(reply, "0.1.0");
    resp_bulk_str(reply, "group");
    resp_bulk_str(reply, c->group);
    if (args) {
        resp_bulk_str(reply, "arguments");
        resp_array(reply, 1);
        resp_map(reply, 3);
        resp_bulk_str(reply, "name");
        resp_bulk_str(reply, c->syntax);
        resp_bulk_str(reply, "type");
        resp_bulk_str(reply, "string");
        resp_bulk_str(reply, "display_text");
        resp_bulk_str(reply, c->syntax);
    }
    if (subs > 0) {
        resp_bulk_str(reply, "subcommands");
        resp_map(reply, subs);
        for (size_t i = 0; i < n; i++) {
            if (is_child(&rows[i], c)) {
                doc_reply(&rows[i], reply);
            }
        }
    }
}

static void list_all(void (*one)(const struct command *, struct buf *),
                     struct buf *reply)
{
    size_t n;
    const struct command *rows = command_table(&n);

    for (size_t i = 0; i < n; i++) {
        if (listed(&rows[i])) {
            one(&rows[i], reply);
        }
    }
}

static void name_reply(const struct command *c, struct buf *reply)
{
    resp_bulk_str(reply, c->name);
}

static void command_info(const struct bytes *argv, int argc, struct buf *reply)
{
    if (argc <= 2) {
        resp_array(reply, listed_count());
        list_all(row_reply, reply);
        return;
    }
    resp_array(reply, (size_t)argc - 2);
    for (int i = 2; i < argc; i++) {
        const struct command *c = by_full_name(argv[i]);

        if (c == NULL) {
            resp_null(reply);
        } else {
            row_reply(c, reply);
        }
    }
}

static void command_docs(const struct bytes *argv, int argc, struct buf *reply)
{
    size_t known = 0;

    if (argc <= 2) {
        resp_map(reply, listed_count());
        list_all(doc_reply, reply);
        return;
    }
    for (int i = 2; i < argc; i++) {
        known += by_full_name(argv[i]) != NULL;
    }
    resp_map(reply, known);
    for (int i = 2; i < argc; i++) {
        if (by_full_name(argv[i]) != NULL) {
            doc_reply(by_full_name(argv[i]), reply);
        }
    }
}

struct key_list {
    struct buf text;
    size_t n;
};

static bool key_add(void *ctx, struct bytes key)
{
    struct key_list *k = ctx;

    resp_bulk(&k->text, key);
    k->n++;
    return true;
}

static void command_getkeys(const struct bytes *argv,
                            int argc,
                            struct buf *reply)
{
    struct key_list keys = {BUF_INIT, 0};
    const struct command *c;

    if (argc < 4) {
        resp_error(reply,
                   "ERR wrong number of arguments for "
                   "'command|getkeys' command");
        return;
    }
    c = command_by_name(argv[2]);
    if (c == NULL || (c->flags & CMD_HIDDEN) != 0) {
        resp_error(reply, "ERR Invalid command specified");
        return;
    }
    argv += 2;
    argc -= 2;
    if (c->arity >= 0 ? argc != c->arity : argc < -c->arity) {
        resp_error(reply,
                   "ERR Invalid number of arguments specified for command");
        return;
    }
    command_each_key(c, argv, argc, key_add, &keys);
    if (keys.n == 0) {
        resp_error(reply, "ERR The command has no key arguments");
    } else {
        resp_array(reply, keys.n);
        buf_bytes_append(reply, buf_bytes(&keys.text));
    }
    buf_release(&keys.text);
}

static void command_cmd(const struct bytes *argv, int argc, struct buf *reply)
{
    if (argc == 1) {
        command_info(argv, argc, reply);
    } else if (bytes_ieq(argv[1], "COUNT") && argc == 2) {
        resp_int(reply, (int64_t)listed_count());
    } else if (bytes_ieq(argv[1], "LIST") && argc == 2) {
        resp_array(reply, listed_count());
        list_all(name_reply, reply);
    } else if (bytes_ieq(argv[1], "INFO")) {
        command_info(argv, argc, reply);
    } else if (bytes_ieq(argv[1], "DOCS")) {
        command_docs(argv, argc, reply);
    } else if (bytes_ieq(argv[1], "GETKEYS")) {
        command_getkeys(argv, argc, reply);
    } else {
        resp_errorf(reply, "ERR unknown subcommand '%.*s'. Try COMMAND DOCS.",
                    (int)(argv[1].n < 128 ? argv[1].n : 128),
                    (const char *)argv[1].p);
    }
}

void command_local(const struct command *c,
                   const struct bytes *argv,
                   int argc,
                   struct buf *reply)
{
    if (strcmp(c->name, "ping") == 0) {
        if (argc > 2) {
            command_error_arity(c, reply);
        } else if (argc == 2) {
            resp_bulk(reply, argv[1]);
        } else {
            resp_simple(reply, "PONG");
        }
    } else if (strcmp(c->name, "echo") == 0) {
        resp_bulk(reply, argv[1]);
    } else {
        hf_assert(strcmp(c->name, "command") == 0);
        command_cmd(argv, argc, reply);
    }
}

/* ---- docs/PROTOCOL.md ---- */

static void upper_words(struct buf *out, const char *s)
{
    for (; *s != 0; s++) {
        buf_u8(out, *s >= 'a' && *s <= 'z' ? (uint8_t)(*s - ('a' - 'A'))
                                           : (uint8_t)*s);
    }
}

/* A bar would end the cell of a Markdown table. */
static void cell(struct buf *out, const char *s)
{
    for (; *s != 0; s++) {
        if (*s == '|') {
            buf_u8(out, '\\');
        }
        buf_u8(out, (uint8_t)*s);
    }
}

static void markdown_row(struct buf *out, const struct command *c)
{
    const char *kind = (c->flags & CMD_WRITE) != 0  ? "write"
                       : (c->flags & CMD_READ) != 0 ? "read"
                       : (c->flags & CMD_NODE) != 0 ? "node"
                                                    : "connection";

    buf_printf(out, "| `");
    if (c->parent != NULL) {
        upper_words(out, c->parent);
        buf_printf(out, " ");
    }
    upper_words(out, c->name);
    if (c->syntax[0] != 0) {
        buf_printf(out, " ");
        cell(out, c->syntax);
    }
    buf_printf(out, "` | %d | %s | ", c->arity, kind);
    cell(out, c->help);
    buf_printf(out, " |\n");
}

/* A name that is nothing without one of its subcommands. */
static bool is_container(const struct command *c)
{
    return c->parent == NULL && c->handler == NULL && children(c) > 0;
}

void command_markdown(struct buf *out)
{
    static const char *const groups[] = {"string", "keyspace", "transactions",
                                         "stream", "pubsub",   "connection",
                                         "server", "cluster"};
    size_t n, shown = 0, all = 0;
    const struct command *rows = command_table(&n);

    for (size_t g = 0; g < sizeof groups / sizeof groups[0]; g++) {
        buf_printf(out,
                   "### %s\n\n| command | arity | kind | what it does |\n"
                   "|---|---|---|---|\n",
                   groups[g]);
        for (size_t i = 0; i < n; i++) {
            bool container = is_container(&rows[i]);

            if (strcmp(rows[i].group, groups[g]) == 0 && !container &&
                (rows[i].flags & CMD_HIDDEN) == 0) {
                markdown_row(out, &rows[i]);
                shown++;
            }
        }
        buf_printf(out, "\n");
    }
    for (size_t i = 0; i < n; i++) {
        all += (rows[i].flags & CMD_HIDDEN) == 0 && !is_container(&rows[i]);
    }
    hf_assert(shown == all); /* every group is named above */
}
