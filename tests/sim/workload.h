/* Simulated clients: they stick to a node or follow MOVED and CLUSTER SLOTS
 * to the leader, move, reconnect, retry under a name, pipeline, and tell struct
 * hist what they did and saw. */
#ifndef HF_TESTS_SIM_WORKLOAD_H
#define HF_TESTS_SIM_WORKLOAD_H

#include "tests/sim/env_sim.h"
#include "tests/sim/history.h"

struct workload;

enum { WORKLOAD_NODES = 8 };

struct workload_config {
    struct sim *s;
    struct check *c;
    struct hist *h;
    struct env *envs[2]; /* client machines */
    int nodes;
    char addr[WORKLOAD_NODES][64]; /* plain ports */
    int clients;
    uint64_t think_us;     /* mean pause between two bursts of a client */
    uint64_t once_idle_ms; /* of named sessions */
    bool timed; /* keys with deadlines too: they cause time entries */
    /* Since when there was no cold start; UINT64_MAX: there is one now. */
    uint64_t (*warm_us)(void *data);
    bool (*ever_cold)(void *data); /* was there ever one? */
    /* Cluster time in ms, as in tests/sim/cluster.h. */
    uint64_t (*clock_latest)(void *data);
    uint64_t (*clock_certain)(void *data);
    uint64_t (*clock_fell_us)(void *data);
    /* "host:port" of a node's cluster port, now. */
    const char *(*cluster_addr)(void *data, int node);
    void *data;
};

struct workload *workload_new(const struct workload_config *cfg);
void workload_free(struct workload *w);
/* Clients connect and begin. */
void workload_start(struct workload *w);
/* Every second client, all of them at plain ports, goes to a node of its own,
 * and gives up what it waits for elsewhere. */
void workload_spread(struct workload *w);
/* No new operations from now on. */
void workload_stop(struct workload *w);
/* Stopped, and every operation has its end. */
bool workload_idle(const struct workload *w);
/* Acknowledged writes so far: for seeing progress. */
uint64_t workload_writes(const struct workload *w);
uint64_t workload_moved(const struct workload *w);          /* MOVED answers */
uint64_t workload_sessions_ended(const struct workload *w); /* named ones */
/* Virtual time of the last acknowledged write. */
uint64_t workload_last_write_us(const struct workload *w);

/* Read every key through node @node into the history, as the last word on
 * it; workload_final_done() says when. */
void workload_final(struct workload *w, int node);
bool workload_final_done(const struct workload *w);

/* One command on a connection of its own. @done gets the reply, or NULL when
 * there was none within 5 s. */
void workload_admin(struct workload *w,
                    int node,
                    const char *line,
                    void (*done)(void *data, const char *reply),
                    void *data);

#endif
