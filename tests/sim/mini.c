#include "tests/sim/mini.h"

#include "base/assert.h"

/* The number up to the next CRLF; false if that is not there yet. */
static bool number(struct bytes b, size_t at, int64_t *v, size_t *next)
{
    bool neg = at < b.n && b.p[at] == '-';
    int64_t x = 0;

    for (size_t i = at + neg; i + 1 < b.n; i++) {
        if (b.p[i] == '\r') {
            *v = neg ? -x : x;
            *next = i + 2;
            return true;
        }
        x = x * 10 + (b.p[i] - '0');
    }
    return false;
}

static int64_t parse_elem(struct bytes b, struct mini_elem *e)
{
    size_t next;
    size_t i = 1;

    if (b.n == 0) {
        return 0;
    }
    memset(e, 0, sizeof *e);
    e->type = (char)b.p[0];
    switch (b.p[0]) {
        case '+':
        case '-':
            while (i + 1 < b.n && b.p[i] != '\r') {
                i++;
            }
            e->v = bytes_of(b.p + 1, i - 1);
            return i + 1 < b.n ? (int64_t)(i + 2) : 0;
        case '_':
            e->null = true;
            return b.n < 3 ? 0 : 3;
        case ':':
            return number(b, 1, &e->num, &next) ? (int64_t)next : 0;
        case '$':
            if (!number(b, 1, &e->num, &next)) {
                return 0;
            }
            if (e->num < 0) {
                e->null = true;
                return (int64_t)next;
            }
            if (b.n < next + (size_t)e->num + 2) {
                return 0;
            }
            e->v = bytes_of(b.p + next, (size_t)e->num);
            return (int64_t)(next + (size_t)e->num + 2);
        default:
            return -1;
    }
}

/* An array's elements; nested ones are left as they are. */
static int64_t parse_array(struct bytes b, struct mini_reply *r, int depth)
{
    int64_t n;
    size_t at;

    if (!number(b, 1, &n, &at)) {
        return 0;
    }
    n = b.p[0] == '%' ? 2 * n : n; /* a map, as nodes have it inside */
    if (r != NULL) {
        r->num = n;
        r->null = n < 0;
    }
    for (int64_t i = 0; i < n; i++) {
        struct mini_elem e;
        struct bytes rest = bytes_of(b.p + at, b.n - at);
        int64_t used;

        if (rest.n > 0 && (rest.p[0] == '*' || rest.p[0] == '%') && depth < 4) {
            memset(&e, 0, sizeof e);
            e.type = '*';
            used = parse_array(rest, NULL, depth + 1);
            e.v = bytes_of(rest.p, used > 0 ? (size_t)used : 0);
        } else {
            used = parse_elem(rest, &e);
        }
        if (used <= 0) {
            return used;
        }
        if (r != NULL && i < MINI_ELEMENTS) {
            r->el[i] = e;
        }
        at += (size_t)used;
    }
    return (int64_t)at;
}

int64_t mini_parse(struct bytes b, struct mini_reply *r)
{
    struct mini_elem e;
    int64_t used;

    if (b.n == 0) {
        return 0;
    }
    memset(r, 0, sizeof *r);
    r->type = (char)b.p[0];
    if (r->type == '*' || r->type == '%' || r->type == '>') {
        return parse_array(b, r, 0);
    }
    used = parse_elem(b, &e);
    if (used > 0) {
        r->null = e.null;
        r->v = e.v;
        r->num = e.num;
    }
    return used;
}

void mini_command(struct buf *b, int argc, const struct bytes *argv)
{
    buf_printf(b, "*%d\r\n", argc);
    for (int i = 0; i < argc; i++) {
        buf_printf(b, "$%zu\r\n", argv[i].n);
        buf_bytes_append(b, argv[i]);
        buf_append(b, "\r\n", 2);
    }
}

void mini_line(struct buf *b, const char *line)
{
    struct bytes argv[16];
    int argc = 0;

    while (*line != '\0') {
        size_t n = strcspn(line, " ");

        hf_assert(argc < 16);
        argv[argc++] = bytes_of(line, n);
        line += n;
        line += strspn(line, " ");
    }
    mini_command(b, argc, argv);
}

static void on_open(struct net_conn *c)
{
    struct mini *m = c->data;

    m->open = true;
    if (m->on_open != NULL) {
        m->on_open(m);
    }
}

static void on_close(struct net_conn *c, int code)
{
    struct mini *m = c->data;

    m->c = NULL;
    m->open = false;
    m->on_close(m, code);
}

static void on_read(struct net_conn *c, const uint8_t *p, size_t n)
{
    struct mini *m = c->data;
    struct mini_reply r;
    int64_t used;

    buf_append(&m->in, p, n);
    while (m->c == c && (used = mini_parse(buf_bytes(&m->in), &r)) != 0) {
        struct buf rest = BUF_INIT;

        if (used < 0) {
            net_close(c);
            on_close(c, HF_ECORRUPT);
            return;
        }
        /* The reply points into the buffer: keep it until handled, as the
         * handler may connect anew and clear the buffer. */
        buf_append(&rest, m->in.p + used, m->in.n - (size_t)used);
        {
            struct buf old = m->in;

            m->in = rest;
            m->on_reply(m, &r);
            buf_release(&old);
        }
    }
}

static const struct net_conn_cbs cbs = {on_open, on_read, NULL, on_close};

void mini_connect(struct mini *m, struct env *e, const char *hostport)
{
    mini_close(m);
    buf_clear(&m->in);
    m->open = false;
    m->c = net_connect(e, hostport, NULL);
    m->c->cbs = &cbs;
    m->c->data = m;
}

void mini_send(struct mini *m, struct buf *b)
{
    if (m->c != NULL) {
        net_write(m->c, b->p, b->n);
    }
    buf_clear(b);
}

void mini_close(struct mini *m)
{
    if (m->c != NULL) {
        net_close(m->c);
        m->c = NULL;
        m->open = false;
    }
}

void mini_release(struct mini *m)
{
    mini_close(m);
    buf_release(&m->in);
}
