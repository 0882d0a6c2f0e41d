/* Mutants of this part: M(NAME, "what is wrong with it"). */
#ifndef HF_BASE_MUTANTS_SERVER_DEF_H
#define HF_BASE_MUTANTS_SERVER_DEF_H

#define MUTANTS_SERVER(M)                                                      \
    M(STATS_FAILED_UNCOUNTED, "error replies are not counted as failures")     \
    M(SLOWLOG_SECRETS, "SLOWLOG keeps passwords")                              \
    M(SLOWLOG_UNBOUNDED, "SLOWLOG keeps every slow command")                   \
    M(LATENCY_EACH, "LATENCY keeps every sample, not the longest a second")    \
    M(WAIT_IN_MULTI, "WAIT blocks an EXEC")                                    \
    M(WAIT_SELF, "WAIT counts the leader, too")                                \
    M(WAIT_OLD, "WAIT does not look at the last write")                        \
    M(CONFIG_SET_PART, "CONFIG SET leaves half of a refused change")           \
    M(CONFIG_REWRITE_BARE, "CONFIG REWRITE drops lines that it does not know") \
    M(INFO_UNASKED, "INFO shows sections that were not asked for")             \
    M(FORGET_SELF, "CLUSTER FORGET removes the node that is asked")

#endif
