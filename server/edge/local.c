/* Commands that the connection answers itself, at their turn. */
#include "base/assert.h"
#include "base/mutant.h"
#include "server/command/args.h"
#include "server/edge/conn_int.h"
#include "server/node/node.h"

/* ---- HELLO ---- */

static void hello_reply(struct conn *c, struct buf *reply)
{
    resp_map(reply, 7);
    resp_bulk_str(reply, "server");
    resp_bulk_str(reply, "redis");
    resp_bulk_str(reply, "version");
    resp_bulk_str(reply, "7.0.15");
    resp_bulk_str(reply, "proto");
    resp_int(reply, c->resp3 ? 3 : 2);
    resp_bulk_str(reply, "id");
    resp_int(reply, (int64_t)c->id);
    resp_bulk_str(reply, "mode");
    resp_bulk_str(reply, c->port == EDGE_CLUSTER ? "cluster" : "standalone");
    resp_bulk_str(reply, "role");
    resp_bulk_str(reply,
                  c->port == EDGE_PLAIN || node_is_leader(c->edge->node) ||
                          node_leader_cluster_address(c->edge->node)[0] == 0
                      ? "master"
                      : "replica");
    resp_bulk_str(reply, "modules");
    resp_array(reply, 0);
}

bool hello_parse(const struct conn *c,
                 const struct bytes *argv,
                 int argc,
                 struct hello *h,
                 struct buf *reply)
{
    int64_t version = c->resp3 ? 3 : 2;

    memset(h, 0, sizeof *h);
    if (argc > 1 && !args_i64(argv[1], &version)) {
        return args_fail(
            reply, "ERR Protocol version is not an integer or out of range");
    }
    if (version != 2 && version != 3) {
        return args_fail(reply, "NOPROTO unsupported protocol version");
    }
    h->resp3 = version == 3;
    for (int i = 2; i < argc; i++) {
        if (bytes_ieq(argv[i], "AUTH") && i + 2 < argc) {
            h->user = &argv[++i];
            h->password = &argv[++i];
        } else if (bytes_ieq(argv[i], "SETNAME") && i + 1 < argc) {
            h->name = &argv[++i];
        } else {
            resp_errorf(reply, "ERR Syntax error in HELLO option '%.*s'",
                        (int)(argv[i].n < 128 ? argv[i].n : 128),
                        (const char *)argv[i].p);
            return false;
        }
    }
    return true;
}

static void hello(struct conn *c,
                  const struct bytes *argv,
                  int argc,
                  struct buf *reply)
{
    struct hello h;

    c->held = false;
    if (!hello_parse(c, argv, argc, &h, reply)) {
        return;
    }
    hf_assert(h.user == NULL); /* auth_begin() has taken it out */
    if (auth_closed(c)) {
        resp_error(reply,
                   "NOAUTH HELLO must be called with the client already "
                   "authenticated, otherwise the HELLO AUTH <user> <pass> "
                   "option can be used to authenticate the client and select "
                   "the RESP protocol version at the same time");
        return;
    }
    if (h.name != NULL &&
        !conn_set_name(&c->name, *h.name, "Client names", reply)) {
        return;
    }
    c->resp3 = h.resp3;
    hello_reply(c, reply);
}

/* ---- the connection's kind ---- */

static void stale_reads(struct conn *c, bool on, uint64_t max_age_ms)
{
    c->stale = on;
    c->max_age_ms = max_age_ms;
    client_set_stale(c->client, on, max_age_ms);
}

static void readonly(struct conn *c,
                     const struct bytes *argv,
                     int argc,
                     struct buf *reply)
{
    int64_t ms = 0;

    c->held = false;
    if (argc != 1 && (argc != 3 || !bytes_ieq(argv[1], "MAXAGE"))) {
        resp_error(reply, "ERR syntax error");
        return;
    }
    if (argc == 3 && (!args_i64(argv[2], &ms) || ms <= 0)) {
        resp_error(reply, "ERR value is not an integer or out of range");
        return;
    }
    stale_reads(c, true, (uint64_t)ms);
    resp_ok(reply);
}

static void reset(struct conn *c, struct buf *reply)
{
    c->held = false;
    c->resp3 = false;
    tracking_forget(c);
    if (!mutant(PUBSUB_KEEPS_GONE)) {
        pubsub_forget(c);
    }
    c->reply_off = false;
    c->reply_skip = false;
    c->no_evict = false;
    c->no_touch = false;
    conn_unmonitor(c);
    buf_release(&c->name);
    auth_forget(c);
    stale_reads(c, false, 0);
    resp_simple(reply, "RESET");
}

static void select_db(const struct conn *c, struct bytes db, struct buf *reply)
{
    int32_t n;

    if (!args_need_i32(db, &n, reply)) {
        return;
    }
    if (n == 0) {
        resp_ok(reply);
    } else if (c->port == EDGE_CLUSTER) {
        resp_error(reply, "ERR SELECT is not allowed in cluster mode");
    } else {
        resp_error(reply, "ERR DB index is out of range");
    }
}

void local_run(struct conn *c,
               const struct command *cmd,
               const struct bytes *argv,
               int argc,
               struct buf *reply)
{
    const char *name = cmd->name;

    if (pubsub_command(c, cmd, argv, argc, reply) ||
        tracking_command(c, cmd, argv, argc, reply)) {
        return;
    }
    if (cmd->parent != NULL && strcmp(cmd->parent, "acl") == 0) {
        auth_local(c, cmd, argv, argc, reply);
    } else if (cmd->parent != NULL && strcmp(cmd->parent, "client") == 0) {
        client_command(c, cmd, argv, argc, reply);
    } else if (strcmp(name, "hello") == 0) {
        hello(c, argv, argc, reply);
    } else if (strcmp(name, "reset") == 0) {
        reset(c, reply);
    } else if (strcmp(name, "select") == 0) {
        select_db(c, argv[1], reply);
    } else if (strcmp(name, "monitor") == 0) {
        conn_monitor(c, reply);
    } else if (strcmp(name, "unwatch") == 0) {
        resp_ok(reply); /* between MULTI and EXEC: that ends it anyway */
    } else if (strcmp(name, "readonly") == 0) {
        readonly(c, argv, argc, reply);
    } else if (strcmp(name, "readwrite") == 0) {
        c->held = false;
        stale_reads(c, false, 0);
        resp_ok(reply);
    } else {
        command_local(cmd, argv, argc, reply);
    }
}
