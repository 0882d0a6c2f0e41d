/* What the prompt and scripts do with a line: see kv_session.c. Private to
 * the kv command. */
#ifndef HF_CLIENT_KV_SESSION_H
#define HF_CLIENT_KV_SESSION_H

#include <signal.h>

#include "client/kv_int.h"
#include "resp/resp.h"

enum {
    SESSION_TX_MAX = 10000,     /* commands, and watched keys; beyond: error */
    SESSION_COMMANDS_MAX = 4096 /* of a node's table; the rest is not known */
};

/* A command, as the connected node tells. All strings are owned. */
struct cmd {
    char *name; /* "get", "config|set" */
    char *syntax;
    char *summary;
    char *group;
    int64_t arity;
    bool write;
    bool readonly;
    bool blocking;
};

struct session {
    struct kv *kv;
    bool tty;  /* a person is there */
    bool done; /* exit, quit */
    struct cmd *cmds;
    size_t ncmds;  /* 0: not loaded yet */
    bool unlisted; /* the user may not ask for them */
    bool tx;
    bool tx_bad;                /* a queued command is wrong */
    struct hf_condition *conds; /* of WATCH; keys are owned */
    size_t nconds;
    struct hf_command *queue; /* of MULTI; words are owned */
    size_t nqueue;
};

void session_init(struct session *s, struct kv *kv, bool tty);
void session_release(struct session *s);

/* Do one line, without its end. Returns an exit status. */
int session_line(struct session *s, struct bytes line);

/* Learn the node's commands, if that was not done and is allowed; false: no
 * answer. */
bool session_load(struct session *s);

/* The command of that full name ("config|set"), any case; NULL: unknown. */
const struct cmd *session_find(const struct session *s,
                               const char *name,
                               size_t n);

/* May the line be kept in a file? Not if there may be a password in it. */
bool session_may_keep(const char *line);

/* Subscriptions and MONITOR: print what comes until Ctrl-C. */
int session_stream(struct session *s,
                   const struct hf_bytes *argv,
                   size_t argc,
                   bool ping);

#endif
