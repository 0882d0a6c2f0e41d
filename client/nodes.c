#include "client/nodes.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/mutant.h"

/* A port: 1 to 65535, digits alone. */
static bool is_port(const char *s, size_t n)
{
    uint32_t v = 0;

    if (n == 0 || n > 5) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9') {
            return false;
        }
        v = v * 10 + (uint32_t)(s[i] - '0');
    }
    return v >= 1 && v <= 65535;
}

/* "host:port", "host", "[v6 host]:port" or "[v6 host]". */
static int add(struct nodes *s, const char *p, size_t n)
{
    const char *colon = memrchr(p, ':', n);
    bool has_port = colon != NULL && p[n - 1] != ']';
    struct one_node *to;

    if (n == 0 || n >= LIM_ADDR - sizeof(":65535") ||
        s->n == HF_ENDPOINTS_MAX ||
        (has_port &&
         (colon == p || !is_port(colon + 1, (size_t)(p + n - colon - 1))))) {
        return HF_EARGUMENT;
    }
    to = &s->list[s->n++];
    memset(to, 0, sizeof(*to));
    memcpy(to->addr, p, n);
    to->addr[n] = '\0';
    if (!has_port) {
        snprintf(to->addr + n, LIM_ADDR - n, ":%d", HF_PORT_DEFAULT);
    }
    return HF_OK;
}

int nodes_parse(struct nodes *s, const char *endpoints)
{
    int rv = HF_OK;

    memset(s, 0, sizeof(*s));
    while (rv == HF_OK) {
        size_t n = strcspn(endpoints, ",");

        rv = add(s, endpoints, n);
        if (endpoints[n] == '\0') {
            break;
        }
        endpoints += n + 1;
    }
    return rv;
}

size_t nodes_pick(struct nodes *s, int64_t now_ms)
{
    size_t best = s->n;

    hf_assert(s->n > 0);
    for (size_t k = 0; k < s->n; k++) {
        size_t i = (s->next + k) % s->n;
        struct one_node *o = &s->list[i];

        if (o->state == HF_NODE_GOOD || now_ms >= o->until_ms ||
            mutant(CLIENT_NO_BREAKER)) {
            best = i;
            break;
        }
        /* All are bad as long as the loop goes on. */
        if (best == s->n || o->until_ms < s->list[best].until_ms) {
            best = i;
        }
    }
    if (s->list[best].state != HF_NODE_GOOD) {
        s->list[best].state = HF_NODE_TRIED;
        s->list[best].until_ms = now_ms + s->list[best].skip_ms;
    }
    s->next = (best + 1) % s->n;
    return best;
}

void nodes_luck(struct nodes *s, size_t i, enum node_luck luck, int64_t now_ms)
{
    struct one_node *o = &s->list[i < s->n ? i : 0];

    if (i >= s->n) {
        return;
    }
    if (luck == NODE_ANSWERED) {
        o->state = HF_NODE_GOOD;
        o->failures = 0;
        o->skip_ms = 0;
        return;
    }
    o->failures++;
    if (luck == NODE_TURNED_AWAY && o->state == HF_NODE_GOOD &&
        o->failures < NODES_SOFT_MAX) {
        return;
    }
    /* What is heard of it while it is skipped (requests that were sent
     * before) does not lengthen that time. */
    if (o->state != HF_NODE_SKIPPED) {
        o->skip_ms = o->skip_ms == 0 ? HF_SKIP_FIRST_MS : o->skip_ms * 2;
        o->skip_ms = o->skip_ms < HF_SKIP_MAX_MS ? o->skip_ms : HF_SKIP_MAX_MS;
        o->until_ms = now_ms + o->skip_ms;
    }
    o->state = HF_NODE_SKIPPED;
}

size_t nodes_find(const struct nodes *s, const char *addr)
{
    size_t i = 0;

    while (i < s->n && strcmp(s->list[i].addr, addr) != 0) {
        i++;
    }
    return i;
}

size_t nodes_info(const struct nodes *s,
                  int64_t now_ms,
                  struct hf_node_info *out,
                  size_t max)
{
    for (size_t i = 0; i < s->n && i < max; i++) {
        const struct one_node *o = &s->list[i];
        int64_t left = o->state == HF_NODE_SKIPPED ? o->until_ms - now_ms : 0;

        out[i].address = o->addr;
        out[i].state = o->state;
        out[i].failures = o->failures;
        out[i].skipped_ms = left > 0 ? (uint32_t)left : 0;
    }
    return s->n;
}
