/* Operations that are answered from what the node knows of itself, and the
 * operator's actions. Actions and the questions that only a leader can answer
 * well are passed on to it. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "server/command/admin.h"
#include "server/command/command.h"
#include "server/node/node_int.h"

bool command_opens(struct bytes command)
{
    const struct command *c =
        command.n >= 2 ? command_by_id(get_u16(command.p)) : NULL;

    return c != NULL && c->parent != NULL && strcmp(c->parent, "once") == 0 &&
           strcmp(c->name, "open") == 0;
}

bool command_frees(const struct blob *command)
{
    static const char *const names[] = {"del",      "unlink", "getdel",
                                        "flushall", "expire", "pexpire"};
    const struct command *c =
        command->n >= 2 ? command_by_id(get_u16(command->d)) : NULL;

    for (size_t i = 0; c != NULL && i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(c->name, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

static enum node_role admin_role(struct node *n, const struct conf *c)
{
    const struct conf_member *m = conf_find(c, n->id);

    if (n->id == 0 || !n->running) {
        return NODE_BLANK;
    }
    switch (driver_role(&n->driver)) {
        case DRIVER_LEADER:
            return NODE_LEADER;
        case DRIVER_CANDIDATE:
            return NODE_CANDIDATE;
        case DRIVER_FOLLOWER:
            break;
    }
    return m != NULL && m->role == CONF_VOTER ? NODE_FOLLOWER : NODE_LEARNER;
}

static unsigned admin_seat(struct node *n, const struct member *m)
{
    for (unsigned i = 0; i < machine_seats(n->machine); i++) {
        if (machine_seat_at(n->machine, i)->holder == m->id) {
            return i + 1;
        }
    }
    return 0;
}

static void admin_member(struct node *n,
                         const struct conf *c,
                         const struct member *m,
                         struct member_view *v)
{
    const struct conf_member *cm = conf_find(c, m->id);
    uint64_t last = driver_last(&n->driver);

    memset(v, 0, sizeof *v);
    v->id = m->id;
    snprintf(v->address, sizeof v->address, "%s", m->client);
    snprintf(v->cluster_address, sizeof v->cluster_address, "%s", m->cluster);
    snprintf(v->peer_address, sizeof v->peer_address, "%s", m->peer);
    v->voter = cm != NULL && cm->role == CONF_VOTER;
    v->self = m->id == n->id;
    v->repairing = m->id != n->id && repair_of_peer(n, m->id);
    v->alive = node_alive(n, m->id) && !v->repairing;
    v->match_index = node_match(n, m->id);
    v->lag = last > v->match_index ? last - v->match_index : 0;
    v->seat = admin_seat(n, m);
}

static int admin_tolerates(const struct member_view *m, size_t k)
{
    int voters = 0;
    int good = 0;

    for (size_t i = 0; i < k; i++) {
        voters += m[i].voter ? 1 : 0;
        good += m[i].voter && m[i].alive ? 1 : 0;
    }
    return good - (voters / 2 + 1);
}

static void admin_message(struct node *n,
                          const struct node_view *v,
                          char out[NODE_MESSAGE_MAX])
{
    if (n->loading) {
        snprintf(out, NODE_MESSAGE_MAX, "reading its data directory");
    } else if (repair_active(&n->repair)) {
        snprintf(out, NODE_MESSAGE_MAX,
                 "its data directory is damaged: it takes no part until it is "
                 "repaired from the others (see its log)");
    } else if (n->id == 0) {
        snprintf(out, NODE_MESSAGE_MAX,
                 "in no cluster yet: run kv init once, or wait to "
                 "be let in%s%s",
                 n->member.refusal[0] != '\0' ? "; refused: " : "",
                 n->member.refusal);
    } else if (v->leader_id == 0) {
        snprintf(out, NODE_MESSAGE_MAX,
                 "no leader is known: fewer than a majority of the "
                 "voters can talk to each other, or an election "
                 "is on");
    } else if (v->tolerates_loss > 0) {
        snprintf(out, NODE_MESSAGE_MAX,
                 "healthy: the cluster can lose %d node%s", v->tolerates_loss,
                 v->tolerates_loss == 1 ? "" : "s");
    } else {
        snprintf(out, NODE_MESSAGE_MAX,
                 "working, but the cluster cannot lose another "
                 "node now");
    }
}

static void admin_sizes(struct node *n, struct node_view *v)
{
    struct env_usage use = env_usage(n->env);

    if (n->wal != NULL) {
        v->log_bytes = wal_bytes(n->wal);
        v->disk_bytes = wal_bytes_on_disk(n->wal) + n->snapshot.file_bytes;
    }
    v->snapshot_bytes = n->snapshot.file_bytes;
    v->memory_limit = n->cfg.memory_limit;
    v->rss_bytes = use.rss_bytes;
    v->blocked = node_blocked(n);
    v->parked = n->session.parked.n + n->reads.waiting.n;
    if (n->machine != NULL) {
        struct store *s = machine_store(n->machine);

        v->memory_bytes = machine_bytes(n->machine);
        v->keys = store_count(s);
        v->keys_expiring = store_count_volatile(s);
        v->sessions = machine_once_count(n->machine);
    }
    v->cpu_user_s = use.cpu_user_s;
    v->cpu_system_s = use.cpu_system_s;
}

unsigned node_view_fill(struct node *n,
                        struct node_view *v,
                        struct member_view *members,
                        char message[NODE_MESSAGE_MAX])
{
    struct conf c;
    uint64_t now = env_now_us(n->env);
    unsigned k = 0;

    memset(v, 0, sizeof *v);
    memset(&c, 0, sizeof c);
    memcpy(v->cluster_id, n->ident.cluster_id, sizeof v->cluster_id);
    v->node_id = n->id;
    v->version = PACKAGE_VERSION;
    v->loading = n->loading;
    v->init = n->machine != NULL && machine_initialized(n->machine);
    v->uptime_s = (now - n->started_us) / 1000000;
    v->pid = (uint32_t)getpid();
    v->cluster_ms = node_time_ms(n);
    v->cluster_us = now % 1000;
    v->leader_changes = n->leader_changes;
    v->leader_silence_max_ms = n->driver_made ? n->driver.silence_max : 0;
    v->election_ms =
        n->driver_made ? driver_election_ms(&n->driver) : n->cfg.election_ms;
    v->quorum_ms = n->driver_made ? driver_quorum_ms(&n->driver) : 0;
    if (n->running) {
        driver_members(&n->driver, &c);
        /* The one that MOVED names: the two must agree at every instant. */
        v->leader_id = node_ready_leader(n);
        v->term = driver_term(&n->driver);
        v->last_index = driver_last(&n->driver);
        v->commit_index = driver_commit(&n->driver);
        v->applied_index = driver_applied(&n->driver);
        v->snapshot_index = n->snapshot.index;
        for (; k < machine_members(n->machine) && k < LIM_NODES; k++) {
            admin_member(n, &c, machine_member_at(n->machine, k), &members[k]);
        }
    }
    v->role = admin_role(n, &c);
    v->members = members;
    v->n_members = k;
    v->tolerates_loss = v->leader_id != 0 ? admin_tolerates(members, k) : -1;
    v->config = n->cfg.settings;
    v->n_config = n->cfg.settings_n;
    v->edge = n->cfg.edge;
    admin_sizes(n, v);
    admin_message(n, v, message);
    v->message = message;
    return k;
}

static void admin_answer(struct node *n, struct client_op *op)
{
    struct member_view members[LIM_NODES];
    struct node_view v;
    char message[NODE_MESSAGE_MAX];

    node_view_fill(n, &v, members, message);
    buf_clear(&op->reply);
    admin_run(&v, blob_bytes(op->command), &op->reply);
    client_op_done(op, 0);
}

/* op->number of an action that this leader has begun. */
#define ADMIN_BEGUN UINT64_MAX

/* Has what was begun come about? OK is said only then: a leader that dies
 * with the entry unreplicated takes the change with it. */
static bool admin_came_about(struct node *n, const struct admin_action *a)
{
    struct conf c;
    const struct conf_member *m;

    driver_members(&n->driver, &c);
    m = conf_find(&c, a->id);
    switch (a->verb) {
        case ADMIN_REMOVE:
            return machine_member(n->machine, a->id) == NULL;
        case ADMIN_PROMOTE:
            return m != NULL && m->role == CONF_VOTER &&
                   !driver_change_pending(&n->driver);
        case ADMIN_TRANSFER:
            return a->id == n->id;
        case ADMIN_NONE:
        case ADMIN_INIT:
            break;
    }
    hf_assert(false);
    return false;
}

/* An action that was begun here goes on. */
static void admin_go_on(struct node *n,
                        struct client_op *op,
                        const struct admin_action *a)
{
    static const char lost[] =
        "UNKNOWN leadership changed meanwhile; see kv member list";

    if (n->leader.term == 0 && a->verb == ADMIN_TRANSFER) {
        client_op_reply(op, bytes_str("+OK\r\n"), 0);
    } else if (n->leader.term == 0) {
        client_op_error(op, lost);
    } else if (admin_came_about(n, a)) {
        client_op_reply(op, bytes_str("+OK\r\n"), 0);
    } else if (a->verb == ADMIN_TRANSFER && driver_ready(&n->driver)) {
        client_op_error(op,
                        "TRYAGAIN the transfer did not come about: the "
                        "other node did not catch up in time");
    } else {
        op_list_push(&n->admin, op);
    }
}

static const char *admin_start(struct node *n, const struct admin_action *a)
{
    switch (a->verb) {
        case ADMIN_REMOVE:
            return member_do_remove(n, a->id);
        case ADMIN_PROMOTE:
            return member_do_promote(n, a->id);
        case ADMIN_TRANSFER:
            return member_do_transfer(n, a->id);
        case ADMIN_NONE:
        case ADMIN_INIT:
            break;
    }
    hf_assert(false);
    return NULL;
}

/* An action for the leader: begun here, passed on, or tried again until the
 * deadline (n->admin holds those). */
static void admin_act(struct node *n,
                      struct client_op *op,
                      const struct admin_action *a)
{
    const char *error;

    if (op->number == ADMIN_BEGUN) {
        admin_go_on(n, op, a);
    } else if (n->leader.term == 0 && node_ready_leader(n) != 0 &&
               op->client != NULL) {
        read_pass(n, op);
    } else if (n->leader.term == 0) {
        op_list_push(&n->admin, op);
    } else if (a->verb == ADMIN_REMOVE && a->id == n->id) {
        /* A leader is removed by the next one. */
        (void)member_do_transfer(n, 0);
        op_list_push(&n->admin, op);
    } else {
        error = admin_start(n, a);
        if (error != NULL) {
            client_op_error(op, error);
            return;
        }
        op->number = ADMIN_BEGUN;
        admin_go_on(n, op, a);
    }
}

void admin_begin(struct node *n, struct client_op *op)
{
    struct admin_action a;

    buf_clear(&op->reply);
    memset(&a, 0, sizeof a);
    if (admin_action(blob_bytes(op->command), &a, &op->reply) != 0) {
        client_op_done(op, 0);
        return;
    }
    if (a.verb == ADMIN_NONE) {
        admin_answer(n, op);
    } else if (a.verb == ADMIN_INIT) {
        member_do_init(n, op, a.force);
    } else if (!n->running) {
        client_op_error(op,
                        "CLUSTERDOWN this node is in no cluster yet: run "
                        "kv init");
    } else {
        admin_act(n, op, &a);
    }
}

void admin_tick(struct node *n)
{
    uint64_t now = env_now_us(n->env);

    for (unsigned left = (unsigned)n->admin.n; left > 0; left--) {
        struct client_op *op = op_list_pop(&n->admin);

        if (op->deadline_us <= now) {
            client_op_error(op, op->number == ADMIN_BEGUN
                                    ? "UNKNOWN the deadline passed while the "
                                      "change was being logged"
                                    : "CLUSTERDOWN no leader took the "
                                      "request before its deadline");
        } else {
            admin_begin(n, op);
        }
    }
}

void admin_cancel(struct node *n, struct client_op *op)
{
    member_init_cancel(n, op);
    if (!op_list_remove(&n->admin, op)) {
        (void)op_list_remove(&n->reads.passed, op);
    }
}
