#include "base/crc32c.h"

#include <string.h>

/* Slicing-by-8 tables, filled from the polynomial before main() runs, so that
 * worker threads only ever read them. */
static uint32_t crc_table[8][256];

__attribute__((constructor)) static void crc_fill(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;

        for (int k = 0; k < 8; k++) {
            c = (c & 1) ? (c >> 1) ^ 0x82F63B78U : c >> 1;
        }
        crc_table[0][i] = c;
    }
    for (int t = 1; t < 8; t++) {
        for (uint32_t i = 0; i < 256; i++) {
            uint32_t c = crc_table[t - 1][i];

            crc_table[t][i] = (c >> 8) ^ crc_table[0][c & 0xFF];
        }
    }
}

static uint32_t crc_soft(uint32_t c, const uint8_t *p, size_t n)
{
    while (n >= 8) {
        uint64_t w;

        memcpy(&w, p, 8); /* little-endian hosts only, like the formats */
        w ^= c;
        c = 0;
        for (int t = 0; t < 8; t++) {
            c ^= crc_table[7 - t][(w >> (8 * t)) & 0xFF];
        }
        p += 8;
        n -= 8;
    }
    while (n-- > 0) {
        c = (c >> 8) ^ crc_table[0][(c ^ *p++) & 0xFF];
    }
    return c;
}

#if defined(__x86_64__)
#include <nmmintrin.h>

__attribute__((target("sse4.2"))) static uint32_t crc_hard(uint32_t crc,
                                                           const uint8_t *p,
                                                           size_t n)
{
    uint64_t c = crc;

    while (n >= 8) {
        uint64_t w;

        memcpy(&w, p, 8);
        c = _mm_crc32_u64(c, w);
        p += 8;
        n -= 8;
    }
    while (n-- > 0) {
        c = _mm_crc32_u8((uint32_t)c, *p++);
    }
    return (uint32_t)c;
}

static int crc_has_hard(void)
{
    return __builtin_cpu_supports("sse4.2");
}
#else
static uint32_t crc_hard(uint32_t crc, const uint8_t *p, size_t n)
{
    return crc_soft(crc, p, n);
}

static int crc_has_hard(void)
{
    return 0;
}
#endif

uint32_t crc32c(uint32_t crc, const void *p, size_t n)
{
    uint32_t c = ~crc;

    return ~(crc_has_hard() ? crc_hard(c, p, n) : crc_soft(c, p, n));
}
