/* Error codes and messages shared by every part.
 *
 * Functions return 0 or one of these (always negative). Foreign codes (errno,
 * RAFT_*, UV_*) are translated where they enter. Where a caller can show a
 * message it passes a struct errmsg; each layer puts what it tried in front
 * of what it was told. */
#ifndef HF_BASE_ERR_H
#define HF_BASE_ERR_H

#include <stddef.h>

enum hf_err {
    HF_OK = 0,
    HF_EINVAL = -1,    /* malformed input */
    HF_EIO = -2,       /* the disk or the network failed */
    HF_ENOSPC = -3,    /* no room on the file system */
    HF_ENOENT = -4,    /* not there */
    HF_EEXIST = -5,    /* there already */
    HF_ECORRUPT = -6,  /* bytes fail their checksum or make no sense */
    HF_EVERSION = -7,  /* written by a newer format version */
    HF_EIDENTITY = -8, /* belongs to another cluster, node or directory */
    HF_EBUSY = -9,     /* in use, or one at a time */
    HF_EAGAIN = -10,   /* not now; nothing happened */
    HF_ELIMIT = -11,   /* a named limit was reached; nothing happened */
    HF_ENOLEADER = -12,
    HF_EUNKNOWN = -13, /* outcome unknown */
    HF_ETIMEOUT = -14,
    HF_EROFS = -15, /* read-only file system */
    HF_EACCES = -16,
    HF_ECLOSED = -17,
};

enum { HF_ERRMSG_MAX = 512 };

/* Caller's memory; always NUL-terminated once initialised with {{0}}. */
struct errmsg {
    char text[HF_ERRMSG_MAX];
};

/* A short English name of @code, for messages. Static storage. */
const char *hf_strerror(int code);

/* errno value (positive) to enum hf_err. */
int hf_err_from_errno(int e);

/* Replace the message. @e may be NULL. Returns @code, so that
 * `return errmsg_set(e, HF_EIO, "read %s", name);` reads well. */
int errmsg_set(struct errmsg *e, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Put "what: " in front of the message. @e may be NULL. Returns @code. */
int errmsg_wrap(struct errmsg *e, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
