/* libFuzzer target: recovery of the log from a disk of any bytes. What it
 * finds is always the same, and what it accepts can be gone on with: the same
 * entries are there afterwards, and the new one.
 *
 *   byte 0   % 3: 0 one segment, head and frames as they are
 *                 1 the same with checksums, salt and chain put right
 *                 2 a program that writes segments, see run()
 *            & 64: then append an entry, close and recover again
 *   byte 1   index and term of the snapshot, four bits each
 *   byte 2   frames that were durable
 *   then     the segment: SEG_TOLD bytes of its head, then frames; or the
 *            program */
#include "raftio/wal_int.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/wal_env.h"

enum { SEG = WAL_SEGMENT_MIN, SEG_TOLD = 144, SEGS = 3, GO_ON = 64 };
#define NUMBER_MAX (UINT64_C(1) << 62) /* no node lives that long */
enum { STEPS_MAX = 96, ROOM = SEG - SEG_HEADER };

/* ---- disks ---- */

static void put_segment(struct disk *d,
                        uint64_t number,
                        const uint8_t *p,
                        size_t n)
{
    char name[WAL_PATH_MAX];

    seg_path(number, name);
    fuzz_put(d, name, bytes_of(p, n));
}

/* Checksums, salt and chain of whatever has the place of a frame. */
static void mend(uint8_t *p, size_t n)
{
    uint32_t chain = crc32c(0, p, SEG_HEADER - 4);
    size_t at = SEG_HEADER;

    put_u32(p + SEG_HEADER - 4, chain);
    while (at + FRAME_ALIGN <= n) {
        uint8_t *h = p + at;
        uint64_t len = frame_bytes(get_u32(h + 68));

        if (get_u32(h) != 0x4D724648 || len > n - at) {
            at += FRAME_ALIGN;
            continue;
        }
        put_u32(h + 8, (uint32_t)len);
        memcpy(h + 48, p + 88, 8);
        put_u32(h + 64, chain);
        put_u32(h + 72, crc32c(0, h + FRAME_HEADER, len - FRAME_HEADER));
        chain = crc32c(0, h, FRAME_HEADER - 4);
        put_u32(h + FRAME_HEADER - 4, chain);
        at += len;
    }
}

static void image(struct disk *d, struct bytes b, bool mended)
{
    uint8_t *p = hf_calloc(1, SEG);
    size_t told = b.n < SEG_TOLD ? b.n : SEG_TOLD;
    size_t rest = b.n - told < ROOM ? b.n - told : ROOM;

    if (b.n > 0) {
        memcpy(p, b.p, told);
        memcpy(p + SEG_HEADER, b.p + told, rest);
    }
    put_u32(p + SEG_HEADER - 4, crc32c(0, p, SEG_HEADER - 4));
    if (mended) {
        mend(p, SEG);
    }
    put_segment(d, 1, p, SEG);
    free(p);
}

/* ---- programs ---- */

struct maker {
    struct disk *disk;
    struct reader r;
    struct seg_head head;
    uint8_t *p; /* the segment being written */
    size_t at;
    uint64_t no;
    uint64_t next;
    uint64_t term;
    uint32_t chain;
    unsigned segs;
};

enum wrong {
    WRONG_NO = 1,
    WRONG_PREV = 2,
    WRONG_SALT = 4,
    WRONG_DURABLE = 8,
    WRONG_PAYLOAD = 16,
    WRONG_HEADER = 32,
    WRONG_TERM = 64,
    WRONG_FIRST = 128,
};

static int64_t off_by(struct maker *m)
{
    return (int8_t)rd_u8(&m->r);
}

static void begin_segment(struct maker *m, uint8_t wrong)
{
    struct seg_head *h = &m->head;
    bool first = m->segs == 0;

    if (!first) {
        put_segment(m->disk, m->segs, m->p, SEG);
    }
    memset(m->p, 0, SEG);
    h->id = fuzz_who();
    h->number = ++m->segs;
    h->first_index = m->next;
    h->prev_term = m->term;
    h->first_no = m->no;
    h->old_salt = (wrong & WRONG_SALT) != 0 ? h->salt : 0;
    h->salt = 1000 + m->segs;
    h->size = SEG;
    h->flight = SEG / 4;
    h->pred_end = first ? 0 : m->at;
    h->pred_last = first ? 0 : m->next - 1;
    h->pred_chain = first ? 0 : m->chain;
    if ((wrong & WRONG_FIRST) != 0) {
        h->first_index = m->next += (uint64_t)off_by(m);
    }
    if ((wrong & WRONG_NO) != 0) {
        h->first_no += (uint64_t)off_by(m);
    }
    if ((wrong & WRONG_TERM) != 0) {
        h->prev_term += (uint64_t)off_by(m);
    }
    if ((wrong & WRONG_PREV) != 0) {
        h->pred_end += (uint64_t)off_by(m) * FRAME_ALIGN;
    }
    if ((wrong & WRONG_DURABLE) != 0) {
        h->size = (uint64_t)off_by(m) * FRAME_ALIGN;
    }
    if ((wrong & WRONG_PAYLOAD) != 0) {
        h->pred_last += (uint64_t)off_by(m);
    }
    seg_head_encode(h, m->p);
    m->chain = h->crc;
    m->at = SEG_HEADER;
}

static uint32_t put_entries(struct maker *m, struct frame *f, uint8_t *out)
{
    uint8_t *p = out;

    for (uint32_t i = 0; i < f->count; i++) {
        uint8_t type = rd_u8(&m->r);
        struct bytes data = rd_bytes(&m->r, rd_u8(&m->r) % 64);
        struct entry e = {f->term, type % 4, data, NULL};

        entry_encode(p, f->first + i, &e);
        p += ENTRY_HEADER + data.n;
    }
    return (uint32_t)(p - out);
}

static void put_frame(struct maker *m, uint16_t kind)
{
    uint8_t wrong = rd_u8(&m->r);
    uint8_t more = rd_u8(&m->r);
    struct frame f = {.kind = kind, .no = m->no, .first = m->next};
    uint8_t *out = m->p + m->at;

    if (m->at + FRAME_ALIGN * 2 > SEG) {
        return;
    }
    f.term = m->term += more % 4;
    f.salt = m->head.salt;
    f.prev = m->chain;
    f.durable_no = m->no - 1;
    f.flags = kind == FRAME_MARK ? more / 128 : 0;
    f.no += (wrong & WRONG_NO) != 0 ? (uint64_t)off_by(m) : 0;
    f.prev ^= (wrong & WRONG_PREV) != 0 ? 1 : 0;
    f.salt = (wrong & WRONG_SALT) != 0 ? m->head.old_salt : f.salt;
    f.durable_no = (wrong & WRONG_DURABLE) != 0 ? rd_u8(&m->r) : f.durable_no;
    f.term += (wrong & WRONG_TERM) != 0 ? (uint64_t)off_by(m) : 0;
    f.first += (wrong & WRONG_FIRST) != 0 ? (uint64_t)off_by(m) : 0;
    if (kind == FRAME_ENTRIES) {
        f.count = more / 4 % 4;
        f.payload_len = put_entries(m, &f, out + FRAME_HEADER);
    }
    f.last = f.first + f.count - 1;
    wal_frame_encode(&f, out);
    out[FRAME_HEADER] ^= (wrong & WRONG_PAYLOAD) != 0 ? 1 : 0;
    out[more % FRAME_HEADER] ^= (wrong & WRONG_HEADER) != 0 ? 1 : 0;
    m->at += f.len;
    m->no = f.no + 1;
    m->chain = f.crc;
    m->next = kind == FRAME_MARK ? m->next : f.first + f.count;
}

/* Steps: u8 what, then what each reads. */
static void run(struct disk *d, struct reader r)
{
    struct maker m = {.disk = d, .r = r, .no = 1, .next = 1, .term = 1};
    size_t cut = SEG;

    m.p = hf_calloc(1, SEG);
    begin_segment(&m, rd_u8(&m.r));
    for (int i = 0; i < STEPS_MAX && m.r.n > 0; i++) {
        uint8_t what = rd_u8(&m.r);

        switch (what % 8) {
            case 4: /* a hole */
                m.at += (size_t)(what / 8 % 4) * FRAME_ALIGN;
                m.at = m.at > SEG ? SEG : m.at;
                break;
            case 5: /* strange bytes */
                if (m.at < SEG) {
                    memset(m.p + m.at, what, FRAME_ALIGN);
                    m.at += FRAME_ALIGN;
                }
                break;
            case 6:
                if (m.segs < SEGS) {
                    begin_segment(&m, rd_u8(&m.r));
                }
                break;
            case 7: /* the last file is cut short */
                cut = (size_t)rd_u8(&m.r) * 129;
                break;
            default:
                put_frame(&m, (uint16_t)(what % 8 + 1));
        }
    }
    put_segment(d, m.segs, m.p, cut < SEG ? cut : SEG);
    free(m.p);
}

/* ---- what must hold ---- */

static void check_found(const struct wal_recover_in *in,
                        const struct wal_recovered *r)
{
    uint64_t term = in->snap_term;

    hf_assert(r->first_index == in->snap_index + 1);
    for (size_t i = 0; i < r->n; i++) {
        hf_assert(r->entries[i].type >= ENTRY_COMMAND &&
                  r->entries[i].type <= ENTRY_CHANGE);
        hf_assert(i == 0 || r->entries[i].term >= term);
        term = r->entries[i].term;
    }
    hf_assert(!r->need_reset || r->n == 0);
    hf_assert(r->n == 0 || r->last == r->first_index + r->n - 1);
}

static void check_same(const struct wal_recovered *a,
                       const struct wal_recovered *b)
{
    hf_assert(a->first_index == b->first_index && a->n == b->n);
    for (size_t i = 0; i < a->n; i++) {
        hf_assert(a->entries[i].term == b->entries[i].term);
        hf_assert(a->entries[i].type == b->entries[i].type);
        hf_assert(bytes_eq(a->entries[i].data, b->entries[i].data));
    }
}

static void on_durable(void *data, uint64_t token)
{
    *(uint64_t *)data = token;
}

static void on_fatal(void *data, const struct errmsg *em)
{
    (void)data;
    hf_assert(em == NULL);
}

static void on_closed(void *data, bool clean)
{
    *(bool *)data = clean;
}

/* For one more mark? That of an orderly end is not worth a segment. */
static bool has_room(const struct wal_seg *seg)
{
    return seg->size - seg->end >= FRAME_ALIGN + SEG_SEAL;
}

/* Append behind @r and close; the next start finds both. @r loses its private
 * parts. */
static void go_on(struct disk *d,
                  const struct wal_recover_in *in,
                  struct wal_recovered *r)
{
    struct entry e = {UINT64_MAX, ENTRY_COMMAND, {NULL, 0}, NULL};
    uint64_t index = r->first_index + r->n;
    struct wal_recovered after;
    struct errmsg em = {{0}};
    struct test_env t;
    uint64_t token = 0;
    struct wal_cbs cbs = {on_durable, on_fatal, &token};
    bool clean = false;
    struct wal *w;
    int rv;

    test_env_init(&t, d, 1);
    w = wal_new(&t.e, NULL, &in->cfg, r, &cbs);
    if (r->need_reset) {
        wal_reset(w, index, in->snap_term, 1);
    }
    wal_append(w, index, &e, 1, 2);
    test_env_run(&t, 3000000);
    wal_close(w, on_closed, &clean);
    test_env_run(&t, 3000000);
    wal_free(w);
    test_env_run(&t, 1);
    env_release(&t.e);
    hf_assert(token == 2 && clean);
    rv = wal_recover(d, in, &after, &em);
    if (rv != 0) {
        hf_assert_fail(em.text, __FILE__, __LINE__);
    }
    hf_assert(after.n == r->n + 1);
    hf_assert(after.torn_bytes == 0);
    hf_assert(after.clean || !has_room(&after.segs[after.segs_n - 1]));
    hf_assert(after.entries[r->n].term == UINT64_MAX);
    after.n--;
    check_same(r, &after);
    after.n++;
    wal_recovered_release(&after);
}

static void recover(struct disk *d, const struct wal_recover_in *in, bool more)
{
    struct disk *copy = disk_sim_clone(d);
    struct wal_recovered r;
    struct wal_recovered other;
    struct errmsg em = {{0}};
    int rv = wal_recover(d, in, &r, &em);

    hf_assert(wal_recover(copy, in, &other, NULL) == rv);
    if (rv == 0) {
        check_found(in, &r);
        check_same(&r, &other);
        if (more && r.last_no < NUMBER_MAX && r.last < NUMBER_MAX) {
            go_on(d, in, &r);
        }
        wal_recovered_release(&r);
        wal_recovered_release(&other);
    } else {
        hf_assert(rv == HF_ECORRUPT || rv == HF_EVERSION || rv == HF_EIDENTITY);
        hf_assert(em.text[0] != '\0');
    }
    disk_sim_free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wal_recover_in in = {.cfg = {fuzz_who(), SEG, 0}};
    struct reader r = reader_of(bytes_of(data, size));
    struct disk *d = disk_sim_new();
    uint8_t how = rd_u8(&r);
    uint8_t snap = rd_u8(&r);

    in.snap_index = snap % 16;
    in.snap_term = in.snap_index == 0 ? 0 : 1 + snap / 16;
    in.durable_no = rd_u8(&r);
    hf_assert(disk_mkdir(d, "log") == 0);
    if (how % 3 < 2) {
        image(d, bytes_of(r.p, r.n), how % 3 == 1);
    } else {
        run(d, r);
    }
    recover(d, &in, (how & GO_ON) != 0);
    disk_sim_free(d);
    return 0;
}
