/* Permissions: may this user run this command with these words?
 *
 * Decided on the machine's users alone, where a command is evaluated: a write
 * when its entry is applied, a read after its read round. So it holds on
 * every node from the moment on at which ACL SETUSER was answered. What is
 * decided earlier elsewhere (server/edge/auth.h) only spares work.
 *
 * The rules are those of Redis 7.0. What differs: docs/PROTOCOL.md, "Users
 * and permissions". Loop thread only. */
#ifndef HF_SERVER_COMMAND_ACL_H
#define HF_SERVER_COMMAND_ACL_H

#include "server/command/command.h"

enum { ACL_HASH = 32 }; /* bytes of a password's hash, SHA-256 */

/* Who asks. Not named: a connection that has not authenticated; he is the
 * default user while that one needs no password. */
struct acl_who {
    bool named;
    struct bytes name;
    uint64_t born; /* of the user that the connection authenticated as */
};

enum acl_verdict {
    ACL_OK,
    ACL_NOAUTH,
    ACL_COMMAND,
    ACL_KEY,
    ACL_CHANNEL,
};

/* Why not. */
struct acl_denial {
    enum acl_verdict why;
    const struct command *command;
    struct bytes object; /* the key or channel; of the words */
    bool nested;         /* the command stands in a TXN */
};

/* @d is set unless it is ACL_OK. */
enum acl_verdict acl_check(const struct machine *m,
                           const struct acl_who *who,
                           const struct command *c,
                           const struct bytes *argv,
                           int argc,
                           struct acl_denial *d);
/* The default user may do everything, without a password. */
bool acl_open(const struct machine *m);
/* "NOPERM this user has no permissions to ..." */
void acl_error(const struct acl_denial *d, struct buf *reply);
/* True, and the error was appended: @command may not run now. Not so of bytes
 * that are no command: whoever runs them says so. */
bool acl_refuses(const struct machine *m,
                 struct bytes command,
                 struct buf *reply);

/* Is @hash a password of the user (NULL: default)? One reply: [born, name],
 * or an error. */
void acl_authenticate(const struct machine *m,
                      const uint8_t hash[ACL_HASH],
                      const struct bytes *name,
                      struct buf *reply);

#endif
