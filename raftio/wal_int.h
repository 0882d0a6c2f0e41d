/* Bytes of the log on disk; docs/FORMATS.md has the tables. This folder
 * only. Integers are little-endian. */
#ifndef HF_RAFTIO_WAL_INT_H
#define HF_RAFTIO_WAL_INT_H

#include "raftio/wal.h"

enum {
    WAL_VERSION = 1,
    SEG_HEADER = 4096,
    FRAME_ALIGN = DISK_SECTOR,
    FRAME_HEADER = 80,
    ENTRY_HEADER = 24,
    FRAME_LEN_MAX = LIM_ENTRY + 4096, /* one entry of the largest size */
    WAL_PATH_MAX = 32,
};

enum frame_kind {
    FRAME_ENTRIES = 1,
    FRAME_TRUNCATE = 2, /* entries from @first on are gone */
    FRAME_RESET = 3,    /* all entries are gone; @first is the next */
    FRAME_MARK = 4,     /* nothing; a witness for what came before */
};
/* Flags of a mark. */
enum {
    FRAME_CLEAN = 1,  /* the log was closed in order */
    FRAME_SEALED = 2, /* it is behind the segment's end: another segment goes
                         on, and was durable when this was written */
};
/* Kept free at the end of a segment for that mark. */
enum { SEG_SEAL = FRAME_ALIGN };

struct frame {
    uint16_t kind;
    uint16_t flags;
    uint32_t len;   /* header, payload and padding; multiple of 512 */
    uint32_t count; /* entries */
    uint64_t no;    /* one more than the frame before */
    uint64_t first;
    uint64_t last;
    uint64_t term; /* of the entries; TRUNCATE, RESET: of entry first - 1 */
    uint64_t salt;
    uint64_t durable_no; /* frames up to it were synced at submission */
    uint32_t prev;       /* checksum of the header before: the chain */
    uint32_t payload_len;
    uint32_t payload_crc; /* of all bytes after the header, padding too */
    uint32_t crc;         /* of the header */
};

struct seg_head {
    struct identity id;
    uint64_t number;
    uint64_t first_index; /* index that comes next at its start */
    uint64_t prev_term;   /* term of first_index - 1; 0 unknown */
    uint64_t first_no;
    uint64_t salt;
    uint64_t old_salt; /* of the file's earlier life; 0 none */
    uint64_t size;
    uint64_t flight;    /* bound of one write into it */
    uint64_t pred_end;  /* where its predecessor ends; 0 for the first */
    uint64_t pred_last; /* last index there */
    uint32_t pred_chain;
    uint32_t crc; /* of the block: start of the chain */
};

struct wal_seg {
    uint64_t number;
    uint64_t size;
    uint64_t end;       /* bytes in use */
    uint64_t max_index; /* largest index ever in it; 0 none */
    uint64_t salt;
    uint64_t flight;
    uint32_t readers;
    bool own; /* all of it was written by this process */
};

/* Where a frame of entries is. @last may be lower than on disk: truncated. */
struct wal_index {
    uint64_t first;
    uint64_t last;
    uint64_t term;
    uint64_t seg;
    uint64_t off;
    uint32_t len;
};

static inline uint64_t frame_bytes(uint64_t payload)
{
    return (FRAME_HEADER + payload + FRAME_ALIGN - 1) / FRAME_ALIGN *
           FRAME_ALIGN;
}

void seg_head_encode(struct seg_head *h, uint8_t out[SEG_HEADER]);
/* HF_ECORRUPT, HF_EVERSION or HF_EIDENTITY with a message that names @name. */
int seg_head_decode(const uint8_t p[SEG_HEADER],
                    const char *name,
                    const struct identity *id,
                    struct seg_head *h,
                    struct errmsg *em);

/* Fill in len, the checksums and the bytes; the payload is in place at
 * @out + FRAME_HEADER, its padding zero. */
void wal_frame_encode(struct frame *f, uint8_t *out);
/* Does a header with a right checksum begin at @p (FRAME_HEADER bytes)? */
bool wal_frame_decode(const uint8_t *p, struct frame *f);
/* Checksum of the payload, all f->len bytes being at @p. */
bool frame_payload_ok(const struct frame *f, const uint8_t *p);

void entry_encode(uint8_t *out, uint64_t index, const struct entry *e);
/* Next entry of a payload, borrowed. False: it makes no sense. */
bool entry_decode(struct reader *r,
                  uint64_t index,
                  uint64_t term,
                  struct entry *e);

void seg_path(uint64_t number, char out[WAL_PATH_MAX]);
void spare_path(uint64_t id, char out[WAL_PATH_MAX]);
extern const char wal_dir[];
extern const char wal_tmp_path[];

void wal_cfg_defaults(struct wal_cfg *cfg);

/* What is in the directory: numbers of segments in order, ids of prepared
 * ones. free() both lists. */
struct wal_listing {
    uint64_t *segs;
    size_t segs_n;
    uint64_t *spares;
    size_t spares_n;
    bool tmp;
};
int wal_list(struct disk *d, struct wal_listing *l, struct errmsg *em);

#endif
