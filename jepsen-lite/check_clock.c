/* Promises about time: bounded age of stale reads, order within a session,
 * expiry. */
#include <stdlib.h>
#include <string.h>

#include "jepsen-lite/check_int.h"
#include "jepsen-lite/check_map.h"

enum { NOBODY = UINT32_MAX };

#define MS 1000000LL

/* ---- stale ---- */

struct stale {
    struct check *c;
    enum workload w;
    const struct group *g;
    struct pair_map writes; /* value: number */
    uint32_t *acked;        /* acknowledged writes, by end */
    int64_t *top;           /* the largest value of those up to here */
    size_t n;
};

static int64_t number_of(const struct op *o)
{
    if (o->f == F_WRITE) {
        return o->in.u.i;
    }
    return o->out.type == V_INT ? o->out.u.i : 0;
}

static int by_end(const void *x, const void *y, void *data)
{
    const struct op *a = op_of(data, *(const uint32_t *)x);
    const struct op *b = op_of(data, *(const uint32_t *)y);

    return a->t1 < b->t1 ? -1 : a->t1 > b->t1;
}

/* A number whose write was refused is free for the next one. */
static bool stale_number(struct stale *s, uint32_t i)
{
    const struct op *o = op_of(s->c, i);
    bool added;
    uint32_t *w =
        pair_map_put(&s->writes, (uint64_t)number_of(o), 0, i, &added);

    if (!added && op_of(s->c, *w)->end == OP_FAIL) {
        *w = i;
        added = true;
    }
    return number_of(o) > 0 && (added || o->end == OP_FAIL);
}

static void stale_writes(struct stale *s)
{
    for (size_t k = 0; k < s->g->n; k++) {
        const struct op *o = op_of(s->c, s->g->ops[k]);
        if (o->f != F_WRITE) {
            continue;
        }
        if (!stale_number(s, s->g->ops[k])) {
            undecided(s->c, s->w, "line %u: %lld is not a new number", o->line,
                      (long long)number_of(o));
        }
        if (o->end == OP_OK) {
            s->acked[s->n++] = s->g->ops[k];
        }
    }
    qsort_r(s->acked, s->n, sizeof(*s->acked), by_end, s->c);
}

/* The acknowledged write that is largest of those that ended before @t. */
static uint32_t stale_newest(const struct stale *s, int64_t t)
{
    uint32_t best = NOBODY;
    size_t low = 0;
    size_t high = s->n;

    while (low < high) {
        size_t mid = (low + high) / 2;
        if (op_of(s->c, s->acked[mid])->t1 < t) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    if (low > 0) {
        best = (uint32_t)s->top[low - 1];
    }
    return best;
}

static void stale_tops(struct stale *s)
{
    for (size_t i = 0; i < s->n; i++) {
        s->top[i] = s->acked[i];
        if (i > 0 && number_of(op_of(s->c, (uint32_t)s->top[i - 1])) >
                         number_of(op_of(s->c, s->acked[i]))) {
            s->top[i] = s->top[i - 1];
        }
    }
}

static void stale_read(struct stale *s, uint32_t i)
{
    const struct op *o = op_of(s->c, i);
    int64_t v = number_of(o);
    uint32_t newest;

    if (v != 0) {
        const uint32_t *w = pair_map_get(&s->writes, (uint64_t)v, 0);
        if (w == NULL) {
            found1(s->c, s->w, "phantom", i,
                   "Key %s held %lld, which nobody wrote.", key_of(s->c, o),
                   (long long)v);
            return;
        }
        if (op_of(s->c, *w)->end == OP_FAIL) {
            found2(s->c, s->w, "lie", *w, i,
                   "The write of %lld to key %s was answered \"certainly not "
                   "applied\", but it was there.",
                   (long long)v, key_of(s->c, o));
        } else if (op_of(s->c, *w)->t0 > o->t1) {
            found2(s->c, s->w, "read of the future", *w, i,
                   "Key %s held %lld before its write began.", key_of(s->c, o),
                   (long long)v);
        }
    }
    if (o->maxage <= 0) {
        return;
    }
    newest = stale_newest(s, o->t0 - o->maxage * MS);
    if (newest != NOBODY && number_of(op_of(s->c, newest)) > v) {
        found2(s->c, s->w, "too old", newest, i,
               "A read of key %s that allowed an age of %lld ms found %lld; "
               "%lld had been acknowledged %.6f s before it began.",
               key_of(s->c, o), (long long)o->maxage, (long long)v,
               (long long)number_of(op_of(s->c, newest)),
               seconds(o->t0 - op_of(s->c, newest)->t1));
    }
}

/* Within a session: what it has seen or written is not unseen later. Its
 * operations come by begin; of those that ended before, the largest. */
static void stale_sessions(struct stale *s)
{
    struct pair_map last = {NULL, 0, 0}; /* session: its largest that ended */
    uint32_t *ends = hf_calloc(s->g->n + 1, sizeof(*ends));
    size_t n = 0;
    size_t e = 0;
    bool added;

    for (size_t k = 0; k < s->g->n; k++) {
        if (op_of(s->c, s->g->ops[k])->end == OP_OK) {
            ends[n++] = s->g->ops[k];
        }
    }
    qsort_r(ends, n, sizeof(*ends), by_end, s->c);
    for (size_t k = 0; k < s->g->n; k++) {
        const struct op *o = op_of(s->c, s->g->ops[k]);
        const uint32_t *top;
        for (; e < n && op_of(s->c, ends[e])->t1 < o->t0; e++) {
            const struct op *a = op_of(s->c, ends[e]);
            uint32_t *t;
            if (a->session < 0) {
                continue;
            }
            t = pair_map_put(&last, (uint64_t)a->session, 0, ends[e], &added);
            if (number_of(a) > number_of(op_of(s->c, *t))) {
                *t = ends[e];
            }
        }
        if (o->f != F_READ || o->end != OP_OK || o->session < 0) {
            continue;
        }
        top = pair_map_get(&last, (uint64_t)o->session, 0);
        if (top != NULL && number_of(op_of(s->c, *top)) > number_of(o)) {
            const struct op *a = op_of(s->c, *top);
            found2(
                s->c, s->w,
                a->f == F_WRITE ? "own write not seen" : "session going back",
                *top, s->g->ops[k],
                "Session %lld had %s %lld in key %s and then read %lld.",
                (long long)o->session, a->f == F_WRITE ? "written" : "read",
                (long long)number_of(a), key_of(s->c, o),
                (long long)number_of(o));
        }
    }
    pair_map_free(&last);
    free(ends);
}

/* A read that is neither bounded nor from a cache is not stale at all. */
static void fresh_read(struct stale *s, uint32_t i)
{
    const struct op *o = op_of(s->c, i);
    uint32_t newest = stale_newest(s, o->t0);

    if (newest != NOBODY && number_of(op_of(s->c, newest)) > number_of(o)) {
        found2(s->c, s->w, "stale read", newest, i,
               "A read of key %s found %lld; %lld had been acknowledged %.6f s "
               "before it began.",
               key_of(s->c, o), (long long)number_of(o),
               (long long)number_of(op_of(s->c, newest)),
               seconds(o->t0 - op_of(s->c, newest)->t1));
    }
}

size_t check_numbers(struct check *c, enum workload w, const struct group *g)
{
    struct stale s = {.c = c, .w = w, .g = g};
    size_t reads = 0;

    s.acked = hf_calloc(g->n + 1, sizeof(*s.acked));
    s.top = hf_calloc(g->n + 1, sizeof(*s.top));
    stale_writes(&s);
    stale_tops(&s);
    for (size_t k = 0; k < g->n; k++) {
        const struct op *o = op_of(c, g->ops[k]);
        if (o->f == F_READ && o->end == OP_OK) {
            stale_read(&s, g->ops[k]);
            if (w == W_TRACKING && !o->cached) {
                fresh_read(&s, g->ops[k]);
            }
            reads++;
        }
    }
    stale_sessions(&s);
    pair_map_free(&s.writes);
    free(s.acked);
    free(s.top);
    return reads;
}

void check_stale(struct check *c)
{
    struct groups g = groups_of(c, W_STALE);
    size_t reads = 0;

    for (size_t i = 0; i < g.n; i++) {
        reads += check_numbers(c, W_STALE, &g.of[i]);
    }
    looked_at(c, W_STALE, "%zu keys, %zu reads", g.n, reads);
    groups_free(&g);
}

/* ---- ttl ---- */

struct life {
    uint32_t set;
    int64_t applied; /* at the latest; OP_NEVER: nobody knows */
    uint32_t gone;   /* a read after that which found nothing; NOBODY */
};

/* Does the fault end processes of its nodes? */
static bool kills(const struct check *c, const struct fault *f)
{
    const char *family = history_str(c->h, f->family);

    return strcmp(family, "kill") == 0 || strcmp(family, "power") == 0 ||
           strcmp(family, "wipe") == 0 ||
           strcmp(history_str(c->h, f->f), "half-open") == 0 ||
           strcmp(history_str(c->h, f->f), "remove") == 0;
}

bool cold_start(const struct check *c, int64_t from, int64_t to)
{
    for (size_t i = 0; i < c->h->n_faults; i++) {
        const struct fault *f = &c->h->faults[i];
        uint64_t down = 0;
        int n = 0;
        if (!kills(c, f) || f->from > to || f->to < from) {
            continue;
        }
        for (size_t k = 0; k < c->h->n_faults; k++) {
            const struct fault *g = &c->h->faults[k];
            if (kills(c, g) && g->from <= f->from && g->to >= f->from) {
                down |= g->nodes;
            }
        }
        for (int64_t k = 1; k <= c->h->nodes && k < HISTORY_NODES_MAX; k++) {
            n += (down & (1ULL << k)) != 0;
        }
        if (n > c->h->nodes / 2) {
            return true;
        }
    }
    return false;
}

/* @i read the value that @l set, alive: may it? */
static void ttl_alive(struct check *c, struct life *l, uint32_t i)
{
    const struct op *o = op_of(c, i);
    const struct op *set = op_of(c, l->set);
    int64_t slack = set->px * MS / 1000000 * SLEW_PER_MILLION;
    int64_t applied = set->t1;

    if (set->end == OP_FAIL) {
        found2(c, W_TTL, "lie", l->set, i,
               "The set of key %s was answered \"certainly not applied\", but "
               "its value was there.",
               key_of(c, o));
        return;
    }
    if (set->t0 > o->t1) {
        found2(c, W_TTL, "read of the future", l->set, i,
               "Key %s held a value before it was set.", key_of(c, o));
        return;
    }
    if (o->t1 < l->applied) {
        l->applied = o->t1;
    }
    applied = l->applied;
    if (l->gone != NOBODY && op_of(c, l->gone)->t1 < o->t0) {
        found(c, W_TTL, "resurrected", (const uint32_t[]){l->set, l->gone, i},
              3, "The value of key %s was gone and came back.", key_of(c, o));
    } else if (applied != OP_NEVER && o->t0 > applied + set->px * MS + slack &&
               !cold_start(c, set->t0, o->t1)) {
        found2(c, W_TTL, "late expiry", l->set, i,
               "Key %s was set for %lld ms and still there %.6f s after that "
               "was over.",
               key_of(c, o), (long long)set->px,
               seconds(o->t0 - applied - set->px * MS));
    }
}

/* @i found nothing; @l was set before and answered: may it? */
static void ttl_gone(struct check *c, struct life *l, uint32_t i)
{
    const struct op *o = op_of(c, i);
    const struct op *set = op_of(c, l->set);
    int64_t slack = set->px * MS / 1000000 * SLEW_PER_MILLION + MS;

    if (l->applied >= o->t0) {
        return; /* not surely there yet */
    }
    if (l->gone == NOBODY || o->t1 < op_of(c, l->gone)->t1) {
        l->gone = i;
    }
    if (o->t1 < set->t0 + set->px * MS - slack &&
        !cold_start(c, set->t0, o->t1)) {
        found2(c, W_TTL, "early expiry", l->set, i,
               "Key %s was set for %lld ms and gone %.6f s before that was "
               "over.",
               key_of(c, o), (long long)set->px,
               seconds(set->t0 + set->px * MS - o->t1));
    }
}

static void ttl_key(struct check *c, const struct group *g)
{
    struct life *lives = hf_calloc(g->n + 1, sizeof(*lives));
    struct pair_map of = {NULL, 0, 0}; /* value: number in lives */
    size_t n = 0;
    bool added;

    for (size_t k = 0; k < g->n; k++) {
        const struct op *o = op_of(c, g->ops[k]);
        if (o->f != F_SET) {
            continue;
        }
        pair_map_put(&of, o->in.u.s, 0, (uint32_t)n, &added);
        if (!added || o->px <= 0) {
            undecided(c, W_TTL, "line %u: no new value or no px", o->line);
            continue;
        }
        lives[n++] = (struct life){g->ops[k],
                                   o->end == OP_OK ? o->t1 : OP_NEVER, NOBODY};
    }
    for (size_t k = 0, began = 0; k < g->n; k++) {
        const struct op *o = op_of(c, g->ops[k]);
        const uint32_t *at;
        if (o->f == F_SET) {
            began += began < n && lives[began].set == g->ops[k];
            continue;
        }
        if (o->f != F_READ || o->end != OP_OK) {
            continue;
        }
        if (o->out.type == V_NULL) {
            if (began > 0) {
                ttl_gone(c, &lives[began - 1], g->ops[k]);
            }
            continue;
        }
        at = pair_map_get(&of, o->out.u.s, 0);
        if (at == NULL) {
            found1(c, W_TTL, "phantom", g->ops[k],
                   "Key %s held a value that nobody set.", key_of(c, o));
            continue;
        }
        ttl_alive(c, &lives[*at], g->ops[k]);
    }
    pair_map_free(&of);
    free(lives);
}

void check_ttl(struct check *c)
{
    struct groups g = groups_of(c, W_TTL);

    for (size_t i = 0; i < g.n; i++) {
        ttl_key(c, &g.of[i]);
    }
    looked_at(c, W_TTL, "%zu keys", g.n);
    groups_free(&g);
}
