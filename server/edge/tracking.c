#include "server/edge/tracking.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/mutant.h"
#include "resp/resp.h"
#include "server/command/args.h"
#include "server/command/txn.h"
#include "server/edge/conn_int.h"
#include "server/edge/htab.h"
#include "server/node/node.h"
#include "server/store/map.h"

enum track_flag {
    TRACK_BCAST = 1 << 0,
    TRACK_OPTIN = 1 << 1,
    TRACK_OPTOUT = 1 << 2,
    TRACK_NOLOOP = 1 << 3,
};

/* A key that was read, or is being read. */
struct tkey {
    struct hnode node; /* first */
    struct tref *refs;
    struct twait *waits;
    struct tkey *next; /* with refs, oldest first */
    struct tkey *prev;
    struct bytes name; /* behind the struct */
};

/* A connection has read a key. */
struct tref {
    struct hnode node; /* first: by key and connection */
    struct track *owner;
    uint64_t epoch; /* another than its owner's: forgotten already */
    struct tkey *key;
    struct tref *next_k;
    struct tref *prev_k;
    struct tref *next_o; /* of the owner, or of all that are forgotten */
    struct tref *prev_o;
};

struct ref_list {
    struct tref *first;
    struct tref *last;
};

struct track {
    struct tracking *all;
    struct track *next; /* of those that track */
    struct track *prev;
    struct conn *conn; /* NULL: ended */
    unsigned flags;    /* enum track_flag */
    bool caching;      /* CLIENT CACHING was said: YES or NO by the mode */
    bool caching_used; /* ... and meant a command that was dispatched */
    uint64_t redirect; /* a connection's id; 0: none */
    struct conn *target;
    struct blob **prefixes; /* in order */
    size_t prefixes_n;
    uint64_t epoch;
    struct ref_list refs;
    size_t live;  /* refs in it */
    size_t alive; /* ... and forgotten ones that are not freed yet */
};

/* A read of a key that is under way. */
struct twait {
    struct tkey *key;
    struct track_op *op;
    struct twait *next;
    struct twait *prev;
    bool changed;
};

struct track_op {
    struct track *owner;
    struct track_op *next;
    struct track_op *prev;
    bool lost; /* everything may have changed */
    size_t n;
    struct twait waits[];
};

struct tracking {
    struct edge *edge;
    struct htab keys;
    struct htab refs;
    struct tkey *first; /* with refs, oldest first */
    struct tkey *last;
    size_t keys_n;           /* of them */
    struct track *owners[2]; /* that track now; with BCAST */
    struct track_op *ops;
    struct ref_list dead; /* freed in slices */
    size_t dead_n;
    size_t prefixes;
    uint64_t max;
    struct env_timer sweep;
};

static void sweep(struct env_timer *t);

struct tracking *tracking_new(struct edge *e)
{
    struct tracking *t = hf_calloc(1, sizeof *t);

    t->edge = e;
    t->max = TRACK_KEYS_DEFAULT;
    env_timer_init(&t->sweep, sweep, t);
    return t;
}

static void counted(struct tracking *t)
{
    struct edge_counters *n = &t->edge->counters;

    n->tracking_total_keys = t->keys_n;
    n->tracking_total_items = t->refs.n - t->dead_n;
    n->tracking_total_prefixes = t->prefixes;
}

/* ---- keys ---- */

static struct tkey *key_find(const struct tracking *t, struct bytes name)
{
    uint64_t hash = map_hash(name);

    for (struct hnode *h = htab_first(&t->keys, hash); h != NULL; h = h->next) {
        struct tkey *k = HF_CONTAINER_OF(h, struct tkey, node);

        if (h->hash == hash && bytes_eq(k->name, name)) {
            return k;
        }
    }
    return NULL;
}

static struct tkey *key_get(struct tracking *t, struct bytes name)
{
    struct tkey *k = key_find(t, name);
    uint8_t *at;

    if (k != NULL) {
        return k;
    }
    k = hf_calloc(1, sizeof *k + name.n + 1);
    at = (uint8_t *)(k + 1);
    memcpy(at, name.p, name.n);
    k->name = bytes_of(at, name.n);
    htab_add(&t->keys, &k->node, map_hash(name));
    return k;
}

/* Free it if nobody is interested any more. */
static void key_tidy(struct tracking *t, struct tkey *k)
{
    if (k->refs == NULL && k->waits == NULL) {
        htab_remove(&t->keys, &k->node);
        free(k);
    }
}

static void key_list(struct tracking *t, struct tkey *k)
{
    k->next = NULL;
    k->prev = t->last;
    *(k->prev != NULL ? &k->prev->next : &t->first) = k;
    t->last = k;
    t->keys_n++;
}

static void key_unlist(struct tracking *t, struct tkey *k)
{
    *(k->prev != NULL ? &k->prev->next : &t->first) = k->next;
    *(k->next != NULL ? &k->next->prev : &t->last) = k->prev;
    t->keys_n--;
}

/* ---- who has read which ---- */

static bool ref_live(const struct tref *r)
{
    return r->epoch == r->owner->epoch;
}

static uint64_t ref_hash(const struct tkey *k, const struct track *o)
{
    return k->node.hash ^ (uint64_t)(uintptr_t)o * UINT64_C(0x9E3779B97F4A7C15);
}

static bool ref_there(const struct tracking *t,
                      const struct tkey *k,
                      const struct track *o)
{
    uint64_t hash = ref_hash(k, o);

    for (struct hnode *h = htab_first(&t->refs, hash); h != NULL; h = h->next) {
        struct tref *r = HF_CONTAINER_OF(h, struct tref, node);

        if (r->key == k && r->owner == o && ref_live(r)) {
            return true;
        }
    }
    return false;
}

static void ref_new(struct tracking *t, struct tkey *k, struct track *o)
{
    struct tref *r = hf_calloc(1, sizeof *r);

    r->owner = o;
    r->epoch = o->epoch;
    r->key = k;
    htab_add(&t->refs, &r->node, ref_hash(k, o));
    if (k->refs == NULL) {
        key_list(t, k);
    } else {
        k->refs->prev_k = r;
    }
    r->next_k = k->refs;
    k->refs = r;
    r->prev_o = o->refs.last;
    *(r->prev_o != NULL ? &r->prev_o->next_o : &o->refs.first) = r;
    o->refs.last = r;
    o->live++;
    o->alive++;
}

static void owner_tidy(struct track *o)
{
    if (o->conn == NULL && o->alive == 0) {
        free(o);
    }
}

/* The key stays, perhaps without any: key_tidy(). */
static void ref_free(struct tracking *t, struct tref *r)
{
    struct track *o = r->owner;
    struct tkey *k = r->key;
    bool live = ref_live(r);
    struct ref_list *l = live ? &o->refs : &t->dead;

    htab_remove(&t->refs, &r->node);
    *(r->prev_k != NULL ? &r->prev_k->next_k : &k->refs) = r->next_k;
    if (r->next_k != NULL) {
        r->next_k->prev_k = r->prev_k;
    }
    *(r->prev_o != NULL ? &r->prev_o->next_o : &l->first) = r->next_o;
    *(r->next_o != NULL ? &r->next_o->prev_o : &l->last) = r->prev_o;
    *(live ? &o->live : &t->dead_n) -= 1;
    o->alive--;
    free(r);
    if (k->refs == NULL) {
        key_unlist(t, k);
    }
    owner_tidy(o);
}

/* Forget all of them at once; freed later. */
static void owner_forget(struct track *o)
{
    struct tracking *t = o->all;

    if (o->refs.first != NULL) {
        o->refs.first->prev_o = t->dead.last;
        *(t->dead.last != NULL ? &t->dead.last->next_o : &t->dead.first) =
            o->refs.first;
        t->dead.last = o->refs.last;
        t->dead_n += o->live;
        o->refs = (struct ref_list){NULL, NULL};
        o->live = 0;
        env_timer_start(t->edge->env, &t->sweep, env_now_us(t->edge->env));
    }
    o->epoch++;
    counted(t);
}

/* ---- telling ---- */

static void tell(struct track *o, const struct bytes *key)
{
    struct conn *to = o->redirect == 0 ? o->conn : o->target;
    struct buf b = BUF_INIT;

    if (to == NULL ||
        (!to->resp3 && (o->redirect == 0 || !pubsub_subscribed(to)))) {
        return; /* nothing can be said to it */
    }
    if (to->resp3) {
        resp_push(&b, 2);
        resp_bulk_str(&b, "invalidate");
    } else {
        resp_push(&b, 3);
        resp_bulk_str(&b, "message");
        resp_bulk_str(&b, "__redis__:invalidate");
    }
    if (key != NULL) {
        resp_array(&b, 1);
        resp_bulk(&b, *key);
    } else {
        resp_null(&b);
    }
    conn_push(to, buf_bytes(&b));
    buf_release(&b);
}

static bool prefixed(const struct track *o, struct bytes key)
{
    for (size_t i = 0; i < o->prefixes_n; i++) {
        struct bytes p = blob_bytes(o->prefixes[i]);

        if (p.n <= key.n && (p.n == 0 || memcmp(p.p, key.p, p.n) == 0)) {
            return true;
        }
    }
    return false;
}

/* Does what @by did concern @o? */
static bool concerns(const struct track *o, const struct conn *by)
{
    return (o->flags & TRACK_NOLOOP) == 0 || by == NULL || o->conn != by ||
           mutant(TRACK_LOOPS);
}

/* All that read it are told, and no longer remembered. */
static void key_changed(struct tracking *t,
                        struct tkey *k,
                        const struct conn *by)
{
    struct tref *next;

    for (struct tref *r = k->refs; r != NULL; r = next) {
        next = r->next_k;
        if (ref_live(r) && concerns(r->owner, by)) {
            tell(r->owner, &k->name);
        }
        ref_free(t, r);
    }
}

void tracking_changed(struct edge *e, struct bytes key, const struct conn *by)
{
    struct tracking *t = e->tracking;
    struct tkey *k = t->keys.n > 0 ? key_find(t, key) : NULL;

    for (struct track *o = t->owners[true]; o != NULL; o = o->next) {
        if (prefixed(o, key) && concerns(o, by)) {
            tell(o, &key);
        }
    }
    if (k == NULL) {
        return;
    }
    for (struct twait *w = k->waits; w != NULL; w = w->next) {
        w->changed |= concerns(w->op->owner, by);
    }
    key_changed(t, k, by);
    key_tidy(t, k);
    counted(t);
}

void tracking_lost(struct edge *e)
{
    struct tracking *t = e->tracking;

    for (struct track_op *op = t->ops; op != NULL; op = op->next) {
        op->lost = true;
    }
    for (int bcast = 0; bcast < 2; bcast++) {
        for (struct track *o = t->owners[bcast]; o != NULL; o = o->next) {
            owner_forget(o);
            tell(o, NULL);
        }
    }
}

/* ---- bounds ---- */

static bool over(const struct tracking *t)
{
    return (t->keys_n > t->max ||
            t->refs.n - t->dead_n > t->max * TRACK_ITEMS_PER_KEY) &&
           !mutant(TRACK_UNBOUNDED);
}

static void evict(struct tracking *t)
{
    struct tkey *k = t->first;

    key_changed(t, k, NULL);
    key_tidy(t, k);
}

static void sweep(struct env_timer *timer)
{
    struct tracking *t = timer->data;

    for (int i = 0; i < TRACK_STEP && t->dead.first != NULL; i++) {
        struct tkey *k = t->dead.first->key;

        ref_free(t, t->dead.first);
        key_tidy(t, k);
    }
    for (int i = 0; i < TRACK_STEP && over(t); i++) {
        evict(t);
    }
    if (t->dead.first != NULL || over(t)) {
        env_timer_start(t->edge->env, timer, env_now_us(t->edge->env) + 1000);
    }
    counted(t);
}

void tracking_set_max(struct tracking *t, uint64_t keys)
{
    t->max = keys == 0 ? TRACK_KEYS_DEFAULT : keys;
    if (over(t)) {
        env_timer_start(t->edge->env, &t->sweep, env_now_us(t->edge->env));
    }
}

void tracking_free(struct tracking *t)
{
    hf_assert(t->owners[false] == NULL && t->owners[true] == NULL);
    hf_assert(t->ops == NULL);
    while (t->dead.first != NULL) {
        struct tkey *k = t->dead.first->key;

        ref_free(t, t->dead.first);
        key_tidy(t, k);
    }
    env_timer_stop(t->edge->env, &t->sweep);
    htab_release(&t->keys);
    htab_release(&t->refs);
    free(t);
}

/* ---- reads under way ---- */

struct wanted {
    const struct track *owner;
    struct bytes *keys; /* borrowed */
    size_t n;
    size_t cap;
};

static bool want(void *ctx, struct bytes key)
{
    struct wanted *w = ctx;

    if ((w->owner->flags & TRACK_BCAST) != 0 && !prefixed(w->owner, key)) {
        return true;
    }
    if (w->n == w->cap) {
        w->cap = w->cap == 0 ? 8 : 2 * w->cap;
        w->keys = hf_realloc(w->keys, w->cap * sizeof *w->keys);
    }
    w->keys[w->n++] = key;
    return true;
}

/* Keys whose values or absence @cmd tells. A RANGE names none. */
static void want_keys(struct wanted *w,
                      const struct command *cmd,
                      const struct bytes *argv,
                      int argc)
{
    struct buf ignored = BUF_INIT;
    const struct bytes *words;
    struct txn t;
    int n;

    if (cmd->handler == cmd_txn) {
        if (txn_parse(argv, argc, &t, &ignored)) {
            while ((cmd = txn_next(&t, &words, &n)) != NULL) {
                want_keys(w, cmd, words, n);
            }
        }
        buf_release(&ignored);
    } else if (cmd->handler == cmd_once && argc > 3) {
        cmd = command_by_name(argv[3]);
        if (cmd != NULL && cmd->handler == cmd_txn) {
            want_keys(w, cmd, argv + 3, argc - 3);
        }
    } else if ((cmd->flags & CMD_READ) != 0 && cmd->handler != cmd_range &&
               cmd->handler != cmd_feed) {
        command_each_key(cmd, argv, argc, want, w);
    }
}

static bool remembers(const struct track *o)
{
    bool said = o->caching && !o->caching_used;

    return (o->flags & TRACK_OPTIN) != 0    ? said
           : (o->flags & TRACK_OPTOUT) != 0 ? !said
                                            : true;
}

struct track_op *tracking_begin(struct conn *c,
                                const struct command *cmd,
                                const struct bytes *argv,
                                int argc)
{
    struct track *o = c->track;
    struct wanted w = {.owner = o};
    struct track_op *op;

    if (o == NULL || !remembers(o)) {
        return NULL;
    }
    want_keys(&w, cmd, argv, argc);
    if (w.n == 0) {
        return NULL;
    }
    op = hf_calloc(1, sizeof *op + w.n * sizeof op->waits[0]);
    op->owner = o;
    op->n = w.n;
    op->next = o->all->ops;
    if (op->next != NULL) {
        op->next->prev = op;
    }
    o->all->ops = op;
    for (size_t i = 0; i < w.n; i++) {
        struct twait *x = &op->waits[i];

        x->op = op;
        x->key = key_get(o->all, w.keys[i]);
        x->next = x->key->waits;
        if (x->next != NULL) {
            x->next->prev = x;
        }
        x->key->waits = x;
    }
    free(w.keys);
    return op;
}

static void wait_unlink(struct twait *w)
{
    *(w->prev != NULL ? &w->prev->next : &w->key->waits) = w->next;
    if (w->next != NULL) {
        w->next->prev = w->prev;
    }
}

static void op_end(struct track_op *op, bool answered)
{
    struct track *o = op->owner;
    struct tracking *t = o->all;
    size_t left = 2 * op->n + 8; /* more than it added */
    bool lost =
        op->lost || (!node_in_touch(t->edge->node) && !mutant(TRACK_UNTOUCHED));

    for (size_t i = 0; i < op->n; i++) {
        struct twait *w = &op->waits[i];

        wait_unlink(w);
        if (answered && (w->changed || lost) && !mutant(TRACK_CROSSING)) {
            tell(o, &w->key->name);
        } else if (answered && (o->flags & TRACK_BCAST) == 0 &&
                   !ref_there(t, w->key, o)) {
            ref_new(t, w->key, o);
        }
        key_tidy(t, w->key);
    }
    *(op->prev != NULL ? &op->prev->next : &t->ops) = op->next;
    if (op->next != NULL) {
        op->next->prev = op->prev;
    }
    free(op);
    while (over(t) && left-- > 0) {
        evict(t);
    }
    counted(t);
}

void tracking_end(struct track_op *op)
{
    if (op != NULL) {
        op_end(op, true);
    }
}

void tracking_drop(struct track_op *op)
{
    if (op != NULL) {
        op_end(op, false);
    }
}

/* ---- on and off ---- */

static void set_target(struct track *o, uint64_t id, struct conn *to)
{
    if (o->target != NULL) {
        o->target->redirected--;
    }
    o->redirect = id;
    o->target = to;
    if (to != NULL) {
        to->redirected++;
    }
}

/* The mode stays until tracking ends. */
static struct track **owners_of(const struct track *o)
{
    return &o->all->owners[(o->flags & TRACK_BCAST) != 0];
}

void tracking_forget(struct conn *c)
{
    struct track *o = c->track;

    if (o == NULL) {
        return;
    }
    c->track = NULL;
    if (c->client != NULL) {
        client_set_tracking(c->client, false);
    }
    set_target(o, 0, NULL);
    for (size_t i = 0; i < o->prefixes_n; i++) {
        blob_unref(o->prefixes[i]);
    }
    free(o->prefixes);
    o->all->prefixes -= o->prefixes_n;
    *(o->prev != NULL ? &o->prev->next : owners_of(o)) = o->next;
    if (o->next != NULL) {
        o->next->prev = o->prev;
    }
    c->edge->counters.tracking_clients--;
    owner_forget(o);
    o->conn = NULL;
    owner_tidy(o);
}

static void redirect_broken(struct track *o)
{
    struct buf b = BUF_INIT;

    o->target->redirected--;
    o->target = NULL;
    if (o->conn->resp3 && !mutant(TRACK_BROKEN_UNTOLD)) {
        resp_push(&b, 2);
        resp_bulk_str(&b, "tracking-redir-broken");
        resp_int(&b, (int64_t)o->redirect);
        conn_push(o->conn, buf_bytes(&b));
        buf_release(&b);
    }
}

/* Those that are redirected to @c are told, where they can be. */
void tracking_gone(struct conn *c)
{
    struct tracking *t = c->edge->tracking;

    tracking_forget(c);
    for (int bcast = 0; bcast < 2; bcast++) {
        for (struct track *o = t->owners[bcast]; o != NULL && c->redirected > 0;
             o = o->next) {
            if (o->target == c) {
                redirect_broken(o);
            }
        }
    }
}

static struct track *track_on(struct conn *c, unsigned flags)
{
    struct tracking *t = c->edge->tracking;
    struct track *o = hf_calloc(1, sizeof *o);

    o->all = t;
    o->conn = c;
    o->flags = flags;
    o->next = *owners_of(o);
    if (o->next != NULL) {
        o->next->prev = o;
    }
    *owners_of(o) = o;
    c->track = o;
    c->edge->counters.tracking_clients++;
    client_set_tracking(c->client, true);
    return o;
}

/* ---- CLIENT TRACKING ---- */

struct tracking_args {
    unsigned flags;
    uint64_t redirect; /* 0: none */
    struct conn *target;
    const struct bytes *prefixes[TRACK_PREFIXES_MAX];
    size_t n;
};

static bool parse_redirect(const struct conn *c,
                           struct bytes word,
                           struct tracking_args *a,
                           struct buf *reply)
{
    int64_t id;

    if (a->redirect != 0) {
        return args_fail(
            reply, "ERR A client can only redirect to a single other client");
    }
    if (!args_need_i64(word, &id, reply)) {
        return false;
    }
    a->redirect = (uint64_t)id;
    a->target = id <= 0 ? NULL : conn_by_id(c->edge, (uint64_t)id);
    return a->target != NULL ||
           args_fail(reply,
                     "ERR The client ID you want redirect to does not exist");
}

static bool parse_options(const struct conn *c,
                          const struct bytes *argv,
                          int argc,
                          struct tracking_args *a,
                          struct buf *reply)
{
    static const struct {
        const char *word;
        unsigned flag;
    } words[] = {{"BCAST", TRACK_BCAST},
                 {"OPTIN", TRACK_OPTIN},
                 {"OPTOUT", TRACK_OPTOUT},
                 {"NOLOOP", TRACK_NOLOOP}};

    for (int j = 3; j < argc; j++) {
        unsigned flag = 0;

        for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
            flag |= bytes_ieq(argv[j], words[i].word) ? words[i].flag : 0;
        }
        a->flags |= flag;
        if (flag != 0) {
            continue;
        }
        if (bytes_ieq(argv[j], "REDIRECT") && j + 1 < argc) {
            if (!parse_redirect(c, argv[++j], a, reply)) {
                return false;
            }
        } else if (bytes_ieq(argv[j], "PREFIX") && j + 1 < argc) {
            if (a->n == TRACK_PREFIXES_MAX) {
                return args_fail(reply, "ERR too many prefixes");
            }
            a->prefixes[a->n++] = &argv[++j];
        } else {
            return args_fail(reply, ERR_SYNTAX);
        }
    }
    return true;
}

static bool overlap(struct bytes a, struct bytes b)
{
    size_t n = a.n < b.n ? a.n : b.n;

    return n == 0 || memcmp(a.p, b.p, n) == 0;
}

static bool overlap_error(struct bytes a,
                          const char *what,
                          struct bytes b,
                          struct buf *reply)
{
    resp_errorf(reply,
                "ERR Prefix '%.*s' overlaps with %s '%.*s'. Prefixes for a "
                "single client must not overlap.",
                (int)(a.n < 128 ? a.n : 128), (const char *)a.p, what,
                (int)(b.n < 128 ? b.n : 128), (const char *)b.p);
    return false;
}

static bool prefixes_fit(const struct conn *c,
                         const struct tracking_args *a,
                         struct buf *reply)
{
    const struct track *o = c->track;

    if (a->n + 1 > TRACK_PREFIXES_MAX - c->edge->tracking->prefixes) {
        return args_fail(reply, "ERR too many prefixes");
    }
    for (size_t i = 0; i < a->n; i++) {
        struct bytes p = *a->prefixes[i];

        for (size_t k = 0; o != NULL && k < o->prefixes_n; k++) {
            struct bytes q = blob_bytes(o->prefixes[k]);

            if (overlap(p, q)) {
                return overlap_error(p, "an existing prefix", q, reply);
            }
        }
        for (size_t k = i + 1; k < a->n; k++) {
            if (overlap(p, *a->prefixes[k])) {
                return overlap_error(p, "another provided prefix",
                                     *a->prefixes[k], reply);
            }
        }
    }
    return true;
}

static bool options_fit(const struct conn *c,
                        const struct tracking_args *a,
                        struct buf *reply)
{
    const struct track *o = c->track;
    bool bcast = (a->flags & TRACK_BCAST) != 0;
    unsigned opt = a->flags & (TRACK_OPTIN | TRACK_OPTOUT);

    if (!bcast && a->n > 0) {
        return args_fail(reply,
                         "ERR PREFIX option requires BCAST mode to be enabled");
    }
    if (o != NULL && ((o->flags & TRACK_BCAST) != 0) != bcast) {
        return args_fail(
            reply,
            "ERR You can't switch BCAST mode on/off before disabling tracking "
            "for this client, and then re-enabling it with a different mode.");
    }
    if (bcast && opt != 0) {
        return args_fail(reply,
                         "ERR OPTIN and OPTOUT are not compatible with BCAST");
    }
    if (opt == (TRACK_OPTIN | TRACK_OPTOUT)) {
        return args_fail(reply,
                         "ERR You can't specify both OPTIN mode and OPTOUT "
                         "mode");
    }
    if (o != NULL &&
        (((a->flags & TRACK_OPTIN) != 0 && (o->flags & TRACK_OPTOUT) != 0) ||
         ((a->flags & TRACK_OPTOUT) != 0 && (o->flags & TRACK_OPTIN) != 0))) {
        return args_fail(
            reply,
            "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking "
            "for this client, and then re-enabling it with a different mode.");
    }
    return !bcast || prefixes_fit(c, a, reply);
}

/* Into its place; one that is there stays. */
static void prefix_add(struct track *o, struct bytes p)
{
    size_t at = 0;

    while (at < o->prefixes_n &&
           bytes_cmp(blob_bytes(o->prefixes[at]), p) < 0) {
        at++;
    }
    if (at < o->prefixes_n && bytes_eq(blob_bytes(o->prefixes[at]), p)) {
        return;
    }
    o->prefixes =
        hf_realloc(o->prefixes, (o->prefixes_n + 1) * sizeof *o->prefixes);
    memmove(o->prefixes + at + 1, o->prefixes + at,
            (o->prefixes_n - at) * sizeof *o->prefixes);
    o->prefixes[at] = blob_copy(p.p, p.n);
    o->prefixes_n++;
    o->all->prefixes++;
}

static void turn_on(struct conn *c, const struct tracking_args *a)
{
    struct track *o = c->track != NULL ? c->track : track_on(c, a->flags);

    o->flags = a->flags;
    set_target(o, a->redirect, a->target);
    if ((a->flags & TRACK_BCAST) != 0 && a->n == 0) {
        prefix_add(o, bytes_of("", 0));
    }
    for (size_t i = 0; i < a->n; i++) {
        prefix_add(o, *a->prefixes[i]);
    }
    counted(o->all);
}

static void command_tracking(struct conn *c,
                             const struct bytes *argv,
                             int argc,
                             struct buf *reply)
{
    struct tracking_args *a = hf_calloc(1, sizeof *a);
    bool on = bytes_ieq(argv[2], "ON");
    bool ok = parse_options(c, argv, argc, a, reply);

    c->held = false;
    if (ok && !on && !bytes_ieq(argv[2], "OFF")) {
        ok = args_fail(reply, ERR_SYNTAX);
    }
    if (ok && on) {
        ok = options_fit(c, a, reply);
    }
    if (ok) {
        if (on) {
            turn_on(c, a);
        } else {
            tracking_forget(c);
        }
        resp_ok(reply);
    }
    free(a);
}

static void command_trackinginfo(const struct conn *c, struct buf *reply)
{
    const struct track *o = c->track;
    const char *flags[6];
    size_t n = 0;

    flags[n++] = o == NULL ? "off" : "on";
    if (o != NULL && (o->flags & TRACK_BCAST) != 0) {
        flags[n++] = "bcast";
    }
    if (o != NULL && (o->flags & (TRACK_OPTIN | TRACK_OPTOUT)) != 0) {
        bool in = (o->flags & TRACK_OPTIN) != 0;

        flags[n++] = in ? "optin" : "optout";
        if (o->caching && !o->caching_used) {
            flags[n++] = in ? "caching-yes" : "caching-no";
        }
    }
    if (o != NULL && (o->flags & TRACK_NOLOOP) != 0) {
        flags[n++] = "noloop";
    }
    if (o != NULL && o->redirect != 0 && o->target == NULL) {
        flags[n++] = "broken_redirect";
    }
    resp_map(reply, 3);
    resp_bulk_str(reply, "flags");
    resp_set(reply, n);
    for (size_t i = 0; i < n; i++) {
        resp_bulk_str(reply, flags[i]);
    }
    resp_bulk_str(reply, "redirect");
    resp_int(reply, o == NULL ? -1 : (int64_t)o->redirect);
    resp_bulk_str(reply, "prefixes");
    resp_array(reply, o == NULL ? 0 : o->prefixes_n);
    for (size_t i = 0; o != NULL && i < o->prefixes_n; i++) {
        resp_bulk(reply, blob_bytes(o->prefixes[i]));
    }
}

size_t tracking_flags(const struct conn *c, char *out)
{
    const struct track *o = c->track;
    size_t n = 0;

    if (o != NULL) {
        out[n++] = 't';
    }
    if (o != NULL && o->redirect != 0 && o->target == NULL) {
        out[n++] = 'R';
    }
    if (o != NULL && (o->flags & TRACK_BCAST) != 0) {
        out[n++] = 'B';
    }
    return n;
}

int64_t tracking_redirect(const struct conn *c)
{
    return c->track == NULL ? -1 : (int64_t)c->track->redirect;
}

static bool is_sub(const struct command *cmd, const char *name)
{
    return cmd->parent != NULL && strcmp(cmd->parent, "client") == 0 &&
           strcmp(cmd->name, name) == 0;
}

bool tracking_command(struct conn *c,
                      const struct command *cmd,
                      const struct bytes *argv,
                      int argc,
                      struct buf *reply)
{
    if (is_sub(cmd, "tracking")) {
        command_tracking(c, argv, argc, reply);
    } else if (is_sub(cmd, "trackinginfo")) {
        command_trackinginfo(c, reply);
    } else if (is_sub(cmd, "getredir")) {
        resp_int(reply, tracking_redirect(c));
    } else {
        return false;
    }
    return true;
}

bool tracking_changes(const struct command *cmd)
{
    return is_sub(cmd, "tracking");
}

/* ---- CLIENT CACHING ---- */

bool tracking_is_caching(const struct command *cmd)
{
    return is_sub(cmd, "caching");
}

void tracking_caching(struct conn *c,
                      const struct bytes *argv,
                      struct buf *reply)
{
    struct track *o = c->track;
    bool yes = bytes_ieq(argv[2], "YES");

    if (o == NULL) {
        resp_error(reply,
                   "ERR CLIENT CACHING can be called only when the client is "
                   "in tracking mode with OPTIN or OPTOUT mode enabled");
    } else if (!yes && !bytes_ieq(argv[2], "NO")) {
        resp_error(reply, ERR_SYNTAX);
    } else if (yes && (o->flags & TRACK_OPTIN) == 0) {
        resp_error(reply,
                   "ERR CLIENT CACHING YES is only valid when tracking is "
                   "enabled in OPTIN mode.");
    } else if (!yes && (o->flags & TRACK_OPTOUT) == 0) {
        resp_error(reply,
                   "ERR CLIENT CACHING NO is only valid when tracking is "
                   "enabled in OPTOUT mode.");
    } else {
        o->caching = true;
        o->caching_used = false;
        resp_ok(reply);
    }
}

void tracking_dispatched(struct conn *c, const struct command *cmd)
{
    if (c->track != NULL && !c->multi && !c->exec_waits &&
        !(cmd != NULL && cmd->parent != NULL &&
          strcmp(cmd->parent, "client") == 0)) {
        c->track->caching_used = true;
    }
}
