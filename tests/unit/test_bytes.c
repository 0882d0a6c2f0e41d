#include "base/bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Keys sort as unsigned bytes, shorter first on a common prefix. */
static void order_of_keys(void **state)
{
    static const char *const sorted[] = {"", "a", "aa", "ab", "b", "\xff"};
    const size_t n = sizeof sorted / sizeof sorted[0];

    (void)state;
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < n; k++) {
            int c = bytes_cmp(bytes_str(sorted[i]), bytes_str(sorted[k]));

            assert_int_equal(c < 0, i < k);
            assert_int_equal(c == 0, i == k);
        }
    }
}

/* A command's name matches in any case, and only as a whole. */
static void literal_in_any_case(void **state)
{
    (void)state;
    assert_true(bytes_ieq(bytes_str("gEt"), "GET"));
    assert_false(bytes_ieq(bytes_str("ge"), "GET"));
    assert_false(bytes_ieq(bytes_str("gett"), "GET"));
    assert_false(bytes_ieq(bytes_str("g\0t"), "GET"));
}

static void write_record(struct buf *b)
{
    buf_u8(b, 0xA1);
    buf_u16(b, 0xB1B2);
    buf_u32(b, 0xC1C2C3C4U);
    buf_u64(b, 0xD1D2D3D4D5D6D7D8ULL);
    buf_lbytes(b, bytes_str("holdfast"));
}

/* What was written is read back, to the last byte. */
static void round_trip(void **state)
{
    struct buf b = BUF_INIT;
    struct reader r;

    (void)state;
    write_record(&b);
    r = reader_of(buf_bytes(&b));
    assert_int_equal(rd_u8(&r), 0xA1);
    assert_int_equal(rd_u16(&r), 0xB1B2);
    assert_int_equal(rd_u32(&r), 0xC1C2C3C4U);
    assert_true(rd_u64(&r) == 0xD1D2D3D4D5D6D7D8ULL);
    assert_true(bytes_eq(rd_lbytes(&r), bytes_str("holdfast")));
    assert_true(reader_done(&r));
    assert_int_equal(b.p[1], 0xB2); /* little-endian on every machine */
    buf_release(&b);
}

/* Cut anywhere, a record is refused, and nothing past the end is read (the
 * copy is exactly as long as the cut, so that a sanitizer sees it). */
static void cut_at_every_length(void **state)
{
    struct buf b = BUF_INIT;

    (void)state;
    write_record(&b);
    for (size_t n = 0; n < b.n; n++) {
        uint8_t *copy = hf_malloc(n + 1);
        struct reader r = reader_of(bytes_of(copy, n));

        memcpy(copy, b.p, n);
        rd_u8(&r);
        rd_u16(&r);
        rd_u32(&r);
        rd_u64(&r);
        rd_lbytes(&r);
        assert_false(reader_ok(&r));
        assert_int_equal(rd_u64(&r), 0);
        free(copy);
    }
    buf_release(&b);
}

/* A foreign length near the top of its range is refused, not added up. */
static void huge_length_is_refused(void **state)
{
    struct buf b = BUF_INIT;
    struct reader r;

    (void)state;
    buf_u32(&b, 0xFFFFFFFFU);
    buf_append(&b, "xy", 2);
    r = reader_of(buf_bytes(&b));
    assert_int_equal(rd_lbytes(&r).n, 0);
    assert_false(reader_ok(&r));
    r = reader_of(buf_bytes(&b));
    assert_int_equal(rd_bytes(&r, SIZE_MAX).n, 0);
    assert_false(reader_ok(&r));
    buf_release(&b);
}

/* Bytes are taken from the front in the order they went in. */
static void consume_keeps_the_rest(void **state)
{
    struct buf b = BUF_INIT;

    (void)state;
    for (int i = 0; i < 1000; i++) {
        buf_printf(&b, "%03d", i);
    }
    for (int i = 0; i < 1000; i++) {
        char want[8];

        snprintf(want, sizeof want, "%03d", i);
        assert_memory_equal(b.p, want, 3);
        buf_consume(&b, 3);
    }
    assert_int_equal(b.n, 0);
    buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_of_keys),
        cmocka_unit_test(literal_in_any_case),
        cmocka_unit_test(round_trip),
        cmocka_unit_test(cut_at_every_length),
        cmocka_unit_test(huge_length_is_refused),
        cmocka_unit_test(consume_keeps_the_rest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
