/* The B+tree of the map: wide nodes, copied on the way down where a frozen
 * root can see them. */
#include <endian.h>
#include <string.h>

#include "server/store/map_int.h"

/* Where an item is in a tree; @deadline counts only in that of deadlines. */
struct sort_key {
    uint64_t deadline;
    struct bytes key;
};

static struct sort_key sort_key_of(const struct item *it)
{
    struct sort_key k = {item_deadline(it), item_key(it)};

    return k;
}

/* 8 bytes from @skip on as a number that sorts like them; short keys are
 * padded with zeros, so equal prefixes decide nothing. */
static uint64_t key_prefix(struct bytes key, size_t skip)
{
    uint64_t v = 0;
    size_t left = key.n > skip ? key.n - skip : 0;

    if (left >= 8) {
        memcpy(&v, key.p + skip, 8);
    } else if (left > 0) {
        memcpy(&v, key.p + skip, left);
    }
    return be64toh(v);
}

static uint64_t node_prefix(const struct map_node *n, const struct item *it)
{
    return n->owns ? key_prefix(item_key(it), n->skip) : item_deadline(it);
}

static size_t common(struct bytes a, struct bytes b)
{
    size_t max = a.n < b.n ? a.n : b.n;
    size_t i = 0;

    while (i < max && a.p[i] == b.p[i]) {
        i++;
    }
    return i;
}

/* How @key compares with the bytes that all keys of @n share; 0: it has them
 * too. */
static int skip_cmp(const struct map_node *n, struct bytes key)
{
    struct bytes first;
    int c;

    if (n->skip == 0 || n->n == 0) {
        return 0;
    }
    first = item_key(n->min[0]);
    if (key.n < n->skip) {
        c = key.n == 0 ? 0 : memcmp(key.p, first.p, key.n);
        return c == 0 ? -1 : c;
    }
    return memcmp(key.p, first.p, n->skip);
}

/* First entry at or after the sort key. */
static unsigned lower_bound(const struct map_node *n,
                            struct sort_key k,
                            bool *equal)
{
    unsigned lo = 0;
    unsigned hi = n->n;
    int c = n->owns ? skip_cmp(n, k.key) : 0;
    uint64_t prefix;

    *equal = false;
    if (c != 0) {
        return c < 0 ? 0 : hi;
    }
    prefix = n->owns ? key_prefix(k.key, n->skip) : k.deadline;
    while (lo < hi) {
        unsigned mid = (lo + hi) / 2;

        if (n->prefix[mid] != prefix) {
            c = n->prefix[mid] < prefix ? -1 : 1;
        } else {
            c = bytes_cmp(item_key(n->min[mid]), k.key);
        }
        if (c == 0) {
            *equal = true;
            return mid;
        }
        if (c < 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

/* The child below which the sort key belongs. */
static unsigned child_of(const struct map_node *n, struct sort_key k)
{
    bool equal;
    unsigned i = lower_bound(n, k, &equal);

    return equal || i == 0 ? i : i - 1;
}

static void node_set_skip(struct map_node *n, size_t skip)
{
    n->skip = (uint32_t)skip;
    for (unsigned i = 0; i < n->n; i++) {
        n->prefix[i] = node_prefix(n, n->min[i]);
    }
}

/* @it is about to become an entry of @n: skip no more than it shares. */
static void node_admit(struct map_node *n, const struct item *it)
{
    size_t shared;

    if (n->skip == 0) {
        return;
    }
    if (n->n == 0) {
        n->skip = 0;
    } else if (skip_cmp(n, item_key(it)) != 0) {
        shared = common(item_key(n->min[0]), item_key(it));
        node_set_skip(n, shared);
    }
}

/* Skip what all keys share, where that gains something: the window of 8
 * bytes then shows where they differ. */
static void node_tighten(struct map_node *n)
{
    const size_t worth = 4;
    size_t shared;

    if (!n->owns || n->n < 2) {
        return;
    }
    /* Sorted: what the first and the last share, all share. */
    shared = common(item_key(n->min[0]), item_key(n->min[n->n - 1U]));
    if (shared > n->skip + worth) {
        node_set_skip(n, shared);
    }
}

static struct map_node *node_new(struct map *m, bool leaf, bool owns)
{
    size_t size = leaf ? sizeof(struct map_node) : sizeof(struct map_inner);
    struct map_node *n = hf_malloc(size);

    n->born = m->gen;
    n->n = 0;
    n->leaf = leaf;
    n->owns = owns;
    n->skip = 0;
    map_account(m, size);
    return n;
}

/* The node at *@slot, for changing: a copy when a frozen root can see it. */
static struct map_node *node_own(struct map *m, struct map_node **slot)
{
    struct map_node *old = *slot;
    struct map_node *n;

    if (!map_node_shared(m, old) || mutant(STORE_COW_IN_PLACE)) {
        return old;
    }
    n = node_new(m, old->leaf, old->owns);
    memcpy(n, old, node_size(old));
    n->born = m->gen;
    *slot = n;
    map_retire_node(m, old);
    return n;
}

static uint64_t node_count(const struct map_node *n)
{
    uint64_t sum = 0;

    if (n->leaf) {
        return n->n;
    }
    for (unsigned i = 0; i < n->n; i++) {
        sum += cinner(n)->count[i];
    }
    return sum;
}

/* What is put into a node: an item (child NULL), or a child. */
struct entry {
    struct item *min;
    struct map_node *child;
    uint64_t count;
};

static struct entry entry_of_child(struct map_node *c)
{
    struct entry e = {c->min[0], c, node_count(c)};

    return e;
}

static void node_insert(struct map_node *n, unsigned at, struct entry e)
{
    size_t tail = (size_t)n->n - at;

    hf_assert(n->n < NODE_MAX && at <= n->n);
    node_admit(n, e.min);
    memmove(n->prefix + at + 1, n->prefix + at, tail * sizeof n->prefix[0]);
    memmove(n->min + at + 1, n->min + at, tail * sizeof n->min[0]);
    n->prefix[at] = node_prefix(n, e.min);
    n->min[at] = e.min;
    if (!n->leaf) {
        struct map_inner *x = inner(n);

        memmove(x->child + at + 1, x->child + at, tail * sizeof x->child[0]);
        memmove(x->count + at + 1, x->count + at, tail * sizeof x->count[0]);
        x->child[at] = e.child;
        x->count[at] = e.count;
    }
    n->n++;
}

static void node_delete(struct map_node *n, unsigned at)
{
    size_t tail = (size_t)n->n - at - 1;

    hf_assert(at < n->n);
    memmove(n->prefix + at, n->prefix + at + 1, tail * sizeof n->prefix[0]);
    memmove(n->min + at, n->min + at + 1, tail * sizeof n->min[0]);
    if (!n->leaf) {
        struct map_inner *x = inner(n);

        memmove(x->child + at, x->child + at + 1, tail * sizeof x->child[0]);
        memmove(x->count + at, x->count + at + 1, tail * sizeof x->count[0]);
    }
    n->n--;
}

/* Append entries @from.. of @src to @dst, which are all after its own. */
static void node_move(struct map_node *dst, struct map_node *src, unsigned from)
{
    unsigned k = src->n - from;
    unsigned at = dst->n;

    hf_assert(dst->leaf == src->leaf && at + k <= NODE_MAX);
    memcpy(dst->prefix + at, src->prefix + from, k * sizeof src->prefix[0]);
    memcpy(dst->min + at, src->min + from, k * sizeof src->min[0]);
    if (!src->leaf) {
        memcpy(inner(dst)->child + at, inner(src)->child + from,
               k * sizeof(struct map_node *));
        memcpy(inner(dst)->count + at, inner(src)->count + from,
               k * sizeof(uint64_t));
    }
    dst->n = (uint16_t)(at + k);
    if (at == 0) {
        dst->skip = src->skip;
    } else if (dst->owns) {
        node_set_skip(dst, common(item_key(dst->min[0]),
                                  item_key(dst->min[dst->n - 1U])));
    }
}

struct path {
    struct map_node *node[MAP_DEPTH_MAX];
    unsigned at[MAP_DEPTH_MAX];
    unsigned depth; /* nodes above the leaf */
};

/* Go down to the leaf of the sort key, owning every node on the way. */
static struct map_node *descend(struct map *m,
                                struct tree *t,
                                struct sort_key k,
                                struct path *p)
{
    struct map_node *n = node_own(m, &t->root);

    p->depth = 0;
    while (!n->leaf) {
        unsigned i = child_of(n, k);

        hf_assert(p->depth < MAP_DEPTH_MAX - 1);
        p->node[p->depth] = n;
        p->at[p->depth] = i;
        p->depth++;
        n = node_own(m, &inner(n)->child[i]);
    }
    return n;
}

static void parent_min(struct map_node *parent,
                       unsigned at,
                       const struct map_node *child)
{
    if (parent->min[at] == child->min[0]) {
        return;
    }
    node_admit(parent, child->min[0]);
    parent->min[at] = child->min[0];
    parent->prefix[at] = node_prefix(parent, parent->min[at]);
}

/* Insert where there is no room: half of the entries, or none when the new
 * one goes at the end (rising keys then leave full nodes), move to a new node
 * on the right, which is returned. */
static struct map_node *split_insert(struct map *m,
                                     struct map_node *n,
                                     unsigned at,
                                     struct entry e)
{
    unsigned mid = at == n->n ? n->n : n->n / 2;
    struct map_node *right = node_new(m, n->leaf, n->owns);

    node_move(right, n, mid);
    n->n = (uint16_t)mid;
    if (at > mid || mid == NODE_MAX) {
        node_insert(right, at - mid, e);
    } else {
        node_insert(n, at, e);
    }
    node_tighten(n);
    node_tighten(right);
    return right;
}

static void new_root(struct map *m, struct tree *t, struct map_node *right)
{
    struct map_node *left = t->root;
    struct map_node *top = node_new(m, false, left->owns);

    node_insert(top, 0, entry_of_child(left));
    node_insert(top, 1, entry_of_child(right));
    t->root = top;
}

/* Put @e into @n at @at, splitting upward as far as needed. */
static void insert_up(struct map *m,
                      struct tree *t,
                      struct path *p,
                      struct map_node *n,
                      unsigned at,
                      struct entry e)
{
    struct map_node *right = NULL;

    if (n->n < NODE_MAX) {
        node_insert(n, at, e);
    } else {
        right = split_insert(m, n, at, e);
    }
    for (unsigned d = p->depth; d-- > 0;) {
        struct map_node *up = p->node[d];
        unsigned i = p->at[d];

        parent_min(up, i, n);
        if (right == NULL) {
            inner(up)->count[i]++;
        } else {
            inner(up)->count[i] = node_count(n);
            e = entry_of_child(right);
            right = NULL;
            if (up->n < NODE_MAX) {
                node_insert(up, i + 1, e);
            } else {
                right = split_insert(m, up, i + 1, e);
            }
        }
        n = up;
    }
    if (right != NULL) {
        new_root(m, t, right);
    }
}

struct item *tree_insert(struct map *m, struct tree *t, struct item *it)
{
    struct sort_key k = sort_key_of(it);
    struct entry e = {it, NULL, 1};
    struct path p;
    struct map_node *n;
    unsigned at;
    bool equal;

    if (t->root == NULL) {
        t->root = node_new(m, true, !t->by_deadline);
    }
    n = descend(m, t, k, &p);
    at = lower_bound(n, k, &equal);
    if (!equal) {
        insert_up(m, t, &p, n, at, e);
        t->count++;
        t->deadlines += t->by_deadline ? item_deadline(it) : 0;
        return NULL;
    }
    struct item *old = n->min[at];

    n->min[at] = it;
    for (unsigned d = p.depth; d-- > 0 && at == 0;) {
        parent_min(p.node[d], p.at[d], n);
        n = p.node[d];
        at = p.at[d];
    }
    return old;
}

/* Child @i of @up is small: merge it with a neighbour if both fit. */
static void merge_child(struct map *m, struct map_node *up, unsigned i)
{
    struct map_inner *x = inner(up);
    unsigned l = i + 1 < up->n ? i : i - 1;
    struct map_node *left;
    struct map_node *right;

    if (up->n < 2 || x->child[l]->n + x->child[l + 1]->n > NODE_MERGED) {
        return;
    }
    left = node_own(m, &x->child[l]);
    right = x->child[l + 1];
    node_move(left, right, 0);
    x->count[l] += x->count[l + 1];
    parent_min(up, l, left);
    node_delete(up, l + 1);
    map_retire_node(m, right);
}

static void lower_root(struct map *m, struct tree *t)
{
    struct map_node *n = t->root;

    while (!n->leaf && n->n == 1) {
        t->root = inner(n)->child[0];
        map_retire_node(m, n);
        n = t->root;
    }
    if (n->n == 0) {
        t->root = NULL;
        map_retire_node(m, n);
    }
}

void tree_remove(struct map *m, struct tree *t, const struct item *it)
{
    struct sort_key k = sort_key_of(it);
    struct path p;
    struct map_node *n = descend(m, t, k, &p);
    bool equal;
    unsigned at = lower_bound(n, k, &equal);

    hf_assert(equal);
    node_delete(n, at);
    t->count--;
    t->deadlines -= t->by_deadline ? item_deadline(it) : 0;
    for (unsigned d = p.depth; d-- > 0;) {
        struct map_node *up = p.node[d];
        unsigned i = p.at[d];

        inner(up)->count[i]--;
        if (n->n == 0) {
            node_delete(up, i);
            map_retire_node(m, n);
        } else {
            parent_min(up, i, n);
            if (n->n < NODE_MERGE) {
                merge_child(m, up, i);
            }
        }
        n = up;
    }
    lower_root(m, t);
}

uint64_t tree_rank(const struct map_node *n, uint64_t deadline)
{
    uint64_t rank = 0;

    while (n != NULL) {
        unsigned i = 0;

        while (i < n->n && n->prefix[i] < deadline) {
            i++;
        }
        if (n->leaf) {
            return rank + i;
        }
        if (i == 0) {
            return rank;
        }
        for (unsigned k = 0; k + 1 < i; k++) {
            rank += cinner(n)->count[k];
        }
        n = cinner(n)->child[i - 1];
    }
    return rank;
}

/* ---- building from the left ---- */

/* Entries that a built node takes: some room, so that the first inserts do
 * not split every one of them. */
enum { BUILD_FILL = 56 };

static void append_at(struct map *m, unsigned level, struct entry e)
{
    struct map_node *n;

    for (;; level++) {
        hf_assert(level < MAP_DEPTH_MAX - 1);
        n = m->open[level];
        if (n == NULL) {
            n = m->open[level] = node_new(m, level == 0, true);
        }
        if (n->n < BUILD_FILL) {
            node_insert(n, n->n, e);
            return;
        }
        node_tighten(n);
        m->open[level] = node_new(m, level == 0, true);
        node_insert(m->open[level], 0, e);
        e = entry_of_child(n);
    }
}

void tree_append(struct map *m, struct item *it)
{
    struct entry e = {it, NULL, 1};

    append_at(m, 0, e);
    m->keys.count++;
}

void tree_append_end(struct map *m)
{
    unsigned level = 0;

    for (; level + 1 < MAP_DEPTH_MAX; level++) {
        struct map_node *n = m->open[level];

        if (n == NULL) {
            break;
        }
        m->open[level] = NULL;
        if (m->open[level + 1] == NULL) {
            m->keys.root = n;
            break;
        }
        append_at(m, level + 1, entry_of_child(n));
    }
}

/* ---- checks ---- */

static bool in_order(const struct tree *t,
                     const struct item *a,
                     const struct item *b)
{
    if (t->by_deadline && item_deadline(a) != item_deadline(b)) {
        return item_deadline(a) < item_deadline(b);
    }
    return bytes_cmp(item_key(a), item_key(b)) < 0;
}

static uint64_t check_node(const struct map *m,
                           const struct tree *t,
                           const struct map_node *n,
                           unsigned depth)
{
    uint64_t count = 0;

    hf_assert(n->n > 0 && n->n <= NODE_MAX && depth < MAP_DEPTH_MAX);
    hf_assert(n->owns == !t->by_deadline && n->born <= m->gen);
    for (unsigned i = 0; i < n->n; i++) {
        hf_assert(n->prefix[i] == node_prefix(n, n->min[i]));
        hf_assert(common(item_key(n->min[0]), item_key(n->min[i])) >= n->skip);
        if (i > 0) {
            hf_assert(in_order(t, n->min[i - 1], n->min[i]));
        }
        if (n->leaf) {
            count++;
            continue;
        }
        const struct map_node *c = cinner(n)->child[i];
        uint64_t below = check_node(m, t, c, depth + 1);

        hf_assert(c->min[0] == n->min[i]);
        hf_assert(below == cinner(n)->count[i]);
        count += below;
    }
    return count;
}

void tree_check(const struct map *m, const struct tree *t)
{
    uint64_t n = t->root == NULL ? 0 : check_node(m, t, t->root, 0);

    hf_assert(n == t->count);
}

/* ---- iteration ---- */

static const struct item *iter_item(const struct map_iter *it)
{
    const struct map_node *n;

    if (it->depth == 0) {
        return NULL;
    }
    n = it->node[it->depth - 1];
    return n->min[it->at[it->depth - 1]];
}

static void iter_push(struct map_iter *it,
                      const struct map_node *n,
                      unsigned at)
{
    hf_assert(it->depth < MAP_DEPTH_MAX);
    it->node[it->depth] = n;
    it->at[it->depth] = (uint16_t)at;
    it->depth++;
}

/* From @n down its first (or last) edge to a leaf. */
static const struct item *iter_edge(struct map_iter *it,
                                    const struct map_node *n,
                                    bool last)
{
    while (n != NULL) {
        unsigned at = last ? n->n - 1U : 0;

        iter_push(it, n, at);
        n = n->leaf ? NULL : cinner(n)->child[at];
    }
    return iter_item(it);
}

const struct item *map_iter_first(struct map_iter *it,
                                  const struct map_node *root)
{
    it->depth = 0;
    return iter_edge(it, root, false);
}

const struct item *map_iter_last(struct map_iter *it,
                                 const struct map_node *root)
{
    it->depth = 0;
    return iter_edge(it, root, true);
}

const struct item *map_iter_next(struct map_iter *it)
{
    while (it->depth > 0) {
        const struct map_node *n = it->node[it->depth - 1];
        unsigned at = ++it->at[it->depth - 1];

        if (at < n->n) {
            return n->leaf ? n->min[at]
                           : iter_edge(it, cinner(n)->child[at], false);
        }
        it->depth--;
    }
    return NULL;
}

const struct item *map_iter_prev(struct map_iter *it)
{
    while (it->depth > 0) {
        const struct map_node *n = it->node[it->depth - 1];
        unsigned at = it->at[it->depth - 1];

        if (at > 0) {
            at = --it->at[it->depth - 1];
            return n->leaf ? n->min[at]
                           : iter_edge(it, cinner(n)->child[at], true);
        }
        it->depth--;
    }
    return NULL;
}

/* To the last entry at or before the sort key, or the first of all. True when
 * what was found is not after it. */
static bool iter_seek(struct map_iter *it,
                      const struct map_node *n,
                      struct bytes key)
{
    struct sort_key k = {0, key};

    it->depth = 0;
    if (n == NULL) {
        return false;
    }
    for (;;) {
        unsigned at = child_of(n, k);

        if (at == n->n) {
            at--;
        }
        iter_push(it, n, at);
        if (n->leaf) {
            return bytes_cmp(item_key(n->min[at]), key) <= 0;
        }
        n = cinner(n)->child[at];
    }
}

const struct item *map_iter_ge(struct map_iter *it,
                               const struct map_node *root,
                               struct bytes key)
{
    if (iter_seek(it, root, key) && !bytes_eq(item_key(iter_item(it)), key)) {
        return map_iter_next(it);
    }
    return iter_item(it);
}

const struct item *map_iter_le(struct map_iter *it,
                               const struct map_node *root,
                               struct bytes key)
{
    if (!iter_seek(it, root, key)) {
        it->depth = 0;
    }
    return iter_item(it);
}
