/* Shared by the files of libholdfast only. */
#ifndef HF_CLIENT_HF_INT_H
#define HF_CLIENT_HF_INT_H

#include <stdint.h>

#include "base/bytes.h"
#include "client/attempt.h"
#include "client/conn.h"
#include "client/holdfast.h"
#include "client/nodes.h"

enum {
    HF_ERROR_MAX = 512,
    HF_PACE_FIRST_MS = 10, /* pause after all nodes were tried; doubles */
    HF_PACE_MAX_MS = 250
};

struct hf {
    struct conn conn; /* its stop_fd ends calls, too */
    struct hf_options opt;
    struct nodes nodes;
    size_t node;          /* in use, by index; nodes.n: none of them */
    char moved[LIM_ADDR]; /* dial this one first; "": none */
    uint64_t session;     /* 0: none */
    uint64_t number;      /* of the session's next write */
    char error[HF_ERROR_MAX];
};

/* Remember what went wrong, for hf_error(). Returns @code. */
int hf_fail(struct hf *c, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Strings are copied; given back by release. */
void hf_options_copy(struct hf_options *to, const struct hf_options *from);
void hf_options_release(struct hf_options *o);
/* How long a node may take to answer the greeting. */
int64_t hf_greeting_ms(const struct hf_options *o);

/* What a connection begins with: HELLO 3, with a password that, too; with
 * opt->stale also READONLY, as a request of its own. */
void hf_greeting(const struct hf_options *opt, struct buf *b);
void hf_greeting_stale(const struct hf_options *opt, struct buf *b);

/* HF_OK: @argv may be sent. Else *@error says why not. */
int hf_check(const struct hf_bytes *argv, size_t argc, const char **error);

/* The begin of a request, to be followed by its @argc words as bulks. */
void hf_request_head(struct buf *b,
                     uint64_t session,
                     uint64_t number,
                     size_t argc);

/* Append the request: as it is, or with its name if @session is not 0. */
void hf_request(struct buf *b,
                uint64_t session,
                uint64_t number,
                const struct hf_bytes *argv,
                size_t argc);

/* Copy a whole reply into a tree of its own. NULL: not a reply. */
struct hf_reply *hf_reply_make(struct bytes in);

#endif
