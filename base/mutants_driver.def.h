/* Mutants of this part: M(NAME, "what is wrong with it"). */
#ifndef HF_BASE_MUTANTS_DRIVER_DEF_H
#define HF_BASE_MUTANTS_DRIVER_DEF_H

#define MUTANTS_DRIVER(M)                                                      \
    M(DRV_BARRIER, "a new leader does not commit an entry of its term first")  \
    M(DRV_PREVOTE, "a denied pre-vote echoes the candidate's term")            \
    M(DRV_LONELOAD, "a lone voter restarts in the term it led")                \
    M(DRV_LONERUN, "a lone voter elects itself in the term it is in")          \
    M(DRV_SPLIT, "a CHANGE may stand in the middle of a received piece")       \
    M(DRV_STALE, "answers to stale requests carry a wild last index")          \
    M(DRV_VOTERES, "vote results reach an engine that is no candidate")        \
    M(DRV_INSTDROP, "a second install is handed over during the first")        \
    M(DRV_SNAPDUR, "a snapshot may cover entries not yet durable")             \
    M(DRV_WGEN, "a write counts if terms match when it completes")             \
    M(DRV_SNAPEV, "a snapshot overtaken by an install is reported")            \
    M(DRV_TIMER, "a timeout in the past is armed as it is")                    \
    M(DRV_COMMIT, "an AppendEntries may move the commit index back")           \
    M(DRV_DISCARD, "a log without the snapshot's last entry is loaded")        \
    M(DRV_CONF, "a snapshot stores the engine's idea of the configuration")    \
    M(DRV_VERSION, "the version of vote results and append results is lost")   \
    M(DRV_SAMETERM, "a leader takes requests of another in its term")          \
    M(DRV_LOGRANGE, "a success beyond the own log is believed")                \
    M(DRV_DISRUPT, "a candidate keeps disrupting with every retry")            \
    M(DRV_LONESHRINK, "the last voter may be another node")                    \
    M(DRV_NVVOTE, "a promoted server that does not know it has no vote")       \
    M(DRV_CHGHOLD, "a CHANGE leaves before it is durable at the leader")       \
    M(DRV_TRIMAE, "entries below the snapshot are taken as new")               \
    M(DRV_STALEREJ, "a late rejection sends the leader back below match")      \
    M(DRV_BACKTWICE, "every rejection of a window sends the leader back")      \
    M(DRV_BACKWHOLE, "a leader sent back sends all that is left at once")      \
    M(DRV_CONFSEQ, "a second CHANGE does not commit the first")                \
    M(DRV_SNAPONE, "a snapshot may be taken at index 1")                       \
    M(DRV_PENDING, "submits are taken without bound")                          \
    M(DRV_APPLIED, "a conflict with an applied entry is not noticed")          \
    M(DRV_REFUSE, "naming a missing snapshot does not count as contact")       \
    M(DRV_TRANSFER, "leadership is handed over before the log is there")       \
    M(DRV_EVICT, "payloads not yet applied may be dropped from memory")        \
    M(DRV_PROBETERM, "a probe is confirmed in whatever term")                  \
    M(DRV_PROBECONF, "a probe round survives a change of the voters")          \
    M(DRV_READTERM, "entries read back from disk are not compared")            \
    M(DRV_GATE, "membership changes before the own barrier is applied")        \
    M(DRV_ORDER, "a change of a role moves the member in the list")            \
    M(DRV_CATCHUP, "the engine is asked to catch up a stranger")               \
    M(DRV_EARLYVOTE, "an early election deposes a leader without asking")      \
    M(DRV_EARLYLOG, "an early election does not wait for the log's writes")    \
    M(DRV_LOSTKEPT, "a leader heard again stays lost")                         \
    M(DRV_LOSTANY, "the end of any process is taken for the leader's")         \
    M(DRV_HEARD, "votes are granted though the leader was just heard")         \
    M(DRV_STICKY, "votes are refused until the own timeout")                   \
    M(DRV_SANE, "impossible AppendEntries reach the engine")                   \
    M(DRV_PREVOTE_OFF, "a node raises its term before it asks who would vote") \
    M(DRV_SLEPT, "what this node slept counts as the leader's silence")        \
    M(DRV_SPREAD, "a longer election timeout is drawn from a wider range")     \
    M(DRV_FALSEALARM, "nothing is learned from an election for nothing")       \
    M(DRV_QUORUMPACE, "a leader does not learn how late answers may be")       \
    M(PACE_FIXED, "patience is what is configured, however bad the wire")      \
    M(PACE_OUTAGE, "a silence of any length lengthens patience")               \
    M(PACE_KEPT, "an old silence is never forgotten")                          \
    M(PACE_UNBOUNDED, "patience may grow without bound")                       \
    M(DRV_NO_QUORUM, "a leader that nobody answers goes on leading")

#endif
