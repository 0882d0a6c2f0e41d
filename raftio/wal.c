#include "raftio/wal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mutant.h"
#include "raftio/file_int.h"
#include "raftio/wal_int.h"

/* Happy path: appends queue up; at the end of the turn all that fits one
 * write becomes frames (one per term) and goes to the log thread; when it is
 * synced, on_durable() in order, and what queued up meanwhile follows.
 *
 * When the segment is full the same work item first turns a prepared file
 * into the next segment: header written and synced, renamed, directory
 * synced. So a segment exists only after its predecessor's last frame is
 * durable, and its header says where that ended.
 *
 * Failure: see wal_fatal(). No room: the queue waits until a preparation,
 * repeated every second, succeeds. */

enum { GROUP_FRAMES_MAX = 256, READ_FRAMES_MAX = 1024, PREPARE_STEP = 1 << 20 };

enum op_kind { OP_ENTRIES, OP_TRUNCATE, OP_RESET, OP_MARK };

struct wal_op {
    struct wal_op *next;
    enum op_kind kind;
    uint64_t first;
    uint64_t term; /* RESET: of entry first - 1 */
    uint64_t token;
    uint64_t bytes;
    bool quiet; /* no callback */
    bool clean; /* MARK of an orderly end */
    size_t n;
    size_t done; /* entries put into a group */
    struct entry e[];
};

struct op_queue {
    struct wal_op *head;
    struct wal_op *tail;
};

struct spare {
    uint64_t id;
    uint64_t size;
};

/* A frame to be: entries [from, from + f.count) of the group. */
struct plan_frame {
    struct frame f;
    size_t from;
    uint64_t payload;
};

/* The write in flight. Loop thread before and after, log thread meanwhile. */
struct group {
    struct env_work work;
    struct wal *w;
    struct plan_frame frames[GROUP_FRAMES_MAX];
    size_t frames_n;
    const struct entry **ents;
    size_t ents_n;
    size_t ents_cap;
    uint8_t *buf;
    size_t buf_cap;
    uint64_t bytes;
    uint64_t off;
    uint32_t chain;
    uint64_t salt;
    uint64_t next_index; /* after it */
    struct op_queue done;
    uint64_t started_us;
    bool busy;
    /* a new segment first */
    bool turn;
    uint64_t spare_id;
    struct seg_head head;
    struct wal_seg before; /* the one that it follows; number 0: none */
    uint64_t number;       /* segment written to */
    int rv;
    struct errmsg em;
};

enum house_kind { HOUSE_PREPARE, HOUSE_RECYCLE, HOUSE_UNLINK };

struct house {
    struct env_work work;
    struct wal *w;
    enum house_kind kind;
    uint64_t spare_id;
    uint64_t number;
    uint64_t size;
    bool busy;
    bool made_dir;
    int rv;
    struct errmsg em;
};

struct read_op {
    struct env_work work;
    struct wal *w;
    struct read_op *next;
    struct disk *disk;
    uint64_t seg;
    uint64_t salt;
    struct wal_index *frames;
    size_t frames_n;
    uint64_t first;
    size_t max_bytes;
    struct entry *entries;
    size_t n;
    int rv;
    struct errmsg em;
    void (*cb)(void *data, const struct wal_read_result *r);
    void *data;
};

struct wal {
    struct env *env;
    struct logger *log;
    struct wal_cfg cfg;
    struct wal_cbs cbs;
    struct disk_file *file; /* active segment; the log thread's */
    struct wal_seg *segs;   /* oldest first; the last one is active */
    size_t segs_n;
    struct wal_seg *dead; /* trimmed, files still there; oldest first */
    size_t dead_n;
    struct spare *spares;
    size_t spares_n;
    uint64_t next_name;
    struct wal_index *index;
    size_t index_n;
    size_t index_cap;
    uint64_t before_term;  /* of the entry before index[0] */
    uint64_t next;         /* appended: next index */
    uint64_t plan_next;    /* put into groups */
    uint64_t plan_term;    /* of plan_next - 1 */
    uint64_t durable_next; /* acknowledged */
    uint64_t trim_upto;    /* entries up to it are not needed */
    uint64_t read_floor;   /* below it a reset has removed all */
    uint64_t last_no;
    uint64_t durable_no;
    uint32_t chain;
    bool new_segment; /* the active one must not be written to */
    bool marked;      /* the last frame is a mark */
    bool failed;
    bool freed;
    bool closing;
    bool close_marked;
    bool wants_room;
    bool calling; /* in a callback: pump later */
    uint64_t pending;
    struct op_queue queue;
    struct group group;
    uint64_t write_us; /* what the last one took */
    struct house house;
    struct read_op *reads;
    uint32_t reads_n;
    struct env_task pump_task;
    struct env_timer mark_timer;
    struct env_timer retry_timer;
    void (*close_cb)(void *data, bool clean);
    void *close_data;
};

static void wal_pump(struct wal *w);
static void house_pump(struct wal *w);

/* ---- small things ---- */

static void queue_push(struct op_queue *q, struct wal_op *op)
{
    op->next = NULL;
    if (q->tail != NULL) {
        q->tail->next = op;
    } else {
        q->head = op;
    }
    q->tail = op;
}

static struct wal_op *queue_pop(struct op_queue *q)
{
    struct wal_op *op = q->head;

    q->head = op->next;
    if (q->head == NULL) {
        q->tail = NULL;
    }
    return op;
}

static void op_free(struct wal_op *op)
{
    for (size_t i = 0; i < op->n; i++) {
        entry_unref(&op->e[i]);
    }
    free(op);
}

static struct wal_op *op_new(enum op_kind kind,
                             uint64_t first,
                             size_t n,
                             uint64_t token)
{
    struct wal_op *op = hf_calloc(1, sizeof *op + n * sizeof op->e[0]);

    op->kind = kind;
    op->first = first;
    op->n = n;
    op->token = token;
    return op;
}

/* Bytes that frames may still take in @seg. */
static uint64_t seg_left(const struct wal_seg *seg)
{
    uint64_t used = seg->end + SEG_SEAL;

    return seg->size > used ? seg->size - used : 0;
}

static struct wal_seg *active(struct wal *w)
{
    return w->segs_n > 0 ? &w->segs[w->segs_n - 1] : NULL;
}

static struct wal_seg *seg_of(struct wal *w, uint64_t number)
{
    for (size_t i = 0; i < w->segs_n; i++) {
        if (w->segs[i].number == number) {
            return &w->segs[i];
        }
    }
    for (size_t i = 0; i < w->dead_n; i++) {
        if (w->dead[i].number == number) {
            return &w->dead[i];
        }
    }
    return NULL;
}

/* ---- index of frames ---- */

/* Position of the frame with @index; w->index_n if there is none. */
static size_t index_find(const struct wal *w, uint64_t index)
{
    size_t lo = 0;
    size_t hi = w->index_n;

    while (lo < hi) {
        size_t mid = (lo + hi) / 2;

        if (w->index[mid].last < index) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo < w->index_n && w->index[lo].first <= index ? lo : w->index_n;
}

static uint64_t term_at(const struct wal *w, uint64_t index)
{
    size_t i = index_find(w, index);

    return i < w->index_n ? w->index[i].term : w->before_term;
}

static void index_cut(struct wal *w, uint64_t from)
{
    while (w->index_n > 0 && w->index[w->index_n - 1].first >= from) {
        w->index_n--;
    }
    if (w->index_n > 0 && w->index[w->index_n - 1].last >= from) {
        w->index[w->index_n - 1].last = from - 1;
    }
}

static void index_push(struct wal *w, const struct wal_index *x)
{
    if (w->index_n == w->index_cap) {
        w->index_cap = w->index_cap == 0 ? 256 : w->index_cap * 2;
        w->index = hf_realloc(w->index, w->index_cap * sizeof *w->index);
    }
    w->index[w->index_n++] = *x;
}

/* ---- failure ---- */

/* After a failed write or sync nobody knows what the disk has: a later sync
 * may say that all is well and lie. So nothing is acknowledged any more. */
static void wal_fatal(struct wal *w, int code, const struct errmsg *em)
{
    (void)code;
    w->failed = true;
    env_timer_stop(w->env, &w->mark_timer);
    env_timer_stop(w->env, &w->retry_timer);
    env_undefer(w->env, &w->pump_task);
    log_error(w->log, "log write failed, the process must end: %s", em->text);
    w->cbs.on_fatal(w->cbs.data, em);
}

/* ---- planning a group: loop thread ---- */

static uint64_t entry_bytes(const struct entry *e)
{
    return ENTRY_HEADER + e->data.n;
}

/* Bytes of the smallest frame that gets the queue's head going. */
static uint64_t head_need(const struct wal *w)
{
    const struct wal_op *op = w->queue.head;
    uint64_t n = FRAME_ALIGN;

    if (op->kind == OP_ENTRIES) {
        n = frame_bytes(entry_bytes(&op->e[op->done]));
        n += op->done == 0 && op->first < w->plan_next ? FRAME_ALIGN : 0;
    }
    return n;
}

static uint64_t group_room(const struct wal *w, uint64_t limit)
{
    return limit > w->group.bytes ? limit - w->group.bytes : 0;
}

static struct plan_frame *plan_frame(struct wal *w,
                                     uint16_t kind,
                                     uint64_t first,
                                     uint64_t term)
{
    struct plan_frame *p = &w->group.frames[w->group.frames_n++];

    memset(p, 0, sizeof *p);
    p->f.kind = kind;
    p->f.no = ++w->last_no;
    p->f.first = first;
    p->f.last = first == 0 ? 0 : first - 1;
    p->f.term = term;
    p->f.salt = w->group.salt;
    p->f.durable_no = w->durable_no;
    p->from = w->group.ents_n;
    w->group.bytes += FRAME_ALIGN;
    return p;
}

static void plan_truncate(struct wal *w, uint64_t index)
{
    hf_assert(index <= w->plan_next);
    index_cut(w, index);
    w->plan_next = index;
    w->plan_term = term_at(w, index - 1);
    plan_frame(w, FRAME_TRUNCATE, index, w->plan_term);
}

/* Put as many of @op's entries into the group as fit. */
static void plan_entries(struct wal *w, struct wal_op *op, uint64_t limit)
{
    struct group *g = &w->group;

    while (op->done < op->n) {
        const struct entry *e = &op->e[op->done];
        struct plan_frame *p =
            g->frames_n > 0 ? &g->frames[g->frames_n - 1] : NULL;
        bool joins = p != NULL && p->f.kind == FRAME_ENTRIES &&
                     p->f.term == e->term &&
                     p->payload + entry_bytes(e) <= FRAME_LEN_MAX - 1024;
        uint64_t old = joins ? frame_bytes(p->payload) : 0;
        uint64_t new = frame_bytes((joins ? p->payload : 0) + entry_bytes(e));

        if (new - old > group_room(w, limit) ||
            (!joins && g->frames_n == GROUP_FRAMES_MAX)) {
            return;
        }
        hf_assert(e->term >= w->plan_term);
        if (!joins) {
            p = plan_frame(w, FRAME_ENTRIES, w->plan_next, e->term);
            old = FRAME_ALIGN; /* counted by plan_frame() */
        }
        g->bytes += new - old;
        p->payload += entry_bytes(e);
        p->f.count++;
        p->f.last = w->plan_next++;
        w->plan_term = e->term;
        if (g->ents_n == g->ents_cap) {
            g->ents_cap = g->ents_cap == 0 ? 256 : g->ents_cap * 2;
            g->ents = hf_realloc(g->ents, g->ents_cap * sizeof *g->ents);
        }
        g->ents[g->ents_n++] = e;
        op->done++;
    }
}

/* Put @op into the group; true when all of it is in. */
static bool plan_op(struct wal *w, struct wal_op *op, uint64_t limit)
{
    if (w->group.frames_n + 2 > GROUP_FRAMES_MAX) {
        return false;
    }
    if (op->kind == OP_ENTRIES) {
        if (op->done == 0 && op->first < w->plan_next) {
            if (group_room(w, limit) < head_need(w)) {
                return false;
            }
            plan_truncate(w, op->first);
        }
        plan_entries(w, op, limit);
        return op->done == op->n;
    }
    if (group_room(w, limit) < FRAME_ALIGN) {
        return false;
    }
    if (op->kind == OP_TRUNCATE) {
        if (op->first < w->plan_next) {
            plan_truncate(w, op->first);
        }
    } else if (op->kind == OP_RESET) {
        w->index_n = 0;
        w->plan_next = op->first;
        w->plan_term = w->before_term = op->term;
        plan_frame(w, FRAME_RESET, op->first, op->term);
    } else {
        /* Its place tells a survey of a damaged log where the log ended. */
        plan_frame(w, FRAME_MARK, w->plan_next, w->plan_term)->f.flags =
            op->clean ? FRAME_CLEAN : 0;
    }
    return true;
}

/* A prepared file with room for @need; spares_n if there is none. */
static size_t spare_find(const struct wal *w, uint64_t need)
{
    for (size_t i = 0; i < w->spares_n; i++) {
        if (w->spares[i].size >= need + SEG_HEADER + SEG_SEAL) {
            return i;
        }
    }
    return w->spares_n;
}

static void plan_turn(struct wal *w, size_t spare, uint64_t need)
{
    struct group *g = &w->group;
    struct wal_seg *old = active(w);
    struct wal_seg *seg;

    memset(&g->head, 0, sizeof g->head);
    memset(&g->before, 0, sizeof g->before);
    if (old != NULL) {
        g->before = *old;
    }
    g->turn = true;
    g->spare_id = w->spares[spare].id;
    g->head.id = w->cfg.id;
    g->head.number = old == NULL ? 1 : old->number + 1;
    g->head.first_index = w->plan_next;
    g->head.prev_term = w->plan_term;
    g->head.first_no = w->last_no + 1;
    do {
        env_random(w->env, &g->head.salt, sizeof g->head.salt);
    } while (g->head.salt == 0);
    g->head.size = w->spares[spare].size;
    g->head.flight = w->cfg.flight_bytes > need ? w->cfg.flight_bytes : need;
    g->head.pred_end = old == NULL ? 0 : old->end;
    g->head.pred_last = w->plan_next - 1;
    g->head.pred_chain = old == NULL ? 0 : w->chain;
    w->spares[spare] = w->spares[--w->spares_n];
    w->segs = hf_realloc(w->segs, (w->segs_n + 1) * sizeof *w->segs);
    seg = &w->segs[w->segs_n++];
    memset(seg, 0, sizeof *seg);
    seg->number = g->head.number;
    seg->size = g->head.size;
    seg->end = SEG_HEADER;
    seg->salt = g->head.salt;
    seg->flight = g->head.flight;
    seg->own = true;
    w->new_segment = false;
}

/* Index the planned frames and give them their places in the segment. */
static void plan_places(struct wal *w)
{
    struct group *g = &w->group;
    struct wal_seg *seg = active(w);
    uint64_t off = g->off;

    for (size_t i = 0; i < g->frames_n; i++) {
        struct plan_frame *p = &g->frames[i];

        p->f.payload_len = (uint32_t)p->payload;
        p->f.len = (uint32_t)frame_bytes(p->payload);
        if (p->f.kind == FRAME_ENTRIES) {
            struct wal_index x = {p->f.first,  p->f.last, p->f.term,
                                  seg->number, off,       p->f.len};

            /* A later op of the same group may have truncated it again. */
            if (x.last >= w->plan_next) {
                x.last = w->plan_next - 1;
            }
            if (x.first <= x.last) {
                index_push(w, &x);
            }
            if (p->f.last > seg->max_index) {
                seg->max_index = p->f.last;
            }
        }
        off += p->f.len;
    }
    hf_assert(off == g->off + g->bytes && off <= seg->size);
    seg->end = off;
}

static void group_fn(struct env_work *work);
static void group_done(struct env_work *work);

/* May the head of the queue be written now? Sets up a new segment if that is
 * what it takes; false if there is none yet. */
static bool plan_segment(struct wal *w)
{
    struct wal_seg *seg = active(w);
    uint64_t need = head_need(w);
    size_t spare;

    if (seg != NULL && !w->new_segment && need <= seg_left(seg) &&
        need <= seg->flight) {
        return true;
    }
    if (w->closing && w->queue.head->clean) {
        /* Not worth a segment. */
        op_free(queue_pop(&w->queue));
        return false;
    }
    spare = spare_find(w, need);
    if (spare == w->spares_n) {
        return false;
    }
    plan_turn(w, spare, need);
    return true;
}

static void group_start(struct wal *w)
{
    struct group *g = &w->group;
    struct wal_seg *seg;
    uint64_t limit;

    g->frames_n = 0;
    g->ents_n = 0;
    g->bytes = 0;
    g->turn = false;
    g->rv = 0;
    if (!plan_segment(w)) {
        return;
    }
    seg = active(w);
    g->off = seg->end;
    g->salt = seg->salt;
    g->number = seg->number;
    g->chain = w->chain;
    limit = seg_left(seg) < seg->flight ? seg_left(seg) : seg->flight;
    /* Truncating what the same write appends would need two indexes. */
    while (w->queue.head != NULL) {
        struct wal_op *op = w->queue.head;

        if (g->ents_n > 0 && op->done == 0 && op->kind != OP_MARK &&
            (op->kind != OP_ENTRIES || op->first < w->plan_next)) {
            break;
        }
        if (!plan_op(w, op, limit)) {
            break;
        }
        queue_push(&g->done, queue_pop(&w->queue));
    }
    g->next_index = w->plan_next;
    plan_places(w);
    g->busy = true;
    g->started_us = env_now_us(w->env);
    g->work.fn = group_fn;
    g->work.done = group_done;
    env_timer_stop(w->env, &w->mark_timer);
    env_work(w->env, ENV_LOG, &g->work);
}

/* ---- writing: log thread ---- */

static int open_flags(void)
{
    int flags = DISK_WRITE | DISK_DIRECT;

    return mutant(ACK_BEFORE_SYNC) ? flags : flags | DISK_DSYNC;
}

/* The salt of the file's earlier life, so that recovery can tell its frames
 * from strange bytes; 0 if there was none. */
static int read_old_salt(struct group *g, const char *name, uint8_t *raw)
{
    struct seg_head old;
    int64_t n = disk_pread(g->w->file, raw, SEG_HEADER, 0);

    if (n < 0) {
        return file_err(&g->em, n, "read", name);
    }
    if (n == SEG_HEADER && seg_head_decode(raw, name, NULL, &old, NULL) == 0) {
        g->head.old_salt = old.salt;
    }
    return 0;
}

/* Behind the end of the segment before: that the log goes on in this one.
 * Without it nobody would miss the file if it got lost. The file has its name
 * for good already, and nothing in it is acknowledged yet; a power cut leaves
 * either no seal or a segment that it speaks of. */
static int seal_before(struct group *g)
{
    const struct wal_seg *seg = &g->before;
    struct frame f = {.kind = FRAME_MARK, .flags = FRAME_SEALED};
    struct disk_file *file;
    char name[WAL_PATH_MAX];
    uint8_t *raw;
    int rv;

    if (seg->number == 0 || seg->size - seg->end < SEG_SEAL ||
        mutant(NO_SEAL)) {
        return 0; /* older versions filled segments to the last byte */
    }
    seg_path(seg->number, name);
    rv = disk_open(g->w->env->disk, name, open_flags(), &file);
    if (rv < 0) {
        return file_err(&g->em, rv, "open", name);
    }
    raw = file_buf(SEG_SEAL);
    f.no = g->head.first_no;
    f.first = g->head.first_index;
    f.last = f.first - 1;
    f.term = g->head.prev_term;
    f.salt = seg->salt;
    f.durable_no = f.no - 1;
    f.prev = g->head.pred_chain;
    memset(raw, 0, SEG_SEAL);
    wal_frame_encode(&f, raw);
    rv = disk_pwrite(file, raw, SEG_SEAL, seg->end);
    rv = rv < 0 ? file_err(&g->em, rv, "write and sync", name) : 0;
    disk_close(file);
    free(raw);
    return rv;
}

static int turn_segment(struct group *g)
{
    struct disk *d = g->w->env->disk;
    char spare[WAL_PATH_MAX];
    char name[WAL_PATH_MAX];
    uint8_t *raw = file_buf(SEG_HEADER);
    int rv;

    spare_path(g->spare_id, spare);
    seg_path(g->head.number, name);
    disk_close(g->w->file);
    g->w->file = NULL;
    rv = disk_open(d, spare, open_flags(), &g->w->file);
    if (rv < 0) {
        g->w->file = NULL;
        rv = file_err(&g->em, rv, "open", spare);
        goto free_raw;
    }
    rv = read_old_salt(g, spare, raw);
    if (rv < 0) {
        goto free_raw;
    }
    seg_head_encode(&g->head, raw);
    rv = disk_pwrite(g->w->file, raw, SEG_HEADER, 0);
    if (rv < 0) {
        rv = file_err(&g->em, rv, "write header of", spare);
        goto free_raw;
    }
    rv = disk_rename(d, spare, name);
    if (rv < 0) {
        rv = file_err(&g->em, rv, "rename into", name);
        goto free_raw;
    }
    rv = mutant(NO_DIR_SYNC) ? 0 : disk_sync_dir(d, wal_dir);
    rv = rv < 0 ? file_err(&g->em, rv, "sync directory", wal_dir) : 0;
    rv = rv == 0 ? seal_before(g) : rv;
    g->chain = g->head.crc;
free_raw:
    free(raw);
    return rv;
}

static void group_encode(struct group *g)
{
    uint8_t *p = g->buf;

    for (size_t i = 0; i < g->frames_n; i++) {
        struct plan_frame *pf = &g->frames[i];
        uint8_t *at = p + FRAME_HEADER;
        uint64_t index = pf->f.first;

        for (size_t k = pf->from; k < pf->from + pf->f.count; k++) {
            entry_encode(at, index++, g->ents[k]);
            at += entry_bytes(g->ents[k]);
        }
        memset(at, 0, (size_t)(p + pf->f.len - at));
        pf->f.prev = g->chain;
        wal_frame_encode(&pf->f, p);
        g->chain = pf->f.crc;
        p += pf->f.len;
    }
}

static void group_fn(struct env_work *work)
{
    struct group *g = HF_CONTAINER_OF(work, struct group, work);
    char name[WAL_PATH_MAX];

    seg_path(g->number, name);
    if (g->turn) {
        g->rv = turn_segment(g);
    } else if (g->w->file == NULL) {
        g->rv = disk_open(g->w->env->disk, name, open_flags(), &g->w->file);
        if (g->rv < 0) {
            g->w->file = NULL;
            g->rv = file_err(&g->em, g->rv, "open", name);
        }
    }
    if (g->rv < 0 || g->bytes == 0) {
        return;
    }
    if (g->bytes > g->buf_cap) {
        free(g->buf);
        g->buf = file_buf(g->bytes);
        g->buf_cap = g->bytes;
    }
    group_encode(g);
    g->rv = disk_pwrite(g->w->file, g->buf, g->bytes, g->off);
    if (g->rv < 0 && mutant(SYNC_RETRIED)) {
        g->rv = disk_sync(g->w->file);
    }
    if (g->rv < 0 && !mutant(WRITE_ERROR_IGNORED)) {
        g->rv = file_err(&g->em, g->rv, "write and sync", name);
        errmsg_wrap(&g->em, g->rv, "at offset %llu",
                    (unsigned long long)g->off);
    } else {
        g->rv = 0;
    }
}

/* ---- completion: loop thread ---- */

/* Memory for a large write is given back; a typical one keeps its buffer. */
static void group_shrink(struct group *g)
{
    if (g->buf_cap > 2 * (size_t)LIM_BATCH) {
        free(g->buf);
        g->buf = NULL;
        g->buf_cap = 0;
    }
}

static void idle_mark(struct wal *w)
{
    if (w->queue.head == NULL && !w->marked && !w->closing && !w->failed &&
        !mutant(NO_MARK)) {
        env_timer_start(w->env, &w->mark_timer,
                        env_now_us(w->env) + WAL_MARK_IDLE_MS * 1000);
    }
}

static void release_now(struct wal *w);

static bool wal_gone(struct wal *w)
{
    if (w->freed && !w->group.busy && !w->house.busy && w->reads_n == 0 &&
        !w->calling) {
        release_now(w);
        return true;
    }
    return w->freed;
}

static void maybe_closed(struct wal *w)
{
    void (*cb)(void *data, bool clean) = w->close_cb;

    if (cb == NULL || w->group.busy || w->house.busy || w->reads_n > 0 ||
        (w->queue.head != NULL && !w->failed)) {
        return;
    }
    w->close_cb = NULL;
    cb(w->close_data, !w->failed); /* last: it may free @w */
}

/* RESET is durable: older segments have nothing that counts. */
static void reset_done(struct wal *w, const struct wal_op *op)
{
    for (size_t i = 0; i + 1 < w->segs_n; i++) {
        if (w->segs[i].max_index >= op->first) {
            w->segs[i].max_index = op->first - 1;
        }
    }
}

static void group_report(struct wal *w)
{
    w->calling = true;
    while (w->group.done.head != NULL && !w->freed) {
        struct wal_op *op = queue_pop(&w->group.done);
        uint64_t token = op->token;
        bool quiet = op->quiet;

        w->pending -= op->bytes;
        if (op->kind == OP_RESET) {
            reset_done(w, op);
        }
        op_free(op);
        if (!quiet) {
            w->cbs.on_durable(w->cbs.data, token);
        }
    }
    w->calling = false;
}

/* Index after the last durable entry that nothing queued takes away. */
static uint64_t durable_after(const struct wal *w, uint64_t written)
{
    uint64_t next = written;

    for (const struct wal_op *op = w->queue.head; op != NULL; op = op->next) {
        bool cuts = op->kind == OP_TRUNCATE ||
                    (op->kind == OP_ENTRIES && op->done == 0);

        if (op->kind == OP_RESET || (cuts && op->first < next)) {
            next = op->first;
        }
    }
    return next;
}

/* Move what nobody needs to the dead. A segment whose file is only now being
 * made does not count yet: its predecessor is still the log's end. */
static void trim_run(struct wal *w)
{
    size_t keep = w->group.busy && w->group.turn ? 2 : 1;
    size_t n = 0;
    size_t k = 0;

    while (n + keep < w->segs_n && w->segs[n].max_index <= w->trim_upto) {
        n++;
    }
    if (n == 0 || w->failed) {
        return;
    }
    w->dead = hf_realloc(w->dead, (w->dead_n + n) * sizeof *w->dead);
    memcpy(w->dead + w->dead_n, w->segs, n * sizeof *w->dead);
    w->dead_n += n;
    w->segs_n -= n;
    memmove(w->segs, w->segs + n, w->segs_n * sizeof *w->segs);
    while (k < w->index_n && w->index[k].seg < w->segs[0].number) {
        w->before_term = w->index[k].term;
        k++;
    }
    w->index_n -= k;
    if (k > 0) {
        memmove(w->index, w->index + k, w->index_n * sizeof *w->index);
    }
}

/* A write or the housekeeping failed; the other may have before. */
static void wal_end(struct wal *w, int rv, const struct errmsg *em)
{
    if (!w->failed) {
        w->calling = true;
        wal_fatal(w, rv, em);
        w->calling = false;
    }
    if (!wal_gone(w)) {
        maybe_closed(w);
    }
}

static void group_done(struct env_work *work)
{
    struct group *g = HF_CONTAINER_OF(work, struct group, work);
    struct wal *w = g->w;

    g->busy = false;
    w->write_us = env_now_us(w->env) - g->started_us;
    if (wal_gone(w)) {
        return;
    }
    if (g->rv < 0 || w->failed) {
        wal_end(w, g->rv, &g->em);
        return;
    }
    w->chain = g->chain;
    if (g->frames_n > 0) {
        w->durable_no = g->frames[g->frames_n - 1].f.no;
        w->marked = g->frames[g->frames_n - 1].f.kind == FRAME_MARK;
    }
    w->durable_next = durable_after(w, g->next_index);
    group_shrink(g);
    group_report(w);
    if (wal_gone(w)) {
        return;
    }
    trim_run(w);
    wal_pump(w);
    house_pump(w);
    if (!g->busy) {
        idle_mark(w);
    }
    maybe_closed(w);
}

static void wal_pump(struct wal *w)
{
    if (w->failed || w->freed || w->group.busy || w->calling) {
        return;
    }
    if (w->queue.head != NULL) {
        group_start(w);
        house_pump(w);
    }
}

static void pump_cb(struct env_task *t)
{
    struct wal *w = t->data;

    wal_pump(w);
    maybe_closed(w);
}

static void mark_cb(struct env_timer *t)
{
    struct wal *w = t->data;
    struct wal_op *op;
    struct wal_seg *seg = active(w);

    if (w->failed || w->closing || w->queue.head != NULL || w->group.busy ||
        seg == NULL || seg->end + FRAME_ALIGN > seg->size || w->new_segment) {
        return; /* a full segment's successor will be the witness */
    }
    op = op_new(OP_MARK, 0, 0, 0);
    op->quiet = true;
    queue_push(&w->queue, op);
    wal_pump(w);
}

/* ---- housekeeping: prepare, recycle, remove; pool ---- */

static int zero_fill(struct disk *d, uint64_t size, struct errmsg *em)
{
    uint64_t step = size < PREPARE_STEP ? size : PREPARE_STEP;
    struct disk_file *f;
    uint8_t *zero;
    int rv = disk_open(d, wal_tmp_path,
                       DISK_WRITE | DISK_CREATE | DISK_TRUNC | DISK_DIRECT, &f);

    if (rv < 0) {
        return file_err(em, rv, "create", wal_tmp_path);
    }
    zero = file_buf(step);
    memset(zero, 0, step);
    for (uint64_t off = 0; off < size && rv == 0; off += step) {
        uint64_t n = size - off < step ? size - off : step;

        rv = disk_pwrite(f, zero, n, off);
        rv = rv < 0 ? file_err(em, rv, "zero-fill", wal_tmp_path) : 0;
    }
    if (rv == 0) {
        rv = disk_sync(f);
        rv = rv < 0 ? file_err(em, rv, "sync", wal_tmp_path) : 0;
    }
    free(zero);
    disk_close(f);
    return rv;
}

static int make_dir(struct disk *d, struct errmsg *em)
{
    int rv = disk_mkdir(d, wal_dir);

    if (rv < 0 && rv != -EEXIST) {
        return file_err(em, rv, "make directory", wal_dir);
    }
    rv = mutant(NO_DIR_SYNC) ? 0 : disk_sync_dir(d, "");
    return rv < 0 ? file_err(em, rv, "sync the directory of", wal_dir) : 0;
}

static int house_prepare(struct house *h, struct disk *d, const char *spare)
{
    int rv = h->made_dir ? 0 : make_dir(d, &h->em);

    if (rv < 0) {
        return rv;
    }
    h->made_dir = true;
    rv = zero_fill(d, h->size, &h->em);
    if (rv == 0) {
        rv = disk_rename(d, wal_tmp_path, spare);
        rv = rv < 0 ? file_err(&h->em, rv, "rename into", spare) : 0;
    }
    if (rv < 0) {
        (void)disk_unlink(d, wal_tmp_path);
    }
    return rv;
}

static void house_fn(struct env_work *work)
{
    struct house *h = HF_CONTAINER_OF(work, struct house, work);
    struct disk *d = h->w->env->disk;
    char spare[WAL_PATH_MAX];
    char name[WAL_PATH_MAX];
    int rv = 0;

    spare_path(h->spare_id, spare);
    seg_path(h->number, name);
    h->rv = 0;
    if (h->kind == HOUSE_PREPARE) {
        h->rv = house_prepare(h, d, spare);
    } else if (h->kind == HOUSE_RECYCLE) {
        rv = disk_rename(d, name, spare);
    } else {
        rv = disk_unlink(d, name);
    }
    /* ENOENT: it went in an earlier attempt whose directory sync failed. */
    if (rv < 0 && rv != -ENOENT) {
        h->rv = file_err(&h->em, rv,
                         h->kind == HOUSE_RECYCLE ? "recycle" : "remove", name);
    }
    if (h->rv == 0 && !mutant(RECYCLE_NO_SYNC)) {
        rv = disk_sync_dir(d, wal_dir);
        h->rv = rv < 0 ? file_err(&h->em, rv, "sync directory", wal_dir) : 0;
    }
}

static void spare_add(struct wal *w, uint64_t id, uint64_t size)
{
    w->spares = hf_realloc(w->spares, (w->spares_n + 1) * sizeof *w->spares);
    w->spares[w->spares_n].id = id;
    w->spares[w->spares_n].size = size;
    w->spares_n++;
}

/* No room, or too many open files: the same again may well succeed. After
 * anything else it may say so and lie; a segment whose new name is not safe
 * would be written over. */
static bool passes(int rv)
{
    return rv == HF_ENOSPC || rv == HF_EAGAIN;
}

static void house_done(struct env_work *work)
{
    struct house *h = HF_CONTAINER_OF(work, struct house, work);
    struct wal *w = h->w;

    h->busy = false;
    if (wal_gone(w)) {
        return;
    }
    if (h->rv < 0 && !passes(h->rv) && !mutant(HOUSE_RETRIED)) {
        wal_end(w, h->rv, &h->em);
        return;
    }
    if (h->rv < 0) {
        /* Not acknowledged to anyone, so it may be tried again. */
        if (!w->wants_room) {
            log_warn(w->log, "cannot prepare or free log space, retrying: %s",
                     h->em.text);
        }
        w->wants_room = true;
        env_timer_start(w->env, &w->retry_timer,
                        env_now_us(w->env) + WAL_RETRY_MS * 1000);
        maybe_closed(w);
        return;
    }
    if (w->wants_room) {
        log_info(w->log, "log space can be prepared again");
    }
    w->wants_room = false;
    if (h->kind != HOUSE_UNLINK) {
        spare_add(w, h->spare_id, h->size);
    }
    if (h->kind != HOUSE_PREPARE) {
        hf_assert(w->dead_n > 0 && w->dead[0].number == h->number);
        w->dead_n--;
        memmove(w->dead, w->dead + 1, w->dead_n * sizeof *w->dead);
    }
    wal_pump(w);
    house_pump(w);
    maybe_closed(w);
}

static void retry_cb(struct env_timer *t)
{
    house_pump(t->data);
}

/* A file that was filled to its end before, so that whatever lies behind the
 * new life's end is of one earlier life; with no frame in it that is larger
 * than the next life's bound: what is left of one behind the new end would
 * look like more than an unfinished write. What a process found it does not
 * use again: recovery does not look behind a segment's end. */
static bool recyclable(const struct wal *w, const struct wal_seg *seg)
{
    return (seg->own || mutant(RECYCLE_FOUND)) &&
           (seg->flight <= w->cfg.flight_bytes || mutant(RECYCLE_LARGE)) &&
           seg->size == w->cfg.segment_bytes && w->spares_n < WAL_SPARES &&
           seg->end + seg->flight + SEG_SEAL >= seg->size;
}

/* Size of the file to prepare now; 0 for none. */
static uint64_t prepare_size(const struct wal *w)
{
    uint64_t size = w->cfg.segment_bytes;
    uint64_t need = w->queue.head == NULL ? 0 : head_need(w);
    /* Appends cannot begin without one: a small one is there at once. */
    bool first = w->spares_n == 0 && (w->segs_n == 0 || w->new_segment);

    if (w->closing && need == 0) {
        return 0;
    }
    if (w->spares_n >= WAL_SPARES &&
        (w->group.busy || need == 0 || spare_find(w, need) < w->spares_n)) {
        return 0;
    }
    if (first && size > WAL_FIRST_BYTES) {
        size = WAL_FIRST_BYTES;
    }
    need += SEG_HEADER + SEG_SEAL;
    if (size < need) {
        size = (need + DISK_ALIGN - 1) / DISK_ALIGN * DISK_ALIGN;
    }
    return size;
}

static void house_pump(struct wal *w)
{
    struct house *h = &w->house;

    if (h->busy || w->failed || w->freed || env_timer_armed(&w->retry_timer)) {
        return;
    }
    if (w->dead_n > 0 && w->dead[0].readers == 0) {
        h->kind = recyclable(w, &w->dead[0]) ? HOUSE_RECYCLE : HOUSE_UNLINK;
        h->number = w->dead[0].number;
        h->size = w->dead[0].size;
    } else {
        h->kind = HOUSE_PREPARE;
        h->size = prepare_size(w);
        if (h->size == 0) {
            return;
        }
    }
    h->spare_id = w->next_name++;
    h->busy = true;
    h->work.fn = house_fn;
    h->work.done = house_done;
    env_work(w->env, ENV_POOL, &h->work);
}

/* ---- reading back ---- */

static int read_fail(struct read_op *r, const char *name, uint64_t off)
{
    return errmsg_set(&r->em, HF_ECORRUPT,
                      "%s is damaged at offset %llu (read back)", name,
                      (unsigned long long)off);
}

/* Take the entries of one frame, still pointing into @p. */
static int read_frame(struct read_op *r,
                      const struct wal_index *x,
                      const uint8_t *p,
                      const char *name,
                      size_t *bytes)
{
    struct frame f;
    struct reader rd;
    struct entry e;

    if (!wal_frame_decode(p, &f) || f.salt != r->salt || f.len != x->len ||
        f.first != x->first || f.last < x->last || f.term != x->term ||
        !frame_payload_ok(&f, p)) {
        return read_fail(r, name, x->off);
    }
    rd = reader_of(bytes_of(p + FRAME_HEADER, f.payload_len));
    for (uint64_t i = x->first; i <= x->last; i++) {
        if (!entry_decode(&rd, i, x->term, &e)) {
            return read_fail(r, name, x->off);
        }
        if (i < r->first) {
            continue;
        }
        if (r->n > 0 && *bytes + e.data.n > r->max_bytes) {
            return 0;
        }
        *bytes += e.data.n;
        r->entries[r->n++] = e;
    }
    return 0;
}

static void read_own(struct read_op *r, size_t bytes)
{
    struct blob *b;
    size_t at = 0;

    if (bytes == 0) {
        return;
    }
    b = blob_new(bytes);
    for (size_t i = 0; i < r->n; i++) {
        struct entry *e = &r->entries[i];

        if (e->data.n > 0) {
            memcpy(b->d + at, e->data.p, e->data.n);
            e->data.p = b->d + at;
            e->blob = blob_ref(b);
            at += e->data.n;
        }
    }
    blob_unref(b);
}

static void read_fn(struct env_work *work)
{
    struct read_op *r = HF_CONTAINER_OF(work, struct read_op, work);
    const struct wal_index *last = &r->frames[r->frames_n - 1];
    uint64_t from = r->frames[0].off;
    size_t n = (size_t)(last->off + last->len - from);
    size_t bytes = 0;
    char name[WAL_PATH_MAX];
    struct disk_file *f;
    uint8_t *buf;
    int64_t got;

    seg_path(r->seg, name);
    r->rv = disk_open(r->disk, name, DISK_READ | DISK_DIRECT, &f);
    if (r->rv < 0) {
        r->rv = file_err(&r->em, r->rv, "open", name);
        return;
    }
    buf = file_buf(n);
    got = disk_pread(f, buf, n, from);
    disk_close(f);
    if (got < 0) {
        r->rv = file_err(&r->em, got, "read", name);
    } else if ((uint64_t)got < n) {
        r->rv = read_fail(r, name, from + (uint64_t)got);
    }
    for (size_t i = 0; i < r->frames_n && r->rv == 0; i++) {
        r->rv = read_frame(r, &r->frames[i], buf + (r->frames[i].off - from),
                           name, &bytes);
        /* Full: the frame's rest was left out, so no later one may follow. */
        if (r->rv == 0 && r->n > 0 &&
            r->first + r->n - 1 != r->frames[i].last) {
            break;
        }
    }
    if (r->rv < 0) {
        r->n = 0;
    }
    read_own(r, r->n > 0 ? bytes : 0);
    free(buf);
}

static void read_free(struct read_op *r)
{
    for (size_t i = 0; i < r->n; i++) {
        entry_unref(&r->entries[i]);
    }
    free(r->entries);
    free(r->frames);
    free(r);
}

static void read_done(struct env_work *work)
{
    struct read_op *r = HF_CONTAINER_OF(work, struct read_op, work);
    struct wal *w = r->w;
    struct wal_seg *seg = seg_of(w, r->seg);
    struct wal_read_result res = {r->rv, r->first, r->entries, r->n, &r->em};

    for (struct read_op **p = &w->reads; *p != NULL; p = &(*p)->next) {
        if (*p == r) {
            *p = r->next;
            break;
        }
    }
    w->reads_n--;
    if (seg != NULL) {
        seg->readers--;
    }
    if (!w->freed) {
        w->calling = true;
        r->cb(r->data, &res);
        w->calling = false;
    }
    read_free(r);
    if (!wal_gone(w)) {
        wal_pump(w);
        house_pump(w);
        maybe_closed(w);
    }
}

int wal_read(struct wal *w,
             uint64_t first,
             size_t max_bytes,
             void (*cb)(void *data, const struct wal_read_result *r),
             void *data)
{
    size_t at = index_find(w, first);
    size_t n = 0;
    uint64_t count = 0;
    uint64_t bytes = 0;
    struct read_op *r;

    if (at == w->index_n || first >= w->durable_next || first < w->read_floor ||
        w->freed) {
        return HF_ENOENT;
    }
    if (w->reads_n >= WAL_READS_MAX) {
        return HF_EAGAIN;
    }
    while (at + n < w->index_n && n < READ_FRAMES_MAX &&
           w->index[at + n].seg == w->index[at].seg &&
           w->index[at + n].last < w->durable_next && bytes <= max_bytes) {
        bytes = w->index[at + n].off + w->index[at + n].len - w->index[at].off;
        count += w->index[at + n].last - w->index[at + n].first + 1;
        n++;
    }
    if (n == 0) {
        return HF_ENOENT; /* its frame is only partly acknowledged */
    }
    r = hf_calloc(1, sizeof *r);
    r->w = w;
    r->disk = w->env->disk;
    r->seg = w->index[at].seg;
    r->salt = seg_of(w, r->seg)->salt;
    r->frames = hf_calloc(n, sizeof *r->frames);
    memcpy(r->frames, &w->index[at], n * sizeof *r->frames);
    r->frames_n = n;
    r->first = first;
    r->max_bytes = max_bytes;
    r->entries = hf_calloc(count, sizeof *r->entries);
    r->cb = cb;
    r->data = data;
    r->next = w->reads;
    w->reads = r;
    w->reads_n++;
    seg_of(w, r->seg)->readers++;
    r->work.fn = read_fn;
    r->work.done = read_done;
    env_work(w->env, ENV_POOL, &r->work);
    return 0;
}

/* ---- the owner's calls ---- */

struct wal *wal_new(struct env *e,
                    struct logger *l,
                    const struct wal_cfg *cfg,
                    struct wal_recovered *r,
                    const struct wal_cbs *cbs)
{
    struct wal *w = hf_calloc(1, sizeof *w);

    w->env = e;
    w->log = l;
    w->cfg = *cfg;
    wal_cfg_defaults(&w->cfg);
    w->cbs = *cbs;
    w->segs = r->segs;
    w->segs_n = r->segs_n;
    w->index = r->index;
    w->index_n = w->index_cap = r->index_n;
    for (size_t i = 0; i < r->spares_n; i++) {
        spare_add(w, r->spares[i], w->cfg.segment_bytes);
    }
    w->next_name = r->next_name;
    w->before_term = r->before_term;
    w->next = w->plan_next = w->durable_next = r->last + 1;
    w->plan_term = r->last_term;
    w->last_no = w->durable_no = r->last_no;
    w->chain = r->chain;
    w->new_segment = !r->same_segment;
    w->marked = true;
    w->group.w = w;
    w->house.w = w;
    env_task_init(&w->pump_task, pump_cb, w);
    env_timer_init(&w->mark_timer, mark_cb, w);
    env_timer_init(&w->retry_timer, retry_cb, w);
    r->segs = NULL;
    r->index = NULL;
    r->segs_n = r->index_n = 0;
    if (r->need_reset) {
        wal_reset(w, r->first_index, r->last_term, 0);
        w->queue.tail->quiet = true;
        w->durable_next = r->first_index;
    }
    house_pump(w);
    return w;
}

static void submit(struct wal *w, struct wal_op *op)
{
    hf_assert(!w->closing && !w->freed);
    w->pending += op->bytes;
    queue_push(&w->queue, op);
    if (!w->failed && !w->pump_task.queued) {
        env_defer(w->env, &w->pump_task);
    }
}

void wal_append(struct wal *w,
                uint64_t first_index,
                const struct entry *e,
                size_t n,
                uint64_t token)
{
    struct wal_op *op = op_new(OP_ENTRIES, first_index, n, token);

    hf_assert(n >= 1 && first_index >= 1 && first_index <= w->next);
    for (size_t i = 0; i < n; i++) {
        hf_assert(e[i].data.n <= LIM_ENTRY && e[i].term >= 1);
        op->e[i] = e[i];
        entry_ref(&e[i]);
        op->bytes += entry_bytes(&e[i]);
    }
    if (first_index < w->durable_next) {
        w->durable_next = first_index;
    }
    w->next = first_index + n;
    submit(w, op);
}

void wal_truncate(struct wal *w, uint64_t index, uint64_t token)
{
    hf_assert(index >= 1 && index <= w->next);
    w->next = index;
    if (index < w->durable_next) {
        w->durable_next = index;
    }
    submit(w, op_new(OP_TRUNCATE, index, 0, token));
}

void wal_reset(struct wal *w,
               uint64_t next_index,
               uint64_t snap_term,
               uint64_t token)
{
    struct wal_op *op = op_new(OP_RESET, next_index, 0, token);

    hf_assert(next_index >= 2);
    op->term = snap_term;
    w->next = w->durable_next = w->read_floor = next_index;
    submit(w, op);
}

void wal_trim(struct wal *w, uint64_t upto)
{
    if (upto > w->trim_upto) {
        w->trim_upto = upto;
    }
    trim_run(w);
    house_pump(w);
}

uint64_t wal_first_index(const struct wal *w)
{
    return w->index_n > 0 ? w->index[0].first : w->plan_next;
}

uint64_t wal_last_index(const struct wal *w)
{
    return w->next - 1;
}

uint64_t wal_durable_index(const struct wal *w)
{
    return w->durable_next - 1;
}

uint64_t wal_durable_no(const struct wal *w)
{
    return w->durable_no;
}

uint64_t wal_bytes(const struct wal *w)
{
    uint64_t n = 0;

    for (size_t i = 0; i < w->segs_n; i++) {
        n += w->segs[i].end - SEG_HEADER;
    }
    return n;
}

uint64_t wal_bytes_from(const struct wal *w, uint64_t index)
{
    size_t at = index_find(w, index);
    uint64_t n = 0;

    if (at == w->index_n) {
        return index < wal_first_index(w) ? wal_bytes(w) : 0;
    }
    for (size_t i = w->segs_n; i > 0; i--) {
        const struct wal_seg *seg = &w->segs[i - 1];

        if (seg->number == w->index[at].seg) {
            return n + seg->end - w->index[at].off;
        }
        n += seg->end - SEG_HEADER;
    }
    return n;
}

uint64_t wal_tail_index(const struct wal *w, uint64_t bytes)
{
    uint64_t index = w->plan_next;

    for (size_t i = w->index_n; i > 0 && w->index[i - 1].len <= bytes; i--) {
        bytes -= w->index[i - 1].len;
        index = w->index[i - 1].first;
    }
    return index;
}

uint64_t wal_bytes_on_disk(const struct wal *w)
{
    uint64_t n = 0;

    for (size_t i = 0; i < w->segs_n; i++) {
        n += w->segs[i].size;
    }
    for (size_t i = 0; i < w->dead_n; i++) {
        n += w->dead[i].size;
    }
    for (size_t i = 0; i < w->spares_n; i++) {
        n += w->spares[i].size;
    }
    return n;
}

uint64_t wal_reserved_room(const struct wal *w)
{
    uint64_t n = 0;

    if (w->segs_n > 0 && !w->new_segment) {
        n = seg_left(&w->segs[w->segs_n - 1]);
    }
    for (size_t i = 0; i < w->spares_n; i++) {
        n += w->spares[i].size - SEG_HEADER - SEG_SEAL;
    }
    return n;
}

uint64_t wal_pending_bytes(const struct wal *w)
{
    return w->pending;
}

uint64_t wal_write_us(const struct wal *w)
{
    return w->write_us;
}

uint64_t wal_stall_us(const struct wal *w)
{
    return w->group.busy ? env_now_us(w->env) - w->group.started_us : 0;
}

bool wal_wants_room(const struct wal *w)
{
    return w->wants_room;
}

enum wal_room wal_room(const struct wal *w, uint64_t n)
{
    uint64_t have = wal_reserved_room(w);
    uint64_t segment = w->cfg.segment_bytes;
    uint64_t need = w->pending + n;

    if (mutant(ROOM_UNCOUNTED)) {
        return WAL_ROOM;
    }
    if (w->wants_room) {
        return have >= need + WAL_SPARES * (segment - SEG_HEADER - SEG_SEAL)
                   ? WAL_ROOM
                   : WAL_ROOM_NONE;
    }
    need += WAL_CONTROL_BYTES < segment / 2 ? WAL_CONTROL_BYTES : segment / 2;
    /* With all spares at hand nothing more is made until it is needed. */
    return have >= need || w->spares_n >= WAL_SPARES ? WAL_ROOM : WAL_ROOM_SOON;
}

void wal_close(struct wal *w, void (*cb)(void *data, bool clean), void *data)
{
    struct wal_op *op;

    hf_assert(w->close_cb == NULL && !w->closing);
    env_timer_stop(w->env, &w->mark_timer);
    if (!w->failed && w->segs_n + w->spares_n > 0) {
        op = op_new(OP_MARK, 0, 0, 0);
        op->quiet = op->clean = true;
        queue_push(&w->queue, op);
    }
    w->closing = true;
    w->close_cb = cb;
    w->close_data = data;
    if (!w->pump_task.queued) {
        env_defer(w->env, &w->pump_task);
    }
}

static void release_now(struct wal *w)
{
    while (w->queue.head != NULL) {
        op_free(queue_pop(&w->queue));
    }
    while (w->group.done.head != NULL) {
        op_free(queue_pop(&w->group.done));
    }
    disk_close(w->file);
    free(w->group.ents);
    free(w->group.buf);
    free(w->segs);
    free(w->dead);
    free(w->spares);
    free(w->index);
    free(w);
}

void wal_free(struct wal *w)
{
    if (w == NULL) {
        return;
    }
    hf_assert(!w->freed);
    env_timer_stop(w->env, &w->mark_timer);
    env_timer_stop(w->env, &w->retry_timer);
    env_undefer(w->env, &w->pump_task);
    w->freed = true;
    (void)wal_gone(w);
}

void wal_free_crashed(struct wal *w)
{
    if (w == NULL) {
        return;
    }
    env_timer_stop(w->env, &w->mark_timer);
    env_timer_stop(w->env, &w->retry_timer);
    env_undefer(w->env, &w->pump_task);
    while (w->reads != NULL) {
        struct read_op *r = w->reads;

        w->reads = r->next;
        read_free(r);
    }
    release_now(w);
}
