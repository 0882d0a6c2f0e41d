/* What is said of the commands: COMMAND, and the generated part of
 * docs/PROTOCOL.md; and the few commands that need nothing but their words. */
#include <stdio.h>

#include "base/assert.h"
#include "resp/resp.h"
#include "server/command/args.h"
#include "server/command/category.h"
#include "server/command/command.h"
#include "server/command/facts.h"

/* What Redis says of a command that it has, too. */
static const struct fact {
    const char *name;
    const char *flags;
    const char *tips;
    const char *spec;
} facts[] = {
#define F(name, flags, tips, spec) {name, flags, tips, spec},
    COMMAND_FACTS(F)
#undef F
};
enum { FACTS = sizeof facts / sizeof facts[0] };

static const struct fact *fact_of(const struct command *c)
{
    size_t low = 0, high = FACTS;
    char name[48];

    command_full_name(c, name);
    while (low < high) { /* they are in order */
        size_t mid = (low + high) / 2;
        int d = strcmp(name, facts[mid].name);

        if (d == 0) {
            return &facts[mid];
        }
        if (d < 0) {
            high = mid;
        } else {
            low = mid + 1;
        }
    }
    return NULL;
}

/* Words up to @end (0 or a byte): each to @one. How many. */
static size_t each_word(const char *text,
                        const char *end,
                        void (*one)(struct buf *, const char *),
                        struct buf *reply)
{
    char word[64];
    size_t n = 0;

    while (text < end) {
        size_t k = 0;

        while (text < end && *text == ' ') {
            text++;
        }
        while (text < end && *text != ' ' && k + 1 < sizeof word) {
            word[k++] = *text++;
        }
        word[k] = 0;
        if (k > 0) {
            n++;
            if (one != NULL) {
                one(reply, word);
            }
        }
    }
    return n;
}

static void words_reply(const char *text,
                        const char *end,
                        void (*one)(struct buf *, const char *),
                        struct buf *reply)
{
    resp_set(reply, each_word(text, end, NULL, NULL));
    (void)each_word(text, end, one, reply);
}

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

static bool has_children(const struct command *c);

static void flags_reply(const struct command *c, struct buf *reply)
{
    const struct fact *f = fact_of(c);
    struct buf words = BUF_INIT;

    if (f != NULL) {
        words_reply(f->flags, f->flags + strlen(f->flags), resp_simple, reply);
        return;
    }
    for (size_t i = 0; i < FLAG_NAMES && !has_children(c); i++) {
        if ((c->flags & flag_names[i].flag) != 0) {
            buf_printf(&words, "%s ", flag_names[i].name);
        }
    }
    if (moves_keys(c)) {
        buf_printf(&words, "movablekeys ");
    }
    buf_u8(&words, 0);
    words_reply((const char *)words.p,
                (const char *)words.p + strlen((const char *)words.p),
                resp_simple, reply);
    buf_release(&words);
}

static void categories_reply(const struct command *c, struct buf *reply)
{
    uint32_t set = command_categories(c);
    char name[40];

    resp_set(reply, (size_t)__builtin_popcount(set));
    for (unsigned bit = 0; bit < CATEGORY_N; bit++) {
        if ((set & 1u << bit) != 0) {
            snprintf(name, sizeof name, "@%s", category_name(bit));
            resp_simple(reply, name);
        }
    }
}

/* ---- key specifications ---- */

/* Of what Redis does not have. */
static const char *spec_text(const struct command *c)
{
    const struct fact *f = fact_of(c);

    if (f != NULL) {
        return f->spec;
    }
    if (c->first_key == 0) {
        return "";
    }
    return command_has(c, CMD_WRITE) ? "RW access update" : "RO access";
}

static const char *spec_next(const char *spec)
{
    const char *end = strchr(spec, ';');

    return end == NULL ? spec + strlen(spec) : end;
}

/* The flags alone end at a place or a note. */
static const char *spec_flags_end(const char *spec)
{
    return spec + strcspn(spec, ";@#");
}

static void spec_search_index(const struct command *c, int i, struct buf *reply)
{
    resp_map(reply, 2);
    resp_bulk_str(reply, "type");
    resp_bulk_str(reply, "index");
    resp_bulk_str(reply, "spec");
    resp_map(reply, 1);
    resp_bulk_str(reply, "index");
    resp_int(reply, c->first_key + i);
}

static void spec_search_word(const char *word, struct buf *reply)
{
    resp_map(reply, 2);
    resp_bulk_str(reply, "type");
    resp_bulk_str(reply, "keyword");
    resp_bulk_str(reply, "spec");
    resp_map(reply, 2);
    resp_bulk_str(reply, "keyword");
    resp_bulk(reply, bytes_of(word, strcspn(word, ";# ")));
    resp_bulk_str(reply, "startfrom");
    resp_int(reply, 1);
}

static void spec_range(int last, int step, int limit, struct buf *reply)
{
    resp_bulk_str(reply, "find_keys");
    resp_map(reply, 2);
    resp_bulk_str(reply, "type");
    resp_bulk_str(reply, "range");
    resp_bulk_str(reply, "spec");
    resp_map(reply, 3);
    resp_bulk_str(reply, "lastkey");
    resp_int(reply, last);
    resp_bulk_str(reply, "keystep");
    resp_int(reply, step);
    resp_bulk_str(reply, "limit");
    resp_int(reply, limit);
}

static void spec_one(const struct command *c,
                     const char *spec,
                     int i,
                     struct buf *reply)
{
    size_t n = (size_t)(spec_next(spec) - spec);
    const char *note = memchr(spec, '#', n);
    const char *word = memchr(spec, '@', n);
    bool alone = i == 0 && *spec_next(spec) == 0;

    resp_map(reply, note != NULL ? 4 : 3);
    if (note != NULL) {
        resp_bulk_str(reply, "notes");
        resp_bulk(reply, bytes_of(note + 1, n - (size_t)(note + 1 - spec)));
    }
    resp_bulk_str(reply, "flags");
    words_reply(spec, spec_flags_end(spec), resp_simple, reply);
    resp_bulk_str(reply, "begin_search");
    if (word != NULL) {
        spec_search_word(word + 1, reply);
        spec_range(-1, 1, 2, reply);
    } else {
        spec_search_index(c, i, reply);
        spec_range(!alone            ? 0
                   : c->last_key < 0 ? c->last_key
                                     : c->last_key - c->first_key,
                   alone ? c->step : 1, 0, reply);
    }
}

static void specs_reply(const struct command *c, struct buf *reply)
{
    const char *text = spec_text(c);
    size_t n = text[0] != 0;

    for (const char *p = text; *p != 0; p++) {
        n += *p == ';';
    }
    resp_set(reply, n);
    for (int i = 0; i < (int)n; i++) {
        spec_one(c, text, i, reply);
        text = spec_next(text) + 1;
    }
}

static void tips_reply(const struct command *c, struct buf *reply)
{
    const struct fact *f = fact_of(c);
    const char *tips = f != NULL ? f->tips : "";

    words_reply(tips, tips + strlen(tips), resp_bulk_str, reply);
}

/* ---- rows ---- */

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

static bool has_children(const struct command *c)
{
    return c->parent == NULL && children(c) > 0;
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
    tips_reply(c, reply);
    specs_reply(c, reply);
    resp_set(reply, c->parent == NULL ? children(c) : 0);
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
    const struct command *command;
    const struct bytes *argv;
    int argc;
    bool flags;
    struct buf text;
    size_t n;
};

/* What is done to key number @i of the command, in words. */
static void key_flags(const struct key_list *k, size_t i, struct buf *reply)
{
    const char *text = spec_text(k->command);

    while (i > 0 && *spec_next(text) != 0) {
        text = spec_next(text) + 1;
        i--;
    }
    if (*text == 0) {
        text = command_has(k->command, CMD_WRITE) ? "RW access update"
                                                  : "RO access";
    }
    if (strstr(text, "variable_flags") != NULL) {
        text = "OW update";
        for (int w = 3; w < k->argc; w++) {
            text = bytes_ieq(k->argv[w], "GET") ? "RW access update" : text;
        }
    }
    words_reply(text, spec_flags_end(text), resp_simple, reply);
}

static bool key_add(void *ctx, struct bytes key)
{
    struct key_list *k = ctx;

    if (k->flags) {
        resp_array(&k->text, 2);
    }
    resp_bulk(&k->text, key);
    if (k->flags) {
        key_flags(k, k->n, &k->text);
    }
    k->n++;
    return true;
}

static const struct command *with_words(const struct bytes *argv,
                                        int argc,
                                        struct buf *reply)
{
    const struct command *c = command_by_name(argv[0]);

    if (c != NULL && has_children(c) && c->handler == NULL && argc > 1) {
        c = command_sub(c, argv[1]);
    }
    if (c == NULL || (c->flags & CMD_HIDDEN) != 0) {
        resp_error(reply, "ERR Invalid command specified");
        return NULL;
    }
    if (c->first_key == 0 && !moves_keys(c) && spec_text(c)[0] == 0) {
        resp_error(reply, "ERR The command has no key arguments");
        return NULL;
    }
    if (!command_fits(c, argc)) {
        resp_error(reply,
                   "ERR Invalid number of arguments specified for command");
        return NULL;
    }
    return c;
}

static void command_getkeys(const struct bytes *argv,
                            int argc,
                            bool flags,
                            struct buf *reply)
{
    const struct command *c = with_words(argv + 2, argc - 2, reply);
    struct key_list keys = {c, argv + 2, argc - 2, flags, BUF_INIT, 0};

    if (c == NULL) {
        return;
    }
    command_each_key(c, argv + 2, argc - 2, key_add, &keys);
    if (keys.n == 0) {
        resp_error(reply, "ERR Invalid arguments specified for command");
    } else {
        resp_array(reply, keys.n);
        buf_bytes_append(reply, buf_bytes(&keys.text));
    }
    buf_release(&keys.text);
}

/* ---- COMMAND LIST ---- */

struct list_filter {
    bool all;
    uint32_t category;
    struct bytes pattern; /* p NULL: none */
    uint64_t steps;       /* left for it */
};

static bool list_takes(struct list_filter *f, const struct command *c)
{
    char name[48];

    if ((c->flags & CMD_HIDDEN) != 0) {
        return false;
    }
    if (f->all) {
        return c->parent == NULL;
    }
    if (f->pattern.p != NULL) {
        command_full_name(c, name);
        return command_glob_within(f->pattern, bytes_str(name), &f->steps);
    }
    return (command_categories(c) & f->category) != 0;
}

static bool list_parse(const struct bytes *argv,
                       int argc,
                       struct list_filter *f,
                       struct buf *reply)
{
    memset(f, 0, sizeof *f);
    f->all = argc == 2;
    f->steps = GLOB_STEPS_MAX;
    if (argc == 2) {
        return true;
    }
    if (argc == 5 && bytes_ieq(argv[2], "FILTERBY")) {
        if (bytes_ieq(argv[3], "MODULE")) {
            return true; /* none is of a module */
        }
        if (bytes_ieq(argv[3], "ACLCAT")) {
            f->category = category_by_name(argv[4]);
            return true;
        }
        if (bytes_ieq(argv[3], "PATTERN")) {
            f->pattern = argv[4].n > 0 ? argv[4] : bytes_str("");
            return true;
        }
    }
    return args_fail(reply, ERR_SYNTAX);
}

static void command_list(const struct bytes *argv, int argc, struct buf *reply)
{
    size_t n, found = 0;
    const struct command *rows = command_table(&n);
    struct buf names = BUF_INIT;
    struct list_filter f;
    char name[48];

    if (!list_parse(argv, argc, &f, reply)) {
        return;
    }
    for (size_t i = 0; i < n; i++) {
        if (list_takes(&f, &rows[i])) {
            command_full_name(&rows[i], name);
            resp_bulk_str(&names, name);
            found++;
        }
    }
    if (f.steps == 0) {
        resp_error(reply, ERR_PATTERN);
    } else {
        resp_array(reply, found);
        buf_bytes_append(reply, buf_bytes(&names));
    }
    buf_release(&names);
}

static void command_cmd(const struct command *c,
                        const struct bytes *argv,
                        int argc,
                        struct buf *reply)
{
    const char *name = c->parent == NULL ? "info" : c->name;

    if (strcmp(name, "count") == 0) {
        resp_int(reply, (int64_t)listed_count());
    } else if (strcmp(name, "list") == 0) {
        command_list(argv, argc, reply);
    } else if (strcmp(name, "info") == 0) {
        command_info(argv, argc, reply);
    } else if (strcmp(name, "docs") == 0) {
        command_docs(argv, argc, reply);
    } else {
        command_getkeys(argv, argc, strcmp(name, "getkeysandflags") == 0,
                        reply);
    }
}

void command_local(const struct command *c,
                   const struct bytes *argv,
                   int argc,
                   struct buf *reply)
{
    if (c->parent != NULL || strcmp(c->name, "command") == 0) {
        hf_assert(c->parent == NULL || strcmp(c->parent, "command") == 0);
        command_cmd(c, argv, argc, reply);
    } else if (strcmp(c->name, "ping") == 0) {
        if (argc > 2) {
            command_error_arity(c, reply);
        } else if (argc == 2) {
            resp_bulk(reply, argv[1]);
        } else {
            resp_simple(reply, "PONG");
        }
    } else {
        hf_assert(strcmp(c->name, "echo") == 0);
        resp_bulk(reply, argv[1]);
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
