#include "server/edge/settings.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mutant.h"
#include "resp/resp.h"
#include "server/command/admin.h"
#include "server/command/notify.h"
#include "server/edge/hostport.h"

enum kind {
    TEXT,   /* up to size - 1 bytes */
    ADDR,   /* host:port */
    BOOL,   /* a flag without value, or =yes, =no */
    INT,    /* min..max; takes k, m, g */
    LEVEL,  /* debug, info, warn, error */
    FORMAT, /* text, json */
    MICRO,  /* microseconds, or -1 */
    NOTIFY, /* classes of keyspace events */
};

#define KIB UINT64_C(1024)
#define MIB (UINT64_C(1024) * 1024)
#define GIB (UINT64_C(1024) * 1024 * 1024)

struct row {
    const char *name;
    enum kind kind;
    size_t offset;
    size_t size;
    const char *unit; /* or what to write instead of a value */
    uint64_t min, max;
    const char *def; /* NULL: none, or derived */
    const char *help;
};

#define AT(f) offsetof(struct settings, f), sizeof(((struct settings *)0)->f)
#define TEXT_OF_(x) #x
#define TEXT_OF(x) TEXT_OF_(x)

/* Names never change their meaning; docs/OPERATIONS.md points here. */
static const struct row table[] = {
    {"data-dir", TEXT, AT(data_dir), "DIR", 0, 0, NULL,
     "log, snapshots, vote and identity; made if missing"},
    {"listen", ADDR, AT(listen), "HOST:PORT", 0, 0, "127.0.0.1:7379",
     "plain port: any Redis client, every request on every node"},
    {"cluster-listen", ADDR, AT(cluster_listen), "HOST:PORT", 0, 0, NULL,
     "port for cluster-aware clients (default: listen + 1000)"},
    {"peer-listen", ADDR, AT(peer_listen), "HOST:PORT", 0, 0, NULL,
     "port for the other nodes (default: listen + 10000)"},
    {"join", TEXT, AT(join_text), "PEER,...", 0, 0, "",
     "peer addresses of all seats of the cluster"},
    {"announce-plain", ADDR, AT(announce_plain), "HOST:PORT", 0, 0, NULL,
     "what clients dial (default: listen)"},
    {"announce-cluster", ADDR, AT(announce_cluster), "HOST:PORT", 0, 0, NULL,
     "what cluster-aware clients dial (default: cluster-listen)"},
    {"announce-peer", ADDR, AT(announce_peer), "HOST:PORT", 0, 0, NULL,
     "what the other nodes dial (default: peer-listen)"},
    {"bind-source", TEXT, AT(bind_source), "ADDRESS", 0, 0, "",
     "numeric address to dial the other nodes from"},
    {"insecure", BOOL, AT(insecure), "", 0, 0, "no",
     "allow listening beyond loopback, without encryption"},
    {"election-timeout", INT, AT(election_timeout_ms), "ms", 50, 60000,
     TEXT_OF(LIM_ELECTION_MS), "silence after which a leader is replaced"},
    {"heartbeat", INT, AT(heartbeat_ms), "ms", 5, 10000,
     TEXT_OF(LIM_HEARTBEAT_MS),
     "a leader's sign of life; at most a third of election-timeout"},
    {"request-timeout", INT, AT(request_timeout_ms), "ms", 100, 600000, "4000",
     "deadline of a request"},
    {"seat-silence", INT, AT(seat_silence_ms), "ms", 500, 3600000, "3000",
     "silence after which a blank node may take a seat over"},
    {"request-max", INT, AT(request_max), "bytes", 64 * KIB, 64 * MIB, "8m",
     "size of one request"},
    {"memory-limit", INT, AT(memory_limit), "bytes", 0, UINT64_C(1) << 48, "0",
     "keys and values; beyond, writes get -OOM (0: no limit)"},
    {"history-count", INT, AT(history_count), "", 1, 100000000, "1000000",
     "latest changes kept for change feeds (XREAD)"},
    {"history-bytes", INT, AT(history_bytes), "bytes", 256 * KIB, 64 * GIB,
     "64m", "memory of those changes; at most an eighth of memory-limit"},
    {"clients-max", INT, AT(clients_max), "", 1, 1000000, "10000",
     "client connections"},
    {"idle-timeout", INT, AT(idle_timeout_s), "s", 0, 31536000, "0",
     "silence after which a client is closed (0: never)"},
    {"output-max", INT, AT(output_max), "bytes", MIB, 16 * GIB, "256m",
     "replies held for one client; beyond, it is closed"},
    {"output-stall", INT, AT(output_stall_s), "s", 1, 86400, "60",
     "a client that takes no byte of its replies so long is closed"},
    {"log-budget", INT, AT(log_budget), "bytes", 128 * MIB, UINT64_C(1) << 48,
     "512m", "size of the log at which writes slow down"},
    {"segment-size", INT, AT(segment_size), "bytes", MIB, GIB, "64m",
     "size of one file of the log"},
    {"entry-cache", INT, AT(entry_cache), "bytes", MIB, 16 * GIB, "32m",
     "latest log entries kept in memory"},
    {"snapshot-floor", INT, AT(snapshot_floor), "bytes", MIB, UINT64_C(1) << 48,
     "128m", "no snapshot before the log has this size"},
    {"snapshot-rate", INT, AT(snapshot_rate), "bytes/s", 32 * MIB, 64 * GIB,
     "128m", "speed of sending a snapshot"},
    {"tracking-table-max-keys", INT, AT(tracking_max), "", 1,
     UINT64_C(100000000), "1000000",
     "keys remembered for clients that keep what they read"},
    {"repair", TEXT, AT(repair), "auto|refuse", 0, 0, "auto",
     "a damaged data directory: repair it from the other nodes, or refuse"},
    {"log-level", LEVEL, AT(log_level), "LEVEL", 0, 0, "info",
     "debug, info, warn or error"},
    {"log-format", FORMAT, AT(log_format), "FORMAT", 0, 0, "text",
     "text, or json: one object a line"},
    {"slowlog-log-slower-than", MICRO, AT(slowlog_us), "us", 0, INT64_MAX,
     "10000", "commands that take so long are in SLOWLOG (-1: none is)"},
    {"slowlog-max-len", INT, AT(slowlog_max_len), "", 0, 100000, "128",
     "so many of them, the latest"},
    {"latency-monitor-threshold", INT, AT(latency_ms), "ms", 0, 3600000, "0",
     "what takes so long is in LATENCY (0: nothing is)"},
    {"notify-keyspace-events", NOTIFY, AT(notify_events), "CLASSES", 0, 0, "",
     "events that subscribers are told of, in letters as Redis has them"},
    {"enable-debug-command", BOOL, AT(debug_command), "", 0, 0, "no",
     "allow DEBUG, which can stop the node for a while"},
    {"config", TEXT, AT(config), "FILE", 0, 0, "",
     "read settings from this INI file; flags win"},
    {"check-config", BOOL, AT(check_config), "", 0, 0, "no",
     "say what is wrong with the settings, or nothing, and end"},
    {"version", BOOL, AT(version), "", 0, 0, "no", "print it and end"},
    {"help", BOOL, AT(help), "", 0, 0, "no", "print this and end"},
};

#define ROWS (sizeof table / sizeof *table)
_Static_assert(ROWS <= SETTINGS_MAX, "given[] has a place for each row");

static const struct row *row_find(const char *name, size_t n)
{
    for (size_t i = 0; i < ROWS; i++) {
        if (strlen(table[i].name) == n && memcmp(table[i].name, name, n) == 0) {
            return &table[i];
        }
    }
    return NULL;
}

/* ---- values ---- */

static int parse_int(const struct row *r, const char *text, uint64_t *out)
{
    char *end;
    uint64_t v;
    uint64_t unit = 1;

    if (!isdigit((unsigned char)text[0])) {
        return HF_EINVAL;
    }
    errno = 0;
    v = strtoull(text, &end, 10);
    if (*end != '\0' && end[1] == '\0') {
        char c = (char)tolower((unsigned char)*end);

        unit = c == 'k' ? KIB : c == 'm' ? MIB : c == 'g' ? GIB : 0;
    } else if (*end != '\0') {
        unit = 0;
    }
    if (errno != 0 || unit == 0 || v > UINT64_MAX / unit || v * unit < r->min ||
        v * unit > r->max) {
        return HF_EINVAL;
    }
    *out = v * unit;
    return 0;
}

static int parse_bool(const char *text, bool *out)
{
    static const char *const words[] = {"no",  "yes", "false", "true",
                                        "off", "on",  "0",     "1"};

    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcmp(text, words[i]) == 0) {
            *out = i % 2 == 1;
            return 0;
        }
    }
    return HF_EINVAL;
}

static int parse_level(const char *text, uint64_t *out)
{
    for (int i = LOG_DEBUG; i <= LOG_ERROR; i++) {
        if (strcmp(text, log_level_name((enum log_level)i)) == 0) {
            *out = (uint64_t)i;
            return 0;
        }
    }
    return HF_EINVAL;
}

int settings_notify(const char *text, char *out)
{
    unsigned classes = 0;

    if (!notify_parse(text, &classes)) {
        return HF_EINVAL;
    }
    notify_format(classes, out);
    /* Redis 7.0 leaves "n" out beside "A", but knows it: here the text is all
     * that is kept. */
    if ((classes & NOTIFY_NEW) != 0 && strchr(out, 'n') == NULL) {
        size_t n = strlen(out);

        out[n] = 'n';
        out[n + 1] = '\0';
    }
    return 0;
}

static int parse_micro(const char *text, int64_t *out)
{
    char *end;
    int64_t v;

    errno = 0;
    v = strtoll(text, &end, 10);
    if (text[0] == '\0' || isspace((unsigned char)text[0]) || *end != '\0' ||
        errno != 0 || v < -1) {
        return HF_EINVAL;
    }
    *out = v;
    return 0;
}

static int check_addr(const char *text)
{
    char host[LIM_ADDR];
    char port[8];

    if (strlen(text) >= LIM_ADDR ||
        hostport_split(text, host, sizeof host, port, sizeof port) != 0 ||
        atoi(port) == 0) {
        return HF_EINVAL;
    }
    return 0;
}

/* Values that are words of their own. */
static int row_set_word(void *at,
                        const struct row *r,
                        const char *text,
                        const char *where,
                        struct errmsg *em)
{
    switch (r->kind) {
        case LEVEL:
            if (parse_level(text, at) != 0) {
                return errmsg_set(em, HF_EINVAL,
                                  "%s: \"%.100s\" is not "
                                  "debug, info, warn or error",
                                  where, text);
            }
            return 0;
        case FORMAT:
            if (strcmp(text, "text") != 0 && strcmp(text, "json") != 0) {
                return errmsg_set(em, HF_EINVAL,
                                  "%s: \"%.100s\" is neither text nor json",
                                  where, text);
            }
            *(uint64_t *)at = text[0] == 'j' ? LOG_JSON : LOG_TEXT;
            return 0;
        case MICRO:
            if (parse_micro(text, at) != 0) {
                return errmsg_set(em, HF_EINVAL,
                                  "%s: \"%.100s\" is not a number of "
                                  "microseconds, or -1",
                                  where, text);
            }
            return 0;
        case NOTIFY:
            if (settings_notify(text, at) != 0) {
                return errmsg_set(em, HF_EINVAL,
                                  "%s: Invalid event class character. Use "
                                  "'Ag$lshzxeKEtmdn'.",
                                  where);
            }
            return 0;
        default:
            return HF_EINVAL;
    }
}

/* @where names flag or line, for the message. */
static int row_set(struct settings *s,
                   const struct row *r,
                   const char *text,
                   const char *where,
                   struct errmsg *em)
{
    void *at = (char *)s + r->offset;

    switch (r->kind) {
        case TEXT:
            if (strlen(text) >= r->size) {
                return errmsg_set(em, HF_EINVAL, "%s: longer than %zu bytes",
                                  where, r->size - 1);
            }
            memcpy(at, text, strlen(text) + 1);
            return 0;
        case ADDR:
            if (check_addr(text) != 0) {
                return errmsg_set(em, HF_EINVAL,
                                  "%s: \"%.100s\" is not HOST:PORT "
                                  "(port 1 to 65535)",
                                  where, text);
            }
            memcpy(at, text, strlen(text) + 1);
            return 0;
        case BOOL:
            if (parse_bool(text, at) != 0) {
                return errmsg_set(em, HF_EINVAL,
                                  "%s: \"%.100s\" is not yes "
                                  "or no",
                                  where, text);
            }
            return 0;
        case LEVEL:
        case FORMAT:
        case MICRO:
        case NOTIFY:
            return row_set_word(at, r, text, where, em);
        case INT:
            break;
    }
    if (parse_int(r, text, at) != 0) {
        return errmsg_set(em, HF_EINVAL,
                          "%s: \"%.100s\" is not a number from %" PRIu64
                          " to %" PRIu64 "%s%s",
                          where, text, r->min, r->max,
                          r->unit[0] != '\0' ? " " : "", r->unit);
    }
    return 0;
}

/* ---- flags ---- */

/* One flag at argv[*i]; @value is NULL for a bare boolean. */
static int flag_take(int argc,
                     char *const *argv,
                     int *i,
                     const struct row **row,
                     const char **value,
                     struct errmsg *em)
{
    const char *a = argv[*i];
    const char *eq;
    size_t n;

    if (strncmp(a, "--", 2) != 0 || a[2] == '\0') {
        return errmsg_set(em, HF_EINVAL, "\"%.100s\" is not a flag", a);
    }
    eq = strchr(a, '=');
    n = eq != NULL ? (size_t)(eq - a) : strlen(a);
    *row = row_find(a + 2, n - 2);
    if (*row == NULL) {
        return errmsg_set(em, HF_EINVAL, "%.*s: no such flag; --help lists all",
                          n < 100 ? (int)n : 100, a);
    }
    *value = eq != NULL ? eq + 1 : NULL;
    if (*value == NULL && (*row)->kind != BOOL) {
        if (*i + 1 == argc) {
            return errmsg_set(em, HF_EINVAL, "--%s: needs a value (%s)",
                              (*row)->name, (*row)->unit);
        }
        *value = argv[++*i];
    }
    return 0;
}

static int flags_parse(struct settings *s,
                       int argc,
                       char *const *argv,
                       struct errmsg *em)
{
    for (int i = 1; i < argc; i++) {
        const struct row *r = NULL;
        const char *value = NULL;
        char where[80];
        int rv = flag_take(argc, argv, &i, &r, &value, em);

        if (rv != 0) {
            return rv;
        }
        snprintf(where, sizeof where, "--%s", r->name);
        if (s->given[r - table]) {
            return errmsg_set(em, HF_EINVAL, "%s: given twice", where);
        }
        s->given[r - table] = true;
        rv = row_set(s, r, value != NULL ? value : "yes", where, em);
        if (rv != 0) {
            return rv;
        }
    }
    return 0;
}

/* ---- the file ---- */

struct file_state {
    struct settings *s;
    struct errmsg *em;
    bool by_file[ROWS];
    int rv;
};

static int file_line(void *user,
                     const char *section,
                     const char *name,
                     const char *value)
{
    struct file_state *f = user;
    const struct row *r = row_find(name, strlen(name));
    char where[200];

    if (f->rv != 0) {
        return 0;
    }
    if (section[0] != '\0' || r == NULL ||
        r->offset == offsetof(struct settings, config)) {
        f->rv = errmsg_set(f->em, HF_EINVAL, "%.100s: no such setting: %s%s%s",
                           f->s->config, section, section[0] != '\0' ? "." : "",
                           name);
        return 0;
    }
    snprintf(where, sizeof where, "%.100s: %s", f->s->config, name);
    if (f->by_file[r - table]) {
        f->rv = errmsg_set(f->em, HF_EINVAL, "%s: given twice", where);
        return 0;
    }
    f->by_file[r - table] = true;
    if (f->s->given[r - table]) {
        return 1; /* the flag wins */
    }
    f->s->given[r - table] = true;
    f->rv = row_set(f->s, r, value, where, f->em);
    return f->rv == 0;
}

static int file_parse(struct settings *s, struct errmsg *em)
{
    struct file_state f = {.s = s, .em = em};
    int line;

    if (s->config[0] == '\0') {
        return 0;
    }
    line = ini_parse(s->config, file_line, &f);
    if (f.rv != 0) {
        return f.rv;
    }
    if (line < 0) {
        return errmsg_set(em, HF_EINVAL, "--config: cannot read %.200s: %s",
                          s->config, strerror(errno));
    }
    if (line > 0) {
        return errmsg_set(em, HF_EINVAL,
                          "%.200s: line %d is not \"name = value\"", s->config,
                          line);
    }
    return 0;
}

/* ---- what follows from what ---- */

static void defaults(struct settings *s)
{
    for (size_t i = 0; i < ROWS; i++) {
        if (table[i].def != NULL) {
            hf_assert(row_set(s, &table[i], table[i].def, "", NULL) == 0);
        }
    }
}

static int port_of(const char *hostport)
{
    return atoi(strrchr(hostport, ':') + 1);
}

static void host_of(const char *hostport, char out[LIM_ADDR])
{
    char port[8];

    hf_assert(hostport_split(hostport, out, LIM_ADDR, port, sizeof port) == 0);
}

bool settings_is_loopback(const char *hostport)
{
    char host[LIM_ADDR];

    host_of(hostport, host);
    return strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0 ||
           strcmp(host, "localhost") == 0;
}

static bool is_any(const char *hostport)
{
    char host[LIM_ADDR];

    host_of(hostport, host);
    return host[0] == '\0' || strcmp(host, "0.0.0.0") == 0 ||
           strcmp(host, "::") == 0;
}

/* The address of @listen with a port that is @add higher. */
static int derive(char out[LIM_ADDR],
                  const char *listen,
                  int add,
                  const char *name,
                  struct errmsg *em)
{
    int port = port_of(listen) + add;
    int host_n = (int)(strrchr(listen, ':') - listen);

    if (out[0] != '\0') {
        return 0;
    }
    if (port > 65535) {
        return errmsg_set(em, HF_EINVAL,
                          "--listen: port %d leaves no port %d above it: give "
                          "--%s",
                          port_of(listen), add, name);
    }
    if (snprintf(out, LIM_ADDR, "%.*s:%d", host_n, listen, port) >= LIM_ADDR) {
        return errmsg_set(em, HF_EINVAL, "--%s: the address is too long", name);
    }
    return 0;
}

static int announce(char out[LIM_ADDR],
                    const char *listen,
                    const char *name,
                    struct errmsg *em)
{
    if (out[0] != '\0') {
        if (is_any(out)) {
            return errmsg_set(em, HF_EINVAL,
                              "--%s: %s is no address that others can dial",
                              name, out);
        }
        return 0;
    }
    if (is_any(listen)) {
        return errmsg_set(em, HF_EINVAL,
                          "listening on %s does not say what others can dial: "
                          "give --%s",
                          listen, name);
    }
    memcpy(out, listen, LIM_ADDR);
    return 0;
}

static int split_join(struct settings *s, struct errmsg *em)
{
    const char *p = s->join_text;

    while (*p != '\0') {
        size_t n = strcspn(p, ",");
        char one[LIM_ADDR];

        if (s->join_n == LIM_SEATS) {
            return errmsg_set(em, HF_EINVAL, "--join: more than %d seats",
                              LIM_SEATS);
        }
        snprintf(one, sizeof one, "%.*s", n < LIM_ADDR ? (int)n : LIM_ADDR, p);
        if (n >= LIM_ADDR || check_addr(one) != 0 || is_any(one)) {
            return errmsg_set(em, HF_EINVAL,
                              "--join: \"%.100s\" is not HOST:PORT of a peer",
                              one);
        }
        for (int i = 0; i < s->join_n; i++) {
            if (strcmp(s->join[i], one) == 0) {
                return errmsg_set(em, HF_EINVAL, "--join: %s is there twice",
                                  one);
            }
        }
        memcpy(s->join[s->join_n++], one, sizeof one);
        p += n;
        p += *p == ',' ? 1 : 0;
    }
    return 0;
}

static int check_network(const struct settings *s, struct errmsg *em)
{
    const char *const ports[] = {s->listen, s->cluster_listen, s->peer_listen};
    static const char *const names[] = {"listen", "cluster-listen",
                                        "peer-listen"};

    for (size_t i = 0; i < 3; i++) {
        if (!settings_is_loopback(ports[i]) && !s->insecure) {
            return errmsg_set(em, HF_EINVAL,
                              "--%s %s is reachable from other machines and "
                              "there is no encryption yet: give --insecure if "
                              "the network is trusted",
                              names[i], ports[i]);
        }
        for (size_t k = 0; k < i; k++) {
            if (strcmp(ports[i], ports[k]) == 0) {
                return errmsg_set(em, HF_EINVAL, "--%s and --%s are both %s",
                                  names[k], names[i], ports[i]);
            }
        }
    }
    for (int i = 0; i < s->join_n; i++) {
        if (settings_is_loopback(s->peer_listen) &&
            !settings_is_loopback(s->join[i])) {
            return errmsg_set(em, HF_EINVAL,
                              "--join %s is on another machine, which cannot "
                              "reach %s: give --peer-listen",
                              s->join[i], s->peer_listen);
        }
    }
    return 0;
}

static int resolve(struct settings *s, struct errmsg *em)
{
    int rv;

    if (s->data_dir[0] == '\0') {
        return errmsg_set(em, HF_EINVAL, "--data-dir: missing");
    }
    if ((rv = derive(s->cluster_listen, s->listen, 1000, "cluster-listen",
                     em)) != 0 ||
        (rv = derive(s->peer_listen, s->listen, 10000, "peer-listen", em)) !=
            0 ||
        (rv = split_join(s, em)) != 0 || (rv = check_network(s, em)) != 0 ||
        (rv = announce(s->announce_plain, s->listen, "announce-plain", em)) !=
            0 ||
        (rv = announce(s->announce_cluster, s->cluster_listen,
                       "announce-cluster", em)) != 0 ||
        (rv = announce(s->announce_peer, s->peer_listen, "announce-peer",
                       em)) != 0) {
        return rv;
    }
    if (strcmp(s->repair, "auto") != 0 && strcmp(s->repair, "refuse") != 0) {
        return errmsg_set(em, HF_EINVAL,
                          "--repair: \"%s\" is neither auto nor refuse",
                          s->repair);
    }
    if (s->heartbeat_ms * 3 > s->election_timeout_ms) {
        return errmsg_set(em, HF_EINVAL,
                          "--heartbeat %" PRIu64
                          " is more than a third of "
                          "--election-timeout %" PRIu64,
                          s->heartbeat_ms, s->election_timeout_ms);
    }
    if (s->segment_size * 2 > s->log_budget) {
        return errmsg_set(em, HF_EINVAL,
                          "--log-budget holds no two segments of "
                          "--segment-size %" PRIu64,
                          s->segment_size);
    }
    return 0;
}

int settings_parse(struct settings *s,
                   int argc,
                   char *const *argv,
                   struct errmsg *em)
{
    int rv;

    memset(s, 0, sizeof *s);
    defaults(s);
    rv = flags_parse(s, argc, argv, em);
    if (rv != 0 || s->help || s->version) {
        return rv;
    }
    rv = file_parse(s, em);
    return rv != 0 ? rv : resolve(s, em);
}

/* ---- for people ---- */

void settings_help(FILE *f)
{
    fputs(
        "holdfastd --data-dir DIR [flags]: one node of a cluster\n"
        "Each flag is also a line \"name = value\" of the --config file.\n"
        "Bytes take k, m, g.\n\n",
        f);
    for (size_t i = 0; i < ROWS; i++) {
        const struct row *r = &table[i];
        char left[64];

        snprintf(left, sizeof left, "--%s %s", r->name,
                 r->kind == INT ? "N" : r->unit);
        fprintf(f, "  %-28s %s", left, r->help);
        if (r->kind == INT) {
            fprintf(f, "\n  %-28s [%s%s%" PRIu64 " to %" PRIu64 ", default %s]",
                    "", r->unit, r->unit[0] != '\0' ? ", " : "", r->min, r->max,
                    r->def);
        } else if (r->def != NULL && r->def[0] != '\0' && r->kind != BOOL) {
            fprintf(f, " [default %s]", r->def);
        }
        fputc('\n', f);
    }
}

bool settings_row(const struct settings *s,
                  size_t i,
                  const char **name,
                  char *value,
                  size_t max)
{
    const struct row *r = &table[i];
    const void *at = (const char *)s + (i < ROWS ? r->offset : 0);

    if (i >= ROWS) {
        return false;
    }
    *name = r->name;
    switch (r->kind) {
        case TEXT:
        case ADDR:
        case NOTIFY:
            snprintf(value, max, "%s", (const char *)at);
            break;
        case MICRO:
            snprintf(value, max, "%" PRId64, *(const int64_t *)at);
            break;
        case BOOL:
            snprintf(value, max, "%s", *(const bool *)at ? "yes" : "no");
            break;
        case LEVEL:
            snprintf(value, max, "%s",
                     log_level_name((enum log_level) * (const uint64_t *)at));
            break;
        case FORMAT:
            snprintf(value, max, "%s",
                     *(const uint64_t *)at == LOG_JSON ? "json" : "text");
            break;
        case INT:
            snprintf(value, max, "%" PRIu64, *(const uint64_t *)at);
            break;
    }
    return true;
}

/* ---- changes at run time ---- */

/* Those that can be changed: the parts that use them look each time, or are
 * told. */
static const char *const live[] = {
    "clients-max",
    "idle-timeout",
    "output-max",
    "output-stall",
    "memory-limit",
    "request-timeout",
    "snapshot-rate",
    "snapshot-floor",
    "log-budget",
    "log-level",
    "slowlog-log-slower-than",
    "slowlog-max-len",
    "latency-monitor-threshold",
    "notify-keyspace-events",
    "tracking-table-max-keys",
    "history-count",
    "history-bytes",
};

static bool is_live(const struct row *r)
{
    for (size_t i = 0; i < sizeof live / sizeof *live; i++) {
        if (strcmp(live[i], r->name) == 0) {
            return true;
        }
    }
    return false;
}

/* The words of Redis, where it has others. */
static const char *level_of_redis(const char *text)
{
    static const char *const words[][2] = {
        {"verbose", "info"}, {"notice", "info"}, {"warning", "warn"}};

    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcmp(text, words[i][0]) == 0) {
            return words[i][1];
        }
    }
    return text;
}

/* "1gb", "1kb" as Redis takes them: its units of 1024 end in b. */
static void memory_of_redis(char *text)
{
    size_t n = strlen(text);

    if (n >= 3 && tolower((unsigned char)text[n - 1]) == 'b' &&
        strchr("kmgKMG", text[n - 2]) != NULL) {
        text[n - 1] = '\0';
    }
}

static int refuse_value(const struct row *r,
                        const char *text,
                        struct errmsg *em)
{
    bool number = text[0] != '\0';

    for (const char *p = text[0] == '-' ? text + 1 : text; *p != '\0'; p++) {
        number = number && isdigit((unsigned char)*p);
    }
    switch (r->kind) {
        case BOOL:
            return errmsg_set(em, HF_EINVAL, "argument must be 'yes' or 'no'");
        case LEVEL:
            return errmsg_set(em, HF_EINVAL,
                              "argument(s) must be one of the following: "
                              "debug, info, warn, error, verbose, notice, "
                              "warning");
        case NOTIFY:
            return errmsg_set(em, HF_EINVAL,
                              "Invalid event class character. Use "
                              "'Ag$lshzxeKEtmdn'.");
        case INT:
        case MICRO:
            break;
        case TEXT:
        case ADDR:
        case FORMAT:
            return errmsg_set(em, HF_EINVAL, "not a value of this setting");
    }
    if (number && r->kind == MICRO) {
        return errmsg_set(
            em, HF_EINVAL,
            "argument must be between -1 and %" PRIu64 " inclusive", r->max);
    }
    if (number) {
        return errmsg_set(em, HF_EINVAL,
                          "argument must be between %" PRIu64 " and %" PRIu64
                          " inclusive",
                          r->min, r->max);
    }
    return errmsg_set(em, HF_EINVAL,
                      strncmp(r->unit, "bytes", 5) == 0
                          ? "argument must be a memory value"
                          : "argument couldn't be parsed into an integer");
}

int settings_change(struct settings *s,
                    struct bytes name,
                    struct bytes value,
                    size_t *row,
                    struct errmsg *em)
{
    const char *own = admin_config_alias(name);
    char text[SETTINGS_PATH], low[64];
    const struct row *r;

    if (name.n >= sizeof low) {
        return HF_ENOENT;
    }
    for (size_t i = 0; i <= name.n; i++) {
        low[i] = i < name.n ? (char)tolower(name.p[i]) : '\0';
    }
    own = own != NULL ? own : low;
    r = row_find(own, strlen(own));
    if (r == NULL) {
        return admin_config_fixed(name) ? HF_EACCES : HF_ENOENT;
    }
    if (!is_live(r)) {
        return HF_EACCES;
    }
    if (value.n >= sizeof text || memchr(value.p, 0, value.n) != NULL ||
        memchr(value.p, '\n', value.n) != NULL) {
        return refuse_value(r, "", em);
    }
    memcpy(text, value.p, value.n);
    text[value.n] = '\0';
    memory_of_redis(text);
    if (row_set(s, r, r->kind == LEVEL ? level_of_redis(text) : text, "",
                NULL) != 0) {
        return refuse_value(r, text, em);
    }
    *row = (size_t)(r - table);
    return 0;
}

static bool change_failed(int rv,
                          struct bytes name,
                          const char *why,
                          struct buf *reply)
{
    int n = name.n < 128 ? (int)name.n : 128;

    if (rv == HF_ENOENT) {
        resp_errorf(reply,
                    "ERR Unknown option or number of arguments for CONFIG SET "
                    "- '%.*s'",
                    n, (const char *)name.p);
    } else {
        resp_errorf(reply,
                    "ERR CONFIG SET failed (possibly related to argument "
                    "'%.*s') - %s",
                    n, (const char *)name.p,
                    rv == HF_EACCES ? "can't set immutable config" : why);
    }
    return false;
}

bool settings_config_set(struct settings *s,
                         const struct bytes *words,
                         size_t pairs,
                         struct buf *reply)
{
    struct settings *next = hf_malloc(sizeof *next);
    bool seen[SETTINGS_MAX] = {false};
    struct errmsg em = {{0}};
    bool ok = true;

    /* A name that is none is said first, as Redis does. */
    for (size_t i = 0; ok && i < pairs; i++) {
        size_t row;

        *next = *s;
        if (settings_change(next, words[2 * i], words[2 * i + 1], &row, &em) ==
            HF_ENOENT) {
            ok = change_failed(HF_ENOENT, words[2 * i], "", reply);
        }
    }
    *next = *s;
    for (size_t i = 0; ok && i < pairs; i++) {
        size_t row = 0;
        int rv = settings_change(mutant(CONFIG_SET_PART) ? s : next,
                                 words[2 * i], words[2 * i + 1], &row, &em);

        if (rv != 0) {
            ok = change_failed(rv, words[2 * i], em.text, reply);
        } else if (seen[row]) {
            ok = change_failed(HF_EINVAL, words[2 * i], "duplicate parameter",
                               reply);
        } else {
            seen[row] = true;
            next->changed[row] = true;
        }
    }
    if (ok && next->segment_size * 2 > next->log_budget) {
        ok = change_failed(HF_EINVAL, bytes_str("log-budget"),
                           "it holds no two segments", reply);
    }
    if (ok) {
        *s = *next;
    }
    free(next);
    return ok;
}

/* ---- CONFIG REWRITE ---- */

/* The row whose line this is; NULL: a comment, or nothing. */
static const struct row *line_row(const char *line, size_t n)
{
    size_t a = 0, b;

    while (a < n && isspace((unsigned char)line[a])) {
        a++;
    }
    b = a;
    while (b < n && strchr("=: \t", line[b]) == NULL) {
        b++;
    }
    return row_find(line + a, b - a);
}

static void put_row(const struct settings *s,
                    const struct row *r,
                    struct buf *out)
{
    char value[SETTINGS_PATH];
    const char *name;

    hf_assert(settings_row(s, (size_t)(r - table), &name, value, sizeof value));
    buf_printf(out, "%s = %s\n", name, value);
}

/* What the file becomes. */
static void rewritten(const struct settings *s,
                      const char *text,
                      size_t n,
                      struct buf *out)
{
    bool there[ROWS] = {false};

    while (n > 0) {
        const char *end = memchr(text, '\n', n);
        size_t k = end != NULL ? (size_t)(end - text) + 1 : n;
        const struct row *r = line_row(text, end != NULL ? k - 1 : k);

        if (r != NULL && s->changed[r - table]) {
            put_row(s, r, out);
            there[r - table] = true;
        } else if (!mutant(CONFIG_REWRITE_BARE) || r != NULL) {
            buf_append(out, text, k);
            if (end == NULL) {
                buf_u8(out, '\n');
            }
        }
        text += k;
        n -= k;
    }
    for (size_t i = 0; i < ROWS; i++) {
        if (s->changed[i] && !there[i]) {
            put_row(s, &table[i], out);
        }
    }
}

static int read_all(const char *path, struct buf *out)
{
    char chunk[4096];
    FILE *f = fopen(path, "re");
    size_t n;
    int bad;

    if (f == NULL) {
        return errno;
    }
    while ((n = fread(chunk, 1, sizeof chunk, f)) > 0) {
        buf_append(out, chunk, n);
    }
    bad = ferror(f) ? EIO : 0;
    fclose(f);
    return bad;
}

static int write_synced(const char *path, struct bytes text, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    int bad = 0;

    if (fd < 0) {
        return errno;
    }
    while (text.n > 0 && bad == 0) {
        ssize_t n = write(fd, text.p, text.n);

        if (n < 0) {
            bad = errno;
        } else {
            text.p += n;
            text.n -= (size_t)n;
        }
    }
    if (bad == 0 && fsync(fd) != 0) {
        bad = errno;
    }
    if (close(fd) != 0 && bad == 0) {
        bad = errno;
    }
    return bad;
}

static int sync_dir_of(const char *path)
{
    char dir[SETTINGS_PATH];
    const char *slash = strrchr(path, '/');
    int bad = 0, fd;

    snprintf(dir, sizeof dir, "%.*s",
             slash == NULL ? 1 : (int)(slash - path) + 1,
             slash == NULL ? "." : path);
    fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return errno;
    }
    if (fsync(fd) != 0) {
        bad = errno;
    }
    close(fd);
    return bad;
}

int settings_rewrite(const struct settings *s, struct errmsg *em)
{
    char tmp[SETTINGS_PATH + 8];
    struct buf old = BUF_INIT, text = BUF_INIT;
    struct stat st = {.st_mode = 0644};
    int bad;

    if (s->config[0] == '\0') {
        return errmsg_set(em, HF_ENOENT,
                          "The server is running without a config file");
    }
    snprintf(tmp, sizeof tmp, "%s.new", s->config);
    bad = read_all(s->config, &old);
    if (bad == 0) {
        (void)stat(s->config, &st);
        rewritten(s, (const char *)old.p, old.n, &text);
        bad = write_synced(tmp, buf_bytes(&text), st.st_mode & 0777);
        if (bad == 0 && rename(tmp, s->config) != 0) {
            bad = errno;
        }
        bad = bad != 0 ? bad : sync_dir_of(s->config);
        if (bad != 0) {
            (void)unlink(tmp);
        }
    }
    buf_release(&old);
    buf_release(&text);
    return bad == 0 ? 0
                    : errmsg_set(em, HF_EIO, "Rewriting config file: %s",
                                 strerror(bad));
}
