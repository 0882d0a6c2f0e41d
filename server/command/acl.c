#include "server/command/acl.h"

#include "base/assert.h"
#include "base/mutant.h"
#include "resp/resp.h"
#include "server/command/args.h"
#include "server/command/category.h"
#include "server/command/txn.h"
#include "server/store/machine.h"
#include "server/store/users.h"

/* ---- what a command does with its keys ---- */

/* Which of the user's patterns count: those that have all of the access; 0:
 * any. The key specifications of Redis 7.0: what only looks whether a key is
 * there needs neither access. */
static const struct {
    const char *commands;
    uint8_t first;
    uint8_t others;
} accesses[] = {
    {"exists memory|usage object|encoding object|freq object|idletime "
     "object|refcount revs strlen touch type watch ",
     0, 0},
    {"decr decrby getdel getex getset incr incrby incrbyfloat ",
     KEY_READ | KEY_WRITE, KEY_READ | KEY_WRITE},
    {"rename renamenx ", KEY_READ | KEY_WRITE, KEY_WRITE},
    {"copy ", KEY_READ, KEY_WRITE},
};

enum { IDS = 1024, KNOWN = 1 << 7, OTHERS_SHIFT = 2 };

/* Access to the first key, and to the others << OTHERS_SHIFT. */
static uint8_t access_of(const struct command *c)
{
    static uint8_t by_id[IDS]; /* built at the first use of each */
    uint8_t one = command_has(c, CMD_WRITE) ? KEY_WRITE : KEY_READ;
    char name[48];

    hf_assert(c->id < IDS);
    if (by_id[c->id] == 0) {
        command_full_name(c, name);
        by_id[c->id] = (uint8_t)(KNOWN | one | one << OTHERS_SHIFT);
        for (size_t i = 0; i < sizeof accesses / sizeof accesses[0]; i++) {
            if (command_listed(accesses[i].commands, name)) {
                by_id[c->id] = (uint8_t)(KNOWN | accesses[i].first |
                                         accesses[i].others << OTHERS_SHIFT);
            }
        }
    }
    return by_id[c->id];
}

static bool has_option(const struct bytes *argv,
                       int argc,
                       int from,
                       const char *word)
{
    for (int i = from; i < argc; i++) {
        if (bytes_ieq(argv[i], word)) {
            return true;
        }
    }
    return false;
}

/* Does the reply say more of the value than that it is there? A condition on
 * it is a way to guess it. */
static bool tells_value(const struct command *c,
                        const struct bytes *argv,
                        int argc)
{
    static const char *const conditions[] = {"IFEQ", "IFNE", "IFDEQ", "IFDNE"};
    bool set = c->handler == cmd_set;

    if (set && has_option(argv, argc, 3, "GET")) {
        return true;
    }
    for (int i = 0; i < 4 && (set || c->handler == cmd_delex); i++) {
        if (has_option(argv, argc, set ? 3 : 2, conditions[i])) {
            return true;
        }
    }
    return false;
}

/* ---- one selector ---- */

static bool rule_is_about(struct user_rule r, const struct command *c)
{
    const struct command *parent;

    if (r.kind == RULE_CATEGORY) {
        return (command_categories(c) >> r.what & 1) != 0;
    }
    if (r.what == c->id) {
        return true;
    }
    parent = c->parent == NULL ? NULL : command_by_name(bytes_str(c->parent));
    return parent != NULL && r.what == parent->id;
}

static bool selector_runs(const struct user_selector *s,
                          const struct command *c)
{
    for (unsigned i = s->rules_n; i-- > 0;) {
        if (rule_is_about(s->rules[i], c)) {
            return s->rules[i].allow != 0;
        }
    }
    return (s->flags & SELECTOR_COMMANDS) != 0;
}

static bool patterns_allow(const struct user_patterns *p,
                           struct bytes s,
                           uint8_t access)
{
    for (unsigned i = 0; i < p->n; i++) {
        if ((p->v[i].access & access) == access &&
            command_glob(blob_bytes(p->v[i].glob), s)) {
            return true;
        }
    }
    return mutant(ACL_ANY_KEY);
}

/* Is every key from @start to before @end of the shape @glob, a plain prefix
 * and a star? */
static bool prefix_covers(struct bytes glob,
                          struct bytes start,
                          struct bytes end)
{
    size_t n = glob.n - 1;

    if (glob.n == 0 || glob.p[n] != '*') {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (strchr("*?[\\", glob.p[i]) != NULL && glob.p[i] != 0) {
            return false;
        }
    }
    if (start.n < n || (n > 0 && memcmp(start.p, glob.p, n) != 0)) {
        return false;
    }
    /* What is above all that begin so: the prefix without its last 0xFF
     * bytes, the byte before them one higher. */
    while (n > 0 && glob.p[n - 1] == 0xFF) {
        n--;
    }
    if (n == 0) {
        return true;
    }
    if (end.n == 0) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        uint8_t bound = (uint8_t)(glob.p[i] + (i == n - 1));

        if (i == end.n || end.p[i] != bound) {
            return i == end.n || end.p[i] < bound;
        }
    }
    return end.n == n;
}

static bool range_allowed(const struct user_patterns *p,
                          const struct bytes *argv)
{
    for (unsigned i = 0; i < p->n; i++) {
        if ((p->v[i].access & KEY_READ) != 0 &&
            prefix_covers(blob_bytes(p->v[i].glob), argv[1], argv[2])) {
            return true;
        }
    }
    return false;
}

struct key_check {
    const struct user_patterns *patterns;
    uint8_t first;
    uint8_t others;
    int seen;
    bool bad;
    struct bytes key;
};

static bool check_key(void *ctx, struct bytes key)
{
    struct key_check *k = ctx;

    k->bad = !patterns_allow(k->patterns, key,
                             k->seen++ == 0 ? k->first : k->others);
    k->key = key;
    return !k->bad;
}

static bool keys_allowed(const struct user_selector *s,
                         const struct command *c,
                         const struct bytes *argv,
                         int argc,
                         struct bytes *object)
{
    uint8_t access = access_of(c);
    struct key_check k = {&s->keys,
                          access & (KEY_READ | KEY_WRITE),
                          (access >> OTHERS_SHIFT) & (KEY_READ | KEY_WRITE),
                          0,
                          false,
                          {NULL, 0}};

    if ((s->flags & SELECTOR_KEYS) != 0) {
        return true;
    }
    if (c->handler == cmd_range) {
        *object = argv[1];
        return range_allowed(&s->keys, argv);
    }
    if (tells_value(c, argv, argc)) {
        k.first |= KEY_READ;
    }
    command_each_key(c, argv, argc, check_key, &k);
    if (k.bad) {
        *object = k.key;
    }
    return !k.bad;
}

/* Channels that @c names: from argv[1] to before the returned place. */
static int channels_end(const struct command *c, int argc, bool *globs)
{
    *globs = strcmp(c->name, "psubscribe") == 0;
    if (strcmp(c->name, "publish") == 0 || strcmp(c->name, "spublish") == 0) {
        return argc < 2 ? argc : 2;
    }
    return *globs || strcmp(c->name, "subscribe") == 0 ||
                   strcmp(c->name, "ssubscribe") == 0
               ? argc
               : 0;
}

/* A pattern to subscribe to must be one of the user's own. */
static bool channel_allowed(const struct user_patterns *p,
                            struct bytes channel,
                            bool glob)
{
    for (unsigned i = 0; i < p->n && glob; i++) {
        if (bytes_eq(blob_bytes(p->v[i].glob), channel)) {
            return true;
        }
    }
    return !glob && patterns_allow(p, channel, 0);
}

static bool channels_allowed(const struct user_selector *s,
                             const struct command *c,
                             const struct bytes *argv,
                             int argc,
                             struct bytes *object)
{
    bool globs;
    int end = channels_end(c, argc, &globs);

    if ((s->flags & SELECTOR_CHANNELS) != 0 || c->parent != NULL) {
        return true;
    }
    for (int i = 1; i < end; i++) {
        if (!channel_allowed(&s->channels, argv[i], globs)) {
            *object = argv[i];
            return false;
        }
    }
    return true;
}

static enum acl_verdict selector_check(const struct user_selector *s,
                                       const struct command *c,
                                       const struct bytes *argv,
                                       int argc,
                                       struct bytes *object)
{
    if (!selector_runs(s, c)) {
        return ACL_COMMAND;
    }
    if (!keys_allowed(s, c, argv, argc, object)) {
        return ACL_KEY;
    }
    return channels_allowed(s, c, argv, argc, object) ? ACL_OK : ACL_CHANNEL;
}

/* ---- one user ---- */

/* These are how a connection begins, or ends. */
static bool always(const struct command *c)
{
    return c->parent == NULL &&
           command_listed("aclauth auth hello quit reset ", c->name);
}

/* The error of the selector that came furthest is the one to tell. */
static enum acl_verdict check_plain(const struct user *u,
                                    const struct command *c,
                                    const struct bytes *argv,
                                    int argc,
                                    struct acl_denial *d)
{
    enum acl_verdict worst = ACL_OK;

    if (always(c)) {
        return ACL_OK;
    }
    for (unsigned i = 0; i < u->selectors_n; i++) {
        struct bytes object = bytes_of("", 0);
        enum acl_verdict v =
            selector_check(&u->selectors[i], c, argv, argc, &object);

        if (v == ACL_OK) {
            return ACL_OK;
        }
        if (v > worst) {
            worst = v;
            d->object = object;
        }
    }
    d->why = worst;
    d->command = c;
    return worst;
}

static enum acl_verdict check_txn(const struct user *u,
                                  const struct bytes *argv,
                                  int argc,
                                  struct acl_denial *d)
{
    const struct command *watch = command_by_name(bytes_str("watch"));
    const struct command *exec = command_by_name(bytes_str("exec"));
    const struct command *txn = command_by_name(bytes_str("txn"));
    struct buf ignored = BUF_INIT;
    const struct command *c;
    const struct bytes *words;
    struct bytes pair[2];
    uint64_t revision;
    struct txn t;
    int n;

    /* EXEC has no other form here, so either permission will do. */
    if (check_plain(u, txn, NULL, 1, d) != ACL_OK &&
        check_plain(u, exec, NULL, 1, d) != ACL_OK) {
        return d->why;
    }
    if (!txn_parse(argv, argc, &t, &ignored)) {
        buf_release(&ignored);
        return ACL_OK; /* the handler says what is wrong with it */
    }
    for (int i = 0; i < t.conditions; i++) {
        pair[0] = argv[0];
        pair[1] = txn_condition(&t, i, &revision);
        if (check_plain(u, watch, pair, 2, d) != ACL_OK) {
            return d->why;
        }
    }
    while ((c = txn_next(&t, &words, &n)) != NULL && !mutant(ACL_TXN_UNSEEN)) {
        if (check_plain(u, c, words, n, d) != ACL_OK) {
            d->nested = true;
            return d->why;
        }
    }
    return ACL_OK;
}

static enum acl_verdict check_command(const struct user *u,
                                      const struct command *c,
                                      const struct bytes *argv,
                                      int argc,
                                      struct acl_denial *d)
{
    if (c->handler == cmd_once) {
        const struct command *once = c;
        struct buf ignored = BUF_INIT;
        struct once o;
        bool ok = once_parse(argv, argc, &o, &ignored);

        buf_release(&ignored);
        if (check_plain(u, once, argv, argc < 3 ? argc : 3, d) != ACL_OK) {
            return d->why;
        }
        if (!ok || o.verb != ONCE_COMMAND || mutant(ACL_ONCE_UNSEEN)) {
            return ACL_OK;
        }
        c = o.command;
        argv += 3;
        argc -= 3;
    }
    if (c->handler == cmd_txn) {
        return check_txn(u, argv, argc, d);
    }
    if (c->handler == cmd_revs) {
        c = command_by_name(bytes_str("watch"));
    }
    return check_plain(u, c, argv, argc, d);
}

/* NULL: nobody that may do anything. */
static const struct user *user_of(const struct machine *m,
                                  const struct acl_who *who)
{
    const struct user *u = users_find(
        machine_users(m), who->named ? who->name : bytes_str("default"));

    if (!who->named) {
        return (u->flags & USER_ON) != 0 && (u->flags & USER_NOPASS) != 0
                   ? u
                   : NULL;
    }
    return u != NULL && (u->born == who->born || mutant(ACL_REBORN)) ? u : NULL;
}

enum acl_verdict acl_check(const struct machine *m,
                           const struct acl_who *who,
                           const struct command *c,
                           const struct bytes *argv,
                           int argc,
                           struct acl_denial *d)
{
    const struct user *u = user_of(m, who);
    struct buf ignored = BUF_INIT;

    memset(d, 0, sizeof *d);
    if (c->handler == cmd_aclcheck) {
        argv++;
        argc--;
        c = command_find(argv, argc, &ignored);
        buf_release(&ignored);
        if (c == NULL) {
            return ACL_OK; /* it is refused anyway */
        }
    }
    if (always(c)) {
        return ACL_OK;
    }
    if (u == NULL) {
        d->why = ACL_NOAUTH;
        d->command = c;
        return ACL_NOAUTH;
    }
    return check_command(u, c, argv, argc, d);
}

bool acl_open(const struct machine *m)
{
    return machine_users(m)->open;
}

/* ---- replies ---- */

static void error_nested(const struct acl_denial *d, struct buf *reply)
{
    static const char *const reasons[] = {
        [ACL_COMMAND] = "no permission to execute the command or subcommand",
        [ACL_KEY] = "no permission to touch the specified keys",
        [ACL_CHANNEL] =
            "no permission to access one of the channels used as "
            "arguments",
    };

    resp_errorf(reply,
                "NOPERM ACLs rules changed between the moment the transaction "
                "was accumulated and the EXEC call. This command is no longer "
                "allowed for the following reason: %s",
                reasons[d->why]);
}

void acl_error(const struct acl_denial *d, struct buf *reply)
{
    char name[48];

    if (d->nested) {
        error_nested(d, reply);
        return;
    }
    switch (d->why) {
        case ACL_OK:
            hf_assert(false);
            break;
        case ACL_NOAUTH:
            resp_error(reply, "NOAUTH Authentication required.");
            break;
        case ACL_COMMAND:
            command_full_name(d->command, name);
            resp_errorf(reply,
                        "NOPERM this user has no permissions to run the '%s' "
                        "command",
                        name);
            break;
        case ACL_KEY:
            resp_error(reply,
                       "NOPERM this user has no permissions to access one of "
                       "the keys used as arguments");
            break;
        case ACL_CHANNEL:
            resp_error(reply,
                       "NOPERM this user has no permissions to access one of "
                       "the channels used as arguments");
            break;
    }
}

bool acl_refuses(const struct machine *m,
                 struct bytes command,
                 struct buf *reply)
{
    struct command_words w;
    struct acl_denial d;
    struct acl_who who;
    bool refused = false;

    if (acl_open(m) &&
        (command.n < COMMAND_HEADER || (command.p[2] & COMMAND_USER) == 0)) {
        return false;
    }
    if (command_decode(command, &w) == 0) {
        who = (struct acl_who){(w.marks & COMMAND_USER) != 0, w.user, w.born};
        refused = (w.marks & COMMAND_ALLOWED) == 0 &&
                  command_fits(w.command, w.argc) &&
                  acl_check(m, &who, w.command, w.argv, w.argc, &d) != ACL_OK;
        if (refused) {
            acl_error(&d, reply);
        }
        command_words_release(&w);
    }
    return refused;
}

void acl_authenticate(const struct machine *m,
                      const uint8_t hash[ACL_HASH],
                      const struct bytes *name,
                      struct buf *reply)
{
    struct bytes who = name != NULL ? *name : bytes_str("default");
    const struct user *u = users_find(machine_users(m), who);

    if (name == NULL && (u->flags & USER_NOPASS) != 0) {
        resp_error(reply,
                   "ERR AUTH <password> called without any password "
                   "configured for the default user. Are you sure your "
                   "configuration is correct?");
        return;
    }
    if (u == NULL || ((u->flags & USER_ON) == 0 && !mutant(ACL_OFF_ENTERS)) ||
        ((u->flags & USER_NOPASS) == 0 && !user_has_hash(u, hash) &&
         !mutant(ACL_ANY_PASSWORD))) {
        resp_error(reply,
                   "WRONGPASS invalid username-password pair or user is "
                   "disabled.");
        return;
    }
    resp_array(reply, 2);
    resp_int(reply, (int64_t)u->born);
    resp_bulk(reply, blob_bytes(u->name));
}
