/* libholdfast: a blocking client for Holdfast.
 *
 * A handle knows several nodes, uses one that works and moves on when it
 * dies, falls silent or says that it cannot serve. Writes carry a name (a
 * session's id and a number), so that a write whose answer was lost is sent
 * again safely: it takes effect once, however often it was sent.
 *
 *     struct hf *c;
 *     if (hf_open("127.0.0.1:7379,127.0.0.1:7380", NULL, &c) != HF_OK) ...
 *     if (hf_set(c, hf_str("k"), hf_str("v"), NULL, 0) != HF_OK) {
 *         fprintf(stderr, "%s\n", hf_error(c));
 *     }
 *     hf_close(c);
 *
 * Every call blocks for at most its timeout_ms, in milliseconds, retries
 * included; 0 stands for HF_TIMEOUT_DEFAULT. Use a handle from one thread at
 * a time; threads have a handle each.
 *
 * Results. A call that returns HF_OK did what it says. HF_NO is an answer,
 * not an error: no such key, or a condition that is false; nothing was
 * changed. The negative codes tell apart what was certainly not done from
 * what may have been (HF_EUNKNOWN). */
#ifndef HOLDFAST_H
#define HOLDFAST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

enum hf_result {
    HF_OK = 0,
    HF_NO = 1, /* no such key, or condition false */

    /* Certainly not done: */
    HF_EARGUMENT = -101, /* wrong argument, never sent */
    HF_ETOOBIG = -102,   /* over HF_REQUEST_MAX bytes, never sent */
    HF_EREFUSED = -103,  /* the cluster refuses it: wrong type, not an
                            integer, unknown command, not allowed, ... */
    HF_ENOLEADER = -104, /* nobody took it: no node reached, or no leader, or
                            busy, until the timeout */
    HF_EFULL = -105,     /* no memory or no disk left in the cluster */
    HF_ESTALE = -106,    /* read: no node has data as young as asked for */
    HF_ETRIMMED = -109,  /* watch: changes behind the position are no longer
                            kept; hf_error() names an id to go on from, after
                            the keys were read */
    HF_EBUSY = -110,     /* holdfast_uv.h: too many calls under way */

    /* Not known: */
    HF_EUNKNOWN = -107, /* sent, no answer: done now, later or never. Never
                           report this one as a failure. */
    HF_EPROTOCOL = -108 /* the answer makes no sense; for a write take it
                           as HF_EUNKNOWN */
};

enum {
    HF_PORT_DEFAULT = 7379,
    HF_TIMEOUT_DEFAULT = 5000, /* ms; longer than a node's deadline */
    HF_CONNECT_TIMEOUT = 500,  /* ms per node, greeting included */
    HF_AUTH_TIMEOUT = 2000,    /* instead, with a password: a node may have to
                                  ask others about it */
    HF_SILENCE_TIMEOUT = 1000, /* ms without a byte: the node is asked over
                                  another connection whether it lives */
    HF_ANSWER_TIMEOUT = 4500,  /* ms without a byte: next node, if it lives or
                                  not; longer than a node's deadline */
    HF_SKIP_FIRST_MS = 250,    /* a node that failed is not tried so long; */
    HF_SKIP_MAX_MS = 10000,    /* doubles with each failure, to this */
    HF_ENDPOINTS_MAX = 16,
    HF_REQUEST_MAX = 64 << 20,
    HF_REPLY_MAX = 1 << 30
};

/* Bytes that are lent to a call until it returns. */
struct hf_bytes {
    const void *p;
    size_t n;
};

static inline struct hf_bytes hf_bytes(const void *p, size_t n)
{
    struct hf_bytes b = {p, n};
    return b;
}

static inline struct hf_bytes hf_str(const char *s)
{
    return hf_bytes(s, strlen(s));
}

/* ---- replies ---- */

enum hf_reply_type {
    HF_REPLY_STATUS,  /* str */
    HF_REPLY_ERROR,   /* str, class word first */
    HF_REPLY_INTEGER, /* integer */
    HF_REPLY_STRING,  /* str: any bytes */
    HF_REPLY_NULL,
    HF_REPLY_ARRAY,  /* items; sets and pushes too */
    HF_REPLY_MAP,    /* items: key, value, key, value, ... */
    HF_REPLY_DOUBLE, /* number, and str as sent */
    HF_REPLY_BOOL    /* integer: 0 or 1 */
};

/* A reply owns all that it points to; free the root with hf_reply_free(). */
struct hf_reply {
    enum hf_reply_type type;
    int64_t integer;
    double number;
    const char *str; /* NUL after the last byte; NULL when there is none */
    size_t len;
    struct hf_reply *items;
    size_t n;
};

void hf_reply_free(struct hf_reply *r); /* NULL is allowed */

/* The value of @key in a map; NULL: none, or @r is not a map. */
const struct hf_reply *hf_reply_field(const struct hf_reply *r,
                                      const char *key);

/* ---- handle ---- */

struct hf;

/* All zero: the defaults. */
struct hf_options {
    bool stale;          /* reads may be answered from a node's own data */
    uint32_t max_age_ms; /* of such data; 0: any age */
    /* Each connection authenticates with them first; copied. NULL: with no
     * password; no @user: as "default". */
    const char *user;
    const char *password;
};

/* Make a handle for the nodes @endpoints, "host:port,host:port,..."; a port
 * may be left out: HF_PORT_DEFAULT. Nothing is connected yet. @opt may be
 * NULL. HF_OK, or HF_EARGUMENT: not of that form, or too many; *@out
 * unchanged. */
int hf_open(const char *endpoints,
            const struct hf_options *opt,
            struct hf **out);
void hf_close(struct hf *c); /* NULL is allowed */

/* What went wrong in the last call that returned a negative code, for
 * people, one line. Valid until the next call on @c. */
const char *hf_error(const struct hf *c);

/* "host:port" of the node in use; "" when there is none. */
const char *hf_node(const struct hf *c);

enum hf_node_state {
    HF_NODE_GOOD,    /* in its turn */
    HF_NODE_SKIPPED, /* it failed: not used for a while, unless all did */
    HF_NODE_TRIED    /* that while is over: one request tries it */
};

struct hf_node_info {
    const char *address; /* "host:port"; as long as the handle */
    enum hf_node_state state;
    uint32_t failures;   /* in a row */
    uint32_t skipped_ms; /* how long yet */
};

/* What this handle holds of its nodes, in the order of the endpoints. Fills
 * at most @max (HF_ENDPOINTS_MAX is enough), returns how many there are.
 *
 * A node that is not reached, does not greet or falls silent is skipped at
 * once, one that turned three requests in a row away, or cut them off, then:
 * for HF_SKIP_FIRST_MS, then twice as long with each failure, up to
 * HF_SKIP_MAX_MS. When the time is over one request tries it. If no node is
 * good, the one that is due first is tried: a request always has a node. */
size_t hf_nodes(const struct hf *c, struct hf_node_info *out, size_t max);

/* A short name of @code: "unknown", ... Static storage. */
const char *hf_result_name(int code);

enum hf_call_mode {
    HF_CALL_READ,  /* changes nothing: sent until it is answered */
    HF_CALL_WRITE, /* named, so that it takes effect once: sent until it is
                      answered. Only for commands that ONCE allows. */
    HF_CALL_ONCE   /* anything: not sent again once a node may have it */
};

/* Send any command.
 *
 * @argv, @argc   the words of the command, any bytes.
 * @reply_out     set with HF_OK (never to an error reply), and with
 *                HF_EREFUSED and HF_EFULL (the error reply), else to NULL;
 *                the caller's. May be NULL. */
int hf_call(struct hf *c,
            enum hf_call_mode mode,
            const struct hf_bytes *argv,
            size_t argc,
            uint32_t timeout_ms,
            struct hf_reply **reply_out);

/* ---- keys ---- */

/* A value that the caller owns; free with hf_value_release(). */
struct hf_value {
    char *p; /* NUL after the last byte */
    size_t n;
    uint64_t created;  /* revision that created the key */
    uint64_t revision; /* revision that changed it last */
};

void hf_value_release(struct hf_value *v);

/* Read @key. HF_OK: *@out is set; HF_NO: no such key. */
int hf_get(struct hf *c,
           struct hf_bytes key,
           uint32_t timeout_ms,
           struct hf_value *out);

struct hf_set_options {
    uint64_t ttl_ms; /* 0: the key stays */
    bool if_absent;  /* only create */
    bool if_present; /* only replace; excludes if_absent */
    bool keep_ttl;   /* leave the deadline as it is; excludes ttl_ms */
};

/* Store @value under @key; return once a majority has it on disk.
 * @opt may be NULL. HF_OK: stored. HF_NO: its condition is false. */
int hf_set(struct hf *c,
           struct hf_bytes key,
           struct hf_bytes value,
           const struct hf_set_options *opt,
           uint32_t timeout_ms);

/* Delete @keys. *@deleted_out (may be NULL) is how many there were; HF_NO:
 * none. */
int hf_del(struct hf *c,
           const struct hf_bytes *keys,
           size_t n,
           uint32_t timeout_ms,
           uint64_t *deleted_out);

/* Add @by to the integer at @key, an absent one counting as 0.
 * *@out (may be NULL) is the sum. */
int hf_incr(struct hf *c,
            struct hf_bytes key,
            int64_t by,
            uint32_t timeout_ms,
            int64_t *out);

/* Store @value if the last change of @key was @revision; 0: if there is no
 * such key. HF_NO: it is not. */
int hf_cas(struct hf *c,
           struct hf_bytes key,
           uint64_t revision,
           struct hf_bytes value,
           uint32_t timeout_ms);

/* Milliseconds until @key expires; -1: never. HF_NO: no such key. */
int hf_ttl(struct hf *c,
           struct hf_bytes key,
           uint32_t timeout_ms,
           int64_t *ms_out);

/* All zero to start with, but for @match and @count. */
struct hf_scan {
    const char *match; /* glob; NULL: all keys */
    uint32_t count;    /* keys per step, about; 0: the node's default */
    char cursor[24];   /* private */
    bool done;         /* nothing is left */
};

/* The next step of a walk over all keys, in no particular order; a key that
 * exists all the while comes at least once. *@out is an array of keys, empty
 * ones included; the caller's. Call until @s->done. */
int hf_scan(struct hf *c,
            struct hf_scan *s,
            uint32_t timeout_ms,
            struct hf_reply **out);

/* Keys from @start to before @end, in the order of their bytes; an empty @end
 * has no bound. At most @limit (0: all); @reverse: from the end. *@out is an
 * array key, value, key, value, ...; the caller's. */
int hf_range(struct hf *c,
             struct hf_bytes start,
             struct hf_bytes end,
             uint64_t limit,
             bool reverse,
             uint32_t timeout_ms,
             struct hf_reply **out);

/* ---- transactions ---- */

struct hf_condition {
    struct hf_bytes key;
    uint64_t revision; /* of the key's last change; 0: no such key */
};

struct hf_command {
    const struct hf_bytes *argv;
    size_t argc;
};

/* Run @cmds as one step, if all of @conds are true. *@out (may be NULL) is
 * the array of their replies, errors included: one command's error does not
 * undo the others. HF_NO: a condition is false, nothing was run. */
int hf_txn(struct hf *c,
           const struct hf_condition *conds,
           size_t nconds,
           const struct hf_command *cmds,
           size_t ncmds,
           uint32_t timeout_ms,
           struct hf_reply **out);

/* ---- following changes ---- */

enum hf_change_type {
    HF_CHANGE_SET = 1,
    HF_CHANGE_DEADLINE = 2, /* only the deadline changed */
    HF_CHANGE_DELETE = 3,
    HF_CHANGE_EXPIRE = 4,
    HF_CHANGE_CLEAR = 5 /* every key at once; no key is named */
};

enum {
    HF_WATCH_ID = 48,           /* bytes of an id, NUL included */
    HF_WATCH_PREFIX_MAX = 65000 /* bytes; longer: HF_EARGUMENT */
};

/* Valid during the callback. */
struct hf_change {
    const char *id; /* "revision-seq": go on behind it with hf_watch(from) */
    uint64_t revision;
    enum hf_change_type type;
    struct hf_bytes key;
    struct hf_bytes value; /* of a SET */
    uint64_t deadline_ms;  /* Unix time; 0: the key has none */
};

/* @change NULL: there was nothing for about half a second. False: enough. It
 * may not use the handle that is watched with. */
typedef bool (*hf_watch_fn)(void *ctx, const struct hf_change *change);

/* Give @fn each change of the keys that begin with @prefix (empty: of all),
 * in order, none left out, none twice; when a node dies, go on at another.
 *
 * @from        NULL: what changes from now on; "12": from the first change of
 *              revision 12 on; "12-3": what came behind that id.
 * @timeout_ms  without any answer so long: HF_ENOLEADER.
 *
 * HF_OK: @fn said that it is enough. HF_ETRIMMED: it can never go on from
 * there. Any other code: it can, behind the last id given. */
int hf_watch(struct hf *c,
             struct hf_bytes prefix,
             const char *from,
             uint32_t timeout_ms,
             hf_watch_fn fn,
             void *ctx);

#ifdef __cplusplus
}
#endif

#endif
