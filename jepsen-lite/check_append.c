/* Transactions of appends and reads over lists. Elements are unique, so a
 * list read tells the order of the appends before it; from these orders and
 * from real time follows which transaction came before which, and strict
 * serializability is the absence of cycles (check_graph.h). */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "jepsen-lite/check_graph.h"
#include "jepsen-lite/check_int.h"
#include "jepsen-lite/check_map.h"

enum { NOBODY = UINT32_MAX };

/* One appended element. */
struct elem {
    int64_t value;
    uint32_t key; /* number in lists */
    uint32_t op;
    bool last; /* the last one that its transaction appended to the key */
    bool seen;
};

/* One key: its longest read is its history. */
struct list {
    uint32_t key;
    const int64_t *longest;
    uint32_t n;
    uint32_t reader;   /* whose read it is; NOBODY: none */
    int64_t last_read; /* the latest begin of a read */
    uint32_t last_reader;
};

struct appends {
    struct check *c;
    struct pair_map keys;  /* key: number in lists */
    struct pair_map elems; /* key, value: number in elems */
    struct list *lists;
    struct elem *elem;
    size_t n_lists;
    size_t n_elems;
    size_t cap_lists;
    size_t cap_elems;
    uint32_t *node; /* by operation: its node; NOBODY */
    uint32_t *op;   /* by node */
    uint32_t nodes;
    struct graph g;
    bool broken; /* an order of versions is not to be had */
};

struct micro {
    bool append;
    uint32_t list;
    int64_t value;          /* appended */
    const struct val *read; /* NULL: append */
};

static uint32_t list_of(struct appends *a, uint32_t key)
{
    bool added;
    uint32_t at = *pair_map_put(&a->keys, key, 0, (uint32_t)a->n_lists, &added);

    if (added) {
        if (a->n_lists == a->cap_lists) {
            a->cap_lists = a->cap_lists * 2 + 256;
            a->lists = hf_realloc(a->lists, a->cap_lists * sizeof(*a->lists));
        }
        a->lists[a->n_lists++] =
            (struct list){key, NULL, 0, NOBODY, INT64_MIN, NOBODY};
    }
    return at;
}

static struct micro micro_of(struct appends *a,
                             const struct val *txn,
                             uint32_t i)
{
    const struct val *m = txn->u.list[i].u.list;
    struct micro r = {.list = list_of(a, m[1].u.s)};

    r.append = history_str(a->c->h, m[0].u.s)[0] == 'a';
    if (r.append) {
        r.value = m[2].u.i;
    } else {
        r.read = &m[2];
    }
    return r;
}

static const char *list_name(const struct appends *a, uint32_t list)
{
    return history_str(a->c->h, a->lists[list].key);
}

static struct elem *elem_of(const struct appends *a,
                            uint32_t list,
                            int64_t value)
{
    uint32_t *at = pair_map_get(&a->elems, list, (uint64_t)value);
    return at == NULL ? NULL : &a->elem[*at];
}

static uint32_t read_len(const struct val *v)
{
    return v->type == V_INTS ? v->n : 0;
}

/* What was appended, by whom; of failed transactions as well. */
static void collect(struct appends *a, uint32_t op)
{
    const struct op *o = op_of(a->c, op);
    bool added;

    for (uint32_t i = 0; i < o->in.n; i++) {
        struct micro m = micro_of(a, &o->in, i);
        if (!m.append) {
            continue;
        }
        if (a->n_elems == a->cap_elems) {
            a->cap_elems = a->cap_elems * 2 + 1024;
            a->elem = hf_realloc(a->elem, a->cap_elems * sizeof(*a->elem));
        }
        pair_map_put(&a->elems, m.list, (uint64_t)m.value, (uint32_t)a->n_elems,
                     &added);
        if (!added) {
            undecided(a->c, W_APPEND, "line %u: element %lld is not new",
                      o->line, (long long)m.value);
            continue;
        }
        for (uint32_t k = 0; k < i; k++) {
            struct micro before = micro_of(a, &o->in, k);
            if (before.append && before.list == m.list) {
                elem_of(a, m.list, before.value)->last = false;
            }
        }
        a->elem[a->n_elems++] = (struct elem){m.value, m.list, op, true, false};
    }
}

/* Elements at the end of the read at @i that the transaction itself appended
 * before. */
static uint32_t own_tail(struct appends *a,
                         const struct op *o,
                         uint32_t i,
                         const struct micro *read)
{
    uint32_t n = read_len(read->read);
    uint32_t own = 0;

    for (uint32_t k = i; k-- > 0;) {
        struct micro m = micro_of(a, &o->out, k);
        if (!m.append || m.list != read->list) {
            continue;
        }
        if (own < n && read->read->u.ints[n - 1 - own] == m.value) {
            own++;
        } else {
            return UINT32_MAX; /* does not see its own append */
        }
    }
    return own;
}

/* Elements of a read that nobody, or nobody who was answered "not applied",
 * may have appended; and ones that come twice. */
static void look_at_elements(struct appends *a,
                             uint32_t op,
                             const struct micro *m)
{
    struct check *c = a->c;
    const struct op *o = op_of(c, op);
    uint32_t n = read_len(m->read);
    struct pair_map once = {NULL, 0, 0};
    bool added;

    for (uint32_t i = 0; i < n; i++) {
        long long v = m->read->u.ints[i];
        struct elem *e = elem_of(a, m->list, v);
        pair_map_put(&once, (uint64_t)v, 0, i, &added);
        if (e == NULL) {
            found1(c, W_APPEND, "phantom", op,
                   "List %s holds %lld, which nobody appended.",
                   list_name(a, m->list), v);
            a->broken = true;
        } else if (!added) {
            found2(c, W_APPEND, "double apply", e->op, op,
                   "List %s holds %lld twice, which was appended once.",
                   list_name(a, m->list), v);
            a->broken = true;
        } else if (op_of(c, e->op)->t0 > o->t1) {
            found2(c, W_APPEND, "read of the future", e->op, op,
                   "List %s held %lld before its append began.",
                   list_name(a, m->list), v);
        } else if (!e->seen && op_of(c, e->op)->end == OP_FAIL) {
            found2(c, W_APPEND, "G1a", e->op, op,
                   "Aborted read, and a lie: the transaction that appended "
                   "%lld to list %s was answered \"certainly not applied\", "
                   "but the element was read.",
                   v, list_name(a, m->list));
        }
        if (e != NULL) {
            e->seen = true;
        }
    }
    pair_map_free(&once);
}

/* The last element of a read must be the last that its transaction appended
 * to that list. */
static void look_at_end(struct appends *a,
                        uint32_t op,
                        const struct micro *m,
                        uint32_t len)
{
    const struct elem *e;

    if (len == 0) {
        return;
    }
    e = elem_of(a, m->list, m->read->u.ints[len - 1]);
    if (e != NULL && !e->last && e->op != op) {
        found2(a->c, W_APPEND, "G1b", e->op, op,
               "Intermediate read: list %s was read up to %lld, in the middle "
               "of a transaction that appended more to it.",
               list_name(a, m->list), (long long)e->value);
    }
}

/* Does the read at @i have what its own transaction appends only later? */
static bool own_future(struct appends *a,
                       const struct op *o,
                       uint32_t i,
                       const struct micro *read)
{
    for (uint32_t k = i + 1; k < o->out.n; k++) {
        struct micro m = micro_of(a, &o->out, k);
        for (uint32_t e = 0;
             m.append && m.list == read->list && e < read_len(read->read);
             e++) {
            if (read->read->u.ints[e] == m.value) {
                return true;
            }
        }
    }
    return false;
}

static void look_at_read(struct appends *a, uint32_t op, uint32_t i)
{
    const struct op *o = op_of(a->c, op);
    struct micro m = micro_of(a, &o->out, i);
    struct list *l = &a->lists[m.list];
    uint32_t n = read_len(m.read);
    uint32_t common = n < l->n ? n : l->n;
    uint32_t own = own_tail(a, o, i, &m);

    look_at_elements(a, op, &m);
    if (own == UINT32_MAX) {
        found1(a->c, W_APPEND, "own append not seen", op,
               "The transaction appended to list %s and then did not read "
               "that at its end.",
               list_name(a, m.list));
        own = 0;
        a->broken = true;
    }
    if (own_future(a, o, i, &m)) {
        found1(a->c, W_APPEND, "read of the future", op,
               "The transaction read in list %s what it appended only then.",
               list_name(a, m.list));
    }
    look_at_end(a, op, &m, n - own);
    if (common > 0 &&
        memcmp(m.read->u.ints, l->longest, common * sizeof(*l->longest)) != 0) {
        found2(a->c, W_APPEND, "incompatible order", l->reader, op,
               "Two reads of list %s disagree on the order of its elements.",
               list_name(a, m.list));
        a->broken = true;
    } else if (n > l->n) {
        l->longest = m.read->u.ints;
        l->n = n;
        l->reader = op;
    }
    if (o->t0 > l->last_read) {
        l->last_read = o->t0;
        l->last_reader = op;
    }
}

/* Acknowledged appends that a later read did not have, nor any other. */
static void look_for_lost(struct appends *a)
{
    for (size_t i = 0; i < a->n_elems; i++) {
        const struct elem *e = &a->elem[i];
        const struct list *l = &a->lists[e->key];
        const struct op *o = op_of(a->c, e->op);
        if (!e->seen && o->end == OP_OK && l->last_reader != NOBODY &&
            o->t1 < l->last_read) {
            found2(a->c, W_APPEND, "lost write", e->op, l->last_reader,
                   "The append of %lld to list %s was acknowledged; no read "
                   "ever had it, also none that began later.",
                   (long long)e->value, list_name(a, e->key));
        }
    }
}

/* ---- the graph ---- */

static void graph_node(struct appends *a, uint32_t op)
{
    if (a->node[op] == NOBODY) {
        a->node[op] = a->nodes;
        a->op[a->nodes++] = op;
    }
}

/* Transactions that happened: answered ones, and those whose appends were
 * seen. */
static void graph_nodes(struct appends *a)
{
    for (uint32_t i = 0; i < a->c->h->n_ops; i++) {
        const struct op *o = op_of(a->c, i);
        if (o->w == W_APPEND && o->end == OP_OK) {
            graph_node(a, i);
        }
    }
    for (size_t i = 0; i < a->n_elems; i++) {
        if (a->elem[i].seen) {
            graph_node(a, a->elem[i].op);
        }
    }
    a->g.nodes = a->nodes;
}

/* By list: its acknowledged appends that were never read. They come after
 * all that was. */
struct unseen {
    uint32_t *node;
    uint32_t *first; /* by list; first[n_lists] is the end */
};

static void unseen_init(struct appends *a, struct unseen *u)
{
    u->first = hf_calloc(a->n_lists + 2, sizeof(*u->first));
    u->node = hf_calloc(a->n_elems + 1, sizeof(*u->node));
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < a->n_elems; i++) {
            const struct elem *e = &a->elem[i];
            if (e->seen || a->node[e->op] == NOBODY) {
                continue;
            }
            if (pass == 0) {
                u->first[e->key + 2]++;
            } else {
                u->node[u->first[e->key + 1]++] = a->node[e->op];
            }
        }
        for (size_t i = 0; pass == 0 && i <= a->n_lists; i++) {
            u->first[i + 1] += u->first[i];
        }
    }
}

static uint32_t version_node(const struct appends *a, uint32_t list, uint32_t i)
{
    return a->node[elem_of(a, list, a->lists[list].longest[i])->op];
}

/* What comes after version @n of @list: the next one, or all unseen. */
static void edges_to_next(struct appends *a,
                          const struct unseen *u,
                          uint32_t from,
                          uint32_t list,
                          uint32_t n,
                          enum edge_kind kind)
{
    if (n < a->lists[list].n) {
        graph_edge(&a->g, from, version_node(a, list, n), kind, list);
        return;
    }
    for (uint32_t i = u->first[list]; i < u->first[list + 1]; i++) {
        graph_edge(&a->g, from, u->node[i], kind, list);
    }
}

static void edges_of_reads(struct appends *a, const struct unseen *u)
{
    for (uint32_t k = 0; k < a->nodes; k++) {
        const struct op *o = op_of(a->c, a->op[k]);
        for (uint32_t i = 0; o->end == OP_OK && i < o->out.n; i++) {
            struct micro m = micro_of(a, &o->out, i);
            uint32_t n;
            uint32_t own;
            if (m.append) {
                continue;
            }
            n = read_len(m.read);
            own = own_tail(a, o, i, &m);
            if (n > own) {
                graph_edge(&a->g, version_node(a, m.list, n - own - 1), k,
                           EDGE_WR, m.list);
            }
            if (own == 0) {
                edges_to_next(a, u, k, m.list, n, EDGE_RW);
            }
        }
    }
}

static void edges_of_writes(struct appends *a, const struct unseen *u)
{
    for (uint32_t l = 0; l < a->n_lists; l++) {
        for (uint32_t i = 0; i < a->lists[l].n; i++) {
            edges_to_next(a, u, version_node(a, l, i), l, i + 1, EDGE_WW);
        }
    }
}

static void edge_words(const struct appends *a,
                       const struct edge *e,
                       size_t from,
                       size_t to,
                       struct buf *b)
{
    const char *l = e->kind == EDGE_TIME ? "" : list_name(a, e->key);
    const struct op *x = op_of(a->c, a->op[e->from]);
    const struct op *y = op_of(a->c, a->op[e->to]);

    buf_printf(b, "\nT%zu before T%zu: ", from, to);
    switch (e->kind) {
        case EDGE_WW:
            buf_printf(b, "T%zu appended to list %s after T%zu (ww)", to, l,
                       from);
            break;
        case EDGE_WR:
            buf_printf(b, "T%zu read in list %s what T%zu appended (wr)", to, l,
                       from);
            break;
        case EDGE_RW:
            buf_printf(b,
                       "T%zu did not read in list %s what T%zu appended "
                       "(rw)",
                       from, l, to);
            break;
        default:
            buf_printf(b, "it ended %.6f s before T%zu began (real time)",
                       seconds(y->t0 - x->t1), to);
            break;
    }
}

static void report_cycle(struct appends *a, const struct cycle *cy)
{
    uint32_t ops[CYCLE_EDGES_MAX];
    struct buf b = BUF_INIT;

    buf_printf(&b,
               "Each of %zu transactions came before the next, in a "
               "circle.",
               cy->n);
    for (size_t i = 0; i < cy->n; i++) {
        ops[i] = a->op[cy->edges[i].from];
    }
    for (size_t i = 0; i < cy->n; i++) {
        edge_words(a, &cy->edges[i], i + 1, i + 1 == cy->n ? 1 : i + 2, &b);
    }
    buf_u8(&b, 0);
    found_ring(a->c, W_APPEND, cy->name, ops, cy->n, (const char *)b.p);
    buf_release(&b);
}

static void look_for_cycles(struct appends *a)
{
    struct unseen u;
    struct cycle *cycles = hf_calloc(CYCLES_MAX, sizeof(*cycles));
    int64_t *t0;
    int64_t *t1;
    size_t n;

    graph_nodes(a);
    unseen_init(a, &u);
    edges_of_writes(a, &u);
    edges_of_reads(a, &u);
    t0 = hf_calloc((size_t)a->nodes + 1, sizeof(*t0));
    t1 = hf_calloc((size_t)a->nodes + 1, sizeof(*t1));
    for (uint32_t i = 0; i < a->nodes; i++) {
        const struct op *o = op_of(a->c, a->op[i]);
        t0[i] = o->t0;
        /* A refused one that was seen has no end that counts. */
        t1[i] = o->end == OP_OK ? o->t1 : OP_NEVER;
    }
    graph_time(&a->g, t0, t1);
    n = graph_cycles(&a->g, cycles);
    for (size_t i = 0; i < n; i++) {
        report_cycle(a, &cycles[i]);
    }
    free(t0);
    free(t1);
    free(u.first);
    free(u.node);
    free(cycles);
}

void check_append(struct check *c)
{
    struct appends a = {.c = c};

    a.node = hf_malloc((c->h->n_ops + 1) * sizeof(*a.node));
    a.op = hf_malloc((c->h->n_ops + 1) * sizeof(*a.op));
    memset(a.node, 0xFF, (c->h->n_ops + 1) * sizeof(*a.node));
    for (uint32_t i = 0; i < c->h->n_ops; i++) {
        if (op_of(c, i)->w == W_APPEND) {
            collect(&a, i);
        }
    }
    for (uint32_t i = 0; i < c->h->n_ops; i++) {
        const struct op *o = op_of(c, i);
        for (uint32_t k = 0;
             o->w == W_APPEND && o->end == OP_OK && k < o->out.n; k++) {
            if (!micro_of(&a, &o->out, k).append) {
                look_at_read(&a, i, k);
            }
        }
    }
    look_for_lost(&a);
    if (!a.broken) {
        look_for_cycles(&a);
    }
    looked_at(c, W_APPEND, "%zu lists, %u transactions, %zu edges", a.n_lists,
              a.nodes, a.g.n);
    pair_map_free(&a.keys);
    pair_map_free(&a.elems);
    free(a.lists);
    free(a.elem);
    free(a.node);
    free(a.op);
    graph_release(&a.g);
}
