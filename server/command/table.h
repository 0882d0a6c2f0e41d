/* The command table. One line a command; everything that is said of a
 * command anywhere comes from here. Never reuse an id, never change what an
 * id means: old logs hold them.
 *
 * X(id, name, arity, flags, first, last, step, group, handler, syntax, help)
 * S(id, parent, name, arity, flags, first, last, step, group, handler,
 *   syntax, help)
 *
 * arity counts the words, names included; negative: at least. Handlers run
 * on the machine; NULL: the connection or the node answers. */
#ifndef HF_SERVER_COMMAND_TABLE_H
#define HF_SERVER_COMMAND_TABLE_H

/* clang-format off */
#define COMMANDS_STRING(X)                                                     \
    X(1, get, 2, CMD_READ, 1, 1, 1, "string", cmd_get, "key",                  \
      "The value of key, or null.")                                            \
    X(2, set, -3, CMD_WRITE, 1, 1, 1, "string", cmd_set,                       \
      "key value [NX | XX | IFEQ comparison] [GET] [EX s | PX ms | EXAT unix-s | PXAT unix-ms | KEEPTTL]", \
      "Store value; null when the condition is false. GET: the old value.")    \
    X(3, getv, 2, CMD_READ, 1, 1, 1, "string", cmd_getv, "key",                \
      "[value, creating revision, last revision] of key, or null.")            \
    X(4, setnx, 3, CMD_WRITE, 1, 1, 1, "string", cmd_setnx, "key value",       \
      "Store value if key is absent: 1, or 0.")                                \
    X(5, setex, 4, CMD_WRITE, 1, 1, 1, "string", cmd_setex,                    \
      "key seconds value", "Store value with a time to live.")                 \
    X(6, psetex, 4, CMD_WRITE, 1, 1, 1, "string", cmd_setex,                   \
      "key milliseconds value", "Store value with a time to live.")            \
    X(7, getdel, 2, CMD_WRITE, 1, 1, 1, "string", cmd_getdel, "key",           \
      "The value of key, which is removed.")                                   \
    X(8, getex, -2, CMD_WRITE, 1, 1, 1, "string", cmd_getex,                   \
      "key [EX s | PX ms | EXAT unix-s | PXAT unix-ms | PERSIST]",             \
      "The value of key, whose deadline is changed.")                          \
    X(9, mget, -2, CMD_READ, 1, -1, 1, "string", cmd_mget, "key [key ...]",    \
      "The values of keys, null where absent, of one moment.")                 \
    X(10, mset, -3, CMD_WRITE, 1, -1, 2, "string", cmd_mset,                   \
      "key value [key value ...]", "Store values, all at once.")               \
    X(11, msetnx, -3, CMD_WRITE, 1, -1, 2, "string", cmd_msetnx,               \
      "key value [key value ...]",                                             \
      "Store values if none of the keys exists: 1, or 0.")                     \
    X(12, append, 3, CMD_WRITE, 1, 1, 1, "string", cmd_append, "key value",    \
      "Append to the value; the new length.")                                  \
    X(13, strlen, 2, CMD_READ, 1, 1, 1, "string", cmd_strlen, "key",           \
      "The length of the value, 0 when absent.")                               \
    X(14, incr, 2, CMD_WRITE, 1, 1, 1, "string", cmd_incr, "key",              \
      "Add one to the integer; its new value.")                                \
    X(15, decr, 2, CMD_WRITE, 1, 1, 1, "string", cmd_decr, "key",              \
      "Subtract one from the integer; its new value.")                         \
    X(16, incrby, 3, CMD_WRITE, 1, 1, 1, "string", cmd_incrby,                 \
      "key increment", "Add to the integer; its new value.")                   \
    X(17, decrby, 3, CMD_WRITE, 1, 1, 1, "string", cmd_decrby,                 \
      "key decrement", "Subtract from the integer; its new value.")

#define COMMANDS_KEY(X)                                                        \
    X(30, del, -2, CMD_WRITE, 1, -1, 1, "keyspace", cmd_del, "key [key ...]",  \
      "Remove keys; how many there were.")                                     \
    X(31, unlink, -2, CMD_WRITE, 1, -1, 1, "keyspace", cmd_del,                \
      "key [key ...]", "Remove keys; how many there were.")                    \
    X(32, exists, -2, CMD_READ, 1, -1, 1, "keyspace", cmd_exists,              \
      "key [key ...]", "How many of the named keys exist, repeats counted.")   \
    X(33, type, 2, CMD_READ, 1, 1, 1, "keyspace", cmd_type, "key",             \
      "\"string\", or \"none\".")                                              \
    X(34, expire, -3, CMD_WRITE, 1, 1, 1, "keyspace", cmd_expire,              \
      "key seconds [NX | XX | GT | LT]",                                       \
      "Set a time to live: 1, or 0 when not done.")                            \
    X(35, pexpire, -3, CMD_WRITE, 1, 1, 1, "keyspace", cmd_expire,             \
      "key milliseconds [NX | XX | GT | LT]",                                  \
      "Set a time to live: 1, or 0 when not done.")                            \
    X(36, expireat, -3, CMD_WRITE, 1, 1, 1, "keyspace", cmd_expire,            \
      "key unix-seconds [NX | XX | GT | LT]",                                  \
      "Set a deadline: 1, or 0 when not done.")                                \
    X(37, pexpireat, -3, CMD_WRITE, 1, 1, 1, "keyspace", cmd_expire,           \
      "key unix-milliseconds [NX | XX | GT | LT]",                             \
      "Set a deadline: 1, or 0 when not done.")                                \
    X(38, ttl, 2, CMD_READ, 1, 1, 1, "keyspace", cmd_ttl, "key",               \
      "Seconds left; -1: no deadline, -2: absent.")                            \
    X(39, pttl, 2, CMD_READ, 1, 1, 1, "keyspace", cmd_ttl, "key",              \
      "Milliseconds left; -1: no deadline, -2: absent.")                       \
    X(40, expiretime, 2, CMD_READ, 1, 1, 1, "keyspace", cmd_ttl, "key",        \
      "The deadline in Unix seconds; -1: none, -2: absent.")                   \
    X(41, pexpiretime, 2, CMD_READ, 1, 1, 1, "keyspace", cmd_ttl, "key",       \
      "The deadline in Unix milliseconds; -1: none, -2: absent.")              \
    X(42, persist, 2, CMD_WRITE, 1, 1, 1, "keyspace", cmd_persist, "key",      \
      "Take the deadline away: 1, or 0 when there was none.")                  \
    X(43, scan, -2, CMD_READ, 0, 0, 0, "keyspace", cmd_scan,                   \
      "cursor [MATCH pattern] [COUNT n] [TYPE type]",                          \
      "[next cursor, keys]: walk through all keys.")                           \
    X(44, keys, 2, CMD_READ, 0, 0, 0, "keyspace", cmd_keys, "pattern",         \
      "All keys that match, in order.")                                        \
    X(45, dbsize, 1, CMD_READ, 0, 0, 0, "keyspace", cmd_dbsize, "",            \
      "How many keys there are.")                                              \
    X(46, flushall, -1, CMD_WRITE, 0, 0, 0, "keyspace", cmd_flushall,          \
      "[ASYNC | SYNC]", "Remove all keys.")                                    \
    X(47, range, -3, CMD_READ, 1, 1, 1, "keyspace", cmd_range,                 \
      "start end [LIMIT n] [REV]",                                             \
      "Keys and values of start <= key < end, in order; empty end: no end.")

#define COMMANDS_TXN(X)                                                        \
    X(60, multi, 1, CMD_CONN | CMD_LOCAL, 0, 0, 0, "transactions", NULL, "",   \
      "Begin to queue commands.")                                              \
    X(61, exec, 1, CMD_CONN, 0, 0, 0, "transactions", NULL, "",                \
      "Execute what is queued, all or nothing, as one log entry.")             \
    X(62, discard, 1, CMD_CONN | CMD_LOCAL, 0, 0, 0, "transactions", NULL, "", \
      "Forget what is queued.")                                                \
    X(63, watch, -2, CMD_CONN, 1, -1, 1, "transactions", NULL,      \
      "key [key ...]", "Let EXEC fail if one of the keys changes.")            \
    X(64, unwatch, 1, CMD_CONN | CMD_LOCAL, 0, 0, 0, "transactions", NULL, "", \
      "Forget what is watched.")                                               \
    X(65, txn, -3, CMD_WRITE | CMD_NOMULTI, 0, 0, 0, "transactions", cmd_txn,  \
      "ncond [key revision ...] ncommands [argc arg ...] ...",                 \
      "Execute all commands if each key has its revision (0: is absent).")     \
    X(66, once, -2, CMD_WRITE | CMD_NOMULTI, 0, 0, 0, "transactions", cmd_once,\
      "session number command [arg ...]",                                      \
      "A named request: applied once, however often it is sent.")              \
    X(67, revs, -2, CMD_READ | CMD_HIDDEN, 1, -1, 1, "transactions", cmd_revs, \
      "key [key ...]", "Last revisions of keys, 0 where absent.")

#define COMMANDS_CONNECTION(X)                                                 \
    X(80, ping, -1, CMD_LOCAL | CMD_OPEN, 0, 0, 0, "connection", NULL,         \
      "[message]", "PONG, or the message.")                                    \
    X(81, echo, 2, CMD_LOCAL | CMD_OPEN, 0, 0, 0, "connection", NULL,          \
      "message", "The message.")                                               \
    X(82, hello, -1, CMD_LOCAL | CMD_CONN | CMD_OPEN | CMD_NOMULTI, 0, 0, 0,   \
      "connection", NULL, "[protover [SETNAME name]]",                         \
      "Choose RESP2 or RESP3; what the server is.")                            \
    X(83, quit, -1, CMD_LOCAL | CMD_CONN | CMD_OPEN, 0, 0, 0, "connection",    \
      NULL, "", "OK, then the connection is closed.")                          \
    X(84, reset, 1, CMD_LOCAL | CMD_CONN | CMD_OPEN, 0, 0, 0, "connection",    \
      NULL, "", "The connection is as new.")                                   \
    X(85, select, 2, CMD_LOCAL | CMD_CONN | CMD_OPEN, 0, 0, 0, "connection",   \
      NULL, "index", "There is one database, 0.")                              \
    X(86, command, -1, CMD_LOCAL | CMD_OPEN | CMD_NOMULTI, 0, 0, 0, "server", NULL,   \
      "[COUNT | LIST | INFO [name ...] | DOCS [name ...] | GETKEYS command ...]", \
      "What the commands are.")                                                \
    X(87, client, -2, CMD_LOCAL | CMD_CONN | CMD_OPEN, 0, 0, 0, "connection",  \
      NULL, "subcommand", "This connection.")                                  \
    X(88, readonly, -1, CMD_LOCAL | CMD_CONN | CMD_OPEN, 0, 0, 0,              \
      "connection", NULL, "[MAXAGE milliseconds]",                             \
      "Reads become local: perhaps stale, at most by MAXAGE.")                 \
    X(89, readwrite, 1, CMD_LOCAL | CMD_CONN | CMD_OPEN, 0, 0, 0,              \
      "connection", NULL, "", "Reads are linearizable again.")

#define COMMANDS_ACL(X)                                                        \
    X(170, auth, -2, CMD_LOCAL | CMD_CONN | CMD_OPEN | CMD_NOMULTI, 0, 0, 0,   \
      "connection", NULL, "[username] password",                               \
      "The connection is this user's from here on.")                           \
    X(171, acl, -2, CMD_LOCAL | CMD_OPEN, 0, 0, 0, "server", NULL,             \
      "subcommand", "Users and what they may do.")                             \
    X(172, aclauth, -2, CMD_READ | CMD_HIDDEN, 0, 0, 0, "connection",          \
      cmd_aclauth, "hash [username]", "What AUTH asks of the users.")          \
    X(173, aclcheck, -2, CMD_READ | CMD_HIDDEN, 0, 0, 0, "server",             \
      cmd_aclcheck, "command [arg ...]", "May this user run it?")

#define COMMANDS_SERVER(X)                                                     \
    X(100, info, -1, CMD_NODE | CMD_OPEN, 0, 0, 0, "server", NULL,             \
      "[section ...]", "Facts on this node, as text.")                         \
    X(101, time, 1, CMD_NODE | CMD_OPEN, 0, 0, 0, "server", NULL, "",          \
      "Cluster time: [seconds, microseconds].")                                \
    X(102, config, -2, CMD_NODE | CMD_ADMIN | CMD_OPEN, 0, 0, 0, "server",     \
      NULL, "subcommand", "Settings.")                                         \
    X(103, role, 1, CMD_NODE | CMD_OPEN, 0, 0, 0, "server", NULL, "",          \
      "This node's part in replication.")                                      \
    X(104, status, 1, CMD_NODE | CMD_ADMIN | CMD_OPEN, 0, 0, 0, "cluster",     \
      NULL, "", "The state of the cluster as this node sees it.")              \
    X(105, init, -1, CMD_NODE | CMD_ADMIN | CMD_OPEN | CMD_NOMULTI, 0, 0, 0,   \
      "cluster", NULL, "[FORCE]", "Make the seats of --join a cluster, once.") \
    X(106, member, -2, CMD_NODE | CMD_ADMIN | CMD_OPEN, 0, 0, 0, "cluster",    \
      NULL, "subcommand", "The members of the cluster.")                       \
    X(107, cluster, -2, CMD_NODE | CMD_OPEN, 0, 0, 0, "cluster", NULL,         \
      "subcommand", "The cluster as cluster-aware Redis clients see it.")

#define COMMANDS(X)        \
    COMMANDS_STRING(X)     \
    COMMANDS_KEY(X)        \
    COMMANDS_TXN(X)        \
    COMMANDS_CONNECTION(X) \
    COMMANDS_ACL(X)        \
    COMMANDS_SERVER(X)

#define SUBCOMMANDS_ACL(S)                                                     \
    S(400, acl, whoami, 2, CMD_LOCAL | CMD_OPEN, 0, 0, 0, "server", NULL, "",  \
      "The user of this connection.")                                          \
    S(401, acl, list, 2, CMD_READ | CMD_ADMIN, 0, 0, 0, "server",              \
      cmd_acl_list, "", "All users, each as the rules that make one.")         \
    S(402, acl, users, 2, CMD_READ | CMD_ADMIN, 0, 0, 0, "server",             \
      cmd_acl_users, "", "The names of all users.")                            \
    S(403, acl, getuser, 3, CMD_READ | CMD_ADMIN, 0, 0, 0, "server",           \
      cmd_acl_getuser, "username", "A user's rules, or null.")                 \
    S(404, acl, setuser, -3, CMD_WRITE | CMD_ADMIN | CMD_NOMULTI, 0, 0, 0,     \
      "server", cmd_acl_setuser, "username [rule ...]",                        \
      "Make or change a user, on all nodes at once.")                          \
    S(405, acl, deluser, -3, CMD_WRITE | CMD_ADMIN | CMD_NOMULTI, 0, 0, 0,     \
      "server", cmd_acl_deluser, "username [username ...]",                    \
      "Remove users, and close their connections: how many there were.")       \
    S(406, acl, cat, -2, CMD_LOCAL | CMD_OPEN, 0, 0, 0, "server", NULL,        \
      "[category]", "The categories, or the commands of one.")                 \
    S(407, acl, genpass, -2, CMD_LOCAL | CMD_OPEN, 0, 0, 0, "server", NULL,    \
      "[bits]", "A random password, in hexadecimal digits.")                   \
    S(408, acl, log, -2, CMD_LOCAL | CMD_ADMIN | CMD_OPEN, 0, 0, 0, "server",  \
      NULL, "[count | RESET]", "What this node refused, the latest first.")    \
    S(409, acl, dryrun, -4, CMD_READ | CMD_ADMIN, 0, 0, 0, "server",           \
      cmd_acl_dryrun, "username command [arg ...]",                            \
      "OK, or why the user may not run the command.")                          \
    S(410, acl, load, 2, CMD_LOCAL | CMD_ADMIN | CMD_OPEN, 0, 0, 0, "server",  \
      NULL, "", "Refused: users are in the log, not in a file.")               \
    S(411, acl, save, 2, CMD_LOCAL | CMD_ADMIN | CMD_OPEN, 0, 0, 0, "server",  \
      NULL, "", "Refused: users are in the log, not in a file.")

#define SUBCOMMANDS(S)                                                         \
    SUBCOMMANDS_ACL(S) \
    S(200, client, id, 2, CMD_LOCAL | CMD_OPEN, 0, 0, 0, "connection", NULL,   \
      "", "The number of this connection.")                                    \
    S(201, client, setname, 3, CMD_LOCAL | CMD_CONN | CMD_OPEN, 0, 0, 0,       \
      "connection", NULL, "name", "Name this connection.")                     \
    S(202, client, getname, 2, CMD_LOCAL | CMD_OPEN, 0, 0, 0, "connection",    \
      NULL, "", "The name of this connection, or null.")                       \
    S(203, client, setinfo, 4, CMD_LOCAL | CMD_CONN | CMD_OPEN, 0, 0, 0,       \
      "connection", NULL, "LIB-NAME name | LIB-VER version",                   \
      "Name the client's library.")                                            \
    S(204, client, info, 2, CMD_LOCAL | CMD_OPEN, 0, 0, 0, "connection",       \
      NULL, "", "Facts on this connection, as text.")                          \
    S(205, once, open, 2, CMD_WRITE | CMD_NOMULTI, 0, 0, 0, "transactions",    \
      cmd_once, "", "Open a session for named requests: its number.")          \
    S(206, once, close, 3, CMD_WRITE | CMD_NOMULTI, 0, 0, 0, "transactions",   \
      cmd_once, "session", "Close it: 1, or 0 when there was none.")           \
    S(210, config, get, -3, CMD_NODE | CMD_ADMIN | CMD_OPEN, 0, 0, 0,          \
      "server", NULL, "pattern [pattern ...]", "Settings and their values.")   \
    S(220, member, list, 2, CMD_NODE | CMD_ADMIN | CMD_OPEN, 0, 0, 0,          \
      "cluster", NULL, "", "All members: a map for each.")                     \
    S(221, member, remove, 3, CMD_NODE | CMD_ADMIN | CMD_NOMULTI, 0, 0, 0,     \
      "cluster", NULL, "id", "Remove a member for good.")                      \
    S(222, member, promote, 3, CMD_NODE | CMD_ADMIN | CMD_NOMULTI, 0, 0, 0,    \
      "cluster", NULL, "id", "Make a learner a voter.")                        \
    S(223, member, transfer, -2, CMD_NODE | CMD_ADMIN | CMD_NOMULTI, 0, 0, 0,  \
      "cluster", NULL, "[id]", "Hand leadership over.")                        \
    S(230, cluster, slots, 2, CMD_NODE | CMD_OPEN, 0, 0, 0, "cluster", NULL,   \
      "", "Who serves the slots: master first.")                               \
    S(231, cluster, shards, 2, CMD_NODE | CMD_OPEN, 0, 0, 0, "cluster", NULL,  \
      "", "The one shard and its nodes.")                                      \
    S(232, cluster, nodes, 2, CMD_NODE | CMD_OPEN, 0, 0, 0, "cluster", NULL,   \
      "", "The nodes, as text.")                                               \
    S(233, cluster, info, 2, CMD_NODE | CMD_OPEN, 0, 0, 0, "cluster", NULL,    \
      "", "Facts on the cluster, as text.")                                    \
    S(234, cluster, myid, 2, CMD_NODE | CMD_OPEN, 0, 0, 0, "cluster", NULL,    \
      "", "This node's 40 digits.")                                            \
    S(235, cluster, keyslot, 3, CMD_NODE | CMD_OPEN, 0, 0, 0, "cluster", NULL, \
      "key", "The slot of a key.")
/* clang-format on */

#endif
