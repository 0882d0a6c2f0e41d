/* A hash table of structs that embed their node: chained, grows by a slot at a
 * time, never shrinks, owns nothing but its slots. The owner hashes and
 * compares:
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

/* Linear hashing: each insertion splits one slot, so there is no moment at
 * which all are moved. Slots below @cap are in use; @half is the power of two
 * at or below it. */
struct htab {
    struct hnode **slots;
    size_t cap;
    size_t half;
    size_t room; /* slots there is memory for */
    size_t n;
};

enum { HTAB_FIRST = 16 };

static inline struct hnode **htab_slot(const struct htab *t, uint64_t hash)
{
    size_t i = hash & (2 * t->half - 1);

    return &t->slots[i < t->cap ? i : i - t->half];
}

static inline struct hnode *htab_first(const struct htab *t, uint64_t hash)
{
    return t->cap == 0 ? NULL : *htab_slot(t, hash);
}

static inline void htab_link(struct htab *t, struct hnode *h)
{
    struct hnode **at = htab_slot(t, h->hash);

    h->next = *at;
    *at = h;
}

static inline void htab_begin(struct htab *t)
{
    t->slots = hf_calloc(HTAB_FIRST, sizeof(struct hnode *));
    t->cap = t->half = t->room = HTAB_FIRST;
}

/* One slot more: it takes its part of the one that stood for both. */
static inline void htab_split(struct htab *t)
{
    struct hnode *h;

    if (t->cap == t->room) {
        t->room *= 2;
        t->slots = hf_realloc(t->slots, t->room * sizeof(struct hnode *));
    }
    h = t->slots[t->cap - t->half];
    t->slots[t->cap - t->half] = NULL;
    t->slots[t->cap++] = NULL;
    while (h != NULL) {
        struct hnode *next = h->next;

        htab_link(t, h);
        h = next;
    }
    t->half *= t->cap == 2 * t->half ? 2 : 1;
}

static inline void htab_add(struct htab *t, struct hnode *h, uint64_t hash)
{
    if (t->cap == 0) {
        htab_begin(t);
    } else if (t->n >= t->cap) {
        htab_split(t);
    }
    h->hash = hash;
    htab_link(t, h);
    t->n++;
}

static inline void htab_remove(struct htab *t, struct hnode *h)
{
    struct hnode **at = htab_slot(t, h->hash);

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
    memset(t, 0, sizeof *t);
}

#endif
