#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"

static const struct {
    int code;
    const char *text;
} err_texts[] = {
    {HF_OK, "ok"},
    {HF_EINVAL, "malformed"},
    {HF_EIO, "input/output error"},
    {HF_ENOSPC, "no space left"},
    {HF_ENOENT, "not found"},
    {HF_EEXIST, "exists already"},
    {HF_ECORRUPT, "damaged"},
    {HF_EVERSION, "written by a newer version"},
    {HF_EIDENTITY, "belongs to another cluster or node"},
    {HF_EBUSY, "in use"},
    {HF_EAGAIN, "try again"},
    {HF_ELIMIT, "limit reached"},
    {HF_ENOLEADER, "no leader"},
    {HF_EUNKNOWN, "outcome unknown"},
    {HF_ETIMEOUT, "timed out"},
    {HF_EROFS, "read-only file system"},
    {HF_EACCES, "permission denied"},
    {HF_ECLOSED, "closed"},
};

const char *hf_strerror(int code)
{
    for (size_t i = 0; i < sizeof err_texts / sizeof err_texts[0]; i++) {
        if (err_texts[i].code == code) {
            return err_texts[i].text;
        }
    }
    return "unknown error";
}

int hf_err_from_errno(int e)
{
    switch (e) {
        case 0:
            return HF_OK;
        case ENOSPC:
        case EDQUOT:
            return HF_ENOSPC;
        case ENOENT:
            return HF_ENOENT;
        case EEXIST:
            return HF_EEXIST;
        case EROFS:
            return HF_EROFS;
        case EACCES:
        case EPERM:
            return HF_EACCES;
        case EINVAL:
            return HF_EINVAL;
        case EAGAIN:
        case EMFILE:
        case ENFILE:
        case ENOMEM:
            return HF_EAGAIN;
        case EBUSY:
        case EADDRINUSE:
            return HF_EBUSY;
        case ETIMEDOUT:
            return HF_ETIMEOUT;
        case ECONNRESET:
        case EPIPE:
        case ECONNREFUSED:
            return HF_ECLOSED;
        default:
            return HF_EIO;
    }
}

int errmsg_set(struct errmsg *e, int code, const char *fmt, ...)
{
    va_list ap;

    hf_assert(code <= 0);
    if (e == NULL) {
        return code;
    }
    va_start(ap, fmt);
    vsnprintf(e->text, sizeof e->text, fmt, ap);
    va_end(ap);
    return code;
}

int errmsg_wrap(struct errmsg *e, int code, const char *fmt, ...)
{
    char old[HF_ERRMSG_MAX];
    size_t n;
    va_list ap;

    if (e == NULL) {
        return code;
    }
    memcpy(old, e->text, sizeof old);
    va_start(ap, fmt);
    vsnprintf(e->text, sizeof e->text, fmt, ap);
    va_end(ap);
    n = strlen(e->text);
    for (const char *s = ": "; *s != '\0' && n + 1 < sizeof e->text; s++) {
        e->text[n++] = *s;
    }
    for (const char *s = old; *s != '\0' && n + 1 < sizeof e->text; s++) {
        e->text[n++] = *s;
    }
    e->text[n] = '\0';
    return code;
}
