/* The way through libholdfast, with the same three outcomes and the same form
 * of answers as the way without it. Writes are named there, and sent again by
 * the library until they are answered. */
#ifndef HF_JEPSEN_CLIENT_LIB_H
#define HF_JEPSEN_CLIENT_LIB_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "jepsen-lite/client_resp.h"

struct lib;

/* @endpoints: "host:port,...". @stale, @max_age_ms: as the library has them.
 * Nothing is connected yet. NULL: not of that form. */
struct lib *lib_open(const char *endpoints, bool stale, uint32_t max_age_ms);
void lib_close(struct lib *l); /* NULL is allowed */

/* Any command. Those that the library has a call for go through that. OUT_OK:
 * @a is set, never to an error. */
enum outcome lib_call(struct lib *l,
                      bool write,
                      const struct bytes *argv,
                      size_t argc,
                      uint32_t timeout_ms,
                      struct answer *a);

const char *lib_error(const struct lib *l);
const char *lib_node(const struct lib *l); /* "host:port", or "" */

#endif
