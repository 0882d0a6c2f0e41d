#include "server/command/walk.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/mutant.h"
#include "resp/resp.h"
#include "server/command/args.h"
#include "server/command/command.h"
#include "server/store/machine.h"

enum {
    PATTERN_SHIFT = 10, /* steps of the pattern that make a unit */
    COPY_SHIFT = 12,    /* bytes of reply that make a unit */
    SLOT_SHIFT = 6,     /* bytes of a key that was hashed */
};

struct walk {
    struct map_iter it;
    const struct item *at; /* next to look at; NULL: at the end */
    uint64_t time_ms;
    struct bytes pattern; /* KEYS */
    bool all;
    bool slow;  /* the pattern took too long on a key */
    bool range; /* RANGE start <= key < end */
    struct bytes start;
    struct bytes end; /* empty: no bound */
    uint64_t limit;
    bool rev;
    bool slots; /* CLUSTER COUNTKEYSINSLOT, GETKEYSINSLOT: keys of @slot */
    bool count; /* ... only how many */
    int64_t slot;
    struct buf found;
    uint64_t n; /* elements of the reply */
};

/* RANGE start end [LIMIT n] [REV] */
static bool range_parse(struct walk *w,
                        const struct bytes *argv,
                        int argc,
                        struct buf *reply)
{
    w->range = true;
    w->start = argv[1];
    w->end = argv[2];
    for (int i = 3; i < argc; i++) {
        int64_t n;

        if (bytes_ieq(argv[i], "REV")) {
            w->rev = true;
        } else if (bytes_ieq(argv[i], "LIMIT") && i + 1 < argc) {
            if (!args_need_i64(argv[++i], &n, reply)) {
                return false;
            }
            if (n < 0) {
                return args_fail(reply, ERR_SYNTAX);
            }
            w->limit = (uint64_t)n;
        } else {
            return args_fail(reply, ERR_SYNTAX);
        }
    }
    return true; /* bounds are no keys: any length */
}

/* CLUSTER COUNTKEYSINSLOT slot, GETKEYSINSLOT slot count */
static bool slot_parse(struct walk *w,
                       const struct bytes *argv,
                       int argc,
                       struct buf *reply)
{
    int64_t n = 0;

    w->slots = true;
    w->count = argc == 3;
    if (!args_need_i64(argv[2], &w->slot, reply) ||
        (!w->count && !args_need_i64(argv[3], &n, reply))) {
        return false;
    }
    if (w->slot < 0 || w->slot > 16383 || n < 0) {
        return args_fail(reply, w->count
                                    ? "ERR Invalid slot"
                                    : "ERR Invalid slot or number of keys");
    }
    if (!w->count) {
        w->limit = (uint64_t)n;
    }
    return true;
}

/* What @argv asks for, at no place yet. False: the error was appended. */
static bool walk_parse(struct walk *w,
                       const struct bytes *argv,
                       int argc,
                       struct buf *reply)
{
    memset(w, 0, sizeof *w);
    w->limit = UINT64_MAX;
    if (bytes_ieq(argv[0], "range")) {
        return range_parse(w, argv, argc, reply);
    }
    if (bytes_ieq(argv[0], "cluster")) {
        return slot_parse(w, argv, argc, reply);
    }
    w->pattern = argv[1];
    w->all = bytes_eq(argv[1], bytes_str("*"));
    return true;
}

static void walk_seek(struct walk *w,
                      const struct map_node *tree,
                      uint64_t time_ms)
{
    w->time_ms = time_ms;
    if (!w->range) {
        w->at = map_iter_first(&w->it, tree);
    } else if (!w->rev) {
        w->at = map_iter_ge(&w->it, tree, w->start);
    } else if (w->end.n == 0) {
        w->at = map_iter_last(&w->it, tree);
    } else {
        w->at = map_iter_le(&w->it, tree, w->end);
        if (w->at != NULL && bytes_eq(item_key(w->at), w->end)) {
            w->at = map_iter_prev(&w->it);
        }
    }
}

static bool walk_over(const struct walk *w)
{
    if (w->at == NULL || w->n >= w->limit || w->found.n > REPLY_MAX ||
        w->slow) {
        return true;
    }
    if (!w->range) {
        return false;
    }
    return w->rev ? bytes_cmp(item_key(w->at), w->start) < 0
                  : w->end.n > 0 && bytes_cmp(item_key(w->at), w->end) >= 0;
}

/* Look at one; the units that it took. */
static uint64_t walk_look(struct walk *w)
{
    struct bytes key = item_key(w->at);
    uint64_t deadline = item_deadline(w->at);
    size_t before = w->found.n;
    uint64_t units = 1;

    if (deadline != 0 && deadline <= w->time_ms) {
        return units;
    }
    if (w->range) {
        resp_bulk(&w->found, key);
        resp_bulk(&w->found, item_value(w->at));
        w->n++;
    } else if (w->slots) {
        units += key.n >> SLOT_SHIFT;
        if (command_key_slot(key) == w->slot) {
            if (!w->count) {
                resp_bulk(&w->found, key);
            }
            w->n++;
        }
    } else {
        uint64_t left = GLOB_STEPS_MAX;

        if (w->all || command_glob_within(w->pattern, key, &left)) {
            resp_bulk(&w->found, key);
            w->n++;
        }
        w->slow = left == 0;
        units += (GLOB_STEPS_MAX - left) >> PATTERN_SHIFT;
    }
    return units + ((w->found.n - before) >> COPY_SHIFT);
}

bool walk_step(struct walk *w, uint64_t units)
{
    uint64_t used = 0;

    while (!walk_over(w)) {
        if (used >= units && !mutant(WALK_AT_ONCE)) {
            return false;
        }
        used += walk_look(w);
        w->at = w->rev ? map_iter_prev(&w->it) : map_iter_next(&w->it);
    }
    return true;
}

void walk_reply(struct walk *w, struct buf *reply)
{
    size_t start = reply->n;

    if (w->count) {
        resp_int(reply, (int64_t)w->n);
        return;
    }
    if (w->slow) {
        buf_release(&w->found);
        resp_error(reply, ERR_PATTERN);
        return;
    }
    resp_array(reply, (size_t)(w->range ? 2 * w->n : w->n));
    buf_bytes_append(reply, buf_bytes(&w->found));
    buf_release(&w->found);
    (void)args_fits(reply, start);
}

/* ---- off the loop ---- */

bool walk_is(struct bytes command)
{
    const struct command *c =
        command.n >= COMMAND_HEADER ? command_by_id(get_u16(command.p)) : NULL;

    return c != NULL && (c->handler == cmd_keys || c->handler == cmd_range ||
                         c->handler == cmd_slot_keys);
}

struct walk *walk_new(struct bytes command,
                      const struct map_node *tree,
                      uint64_t time_ms)
{
    struct walk *w = hf_malloc(sizeof *w);
    struct command_words words;
    struct buf error = BUF_INIT;
    bool ok = command_decode(command, &words) == 0;

    if (!ok) {
        free(w);
        return NULL;
    }
    /* What is kept points into @command, not into the words. */
    ok = command_fits(words.command, words.argc) &&
         walk_parse(w, words.argv, words.argc, &error);
    command_words_release(&words);
    buf_release(&error);
    if (!ok) {
        free(w);
        return NULL;
    }
    walk_seek(w, tree, time_ms);
    return w;
}

void walk_free(struct walk *w)
{
    if (w != NULL) {
        buf_release(&w->found);
        free(w);
    }
}

/* ---- as commands: one step ---- */

static void walk_run(struct machine *m,
                     const struct bytes *argv,
                     int argc,
                     struct buf *reply)
{
    struct store *s;
    struct walk w;

    if (!walk_parse(&w, argv, argc, reply) || m == NULL) {
        return;
    }
    s = machine_store(m);
    walk_seek(&w, map_live_node(store_map(s)), store_time(s));
    if (walk_step(&w, WALK_SHORT)) {
        walk_reply(&w, reply);
    } else {
        buf_release(&w.found);
        resp_error(reply,
                   "ERR too many keys to walk in a transaction; use "
                   "RANGE with LIMIT");
    }
}

void cmd_keys(struct machine *m,
              const struct bytes *argv,
              int argc,
              struct buf *reply)
{
    walk_run(m, argv, argc, reply);
}

void cmd_range(struct machine *m,
               const struct bytes *argv,
               int argc,
               struct buf *reply)
{
    walk_run(m, argv, argc, reply);
}

void cmd_slot_keys(struct machine *m,
                   const struct bytes *argv,
                   int argc,
                   struct buf *reply)
{
    walk_run(m, argv, argc, reply);
}
