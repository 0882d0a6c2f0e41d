/* Items, frozen roots and garbage of the map.
 *
 * Who can see what: a root frozen at generation g sees the nodes born at or
 * before g and the items changed at or before its revision, as far as they
 * were in the tree then. What is taken out of the tree while such a root is
 * held goes to the newest root's garbage; when that root is released its
 * garbage is handed to the next older root that can see it, or freed. */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "server/store/map_int.h"

/* ---- accounts ---- */

void map_account(struct map *m, size_t bytes)
{
    m->live += bytes;
    m->total += bytes;
}

static size_t item_size(const struct item *it)
{
    return sizeof *it + item_prefix_n(it) + item_key(it).n + it->value_n;
}

static struct item *item_new(struct map *m,
                             struct bytes key,
                             struct bytes value,
                             uint64_t deadline)
{
    size_t pre = deadline != 0 ? 8 : 0;
    struct item *it = hf_malloc(sizeof *it + pre + key.n + value.n);

    hf_assert(key.n <= LIM_KEY && value.n <= LIM_REQUEST_TOP);
    it->next = NULL;
    it->value_n = (uint32_t)value.n;
    it->key_n = (uint32_t)key.n;
    if (deadline != 0) {
        it->key_n |= 1U << ITEM_HAS_DEADLINE_BIT;
        memcpy(it->data, &deadline, 8);
    }
    if (key.n > 0) {
        memcpy(it->data + pre, key.p, key.n);
    }
    if (value.n > 0) {
        memcpy(it->data + pre + key.n, value.p, value.n);
    }
    map_account(m, item_size(it));
    return it;
}

/* ---- garbage ---- */

static void garbage_push(struct map *m,
                         struct map_root *r,
                         const void *p,
                         enum garbage_tag tag)
{
    struct chunk *c = r->garbage;

    hf_assert(((uintptr_t)p & GARBAGE_TAG_MASK) == 0);
    if (c == NULL || c->n == CHUNK_MAX) {
        c = hf_malloc(sizeof *c);
        c->next = r->garbage;
        c->n = 0;
        r->garbage = c;
        m->total += sizeof *c;
    }
    c->p[c->n++] = (uintptr_t)p | (uintptr_t)tag;
}

/* False when there is none. */
static bool garbage_pop(struct map *m,
                        struct map_root *r,
                        void **p,
                        enum garbage_tag *tag)
{
    struct chunk *c = r->garbage;

    if (c != NULL && c->n == 0) {
        r->garbage = c->next;
        m->total -= sizeof *c;
        free(c);
        c = r->garbage;
    }
    if (c == NULL) {
        return false;
    }
    c->n--;
    *tag = (enum garbage_tag)(c->p[c->n] & GARBAGE_TAG_MASK);
    *p = (void *)(c->p[c->n] & ~(uintptr_t)GARBAGE_TAG_MASK);
    return true;
}

static void free_item(struct map *m, struct item *it)
{
    m->total -= item_size(it);
    free(it);
}

static void free_node(struct map *m, struct map_node *n)
{
    m->total -= node_size(n);
    free(n);
}

bool map_node_shared(const struct map *m, const struct map_node *n)
{
    return n->owns && m->newest != NULL && n->born <= m->newest->gen;
}

void map_retire_node(struct map *m, struct map_node *n)
{
    m->live -= node_size(n);
    if (map_node_shared(m, n)) {
        garbage_push(m, m->newest, n, GARBAGE_NODE);
    } else {
        free_node(m, n);
    }
}

static bool item_shared(const struct map *m, const struct item *it)
{
    return m->newest != NULL && it->mod_rev <= m->newest->rev;
}

static void retire_item(struct map *m, struct item *it)
{
    m->live -= item_size(it);
    if (item_shared(m, it) && !mutant(STORE_FREE_SHARED)) {
        garbage_push(m, m->newest, it, GARBAGE_ITEM);
    } else {
        free_item(m, it);
    }
}

/* The newest held root older than @limit that can see this, or NULL. */
static struct map_root *seen_by(const struct map *m,
                                uint64_t limit,
                                const struct map_node *n,
                                const struct item *it)
{
    struct map_root *r = m->newest;

    while (r != NULL && r->gen >= limit) {
        r = r->next;
    }
    if (r == NULL) {
        return NULL;
    }
    if (n != NULL) {
        return n->owns && n->born <= r->gen ? r : NULL;
    }
    return it->mod_rev <= r->rev ? r : NULL;
}

static void free_or_hand_item(struct map *m, uint64_t limit, struct item *it)
{
    struct map_root *r = seen_by(m, limit, NULL, it);

    if (r != NULL) {
        garbage_push(m, r, it, GARBAGE_ITEM);
    } else {
        free_item(m, it);
    }
}

/* One piece of batch @b: freed, handed to an older root, or taken apart. */
static void garbage_do(struct map *m,
                       struct map_root *b,
                       void *p,
                       enum garbage_tag tag)
{
    struct map_node *n = p;
    struct map_root *r;

    if (tag == GARBAGE_RAW) {
        m->total -= sizeof(struct seg);
        free(p);
        return;
    }
    if (tag == GARBAGE_ITEM) {
        free_or_hand_item(m, b->gen, p);
        return;
    }
    r = seen_by(m, b->gen, n, NULL);
    if (r != NULL) {
        garbage_push(m, r, n, tag);
        return;
    }
    if (tag == GARBAGE_TREE) {
        for (unsigned i = 0; i < n->n; i++) {
            if (!n->leaf) {
                garbage_push(m, b, inner(n)->child[i], GARBAGE_TREE);
            } else if (n->owns) {
                free_or_hand_item(m, b->gen, n->min[i]);
            }
        }
    }
    free_node(m, n);
}

bool map_free_step(struct map *m, size_t budget)
{
    while (m->dying != NULL && budget > 0) {
        enum garbage_tag tag;
        void *p;

        if (garbage_pop(m, m->dying, &p, &tag)) {
            garbage_do(m, m->dying, p, tag);
            budget--;
        } else {
            struct map_root *b = m->dying;

            m->dying = b->next;
            free(b);
        }
    }
    return m->dying != NULL;
}

/* ---- life ---- */

struct map *map_new(void)
{
    struct map *m = hf_calloc(1, sizeof *m);

    m->gen = 1;
    m->deadlines.by_deadline = true;
    hash_init(m, 0);
    return m;
}

struct take {
    struct map *m;
    struct map_root *batch;
};

static void take_seg(void *ctx, struct seg *s)
{
    struct take *t = ctx;

    garbage_push(t->m, t->batch, s, GARBAGE_RAW);
}

/* Everything that is live becomes garbage; no index is left. */
static void drop_all(struct map *m)
{
    struct map_root *b = hf_calloc(1, sizeof *b);
    struct take t = {m, b};

    b->gen = m->gen;
    if (m->keys.root != NULL) {
        garbage_push(m, b, m->keys.root, GARBAGE_TREE);
    }
    if (m->deadlines.root != NULL) {
        garbage_push(m, b, m->deadlines.root, GARBAGE_TREE);
    }
    for (unsigned i = 0; i < MAP_DEPTH_MAX; i++) {
        if (m->open[i] != NULL) {
            garbage_push(m, b, m->open[i], GARBAGE_TREE);
            m->open[i] = NULL;
        }
    }
    hash_take(m, take_seg, &t);
    m->keys.root = NULL;
    m->keys.count = 0;
    m->deadlines.root = NULL;
    m->deadlines.count = 0;
    m->deadlines.deadlines = 0;
    m->live = 0;
    b->next = m->dying;
    m->dying = b;
}

void map_clear(struct map *m)
{
    drop_all(m);
    hash_init(m, 0);
}

bool map_free_sliced(struct map *m, size_t budget)
{
    hf_assert(m->newest == NULL);
    if (!m->freeing) {
        m->freeing = true;
        drop_all(m);
    }
    if (map_free_step(m, budget)) {
        return false;
    }
    hf_assert(m->total == 0);
    free(m);
    return true;
}

void map_free(struct map *m)
{
    if (m != NULL) {
        while (!map_free_sliced(m, SIZE_MAX)) {
        }
    }
}

/* ---- reading ---- */

void map_warm(const struct map *m, struct bytes key, unsigned stage)
{
    hash_warm(&m->hash, key, stage);
}

const struct item *map_get(const struct map *m, struct bytes key)
{
    struct item **slot = hash_slot(&m->hash, key);

    return slot == NULL ? NULL : *slot;
}

uint64_t map_count(const struct map *m)
{
    return m->keys.count;
}

size_t map_bytes(const struct map *m)
{
    return m->live;
}

size_t map_bytes_held(const struct map *m)
{
    return m->total - m->live;
}

uint64_t map_due(const struct map *m, uint64_t time)
{
    if (time == UINT64_MAX) {
        return m->deadlines.count;
    }
    return tree_rank(m->deadlines.root, time + 1);
}

uint64_t map_with_deadline(const struct map *m)
{
    return m->deadlines.count;
}

uint64_t map_deadline_mean(const struct map *m)
{
    return m->deadlines.count == 0
               ? 0
               : (uint64_t)(m->deadlines.deadlines / m->deadlines.count);
}

const struct item *map_first_deadline(const struct map *m)
{
    return m->deadlines.root == NULL ? NULL : m->deadlines.root->min[0];
}

uint64_t map_deadline_after(const struct map *m, uint64_t time)
{
    const struct map_node *n = m->deadlines.root;
    uint64_t best = 0;

    /* The next entry is in the last child that begins at or before @time, or
     * else it is what the child after that one begins with. */
    while (n != NULL) {
        unsigned i = 0;

        while (i < n->n && n->prefix[i] <= time) {
            i++;
        }
        if (i < n->n) {
            best = n->prefix[i];
        }
        if (n->leaf || i == 0) {
            break;
        }
        n = cinner(n)->child[i - 1];
    }
    return best;
}

/* ---- changing ---- */

/* Overwrite in place where nobody but the loop can see the item and the sizes
 * are the same: no index changes but that of deadlines. */
static bool put_in_place(struct map *m,
                         struct item *it,
                         struct bytes value,
                         uint64_t create_rev,
                         uint64_t mod_rev,
                         uint64_t deadline)
{
    uint64_t was = item_deadline(it);
    size_t pre = item_prefix_n(it);
    uint8_t *to = it->data + pre + item_key(it).n;

    if (item_shared(m, it) || it->value_n != value.n ||
        (was != 0) != (deadline != 0)) {
        return false;
    }
    if (was != deadline) {
        tree_remove(m, &m->deadlines, it);
        memcpy(it->data, &deadline, 8);
        tree_insert(m, &m->deadlines, it);
    }
    if (value.n > 0) {
        memmove(to, value.p, value.n);
    }
    it->create_rev = create_rev;
    it->mod_rev = mod_rev;
    return true;
}

/* A new item for @key, in the place of @old or, NULL, where there was none. */
static const struct item *put_new(struct map *m,
                                  struct item *old,
                                  struct bytes key,
                                  struct bytes value,
                                  uint64_t create_rev,
                                  uint64_t mod_rev,
                                  uint64_t deadline)
{
    struct item **slot = old == NULL ? NULL : hash_slot(&m->hash, key);
    struct item *it = item_new(m, key, value, deadline);

    it->create_rev = create_rev;
    it->mod_rev = mod_rev;
    if (tree_insert(m, &m->keys, it) == NULL) {
        hf_assert(old == NULL);
        hash_add(m, it, m->keys.count);
    } else {
        hf_assert(slot != NULL && *slot == old);
        it->next = old->next;
        *slot = it;
        if (item_deadline(old) != 0) {
            tree_remove(m, &m->deadlines, old);
        }
        retire_item(m, old);
    }
    if (deadline != 0) {
        tree_insert(m, &m->deadlines, it);
    }
    return it;
}

const struct item *map_put_over(struct map *m,
                                const struct item *old,
                                struct bytes key,
                                struct bytes value,
                                uint64_t create_rev,
                                uint64_t mod_rev,
                                uint64_t deadline)
{
    /* It is ours; only what is read from outside is const. */
    struct item *was = (struct item *)(uintptr_t)old;

    hf_assert(!m->freeing);
    hf_assert(m->newest == NULL || mod_rev > m->newest->rev);
    if (mod_rev > m->max_rev) {
        m->max_rev = mod_rev;
    }
    if (was != NULL &&
        put_in_place(m, was, value, create_rev, mod_rev, deadline)) {
        return was;
    }
    return put_new(m, was, key, value, create_rev, mod_rev, deadline);
}

const struct item *map_put(struct map *m,
                           struct bytes key,
                           struct bytes value,
                           uint64_t create_rev,
                           uint64_t mod_rev,
                           uint64_t deadline)
{
    return map_put_over(m, map_get(m, key), key, value, create_rev, mod_rev,
                        deadline);
}

bool map_delete(struct map *m, struct bytes key)
{
    struct item **slot = hash_slot(&m->hash, key);
    struct item *it;

    hf_assert(!m->freeing);
    if (slot == NULL) {
        return false;
    }
    it = *slot;
    if (item_deadline(it) != 0) {
        tree_remove(m, &m->deadlines, it);
    }
    tree_remove(m, &m->keys, it);
    hash_remove(m, it);
    retire_item(m, it);
    return true;
}

/* ---- frozen roots ---- */

struct map_root *map_freeze(struct map *m)
{
    struct map_root *r = hf_calloc(1, sizeof *r);

    hf_assert(m->roots_n < MAP_ROOTS_MAX && !m->freeing);
    r->gen = m->gen++;
    r->rev = m->max_rev;
    r->node = m->keys.root;
    r->count = m->keys.count;
    r->next = m->newest;
    m->newest = r;
    m->roots_n++;
    return r;
}

void map_release(struct map *m, struct map_root *r)
{
    struct map_root **p = &m->newest;

    while (*p != r) {
        hf_assert(*p != NULL);
        p = &(*p)->next;
    }
    *p = r->next;
    m->roots_n--;
    r->next = m->dying;
    m->dying = r;
}

unsigned map_roots(const struct map *m)
{
    return m->roots_n;
}

const struct map_node *map_root_node(const struct map_root *r)
{
    return r->node;
}

uint64_t map_root_count(const struct map_root *r)
{
    return r->count;
}

const struct map_node *map_live_node(const struct map *m)
{
    return m->keys.root;
}

/* ---- building ---- */

/* Keys for which the hash index is made in advance: what a stream claims is
 * not worth more memory than this before it has delivered. */
enum { BUILD_EXPECT_MAX = 4 << 20 };

void map_build_begin(struct map *m, uint64_t expected)
{
    unsigned depth = 0;

    hf_assert(m->keys.count == 0 && m->newest == NULL);
    if (expected > BUILD_EXPECT_MAX) {
        expected = BUILD_EXPECT_MAX;
    }
    while ((expected >> depth) > SEG_SIZE) {
        depth++;
    }
    free(m->hash.dir[0]);
    free(m->hash.dir);
    m->live -= sizeof(struct seg);
    m->total -= sizeof(struct seg);
    hash_init(m, depth);
}

bool map_build_add(struct map *m,
                   struct bytes key,
                   struct bytes value,
                   uint64_t create_rev,
                   uint64_t mod_rev,
                   uint64_t deadline)
{
    struct map_node *leaf = m->open[0];
    struct item *it;

    if (leaf != NULL &&
        bytes_cmp(item_key(leaf->min[leaf->n - 1U]), key) >= 0) {
        return false;
    }
    it = item_new(m, key, value, deadline);
    it->create_rev = create_rev;
    it->mod_rev = mod_rev;
    if (mod_rev > m->max_rev) {
        m->max_rev = mod_rev;
    }
    tree_append(m, it);
    hash_add(m, it, m->keys.count);
    if (deadline != 0) {
        tree_insert(m, &m->deadlines, it);
    }
    return true;
}

void map_build_end(struct map *m)
{
    tree_append_end(m);
}

void map_check(const struct map *m)
{
    uint64_t with_deadline = 0;
    struct map_iter iter;

    tree_check(m, &m->keys);
    tree_check(m, &m->deadlines);
    hash_check(m, m->keys.count);
    for (const struct item *it = map_iter_first(&iter, m->keys.root);
         it != NULL; it = map_iter_next(&iter)) {
        hf_assert(map_get(m, item_key(it)) == it);
        hf_assert(it->mod_rev <= m->max_rev);
        with_deadline += item_deadline(it) != 0;
    }
    hf_assert(with_deadline == m->deadlines.count);
    hf_assert(m->live <= m->total);
}
