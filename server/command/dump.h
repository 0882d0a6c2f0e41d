/* DUMP and RESTORE: one value in the form that redis-server 7.0 gives and
 * takes (RDB version 10).
 *
 *   offset  bytes  field
 *        0      1  type, 0: a string; others are not for us
 *        1      -  string, see below
 *       -10     2  RDB version, little-endian; at most DUMP_VERSION
 *        -8     8  CRC-64 (Jones) of all before it, little-endian
 *
 *   string, by its first byte
 *   00LLLLLL                 length of 6 bits, then the bytes
 *   01LLLLLL L               length of 14 bits, big-endian
 *   10000000 LLLL            length of 32 bits, big-endian
 *   10000001 LLLLLLLL        length of 64 bits, big-endian
 *   11000000 .. 11000010     an integer of 1, 2, 4 bytes, little-endian, as
 *                            its decimal text
 *   11000011                 LZF: length packed, length, packed bytes */
#ifndef HF_SERVER_COMMAND_DUMP_H
#define HF_SERVER_COMMAND_DUMP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

enum {
    DUMP_VERSION = 10,
    DUMP_FOOTER = 10,
    DUMP_PACK_MIN = 20,      /* bytes; shorter ones are never packed */
    DUMP_PACK_MAX = 1 << 20, /* longer ones are not: it takes too long */
};

/* Append the dump of @value. @pack: longer ones may be compressed; the bytes
 * are then not the same everywhere. */
void dump_encode(struct bytes value, bool pack, struct buf *out);

/* Are the version and the checksum good? */
bool dump_check(struct bytes dump);
/* Append the value of a dump that was checked: 0, or HF_EINVAL for what is no
 * string, or longer than VALUE_MAX; then @out is as it was. */
int dump_decode(struct bytes dump, struct buf *out);

#endif
