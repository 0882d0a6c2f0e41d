/* The key space: revisions, deadlines, expiry, ranges. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "server/store/store.h"

static struct bytes B(const char *s) {
    return bytes_str(s);
}

/* One request that stores one key; its revision. */
static uint64_t
put(struct store *s, const char *k, const char *v, uint64_t d)
{
    store_begin(s);
    store_put(s, B(k), B(v), d);
    return store_end(s);
}

static uint64_t put_n(struct store *s, unsigned i, uint64_t deadline)
{
    char key[16];

    snprintf(key, sizeof key, "k%07u", i);
    return put(s, key, "v", deadline);
}

static int setup(void **state)
{
    *state = store_new();
    store_advance(*state, 1000);
    return 0;
}

static int teardown(void **state)
{
    map_check(store_map(*state));
    store_free(*state);
    return 0;
}

/* All changes of a request share the next revision. */
static void one_revision_a_request(void **state)
{
    struct store *s = *state;

    assert_int_equal(put(s, "x", "1", 0), 1);
    store_begin(s);
    store_put(s, B("a"), B("1"), 0);
    store_put(s, B("b"), B("2"), 0);
    assert_true(store_delete(s, B("x")));
    assert_int_equal(store_end(s), 2);
    assert_int_equal(store_revision_of(s, B("a")), 2);
    assert_int_equal(store_revision_of(s, B("b")), 2);
    assert_int_equal(store_revision_of(s, B("x")), 0);
    assert_int_equal(store_revision(s), 2);
}

/* A request that changes nothing takes no revision. */
static void no_change_no_revision(void **state)
{
    struct store *s = *state;

    store_begin(s);
    assert_false(store_delete(s, B("none")));
    assert_false(store_set_deadline(s, B("none"), 5000));
    assert_int_equal(store_clear(s), 0);
    assert_int_equal(store_end(s), 0);
    assert_int_equal(store_revision(s), 0);
    put(s, "a", "1", 5000);
    store_begin(s);
    assert_true(store_set_deadline(s, B("a"), 5000));
    assert_int_equal(store_end(s), 0);
}

/* A key keeps the revision that created it until it goes. */
static void creating_revision(void **state)
{
    struct store *s = *state;

    put(s, "a", "1", 0);
    put(s, "a", "22", 0);
    assert_int_equal(store_get(s, B("a"))->create_rev, 1);
    assert_int_equal(store_get(s, B("a"))->mod_rev, 2);
    store_begin(s);
    store_delete(s, B("a"));
    store_put(s, B("a"), B("3"), 0);
    assert_int_equal(store_end(s), 3);
    assert_int_equal(store_get(s, B("a"))->create_rev, 3);
}

/* A key is there one millisecond before its deadline, absent at it, to every
 * way of looking, removed or not. */
static void absent_at_its_deadline(void **state)
{
    struct store *s = *state;
    struct store_iter it;

    put(s, "a", "1", 2000);
    put(s, "b", "1", 0);
    assert_int_equal(store_next_deadline(s, 0), 2000);
    store_advance(s, 1999);
    assert_non_null(store_get(s, B("a")));
    assert_int_equal(store_count(s), 2);
    store_advance(s, 2000);
    assert_null(store_get(s, B("a")));
    assert_int_equal(store_revision_of(s, B("a")), 0);
    assert_int_equal(store_count(s), 1);
    assert_int_equal(store_count_volatile(s), 0);
    assert_int_equal(store_expired_waiting(s), 1);
    assert_int_equal(store_next_deadline(s, 0), 0);
    assert_true(
        bytes_eq(item_key(store_iter_seek(s, &it, NULL, false)), B("b")));
    assert_null(store_iter_next(&it));
    store_begin(s);
    assert_false(store_delete(s, B("a")));
    assert_false(store_set_deadline(s, B("a"), 0));
    assert_int_equal(store_clear(s), 1);
    store_end(s);
    assert_int_equal(store_expired_waiting(s), 0);
}

/* Time does not go back. */
static void time_only_rises(void **state)
{
    struct store *s = *state;

    store_advance(s, 3000);
    store_advance(s, 2000);
    assert_int_equal(store_time(s), 3000);
}

struct events {
    unsigned n;
    enum store_event kind[4000];
    char key[4000][16];
    uint64_t rev[4000];
};

static void note(void *ctx,
                 enum store_event kind,
                 struct bytes key,
                 const struct item *item,
                 uint64_t revision)
{
    struct events *e = ctx;

    assert_true(e->n < 4000 && key.n < 16);
    assert_true((item != NULL) == (kind <= STORE_DEADLINE));
    e->kind[e->n] = kind;
    if (key.n > 0) {
        memcpy(e->key[e->n], key.p, key.n);
    }
    e->rev[e->n++] = revision;
}

/* Removal goes in deadline order, bounded, each key with its own revision. */
static void expiry_in_order(void **state)
{
    struct store *s = *state;
    struct events *e = hf_calloc(1, sizeof *e);

    for (unsigned i = 0; i < 1500; i++) {
        put_n(s, i, 9000 - i);
    }
    store_on_event(s, note, e);
    store_advance(s, 9000);
    assert_int_equal(store_count(s), 0);
    assert_int_equal(store_expire(s, 1000), 1000);
    assert_int_equal(e->n, 1000);
    assert_string_equal(e->key[0], "k0001499");
    assert_string_equal(e->key[999], "k0000500");
    assert_int_equal(e->rev[0], 1501);
    assert_int_equal(e->rev[999], 2500);
    assert_int_equal(e->kind[7], STORE_EXPIRE);
    assert_int_equal(store_expired_waiting(s), 500);
    assert_int_equal(store_expire(s, 1000), 500);
    assert_int_equal(store_expire(s, 1000), 0);
    assert_int_equal(store_count(s), 0);
    free(e);
}

/* Writing over a key that expired but is not removed yet begins a new one. */
static void put_over_expired(void **state)
{
    struct store *s = *state;
    struct events *e = hf_calloc(1, sizeof *e);

    put(s, "a", "1", 2000);
    store_advance(s, 2500);
    store_on_event(s, note, e);
    assert_int_equal(put(s, "a", "2", 0), 2);
    assert_int_equal(e->n, 2);
    assert_int_equal(e->kind[0], STORE_EXPIRE);
    assert_int_equal(e->kind[1], STORE_SET);
    assert_int_equal(store_get(s, B("a"))->create_rev, 2);
    assert_int_equal(store_expire(s, 10), 0);
    assert_int_equal(store_count(s), 1);
    free(e);
}

/* Changing only the deadline is a change: a watcher sees it. */
static void deadline_is_a_change(void **state)
{
    struct store *s = *state;

    put(s, "a", "1", 0);
    store_begin(s);
    assert_true(store_set_deadline(s, B("a"), 4000));
    assert_int_equal(store_end(s), 2);
    assert_int_equal(store_revision_of(s, B("a")), 2);
    assert_int_equal(item_deadline(store_get(s, B("a"))), 4000);
    store_begin(s);
    assert_true(store_set_deadline(s, B("a"), 0));
    store_end(s);
    store_advance(s, 9000);
    assert_true(bytes_eq(item_value(store_get(s, B("a"))), B("1")));
}

/* A clear is one change with one event; expired keys do not count. */
static void clear_is_one_change(void **state)
{
    struct store *s = *state;
    struct events *e = hf_calloc(1, sizeof *e);

    for (unsigned i = 0; i < 100; i++) {
        put_n(s, i, i % 2 == 0 ? 2000 : 0);
    }
    store_advance(s, 2000);
    store_on_event(s, note, e);
    store_begin(s);
    assert_int_equal(store_clear(s), 50);
    store_put(s, B("a"), B("1"), 0);
    assert_int_equal(store_end(s), 101);
    assert_int_equal(e->n, 2);
    assert_int_equal(e->kind[0], STORE_CLEAR);
    assert_int_equal(store_count(s), 1);
    free(e);
}

static unsigned range(struct store *s, const char *from, bool rev, char *out)
{
    struct store_iter it;
    struct bytes b = from == NULL ? B("") : B(from);
    unsigned n = 0;

    for (const struct item *x =
             store_iter_seek(s, &it, from == NULL ? NULL : &b, rev);
         x != NULL; x = store_iter_next(&it)) {
        out[n++] = (char)item_key(x).p[0];
    }
    out[n] = 0;
    return n;
}

/* Ranges run both ways from any point and skip what expired. */
static void ranges(void **state)
{
    struct store *s = *state;
    char out[8];

    for (unsigned i = 0; i < 5; i++) {
        char key[2] = {(char)('b' + 2 * (int)i), 0};

        put(s, key, "1", i == 2 ? 2000 : 0);
    }
    store_advance(s, 2000);
    range(s, NULL, false, out);
    assert_string_equal(out, "bdhj");
    range(s, NULL, true, out);
    assert_string_equal(out, "jhdb");
    range(s, "e", false, out);
    assert_string_equal(out, "hj");
    range(s, "f", true, out);
    assert_string_equal(out, "db");
    range(s, "z", false, out);
    assert_string_equal(out, "");
    range(s, "a", true, out);
    assert_string_equal(out, "");
}

static void count_one(void *ctx, const struct item *it)
{
    (void)it;
    ++*(unsigned *)ctx;
}

/* A scan gives what is present only. */
static void scan_skips_expired(void **state)
{
    struct store *s = *state;
    unsigned n = 0;
    uint64_t cursor = 0;

    for (unsigned i = 0; i < 1000; i++) {
        put_n(s, i, i < 300 ? 2000 : 0);
    }
    store_advance(s, 2000);
    do {
        cursor = store_scan(s, cursor, 10, count_one, &n);
    } while (cursor != 0);
    assert_int_equal(n, 700);
}

/* A value may come from the item that it replaces, larger or smaller. */
static void value_from_itself(void **state)
{
    struct store *s = *state;
    const struct item *it;

    put(s, "a", "0123456789", 0);
    it = store_get(s, B("a"));
    store_begin(s);
    store_put(s, item_key(it), bytes_of(item_value(it).p + 3, 4), 0);
    store_end(s);
    it = store_get(s, B("a"));
    assert_true(bytes_eq(item_value(it), B("3456")));
    store_begin(s);
    assert_true(store_delete(s, item_key(it)));
    store_end(s);
}

/* The running checksum tells histories apart. */
static void sum_of_history(void **state)
{
    struct store *s = *state;
    struct store *o = store_new();

    store_advance(o, 1000);
    put(s, "a", "1", 0);
    put(o, "a", "1", 0);
    assert_true(store_sum(s) == store_sum(o));
    put(s, "a", "2", 0);
    put(o, "a", "3", 0);
    assert_true(store_sum(s) != store_sum(o));
    store_free(o);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(one_revision_a_request), T(no_change_no_revision),
        T(creating_revision),      T(absent_at_its_deadline),
        T(time_only_rises),        T(expiry_in_order),
        T(put_over_expired),       T(deadline_is_a_change),
        T(clear_is_one_change),    T(ranges),
        T(scan_skips_expired),     T(value_from_itself),
        T(sum_of_history),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
