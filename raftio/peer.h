/* Peer transport: authenticated-by-identity, framed, checksummed messages
 * between the nodes of one cluster.
 *
 * Every node dials every other one. A node sends its messages only on the
 * connection that it dialled and receives them only on connections that it
 * accepted; so each pair has two connections, and a message never arrives
 * over an old one: when a peer's new connection has proved itself, its old
 * one is closed before the new one is read.
 *
 * On a wire that loses packets a connection may stand still for long while
 * the kernel waits to send again, and so may a dial. So the own connection is
 * kept when it falls silent, and further ones are dialled beside it: the
 * first that is up takes its place, or it speaks again and they are given up.
 *
 * Delivery is at most once, in order per class within one connection. A
 * message is dropped when its peer is not up, when the queue is full, or when
 * the connection breaks: engine messages are sent again by the engine,
 * forwarded requests by their owner.
 *
 * CONTROL messages (heartbeats, votes, probes; one frame each) overtake BULK
 * ones between two chunks of LIM_PEER_CHUNK.
 *
 * Layout of handshake and frames: docs/FORMATS.md. Runs over base/env.h only,
 * one thread. No callback runs inside peer_init(), peer_listen(),
 * peer_set_members(), peer_send() or peer_ask(). */
#ifndef HF_RAFTIO_PEER_H
#define HF_RAFTIO_PEER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/env.h"
#include "base/limits.h"
#include "base/log.h"

enum {
    PEER_VERSION_MIN = 1,
    PEER_VERSION_MAX = 1,
    PEER_ID_BYTES = 16,
    PEER_AUTH_BYTES = 32, /* reserved, zero in version 1 */
    PEER_FRAME_HEADER = 32,

    PEER_MSG_MAX = LIM_ENTRY + (1 << 20), /* one message; beyond: closed */
    PEER_ANON_MSG_MAX = 1 << 20,          /* one question or answer */
    PEER_BULK_MAX = 32 << 20,   /* queued BULK bytes per peer, or 1 message */
    PEER_CONTROL_MAX = 1 << 20, /* queued CONTROL bytes per peer */
    PEER_CONNS_MAX = 64,        /* accepted connections; beyond: closed */
    PEER_ANON_MAX = 32,         /* questions being answered */
    PEER_ASKS_MAX = 32,         /* questions being asked */
    PEER_HANDSHAKE_MS = 1000,   /* from accept or connect to the first frame */
    PEER_FRAME_MS = 10000,      /* to complete a frame once begun */
    PEER_LINGER_MS = 200,       /* for a refusal to reach the other side */
    PEER_ANSWER_MS = 2000,      /* for an asker to take its answer */
    PEER_PARTS_MAX = 8,         /* of peer_send() */
    PEER_REDIAL_MIN_MS = 50,
    PEER_REDIAL_MAX_MS = 100,
    PEER_DIALS_MAX = 4,    /* at once to one member, begun one by one */
    PEER_SILENCES_MAX = 8, /* a connection silent for so many silence_ms is
                              closed */
    PEER_REASON_MAX = 200, /* bytes of a refusal's reason */
    PEER_LOG_BURST = 20,   /* lines on foreign behaviour per 10 s */
};

enum peer_class { PEER_CONTROL = 0, PEER_BULK = 1 };

/* Who a node is, or says it is. */
struct peer_ident {
    uint8_t cluster_id[PEER_ID_BYTES]; /* zeros: in no cluster yet */
    uint64_t node_id;                  /* 0: none yet */
    uint8_t dir_id[PEER_ID_BYTES];     /* of the data directory; never zeros */
    char addr[LIM_ADDR];               /* announced peer address */
};

struct peer_member {
    uint64_t id;
    char addr[LIM_ADDR];
    uint8_t dir_id[PEER_ID_BYTES]; /* zeros: not known, any is taken */
};

struct peer_net;
struct peer_anon;
struct peer_ask;

struct peer_cbs {
    /* A whole message of member @from (any id of this cluster; whether it is
     * one of the configuration is the owner's question). @payload is lent
     * for the call; keep it with blob_ref(). */
    void (*on_message)(void *data,
                       uint64_t from,
                       uint8_t type,
                       struct blob *payload);
    /* A question by a node that need not be a member. @h must be given back
     * exactly once by peer_anon_reply() or peer_anon_drop(), now or later.
     * @who and @payload are lent for the call. */
    void (*on_anon)(void *data,
                    struct peer_anon *h,
                    const struct peer_ident *who,
                    uint8_t type,
                    struct blob *payload);
    /* The own connection to @id can carry messages / no longer can. on_up
     * without on_down before it: a new one has taken its place, and messages
     * on the old one may be lost. */
    void (*on_up)(void *data, uint64_t id);
    void (*on_down)(void *data, uint64_t id);
    /* A dial to @id was answered by "connection refused", and it holds no
     * connection to us (it may have moved): its host is alive, its process is
     * not. */
    void (*on_refused_connect)(void *data, uint64_t id);
    /* @id (of this cluster, with the right directory) announced @addr, which
     * is not the address of its record. It is dialled there, too. */
    void (*on_moved)(void *data, uint64_t id, const char *addr);
    /* A handshake failed. @id is the member dialled, or the id claimed by an
     * incoming one (0: none); @by_us: we refused. Once per change. */
    void (*on_refused)(void *data, uint64_t id, bool by_us, const char *reason);
};
/* Every callback may be NULL except on_message and on_anon. */

struct peer_config {
    struct env *env;
    struct logger *log;         /* may be NULL */
    struct peer_ident self;     /* copied */
    const char *bind_host;      /* source address of dials; NULL: any. Copied */
    uint32_t silence_ms;        /* one election timeout: then dial beside it */
    uint32_t ping_ms;           /* 0: a quarter of silence_ms */
    const struct peer_cbs *cbs; /* kept, not copied */
    void *data;                 /* handed to callbacks */
};

/* ---- life ---- */
struct peer_net *peer_new(const struct peer_config *c);
/* Closes everything at once; not from inside a callback of this module. No
 * callback runs any more; open peer_anon handles may still be given back. */
void peer_free(struct peer_net *p);

/* @hostport with port 0 picks one: peer_port(). */
int peer_listen(struct peer_net *p, const char *hostport, struct errmsg *em);
uint16_t peer_port(const struct peer_net *p);

/* Identity changed (ids were given out by the cluster). Connections of members
 * are closed, without on_down, and made again; questions go on. */
void peer_set_self(struct peer_net *p, const struct peer_ident *self);
void peer_set_timeouts(struct peer_net *p,
                       uint32_t silence_ms,
                       uint32_t ping_ms);

/* The members to dial; replaces the earlier list (own id is skipped, at most
 * LIM_NODES others). A member that is gone from it is closed, in both
 * directions and without on_down; a changed address counts from the next
 * dial on, a changed directory id closes at once. */
void peer_set_members(struct peer_net *p,
                      const struct peer_member *m,
                      size_t n);

/* ---- members ---- */
bool peer_is_up(const struct peer_net *p, uint64_t id);
/* Copy header and parts into one message to @id. False: not up, or the queue
 * is full, and the message is dropped; counted. A CONTROL message that does
 * not fit one frame travels as BULK. At most PEER_PARTS_MAX parts. */
bool peer_send(struct peer_net *p,
               uint64_t id,
               enum peer_class c,
               uint8_t type,
               struct bytes header,
               const struct bytes *parts,
               size_t n);
/* BULK bytes waiting for @id: for senders that pace themselves. */
size_t peer_bulk_pending(const struct peer_net *p, uint64_t id);

/* ---- questions between nodes that need not know each other ---- */
/* One question to whoever listens at @addr; exactly one @cb later, unless
 * cancelled. @code 0: @who answered with @type and @payload (lent for the
 * call). Else HF_ETIMEOUT, HF_ECLOSED, HF_EIDENTITY (refused), HF_ELIMIT,
 * with a message in @why. The question is in the BULK class. */
typedef void (*peer_ask_cb)(void *data,
                            int code,
                            const struct peer_ident *who,
                            uint8_t type,
                            struct blob *payload,
                            const char *why);
struct peer_ask *peer_ask(struct peer_net *p,
                          const char *addr,
                          uint8_t type,
                          struct bytes question,
                          uint32_t timeout_ms,
                          peer_ask_cb cb,
                          void *data);
void peer_ask_cancel(struct peer_ask *a); /* its callback never runs */

void peer_anon_reply(struct peer_anon *h, uint8_t type, struct bytes answer);
void peer_anon_drop(struct peer_anon *h); /* close without an answer */

/* ---- for INFO ---- */
struct peer_stats {
    uint64_t id;
    char addr[LIM_ADDR]; /* of the record */
    bool up;             /* own connection */
    bool in_up;          /* its connection to us */
    uint32_t silent_ms;  /* since the last frame of it, either connection */
    uint64_t sent_bytes, received_bytes;
    uint64_t sent_messages, received_messages;
    uint64_t dropped;     /* messages not taken or lost with a connection */
    uint64_t connects;    /* times the own connection came up */
    uint64_t up_since_ms; /* env_now_ms() of the last of them */
    size_t bulk_pending;
    char refused[PEER_REASON_MAX]; /* last refusal; empty since up */
};
/* Fills up to @max; returns how many. */
size_t peer_stats(const struct peer_net *p, struct peer_stats *out, size_t max);
/* Connections closed for garbage, bad checksums, replays, slowness. */
uint64_t peer_bad_connections(const struct peer_net *p);

#endif
