/* The digest of a value: XXH3 in 64 bits, as Redis 8.4 has it. The same on
 * every machine, so conditions on it may be decided at apply. */
#ifndef HF_SERVER_COMMAND_DIGEST_H
#define HF_SERVER_COMMAND_DIGEST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

enum { DIGEST_DIGITS = 16 };

uint64_t digest_of(struct bytes value);
/* 16 lower-case hexadecimal digits, leading zeros kept, and a NUL. */
void digest_text(uint64_t digest, char out[DIGEST_DIGITS + 1]);
/* Exactly 16 hexadecimal digits of either case; else false. */
bool digest_parse(struct bytes text, uint64_t *out);

#endif
