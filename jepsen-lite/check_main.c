/* holdfast-check FOLDER: judge a saved run (HISTORY.md). */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "jepsen-lite/check.h"

static const char usage[] =
    "usage: holdfast-check [--states N] [--ok-min N] [--quiet] FOLDER\n"
    "Judges FOLDER/{run.json,history.jsonl,nemesis.jsonl}; writes "
    "verdict.txt,\n"
    "verdict.json and timeline.html beside them, prints verdict.txt.\n"
    "  --states N  give up a search after N states (3000000): unknown\n"
    "  --ok-min N  operations that must have succeeded (100), else void\n"
    "  --quiet     print only the first line\n"
    "Exit: 0 valid, 1 a violation, 2 usage or unreadable, 3 unknown or void.\n";

/* A report into @folder/@name. False: not written, and said so. */
static bool write_report(const struct check *c,
                         const char *folder,
                         const char *name,
                         void (*print)(const struct check *, FILE *))
{
    char file[4096];
    FILE *f;
    bool failed;

    snprintf(file, sizeof(file), "%s/%s", folder, name);
    f = fopen(file, "w");
    if (f == NULL) {
        fprintf(stderr, "holdfast-check: create %s: %s\n", file,
                strerror(errno));
        return false;
    }
    print(c, f);
    failed = ferror(f) != 0;
    if (fclose(f) != 0 || failed) {
        fprintf(stderr, "holdfast-check: write %s: %s\n", file,
                strerror(errno));
        return false;
    }
    return true;
}

static int judge(const char *folder,
                 uint64_t states_max,
                 uint64_t ok_min,
                 bool quiet)
{
    struct errmsg e = {{0}};
    struct history *h = history_new();
    struct check c;
    int status = CHECK_UNREADABLE;

    if (history_load(h, folder, &e) != 0) {
        fprintf(stderr, "holdfast-check: %s\n", e.text);
        history_free(h);
        return status;
    }
    check_init(&c, h);
    c.states_max = states_max > 0 ? states_max : c.states_max;
    c.ok_min = ok_min > 0 ? ok_min : c.ok_min;
    status = check_run(&c);
    if (!write_report(&c, folder, "verdict.txt", check_text) ||
        !write_report(&c, folder, "verdict.json", check_json) ||
        !write_report(&c, folder, "timeline.html", check_timeline)) {
        status = CHECK_UNREADABLE;
    }
    if (quiet) {
        printf("verdict: %s\n", check_word(status));
    } else {
        check_text(&c, stdout);
    }
    check_release(&c);
    history_free(h);
    return status;
}

/* A number above 0, or 0 if @s is none. */
static uint64_t number(const char *s)
{
    char *end;
    unsigned long long n = strtoull(s, &end, 10);

    return *s >= '0' && *s <= '9' && *end == '\0' ? n : 0;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"states", required_argument, NULL, 's'},
        {"ok-min", required_argument, NULL, 'o'},
        {"quiet", no_argument, NULL, 'q'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    uint64_t states_max = 0;
    uint64_t ok_min = 0;
    bool quiet = false;
    bool good = true;
    int ch;

    while ((ch = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        switch (ch) {
            case 's':
                states_max = number(optarg);
                good &= states_max > 0;
                break;
            case 'o':
                ok_min = number(optarg);
                good &= ok_min > 0;
                break;
            case 'q':
                quiet = true;
                break;
            case 'h':
                fputs(usage, stdout);
                return 0;
            default:
                good = false;
                break;
        }
    }
    if (!good || optind + 1 != argc) {
        fputs(usage, stderr);
        return CHECK_UNREADABLE;
    }
    return judge(argv[optind], states_max, ok_min, quiet);
}
