/* Messages between the drivers of two nodes, and their bytes.
 *
 * One encoding is a head, made by raft_msg_encode(), followed by the payload
 * bytes of the entries in order: they are not copied, the sender writes them
 * out of m->entries[i].data. The decoder wants head and payloads in one
 * contiguous blob; its entries point into that blob and hold references (a
 * CHANGE gets a copy of its own).
 *
 * Who sent a message is not in it: the connection says so. The byte layout is
 * in docs/FORMATS.md, "Raft messages". Pure. */
#ifndef HF_RAFTIO_MESSAGE_H
#define HF_RAFTIO_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "raftio/entry.h"
#include "raftio/snap_meta.h"

/* 1 to 6 are the engine's numbers. Never reuse one. */
enum raft_msg_kind {
    RMSG_APPEND = 1,
    RMSG_APPEND_RESULT = 2,
    RMSG_VOTE = 3,
    RMSG_VOTE_RESULT = 4,
    RMSG_INSTALL = 5, /* names a snapshot; its bytes travel elsewhere */
    RMSG_TIMEOUT_NOW = 6,
    RMSG_PROBE = 7,     /* do you still know no later term? */
    RMSG_PROBE_ACK = 8, /* no: only ever sent with the same term */
};

enum {
    RMSG_ENTRIES_MAX = 8192,      /* entries in one message */
    RMSG_CONF_MAX = 4096,         /* bytes of a configuration */
    RMSG_PAYLOAD_MAX = 128 << 20, /* bytes of all payloads together */
};

struct raft_msg {
    uint8_t kind;    /* enum raft_msg_kind */
    uint8_t version; /* the engine's, carried verbatim */
    uint64_t to;     /* where it goes; not encoded */
    uint64_t term;
    union {
        struct {
            uint64_t prev_index;
            uint64_t prev_term;
            uint64_t commit;
        } append; /* and @entries */
        struct {
            uint64_t rejected; /* 0: accepted */
            uint64_t last_index;
            uint16_t features;
            uint16_t capacity;
        } append_result;
        struct {
            uint64_t candidate;
            uint64_t last_index;
            uint64_t last_term;
            bool disrupt_leader;
            bool pre_vote;
        } vote;
        struct {
            bool granted;
            bool pre_vote;
            uint16_t features;
            uint16_t capacity;
        } vote_result;
        struct snap_meta install;
        struct {
            uint64_t last_index;
            uint64_t last_term;
        } timeout_now;
        struct {
            uint64_t round;   /* the asking owner's number */
            uint64_t attempt; /* never reused within a term */
        } probe;              /* both kinds */
    };
    struct entry *entries; /* RMSG_APPEND only, else NULL and 0 */
    unsigned n_entries;
};

/* Append the head of @m to @head. */
void raft_msg_encode(const struct raft_msg *m, struct buf *head);
/* Bytes of all payloads: what follows the head. */
size_t raft_msg_payload_bytes(const struct raft_msg *m);

/* Decode @at, a range inside @b, which must be all of one message. 0 or
 * HF_ECORRUPT; limits and enums are checked here, meaning is not (that is
 * driver_receive()'s). Release *@out on success. */
int raft_msg_decode(struct blob *b, struct bytes at, struct raft_msg *out);

/* Deep enough to be kept: own entries array, references taken. */
void raft_msg_copy(struct raft_msg *dst, const struct raft_msg *src);
void raft_msg_release(struct raft_msg *m);

const char *raft_msg_name(int kind);

#endif
