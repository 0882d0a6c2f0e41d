/* Event log of the process: one line an event, levels, to a sink.
 *
 * (The replicated log is raftio/log.h; this is the one people read.) The
 * sink is set once at start; in simulation it is the trace. */
#ifndef HF_BASE_LOG_H
#define HF_BASE_LOG_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* A place to write lines to; each node has one (it prefixes ids). */
struct logger {
    enum log_level level;
    void (*line)(struct logger *l, enum log_level level, const char *text);
    void *data;
};

/* No newline in the text. @l may be NULL: then nothing is written. */
void hf_log(struct logger *l, enum log_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#define log_debug(l, ...) hf_log(l, LOG_DEBUG, __VA_ARGS__)
#define log_info(l, ...) hf_log(l, LOG_INFO, __VA_ARGS__)
#define log_warn(l, ...) hf_log(l, LOG_WARN, __VA_ARGS__)
#define log_error(l, ...) hf_log(l, LOG_ERROR, __VA_ARGS__)

const char *log_level_name(enum log_level level);

enum log_format {
    LOG_TEXT, /* 2026-01-02T03:04:05.678Z info  what happened */
    LOG_JSON  /* {"time":"...","level":"info","node":1,"text":"..."} */
};

/* Longest line that log_format_line() makes, NUL included: text of
 * LOG_TEXT_MAX bytes, each escaped. */
enum { LOG_TEXT_MAX = 2048, LOG_LINE_MAX = LOG_TEXT_MAX * 6 + 128 };

/* Write one whole line, line end included, to @to; returns its length. Text
 * behind LOG_TEXT_MAX bytes is cut. In JSON, what is no UTF-8 stands as \xNN
 * (a backslash of the text itself is doubled by JSON, and read back single).
 *
 * @at    wall clock.
 * @node  this node's id; 0: it has none yet. Text lines do not show it. */
size_t log_format_line(char to[LOG_LINE_MAX],
                       enum log_format format,
                       struct timespec at,
                       enum log_level level,
                       uint64_t node,
                       const char *text);

#endif
