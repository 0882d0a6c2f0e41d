/* ACL SETUSER and what shows users. Clear passwords never come here: the
 * edge hashes them (server/edge/auth.h), so ">" and "<" are no rules. */
#include <stdio.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/mutant.h"
#include "resp/resp.h"
#include "server/command/acl.h"
#include "server/command/args.h"
#include "server/command/category.h"
#include "server/store/machine.h"
#include "server/store/users.h"

_Static_assert((int)ACL_HASH == (int)USER_HASH, "the same hash");
_Static_assert(CATEGORY_N <= 32, "as users_decode() has it");

enum { WORD_SHOWN = 256 }; /* bytes of a rule in an error */

/* ---- rules ---- */

static const char err_unknown[] = "Unknown command or category name in ACL";
static const char err_syntax[] = "Syntax error";
static const char err_all_keys[] =
    "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid "
    "and does not have any effect. Try 'resetkeys' to start with an empty list "
    "of patterns";
static const char err_all_channels[] =
    "Adding a pattern after the * pattern (or the 'allchannels' flag) is not "
    "valid and does not have any effect. Try 'resetchannels' to start with an "
    "empty list of channels";
static const char err_hash[] =
    "The password hash must be exactly 64 characters and contain only "
    "lowercase hexadecimal characters";
static const char err_no_password[] =
    "The password you are trying to remove from the user does not exist";
static const char err_first_arg[] =
    "Allowing first-arg of a subcommand is not supported";
static const char err_limit[] = "More of them than a user can have";

/* What an error is about the user's state, not about the words: nothing to
 * refuse before the log. */
static bool of_state(const char *error)
{
    return error == err_all_keys || error == err_all_channels ||
           error == err_no_password;
}

static struct bytes after(struct bytes s, size_t n)
{
    return bytes_of(s.p + n, s.n - n);
}

static bool has_space(struct bytes s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == 0 || s.p[i] == ' ' ||
            (s.p[i] >= '\t' && s.p[i] <= '\r')) {
            return true;
        }
    }
    return false;
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool parse_hash(struct bytes s, uint8_t out[USER_HASH])
{
    if (s.n != 2 * (size_t)USER_HASH) {
        return false;
    }
    for (size_t i = 0; i < USER_HASH; i++) {
        int high = hex_digit(s.p[2 * i]);
        int low = hex_digit(s.p[2 * i + 1]);

        if (high < 0 || low < 0) {
            return false;
        }
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

/* "get", "config" or "config|get". */
static const struct command *by_full_name(struct bytes name)
{
    const uint8_t *bar = name.n == 0 ? NULL : memchr(name.p, '|', name.n);
    const struct command *c;
    size_t n;

    if (bar == NULL) {
        c = command_by_name(name);
    } else {
        n = (size_t)(bar - name.p);
        c = command_by_name(bytes_of(name.p, n));
        c = c == NULL ? NULL : command_sub(c, after(name, n + 1));
    }
    return c == NULL || command_has(c, CMD_HIDDEN) ? NULL : c;
}

/* What the subcommands were given or denied before counts no more. */
static void forget_subcommands(struct user_selector *s,
                               const struct command *parent)
{
    unsigned k = 0;

    for (unsigned i = 0; i < s->rules_n; i++) {
        const struct command *c = s->rules[i].kind == RULE_COMMAND
                                      ? command_by_id(s->rules[i].what)
                                      : NULL;

        if (c == NULL || c->parent == NULL ||
            strcmp(c->parent, parent->name) != 0) {
            s->rules[k++] = s->rules[i];
        }
    }
    s->rules_n = k;
}

static const char *why_no_command(struct bytes name, bool allow)
{
    const uint8_t *bar = name.n == 0 ? NULL : memchr(name.p, '|', name.n);
    const struct command *parent;
    struct bytes sub;

    if (bar == NULL || !allow) {
        return err_unknown;
    }
    sub = after(name, (size_t)(bar - name.p) + 1);
    parent = command_by_name(bytes_of(name.p, (size_t)(bar - name.p)));
    if (parent == NULL) {
        return err_unknown;
    }
    if (sub.n == 0) {
        return err_syntax;
    }
    if (memchr(sub.p, '|', sub.n) != NULL) {
        return err_first_arg;
    }
    return command_sub(parent, sub) != NULL ? err_unknown
           : parent->arity == -2            ? err_unknown
                                            : "Allowing first-arg of a command "
                                              "is not supported";
}

/* +x -x +@x -@x */
static const char *set_command(struct user_selector *s, struct bytes word)
{
    struct user_rule rule = {word.p[0] == '+', RULE_COMMAND, 0};
    struct bytes name = after(word, 1);
    const struct command *c;
    uint32_t set;

    if (name.n > 0 && name.p[0] == '@') {
        set = category_by_name(after(name, 1));
        if (set == 0) {
            return err_unknown;
        }
        rule.kind = RULE_CATEGORY;
        while ((set >> rule.what & 1) == 0) {
            rule.what++;
        }
    } else {
        c = by_full_name(name);
        if (c == NULL) {
            return why_no_command(name, rule.allow != 0);
        }
        rule.what = c->id;
        if (c->parent == NULL) {
            forget_subcommands(s, c);
        }
    }
    return selector_add_rule(s, rule) ? NULL : err_limit;
}

/* ~glob %R~glob %W~glob %RW~glob */
static const char *set_keys(struct user_selector *s, struct bytes word)
{
    uint8_t access = 0;
    size_t at = 1;

    if ((s->flags & SELECTOR_KEYS) != 0) {
        return err_all_keys;
    }
    if (word.p[0] == '~') {
        access = KEY_READ | KEY_WRITE;
    } else {
        for (; at < word.n && word.p[at] != '~'; at++) {
            uint8_t c = word.p[at] & 0xDF;
            uint8_t bit = c == 'R' ? KEY_READ : c == 'W' ? KEY_WRITE : 0;

            if (bit == 0 || (access & bit) != 0) {
                return err_syntax;
            }
            access |= bit;
        }
        if (access == 0) {
            return err_syntax;
        }
        at += at < word.n;
    }
    if (has_space(after(word, at))) {
        return err_syntax;
    }
    return patterns_add(&s->keys, after(word, at), access) ? NULL : err_limit;
}

static const char *set_channel(struct user_selector *s, struct bytes word)
{
    if ((s->flags & SELECTOR_CHANNELS) != 0) {
        return err_all_channels;
    }
    if (has_space(word)) {
        return err_syntax;
    }
    return patterns_add(&s->channels, after(word, 1), 0) ? NULL : err_limit;
}

/* What says something about all of them. */
static bool set_all(struct user_selector *s, struct bytes word)
{
    if (bytes_ieq(word, "allkeys") || bytes_ieq(word, "~*")) {
        s->flags |= SELECTOR_KEYS;
        patterns_drop(&s->keys);
    } else if (bytes_ieq(word, "resetkeys")) {
        s->flags &= (uint8_t)~SELECTOR_KEYS;
        patterns_drop(&s->keys);
    } else if (bytes_ieq(word, "allchannels") || bytes_ieq(word, "&*")) {
        s->flags |= SELECTOR_CHANNELS;
        patterns_drop(&s->channels);
    } else if (bytes_ieq(word, "resetchannels")) {
        s->flags &= (uint8_t)~SELECTOR_CHANNELS;
        patterns_drop(&s->channels);
    } else if (bytes_ieq(word, "allcommands") || bytes_ieq(word, "+@all")) {
        s->flags |= SELECTOR_COMMANDS;
        selector_drop_rules(s);
    } else if (bytes_ieq(word, "nocommands") || bytes_ieq(word, "-@all")) {
        s->flags &= (uint8_t)~SELECTOR_COMMANDS;
        selector_drop_rules(s);
    } else {
        return false;
    }
    return true;
}

static const char *set_selector(struct user_selector *s, struct bytes word)
{
    if (word.n == 0 || set_all(s, word)) {
        return NULL;
    }
    switch (word.p[0]) {
        case '+':
        case '-':
            return set_command(s, word);
        case '~':
        case '%':
            return set_keys(s, word);
        case '&':
            return set_channel(s, word);
        default:
            return err_syntax;
    }
}

/* "(+get ~x)": a selector more. @lenient as in set_user(). */
static const char *add_selector(struct user *u, struct bytes word, bool lenient)
{
    struct user_selector *s;
    const char *error;
    size_t at = 1;

    if (!user_add_selector(u)) {
        return err_limit;
    }
    s = &u->selectors[u->selectors_n - 1];
    while (at < word.n - 1) {
        size_t end = at;

        while (end < word.n - 1 && word.p[end] != ' ') {
            end++;
        }
        error = set_selector(s, bytes_of(word.p + at, end - at));
        if (error != NULL && !(lenient && of_state(error))) {
            return error;
        }
        at = end + 1;
    }
    return NULL;
}

static const char *set_password(struct user *u, struct bytes word)
{
    uint8_t hash[USER_HASH];

    if (!parse_hash(after(word, 1), hash)) {
        return err_hash;
    }
    if (word.p[0] == '!') {
        return user_drop_hash(u, hash) ? NULL : err_no_password;
    }
    u->flags &= (uint8_t)~USER_NOPASS;
    return user_add_hash(u, hash) ? NULL : err_limit;
}

static void reset(struct user *u)
{
    user_drop_hashes(u);
    user_drop_selectors(u);
    u->flags = USER_SANITIZE;
    (void)set_all(&u->selectors[0], bytes_str("resetkeys"));
    (void)set_all(&u->selectors[0], bytes_str("resetchannels"));
    (void)set_all(&u->selectors[0], bytes_str("nocommands"));
}

/* One rule. NULL, or what is wrong with it. */
static const char *set_user(struct user *u, struct bytes word, bool lenient)
{
    if (bytes_ieq(word, "on")) {
        u->flags |= USER_ON;
    } else if (bytes_ieq(word, "off")) {
        u->flags &= (uint8_t)~USER_ON;
    } else if (bytes_ieq(word, "nopass")) {
        u->flags |= USER_NOPASS;
        user_drop_hashes(u);
    } else if (bytes_ieq(word, "resetpass")) {
        u->flags &= (uint8_t)~USER_NOPASS;
        user_drop_hashes(u);
    } else if (bytes_ieq(word, "sanitize-payload")) {
        u->flags |= USER_SANITIZE;
    } else if (bytes_ieq(word, "reset")) {
        reset(u);
    } else if (bytes_ieq(word, "clearselectors")) {
        user_drop_selectors(u);
    } else if (word.n > 0 && (word.p[0] == '#' || word.p[0] == '!')) {
        return set_password(u, word);
    } else if (word.n > 1 && word.p[0] == '(' && word.p[word.n - 1] == ')') {
        return add_selector(u, word, lenient);
    } else {
        return set_selector(&u->selectors[0], word);
    }
    return NULL;
}

/* The word at *at; of "(" and what follows up to ")" one word, in @joined.
 * False: it does not end. */
static bool next_word(const struct bytes *argv,
                      int argc,
                      int *at,
                      struct buf *joined,
                      struct bytes *word)
{
    struct bytes w = argv[(*at)++];

    *word = w;
    if (w.n == 0 || w.p[0] != '(' || w.p[w.n - 1] == ')') {
        return true;
    }
    buf_clear(joined);
    buf_bytes_append(joined, w);
    while (*at < argc) {
        w = argv[(*at)++];
        buf_u8(joined, ' ');
        buf_bytes_append(joined, w);
        if (w.n > 0 && w.p[w.n - 1] == ')') {
            *word = buf_bytes(joined);
            return true;
        }
    }
    return false;
}

static int shown(struct bytes s)
{
    return (int)(s.n < WORD_SHOWN ? s.n : WORD_SHOWN);
}

/* All rules of @argv from @argv[3] on. False: an error was appended.
 * @lenient: @u is a stand-in, so errors of his state are none. */
static bool set_words(struct user *u,
                      const struct bytes *argv,
                      int argc,
                      bool lenient,
                      struct buf *reply)
{
    struct buf joined = BUF_INIT;
    const char *error;
    struct bytes word;
    bool ok = true;
    int at = 3;

    while (ok && at < argc) {
        if (!next_word(argv, argc, &at, &joined, &word)) {
            resp_errorf(reply,
                        "ERR Unmatched parenthesis in acl selector starting "
                        "at '%.*s'.",
                        shown(word), (const char *)word.p);
            ok = false;
            break;
        }
        error = set_user(u, word, lenient);
        if (error != NULL && !(lenient && of_state(error))) {
            resp_errorf(reply, "ERR Error in ACL SETUSER modifier '%.*s': %s",
                        shown(word), (const char *)word.p, error);
            ok = false;
        }
    }
    buf_release(&joined);
    return ok;
}

static bool need_name(struct bytes name, struct buf *reply)
{
    if (has_space(name)) {
        return args_fail(reply,
                         "ERR Usernames can't contain spaces or null "
                         "characters");
    }
    return name.n <= LIM_USER_NAME ||
           args_fail(reply, "ERR the user's name is too long");
}

void cmd_acl_setuser(struct machine *m,
                     const struct bytes *argv,
                     int argc,
                     struct buf *reply)
{
    const struct user *old;
    struct user *u;
    bool ok;

    if (!need_name(argv[2], reply)) {
        return;
    }
    old = m == NULL ? NULL : users_find(machine_users(m), argv[2]);
    u = old != NULL ? user_clone(old)
                    : user_new(argv[2], m == NULL ? 0 : machine_index(m));
    ok = set_words(u, argv, argc, m == NULL, reply);
    if (m == NULL) {
        user_free(u);
    } else if (ok && !users_fit(machine_users(m), u)) {
        resp_error(reply, "ERR there is no room for more users or rules");
        user_free(u);
    } else if (ok || mutant(ACL_HALF_SET)) {
        machine_user_put(m, u);
        if (ok) {
            resp_ok(reply);
        }
    } else {
        user_free(u);
    }
}

void cmd_acl_deluser(struct machine *m,
                     const struct bytes *argv,
                     int argc,
                     struct buf *reply)
{
    int64_t gone = 0;

    for (int i = 2; i < argc; i++) {
        if (bytes_eq(argv[i], bytes_str("default"))) {
            resp_error(reply, "ERR The 'default' user cannot be removed");
            return;
        }
    }
    if (m == NULL) {
        return;
    }
    for (int i = 2; i < argc; i++) {
        gone += machine_user_delete(m, argv[i]);
    }
    resp_int(reply, gone);
}

/* ---- showing ---- */

static void put_word(struct buf *b, size_t from)
{
    if (b->n > from) {
        buf_u8(b, ' ');
    }
}

static void put_keys(const struct user_selector *s, struct buf *b)
{
    size_t from = b->n;

    if ((s->flags & SELECTOR_KEYS) != 0) {
        buf_printf(b, "~*");
    }
    for (unsigned i = 0; i < s->keys.n; i++) {
        uint8_t access = s->keys.v[i].access;

        put_word(b, from);
        buf_printf(b, "%s",
                   access == KEY_READ    ? "%R~"
                   : access == KEY_WRITE ? "%W~"
                                         : "~");
        buf_bytes_append(b, blob_bytes(s->keys.v[i].glob));
    }
}

static void put_channels(const struct user_selector *s, struct buf *b)
{
    size_t from = b->n;

    if ((s->flags & SELECTOR_CHANNELS) != 0) {
        buf_printf(b, "&*");
    }
    for (unsigned i = 0; i < s->channels.n; i++) {
        put_word(b, from);
        buf_u8(b, '&');
        buf_bytes_append(b, blob_bytes(s->channels.v[i].glob));
    }
}

static void put_commands(const struct user_selector *s, struct buf *b)
{
    char name[48];

    buf_printf(b, "%s",
               (s->flags & SELECTOR_COMMANDS) != 0 ? "+@all" : "-@all");
    for (unsigned i = 0; i < s->rules_n; i++) {
        const struct user_rule *r = &s->rules[i];
        const struct command *c =
            r->kind == RULE_COMMAND ? command_by_id(r->what) : NULL;

        if (r->kind == RULE_CATEGORY && r->what < CATEGORY_N) {
            snprintf(name, sizeof name, "@%s", category_name(r->what));
        } else if (c != NULL) {
            command_full_name(c, name);
        } else {
            continue; /* of a newer version */
        }
        buf_printf(b, " %c%s", r->allow != 0 ? '+' : '-', name);
    }
}

static void put_hash(const uint8_t hash[USER_HASH], struct buf *b)
{
    for (unsigned i = 0; i < USER_HASH; i++) {
        buf_printf(b, "%02x", hash[i]);
    }
}

/* As a selector of ACL LIST. */
static void put_selector(const struct user_selector *s, struct buf *b)
{
    size_t from = b->n;

    put_keys(s, b);
    put_word(b, from);
    if ((s->flags & SELECTOR_CHANNELS) == 0) {
        buf_printf(b, "resetchannels ");
    }
    if ((s->flags & SELECTOR_CHANNELS) != 0 || s->channels.n > 0) {
        put_channels(s, b);
        buf_u8(b, ' ');
    }
    put_commands(s, b);
}

static unsigned flag_words(const struct user *u, const char *out[3])
{
    unsigned n = 0;

    out[n++] = (u->flags & USER_ON) != 0 ? "on" : "off";
    if ((u->flags & USER_NOPASS) != 0) {
        out[n++] = "nopass";
    }
    if ((u->flags & USER_SANITIZE) != 0) {
        out[n++] = "sanitize-payload";
    }
    return n;
}

static void put_user(const struct user *u, struct buf *b)
{
    const char *flags[3];
    unsigned n = flag_words(u, flags);

    buf_printf(b, "user ");
    buf_bytes_append(b, blob_bytes(u->name));
    for (unsigned i = 0; i < n; i++) {
        buf_printf(b, " %s", flags[i]);
    }
    for (unsigned i = 0; i < u->hashes_n; i++) {
        buf_printf(b, " #");
        put_hash(u->hashes[i], b);
    }
    buf_u8(b, ' ');
    put_selector(&u->selectors[0], b);
    for (unsigned i = 1; i < u->selectors_n; i++) {
        buf_printf(b, " (");
        put_selector(&u->selectors[i], b);
        buf_u8(b, ')');
    }
}

void cmd_acl_list(struct machine *m,
                  const struct bytes *argv,
                  int argc,
                  struct buf *reply)
{
    struct buf line = BUF_INIT;

    (void)argv;
    (void)argc;
    if (m == NULL) {
        return;
    }
    resp_array(reply, machine_users(m)->n);
    for (unsigned i = 0; i < machine_users(m)->n; i++) {
        buf_clear(&line);
        put_user(machine_users(m)->v[i], &line);
        resp_bulk(reply, buf_bytes(&line));
    }
    buf_release(&line);
}

void cmd_acl_users(struct machine *m,
                   const struct bytes *argv,
                   int argc,
                   struct buf *reply)
{
    (void)argv;
    (void)argc;
    if (m == NULL) {
        return;
    }
    resp_array(reply, machine_users(m)->n);
    for (unsigned i = 0; i < machine_users(m)->n; i++) {
        resp_bulk(reply, blob_bytes(machine_users(m)->v[i]->name));
    }
}

/* Three of a map's pairs. */
static void reply_selector(const struct user_selector *s, struct buf *reply)
{
    static const struct {
        const char *name;
        void (*put)(const struct user_selector *s, struct buf *b);
    } parts[] = {{"commands", put_commands},
                 {"keys", put_keys},
                 {"channels", put_channels}};
    struct buf b = BUF_INIT;

    for (unsigned i = 0; i < 3; i++) {
        buf_clear(&b);
        parts[i].put(s, &b);
        resp_bulk_str(reply, parts[i].name);
        resp_bulk(reply, buf_bytes(&b));
    }
    buf_release(&b);
}

static void reply_user(const struct user *u, struct buf *reply)
{
    struct buf b = BUF_INIT;
    const char *flags[3];
    unsigned n = flag_words(u, flags);

    resp_map(reply, 6);
    resp_bulk_str(reply, "flags");
    resp_set(reply, n);
    for (unsigned i = 0; i < n; i++) {
        resp_bulk_str(reply, flags[i]);
    }
    resp_bulk_str(reply, "passwords");
    resp_array(reply, u->hashes_n);
    for (unsigned i = 0; i < u->hashes_n; i++) {
        buf_clear(&b);
        put_hash(u->hashes[i], &b);
        resp_bulk(reply, buf_bytes(&b));
    }
    buf_release(&b);
    reply_selector(&u->selectors[0], reply);
    resp_bulk_str(reply, "selectors");
    resp_array(reply, u->selectors_n - 1);
    for (unsigned i = 1; i < u->selectors_n; i++) {
        resp_map(reply, 3);
        reply_selector(&u->selectors[i], reply);
    }
}

void cmd_acl_getuser(struct machine *m,
                     const struct bytes *argv,
                     int argc,
                     struct buf *reply)
{
    const struct user *u;

    (void)argc;
    if (m == NULL) {
        return;
    }
    u = users_find(machine_users(m), argv[2]);
    if (u == NULL) {
        resp_null(reply);
    } else {
        reply_user(u, reply);
    }
}

/* ---- asking ---- */

static void reply_denial(const struct acl_denial *d, struct buf *reply)
{
    struct buf b = BUF_INIT;
    char name[48];

    buf_printf(&b, "This user has no permissions to ");
    if (d->why == ACL_COMMAND || d->why == ACL_NOAUTH) {
        command_full_name(d->command, name);
        buf_printf(&b, "run the '%s' command", name);
    } else {
        buf_printf(&b, "access the '");
        buf_bytes_append(&b, d->object);
        buf_printf(&b, "' %s", d->why == ACL_KEY ? "key" : "channel");
    }
    resp_bulk(reply, buf_bytes(&b));
    buf_release(&b);
}

void cmd_acl_dryrun(struct machine *m,
                    const struct bytes *argv,
                    int argc,
                    struct buf *reply)
{
    struct acl_who who = {true, argv[2], 0};
    struct buf error = BUF_INIT;
    const struct command *c;
    const struct user *u;
    struct acl_denial d;

    if (m == NULL) {
        return;
    }
    u = users_find(machine_users(m), argv[2]);
    c = command_by_name(argv[3]);
    if (u == NULL) {
        resp_errorf(reply, "ERR User '%.*s' not found", shown(argv[2]),
                    (const char *)argv[2].p);
        return;
    }
    if (c == NULL || command_has(c, CMD_HIDDEN)) {
        resp_errorf(reply, "ERR Command '%.*s' not found", shown(argv[3]),
                    (const char *)argv[3].p);
        return;
    }
    who.born = u->born;
    c = command_find(argv + 3, argc - 3, &error);
    if (c == NULL) {
        buf_bytes_append(reply, buf_bytes(&error));
    } else if (acl_check(m, &who, c, argv + 3, argc - 3, &d) == ACL_OK) {
        resp_ok(reply);
    } else {
        reply_denial(&d, reply);
    }
    buf_release(&error);
}

/* ---- for the edge: no client can name these ---- */

void cmd_aclauth(struct machine *m,
                 const struct bytes *argv,
                 int argc,
                 struct buf *reply)
{
    if (argv[1].n != ACL_HASH || argc > 3) {
        (void)args_fail(reply, ERR_SYNTAX);
    } else if (m != NULL) {
        acl_authenticate(m, argv[1].p, argc == 3 ? &argv[2] : NULL, reply);
    }
}

/* Whoever comes here was let through. */
void cmd_aclcheck(struct machine *m,
                  const struct bytes *argv,
                  int argc,
                  struct buf *reply)
{
    (void)argv;
    (void)argc;
    if (m != NULL) {
        resp_ok(reply);
    }
}
