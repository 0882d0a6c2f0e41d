/* feed_watch CHANGES ENDPOINT...: writers and one consumer at each node.
 *
 * Writers make about CHANGES changes through named requests: ten keys at
 * once, each counting up by one, and in each tenth request a key that expires
 * soon. Every consumer follows the feed of all keys, beginning at another
 * node, whatever happens to nodes meanwhile. At the end it holds that
 *
 *   - each consumer saw ids without a gap and without a repetition, and each
 *     count of each key after the one before it, up to the last one that was
 *     acknowledged; each short-lived key set once, then expired once;
 *   - all consumers saw the same;
 *   - the state that the changes add up to is the state of the keys;
 *   - every node gives the same changes again behind any id that is kept, and
 *     refuses one that is not.
 *
 * Exit 0 when it does; else one line says what does not. */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/holdfast.h"

enum {
    NODES_MAX = 5,
    WRITERS = 8,
    KEYS = 10,        /* of one request */
    SHORT_EVERY = 10, /* requests */
    SHORT_MS = 30,
    CALL_MS = 120000, /* nobody may answer for so long */
    RESUMES = 200,    /* ids tried at each node */
    RESUMED = 50,     /* changes taken behind each */
    TEXT = 64,
};

static char endpoints[NODES_MAX][TEXT];
static int nodes;
static uint64_t requests; /* of each writer */

static void die(const char *what, const char *more)
{
    fprintf(stderr, "error: %s%s%s\n", what, more[0] ? ": " : "", more);
    exit(1);
}

/* A handle that tries node @first, then the others; @alone: no others. */
static struct hf *handle(int first, bool alone)
{
    char list[NODES_MAX * (TEXT + 1)] = "";
    size_t n = 0;
    struct hf *c;

    for (int i = 0; i < (alone ? 1 : nodes); i++) {
        n += (size_t)snprintf(list + n, sizeof list - n, "%s%s",
                              i > 0 ? "," : "", endpoints[(first + i) % nodes]);
    }
    if (hf_open(list, NULL, &c) != HF_OK) {
        die("endpoints", list);
    }
    return c;
}

/* ---- writers ---- */

struct writer {
    pthread_t thread;
    int no;
};

static void write_short(struct hf *c, int no, uint64_t i)
{
    struct hf_set_options opt = {.ttl_ms = SHORT_MS};
    char key[TEXT];

    snprintf(key, sizeof key, "short:%d:%" PRIu64, no, i);
    if (hf_set(c, hf_str(key), hf_str("x"), &opt, CALL_MS) != HF_OK) {
        die("a write", hf_error(c));
    }
}

static void write_keys(struct hf *c, int no, uint64_t i)
{
    struct hf_bytes argv[1 + 2 * KEYS] = {hf_str("MSET")};
    char key[KEYS][TEXT];
    char value[TEXT];

    snprintf(value, sizeof value, "%" PRIu64, i);
    for (int k = 0; k < KEYS; k++) {
        snprintf(key[k], TEXT, "w:%d:%d", no, k);
        argv[1 + 2 * k] = hf_str(key[k]);
        argv[2 + 2 * k] = hf_str(value);
    }
    if (hf_call(c, HF_CALL_WRITE, argv, 1 + 2 * KEYS, CALL_MS, NULL) != HF_OK) {
        die("a write", hf_error(c));
    }
}

static void *writer_run(void *data)
{
    struct writer *w = data;
    struct hf *c = handle(w->no, false);
    uint64_t count = 0;

    for (uint64_t i = 1; i <= requests; i++) {
        if (i % SHORT_EVERY == 0) {
            write_short(c, w->no, i);
        } else {
            write_keys(c, w->no, ++count);
        }
    }
    hf_close(c);
    return NULL;
}

/* ---- consumers ---- */

struct seen {
    uint64_t revision;
    uint64_t seq;
    uint64_t hash; /* of all its fields */
};

struct consumer {
    pthread_t thread;
    int no;
    struct seen *seen;
    size_t n;
    size_t cap;
    uint64_t count[WRITERS][KEYS]; /* last value seen of each key */
    uint8_t *shorts[WRITERS];      /* 1: set, 2: expired */
    uint64_t expired;
    bool ended;
};

static uint64_t hash(uint64_t h, const void *p, size_t n)
{
    const unsigned char *b = p;

    for (size_t i = 0; i < n; i++) {
        h = (h ^ b[i]) * UINT64_C(1099511628211);
    }
    return (h ^ n) * UINT64_C(1099511628211);
}

static struct seen seen_of(const struct hf_change *c)
{
    struct seen s = {c->revision, 0, UINT64_C(14695981039346656037)};
    int type = (int)c->type;

    s.seq = strtoull(strchr(c->id, '-') + 1, NULL, 10);
    s.hash = hash(s.hash, &type, sizeof type);
    s.hash = hash(s.hash, c->key.p, c->key.n);
    s.hash = hash(s.hash, c->value.p, c->value.n);
    s.hash = hash(s.hash, &c->deadline_ms, sizeof c->deadline_ms);
    return s;
}

/* Each change leads on from the one before it. */
static void check_id(const struct consumer *u,
                     const struct seen *s,
                     const char *id)
{
    const struct seen *last = &u->seen[u->n - 1];

    if (u->n > 0 && !(s->revision == last->revision + 1 && s->seq == 0) &&
        !(s->revision == last->revision && s->seq == last->seq + 1)) {
        die("a gap or a repetition at", id);
    }
}

static void check_short(struct consumer *u,
                        const struct hf_change *c,
                        const char *key)
{
    uint8_t *at;
    uint64_t i;
    int no;

    if (sscanf(key, "short:%d:%" SCNu64, &no, &i) != 2 || no >= WRITERS ||
        i > requests) {
        die("a strange key", key);
    }
    at = &u->shorts[no][i];
    if (c->type == HF_CHANGE_SET && *at == 0 && c->deadline_ms != 0) {
        *at = 1;
    } else if (c->type == HF_CHANGE_EXPIRE && *at == 1) {
        *at = 2;
        u->expired++;
    } else {
        die("a short-lived key is told wrongly", key);
    }
}

static void check_count(struct consumer *u,
                        const struct hf_change *c,
                        const char *key)
{
    uint64_t value = strtoull(c->value.p, NULL, 10);
    int no;
    int k;

    if (sscanf(key, "w:%d:%d", &no, &k) != 2 || no >= WRITERS || k >= KEYS ||
        c->type != HF_CHANGE_SET) {
        die("a strange change of", key);
    }
    if (value != ++u->count[no][k]) {
        die("a change is missing or told twice", key);
    }
}

static void check_change(struct consumer *u, const struct hf_change *c)
{
    char key[TEXT];

    snprintf(key, sizeof key, "%.*s", (int)c->key.n, (const char *)c->key.p);
    if (strncmp(key, "short:", 6) == 0) {
        check_short(u, c, key);
    } else if (strcmp(key, "end") == 0) {
        u->ended = true;
    } else {
        check_count(u, c, key);
    }
}

static bool consume(void *ctx, const struct hf_change *c)
{
    struct consumer *u = ctx;
    struct seen s;

    if (c == NULL) {
        return true;
    }
    s = seen_of(c);
    if (u->n > 0) {
        check_id(u, &s, c->id);
    }
    check_change(u, c);
    if (u->n == u->cap) {
        u->cap = u->cap == 0 ? 4096 : 2 * u->cap;
        u->seen = realloc(u->seen, u->cap * sizeof *u->seen);
        if (u->seen == NULL) {
            die("memory", "");
        }
    }
    u->seen[u->n++] = s;
    return !u->ended;
}

static void *consumer_run(void *data)
{
    struct consumer *u = data;
    struct hf *c = handle(u->no, false);
    int rv;

    for (int i = 0; i < WRITERS; i++) {
        u->shorts[i] = calloc(requests + 1, 1);
    }
    rv = hf_watch(c, hf_str(""), "1", CALL_MS, consume, u);
    if (rv != HF_OK) {
        die("a consumer", hf_error(c));
    }
    hf_close(c);
    return NULL;
}

/* ---- at the end ---- */

static void same(const struct consumer *a, const struct consumer *b)
{
    if (a->n != b->n || memcmp(a->seen, b->seen, a->n * sizeof *a->seen) != 0) {
        die("two consumers saw different changes", "");
    }
}

/* The keys as they are: what the changes have made of them. */
static void check_state(const struct consumer *u)
{
    struct hf *c = handle(0, false);
    uint64_t last = requests - requests / SHORT_EVERY;
    struct hf_value v;
    char key[TEXT];

    for (int no = 0; no < WRITERS; no++) {
        for (int k = 0; k < KEYS; k++) {
            snprintf(key, sizeof key, "w:%d:%d", no, k);
            if (hf_get(c, hf_str(key), CALL_MS, &v) != HF_OK) {
                die("a key is missing", key);
            }
            if (u->count[no][k] != last ||
                strtoull(v.p, NULL, 10) != u->count[no][k]) {
                die("the feed and the key differ", key);
            }
            hf_value_release(&v);
        }
        for (uint64_t i = SHORT_EVERY; i <= requests; i += SHORT_EVERY) {
            if (u->shorts[no][i] == 0) {
                die("a short-lived key was not told", "");
            }
        }
    }
    hf_close(c);
}

struct resume {
    const struct consumer *u;
    size_t at;
    size_t left;
};

static bool resumed(void *ctx, const struct hf_change *c)
{
    struct resume *r = ctx;
    struct seen s;

    if (c == NULL) {
        return true; /* the node is behind, or the answer slow */
    }
    s = seen_of(c);
    if (memcmp(&s, &r->u->seen[r->at], sizeof s) != 0) {
        die("a resumed feed differs at", c->id);
    }
    r->at++;
    return --r->left > 0 && r->at < r->u->n;
}

/* The oldest change that the node keeps, by its place in what was seen. */
static size_t oldest(struct hf *c, const struct consumer *u)
{
    struct hf_bytes argv[] = {hf_str("XRANGE"), hf_str("__changes__"),
                              hf_str("-"),      hf_str("+"),
                              hf_str("COUNT"),  hf_str("1")};
    struct hf_reply *r;
    uint64_t revision = 0;
    uint64_t seq = 0;
    size_t at = 0;

    if (hf_call(c, HF_CALL_READ, argv, 6, CALL_MS, &r) != HF_OK || r->n != 1 ||
        sscanf(r->items[0].items[0].str, "%" SCNu64 "-%" SCNu64, &revision,
               &seq) != 2) {
        die("XRANGE", hf_error(c));
    }
    hf_reply_free(r);
    while (u->seen[at].revision != revision || u->seen[at].seq != seq) {
        if (++at == u->n) {
            die("the oldest change kept was never told", "");
        }
    }
    return at;
}

/* Behind any id that node @no keeps come the same changes as before. */
static size_t check_resume(int no, const struct consumer *u)
{
    struct hf *c = handle(no, true);
    size_t first = oldest(c, u);
    char from[TEXT];

    for (int i = 0; i < RESUMES; i++) {
        size_t span = u->n - 1 - first;
        size_t at = first + (i == 0   ? 0
                             : i == 1 ? span - 1
                                      : (size_t)random() % span);
        struct resume r = {u, at + 1, RESUMED};

        snprintf(from, sizeof from, "%" PRIu64 "-%" PRIu64,
                 u->seen[at].revision, u->seen[at].seq);
        if (hf_watch(c, hf_str(""), from, CALL_MS, resumed, &r) != HF_OK) {
            die("resuming", hf_error(c));
        }
    }
    if (first >= 2) {
        struct resume r = {u, 0, 1};

        snprintf(from, sizeof from, "%" PRIu64 "-%" PRIu64,
                 u->seen[first - 2].revision, u->seen[first - 2].seq);
        if (hf_watch(c, hf_str(""), from, CALL_MS, resumed, &r) !=
            HF_ETRIMMED) {
            die("a position that is not kept was taken", from);
        }
    }
    hf_close(c);
    return u->n - first;
}

int main(int argc, char **argv)
{
    static struct writer w[WRITERS];
    static struct consumer u[NODES_MAX];
    uint64_t changes;
    struct hf *c;

    if (argc < 3 || argc - 2 > NODES_MAX) {
        die("usage", "feed_watch CHANGES ENDPOINT...");
    }
    changes = strtoull(argv[1], NULL, 10);
    nodes = argc - 2;
    for (int i = 0; i < nodes; i++) {
        snprintf(endpoints[i], TEXT, "%s", argv[2 + i]);
    }
    requests =
        changes * SHORT_EVERY / WRITERS / (KEYS * (SHORT_EVERY - 1) + 2) + 1;
    for (int i = 0; i < nodes; i++) {
        u[i].no = i;
        pthread_create(&u[i].thread, NULL, consumer_run, &u[i]);
    }
    for (int i = 0; i < WRITERS; i++) {
        w[i].no = i;
        pthread_create(&w[i].thread, NULL, writer_run, &w[i]);
    }
    for (int i = 0; i < WRITERS; i++) {
        pthread_join(w[i].thread, NULL);
    }
    nanosleep(&(struct timespec){1, 0}, NULL); /* the last ones expire */
    c = handle(0, false);
    if (hf_set(c, hf_str("end"), hf_str("1"), NULL, CALL_MS) != HF_OK) {
        die("a write", hf_error(c));
    }
    hf_close(c);
    for (int i = 0; i < nodes; i++) {
        pthread_join(u[i].thread, NULL);
        same(&u[0], &u[i]);
    }
    check_state(&u[0]);
    if (u[0].n < changes) {
        die("fewer changes than were made", "");
    }
    printf("%zu changes, each once and in order at %d consumers", u[0].n,
           nodes);
    printf("; %d resumed positions at each node, of kept", RESUMES);
    for (int i = 0; i < nodes; i++) {
        printf(" %zu", check_resume(i, &u[0]));
    }
    printf("\n");
    return 0;
}
