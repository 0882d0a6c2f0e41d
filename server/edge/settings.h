/* Every setting of holdfastd, in one table: each row is a flag, a line of the
 * INI file and a row of --help. Pure but for reading that file: no socket, no
 * clock. */
#ifndef HF_SERVER_EDGE_SETTINGS_H
#define HF_SERVER_EDGE_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/limits.h"

enum { SETTINGS_PATH = 1024, SETTINGS_MAX = 64 };

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
    uint64_t clients_max;
    uint64_t idle_timeout_s;
    uint64_t output_max;
    uint64_t output_stall_s;
    uint64_t log_budget;
    uint64_t segment_size;
    uint64_t entry_cache;
    uint64_t snapshot_floor;
    uint64_t snapshot_rate;
    uint64_t tracking_max;    /* tracking-table-max-keys */
    char repair[16];          /* auto or refuse */
    bool debug_command;       /* DEBUG is allowed */
    int64_t slowlog_us;       /* slower commands are kept; -1: none */
    uint64_t slowlog_max_len; /* so many */
    uint64_t latency_ms;      /* events as long as that are kept; 0: none */
    char notify_events[24];   /* canonical: see settings_notify() */
    uint64_t history_count;   /* changes kept for those who follow them */
    uint64_t history_bytes;
    bool given[SETTINGS_MAX];   /* by flag or file, by row of the table */
    bool changed[SETTINGS_MAX]; /* by CONFIG SET */
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

/* Classes of keyspace events, in any order: into the order in which they are
 * shown. @out has room for 24. HF_EINVAL: a letter is none of them. */
int settings_notify(const char *text, char *out);

/* Change one setting while the process runs, by its own name or by one that
 * Redis has for it. *@row is its place in the table.
 *
 * 0
 * HF_ENOENT   there is no such setting
 * HF_EACCES   it cannot be changed any more
 * HF_EINVAL   not that value: @em says why; nothing was changed */
int settings_change(struct settings *s,
                    struct bytes name,
                    struct bytes value,
                    size_t *row,
                    struct errmsg *em);
/* CONFIG SET: @pairs names and values; all or none. False: an error reply was
 * appended, @s is as it was. */
bool settings_config_set(struct settings *s,
                         const struct bytes *words,
                         size_t pairs,
                         struct buf *reply);
/* CONFIG REWRITE: the settings that were changed go into the file of --config,
 * in their lines or at the end; all else in it stays. By a second file that
 * takes the first one's name when it is on disk. */
int settings_rewrite(const struct settings *s, struct errmsg *em);

/* Does the host of "host:port" name this machine only? */
bool settings_is_loopback(const char *hostport);

#endif
