/* Mutants of this part: M(NAME, "what is wrong with it"). */
#ifndef HF_BASE_MUTANTS_LOG_DEF_H
#define HF_BASE_MUTANTS_LOG_DEF_H

#define MUTANTS_LOG(M)                                                         \
    M(ACK_BEFORE_SYNC, "log writes are acknowledged unsynced")                 \
    M(NO_DIR_SYNC, "no directory sync after a rename or a new file")           \
    M(TRUNCATE_IGNORED, "replay of the log skips TRUNCATE frames")             \
    M(ROT_IS_TORN, "rot in the middle of the log is cut like a torn tail")     \
    M(CRC_IGNORED, "checksums of log, vote and snapshot are not compared")     \
    M(CHAIN_UNCHECKED, "frames of a segment's earlier life are believed")      \
    M(NO_SEAL, "a segment does not say that another one follows it")           \
    M(LOG_NOT_NOTED, "a new member's log may be lost as a whole, unnoticed")   \
    M(NO_RECOVERY_SYNC, "what recovery read is not synced before use")         \
    M(LOG_HOLE_IGNORED, "a gap between snapshot and log is not refused")       \
    M(WRITE_ERROR_IGNORED, "a failed log write is acknowledged")               \
    M(NO_MARK, "no mark frame when idle: rot of the last frame is torn")       \
    M(RECYCLE_NO_SYNC, "a recycled segment is used before its rename is safe") \
    M(SYNC_RETRIED, "a failed log write counts when a sync after it succeeds") \
    M(TRIM_EARLY, "the log is trimmed before the snapshot is on the disk")     \
    M(VOTE_CLEARED, "storing the same term again clears the vote in it")       \
    M(HOUSE_RETRIED, "a log file whose sync failed is prepared again")         \
    M(VOTE_ONE_SLOT, "only slot a of the vote is written")                     \
    M(VOTE_NOT_PERSISTED, "votes stay in memory")                              \
    M(NO_LOCK, "the data directory is not locked")                             \
    M(SNAP_NO_SYNC, "a snapshot is renamed before its content is synced")      \
    M(SNAP_FOOTER_UNCHECKED, "a snapshot's footer is not verified")            \
    M(SNAP_OLD_FALLBACK, "a damaged newest snapshot: the older one is used")   \
    M(SNAP_ID_UNCHECKED, "a snapshot of another cluster is taken")             \
    M(MARK_VOUCHES, "writing goes on over what lies behind an orderly end")    \
    M(RECYCLE_FOUND, "log files of an earlier process are used again")         \
    M(RECYCLE_LARGE, "a log file with a very large entry is used again")       \
    M(REPAIR_SAME_ID, "a log whose end cannot be told keeps its id")

#endif
