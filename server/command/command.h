/* The commands: one table, and what stands between a client's words and the
 * state machine.
 *
 *   words --command_find--> row --command_check--> admitted (or an error
 *   reply that never reaches the log) --command_encode--> command bytes
 *   --the log, or a local read--> command_run --> canonical RESP3 reply
 *
 * Everything here is a pure function of its arguments: no clock, no chance,
 * no memory between calls. At apply every node computes the same reply. The
 * table is server/command/table.h; COMMAND and docs/PROTOCOL.md come from it
 * too. Replies are canonical RESP3 (resp/resp.h). Loop thread only. */
#ifndef HF_SERVER_COMMAND_COMMAND_H
#define HF_SERVER_COMMAND_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

struct machine;

enum command_flag {
    CMD_READ = 1 << 0,    /* reads the machine, changes nothing */
    CMD_WRITE = 1 << 1,   /* goes through the log */
    CMD_LOCAL = 1 << 2,   /* needs no cluster; the connection answers */
    CMD_ADMIN = 1 << 3,   /* for the operator */
    CMD_CONN = 1 << 4,    /* changes the connection it comes from */
    CMD_NODE = 1 << 5,    /* answered from what the node knows of itself */
    CMD_NOMULTI = 1 << 6, /* not between MULTI and EXEC */
    CMD_OPEN = 1 << 7,    /* answered before the node has a cluster */
    CMD_HIDDEN = 1 << 8,  /* internal: no client can name it */
};

enum {
    REPLY_MAX = 64 << 20,       /* bytes of one reply; beyond: -ERR */
    VALUE_MAX = 64 << 20,       /* bytes of a value (APPEND); beyond: -ERR */
    SCAN_COUNT_MAX = 10000,     /* keys that one SCAN looks at, at most */
    SCAN_BYTES = 1 << 20,       /* keys after which a SCAN ends early */
    SCAN_STEPS = 1 << 22,       /* ... and steps of its pattern */
    GLOB_STEPS_MAX = 1 << 26,   /* steps of a request's pattern; beyond: -ERR */
    TXN_COMMANDS_MAX = 1 << 16, /* commands and conditions of one TXN */
};

/* Execute @argv (argv[0] is the command's name, argc fits the arity).
 *
 * @m      the machine; NULL: check only. The very same code decides before
 *         admission and at apply what is well-formed, so the two never
 *         differ. With NULL nothing is written unless it is an error.
 * @reply  one reply is appended. */
typedef void command_fn(struct machine *m,
                        const struct bytes *argv,
                        int argc,
                        struct buf *reply);

struct command {
    uint16_t id;        /* on disk and wire; never reused */
    const char *name;   /* lower case; of a subcommand: its own word */
    const char *parent; /* NULL, or the command it belongs to */
    int arity;          /* words, name(s) included; negative: at least */
    uint32_t flags;     /* enum command_flag */
    int first_key;      /* place of the first key, 0: none */
    int last_key;       /* negative: from the end */
    int step;
    const char *group;   /* "string", "connection", ... */
    command_fn *handler; /* NULL: not for the machine */
    const char *syntax;  /* arguments, for help */
    const char *help;    /* one line */
};

/* All rows, parents and subcommands; @n is set to their number. */
const struct command *command_table(size_t *n);

/* The row of argv[0] (case does not matter), or NULL. Subcommands are found
 * by command_find(); this gives parents only. */
const struct command *command_by_name(struct bytes name);
const struct command *command_by_id(uint16_t id); /* NULL: none */
/* The row of @parent's subcommand @name, or NULL. */
const struct command *command_sub(const struct command *parent,
                                  struct bytes name);
/* "get", or "config|get": as error texts spell it. At most 48 bytes. */
void command_full_name(const struct command *c, char out[48]);
static inline bool command_has(const struct command *c, uint32_t flags)
{
    return (c->flags & flags) != 0;
}

/* Find the row for @argv, subcommand included, and check the number of words.
 * NULL: the reply was appended, an error or what HELP asked for. */
const struct command *command_find(const struct bytes *argv,
                                   int argc,
                                   struct buf *reply);
/* The syntax alone: true, or an error reply was appended. */
bool command_check(const struct command *c,
                   const struct bytes *argv,
                   int argc,
                   struct buf *reply);

/* May it stand in a TXN, and so between MULTI and EXEC? */
bool command_nests(const struct command *c);
/* Does @argv write? CMD_WRITE, except that a TXN of reads alone does not. */
bool command_writes(const struct command *c,
                    const struct bytes *argv,
                    int argc);
/* Give @fn each key of @argv, nested commands of ONCE and TXN included, until
 * it returns false. What is malformed has no keys. */
void command_each_key(const struct command *c,
                      const struct bytes *argv,
                      int argc,
                      bool (*fn)(void *ctx, struct bytes key),
                      void *ctx);
/* The first key: true and *@key (borrowed), or false when it names none. */
bool command_first_key(const struct command *c,
                       const struct bytes *argv,
                       int argc,
                       struct bytes *key);
/* The texts of "wrong number of arguments", "unknown subcommand". */
void command_error_arity(const struct command *c, struct buf *reply);
void command_error_subcommand(const struct command *parent,
                              struct bytes sub,
                              struct buf *reply);
/* What "@parent HELP" answers. */
void command_help(const struct command *parent, struct buf *reply);
/* CRC16 of the key (of its {tag}), modulo 16384. */
uint16_t command_key_slot(struct bytes key);

/* ---- command bytes: what the log, peers and local reads carry ----
 *
 *   offset  bytes  field (little-endian)
 *        0      2  id      of the row
 *        2      1  flags   enum command_mark
 *        3      1  reserved, zero
 *        4      4  count   words after the name (of a subcommand: after its
 *                          own word), at most LIM_ARGS
 *        8      -  count times: u32 length, bytes
 *        -      8  born    index of the entry that made the user; 0: default
 *        -      -  name    u32 length, bytes
 *
 * The last two only with COMMAND_USER: the connection has authenticated. Else
 * the user is the default one, if that one needs no password.
 * EXEC has no row of its own there: it is encoded as the TXN it equals. */
enum { COMMAND_HEADER = 8, COMMAND_WORDS_FEW = 8 };
enum command_mark {
    COMMAND_CLUSTER_PORT = 1, /* came in by the cluster port: INFO, HELLO */
    COMMAND_USER = 2,         /* behind the words: u64 born, u32 length, name */
    COMMAND_IN_MULTI = 4,     /* of an EXEC: it must not wait */
    COMMAND_ALLOWED = 8,      /* permitted already, by the name it had then */
};
struct acl_who;

/* One reference for the caller. */
struct blob *command_encode(const struct command *c,
                            uint8_t marks,
                            const struct bytes *argv,
                            int argc);
/* As sent by @who; NULL, or one without a name: the same as above. */
struct blob *command_encode_as(const struct command *c,
                               uint8_t marks,
                               const struct acl_who *who,
                               const struct bytes *argv,
                               int argc);

/* Words of decoded command bytes. */
struct command_words {
    const struct command *command;
    uint8_t marks;
    struct bytes user; /* COMMAND_USER; borrowed from the bytes */
    uint64_t born;
    int argc;
    struct bytes *argv;                  /* strings borrowed from the bytes */
    struct bytes few[COMMAND_WORDS_FEW]; /* private: do not copy the struct */
};
/* 0, HF_EINVAL for bytes that are no command. @out unchanged on failure.
 * They may be too few or too many for it: command_fits(). */
int command_decode(struct bytes command, struct command_words *out);
/* May @c have @argc words? Handlers and acl_check() count on it. */
bool command_fits(const struct command *c, int argc);
void command_words_release(struct command_words *w);

/* The machine's hook: execute command bytes, append one reply. Bytes that
 * are no command, and commands that the machine does not execute, get an
 * error reply that is the same on every node. @ctx is not used. */
void command_run(void *ctx,
                 struct machine *m,
                 struct bytes command,
                 struct buf *reply);
/* The key that a command with a key right behind its name is about, read from
 * the bytes without checking them further; false for others. */
bool command_log_key(struct bytes command, struct bytes *key);
/* As command_run(), for a read outside of the log: what would write is refused.
 */
void command_read(struct machine *m, struct bytes command, struct buf *reply);

/* ---- COMMAND and the documentation ---- */

/* PING, ECHO and COMMAND [COUNT | LIST | DOCS | INFO | GETKEYS]: those that
 * need neither machine nor connection. */
void command_local(const struct command *c,
                   const struct bytes *argv,
                   int argc,
                   struct buf *reply);
/* The generated part of docs/PROTOCOL.md, as Markdown. */
void command_markdown(struct buf *out);

/* Redis globs: * ? [a-z] [^x] \x. Time at most linear in the product of the
 * lengths: for patterns and strings that are short. */
bool command_glob(struct bytes pattern, struct bytes s);
/* For patterns of any length: in at most *@steps steps, about one a byte that
 * was looked at. They are taken off; none left: the answer is not known. */
bool command_glob_within(struct bytes pattern, struct bytes s, uint64_t *steps);

#endif
