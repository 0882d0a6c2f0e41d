#include "server/node/node.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>

#include "server/command/admin.h"
#include "server/command/command.h"
#include "server/command/stats.h"
#include "server/node/load.h"
#include "server/node/node_int.h"
#include "server/node/peers_file.h"

static void node_start_engine(struct node *n,
                              uint64_t first,
                              const struct entry *e,
                              size_t k,
                              const struct snap_meta *snap);
static void node_exit_task(struct env_task *t);
static void node_settled(struct node *n);
static void node_stop_timer(struct env_timer *t);

/* ---- small services ---- */

void node_fail(struct node *n, enum node_exit status, const char *fmt, ...)
{
    va_list ap;

    if (n->ended) {
        return;
    }
    n->ended = true;
    n->running = false;
    n->exit_status = status;
    va_start(ap, fmt);
    vsnprintf(n->exit_why, sizeof n->exit_why, fmt, ap);
    va_end(ap);
    env_defer(n->env, &n->exit_task);
}

static void node_exit_task(struct env_task *t)
{
    struct node *n = t->data;

    n->cbs.on_exit(n->cbs.data, n->exit_status, n->exit_why);
}

void node_event(struct node *n, enum node_event what, uint64_t a, uint64_t b)
{
    if (n->cfg.observer != NULL && n->cfg.observer->on_event != NULL) {
        n->cfg.observer->on_event(n->cfg.observer->self, n->id, what, a, b);
    }
}

void node_envelope(struct node *n, struct buf *b)
{
    buf_u64(b, ctime_told(n));
    buf_u64(b, env_wall_ms(n->env));
}

struct peer_state *node_peer_state(struct node *n, uint64_t id)
{
    struct peer_state *oldest = NULL;

    for (unsigned i = 0; i < n->states_n; i++) {
        if (n->states[i].id == id) {
            return &n->states[i];
        }
        if (oldest == NULL || n->states[i].heard_us < oldest->heard_us) {
            oldest = &n->states[i];
        }
    }
    if (n->states_n < sizeof n->states / sizeof n->states[0]) {
        oldest = &n->states[n->states_n++];
    }
    *oldest = (struct peer_state){.id = id};
    return oldest;
}

bool node_alive(struct node *n, uint64_t id)
{
    struct peer_state *p = node_peer_state(n, id);
    uint64_t now = env_now_us(n->env);
    uint64_t limit = 2 * n->cfg.election_ms * 1000;

    if (id == n->id || (p->heard_us != 0 && now - p->heard_us < limit)) {
        return true;
    }
    return n->leader.term == 0 && p->told_alive && now - p->told_us < limit;
}

uint64_t node_match(struct node *n, uint64_t id)
{
    struct peer_state *p = node_peer_state(n, id);

    if (id == n->id) {
        return driver_durable(&n->driver);
    }
    if (driver_role(&n->driver) == DRIVER_LEADER) {
        return driver_match(&n->driver, id);
    }
    return p->told_match;
}

uint64_t node_ready_leader(const struct node *n)
{
    struct driver *d = (struct driver *)(uintptr_t)&n->driver;

    if (!n->running || n->ready_leader == 0 ||
        n->ready_term != driver_term(d)) {
        return 0;
    }
    if (n->ready_leader == n->id) {
        return n->leader.term == n->ready_term ? n->id : 0;
    }
    if (driver_leader(d) != n->ready_leader ||
        !peer_is_up(n->peers, n->ready_leader)) {
        return 0;
    }
    return n->ready_leader;
}

unsigned node_leader_flags(const struct node *n)
{
    return n->ready_flags;
}

void node_op_cancel(struct node *n, struct client_op *op)
{
    switch (op->kind) {
        case OP_WRITE:
            session_cancel(n, op);
            break;
        case OP_READ:
            read_cancel(n, op);
            break;
        case OP_NODE:
            admin_cancel(n, op);
            break;
        case OP_LOCAL:
            break;
    }
}

void node_internal_op_end(struct node *n, size_t bytes)
{
    hf_assert(n->internal_ops > 0 && n->internal_bytes >= bytes);
    n->internal_ops--;
    n->internal_bytes -= bytes;
}

bool node_is_leader(const struct node *n)
{
    return n->running && n->leader.term != 0;
}

uint64_t node_id(const struct node *n)
{
    return n->id;
}

bool node_draining(const struct node *n)
{
    return n->stopping;
}

struct machine *node_machine(struct node *n)
{
    return n->machine;
}

uint64_t node_time_ms(struct node *n)
{
    uint64_t t = ctime_estimate(n);

    if (t == 0 && n->machine != NULL) {
        t = machine_time(n->machine);
    }
    return t;
}

const char *node_leader_cluster_address(const struct node *n)
{
    uint64_t id = node_ready_leader(n);
    const struct member *m = id != 0 ? machine_member(n->machine, id) : NULL;

    return m != NULL ? m->cluster : "";
}

uint64_t node_leaderless_ms(const struct node *n)
{
    return n->leaderless_us == 0 || node_ready_leader(n) != 0
               ? 0
               : (env_now_us(n->env) - n->leaderless_us) / 1000;
}

/* ---- garbage, in slices ---- */

void node_garbage(struct node *n)
{
    if (!env_timer_armed(&n->garbage)) {
        env_timer_start(n->env, &n->garbage, env_now_us(n->env) + 1000);
    }
}

/* One step for each machine; true when more is left. */
static bool node_garbage_step(struct node *n)
{
    bool more = false;

    if (n->old_machine != NULL && walker_uses(n, n->old_machine)) {
        more = true;
    } else if (n->old_machine != NULL) {
        if (machine_free_sliced(n->old_machine, NODE_GARBAGE_STEP)) {
            n->old_machine = NULL;
        } else {
            more = true;
        }
    }
    if (n->machine != NULL) {
        more |= machine_free_step(n->machine, NODE_GARBAGE_STEP);
    }
    return more;
}

/* A piece may be a whole leaf of items, so the time decides. */
static void node_garbage_timer(struct env_timer *t)
{
    struct node *n = t->data;
    uint64_t end = env_now_us(n->env) + NODE_GARBAGE_US;
    bool more = true;

    for (int i = 0; i < NODE_GARBAGE_STEPS && more; i++) {
        more = node_garbage_step(n);
        if (env_now_us(n->env) >= end) {
            break;
        }
    }
    if (more) {
        node_garbage(n);
    }
}

/* ---- the machine's hooks ---- */

static bool on_wants_reply(void *ctx, uint64_t session, uint64_t number)
{
    struct node *n = ctx;

    if (session == n->session.id) {
        n->changing = session_client(n, number);
    }
    return leader_wants_reply(n, session);
}

static void on_request(void *ctx,
                       uint64_t session,
                       uint64_t number,
                       enum request_outcome outcome,
                       struct bytes reply)
{
    struct node *n = ctx;
    bool voided = outcome == REQUEST_VOIDED;

    n->changing = NULL;
    if (outcome == REQUEST_GAP) {
        log_error(n->log, "session %llu: number %llu leaves a gap",
                  (unsigned long long)session, (unsigned long long)number);
        return;
    }
    if (outcome == REQUEST_DUPLICATE) {
        return;
    }
    if (session == n->session.id && mutant(REPLY_FROM_LEADER_ONLY) &&
        n->leader.term == 0) {
        return;
    }
    if (session == n->session.id) {
        if (outcome == REQUEST_NO_SESSION) {
            session_lost(n, "it was closed");
            return;
        }
        session_resolve(n, number, voided, reply, n->applying);
    } else if (outcome != REQUEST_NO_SESSION) {
        leader_reply(n, session, number, voided, reply, n->applying);
    }
}

static void on_open(void *ctx,
                    uint64_t id,
                    const uint8_t nonce[HF_ID_SIZE],
                    uint64_t session)
{
    struct node *n = ctx;

    if (id == n->id && session != 0) {
        session_opened(n, session, nonce);
    }
}

static void on_member(void *ctx, uint64_t id, bool gone)
{
    struct node *n = ctx;

    (void)id;
    (void)gone;
    n->members_dirty = true;
    env_defer(n->env, &n->changed_task);
}

static void on_users(void *ctx)
{
    struct node *n = ctx;

    if (n->cbs.on_users != NULL) {
        n->cbs.on_users(n->cbs.data);
    }
}

static void node_machine_hooks(struct node *n, struct machine *m)
{
    struct machine_observer o;

    memset(&o, 0, sizeof o);
    o.ctx = n;
    o.wants_reply = on_wants_reply;
    o.on_request = on_request;
    o.on_open = on_open;
    o.on_member = on_member;
    o.on_users = on_users;
    o.on_change = publish_change;
    o.on_notify = publish_notify;
    machine_set_notify(m, n->notify);
    machine_set_run(m, command_run, NULL);
    machine_set_key(m, command_log_key);
    machine_set_observer(m, &o);
    feed_limits(n);
}

void node_machine_swap(struct node *n, struct machine *m)
{
    hf_assert(n->snapshot.taking == NULL);
    if (n->old_machine != NULL) {
        /* Two installs in a row: rare. */
        if (walker_uses(n, n->old_machine)) {
            walker_adopt(n, n->old_machine);
        } else {
            machine_free(n->old_machine);
        }
    }
    n->old_machine = n->machine;
    n->machine = m;
    node_machine_hooks(n, m);
    if (!mutant(JUMP_UNNOTICED)) {
        publish_lost(n);
    }
    node_garbage(n);
    on_users(n);
}

void node_restored(struct node *n, const struct snap_meta *m)
{
    const struct node_observer *o = n->cfg.observer;

    if (o != NULL && o->on_state != NULL) {
        o->on_state(o->self, n->id, m->index, m->term, machine_sum(n->machine),
                    blob_bytes(m->conf));
    }
    session_restored(n);
    n->members_dirty = true;
    env_defer(n->env, &n->changed_task);
    env_defer(n->env, &n->applied_task);
}

/* ---- the driver's operations ---- */

static void op_persist_vote(void *o, uint64_t term, uint64_t vote)
{
    struct node *n = o;
    struct errmsg em = {{0}};

    if (n->ended) {
        return;
    }
    if (vote_set(&n->vote, term, vote, wal_durable_no(n->wal), &em) != 0) {
        node_fail(n, NODE_EXIT_DISK, "store term and vote: %s", em.text);
    }
}

static void op_append(void *o,
                      uint64_t first,
                      const struct entry *e,
                      unsigned k,
                      uint64_t token)
{
    struct node *n = o;
    const struct node_observer *ob = n->cfg.observer;

    if (n->ended) {
        return;
    }
    if (first <= wal_last_index(n->wal)) {
        node_event(n, NODE_EV_TRUNCATE, first, 0);
    }
    wal_append(n->wal, first, e, k, token);
    for (unsigned i = 0; ob != NULL && ob->on_append != NULL && i < k; i++) {
        ob->on_append(ob->self, n->id, first + i, e[i].term, e[i].type,
                      e[i].data);
    }
}

static void op_install(void *o, const struct snap_meta *m)
{
    struct node *n = o;

    if (!n->ended) {
        snapshot_install(n, m);
    }
}

/* Empty messages go in the order of the others, else they would overtake the
 * entries they refer to; unless so much waits that a leader would be taken
 * for dead. */
enum { NODE_OVERTAKE_BYTES = 256 << 10, NODE_PARTS_MAX = 4 };

static enum peer_class raft_class(struct node *n, const struct raft_msg *m)
{
    if (m->kind != RMSG_APPEND) {
        return m->kind == RMSG_INSTALL ? PEER_BULK : PEER_CONTROL;
    }
    if (m->n_entries == 0 &&
        peer_bulk_pending(n->peers, m->to) > NODE_OVERTAKE_BYTES) {
        return PEER_CONTROL;
    }
    return PEER_BULK;
}

/* A few payloads are handed on as they are; many small ones are cheaper in
 * one piece. */
static void op_send(void *o, const struct raft_msg *m)
{
    struct node *n = o;
    struct buf head = BUF_INIT;
    struct bytes parts[NODE_PARTS_MAX];
    size_t k = 0;

    if (n->ended) {
        return;
    }
    if (m->kind == RMSG_INSTALL) {
        snapshot_send(n, m);
    }
    node_envelope(n, &head);
    raft_msg_encode(m, &head);
    for (unsigned i = 0; i < m->n_entries; i++) {
        if (m->n_entries > NODE_PARTS_MAX) {
            buf_bytes_append(&head, m->entries[i].data);
        } else {
            parts[k++] = m->entries[i].data;
        }
    }
    (void)peer_send(n->peers, m->to, raft_class(n, m), NMSG_RAFT,
                    buf_bytes(&head), parts, k);
    buf_release(&head);
}

/* A read of entries that memory does not hold any more. */
struct log_read {
    struct log_read *next;
    struct node *node;
    uint64_t token;
    unsigned wanted;
    struct env_work refusal;
};

static void log_read_free(struct log_read *lr)
{
    struct log_read **at = &lr->node->log_reads;

    while (*at != lr) {
        at = &(*at)->next;
    }
    *at = lr->next;
    free(lr);
}

static void log_read_done(void *data, const struct wal_read_result *r)
{
    struct log_read *lr = data;
    struct node *n = lr->node;
    unsigned k = r->n < lr->wanted ? (unsigned)r->n : lr->wanted;

    if (!n->ended) {
        if (r->status != 0) {
            log_error(n->log, "read the log back: %s", r->em->text);
            n->snapshot.unreadable |= r->status == HF_ECORRUPT;
            k = 0;
        }
        driver_read_done(&n->driver, node_now_ms(n), lr->token, r->entries, k);
    }
    log_read_free(lr);
}

/* A read that cannot begin is answered from a later turn. */
static void log_read_refused(struct env_work *w)
{
    struct log_read *lr = w->data;

    if (!lr->node->ended) {
        driver_read_done(&lr->node->driver, node_now_ms(lr->node), lr->token,
                         NULL, 0);
    }
    log_read_free(lr);
}

static void log_read_nothing(struct env_work *w)
{
    (void)w;
}

static void op_read_log(void *o, uint64_t first, unsigned k, uint64_t token)
{
    struct node *n = o;
    struct log_read *lr = hf_calloc(1, sizeof *lr);

    lr->next = n->log_reads;
    n->log_reads = lr;
    lr->node = n;
    lr->token = token;
    lr->wanted = k;
    if (wal_read(n->wal, first, LIM_BATCH, log_read_done, lr) != 0) {
        lr->refusal.fn = log_read_nothing;
        lr->refusal.done = log_read_refused;
        lr->refusal.data = lr;
        env_work(n->env, ENV_POOL, &lr->refusal);
    }
}

static void op_apply(void *o, uint64_t index, const struct entry *e)
{
    struct node *n = o;
    const struct node_observer *ob = n->cfg.observer;

    n->applying = index;
    if (e->type == ENTRY_COMMAND) {
        uint64_t expired = machine_expired(n->machine);
        int rv = machine_apply(n->machine, index, e->data);

        expired = machine_expired(n->machine) - expired;
        if (expired > 0) {
            node_event(n, NODE_EV_EXPIRE, expired, index);
        }
        if (rv != 0) {
            /* The same on every node; nothing changed. */
            log_error(n->log, "entry %llu: %s", (unsigned long long)index,
                      hf_strerror(rv));
        }
        ctime_applied(n);
    } else if (e->type == ENTRY_CHANGE) {
        node_event(n, NODE_EV_MEMBERSHIP, index, 0);
    }
    if (ob != NULL && ob->on_apply != NULL) {
        ob->on_apply(ob->self, n->id, index, e->term, e->type, e->data,
                     machine_sum(n->machine));
    }
    env_defer(n->env, &n->applied_task);
}

static void op_timer(void *o, uint64_t at_ms)
{
    struct node *n = o;

    if (at_ms * 1000 > env_now_us(n->env)) {
        n->timer_was_late = false; /* another time than the one that passed */
    }
    env_timer_start(n->env, &n->driver_timer, at_ms * 1000);
}

static void op_changed(void *o)
{
    struct node *n = o;

    env_defer(n->env, &n->changed_task);
}

static void op_probe_done(void *o, uint64_t round, bool ok, uint64_t index)
{
    (void)round;
    read_probe_done(o, ok, index);
}

static void op_fatal(void *o, const char *why)
{
    node_fail(o, NODE_EXIT_BUG, "consensus: %s", why);
}

static const struct driver_ops node_driver_ops = {
    .persist_vote = op_persist_vote,
    .append = op_append,
    .install = op_install,
    .send = op_send,
    .read_log = op_read_log,
    .apply = op_apply,
    .timer = op_timer,
    .state = op_changed,
    .config = op_changed,
    .probe_done = op_probe_done,
    .fatal = op_fatal,
};

static void node_driver_timer(struct env_timer *t)
{
    struct node *n = t->data;

    uint64_t now = env_now_us(n->env);

    if (!n->running) {
        return;
    }
    /* After a stall of this process the leader's messages lie unread in the
     * sockets: they come first, or a leader that never failed is replaced. */
    if (now - t->at_us > NODE_LATE_MS * 1000 && !n->timer_was_late &&
        !mutant(LATE_TIMER_ACTS)) {
        n->timer_was_late = true;
        env_timer_start(n->env, t, now + 1000);
        return;
    }
    n->timer_was_late = false;
    driver_timeout(&n->driver, node_now_ms(n));
}

/* ---- the log's callbacks ---- */

/* The log's first write is durable: from now on it is missed if it is lost.
 * A witness as good comes with every change of term. False: the node ends. */
static bool log_noted(struct node *n)
{
    struct errmsg em = {{0}};

    if (n->vote.now.log_no > 0 || mutant(LOG_NOT_NOTED) ||
        vote_note(&n->vote, wal_durable_no(n->wal), &em) == 0) {
        return true;
    }
    node_fail(n, NODE_EXIT_DISK, "%s", em.text);
    return false;
}

static void on_durable(void *data, uint64_t token)
{
    struct node *n = data;

    if (n->ended || !log_noted(n)) {
        return;
    }
    if (token == NODE_TOKEN_RESET) {
        snapshot_log_reset(n);
    } else if (token == NODE_TOKEN_FORM) {
        node_formed(n);
    } else if (token == NODE_TOKEN_SETTLE) {
        node_settled(n);
    } else {
        driver_appended(&n->driver, node_now_ms(n), token);
    }
    node_latency(n, "log-fsync", wal_write_us(n->wal) / 1000);
}

static void on_log_fatal(void *data, const struct errmsg *em)
{
    node_fail(data, NODE_EXIT_DISK, "%s", em->text);
}

/* ---- changes of leader, configuration, members ---- */

static void node_set_peers(struct node *n)
{
    struct peer_member m[LIM_NODES];
    unsigned k = machine_members(n->machine);

    n->members_dirty = false;
    if (k == 0) {
        return; /* nothing applied yet: what the peers file said stays */
    }
    for (unsigned i = 0; i < k && i < LIM_NODES; i++) {
        const struct member *mm = machine_member_at(n->machine, i);

        memset(&m[i], 0, sizeof m[i]);
        m[i].id = mm->id;
        snprintf(m[i].addr, sizeof m[i].addr, "%s", mm->peer);
        memcpy(m[i].dir_id, mm->dir_id, sizeof m[i].dir_id);
    }
    peer_set_members(n->peers, m, k);
    peers_file_store(n, m, k);
}

static void node_changed_task(struct env_task *t)
{
    struct node *n = t->data;
    uint64_t leader;
    uint64_t term;
    bool changed;

    if (!n->running) {
        return;
    }
    leader = driver_leader(&n->driver);
    term = driver_term(&n->driver);
    changed = leader != n->seen_leader || term != n->seen_term;
    if (changed) {
        n->leader_changes += leader != 0 ? 1 : 0;
        if (leader == 0 && n->leaderless_us == 0) {
            n->leaderless_us = env_now_us(n->env);
        } else if (leader != 0 && n->leaderless_us != 0) {
            node_latency(n, "election",
                         (env_now_us(n->env) - n->leaderless_us) / 1000);
            n->leaderless_us = 0;
        }
        n->seen_leader = leader;
        n->seen_term = term;
        if (leader != 0) {
            log_info(n->log, "term %llu: node %llu leads%s",
                     (unsigned long long)term, (unsigned long long)leader,
                     leader == n->id ? " (this one)" : "");
        } else {
            log_debug(n->log, "term %llu: no leader", (unsigned long long)term);
        }
        if (leader == n->id && n->cfg.observer != NULL &&
            n->cfg.observer->on_leader != NULL) {
            n->cfg.observer->on_leader(n->cfg.observer->self, n->id, term);
        }
    }
    leader_changed(n);
    if (n->members_dirty) {
        node_set_peers(n);
    }
    session_pump(n, changed);
    read_leader_changed(n);
}

static void node_applied_task(struct env_task *t)
{
    struct node *n = t->data;

    if (!n->running) {
        return;
    }
    leader_applied(n);
    read_applied(n);
    if (n->members_dirty) {
        node_set_peers(n);
    }
}

/* ---- messages of peers ---- */

static void on_leader_told(struct node *n, uint64_t id, struct reader *r)
{
    uint64_t match = rd_u64(r);
    bool alive = rd_u8(r) != 0;
    struct peer_state *p;

    if (reader_ok(r)) {
        p = node_peer_state(n, id);
        p->told_us = env_now_us(n->env);
        p->told_match = match;
        p->told_alive = alive;
    }
}

static void on_leader_msg(struct node *n, uint64_t from, struct reader *r)
{
    uint64_t term = rd_u64(r);
    uint32_t flags = rd_u32(r);
    uint32_t k = rd_u32(r);
    bool news;

    if (!reader_ok(r) || term < driver_term(&n->driver)) {
        return;
    }
    for (uint32_t i = 0; i < k && reader_ok(r); i++) {
        on_leader_told(n, rd_u64(r), r);
    }
    news = n->ready_leader != from || n->ready_term != term;
    n->ready_leader = from;
    n->ready_term = term;
    if (n->ready_flags != flags) {
        n->ready_flags = flags;
        session_pump(n, false);
    }
    if (news) {
        session_pump(n, true);
        read_leader_changed(n);
    }
}

/* Only barriers, voids, time, sessions and membership? */
static bool is_control(const struct entry *e)
{
    struct entry_iter it;
    struct entry_view v;

    if (e->type != ENTRY_COMMAND) {
        return true;
    }
    if (!entry_iter_begin(&it, e->data)) {
        return false;
    }
    while (entry_iter_next(&it, &v)) {
        if (v.type == ENTRY_REQUEST) {
            return false;
        }
    }
    return true;
}

/* Can the disk take the entries of @m? A full one keeps its last segments for
 * control entries, unless the cluster admits nothing more: then catching up
 * helps the majority, and has an end. */
static bool append_has_room(struct node *n, const struct raft_msg *m)
{
    bool spare =
        n->ready_term != m->term || (n->ready_flags & LEADER_NOSPACE) != 0;
    uint64_t pending = wal_pending_bytes(n->wal);
    uint64_t bytes = 0;

    for (unsigned i = 0; i < m->n_entries; i++) {
        bytes += m->entries[i].data.n + DISK_SECTOR;
    }
    if (pending > 0 && pending + bytes > NODE_APPEND_BYTES) {
        return false;
    }
    if (!wal_wants_room(n->wal) || mutant(FULL_SWALLOWS)) {
        return true;
    }
    for (unsigned i = 0; i < m->n_entries && !spare; i++) {
        if (!is_control(&m->entries[i])) {
            return wal_room(n->wal, bytes) != WAL_ROOM_NONE;
        }
    }
    return wal_reserved_room(n->wal) >= pending + bytes;
}

/* Entries that cannot be kept are cut off; the rest still is a heartbeat, and
 * the leader sends them again. It must not commit what it does not bring. */
static void on_append(struct node *n, uint64_t from, struct raft_msg *m)
{
    unsigned k = m->n_entries;

    if (k > 0 && append_has_room(n, m)) {
        n->no_room_us = 0;
    } else if (k > 0) {
        m->n_entries = 0;
        if (n->no_room_us == 0) {
            n->no_room_us = env_now_us(n->env);
        }
        if (m->append.commit > m->append.prev_index) {
            m->append.commit = m->append.prev_index;
        }
    }
    driver_receive(&n->driver, node_now_ms(n), from, m);
    m->n_entries = k;
}

static void on_raft_msg(struct node *n,
                        uint64_t from,
                        struct blob *b,
                        struct bytes at)
{
    struct raft_msg m;

    if (raft_msg_decode(b, at, &m) != 0) {
        if (quota_take(&n->foreign, n->log, env_now_us(n->env))) {
            log_warn(n->log, "node %llu sent a malformed message",
                     (unsigned long long)from);
        }
        return;
    }
    if (m.kind == RMSG_INSTALL) {
        snapshot_named(n, m.install.index, m.install.term);
    }
    if (m.kind == RMSG_TIMEOUT_NOW && n->stopping) {
        /* It would hand leadership on at once: nodes that stop together
         * would toss it to and fro. */
    } else if (m.kind == RMSG_INSTALL &&
               !snapshot_at_hand(n, m.install.index, m.install.term)) {
        driver_refuse_install(&n->driver, node_now_ms(n), from, &m);
    } else if (m.kind == RMSG_APPEND) {
        on_append(n, from, &m);
    } else {
        if (m.kind == RMSG_INSTALL) {
            n->no_room_us = 0; /* it stands for what was cut off */
        }
        driver_receive(&n->driver, node_now_ms(n), from, &m);
    }
    raft_msg_release(&m);
}

static void on_replies(struct node *n, struct reader *r)
{
    while (reader_ok(r) && r->n > 0) {
        uint64_t session = rd_u64(r);
        uint64_t number = rd_u64(r);
        uint64_t index = rd_u64(r);
        bool voided = rd_u8(r) != 0;
        struct bytes reply = rd_lbytes(r);

        if (reader_ok(r) && session == n->session.id &&
            (index <= driver_applied(&n->driver) ||
             !session_waits_for_apply(n, number))) {
            session_resolve(n, number, voided, reply, index);
        }
    }
}

static void on_nack(struct node *n, struct reader *r)
{
    uint64_t session = rd_u64(r);
    uint64_t expected = rd_u64(r);

    if (reader_done(r)) {
        session_nack(n, session, expected);
    }
}

static void node_dispatch(struct node *n,
                          uint64_t from,
                          uint8_t type,
                          struct blob *payload,
                          struct reader *r)
{
    switch (type) {
        case NMSG_RAFT:
            on_raft_msg(n, from, payload, bytes_of(r->p, r->n));
            break;
        case NMSG_LEADER:
            on_leader_msg(n, from, r);
            break;
        case NMSG_OPEN:
            leader_on_open(n, from, r);
            break;
        case NMSG_WRITES:
            leader_on_writes(n, from, r);
            break;
        case NMSG_NACK:
            on_nack(n, r);
            break;
        case NMSG_REPLIES:
            on_replies(n, r);
            break;
        case NMSG_READ_ROUND:
            read_on_round(n, from, r);
            break;
        case NMSG_READ_INDEX:
            read_on_index(n, from, r);
            break;
        case NMSG_PASS:
            read_on_pass(n, from, r);
            break;
        case NMSG_PASS_REPLY:
            read_on_pass_reply(n, from, r);
            break;
        case NMSG_SNAP:
            snapx_receive(n->snapshot.xfer, from, bytes_of(r->p, r->n));
            break;
        case NMSG_STATE:
            member_on_state(n, from, r);
            break;
        case NMSG_ADDRESS:
            member_on_address(n, from, r);
            break;
        case NMSG_PUBLISH:
            publish_on_message(n, from, r);
            break;
        default:
            if (quota_take(&n->foreign, n->log, env_now_us(n->env))) {
                log_warn(n->log, "node %llu sent a message of unknown type %u",
                         (unsigned long long)from, type);
            }
    }
}

/* The mutant's: a node in repair grants what it is asked for. */
static void vote_for_anybody(struct node *n,
                             uint64_t from,
                             struct blob *b,
                             struct bytes at)
{
    struct raft_msg m;
    struct raft_msg a;

    if (raft_msg_decode(b, at, &m) != 0) {
        return;
    }
    if (m.kind == RMSG_VOTE) {
        memset(&a, 0, sizeof a);
        a.kind = RMSG_VOTE_RESULT;
        a.version = m.version;
        a.to = from;
        a.term = m.term;
        a.vote_result.granted = true;
        a.vote_result.pre_vote = m.vote.pre_vote;
        op_send(n, &a);
    }
    raft_msg_release(&m);
}

static void on_message(void *data,
                       uint64_t from,
                       uint8_t type,
                       struct blob *payload)
{
    struct node *n = data;
    struct reader r = reader_of(blob_bytes(payload));
    uint64_t estimate = rd_u64(&r);
    uint64_t wall = rd_u64(&r);
    struct peer_state *p;

    if (repair_active(&n->repair) && type == NMSG_SNAP && reader_ok(&r)) {
        snapx_receive(n->snapshot.xfer, from, bytes_of(r.p, r.n));
    }
    if (repair_active(&n->repair) && type == NMSG_RAFT && reader_ok(&r) &&
        mutant(REPAIR_VOTES)) {
        vote_for_anybody(n, from, payload, bytes_of(r.p, r.n));
    }
    if (!n->running || !reader_ok(&r)) {
        return;
    }
    if (type == NMSG_REPAIR) {
        repair_on_message(n, from, &r); /* no sign of life of a member */
        return;
    }
    p = node_peer_state(n, from);
    p->repair_us = 0;
    p->heard_us = env_now_us(n->env);
    ctime_observe(n, from, estimate, wall);
    node_dispatch(n, from, type, payload, &r);
}

static void on_anon(void *data,
                    struct peer_anon *h,
                    const struct peer_ident *who,
                    uint8_t type,
                    struct blob *payload)
{
    struct node *n = data;

    if (n->ended || n->stopping) {
        peer_anon_drop(h);
        return;
    }
    member_on_anon(n, h, who, type, blob_bytes(payload));
}

static void on_up(void *data, uint64_t id)
{
    struct node *n = data;

    if (n->running && id == n->ready_leader) {
        session_pump(n, true);
        read_leader_changed(n);
    }
}

static void on_refused_connect(void *data, uint64_t id)
{
    struct node *n = data;

    if (n->running) {
        driver_peer_died(&n->driver, node_now_ms(n), id);
    }
}

static const struct peer_cbs node_peer_cbs = {
    .on_message = on_message,
    .on_anon = on_anon,
    .on_up = on_up,
    .on_refused_connect = on_refused_connect,
};

/* ---- housekeeping ---- */

static void node_watch_disk(struct node *n)
{
    uint64_t stall = wal_stall_us(n->wal);
    uint64_t now = env_now_us(n->env);

    if (stall > NODE_STALL_EXIT_MS * 1000ull) {
        node_fail(n, NODE_EXIT_DISK, "a log write has not returned for %llu ms",
                  (unsigned long long)(stall / 1000));
        return;
    }
    if (stall > n->cfg.election_ms * 1000 && n->leader.term != 0 &&
        now - n->stall_us > 1000000) {
        n->stall_us = now;
        log_warn(n->log,
                 "the disk has stalled for %llu ms: handing "
                 "leadership over",
                 (unsigned long long)(stall / 1000));
        (void)member_do_transfer(n, 0);
    }
}

static void node_uname(struct node *n)
{
    struct utsname u;

    if (uname(&u) == 0) {
        snprintf(n->os, sizeof n->os, "%.60s %.60s %.60s", u.sysname, u.release,
                 u.machine);
    }
}

void node_latency(struct node *n, const char *event, uint64_t ms)
{
    if (n->cfg.edge != NULL && ms > 0) {
        stats_event(n->cfg.edge->stats, event, ms, env_wall_ms(n->env) / 1000);
    }
}

void node_configure(struct node *n, const struct node_config *cfg)
{
    n->cfg.request_timeout_ms = cfg->request_timeout_ms;
    n->cfg.snapshot_floor = cfg->snapshot_floor;
    n->cfg.log_budget = cfg->log_budget;
    n->cfg.memory_limit = cfg->memory_limit;
    n->cfg.snapshot_rate = cfg->snapshot_rate;
    n->cfg.history_count = cfg->history_count;
    n->cfg.history_bytes = cfg->history_bytes;
    feed_limits(n);
    snapx_set_rate(n->snapshot.xfer, cfg->snapshot_rate);
}

/* The rates of INFO. */
static void node_sample(struct node *n)
{
    const struct edge_counters *e = n->cfg.edge;

    if (e != NULL && e->stats != NULL) {
        const uint64_t totals[STATS_RATE_KINDS] = {
            [RATE_COMMANDS] = e->commands,
            [RATE_INPUT] = e->input_bytes,
            [RATE_OUTPUT] = e->output_bytes,
        };

        stats_tick(e->stats, env_now_us(n->env), totals,
                   n->machine != NULL ? machine_bytes(n->machine) : 0);
    }
}

static void node_tick(struct env_timer *t)
{
    struct node *n = t->data;

    if (n->ended) {
        return;
    }
    if (n->running) {
        /* A write that seems not to return may be done: this process slept. */
        if (env_now_us(n->env) - t->at_us < n->cfg.election_ms * 500) {
            node_watch_disk(n);
        }
        snapshot_tick(n);
        leader_applied(n);
        node_garbage(n);
    }
    admin_tick(n);
    member_tick(n);
    publish_tick(n);
    node_sample(n);
    env_timer_start(n->env, t, env_now_us(n->env) + NODE_TICK_MS * 1000);
}

/* ---- becoming a member ---- */

static void node_peer_self(struct node *n, struct peer_ident *self)
{
    memset(self, 0, sizeof *self);
    memcpy(self->cluster_id, n->ident.cluster_id, sizeof self->cluster_id);
    memcpy(self->dir_id, n->ident.dir_id, sizeof self->dir_id);
    self->node_id = n->ident.node_id;
    snprintf(self->addr, sizeof self->addr, "%s", n->cfg.peer_announce);
}

static int node_peers_start(struct node *n, struct errmsg *em)
{
    struct peer_config c;
    int rv;

    if (n->peers != NULL) { /* after a repair */
        struct peer_ident self;

        node_peer_self(n, &self);
        peer_set_self(n->peers, &self);
        return 0;
    }
    memset(&c, 0, sizeof c);
    c.env = n->env;
    c.log = n->log;
    c.bind_host = n->cfg.bind_host[0] != '\0' ? n->cfg.bind_host : NULL;
    c.silence_ms = (uint32_t)n->cfg.election_ms;
    c.cbs = &node_peer_cbs;
    c.data = n;
    node_peer_self(n, &c.self);
    n->peers = peer_new(&c);
    rv = peer_listen(n->peers, n->cfg.peer_listen, em);
    if (rv != 0) {
        return errmsg_wrap(em, rv, "listen for peers on %s",
                           n->cfg.peer_listen);
    }
    return 0;
}

int node_promise(struct node *n,
                 const uint8_t cluster[ID_BYTES],
                 bool force,
                 struct errmsg *em)
{
    struct peer_ident self;
    int rv = 0;

    if (memcmp(n->ident.cluster_id, cluster, ID_BYTES) == 0) {
        return 0;
    }
    if (force) {
        rv = identity_forget(n->env->disk, &n->ident, em);
    }
    if (rv == 0) {
        rv = identity_assign(n->env->disk, &n->ident, cluster, 0, em);
    }
    if (rv == 0) {
        node_peer_self(n, &self);
        (void)self; /* a promised seat is still anonymous to its peers */
    }
    return rv;
}

/* Empty log and vote of a new member; its identity is stored last, so that a
 * crash before leaves a blank seat. */
static int node_new_data(struct node *n,
                         const uint8_t cluster[ID_BYTES],
                         uint64_t id,
                         struct errmsg *em)
{
    struct identity as = n->ident;
    struct wal_recover_in in;
    struct wal_recovered rec;
    struct wal_cbs cbs = {on_durable, on_log_fatal, n};
    struct snap_file none;
    int rv;

    memcpy(as.cluster_id, cluster, ID_BYTES);
    as.node_id = id;
    /* Makes the directory that snapshots go to. */
    rv = snap_open(n->env->disk, &as, &none, em);
    if (rv != 0) {
        return rv;
    }
    snap_file_release(&none);
    rv = vote_open(&n->vote, n->env->disk, &as, false, em);
    if (rv != 0) {
        return rv;
    }
    memset(&in, 0, sizeof in);
    in.cfg.id = as;
    in.cfg.segment_bytes = n->cfg.segment_bytes;
    rv = wal_recover(n->env->disk, &in, &rec, em);
    if (rv != 0) {
        return rv;
    }
    n->wal = wal_new(n->env, n->log, &in.cfg, &rec, &cbs);
    wal_recovered_release(&rec);
    return 0;
}

static int node_take_identity(struct node *n,
                              const uint8_t cluster[ID_BYTES],
                              uint64_t id,
                              struct errmsg *em)
{
    struct peer_ident self;
    int rv = identity_assign(n->env->disk, &n->ident, cluster, id, em);

    if (rv != 0) {
        return rv;
    }
    n->id = id;
    node_peer_self(n, &self);
    peer_set_self(n->peers, &self);
    return 0;
}

int node_join(struct node *n,
              const uint8_t cluster[ID_BYTES],
              uint64_t id,
              struct errmsg *em)
{
    int rv = node_new_data(n, cluster, id, em);

    if (rv == 0) {
        rv = node_take_identity(n, cluster, id, em);
    }
    if (rv == 0) {
        node_start_engine(n, 1, NULL, 0, NULL);
    }
    return rv;
}

static void form_entry(struct entry *e)
{
    struct conf c = {.n = 1, .m = {{1, CONF_VOTER}}};

    driver_bootstrap_entry(&c, e);
}

int node_form(struct node *n, struct errmsg *em)
{
    struct entry e;
    int rv = node_new_data(n, n->ident.cluster_id, 1, em);

    if (rv != 0) {
        return rv;
    }
    form_entry(&e);
    n->forming = true;
    wal_append(n->wal, 1, &e, 1, NODE_TOKEN_FORM);
    entry_unref(&e);
    return 0;
}

/* Entry 1 is durable: the cluster exists. */
void node_formed(struct node *n)
{
    struct errmsg em = {{0}};
    struct entry e;

    n->forming = false;
    if (vote_set(&n->vote, 1, 0, wal_durable_no(n->wal), &em) != 0 ||
        node_take_identity(n, n->ident.cluster_id, 1, &em) != 0) {
        node_fail(n, NODE_EXIT_DISK, "form the cluster: %s", em.text);
        return;
    }
    form_entry(&e);
    log_info(n->log, "formed a new cluster as node 1");
    node_start_engine(n, 1, &e, 1, NULL);
    entry_unref(&e);
}

static void node_start_engine(struct node *n,
                              uint64_t first,
                              const struct entry *e,
                              size_t k,
                              const struct snap_meta *snap)
{
    const struct node_observer *ob = n->cfg.observer;
    struct driver_config c;

    driver_config_default(&c);
    c.election_ms = (uint32_t)n->cfg.election_ms;
    c.heartbeat_ms = (uint32_t)n->cfg.heartbeat_ms;
    c.cache_bytes = n->cfg.cache_bytes;
    env_random(n->env, &c.seed, sizeof c.seed);
    c.seed |= 1;
    driver_init(&n->driver, n->id, &node_driver_ops, n, &c);
    n->driver_made = true;
    n->running = true;
    n->replay_to = first + k - 1;
    for (size_t i = 0; ob != NULL && ob->on_append != NULL && i < k; i++) {
        ob->on_append(ob->self, n->id, first + i, e[i].term, e[i].type,
                      e[i].data);
    }
    if (driver_start(&n->driver, node_now_ms(n), n->vote.now.term,
                     n->vote.now.vote, snap, first, e, (unsigned)k) != 0) {
        node_fail(n, NODE_EXIT_BUG, "the engine refused to start");
        return;
    }
    n->members_dirty = true;
    env_defer(n->env, &n->changed_task);
    session_pump(n, false);
    member_blank(n); /* asks, should no leader show up */
}

/* ---- loading ---- */

static enum node_exit load_exit(int status)
{
    switch (status) {
        case HF_EBUSY:
            return NODE_EXIT_BUSY;
        case HF_EIDENTITY:
        case HF_ECORRUPT:
        case HF_EVERSION:
            return NODE_EXIT_DAMAGED;
        default:
            return NODE_EXIT_DISK;
    }
}

/* A repaired member has nothing but its snapshot. That its log begins behind
 * it is made durable before the mark of the repair goes and it takes part. */
static void node_settle(struct node *n, const struct snap_meta *snap)
{
    snap_meta_set(&n->settling, snap);
    wal_reset(n->wal, snap->index + 1, snap->term, NODE_TOKEN_SETTLE);
}

/* A fetched snapshot may be of a term that this node never saw; so may the one
 * that a node finds which crashed between storing it and the rest of the
 * repair. Raising the term without a vote is always right. */
static bool node_saw_term(struct node *n, uint64_t term)
{
    struct errmsg em = {{0}};

    if (term > n->vote.now.term &&
        vote_set(&n->vote, term, 0, wal_durable_no(n->wal), &em) != 0) {
        node_fail(n, NODE_EXIT_DISK, "store the term: %s", em.text);
        return false;
    }
    return true;
}

static void node_settled(struct node *n)
{
    if (!node_saw_term(n, n->settling.term)) {
        return;
    }
    repair_settled(n);
    if (!n->ended) {
        node_start_engine(n, n->settling.index + 1, NULL, 0, &n->settling);
    }
    snap_meta_release(&n->settling);
}

static void node_loaded_member(struct node *n, struct node_loader *l)
{
    struct wal_cbs cbs = {on_durable, on_log_fatal, n};
    struct wal_cfg wc;
    struct snap_meta snap = {0, 0, 0, NULL};
    uint64_t ms = (env_now_us(n->env) - l->started_us) / 1000;

    memset(&wc, 0, sizeof wc);
    wc.id = l->ident;
    wc.segment_bytes = n->cfg.segment_bytes;
    n->vote = l->vote;
    log_info(n->log,
             "node %llu: recovered %zu entries (%llu bytes) behind snapshot "
             "%llu, term %llu, in %llu ms%s",
             (unsigned long long)n->id, l->wal.n,
             (unsigned long long)l->wal.bytes,
             (unsigned long long)l->snap.index,
             (unsigned long long)l->vote.now.term, (unsigned long long)ms,
             l->wal.torn_bytes != 0 ? "; a torn tail was cut" : "");
    if (l->wal.torn_bytes != 0) {
        node_event(n, NODE_EV_TORN, l->wal.last, 0);
    }
    n->wal = wal_new(n->env, n->log, &wc, &l->wal, &cbs);
    if (l->snap.index != 0) {
        snap.index = l->snap.index;
        snap.term = l->snap.term;
        snap.conf_index = l->snap.conf_index;
        snap.conf = blob_copy(l->snap.conf.p, l->snap.conf.n);
        n->snapshot.index = snap.index;
        n->snapshot.term = snap.term;
        n->snapshot.last_bytes = l->snap.data_bytes;
        n->snapshot.file_bytes = l->snap.file_bytes;
        n->snapshot.file_crc = l->snap.hash;
        if (n->cfg.observer != NULL && n->cfg.observer->on_state != NULL) {
            n->cfg.observer->on_state(n->cfg.observer->self, n->id, snap.index,
                                      snap.term, machine_sum(n->machine),
                                      blob_bytes(snap.conf));
        }
    }
    peer_set_members(n->peers, l->peers, l->peers_n);
    if (l->mark.kind == REPAIR_LOG) {
        node_settle(n, &snap);
        snap_meta_release(&snap);
        return;
    }
    if (node_saw_term(n, snap.term)) {
        node_start_engine(n, l->wal.first_index, l->wal.entries, l->wal.n,
                          snap.index != 0 ? &snap : NULL);
    }
    if (l->peers_n > 0) {
        /* The snapshot's table may be older, and its addresses with it: the
         * leader could then not be found to learn the newer ones from. */
        n->members_dirty = false;
    }
    snap_meta_release(&snap);
}

/* Started without --join: where its peers were known to be last. */
static void node_know_seats(struct node *n, const struct node_loader *l)
{
    if (n->cfg.join_n > 0 ||
        (l->verdict == LOAD_START && identity_has_node(&l->ident))) {
        return;
    }
    for (unsigned i = 0; i < l->peers_n && n->cfg.join_n < LIM_SEATS; i++) {
        snprintf(n->cfg.join[n->cfg.join_n++], LIM_ADDR, "%s",
                 l->peers[i].addr);
    }
}

static void load_done(struct env_work *w)
{
    struct node_loader *l = w->data;
    struct node *n = l->node;
    struct errmsg em = {{0}};

    n->loader = NULL;
    if (n->ended) {
        load_free(l);
        return;
    }
    if (l->status != 0) {
        node_fail(n, load_exit(l->status), "%s", l->em.text);
        load_free(l);
        return;
    }
    n->ident = l->ident;
    n->id = l->ident.node_id;
    if (n->machine != NULL) {
        machine_free(n->machine); /* empty: of a node in repair */
    }
    n->machine = l->machine != NULL ? l->machine : machine_new();
    l->machine = NULL;
    node_machine_hooks(n, n->machine);
    publish_lost(n);
    on_users(n);
    n->loading = false;
    node_know_seats(n, l);
    if (node_peers_start(n, &em) != 0) {
        node_fail(n, NODE_EXIT_USAGE, "%s", em.text);
    } else if (l->verdict != LOAD_START) {
        repair_begin(n, l);
    } else if (identity_has_node(&n->ident)) {
        node_loaded_member(n, l);
    } else {
        member_blank(n);
    }
    load_free(l);
    if (!n->ended && !n->told_ready && n->cbs.on_ready != NULL) {
        n->told_ready = true;
        n->cbs.on_ready(n->cbs.data);
    }
}

static void node_load(struct node *n, bool again)
{
    struct node_loader *l = hf_calloc(1, sizeof *l);

    l->node = n;
    l->disk = n->env->disk;
    l->started_us = env_now_us(n->env);
    l->segment_bytes = n->cfg.segment_bytes;
    l->wall_s = env_wall_ms(n->env) / 1000;
    l->again = again;
    l->repair = !n->cfg.repair_refuse;
    env_random(n->env, l->fresh, sizeof l->fresh);
    l->work.fn = load_fn;
    l->work.done = load_done;
    l->work.data = l;
    n->loader = l;
    n->loading = true;
    env_work(n->env, ENV_POOL, &l->work);
}

void node_reload(struct node *n)
{
    node_load(n, true);
}

/* ---- life ---- */

static void node_defaults(struct node_config *c)
{
    static const struct {
        size_t at;
        uint64_t value;
    } d[] = {
        {offsetof(struct node_config, election_ms), LIM_ELECTION_MS},
        {offsetof(struct node_config, heartbeat_ms), LIM_HEARTBEAT_MS},
        {offsetof(struct node_config, request_timeout_ms), 4000},
        {offsetof(struct node_config, silence_ms), 3000},
        {offsetof(struct node_config, segment_bytes), 64 << 20},
        {offsetof(struct node_config, snapshot_floor), 128 << 20},
        {offsetof(struct node_config, snapshot_rate), 128 << 20},
        {offsetof(struct node_config, log_budget), 512 << 20},
        {offsetof(struct node_config, cache_bytes), 32 << 20},
        {offsetof(struct node_config, request_max), LIM_REQUEST},
        {offsetof(struct node_config, history_count), HISTORY_COUNT_DEFAULT},
        {offsetof(struct node_config, history_bytes), HISTORY_BYTES_DEFAULT},
    };

    for (size_t i = 0; i < sizeof d / sizeof d[0]; i++) {
        uint64_t *v = (uint64_t *)(void *)((char *)c + d[i].at);

        if (*v == 0) {
            *v = d[i].value;
        }
    }
}

int node_start(struct env *e,
               const struct node_config *cfg,
               const struct node_cbs *cbs,
               struct node **out,
               struct errmsg *em)
{
    struct node *n;

    if (e->disk == NULL || cfg->join_n < 0 || cfg->join_n > LIM_SEATS) {
        return errmsg_set(em, HF_EINVAL, "configuration");
    }
    n = hf_calloc(1, sizeof *n);
    n->env = e;
    n->cfg = *cfg;
    n->cbs = *cbs;
    n->log = cfg->log;
    n->started_us = env_now_us(e);
    node_defaults(&n->cfg);
    env_timer_init(&n->driver_timer, node_driver_timer, n);
    env_timer_init(&n->tick, node_tick, n);
    env_timer_init(&n->garbage, node_garbage_timer, n);
    env_timer_init(&n->stop_timer, node_stop_timer, n);
    env_task_init(&n->changed_task, node_changed_task, n);
    env_task_init(&n->applied_task, node_applied_task, n);
    env_task_init(&n->exit_task, node_exit_task, n);
    session_init(n);
    leader_init(n);
    read_init(n);
    feed_init(n);
    wait_init(n);
    node_uname(n);
    member_init(n);
    snapshot_init(n);
    repair_init(n);
    node_load(n, false);
    env_timer_start(e, &n->tick, n->started_us + NODE_TICK_MS * 1000);
    *out = n;
    return 0;
}

/* ---- orderly end ---- */

static void node_closed(void *data, bool clean)
{
    struct node *n = data;

    if (clean) {
        node_fail(n, NODE_EXIT_OK, "stopped");
    } else {
        node_fail(n, NODE_EXIT_DISK, "the log could not be closed");
    }
}

/*  hand over --not leading, or too long--> drain --nothing under way, or too
 *  long--> close the log --> on_exit */
static void node_stop_timer(struct env_timer *t)
{
    struct node *n = t->data;
    uint64_t ms = (env_now_us(n->env) - n->stop_us) / 1000;
    bool leads = n->running && driver_role(&n->driver) == DRIVER_LEADER &&
                 member_best_heir(n) != 0;

    if (n->ended || n->closing) {
        return;
    }
    if (n->loader != NULL || n->snapshot.installing != NULL ||
        n->repair.job != NULL || n->settling.index != 0 ||
        (leads && ms < NODE_STOP_TRANSFER_MS &&
         !mutant(STOP_WITHOUT_TRANSFER)) ||
        (n->session.base < n->session.next && !mutant(STOP_WITHOUT_DRAIN) &&
         ms < NODE_STOP_TRANSFER_MS + NODE_STOP_DRAIN_MS)) {
        if (leads) {
            (void)member_do_transfer(n, 0);
        }
        env_timer_start(n->env, t, env_now_us(n->env) + 10 * 1000);
        return;
    }
    if (n->wal == NULL) {
        node_fail(n, NODE_EXIT_OK, "stopped");
        return;
    }
    n->closing = true;
    n->running = false;
    wal_close(n->wal, node_closed, n);
}

void node_stop(struct node *n)
{
    if (n->stopping || n->ended) {
        return;
    }
    n->stopping = true;
    n->stop_us = env_now_us(n->env);
    feed_stop(n);
    wait_stop(n);
    env_timer_start(n->env, &n->stop_timer, n->stop_us);
}

void node_free(struct node *n)
{
    struct env *e = n->env;

    n->ended = true;
    n->running = false;
    walker_release(n);
    feed_release(n);
    wait_release(n);
    read_release(n);
    session_release(n);
    leader_release(n);
    member_release(n);
    snapshot_release(n);
    repair_release(n);
    snap_meta_release(&n->settling);
    if (n->peers != NULL) {
        peer_free(n->peers);
    }
    if (n->driver_made) {
        driver_release(&n->driver);
    }
    if (n->wal != NULL) {
        wal_free_crashed(n->wal);
    }
    while (n->log_reads != NULL) {
        log_read_free(n->log_reads); /* their answers never come */
    }
    if (n->loader != NULL) {
        load_free(n->loader);
    }
    peers_file_release(n);
    if (n->old_machine != NULL) {
        machine_free(n->old_machine);
    }
    if (n->machine != NULL) {
        machine_free(n->machine);
    }
    env_timer_stop(e, &n->driver_timer);
    env_timer_stop(e, &n->tick);
    env_timer_stop(e, &n->garbage);
    env_timer_stop(e, &n->stop_timer);
    env_undefer(e, &n->changed_task);
    env_undefer(e, &n->applied_task);
    env_undefer(e, &n->exit_task);
    free(n);
}

void node_set_edge(struct node *n, const struct edge_counters *edge)
{
    n->cfg.edge = edge;
}
