/* Every setting of holdfastd, in one table: each row is a flag, a line of the
 * INI file and a row of --help. Pure: no socket, no clock. */
#ifndef HF_SERVER_EDGE_SETTINGS_H
#define HF_SERVER_EDGE_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"
#include "base/limits.h"
#include "base/log.h"

/* Exit statuses of holdfastd. holdfastd.service does not restart after the
 * ones marked "stay". */
#define EXIT_STATUSES(X)                                                     \
    X(OK, 0, "stopped in order")                                             \
    X(USAGE, 2, "flags, settings, ports or names are wrong; stay")           \
    X(INTERNAL, 70, "a bug or a missing system service")                     \
    X(DISK, 74, "a write or sync of log or vote failed")                     \
    X(DAMAGED, 75, "data directory damaged or not ours; stay")               \
    X(BUSY, 76, "data directory in use by another process")                  \
    X(REMOVED, 77, "this node was removed from the cluster; stay")

enum exit_status {
#define X(name, value, text) EXIT_##name = value,
    EXIT_STATUSES(X)
#undef X
};

enum { SETTINGS_JOIN_MAX = 8, SETTINGS_PATH = 1024 };

enum setting_kind {
    SETTING_TEXT,  /* any text up to max bytes */
    SETTING_ADDR,  /* host:port */
    SETTING_ADDRS, /* host:port,host:port,... */
    SETTING_BOOL,
    SETTING_INT,   /* min..max, in unit; sizes take k, m, g suffixes */
    SETTING_LEVEL, /* debug, info, warn, error */
};

/* Values, all resolved: defaults filled in, addresses derived. */
struct settings {
    char data_dir[SETTINGS_PATH];
    char listen[LIM_ADDR];
    char cluster_listen[LIM_ADDR];
    char peer_listen[LIM_ADDR];
    char announce[LIM_ADDR];         /* plain, for clients */
    char announce_cluster[LIM_ADDR]; /* cluster port, in MOVED */
    char announce_peer[LIM_ADDR];    /* what peers dial */
    char bind_source[LIM_ADDR];      /* source host of peer dials, or empty */
    char join[SETTINGS_JOIN_MAX * LIM_ADDR];
    char config[SETTINGS_PATH];
    bool insecure;
    bool version;
    bool check_config;
    bool help;
    uint64_t log_level; /* enum log_level */
    uint64_t election_timeout_ms;
    uint64_t heartbeat_ms;
    uint64_t request_timeout_ms;
    uint64_t request_max;  /* bytes */
    uint64_t memory_max;   /* bytes; 0 none */
    uint64_t clients_max;
    uint64_t log_max;      /* bytes of log at which writes are slowed */
    uint64_t snapshot_min; /* bytes of log below which none is started */
    uint64_t snapshot_rate; /* bytes per second to a follower */
    uint64_t output_max;   /* bytes of replies held for one client */
};

/* Fill @s from flags and from the file that --config names (flags win).
 * 0, or HF_EINVAL with one clear line in @em. With --help or --version set
 * nothing else is checked. */
int settings_parse(struct settings *s, int argc, char *const *argv,
                   struct errmsg *em);

/* One entry of join, "host:port", copied to @out; false past the end. */
bool settings_join_at(const struct settings *s, size_t i, char out[LIM_ADDR]);

void settings_help(FILE *f);

/* For CONFIG GET and the start-up line: name and printed value of row @i;
 * false past the end. */
bool settings_row(const struct settings *s, size_t i, const char **name,
                  char *value, size_t max);

#endif
