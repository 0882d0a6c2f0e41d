/* Mutants of this part: M(NAME, "what is wrong with it"). */
#ifndef HF_BASE_MUTANTS_FEED_DEF_H
#define HF_BASE_MUTANTS_FEED_DEF_H

#define MUTANTS_FEED(M)                                                    \
    M(HISTORY_UNBOUNDED, "old changes are kept for ever")                  \
    M(HISTORY_ONE_SEQ, "all changes of a request have the same id")        \
    M(HISTORY_NO_SNAP, "snapshots leave the history out")                  \
    M(HISTORY_LOAD_GAP, "a history with a hole is loaded")                 \
    M(FEED_TRIMMED_SILENT, "a feed goes on behind changes that were lost") \
    M(FEED_NO_CLEAR, "a feed of a prefix does not tell of FLUSHALL")       \
    M(FEED_LOCAL_NULL, "a blocked feed says that nothing came, unasked")   \
    M(FEED_NOT_WOKEN, "a blocked feed sleeps until its time ends")         \
    M(FEED_DOLLAR_MOVES, "a blocked feed's $ is the time of each look")    \
    M(FEED_OVERTAKEN, "what follows a blocked feed runs before it ends")   \
    M(FEED_PASSED, "a feed that may wait is answered by the leader")       \
    M(FEED_TAKES_MEMORY, "changes may take the whole memory limit")        \
    M(FEED_GOES_BACK, "a watch believes ids that it has seen already")     \
    M(FEED_PARKED_UNBOUNDED, "any number of feeds may block")

#endif
