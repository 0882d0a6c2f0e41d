/* What the owner asks for: submits, membership, transfer, snapshots, read
 * rounds. Every gate is here. */
#include "base/assert.h"
#include "base/err.h"
#include "base/mutant.h"
#include "raftio/driver_int.h"

/* ---- submits ---- */

static bool over_limit(const struct driver *d,
                       const struct entry *e,
                       unsigned n)
{
    uint64_t bytes = d->pending_bytes;

    for (unsigned i = 0; i < n; i++) {
        bytes += e[i].data.n;
    }
    return driver_last(d) - d->applied + n > d->cfg.pending_entries ||
           (bytes > d->cfg.pending_bytes && d->pending_bytes > 0) ||
           d->writes_n >= DRIVER_WRITES_MAX;
}

static int submit(struct driver *d,
                  const struct entry *e,
                  unsigned n,
                  uint64_t *first_index)
{
    struct entry own[DRIVER_SUBMIT_MAX];

    if (raft_state(&d->r) != RAFT_LEADER) {
        return HF_ENOLEADER;
    }
    if (d->transfer_to != 0 || raft_transferee(&d->r) != 0) {
        return HF_EAGAIN;
    }
    if (over_limit(d, e, n) && !mutant(DRV_PENDING)) {
        return HF_ELIMIT; /* the engine itself takes any number */
    }
    for (unsigned i = 0; i < n; i++) {
        hf_assert(e[i].blob != NULL || e[i].data.n == 0);
        own[i] = e[i];
        own[i].type = ENTRY_COMMAND;
    }
    return driver_append_own(d, own, n, first_index) == 0 ? 0 : HF_EAGAIN;
}

int driver_submit(struct driver *d,
                  uint64_t now_ms,
                  const struct entry *e,
                  unsigned n,
                  uint64_t *first_index)
{
    int rv;

    hf_assert(n > 0 && n <= DRIVER_SUBMIT_MAX);
    if (!driver_enter(d, now_ms)) {
        return HF_ENOLEADER;
    }
    rv = submit(d, e, n, first_index);
    driver_leave(d, false);
    return rv;
}

/* ---- membership ---- */

/* One change at a time, and only by a leader that has committed in its own
 * term: otherwise two configurations without a common majority can both
 * decide. */
static int change_gate(struct driver *d)
{
    if (raft_state(&d->r) != RAFT_LEADER) {
        return HF_ENOLEADER;
    }
    if ((!driver_ready(d) && !mutant(DRV_GATE)) ||
        d->r.leader_state.promotee_id != 0 || driver_change_pending(d)) {
        return HF_EAGAIN;
    }
    return d->changes_n >= DRIVER_CHANGES_MAX ? HF_ELIMIT : 0;
}

/* Edit one member in place: the engine pairs its progress records with the
 * order of the list. */
static int conf_edit(struct conf *c, uint64_t id, int role)
{
    unsigned i = 0;

    while (i < c->n && c->m[i].id != id) {
        i++;
    }
    if (i == c->n) {
        if (role == CONF_NONE) {
            return HF_ENOENT;
        }
        if (role != CONF_SPARE || id == 0) {
            return HF_EINVAL;
        }
        if (c->n == LIM_NODES) {
            return HF_ELIMIT;
        }
        c->m[c->n++] = (struct conf_member){id, role};
        return 0;
    }
    if (role == CONF_NONE) {
        c->n--;
        memmove(&c->m[i], &c->m[i + 1], (c->n - i) * sizeof c->m[0]);
        return 0;
    }
    if (c->m[i].role == role) {
        return HF_EEXIST;
    }
    c->m[i].role = role;
    if (mutant(DRV_ORDER)) {
        struct conf_member first = c->m[0];

        c->m[0] = c->m[i];
        c->m[i] = first;
    }
    return 0;
}

/* Of two voters only the one that stays may remove the other. Removing
 * oneself leaves a survivor that elects itself in our term, or one that may
 * not lead but has the longest log. */
static bool leaves_a_lone_other(const struct driver *d, const struct conf *c)
{
    return conf_voters(c) == 1 && !conf_is_lone(c, d->id) &&
           !mutant(DRV_LONESHRINK);
}

static int change(struct driver *d, uint64_t id, int role)
{
    struct entry e = {0, ENTRY_CHANGE, {NULL, 0}, NULL};
    struct conf c;
    uint64_t index;
    int rv = change_gate(d);

    if (rv != 0) {
        return rv;
    }
    driver_members(d, &c);
    rv = conf_edit(&c, id, role);
    if (rv != 0) {
        return rv;
    }
    if (conf_voters(&c) == 0 || leaves_a_lone_other(d, &c)) {
        return HF_EINVAL;
    }
    e.blob = conf_encode(&c);
    e.data = blob_bytes(e.blob);
    /* Alone in its submit: the engine would keep entries before a refused
     * CHANGE in its trail. */
    rv = driver_append_own(d, &e, 1, &index) == 0 ? 0 : HF_EAGAIN;
    entry_unref(&e);
    return rv;
}

int driver_change(struct driver *d, uint64_t now_ms, uint64_t id, int role)
{
    int rv;

    hf_assert(role >= CONF_NONE && role <= CONF_SPARE);
    if (!driver_enter(d, now_ms)) {
        return HF_ENOLEADER;
    }
    rv = change(d, id, role);
    driver_leave(d, false);
    return rv;
}

static int catch_up(struct driver *d, uint64_t id)
{
    const struct conf_member stranger = {id, CONF_SPARE};
    const struct conf_member *m;
    struct raft_event ev;
    struct conf c;
    int rv = change_gate(d);

    if (rv != 0) {
        return rv;
    }
    driver_members(d, &c);
    m = conf_find(&c, id);
    if (m == NULL && mutant(DRV_CATCHUP)) {
        m = &stranger;
    }
    if (m == NULL) {
        return HF_ENOENT; /* the engine would follow a null pointer */
    }
    if (m->role == CONF_VOTER) {
        return HF_EEXIST;
    }
    memset(&ev, 0, sizeof ev);
    ev.type = RAFT_CATCH_UP;
    ev.catch_up.server_id = id;
    (void)driver_step(d, &ev, NULL);
    return 0;
}

int driver_catch_up(struct driver *d, uint64_t now_ms, uint64_t id)
{
    int rv;

    if (!driver_enter(d, now_ms)) {
        return HF_ENOLEADER;
    }
    rv = catch_up(d, id);
    driver_leave(d, false);
    return rv;
}

enum driver_catch_up_status driver_catch_up_status(struct driver *d,
                                                   uint64_t id)
{
    struct conf c;
    int status = RAFT_CATCH_UP_NONE;

    driver_members(d, &c);
    if (raft_state(&d->r) != RAFT_LEADER || conf_find(&c, id) == NULL ||
        raft_catch_up(&d->r, id, &status) != 0) {
        return DRIVER_CATCH_UP_NONE;
    }
    switch (status) {
        case RAFT_CATCH_UP_RUNNING:
            return DRIVER_CATCH_UP_RUNNING;
        case RAFT_CATCH_UP_ABORTED:
            return DRIVER_CATCH_UP_ABORTED;
        case RAFT_CATCH_UP_FINISHED:
            return DRIVER_CATCH_UP_FINISHED;
        default:
            return DRIVER_CATCH_UP_NONE;
    }
}

/* ---- transfer of leadership ---- */

static int transfer(struct driver *d, uint64_t id)
{
    const struct conf_member *m;
    struct conf c;

    if (raft_state(&d->r) != RAFT_LEADER) {
        return HF_ENOLEADER;
    }
    if (d->transfer_to != 0 || raft_transferee(&d->r) != 0) {
        return HF_EBUSY;
    }
    driver_members(d, &c);
    m = conf_find(&c, id);
    if (id == d->id || m == NULL || m->role != CONF_VOTER) {
        return HF_ENOENT;
    }
    d->transfer_to = id;
    d->transfer_until = d->now + d->cfg.election_ms;
    (void)driver_transfer_try(d);
    return 0;
}

int driver_transfer(struct driver *d, uint64_t now_ms, uint64_t id)
{
    int rv;

    if (!driver_enter(d, now_ms)) {
        return HF_ENOLEADER;
    }
    rv = transfer(d, id);
    driver_leave(d, false);
    return rv;
}

/* The engine would tell a target that is behind, which ignores it, and then
 * refuse writes for an election timeout. So it is asked only when the target
 * has everything; submits have stopped, so that moment comes. */
bool driver_transfer_try(struct driver *d)
{
    uint64_t id = d->transfer_to;
    struct raft_event ev;

    if (id == 0 || raft_state(&d->r) != RAFT_LEADER) {
        return false;
    }
    if (driver_match(d, id) != driver_last(d) && !mutant(DRV_TRANSFER)) {
        return false;
    }
    d->transfer_to = 0;
    memset(&ev, 0, sizeof ev);
    ev.type = RAFT_TRANSFER;
    ev.transfer.server_id = id;
    (void)driver_step(d, &ev, NULL);
    return true;
}

/* ---- snapshots of our own ---- */

int driver_snapshot_meta(struct driver *d, struct snap_meta *m)
{
    struct snap_meta s = {d->applied, driver_term_of(d, d->applied), 0, NULL};
    struct blob *conf;

    if (d->failed || d->installing.index != 0 || s.index <= d->snap.index) {
        return HF_EAGAIN;
    }
    /* E8. A leader compacted at index 1 sends a blank joiner empty messages
     * for ever. */
    if (s.index < 2 && !mutant(DRV_SNAPONE)) {
        return HF_EAGAIN;
    }
    /* Otherwise a crash leaves a log that ends before its snapshot. */
    if (s.index > d->durable && !mutant(DRV_SNAPDUR)) {
        return HF_EAGAIN;
    }
    /* From our own list: the engine's committed configuration can be newer
     * than this index after a restart, and older after batched receipt. */
    conf = driver_conf_at(d, s.index, &s.conf_index);
    if (conf == NULL || s.term == 0) {
        return HF_EAGAIN;
    }
    s.conf = blob_ref(conf);
    if (mutant(DRV_CONF) && d->r.configuration_committed.n > 0) {
        struct conf c;

        blob_unref(s.conf);
        driver_conf_of_engine(&d->r.configuration_committed, &c);
        s.conf = conf_encode(&c);
        s.conf_index = d->r.configuration_committed_index;
    }
    *m = s;
    return 0;
}

static void step_snapshot(struct driver *d, uint64_t trailing)
{
    struct raft_event ev;
    struct raft_snapshot_metadata *md = &ev.snapshot.metadata;

    memset(&ev, 0, sizeof ev);
    ev.type = RAFT_SNAPSHOT;
    ev.snapshot.trailing = (unsigned)trailing;
    md->index = d->snap.index;
    md->term = d->snap.term;
    md->configuration_index = d->snap.conf_index;
    driver_engine_conf(d, d->snap.conf, &md->configuration);
    (void)driver_step(d, &ev, NULL);
}

int driver_snapshot_done(struct driver *d,
                         uint64_t now_ms,
                         const struct snap_meta *m,
                         uint64_t trailing)
{
    int rv = 0;

    if (!driver_enter(d, now_ms)) {
        return HF_EAGAIN;
    }
    if (trailing > UINT32_MAX) {
        trailing = UINT32_MAX;
    }
    /* Overtaken by an install: the engine would record term 0 for it. */
    if ((d->installing.index != 0 || m->index <= d->snap.index) &&
        !mutant(DRV_SNAPEV)) {
        rv = HF_EAGAIN;
    } else {
        snap_meta_set(&d->snap, m);
        /* Exactly what the engine drops from its trail. */
        if (m->index > trailing && m->index - trailing >= d->log.first) {
            entry_cache_trim(&d->log, m->index - trailing);
        }
        driver_forget_changes(d, m->index);
        step_snapshot(d, trailing);
    }
    driver_leave(d, false);
    return rv;
}

/* ---- read rounds ---- */

static void probe_begin(struct driver *d)
{
    struct driver_probe *p = &d->probe;

    p->attempt++;
    p->term = raft_current_term(&d->r);
    p->index = d->commit;
    p->conf_index = driver_conf_index(d);
    p->n_acks = 0;
    driver_probe_send(d);
}

int driver_probe(struct driver *d, uint64_t now_ms, uint64_t round)
{
    int rv = 0;

    if (!driver_enter(d, now_ms)) {
        return HF_ENOLEADER;
    }
    if (raft_state(&d->r) != RAFT_LEADER) {
        rv = HF_ENOLEADER;
    } else if (!d->barrier_applied) {
        rv = HF_EAGAIN; /* our commit index may lack acknowledged entries */
    } else if (d->probe.active) {
        rv = HF_EBUSY;
    } else {
        d->probe.active = true;
        d->probe.round = round;
        probe_begin(d);
    }
    driver_leave(d, false);
    return rv;
}

static void probe_end(struct driver *d, bool ok)
{
    d->probe.active = false;
    d->ops->probe_done(d->owner, d->probe.round, ok, ok ? d->probe.index : 0);
}

void driver_probe_fail(struct driver *d)
{
    if (d->probe.active) {
        probe_end(d, false);
    }
}

static bool probe_has_majority(const struct driver *d)
{
    const struct driver_probe *p = &d->probe;
    unsigned acks = 0;
    struct conf c;

    driver_members(d, &c);
    for (unsigned i = 0; i < c.n; i++) {
        bool yes = c.m[i].id == d->id;

        for (unsigned k = 0; k < p->n_acks; k++) {
            yes = yes || p->acks[k] == c.m[i].id;
        }
        acks += c.m[i].role == CONF_VOTER && yes;
    }
    return acks > conf_voters(&c) / 2;
}

void driver_probe_check(struct driver *d)
{
    struct driver_probe *p = &d->probe;

    if (!p->active) {
        return;
    }
    if (raft_state(&d->r) != RAFT_LEADER ||
        raft_current_term(&d->r) != p->term) {
        driver_probe_fail(d);
        return;
    }
    /* Answers of the old voters prove nothing about the new ones. */
    if (driver_conf_index(d) != p->conf_index && !mutant(DRV_PROBECONF)) {
        probe_begin(d);
    }
    if (probe_has_majority(d)) {
        probe_end(d, true);
    }
}

/* A lost probe or answer must not stop reads. */
void driver_probe_resend(struct driver *d)
{
    if (d->probe.active && d->now >= d->probe.resend_at) {
        driver_probe_send(d);
    }
}
