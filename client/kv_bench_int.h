/* kv bench: a load on a cluster, or on any server of the Redis protocol.
 * Shared by the files of kv bench only.
 *
 *   kv_bench.c       the verb: options, which node to talk to, exit status
 *   kv_bench_mix.c   which request is next, and its bytes
 *   kv_bench_load.c  when it is sent, over which connection; the loop
 *   kv_bench_conn.c  the connections: dial, greeting, bytes, replies
 *   kv_bench_out.c   progress, table, JSON
 *
 * One thread, one epoll, no request is ever sent twice. Times are nanoseconds
 * of CLOCK_MONOTONIC. */
#ifndef HF_CLIENT_KV_BENCH_INT_H
#define HF_CLIENT_KV_BENCH_INT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "base/rng.h"
#include "client/holdfast.h"
#include "client/kv_hist.h"
#include "client/kv_int.h"

enum {
    BENCH_CONNECTIONS_MAX = 10000, /* and as many idle ones */
    BENCH_PIPELINE_MAX = 1024,     /* requests in flight of one connection; an
                                      open loop's further ones wait, and their
                                      wait is part of their latency */
    BENCH_PIPELINE_OPEN = 64,      /* of an open loop, unless chosen */
    BENCH_IN_FLIGHT_MAX = 1 << 20, /* of all connections; beyond: usage */
    BENCH_VALUE_MAX = 1 << 20,
    BENCH_VALUES_MAX = 1 << 30, /* bytes: connections times value; beyond:
                                   usage. Each may have one unsent. */
    BENCH_OUT_HIGH = 64 << 10,  /* bytes unsent at which a connection gets no
                                   further request */
    BENCH_RATE_MAX = 10000000,  /* requests/s */
    BENCH_SECONDS_MAX = 86400,  /* of a run; beyond: usage */
    BENCH_NODES_MAX = 32,       /* endpoints and what -MOVED names; a further
                                   one is not followed */
    BENCH_ERRORS_MAX = 16,      /* kinds of errors; further ones: OTHER */
    BENCH_ERROR_WORD = 24,      /* bytes of a kind, NUL included */
    BENCH_ERROR_TEXT = 160,     /* bytes of its first text */
    BENCH_DIALS_MAX = 128,      /* connections being made at one time */
    BENCH_REDIAL_FIRST_MS = 50, /* pause after a failed one; doubles */
    BENCH_REDIAL_MAX_MS = 1000,
    BENCH_REPLY_MAX = 16 << 20,  /* bytes of a reply; beyond: PROTOCOL */
    BENCH_FILL_CONNECTIONS = 32, /* of --fill, at most */
    BENCH_FILL_BYTES = 1 << 20   /* of --fill, in flight per connection */
};

#define BENCH_NS INT64_C(1000000000)

struct bench_node {
    char addr[LIM_ADDR];
    struct sockaddr_storage sa;
    socklen_t sa_len; /* 0: not known, cannot be dialled */
    uint64_t requests;
};

/* What to do. */
struct bench_config {
    const struct hf_options *login; /* user, password, stale, max_age_ms */
    struct bench_node *nodes;       /* room for BENCH_NODES_MAX */
    size_t nnodes;
    size_t first; /* the node of all connections, unless @spread */
    bool spread;
    size_t connections;
    size_t idle;
    size_t pipeline;
    uint64_t rate;       /* requests/s; 0: closed loop */
    int64_t duration_ns; /* 0: @requests of them */
    int64_t warmup_ns;
    uint64_t requests;
    uint32_t reads; /* per cent */
    uint64_t keys;
    bool zipf;
    bool in_order; /* each key once, from the first on */
    size_t key_size;
    size_t value_size;
    uint64_t seed;
    int64_t timeout_ns;
    bool progress;
};

/* ---- kv_bench_mix.c ---- */

/* Zipf's law by rejection-inversion: Hörmann and Derflinger, "Rejection-
 * inversion to generate variates from monotone discrete distributions", ACM
 * TOMACS 6 (1996). No table, whatever the number of keys. */
struct zipf {
    uint64_t n;
    double h_first;
    double h_last;
    double accept;
};

#define ZIPF_EXPONENT 0.99 /* as YCSB */

void zipf_init(struct zipf *z, uint64_t n);
/* 0..n-1, 0 the most frequent. */
uint64_t zipf_next(const struct zipf *z, struct rng *r);

struct mix {
    const struct bench_config *cfg;
    struct rng rng;
    struct zipf zipf;
    uint64_t turn;    /* of in_order */
    struct buf get;   /* a whole request */
    struct buf set;   /* up to the value */
    size_t get_digit; /* behind the key's last byte */
    size_t set_digit;
    uint8_t *pool; /* random bytes; a value is a range of them */
};

/* Every key begins so; behind it zeros and the key's number. */
#define BENCH_KEY_PREFIX "bench:"

/* Has a key of @key_size bytes room for every number below @keys? */
bool mix_keys_fit(uint64_t keys, size_t key_size);

/* @cfg is borrowed until release. */
void mix_init(struct mix *m, const struct bench_config *cfg);
void mix_release(struct mix *m);
/* Append the next request. True: it is a read. */
bool mix_next(struct mix *m, struct buf *out);

/* ---- results ---- */

struct bench_side {
    struct hist latency; /* of those that were answered, no error */
    uint64_t misses;     /* reads that found no value */
};

struct bench_error {
    char word[BENCH_ERROR_WORD]; /* first word of an error reply, or a name of
                                    our own */
    char text[BENCH_ERROR_TEXT]; /* of the first one */
    uint64_t count;
};

/* One second of the run. */
struct bench_second {
    uint64_t answers;
    uint64_t errors;
    uint64_t p50_us;
    uint64_t p99_us;
    uint64_t max_us;
};

struct bench_result {
    struct bench_side reads;
    struct bench_side writes;
    struct hist late;    /* open loop: sent so long after it was due */
    uint64_t behind_max; /* open loop: most requests due and not sent */
    uint64_t answers;    /* within the measured time, errors left out */
    int64_t measured_ns; /* that time */
    uint64_t failed;     /* requests without an answer, or with an error */
    uint64_t unknown;    /* of these: writes that may have been done */
    uint64_t troubles;   /* of connections, no request being in flight */
    uint64_t redials;    /* connections made anew */
    bool interrupted;    /* Ctrl-C: ended early */
    struct bench_error errors[BENCH_ERRORS_MAX];
    size_t nerrors;
    struct bench_second *seconds; /* from the begin of the warm-up on */
    size_t nseconds;
    double cpu_s; /* this process, while it ran */
    double wall_s;
};

/* Count an error of the kind that @text's first word is; or @word. */
void bench_error(struct bench_result *r, const char *word, struct bytes text);

void bench_result_release(struct bench_result *r);

/* ---- kv_bench_conn.c ---- */

/* Fill in the node's socket address. @dial: try the addresses of its name,
 * take the one that answers. */
void bench_resolve(struct bench_node *n, bool dial);

/* ---- kv_bench_load.c ---- */

/* Run the load until it ends, all sent requests are answered or timeout_ns is
 * over. 0: *@r tells; the caller releases it. -1: not all connections could be
 * made; *@r holds the reasons, no request was sent. What -MOVED names is added
 * to cfg->nodes. */
int bench_run(struct bench_config *cfg, struct bench_result *r);

/* ---- kv_bench_out.c ---- */

void bench_progress(const struct bench_second *s, int64_t at_s, uint64_t due);
void bench_print(const struct kv *kv,
                 const struct bench_config *cfg,
                 const struct bench_result *r);

#endif
