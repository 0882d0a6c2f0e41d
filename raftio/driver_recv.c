/* What arrives from peers: nothing reaches the engine that was not checked
 * here, in this order:
 *   who sent it, enums and ranges of every field
 *   a conflict with an applied entry      stop
 *   a second leader in our term           drop
 *   vote results nobody asked for         drop
 *   an install during an install          drop
 *   the engine's known bugs, each in a function of its own below. */
#include "base/assert.h"
#include "base/mutant.h"
#include "raftio/driver_int.h"

/* Above any index or term ever reached; keeps sums from wrapping. */
#define INDEX_MAX ((uint64_t)1 << 60)

/* One received message on its way into the engine. */
struct incoming {
    uint64_t from;
    char name[CONF_NAME_MAX];
    bool stale;
    struct raft_message rm;
    struct raft_event ev;
};

static void incoming_init(struct incoming *in,
                          struct driver *d,
                          uint64_t from,
                          const struct raft_msg *m)
{
    memset(in, 0, sizeof *in);
    in->from = from;
    conf_name(from, in->name);
    in->stale = m->term < raft_current_term(&d->r);
    in->rm.type = (enum raft_message_type)m->kind;
    in->rm.server_id = from;
    in->rm.server_address = in->name;
    in->ev.type = RAFT_RECEIVE;
    in->ev.receive.message = &in->rm;
}

static void incoming_step(struct incoming *in, struct driver *d)
{
    struct driver_source src = {NULL, 0, 0, in->stale};

    (void)driver_step(d, &in->ev, &src);
}

/* ---- AppendEntries: is it possible at all? ---- */

static bool position_is_sane(uint64_t index, uint64_t term)
{
    return (index == 0) == (term == 0) && index < INDEX_MAX && term < INDEX_MAX;
}

static bool append_is_sane(const struct raft_msg *m)
{
    uint64_t term = m->append.prev_term;
    struct conf c;

    if (mutant(DRV_SANE)) {
        return true;
    }
    if (!position_is_sane(m->append.prev_index, term) || term > m->term ||
        m->append.commit >= INDEX_MAX) {
        return false;
    }
    for (unsigned i = 0; i < m->n_entries; i++) {
        const struct entry *e = &m->entries[i];

        if (e->term == 0 || e->term < term || e->term > m->term ||
            e->type < ENTRY_COMMAND || e->type > ENTRY_CHANGE) {
            return false;
        }
        if (e->type == ENTRY_CHANGE &&
            (e->blob == NULL || e->data.p != e->blob->d ||
             conf_decode(e->data, &c) != 0)) {
            return false;
        }
        term = e->term;
    }
    return true;
}

/* An applied entry cannot be replaced: somebody has lost what it promised. */
static bool append_conflicts(const struct driver *d, const struct raft_msg *m)
{
    uint64_t index = m->append.prev_index + 1;

    for (unsigned i = 0; i < m->n_entries; i++, index++) {
        uint64_t own = driver_term_of(d, index);

        if (own != 0 && own != m->entries[i].term && index <= d->applied) {
            return !mutant(DRV_APPLIED);
        }
    }
    return false;
}

/* ---- AppendEntries: the engine's bugs ---- */

/* The rest of a message while its pieces go in. */
struct append_rest {
    const struct raft_msg *m;
    uint64_t prev_index;
    uint64_t prev_term;
    unsigned done; /* entries */
};

/* E1. Asked to append from below its snapshot the engine takes entries that
 * it has compacted for new ones. Everything up to the snapshot is committed,
 * so it matches: begin there. */
static void anchor_at_snapshot(const struct driver *d, struct append_rest *r)
{
    uint64_t skip;

    if (r->prev_index >= d->snap.index || d->installing.index != 0 ||
        mutant(DRV_TRIMAE)) {
        return;
    }
    skip = d->snap.index - r->prev_index;
    r->done = skip < r->m->n_entries ? (unsigned)skip : r->m->n_entries;
    r->prev_index = d->snap.index;
    r->prev_term = d->snap.term;
}

/* The engine records every CHANGE at the index of its message's first entry,
 * so a CHANGE must be the first of its piece. */
static unsigned piece_length(const struct append_rest *r)
{
    unsigned left = r->m->n_entries - r->done;
    unsigned k = left > 0 ? 1 : 0;

    if (mutant(DRV_SPLIT)) {
        return left;
    }
    while (k < left && r->m->entries[r->done + k].type != ENTRY_CHANGE) {
        k++;
    }
    return k;
}

/* E3. A message that ends below our commit index but carries a higher one
 * would set the engine's commit index back to its end. */
static uint64_t cap_commit(struct driver *d, uint64_t end, uint64_t commit)
{
    uint64_t own = raft_commit_index(&d->r);

    if (end < own && commit > own && !mutant(DRV_COMMIT)) {
        return own;
    }
    return commit;
}

/* E6. A leader appends a second CHANGE only after the first is committed, but
 * the engine, rolling back the second, would return to the configuration
 * before the first. Tell it of the first one's commit in time. */
static void confirm_earlier_change(struct driver *d,
                                   const struct append_rest *r)
{
    uint64_t pending = d->r.configuration_uncommitted_index;
    struct raft_event ev;
    struct blob *conf;
    uint64_t at;

    if (r->done == r->m->n_entries ||
        r->m->entries[r->done].type != ENTRY_CHANGE ||
        r->m->term < raft_current_term(&d->r) ||
        raft_state(&d->r) != RAFT_FOLLOWER || pending == 0 ||
        pending > r->prev_index || d->installing.index != 0 ||
        driver_term_of(d, r->prev_index) != r->prev_term ||
        mutant(DRV_CONFSEQ)) {
        return;
    }
    conf = driver_conf_at(d, pending, &at);
    if (conf == NULL || at != pending) {
        return;
    }
    memset(&ev, 0, sizeof ev);
    ev.type = RAFT_CONFIGURATION;
    ev.configuration.index = pending;
    driver_engine_conf(d, conf, &ev.configuration.conf);
    (void)driver_step(d, &ev, NULL);
}

static struct raft_entry *engine_entries(const struct entry *e,
                                         unsigned n,
                                         void *token)
{
    struct raft_entry *re = raft_malloc(n * sizeof *re);

    hf_assert(re != NULL && token != NULL);
    for (unsigned i = 0; i < n; i++) {
        re[i].term = e[i].term;
        re[i].type = (enum raft_entry_type)e[i].type;
        re[i].buf.base = (void *)(uintptr_t)e[i].data.p;
        re[i].buf.len = e[i].data.n;
        re[i].batch = token;
    }
    return re;
}

/* The engine frees the token unless it takes entries, then it is handed back
 * in the update; the array is always ours. */
static void step_piece(struct driver *d,
                       struct incoming *in,
                       const struct append_rest *r,
                       unsigned k)
{
    /* NULL has no offsets, not even 0: a heartbeat has no entries. */
    const struct entry *e = k > 0 ? r->m->entries + r->done : NULL;
    struct driver_source src = {e, r->prev_index + 1, k, in->stale};
    struct raft_append_entries *a = &in->rm.append_entries;
    void *token = k > 0 ? raft_malloc(1) : NULL;
    uint64_t writes = d->token;
    int rv;

    a->version = r->m->version;
    a->term = r->m->term;
    a->prev_log_index = r->prev_index;
    a->prev_log_term = r->prev_term;
    a->leader_commit = cap_commit(d, r->prev_index + k, r->m->append.commit);
    a->n_entries = k;
    a->entries = k > 0 ? engine_entries(e, k, token) : NULL;
    in->ev.receive.message = &in->rm;
    rv = driver_step(d, &in->ev, &src);
    if (rv == 0 && d->token != writes) {
        raft_free(token);
    }
    raft_free(a->entries);
}

static void feed_pieces(struct driver *d,
                        struct incoming *in,
                        struct append_rest *r)
{
    do {
        unsigned k = piece_length(r);

        /* Our own disk is behind: take the heartbeat, not the entries. */
        if (k > 0 && d->writes_n >= DRIVER_WRITES_MAX) {
            k = 0;
            r->done = r->m->n_entries;
        }
        confirm_earlier_change(d, r);
        step_piece(d, in, r, k);
        if (in->stale || d->failed) {
            return;
        }
        if (k > 0) {
            r->prev_index += k;
            r->prev_term = r->m->entries[r->done + k - 1].term;
            r->done += k;
        }
        if (r->prev_index != 0 &&
            driver_term_of(d, r->prev_index) != r->prev_term) {
            return; /* rejected: so would be what follows */
        }
    } while (r->done < r->m->n_entries);
}

static void receive_append(struct driver *d,
                           uint64_t from,
                           const struct raft_msg *m)
{
    uint64_t term = raft_current_term(&d->r);
    struct append_rest r = {m, m->append.prev_index, m->append.prev_term, 0};
    struct incoming in;

    if (!append_is_sane(m)) {
        return;
    }
    if (m->term >= term && append_conflicts(d, m)) {
        driver_fail(d, "a leader contradicts an applied entry");
        return;
    }
    if (m->term == term && raft_state(&d->r) == RAFT_LEADER &&
        !mutant(DRV_SAMETERM)) {
        return;
    }
    incoming_init(&in, d, from, m);
    if (m->term >= term) {
        driver_note_contact(d, from);
        anchor_at_snapshot(d, &r);
    }
    if (m->term < term) {
        driver_note_false_alarm(d, from);
    }
    feed_pieces(d, &in, &r);
}

/* ---- results of AppendEntries ---- */

/* A success beyond our own log is rubbish from a stale request; believed, it
 * commits what only we have. */
static bool success_is_impossible(struct driver *d, const struct raft_msg *m)
{
    return m->append_result.rejected == 0 &&
           m->append_result.last_index > raft_last_index(&d->r) &&
           !mutant(DRV_LOGRANGE);
}

/* Not what was sent since the leader went back: that ends earlier, or is one
 * piece that begins and ends elsewhere. */
static bool rejected_before(const struct driver_back *b, uint64_t rejected)
{
    return (b->upto != 0 && rejected > b->upto) ||
           (b->window == 1 && rejected > b->prev && rejected < b->end);
}

/* E12. What the engine wants sent leaves in pieces, and when one is lost or
 * overtaken each of those behind it is rejected. The engine answers the first
 * rejection with everything unacknowledged, the next acknowledgement with all
 * of it once more, then takes the next old rejection for a new one: every
 * entry acknowledged may cost two windows. So what is sent after a rejection
 * is held to a window of its own (send_back()), and only these send the leader
 * back again: the answer to the first piece sent since, which leads further
 * back; one in this window once there was progress, or once a heartbeat has
 * passed. */
static bool may_go_back(struct driver *d, uint64_t from, uint64_t rejected)
{
    struct driver_back *b = driver_back_of(d, from);

    if (b == NULL || rejected == b->prev) {
        return true;
    }
    if (rejected_before(b, rejected) && !mutant(DRV_BACKTWICE)) {
        return false;
    }
    b->refused = true;
    return driver_match(d, from) > b->match ||
           d->now - b->at >= d->cfg.heartbeat_ms || mutant(DRV_BACKTWICE);
}

/* Back to what is not acknowledged. The engine believes that it has left
 * already; a rejection tells it otherwise. */
static void step_back(struct driver *d, struct incoming *in, unsigned window)
{
    struct raft_append_entries_result *a = &in->rm.append_entries_result;

    a->last_log_index = driver_match(d, in->from);
    a->rejected = a->last_log_index + 1;
    in->ev.receive.message = &in->rm;
    d->back_for = in->from;
    d->back_window = window;
    incoming_step(in, d);
    d->back_for = 0;
}

/* After progress: when all that was sent since the leader went back has
 * arrived, twice as much may follow; when some of it was rejected, half. */
static void adjust_back(struct driver *d, struct incoming *in)
{
    struct driver_back *b = driver_back_of(d, in->from);
    uint64_t match = driver_match(d, in->from);

    if (b == NULL || match <= b->match || d->failed ||
        raft_state(&d->r) != RAFT_LEADER) {
        return;
    }
    if (b->upto != 0 && match >= b->upto) {
        b->upto = 0;
        if (match < driver_last(d)) {
            step_back(d, in, b->window * 2);
        }
    } else if (b->refused) {
        b->refused = false;
        step_back(d, in, (b->window + 1) / 2);
    }
}

/* What a rejection by @from may tell the engine. False: nothing. */
static bool sift_rejection(struct driver *d,
                           uint64_t from,
                           struct raft_append_entries_result *a)
{
    uint64_t match = driver_match(d, from);

    /* E2. A rejection below what the follower has acknowledged is late.
     * Obeyed, it sets next below match and wraps the count of entries in
     * flight: that follower never gets an entry again. */
    if (!mutant(DRV_STALEREJ)) {
        if (a->rejected <= match) {
            return false;
        }
        if (a->last_log_index < match) {
            a->last_log_index = match;
        }
    }
    if (may_go_back(d, from, a->rejected)) {
        d->back_for = from;
        d->back_window = 1;
    } else {
        a->rejected = 0; /* only that it is alive, which it is */
        a->last_log_index = match;
    }
    return true;
}

static void receive_append_result(struct driver *d,
                                  uint64_t from,
                                  const struct raft_msg *m)
{
    bool ours =
        raft_state(&d->r) == RAFT_LEADER && m->term == raft_current_term(&d->r);
    struct raft_append_entries_result *a;
    struct incoming in;

    if (m->append_result.last_index >= INDEX_MAX ||
        (ours && success_is_impossible(d, m))) {
        return;
    }
    if (m->term == raft_current_term(&d->r)) {
        driver_note_answer(d, from);
    }
    incoming_init(&in, d, from, m);
    a = &in.rm.append_entries_result;
    a->version = m->version;
    a->term = m->term;
    a->rejected = m->append_result.rejected;
    a->last_log_index = m->append_result.last_index;
    a->features = m->append_result.features;
    a->capacity = m->append_result.capacity;
    if (ours && a->rejected > 0 && !sift_rejection(d, from, a)) {
        return;
    }
    d->back_ack = from;
    incoming_step(&in, d);
    d->back_for = d->back_ack = 0;
    if (ours) {
        adjust_back(d, &in);
    }
}

/* ---- votes ---- */

/* E4. A server promoted to voter that has not received its CHANGE refuses
 * votes in the engine, and a non-voter never forgets its leader: after a
 * restart of the leader nobody is elected. Raft lets servers vote whatever
 * their own configuration says, so the engine is lent one in which this
 * server votes, for the length of one step. */
static void step_vote_lent(struct driver *d, struct incoming *in)
{
    struct raft_server self = {d->id, d->name, RAFT_VOTER};
    struct raft_configuration own = d->r.configuration;

    d->r.configuration.servers = &self;
    d->r.configuration.n = 1;
    d->conf_lent = &own; /* step_once() puts it back */
    incoming_step(in, d);
    hf_assert(d->conf_lent == NULL);
}

/* The engine's follower refuses votes until its own, random timeout, so the
 * slower one of a majority decides when a leader is replaced. What protects a
 * leader is that those who hear it refuse: a follower that has not heard it
 * for an election timeout, or knows that its process has ended, need not. A
 * heartbeat less, since the candidate may have heard it that much earlier. */
static bool hears_leader(struct driver *d)
{
    uint64_t patience = driver_election_ms(d) - d->cfg.heartbeat_ms;

    if (mutant(DRV_HEARD)) {
        return false;
    }
    return d->now - d->contact < patience &&
           (d->lost == 0 || d->lost != driver_leader(d));
}

static void receive_vote(struct driver *d,
                         uint64_t from,
                         const struct raft_msg *m)
{
    struct raft_request_vote *v;
    struct incoming in;

    if (m->vote.candidate != from || m->vote.last_term > m->term ||
        !position_is_sane(m->vote.last_index, m->vote.last_term)) {
        return;
    }
    incoming_init(&in, d, from, m);
    v = &in.rm.request_vote;
    v->version = m->version;
    v->term = m->term;
    v->candidate_id = m->vote.candidate;
    v->last_log_index = m->vote.last_index;
    v->last_log_term = m->vote.last_term;
    v->disrupt_leader = m->vote.disrupt_leader;
    v->pre_vote = m->vote.pre_vote;
    if (raft_state(&d->r) == RAFT_FOLLOWER && !hears_leader(d) &&
        !mutant(DRV_STICKY)) {
        v->disrupt_leader = true;
    }
    if (raft_state(&d->r) == RAFT_FOLLOWER && raft_role(&d->r) != RAFT_VOTER &&
        !mutant(DRV_NVVOTE)) {
        step_vote_lent(d, &in);
        return;
    }
    incoming_step(&in, d);
}

static void receive_vote_result(struct driver *d,
                                uint64_t from,
                                const struct raft_msg *m)
{
    struct raft_request_vote_result *v;
    struct incoming in;

    /* The engine reads a candidate's field in any state: it is a union. */
    if (raft_state(&d->r) != RAFT_CANDIDATE && !mutant(DRV_VOTERES)) {
        return;
    }
    incoming_init(&in, d, from, m);
    v = &in.rm.request_vote_result;
    v->version = m->version;
    v->term = m->term;
    v->vote_granted = m->vote_result.granted;
    v->pre_vote = m->vote_result.pre_vote;
    v->features = m->vote_result.features;
    v->capacity = m->vote_result.capacity;
    incoming_step(&in, d);
}

/* ---- snapshots ---- */

static bool install_is_sane(const struct raft_msg *m)
{
    const struct snap_meta *s = &m->install;
    struct conf c;

    return s->index > 0 && s->index < INDEX_MAX && s->term > 0 &&
           s->term <= m->term && s->conf_index > 0 &&
           s->conf_index <= s->index && s->conf != NULL &&
           conf_decode(blob_bytes(s->conf), &c) == 0;
}

static void receive_install(struct driver *d,
                            uint64_t from,
                            const struct raft_msg *m)
{
    struct raft_install_snapshot *s;
    struct snap_meta *offered;
    struct incoming in;

    if (!install_is_sane(m)) {
        return;
    }
    /* The engine leaks the second one, and would install over the first. */
    if (d->installing.index != 0 && !mutant(DRV_INSTDROP)) {
        return;
    }
    if (m->term == raft_current_term(&d->r) &&
        raft_state(&d->r) == RAFT_LEADER && !mutant(DRV_SAMETERM)) {
        return;
    }
    if (m->term >= raft_current_term(&d->r)) {
        driver_note_contact(d, from);
    }
    /* The engine frees this, or hands it back when it installs. */
    offered = raft_malloc(sizeof *offered);
    hf_assert(offered != NULL);
    *offered = m->install;
    incoming_init(&in, d, from, m);
    s = &in.rm.install_snapshot;
    s->version = m->version;
    s->term = m->term;
    s->last_index = m->install.index;
    s->last_term = m->install.term;
    s->conf_index = m->install.conf_index;
    driver_engine_conf(d, m->install.conf, &s->conf);
    s->data.base = offered;
    s->data.len = sizeof *offered;
    incoming_step(&in, d);
}

/* ---- TimeoutNow and probes ---- */

static void receive_timeout_now(struct driver *d,
                                uint64_t from,
                                const struct raft_msg *m)
{
    struct raft_timeout_now *t;
    struct incoming in;

    if (!position_is_sane(m->timeout_now.last_index,
                          m->timeout_now.last_term)) {
        return;
    }
    /* It would elect itself in the term of the leader that sent this. */
    if (driver_is_lone_voter(d) && !mutant(DRV_LONERUN)) {
        return;
    }
    incoming_init(&in, d, from, m);
    t = &in.rm.timeout_now;
    t->version = m->version;
    t->term = m->term;
    t->last_log_index = m->timeout_now.last_index;
    t->last_log_term = m->timeout_now.last_term;
    incoming_step(&in, d);
}

/* Only in exactly the asker's term: a majority of such answers proves that no
 * later leader was elected before the probe arrived. */
static void receive_probe(struct driver *d,
                          uint64_t from,
                          const struct raft_msg *m)
{
    struct raft_msg ack = *m;

    if ((raft_current_term(&d->r) != m->term && !mutant(DRV_PROBETERM)) ||
        raft_state(&d->r) == RAFT_LEADER) {
        return;
    }
    ack.kind = RMSG_PROBE_ACK;
    ack.to = from;
    d->ops->send(d->owner, &ack);
}

static void receive_probe_ack(struct driver *d,
                              uint64_t from,
                              const struct raft_msg *m)
{
    struct driver_probe *p = &d->probe;

    if (!p->active || m->term != p->term || m->probe.round != p->round ||
        m->probe.attempt != p->attempt || p->n_acks >= LIM_NODES) {
        return;
    }
    for (unsigned i = 0; i < p->n_acks; i++) {
        if (p->acks[i] == from) {
            return;
        }
    }
    p->acks[p->n_acks++] = from; /* counted by driver_leave() */
}

/* ---- the door ---- */

static bool is_result(uint8_t kind)
{
    return kind == RMSG_APPEND_RESULT || kind == RMSG_VOTE_RESULT;
}

static void dispatch(struct driver *d, uint64_t from, const struct raft_msg *m)
{
    if (from == 0 || from == d->id || m->term >= INDEX_MAX ||
        (m->term == 0 && !is_result(m->kind)) ||
        (m->n_entries > 0 && m->kind != RMSG_APPEND)) {
        return;
    }
    switch (m->kind) {
        case RMSG_APPEND:
            receive_append(d, from, m);
            break;
        case RMSG_APPEND_RESULT:
            receive_append_result(d, from, m);
            break;
        case RMSG_VOTE:
            receive_vote(d, from, m);
            break;
        case RMSG_VOTE_RESULT:
            receive_vote_result(d, from, m);
            break;
        case RMSG_INSTALL:
            receive_install(d, from, m);
            break;
        case RMSG_TIMEOUT_NOW:
            receive_timeout_now(d, from, m);
            break;
        case RMSG_PROBE:
            receive_probe(d, from, m);
            break;
        case RMSG_PROBE_ACK:
            receive_probe_ack(d, from, m);
            break;
        default:
            break;
    }
}

void driver_receive(struct driver *d,
                    uint64_t now_ms,
                    uint64_t from,
                    const struct raft_msg *m)
{
    if (driver_enter(d, now_ms)) {
        dispatch(d, from, m);
        driver_leave(d, false);
    }
}

/* A leader that names a snapshot is alive, but the engine would hear of it
 * only with the install, and stand for election meanwhile. What it says is
 * also a heartbeat anchored at the snapshot's last entry: that one is
 * stepped, and rejected as long as the entry is not here, so the leader asks
 * again. */
void driver_refuse_install(struct driver *d,
                           uint64_t now_ms,
                           uint64_t from,
                           const struct raft_msg *m)
{
    struct raft_msg beat;

    if (!driver_enter(d, now_ms)) {
        return;
    }
    if (m->kind == RMSG_INSTALL && install_is_sane(m) && !mutant(DRV_REFUSE)) {
        memset(&beat, 0, sizeof beat);
        beat.kind = RMSG_APPEND;
        beat.version = d->ae_version;
        beat.term = m->term;
        beat.append.prev_index = m->install.index;
        beat.append.prev_term = m->install.term;
        dispatch(d, from, &beat);
    }
    driver_leave(d, false);
}
