/* What leaves for the peers: the engine's messages filled with entries, held
 * back where they must be, cut into pieces, read back from the log where
 * memory no longer has them. Dropping any of it is legal: the engine sends
 * again. */
#include <stdlib.h>

#include "base/assert.h"
#include "base/mutant.h"
#include "raftio/driver_int.h"

static void ae_send(struct driver *d, struct driver_ae *ae);

/* ---- AppendEntries ---- */

static void ae_emit(struct driver *d,
                    const struct driver_ae *ae,
                    struct entry *e,
                    unsigned n)
{
    struct raft_msg m;

    memset(&m, 0, sizeof m);
    m.kind = RMSG_APPEND;
    m.version = ae->version;
    m.to = ae->to;
    m.term = ae->term;
    m.append.prev_index = ae->prev_index;
    m.append.prev_term = ae->prev_term;
    m.append.commit = ae->commit;
    m.entries = e;
    m.n_entries = n;
    d->ops->send(d->owner, &m);
}

/* The first @n entries of @ae have left. */
static void ae_advance(struct driver_ae *ae, uint64_t last_term, unsigned n)
{
    ae->prev_index += n;
    ae->prev_term = last_term;
    ae->n -= n;
}

/* How many entries from @ae's first go into one message: those with payload
 * when @present, else those without. */
static unsigned ae_piece(const struct driver *d,
                         const struct driver_ae *ae,
                         bool present)
{
    uint64_t bytes = 0;
    unsigned k = 0;

    while (k < ae->n && k < RMSG_ENTRIES_MAX) {
        uint64_t i = ae->prev_index + 1 + k;
        const struct entry *e = entry_cache_get(&d->log, i);

        hf_assert(e != NULL);
        bytes += e->data.n;
        if (entry_cache_has_payload(&d->log, i) != present ||
            (k > 0 && bytes > d->cfg.message_bytes)) {
            break;
        }
        k++;
    }
    return k;
}

static void ae_emit_cached(struct driver *d, struct driver_ae *ae, unsigned k)
{
    struct entry *e = hf_malloc(k * sizeof *e);

    for (unsigned i = 0; i < k; i++) {
        e[i] = *entry_cache_get(&d->log, ae->prev_index + 1 + i);
    }
    ae_emit(d, ae, e, k);
    ae_advance(ae, e[k - 1].term, k);
    free(e);
}

/* ---- entries read back from the log ---- */

static struct driver_read *read_of(struct driver *d, uint64_t to)
{
    for (unsigned i = 0; i < LIM_NODES; i++) {
        if (d->reads[i].token != 0 && d->reads[i].ae.to == to) {
            return &d->reads[i];
        }
    }
    return NULL;
}

/* One read per peer at a time; without a free slot the message is dropped. */
static void read_start(struct driver *d, const struct driver_ae *ae)
{
    for (unsigned i = 0; i < LIM_NODES; i++) {
        struct driver_read *r = &d->reads[i];

        if (r->token == 0) {
            r->token = ++d->token;
            r->superseded = false;
            r->ae = *ae;
            r->asked = ae_piece(d, ae, false);
            d->ops->read_log(d->owner, ae->prev_index + 1, r->asked, r->token);
            return;
        }
    }
}

/* Still a message that this leader may send: same term, and the log in
 * memory still reaches back to it (a leader's log is never truncated). */
static bool ae_is_valid(struct driver *d, const struct driver_ae *ae)
{
    return raft_state(&d->r) == RAFT_LEADER &&
           raft_current_term(&d->r) == ae->term &&
           ae->prev_index + 1 >= d->log.first &&
           ae->prev_index + ae->n <= driver_last(d);
}

/* The disk must say what memory says; a payload of another term would be
 * replicated as ours. */
static bool read_matches(const struct driver *d,
                         uint64_t first,
                         const struct entry *e,
                         unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        const struct entry *own = entry_cache_get(&d->log, first + i);

        if (own == NULL || own->type != e[i].type ||
            own->data.n != e[i].data.n ||
            (own->term != e[i].term && !mutant(DRV_READTERM))) {
            return false;
        }
    }
    return true;
}

static void read_finish(struct driver *d,
                        struct driver_ae *ae,
                        unsigned asked,
                        const struct entry *e,
                        unsigned n)
{
    struct entry *copy;

    if (n == 0 || n > asked || !ae_is_valid(d, ae) ||
        !read_matches(d, ae->prev_index + 1, e, n)) {
        return; /* the engine asks again */
    }
    copy = hf_malloc(n * sizeof *copy);
    memcpy(copy, e, n * sizeof *copy);
    ae_emit(d, ae, copy, n);
    ae_advance(ae, e[n - 1].term, n);
    free(copy);
    if (ae->n > 0) {
        ae_send(d, ae);
    }
}

void driver_read_done(struct driver *d,
                      uint64_t now_ms,
                      uint64_t token,
                      const struct entry *e,
                      unsigned n)
{
    if (!driver_enter(d, now_ms)) {
        return;
    }
    for (unsigned i = 0; i < LIM_NODES; i++) {
        struct driver_read *r = &d->reads[i];

        if (token != 0 && r->token == token) {
            struct driver_ae ae = r->ae;

            r->token = 0;
            if (!r->superseded) {
                read_finish(d, &ae, r->asked, e, n);
            } else if (ae_is_valid(d, &ae)) {
                ae_send(d, &ae);
            }
            break;
        }
    }
    driver_leave(d, false);
}

/* ---- holding back ---- */

/* A CHANGE leaves only once it is durable here. Otherwise a leader that
 * demotes a server can crash before its own write, and then the demoted one,
 * which may not lead, has the longest log: nobody is ever elected. */
static bool ae_must_wait(const struct driver *d, const struct driver_ae *ae)
{
    uint64_t c;

    if (d->changes_n == 0 || mutant(DRV_CHGHOLD)) {
        return false;
    }
    c = d->changes[d->changes_n - 1].index;
    return c > d->durable && c > ae->prev_index && c <= ae->prev_index + ae->n;
}

/* While entries are read for a peer, later ones for it are dropped. Earlier
 * ones mean that it refused what was sent: go back there, else the rest of a
 * long useless message would be read first. */
static void read_supersede(struct driver_read *r, const struct driver_ae *ae)
{
    if (ae->term != r->ae.term || ae->prev_index < r->ae.prev_index) {
        r->ae = *ae;
        r->superseded = true;
    }
}

static void ae_send(struct driver *d, struct driver_ae *ae)
{
    struct driver_read *r = ae->n > 0 ? read_of(d, ae->to) : NULL;

    if (r != NULL) {
        read_supersede(r, ae);
        return;
    }
    if (ae_must_wait(d, ae)) {
        if (d->held_n < DRIVER_HELD_MAX) {
            d->held[d->held_n++] = *ae;
        }
        return;
    }
    if (ae->n == 0) {
        ae_emit(d, ae, NULL, 0);
        return;
    }
    while (ae->n > 0) {
        unsigned k = ae_piece(d, ae, true);

        if (k == 0) {
            read_start(d, ae);
            return;
        }
        ae_emit_cached(d, ae, k);
    }
}

void driver_release_held(struct driver *d)
{
    struct driver_ae waiting[DRIVER_HELD_MAX];
    unsigned n = d->held_n;

    memcpy(waiting, d->held, n * sizeof waiting[0]);
    d->held_n = 0;
    for (unsigned i = 0; i < n; i++) {
        if (ae_is_valid(d, &waiting[i])) {
            ae_send(d, &waiting[i]); /* may hold it again */
        }
    }
}

/* ---- going back ---- */

struct driver_back *driver_back_of(struct driver *d, uint64_t id)
{
    for (unsigned i = 0; i < LIM_NODES; i++) {
        struct driver_back *b = &d->backs[i];

        if (b->id == id) {
            /* A member that was removed and came back begins anew. */
            return driver_match(d, id) < b->match ? NULL : b;
        }
    }
    return NULL;
}

static bool is_member(const struct driver *d, uint64_t id)
{
    for (unsigned i = 0; i < d->r.configuration.n; i++) {
        if (d->r.configuration.servers[i].id == id) {
            return true;
        }
    }
    return false;
}

/* There is a place for each member; those of former ones are free. */
static struct driver_back *note_back(struct driver *d,
                                     uint64_t to,
                                     uint64_t prev)
{
    struct driver_back *b = NULL;

    for (unsigned i = 0; i < LIM_NODES; i++) {
        if (d->backs[i].id == to) {
            b = &d->backs[i];
            break;
        }
        if (b == NULL && !is_member(d, d->backs[i].id)) {
            b = &d->backs[i];
        }
    }
    hf_assert(b != NULL);
    memset(b, 0, sizeof *b);
    b->id = to;
    b->at = b->sent = d->now;
    b->match = driver_match(d, to);
    b->prev = prev;
    b->window = d->back_window;
    d->back_for = 0;
    return b;
}

/* Cut @ae after @pieces. */
static void ae_shorten(const struct driver *d,
                       struct driver_ae *ae,
                       unsigned pieces)
{
    struct driver_ae rest = *ae;

    while (rest.n > 0 && pieces-- > 0) {
        unsigned k = ae_piece(d, &rest, true);

        k = k > 0 ? k : ae_piece(d, &rest, false);
        ae_advance(&rest, 0, k);
    }
    ae->n -= rest.n;
}

/* The first message after a rejection: whether the follower takes it is not
 * known, and one piece asks that as well as all of them, each of which it
 * would reject. */
static void send_back(struct driver *d, struct driver_ae *ae)
{
    struct driver_back *b = note_back(d, ae->to, ae->prev_index);
    unsigned all = ae->n;

    if (!mutant(DRV_BACKWHOLE)) {
        ae_shorten(d, ae, b->window);
    }
    b->end = ae->prev_index + ae->n;
    b->upto = ae->n < all ? b->end : 0;
}

/* What the engine sends to a follower that is given a window: only what keeps
 * it a follower, and finds out whether something in the window was lost. After
 * an election timeout without progress it is as if there were none. False:
 * nothing now. */
static bool send_beside(struct driver *d, struct driver_ae *ae)
{
    struct driver_back *b = driver_back_of(d, ae->to);
    uint64_t term;

    if (b == NULL || b->upto == 0) {
        return true;
    }
    if (d->back_ack == ae->to) {
        return false; /* adjust_back() is about to */
    }
    term = driver_term_of(d, b->upto);
    if (driver_match(d, ae->to) >= b->upto || term == 0 ||
        d->now - b->at >= d->cfg.election_ms) {
        b->upto = 0;
        return true;
    }
    if (d->now - b->sent < d->cfg.heartbeat_ms / 2) {
        return false;
    }
    b->sent = d->now;
    if (ae->prev_index >= b->upto) {
        ae->prev_index = b->upto;
        ae->prev_term = term;
        ae->n = 0;
    } else if (ae->n > 0) {
        ae_shorten(d, ae, 1);
        b->prev = ae->prev_index;
        b->upto = b->end = ae->prev_index + ae->n;
        b->window = 1;
    }
    return true;
}

static void note_install(struct driver *d, uint64_t to)
{
    struct driver_back *b = driver_back_of(d, to);

    if (to == d->back_for) {
        b = note_back(d, to, 0);
    }
    if (b != NULL) {
        b->upto = 0;
        b->refused = false;
    }
}

static void send_append(struct driver *d, const struct raft_message *rm)
{
    const struct raft_append_entries *a = &rm->append_entries;
    struct driver_ae ae = {
        .to = rm->server_id,
        .term = a->term,
        .prev_index = a->prev_log_index,
        .prev_term = a->prev_log_term,
        .commit = a->leader_commit,
        .n = a->n_entries,
        .version = a->version,
    };

    d->ae_version = a->version;
    if (ae.n > 0 && (ae.prev_index + 1 < d->log.first ||
                     ae.prev_index + ae.n > driver_last(d))) {
        driver_fail(d, "the engine sends entries that are not in the log");
        return;
    }
    if (ae.to == d->back_for) {
        send_back(d, &ae);
    } else if (!send_beside(d, &ae)) {
        return;
    }
    ae_send(d, &ae);
}

/* ---- everything else ---- */

/* The engine leaves last_log_index uninitialised when it answers a request of
 * an older term; a leader elected again in our term would take the rubbish
 * for an acknowledgement of its whole log. */
static void fill_append_result(const struct raft_message *rm,
                               bool stale,
                               struct raft_msg *m)
{
    const struct raft_append_entries_result *a = &rm->append_entries_result;

    m->version = mutant(DRV_VERSION) ? 0 : a->version;
    m->term = a->term;
    m->append_result.rejected = a->rejected;
    m->append_result.last_index =
        stale && !mutant(DRV_STALE) ? 0 : a->last_log_index;
    m->append_result.features = a->features;
    m->append_result.capacity = a->capacity;
}

/* A denied pre-vote echoes the candidate's term in the engine. A candidate
 * with the longer log but an older term would then never learn the term it
 * must exceed, while its refuser lacks the log to win: no leader for ever. */
static void fill_vote_result(struct driver *d,
                             const struct raft_message *rm,
                             struct raft_msg *m)
{
    const struct raft_request_vote_result *v = &rm->request_vote_result;
    uint64_t current = raft_current_term(&d->r);

    m->version = mutant(DRV_VERSION) ? 1 : v->version;
    m->term = v->term;
    if (v->pre_vote && !v->vote_granted && current > m->term &&
        !mutant(DRV_PREVOTE)) {
        m->term = current;
    }
    m->vote_result.granted = v->vote_granted;
    m->vote_result.pre_vote = v->pre_vote;
    m->vote_result.features = v->features;
    m->vote_result.capacity = v->capacity;
}

static void fill_vote(const struct raft_message *rm, struct raft_msg *m)
{
    const struct raft_request_vote *v = &rm->request_vote;

    m->version = v->version;
    m->term = v->term;
    m->vote.candidate = v->candidate_id;
    m->vote.last_index = v->last_log_index;
    m->vote.last_term = v->last_log_term;
    m->vote.disrupt_leader = v->disrupt_leader;
    m->vote.pre_vote = v->pre_vote;
}

static void fill_timeout_now(const struct raft_message *rm, struct raft_msg *m)
{
    m->version = rm->timeout_now.version;
    m->term = rm->timeout_now.term;
    m->timeout_now.last_index = rm->timeout_now.last_log_index;
    m->timeout_now.last_term = rm->timeout_now.last_log_term;
}

/* False: cannot be served. */
static bool fill_install(struct driver *d,
                         const struct raft_message *rm,
                         struct raft_msg *m)
{
    const struct raft_install_snapshot *s = &rm->install_snapshot;

    if (s->last_index != d->snap.index || s->last_term != d->snap.term) {
        driver_fail(d, "the engine names a snapshot it was not told of");
        return false;
    }
    m->version = s->version;
    m->term = s->term;
    m->install = d->snap; /* borrowed */
    return true;
}

static void send_one(struct driver *d,
                     const struct raft_message *rm,
                     bool stale)
{
    struct raft_msg m;

    memset(&m, 0, sizeof m);
    m.kind = (uint8_t)rm->type;
    m.to = rm->server_id;
    if (m.to == d->id) {
        return; /* the answer to our own vote request */
    }
    switch (rm->type) {
        case RAFT_APPEND_ENTRIES:
            send_append(d, rm);
            return;
        case RAFT_APPEND_ENTRIES_RESULT:
            fill_append_result(rm, stale, &m);
            break;
        case RAFT_REQUEST_VOTE:
            fill_vote(rm, &m);
            break;
        case RAFT_REQUEST_VOTE_RESULT:
            fill_vote_result(d, rm, &m);
            break;
        case RAFT_INSTALL_SNAPSHOT:
            if (!fill_install(d, rm, &m)) {
                return;
            }
            note_install(d, m.to);
            break;
        case RAFT_TIMEOUT_NOW:
            fill_timeout_now(rm, &m);
            break;
        default:
            return;
    }
    d->ops->send(d->owner, &m);
}

void driver_send_update(struct driver *d,
                        struct raft_message *batch,
                        unsigned n,
                        bool stale)
{
    for (unsigned i = 0; i < n && !d->failed; i++) {
        send_one(d, &batch[i], stale);
    }
}

/* ---- heartbeats out of turn ---- */

/* The engine sends a heartbeat only when one is due. This one is ours, and
 * legal: an AppendEntries without entries, anchored at what the follower has
 * acknowledged, is a heartbeat that any leader in its place could have sent,
 * and duplicates of those may arrive at any time. */
static void kick_one(struct driver *d, uint64_t to)
{
    struct driver_ae ae = {.to = to, .version = d->ae_version};

    ae.term = raft_current_term(&d->r);
    ae.prev_index = driver_match(d, to);
    ae.prev_term = driver_term_of(d, ae.prev_index);
    ae.commit = d->commit;
    if (ae.prev_index != 0 && ae.prev_term != 0) {
        ae_emit(d, &ae, NULL, 0);
    }
}

void driver_kick(struct driver *d, uint64_t now_ms)
{
    struct conf c;

    if (!driver_enter(d, now_ms)) {
        return;
    }
    driver_members(d, &c);
    for (unsigned i = 0; i < c.n && raft_state(&d->r) == RAFT_LEADER; i++) {
        if (c.m[i].id != d->id && c.m[i].role != CONF_SPARE) {
            kick_one(d, c.m[i].id);
        }
    }
    driver_leave(d, false);
}

/* ---- probes ---- */

static bool probe_has(const struct driver_probe *p, uint64_t id)
{
    for (unsigned i = 0; i < p->n_acks; i++) {
        if (p->acks[i] == id) {
            return true;
        }
    }
    return false;
}

/* To every voter that has not answered yet. */
void driver_probe_send(struct driver *d)
{
    struct driver_probe *p = &d->probe;
    struct raft_msg m;
    struct conf c;

    memset(&m, 0, sizeof m);
    m.kind = RMSG_PROBE;
    m.term = p->term;
    m.probe.round = p->round;
    m.probe.attempt = p->attempt;
    driver_members(d, &c);
    for (unsigned i = 0; i < c.n; i++) {
        m.to = c.m[i].id;
        if (m.to != d->id && c.m[i].role == CONF_VOTER && !probe_has(p, m.to)) {
            d->ops->send(d->owner, &m);
        }
    }
    p->resend_at = d->now + d->cfg.heartbeat_ms;
}
