/* Patience: what is learned from silences, and when it is forgotten. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "raftio/pace.h"

enum { BASE = 250, LIMIT = 1000, NOW = 1000000 };

static struct pace fresh(void)
{
    struct pace p;

    pace_init(&p, BASE, LIMIT);
    return p;
}

/* Heartbeats that come in time change nothing. */
static void good_wire(void **state)
{
    struct pace p = fresh();

    (void)state;
    assert_int_equal(pace_timeout(&p, NOW), BASE);
    for (uint64_t t = NOW; t < NOW + 20000; t += 50) {
        pace_note(&p, t, 50 + t % 30);
        assert_int_equal(pace_timeout(&p, t), BASE);
    }
}

/* Three times the longest silence, not of the last one. */
static void longest_counts(void **state)
{
    struct pace p = fresh();

    (void)state;
    pace_note(&p, NOW, 200);
    pace_note(&p, NOW + 1, 20);
    assert_int_equal(pace_timeout(&p, NOW + 1), 600);
    pace_note(&p, NOW + 2, 240);
    assert_int_equal(pace_timeout(&p, NOW + 2), 720);
}

/* Patience has an end, so that a death is noticed on the worst wire. */
static void bounded(void **state)
{
    struct pace p = fresh();

    (void)state;
    pace_note(&p, NOW, 900);
    assert_int_equal(pace_timeout(&p, NOW), LIMIT);
}

/* A cut wire or a restart is no jitter: nothing is learned from it. */
static void outage_teaches_nothing(void **state)
{
    struct pace p = fresh();

    (void)state;
    pace_note(&p, NOW, LIMIT + 1);
    assert_int_equal(pace_timeout(&p, NOW), BASE);
    pace_note(&p, NOW, LIMIT);
    assert_int_equal(pace_timeout(&p, NOW), LIMIT);
}

/* Whether or not anything is heard meanwhile, a silence counts for at least
 * 24 and at most 32 s. */
static void forgotten(void **state)
{
    (void)state;
    for (uint64_t at = NOW; at < NOW + 2 * PACE_SLOT_MS; at += 777) {
        for (uint64_t every = 500; every < 100000; every *= 3) {
            struct pace p = fresh();

            pace_note(&p, at, 200);
            for (uint64_t t = at; t < at + 200000; t += every) {
                uint64_t ms = pace_timeout(&p, t);

                if (t - at < (PACE_SLOTS - 1) * PACE_SLOT_MS) {
                    assert_int_equal(ms, 600);
                } else if (t - at >= PACE_SLOTS * PACE_SLOT_MS) {
                    assert_int_equal(ms, BASE);
                }
                pace_note(&p, t, 10);
            }
        }
    }
}

/* Every second slot's silence outlives the one before it. */
static void newer_outlives_older(void **state)
{
    struct pace p = fresh();

    (void)state;
    pace_note(&p, NOW, 300);
    pace_note(&p, NOW + 2 * PACE_SLOT_MS, 100);
    assert_int_equal(pace_timeout(&p, NOW + 2 * PACE_SLOT_MS), 900);
    assert_int_equal(pace_timeout(&p, NOW + 4 * PACE_SLOT_MS), 300);
    assert_int_equal(pace_timeout(&p, NOW + 6 * PACE_SLOT_MS), BASE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_wire), cmocka_unit_test(longest_counts),
        cmocka_unit_test(bounded),   cmocka_unit_test(outage_teaches_nothing),
        cmocka_unit_test(forgotten), cmocka_unit_test(newer_outlives_older),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
