/* Snapshot transfer between two disks over a wire that loses, spoils and
 * delays messages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/crc32c.h"
#include "base/disk.h"
#include "base/err.h"
#include "base/rng.h"
#include "raftio/snapxfer.h"
#include "server/edge/env_uv.h"
#include "tests/unit/own_time.h"

enum { SIZE = 5 * 1000 * 1000 + 17, CHUNK_KIND = 3, PULL_KIND = 2 };

struct letter {
    struct letter *next;
    struct side *to;
    uint64_t from;
    struct buf b;
};

struct side {
    struct world *w;
    uint64_t id;
    struct disk *disk;
    char dir[64];
    struct snapxfer *x;
    struct side *peer;
    int received, sent, sent_code, dropped;
    uint64_t received_index;
    bool refuse;
    int verify_fails; /* so many times */
};

struct world {
    struct env_uv *u;
    struct env *e;
    struct own_time time;
    struct side a, b; /* a sends, b receives */
    struct letter *head, *tail;
    struct env_task deliver;
    struct env_timer poll;
    bool (*cond)(struct world *w);
    uint64_t until_us;
    struct rng rng;
    uint64_t lose_permille;
    bool cut;  /* nothing arrives */
    int spoil; /* so many chunks */
    int chunks;
    uint32_t want_crc;
    struct bytes inject; /* comes to the receiver before its first chunk */
};

static uint8_t *file_bytes(uint64_t seed, size_t n)
{
    uint8_t *p = malloc(n);
    struct rng r = {seed};

    for (size_t i = 0; i < n; i++) {
        p[i] = (uint8_t)rng_next(&r);
    }
    return p;
}

static void deliver_cb(struct env_task *t)
{
    struct world *w = t->data;
    struct letter *l = w->head;

    w->head = w->tail = NULL;
    while (l != NULL) {
        struct letter *next = l->next;

        if (!w->cut && l->to->x != NULL) {
            snapx_receive(l->to->x, l->from, buf_bytes(&l->b));
        }
        buf_release(&l->b);
        free(l);
        l = next;
    }
}

static struct letter *post(struct world *w,
                           struct side *to,
                           uint64_t from,
                           struct bytes header,
                           struct bytes body)
{
    struct letter *l = calloc(1, sizeof *l);

    l->to = to;
    l->from = from;
    buf_bytes_append(&l->b, header);
    buf_bytes_append(&l->b, body);
    *(w->tail != NULL ? &w->tail->next : &w->head) = l;
    w->tail = l;
    env_defer(w->e, &w->deliver);
    return l;
}

static bool send_cb(void *data,
                    uint64_t to,
                    struct bytes header,
                    struct bytes body)
{
    struct side *s = data;
    struct world *w = s->w;
    struct letter *l;

    if (to != s->peer->id) {
        return true; /* to an earlier leader */
    }
    if (header.p[0] == CHUNK_KIND) {
        w->chunks++;
    }
    if (rng_permille(&w->rng, w->lose_permille)) {
        return true;
    }
    if (header.p[0] == PULL_KIND && w->inject.n > 0) {
        post(w, s, s->peer->id, w->inject, bytes_of(NULL, 0));
        w->inject.n = 0;
    }
    l = post(w, s->peer, s->id, header, body);
    if (header.p[0] == CHUNK_KIND && w->spoil > 0) {
        w->spoil--;
        l->b.p[l->b.n - 1] ^= 1;
    }
    return true;
}

static uint32_t disk_crc(struct disk *d, const char *name)
{
    uint8_t *p = malloc(5 * SIZE);
    struct disk_file *f;
    int64_t n;
    uint32_t crc;

    if (disk_open(d, name, DISK_READ, &f) != 0) {
        free(p);
        return 0;
    }
    n = disk_pread(f, p, 5 * SIZE, 0);
    disk_close(f);
    crc = crc32c(0, p, (size_t)n);
    free(p);
    return crc;
}

static int verify_cb(void *data,
                     struct disk *d,
                     const char *name,
                     uint64_t index,
                     uint64_t term)
{
    struct side *s = data;

    (void)index;
    (void)term;
    if (s->verify_fails > 0) {
        s->verify_fails--;
        return HF_ECORRUPT;
    }
    return disk_crc(d, name) == s->w->want_crc ? 0 : HF_ECORRUPT;
}

static void received_cb(void *data,
                        uint64_t from,
                        const struct snapx_offer *o,
                        const char *name)
{
    struct side *s = data;

    assert_int_equal(from, s->peer->id);
    assert_string_equal(name, "in.tmp");
    assert_memory_equal(o->meta.p, "meta", 4);
    s->received++;
    s->received_index = o->index;
}

static void sent_cb(void *data, uint64_t to, uint64_t index, int code)
{
    struct side *s = data;

    (void)to;
    (void)index;
    s->sent++;
    s->sent_code = code;
}

static bool accept_cb(void *data, uint64_t from, const struct snapx_offer *o)
{
    struct side *s = data;

    (void)from;
    (void)o;
    return !s->refuse;
}

static void dropped_cb(void *data, uint64_t index, uint64_t term)
{
    struct side *s = data;

    (void)index;
    (void)term;
    s->dropped++;
}

static const struct snapx_cbs cbs = {
    .send = send_cb,
    .verify = verify_cb,
    .on_received = received_cb,
    .on_sent = sent_cb,
    .accept = accept_cb,
    .on_dropped = dropped_cb,
};

static void side_open(struct world *w, struct side *s, uint64_t id)
{
    struct snapx_config c = {.env = w->e,
                             .tmp_name = "in.tmp",
                             .part_name = "in.part",
                             .rate = UINT64_C(1) << 33,
                             .cbs = &cbs,
                             .data = s};
    int e;

    s->w = w;
    s->id = id;
    s->peer = s == &w->a ? &w->b : &w->a;
    snprintf(s->dir, sizeof s->dir, "/tmp/snapx-XXXXXX");
    assert_non_null(mkdtemp(s->dir));
    assert_int_equal(disk_posix_new(s->dir, &s->disk, &e), 0);
    w->e->disk = s->disk;
    s->x = snapx_new(&c);
}

static void side_close(struct side *s)
{
    char path[128];

    disk_posix_free(s->disk);
    snprintf(path, sizeof path, "%s/in.tmp", s->dir);
    unlink(path);
    snprintf(path, sizeof path, "%s/in.part", s->dir);
    unlink(path);
    snprintf(path, sizeof path, "%s/snap-1", s->dir);
    unlink(path);
    snprintf(path, sizeof path, "%s/snap-2", s->dir);
    unlink(path);
    rmdir(s->dir);
}

static void poll_cb(struct env_timer *t)
{
    struct world *w = t->data;

    if ((w->cond != NULL && w->cond(w)) || env_now_us(w->e) >= w->until_us) {
        env_uv_stop(w->u);
        return;
    }
    env_timer_start(w->e, t, env_now_us(w->e) + 1000);
}

static bool run_until(struct world *w,
                      bool (*cond)(struct world *w),
                      uint32_t ms)
{
    w->cond = cond;
    w->until_us = env_now_us(w->e) + ms * 1000ULL;
    env_timer_start(w->e, &w->poll, env_now_us(w->e));
    env_uv_run(w->u);
    return cond != NULL && cond(w);
}

static void put_file(struct world *w, const char *name, uint64_t seed)
{
    uint8_t *p = file_bytes(seed, SIZE);
    struct disk_file *f;

    assert_int_equal(
        disk_open(w->a.disk, name, DISK_WRITE | DISK_CREATE | DISK_TRUNC, &f),
        0);
    assert_int_equal(disk_pwrite(f, p, SIZE, 0), 0);
    disk_close(f);
    w->want_crc = crc32c(0, p, SIZE);
    free(p);
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);

    assert_int_equal(env_uv_new(&w->u, NULL), 0);
    w->e = env_uv_env(w->u);
    own_time_init(&w->time, w->e);
    w->rng.s = 1;
    env_task_init(&w->deliver, deliver_cb, w);
    env_timer_init(&w->poll, poll_cb, w);
    side_open(w, &w->a, 1);
    side_open(w, &w->b, 2);
    put_file(w, "snap-1", 7);
    *state = w;
    return 0;
}

static int closed_n;

static void closed_cb(void *data)
{
    (void)data;
    closed_n++;
}

static bool both_closed(struct world *w)
{
    (void)w;
    return closed_n == 2;
}

static int teardown(void **state)
{
    struct world *w = *state;
    struct snapxfer *a = w->a.x;
    struct snapxfer *b = w->b.x;

    w->a.x = w->b.x = NULL;
    closed_n = 0;
    snapx_close(a, closed_cb, NULL);
    snapx_close(b, closed_cb, NULL);
    assert_true(run_until(w, both_closed, 2000));
    deliver_cb(&w->deliver);
    env_undefer(w->e, &w->deliver);
    side_close(&w->a);
    side_close(&w->b);
    env_uv_free(w->u);
    free(w);
    return 0;
}

static int offer(struct world *w, uint64_t index, const char *name)
{
    struct snapx_offer o = {
        .index = index, .term = 3, .size = SIZE, .meta = bytes_str("meta")};

    return snapx_send(w->a.x, 2, &o, name);
}

static bool received(struct world *w)
{
    return w->b.received > 0;
}
static bool received_two(struct world *w)
{
    return w->b.received > 1;
}
static bool sent(struct world *w)
{
    return w->a.sent > 0;
}

static bool half_there(struct world *w)
{
    struct snapx_progress p;

    return snapx_progress(w->b.x, &p, 1) == 1 && p.done_bytes > SIZE / 4;
}

/* The file arrives byte for byte; the sender is told when it is installed. */
static void whole_file(void **state)
{
    struct world *w = *state;
    struct snapx_progress p;

    assert_int_equal(offer(w, 10, "snap-1"), 0);
    assert_int_equal(offer(w, 10, "snap-1"), 0); /* again is harmless */
    assert_false(snapx_sending(w->a.x));
    assert_true(run_until(w, received, 5000));
    assert_true(snapx_sending(w->a.x));
    assert_int_equal(w->b.received_index, 10);
    assert_int_equal(disk_crc(w->b.disk, "in.tmp"), w->want_crc);
    assert_int_equal(w->a.sent, 0);
    snapx_received_done(w->b.x, 0);
    assert_true(run_until(w, sent, 1000));
    assert_int_equal(w->a.sent_code, 0);
    assert_false(snapx_sending(w->a.x));
    assert_int_equal(snapx_progress(w->a.x, &p, 1), 0);
    assert_int_equal(snapx_progress(w->b.x, &p, 1), 0);
    assert_int_equal(w->b.received, 1);
}

/* Lost messages of every kind only cost time. */
static void lossy_wire(void **state)
{
    struct world *w = *state;

    w->lose_permille = 200;
    assert_int_equal(offer(w, 10, "snap-1"), 0);
    assert_true(run_until(w, received, 20000));
    assert_int_equal(disk_crc(w->b.disk, "in.tmp"), w->want_crc);
    snapx_received_done(w->b.x, 0);
    assert_true(run_until(w, sent, 5000)); /* a lost result is said again */
}

/* A spoiled chunk is noticed before it is written and pulled again. */
static void spoiled_chunks(void **state)
{
    struct world *w = *state;

    w->spoil = 3;
    assert_int_equal(offer(w, 10, "snap-1"), 0);
    assert_true(run_until(w, received, 5000));
    assert_int_equal(disk_crc(w->b.disk, "in.tmp"), w->want_crc);
    assert_in_range(w->chunks, SIZE / SNAPX_CHUNK + 1 + 3,
                    SIZE / SNAPX_CHUNK + 1 + 12);
}

/* After a break the transfer goes on where it was, not from the start. */
static void resumes(void **state)
{
    struct world *w = *state;

    assert_int_equal(offer(w, 10, "snap-1"), 0);
    assert_true(run_until(w, half_there, 5000));
    w->cut = true;
    (void)run_until(w, NULL, 200);
    w->cut = false;
    assert_int_equal(w->b.received, 0);
    assert_true(run_until(w, received, 5000));
    assert_in_range(w->chunks, SIZE / SNAPX_CHUNK,
                    SIZE / SNAPX_CHUNK + 1 + 3 * SNAPX_PULLS);
    assert_int_equal(disk_crc(w->b.disk, "in.tmp"), w->want_crc);
}

/* ---- a large one: parts of it are synced ---- */

enum { LARGE = 20 * 1000 * 1000 + 3 };

static void put_large(struct world *w)
{
    uint8_t *p = file_bytes(21, LARGE);
    struct disk_file *f;

    assert_int_equal(disk_open(w->a.disk, "snap-2",
                               DISK_WRITE | DISK_CREATE | DISK_TRUNC, &f),
                     0);
    assert_int_equal(disk_pwrite(f, p, LARGE, 0), 0);
    disk_close(f);
    w->want_crc = crc32c(0, p, LARGE);
    free(p);
}

static void offer_large(struct snapxfer *x, uint32_t digest)
{
    struct snapx_offer o = {.index = 30,
                            .term = 3,
                            .size = LARGE,
                            .file_crc = digest,
                            .meta = bytes_str("meta")};

    assert_int_equal(snapx_send(x, 2, &o, "snap-2"), 0);
}

static bool past_a_sync(struct world *w)
{
    struct snapx_progress p;

    return snapx_progress(w->b.x, &p, 1) == 1 &&
           p.done_bytes > SNAPX_SYNC_BYTES + 4 * SNAPX_CHUNK;
}

static bool b_closed(struct world *w)
{
    (void)w;
    return closed_n == 1;
}

/* The receiver's process ends and begins again. */
static void restart_receiver(struct world *w)
{
    struct snapx_config c = {.env = w->e,
                             .tmp_name = "in.tmp",
                             .part_name = "in.part",
                             .rate = UINT64_C(1) << 33,
                             .cbs = &cbs,
                             .data = &w->b};
    struct snapxfer *b = w->b.x;

    w->b.x = NULL;
    closed_n = 0;
    snapx_close(b, closed_cb, NULL);
    assert_true(run_until(w, b_closed, 2000));
    w->e->disk = w->b.disk;
    w->b.x = snapx_new(&c);
}

/* A restart goes on behind what was synced. */
static void resumes_after_a_restart(void **state)
{
    struct world *w = *state;

    put_large(w);
    offer_large(w->a.x, 5);
    assert_true(run_until(w, past_a_sync, 10000));
    restart_receiver(w);
    w->chunks = 0;
    assert_true(run_until(w, received, 10000));
    assert_in_range(w->chunks, 1, (LARGE - SNAPX_SYNC_BYTES) / SNAPX_CHUNK + 4);
    assert_int_equal(disk_crc(w->b.disk, "in.tmp"), w->want_crc);
}

/* ... but only of the very same file. */
static void another_file_begins_afresh(void **state)
{
    struct world *w = *state;

    put_large(w);
    offer_large(w->a.x, 5);
    assert_true(run_until(w, past_a_sync, 10000));
    snapx_send_end(w->a.x, 2);
    restart_receiver(w);
    (void)run_until(w, NULL, 50);
    w->chunks = 0;
    offer_large(w->a.x, 6);
    assert_true(run_until(w, received, 10000));
    assert_in_range(w->chunks, LARGE / SNAPX_CHUNK,
                    LARGE / SNAPX_CHUNK + 1 + 3 * SNAPX_PULLS);
    assert_int_equal(disk_crc(w->b.disk, "in.tmp"), w->want_crc);
}

/* What a restart found is believed only when the whole was verified: a part
 * that rotted is fetched again. */
static void rotten_part_is_fetched_again(void **state)
{
    struct world *w = *state;
    struct disk_file *f;

    put_large(w);
    offer_large(w->a.x, 5);
    assert_true(run_until(w, past_a_sync, 10000));
    restart_receiver(w);
    assert_int_equal(disk_open(w->b.disk, "in.tmp", DISK_WRITE, &f), 0);
    assert_int_equal(disk_pwrite(f, "rot", 3, 1000), 0);
    disk_close(f);
    assert_true(run_until(w, received, 10000));
    assert_int_equal(disk_crc(w->b.disk, "in.tmp"), w->want_crc);
}

/* Another leader offers the same file: on from there. */
static void resumes_at_another_sender(void **state)
{
    struct world *w = *state;

    put_large(w);
    offer_large(w->a.x, 5);
    assert_true(run_until(w, past_a_sync, 10000));
    w->chunks = 0;
    w->a.id = 7;
    assert_true(run_until(w, received, 10000));
    assert_in_range(w->chunks, 1,
                    (LARGE - SNAPX_SYNC_BYTES) / SNAPX_CHUNK + 2 * SNAPX_PULLS);
    assert_int_equal(disk_crc(w->b.disk, "in.tmp"), w->want_crc);
}

/* Another snapshot is offered half-way: the first one is given up and no byte
 * of it is in the second one. */
static void offer_changes(void **state)
{
    struct world *w = *state;

    assert_int_equal(offer(w, 10, "snap-1"), 0);
    assert_true(run_until(w, half_there, 5000));
    put_file(w, "snap-2", 8);
    while (offer(w, 20, "snap-2") != 0) {
        (void)run_until(w, NULL, 5);
    }
    assert_true(run_until(w, received, 5000));
    assert_int_equal(w->b.received_index, 20);
    assert_int_equal(disk_crc(w->b.disk, "in.tmp"), w->want_crc);
}

/* A chunk of the old offer that arrives late is not taken for the new one. */
static void stale_chunk(void **state)
{
    struct world *w = *state;
    struct buf b = BUF_INIT;
    uint8_t *junk = file_bytes(99, SNAPX_CHUNK);

    buf_u8(&b, CHUNK_KIND);
    buf_u64(&b, 10);
    buf_u64(&b, 3);
    buf_u32(&b, 12345); /* the tag of another file */
    buf_u64(&b, 0);
    buf_u32(&b, crc32c(0, junk, SNAPX_CHUNK));
    buf_append(&b, junk, SNAPX_CHUNK);
    w->inject = buf_bytes(&b);
    assert_int_equal(offer(w, 10, "snap-1"), 0);
    assert_true(run_until(w, received, 5000));
    assert_int_equal(disk_crc(w->b.disk, "in.tmp"), w->want_crc);
    assert_in_range(w->chunks, 1, SIZE / SNAPX_CHUNK + 1);
    buf_release(&b);
    free(junk);
}

/* A file that does not verify is fetched afresh; one that never does is
 * refused and the sender told. */
static void verification(void **state)
{
    struct world *w = *state;

    w->b.verify_fails = 1;
    assert_int_equal(offer(w, 10, "snap-1"), 0);
    assert_true(run_until(w, received, 5000));
    snapx_received_done(w->b.x, 0);
    assert_true(run_until(w, sent, 1000));
    w->a.sent = 0;
    w->b.verify_fails = 100;
    assert_int_equal(offer(w, 11, "snap-1"), 0);
    assert_true(run_until(w, sent, 5000));
    assert_int_equal(w->a.sent_code, HF_ECORRUPT);
    assert_int_equal(w->b.verify_fails, 100 - SNAPX_VERIFY_TRIES);
    assert_int_equal(w->b.received, 1);
}

/* A disk that takes no more is not the offer's fault: however often it failed,
 * the snapshot is fetched once there is room. */
static void disk_refuses(void **state)
{
    struct world *w = *state;
    struct rlimit was, small;

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    small = was;
    small.rlim_cur = SNAPX_CHUNK;
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(offer(w, 10, "snap-1"), 0);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    (void)run_until(w, NULL, 4 * SNAPX_WRITE_PAUSE_MS);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
    assert_int_equal(w->b.received, 0);
    assert_true(w->chunks > 1);
    assert_true(run_until(w, received, 5000));
}

/* The owner may refuse an offer; it is asked again later. */
static void not_accepted(void **state)
{
    struct world *w = *state;
    struct snapx_progress p;

    w->b.refuse = true;
    assert_int_equal(offer(w, 10, "snap-1"), 0);
    (void)run_until(w, NULL, 300);
    assert_int_equal(w->chunks, 0);
    assert_int_equal(snapx_progress(w->b.x, &p, 1), 0);
    w->b.refuse = false;
    assert_true(run_until(w, received, 5000));
}

/* A received file makes place only for another snapshot, and only after its
 * owner was told. */
static void held_file(void **state)
{
    struct world *w = *state;

    assert_int_equal(offer(w, 10, "snap-1"), 0);
    assert_true(run_until(w, received, 5000));
    (void)run_until(w, NULL, 500);
    assert_int_equal(w->b.dropped, 0);
    put_file(w, "snap-2", 8);
    assert_int_equal(offer(w, 20, "snap-2"), 0);
    assert_true(run_until(w, received_two, 5000));
    assert_int_equal(w->b.dropped, 1);
    assert_int_equal(w->b.received_index, 20);
    assert_int_equal(disk_crc(w->b.disk, "in.tmp"), w->want_crc);
}

/* Abort removes what had come; the same offer then starts from the start. */
static void aborted(void **state)
{
    struct world *w = *state;

    assert_int_equal(offer(w, 10, "snap-1"), 0);
    assert_true(run_until(w, half_there, 5000));
    snapx_receive_abort(w->b.x);
    assert_true(run_until(w, received, 5000));
    assert_int_equal(disk_crc(w->b.disk, "in.tmp"), w->want_crc);
    assert_true(w->chunks > SIZE / SNAPX_CHUNK + 2);
}

/* The rate is kept, and is not far below what was asked for. */
static void throttled(void **state)
{
    struct world *w = *state;
    struct snapx_config c = {.env = w->e,
                             .tmp_name = "in.tmp",
                             .rate = 1, /* raised to SNAPX_RATE_MIN */
                             .cbs = &cbs,
                             .data = &w->b};
    uint64_t t0 = env_now_us(w->e);
    uint64_t ideal_us = SIZE * UINT64_C(1000000) / SNAPX_RATE_MIN;

    snapx_close(w->b.x, NULL, NULL);
    w->b.x = snapx_new(&c);
    assert_int_equal(offer(w, 10, "snap-1"), 0);
    assert_true(run_until(w, received, 5000));
    assert_true(env_now_us(w->e) - t0 > ideal_us - 2 * SNAPX_BURST_US);
    assert_true(env_now_us(w->e) - t0 < 3 * ideal_us);
}

/* A file that cannot be read ends the offer with an error. */
static void no_file(void **state)
{
    struct world *w = *state;

    assert_int_equal(offer(w, 10, "snap-9"), 0);
    assert_true(run_until(w, sent, 2000));
    assert_int_equal(w->a.sent_code, HF_EIO);
}

/* The sent file may be unlinked once its sending has begun. */
static void unlinked_file(void **state)
{
    struct world *w = *state;

    assert_int_equal(offer(w, 10, "snap-1"), 0);
    assert_true(run_until(w, half_there, 5000));
    assert_int_equal(disk_unlink(w->a.disk, "snap-1"), 0);
    assert_true(run_until(w, received, 5000));
    assert_int_equal(disk_crc(w->b.disk, "in.tmp"), w->want_crc);
}

/* Malformed messages, each cut at every length and with every byte flipped,
 * change nothing. */
static void malformed(void **state)
{
    struct world *w = *state;
    struct buf b = BUF_INIT;
    struct snapx_progress p;

    w->b.refuse = true; /* a flipped offer is not a forged one */
    for (uint8_t kind = 0; kind < 6; kind++) {
        buf_clear(&b);
        buf_u8(&b, kind);
        buf_u64(&b, 10);
        buf_u64(&b, 3);
        buf_u32(&b, 77);
        buf_u64(&b, SIZE);
        buf_u32(&b, 0);
        buf_lbytes(&b, bytes_str("meta"));
        for (size_t i = 0; i < b.n; i++) {
            snapx_receive(w->b.x, 1, bytes_of(b.p, i));
            b.p[i] ^= 0xFF;
            snapx_receive(w->b.x, 1, buf_bytes(&b));
            b.p[i] ^= 0xFF;
        }
    }
    assert_int_equal(snapx_progress(w->b.x, &p, 1), 0);
    w->b.refuse = false;
    assert_int_equal(offer(w, 10, "snap-1"), 0);
    assert_true(run_until(w, received, 5000));
    buf_release(&b);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(whole_file),
        T(lossy_wire),
        T(spoiled_chunks),
        T(resumes),
        T(resumes_after_a_restart),
        T(another_file_begins_afresh),
        T(rotten_part_is_fetched_again),
        T(resumes_at_another_sender),
        T(offer_changes),
        T(stale_chunk),
        T(verification),
        T(disk_refuses),
        T(not_accepted),
        T(held_file),
        T(aborted),
        T(throttled),
        T(no_file),
        T(unlinked_file),
        T(malformed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
