/* The timeline: one HTML page without anything from outside. An overview of
 * the whole run, then one picture for each violation: a lane for each
 * process, faults behind them, the operations that prove it in red. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "jepsen-lite/check_int.h"

enum {
    WIDTH = 1180,     /* of a picture */
    LEFT = 70,        /* names of lanes */
    LANE = 22,        /* height of a lane */
    FAULT = 15,       /* height of a fault's bar in its own row */
    LANES_MAX = 40,   /* processes of a picture */
    OTHERS_MAX = 400, /* operations of a picture that prove nothing */
    FAULTS_MAX = 400,
    ROWS_MAX = 30, /* rows of faults; beyond: only behind the lanes */
    CHAR = 6,      /* width of a letter, about */
    WORDS = 2000,
    LABEL = 60, /* characters beside a guilty operation */
};

static const char head[] =
    "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">\n"
    "<title>Holdfast: timeline of a run</title>\n<style>\n"
    "body{font:14px/1.45 system-ui,sans-serif;margin:24px;color:#1a1a1a;"
    "background:#fff;max-width:1200px}\n"
    "h1{font-size:20px}h2{font-size:16px;margin:32px 0 4px}\n"
    "pre{background:#f5f5f3;padding:12px;overflow-x:auto;font-size:12px}\n"
    "p{max-width:80em;white-space:pre-line}\n"
    "svg{border:1px solid #ddd;display:block;font:11px system-ui,sans-serif}\n"
    "table{border-collapse:collapse}td,th{padding:2px 12px;text-align:left}\n"
    ".ok{fill:#b9d3ea}.fail{fill:#dcdcdc}.info{fill:#f2dfae}\n"
    ".bad{stroke:#c3161c;stroke-width:2}.bad.ok{fill:#f7b5b2}\n"
    ".bad.info{fill:#f7d9a0}.bad.fail{fill:#e8c3c3}\n"
    ".fault{fill:#8a6fb0;fill-opacity:.16}.bar{fill:#8a6fb0;"
    "fill-opacity:.55}\n"
    ".leader{stroke:#2a7d3f;stroke-dasharray:3 3}\n"
    ".label{fill:#8e0f14;font-weight:600;paint-order:stroke;stroke:#fff;"
    "stroke-width:3px}.dim{fill:#666}\n"
    ".lane{stroke:#eee}.tick{stroke:#ddd}\n"
    "</style>\n";

static void put_text(const char *s, FILE *out)
{
    for (; *s != '\0'; s++) {
        switch (*s) {
            case '<':
                fputs("&lt;", out);
                break;
            case '>':
                fputs("&gt;", out);
                break;
            case '&':
                fputs("&amp;", out);
                break;
            case '"':
                fputs("&quot;", out);
                break;
            default:
                fputc(*s, out);
                break;
        }
    }
}

struct picture {
    const struct check *c;
    int64_t from;
    int64_t to;
    int64_t lanes[LANES_MAX]; /* processes */
    int n_lanes;
    const struct fault *faults[FAULTS_MAX];
    int n_faults;
    FILE *out;
};

static double x_of(const struct picture *p, int64_t t)
{
    double part;

    t = t < p->from ? p->from : t > p->to ? p->to : t;
    part = (double)(t - p->from) / (double)(p->to - p->from);
    return LEFT + part * (WIDTH - LEFT - 10);
}

static int lane_of(const struct picture *p, int64_t process)
{
    for (int i = 0; i < p->n_lanes; i++) {
        if (p->lanes[i] == process) {
            return i;
        }
    }
    return -1;
}

static void add_lane(struct picture *p, int64_t process)
{
    if (lane_of(p, process) < 0 && p->n_lanes < LANES_MAX) {
        p->lanes[p->n_lanes++] = process;
    }
}

static int64_t shown_end(const struct picture *p, const struct op *o)
{
    return o->ended == OP_NEVER ? p->to : o->ended;
}

static bool within(const struct picture *p, const struct op *o)
{
    return o->t0 <= p->to && shown_end(p, o) >= p->from;
}

/* About the same thing as one of the proof: the same workload and key. A
 * transaction has no key of its own and is always about the same. */
static bool related(const struct check *c,
                    const struct finding *f,
                    const struct op *o)
{
    for (size_t i = 0; i < f->n_ops; i++) {
        const struct op *g = op_of(c, f->ops[i]);
        if (g->w == o->w && g->key == o->key) {
            return true;
        }
    }
    return false;
}

static bool guilty(const struct finding *f, uint32_t i)
{
    for (size_t k = 0; k < f->n_ops; k++) {
        if (f->ops[k] == i) {
            return true;
        }
    }
    return false;
}

/* The time around a proof, its lanes and the faults that touch it. */
static void picture_of(struct picture *p, const struct finding *f)
{
    int64_t margin;

    p->from = op_of(p->c, f->ops[0])->t0;
    p->to = p->from + 1;
    for (size_t i = 0; i < f->n_ops; i++) {
        const struct op *o = op_of(p->c, f->ops[i]);
        int64_t end = o->ended == OP_NEVER ? o->t0 : o->ended;
        p->to = end > p->to ? end : p->to;
        add_lane(p, o->p);
    }
    margin = (p->to - p->from) / 12 + 1000;
    p->from -= margin;
    p->to += margin;
    for (size_t i = 0; i < p->c->h->n_faults; i++) {
        const struct fault *x = &p->c->h->faults[i];
        if (x->from <= p->to && x->to >= p->from && p->n_faults < FAULTS_MAX) {
            p->faults[p->n_faults++] = x;
        }
    }
}

static void put_rect(const struct picture *p,
                     const char *class,
                     int64_t t0,
                     int64_t t1,
                     int y,
                     int height,
                     const char *tip)
{
    double x = x_of(p, t0);
    double w = x_of(p, t1) - x;

    fprintf(p->out,
            "<rect class=\"%s\" x=\"%.1f\" y=\"%d\" width=\"%.1f\" "
            "height=\"%d\"><title>",
            class, x, y, w < 2 ? 2 : w, height);
    put_text(tip, p->out);
    fputs("</title></rect>\n", p->out);
}

static void put_label(const struct picture *p,
                      const char *class,
                      double x,
                      int y,
                      const char *text)
{
    bool right = x > WIDTH * 0.62;

    fprintf(p->out, "<text class=\"%s\" x=\"%.1f\" y=\"%d\"%s>", class, x, y,
            right ? " text-anchor=\"end\"" : "");
    put_text(text, p->out);
    fputs("</text>\n", p->out);
}

/* Vertical lines at round times. */
static void put_ticks(const struct picture *p, int height)
{
    int64_t step = 1000;
    int64_t first;
    int factor = 0;

    while ((p->to - p->from) / step > 10) {
        step = factor++ % 3 == 1 ? step / 2 * 5 : step * 2;
    }
    first = (p->from - p->c->h->begin) / step * step + p->c->h->begin;
    for (int64_t t = first; t <= p->to; t += step) {
        if (t < p->from) {
            continue;
        }
        fprintf(p->out,
                "<line class=\"tick\" x1=\"%.1f\" x2=\"%.1f\" y1=\"0\" "
                "y2=\"%d\"/><text class=\"dim\" x=\"%.1f\" y=\"%d\">%.*f s"
                "</text>\n",
                x_of(p, t), x_of(p, t), height - 16, x_of(p, t) + 2, height - 5,
                step >= 100000000 ? 1
                : step >= 1000000 ? 3
                                  : 6,
                seconds(t - p->c->h->begin));
    }
}

/* The first row that is free at @x, taken up to @end; -1: none is. */
static int take_row(double rows[ROWS_MAX], double x, double end)
{
    for (int i = 0; i < ROWS_MAX; i++) {
        if (rows[i] <= x) {
            rows[i] = end;
            return i;
        }
    }
    return -1;
}

/* Faults with their words in as few rows as hold them; where a leader was
 * seen, a line. @draw false: only count the rows. */
static int put_faults(const struct picture *p, int height, bool draw)
{
    double rows[ROWS_MAX] = {0};
    char words[WORDS];
    int used = 0;

    for (int i = 0; i < p->n_faults; i++) {
        const struct fault *f = p->faults[i];
        double x = x_of(p, f->from);
        double end;
        int row;
        fault_words(p->c->h, f, words, sizeof(words));
        if (f->leader) {
            if (draw) {
                fprintf(p->out,
                        "<line class=\"leader\" x1=\"%.1f\" x2=\"%.1f\" "
                        "y1=\"0\" y2=\"%d\"><title>",
                        x, x, height - 16);
                put_text(words, p->out);
                fputs("</title></line>\n", p->out);
            }
            continue;
        }
        /* Words at the right end stand left of their place. */
        end = x + 8 + CHAR * (double)strlen(words);
        if (x > WIDTH * 0.62) {
            x -= end - x;
            end = x_of(p, f->to) + 4;
        }
        end = x_of(p, f->to) > end ? x_of(p, f->to) : end;
        row = take_row(rows, x < 0 ? 0 : x, end);
        used = row + 1 > used ? row + 1 : used;
        if (!draw) {
            continue;
        }
        put_rect(p, "fault", f->from, f->to, 0, height - 16, words);
        if (row >= 0) {
            int y = 4 + row * FAULT;
            put_rect(p, "bar", f->from, f->to, y, FAULT - 3, words);
            put_label(p, "dim", x_of(p, f->from) + 3, y + FAULT - 5, words);
        }
    }
    return used;
}

/* Left edge of the next operation of the proof in the lane of @o. */
static double next_in_lane(const struct picture *p,
                           const struct finding *f,
                           const struct op *o)
{
    for (size_t i = 0; i < f->n_ops; i++) {
        const struct op *g = op_of(p->c, f->ops[i]);
        if (g->p == o->p && g->t0 > o->t0) {
            return x_of(p, g->t0);
        }
    }
    return WIDTH;
}

/* Words beside an operation of the proof, as many as there is room for. */
static void label_op(const struct picture *p,
                     const struct finding *f,
                     size_t i,
                     int y)
{
    const struct op *o = op_of(p->c, f->ops[i]);
    char words[WORDS];
    char label[LABEL + 20];
    double left = x_of(p, o->t0);
    double right = x_of(p, shown_end(p, o)) + 5;
    double room = (next_in_lane(p, f, o) - right) / CHAR - 2;
    int n = LABEL;

    op_words(p->c->h, o, words, sizeof(words));
    if (left <= WIDTH * 0.62 && room < n) {
        n = room > 0 ? (int)room : 0;
    }
    snprintf(label, sizeof(label), "%.*s%s", n, words,
             (int)strlen(words) > n ? "..." : "");
    if (f->ring) {
        snprintf(label, sizeof(label), "T%u %.*s%s", f->tags[i], n, words,
                 (int)strlen(words) > n ? "..." : "");
    }
    put_label(p, "label", left > WIDTH * 0.62 ? left - 4 : right, y, label);
}

static void put_op(const struct picture *p,
                   const struct op *o,
                   bool bad,
                   int top)
{
    static const char *const classes[2][3] = {
        {"ok", "fail", "info"}, {"bad ok", "bad fail", "bad info"}};
    char words[WORDS];
    int lane = lane_of(p, o->p);

    if (lane >= 0) {
        op_words(p->c->h, o, words, sizeof(words));
        put_rect(p, classes[bad][o->end], o->t0, shown_end(p, o),
                 top + lane * LANE + 3, LANE - 7, words);
    }
}

/* Is @o within @near of the begin or the end of an operation of the proof? */
static bool is_near(const struct picture *p,
                    const struct finding *f,
                    const struct op *o,
                    int64_t near)
{
    for (size_t i = 0; i < f->n_ops; i++) {
        const struct op *g = op_of(p->c, f->ops[i]);
        if ((o->t0 <= g->t0 + near && shown_end(p, o) >= g->t0 - near) ||
            (o->t0 <= shown_end(p, g) + near &&
             shown_end(p, o) >= shown_end(p, g) - near)) {
            return true;
        }
    }
    return false;
}

/* The other operations of a picture, into @others; if there are too many
 * those close to the proof, closer and closer. */
static size_t pick_others(const struct picture *p,
                          const struct finding *f,
                          uint32_t others[OTHERS_MAX])
{
    int64_t near = p->to - p->from;
    size_t n;

    for (int tries = 0; tries < 20; tries++) {
        n = 0;
        for (uint32_t i = 0; i < p->c->h->n_ops && n < OTHERS_MAX; i++) {
            const struct op *o = op_of(p->c, i);
            if (o->t0 > p->to) {
                break;
            }
            if (within(p, o) && related(p->c, f, o) && !guilty(f, i) &&
                is_near(p, f, o, near)) {
                others[n++] = i;
            }
        }
        if (n < OTHERS_MAX) {
            break;
        }
        near /= 4;
    }
    return n;
}

static void put_finding(const struct check *c,
                        enum workload w,
                        const struct finding *f,
                        FILE *out)
{
    struct picture p = {.c = c, .out = out};
    uint32_t others[OTHERS_MAX];
    size_t n;
    int top;
    int height;

    picture_of(&p, f);
    n = pick_others(&p, f, others);
    for (size_t i = 0; i < n; i++) {
        add_lane(&p, op_of(c, others[i])->p);
    }
    top = 8 + put_faults(&p, 0, false) * FAULT;
    height = top + p.n_lanes * LANE + 22;
    fprintf(out, "<h2>%s: %s</h2>\n<p>", workload_names[w], f->anomaly);
    put_text(f->text, out);
    fprintf(out, "</p>\n<svg width=\"%d\" height=\"%d\">\n", WIDTH, height);
    put_ticks(&p, height);
    put_faults(&p, height, true);
    for (int i = 0; i < p.n_lanes; i++) {
        fprintf(out,
                "<line class=\"lane\" x1=\"0\" x2=\"%d\" y1=\"%d\" "
                "y2=\"%d\"/><text x=\"6\" y=\"%d\">process %" PRId64
                "</text>\n",
                WIDTH, top + i * LANE, top + i * LANE,
                top + i * LANE + LANE - 8, p.lanes[i]);
    }
    for (size_t i = 0; i < n; i++) {
        put_op(&p, op_of(c, others[i]), false, top);
    }
    for (size_t i = 0; i < f->n_ops; i++) {
        put_op(&p, op_of(c, f->ops[i]), true, top);
    }
    for (size_t i = 0; i < f->n_ops; i++) {
        int lane = lane_of(&p, op_of(c, f->ops[i])->p);
        if (lane >= 0) {
            label_op(&p, f, i, top + lane * LANE + LANE - 8);
        }
    }
    fputs("</svg>\n", out);
}

/* All faults of the run, and where the violations are. */
static void put_overview(const struct check *c, FILE *out)
{
    struct picture p = {.c = c, .out = out, .from = c->h->begin};
    char words[WORDS];
    int height = 90;

    p.to = c->h->end > c->h->begin ? c->h->end : c->h->begin + 1;
    if (c->h->n_ops == 0) {
        return;
    }
    fprintf(out,
            "<h2>The whole run</h2>\n<svg width=\"%d\" height=\"%d\">\n"
            "<text x=\"6\" y=\"22\">faults</text>"
            "<text x=\"6\" y=\"58\">violations</text>\n",
            WIDTH, height);
    put_ticks(&p, height);
    for (size_t i = 0; i < c->h->n_faults; i++) {
        const struct fault *f = &c->h->faults[i];
        fault_words(c->h, f, words, sizeof(words));
        if (f->leader) {
            put_rect(&p, "bar", f->from, f->from, 30, 6, words);
        } else {
            put_rect(&p, "bar", f->from, f->to, 10, 16, words);
        }
    }
    for (int w = 0; w < W_COUNT; w++) {
        for (size_t i = 0; i < c->w[w].n_findings; i++) {
            const struct finding *f = &c->w[w].findings[i];
            const struct op *o = op_of(c, f->ops[f->n_ops - 1]);
            put_rect(&p, "bad ok", o->t0, o->t0, 46, 16, f->anomaly);
        }
    }
    fputs("</svg>\n", out);
}

/* verdict.txt, as it is. */
static void put_verdict(const struct check *c, FILE *out)
{
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);

    if (f == NULL) {
        return;
    }
    check_text(c, f);
    fclose(f);
    fputs("<h2>In words</h2>\n<pre>", out);
    put_text(text, out);
    fputs("</pre>\n", out);
    free(text);
}

void check_timeline(const struct check *c, FILE *out)
{
    fputs(head, out);
    fprintf(out, "<h1>Holdfast, a run with faults: %s</h1>\n",
            check_word(check_status(c)));
    fputs(
        "<p>Times are seconds since the beginning. Blue: answered; grey: "
        "refused; yellow: outcome unknown; red border: proves a violation; "
        "violet: a fault; green: a leader was seen. Point at anything for "
        "its words.</p>\n",
        out);
    put_overview(c, out);
    for (int w = 0; w < W_COUNT; w++) {
        for (size_t i = 0; i < c->w[w].n_findings; i++) {
            put_finding(c, (enum workload)w, &c->w[w].findings[i], out);
        }
    }
    put_verdict(c, out);
    fputs("</html>\n", out);
}
