/* Shared by peer.c (members, sending, questions) and peer_conn.c (one
 * connection: handshake and frames). */
#ifndef HF_RAFTIO_PEER_INT_H
#define HF_RAFTIO_PEER_INT_H

#include "base/rng.h"
#include "raftio/peer_frame.h"

/*  dialled:  CONNECTING --> HELLO_SENT --> UP --> LINGER --> DEAD
 *  accepted: WAIT_HELLO --> WAIT_READY --> UP --> LINGER --> DEAD
 *
 * LINGER: a refusal or an answer is on its way; input is ignored. Any state
 * may go to DEAD, where it waits for the end of the turn to be freed. */
enum pconn_state {
    PCONN_CONNECTING,
    PCONN_HELLO_SENT,
    PCONN_WAIT_HELLO,
    PCONN_WAIT_READY,
    PCONN_UP,
    PCONN_LINGER,
    PCONN_DEAD,
};

struct member;

struct pconn {
    struct peer_net *p;
    struct net_conn *c; /* NULL: dead */
    enum pconn_state state;
    bool dialled;
    bool patient;         /* its connect may take long */
    bool unheard;         /* the other side says that it hears nothing on it */
    bool hinted;          /* goes to where the member says it is */
    struct member *m;     /* dialled for it; NULL else */
    struct peer_ask *ask; /* dialled for it; NULL else */
    struct peer_anon *anon; /* its question is being answered */
    struct hello other;     /* valid from WAIT_READY or UP on */
    uint64_t nonce;
    uint32_t salt_in, salt_out;
    uint64_t seq_in, seq_out;
    uint64_t deadline_us; /* of handshake or lingering; 0: none */
    uint64_t last_in_us, last_out_us;
    uint64_t half_since_us; /* when @in began to wait for the rest */
    struct buf in;          /* an incomplete frame */
    struct blob *msg;       /* a message being put together, or NULL */
    size_t msg_have, msg_room, msg_total;
    uint8_t msg_type;
    struct pconn *next;
};

struct queued {
    struct queued *next;
    size_t n;
    size_t sent;
    uint8_t type;
    uint8_t d[];
};

struct member {
    struct peer_net *p;
    uint64_t id; /* 0: free slot */
    char addr[LIM_ADDR];
    char hint[LIM_ADDR]; /* announced elsewhere; empty: none */
    bool use_hint;
    uint8_t dir_id[PEER_ID_BYTES];
    bool dir_known;
    struct pconn *out;                   /* up; NULL: none */
    struct pconn *dials[PEER_DIALS_MAX]; /* on their way to take its place */
    struct env_timer redial; /* the next dial; armed while one is wanted */
    uint32_t backoff_ms;
    unsigned dials_n; /* begun so far */
    uint64_t up_since_us;
    struct queued *head, *tail;
    size_t queued_bytes;
    struct peer_stats stats;
};

struct peer_anon {
    struct peer_net *p; /* NULL: the transport is gone */
    struct pconn *pc;   /* NULL: the asker is gone */
    struct peer_anon *next;
};

struct peer_ask {
    struct peer_net *p;
    struct pconn *pc; /* NULL: not dialled or gone */
    struct env_timer timer;
    peer_ask_cb cb;
    void *data;
    uint8_t type;
    int code; /* what the timer reports */
    char why[PEER_REASON_MAX];
    struct buf question;
    struct peer_ask *next;
};

struct peer_net {
    struct env *env;
    struct logger *log;
    struct peer_ident self;
    char bind_host[LIM_ADDR];
    uint32_t silence_ms, ping_ms;
    const struct peer_cbs *cbs;
    void *data;
    struct rng rng;
    struct net_listener *listener;
    struct env_timer tick;
    struct env_task reap; /* frees dead connections */
    struct pconn *conns;
    struct member members[LIM_NODES];
    struct peer_anon *anons;
    struct peer_ask *asks;
    uint64_t bad_connections;
    uint64_t log_window_us;
    uint32_t log_lines, log_hidden;
    char last_refusal[PEER_REASON_MAX]; /* of an accepted connection */
    uint64_t last_refusal_us;
};

/* ---- peer_conn.c ---- */
struct pconn *pconn_new(struct peer_net *p, struct net_conn *c, bool dialled);
/* One line about a foreigner's behaviour, PEER_LOG_BURST per 10 s. */
void peer_note(struct peer_net *p, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* The end; @why goes to log and asker. Members are told. */
void pconn_close(struct pconn *pc, int code, const char *why);
/* The same without any callback. */
void pconn_kill(struct pconn *pc);
void pconn_frame(struct pconn *pc,
                 const struct frame *f,
                 const struct bytes *parts,
                 size_t n);
/* One whole message in as many frames as it takes, at once. */
void pconn_message(struct pconn *pc, uint8_t type, struct bytes b);
void pconn_tick(struct pconn *pc, uint64_t now);
extern const struct net_conn_cbs pconn_cbs;

/* ---- peer.c ---- */
struct member *member_find(struct peer_net *p, uint64_t id);
/* A node of this cluster that is in no list yet has connected: dial it, so
 * that it can be answered, until the owner's next list. */
void member_meet(struct peer_net *p, const struct peer_ident *who);
/* @pc, one of its dials, has come up: it takes the place of the one before. */
void member_up(struct member *m, struct pconn *pc);
/* @pc is not its any more. True: it was the one that carried messages. */
bool member_forget(struct member *m, struct pconn *pc);
void member_lost(struct member *m,
                 bool was_out,
                 bool refused_connect,
                 const char *why);
/* It has just connected to us: no use in waiting to dial it. */
void member_reachable(struct peer_net *p, uint64_t id);
void member_feed(struct member *m); /* more BULK chunks while there is room */
void ask_finish(struct peer_ask *a,
                int code,
                const struct peer_ident *who,
                uint8_t type,
                struct blob *payload,
                const char *why);
struct peer_anon *anon_new(struct pconn *pc); /* NULL: too many */

#endif
