#include "tests/storage/rig.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "server/node/peers_file.h"

enum { TABLE = 1 << 18, GIVE = 5000 };

static uint8_t table[TABLE + (1 << 17)];

__attribute__((constructor)) static void table_fill(void)
{
    struct rng r = {4711};

    for (size_t i = 0; i < sizeof table; i++) {
        table[i] = (uint8_t)rng_next(&r);
    }
}

__attribute__((format(printf, 2, 3))) static bool violated(struct rig *r,
                                                           const char *fmt,
                                                           ...)
{
    va_list ap;

    if (r->text[0] == '\0') {
        va_start(ap, fmt);
        vsnprintf(r->text, sizeof r->text, fmt, ap);
        va_end(ap);
    }
    return false;
}

/* ---- contents ---- */

static const uint8_t *entry_bytes(uint32_t id)
{
    return table + (size_t)id * 7919 % TABLE;
}

static const uint8_t *snap_bytes(uint64_t index, uint64_t term)
{
    return table + (index * 977 + term * 31) % TABLE;
}

struct gen {
    const uint8_t *p;
    size_t left;
    struct rig *busy; /* its log works on meanwhile; may be NULL */
};

static int gen_next(void *src, struct buf *out)
{
    struct gen *g = src;
    size_t n = g->left < GIVE ? g->left : GIVE;

    buf_append(out, g->p, n);
    g->p += n;
    g->left -= n;
    if (g->busy != NULL && g->busy->w != NULL) {
        test_env_step(&g->busy->t);
    }
    return g->left > 0 ? 1 : 0;
}

static int gen_feed(void *dst, struct bytes b)
{
    struct gen *g = dst;

    if (b.n > g->left || memcmp(b.p, g->p, b.n) != 0) {
        return HF_EINVAL; /* no code that damage has */
    }
    g->p += b.n;
    g->left -= b.n;
    return 0;
}

/* ---- the model ---- */

static void log_apply(struct rig_log *s, const struct rig_op *op, size_t m)
{
    s->next = op->first;
    if (op->kind == RIG_RESET) {
        s->floor = op->first;
        s->floor_term = op->term;
        return;
    }
    for (size_t i = 0; i < m; i++, s->next++) {
        s->term[s->next % RIG_LIVE] = op->term;
        s->id[s->next % RIG_LIVE] = op->id[i];
        s->len[s->next % RIG_LIVE] = op->len[i];
    }
}

static uint64_t log_term(const struct rig_log *s, uint64_t i)
{
    return i >= s->next   ? 0
           : i < s->floor ? s->floor_term
                          : s->term[i % RIG_LIVE];
}

/* Is @rec log @s, seen from snapshot @p? */
static bool log_is(const struct rig_log *s,
                   const struct rig_point *p,
                   const struct wal_recovered *rec)
{
    /* A snapshot beyond the log, or of another entry at its place, replaces
     * it; with no segment at all there is nothing to reset. */
    if (p->index >= s->next ||
        (p->index > 0 && log_term(s, p->index) != p->term)) {
        return rec->n == 0 && (rec->need_reset || rec->last == p->index);
    }
    if (rec->n != s->next - 1 - p->index) {
        return false;
    }
    /* A reset that is not on the disk yet is done again. */
    if (rec->need_reset ? rec->n != 0 : rec->last != s->next - 1) {
        return false;
    }
    for (size_t i = 0; i < rec->n; i++) {
        const struct entry *e = &rec->entries[i];
        uint64_t x = (p->index + 1 + i) % RIG_LIVE;

        if (e->term != s->term[x] || e->type != ENTRY_COMMAND ||
            e->data.n != s->len[x] ||
            (e->data.n > 0 &&
             memcmp(e->data.p, entry_bytes(s->id[x]), e->data.n) != 0)) {
            return false;
        }
    }
    return true;
}

static struct rig_op *op_at(struct rig *r, uint64_t i)
{
    return &r->ops[i % RIG_FLIGHT];
}

static void take_log(struct rig *r, const struct rig_log *s)
{
    r->sure = r->now = *s;
    r->acked = r->submitted;
}

/* The log is as after the acknowledged ops and some of those under way, the
 * last of them perhaps in part. */
static bool explain_log(struct rig *r, const struct rig_found *f)
{
    struct rig_log s = r->sure;
    struct rig_log part;

    for (uint64_t j = r->acked;; j++) {
        if (log_is(&s, &f->snap, &f->log)) {
            take_log(r, &s);
            return true;
        }
        if (j == r->submitted) {
            break;
        }
        for (size_t m = 0; m < op_at(r, j)->n; m++) {
            part = s;
            log_apply(&part, op_at(r, j), m);
            if (log_is(&part, &f->snap, &f->log)) {
                take_log(r, &part);
                return true;
            }
        }
        log_apply(&s, op_at(r, j), op_at(r, j)->n);
    }
    return violated(r,
                    "log %llu..%llu of %zu entries after snapshot %llu: "
                    "acknowledged was up to %llu, under way %llu ops",
                    (unsigned long long)f->log.first_index,
                    (unsigned long long)f->log.last, f->log.n,
                    (unsigned long long)f->snap.index,
                    (unsigned long long)(r->sure.next - 1),
                    (unsigned long long)(r->submitted - r->acked));
}

static bool same_id(const struct identity *a, const struct identity *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

static bool explain_id(struct rig *r, const struct identity *id)
{
    if (same_id(id, &r->ident) || same_id(id, &r->ident_next)) {
        r->ident = r->ident_next = *id;
        return true;
    }
    return violated(r, "identity of node %llu; acknowledged was %llu",
                    (unsigned long long)id->node_id,
                    (unsigned long long)r->ident.node_id);
}

bool rig_explain(struct rig *r, const struct rig_found *f)
{
    const struct rig_point *p = &f->snap;
    const struct rig_promise *v = &f->voted;

    if (f->status != 0) {
        return violated(r, "refused: %s", f->em.text);
    }
    if (!explain_id(r, &f->id)) {
        return false;
    }
    if (!f->member) {
        memset(&r->voted, 0, sizeof r->voted);
        r->voted_next = r->voted;
        return true;
    }
    if (memcmp(p, &r->snap, sizeof *p) != 0 &&
        memcmp(p, &r->snap_next, sizeof *p) != 0) {
        return violated(r, "snapshot %llu; acknowledged was %llu",
                        (unsigned long long)p->index,
                        (unsigned long long)r->snap.index);
    }
    r->snap = r->snap_next = *p;
    if (memcmp(v, &r->voted, sizeof *v) != 0 &&
        memcmp(v, &r->voted_next, sizeof *v) != 0) {
        return violated(r, "vote %llu in term %llu; promised was %llu in %llu",
                        (unsigned long long)v->vote,
                        (unsigned long long)v->term,
                        (unsigned long long)r->voted.vote,
                        (unsigned long long)r->voted.term);
    }
    r->voted = r->voted_next = *v;
    return explain_log(r, f);
}

bool rig_same_log(const struct wal_recovered *a, const struct wal_recovered *b)
{
    if (a->n != b->n || a->first_index != b->first_index ||
        a->last != b->last || a->last_term != b->last_term ||
        a->need_reset != b->need_reset) {
        return false;
    }
    for (size_t i = 0; i < a->n; i++) {
        const struct entry *x = &a->entries[i];
        const struct entry *y = &b->entries[i];

        if (x->term != y->term || x->type != y->type ||
            !bytes_eq(x->data, y->data)) {
            return false;
        }
    }
    return true;
}

/* ---- opening ---- */

bool rig_reported(const struct rig_found *f)
{
    return (f->status == HF_ECORRUPT || f->status == HF_EIDENTITY ||
            f->status == HF_EVERSION) &&
           f->em.text[0] != '\0';
}

bool rig_survey_true(const struct rig_found *f, uint64_t last)
{
    return !f->survey.known || f->survey.last == last;
}

static int open_member(struct rig *r, struct disk *d, struct rig_found *f)
{
    struct gen g = {NULL, r->snap_bytes, NULL};
    struct snap_sink sink = {gen_feed, &g};
    struct wal_recover_in in;
    struct snap_file snap;
    struct snap_file read;
    int rv = snap_open(d, &f->id, &snap, &f->em);

    if (rv != 0) {
        return rv;
    }
    f->snap.index = snap.index;
    f->snap.term = snap.term;
    rv = vote_open(&f->vote, d, &f->id, true, &f->em);
    memset(&in, 0, sizeof in);
    in.cfg = r->cfg;
    in.cfg.id = f->id;
    in.snap_index = snap.index;
    in.snap_term = snap.term;
    in.durable_no = f->vote.now.log_no;
    if (snap.node_id == f->id.node_id && snap.log_no > in.durable_no) {
        in.durable_no = snap.log_no;
    }
    snap_file_release(&snap);
    if (rv != 0) {
        return rv;
    }
    f->voted.term = f->vote.now.term;
    f->voted.vote = f->vote.now.vote;
    rv = r->skip_log ? 0 : wal_recover(d, &in, &f->log, &f->em);
    if (rv == HF_ECORRUPT && wal_survey(d, &in, &f->survey, NULL) != 0) {
        f->survey.known = false;
    }
    if (rv != 0 || f->snap.index == 0 || r->skip_content) {
        return rv;
    }
    g.p = snap_bytes(f->snap.index, f->snap.term);
    memset(&read, 0, sizeof read);
    rv =
        snap_read(d, &f->id, f->snap.index, f->snap.term, &sink, &read, &f->em);
    snap_file_release(&read);
    return rv == 0 && g.left != 0 ? HF_EINVAL : rv;
}

void rig_open(struct rig *r, struct disk *d, struct rig_found *f)
{
    memset(f, 0, sizeof *f);
    f->status = identity_open(d, r->fresh, &f->id, &f->em);
    if (f->status != 0) {
        return;
    }
    if (!identity_has_node(&f->id)) {
        f->status = peers_file_wipe_unborn(d, &f->em);
        return;
    }
    f->member = true;
    f->status = open_member(r, d, f);
}

void rig_found_release(struct rig_found *f)
{
    wal_recovered_release(&f->log);
}

/* ---- the process ---- */

static void on_durable(void *data, uint64_t token)
{
    struct rig *r = data;

    if (r->stopped) {
        r->late_ack = true;
        return;
    }
    if (r->vote.now.log_no == 0 && !mutant(LOG_NOT_NOTED)) { /* as the node */
        struct errmsg em = {{0}};

        if (vote_note(&r->vote, wal_durable_no(r->w), &em) != 0) {
            r->stopped = true;
            return;
        }
    }
    hf_assert(token == r->acked + 1);
    log_apply(&r->sure, op_at(r, r->acked), op_at(r, r->acked)->n);
    r->acked++;
}

static void on_fatal(void *data, const struct errmsg *em)
{
    struct rig *r = data;

    hf_assert(em->text[0] != '\0');
    r->stopped = true;
    if (r->must_not_stop) {
        violated(r, "stopped for want of room: %s", em->text);
    }
}

static void on_closed(void *data, bool clean)
{
    struct rig *r = data;

    r->closed = true;
    r->clean = clean;
}

void rig_init(struct rig *r,
              struct disk *d,
              uint64_t seed,
              uint8_t cluster,
              uint64_t node)
{
    memset(r, 0, sizeof *r);
    r->d = d;
    r->rng.s = seed;
    r->cfg.segment_bytes = RIG_SEGMENT;
    memset(r->cfg.id.cluster_id, cluster, ID_BYTES);
    r->cfg.id.node_id = node;
    rig_set_dir(r, 9);
    r->snap_bytes = 3000;
    r->term = 1;
    r->next_id = 1;
    r->sure.next = r->sure.floor = 1;
    r->now = r->sure;
}

void rig_set_dir(struct rig *r, uint8_t dir)
{
    memset(r->fresh, dir, ID_BYTES);
    memcpy(r->ident.dir_id, r->fresh, ID_BYTES);
    r->ident_next = r->ident;
}

void rig_fork(struct rig *to, const struct rig *r, struct disk *d)
{
    *to = *r;
    to->d = d;
    to->w = NULL;
    to->on_restart = NULL;
    memset(&to->t, 0, sizeof to->t);
    to->text[0] = '\0';
}

void rig_drop(struct rig *r)
{
    if (r->w != NULL) {
        wal_free_crashed(r->w);
        r->w = NULL;
        env_release(&r->t.e);
    }
}

static void process_begin(struct rig *r, struct rig_found *f)
{
    struct wal_cbs cbs = {on_durable, on_fatal, r};

    test_env_init(&r->t, r->d, rng_next(&r->rng));
    r->stopped = r->closed = r->clean = r->closing = false;
    r->vote = f->vote;
    if (r->snap.index > 0 &&
        (f->log.need_reset || f->log.last == r->snap.index)) {
        r->now.next = r->now.floor = r->snap.index + 1;
        r->now.floor_term = r->snap.term;
        r->sure = r->now;
    }
    r->cfg.id = f->id;
    r->w = wal_new(&r->t.e, NULL, &r->cfg, &f->log, &cbs);
}

/* Become a member as a node does: empty log and vote first, then the name,
 * so that a crash between leaves a blank seat. */
static int become_member(struct rig *r, struct rig_found *f)
{
    struct identity as = r->id;
    struct wal_recover_in in;
    struct snap_file none;
    int rv;

    r->ident_next = r->id;
    memcpy(r->ident_next.cluster_id, r->cfg.id.cluster_id, ID_BYTES);
    if (rng_below(&r->rng, 2) == 0) { /* a promise, and perhaps taken back */
        rv = identity_assign(r->d, &r->id, r->cfg.id.cluster_id, 0, &f->em);
        if (rv == 0) {
            r->ident = r->ident_next;
        }
        if (rv == 0 && rng_below(&r->rng, 2) == 0) {
            memset(r->ident_next.cluster_id, 0, ID_BYTES);
            rv = identity_forget(r->d, &r->id, &f->em);
        }
        if (rv != 0) {
            return rv;
        }
        r->ident = r->id;
    }
    memcpy(as.cluster_id, r->cfg.id.cluster_id, ID_BYTES);
    as.node_id = r->cfg.id.node_id;
    rv = snap_open(r->d, &as, &none, &f->em);
    if (rv == 0) {
        snap_file_release(&none);
        rv = vote_open(&f->vote, r->d, &as, false, &f->em);
    }
    memset(&in, 0, sizeof in);
    in.cfg = r->cfg;
    in.cfg.id = as;
    if (rv == 0) {
        rv = wal_recover(r->d, &in, &f->log, &f->em);
    }
    if (rv == 0) {
        r->ident_next = as;
        rv = identity_assign(r->d, &r->id, as.cluster_id, as.node_id, &f->em);
    }
    if (rv == 0) {
        r->ident = r->ident_next;
        f->id = r->id;
    }
    return rv;
}

bool rig_start(struct rig *r)
{
    struct rig_found f;
    struct identity name = r->cfg.id;
    bool ok;

    hf_assert(r->w == NULL);
    rig_open(r, r->d, &f);
    r->open_status = f.status;
    ok = f.status == 0 && rig_explain(r, &f);
    if (ok && !f.member) {
        r->id = f.id;
        r->cfg.id = name;
        r->open_status = become_member(r, &f);
        ok = r->open_status == 0;
    }
    if (ok) {
        r->id = f.id;
        process_begin(r, &f);
    } else if (f.status != 0 || r->open_status != 0) {
        snprintf(r->text, sizeof r->text, "refused: %.500s", f.em.text);
    }
    rig_found_release(&f);
    return ok;
}

/* ---- the script ---- */

static void submit(struct rig *r, const struct rig_op *op)
{
    struct entry e[RIG_BATCH];

    while (r->submitted - r->acked == RIG_FLIGHT - 1 && !r->stopped &&
           test_env_step(&r->t)) {
    }
    if (r->stopped || r->submitted - r->acked == RIG_FLIGHT - 1 ||
        r->now.next + RIG_BATCH > r->snap.index + RIG_LIVE) {
        return;
    }
    *op_at(r, r->submitted++) = *op;
    log_apply(&r->now, op, op->n);
    if (op->kind == RIG_RESET) {
        wal_reset(r->w, op->first, op->term, r->submitted);
        return;
    }
    if (op->kind == RIG_TRUNCATE) {
        wal_truncate(r->w, op->first, r->submitted);
        return;
    }
    for (size_t i = 0; i < op->n; i++) {
        e[i].term = op->term;
        e[i].type = ENTRY_COMMAND;
        e[i].blob = op->len[i] == 0
                        ? NULL
                        : blob_copy(entry_bytes(op->id[i]), op->len[i]);
        e[i].data = op->len[i] == 0 ? bytes_of(NULL, 0) : blob_bytes(e[i].blob);
    }
    wal_append(r->w, op->first, e, op->n, r->submitted);
    for (size_t i = 0; i < op->n; i++) {
        entry_unref(&e[i]);
    }
}

static void append_at(struct rig *r, uint64_t first, size_t n, uint32_t max_len)
{
    struct rig_op op;

    memset(&op, 0, sizeof op);
    op.kind = RIG_APPEND;
    op.first = first;
    op.term = r->term;
    op.n = n;
    for (size_t i = 0; i < n; i++) {
        op.id[i] = r->next_id++;
        op.len[i] = (uint32_t)rng_below(&r->rng, max_len + 1);
    }
    submit(r, &op);
}

void rig_append(struct rig *r, size_t n, uint32_t max_len)
{
    append_at(r, r->now.next, n, max_len);
}

void rig_truncate(struct rig *r, uint64_t first)
{
    struct rig_op op;

    memset(&op, 0, sizeof op);
    op.kind = RIG_TRUNCATE;
    op.first = first;
    op.term = ++r->term;
    submit(r, &op);
}

void rig_replace(struct rig *r, uint64_t first)
{
    r->term++;
    append_at(r, first, 1, 200);
}

/* A write into a file of its own failed: no room or an I/O error, and the
 * process goes on without the snapshot. */
static void snap_failed(struct rig *r, int rv, const struct errmsg *em)
{
    r->snap_next = r->snap;
    if (rv == HF_ECORRUPT || rv == HF_EIDENTITY || rv == HF_EINVAL) {
        violated(r, "snapshot: %s", em->text);
    }
}

/* The file may have got its name although what came after failed: then a
 * later start finds it. */
static void snap_made(struct rig *r, int rv, struct errmsg *em)
{
    char name[DISK_NAME_MAX];

    if (rv == 0) {
        r->snap = r->snap_next;
        return;
    }
    snap_name(r->snap_next.index, r->snap_next.term, name);
    if (disk_sim_exists(r->d, name)) {
        r->stopped = true; /* what the log may drop is not known now */
        return;
    }
    snap_failed(r, rv, em);
}

static void snap_source(struct rig *r,
                        struct gen *g,
                        struct snap_file *m,
                        uint64_t index,
                        uint64_t term)
{
    *g = (struct gen){snap_bytes(index, term), r->snap_bytes, NULL};
    memset(m, 0, sizeof *m);
    m->index = index;
    m->term = term;
    m->conf_index = 1;
    m->conf = bytes_str("members");
    m->log_no = wal_durable_no(r->w);
}

void rig_snapshot(struct rig *r, uint64_t index)
{
    struct errmsg em = {{0}};
    struct snap_file m;
    struct gen g;
    struct snap_source src = {gen_next, &g, NULL, 0};
    int rv;

    snap_source(r, &g, &m, index, log_term(&r->now, index));
    g.busy = r;
    r->snap_next = (struct rig_point){m.index, m.term};
    rv = snap_write(r->d, &r->id, &m, &src, &em);
    snap_made(r, rv, &em);
    if (rv == 0 && !r->stopped) {
        (void)snap_retire(r->d, index, &em);
        wal_trim(r->w, index);
    }
}

/* The bytes of the snapshot that a leader, node 77, would send. */
static uint8_t *foreign_snapshot(struct rig *r,
                                 struct snap_file *m,
                                 size_t *bytes)
{
    struct disk *d = disk_sim_new();
    struct identity leader = r->id;
    struct errmsg em = {{0}};
    struct gen g;
    struct snap_source src = {gen_next, &g, NULL, 0};
    struct snap_out out;
    struct snap_file none;
    uint8_t *raw;

    leader.node_id = 77;
    hf_assert(snap_open(d, &leader, &none, &em) == 0);
    snap_source(r, &g, m, m->index, m->term);
    hf_assert(snap_write(d, &leader, m, &src, &em) == 0);
    hf_assert(snap_open_for_send(d, m->index, m->term, &out, &em) == 0);
    raw = hf_malloc(out.bytes);
    *bytes = out.bytes;
    hf_assert(snap_out_read(&out, raw, out.bytes, 0, &em) ==
              (int64_t)out.bytes);
    snap_out_close(&out);
    disk_sim_free(d);
    return raw;
}

void rig_install(struct rig *r)
{
    struct rig_op op = {.kind = RIG_RESET};
    struct errmsg em = {{0}};
    struct snap_in in = {0};
    struct snap_file m = {.index = r->now.next + rng_below(&r->rng, 5),
                          .term = r->term + 1};
    uint8_t *raw;
    size_t bytes;
    int rv;

    r->term++;
    raw = foreign_snapshot(r, &m, &bytes);
    r->snap_next = (struct rig_point){m.index, m.term};
    rv = snap_in_begin(r->d, &r->id, m.index, m.term, bytes, &in, &em);
    for (size_t at = 0; at < bytes && rv == 0;) {
        size_t n = bytes - at < GIVE ? bytes - at : GIVE;

        rv = snap_in_write(&in, at, raw + at, n, &em);
        at += n;
        test_env_step(&r->t);
    }
    free(raw);
    rv = rv == 0 ? snap_in_finish(&in, &m, &em) : rv;
    snap_file_release(&m);
    snap_in_abort(&in);
    snap_made(r, rv, &em);
    if (rv == 0 && !r->stopped) {
        op.first = r->snap.index + 1;
        op.term = r->snap.term;
        submit(r, &op);
        (void)snap_retire(r->d, r->snap.index, &em);
        wal_trim(r->w, r->snap.index);
    }
}

void rig_vote(struct rig *r)
{
    struct rig_promise *v = &r->voted_next;
    struct errmsg em = {{0}};

    *v = r->voted;
    if (v->vote != 0 || v->term == 0 || rng_below(&r->rng, 2) == 0) {
        r->term = r->term > v->term ? r->term + 1 : v->term + 1;
        v->term = r->term;
        v->vote = rng_below(&r->rng, 3);
    } else {
        v->vote = 1 + rng_below(&r->rng, 3);
    }
    if (vote_set(&r->vote, v->term, v->vote, wal_durable_no(r->w), &em) != 0) {
        r->stopped = true;
        if (r->must_not_stop) {
            violated(r, "stopped for want of room: %s", em.text);
        }
        return;
    }
    r->voted = *v;
    /* A request repeated: the same promise once more, or only its term. */
    if (rng_below(&r->rng, 4) == 0 &&
        vote_set(&r->vote, v->term, rng_below(&r->rng, 2) * v->vote,
                 wal_durable_no(r->w), &em) != 0) {
        r->stopped = true;
    }
}

void rig_settle(struct rig *r, uint64_t us)
{
    if (r->w != NULL && !r->stopped) {
        test_env_run(&r->t, us);
    }
}

void rig_close(struct rig *r)
{
    r->closing = true;
    wal_close(r->w, on_closed, r);
    for (int i = 0; i < 100 && !r->closed && !r->stopped; i++) {
        test_env_run(&r->t, 1000000);
    }
    if (r->closed && !r->stopped) {
        wal_free(r->w);
        test_env_run(&r->t, 0);
        env_release(&r->t.e);
        r->w = NULL;
    } else {
        rig_drop(r);
    }
}

void rig_work(struct rig *r)
{
    uint64_t dice = rng_below(&r->rng, 100);
    uint64_t safe = wal_durable_index(r->w);

    r->done++;
    if (r->now.next - r->snap.index > RIG_LIVE / 2) {
        rig_settle(r, 0);
        safe = wal_durable_index(r->w);
        dice = 10;
    }
    if (dice < 8 && r->now.next > r->snap.index + 1) {
        uint64_t n = r->now.next - r->snap.index;
        uint64_t first = r->now.next - rng_below(&r->rng, n < 20 ? n : 20);

        if (rng_below(&r->rng, 4) == 0) {
            rig_truncate(r, first);
        } else {
            rig_replace(r, first);
        }
    } else if (dice < 14 && safe > r->snap.index + 4 && !r->stopped) {
        uint64_t n = safe - r->snap.index;

        rig_snapshot(r, safe - rng_below(&r->rng, n < 8 ? n : 8));
    } else if (dice < 16) {
        rig_install(r);
    } else if (dice < 26) {
        rig_vote(r);
    } else {
        rig_append(r, 1 + rng_below(&r->rng, RIG_BATCH),
                   dice < 29   ? RIG_ENTRY
                   : dice < 40 ? 1500
                               : 200);
    }
    for (uint64_t i = rng_below(&r->rng, 3); i > 0 && !r->stopped; i--) {
        test_env_step(&r->t);
    }
    if (rng_below(&r->rng, 12) == 0) {
        rig_settle(r, 30000);
    }
}

void rig_step(struct rig *r)
{
    uint64_t dice = rng_below(&r->rng, 60);

    if (r->w != NULL && dice == 0) {
        rig_close(r);
    } else if (r->w != NULL && dice == 1) {
        rig_drop(r);
    }
    if (r->w == NULL && !r->stopped) {
        disk_sim_kill(r->d);
        if (r->on_restart != NULL) {
            r->on_restart(r->on_restart_data);
        }
        if (!rig_start(r)) {
            r->stopped = true;
            return;
        }
    }
    if (!r->stopped) {
        rig_work(r);
    }
}
