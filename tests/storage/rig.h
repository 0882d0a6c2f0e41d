/* One data directory on a disk in memory, worked on by a script that a seed
 * draws, beside a model of what was asked of it and what was acknowledged.
 *
 * The directory is opened as the node does it (identity, snapshot, vote, log,
 * content of the snapshot), and what was found is held against the model:
 * everything acknowledged is there, nothing else but what was under way. */
#ifndef HF_TESTS_STORAGE_RIG_H
#define HF_TESTS_STORAGE_RIG_H

#include <stdbool.h>
#include <stdint.h>

#include "raftio/identity.h"
#include "raftio/snap.h"
#include "raftio/vote.h"
#include "raftio/wal.h"
#include "tests/sim/disk_sim.h"
#include "tests/unit/wal_env.h"

enum {
    RIG_BATCH = 6,       /* entries of one append */
    RIG_LIVE = 1024,     /* entries between snapshot and end, at most */
    RIG_FLIGHT = 256,    /* ops submitted and not acknowledged, at most */
    RIG_SEGMENT = 32768, /* bytes of a segment */
    RIG_ENTRY = 6000,    /* bytes of an entry, at most */
};

enum rig_kind { RIG_APPEND, RIG_TRUNCATE, RIG_RESET };

struct rig_op {
    enum rig_kind kind;
    uint64_t first;
    uint64_t term;
    size_t n;
    uint32_t id[RIG_BATCH];
    uint32_t len[RIG_BATCH];
};

/* The entries of a log; those of index i are at i % RIG_LIVE. */
struct rig_log {
    uint64_t next;
    uint64_t floor; /* nothing below it but this term */
    uint64_t floor_term;
    uint64_t term[RIG_LIVE];
    uint32_t id[RIG_LIVE];
    uint32_t len[RIG_LIVE];
};

struct rig_point {
    uint64_t index; /* 0: no snapshot */
    uint64_t term;
};

struct rig_promise {
    uint64_t term;
    uint64_t vote;
};

struct rig {
    struct disk *d; /* not owned */
    struct test_env t;
    struct rng rng;
    struct wal_cfg cfg;
    struct wal *w; /* NULL: not running */
    struct vote vote;
    struct identity id; /* as the process knows it */
    size_t snap_bytes;  /* content of a snapshot */
    bool skip_log;      /* starts only look: what is known to be whole */
    bool skip_content;  /* need not be read each time */

    /* the model */
    struct rig_op ops[RIG_FLIGHT]; /* op i at i % RIG_FLIGHT */
    uint64_t submitted;
    uint64_t acked;
    struct rig_log sure; /* after all acknowledged */
    struct rig_log now;  /* after all submitted */
    struct rig_point snap;
    struct rig_point snap_next; /* equal, or being written */
    struct rig_promise voted;
    struct rig_promise voted_next;
    struct identity ident;
    struct identity ident_next;

    uint8_t fresh[ID_BYTES]; /* id of a directory that has none */
    uint64_t term;
    uint32_t next_id;
    uint64_t done; /* ops of the script */
    bool stopped;  /* the process has to end: a fatal error */
    bool late_ack; /* something was acknowledged after it */
    bool closing;
    bool closed;
    bool clean;
    /* After a kill, before the next start: faults are to be armed again. */
    void (*on_restart)(void *data);
    void *on_restart_data;
    bool must_not_stop; /* the fault in force is none that may stop it */
    int open_status;    /* of the start that failed */
    char text[600];     /* what was violated; "" nothing */
};

/* What a start found. */
struct rig_found {
    int status; /* 0, or the first step's error */
    struct identity id;
    bool member; /* all below is there */
    struct rig_point snap;
    struct rig_promise voted;
    struct wal_recovered log;
    struct vote vote;
    struct wal_survey survey; /* of a log that is damaged: where it ended */
    struct errmsg em;
};

/* A directory of cluster @cluster and node @node; the script is @seed's. */
void rig_init(struct rig *r,
              struct disk *d,
              uint64_t seed,
              uint8_t cluster,
              uint64_t node);
/* Before the first start: the directory's own id is made of @dir. */
void rig_set_dir(struct rig *r, uint8_t dir);
/* A rig for @d, a twin of r->d: the same knowledge, no process. */
void rig_fork(struct rig *to, const struct rig *r, struct disk *d);
/* The process is gone, the disk stays as it is. */
void rig_drop(struct rig *r);

/* Start the process on the directory, first or again: open, compare, go on.
 * False: it refused (r->open_status), or r->text says what is violated. */
bool rig_start(struct rig *r);
/* One step of the script: appends, truncations, snapshots, installs, votes,
 * quiet times, orderly and other restarts. */
void rig_step(struct rig *r);
/* The same without restarts. */
void rig_work(struct rig *r);
void rig_settle(struct rig *r, uint64_t us); /* all work, and time */
/* Single parts of it. */
void rig_append(struct rig *r, size_t n, uint32_t max_len);
void rig_truncate(struct rig *r, uint64_t first);
void rig_replace(struct rig *r, uint64_t first);
void rig_snapshot(struct rig *r, uint64_t index);
void rig_install(struct rig *r);
void rig_vote(struct rig *r);
/* An orderly stop; r->w is NULL afterwards. */
void rig_close(struct rig *r);

/* Open directory @d as a starting node does. @f is the caller's to release. */
void rig_open(struct rig *r, struct disk *d, struct rig_found *f);
void rig_found_release(struct rig_found *f);
/* Is @f what the model allows? Writes r->text if not. On true the model
 * knows what became of what was under way. */
bool rig_explain(struct rig *r, const struct rig_found *f);
/* A start that says that the data are damaged, with a reason. */
bool rig_reported(const struct rig_found *f);
/* Is what a repair under the same id would go by true? Of a log that ended
 * at index @last, a survey that says that it knows must say that. */
bool rig_survey_true(const struct rig_found *f, uint64_t last);

/* Equal in every entry, index, term and byte. */
bool rig_same_log(const struct wal_recovered *a, const struct wal_recovered *b);

#endif
