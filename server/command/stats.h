/* What a process counts of the commands that it answers: calls, time, errors,
 * the slow ones (SLOWLOG), and how long things took that clients wait for
 * (LATENCY). Plain memory; no clock of its own. Loop thread only.
 *
 * The time of a command is what its client waited for inside this process:
 * from the moment when its words were parsed until its reply was handed to
 * the socket. So it includes its turn behind earlier commands of the same
 * connection, the log's disk and the other members; it does not include the
 * network to the client. (In Redis it is the time of execution alone, which
 * says little where a write waits for a majority.)
 *
 * Bounds: STATS_ERRORS_MAX kinds of errors, STATS_EVENTS_MAX kinds of events
 * (more are not counted by name), STATS_SAMPLES samples of each event,
 * slow_max_len slow commands of at most STATS_SLOW_ARGS words of
 * STATS_SLOW_ARG bytes. */
#ifndef HF_SERVER_COMMAND_STATS_H
#define HF_SERVER_COMMAND_STATS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "server/command/command.h"

enum {
    STATS_BUCKETS = 8 * 40, /* eight to an octave of microseconds */
    STATS_ERRORS_MAX = 128,
    STATS_ERROR_NAME = 32,
    STATS_EVENTS_MAX = 16,
    STATS_EVENT_NAME = 24,
    STATS_SAMPLES = 160,
    STATS_SLOW_ARGS = 32,
    STATS_SLOW_ARG = 128,
    STATS_SLOW_BURST = 128,  /* slow commands kept of one second */
    STATS_SLOW_MAX = 100000, /* slowlog-max-len at most */
    STATS_ADDR = 64,
    STATS_RATES = 16, /* samples that a rate is the mean of */
    STATS_RATE_MS = 100,
};

struct stats_command {
    uint64_t calls;
    uint64_t us;
    uint64_t rejected; /* refused before it was begun: words, MOVED */
    uint64_t failed;   /* answered with an error otherwise */
    uint32_t buckets[STATS_BUCKETS];
};

struct stats_error {
    char name[STATS_ERROR_NAME];
    uint64_t count;
};

struct stats_sample {
    uint64_t unix_s;
    uint64_t ms;
};

/* One kind of event: the longest of each second, a ring. */
struct stats_event {
    char name[STATS_EVENT_NAME];
    struct stats_sample samples[STATS_SAMPLES];
    unsigned next;
    unsigned n;
    uint64_t max_ms; /* since the last reset */
};

struct stats_slow {
    struct stats_slow *older;
    struct stats_slow *newer;
    uint64_t id;
    uint64_t unix_s;
    uint64_t us;
    struct buf words; /* canonical array of bulks */
    struct buf name;  /* the connection's */
    char addr[STATS_ADDR];
};

enum stats_rate { RATE_COMMANDS, RATE_INPUT, RATE_OUTPUT, STATS_RATE_KINDS };

struct stats {
    struct stats_command **commands; /* by row; NULL: never called */
    struct stats_error errors[STATS_ERRORS_MAX];
    unsigned errors_n;
    struct stats_event events[STATS_EVENTS_MAX];
    unsigned events_n;

    struct stats_slow *slow; /* newest first */
    struct stats_slow *slow_oldest;
    uint64_t slow_n;
    uint64_t slow_id;     /* of the next */
    uint64_t slow_second; /* in which ... */
    unsigned slow_burst;  /* ... so many came */

    /* settings */
    int64_t slow_us; /* slower ones are kept; negative: none */
    uint64_t slow_max_len;
    uint64_t latency_ms; /* events as long as that; 0: none */

    /* rates, from stats_tick() */
    uint64_t tick_us;
    uint64_t tick_total[STATS_RATE_KINDS];
    uint64_t rates[STATS_RATE_KINDS][STATS_RATES]; /* per second */
    unsigned rate_next;
    uint64_t memory_peak;

    uint64_t hits; /* keys looked up by reads of this node, and found */
    uint64_t misses;
};

struct stats *stats_new(void);
void stats_free(struct stats *s);
/* CONFIG RESETSTAT: commands, errors, their times, hits, rates. */
void stats_reset(struct stats *s);

/* A command was answered after @us. @reply decides whether it failed and
 * counts its error. */
void stats_call(struct stats *s,
                const struct command *c,
                uint64_t us,
                struct bytes reply);
/* Refused before it was begun; @c NULL: it is no command. */
void stats_reject(struct stats *s, const struct command *c, struct bytes reply);
/* An error that belongs to no command. */
void stats_error(struct stats *s, struct bytes reply);
/* The calls in percent @p (0..100) took at most so many us; 0: no calls. */
double stats_percentile(const struct stats_command *c, double p);
/* The largest value of bucket @i, in us. */
uint64_t stats_bucket_top(unsigned i);

static inline bool stats_is_slow(const struct stats *s, uint64_t us)
{
    return s->slow_us >= 0 && us >= (uint64_t)s->slow_us && s->slow_max_len > 0;
}
struct stats_slow_call {
    const struct command *command;
    const struct bytes *argv; /* what is secret is left out */
    int argc;
    uint64_t us;
    uint64_t unix_s;
    const char *addr;
    struct bytes name;
};
/* May another one be added? Where everything is slow, not all of it is, unless
 * slow_us is 0: then all was asked for. */
bool stats_slow_room(struct stats *s, uint64_t now_us);
/* From this word on the words of a command may hold a password, also in what
 * names another command (TXN, ONCE, ACL DRYRUN, COMMAND GETKEYS), although it
 * may be refused; @argc: none does. */
int stats_secret_from(const struct command *c,
                      const struct bytes *argv,
                      int argc);
void stats_slow_add(struct stats *s, const struct stats_slow_call *call);
void stats_slow_reset(struct stats *s);
/* After a change of slow_max_len. */
void stats_slow_trim(struct stats *s);

/* @event took @ms; kept when that is the threshold at least. */
void stats_event(struct stats *s,
                 const char *event,
                 uint64_t ms,
                 uint64_t unix_s);
struct stats_event *stats_event_find(struct stats *s, struct bytes name);
/* @name NULL: all. How many there were. */
unsigned stats_event_reset(struct stats *s, const struct bytes *name);
/* Sample @i of @e, 0: the oldest. */
const struct stats_sample *stats_event_at(const struct stats_event *e,
                                          unsigned i);

/* Every now and then, with totals: takes a sample each STATS_RATE_MS. */
void stats_tick(struct stats *s,
                uint64_t now_us,
                const uint64_t totals[STATS_RATE_KINDS],
                uint64_t memory);
uint64_t stats_rate(const struct stats *s, enum stats_rate kind);

#endif
