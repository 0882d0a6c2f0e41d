/* Writing a history: JSON lines in the order of their time.
 *
 * One lock gives each line its time (nanoseconds of CLOCK_MONOTONIC) and its
 * place, so the lines of a file never go back in time, an invoke written
 * before its request was sent stands before what came of it, and an answer
 * written after it was read stands behind. The file is synced at its close.
 *
 * All calls but open and close may come from any thread. */
#ifndef HF_JEPSEN_HISTORY_OUT_H
#define HF_JEPSEN_HISTORY_OUT_H

#include <stdarg.h>
#include <stdint.h>

#include "base/bytes.h"

struct errmsg;
struct history_out;

enum {
    HISTORY_FLUSH = 1 << 16, /* bytes kept back before they are written */
};

uint64_t history_now_ns(void); /* CLOCK_MONOTONIC */

/* Start a new history at @path; an old one is gone. 0, or HF_EIO. */
int history_open(const char *path, struct errmsg *e, struct history_out **out);

/* Write {"t":<now>,<the text>}. The text is the other fields of the line,
 * without line ends; strings in it are made with json_string(). A failed write
 * is kept for history_close(). Returns the time written. */
uint64_t history_line(struct history_out *h, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* What is kept back goes to the file now. */
void history_flush(struct history_out *h);

/* Write the rest, sync, close, free. 0, or HF_EIO if this or any write before
 * failed: the file is then not the whole history. */
int history_close(struct history_out *h, struct errmsg *e);

/* Append @s as a JSON string, quotes included. Bytes that are not printable
 * ASCII become \u00XX of their own value. */
void json_string(struct buf *b, struct bytes s);

#endif
