/* libholdfast: what both clients send. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/hf_int.h"
#include "resp/resp.h"

void hf_options_copy(struct hf_options *to, const struct hf_options *from)
{
    *to = *from;
    to->user = from->user != NULL ? hf_strdup(from->user) : NULL;
    to->password = from->password != NULL ? hf_strdup(from->password) : NULL;
}

void hf_options_release(struct hf_options *o)
{
    free((char *)o->user);
    free((char *)o->password);
    o->user = o->password = NULL;
}

int64_t hf_greeting_ms(const struct hf_options *o)
{
    return o->password != NULL ? HF_AUTH_TIMEOUT : HF_CONNECT_TIMEOUT;
}

void hf_greeting(const struct hf_options *opt, struct buf *b)
{
    resp_array(b, opt->password != NULL ? 5 : 2);
    resp_bulk_str(b, "HELLO");
    resp_bulk_str(b, "3");
    if (opt->password != NULL) {
        resp_bulk_str(b, "AUTH");
        resp_bulk_str(b, opt->user != NULL ? opt->user : "default");
        resp_bulk_str(b, opt->password);
    }
}

void hf_greeting_stale(const struct hf_options *opt, struct buf *b)
{
    char age[16];

    snprintf(age, sizeof(age), "%u", opt->max_age_ms);
    resp_array(b, opt->max_age_ms > 0 ? 3 : 1);
    resp_bulk_str(b, "READONLY");
    if (opt->max_age_ms > 0) {
        resp_bulk_str(b, "MAXAGE");
        resp_bulk_str(b, age);
    }
}

_Static_assert(LIM_ARGS - 3 == 131069 && HF_REQUEST_MAX == 67108864,
               "the texts below name them");

int hf_check(const struct hf_bytes *argv, size_t argc, const char **error)
{
    size_t total = 0;

    if (argc == 0 || argc > LIM_ARGS - 3) {
        *error = "a command has 1 to 131069 words";
        return HF_EARGUMENT;
    }
    for (size_t i = 0; i < argc; i++) {
        if (argv[i].n > HF_REQUEST_MAX - total) {
            *error = "the request is over 67108864 bytes";
            return HF_ETOOBIG;
        }
        total += argv[i].n;
    }
    return HF_OK;
}

static void put_number(struct buf *b, uint64_t v)
{
    char text[24];

    snprintf(text, sizeof(text), "%" PRIu64, v);
    resp_bulk_str(b, text);
}

void hf_request_head(struct buf *b,
                     uint64_t session,
                     uint64_t number,
                     size_t argc)
{
    resp_array(b, argc + (session != 0 ? 3 : 0));
    if (session != 0) {
        resp_bulk_str(b, "ONCE");
        put_number(b, session);
        put_number(b, number);
    }
}

void hf_request(struct buf *b,
                uint64_t session,
                uint64_t number,
                const struct hf_bytes *argv,
                size_t argc)
{
    hf_request_head(b, session, number, argc);
    for (size_t i = 0; i < argc; i++) {
        resp_bulk(b, bytes_of(argv[i].p, argv[i].n));
    }
}
