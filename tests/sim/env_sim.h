/* The seam of base/env.h, simulated: many machines in one process and one
 * thread, on virtual time, driven by one seed.
 *
 * struct sim   virtual clock, one heap of events ordered by (time, number),
 *              one random generator, machines, links, connections.
 * host         a machine: an address, a kernel that goes on while its
 *              process is paused, a boot clock with drift, a wall clock that
 *              can be stepped. Hosts are small numbers: 0, 1, 2, ...
 * struct env   one process on a host. Nodes get a new one with each start,
 *              clients have one for the whole run.
 *
 * A process runs in turns, as under libuv: all that has come in is handed to
 * its callbacks, then env_turn(), then its output leaves. Disk calls made on
 * the loop keep it busy for what the disk says they cost, and the turn's
 * output leaves only after that.
 *
 * The same seed and the same calls give the same run: sim_trace() is a hash
 * over every event and every byte delivered. */
#ifndef HF_TESTS_SIM_ENV_SIM_H
#define HF_TESTS_SIM_ENV_SIM_H

#include "base/env.h"
#include "base/rng.h"

struct sim;

enum {
    SIM_HOSTS = 16,          /* machines in one simulation */
    SIM_SOCKBUF = 256 << 10, /* bytes a connection holds in each direction
                                between the two processes */
    SIM_RTO_US = 200000,     /* first retransmission; doubles from there */
    SIM_LOST_RTO_MAX_US = 1600000, /* of a segment lost again and again */
    SIM_RTO_TOP_US = 3200000,
};

/* How the simulator talks to a simulated disk; set once per simulation. */
struct sim_disk_ops {
    /* Microseconds that the calls since the last question took. */
    uint64_t (*take_cost_us)(struct disk *d);
    /* After @k more calls that change anything, nothing has effect. */
    void (*dies_after)(struct disk *d, uint64_t k);
    /* That has happened. */
    bool (*dead)(struct disk *d);
};

struct sim *sim_new(uint64_t seed);
void sim_free(struct sim *s); /* with all its envs and connections */
void sim_set_disk_ops(struct sim *s, const struct sim_disk_ops *ops);

uint64_t sim_now_us(const struct sim *s);
uint64_t sim_trace(const struct sim *s); /* hash of everything so far */
uint64_t sim_events(const struct sim *s);
/* Mix @v into the trace: for what users of the simulation observe. */
void sim_trace_mix(struct sim *s, uint64_t v);
/* The one generator. */
struct rng *sim_rng(struct sim *s);

/* Run the next event if it is due at or before @until_us: true. Else false,
 * and the clock stands at @until_us. */
bool sim_step(struct sim *s, uint64_t until_us);
/* Call @fn(data) at @at_us, outside of every process. No way to cancel. */
void sim_at(struct sim *s, uint64_t at_us, void (*fn)(void *data), void *data);

/* ---- machines ---- */
/* @addr is what others dial, without port: "10.0.0.1". Starts powered, with
 * its boot clock at a random place. */
int sim_host(struct sim *s, const char *addr);
/* SIGSTOP and SIGCONT of its process, threads included; the kernel goes on. */
void sim_host_pause(struct sim *s, int host, bool paused);
bool sim_host_paused(const struct sim *s, int host);
/* Cut the power, or give it back: no packet is answered meanwhile, open
 * connections stay half open at their other ends, the boot clock restarts.
 * Kill the process first. */
void sim_host_power(struct sim *s, int host, bool up);
void sim_host_wall_step(struct sim *s, int host, int64_t ms);
/* Rate error of its clocks in parts per million, -1000 to 1000. */
void sim_host_drift(struct sim *s, int host, int ppm);

/* ---- links: one per ordered pair of hosts ---- */
struct sim_link {
    bool blocked;        /* packets vanish; TCP tries again */
    uint32_t lat_min_us; /* one way; each segment draws its own, but the
                            order within a connection stays */
    uint32_t lat_max_us;
    uint32_t loss_permille;  /* segments that arrive only after a stall */
    uint32_t bytes_per_ms;   /* bandwidth per connection; 0: no limit */
    uint32_t split_permille; /* segments handed over in random pieces */
};
struct sim_link *sim_link(struct sim *s, int from, int to);
/* After lowering a link's blocked flag: what waited for acknowledgement may
 * go on. Retransmissions come when their timers say. */
void sim_link_healed(struct sim *s, int from, int to);
/* Reset every connection between the two hosts, seen by both ends. */
void sim_reset_conns(struct sim *s, int a, int b);

/* ---- processes ---- */
/* @disk may be NULL. @on_exit (may be NULL) is called outside of the
 * process's stack when it ended itself by sim_env_exit() or its disk died
 * under it; it is then dead, as after sim_env_kill(). */
struct env *sim_env_new(struct sim *s,
                        int host,
                        struct disk *disk,
                        void (*on_exit)(void *data, struct env *e, int status),
                        void *data);
enum sim_kill {
    SIM_KILLED,    /* SIGKILL: the kernel closes its connections */
    SIM_POWER_CUT, /* nothing is closed; then sim_host_power(, , false) */
};
enum { SIM_EXIT_DISK = -1 }; /* on_exit status: the disk died under it */
/* The process is no more: no callback of it runs again. Work that was handed
 * over and had not begun is run now, on a disk that dies after a random
 * number of calls, so that a crash can fall between any two of them. All
 * calls on the dead env are then harmless, for freeing what it owned. */
void sim_env_kill(struct env *e, enum sim_kill how);
/* The simulated exit(): ends the process at once, in the middle of whatever
 * it was doing, and does not return. Only from callbacks of @e and from
 * env_work.fn; its memory is leaked, as nobody can tell its state. */
_Noreturn void sim_env_exit(struct env *e, int status);
/* Free a dead env. Its connections and listeners are freed too. */
void sim_env_free(struct env *e);
bool sim_env_dead(const struct env *e);
/* Run @fn(data) inside the process @e as part of its next turn: for starting
 * things in it from outside. Dropped if it dies before. */
void sim_env_post(struct env *e, void (*fn)(void *data), void *data);
struct sim *sim_of(struct env *e);
int sim_env_host(const struct env *e);

#endif
