#include "tests/unit/fake_cluster.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/limits.h"

static bool is(struct bytes a, const char *word)
{
    return bytes_ieq(a, word);
}

static uint64_t number(struct bytes b)
{
    char text[32] = "";

    memcpy(text, b.p, b.n < 31 ? b.n : 31);
    return strtoull(text, NULL, 10);
}

static struct fake_key *find_key(struct fake *f, struct bytes key)
{
    for (size_t i = 0; i < FAKE_KEYS; i++) {
        if (f->keys[i].used && bytes_eq(buf_bytes(&f->keys[i].key), key)) {
            return &f->keys[i];
        }
    }
    return NULL;
}

static void put_key(struct fake *f, struct bytes key, struct bytes value)
{
    struct fake_key *k = find_key(f, key);

    f->revision++;
    for (size_t i = 0; k == NULL; i++) {
        hf_assert(i < FAKE_KEYS);
        if (!f->keys[i].used) {
            k = &f->keys[i];
            k->used = true;
            k->created = f->revision;
            buf_clear(&k->key);
            buf_bytes_append(&k->key, key);
        }
    }
    buf_clear(&k->value);
    buf_bytes_append(&k->value, value);
    k->revision = f->revision;
}

static bool has_word(const struct resp_args *a, const char *word)
{
    for (size_t i = 3; i < a->argc; i++) {
        if (is(a->argv[i], word)) {
            return true;
        }
    }
    return false;
}

static void run_incr(struct fake *f, const struct resp_args *a, struct buf *out)
{
    struct fake_key *k = find_key(f, a->argv[1]);
    char text[32];
    int64_t v = 0;

    if (k != NULL) {
        char *end;

        snprintf(text, sizeof(text), "%.*s", (int)k->value.n,
                 (const char *)k->value.p);
        v = strtoll(text, &end, 10);
        if (*end != '\0') {
            resp_error(out, "ERR value is not an integer or out of range");
            return;
        }
    }
    snprintf(text, sizeof(text), "%.*s", (int)a->argv[2].n,
             (const char *)a->argv[2].p);
    v += strtoll(text, NULL, 10);
    snprintf(text, sizeof(text), "%" PRId64, v);
    put_key(f, a->argv[1], bytes_str(text));
    resp_int(out, v);
}

static void run_write(struct fake *f,
                      const struct resp_args *a,
                      struct buf *out);

static void run_txn(struct fake *f, const struct resp_args *a, struct buf *out)
{
    uint64_t n = number(a->argv[1]);
    size_t i = 2;

    for (; n > 0; n--, i += 2) {
        struct fake_key *k = find_key(f, a->argv[i]);

        if ((k == NULL ? 0 : k->revision) != number(a->argv[i + 1])) {
            resp_null_array(out);
            return;
        }
    }
    n = number(a->argv[i++]);
    resp_array(out, n);
    for (; n > 0; n--) {
        struct resp_args cmd = {a->argv + i + 1, number(a->argv[i])};

        run_write(f, &cmd, out);
        i += cmd.argc + 1;
    }
}

static void run_del(struct fake *f, const struct resp_args *a, struct buf *out)
{
    int64_t n = 0;

    for (size_t i = 1; i < a->argc; i++) {
        struct fake_key *k = find_key(f, a->argv[i]);

        if (k != NULL) {
            k->used = false;
            n++;
        }
    }
    resp_int(out, n);
}

static void run_write(struct fake *f,
                      const struct resp_args *a,
                      struct buf *out)
{
    f->applied++;
    if (is(a->argv[0], "SET")) {
        bool there = find_key(f, a->argv[1]) != NULL;

        if ((has_word(a, "NX") && there) || (has_word(a, "XX") && !there)) {
            resp_null(out);
            return;
        }
        put_key(f, a->argv[1], a->argv[2]);
        resp_ok(out);
    } else if (is(a->argv[0], "INCRBY")) {
        run_incr(f, a, out);
    } else if (is(a->argv[0], "DEL")) {
        run_del(f, a, out);
    } else if (is(a->argv[0], "TXN")) {
        run_txn(f, a, out);
    } else {
        resp_error(out, "ERR unknown command");
    }
}

static void run_once(struct fake *f, const struct resp_args *a, struct buf *out)
{
    struct resp_args cmd = {a->argv + 3, a->argc - 3};
    uint64_t id = number(a->argv[1]);
    uint64_t n = number(a->argv[2]);
    struct fake_session *s;

    if (id == 0 || id > f->nsessions || f->sessions[id - 1].gone) {
        resp_error(out, "NOSESSION no such session");
        return;
    }
    s = &f->sessions[id - 1];
    if (n < s->last) {
        resp_error(out, "UNKNOWN the number was used before");
    } else if (n > s->last + 1) {
        resp_error(out, "ERR the number is too high");
    } else if (n == s->last) {
        buf_bytes_append(out, buf_bytes(&s->saved));
    } else {
        buf_clear(&s->saved);
        run_write(f, &cmd, &s->saved);
        s->last = n;
        buf_bytes_append(out, buf_bytes(&s->saved));
    }
}

/* The keys of a test lie in their order, few of them. At most 2 a page, to
 * have pages; more than 10 asked for: too large a reply. */
static void run_range(struct fake *f,
                      const struct resp_args *a,
                      struct buf *out)
{
    bool rev = has_word(a, "REV");
    struct buf found = BUF_INIT;
    size_t n = 0;

    if (a->argc >= 5 && is(a->argv[3], "LIMIT") && number(a->argv[4]) > 10) {
        resp_error(out, "ERR the reply is too large");
        return;
    }
    for (size_t i = 0; i < FAKE_KEYS && n < 2; i++) {
        struct fake_key *k = &f->keys[rev ? FAKE_KEYS - 1 - i : i];

        if (k->used && bytes_cmp(buf_bytes(&k->key), a->argv[1]) >= 0 &&
            (a->argv[2].n == 0 ||
             bytes_cmp(buf_bytes(&k->key), a->argv[2]) < 0)) {
            resp_bulk(&found, buf_bytes(&k->key));
            resp_bulk(&found, buf_bytes(&k->value));
            n++;
        }
    }
    resp_array(out, 2 * n);
    buf_bytes_append(out, buf_bytes(&found));
    buf_release(&found);
}

static void run_scan(struct fake *f, struct buf *out)
{
    size_t n = 0;

    for (size_t i = 0; i < FAKE_KEYS; i++) {
        n += f->keys[i].used;
    }
    resp_array(out, 2);
    resp_bulk_str(out, "0");
    resp_array(out, n);
    for (size_t i = 0; i < FAKE_KEYS; i++) {
        if (f->keys[i].used) {
            resp_bulk(out, buf_bytes(&f->keys[i].key));
        }
    }
}

static void run_status(struct fake *f, struct buf *out)
{
    resp_map(out, 7);
    resp_bulk_str(out, "seats");
    resp_int(out, f->seats);
    resp_bulk_str(out, "leader_id");
    resp_int(out, f->leader);
    resp_bulk_str(out, "cluster_id");
    resp_bulk_str(out, "c0ffee");
    resp_bulk_str(out, "a_field_of_tomorrow");
    resp_array(out, 1);
    resp_null(out);
    resp_bulk_str(out, "tolerates_loss");
    resp_bool(out, true);
    resp_bulk_str(out, "message");
    resp_bulk_str(out, "any one node can be lost");
    resp_bulk_str(out, "members");
    resp_array(out, 1);
    resp_map(out, 3);
    resp_bulk_str(out, "id");
    resp_int(out, 1);
    resp_bulk_str(out, "role");
    resp_bulk_str(out, "voter");
    resp_bulk_str(out, "state");
    resp_bulk_str(out, "leader");
}

/* What COMMAND tells of the few that there are. */
static const struct {
    const char *name;
    int arity;
    const char *flags[2]; /* the second may be NULL */
    const char *syntax;
} rows[] = {{"set", -3, {"write"}, "key value [NX | XX]"},
            {"get", 2, {"readonly"}, "key"},
            {"incrby", 3, {"write"}, "key increment"},
            {"del", -2, {"write"}, "key [key ...]"},
            {"dbsize", 1, {"readonly"}, ""},
            {"xread", -4, {"readonly", "blocking"}, "STREAMS key id"},
            {"ping", -1, {"fast"}, "[message]"}};

enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

static void run_command(const struct resp_args *a, struct buf *out)
{
    bool docs = a->argc > 1;

    if (docs) {
        resp_map(out, ROWS);
    } else {
        resp_array(out, ROWS);
    }
    for (size_t i = 0; i < ROWS; i++) {
        if (docs) {
            resp_bulk_str(out, rows[i].name);
            resp_map(out, 2);
            resp_bulk_str(out, "summary");
            resp_bulk_str(out, "What a summary says.");
            resp_bulk_str(out, "arguments");
            resp_array(out, 1);
            resp_map(out, 1);
            resp_bulk_str(out, "name");
            resp_bulk_str(out, rows[i].syntax);
        } else {
            resp_array(out, 3);
            resp_bulk_str(out, rows[i].name);
            resp_int(out, rows[i].arity);
            resp_set(out, rows[i].flags[1] != NULL ? 2 : 1);
            for (size_t k = 0; k < 2 && rows[i].flags[k] != NULL; k++) {
                resp_simple(out, rows[i].flags[k]);
            }
        }
    }
}

static void run(struct fake *f, const struct resp_args *a, struct buf *out)
{
    struct fake_key *k = a->argc > 1 ? find_key(f, a->argv[1]) : NULL;

    if (is(a->argv[0], "HELLO")) {
        resp_map(out, 0);
    } else if (is(a->argv[0], "READONLY")) {
        resp_ok(out);
    } else if (is(a->argv[0], "ONCE") && a->argc == 2) {
        hf_assert(f->nsessions < FAKE_SESSIONS);
        resp_int(out, (int64_t)++f->nsessions);
    } else if (is(a->argv[0], "ONCE")) {
        run_once(f, a, out);
    } else if (is(a->argv[0], "GETV") && k != NULL) {
        resp_array(out, 3);
        resp_bulk(out, buf_bytes(&k->value));
        resp_int(out, (int64_t)k->created);
        resp_int(out, (int64_t)k->revision);
    } else if (is(a->argv[0], "GET") && k != NULL) {
        resp_bulk(out, buf_bytes(&k->value));
    } else if (is(a->argv[0], "GETV") || is(a->argv[0], "GET")) {
        resp_null(out);
    } else if (is(a->argv[0], "PTTL")) {
        resp_int(out, k == NULL ? -2 : -1);
    } else if (is(a->argv[0], "SCAN")) {
        run_scan(f, out);
    } else if (is(a->argv[0], "RANGE")) {
        run_range(f, a, out);
    } else if (is(a->argv[0], "STATUS")) {
        run_status(f, out);
    } else if (is(a->argv[0], "COMMAND")) {
        run_command(a, out);
    } else if (is(a->argv[0], "PING")) {
        resp_simple(out, "PONG");
    } else {
        run_write(f, a, out);
    }
}

/* ---- nodes ---- */

static enum fake_on kind_of(const struct resp_args *a)
{
    if (is(a->argv[0], "HELLO") || is(a->argv[0], "READONLY")) {
        return FAKE_ON_HELLO;
    }
    if (is(a->argv[0], "STATUS") || is(a->argv[0], "COMMAND")) {
        return FAKE_ON_STATUS;
    }
    return is(a->argv[0], "ONCE") && a->argc == 2 ? FAKE_ON_OPEN
                                                  : FAKE_ON_COMMAND;
}

static struct fake_action next_action(struct fake_node *n, enum fake_on on)
{
    struct fake_action none = {on, FAKE_SERVE, NULL, false};
    struct fake_action *a = &n->script[n->script_next];

    if (n->script_next == n->script_len || a->on != on) {
        return none;
    }
    n->script_next += !a->forever;
    return *a;
}

static void close_conn(struct fake_conn *c)
{
    close(c->fd);
    c->fd = -1;
    buf_release(&c->in);
    resp_parser_release(&c->parser);
}

static void apply_late(struct fake *f)
{
    struct resp_parser p;
    struct resp_args a;
    struct buf out = BUF_INIT;
    size_t used;

    if (f->late.n > 0) {
        resp_parser_init(&p, LIM_REQUEST);
        hf_assert(resp_parse_request(&p, f->late.p, f->late.n, &used, &a) == 1);
        run(f, &a, &out);
        resp_parser_release(&p);
        buf_clear(&f->late);
        buf_release(&out);
    }
}

/* False: the connection is gone. */
static bool serve(struct fake_node *n,
                  struct fake_conn *c,
                  const struct resp_args *a)
{
    struct fake_action act = next_action(n, kind_of(a));
    bool apply = act.what == FAKE_SERVE || act.what == FAKE_APPLY_DROP ||
                 act.what == FAKE_APPLY_HALF || act.what == FAKE_APPLY_SAY ||
                 act.what == FAKE_APPLY_HANG;
    bool hang = act.what == FAKE_HANG || act.what == FAKE_APPLY_HANG;
    bool stays = act.what == FAKE_SERVE || hang || act.what == FAKE_STALL ||
                 act.what == FAKE_SAY || act.what == FAKE_APPLY_SAY;
    struct buf out = BUF_INIT;

    if (apply && kind_of(a) == FAKE_ON_COMMAND) {
        apply_late(n->fake);
    }
    if (apply) {
        run(n->fake, a, &out);
    }
    if (act.what == FAKE_LATE) {
        resp_request(&n->fake->late, a->argv, a->argc);
    }
    if (act.what == FAKE_SAY || act.what == FAKE_APPLY_SAY) {
        buf_clear(&out);
        buf_bytes_append(&out, bytes_str(act.text));
    } else if (act.what == FAKE_APPLY_HALF) {
        out.n /= 2;
    } else if (act.what != FAKE_SERVE) {
        buf_clear(&out);
    }
    n->mute = n->mute || hang;
    if (out.n > 0) {
        (void)send(c->fd, out.p, out.n, MSG_NOSIGNAL);
    }
    buf_release(&out);
    if (!stays) {
        close_conn(c);
    }
    return stays;
}

/* Say why, and read no more. It stays open: a close with bytes unread could
 * take the reason along. */
static void refuse(struct fake_conn *c)
{
    struct buf out = BUF_INIT;

    resp_error(&out, resp_parser_error(&c->parser));
    (void)send(c->fd, out.p, out.n, MSG_NOSIGNAL);
    buf_release(&out);
    c->deaf = true;
}

static void read_conn(struct fake_node *n, struct fake_conn *c)
{
    struct resp_args a;
    size_t used;
    ssize_t got;
    int rv;

    buf_reserve(&c->in, 4096);
    got = recv(c->fd, c->in.p + c->in.n, c->in.cap - c->in.n, 0);
    if (got <= 0) {
        close_conn(c);
        return;
    }
    c->in.n += (size_t)got;
    do {
        bool stays = true;

        rv = resp_parse_request(&c->parser, c->in.p, c->in.n, &used, &a);
        if (rv < 0) {
            refuse(c);
            return;
        }
        pthread_mutex_lock(&n->fake->lock);
        if (rv == 1) {
            stays = serve(n, c, &a);
        }
        pthread_mutex_unlock(&n->fake->lock);
        if (!stays) {
            return;
        }
        buf_consume(&c->in, used);
    } while (rv == 1);
}

static void accept_conn(struct fake_node *n)
{
    int fd = accept(n->listen_fd, NULL, NULL);

    for (size_t i = 0; fd >= 0 && i < FAKE_CONNS; i++) {
        if (n->conns[i].fd < 0) {
            n->conns[i].fd = fd;
            n->conns[i].deaf = false;
            pthread_mutex_lock(&n->fake->lock);
            n->dials++;
            pthread_mutex_unlock(&n->fake->lock);
            resp_parser_init(&n->conns[i].parser, LIM_REQUEST);
            return;
        }
    }
    close(fd);
}

static bool stopping(struct fake *f)
{
    bool stop;

    pthread_mutex_lock(&f->lock);
    stop = f->stop;
    pthread_mutex_unlock(&f->lock);
    return stop;
}

/* A stopped process: its kernel goes on. */
static bool is_mute(struct fake_node *n)
{
    bool mute;

    pthread_mutex_lock(&n->fake->lock);
    mute = n->mute;
    pthread_mutex_unlock(&n->fake->lock);
    return mute;
}

static void *node_main(void *arg)
{
    struct fake_node *n = arg;

    while (!stopping(n->fake)) {
        struct pollfd p[FAKE_CONNS + 1];

        p[FAKE_CONNS].fd = n->listen_fd;
        p[FAKE_CONNS].events = POLLIN;
        for (size_t i = 0; i < FAKE_CONNS; i++) {
            /* Negative ones are skipped. */
            p[i].fd = n->conns[i].deaf ? -1 : n->conns[i].fd;
            p[i].events = POLLIN;
        }
        if (is_mute(n)) {
            (void)poll(NULL, 0, 5);
            continue;
        }
        if (poll(p, FAKE_CONNS + 1, 20) <= 0) {
            continue;
        }
        for (size_t i = 0; i < FAKE_CONNS; i++) {
            if (p[i].fd >= 0 && p[i].revents != 0) {
                read_conn(n, &n->conns[i]);
            }
        }
        if (p[FAKE_CONNS].revents != 0) {
            accept_conn(n);
        }
    }
    for (size_t i = 0; i < FAKE_CONNS; i++) {
        if (n->conns[i].fd >= 0) {
            close_conn(&n->conns[i]);
        }
    }
    return NULL;
}

static void start_node(struct fake *f, struct fake_node *n)
{
    struct sockaddr_in addr = {.sin_family = AF_INET};
    socklen_t len = sizeof(addr);

    n->fake = f;
    for (size_t i = 0; i < FAKE_CONNS; i++) {
        n->conns[i].fd = -1;
    }
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    n->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    hf_assert(n->listen_fd >= 0);
    hf_assert(bind(n->listen_fd, (struct sockaddr *)&addr, len) == 0);
    hf_assert(listen(n->listen_fd, 16) == 0);
    hf_assert(getsockname(n->listen_fd, (struct sockaddr *)&addr, &len) == 0);
    n->port = ntohs(addr.sin_port);
}

void fake_start(struct fake *f)
{
    memset(f, 0, sizeof(*f));
    f->leader = 1;
    f->seats = 1;
    pthread_mutex_init(&f->lock, NULL);
    for (size_t i = 0; i < FAKE_NODES; i++) {
        start_node(f, &f->nodes[i]);
    }
    snprintf(f->endpoints, sizeof(f->endpoints),
             "127.0.0.1:%u,127.0.0.1:%u,127.0.0.1:%u", f->nodes[0].port,
             f->nodes[1].port, f->nodes[2].port);
    for (size_t i = 0; i < FAKE_NODES; i++) {
        hf_assert(pthread_create(&f->nodes[i].thread, NULL, node_main,
                                 &f->nodes[i]) == 0);
    }
}

void fake_stop(struct fake *f)
{
    pthread_mutex_lock(&f->lock);
    f->stop = true;
    pthread_mutex_unlock(&f->lock);
    for (size_t i = 0; i < FAKE_NODES; i++) {
        pthread_join(f->nodes[i].thread, NULL);
        close(f->nodes[i].listen_fd);
    }
    for (size_t i = 0; i < FAKE_KEYS; i++) {
        buf_release(&f->keys[i].key);
        buf_release(&f->keys[i].value);
    }
    for (size_t i = 0; i < FAKE_SESSIONS; i++) {
        buf_release(&f->sessions[i].saved);
    }
    buf_release(&f->late);
    pthread_mutex_destroy(&f->lock);
}

void fake_script(struct fake *f, size_t node, struct fake_action a)
{
    struct fake_node *n = &f->nodes[node];

    pthread_mutex_lock(&f->lock);
    hf_assert(n->script_len < FAKE_SCRIPT);
    n->script[n->script_len++] = a;
    pthread_mutex_unlock(&f->lock);
}

void fake_mute(struct fake *f, size_t node, bool mute)
{
    pthread_mutex_lock(&f->lock);
    f->nodes[node].mute = mute;
    pthread_mutex_unlock(&f->lock);
}

size_t fake_dials(struct fake *f, size_t node)
{
    size_t n;

    pthread_mutex_lock(&f->lock);
    n = f->nodes[node].dials;
    pthread_mutex_unlock(&f->lock);
    return n;
}

void fake_leader(struct fake *f, int64_t id)
{
    pthread_mutex_lock(&f->lock);
    f->leader = id;
    pthread_mutex_unlock(&f->lock);
}

void fake_expire_sessions(struct fake *f)
{
    pthread_mutex_lock(&f->lock);
    for (size_t i = 0; i < FAKE_SESSIONS; i++) {
        f->sessions[i].gone = i < f->nsessions;
    }
    pthread_mutex_unlock(&f->lock);
}

uint64_t fake_applied(struct fake *f)
{
    uint64_t n;

    pthread_mutex_lock(&f->lock);
    n = f->applied;
    pthread_mutex_unlock(&f->lock);
    return n;
}

size_t fake_sessions(struct fake *f)
{
    size_t n;

    pthread_mutex_lock(&f->lock);
    n = f->nsessions;
    pthread_mutex_unlock(&f->lock);
    return n;
}
