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

/* "[...]" at *@p, which moves behind it: is @c in it? */
static bool glob_class(struct bytes pat, size_t *p, uint8_t c)
{
    bool negate = *p + 1 < pat.n && pat.p[*p + 1] == '^';
    size_t at = *p + 1 + negate;
    bool in = false;

    for (; at < pat.n && pat.p[at] != ']'; at++) {
        uint8_t lo = pat.p[at], hi = lo;

        if (lo == '\\' && at + 1 < pat.n) {
            lo = hi = pat.p[++at];
        } else if (at + 2 < pat.n && pat.p[at + 1] == '-') {
            hi = pat.p[at += 2];
        }
        in |= lo <= hi ? c >= lo && c <= hi : c >= hi && c <= lo;
    }
    *p = at + (at < pat.n);
    return in != negate;
}

/* What stands for one byte at *@p, which moves behind it: for @c? */
static bool glob_one(struct bytes pat, size_t *p, uint8_t c)
{
    uint8_t want = pat.p[*p];

    if (want == '[') {
        return glob_class(pat, p, c);
    }
    if (want == '\\' && *p + 1 < pat.n) {
        want = pat.p[*p + 1];
        *p += 2;
        return c == want;
    }
    ++*p;
    return want == '?' || c == want;
}

/* Iterative, with one point to fall back to: the last star. */
bool command_glob_within(struct bytes pat, struct bytes s, uint64_t *steps)
{
    size_t p = 0, i = 0, star = SIZE_MAX, star_i = 0;

    while (i < s.n || p < pat.n) {
        size_t next = p;
        bool ok = false;

        if (p < pat.n && pat.p[p] == '*') {
            star = next++;
            star_i = i;
        } else if (p < pat.n && i < s.n) {
            ok = glob_one(pat, &next, s.p[i]);
        }
        if (*steps <= next - p + 1) {
            *steps = 0;
            return false;
        }
        *steps -= next - p + 1;
        if (ok) {
            i++;
        } else if (star == p) {
            if (next == pat.n) {
                return true; /* nothing behind the star */
            }
        } else if (star != SIZE_MAX && star_i < s.n) {
            next = star + 1;
            i = ++star_i;
        } else {
            return false;
        }
        p = next;
    }
    return true;
}

bool command_glob(struct bytes pat, struct bytes s)
{
    uint64_t steps = UINT64_MAX;

    return command_glob_within(pat, s, &steps);
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
