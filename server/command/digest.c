#include "server/command/digest.h"

#include <inttypes.h>
#include <stdio.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t digest_of(struct bytes value)
{
    return XXH3_64bits(value.n == 0 ? (const void *)"" : value.p, value.n);
}

void digest_text(uint64_t digest, char out[DIGEST_DIGITS + 1])
{
    snprintf(out, DIGEST_DIGITS + 1, "%016" PRIx64, digest);
}

bool digest_parse(struct bytes text, uint64_t *out)
{
    uint64_t v = 0;

    if (text.n != DIGEST_DIGITS) {
        return false;
    }
    for (size_t i = 0; i < text.n; i++) {
        uint8_t c = text.p[i];
        uint8_t letter = c | 0x20;

        if (c >= '0' && c <= '9') {
            v = v << 4 | (uint64_t)(c - '0');
        } else if (letter >= 'a' && letter <= 'f') {
            v = v << 4 | (uint64_t)(letter - 'a' + 10);
        } else {
            return false;
        }
    }
    *out = v;
    return true;
}
