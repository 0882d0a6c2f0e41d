/* Inside the map: nodes, trees, the hash index, garbage. */
#ifndef HF_STORE_MAP_INT_H
#define HF_STORE_MAP_INT_H

#include "base/assert.h"
#include "base/mutant.h"
#include "server/store/map.h"

enum {
    NODE_MAX = 63,   /* a leaf is then exactly 1 KiB */
    NODE_MERGE = 16, /* below it a node looks for a sibling to merge with */
    NODE_MERGED = 48 /* which together must not be fuller than this */
};

/* Entry i of a leaf is an item; entry i of an inner node is a child, and
 * min[i] the smallest item below it. In the key tree all keys of a node share
 * their first @skip bytes, and prefix[i] is the next 8 bytes of min[i]'s key
 * as a number that sorts like them; in the tree of deadlines it is the
 * deadline. So most comparisons stay in the node. */
struct map_node {
    uint64_t born; /* generation of the map that made it */
    uint16_t n;
    bool leaf;
    bool owns; /* of the key tree: can be frozen, and its leaves own items */
    uint32_t skip;
    uint64_t prefix[NODE_MAX];
    struct item *min[NODE_MAX];
};
_Static_assert(sizeof(struct map_node) == 1024, "a leaf is 1 KiB");

struct map_inner {
    struct map_node h; /* first: a node can be either */
    struct map_node *child[NODE_MAX];
    uint64_t count[NODE_MAX]; /* items below each child */
};

static inline struct map_inner *inner(struct map_node *n)
{
    hf_assert(!n->leaf);
    return (struct map_inner *)(void *)n;
}

static inline const struct map_inner *cinner(const struct map_node *n)
{
    hf_assert(!n->leaf);
    return (const struct map_inner *)(const void *)n;
}

static inline size_t node_size(const struct map_node *n)
{
    return n->leaf ? sizeof(struct map_node) : sizeof(struct map_inner);
}

struct tree {
    struct map_node *root; /* NULL when empty */
    uint64_t count;
    unsigned __int128 deadlines; /* the sum of them, if in their order */
    bool by_deadline;            /* order is (deadline, key), else key */
};

/* ---- hash index: extendible hashing on the top bits ---- */
enum { SEG_BITS = 9, SEG_SIZE = 1 << SEG_BITS };
enum {
    SEG_SPLIT = SEG_SIZE + SEG_SIZE / 2, /* items above which it splits */
    SEG_MERGE = SEG_SIZE / 4             /* two buddies with fewer become one */
};

/* The items whose hash begins with the same @depth bits. The next SEG_BITS
 * bits choose the bucket: buckets are in hash order throughout. */
struct seg {
    uint32_t depth;
    uint32_t n;
    struct item *bucket[SEG_SIZE];
};

struct hash {
    struct seg **dir; /* 2^depth pointers; equal ones are neighbours */
    unsigned depth;
};

/* ---- garbage ---- */
enum garbage_tag {
    GARBAGE_ITEM = 0,
    GARBAGE_NODE = 1, /* the node alone */
    GARBAGE_TREE = 2, /* the node and all below it */
    GARBAGE_RAW = 3,  /* a segment */
    GARBAGE_TAG_MASK = 3
};

enum { CHUNK_MAX = 510 };
struct chunk {
    struct chunk *next;
    size_t n;
    uintptr_t p[CHUNK_MAX]; /* pointer | tag */
};

/* A frozen root while it is held; afterwards, with its garbage, a batch to be
 * freed. Only roots with a generation below @gen can still see that garbage:
 * what was retired while this root was the newest, no later one saw. */
struct map_root {
    struct map_root *next; /* next older active one; or next batch */
    uint64_t gen;
    uint64_t rev; /* items with a mod_rev up to it are visible */
    struct map_node *node;
    uint64_t count;
    struct chunk *garbage;
};

struct map {
    struct tree keys;
    struct tree deadlines;
    struct hash hash;
    uint64_t gen;     /* generation of nodes made now */
    uint64_t max_rev; /* largest mod_rev ever put */
    struct map_root *newest;
    unsigned roots_n;
    struct map_root *dying;
    size_t live;  /* bytes of live items, nodes, segments */
    size_t total; /* bytes allocated */
    bool freeing; /* map_free_sliced() has begun */
    /* map_build_*(): the open, rightmost node of each level. */
    struct map_node *open[MAP_DEPTH_MAX];
};

/* map.c */
void map_account(struct map *m, size_t bytes);
void map_retire_node(struct map *m, struct map_node *n);
bool map_node_shared(const struct map *m, const struct map_node *n);

/* map_tree.c. An item is in a tree under its own key and deadline. */
/* Put @it in; the item with an equal sort key that it replaced, or NULL. */
struct item *tree_insert(struct map *m, struct tree *t, struct item *it);
/* Take @it out, which must be in @t. */
void tree_remove(struct map *m, struct tree *t, const struct item *it);
/* Items with a deadline below @deadline. */
uint64_t tree_rank(const struct map_node *root, uint64_t deadline);
void tree_append(struct map *m, struct item *it);
void tree_append_end(struct map *m);
void tree_check(const struct map *m, const struct tree *t);
/* map_hash.c */
void hash_init(struct map *m, unsigned depth);
/* The place that points to the item with @key, NULL when there is none. */
struct item **hash_slot(const struct hash *h, struct bytes key);
void hash_warm(const struct hash *h, struct bytes key, unsigned stage);
/* @it must not be there yet. @n: items of the map, this one included. */
void hash_add(struct map *m, struct item *it, uint64_t n);
void hash_remove(struct map *m, struct item *it);
/* Empty the index, handing each segment to @fn. */
void hash_take(struct map *m, void (*fn)(void *ctx, struct seg *s), void *ctx);
void hash_check(const struct map *m, uint64_t n);

#endif
