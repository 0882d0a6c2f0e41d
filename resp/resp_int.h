/* Shared by the files of resp/ only. */
#ifndef HF_RESP_RESP_INT_H
#define HF_RESP_RESP_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

/* Bytes of one bulk of a reply; beyond: not the protocol. Redis has the same.
 */
#define RESP_BULK_MAX ((int64_t)512 << 20)

/* A decimal integer of the protocol: "-"? and digits, nothing around. */
bool resp_number(const uint8_t *s, size_t n, int64_t *out);

/* "<type><v>\r\n" */
void resp_header(struct buf *b, char type, int64_t v);

/* One value's header, and for strings its bytes; elements are not part. */
struct resp_token {
    char type;         /* first byte: '$', '*', ... */
    int64_t count;     /* of ':' '$' '=' '!' '*' '%' '~' '>': the number */
    struct bytes body; /* the line, or the bytes of a bulk */
    size_t len;        /* bytes of the token, line ends included */
    uint64_t children; /* values that follow and belong to it */
};

/* Read the token at the front of @data, or, when a bulk is not all there,
 * *@want = bytes that its end needs in sum.
 * 1, 0 (more bytes are needed) or HF_EINVAL. */
int resp_token_read(struct resp_token *t,
                    const uint8_t *data,
                    size_t n,
                    size_t *want);

#endif
