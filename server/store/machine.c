/* Applying log entries: requests in the order of their session's numbers,
 * sessions, members. */
#include <stdlib.h>

#include "base/rng.h"
#include "server/store/machine_int.h"

/* A step of the checksum that no record type has. */
enum { USERS_STEP = 1 << 8 };

/* ---- life ---- */

struct machine *machine_new(void)
{
    struct machine *m = hf_calloc(1, sizeof *m);

    m->store = store_new();
    m->named = map_new();
    users_init(&m->users);
    m->base.next_id = 1;
    m->base.once_idle_ms = ONCE_IDLE_DEFAULT_MS;
    return m;
}

bool machine_free_sliced(struct machine *m, size_t budget)
{
    if (m->store != NULL) {
        if (store_free_sliced(m->store, budget)) {
            m->store = NULL;
        }
        return false;
    }
    if (!map_free_sliced(m->named, budget)) {
        return false;
    }
    users_release(&m->users);
    blob_unref(m->users_image);
    buf_release(&m->reply);
    free(m);
    return true;
}

void machine_free(struct machine *m)
{
    if (m != NULL) {
        while (!machine_free_sliced(m, SIZE_MAX)) {
        }
    }
}

bool machine_free_step(struct machine *m, size_t budget)
{
    bool more = map_free_step(store_map(m->store), budget);

    return map_free_step(m->named, budget) || more;
}

bool machine_applying(const struct machine *m)
{
    return m->applying;
}

uint64_t machine_chance(struct machine *m)
{
    struct rng r = {store_sum(m->store) ^ store_time(m->store)};

    if (!m->applying || mutant(CHANCE_LOCAL)) {
        r.s ^= ++m->chances << 32;
    }
    return rng_next(&r);
}

void machine_count_lookup(struct machine *m, bool found)
{
    m->found[found] += !m->applying;
}

void machine_take_lookups(struct machine *m, uint64_t *hits, uint64_t *misses)
{
    *hits += m->found[true];
    *misses += m->found[false];
    m->found[true] = m->found[false] = 0;
}

void machine_set_run(struct machine *m, machine_run_fn run, void *ctx)
{
    m->run = run;
    m->run_ctx = ctx;
}

void machine_set_key(struct machine *m, machine_key_fn key)
{
    m->key = key;
}

static void tell_change(void *ctx,
                        enum store_event kind,
                        struct bytes key,
                        const struct item *item,
                        uint64_t revision)
{
    struct machine *m = ctx;

    (void)item;
    (void)revision;
    m->obs.on_change(m->obs.ctx, kind, key);
    if (kind == STORE_EXPIRE) {
        machine_notify(m, NOTIFY_EXPIRED, "expired", key);
    }
}

void machine_set_observer(struct machine *m, const struct machine_observer *o)
{
    if (o != NULL) {
        m->obs = *o;
    } else {
        memset(&m->obs, 0, sizeof m->obs);
    }
    store_on_event(m->store, m->obs.on_change != NULL ? tell_change : NULL, m);
}

void machine_set_notify(struct machine *m, unsigned classes)
{
    m->notify = classes;
}

bool machine_notifies(const struct machine *m)
{
    return m->notify != 0;
}

void machine_notify(struct machine *m,
                    enum notify_class class,
                    const char *event,
                    struct bytes key)
{
    /* What a logged command misses is missed on every node: not told. */
    if ((m->notify & class) != 0 && m->obs.on_notify != NULL &&
        (class != NOTIFY_KEY_MISS || !m->applying)) {
        m->obs.on_notify(m->obs.ctx, class, event, key);
    }
}

/* ---- state ---- */

struct store *machine_store(struct machine *m)
{
    return m->store;
}

uint64_t machine_index(const struct machine *m)
{
    return m->base.index;
}

uint64_t machine_expired(const struct machine *m)
{
    return m->expired;
}

uint64_t machine_time(const struct machine *m)
{
    return store_time(m->store);
}

void machine_set_clock(struct machine *m, uint64_t ms)
{
    m->clock_ms = ms;
}

uint64_t machine_clock(const struct machine *m)
{
    uint64_t applied = store_time(m->store);

    return m->applying || m->clock_ms < applied || mutant(TTL_STANDS)
               ? applied
               : m->clock_ms;
}

uint64_t machine_next_deadline(const struct machine *m, uint64_t logged_ms)
{
    return store_next_deadline(m->store, logged_ms);
}

bool machine_expiry_waiting(const struct machine *m)
{
    return store_expired_waiting(m->store) > 0 || once_expiry_waiting(m);
}

unsigned machine_members(const struct machine *m)
{
    return m->base.members_n;
}

const struct member *machine_member_at(const struct machine *m, unsigned i)
{
    hf_assert(i < m->base.members_n);
    return &m->base.members[i];
}

static struct member *by_id(struct machine *m, uint64_t id)
{
    for (unsigned i = 0; i < m->base.members_n; i++) {
        if (m->base.members[i].id == id) {
            return &m->base.members[i];
        }
    }
    return NULL;
}

const struct member *machine_member(const struct machine *m, uint64_t id)
{
    for (unsigned i = 0; i < m->base.members_n; i++) {
        if (m->base.members[i].id == id) {
            return &m->base.members[i];
        }
    }
    return NULL;
}

const struct member *machine_member_by_dir(const struct machine *m,
                                           const uint8_t dir[HF_ID_SIZE])
{
    for (unsigned i = 0; i < m->base.members_n; i++) {
        if (memcmp(m->base.members[i].dir_id, dir, HF_ID_SIZE) == 0) {
            return &m->base.members[i];
        }
    }
    return NULL;
}

unsigned machine_seats(const struct machine *m)
{
    return m->base.seats_n;
}

const struct seat *machine_seat_at(const struct machine *m, unsigned i)
{
    hf_assert(i < m->base.seats_n);
    return &m->base.seats[i];
}

bool machine_has_cluster(const struct machine *m)
{
    return m->base.has_cluster;
}

bool machine_initialized(const struct machine *m)
{
    return m->base.initialized;
}

const uint8_t *machine_cluster_id(const struct machine *m)
{
    return m->base.cluster_id;
}

uint64_t machine_session_of_node(const struct machine *m,
                                 uint64_t id,
                                 uint64_t *last_number)
{
    const struct member *x = machine_member(m, id);

    if (x == NULL || x->session == 0) {
        return 0;
    }
    if (last_number != NULL) {
        *last_number = x->last_number;
    }
    return x->session;
}

size_t machine_bytes(const struct machine *m)
{
    return store_bytes(m->store) + map_bytes(m->named) +
           history_bytes(store_history(m->store)) +
           (m->users.plain ? 0 : m->users.bytes);
}

size_t machine_bytes_held(const struct machine *m)
{
    return store_bytes_held(m->store) + map_bytes_held(m->named) +
           history_bytes_held(store_history(m->store));
}

void machine_history_limits(struct machine *m, uint64_t count, uint64_t bytes)
{
    history_limits(store_history(m->store), count, bytes);
}

/* Add one step to the running checksum. */
static void sum_step(struct machine *m, uint64_t a, uint64_t b, uint64_t c)
{
    uint8_t step[32];

    put_u64(step, m->base.sum);
    put_u64(step + 8, a);
    put_u64(step + 16, b);
    put_u64(step + 24, c);
    m->base.sum = map_hash(bytes_of(step, sizeof step));
}

uint64_t machine_sum(const struct machine *m)
{
    uint8_t both[16];

    put_u64(both, m->base.sum);
    put_u64(both + 8, store_sum(m->store));
    return map_hash(bytes_of(both, sizeof both));
}

/* ---- requests ---- */

static struct member *by_session(struct machine *m, uint64_t session)
{
    for (unsigned i = 0; i < m->base.members_n; i++) {
        if (session != 0 && m->base.members[i].session == session) {
            return &m->base.members[i];
        }
    }
    return NULL;
}

/* What is to be done with @number; APPLIED: it is next, run it. */
static enum request_outcome judge(const struct member *x, uint64_t number)
{
    if (x == NULL) {
        return REQUEST_NO_SESSION;
    }
    if (number <= x->last_number) {
        return mutant(MACHINE_NO_DEDUP) ? REQUEST_APPLIED : REQUEST_DUPLICATE;
    }
    if (number - x->last_number > 1 && !mutant(MACHINE_GAP_RUNS)) {
        return REQUEST_GAP;
    }
    return REQUEST_APPLIED;
}

static void tell_request(struct machine *m,
                         const struct entry_view *v,
                         enum request_outcome outcome,
                         struct bytes reply)
{
    sum_step(m, v->session, v->number, (uint64_t)outcome);
    if (m->obs.on_request != NULL) {
        m->obs.on_request(m->obs.ctx, v->session, v->number, outcome, reply);
    }
}

static void apply_request(struct machine *m, const struct entry_view *v)
{
    struct member *x = by_session(m, v->session);
    enum request_outcome outcome = judge(x, v->number);
    bool wanted;

    buf_clear(&m->reply);
    if (outcome == REQUEST_APPLIED) {
        x->last_number = v->number;
        wanted = m->obs.wants_reply != NULL &&
                 m->obs.wants_reply(m->obs.ctx, v->session, v->number);
        store_begin(m->store);
        if (m->run != NULL) {
            m->run(m->run_ctx, m, v->command, wanted ? &m->reply : NULL);
        }
        store_end(m->store);
    }
    tell_request(m, v, outcome, buf_bytes(&m->reply));
}

static void apply_void(struct machine *m, const struct entry_view *v)
{
    struct member *x = by_session(m, v->session);
    enum request_outcome outcome = judge(x, v->number);

    if (outcome == REQUEST_APPLIED) {
        outcome = REQUEST_VOIDED;
        if (!mutant(MACHINE_VOID_KEEPS)) {
            x->last_number = v->number;
        }
    }
    tell_request(m, v, outcome, bytes_of("", 0));
}

static void apply_open(struct machine *m, const struct entry_view *v)
{
    uint64_t id = get_u64(v->payload.p);
    struct member *x = by_id(m, id);
    uint64_t session = 0;

    if (x != NULL && x->session != 0 &&
        memcmp(x->nonce, v->payload.p + 8, HF_ID_SIZE) == 0 &&
        !mutant(MACHINE_OPEN_TWICE)) {
        /* The same request, sent twice: its session may be in use. */
        session = x->session;
    } else if (x != NULL && !m->id_taken) {
        m->id_taken = true;
        memcpy(x->nonce, v->payload.p + 8, HF_ID_SIZE);
        session = m->base.index;
        x->session = session;
        if (!mutant(MACHINE_OPEN_KEEPS)) {
            x->last_number = 0;
        }
    }
    sum_step(m, ENTRY_OPEN, id, session);
    if (m->obs.on_open != NULL) {
        m->obs.on_open(m->obs.ctx, id, v->payload.p + 8, session);
    }
}

/* ---- users ---- */

const struct users *machine_users(const struct machine *m)
{
    return &m->users;
}

static void users_changed(struct machine *m, struct bytes name, uint64_t what)
{
    blob_unref(m->users_image);
    m->users_image = NULL;
    sum_step(m, USERS_STEP, map_hash(name), what);
    if (m->obs.on_users != NULL) {
        m->obs.on_users(m->obs.ctx);
    }
}

void machine_user_put(struct machine *m, struct user *u)
{
    struct buf b = BUF_INIT;
    uint64_t hash;

    user_encode(u, &b);
    hash = map_hash(buf_bytes(&b));
    buf_release(&b);
    users_put(&m->users, u);
    users_changed(m, blob_bytes(u->name), hash);
}

bool machine_user_delete(struct machine *m, struct bytes name)
{
    if (!users_delete(&m->users, name)) {
        return false;
    }
    users_changed(m, name, 0);
    return true;
}

/* ---- members ---- */

static struct seat *seat_at(struct machine *m, const char *peer)
{
    for (unsigned i = 0; i < m->base.seats_n; i++) {
        if (strcmp(m->base.seats[i].peer, peer) == 0) {
            return &m->base.seats[i];
        }
    }
    return NULL;
}

static struct seat *seat_of(struct machine *m, uint64_t id)
{
    for (unsigned i = 0; i < m->base.seats_n; i++) {
        if (m->base.seats[i].holder == id) {
            return &m->base.seats[i];
        }
    }
    return NULL;
}

static void tell_member(struct machine *m, uint64_t id, bool gone)
{
    if (m->obs.on_member != NULL) {
        m->obs.on_member(m->obs.ctx, id, gone);
    }
}

static void tell_join(struct machine *m,
                      const struct member *node,
                      enum join_result result,
                      uint64_t id)
{
    sum_step(m, ENTRY_JOIN, (uint64_t)result, id);
    if (m->obs.on_join != NULL) {
        m->obs.on_join(m->obs.ctx, node->dir_id, result, id);
    }
}

/* A new member with the next id, in @seat. */
static uint64_t add_member(struct machine *m,
                           const struct member *node,
                           struct seat *seat)
{
    struct member *x = &m->base.members[m->base.members_n++];

    *x = *node;
    x->session = 0;
    x->last_number = 0;
    x->id = m->base.next_id++;
    seat->holder = x->id;
    return x->id;
}

/* Who else announces this peer address; 0: nobody. */
static uint64_t address_holder(struct machine *m,
                               const char *peer,
                               uint64_t except)
{
    for (unsigned i = 0; i < m->base.members_n; i++) {
        const struct member *x = &m->base.members[i];

        if (x->id != except && strcmp(x->peer, peer) == 0) {
            return x->id;
        }
    }
    return 0;
}

/* Member @x announces new addresses. Its seat goes with it, unless there is
 * a vacant one at the new address already: then it takes that one. */
static enum join_result move_member(struct machine *m,
                                    struct member *x,
                                    const struct member *to,
                                    uint64_t *other)
{
    struct seat *mine = seat_of(m, x->id);
    struct seat *there = seat_at(m, to->peer);

    *other = address_holder(m, to->peer, x->id);
    if (*other != 0) {
        return JOIN_ADDR_TAKEN;
    }
    if (there != NULL && there->holder != 0 && there->holder != x->id) {
        *other = there->holder;
        return JOIN_SEAT_HELD;
    }
    if (there != NULL && mine != NULL && there != mine) {
        mine->holder = 0;
        there->holder = x->id;
    } else if (mine != NULL && there == NULL) {
        memcpy(mine->peer, to->peer, LIM_ADDR);
    }
    memcpy(x->peer, to->peer, LIM_ADDR);
    memcpy(x->client, to->client, LIM_ADDR);
    memcpy(x->cluster, to->cluster, LIM_ADDR);
    return JOIN_OK;
}

static bool same_addresses(const struct member *a, const struct member *b)
{
    return strcmp(a->peer, b->peer) == 0 && strcmp(a->client, b->client) == 0 &&
           strcmp(a->cluster, b->cluster) == 0;
}

/* Why an unknown directory may not have a seat at its address; JOIN_OK: it
 * may. *other: who is in the way. */
static enum join_result may_join(struct machine *m,
                                 const struct member *node,
                                 uint64_t *other)
{
    const struct seat *seat = seat_at(m, node->peer);

    *other = 0;
    if (!m->base.has_cluster) {
        return JOIN_NO_CLUSTER;
    }
    if (seat == NULL) {
        return JOIN_NO_SEAT;
    }
    if (seat->holder != 0 && !mutant(MACHINE_LIVE_HOLDER)) {
        *other = seat->holder;
        return JOIN_SEAT_HELD;
    }
    *other = address_holder(m, node->peer, 0);
    if (*other != 0 && !mutant(MACHINE_LIVE_HOLDER)) {
        return JOIN_ADDR_TAKEN;
    }
    return m->base.members_n == LIM_NODES ? JOIN_FULL : JOIN_OK;
}

static void apply_join(struct machine *m, const struct entry_view *v)
{
    const struct member *known;
    struct member node;
    struct member *x;
    enum join_result result;
    bool change = true;
    uint64_t id;

    hf_assert(rd_node(v->payload, &node));
    known = machine_member_by_dir(m, node.dir_id);
    if (known != NULL) {
        x = by_id(m, known->id);
        change = !same_addresses(x, &node);
        result = move_member(m, x, &node, &id);
        id = result == JOIN_OK ? x->id : id;
    } else {
        result = may_join(m, &node, &id);
        if (result == JOIN_OK) {
            id = add_member(m, &node, seat_at(m, node.peer));
        }
    }
    tell_join(m, &node, result, id);
    if (result == JOIN_OK && change) {
        tell_member(m, id, false);
    }
}

static void apply_init(struct machine *m, const struct entry_view *v)
{
    struct entry_init_view init;
    uint64_t id;

    hf_assert(rd_init(v->payload, &init));
    if (m->base.has_cluster) {
        tell_join(m, &init.first, JOIN_INITIALIZED, 0);
        return;
    }
    m->base.has_cluster = true;
    memcpy(m->base.cluster_id, init.cluster_id, HF_ID_SIZE);
    m->base.seats_n = init.seats_n;
    memcpy(m->base.seats, init.seats, sizeof init.seats);
    id = add_member(m, &init.first, seat_at(m, init.first.peer));
    tell_join(m, &init.first, JOIN_OK, id);
    tell_member(m, id, false);
}

static void apply_address(struct machine *m, const struct entry_view *v)
{
    struct member to;
    struct member *x;
    uint64_t other;

    hf_assert(rd_id_addresses(v->payload, &to));
    x = by_id(m, to.id);
    sum_step(m, ENTRY_ADDRESS, to.id, x != NULL);
    if (x != NULL && !same_addresses(x, &to) &&
        move_member(m, x, &to, &other) == JOIN_OK) {
        tell_member(m, to.id, false);
    }
}

static void apply_gone(struct machine *m, const struct entry_view *v)
{
    uint64_t id = get_u64(v->payload.p);
    struct member *x = by_id(m, id);
    struct seat *seat = seat_of(m, id);
    size_t after;

    sum_step(m, ENTRY_GONE, id, x != NULL);
    if (x == NULL) {
        return;
    }
    if (mutant(MACHINE_GONE_KEEPS) && x->session != 0) {
        return;
    }
    if (mutant(MACHINE_ID_REUSED)) {
        m->base.next_id = id;
    }
    if (seat != NULL) {
        seat->holder = 0;
    }
    after = (size_t)(m->base.members + m->base.members_n - (x + 1));
    memmove(x, x + 1, after * sizeof *x);
    m->base.members_n--;
    memset(&m->base.members[m->base.members_n], 0, sizeof *x);
    tell_member(m, id, true);
}

const char *join_result_text(enum join_result r)
{
    switch (r) {
        case JOIN_OK:
            return "a member";
        case JOIN_NO_CLUSTER:
            return "there is no cluster yet: kv init makes it";
        case JOIN_NO_SEAT:
            return "the cluster has no seat at this peer address";
        case JOIN_SEAT_HELD:
            return "the seat at this peer address is held by a live member";
        case JOIN_ADDR_TAKEN:
            return "another member has this peer address";
        case JOIN_FULL:
            return "the cluster has as many members as it can have";
        case JOIN_INITIALIZED:
            return "the cluster was initialized before";
    }
    return "unknown";
}

/* ---- entries ---- */

static void apply_record(struct machine *m, const struct entry_view *v)
{
    switch (v->type) {
        case ENTRY_REQUEST:
            apply_request(m, v);
            break;
        case ENTRY_VOID:
            apply_void(m, v);
            break;
        case ENTRY_OPEN:
            apply_open(m, v);
            break;
        case ENTRY_INIT:
            apply_init(m, v);
            break;
        case ENTRY_JOIN:
            apply_join(m, v);
            break;
        case ENTRY_ADDRESS:
            apply_address(m, v);
            break;
        case ENTRY_GONE:
            apply_gone(m, v);
            break;
        case ENTRY_INITIALIZED:
            m->base.initialized |= m->base.has_cluster;
            sum_step(m, ENTRY_INITIALIZED, 0, 0);
            break;
    }
}

/* Time first: what it makes absent is absent to every record. */
static void apply_time(struct machine *m, uint64_t time_ms, uint8_t flags)
{
    uint64_t floor;

    store_advance(m->store, time_ms);
    if ((flags & ENTRY_COLD_START) != 0 && !mutant(ONCE_COLD_IDLE)) {
        floor = store_time(m->store) + m->base.once_idle_ms;
        m->base.once_floor_ms =
            floor < m->base.once_idle_ms ? UINT64_MAX : floor;
    }
    m->expired += store_expire(m->store, LIM_EXPIRE_PER_ENTRY);
    once_expire(m);
}

/* Bring what the next records need into the cache, so that their misses
 * overlap. Looks at bytes only; results do not depend on it. */
static void warm_records(const struct machine *m, struct entry_iter it)
{
    struct bytes keys[WARM_RECORDS];
    struct entry_view v;
    unsigned n = 0;

    for (unsigned i = 0; i < WARM_RECORDS && entry_iter_next(&it, &v); i++) {
        if (v.type == ENTRY_REQUEST && m->key(v.command, &keys[n])) {
            n++;
        }
    }
    for (unsigned stage = 0; stage < 3 && n > 1; stage++) {
        for (unsigned i = 0; i < n; i++) {
            map_warm(store_map(m->store), keys[i], stage);
        }
    }
}

int machine_apply(struct machine *m, uint64_t index, struct bytes entry)
{
    struct entry_iter it;
    struct entry_view v;
    unsigned n = 0;
    int rv;

    hf_assert(!m->applying && index > m->base.index);
    rv = machine_entry_check(entry, NULL);
    if (rv != 0) {
        return rv;
    }
    m->applying = true;
    m->id_taken = false;
    m->base.index = index;
    apply_time(m, entry_time(entry), entry.p[9]);
    sum_step(m, index, store_time(m->store), entry.n);
    hf_assert(entry_iter_begin(&it, entry));
    for (;;) {
        if (m->key != NULL && n++ % WARM_RECORDS == 0) {
            warm_records(m, it);
        }
        if (!entry_iter_next(&it, &v)) {
            break;
        }
        apply_record(m, &v);
        if (mutant(MACHINE_ERROR_ENDS) && m->reply.n > 0 &&
            m->reply.p[0] == '-') {
            break;
        }
    }
    /* One huge reply is not kept room for. */
    if (m->reply.cap > LIM_BATCH) {
        buf_release(&m->reply);
    }
    m->applying = false;
    return 0;
}
