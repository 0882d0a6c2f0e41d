#include "server/node/member.h"

#include <stdio.h>
#include <stdlib.h>

#include "server/node/node_int.h"

static void member_ask_timer(struct env_timer *t);

void member_init(struct node *n)
{
    memset(&n->member, 0, sizeof n->member);
    env_timer_init(&n->member.ask_timer, member_ask_timer, n);
    for (unsigned i = 0; i < LIM_SEATS; i++) {
        n->member.asks[i].node = n;
        n->member.asks[i].seat = i;
    }
}

static void member_cancel_asks(struct node *n)
{
    for (unsigned i = 0; i < LIM_SEATS; i++) {
        if (n->member.asks[i].ask != NULL) {
            peer_ask_cancel(n->member.asks[i].ask);
            n->member.asks[i].ask = NULL;
        }
    }
}

void member_release(struct node *n)
{
    member_cancel_asks(n);
    env_timer_stop(n->env, &n->member.ask_timer);
}

/* ---- words on the wire ---- */

static void put_addresses(struct node *n, struct buf *b)
{
    buf_lbytes(b, bytes_str(n->cfg.peer_announce));
    buf_lbytes(b, bytes_str(n->cfg.client_announce));
    buf_lbytes(b, bytes_str(n->cfg.cluster_announce));
}

static bool get_address(struct reader *r, char out[LIM_ADDR])
{
    struct bytes s = rd_lbytes(r);

    if (!reader_ok(r) || s.n >= LIM_ADDR ||
        (s.n > 0 && memchr(s.p, '\0', s.n) != NULL)) {
        r->bad = true;
        return false;
    }
    if (s.n > 0) {
        memcpy(out, s.p, s.n);
    }
    out[s.n] = '\0';
    return true;
}

static void member_answer(struct node *n,
                          struct peer_anon *h,
                          enum member_answer status,
                          uint64_t id,
                          const char *reason)
{
    struct buf b = BUF_INIT;
    unsigned k = n->machine != NULL ? machine_members(n->machine) : 0;

    node_envelope(n, &b);
    buf_u8(&b, (uint8_t)status);
    buf_u64(&b, id);
    buf_append(&b, n->ident.cluster_id, ID_BYTES);
    buf_lbytes(&b, bytes_str(reason));
    buf_u32(&b, k);
    for (unsigned i = 0; i < k; i++) {
        const struct member *m = machine_member_at(n->machine, i);

        buf_u64(&b, m->id);
        buf_append(&b, m->dir_id, HF_ID_SIZE);
        buf_lbytes(&b, bytes_str(m->peer));
    }
    peer_anon_reply(h, NASK_ANSWER, buf_bytes(&b));
    buf_release(&b);
}

struct answer {
    enum member_answer status;
    uint64_t id;
    uint8_t cluster_id[ID_BYTES];
    char reason[MEMBER_REASON_MAX];
    struct peer_member members[LIM_NODES];
    unsigned members_n;
};

static bool get_answer(struct bytes body, struct answer *a)
{
    struct reader r = reader_of(body);
    struct bytes s;
    uint32_t k;

    memset(a, 0, sizeof *a);
    (void)rd_bytes(&r, NODE_ENVELOPE);
    a->status = (enum member_answer)rd_u8(&r);
    a->id = rd_u64(&r);
    s = rd_bytes(&r, ID_BYTES);
    if (s.n == ID_BYTES) {
        memcpy(a->cluster_id, s.p, ID_BYTES);
    }
    s = rd_lbytes(&r);
    snprintf(a->reason, sizeof a->reason, "%.*s",
             (int)(s.n < MEMBER_REASON_MAX ? s.n : MEMBER_REASON_MAX - 1),
             s.n > 0 ? (const char *)s.p : "");
    k = rd_u32(&r);
    for (uint32_t i = 0; i < k && reader_ok(&r); i++) {
        struct peer_member m;

        memset(&m, 0, sizeof m);
        m.id = rd_u64(&r);
        s = rd_bytes(&r, HF_ID_SIZE);
        if (s.n == HF_ID_SIZE) {
            memcpy(m.dir_id, s.p, HF_ID_SIZE);
        }
        if (get_address(&r, m.addr) && a->members_n < LIM_NODES) {
            a->members[a->members_n++] = m;
        }
    }
    return reader_done(&r) && a->status <= ANSWER_DAMAGED;
}

static bool is_zero(const uint8_t *p)
{
    static const uint8_t zero[ID_BYTES];

    return memcmp(p, zero, ID_BYTES) == 0;
}

/* A cluster id ends with half the directory id of the seat that init ran on:
 * so everyone can tell where an unfinished init has to be repeated. */
static bool made_cluster(const struct identity *id)
{
    return memcmp(id->cluster_id + 8, id->dir_id, 8) == 0;
}

/* ---- a blank node, or one without a leader: asking ---- */

static void member_adopt(struct node *n, const struct answer *a)
{
    struct errmsg em = {{0}};
    uint64_t id = a->id;

    if (id == 0 || is_zero(a->cluster_id) || n->id != 0) {
        return;
    }
    member_cancel_asks(n);
    if (node_join(n, a->cluster_id, id, &em) != 0) {
        node_fail(n, NODE_EXIT_DISK, "store the identity: %s", em.text);
        return;
    }
    log_info(n->log, "joined the cluster as node %llu", (unsigned long long)id);
    peer_set_members(n->peers, a->members, a->members_n);
}

static void member_refused(struct node *n, const char *from, const char *reason)
{
    struct membership *m = &n->member;

    if (strncmp(m->refusal, reason, sizeof m->refusal - 1) != 0) {
        snprintf(m->refusal, sizeof m->refusal, "%s", reason);
        log_warn(n->log, "the node at %s does not let this one in: %s", from,
                 reason);
    }
}

static void member_told_repair(struct node *n,
                               unsigned seat,
                               const struct answer *a)
{
    bool ours = memcmp(a->cluster_id, n->ident.cluster_id, ID_BYTES) == 0;
    struct repair_answer r = {
        .seat = seat,
        .granted = a->status == ANSWER_OK && a->id != 0 && ours,
        .refused = a->status == ANSWER_REFUSED,
        .damaged = a->status == ANSWER_DAMAGED,
        .reason = a->reason,
        .members = a->members,
        .members_n = ours ? a->members_n : 0,
    };

    repair_answered(n, &r);
}

static void member_asked(void *data,
                         int code,
                         const struct peer_ident *who,
                         uint8_t type,
                         struct blob *payload,
                         const char *why)
{
    struct seat_ask *s = data;
    struct node *n = s->node;
    struct answer a;

    (void)who;
    (void)why;
    s->ask = NULL;
    if (code != 0 || type != NASK_ANSWER ||
        !get_answer(blob_bytes(payload), &a)) {
        return;
    }
    if (repair_active(&n->repair) &&
        (a.status != ANSWER_REMOVED || n->repair.mode != REPAIR_FETCH)) {
        member_told_repair(n, s->seat, &a);
        return;
    }
    switch (a.status) {
        case ANSWER_OK:
            member_adopt(n, &a);
            break;
        case ANSWER_REFUSED:
            if (n->id == 0) {
                member_refused(n, n->cfg.join[s->seat], a.reason);
            }
            break;
        case ANSWER_REMOVED:
            if (n->id != 0 && !mutant(REMOVED_GOES_ON) && a.id == n->id &&
                memcmp(a.cluster_id, n->ident.cluster_id, ID_BYTES) == 0) {
                node_fail(n, NODE_EXIT_REMOVED,
                          "this member (node %llu) was removed from its "
                          "cluster; delete the data directory to join as a "
                          "new member",
                          (unsigned long long)n->id);
            }
            break;
        case ANSWER_LATER:
        case ANSWER_BLANK:
        case ANSWER_DAMAGED:
            break;
    }
}

void member_ask_seats(struct node *n, uint64_t id, const uint8_t *dir_id)
{
    struct buf b = BUF_INIT;

    node_envelope(n, &b);
    buf_u64(&b, id);
    buf_append(&b, dir_id, ID_BYTES);
    buf_append(&b, n->ident.cluster_id, ID_BYTES);
    put_addresses(n, &b);
    for (unsigned i = 0; i < (unsigned)n->cfg.join_n; i++) {
        struct seat_ask *s = &n->member.asks[i];

        if (s->ask == NULL &&
            strcmp(n->cfg.join[i], n->cfg.peer_announce) != 0) {
            s->ask =
                peer_ask(n->peers, n->cfg.join[i], NASK_JOIN, buf_bytes(&b),
                         MEMBER_ASK_TIMEOUT_MS, member_asked, s);
        }
    }
    buf_release(&b);
}

static void member_ask_timer(struct env_timer *t)
{
    struct node *n = t->data;
    struct membership *m = &n->member;
    uint64_t now = env_now_us(n->env);

    if (n->ended) {
        return;
    }
    if (n->id == 0) {
        if (m->phase == INIT_NONE) {
            member_ask_seats(n, n->id, n->ident.dir_id);
        }
        if (now - m->wait_logged_us >= MEMBER_WAIT_LOG_MS * 1000) {
            m->wait_logged_us = now;
            log_info(n->log,
                     "waiting for kv init (once, at any seat), or to "
                     "be let into a cluster");
        }
    } else if (m->no_leader_us != 0 &&
               now - m->no_leader_us > MEMBER_LOST_MS * 1000) {
        member_ask_seats(n, n->id, n->ident.dir_id);
    }
    env_timer_start(n->env, t, now + MEMBER_ASK_MS * 1000);
}

void member_blank(struct node *n)
{
    env_timer_start(n->env, &n->member.ask_timer, env_now_us(n->env));
}

/* ---- answering ---- */

/* Is member @id heard of? A new leader gives everyone the time to speak. */
static bool member_silent(struct node *n, uint64_t id, uint64_t limit_ms)
{
    struct peer_state *p = node_peer_state(n, id);
    uint64_t since = p != NULL ? p->heard_us : 0;

    if (since < n->member.lead_since_us) {
        since = n->member.lead_since_us;
    }
    return env_now_us(n->env) - since > limit_ms * 1000;
}

/* Would the configuration without @id have a majority that is caught up and
 * answered within the last election timeout? Removing a holder without that
 * could stop a cluster that still works. */
static bool member_can_lose(struct node *n, uint64_t id)
{
    struct conf c;
    unsigned voters = 0;
    unsigned good = 0;

    driver_members(&n->driver, &c);
    if (mutant(CAN_LOSE_ANY)) {
        return true;
    }
    for (unsigned i = 0; i < c.n; i++) {
        uint64_t m = c.m[i].id;

        if (c.m[i].role != CONF_VOTER || m == id) {
            continue;
        }
        voters++;
        if (m == n->id) {
            good++;
        } else if (!member_silent(n, m, n->cfg.election_ms) &&
                   driver_match(&n->driver, m) + MEMBER_CAUGHT_UP >=
                       driver_last(&n->driver)) {
            good++;
        }
    }
    return voters > 0 && good > voters / 2;
}

/* Log that @id is gone; the tick then takes it out of the configuration. */
static const char *member_log_gone(struct node *n, uint64_t id)
{
    struct buf b = BUF_INIT;
    int rv;

    if (env_now_us(n->env) - n->member.gone_us < MEMBER_ASK_MS * 1000 &&
        n->member.gone_us != 0) {
        return "TRYAGAIN another membership change is pending";
    }
    entry_gone(&b, id);
    rv = leader_record(n, buf_bytes(&b));
    buf_release(&b);
    if (rv != 0) {
        return "TRYAGAIN this node does not lead any more";
    }
    n->member.gone_us = env_now_us(n->env);
    return NULL;
}

static const struct seat *seat_of(struct node *n, const char *peer)
{
    for (unsigned i = 0; i < machine_seats(n->machine); i++) {
        if (strcmp(machine_seat_at(n->machine, i)->peer, peer) == 0) {
            return machine_seat_at(n->machine, i);
        }
    }
    return NULL;
}

/* A newcomer wants the seat that @holder has. */
static void member_contest(struct node *n,
                           struct peer_anon *h,
                           const char *peer,
                           uint64_t holder)
{
    char why[MEMBER_REASON_MAX];

    if (!member_silent(n, holder, n->cfg.silence_ms) &&
        !mutant(SEAT_TAKEN_ON_SIGHT)) {
        snprintf(why, sizeof why,
                 "the seat at %s is held by node %llu, which is alive", peer,
                 (unsigned long long)holder);
        member_answer(n, h, ANSWER_REFUSED, 0, why);
        return;
    }
    if (driver_change_pending(&n->driver)) {
        member_answer(n, h, ANSWER_LATER, 0, "a change is pending");
        return;
    }
    if (!member_can_lose(n, holder) && !mutant(SEAT_TAKEN_ON_SIGHT)) {
        snprintf(why, sizeof why,
                 "the seat at %s is held by node %llu; replacing it needs a "
                 "majority of the others caught up and answering",
                 peer, (unsigned long long)holder);
        member_answer(n, h, ANSWER_REFUSED, 0, why);
        return;
    }
    if (member_log_gone(n, holder) == NULL) {
        log_warn(n->log,
                 "node %llu has been silent and another directory has come "
                 "up at its seat %s: replacing it",
                 (unsigned long long)holder, peer);
    }
    member_answer(n, h, ANSWER_LATER, 0, "the old holder is being replaced");
}

struct join_words {
    uint64_t id;
    uint8_t dir_id[HF_ID_SIZE];
    uint8_t cluster_id[ID_BYTES];
    char peer[LIM_ADDR];
    char client[LIM_ADDR];
    char cluster[LIM_ADDR];
};

static bool get_join(struct reader *r, struct join_words *j)
{
    struct bytes s;

    memset(j, 0, sizeof *j);
    j->id = rd_u64(r);
    s = rd_bytes(r, HF_ID_SIZE);
    if (s.n == HF_ID_SIZE) {
        memcpy(j->dir_id, s.p, HF_ID_SIZE);
    }
    s = rd_bytes(r, ID_BYTES);
    if (s.n == ID_BYTES) {
        memcpy(j->cluster_id, s.p, ID_BYTES);
    }
    return get_address(r, j->peer) && get_address(r, j->client) &&
           get_address(r, j->cluster) && reader_done(r) && !is_zero(j->dir_id);
}

static void member_log_join(struct node *n, const struct join_words *j)
{
    struct entry_node e;
    struct buf b = BUF_INIT;
    uint64_t now = env_now_us(n->env);

    if (n->member.joined_us != 0 &&
        now - n->member.joined_us < MEMBER_ASK_MS * 1000 / 2) {
        return; /* asked again in a moment */
    }
    n->member.joined_us = now;
    memcpy(e.dir_id, j->dir_id, HF_ID_SIZE);
    e.peer = j->peer;
    e.client = j->client;
    e.cluster = j->cluster;
    entry_join(&b, &e);
    (void)leader_record(n, buf_bytes(&b));
    buf_release(&b);
}

static bool same_addresses(const struct member *m, const struct join_words *j)
{
    return strcmp(m->peer, j->peer) == 0 && strcmp(m->client, j->client) == 0 &&
           strcmp(m->cluster, j->cluster) == 0;
}

static void member_on_join(struct node *n,
                           struct peer_anon *h,
                           const struct join_words *j)
{
    const struct member *m;
    const struct seat *s;
    char why[MEMBER_REASON_MAX];

    if (n->id == 0) {
        member_answer(n, h, ANSWER_BLANK, 0, "this seat is blank, too");
        return;
    }
    if (repair_active(&n->repair)) {
        member_answer(n, h, ANSWER_DAMAGED, 0, "this node is damaged, too");
        return;
    }
    if (!is_zero(j->cluster_id) &&
        memcmp(j->cluster_id, n->ident.cluster_id, ID_BYTES) != 0) {
        member_answer(n, h, ANSWER_REFUSED, 0,
                      "its directory belongs to another cluster");
        return;
    }
    if (n->leader.term == 0 || n->leader.term != driver_term(&n->driver) ||
        !machine_has_cluster(n->machine)) {
        member_answer(n, h, ANSWER_LATER, 0, "this node does not lead");
        return;
    }
    m = machine_member_by_dir(n->machine, j->dir_id);
    if (m != NULL) {
        if (!same_addresses(m, j) && j->id == 0) {
            member_log_join(n, j);
        }
        member_answer(n, h, j->id == 0 ? ANSWER_OK : ANSWER_LATER, m->id, "");
        return;
    }
    if (j->id != 0) {
        member_answer(n, h, ANSWER_REMOVED, j->id, "removed");
        return;
    }
    s = seat_of(n, j->peer);
    if (s == NULL && !mutant(JOIN_WITHOUT_SEAT)) {
        snprintf(why, sizeof why,
                 "the cluster has no seat at %.128s (see kv member list)",
                 j->peer);
        member_answer(n, h, ANSWER_REFUSED, 0, why);
    } else if (s != NULL && s->holder != 0) {
        member_contest(n, h, j->peer, s->holder);
    } else {
        member_log_join(n, j);
        member_answer(n, h, ANSWER_LATER, 0, "the answer is being logged");
    }
}

/* An initiator asks this seat. @dry: only whether it would agree. */
static void member_on_prepare(struct node *n,
                              struct peer_anon *h,
                              struct reader *r)
{
    bool dry = rd_u8(r) != 0;
    bool force = rd_u8(r) != 0;
    struct bytes cluster = rd_bytes(r, ID_BYTES);
    struct errmsg em = {{0}};

    if (!reader_done(r) || is_zero(cluster.p)) {
        peer_anon_drop(h);
        return;
    }
    if (n->loading) {
        member_answer(n, h, ANSWER_LATER, 0, "still reading its directory");
        return;
    }
    if (n->id != 0) {
        member_answer(n, h, ANSWER_REFUSED, 0,
                      "this seat already belongs to a cluster");
        return;
    }
    if (!is_zero(n->ident.cluster_id) && !force && !mutant(PROMISE_BROKEN) &&
        memcmp(cluster.p, n->ident.cluster_id, ID_BYTES) != 0) {
        member_answer(n, h, ANSWER_REFUSED, 0,
                      "this seat has promised itself to another kv init; "
                      "repeat it there, or use --force");
        return;
    }
    /* Its own init would go on with the other one's cluster id: two first
     * nodes of one cluster. */
    if ((n->forming || n->member.phase > INIT_CHECK) &&
        !mutant(PROMISE_BROKEN)) {
        member_answer(n, h, ANSWER_LATER, 0,
                      "a kv init is running at this seat, too; try again "
                      "when it has ended");
        return;
    }
    if (!dry &&
        node_promise(n, cluster.p, force || mutant(PROMISE_BROKEN), &em) != 0) {
        member_answer(n, h, ANSWER_REFUSED, 0, em.text);
        return;
    }
    member_answer(n, h, ANSWER_OK, 0, "");
}

void member_on_anon(struct node *n,
                    struct peer_anon *h,
                    const struct peer_ident *who,
                    uint8_t type,
                    struct bytes body)
{
    struct reader r = reader_of(body);
    struct join_words j;

    (void)who;
    (void)rd_bytes(&r, NODE_ENVELOPE);
    if (type == NASK_JOIN && get_join(&r, &j)) {
        if (n->loading) {
            member_answer(n, h, ANSWER_LATER, 0, "still reading its data");
        } else {
            member_on_join(n, h, &j);
        }
    } else if (type == NASK_PREPARE) {
        member_on_prepare(n, h, &r);
    } else {
        peer_anon_drop(h);
    }
}

/* ---- kv init ---- */

static void init_end(struct node *n, const char *error)
{
    struct membership *m = &n->member;
    struct client_op *op = m->init_op;

    m->phase = INIT_NONE;
    m->init_op = NULL;
    member_cancel_asks(n);
    if (op == NULL) {
        return;
    }
    if (error != NULL) {
        client_op_error(op, error);
    } else {
        client_op_reply(op, bytes_str("+OK\r\n"), 0);
    }
}

void member_init_cancel(struct node *n, struct client_op *op)
{
    if (n->member.init_op == op) {
        n->member.init_op = NULL; /* init itself goes on */
    }
}

static void init_next(struct node *n);

static void init_asked(void *data,
                       int code,
                       const struct peer_ident *who,
                       uint8_t type,
                       struct blob *payload,
                       const char *why)
{
    struct seat_ask *s = data;
    struct node *n = s->node;
    struct membership *m = &n->member;
    char line[HF_ERRMSG_MAX];
    struct answer a;

    (void)who;
    s->ask = NULL;
    if (m->phase != INIT_CHECK && m->phase != INIT_PREPARE) {
        return;
    }
    if (code != 0 && mutant(INIT_PARTIAL)) {
        m->seat_done[s->seat] = true;
        init_next(n);
        return;
    }
    if (code != 0 || type != NASK_ANSWER ||
        !get_answer(blob_bytes(payload), &a)) {
        snprintf(line, sizeof line,
                 "ERR the seat at %s does not answer (%.200s); start it and "
                 "run kv init again",
                 n->cfg.join[s->seat],
                 code != 0 && why != NULL ? why : "malformed answer");
        init_end(n, line);
        return;
    }
    if (a.status != ANSWER_OK) {
        snprintf(line, sizeof line, "ERR the seat at %s: %.250s",
                 n->cfg.join[s->seat], a.reason);
        init_end(n, line);
        return;
    }
    m->seat_done[s->seat] = true;
    init_next(n);
}

static void init_ask_seats(struct node *n, bool dry)
{
    struct membership *m = &n->member;
    struct buf b = BUF_INIT;

    node_envelope(n, &b);
    buf_u8(&b, dry ? 1 : 0);
    buf_u8(&b, m->init_force ? 1 : 0);
    buf_append(&b, m->init_cluster, ID_BYTES);
    for (unsigned i = 0; i < (unsigned)n->cfg.join_n; i++) {
        m->seat_done[i] = strcmp(n->cfg.join[i], n->cfg.peer_announce) == 0;
        if (!m->seat_done[i]) {
            m->asks[i].ask =
                peer_ask(n->peers, n->cfg.join[i], NASK_PREPARE, buf_bytes(&b),
                         MEMBER_ASK_TIMEOUT_MS, init_asked, &m->asks[i]);
        }
    }
    buf_release(&b);
}

/* All seats have answered the question of this phase: on to the next. */
static void init_next(struct node *n)
{
    struct membership *m = &n->member;
    struct errmsg em = {{0}};
    char line[HF_ERRMSG_MAX + 32];

    for (unsigned i = 0; i < (unsigned)n->cfg.join_n; i++) {
        if (!m->seat_done[i]) {
            return;
        }
    }
    if (m->phase == INIT_CHECK) {
        if (node_promise(n, m->init_cluster, m->init_force, &em) != 0) {
            snprintf(line, sizeof line, "ERR %s", em.text);
            init_end(n, line);
            return;
        }
        m->phase = INIT_PREPARE;
        init_ask_seats(n, false);
        if (n->cfg.join_n > 1) {
            return;
        }
    }
    m->phase = INIT_FORM;
    if (node_form(n, &em) != 0) {
        snprintf(line, sizeof line, "ERR %s", em.text);
        init_end(n, line);
        return;
    }
    m->phase = INIT_WAIT;
}

void member_do_init(struct node *n, struct client_op *op, bool force)
{
    struct membership *m = &n->member;
    bool seated = n->cfg.join_n == 0;

    for (int i = 0; i < n->cfg.join_n; i++) {
        seated |= strcmp(n->cfg.join[i], n->cfg.peer_announce) == 0;
    }
    if (n->loading) {
        client_op_error(op, "TRYAGAIN still reading the data directory");
    } else if (n->id != 0) {
        client_op_error(op,
                        "ERR this node already belongs to a cluster; kv "
                        "init is for blank ones and runs once");
    } else if (m->phase != INIT_NONE) {
        client_op_error(op, "TRYAGAIN kv init is running here already");
    } else if (!seated) {
        client_op_error(op,
                        "ERR --join does not name this node's own peer "
                        "address: see --peer-listen, --announce-peer");
    } else if (!is_zero(n->ident.cluster_id) && !made_cluster(&n->ident) &&
               !force) {
        client_op_error(op,
                        "ERR this seat has promised itself to a kv init "
                        "at another seat; repeat it there, or use "
                        "--force");
    } else {
        m->init_op = op;
        m->init_force = force;
        m->init_deadline_us = env_now_us(n->env) + MEMBER_INIT_MS * 1000ull;
        m->phase = INIT_CHECK;
        if (!is_zero(n->ident.cluster_id) && made_cluster(&n->ident)) {
            memcpy(m->init_cluster, n->ident.cluster_id, ID_BYTES);
        } else {
            env_random(n->env, m->init_cluster, 8);
            memcpy(m->init_cluster + 8, n->ident.dir_id, 8);
        }
        member_cancel_asks(n);
        init_ask_seats(n, true);
        init_next(n);
    }
}

/* ---- the leader's comparison of table and configuration ---- */

static void member_log_simple(struct node *n, void (*record)(struct buf *b))
{
    struct buf b = BUF_INIT;

    record(&b);
    (void)leader_record(n, buf_bytes(&b));
    buf_release(&b);
}

/* The first entry of a new cluster: who it is, and its seats. */
static void member_log_init(struct node *n)
{
    const char *seats[LIM_SEATS];
    struct entry_node first;
    struct buf b = BUF_INIT;
    unsigned k = 0;

    for (int i = 0; i < n->cfg.join_n; i++) {
        seats[k++] = n->cfg.join[i];
    }
    if (k == 0) {
        seats[k++] = n->cfg.peer_announce;
    }
    memcpy(first.dir_id, n->ident.dir_id, HF_ID_SIZE);
    first.peer = n->cfg.peer_announce;
    first.client = n->cfg.client_announce;
    first.cluster = n->cfg.cluster_announce;
    entry_init(&b, n->ident.cluster_id, seats, k, &first);
    (void)leader_record(n, buf_bytes(&b));
    buf_release(&b);
}

void member_lead(struct node *n)
{
    n->member.lead_since_us = env_now_us(n->env);
    n->member.catching_up = 0;
    if (!machine_has_cluster(n->machine)) {
        member_log_init(n);
    }
}

/* Take out what the table does not have any more. True: one was begun. */
static bool member_drop_one(struct node *n, const struct conf *c)
{
    for (unsigned i = 0; i < c->n; i++) {
        uint64_t id = c->m[i].id;

        if (machine_member(n->machine, id) != NULL) {
            continue;
        }
        if (id == n->id) {
            (void)member_do_transfer(n, 0); /* the next leader does it */
            return true;
        }
        if (driver_change(&n->driver, node_now_ms(n), id, CONF_NONE) == 0) {
            log_info(n->log, "node %llu leaves the configuration",
                     (unsigned long long)id);
        }
        return true;
    }
    return false;
}

/* Bring member @id one role further. True: a change was begun. */
static bool member_raise(struct node *n, const struct conf *c, uint64_t id)
{
    const struct conf_member *m = conf_find(c, id);
    uint64_t now = node_now_ms(n);

    if (m == NULL) {
        log_info(n->log, "node %llu is let in as a learner",
                 (unsigned long long)id);
        return driver_change(&n->driver, now, id, CONF_SPARE) == 0;
    }
    if (m->role == CONF_SPARE) {
        return driver_change(&n->driver, now, id, CONF_STANDBY) == 0;
    }
    if (m->role == CONF_STANDBY && driver_match(&n->driver, id) != 0 &&
        driver_match(&n->driver, id) + MEMBER_CAUGHT_UP >=
            driver_last(&n->driver)) {
        if (driver_change(&n->driver, now, id, CONF_VOTER) == 0) {
            log_info(n->log, "node %llu has caught up and becomes a voter",
                     (unsigned long long)id);
            return true;
        }
    }
    return false;
}

static bool member_all_vote(struct node *n, const struct conf *c)
{
    for (unsigned i = 0; i < machine_seats(n->machine); i++) {
        uint64_t id = machine_seat_at(n->machine, i)->holder;
        const struct conf_member *m = id == 0 ? NULL : conf_find(c, id);

        if (m == NULL || m->role != CONF_VOTER) {
            return false;
        }
    }
    return true;
}

static void member_reconcile(struct node *n)
{
    struct conf c;

    if (!driver_ready(&n->driver) || driver_change_pending(&n->driver) ||
        !machine_has_cluster(n->machine)) {
        return;
    }
    driver_members(&n->driver, &c);
    if (member_drop_one(n, &c)) {
        return;
    }
    for (unsigned i = 0; i < machine_members(n->machine); i++) {
        if (member_raise(n, &c, machine_member_at(n->machine, i)->id)) {
            return;
        }
    }
    if (!machine_initialized(n->machine) &&
        (member_all_vote(n, &c) || mutant(INIT_ENDS_EARLY))) {
        member_log_simple(n, entry_initialized);
    }
}

/* ---- state of followers ---- */

static bool own_room(struct node *n)
{
    return n->wal == NULL || wal_room(n->wal, 0) != WAL_ROOM_NONE;
}

/* What it said to an earlier leader counts no more. */
static bool peer_is_full(struct node *n, uint64_t id)
{
    struct peer_state *p = node_peer_state(n, id);

    return p->no_room && p->state_us >= n->member.lead_since_us;
}

bool member_majority_has_room(struct node *n)
{
    struct conf c;
    unsigned room = 0;
    unsigned voters = 0;

    driver_members(&n->driver, &c);
    for (unsigned i = 0; i < c.n; i++) {
        uint64_t id = c.m[i].id;

        if (c.m[i].role == CONF_VOTER) {
            voters++;
            room += id == n->id ? own_room(n) : !peer_is_full(n, id);
        }
    }
    return room > voters / 2 || voters == 0;
}

/* A full leader hands over to a voter that is not; meanwhile requests wait.
 * If nobody takes it over for a while, they are refused. */
unsigned member_room_flags(struct node *n)
{
    uint64_t now = env_now_us(n->env);
    struct membership *m = &n->member;

    if (own_room(n)) {
        m->full_us = 0;
    } else if (m->full_us == 0) {
        m->full_us = now;
    }
    if (!member_majority_has_room(n)) {
        return LEADER_NOSPACE;
    }
    if (m->full_us == 0) {
        return 0;
    }
    return now - m->full_us < MEMBER_FULL_MS * 1000 ? LEADER_HOLD
                                                    : LEADER_NOSPACE;
}

static void member_leave_full(struct node *n)
{
    struct membership *m = &n->member;
    uint64_t now = env_now_us(n->env);
    uint64_t heir;

    if (own_room(n) || !member_majority_has_room(n) ||
        now - m->handed_us < MEMBER_HAND_MS * 1000 || mutant(FULL_KEEPS)) {
        return;
    }
    heir = member_best_heir(n);
    if (heir != 0 && !peer_is_full(n, heir) &&
        node_peer_state(n, heir)->state_us > m->lead_since_us) {
        m->handed_us = now;
        log_warn(n->log, "no room on disk: handing leadership to node %llu",
                 (unsigned long long)heir);
        (void)member_do_transfer(n, heir);
    }
}

void member_on_state(struct node *n, uint64_t from, struct reader *r)
{
    uint64_t applied = rd_u64(r);
    bool no_room = rd_u8(r) != 0;
    uint64_t log_bytes = rd_u64(r);
    struct peer_state *p = node_peer_state(n, from);

    if (reader_done(r) && p != NULL) {
        p->applied = applied;
        p->no_room = no_room;
        p->log_bytes = log_bytes;
        p->state_us = env_now_us(n->env);
    }
}

static void member_tell_state(struct node *n)
{
    uint64_t leader = node_ready_leader(n);
    uint64_t now = env_now_us(n->env);
    struct buf b = BUF_INIT;

    if (leader == 0 || leader == n->id ||
        now - n->member.state_us < MEMBER_STATE_MS * 1000) {
        return;
    }
    n->member.state_us = now;
    node_envelope(n, &b);
    buf_u64(&b, driver_applied(&n->driver));
    buf_u8(&b, own_room(n) ? 0 : 1);
    buf_u64(&b, n->wal == NULL ? 0 : wal_bytes(n->wal));
    peer_send(n->peers, leader, PEER_CONTROL, NMSG_STATE, buf_bytes(&b), NULL,
              0);
    buf_release(&b);
}

/* A learner never stands for election: one that was removed remembers its
 * last leader for ever. */
static bool leader_is_heard(struct node *n)
{
    uint64_t leader = driver_leader(&n->driver);

    return leader != 0 &&
           (leader == n->id ||
            node_now_ms(n) - n->driver.contact <= 2 * n->cfg.election_ms);
}

static void member_log_address(struct node *n,
                               uint64_t id,
                               const char *peer,
                               const char *client,
                               const char *cluster)
{
    struct buf b = BUF_INIT;

    entry_address(&b, id, peer, client, cluster);
    if (leader_record(n, buf_bytes(&b)) == 0) {
        log_info(n->log, "node %llu is at %s now", (unsigned long long)id,
                 peer);
    }
    buf_release(&b);
}

void member_on_address(struct node *n, uint64_t from, struct reader *r)
{
    char peer[LIM_ADDR];
    char client[LIM_ADDR];
    char cluster[LIM_ADDR];

    if (get_address(r, peer) && get_address(r, client) &&
        get_address(r, cluster) && reader_done(r) && peer[0] != '\0' &&
        machine_member(n->machine, from) != NULL) {
        member_log_address(n, from, peer, client, cluster);
    }
}

/* A member that was started with other addresses tells the leader, which
 * logs them. */
static void member_tell_address(struct node *n)
{
    const struct member *m = machine_member(n->machine, n->id);
    uint64_t leader = node_ready_leader(n);
    uint64_t now = env_now_us(n->env);
    const struct node_config *c = &n->cfg;
    struct buf b = BUF_INIT;

    if (m == NULL || leader == 0 || c->peer_announce[0] == '\0' ||
        now - n->member.address_us < MEMBER_ADDRESS_MS * 1000 ||
        (strcmp(m->peer, c->peer_announce) == 0 &&
         strcmp(m->client, c->client_announce) == 0 &&
         strcmp(m->cluster, c->cluster_announce) == 0)) {
        return;
    }
    n->member.address_us = now;
    if (leader == n->id) {
        member_log_address(n, n->id, c->peer_announce, c->client_announce,
                           c->cluster_announce);
        return;
    }
    node_envelope(n, &b);
    put_addresses(n, &b);
    peer_send(n->peers, leader, PEER_CONTROL, NMSG_ADDRESS, buf_bytes(&b), NULL,
              0);
    buf_release(&b);
}

void member_tick(struct node *n)
{
    struct membership *m = &n->member;
    uint64_t now = env_now_us(n->env);

    if (n->running) {
        if (leader_is_heard(n)) {
            m->no_leader_us = 0;
        } else if (m->no_leader_us == 0) {
            m->no_leader_us = now;
        }
        if (n->leader.term != 0) {
            member_reconcile(n);
            member_leave_full(n);
        }
        member_tell_state(n);
        member_tell_address(n);
    }
    if (m->phase == INIT_WAIT && n->machine != NULL &&
        machine_initialized(n->machine)) {
        log_info(n->log, "the cluster is formed");
        init_end(n, NULL);
    } else if (m->phase != INIT_NONE && now > m->init_deadline_us) {
        init_end(n,
                 "UNKNOWN the cluster is being formed, but not every seat "
                 "votes yet: see kv status");
    }
}

/* ---- operator's actions, at the leader ---- */

/* One with room before one without, then the one with the longer log. */
static bool heir_before(struct node *n, uint64_t a, uint64_t b)
{
    bool full_a = peer_is_full(n, a);
    bool full_b = peer_is_full(n, b);

    if (full_a != full_b) {
        return full_b;
    }
    return driver_match(&n->driver, a) >= driver_match(&n->driver, b);
}

uint64_t member_best_heir(struct node *n)
{
    struct conf c;
    uint64_t best = 0;

    driver_members(&n->driver, &c);
    for (unsigned i = 0; i < c.n; i++) {
        uint64_t id = c.m[i].id;

        if (c.m[i].role == CONF_VOTER && id != n->id &&
            peer_is_up(n->peers, id) &&
            !member_silent(n, id, n->cfg.election_ms) &&
            (best == 0 || heir_before(n, id, best))) {
            best = id;
        }
    }
    return best;
}

const char *member_do_transfer(struct node *n, uint64_t id)
{
    int rv;

    if (id == 0) {
        id = member_best_heir(n);
        if (id == 0) {
            return "TRYAGAIN no other voter is up and caught up";
        }
    }
    if (id == n->id) {
        return NULL;
    }
    rv = driver_transfer(&n->driver, node_now_ms(n), id);
    switch (rv) {
        case 0:
            node_event(n, NODE_EV_TRANSFER, id, 0);
            return NULL;
        case HF_ENOENT:
            return "ERR no such voter";
        case HF_EBUSY:
            return "TRYAGAIN a transfer is already running";
        default:
            return "TRYAGAIN this node does not lead any more";
    }
}

const char *member_do_remove(struct node *n, uint64_t id)
{
    struct conf c;
    const struct conf_member *m;

    if (machine_member(n->machine, id) == NULL) {
        return "ERR no such member (see kv member list)";
    }
    if (driver_change_pending(&n->driver)) {
        return "TRYAGAIN another membership change is pending";
    }
    driver_members(&n->driver, &c);
    m = conf_find(&c, id);
    if (m != NULL && m->role == CONF_VOTER) {
        if (conf_voters(&c) == 1) {
            return "ERR the last voter cannot be removed";
        }
        if (!member_can_lose(n, id)) {
            return "ERR without it no majority of the others would be caught "
                   "up and answering: the cluster would stop";
        }
    }
    return member_log_gone(n, id);
}

const char *member_do_promote(struct node *n, uint64_t id)
{
    struct conf c;
    const struct conf_member *m;

    driver_members(&n->driver, &c);
    m = conf_find(&c, id);
    if (m == NULL) {
        return "ERR no such member (see kv member list)";
    }
    if (m->role == CONF_VOTER) {
        return NULL;
    }
    if (m->role == CONF_SPARE ||
        driver_match(&n->driver, id) + MEMBER_CAUGHT_UP <
            driver_last(&n->driver)) {
        return "TRYAGAIN it has not caught up yet";
    }
    if (driver_change(&n->driver, node_now_ms(n), id, CONF_VOTER) != 0) {
        return "TRYAGAIN another membership change is pending";
    }
    return NULL;
}
