/* Users, as a connection meets them: AUTH, HELLO ... AUTH, ACL.
 *
 * A connection begins as nobody: it is the default user while that one needs
 * no password. AUTH asks the replicated users by a linearizable read, so a
 * user that was just made can log in at any node. From then on every command
 * carries the user's name, and is permitted or not where it is evaluated
 * (server/command/acl.h).
 *
 * What this node answers itself (INFO, CONFIG, PUBLISH ...) is asked for first
 * in the same way, the connection held meanwhile; only what is mild, and all
 * that nobody answers within AUTH_ASK_MS, is decided by the users that this
 * node knows of.
 *
 * Clear passwords end here: words with one are hashed before anything else
 * sees them, and are at most LIM_PASSWORD bytes long. */
#ifndef HF_SERVER_EDGE_AUTH_H
#define HF_SERVER_EDGE_AUTH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "server/command/acl.h"

enum { AUTH_ASK_MS = 1000 }; /* then by what this node knows */

struct conn;
struct edge;

/* Words with every clear password of ACL SETUSER in place of them its hash.
 * False: there is none, and nothing to release. */
struct auth_words {
    struct bytes *argv;
    char (*text)[72];
};
bool auth_hash_words(const struct bytes *argv,
                     int argc,
                     struct auth_words *out);
void auth_words_release(struct auth_words *w);

/* The user's name, "default" for nobody; and who he is for acl_check(). */
struct bytes auth_name(const struct conn *c);
struct acl_who auth_who(const struct conn *c);
/* Nobody may do anything here without a password, as far as is known. */
bool auth_closed(const struct conn *c);
/* Is there such a user, as far as this node knows? */
bool auth_knows(const struct edge *e, struct bytes name);
/* RESET: the connection is as new. */
void auth_forget(struct conn *c);

/* Command bytes that say whose they are. */
struct blob *auth_encode(const struct conn *c,
                         const struct command *cmd,
                         uint8_t marks,
                         const struct bytes *argv,
                         int argc);

/* Of a command that was found. True: it was refused, or is on its way:
 * dispatch_go() follows if it may run. */
bool auth_gate(struct conn *c,
               const struct command *cmd,
               const struct bytes *argv,
               int argc);
/* True, and the error was appended: @cmd, let in before, may not run any more
 * as far as this node knows. */
bool auth_refuses(struct conn *c,
                  const struct command *cmd,
                  const struct bytes *argv,
                  int argc,
                  struct buf *reply);
/* AUTH, and HELLO with AUTH. False: it is none. */
bool auth_begin(struct conn *c,
                const struct command *cmd,
                const struct bytes *argv,
                int argc);
/* A reply to @command came. True: that was refused; ACL LOG hears of it. */
bool auth_note(struct conn *c, const struct blob *command, struct bytes reply);

/* ACL WHOAMI, CAT, GENPASS, LOG, LOAD and SAVE: now is their turn. */
void auth_local(struct conn *c,
                const struct command *cmd,
                const struct bytes *argv,
                int argc,
                struct buf *reply);

#endif
