/* Commands on keys as such: presence, deadlines, walks. */
#include <inttypes.h>
#include <stdio.h>

#include "base/mutant.h"
#include "resp/resp.h"
#include "server/command/args.h"
#include "server/command/notify.h"
#include "server/store/machine.h"

void cmd_del(struct machine *m,
             const struct bytes *argv,
             int argc,
             struct buf *reply)
{
    int64_t gone = 0;

    if (!args_need_keys(argv, argc, 1, 1, reply) || m == NULL) {
        return;
    }
    for (int i = 1; i < argc; i++) {
        gone += notify_delete(m, argv[i]);
    }
    resp_int(reply, gone);
}

void cmd_exists(struct machine *m,
                const struct bytes *argv,
                int argc,
                struct buf *reply)
{
    int64_t there = 0;

    if (!args_need_keys(argv, argc, 1, 1, reply) || m == NULL) {
        return;
    }
    for (int i = 1; i < argc; i++) {
        there += notify_get(m, argv[i]) != NULL;
    }
    resp_int(reply, there);
}

void cmd_type(struct machine *m,
              const struct bytes *argv,
              int argc,
              struct buf *reply)
{
    (void)argc;
    if (args_need_key(argv[1], reply) && m != NULL) {
        resp_simple(reply, notify_get(m, argv[1]) != NULL ? "string" : "none");
    }
}

/* Put what is at @from, with its deadline, at @to. */
static void put_copy(struct store *s, const struct item *from, struct bytes to)
{
    store_put(s, to, item_value(from),
              mutant(RENAME_TTL) ? 0 : item_deadline(from));
}

/* RENAME and RENAMENX. A key renamed to itself stays as it is. */
void cmd_rename(struct machine *m,
                const struct bytes *argv,
                int argc,
                struct buf *reply)
{
    bool nx = bytes_ieq(argv[0], "renamenx");
    const struct item *it;
    struct store *s;

    (void)argc;
    if (!args_need_keys(argv, 3, 1, 1, reply) || m == NULL) {
        return;
    }
    s = machine_store(m);
    it = store_get(s, argv[1]);
    if (it == NULL) {
        resp_error(reply, "ERR no such key");
        return;
    }
    if (nx && store_get(s, argv[2]) != NULL && !mutant(RENAMENX_OVER)) {
        resp_int(reply, 0);
        return;
    }
    if (!bytes_eq(argv[1], argv[2])) {
        put_copy(s, it, argv[2]);
        store_delete(s, argv[1]);
        machine_notify(m, NOTIFY_NEW, "new", argv[2]);
        machine_notify(m, NOTIFY_GENERIC, "rename_from", argv[1]);
        machine_notify(m, NOTIFY_GENERIC, "rename_to", argv[2]);
    }
    if (nx) {
        resp_int(reply, 1);
    } else {
        resp_ok(reply);
    }
}

/* COPY source destination [DB 0] [REPLACE] */
void cmd_copy(struct machine *m,
              const struct bytes *argv,
              int argc,
              struct buf *reply)
{
    const struct item *it;
    bool replace = false;
    struct store *s;
    int32_t db;

    for (int i = 3; i < argc; i++) {
        if (bytes_ieq(argv[i], "REPLACE")) {
            replace = true;
        } else if (bytes_ieq(argv[i], "DB") && i + 1 < argc) {
            if (!args_need_i32(argv[++i], &db, reply)) {
                return;
            }
            if (db != 0) {
                resp_error(reply, "ERR DB index is out of range");
                return;
            }
        } else {
            resp_error(reply, ERR_SYNTAX);
            return;
        }
    }
    if (bytes_eq(argv[1], argv[2])) {
        resp_error(reply, "ERR source and destination objects are the same");
        return;
    }
    if (!args_need_keys(argv, 3, 1, 1, reply) || m == NULL) {
        return;
    }
    s = machine_store(m);
    it = store_get(s, argv[1]);
    if (it == NULL ||
        (!replace && store_get(s, argv[2]) != NULL && !mutant(COPY_REPLACES))) {
        resp_int(reply, 0);
        return;
    }
    put_copy(s, it, argv[2]);
    machine_notify(m, NOTIFY_NEW, "new", argv[2]);
    machine_notify(m, NOTIFY_GENERIC, "copy_to", argv[2]);
    resp_int(reply, 1);
}

/* ---- deadlines ---- */

enum {
    EXPIRE_NX = 1 << 0,
    EXPIRE_XX = 1 << 1,
    EXPIRE_GT = 1 << 2,
    EXPIRE_LT = 1 << 3,
};

static bool expire_options(const struct bytes *argv,
                           int argc,
                           unsigned *flags,
                           struct buf *reply)
{
    static const char *const words[] = {"NX", "XX", "GT", "LT"};

    *flags = 0;
    for (int i = 3; i < argc; i++) {
        unsigned w = 0;

        while (w < 4 && !bytes_ieq(argv[i], words[w])) {
            w++;
        }
        if (w == 4) {
            resp_errorf(reply, "ERR Unsupported option %.*s",
                        (int)(argv[i].n < 128 ? argv[i].n : 128),
                        (const char *)argv[i].p);
            return false;
        }
        *flags |= 1u << w;
    }
    if ((*flags & EXPIRE_NX) != 0 && *flags != EXPIRE_NX) {
        return args_fail(reply,
                         "ERR NX and XX, GT or LT options at the "
                         "same time are not compatible");
    }
    if ((*flags & EXPIRE_GT) != 0 && (*flags & EXPIRE_LT) != 0) {
        return args_fail(reply,
                         "ERR GT and LT options at the same time are "
                         "not compatible");
    }
    return true;
}

/* Unlike SET, these take times in the past: the key is then removed. */
static bool expire_time(const struct bytes *argv,
                        bool relative,
                        int64_t *ms,
                        struct buf *reply)
{
    bool seconds = argv[0].n > 0 && (argv[0].p[0] | 0x20) == 'e';
    int64_t v;

    if (!args_need_i64(argv[2], &v, reply)) {
        return false;
    }
    if (!seconds || (v <= INT64_MAX / 1000 && v >= INT64_MIN / 1000)) {
        v *= seconds ? 1000 : 1;
        if (!relative || v <= EXPIRE_SPAN_MAX_MS) {
            *ms = v;
            return true;
        }
    }
    resp_errorf(reply, "ERR invalid expire time in '%sexpire%s' command",
                seconds ? "" : "p", relative ? "" : "at");
    return false;
}

/* EXPIRE PEXPIRE EXPIREAT PEXPIREAT: told apart by the name. */
void cmd_expire(struct machine *m,
                const struct bytes *argv,
                int argc,
                struct buf *reply)
{
    bool relative = argv[0].n > 1 && (argv[0].p[argv[0].n - 1] | 0x20) == 'e';
    const struct item *it;
    struct store *s;
    unsigned flags;
    int64_t ms, had;

    if (!expire_options(argv, argc, &flags, reply) ||
        !expire_time(argv, relative, &ms, reply) ||
        !args_need_key(argv[1], reply) || m == NULL) {
        return;
    }
    s = machine_store(m);
    ms += relative ? (int64_t)store_time(s) : 0;
    it = store_get(s, argv[1]);
    had = it == NULL ? 0 : (int64_t)item_deadline(it);
    /* No deadline counts as one that never comes. */
    if (it == NULL || ((flags & EXPIRE_NX) != 0 && had != 0) ||
        ((flags & EXPIRE_XX) != 0 && had == 0) ||
        ((flags & EXPIRE_GT) != 0 && (had == 0 || ms <= had)) ||
        ((flags & EXPIRE_LT) != 0 && had != 0 && ms >= had)) {
        resp_int(reply, 0);
        return;
    }
    if (ms <= 0 || (uint64_t)ms <= store_time(s)) {
        (void)notify_delete(m, argv[1]);
    } else {
        store_set_deadline(s, argv[1], (uint64_t)ms);
        machine_notify(m, NOTIFY_GENERIC, "expire", argv[1]);
    }
    resp_int(reply, 1);
}

/* TTL PTTL EXPIRETIME PEXPIRETIME: told apart by the name. */
void cmd_ttl(struct machine *m,
             const struct bytes *argv,
             int argc,
             struct buf *reply)
{
    bool millis = argv[0].n > 0 && (argv[0].p[0] | 0x20) == 'p';
    bool left = argv[0].n < 5;
    const struct item *it;
    uint64_t ms, now;

    (void)argc;
    if (!args_need_key(argv[1], reply) || m == NULL) {
        return;
    }
    it = notify_get(m, argv[1]);
    if (it == NULL || item_deadline(it) == 0) {
        resp_int(reply, it == NULL ? -2 : -1);
        return;
    }
    /* The deadline may pass between the read's round and here. */
    now = left ? machine_clock(m) : 0;
    ms = item_deadline(it) < now ? 0 : item_deadline(it) - now;
    resp_int(reply, (int64_t)(millis ? ms : (ms + 500) / 1000));
}

void cmd_persist(struct machine *m,
                 const struct bytes *argv,
                 int argc,
                 struct buf *reply)
{
    const struct item *it;
    bool had;

    (void)argc;
    if (!args_need_key(argv[1], reply) || m == NULL) {
        return;
    }
    it = store_get(machine_store(m), argv[1]);
    had = it != NULL && item_deadline(it) != 0;
    if (had) {
        store_set_deadline(machine_store(m), argv[1], 0);
        machine_notify(m, NOTIFY_GENERIC, "persist", argv[1]);
    }
    resp_int(reply, had);
}

/* ---- walks ---- */

struct scan {
    struct bytes pattern;
    bool match; /* a pattern was given */
    bool none;  /* TYPE of something that does not exist here */
    uint64_t count;
    uint64_t cursor;
    uint64_t steps;   /* left for the pattern */
    struct buf found; /* bulks */
    size_t n;
};

/* As loose as Redis: sign, leading zeros, even no digit at all. */
static bool scan_cursor(struct bytes s, uint64_t *out)
{
    bool minus = s.n > 0 && s.p[0] == '-';
    uint64_t v = 0;
    size_t i = s.n > 1 && (minus || s.p[0] == '+');

    for (; i < s.n; i++) {
        unsigned digit = (unsigned)s.p[i] - '0';

        if (digit > 9 || v > (UINT64_MAX - digit) / 10) {
            return false;
        }
        v = v * 10 + digit;
    }
    *out = minus ? 0 - v : v;
    return true;
}

static bool scan_parse(const struct bytes *argv,
                       int argc,
                       struct scan *sc,
                       struct buf *reply)
{
    int64_t count;

    memset(sc, 0, sizeof *sc);
    sc->count = 10;
    sc->steps = GLOB_STEPS_MAX;
    if (!scan_cursor(argv[1], &sc->cursor)) {
        return args_fail(reply, "ERR invalid cursor");
    }
    for (int i = 2; i < argc; i += 2) {
        if (i + 1 >= argc) {
            return args_fail(reply, ERR_SYNTAX);
        }
        if (bytes_ieq(argv[i], "COUNT")) {
            if (!args_need_i64(argv[i + 1], &count, reply)) {
                return false;
            }
            if (count < 1) {
                return args_fail(reply, ERR_SYNTAX);
            }
            sc->count =
                count < SCAN_COUNT_MAX ? (uint64_t)count : SCAN_COUNT_MAX;
        } else if (bytes_ieq(argv[i], "MATCH")) {
            sc->pattern = argv[i + 1];
            sc->match = true;
        } else if (bytes_ieq(argv[i], "TYPE")) {
            sc->none = !bytes_ieq(argv[i + 1], "string");
        } else {
            return args_fail(reply, ERR_SYNTAX);
        }
    }
    return true;
}

static void scan_found(void *ctx, const struct item *it)
{
    struct scan *sc = ctx;

    sc->count -= sc->count > 0;
    if (!sc->none &&
        (!sc->match ||
         command_glob_within(sc->pattern, item_key(it), &sc->steps))) {
        resp_bulk(&sc->found, item_key(it));
        sc->n++;
    }
}

void cmd_scan(struct machine *m,
              const struct bytes *argv,
              int argc,
              struct buf *reply)
{
    enum { STEP = 16, STEPS_MAX = SCAN_COUNT_MAX / STEP + 1 };
    struct scan sc;
    char cursor[24];
    size_t start = reply->n;

    if (!scan_parse(argv, argc, &sc, reply) || m == NULL) {
        return;
    }
    /* In small steps, so that long keys cannot make a huge reply, nor a slow
     * pattern hold up the loop. Each step looks at a bounded number of
     * buckets, keys or not. */
    for (int i = 0; i < STEPS_MAX; i++) {
        sc.cursor =
            store_scan(machine_store(m), sc.cursor,
                       sc.count < STEP ? sc.count : STEP, scan_found, &sc);
        if (sc.cursor == 0 || sc.count == 0 || sc.found.n > SCAN_BYTES ||
            sc.steps < GLOB_STEPS_MAX - SCAN_STEPS) {
            break;
        }
    }
    if (sc.steps == 0) {
        buf_release(&sc.found);
        resp_error(reply, ERR_PATTERN);
        return;
    }
    snprintf(cursor, sizeof cursor, "%" PRIu64, sc.cursor);
    resp_array(reply, 2);
    resp_bulk_str(reply, cursor);
    resp_array(reply, sc.n);
    buf_bytes_append(reply, buf_bytes(&sc.found));
    buf_release(&sc.found);
    (void)args_fits(reply, start);
}

void cmd_dbsize(struct machine *m,
                const struct bytes *argv,
                int argc,
                struct buf *reply)
{
    (void)argv;
    (void)argc;
    if (m != NULL) {
        resp_int(reply, (int64_t)store_count(machine_store(m)));
    }
}

void cmd_flushall(struct machine *m,
                  const struct bytes *argv,
                  int argc,
                  struct buf *reply)
{
    if (argc > 2 || (argc == 2 && !bytes_ieq(argv[1], "ASYNC") &&
                     !bytes_ieq(argv[1], "SYNC"))) {
        resp_error(reply, ERR_SYNTAX);
        return;
    }
    if (m != NULL) {
        store_clear(machine_store(m));
        resp_ok(reply);
    }
}
