/* Change feeds: XREAD, XRANGE, XREVRANGE, XLEN and XINFO STREAM on the
 * read-only streams "__changes__" (every change of the key space) and
 * "__changes__:<prefix>" (those of the keys that begin so, and FLUSHALL).
 * The names mean that to these commands alone.
 *
 * A feed is one such request under way. It is worked off in steps, between
 * which the history may change: only ids are kept. Loop thread. */
#ifndef HF_SERVER_COMMAND_FEED_H
#define HF_SERVER_COMMAND_FEED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

struct history;
struct feed;

enum {
    FEED_STREAMS_MAX = 64,    /* of one XREAD; beyond: -ERR */
    FEED_COUNT = 1000,        /* XREAD without COUNT: changes of a stream */
    FEED_REPLY_MAX = 1 << 20, /* bytes after which an XREAD takes no more */
    FEED_STEP = 20000,        /* units of a step: about a millisecond */
    FEED_STEP_SHORT = 1000,   /* ... while others have many to come */
};

/* Is @command (command bytes) a request of this kind? And may it wait? */
bool feed_is(struct bytes command);
bool feed_is_blocking(struct bytes command);

/* @command is borrowed while the feed lives. NULL: malformed. */
struct feed *feed_new(struct bytes command);
void feed_free(struct feed *f); /* NULL is allowed */
/* True when there is a reply. An XREAD that found nothing may be stepped
 * again later: it goes on where it was. */
bool feed_step(struct feed *f, const struct history *h, uint64_t units);
/* An XREAD that has found nothing, and is not in error. */
bool feed_empty(const struct feed *f);
/* Its reply may have REPLY_MAX bytes (XRANGE): one at a time. */
bool feed_is_large(const struct feed *f);
/* Of BLOCK; 0: for ever. */
uint64_t feed_block_ms(const struct feed *f);
/* Append the reply of what was found. */
void feed_reply(struct feed *f, struct buf *reply);

/* The names of @argv's streams, as command_each_key() gives keys. */
bool feed_keys(const struct bytes *argv,
               int argc,
               bool (*fn)(void *ctx, struct bytes key),
               void *ctx);

#endif
