/* CLUSTER beyond what cluster-aware clients read at their start (admin.c),
 * and what of Redis's way to build clusters is refused. */
#include <stdio.h>

#include "resp/resp.h"
#include "server/command/admin_int.h"

void admin_cluster_myshardid(const struct ask *a)
{
    char hex[41];

    admin_member_hex(a->v, 0, hex); /* no member's: the shard is all of them */
    resp_bulk_str(a->reply, hex);
}

static void unknown_node(const struct ask *a)
{
    struct bytes s = a->argv[2];

    resp_errorf(a->reply, "ERR Unknown node %.*s", (int)(s.n < 128 ? s.n : 128),
                (const char *)s.p);
}

void admin_cluster_replicas(const struct ask *a)
{
    const struct member_view *of = admin_by_hex(a->v, a->argv[2]);
    const struct member_view *master = admin_master(a->v);
    struct buf lines = BUF_INIT;
    size_t n = 0;

    if (of == NULL) {
        unknown_node(a);
        return;
    }
    if (!admin_need_master(a)) {
        return;
    }
    if (of != master) {
        resp_error(a->reply, "ERR The specified node is not a master");
        return;
    }
    for (size_t i = 0; i < a->v->n_members; i++) {
        const struct member_view *m = &a->v->members[i];

        if (m != master && m->cluster_address[0] != 0) {
            struct buf line = BUF_INIT;

            admin_nodes_line(a->v, m, &line);
            resp_bulk(&lines, buf_bytes(&line));
            buf_release(&line);
            n++;
        }
    }
    resp_array(a->reply, n);
    buf_bytes_append(a->reply, buf_bytes(&lines));
    buf_release(&lines);
}

/* Each member has one connection of its own to each other. */
void admin_cluster_links(const struct ask *a)
{
    size_t up = 0;
    char hex[41];

    for (size_t i = 0; i < a->v->n_links; i++) {
        up += a->v->links[i].up;
    }
    resp_array(a->reply, up);
    for (size_t i = 0; i < a->v->n_links; i++) {
        const struct link_view *l = &a->v->links[i];

        if (!l->up) {
            continue;
        }
        admin_member_hex(a->v, l->id, hex);
        resp_map(a->reply, 6);
        admin_field_str(a->reply, "direction", "to");
        admin_field_str(a->reply, "node", hex);
        admin_field_int(a->reply, "create-time", l->since_ms);
        admin_field_str(a->reply, "events", l->queued_bytes > 0 ? "rw" : "r");
        admin_field_int(a->reply, "send-buffer-allocated", l->queued_bytes);
        admin_field_int(a->reply, "send-buffer-used", l->queued_bytes);
    }
}

/* Who does not hear a member: nobody collects that here; a node speaks for
 * itself. */
void admin_cluster_reports(const struct ask *a)
{
    const struct member_view *m = admin_by_hex(a->v, a->argv[2]);

    if (m == NULL) {
        unknown_node(a);
    } else {
        resp_int(a->reply, !m->self && !m->alive);
    }
}

void admin_cluster_refused(const struct ask *a)
{
    static const struct {
        const char *name;
        const char *reason;
    } reasons[] = {
        {"meet", "ERR members are not introduced: start a node with --join"},
        {"reset",
         "ERR a member does not leave by itself: use CLUSTER FORGET "
         "or kv member remove"},
        {"replicate",
         "ERR the cluster decides who follows whom: use CLUSTER "
         "FAILOVER to lead"},
        {"set-config-epoch",
         "ERR the epoch is the term of the leader, which "
         "only elections change"},
        {"bumpepoch",
         "ERR the epoch is the term of the leader, which only "
         "elections change"},
        {"saveconfig",
         "ERR there is no nodes.conf: membership is in the log, "
         "which is always saved"},
    };

    if (!bytes_ieq(a->argv[0], "cluster")) {
        resp_error(a->reply,
                   "ERR not allowed: the cluster decides who follows whom. "
                   "Use CLUSTER FAILOVER or MEMBER TRANSFER to move the "
                   "leadership.");
        return;
    }
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        if (bytes_ieq(a->argv[1], reasons[i].name)) {
            resp_error(a->reply, reasons[i].reason);
            return;
        }
    }
    resp_error(a->reply,
               "ERR slots cannot be moved: all 16384 belong to the one shard");
}
