/* Event log of the process: one line an event, levels, to a sink.
 *
 * (The replicated log is raftio/log.h; this is the one people read.) The
 * sink is set once at start; in simulation it is the trace. */
#ifndef HF_BASE_LOG_H
#define HF_BASE_LOG_H

#include <stdint.h>

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

#endif
