/* The state machine: entries, sessions, members, named requests, streams. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rng.h"
#include "server/store/machine.h"

/* ---- a little command language: "verb key value" ----
 *
 * S k v   store        X k ms v   store with a deadline
 * D k     delete       A k v      append v (shows what ran twice)
 * O       ONCE OPEN    N s n cmd  named command
 * I ms    idle time    C          clear */

static bool word(const char **p, char out[64])
{
    size_t n = 0;

    while (**p != 0 && **p != ' ' && n < 63) {
        out[n++] = *(*p)++;
    }
    while (**p == ' ') {
        (*p)++;
    }
    out[n] = 0;
    return n > 0;
}

static uint64_t number(const char **p)
{
    char w[64];

    word(p, w);
    return strtoull(w, NULL, 10);
}

static void run_text(struct machine *m, const char *p, struct buf *reply);

static void run_named(struct machine *m, const char *p, struct buf *reply)
{
    uint64_t session = number(&p);
    uint64_t n = number(&p);
    struct bytes saved;
    struct buf own = BUF_INIT;

    switch (machine_once_begin(m, session, n, &saved)) {
        case ONCE_RUN:
            run_text(m, p, &own);
            machine_once_end(m, session, n, buf_bytes(&own));
            buf_bytes_append(reply, buf_bytes(&own));
            break;
        case ONCE_REPLAY:
            buf_bytes_append(reply, saved);
            break;
        case ONCE_REPLAY_TOO_LARGE:
            buf_printf(reply, "too large");
            break;
        case ONCE_LOWER:
            buf_printf(reply, "lower");
            break;
        case ONCE_HIGHER:
            buf_printf(reply, "higher");
            break;
        case ONCE_UNKNOWN:
            buf_printf(reply, "unknown");
            break;
    }
    buf_release(&own);
}

static void run_append(struct store *s, const char *k, const char *v)
{
    const struct item *it = store_get(s, bytes_str(k));
    struct buf b = BUF_INIT;

    if (it != NULL) {
        buf_bytes_append(&b, item_value(it));
    }
    buf_bytes_append(&b, bytes_str(v));
    store_put(s, bytes_str(k), buf_bytes(&b),
              it == NULL ? 0 : item_deadline(it));
    buf_release(&b);
}

static void run_text(struct machine *m, const char *p, struct buf *reply)
{
    struct store *s = machine_store(m);
    char verb[64];
    char k[64] = "";
    uint64_t ms;

    word(&p, verb);
    if (verb[0] == 'N') {
        run_named(m, p, reply);
        return;
    }
    if (verb[0] == 'O') {
        buf_printf(reply, "%llu", (unsigned long long)machine_once_open(m));
        return;
    }
    if (verb[0] == 'I') {
        machine_once_set_idle(m, number(&p));
        return;
    }
    word(&p, k);
    if (verb[0] == 'S') {
        store_put(s, bytes_str(k), bytes_str(p), 0);
    } else if (verb[0] == 'X') {
        ms = number(&p);
        store_put(s, bytes_str(k), bytes_str(p), ms);
    } else if (verb[0] == 'D') {
        store_delete(s, bytes_str(k));
    } else if (verb[0] == 'A') {
        run_append(s, k, p);
    } else if (verb[0] == 'C') {
        store_clear(s);
    } else if (verb[0] == 'B') { /* a big reply */
        for (int i = 0; i < 70000; i++) {
            buf_u8(reply, 'b');
        }
        return;
    }
    buf_printf(reply, "ok %s", k);
}

static void run(void *ctx,
                struct machine *m,
                struct bytes command,
                struct buf *reply)
{
    char text[512];
    struct buf own = BUF_INIT;
    size_t n = command.n < 511 ? command.n : 511;

    (void)ctx;
    if (n > 0) {
        memcpy(text, command.p, n);
    }
    text[n] = 0;
    run_text(m, text, reply == NULL ? &own : reply);
    buf_release(&own);
}

/* ---- fixture: one member with an open session ---- */

struct fixture {
    struct machine *m;
    uint64_t index;
    uint64_t time;
    uint64_t session;
    uint64_t number;
    /* What the observer was told last. */
    enum request_outcome outcome;
    char reply[70100];
    uint64_t opened;
    enum join_result joined;
    uint64_t join_id;
    bool mute; /* wants no reply */
};

static bool wants(void *ctx, uint64_t session, uint64_t n)
{
    (void)session;
    (void)n;
    return !((struct fixture *)ctx)->mute;
}

static void on_request(void *ctx,
                       uint64_t session,
                       uint64_t n,
                       enum request_outcome outcome,
                       struct bytes reply)
{
    struct fixture *f = ctx;

    (void)session;
    (void)n;
    f->outcome = outcome;
    assert_true(reply.n < sizeof f->reply);
    if (reply.n > 0) {
        memcpy(f->reply, reply.p, reply.n);
    }
    f->reply[reply.n] = 0;
}

static void on_open(void *ctx,
                    uint64_t id,
                    const uint8_t nonce[HF_ID_SIZE],
                    uint64_t session)
{
    struct fixture *f = ctx;

    assert_int_equal(nonce[0], (uint8_t)(0xA0 + id));
    f->opened = session;
}

static void on_join(void *ctx,
                    const uint8_t dir_id[HF_ID_SIZE],
                    enum join_result result,
                    uint64_t id)
{
    struct fixture *f = ctx;

    assert_int_equal(dir_id[1], 0xD1);
    f->joined = result;
    f->join_id = id;
}

static void hook(struct fixture *f)
{
    struct machine_observer o = {.ctx = f,
                                 .wants_reply = wants,
                                 .on_request = on_request,
                                 .on_open = on_open,
                                 .on_join = on_join};

    machine_set_run(f->m, run, NULL);
    machine_set_observer(f->m, &o);
}

static struct entry_node node_of(uint8_t dir, const char *peer)
{
    struct entry_node n = {{dir, 0xD1}, peer, "c:1", "k:1"};

    return n;
}

static void apply(struct fixture *f, struct buf *b)
{
    assert_int_equal(machine_apply(f->m, ++f->index, buf_bytes(b)), 0);
    buf_release(b);
}

static struct buf entry_at(uint64_t time)
{
    struct buf b = BUF_INIT;

    entry_begin(&b, time, 0);
    return b;
}

static void tick(struct fixture *f, uint64_t time)
{
    struct buf b = entry_at(time);

    f->time = time;
    apply(f, &b);
}

static void request(struct fixture *f,
                    uint64_t session,
                    uint64_t n,
                    const char *cmd)
{
    struct buf b = entry_at(f->time);

    entry_request(&b, session, n, bytes_str(cmd));
    apply(f, &b);
}

/* The next request of the fixture's session; its reply. */
static const char *cmd(struct fixture *f, const char *text)
{
    request(f, f->session, ++f->number, text);
    assert_int_equal(f->outcome, REQUEST_APPLIED);
    return f->reply;
}

static uint64_t open_session(struct fixture *f, uint64_t id)
{
    uint8_t nonce[HF_ID_SIZE] = {(uint8_t)(0xA0 + id), (uint8_t)f->index};
    struct buf b = entry_at(f->time);

    entry_open(&b, id, nonce);
    apply(f, &b);
    return f->opened;
}

static void join(struct fixture *f, uint8_t dir, const char *peer)
{
    struct entry_node n = node_of(dir, peer);
    struct buf b = entry_at(f->time);

    entry_join(&b, &n);
    apply(f, &b);
}

static void gone(struct fixture *f, uint64_t id)
{
    struct buf b = entry_at(f->time);

    entry_gone(&b, id);
    apply(f, &b);
}

static const char *value(struct fixture *f, const char *key)
{
    static char out[256];
    const struct item *it = store_get(machine_store(f->m), bytes_str(key));

    if (it == NULL) {
        return "absent";
    }
    memcpy(out, item_value(it).p, item_value(it).n);
    out[item_value(it).n] = 0;
    return out;
}

static struct fixture *fixture_new(void)
{
    static const char *const seats[] = {"a:1", "b:1", "c:1"};
    static const uint8_t id[HF_ID_SIZE] = {0xC1};
    struct fixture *f = hf_calloc(1, sizeof *f);
    struct entry_node first = node_of(1, "a:1");
    struct buf b;

    f->m = machine_new();
    f->time = 1000;
    f->index = 100;
    hook(f);
    b = entry_at(f->time);
    entry_init(&b, id, seats, 3, &first);
    apply(f, &b);
    f->session = open_session(f, 1);
    return f;
}

static int setup(void **state)
{
    *state = fixture_new();
    return 0;
}

static void fixture_free(struct fixture *f)
{
    map_check(store_map(machine_store(f->m)));
    while (!machine_free_sliced(f->m, 7)) {
    }
    free(f);
}

static int teardown(void **state)
{
    fixture_free(*state);
    return 0;
}

static struct buf stream_of(struct machine *m);
static struct machine *load_of(struct bytes s, size_t step, int *rv);

/* ---- node sessions ---- */

/* Numbers are applied once each, in order; a resent one does nothing. */
static void numbers_once(void **state)
{
    struct fixture *f = *state;

    request(f, f->session, 1, "A k x");
    assert_int_equal(f->outcome, REQUEST_APPLIED);
    assert_string_equal(f->reply, "ok k");
    request(f, f->session, 1, "A k x");
    assert_int_equal(f->outcome, REQUEST_DUPLICATE);
    assert_string_equal(f->reply, "");
    request(f, f->session, 2, "A k y");
    request(f, f->session, 1, "A k x");
    assert_string_equal(value(f, "k"), "xy");
    assert_int_equal(machine_session_of_node(f->m, 1, &f->number), f->session);
    assert_int_equal(f->number, 2);
}

/* A number beyond the next is ignored on every node alike. */
static void numbers_have_no_gaps(void **state)
{
    struct fixture *f = *state;

    request(f, f->session, 2, "A k x");
    assert_int_equal(f->outcome, REQUEST_GAP);
    assert_string_equal(value(f, "k"), "absent");
    request(f, f->session, 1, "A k y");
    assert_string_equal(value(f, "k"), "y");
}

/* Whichever of a request and its void comes first takes the number. */
static void void_takes_the_number(void **state)
{
    struct fixture *f = *state;
    struct buf b = entry_at(f->time);

    entry_void(&b, f->session, 1);
    apply(f, &b);
    assert_int_equal(f->outcome, REQUEST_VOIDED);
    request(f, f->session, 1, "A k x");
    assert_int_equal(f->outcome, REQUEST_DUPLICATE);
    assert_string_equal(value(f, "k"), "absent");
    request(f, f->session, 2, "A k y");
    assert_string_equal(value(f, "k"), "y");
    b = entry_at(f->time);
    entry_void(&b, f->session, 2);
    apply(f, &b);
    assert_int_equal(f->outcome, REQUEST_DUPLICATE);
}

/* Opening closes the node's earlier session and begins at number 1. */
static void open_closes_the_earlier(void **state)
{
    struct fixture *f = *state;
    uint64_t old = f->session;
    uint64_t fresh;

    request(f, old, 1, "A k x");
    fresh = open_session(f, 1);
    assert_int_equal(fresh, f->index);
    request(f, old, 2, "A k old");
    assert_int_equal(f->outcome, REQUEST_NO_SESSION);
    request(f, fresh, 1, "A k y");
    assert_int_equal(f->outcome, REQUEST_APPLIED);
    assert_string_equal(value(f, "k"), "xy");
    request(f, 0, 1, "A k z");
    assert_int_equal(f->outcome, REQUEST_NO_SESSION);
}

/* An OPEN that was sent twice keeps the session that it opened, through a
 * stream too, and takes nothing from another in the same entry. */
static void open_sent_twice(void **state)
{
    struct fixture *f = *state;
    uint8_t nonce[HF_ID_SIZE] = {0xA1, 0x77};
    uint64_t session = 0;
    struct buf s;
    int rv;

    for (int i = 0; i < 3; i++) {
        struct buf b = entry_at(f->time);

        entry_open(&b, 1, nonce);
        apply(f, &b);
        session = i == 0 ? f->opened : session;
        assert_int_equal(f->opened, session);
        request(f, session, (uint64_t)i + 1, "A k x");
        assert_int_equal(f->outcome, REQUEST_APPLIED);
        s = stream_of(f->m);
        machine_free(f->m);
        f->m = load_of(buf_bytes(&s), 1000, &rv);
        hook(f);
        buf_release(&s);
    }
    assert_string_equal(value(f, "k"), "xxx");
}

/* One entry opens one session; a stranger gets none. */
static void one_open_an_entry(void **state)
{
    struct fixture *f = *state;
    uint8_t n1[HF_ID_SIZE] = {0xA1, 0x55};
    uint8_t n2[HF_ID_SIZE] = {0xA2, 0x55};
    struct buf b;

    join(f, 2, "b:1");
    assert_int_equal(f->join_id, 2);
    b = entry_at(f->time);
    entry_open(&b, 1, n1);
    entry_open(&b, 2, n2);
    apply(f, &b);
    assert_int_equal(f->opened, 0);
    assert_int_equal(machine_session_of_node(f->m, 2, NULL), 0);
    assert_int_equal(machine_session_of_node(f->m, 1, NULL), f->index);
    assert_int_equal(open_session(f, 9), 0);
    b = entry_at(f->time);
    entry_request(&b, machine_session_of_node(f->m, 1, NULL), 1,
                  bytes_str("O"));
    entry_open(&b, 2, n2);
    apply(f, &b);
    assert_int_equal(f->opened, 0);
}

/* Several requests of one entry are applied in its order, each by itself. */
static void a_batch(void **state)
{
    struct fixture *f = *state;
    struct buf b = entry_at(f->time);

    for (uint64_t i = 1; i <= 5; i++) {
        char c[8] = {'A', ' ', 'k', ' ', (char)('0' + (int)i), 0};

        entry_request(&b, f->session, i, bytes_str(c));
    }
    apply(f, &b);
    assert_string_equal(value(f, "k"), "12345");
    assert_int_equal(store_revision(machine_store(f->m)), 5);
}

/* ---- time ---- */

/* The stamp of an entry never takes time back. */
static void time_never_back(void **state)
{
    struct fixture *f = *state;

    tick(f, 5000);
    tick(f, 4000);
    assert_int_equal(machine_time(f->m), 5000);
}

/* An entry's time counts for its own requests; expiry is at the millisecond. */
static void expiry_by_entry_time(void **state)
{
    struct fixture *f = *state;

    cmd(f, "X k 2000 v");
    assert_int_equal(machine_next_deadline(f->m, 0), 2000);
    tick(f, 1999);
    assert_string_equal(value(f, "k"), "v");
    f->time = 2000;
    cmd(f, "A k new");
    assert_string_equal(value(f, "k"), "new");
    assert_int_equal(machine_next_deadline(f->m, 0), 0);
}

/* One entry removes a bounded number of keys; the next go on. */
static void expiry_bounded(void **state)
{
    struct fixture *f = *state;
    char text[40];

    for (int i = 0; i < LIM_EXPIRE_PER_ENTRY + 10; i++) {
        snprintf(text, sizeof text, "X k%d 2000 v", i);
        cmd(f, text);
    }
    tick(f, 2000);
    assert_true(machine_expiry_waiting(f->m));
    assert_int_equal(store_expired_waiting(machine_store(f->m)), 10);
    assert_int_equal(store_count(machine_store(f->m)), 0);
    tick(f, 2000);
    assert_false(machine_expiry_waiting(f->m));
}

/* ---- members ---- */

/* The same directory keeps its id; another has to find the seat vacant. */
static void joining(void **state)
{
    struct fixture *f = *state;

    join(f, 2, "b:1");
    assert_int_equal(f->joined, JOIN_OK);
    assert_int_equal(f->join_id, 2);
    join(f, 2, "b:1");
    assert_int_equal(f->joined, JOIN_OK);
    assert_int_equal(f->join_id, 2);
    join(f, 3, "b:1");
    assert_int_equal(f->joined, JOIN_SEAT_HELD);
    assert_int_equal(f->join_id, 2);
    join(f, 3, "x:1");
    assert_int_equal(f->joined, JOIN_NO_SEAT);
    assert_int_equal(machine_members(f->m), 2);
}

/* A removed member's seat is free, its session closed, its id never used
 * again, though its address is. */
static void removal(void **state)
{
    struct fixture *f = *state;
    uint64_t session;

    join(f, 2, "b:1");
    session = open_session(f, 2);
    gone(f, 2);
    assert_null(machine_member(f->m, 2));
    request(f, session, 1, "A k x");
    assert_int_equal(f->outcome, REQUEST_NO_SESSION);
    join(f, 3, "b:1");
    assert_int_equal(f->joined, JOIN_OK);
    assert_int_equal(f->join_id, 3);
    gone(f, 77);
    assert_int_equal(machine_members(f->m), 2);
}

/* A member that moves takes its seat along, but not to a held one. */
static void moving(void **state)
{
    struct fixture *f = *state;
    struct buf b;

    join(f, 2, "b:1");
    join(f, 2, "n:1");
    assert_int_equal(f->join_id, 2);
    assert_string_equal(machine_member(f->m, 2)->peer, "n:1");
    assert_string_equal(machine_seat_at(f->m, 1)->peer, "n:1");
    join(f, 2, "a:1");
    assert_int_equal(f->joined, JOIN_ADDR_TAKEN);
    assert_int_equal(f->join_id, 1);
    b = entry_at(f->time);
    entry_address(&b, 2, "c:1", "q:1", "");
    apply(f, &b);
    assert_string_equal(machine_member(f->m, 2)->client, "q:1");
    assert_int_equal(machine_seat_at(f->m, 2)->holder, 2);
    assert_int_equal(machine_seat_at(f->m, 1)->holder, 0);
}

/* INIT happens once; INITIALIZED is remembered; before INIT nobody joins. */
static void init_once(void **state)
{
    static const char *const seats[] = {"z:1"};
    static const uint8_t id[HF_ID_SIZE] = {0xEE};
    struct fixture *f = *state;
    struct fixture blank = {0};
    struct entry_node first = node_of(9, "z:1");
    struct buf b = entry_at(f->time);

    entry_init(&b, id, seats, 1, &first);
    apply(f, &b);
    assert_int_equal(f->joined, JOIN_INITIALIZED);
    assert_int_equal(machine_cluster_id(f->m)[0], 0xC1);
    assert_int_equal(machine_seats(f->m), 3);
    assert_false(machine_initialized(f->m));
    b = entry_at(f->time);
    entry_initialized(&b);
    apply(f, &b);
    assert_true(machine_initialized(f->m));
    blank.m = machine_new();
    hook(&blank);
    join(&blank, 1, "a:1");
    assert_int_equal(blank.joined, JOIN_NO_CLUSTER);
    machine_free(blank.m);
}

/* ---- named requests ---- */

static uint64_t once_open(struct fixture *f)
{
    return strtoull(cmd(f, "O"), NULL, 10);
}

static const char *once(struct fixture *f,
                        uint64_t s,
                        uint64_t n,
                        const char *c)
{
    char text[200];

    snprintf(text, sizeof text, "N %llu %llu %s", (unsigned long long)s,
             (unsigned long long)n, c);
    return cmd(f, text);
}

/* A named request runs once; asked again it gives the saved reply. */
static void named_once(void **state)
{
    struct fixture *f = *state;
    uint64_t s = once_open(f);

    assert_int_equal(s, f->index);
    assert_string_equal(once(f, s, 1, "A k x"), "ok k");
    assert_string_equal(once(f, s, 1, "A k x"), "ok k");
    assert_string_equal(once(f, s, 2, "A j x"), "ok j");
    assert_string_equal(once(f, s, 1, "A k x"), "lower");
    assert_string_equal(once(f, s, 4, "A k x"), "higher");
    assert_string_equal(once(f, s, 0, "A k x"), "lower");
    assert_string_equal(once(f, s + 1, 1, "A k x"), "unknown");
    assert_string_equal(value(f, "k"), "x");
}

/* A session that nobody used for its idle time is gone, not before. */
static void named_idle(void **state)
{
    struct fixture *f = *state;
    uint64_t s;

    cmd(f, "I 500");
    s = once_open(f);
    f->time = 1499;
    assert_string_equal(once(f, s, 1, "A k x"), "ok k");
    f->time = 1998;
    assert_string_equal(once(f, s, 1, "A k x"), "ok k");
    f->time = 2498;
    assert_string_equal(once(f, s, 2, "A k x"), "unknown");
    assert_int_equal(machine_once_count(f->m), 0);
}

/* A cold start gives every session a whole idle time. */
static void named_cold_start(void **state)
{
    struct fixture *f = *state;
    struct buf b = BUF_INIT;
    uint64_t s;

    cmd(f, "I 500");
    s = once_open(f);
    entry_begin(&b, 90000, ENTRY_COLD_START);
    apply(f, &b);
    f->time = 90499;
    assert_string_equal(once(f, s, 1, "A k x"), "ok k");
    f->time = 90999;
    assert_string_equal(once(f, s, 2, "A k x"), "unknown");
}

/* A reply too large to save is said to be that. */
static void named_too_large(void **state)
{
    struct fixture *f = *state;
    uint64_t s = once_open(f);

    assert_int_equal(strlen(once(f, s, 1, "B k")), 70000);
    assert_string_equal(once(f, s, 1, "B k"), "too large");
    assert_string_equal(once(f, s, 2, "A k x"), "ok k");
}

/* ---- streams ---- */

static struct buf stream_of(struct machine *m)
{
    struct buf out = BUF_INIT;
    struct machine_frozen *f = machine_freeze(m);

    while (machine_snapshot_next(f, &out)) {
    }
    machine_freeze_release(m, f);
    while (machine_free_step(m, 100)) {
    }
    return out;
}

/* The machine of a stream fed in pieces of @step bytes, or NULL. */
static struct machine *load_of(struct bytes s, size_t step, int *rv)
{
    struct machine_load *l = machine_load_begin();
    struct machine *m = NULL;

    *rv = 0;
    for (size_t at = 0; at < s.n && *rv == 0; at += step) {
        size_t n = s.n - at < step ? s.n - at : step;

        *rv = machine_load_feed(l, bytes_of(s.p + at, n), NULL);
    }
    if (*rv == 0) {
        *rv = machine_load_finish(l, &m, NULL);
    }
    if (*rv != 0) {
        machine_load_abort(l);
    }
    return m;
}

/* Some of everything that a machine can hold. */
static void fill(struct fixture *f)
{
    uint64_t s;

    join(f, 2, "b:1");
    open_session(f, 2);
    cmd(f, "S alpha one");
    cmd(f, "X beta 99000 two");
    cmd(f, "X gamma 1500 three");
    cmd(f, "A alpha more");
    s = once_open(f);
    once(f, s, 1, "A k x");
    s = once_open(f);
    once(f, s, 1, "B k");
    once_open(f);
    machine_once_set_owner(f->m, 7);
    s = once_open(f);
    once(f, s, 1, "A k x");
    machine_once_set_owner(f->m, 0);
    f->time = 1600;
    cmd(f, "D none");
}

/* A stream gives the same state back, however it is cut into pieces; and the
 * two go on alike. */
static void stream_round_trip(void **state)
{
    static const size_t steps[] = {1, 3, 64, 1000, 1 << 20};
    struct fixture *f = *state;
    struct buf s;
    int rv;

    fill(f);
    s = stream_of(f->m);
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        struct fixture copy = *f;

        copy.m = load_of(buf_bytes(&s), steps[i], &rv);
        assert_int_equal(rv, 0);
        assert_true(machine_digest(copy.m) == machine_digest(f->m));
        assert_true(machine_sum(copy.m) == machine_sum(f->m));
        hook(&copy);
        request(&copy, copy.session, copy.number, "A alpha twice");
        assert_int_equal(copy.outcome, REQUEST_DUPLICATE);
        cmd(&copy, "A alpha end");
        assert_string_equal(value(&copy, "alpha"), "onemoreend");
        copy.time = 99000;
        cmd(&copy, "A beta new");
        assert_string_equal(value(&copy, "beta"), "new");
        map_check(store_map(machine_store(copy.m)));
        machine_free(copy.m);
    }
    buf_release(&s);
}

/* Whichever byte of a stream changes, it is refused. */
static void stream_any_flipped_byte(void **state)
{
    struct fixture *f = *state;
    struct buf s;
    int rv;

    fill(f);
    s = stream_of(f->m);
    for (size_t i = 0; i < s.n; i++) {
        s.p[i] ^= (uint8_t)(1 + i % 255);
        assert_null(load_of(buf_bytes(&s), 4096, &rv));
        assert_true(rv == HF_ECORRUPT || rv == HF_EVERSION);
        s.p[i] ^= (uint8_t)(1 + i % 255);
    }
    buf_release(&s);
}

/* Wherever a stream is cut, and whatever follows its end, it is refused. */
static void stream_any_length(void **state)
{
    struct fixture *f = *state;
    struct buf s;
    int rv;

    fill(f);
    s = stream_of(f->m);
    for (size_t i = 0; i < s.n; i++) {
        assert_null(load_of(bytes_of(s.p, i), 4096, &rv));
        assert_int_equal(rv, HF_ECORRUPT);
    }
    buf_u8(&s, 0);
    assert_null(load_of(buf_bytes(&s), 4096, &rv));
    assert_int_equal(rv, HF_ECORRUPT);
    buf_release(&s);
}

/* A frozen handle streams the state of its moment while the machine goes on,
 * interleaved at every point. */
static void frozen_while_changing(void **state)
{
    struct fixture *f = *state;
    struct machine_frozen *z;
    struct machine *m;
    struct buf s = BUF_INIT;
    uint64_t digest;
    char text[300];
    int rv;

    for (int i = 0; i < 5000; i++) {
        snprintf(text, sizeof text, "S k%d %0200d", (i * 7919) % 5000, i);
        cmd(f, text);
    }
    once_open(f);
    digest = machine_digest(f->m);
    z = machine_freeze(f->m);
    for (int i = 0;; i++) {
        snprintf(text, sizeof text, "A k%d x", (i * 31) % 5000);
        cmd(f, text);
        snprintf(text, sizeof text, "D k%d", (i * 17) % 5000);
        cmd(f, text);
        if (i % 500 == 0 && !machine_snapshot_next(z, &s)) {
            break;
        }
        machine_free_step(f->m, 1);
    }
    machine_freeze_release(f->m, z);
    m = load_of(buf_bytes(&s), 65536, &rv);
    assert_int_equal(rv, 0);
    assert_true(machine_digest(m) == digest);
    assert_true(machine_digest(f->m) != digest);
    while (machine_free_step(f->m, 100)) {
    }
    assert_int_equal(machine_bytes_held(f->m), 0);
    machine_free(m);
    buf_release(&s);
}

struct worker {
    struct machine_frozen *z;
    struct buf out;
    int done;
};

static void *work(void *arg)
{
    struct worker *w = arg;

    while (machine_snapshot_next(w->z, &w->out)) {
    }
    __atomic_store_n(&w->done, 1, __ATOMIC_RELEASE);
    return NULL;
}

/* One thread streams a handle while the loop thread changes the machine:
 * free of races (build with -fsanitize=thread), and exact. */
static void frozen_on_a_worker(void **state)
{
    struct fixture *f = *state;
    struct worker w = {NULL, BUF_INIT, 0};
    struct machine *m;
    pthread_t thread;
    uint64_t digest;
    char text[64];
    int rv;

    for (int i = 0; i < 20000; i++) {
        snprintf(text, sizeof text, "X k%d %d v", (i * 7919) % 20000,
                 i % 2 == 0 ? 0 : 5000 + i);
        cmd(f, text);
    }
    digest = machine_digest(f->m);
    w.z = machine_freeze(f->m);
    assert_int_equal(pthread_create(&thread, NULL, work, &w), 0);
    for (int i = 0; i < 3000 || !__atomic_load_n(&w.done, __ATOMIC_ACQUIRE);
         i++) {
        snprintf(text, sizeof text, "%c k%d x",
                 "ADSC"[i % 1000 == 999 ? 3 : i % 3], (i * 31) % 20000);
        cmd(f, text);
        machine_free_step(f->m, 10);
    }
    pthread_join(thread, NULL);
    machine_freeze_release(f->m, w.z);
    m = load_of(buf_bytes(&w.out), 65536, &rv);
    assert_int_equal(rv, 0);
    assert_true(machine_digest(m) == digest);
    machine_free(m);
    buf_release(&w.out);
}

/* ---- entries ---- */

/* An entry with every kind of record. */
static struct buf rich_entry(uint64_t session)
{
    static const char *const seats[] = {"a:1", "b:1"};
    static const uint8_t id[HF_ID_SIZE] = {0xA1, 0xD1};
    struct entry_node n = node_of(7, "b:1");
    struct buf b = entry_at(2000);

    entry_request(&b, session, 1, bytes_str("A k x"));
    entry_void(&b, session, 2);
    entry_open(&b, 1, id);
    entry_init(&b, id, seats, 2, &n);
    entry_join(&b, &n);
    entry_address(&b, 1, "a:9", "", "");
    entry_gone(&b, 5);
    entry_initialized(&b);
    return b;
}

/* Whichever byte of an entry changes, or wherever it is cut: an error that
 * changes nothing, or an entry that every node applies alike. */
static void entry_any_damage(void **state)
{
    struct fixture *f = *state;
    struct buf e = rich_entry(f->session);

    (void)state;
    for (size_t i = 0; i < 2 * e.n; i++) {
        struct fixture *x = fixture_new();
        struct fixture *y = fixture_new();
        uint64_t before = machine_digest(x->m);
        size_t n = i < e.n ? e.n : i - e.n;
        uint8_t *copy = hf_malloc(n + 1);
        int rv;

        /* A hook that asserts its fixture's ids is not for damaged bytes. */
        machine_set_observer(x->m, NULL);
        machine_set_observer(y->m, NULL);
        memcpy(copy, e.p, n);
        if (i < e.n) {
            copy[i] ^= (uint8_t)(1 + (i * 37) % 255);
        }
        rv = machine_apply(x->m, 900, bytes_of(copy, n));
        assert_int_equal(machine_apply(y->m, 900, bytes_of(copy, n)), rv);
        assert_true(machine_digest(x->m) == machine_digest(y->m));
        if (rv != 0) {
            assert_true(machine_digest(x->m) == before);
        }
        fixture_free(x);
        fixture_free(y);
        free(copy);
    }
    buf_release(&e);
}

/* The records of an entry can be walked before it is applied. */
static void entry_walk(void **state)
{
    struct fixture *f = *state;
    struct buf e = rich_entry(f->session);
    struct entry_iter it;
    struct entry_view v;
    unsigned n = 0;

    assert_int_equal(machine_entry_check(buf_bytes(&e), NULL), 0);
    assert_int_equal(entry_time(buf_bytes(&e)), 2000);
    assert_true(entry_iter_begin(&it, buf_bytes(&e)));
    while (entry_iter_next(&it, &v)) {
        n++;
        assert_int_equal(v.type, n);
        if (n == 1) {
            assert_int_equal(v.session, f->session);
            assert_int_equal(v.number, 1);
            assert_true(bytes_eq(v.command, bytes_str("A k x")));
        }
    }
    assert_int_equal(n, 8);
    buf_release(&e);
}

/* ---- determinism ---- */

static void random_entry(struct fixture *f, struct rng *r, struct buf *b)
{
    char text[64];
    unsigned k = (unsigned)rng_below(r, 50);

    *b = entry_at(f->time += rng_below(r, 30));
    for (uint64_t n = rng_below(r, 4); n > 0; n--) {
        switch (rng_below(r, 8)) {
            case 0:
                snprintf(text, sizeof text, "D k%u", k);
                break;
            case 1:
                snprintf(text, sizeof text, "X k%u %llu v", k,
                         (unsigned long long)(f->time + rng_below(r, 200)));
                break;
            case 2:
                snprintf(text, sizeof text, "O");
                break;
            case 3:
                snprintf(text, sizeof text, "N %llu %llu A k%u x",
                         (unsigned long long)(f->index - rng_below(r, 9)),
                         (unsigned long long)rng_below(r, 3), k);
                break;
            default:
                snprintf(text, sizeof text, "A k%u %c", k,
                         (char)('a' + (int)rng_below(r, 26)));
                break;
        }
        f->number += rng_below(r, 10) != 0;
        entry_request(b, f->session, f->number, bytes_str(text));
    }
}

/* The same entries give the same state: with replies or without, with frozen
 * handles or without, from the beginning or from a stream. */
static void same_entries_same_state(void **state)
{
    struct fixture *f = *state;
    struct fixture *mute = fixture_new();
    struct machine_frozen *z = NULL;
    struct rng r = {99};

    mute->mute = true;
    for (unsigned i = 0; i < 3000; i++) {
        struct buf b;

        random_entry(f, &r, &b);
        assert_int_equal(machine_apply(mute->m, ++mute->index, buf_bytes(&b)),
                         0);
        apply(f, &b);
        assert_true(machine_sum(f->m) == machine_sum(mute->m));
        if (i % 40 == 0) {
            z = machine_freeze(mute->m);
        } else if (i % 40 == 20) {
            machine_freeze_release(mute->m, z);
        }
        machine_free_step(mute->m, 3);
        if (i % 100 == 0) {
            assert_true(machine_digest(f->m) == machine_digest(mute->m));
        }
        if (i % 700 == 650) {
            struct buf s = stream_of(f->m);
            int rv;

            machine_free(f->m);
            f->m = load_of(buf_bytes(&s), 777, &rv);
            assert_int_equal(rv, 0);
            hook(f);
            buf_release(&s);
        }
    }
    assert_true(machine_digest(f->m) == machine_digest(mute->m));
    fixture_free(mute);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(numbers_once),
        T(numbers_have_no_gaps),
        T(void_takes_the_number),
        T(open_closes_the_earlier),
        T(open_sent_twice),
        T(one_open_an_entry),
        T(a_batch),
        T(time_never_back),
        T(expiry_by_entry_time),
        T(expiry_bounded),
        T(joining),
        T(removal),
        T(moving),
        T(init_once),
        T(named_once),
        T(named_idle),
        T(named_cold_start),
        T(named_too_large),
        T(stream_round_trip),
        T(stream_any_flipped_byte),
        T(stream_any_length),
        T(frozen_while_changing),
        T(frozen_on_a_worker),
        T(entry_any_damage),
        T(entry_walk),
        T(same_entries_same_state),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
