/* kv: the command line of Holdfast.
 *
 * This file takes the command line apart, finds the verb, explains errors.
 * Both tables here also feed the help. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "client/kv_int.h"

#ifndef HF_VERSION
#define HF_VERSION "unreleased"
#endif

#define ENDPOINTS_DEFAULT "127.0.0.1:7379"
#define ANY SIZE_MAX

static const struct kv_verb verbs[] = {
    {"get", 1, 1, kv_get, "KEY", "print the value of a key", "",
     "Piped, the value is printed as it is, without a line end. With\n"
     "--output json also its revisions, for 'kv cas' and 'kv txn'.\n"},
    {"set", 2, 2, kv_set, "KEY VALUE|-", "store a value",
     "--ttl --if-absent --if-present --keep-ttl",
     "'-' reads the value from stdin.\n"
     "  --ttl TIME        the key expires after TIME\n"
     "  --if-absent       only if there is no such key\n"
     "  --if-present      only if there is such a key\n"
     "  --keep-ttl        leave the time of its expiry as it is\n"},
    {"del", 1, ANY, kv_del, "KEY...", "delete keys, print how many there were",
     "", "Status 1: none of them existed.\n"},
    {"incr", 1, 2, kv_incr, "KEY [BY]", "add to an integer, print the sum", "",
     "BY is 1 if left out; it may be negative. An absent key counts as 0.\n"},
    {"cas", 3, 3, kv_cas, "KEY REVISION VALUE|-",
     "store a value if nobody changed the key", "",
     "REVISION is what 'kv --output json get KEY' shows; 0 or 'absent': the\n"
     "key must not exist. Status 1: the key has another revision.\n"},
    {"scan", 0, 1, kv_scan, "[PATTERN]", "print keys in no particular order",
     "--limit",
     "PATTERN is a glob: 'user:*'. A key that exists all the while is printed\n"
     "at least once.\n"
     "  --limit N         at most N keys\n"},
    {"range", 1, 2, kv_range, "START [END]",
     "print keys and values in order, from START to before END",
     "--limit --reverse --keys-only",
     "An empty START is the first key, no END means to the last. Long ranges\n"
     "are read in pages; each page is consistent in itself.\n"
     "  --limit N         at most N keys\n"
     "  --reverse         from the end\n"
     "  --keys-only       without the values\n"},
    {"ttl", 1, 1, kv_ttl, "KEY", "print the milliseconds until a key expires",
     "", "Piped, -1 stands for never.\n"},
    {"txn", 0, 0, kv_txn, "< COMMANDS", "run commands as one step", "",
     "One command a line on stdin, conditions first, words quoted as in\n"
     "redis-cli, '#' starts a comment line:\n"
     "  if balance = 17\n"
     "  if lock absent\n"
     "  SET lock me\n"
     "  DECRBY balance 5\n"
     "Status 1: a condition is false, nothing was run. A command that fails\n"
     "by itself (INCR of a text) stops no other: stderr names it, and the\n"
     "status is 6, or 3 if all of them failed.\n"},
    {"watch", 0, 1, kv_watch, "[PREFIX]", "print changes of keys as they come",
     "--from --count",
     "One line a change: id, type, key, value, deadline (Unix ms), with tabs\n"
     "between them and control characters as \\xNN; or --output json. It goes\n"
     "on at another node when one dies. --timeout is how long no node may\n"
     "answer (1m). Status 5: the changes behind --from are no longer kept.\n"
     "  --from REV        from the first change of revision REV on; REV-SEQ,\n"
     "                    an id: behind that change; default: from now on\n"
     "  --count N         end after N changes\n"},
    {"init", 0, 0, kv_init, "", "form a cluster, once, from blank nodes",
     "--force",
     "The seats are the --join list that the nodes were started with. All of\n"
     "them must answer and be blank.\n"
     "  --force           take seats that an unfinished init holds\n"},
    {"status", 0, 0, kv_status, "", "show members and health", "--wait",
     "  --wait            until the cluster is whole; fails after --timeout\n"},
    {"member", 1, 2, kv_member, "list | remove ID | promote ID | transfer [ID]",
     "show or change the members", "",
     "transfer moves the leadership, to member ID if given.\n"},
    {"call", 1, ANY, kv_call, "COMMAND [ARGUMENT...]",
     "send any command, print its reply", "",
     "All that follows is sent as it is: options go before 'call'. The\n"
     "command is sent once; a lost answer is status 4.\n"},
    {"bench", 0, 0, kv_bench, "[--rate N] [--duration S] ...",
     "put a load on the cluster and measure it",
     "--connections --pipeline --rate --duration --requests --reads --keys "
     "--distribution --key-size --value-size --seed --warmup --idle --fill "
     "--spread --progress",
     "GETs and SETs of keys 'bench:...', which stay behind. It works against\n"
     "any server of the Redis protocol. Without --rate each connection sends\n"
     "when it has an answer (closed loop). With it requests are due at fixed\n"
     "times, whatever the answers do, and latency counts from then: a stall\n"
     "is seen in full (open loop). Status 0: no request failed.\n"
     "  --connections N   1 to 10000; default 64\n"
     "  --pipeline N      in flight per connection, 1 to 1024: always, or "
     "with\n"
     "                    --rate at most; default 1, with --rate 64\n"
     "  --rate N          requests per second, all connections together\n"
     "  --duration S      how long, in seconds or with a unit; default 10s\n"
     "  --requests N      or how many\n"
     "  --warmup S        so long before that, not measured; default 0\n"
     "  --reads PERCENT   GETs, the others are SETs; default 50. With --stale\n"
     "                    they are answered from the node's own data\n"
     "  --keys N          how many there are; default 100000\n"
     "  --distribution D  uniform, or zipf (exponent 0.99); default uniform\n"
     "  --key-size N      bytes; default 16\n"
     "  --value-size N    bytes, random ones, at most 1048576; default 128\n"
     "  --seed N          of keys, values and mix; default 1\n"
     "  --idle N          further connections that only sit there, to 10000\n"
     "  --fill            first SET each key once, not measured\n"
     "  --spread          over all endpoints; default: all to the leader\n"
     "  --progress        a line each second on stderr, as on a terminal\n"
     "--timeout is how long an answer may take (5s). --output json has the\n"
     "histograms, too.\n"},
};

enum { NVERBS = sizeof(verbs) / sizeof(verbs[0]) };

static const char global_help[] =
    "Options:\n"
    "  --endpoints A,B,C  nodes, host[:port]; also KV_ENDPOINTS; default\n"
    "                     " ENDPOINTS_DEFAULT
    "\n"
    "  --user NAME        authenticate as NAME; also HOLDFAST_USER\n"
    "  --password-file F  with the first line of file F; else with what\n"
    "                     HOLDFAST_PASSWORD says; without: no password\n"
    "  --output FORM      text or json; default: text, raw when piped\n"
    "  --stale            read what the node has, even if it is behind\n"
    "  --max-age MS       with --stale: at most this old\n"
    "  --timeout TIME     whole command, retries included; default 5s, of\n"
    "                     init and status --wait 1m, of member 30s\n"
    "  --help, --version\n"
    "TIME is in ms, or has a unit: 500ms, 5s, 2m, 1h.\n"
    "Status: 0 done, 1 no such key or condition false, 2 usage,\n"
    "        3 certainly not done, 4 outcome unknown, 5 see watch,\n"
    "        6 see txn\n";

static void print_help(FILE *f)
{
    fprintf(f,
            "usage: kv [OPTIONS] VERB [ARGUMENTS]\n"
            "       kv [OPTIONS]               a prompt; piped: a command a "
            "line\n\nVerbs:\n");
    for (size_t i = 0; i < NVERBS; i++) {
        fprintf(f, "  %-8s %s\n", verbs[i].name, verbs[i].summary);
    }
    fprintf(f, "\n%s\n'kv VERB --help' tells more.\n", global_help);
}

static void print_verb_help(const struct kv_verb *v)
{
    printf("usage: kv [OPTIONS] %s%s%s\n\n%s: %s.\n%s\n%s", v->name,
           v->synopsis[0] != '\0' ? " " : "", v->synopsis, v->name, v->summary,
           v->help, global_help);
}

int kv_usage(const struct kv *kv, const char *fmt, ...)
{
    va_list ap;

    fprintf(stderr, "kv: ");
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    if (kv->verb != NULL) {
        fprintf(stderr, "\nhint: usage: kv %s %s; see 'kv %s --help'\n",
                kv->verb->name, kv->verb->synopsis, kv->verb->name);
    } else {
        fprintf(stderr, "\nhint: see 'kv --help'\n");
    }
    return KV_USAGE;
}

/* What to do about each result. */
static const struct {
    int code;
    int status;
    const char *hint;
} results[] = {
    {HF_EARGUMENT, KV_USAGE, "see 'kv --help'"},
    {HF_ETOOBIG, KV_FAILED, "nothing was sent; split the value"},
    {HF_EREFUSED, KV_FAILED,
     "the cluster refused the command and did not do it; correct it, trying "
     "again will not help"},
    {HF_ENOLEADER, KV_FAILED,
     "it was certainly not done; check that the nodes run and that "
     "--endpoints or KV_ENDPOINTS names them, then try again ('kv status' "
     "shows who is missing, a new cluster needs 'kv init')"},
    {HF_EFULL, KV_FAILED,
     "it was certainly not done; delete keys, or give the nodes more memory "
     "or disk"},
    {HF_ESTALE, KV_FAILED, "raise --max-age, or read without --stale"},
    {HF_EUNKNOWN, KV_UNKNOWN,
     "it may have been done, or may yet be; read the key before you try "
     "again"},
    {HF_EPROTOCOL, KV_UNKNOWN,
     "is that a Holdfast node? It may have been done; look before you try "
     "again"},
};

/* A better one where the error says more. */
static const char *hint_for(int rv, const char *why, const char *hint)
{
    if (rv == HF_ENOLEADER && strstr(why, "interrupted") != NULL) {
        return "nothing was changed";
    }
    if (strstr(why, ": NOAUTH ") != NULL) {
        return "the cluster wants a password: set HOLDFAST_USER and "
               "HOLDFAST_PASSWORD, or use --user and --password-file";
    }
    if (strstr(why, ": WRONGPASS ") != NULL) {
        return "no such user, or another password (HOLDFAST_USER, "
               "HOLDFAST_PASSWORD, --user, --password-file), or the user is "
               "off";
    }
    if (strstr(why, ": NOPERM ") != NULL) {
        return "another user may: see 'kv call ACL WHOAMI', 'kv call ACL "
               "GETUSER NAME'";
    }
    return hint;
}

int kv_result(const struct kv *kv, int rv, const char *no)
{
    if (rv == HF_OK) {
        return KV_DONE;
    }
    if (rv == HF_NO) {
        fprintf(stderr, "kv: %s\n", no);
        return KV_NO;
    }
    for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++) {
        if (results[i].code == rv) {
            const char *why = hf_error(kv->c);

            fprintf(stderr, "kv: %s%s%s\nhint: %s\n", hf_result_name(rv),
                    why[0] == '\0' ? "" : ": ", why,
                    hint_for(rv, why, results[i].hint));
            return results[i].status;
        }
    }
    fprintf(stderr, "kv: %s\nhint: look before you try again\n",
            hf_result_name(rv));
    return KV_UNKNOWN;
}

bool kv_stdin(struct buf *b)
{
    size_t n;

    do {
        buf_reserve(b, 64 << 10);
        n = fread(b->p + b->n, 1, b->cap - b->n, stdin);
        b->n += n;
    } while (n > 0 && b->n <= HF_REQUEST_MAX);
    return b->n <= HF_REQUEST_MAX && !ferror(stdin);
}

/* ---- options ---- */

enum kind { FLAG, TEXT, NUMBER, COUNT, TIME, SECONDS, AGE, OUTPUT };

#define FIELD(f) offsetof(struct kv, f)

static const struct option {
    const char *name;
    enum kind kind;
    size_t field;
    bool global;
} options[] = {
    {"--endpoints", TEXT, FIELD(endpoints), true},
    {"--output", OUTPUT, FIELD(output), true},
    {"--user", TEXT, FIELD(user), true},
    {"--password-file", TEXT, FIELD(password_file), true},
    {"--stale", FLAG, FIELD(stale), true},
    {"--max-age", AGE, FIELD(max_age_ms), true},
    {"--timeout", AGE, FIELD(timeout_ms), true},
    {"--help", FLAG, FIELD(help), true},
    {"--version", FLAG, FIELD(version), true},
    {"--ttl", TIME, FIELD(ttl_ms), false},
    {"--from", TEXT, FIELD(from), false},
    {"--count", NUMBER, FIELD(count), false},
    {"--limit", NUMBER, FIELD(limit), false},
    {"--if-absent", FLAG, FIELD(if_absent), false},
    {"--if-present", FLAG, FIELD(if_present), false},
    {"--keep-ttl", FLAG, FIELD(keep_ttl), false},
    {"--reverse", FLAG, FIELD(reverse), false},
    {"--keys-only", FLAG, FIELD(keys_only), false},
    {"--wait", FLAG, FIELD(wait), false},
    {"--force", FLAG, FIELD(force), false},
    {"--connections", NUMBER, FIELD(bench.connections), false},
    {"--pipeline", NUMBER, FIELD(bench.pipeline), false},
    {"--rate", NUMBER, FIELD(bench.rate), false},
    {"--duration", SECONDS, FIELD(bench.duration_ms), false},
    {"--requests", NUMBER, FIELD(bench.requests), false},
    {"--reads", COUNT, FIELD(bench.reads), false},
    {"--keys", NUMBER, FIELD(bench.keys), false},
    {"--distribution", TEXT, FIELD(bench.distribution), false},
    {"--key-size", NUMBER, FIELD(bench.key_size), false},
    {"--value-size", NUMBER, FIELD(bench.value_size), false},
    {"--seed", COUNT, FIELD(bench.seed), false},
    {"--warmup", SECONDS, FIELD(bench.warmup_ms), false},
    {"--idle", COUNT, FIELD(bench.idle), false},
    {"--fill", FLAG, FIELD(bench.fill), false},
    {"--spread", FLAG, FIELD(bench.spread), false},
    {"--progress", FLAG, FIELD(bench.progress), false},
};

/* A number over 0, with a unit of time if @time. */
static bool parse_number(const char *s, bool time, uint64_t max, uint64_t *out)
{
    static const struct {
        const char *unit;
        uint64_t ms;
    } units[] = {{"", 1}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};
    char *end;
    uint64_t v;

    if (s[0] < '0' || s[0] > '9') {
        return false;
    }
    errno = 0;
    v = strtoull(s, &end, 10);
    if (errno != 0 || v == 0) {
        return false;
    }
    for (size_t i = 0; i < (time ? sizeof(units) / sizeof(units[0]) : 1); i++) {
        if (strcmp(end, units[i].unit) == 0 && v <= max / units[i].ms) {
            *out = v * units[i].ms;
            return true;
        }
    }
    return false;
}

/* In seconds; or, as everywhere, with a unit. 0 is allowed. */
static bool parse_seconds(const char *s, uint64_t *out)
{
    uint64_t v = 0;

    if (s[strspn(s, "0123456789")] != '\0') {
        return parse_number(s, true, INT64_MAX / 2, out);
    }
    if (strcmp(s, "0") != 0 && !parse_number(s, false, UINT32_MAX, &v)) {
        return false;
    }
    *out = v * 1000;
    return true;
}

static bool set_option(struct kv *kv, const struct option *o, const char *value)
{
    void *field = (char *)kv + o->field;
    uint64_t v = 0;

    switch (o->kind) {
        case FLAG:
            *(bool *)field = true;
            return true;
        case TEXT:
            *(const char **)field = value;
            return true;
        case COUNT:
            if (strcmp(value, "0") == 0) {
                *(uint64_t *)field = 0;
                return true;
            }
            return parse_number(value, false, INT64_MAX, (uint64_t *)field);
        case SECONDS:
            return parse_seconds(value, (uint64_t *)field);
        case NUMBER:
        case TIME:
            return parse_number(value, o->kind == TIME, INT64_MAX / 2,
                                (uint64_t *)field);
        case AGE:
            if (!parse_number(value, true, 24 * 3600000, &v)) {
                return false;
            }
            *(uint32_t *)field = (uint32_t)v;
            return true;
        case OUTPUT:
            if (strcmp(value, "json") != 0 && strcmp(value, "text") != 0) {
                return false;
            }
            kv->output = value[0] == 'j' ? KV_JSON : KV_TEXT;
            return true;
    }
    return false;
}

/* Does the verb know option @name? */
static bool verb_has(const struct kv_verb *v, const char *name)
{
    const char *hit = v->options;
    size_t n = strlen(name);

    while ((hit = strstr(hit, name)) != NULL) {
        if (hit[n] == ' ' || hit[n] == '\0') {
            return true;
        }
        hit += n;
    }
    return false;
}

static const struct option *find_option(const struct kv *kv,
                                        const char *arg,
                                        size_t n)
{
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        const struct option *o = &options[i];

        if (strlen(o->name) == n && memcmp(o->name, arg, n) == 0 &&
            (o->global || (kv->verb != NULL && verb_has(kv->verb, o->name)))) {
            return o;
        }
    }
    return NULL;
}

/* The option at argv[*i], "--name", "--name VALUE" or "--name=VALUE". */
static int take_option(struct kv *kv, int argc, char **argv, int *i)
{
    const char *arg = argv[*i];
    size_t n = strcspn(arg, "=");
    const struct option *o = find_option(kv, arg, n);
    const char *value = NULL;

    if (o == NULL || (o->kind == FLAG && arg[n] == '=')) {
        return kv_usage(kv, "unknown option %s", arg);
    }
    if (o->kind != FLAG) {
        if (arg[n] == '=') {
            value = arg + n + 1;
        } else if (*i + 1 < argc) {
            *i += 1;
            value = argv[*i];
        } else {
            return kv_usage(kv, "%s needs a value", o->name);
        }
    }
    if (!set_option(kv, o, value)) {
        return kv_usage(kv, "%s: not a value for it: %s", o->name, value);
    }
    return KV_DONE;
}

static int find_verb(struct kv *kv, const char *name)
{
    for (size_t i = 0; i < NVERBS; i++) {
        if (strcmp(verbs[i].name, name) == 0) {
            kv->verb = &verbs[i];
            return KV_DONE;
        }
    }
    return kv_usage(kv, "unknown verb %s", name);
}

/* Positional arguments are collected in @args, room for @argc. */
static int parse_line(struct kv *kv, int argc, char **argv, const char **args)
{
    bool options_end = false;

    kv->args = args;
    kv_bench_defaults(&kv->bench);
    for (int i = 1; i < argc; i++) {
        int status = KV_DONE;

        if (!options_end && strcmp(argv[i], "--") == 0) {
            options_end = true;
        } else if (!options_end && strncmp(argv[i], "--", 2) == 0) {
            status = take_option(kv, argc, argv, &i);
        } else if (kv->verb == NULL) {
            status = find_verb(kv, argv[i]);
            /* But for its help, what follows call is not ours. */
            options_end = kv->verb != NULL && kv->verb->run == kv_call &&
                          (i + 1 == argc || strcmp(argv[i + 1], "--help") != 0);
        } else {
            args[kv->nargs++] = argv[i];
        }
        if (status != KV_DONE) {
            return status;
        }
    }
    if (kv->help || kv->version) {
        return KV_DONE;
    }
    if (kv->max_age_ms > 0 && !kv->stale) {
        return kv_usage(kv, "--max-age goes with --stale");
    }
    if (kv->verb == NULL) {
        return KV_DONE;
    }
    if (kv->nargs < kv->verb->args_min || kv->nargs > kv->verb->args_max) {
        return kv_usage(kv, "%s: wrong number of arguments", kv->verb->name);
    }
    return KV_DONE;
}

const char *kv_verb_name(size_t i)
{
    return i < NVERBS ? verbs[i].name : NULL;
}

int kv_line(const struct kv *outer, int argc, char **argv)
{
    const char **args = hf_calloc((size_t)argc + 1, sizeof(*args));
    struct kv kv = {.c = outer->c,
                    .endpoints = outer->endpoints,
                    .output = outer->output,
                    .timeout_ms = outer->timeout_ms};
    int status = parse_line(&kv, argc, argv, args);

    if (status == KV_DONE && kv.help && kv.verb != NULL) {
        print_verb_help(kv.verb);
    } else if (status == KV_DONE && (kv.verb == NULL || kv.help)) {
        print_help(stdout);
    } else if (status == KV_DONE &&
               (kv.endpoints != outer->endpoints || kv.stale ||
                kv.user != NULL || kv.password_file != NULL ||
                kv.verb->run == kv_txn)) {
        status =
            kv_usage(&kv, kv.verb->run == kv_txn
                              ? "txn reads stdin: use MULTI and EXEC here"
                              : "this option goes where the prompt is started");
    } else if (status == KV_DONE) {
        status = kv.verb->run(&kv);
    }
    free(args);
    return status;
}

/* The first line of a file, without its end. NULL: it cannot be read, or is
 * too long. */
static char *first_line(const char *path)
{
    enum { LINE_MAX_BYTES = 4096 };
    FILE *f = fopen(path, "r");
    char *line;

    if (f == NULL) {
        return NULL;
    }
    line = hf_calloc(1, LINE_MAX_BYTES);
    if (fgets(line, LINE_MAX_BYTES, f) == NULL ||
        strlen(line) == LINE_MAX_BYTES - 1) {
        free(line);
        line = NULL;
    } else {
        line[strcspn(line, "\r\n")] = '\0';
    }
    fclose(f);
    return line;
}

static const char *from_env(const char *name)
{
    const char *value = getenv(name);

    return value != NULL && value[0] != '\0' ? value : NULL;
}

/* False: said why. *@own is to be freed. */
static bool credentials(struct kv *kv, struct hf_options *opt, char **own)
{
    *own = NULL;
    opt->user = kv->user != NULL ? kv->user : from_env("HOLDFAST_USER");
    opt->password = from_env("HOLDFAST_PASSWORD");
    if (kv->password_file != NULL) {
        *own = first_line(kv->password_file);
        opt->password = *own;
        if (*own == NULL) {
            fprintf(stderr,
                    "kv: no password in %s: %s\nhint: its first line is it\n",
                    kv->password_file, strerror(errno));
            return false;
        }
    }
    if (opt->user != NULL && opt->password == NULL) {
        fprintf(stderr,
                "kv: a user, but no password\nhint: set HOLDFAST_PASSWORD, or "
                "use --password-file\n");
        return false;
    }
    return true;
}

static int run_verb(struct kv *kv)
{
    struct hf_options opt = {.stale = kv->stale, .max_age_ms = kv->max_age_ms};
    char *own;
    int status = KV_USAGE;

    if (!credentials(kv, &opt, &own)) {
        return KV_USAGE;
    }
    if (hf_open(kv->endpoints, &opt, &kv->c) == HF_OK) {
        status = kv->verb != NULL ? kv->verb->run(kv) : kv_prompt(kv);
        hf_close(kv->c);
    } else {
        kv->verb = NULL;
        status = kv_usage(kv,
                          "endpoints '%s': write host:port,host:port,... (at "
                          "most %d)",
                          kv->endpoints, HF_ENDPOINTS_MAX);
    }
    free(own);
    return status;
}

static int run(struct kv *kv)
{
    if (kv->version) {
        printf("kv %s\n", HF_VERSION);
        return KV_DONE;
    }
    if (kv->help && kv->verb == NULL) {
        print_help(stdout);
        return KV_DONE;
    }
    if (kv->help) {
        print_verb_help(kv->verb);
        return KV_DONE;
    }
    return run_verb(kv);
}

int main(int argc, char **argv)
{
    const char **args = hf_calloc((size_t)argc + 1, sizeof(*args));
    const char *env = getenv("KV_ENDPOINTS");
    struct kv kv = {0};
    int status;

    kv.endpoints = env != NULL && env[0] != '\0' ? env : ENDPOINTS_DEFAULT;
    kv.output = isatty(STDOUT_FILENO) ? KV_TEXT : KV_RAW;
    status = parse_line(&kv, argc, argv, args);
    if (status == KV_DONE) {
        status = run(&kv);
    }
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr,
                "kv: write to stdout: %s\nhint: the command itself ended "
                "with status %d\n",
                strerror(errno), status);
        status = status == KV_DONE ? KV_UNKNOWN : status;
    }
    free(args);
    return status;
}
