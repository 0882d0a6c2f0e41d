/* holdfast-sim: simulated clusters by seed.
 *
 *   holdfast-sim --seed S            one run; the same every time
 *   holdfast-sim --seeds N [--from S]
 *   holdfast-sim --minutes M [--from S]
 *   --nodes 3|5|mix   --mutant NAME   --verbose   --stop   --jobs N
 *
 * Seeds run in processes of their own, so that one that crashes is a failed
 * seed and not the end. Every 100th runs twice and must leave the same
 * trace. Status: 0 all held, 1 some did not, 2 usage. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "tests/args.h"
#include "tests/sim/seed.h"

enum {
    JOBS_MAX = 64,
    CHUNK = 8,        /* seeds of one process */
    TWICE = 100,      /* every so many-th seed is run twice */
    RARE_PERCENT = 5, /* of so many seeds or more */
    RARE_SEEDS = 300,
    SHOW_MAX = 20, /* failures that are printed */
};

struct options {
    struct seed_options seed;
    uint64_t from;
    uint64_t seeds;   /* 0: no limit */
    uint64_t minutes; /* 0: no limit */
    bool one;
    bool stop;
    int jobs;
};

struct totals {
    uint64_t seeds;
    uint64_t failed;
    uint64_t virtual_us;
    uint64_t events;
    uint64_t twice;
    uint64_t count[SEED_COUNTS];
    uint64_t present[SEED_COUNTS];
};

struct job {
    pid_t pid; /* 0: idle */
    int fd;
    uint64_t next; /* the seed whose result comes next */
    uint64_t end;
};

static const char *commit(void)
{
    const char *env = getenv("HF_COMMIT");

#ifdef HF_COMMIT
    return env != NULL && *env != '\0' ? env : HF_COMMIT;
#else
    return env != NULL && *env != '\0' ? env : "unknown";
#endif
}

static void add(struct totals *t, const struct seed_result *r)
{
    t->seeds++;
    t->failed += !r->ok;
    t->virtual_us += r->virtual_us;
    t->events += r->events;
    t->twice += r->seed % TWICE == 0;
    for (int i = 0; i < SEED_COUNTS; i++) {
        t->count[i] += r->count[i];
        t->present[i] += r->count[i] != 0;
    }
    if (!r->ok && t->failed <= SHOW_MAX) {
        printf("FAILED seed %llu (%d nodes, commit %s): %s\n",
               (unsigned long long)r->seed, r->nodes, commit(), r->text);
        fflush(stdout);
    }
}

/* A seed, and the same once more now and then. */
static void run_checked(uint64_t seed,
                        const struct seed_options *opt,
                        struct seed_result *out)
{
    struct seed_result second;

    seed_run(seed, opt, out);
    if (seed % TWICE == 0 && out->ok) {
        seed_run(seed, opt, &second);
        if (second.trace != out->trace) {
            out->ok = false;
            snprintf(out->text, sizeof out->text,
                     "run twice: two traces, %016llx and %016llx",
                     (unsigned long long)out->trace,
                     (unsigned long long)second.trace);
        }
    }
}

static void write_all(int fd, const void *p, size_t n)
{
    const char *at = p;

    while (n > 0) {
        ssize_t k = write(fd, at, n);

        if (k < 0 && errno == EINTR) {
            continue;
        }
        if (k <= 0) {
            _exit(3);
        }
        at += k;
        n -= (size_t)k;
    }
}

static void job_begin(struct job *j,
                      const struct options *o,
                      uint64_t from,
                      uint64_t end)
{
    int fds[2];

    hf_assert(pipe(fds) == 0);
    fflush(stdout);
    j->pid = fork();
    hf_assert(j->pid >= 0);
    if (j->pid == 0) {
        close(fds[0]);
        for (uint64_t s = from; s < end; s++) {
            struct seed_result r;

            run_checked(s, &o->seed, &r);
            write_all(fds[1], &r, sizeof r);
        }
        exit(0); /* with what sanitizers have to say about leaks */
    }
    close(fds[1]);
    j->fd = fds[0];
    j->next = from;
    j->end = end;
}

static bool read_result(int fd, struct seed_result *r)
{
    char *at = (char *)r;
    size_t n = sizeof *r;

    while (n > 0) {
        ssize_t k = read(fd, at, n);

        if (k < 0 && errno == EINTR) {
            continue;
        }
        if (k <= 0) {
            return false;
        }
        at += k;
        n -= (size_t)k;
    }
    return true;
}

/* Take one result, or see that the process has ended, and how. */
static void job_read(struct job *j, const struct options *o, struct totals *t)
{
    struct seed_result r;
    int status = 0;
    uint64_t next;

    if (read_result(j->fd, &r)) {
        add(t, &r);
        j->next = r.seed + 1;
        return;
    }
    close(j->fd);
    waitpid(j->pid, &status, 0);
    j->pid = 0;
    if (j->next >= j->end && status == 0) {
        return;
    }
    memset(&r, 0, sizeof r);
    r.seed = j->next;
    snprintf(r.text, sizeof r.text, "the process ended: %s %d",
             WIFSIGNALED(status) ? "signal" : "status",
             WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    add(t, &r);
    next = j->next + 1;
    if (next < j->end && !(o->stop && t->failed > 0)) {
        job_begin(j, o, next, j->end);
    }
}

static bool more(const struct options *o,
                 const struct totals *t,
                 uint64_t next,
                 time_t start)
{
    if (o->stop && t->failed > 0) {
        return false;
    }
    if (o->minutes != 0 && (uint64_t)(time(NULL) - start) >= o->minutes * 60) {
        return false;
    }
    return o->seeds == 0 || next < o->from + o->seeds;
}

static void run_all(const struct options *o, struct totals *t)
{
    struct job jobs[JOBS_MAX] = {{0}};
    uint64_t next = o->from;
    time_t start = time(NULL);

    for (;;) {
        struct pollfd fds[JOBS_MAX];
        int n = 0;
        int who[JOBS_MAX];

        for (int i = 0; i < o->jobs; i++) {
            if (jobs[i].pid == 0 && more(o, t, next, start)) {
                uint64_t end = next + CHUNK;

                if (o->seeds != 0 && end > o->from + o->seeds) {
                    end = o->from + o->seeds;
                }
                job_begin(&jobs[i], o, next, end);
                next = end;
            }
            if (jobs[i].pid != 0) {
                fds[n] = (struct pollfd){jobs[i].fd, POLLIN, 0};
                who[n++] = i;
            }
        }
        if (n == 0) {
            return;
        }
        if (poll(fds, (nfds_t)n, -1) < 0) {
            continue;
        }
        for (int i = 0; i < n; i++) {
            if (fds[i].revents != 0) {
                job_read(&jobs[who[i]], o, t);
            }
        }
    }
}

static bool report(const struct totals *t)
{
    bool rare = false;

    printf("%llu seeds, %.1f virtual hours, %llu events, commit %s\n",
           (unsigned long long)t->seeds, (double)t->virtual_us / 3.6e9,
           (unsigned long long)t->events, commit());
    for (int i = 0; i < SEED_COUNTS; i++) {
        double percent = t->seeds == 0
                             ? 0
                             : 100.0 * (double)t->present[i] / (double)t->seeds;

        printf("%12llu %-24s in %5.1f %% of the seeds\n",
               (unsigned long long)t->count[i],
               seed_count_name((enum seed_count)i), percent);
        if (t->seeds >= RARE_SEEDS && percent < RARE_PERCENT) {
            rare = true;
            printf("             that is too rare to mean anything\n");
        }
    }
    printf("%llu seeds run twice with the same trace\n",
           (unsigned long long)t->twice);
    printf("seeds: %llu passed, %llu failed\n",
           (unsigned long long)(t->seeds - t->failed),
           (unsigned long long)t->failed);
    return t->failed == 0 && !rare;
}

static void usage(void)
{
    fprintf(stderr,
            "usage: holdfast-sim --seed S | --seeds N | --minutes M\n"
            "  --from S         first seed (1)\n"
            "  --nodes 3|5|mix  size of the clusters (mix)\n"
            "  --mutant NAME    with this deliberate fault\n"
            "  --jobs N         processes at once (one a processor)\n"
            "  --stop           end at the first failure\n"
            "  --verbose        print everything that happens\n");
    exit(2);
}

static void parse(int argc, char **argv, struct options *o)
{
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i];
        const char *v = i + 1 < argc ? argv[i + 1] : NULL;

        if (strcmp(a, "--verbose") == 0) {
            o->seed.verbose = true;
            continue;
        }
        if (strcmp(a, "--stop") == 0) {
            o->stop = true;
            continue;
        }
        i++;
        if (strcmp(a, "--seed") == 0) {
            o->from = arg_number(v, usage);
            o->one = true;
        } else if (strcmp(a, "--seeds") == 0) {
            o->seeds = arg_number(v, usage);
        } else if (strcmp(a, "--from") == 0) {
            o->from = arg_number(v, usage);
        } else if (strcmp(a, "--minutes") == 0) {
            o->minutes = arg_number(v, usage);
        } else if (strcmp(a, "--jobs") == 0) {
            o->jobs = (int)arg_number(v, usage);
        } else if (strcmp(a, "--nodes") == 0 && v != NULL) {
            o->seed.nodes =
                strcmp(v, "mix") == 0 ? 0 : (int)arg_number(v, usage);
        } else if (strcmp(a, "--mutant") == 0) {
            arg_mutant(v);
        } else {
            usage();
        }
    }
    if ((o->seeds == 0 && o->minutes == 0 && !o->one) || o->jobs < 1 ||
        o->jobs > JOBS_MAX || o->seed.nodes < 0 || o->seed.nodes > 5) {
        usage();
    }
}

int main(int argc, char **argv)
{
    struct options o = {.from = 1, .jobs = (int)sysconf(_SC_NPROCESSORS_ONLN)};
    struct totals t = {0};

    parse(argc, argv, &o);
    if (o.one) {
        struct seed_result r;

        run_checked(o.from, &o.seed, &r);
        add(&t, &r);
        printf("trace %016llx\n", (unsigned long long)r.trace);
    } else {
        run_all(&o, &t);
    }
    return report(&t) ? 0 : 1;
}
