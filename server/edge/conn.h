/* Client connections: sockets above, the node's client interface below.
 *
 * struct edge owns the listeners and all connections. Runs over base/env.h,
 * so in simulation too. Loop thread only.
 *
 * Bounds, each per connection unless said:
 *   input   one request (request_max) and what one read brought behind it;
 *           then the socket is not read until commands are done
 *   queue   commands submitted and unanswered: CONN_PIPELINE_MAX commands,
 *           CONN_PIPELINE_BYTES, and so many that replies as large as the
 *           latest ones stay within CONN_WINDOW_BYTES; then the socket is not
 *           read
 *   output  above CONN_OUTPUT_SOFT unsent bytes no command is begun; a client
 *           that then takes nothing for output_stall_s, or above output_max,
 *           is closed, with one log line
 *   MULTI   MULTI_COMMANDS_MAX commands, request_max bytes
 *   WATCH   WATCH_KEYS_MAX keys
 *   all     maxclients connections; one more gets an error and is closed;
 *           output_total unsent bytes; beyond, the connection with the most
 *           is closed, with a log line */
#ifndef HF_SERVER_EDGE_CONN_H
#define HF_SERVER_EDGE_CONN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/env.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/log.h"
#include "server/command/admin.h"
#include "server/node/client.h"

enum {
    CONN_TURN_COMMANDS = 128, /* begun per turn; the rest waits its turn */
    CONN_PIPELINE_MAX = 4096, /* commands in flight */
    CONN_PIPELINE_BYTES = 16 << 20,
    CONN_WINDOW_BYTES = 8 << 20,   /* replies in flight, as far as foreseen */
    CONN_OUTPUT_SOFT = 1 << 20,    /* unsent; then no command is begun */
    CONN_LINGER_MS = 1000,         /* a last reply may take to leave */
    CONN_DRAIN_MS = 30,            /* ... after the last byte that came in */
    CONN_PAUSE_MAX_MS = 86400000,  /* CLIENT PAUSE; beyond: -ERR */
    CONN_NAME_MAX = 256,           /* CLIENT SETNAME; beyond: -ERR */
    CONN_IDS_MAX = 128,            /* CLIENT LIST ID; beyond: -ERR */
    MULTI_COMMANDS_MAX = 10000,    /* beyond: -ERR, then EXECABORT */
    WATCH_KEYS_MAX = 10000,        /* beyond: -ERR */
    EDGE_OUTPUT_TOTAL = 512 << 20, /* default of output_total */
    EDGE_NOTIFY_MAX = 24,          /* letters of notify_events */
};

struct edge_options {
    uint32_t maxclients;
    uint32_t idle_timeout_s; /* 0: connections may be silent for ever */
    size_t request_max;      /* bytes of one request */
    size_t output_max;       /* unsent bytes; beyond: closed */
    size_t output_total; /* of all connections, 0: the default; beyond: the one
                            with the most is closed */
    uint32_t output_stall_s; /* no byte taken for so long: closed */
    /* notify-keyspace-events in the form in which CONFIG GET shows it: which
     * events are sent to subscribers; "": none. */
    char notify_events[EDGE_NOTIFY_MAX];
    int64_t slowlog_us;        /* slower commands are kept; negative: none */
    uint64_t slowlog_max_len;  /* so many, the latest */
    uint64_t tracking_max;     /* keys remembered for clients that keep what
                                  they read (tracking.h); 0: the default */
    uint64_t latency_event_ms; /* what takes so long is kept; 0: nothing */
};
#define EDGE_OPTIONS_DEFAULT                                                  \
    {                                                                         \
        .maxclients = 10000, .idle_timeout_s = 0, .request_max = LIM_REQUEST, \
        .output_max = (size_t)256 << 20, .output_total = EDGE_OUTPUT_TOTAL,   \
        .output_stall_s = 60, .slowlog_us = 10000, .slowlog_max_len = 128     \
    }

enum edge_port { EDGE_PLAIN, EDGE_CLUSTER, EDGE_PORTS };

struct edge;

struct edge *edge_new(struct env *env,
                      struct node *node,
                      const struct edge_options *opt,
                      struct logger *log);
/* Other settings from now on; request_max is for new connections. */
void edge_configure(struct edge *e, const struct edge_options *opt);
/* CONFIG RESETSTAT. */
void edge_reset_stats(struct edge *e);
/* Listen on "host:port" for @port; once per kind. 0, or an error code with
 * the reason in @em. */
int edge_listen(struct edge *e,
                enum edge_port port,
                const char *hostport,
                struct errmsg *em);
/* As notify_events says: enum notify_class (server/command/notify.h). */
void edge_set_notify(struct edge *e, unsigned classes);
uint16_t edge_port_number(const struct edge *e, enum edge_port port);
/* Stop taking connections; those that are there go on. */
void edge_stop_listening(struct edge *e);
/* The node has room again (node_cbs.on_room): read sockets that were left
 * unread as node_full() was true. */
void edge_on_room(struct edge *e);
/* Users were changed (node_cbs.on_users): connections of those that are gone
 * are closed. */
void edge_on_users(struct edge *e);
/* Closes every connection; replies not yet sent are lost. */
void edge_free(struct edge *e);
const struct edge_counters *edge_counters(const struct edge *e);
/* Commands submitted and not yet answered, over all connections, and bytes
 * not yet sent: both 0 before an orderly exit. */
size_t edge_unanswered(const struct edge *e);
size_t edge_unsent(const struct edge *e);

#endif
