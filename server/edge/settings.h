/* Every setting of holdfastd, in one table: each row is a flag, a line of the
 * INI file and a row of --help. Pure but for reading that file: no socket, no
 * clock. */
#ifndef HF_SERVER_EDGE_SETTINGS_H
#define HF_SERVER_EDGE_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"
#include "base/limits.h"

enum { SETTINGS_PATH = 1024, SETTINGS_MAX = 40 };

/* Values, all resolved: defaults filled in, addresses derived. */
struct settings {
    char data_dir[SETTINGS_PATH];
    char listen[LIM_ADDR];
    char cluster_listen[LIM_ADDR];
    char peer_listen[LIM_ADDR];
    char announce_plain[LIM_ADDR];   /* for clients */
    char announce_cluster[LIM_ADDR]; /* in MOVED */
    char announce_peer[LIM_ADDR];    /* what peers dial: this node's seat */
    char bind_source[LIM_ADDR];      /* address that peers are dialled from */
    char join_text[SETTINGS_PATH];
    char join[LIM_SEATS][LIM_ADDR];
    int join_n;
    char config[SETTINGS_PATH];
    bool insecure;
    bool version;
    bool check_config;
    bool help;
    uint64_t log_level;  /* enum log_level */
    uint64_t log_format; /* enum log_format */
    uint64_t election_timeout_ms;
    uint64_t heartbeat_ms;
    uint64_t request_timeout_ms;
    uint64_t seat_silence_ms;
    uint64_t request_max;
    uint64_t memory_limit;
    uint64_t history_count;
    uint64_t history_bytes;
    uint64_t clients_max;
    uint64_t idle_timeout_s;
    uint64_t output_max;
    uint64_t output_stall_s;
    uint64_t log_budget;
    uint64_t segment_size;
    uint64_t entry_cache;
    uint64_t snapshot_floor;
    uint64_t snapshot_rate;
    char repair[16];          /* auto or refuse */
    bool given[SETTINGS_MAX]; /* by flag or file, by row of the table */
};

/* Fill @s from flags and from the file that --config names; flags win.
 * 0, or HF_EINVAL with one clear line in @em. With --help or --version
 * nothing else is checked. */
int settings_parse(struct settings *s,
                   int argc,
                   char *const *argv,
                   struct errmsg *em);

void settings_help(FILE *f);

/* For CONFIG GET: name and printed value of row @i; false past the end. */
bool settings_row(const struct settings *s,
                  size_t i,
                  const char **name,
                  char *value,
                  size_t max);

/* Does the host of "host:port" name this machine only? */
bool settings_is_loopback(const char *hostport);

#endif
