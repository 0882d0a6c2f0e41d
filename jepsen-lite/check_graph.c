#include "jepsen-lite/check_graph.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "jepsen-lite/check_history.h"

enum { NONE = UINT32_MAX };

void graph_edge(struct graph *g,
                uint32_t from,
                uint32_t to,
                enum edge_kind kind,
                uint32_t key)
{
    if (from == to) {
        return;
    }
    if (g->n == g->cap) {
        g->cap = g->cap * 2 + 1024;
        g->edges = hf_realloc(g->edges, g->cap * sizeof(*g->edges));
    }
    g->edges[g->n++] = (struct edge){from, to, key, (uint8_t)kind};
}

void graph_release(struct graph *g)
{
    free(g->edges);
}

/* ---- real time ---- */

struct moment {
    int64_t t;
    uint32_t node;
    bool end;
};

static int by_moment(const void *x, const void *y)
{
    const struct moment *a = x;
    const struct moment *b = y;

    if (a->t != b->t) {
        return a->t < b->t ? -1 : 1;
    }
    return (int)a->end - (int)b->end; /* equal times prove no order */
}

void graph_time(struct graph *g, const int64_t *t0, const int64_t *t1)
{
    struct moment *m = hf_malloc((2 * (size_t)g->nodes + 1) * sizeof(*m));
    uint32_t chain = NONE;
    size_t n = 0;

    for (uint32_t i = 0; i < g->nodes; i++) {
        m[n++] = (struct moment){t0[i], i, false};
        if (t1[i] != OP_NEVER) {
            m[n++] = (struct moment){t1[i], i, true};
        }
    }
    qsort(m, n, sizeof(*m), by_moment);
    for (size_t i = 0; i < n; i++) {
        uint32_t helper;
        if (!m[i].end) {
            if (chain != NONE) {
                graph_edge(g, chain, m[i].node, EDGE_TIME, 0);
            }
            continue;
        }
        helper = g->nodes + g->helpers++;
        graph_edge(g, m[i].node, helper, EDGE_TIME, 0);
        if (chain != NONE) {
            graph_edge(g, chain, helper, EDGE_TIME, 0);
        }
        chain = helper;
    }
    free(m);
}

/* ---- edges by where they start ---- */

struct index {
    const struct graph *g;
    uint32_t *first; /* edges of node i: order[first[i]..first[i+1]-1] */
    uint32_t *order;
    uint32_t total;
};

static void index_init(struct index *x, const struct graph *g)
{
    uint32_t *at;

    hf_assert(g->n < UINT32_MAX);
    x->g = g;
    x->total = g->nodes + g->helpers;
    x->first = hf_calloc((size_t)x->total + 2, sizeof(*x->first));
    x->order = hf_calloc(g->n + 1, sizeof(*x->order));
    for (size_t i = 0; i < g->n; i++) {
        x->first[g->edges[i].from + 1]++;
    }
    for (uint32_t i = 0; i < x->total; i++) {
        x->first[i + 1] += x->first[i];
    }
    at = hf_malloc(((size_t)x->total + 1) * sizeof(*at));
    memcpy(at, x->first, ((size_t)x->total + 1) * sizeof(*at));
    for (size_t i = 0; i < g->n; i++) {
        x->order[at[g->edges[i].from]++] = (uint32_t)i;
    }
    free(at);
}

static void index_release(struct index *x)
{
    free(x->first);
    free(x->order);
}

static const struct edge *edge_at(const struct index *x, uint32_t i)
{
    return &x->g->edges[x->order[i]];
}

/* ---- strongly connected components: Tarjan, without recursion ---- */

struct tarjan {
    const struct index *x;
    unsigned mask;
    uint32_t *number; /* 0: not seen */
    uint32_t *low;
    uint32_t *next_edge;
    uint32_t *open; /* stack of nodes without a component */
    uint32_t *path; /* stack of the walk */
    uint32_t *component;
    uint32_t opened;
    uint32_t walked;
    uint32_t seen;
    uint32_t count;
};

static void tarjan_enter(struct tarjan *t, uint32_t v)
{
    t->number[v] = t->low[v] = ++t->seen;
    t->next_edge[v] = t->x->first[v];
    t->open[t->opened++] = v;
    t->path[t->walked++] = v;
}

static void tarjan_leave(struct tarjan *t, uint32_t v)
{
    uint32_t w;

    t->walked--;
    if (t->walked > 0) {
        uint32_t up = t->path[t->walked - 1];
        t->low[up] = t->low[v] < t->low[up] ? t->low[v] : t->low[up];
    }
    if (t->low[v] != t->number[v]) {
        return;
    }
    do {
        w = t->open[--t->opened];
        t->component[w] = t->count;
    } while (w != v);
    t->count++;
}

static void tarjan_walk(struct tarjan *t, uint32_t root)
{
    tarjan_enter(t, root);
    while (t->walked > 0) {
        uint32_t v = t->path[t->walked - 1];
        const struct edge *e;
        if (t->next_edge[v] == t->x->first[v + 1]) {
            tarjan_leave(t, v);
            continue;
        }
        e = edge_at(t->x, t->next_edge[v]++);
        if ((e->kind & t->mask) == 0) {
            continue;
        }
        if (t->number[e->to] == 0) {
            tarjan_enter(t, e->to);
        } else if (t->component[e->to] == NONE &&
                   t->number[e->to] < t->low[v]) {
            t->low[v] = t->number[e->to];
        }
    }
}

/* The component of every node over edges in @mask, into @component. */
static uint32_t components(const struct index *x,
                           unsigned mask,
                           uint32_t *component)
{
    struct tarjan t = {.x = x, .mask = mask, .component = component};
    size_t n = (size_t)x->total + 1;

    t.number = hf_calloc(n, sizeof(*t.number));
    t.low = hf_calloc(n, sizeof(*t.low));
    t.next_edge = hf_calloc(n, sizeof(*t.next_edge));
    t.open = hf_calloc(n, sizeof(*t.open));
    t.path = hf_calloc(n, sizeof(*t.path));
    for (uint32_t i = 0; i < x->total; i++) {
        component[i] = NONE;
    }
    for (uint32_t i = 0; i < x->total; i++) {
        if (t.number[i] == 0) {
            tarjan_walk(&t, i);
        }
    }
    free(t.number);
    free(t.low);
    free(t.next_edge);
    free(t.open);
    free(t.path);
    return t.count;
}

/* ---- cycles ---- */

/* A kind of cycle: one edge of @first, the others of @rest. The gravest
 * first; those that need real time last. */
static const struct {
    const char *name;
    unsigned first;
    unsigned rest;
} kinds[] = {
    {"G0", EDGE_WW, EDGE_WW},
    {"G1c", EDGE_WR, EDGE_WW | EDGE_WR},
    {"G-single", EDGE_RW, EDGE_WW | EDGE_WR},
    {"G2-item", EDGE_RW, EDGE_WW | EDGE_WR | EDGE_RW},
    {"G0-realtime", EDGE_WW, EDGE_WW | EDGE_TIME},
    {"G1c-realtime", EDGE_WR, EDGE_WW | EDGE_WR | EDGE_TIME},
    {"G-single-realtime", EDGE_RW, EDGE_WW | EDGE_WR | EDGE_TIME},
    {"G2-item-realtime", EDGE_RW, EDGE_WW | EDGE_WR | EDGE_RW | EDGE_TIME},
};

struct paths {
    const struct index *x;
    const uint32_t *component;
    uint32_t *via;  /* edge that led to a node, plus one; by node */
    uint32_t *mark; /* the search that saw it */
    uint32_t *queue;
    uint32_t search;
};

/* The way from @from to @to by edges of @mask within their component, with
 * the fewest edges (of ways through time also the one through the fewest
 * ends). False if there is none; else via[] leads back. */
static bool shortest(struct paths *p, uint32_t from, uint32_t to, unsigned mask)
{
    uint32_t head = 0;
    uint32_t tail = 0;

    p->search++;
    p->mark[from] = p->search;
    p->queue[tail++] = from;
    while (head < tail) {
        uint32_t v = p->queue[head++];
        for (uint32_t i = p->x->first[v]; i < p->x->first[v + 1]; i++) {
            const struct edge *e = edge_at(p->x, i);
            if ((e->kind & mask) == 0 || p->mark[e->to] == p->search ||
                p->component[e->to] != p->component[from]) {
                continue;
            }
            p->mark[e->to] = p->search;
            p->via[e->to] = p->x->order[i];
            if (e->to == to) {
                return true;
            }
            p->queue[tail++] = e->to;
        }
    }
    return false;
}

/* The cycle of @first and the way found back to its start, helpers folded
 * into one TIME edge. */
static void spell_cycle(const struct paths *p,
                        const struct edge *first,
                        struct cycle *c)
{
    const struct graph *g = p->x->g;
    uint32_t at = first->from;
    uint32_t end = first->from;
    size_t n = 0;

    /* Backwards from its start to the end of @first. */
    while (at != first->to) {
        const struct edge *e = &g->edges[p->via[at]];
        at = e->from;
        if (at < g->nodes) {
            if (n < CYCLE_EDGES_MAX - 1) {
                c->edges[n] = *e;
                c->edges[n].from = at;
                c->edges[n++].to = end;
            }
            end = at;
        }
    }
    c->edges[n++] = *first;
    c->n = n;
    for (size_t i = 0; i < n / 2; i++) {
        struct edge e = c->edges[i];
        c->edges[i] = c->edges[n - 1 - i];
        c->edges[n - 1 - i] = e;
    }
}

/* Two that read the same version of a key and both overwrote it. */
static const char *cycle_name(const char *name, const struct cycle *c)
{
    if (strcmp(name, "G-single") == 0 && c->n == 2 &&
        c->edges[1].kind == EDGE_WW && c->edges[0].key == c->edges[1].key) {
        return "lost update";
    }
    return name;
}

struct candidates {
    uint32_t *best; /* by component: number in cycles, plus one */
    uint32_t *tries;
};

static size_t cycles_of_kind(struct paths *p,
                             size_t kind,
                             bool *done,
                             uint32_t count,
                             struct cycle *cycles,
                             size_t n)
{
    const struct graph *g = p->x->g;
    struct candidates c = {hf_calloc((size_t)count + 1, sizeof(*c.best)),
                           hf_calloc((size_t)count + 1, sizeof(*c.tries))};
    struct cycle *one = hf_calloc(1, sizeof(*one));

    for (size_t i = 0; i < g->n; i++) {
        const struct edge *e = &g->edges[i];
        uint32_t in = p->component[e->from];
        if ((e->kind & kinds[kind].first) == 0 || in != p->component[e->to] ||
            done[e->from] || done[e->to] || c.tries[in] >= CYCLE_TRIES) {
            continue;
        }
        c.tries[in]++;
        if (!shortest(p, e->to, e->from, kinds[kind].rest)) {
            continue;
        }
        spell_cycle(p, e, one);
        one->name = cycle_name(kinds[kind].name, one);
        if (c.best[in] == 0 && n < CYCLES_MAX) {
            c.best[in] = (uint32_t)++n;
            cycles[n - 1] = *one;
        } else if (c.best[in] != 0 && one->n < cycles[c.best[in] - 1].n) {
            cycles[c.best[in] - 1] = *one;
        }
    }
    for (uint32_t i = 0; i < p->x->total; i++) {
        done[i] |= c.best[p->component[i]] != 0;
    }
    free(c.best);
    free(c.tries);
    free(one);
    return n;
}

/* A component that holds one already told of is the same trouble again. */
static void spread_done(const uint32_t *component,
                        uint32_t count,
                        bool *done,
                        uint32_t total)
{
    bool *bad = hf_calloc((size_t)count + 1, sizeof(*bad));

    for (uint32_t i = 0; i < total; i++) {
        bad[component[i]] |= done[i];
    }
    for (uint32_t i = 0; i < total; i++) {
        done[i] = bad[component[i]];
    }
    free(bad);
}

size_t graph_cycles(struct graph *g, struct cycle cycles[CYCLES_MAX])
{
    struct index x;
    struct paths p;
    uint32_t *component;
    bool *done;
    size_t n = 0;

    index_init(&x, g);
    component = hf_calloc((size_t)x.total + 1, sizeof(*component));
    done = hf_calloc((size_t)x.total + 1, sizeof(*done));
    p = (struct paths){.x = &x, .component = component};
    p.via = hf_calloc((size_t)x.total + 1, sizeof(*p.via));
    p.mark = hf_calloc((size_t)x.total + 1, sizeof(*p.mark));
    p.queue = hf_calloc((size_t)x.total + 1, sizeof(*p.queue));
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        uint32_t count =
            components(&x, kinds[k].first | kinds[k].rest, component);
        if (count == x.total) {
            continue; /* no cycle at all */
        }
        spread_done(component, count, done, x.total);
        n = cycles_of_kind(&p, k, done, count, cycles, n);
    }
    free(p.via);
    free(p.mark);
    free(p.queue);
    free(component);
    free(done);
    index_release(&x);
    return n;
}
