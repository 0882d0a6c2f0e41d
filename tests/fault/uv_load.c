/* Increments by libholdfast_uv, many at a time, through whatever happens to
 * the nodes; also the example of docs/LIBRARY.md.
 *   uv_load ENDPOINTS CONCURRENT SECONDS KEY
 * SIGTERM ends it sooner. Prints how many calls ended how, and the longest
 * time without an end. Status 1: an error, a sum given twice, or a value at the
 * end that is not the number of increments. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/holdfast_uv.h"

enum { SUMS_MAX = 1 << 22, TIMEOUT_MS = 20000 };

struct load {
    struct hf_uv *h;
    const char *key;
    uint64_t start_ms;
    uint64_t end_ms;
    uint64_t last_ms; /* of an end */
    uint64_t gap_ms;
    uint64_t ok;
    uint64_t errors;
    uint64_t twice;
    int64_t top;
    int64_t value;
    unsigned char *seen;
};

static void on_term(uv_signal_t *s, int signum)
{
    (void)signum;
    ((struct load *)s->data)->end_ms = 0;
}

static uint64_t now_ms(void)
{
    return uv_hrtime() / 1000000;
}

static void one(struct load *l);

static void on_sum(void *data,
                   int code,
                   const struct hf_reply *reply,
                   const char *error)
{
    struct load *l = data;
    uint64_t now = now_ms();

    l->gap_ms = now - l->last_ms > l->gap_ms ? now - l->last_ms : l->gap_ms;
    l->last_ms = now;
    if (code == HF_OK && reply->integer > 0 && reply->integer < SUMS_MAX) {
        l->twice += l->seen[reply->integer];
        l->seen[reply->integer] = 1;
        l->top = reply->integer > l->top ? reply->integer : l->top;
        l->ok++;
    } else {
        fprintf(stderr, "%s: %s\n", hf_result_name(code), error);
        l->errors++;
    }
    if (now < l->end_ms) {
        one(l);
    }
}

static void one(struct load *l)
{
    int rv = hf_uv_incr(l->h, hf_str(l->key), 1, TIMEOUT_MS, on_sum, l);

    if (rv != HF_OK) {
        fprintf(stderr, "not accepted: %s\n", hf_result_name(rv));
        l->errors++;
    }
}

static void on_value(void *data,
                     int code,
                     const struct hf_reply *reply,
                     const char *error)
{
    struct load *l = data;

    if (code == HF_OK) {
        l->value = strtoll(reply->str, NULL, 10);
    } else {
        fprintf(stderr, "read: %s: %s\n", hf_result_name(code), error);
    }
}

int main(int argc, char **argv)
{
    struct load l = {0};
    uv_signal_t term;
    uv_loop_t loop;

    if (argc != 5 || uv_loop_init(&loop) != 0 ||
        hf_uv_open(&loop, argv[1], NULL, &l.h) != HF_OK) {
        fprintf(stderr, "usage: uv_load ENDPOINTS CONCURRENT SECONDS KEY\n");
        return 2;
    }
    l.key = argv[4];
    (void)uv_signal_init(&loop, &term);
    term.data = &l;
    (void)uv_signal_start(&term, on_term, SIGTERM);
    uv_unref((uv_handle_t *)&term); /* does not keep the loop */
    l.seen = calloc(SUMS_MAX, 1);
    l.start_ms = now_ms();
    l.last_ms = l.start_ms;
    l.end_ms = l.start_ms + 1000 * strtoull(argv[3], NULL, 10);
    for (int i = 0; i < atoi(argv[2]); i++) {
        one(&l);
    }
    (void)uv_run(&loop, UV_RUN_DEFAULT); /* until all calls have ended */
    (void)hf_uv_get(l.h, hf_str(l.key), TIMEOUT_MS, on_value, &l);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    hf_uv_close(l.h, NULL, NULL);
    uv_close((uv_handle_t *)&term, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&loop);
    printf("%" PRIu64 " increments, value %" PRId64 ", top sum %" PRId64
           ", %" PRIu64 " twice, %" PRIu64 " errors, longest gap %" PRIu64
           " ms\n",
           l.ok, l.value, l.top, l.twice, l.errors, l.gap_ms);
    free(l.seen);
    return l.errors == 0 && l.twice == 0 && l.ok > 0 &&
                   (uint64_t)l.value == l.ok && l.top == l.value
               ? 0
               : 1;
}
