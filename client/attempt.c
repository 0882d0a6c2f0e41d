#include "client/attempt.h"

#include "base/assert.h"
#include "base/mutant.h"
#include "client/hf_int.h"

/* Each error's first word. What is not listed is VERDICT_REFUSED: the
 * request itself is wrong, wherever it is sent. */
static const struct {
    const char *word;
    enum verdict verdict;
} verdicts[] = {
    {"UNKNOWN", VERDICT_UNKNOWN},  {"CLUSTERDOWN", VERDICT_NEXT},
    {"TRYAGAIN", VERDICT_NEXT},    {"LOADING", VERDICT_NEXT},
    {"MOVED", VERDICT_MOVED},      {"NOSESSION", VERDICT_NOSESSION},
    {"OOM", VERDICT_FULL},         {"NOSPACE", VERDICT_FULL},
    {"STALE", VERDICT_STALE},      {"NOPERM", VERDICT_DENIED},
    {"NOAUTH", VERDICT_DENIED},    {"NOPROTO", VERDICT_DENIED},
    {"WRONGPASS", VERDICT_DENIED},
};

enum verdict hf_judge(struct bytes reply)
{
    hf_assert(reply.n >= 3);
    if (reply.p[0] != '-') {
        return VERDICT_DONE;
    }
    for (size_t i = 0; i < sizeof(verdicts) / sizeof(verdicts[0]); i++) {
        size_t n = strlen(verdicts[i].word);

        if (reply.n > n + 1 && memcmp(reply.p + 1, verdicts[i].word, n) == 0 &&
            (reply.p[n + 1] == ' ' || reply.p[n + 1] == '\r')) {
            return verdicts[i].verdict;
        }
    }
    return VERDICT_REFUSED;
}

void attempts_lost(struct attempts *t, bool sent)
{
    t->doubt = t->doubt || (sent && t->mode != HF_CALL_READ);
}

static enum attempts_next end(int *code, int value)
{
    *code = value;
    return NEXT_END;
}

enum attempts_next attempts_after_loss(const struct attempts *t, int *code)
{
    if (t->doubt && t->mode == HF_CALL_ONCE &&
        !mutant(CLIENT_RESENDS_UNNAMED)) {
        return end(code, HF_EUNKNOWN);
    }
    return NEXT_NODE;
}

enum attempts_next attempts_judged(struct attempts *t,
                                   enum verdict v,
                                   bool opening,
                                   bool *session_lost,
                                   int *code)
{
    bool doubt = t->doubt && !mutant(CLIENT_BELIEVES_REFUSAL);

    *session_lost = false;
    switch (v) {
        case VERDICT_DONE:
            /* A reply to the opening that opens nothing is senseless. */
            return opening ? NEXT_NODE : end(code, HF_OK);
        case VERDICT_REFUSED:
            return end(code, HF_EREFUSED);
        case VERDICT_DENIED:
            return end(code, doubt ? HF_EUNKNOWN : HF_EREFUSED);
        case VERDICT_FULL:
            if (!doubt) {
                return end(code, HF_EFULL);
            }
            break;
        case VERDICT_STALE:
            if (++t->stale >= t->nodes) {
                return end(code, HF_ESTALE);
            }
            break;
        case VERDICT_NOSESSION:
            *session_lost = true;
            if (t->doubt && !mutant(CLIENT_FORGETS_SESSION)) {
                return end(code, HF_EUNKNOWN);
            }
            if (!t->reopened) {
                t->reopened = true; /* at once, but only once */
                return NEXT_AGAIN;
            }
            break;
        case VERDICT_MOVED:
            return NEXT_MOVED;
        case VERDICT_UNKNOWN:
            attempts_lost(t, !opening);
            break;
        case VERDICT_NEXT:
            break;
    }
    return attempts_after_loss(t, code);
}

int attempts_timeout(const struct attempts *t)
{
    return t->doubt ? HF_EUNKNOWN : HF_ENOLEADER;
}

bool attempts_keep_session(int code)
{
    return code == HF_OK || mutant(CLIENT_REUSES_NUMBER);
}

bool attempts_shut_out(struct bytes reply)
{
    return reply.n > 10 && (memcmp(reply.p, "-NOAUTH", 7) == 0 ||
                            memcmp(reply.p, "-WRONGPASS", 10) == 0);
}

enum probe probe_read(struct bytes reply)
{
    const struct hf_reply *leader;
    struct hf_reply *r;
    bool none;

    if (hf_judge(reply) == VERDICT_NEXT) {
        return PROBE_NO_LEADER; /* still reading its data, or the like */
    }
    r = hf_reply_make(reply);
    leader = hf_reply_field(r, "leader_id");
    none = leader != NULL && leader->type == HF_REPLY_INTEGER &&
           leader->integer == 0;
    hf_reply_free(r);
    return none ? PROBE_NO_LEADER : PROBE_SERVES;
}

bool probe_says_leave(enum probe own, bool elsewhere)
{
    return own == PROBE_DEAD || (own == PROBE_NO_LEADER && elsewhere) ||
           mutant(CLIENT_IMPATIENT);
}
