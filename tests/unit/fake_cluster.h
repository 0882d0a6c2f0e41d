/* A cluster of the simplest kind, for tests of the client: nodes that share
 * one store in this process, each with a port of its own and a script of
 * faults. It counts what was applied. */
#ifndef HF_TESTS_FAKE_CLUSTER_H
#define HF_TESTS_FAKE_CLUSTER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "resp/resp.h"

enum {
    FAKE_NODES = 3,
    FAKE_CONNS = 32,
    FAKE_KEYS = 64,
    FAKE_SESSIONS = 512,
    FAKE_SCRIPT = 4096
};

enum fake_what {
    FAKE_SERVE,      /* nothing special */
    FAKE_DROP,       /* close, not applied */
    FAKE_APPLY_DROP, /* apply, close without a reply */
    FAKE_APPLY_HALF, /* apply, send half of the reply, close */
    FAKE_SAY,        /* reply @text, not applied */
    FAKE_APPLY_SAY,  /* apply, reply @text */
    FAKE_HANG,       /* no reply, not applied; the node is mute from then on */
    FAKE_APPLY_HANG, /* apply, no reply; the same */
    FAKE_STALL,      /* no reply to this one, not applied; the node lives */
    FAKE_LATE        /* close; apply it at the next command of any node */
};

enum fake_on {
    FAKE_ON_COMMAND,
    FAKE_ON_OPEN,
    FAKE_ON_HELLO,
    FAKE_ON_STATUS /* and COMMAND: asked without being told to */
};

struct fake_action {
    enum fake_on on;
    enum fake_what what;
    const char *text; /* a whole reply, CRLF included */
    bool forever;     /* not used up */
};

struct fake_conn {
    int fd;    /* -1: free */
    bool deaf; /* it sent what is no request; nothing more is read */
    struct buf in;
    struct resp_parser parser;
};

struct fake_node {
    struct fake *fake;
    pthread_t thread;
    int listen_fd;
    uint16_t port;
    struct fake_conn conns[FAKE_CONNS];
    struct fake_action script[FAKE_SCRIPT]; /* used in order */
    size_t script_next;
    size_t script_len;
    bool mute;    /* as if stopped: connections are made, nothing is read */
    size_t dials; /* connections taken */
};

struct fake_key {
    bool used;
    struct buf key;
    struct buf value;
    uint64_t created;
    uint64_t revision;
};

struct fake_session {
    uint64_t last;
    bool gone;
    struct buf saved;
};

struct fake {
    pthread_mutex_t lock; /* all below */
    struct fake_node nodes[FAKE_NODES];
    struct fake_key keys[FAKE_KEYS];
    struct fake_session sessions[FAKE_SESSIONS]; /* id: index + 1 */
    size_t nsessions;
    uint64_t revision;
    uint64_t applied; /* writes */
    int64_t leader;   /* in STATUS */
    int64_t seats;    /* the same; one is taken */
    struct buf late;  /* a request that will be applied later */
    bool stop;
    char endpoints[128]; /* of all nodes, for hf_open() */
};

void fake_start(struct fake *f);
void fake_stop(struct fake *f);
/* Add a step to the script of node @node. */
void fake_script(struct fake *f, size_t node, struct fake_action a);
/* Stop or wake up node @node. */
void fake_mute(struct fake *f, size_t node, bool mute);
size_t fake_dials(struct fake *f, size_t node);
/* What all nodes answer to STATUS as leader_id. */
void fake_leader(struct fake *f, int64_t id);
/* All sessions expire. */
void fake_expire_sessions(struct fake *f);
uint64_t fake_applied(struct fake *f);
size_t fake_sessions(struct fake *f);

#endif
