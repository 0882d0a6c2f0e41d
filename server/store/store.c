/* The key space: the map, read at the applied time, changed by revisions. */
#include <stdlib.h>

#include "base/assert.h"
#include "base/crc32c.h"
#include "base/mutant.h"
#include "server/store/store.h"

/* When revisions were given out: one of each so many milliseconds. When there
 * is no more room every other one goes, and they come half as often. */
enum { AGES_MAX = 1024, AGES_STEP_MS = 1000 };

struct ages {
    unsigned n;
    uint64_t step_ms;
    struct {
        uint64_t revision; /* the latest at that time */
        uint64_t time_ms;
    } at[AGES_MAX];
};

struct store {
    struct map *map;
    struct history *history;
    uint64_t time_ms;
    uint64_t revision;
    uint64_t sum;
    uint64_t request_rev; /* of the running request; 0: none taken yet */
    bool in_request;
    store_event_fn on_event;
    void *on_event_ctx;
    struct ages ages;
};

struct store *store_new(void)
{
    struct store *s = hf_calloc(1, sizeof *s);

    s->map = map_new();
    s->history = history_new();
    return s;
}

bool store_free_sliced(struct store *s, size_t budget)
{
    if (s->history != NULL) {
        if (history_free_sliced(s->history, budget)) {
            s->history = NULL;
        }
        return false;
    }
    if (!map_free_sliced(s->map, budget)) {
        return false;
    }
    free(s);
    return true;
}

void store_free(struct store *s)
{
    if (s != NULL) {
        while (!store_free_sliced(s, SIZE_MAX)) {
        }
    }
}

void store_on_event(struct store *s, store_event_fn fn, void *ctx)
{
    s->on_event = fn;
    s->on_event_ctx = ctx;
}

/* ---- reading ---- */

/* The rule of expiry, in its one place. */
static bool present(const struct store *s, const struct item *it)
{
    uint64_t d = item_deadline(it);

    if (mutant(STORE_NO_EXPIRY)) {
        return true;
    }
    if (mutant(STORE_EXPIRE_LATE)) {
        return d == 0 || d >= s->time_ms;
    }
    return d == 0 || d > s->time_ms;
}

const struct item *store_get(const struct store *s, struct bytes key)
{
    const struct item *it = map_get(s->map, key);

    return it != NULL && present(s, it) ? it : NULL;
}

uint64_t store_revision_of(const struct store *s, struct bytes key)
{
    const struct item *it =
        mutant(WATCH_NO_EXPIRY) ? map_get(s->map, key) : store_get(s, key);

    return it == NULL ? 0 : it->mod_rev;
}

uint64_t store_count(const struct store *s)
{
    return map_count(s->map) - map_due(s->map, s->time_ms);
}

uint64_t store_count_volatile(const struct store *s)
{
    return map_with_deadline(s->map) - map_due(s->map, s->time_ms);
}

uint64_t store_time(const struct store *s)
{
    return s->time_ms;
}

uint64_t store_revision(const struct store *s)
{
    return s->revision;
}

uint64_t store_next_deadline(const struct store *s, uint64_t logged_ms)
{
    return map_deadline_after(s->map,
                              s->time_ms > logged_ms ? s->time_ms : logged_ms);
}

uint64_t store_expired_waiting(const struct store *s)
{
    return map_due(s->map, s->time_ms);
}

uint64_t store_sum(const struct store *s)
{
    return s->sum;
}

size_t store_bytes(const struct store *s)
{
    return map_bytes(s->map);
}

size_t store_bytes_held(const struct store *s)
{
    return map_bytes_held(s->map);
}

const struct item *store_iter_next(struct store_iter *it)
{
    const struct item *x;

    do {
        x = it->reverse ? map_iter_prev(&it->it) : map_iter_next(&it->it);
    } while (x != NULL && !present(it->s, x));
    return x;
}

const struct item *store_iter_seek(const struct store *s,
                                   struct store_iter *it,
                                   const struct bytes *from,
                                   bool reverse)
{
    const struct map_node *root = map_live_node(s->map);
    const struct item *x;

    it->s = s;
    it->reverse = reverse;
    if (from == NULL) {
        x = reverse ? map_iter_last(&it->it, root)
                    : map_iter_first(&it->it, root);
    } else {
        x = reverse ? map_iter_le(&it->it, root, *from)
                    : map_iter_ge(&it->it, root, *from);
    }
    return x == NULL || present(s, x) ? x : store_iter_next(it);
}

struct scan {
    const struct store *s;
    map_scan_fn fn;
    void *ctx;
};

static void scan_one(void *ctx, const struct item *it)
{
    struct scan *scan = ctx;

    if (present(scan->s, it)) {
        scan->fn(scan->ctx, it);
    }
}

uint64_t store_scan(const struct store *s,
                    uint64_t cursor,
                    uint64_t want,
                    map_scan_fn fn,
                    void *ctx)
{
    struct scan scan = {s, fn, ctx};

    return map_scan(s->map, cursor, want, scan_one, &scan);
}

/* ---- how old values are ---- */

/* The newest place is for the newest revision; it moves on when that is a step
 * after the place before it. */
static void ages_add(struct ages *a, uint64_t revision, uint64_t time_ms)
{
    if (a->step_ms == 0) {
        a->step_ms = AGES_STEP_MS;
    }
    if (a->n == AGES_MAX) {
        for (unsigned i = 0; i < AGES_MAX / 2; i++) {
            a->at[i] = a->at[2 * i + 1];
        }
        a->n = AGES_MAX / 2;
        a->step_ms *= 2;
    }
    if (a->n < 2 || time_ms >= a->at[a->n - 2].time_ms + a->step_ms) {
        a->n++;
    }
    a->at[a->n - 1].revision = revision;
    a->at[a->n - 1].time_ms = time_ms;
}

uint64_t store_idle_ms(const struct store *s,
                       const struct item *it,
                       uint64_t now_ms)
{
    unsigned from = 0, to = s->ages.n;

    /* The first time at which this revision was there. */
    while (from < to) {
        unsigned mid = from + (to - from) / 2;

        if (s->ages.at[mid].revision >= it->mod_rev) {
            to = mid;
        } else {
            from = mid + 1;
        }
    }
    return from == s->ages.n || now_ms < s->ages.at[from].time_ms
               ? 0
               : now_ms - s->ages.at[from].time_ms;
}

/* ---- changing ---- */

void store_begin(struct store *s)
{
    hf_assert(!s->in_request);
    s->in_request = true;
    s->request_rev = 0;
}

uint64_t store_end(struct store *s)
{
    hf_assert(s->in_request);
    s->in_request = false;
    if (s->request_rev != 0) {
        ages_add(&s->ages, s->revision, s->time_ms);
    }
    return s->request_rev;
}

/* The revision of the change that is about to be made. */
static uint64_t take_revision(struct store *s)
{
    hf_assert(s->in_request);
    if (mutant(STORE_REV_STUCK) && s->revision > 0) {
        s->request_rev = s->revision;
    }
    if (s->request_rev == 0 || mutant(STORE_REV_EACH)) {
        s->request_rev = ++s->revision;
    }
    return s->request_rev;
}

static void remember(struct store *s,
                     enum store_event kind,
                     struct bytes key,
                     const struct item *item,
                     uint64_t revision)
{
    struct change c = {
        .id = {revision, 0},
        .kind = (uint8_t)kind,
        .time_ms = s->time_ms,
        .deadline = item == NULL ? 0 : item_deadline(item),
        .key = key,
        .value = kind == STORE_SET ? item_value(item) : bytes_of("", 0),
    };

    history_add(s->history, &c);
}

/* Add the change to the running checksum and to the history; tell of it. */
static void changed(struct store *s,
                    enum store_event kind,
                    struct bytes key,
                    const struct item *item,
                    uint64_t revision)
{
    uint8_t step[40];
    uint64_t what = (uint64_t)kind;

    if (item != NULL) {
        struct bytes v = item_value(item);

        what |= (uint64_t)crc32c(0, v.p, v.n) << 32;
    }
    put_u64(step, s->sum);
    put_u64(step + 8, map_hash(key));
    put_u64(step + 16, revision);
    put_u64(step + 24, what);
    put_u64(step + 32, item == NULL ? 0 : item_deadline(item));
    s->sum = map_hash(bytes_of(step, sizeof step));
    remember(s, kind, key, item, revision);
    if (s->on_event != NULL) {
        s->on_event(s->on_event_ctx, kind, key, item, revision);
    }
}

/* Take @it out. Its key outlives it for the event. */
static void remove_item(struct store *s,
                        const struct item *it,
                        enum store_event kind,
                        uint64_t revision)
{
    struct bytes key = item_key(it);
    struct blob *copy = blob_copy(key.p, key.n);

    hf_assert(map_delete(s->map, key));
    changed(s, kind, blob_bytes(copy), NULL, revision);
    blob_unref(copy);
}

void store_put(struct store *s,
               struct bytes key,
               struct bytes value,
               uint64_t deadline)
{
    uint64_t rev = take_revision(s);
    const struct item *it = map_get(s->map, key);
    uint64_t create_rev = rev;

    if (it != NULL && present(s, it)) {
        create_rev = it->create_rev;
    } else if (it != NULL) {
        /* Expired, not removed yet: first the one key ends, then the other
         * begins. The bytes stay where the caller may have them: map_put()
         * replaces the item. */
        changed(s, STORE_EXPIRE, key, NULL, rev);
    }
    if (mutant(STORE_CREATE_REV_LOST)) {
        create_rev = rev;
    }
    it = map_put_over(s->map, it, key, value, create_rev, rev, deadline);
    changed(s, STORE_SET, item_key(it), it, rev);
}

bool store_delete(struct store *s, struct bytes key)
{
    const struct item *it = store_get(s, key);

    hf_assert(s->in_request);
    if (it == NULL) {
        return false;
    }
    remove_item(s, it, STORE_DELETE, take_revision(s));
    return true;
}

bool store_set_deadline(struct store *s, struct bytes key, uint64_t deadline)
{
    const struct item *it = store_get(s, key);
    uint64_t rev;

    hf_assert(s->in_request);
    if (it == NULL) {
        return false;
    }
    if (item_deadline(it) != deadline) {
        rev = take_revision(s);
        it = map_put(s->map, item_key(it), item_value(it), it->create_rev, rev,
                     deadline);
        changed(s, STORE_DEADLINE, item_key(it), it, rev);
    }
    return true;
}

uint64_t store_clear(struct store *s)
{
    uint64_t n = store_count(s);

    hf_assert(s->in_request);
    if (n > 0) {
        map_clear(s->map);
        changed(s, STORE_CLEAR, bytes_of("", 0), NULL, take_revision(s));
    }
    return n;
}

/* ---- time ---- */

void store_advance(struct store *s, uint64_t time_ms)
{
    hf_assert(!s->in_request);
    if (time_ms > s->time_ms || mutant(MACHINE_TIME_BACK)) {
        s->time_ms = time_ms;
    }
}

uint64_t store_expire(struct store *s, uint64_t max)
{
    uint64_t n = 0;

    hf_assert(!s->in_request);
    while (n < max || mutant(STORE_EXPIRE_ALL)) {
        const struct item *it = map_first_deadline(s->map);

        if (it == NULL || item_deadline(it) > s->time_ms) {
            break;
        }
        s->revision++;
        remove_item(s, it, STORE_EXPIRE, s->revision);
        n++;
    }
    return n;
}

/* ---- snapshots ---- */

struct map *store_map(struct store *s)
{
    return s->map;
}

void store_restore(struct store *s,
                   uint64_t time_ms,
                   uint64_t revision,
                   uint64_t sum)
{
    s->time_ms = time_ms;
    s->revision = revision;
    s->sum = sum;
    if (revision != 0) {
        ages_add(&s->ages, revision, time_ms);
    }
    history_reset(s->history, revision);
}

struct history *store_history(struct store *s)
{
    return s->history;
}
