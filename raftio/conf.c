#include "raftio/conf.h"

#include <stdio.h>

#include "base/assert.h"
#include "base/err.h"

/* Layout (docs/FORMATS.md): version 1, u64 count, then per member u64 id,
 * NUL-terminated address, u8 role; zeros up to a multiple of 8. */
enum { CONF_VERSION = 1, CONF_ALIGN = 8 };

void conf_name(uint64_t id, char out[CONF_NAME_MAX])
{
    (void)snprintf(out, CONF_NAME_MAX, "n%llu", (unsigned long long)id);
}

static size_t padded(size_t n)
{
    return (n + CONF_ALIGN - 1) & ~(size_t)(CONF_ALIGN - 1);
}

/* A non-empty address of at most LIM_ADDR bytes with its NUL. */
static struct bytes read_address(struct reader *r)
{
    size_t room = r->n < LIM_ADDR ? r->n : LIM_ADDR;
    const uint8_t *end = room == 0 ? NULL : memchr(r->p, 0, room);

    if (end == NULL || end == r->p) {
        r->bad = true;
        return bytes_of(NULL, 0);
    }
    return rd_bytes(r, (size_t)(end - r->p) + 1);
}

static bool read_member(struct reader *r,
                        struct conf *c,
                        struct bytes *addresses)
{
    struct conf_member m;
    struct bytes a;

    m.id = rd_u64(r);
    a = read_address(r);
    m.role = rd_u8(r);
    if (!reader_ok(r) || m.id == 0 || m.role > CONF_SPARE) {
        return false;
    }
    for (unsigned i = 0; i < c->n; i++) {
        if (c->m[i].id == m.id || bytes_eq(addresses[i], a)) {
            return false;
        }
    }
    addresses[c->n] = a;
    c->m[c->n++] = m;
    return true;
}

int conf_decode(struct bytes b, struct conf *out)
{
    struct reader r = reader_of(b);
    struct bytes addresses[LIM_NODES];
    struct conf c = {0};
    uint8_t version = rd_u8(&r);
    uint64_t n = rd_u64(&r);

    if (!reader_ok(&r) || version != CONF_VERSION || n == 0 || n > LIM_NODES) {
        return HF_ECORRUPT;
    }
    for (uint64_t i = 0; i < n; i++) {
        if (!read_member(&r, &c, addresses)) {
            return HF_ECORRUPT;
        }
    }
    if (b.n != padded(b.n - r.n) || conf_voters(&c) == 0) {
        return HF_ECORRUPT;
    }
    while (r.n > 0) {
        if (rd_u8(&r) != 0) {
            return HF_ECORRUPT;
        }
    }
    *out = c;
    return 0;
}

struct blob *conf_encode(const struct conf *c)
{
    struct buf b = BUF_INIT;
    struct blob *blob;

    hf_assert(c->n > 0 && c->n <= LIM_NODES);
    buf_u8(&b, CONF_VERSION);
    buf_u64(&b, c->n);
    for (unsigned i = 0; i < c->n; i++) {
        char name[CONF_NAME_MAX];

        conf_name(c->m[i].id, name);
        buf_u64(&b, c->m[i].id);
        buf_append(&b, name, strlen(name) + 1);
        buf_u8(&b, (uint8_t)c->m[i].role);
    }
    while (b.n % CONF_ALIGN != 0) {
        buf_u8(&b, 0);
    }
    blob = blob_copy(b.p, b.n);
    buf_release(&b);
    return blob;
}

const struct conf_member *conf_find(const struct conf *c, uint64_t id)
{
    for (unsigned i = 0; i < c->n; i++) {
        if (c->m[i].id == id) {
            return &c->m[i];
        }
    }
    return NULL;
}

unsigned conf_voters(const struct conf *c)
{
    unsigned v = 0;

    for (unsigned i = 0; i < c->n; i++) {
        v += c->m[i].role == CONF_VOTER;
    }
    return v;
}

bool conf_is_lone(const struct conf *c, uint64_t id)
{
    const struct conf_member *m = conf_find(c, id);

    return m != NULL && m->role == CONF_VOTER && conf_voters(c) == 1;
}
