#include "server/edge/settings.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/log.h"
#include "server/edge/hostport.h"

enum kind {
    TEXT,   /* up to size - 1 bytes */
    ADDR,   /* host:port */
    BOOL,   /* a flag without value, or =yes, =no */
    INT,    /* min..max; takes k, m, g */
    LEVEL,  /* debug, info, warn, error */
    FORMAT, /* text, json */
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
     "64m", "no snapshot before the log has this size"},
    {"snapshot-rate", INT, AT(snapshot_rate), "bytes/s", 32 * MIB, 64 * GIB,
     "128m", "speed of sending a snapshot"},
    {"repair", TEXT, AT(repair), "auto|refuse", 0, 0, "auto",
     "a damaged data directory: repair it from the other nodes, or refuse"},
    {"log-level", LEVEL, AT(log_level), "LEVEL", 0, 0, "info",
     "debug, info, warn or error"},
    {"log-format", FORMAT, AT(log_format), "FORMAT", 0, 0, "text",
     "text, or json: one object a line"},
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
            snprintf(value, max, "%s", (const char *)at);
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
