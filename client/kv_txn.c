/* kv txn: a transaction from lines on stdin. */
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "client/kv_int.h"
#include "resp/resp.h"

enum { TXN_LINES_MAX = 10000 }; /* conditions, and commands; beyond: usage */

struct txn {
    struct hf_condition *conds;
    size_t nconds;
    struct hf_command *cmds;
    size_t ncmds;
};

static void txn_release(struct txn *t)
{
    for (size_t i = 0; i < t->nconds; i++) {
        free((void *)(uintptr_t)t->conds[i].key.p);
    }
    for (size_t i = 0; i < t->ncmds; i++) {
        for (size_t k = 0; k < t->cmds[i].argc; k++) {
            free((void *)(uintptr_t)t->cmds[i].argv[k].p);
        }
        free((void *)(uintptr_t)t->cmds[i].argv);
    }
    free(t->conds);
    free(t->cmds);
}

static struct hf_bytes copy_of(struct bytes b)
{
    void *p = hf_malloc(b.n + 1);

    if (b.n > 0) {
        memcpy(p, b.p, b.n);
    }
    return hf_bytes(p, b.n);
}

/* "if KEY = REVISION" or "if KEY absent". */
static bool add_condition(struct txn *t, const struct resp_args *a)
{
    uint64_t revision = 0;
    struct hf_condition *c;

    if (a->argc == 4 && bytes_ieq(a->argv[2], "=")) {
        struct bytes s = a->argv[3];

        if (s.n == 0 || s.n > 19) {
            return false;
        }
        for (size_t i = 0; i < s.n; i++) {
            if (s.p[i] < '0' || s.p[i] > '9') {
                return false;
            }
            revision = revision * 10 + (uint64_t)(s.p[i] - '0');
        }
    } else if (a->argc != 3 || !bytes_ieq(a->argv[2], "absent")) {
        return false;
    }
    c = &t->conds[t->nconds++];
    c->key = copy_of(a->argv[1]);
    c->revision = revision;
    return true;
}

static void add_command(struct txn *t, const struct resp_args *a)
{
    struct hf_bytes *argv = hf_calloc(a->argc, sizeof(*argv));

    for (size_t i = 0; i < a->argc; i++) {
        argv[i] = copy_of(a->argv[i]);
    }
    t->cmds[t->ncmds].argv = argv;
    t->cmds[t->ncmds].argc = a->argc;
    t->ncmds++;
}

/* One line, without its line end. */
static int add_line(struct kv *kv, struct txn *t, struct bytes line, size_t no)
{
    struct resp_parser p;
    struct resp_args a;
    struct buf b = BUF_INIT;
    size_t used;
    int status = KV_DONE;
    int rv;

    resp_parser_init(&p, LIM_REQUEST);
    /* The blank keeps a line that starts with '*' an inline command. */
    buf_append(&b, " ", 1);
    buf_bytes_append(&b, line);
    buf_append(&b, "\n", 1);
    rv = resp_parse_request(&p, b.p, b.n, &used, &a);
    if (rv < 0) {
        status = kv_usage(kv, "line %zu: %s", no, resp_parser_error(&p));
    } else if (rv == 1 && a.argv[0].n > 0 && a.argv[0].p[0] == '#') {
        status = KV_DONE;
    } else if (rv == 1 && bytes_ieq(a.argv[0], "if")) {
        if (t->ncmds > 0) {
            status = kv_usage(kv, "line %zu: conditions come first", no);
        } else if (t->nconds == TXN_LINES_MAX || !add_condition(t, &a)) {
            status = kv_usage(
                kv, "line %zu: write 'if KEY = REVISION' or 'if KEY absent'",
                no);
        }
    } else if (rv == 1 && t->ncmds == TXN_LINES_MAX) {
        status = kv_usage(kv, "over %d commands", TXN_LINES_MAX);
    } else if (rv == 1) {
        add_command(t, &a);
    }
    resp_parser_release(&p);
    buf_release(&b);
    return status;
}

static int read_lines(struct kv *kv, struct txn *t, struct bytes in)
{
    int status = KV_DONE;

    for (size_t no = 1; in.n > 0 && status == KV_DONE; no++) {
        const uint8_t *nl = memchr(in.p, '\n', in.n);
        size_t len = nl == NULL ? in.n : (size_t)(nl - in.p);
        size_t step = nl == NULL ? len : len + 1;

        status = add_line(kv, t, bytes_of(in.p, len), no);
        in = bytes_of(in.p + step, in.n - step);
    }
    if (status == KV_DONE && t->ncmds == 0) {
        status = kv_usage(kv, "no command on stdin");
    }
    return status;
}

/* Errors of single commands do not undo the others: say which they are. */
static int report(const struct kv *kv,
                  const struct txn *t,
                  const struct hf_reply *r)
{
    size_t errors = 0;

    kv_print_reply(kv, r);
    fflush(stdout);
    for (size_t i = 0; i < r->n; i++) {
        if (r->items[i].type == HF_REPLY_ERROR && i < t->ncmds) {
            struct hf_bytes name = t->cmds[i].argv[0];

            fprintf(stderr, "kv: command %zu (%.*s) failed: %s\n", i + 1,
                    (int)(name.n < 64 ? name.n : 64), (const char *)name.p,
                    r->items[i].str);
            errors++;
        }
    }
    if (errors == 0) {
        return KV_DONE;
    }
    fprintf(stderr, "hint: %zu of %zu commands failed%s\n", errors, r->n,
            errors < r->n ? "; the others were done" : ", nothing was done");
    return errors < r->n ? KV_PARTLY : KV_FAILED;
}

int kv_txn(struct kv *kv)
{
    struct buf in = BUF_INIT;
    struct txn t = {0};
    struct hf_reply *r = NULL;
    int status;
    int rv;

    if (!kv_stdin(&in)) {
        buf_release(&in);
        return kv_usage(kv, "stdin is over %d bytes", HF_REQUEST_MAX);
    }
    t.conds = hf_calloc(TXN_LINES_MAX, sizeof(*t.conds));
    t.cmds = hf_calloc(TXN_LINES_MAX, sizeof(*t.cmds));
    status = read_lines(kv, &t, buf_bytes(&in));
    if (status == KV_DONE) {
        rv = hf_txn(kv->c, t.conds, t.nconds, t.cmds, t.ncmds, kv->timeout_ms,
                    &r);
        status = rv == HF_OK
                     ? report(kv, &t, r)
                     : kv_result(kv, rv,
                                 "a condition is false; nothing was changed");
    }
    hf_reply_free(r);
    txn_release(&t);
    buf_release(&in);
    return status;
}
