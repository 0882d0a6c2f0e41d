#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

enum { LOG_LINE_MAX = 2048 }; /* longer lines are cut */

void hf_log(struct logger *l, enum log_level level, const char *fmt, ...)
{
    char text[LOG_LINE_MAX];
    va_list ap;

    if (l == NULL || level < l->level) {
        return;
    }
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    l->line(l, level, text);
}

const char *log_level_name(enum log_level level)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};

    return names[level];
}
