/* Every bound of the system, each with what happens on reaching it.
 * docs/OPERATIONS.md lists the ones that settings can change. */
#ifndef HF_BASE_LIMITS_H
#define HF_BASE_LIMITS_H

/* Defaults of the settings election-timeout and heartbeat (ms); chosen from
 * measured failovers and from full load on small machines, where no leader may
 * be replaced (./dev failover). Text of a setting, too, so no enum. */
#define LIM_ELECTION_MS 250
#define LIM_HEARTBEAT_MS 50

enum {
    LIM_NODES = 7,         /* members incl. learners; beyond: refused */
    LIM_SEATS = 5,         /* seats of kv init */
    LIM_ADDR = 128,        /* bytes of "host:port", NUL included */
    LIM_KEY = 1 << 16,     /* bytes of a key; beyond: -ERR */
    LIM_REQUEST = 8 << 20, /* bytes of one request (setting, at most 64M) */
    LIM_REQUEST_TOP = 64 << 20,
    LIM_ARGS = 1 << 17,                 /* arguments of one request */
    LIM_INLINE = 64 << 10,              /* bytes of an inline command */
    LIM_BATCH = 1 << 20,                /* bytes at which a batch closes */
    LIM_ENTRY = (64 << 20) + (1 << 20), /* bytes of one log entry */
    LIM_PEER_CHUNK = 64 << 10,          /* bytes of one peer frame */
    LIM_PARKED_BYTES = 64 << 20, /* parked requests; beyond: sockets unread */
    LIM_PARKED = 10000,
    LIM_READING = 10000,          /* reads that wait for a round; the same */
    LIM_SESSION_WINDOW = 16384,   /* numbered, unresolved requests per node;
                                     beyond: they stay parked */
    LIM_SESSION_BYTES = 64 << 20, /* of those, unless it is one alone */
    LIM_SAVED_REPLY = 64 << 10,   /* saved reply of a named request */
    LIM_EXPIRE_PER_ENTRY = 1000,
    LIM_NAMED = 100000,            /* open named sessions; beyond: refused */
    LIM_SAVED_REPLIES = 256 << 20, /* bytes of all saved replies; beyond: kept
                                      as "too large to save" */
    LIM_USERS = 1000,              /* users; beyond, and below: refused */
    LIM_USERS_BYTES = 1 << 20,     /* of all that is kept of them */
    LIM_USER_NAME = 128,           /* bytes */
    LIM_USER_PASSWORDS = 32,       /* of one user */
    LIM_USER_SELECTORS = 16,       /* of one user */
    LIM_USER_RULES = 512,          /* on commands, of a selector */
    LIM_USER_PATTERNS = 256,       /* of keys, and of channels, of a selector */
    LIM_USER_PATTERN = 1024,       /* bytes */
    LIM_PASSWORD = 1024,           /* bytes; a longer one is wrong */
};

#endif
