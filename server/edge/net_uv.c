/* Sockets over uv_poll: our own recv() into one shared buffer and one send()
 * per connection and turn, without a request object per write. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/limits.h"
#include "server/edge/env_int_uv.h"
#include "server/edge/hostport.h"

enum {
    DRAIN_MARK = 64 << 10, /* net_write() past it asks for on_drain */
    OUT_KEEP = 256 << 10,  /* an empty output buffer above this is freed */
    KEEPALIVE_IDLE_S = 30,
};

struct uvnet_listener {
    struct net_listener l; /* first */
    struct env_uv *u;
    uv_poll_t poll;
    int fd;
    bool closed;
    struct env_timer retry; /* accept again after running out of files */
    void (*on_accept)(void *data, struct net_conn *c);
    void *data;
};

/*  RESOLVING --> CONNECTING --> OPEN --> CLOSED
 *       |           |  ^--next--'          ^
 *       '-----------'----------------------'  */
enum conn_state { CONN_RESOLVING, CONN_CONNECTING, CONN_OPEN, CONN_CLOSED };

/* One descriptor and its watcher. It outlives its connection until libuv has
 * closed the handle; @n is NULL from then on. */
struct uvsock {
    uv_poll_t poll;
    int fd;
    int events; /* watched */
    struct uvnet_conn *n;
};

struct uvnet_conn {
    struct net_conn c; /* first */
    struct env_uv *u;
    enum conn_state state;
    struct uvsock *sock; /* NULL while resolving and when closed */
    bool look_up_on;     /* getaddrinfo under way: holds the memory */
    bool paused;
    bool want_drain;
    size_t drain_below;
    struct buf out; /* bytes from sent_off on are still to be sent */
    size_t sent_off;
    struct uvnet_conn *dirty_next;
    struct uvnet_conn *dirty_prev;
    bool dirty;
    struct env_timer deadline; /* of the connect */
    struct env_task failed;    /* reports @fail_code outside of calls */
    int fail_code;
    uv_getaddrinfo_t look_up;
    struct addrinfo *addrs; /* result; owned */
    struct addrinfo *addr;  /* next to try */
    char bind_host[LIM_ADDR];
};

static struct uvnet_conn *conn_of(struct net_conn *c)
{
    return (struct uvnet_conn *)(void *)c;
}

/* ---- addresses ---- */

static bool numeric_addr(const char *host,
                         const char *port,
                         struct sockaddr_storage *ss,
                         socklen_t *len)
{
    int n = port == NULL ? 0 : atoi(port);

    memset(ss, 0, sizeof *ss);
    if (uv_ip4_addr(host, n, (struct sockaddr_in *)(void *)ss) == 0) {
        *len = sizeof(struct sockaddr_in);
        return true;
    }
    if (uv_ip6_addr(host, n, (struct sockaddr_in6 *)(void *)ss) == 0) {
        *len = sizeof(struct sockaddr_in6);
        return true;
    }
    return false;
}

static void name_of(const struct sockaddr_storage *ss, char *out, size_t max)
{
    char ip[INET6_ADDRSTRLEN] = "?";

    if (ss->ss_family == AF_INET6) {
        const struct sockaddr_in6 *a = (const void *)ss;

        inet_ntop(AF_INET6, &a->sin6_addr, ip, sizeof ip);
        snprintf(out, max, "[%s]:%u", ip, ntohs(a->sin6_port));
    } else {
        const struct sockaddr_in *a = (const void *)ss;

        inet_ntop(AF_INET, &a->sin_addr, ip, sizeof ip);
        snprintf(out, max, "%s:%u", ip, ntohs(a->sin_port));
    }
}

static void set_option(int fd, int level, int name, int value)
{
    /* Each only improves timing; a kernel without one still works. */
    (void)setsockopt(fd, level, name, &value, sizeof value);
}

static void stream_options(int fd, bool outgoing)
{
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S);
    set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_IDLE_S / 3);
    set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
    if (outgoing) {
        /* Retransmission backs off far beyond an outage; and what the kernel
         * has taken can no longer be overtaken by a heartbeat. */
        set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, ENV_UV_USER_TIMEOUT_MS);
        set_option(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, ENV_UV_NOTSENT_BYTES);
    }
}

/* ---- descriptors ---- */

static void conn_event(uv_poll_t *p, int status, int events);

static struct uvsock *sock_new(struct uvnet_conn *n, int fd)
{
    struct uvsock *s = hf_calloc(1, sizeof *s);

    hf_assert(uv_poll_init(&n->u->loop, &s->poll, fd) == 0);
    s->poll.data = s;
    s->fd = fd;
    s->n = n;
    return s;
}

static void sock_freed(uv_handle_t *h)
{
    free(h->data);
}

static void conn_drop_sock(struct uvnet_conn *n)
{
    struct uvsock *s = n->sock;

    if (s == NULL) {
        return;
    }
    n->sock = NULL;
    s->n = NULL;
    uv_close((uv_handle_t *)&s->poll, sock_freed);
    close(s->fd); /* allowed: uv_close() has stopped the watcher */
}

/* ---- connections: memory and state ---- */

static void conn_maybe_free(struct uvnet_conn *n)
{
    if (n->state != CONN_CLOSED || n->look_up_on) {
        return;
    }
    hf_assert(n->sock == NULL && !n->dirty);
    if (n->addrs != NULL) {
        uv_freeaddrinfo(n->addrs);
    }
    free(n);
}

static void dirty_add(struct uvnet_conn *n)
{
    if (n->dirty || n->state != CONN_OPEN) {
        return;
    }
    n->dirty = true;
    n->dirty_prev = NULL;
    n->dirty_next = n->u->dirty;
    if (n->dirty_next != NULL) {
        n->dirty_next->dirty_prev = n;
    }
    n->u->dirty = n;
}

static void dirty_remove(struct uvnet_conn *n)
{
    if (!n->dirty) {
        return;
    }
    n->dirty = false;
    if (n->dirty_prev != NULL) {
        n->dirty_prev->dirty_next = n->dirty_next;
    } else {
        n->u->dirty = n->dirty_next;
    }
    if (n->dirty_next != NULL) {
        n->dirty_next->dirty_prev = n->dirty_prev;
    }
}

/* Everything of it ends but the memory. */
static void conn_stop(struct uvnet_conn *n)
{
    hf_assert(n->state != CONN_CLOSED);
    n->state = CONN_CLOSED;
    n->u->sockets--;
    dirty_remove(n);
    env_timer_stop(&n->u->env, &n->deadline);
    env_undefer(&n->u->env, &n->failed);
    conn_drop_sock(n);
    buf_release(&n->out);
    if (n->look_up_on) {
        (void)uv_cancel((uv_req_t *)&n->look_up); /* else it runs out */
    }
}

/* End without the owner's wish: its callback runs last. */
static void conn_fail(struct uvnet_conn *n, int code)
{
    conn_stop(n);
    if (n->c.cbs != NULL && n->c.cbs->on_close != NULL) {
        n->c.cbs->on_close(&n->c, code);
    }
    conn_maybe_free(n);
}

static void failed_cb(struct env_task *t)
{
    struct uvnet_conn *n = t->data;

    conn_fail(n, n->fail_code);
}

static void conn_fail_later(struct uvnet_conn *n, int code)
{
    n->fail_code = code;
    env_defer(&n->u->env, &n->failed);
}

static void deadline_cb(struct env_timer *t)
{
    conn_fail(t->data, HF_ETIMEOUT);
}

static struct uvnet_conn *conn_new(struct env_uv *u)
{
    struct uvnet_conn *n = hf_calloc(1, sizeof *n);

    n->c.env = &u->env;
    n->u = u;
    env_timer_init(&n->deadline, deadline_cb, n);
    env_task_init(&n->failed, failed_cb, n);
    n->look_up.data = n;
    u->sockets++;
    return n;
}

/* ---- connections: input and output ---- */

static void conn_watch(struct uvnet_conn *n)
{
    struct uvsock *s = n->sock;
    int want = UV_WRITABLE; /* connecting */

    if (n->state == CONN_OPEN) {
        want = (n->paused ? 0 : UV_READABLE) |
               (n->out.n > n->sent_off && !n->dirty ? UV_WRITABLE : 0);
    }
    if (s == NULL || want == s->events) {
        return;
    }
    s->events = want;
    if (want == 0) {
        uv_poll_stop(&s->poll);
    } else {
        hf_assert(uv_poll_start(&s->poll, want, conn_event) == 0);
    }
}

/* Send what the kernel takes now. 0 or an error. */
static int conn_send(struct uvnet_conn *n)
{
    while (n->sent_off < n->out.n) {
        ssize_t k = send(n->sock->fd, n->out.p + n->sent_off,
                         n->out.n - n->sent_off, MSG_NOSIGNAL);

        if (k < 0 && errno == EINTR) {
            continue;
        }
        if (k < 0) {
            return errno == EAGAIN || errno == EWOULDBLOCK
                       ? 0
                       : hf_err_from_errno(errno);
        }
        n->sent_off += (size_t)k;
    }
    n->sent_off = 0;
    buf_clear(&n->out);
    if (n->out.cap > OUT_KEEP) {
        buf_release(&n->out);
    }
    return 0;
}

/* Send, then tell the owner of room or of the end. @n may be gone after. */
static void conn_flush(struct uvnet_conn *n)
{
    int rv = conn_send(n);

    if (rv != 0) {
        conn_fail(n, rv);
        return;
    }
    conn_watch(n);
    if (n->want_drain && n->out.n - n->sent_off < n->drain_below) {
        n->want_drain = false;
        if (n->c.cbs->on_drain != NULL) {
            n->c.cbs->on_drain(&n->c);
        }
    }
}

void uvnet_flush(struct env_uv *u)
{
    /* on_drain() may write again; the count bounds this round and the caller
     * starts another one. */
    for (size_t left = u->sockets; u->dirty != NULL && left > 0; left--) {
        struct uvnet_conn *n = u->dirty;

        dirty_remove(n);
        conn_flush(n);
    }
}

static void conn_readable(struct uvnet_conn *n)
{
    ssize_t k = recv(n->sock->fd, n->u->read_buf, ENV_UV_READ_BUF, 0);

    if (k > 0) {
        n->c.cbs->on_read(&n->c, n->u->read_buf, (size_t)k);
    } else if (k == 0) {
        (void)conn_send(n); /* answers that are ready still go out */
        conn_fail(n, 0);
    } else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
        conn_fail(n, hf_err_from_errno(errno));
    }
}

static int socket_error(int fd)
{
    int e = 0;
    socklen_t len = sizeof e;

    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len) != 0) {
        return errno;
    }
    return e;
}

static void conn_try_next(struct uvnet_conn *n);

static void conn_connected(struct uvnet_conn *n)
{
    int e = socket_error(n->sock->fd);
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;

    if (e != 0) {
        n->fail_code = hf_err_from_errno(e);
        conn_drop_sock(n);
        conn_try_next(n);
        return;
    }
    env_timer_stop(&n->u->env, &n->deadline);
    n->state = CONN_OPEN;
    if (getpeername(n->sock->fd, (struct sockaddr *)&ss, &len) == 0) {
        name_of(&ss, n->c.remote, sizeof n->c.remote);
    }
    if (n->out.n > 0) {
        dirty_add(n);
    }
    conn_watch(n);
    if (n->c.cbs->on_open != NULL) {
        n->c.cbs->on_open(&n->c);
    }
}

static void conn_event(uv_poll_t *p, int status, int events)
{
    struct uvsock *s = p->data; /* lasts through this event, s->n may not */

    if (s->n == NULL) {
        return;
    }
    turn_begin(s->n->u);
    if (s->n->state == CONN_CONNECTING) {
        conn_connected(s->n);
        return;
    }
    if (status < 0) {
        int e = socket_error(s->fd);

        conn_fail(s->n, e != 0 ? hf_err_from_errno(e) : HF_ECLOSED);
        return;
    }
    if ((events & UV_WRITABLE) != 0) {
        conn_flush(s->n);
    }
    if ((events & UV_READABLE) != 0 && s->n != NULL && !s->n->paused) {
        conn_readable(s->n);
    }
}

/* ---- outgoing ---- */

static int bind_source(struct uvnet_conn *n, int fd, int family)
{
    struct sockaddr_storage ss;
    socklen_t len;

    if (n->bind_host[0] == '\0') {
        return 0;
    }
    if (!numeric_addr(n->bind_host, NULL, &ss, &len) ||
        ss.ss_family != family) {
        return EINVAL;
    }
    set_option(fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, 1);
    return bind(fd, (struct sockaddr *)&ss, len) == 0 ? 0 : errno;
}

/* Start connecting to one address. 0 or errno. */
static int conn_dial(struct uvnet_conn *n,
                     const struct sockaddr *sa,
                     socklen_t len)
{
    int type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
    int fd = socket(sa->sa_family, type, 0);
    int e;

    if (fd < 0) {
        return errno;
    }
    stream_options(fd, true);
    e = bind_source(n, fd, sa->sa_family);
    if (e == 0 && connect(fd, sa, len) != 0 && errno != EINPROGRESS) {
        e = errno;
    }
    if (e != 0) {
        close(fd);
        return e;
    }
    n->sock = sock_new(n, fd);
    n->state = CONN_CONNECTING;
    conn_watch(n);
    return 0;
}

/* Dial the next address of the look-up; report the last failure when there
 * is none. */
static void conn_try_next(struct uvnet_conn *n)
{
    while (n->addr != NULL) {
        struct addrinfo *a = n->addr;
        int e = conn_dial(n, a->ai_addr, a->ai_addrlen);

        n->addr = a->ai_next;
        if (e == 0) {
            return;
        }
        n->fail_code = hf_err_from_errno(e);
    }
    conn_fail_later(n, n->fail_code);
}

static void look_up_cb(uv_getaddrinfo_t *r, int status, struct addrinfo *res)
{
    struct uvnet_conn *n = r->data;

    turn_begin(n->u);
    n->look_up_on = false;
    n->addrs = res;
    if (n->state == CONN_CLOSED) {
        conn_maybe_free(n);
        return;
    }
    n->addr = res;
    n->fail_code = HF_ENOENT;
    if (status != 0) {
        n->addr = NULL;
    }
    conn_try_next(n);
}

static void conn_start(struct uvnet_conn *n, const char *hostport)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct sockaddr_storage ss;
    socklen_t len;
    char host[LIM_ADDR];
    char port[8];
    int e;

    if (hostport_split(hostport, host, sizeof host, port, sizeof port) != 0) {
        conn_fail_later(n, HF_EINVAL);
        return;
    }
    if (numeric_addr(host, port, &ss, &len)) {
        e = conn_dial(n, (struct sockaddr *)&ss, len);
        if (e != 0) {
            conn_fail_later(n, hf_err_from_errno(e));
        }
        return;
    }
    if (uv_getaddrinfo(&n->u->loop, &n->look_up, look_up_cb, host, port,
                       &hints) != 0) {
        conn_fail_later(n, HF_ENOENT);
        return;
    }
    n->look_up_on = true;
}

struct net_conn *uvnet_connect(struct env *e,
                               const char *hostport,
                               const char *bind_host)
{
    struct uvnet_conn *n = conn_new(env_uv_of(e));

    snprintf(n->c.remote, sizeof n->c.remote, "%s", hostport);
    if (bind_host != NULL) {
        snprintf(n->bind_host, sizeof n->bind_host, "%s", bind_host);
    }
    n->fail_code = HF_ECLOSED;
    env_timer_start(e, &n->deadline,
                    env_now_us(e) + NET_CONNECT_TIMEOUT_MS * 1000ULL);
    conn_start(n, hostport);
    return &n->c;
}

/* ---- what owners call ---- */

void uvnet_write(struct net_conn *c, const void *p, size_t len)
{
    struct uvnet_conn *n = conn_of(c);
    size_t before = n->out.n - n->sent_off;

    hf_assert(n->state != CONN_CLOSED);
    if (n->sent_off > n->out.n / 2) {
        buf_consume(&n->out, n->sent_off);
        n->sent_off = 0;
    }
    buf_append(&n->out, p, len);
    if (before <= DRAIN_MARK && before + len > DRAIN_MARK) {
        n->want_drain = true;
        n->drain_below = (before + len) / 2;
    }
    /* While the kernel is full, the watcher sends; else the turn's end. */
    if (before == 0) {
        dirty_add(n);
    }
}

size_t uvnet_pending(const struct net_conn *c)
{
    const struct uvnet_conn *n = (const void *)c;

    return n->out.n - n->sent_off;
}

void uvnet_read_pause(struct net_conn *c, bool paused)
{
    struct uvnet_conn *n = conn_of(c);

    hf_assert(n->state != CONN_CLOSED);
    n->paused = paused;
    if (n->state == CONN_OPEN) {
        conn_watch(n);
    }
}

void uvnet_close(struct net_conn *c)
{
    struct uvnet_conn *n = conn_of(c);

    conn_stop(n);
    conn_maybe_free(n);
}

/* ---- incoming ---- */

static void accept_event(uv_poll_t *p, int status, int events);

static void accept_one(struct uvnet_listener *l,
                       int fd,
                       const struct sockaddr_storage *ss)
{
    struct uvnet_conn *n = conn_new(l->u);
    struct sockaddr_storage own;
    socklen_t len = sizeof own;

    stream_options(fd, false);
    name_of(ss, n->c.remote, sizeof n->c.remote);
    if (getsockname(fd, (struct sockaddr *)&own, &len) == 0) {
        name_of(&own, n->c.local, sizeof n->c.local);
    }
    n->sock = sock_new(n, fd);
    n->state = CONN_OPEN;
    conn_watch(n);
    l->on_accept(l->data, &n->c);
}

/* Without descriptors or memory the connection stays in the backlog, which
 * keeps the listener readable: watching it would spin. */
static void accept_rest(struct uvnet_listener *l)
{
    struct env *e = &l->u->env;

    uv_poll_stop(&l->poll);
    env_timer_start(e, &l->retry,
                    env_now_us(e) + ENV_UV_ACCEPT_RETRY_MS * 1000ULL);
}

static void accept_again(struct env_timer *t)
{
    struct uvnet_listener *l = t->data;

    hf_assert(uv_poll_start(&l->poll, UV_READABLE, accept_event) == 0);
}

static void accept_event(uv_poll_t *p, int status, int events)
{
    struct uvnet_listener *l = p->data;

    (void)events;
    turn_begin(l->u);
    if (status < 0) {
        accept_rest(l);
        return;
    }
    for (int i = 0; i < ENV_UV_ACCEPT_MAX && !l->closed; i++) {
        struct sockaddr_storage ss;
        socklen_t len = sizeof ss;
        int fd = accept4(l->fd, (struct sockaddr *)&ss, &len,
                         SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd >= 0) {
            accept_one(l, fd, &ss);
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return;
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
                   errno == ENOMEM) {
            accept_rest(l);
            return;
        } /* else: that one connection failed (ECONNABORTED and the like) */
    }
}

/* Socket, bound and listening. 0 or errno. */
static int listen_fd(const struct sockaddr *sa, socklen_t len, int *out)
{
    int type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
    int fd = socket(sa->sa_family, type, 0);
    int e;

    if (fd < 0) {
        return errno;
    }
    set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (bind(fd, sa, len) != 0 || listen(fd, ENV_UV_BACKLOG) != 0) {
        e = errno;
        close(fd);
        return e;
    }
    *out = fd;
    return 0;
}

static int listen_resolve(struct env_uv *u,
                          const char *hostport,
                          int *fd,
                          struct errmsg *em)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE};
    uv_getaddrinfo_t req;
    char host[LIM_ADDR];
    char port[8];
    int e;

    if (hostport_split(hostport, host, sizeof host, port, sizeof port) != 0) {
        return errmsg_set(em, HF_EINVAL, "listen on %s: not host:port",
                          hostport);
    }
    /* At start only: here the loop may wait. */
    e = uv_getaddrinfo(&u->loop, &req, NULL, host[0] == '\0' ? NULL : host,
                       port, &hints);
    if (e != 0 || req.addrinfo == NULL) {
        return errmsg_set(em, HF_ENOENT, "listen on %s: %s", hostport,
                          e != 0 ? uv_strerror(e) : "no address");
    }
    for (struct addrinfo *a = req.addrinfo; a != NULL; a = a->ai_next) {
        e = listen_fd(a->ai_addr, a->ai_addrlen, fd);
        if (e == 0 || e == EADDRINUSE) {
            break;
        }
    }
    uv_freeaddrinfo(req.addrinfo);
    if (e != 0) {
        return errmsg_set(em, hf_err_from_errno(e), "listen on %s: %s",
                          hostport, strerror(e));
    }
    return 0;
}

int uvnet_listen(struct env *e,
                 const char *hostport,
                 void (*on_accept)(void *data, struct net_conn *c),
                 void *data,
                 struct net_listener **out,
                 struct errmsg *em)
{
    struct env_uv *u = env_uv_of(e);
    struct uvnet_listener *l;
    int fd = -1;
    int rv = listen_resolve(u, hostport, &fd, em);

    if (rv != 0) {
        return rv;
    }
    l = hf_calloc(1, sizeof *l);
    l->l.env = e;
    l->u = u;
    l->fd = fd;
    l->on_accept = on_accept;
    l->data = data;
    env_timer_init(&l->retry, accept_again, l);
    hf_assert(uv_poll_init(&u->loop, &l->poll, fd) == 0);
    l->poll.data = l;
    hf_assert(uv_poll_start(&l->poll, UV_READABLE, accept_event) == 0);
    u->sockets++;
    *out = &l->l;
    return 0;
}

void uvnet_unlisten(struct net_listener *base)
{
    struct uvnet_listener *l = (struct uvnet_listener *)(void *)base;

    hf_assert(!l->closed);
    l->closed = true; /* the memory lasts through a running accept_event() */
    env_timer_stop(&l->u->env, &l->retry);
    uv_close((uv_handle_t *)&l->poll, sock_freed);
    close(l->fd);
    l->u->sockets--;
}

uint16_t uvnet_listen_port(struct net_listener *base)
{
    struct uvnet_listener *l = (struct uvnet_listener *)(void *)base;
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;

    hf_assert(getsockname(l->fd, (struct sockaddr *)&ss, &len) == 0);
    if (ss.ss_family == AF_INET6) {
        return ntohs(
            ((const struct sockaddr_in6 *)(const void *)&ss)->sin6_port);
    }
    return ntohs(((const struct sockaddr_in *)(const void *)&ss)->sin_port);
}
