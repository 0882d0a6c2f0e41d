/* WATCH and EXEC: what was executed found its key as it was watched. Values
 * are unique, so a value that was there twice is a violation by itself. */
#include <stdlib.h>

#include "jepsen-lite/check_int.h"
#include "jepsen-lite/check_map.h"

enum { NOBODY = UINT32_MAX };

#define MS 1000000LL

struct watch {
    struct check *c;
    const struct group *g;
    struct pair_map writes;  /* value: its write */
    struct pair_map *of;     /* number of a WATCH: its operation */
    struct pair_map carried; /* value: the EXEC that replaced it */
    size_t done, refused, over, moved;
};

static uint32_t value_of(const struct op *o)
{
    if (o->f == F_SET) {
        return o->in.u.s;
    }
    return o->in.u.list[1].u.s;
}

static void writes(struct watch *w)
{
    bool added;

    for (size_t k = 0; k < w->g->n; k++) {
        uint32_t i = w->g->ops[k];
        const struct op *o = op_of(w->c, i);
        if (o->f == F_WATCH) {
            if (o->session > 0) {
                pair_map_put(w->of, (uint64_t)o->session, 0, i, &added);
            }
            continue;
        }
        pair_map_put(&w->writes, value_of(o), 0, i, &added);
        if (!added) {
            undecided(w->c, W_WATCH, "line %u: no new value", o->line);
        }
    }
}

/* Is the value of @set surely gone at @t? It was there at @seen. */
static bool is_over(const struct watch *w,
                    const struct op *set,
                    int64_t seen,
                    int64_t t)
{
    int64_t slack = set->px * MS / 1000000 * SLEW_PER_MILLION + MS;
    int64_t from = set->t1 < seen ? set->t1 : seen;

    if (set->px <= 0 || from == OP_NEVER) {
        return false;
    }
    return t > from + set->px * MS + slack && !cold_start(w->c, set->t0, t);
}

/* A write acknowledged that lies between @from and @to; NOBODY. */
static uint32_t write_between(const struct watch *w, int64_t from, int64_t to)
{
    for (size_t k = 0; k < w->g->n; k++) {
        const struct op *o = op_of(w->c, w->g->ops[k]);
        if (o->f != F_WATCH && o->end == OP_OK && o->t0 > from && o->t1 < to) {
            return w->g->ops[k];
        }
    }
    return NOBODY;
}

/* A key that was not there and is not there again counts as unchanged: may
 * what @other wrote be gone at the end of @exec? */
static bool may_be_gone(const struct watch *w, uint32_t other, uint32_t exec)
{
    for (size_t k = 0; k < w->g->n; k++) {
        const struct op *o = op_of(w->c, w->g->ops[k]);
        if (o->f != F_WATCH && o->end != OP_FAIL && o->px > 0 &&
            o->t1 > op_of(w->c, other)->t0 && o->t0 < op_of(w->c, exec)->t1 &&
            w->g->ops[k] != exec) {
            return true;
        }
    }
    return false;
}

/* @i is a WATCH that found a value. */
static void found_value(struct watch *w, uint32_t i)
{
    const struct op *o = op_of(w->c, i);
    const uint32_t *at = pair_map_get(&w->writes, o->out.u.s, 0);
    const char *value = history_str(w->c->h, o->out.u.s);
    const struct op *set;
    uint32_t other;

    if (at == NULL) {
        found1(w->c, W_WATCH, "phantom", i,
               "Key %s held \"%s\", which nobody wrote.", key_of(w->c, o),
               value);
        return;
    }
    set = op_of(w->c, *at);
    if (set->end == OP_FAIL) {
        found2(w->c, W_WATCH, "lie", *at, i,
               "The write of %s was answered \"not applied\", but it was "
               "there.",
               value);
        return;
    }
    if (set->t0 > o->t1) {
        found2(w->c, W_WATCH, "read of the future", *at, i,
               "Key %s held %s before its write began.", key_of(w->c, o),
               value);
        return;
    }
    other = set->end == OP_OK ? write_between(w, set->t1, o->t0) : NOBODY;
    if (other != NOBODY) {
        found(w->c, W_WATCH, "stale read", (const uint32_t[]){*at, other, i}, 3,
              "Key %s held %s, which had been replaced before.",
              key_of(w->c, o), value);
    } else if (is_over(w, set, set->t1, o->t0)) {
        found2(w->c, W_WATCH, "late expiry", *at, i,
               "Key %s was set for %lld ms and still there after that.",
               key_of(w->c, o), (long long)set->px);
    }
}

/* Has a node begun to lead between @from and @to? */
static bool leader_moved(const struct check *c, int64_t from, int64_t to)
{
    for (size_t k = 0; k < c->h->n_faults; k++) {
        const struct fault *f = &c->h->faults[k];
        if (f->leader && f->from > from && f->from < to) {
            return true;
        }
    }
    return false;
}

/* @i was executed. */
static void executed(struct watch *w, uint32_t i, uint32_t watch)
{
    const struct op *o = op_of(w->c, i);
    const struct op *seen = op_of(w->c, watch);
    const struct val *v = &o->in.u.list[0];
    const uint32_t *set =
        v->type == V_STR ? pair_map_get(&w->writes, v->u.s, 0) : NULL;
    uint32_t other = write_between(w, seen->t1, o->t0);
    bool added = true;
    uint32_t *first = NULL;

    if (v->type == V_STR) {
        first = pair_map_put(&w->carried, v->u.s, 0, i, &added);
    }
    if (!added) {
        found(w->c, W_WATCH, "lost update",
              (const uint32_t[]){*first, watch, i}, 3,
              "Two EXEC found key %s to be %s and replaced it.",
              key_of(w->c, o), history_str(w->c->h, v->u.s));
    } else if (other != NOBODY &&
               (v->type == V_STR || !may_be_gone(w, other, i))) {
        found(w->c, W_WATCH, "changed under watch",
              (const uint32_t[]){watch, other, i}, 3,
              "Key %s was changed between WATCH and EXEC, and EXEC was "
              "executed.",
              key_of(w->c, o));
    } else if (set != NULL && is_over(w, op_of(w->c, *set), seen->t1, o->t0)) {
        found(w->c, W_WATCH, "expired under watch",
              (const uint32_t[]){*set, watch, i}, 3,
              "Key %s had expired between WATCH and EXEC, and EXEC was "
              "executed.",
              key_of(w->c, o));
    }
}

static void one_exec(struct watch *w, uint32_t i)
{
    const struct op *o = op_of(w->c, i);
    const uint32_t *at = pair_map_get(w->of, (uint64_t)o->session, 0);
    const struct op *seen = at == NULL ? NULL : op_of(w->c, *at);
    const uint32_t *set;

    if (o->session <= 0 || seen == NULL || seen->end != OP_OK) {
        undecided(w->c, W_WATCH, "line %u: an EXEC without its WATCH", o->line);
        return;
    }
    w->done += o->end == OP_OK;
    w->refused += o->end == OP_FAIL;
    w->moved += leader_moved(w->c, seen->t1, o->t0);
    if (o->end == OP_OK) {
        executed(w, i, *at);
    } else if (seen->out.type == V_STR) {
        set = pair_map_get(&w->writes, seen->out.u.s, 0);
        w->over +=
            set != NULL && is_over(w, op_of(w->c, *set), seen->t1, o->t0);
    }
}

static void watch_key(struct watch *w)
{
    writes(w);
    for (size_t k = 0; k < w->g->n; k++) {
        const struct op *o = op_of(w->c, w->g->ops[k]);
        if (o->f == F_WATCH && o->end == OP_OK && o->out.type == V_STR) {
            found_value(w, w->g->ops[k]);
        } else if (o->f == F_EXEC) {
            one_exec(w, w->g->ops[k]);
        }
    }
}

void check_watch(struct check *c)
{
    struct groups g = groups_of(c, W_WATCH);
    struct pair_map of = {NULL, 0, 0};
    struct watch all = {0};

    for (size_t i = 0; i < g.n; i++) {
        struct watch w = {.c = c, .g = &g.of[i], .of = &of};
        watch_key(&w);
        all.done += w.done;
        all.refused += w.refused;
        all.over += w.over;
        all.moved += w.moved;
        pair_map_free(&w.writes);
        pair_map_free(&w.carried);
    }
    looked_at(c, W_WATCH,
              "%zu keys; %zu executed, %zu refused (%zu expired); another "
              "leader within %zu",
              g.n, all.done, all.refused, all.over, all.moved);
    pair_map_free(&of);
    groups_free(&g);
}
