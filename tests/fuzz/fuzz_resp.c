/* libFuzzer target: requests and replies of any bytes, split anywhere.
 * The first byte of the input says where the input is split. */
#include <stdint.h>
#include <stdlib.h>

#include "base/assert.h"
#include "resp/resp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t feed_requests(const uint8_t *data, size_t n, size_t step)
{
    struct resp_parser p;
    size_t start = 0;
    size_t end = 0;
    size_t commands = 0;
    int rv = 0;

    resp_parser_init(&p, 1 << 16);
    while (rv >= 0) {
        struct resp_args a;
        size_t used;

        rv = resp_parse_request(&p, data + start, end - start, &used, &a);
        hf_assert(used <= end - start);
        start += used;
        if (rv == 1) {
            hf_assert(a.argc > 0);
            commands++;
        } else if (rv == 0) {
            if (end == n) {
                break;
            }
            end = n - end < step ? n : end + step;
        }
    }
    resp_parser_release(&p);
    return commands;
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t step;

    if (size == 0) {
        return 0;
    }
    step = (size_t)data[0] + 1;
    /* However the bytes arrive, the commands are the same. */
    hf_assert(feed_requests(data + 1, size - 1, step) ==
              feed_requests(data + 1, size - 1, size));
    feed_replies(data + 1, size - 1, step);
    return 0;
}
