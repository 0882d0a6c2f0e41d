/* Users and what they may do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "server/command/category.h"
#include "tests/unit/acl_categories.h"

enum {
    REDIS_CATEGORIES = sizeof redis_categories / sizeof redis_categories[0]
};

static bool has_word(const char *words, const char *word)
{
    size_t n = strlen(word);

    for (const char *at = words; (at = strstr(at, word)) != NULL; at += n) {
        if ((at == words || at[-1] == ' ') && at[n] == ' ') {
            return true;
        }
    }
    return false;
}

static bool redis_has(const char *name)
{
    for (size_t i = 0; i < REDIS_CATEGORIES; i++) {
        if (has_word(redis_categories[i].commands, name)) {
            return true;
        }
    }
    return false;
}

/* Each command is either fast or slow; one that Redis has, too, is in the
 * same categories there. */
static void categories(void **state)
{
    char name[48];
    size_t rows;
    const struct command *c = command_table(&rows);
    size_t shared = 0;

    (void)state;
    for (size_t r = 0; r < rows; r++) {
        uint32_t set = command_categories(&c[r]);

        assert_true(((set & CAT_FAST) != 0) != ((set & CAT_SLOW) != 0));
        command_full_name(&c[r], name);
        if (!redis_has(name)) {
            continue;
        }
        shared++;
        for (size_t i = 0; i < REDIS_CATEGORIES; i++) {
            uint32_t bit =
                category_by_name(bytes_str(redis_categories[i].category));
            bool there = has_word(redis_categories[i].commands, name);

            assert_true(bit != 0);
            if (there != ((set & bit) != 0)) {
                fail_msg("%s in %s", name, redis_categories[i].category);
            }
        }
    }
    assert_true(shared >= 55);
}

/* A category is found by its name in any case, and others are not. */
static void category_names(void **state)
{
    (void)state;
    for (unsigned i = 0; i < CATEGORY_N; i++) {
        assert_int_equal(category_by_name(bytes_str(category_name(i))),
                         1u << i);
    }
    assert_int_equal(category_by_name(bytes_str("SortedSet")), CAT_SORTEDSET);
    assert_int_equal(category_by_name(bytes_str("sorted")), 0);
    assert_int_equal(category_by_name(bytes_str("")), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(categories),
        cmocka_unit_test(category_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
