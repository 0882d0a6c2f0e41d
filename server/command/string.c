/* Commands on the values of keys. Each first reads all of its words; with no
 * machine it ends there (command.h: command_fn). */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/mutant.h"
#include "resp/resp.h"
#include "server/command/args.h"
#include "server/command/digest.h"
#include "server/command/float.h"
#include "server/command/notify.h"
#include "server/store/machine.h"

/* What SET and GETEX may say after their fixed words. */
enum set_flag {
    SET_NX = 1 << 0,
    SET_XX = 1 << 1,
    SET_IFEQ = 1 << 2,
    SET_IFNE = 1 << 3,
    SET_IFDEQ = 1 << 4,
    SET_IFDNE = 1 << 5,
    SET_GET = 1 << 6,
    SET_KEEPTTL = 1 << 7,
    SET_PERSIST = 1 << 8,
    SET_EX = 1 << 9,
    SET_PX = 1 << 10,
    SET_EXAT = 1 << 11,
    SET_PXAT = 1 << 12,
};
enum {
    SET_DIGESTS = SET_IFDEQ | SET_IFDNE,
    SET_COMPARES = SET_IFEQ | SET_IFNE | SET_DIGESTS,
    SET_CONDITION = SET_NX | SET_XX | SET_COMPARES,
    SET_TIMES = SET_EX | SET_PX | SET_EXAT | SET_PXAT,
    SET_LIVES = SET_TIMES | SET_KEEPTTL | SET_PERSIST,
};

struct set_options {
    unsigned flags;    /* enum set_flag */
    struct bytes with; /* SET_COMPARES: what to compare with */
    struct bytes time; /* SET_TIMES: as written */
    int64_t ms;        /* SET_TIMES: span or moment */
};

/* A word of the table below: @excludes are the flags it cannot stand with;
 * the same one twice is allowed, the last wins. */
static const struct set_word {
    const char *word;
    unsigned flag;
    unsigned excludes;
    bool takes_value;
} set_words[] = {
    {"NX", SET_NX, SET_CONDITION & ~SET_NX, false},
    {"XX", SET_XX, SET_CONDITION & ~SET_XX, false},
    {"IFEQ", SET_IFEQ, SET_CONDITION, true},
    {"IFNE", SET_IFNE, SET_CONDITION, true},
    {"IFDEQ", SET_IFDEQ, SET_CONDITION, true},
    {"IFDNE", SET_IFDNE, SET_CONDITION, true},
    {"GET", SET_GET, 0, false},
    {"KEEPTTL", SET_KEEPTTL, SET_TIMES | SET_PERSIST, false},
    {"PERSIST", SET_PERSIST, SET_TIMES | SET_KEEPTTL, false},
    {"EX", SET_EX, SET_LIVES & ~SET_EX, true},
    {"PX", SET_PX, SET_LIVES & ~SET_PX, true},
    {"EXAT", SET_EXAT, SET_LIVES & ~SET_EXAT, true},
    {"PXAT", SET_PXAT, SET_LIVES & ~SET_PXAT, true},
};

static const struct set_word *set_word_find(struct bytes s, unsigned allowed)
{
    for (size_t i = 0; i < sizeof set_words / sizeof set_words[0]; i++) {
        if ((set_words[i].flag & allowed) != 0 &&
            bytes_ieq(s, set_words[i].word)) {
            return &set_words[i];
        }
    }
    return NULL;
}

/* The words from @from on; a time is not looked at yet. */
static bool set_words_parse(const struct bytes *argv,
                            int argc,
                            int from,
                            unsigned allowed,
                            struct set_options *o,
                            struct buf *reply)
{
    uint64_t digest;

    memset(o, 0, sizeof *o);
    for (int i = from; i < argc; i++) {
        const struct set_word *w = set_word_find(argv[i], allowed);

        if (w == NULL || (o->flags & w->excludes) != 0 ||
            (w->takes_value && i + 1 >= argc)) {
            return args_fail(reply, ERR_SYNTAX);
        }
        o->flags |= w->flag;
        if (w->takes_value) {
            *((w->flag & SET_COMPARES) != 0 ? &o->with : &o->time) = argv[++i];
        }
    }
    return (o->flags & SET_DIGESTS) == 0 || digest_parse(o->with, &digest) ||
           args_fail(reply, ERR_DIGEST);
}

static bool set_time_parse(struct set_options *o,
                           const char *name,
                           struct buf *reply)
{
    return (o->flags & SET_TIMES) == 0 ||
           args_need_time(
               o->time,
               (o->flags & (SET_EX | SET_EXAT)) != 0 ? UNIT_S : UNIT_MS,
               (o->flags & (SET_EX | SET_PX)) != 0, name, &o->ms, reply);
}

static bool set_parse(const struct bytes *argv,
                      int argc,
                      int from,
                      unsigned allowed,
                      const char *name,
                      struct set_options *o,
                      struct buf *reply)
{
    return set_words_parse(argv, argc, from, allowed, o, reply) &&
           set_time_parse(o, name, reply);
}

/* The deadline that the options ask for. Relative ones count from the
 * applied time, which is the same on every node. */
static uint64_t set_deadline(const struct store *s,
                             const struct set_options *o,
                             const struct item *old)
{
    if ((o->flags & SET_KEEPTTL) != 0 && !mutant(SET_KEEPTTL_DROPS)) {
        return old == NULL ? 0 : item_deadline(old);
    }
    if ((o->flags & SET_TIMES) == 0) {
        return 0;
    }
    return (uint64_t)o->ms +
           ((o->flags & (SET_EX | SET_PX)) != 0 ? store_time(s) : 0);
}

static void reply_item(struct buf *reply, const struct item *it)
{
    if (it == NULL) {
        resp_null(reply);
    } else {
        resp_bulk(reply, item_value(it));
    }
}

void cmd_get(struct machine *m,
             const struct bytes *argv,
             int argc,
             struct buf *reply)
{
    (void)argc;
    if (args_need_key(argv[1], reply) && m != NULL) {
        reply_item(reply, notify_get(m, argv[1]));
    }
}

/* Does @old fulfil the one comparison of @flags? An absent key equals
 * nothing, so only the negative ones hold of it. */
static bool compare_holds(unsigned flags,
                          struct bytes with,
                          const struct item *old)
{
    bool negative = (flags & (SET_IFNE | SET_IFDNE)) != 0;
    uint64_t want = 0;
    bool same;

    if (old == NULL) {
        return negative || mutant(COMPARE_ABSENT);
    }
    if ((flags & SET_DIGESTS) != 0) {
        same = digest_parse(with, &want) && digest_of(item_value(old)) == want;
    } else {
        same = bytes_eq(item_value(old), with);
    }
    return same != negative || mutant(COMPARE_IGNORED);
}

static bool set_condition(const struct set_options *o, const struct item *old)
{
    if ((o->flags & SET_NX) != 0) {
        return old == NULL;
    }
    if ((o->flags & SET_XX) != 0) {
        return old != NULL;
    }
    return (o->flags & SET_COMPARES) == 0 ||
           compare_holds(o->flags, o->with, old);
}

/* SET with its options; told as "set", and "expire" if it was given a life. */
static void put_with(struct machine *m,
                     struct bytes key,
                     struct bytes value,
                     const struct set_options *o,
                     const struct item *old)
{
    notify_put(m, key, value, set_deadline(machine_store(m), o, old),
               NOTIFY_STRING, "set");
    if ((o->flags & SET_TIMES) != 0) {
        machine_notify(m, NOTIFY_GENERIC, "expire", key);
    }
}

void cmd_set(struct machine *m,
             const struct bytes *argv,
             int argc,
             struct buf *reply)
{
    struct set_options o;
    struct store *s;
    const struct item *old;
    bool go;

    if (!set_parse(argv, argc, 3,
                   SET_CONDITION | SET_GET | SET_KEEPTTL | SET_TIMES, "set", &o,
                   reply) ||
        !args_need_key(argv[1], reply) || m == NULL) {
        return;
    }
    s = machine_store(m);
    old = store_get(s, argv[1]);
    go = set_condition(&o, old) || mutant(SET_CONDITION);
    if ((o.flags & SET_GET) != 0) {
        reply_item(reply, old);
    } else if (go) {
        resp_ok(reply);
    } else {
        resp_null(reply);
    }
    if (go) {
        put_with(m, argv[1], argv[2], &o, old);
    }
}

void cmd_getv(struct machine *m,
              const struct bytes *argv,
              int argc,
              struct buf *reply)
{
    const struct item *it;

    (void)argc;
    if (!args_need_key(argv[1], reply) || m == NULL) {
        return;
    }
    it = notify_get(m, argv[1]);
    if (it == NULL) {
        resp_null(reply);
        return;
    }
    resp_array(reply, 3);
    resp_bulk(reply, item_value(it));
    resp_int(reply, (int64_t)it->create_rev);
    resp_int(reply, (int64_t)it->mod_rev);
}

void cmd_setnx(struct machine *m,
               const struct bytes *argv,
               int argc,
               struct buf *reply)
{
    bool absent;

    (void)argc;
    if (!args_need_key(argv[1], reply) || m == NULL) {
        return;
    }
    absent = store_get(machine_store(m), argv[1]) == NULL;
    if (absent) {
        notify_put(m, argv[1], argv[2], 0, NOTIFY_STRING, "set");
    }
    resp_int(reply, absent);
}

void cmd_getset(struct machine *m,
                const struct bytes *argv,
                int argc,
                struct buf *reply)
{
    (void)argc;
    if (args_need_key(argv[1], reply) && m != NULL) {
        reply_item(reply, store_get(machine_store(m), argv[1]));
        notify_put(m, argv[1], argv[2], 0, NOTIFY_STRING, "set");
    }
}

void cmd_setex(struct machine *m,
               const struct bytes *argv,
               int argc,
               struct buf *reply)
{
    bool seconds = bytes_ieq(argv[0], "setex");
    int64_t ms;

    (void)argc;
    if (!args_need_time(argv[2], seconds ? UNIT_S : UNIT_MS, true,
                        seconds ? "setex" : "psetex", &ms, reply) ||
        !args_need_key(argv[1], reply) || m == NULL) {
        return;
    }
    notify_put(m, argv[1], argv[3], store_time(machine_store(m)) + (uint64_t)ms,
               NOTIFY_STRING, "set");
    machine_notify(m, NOTIFY_GENERIC, "expire", argv[1]);
    resp_ok(reply);
}

void cmd_getdel(struct machine *m,
                const struct bytes *argv,
                int argc,
                struct buf *reply)
{
    (void)argc;
    if (!args_need_key(argv[1], reply) || m == NULL) {
        return;
    }
    reply_item(reply, store_get(machine_store(m), argv[1]));
    (void)notify_delete(m, argv[1]);
}

void cmd_digest(struct machine *m,
                const struct bytes *argv,
                int argc,
                struct buf *reply)
{
    const struct item *it;
    char text[DIGEST_DIGITS + 1];

    (void)argc;
    if (!args_need_key(argv[1], reply) || m == NULL) {
        return;
    }
    it = notify_get(m, argv[1]);
    if (it == NULL) {
        resp_null(reply);
        return;
    }
    digest_text(digest_of(item_value(it)), text);
    resp_bulk_str(reply, text);
}

/* DELEX key [IFEQ v | IFNE v | IFDEQ d | IFDNE d]. Of an absent key nothing
 * more is looked at: 0. */
void cmd_delex(struct machine *m,
               const struct bytes *argv,
               int argc,
               struct buf *reply)
{
    const struct set_word *w = NULL;
    const struct item *it;
    uint64_t digest;

    if (argc != 2 && argc != 4) {
        command_error_arity(command_by_name(argv[0]), reply);
        return;
    }
    if (!args_need_key(argv[1], reply) || m == NULL) {
        return;
    }
    it = store_get(machine_store(m), argv[1]);
    if (it != NULL && argc == 4) {
        w = set_word_find(argv[2], SET_COMPARES);
        if (w == NULL) {
            resp_error(reply, "ERR Invalid condition");
            return;
        }
        if ((w->flag & SET_DIGESTS) != 0 && !digest_parse(argv[3], &digest)) {
            resp_error(reply, ERR_DIGEST);
            return;
        }
    }
    if (it == NULL || (w != NULL && !compare_holds(w->flag, argv[3], it))) {
        resp_int(reply, 0);
        return;
    }
    resp_int(reply, notify_delete(m, argv[1]));
}

/* An absent key is null even if the time is a bad one: so Redis looks, so that
 * is looked at last. */
void cmd_getex(struct machine *m,
               const struct bytes *argv,
               int argc,
               struct buf *reply)
{
    struct set_options o;
    struct store *s;
    const struct item *it;
    bool had;

    if (!set_words_parse(argv, argc, 2, SET_TIMES | SET_PERSIST, &o, reply) ||
        !args_need_key(argv[1], reply) || m == NULL) {
        return;
    }
    s = machine_store(m);
    it = store_get(s, argv[1]);
    if (it != NULL && !set_time_parse(&o, "getex", reply)) {
        return;
    }
    reply_item(reply, it);
    if (it == NULL || o.flags == 0) {
        return;
    }
    if ((o.flags & SET_TIMES) != 0 &&
        set_deadline(s, &o, it) <= store_time(s)) {
        (void)notify_delete(m, argv[1]);
        return;
    }
    had = item_deadline(it) != 0;
    store_set_deadline(s, argv[1], set_deadline(s, &o, it));
    if ((o.flags & SET_TIMES) != 0 || had) {
        machine_notify(m, NOTIFY_GENERIC,
                       (o.flags & SET_TIMES) != 0 ? "expire" : "persist",
                       argv[1]);
    }
}

void cmd_mget(struct machine *m,
              const struct bytes *argv,
              int argc,
              struct buf *reply)
{
    size_t start = reply->n;

    if (!args_need_keys(argv, argc, 1, 1, reply) || m == NULL) {
        return;
    }
    resp_array(reply, (size_t)argc - 1);
    for (int i = 1; i < argc; i++) {
        reply_item(reply, notify_get(m, argv[i]));
        if (!args_fits(reply, start)) {
            return;
        }
    }
}

/* Keys and values in turn, and all of them. */
static bool need_pairs(const struct bytes *argv,
                       int argc,
                       const char *name,
                       struct buf *reply)
{
    if (argc % 2 == 0) {
        resp_errorf(reply, "ERR wrong number of arguments for '%s' command",
                    name);
        return false;
    }
    return args_need_keys(argv, argc, 1, 2, reply);
}

static void put_pairs(struct machine *m, const struct bytes *argv, int argc)
{
    for (int i = 1; i + 1 < argc; i += 2) {
        notify_put(m, argv[i], argv[i + 1], 0, NOTIFY_STRING, "set");
    }
}

void cmd_mset(struct machine *m,
              const struct bytes *argv,
              int argc,
              struct buf *reply)
{
    if (!need_pairs(argv, argc, "mset", reply) || m == NULL) {
        return;
    }
    put_pairs(m, argv, argc);
    resp_ok(reply);
}

void cmd_msetnx(struct machine *m,
                const struct bytes *argv,
                int argc,
                struct buf *reply)
{
    if (!need_pairs(argv, argc, "msetnx", reply) || m == NULL) {
        return;
    }
    for (int i = 1; i < argc; i += 2) {
        if (store_get(machine_store(m), argv[i]) != NULL) {
            resp_int(reply, 0);
            return;
        }
    }
    put_pairs(m, argv, argc);
    resp_int(reply, 1);
}

int msetex_count(const struct bytes *argv, int argc)
{
    uint64_t n;

    if (argc < 4 || !args_u64(argv[1], &n) || n > ((uint64_t)argc - 2) / 2) {
        return 0;
    }
    return (int)n;
}

/* How many pairs argv[1] announces, and that they are there. */
static bool msetex_pairs(const struct bytes *argv,
                         int argc,
                         int *n,
                         struct buf *reply)
{
    int64_t v;

    if (!args_i64(argv[1], &v) || v < 1 || v > INT32_MAX) {
        return args_fail(reply, "ERR invalid numkeys value");
    }
    *n = msetex_count(argv, argc);
    return *n > 0 || args_fail(reply, "ERR wrong number of key-value pairs");
}

/* MSETEX: all or nothing, with one condition and one time for all. */
void cmd_msetex(struct machine *m,
                const struct bytes *argv,
                int argc,
                struct buf *reply)
{
    struct set_options o;
    struct store *s;
    bool go = true;
    int n = 0;

    if (!msetex_pairs(argv, argc, &n, reply) ||
        !set_parse(argv, argc, 2 + 2 * n,
                   SET_NX | SET_XX | SET_KEEPTTL | SET_TIMES, "msetex", &o,
                   reply) ||
        !args_need_keys(argv, 2 + 2 * n, 2, 2, reply) || m == NULL) {
        return;
    }
    s = machine_store(m);
    for (int i = 0; i < n && go; i++) {
        go = set_condition(&o, store_get(s, argv[2 + 2 * i])) ||
             mutant(MSETEX_SOME);
    }
    for (int i = 0; i < n && go; i++) {
        struct bytes key = argv[2 + 2 * i];

        put_with(m, key, argv[3 + 2 * i], &o, store_get(s, key));
    }
    resp_int(reply, go);
}

static bool need_room(size_t was, size_t more, struct buf *reply)
{
    return (more <= VALUE_MAX && was <= VALUE_MAX - more) ||
           args_fail(reply,
                     "ERR string exceeds maximum allowed size "
                     "(proto-max-bulk-len)");
}

void cmd_append(struct machine *m,
                const struct bytes *argv,
                int argc,
                struct buf *reply)
{
    const struct item *old;
    struct bytes was;
    uint8_t *whole;

    (void)argc;
    if (!args_need_key(argv[1], reply) || m == NULL) {
        return;
    }
    old = store_get(machine_store(m), argv[1]);
    was = old == NULL ? bytes_of("", 0) : item_value(old);
    if (!need_room(was.n, argv[2].n, reply)) {
        return;
    }
    resp_int(reply, (int64_t)(was.n + argv[2].n));
    if (old != NULL && argv[2].n == 0) {
        machine_notify(m, NOTIFY_STRING, "append", argv[1]);
        return;
    }
    whole = hf_malloc(was.n + argv[2].n + 1);
    memcpy(whole, was.p, was.n);
    if (argv[2].n > 0) {
        memcpy(whole + was.n, argv[2].p, argv[2].n);
    }
    notify_put(m, argv[1], bytes_of(whole, was.n + argv[2].n),
               old == NULL ? 0 : item_deadline(old), NOTIFY_STRING, "append");
    free(whole);
}

void cmd_strlen(struct machine *m,
                const struct bytes *argv,
                int argc,
                struct buf *reply)
{
    const struct item *it;

    (void)argc;
    if (!args_need_key(argv[1], reply) || m == NULL) {
        return;
    }
    it = notify_get(m, argv[1]);
    resp_int(reply, it == NULL ? 0 : (int64_t)item_value(it).n);
}

/* GETRANGE and SUBSTR: both ends belong to it; negative ones count from the
 * end. */
void cmd_getrange(struct machine *m,
                  const struct bytes *argv,
                  int argc,
                  struct buf *reply)
{
    const struct item *it;
    struct bytes v;
    int64_t from, to, n;

    (void)argc;
    if (!args_need_i64(argv[2], &from, reply) ||
        !args_need_i64(argv[3], &to, reply) || !args_need_key(argv[1], reply) ||
        m == NULL) {
        return;
    }
    it = notify_get(m, argv[1]);
    v = it == NULL ? bytes_of("", 0) : item_value(it);
    n = (int64_t)v.n;
    if (from < 0 && to < 0 && from > to) {
        n = 0;
    }
    from += from < 0 ? n : 0;
    to += to < 0 ? n : 0;
    from = from < 0 ? 0 : from;
    to = to < 0 ? 0 : to;
    to = to >= n ? n - 1 : to;
    if (n == 0 || from > to) {
        resp_bulk_str(reply, "");
    } else {
        resp_bulk(reply, bytes_of(v.p + from, (size_t)(to - from + 1)));
    }
}

void cmd_setrange(struct machine *m,
                  const struct bytes *argv,
                  int argc,
                  struct buf *reply)
{
    const struct item *old;
    struct bytes was;
    uint8_t *whole;
    int64_t at;
    size_t n;

    (void)argc;
    if (!args_need_i64(argv[2], &at, reply) ||
        (at < 0 && !args_fail(reply, "ERR offset is out of range")) ||
        !args_need_key(argv[1], reply) || m == NULL) {
        return;
    }
    old = store_get(machine_store(m), argv[1]);
    was = old == NULL ? bytes_of("", 0) : item_value(old);
    if (argv[3].n == 0) {
        resp_int(reply, (int64_t)was.n);
        return;
    }
    if (!need_room((size_t)at, argv[3].n, reply)) {
        return;
    }
    n = (size_t)at + argv[3].n > was.n ? (size_t)at + argv[3].n : was.n;
    whole = hf_calloc(1, n);
    memcpy(whole, was.p, was.n);
    memcpy(whole + at, argv[3].p, argv[3].n);
    notify_put(m, argv[1], bytes_of(whole, n),
               old == NULL || mutant(SETRANGE_TTL) ? 0 : item_deadline(old),
               NOTIFY_STRING, "setrange");
    free(whole);
    resp_int(reply, (int64_t)n);
}

/* Add @by to the integer at @key, keeping its deadline. */
static void increment(struct machine *m,
                      struct bytes key,
                      int64_t by,
                      struct buf *reply)
{
    const struct item *old;
    int64_t v = 0;
    char text[24];
    int n;

    if (!args_need_key(key, reply) || m == NULL) {
        return;
    }
    old = store_get(machine_store(m), key);
    if (old != NULL && !args_need_i64(item_value(old), &v, reply)) {
        return;
    }
    if (__builtin_add_overflow(v, by, &v)) {
        resp_error(reply, "ERR increment or decrement would overflow");
        return;
    }
    n = snprintf(text, sizeof text, "%" PRId64, v);
    notify_put(m, key, bytes_of(text, (size_t)n),
               old == NULL ? 0 : item_deadline(old), NOTIFY_STRING, "incrby");
    resp_int(reply, v);
}

void cmd_incr(struct machine *m,
              const struct bytes *argv,
              int argc,
              struct buf *reply)
{
    (void)argc;
    increment(m, argv[1], 1, reply);
}

void cmd_decr(struct machine *m,
              const struct bytes *argv,
              int argc,
              struct buf *reply)
{
    (void)argc;
    increment(m, argv[1], -1, reply);
}

void cmd_incrby(struct machine *m,
                const struct bytes *argv,
                int argc,
                struct buf *reply)
{
    int64_t by;

    (void)argc;
    if (args_need_i64(argv[2], &by, reply)) {
        increment(m, argv[1], by, reply);
    }
}

void cmd_decrby(struct machine *m,
                const struct bytes *argv,
                int argc,
                struct buf *reply)
{
    int64_t by;

    (void)argc;
    if (!args_need_i64(argv[2], &by, reply)) {
        return;
    }
    if (by == INT64_MIN) {
        resp_error(reply, "ERR decrement would overflow");
        return;
    }
    increment(m, argv[1], -by, reply);
}

void cmd_incrbyfloat(struct machine *m,
                     const struct bytes *argv,
                     int argc,
                     struct buf *reply)
{
    const struct item *old;
    struct buf sum = BUF_INIT;

    (void)argc;
    if (!float_is(argv[2])) {
        resp_error(reply, "ERR value is not a valid float");
        return;
    }
    if (!args_need_key(argv[1], reply) || m == NULL) {
        return;
    }
    old = store_get(machine_store(m), argv[1]);
    switch (float_add(old == NULL ? bytes_of("0", 1) : item_value(old), argv[2],
                      &sum)) {
        case 0:
            resp_bulk(reply, buf_bytes(&sum));
            notify_put(m, argv[1], buf_bytes(&sum),
                       old == NULL ? 0 : item_deadline(old), NOTIFY_STRING,
                       "incrbyfloat");
            break;
        case HF_ELIMIT:
            resp_error(reply, "ERR increment would produce NaN or Infinity");
            break;
        default:
            resp_error(reply, "ERR value is not a valid float");
            break;
    }
    buf_release(&sum);
}
