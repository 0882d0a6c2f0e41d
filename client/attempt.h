/* What to do after each attempt of a request: the rules of client/holdfast.c,
 * for both clients. Pure. Private to client/. */
#ifndef HF_CLIENT_ATTEMPT_H
#define HF_CLIENT_ATTEMPT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/bytes.h"
#include "client/holdfast.h"

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

/* What is known of a request after the attempts so far. */
struct attempts {
    enum hf_call_mode mode;
    size_t nodes;  /* how many there are */
    size_t stale;  /* attempts that met data too old */
    bool reopened; /* a lost session was replaced */
    bool doubt;    /* a node may have the whole request */
};

enum attempts_next {
    NEXT_END,   /* the result is known */
    NEXT_AGAIN, /* at once, at the same node, under a new session */
    NEXT_NODE,  /* at another node */
    NEXT_MOVED  /* at the node that the reply names */
};

/* The connection broke or fell silent. @sent: the node may have all of it. */
void attempts_lost(struct attempts *t, bool sent);

/* A reply came. @opening: to the opening of the session, not to the request.
 * *@session_lost: the session is of no use from now on. *@code is set with
 * NEXT_END. */
enum attempts_next attempts_judged(struct attempts *t,
                                   enum verdict v,
                                   bool opening,
                                   bool *session_lost,
                                   int *code);

/* After a lost attempt: may there be another one? NEXT_END or NEXT_NODE. */
enum attempts_next attempts_after_loss(const struct attempts *t, int *code);

/* The result when time is over. */
int attempts_timeout(const struct attempts *t);

/* May the session's next number follow, after result @code of a named write?
 * False: give the session up. */
bool attempts_keep_session(int code);

/* Is @reply to the greeting one that no other try can change? */
bool attempts_shut_out(struct bytes reply);

/* ---- a node that has not answered for HF_SILENCE_TIMEOUT ---- */

enum probe {
    PROBE_DEAD,      /* does not answer anything */
    PROBE_NO_LEADER, /* lives, and knows no leader */
    PROBE_SERVES     /* lives */
};

/* What a reply to STATUS tells. */
enum probe probe_read(struct bytes reply);

/* Leave the node? @own: what it said; @elsewhere: another node serves. A node
 * that lives answers by its own deadline, and that answer is worth more than
 * a doubt; but one that is cut off from the others need not be waited for. */
bool probe_says_leave(enum probe own, bool elsewhere);

#endif
