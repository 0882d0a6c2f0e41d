/* What the fuzz targets share: the owner of all files, and files of a disk
 * in memory. */
#ifndef HF_TESTS_FUZZ_FUZZ_H
#define HF_TESTS_FUZZ_FUZZ_H

#include <stdlib.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/crc32c.h"
#include "raftio/identity.h"
#include "tests/sim/disk_sim.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The identity in tests/golden, so that those files are seeds. */
static inline struct identity fuzz_who(void)
{
    struct identity id;

    memset(&id, 0, sizeof id);
    for (uint8_t i = 0; i < ID_BYTES; i++) {
        id.cluster_id[i] = (uint8_t)(0xC0 + i);
        id.dir_id[i] = (uint8_t)(0xD0 + i);
    }
    id.node_id = 1;
    return id;
}

/* Memory of exactly @n bytes, so that a read past its end is seen. */
static inline uint8_t *fuzz_copy(struct bytes b)
{
    uint8_t *p = malloc(b.n == 0 ? 1 : b.n);

    hf_assert(p != NULL);
    if (b.n > 0) {
        memcpy(p, b.p, b.n);
    }
    return p;
}

static inline void fuzz_put(struct disk *d, const char *name, struct bytes b)
{
    struct disk_file *f;

    hf_assert(disk_open(d, name, DISK_WRITE | DISK_CREATE, &f) == 0);
    hf_assert(b.n == 0 || disk_pwrite(f, b.p, b.n, 0) == 0);
    hf_assert(disk_sync(f) == 0);
    disk_close(f);
}

/* The whole file; nothing where it is missing. */
static inline struct buf fuzz_get(struct disk *d, const char *name)
{
    int64_t n = disk_sim_size(d, name);
    struct buf b = BUF_INIT;
    struct disk_file *f;

    if (n > 0) {
        hf_assert(disk_open(d, name, DISK_READ, &f) == 0);
        buf_reserve(&b, (size_t)n);
        hf_assert(disk_pread(f, b.p, (size_t)n, 0) == n);
        b.n = (size_t)n;
        disk_close(f);
    }
    return b;
}

/* Put right the checksums of a state stream: that of the head (its last 4
 * bytes) and the record at the end. */
static inline void fuzz_mend_stream(uint8_t *p, size_t n)
{
    uint32_t crc = 0;
    size_t at = 0;

    while (n - at >= 5) {
        uint8_t *rec = p + at;
        size_t k = get_u32(rec + 1);

        if (k > n - at - 5) {
            return;
        }
        if (rec[0] == 1 && k >= 4) {
            put_u32(rec + 5 + k - 4, crc32c(0, rec + 5, k - 4));
        } else if (rec[0] == 6 && k == 4) {
            put_u32(rec + 5, crc);
        }
        crc = crc32c(crc, rec, 5 + k);
        at += 5 + k;
    }
}

#endif
