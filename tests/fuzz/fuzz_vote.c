/* libFuzzer target: the vote file and the identity file. What is accepted is
 * what was written; whatever is accepted is kept from then on.
 *
 *   first byte   1: put right the checksums; 2: beside a log; 4: slots of any
 *                length, else their heads only, the rest zeros; 8: identity;
 *                16, 32: the slot is missing
 *   then         the slots, or the identity file */
#include "raftio/vote.h"
#include "tests/fuzz/fuzz.h"

enum { MEND = 1, HAVE_DATA = 2, RAW = 4, IDENTITY = 8, MISSING = 16 };
enum { SLOT_HEAD = 96 };

/* Bytes 12 to 15 of both files are not used; their checksum covers them. */
static void check_bytes(const uint8_t *p, const uint8_t *again, size_t n)
{
    hf_assert(memcmp(p, again, 12) == 0);
    hf_assert(memcmp(p + 16, again + 16, n - 20) == 0);
}

static void decode(const uint8_t *p, size_t n, const struct identity *id)
{
    uint8_t again[VOTE_SLOT_BYTES];
    struct errmsg em = {{0}};
    struct vote_state s;
    int rv = vote_decode(p, n, "vote", id, &s, &em);

    if (rv == 0) {
        vote_encode(&s, id, again);
        hf_assert(n == sizeof again);
        check_bytes(p, again, n);
        return;
    }
    hf_assert(rv == HF_ECORRUPT || rv == HF_EVERSION || rv == HF_EIDENTITY);
    hf_assert(em.text[0] != '\0');
}

static void put_slot(struct disk *d,
                     const char *name,
                     struct reader *r,
                     uint8_t how)
{
    size_t take = (how & RAW) != 0 ? r->n / 2 : SLOT_HEAD;
    struct bytes in = rd_bytes(r, take < r->n ? take : r->n);
    size_t n = (how & RAW) != 0 ? in.n : VOTE_SLOT_BYTES;
    uint8_t *p = hf_calloc(1, n + 1);
    struct identity id = fuzz_who();

    if (in.n > 0) {
        memcpy(p, in.p, in.n);
    }
    if ((how & MEND) != 0 && n == VOTE_SLOT_BYTES) {
        put_u32(p + n - 4, crc32c(0, p, n - 4));
    }
    decode(p, n, &id);
    fuzz_put(d, name, bytes_of(p, n));
    free(p);
}

static void check_same(const struct vote_state *a, const struct vote_state *b)
{
    hf_assert(a->seq == b->seq && a->term == b->term && a->vote == b->vote &&
              a->log_no == b->log_no);
}

/* What was read stays; a vote given now stays, too. */
static void keeps(struct disk *d, struct vote *v, const struct identity *id)
{
    struct errmsg em = {{0}};
    static const char *const names[] = {"vote.a", "vote.b"};
    struct vote again;

    for (int i = 0; i < 2; i++) {
        struct buf b = fuzz_get(d, names[i]);
        struct vote_state s;

        hf_assert(vote_decode(b.p, b.n, names[i], id, &s, &em) == 0);
        check_same(&s, &v->now);
        buf_release(&b);
    }
    hf_assert(vote_open(&again, d, id, true, &em) == 0 && !again.repaired);
    check_same(&again.now, &v->now);
    if (v->now.term < UINT64_MAX && v->now.seq < UINT64_MAX) {
        hf_assert(vote_set(v, v->now.term + 1, 3, 77, &em) == 0);
        hf_assert(vote_open(&again, d, id, true, &em) == 0);
        check_same(&again.now, &v->now);
        hf_assert(again.now.vote == 3 && again.now.log_no >= 77);
    }
}

static void votes(uint8_t how, struct reader r)
{
    struct disk *d = disk_sim_new();
    struct disk *copy;
    struct identity id = fuzz_who();
    struct errmsg em = {{0}};
    struct vote v;
    struct vote other;
    int rv;

    if ((how & MISSING) == 0) {
        put_slot(d, "vote.a", &r, how);
    }
    if ((how & MISSING * 2) == 0) {
        put_slot(d, "vote.b", &r, how);
    }
    copy = disk_sim_clone(d);
    rv = vote_open(&v, d, &id, (how & HAVE_DATA) != 0, &em);
    hf_assert(vote_open(&other, copy, &id, (how & HAVE_DATA) != 0, NULL) == rv);
    if (rv == 0) {
        check_same(&v.now, &other.now);
        keeps(d, &v, &id);
    } else {
        hf_assert(em.text[0] != '\0');
    }
    disk_sim_free(copy);
    disk_sim_free(d);
}

static void identity(uint8_t how, struct reader r)
{
    uint8_t raw[IDENTITY_BYTES] = {0};
    uint8_t again[IDENTITY_BYTES];
    size_t n = r.n < sizeof raw ? r.n : sizeof raw;
    struct errmsg em = {{0}};
    struct identity id;
    int rv;

    if (n > 0) {
        memcpy(raw, r.p, n);
    }
    n = (how & RAW) != 0 ? n : sizeof raw;
    if ((how & MEND) != 0 && n == sizeof raw) {
        put_u32(raw + n - 4, crc32c(0, raw, n - 4));
    }
    rv = identity_decode(raw, n, "identity", &id, &em);
    if (rv == 0) {
        identity_encode(&id, again);
        check_bytes(raw, again, sizeof raw);
    } else {
        hf_assert(em.text[0] != '\0');
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader r = reader_of(bytes_of(data, size));
    uint8_t how = rd_u8(&r);

    if ((how & IDENTITY) != 0) {
        identity(how, r);
    } else {
        votes(how, r);
    }
    return 0;
}
