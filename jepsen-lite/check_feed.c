/* Change feeds: one order of all changes, which every consumer sees without a
 * hole, a double or an exchange, from whatever nodes it reads.
 *
 * A session is one consumer: its polls go on from one to the next. What all
 * of them saw makes one list of changes by id; each session must have seen
 * all of the list that lies between its first and its last position. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "jepsen-lite/check_int.h"
#include "jepsen-lite/check_map.h"

enum {
    NOBODY = UINT32_MAX,
    /* So many requests are kept for certain, by the default bounds and with
     * the values that the workloads write. */
    KEPT_MIN = 20000,
    WAIT_SLACK_MS = 10 /* by which a wait may seem shorter than it was */
};

struct id {
    uint64_t rev;
    uint64_t seq;
};

/* One change, as one consumer saw it. */
struct seen {
    struct id id;
    uint32_t key; /* 0: not of this workload */
    uint32_t value;
    uint32_t op; /* the poll */
};

/* One value written; a request may write two. */
struct written {
    uint32_t op;
    uint32_t key;
    uint32_t value;
    uint32_t change; /* in changes; NOBODY: nobody saw it */
};

struct session {
    struct id start;
    struct id at;
    struct seen *seen;
    size_t n;
    size_t cap;
    uint32_t first; /* poll */
    bool whole;     /* of all keys */
};

struct feed {
    struct check *c;
    struct written *writes; /* by begin */
    size_t n_writes;
    struct pair_map by_value; /* value: number in writes */
    struct session *sessions;
    size_t n_sessions;
    struct pair_map by_session;
    struct seen *changes; /* of this workload, as first seen; later by id */
    size_t n_changes;
    size_t cap;
    struct pair_map by_id; /* id: number in changes, before they are sorted */
    uint32_t last_empty;   /* poll of a whole history that found no more */
    uint64_t top;          /* revision */
    size_t polls;
};

static int id_cmp(struct id a, struct id b)
{
    if (a.rev != b.rev) {
        return a.rev < b.rev ? -1 : 1;
    }
    return a.seq < b.seq ? -1 : a.seq > b.seq;
}

static bool id_parse(const char *s, struct id *out)
{
    int n = 0;

    return sscanf(s, "%" SCNu64 "-%" SCNu64 "%n", &out->rev, &out->seq, &n) ==
               2 &&
           s[n] == '\0';
}

/* ---- writes ---- */

static void one_write(struct feed *f, uint32_t i, uint32_t key, uint32_t value)
{
    bool added;

    pair_map_put(&f->by_value, value, 0, (uint32_t)f->n_writes, &added);
    if (!added) {
        undecided(f->c, W_FEED, "value %s is written twice",
                  history_str(f->c->h, value));
        return;
    }
    f->writes[f->n_writes++] = (struct written){i, key, value, NOBODY};
}

static void feed_writes(struct feed *f)
{
    size_t n = 0;

    for (uint32_t i = 0; i < f->c->h->n_ops; i++) {
        const struct op *o = op_of(f->c, i);
        n += o->w == W_FEED && o->f == F_WRITE ? o->in.n / 2 : 0;
    }
    f->writes = hf_calloc(n + 1, sizeof(*f->writes));
    for (uint32_t i = 0; i < f->c->h->n_ops; i++) {
        const struct op *o = op_of(f->c, i);
        if (o->w != W_FEED || o->f != F_WRITE) {
            continue;
        }
        for (uint32_t k = 0; k + 1 < o->in.n; k += 2) {
            one_write(f, i, o->in.u.list[k].u.s, o->in.u.list[k + 1].u.s);
        }
    }
}

/* ---- polls ---- */

static struct session *session_of(struct feed *f, uint32_t i, struct id from)
{
    const struct op *o = op_of(f->c, i);
    bool added;
    uint32_t *at = pair_map_put(&f->by_session, (uint64_t)o->session, 0,
                                (uint32_t)f->n_sessions, &added);

    if (added) {
        f->sessions =
            hf_realloc(f->sessions, (f->n_sessions + 1) * sizeof(*f->sessions));
        f->sessions[f->n_sessions++] = (struct session){
            .start = from,
            .at = from,
            .first = i,
            .whole = strcmp(key_of(f->c, o), "__changes__") == 0};
    }
    return &f->sessions[*at];
}

static void session_add(struct session *s, const struct seen *e)
{
    if (s->n == s->cap) {
        s->cap = s->cap * 2 + 64;
        s->seen = hf_realloc(s->seen, s->cap * sizeof(*s->seen));
    }
    s->seen[s->n++] = *e;
}

static const struct seen *session_has(const struct session *s, struct id id)
{
    size_t low = 0;
    size_t high = s->n;

    while (low < high) {
        size_t mid = (low + high) / 2;
        if (id_cmp(s->seen[mid].id, id) < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low < s->n && id_cmp(s->seen[low].id, id) == 0 ? &s->seen[low]
                                                          : NULL;
}

/* The change of an entry is the one that all others saw under its id. */
static void agree(struct feed *f, const struct seen *e)
{
    bool added;
    uint32_t *at = pair_map_put(&f->by_id, e->id.rev, e->id.seq,
                                (uint32_t)f->n_changes, &added);

    if (!added) {
        const struct seen *other = &f->changes[*at];
        if (other->key != e->key || other->value != e->value) {
            found2(f->c, W_FEED, "consumers differ", other->op, e->op,
                   "Change %" PRIu64 "-%" PRIu64
                   " is %s = %s to one and %s = %s to another.",
                   e->id.rev, e->id.seq, history_str(f->c->h, other->key),
                   history_str(f->c->h, other->value),
                   history_str(f->c->h, e->key),
                   history_str(f->c->h, e->value));
        }
        return;
    }
    if (f->n_changes == f->cap) {
        f->cap = f->cap * 2 + 1024;
        f->changes = hf_realloc(f->changes, f->cap * sizeof(*f->changes));
    }
    f->changes[f->n_changes++] = *e;
}

/* Somebody wrote it, at that revision, and it is nowhere else. */
static void explain(struct feed *f, const struct seen *e)
{
    const uint32_t *at = pair_map_get(&f->by_value, e->value, 0);
    const char *value = history_str(f->c->h, e->value);
    struct written *w = at == NULL ? NULL : &f->writes[*at];
    const struct op *o;

    if (w == NULL || w->key != e->key) {
        found1(f->c, W_FEED, "phantom", e->op,
               "Change %" PRIu64 "-%" PRIu64 " sets %s to \"%s\": nobody did.",
               e->id.rev, e->id.seq, history_str(f->c->h, e->key), value);
        return;
    }
    o = op_of(f->c, w->op);
    if (o->end == OP_FAIL) {
        found2(f->c, W_FEED, "lie", w->op, e->op,
               "The write of %s was answered \"certainly not applied\", but "
               "the feed tells of it.",
               value);
    } else if (o->t0 > op_of(f->c, e->op)->t1) {
        found2(f->c, W_FEED, "read of the future", w->op, e->op,
               "The feed told of %s before its write began.", value);
    } else if (o->end == OP_OK && o->rev > 0 && (uint64_t)o->rev != e->id.rev) {
        found2(f->c, W_FEED, "another revision", w->op, e->op,
               "The write of %s was told revision %" PRId64
               "; the feed says %" PRIu64 ".",
               value, o->rev, e->id.rev);
    }
    if (w->change == NOBODY) {
        w->change = *pair_map_get(&f->by_id, e->id.rev, e->id.seq);
    } else if (id_cmp(f->changes[w->change].id, e->id) != 0) {
        found(f->c, W_FEED, "double apply",
              (const uint32_t[]){w->op, f->changes[w->change].op, e->op}, 3,
              "The write of %s is change %" PRIu64 "-%" PRIu64
              " and also %" PRIu64 "-%" PRIu64 ".",
              value, f->changes[w->change].id.rev, f->changes[w->change].id.seq,
              e->id.rev, e->id.seq);
    }
}

static void one_entry(struct feed *f, struct session *s, const struct seen *e)
{
    struct id at = s->at;
    const struct seen *before;

    if (id_cmp(e->id, at) <= 0) {
        before = session_has(s, e->id);
        found2(f->c, W_FEED, before != NULL ? "seen twice" : "out of order",
               before != NULL ? before->op : s->first, e->op,
               "A consumer got change %" PRIu64 "-%" PRIu64 " behind %" PRIu64
               "-%" PRIu64 ".",
               e->id.rev, e->id.seq, at.rev, at.seq);
        return;
    }
    if (s->whole && !(e->id.rev == at.rev && e->id.seq == at.seq + 1) &&
        !(e->id.rev == at.rev + 1 && e->id.seq == 0)) {
        found1(f->c, W_FEED, "hole", e->op,
               "The feed of all keys went from %" PRIu64 "-%" PRIu64
               " to %" PRIu64 "-%" PRIu64 ".",
               at.rev, at.seq, e->id.rev, e->id.seq);
    }
    s->at = e->id;
    f->top = e->id.rev > f->top ? e->id.rev : f->top;
    session_add(s, e);
    if (e->key != 0) {
        agree(f, e);
        explain(f, e);
    }
}

/* [rev, seq] or [rev, seq, "key", "value"]. */
static bool entry_of(const struct val *v, uint32_t op, struct seen *e)
{
    *e = (struct seen){.op = op};
    if (v->type == V_INTS && v->n == 2) {
        e->id = (struct id){(uint64_t)v->u.ints[0], (uint64_t)v->u.ints[1]};
        return true;
    }
    if (v->type != V_LIST || v->n != 4 || v->u.list[0].type != V_INT ||
        v->u.list[1].type != V_INT || v->u.list[2].type != V_STR ||
        v->u.list[3].type != V_STR) {
        return false;
    }
    e->id = (struct id){(uint64_t)v->u.list[0].u.i, (uint64_t)v->u.list[1].u.i};
    e->key = v->u.list[2].u.s;
    e->value = v->u.list[3].u.s;
    return true;
}

static void one_poll(struct feed *f, uint32_t i)
{
    const struct op *o = op_of(f->c, i);
    struct session *s;
    struct seen e;
    struct id from;

    if (o->session < 0 || !id_parse(history_str(f->c->h, o->in.u.s), &from)) {
        undecided(f->c, W_FEED, "line %u: no session or no id", o->line);
        return;
    }
    s = session_of(f, i, from);
    if (id_cmp(s->at, from) != 0) {
        undecided(f->c, W_FEED, "line %u: not where the session was", o->line);
    }
    if (o->end == OP_FAIL &&
        strncmp(history_str(f->c->h, o->err), "TRIMMED", 7) == 0 &&
        f->top < from.rev + KEPT_MIN) {
        found1(f->c, W_FEED, "trimmed", i,
               "What follows %" PRIu64 "-%" PRIu64
               " was no longer kept, at revision %" PRIu64 " or so.",
               from.rev, from.seq, f->top);
    }
    if (o->end != OP_OK) {
        return;
    }
    f->polls++;
    for (uint32_t k = 0; k < o->out.n; k++) {
        if (o->out.type != V_LIST || !entry_of(&o->out.u.list[k], i, &e)) {
            undecided(f->c, W_FEED, "line %u: no list of changes", o->line);
            return;
        }
        one_entry(f, s, &e);
    }
    if (o->out.n == 0 && s->start.rev == 0) {
        f->last_empty = i;
    }
}

/* ---- all together ---- */

static int by_id(const void *x, const void *y)
{
    const struct seen *a = x;
    const struct seen *b = y;

    return id_cmp(a->id, b->id);
}

/* By id, and the writes know their place. */
static void sort_changes(struct feed *f)
{
    qsort(f->changes, f->n_changes, sizeof(*f->changes), by_id);
    for (size_t k = 0; k < f->n_changes; k++) {
        const uint32_t *at = pair_map_get(&f->by_value, f->changes[k].value, 0);
        if (at != NULL && f->writes[*at].key == f->changes[k].key) {
            f->writes[*at].change = (uint32_t)k;
        }
    }
}

/* Nothing that anybody saw is missing between start and end of a session. */
static void complete(struct feed *f, const struct session *s)
{
    size_t k = 0;

    for (size_t i = 0; i < f->n_changes; i++) {
        const struct seen *e = &f->changes[i];
        if (id_cmp(e->id, s->start) <= 0 || id_cmp(e->id, s->at) > 0) {
            continue;
        }
        while (k < s->n && id_cmp(s->seen[k].id, e->id) < 0) {
            k++;
        }
        if (id_cmp(s->seen[k].id, e->id) != 0) {
            found2(f->c, W_FEED, "missing", e->op, s->seen[k].op,
                   "Change %" PRIu64 "-%" PRIu64
                   " (%s) was seen by one consumer; another one went past it.",
                   e->id.rev, e->id.seq, history_str(f->c->h, e->value));
            return;
        }
    }
}

/* What was acknowledged before somebody saw the end of the feed is in it. */
static void nothing_lost(struct feed *f)
{
    if (f->last_empty == NOBODY) {
        undecided(f->c, W_FEED, "no consumer came to the end of the feed");
        return;
    }
    for (size_t k = 0; k < f->n_writes; k++) {
        const struct written *w = &f->writes[k];
        const struct op *o = op_of(f->c, w->op);
        if (w->change == NOBODY && o->end == OP_OK &&
            o->t1 < op_of(f->c, f->last_empty)->t0) {
            found2(f->c, W_FEED, "lost write", w->op, f->last_empty,
                   "The write of %s was acknowledged, and the feed ended "
                   "without it.",
                   history_str(f->c->h, w->value));
        }
    }
}

/* Two changes of one request stand side by side. */
static void not_torn(struct feed *f)
{
    for (size_t k = 1; k < f->n_writes; k++) {
        const struct written *a = &f->writes[k - 1];
        const struct written *b = &f->writes[k];
        const struct seen *x;
        const struct seen *y;
        if (a->op != b->op || (a->change == NOBODY && b->change == NOBODY)) {
            continue;
        }
        x = a->change == NOBODY ? NULL : &f->changes[a->change];
        y = b->change == NOBODY ? NULL : &f->changes[b->change];
        if (x == NULL && f->last_empty != NOBODY &&
            op_of(f->c, f->last_empty)->t0 > op_of(f->c, y->op)->t1) {
            found2(f->c, W_FEED, "torn request", a->op, y->op,
                   "Of one request only the change to %s is there.",
                   history_str(f->c->h, b->value));
        } else if (y == NULL && f->last_empty != NOBODY &&
                   op_of(f->c, f->last_empty)->t0 > op_of(f->c, x->op)->t1) {
            found2(f->c, W_FEED, "torn request", a->op, x->op,
                   "Of one request only the change to %s is there.",
                   history_str(f->c->h, a->value));
        } else if (x != NULL && y != NULL &&
                   (x->id.rev != y->id.rev || x->id.seq + 1 != y->id.seq)) {
            found(f->c, W_FEED, "torn request",
                  (const uint32_t[]){a->op, x->op, y->op}, 3,
                  "One request made %" PRIu64 "-%" PRIu64 " and %" PRIu64
                  "-%" PRIu64 ".",
                  x->id.rev, x->id.seq, y->id.rev, y->id.seq);
        }
    }
}

/* ---- real time ---- */

/* Something known to be in the feed from a moment on. */
struct known {
    int64_t from;
    struct id id;
    uint32_t op;
};

static int by_from(const void *x, const void *y)
{
    const struct known *a = x;
    const struct known *b = y;

    return a->from < b->from ? -1 : a->from > b->from;
}

/* Writes from their end on, and what a poll told from its end on. */
static size_t knowledge(const struct feed *f, struct known **out)
{
    struct known *k = hf_calloc(f->n_writes + f->n_changes + 1, sizeof(*k));
    size_t n = 0;

    for (size_t i = 0; i < f->n_writes; i++) {
        const struct written *w = &f->writes[i];
        if (w->change != NOBODY && op_of(f->c, w->op)->end == OP_OK) {
            k[n++] = (struct known){op_of(f->c, w->op)->t1,
                                    f->changes[w->change].id, w->op};
        }
    }
    for (size_t i = 0; i < f->n_changes; i++) {
        k[n++] = (struct known){op_of(f->c, f->changes[i].op)->t1,
                                f->changes[i].id, f->changes[i].op};
    }
    qsort(k, n, sizeof(*k), by_from);
    *out = k;
    return n;
}

/* @top was in the feed before operation @i began. */
static void against(struct feed *f, uint32_t i, const struct known *top)
{
    const struct op *o = op_of(f->c, i);
    struct id from;

    if (o->f == F_POLL) {
        if (o->end == OP_OK && o->out.n == 0 &&
            id_parse(history_str(f->c->h, o->in.u.s), &from) &&
            id_cmp(top->id, from) > 0) {
            found2(f->c, W_FEED, "stale read", top->op, i,
                   "The feed behind %" PRIu64 "-%" PRIu64
                   " was empty although %" PRIu64 "-%" PRIu64
                   " was there before.",
                   from.rev, from.seq, top->id.rev, top->id.seq);
        }
        return;
    }
    for (uint32_t k = 0; o->f == F_WRITE && k + 1 < o->in.n; k += 2) {
        const uint32_t *at =
            pair_map_get(&f->by_value, o->in.u.list[k + 1].u.s, 0);
        const struct written *w = at == NULL ? NULL : &f->writes[*at];
        if (w == NULL || w->op != i || w->change == NOBODY ||
            id_cmp(f->changes[w->change].id, top->id) >= 0) {
            continue;
        }
        found(f->c, W_FEED, "against time",
              (const uint32_t[]){top->op, i, f->changes[w->change].op}, 3,
              "Change %" PRIu64 "-%" PRIu64
              " was there before the write of "
              "%s began, which is %" PRIu64 "-%" PRIu64 ".",
              top->id.rev, top->id.seq, history_str(f->c->h, w->value),
              f->changes[w->change].id.rev, f->changes[w->change].id.seq);
    }
}

/* Nothing that is known before this moment may be missing in what @o was
 * answered. A node that waited asks once more before it says that nothing
 * came. */
static int64_t as_of(const struct op *o)
{
    return o->px > 0 ? o->t0 + (o->px - WAIT_SLACK_MS) * 1000000 : o->t0;
}

static void real_time(struct feed *f)
{
    struct known *k;
    size_t n = knowledge(f, &k);
    uint32_t *top = hf_calloc(n + 1, sizeof(*top)); /* of those up to here */

    for (size_t i = 0; i < n; i++) {
        top[i] = (uint32_t)i;
        if (i > 0 && id_cmp(k[top[i - 1]].id, k[i].id) > 0) {
            top[i] = top[i - 1];
        }
    }
    for (uint32_t i = 0; i < f->c->h->n_ops; i++) {
        const struct op *o = op_of(f->c, i);
        size_t low = 0;
        size_t high = n;
        if (o->w != W_FEED) {
            continue;
        }
        while (low < high) {
            size_t mid = (low + high) / 2;
            if (k[mid].from < as_of(o)) {
                low = mid + 1;
            } else {
                high = mid;
            }
        }
        if (low > 0) {
            against(f, i, &k[top[low - 1]]);
        }
    }
    free(top);
    free(k);
}

/* ---- the keys themselves ---- */

/* A final read found what the feed says of its revision. */
static void one_read(struct feed *f, uint32_t i)
{
    const struct op *o = op_of(f->c, i);
    const struct seen *last = NULL;

    for (size_t k = f->n_changes; k > 0 && last == NULL; k--) {
        const struct seen *e = &f->changes[k - 1];
        /* What was seen only later may have come only later. */
        if (e->key == o->key &&
            (e->id.rev <= (uint64_t)o->rev || op_of(f->c, e->op)->t1 < o->t0)) {
            last = e;
        }
    }
    if (last == NULL && o->out.type == V_NULL) {
        return;
    }
    if (last != NULL && o->out.type == V_NULL) {
        found2(f->c, W_FEED, "keys differ", last->op, i,
               "Key %s is not there; the feed set it to %s.", key_of(f->c, o),
               history_str(f->c->h, last->value));
    } else if (last == NULL || last->id.rev != (uint64_t)o->rev ||
               last->value != o->out.u.s) {
        found2(f->c, W_FEED, "keys differ", last == NULL ? i : last->op, i,
               "Key %s is %s of revision %" PRId64
               "; the last that the feed says is %s of %" PRIu64 ".",
               key_of(f->c, o), history_str(f->c->h, o->out.u.s), o->rev,
               last == NULL ? "nothing" : history_str(f->c->h, last->value),
               last == NULL ? 0 : last->id.rev);
    }
}

static void feed_free(struct feed *f)
{
    for (size_t i = 0; i < f->n_sessions; i++) {
        free(f->sessions[i].seen);
    }
    free(f->sessions);
    free(f->writes);
    free(f->changes);
    pair_map_free(&f->by_value);
    pair_map_free(&f->by_session);
    pair_map_free(&f->by_id);
}

void check_feed(struct check *c)
{
    struct feed f = {.c = c, .last_empty = NOBODY};

    feed_writes(&f);
    for (uint32_t i = 0; i < c->h->n_ops; i++) {
        if (op_of(c, i)->w == W_FEED && op_of(c, i)->f == F_POLL) {
            one_poll(&f, i);
        }
    }
    sort_changes(&f);
    for (size_t i = 0; i < f.n_sessions; i++) {
        complete(&f, &f.sessions[i]);
    }
    nothing_lost(&f);
    not_torn(&f);
    real_time(&f);
    for (uint32_t i = 0; i < c->h->n_ops; i++) {
        const struct op *o = op_of(c, i);
        if (o->w == W_FEED && o->f == F_READ && o->end == OP_OK && o->final) {
            one_read(&f, i);
        }
    }
    looked_at(c, W_FEED, "%zu consumers, %zu polls, %zu changes", f.n_sessions,
              f.polls, f.n_changes);
    feed_free(&f);
}
