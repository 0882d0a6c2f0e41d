#include "raftio/entry_cache.h"

#include <stdlib.h>

#include "base/assert.h"

enum { ENTRY_CACHE_MIN = 64 };

void entry_cache_init(struct entry_cache *c, uint64_t first)
{
    hf_assert(first > 0);
    memset(c, 0, sizeof *c);
    c->first = first;
    c->evicted = first - 1;
}

void entry_cache_release(struct entry_cache *c)
{
    entry_cache_reset(c, c->first);
    free(c->e);
    c->e = NULL;
    c->cap = 0;
}

uint64_t entry_cache_last(const struct entry_cache *c)
{
    return c->first + c->n - 1;
}

static struct entry *slot(const struct entry_cache *c, uint64_t index)
{
    return &c->e[(c->head + (index - c->first)) & (c->cap - 1)];
}

const struct entry *entry_cache_get(const struct entry_cache *c, uint64_t index)
{
    if (index < c->first || index - c->first >= c->n) {
        return NULL;
    }
    return slot(c, index);
}

bool entry_cache_has_payload(const struct entry_cache *c, uint64_t index)
{
    const struct entry *e = entry_cache_get(c, index);

    return e != NULL && (e->data.n == 0 || e->data.p != NULL);
}

static void grow(struct entry_cache *c)
{
    size_t cap = c->cap == 0 ? ENTRY_CACHE_MIN : c->cap * 2;
    struct entry *e = hf_malloc(cap * sizeof *e);

    for (size_t i = 0; i < c->n; i++) {
        e[i] = *slot(c, c->first + i);
    }
    free(c->e);
    c->e = e;
    c->head = 0;
    c->cap = cap;
}

void entry_cache_push(struct entry_cache *c, const struct entry *e)
{
    if (c->n == c->cap) {
        grow(c);
    }
    c->n++;
    *slot(c, entry_cache_last(c)) = *e;
    entry_ref(e);
    c->bytes += e->data.n;
}

/* Drop the payload of @e, which stays as term, type and length. */
static void drop_payload(struct entry_cache *c, struct entry *e)
{
    size_t n = e->data.n;

    if (e->data.p != NULL) {
        hf_assert(c->bytes >= n);
        c->bytes -= n;
    }
    entry_unref(e);
    e->data = bytes_of(NULL, n);
}

void entry_cache_truncate(struct entry_cache *c, uint64_t from)
{
    while (c->n > 0 && entry_cache_last(c) >= from) {
        drop_payload(c, slot(c, entry_cache_last(c)));
        c->n--;
    }
    if (c->evicted > entry_cache_last(c)) {
        c->evicted = entry_cache_last(c);
    }
}

void entry_cache_trim(struct entry_cache *c, uint64_t upto)
{
    while (c->n > 0 && c->first <= upto) {
        drop_payload(c, slot(c, c->first));
        c->head = (c->head + 1) & (c->cap - 1);
        c->n--;
        c->first++;
    }
    if (c->evicted < c->first - 1) {
        c->evicted = c->first - 1;
    }
}

void entry_cache_reset(struct entry_cache *c, uint64_t first)
{
    entry_cache_truncate(c, c->first);
    hf_assert(c->bytes == 0);
    c->first = first;
    c->head = 0;
    c->evicted = first - 1;
}

void entry_cache_evict(struct entry_cache *c, uint64_t upto, uint64_t max)
{
    while (c->bytes > max && c->evicted < upto &&
           c->evicted < entry_cache_last(c)) {
        c->evicted++;
        drop_payload(c, slot(c, c->evicted));
    }
}
