/* A dependency graph of transactions and the cycles in it: Adya, "Weak
 * consistency", 1999, and Kingsbury and Alvaro, "Elle", 2020. */
#ifndef HF_JEPSEN_CHECK_GRAPH_H
#define HF_JEPSEN_CHECK_GRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Why one comes before the other. */
enum edge_kind {
    EDGE_WW = 1,   /* overwrote its version */
    EDGE_WR = 2,   /* read its version */
    EDGE_RW = 4,   /* overwrote the version that it had read */
    EDGE_TIME = 8, /* began after it had ended */
};

struct edge {
    uint32_t from;
    uint32_t to;
    uint32_t key; /* of no TIME edge */
    uint8_t kind;
};

enum {
    CYCLES_MAX = 20,       /* that are looked for; one a component */
    CYCLE_TRIES = 300,     /* edges of a component a cycle is begun with */
    CYCLE_EDGES_MAX = 200, /* longer ones are cut in the report */
};

struct graph {
    uint32_t nodes;   /* transactions; then helpers for TIME edges */
    uint32_t helpers; /* numbers nodes..nodes+helpers-1 */
    struct edge *edges;
    size_t n;
    size_t cap;
};

struct cycle {
    const char *name;
    struct edge edges[CYCLE_EDGES_MAX]; /* between transactions only */
    size_t n;
};

void graph_edge(struct graph *g,
                uint32_t from,
                uint32_t to,
                enum edge_kind kind,
                uint32_t key);
void graph_release(struct graph *g);

/* Add the TIME edges between transactions, sparsely: a chain of helpers, one
 * for each end. @t0, @t1 by transaction; OP_NEVER: no end. */
void graph_time(struct graph *g, const int64_t *t0, const int64_t *t1);

/* The shortest cycle of each bad component, of the gravest kind first.
 * Returns how many, at most CYCLES_MAX. */
size_t graph_cycles(struct graph *g, struct cycle cycles[CYCLES_MAX]);

#endif
