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
      "key value [NX | XX | IFEQ value | IFNE value | IFDEQ digest | IFDNE digest] [GET] [EX s | PX ms | EXAT unix-s | PXAT unix-ms | KEEPTTL]", \
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
      "key decrement", "Subtract from the integer; its new value.")            \
    X(18, getset, 3, CMD_WRITE, 1, 1, 1, "string", cmd_getset, "key value",    \
      "Store value; the one before, or null.")                                 \
    X(19, getrange, 4, CMD_READ, 1, 1, 1, "string", cmd_getrange,              \
      "key start end", "A part of the value; negative: from its end.")         \
    X(20, substr, 4, CMD_READ, 1, 1, 1, "string", cmd_getrange,                \
      "key start end", "GETRANGE by its old name.")                            \
    X(21, setrange, 4, CMD_WRITE, 1, 1, 1, "string", cmd_setrange,             \
      "key offset value", "Overwrite a part of the value; the new length.")    \
    X(22, incrbyfloat, 3, CMD_WRITE, 1, 1, 1, "string", cmd_incrbyfloat,       \
      "key increment", "Add to the number; its new value.")                    \
    X(23, digest, 2, CMD_READ, 1, 1, 1, "string", cmd_digest, "key",           \
      "The XXH3 digest of the value as 16 digits, or null.")                   \
    X(24, delex, -2, CMD_WRITE, 1, 1, 1, "string", cmd_delex,                  \
      "key [IFEQ value | IFNE value | IFDEQ digest | IFDNE digest]",           \
      "Remove key if the condition is true: 1, or 0.")                         \
    X(25, msetex, -4, CMD_WRITE, 2, -1, 2, "string", cmd_msetex,               \
      "count key value [key value ...] [NX | XX] [EX s | PX ms | EXAT unix-s | PXAT unix-ms | KEEPTTL]", \
      "Store values, all or none: 1, or 0.")

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
      "Keys and values of start <= key < end, in order; empty end: no end.")   \
    X(48, touch, -2, CMD_READ, 1, -1, 1, "keyspace", cmd_exists,               \
      "key [key ...]", "How many of the named keys exist, repeats counted.")   \
    X(49, rename, 3, CMD_WRITE, 1, 2, 1, "keyspace", cmd_rename, "key newkey", \
      "Move value and deadline to newkey.")                                    \
    X(50, renamenx, 3, CMD_WRITE, 1, 2, 1, "keyspace", cmd_rename,             \
      "key newkey", "RENAME if newkey is absent: 1, or 0.")                    \
    X(51, copy, -3, CMD_WRITE, 1, 2, 1, "keyspace", cmd_copy,                  \
      "source destination [DB 0] [REPLACE]",                                   \
      "Copy value and deadline: 1, or 0 when not done.")                       \
    X(52, randomkey, 1, CMD_READ, 0, 0, 0, "keyspace", cmd_randomkey, "",      \
      "Some key, or null.")                                                    \
    X(53, flushdb, -1, CMD_WRITE, 0, 0, 0, "keyspace", cmd_flushall,           \
      "[ASYNC | SYNC]", "Remove all keys.")                                    \
    X(54, object, -2, CMD_READ, 2, 2, 1, "keyspace", cmd_object, "subcommand", \
      "How Redis would hold a key.")                                           \
    X(55, dump, 2, CMD_READ, 1, 1, 1, "keyspace", cmd_dump, "key",             \
      "The value in the form of RDB version 10, or null.")                     \
    X(56, restore, -4, CMD_WRITE, 1, 1, 1, "keyspace", cmd_restore,            \
      "key ttl dump [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ frequency]",   \
      "Store what DUMP gave.")

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
      "connection", NULL,                                                      \
      "[protover [AUTH username password] [SETNAME name]]",                    \
      "Choose RESP2 or RESP3; what the server is.")                            \
    X(83, quit, -1, CMD_LOCAL | CMD_CONN | CMD_OPEN, 0, 0, 0, "connection",    \
      NULL, "", "OK, then the connection is closed.")                          \
    X(84, reset, 1, CMD_LOCAL | CMD_CONN | CMD_OPEN, 0, 0, 0, "connection",    \
      NULL, "", "The connection is as new.")                                   \
    X(85, select, 2, CMD_LOCAL | CMD_CONN | CMD_OPEN, 0, 0, 0, "connection",   \
      NULL, "index", "There is one database, 0.")                              \
    X(86, command, -1, CMD_LOCAL | CMD_OPEN, 0, 0, 0, "server", NULL,           \
      "[COUNT | LIST | INFO [name ...] | DOCS [name ...] | GETKEYS command ...]", \
      "What the commands are.")                                                \
    X(87, client, -2, CMD_LOCAL | CMD_CONN | CMD_OPEN, 0, 0, 0, "connection",  \
      NULL, "subcommand", "This connection.")                                  \
    X(88, readonly, -1, CMD_LOCAL | CMD_CONN | CMD_OPEN, 0, 0, 0,              \
      "connection", NULL, "[MAXAGE milliseconds]",                             \
      "Reads become local: perhaps stale, at most by MAXAGE.")                 \
    X(89, readwrite, 1, CMD_LOCAL | CMD_CONN | CMD_OPEN, 0, 0, 0,              \
      "connection", NULL, "", "Reads are linearizable again.")                 \
    X(90, monitor, 1, CMD_LOCAL | CMD_CONN | CMD_OPEN | CMD_ADMIN |            \
      CMD_NOMULTI, 0, 0, 0, "connection", NULL, "",                            \
      "Every command that this node is given from now on, a line each.")

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
      "subcommand", "The cluster as cluster-aware Redis clients see it.") \
    X(108, wait, 3, CMD_NODE | CMD_OPEN, 0, 0, 0, "connection", NULL, "numreplicas timeout-ms", \
      "How many other members hold this connection's last write.") \
    X(109, lastsave, 1, CMD_NODE | CMD_ADMIN | CMD_OPEN, 0, 0, 0, "server", NULL, "", \
      "When the last snapshot was made, in Unix seconds.") \
    X(110, save, 1, CMD_NODE | CMD_ADMIN | CMD_OPEN | CMD_NOMULTI, 0, 0, 0, "server", NULL, "", \
      "Make a snapshot now; OK when it is on disk.") \
    X(111, bgsave, -1, CMD_NODE | CMD_ADMIN | CMD_OPEN | CMD_NOMULTI, 0, 0, 0, "server", NULL, "[SCHEDULE]", \
      "Begin to make a snapshot now.") \
    X(112, slowlog, -2, CMD_NODE | CMD_ADMIN | CMD_OPEN, 0, 0, 0, "server", NULL, "subcommand", \
      "Commands that clients waited long for.") \
    X(113, latency, -2, CMD_NODE | CMD_ADMIN | CMD_OPEN, 0, 0, 0, "server", NULL, "subcommand", \
      "What took long, and when.") \
    X(114, memory, -2, CMD_NODE | CMD_OPEN, 0, 0, 0, "server", NULL, "subcommand", \
      "Use of memory.") \
    X(115, debug, -2, CMD_NODE | CMD_ADMIN | CMD_OPEN | CMD_NOMULTI, 0, 0, 0, "server", NULL, "SLEEP seconds", \
      "For tests; needs the setting enable-debug-command.") \
    X(116, shutdown, -1, CMD_NODE | CMD_ADMIN | CMD_OPEN | CMD_NOMULTI, 0, 0, 0, "server", NULL, "[NOSAVE | SAVE] [NOW] [FORCE] [ABORT]", \
      "Stop this node in order.") \
    X(117, lolwut, -1, CMD_NODE | CMD_OPEN, 0, 0, 0, "server", NULL, "[VERSION version [arg ...]]", \
      "A picture, and the version.") \
    X(118, module, -2, CMD_NODE | CMD_OPEN, 0, 0, 0, "server", NULL, "LIST", \
      "There are no modules.") \
    X(119, replicaof, 3, CMD_NODE | CMD_ADMIN | CMD_OPEN, 0, 0, 0, "server", NULL, "host port", \
      "Refused: the cluster decides who follows whom.") \
    X(120, slaveof, 3, CMD_NODE | CMD_ADMIN | CMD_OPEN, 0, 0, 0, "server", NULL, "host port", \
      "Refused: the cluster decides who follows whom.") \
    X(121, failover, -1, CMD_NODE | CMD_ADMIN | CMD_OPEN, 0, 0, 0, "server", NULL, "[TO host port]", \
      "Refused: use CLUSTER FAILOVER or MEMBER TRANSFER.")

#define COMMANDS_STREAM(X)                                                     \
    X(160, xread, -4, CMD_READ | CMD_NOMULTI, 0, 0, 0, "stream", cmd_feed,     \
      "[COUNT n] [BLOCK ms] STREAMS name [name ...] id [id ...]",              \
      "The changes after each id, of __changes__[:prefix]; null when there are none.") \
    X(161, xrange, -4, CMD_READ | CMD_NOMULTI, 1, 1, 1, "stream", cmd_feed,    \
      "name start end [COUNT n]", "The changes from start to end.")            \
    X(162, xrevrange, -4, CMD_READ | CMD_NOMULTI, 1, 1, 1, "stream", cmd_feed, \
      "name end start [COUNT n]", "The changes from end back to start.")       \
    X(163, xlen, 2, CMD_READ | CMD_NOMULTI, 1, 1, 1, "stream", cmd_feed,       \
      "name", "How many changes are kept.")                                    \
    X(164, xinfo, -2, CMD_NODE | CMD_NOMULTI, 0, 0, 0, "stream", NULL,         \
      "subcommand", "Facts on a stream of changes.")

#define COMMANDS_PUBSUB(X)                                                     \
    X(140, subscribe, -2, CMD_LOCAL | CMD_CONN | CMD_OPEN, 0, 0, 0, "pubsub", \
      NULL, "channel [channel ...]", "Listen to channels.")                    \
    X(141, unsubscribe, -1, CMD_LOCAL | CMD_CONN | CMD_OPEN, 0, 0, 0, \
      "pubsub", NULL, "[channel ...]", "Stop listening to channels, or all.")  \
    X(142, psubscribe, -2, CMD_LOCAL | CMD_CONN | CMD_OPEN, 0, 0, 0, "pubsub", \
      NULL, "pattern [pattern ...]", "Listen to channels that match.")         \
    X(143, punsubscribe, -1, CMD_LOCAL | CMD_CONN | CMD_OPEN, 0, 0, 0, \
      "pubsub", NULL, "[pattern ...]", "Stop listening to patterns, or all.")  \
    X(144, ssubscribe, -2, CMD_LOCAL | CMD_CONN | CMD_OPEN, 0, 0, 0, "pubsub", \
      NULL, "channel [channel ...]", "Listen to shard channels.")              \
    X(145, sunsubscribe, -1, CMD_LOCAL | CMD_CONN | CMD_OPEN, 0, 0, 0, \
      "pubsub", NULL, "[channel ...]",                                         \
      "Stop listening to shard channels, or all.")                             \
    X(146, publish, 3, CMD_LOCAL | CMD_OPEN, 0, 0, 0, "pubsub", NULL,          \
      "channel message",                                                       \
      "Send a message to the subscribers of all nodes; how many this one has.")\
    X(147, spublish, 3, CMD_LOCAL | CMD_OPEN, 0, 0, 0, "pubsub", NULL,         \
      "channel message", "The same for shard channels.")                       \
    X(148, pubsub, -2, CMD_LOCAL | CMD_OPEN, 0, 0, 0, "pubsub", NULL,          \
      "subcommand", "Who listens, on this node.")

#define COMMANDS(X)        \
    COMMANDS_PUBSUB(X)     \
    COMMANDS_STRING(X)     \
    COMMANDS_KEY(X)        \
    COMMANDS_TXN(X)        \
    COMMANDS_STREAM(X)     \
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

#define SUBCOMMANDS_PUBSUB(S)                                                  \
    S(360, pubsub, channels, -2, CMD_LOCAL | CMD_OPEN, 0, 0, 0, "pubsub",      \
      NULL, "[pattern]", "Channels that somebody listens to.")                 \
    S(361, pubsub, numsub, -2, CMD_LOCAL | CMD_OPEN, 0, 0, 0, "pubsub", NULL,  \
      "[channel ...]", "How many listen to each channel.")                     \
    S(362, pubsub, numpat, 2, CMD_LOCAL | CMD_OPEN, 0, 0, 0, "pubsub", NULL,   \
      "", "How many patterns are listened to.")                                \
    S(363, pubsub, shardchannels, -2, CMD_LOCAL | CMD_OPEN, 0, 0, 0,           \
      "pubsub", NULL, "[pattern]", "Shard channels that somebody listens to.") \
    S(365, client, tracking, -3, CMD_LOCAL | CMD_CONN | CMD_OPEN | CMD_NOMULTI, \
      0, 0, 0, "connection", NULL,                                             \
      "ON | OFF [REDIRECT id] [PREFIX prefix ...] [BCAST] [OPTIN] [OPTOUT] [NOLOOP]", \
      "Be told when keys change that this connection has read.")               \
    S(366, client, caching, 3, CMD_LOCAL | CMD_CONN | CMD_OPEN | CMD_NOMULTI,  \
      0, 0, 0, "connection", NULL, "YES | NO",                                 \
      "Is what the next command reads to be tracked?")                         \
    S(367, client, trackinginfo, 2, CMD_LOCAL | CMD_OPEN, 0, 0, 0,             \
      "connection", NULL, "", "How this connection tracks keys.")              \
    S(368, client, getredir, 2, CMD_LOCAL | CMD_OPEN, 0, 0, 0, "connection",   \
      NULL, "", "Which connection is told instead; 0: this, -1: not tracking.") \
    S(364, pubsub, shardnumsub, -2, CMD_LOCAL | CMD_OPEN, 0, 0, 0, "pubsub",   \
      NULL, "[channel ...]", "How many listen to each shard channel.")

#define SUBCOMMANDS(S)                                                         \
    S(390, xinfo, stream, -3, CMD_READ | CMD_NOMULTI, 2, 2, 1, "stream",       \
      cmd_feed, "name", "First and last change, and how many are kept.")       \
    SUBCOMMANDS_ACL(S)                                                         \
    SUBCOMMANDS_PUBSUB(S)                                                      \
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
      "key", "The slot of a key.")                                             \
    S(430, client, list, -2, CMD_LOCAL | CMD_ADMIN | CMD_OPEN, 0, 0, 0,        \
      "connection", NULL, "[TYPE type] [ID id ...]",                           \
      "The connections of this node, a line each.")                            \
    S(431, client, kill, -3, CMD_LOCAL | CMD_ADMIN | CMD_OPEN, 0, 0, 0,        \
      "connection", NULL,                                                      \
      "addr | [ID id] [TYPE type] [USER name] [ADDR addr] [LADDR addr] [SKIPME yes | no]", \
      "Close connections of this node.")                                       \
    S(432, client, no-evict, 3, CMD_LOCAL | CMD_ADMIN | CMD_CONN | CMD_OPEN,   \
      0, 0, 0, "connection", NULL, "ON | OFF",                                 \
      "ON: not the one that is closed when all output is over its limit.")     \
    S(433, client, no-touch, 3, CMD_LOCAL | CMD_CONN | CMD_OPEN, 0, 0, 0,      \
      "connection", NULL, "ON | OFF",                                          \
      "A mark in CLIENT LIST: no read changes what is known of a key.")        \
    S(434, client, reply, 3, CMD_LOCAL | CMD_CONN | CMD_OPEN | CMD_NOMULTI,    \
      0, 0, 0, "connection", NULL, "ON | OFF | SKIP",                          \
      "Whether replies are sent; SKIP: all but the next.")                     \
    S(435, client, pause, -3, CMD_LOCAL | CMD_ADMIN | CMD_OPEN, 0, 0, 0,       \
      "connection", NULL, "milliseconds [WRITE | ALL]",                        \
      "Begin no command (WRITE: no write) of this node's clients so long.")    \
    S(436, client, unpause, 2, CMD_LOCAL | CMD_ADMIN | CMD_OPEN, 0, 0, 0,      \
      "connection", NULL, "", "End the pause.")                                \
    S(437, client, unblock, -3, CMD_LOCAL | CMD_ADMIN | CMD_OPEN, 0, 0, 0,     \
      "connection", NULL, "id [TIMEOUT | ERROR]",                              \
      "End the wait of a connection: 1, or 0 when it does not wait.")          \
    S(236, object, encoding, 3, CMD_READ, 2, 2, 1, "keyspace", cmd_object,     \
      "key", "int, embstr or raw.")                                            \
    S(237, object, refcount, 3, CMD_READ, 2, 2, 1, "keyspace", cmd_object,     \
      "key", "How many references there would be.")                            \
    S(238, object, idletime, 3, CMD_READ, 2, 2, 1, "keyspace", cmd_object,     \
      "key", "Seconds since the last write that this node knows of.")          \
    S(239, object, freq, 3, CMD_READ, 2, 2, 1, "keyspace", cmd_object, "key",  \
      "An error: frequencies are not counted.")                                \
    S(240, object, help, 2, CMD_READ, 0, 0, 0, "keyspace", cmd_object, "",     \
      "What OBJECT can tell.")                                                 \
    S(260, config, set, -4, CMD_NODE | CMD_ADMIN | CMD_OPEN, 0, 0, 0, "server", NULL, \
      "name value [name value ...]", \
      "Change settings, all or none of them.") \
    S(261, config, resetstat, 2, CMD_NODE | CMD_ADMIN | CMD_OPEN, 0, 0, 0, "server", NULL, \
      "", \
      "Count from zero again.") \
    S(262, config, rewrite, 2, CMD_NODE | CMD_ADMIN | CMD_OPEN, 0, 0, 0, "server", NULL, \
      "", \
      "Write the settings that were changed into the file of --config.") \
    S(263, slowlog, get, -2, CMD_NODE | CMD_ADMIN | CMD_OPEN, 0, 0, 0, "server", NULL, \
      "[count]", \
      "The newest slow commands (10; -1: all): id, time, microseconds, words, client, its name.") \
    S(264, slowlog, len, 2, CMD_NODE | CMD_ADMIN | CMD_OPEN, 0, 0, 0, "server", NULL, \
      "", \
      "How many there are.") \
    S(265, slowlog, reset, 2, CMD_NODE | CMD_ADMIN | CMD_OPEN, 0, 0, 0, "server", NULL, \
      "", \
      "Forget them.") \
    S(266, latency, latest, 2, CMD_NODE | CMD_ADMIN | CMD_OPEN, 0, 0, 0, "server", NULL, \
      "", \
      "Each event: its last time, that sample, the longest.") \
    S(267, latency, history, 3, CMD_NODE | CMD_ADMIN | CMD_OPEN, 0, 0, 0, "server", NULL, \
      "event", \
      "The samples of an event.") \
    S(268, latency, reset, -2, CMD_NODE | CMD_ADMIN | CMD_OPEN, 0, 0, 0, "server", NULL, \
      "[event ...]", \
      "Forget events; how many.") \
    S(269, latency, doctor, 2, CMD_NODE | CMD_ADMIN | CMD_OPEN, 0, 0, 0, "server", NULL, \
      "", \
      "What the events say, in words.") \
    S(270, latency, graph, 3, CMD_NODE | CMD_ADMIN | CMD_OPEN, 0, 0, 0, "server", NULL, \
      "event", \
      "The samples of an event, drawn.") \
    S(271, latency, histogram, -2, CMD_NODE | CMD_ADMIN | CMD_OPEN, 0, 0, 0, "server", NULL, \
      "[command ...]", \
      "How long commands took: cumulative counts.") \
    S(272, memory, usage, -3, CMD_READ, 2, 2, 1, "server", cmd_memory_usage, \
      "key [SAMPLES count]", \
      "Bytes that key and value take, or null.") \
    S(273, memory, stats, 2, CMD_NODE | CMD_OPEN, 0, 0, 0, "server", NULL, \
      "", \
      "Where memory goes.") \
    S(274, memory, doctor, 2, CMD_NODE | CMD_OPEN, 0, 0, 0, "server", NULL, \
      "", \
      "The same in words.") \
    S(275, memory, purge, 2, CMD_NODE | CMD_OPEN, 0, 0, 0, "server", NULL, \
      "", \
      "Give free memory back to the system.") \
    S(276, memory, malloc-stats, 2, CMD_NODE | CMD_OPEN, 0, 0, 0, "server", NULL, \
      "", \
      "What the allocator says.") \
    S(277, command, count, 2, CMD_LOCAL | CMD_OPEN, 0, 0, 0, "server", NULL, \
      "", \
      "How many commands there are.") \
    S(278, command, list, -2, CMD_LOCAL | CMD_OPEN, 0, 0, 0, "server", NULL, \
      "[FILTERBY MODULE name | ACLCAT category | PATTERN pattern]", \
      "Their names.") \
    S(279, command, info, -2, CMD_LOCAL | CMD_OPEN, 0, 0, 0, "server", NULL, \
      "[name ...]", \
      "What they are: a row of ten for each.") \
    S(280, command, docs, -2, CMD_LOCAL | CMD_OPEN, 0, 0, 0, "server", NULL, \
      "[name ...]", \
      "What they do, for people.") \
    S(281, command, getkeys, -4, CMD_LOCAL | CMD_OPEN, 0, 0, 0, "server", NULL, \
      "command arg [arg ...]", \
      "The keys in a command.") \
    S(282, command, getkeysandflags, -4, CMD_LOCAL | CMD_OPEN, 0, 0, 0, "server", NULL, \
      "command arg [arg ...]", \
      "The keys in a command, and what is done to each.") \
    S(290, cluster, myshardid, 2, CMD_NODE | CMD_OPEN, 0, 0, 0, "cluster", NULL, \
      "", \
      "The 40 digits of the one shard.") \
    S(291, cluster, countkeysinslot, 3, CMD_READ, 0, 0, 0, "cluster", cmd_slot_keys, \
      "slot", \
      "How many keys are in a slot.") \
    S(292, cluster, getkeysinslot, 4, CMD_READ, 0, 0, 0, "cluster", cmd_slot_keys, \
      "slot count", \
      "Keys of a slot.") \
    S(293, cluster, replicas, 3, CMD_NODE | CMD_ADMIN | CMD_OPEN, 0, 0, 0, "cluster", NULL, \
      "node", \
      "The replicas of a node, as text.") \
    S(294, cluster, slaves, 3, CMD_NODE | CMD_ADMIN | CMD_OPEN, 0, 0, 0, "cluster", NULL, \
      "node", \
      "The same.") \
    S(295, cluster, links, 2, CMD_NODE | CMD_OPEN, 0, 0, 0, "cluster", NULL, \
      "", \
      "The connections to the other members.") \
    S(296, cluster, count-failure-reports, 3, CMD_NODE | CMD_ADMIN | CMD_OPEN, 0, 0, 0, "cluster", NULL, \
      "node", \
      "1 when this node does not hear it, else 0.") \
    S(297, cluster, failover, -2, CMD_NODE | CMD_ADMIN | CMD_NOMULTI, 0, 0, 0, "cluster", NULL, \
      "[FORCE | TAKEOVER]", \
      "Leadership comes to this node.") \
    S(298, cluster, forget, 3, CMD_NODE | CMD_ADMIN | CMD_NOMULTI, 0, 0, 0, "cluster", NULL, \
      "node", \
      "Remove a member for good.") \
    S(299, cluster, reset, -2, CMD_NODE | CMD_ADMIN | CMD_OPEN, 0, 0, 0, "cluster", NULL, \
      "[HARD | SOFT]", \
      "Refused, with the reason.") \
    S(300, cluster, meet, -4, CMD_NODE | CMD_ADMIN | CMD_OPEN, 0, 0, 0, "cluster", NULL, \
      "ip port", \
      "Refused, with the reason.") \
    S(301, cluster, addslots, -3, CMD_NODE | CMD_ADMIN | CMD_OPEN, 0, 0, 0, "cluster", NULL, \
      "slot [slot ...]", \
      "Refused, with the reason.") \
    S(302, cluster, addslotsrange, -4, CMD_NODE | CMD_ADMIN | CMD_OPEN, 0, 0, 0, "cluster", NULL, \
      "first last [first last ...]", \
      "Refused, with the reason.") \
    S(303, cluster, delslots, -3, CMD_NODE | CMD_ADMIN | CMD_OPEN, 0, 0, 0, "cluster", NULL, \
      "slot [slot ...]", \
      "Refused, with the reason.") \
    S(304, cluster, delslotsrange, -4, CMD_NODE | CMD_ADMIN | CMD_OPEN, 0, 0, 0, "cluster", NULL, \
      "first last [first last ...]", \
      "Refused, with the reason.") \
    S(305, cluster, flushslots, 2, CMD_NODE | CMD_ADMIN | CMD_OPEN, 0, 0, 0, "cluster", NULL, \
      "", \
      "Refused, with the reason.") \
    S(306, cluster, setslot, -4, CMD_NODE | CMD_ADMIN | CMD_OPEN, 0, 0, 0, "cluster", NULL, \
      "slot subcommand", \
      "Refused, with the reason.") \
    S(307, cluster, replicate, 3, CMD_NODE | CMD_ADMIN | CMD_OPEN, 0, 0, 0, "cluster", NULL, \
      "node", \
      "Refused, with the reason.") \
    S(308, cluster, set-config-epoch, 3, CMD_NODE | CMD_ADMIN | CMD_OPEN, 0, 0, 0, "cluster", NULL, \
      "epoch", \
      "Refused, with the reason.") \
    S(309, cluster, bumpepoch, 2, CMD_NODE | CMD_ADMIN | CMD_OPEN, 0, 0, 0, "cluster", NULL, \
      "", \
      "Refused, with the reason.") \
    S(310, cluster, saveconfig, 2, CMD_NODE | CMD_ADMIN | CMD_OPEN, 0, 0, 0, "cluster", NULL, \
      "", \
      "Refused, with the reason.") \
    S(312, module, list, 2, CMD_NODE | CMD_OPEN, 0, 0, 0, "server", NULL, \
      "", \
      "An empty list.")
/* clang-format on */

#endif
