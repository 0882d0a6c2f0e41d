#include "server/command/stats.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/mutant.h"
#include "resp/resp.h"
#include "server/command/args.h"

enum { SUB_SHIFT = 3 }; /* 1 << 3 buckets to an octave */

struct stats *stats_new(void)
{
    struct stats *s = hf_calloc(1, sizeof *s);
    size_t n;

    (void)command_table(&n);
    s->commands = hf_calloc(n, sizeof(struct stats_command *));
    s->slow_us = 10000;
    s->slow_max_len = 128;
    return s;
}

static void forget_commands(struct stats *s)
{
    size_t n;

    (void)command_table(&n);
    for (size_t i = 0; i < n; i++) {
        free(s->commands[i]);
        s->commands[i] = NULL;
    }
}

void stats_free(struct stats *s)
{
    if (s != NULL) {
        forget_commands(s);
        stats_slow_reset(s);
        free(s->commands);
        free(s);
    }
}

void stats_reset(struct stats *s)
{
    forget_commands(s);
    s->errors_n = 0;
    s->hits = 0;
    s->misses = 0;
    memset(s->rates, 0, sizeof s->rates);
}

/* ---- times ---- */

static unsigned bucket_of(uint64_t us)
{
    unsigned msb, at;

    if (us < 1 << SUB_SHIFT) {
        return (unsigned)us;
    }
    msb = 63 - (unsigned)__builtin_clzll(us);
    at = ((msb - SUB_SHIFT + 1) << SUB_SHIFT) +
         (unsigned)((us >> (msb - SUB_SHIFT)) & ((1 << SUB_SHIFT) - 1));
    return at < STATS_BUCKETS ? at : STATS_BUCKETS - 1;
}

uint64_t stats_bucket_top(unsigned i)
{
    unsigned octave = i >> SUB_SHIFT;
    uint64_t sub = (i & ((1 << SUB_SHIFT) - 1)) + 1;

    if (octave == 0) {
        return i;
    }
    return ((sub + (1 << SUB_SHIFT)) << (octave - 1)) - 1;
}

double stats_percentile(const struct stats_command *c, double p)
{
    double want = (double)c->calls * p / 100;
    uint64_t seen = 0;

    for (unsigned i = 0; i < STATS_BUCKETS; i++) {
        seen += c->buckets[i];
        if (seen > 0 && (double)seen >= want) {
            return (double)stats_bucket_top(i);
        }
    }
    return 0;
}

/* ---- commands ---- */

static struct stats_command *row_of(struct stats *s, const struct command *c)
{
    size_t n;
    const struct command *rows = command_table(&n);
    size_t i = (size_t)(c - rows);

    hf_assert(i < n);
    if (s->commands[i] == NULL) {
        s->commands[i] = hf_calloc(1, sizeof *s->commands[i]);
    }
    return s->commands[i];
}

/* The class word of "-CLASS text". */
static size_t error_name(struct bytes reply, char out[STATS_ERROR_NAME])
{
    size_t n = 0;

    for (size_t i = 1; i < reply.n && n + 1 < STATS_ERROR_NAME &&
                       reply.p[i] > ' ' && reply.p[i] < 127;
         i++) {
        out[n++] = (char)reply.p[i];
    }
    out[n] = 0;
    return n;
}

void stats_error(struct stats *s, struct bytes reply)
{
    char name[STATS_ERROR_NAME];
    unsigned i = 0;

    if (error_name(reply, name) == 0) {
        return;
    }
    while (i < s->errors_n && strcmp(s->errors[i].name, name) != 0) {
        i++;
    }
    if (i == STATS_ERRORS_MAX) {
        return;
    }
    if (i == s->errors_n) {
        s->errors_n++;
        memset(&s->errors[i], 0, sizeof s->errors[i]);
        memcpy(s->errors[i].name, name, sizeof name);
    }
    s->errors[i].count++;
}

static bool is_error(struct bytes reply)
{
    return reply.n > 0 && (reply.p[0] == '-' || reply.p[0] == '!');
}

void stats_call(struct stats *s,
                const struct command *c,
                uint64_t us,
                struct bytes reply)
{
    struct stats_command *r = row_of(s, c);

    r->calls++;
    r->us += us;
    r->buckets[bucket_of(us)]++;
    if (is_error(reply) && !mutant(STATS_FAILED_UNCOUNTED)) {
        r->failed++;
        stats_error(s, reply);
    }
}

void stats_reject(struct stats *s, const struct command *c, struct bytes reply)
{
    if (c != NULL) {
        row_of(s, c)->rejected++;
    }
    if (is_error(reply)) {
        stats_error(s, reply);
    }
}

/* ---- SLOWLOG ---- */

static void slow_free(struct stats_slow *w)
{
    buf_release(&w->words);
    buf_release(&w->name);
    free(w);
}

void stats_slow_trim(struct stats *s)
{
    while (s->slow_n > s->slow_max_len) {
        struct stats_slow *w = s->slow_oldest;

        s->slow_oldest = w->newer;
        *(w->newer != NULL ? &w->newer->older : &s->slow) = NULL;
        slow_free(w);
        s->slow_n--;
    }
}

void stats_slow_reset(struct stats *s)
{
    uint64_t max = s->slow_max_len;

    s->slow_max_len = 0;
    stats_slow_trim(s);
    s->slow_max_len = max;
    s->slow_burst = 0;
}

/* Whoever comes from Redis may try to set these; they are refused. */
static bool names_secret(struct bytes w)
{
    return bytes_ieq(w, "requirepass") || bytes_ieq(w, "masterauth") ||
           bytes_ieq(w, "tls-key-file-pass");
}

int stats_secret_from(const struct command *c,
                      const struct bytes *argv,
                      int argc)
{
    const char *parent = c->parent != NULL ? c->parent : "";
    bool nests = c->handler == cmd_txn || c->handler == cmd_once ||
                 strcmp(parent, "command") == 0 || strcmp(parent, "acl") == 0;

    if (strcmp(c->name, "auth") == 0) {
        return 1;
    }
    if (strcmp(parent, "acl") == 0 && strcmp(c->name, "setuser") == 0) {
        return 3;
    }
    for (int i = 1; i < argc; i++) {
        if ((nests || strcmp(c->name, "hello") == 0) &&
            bytes_ieq(argv[i], "AUTH")) {
            return i + 1;
        }
        if ((nests && bytes_ieq(argv[i], "SETUSER")) ||
            (strcmp(parent, "config") == 0 && names_secret(argv[i]))) {
            return i + 1;
        }
    }
    return argc;
}

static void slow_word(struct buf *b, struct bytes w, bool secret)
{
    struct buf cut = BUF_INIT;

    if (secret) {
        resp_bulk_str(b, "(redacted)");
    } else if (w.n <= STATS_SLOW_ARG) {
        resp_bulk(b, w);
    } else {
        buf_append(&cut, w.p, STATS_SLOW_ARG);
        buf_printf(&cut, "... (%zu more bytes)", w.n - STATS_SLOW_ARG);
        resp_bulk(b, buf_bytes(&cut));
        buf_release(&cut);
    }
}

bool stats_slow_room(struct stats *s, uint64_t now_us)
{
    if (now_us / 1000000 != s->slow_second) {
        s->slow_second = now_us / 1000000;
        s->slow_burst = 0;
    }
    return s->slow_us == 0 || s->slow_burst++ < STATS_SLOW_BURST;
}

void stats_slow_add(struct stats *s, const struct stats_slow_call *call)
{
    struct stats_slow *w = hf_calloc(1, sizeof *w);
    int secret = mutant(SLOWLOG_SECRETS)
                     ? call->argc
                     : stats_secret_from(call->command, call->argv, call->argc);
    int shown = call->argc > STATS_SLOW_ARGS ? STATS_SLOW_ARGS - 1 : call->argc;

    w->id = s->slow_id++;
    w->unix_s = call->unix_s;
    w->us = call->us;
    snprintf(w->addr, sizeof w->addr, "%s", call->addr);
    buf_bytes_append(&w->name, call->name);
    resp_array(&w->words, (size_t)(shown + (shown < call->argc)));
    for (int i = 0; i < shown; i++) {
        slow_word(&w->words, call->argv[i], i >= secret);
    }
    if (shown < call->argc) {
        char text[64];

        snprintf(text, sizeof text, "... (%d more arguments)",
                 call->argc - shown);
        resp_bulk_str(&w->words, text);
    }
    w->older = s->slow;
    *(w->older != NULL ? &w->older->newer : &s->slow_oldest) = w;
    s->slow = w;
    s->slow_n++;
    if (!mutant(SLOWLOG_UNBOUNDED)) {
        stats_slow_trim(s);
    }
}

/* ---- LATENCY ---- */

struct stats_event *stats_event_find(struct stats *s, struct bytes name)
{
    for (unsigned i = 0; i < s->events_n; i++) {
        if (bytes_eq(name, bytes_str(s->events[i].name))) {
            return &s->events[i];
        }
    }
    return NULL;
}

const struct stats_sample *stats_event_at(const struct stats_event *e,
                                          unsigned i)
{
    hf_assert(i < e->n);
    return &e->samples[(e->next + STATS_SAMPLES - e->n + i) % STATS_SAMPLES];
}

void stats_event(struct stats *s,
                 const char *event,
                 uint64_t ms,
                 uint64_t unix_s)
{
    struct stats_event *e;
    struct stats_sample *last;

    if (s == NULL || s->latency_ms == 0 || ms < s->latency_ms) {
        return;
    }
    e = stats_event_find(s, bytes_str(event));
    if (e == NULL) {
        if (s->events_n == STATS_EVENTS_MAX) {
            return;
        }
        e = &s->events[s->events_n++];
        memset(e, 0, sizeof *e);
        snprintf(e->name, sizeof e->name, "%s", event);
    }
    e->max_ms = ms > e->max_ms ? ms : e->max_ms;
    last = &e->samples[(e->next + STATS_SAMPLES - 1) % STATS_SAMPLES];
    if (e->n > 0 && last->unix_s == unix_s && !mutant(LATENCY_EACH)) {
        last->ms = ms > last->ms ? ms : last->ms;
        return;
    }
    e->samples[e->next] = (struct stats_sample){unix_s, ms};
    e->next = (e->next + 1) % STATS_SAMPLES;
    e->n += e->n < STATS_SAMPLES;
}

unsigned stats_event_reset(struct stats *s, const struct bytes *name)
{
    unsigned gone = 0;

    for (unsigned i = s->events_n; i-- > 0;) {
        if (name == NULL || bytes_eq(*name, bytes_str(s->events[i].name))) {
            s->events[i] = s->events[--s->events_n];
            gone++;
        }
    }
    return gone;
}

/* ---- rates ---- */

void stats_tick(struct stats *s,
                uint64_t now_us,
                const uint64_t totals[STATS_RATE_KINDS],
                uint64_t memory)
{
    uint64_t us = now_us - s->tick_us;

    s->memory_peak = memory > s->memory_peak ? memory : s->memory_peak;
    if (s->tick_us != 0 && us < STATS_RATE_MS * 1000) {
        return;
    }
    for (int k = 0; k < STATS_RATE_KINDS; k++) {
        /* Less than before: the totals were reset. */
        uint64_t more =
            totals[k] < s->tick_total[k] ? 0 : totals[k] - s->tick_total[k];

        if (s->tick_us != 0) {
            s->rates[k][s->rate_next] = more * 1000000 / us;
        }
        s->tick_total[k] = totals[k];
    }
    s->rate_next = (s->rate_next + 1) % STATS_RATES;
    s->tick_us = now_us;
}

uint64_t stats_rate(const struct stats *s, enum stats_rate kind)
{
    uint64_t sum = 0;

    for (int i = 0; i < STATS_RATES; i++) {
        sum += s->rates[kind][i];
    }
    return sum / STATS_RATES;
}
