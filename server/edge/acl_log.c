#include "server/edge/acl_log.h"

#include <stdlib.h>

#include "base/mutant.h"
#include "resp/resp.h"

struct entry {
    const char *reason;
    const char *context;
    struct blob *object;
    struct blob *user;
    struct blob *client;
    uint64_t count;
    uint64_t at_ms;
};

struct acl_log {
    struct entry *v; /* the oldest first */
    size_t n;
};

struct acl_log *acl_log_new(void)
{
    return hf_calloc(1, sizeof(struct acl_log));
}

static void release(struct entry *e)
{
    blob_unref(e->object);
    blob_unref(e->user);
    blob_unref(e->client);
}

void acl_log_clear(struct acl_log *l)
{
    for (size_t i = 0; i < l->n; i++) {
        release(&l->v[i]);
    }
    free(l->v);
    l->v = NULL;
    l->n = 0;
}

void acl_log_free(struct acl_log *l)
{
    if (l != NULL) {
        acl_log_clear(l);
        free(l);
    }
}

static void drop(struct acl_log *l, size_t i)
{
    release(&l->v[i]);
    l->n--;
    memmove(l->v + i, l->v + i + 1, (l->n - i) * sizeof *l->v);
}

void acl_log_add(struct acl_log *l,
                 const struct acl_log_entry *e,
                 uint64_t now_ms)
{
    struct bytes object = e->object;
    uint64_t count = 1;

    object.n = object.n < ACL_LOG_OBJECT ? object.n : ACL_LOG_OBJECT;
    for (size_t i = l->n; i-- > 0;) {
        const struct entry *o = &l->v[i];

        if (strcmp(o->reason, e->reason) == 0 &&
            strcmp(o->context, e->context) == 0 &&
            bytes_eq(blob_bytes(o->object), object) &&
            bytes_eq(blob_bytes(o->user), e->user) &&
            now_ms - o->at_ms <= ACL_LOG_SAME_MS) {
            count = o->count + 1;
            drop(l, i);
            break;
        }
    }
    if (l->n == ACL_LOG_MAX && !mutant(ACL_LOG_UNBOUNDED)) {
        drop(l, 0);
    }
    l->v = hf_realloc(l->v, (l->n + 1) * sizeof *l->v);
    l->v[l->n++] = (struct entry){e->reason,
                                  e->context,
                                  blob_copy(object.p, object.n),
                                  blob_copy(e->user.p, e->user.n),
                                  blob_copy(e->client.p, e->client.n),
                                  count,
                                  now_ms};
}

void acl_log_reply(const struct acl_log *l,
                   uint64_t max,
                   uint64_t now_ms,
                   struct buf *reply)
{
    size_t n = l->n < max ? l->n : (size_t)max;

    resp_array(reply, n);
    for (size_t i = 0; i < n; i++) {
        const struct entry *e = &l->v[l->n - 1 - i];

        resp_map(reply, 7);
        resp_bulk_str(reply, "count");
        resp_int(reply, (int64_t)e->count);
        resp_bulk_str(reply, "reason");
        resp_bulk_str(reply, e->reason);
        resp_bulk_str(reply, "context");
        resp_bulk_str(reply, e->context);
        resp_bulk_str(reply, "object");
        resp_bulk(reply, blob_bytes(e->object));
        resp_bulk_str(reply, "username");
        resp_bulk(reply, blob_bytes(e->user));
        resp_bulk_str(reply, "age-seconds");
        resp_double(reply, (double)(now_ms - e->at_ms) / 1000);
        resp_bulk_str(reply, "client-info");
        resp_bulk(reply, blob_bytes(e->client));
    }
}
