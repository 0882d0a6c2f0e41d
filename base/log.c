#include "base/log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/mutant.h"

void hf_log(struct logger *l, enum log_level level, const char *fmt, ...)
{
    char text[LOG_TEXT_MAX]; /* longer lines are cut */
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

/* A line that grows; its room is enough for every text. */
struct line {
    char *to;
    size_t n;
};

static void put(struct line *l, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void put(struct line *l, const char *fmt, ...)
{
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(l->to + l->n, LOG_LINE_MAX - l->n, fmt, ap);
    va_end(ap);
    hf_assert(n >= 0 && (size_t)n < LOG_LINE_MAX - l->n);
    l->n += (size_t)n;
}

/* @text as the inside of a JSON string. Any byte may be in it: names of
 * clients and files are. */
static void put_json(struct line *l, const char *text, size_t n)
{
    const uint8_t *p = (const uint8_t *)text;

    for (size_t i = 0; i < n;) {
        size_t len = utf8_len(p + i, n - i);

        if (len == 0) {
            put(l, "\\\\x%02x", p[i]);
            len = 1;
        } else if ((p[i] == '"' || p[i] == '\\') && !mutant(LOG_UNESCAPED)) {
            put(l, "\\%c", p[i]);
        } else if (p[i] < 0x20 || p[i] == 0x7F) {
            put(l, "\\u%04x", p[i]);
        } else {
            put(l, "%.*s", (int)len, text + i);
        }
        i += len;
    }
}

size_t log_format_line(char to[LOG_LINE_MAX],
                       enum log_format format,
                       struct timespec at,
                       enum log_level level,
                       uint64_t node,
                       const char *text)
{
    size_t n = strnlen(text, LOG_TEXT_MAX);
    struct line l = {to, 0};
    char when[64];
    struct tm tm;

    gmtime_r(&at.tv_sec, &tm);
    snprintf(when, sizeof when, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ",
             tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
             tm.tm_min, tm.tm_sec, (int)(at.tv_nsec / 1000000));
    if (format == LOG_JSON) {
        put(&l, "{\"time\":\"%s\",\"level\":\"%s\",\"node\":%" PRIu64, when,
            log_level_name(level), node);
        put(&l, ",\"text\":\"");
        put_json(&l, text, n);
        put(&l, "\"}\n");
    } else {
        put(&l, "%s %-5s %.*s\n", when, log_level_name(level), (int)n, text);
    }
    return l.n;
}
