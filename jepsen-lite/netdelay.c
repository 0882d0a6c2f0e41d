/* holdfast-netdelay QUEUE DELAY_US JITTER_US DROP_PPM SEED: packets of an
 * NFQUEUE are held for DELAY_US and a part of JITTER_US that is drawn for
 * each (so that they overtake each other), or dropped. Ends at SIGTERM and
 * prints how many it held and dropped; exit 0 if there was one, 1 if none, 2
 * if it could not start. While it does not run the queue drops everything.
 *
 * It speaks to the kernel in netlink messages itself
 * (linux/netfilter/nfnetlink_queue.h). */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/netlink.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/rng.h"

enum {
    HELD_MAX = 1 << 16, /* packets; the kernel drops what is beyond */
    BUFFER = 1 << 16,
    SOCKET_BUFFER = 4 << 20
};

struct held {
    int64_t due_us;
    uint32_t id;
};

static struct held heap[HELD_MAX];
static int heap_n;
static int fd;
static uint16_t queue;
static unsigned long long held_count, dropped;
static volatile sig_atomic_t over;

static int64_t now_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000000LL + ts.tv_nsec / 1000;
}

static void push(struct held h)
{
    int i = heap_n++;

    while (i > 0 && heap[(i - 1) / 2].due_us > h.due_us) {
        heap[i] = heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    heap[i] = h;
}

static struct held pop(void)
{
    struct held top = heap[0];
    struct held last = heap[--heap_n];
    int i = 0;

    for (;;) {
        int c = 2 * i + 1;

        if (c >= heap_n) {
            break;
        }
        if (c + 1 < heap_n && heap[c + 1].due_us < heap[c].due_us) {
            c++;
        }
        if (heap[c].due_us >= last.due_us) {
            break;
        }
        heap[i] = heap[c];
        i = c;
    }
    heap[i] = last;
    return top;
}

/* ---- netlink ---- */

#define ATTRIBUTE_HEAD sizeof(struct nlattr)

static size_t aligned(size_t n)
{
    return (n + NLA_ALIGNTO - 1) / NLA_ALIGNTO * NLA_ALIGNTO;
}

/* One message with one attribute. */
static int tell(uint16_t type, uint16_t attribute, const void *p, size_t n)
{
    struct {
        struct nlmsghdr head;
        struct nfgenmsg gen;
        char data[64];
    } m = {0};
    struct nlattr a = {0};

    a.nla_len = (uint16_t)(ATTRIBUTE_HEAD + n);
    a.nla_type = attribute;
    m.head.nlmsg_type = (uint16_t)(NFNL_SUBSYS_QUEUE << 8 | type);
    m.head.nlmsg_flags = NLM_F_REQUEST;
    m.head.nlmsg_len =
        (uint32_t)(NLMSG_LENGTH(sizeof m.gen) + aligned(a.nla_len));
    m.gen.nfgen_family = AF_UNSPEC;
    m.gen.version = NFNETLINK_V0;
    m.gen.res_id = htons(queue);
    memcpy(m.data, &a, sizeof a);
    memcpy(m.data + ATTRIBUTE_HEAD, p, n);
    return send(fd, &m, m.head.nlmsg_len, 0) < 0 ? -1 : 0;
}

static void verdict(uint32_t id, uint32_t what)
{
    struct nfqnl_msg_verdict_hdr v = {htonl(what), htonl(id)};

    (void)tell(NFQNL_MSG_VERDICT, NFQA_VERDICT_HDR, &v, sizeof v);
}

static int bind_queue(void)
{
    struct nfqnl_msg_config_cmd c = {.command = NFQNL_CFG_CMD_BIND};
    struct nfqnl_msg_config_params p = {0};
    uint32_t longest = htonl(HELD_MAX);
    struct sockaddr_nl at = {.nl_family = AF_NETLINK};
    int bytes = SOCKET_BUFFER;

    fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) != 0) {
        return -1;
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
    p.copy_mode = NFQNL_COPY_META;
    return tell(NFQNL_MSG_CONFIG, NFQA_CFG_CMD, &c, sizeof c) |
           tell(NFQNL_MSG_CONFIG, NFQA_CFG_PARAMS, &p, sizeof p) |
           tell(NFQNL_MSG_CONFIG, NFQA_CFG_QUEUE_MAXLEN, &longest,
                sizeof longest);
}

/* The packet's number in message @h, or false. */
static bool packet_id(const struct nlmsghdr *h, uint32_t *id)
{
    const char *p = (const char *)NLMSG_DATA(h);
    size_t left = h->nlmsg_len - NLMSG_LENGTH(sizeof(struct nfgenmsg));

    if (h->nlmsg_type != (NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_PACKET) ||
        h->nlmsg_len < NLMSG_LENGTH(sizeof(struct nfgenmsg))) {
        return false;
    }
    p += NLMSG_ALIGN(sizeof(struct nfgenmsg));
    while (left >= ATTRIBUTE_HEAD) {
        struct nlattr a;
        struct nfqnl_msg_packet_hdr k;

        memcpy(&a, p, sizeof a);
        if (a.nla_len < ATTRIBUTE_HEAD || a.nla_len > left) {
            return false;
        }
        if ((a.nla_type & NLA_TYPE_MASK) == NFQA_PACKET_HDR &&
            a.nla_len >= ATTRIBUTE_HEAD + sizeof k) {
            memcpy(&k, p + ATTRIBUTE_HEAD, sizeof k);
            *id = ntohl(k.packet_id);
            return true;
        }
        if (aligned(a.nla_len) >= left) {
            return false;
        }
        left -= aligned(a.nla_len);
        p += aligned(a.nla_len);
    }
    return false;
}

/* ---- packets ---- */

static void receive(struct rng *rng,
                    int64_t delay,
                    uint64_t jitter,
                    uint64_t drop_ppm)
{
    static char buffer[BUFFER];
    ssize_t n = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
    unsigned left = n > 0 ? (unsigned)n : 0;

    for (struct nlmsghdr *h = (struct nlmsghdr *)(void *)buffer;
         NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
        uint32_t id;

        if (!packet_id(h, &id)) {
            continue;
        }
        if (rng_below(rng, 1000000) < drop_ppm || heap_n == HELD_MAX) {
            dropped++;
            verdict(id, NF_DROP);
            continue;
        }
        held_count++;
        push((struct held){now_us() + delay + (int64_t)rng_below(rng, jitter),
                           id});
    }
}

static void let_go(void)
{
    while (heap_n > 0 && heap[0].due_us <= now_us()) {
        verdict(pop().id, NF_ACCEPT);
    }
}

static void stop(int sig)
{
    (void)sig;
    over = 1;
}

int main(int argc, char **argv)
{
    struct sigaction sa = {.sa_handler = stop};
    struct rng rng;

    if (argc != 6) {
        fputs("holdfast-netdelay QUEUE DELAY_US JITTER_US DROP_PPM SEED\n",
              stderr);
        return 2;
    }
    queue = (uint16_t)atoi(argv[1]);
    rng.s = strtoull(argv[5], NULL, 10);
    sigaction(SIGTERM, &sa, NULL);
    sigaction(SIGINT, &sa, NULL);
    if (bind_queue() != 0) {
        perror("NFQUEUE");
        return 2;
    }
    while (!over) {
        struct pollfd p = {fd, POLLIN, 0};
        int64_t us = heap_n > 0 ? heap[0].due_us - now_us() : 1000000;
        struct timespec ts = {0, 0};

        ts.tv_sec = us > 0 ? us / 1000000 : 0;
        ts.tv_nsec = us > 0 ? us % 1000000 * 1000 : 0;
        if (ppoll(&p, 1, &ts, NULL) > 0) {
            receive(&rng, atoll(argv[2]), strtoull(argv[3], NULL, 10),
                    strtoull(argv[4], NULL, 10));
        }
        let_go();
    }
    while (heap_n > 0) {
        verdict(pop().id, NF_ACCEPT);
    }
    printf("held %llu, dropped %llu\n", held_count, dropped);
    return held_count + dropped > 0 ? 0 : 1;
}
