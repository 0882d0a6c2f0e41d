#include "server/command/dump.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <lzf.h>

#include "base/err.h"
#include "base/mutant.h"
#include "resp/resp.h"
#include "server/command/args.h"
#include "server/command/notify.h"
#include "server/store/machine.h"

enum { RDB_STRING = 0, RDB_INT8 = 0xC0, RDB_INT16, RDB_INT32, RDB_LZF };

static uint64_t crc64(struct bytes s)
{
    static uint64_t table[256];
    uint64_t crc = 0;

    if (table[1] == 0) {
        for (unsigned i = 0; i < 256; i++) {
            uint64_t c = i;

            for (int bit = 0; bit < 8; bit++) {
                c = c >> 1 ^ ((c & 1) != 0 ? 0x95AC9329AC4BC9B5U : 0);
            }
            table[i] = c;
        }
    }
    for (size_t i = 0; i < s.n; i++) {
        crc = table[(crc ^ s.p[i]) & 0xFF] ^ crc >> 8;
    }
    return crc;
}

/* ---- writing ---- */

static void put_length(struct buf *out, size_t n)
{
    if (n < 1 << 6) {
        buf_u8(out, (uint8_t)n);
    } else if (n < 1 << 14) {
        buf_u8(out, (uint8_t)(0x40 | n >> 8));
        buf_u8(out, (uint8_t)n);
    } else {
        uint32_t big = __builtin_bswap32((uint32_t)n);

        _Static_assert((uint64_t)VALUE_MAX <= UINT32_MAX, "one long form");
        buf_u8(out, 0x80);
        buf_u32(out, big);
    }
}

static bool put_integer(struct buf *out, struct bytes value)
{
    int64_t v;

    if (!args_i64(value, &v) || v < INT32_MIN || v > INT32_MAX) {
        return false;
    }
    if (v >= INT8_MIN && v <= INT8_MAX) {
        buf_u8(out, RDB_INT8);
        buf_u8(out, (uint8_t)v);
    } else if (v >= INT16_MIN && v <= INT16_MAX) {
        buf_u8(out, RDB_INT16);
        buf_u16(out, (uint16_t)v);
    } else {
        buf_u8(out, RDB_INT32);
        buf_u32(out, (uint32_t)v);
    }
    return true;
}

static bool put_packed(struct buf *out, struct bytes value)
{
    unsigned n = (unsigned)value.n;
    unsigned packed_n;
    uint8_t *packed;

    if (value.n <= DUMP_PACK_MIN || value.n > DUMP_PACK_MAX) {
        return false;
    }
    packed = hf_malloc(n);
    packed_n = lzf_compress(value.p, n, packed, n - 4);
    if (packed_n > 0) {
        buf_u8(out, RDB_LZF);
        put_length(out, packed_n);
        put_length(out, n);
        buf_append(out, packed, packed_n);
    }
    free(packed);
    return packed_n > 0;
}

void dump_encode(struct bytes value, bool pack, struct buf *out)
{
    size_t start = out->n;

    buf_u8(out, RDB_STRING);
    if (!put_integer(out, value) && !(pack && put_packed(out, value))) {
        put_length(out, value.n);
        buf_bytes_append(out, value);
    }
    buf_u16(out, DUMP_VERSION);
    buf_u64(out, crc64(bytes_of(out->p + start, out->n - start)));
}

/* ---- reading ---- */

bool dump_check(struct bytes dump)
{
    if (dump.n < DUMP_FOOTER ||
        get_u16(dump.p + dump.n - DUMP_FOOTER) > DUMP_VERSION) {
        return false;
    }
    return get_u64(dump.p + dump.n - 8) ==
               crc64(bytes_of(dump.p, dump.n - 8)) ||
           mutant(DUMP_CRC);
}

/* A length; the first byte of what is none of ours goes to *@kind. */
static uint64_t rd_length(struct reader *r, uint8_t *kind)
{
    uint8_t first = rd_u8(r);
    uint64_t n = first & 0x3F;

    *kind = 0;
    switch (first >> 6) {
        case 0:
            return n;
        case 1:
            return n << 8 | rd_u8(r);
        case 2:
            if (first == 0x80) {
                return __builtin_bswap32(rd_u32(r));
            }
            if (first == 0x81) {
                return __builtin_bswap64(rd_u64(r));
            }
            break;
        default:
            break;
    }
    *kind = first;
    return 0;
}

static int rd_integer(struct reader *r, uint8_t kind, struct buf *out)
{
    int64_t v = kind == RDB_INT8    ? (int8_t)rd_u8(r)
                : kind == RDB_INT16 ? (int16_t)rd_u16(r)
                                    : (int32_t)rd_u32(r);

    if (!reader_ok(r)) {
        return HF_EINVAL;
    }
    buf_printf(out, "%" PRId64, v);
    return 0;
}

static int rd_packed(struct reader *r, struct buf *out)
{
    uint8_t kind1, kind2;
    uint64_t packed_n = rd_length(r, &kind1);
    uint64_t n = rd_length(r, &kind2);
    struct bytes packed;

    if (!reader_ok(r) || kind1 != 0 || kind2 != 0 || packed_n > r->n ||
        packed_n == 0 || n == 0 || n > VALUE_MAX) {
        return HF_EINVAL;
    }
    packed = rd_bytes(r, packed_n);
    buf_reserve(out, n);
    if (lzf_decompress(packed.p, (unsigned)packed_n, out->p + out->n,
                       (unsigned)n) != n) {
        return HF_EINVAL;
    }
    out->n += n;
    return 0;
}

/* Bytes behind the string are let pass, as Redis does. */
int dump_decode(struct bytes dump, struct buf *out)
{
    struct reader r = reader_of(bytes_of(dump.p, dump.n - DUMP_FOOTER));
    uint8_t kind;
    uint64_t n;

    if (rd_u8(&r) != RDB_STRING) {
        return HF_EINVAL;
    }
    n = rd_length(&r, &kind);
    if (!reader_ok(&r)) {
        return HF_EINVAL;
    }
    if (kind == RDB_LZF) {
        return rd_packed(&r, out);
    }
    if (kind != 0) {
        return kind >= RDB_INT8 && kind <= RDB_INT32 ? rd_integer(&r, kind, out)
                                                     : HF_EINVAL;
    }
    if (n > r.n || n > VALUE_MAX) {
        return HF_EINVAL;
    }
    buf_bytes_append(out, rd_bytes(&r, n));
    return 0;
}

/* ---- the commands ---- */

void cmd_dump(struct machine *m,
              const struct bytes *argv,
              int argc,
              struct buf *reply)
{
    struct buf dump = BUF_INIT;
    const struct item *it;

    (void)argc;
    if (!args_need_key(argv[1], reply) || m == NULL) {
        return;
    }
    it = notify_get(m, argv[1]);
    if (it == NULL) {
        resp_null(reply);
        return;
    }
    /* A reply in the log may be saved, so there it is the same everywhere. */
    dump_encode(item_value(it), !machine_applying(m) || mutant(DUMP_PACKS),
                &dump);
    resp_bulk(reply, buf_bytes(&dump));
    buf_release(&dump);
}

struct restore {
    bool replace;
    bool absttl;
    bool idle;
    bool freq;
};

/* IDLETIME and FREQ are checked, and say nothing to a store without eviction.
 */
static bool restore_options(const struct bytes *argv,
                            int argc,
                            struct restore *o,
                            struct buf *reply)
{
    int64_t v;

    memset(o, 0, sizeof *o);
    for (int i = 4; i < argc; i++) {
        bool more = i + 1 < argc;

        if (bytes_ieq(argv[i], "REPLACE")) {
            o->replace = true;
        } else if (bytes_ieq(argv[i], "ABSTTL")) {
            o->absttl = true;
        } else if (bytes_ieq(argv[i], "IDLETIME") && more && !o->freq) {
            if (!args_need_i64(argv[++i], &v, reply)) {
                return false;
            }
            if (v < 0) {
                return args_fail(reply,
                                 "ERR Invalid IDLETIME value, must be >= 0");
            }
            o->idle = true;
        } else if (bytes_ieq(argv[i], "FREQ") && more && !o->idle) {
            if (!args_need_i64(argv[++i], &v, reply)) {
                return false;
            }
            if (v < 0 || v > 255) {
                return args_fail(
                    reply, "ERR Invalid FREQ value, must be >= 0 and <= 255");
            }
            o->freq = true;
        } else {
            return args_fail(reply, ERR_SYNTAX);
        }
    }
    return true;
}

static bool restore_ttl(struct bytes text,
                        bool relative,
                        uint64_t now,
                        uint64_t *deadline,
                        struct buf *reply)
{
    int64_t ttl;

    if (!args_need_i64(text, &ttl, reply)) {
        return false;
    }
    if (ttl < 0 || (relative && ttl > EXPIRE_SPAN_MAX_MS)) {
        return args_fail(reply, "ERR Invalid TTL value, must be >= 0");
    }
    *deadline = (uint64_t)ttl + (ttl > 0 && relative ? now : 0);
    return true;
}

/* In the order in which Redis looks: options, key, time, checksum, data. */
void cmd_restore(struct machine *m,
                 const struct bytes *argv,
                 int argc,
                 struct buf *reply)
{
    struct buf value = BUF_INIT;
    struct restore o;
    struct store *s;
    uint64_t deadline = 0;

    if (!restore_options(argv, argc, &o, reply) ||
        !args_need_key(argv[1], reply) || m == NULL) {
        return;
    }
    s = machine_store(m);
    if (!o.replace && store_get(s, argv[1]) != NULL) {
        resp_error(reply, "BUSYKEY Target key name already exists.");
        return;
    }
    if (!restore_ttl(argv[2], !o.absttl, store_time(s), &deadline, reply)) {
        return;
    }
    if (!dump_check(argv[3])) {
        resp_error(reply, "ERR DUMP payload version or checksum are wrong");
    } else if (dump_decode(argv[3], &value) != 0) {
        resp_error(reply, "ERR Bad data format");
    } else if (deadline != 0 && deadline <= store_time(s)) {
        (void)notify_delete(m, argv[1]);
        resp_ok(reply);
    } else {
        notify_put(m, argv[1], buf_bytes(&value), deadline, NOTIFY_GENERIC,
                   "restore");
        resp_ok(reply);
    }
    buf_release(&value);
}
