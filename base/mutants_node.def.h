/* Mutants of this part: M(NAME, "what is wrong with it"). */
#ifndef HF_BASE_MUTANTS_NODE_DEF_H
#define HF_BASE_MUTANTS_NODE_DEF_H

#define MUTANTS_NODE(M)                                                      \
    M(ORDER_WRITE_EARLY, "a write begins before earlier reads are answered") \
    M(ORDER_READ_EARLY, "a read begins before earlier writes are answered")  \
    M(NO_RESEND, "numbered requests are not sent to the next leader")        \
    M(NO_VOID, "no void is sent at a deadline")                              \
    M(UNKNOWN_AS_FAILED, "a deadline in the cluster's hands is a refusal")   \
    M(TAKE_GAPS, "the leader takes numbers with gaps")                       \
    M(LEADER_TAKES_EARLY, "requests are taken before the own barrier")       \
    M(READ_LOCAL, "reads are local, without a round")                        \
    M(READ_IGNORES_TIME, "a read does not wait for passed deadlines")        \
    M(READ_ID_REUSED, "a round asked again keeps its id")                    \
    M(STALE_UNBOUNDED, "the bound of stale reads is not enforced")           \
    M(SEAT_TAKEN_ON_SIGHT, "a newcomer replaces a live holder")              \
    M(ROOM_UNCOUNTED, "requests are admitted whatever the disk holds")       \
    M(FULL_KEEPS, "a leader without room keeps leadership")                  \
    M(FULL_SWALLOWS, "a full follower keeps all appends in memory")          \
    M(PARKED_UNBOUNDED, "sockets are read however much is parked")           \
    M(DEADLINE_HEAD_ONLY, "only the oldest parked request may expire")       \
    M(WALK_ON_LOOP, "KEYS and RANGE are evaluated on the loop")              \
    M(WALK_AT_ONCE, "a walk over keys is not cut into steps")

#endif
