/* A simulated cluster: machines 0..n-1 with a disk each, running the whole
 * node (server/node and the client ports of server/edge) unchanged. */
#ifndef HF_TESTS_SIM_CLUSTER_H
#define HF_TESTS_SIM_CLUSTER_H

#include "server/node/node.h"
#include "tests/sim/check.h"
#include "tests/sim/env_sim.h"

enum { CLUSTER_MAX = 5, CLUSTER_CLIENT_HOSTS = 2 };

struct cluster;

struct cluster_config {
    struct sim *s;
    struct check *c;
    int nodes;
    struct node_config node; /* addresses are filled in */
    uint64_t once_idle_ms;   /* of named sessions; 0: as it is */
    struct logger *log;
};

struct cluster *cluster_new(const struct cluster_config *cfg);
void cluster_free(struct cluster *cl);

int cluster_nodes(const struct cluster *cl);
/* "host:port" of the plain port. */
const char *cluster_addr(const struct cluster *cl, int i);
/* Hosts of clients follow those of the nodes. */
int cluster_client_host(const struct cluster *cl, int i);

void cluster_start(struct cluster *cl, int i); /* power on, if it is off */
bool cluster_up(const struct cluster *cl, int i);
/* The end of a process, in three ways. */
void cluster_power_cut(struct cluster *cl, int i);
void cluster_kill(struct cluster *cl, int i);
void cluster_stop(struct cluster *cl, int i); /* orderly; takes a while */
/* A power cut after @k more changes on its disk, wherever that is. */
void cluster_power_cut_at(struct cluster *cl, int i, uint64_t k);
/* Start it @us from now, unless it is up by then. */
void cluster_start_later(struct cluster *cl, int i, uint64_t us);
/* The data directory is gone. Only while it is down. */
void cluster_wipe(struct cluster *cl, int i);

/* To look at and to spoil while it is down. */
struct disk *cluster_disk(struct cluster *cl, int i);

void cluster_disk_speed(struct cluster *cl, int i, uint64_t factor);
/* Leave @bytes free; UINT64_MAX: plenty. */
void cluster_disk_room(struct cluster *cl, int i, uint64_t bytes);

/* The @k-th change from now fails with an I/O error. */
void cluster_disk_fail(struct cluster *cl, int i, uint64_t k);

uint64_t cluster_node_id(const struct cluster *cl, int i); /* 0: none */
/* For looking in, and for sim_env_post(); NULL: no process. */
struct node *cluster_node(const struct cluster *cl, int i);

/* Every machine is up and its member votes. */
bool cluster_whole(const struct cluster *cl);

/* Of the cluster port, now; static storage. */
const char *cluster_cluster_addr(const struct cluster *cl, int i);
/* From its next start on, peers and cluster-aware clients find it at other
 * ports. Only while it is down. */
void cluster_move(struct cluster *cl, int i);
/* Does every member know every member's addresses? */
bool cluster_addresses_known(const struct cluster *cl);

/* A machine of its own with a blank directory that announces the peer
 * address of @seat, which has a holder. */
void cluster_newcomer_start(struct cluster *cl, int seat);
void cluster_newcomer_stop(struct cluster *cl);
uint64_t cluster_newcomer_id(const struct cluster *cl); /* 0: not let in */

/* Look at every node, after each step: MOVED and CLUSTER SLOTS of one node
 * agree and never lead nowhere; cluster time runs evenly. */
void cluster_look(struct cluster *cl);
/* Cluster time in ms: no node is ahead of the first (it may be that of one
 * that died since); whoever leads from now on is not behind the second, but
 * for what messages take. */
uint64_t cluster_clock_latest(struct cluster *cl);
uint64_t cluster_clock_certain(struct cluster *cl);
/* When the second was last seen to fall: those that knew it died, and what
 * it promised does not hold any more, as a cold start of the others goes on
 * from the log's time when their wall clocks are behind that. */
uint64_t cluster_clock_fell_us(struct cluster *cl);

/* Since when at least a majority was up without interruption; UINT64_MAX if
 * it is not now. Cluster time cannot have jumped since. */
uint64_t cluster_warm_since(const struct cluster *cl);
/* Was there a time without such a majority, after the first one came about?
 * A machine that was cut off may then know a later time than the others. */
bool cluster_ever_cold(const struct cluster *cl);
/* Processes that ended by themselves, by status. */
uint64_t cluster_exits(const struct cluster *cl, enum node_exit status);

#endif
