#include "server/command/args.h"

#include <string.h>

#include "base/limits.h"
#include "resp/resp.h"

bool args_u64(struct bytes s, uint64_t *out)
{
    uint64_t v = 0;

    if (s.n == 0 || s.n > 20 || (s.p[0] == '0' && s.n > 1)) {
        return false;
    }
    for (size_t i = 0; i < s.n; i++) {
        unsigned digit = (unsigned)s.p[i] - '0';

        if (digit > 9 || v > (UINT64_MAX - digit) / 10) {
            return false;
        }
        v = v * 10 + digit;
    }
    *out = v;
    return true;
}

bool args_i64(struct bytes s, int64_t *out)
{
    bool minus = s.n > 0 && s.p[0] == '-';
    uint64_t v;

    if (minus) {
        s = bytes_of(s.p + 1, s.n - 1);
    }
    if (!args_u64(s, &v) || (minus && v == 0) ||
        v > (uint64_t)INT64_MAX + (minus ? 1 : 0)) {
        return false;
    }
    *out = minus ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}

bool args_fail(struct buf *reply, const char *text)
{
    resp_error(reply, text);
    return false;
}

bool args_need_i64(struct bytes s, int64_t *out, struct buf *reply)
{
    return args_i64(s, out) || args_fail(reply, ERR_NOT_INT);
}

bool args_need_i32(struct bytes s, int32_t *out, struct buf *reply)
{
    int64_t v;

    if (!args_need_i64(s, &v, reply)) {
        return false;
    }
    if (v < INT32_MIN || v > INT32_MAX) {
        return args_fail(reply,
                         "ERR value is out of range, value must between "
                         "-2147483648 and 2147483647");
    }
    *out = (int32_t)v;
    return true;
}

bool args_fits(struct buf *reply, size_t start)
{
    if (reply->n - start <= REPLY_MAX) {
        return true;
    }
    reply->n = start;
    resp_errorf(reply, "ERR reply is larger than %d bytes", (int)REPLY_MAX);
    return false;
}

bool args_need_key(struct bytes key, struct buf *reply)
{
    if (key.n <= LIM_KEY) {
        return true;
    }
    resp_errorf(reply, "ERR key is longer than %d bytes", (int)LIM_KEY);
    return false;
}

bool args_need_keys(const struct bytes *argv,
                    int argc,
                    int first,
                    int step,
                    struct buf *reply)
{
    for (int i = first; i < argc; i += step) {
        if (!args_need_key(argv[i], reply)) {
            return false;
        }
    }
    return true;
}

bool args_need_time(struct bytes s,
                    enum expire_unit unit,
                    bool relative,
                    const char *name,
                    int64_t *ms,
                    struct buf *reply)
{
    int64_t v;

    if (!args_need_i64(s, &v, reply)) {
        return false;
    }
    if (v > 0 && (unit == UNIT_MS || v <= INT64_MAX / 1000)) {
        v *= unit == UNIT_S ? 1000 : 1;
        if (!relative || v <= EXPIRE_SPAN_MAX_MS) {
            *ms = v;
            return true;
        }
    }
    resp_errorf(reply, "ERR invalid expire time in '%s' command", name);
    return false;
}

/* Iterative, with one point to fall back to: the last star. */
bool command_glob(struct bytes pat, struct bytes s)
{
    size_t p = 0, i = 0, star = SIZE_MAX, star_i = 0;

    while (i < s.n || p < pat.n) {
        size_t next = p;
        bool ok = false;

        if (p < pat.n && pat.p[p] == '*') {
            star = p++;
            star_i = i;
            continue;
        }
        if (p < pat.n && i < s.n) {
            uint8_t c = pat.p[p];

            if (c == '[') {
                bool negate = p + 1 < pat.n && pat.p[p + 1] == '^';
                bool in = false;

                for (next = p + 1 + negate; next < pat.n && pat.p[next] != ']';
                     next++) {
                    uint8_t lo = pat.p[next], hi = lo;

                    if (lo == '\\' && next + 1 < pat.n) {
                        lo = hi = pat.p[++next];
                    } else if (next + 2 < pat.n && pat.p[next + 1] == '-') {
                        hi = pat.p[next += 2];
                    }
                    in |= lo <= hi ? s.p[i] >= lo && s.p[i] <= hi
                                   : s.p[i] >= hi && s.p[i] <= lo;
                }
                next += next < pat.n;
                ok = in != negate;
            } else {
                if (c == '\\' && p + 1 < pat.n) {
                    c = pat.p[++next];
                    ok = s.p[i] == c;
                } else {
                    ok = c == '?' || s.p[i] == c;
                }
                next++;
            }
        }
        if (ok) {
            p = next;
            i++;
        } else if (star != SIZE_MAX && star_i < s.n) {
            p = star + 1;
            i = ++star_i;
        } else {
            return false;
        }
    }
    return true;
}

static uint16_t crc16(struct bytes s)
{
    unsigned crc = 0;

    for (size_t i = 0; i < s.n; i++) {
        crc ^= (unsigned)s.p[i] << 8;
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc & 0x8000) != 0 ? (crc << 1) ^ 0x1021 : crc << 1;
        }
    }
    return (uint16_t)(crc & 0xFFFF);
}

uint16_t command_key_slot(struct bytes key)
{
    const uint8_t *open = key.n == 0 ? NULL : memchr(key.p, '{', key.n);

    if (open != NULL) {
        size_t left = key.n - (size_t)(open + 1 - key.p);
        const uint8_t *close = memchr(open + 1, '}', left);

        if (close != NULL && close > open + 1) {
            key = bytes_of(open + 1, (size_t)(close - open - 1));
        }
    }
    return crc16(key) & 16383;
}
