/* A small Redis client on the simulated network, with a parser of its own:
 * the tests must not believe the code they test. RESP2, and of RESP3 what a
 * client is told that tracks. */
#ifndef HF_TESTS_SIM_MINI_H
#define HF_TESTS_SIM_MINI_H

#include "base/bytes.h"
#include "base/env.h"

enum { MINI_ELEMENTS = 4 };

/* One reply; ranges are borrowed during on_reply. */
struct mini_reply {
    char type;      /* '+', '-', ':', '$', '_', '*', '%' or '>' */
    bool null;      /* null bulk or null array */
    struct bytes v; /* text of '+', '-', '$' */
    int64_t num;    /* of ':'; elements of '*' */
    struct mini_elem {
        char type;
        bool null;
        struct bytes v;
        int64_t num;
    } el[MINI_ELEMENTS]; /* the first ones of '*'; of a nested '*' v is what
                            mini_parse() takes */
};

/* Bytes of the reply at the front of @b, 0 if it is not whole yet, -1 if it
 * is none. */
int64_t mini_parse(struct bytes b, struct mini_reply *r);

/* Append one command of @argc arguments. */
void mini_command(struct buf *b, int argc, const struct bytes *argv);
/* The same from text, split at spaces. */
void mini_line(struct buf *b, const char *line);

/* One connection. Caller's memory. */
struct mini {
    struct net_conn *c; /* NULL: none */
    struct buf in;
    bool open;
    void *data;
    void (*on_open)(struct mini *m);
    void (*on_reply)(struct mini *m, const struct mini_reply *r);
    void (*on_close)(struct mini *m, int code);
};

void mini_connect(struct mini *m, struct env *e, const char *hostport);
void mini_send(struct mini *m, struct buf *b); /* and clears @b */
/* on_close does not come. Harmless without a connection. */
void mini_close(struct mini *m);
void mini_release(struct mini *m);

#endif
