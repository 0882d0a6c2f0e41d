/* RESP2 and RESP3, the Redis protocol: pure, incremental, without copies.
 *
 * Shared by both ends. Nothing here reads, writes or waits: bytes come in as
 * ranges, replies go out into a struct buf. Protocol description:
 * https://redis.io/docs/latest/develop/reference/protocol-spec/
 *
 *   request parser   what a server reads: arrays of bulks, inline commands
 *   reply writer     what a server writes, in the canonical form
 *   resp3_to_resp2   canonical replies for a connection that speaks RESP2
 *   reply scanner    how long is the next reply? (incremental)
 *   reply tree       a complete reply as a tree that borrows its bytes
 *
 * The canonical form of a reply is RESP3, except that the null array (the
 * answer of an EXEC whose condition failed) is spelled as in RESP2, "*-1", so
 * that it stays apart from the plain null "_" until the protocol of the
 * connection is known; resp3_fix_null_arrays() spells it "_". Likewise pairs
 * (the streams of an XREAD: in RESP3 a map, in RESP2 an array of arrays of
 * two), which are spelled "&n", then n times "^", key and value. */
#ifndef HF_RESP_RESP_H
#define HF_RESP_RESP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

enum {
    RESP_HEADER_MAX = 32,   /* bytes of a "*n" or "$n" line, CRLF included */
    RESP_ERROR_MAX = 96,    /* bytes of a protocol error's text, NUL included */
    RESP_DEPTH_MAX = 32,    /* nesting of a reply tree; beyond: HF_EINVAL */
    RESP_LINE_MAX = 1 << 20 /* bytes of a reply's line (status, error, ...) */
};

/* ---- requests ---- */

/* One command. The array belongs to the parser; the strings point into the
 * bytes that were parsed (inline commands: into the parser). Valid until the
 * next call on the parser or until those bytes move. */
struct resp_args {
    const struct bytes *argv;
    size_t argc; /* at least 1 */
};

struct resp_slice {
    size_t off;
    size_t len;
};

/* Fields are private. */
struct resp_parser {
    size_t request_max;
    size_t pos;   /* bytes of the present request already dealt with */
    size_t left;  /* arguments still to come; 0: before the header */
    size_t bulk;  /* length of the bulk being read */
    bool in_bulk; /* @bulk is known, its bytes are not all there */
    size_t argc;  /* arguments found */
    size_t cap;   /* of the two arrays */
    struct resp_slice *slices; /* offsets: the caller's buffer may move */
    struct bytes *argv;
    struct buf text; /* unquoted inline arguments */
    char error[RESP_ERROR_MAX];
};

/* @request_max: bytes of one request, framing included; a longer one is an
 * error as soon as its header is seen, before its bytes are waited for. */
void resp_parser_init(struct resp_parser *p, size_t request_max);
void resp_parser_release(struct resp_parser *p);

/* Look for a command at the front of @data.
 *
 * The caller keeps unread bytes: each call gets the same bytes again, minus
 * the *@used of the calls before, plus what has arrived since. What was seen
 * is not scanned again.
 *
 * 1           *@out is a command; drop *@used bytes when done with it.
 * 0           more bytes are needed. *@used may be over 0: empty requests
 *             ("*0", "*-1", empty inline lines) that were skipped.
 * HF_EINVAL   not the protocol: resp_parser_error() is the text to send
 *             ("Protocol error: ..."), then close. The parser stays unusable
 *             until it is initialised again. */
int resp_parse_request(struct resp_parser *p,
                       const uint8_t *data,
                       size_t n,
                       size_t *used,
                       struct resp_args *out);

/* Without "ERR " in front and without line end. Valid as long as @p. */
const char *resp_parser_error(const struct resp_parser *p);

/* True when a part of a request was dealt with. A request that is only a few
 * bytes yet may be unread as a whole: the caller's unread bytes tell. */
bool resp_parser_busy(const struct resp_parser *p);

/* Bytes that the request begun still needs before the parser can go on, as
 * far as known; 0: unknown. A hint for sizing the read buffer. */
size_t resp_parser_wants(const struct resp_parser *p, size_t n);

/* Write a command as an array of bulks. */
void resp_request(struct buf *b, const struct bytes *argv, size_t argc);

/* ---- replies: writer ---- */

void resp_ok(struct buf *b);
void resp_simple(struct buf *b, const char *text); /* no CR, LF: cut there */
/* @text starts with its class word: "ERR no such key". Cut at the first CR
 * or LF, which would break the framing. */
void resp_error(struct buf *b, const char *text);
void resp_errorf(struct buf *b, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void resp_int(struct buf *b, int64_t v);
void resp_bulk(struct buf *b, struct bytes s);
void resp_bulk_str(struct buf *b, const char *s);
void resp_null(struct buf *b);
void resp_null_array(struct buf *b);
/* Each is followed by its elements; a map of @n by 2 * @n values. */
void resp_array(struct buf *b, size_t n);
void resp_map(struct buf *b, size_t n);
void resp_set(struct buf *b, size_t n);
void resp_push(struct buf *b, size_t n);
/* Followed by @n times resp_pair() and two values. */
void resp_pairs(struct buf *b, size_t n);
void resp_pair(struct buf *b);
void resp_double(struct buf *b, double v);
void resp_bool(struct buf *b, bool v);
void resp_verbatim(struct buf *b, struct bytes text); /* "txt" */

/* ---- replies: conversion ---- */

/* True when canonical replies read the same in RESP2, so that they can be
 * sent as they are. Constant time for all but arrays. */
bool resp3_is_resp2(struct bytes in);

/* Append the RESP2 form of one or more whole canonical replies: map to flat
 * array, set and push to array, null to "$-1", bool to integer, double, big
 * number and verbatim to bulk, bulk error to error.
 * 0, or HF_EINVAL when @in is not whole replies: @out is then unchanged. */
int resp3_to_resp2(struct bytes in, struct buf *out);

/* Append the canonical replies @in in pure RESP3: "*-1" becomes "_", pairs
 * become maps. */
int resp3_fix_null_arrays(struct bytes in, struct buf *out);

/* ---- replies: scanner ---- */

/* All zero to start with and after each reply. Fields are private. */
struct resp_scan {
    size_t pos;    /* bytes dealt with */
    uint64_t left; /* values still to come */
    bool started;
};

/* Is there a whole reply at the front of @data? The rule for @data is that
 * of resp_parse_request(); nothing is to be dropped before the reply is
 * whole.
 *
 * 1           yes, *@len bytes; @s is ready for the next reply.
 * 0           more bytes are needed.
 * HF_EINVAL   not the protocol.
 * HF_ELIMIT   longer than @max bytes. */
int resp_scan_reply(struct resp_scan *s,
                    const uint8_t *data,
                    size_t n,
                    size_t max,
                    size_t *len);

/* ---- replies: tree ---- */

enum resp_type {
    RESP_STATUS, /* str */
    RESP_ERROR,  /* str, class word first */
    RESP_INT,    /* i */
    RESP_BULK,   /* str */
    RESP_NULL,
    RESP_NULL_ARRAY,
    RESP_ARRAY,    /* items, n */
    RESP_MAP,      /* items, n: key, value, key, value; n is even */
    RESP_SET,      /* items, n */
    RESP_PUSH,     /* items, n */
    RESP_DOUBLE,   /* d, and str as sent */
    RESP_BOOL,     /* i: 0 or 1 */
    RESP_VERBATIM, /* str, without the "txt:" */
    RESP_BIGNUM    /* str: digits */
};

struct resp_value {
    enum resp_type type;
    int64_t i;
    double d;
    struct bytes str;
    struct resp_value *items;
    size_t n;
};

/* Build the tree of the one reply that @in is, to the last byte.
 * 0: *@out owns its nodes, frees with resp_value_free(), and borrows all
 * strings from @in. HF_EINVAL: *@out unchanged. */
int resp_parse_reply(struct bytes in, struct resp_value **out);
void resp_value_free(struct resp_value *v); /* NULL is allowed */

#endif
