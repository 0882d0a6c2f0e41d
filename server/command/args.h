/* Words and numbers of a request: for server/command, and for the commands
 * that a connection answers itself. */
#ifndef HF_SERVER_COMMAND_ARGS_H
#define HF_SERVER_COMMAND_ARGS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "server/command/command.h"

#define ERR_NOT_INT "ERR value is not an integer or out of range"
#define ERR_SYNTAX "ERR syntax error"
#define ERR_PATTERN "ERR the pattern takes too long to match"
#define ERR_DIGEST "ERR must be exactly 16 hexadecimal characters"

/* Canonical decimal only: no space, no plus, no leading zero, no "-0". */
bool args_i64(struct bytes s, int64_t *out);
bool args_u64(struct bytes s, uint64_t *out);

/* Each appends its error reply and returns false when the word is bad. */
bool args_need_i64(struct bytes s, int64_t *out, struct buf *reply);
bool args_need_i32(struct bytes s, int32_t *out, struct buf *reply);
bool args_need_key(struct bytes key, struct buf *reply);
bool args_need_keys(const struct bytes *argv,
                    int argc,
                    int first,
                    int step,
                    struct buf *reply);
bool args_fail(struct buf *reply, const char *text); /* always false */
/* True while the reply that began at @start is within REPLY_MAX; else it is
 * replaced by an error reply. */
bool args_fits(struct buf *reply, size_t start);

enum expire_unit { UNIT_S, UNIT_MS };

/* A time of EX, PX, EXAT, PXAT, SETEX...: over zero and within bounds.
 * @relative: a span that is yet to be added to cluster time. Else appends
 * "invalid expire time in '<name>' command". */
bool args_need_time(struct bytes s,
                    enum expire_unit unit,
                    bool relative,
                    const char *name,
                    int64_t *ms,
                    struct buf *reply);

/* Spans that would end beyond this are refused: cluster time stays far below
 * the other 2^62, so that no addition wraps. */
#define EXPIRE_SPAN_MAX_MS (INT64_MAX / 2)

/* The pairs of MSETEX: 0 when argv[1] is no count, or they are not there. */
int msetex_count(const struct bytes *argv, int argc);

/* Handlers of table.h. */
command_fn cmd_get, cmd_set, cmd_getv, cmd_setnx, cmd_setex, cmd_getdel,
    cmd_getex, cmd_mget, cmd_mset, cmd_msetnx, cmd_append, cmd_strlen, cmd_incr,
    cmd_decr, cmd_incrby, cmd_decrby, cmd_getset, cmd_getrange, cmd_setrange,
    cmd_incrbyfloat, cmd_digest, cmd_delex, cmd_msetex;
command_fn cmd_del, cmd_exists, cmd_type, cmd_expire, cmd_ttl, cmd_persist,
    cmd_scan, cmd_keys, cmd_dbsize, cmd_flushall, cmd_range, cmd_rename,
    cmd_copy, cmd_randomkey, cmd_object, cmd_dump, cmd_restore;
command_fn cmd_aclauth, cmd_aclcheck, cmd_acl_list, cmd_acl_users,
    cmd_acl_getuser, cmd_acl_setuser, cmd_acl_deluser, cmd_acl_dryrun;
command_fn cmd_txn, cmd_once, cmd_revs;
command_fn cmd_feed;
command_fn cmd_memory_usage, cmd_slot_keys;

#endif
