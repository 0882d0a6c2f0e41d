/* holdfast-storm: storage faults on a disk in memory.
 *
 *   holdfast-storm flips|cuts|errors|files [--seed S] [--points N]
 *                  [--from N] [--jobs N] [--quiet] [--mutant NAME]
 *
 * flips   every bit of log, vote files, snapshot and identity
 * cuts    the power fails in the middle of every changing call of scripts
 * errors  a disk call fails, each in turn, of a script of 1,000 operations
 * files   every file cut short, missing, swapped, of another node
 *
 * Points are taken from ordinal --from on; without it, and with fewer than
 * there are, they are spread evenly over all. The last line is for the
 * ledger. Status: 0 all held, 1 some did not, 2 usage. */
#include <errno.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "tests/args.h"
#include "tests/storage/sweep.h"

enum { JOBS_MAX = 64, PROGRESS_S = 10 };

static const struct sweep *const sweeps[] = {&sweep_flips, &sweep_cuts,
                                             &sweep_errors, &sweep_files};

struct options {
    const struct sweep *sweep;
    uint64_t seed;
    uint64_t points; /* 0: all there are */
    uint64_t from;
    bool have_from;
    bool quiet;
    int jobs;
};

/* What the jobs share: the next ordinal to take, and what each found. */
struct shared {
    uint64_t next;
    uint64_t points;
    struct tally job[JOBS_MAX];
};

/* Which ordinals: from + i * (span / n), i below n. */
struct plan {
    uint64_t from;
    uint64_t span;
    uint64_t n;
    uint64_t stop_points; /* scripts without end stop after so many */
};

void tally_add(struct tally *t, int row, enum outcome o)
{
    hf_assert(row >= 0 && row < SWEEP_ROWS);
    t->n[row][o]++;
    t->points++;
}

void tally_fail(struct tally *t, int row, const char *fmt, ...)
{
    va_list ap;

    tally_add(t, row, SILENT);
    if (t->failures < SWEEP_TEXTS) {
        va_start(ap, fmt);
        vsnprintf(t->text[t->failures], sizeof t->text[0], fmt, ap);
        va_end(ap);
    }
    t->failures++;
}

static uint64_t ordinal_of(const struct plan *p, uint64_t i)
{
    return p->from +
           (p->span == p->n ? i : (uint64_t)((__uint128_t)i * p->span / p->n));
}

static void job(const struct sweep *s,
                const struct plan *p,
                struct shared *sh,
                struct tally *t)
{
    for (;;) {
        uint64_t i = __atomic_fetch_add(&sh->next, 1, __ATOMIC_RELAXED);
        uint64_t before = t->points;

        if (i >= p->n ||
            __atomic_load_n(&sh->points, __ATOMIC_RELAXED) >= p->stop_points) {
            return;
        }
        s->one(ordinal_of(p, i), t);
        __atomic_fetch_add(&sh->points, t->points - before, __ATOMIC_RELAXED);
    }
}

static double seconds_since(const struct timespec *t0)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)(t.tv_sec - t0->tv_sec) +
           (double)(t.tv_nsec - t0->tv_nsec) / 1e9;
}

/* One process a job: one that crashes is a failure and not the end. Returns
 * how many crashed. */
static uint64_t run_jobs(const struct options *o,
                         const struct plan *p,
                         struct shared *sh)
{
    struct timespec t0;
    uint64_t crashed = 0;
    double shown = 0;
    int left = 0;

    clock_gettime(CLOCK_MONOTONIC, &t0);
    fflush(stdout);
    for (int i = 0; i < o->jobs; i++, left++) {
        pid_t pid = fork();

        hf_assert(pid >= 0);
        if (pid == 0) {
            job(o->sweep, p, sh, &sh->job[i]);
            exit(0);
        }
    }
    while (left > 0) {
        int status;
        pid_t pid = waitpid(-1, &status, WNOHANG);
        double s = seconds_since(&t0);

        if (pid > 0) {
            left--;
            crashed += !WIFEXITED(status) || WEXITSTATUS(status) != 0;
            continue;
        }
        if (!o->quiet && s - shown >= PROGRESS_S) {
            shown = s;
            fprintf(stderr, "%s: %llu points, %.0f s, at %s %llu\n",
                    o->sweep->name, (unsigned long long)sh->points, s,
                    o->sweep->unit,
                    (unsigned long long)ordinal_of(p, sh->next));
        }
        usleep(10000);
    }
    return crashed;
}

static void merge(struct tally *to, const struct tally *t)
{
    for (int r = 0; r < SWEEP_ROWS; r++) {
        for (int k = 0; k < OUTCOMES; k++) {
            to->n[r][k] += t->n[r][k];
        }
    }
    for (uint64_t i = 0; i < t->failures && i < SWEEP_TEXTS; i++) {
        if (to->failures + i < SWEEP_TEXTS) {
            memcpy(to->text[to->failures + i], t->text[i], sizeof t->text[i]);
        }
    }
    to->points += t->points;
    to->failures += t->failures;
}

static void print_table(const struct sweep *s, const struct tally *t)
{
    printf("%-20s %10s %10s %10s %10s %8s\n", s->name, "points", "identical",
           "reported", "residue", "silent");
    for (int r = 0; r < SWEEP_ROWS && s->rows[r] != NULL; r++) {
        const uint64_t *n = t->n[r];

        printf("%-20s %10llu %10llu %10llu %10llu %8llu\n", s->rows[r],
               (unsigned long long)(n[0] + n[1] + n[2] + n[3]),
               (unsigned long long)n[SAME], (unsigned long long)n[REPORTED],
               (unsigned long long)n[RESIDUE], (unsigned long long)n[SILENT]);
    }
    for (uint64_t i = 0; i < t->failures && i < SWEEP_TEXTS; i++) {
        printf("FAILED %s\n", t->text[i]);
    }
}

static int run(const struct options *o)
{
    struct tally *all = calloc(1, sizeof *all);
    struct shared *sh = mmap(NULL, sizeof *sh, PROT_READ | PROT_WRITE,
                             MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct timespec t0;
    struct plan p = {.from = o->from, .stop_points = UINT64_MAX};
    uint64_t total;
    uint64_t crashed;
    uint64_t last;

    clock_gettime(CLOCK_MONOTONIC, &t0);
    hf_assert(all != NULL && sh != MAP_FAILED);
    total = o->sweep->begin(o->seed);
    p.span = total - (o->from < total ? o->from : total);
    p.n = p.span;
    if (total == UINT64_MAX) {
        p.stop_points = o->points == 0 ? 100000 : o->points;
    } else if (o->points != 0 && o->points < p.span) {
        p.n = o->points;
        p.span = o->have_from ? p.n : p.span;
    }
    crashed = run_jobs(o, &p, sh);
    o->sweep->end();
    for (int i = 0; i < o->jobs; i++) {
        merge(all, &sh->job[i]);
    }
    if (crashed > 0) {
        tally_fail(all, 0, "%llu processes ended early (near %s %llu)",
                   (unsigned long long)crashed, o->sweep->unit,
                   (unsigned long long)ordinal_of(&p, sh->next));
    }
    print_table(o->sweep, all);
    last = sh->next < p.n ? sh->next : p.n;
    last = last == 0 ? p.from : ordinal_of(&p, last - 1);
    printf(
        "%s: seed=%llu from=%llu to=%llu of=%llu count=%llu failures=%llu "
        "seconds=%.1f\n",
        o->sweep->name, (unsigned long long)o->seed, (unsigned long long)p.from,
        (unsigned long long)last, (unsigned long long)total,
        (unsigned long long)all->points, (unsigned long long)all->failures,
        seconds_since(&t0));
    crashed = all->failures + (all->points == 0);
    free(all);
    munmap(sh, sizeof *sh);
    return crashed == 0 ? 0 : 1;
}

static void usage(void)
{
    fprintf(stderr,
            "usage: holdfast-storm flips|cuts|errors|files\n"
            "  --seed S       of the scripts (1)\n"
            "  --points N     at most, or at least where there is no end\n"
            "  --from N       first ordinal (0)\n"
            "  --jobs N       processes at once (one a processor)\n"
            "  --mutant NAME  with this deliberate fault\n"
            "  --quiet        no progress\n");
    exit(2);
}

static void parse(int argc, char **argv, struct options *o)
{
    for (size_t i = 0; argc > 1 && i < sizeof sweeps / sizeof *sweeps; i++) {
        if (strcmp(argv[1], sweeps[i]->name) == 0) {
            o->sweep = sweeps[i];
        }
    }
    for (int i = 2; i < argc; i++) {
        const char *v = i + 1 < argc ? argv[i + 1] : NULL;

        if (strcmp(argv[i], "--quiet") == 0) {
            o->quiet = true;
            continue;
        }
        if (strcmp(argv[i], "--seed") == 0) {
            o->seed = arg_number(v, usage);
        } else if (strcmp(argv[i], "--points") == 0) {
            o->points = arg_number(v, usage);
        } else if (strcmp(argv[i], "--from") == 0) {
            o->from = arg_number(v, usage);
            o->have_from = true;
        } else if (strcmp(argv[i], "--jobs") == 0) {
            o->jobs = (int)arg_number(v, usage);
        } else if (strcmp(argv[i], "--mutant") == 0) {
            arg_mutant(v);
        } else {
            usage();
        }
        i++;
    }
    if (o->sweep == NULL || o->jobs < 1 || o->jobs > JOBS_MAX) {
        usage();
    }
}

int main(int argc, char **argv)
{
    struct options o = {.seed = 1, .jobs = (int)sysconf(_SC_NPROCESSORS_ONLN)};

    /* Disks come and go by the million: keep their memory. */
    mallopt(M_MMAP_THRESHOLD, 1 << 30);
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
    parse(argc, argv, &o);
    return run(&o);
}
