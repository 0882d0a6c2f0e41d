#include "server/node/repair.h"

#include <stdio.h>
#include <stdlib.h>

#include "server/node/load.h"
#include "server/node/node_int.h"

static void repair_timer(struct env_timer *t);

/* A received snapshot becomes the one that counts. */
struct repair_job {
    struct env_work work;
    struct node *node;
    struct disk *disk;
    struct repair_mark mark;
    uint64_t wall_s;
    int status;
    struct errmsg em;
};

void repair_init(struct node *n)
{
    env_timer_init(&n->repair.timer, repair_timer, n);
}

void repair_release(struct node *n)
{
    env_timer_stop(n->env, &n->repair.timer);
    free(n->repair.job);
    n->repair.job = NULL;
}

/* ---- beginning ---- */

static bool has_others(const struct node *n)
{
    for (int i = 0; i < n->cfg.join_n; i++) {
        if (strcmp(n->cfg.join[i], n->cfg.peer_announce) != 0) {
            return true;
        }
    }
    return false;
}

/* The words of its JOIN are written down first: whoever is let in by them is
 * this directory, however often it asks. */
static int rejoin_prepare(struct node *n, const struct repair_mark *was)
{
    struct repair_mark *m = &n->repair.mark;
    struct errmsg em = {{0}};
    int rv;

    *m = *was;
    if (m->kind == REPAIR_NEW) {
        return 0;
    }
    memset(m, 0, sizeof *m);
    m->kind = REPAIR_NEW;
    m->step = REPAIR_ASK;
    m->old = n->ident;
    env_random(n->env, m->dir_id, sizeof m->dir_id);
    m->dir_id[0] |= 1;
    rv = repair_stamp(n->env->disk, env_wall_ms(n->env) / 1000, &m->stamp, &em);
    if (rv == 0) {
        rv = repair_write(n->env->disk, m, &em);
    }
    if (rv != 0) {
        node_fail(n, NODE_EXIT_DISK, "begin the repair: %s", em.text);
    }
    return rv;
}

void repair_begin(struct node *n, const struct node_loader *l)
{
    struct node_repair *r = &n->repair;

    if (!has_others(n)) {
        node_fail(n, NODE_EXIT_DAMAGED, "%s", l->em.text);
        return;
    }
    r->mode = l->verdict == LOAD_FETCH ? REPAIR_FETCH : REPAIR_REJOIN;
    r->need = l->need;
    r->log_no = l->log_no;
    snprintf(r->why, sizeof r->why, "%s", l->em.text);
    if (r->mode == REPAIR_REJOIN && rejoin_prepare(n, &l->mark) != 0) {
        return;
    }
    log_error(n->log, "%s", l->em.text);
    if (r->mode == REPAIR_FETCH) {
        log_warn(n->log,
                 "repair: node %llu takes no part until it has a snapshot at "
                 "index %llu or later from the others",
                 (unsigned long long)n->id, (unsigned long long)r->need);
    } else {
        log_warn(n->log,
                 "repair: what node %llu acknowledged cannot be told any more: "
                 "asking for its seat as a new member",
                 (unsigned long long)n->id);
    }
    peer_set_members(n->peers, l->peers, l->peers_n);
    r->logged_us = env_now_us(n->env);
    env_timer_start(n->env, &r->timer, r->logged_us);
}

/* ---- asking ---- */

static void tell_peers(struct node *n)
{
    struct peer_stats st[LIM_NODES];
    size_t k = peer_stats(n->peers, st, LIM_NODES);
    struct buf b = BUF_INIT;

    node_envelope(n, &b);
    buf_u8(&b, n->repair.mode == REPAIR_FETCH ? 1 : 0);
    buf_u64(&b, n->repair.need);
    for (size_t i = 0; i < k; i++) {
        if (st[i].up) {
            (void)peer_send(n->peers, st[i].id, PEER_CONTROL, NMSG_REPAIR,
                            buf_bytes(&b), NULL, 0);
        }
    }
    buf_release(&b);
}

static unsigned bits(unsigned v)
{
    unsigned k = 0;

    for (; v != 0; v &= v - 1) {
        k++;
    }
    return k;
}

static void repair_say(struct node *n)
{
    struct node_repair *r = &n->repair;

    if (r->heard != 0 && r->damaged == r->heard) {
        log_error(n->log,
                  "repair: all %u other nodes that answer are damaged, too: "
                  "nothing is changed. Bring back one that is whole, or "
                  "restore the data directories from copies",
                  bits(r->heard));
    } else {
        char too[32] = "";

        if (r->damaged != 0) {
            snprintf(too, sizeof too, ", %u of these damaged, too",
                     bits(r->damaged));
        }
        log_warn(n->log,
                 "repair: waiting for a leader of the others (%u of them "
                 "answer%s)%s%s; nothing is changed until then",
                 bits(r->heard), too,
                 r->refusal[0] != '\0' ? "; refused: " : "", r->refusal);
    }
}

static void repair_timer(struct env_timer *t)
{
    struct node *n = t->data;
    struct node_repair *r = &n->repair;
    uint64_t now = env_now_us(n->env);

    if (n->ended || r->mode == REPAIR_OFF) {
        return;
    }
    if (r->job == NULL) {
        tell_peers(n);
        if (now - r->seats_us >= REPAIR_SEATS_MS * 1000) {
            bool fetch = r->mode == REPAIR_FETCH;

            r->seats_us = now;
            member_ask_seats(n, fetch ? n->id : 0,
                             fetch ? n->ident.dir_id : r->mark.dir_id);
        }
        if (now - r->logged_us >= REPAIR_LOG_MS * 1000) {
            r->logged_us = now;
            repair_say(n);
        }
    }
    env_timer_start(n->env, t, now + REPAIR_ASK_MS * 1000);
}

/* ---- as a new member ---- */

static void rejoin_granted(struct node *n)
{
    struct node_repair *r = &n->repair;
    struct errmsg em = {{0}};
    uint64_t old = n->id;

    /* From here on the old id is never spoken again. */
    if (identity_renew(n->env->disk, &n->ident, r->mark.dir_id, &em) != 0) {
        node_fail(n, NODE_EXIT_DISK, "give up the old identity: %s", em.text);
        return;
    }
    log_warn(n->log,
             "repair: the seat is granted to a new member; what node %llu had "
             "is moved to damaged/%010llu-*",
             (unsigned long long)old, (unsigned long long)r->mark.stamp);
    node_event(n, NODE_EV_REPAIR, 0, 1);
    r->mode = REPAIR_OFF;
    node_reload(n);
}

void repair_answered(struct node *n, const struct repair_answer *a)
{
    struct node_repair *r = &n->repair;
    unsigned bit = 1u << a->seat;

    r->heard |= bit;
    r->damaged = a->damaged ? r->damaged | bit : r->damaged & ~bit;
    if (a->refused) {
        snprintf(r->refusal, sizeof r->refusal, "%s", a->reason);
    }
    if (r->mode == REPAIR_REJOIN && a->granted) {
        rejoin_granted(n);
    } else if (a->members_n > 0) {
        peer_set_members(n->peers, a->members, a->members_n);
    }
}

/* ---- by a snapshot ---- */

/* More than one node may offer: a leader goes on after another was elected,
 * and each has a snapshot of its own. Any of them will do, so one that comes
 * is not given up for another node's, else none is ever whole. */
static bool receives_other(const struct node *n, uint64_t from)
{
    struct snapx_progress p;

    return snapx_progress(n->snapshot.xfer, &p, 1) == 1 && p.receiving &&
           p.peer != from && !mutant(REPAIR_TURNS) &&
           (p.done_bytes == p.size || p.idle_ms < SNAPX_PROGRESS_MS);
}

bool repair_accepts(struct node *n, uint64_t from, const struct snapx_offer *o)
{
    const struct node_repair *r = &n->repair;

    return r->mode == REPAIR_FETCH && r->job == NULL && !n->stopping &&
           o->index >= r->need && !receives_other(n, from);
}

/* Under its final name first, then the mark that voids the log: whichever of
 * the two a crash leaves, the next start comes to the same end. */
static void adopt_fn(struct env_work *w)
{
    struct repair_job *j = w->data;

    j->status = repair_stamp(j->disk, j->wall_s, &j->mark.stamp, &j->em);
    if (j->status == 0) {
        j->status = snap_adopt(j->disk, snapshot_tmp, j->mark.index,
                               j->mark.term, &j->em);
    }
    if (j->status == 0) {
        j->status = repair_write(j->disk, &j->mark, &j->em);
    }
}

static void adopt_done(struct env_work *w)
{
    struct repair_job *j = w->data;
    struct node *n = j->node;

    n->repair.job = NULL;
    if (!n->ended && j->status != 0) {
        node_fail(n, NODE_EXIT_DISK, "repair: %s", j->em.text);
    } else if (!n->ended) {
        snapx_received_done(n->snapshot.xfer, 0);
        log_warn(n->log,
                 "repair: the snapshot at %llu covers all that this log held; "
                 "the old files are moved to damaged/%010llu-*",
                 (unsigned long long)j->mark.index,
                 (unsigned long long)j->mark.stamp);
        n->repair.mode = REPAIR_OFF;
        node_reload(n);
    }
    free(j);
}

void repair_received(struct node *n, const struct snapx_offer *o)
{
    struct repair_job *j = hf_calloc(1, sizeof *j);

    j->node = n;
    j->disk = n->env->disk;
    j->wall_s = env_wall_ms(n->env) / 1000;
    j->mark.kind = REPAIR_LOG;
    j->mark.step = REPAIR_MOVE;
    j->mark.old = n->ident;
    j->mark.index = o->index;
    j->mark.term = o->term;
    j->mark.log_no = n->repair.log_no;
    j->work.fn = adopt_fn;
    j->work.done = adopt_done;
    j->work.data = j;
    n->repair.job = j;
    env_work(n->env, ENV_POOL, &j->work);
}

void repair_settled(struct node *n)
{
    struct errmsg em = {{0}};

    if (repair_clear(n->env->disk, &em) != 0) {
        node_fail(n, NODE_EXIT_DISK, "end the repair: %s", em.text);
        return;
    }
    log_info(n->log, "repair: node %llu is whole again",
             (unsigned long long)n->id);
    node_event(n, NODE_EV_REPAIR, n->snapshot.index, 0);
}

/* ---- for others ---- */

bool repair_of_peer(struct node *n, uint64_t id)
{
    struct peer_state *p = node_peer_state(n, id);

    return p->repair_us != 0 &&
           env_now_us(n->env) - p->repair_us < REPAIR_TOLD_MS * 1000;
}

void repair_on_message(struct node *n, uint64_t from, struct reader *r)
{
    bool fetch = rd_u8(r) != 0;
    uint64_t need = rd_u64(r);
    struct peer_state *p = node_peer_state(n, from);

    if (!reader_done(r)) {
        return;
    }
    if (!repair_of_peer(n, from)) {
        log_warn(n->log, "node %llu is damaged and being repaired",
                 (unsigned long long)from);
    }
    p->repair_us = env_now_us(n->env);
    if (fetch && n->running && n->leader.term != 0 &&
        driver_ready(&n->driver)) {
        snapshot_serve(n, from, need);
    }
}
