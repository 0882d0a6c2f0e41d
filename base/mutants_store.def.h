/* Mutants of this part: M(NAME, "what is wrong with it"). */
#ifndef HF_BASE_MUTANTS_STORE_DEF_H
#define HF_BASE_MUTANTS_STORE_DEF_H

#define MUTANTS_STORE(M)                                                      \
    M(STORE_COW_IN_PLACE, "a node that a frozen root sees is changed")        \
    M(STORE_FREE_SHARED, "an item that a frozen root sees is freed at once")  \
    M(STORE_NO_EXPIRY, "deadlines are ignored by reads")                      \
    M(STORE_EXPIRE_LATE, "a key lives on in the millisecond of its deadline") \
    M(TTL_STANDS, "TTL does not count down while nothing is logged")          \
    M(STORE_EXPIRE_ALL, "removal per entry is not bounded")                   \
    M(STORE_REV_STUCK, "a change takes no new revision")                      \
    M(STORE_REV_EACH, "each change of a request takes its own revision")      \
    M(STORE_CREATE_REV_LOST, "an overwrite renews the creating revision")     \
    M(MACHINE_NO_DEDUP, "a number applied before is applied again")           \
    M(MACHINE_VOID_KEEPS, "a void does not take its number")                  \
    M(MACHINE_GAP_RUNS, "a number above last+1 is applied")                   \
    M(MACHINE_OPEN_TWICE, "an OPEN sent twice closes the session in use")     \
    M(MACHINE_OPEN_KEEPS, "opening does not restart a node's numbers")        \
    M(MACHINE_GONE_KEEPS, "a removed member's session stays open")            \
    M(MACHINE_TIME_BACK, "an entry stamp may take time back")                 \
    M(MACHINE_SNAP_NO_SESSIONS, "snapshots leave node sessions out")          \
    M(MACHINE_SNAP_NO_DEADLINE, "snapshots leave deadlines out")              \
    M(MACHINE_ID_REUSED, "a removed member's id is given out again")          \
    M(MACHINE_LIVE_HOLDER, "a JOIN takes a seat that is held")                \
    M(ONCE_REPLY_LOST, "the reply of a named request is not saved")           \
    M(ONCE_NO_DEDUP, "a named request runs again")                            \
    M(ONCE_COLD_IDLE, "downtime counts as idle time of named sessions")       \
    M(ONCE_NO_IDLE, "idle named sessions are kept for ever")                  \
    M(ONCE_ANYONE, "a named request of an unknown session runs")              \
    M(ONCE_OF_OTHERS, "a user may use named sessions of others")              \
    M(ONCE_GAP_RUNS, "a named request above last+1 runs")                     \
    M(ONCE_ANY_REPLY, "an earlier named request gets the last one's reply")   \
    M(ONCE_REPLY_UNBOUNDED, "saved replies have no limit")                    \
    M(MACHINE_ERROR_ENDS, "an error of one request ends its entry")           \
    M(ONCE_ENDS_EARLY, "named sessions end in a tenth of their idle time")    \
    M(WATCH_NO_EXPIRY, "WATCH and TXN take an expired key for unchanged")     \
    M(COMPARE_ABSENT, "IFEQ and IFDEQ are true of an absent key")             \
    M(COMPARE_IGNORED, "IFEQ, IFNE, IFDEQ, IFDNE are always true")            \
    M(SET_KEEPTTL_DROPS, "KEEPTTL drops the deadline")                        \
    M(MSETEX_SOME, "MSETEX stores although its condition is false")           \
    M(SETRANGE_TTL, "SETRANGE drops the deadline")                            \
    M(RENAME_TTL, "RENAME and COPY leave the deadline behind")                \
    M(RENAMENX_OVER, "RENAMENX replaces a key")                               \
    M(COPY_REPLACES, "COPY replaces without being told to")                   \
    M(FLOAT_DOUBLE, "INCRBYFLOAT computes with 53 bits")                      \
    M(DUMP_CRC, "RESTORE takes a dump with a wrong checksum")                 \
    M(DUMP_PACKS, "a DUMP in a transaction is packed")                        \
    M(CHANCE_LOCAL, "RANDOMKEY in a transaction differs between nodes")

#endif
