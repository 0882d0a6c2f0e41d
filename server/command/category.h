/* The categories of commands, as Redis 7.0's ACL CAT has them: what users
 * are permitted by, and a field of COMMAND's rows.
 *
 * Permissions are decided at apply on every node, so what a command's
 * categories are is part of what its id means: do not change them, for old
 * logs. Loop thread only. */
#ifndef HF_SERVER_COMMAND_CATEGORY_H
#define HF_SERVER_COMMAND_CATEGORY_H

#include "server/command/command.h"

/* X(name): in the order in which Redis lists them. */
#define CATEGORIES(X)           \
    X(KEYSPACE, keyspace)       \
    X(READ, read)               \
    X(WRITE, write)             \
    X(SET, set)                 \
    X(SORTEDSET, sortedset)     \
    X(LIST, list)               \
    X(HASH, hash)               \
    X(STRING, string)           \
    X(BITMAP, bitmap)           \
    X(HYPERLOGLOG, hyperloglog) \
    X(GEO, geo)                 \
    X(STREAM, stream)           \
    X(PUBSUB, pubsub)           \
    X(ADMIN, admin)             \
    X(FAST, fast)               \
    X(SLOW, slow)               \
    X(BLOCKING, blocking)       \
    X(DANGEROUS, dangerous)     \
    X(CONNECTION, connection)   \
    X(TRANSACTION, transaction) \
    X(SCRIPTING, scripting)

enum category_bit {
#define X(upper, lower) CATEGORY_BIT_##upper,
    CATEGORIES(X)
#undef X
        CATEGORY_N
};

enum category {
#define X(upper, lower) CAT_##upper = 1 << CATEGORY_BIT_##upper,
    CATEGORIES(X)
#undef X
};

/* The set of @c, a bit for each; never empty. */
uint32_t command_categories(const struct command *c);
/* Is @name one of @commands, names that are each followed by a space? */
bool command_listed(const char *commands, const char *name);
/* "keyspace" for bit 0, ... @bit < CATEGORY_N. */
const char *category_name(unsigned bit);
/* The bit of that name (case does not matter) as a set; 0: there is none. */
uint32_t category_by_name(struct bytes name);

#endif
