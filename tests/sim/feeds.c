#include "tests/sim/feeds.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "tests/sim/mini.h"

enum {
    TICK_US = 50000,
    BLOCK_MS = 700,
    GIVE_UP_US = 7000000, /* without a reply: another node */
    MOVE_1_IN = 100,      /* ticks */
    COUNT = 20,
};

struct change {
    uint64_t revision;
    uint64_t seq;
    uint64_t hash;
};

struct consumer {
    struct feeds *f;
    struct env *e;
    struct mini m;
    struct env_timer timer;
    struct buf out;
    int node;
    bool asked;
    uint64_t asked_us;
    size_t n; /* changes seen */
};

struct feeds {
    struct sim *s;
    struct check *c;
    const char (*addr)[64];
    int nodes;
    uint64_t rng;
    struct consumer u[FEEDS_CONSUMERS];
    struct change *seen; /* by the one that is ahead */
    size_t n;
    size_t cap;
};

/* A generator of its own: what the others do does not depend on it. */
static uint64_t pick(struct feeds *f, uint64_t n)
{
    f->rng = f->rng * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (f->rng >> 33) % n;
}

static void again(struct consumer *u, uint64_t us)
{
    env_timer_start(u->e, &u->timer, env_now_us(u->e) + us);
}

static void move(struct consumer *u)
{
    mini_close(&u->m);
    u->asked = false;
    u->node = (int)pick(u->f, (uint64_t)u->f->nodes);
    again(u, 1000 + pick(u->f, TICK_US));
}

static void ask(struct consumer *u)
{
    struct feeds *f = u->f;
    uint64_t revision = u->n > 0 ? f->seen[u->n - 1].revision : 0;
    uint64_t seq = u->n > 0 ? f->seen[u->n - 1].seq : 0;
    char line[128];

    snprintf(line, sizeof line,
             "XREAD COUNT %d BLOCK %d STREAMS __changes__ %llu-%llu", COUNT,
             BLOCK_MS, (unsigned long long)revision, (unsigned long long)seq);
    mini_line(&u->out, line);
    mini_send(&u->m, &u->out);
    u->asked = true;
    u->asked_us = sim_now_us(f->s);
}

/* ---- what came ---- */

/* Length of the array or bulk whose head is next; -1: it is another thing. */
static int64_t head(struct bytes *b, char type)
{
    int64_t n = 0;
    size_t i = 1;

    if (b->n < 4 || b->p[0] != (uint8_t)type) {
        return -1;
    }
    while (i < b->n && b->p[i] >= '0' && b->p[i] <= '9') {
        n = 10 * n + (b->p[i++] - '0');
    }
    if (i + 1 >= b->n || b->p[i] != '\r') {
        return -1;
    }
    *b = bytes_of(b->p + i + 2, b->n - i - 2);
    return n;
}

static bool bulk(struct bytes *b, struct bytes *out)
{
    int64_t n = head(b, '$');

    if (n < 0 || (size_t)n + 2 > b->n) {
        return false;
    }
    *out = bytes_of(b->p, (size_t)n);
    *b = bytes_of(b->p + n + 2, b->n - (size_t)n - 2);
    return true;
}

/* [id, [name, value, ...]] */
static bool entry(struct bytes *b, struct change *out)
{
    struct bytes id;
    struct bytes field;
    char text[64];
    unsigned long long revision, seq;
    int64_t n;

    if (head(b, '*') != 2 || !bulk(b, &id) || id.n >= sizeof text) {
        return false;
    }
    memcpy(text, id.p, id.n);
    text[id.n] = '\0';
    n = head(b, '*');
    if (sscanf(text, "%llu-%llu", &revision, &seq) != 2 || n < 4) {
        return false;
    }
    *out = (struct change){revision, seq, 14695981039346656037u};
    for (int64_t i = 0; i < n; i++) {
        if (!bulk(b, &field)) {
            return false;
        }
        for (size_t k = 0; k < field.n; k++) {
            out->hash = (out->hash ^ field.p[k]) * 1099511628211u;
        }
        out->hash = (out->hash ^ field.n) * 1099511628211u;
    }
    return true;
}

static void see(struct consumer *u, const struct change *x)
{
    struct feeds *f = u->f;
    struct change before = {0, 0, 0};

    if (u->n > 0) {
        before = f->seen[u->n - 1];
    }
    if (!(x->revision == before.revision + 1 && x->seq == 0) &&
        !(x->revision == before.revision && x->seq == before.seq + 1)) {
        check_fail(f->c, "feed: behind %llu-%llu n%d gives %llu-%llu",
                   (unsigned long long)before.revision,
                   (unsigned long long)before.seq, u->node + 1,
                   (unsigned long long)x->revision, (unsigned long long)x->seq);
    } else if (u->n == f->n) {
        if (f->n == f->cap) {
            f->cap = f->cap == 0 ? 1024 : 2 * f->cap;
            f->seen = hf_realloc(f->seen, f->cap * sizeof *f->seen);
        }
        f->seen[f->n++] = *x;
    } else if (f->seen[u->n].hash != x->hash ||
               f->seen[u->n].revision != x->revision ||
               f->seen[u->n].seq != x->seq) {
        check_fail(f->c, "feed: %llu-%llu of n%d is not what was seen before",
                   (unsigned long long)x->revision, (unsigned long long)x->seq,
                   u->node + 1);
    }
    u->n++;
}

static bool take_all(struct consumer *u, struct bytes b)
{
    struct bytes name;
    struct change x;
    int64_t n;

    if (head(&b, '*') != 2 || !bulk(&b, &name)) {
        return false;
    }
    n = head(&b, '*');
    for (int64_t i = 0; i < n; i++) {
        if (!entry(&b, &x)) {
            return false;
        }
        see(u, &x);
    }
    return n > 0 && n <= COUNT;
}

static void on_reply(struct mini *m, const struct mini_reply *r)
{
    struct consumer *u = m->data;

    u->asked = false;
    if (r->type == '-') {
        if (r->v.n > 7 && (memcmp(r->v.p, "TRIMMED", 7) == 0 ||
                           memcmp(r->v.p, "ERR", 3) == 0)) {
            check_fail(u->f->c, "feed: n%d says %.*s", u->node + 1, (int)r->v.n,
                       (const char *)r->v.p);
        }
        move(u);
        return;
    }
    if (!r->null && (r->num != 1 || !take_all(u, r->el[0].v))) {
        check_fail(u->f->c, "feed: n%d answers nonsense", u->node + 1);
    }
}

static void on_close(struct mini *m, int code)
{
    (void)code;
    move(m->data);
}

static void on_timer(struct env_timer *t)
{
    struct consumer *u = t->data;
    struct feeds *f = u->f;

    if (u->m.c == NULL) {
        u->asked = false;
        mini_connect(&u->m, u->e, f->addr[u->node]);
    } else if ((u->asked && sim_now_us(f->s) > u->asked_us + GIVE_UP_US) ||
               pick(f, MOVE_1_IN) == 0) {
        move(u);
        return;
    }
    if (u->m.open && !u->asked) {
        ask(u);
    }
    again(u, TICK_US);
}

/* ---- life ---- */

struct feeds *feeds_new(struct sim *s,
                        struct check *c,
                        struct env *const envs[FEEDS_CONSUMERS],
                        const char (*addr)[64],
                        int nodes)
{
    struct feeds *f = hf_calloc(1, sizeof *f);

    f->s = s;
    f->c = c;
    f->addr = addr;
    f->nodes = nodes;
    f->rng = 1;
    for (int i = 0; i < FEEDS_CONSUMERS; i++) {
        struct consumer *u = &f->u[i];

        u->f = f;
        u->e = envs[i];
        u->node = i % nodes;
        u->m.data = u;
        u->m.on_reply = on_reply;
        u->m.on_close = on_close;
        env_timer_init(&u->timer, on_timer, u);
    }
    return f;
}

void feeds_free(struct feeds *f)
{
    if (f == NULL) {
        return;
    }
    for (int i = 0; i < FEEDS_CONSUMERS; i++) {
        f->u[i].m.c = NULL; /* gone with the machines */
        mini_release(&f->u[i].m);
        buf_release(&f->u[i].out);
    }
    free(f->seen);
    free(f);
}

static void start_one(void *data)
{
    again(data, 1000);
}

void feeds_start(struct feeds *f)
{
    for (int i = 0; i < FEEDS_CONSUMERS; i++) {
        sim_env_post(f->u[i].e, start_one, &f->u[i]);
    }
}

bool feeds_at(const struct feeds *f, uint64_t revision)
{
    for (int i = 0; i < FEEDS_CONSUMERS; i++) {
        const struct consumer *u = &f->u[i];

        if (u->n != f->n ||
            (revision > 0 &&
             (f->n == 0 || f->seen[f->n - 1].revision != revision))) {
            return false;
        }
    }
    return true;
}

uint64_t feeds_changes(const struct feeds *f)
{
    return f->n;
}
