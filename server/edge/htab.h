/* A hash table of structs that embed their node: chained, grows by doubling,
 * never shrinks, owns nothing but its slots. The owner hashes and compares:
 *
 *   for (struct hnode *h = htab_first(t, hash); h != NULL; h = h->next)
 *       if (h->hash == hash && ...)
 *
 * Zeroed is empty. */
#ifndef HF_SERVER_EDGE_HTAB_H
#define HF_SERVER_EDGE_HTAB_H

#include <stdint.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/bytes.h"

struct hnode {
    struct hnode *next;
    uint64_t hash;
};

struct htab {
    struct hnode **slots; /* a power of two, or none */
    size_t cap;
    size_t n;
};

enum { HTAB_FIRST = 16 };

static inline struct hnode *htab_first(const struct htab *t, uint64_t hash)
{
    return t->cap == 0 ? NULL : t->slots[hash & (t->cap - 1)];
}

static inline void htab_link(struct htab *t, struct hnode *h)
{
    struct hnode **at = &t->slots[h->hash & (t->cap - 1)];

    h->next = *at;
    *at = h;
}

static inline void htab_grow(struct htab *t)
{
    struct htab old = *t;

    t->cap = old.cap == 0 ? HTAB_FIRST : 2 * old.cap;
    t->slots = hf_calloc(t->cap, sizeof(struct hnode *));
    for (size_t i = 0; i < old.cap; i++) {
        while (old.slots[i] != NULL) {
            struct hnode *h = old.slots[i];

            old.slots[i] = h->next;
            htab_link(t, h);
        }
    }
    free(old.slots);
}

static inline void htab_add(struct htab *t, struct hnode *h, uint64_t hash)
{
    if (t->n == t->cap) {
        htab_grow(t);
    }
    h->hash = hash;
    htab_link(t, h);
    t->n++;
}

static inline void htab_remove(struct htab *t, struct hnode *h)
{
    struct hnode **at = &t->slots[h->hash & (t->cap - 1)];

    while (*at != h) {
        hf_assert(*at != NULL);
        at = &(*at)->next;
    }
    *at = h->next;
    t->n--;
}

/* Nothing is in it any more. */
static inline void htab_release(struct htab *t)
{
    hf_assert(t->n == 0);
    free(t->slots);
    *t = (struct htab){NULL, 0, 0};
}

#endif
