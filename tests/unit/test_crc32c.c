#include "base/crc32c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* The vectors of RFC 3720 B.4 come out, so other tools can check our files. */
static void known_vectors(void **state)
{
    uint8_t b[32];

    (void)state;
    assert_int_equal(crc32c(0, "123456789", 9), 0xE3069283U);
    memset(b, 0, sizeof b);
    assert_int_equal(crc32c(0, b, sizeof b), 0x8A9136AAU);
    memset(b, 0xFF, sizeof b);
    assert_int_equal(crc32c(0, b, sizeof b), 0x62A8AB43U);
    for (uint8_t i = 0; i < 32; i++) {
        b[i] = i;
    }
    assert_int_equal(crc32c(0, b, sizeof b), 0x46DD794EU);
}

/* However a message is cut in two, and however it lies in memory, its
 * checksum is the same. */
static void pieces_and_alignment(void **state)
{
    enum { LEN = 67 };
    uint8_t b[LEN + 8];
    uint32_t whole;

    (void)state;
    for (size_t shift = 0; shift < 8; shift++) {
        for (size_t i = 0; i < LEN; i++) {
            b[shift + i] = (uint8_t)(i * 37 + 11);
        }
        whole = crc32c(0, b + shift, LEN);
        for (size_t cut = 0; cut <= LEN; cut++) {
            uint32_t c = crc32c(0, b + shift, cut);

            assert_int_equal(crc32c(c, b + shift + cut, LEN - cut), whole);
        }
    }
    assert_int_equal(whole, crc32c(0, b + 7, LEN));
}

/* Any single flipped bit changes the checksum. */
static void any_flipped_bit(void **state)
{
    uint8_t b[40];
    uint32_t whole;

    (void)state;
    for (size_t i = 0; i < sizeof b; i++) {
        b[i] = (uint8_t)(i * 5);
    }
    whole = crc32c(0, b, sizeof b);
    for (size_t bit = 0; bit < sizeof b * 8; bit++) {
        b[bit / 8] ^= (uint8_t)(1U << (bit % 8));
        assert_int_not_equal(crc32c(0, b, sizeof b), whole);
        b[bit / 8] ^= (uint8_t)(1U << (bit % 8));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_vectors),
        cmocka_unit_test(pieces_and_alignment),
        cmocka_unit_test(any_flipped_bit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
