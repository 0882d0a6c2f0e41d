/* CONFIG. Settings have names of their own; the names that Redis has for the
 * same thing work as well, and what tools ask Redis for is answered by what
 * is true here. */
#include <ctype.h>
#include <stdio.h>

#include "resp/resp.h"
#include "server/command/admin_int.h"
#include "server/command/args.h"
#include "server/command/command.h"

static bool is_pattern(struct bytes s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (strchr("*?[\\", s.p[i]) != NULL && s.p[i] != 0) {
            return true;
        }
    }
    return false;
}

/* In any case of letters: all names are in lower case. */
static bool matches(struct bytes pattern, const char *name, uint64_t *steps)
{
    uint8_t low[128];

    if (pattern.n > sizeof low) {
        return false;
    }
    for (size_t i = 0; i < pattern.n; i++) {
        low[i] = (uint8_t)tolower(pattern.p[i]);
    }
    return command_glob_within(bytes_of(low, pattern.n), bytes_str(name),
                               steps);
}

/* The words that ask for @name; -1: none. A name is preferred to a pattern,
 * as it is answered in the letters in which it was asked. */
static int wanted(const struct ask *a, const char *name, uint64_t *steps)
{
    int by = -1;

    for (int i = 2; i < a->argc; i++) {
        if (bytes_ieq(a->argv[i], name)) {
            return i;
        }
        if (by < 0 && is_pattern(a->argv[i]) &&
            matches(a->argv[i], name, steps)) {
            by = i;
        }
    }
    return by;
}

static const char *own(const struct node_view *v, const char *name)
{
    for (size_t i = 0; i < v->n_config; i++) {
        if (strcmp(v->config[i].name, name) == 0) {
            return v->config[i].value;
        }
    }
    return NULL;
}

/* Facts that have no setting here, in the words of Redis. */
static const struct config_view fixed[] = {
    {"save", ""},
    {"appendonly", "yes"},
    {"appendfsync", "always"},
    {"no-appendfsync-on-rewrite", "no"},
    {"databases", "1"},
    {"maxmemory-policy", "noeviction"},
    {"maxmemory-clients", "0"},
    {"tcp-keepalive", "0"},
    {"hz", "10"},
    {"activerehashing", "no"},
    {"activedefrag", "no"},
    {"lazyfree-lazy-user-del", "yes"},
    {"lazyfree-lazy-user-flush", "yes"},
    {"lazyfree-lazy-expire", "yes"},
    {"lazyfree-lazy-eviction", "no"},
    {"replica-read-only", "yes"},
    {"slave-read-only", "yes"},
    {"replica-serve-stale-data", "no"},
    {"slave-serve-stale-data", "no"},
    {"min-replicas-max-lag", "0"},
    {"min-slaves-max-lag", "0"},
    {"cluster-require-full-coverage", "no"},
    {"cluster-allow-reads-when-down", "no"},
    {"rdbcompression", "yes"},
    {"rdbchecksum", "yes"},
    {"stop-writes-on-bgsave-error", "no"},
    {"daemonize", "no"},
    {"supervised", "auto"},
    {"io-threads", "1"},
    {"logfile", ""},
    {"pidfile", ""},
    {"unixsocket", ""},
    {"requirepass", ""},
    {"masterauth", ""},
    {"replicaof", ""},
    {"slaveof", ""},
    {"tls-port", "0"},
    {"latency-tracking", "yes"},
    {"latency-tracking-info-percentiles", "50 99 99.9"},
    {"acllog-max-len", "128"},
    {"enable-protected-configs", "no"},
    {"enable-module-command", "no"},
};

/* Names of Redis for settings of ours. */
static const struct {
    const char *redis;
    const char *own;
} aliases[] = {
    {"maxmemory", "memory-limit"},
    {"maxclients", "clients-max"},
    {"timeout", "idle-timeout"},
    {"proto-max-bulk-len", "request-max"},
    {"client-query-buffer-limit", "request-max"},
    {"cluster-node-timeout", "election-timeout"},
    {"dir", "data-dir"},
};

const char *admin_config_alias(struct bytes name)
{
    for (size_t i = 0; i < sizeof aliases / sizeof aliases[0]; i++) {
        if (bytes_ieq(name, aliases[i].redis)) {
            return aliases[i].own;
        }
    }
    return bytes_ieq(name, "loglevel") ? "log-level" : NULL;
}

bool admin_config_fixed(struct bytes name)
{
    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++) {
        if (bytes_ieq(name, fixed[i].name)) {
            return true;
        }
    }
    return bytes_ieq(name, "port") || bytes_ieq(name, "bind") ||
           bytes_ieq(name, "cluster-enabled") ||
           bytes_ieq(name, "min-replicas-to-write") ||
           bytes_ieq(name, "min-slaves-to-write") ||
           bytes_ieq(name, "client-output-buffer-limit");
}

struct out {
    const struct ask *a;
    uint64_t steps; /* left for patterns */
    struct buf body;
    size_t n;
};

static void give(struct out *o, const char *name, const char *value)
{
    int by =
        value == NULL || o->steps == 0 ? -1 : wanted(o->a, name, &o->steps);

    if (by >= 0 &&
        (own(o->a->v, name) == NULL || own(o->a->v, name) == value)) {
        if (is_pattern(o->a->argv[by])) {
            resp_bulk_str(&o->body, name);
        } else {
            resp_bulk(&o->body, o->a->argv[by]);
        }
        resp_bulk_str(&o->body, value);
        o->n++;
    }
}

/* Those that have to be worked out. */
static void give_derived(struct out *o)
{
    const struct node_view *v = o->a->v;
    const char *level = own(v, "log-level");
    const char *listen = own(v, "listen");
    const char *max = own(v, "output-max"), *stall = own(v, "output-stall");
    char text[96], host[LIM_ADDR];
    size_t voters = 0;

    for (size_t i = 0; i < v->n_members; i++) {
        voters += v->members[i].voter;
    }
    snprintf(text, sizeof text, "%zu", voters / 2);
    give(o, "min-replicas-to-write", text);
    give(o, "min-slaves-to-write", text);
    give(o, "cluster-enabled", o->a->cluster_port ? "yes" : "no");
    if (v->edge != NULL) {
        snprintf(
            text, sizeof text, "%u",
            o->a->cluster_port ? v->edge->cluster_port : v->edge->plain_port);
        give(o, "port", text);
    }
    if (listen != NULL) {
        (void)admin_split(listen, host);
        give(o, "bind", host);
    }
    if (max != NULL && stall != NULL) {
        snprintf(text, sizeof text, "normal %s 0 %s", max, stall);
        give(o, "client-output-buffer-limit", text);
    }
    if (level != NULL) {
        give(o, "loglevel",
             strcmp(level, "debug") == 0  ? "debug"
             : strcmp(level, "info") == 0 ? "notice"
                                          : "warning");
    }
}

void admin_config_get(const struct ask *a)
{
    const struct node_view *v = a->v;
    struct out o = {a, GLOB_STEPS_MAX, BUF_INIT, 0};

    for (size_t i = 0; i < v->n_config; i++) {
        give(&o, v->config[i].name, v->config[i].value);
    }
    for (size_t i = 0; i < sizeof aliases / sizeof aliases[0]; i++) {
        give(&o, aliases[i].redis, own(v, aliases[i].own));
    }
    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++) {
        give(&o, fixed[i].name, fixed[i].value);
    }
    give_derived(&o);
    if (o.steps == 0) {
        resp_error(a->reply, ERR_PATTERN);
    } else {
        resp_map(a->reply, o.n);
        buf_bytes_append(a->reply, buf_bytes(&o.body));
    }
    buf_release(&o.body);
}

void admin_config_set(const struct ask *a)
{
    if ((a->argc - 2) % 2 != 0) {
        resp_error(a->reply, "ERR syntax error");
    } else if (admin_need_process(a) &&
               a->v->process->config_set(a->v->process->data, a->argv + 2,
                                         (size_t)(a->argc - 2) / 2, a->reply)) {
        resp_ok(a->reply);
    }
}

void admin_config_resetstat(const struct ask *a)
{
    if (admin_need_process(a)) {
        a->v->process->reset_stats(a->v->process->data);
        resp_ok(a->reply);
    }
}

void admin_config_rewrite(const struct ask *a)
{
    if (admin_need_process(a) &&
        a->v->process->config_rewrite(a->v->process->data, a->reply)) {
        resp_ok(a->reply);
    }
}
