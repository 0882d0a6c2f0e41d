/* kv bench: the verb. Options, which node to talk to, exit status. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/mutant.h"
#include "client/hf_int.h"
#include "client/kv_bench_int.h"

enum {
    ASK_TIMEOUT_MS = 1500, /* per endpoint, to find the leader */
    FILES_OF_OURS = 32,    /* open files besides connections */
    DURATION_MS = 10000
};

void kv_bench_defaults(struct kv_bench_options *o)
{
    memset(o, 0, sizeof(*o));
    o->connections = 64;
    o->reads = 50;
    o->keys = 100000;
    o->key_size = 16;
    o->value_size = 128;
    o->seed = 1;
    o->distribution = "uniform";
}

/* ---- options ---- */

/* Each range. KV_DONE, or what to say was said. */
static int check_ranges(const struct kv *kv)
{
    const struct kv_bench_options *o = &kv->bench;
    const struct {
        const char *name;
        uint64_t value;
        uint64_t max;
    } rows[] = {
        {"--connections", o->connections, BENCH_CONNECTIONS_MAX},
        {"--pipeline", o->pipeline, BENCH_PIPELINE_MAX},
        {"--rate", o->rate, BENCH_RATE_MAX},
        {"--reads", o->reads, 100},
        {"--key-size", o->key_size, LIM_KEY},
        {"--value-size", o->value_size, BENCH_VALUE_MAX},
        {"--idle", o->idle, BENCH_CONNECTIONS_MAX},
        {"--duration", o->duration_ms / 1000, BENCH_SECONDS_MAX},
        {"--warmup", o->warmup_ms / 1000, BENCH_SECONDS_MAX},
        {"--keys", o->keys, UINT32_MAX},
        {"--requests", o->requests, UINT64_C(1) << 40},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].value > rows[i].max) {
            return kv_usage(kv, "%s: at most %llu", rows[i].name,
                            (unsigned long long)rows[i].max);
        }
    }
    return KV_DONE;
}

static int check_options(const struct kv *kv, const struct bench_config *cfg)
{
    const struct kv_bench_options *o = &kv->bench;

    if (o->duration_ms > 0 && o->requests > 0) {
        return kv_usage(kv, "--duration or --requests, not both");
    }
    if (strcmp(o->distribution, "uniform") != 0 &&
        strcmp(o->distribution, "zipf") != 0) {
        return kv_usage(kv, "--distribution: uniform or zipf, not %s",
                        o->distribution);
    }
    if (!mix_keys_fit(cfg->keys, cfg->key_size)) {
        return kv_usage(kv, "--key-size: " BENCH_KEY_PREFIX
                            " and the number of a key need more bytes");
    }
    if (cfg->connections * cfg->pipeline > BENCH_IN_FLIGHT_MAX) {
        return kv_usage(kv, "--connections times --pipeline: at most %d",
                        BENCH_IN_FLIGHT_MAX);
    }
    if (cfg->connections * cfg->value_size > BENCH_VALUES_MAX) {
        return kv_usage(kv, "--connections times --value-size: at most %d",
                        BENCH_VALUES_MAX);
    }
    return KV_DONE;
}

static void configure(const struct kv *kv, struct bench_config *cfg)
{
    const struct kv_bench_options *o = &kv->bench;
    uint64_t pipeline = o->rate > 0 ? BENCH_PIPELINE_OPEN : 1;
    uint64_t ms = o->requests > 0 ? 0 : DURATION_MS;

    cfg->login = &kv->c->opt;
    cfg->spread = o->spread;
    cfg->connections = (size_t)o->connections;
    cfg->idle = (size_t)o->idle;
    cfg->pipeline = (size_t)(o->pipeline > 0 ? o->pipeline : pipeline);
    cfg->rate = o->rate;
    cfg->duration_ns =
        (int64_t)(o->duration_ms > 0 ? o->duration_ms : ms) * 1000000;
    cfg->warmup_ns = (int64_t)o->warmup_ms * 1000000;
    cfg->requests = o->requests;
    cfg->reads = (uint32_t)o->reads;
    cfg->keys = o->keys;
    cfg->zipf = strcmp(o->distribution, "zipf") == 0;
    cfg->key_size = (size_t)o->key_size;
    cfg->value_size = (size_t)o->value_size;
    cfg->seed = o->seed;
    cfg->timeout_ns =
        (int64_t)(kv->timeout_ms > 0 ? kv->timeout_ms : HF_TIMEOUT_DEFAULT) *
        1000000;
    cfg->progress = o->progress || isatty(STDERR_FILENO);
}

/* As many open files as the connections need. */
static int raise_files(const struct kv *kv, const struct bench_config *cfg)
{
    rlim_t need = cfg->connections + cfg->idle + FILES_OF_OURS;
    struct rlimit lim;

    if (getrlimit(RLIMIT_NOFILE, &lim) != 0 || lim.rlim_cur >= need) {
        return KV_DONE;
    }
    if (lim.rlim_max < need) {
        return kv_usage(kv,
                        "%zu connections, but at most %llu open files "
                        "(ulimit -Hn)",
                        cfg->connections + cfg->idle,
                        (unsigned long long)lim.rlim_max);
    }
    lim.rlim_cur = need;
    (void)setrlimit(RLIMIT_NOFILE, &lim);
    return KV_DONE;
}

/* ---- which node ---- */

static bool is_word(const struct hf_reply *r, const char *word)
{
    return r != NULL && r->str != NULL && strcmp(r->str, word) == 0;
}

/* The client address of the leader, from STATUS; NULL: it is not told. */
static const char *leader_of(const struct hf_reply *status)
{
    const struct hf_reply *members = hf_reply_field(status, "members");

    for (size_t i = 0; members != NULL && i < members->n; i++) {
        const struct hf_reply *m = &members->items[i];
        const struct hf_reply *a = hf_reply_field(m, "client_address");

        if (is_word(hf_reply_field(m, "state"), "leader") && a != NULL &&
            a->str != NULL && a->len > 0 && a->len < LIM_ADDR) {
            return a->str;
        }
    }
    return NULL;
}

struct search {
    struct kv *kv;
    struct bench_config *cfg;
    bool leads;            /* cfg->first does */
    bool answered;         /* cfg->first does */
    char leader[LIM_ADDR]; /* as a node says; "": it does not */
    int rv;                /* why none answers */
};

/* Ask endpoint @i. A server that is not Holdfast answers, too: it refuses the
 * command, and is taken as it is. */
static void ask(struct search *s, size_t i)
{
    struct hf_options opt = {.user = s->kv->c->opt.user,
                             .password = s->kv->c->opt.password};
    struct hf_bytes argv[] = {hf_str("STATUS")};
    struct bench_node *n = &s->cfg->nodes[i];
    struct hf_reply *r = NULL;
    struct hf *c;
    int rv;

    hf_assert(hf_open(n->addr, &opt, &c) == HF_OK);
    rv = hf_call(c, HF_CALL_READ, argv, 1, ASK_TIMEOUT_MS, &r);
    if (rv == HF_OK || (rv == HF_EREFUSED && r != NULL) ||
        strstr(hf_error(c), "unknown command") != NULL /* HELLO */) {
        const char *leader = rv == HF_OK ? leader_of(r) : NULL;

        if (rv == HF_OK && is_word(hf_reply_field(r, "role"), "leader")) {
            s->leads = true;
            s->cfg->first = i;
        } else if (!s->answered) {
            s->cfg->first = i;
        }
        if (leader != NULL && s->leader[0] == '\0') {
            snprintf(s->leader, sizeof(s->leader), "%s", leader);
        }
        s->answered = true;
    } else if (!s->answered) {
        /* For the message, should no other one answer. */
        (void)hf_fail(s->kv->c, rv, "%s", hf_error(c));
        s->rv = rv;
    }
    hf_reply_free(r);
    hf_close(c);
}

/* The leader if there is one, else the first that answers. */
static int find_node(struct kv *kv, struct bench_config *cfg)
{
    struct search s = {.kv = kv, .cfg = cfg, .rv = HF_ENOLEADER};

    cfg->nnodes = kv->c->nodes.n;
    for (size_t i = 0; i < cfg->nnodes; i++) {
        snprintf(cfg->nodes[i].addr, LIM_ADDR, "%s", kv->c->nodes.list[i].addr);
        bench_resolve(&cfg->nodes[i], true);
    }
    for (size_t i = 0; i < cfg->nnodes && !s.leads && !cfg->spread; i++) {
        ask(&s, i);
    }
    if (!s.answered && !cfg->spread) {
        return kv_result(kv, s.rv, "");
    }
    if (!s.leads && s.leader[0] != '\0' && !cfg->spread) {
        struct bench_node *n = &cfg->nodes[cfg->nnodes];

        snprintf(n->addr, LIM_ADDR, "%s", s.leader);
        bench_resolve(n, true);
        if (n->sa_len > 0) {
            cfg->first = cfg->nnodes++;
        }
    }
    for (size_t i = 0; i < cfg->nnodes; i++) {
        if (cfg->nodes[i].sa_len == 0 && (cfg->spread || i == cfg->first)) {
            fprintf(stderr, "kv: %s: no such host\nhint: see --endpoints\n",
                    cfg->nodes[i].addr);
            return KV_FAILED;
        }
    }
    return KV_DONE;
}

/* ---- the run ---- */

static int explain(const struct bench_result *r, bool began)
{
    const struct bench_error *e = &r->errors[0];

    if (!began && r->interrupted) {
        fprintf(stderr, "kv: interrupted, no request was sent\n");
        return KV_FAILED;
    }
    if (!began) {
        fprintf(stderr,
                "kv: not all connections could be made; no request was sent\n");
        for (size_t i = 0; i < r->nerrors; i++) {
            fprintf(stderr, "kv: %s\n", r->errors[i].text);
        }
        fprintf(stderr,
                "hint: check --endpoints, --user and --password-file, "
                "and how many connections the nodes take\n");
        return KV_FAILED;
    }
    if (r->failed + r->troubles == 0 || mutant(CLIENT_BENCH_STATUS)) {
        return KV_DONE;
    }
    fprintf(stderr, "kv: %llu requests failed, %llu connections; first: %s\n",
            (unsigned long long)r->failed, (unsigned long long)r->troubles,
            e->text);
    fprintf(stderr, "hint: %s\n",
            r->unknown > 0 ? "some writes may have been done, or may yet be"
                           : "they were certainly not done");
    return r->unknown > 0 ? KV_UNKNOWN : KV_FAILED;
}

/* SET each key once. */
static int fill(const struct bench_config *cfg, struct bench_result *r)
{
    size_t each = cfg->key_size + cfg->value_size;
    struct bench_config f = *cfg;
    int status;
    int rv;

    f.connections = f.connections < BENCH_FILL_CONNECTIONS
                        ? f.connections
                        : BENCH_FILL_CONNECTIONS;
    f.pipeline = each < BENCH_FILL_BYTES / 64 ? 64 : BENCH_FILL_BYTES / each;
    f.pipeline = f.pipeline == 0 ? 1 : f.pipeline;
    f.idle = 0;
    f.rate = 0;
    f.duration_ns = f.warmup_ns = 0;
    f.requests = f.keys;
    f.in_order = true;
    f.reads = 0;
    rv = bench_run(&f, r);
    status = explain(r, rv == 0);
    if (status == KV_DONE && r->interrupted) {
        status = KV_FAILED;
    }
    bench_result_release(r);
    for (size_t i = 0; i < f.nnodes; i++) {
        cfg->nodes[i].requests = 0;
    }
    return status;
}

int kv_bench(struct kv *kv)
{
    struct bench_node *nodes = hf_calloc(BENCH_NODES_MAX, sizeof(*nodes));
    struct bench_result *r = hf_calloc(1, sizeof(*r));
    struct bench_config cfg = {.nodes = nodes};
    int status = check_ranges(kv);
    int rv;

    if (status == KV_DONE) {
        configure(kv, &cfg);
        status = check_options(kv, &cfg);
    }
    if (status == KV_DONE) {
        status = raise_files(kv, &cfg);
    }
    if (status == KV_DONE) {
        status = find_node(kv, &cfg);
    }
    if (status == KV_DONE && kv->bench.fill) {
        status = fill(&cfg, r);
    }
    if (status == KV_DONE) {
        rv = bench_run(&cfg, r);
        if (rv == 0) {
            bench_print(kv, &cfg, r);
        }
        status = explain(r, rv == 0);
        bench_result_release(r);
    }
    free(r);
    free(nodes);
    return status;
}
