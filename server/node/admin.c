/* Operations that are answered from what the node knows of itself, and the
 * operator's actions. Actions and the questions that only a leader can answer
 * well are passed on to it. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "resp/resp.h"
#include "server/command/acl.h"
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

static uint64_t admin_avg_ttl(struct store *s)
{
    uint64_t mean = map_deadline_mean(store_map(s));

    return mean > store_time(s) ? mean - store_time(s) : 0;
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
    v->parked = n->session.parked.n + n->reads.waiting.n;
    v->blocked = node_blocked(n) + n->waits.ops.n;
    if (n->machine != NULL) {
        struct store *s = machine_store(n->machine);

        v->seats = machine_seats(n->machine);
        v->memory_bytes = machine_bytes(n->machine);
        v->keys = store_count(s);
        v->keys_expiring = store_count_volatile(s);
        v->sessions = machine_once_count(n->machine);
        v->expired = machine_expired(n->machine);
        v->revision = store_revision(s);
        v->memory_held = machine_bytes_held(n->machine);
        v->avg_ttl_ms = admin_avg_ttl(s);
        v->history_changes = history_count(store_history(s));
        v->history_bytes = history_bytes(store_history(s));
        v->history_floor = history_floor(store_history(s)).rev;
    }
    v->cpu_user_s = use.cpu_user_s;
    v->cpu_system_s = use.cpu_system_s;
    v->turns = env_turns(n->env);
    v->system_memory =
        (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    v->clients_bytes =
        n->reply_bytes + (n->cfg.edge != NULL ? n->cfg.edge->unsent_bytes : 0);
}

static void admin_snapshots(struct node *n, struct node_view *v)
{
    const struct snapshotter *s = &n->snapshot;
    uint64_t now = env_now_us(n->env);
    bool made = s->taken_n > 0;

    v->snapshots = s->taken_n;
    v->snapshots_sent = s->sent_n;
    v->snapshot_unix_s =
        made ? s->taken_unix_s
             : env_wall_ms(n->env) / 1000 - (now - n->started_us) / 1000000;
    v->snapshot_age_s = made ? (int64_t)((now - s->taken_us) / 1000000) : -1;
    v->snapshot_ms = made ? (int64_t)s->taken_ms : -1;
    v->snapshot_failed = s->failed;
    v->snapshot_taking = s->taking != NULL;
    v->snapshot_taking_s =
        s->taking != NULL ? (int64_t)((now - s->taking->started_us) / 1000000)
                          : -1;
    v->snapshot_installing = s->installing != NULL;
}

static void admin_state(struct node *n, struct node_view *v)
{
    static const char *const repairs[] = {"none", "fetch", "rejoin"};
    static const char *const rooms[] = {"ok", "soon", "none"};

    v->repair = repairs[n->repair.mode];
    v->disk_room = rooms[n->wal != NULL ? wal_room(n->wal, 0) : WAL_ROOM];
    v->disk_stall_ms = n->wal != NULL ? wal_stall_us(n->wal) / 1000 : 0;
    if (n->running && driver_role(&n->driver) != DRIVER_LEADER &&
        n->driver.contact_of != 0) {
        v->leader_silence_ms = node_now_ms(n) - n->driver.contact;
    }
}

/* The connections to the other members. */
static void admin_links(struct node *n, struct node_view *v)
{
    struct peer_stats *p;

    v->links = n->links;
    if (n->peers == NULL) {
        return;
    }
    p = hf_calloc(LIM_NODES, sizeof *p);
    v->n_links = peer_stats(n->peers, p, LIM_NODES);
    for (size_t i = 0; i < v->n_links; i++) {
        n->links[i] = (struct link_view){
            .id = p[i].id,
            .up = p[i].up,
            .sent_messages = p[i].sent_messages,
            .received_messages = p[i].received_messages,
            .sent_bytes = p[i].sent_bytes,
            .received_bytes = p[i].received_bytes,
            .queued_bytes = p[i].bulk_pending,
            .since_ms =
                p[i].up_since_ms == 0
                    ? 0
                    : v->cluster_ms - (node_now_ms(n) - p[i].up_since_ms),
        };
    }
    free(p);
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
    v->leaderless_ms = node_leaderless_ms(n);
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
    v->process = n->cfg.process;
    v->os = n->os;
    admin_sizes(n, v);
    admin_snapshots(n, v);
    admin_state(n, v);
    admin_links(n, v);
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
        case ADMIN_TAKE:
        case ADMIN_FORGET:
        case ADMIN_WAIT:
        case ADMIN_SAVE:
        case ADMIN_BGSAVE:
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
        case ADMIN_TAKE:
        case ADMIN_FORGET:
        case ADMIN_WAIT:
        case ADMIN_SAVE:
        case ADMIN_BGSAVE:
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

/* CLUSTER FAILOVER and FORGET are MEMBER TRANSFER and REMOVE of the member
 * that is meant: from here on @op is that, wherever it is answered. */
static bool admin_rename(struct node *n,
                         struct client_op *op,
                         struct admin_action *a)
{
    struct member_view members[LIM_NODES];
    char message[NODE_MESSAGE_MAX], text[24];
    const struct member_view *m = NULL;
    struct node_view v;
    struct bytes words[3] = {bytes_str("member"), bytes_str("transfer"),
                             bytes_str("")};

    node_view_fill(n, &v, members, message);
    if (a->verb == ADMIN_TAKE && n->leader.term != 0) {
        client_op_error(op,
                        "ERR You should send CLUSTER FAILOVER to a replica");
        return false;
    }
    if (a->verb == ADMIN_FORGET) {
        words[1] = bytes_str("remove");
        m = admin_by_hex(&v, a->hex);
    }
    if (a->verb == ADMIN_FORGET && m == NULL) {
        buf_clear(&op->reply);
        resp_errorf(&op->reply, "ERR Unknown node %.*s",
                    (int)(a->hex.n < 128 ? a->hex.n : 128),
                    (const char *)a->hex.p);
        client_op_done(op, 0);
        return false;
    }
    if (m != NULL && m->self && !mutant(FORGET_SELF)) {
        client_op_error(op, "ERR I tried hard but I can't forget myself...");
        return false;
    }
    snprintf(text, sizeof text, "%llu",
             (unsigned long long)(m != NULL ? m->id : n->id));
    words[2] = bytes_str(text);
    blob_unref(op->command);
    op->command =
        command_encode(command_sub(command_by_name(words[0]), words[1]),
                       COMMAND_ALLOWED, words, 3);
    a->verb = m != NULL ? ADMIN_REMOVE : ADMIN_TRANSFER;
    a->id = m != NULL ? m->id : n->id;
    return true;
}

void admin_begin(struct node *n, struct client_op *op)
{
    struct admin_action a;

    buf_clear(&op->reply);
    memset(&a, 0, sizeof a);
    /* What was begun is no longer for a user to do or not. */
    if (n->machine != NULL && op->number != ADMIN_BEGUN &&
        acl_refuses(n->machine, blob_bytes(op->command), &op->reply)) {
        client_op_done(op, 0);
        return;
    }
    if (admin_action(blob_bytes(op->command), &a, &op->reply) != 0) {
        client_op_done(op, 0);
        return;
    }
    if (a.verb == ADMIN_NONE) {
        admin_answer(n, op);
    } else if (a.verb == ADMIN_INIT) {
        member_do_init(n, op, a.force);
    } else if (a.verb == ADMIN_WAIT || a.verb == ADMIN_SAVE ||
               a.verb == ADMIN_BGSAVE) {
        wait_begin(n, op, &a);
    } else if (!n->running) {
        client_op_error(op,
                        "CLUSTERDOWN this node is in no cluster yet: run "
                        "kv init");
    } else if ((a.verb != ADMIN_TAKE && a.verb != ADMIN_FORGET) ||
               admin_rename(n, op, &a)) {
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
    if (!op_list_remove(&n->admin, op) && !wait_cancel(n, op)) {
        (void)op_list_remove(&n->reads.passed, op);
    }
}
