/* kv: following changes. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/kv_int.h"

/* Without any answer so long, the watch ends. */
enum { WATCH_TIMEOUT_MS = 60 * 1000 };

struct printer {
    const struct kv *kv;
    uint64_t left;
    char last[HF_WATCH_ID]; /* "": nothing was printed */
};

static const char *type_name(enum hf_change_type t)
{
    static const char *const names[] = {"?",      "set",    "deadline",
                                        "delete", "expire", "clear"};

    return names[t];
}

/* One field of a line: no byte of it ends the field or the line. */
static void print_field(struct hf_bytes s)
{
    const unsigned char *p = s.p;

    putchar('\t');
    for (size_t i = 0; i < s.n; i++) {
        if (p[i] < 0x20 || p[i] == 0x7F || p[i] == '\\') {
            printf("\\x%02x", p[i]);
        } else {
            putchar(p[i]);
        }
    }
}

static void print_json(const struct hf_change *c)
{
    printf("{\"id\":\"%s\",\"type\":\"%s\",\"revision\":%" PRIu64, c->id,
           type_name(c->type), c->revision);
    if (c->type != HF_CHANGE_CLEAR) {
        printf(",\"key\":");
        kv_print_json(c->key.p, c->key.n);
    }
    if (c->type == HF_CHANGE_SET) {
        printf(",\"value\":");
        kv_print_json(c->value.p, c->value.n);
    }
    if (c->deadline_ms != 0) {
        printf(",\"deadline\":%" PRIu64, c->deadline_ms);
    }
    printf("}\n");
}

static void print_line(const struct hf_change *c)
{
    printf("%s\t%s", c->id, type_name(c->type));
    if (c->type != HF_CHANGE_CLEAR) {
        print_field(c->key);
    }
    if (c->type == HF_CHANGE_SET) {
        print_field(c->value);
    }
    if (c->deadline_ms != 0) {
        printf("\t%" PRIu64, c->deadline_ms);
    }
    putchar('\n');
}

static bool print_change(void *ctx, const struct hf_change *c)
{
    struct printer *p = ctx;

    if (c == NULL) {
        /* Nothing new: what was printed goes to its reader. A reader that
         * has gone ends the watch. */
        return fflush(stdout) == 0 && !kv_interrupted;
    }
    if (p->kv->output == KV_JSON) {
        print_json(c);
    } else {
        print_line(c);
    }
    snprintf(p->last, sizeof p->last, "%s", c->id);
    return --p->left > 0 && !ferror(stdout) && !kv_interrupted;
}

int kv_watch(struct kv *kv)
{
    struct printer p = {.kv = kv,
                        .left = kv->count > 0 ? kv->count : UINT64_MAX};
    const char *prefix = kv->nargs > 0 ? kv->args[0] : "";
    int rv;

    setvbuf(stdout, NULL, _IOLBF, 0);
    rv = hf_watch(kv->c, hf_str(prefix), kv->from,
                  kv->timeout_ms > 0 ? kv->timeout_ms : WATCH_TIMEOUT_MS,
                  print_change, &p);
    if (kv_interrupted) {
        return KV_DONE; /* Ctrl-C at the prompt */
    }
    if (rv == HF_ETRIMMED) {
        fprintf(stderr,
                "kv: %s\nhint: changes were missed; read the keys ('kv "
                "range'), then watch from the id that is named last\n",
                hf_error(kv->c));
        return KV_TRIMMED;
    }
    if (rv != HF_OK && rv != HF_EARGUMENT && p.last[0] != '\0') {
        fprintf(stderr, "kv: the last change that was printed is %s\n", p.last);
    }
    return kv_result(kv, rv, "");
}
