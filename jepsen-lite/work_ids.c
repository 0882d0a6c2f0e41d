/* ids: numbers that are never given twice. */
#include <stdio.h>

#include "jepsen-lite/load.h"

static void *setup(struct load *l)
{
    (void)l;
    return NULL;
}

static bool do_gen(struct client *c)
{
    struct answer a = {0};
    struct buf v = BUF_INIT;
    enum outcome o;

    op_begin(c, false, "gen", "ids", "null", "");
    o = c->via_lib ? client_do(c, true, &a, "INCRBY ids 1")
                   : client_do(c, true, &a, "INCR ids");
    if (o == OUT_OK) {
        op_json(&v, a.v);
    }
    op_end(c, o, o == OUT_OK ? op_text(&v) : NULL, "");
    answer_clear(&a);
    buf_release(&v);
    return o == OUT_OK;
}

static void step(struct client *c, void *shared)
{
    (void)shared;
    (void)do_gen(c);
}

static bool final(struct client *c, void *shared)
{
    (void)shared;
    return do_gen(c);
}

const struct workload work_ids = {"ids", 2, false, setup, NULL, step, final};
