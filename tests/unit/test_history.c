/* The checks of the simulator see what they are there to see: a good history
 * passes, each planted lie is found. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/sim/history.h"

struct world {
    struct check *c;
    struct hist *h;
    uint64_t now;
    uint32_t list;
    struct buf value; /* of the list, as a server has it */
};

static uint64_t now_cb(void *data)
{
    return ((struct world *)data)->now;
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);

    w->c = check_new(now_cb, w);
    w->h = hist_new(w->c);
    w->list = hist_key(w->h, HIST_LIST);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;

    buf_release(&w->value);
    hist_free(w->h);
    check_free(w->c);
    free(w);
    return 0;
}

static uint32_t begin(struct world *w)
{
    return hist_begin(w->h, w->list, ++w->now);
}

/* The server does it. */
static void apply(struct world *w, uint32_t op)
{
    char tag[HIST_TAG];

    hist_tag(op, tag);
    buf_append(&w->value, tag, HIST_TAG);
}

static void ok(struct world *w, uint32_t op)
{
    hist_append_ok(w->h, op, ++w->now, (int64_t)w->value.n);
}

static void acknowledged(struct world *w)
{
    uint32_t op = begin(w);

    apply(w, op);
    ok(w, op);
}

static void final(struct world *w)
{
    hist_list_final(w->h, w->list, buf_bytes(&w->value));
}

static void assert_found(struct world *w, const char *text)
{
    assert_true(check_failed(w->c));
    assert_non_null(strstr(check_text(w->c), text));
}

/* Acknowledged, refused and unknown ones, each with a true end, pass. */
static void good_history(void **state)
{
    struct world *w = *state;
    uint32_t lost;
    uint32_t late;

    acknowledged(w);
    hist_not_applied(w->h, begin(w), ++w->now);
    lost = begin(w);
    hist_unknown(w->h, lost, ++w->now);
    late = begin(w);
    hist_unknown(w->h, late, ++w->now);
    acknowledged(w);
    apply(w, late);
    hist_list_read(w->h, w->list, w->now, w->now + 1, 0, buf_bytes(&w->value));
    final(w);
    assert_false(check_failed(w->c));
}

/* An acknowledged operation that is not there at the end. */
static void lost_write(void **state)
{
    struct world *w = *state;

    acknowledged(w);
    acknowledged(w);
    w->value.n -= HIST_TAG;
    final(w);
    assert_found(w, "is lost");
}

/* One that was said to be not applied, and is there. */
static void lie_about_failure(void **state)
{
    struct world *w = *state;
    uint32_t op = begin(w);

    hist_not_applied(w->h, op, ++w->now);
    apply(w, op);
    final(w);
    assert_found(w, "not applied");
}

/* One that is there twice. */
static void applied_twice(void **state)
{
    struct world *w = *state;
    uint32_t op = begin(w);

    apply(w, op);
    ok(w, op);
    apply(w, op);
    final(w);
    assert_found(w, "at place 2, and at 1");
}

/* A read that does not show what was acknowledged before it began. */
static void stale_read(void **state)
{
    struct world *w = *state;

    acknowledged(w);
    acknowledged(w);
    hist_list_read(w->h, w->list, w->now + 1, w->now + 2, 0,
                   bytes_of(w->value.p, HIST_TAG));
    assert_found(w, "was known before");
}

/* The same is allowed within the bound that the reader gave, and no later. */
static void bounded_stale_read(void **state)
{
    struct world *w = *state;
    struct bytes old;

    acknowledged(w);
    acknowledged(w);
    old = bytes_of(w->value.p, HIST_TAG);
    hist_list_read(w->h, w->list, w->now + 1000, w->now + 1001, 1000, old);
    assert_false(check_failed(w->c));
    hist_list_read(w->h, w->list, w->now + 1001, w->now + 1002, 1000, old);
    assert_found(w, "was known before");
}

/* Two reads that disagree about the past. */
static void split_brain(void **state)
{
    struct world *w = *state;
    uint32_t a = begin(w);
    uint32_t b = begin(w);

    apply(w, a);
    hist_list_read(w->h, w->list, w->now, w->now + 1, 0, buf_bytes(&w->value));
    w->value.n = 0;
    apply(w, b);
    hist_list_read(w->h, w->list, w->now, w->now + 1, 0, buf_bytes(&w->value));
    assert_found(w, "two histories");
}

/* An operation placed before one that had ended when it began. */
static void order_against_time(void **state)
{
    struct world *w = *state;
    uint32_t first = begin(w);
    uint32_t second;

    hist_append_ok(w->h, first, ++w->now, 2 * HIST_TAG);
    second = begin(w);
    hist_append_ok(w->h, second, ++w->now, HIST_TAG);
    assert_found(w, "before one known when it began");
}

/* Two lists of a pair, of which only one was changed. */
static void half_a_transaction(void **state)
{
    struct world *w = *state;
    uint32_t other = hist_key(w->h, HIST_LIST);

    apply(w, begin(w));
    hist_pair_read(w->h, w->list, other, buf_bytes(&w->value), bytes_of("", 0));
    assert_found(w, "change together");
}

/* A counter that counted one more than was asked. */
static void counted_twice(void **state)
{
    struct world *w = *state;
    uint32_t key = hist_key(w->h, HIST_COUNTER);

    hist_incr_ok(w->h, hist_begin(w->h, key, 1), 2, 1);
    hist_unknown(w->h, hist_begin(w->h, key, 3), 4);
    hist_counter_final(w->h, key, 2);
    assert_false(check_failed(w->c));
    hist_counter_final(w->h, key, 3);
    assert_found(w, "3 after 1 acknowledged and 1 unknown");
}

/* A register that shows a value which was overwritten before the read. */
static void overwritten_value(void **state)
{
    struct world *w = *state;
    uint32_t key = hist_key(w->h, HIST_REG);
    uint32_t a = hist_begin(w->h, key, 1);
    uint32_t b;
    char tag[HIST_TAG];

    hist_set_ok(w->h, a, 2);
    b = hist_begin(w->h, key, 3);
    hist_tag(a, tag);
    hist_reg_read(w->h, key, 4, 5, bytes_of(tag, HIST_TAG));
    hist_set_ok(w->h, b, 6);
    assert_false(check_failed(w->c));
    hist_reg_read(w->h, key, 7, 8, bytes_of(tag, HIST_TAG));
    assert_found(w, "overwritten");
}

/* A key that outlives its deadline, and one that does not reach it; after a
 * cold start neither is an error. */
static void deadlines(void **state)
{
    struct world *w = *state;
    uint32_t key = hist_key(w->h, HIST_TIMED);
    uint32_t op = hist_begin(w->h, key, 1000);
    char tag[HIST_TAG];
    struct bytes v = bytes_of(tag, HIST_TAG);

    hist_tag(op, tag);
    hist_timed_set(w->h, op, 1000000);
    hist_set_ok(w->h, op, 2000);
    hist_timed_read(w->h, key, 9000000, 9000001, v, 1500, false);
    hist_timed_read(w->h, key, 3000, 3001, bytes_of(NULL, 0), 1500, false);
    hist_timed_read(w->h, key, 3000, 3001, v, 500, false);
    assert_false(check_failed(w->c));
    hist_timed_read(w->h, key, 9000000, 9000001, v, 500, false);
    assert_found(w, "after its deadline");
}

/* Time never jumps while no cold start could have hidden a later one. */
static void gone_too_early(void **state)
{
    struct world *w = *state;
    uint32_t key = hist_key(w->h, HIST_TIMED);
    uint32_t op = hist_begin(w->h, key, 1000);
    struct bytes absent = bytes_of(NULL, 0);

    hist_timed_set(w->h, op, 1000000);
    hist_set_ok(w->h, op, 2000);
    hist_timed_read(w->h, key, 3000, 3001, absent, 500, true);
    assert_false(check_failed(w->c));
    hist_timed_read(w->h, key, 3000, 3001, absent, 500, false);
    assert_found(w, "before its deadline");
}

/* ---- what nodes report ---- */

static const struct node_observer *node(struct world *w, int slot)
{
    return check_observer(w->c, slot);
}

static void appended(struct world *w,
                     int slot,
                     uint64_t index,
                     uint64_t term,
                     const char *text)
{
    const struct node_observer *o = node(w, slot);

    o->on_append(o->self, (uint64_t)slot + 1, index, term, 1, bytes_str(text));
}

static void applied(struct world *w,
                    int slot,
                    uint64_t index,
                    uint64_t term,
                    const char *text,
                    uint64_t digest)
{
    const struct node_observer *o = node(w, slot);

    o->on_apply(o->self, (uint64_t)slot + 1, index, term, 1, bytes_str(text),
                digest);
}

static void leads(struct world *w, int slot, uint64_t term)
{
    const struct node_observer *o = node(w, slot);

    o->on_leader(o->self, (uint64_t)slot + 1, term);
}

/* Two leaders of one term. */
static void two_leaders(void **state)
{
    struct world *w = *state;

    leads(w, 0, 2);
    leads(w, 0, 3);
    assert_false(check_failed(w->c));
    leads(w, 1, 3);
    assert_found(w, "two leaders of term 3");
}

/* Different payloads under one (index, term). */
static void logs_differ(void **state)
{
    struct world *w = *state;

    appended(w, 0, 1, 2, "a");
    appended(w, 1, 1, 2, "a");
    assert_false(check_failed(w->c));
    appended(w, 2, 1, 2, "b");
    assert_found(w, "another payload");
}

/* Different entries applied at one index, or with different results. */
static void applies_differ(void **state)
{
    struct world *w = *state;

    applied(w, 0, 1, 2, "a", 77);
    applied(w, 1, 1, 2, "a", 77);
    assert_false(check_failed(w->c));
    applied(w, 2, 1, 2, "a", 78);
    assert_found(w, "another state");
}

/* An index left out. */
static void apply_skips(void **state)
{
    struct world *w = *state;

    applied(w, 0, 1, 2, "a", 0);
    applied(w, 0, 3, 2, "c", 0);
    assert_found(w, "applied 3 after 1");
}

/* A new leader that lacks what was applied. */
static void leader_lacks_entry(void **state)
{
    struct world *w = *state;

    appended(w, 0, 1, 2, "a");
    appended(w, 0, 2, 2, "b");
    applied(w, 0, 1, 2, "a", 0);
    applied(w, 0, 2, 2, "b", 0);
    appended(w, 1, 1, 2, "a");
    leads(w, 1, 3);
    assert_found(w, "a log up to 1; 2 was applied");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(good_history),   T(lost_write),         T(lie_about_failure),
        T(applied_twice),  T(stale_read),         T(bounded_stale_read),
        T(split_brain),    T(order_against_time), T(half_a_transaction),
        T(counted_twice),  T(overwritten_value),  T(deadlines),
        T(gone_too_early), T(two_leaders),        T(logs_differ),
        T(applies_differ), T(apply_skips),        T(leader_lacks_entry),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
