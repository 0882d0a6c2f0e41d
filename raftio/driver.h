/* The consensus driver: libraft's raft_step() made safe to use.
 *
 * The engine decides, the driver carries out: it keeps the entries in memory,
 * orders persistence before messages, applies what is committed, changes
 * membership, confirms leadership for reads, and stands between the engine
 * and every input that would break it. It is pure: no I/O, no clock; time
 * comes with each call (milliseconds, monotonic), everything else goes through
 * struct driver_ops.
 *
 * Order of work after each step of the engine:
 *   1. persist_vote   durable on return, before anything leaves
 *   2. append         queued; the disk truncates to @first first
 *   3. install        queued in the same order
 *   4. send           may leave while 2 and 3 are still being written
 *   5. apply          in index order, without gaps; at most
 *                     DRIVER_APPLY_BYTES a call, so that a backlog (a start)
 *                     does not make a node deaf: the timer brings the rest
 *   6. timer, state, config
 *
 * No callback may call a function of the driver that takes @now_ms; accessors
 * are fine. One thread. After fatal() the driver does nothing any more: the
 * process is to stop and to start again from its disk.
 *
 * Members are changed one at a time, in this order of life:
 *   (none) -> SPARE -> STANDBY -> VOTER, and back or out from anywhere. */
#ifndef HF_RAFTIO_DRIVER_H
#define HF_RAFTIO_DRIVER_H

#include <raft.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"
#include "raftio/conf.h"
#include "raftio/entry.h"
#include "raftio/entry_cache.h"
#include "raftio/message.h"
#include "raftio/pace.h"
#include "raftio/snap_meta.h"

enum {
    DRIVER_SUBMIT_MAX = 64,       /* entries of one driver_submit() */
    DRIVER_WRITES_MAX = 16384,    /* appends in flight; beyond, received
                                     entries are dropped and sent again */
    DRIVER_APPLY_BYTES = 1 << 20, /* applied in one call; the rest follows by
                                   timer, with messages in between */
    DRIVER_HELD_MAX = 32,         /* messages waiting for our own write of a
                                     CHANGE; beyond, dropped */
    DRIVER_EARLY_FIRST_MS = 3,    /* after the leader's process ended the first
                                     of its followers stands, ... */
    DRIVER_EARLY_STEP_MS = 12,    /* ... so much later each of the others */
    DRIVER_HASTENED_MAX = 2,      /* short rounds of a candidate */
    DRIVER_QUORUM_TIMES = 2,      /* a leader outwaits its followers: it is
                                     they who notice that it is gone */
    DRIVER_PATIENCE_MAX = 4,      /* election timeouts that a bad wire may
                                     make of one */
    DRIVER_CHANGES_MAX = 65536,   /* CHANGE entries since the snapshot; beyond,
                                     driver_change() says HF_ELIMIT */
};

struct driver_config {
    uint32_t election_ms; /* a follower waits one to two of these; longer
                             when the wire is bad: driver_election_ms() */
    uint32_t heartbeat_ms;
    uint32_t install_ms;      /* a named snapshot is named again after this */
    uint32_t catch_up_ms;     /* one round of driver_catch_up() */
    uint32_t max_inflight;    /* entries on the way to one follower */
    uint32_t message_bytes;   /* payload of one RMSG_APPEND beyond its first */
    uint64_t cache_bytes;     /* payloads kept though applied and durable */
    uint32_t pending_entries; /* submitted, not yet applied: then ELIMIT */
    uint64_t pending_bytes;   /* the same in bytes */
    uint32_t seed;            /* different on every node and start */
    bool pre_vote;            /* only the simulator turns it off */
};

enum driver_role {
    DRIVER_FOLLOWER,
    DRIVER_CANDIDATE,
    DRIVER_LEADER,
};

enum driver_catch_up_status {
    DRIVER_CATCH_UP_NONE,
    DRIVER_CATCH_UP_RUNNING,
    DRIVER_CATCH_UP_ABORTED,
    DRIVER_CATCH_UP_FINISHED,
};

/* @o is the owner given to driver_init(). Pointers are borrowed for the call;
 * what is to stay takes references. */
struct driver_ops {
    /* Durable on return, else the owner stops the process. */
    void (*persist_vote)(void *o, uint64_t term, uint64_t vote);
    /* Truncate the log to @first - 1, then write @n entries: asynchronous,
     * first in first out. Answer each with driver_appended(), in order. */
    void (*append)(void *o,
                   uint64_t first,
                   const struct entry *e,
                   unsigned n,
                   uint64_t token);
    /* Make the fetched snapshot @m the durable one, then reset the log to
     * begin after it, then load the machine from it; in the same queue as
     * append. Answer with driver_installed(). Appends before it in the queue
     * are still to be answered. */
    void (*install)(void *o, const struct snap_meta *m);
    /* Encode or drop. m->to is never this node. */
    void (*send)(void *o, const struct raft_msg *m);
    /* Read entries that memory no longer holds. Answer with
     * driver_read_done(), in any order; up to LIM_NODES at once. */
    void (*read_log)(void *o, uint64_t first, unsigned n, uint64_t token);
    /* Entry @index is committed: commands, barriers and changes alike. */
    void (*apply)(void *o, uint64_t index, const struct entry *e);
    /* Call driver_timeout() at @at_ms; replaces the earlier time. */
    void (*timer)(void *o, uint64_t at_ms);
    /* Role, term, readiness or known leader changed. */
    void (*state)(void *o);
    /* The configuration in force changed (committed or not). */
    void (*config)(void *o);
    /* Round @round of driver_probe() ended. @ok: this node led at a moment
     * after the call, and @index was then committed: reads that began before
     * it may be answered once @index is applied. */
    void (*probe_done)(void *o, uint64_t round, bool ok, uint64_t index);
    /* Called once. The process must stop. */
    void (*fatal)(void *o, const char *why);
};

/* ---- private ---- */
struct driver_write {
    uint64_t token;
    uint64_t first;
    uint64_t last;   /* what it still proves; below first: nothing */
    uint64_t *terms; /* mutant only */
};

/* An AppendEntries that the engine wants sent: entries are looked up when it
 * leaves, so a waiting one costs no memory. */
struct driver_ae {
    uint64_t to;
    uint64_t term;
    uint64_t prev_index;
    uint64_t prev_term;
    uint64_t commit;
    unsigned n;
    uint8_t version;
};

struct driver_read {
    uint64_t token; /* 0: free */
    unsigned asked;
    bool superseded;     /* the engine went back: what is read is useless */
    struct driver_ae ae; /* what is still to be sent */
};

struct driver_change {
    uint64_t index;
    struct blob *conf;
};

struct driver_probe {
    bool active;
    uint64_t round;
    uint64_t attempt;
    uint64_t term;
    uint64_t index;
    uint64_t conf_index;
    uint64_t resend_at;
    unsigned n_acks;
    uint64_t acks[LIM_NODES];
};

/* When @id last answered this leader, less what we slept. */
struct driver_answer {
    uint64_t id; /* 0: free */
    uint64_t awake;
};

/* How this leader went back for @id when it last rejected something. */
struct driver_back {
    uint64_t id;     /* 0: free */
    uint64_t at;     /* when, ms */
    uint64_t sent;   /* when anything was sent since */
    uint64_t match;  /* what it had acknowledged then */
    uint64_t prev;   /* where the first piece sent since is anchored; 0: that
                        cannot be rejected */
    uint64_t end;    /* and where all sent then end */
    uint64_t upto;   /* entries after this are held back; 0: none are */
    unsigned window; /* pieces that may be on the way */
    bool refused;    /* some of them was rejected */
};

struct driver {
    struct raft r;
    uint64_t id;
    const struct driver_ops *ops;
    void *owner;
    struct driver_config cfg;
    char name[CONF_NAME_MAX];
    uint64_t now;
    bool inside; /* a public function is running */
    bool failed;

    struct entry_cache log;
    struct snap_meta snap;       /* the one the engine knows */
    struct snap_meta installing; /* index 0: none */
    uint64_t applied;
    uint64_t commit;
    uint64_t apply_left; /* bytes that this call may still apply */
    uint64_t durable;
    uint64_t pending_bytes; /* payloads after applied */

    struct driver_write *writes; /* ring, DRIVER_WRITES_MAX at most */
    unsigned writes_head;
    unsigned writes_n;
    unsigned writes_cap;
    uint64_t token;

    struct driver_change *changes; /* CHANGE entries after the snapshot */
    unsigned changes_n;
    unsigned changes_cap;

    uint64_t lead_term; /* 0: not leading */
    uint64_t barrier_index;
    bool barrier_wanted;
    bool barrier_applied;

    uint64_t lone_term;     /* term already raised for a self-election */
    uint64_t contact;       /* when a leader was last heard */
    uint64_t contact_of;    /* which one; 0: none since the start */
    uint64_t contact_awake; /* the same on the clock below */
    uint64_t timer_at;      /* what the owner was last asked for; 0: nothing */
    uint64_t slept;         /* by how much it came too late, summed up: silence
                               that we slept through says nothing of others */
    struct pace hears;      /* silences of leaders */
    struct pace heard;      /* of a majority of voters, while this node led */
    uint64_t answers_term;  /* in which it led last */
    struct driver_answer answers[LIM_NODES];
    struct driver_back backs[LIM_NODES];
    uint64_t back_for;    /* for whom the step that runs goes back; 0: none */
    uint64_t back_ack;    /* whose answer is being stepped */
    unsigned back_window; /* with back_for: pieces that may leave */
    uint64_t silence_max; /* of a leader that was then heard again */
    uint64_t lost;        /* not heard since its process ended; 0: none */
    uint64_t early_at;    /* then stand for election; 0: no */
    unsigned hastened;    /* rounds as candidate since a leader was heard */
    uint64_t transfer_to;
    uint64_t transfer_until;
    uint8_t ae_version; /* of the engine's own AppendEntries */
    const struct raft_configuration *conf_lent; /* what to put back */

    struct driver_ae held[DRIVER_HELD_MAX];
    unsigned held_n;
    struct driver_read reads[LIM_NODES];
    struct driver_probe probe;

    /* What the owner was told last. */
    int told_role;
    uint64_t told_term;
    uint64_t told_leader;
    bool told_ready;
    uint64_t told_conf_index;
    uint64_t told_conf_term;

    uint64_t commit_regressions; /* the engine's; for the simulator */
};

/* ---- lifecycle ---- */
/* LIM_ELECTION_MS, LIM_HEARTBEAT_MS, pre-vote, 32 MiB of cache. seed is 0 and
 * must be set. */
void driver_config_default(struct driver_config *c);

void driver_init(struct driver *d,
                 uint64_t id,
                 const struct driver_ops *ops,
                 void *owner,
                 const struct driver_config *c);
void driver_release(struct driver *d);

/* Begin from what the disk holds. @term 0: blank, waiting to be joined.
 * @snap may be NULL. @e[0] is entry @first. All payloads must be there.
 *
 * If the log does not contain the snapshot's last entry (a crash between
 * making a snapshot durable and resetting the log) it is useless:
 * driver_first() is then above @first and driver_last() below it, and the
 * owner resets its log to begin at driver_first() before it writes anything.
 * The caller has loaded the machine from @snap. persist_vote may be called;
 * committed entries may be applied at once. */
int driver_start(struct driver *d,
                 uint64_t now_ms,
                 uint64_t term,
                 uint64_t vote,
                 const struct snap_meta *snap,
                 uint64_t first,
                 const struct entry *e,
                 unsigned n);

/* Entry 1 of a new cluster, the same on every seat: term 1, @c. entry_unref()
 * it. */
void driver_bootstrap_entry(const struct conf *c, struct entry *out);

/* ---- events ---- */
void driver_timeout(struct driver *d, uint64_t now_ms);

/* @from is the authenticated sender. Whatever does not make sense is dropped.
 * An RMSG_INSTALL is to be given only when the snapshot named by exactly its
 * (index, term) is at hand, else to driver_refuse_install(). */
void driver_receive(struct driver *d,
                    uint64_t now_ms,
                    uint64_t from,
                    const struct raft_msg *m);
/* The leader names a snapshot that is not here yet. Nothing is installed. */
void driver_refuse_install(struct driver *d,
                           uint64_t now_ms,
                           uint64_t from,
                           const struct raft_msg *m);
void driver_appended(struct driver *d, uint64_t now_ms, uint64_t token);
/* The machine has been loaded from the snapshot. */
void driver_installed(struct driver *d, uint64_t now_ms);
/* @n entries from the first asked for; 0: they could not be read. */
void driver_read_done(struct driver *d,
                      uint64_t now_ms,
                      uint64_t token,
                      const struct entry *e,
                      unsigned n);
/* The operating system at @id's address says that no process of it listens
 * there. If @id leads, this node stands for election after a moment instead of
 * an election timeout, and grants votes at once. It may be wrong: the election
 * begins with a pre-vote, which a majority grants only if none of it has heard
 * the leader since. */
void driver_peer_died(struct driver *d, uint64_t now_ms, uint64_t id);

/* ---- requests ---- */
/* Append @n COMMANDs (type and term are set here; references are taken).
 * They are applied from *@first_index on, or never: an entry has failed only
 * when one of another term is applied at its index.
 * HF_ENOLEADER, HF_EAGAIN (a transfer is running), HF_ELIMIT: nothing was
 * appended. */
int driver_submit(struct driver *d,
                  uint64_t now_ms,
                  const struct entry *e,
                  unsigned n,
                  uint64_t *first_index);

/* Give @id the role @role: CONF_SPARE also adds, CONF_NONE removes.
 * HF_ENOLEADER; HF_EAGAIN: not ready yet, or another change is pending;
 * HF_ENOENT; HF_EEXIST: has that role; HF_ELIMIT: LIM_NODES; HF_EINVAL: no
 * voter would be left, or the last one would be another node (only the
 * survivor may shrink to one: transfer to it first), or a new member is not
 * added as SPARE. */
int driver_change(struct driver *d, uint64_t now_ms, uint64_t id, int role);

/* Bring a SPARE up to date before it is made STANDBY or VOTER. HF_ENOLEADER,
 * HF_EAGAIN, HF_ENOENT, HF_EEXIST (is a voter). */
int driver_catch_up(struct driver *d, uint64_t now_ms, uint64_t id);
enum driver_catch_up_status driver_catch_up_status(struct driver *d,
                                                   uint64_t id);

/* Hand leadership to voter @id: submits stop, and once it has the whole log
 * it is told to stand. Given up after an election timeout. HF_ENOLEADER,
 * HF_EBUSY (one is running), HF_ENOENT (no such voter, or this node). */
int driver_transfer(struct driver *d, uint64_t now_ms, uint64_t id);

/* What a snapshot of the machine as it is now is called. *@m gets a
 * reference. HF_EAGAIN: not now (below index 2, not durable yet, installing,
 * nothing new). */
int driver_snapshot_meta(struct driver *d, struct snap_meta *m);
/* Snapshot @m is durable. The entries up to m->index - @trailing may go: the
 * owner trims its log below driver_first(). HF_EAGAIN: an install overtook
 * it; @m is to be forgotten. */
int driver_snapshot_done(struct driver *d,
                         uint64_t now_ms,
                         const struct snap_meta *m,
                         uint64_t trailing);

/* Start read round @round: asks the voters whether this node still leads.
 * Ends in probe_done(), which may run inside this call (a lone voter).
 * HF_ENOLEADER; HF_EAGAIN: leader, but its first entry is not applied yet;
 * HF_EBUSY: a round is running. */
int driver_probe(struct driver *d, uint64_t now_ms, uint64_t round);

/* Tell all followers the commit index now instead of with the next
 * heartbeat. Nothing when not leading. */
void driver_kick(struct driver *d, uint64_t now_ms);

/* ---- accessors ---- */
bool driver_ready(struct driver *d); /* leads, barrier applied, no transfer */
bool driver_probing(const struct driver *d);
enum driver_role driver_role(struct driver *d);
uint64_t driver_term(struct driver *d);
/* The election timeout in force: election_ms, or more when this node has
 * lately missed a leader that was alive (raftio/pace.h), at most
 * DRIVER_PATIENCE_MAX times as much. */
uint64_t driver_election_ms(const struct driver *d);
/* How long this node, leading, goes on without answers of a majority: the
 * same by what it has missed of those, and DRIVER_QUORUM_TIMES as much. */
uint64_t driver_quorum_ms(const struct driver *d);
uint64_t driver_leader(struct driver *d); /* 0: not known */
uint64_t driver_first(const struct driver *d);
uint64_t driver_last(const struct driver *d);
uint64_t driver_commit(const struct driver *d);
uint64_t driver_applied(const struct driver *d);
uint64_t driver_durable(const struct driver *d);
bool driver_installing(const struct driver *d);
/* 0: not in memory and not the snapshot's. */
uint64_t driver_term_of(const struct driver *d, uint64_t index);
/* As leader: what @id is known to have. 0: nothing, or not leading. */
uint64_t driver_match(struct driver *d, uint64_t id);
void driver_members(const struct driver *d, struct conf *out);
/* Index of the last CHANGE in the log, committed or not; 0: none. */
uint64_t driver_conf_index(const struct driver *d);
bool driver_change_pending(const struct driver *d);
uint64_t driver_cache_bytes(const struct driver *d);
uint64_t driver_pending_bytes(const struct driver *d);
const struct snap_meta *driver_snapshot(const struct driver *d);

#endif
