/* kv bench: when requests are sent, and over which connection.
 *
 * Closed loop: each connection has cfg->pipeline requests in flight all the
 * time; the next one is due when an answer made room for it.
 *
 * Open loop: request i is due at i / rate seconds after the begin, whatever
 * the answers do. It goes to the connection that has waited longest of those
 * with room; if none has, it waits, and so do those behind it. Latency counts
 * from when it was due, so that a server that stands still for a second is
 * seen by all requests of that second, not by one per connection (the
 * "coordinated omission" of closed loops). */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/mutant.h"
#include "client/kv_bench_load.h"

enum {
    EVENTS_MAX = 256,
    TICK_NS = 10 * 1000 * 1000,
    CHECK_EVERY = 10, /* ticks */
    RECV_BYTES = 256 << 10
};

static volatile sig_atomic_t interrupted;

static void on_interrupt(int sig)
{
    (void)sig;
    interrupted = 1;
}

int64_t bench_now_ns(void)
{
    struct timespec ts;
    int rv = clock_gettime(CLOCK_MONOTONIC, &ts);

    hf_assert(rv == 0);
    return (int64_t)ts.tv_sec * BENCH_NS + ts.tv_nsec;
}

/* ---- the schedule ---- */

/* When request @i of an open loop is due. In whole seconds and the rest: no
 * product wraps, and no error adds up. */
static int64_t due_at(const struct load *l, uint64_t i)
{
    uint64_t rate = l->cfg->rate;

    if (mutant(CLIENT_BENCH_DRIFT)) {
        return l->begin_ns + (int64_t)(i * (1000 / rate) * 1000000);
    }
    return l->begin_ns + (int64_t)(i / rate) * BENCH_NS +
           (int64_t)(i % rate * 1000000000 / rate);
}

/* Requests of an open loop that are due by @now. */
static uint64_t due_by(const struct load *l, int64_t now)
{
    uint64_t ns = (uint64_t)(now - l->begin_ns);
    uint64_t n = ns / 1000000000 * l->cfg->rate +
                 ns % 1000000000 * l->cfg->rate / 1000000000 + 1;

    return n < l->total ? n : l->total;
}

/* Is there nothing more to send? */
static bool all_sent(const struct load *l, int64_t now)
{
    if (l->cfg->rate > 0) {
        return l->next >= l->total;
    }
    return now >= l->end_ns ||
           (l->cfg->duration_ns == 0 && l->next_measured >= l->cfg->requests);
}

static void put_request(struct load *l,
                        struct bench_conn *c,
                        int64_t due,
                        int64_t now)
{
    uint32_t at = (c->head + c->count) % (uint32_t)l->cfg->pipeline;
    bool read = mix_next(&l->mix, &c->out);

    if (mutant(CLIENT_BENCH_OMISSION)) {
        due = now;
    }
    hf_assert(c->count < l->cfg->pipeline);
    c->ring[at] = (uint64_t)due << 1 | (read ? 1 : 0);
    if (c->count++ == 0) {
        c->heard_ns = now;
    }
    l->in_flight++;
    l->next++;
    l->next_measured += due >= l->measure_ns ? 1 : 0;
    if (!c->dirty) {
        c->dirty = true;
        l->dirty[l->dirty_n++] = (uint32_t)(c - l->conns);
    }
}

/* The connection that has waited longest of those with room; NULL: none. */
static struct bench_conn *take_ready(struct load *l)
{
    while (l->ready_n > 0) {
        struct bench_conn *c = &l->conns[l->ready[l->ready_head]];

        l->ready_head = (l->ready_head + 1) % l->cfg->connections;
        l->ready_n--;
        c->listed = false;
        if (conn_has_room(l, c)) {
            return c;
        }
    }
    return NULL;
}

static void flush_dirty(struct load *l)
{
    for (size_t i = 0; i < l->dirty_n; i++) {
        struct bench_conn *c = &l->conns[l->dirty[i]];

        c->dirty = false;
        if (c->state == CONN_UP) {
            conn_flush(l, c);
        }
    }
    l->dirty_n = 0;
}

static void send_open(struct load *l, int64_t now)
{
    uint64_t due = due_by(l, now);

    if (due - l->next > l->r->behind_max) {
        l->r->behind_max = due - l->next;
    }
    while (l->next < due) {
        struct bench_conn *c = take_ready(l);
        int64_t at = due_at(l, l->next);

        if (c == NULL) {
            break;
        }
        if (at >= l->measure_ns) {
            hist_add(&l->r->late, (uint64_t)(now - at) / 1000);
        }
        put_request(l, c, at, now);
        conn_list(l, c);
    }
    flush_dirty(l);
}

static void send_closed(struct load *l, int64_t now)
{
    struct bench_conn *c;

    while (!all_sent(l, now) && (c = take_ready(l)) != NULL) {
        do {
            put_request(l, c, now, now);
        } while (conn_has_room(l, c) && !all_sent(l, now));
        flush_dirty(l);
        now = bench_now_ns();
    }
}

/* ---- each second ---- */

static void end_second(struct load *l, int64_t now)
{
    struct bench_result *r = l->r;
    struct bench_second *s;
    uint64_t errors = r->failed + r->troubles;

    if ((r->nseconds & (r->nseconds + 1)) == 0) {
        r->seconds =
            hf_realloc(r->seconds, 2 * (r->nseconds + 1) * sizeof(*r->seconds));
    }
    s = &r->seconds[r->nseconds++];
    s->answers = l->second.n;
    s->errors = errors - l->second_errors;
    s->p50_us = hist_percentile(&l->second, 500000);
    s->p99_us = hist_percentile(&l->second, 990000);
    s->max_us = l->second.max_us;
    l->second_errors = errors;
    l->next_second_ns += BENCH_NS;
    memset(&l->second, 0, sizeof(l->second));
    if (l->cfg->progress) {
        bench_progress(s, (int64_t)r->nseconds,
                       l->cfg->rate > 0 ? due_by(l, now) - l->next : 0);
    }
}

/* ---- the loop ---- */

static void wait_events(struct load *l, int64_t ns)
{
    struct epoll_event ev[EVENTS_MAX];
    struct timespec ts = {ns / BENCH_NS, ns % BENCH_NS};
    static bool no_pwait2;
    int n = -1;

    if (!no_pwait2) {
        n = epoll_pwait2(l->epfd, ev, EVENTS_MAX, &ts, NULL);
        no_pwait2 = n < 0 && errno == ENOSYS;
    }
    if (no_pwait2) {
        n = epoll_wait(l->epfd, ev, EVENTS_MAX, (int)((ns + 999999) / 1000000));
    }
    hf_assert(n >= 0 || errno == EINTR);
    for (int i = 0; i < n; i++) {
        struct bench_conn *c = &l->conns[ev[i].data.u64];

        conn_event(l, c, ev[i].events);
        if (l->running && l->cfg->rate == 0 && l->ready_n > 0) {
            send_closed(l, bench_now_ns());
        }
    }
}

/* Nothing has been up for too long, or Ctrl-C: what is due from now on is not
 * sent. */
static void cut_short(struct load *l, int64_t now)
{
    l->end_ns = now < l->end_ns ? now : l->end_ns;
    if (l->cfg->rate > 0) {
        l->total = due_by(l, now);
    }
}

static void tick(struct load *l, int64_t now, uint64_t count)
{
    conns_dial(l, now);
    if (count % CHECK_EVERY == 0) {
        conns_check(l, now);
    }
    l->alone_ns = l->up_busy > 0 ? 0 : l->alone_ns == 0 ? now : l->alone_ns;
    if (interrupted) {
        l->r->interrupted = true;
        cut_short(l, now);
    }
    if (now >= l->next_second_ns && l->next_second_ns <= l->end_ns) {
        end_second(l, now);
    }
}

static bool too_long_alone(const struct load *l, int64_t now)
{
    return l->alone_ns != 0 && now - l->alone_ns > l->cfg->timeout_ns;
}

/* How long to wait for events: to the next tick, or until a request is due
 * that has a connection to go to. */
static int64_t pause_ns(const struct load *l, int64_t now, int64_t tick_ns)
{
    int64_t until = tick_ns;

    if (l->cfg->rate > 0 && l->next < l->total && l->ready_n > 0) {
        int64_t at = due_at(l, l->next);

        until = at < until ? at : until;
    }
    return until > now ? until - now : 0;
}

/* False: not all connections were made. */
static bool connect_all(struct load *l)
{
    int64_t end =
        bench_now_ns() + l->cfg->timeout_ns + (int64_t)l->nconns * 1000000;

    while (l->up < l->nconns && bench_now_ns() < end && !interrupted &&
           !l->shut_out) {
        conns_dial(l, bench_now_ns());
        wait_events(l, TICK_NS);
        conns_check(l, bench_now_ns());
    }
    return l->up == l->nconns;
}

static void begin(struct load *l)
{
    const struct bench_config *cfg = l->cfg;
    uint64_t rate = cfg->rate;

    /* What failed while all connections were made in the end is no news. */
    l->r->nerrors = 0;
    memset(l->r->errors, 0, sizeof(l->r->errors));
    l->r->redials = 0;
    l->begin_ns = bench_now_ns();
    l->measure_ns = l->begin_ns + cfg->warmup_ns;
    l->end_ns =
        cfg->duration_ns > 0 ? l->measure_ns + cfg->duration_ns : INT64_MAX;
    l->next_second_ns = l->begin_ns + BENCH_NS;
    l->running = true;
    if (rate > 0) {
        l->total = UINT64_MAX;
        l->total = cfg->duration_ns > 0
                       ? due_by(l, l->end_ns - 1)
                       : due_by(l, l->measure_ns - 1) + cfg->requests;
        if (cfg->duration_ns == 0 && cfg->warmup_ns == 0) {
            l->total = cfg->requests;
        }
    }
}

static void run(struct load *l)
{
    int64_t now = bench_now_ns();
    int64_t tick_ns = now;
    int64_t give_up_ns = INT64_MAX;
    bool timed = l->cfg->duration_ns > 0;
    uint64_t ticks = 0;

    while (now < give_up_ns && (!all_sent(l, now) || l->in_flight > 0 ||
                                (timed && now < l->end_ns))) {
        if (l->cfg->rate > 0) {
            send_open(l, now);
        } else {
            send_closed(l, now);
        }
        if (now >= tick_ns) {
            tick(l, now, ticks++);
            tick_ns = now + TICK_NS;
            if (too_long_alone(l, now)) {
                cut_short(l, now);
                break;
            }
            if (give_up_ns == INT64_MAX &&
                (now >= l->end_ns || (!timed && all_sent(l, now)))) {
                give_up_ns = now + l->cfg->timeout_ns;
            }
        }
        wait_events(l, pause_ns(l, now, tick_ns));
        now = bench_now_ns();
    }
}

/* What was due and not sent, or sent and not answered. */
static void finish(struct load *l)
{
    const struct bench_config *cfg = l->cfg;
    struct bench_result *r = l->r;
    int64_t now = bench_now_ns();
    uint64_t unsent = 0;

    for (size_t i = 0; i < l->nconns; i++) {
        if (l->conns[i].count > 0) {
            conn_lost(l, &l->conns[i], "TIMEOUT", "no answer in time");
        }
    }
    if (cfg->rate > 0) {
        unsent = l->total - l->next;
    } else if (cfg->duration_ns == 0 && l->next_measured < cfg->requests &&
               !r->interrupted) {
        unsent = cfg->requests - l->next_measured;
    }
    if (unsent > 0) {
        if (cfg->rate > 0) {
            hist_add(&r->late, (uint64_t)(now - due_at(l, l->next)) / 1000);
        }
        bench_error(r, "UNSENT",
                    bytes_str("no connection had room for it before the end"));
        r->errors[r->nerrors - 1].count += unsent - 1;
        r->failed += unsent;
    }
    if (now >= l->next_second_ns && l->next_second_ns <= l->end_ns) {
        end_second(l, now);
    }
    r->answers = l->window;
    if (l->end_ns == INT64_MAX) {
        l->end_ns = l->last_ns;
    }
    r->measured_ns = l->end_ns > l->measure_ns ? l->end_ns - l->measure_ns : 0;
    r->wall_s = (double)(now - l->begin_ns) / 1e9;
}

static double cpu_s(void)
{
    struct rusage u;

    hf_assert(getrusage(RUSAGE_SELF, &u) == 0);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void load_init(struct load *l,
                      struct bench_config *cfg,
                      struct bench_result *r)
{
    size_t next = 0;

    memset(l, 0, sizeof(*l));
    l->cfg = cfg;
    l->r = r;
    l->nconns = cfg->connections + cfg->idle;
    l->conns = hf_calloc(l->nconns, sizeof(*l->conns));
    l->rings = hf_calloc(cfg->connections * cfg->pipeline, sizeof(*l->rings));
    l->ready = hf_calloc(cfg->connections, sizeof(*l->ready));
    l->dirty = hf_calloc(cfg->connections, sizeof(*l->dirty));
    l->bytes = hf_malloc(RECV_BYTES);
    l->epfd = epoll_create1(EPOLL_CLOEXEC);
    hf_assert(l->epfd >= 0);
    mix_init(&l->mix, cfg);
    for (size_t i = 0; i < l->nconns; i++) {
        struct bench_conn *c = &l->conns[i];

        c->fd = -1;
        c->idle = i >= cfg->connections;
        c->ring = c->idle ? NULL : l->rings + i * cfg->pipeline;
        c->pause_ms = BENCH_REDIAL_FIRST_MS;
        c->node = (uint16_t)cfg->first;
        if (cfg->spread) {
            c->node = (uint16_t)(next++ % cfg->nnodes);
        }
    }
    /* A timer that is 50 us late, the default, would be all of a fast
     * answer's latency. */
    (void)prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
}

static void load_release(struct load *l)
{
    for (size_t i = 0; i < l->nconns; i++) {
        if (l->conns[i].fd >= 0) {
            close(l->conns[i].fd);
        }
        buf_release(&l->conns[i].out);
        buf_release(&l->conns[i].in);
    }
    mix_release(&l->mix);
    close(l->epfd);
    free(l->conns);
    free(l->rings);
    free(l->ready);
    free(l->dirty);
    free(l->bytes);
}

int bench_run(struct bench_config *cfg, struct bench_result *r)
{
    struct load *l = hf_malloc(sizeof(*l));
    struct sigaction on = {.sa_handler = on_interrupt};
    struct sigaction old;
    double cpu;
    int rv = -1;

    hf_assert(cfg->pipeline > 0 && cfg->connections > 0);
    memset(r, 0, sizeof(*r));
    load_init(l, cfg, r);
    interrupted = 0;
    (void)sigaction(SIGINT, &on, &old);
    if (connect_all(l)) {
        begin(l);
        cpu = cpu_s();
        run(l);
        r->cpu_s = cpu_s() - cpu;
        finish(l);
        rv = 0;
    }
    (void)sigaction(SIGINT, &old, NULL);
    r->interrupted = r->interrupted || interrupted;
    load_release(l);
    free(l);
    return rv;
}

void bench_result_release(struct bench_result *r)
{
    free(r->seconds);
    r->seconds = NULL;
}
