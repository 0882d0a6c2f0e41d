/* Mutants of this part: M(NAME, "what is wrong with it"). */
#ifndef HF_BASE_MUTANTS_NODE_DEF_H
#define HF_BASE_MUTANTS_NODE_DEF_H

#define MUTANTS_NODE(M)                                                        \
    M(REPAIR_VOTES, "a damaged node takes part before it is whole")            \
    M(REPAIR_SHORT, "a repair ends before the log's last index")               \
    M(REPAIR_TURNS, "a repair gives up one snapshot for another node's")       \
    M(ORDER_WRITE_EARLY, "a write begins before earlier reads are answered")   \
    M(ORDER_READ_EARLY, "a read begins before earlier writes are answered")    \
    M(NO_RESEND, "numbered requests are not sent to the next leader")          \
    M(NO_VOID, "a number is dropped at its deadline")                          \
    M(UNKNOWN_AS_FAILED, "a deadline in the cluster's hands is a refusal")     \
    M(TAKE_GAPS, "the leader takes numbers with gaps")                         \
    M(LEADER_TAKES_EARLY, "requests are taken before the own barrier")         \
    M(READ_LOCAL, "reads are local, without a round")                          \
    M(DEADLINE_FIRST, "a read waits only for the first deadline not applied")  \
    M(READ_IGNORES_TIME, "a read does not wait for passed deadlines")          \
    M(PASS_OVERTAKES, "a read is passed on before an earlier one is answered") \
    M(NAMED_IN_ANY_TERM, "an index named in one term counts in the next")      \
    M(READ_ID_REUSED, "a round asked again keeps its id")                      \
    M(STALE_UNBOUNDED, "the bound of stale reads is not enforced")             \
    M(SEAT_TAKEN_ON_SIGHT, "a newcomer replaces a live holder")                \
    M(NUMBER_WHILE_PARKED, "numbers are given while no leader takes requests") \
    M(SESSION_KEPT_ACROSS_RESTART,                                             \
      "a restarted node goes on with its earlier session")                     \
    M(VOID_SAYS_APPLIED, "an applied void is answered as success")             \
    M(LOST_SAYS_REFUSED, "requests of a lost session are said to be refused")  \
    M(RESTORE_FORGETS_SESSION, "a snapshot does not settle what it contains")  \
    M(REFUSED_NOT_LOGGED,                                                      \
      "a request that the leader refuses leaves its number open")              \
    M(REPLY_FROM_LEADER_ONLY, "the own apply gives no replies")                \
    M(ROUND_SERVES_LATECOMERS,                                                 \
      "a round serves reads that came after its question")                     \
    M(READ_BEFORE_APPLIED, "a read does not wait until its index is applied")  \
    M(READ_UNCONFIRMED, "a round without a majority confirms its reads")       \
    M(READ_NOT_PASSED, "a node that lags keeps its reads")                     \
    M(NO_KICK, "a follower's read waits for the next heartbeat")               \
    M(STALE_AGE_FROM_ANSWER, "the age of data counts from the round's answer") \
    M(STALE_AGE_UNAPPLIED,                                                     \
      "data are young before the round's index is applied")                    \
    M(STALE_OVERTAKES, "a local read overtakes an earlier read")               \
    M(REPLY_INDEX_IGNORED, "a local read does not wait for the own write")     \
    M(ESTIMATE_IGNORED, "the estimates of other nodes are not taken over")     \
    M(COLD_JUMP_ALWAYS, "cluster time jumps with every leader")                \
    M(COLD_JUMP_TO_MAX, "a cold start takes the latest wall clock")            \
    M(COLD_TOLD_EARLY, "the time of a cold start is told before it is logged") \
    M(COLD_TIME_STANDS, "downtime does not count")                             \
    M(TIME_FROM_WALL, "entries are stamped with the wall clock")               \
    M(CAN_LOSE_ANY, "a member is removed without a majority of the others")    \
    M(REMOVED_GOES_ON, "a removed member does not stop")                       \
    M(INIT_PARTIAL, "init goes on without a seat's answer")                    \
    M(PROMISE_BROKEN, "a seat promises itself to two clusters")                \
    M(INIT_ENDS_EARLY, "init returns before all seats vote")                   \
    M(JOIN_WITHOUT_SEAT, "any address is let in")                              \
    M(STOP_WITHOUT_TRANSFER, "a leader stops without handing over")            \
    M(STOP_WITHOUT_DRAIN, "a node stops with requests under way")              \
    M(SNAPSHOT_DURING_SEND, "a snapshot that is being sent is replaced")       \
    M(ROOM_UNCOUNTED, "requests are admitted whatever the disk holds")         \
    M(FULL_KEEPS, "a leader without room keeps leadership")                    \
    M(FULL_SWALLOWS, "a full follower keeps all appends in memory")            \
    M(PARKED_UNBOUNDED, "sockets are read however much is parked")             \
    M(DEADLINE_IN_LINE, "a pipeline's own length counts against its end")      \
    M(DEADLINE_HEAD_ONLY, "only the oldest parked request may expire")         \
    M(WALK_ON_LOOP, "KEYS and RANGE are evaluated on the loop")                \
    M(WALK_AT_ONCE, "a walk over keys is not cut into steps")                  \
    M(REPLIES_AT_ONCE, "all reads that may be are evaluated in one turn")      \
    M(FLAGS_IGNORED, "what the leader refuses is sent to it all the same")     \
    M(LOST_RENUMBERED, "requests of a lost session get new numbers")           \
    M(BATCH_UNBOUNDED, "a batch may grow without limit")                       \
    M(BATCH_EAGER, "a batch leaves however small, beside many on their way")   \
    M(TIME_ENTRY_EACH, "every read near a deadline logs a time entry")         \
    M(STALE_NOT_RENEWED, "nobody asks for the age of local data")              \
    M(TIME_STEPS, "cluster time follows the wall clock by steps")              \
    M(LOADING_REFUSES, "a node that is loading parks nothing")                 \
    M(LATE_TIMER_ACTS, "after a pause timers come before what was sent")       \
    M(TRACK_PASSED, "the leader answers reads of a client that keeps them")    \
    M(TRACK_REPLY_EARLY,                                                       \
      "a client that keeps what it reads is told of a write before its "       \
      "changes")                                                               \
    M(TOUCH_ASSUMED, "a node that hears no leader thinks it does")             \
    M(TOUCH_WITHOUT_ROOM, "a node that keeps no entries is in touch")          \
    M(JUMP_UNNOTICED, "nobody hears that a snapshot jumped over changes")      \
    M(NOTIFY_REPLAYS, "log applied again after a start is told as events")     \
    M(READ_LOCAL_CLOCK, "a read expires keys by the node's own clock")

#endif
