#include "tests/sim/caches.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "tests/sim/mini.h"

enum {
    TICK_US = 30000,
    GIVE_UP_US = 7000000, /* without a reply: another node */
    MOVE_1_IN = 150,      /* ticks */
    WRITE_1_IN = 4,
    /* A node that has heard of no leader for an election timeout says so;
     * one that has is no further behind than this. */
    BEHIND_US = 1000000,
    VALUES_MAX = 4096, /* of a key */
    NAME_SIZE = 48,
};

enum asked { NOTHING, HELLO, TRACK, READ, WRITE, PROOF };

struct cacher {
    struct caches *f;
    struct env *e;
    struct mini m;
    struct env_timer timer;
    struct buf out;
    int i;
    int node;
    enum asked asked;
    bool ready;
    bool watching;       /* only reads, and only the other one's key */
    int key;             /* READ: whose */
    uint64_t least;      /* READ: acknowledged before */
    uint64_t generation; /* READ: of the key then */
    uint64_t asked_us;
    uint64_t value; /* of its own key, tried last */
    struct {
        bool there;
        uint64_t value;
        uint64_t floor; /* read or written by itself */
    } cache[CACHES_CLIENTS];
};

struct caches {
    struct sim *s;
    struct check *c;
    const char (*addr)[64];
    int nodes;
    bool stopped;
    uint64_t rng;
    uint64_t hits;
    /* Each client writes one key; after an unknown outcome the next one. */
    uint64_t generation[CACHES_CLIENTS];
    uint64_t acked[CACHES_CLIENTS];
    uint64_t acked_us[CACHES_CLIENTS][VALUES_MAX]; /* by value */
    struct cacher u[CACHES_CLIENTS];
};

/* A generator of its own: what the others do does not depend on it. */
static uint64_t pick(struct caches *f, uint64_t n)
{
    f->rng = f->rng * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (f->rng >> 33) % n;
}

static void again(struct cacher *u, uint64_t us)
{
    env_timer_start(u->e, &u->timer, env_now_us(u->e) + us);
}

static void name_of(const struct caches *f, int key, char out[NAME_SIZE])
{
    snprintf(out, NAME_SIZE, "cached:%d:%llu", key,
             (unsigned long long)f->generation[key]);
}

static void forget_all(struct cacher *u)
{
    for (int k = 0; k < CACHES_CLIENTS; k++) {
        u->cache[k].there = false;
    }
}

/* What became of the write under way nobody knows: its key is left alone. */
static void next_key(struct cacher *u)
{
    struct caches *f = u->f;

    f->generation[u->i]++;
    f->acked[u->i] = 0;
    u->value = 0;
    memset(f->acked_us[u->i], 0, sizeof f->acked_us[u->i]);
    for (int k = 0; k < CACHES_CLIENTS; k++) {
        f->u[k].cache[u->i].there = false;
        f->u[k].cache[u->i].floor = 0;
    }
}

static void lost(struct cacher *u)
{
    if (u->asked == WRITE) {
        next_key(u);
    }
    u->asked = NOTHING;
    u->ready = false;
    forget_all(u);
}

static void move(struct cacher *u)
{
    mini_close(&u->m);
    lost(u);
    u->node = (int)pick(u->f, (uint64_t)u->f->nodes);
    u->watching = u->i > 0 && pick(u->f, 2) == 0;
    again(u, 1000 + pick(u->f, TICK_US));
}

static void ask(struct cacher *u, enum asked what, const char *line)
{
    mini_line(&u->out, line);
    mini_send(&u->m, &u->out);
    u->asked = what;
    u->asked_us = sim_now_us(u->f->s);
}

/* ---- what a client does ---- */

static void serve(struct cacher *u, int key)
{
    u->f->hits++;
    if (u->cache[key].value < u->cache[key].floor) {
        check_fail(u->f->c,
                   "cache: client %d at n%d serves %llu of key %d, and knew "
                   "%llu",
                   u->i, u->node + 1, (unsigned long long)u->cache[key].value,
                   key, (unsigned long long)u->cache[key].floor);
    }
}

/* The node answered what was asked at asked_us, and had told of all that it
 * knew: what is kept is no older than a node in touch can be. */
static void proved(struct cacher *u)
{
    struct caches *f = u->f;
    int k = u->key;
    uint64_t v = u->cache[k].value;

    if (!u->cache[k].there || u->generation != f->generation[k]) {
        return;
    }
    serve(u, k);
    while (++v <= f->acked[k]) {
        uint64_t at = f->acked_us[k][v];

        if (at > 0 && at + BEHIND_US < u->asked_us) {
            check_fail(f->c,
                       "cache: client %d at n%d keeps %llu of key %d, %llu us "
                       "after %llu was acknowledged",
                       u->i, u->node + 1, (unsigned long long)u->cache[k].value,
                       k, (unsigned long long)(u->asked_us - at),
                       (unsigned long long)v);
            return;
        }
    }
}

static void next(struct cacher *u)
{
    struct caches *f = u->f;
    char name[NAME_SIZE];
    char line[128];

    if (!u->ready) {
        ask(u, HELLO, "HELLO 3");
    } else if (!f->stopped && !u->watching && u->value + 1 < VALUES_MAX &&
               pick(f, WRITE_1_IN) == 0) {
        name_of(f, u->i, name);
        snprintf(line, sizeof line, "SET %s %llu", name,
                 (unsigned long long)++u->value);
        ask(u, WRITE, line);
    } else if (!f->stopped) {
        u->key = u->watching ? 0 : (int)pick(f, CACHES_CLIENTS);
        u->least = f->acked[u->key];
        u->generation = f->generation[u->key];
        if (u->cache[u->key].there) {
            serve(u, u->key);
            ask(u, PROOF, "PING");
            return;
        }
        name_of(f, u->key, name);
        snprintf(line, sizeof line, "GET %s", name);
        ask(u, READ, line);
    }
}

/* ---- what came ---- */

static uint64_t number(struct bytes b)
{
    uint64_t v = 0;

    for (size_t i = 0; i < b.n && b.p[i] >= '0' && b.p[i] <= '9'; i++) {
        v = 10 * v + (uint64_t)(b.p[i] - '0');
    }
    return v;
}

/* invalidate, [name, ...] or null */
static void told(struct cacher *u, const struct mini_reply *r)
{
    char name[NAME_SIZE];

    if (r->num != 2 || !bytes_eq(r->el[0].v, bytes_str("invalidate"))) {
        check_fail(u->f->c, "cache: n%d pushes nonsense", u->node + 1);
        return;
    }
    if (r->el[1].null) {
        forget_all(u);
        return;
    }
    for (int k = 0; k < CACHES_CLIENTS; k++) {
        struct bytes all = r->el[1].v;
        struct bytes want;

        name_of(u->f, k, name);
        want = bytes_str(name);
        for (size_t i = 0; i + want.n + 2 <= all.n; i++) {
            if (memcmp(all.p + i, want.p, want.n) == 0 &&
                all.p[i + want.n] == '\r') {
                u->cache[k].there = false;
            }
        }
    }
}

static void was_read(struct cacher *u, const struct mini_reply *r)
{
    uint64_t v = r->null ? 0 : number(r->v);
    int k = u->key;

    if (u->generation != u->f->generation[k]) {
        return;
    }
    if (v < u->least || v < u->cache[k].floor) {
        check_fail(u->f->c,
                   "cache: client %d reads %llu of key %d at n%d; %llu was "
                   "acknowledged",
                   u->i, (unsigned long long)v, k, u->node + 1,
                   (unsigned long long)u->least);
    }
    u->cache[k].floor = v;
    u->cache[k].value = v;
    u->cache[k].there = true;
}

static void on_reply(struct mini *m, const struct mini_reply *r)
{
    struct cacher *u = m->data;
    enum asked what = u->asked;

    if (r->type == '>') {
        told(u, r);
        return;
    }
    if (r->type == '-') {
        move(u);
        return;
    }
    u->asked = NOTHING;
    switch (what) {
        case HELLO:
            ask(u, TRACK,
                u->i == 0 ? "CLIENT TRACKING ON"
                          : "CLIENT TRACKING ON BCAST PREFIX cached:");
            break;
        case TRACK:
            u->ready = true;
            break;
        case READ:
            was_read(u, r);
            break;
        case WRITE:
            u->f->acked[u->i] = u->value;
            u->f->acked_us[u->i][u->value] = sim_now_us(u->f->s);
            u->cache[u->i].floor = u->value;
            if (u->cache[u->i].there) {
                serve(u, u->i);
            }
            break;
        case PROOF:
            proved(u);
            break;
        case NOTHING:
            check_fail(u->f->c, "cache: n%d answers nothing", u->node + 1);
            break;
    }
}

static void on_close(struct mini *m, int code)
{
    (void)code;
    move(m->data);
}

static void on_timer(struct env_timer *t)
{
    struct cacher *u = t->data;
    struct caches *f = u->f;

    if (u->m.c == NULL) {
        lost(u);
        mini_connect(&u->m, u->e, f->addr[u->node]);
    } else if ((u->asked != NOTHING &&
                sim_now_us(f->s) > u->asked_us + GIVE_UP_US) ||
               (!f->stopped && pick(f, MOVE_1_IN) == 0)) {
        move(u);
        return;
    }
    if (u->m.open && u->asked == NOTHING) {
        next(u);
    }
    again(u, TICK_US);
}

/* ---- life ---- */

struct caches *caches_new(struct sim *s,
                          struct check *c,
                          struct env *const envs[CACHES_CLIENTS],
                          const char (*addr)[64],
                          int nodes)
{
    struct caches *f = hf_calloc(1, sizeof *f);

    f->s = s;
    f->c = c;
    f->addr = addr;
    f->nodes = nodes;
    f->rng = 1;
    for (int i = 0; i < CACHES_CLIENTS; i++) {
        struct cacher *u = &f->u[i];

        u->f = f;
        u->i = i;
        u->e = envs[i];
        u->node = i % nodes;
        u->m.data = u;
        u->m.on_reply = on_reply;
        u->m.on_close = on_close;
        env_timer_init(&u->timer, on_timer, u);
    }
    return f;
}

void caches_free(struct caches *f)
{
    if (f == NULL) {
        return;
    }
    for (int i = 0; i < CACHES_CLIENTS; i++) {
        f->u[i].m.c = NULL; /* gone with the machines */
        mini_release(&f->u[i].m);
        buf_release(&f->u[i].out);
    }
    free(f);
}

static void start_one(void *data)
{
    again(data, 1000);
}

void caches_start(struct caches *f)
{
    for (int i = 0; i < CACHES_CLIENTS; i++) {
        sim_env_post(f->u[i].e, start_one, &f->u[i]);
    }
}

void caches_stop(struct caches *f)
{
    f->stopped = true;
}

bool caches_even(const struct caches *f)
{
    for (int i = 0; i < CACHES_CLIENTS; i++) {
        const struct cacher *u = &f->u[i];

        if (u->asked == READ || u->asked == WRITE) {
            return false;
        }
        for (int k = 0; k < CACHES_CLIENTS; k++) {
            if (u->cache[k].there && u->cache[k].value != f->acked[k]) {
                return false;
            }
        }
    }
    return true;
}

uint64_t caches_hits(const struct caches *f)
{
    return f->hits;
}
