/* Mutants of this part: M(NAME, "what is wrong with it"). */
#ifndef HF_BASE_MUTANTS_EDGE_DEF_H
#define HF_BASE_MUTANTS_EDGE_DEF_H

#define MUTANTS_EDGE(M)                                                      \
    M(EDGE_HTTP_RUNS, "what a browser posts is run")                         \
    M(SET_CONDITION, "SET stores although NX, XX or IFEQ is false")          \
    M(TXN_CONDITION, "EXEC and TXN run although a watched key changed")      \
    M(ONCE_AGAIN, "a named request sent again is applied again")             \
    M(EDGE_TOTAL_UNBOUNDED, "unsent replies of all clients have no bound")   \
    M(EDGE_LOG_UNBOUNDED, "a client can fill the log")                       \
    M(EDGE_UNFAIR, "one pipeline may take a whole turn")                     \
    M(EDGE_OUTPUT_UNBOUNDED, "a client that reads nothing is kept")          \
    M(EDGE_NO_MAXCLIENTS, "clients beyond maxclients are served")            \
    M(EDGE_FOLLOWER_SERVES, "the cluster port of a follower sends no MOVED") \
    M(EDGE_EXEC_EARLY, "EXEC does not wait for the revisions of WATCH")      \
    M(EDGE_REPLY_EARLY, "own replies overtake those of the node")            \
    M(EDGE_DIRTY_EXEC, "EXEC runs although a command was refused")           \
    M(WATCH_STALE, "WATCH after READONLY takes stale revisions")             \
    M(SLOTS_PLAIN, "CLUSTER SLOTS names the plain ports")                    \
    M(SLOTS_ALONE, "a node that is cut off names itself for ever")           \
    M(EXEC_PIECEWISE, "EXEC sends its commands one by one")                  \
    M(EXEC_REPLY_UNBOUNDED, "an EXEC of INFO and its like fills memory")     \
    M(CLIENT_IDS_UNBOUNDED, "CLIENT LIST ID looks for very many")            \
    M(EDGE_EVICTS_ALL, "CLIENT NO-EVICT protects nobody")                    \
    M(EDGE_CLOSE_UNREAD, "closed with unread bytes after a protocol error")  \
    M(MONITOR_SHOWS_SECRETS, "MONITOR shows what carries passwords")         \
    M(NOTIFY_NOTHING_DONE, "DEL of an absent key is told as an event")       \
    M(TRACK_CROSSING, "a change that crosses a read is not told behind it")  \
    M(TRACK_UNTOUCHED, "what is read out of touch with the leader is kept")  \
    M(TRACK_LOOPS, "NOLOOP is told of the client's own changes")             \
    M(TRACK_UNBOUNDED, "the table of tracked keys has no bound")             \
    M(TRACK_BROKEN_UNTOLD, "nobody hears that the redirection is broken")    \
    M(TRACK_NO_DEADLINE, "a changed deadline is not told")                   \
    M(PUSH_UNBOUNDED, "a subscriber that reads nothing is kept")             \
    M(PUBSUB_NAMES_UNBOUNDED, "channels and patterns of any length")         \
    M(PUBSUB_UNBOUNDED, "subscriptions have no bound")                       \
    M(PUBSUB_KEEPS_GONE, "subscriptions outlive a RESET")                    \
    M(PUBSUB_ALLOWS_ALL, "a RESP2 subscriber may send any command")          \
    M(PUBLISH_HERE_ONLY, "PUBLISH reaches the subscribers of one node")      \
    M(PUBLISH_UNBOUNDED, "messages to a slow node fill memory")              \
    M(SUBSCRIBE_LATE,                                                        \
      "what is pipelined behind SUBSCRIBE is not judged by "                 \
      "it")

#endif
