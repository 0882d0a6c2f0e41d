#include "server/edge/pubsub.h"

#include <stdlib.h>

#include "base/mutant.h"
#include "server/command/args.h"
#include "server/edge/conn_int.h"
#include "server/edge/htab.h"
#include "server/node/node.h"
#include "server/store/map.h"

/* A channel or pattern that somebody listens to. */
struct topic {
    struct hnode node; /* first: of the table by name */
    enum pubsub_kind kind;
    struct topic *next; /* in the order in which they came */
    struct topic *prev;
    struct pubsub_sub *first;
    struct pubsub_sub *last;
    size_t n;
    struct bytes name; /* behind the struct */
};

/* One connection listens to one topic. */
struct pubsub_sub {
    struct hnode node; /* first: of the table by topic and connection */
    struct topic *topic;
    struct conn *conn;
    struct pubsub_sub *next_t; /* of the topic */
    struct pubsub_sub *prev_t;
    struct pubsub_sub *next_c; /* of the connection */
    struct pubsub_sub *prev_c;
};

struct pubsub {
    struct edge *edge;
    struct htab by_name[PUBSUB_KINDS];
    struct topic *first[PUBSUB_KINDS];
    struct topic *last[PUBSUB_KINDS];
    struct htab subs;
    size_t bytes; /* of names */
};

struct pubsub *pubsub_new(struct edge *e)
{
    struct pubsub *p = hf_calloc(1, sizeof *p);

    p->edge = e;
    return p;
}

void pubsub_free(struct pubsub *p)
{
    for (int k = 0; k < PUBSUB_KINDS; k++) {
        htab_release(&p->by_name[k]);
    }
    htab_release(&p->subs);
    free(p);
}

/* ---- pushing ---- */

static bool push_room(struct conn *c)
{
    if (c->doomed || c->lingering) {
        return false;
    }
    if ((net_pending(c->net) > CONN_PUSH_MAX ||
         net_pending(c->net) > c->edge->opt.output_max) &&
        !mutant(PUSH_UNBOUNDED)) {
        conn_too_slow(c, "messages over their limit");
        return false;
    }
    return true;
}

static void push_bytes(struct conn *c, struct bytes b)
{
    c->edge->counters.output_bytes += b.n;
    c->written += b.n;
    net_write(c->net, b.p, b.n);
    edge_count_output(c->edge, c);
    conn_hold_reads(c);
}

void conn_push(struct conn *c, struct bytes push)
{
    struct buf old = BUF_INIT;

    if (!push_room(c)) {
        return;
    }
    if (!c->resp3) {
        hf_assert(resp3_to_resp2(push, &old) == 0); /* it is our own */
        push = buf_bytes(&old);
    }
    push_bytes(c, push);
    buf_release(&old);
}

/* ---- the tables ---- */

static struct topic *topic_find(const struct pubsub *p,
                                enum pubsub_kind kind,
                                struct bytes name)
{
    uint64_t hash = map_hash(name);

    for (struct hnode *h = htab_first(&p->by_name[kind], hash); h != NULL;
         h = h->next) {
        struct topic *t = HF_CONTAINER_OF(h, struct topic, node);

        if (h->hash == hash && bytes_eq(t->name, name)) {
            return t;
        }
    }
    return NULL;
}

static struct topic *topic_new(struct pubsub *p,
                               enum pubsub_kind kind,
                               struct bytes name)
{
    struct topic *t = hf_calloc(1, sizeof *t + name.n);
    uint8_t *at = (uint8_t *)(t + 1);

    if (name.n > 0) {
        memcpy(at, name.p, name.n);
    }
    t->name = bytes_of(at, name.n);
    t->kind = kind;
    htab_add(&p->by_name[kind], &t->node, map_hash(name));
    t->prev = p->last[kind];
    *(t->prev != NULL ? &t->prev->next : &p->first[kind]) = t;
    p->last[kind] = t;
    p->bytes += name.n;
    return t;
}

static void topic_free(struct pubsub *p, struct topic *t)
{
    enum pubsub_kind k = t->kind;

    htab_remove(&p->by_name[k], &t->node);
    *(t->prev != NULL ? &t->prev->next : &p->first[k]) = t->next;
    *(t->next != NULL ? &t->next->prev : &p->last[k]) = t->prev;
    p->bytes -= t->name.n;
    free(t);
}

static uint64_t sub_hash(const struct topic *t, const struct conn *c)
{
    return (t->node.hash ^ (c->id * UINT64_C(0x9E3779B97F4A7C15))) +
           (uint64_t)t->kind;
}

static struct pubsub_sub *sub_find(const struct pubsub *p,
                                   const struct topic *t,
                                   const struct conn *c)
{
    uint64_t hash = sub_hash(t, c);

    for (struct hnode *h = htab_first(&p->subs, hash); h != NULL; h = h->next) {
        struct pubsub_sub *s = HF_CONTAINER_OF(h, struct pubsub_sub, node);

        if (s->topic == t && s->conn == c) {
            return s;
        }
    }
    return NULL;
}

static void counted(struct edge *e)
{
    struct edge_counters *n = &e->counters;

    n->pubsub_channels = e->pubsub->by_name[PUBSUB_CHANNEL].n;
    n->pubsub_patterns = e->pubsub->by_name[PUBSUB_PATTERN].n;
    n->pubsubshard_channels = e->pubsub->by_name[PUBSUB_SHARD].n;
}

static void sub_new(struct pubsub *p, struct topic *t, struct conn *c)
{
    struct pubsub_sub *s = hf_calloc(1, sizeof *s);

    s->topic = t;
    s->conn = c;
    htab_add(&p->subs, &s->node, sub_hash(t, c));
    s->prev_t = t->last;
    *(s->prev_t != NULL ? &s->prev_t->next_t : &t->first) = s;
    t->last = s;
    t->n++;
    s->prev_c = c->subs.last[t->kind];
    *(s->prev_c != NULL ? &s->prev_c->next_c : &c->subs.first[t->kind]) = s;
    c->subs.last[t->kind] = s;
    c->subs.n[t->kind]++;
}

static void sub_free(struct pubsub *p, struct pubsub_sub *s)
{
    struct topic *t = s->topic;
    struct pubsub_conn *c = &s->conn->subs;

    htab_remove(&p->subs, &s->node);
    *(s->prev_t != NULL ? &s->prev_t->next_t : &t->first) = s->next_t;
    *(s->next_t != NULL ? &s->next_t->prev_t : &t->last) = s->prev_t;
    t->n--;
    *(s->prev_c != NULL ? &s->prev_c->next_c : &c->first[t->kind]) = s->next_c;
    *(s->next_c != NULL ? &s->next_c->prev_c : &c->last[t->kind]) = s->prev_c;
    c->n[t->kind]--;
    free(s);
    if (t->n == 0) {
        topic_free(p, t);
    }
}

void pubsub_forget(struct conn *c)
{
    for (int k = 0; k < PUBSUB_KINDS; k++) {
        while (c->subs.first[k] != NULL) {
            sub_free(c->edge->pubsub, c->subs.first[k]);
        }
    }
    counted(c->edge);
}

/* ---- publishing ---- */

static const char err_long[] = "ERR the channel or pattern is too long";

bool pubsub_name_fits(enum pubsub_kind kind, struct bytes name)
{
    return name.n <= (kind == PUBSUB_PATTERN ? (size_t)PUBSUB_PATTERN_BYTES
                                             : (size_t)PUBSUB_CHANNEL_BYTES) ||
           mutant(PUBSUB_NAMES_UNBOUNDED);
}

/* A message in both protocols: rendered once for all who get it. */
struct message {
    struct buf text; /* "*..." for RESP2; RESP3 differs in the first byte */
};

static void message_make(struct message *m,
                         const char *word,
                         const struct bytes *pattern,
                         struct bytes channel,
                         struct bytes payload)
{
    buf_init(&m->text);
    resp_array(&m->text, pattern != NULL ? 4 : 3);
    resp_bulk_str(&m->text, word);
    if (pattern != NULL) {
        resp_bulk(&m->text, *pattern);
    }
    resp_bulk(&m->text, channel);
    resp_bulk(&m->text, payload);
}

static void topic_deliver(struct topic *t, struct message *m)
{
    for (struct pubsub_sub *s = t->first; s != NULL; s = s->next_t) {
        if (push_room(s->conn)) {
            m->text.p[0] = s->conn->resp3 ? '>' : '*';
            push_bytes(s->conn, buf_bytes(&m->text));
        }
    }
    buf_release(&m->text);
}

size_t pubsub_deliver(struct edge *e,
                      enum pubsub_kind kind,
                      struct bytes channel,
                      struct bytes payload)
{
    struct pubsub *p = e->pubsub;
    struct topic *t = topic_find(p, kind, channel);
    struct message m;
    size_t n = 0;

    if (t != NULL) {
        message_make(&m, kind == PUBSUB_SHARD ? "smessage" : "message", NULL,
                     channel, payload);
        n += t->n;
        topic_deliver(t, &m);
    }
    if (kind == PUBSUB_SHARD) {
        return n;
    }
    for (t = p->first[PUBSUB_PATTERN]; t != NULL; t = t->next) {
        if (command_glob(t->name, channel)) {
            message_make(&m, "pmessage", &t->name, channel, payload);
            n += t->n;
            topic_deliver(t, &m);
        }
    }
    return n;
}

size_t pubsub_publish(struct edge *e,
                      enum pubsub_kind kind,
                      struct bytes channel,
                      struct bytes payload)
{
    if (!mutant(PUBLISH_HERE_ONLY)) {
        node_publish(e->node, (uint8_t)kind, channel, payload);
    }
    return pubsub_deliver(e, kind, channel, payload);
}

bool pubsub_used(const struct edge *e)
{
    return e->pubsub->subs.n > 0;
}

/* ---- commands ---- */

static const struct {
    const char *name;
    enum pubsub_kind kind;
    bool leave;
} verbs[] = {
    {"subscribe", PUBSUB_CHANNEL, false},
    {"unsubscribe", PUBSUB_CHANNEL, true},
    {"psubscribe", PUBSUB_PATTERN, false},
    {"punsubscribe", PUBSUB_PATTERN, true},
    {"ssubscribe", PUBSUB_SHARD, false},
    {"sunsubscribe", PUBSUB_SHARD, true},
};
enum { VERBS = sizeof verbs / sizeof verbs[0] };

static int verb_of(const struct command *cmd)
{
    for (int i = 0; i < VERBS; i++) {
        if (cmd->parent == NULL && strcmp(verbs[i].name, cmd->name) == 0) {
            return i;
        }
    }
    return -1;
}

bool pubsub_changes(const struct command *cmd)
{
    return verb_of(cmd) >= 0;
}

bool pubsub_subscribed(const struct conn *c)
{
    return c->subs.n[PUBSUB_CHANNEL] + c->subs.n[PUBSUB_PATTERN] +
               c->subs.n[PUBSUB_SHARD] >
           0;
}

void pubsub_each(const struct conn *c,
                 bool (*fn)(void *ctx,
                            enum pubsub_kind kind,
                            struct bytes name),
                 void *ctx)
{
    for (int k = 0; k < PUBSUB_KINDS; k++) {
        for (struct pubsub_sub *s = c->subs.first[k]; s != NULL;
             s = s->next_c) {
            if (!fn(ctx, s->topic->kind, s->topic->name)) {
                return;
            }
        }
    }
}

bool pubsub_allows(const struct command *cmd)
{
    return pubsub_changes(cmd) ||
           (cmd->parent == NULL &&
            (strcmp(cmd->name, "ping") == 0 || strcmp(cmd->name, "quit") == 0 ||
             strcmp(cmd->name, "reset") == 0));
}

/* What a reply says is left: channels and patterns are counted together. */
static int64_t left(const struct conn *c, enum pubsub_kind kind)
{
    return (int64_t)(kind == PUBSUB_SHARD ? c->subs.n[PUBSUB_SHARD]
                                          : c->subs.n[PUBSUB_CHANNEL] +
                                                c->subs.n[PUBSUB_PATTERN]);
}

static void changed_reply(struct conn *c,
                          int verb,
                          const struct bytes *name,
                          struct buf *reply)
{
    resp_push(reply, 3);
    resp_bulk_str(reply, verbs[verb].name);
    if (name != NULL) {
        resp_bulk(reply, *name);
    } else {
        resp_null(reply);
    }
    resp_int(reply, left(c, verbs[verb].kind));
}

/* Is there room for all of it? Else an error reply. */
static bool may_subscribe(const struct conn *c,
                          enum pubsub_kind kind,
                          const struct bytes *names,
                          size_t n,
                          struct buf *reply)
{
    const struct pubsub *p = c->edge->pubsub;
    size_t bytes = 0;

    for (size_t i = 0; i < n; i++) {
        if (!pubsub_name_fits(kind, names[i])) {
            resp_error(reply, err_long);
            return false;
        }
        bytes += names[i].n;
    }
    if (n <= PUBSUB_CONN_MAX - c->subs.n[kind] &&
        n <= PUBSUB_TOTAL_MAX - p->subs.n && bytes <= PUBSUB_BYTES_MAX &&
        p->bytes <= PUBSUB_BYTES_MAX - bytes &&
        (kind != PUBSUB_PATTERN ||
         n <= PUBSUB_PATTERNS_MAX - p->by_name[PUBSUB_PATTERN].n)) {
        return true;
    }
    resp_error(reply, "ERR too many subscriptions");
    return mutant(PUBSUB_UNBOUNDED);
}

static void subscribe(struct conn *c,
                      int verb,
                      const struct bytes *names,
                      size_t n,
                      struct buf *reply)
{
    struct pubsub *p = c->edge->pubsub;
    enum pubsub_kind kind = verbs[verb].kind;

    if (!may_subscribe(c, kind, names, n, reply)) {
        return;
    }
    for (size_t i = 0; i < n; i++) {
        struct topic *t = topic_find(p, kind, names[i]);

        if (t == NULL) {
            t = topic_new(p, kind, names[i]);
        }
        if (sub_find(p, t, c) == NULL) {
            sub_new(p, t, c);
        }
        changed_reply(c, verb, &names[i], reply);
    }
}

static void unsubscribe(struct conn *c,
                        int verb,
                        const struct bytes *names,
                        size_t n,
                        struct buf *reply)
{
    struct pubsub *p = c->edge->pubsub;
    enum pubsub_kind kind = verbs[verb].kind;

    for (size_t i = 0; i < n; i++) {
        struct topic *t = topic_find(p, kind, names[i]);
        struct pubsub_sub *s = t == NULL ? NULL : sub_find(p, t, c);

        if (s != NULL) {
            sub_free(p, s);
        }
        changed_reply(c, verb, &names[i], reply);
    }
    if (n == 0 && c->subs.first[kind] == NULL) {
        changed_reply(c, verb, NULL, reply);
    }
    while (n == 0 && c->subs.first[kind] != NULL) {
        struct pubsub_sub *s = c->subs.first[kind];
        struct bytes name = s->topic->name;
        struct blob *copy = blob_copy(name.p, name.n);

        sub_free(p, s);
        name = blob_bytes(copy);
        changed_reply(c, verb, &name, reply);
        blob_unref(copy);
    }
}

static void list_topics(const struct pubsub *p,
                        enum pubsub_kind kind,
                        const struct bytes *pattern,
                        struct buf *reply)
{
    struct buf names = BUF_INIT;
    uint64_t steps = GLOB_STEPS_MAX;
    size_t n = 0;

    for (struct topic *t = p->first[kind]; t != NULL && steps > 0;
         t = t->next) {
        if (pattern == NULL || command_glob_within(*pattern, t->name, &steps)) {
            resp_bulk(&names, t->name);
            n++;
        }
    }
    if (steps == 0) {
        resp_error(reply, ERR_PATTERN);
    } else {
        resp_array(reply, n);
        buf_bytes_append(reply, buf_bytes(&names));
    }
    buf_release(&names);
}

static void count_topics(const struct pubsub *p,
                         enum pubsub_kind kind,
                         const struct bytes *names,
                         size_t n,
                         struct buf *reply)
{
    resp_array(reply, 2 * n);
    for (size_t i = 0; i < n; i++) {
        struct topic *t = topic_find(p, kind, names[i]);

        resp_bulk(reply, names[i]);
        resp_int(reply, t == NULL ? 0 : (int64_t)t->n);
    }
}

static void pubsub_sub_command(struct conn *c,
                               const char *name,
                               const struct bytes *argv,
                               int argc,
                               struct buf *reply)
{
    const struct pubsub *p = c->edge->pubsub;
    bool shard = strncmp(name, "shard", 5) == 0;
    enum pubsub_kind kind = shard ? PUBSUB_SHARD : PUBSUB_CHANNEL;

    name += shard ? 5 : 0;
    if (strcmp(name, "channels") == 0 && argc > 3) {
        resp_errorf(reply,
                    "ERR unknown subcommand or wrong number of arguments for "
                    "'%.*s'. Try PUBSUB HELP.",
                    (int)(argv[1].n < 128 ? argv[1].n : 128),
                    (const char *)argv[1].p);
    } else if (strcmp(name, "channels") == 0) {
        list_topics(p, kind, argc == 3 ? &argv[2] : NULL, reply);
    } else if (strcmp(name, "numsub") == 0) {
        count_topics(p, kind, argv + 2, (size_t)argc - 2, reply);
    } else {
        hf_assert(strcmp(name, "numpat") == 0);
        resp_int(reply, (int64_t)p->by_name[PUBSUB_PATTERN].n);
    }
}

static void publish(struct edge *e,
                    enum pubsub_kind kind,
                    const struct bytes *argv,
                    struct buf *reply)
{
    if (!pubsub_name_fits(kind, argv[1])) {
        resp_error(reply, err_long);
    } else {
        resp_int(reply, (int64_t)pubsub_publish(e, kind, argv[1], argv[2]));
    }
}

bool pubsub_command(struct conn *c,
                    const struct command *cmd,
                    const struct bytes *argv,
                    int argc,
                    struct buf *reply)
{
    int verb = verb_of(cmd);

    if (verb >= 0) {
        c->held = false;
        (verbs[verb].leave ? unsubscribe : subscribe)(c, verb, argv + 1,
                                                      (size_t)argc - 1, reply);
        counted(c->edge);
    } else if (cmd->parent != NULL && strcmp(cmd->parent, "pubsub") == 0) {
        pubsub_sub_command(c, cmd->name, argv, argc, reply);
    } else if (cmd->parent == NULL && (strcmp(cmd->name, "publish") == 0 ||
                                       strcmp(cmd->name, "spublish") == 0)) {
        publish(c->edge, cmd->name[0] == 's' ? PUBSUB_SHARD : PUBSUB_CHANNEL,
                argv, reply);
    } else if (strcmp(cmd->name, "ping") == 0 && argc <= 2 && !c->resp3 &&
               pubsub_subscribed(c)) {
        resp_array(reply, 2);
        resp_bulk_str(reply, "pong");
        resp_bulk(reply, argc == 2 ? argv[1] : bytes_of("", 0));
    } else {
        return false;
    }
    return true;
}
