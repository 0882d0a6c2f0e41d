/* Shared by the files of libholdfast only. */
#ifndef HF_CLIENT_HF_INT_H
#define HF_CLIENT_HF_INT_H

#include <stdint.h>

#include "base/bytes.h"
#include "client/conn.h"
#include "client/holdfast.h"

enum {
    HF_ERROR_MAX = 512,
    HF_PACE_FIRST_MS = 10, /* pause after all nodes were tried; doubles */
    HF_PACE_MAX_MS = 250
};

struct hf {
    struct conn conn;
    struct hf_options opt;
    char endpoints[HF_ENDPOINTS_MAX][LIM_ADDR];
    size_t nendpoints;
    size_t next;          /* endpoint to dial next */
    char moved[LIM_ADDR]; /* dial this one first; "": none */
    uint64_t session;     /* 0: none */
    uint64_t number;      /* of the session's next write */
    char error[HF_ERROR_MAX];
};

/* Remember what went wrong, for hf_error(). Returns @code. */
int hf_fail(struct hf *c, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* What the reply to one attempt means for the request. */
enum verdict {
    VERDICT_DONE,      /* an answer */
    VERDICT_REFUSED,   /* decided by what the request says: every attempt
                          gets the same */
    VERDICT_DENIED,    /* this attempt was turned away for good */
    VERDICT_FULL,      /* no room in the cluster */
    VERDICT_STALE,     /* ask a fresher node */
    VERDICT_NEXT,      /* this attempt was not taken; another may be */
    VERDICT_MOVED,     /* not taken; names the node that would */
    VERDICT_NOSESSION, /* not taken under this name */
    VERDICT_UNKNOWN    /* may be applied */
};

/* @reply is one whole reply. */
enum verdict hf_judge(struct bytes reply);

/* Copy a whole reply into a tree of its own. NULL: not a reply. */
struct hf_reply *hf_reply_make(struct bytes in);

#endif
