/* kv bench: which request is next, and its bytes. */
#include <math.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/mutant.h"
#include "client/kv_bench_int.h"
#include "resp/resp.h"

enum { POOL_EXTRA = 4096 }; /* values begin at so many places */

/* ---- Zipf's law ---- */

/* The integral of x^-s, and its inverse. */
static double area(double x)
{
    return (pow(x, 1 - ZIPF_EXPONENT) - 1) / (1 - ZIPF_EXPONENT);
}

static double area_inverse(double u)
{
    return pow(1 + u * (1 - ZIPF_EXPONENT), 1 / (1 - ZIPF_EXPONENT));
}

void zipf_init(struct zipf *z, uint64_t n)
{
    hf_assert(n > 0);
    z->n = n;
    z->h_first = area(1.5) - 1;
    z->h_last = area((double)n + 0.5);
    z->accept = 2 - area_inverse(area(2.5) - pow(2, -ZIPF_EXPONENT));
}

uint64_t zipf_next(const struct zipf *z, struct rng *r)
{
    for (;;) {
        double unit = (double)(rng_next(r) >> 11) * 0x1p-53;
        double u = z->h_last + unit * (z->h_first - z->h_last);
        double x = area_inverse(u);
        double k = floor(x + 0.5);

        k = k < 1 ? 1 : k > (double)z->n ? (double)z->n : k;
        if (k - x <= z->accept || u >= area(k + 0.5) - pow(k, -ZIPF_EXPONENT)) {
            return (uint64_t)k - 1;
        }
    }
}

/* ---- requests ---- */

static size_t digits_of(uint64_t v)
{
    size_t n = 1;

    for (; v >= 10; v /= 10) {
        n++;
    }
    return n;
}

bool mix_keys_fit(uint64_t keys, size_t key_size)
{
    return key_size >= sizeof(BENCH_KEY_PREFIX) - 1 + digits_of(keys - 1);
}

void mix_init(struct mix *m, const struct bench_config *cfg)
{
    uint8_t *key = hf_malloc(cfg->key_size);
    size_t n = sizeof(BENCH_KEY_PREFIX) - 1;

    memset(m, 0, sizeof(*m));
    hf_assert(mix_keys_fit(cfg->keys, cfg->key_size));
    m->cfg = cfg;
    m->rng.s = cfg->seed;
    zipf_init(&m->zipf, cfg->keys);
    memset(key, '0', cfg->key_size);
    memcpy(key, BENCH_KEY_PREFIX, n);
    resp_array(&m->get, 2);
    resp_bulk_str(&m->get, "GET");
    resp_bulk(&m->get, bytes_of(key, cfg->key_size));
    m->get_digit = m->get.n - 2; /* before the line end */
    resp_array(&m->set, 3);
    resp_bulk_str(&m->set, "SET");
    resp_bulk(&m->set, bytes_of(key, cfg->key_size));
    m->set_digit = m->set.n - 2;
    buf_printf(&m->set, "$%zu\r\n", cfg->value_size);
    m->pool = hf_malloc(cfg->value_size + POOL_EXTRA);
    for (size_t i = 0; i < cfg->value_size + POOL_EXTRA; i++) {
        m->pool[i] = (uint8_t)rng_next(&m->rng);
    }
    free(key);
}

void mix_release(struct mix *m)
{
    buf_release(&m->get);
    buf_release(&m->set);
    free(m->pool);
}

static uint64_t next_key(struct mix *m)
{
    if (m->cfg->in_order) {
        return m->turn++ % m->cfg->keys;
    }
    return m->cfg->zipf ? zipf_next(&m->zipf, &m->rng)
                        : rng_below(&m->rng, m->cfg->keys);
}

/* The key's number, right-aligned before @end. What an earlier one left of its
 * digits is overwritten with zeros. */
static void put_digits(uint8_t *end, uint64_t v, size_t n)
{
    for (; n > 0; n--, v /= 10) {
        *--end = (uint8_t)('0' + v % 10);
    }
}

bool mix_next(struct mix *m, struct buf *out)
{
    size_t digits = digits_of(m->cfg->keys - 1);
    bool read = rng_below(&m->rng, 100) < m->cfg->reads;
    uint64_t key = next_key(m);

    if (read) {
        put_digits(m->get.p + m->get_digit, key, digits);
        buf_append(out, m->get.p, m->get.n);
    } else {
        put_digits(m->set.p + m->set_digit, key, digits);
        buf_reserve(out, m->set.n + m->cfg->value_size + 2);
        buf_append(out, m->set.p, m->set.n);
        buf_append(out, m->pool + rng_below(&m->rng, POOL_EXTRA),
                   m->cfg->value_size);
        buf_append(out, "\r\n", 2);
    }
    return read;
}
