#include "server/node/leader.h"

#include <stdlib.h>

#include "server/node/node_int.h"

static void leader_close_task(struct env_task *t);
static void leader_reply_task(struct env_task *t);
static void leader_announce_timer(struct env_timer *t);
static void leader_expire_timer(struct env_timer *t);
static void leader_pace_timer(struct env_timer *t);

void leader_init(struct node *n)
{
    struct leader *l = &n->leader;

    memset(l, 0, sizeof *l);
    env_task_init(&l->close_task, leader_close_task, n);
    env_task_init(&l->reply_task, leader_reply_task, n);
    env_timer_init(&l->announce, leader_announce_timer, n);
    env_timer_init(&l->expire, leader_expire_timer, n);
    env_timer_init(&l->pace, leader_pace_timer, n);
}

/* Forget what was taken and not yet given to the engine: its origins send it
 * again, to whoever leads next. */
static void leader_drop(struct node *n)
{
    struct leader *l = &n->leader;

    while (l->closed_n > 0) {
        blob_unref(l->closed[l->closed_head]);
        l->closed_head = (l->closed_head + 1) % LEADER_BATCHES_MAX;
        l->closed_n--;
    }
    l->closed_bytes = 0;
    buf_clear(&l->batch);
    l->batch_records = 0;
    l->batch_opens = false;
    l->flying_n = 0;
    l->flying_records = 0;
    l->sessions_n = 0;
    for (unsigned i = 0; i < LIM_NODES; i++) {
        buf_clear(&l->replies[i]);
        l->replies_to[i] = 0;
    }
}

void leader_release(struct node *n)
{
    struct leader *l = &n->leader;

    leader_drop(n);
    buf_release(&l->batch);
    for (unsigned i = 0; i < LIM_NODES; i++) {
        buf_release(&l->replies[i]);
    }
    env_undefer(n->env, &l->close_task);
    env_undefer(n->env, &l->reply_task);
    env_timer_stop(n->env, &l->pace);
    env_timer_stop(n->env, &l->announce);
    env_timer_stop(n->env, &l->expire);
}

/* ---- accession ---- */

void leader_changed(struct node *n)
{
    struct leader *l = &n->leader;
    uint64_t term = driver_term(&n->driver);
    /* During a transfer it is not ready, but goes on with what it has. */
    bool leads = driver_role(&n->driver) == DRIVER_LEADER &&
                 (driver_ready(&n->driver) || l->term == term);

    if (mutant(LEADER_TAKES_EARLY) &&
        driver_role(&n->driver) == DRIVER_LEADER) {
        leads = true;
    }
    if (leads && l->term == term) {
        return;
    }
    if (l->term != 0) {
        leader_drop(n);
        env_timer_stop(n->env, &l->announce);
        env_timer_stop(n->env, &l->expire);
        l->term = 0;
        ctime_follow(n);
    }
    if (!leads) {
        return;
    }
    l->term = term;
    ctime_lead(n);
    l->cold = n->ctime.cold;
    l->stamp_ms = machine_time(n->machine);
    member_lead(n);
    leader_announce(n);
    env_timer_start(n->env, &l->expire,
                    env_now_us(n->env) + LEADER_EXPIRE_MS * 1000);
}

static unsigned leader_flags(struct node *n)
{
    unsigned flags = 0;

    if (!machine_initialized(n->machine)) {
        flags |= LEADER_INIT;
    }
    if (n->cfg.memory_limit != 0 &&
        machine_bytes(n->machine) + machine_bytes_held(n->machine) >=
            n->cfg.memory_limit) {
        flags |= LEADER_OOM;
    }
    return flags | member_room_flags(n);
}

static void leader_set_flags(struct node *n, unsigned flags)
{
    unsigned changed = n->ready_flags ^ flags;

    n->ready_flags = flags;
    if ((changed & LEADER_NOSPACE) != 0) {
        if ((flags & LEADER_NOSPACE) != 0) {
            log_warn(n->log,
                     "no majority of the nodes has room on disk: "
                     "writes are refused, reads go on");
            node_event(n, NODE_EV_NOSPACE, 0, 0);
        } else {
            log_info(n->log, "room on disk again: writes are taken");
        }
    }
    if ((changed & LEADER_OOM) != 0) {
        log_warn(n->log, "%s",
                 (flags & LEADER_OOM) != 0
                     ? "the memory limit is reached: writes "
                       "that need memory are refused"
                     : "below the memory limit again");
    }
    if (changed != 0) {
        session_pump(n, false);
    }
}

/* Tell everyone who leads and takes requests. Repeated with each heartbeat:
 * a lost one costs as much time as that. */
void leader_announce(struct node *n)
{
    struct leader *l = &n->leader;
    struct buf b = BUF_INIT;

    if (l->term == 0) {
        return;
    }
    n->ready_leader = n->id;
    n->ready_term = l->term;
    leader_set_flags(n, leader_flags(n));
    node_envelope(n, &b);
    buf_u64(&b, l->term);
    buf_u32(&b, n->ready_flags);
    buf_u32(&b, (uint32_t)machine_members(n->machine));
    for (unsigned i = 0; i < machine_members(n->machine); i++) {
        uint64_t id = machine_member_at(n->machine, i)->id;

        buf_u64(&b, id);
        buf_u64(&b, node_match(n, id));
        buf_u8(&b, node_alive(n, id) ? 1 : 0);
    }
    for (unsigned i = 0; i < machine_members(n->machine); i++) {
        uint64_t id = machine_member_at(n->machine, i)->id;

        if (id != n->id) {
            peer_send(n->peers, id, PEER_CONTROL, NMSG_LEADER, buf_bytes(&b),
                      NULL, 0);
        }
    }
    buf_release(&b);
    env_timer_start(n->env, &l->announce,
                    env_now_us(n->env) + n->cfg.heartbeat_ms * 1000);
}

static void leader_announce_timer(struct env_timer *t)
{
    leader_announce(t->data);
}

/* ---- intake ---- */

static struct lead_session *lead_session_find(struct node *n, uint64_t id)
{
    struct leader *l = &n->leader;

    for (unsigned i = 0; i < l->sessions_n; i++) {
        if (l->sessions[i].id == id) {
            return &l->sessions[i];
        }
    }
    return NULL;
}

/* Begin to follow session @id. Exact only while nothing of it was taken in
 * this term: the table never forgets one that still exists. */
static struct lead_session *lead_session_add(struct node *n, uint64_t id)
{
    struct leader *l = &n->leader;

    for (unsigned i = 0; i < machine_members(n->machine); i++) {
        const struct member *m = machine_member_at(n->machine, i);
        struct lead_session *s;

        if (m->session != id) {
            continue;
        }
        if (l->sessions_n == LEADER_SESSIONS_MAX) {
            /* Members have one session each; the others are closed. */
            for (unsigned k = 0; k < l->sessions_n; k++) {
                const struct member *o =
                    machine_member(n->machine, l->sessions[k].node);

                if (o == NULL || o->session != l->sessions[k].id) {
                    l->sessions[k] = l->sessions[--l->sessions_n];
                    break;
                }
            }
            hf_assert(l->sessions_n < LEADER_SESSIONS_MAX);
        }
        s = &l->sessions[l->sessions_n++];
        *s = (struct lead_session){id, m->id, m->last_number + 1, false};
        return s;
    }
    return NULL;
}

static void leader_close(struct node *n)
{
    struct leader *l = &n->leader;
    struct blob *b;

    if (l->batch.n == 0) {
        return;
    }
    hf_assert(l->closed_n < LEADER_BATCHES_MAX);
    b = blob_copy(l->batch.p, l->batch.n);
    l->closed[(l->closed_head + l->closed_n) % LEADER_BATCHES_MAX] = b;
    l->closed_records[(l->closed_head + l->closed_n) % LEADER_BATCHES_MAX] =
        l->batch_records;
    l->closed_n++;
    l->closed_bytes += b->n;
    if (l->batch.cap > 4 * LIM_BATCH) {
        buf_release(&l->batch);
    }
    buf_clear(&l->batch);
    l->batch_records = 0;
    l->batch_opens = false;
    env_defer(n->env, &l->close_task);
}

/* The open batch, with its head written. Its time is set when it leaves. */
static struct buf *leader_batch(struct node *n)
{
    struct leader *l = &n->leader;

    if (l->batch.n == 0) {
        entry_begin(&l->batch, 0, l->cold ? ENTRY_COLD_START : 0);
        l->cold = false;
        l->gathered = 0;
    }
    env_defer(n->env, &l->close_task);
    return &l->batch;
}

static bool leader_has_place(const struct node *n)
{
    return n->leader.closed_n + 2 < LEADER_BATCHES_MAX;
}

/* Place in memory and on the disk for a request of @bytes. Without any on the
 * own disk it waits as long as the next leader may have some. */
static enum wal_room leader_room(struct node *n, size_t bytes)
{
    struct leader *l = &n->leader;
    enum wal_room room;
    unsigned flags;

    if (!leader_has_place(n) || l->closed_bytes >= LEADER_CLOSED_BYTES) {
        return WAL_ROOM_SOON;
    }
    room = wal_room(n->wal, l->closed_bytes + l->batch.n + bytes);
    if (room != WAL_ROOM_NONE) {
        return room;
    }
    flags = member_room_flags(n);
    if ((n->ready_flags & (LEADER_NOSPACE | LEADER_HOLD)) != flags) {
        /* All should know at once. */
        env_timer_start(n->env, &l->announce, env_now_us(n->env));
    }
    return (flags & LEADER_NOSPACE) != 0 ? WAL_ROOM_NONE : WAL_ROOM_SOON;
}

/* Does this node still lead the term that its tables are of? It may have
 * stepped down, and even come back, since leader_changed() last ran. */
static bool leader_still(struct node *n)
{
    /* While the log is being closed nothing may be added any more. */
    return n->running && n->leader.term != 0 &&
           driver_role(&n->driver) == DRIVER_LEADER &&
           n->leader.term == driver_term(&n->driver);
}

int leader_take(struct node *n,
                uint64_t session,
                uint64_t number,
                bool as_void,
                struct bytes command)
{
    struct leader *l = &n->leader;
    struct lead_session *s;
    enum wal_room room;
    bool opens;

    if (!leader_still(n)) {
        return HF_ENOLEADER;
    }
    s = lead_session_find(n, session);
    if (s == NULL) {
        s = lead_session_add(n, session);
    }
    if (s == NULL) {
        return 0; /* closed: its node learns that by its own apply */
    }
    if (number < s->expected) {
        return 0;
    }
    if (number > s->expected && !mutant(TAKE_GAPS)) {
        return HF_EAGAIN;
    }
    room = leader_room(n, as_void ? 0 : command.n);
    if (!leader_has_place(n) || (room == WAL_ROOM_SOON && !as_void)) {
        s->owed = true;
        return HF_ELIMIT;
    }
    as_void |= room == WAL_ROOM_NONE || command.n > LIM_REQUEST_TOP;
    opens = !as_void && command_opens(command);
    if ((l->batch.n + command.n > LIM_BATCH && !mutant(BATCH_UNBOUNDED)) ||
        (opens && l->batch_opens)) {
        leader_close(n);
    }
    if (command.n > LIM_REQUEST_TOP && mutant(REFUSED_NOT_LOGGED)) {
        s->expected = number + 1;
        return 0;
    }
    if (as_void) {
        entry_void(leader_batch(n), session, number);
    } else {
        entry_request(leader_batch(n), session, number, command);
    }
    l->batch_records++;
    l->batch_opens |= opens;
    s->expected = number + 1;
    return 0;
}

void leader_open_session(struct node *n, uint64_t node, const uint8_t nonce[16])
{
    struct leader *l = &n->leader;

    if (!leader_still(n) || !leader_has_place(n)) {
        return;
    }
    if (l->batch_opens) {
        leader_close(n);
    }
    entry_open(leader_batch(n), node, nonce);
    l->batch_records++;
    l->batch_opens = true;
}

int leader_record(struct node *n, struct bytes record)
{
    if (!leader_still(n) || !leader_has_place(n)) {
        return HF_ENOLEADER;
    }
    buf_bytes_append(leader_batch(n), record);
    n->leader.batch_records++;
    return 0;
}

/* ---- batches to entries ---- */

/* Of this node's log and those that live members told of. */
static uint64_t leader_largest_log(const struct node *n)
{
    uint64_t now = env_now_us(n->env);
    uint64_t bytes = wal_bytes(n->wal);

    for (unsigned i = 0; i < n->states_n; i++) {
        const struct peer_state *p = &n->states[i];

        if (p->state_us != 0 &&
            now - p->state_us < LEADER_STATE_MS * UINT64_C(1000) &&
            p->log_bytes > bytes) {
            bytes = p->log_bytes;
        }
    }
    return bytes;
}

/* A log that grows faster than snapshots free it has to be written more
 * slowly: from halfway between what makes a snapshot due and the budget on,
 * the less room, the slower. Nothing is refused; what waits fills larger
 * batches. */
static uint64_t leader_pace(const struct node *n)
{
    uint64_t log = leader_largest_log(n);
    uint64_t due = snapshot_due_bytes(n);
    uint64_t budget = snapshot_log_budget(n);
    uint64_t soft = due < budget ? due + (budget - due) / 2 : budget;

    if (log <= soft) {
        return UINT64_MAX;
    }
    if (log >= budget) {
        return LEADER_PACE_MIN;
    }
    return LEADER_PACE_MIN + (LEADER_PACE_MAX - LEADER_PACE_MIN) *
                                 ((budget - log) >> 10) /
                                 ((budget - soft) >> 10);
}

/* @bytes were submitted: when may the next ones be? */
static void leader_paced(struct node *n, size_t bytes)
{
    struct leader *l = &n->leader;
    uint64_t rate = leader_pace(n);
    uint64_t now = env_now_us(n->env);

    if (rate == UINT64_MAX) {
        return;
    }
    if (l->pace_us < now) {
        l->pace_us = now;
    }
    l->pace_us += (uint64_t)bytes * 1000000 / rate;
}

/* Must what there is wait? Then it is submitted by the timer. */
static bool leader_must_wait(struct node *n)
{
    struct leader *l = &n->leader;

    if (l->pace_us <= env_now_us(n->env)) {
        return false;
    }
    if (!env_timer_armed(&l->pace)) {
        env_timer_start(n->env, &l->pace, l->pace_us);
    }
    return true;
}

static void leader_pace_timer(struct env_timer *t)
{
    struct node *n = t->data;

    env_defer(n->env, &n->leader.close_task);
}

/* ---- entries on their way ---- */

static void leader_sent(struct leader *l, uint64_t index, uint64_t records)
{
    if (l->flying_n < LEADER_FLYING_MAX) {
        l->flying[(l->flying_head + l->flying_n) % LEADER_FLYING_MAX] =
            (struct lead_entry){index, records};
        l->flying_n++;
        l->flying_records += records;
    }
}

static void leader_arrived(struct leader *l, uint64_t applied)
{
    while (l->flying_n > 0 && l->flying[l->flying_head].index <= applied) {
        l->flying_records -= l->flying[l->flying_head].records;
        l->flying_head = (l->flying_head + 1) % LEADER_FLYING_MAX;
        l->flying_n--;
    }
}

/* Must the open batch grow, as there is more on its way? Then it leaves as soon
 * as enough of that was applied. So the batches are about as large as what
 * arrives while one is written and acknowledged, however fast the disk and the
 * network are; a few requests at a time do not wait. */
static bool leader_too_small(const struct leader *l)
{
    return l->batch_records < l->flying_records && !mutant(BATCH_EAGER);
}

/* Hand closed batches to the engine, stamped with cluster time. */
static void leader_submit(struct node *n)
{
    struct leader *l = &n->leader;

    while (l->closed_n > 0 && leader_still(n) && !leader_must_wait(n)) {
        struct blob *b = l->closed[l->closed_head];
        uint64_t stamp = ctime_stamp(n, l->stamp_ms);
        struct entry e = {0, ENTRY_COMMAND, blob_bytes(b), b};
        uint64_t index;
        int rv;

        entry_set_time(b->d, stamp);
        rv = driver_submit(&n->driver, node_now_ms(n), &e, 1, &index);
        if (rv == HF_ELIMIT || rv == HF_EAGAIN) {
            return; /* again when something was applied, or by the tick */
        }
        if (rv != 0) {
            leader_drop(n);
            return;
        }
        l->stamp_ms = stamp;
        leader_sent(l, index, l->closed_records[l->closed_head]);
        l->closed_head = (l->closed_head + 1) % LEADER_BATCHES_MAX;
        l->closed_n--;
        l->closed_bytes -= b->n;
        leader_paced(n, b->n);
        blob_unref(b);
    }
}

/* Other tasks of this turn may still bring requests: let them, a few times. */
static void leader_close_task(struct env_task *t)
{
    struct node *n = t->data;
    struct leader *l = &n->leader;

    if (!leader_still(n)) {
        leader_drop(n);
        return;
    }
    if (l->batch.n > 0 && n->env->tasks_head != NULL &&
        l->gathered < LEADER_GATHER_MAX) {
        l->gathered++;
        env_defer(n->env, t);
        return;
    }
    if (!leader_too_small(l) && !leader_must_wait(n)) {
        leader_close(n);
    }
    env_undefer(n->env, t);
    leader_submit(n);
}

/* ---- time entries ---- */

/* An entry without records: it only carries the time. */
static bool leader_time_entry(struct node *n)
{
    struct leader *l = &n->leader;
    uint64_t now = env_now_us(n->env);

    if (l->time_us != 0 && now - l->time_us < LEADER_TIME_MS * 1000 &&
        !mutant(TIME_ENTRY_EACH)) {
        return false;
    }
    if (l->batch.n > 0) {
        leader_close(n);
    }
    if (l->closed_n == 0) {
        leader_batch(n);
        leader_close(n);
    }
    leader_submit(n);
    if (l->closed_n > 0) {
        return false;
    }
    l->time_us = now;
    return true;
}

void leader_fill(struct node *n, uint64_t upto)
{
    for (int i = 0; i < LEADER_FILL_MAX && leader_still(n) &&
                    leader_has_place(n) && driver_last(&n->driver) < upto;
         i++) {
        leader_close(n);
        leader_batch(n);
        leader_close(n);
        leader_submit(n);
    }
}

bool leader_log_deadlines(struct node *n, uint64_t *index)
{
    struct leader *l = &n->leader;
    uint64_t now = ctime_estimate(n);
    uint64_t unlogged = machine_next_deadline(
        n->machine, mutant(DEADLINE_FIRST) ? 0 : l->stamp_ms);
    uint64_t unapplied = machine_next_deadline(n->machine, 0);

    *index = 0;
    if (unapplied == 0 || unapplied > now || mutant(READ_IGNORES_TIME)) {
        return true;
    }
    /* The log may be past the first of them and not past the next: when
     * entries have waited for a majority. */
    if (unlogged > l->stamp_ms && unlogged <= now && !leader_time_entry(n)) {
        return false;
    }
    *index = driver_last(&n->driver);
    return true;
}

/* Keys whose deadline has passed are removed even when nobody asks. */
static void leader_expire_timer(struct env_timer *t)
{
    struct node *n = t->data;
    uint64_t wait_ms = LEADER_EXPIRE_MS;
    uint64_t next;

    if (n->leader.term == 0) {
        return;
    }
    next = machine_next_deadline(n->machine, n->leader.stamp_ms);
    leader_submit(n);
    if (machine_expiry_waiting(n->machine)) {
        wait_ms = LEADER_TIME_MS; /* a million at once: 100,000 a second */
        leader_time_entry(n);
    } else if (next != 0 && next <= ctime_estimate(n)) {
        leader_time_entry(n);
    }
    env_timer_start(n->env, t, env_now_us(n->env) + wait_ms * 1000);
}

/* ---- messages ---- */

static void leader_nack(struct node *n, uint64_t to, uint64_t session)
{
    struct lead_session *s = lead_session_find(n, session);
    struct buf b = BUF_INIT;

    if (s == NULL) {
        return;
    }
    node_envelope(n, &b);
    buf_u64(&b, session);
    buf_u64(&b, s->expected);
    peer_send(n->peers, to, PEER_CONTROL, NMSG_NACK, buf_bytes(&b), NULL, 0);
    buf_release(&b);
}

/* Will @session be asked to go on later? Then what follows is no gap. */
static bool leader_owes(struct node *n, uint64_t session)
{
    struct lead_session *s = lead_session_find(n, session);

    return s != NULL && s->owed;
}

/* There may be place again for those that were sent away. */
static void leader_pay(struct node *n)
{
    struct leader *l = &n->leader;

    for (unsigned i = 0; i < l->sessions_n; i++) {
        struct lead_session *s = &l->sessions[i];

        if (!s->owed || leader_room(n, 0) == WAL_ROOM_SOON) {
            continue;
        }
        s->owed = false;
        if (s->node == n->id) {
            session_pump(n, false);
        } else {
            leader_nack(n, s->node, s->id);
        }
    }
}

void leader_applied(struct node *n)
{
    struct leader *l = &n->leader;

    if (l->term == 0) {
        return;
    }
    leader_arrived(l, driver_applied(&n->driver));
    if (l->closed_n > 0 || l->batch.n > 0) {
        env_defer(n->env, &l->close_task);
    }
    leader_pay(n);
}

void leader_on_writes(struct node *n, uint64_t from, struct reader *r)
{
    uint64_t session = rd_u64(r);
    uint64_t number = rd_u64(r);

    while (reader_ok(r) && r->n > 0) {
        uint8_t kind = rd_u8(r);
        struct bytes command = rd_lbytes(r);
        int rv;

        if (!reader_ok(r) ||
            (kind != NUMBERED_REQUEST && kind != NUMBERED_VOID)) {
            if (quota_take(&n->foreign, n->log, env_now_us(n->env))) {
                log_warn(n->log, "node %llu sent malformed requests",
                         (unsigned long long)from);
            }
            return;
        }
        rv = leader_take(n, session, number++, kind == NUMBERED_VOID, command);
        if (rv == HF_EAGAIN && !leader_owes(n, session)) {
            leader_nack(n, from, session);
        }
        if (rv != 0) {
            return;
        }
    }
}

void leader_on_open(struct node *n, uint64_t from, struct reader *r)
{
    struct bytes nonce = rd_bytes(r, HF_ID_SIZE);

    if (reader_done(r)) {
        leader_open_session(n, from, nonce.p);
    }
}

/* ---- replies ---- */

bool leader_wants_reply(const struct node *n, uint64_t session)
{
    const struct leader *l = &n->leader;

    if (session == n->session.id) {
        return true;
    }
    if (l->term == 0) {
        return false;
    }
    for (unsigned i = 0; i < l->sessions_n; i++) {
        if (l->sessions[i].id == session) {
            return true;
        }
    }
    return false;
}

void leader_reply(struct node *n,
                  uint64_t session,
                  uint64_t number,
                  bool voided,
                  struct bytes reply,
                  uint64_t index)
{
    struct leader *l = &n->leader;
    struct lead_session *s = lead_session_find(n, session);
    unsigned i = 0;

    if (l->term == 0 || s == NULL || s->node == n->id) {
        return;
    }
    while (i < LIM_NODES && l->replies_to[i] != s->node &&
           l->replies_to[i] != 0) {
        i++;
    }
    if (i == LIM_NODES) {
        return; /* more members than that do not exist at a time */
    }
    if (l->replies[i].n == 0) {
        l->replies_to[i] = s->node;
        node_envelope(n, &l->replies[i]);
        env_defer(n->env, &l->reply_task);
    }
    buf_u64(&l->replies[i], session);
    buf_u64(&l->replies[i], number);
    buf_u64(&l->replies[i], index);
    buf_u8(&l->replies[i], voided ? 1 : 0);
    buf_lbytes(&l->replies[i], reply);
    if (l->replies[i].n > LIM_BATCH) {
        leader_reply_task(&l->reply_task);
    }
}

static void leader_reply_task(struct env_task *t)
{
    struct node *n = t->data;
    struct leader *l = &n->leader;

    for (unsigned i = 0; i < LIM_NODES; i++) {
        struct buf *b = &l->replies[i];

        if (b->n > 0) {
            /* Lost if it is not up: it takes replies from its own apply. */
            peer_send(n->peers, l->replies_to[i], PEER_BULK, NMSG_REPLIES,
                      buf_bytes(b), NULL, 0);
            if (b->cap > 4 * LIM_BATCH) {
                buf_release(b);
            }
            buf_clear(b);
        }
        l->replies_to[i] = 0;
    }
}
