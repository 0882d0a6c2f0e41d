/* The verdict as text for people and as JSON for scripts. */
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "jepsen-lite/check_int.h"

static const char *const verdict_words[] = {"valid", "VIOLATED", "UNKNOWN",
                                            "no operations"};
static const char *const end_words[] = {"ok", "fail", "info"};

/* ---- words ---- */

static void put(char *out, size_t size, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void put(char *out, size_t size, const char *fmt, ...)
{
    size_t n = strlen(out);
    va_list ap;

    if (n + 1 >= size) {
        return;
    }
    va_start(ap, fmt);
    vsnprintf(out + n, size - n, fmt, ap);
    va_end(ap);
}

/* Of a long list the last ones: they are the newest. */
enum { LIST_SHOWN = 12 };

static void put_val(const struct history *h,
                    const struct val *v,
                    char *out,
                    size_t size)
{
    uint32_t from = v->n > LIST_SHOWN ? v->n - LIST_SHOWN : 0;

    switch (v->type) {
        case V_NULL:
            put(out, size, "null");
            return;
        case V_INT:
            put(out, size, "%" PRId64, v->u.i);
            return;
        case V_STR:
            put(out, size, "\"%s\"", history_str(h, v->u.s));
            return;
        default:
            break;
    }
    put(out, size, "[");
    if (from > 0) {
        put(out, size, "(%u more) ", from);
    }
    for (uint32_t i = from; i < v->n; i++) {
        put(out, size, "%s", i > from ? " " : "");
        if (v->type == V_INTS) {
            put(out, size, "%" PRId64, v->u.ints[i]);
        } else {
            put_val(h, &v->u.list[i], out, size);
        }
    }
    put(out, size, "]");
}

void val_words(const struct history *h,
               const struct val *v,
               char *out,
               size_t size)
{
    out[0] = '\0';
    put_val(h, v, out, size);
}

/* The micro-operations of a transaction: "append k 7, r k -> [1 7]". */
static void put_txn(const struct history *h,
                    const struct val *txn,
                    char *out,
                    size_t size)
{
    for (uint32_t i = 0; i < txn->n; i++) {
        const struct val *m = txn->u.list[i].u.list;
        const char *f = history_str(h, m[0].u.s);
        put(out, size, "%s%s %s ", i > 0 ? ", " : "", f,
            history_str(h, m[1].u.s));
        put_val(h, &m[2], out, size);
    }
}

void op_words(const struct history *h,
              const struct op *o,
              char *out,
              size_t size)
{
    out[0] = '\0';
    put(out, size, "%s", function_names[o->f]);
    if (o->key != 0) {
        put(out, size, " %s", history_str(h, o->key));
    }
    if (o->f == F_TXN) {
        put(out, size, " ");
        put_txn(h, o->end == OP_OK ? &o->out : &o->in, out, size);
    } else if (o->in.type != V_NULL && o->f != F_READ) {
        put(out, size, " ");
        put_val(h, &o->in, out, size);
    }
    put(out, size, " : %s",
        o->ended == OP_NEVER ? "no answer" : end_words[o->end]);
    if (o->end == OP_OK && o->f != F_TXN &&
        (o->f == F_READ || o->f == F_GEN || o->f == F_STATE ||
         o->f == F_ACQUIRE || o->f == F_POLL || o->f == F_TOLD ||
         o->f == F_WATCH || (o->f == F_ADD && o->out.type == V_INT))) {
        put(out, size, " ");
        put_val(h, &o->out, out, size);
    }
    if (o->rev > 0 && o->end == OP_OK) {
        put(out, size, ", revision %" PRId64, o->rev);
    }
    if (o->px > 0) {
        put(out, size, ", for %" PRId64 " ms", o->px);
    }
    if (o->maxage > 0) {
        put(out, size, ", at most %" PRId64 " ms old", o->maxage);
    }
    if (o->session >= 0) {
        put(out, size, ", session %" PRId64, o->session);
    }
    if (o->cached) {
        put(out, size, ", from its cache");
    }
    if (o->index >= 0) {
        put(out, size, ", index %" PRId64, o->index);
    }
    if (o->err != 0) {
        put(out, size, " (%s)", history_str(h, o->err));
    }
}

void fault_words(const struct history *h,
                 const struct fault *f,
                 char *out,
                 size_t size)
{
    const char *between = " (nodes ";

    out[0] = '\0';
    if (f->leader) {
        put(out, size, "node %" PRId64 " leads in term %" PRId64, f->node,
            f->term);
        return;
    }
    put(out, size, "%s %s", history_str(h, f->family), history_str(h, f->f));
    if (f->text != 0) {
        put(out, size, ": %s", history_str(h, f->text));
    }
    for (int i = 0; i < HISTORY_NODES_MAX; i++) {
        if ((f->nodes >> i) & 1) {
            put(out, size, "%s%d", between, i);
            between = " ";
        }
    }
    put(out, size, "%s", f->nodes != 0 ? ")" : "");
}

/* ---- text ---- */

enum { WORDS = 2000, LINE_SHOWN = 300 };

/* @tag 0: none. */
static void print_op(const struct check *c,
                     const struct op *o,
                     uint32_t tag,
                     FILE *out)
{
    char words[WORDS];
    char to[32] = "         ...";

    op_words(c->h, o, words, sizeof(words));
    if (o->ended != OP_NEVER) {
        snprintf(to, sizeof(to), "%12.6f", seconds(o->ended - c->h->begin));
    }
    fprintf(out, "  %12.6f %s  p%-5" PRId64 " n%u  ",
            seconds(o->t0 - c->h->begin), to, o->p, o->node);
    if (tag > 0) {
        fprintf(out, "T%u: ", tag);
    }
    fprintf(out, "%.*s%s\n", LINE_SHOWN, words,
            strlen(words) > LINE_SHOWN ? " ..." : "");
}

static void print_fault(const struct check *c, const struct fault *f, FILE *out)
{
    char words[WORDS];
    char to[32] = "         ...";

    fault_words(c->h, f, words, sizeof(words));
    if (f->leader) {
        snprintf(to, sizeof(to), "%12s", "");
    } else if (f->to != OP_NEVER) {
        snprintf(to, sizeof(to), "%12.6f", seconds(f->to - c->h->begin));
    }
    fprintf(out, "  %12.6f %s  ~ %.*s\n", seconds(f->from - c->h->begin), to,
            LINE_SHOWN, words);
}

enum { FAULTS_SHOWN = 30 };

/* Faults that touch the time from the first to the last operation, each
 * printed before the first operation that began after it. */
static void print_proof(const struct check *c,
                        const struct finding *f,
                        FILE *out)
{
    const struct op *first = op_of(c, f->ops[0]);
    int64_t end = first->t0;
    size_t shown = 0;
    size_t k = 0;

    for (size_t i = 0; i < f->n_ops; i++) {
        const struct op *o = op_of(c, f->ops[i]);
        int64_t t = o->ended == OP_NEVER ? o->t0 : o->ended;
        end = t > end ? t : end;
    }
    fprintf(out, "\n  %12s %12s  who       what\n", "from (s)", "to (s)");
    for (size_t i = 0; i <= f->n_ops; i++) {
        int64_t until = i < f->n_ops ? op_of(c, f->ops[i])->t0 : end;
        for (; k < c->h->n_faults && c->h->faults[k].from <= until; k++) {
            const struct fault *x = &c->h->faults[k];
            if (x->to >= first->t0 && shown < FAULTS_SHOWN) {
                print_fault(c, x, out);
                shown++;
            }
        }
        if (i < f->n_ops) {
            print_op(c, op_of(c, f->ops[i]), f->ring ? f->tags[i] : 0, out);
        }
    }
    if (f->n_all > f->n_ops) {
        fprintf(out, "  and %zu operations before them\n", f->n_all - f->n_ops);
    }
    if (shown == FAULTS_SHOWN) {
        fprintf(out, "  and more faults, see the timeline\n");
    }
}

/* @text in lines of at most 76 characters, two blanks before each. */
static void print_wrapped(const char *text, FILE *out)
{
    size_t column = 0;

    while (*text != '\0') {
        size_t n = strcspn(text, " \n");
        if (column > 0 && column + 1 + n > 76) {
            fprintf(out, "\n");
            column = 0;
        }
        fprintf(out, "%s%.*s", column == 0 ? "  " : " ", (int)n, text);
        column += n + (column == 0 ? 2 : 1);
        text += n;
        if (*text == '\n') {
            fprintf(out, "\n");
            column = 0;
        }
        text += *text != '\0';
    }
    fprintf(out, "\n");
}

static void print_table(const struct check *c, FILE *out)
{
    fprintf(out, "\n%-9s %-13s %9s %9s %8s %7s  %s\n", "workload", "verdict",
            "ops", "ok", "fail", "info", "looked at");
    for (int w = 0; w < W_COUNT; w++) {
        const struct judged *j = &c->w[w];
        if (j->verdict == VERDICT_NONE && !c->h->asked[w]) {
            continue;
        }
        fprintf(out,
                "%-9s %-13s %9" PRIu64 " %9" PRIu64 " %8" PRIu64 " %7" PRIu64
                "  %s\n",
                workload_names[w], verdict_words[j->verdict], j->ops,
                j->count[OP_OK], j->count[OP_FAIL], j->count[OP_INFO],
                j->how == NULL ? "" : j->how);
    }
}

void check_text(const struct check *c, FILE *out)
{
    const struct history *h = c->h;
    size_t faults = 0;

    for (size_t i = 0; i < h->n_faults; i++) {
        faults += !h->faults[i].leader;
    }
    fprintf(out, "verdict: %s\n", check_word(check_status(c)));
    if (c->void_why != NULL) {
        fprintf(out, "void: %s\n", c->void_why);
    }
    fprintf(out,
            "seed %" PRId64 ", %" PRId64 " nodes, %" PRId64
            " s, commit %s; %zu operations, %zu faults, %" PRId64
            " leader changes\n",
            h->seed, h->nodes, h->seconds,
            h->commit[0] == '\0' ? "?" : h->commit, h->n_ops, faults,
            h->leader_changes);
    print_table(c, out);
    for (int w = 0; w < W_COUNT; w++) {
        const struct judged *j = &c->w[w];
        if (j->unknown != NULL) {
            fprintf(out, "\n%s: no verdict: %s\n", workload_names[w],
                    j->unknown);
        }
        for (size_t i = 0; i < j->n_findings; i++) {
            const struct finding *f = &j->findings[i];
            fprintf(out, "\n%s: %s\n", workload_names[w], f->anomaly);
            print_wrapped(f->text, out);
            print_proof(c, f, out);
        }
        if (j->violations > j->n_findings) {
            fprintf(out, "\n%s: and %" PRIu64 " more\n", workload_names[w],
                    j->violations - j->n_findings);
        }
    }
}

/* ---- JSON ---- */

static json_t *json_finding(const struct check *c, const struct finding *f)
{
    json_t *lines = json_array();

    for (size_t i = 0; i < f->n_ops; i++) {
        json_array_append_new(lines, json_integer(op_of(c, f->ops[i])->line));
    }
    return json_pack("{s:s, s:s, s:o}", "anomaly", f->anomaly, "text", f->text,
                     "lines", lines);
}

static json_t *json_judged(const struct check *c, const struct judged *j)
{
    static const char *const words[] = {"valid", "invalid", "unknown", "none"};
    json_t *list = json_array();
    json_t *o;

    for (size_t i = 0; i < j->n_findings; i++) {
        json_array_append_new(list, json_finding(c, &j->findings[i]));
    }
    o = json_pack(
        "{s:s, s:I, s:I, s:I, s:I, s:I, s:o}", "verdict", words[j->verdict],
        "ops", (json_int_t)j->ops, "ok", (json_int_t)j->count[OP_OK], "fail",
        (json_int_t)j->count[OP_FAIL], "info", (json_int_t)j->count[OP_INFO],
        "violations", (json_int_t)j->violations, "findings", list);
    if (j->unknown != NULL) {
        json_object_set_new(o, "why", json_string(j->unknown));
    }
    if (j->how != NULL) {
        json_object_set_new(o, "looked_at", json_string(j->how));
    }
    return o;
}

void check_json(const struct check *c, FILE *out)
{
    json_t *all = json_object();
    json_t *root;

    for (int w = 0; w < W_COUNT; w++) {
        if (c->w[w].verdict != VERDICT_NONE || c->h->asked[w]) {
            json_object_set_new(all, workload_names[w],
                                json_judged(c, &c->w[w]));
        }
    }
    root = json_pack("{s:i, s:s, s:b, s:I, s:o}", "version", 1, "verdict",
                     check_word(check_status(c)), "void", c->void_why != NULL,
                     "ops", (json_int_t)c->h->n_ops, "workloads", all);
    hf_assert(root != NULL);
    if (c->void_why != NULL) {
        json_object_set_new(root, "void_why", json_string(c->void_why));
    }
    json_dumpf(root, out, JSON_COMPACT | JSON_PRESERVE_ORDER);
    fputc('\n', out);
    json_decref(root);
}
