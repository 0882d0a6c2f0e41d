/* Keyspace notifications: the letters of notify-keyspace-events, and what the
 * handlers of commands tell. */
#ifndef HF_SERVER_COMMAND_NOTIFY_H
#define HF_SERVER_COMMAND_NOTIFY_H

#include <stdbool.h>

#include "base/bytes.h"
#include "server/store/machine.h"

enum { NOTIFY_TEXT = 20 };

/* "KEA", "gxE" and so on; "" is nothing. False: a letter is none of them;
 * *@flags is then unchanged. */
bool notify_parse(const char *text, unsigned *flags);
/* The same, in the order and with the abbreviation of Redis 7.0. */
void notify_format(unsigned flags, char out[NOTIFY_TEXT]);

/* store_put(), told as @event, behind "new" if there was no such key. An event
 * of class NOTIFY_GENERIC, not of the value, makes the key anew always. */
void notify_put(struct machine *m,
                struct bytes key,
                struct bytes value,
                uint64_t deadline,
                enum notify_class class,
                const char *event);
/* store_delete(), told as "del". */
bool notify_delete(struct machine *m, struct bytes key);
/* store_get() for a command that only reads: told as "keymiss" if there is
 * nothing. */
const struct item *notify_get(struct machine *m, struct bytes key);

#endif
