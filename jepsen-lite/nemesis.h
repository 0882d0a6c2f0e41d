/* holdfast-nemesis: faults on a running cluster, by a seed, each with a proof
 * that it bit. It runs in the hub's namespace; scripts/jepsen.sh has brought
 * the cluster up and left for each node the words of its command line in
 * nodes/n<i>.argv and its pid in nodes/n<i>.pid.
 *
 * Threads: two lanes inflict faults, each one at a time; a watcher a node
 * asks it for its state and notices if it ends on its own. A fault that stops
 * or starts a node, or changes its disk or clock, claims it first, so that two
 * of these never meet on one node; faults of the network overlap with all.
 *
 * Faults that destroy data hold one lock, and wait until the cluster is whole
 * (every seat a voter that is caught up) before they begin and before they
 * end: a majority never loses what was on its disks. */
#ifndef HF_JEPSEN_NEMESIS_H
#define HF_JEPSEN_NEMESIS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/rng.h"
#include "jepsen-lite/preload.h"

enum {
    NEM_NODES = 5,
    NEM_WORDS = 64, /* of a node's command line; beyond: refused */
    NEM_PATH = 512,
    NEM_TEXT = 240,
    NEM_READY_MS = 15000, /* a started node answers; beyond: no proof */
    NEM_WHOLE_MS = 45000, /* seats taken and caught up; beyond: no proof */
    NEM_GONE_MS = 20000   /* a node ends in order; beyond: killed */
};

/* What a node said last. */
struct seen {
    int64_t at_ns;   /* when; 0: it does not answer */
    int64_t boot_ns; /* since when it answers without a break */
    bool leader;
    uint64_t id, term, last, commit, applied, snapshot;
    bool healthy; /* a leader: nothing is missing */
    int tolerates;
};

struct node {
    pid_t pid;
    bool owned;   /* a child of this process */
    bool claimed; /* by a fault */
    struct fault_ctl *ctl;
    struct seen seen;
    char *argv[NEM_WORDS + 1];
    char *binary; /* the argv word that is holdfastd */
};

struct kind;

/* A fault under way. */
struct fault {
    const struct kind *kind;
    unsigned n; /* number in the run */
    int lane;
    struct rng rng;
    int64_t hold_ms;
    int nodes[NEM_NODES]; /* it is about these, 1.. */
    int nodes_n;
    bool claimed[NEM_NODES + 1];
    bool began;           /* its start is written down */
    bool bit;             /* its proof holds */
    char proof[NEM_TEXT]; /* members of a JSON object */
};

enum {
    FAULT_FIVE = 1,     /* needs five nodes */
    FAULT_LEADER = 2,   /* is likely to change the leader */
    FAULT_KILLS = 4,    /* has SIGKILLs */
    FAULT_DESTROYS = 8, /* data of a minority */
    FAULT_UPGRADE = 16  /* needs another binary */
};

struct kind {
    const char *family;
    const char *f;
    void (*run)(struct fault *f);
    int flags;
};

struct nemesis {
    char dir[NEM_PATH];   /* the run's folder */
    char net[64];         /* prefix of the namespaces */
    char tools[NEM_PATH]; /* where powercut and netdelay are */
    char kv[NEM_PATH];    /* the command */
    char endpoints[NEM_PATH];
    char upgrade[NEM_PATH]; /* another holdfastd, or "" */
    int nodes, majority;
    int port;
    bool dense; /* a short run */
    uint64_t seed;
    int64_t begin_ns, stop_ns, end_ns;
    struct node node[NEM_NODES + 1]; /* from 1 */
    pthread_mutex_t lock;            /* all of node[], and what is below */
    pthread_mutex_t destroying;
    int calm; /* who waits for a whole cluster: nothing new begins */
    unsigned faults, bitten, missed;
    unsigned sigkills, leader_changes, died;
    uint64_t leader_term; /* highest that was seen to lead */
    int leader;
};

extern struct nemesis nem;

/* ---- time, nemesis.c ---- */
int64_t now_ns(void);
void sleep_ms(int64_t ms);
/* True when no fault may go on. */
bool nem_over(void);
/* Sleep @ms, less when the time of faults is over. */
void nem_hold(int64_t ms);
/* Wait until @test(@arg) or @ms are over. */
bool nem_until(int64_t ms, bool (*test)(void *arg), void *arg);

/* ---- what is written down, nemesis_out.c ---- */
int out_open(void);
void out_line(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void out_leader(int node, uint64_t term);
void out_died(int node, const char *how);
/* The start of @f; then it can bite. */
void fault_begin(struct fault *f, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Members for the proof, with a comma in between. */
void fault_proof(struct fault *f, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void out_stop(const struct fault *f);

/* ---- commands, nemesis_out.c ---- */
/* A shell command; its output (cut at @cap, NUL) and exit status. */
int run(char *out, size_t cap, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- nodes, nemesis_node.c ---- */
int nodes_open(void);
void node_start(int i, const char *binary);
/* SIGKILL; true when it is gone. */
bool node_kill(int i);
/* All at once. How many are gone. */
int nodes_kill(const int *v, int n);
/* SIGTERM, later SIGKILL; the exit status, or -1 when it is not known. */
int node_stop(int i);
bool node_signal(int i, int sig);
/* 'R', 'S', 'T', ...; 0 when it is gone. */
char node_state(int i);
/* True when it is gone within @ms; @status as of waitpid, -1: unknown. */
bool node_gone(int i, int64_t ms, int *status);
bool node_running(int i);
bool node_ready(int i, int64_t ms);
/* Its data directory, away. */
void node_wipe(int i);
struct seen node_seen(int i);
/* 0 when nobody is known to lead. */
int leader_now(void);
bool leader_wait(int64_t ms, int *out);
/* Every seat runs, votes and has what was committed at the call. */
bool cluster_whole(int64_t ms);
/* Claim @n nodes for @f, the leader first if @lead; false when they are not
 * to be had for a while. */
bool claim(struct fault *f, int n, bool lead);
bool claim_one(struct fault *f, int i);
void claim_release(struct fault *f);
/* @n of the nodes by chance, the leader first or last (@lead 1, -1; 0: like
 * the others); claims nothing. */
bool choose(struct fault *f, int n, int lead);

/* ---- watchers, nemesis_watch.c ---- */
int watch_start(void);
/* @bytes of filler for the log through node @i. */
void fill(int i, int64_t bytes);

/* ---- rules, nemesis_net.c ---- */
enum { RULES_TEXT = 8192 };
struct rules {
    char chain[24];
    const char *table, *hook;
    size_t n;
    bool on;
    char text[RULES_TEXT];
};
void rules_init(struct rules *r,
                struct fault *f,
                const char *table,
                const char *hook);
void rules_add(struct rules *r, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void rules_drop(struct rules *r, int from, int to);
void rules_cut(struct rules *r, int a, int b);
void rules_isolate(struct rules *r, int i);
void rules_on(struct rules *r);
/* Packets that they had; then they are gone. */
uint64_t rules_off(struct rules *r);

extern const struct kind kinds_proc[], kinds_net[], kinds_disk[];

#endif
