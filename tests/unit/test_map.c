/* The ordered map against a plain sorted array, under freezes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "server/store/map.h"

/* ---- the model ---- */

struct entry {
    uint8_t key[40];
    size_t key_n;
    uint64_t value; /* the map holds it in 8 bytes, repeated by its parity */
    uint64_t rev;
    uint64_t deadline;
};

struct model {
    struct entry *e;
    size_t n;
    size_t cap;
};

static struct bytes entry_key(const struct entry *e)
{
    return bytes_of(e->key, e->key_n);
}

static size_t model_at(const struct model *m, struct bytes key, bool *found)
{
    size_t lo = 0;
    size_t hi = m->n;

    *found = false;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        int c = bytes_cmp(entry_key(&m->e[mid]), key);

        if (c == 0) {
            *found = true;
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

static void model_put(struct model *m, const struct entry *e)
{
    bool found;
    size_t at = model_at(m, entry_key(e), &found);

    if (!found) {
        if (m->n == m->cap) {
            m->cap = m->cap * 2 + 64;
            m->e = hf_realloc(m->e, m->cap * sizeof *m->e);
        }
        memmove(m->e + at + 1, m->e + at, (m->n - at) * sizeof *m->e);
        m->n++;
    }
    m->e[at] = *e;
}

static bool model_delete(struct model *m, struct bytes key)
{
    bool found;
    size_t at = model_at(m, key, &found);

    if (found) {
        m->n--;
        memmove(m->e + at, m->e + at + 1, (m->n - at) * sizeof *m->e);
    }
    return found;
}

static struct model model_copy(const struct model *m)
{
    struct model c = {NULL, m->n, m->n};

    c.e = hf_malloc((m->n + 1) * sizeof *c.e);
    if (m->n > 0) {
        memcpy(c.e, m->e, m->n * sizeof *c.e);
    }
    return c;
}

/* ---- keys and values of the tests ---- */

/* Few distinct keys; long common prefixes, zeros at the end, empty ones. */
static void random_key(struct rng *r, struct entry *e, uint64_t range)
{
    uint64_t v = rng_below(r, range);

    memset(e, 0, sizeof *e);
    switch (v % 4) {
        case 0:
            e->key_n = (size_t)(v / 4) % 12;
            e->key[e->key_n > 0 ? e->key_n - 1 : 0] = (uint8_t)(v / 48);
            break;
        case 1:
            memcpy(e->key, "key:00000", 9);
            put_u64(e->key + 9, v);
            e->key_n = 17;
            break;
        case 2:
            put_u64(e->key, v * 0x9E3779B97F4A7C15ULL);
            e->key_n = 8;
            break;
        default:
            e->key_n = (size_t)(v / 4) % 37;
            memset(e->key, 'a', e->key_n);
            put_u16(e->key + e->key_n, (uint16_t)v);
            e->key_n += v % 3;
            break;
    }
}

static size_t value_bytes(const struct entry *e, uint8_t out[16])
{
    put_u64(out, e->value);
    put_u64(out + 8, e->value);
    return e->value % 3 == 0 ? 16 : 8;
}

static void assert_same(const struct item *it, const struct entry *e)
{
    uint8_t v[16];
    size_t n = value_bytes(e, v);

    assert_non_null(it);
    assert_true(bytes_eq(item_key(it), entry_key(e)));
    assert_true(bytes_eq(item_value(it), bytes_of(v, n)));
    assert_int_equal(it->mod_rev, e->rev);
    assert_int_equal(item_deadline(it), e->deadline);
}

static void assert_tree(const struct map_node *root, const struct model *m)
{
    struct map_iter i;
    const struct item *it = map_iter_first(&i, root);

    for (size_t k = 0; k < m->n; k++) {
        assert_same(it, &m->e[k]);
        it = map_iter_next(&i);
    }
    assert_null(it);
    it = map_iter_last(&i, root);
    for (size_t k = m->n; k-- > 0;) {
        assert_same(it, &m->e[k]);
        it = map_iter_prev(&i);
    }
    assert_null(it);
}

static void put_both(struct map *map, struct model *m, const struct entry *e)
{
    uint8_t v[16];
    size_t n = value_bytes(e, v);

    map_put(map, entry_key(e), bytes_of(v, n), 1, e->rev, e->deadline);
    model_put(m, e);
}

static void assert_deadlines(const struct map *map, const struct model *m)
{
    for (uint64_t t = 0; t < 60; t += 7) {
        uint64_t due = 0;
        uint64_t after = 0;

        for (size_t k = 0; k < m->n; k++) {
            uint64_t d = m->e[k].deadline;

            due += d != 0 && d <= t;
            if (d > t && (after == 0 || d < after)) {
                after = d;
            }
        }
        assert_int_equal(map_due(map, t), due);
        assert_int_equal(map_deadline_after(map, t), after);
    }
}

static void assert_seeks(const struct map *map,
                         const struct model *m,
                         struct rng *r,
                         uint64_t range)
{
    struct map_iter i;
    struct entry e;
    const struct item *it;
    bool found;
    size_t at;

    random_key(r, &e, range);
    at = model_at(m, entry_key(&e), &found);
    assert_true((map_get(map, entry_key(&e)) != NULL) == found);
    it = map_iter_ge(&i, map_live_node(map), entry_key(&e));
    if (at < m->n) {
        assert_same(it, &m->e[at]);
        it = map_iter_next(&i);
        assert_true((it != NULL) == (at + 1 < m->n));
    } else {
        assert_null(it);
    }
    it = map_iter_le(&i, map_live_node(map), entry_key(&e));
    at = found ? at + 1 : at;
    if (at > 0) {
        assert_same(it, &m->e[at - 1]);
    } else {
        assert_null(it);
    }
}

struct frozen {
    struct map_root *root;
    struct model model;
};

static void thaw(struct map *map, struct frozen *f)
{
    assert_int_equal(map_root_count(f->root), f->model.n);
    assert_tree(map_root_node(f->root), &f->model);
    map_release(map, f->root);
    free(f->model.e);
    f->root = NULL;
}

/* Random changes, with up to four roots frozen and released in any order: the
 * live map and every root equal their models throughout. */
static void model_check(uint64_t seed, uint64_t range, unsigned steps)
{
    struct rng r = {seed};
    struct map *map = map_new();
    struct model m = {NULL, 0, 0};
    struct frozen frozen[MAP_ROOTS_MAX] = {0};
    uint64_t rev = 1;

    for (unsigned s = 0; s < steps; s++) {
        uint64_t what = rng_below(&r, 100);
        bool shrink = (s / (steps / 4 + 1)) % 2 == 1;
        struct frozen *f = &frozen[rng_below(&r, MAP_ROOTS_MAX)];
        struct entry e;

        random_key(&r, &e, range);
        e.rev = ++rev;
        e.value = rng_below(&r, 1000);
        e.deadline = rng_permille(&r, 300) ? 1 + rng_below(&r, 60) : 0;
        if (what < (shrink ? 25U : 60U)) {
            put_both(map, &m, &e);
        } else if (what < 93) {
            assert_true(map_delete(map, entry_key(&e)) ==
                        model_delete(&m, entry_key(&e)));
        } else if (what < 94 && rng_permille(&r, 20)) {
            map_clear(map);
            m.n = 0;
        } else if (what < 96 && f->root == NULL) {
            f->root = map_freeze(map);
            f->model = model_copy(&m);
        } else if (what < 97 && f->root != NULL) {
            thaw(map, f);
        }
        map_free_step(map, rng_below(&r, 4));
        assert_int_equal(map_count(map), m.n);
        assert_seeks(map, &m, &r, range);
        if (s % 256 == 0) {
            map_check(map);
            assert_tree(map_live_node(map), &m);
            assert_deadlines(map, &m);
        }
    }
    for (unsigned i = 0; i < MAP_ROOTS_MAX; i++) {
        if (frozen[i].root != NULL) {
            thaw(map, &frozen[i]);
        }
    }
    while (map_free_step(map, 10)) {
    }
    assert_int_equal(map_bytes_held(map), 0);
    map_check(map);
    map_free(map);
    free(m.e);
}

/* The map does what a sorted array does, frozen roots included. */
static void equals_model(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        model_check(seed, 200, 6000);
        model_check(seed + 100, 6000, 12000);
    }
    model_check(7777, 40000, 60000);
}

static void put_number(struct map *m, uint64_t i, uint64_t rev)
{
    char key[24];
    int n = snprintf(key, sizeof key, "key:%012llu", (unsigned long long)i);

    map_put(m, bytes_of(key, (size_t)n), bytes_str("value"), rev, rev, 0);
}

static void delete_number(struct map *m, uint64_t i)
{
    char key[24];
    int n = snprintf(key, sizeof key, "key:%012llu", (unsigned long long)i);

    assert_true(map_delete(m, bytes_of(key, (size_t)n)));
}

/* A released root's memory goes in slices, each of bounded work. */
static void frees_in_slices(void **state)
{
    struct map *m = map_new();
    struct map_root *root;
    unsigned slices = 0;

    (void)state;
    for (uint64_t i = 0; i < 20000; i++) {
        put_number(m, i, 1);
    }
    root = map_freeze(m);
    map_clear(m);
    while (map_free_step(m, 10)) {
    }
    assert_true(map_bytes_held(m) > 20000 * 50);
    map_release(m, root);
    while (map_free_step(m, 10)) {
        slices++;
    }
    assert_true(slices > 25);
    assert_int_equal(map_bytes_held(m), 0);
    map_free(m);
}

/* Building from sorted input gives the map that putting gives. */
static void builds_sorted(void **state)
{
    struct map *built = map_new();
    struct map *put = map_new();
    struct map_iter i;
    struct map_iter k;
    const struct item *a;
    const struct item *b;

    (void)state;
    for (uint64_t n = 0; n < 30000; n++) {
        put_number(put, (n * 7919) % 30000, 1 + n);
    }
    map_build_begin(built, 1000);
    for (a = map_iter_first(&i, map_live_node(put)); a != NULL;
         a = map_iter_next(&i)) {
        assert_true(map_build_add(built, item_key(a), item_value(a),
                                  a->create_rev, a->mod_rev, 0));
        assert_false(map_build_add(built, item_key(a), item_value(a), 1, 1, 0));
    }
    map_build_end(built);
    map_check(built);
    a = map_iter_first(&i, map_live_node(put));
    b = map_iter_first(&k, map_live_node(built));
    while (a != NULL && b != NULL) {
        assert_true(bytes_eq(item_key(a), item_key(b)));
        assert_int_equal(a->mod_rev, b->mod_rev);
        a = map_iter_next(&i);
        b = map_iter_next(&k);
    }
    assert_true(a == NULL && b == NULL);
    put_number(built, 999999, 50000);
    delete_number(built, 15000);
    map_check(built);
    map_free(built);
    map_free(put);
}

/* ---- scan ---- */

struct seen {
    uint8_t times[40000];
    uint64_t total;
    uint64_t order; /* hash of what came in which order */
};

static void see(void *ctx, const struct item *it)
{
    struct seen *s = ctx;
    struct bytes k = item_key(it);
    unsigned long long i = strtoull((const char *)k.p + 4, NULL, 10);
    uint8_t step[16];

    if (i < 40000) {
        s->times[i]++;
    }
    s->total++;
    put_u64(step, s->order);
    put_u64(step + 8, i);
    s->order = map_hash(bytes_of(step, 16));
}

/* A key that is there throughout is given exactly once, while the map grows
 * or shrinks between the calls. */
static void scans_each_once(void **state)
{
    for (int grow = 0; grow < 2; grow++) {
        struct seen *s = hf_calloc(1, sizeof *s);
        struct map *m = map_new();
        uint64_t cursor = 0;
        uint64_t extra = 2000;
        uint64_t total = grow ? 2000 : 40000;

        (void)state;
        for (uint64_t i = 0; i < total; i++) {
            put_number(m, i, 1);
        }
        do {
            cursor = map_scan(m, cursor, 10, see, s);
            assert_true(cursor < 1ULL << MAP_CURSOR_BITS);
            for (int k = 0; k < 200 && extra < 40000; k++, extra++) {
                if (grow) {
                    put_number(m, extra, 2);
                } else {
                    delete_number(m, extra);
                }
            }
        } while (cursor != 0);
        for (unsigned i = 0; i < 2000; i++) {
            assert_int_equal(s->times[i], 1);
        }
        map_check(m);
        map_free(m);
        free(s);
    }
}

/* What a scan gives, and its cursors, are a function of the contents: not of
 * how the index came to be. */
static void scan_is_deterministic(void **state)
{
    struct seen *a = hf_calloc(1, sizeof *a);
    struct seen *b = hf_calloc(1, sizeof *b);
    struct map *grown = map_new();
    struct map *shrunk = map_new();
    uint64_t cursor = 0;

    (void)state;
    for (uint64_t i = 0; i < 3000; i++) {
        put_number(grown, i, 1);
    }
    for (uint64_t i = 40000; i-- > 0;) {
        put_number(shrunk, i, 1);
    }
    for (uint64_t i = 3000; i < 40000; i++) {
        delete_number(shrunk, i);
    }
    do {
        uint64_t next = map_scan(grown, cursor, 7, see, a);

        assert_int_equal(map_scan(shrunk, cursor, 7, see, b), next);
        assert_true(a->order == b->order);
        cursor = next;
    } while (cursor != 0);
    assert_int_equal(a->total, 3000);
    map_free(grown);
    map_free(shrunk);
    free(a);
    free(b);
}

/* A cursor from elsewhere does no harm. */
static void scan_any_cursor(void **state)
{
    struct seen *s = hf_calloc(1, sizeof *s);
    struct map *m = map_new();

    (void)state;
    for (uint64_t i = 0; i < 5000; i++) {
        put_number(m, i, 1);
    }
    assert_int_equal(map_scan(m, 1ULL << 53, 10, see, s), 0);
    assert_int_equal(map_scan(m, UINT64_MAX, 10, see, s), 0);
    assert_int_equal(s->total, 0);
    assert_int_equal(map_scan(m, (1ULL << 53) - 1, 10, see, s), 0);
    assert_int_equal(map_scan(m, 0, UINT64_MAX, see, s), 0);
    assert_int_equal(s->total, 5000);
    map_free(m);
    free(s);
}

/* The hash is the same on every machine and in every version: scan cursors
 * travel. */
static void hash_is_fixed(void **state)
{
    uint8_t key[32];

    (void)state;
    for (uint8_t i = 0; i < 32; i++) {
        key[i] = i;
    }
    assert_true(map_hash(bytes_of("", 0)) == 0x78D35E122B53694EULL);
    assert_true(map_hash(bytes_str("a")) == 0x0D6458DFB84C5971ULL);
    assert_true(map_hash(bytes_str("key:0000000001")) == 0x46D34C63FD719DDEULL);
    assert_true(map_hash(bytes_of(key, 32)) == 0xEF53A7202D88073BULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_model),
        cmocka_unit_test(frees_in_slices),
        cmocka_unit_test(builds_sorted),
        cmocka_unit_test(scans_each_once),
        cmocka_unit_test(scan_is_deterministic),
        cmocka_unit_test(scan_any_cursor),
        cmocka_unit_test(hash_is_fixed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
