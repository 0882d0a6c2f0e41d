/* Messages to subscribers of other nodes.
 *
 * Beside the log: nothing waits for them, nobody sends them again. They share
 * the connections of the peers with everything else, so a node that takes
 * them too slowly misses some rather than wait, or make the log wait. */
#include "server/node/node_int.h"

enum { PUBLISH_VERSION = 1 };

void node_set_hooks(struct node *n, const struct node_hooks *h)
{
    if (h != NULL) {
        n->hooks = *h;
    } else {
        memset(&n->hooks, 0, sizeof n->hooks);
    }
}

/* ---- what the machine tells ---- */

void publish_change(void *ctx, enum store_event kind, struct bytes key)
{
    struct node *n = ctx;

    if (n->hooks.on_change != NULL) {
        n->hooks.on_change(
            n->hooks.data, kind, key,
            n->changing != NULL ? client_data(n->changing) : NULL);
    }
}

void publish_notify(void *ctx,
                    enum notify_class class,
                    const char *event,
                    struct bytes key)
{
    struct node *n = ctx;

    /* What is in the log at the start happened in an earlier life. */
    if (n->hooks.on_notify != NULL &&
        (class == NOTIFY_KEY_MISS || n->applying > n->replay_to ||
         mutant(NOTIFY_REPLAYS))) {
        n->hooks.on_notify(n->hooks.data, class, event, key);
    }
}

void node_set_notify(struct node *n, unsigned classes)
{
    n->notify = classes;
    if (n->machine != NULL) {
        machine_set_notify(n->machine, classes);
    }
}

/* ---- touch with the leader ---- */

void publish_lost(struct node *n)
{
    if (n->hooks.on_lost != NULL) {
        n->hooks.on_lost(n->hooks.data);
    }
}

/* When a majority, this node included, was last heard of, all of it. */
static uint64_t majority_heard(struct node *n, uint64_t now)
{
    uint64_t heard[LIM_NODES];
    unsigned voters = 0;
    struct conf c;

    driver_members(&n->driver, &c);
    for (unsigned i = 0; i < c.n && voters < LIM_NODES; i++) {
        uint64_t at =
            c.m[i].id == n->id ? now : node_peer_state(n, c.m[i].id)->heard_us;
        unsigned k = voters;

        if (c.m[i].role != CONF_VOTER) {
            continue;
        }
        for (; k > 0 && heard[k - 1] < at; k--) {
            heard[k] = heard[k - 1];
        }
        heard[k] = at;
        voters++;
    }
    return voters == 0 ? 0 : heard[voters / 2];
}

void publish_tick(struct node *n)
{
    uint64_t now = env_now_us(n->env);
    uint64_t leader = node_ready_leader(n);
    uint64_t heard = 0;

    if (n->running && leader == n->id && leader != 0) {
        heard = majority_heard(n, now);
    } else if (n->running && leader != 0) {
        heard = node_peer_state(n, leader)->heard_us;
        /* What it says since then is not followed. */
        if (n->no_room_us != 0 && heard > n->no_room_us &&
            !mutant(TOUCH_WITHOUT_ROOM)) {
            heard = n->no_room_us;
        }
    }
    if (heard > n->touch_us) {
        n->touch_us = heard;
    }
    if (now - n->touch_us <= n->cfg.election_ms * 1000 ||
        mutant(TOUCH_ASSUMED)) {
        n->out_of_touch = false;
    } else if (!n->out_of_touch) {
        n->out_of_touch = true;
        publish_lost(n);
    }
}

bool node_in_touch(const struct node *n)
{
    return n->running && n->machine != NULL && !n->out_of_touch;
}

/* ---- messages ---- */

static void dropped(struct node *n, uint64_t id)
{
    if (quota_take(&n->unpublished, n->log, env_now_us(n->env))) {
        log_warn(n->log, "a published message for node %llu was dropped: %s",
                 (unsigned long long)id,
                 peer_is_up(n->peers, id) ? "too much waits for it"
                                          : "it is not connected");
    }
}

void node_publish(struct node *n,
                  uint8_t kind,
                  struct bytes channel,
                  struct bytes message)
{
    struct buf head = BUF_INIT;

    if (!n->running || n->machine == NULL) {
        return; /* it knows nobody yet */
    }
    node_envelope(n, &head);
    buf_u8(&head, PUBLISH_VERSION);
    buf_u8(&head, kind);
    buf_lbytes(&head, channel);
    for (unsigned i = 0; i < machine_members(n->machine); i++) {
        uint64_t id = machine_member_at(n->machine, i)->id;

        if (id == n->id) {
            continue;
        }
        if ((peer_bulk_pending(n->peers, id) > NODE_PUBLISH_BYTES &&
             !mutant(PUBLISH_UNBOUNDED)) ||
            !peer_send(n->peers, id, PEER_BULK, NMSG_PUBLISH, buf_bytes(&head),
                       &message, 1)) {
            dropped(n, id);
        }
    }
    buf_release(&head);
}

void publish_on_message(struct node *n, uint64_t from, struct reader *r)
{
    uint8_t version = rd_u8(r);
    uint8_t kind = rd_u8(r);
    struct bytes channel = rd_lbytes(r);

    (void)from;
    if (!reader_ok(r) || version != PUBLISH_VERSION) {
        return; /* a newer node's: it is told to no one here */
    }
    if (n->hooks.on_publish != NULL) {
        n->hooks.on_publish(n->hooks.data, kind, channel, bytes_of(r->p, r->n));
    }
}
