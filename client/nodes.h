/* The nodes of a handle and which of them to try next: a circuit breaker for
 * each. Pure: the time comes in as an argument. Private to client/.
 *
 *              bad luck                      time is over
 *   GOOD ------------------> SKIPPED -------------------------> TRIED
 *    ^   (a dial that fails,    ^                                 |
 *    |    silence: at once;     '------------ failed again -------+
 *    |    turned away or cut                  (twice the time)    |
 *    |    off: NODES_SOFT_MAX                                     |
 *    |    times in a row)                                         |
 *    '------------------------- answered -------------------------'
 *
 * A node that is SKIPPED or TRIED gets no other request than the one that
 * tries it, unless no node is GOOD: then the one whose time is over first is
 * taken, so that there always is one. */
#ifndef HF_CLIENT_NODES_H
#define HF_CLIENT_NODES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"
#include "client/holdfast.h"

enum { NODES_SOFT_MAX = 3 };

enum node_luck {
    NODE_ANSWERED,
    NODE_TURNED_AWAY, /* by -CLUSTERDOWN, -LOADING and the like; or it closed
                         the connection */
    NODE_FAILED       /* not reached, or silent */
};

struct one_node {
    char addr[LIM_ADDR];
    enum hf_node_state state;
    uint32_t failures; /* in a row */
    uint32_t skip_ms;  /* how long it was skipped last; 0: not at all */
    int64_t until_ms;  /* SKIPPED: so long; TRIED: another try is due then */
};

struct nodes {
    struct one_node list[HF_ENDPOINTS_MAX];
    size_t n;
    size_t next; /* the turn */
};

/* "host:port,host,[v6 host]:port,...". HF_OK, or HF_EARGUMENT. */
int nodes_parse(struct nodes *s, const char *endpoints);

/* The node to use now, by index; the turn goes to the one behind it. */
size_t nodes_pick(struct nodes *s, int64_t now_ms);

/* How it went with node @i; an index over all of them is ignored. */
void nodes_luck(struct nodes *s, size_t i, enum node_luck luck, int64_t now_ms);

/* The index of @addr; s->n: it is none of them. */
size_t nodes_find(const struct nodes *s, const char *addr);

/* For people. Returns how many there are; fills at most @max. */
size_t nodes_info(const struct nodes *s,
                  int64_t now_ms,
                  struct hf_node_info *out,
                  size_t max);

#endif
