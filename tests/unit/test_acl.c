/* Users and what they may do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/limits.h"
#include "resp/resp.h"
#include "server/command/acl.h"
#include "server/command/admin.h"
#include "server/command/category.h"
#include "server/command/feed.h"
#include "server/command/walk.h"
#include "server/edge/acl_log.h"
#include "server/edge/auth.h"
#include "server/store/machine.h"
#include "server/store/users.h"
#include "tests/unit/acl_categories.h"

enum {
    REDIS_CATEGORIES = sizeof redis_categories / sizeof redis_categories[0]
};

static bool has_word(const char *words, const char *word)
{
    size_t n = strlen(word);

    for (const char *at = words; (at = strstr(at, word)) != NULL; at += n) {
        if ((at == words || at[-1] == ' ') && at[n] == ' ') {
            return true;
        }
    }
    return false;
}

static bool redis_has(const char *name)
{
    for (size_t i = 0; i < REDIS_CATEGORIES; i++) {
        if (has_word(redis_categories[i].commands, name)) {
            return true;
        }
    }
    return false;
}

/* Each command is either fast or slow; one that Redis has, too, is in the
 * same categories there. */
static void categories(void **state)
{
    char name[48];
    size_t rows;
    const struct command *c = command_table(&rows);
    size_t shared = 0;

    (void)state;
    for (size_t r = 0; r < rows; r++) {
        uint32_t set = command_categories(&c[r]);

        assert_true(((set & CAT_FAST) != 0) != ((set & CAT_SLOW) != 0));
        command_full_name(&c[r], name);
        if (!redis_has(name)) {
            continue;
        }
        shared++;
        for (size_t i = 0; i < REDIS_CATEGORIES; i++) {
            uint32_t bit =
                category_by_name(bytes_str(redis_categories[i].category));
            bool there = has_word(redis_categories[i].commands, name);

            assert_true(bit != 0);
            if (there != ((set & bit) != 0)) {
                fail_msg("%s in %s", name, redis_categories[i].category);
            }
        }
    }
    assert_true(shared >= 55);
}

/* A category is found by its name in any case, and others are not. */
static void category_names(void **state)
{
    (void)state;
    for (unsigned i = 0; i < CATEGORY_N; i++) {
        assert_int_equal(category_by_name(bytes_str(category_name(i))),
                         1u << i);
    }
    assert_int_equal(category_by_name(bytes_str("SortedSet")), CAT_SORTEDSET);
    assert_int_equal(category_by_name(bytes_str("sorted")), 0);
    assert_int_equal(category_by_name(bytes_str("")), 0);
}

/* ---- a machine and its users ---- */

enum { WORDS = 600, NOBODY = -1 };

struct fixture {
    struct machine *m;
    uint64_t index;
    uint64_t session;
    uint64_t number;
    uint64_t time;
    struct buf reply;
    char text[4096];
};

static bool wants(void *ctx, uint64_t session, uint64_t number)
{
    (void)ctx;
    (void)session;
    (void)number;
    return true;
}

static void on_request(void *ctx,
                       uint64_t session,
                       uint64_t number,
                       enum request_outcome outcome,
                       struct bytes reply)
{
    struct fixture *f = ctx;

    (void)session;
    (void)number;
    assert_int_equal(outcome, REQUEST_APPLIED);
    buf_clear(&f->reply);
    buf_bytes_append(&f->reply, reply);
}

static void apply(struct fixture *f, struct buf *entry)
{
    assert_int_equal(machine_apply(f->m, ++f->index, buf_bytes(entry)), 0);
    buf_release(entry);
}

static int setup(void **state)
{
    static const uint8_t id[HF_ID_SIZE] = {1};
    static const char *const seats[] = {"h:1"};
    struct fixture *f = calloc(1, sizeof *f);
    struct entry_node first = {{7}, "h:1", "h:2", "h:3"};
    struct machine_observer o = {
        .ctx = f, .wants_reply = wants, .on_request = on_request};
    struct buf b = BUF_INIT;

    f->time = 1000000;
    f->m = machine_new();
    machine_set_run(f->m, command_run, NULL);
    machine_set_observer(f->m, &o);
    entry_begin(&b, f->time, 0);
    entry_init(&b, id, seats, 1, &first);
    apply(f, &b);
    entry_begin(&b, f->time, 0);
    entry_open(&b, 1, id);
    apply(f, &b);
    f->session = f->index;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    buf_release(&f->reply);
    machine_free(f->m);
    free(f);
    return 0;
}

/* The whole way of a command, sent by @who (NULL: by nobody). */
static const char *ask_words(struct fixture *f,
                             const struct acl_who *who,
                             const struct bytes *argv,
                             int argc)
{
    const struct command *c;
    struct blob *bytes;
    struct buf b = BUF_INIT;

    buf_clear(&f->reply);
    c = command_find(argv, argc, &f->reply);
    if (c != NULL && command_check(c, argv, argc, &f->reply)) {
        bytes = command_encode_as(c, 0, who, argv, argc);
        if (command_writes(c, argv, argc)) {
            entry_begin(&b, f->time, 0);
            entry_request(&b, f->session, ++f->number, blob_bytes(bytes));
            apply(f, &b);
        } else {
            command_read(f->m, blob_bytes(bytes), &f->reply);
        }
        blob_unref(bytes);
    }
    snprintf(f->text, sizeof f->text, "%.*s", (int)f->reply.n,
             f->reply.n > 0 ? (const char *)f->reply.p : "");
    return f->text;
}

/* Words by spaces. */
static int split(char *line, struct bytes argv[WORDS])
{
    int argc = 0;

    for (char *w; (w = strtok_r(line, " ", &line)) != NULL;) {
        assert_true(argc < WORDS);
        argv[argc++] = bytes_str(w);
    }
    return argc;
}

static const char *ask_as(struct fixture *f,
                          const struct acl_who *who,
                          const char *line)
{
    struct bytes argv[WORDS];
    char *copy = strdup(line);
    int argc = split(copy, argv);
    const char *text = ask_words(f, who, argv, argc);

    free(copy);
    return text;
}

static const char *ask(struct fixture *f, const char *line)
{
    return ask_as(f, NULL, line);
}

/* As who connected now as @name. */
static struct acl_who as(struct fixture *f, const char *name)
{
    const struct user *u = users_find(machine_users(f->m), bytes_str(name));

    assert_non_null(u);
    return (struct acl_who){true, blob_bytes(u->name), u->born};
}

static const char *by(struct fixture *f, const char *name, const char *line)
{
    struct acl_who who = as(f, name);

    return ask_as(f, &who, line);
}

static void expect(const char *is, const char *starts)
{
    if (strncmp(is, starts, strlen(starts)) != 0) {
        fail_msg("%s is not %s", is, starts);
    }
}

#define OK "+OK\r\n"
#define NOCOMMAND "-NOPERM this user has no permissions to run the '"
#define NOKEY                                                              \
    "-NOPERM this user has no permissions to access one of the keys used " \
    "as arguments\r\n"
#define NOAUTH "-NOAUTH Authentication required.\r\n"

/* ---- permissions ---- */

/* Nobody is the default user, and that one may do everything at first. */
static void open_at_first(void **state)
{
    struct fixture *f = *state;

    assert_true(acl_open(f->m));
    expect(ask(f, "set a 1"), OK);
    expect(by(f, "default", "flushall"), OK);
}

/* A new user may do nothing; one with read commands and a pattern may read
 * what matches, and nothing else. */
static void reads_of_some_keys(void **state)
{
    struct fixture *f = *state;

    expect(ask(f, "set app:1 v"), OK);
    expect(ask(f, "acl setuser u on"), OK);
    expect(by(f, "u", "get app:1"), NOCOMMAND "get' command");
    expect(ask(f, "acl setuser u +@read ~app:*"), OK);
    expect(by(f, "u", "get app:1"), "$1\r\nv");
    expect(by(f, "u", "mget app:1 app:2"), "*2");
    expect(by(f, "u", "get other"), NOKEY);
    expect(by(f, "u", "mget app:1 other"), NOKEY);
    expect(by(f, "u", "set app:1 x"), NOCOMMAND "set' command");
    expect(by(f, "u", "flushall"), NOCOMMAND "flushall' command");
    expect(by(f, "u", "acl setuser u allcommands"),
           NOCOMMAND "acl|setuser' command");
    expect(by(f, "u", "acl list"), NOCOMMAND "acl|list' command");
    expect(ask(f, "get app:1"), "$1\r\nv");
    expect(ask(f, "acl setuser u -get"), OK);
    expect(by(f, "u", "get app:1"), NOCOMMAND "get' command");
    expect(by(f, "u", "strlen app:1"), ":1");
}

/* Rules count in the order in which they were given. */
static void rules_in_order(void **state)
{
    struct fixture *f = *state;

    expect(ask(f, "acl setuser u on allkeys +@all -@write +set"), OK);
    expect(by(f, "u", "set a 1"), OK);
    expect(by(f, "u", "del a"), NOCOMMAND);
    expect(ask(f, "acl setuser u -@string"), OK);
    expect(by(f, "u", "set a 1"), NOCOMMAND);
    expect(by(f, "u", "get a"), NOCOMMAND);
    expect(by(f, "u", "ttl a"), ":-1");
    expect(ask(f, "acl setuser u +GET"), OK);
    expect(by(f, "u", "get a"), "$1");
    expect(ask(f, "acl setuser u nocommands +acl|users"), OK);
    expect(by(f, "u", "acl users"), "*2");
    expect(by(f, "u", "acl list"), NOCOMMAND);
    expect(ask(f, "acl setuser u +acl"), OK);
    expect(by(f, "u", "acl list"), "*2");
    expect(ask(f, "acl setuser u -acl|list"), OK);
    expect(by(f, "u", "acl list"), NOCOMMAND);
    expect(by(f, "u", "acl users"), "*2");
}

/* %R and %W: a command needs of each key what it does with it. */
static void read_and_write_keys(void **state)
{
    struct fixture *f = *state;

    expect(ask(f, "acl setuser u on +@all %R~r %W~w ~b"), OK);
    expect(by(f, "u", "get r"), "_");
    expect(by(f, "u", "get w"), NOKEY);
    expect(by(f, "u", "set w 1"), OK);
    expect(by(f, "u", "set w 2 GET"), NOKEY);
    expect(by(f, "u", "set r 1"), NOKEY);
    expect(by(f, "u", "incr w"), NOKEY);
    expect(by(f, "u", "incr b"), ":1");
    expect(by(f, "u", "exists r w b"), ":2");
    expect(by(f, "u", "exists x"), NOKEY);
    expect(by(f, "u", "del w r"), NOKEY);
    expect(by(f, "u", "get b"), "$1");
}

/* A selector permits on its own: what two of them have together does not
 * count. */
static void selectors(void **state)
{
    struct fixture *f = *state;

    expect(ask(f, "acl setuser u on +ping (+get ~g) (+set ~s )"), OK);
    expect(by(f, "u", "get g"), "_");
    expect(by(f, "u", "set s 1"), OK);
    expect(by(f, "u", "set g 1"), NOKEY);
    expect(by(f, "u", "get s"), NOKEY);
    expect(by(f, "u", "del s"), NOCOMMAND);
    expect(ask(f, "acl setuser u (+get ~s"),
           "-ERR Unmatched parenthesis in acl selector starting at '(+get'.");
    expect(ask(f, "acl setuser u clearselectors"), OK);
    expect(by(f, "u", "get g"), NOCOMMAND);
}

/* RANGE is permitted where a plain prefix covers all of it. */
static void ranges(void **state)
{
    struct fixture *f = *state;

    expect(ask(f, "set app:1 v"), OK);
    expect(ask(f, "acl setuser u on +range ~app:* %W~w* ~q?*"), OK);
    expect(by(f, "u", "range app: app;"), "*2");
    expect(by(f, "u", "range app:1 app:2"), "*2");
    expect(by(f, "u", "range app:1 app;0"), NOKEY);
    expect(by(f, "u", "range app app;"), NOKEY);
    expect(by(f, "u", "range app: b"), NOKEY);
    expect(by(f, "u", "range app: app"), "*0");
    expect(by(f, "u", "range w x"), NOKEY);
    expect(by(f, "u", "range q r"), NOKEY);
    expect(ask(f, "acl setuser u resetkeys ~*"), OK);
    expect(by(f, "u", "range app app;"), "*2");
}

/* Of a transaction nothing is applied when one command is not permitted. */
static void transactions(void **state)
{
    struct fixture *f = *state;

    expect(ask(f, "acl setuser u on ~a* +set +get +exec"), OK);
    expect(by(f, "u", "txn 0 2 3 set a1 1 2 get a1"), "*2");
    expect(by(f, "u", "txn 0 2 3 set a1 2 3 set b 1"), "-NOPERM ACLs rules");
    expect(by(f, "u", "txn 0 2 3 set a1 2 2 del a1"), "-NOPERM ACLs rules");
    expect(by(f, "u", "get a1"), "$1\r\n1");
    expect(by(f, "u", "txn 1 a1 0 1 2 get a1"), NOCOMMAND "watch' command");
    expect(ask(f, "acl setuser u +watch"), OK);
    expect(by(f, "u", "txn 1 a1 0 1 2 get a1"), "*-1");
    expect(by(f, "u", "txn 1 b 0 1 2 get a1"), NOKEY);
    expect(ask(f, "acl setuser u -exec"), OK);
    expect(by(f, "u", "txn 0 1 2 get a1"), "-NOPERM");
}

/* Nor is what a named request names. */
static void named_requests(void **state)
{
    struct fixture *f = *state;
    char line[128];
    int session;

    expect(ask(f, "acl setuser u on ~a +set +once"), OK);
    expect(by(f, "u", "once open"), ":");
    assert_int_equal(sscanf(f->text, ":%d", &session), 1);
    snprintf(line, sizeof line, "once %d 1 set a 1", session);
    expect(by(f, "u", line), OK);
    snprintf(line, sizeof line, "once %d 2 set b 1", session);
    expect(by(f, "u", line), NOKEY);
    snprintf(line, sizeof line, "once %d 2 del a", session);
    expect(by(f, "u", line), NOCOMMAND "del' command");
    snprintf(line, sizeof line, "once %d 2 txn 0 1 2 del a", session);
    expect(by(f, "u", line), "-NOPERM");
    expect(ask(f, "get a"), "$1");
}

/* Who may only write a key cannot find out what it holds. */
static void written_not_read(void **state)
{
    static const char *const lines[] = {
        "set k 1 get",
        "set k 1 ifeq guess",
        "set k 1 ifne guess",
        "set k 1 ifdeq 2d06800538d394c2",
        "set k 1 ifdne 2d06800538d394c2",
        "delex k ifeq guess",
        "delex k ifne guess",
        "delex k ifdeq 2d06800538d394c2",
        "delex k ifdne 2d06800538d394c2",
        "once 1 1 delex k ifeq guess",
        "getset k 1",
        "get k",
    };
    struct fixture *f = *state;

    expect(ask(f, "acl setuser u on %W~k +@all"), OK);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        expect(by(f, "u", lines[i]), "-NOPERM");
    }
    expect(by(f, "u", "set k ifeq"), OK);
    expect(by(f, "u", "delex k"), ":1");
    expect(ask(f, "acl setuser u %R~k"), OK);
    expect(by(f, "u", "set k 1 ifeq guess"), "_");
    expect(by(f, "u", "delex k ifeq guess"), ":0");
}

/* A session is its user's: nobody else learns its saved reply, takes its
 * numbers or closes it; nor does who has the name after him. */
static void sessions_of_others(void **state)
{
    struct fixture *f = *state;
    char first[64], second[64], closing[64];
    int session;

    expect(ask(f, "acl setuser u on ~a +getset +once"), OK);
    expect(ask(f, "acl setuser v on ~a +getset +once"), OK);
    expect(ask(f, "set a secret"), OK);
    expect(by(f, "u", "once open"), ":");
    assert_int_equal(sscanf(f->text, ":%d", &session), 1);
    snprintf(first, sizeof first, "once %d 1 getset a 1", session);
    snprintf(second, sizeof second, "once %d 2 getset a 2", session);
    snprintf(closing, sizeof closing, "once close %d", session);
    expect(by(f, "u", first), "$6\r\nsecret");
    expect(by(f, "v", first), "-NOSESSION");
    expect(by(f, "v", second), "-NOSESSION");
    expect(by(f, "v", closing), ":0");
    expect(ask(f, first), "-NOSESSION");
    expect(by(f, "default", closing), ":0");
    expect(by(f, "u", first), "$6\r\nsecret");
    expect(by(f, "u", second), "$1\r\n1");
    expect(ask(f, "acl deluser u"), ":1");
    expect(ask(f, "acl setuser u on ~a +getset +once"), OK);
    expect(by(f, "u", second), "-NOSESSION");
    /* "default" is one user, by his name or not. */
    expect(ask(f, "once open"), ":");
    assert_int_equal(sscanf(f->text, ":%d", &session), 1);
    snprintf(first, sizeof first, "once %d 1 getset a 3", session);
    expect(ask(f, first), "$1\r\n2");
    expect(by(f, "v", first), "-NOSESSION");
    expect(by(f, "default", first), "$1\r\n2");
}

/* With a password on the default user nobody may do anything; who
 * authenticated may. */
static void closed(void **state)
{
    struct fixture *f = *state;
    char line[128];

    snprintf(line, sizeof line, "acl setuser default #%064d", 1);
    expect(ask(f, line), OK);
    assert_false(acl_open(f->m));
    expect(ask(f, "get a"), NOAUTH);
    expect(ask(f, "set a 1"), NOAUTH);
    expect(ask(f, "once open"), NOAUTH);
    expect(by(f, "default", "set a 1"), OK);
    expect(by(f, "default", "acl setuser default off"), OK);
    expect(by(f, "default", "get a"), "$1"); /* as Redis has it */
    expect(by(f, "default", "acl setuser default on nopass"), OK);
    assert_true(acl_open(f->m));
    expect(ask(f, "get a"), "$1");
    expect(ask(f, "acl setuser default -get"), OK);
    expect(ask(f, "get a"), NOCOMMAND);
}

/* A connection is of the user that it authenticated as, not of a later one
 * by the same name. */
static void made_again(void **state)
{
    struct fixture *f = *state;
    struct acl_who old;

    expect(ask(f, "acl setuser u on allkeys allcommands"), OK);
    old = as(f, "u");
    expect(ask_as(f, &old, "set a 1"), OK);
    old.name = bytes_str("u");
    expect(ask(f, "acl deluser u nosuch"), ":1");
    expect(ask_as(f, &old, "set a 2"), NOAUTH);
    expect(ask(f, "acl setuser u on allkeys allcommands"), OK);
    expect(ask_as(f, &old, "set a 2"), NOAUTH);
    expect(by(f, "u", "get a"), "$1\r\n1");
    expect(ask(f, "acl deluser default"),
           "-ERR The 'default' user cannot be removed");
}

/* Subscribing by a pattern needs that very pattern. */
static void channels(void **state)
{
    static const struct command publish = {
        .id = 1000, .name = "publish", .arity = 3, .group = "pubsub"};
    static const struct command psubscribe = {
        .id = 1001, .name = "psubscribe", .arity = -2, .group = "pubsub"};
    struct bytes argv[3] = {{NULL, 0}, bytes_str("c1"), bytes_str("x")};
    struct fixture *f = *state;
    struct acl_denial d;
    struct acl_who who;

    expect(ask(f, "acl setuser u on +@all &c* &d"), OK);
    who = as(f, "u");
    assert_int_equal(acl_check(f->m, &who, &publish, argv, 3, &d), ACL_OK);
    argv[1] = bytes_str("x");
    assert_int_equal(acl_check(f->m, &who, &publish, argv, 3, &d), ACL_CHANNEL);
    argv[1] = bytes_str("c*");
    assert_int_equal(acl_check(f->m, &who, &psubscribe, argv, 2, &d), ACL_OK);
    argv[1] = bytes_str("c1*");
    assert_int_equal(acl_check(f->m, &who, &psubscribe, argv, 2, &d),
                     ACL_CHANNEL);
}

/* ---- passwords ---- */

static const char *login(struct fixture *f, const char *name, int digit)
{
    uint8_t hash[ACL_HASH];
    struct bytes n = bytes_str(name != NULL ? name : "");

    memset(hash, digit * 17, sizeof hash);
    buf_clear(&f->reply);
    acl_authenticate(f->m, hash, name != NULL ? &n : NULL, &f->reply);
    snprintf(f->text, sizeof f->text, "%.*s", (int)f->reply.n,
             (const char *)f->reply.p);
    return f->text;
}

/* Only who is on, and with a password of his, or without need of one. */
static void authentication(void **state)
{
    struct fixture *f = *state;
    char line[256];

    snprintf(line, sizeof line, "acl setuser u #%064d", 0);
    memset(line + 15, '1', 64);
    expect(ask(f, line), OK);
    expect(login(f, "u", 1), "-WRONGPASS");
    expect(ask(f, "acl setuser u on"), OK);
    expect(login(f, "u", 1), "*2");
    expect(login(f, "u", 2), "-WRONGPASS");
    expect(login(f, "nosuch", 1), "-WRONGPASS");
    expect(login(f, NULL, 1), "-ERR AUTH <password> called without");
    expect(login(f, "default", 1), "*2");
    line[14] = '!';
    expect(ask(f, line), OK);
    expect(login(f, "u", 1), "-WRONGPASS");
    expect(ask(f, line), "-ERR Error in ACL SETUSER modifier '!1111");
    expect(ask(f, "acl setuser u nopass"), OK);
    expect(login(f, "u", 3), "*2");
    expect(ask(f, "acl setuser u resetpass"), OK);
    expect(login(f, "u", 3), "-WRONGPASS");
}

/* Clear text is no rule: nothing but hashes can come into the log. */
static void no_clear_text(void **state)
{
    struct fixture *f = *state;
    uint64_t before = f->number;

    expect(ask(f, "acl setuser u on >secret"), "-ERR");
    expect(ask(f, "acl setuser u <secret"), "-ERR");
    assert_int_equal(f->number, before);
}

/* The words that the edge makes of passwords, in a named request, too. */
static void hashed_words(void **state)
{
    static const char hash[] =
        "#30c952fab122c3f9759f02a6d95c3758b246b4fee239957b2d4fee46e26170c4";
    struct bytes argv[] = {
        bytes_str("ONCE"), bytes_str("1"),       bytes_str("2"),
        bytes_str("acl"),  bytes_str("SetUser"), bytes_str(">u"),
        bytes_str(">pw"),  bytes_str("<pw"),     bytes_str("~>k")};
    struct auth_words w;

    (void)state;
    assert_true(auth_hash_words(argv, 9, &w));
    assert_true(bytes_eq(w.argv[6], bytes_str(hash)));
    assert_int_equal(w.argv[7].p[0], '!');
    assert_memory_equal(w.argv[7].p + 1, hash + 1, 64);
    assert_true(bytes_eq(w.argv[5], argv[5])); /* the user's name */
    assert_true(bytes_eq(w.argv[8], argv[8]));
    auth_words_release(&w);
    assert_true(auth_hash_words(argv + 3, 6, &w));
    assert_true(bytes_eq(w.argv[3], bytes_str(hash)));
    auth_words_release(&w);
    assert_false(auth_hash_words(argv + 3, 3, &w));
    argv[4] = bytes_str("getuser");
    assert_false(auth_hash_words(argv, 9, &w));
}

/* ---- changing users ---- */

/* A SETUSER with one bad rule changes nothing. */
static void all_or_nothing(void **state)
{
    struct fixture *f = *state;
    uint64_t sum;

    expect(ask(f, "acl setuser u on ~a +get"), OK);
    sum = machine_digest(f->m);
    expect(ask(f, "acl setuser u +set ~* ~b"),
           "-ERR Error in ACL SETUSER modifier '~b': Adding a pattern");
    expect(by(f, "u", "set a 1"), NOCOMMAND);
    expect(ask(f, "acl setuser v +set ~* ~b"), "-ERR");
    assert_null(users_find(machine_users(f->m), bytes_str("v")));
    assert_true(sum != 0);
}

/* Every change of users shows in the running checksum. */
static void in_the_sum(void **state)
{
    struct fixture *f = *state;
    struct fixture *g;
    void *other;

    setup(&other);
    g = other;
    expect(ask(f, "acl setuser u on"), OK);
    expect(ask(g, "acl setuser u off"), OK);
    assert_true(machine_sum(f->m) != machine_sum(g->m));
    assert_true(machine_digest(f->m) != machine_digest(g->m));
    teardown(&other);
}

/* Rules, patterns, passwords, selectors and users have limits, and what goes
 * beyond is refused. */
static void limits(void **state)
{
    struct fixture *f = *state;
    struct bytes argv[3 + LIM_USER_PATTERNS + 1] = {
        bytes_str("acl"), bytes_str("setuser"), bytes_str("u")};
    char(*text)[16] = calloc(LIM_USER_PATTERNS + 1, sizeof *text);
    char line[LIM_USER_PATTERN + 64];

    for (int i = 0; i <= LIM_USER_PATTERNS; i++) {
        snprintf(text[i], sizeof text[i], "~%d", i);
        argv[3 + i] = bytes_str(text[i]);
    }
    expect(ask_words(f, NULL, argv, 3 + LIM_USER_PATTERNS), OK);
    expect(ask_words(f, NULL, argv, 3 + LIM_USER_PATTERNS + 1),
           "-ERR Error in ACL SETUSER modifier '~256': More of them");
    free(text);
    snprintf(line, sizeof line, "acl setuser v ~%0*d", LIM_USER_PATTERN, 0);
    expect(ask(f, line), OK);
    snprintf(line, sizeof line, "acl setuser v ~%0*d", LIM_USER_PATTERN + 1, 0);
    expect(ask(f, line), "-ERR");
    for (int i = 0; i <= LIM_USER_PASSWORDS; i++) {
        snprintf(line, sizeof line, "acl setuser v #%064d", i);
        expect(ask(f, line), i < LIM_USER_PASSWORDS ? OK : "-ERR");
    }
    for (int i = 1; i <= LIM_USER_SELECTORS; i++) {
        expect(ask(f, "acl setuser v (+get)"),
               i < LIM_USER_SELECTORS ? OK : "-ERR");
    }
    snprintf(line, sizeof line, "acl setuser %0*d", LIM_USER_NAME + 1, 0);
    expect(ask(f, line), "-ERR the user's name is too long");
    for (int i = 3; i < LIM_USERS; i++) {
        snprintf(line, sizeof line, "acl setuser user%d", i);
        expect(ask(f, line), OK);
    }
    expect(ask(f, "acl setuser more"), "-ERR there is no room");
    expect(ask(f, "acl setuser user5 on"), OK);
}

/* ---- as bytes ---- */

static void many_rules(struct fixture *f)
{
    char line[256];

    snprintf(line, sizeof line,
             "acl setuser u on #%064d ~a %%R~r* %%W~w &c allchannels &* "
             "+@read -get +acl|users (~x +set) (&y -@all +@all)",
             7);
    expect(ask(f, line), OK);
    expect(ask(f, "acl setuser default resetkeys -flushall"), OK);
}

/* The payload of a snapshot's record comes back; cut anywhere it is none,
 * and no flipped byte does harm. */
static void user_bytes(void **state)
{
    struct fixture *f = *state;
    const struct user *u;
    struct user *v;
    struct buf a = BUF_INIT;
    struct buf b = BUF_INIT;

    many_rules(f);
    u = users_find(machine_users(f->m), bytes_str("u"));
    user_encode(u, &a);
    v = user_decode(buf_bytes(&a));
    assert_non_null(v);
    user_encode(v, &b);
    assert_true(bytes_eq(buf_bytes(&a), buf_bytes(&b)));
    user_free(v);
    for (size_t n = 0; n < a.n; n++) {
        assert_null(user_decode(bytes_of(a.p, n)));
    }
    for (size_t i = 0; i < a.n; i++) {
        a.p[i] ^= 0xFF;
        v = user_decode(buf_bytes(&a));
        if (v != NULL) {
            buf_clear(&b);
            user_encode(v, &b);
            assert_true(bytes_eq(buf_bytes(&a), buf_bytes(&b)));
        }
        user_free(v);
        a.p[i] ^= 0xFF;
    }
    buf_release(&a);
    buf_release(&b);
}

static struct machine *reloaded(struct machine *m)
{
    struct machine_frozen *frozen = machine_freeze(m);
    struct machine_load *l = machine_load_begin();
    struct buf b = BUF_INIT;
    struct machine *out;
    struct errmsg em;

    while (machine_snapshot_next(frozen, &b)) {
        assert_int_equal(machine_load_feed(l, buf_bytes(&b), &em), 0);
        buf_clear(&b);
    }
    assert_int_equal(machine_load_finish(l, &out, &em), 0);
    machine_freeze_release(m, frozen);
    buf_release(&b);
    return out;
}

/* A snapshot has the users, as they were when it was frozen. */
static void in_snapshots(void **state)
{
    struct fixture *f = *state;
    struct machine *m;
    struct acl_who who;
    struct bytes argv[] = {bytes_str("get"), bytes_str("r1")};
    struct acl_denial d;

    m = reloaded(f->m);
    assert_true(machine_users(m)->plain);
    machine_free(m);
    many_rules(f);
    expect(ask(f, "acl setuser u +get"), OK);
    m = reloaded(f->m);
    assert_int_equal(machine_digest(m), machine_digest(f->m));
    assert_false(acl_open(m));
    who = as(f, "u");
    assert_int_equal(acl_check(m, &who, command_by_name(argv[0]), argv, 2, &d),
                     ACL_OK);
    machine_free(m);
    expect(ask(f, "acl setuser u off"), OK);
    m = reloaded(f->m);
    assert_int_equal(machine_digest(m), machine_digest(f->m));
    machine_free(m);
}

/* Command bytes say whose they are, to the last byte. */
static void command_bytes(void **state)
{
    struct bytes argv[] = {bytes_str("get"), bytes_str("key")};
    struct acl_who who = {true, bytes_str("name"), 77};
    struct blob *b =
        command_encode_as(command_by_name(argv[0]), 0, &who, argv, 2);
    struct command_words w;

    (void)state;
    assert_int_equal(command_decode(blob_bytes(b), &w), 0);
    assert_int_equal(w.marks, COMMAND_USER);
    assert_true(bytes_eq(w.user, who.name));
    assert_int_equal(w.born, 77);
    assert_int_equal(w.argc, 2);
    command_words_release(&w);
    for (size_t n = 0; n < b->n; n++) {
        assert_int_not_equal(command_decode(bytes_of(b->d, n), &w), 0);
    }
    blob_unref(b);
}

/* ---- ACL LOG ---- */

/* The same again is counted; of others the latest stay. */
static void log_bounded(void **state)
{
    struct acl_log *l = acl_log_new();
    struct acl_log_entry e = {"key", "toplevel", bytes_str("k"), bytes_str("u"),
                              bytes_str("id=1")};
    struct buf b = BUF_INIT;
    char name[16];

    (void)state;
    acl_log_add(l, &e, 1000);
    acl_log_add(l, &e, 2000);
    acl_log_reply(l, 10, 2500, &b);
    buf_u8(&b, 0);
    expect((char *)b.p, "*1\r\n%7\r\n$5\r\ncount\r\n:2\r\n");
    assert_non_null(strstr((char *)b.p, "age-seconds\r\n,0.5\r\n"));
    acl_log_add(l, &e, 2001 + ACL_LOG_SAME_MS);
    buf_clear(&b);
    acl_log_reply(l, 10, 2500, &b);
    expect((char *)b.p, "*2");
    for (int i = 0; i < 2 * ACL_LOG_MAX; i++) {
        snprintf(name, sizeof name, "k%d", i);
        e.object = bytes_str(name);
        acl_log_add(l, &e, 1000000);
    }
    buf_clear(&b);
    acl_log_reply(l, UINT64_MAX, 1000000, &b);
    snprintf(name, sizeof name, "*%d\r\n", (int)ACL_LOG_MAX);
    expect((char *)b.p, name);
    acl_log_free(l);
    buf_release(&b);
}

#define WITH_MACHINE(test) \
    cmocka_unit_test_setup_teardown(test, setup, teardown)

/* Command bytes of another node with too few words, or too many: nothing
 * reads words that are not there. */
static void odd_words(void **state)
{
    struct bytes argv[10];
    struct machine *m = machine_new();
    struct admin_action a;
    size_t rows;
    const struct command *c = command_table(&rows);
    struct user *u = user_new(bytes_str("default"), 0);

    (void)state;
    u->flags = USER_ON | USER_NOPASS; /* and nothing permitted */
    machine_user_put(m, u);
    for (size_t i = 0; i < 10 * rows; i++) {
        int argc = (int)(i % 8) + (c[i / 10].parent == NULL ? 1 : 2);
        struct buf reply = BUF_INIT;
        struct blob *b;

        for (int k = 0; k < 10; k++) {
            argv[k] = bytes_str("1");
        }
        b = command_encode(&c[i / 10], 0, argv, argc);
        (void)acl_refuses(m, blob_bytes(b), &reply);
        command_read(m, blob_bytes(b), &reply);
        (void)admin_action(blob_bytes(b), &a, &reply);
        walk_free(walk_is(blob_bytes(b)) ? walk_new(blob_bytes(b), NULL, 0)
                                         : NULL);
        feed_free(feed_is(blob_bytes(b)) ? feed_new(blob_bytes(b)) : NULL);
        blob_unref(b);
        buf_release(&reply);
    }
    machine_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(categories),
        cmocka_unit_test(category_names),
        WITH_MACHINE(open_at_first),
        WITH_MACHINE(reads_of_some_keys),
        WITH_MACHINE(rules_in_order),
        WITH_MACHINE(read_and_write_keys),
        WITH_MACHINE(selectors),
        WITH_MACHINE(ranges),
        WITH_MACHINE(transactions),
        WITH_MACHINE(named_requests),
        WITH_MACHINE(sessions_of_others),
        WITH_MACHINE(written_not_read),
        WITH_MACHINE(closed),
        WITH_MACHINE(made_again),
        WITH_MACHINE(channels),
        WITH_MACHINE(authentication),
        WITH_MACHINE(no_clear_text),
        cmocka_unit_test(hashed_words),
        WITH_MACHINE(all_or_nothing),
        WITH_MACHINE(in_the_sum),
        WITH_MACHINE(limits),
        WITH_MACHINE(user_bytes),
        WITH_MACHINE(in_snapshots),
        cmocka_unit_test(command_bytes),
        cmocka_unit_test(log_bounded),
        cmocka_unit_test(odd_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
