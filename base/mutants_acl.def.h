/* Mutants of this part: M(NAME, "what is wrong with it"). */
#ifndef HF_BASE_MUTANTS_ACL_DEF_H
#define HF_BASE_MUTANTS_ACL_DEF_H

#define MUTANTS_ACL(M)                                                       \
    M(ACL_ANY_KEY, "key patterns are not looked at")                         \
    M(ACL_TXN_UNSEEN, "commands in a transaction are not checked")           \
    M(ACL_ONCE_UNSEEN, "a named request's command is not checked")           \
    M(ACL_REBORN, "a user made again gets the connections of the old one")   \
    M(ACL_OFF_ENTERS, "a user that is off may authenticate")                 \
    M(ACL_ANY_PASSWORD, "any password will do")                              \
    M(ACL_AT_DISPATCH_ONLY, "permissions are those that this node knows of") \
    M(ACL_UNMARKED, "commands do not say whose they are")                    \
    M(ACL_HALF_SET, "a SETUSER that fails changes what came before")         \
    M(ACL_CLEAR_TEXT, "passwords go into the log as they are")               \
    M(ACL_KEEPS_GONE, "connections of a removed user stay")                  \
    M(ACL_WALK_UNSEEN, "KEYS and RANGE are not checked")                     \
    M(ACL_LOG_UNBOUNDED, "ACL LOG grows for ever")                           \
    M(MACHINE_SNAP_NO_USERS, "snapshots leave the users out")                \
    M(ACL_OPEN_WHILE_LOADING, "whoever comes while a node loads may stop it")

#endif
