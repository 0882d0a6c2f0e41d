/* kv bench: a load under way. Shared by kv_bench_load.c and kv_bench_conn.c. */
#ifndef HF_CLIENT_KV_BENCH_LOAD_H
#define HF_CLIENT_KV_BENCH_LOAD_H

#include "client/kv_bench_int.h"
#include "resp/resp.h"

/*   WAITING --its time has come--> DIALING --> GREETING --> UP
 *      ^                              |            |        |
 *      '------- failed, lost, or led elsewhere ----+--------'   */
enum bench_state { CONN_WAITING, CONN_DIALING, CONN_GREETING, CONN_UP };

struct bench_conn {
    int fd; /* -1: WAITING */
    enum bench_state state;
    bool idle;       /* never sends a request */
    bool listed;     /* in load.ready */
    bool dirty;      /* in load.dirty */
    bool blocked;    /* the socket is full: EPOLLOUT is awaited */
    bool leaving;    /* -MOVED: to @node, once nothing is in flight */
    bool was_up;     /* at some time */
    uint8_t replies; /* to the greeting, still to come */
    uint16_t node;
    uint32_t pause_ms; /* before the next dial, should this one fail */
    /* Requests in flight, a ring of cfg->pipeline: when each was due, times
     * two, plus 1 for a read. */
    uint64_t *ring;
    uint32_t head;
    uint32_t count;
    int64_t heard_ns; /* last sign of life while requests were in flight, or
                         the begin of the dial; WAITING: when to dial */
    struct buf out;
    size_t out_off;
    struct buf in; /* the begin of a reply whose rest has not come */
    struct resp_scan scan;
};

struct load {
    struct bench_config *cfg; /* only its nodes change */
    struct bench_result *r;
    struct mix mix;
    int epfd;
    struct bench_conn *conns; /* the idle ones last */
    size_t nconns;
    uint64_t *rings;
    uint32_t *ready; /* a ring: connections with room, each once */
    size_t ready_head;
    size_t ready_n;
    uint32_t *dirty; /* connections with bytes to send */
    size_t dirty_n;
    uint8_t *bytes; /* what one recv() gets */
    size_t up;      /* connections in state UP, idle ones included */
    size_t up_busy; /* those that send */
    size_t dialing; /* DIALING and GREETING */
    uint64_t in_flight;
    bool shut_out;          /* a greeting was refused: no use in another try */
    bool running;           /* requests are sent: errors count */
    int64_t begin_ns;       /* of the warm-up */
    int64_t measure_ns;     /* what is due from then on is measured */
    int64_t end_ns;         /* nothing is due from then on; INT64_MAX */
    uint64_t next;          /* requests sent so far */
    uint64_t next_measured; /* those of them that are measured */
    uint64_t total;         /* open loop: requests of the whole run */
    int64_t last_ns;        /* the latest answer */
    uint64_t window;        /* answers since measure_ns, before end_ns */
    struct hist second;     /* latencies of the second under way */
    uint64_t second_errors; /* r->failed + r->troubles at its begin */
    int64_t next_second_ns;
    int64_t alone_ns; /* since when no connection is up; 0: one is */
};

int64_t bench_now_ns(void);

/* ---- kv_bench_conn.c ---- */

/* Dial what is due, as far as BENCH_DIALS_MAX allows. */
void conns_dial(struct load *l, int64_t now);

/* The socket of @c has @events. May change any of its state. */
void conn_event(struct load *l, struct bench_conn *c, uint32_t events);

/* Send what is there. */
void conn_flush(struct load *l, struct bench_conn *c);

/* Close those that have been silent for too long. */
void conns_check(struct load *l, int64_t now);

/* May it get a request now? */
bool conn_has_room(const struct load *l, const struct bench_conn *c);

/* @c may have room: list it. */
void conn_list(struct load *l, struct bench_conn *c);

/* Close @c and dial again later. What is in flight has failed: @word,
 * @text. */
void conn_lost(struct load *l,
               struct bench_conn *c,
               const char *word,
               const char *text);

#endif
