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
