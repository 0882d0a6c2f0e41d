#include "server/node/load.h"

#include <stdlib.h>

#include "base/mutant.h"
#include "server/node/peers_file.h"

static int load_feed(void *dst, struct bytes b)
{
    struct node_loader *l = dst;

    return machine_load_feed(l->load, b, &l->em);
}

static int load_snapshot(struct node_loader *l)
{
    struct snap_sink sink = {load_feed, l};
    struct snap_file f;
    int rv;

    if (l->snap.index == 0) {
        return 0;
    }
    memset(&f, 0, sizeof f);
    l->load = machine_load_begin();
    rv = snap_read(l->disk, &l->ident, l->snap.index, l->snap.term, &sink, &f,
                   &l->em);
    snap_file_release(&f);
    if (rv == 0) {
        rv = machine_load_finish(l->load, &l->machine, &l->em);
    }
    if (rv != 0) {
        machine_load_abort(l->load);
    }
    l->load = NULL;
    return rv;
}

static void load_forget(struct node_loader *l)
{
    if (l->have_wal) {
        wal_recovered_release(&l->wal);
        l->have_wal = false;
    }
    if (l->machine != NULL) {
        machine_free(l->machine);
        l->machine = NULL;
    }
    snap_file_release(&l->snap);
}

static void recover_words(const struct node_loader *l,
                          struct wal_recover_in *in)
{
    memset(in, 0, sizeof *in);
    in->cfg.id = l->ident;
    in->cfg.segment_bytes = l->segment_bytes;
    in->snap_index = l->snap.index;
    in->snap_term = l->snap.term;
    /* A snapshot that a leader sent says nothing of this log. */
    in->durable_no = l->vote.now.log_no;
    if (l->snap.node_id == l->ident.node_id &&
        l->snap.log_no > in->durable_no) {
        in->durable_no = l->snap.log_no;
    }
    if (l->mark.kind == REPAIR_LOG) {
        in->emptied = true;
        if (l->mark.log_no > in->durable_no) {
            in->durable_no = l->mark.log_no;
        }
    }
}

/* ---- damage ---- */

/* Something of log or snapshot is damaged, the votes are whole: how far did
 * this log ever reach? With a snapshot that reaches as far it is whole again:
 * every index that this member ever acknowledged is then decided, and it has
 * what was decided. */
static int load_survey(struct node_loader *l, bool bad_snap)
{
    struct wal_recover_in in;
    struct wal_survey s;
    struct errmsg em = {{0}};
    uint64_t index = 0;
    uint64_t term = 0;
    int rv;

    recover_words(l, &in);
    rv = snap_newest(l->disk, &index, &term, &em);
    if (rv == 0) {
        rv = wal_survey(l->disk, &in, &s, &em);
    }
    if (rv != 0) {
        l->em = em;
        return rv;
    }
    if (!s.known && (s.any || !in.emptied)) {
        l->verdict = LOAD_REJOIN;
        return 0;
    }
    l->verdict = LOAD_FETCH;
    l->need = s.last > index ? s.last : index;
    if (mutant(REPAIR_SHORT)) {
        l->need = 1;
    }
    l->log_no = s.last_no;
    if (bad_snap) {
        /* One at the same index may be damaged in the same place again. */
        return 0;
    }
    if (l->snap.index >= l->need && l->snap.index > 0) {
        l->verdict = LOAD_START; /* the log is not needed: see load_void() */
    }
    return 0;
}

/* The snapshot at hand covers all of a damaged log: no peer is needed. */
static int load_void(struct node_loader *l)
{
    struct repair_mark m;
    int rv;

    memset(&m, 0, sizeof m);
    m.kind = REPAIR_LOG;
    m.step = REPAIR_MOVE;
    m.old = l->ident;
    m.index = l->snap.index;
    m.term = l->snap.term;
    m.log_no = l->log_no;
    rv = repair_stamp(l->disk, l->wall_s, &m.stamp, &l->em);
    if (rv == 0) {
        rv = repair_write(l->disk, &m, &l->em);
    }
    if (rv == 0) {
        rv = repair_move_log(l->disk, &m, &l->em);
    }
    m.step = REPAIR_EMPTY;
    if (rv == 0) {
        rv = repair_write(l->disk, &m, &l->em);
    }
    l->mark = m;
    return rv;
}

static int load_log(struct node_loader *l)
{
    struct wal_recover_in in;
    int rv;

    recover_words(l, &in);
    rv = wal_recover(l->disk, &in, &l->wal, &l->em);
    l->have_wal = rv == 0;
    return rv;
}

/* Damaged, and votes are whole. */
static int load_damaged(struct node_loader *l, bool bad_snap)
{
    int rv;

    if (l->mark.kind == REPAIR_LOG) {
        /* What a repair has just put there: that would go on for ever. */
        return HF_ECORRUPT;
    }
    rv = load_survey(l, bad_snap);
    if (rv != 0 || l->verdict != LOAD_START) {
        return rv;
    }
    rv = load_void(l);
    return rv == 0 ? load_log(l) : rv;
}

/* ---- a member ---- */

static int load_member(struct node_loader *l)
{
    bool bad_snap;
    int rv = snap_open(l->disk, &l->ident, &l->snap, &l->em);

    if (rv == 0) {
        rv = load_snapshot(l);
    }
    bad_snap = rv == HF_ECORRUPT && l->repair;
    if (rv != 0 && !bad_snap) {
        return rv;
    }
    if (bad_snap) {
        load_forget(l);
    }
    l->peers_n = peers_file_load(l->disk, l->peers, LIM_NODES);
    rv = vote_open(&l->vote, l->disk, &l->ident, true, &l->em);
    if (rv == HF_ECORRUPT && l->repair && l->mark.kind != REPAIR_LOG) {
        l->verdict = LOAD_REJOIN;
        return 0;
    }
    if (rv != 0) {
        return rv;
    }
    rv = bad_snap ? HF_ECORRUPT : load_log(l);
    if (rv == HF_ECORRUPT && l->repair) {
        rv = load_damaged(l, bad_snap);
    }
    return rv;
}

/* Go on with a repair that a crash interrupted. */
static int load_resume(struct node_loader *l)
{
    struct repair_mark *m = &l->mark;
    int rv = repair_read(l->disk, m, &l->em);

    if (rv != 0 || m->kind == REPAIR_NONE) {
        return rv;
    }
    if (m->kind == REPAIR_NEW) {
        if (memcmp(l->ident.dir_id, m->dir_id, ID_BYTES) != 0) {
            return 0; /* nothing was decided: it asks with the same words */
        }
        rv = identity_has_node(&l->ident)
                 ? 0 /* long done: these are the new member's files */
                 : repair_move_all(l->disk, m, &l->em);
        rv = rv == 0 ? repair_clear(l->disk, &l->em) : rv;
        m->kind = REPAIR_NONE;
        return rv;
    }
    if (m->step == REPAIR_MOVE) {
        rv = repair_move_log(l->disk, m, &l->em);
        m->step = REPAIR_EMPTY;
        rv = rv == 0 ? repair_write(l->disk, m, &l->em) : rv;
    }
    return rv;
}

void load_fn(struct env_work *w)
{
    struct node_loader *l = w->data;

    l->status = l->again ? identity_read(l->disk, &l->ident, &l->em)
                         : identity_open(l->disk, l->fresh, &l->ident, &l->em);
    if (l->status == 0) {
        l->status = load_resume(l);
    }
    if (l->status != 0) {
        return;
    }
    if (identity_has_node(&l->ident)) {
        l->status = load_member(l);
    } else {
        /* A crash while becoming a member leaves a log that was never part
         * of a cluster. */
        l->status = peers_file_wipe_unborn(l->disk, &l->em);
        l->peers_n = peers_file_load(l->disk, l->peers, LIM_NODES);
    }
}

void load_free(struct node_loader *l)
{
    load_forget(l);
    free(l);
}
