/* libFuzzer target: requests and replies of any bytes, split anywhere.
 * The first byte of the input says where the input is split. */
#include "resp/resp.h"
#include "tests/fuzz/fuzz.h"

enum { REQUEST_MAX = 1 << 16 };

/* All commands, written anew, in the order in which they came. */
static struct buf feed_requests(const uint8_t *data, size_t n, size_t step)
{
    struct buf all = BUF_INIT;
    struct resp_parser p;
    size_t start = 0;
    size_t end = 0;
    int rv = 0;

    resp_parser_init(&p, REQUEST_MAX);
    while (rv >= 0) {
        struct resp_args a;
        size_t used;

        rv = resp_parse_request(&p, data + start, end - start, &used, &a);
        hf_assert(used <= end - start);
        start += used;
        if (rv == 1) {
            hf_assert(a.argc > 0);
            resp_request(&all, a.argv, a.argc);
        } else if (rv == 0) {
            if (end == n) {
                break;
            }
            end = n - end < step ? n : end + step;
        }
    }
    resp_parser_release(&p);
    return all;
}

static void feed_replies(const uint8_t *data, size_t n, size_t step)
{
    struct resp_scan s = {0};
    struct buf out = BUF_INIT;
    size_t start = 0;
    size_t end = 0;

    for (;;) {
        size_t len;
        int rv = resp_scan_reply(&s, data + start, end - start, 1 << 16, &len);

        if (rv == 1) {
            struct bytes one = bytes_of(data + start, len);
            struct resp_value *v = NULL;

            hf_assert(resp3_to_resp2(one, &out) == 0);
            hf_assert(resp3_is_resp2(buf_bytes(&out)));
            (void)resp_parse_reply(one, &v);
            resp_value_free(v);
            start += len;
        } else if (rv < 0 || end == n) {
            break;
        } else {
            end = n - end < step ? n : end + step;
        }
    }
    buf_release(&out);
}

/* However the bytes arrive, the commands are the same; written anew they are
 * read as the same. */
static void requests(const uint8_t *data, size_t n, size_t step)
{
    struct buf a = feed_requests(data, n, step);
    struct buf b = feed_requests(data, n, n + 1);
    struct buf again = BUF_INIT;

    hf_assert(bytes_eq(buf_bytes(&a), buf_bytes(&b)));
    if (a.n > 0) {
        again = feed_requests(a.p, a.n, a.n + 1);
    }
    hf_assert(again.n <= a.n);
    hf_assert(again.n == 0 || memcmp(again.p, a.p, again.n) == 0);
    hf_assert(again.n == a.n || a.n > REQUEST_MAX);
    buf_release(&a);
    buf_release(&b);
    buf_release(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    requests(data + 1, size - 1, (size_t)data[0] + 1);
    feed_replies(data + 1, size - 1, (size_t)data[0] + 1);
    return 0;
}
