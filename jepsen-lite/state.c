/* state: after the end all nodes hold the same at the same index. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "jepsen-lite/load.h"

enum { PAGE = 1000 /* keys of one RANGE */, PAUSE_MS = 200 };

static const struct workload work_state = {.name = "state"};

/* FNV-1a of a sequence of strings, lengths included. */
static uint64_t mix(uint64_t h, struct bytes s)
{
    uint8_t len[8];

    put_u64(len, s.n);
    for (size_t i = 0; i < sizeof(len); i++) {
        h = (h ^ len[i]) * 0x100000001b3u;
    }
    for (size_t i = 0; i < s.n; i++) {
        h = (h ^ s.p[i]) * 0x100000001b3u;
    }
    return h;
}

/* The integer named @field of the STATUS map; -1: no answer. */
static int64_t status(struct client *c, const char *field)
{
    struct answer a = {0};
    int64_t found = -1;

    if (client_do(c, false, &a, "STATUS") == OUT_OK) {
        for (size_t i = 0; i + 1 < a.v->n; i += 2) {
            if (bytes_eq(a.v->items[i].str, bytes_str(field))) {
                found = a.v->items[i + 1].i;
            }
        }
    }
    answer_clear(&a);
    return found;
}

/* Hash all that the node of @c holds itself. Keys of the workloads have no
 * spaces; '!' is the least byte that one could go on with. */
static bool contents(struct client *c, uint64_t *hash)
{
    struct answer a = {0};
    char from[LIM_ADDR] = "''";
    uint64_t h = 0xcbf29ce484222325u;
    bool more = true;
    bool ok = true;

    while (ok && more) {
        ok = client_do(c, false, &a, "RANGE %s '' LIMIT %d", from, PAGE) ==
             OUT_OK;
        for (size_t i = 0; ok && i < a.v->n; i++) {
            h = mix(h, a.v->items[i].str);
        }
        more = ok && a.v->n == 2 * (size_t)PAGE;
        if (more) {
            const struct resp_value *last = &a.v->items[a.v->n - 2];

            snprintf(from, sizeof(from), "%.*s!", (int)last->str.n,
                     (const char *)last->str.p);
        }
    }
    answer_clear(&a);
    *hash = h;
    return ok;
}

/* One look at every node. True: all at one index, before and after. */
static bool look(struct client *cs, int n, uint64_t *hash, int64_t *index)
{
    bool same = true;

    for (int i = 0; i < n; i++) {
        index[i] = status(&cs[i], "applied_index");
        same = same && index[i] >= 0 && index[i] == index[0];
    }
    for (int i = 0; same && i < n; i++) {
        same = contents(&cs[i], &hash[i]) &&
               status(&cs[i], "applied_index") == index[i];
    }
    return same;
}

static void tell(struct client *cs, int n, uint64_t *hash, int64_t *index)
{
    for (int i = 0; i < n; i++) {
        char v[24];
        char more[40];

        snprintf(v, sizeof(v), "\"%016llx\"", (unsigned long long)hash[i]);
        snprintf(more, sizeof(more), ",\"index\":%lld", (long long)index[i]);
        op_begin(&cs[i], true, "state", "", "null", "");
        op_end(&cs[i], OUT_OK, v, more);
    }
}

bool state_final(struct load *l, int64_t deadline_ms)
{
    struct client cs[LOAD_NODES_MAX];
    uint64_t hash[LOAD_NODES_MAX] = {0};
    int64_t index[LOAD_NODES_MAX] = {0};
    struct timespec pause = {0, PAUSE_MS * 1000000L};
    bool same = false;

    for (int i = 0; i < l->n_nodes; i++) {
        client_init(&cs[i], l, l->seed);
        cs[i].w = &work_state;
        cs[i].final = true;
        cs[i].stale = true;
        cs[i].on_cluster = false;
        cs[i].timeout_ms = LOAD_TIMEOUT_MS;
        cs[i].habit = HABIT_STAY;
        cs[i].node = i + 1;
    }
    while (!same && rconn_now_ms() < deadline_ms) {
        same = look(cs, l->n_nodes, hash, index);
        if (!same) {
            nanosleep(&pause, NULL);
        }
    }
    if (same) {
        tell(cs, l->n_nodes, hash, index);
    }
    for (int i = 0; i < l->n_nodes; i++) {
        client_release(&cs[i]);
    }
    return same;
}
