#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/crc32c.h"
#include "base/mutant.h"
#include "raftio/wal_int.h"

const char wal_dir[] = "log";
const char wal_tmp_path[] = "log/spare.tmp";

static const uint8_t seg_magic[8] = {'H', 'F', 'L', 'O', 'G', '1', 'S', '\n'};
static const uint32_t frame_magic = 0x4D724648; /* "HFrM" */

void seg_path(uint64_t number, char out[WAL_PATH_MAX])
{
    snprintf(out, WAL_PATH_MAX, "%s/%016llx.log", wal_dir,
             (unsigned long long)number);
}

void spare_path(uint64_t id, char out[WAL_PATH_MAX])
{
    snprintf(out, WAL_PATH_MAX, "%s/spare-%016llx", wal_dir,
             (unsigned long long)id);
}

void wal_cfg_defaults(struct wal_cfg *cfg)
{
    if (cfg->segment_bytes == 0) {
        cfg->segment_bytes = WAL_SEGMENT_BYTES;
    }
    if (cfg->flight_bytes == 0) {
        cfg->flight_bytes = cfg->segment_bytes / 4 < WAL_FLIGHT_BYTES
                                ? cfg->segment_bytes / 4
                                : WAL_FLIGHT_BYTES;
    }
    hf_assert(cfg->segment_bytes >= WAL_SEGMENT_MIN);
    hf_assert(cfg->segment_bytes % DISK_ALIGN == 0);
    hf_assert(cfg->flight_bytes >= 2 * FRAME_ALIGN);
}

enum {
    SEG_VERSION_AT = 8,
    SEG_CLUSTER_AT = 16,
    SEG_DIR_AT = 32,
    SEG_NODE_AT = 48,
    SEG_NUMBER_AT = 56,
    SEG_FIRST_AT = 64,
    SEG_PREV_TERM_AT = 72,
    SEG_FIRST_NO_AT = 80,
    SEG_SALT_AT = 88,
    SEG_OLD_SALT_AT = 96,
    SEG_SIZE_AT = 104,
    SEG_FLIGHT_AT = 112,
    SEG_PRED_END_AT = 120,
    SEG_PRED_LAST_AT = 128,
    SEG_PRED_CHAIN_AT = 136,
    SEG_ZERO_AT = 140,
    SEG_CRC_AT = SEG_HEADER - 4,
};

void seg_head_encode(struct seg_head *h, uint8_t out[SEG_HEADER])
{
    memset(out, 0, SEG_HEADER);
    memcpy(out, seg_magic, sizeof seg_magic);
    put_u32(out + SEG_VERSION_AT, WAL_VERSION);
    memcpy(out + SEG_CLUSTER_AT, h->id.cluster_id, ID_BYTES);
    memcpy(out + SEG_DIR_AT, h->id.dir_id, ID_BYTES);
    put_u64(out + SEG_NODE_AT, h->id.node_id);
    put_u64(out + SEG_NUMBER_AT, h->number);
    put_u64(out + SEG_FIRST_AT, h->first_index);
    put_u64(out + SEG_PREV_TERM_AT, h->prev_term);
    put_u64(out + SEG_FIRST_NO_AT, h->first_no);
    put_u64(out + SEG_SALT_AT, h->salt);
    put_u64(out + SEG_OLD_SALT_AT, h->old_salt);
    put_u64(out + SEG_SIZE_AT, h->size);
    put_u64(out + SEG_FLIGHT_AT, h->flight);
    put_u64(out + SEG_PRED_END_AT, h->pred_end);
    put_u64(out + SEG_PRED_LAST_AT, h->pred_last);
    put_u32(out + SEG_PRED_CHAIN_AT, h->pred_chain);
    h->crc = crc32c(0, out, SEG_CRC_AT);
    put_u32(out + SEG_CRC_AT, h->crc);
}

static int seg_damaged(struct errmsg *em,
                       const char *name,
                       size_t at,
                       const char *what)
{
    return errmsg_set(em, HF_ECORRUPT,
                      "%s is damaged at offset %zu (%s): remove this member "
                      "from the cluster, empty its directory, and let it join "
                      "again",
                      name, at, what);
}

static void seg_head_fields(const uint8_t *p, struct seg_head *h)
{
    memcpy(h->id.cluster_id, p + SEG_CLUSTER_AT, ID_BYTES);
    memcpy(h->id.dir_id, p + SEG_DIR_AT, ID_BYTES);
    h->id.node_id = get_u64(p + SEG_NODE_AT);
    h->number = get_u64(p + SEG_NUMBER_AT);
    h->first_index = get_u64(p + SEG_FIRST_AT);
    h->prev_term = get_u64(p + SEG_PREV_TERM_AT);
    h->first_no = get_u64(p + SEG_FIRST_NO_AT);
    h->salt = get_u64(p + SEG_SALT_AT);
    h->old_salt = get_u64(p + SEG_OLD_SALT_AT);
    h->size = get_u64(p + SEG_SIZE_AT);
    h->flight = get_u64(p + SEG_FLIGHT_AT);
    h->pred_end = get_u64(p + SEG_PRED_END_AT);
    h->pred_last = get_u64(p + SEG_PRED_LAST_AT);
    h->pred_chain = get_u32(p + SEG_PRED_CHAIN_AT);
    h->crc = get_u32(p + SEG_CRC_AT);
}

int seg_head_decode(const uint8_t p[SEG_HEADER],
                    const char *name,
                    const struct identity *id,
                    struct seg_head *h,
                    struct errmsg *em)
{
    if (memcmp(p, seg_magic, sizeof seg_magic) != 0) {
        return seg_damaged(em, name, 0, "not a log segment");
    }
    if (get_u32(p + SEG_CRC_AT) != crc32c(0, p, SEG_CRC_AT) &&
        !mutant(CRC_IGNORED)) {
        return seg_damaged(em, name, SEG_CRC_AT, "header checksum");
    }
    if (get_u32(p + SEG_VERSION_AT) != WAL_VERSION) {
        return errmsg_set(em, HF_EVERSION,
                          "%s has format version %u, this program knows %d: "
                          "start the newer version that wrote it",
                          name, get_u32(p + SEG_VERSION_AT), WAL_VERSION);
    }
    seg_head_fields(p, h);
    if (id != NULL && (memcmp(h->id.cluster_id, id->cluster_id, ID_BYTES) ||
                       memcmp(h->id.dir_id, id->dir_id, ID_BYTES) ||
                       h->id.node_id != id->node_id)) {
        return errmsg_set(em, HF_EIDENTITY,
                          "%s belongs to another cluster, node (%llu) or "
                          "directory: put back the file of this data directory",
                          name, (unsigned long long)h->id.node_id);
    }
    for (size_t i = SEG_ZERO_AT; i < SEG_CRC_AT; i++) {
        if (p[i] != 0) {
            return seg_damaged(em, name, i, "reserved byte");
        }
    }
    return 0;
}

enum {
    FR_KIND_AT = 4,
    FR_FLAGS_AT = 6,
    FR_LEN_AT = 8,
    FR_COUNT_AT = 12,
    FR_NO_AT = 16,
    FR_FIRST_AT = 24,
    FR_LAST_AT = 32,
    FR_TERM_AT = 40,
    FR_SALT_AT = 48,
    FR_DURABLE_AT = 56,
    FR_PREV_AT = 64,
    FR_PAYLOAD_LEN_AT = 68,
    FR_PAYLOAD_CRC_AT = 72,
    FR_CRC_AT = 76,
};
_Static_assert(FR_CRC_AT + 4 == FRAME_HEADER, "no byte outside a checksum");

void wal_frame_encode(struct frame *f, uint8_t *out)
{
    f->len = (uint32_t)frame_bytes(f->payload_len);
    f->payload_crc = crc32c(0, out + FRAME_HEADER, f->len - FRAME_HEADER);
    put_u32(out, frame_magic);
    put_u16(out + FR_KIND_AT, f->kind);
    put_u16(out + FR_FLAGS_AT, f->flags);
    put_u32(out + FR_LEN_AT, f->len);
    put_u32(out + FR_COUNT_AT, f->count);
    put_u64(out + FR_NO_AT, f->no);
    put_u64(out + FR_FIRST_AT, f->first);
    put_u64(out + FR_LAST_AT, f->last);
    put_u64(out + FR_TERM_AT, f->term);
    put_u64(out + FR_SALT_AT, f->salt);
    put_u64(out + FR_DURABLE_AT, f->durable_no);
    put_u32(out + FR_PREV_AT, f->prev);
    put_u32(out + FR_PAYLOAD_LEN_AT, f->payload_len);
    put_u32(out + FR_PAYLOAD_CRC_AT, f->payload_crc);
    f->crc = crc32c(0, out, FR_CRC_AT);
    put_u32(out + FR_CRC_AT, f->crc);
}

bool wal_frame_decode(const uint8_t *p, struct frame *f)
{
    if (get_u32(p) != frame_magic ||
        (get_u32(p + FR_CRC_AT) != crc32c(0, p, FR_CRC_AT) &&
         !mutant(CRC_IGNORED))) {
        return false;
    }
    f->kind = get_u16(p + FR_KIND_AT);
    f->flags = get_u16(p + FR_FLAGS_AT);
    f->len = get_u32(p + FR_LEN_AT);
    f->count = get_u32(p + FR_COUNT_AT);
    f->no = get_u64(p + FR_NO_AT);
    f->first = get_u64(p + FR_FIRST_AT);
    f->last = get_u64(p + FR_LAST_AT);
    f->term = get_u64(p + FR_TERM_AT);
    f->salt = get_u64(p + FR_SALT_AT);
    f->durable_no = get_u64(p + FR_DURABLE_AT);
    f->prev = get_u32(p + FR_PREV_AT);
    f->payload_len = get_u32(p + FR_PAYLOAD_LEN_AT);
    f->payload_crc = get_u32(p + FR_PAYLOAD_CRC_AT);
    f->crc = get_u32(p + FR_CRC_AT);
    return f->payload_len <= FRAME_LEN_MAX &&
           f->len == frame_bytes(f->payload_len);
}

bool frame_payload_ok(const struct frame *f, const uint8_t *p)
{
    return mutant(CRC_IGNORED) ||
           f->payload_crc == crc32c(0, p + FRAME_HEADER, f->len - FRAME_HEADER);
}

void entry_encode(uint8_t *out, uint64_t index, const struct entry *e)
{
    put_u64(out, index);
    put_u64(out + 8, e->term);
    put_u32(out + 16, (uint32_t)e->data.n);
    put_u32(out + 20, e->type); /* its upper three bytes are zero */
    if (e->data.n != 0) {
        memcpy(out + ENTRY_HEADER, e->data.p, e->data.n);
    }
}

bool entry_decode(struct reader *r,
                  uint64_t index,
                  uint64_t term,
                  struct entry *e)
{
    uint64_t got_index = rd_u64(r);
    uint64_t got_term = rd_u64(r);
    uint32_t len = rd_u32(r);
    uint32_t type = rd_u32(r);

    e->term = got_term;
    e->type = (uint8_t)type;
    e->blob = NULL;
    e->data = rd_bytes(r, len);
    return reader_ok(r) && got_index == index && got_term == term &&
           type >= ENTRY_COMMAND && type <= ENTRY_CHANGE && len <= LIM_ENTRY;
}
