/* Messages between drivers and their bytes; configurations; the cache. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/err.h"
#include "raftio/conf.h"
#include "raftio/entry_cache.h"
#include "raftio/message.h"

/* Head and payloads of @m as they arrive. */
static struct blob *bytes_of_msg(const struct raft_msg *m)
{
    struct buf b = BUF_INIT;
    struct blob *blob;

    raft_msg_encode(m, &b);
    for (unsigned i = 0; i < m->n_entries; i++) {
        buf_bytes_append(&b, m->entries[i].data);
    }
    blob = blob_copy(b.p, b.n);
    buf_release(&b);
    return blob;
}

static struct blob *three_voters(void)
{
    struct conf c = {3, {{1, CONF_VOTER}, {2, CONF_VOTER}, {3, CONF_VOTER}}};

    return conf_encode(&c);
}

static struct entry entry_of(uint64_t term, uint8_t type, const char *text)
{
    struct entry e = {term, type, {NULL, 0}, NULL};

    e.blob = blob_copy(text, strlen(text));
    e.data = blob_bytes(e.blob);
    return e;
}

/* One of every kind, every field different. Release with drop_sample(). */
static struct raft_msg sample(int kind)
{
    struct raft_msg m;

    memset(&m, 0, sizeof m);
    m.kind = (uint8_t)kind;
    m.version = 2;
    m.term = 7;
    switch (kind) {
        case RMSG_APPEND:
            m.append.prev_index = 11;
            m.append.prev_term = 6;
            m.append.commit = 10;
            m.n_entries = 3;
            m.entries = calloc(3, sizeof *m.entries);
            m.entries[0] = entry_of(6, ENTRY_COMMAND, "first");
            m.entries[1] = entry_of(7, ENTRY_CHANGE, "");
            entry_unref(&m.entries[1]);
            m.entries[1].blob = three_voters();
            m.entries[1].data = blob_bytes(m.entries[1].blob);
            m.entries[2] = entry_of(7, ENTRY_BARRIER, "12345678");
            break;
        case RMSG_APPEND_RESULT:
            m.append_result.rejected = 12;
            m.append_result.last_index = 13;
            m.append_result.features = 14;
            m.append_result.capacity = 15;
            break;
        case RMSG_VOTE:
            m.vote.candidate = 16;
            m.vote.last_index = 17;
            m.vote.last_term = 5;
            m.vote.pre_vote = true;
            break;
        case RMSG_VOTE_RESULT:
            m.vote_result.granted = true;
            m.vote_result.features = 18;
            m.vote_result.capacity = 19;
            break;
        case RMSG_INSTALL:
            m.install = (struct snap_meta){20, 6, 3, three_voters()};
            break;
        case RMSG_TIMEOUT_NOW:
            m.timeout_now.last_index = 21;
            m.timeout_now.last_term = 6;
            break;
        default:
            m.probe.round = 22;
            m.probe.attempt = 23;
    }
    return m;
}

/* What is decoded encodes to the same bytes, whatever the kind. */
static void round_trip(void **state)
{
    (void)state;
    for (int k = RMSG_APPEND; k <= RMSG_PROBE_ACK; k++) {
        struct raft_msg m = sample(k);
        struct raft_msg back;
        struct blob *b = bytes_of_msg(&m);
        struct blob *again;

        assert_int_equal(raft_msg_decode(b, blob_bytes(b), &back), 0);
        again = bytes_of_msg(&back);
        assert_true(bytes_eq(blob_bytes(b), blob_bytes(again)));
        assert_int_equal(back.kind, k);
        assert_int_equal(back.term, 7);
        raft_msg_release(&m);
        raft_msg_release(&back);
        blob_unref(b);
        blob_unref(again);
    }
}

/* Fields come back where they were. */
static void fields_keep_their_places(void **state)
{
    struct raft_msg m = sample(RMSG_APPEND);
    struct blob *b = bytes_of_msg(&m);
    struct raft_msg back;

    (void)state;
    assert_int_equal(raft_msg_decode(b, blob_bytes(b), &back), 0);
    assert_int_equal(back.append.prev_index, 11);
    assert_int_equal(back.append.commit, 10);
    assert_int_equal(back.n_entries, 3);
    assert_true(bytes_eq(back.entries[0].data, bytes_str("first")));
    assert_ptr_equal(back.entries[0].blob, b);
    assert_int_equal(back.entries[1].type, ENTRY_CHANGE);
    assert_ptr_not_equal(back.entries[1].blob, b);
    assert_int_equal(raft_msg_payload_bytes(&back), raft_msg_payload_bytes(&m));
    raft_msg_release(&m);
    raft_msg_release(&back);
    blob_unref(b);
}

/* A message cut short anywhere, or with a byte too many, is refused. */
static void every_cut_is_refused(void **state)
{
    (void)state;
    for (int k = RMSG_APPEND; k <= RMSG_PROBE_ACK; k++) {
        struct raft_msg m = sample(k);
        struct raft_msg back;
        struct blob *b = bytes_of_msg(&m);
        struct blob *longer = blob_new(b->n + 1);

        for (size_t n = 0; n < b->n; n++) {
            assert_int_equal(raft_msg_decode(b, bytes_of(b->d, n), &back),
                             HF_ECORRUPT);
        }
        memcpy(longer->d, b->d, b->n);
        longer->d[b->n] = 0;
        assert_int_equal(raft_msg_decode(longer, blob_bytes(longer), &back),
                         HF_ECORRUPT);
        blob_unref(longer);
        blob_unref(b);
        raft_msg_release(&m);
    }
}

/* A flipped byte is refused or read as another value of that field, never
 * beyond the message: what is accepted encodes to exactly those bytes. */
static void every_flip_is_contained(void **state)
{
    (void)state;
    for (int k = RMSG_APPEND; k <= RMSG_PROBE_ACK; k++) {
        struct raft_msg m = sample(k);
        struct blob *b = bytes_of_msg(&m);

        for (size_t i = 0; i < b->n * 8; i++) {
            struct raft_msg back;

            b->d[i / 8] ^= (uint8_t)(1 << i % 8);
            if (raft_msg_decode(b, blob_bytes(b), &back) == 0) {
                struct blob *again = bytes_of_msg(&back);

                assert_true(bytes_eq(blob_bytes(b), blob_bytes(again)));
                blob_unref(again);
                raft_msg_release(&back);
            }
            b->d[i / 8] ^= (uint8_t)(1 << i % 8);
        }
        blob_unref(b);
        raft_msg_release(&m);
    }
}

/* A copy outlives what it was copied from. */
static void copy_is_deep(void **state)
{
    struct raft_msg m = sample(RMSG_APPEND);
    struct raft_msg c;

    (void)state;
    raft_msg_copy(&c, &m);
    raft_msg_release(&m);
    assert_true(bytes_eq(c.entries[0].data, bytes_str("first")));
    raft_msg_release(&c);
}

/* A configuration cut or flipped is refused, or is another valid one. */
static void configurations_are_checked(void **state)
{
    struct blob *b = three_voters();
    struct conf c;

    (void)state;
    assert_int_equal(conf_decode(blob_bytes(b), &c), 0);
    assert_int_equal(c.n, 3);
    assert_int_equal(c.m[2].id, 3);
    for (size_t n = 0; n < b->n; n++) {
        assert_int_equal(conf_decode(bytes_of(b->d, n), &c), HF_ECORRUPT);
    }
    for (size_t i = 0; i < b->n; i++) {
        b->d[i] ^= 0xFF;
        if (conf_decode(blob_bytes(b), &c) == 0) {
            assert_true(c.n <= LIM_NODES && conf_voters(&c) > 0);
        }
        b->d[i] ^= 0xFF;
    }
    b->d[b->n - 1] = 1; /* padding is zero */
    assert_int_equal(conf_decode(blob_bytes(b), &c), HF_ECORRUPT);
    blob_unref(b);
}

/* No voter, an id twice, too many members: refused. */
static void impossible_configurations(void **state)
{
    struct conf none = {1, {{1, CONF_STANDBY}}};
    struct conf twice = {2, {{1, CONF_VOTER}, {1, CONF_VOTER}}};
    struct conf c;
    struct blob *b = conf_encode(&none);

    (void)state;
    assert_int_equal(conf_decode(blob_bytes(b), &c), HF_ECORRUPT);
    blob_unref(b);
    b = conf_encode(&twice);
    assert_int_equal(conf_decode(blob_bytes(b), &c), HF_ECORRUPT);
    put_u64(b->d + 1, LIM_NODES + 1);
    assert_int_equal(conf_decode(blob_bytes(b), &c), HF_ECORRUPT);
    blob_unref(b);
}

/* Payloads go oldest first, down to the bound; terms and lengths stay. */
static void cache_evicts_oldest_first(void **state)
{
    struct entry_cache c;

    (void)state;
    entry_cache_init(&c, 5);
    for (uint64_t i = 0; i < 100; i++) {
        struct entry e = entry_of(i + 1, ENTRY_COMMAND, "0123456789");

        entry_cache_push(&c, &e);
        entry_unref(&e);
    }
    assert_int_equal(c.bytes, 1000);
    entry_cache_evict(&c, 20, 0);
    assert_int_equal(c.bytes, 840);
    assert_false(entry_cache_has_payload(&c, 20));
    assert_true(entry_cache_has_payload(&c, 21));
    assert_int_equal(entry_cache_get(&c, 20)->term, 16);
    assert_int_equal(entry_cache_get(&c, 20)->data.n, 10);
    entry_cache_evict(&c, 1000, 800);
    assert_int_equal(c.bytes, 800);
    entry_cache_trim(&c, 30);
    assert_null(entry_cache_get(&c, 30));
    entry_cache_truncate(&c, 100);
    assert_int_equal(entry_cache_last(&c), 99);
    assert_int_equal(c.bytes, 690);
    entry_cache_reset(&c, 500);
    assert_int_equal(entry_cache_last(&c), 499);
    assert_int_equal(c.bytes, 0);
    entry_cache_release(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(fields_keep_their_places),
        cmocka_unit_test(every_cut_is_refused),
        cmocka_unit_test(every_flip_is_contained),
        cmocka_unit_test(copy_is_deep),
        cmocka_unit_test(configurations_are_checked),
        cmocka_unit_test(impossible_configurations),
        cmocka_unit_test(cache_evicts_oldest_first),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
