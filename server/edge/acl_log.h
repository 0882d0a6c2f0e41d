/* ACL LOG: what this node refused of late. In memory, ACL_LOG_MAX entries.
 * Inside server/edge. */
#ifndef HF_SERVER_EDGE_ACL_LOG_H
#define HF_SERVER_EDGE_ACL_LOG_H

#include <stdint.h>

#include "base/bytes.h"

enum {
    ACL_LOG_MAX = 128,       /* entries; the oldest goes */
    ACL_LOG_SAME_MS = 60000, /* the same again within it: counted only */
    ACL_LOG_OBJECT = 256,    /* bytes kept of a key or channel */
};

struct acl_log;

struct acl_log_entry {
    const char *reason;  /* static text */
    const char *context; /* likewise */
    struct bytes object; /* copied, cut at ACL_LOG_OBJECT */
    struct bytes user;   /* copied */
    struct bytes client; /* copied: the line of CLIENT INFO */
};

struct acl_log *acl_log_new(void);
void acl_log_free(struct acl_log *l); /* NULL is allowed */
void acl_log_add(struct acl_log *l,
                 const struct acl_log_entry *e,
                 uint64_t now_ms);
void acl_log_clear(struct acl_log *l);
/* The latest first, at most @max. */
void acl_log_reply(const struct acl_log *l,
                   uint64_t max,
                   uint64_t now_ms,
                   struct buf *reply);

#endif
