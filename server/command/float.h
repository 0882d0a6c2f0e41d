/* The arithmetic of INCRBYFLOAT: numbers of 64 bits of mantissa and 15 of
 * exponent, as the x87 registers that redis-server computes with on amd64, but
 * in software, so that every node of every architecture gets the same bytes.
 *
 * Numbers are read as strtold() does (decimal and hexadecimal, "inf") and
 * rounded to nearest, ties to even, here and after the sum. The text of a sum
 * has 17 decimals, of which trailing zeros are cut; never an exponent. */
#ifndef HF_SERVER_COMMAND_FLOAT_H
#define HF_SERVER_COMMAND_FLOAT_H

#include <stdbool.h>

#include "base/bytes.h"

enum { FLOAT_TEXT_MAX = 5 * 1024 }; /* bytes of a number; longer: none */

bool float_is(struct bytes text);

/* Append the text of @a + @b to @out.
 *
 * 0           done.
 * HF_EINVAL   one of them is not a number.
 * HF_ELIMIT  the sum is no finite number. */
int float_add(struct bytes a, struct bytes b, struct buf *out);

#endif
