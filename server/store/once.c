/* Named sessions: what a client names, runs at most once. */
#include "server/store/machine_int.h"

struct once_key {
    uint8_t b[8];
};

static struct once_key once_key(uint64_t id)
{
    struct once_key k;

    for (int i = 0; i < 8; i++) {
        k.b[i] = (uint8_t)(id >> (56 - 8 * i));
    }
    return k;
}

static uint64_t now(const struct machine *m)
{
    return store_time(m->store);
}

static uint64_t idle_deadline(const struct machine *m)
{
    uint64_t idle = m->base.once_idle_ms / (mutant(ONCE_ENDS_EARLY) ? 10 : 1);
    uint64_t d = now(m) + idle;

    return d < now(m) ? UINT64_MAX : d;
}

static bool idle_over(const struct machine *m, const struct item *it)
{
    return item_deadline(it) <= now(m) && now(m) >= m->base.once_floor_ms &&
           !mutant(ONCE_NO_IDLE);
}

/* Flags, and the owner if there is one; what is behind them is the reply. */
static void once_head(struct buf *v,
                      uint64_t number,
                      uint8_t flags,
                      uint64_t owner)
{
    buf_u64(v, number);
    buf_u8(v, flags | (owner != 0 ? ONCE_OWNED : 0));
    if (owner != 0) {
        buf_u64(v, owner);
    }
}

static size_t once_head_size(struct bytes v)
{
    return ONCE_HEAD + ((v.p[8] & ONCE_OWNED) != 0 ? ONCE_OWNER : 0);
}

static uint64_t once_owner(const struct item *it)
{
    struct bytes v = item_value(it);

    return (v.p[8] & ONCE_OWNED) != 0 ? get_u64(v.p + ONCE_HEAD) : 0;
}

static const struct item *once_find(const struct machine *m, uint64_t id)
{
    struct once_key k = once_key(id);
    const struct item *it = map_get(m->named, bytes_of(k.b, 8));

    if (it == NULL || idle_over(m, it) ||
        (once_owner(it) != m->once_owner && !mutant(ONCE_OF_OTHERS))) {
        return NULL;
    }
    return it;
}

void machine_once_set_owner(struct machine *m, uint64_t owner)
{
    m->once_owner = owner;
}

/* The revision of items of this map is the index of the entry: it rises from
 * one freeze to the next, which is all that the map asks. */
static void once_store(struct machine *m, uint64_t id, struct bytes value)
{
    struct once_key k = once_key(id);

    map_put(m->named, bytes_of(k.b, 8), value, m->base.index, m->base.index,
            idle_deadline(m));
}

static void once_remove(struct machine *m, const struct item *it)
{
    m->saved_bytes -= it->value_n - ONCE_HEAD;
    hf_assert(map_delete(m->named, item_key(it)));
}

bool machine_once_full(const struct machine *m)
{
    return map_count(m->named) >= LIM_NAMED;
}

uint64_t machine_once_open(struct machine *m)
{
    struct buf v = BUF_INIT;

    hf_assert(m->applying);
    if (m->id_taken || machine_once_full(m)) {
        return 0;
    }
    m->id_taken = true;
    once_head(&v, 0, 0, m->once_owner);
    once_store(m, m->base.index, buf_bytes(&v));
    m->saved_bytes += v.n - ONCE_HEAD;
    buf_release(&v);
    return m->base.index;
}

/* Begin a new idle time without another change. */
static void once_touch(struct machine *m, uint64_t id, const struct item *it)
{
    struct bytes v = item_value(it);

    if (item_deadline(it) != idle_deadline(m)) {
        once_store(m, id, v);
    }
}

enum once_verdict machine_once_begin(struct machine *m,
                                     uint64_t session,
                                     uint64_t number,
                                     struct bytes *saved)
{
    const struct item *it = once_find(m, session);
    struct bytes v;
    uint64_t last;

    hf_assert(m->applying);
    if (it == NULL) {
        return mutant(ONCE_ANYONE) ? ONCE_RUN : ONCE_UNKNOWN;
    }
    last = get_u64(item_value(it).p);
    if ((last != UINT64_MAX && number == last + 1) || mutant(ONCE_NO_DEDUP)) {
        return ONCE_RUN;
    }
    if (number > last) {
        return mutant(ONCE_GAP_RUNS) ? ONCE_RUN : ONCE_HIGHER;
    }
    /* Number 0 is nobody's: it was not applied, it never can be. */
    if ((number < last && !mutant(ONCE_ANY_REPLY)) || number == 0) {
        return ONCE_LOWER;
    }
    once_touch(m, session, it);
    it = once_find(m, session);
    hf_assert(it != NULL);
    v = item_value(it);
    if ((v.p[8] & ONCE_TOO_LARGE) != 0) {
        return ONCE_REPLAY_TOO_LARGE;
    }
    *saved = bytes_of(v.p + once_head_size(v), v.n - once_head_size(v));
    return ONCE_REPLAY;
}

void machine_once_end(struct machine *m,
                      uint64_t session,
                      uint64_t number,
                      struct bytes reply)
{
    const struct item *it = once_find(m, session);
    struct buf v = BUF_INIT;
    uint64_t others;
    bool keep;

    /* The command itself may have closed the session. */
    if (it == NULL) {
        return;
    }
    others = m->saved_bytes - (it->value_n - ONCE_HEAD);
    keep =
        (reply.n <= LIM_SAVED_REPLY && others + reply.n <= LIM_SAVED_REPLIES) ||
        mutant(ONCE_REPLY_UNBOUNDED);
    if (mutant(ONCE_REPLY_LOST)) {
        reply.n = 0;
    }
    once_head(&v, number, keep ? 0 : ONCE_TOO_LARGE, once_owner(it));
    if (keep) {
        buf_bytes_append(&v, reply);
    }
    once_store(m, session, buf_bytes(&v));
    m->saved_bytes = others + v.n - ONCE_HEAD;
    buf_release(&v);
}

bool machine_once_close(struct machine *m, uint64_t session)
{
    const struct item *it = once_find(m, session);

    if (it == NULL) {
        return false;
    }
    once_remove(m, it);
    return true;
}

void machine_once_set_idle(struct machine *m, uint64_t idle_ms)
{
    m->base.once_idle_ms = idle_ms == 0 ? 1 : idle_ms;
}

uint64_t machine_once_count(const struct machine *m)
{
    return map_count(m->named);
}

bool once_expiry_waiting(const struct machine *m)
{
    const struct item *it = map_first_deadline(m->named);

    return it != NULL && idle_over(m, it);
}

void once_expire(struct machine *m)
{
    for (unsigned i = 0; i < LIM_EXPIRE_PER_ENTRY; i++) {
        if (!once_expiry_waiting(m)) {
            return;
        }
        once_remove(m, map_first_deadline(m->named));
    }
}
