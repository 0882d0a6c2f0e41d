/* The shape of TXN and ONCE, for whoever looks at what is nested in them.
 * Internal to server/command. */
#ifndef HF_SERVER_COMMAND_TXN_H
#define HF_SERVER_COMMAND_TXN_H

#include "server/command/command.h"

struct txn {
    const struct bytes *argv;
    int conditions; /* pairs (key, revision) from argv[2] */
    int commands;
    int at;   /* argv[at]: words of the next command, its words */
    int left; /* commands not yet given by txn_next() */
};

/* Check the shape of @argv, nested commands' names and numbers of words
 * included. False: an error reply was appended. */
bool txn_parse(const struct bytes *argv,
               int argc,
               struct txn *t,
               struct buf *reply);
struct bytes txn_condition(const struct txn *t, int i, uint64_t *revision);
/* The next nested command; NULL after the last. */
const struct command *txn_next(struct txn *t,
                               const struct bytes **argv,
                               int *argc);

enum once_verb { ONCE_OPEN, ONCE_CLOSE, ONCE_COMMAND };

struct once {
    enum once_verb verb;
    uint64_t session;
    uint64_t number;
    const struct command *command; /* its words are argv[3] and on */
};

bool once_parse(const struct bytes *argv,
                int argc,
                struct once *o,
                struct buf *reply);

#endif
