/* The consensus driver: lifecycle, one step and what follows from it, and
 * the events of the disk. See driver.h for the order of work.
 *
 * The engine is libraft 0.22.1 through raft_step(). Who owns what across that
 * call is kept in this file and driver_recv.c: payloads are never handed to
 * the engine (it gets a one-byte token where it wants something to free);
 * configurations are consumed by it in every case; arrays of entries and
 * messages stay with whoever made them. */
#include "raftio/driver.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mutant.h"
#include "raftio/driver_int.h"

enum { BARRIER_BYTES = 8 };

/* ---- small parts ---- */

void driver_fail(struct driver *d, const char *why)
{
    if (!d->failed) {
        d->failed = true;
        d->ops->fatal(d->owner, why);
    }
}

/* ---- patience ---- */

/* How far this node's own time got: stands still while it sleeps. */
static uint64_t awake(const struct driver *d)
{
    return d->now - d->slept;
}

uint64_t driver_election_ms(const struct driver *d)
{
    return pace_timeout(&d->hears, d->now);
}

uint64_t driver_quorum_ms(const struct driver *d)
{
    uint64_t ms = pace_timeout(&d->heard, d->now);

    return ms > driver_election_ms(d) ? ms : driver_election_ms(d);
}

/* The engine draws from one to two election timeouts. That spread is to keep
 * candidates apart, for which the configured one is enough: on a bad wire a
 * node waits longer, but not at random for twice as long. */
static void tighten(const struct driver *d, unsigned *drawn)
{
    uint64_t ms = d->r.election_timeout;

    if ((*drawn < ms || *drawn >= ms + d->cfg.election_ms) &&
        !mutant(DRV_SPREAD)) {
        *drawn = (unsigned)(ms + *drawn % d->cfg.election_ms);
    }
}

static void set_patience(struct driver *d)
{
    d->r.election_timeout =
        (unsigned)(d->r.state == RAFT_LEADER ? driver_quorum_ms(d)
                                             : driver_election_ms(d));
    if (d->r.state == RAFT_FOLLOWER) {
        tighten(d, &d->r.follower_state.randomized_election_timeout);
    }
}

/* ---- the door ---- */

bool driver_enter(struct driver *d, uint64_t now_ms)
{
    hf_assert(!d->inside);
    if (d->failed) {
        return false;
    }
    d->inside = true;
    d->apply_left = DRIVER_APPLY_BYTES;
    if (now_ms > d->now) {
        d->now = now_ms; /* the engine's clock never goes back */
    }
    if (d->timer_at != 0 && d->now > d->timer_at) {
        d->slept += mutant(DRV_SLEPT) ? 0 : d->now - d->timer_at;
        d->timer_at = d->now;
    }
    set_patience(d);
    return true;
}

void driver_engine_conf(struct driver *d,
                        const struct blob *b,
                        struct raft_configuration *out)
{
    struct raft_buffer buf = {(void *)(uintptr_t)b->d, b->n};

    if (raft_configuration_decode(&buf, out) != 0) {
        raft_configuration_init(out);
        driver_fail(d, "a configuration does not decode");
    }
}

void driver_conf_of_engine(const struct raft_configuration *c, struct conf *out)
{
    hf_assert(c->n <= LIM_NODES);
    out->n = c->n;
    for (unsigned i = 0; i < c->n; i++) {
        out->m[i].id = c->servers[i].id;
        out->m[i].role = c->servers[i].role;
    }
}

bool driver_is_lone_voter(const struct driver *d)
{
    struct conf c;

    driver_conf_of_engine(&d->r.configuration, &c);
    return conf_is_lone(&c, d->id);
}

/* ---- CHANGE entries after the snapshot ---- */

static void changes_push(struct driver *d, uint64_t index, struct blob *conf)
{
    if (d->changes_n == d->changes_cap) {
        d->changes_cap = d->changes_cap * 2 + 4;
        d->changes =
            hf_realloc(d->changes, d->changes_cap * sizeof *d->changes);
    }
    d->changes[d->changes_n++] = (struct driver_change){index, blob_ref(conf)};
}

static void changes_truncate(struct driver *d, uint64_t from)
{
    while (d->changes_n > 0 && d->changes[d->changes_n - 1].index >= from) {
        blob_unref(d->changes[--d->changes_n].conf);
    }
}

void driver_forget_changes(struct driver *d, uint64_t upto)
{
    unsigned k = 0;

    while (k < d->changes_n && d->changes[k].index <= upto) {
        blob_unref(d->changes[k++].conf);
    }
    if (k > 0) {
        d->changes_n -= k;
        memmove(d->changes, d->changes + k, d->changes_n * sizeof *d->changes);
    }
}

struct blob *driver_conf_at(const struct driver *d,
                            uint64_t index,
                            uint64_t *conf_index)
{
    for (unsigned i = d->changes_n; i-- > 0;) {
        if (d->changes[i].index <= index) {
            *conf_index = d->changes[i].index;
            return d->changes[i].conf;
        }
    }
    *conf_index = d->snap.conf_index;
    return d->snap.conf;
}

/* ---- writes in flight ---- */

static struct driver_write *write_at(struct driver *d, unsigned i)
{
    return &d->writes[(d->writes_head + i) % d->writes_cap];
}

static struct driver_write *writes_push(struct driver *d)
{
    if (d->writes_n == d->writes_cap) {
        unsigned cap = d->writes_cap * 2 + 16;
        struct driver_write *w = hf_malloc(cap * sizeof *w);

        for (unsigned i = 0; i < d->writes_n; i++) {
            w[i] = *write_at(d, i);
        }
        free(d->writes);
        d->writes = w;
        d->writes_head = 0;
        d->writes_cap = cap;
    }
    d->writes_n++;
    return write_at(d, d->writes_n - 1);
}

/* Writes at or after @from prove nothing any more: what they wrote is cut off
 * by a later one in the queue. Without this an entry cut and appended again
 * in the same term would be acknowledged by its first write, and a crash
 * after the cut loses it. */
static void writes_cancel(struct driver *d, uint64_t from)
{
    for (unsigned i = 0; i < d->writes_n; i++) {
        struct driver_write *w = write_at(d, i);

        if (w->first >= from) {
            w->last = w->first - 1;
        } else if (w->last >= from) {
            w->last = from - 1;
        }
    }
}

/* Mutant DRV_WGEN: what a driver would do that compares terms on completion. */
static void writes_note_terms(struct driver_write *w,
                              const struct entry *e,
                              unsigned n)
{
    w->terms = NULL;
    if (mutant(DRV_WGEN)) {
        w->terms = hf_malloc(n * sizeof *w->terms);
        for (unsigned i = 0; i < n; i++) {
            w->terms[i] = e[i].term;
        }
    }
}

static void writes_match_terms(struct driver *d, struct driver_write *w)
{
    if (mutant(DRV_WGEN)) {
        while (w->last >= w->first &&
               driver_term_of(d, w->last) != w->terms[w->last - w->first]) {
            w->last--;
        }
        free(w->terms);
    }
}

/* ---- the log in memory ---- */

static void log_truncate(struct driver *d, uint64_t from)
{
    for (uint64_t i = driver_last(d); i >= from && i > d->applied; i--) {
        const struct entry *e = entry_cache_get(&d->log, i);

        if (e == NULL) {
            break;
        }
        d->pending_bytes -= e->data.n;
    }
    entry_cache_truncate(&d->log, from);
    changes_truncate(d, from);
    if (d->durable >= from) {
        d->durable = from - 1;
    }
    if (!mutant(DRV_WGEN)) {
        writes_cancel(d, from);
    }
}

static void log_push(struct driver *d, const struct entry *e)
{
    entry_cache_push(&d->log, e);
    if (driver_last(d) > d->applied) {
        d->pending_bytes += e->data.n;
    }
    if (e->type == ENTRY_CHANGE) {
        /* Of its own: after a restart entries share what they were read
         * in, and a configuration is the whole of its blob. */
        struct blob *conf = blob_copy(e->data.p, e->data.n);

        changes_push(d, driver_last(d), conf);
        blob_unref(conf);
    }
}

static void log_append(struct driver *d,
                       uint64_t first,
                       const struct entry *e,
                       unsigned n)
{
    struct driver_write *w;

    if (first <= d->applied) {
        driver_fail(d, "the engine rewrites an applied entry");
        return;
    }
    if (first <= driver_last(d)) {
        log_truncate(d, first);
    }
    if (first != driver_last(d) + 1) {
        driver_fail(d, "the engine leaves a hole in the log");
        return;
    }
    for (unsigned i = 0; i < n; i++) {
        log_push(d, &e[i]);
    }
    w = writes_push(d);
    w->token = ++d->token;
    w->first = first;
    w->last = first + n - 1;
    writes_note_terms(w, e, n);
    d->ops->append(d->owner, first, e, n, w->token);
}

/* ---- what an update says ---- */

/* An entry made by the engine (a lone voter's no-op): its array lives inside
 * struct raft, its payload is ours to free. */
static void append_engine_entry(struct driver *d, struct raft_update *u)
{
    struct raft_entry *re = &u->entries.batch[0];
    struct entry e = {re->term, (uint8_t)re->type, {NULL, 0}, NULL};

    hf_assert(u->entries.n == 1);
    e.blob = blob_copy(re->buf.base, re->buf.len);
    e.data = blob_bytes(e.blob);
    raft_free(re->batch);
    log_append(d, u->entries.index, &e, 1);
    entry_unref(&e);
}

/* Returns the index of an entry the engine made by itself, or 0. */
static uint64_t take_entries(struct driver *d,
                             struct raft_update *u,
                             const struct driver_source *src)
{
    if (src == NULL || src->e == NULL) {
        append_engine_entry(d, u);
        return u->entries.index;
    }
    if (u->entries.index < src->first || u->entries.n > src->n ||
        u->entries.index - src->first > src->n - u->entries.n) {
        driver_fail(d, "the engine reports entries it was not given");
        return 0;
    }
    log_append(d, u->entries.index, src->e + (u->entries.index - src->first),
               u->entries.n);
    return 0;
}

/* d->installing was filled by the receiver with what it offered the engine. */
static void take_snapshot(struct driver *d, struct raft_update *u)
{
    struct raft_snapshot_metadata *md = &u->snapshot.metadata;
    struct snap_meta *offered = u->snapshot.chunk.base;

    if (d->installing.index != 0) {
        driver_fail(d, "a second install begins");
    }
    hf_assert(offered->index == md->index && offered->term == md->term);
    snap_meta_set(&d->installing, offered);
    raft_configuration_close(&md->configuration); /* moved to us */
    raft_free(offered);
    log_truncate(d, d->log.first);
    entry_cache_reset(&d->log, md->index + 1);
    writes_cancel(d, 0);
    d->pending_bytes = 0;
    d->durable = 0;
    d->ops->install(d->owner, &d->installing);
}

static void lose_leadership(struct driver *d)
{
    d->lead_term = 0;
    d->barrier_wanted = false;
    d->barrier_applied = false;
    d->transfer_to = 0;
    d->held_n = 0;
    memset(d->backs, 0, sizeof d->backs);
    driver_probe_fail(d);
}

/* A leader knows which entries are committed only once one of its own term
 * is. Until that barrier is applied: no membership change (two quorums could
 * decide apart), no reads (they could miss what an earlier leader
 * acknowledged). The engine makes one by itself only sometimes. */
static void note_role(struct driver *d, uint64_t engine_barrier)
{
    uint64_t term = raft_current_term(&d->r);

    if (raft_state(&d->r) != RAFT_LEADER) {
        if (d->lead_term != 0) {
            lose_leadership(d);
        }
        return;
    }
    if (d->lead_term == term) {
        return;
    }
    if (d->lead_term != 0) {
        lose_leadership(d);
    }
    d->lead_term = term;
    d->answers_term = term;
    memset(d->answers, 0, sizeof d->answers);
    d->barrier_index = engine_barrier;
    d->barrier_applied = mutant(DRV_BARRIER);
    d->barrier_wanted = engine_barrier == 0 && !mutant(DRV_BARRIER);
}

/* Ours never goes back, whatever the engine's does. */
static void note_commit(struct driver *d)
{
    uint64_t c = raft_commit_index(&d->r);

    if (c < d->commit) {
        d->commit_regressions++;
    } else {
        d->commit = c;
    }
}

static void take_update(struct driver *d,
                        struct raft_update *u,
                        const struct driver_source *src)
{
    uint64_t engine_barrier = 0;

    if (u->flags & (RAFT_UPDATE_CURRENT_TERM | RAFT_UPDATE_VOTED_FOR)) {
        d->ops->persist_vote(d->owner, raft_current_term(&d->r),
                             raft_voted_for(&d->r));
    }
    if (u->flags & (RAFT_UPDATE_ENTRIES)) {
        engine_barrier = take_entries(d, u, src);
    }
    if (u->flags & (RAFT_UPDATE_SNAPSHOT)) {
        take_snapshot(d, u);
    }
    if (u->flags & (RAFT_UPDATE_MESSAGES)) {
        driver_send_update(d, u->messages.batch, u->messages.n,
                           src != NULL && src->stale);
    }
    note_role(d, engine_barrier);
    if (u->flags & (RAFT_UPDATE_COMMIT_INDEX)) {
        note_commit(d);
    }
}

/* How long the candidate waits for this round; 0: no candidate. */
static unsigned candidate_wait(const struct driver *d)
{
    return d->r.state == RAFT_CANDIDATE
               ? d->r.candidate_state.randomized_election_timeout
               : 0;
}

/* A candidate whose first rounds fail, because another stood at the same
 * moment or a voter had not missed the leader yet, should not wait as long as
 * for a leader: the first rounds take a few heartbeats, in proportion longer
 * on a bad wire. @before: what candidate_wait() was; another value is a new
 * round. */
static void hasten_candidate(struct driver *d, unsigned before)
{
    uint64_t wait = candidate_wait(d);
    uint64_t ms = d->r.election_timeout;
    uint64_t spread = wait - ms; /* up to ms */
    uint64_t base = ((uint64_t)d->cfg.heartbeat_ms << d->hastened) * ms /
                    d->cfg.election_ms;

    if (wait == 0 || wait == before || wait < ms) {
        return;
    }
    if (d->hastened >= DRIVER_HASTENED_MAX || base >= ms) {
        tighten(d, &d->r.candidate_state.randomized_election_timeout);
        return;
    }
    d->hastened++;
    d->r.candidate_state.randomized_election_timeout =
        (unsigned)(base + spread * 2 * base / ms);
}

static int step_once(struct driver *d,
                     struct raft_event *ev,
                     const struct driver_source *src)
{
    unsigned wait = candidate_wait(d);
    struct raft_update u;
    int rv;

    ev->time = d->now;
    ev->capacity = 0;
    memset(&u, 0, sizeof u);
    rv = raft_step(&d->r, ev, &u);
    hasten_candidate(d, wait);
    if (d->conf_lent != NULL) {
        d->r.configuration = *d->conf_lent;
        d->conf_lent = NULL;
    }
    if (rv != 0) {
        if (ev->type != RAFT_SUBMIT && ev->type != RAFT_TRANSFER) {
            driver_fail(d, "the engine refused an event");
        }
        return rv;
    }
    take_update(d, &u, src);
    return 0;
}

/* ---- what follows from a step ---- */

int driver_append_own(struct driver *d,
                      const struct entry *e,
                      unsigned n,
                      uint64_t *first_index)
{
    static char token; /* the engine frees nothing on this path */
    struct raft_entry re[DRIVER_SUBMIT_MAX];
    struct entry own[DRIVER_SUBMIT_MAX];
    struct raft_event ev;
    struct driver_source src = {own, driver_last(d) + 1, n, false};
    int rv;

    hf_assert(n > 0 && n <= DRIVER_SUBMIT_MAX);
    for (unsigned i = 0; i < n; i++) {
        own[i] = e[i];
        own[i].term = raft_current_term(&d->r);
        re[i].term = own[i].term;
        re[i].type = (enum raft_entry_type)e[i].type;
        re[i].buf.base = (void *)(uintptr_t)e[i].data.p;
        re[i].buf.len = e[i].data.n;
        re[i].batch = &token;
    }
    memset(&ev, 0, sizeof ev);
    ev.type = RAFT_SUBMIT;
    ev.submit.entries = re;
    ev.submit.n = n;
    rv = step_once(d, &ev, &src);
    if (rv == 0) {
        *first_index = src.first;
    }
    return rv;
}

static void submit_barrier(struct driver *d)
{
    struct entry e = {0, ENTRY_BARRIER, {NULL, 0}, NULL};

    d->barrier_wanted = false;
    e.blob = blob_new(BARRIER_BYTES);
    memset(e.blob->d, 0, BARRIER_BYTES);
    e.data = blob_bytes(e.blob);
    if (driver_append_own(d, &e, 1, &d->barrier_index) != 0) {
        driver_fail(d, "the accession barrier was refused");
    }
    entry_unref(&e);
}

/* The engine must hear of every applied CHANGE, or it stays CANTCHANGE and a
 * removed leader never steps down. */
static void confirm_change(struct driver *d, uint64_t index)
{
    uint64_t at;
    struct blob *conf = driver_conf_at(d, index, &at);
    struct raft_event ev;

    hf_assert(conf != NULL && at == index);
    memset(&ev, 0, sizeof ev);
    ev.type = RAFT_CONFIGURATION;
    ev.configuration.index = index;
    driver_engine_conf(d, conf, &ev.configuration.conf);
    (void)step_once(d, &ev, NULL);
}

static void apply_one(struct driver *d)
{
    uint64_t index = d->applied + 1;
    const struct entry *e = entry_cache_get(&d->log, index);
    uint8_t type;

    if (e == NULL || !entry_cache_has_payload(&d->log, index)) {
        driver_fail(d, "a committed entry is not in memory");
        return;
    }
    type = e->type;
    d->ops->apply(d->owner, index, e);
    d->applied = index;
    d->pending_bytes -= e->data.n;
    if (index == d->barrier_index && e->term == d->lead_term) {
        d->barrier_applied = true;
    }
    if (type == ENTRY_CHANGE) {
        confirm_change(d, index);
    }
}

static bool can_apply(const struct driver *d)
{
    return d->installing.index == 0 && d->applied < d->commit &&
           d->applied < driver_last(d);
}

/* Each entry costs something, however small. */
static uint64_t apply_cost(const struct driver *d)
{
    const struct entry *e = entry_cache_get(&d->log, d->applied + 1);

    return 128 + (e == NULL ? 0 : e->data.n);
}

static void settle(struct driver *d)
{
    bool more = true;

    while (more && !d->failed) {
        if (d->barrier_wanted) {
            submit_barrier(d);
        } else if (can_apply(d) && d->apply_left > 0) {
            uint64_t cost = apply_cost(d);

            d->apply_left -= cost < d->apply_left ? cost : d->apply_left;
            apply_one(d);
        } else {
            more = driver_transfer_try(d);
        }
    }
}

int driver_step(struct driver *d,
                struct raft_event *ev,
                const struct driver_source *src)
{
    int rv = step_once(d, ev, src);

    if (rv == 0) {
        settle(d);
    }
    return rv;
}

/* ---- leaving: timer and news ---- */

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* The engine's timeout may lie in the past for ever (a replicated member made
 * SPARE pins it there): then half a heartbeat after a timeout, else the loop
 * would spin. */
static uint64_t next_timeout(struct driver *d, bool was_timeout)
{
    uint64_t at = raft_timeout(&d->r);

    if (at <= d->now && !mutant(DRV_TIMER)) {
        at = d->now + (was_timeout ? (d->cfg.heartbeat_ms + 1) / 2 : 1);
    }
    if (can_apply(d)) {
        at = d->now;
    }
    if (d->transfer_to != 0) {
        at = min_u64(at, d->transfer_until);
    }
    if (d->early_at != 0) {
        at = min_u64(at, d->early_at);
    }
    if (raft_state(&d->r) == RAFT_FOLLOWER) {
        at = min_u64(at, d->now + d->cfg.heartbeat_ms); /* to notice a sleep */
    }
    if (d->probe.active) {
        at = min_u64(at, d->probe.resend_at);
    }
    return at;
}

static void tell_state(struct driver *d)
{
    int role = (int)driver_role(d);
    uint64_t term = driver_term(d);
    uint64_t leader = driver_leader(d);
    bool ready = driver_ready(d);

    if (role == d->told_role && term == d->told_term &&
        leader == d->told_leader && ready == d->told_ready) {
        return;
    }
    d->told_role = role;
    d->told_term = term;
    d->told_leader = leader;
    d->told_ready = ready;
    d->ops->state(d->owner);
}

static void tell_config(struct driver *d)
{
    uint64_t index = driver_conf_index(d);
    uint64_t term = driver_term_of(d, index);

    if (index == d->told_conf_index &&
        (term == d->told_conf_term || term == 0)) {
        return;
    }
    d->told_conf_index = index;
    d->told_conf_term = term;
    d->ops->config(d->owner);
}

static void evict(struct driver *d)
{
    uint64_t upto = min_u64(d->applied, d->durable);

    if (mutant(DRV_EVICT)) {
        upto = driver_last(d);
    }
    entry_cache_evict(&d->log, upto, d->cfg.cache_bytes);
}

void driver_leave(struct driver *d, bool was_timeout)
{
    if (!d->failed) {
        driver_probe_check(d);
        evict(d);
        d->timer_at = next_timeout(d, was_timeout);
        d->ops->timer(d->owner, d->timer_at);
        tell_state(d);
        tell_config(d);
    }
    d->inside = false;
}

/* ---- lifecycle ---- */

void driver_config_default(struct driver_config *c)
{
    memset(c, 0, sizeof *c);
    c->election_ms = LIM_ELECTION_MS;
    c->heartbeat_ms = LIM_HEARTBEAT_MS;
    c->install_ms = 1000;
    c->catch_up_ms = 60000;
    c->max_inflight = 4096;
    c->message_bytes = 1 << 20;
    c->cache_bytes = 32 << 20;
    c->pending_entries = 16384;
    c->pending_bytes = 256 << 20;
    c->pre_vote = true;
}

void driver_init(struct driver *d,
                 uint64_t id,
                 const struct driver_ops *ops,
                 void *owner,
                 const struct driver_config *c)
{
    int rv;

    hf_assert(id != 0);
    /* raft_init() without an io backend leaves fields as they are. */
    memset(d, 0, sizeof *d);
    d->id = id;
    d->ops = ops;
    d->owner = owner;
    d->cfg = *c;
    conf_name(id, d->name);
    rv = raft_init(&d->r, NULL, NULL, id, d->name);
    hf_assert(rv == 0);
    raft_seed(&d->r, c->seed);
    d->r.tracer = NULL;
    raft_set_capacity_threshold(&d->r, 0);
    raft_set_election_timeout(&d->r, c->election_ms);
    raft_set_heartbeat_timeout(&d->r, c->heartbeat_ms);
    raft_set_install_snapshot_timeout(&d->r, c->install_ms);
    raft_set_max_catch_up_round_duration(&d->r, c->catch_up_ms);
    raft_set_max_inflight_entries(&d->r, c->max_inflight);
    raft_set_pre_vote(&d->r, c->pre_vote && !mutant(DRV_PREVOTE_OFF));
    pace_init(&d->hears, c->election_ms, c->election_ms * DRIVER_PATIENCE_MAX);
    pace_init(&d->heard, c->election_ms * DRIVER_QUORUM_TIMES,
              c->election_ms * DRIVER_QUORUM_TIMES * DRIVER_PATIENCE_MAX);
    entry_cache_init(&d->log, 1);
}

void driver_release(struct driver *d)
{
    raft_close(&d->r, NULL); /* synchronous; calls nothing back */
    entry_cache_release(&d->log);
    changes_truncate(d, 0);
    free(d->changes);
    for (unsigned i = 0; mutant(DRV_WGEN) && i < d->writes_n; i++) {
        free(write_at(d, i)->terms);
    }
    free(d->writes);
    snap_meta_release(&d->snap);
    snap_meta_release(&d->installing);
    memset(d, 0, sizeof *d);
}

void driver_bootstrap_entry(const struct conf *c, struct entry *out)
{
    *out = (struct entry){1, ENTRY_CHANGE, {NULL, 0}, NULL};
    out->blob = conf_encode(c);
    out->data = blob_bytes(out->blob);
}

static bool change_is_sane(const struct entry *e)
{
    struct conf c;

    return e->type != ENTRY_CHANGE ||
           (e->blob != NULL && conf_decode(e->data, &c) == 0);
}

/* The engine trusts what it is started with, and dies of some of it. */
static bool start_is_sane(uint64_t term,
                          const struct snap_meta *snap,
                          uint64_t first,
                          const struct entry *e,
                          unsigned n)
{
    uint64_t t = 1;
    struct conf c;

    if (snap != NULL &&
        (snap->term == 0 || snap->term > term || snap->conf == NULL ||
         conf_decode(blob_bytes(snap->conf), &c) != 0)) {
        return false;
    }
    if (snap == NULL && n > 0 &&
        (first != 1 || e[0].type != ENTRY_CHANGE || e[0].term != 1)) {
        return false;
    }
    for (unsigned i = 0; i < n; i++) {
        if (e[i].term < t || e[i].term > term || e[i].type < ENTRY_COMMAND ||
            e[i].type > ENTRY_CHANGE || !change_is_sane(&e[i])) {
            return false;
        }
        t = e[i].term;
    }
    return true;
}

/* A log that neither contains the snapshot's last entry nor begins right
 * after it was left behind by a crash during an install. Loaded, it would
 * join entries of two histories. */
static bool log_is_useless(const struct snap_meta *s,
                           uint64_t first,
                           const struct entry *e,
                           unsigned n)
{
    if (mutant(DRV_DISCARD) && n > 0) {
        return false;
    }
    if (first == s->index + 1) {
        return false;
    }
    return n == 0 || first > s->index || s->index - first >= n ||
           e[s->index - first].term != s->term;
}

/* A lone voter needs nobody's vote, so the engine lets it lead again in the
 * term it led before a crash: two entries with one (index, term) when the
 * first was sent but not yet durable here. */
static void raise_lone_term(struct driver *d, uint64_t *term, uint64_t *vote)
{
    uint64_t at;
    struct blob *b = driver_conf_at(d, UINT64_MAX, &at);
    struct conf c;

    if (b == NULL || *term == 0 || mutant(DRV_LONELOAD) ||
        conf_decode(blob_bytes(b), &c) != 0 || !conf_is_lone(&c, d->id)) {
        return;
    }
    *term += 1;
    *vote = d->id;
    d->ops->persist_vote(d->owner, *term, *vote);
    d->lone_term = *term;
}

static void step_start(struct driver *d,
                       uint64_t term,
                       uint64_t vote,
                       const struct entry *e,
                       unsigned n)
{
    struct raft_snapshot_metadata md;
    struct raft_entry *re = NULL;
    void *token = NULL;
    struct raft_event ev;

    memset(&ev, 0, sizeof ev);
    ev.type = RAFT_START;
    if (d->snap.index != 0) {
        md.index = d->snap.index;
        md.term = d->snap.term;
        md.configuration_index = d->snap.conf_index;
        driver_engine_conf(d, d->snap.conf, &md.configuration);
        ev.start.metadata = &md;
    }
    if (n > 0) {
        re = raft_calloc(n, sizeof *re);
        token = raft_malloc(1);
        hf_assert(re != NULL && token != NULL);
    }
    for (unsigned i = 0; i < n; i++) {
        re[i].term = e[i].term;
        re[i].type = (enum raft_entry_type)e[i].type;
        re[i].buf.base = (void *)(uintptr_t)e[i].data.p;
        re[i].buf.len = e[i].data.n;
        re[i].batch = token;
    }
    ev.start.term = term;
    ev.start.voted_for = vote;
    ev.start.start_index = d->log.first;
    ev.start.entries = re;
    ev.start.n_entries = n;
    if (driver_step(d, &ev, NULL) == 0) {
        raft_free(token); /* on error the engine has freed both */
        raft_free(re);
    }
}

int driver_start(struct driver *d,
                 uint64_t now_ms,
                 uint64_t term,
                 uint64_t vote,
                 const struct snap_meta *snap,
                 uint64_t first,
                 const struct entry *e,
                 unsigned n)
{
    if (snap != NULL && snap->index == 0) {
        snap = NULL;
    }
    if (!driver_enter(d, now_ms) || !start_is_sane(term, snap, first, e, n)) {
        d->inside = false;
        return HF_ECORRUPT;
    }
    d->contact = d->now;
    if (snap == NULL && n == 0) {
        first = 1;
    } else if (snap != NULL) {
        if (log_is_useless(snap, first, e, n)) {
            n = 0;
            first = snap->index + 1;
        }
        snap_meta_set(&d->snap, snap);
        d->applied = snap->index;
        d->commit = snap->index;
    }
    entry_cache_reset(&d->log, first);
    for (unsigned i = 0; i < n; i++) {
        log_push(d, &e[i]);
    }
    driver_forget_changes(d, d->snap.index);
    d->durable = driver_last(d);
    raise_lone_term(d, &term, &vote);
    step_start(d, term, vote, e, n);
    driver_leave(d, false);
    return 0;
}

/* ---- time ---- */

/* The same hazard as raise_lone_term() while running: a term that another
 * leader of ours may have used must not be led by self-election. A vote
 * request from ourselves in the next term makes that term durable first. */
static void raise_lone_term_running(struct driver *d)
{
    struct raft_message m;
    struct raft_event ev;
    uint64_t last = driver_last(d);

    if (mutant(DRV_LONERUN) || raft_state(&d->r) != RAFT_FOLLOWER ||
        d->lone_term == raft_current_term(&d->r) || d->installing.index != 0 ||
        d->durable != last || !driver_is_lone_voter(d)) {
        return;
    }
    memset(&m, 0, sizeof m);
    m.type = RAFT_REQUEST_VOTE;
    m.server_id = d->id;
    m.server_address = d->name;
    m.request_vote.version = 2;
    m.request_vote.term = raft_current_term(&d->r) + 1;
    m.request_vote.candidate_id = d->id;
    m.request_vote.disrupt_leader = true;
    m.request_vote.last_log_index = last;
    m.request_vote.last_log_term = last == 0 ? 0 : driver_term_of(d, last);
    memset(&ev, 0, sizeof ev);
    ev.type = RAFT_RECEIVE;
    ev.receive.message = &m;
    (void)driver_step(d, &ev, NULL);
    d->lone_term = raft_current_term(&d->r);
}

/* The engine's candidate never goes back to asking (pre-vote) and, once told
 * to stand by a transfer, deposes leaders with every retry: a server removed
 * meanwhile would do so for ever. */
static void calm_candidate(struct driver *d)
{
    if (raft_state(&d->r) == RAFT_CANDIDATE && !mutant(DRV_DISRUPT)) {
        d->r.candidate_state.in_pre_vote = d->r.pre_vote;
        d->r.candidate_state.disrupt_leader = false;
    }
}

void driver_note_contact(struct driver *d, uint64_t from)
{
    uint64_t silence = d->now - d->contact;

    if (driver_leader(d) != 0 && silence > d->silence_max) {
        d->silence_max = silence;
    }
    if (d->contact_of == from) {
        pace_note(&d->hears, d->now, awake(d) - d->contact_awake);
    }
    d->contact = d->now;
    d->contact_awake = awake(d);
    d->contact_of = from;
    d->hastened = 0;
    if (!mutant(DRV_LOSTKEPT)) {
        d->lost = 0;
        d->early_at = 0;
    }
}

/* A leader that was given up speaks again: it was not dead, the wire is bad,
 * and the election was for nothing. */
void driver_note_false_alarm(struct driver *d, uint64_t from)
{
    if (d->contact_of == from && !mutant(DRV_FALSEALARM)) {
        pace_note(&d->hears, d->now, awake(d) - d->contact_awake);
        d->contact_of = 0;
    }
}

/* When did this leader last have answers of a majority, itself included? 0:
 * never yet. */
static uint64_t majority_awake(const struct driver *d, unsigned voters)
{
    uint64_t best = 0;

    for (unsigned i = 0; i < LIM_NODES; i++) {
        unsigned as_late = 0;

        for (unsigned k = 0; k < LIM_NODES; k++) {
            as_late += d->answers[k].id != 0 &&
                       d->answers[k].awake >= d->answers[i].awake;
        }
        if (d->answers[i].id != 0 && as_late >= voters / 2 &&
            d->answers[i].awake > best) {
            best = d->answers[i].awake;
        }
    }
    return best;
}

void driver_note_answer(struct driver *d, uint64_t from)
{
    struct driver_answer *a = NULL;
    unsigned voters = 0;
    bool voter = false;
    uint64_t before;

    for (unsigned i = 0; i < d->r.configuration.n; i++) {
        const struct raft_server *s = &d->r.configuration.servers[i];

        voters += s->role == RAFT_VOTER;
        voter |= s->role == RAFT_VOTER && s->id == from;
    }
    if (d->answers_term != raft_current_term(&d->r) || !voter) {
        return;
    }
    for (unsigned i = 0; i < LIM_NODES && a == NULL; i++) {
        if (d->answers[i].id == from || d->answers[i].id == 0) {
            a = &d->answers[i];
        }
    }
    if (a == NULL) {
        return; /* members came and went: without a place it does not count */
    }
    before = majority_awake(d, voters);
    *a = (struct driver_answer){from, awake(d)};
    if (before != 0 && !mutant(DRV_QUORUMPACE)) {
        pace_note(&d->heard, d->now, awake(d) - before);
    }
}

/* This node's place among the voters that may follow @leader; LIM_NODES: it
 * is none of them. */
static unsigned heir_rank(struct driver *d, uint64_t leader)
{
    unsigned rank = 0;
    bool voter = false;

    for (unsigned i = 0; i < d->r.configuration.n; i++) {
        const struct raft_server *s = &d->r.configuration.servers[i];

        voter |= s->id == d->id && s->role == RAFT_VOTER;
        rank += s->role == RAFT_VOTER && s->id < d->id && s->id != leader;
    }
    return voter ? rank : LIM_NODES;
}

/* The leader's process has ended, so its election timeout is over now. One
 * after the other, so that they do not split the votes; with its log on disk,
 * else the engine does not stand and waits another timeout. */
static void stand_early(struct driver *d)
{
    if (d->early_at == 0 || d->now < d->early_at) {
        return;
    }
    d->early_at = 0;
    if (raft_state(&d->r) != RAFT_FOLLOWER || d->lost != driver_leader(d)) {
        return;
    }
    if (d->installing.index != 0 ||
        (d->durable != driver_last(d) && !mutant(DRV_EARLYLOG))) {
        d->early_at = d->now + DRIVER_EARLY_STEP_MS;
        return;
    }
    d->r.follower_state.randomized_election_timeout = 0;
    if (mutant(DRV_EARLYVOTE)) {
        d->r.pre_vote = false;
    }
}

void driver_peer_died(struct driver *d, uint64_t now_ms, uint64_t id)
{
    if (!driver_enter(d, now_ms)) {
        return;
    }
    if (mutant(DRV_LOSTANY)) {
        id = driver_leader(d);
    }
    if (id != 0 && raft_state(&d->r) == RAFT_FOLLOWER &&
        id == driver_leader(d) && d->lost != id) {
        unsigned rank = heir_rank(d, id);

        d->lost = id;
        if (rank < LIM_NODES) {
            d->early_at =
                d->now + DRIVER_EARLY_FIRST_MS + rank * DRIVER_EARLY_STEP_MS;
        }
    }
    driver_leave(d, false);
}

/* Mutant: as if every voter had answered just now. */
static void pretend_contact(struct driver *d)
{
    struct raft_event ev;

    for (unsigned i = 0;
         i < d->r.configuration.n && raft_state(&d->r) == RAFT_LEADER; i++) {
        raft_id id = d->r.configuration.servers[i].id;
        struct raft_message m;

        if (id == d->r.id) {
            continue;
        }
        memset(&m, 0, sizeof m);
        m.type = RAFT_APPEND_ENTRIES_RESULT;
        m.server_id = id;
        m.append_entries_result.term = raft_current_term(&d->r);
        m.append_entries_result.last_log_index = driver_match(d, id);
        memset(&ev, 0, sizeof ev);
        ev.type = RAFT_RECEIVE;
        ev.receive.message = &m;
        (void)driver_step(d, &ev, NULL);
    }
}

void driver_timeout(struct driver *d, uint64_t now_ms)
{
    struct raft_event ev;

    if (!driver_enter(d, now_ms)) {
        return;
    }
    stand_early(d);
    if (d->transfer_to != 0 && d->now >= d->transfer_until) {
        d->transfer_to = 0; /* the target is too far behind: go on here */
    }
    driver_probe_resend(d);
    if (mutant(DRV_NO_QUORUM)) {
        pretend_contact(d);
    }
    if (d->now >= raft_timeout(&d->r)) {
        raise_lone_term_running(d);
        calm_candidate(d);
        memset(&ev, 0, sizeof ev);
        ev.type = RAFT_TIMEOUT;
        (void)driver_step(d, &ev, NULL);
    } else {
        settle(d);
    }
    driver_leave(d, true);
}

/* ---- disk ---- */

static void step_persisted(struct driver *d, uint64_t last)
{
    struct raft_event ev;

    /* The engine believes whatever it is told here: a lower index would take
     * back an acknowledgement, a higher one acknowledge the future. */
    if (last < d->log.first || last <= d->durable || d->installing.index != 0) {
        return;
    }
    if (last > driver_last(d)) {
        driver_fail(d, "durable beyond the last entry");
        return;
    }
    d->durable = last;
    driver_release_held(d);
    memset(&ev, 0, sizeof ev);
    ev.type = RAFT_PERSISTED_ENTRIES;
    ev.persisted_entries.index = last;
    (void)driver_step(d, &ev, NULL);
}

void driver_appended(struct driver *d, uint64_t now_ms, uint64_t token)
{
    struct driver_write w;

    if (!driver_enter(d, now_ms)) {
        return;
    }
    if (d->writes_n == 0 || write_at(d, 0)->token != token) {
        driver_fail(d, "appends answered out of order");
    } else {
        w = *write_at(d, 0);
        d->writes_head = (d->writes_head + 1) % d->writes_cap;
        d->writes_n--;
        writes_match_terms(d, &w);
        if (w.last >= w.first) {
            step_persisted(d, w.last);
        }
    }
    driver_leave(d, false);
}

void driver_installed(struct driver *d, uint64_t now_ms)
{
    struct raft_event ev;
    struct raft_snapshot_metadata *md = &ev.persisted_snapshot.metadata;

    if (!driver_enter(d, now_ms)) {
        return;
    }
    hf_assert(d->installing.index != 0);
    snap_meta_set(&d->snap, &d->installing);
    snap_meta_release(&d->installing);
    d->applied = d->snap.index;
    if (d->commit < d->snap.index) {
        d->commit = d->snap.index;
    }
    d->durable = d->snap.index;
    memset(&ev, 0, sizeof ev);
    ev.type = RAFT_PERSISTED_SNAPSHOT;
    md->index = d->snap.index;
    md->term = d->snap.term;
    md->configuration_index = d->snap.conf_index;
    driver_engine_conf(d, d->snap.conf, &md->configuration);
    ev.persisted_snapshot.last = true;
    (void)driver_step(d, &ev, NULL);
    driver_leave(d, false);
}

/* ---- accessors ---- */

bool driver_ready(struct driver *d)
{
    return raft_state(&d->r) == RAFT_LEADER && d->barrier_applied &&
           d->transfer_to == 0 && raft_transferee(&d->r) == 0;
}

enum driver_role driver_role(struct driver *d)
{
    switch (raft_state(&d->r)) {
        case RAFT_LEADER:
            return DRIVER_LEADER;
        case RAFT_CANDIDATE:
            return DRIVER_CANDIDATE;
        default:
            return DRIVER_FOLLOWER;
    }
}

uint64_t driver_leader(struct driver *d)
{
    raft_id id = 0;
    const char *address;

    raft_leader(&d->r, &id, &address);
    return id;
}

uint64_t driver_match(struct driver *d, uint64_t id)
{
    raft_index match = 0;

    if (raft_state(&d->r) != RAFT_LEADER ||
        raft_match_index(&d->r, id, &match) != 0) {
        return 0;
    }
    return match;
}

uint64_t driver_term_of(const struct driver *d, uint64_t index)
{
    const struct entry *e = entry_cache_get(&d->log, index);

    if (e != NULL) {
        return e->term;
    }
    return index == d->snap.index ? d->snap.term : 0;
}

void driver_members(const struct driver *d, struct conf *out)
{
    driver_conf_of_engine(&d->r.configuration, out);
}

uint64_t driver_conf_index(const struct driver *d)
{
    uint64_t index;

    (void)driver_conf_at(d, UINT64_MAX, &index);
    return index;
}

bool driver_change_pending(const struct driver *d)
{
    return d->r.configuration_uncommitted_index != 0;
}

uint64_t driver_term(struct driver *d)
{
    return raft_current_term(&d->r);
}

uint64_t driver_first(const struct driver *d)
{
    return d->log.first;
}

uint64_t driver_last(const struct driver *d)
{
    return entry_cache_last(&d->log);
}

uint64_t driver_commit(const struct driver *d)
{
    return d->commit;
}

uint64_t driver_applied(const struct driver *d)
{
    return d->applied;
}

uint64_t driver_durable(const struct driver *d)
{
    return d->durable;
}

bool driver_installing(const struct driver *d)
{
    return d->installing.index != 0;
}

bool driver_probing(const struct driver *d)
{
    return d->probe.active;
}

uint64_t driver_cache_bytes(const struct driver *d)
{
    return d->log.bytes;
}

uint64_t driver_pending_bytes(const struct driver *d)
{
    return d->pending_bytes;
}

const struct snap_meta *driver_snapshot(const struct driver *d)
{
    return &d->snap;
}
