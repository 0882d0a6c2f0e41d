/* A hash map from a pair of 64-bit numbers to a 32-bit one, for the checker's
 * tables: grows, never shrinks, no deletion. */
#ifndef HF_JEPSEN_CHECK_MAP_H
#define HF_JEPSEN_CHECK_MAP_H

#include <stdbool.h>
#include <stdlib.h>

#include "base/bytes.h"

struct pair_slot {
    uint64_t a;
    uint64_t b;
    uint32_t v;
    bool used;
};

struct pair_map {
    struct pair_slot *slots;
    size_t cap; /* 0 or a power of two */
    size_t n;
};

static inline uint64_t mix64(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31);
}

static inline struct pair_slot *pair_slot_of(const struct pair_map *m,
                                             uint64_t a,
                                             uint64_t b)
{
    size_t i = (size_t)mix64(a + mix64(b + 0x9E3779B97F4A7C15ULL));

    for (;; i++) {
        struct pair_slot *s = &m->slots[i & (m->cap - 1)];
        if (!s->used || (s->a == a && s->b == b)) {
            return s;
        }
    }
}

static inline void pair_map_grow(struct pair_map *m)
{
    struct pair_map old = *m;

    m->cap = old.cap == 0 ? 16 : old.cap * 2;
    m->slots = hf_calloc(m->cap, sizeof(*m->slots));
    for (size_t i = 0; i < old.cap; i++) {
        if (old.slots[i].used) {
            *pair_slot_of(m, old.slots[i].a, old.slots[i].b) = old.slots[i];
        }
    }
    free(old.slots);
}

/* The value of (a, b), made with @v if it was not there: *@added says so. */
static inline uint32_t *pair_map_put(struct pair_map *m,
                                     uint64_t a,
                                     uint64_t b,
                                     uint32_t v,
                                     bool *added)
{
    struct pair_slot *s;

    if (m->n * 2 >= m->cap) {
        pair_map_grow(m);
    }
    s = pair_slot_of(m, a, b);
    *added = !s->used;
    if (!s->used) {
        *s = (struct pair_slot){.a = a, .b = b, .v = v, .used = true};
        m->n++;
    }
    return &s->v;
}

/* NULL if it is not there. */
static inline uint32_t *pair_map_get(const struct pair_map *m,
                                     uint64_t a,
                                     uint64_t b)
{
    struct pair_slot *s;

    if (m->cap == 0) {
        return NULL;
    }
    s = pair_slot_of(m, a, b);
    return s->used ? &s->v : NULL;
}

static inline void pair_map_free(struct pair_map *m)
{
    free(m->slots);
    *m = (struct pair_map){NULL, 0, 0};
}

#endif
