/* Inside the state machine: its state, and parts of records. */
#ifndef HF_STORE_MACHINE_INT_H
#define HF_STORE_MACHINE_INT_H

#include "base/assert.h"
#include "base/mutant.h"
#include "server/store/machine.h"
#include "server/store/users.h"

enum { WARM_RECORDS = 16 }; /* whose keys are looked up together */
enum { ONCE_IDLE_DEFAULT_MS = 3600 * 1000 };

/* A named session is an item of a map of its own: the key is its id in
 * big-endian order, the deadline the end of its idle time, the value
 * {u64 last number, u8 flags, with ONCE_OWNED u64 owner, saved reply}. So
 * freezing is O(1), and idle ones are found in order. */
enum { ONCE_HEAD = 9, ONCE_OWNER = 8, ONCE_TOO_LARGE = 1, ONCE_OWNED = 2 };

/* All state that is not in a map: small, copied whole by a freeze. */
struct machine_base {
    uint64_t index;
    uint64_t sum;
    uint64_t next_id; /* the next member's; from 1 */
    uint64_t once_idle_ms;
    /* After a cold start: no named session ends before this time. */
    uint64_t once_floor_ms;
    uint8_t cluster_id[HF_ID_SIZE];
    bool has_cluster;
    bool initialized;
    unsigned seats_n;
    unsigned members_n;
    struct seat seats[LIM_SEATS];
    struct member members[LIM_NODES];
};

struct machine {
    struct store *store;
    struct map *named;
    struct users users;
    struct blob *users_image; /* records of a snapshot; NULL: not made yet */
    struct machine_base base;
    uint64_t saved_bytes; /* of all saved replies */
    uint64_t expired;     /* keys removed by time, since the start */
    bool id_taken;        /* this entry's index is already a session's id */
    bool applying;
    uint64_t once_owner; /* see machine_once_set_owner() */
    uint64_t clock_ms;   /* see machine_set_clock() */
    uint64_t chances;    /* that reads took */
    uint64_t found[2];   /* lookups of reads: of keys that are not there, are */
    struct buf reply;
    machine_run_fn run;
    void *run_ctx;
    machine_key_fn key;
    struct machine_observer obs;
    unsigned notify; /* enum notify_class */
};

/* entry.c: false when malformed. */
struct entry_init_view {
    uint8_t cluster_id[HF_ID_SIZE];
    unsigned seats_n;
    struct seat seats[LIM_SEATS];
    struct member first;
};
bool rd_init(struct bytes payload, struct entry_init_view *out);
bool rd_node(struct bytes payload, struct member *out);
bool rd_id_addresses(struct bytes payload, struct member *out);
bool rd_addresses(struct reader *r, struct member *out);
void put_addresses(struct buf *b, const struct member *m);
bool rd_seat(struct reader *r, char out[LIM_ADDR]);
void put_seat(struct buf *b, const char *peer);

/* once.c */
void once_expire(struct machine *m);
bool once_expiry_waiting(const struct machine *m);

#endif
