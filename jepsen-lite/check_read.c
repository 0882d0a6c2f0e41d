/* The three files of a run: JSON lines, each line on its own. Unknown members
 * are allowed (others may write more); a member that is used and of another
 * type is not. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "jepsen-lite/check_history.h"
#include "jepsen-lite/check_map.h"

const char *const workload_names[W_COUNT] = {
#define W(id, name) name,
    CHECK_WORKLOADS(W)
#undef W
};

const char *const function_names[F_COUNT] = {
#define F(id, name) name,
    CHECK_FUNCTIONS(F)
#undef F
};

/* ---- memory ---- */

struct arena_block {
    struct arena_block *next;
    size_t used;
    size_t cap;
    max_align_t d[];
};

struct arena {
    struct arena_block *head;
};

struct strings {
    struct pair_map map; /* two hashes: number */
    const char **text;
    size_t n;
    size_t cap;
};

enum { ARENA_BLOCK = 1 << 20 };

static void *arena_alloc(struct arena *a, size_t n)
{
    struct arena_block *b = a->head;

    n = (n + 15) & ~(size_t)15;
    if (b == NULL || b->cap - b->used < n) {
        size_t cap = n > ARENA_BLOCK ? n : ARENA_BLOCK;
        b = hf_malloc(sizeof(*b) + cap);
        b->used = 0;
        b->cap = cap;
        b->next = a->head;
        a->head = b;
    }
    b->used += n;
    return (char *)b->d + b->used - n;
}

void *history_alloc(struct history *h, size_t n)
{
    return arena_alloc(h->arena, n);
}

uint32_t history_intern(struct history *h, const char *s)
{
    struct strings *t = h->strings;
    uint64_t a = 1469598103934665603ULL;
    uint64_t b = 0x9E3779B97F4A7C15ULL;
    bool added;
    uint32_t *v;
    size_t n = strlen(s);

    for (size_t i = 0; i < n; i++) {
        a = (a ^ (uint8_t)s[i]) * 1099511628211ULL;
        b = mix64(b + (uint8_t)s[i]);
    }
    v = pair_map_put(&t->map, a, b, (uint32_t)t->n, &added);
    if (added) {
        char *copy = history_alloc(h, n + 1);
        memcpy(copy, s, n + 1);
        if (t->n == t->cap) {
            t->cap = t->cap * 2 + 64;
            t->text = hf_realloc(t->text, t->cap * sizeof(*t->text));
        }
        t->text[t->n++] = copy;
    }
    return *v;
}

const char *history_str(const struct history *h, uint32_t s)
{
    hf_assert(s < h->strings->n);
    return h->strings->text[s];
}

struct history *history_new(void)
{
    struct history *h = hf_calloc(1, sizeof(*h));

    h->strings = hf_calloc(1, sizeof(*h->strings));
    h->arena = hf_calloc(1, sizeof(*h->arena));
    h->begin = OP_NEVER;
    /* Number 0 is "no string". */
    hf_assert(history_intern(h, "") == 0);
    return h;
}

void history_free(struct history *h)
{
    if (h == NULL) {
        return;
    }
    while (h->arena->head != NULL) {
        struct arena_block *b = h->arena->head;
        h->arena->head = b->next;
        free(b);
    }
    pair_map_free(&h->strings->map);
    free(h->strings->text);
    free(h->strings);
    free(h->arena);
    free(h->ops);
    free(h->faults);
    free(h);
}

/* ---- members of a line ---- */

/* Where the reader is, for messages. */
struct place {
    const char *file;
    size_t line;
    struct errmsg *e;
};

static int bad(const struct place *at, const char *what)
{
    return errmsg_set(at->e, HF_EINVAL, "%s, line %zu: %s", at->file, at->line,
                      what);
}

static int bad_member(const struct place *at,
                      const char *name,
                      const char *wanted)
{
    return errmsg_set(at->e, HF_EINVAL, "%s, line %zu: \"%s\" is not %s",
                      at->file, at->line, name, wanted);
}

/* A whole number of at least @least; absent or null leaves *out alone. */
static int get_int(const struct place *at,
                   const json_t *o,
                   const char *name,
                   int64_t least,
                   int64_t *out)
{
    json_t *v = json_object_get(o, name);

    if (v == NULL || json_is_null(v)) {
        return 0;
    }
    if (!json_is_integer(v) || json_integer_value(v) < least) {
        return bad_member(at, name, "a number it can be");
    }
    *out = json_integer_value(v);
    return 0;
}

static int need_int(const struct place *at,
                    const json_t *o,
                    const char *name,
                    int64_t least,
                    int64_t *out)
{
    if (json_object_get(o, name) == NULL) {
        return bad_member(at, name, "there");
    }
    return get_int(at, o, name, least, out);
}

static int get_str(struct history *h,
                   const struct place *at,
                   const json_t *o,
                   const char *name,
                   uint32_t *out)
{
    json_t *v = json_object_get(o, name);

    if (v == NULL || json_is_null(v)) {
        return 0;
    }
    if (json_is_integer(v)) {
        char text[32];
        snprintf(text, sizeof(text), "%lld", (long long)json_integer_value(v));
        *out = history_intern(h, text);
        return 0;
    }
    if (!json_is_string(v)) {
        return bad_member(at, name, "a string");
    }
    *out = history_intern(h, json_string_value(v));
    return 0;
}

static int get_bool(const struct place *at,
                    const json_t *o,
                    const char *name,
                    bool *out)
{
    json_t *v = json_object_get(o, name);

    if (v == NULL || json_is_null(v)) {
        return 0;
    }
    if (!json_is_boolean(v)) {
        return bad_member(at, name, "true or false");
    }
    *out = json_is_true(v);
    return 0;
}

/* Which of @names is it? */
static int need_word(const struct place *at,
                     const json_t *o,
                     const char *name,
                     const char *const *names,
                     int count,
                     int *out)
{
    const char *s = json_string_value(json_object_get(o, name));

    for (int i = 0; s != NULL && i < count; i++) {
        if (strcmp(s, names[i]) == 0) {
            *out = i;
            return 0;
        }
    }
    return bad_member(at, name, "a word of the contract");
}

static bool all_ints(const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (!json_is_integer(json_array_get(list, i))) {
            return false;
        }
    }
    return true;
}

enum { VAL_DEPTH_MAX = 4 };

static int to_val(struct history *h,
                  const struct place *at,
                  const json_t *j,
                  int depth,
                  struct val *out)
{
    size_t n = json_array_size(j);
    struct val v = {V_NULL, 0, {0}};

    if (j == NULL || json_is_null(j)) {
        /* as it is */
    } else if (json_is_integer(j)) {
        v.type = V_INT;
        v.u.i = json_integer_value(j);
    } else if (json_is_string(j)) {
        v.type = V_STR;
        v.u.s = history_intern(h, json_string_value(j));
    } else if (!json_is_array(j) || depth >= VAL_DEPTH_MAX) {
        return bad(at, "\"v\" is neither number, string, null nor list");
    } else if (all_ints(j)) {
        int64_t *ints = history_alloc(h, n * sizeof(*ints));
        for (size_t i = 0; i < n; i++) {
            ints[i] = json_integer_value(json_array_get(j, i));
        }
        v = (struct val){V_INTS, (uint32_t)n, {.ints = ints}};
    } else {
        struct val *list = history_alloc(h, n * sizeof(*list));
        for (size_t i = 0; i < n; i++) {
            int rv = to_val(h, at, json_array_get(j, i), depth + 1, &list[i]);
            if (rv != 0) {
                return rv;
            }
        }
        v = (struct val){V_LIST, (uint32_t)n, {.list = list}};
    }
    *out = v;
    return 0;
}

/* ---- lines of a file ---- */

typedef int (*line_fn)(struct history *h,
                       const struct place *at,
                       const json_t *line,
                       void *data);

static int one_line(struct history *h,
                    const struct place *at,
                    const char *text,
                    size_t len,
                    line_fn fn,
                    void *data)
{
    json_error_t je;
    json_t *j;
    int rv;

    if (len == 0 || text[len - 1] != '\n') {
        return bad(at, "the line has no end");
    }
    j = json_loadb(text, len - 1, JSON_REJECT_DUPLICATES, &je);
    if (j == NULL) {
        return errmsg_set(at->e, HF_EINVAL, "%s, line %zu, column %d: %s",
                          at->file, at->line, je.column, je.text);
    }
    if (!json_is_object(j)) {
        rv = bad(at, "not an object");
    } else {
        rv = fn(h, at, j, data);
    }
    json_decref(j);
    return rv;
}

static int each_line(struct history *h,
                     const char *file,
                     line_fn fn,
                     void *data,
                     struct errmsg *e)
{
    struct place at = {file, 0, e};
    char *text = NULL;
    size_t cap = 0;
    ssize_t len;
    FILE *f = fopen(file, "r");
    int rv = 0;

    if (f == NULL) {
        return errmsg_set(e, errno == ENOENT ? HF_ENOENT : HF_EIO,
                          "open %s: %s", file, strerror(errno));
    }
    while (rv == 0 && (len = getline(&text, &cap, f)) > 0) {
        at.line++;
        rv = len > HISTORY_LINE_MAX
                 ? bad(&at, "the line is too long")
                 : one_line(h, &at, text, (size_t)len, fn, data);
    }
    if (rv == 0 && ferror(f)) {
        rv = errmsg_set(e, HF_EIO, "read %s: %s", file, strerror(errno));
    }
    free(text);
    fclose(f);
    return rv;
}

/* ---- history.jsonl ---- */

/* What a value may be. */
enum shape {
    S_NULL = 1,
    S_INT = 2,
    S_STR = 4,
    S_INTS = 8,
    S_PAIR = 16,   /* two strings; the first may be null */
    S_TXN = 32,    /* ["append", key, number], ["r", key, list or null] */
    S_GUARD = 64,  /* number and string */
    S_THREE = 128, /* three numbers */
    S_LIST = 256,  /* any */
    S_ANY = 512,
    S_STRS = 1024, /* an even number of strings */
};

static const struct {
    enum workload w;
    enum function f;
    int in;
    int out;
} shapes[] = {
    {W_REGISTER, F_READ, S_ANY, S_STR | S_NULL},
    {W_REGISTER, F_WRITE, S_STR, S_ANY},
    {W_REGISTER, F_CAS, S_PAIR, S_ANY},
    {W_APPEND, F_TXN, S_TXN, S_TXN},
    {W_SET, F_ADD, S_INT, S_ANY},
    {W_SET, F_READ, S_ANY, S_INTS},
    {W_COUNTER, F_ADD, S_INT, S_INT},
    {W_COUNTER, F_READ, S_ANY, S_INT | S_NULL},
    {W_BANK, F_INIT, S_INTS, S_ANY},
    {W_BANK, F_TRANSFER, S_THREE, S_ANY},
    {W_BANK, F_READ, S_ANY, S_INTS | S_LIST},
    {W_IDS, F_GEN, S_ANY, S_INT},
    {W_LOCK, F_ACQUIRE, S_ANY, S_INT},
    {W_LOCK, F_RELEASE, S_INT, S_ANY},
    {W_LOCK, F_GUARD, S_GUARD, S_ANY},
    {W_STALE, F_WRITE, S_INT, S_ANY},
    {W_STALE, F_READ, S_ANY, S_INT | S_NULL},
    {W_TTL, F_SET, S_STR, S_ANY},
    {W_TTL, F_READ, S_ANY, S_STR | S_NULL},
    {W_FEED, F_WRITE, S_STRS, S_ANY},
    {W_FEED, F_POLL, S_STR, S_INTS | S_LIST},
    {W_FEED, F_READ, S_ANY, S_STR | S_NULL},
    {W_TRACKING, F_WRITE, S_INT, S_ANY},
    {W_TRACKING, F_READ, S_ANY, S_INT | S_NULL},
    {W_TRACKING, F_TOLD, S_ANY, S_INTS},
    {W_WATCH, F_SET, S_STR, S_ANY},
    {W_WATCH, F_WATCH, S_ANY, S_STR | S_NULL},
    {W_WATCH, F_EXEC, S_PAIR, S_ANY},
    {W_STATE, F_STATE, S_ANY, S_STR},
};

static bool is_micro(const struct history *h, const struct val *v)
{
    const struct val *m = v->u.list;

    if (v->type != V_LIST || v->n != 3 || m[0].type != V_STR ||
        m[1].type != V_STR) {
        return false;
    }
    if (strcmp(history_str(h, m[0].u.s), "append") == 0) {
        return m[2].type == V_INT;
    }
    return strcmp(history_str(h, m[0].u.s), "r") == 0 &&
           (m[2].type == V_NULL || m[2].type == V_INTS);
}

static bool is_txn(const struct history *h, const struct val *v)
{
    if (v->type != V_LIST) {
        return false;
    }
    for (uint32_t i = 0; i < v->n; i++) {
        if (!is_micro(h, &v->u.list[i])) {
            return false;
        }
    }
    return true;
}

static bool is_strings(const struct val *v)
{
    bool all = v->type == V_LIST && v->n % 2 == 0;

    for (uint32_t i = 0; all && i < v->n; i++) {
        all = v->u.list[i].type == V_STR;
    }
    return all;
}

static bool has_shape(const struct history *h, const struct val *v, int shape)
{
    const struct val *l = v->u.list;
    bool two = v->type == V_LIST && v->n == 2;

    return (shape & S_ANY) != 0 ||
           ((shape & S_NULL) != 0 && v->type == V_NULL) ||
           ((shape & S_INT) != 0 && v->type == V_INT) ||
           ((shape & S_STR) != 0 && v->type == V_STR) ||
           ((shape & S_INTS) != 0 && v->type == V_INTS) ||
           ((shape & S_LIST) != 0 && v->type == V_LIST) ||
           ((shape & S_THREE) != 0 && v->type == V_INTS && v->n == 3) ||
           ((shape & S_PAIR) != 0 && two && l[0].type <= V_STR &&
            l[0].type != V_INT && l[1].type == V_STR) ||
           ((shape & S_GUARD) != 0 && two && l[0].type == V_INT &&
            l[1].type == V_STR) ||
           ((shape & S_STRS) != 0 && is_strings(v)) ||
           ((shape & S_TXN) != 0 && is_txn(h, v));
}

/* Is the value what the contract says for this workload and function? */
static int check_shape(const struct history *h,
                       const struct place *at,
                       const struct op *o,
                       bool out)
{
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        if ((uint8_t)shapes[i].w == o->w && (uint8_t)shapes[i].f == o->f) {
            return has_shape(h, out ? &o->out : &o->in,
                             out ? shapes[i].out : shapes[i].in)
                       ? 0
                       : bad_member(at, "v", "what the contract says");
        }
    }
    return bad_member(at, "f", "a function of this workload");
}

enum { PROCESS_RETIRED = UINT32_MAX, PROCESS_IDLE = UINT32_MAX - 1 };

struct reading {
    struct pair_map open; /* process: its operation */
    size_t cap;
};

static void saw_time(struct history *h, int64_t t)
{
    h->begin = t < h->begin ? t : h->begin;
    h->end = t > h->end ? t : h->end;
}

/* What both lines of an operation may tell. */
static int op_members(struct history *h,
                      const struct place *at,
                      const json_t *j,
                      struct op *o)
{
    int64_t node = o->node;
    int rv = get_int(at, j, "node", 0, &node);

    if (rv == 0 && node >= HISTORY_NODES_MAX) {
        return bad_member(at, "node", "a node");
    }
    o->node = (uint8_t)node;
    if (rv == 0) {
        rv = get_int(at, j, "rev", 0, &o->rev);
    }
    if (rv == 0) {
        rv = get_int(at, j, "px", 1, &o->px);
    }
    if (rv == 0) {
        rv = get_int(at, j, "maxage", 0, &o->maxage);
    }
    if (rv == 0) {
        rv = get_int(at, j, "session", 0, &o->session);
    }
    if (rv == 0) {
        rv = get_int(at, j, "index", 0, &o->index);
    }
    if (rv == 0) {
        rv = get_str(h, at, j, "err", &o->err);
    }
    if (rv == 0) {
        rv = get_str(h, at, j, "id", &o->id);
    }
    if (rv == 0) {
        rv = get_bool(at, j, "cached", &o->cached);
    }
    return rv == 0 ? get_bool(at, j, "final", &o->final) : rv;
}

static int op_invoke(struct history *h,
                     const struct place *at,
                     const json_t *j,
                     struct reading *r,
                     struct op *o)
{
    bool added;
    uint32_t *open =
        pair_map_put(&r->open, (uint64_t)o->p, 0, PROCESS_IDLE, &added);
    int rv;

    if (*open == PROCESS_RETIRED) {
        return bad(at, "the process goes on after an unknown outcome");
    }
    if (*open != PROCESS_IDLE) {
        return bad(at, "the process has an operation already");
    }
    if (h->n_ops >= HISTORY_OPS_MAX) {
        return bad(at, "too many operations");
    }
    rv = to_val(h, at, json_object_get(j, "v"), 0, &o->in);
    if (rv == 0) {
        rv = check_shape(h, at, o, false);
    }
    if (rv != 0) {
        return rv;
    }
    if (h->n_ops == r->cap) {
        r->cap = r->cap * 2 + 1024;
        h->ops = hf_realloc(h->ops, r->cap * sizeof(*h->ops));
    }
    o->line = (uint32_t)at->line;
    *open = (uint32_t)h->n_ops;
    h->ops[h->n_ops++] = *o;
    return 0;
}

static int op_finish(struct history *h,
                     const struct place *at,
                     const json_t *j,
                     struct reading *r,
                     const struct op *line,
                     enum op_end end)
{
    uint32_t *open = pair_map_get(&r->open, (uint64_t)line->p, 0);
    struct op *o;
    int rv;

    if (open == NULL || *open >= PROCESS_IDLE) {
        return bad(at, "an end without an invoke");
    }
    o = &h->ops[*open];
    if (o->w != line->w || o->f != line->f || o->key != line->key) {
        return bad(at, "the end of another operation than was invoked");
    }
    if (line->t0 < o->t0) {
        return bad(at, "the end is before the invoke");
    }
    rv = op_members(h, at, j, o);
    if (rv == 0 && end == OP_OK) {
        rv = to_val(h, at, json_object_get(j, "v"), 0, &o->out);
        if (rv == 0) {
            rv = check_shape(h, at, o, true);
        }
    }
    if (rv != 0) {
        return rv;
    }
    o->end = (uint8_t)end;
    o->ended = line->t0;
    o->t1 = end == OP_INFO ? OP_NEVER : line->t0;
    *open = end == OP_INFO ? PROCESS_RETIRED : PROCESS_IDLE;
    return 0;
}

static int history_line(struct history *h,
                        const struct place *at,
                        const json_t *j,
                        void *data)
{
    static const char *const types[] = {"ok", "fail", "info", "invoke",
                                        "load_summary"};
    struct op o = {.t1 = OP_NEVER,
                   .ended = OP_NEVER,
                   .end = OP_INFO,
                   .session = -1,
                   .index = -1};
    int type = 0;
    int w = 0;
    int f = 0;
    int rv = need_int(at, j, "t", 0, &o.t0);

    if (rv == 0) {
        rv = need_word(at, j, "type", types, 5, &type);
    }
    if (rv == 0 && type == 4) {
        h->load_summary = true;
        return get_bool(at, j, "settled", &h->settled);
    }
    if (rv == 0) {
        rv = need_int(at, j, "p", 0, &o.p);
    }
    if (rv == 0) {
        rv = need_word(at, j, "w", workload_names, W_COUNT, &w);
    }
    if (rv == 0) {
        rv = need_word(at, j, "f", function_names, F_COUNT, &f);
    }
    if (rv == 0) {
        rv = get_str(h, at, j, "key", &o.key);
    }
    if (rv != 0) {
        return rv;
    }
    o.w = (uint8_t)w;
    o.f = (uint8_t)f;
    saw_time(h, o.t0);
    if (type != 3) {
        return op_finish(h, at, j, data, &o, (enum op_end)type);
    }
    rv = op_members(h, at, j, &o);
    return rv == 0 ? op_invoke(h, at, j, data, &o) : rv;
}

static int op_by_time(const void *x, const void *y)
{
    const struct op *a = x;
    const struct op *b = y;

    if (a->t0 != b->t0) {
        return a->t0 < b->t0 ? -1 : 1;
    }
    return a->line < b->line ? -1 : a->line > b->line;
}

int history_load_ops(struct history *h, const char *file, struct errmsg *e)
{
    struct reading r = {{NULL, 0, 0}, 0};
    int rv;

    hf_assert(h->ops == NULL);
    rv = each_line(h, file, history_line, &r, e);
    pair_map_free(&r.open);
    if (rv == 0 && h->n_ops > 0) {
        qsort(h->ops, h->n_ops, sizeof(*h->ops), op_by_time);
    }
    return rv;
}

/* ---- run.json ---- */

static int run_line(struct history *h,
                    const struct place *at,
                    const json_t *j,
                    void *data)
{
    json_t *list = json_object_get(j, "workloads");
    const char *commit = json_string_value(json_object_get(j, "commit"));
    int64_t version = 0;
    int rv = need_int(at, j, "version", 1, &version);

    (void)data;
    if (at->line > 1) {
        return bad(at, "a second line");
    }
    if (rv == 0 && version != 1) {
        return bad_member(at, "version", "1");
    }
    if (rv == 0) {
        rv = need_int(at, j, "nodes", 1, &h->nodes);
    }
    if (rv == 0) {
        rv = get_int(at, j, "seed", INT64_MIN, &h->seed);
    }
    if (rv == 0) {
        rv = get_int(at, j, "seconds", 0, &h->seconds);
    }
    if (rv != 0) {
        return rv;
    }
    snprintf(h->commit, sizeof(h->commit), "%s", commit == NULL ? "" : commit);
    if (!json_is_array(list)) {
        return bad_member(at, "workloads", "a list");
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *s = json_string_value(json_array_get(list, i));
        int w = 0;
        if (s != NULL && strcmp(s, "all") == 0) {
            memset(h->asked, true, sizeof(h->asked));
            continue;
        }
        while (w < W_COUNT &&
               (s == NULL || strcmp(s, workload_names[w]) != 0)) {
            w++;
        }
        if (w == W_COUNT) {
            return bad_member(at, "workloads", "a list of known workloads");
        }
        h->asked[w] = true;
    }
    return 0;
}

int history_load_run(struct history *h, const char *file, struct errmsg *e)
{
    int rv = each_line(h, file, run_line, NULL, e);

    if (rv == 0 && h->nodes == 0) {
        return errmsg_set(e, HF_EINVAL, "%s: is empty", file);
    }
    return rv;
}

/* ---- nemesis.jsonl ---- */

static int nodes_of(const struct place *at, const json_t *j, uint64_t *out)
{
    json_t *list = json_object_get(j, "nodes");

    if (list == NULL || json_is_null(list)) {
        return 0;
    }
    if (!json_is_array(list)) {
        return bad_member(at, "nodes", "a list");
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *n = json_array_get(list, i);
        if (!json_is_integer(n) || json_integer_value(n) < 0 ||
            json_integer_value(n) >= HISTORY_NODES_MAX) {
            return bad_member(at, "nodes", "a list of nodes");
        }
        *out |= 1ULL << json_integer_value(n);
    }
    return 0;
}

static struct fault *fault_add(struct history *h, size_t *cap)
{
    if (h->n_faults == *cap) {
        *cap = *cap * 2 + 64;
        h->faults = hf_realloc(h->faults, *cap * sizeof(*h->faults));
    }
    return &h->faults[h->n_faults++];
}

static int fault_start(struct history *h,
                       const struct place *at,
                       const json_t *j,
                       int64_t t,
                       size_t *cap)
{
    struct fault f = {.from = t, .to = OP_NEVER, .n = -1};
    int rv = get_int(at, j, "n", 0, &f.n);

    if (rv == 0) {
        rv = get_str(h, at, j, "family", &f.family);
    }
    if (rv == 0) {
        rv = get_str(h, at, j, "f", &f.f);
    }
    if (rv == 0) {
        rv = get_str(h, at, j, "text", &f.text);
    }
    if (rv == 0) {
        rv = nodes_of(at, j, &f.nodes);
    }
    if (rv == 0) {
        *fault_add(h, cap) = f;
    }
    return rv;
}

static int fault_stop(struct history *h,
                      const struct place *at,
                      const json_t *j,
                      int64_t t)
{
    int64_t n = -1;
    int rv = need_int(at, j, "n", 0, &n);

    if (rv != 0) {
        return rv;
    }
    for (size_t i = h->n_faults; i-- > 0;) {
        struct fault *f = &h->faults[i];
        if (!f->leader && f->n == n) {
            f->to = t;
            return get_bool(at, j, "bit", &f->bit);
        }
    }
    return bad(at, "a stop without a start");
}

/* A node ended by itself: for the reader of the report like a fault. */
static int died_line(struct history *h,
                     const struct place *at,
                     const json_t *j,
                     int64_t t,
                     size_t *cap)
{
    struct fault f = {.from = t, .to = t, .n = -1};
    int64_t node = 0;
    int rv = get_int(at, j, "node", 0, &node);

    if (rv == 0) {
        rv = get_str(h, at, j, "text", &f.text);
    }
    if (rv == 0 && node < HISTORY_NODES_MAX) {
        f.family = history_intern(h, "died");
        f.nodes = 1ULL << node;
        h->died++;
        *fault_add(h, cap) = f;
    }
    return rv;
}

static int nemesis_line(struct history *h,
                        const struct place *at,
                        const json_t *j,
                        void *data)
{
    static const char *const types[] = {"start", "stop",    "leader",
                                        "quiet", "summary", "died"};
    int64_t t = 0;
    int64_t died = 0;
    int type = 0;
    int rv = need_int(at, j, "t", 0, &t);

    if (rv == 0) {
        rv = need_word(at, j, "type", types, 6, &type);
    }
    if (rv != 0) {
        return rv;
    }
    saw_time(h, t);
    switch (type) {
        case 0:
            return fault_start(h, at, j, t, data);
        case 1:
            return fault_stop(h, at, j, t);
        case 2: {
            struct fault f = {.from = t, .to = t, .n = -1, .leader = true};
            rv = need_int(at, j, "node", 0, &f.node);
            if (rv == 0) {
                rv = get_int(at, j, "term", 0, &f.term);
            }
            *fault_add(h, data) = f;
            return rv;
        }
        case 3:
            return 0;
        default:
            break;
    }
    if (type == 5) {
        return died_line(h, at, j, t, data);
    }
    h->summary = true;
    rv = get_bool(at, j, "void", &h->nemesis_void);
    if (rv == 0) {
        rv = get_int(at, j, "leader_changes", 0, &h->leader_changes);
    }
    if (rv == 0) {
        rv = get_int(at, j, "died", 0, &died);
        h->died = died > h->died ? died : h->died;
    }
    if (rv == 0) {
        h->whole = true;
        rv = get_bool(at, j, "whole", &h->whole);
    }
    return rv == 0 ? get_int(at, j, "sigkills", 0, &h->sigkills) : rv;
}

int history_load_nemesis(struct history *h, const char *file, struct errmsg *e)
{
    size_t cap = 0;

    return each_line(h, file, nemesis_line, &cap, e);
}

int history_load(struct history *h, const char *folder, struct errmsg *e)
{
    char file[4096];
    int rv;

    snprintf(file, sizeof(file), "%s/run.json", folder);
    rv = history_load_run(h, file, e);
    if (rv != 0) {
        return rv;
    }
    snprintf(file, sizeof(file), "%s/history.jsonl", folder);
    rv = history_load_ops(h, file, e);
    if (rv != 0) {
        return rv;
    }
    snprintf(file, sizeof(file), "%s/nemesis.jsonl", folder);
    rv = history_load_nemesis(h, file, e);
    return rv == HF_ENOENT ? 0 : rv;
}
