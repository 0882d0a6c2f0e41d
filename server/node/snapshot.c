#include "server/node/snapshot.h"

#include <stdlib.h>

#include "server/node/node_int.h"

const char snapshot_tmp[] = "snap/in.tmp";
static const char snapshot_part[] = "snap/in.part";

static struct snapshot_job *job_new(struct node *n)
{
    struct snapshot_job *j = hf_calloc(1, sizeof *j);

    j->node = n;
    j->disk = n->env->disk;
    j->ident = n->ident;
    j->started_us = env_now_us(n->env);
    j->work.data = j;
    return j;
}

static void job_free(struct snapshot_job *j)
{
    snap_meta_release(&j->meta);
    snap_file_release(&j->file);
    free(j);
}

/* ---- taking ---- */

static int take_next(void *src, struct buf *out)
{
    struct snapshot_job *j = src;

    return machine_snapshot_next(j->frozen, out) ? 1 : 0;
}

static void take_fn(struct env_work *w)
{
    struct snapshot_job *j = w->data;
    struct snap_source s = {take_next, j, NULL, 0};

    j->status = snap_write(j->disk, &j->ident, &j->file, &s, &j->em);
}

static void retire_fn(struct env_work *w)
{
    struct snapshot_job *j = w->data;

    j->status = snap_retire(j->disk, j->file.index, &j->em);
}

static void retire_done(struct env_work *w)
{
    struct snapshot_job *j = w->data;

    if (j->status != 0) {
        log_warn(j->node->log, "remove older snapshots: %s", j->em.text);
    }
    job_free(j);
}

/* The last index that @id has, or will have: it may be loading a snapshot. */
static uint64_t snapshot_has(struct node *n, uint64_t id)
{
    uint64_t has = node_match(n, id);
    uint64_t now = env_now_us(n->env);

    for (unsigned i = 0; i < LIM_NODES; i++) {
        const struct snapshot_sent *t = &n->snapshot.sent[i];

        if (t->to == id && t->index > has &&
            now - t->at_us < SNAPSHOT_SENT_MS * 1000ULL) {
            has = t->index;
        }
    }
    return has;
}

/* How many entries behind the snapshot at @index stay. A live follower that
 * is catching up from this log would need a snapshot again if it went, and
 * then the next: it would never catch up while writes go on. */
static uint64_t take_trailing(struct node *n, uint64_t index)
{
    uint64_t from = wal_tail_index(n->wal, SNAPSHOT_TRAILING_BYTES);

    if (from + SNAPSHOT_TRAILING < index) {
        from = index - SNAPSHOT_TRAILING;
    }
    for (unsigned i = 0; i < machine_members(n->machine) &&
                         driver_role(&n->driver) == DRIVER_LEADER &&
                         wal_bytes(n->wal) < snapshot_log_budget(n);
         i++) {
        uint64_t id = machine_member_at(n->machine, i)->id;
        uint64_t has = snapshot_has(n, id);

        if (id != n->id && node_alive(n, id) && has + 1 < from &&
            has + 1 >= driver_first(&n->driver)) {
            from = has + 1;
        }
    }
    if (from + SNAPSHOT_TRAILING_MIN > index + 1 || n->snapshot.unreadable) {
        return SNAPSHOT_TRAILING_MIN;
    }
    return index - from + 1;
}

/* The snapshot is durable: the log before it may go, then the older one. */
static void take_count(struct node *n, struct snapshot_job *j)
{
    struct snapshotter *s = &n->snapshot;
    uint64_t ms = (env_now_us(n->env) - j->started_us) / 1000;
    int rv = driver_snapshot_done(&n->driver, node_now_ms(n), &j->meta,
                                  take_trailing(n, j->meta.index));

    if (rv != 0) {
        log_info(n->log, "snapshot at %llu overtaken by an install",
                 (unsigned long long)j->meta.index);
        job_free(j);
        return;
    }
    s->index = j->meta.index;
    s->term = j->meta.term;
    s->unreadable = false;
    s->last_bytes = j->file.data_bytes;
    s->file_bytes = j->file.file_bytes;
    s->file_crc = j->file.hash;
    log_info(n->log, "snapshot at %llu: %llu bytes in %llu ms",
             (unsigned long long)s->index, (unsigned long long)s->file_bytes,
             (unsigned long long)ms);
    s->taken_n++;
    s->taken_unix_s = env_wall_ms(n->env) / 1000;
    s->taken_us = env_now_us(n->env);
    s->taken_ms = ms;
    s->failed = false;
    node_latency(n, "snapshot", ms);
    node_event(n, NODE_EV_SNAPSHOT, s->index, 0);
    if (driver_first(&n->driver) > 1) {
        wal_trim(n->wal, driver_first(&n->driver) - 1);
    }
    j->work.fn = retire_fn;
    j->work.done = retire_done;
    env_work(n->env, ENV_POOL, &j->work);
}

static void take_done(struct env_work *w)
{
    struct snapshot_job *j = w->data;
    struct node *n = j->node;
    struct snapshotter *s = &n->snapshot;

    s->taking = NULL;
    machine_freeze_release(j->machine, j->frozen);
    node_garbage(n);
    if (n->ended) {
        job_free(j);
        return;
    }
    if (j->status != 0) {
        log_warn(n->log, "snapshot: %s; next try in %d s", j->em.text,
                 SNAPSHOT_RETRY_MS / 1000);
        s->retry_us = env_now_us(n->env) + SNAPSHOT_RETRY_MS * 1000;
        s->failed = true;
        job_free(j);
        return;
    }
    take_count(n, j);
}

static void snapshot_take(struct node *n)
{
    struct snapshotter *s = &n->snapshot;
    struct snapshot_job *j = job_new(n);

    if (driver_snapshot_meta(&n->driver, &j->meta) != 0) {
        job_free(j);
        return;
    }
    j->machine = n->machine;
    j->frozen = machine_freeze(n->machine);
    j->file.index = j->meta.index;
    j->file.term = j->meta.term;
    j->file.conf_index = j->meta.conf_index;
    j->file.conf = blob_bytes(j->meta.conf);
    j->file.log_no = wal_durable_no(n->wal);
    j->work.fn = take_fn;
    j->work.done = take_done;
    s->taking = j;
    env_work(n->env, ENV_POOL, &j->work);
    if (mutant(TRIM_EARLY)) {
        wal_trim(n->wal, j->meta.index);
    }
}

/* The next one is due when the log has grown to 0.75 of the last one's size,
 * and at least to the floor. */
uint64_t snapshot_due_bytes(const struct node *n)
{
    uint64_t bytes = n->snapshot.last_bytes / 4 * 3;

    return bytes < n->cfg.snapshot_floor ? n->cfg.snapshot_floor : bytes;
}

uint64_t snapshot_log_budget(const struct node *n)
{
    uint64_t due = snapshot_due_bytes(n);
    uint64_t need = due + due / 2 + (96 << 20);

    return need < n->cfg.log_budget ? n->cfg.log_budget : need;
}

/* Only what it could take away counts, and only once most of that is applied:
 * a start has a backlog. */
static bool snapshot_due(struct node *n)
{
    return driver_applied(&n->driver) + SNAPSHOT_BACKLOG >=
               driver_commit(&n->driver) &&
           wal_bytes_from(n->wal, n->snapshot.index + 1) >=
               snapshot_due_bytes(n);
}

static bool snapshot_possible(struct node *n)
{
    struct snapshotter *s = &n->snapshot;

    return n->running && s->taking == NULL && s->installing == NULL &&
           !driver_installing(&n->driver) && !n->stopping &&
           env_now_us(n->env) >= s->retry_us &&
           (!snapx_sending(s->xfer) || mutant(SNAPSHOT_DURING_SEND));
}

bool snapshot_now(struct node *n)
{
    if (!snapshot_possible(n)) {
        return false;
    }
    snapshot_take(n);
    return n->snapshot.taking != NULL;
}

void snapshot_tick(struct node *n)
{
    if (snapshot_possible(n) && (snapshot_due(n) || n->snapshot.unreadable)) {
        snapshot_take(n);
    }
}

/* ---- sending ---- */

static void snapshot_note_sent(struct node *n, uint64_t to, uint64_t index)
{
    struct snapshot_sent *oldest = &n->snapshot.sent[0];

    n->snapshot.sent_n++;

    for (unsigned i = 0; i < LIM_NODES; i++) {
        struct snapshot_sent *t = &n->snapshot.sent[i];

        if (t->to == to) {
            oldest = t;
            break;
        }
        if (t->at_us < oldest->at_us) {
            oldest = t;
        }
    }
    *oldest = (struct snapshot_sent){to, index, env_now_us(n->env)};
}

static void snapshot_offer(struct node *n,
                           uint64_t to,
                           const struct snap_meta *m)
{
    struct snapx_offer o;
    char name[DISK_NAME_MAX];
    struct buf meta = BUF_INIT;

    memset(&o, 0, sizeof o);
    snap_name(m->index, m->term, name);
    buf_u64(&meta, m->conf_index);
    buf_lbytes(&meta, blob_bytes(m->conf));
    o.index = m->index;
    o.term = m->term;
    o.size = n->snapshot.file_bytes;
    o.file_crc = n->snapshot.file_crc;
    o.meta = buf_bytes(&meta);
    if (n->snapshot.index == o.index && n->snapshot.term == o.term) {
        if (snapx_send(n->snapshot.xfer, to, &o, name) == 0) {
            snapshot_note_sent(n, to, o.index);
        } else {
            log_debug(n->log, "snapshot for node %llu has to wait",
                      (unsigned long long)to);
        }
    }
    buf_release(&meta);
}

void snapshot_send(struct node *n, const struct raft_msg *m)
{
    struct snap_meta s = {m->install.index, m->install.term,
                          m->install.conf_index, m->install.conf};

    snapshot_offer(n, m->to, &s);
}

void snapshot_serve(struct node *n, uint64_t to, uint64_t need)
{
    const struct snap_meta *m = driver_snapshot(&n->driver);

    if (n->snapshot.index >= need && n->snapshot.index != 0 &&
        !n->snapshot.unreadable && m->index == n->snapshot.index) {
        snapshot_offer(n, to, m);
    } else if (driver_applied(&n->driver) >= need) {
        if (snapshot_possible(n)) {
            snapshot_take(n);
        }
    } else {
        leader_fill(n, need); /* what it acknowledged may be lost elsewhere */
    }
}

static void check_fn(struct env_work *w)
{
    struct snapshot_job *j = w->data;
    struct snap_sink none = {NULL, NULL};

    j->status = snap_read(j->disk, &j->ident, j->meta.index, j->meta.term,
                          &none, &j->file, &j->em);
}

static void check_done(struct env_work *w)
{
    struct snapshot_job *j = w->data;
    struct node *n = j->node;

    n->snapshot.checking = NULL;
    if (!n->ended && j->status != 0 && j->meta.index == n->snapshot.index) {
        log_error(n->log, "%s: making another snapshot", j->em.text);
        n->snapshot.unreadable = true;
    }
    job_free(j);
}

/* A follower could not use it: because of its own disk, or because the file
 * here has rotted? Then another one replaces it. */
static void xfer_sent(void *data, uint64_t to, uint64_t index, int code)
{
    struct node *n = data;
    struct snapshot_job *j;

    (void)to;
    if (index != n->snapshot.index || n->snapshot.checking != NULL ||
        (code != HF_ECORRUPT && code != HF_EIO)) {
        return;
    }
    j = job_new(n);
    j->meta.index = n->snapshot.index;
    j->meta.term = n->snapshot.term;
    j->work.fn = check_fn;
    j->work.done = check_done;
    n->snapshot.checking = j;
    env_work(n->env, ENV_POOL, &j->work);
}

static bool xfer_send(void *data,
                      uint64_t to,
                      struct bytes header,
                      struct bytes body)
{
    struct node *n = data;
    struct bytes parts[2] = {header, body};
    struct buf b = BUF_INIT;
    bool ok;

    node_envelope(n, &b);
    ok = peer_send(n->peers, to, PEER_BULK, NMSG_SNAP, buf_bytes(&b), parts, 2);
    buf_release(&b);
    return ok;
}

/* ---- receiving ---- */

static int xfer_verify(void *data,
                       struct disk *d,
                       const char *name,
                       uint64_t index,
                       uint64_t term)
{
    struct node *n = data; /* only its identity, which does not change */
    struct snap_file f;
    struct errmsg em = {{0}};
    int rv;

    memset(&f, 0, sizeof f);
    rv = snap_verify(d, &n->ident, name, index, term, &f, &em);
    snap_file_release(&f);
    return rv;
}

static void xfer_received(void *data,
                          uint64_t from,
                          const struct snapx_offer *o,
                          const char *name)
{
    struct node *n = data;
    struct snapshotter *s = &n->snapshot;

    (void)from;
    (void)name;
    if (repair_active(&n->repair)) {
        repair_received(n, o);
        return;
    }
    s->received = true;
    s->received_index = o->index;
    s->received_term = o->term;
    log_info(n->log, "snapshot at %llu received, %llu bytes",
             (unsigned long long)o->index, (unsigned long long)o->size);
}

/* A newer offer takes its place. Not while it is being installed: accept()
 * says no then. */
static void xfer_dropped(void *data, uint64_t index, uint64_t term)
{
    struct node *n = data;

    (void)index;
    (void)term;
    n->snapshot.received = false;
}

static bool xfer_accept(void *data, uint64_t from, const struct snapx_offer *o)
{
    struct node *n = data;

    if (!n->running) {
        return repair_accepts(n, from, o);
    }
    return n->snapshot.installing == NULL && !n->stopping &&
           !driver_installing(&n->driver) &&
           from == driver_leader(&n->driver) &&
           o->index > driver_applied(&n->driver);
}

static const struct snapx_cbs xfer_cbs = {
    .send = xfer_send,
    .verify = xfer_verify,
    .on_received = xfer_received,
    .on_sent = xfer_sent,
    .on_dropped = xfer_dropped,
    .accept = xfer_accept,
};

void snapshot_init(struct node *n)
{
    struct snapx_config c;

    memset(&c, 0, sizeof c);
    c.env = n->env;
    c.log = n->log;
    c.tmp_name = snapshot_tmp;
    c.part_name = snapshot_part;
    c.rate = n->cfg.snapshot_rate;
    c.cbs = &xfer_cbs;
    c.data = n;
    n->snapshot.xfer = snapx_new(&c);
}

void snapshot_named(struct node *n, uint64_t index, uint64_t term)
{
    struct snapshotter *s = &n->snapshot;

    if (s->received && s->installing == NULL &&
        (s->received_index != index || s->received_term != term)) {
        s->received = false;
        snapx_receive_abort(s->xfer);
    }
}

bool snapshot_at_hand(const struct node *n, uint64_t index, uint64_t term)
{
    const struct snapshotter *s = &n->snapshot;

    return s->received && s->received_index == index &&
           s->received_term == term && s->taking == NULL &&
           s->installing == NULL;
}

/* ---- installing ---- */

static int install_feed(void *dst, struct bytes b)
{
    struct snapshot_job *j = dst;

    return machine_load_feed(j->load, b, &j->em);
}

/* Under its final name first: once the engine has been told, the log before
 * it is given up. */
static void install_fn(struct env_work *w)
{
    struct snapshot_job *j = w->data;
    struct snap_sink sink = {install_feed, j};

    j->status =
        snap_adopt(j->disk, snapshot_tmp, j->meta.index, j->meta.term, &j->em);
    if (j->status != 0) {
        return;
    }
    j->load = machine_load_begin();
    j->status = snap_read(j->disk, &j->ident, j->meta.index, j->meta.term,
                          &sink, &j->file, &j->em);
    if (j->status == 0) {
        j->status = machine_load_finish(j->load, &j->machine, &j->em);
    }
    if (j->status != 0) {
        machine_load_abort(j->load);
        return;
    }
    (void)snap_retire(j->disk, j->meta.index, NULL);
}

static void install_done(struct env_work *w)
{
    struct snapshot_job *j = w->data;
    struct node *n = j->node;

    if (n->ended) {
        n->snapshot.installing = NULL;
        if (j->machine != NULL) {
            machine_free(j->machine);
        }
        job_free(j);
        return;
    }
    if (j->status != 0) {
        /* It was verified before; what fails now is the disk. */
        node_fail(n, NODE_EXIT_DISK, "install the snapshot at %llu: %s",
                  (unsigned long long)j->meta.index, j->em.text);
        return;
    }
    wal_reset(n->wal, j->meta.index + 1, j->meta.term, NODE_TOKEN_RESET);
}

void snapshot_install(struct node *n, const struct snap_meta *m)
{
    struct snapshotter *s = &n->snapshot;
    struct snapshot_job *j = job_new(n);

    hf_assert(s->installing == NULL);
    s->received = false;
    snap_meta_set(&j->meta, m);
    j->work.fn = install_fn;
    j->work.done = install_done;
    s->installing = j;
    env_work(n->env, ENV_POOL, &j->work);
}

void snapshot_log_reset(struct node *n)
{
    struct snapshotter *s = &n->snapshot;
    struct snapshot_job *j = s->installing;

    hf_assert(j != NULL && j->machine != NULL);
    s->installing = NULL;
    s->index = j->meta.index;
    s->term = j->meta.term;
    s->last_bytes = j->file.data_bytes;
    s->file_bytes = j->file.file_bytes;
    s->file_crc = j->file.hash;
    snapx_received_done(s->xfer, 0);
    wal_trim(n->wal, j->meta.index);
    node_machine_swap(n, j->machine);
    node_event(n, NODE_EV_INSTALL, j->meta.index, 0);
    log_info(n->log, "snapshot at %llu installed in %llu ms",
             (unsigned long long)j->meta.index,
             (unsigned long long)((env_now_us(n->env) - j->started_us) / 1000));
    driver_installed(&n->driver, node_now_ms(n));
    node_restored(n, &j->meta);
    job_free(j);
}

void snapshot_release(struct node *n)
{
    struct snapshotter *s = &n->snapshot;

    if (s->checking != NULL) {
        job_free(s->checking);
        s->checking = NULL;
    }

    if (s->xfer != NULL) {
        snapx_free_crashed(s->xfer);
        s->xfer = NULL;
    }
    if (s->taking != NULL) {
        machine_freeze_release(s->taking->machine, s->taking->frozen);
        job_free(s->taking);
        s->taking = NULL;
    }
    if (s->installing != NULL) {
        if (s->installing->machine != NULL) {
            machine_free(s->installing->machine);
        }
        job_free(s->installing);
        s->installing = NULL;
    }
}
