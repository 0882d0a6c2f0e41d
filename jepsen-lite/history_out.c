#include "jepsen-lite/history_out.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"

struct history_out {
    pthread_mutex_t lock;
    int fd;
    int error; /* errno of the first write that failed; 0: none */
    struct buf out;
};

uint64_t history_now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

int history_open(const char *path, struct errmsg *e, struct history_out **out)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    struct history_out *h;

    if (fd < 0) {
        return errmsg_set(e, HF_EIO, "create %s: %s", path, strerror(errno));
    }
    h = hf_calloc(1, sizeof(*h));
    pthread_mutex_init(&h->lock, NULL);
    h->fd = fd;
    buf_init(&h->out);
    *out = h;
    return 0;
}

static void flush_locked(struct history_out *h)
{
    size_t done = 0;

    while (done < h->out.n && h->error == 0) {
        ssize_t n = write(h->fd, h->out.p + done, h->out.n - done);

        if (n > 0) {
            done += (size_t)n;
        } else if (n < 0 && errno != EINTR) {
            h->error = errno;
        }
    }
    buf_clear(&h->out);
}

uint64_t history_line(struct history_out *h, const char *fmt, ...)
{
    va_list ap;
    char *text;
    uint64_t t;
    int n;

    va_start(ap, fmt);
    n = vasprintf(&text, fmt, ap);
    va_end(ap);
    if (n < 0) {
        abort();
    }
    pthread_mutex_lock(&h->lock);
    t = history_now_ns();
    buf_printf(&h->out, "{\"t\":%llu,", (unsigned long long)t);
    buf_append(&h->out, text, (size_t)n);
    buf_append(&h->out, "}\n", 2);
    if (h->out.n >= HISTORY_FLUSH) {
        flush_locked(h);
    }
    pthread_mutex_unlock(&h->lock);
    free(text);
    return t;
}

void history_flush(struct history_out *h)
{
    pthread_mutex_lock(&h->lock);
    flush_locked(h);
    pthread_mutex_unlock(&h->lock);
}

int history_close(struct history_out *h, struct errmsg *e)
{
    int rv = 0;

    flush_locked(h);
    if (h->error == 0 && fsync(h->fd) != 0) {
        h->error = errno;
    }
    if (close(h->fd) != 0 && h->error == 0) {
        h->error = errno;
    }
    if (h->error != 0) {
        rv = errmsg_set(e, HF_EIO, "write history: %s", strerror(h->error));
    }
    buf_release(&h->out);
    pthread_mutex_destroy(&h->lock);
    free(h);
    return rv;
}

void json_string(struct buf *b, struct bytes s)
{
    buf_append(b, "\"", 1);
    for (size_t i = 0; i < s.n; i++) {
        uint8_t ch = s.p[i];

        if (ch == '"' || ch == '\\') {
            buf_append(b, "\\", 1);
            buf_append(b, &ch, 1);
        } else if (ch < 0x20 || ch > 0x7e) {
            buf_printf(b, "\\u%04x", ch);
        } else {
            buf_append(b, &ch, 1);
        }
    }
    buf_append(b, "\"", 1);
}
