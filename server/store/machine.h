/* The replicated state machine: key space, node sessions, named sessions,
 * members. A function of the log entries alone: no clock, no randomness, no
 * addresses; every node that applied the same entries has the same state.
 *
 * Loop thread, but for machine_snapshot_next() (one worker, on a frozen
 * handle) and machine_load_*() (one worker, on a machine of its own).
 *
 * The bytes of entries, commands and snapshots: docs/FORMATS.md. */
#ifndef HF_STORE_MACHINE_H
#define HF_STORE_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/limits.h"
#include "server/store/store.h"

enum { HF_ID_SIZE = 16 }; /* cluster ids, directory ids, nonces */

struct machine;
struct user;
struct users;

/* ---- members ---- */

/* Addresses are "host:port", NUL-terminated, empty where unknown. */
struct member {
    uint64_t id; /* given out by the cluster from 1; never reused */
    uint8_t dir_id[HF_ID_SIZE];
    char peer[LIM_ADDR];
    char client[LIM_ADDR];     /* plain port */
    char cluster[LIM_ADDR];    /* cluster port */
    uint64_t session;          /* open node session; 0: none */
    uint64_t last_number;      /* last number applied in it */
    uint8_t nonce[HF_ID_SIZE]; /* of the OPEN that opened it */
};

struct seat {
    char peer[LIM_ADDR];
    uint64_t holder; /* member id; 0: vacant */
};

/* What came of a JOIN or INIT. */
enum join_result {
    JOIN_OK = 0,          /* member id given or kept */
    JOIN_NO_CLUSTER = 1,  /* INIT has not been applied */
    JOIN_NO_SEAT = 2,     /* no seat at that peer address */
    JOIN_SEAT_HELD = 3,   /* the seat has a live holder (see @id) */
    JOIN_ADDR_TAKEN = 4,  /* another member has that peer address */
    JOIN_FULL = 5,        /* LIM_NODES members */
    JOIN_INITIALIZED = 6, /* INIT again: the cluster exists already */
};
const char *join_result_text(enum join_result r);

/* ---- what came of a request ---- */

enum request_outcome {
    REQUEST_APPLIED = 1,    /* ran now; the reply is given if wanted */
    REQUEST_VOIDED = 2,     /* its void took the number: never applied */
    REQUEST_DUPLICATE = 3,  /* number taken before; nothing was done */
    REQUEST_GAP = 4,        /* number above last+1: a bug of a leader */
    REQUEST_NO_SESSION = 5, /* closed or unknown session; nothing done */
};

/* ---- hooks ---- */

/* Runs command bytes: the command layer's. @reply NULL: nobody wants it; what
 * is done to @m must not depend on that. Runs between store_begin() and
 * store_end(). Malformed bytes change nothing. */
typedef void (*machine_run_fn)(void *ctx,
                               struct machine *m,
                               struct bytes command,
                               struct buf *reply);

/* Classes of events that are told of keys, and whether as messages named by
 * the key or by the event. */
enum notify_class {
    NOTIFY_KEYSPACE = 1 << 0,
    NOTIFY_KEYEVENT = 1 << 1,
    NOTIFY_GENERIC = 1 << 2,
    NOTIFY_STRING = 1 << 3,
    NOTIFY_LIST = 1 << 4,
    NOTIFY_SET = 1 << 5,
    NOTIFY_HASH = 1 << 6,
    NOTIFY_ZSET = 1 << 7,
    NOTIFY_EXPIRED = 1 << 8,
    NOTIFY_EVICTED = 1 << 9,
    NOTIFY_STREAM = 1 << 10,
    NOTIFY_KEY_MISS = 1 << 11,
    NOTIFY_MODULE = 1 << 13,
    NOTIFY_NEW = 1 << 14,
    NOTIFY_ALL = NOTIFY_GENERIC | NOTIFY_STRING | NOTIFY_LIST | NOTIFY_SET |
                 NOTIFY_HASH | NOTIFY_ZSET | NOTIFY_EXPIRED | NOTIFY_EVICTED |
                 NOTIFY_STREAM | NOTIFY_MODULE,
};

/* Called during machine_apply(); any may be NULL. None may change @m. */
struct machine_observer {
    void *ctx;
    /* Is a reply to this session's requests wanted here? NULL: none is. */
    bool (*wants_reply)(void *ctx, uint64_t session, uint64_t number);
    /* @reply is empty unless the outcome is APPLIED and it was wanted. */
    void (*on_request)(void *ctx,
                       uint64_t session,
                       uint64_t number,
                       enum request_outcome outcome,
                       struct bytes reply);
    /* Session opened for node @id; @session 0: refused (not a member, or a
     * second one in this entry: ask again). */
    void (*on_open)(void *ctx,
                    uint64_t id,
                    const uint8_t nonce[HF_ID_SIZE],
                    uint64_t session);
    /* @id: the member's; JOIN_SEAT_HELD and ADDR_TAKEN: the holder's. Also
     * for INIT. */
    void (*on_join)(void *ctx,
                    const uint8_t dir_id[HF_ID_SIZE],
                    enum join_result result,
                    uint64_t id);
    /* A member was added, changed or (gone) removed. */
    void (*on_member)(void *ctx, uint64_t id, bool gone);
    /* A user was made, changed or removed. */
    void (*on_users)(void *ctx);
    /* A key changed; @key is borrowed, and empty for STORE_CLEAR. */
    void (*on_change)(void *ctx, enum store_event kind, struct bytes key);
    /* An event of a class that machine_set_notify() asked for; "keymiss" also
     * comes from reads outside of machine_apply(). */
    void (*on_notify)(void *ctx,
                      enum notify_class class,
                      const char *event,
                      struct bytes key);
};

struct machine *machine_new(void);
void machine_free(struct machine *m);
/* Slices: call until true; then @m is gone. No handle may be frozen. */
bool machine_free_sliced(struct machine *m, size_t budget);
/* Free garbage of released handles, clears; true when more is left. Call
 * once a loop turn. */
bool machine_free_step(struct machine *m, size_t budget);

void machine_set_run(struct machine *m, machine_run_fn run, void *ctx);
/* The first key of @command, borrowed; false when it has none. With it an
 * entry of many requests is applied without waiting for memory at each. */
typedef bool (*machine_key_fn)(struct bytes command, struct bytes *key);
void machine_set_key(struct machine *m, machine_key_fn key);
/* Copied. NULL: none. */
void machine_set_observer(struct machine *m, const struct machine_observer *o);

/* Of which classes on_notify() is to be told; 0: of none. Not state. */
void machine_set_notify(struct machine *m, unsigned classes);
/* Is it told of anything? */
bool machine_notifies(const struct machine *m);
/* For command handlers: @event has happened to @key. */
void machine_notify(struct machine *m,
                    enum notify_class class,
                    const char *event,
                    struct bytes key);

/* ---- entries ---- */

/* Apply the entry at @index (above the last one: assert). 0, or HF_ECORRUPT
 * or HF_EVERSION: then nothing at all has changed, and every node says the
 * same. */
int machine_apply(struct machine *m, uint64_t index, struct bytes entry);
/* The same checks, nothing applied: for what a leader is about to append. */
int machine_entry_check(struct bytes entry, struct errmsg *e);

enum { ENTRY_VERSION = 1, ENTRY_HEAD_SIZE = 10 };
enum entry_flag {
    /* First entry of a cold start: named sessions begin a new idle time. */
    ENTRY_COLD_START = 1,
};
enum entry_record {
    ENTRY_REQUEST = 1,
    ENTRY_VOID = 2,
    ENTRY_OPEN = 3,
    ENTRY_INIT = 4,
    ENTRY_JOIN = 5,
    ENTRY_ADDRESS = 6,
    ENTRY_GONE = 7,
    ENTRY_INITIALIZED = 8,
};

/* Building an entry: entry_begin() once, then any records. Appends to @b. No
 * record: a time entry. Strings are cut at LIM_ADDR - 1 (asserted). */
void entry_begin(struct buf *b, uint64_t time_ms, uint8_t flags);
void entry_request(struct buf *b,
                   uint64_t session,
                   uint64_t number,
                   struct bytes command);
void entry_void(struct buf *b, uint64_t session, uint64_t number);
void entry_open(struct buf *b, uint64_t id, const uint8_t nonce[HF_ID_SIZE]);
/* What a JOIN says; @peer is the announced one that names the seat. */
struct entry_node {
    uint8_t dir_id[HF_ID_SIZE];
    const char *peer;
    const char *client;
    const char *cluster;
};
/* @first must have the peer address of one of the seats. */
void entry_init(struct buf *b,
                const uint8_t cluster_id[HF_ID_SIZE],
                const char *const *seats,
                unsigned seats_n,
                const struct entry_node *first);
void entry_join(struct buf *b, const struct entry_node *node);
void entry_address(struct buf *b,
                   uint64_t id,
                   const char *peer,
                   const char *client,
                   const char *cluster);
void entry_gone(struct buf *b, uint64_t id);
void entry_initialized(struct buf *b);
/* Bytes that one REQUEST adds beside its command: for filling batches. */
enum { ENTRY_REQUEST_OVERHEAD = 21 };
/* The cluster time stamped on an entry; 0 when it is too short. */
uint64_t entry_time(struct bytes entry);
/* Stamp a built entry: a batch gets its time when it leaves, not when it is
 * begun. */
void entry_set_time(uint8_t *entry, uint64_t time_ms);

/* Walk the records of an entry that was not applied yet (a leader that looks
 * for a session's numbers in its log). False at the end or when malformed. */
struct entry_view {
    enum entry_record type;
    uint64_t session; /* REQUEST, VOID */
    uint64_t number;
    struct bytes payload; /* of the record, whole */
    struct bytes command; /* REQUEST */
};
struct entry_iter {
    struct reader r;
};
bool entry_iter_begin(struct entry_iter *it, struct bytes entry);
bool entry_iter_next(struct entry_iter *it, struct entry_view *out);

/* ---- state ---- */

struct store *machine_store(struct machine *m);
uint64_t machine_index(const struct machine *m); /* last applied; 0: none */
uint64_t machine_time(const struct machine *m);
/* @ms: cluster time as the node estimates it now (0: it does not know). Only
 * what a read says of time uses it: TTL counts down while nothing is logged.
 * What is there and what is not is a matter of entries alone. */
void machine_set_clock(struct machine *m, uint64_t ms);
/* The time that a command counts from: its entry's; of a read that is not in
 * the log the clock's, if that is ahead of the last entry. */
uint64_t machine_clock(const struct machine *m);
uint64_t machine_expired(const struct machine *m); /* keys, since the start */
/* Earliest deadline after the applied time and after @logged_ms, the time of
 * the last entry in the log, applied or not; 0: none. */
uint64_t machine_next_deadline(const struct machine *m, uint64_t logged_ms);
/* True when the next entry would remove expired keys or sessions: a leader
 * with nothing else to log appends time entries until it is false. */
bool machine_expiry_waiting(const struct machine *m);

unsigned machine_members(const struct machine *m);
const struct member *machine_member_at(const struct machine *m, unsigned i);
const struct member *machine_member(const struct machine *m, uint64_t id);
const struct member *machine_member_by_dir(const struct machine *m,
                                           const uint8_t dir[HF_ID_SIZE]);
unsigned machine_seats(const struct machine *m);
const struct seat *machine_seat_at(const struct machine *m, unsigned i);
bool machine_has_cluster(const struct machine *m); /* INIT was applied */
bool machine_initialized(const struct machine *m); /* all seats voted once */
const uint8_t *machine_cluster_id(const struct machine *m);

/* Open session of node @id and its last applied number; 0: none open. */
uint64_t machine_session_of_node(const struct machine *m,
                                 uint64_t id,
                                 uint64_t *last_number);

/* How much of the latest changes is kept (history.h). Not part of the state:
 * it may differ between nodes. */
void machine_history_limits(struct machine *m, uint64_t count, uint64_t bytes);
/* Bytes of live state, the history included; bytes only held by frozen
 * handles and garbage. */
size_t machine_bytes(const struct machine *m);
size_t machine_bytes_held(const struct machine *m);
uint64_t machine_once_count(const struct machine *m);
/* Running checksum over everything applied: equal on nodes at equal index. */
uint64_t machine_sum(const struct machine *m);
/* Digest of the whole state (walks all of it). */
uint64_t machine_digest(struct machine *m);

/* ---- for command handlers, inside run ---- */

/* True in an entry, false in a read: replies in an entry may be saved, so they
 * must be the same on every node. */
bool machine_applying(const struct machine *m);
/* A number of no meaning. In an entry it comes from the state alone; a read
 * gets another one each time. */
uint64_t machine_chance(struct machine *m);
/* A key was looked up by a read (one in an entry does not count). */
void machine_count_lookup(struct machine *m, bool found);
/* Add what was counted since the last call. */
void machine_take_lookups(struct machine *m, uint64_t *hits, uint64_t *misses);

/* ---- named requests (for command handlers, inside run) ---- */

enum once_verdict {
    ONCE_RUN = 1,    /* number is last+1: run it, then machine_once_end() */
    ONCE_REPLAY = 2, /* number is the last: *saved has the reply */
    ONCE_REPLAY_TOO_LARGE = 3, /* applied before; its reply was not kept */
    ONCE_LOWER = 4,            /* long applied: -UNKNOWN */
    ONCE_HIGHER = 5,           /* beyond last+1: refused */
    ONCE_UNKNOWN = 6,          /* no such session (any more): refused */
};
/* Whose the sessions are that the following calls open and find: 0, or a number
 * that is one user's. To anybody else a session is unknown. */
void machine_once_set_owner(struct machine *m, uint64_t owner);
/* Open a named session. Its id (the entry's index), 0 when this entry's id
 * is taken (-TRYAGAIN) or LIM_NAMED sessions are open (-TRYAGAIN). */
uint64_t machine_once_open(struct machine *m);
/* What opening would be refused for: true when LIM_NAMED are open. */
bool machine_once_full(const struct machine *m);
/* *saved (only for REPLAY) is borrowed until the next change. */
enum once_verdict machine_once_begin(struct machine *m,
                                     uint64_t session,
                                     uint64_t number,
                                     struct bytes *saved);
/* Take @number and save @reply, whether or not anybody wants it now: the
 * handler builds it always. Larger than LIM_SAVED_REPLY, or all saved ones
 * beyond LIM_SAVED_REPLIES: kept as "too large". */
void machine_once_end(struct machine *m,
                      uint64_t session,
                      uint64_t number,
                      struct bytes reply);
/* False when there is none. */
bool machine_once_close(struct machine *m, uint64_t session);
/* Idle time after which a named session goes; from each one's next use. */
void machine_once_set_idle(struct machine *m, uint64_t idle_ms);

/* ---- users ---- */

const struct users *machine_users(const struct machine *m);
/* For command handlers, inside run. @u is taken; he must fit (users_fit()). */
void machine_user_put(struct machine *m, struct user *u);
/* False: there is none. Never the default user (assert). */
bool machine_user_delete(struct machine *m, struct bytes name);

/* ---- snapshots ---- */

struct machine_frozen;

/* O(1), but for one step per HISTORY_CHUNK of the history. At most
 * MAP_ROOTS_MAX at a time (assert). */
struct machine_frozen *machine_freeze(struct machine *m);
/* Append about 256 KiB of the stream to @out (one worker at a time). False
 * when all was given (and nothing appended). */
bool machine_snapshot_next(struct machine_frozen *f, struct buf *out);
uint64_t machine_frozen_index(const struct machine_frozen *f);
/* About how many bytes the whole stream has. */
uint64_t machine_frozen_size(const struct machine_frozen *f);
/* Loop thread, nobody reads @f any more. Costs what the freezing did; then
 * machine_free_step(). */
void machine_freeze_release(struct machine *m, struct machine_frozen *f);

/* Build a new machine from a stream, on any one thread. The bytes are not
 * trusted: anything wrong, cut or left over is HF_ECORRUPT (HF_EVERSION: a
 * newer format), with the reason in @e. */
struct machine_load;
struct machine_load *machine_load_begin(void);
/* After an error only machine_load_abort() may follow. */
int machine_load_feed(struct machine_load *l,
                      struct bytes chunk,
                      struct errmsg *e);
/* On success *out is the new machine (hooks unset, the history as long as it
 * was where it comes from: set its limits) and @l is gone; on error
 * @l is still there for machine_load_abort(). */
int machine_load_finish(struct machine_load *l,
                        struct machine **out,
                        struct errmsg *e);
/* Gives back what was built, freed at once. */
void machine_load_abort(struct machine_load *l);

#endif
