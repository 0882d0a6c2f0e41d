/* kv: the lines of the prompt and of scripts.
 *
 * A line is a command of the cluster, in words quoted as in redis-cli, but for
 * a few words that the prompt knows itself (the table at the end). Commands
 * go through hf_call(): what the node's COMMAND says about one decides the
 * mode. Reads are repeated, writes are named and take effect once, all else
 * is sent once, as is everything of a user who may not ask COMMAND.
 *
 * A transaction has no state at any node: MULTI collects commands here, WATCH
 * keeps the revisions of keys here, EXEC sends all of it as one TXN. So it
 * survives the loss of a node at any point, and takes effect once. */
#include "client/kv_session.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "client/hf_int.h"

static char *text_of(const struct hf_reply *r)
{
    return hf_strdup(r != NULL && r->str != NULL ? r->str : "");
}

void session_init(struct session *s, struct kv *kv, bool tty)
{
    memset(s, 0, sizeof(*s));
    s->kv = kv;
    s->tty = tty;
    s->conds = hf_calloc(SESSION_TX_MAX, sizeof(*s->conds));
    s->queue = hf_calloc(SESSION_TX_MAX, sizeof(*s->queue));
}

static void free_bytes(struct hf_bytes b)
{
    free((void *)(uintptr_t)b.p);
}

static struct hf_bytes copy_bytes(struct hf_bytes b)
{
    char *p = hf_calloc(1, b.n + 1);

    if (b.n > 0) {
        memcpy(p, b.p, b.n);
    }
    return hf_bytes(p, b.n);
}

static void forget_watched(struct session *s)
{
    for (size_t i = 0; i < s->nconds; i++) {
        free_bytes(s->conds[i].key);
    }
    s->nconds = 0;
}

static void end_tx(struct session *s)
{
    for (size_t i = 0; i < s->nqueue; i++) {
        for (size_t k = 0; k < s->queue[i].argc; k++) {
            free_bytes(s->queue[i].argv[k]);
        }
        free((void *)(uintptr_t)s->queue[i].argv);
    }
    s->nqueue = 0;
    s->tx = false;
    s->tx_bad = false;
    forget_watched(s);
}

void session_release(struct session *s)
{
    end_tx(s);
    for (size_t i = 0; i < s->ncmds; i++) {
        free(s->cmds[i].name);
        free(s->cmds[i].syntax);
        free(s->cmds[i].summary);
        free(s->cmds[i].group);
    }
    free(s->cmds);
    free(s->conds);
    free(s->queue);
}

/* ---- the node's commands ---- */

static bool has_flag(const struct hf_reply *flags, const char *name)
{
    for (size_t i = 0; i < flags->n; i++) {
        const char *str = flags->items[i].str;

        if (str != NULL && strcmp(str, name) == 0) {
            return true;
        }
    }
    return false;
}

/* A row of COMMAND: [name, arity, flags, ..., subcommands at 9]. */
static void add_row(struct session *s, const struct hf_reply *row)
{
    struct cmd *c;

    if (row->type != HF_REPLY_ARRAY || row->n < 3 ||
        row->items[0].str == NULL || s->ncmds == SESSION_COMMANDS_MAX) {
        return;
    }
    c = &s->cmds[s->ncmds++];
    c->name = text_of(&row->items[0]);
    c->arity = row->items[1].integer;
    c->write = has_flag(&row->items[2], "write");
    c->readonly = has_flag(&row->items[2], "readonly");
    c->blocking = has_flag(&row->items[2], "blocking");
    for (size_t i = 0; row->n > 9 && i < row->items[9].n; i++) {
        add_row(s, &row->items[9].items[i]);
    }
}

const struct cmd *session_find(const struct session *s,
                               const char *name,
                               size_t n)
{
    for (size_t i = 0; i < s->ncmds; i++) {
        if (strlen(s->cmds[i].name) == n &&
            strncasecmp(s->cmds[i].name, name, n) == 0) {
            return &s->cmds[i];
        }
    }
    return NULL;
}

/* A map of COMMAND DOCS: name, doc, name, doc, ... */
static void add_docs(struct session *s, const struct hf_reply *map)
{
    for (size_t i = 0; map != NULL && i + 1 < map->n; i += 2) {
        const struct hf_reply *name = &map->items[i];
        const struct hf_reply *doc = &map->items[i + 1];
        const struct hf_reply *args = hf_reply_field(doc, "arguments");
        struct cmd *c = NULL;

        if (name->str != NULL) {
            c = (struct cmd *)(uintptr_t)session_find(s, name->str, name->len);
        }
        if (c == NULL || c->summary != NULL) {
            continue;
        }
        c->summary = text_of(hf_reply_field(doc, "summary"));
        c->group = text_of(hf_reply_field(doc, "group"));
        c->syntax = text_of(args != NULL && args->n > 0
                                ? hf_reply_field(&args->items[0], "name")
                                : NULL);
        add_docs(s, hf_reply_field(doc, "subcommands"));
    }
}

bool session_load(struct session *s)
{
    struct hf_bytes rows[] = {hf_str("COMMAND")};
    struct hf_bytes docs[] = {hf_str("COMMAND"), hf_str("DOCS")};
    struct hf_reply *r = NULL;
    int rv;

    if (s->ncmds > 0 || s->unlisted) {
        return true;
    }
    rv = hf_call(s->kv->c, HF_CALL_READ, rows, 1, s->kv->timeout_ms, &r);
    s->unlisted = rv == HF_EREFUSED && r != NULL && r->str != NULL &&
                  strncmp(r->str, "NOPERM ", 7) == 0;
    if (rv == HF_OK && r->type == HF_REPLY_ARRAY) {
        s->cmds = s->cmds != NULL
                      ? s->cmds
                      : hf_calloc(SESSION_COMMANDS_MAX, sizeof(*s->cmds));
        for (size_t i = 0; i < r->n; i++) {
            add_row(s, &r->items[i]);
        }
    }
    hf_reply_free(r);
    r = NULL;
    if (s->ncmds > 0 && hf_call(s->kv->c, HF_CALL_READ, docs, 2,
                                s->kv->timeout_ms, &r) == HF_OK) {
        add_docs(s, r);
    }
    hf_reply_free(r);
    return s->ncmds > 0 || s->unlisted;
}

/* The command that the words name, the subcommand if there is one. */
static const struct cmd *find_words(const struct session *s,
                                    const struct hf_bytes *argv,
                                    size_t argc)
{
    const struct cmd *c = NULL;
    struct buf b = BUF_INIT;

    buf_append(&b, argv[0].p, argv[0].n);
    if (argc > 1) {
        buf_append(&b, "|", 1);
        buf_append(&b, argv[1].p, argv[1].n);
        c = session_find(s, (const char *)b.p, b.n);
    }
    if (c == NULL) {
        c = session_find(s, argv[0].p, argv[0].n);
    }
    buf_release(&b);
    return c;
}

/* ---- commands of the cluster ---- */

static int say_error(const char *text)
{
    printf("(error) %s\n", text);
    return KV_FAILED;
}

static bool fits(const struct cmd *c, size_t argc)
{
    int64_t n = (int64_t)argc;

    return c->arity >= 0 ? n == c->arity : n >= -c->arity;
}

/* Print what a call gave. */
static int show(struct session *s, int rv, struct hf_reply *r)
{
    int status = KV_DONE;

    if (r != NULL && (rv == HF_OK || rv == HF_EREFUSED || rv == HF_EFULL)) {
        kv_print_reply(s->kv, r);
        status = rv == HF_OK ? KV_DONE : KV_FAILED;
    } else if (rv == HF_NO) {
        printf("(nil)\n");
    } else {
        status = kv_result(s->kv, rv, "");
    }
    hf_reply_free(r);
    return status;
}

static int send_command(struct session *s,
                        const struct hf_bytes *argv,
                        size_t argc)
{
    enum hf_call_mode mode = HF_CALL_ONCE;
    struct hf_reply *r = NULL;
    const struct cmd *c;
    int rv;

    if (!session_load(s)) {
        return kv_result(s->kv, HF_ENOLEADER, "");
    }
    c = find_words(s, argv, argc);
    if (c != NULL && c->write && !c->blocking) {
        mode = HF_CALL_WRITE;
    } else if (c != NULL && c->readonly && !c->blocking) {
        mode = HF_CALL_READ;
    }
    rv = hf_call(s->kv->c, mode, argv, argc, s->kv->timeout_ms, &r);
    if (rv == HF_EUNKNOWN && c != NULL && c->readonly) {
        /* One that waits is sent once, but there is nothing to doubt. */
        fprintf(stderr,
                "kv: no answer: %s\nhint: it only reads, nothing was changed; "
                "let it BLOCK for less than --timeout (5s), or use 'kv "
                "watch'\n",
                hf_error(s->kv->c));
        return KV_FAILED;
    }
    return show(s, rv, r);
}

static int queue(struct session *s, const struct hf_bytes *argv, size_t argc)
{
    struct hf_bytes *words;
    const struct cmd *c;

    if (!session_load(s)) {
        return kv_result(s->kv, HF_ENOLEADER, "");
    }
    c = find_words(s, argv, argc);
    if (c == NULL && !s->unlisted) {
        s->tx_bad = true;
        return say_error("ERR unknown command");
    }
    if (c != NULL && !fits(c, argc)) {
        s->tx_bad = true;
        return say_error("ERR wrong number of arguments");
    }
    if (s->nqueue == SESSION_TX_MAX) {
        s->tx_bad = true;
        return say_error("ERR too many commands in MULTI");
    }
    words = hf_calloc(argc, sizeof(*words));
    for (size_t i = 0; i < argc; i++) {
        words[i] = copy_bytes(argv[i]);
    }
    s->queue[s->nqueue].argv = words;
    s->queue[s->nqueue].argc = argc;
    s->nqueue++;
    printf("QUEUED\n");
    return KV_DONE;
}

/* ---- words of the prompt itself ---- */

static int do_exit(struct session *s, const struct hf_bytes *argv, size_t argc)
{
    (void)argv;
    (void)argc;
    s->done = true;
    return KV_DONE;
}

static int do_multi(struct session *s, const struct hf_bytes *argv, size_t argc)
{
    (void)argv;
    (void)argc;
    if (s->tx) {
        return say_error("ERR MULTI calls can not be nested");
    }
    s->tx = true;
    printf("OK\n");
    return KV_DONE;
}

static int do_discard(struct session *s,
                      const struct hf_bytes *argv,
                      size_t argc)
{
    (void)argv;
    (void)argc;
    if (!s->tx) {
        return say_error("ERR DISCARD without MULTI");
    }
    end_tx(s);
    printf("OK\n");
    return KV_DONE;
}

static int do_exec(struct session *s, const struct hf_bytes *argv, size_t argc)
{
    struct hf_reply *r = NULL;
    int status;
    int rv;

    (void)argv;
    (void)argc;
    if (!s->tx) {
        return say_error("ERR EXEC without MULTI");
    }
    if (s->tx_bad) {
        end_tx(s);
        return say_error(
            "EXECABORT Transaction discarded because of previous errors.");
    }
    if (s->nqueue == 0 && s->nconds == 0) {
        end_tx(s);
        printf("(empty array)\n");
        return KV_DONE;
    }
    rv = hf_txn(s->kv->c, s->conds, s->nconds, s->queue, s->nqueue,
                s->kv->timeout_ms, &r);
    status = show(s, rv, r);
    end_tx(s);
    return status;
}

/* The revision of a key: what the change of it will be noticed by. */
static int watch_key(struct session *s, struct hf_bytes key)
{
    struct hf_bytes argv[] = {hf_str("GETV"), key};
    struct hf_reply *r = NULL;
    int rv = hf_call(s->kv->c, HF_CALL_READ, argv, 2, s->kv->timeout_ms, &r);
    struct hf_condition *c = &s->conds[s->nconds];

    if (rv != HF_OK) {
        return show(s, rv, r);
    }
    c->revision = r->type == HF_REPLY_ARRAY && r->n == 3
                      ? (uint64_t)r->items[2].integer
                      : 0;
    c->key = copy_bytes(key);
    s->nconds++;
    hf_reply_free(r);
    return KV_DONE;
}

static int do_watch(struct session *s, const struct hf_bytes *argv, size_t argc)
{
    int status = KV_DONE;

    if (s->tx) {
        return say_error("ERR WATCH inside MULTI is not allowed");
    }
    if (argc < 2) {
        return say_error("ERR wrong number of arguments for 'watch' command");
    }
    if (argc - 1 > SESSION_TX_MAX - s->nconds) {
        return say_error("ERR too many watched keys");
    }
    for (size_t i = 1; i < argc && status == KV_DONE; i++) {
        status = watch_key(s, argv[i]);
    }
    if (status == KV_DONE) {
        printf("OK\n");
    }
    return status;
}

static int do_unwatch(struct session *s,
                      const struct hf_bytes *argv,
                      size_t argc)
{
    (void)argv;
    (void)argc;
    if (!s->tx) {
        forget_watched(s);
    }
    printf("OK\n");
    return KV_DONE;
}

/* Every connection from now on greets with it; PING shows if it is right. */
static int authenticate(struct session *s,
                        struct hf_bytes user,
                        struct hf_bytes password)
{
    struct hf_bytes ping[] = {hf_str("PING")};
    struct hf *c = s->kv->c;
    struct hf_options old = c->opt;
    struct hf_reply *r = NULL;
    int rv;

    c->opt.user = copy_bytes(user).p;
    c->opt.password = copy_bytes(password).p;
    conn_close(&c->conn);
    rv = hf_call(c, HF_CALL_READ, ping, 1, s->kv->timeout_ms, &r);
    if (rv == HF_OK) {
        hf_reply_free(r);
        free((void *)(uintptr_t)old.user);
        free((void *)(uintptr_t)old.password);
        s->unlisted = false;
        printf("OK\n");
        return KV_DONE;
    }
    free((void *)(uintptr_t)c->opt.user);
    free((void *)(uintptr_t)c->opt.password);
    c->opt = old;
    conn_close(&c->conn);
    return show(s, rv, r);
}

static int do_auth(struct session *s, const struct hf_bytes *argv, size_t argc)
{
    if (argc != 2 && argc != 3) {
        return say_error("ERR wrong number of arguments for 'auth' command");
    }
    return authenticate(s, argc == 3 ? argv[1] : hf_str("default"),
                        argv[argc - 1]);
}

static bool is(struct hf_bytes b, const char *word)
{
    return bytes_ieq(bytes_of(b.p, b.n), word);
}

static int do_hello(struct session *s, const struct hf_bytes *argv, size_t argc)
{
    if (argc >= 2 && !is(argv[1], "3")) {
        return say_error("NOPROTO the prompt speaks RESP3");
    }
    if (argc >= 5 && is(argv[2], "AUTH")) {
        return authenticate(s, argv[3], argv[4]);
    }
    return send_command(s, argv, argc);
}

/* Another connection may serve the next command: what changes one alone
 * would be lost without a word. */
static int do_connection(struct session *s,
                         const struct hf_bytes *argv,
                         size_t argc)
{
    if (is(argv[0], "CLIENT") &&
        (argc < 2 || (!is(argv[1], "REPLY") && !is(argv[1], "TRACKING") &&
                      !is(argv[1], "CACHING")))) {
        return send_command(s, argv, argc);
    }
    if (is(argv[0], "READONLY") || is(argv[0], "READWRITE")) {
        return say_error("ERR start kv with --stale for that");
    }
    return say_error("ERR not at the prompt, which changes connections");
}

static int do_subscribe(struct session *s,
                        const struct hf_bytes *argv,
                        size_t argc)
{
    if (argc < 2) {
        return say_error("ERR wrong number of arguments");
    }
    return session_stream(s, argv, argc, true);
}

static int do_monitor(struct session *s,
                      const struct hf_bytes *argv,
                      size_t argc)
{
    return session_stream(s, argv, argc, false);
}

/* "kv VERB ...": as from the shell, with the handle of the prompt. */
static int do_kv(struct session *s, const struct hf_bytes *argv, size_t argc)
{
    char **words = hf_calloc(argc + 1, sizeof(*words));
    int status;

    for (size_t i = 0; i < argc; i++) {
        words[i] = (char *)(uintptr_t)copy_bytes(argv[i]).p;
    }
    status = kv_line(s->kv, (int)argc, words);
    for (size_t i = 0; i < argc; i++) {
        free(words[i]);
    }
    free(words);
    return status;
}

static void help_one(const struct cmd *c)
{
    const char *bar = strchr(c->name, '|');

    printf("\n  ");
    for (const char *p = c->name; *p != '\0'; p++) {
        putchar(p == bar ? ' ' : toupper((unsigned char)*p));
    }
    printf(" %s\n  %s\n  group: %s%s\n", c->syntax != NULL ? c->syntax : "",
           c->summary != NULL ? c->summary : "",
           c->group != NULL ? c->group : "",
           c->write ? "; applied once, even when its answer is lost" : "");
}

static int do_help(struct session *s, const struct hf_bytes *argv, size_t argc)
{
    const struct cmd *c;

    if (argc == 1) {
        printf(
            "COMMAND [ARGUMENT...]   any command of the cluster\n"
            "help COMMAND            what it does; Tab completes names\n"
            "kv VERB [ARGUMENTS]     a verb of kv: kv status, kv watch, "
            "...\n"
            "exit, quit, Ctrl-D      the end; Ctrl-C cancels a line, or ends a "
            "command\n");
        return KV_DONE;
    }
    if (!session_load(s)) {
        return kv_result(s->kv, HF_ENOLEADER, "");
    }
    c = find_words(s, argv + 1, argc - 1);
    if (c == NULL) {
        return say_error("no such command");
    }
    help_one(c);
    for (size_t i = 0; i < s->ncmds; i++) {
        size_t n = strlen(c->name);

        if (strncmp(s->cmds[i].name, c->name, n) == 0 &&
            s->cmds[i].name[n] == '|') {
            help_one(&s->cmds[i]);
        }
    }
    putchar('\n');
    return KV_DONE;
}

/* @in_tx: also between MULTI and EXEC; else it is queued, or refused there. */
static const struct {
    const char *word;
    bool in_tx;
    int (*run)(struct session *s, const struct hf_bytes *argv, size_t argc);
} words[] = {
    {"exit", true, do_exit},
    {"quit", true, do_exit},
    {"help", true, do_help},
    {"multi", true, do_multi},
    {"exec", true, do_exec},
    {"discard", true, do_discard},
    {"watch", true, do_watch},
    {"unwatch", true, do_unwatch},
    {"kv", false, do_kv},
    {"auth", false, do_auth},
    {"hello", false, do_hello},
    {"client", false, do_connection},
    {"readonly", false, do_connection},
    {"readwrite", false, do_connection},
    {"asking", false, do_connection},
    {"reset", false, do_connection},
    {"unsubscribe", false, do_connection},
    {"punsubscribe", false, do_connection},
    {"sunsubscribe", false, do_connection},
    {"subscribe", false, do_subscribe},
    {"psubscribe", false, do_subscribe},
    {"ssubscribe", false, do_subscribe},
    {"monitor", false, do_monitor},
};

static int run_words(struct session *s,
                     const struct hf_bytes *argv,
                     size_t argc)
{
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (!is(argv[0], words[i].word)) {
            continue;
        }
        if (s->tx && !words[i].in_tx) {
            s->tx_bad = true;
            return say_error("ERR not between MULTI and EXEC");
        }
        return words[i].run(s, argv, argc);
    }
    return s->tx ? queue(s, argv, argc) : send_command(s, argv, argc);
}

int session_line(struct session *s, struct bytes line)
{
    struct resp_parser p;
    struct resp_args a;
    struct buf b = BUF_INIT;
    size_t used;
    int status = KV_DONE;
    int rv;

    resp_parser_init(&p, LIM_REQUEST);
    /* The blank keeps a line that starts with '*' an inline command. */
    buf_append(&b, " ", 1);
    buf_bytes_append(&b, line);
    buf_append(&b, "\n", 1);
    rv = resp_parse_request(&p, b.p, b.n, &used, &a);
    if (rv < 0) {
        /* A line has at most LIM_INLINE bytes. */
        printf("Invalid argument(s): %s\n", resp_parser_error(&p));
        status = KV_USAGE;
    } else if (rv == 1 && !(a.argv[0].n > 0 && a.argv[0].p[0] == '#')) {
        struct hf_bytes *argv = hf_calloc(a.argc, sizeof(*argv));

        for (size_t i = 0; i < a.argc; i++) {
            argv[i] = hf_bytes(a.argv[i].p, a.argv[i].n);
        }
        status = run_words(s, argv, a.argc);
        free(argv);
    }
    resp_parser_release(&p);
    buf_release(&b);
    return status;
}

bool session_may_keep(const char *line)
{
    static const char *const careful[] = {"acl", "hello", "config", "kv",
                                          "migrate"};
    static const char *const secret[] = {"auth", "setuser", "pass"};
    const char *word = line + strspn(line, " \t");
    size_t n = strcspn(word, " \t\n");

    /* Quotes could hide the word: in doubt it is not kept. */
    if ((n == 4 && strncasecmp(word, "auth", n) == 0) ||
        memchr(word, '"', n) != NULL || memchr(word, '\'', n) != NULL) {
        return false;
    }
    for (size_t i = 0; i < sizeof(careful) / sizeof(careful[0]); i++) {
        if (strlen(careful[i]) != n || strncasecmp(word, careful[i], n) != 0) {
            continue;
        }
        for (size_t k = 0; k < sizeof(secret) / sizeof(secret[0]); k++) {
            if (strcasestr(word, secret[k]) != NULL) {
                return false;
            }
        }
        return strstr(word, "\\x") == NULL;
    }
    return true;
}
