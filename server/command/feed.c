#include "server/command/feed.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/mutant.h"
#include "resp/resp.h"
#include "server/command/args.h"
#include "server/command/command.h"
#include "server/store/machine.h"

#define FEED_NAME "__changes__"
#define ERR_ID "ERR Invalid stream ID specified as stream command argument"

enum { COPY_SHIFT = 6, ID_TEXT = 40 };

enum feed_kind { FEED_READ, FEED_RANGE, FEED_LEN, FEED_INFO };

/* A stream that is asked for, and what was found in it. */
struct feed_stream {
    struct bytes name;
    struct bytes prefix;
    struct history_id at; /* looked at up to here, itself included */
    bool now;             /* "$": not resolved yet */
    bool oldest;          /* "-": not resolved yet */
    bool over;
    uint64_t n;
    struct buf found;
};

struct feed {
    enum feed_kind kind;
    bool block;
    bool reverse;
    bool trimmed;
    bool started;
    uint64_t block_ms;
    uint64_t count;        /* changes of a stream, at most */
    struct history_id end; /* RANGE: before this one; moves when reverse */
    struct history_id floor;
    struct history_id last;
    uint64_t added;
    size_t chunks;
    struct buf first_entry; /* INFO */
    unsigned streams_n;
    struct feed_stream *streams;
};

static const struct history_id id_max = {UINT64_MAX, UINT32_MAX};

/* ---- words ---- */

static bool stream_name(struct feed_stream *s,
                        struct bytes name,
                        struct buf *reply)
{
    size_t n = strlen(FEED_NAME);

    s->name = name;
    if (name.n >= n && memcmp(name.p, FEED_NAME, n) == 0 &&
        (name.n == n || name.p[n] == ':')) {
        n += name.n > n;
        s->prefix = bytes_of(name.p + n, name.n - n);
        return true;
    }
    return args_fail(reply, "ERR no such stream: there are " FEED_NAME
                            " and " FEED_NAME ":<prefix>");
}

/* "<revision>-<seq>", or "<revision>" with @seq. */
static bool parse_id(struct bytes s,
                     uint32_t seq,
                     struct history_id *out,
                     struct buf *reply)
{
    const uint8_t *dash = s.n > 0 ? memchr(s.p, '-', s.n) : NULL;
    size_t n = dash == NULL ? s.n : (size_t)(dash - s.p);
    uint64_t rev;
    uint64_t v = seq;

    if (!args_u64(bytes_of(s.p, n), &rev) ||
        (dash != NULL && !args_u64(bytes_of(dash + 1, s.n - n - 1), &v))) {
        return args_fail(reply, ERR_ID);
    }
    out->rev = rev;
    out->seq = v > UINT32_MAX ? UINT32_MAX : (uint32_t)v;
    return true;
}

/* The neighbours in the order of all ids. */
static struct history_id id_before(struct history_id id)
{
    if (id.seq > 0) {
        return (struct history_id){id.rev, id.seq - 1};
    }
    return id.rev > 0 ? (struct history_id){id.rev - 1, UINT32_MAX} : id;
}

static struct history_id id_behind(struct history_id id)
{
    if (id.seq < UINT32_MAX) {
        return (struct history_id){id.rev, id.seq + 1};
    }
    return id.rev < UINT64_MAX ? (struct history_id){id.rev + 1, 0} : id;
}

static bool read_streams(struct feed *f,
                         const struct bytes *argv,
                         int argc,
                         struct buf *reply)
{
    unsigned n = (unsigned)argc / 2;

    if (argc % 2 != 0) {
        return args_fail(
            reply,
            "ERR Unbalanced XREAD list of streams: for each stream "
            "key an ID or '$' must be specified.");
    }
    if (n > FEED_STREAMS_MAX) {
        return args_fail(reply, "ERR too many streams");
    }
    f->streams = hf_calloc(n, sizeof *f->streams);
    f->streams_n = n;
    for (unsigned i = 0; i < n; i++) {
        struct feed_stream *s = &f->streams[i];
        struct bytes id = argv[n + i];

        if (!stream_name(s, argv[i], reply)) {
            return false;
        }
        if (bytes_eq(id, bytes_str("$"))) {
            s->now = true;
        } else if (bytes_eq(id, bytes_str(">"))) {
            return args_fail(reply,
                             "ERR The > ID can be specified only when calling "
                             "XREADGROUP using the GROUP <group> <consumer> "
                             "option.");
        } else if (!parse_id(id, 0, &s->at, reply)) {
            return false;
        }
    }
    return true;
}

static bool read_block(struct feed *f, struct bytes s, struct buf *reply)
{
    int64_t v;

    if (!args_i64(s, &v) || v > EXPIRE_SPAN_MAX_MS) {
        return args_fail(reply,
                         "ERR timeout is not an integer or out of range");
    }
    if (v < 0) {
        return args_fail(reply, "ERR timeout is negative");
    }
    f->block = true;
    f->block_ms = (uint64_t)v;
    return true;
}

static bool read_count(struct feed *f, struct bytes s, struct buf *reply)
{
    int64_t v;

    if (!args_need_i64(s, &v, reply)) {
        return false;
    }
    f->count = v < 0 ? 0 : (uint64_t)v;
    return true;
}

/* XREAD [COUNT n] [BLOCK ms] STREAMS name [name ...] id [id ...] */
static bool parse_read(struct feed *f,
                       const struct bytes *argv,
                       int argc,
                       struct buf *reply)
{
    f->kind = FEED_READ;
    for (int i = 1; i < argc; i++) {
        bool more = i + 1 < argc;

        if (more && bytes_ieq(argv[i], "BLOCK")) {
            if (!read_block(f, argv[++i], reply)) {
                return false;
            }
        } else if (more && bytes_ieq(argv[i], "COUNT")) {
            if (!read_count(f, argv[++i], reply)) {
                return false;
            }
        } else if (more && bytes_ieq(argv[i], "STREAMS")) {
            f->count =
                f->count == 0 || f->count == UINT64_MAX ? FEED_COUNT : f->count;
            return read_streams(f, argv + i + 1, argc - i - 1, reply);
        } else if (i + 2 < argc && bytes_ieq(argv[i], "GROUP")) {
            return args_fail(reply,
                             "ERR The GROUP option is only supported by "
                             "XREADGROUP. You called XREAD instead.");
        } else if (bytes_ieq(argv[i], "NOACK")) {
            return args_fail(reply,
                             "ERR The NOACK option is only supported by "
                             "XREADGROUP. You called XREAD instead.");
        } else {
            break;
        }
    }
    return args_fail(reply, ERR_SYNTAX);
}

static bool one_stream(struct feed *f, struct bytes name, struct buf *reply)
{
    f->streams = hf_calloc(1, sizeof *f->streams);
    f->streams_n = 1;
    return stream_name(f->streams, name, reply);
}

/* The bounds of an XRANGE: ids are taken strictly between @at and @end. */
static bool range_bounds(struct feed *f,
                         struct bytes start,
                         struct bytes end,
                         struct buf *reply)
{
    struct feed_stream *s = f->streams;
    bool above = start.n > 1 && start.p[0] == '(';
    bool below = end.n > 1 && end.p[0] == '(';
    struct history_id id;

    if (above || below) {
        start = above ? bytes_of(start.p + 1, start.n - 1) : start;
        end = below ? bytes_of(end.p + 1, end.n - 1) : end;
    }
    if (!above && bytes_eq(start, bytes_str("-"))) {
        s->oldest = true;
        id = (struct history_id){0, 0};
    } else if (!above && bytes_eq(start, bytes_str("+"))) {
        id = id_max;
    } else if (!parse_id(start, 0, &id, reply)) {
        return false;
    }
    if (above && history_cmp(id, id_max) == 0) {
        return args_fail(reply, "ERR invalid start ID for the interval");
    }
    s->at = above ? id : id_before(id);
    if (!below && bytes_eq(end, bytes_str("+"))) {
        id = id_max;
    } else if (!below && bytes_eq(end, bytes_str("-"))) {
        id = (struct history_id){0, 0};
    } else if (!parse_id(end, UINT32_MAX, &id, reply)) {
        return false;
    }
    if (below && id.rev == 0 && id.seq == 0) {
        return args_fail(reply, "ERR invalid end ID for the interval");
    }
    f->end = below ? id : id_behind(id);
    return true;
}

/* XRANGE name start end [COUNT n], XREVRANGE name end start [COUNT n] */
static bool parse_range(struct feed *f,
                        const struct bytes *argv,
                        int argc,
                        struct buf *reply)
{
    struct bytes start = argv[f->reverse ? 3 : 2];
    struct bytes end = argv[f->reverse ? 2 : 3];

    f->kind = FEED_RANGE;
    if (!one_stream(f, argv[1], reply) || !range_bounds(f, start, end, reply)) {
        return false;
    }
    for (int i = 4; i < argc; i++) {
        if (i + 1 == argc || !bytes_ieq(argv[i], "COUNT")) {
            return args_fail(reply, ERR_SYNTAX);
        }
        if (!read_count(f, argv[++i], reply)) {
            return false;
        }
    }
    return true;
}

static bool feed_parse(struct feed *f,
                       const struct bytes *argv,
                       int argc,
                       struct buf *reply)
{
    memset(f, 0, sizeof *f);
    f->count = UINT64_MAX;
    if (bytes_ieq(argv[0], "xread")) {
        return parse_read(f, argv, argc, reply);
    }
    if (bytes_ieq(argv[0], "xrange") || bytes_ieq(argv[0], "xrevrange")) {
        f->reverse = bytes_ieq(argv[0], "xrevrange");
        return parse_range(f, argv, argc, reply);
    }
    f->end = id_max;
    f->kind = bytes_ieq(argv[0], "xlen") ? FEED_LEN : FEED_INFO;
    if (f->kind == FEED_INFO && argc > 3) {
        return args_fail(reply,
                         "ERR there are no consumer groups: XINFO STREAM "
                         "takes a name and nothing more");
    }
    return one_stream(f, argv[f->kind == FEED_LEN ? 1 : 2], reply);
}

static void feed_release(struct feed *f)
{
    for (unsigned i = 0; i < f->streams_n; i++) {
        buf_release(&f->streams[i].found);
    }
    free(f->streams);
    buf_release(&f->first_entry);
}

/* ---- finding ---- */

static bool matches(const struct feed_stream *s, const struct change *c)
{
    if (c->kind == STORE_CLEAR) {
        return s->prefix.n == 0 || !mutant(FEED_NO_CLEAR);
    }
    return c->key.n >= s->prefix.n &&
           (s->prefix.n == 0 ||
            memcmp(c->key.p, s->prefix.p, s->prefix.n) == 0);
}

static void put_id(struct buf *b, struct history_id id)
{
    char text[ID_TEXT];

    snprintf(text, sizeof text, "%" PRIu64 "-%" PRIu32, id.rev, id.seq);
    resp_bulk_str(b, text);
}

static void put_u64_field(struct buf *b, const char *name, uint64_t v)
{
    char text[ID_TEXT];

    snprintf(text, sizeof text, "%" PRIu64, v);
    resp_bulk_str(b, name);
    resp_bulk_str(b, text);
}

static void put_entry(struct buf *b, const struct change *c)
{
    static const char *const kinds[] = {"",       "set",    "deadline",
                                        "delete", "expire", "clear"};
    size_t fields = 2;

    hf_assert(c->kind >= STORE_SET && c->kind <= STORE_CLEAR);
    fields += c->kind != STORE_CLEAR;
    fields += c->kind == STORE_SET;
    fields += c->deadline != 0;
    resp_array(b, 2);
    put_id(b, c->id);
    resp_array(b, 2 * fields);
    resp_bulk_str(b, "type");
    resp_bulk_str(b, kinds[c->kind]);
    if (c->kind != STORE_CLEAR) {
        resp_bulk_str(b, "key");
        resp_bulk(b, c->key);
    }
    if (c->kind == STORE_SET) {
        resp_bulk_str(b, "value");
        resp_bulk(b, c->value);
    }
    if (c->deadline != 0) {
        put_u64_field(b, "deadline", c->deadline);
    }
    put_u64_field(b, "revision", c->id.rev);
}

/* Take @c into what was found; the units that it took. */
static uint64_t take(struct feed *f,
                     struct feed_stream *s,
                     const struct change *c)
{
    size_t before = s->found.n;

    if (!matches(s, c)) {
        return 1;
    }
    s->n++;
    if (f->kind == FEED_LEN) {
        return 1;
    }
    if (f->kind == FEED_INFO) {
        buf_clear(&s->found); /* the last one stays */
        before = 0;
    }
    put_entry(&s->found, c);
    if (f->kind == FEED_INFO && s->n == 1) {
        buf_bytes_append(&f->first_entry, buf_bytes(&s->found));
    }
    return 1 + ((s->found.n - before) >> COPY_SHIFT);
}

static bool full(const struct feed *f, const struct feed_stream *s)
{
    size_t room =
        f->kind == FEED_READ ? FEED_REPLY_MAX / f->streams_n : REPLY_MAX;

    return s->n >= f->count || (f->kind != FEED_INFO && s->found.n > room);
}

/* From @at on towards @end. */
static bool look_forward(struct feed *f,
                         struct feed_stream *s,
                         const struct history *h,
                         uint64_t *units)
{
    struct history_iter it;
    struct change c;
    bool more = history_after(h, &it, s->at, &c);

    while (more && !full(f, s) &&
           (f->kind == FEED_READ || history_cmp(c.id, f->end) < 0)) {
        uint64_t used;

        if (*units == 0) {
            return false;
        }
        used = take(f, s, &c);
        *units -= used < *units ? used : *units;
        s->at = c.id;
        more = history_next(&it, &c);
    }
    return true;
}

/* From @end back towards @at. */
static bool look_back(struct feed *f,
                      struct feed_stream *s,
                      const struct history *h,
                      uint64_t *units)
{
    struct history_iter it;
    struct change c;
    bool more = history_before(h, &it, f->end, &c);

    while (more && !full(f, s) && history_cmp(c.id, s->at) > 0) {
        uint64_t used;

        if (*units == 0) {
            return false;
        }
        used = take(f, s, &c);
        *units -= used < *units ? used : *units;
        f->end = c.id;
        more = history_prev(&it, &c);
    }
    return true;
}

/* The first look at the history: words that mean a place in it. */
static void resolve(struct feed *f, const struct history *h)
{
    for (unsigned i = 0; i < f->streams_n; i++) {
        struct feed_stream *s = &f->streams[i];

        if (s->now && (!f->started || mutant(FEED_DOLLAR_MOVES))) {
            s->at = history_last(h);
        }
        if (!f->started && (s->oldest || f->kind >= FEED_LEN)) {
            s->at = history_floor(h);
        }
    }
    if (!f->started && f->kind == FEED_RANGE &&
        history_cmp(f->end, history_last(h)) > 0) {
        /* What comes while this is worked off is not part of it. */
        f->end = id_behind(history_last(h));
    }
    if (!f->started && f->kind >= FEED_LEN) {
        f->end = id_behind(history_last(h));
        f->added = history_added(h);
        f->chunks = history_chunks(h);
    }
    f->floor = history_floor(h);
    f->last = history_last(h);
    f->started = true;
}

/* Are changes missing that were asked for? Not if they are looked at from
 * the end, and there are enough. */
static bool is_trimmed(const struct feed *f, const struct feed_stream *s)
{
    bool nothing = f->kind == FEED_RANGE && history_cmp(f->end, s->at) <= 0;

    return history_cmp(s->at, f->floor) < 0 && !nothing &&
           !(f->reverse && (s->oldest || s->n >= f->count)) &&
           !mutant(FEED_TRIMMED_SILENT);
}

bool feed_step(struct feed *f, const struct history *h, uint64_t units)
{
    resolve(f, h);
    if (f->count == 0) {
        return true;
    }
    for (unsigned i = 0; i < f->streams_n; i++) {
        struct feed_stream *s = &f->streams[i];

        if (s->over) {
            continue;
        }
        if (!f->reverse && is_trimmed(f, s)) {
            f->trimmed = true;
            return true;
        }
        if (!(f->reverse ? look_back(f, s, h, &units)
                         : look_forward(f, s, h, &units))) {
            return false;
        }
        if (f->reverse && is_trimmed(f, s)) {
            f->trimmed = true;
            return true;
        }
        /* One that has something is not looked at again; the others are, if
         * the request waits. */
        s->over = s->n > 0;
    }
    return true;
}

bool feed_empty(const struct feed *f)
{
    if (f->kind != FEED_READ || f->trimmed) {
        return false;
    }
    for (unsigned i = 0; i < f->streams_n; i++) {
        if (f->streams[i].n > 0) {
            return false;
        }
    }
    return true;
}

bool feed_is_large(const struct feed *f)
{
    return f->kind == FEED_RANGE;
}

uint64_t feed_block_ms(const struct feed *f)
{
    return f->block_ms;
}

/* ---- replies ---- */

static void reply_read(const struct feed *f, struct buf *reply)
{
    size_t n = 0;

    for (unsigned i = 0; i < f->streams_n; i++) {
        n += f->streams[i].n > 0;
    }
    if (n == 0) {
        resp_null_array(reply);
        return;
    }
    resp_pairs(reply, n);
    for (unsigned i = 0; i < f->streams_n; i++) {
        const struct feed_stream *s = &f->streams[i];

        if (s->n > 0) {
            resp_pair(reply);
            resp_bulk(reply, s->name);
            resp_array(reply, (size_t)s->n);
            buf_bytes_append(reply, buf_bytes(&s->found));
        }
    }
}

static void put_or_null(struct buf *reply, const struct buf *entry)
{
    if (entry->n == 0) {
        resp_null(reply);
    } else {
        buf_bytes_append(reply, buf_bytes(entry));
    }
}

static void put_int(struct buf *b, const char *name, uint64_t v)
{
    resp_bulk_str(b, name);
    resp_int(b, (int64_t)v);
}

/* As Redis 7.0 shapes it; what has no meaning here is 0. */
static void reply_info(const struct feed *f, struct buf *reply)
{
    const struct feed_stream *s = f->streams;

    resp_map(reply, 10);
    put_int(reply, "length", s->n);
    put_int(reply, "radix-tree-keys", f->chunks);
    put_int(reply, "radix-tree-nodes", f->chunks + 1);
    resp_bulk_str(reply, "last-generated-id");
    put_id(reply, f->last);
    resp_bulk_str(reply, "max-deleted-entry-id");
    put_id(reply, f->floor);
    put_int(reply, "entries-added", f->added);
    resp_bulk_str(reply, "recorded-first-entry-id");
    if (s->n > 0) {
        /* It is the first thing in the entry: "*2", then the id. */
        struct bytes rest =
            bytes_of(f->first_entry.p + 4, f->first_entry.n - 4);
        const uint8_t *line = memchr(rest.p, '\n', rest.n);
        const uint8_t *end =
            memchr(line + 1, '\n', rest.n - (size_t)(line + 1 - rest.p));

        buf_append(reply, rest.p, (size_t)(end + 1 - rest.p));
    } else {
        resp_bulk_str(reply, "0-0");
    }
    put_int(reply, "groups", 0);
    resp_bulk_str(reply, "first-entry");
    put_or_null(reply, &f->first_entry);
    resp_bulk_str(reply, "last-entry");
    put_or_null(reply, &s->found);
}

void feed_reply(struct feed *f, struct buf *reply)
{
    size_t start = reply->n;

    if (f->trimmed) {
        resp_errorf(reply,
                    "TRIMMED the changes up to %" PRIu64 "-%" PRIu32
                    " are no longer kept: read the keys, then go on from "
                    "%" PRIu64 "-%" PRIu32,
                    f->floor.rev, f->floor.seq, f->last.rev, f->last.seq);
        return;
    }
    switch (f->kind) {
        case FEED_READ:
            reply_read(f, reply);
            break;
        case FEED_RANGE:
            if (f->count == 0) {
                resp_null_array(reply);
                break;
            }
            resp_array(reply, (size_t)f->streams->n);
            buf_bytes_append(reply, buf_bytes(&f->streams->found));
            break;
        case FEED_LEN:
            resp_int(reply, (int64_t)f->streams->n);
            break;
        case FEED_INFO:
            reply_info(f, reply);
            break;
    }
    (void)args_fits(reply, start);
}

/* ---- from command bytes ---- */

bool feed_is(struct bytes command)
{
    const struct command *c =
        command.n >= COMMAND_HEADER ? command_by_id(get_u16(command.p)) : NULL;

    return c != NULL && c->handler == cmd_feed;
}

struct feed *feed_new(struct bytes command)
{
    struct feed *f = hf_calloc(1, sizeof *f);
    struct command_words words;
    struct buf error = BUF_INIT;
    bool ok;

    if (command_decode(command, &words) != 0) {
        free(f);
        return NULL;
    }
    /* What is kept points into @command, not into the words. */
    ok = command_fits(words.command, words.argc) &&
         feed_parse(f, words.argv, words.argc, &error);
    command_words_release(&words);
    buf_release(&error);
    if (!ok) {
        feed_free(f);
        return NULL;
    }
    return f;
}

void feed_free(struct feed *f)
{
    if (f != NULL) {
        feed_release(f);
        free(f);
    }
}

bool feed_is_blocking(struct bytes command)
{
    struct feed *f = feed_is(command) ? feed_new(command) : NULL;
    bool blocks = f != NULL && f->block;

    feed_free(f);
    return blocks;
}

void cmd_feed(struct machine *m,
              const struct bytes *argv,
              int argc,
              struct buf *reply)
{
    struct feed f;

    if (feed_parse(&f, argv, argc, reply) && m != NULL) {
        (void)feed_step(&f, store_history(machine_store(m)), UINT64_MAX);
        feed_reply(&f, reply);
    }
    feed_release(&f);
}

bool feed_keys(const struct bytes *argv,
               int argc,
               bool (*fn)(void *ctx, struct bytes key),
               void *ctx)
{
    struct buf ignored = BUF_INIT;
    struct feed f;
    bool more = true;

    if (feed_parse(&f, argv, argc, &ignored)) {
        for (unsigned i = 0; i < f.streams_n && more; i++) {
            more = fn(ctx, f.streams[i].name);
        }
    }
    feed_release(&f);
    buf_release(&ignored);
    return more;
}
