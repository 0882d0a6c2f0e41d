/* Faults of disks: what diskfault.so makes of them, loss of power by what
 * undo.so wrote down, directories that are gone, files that are damaged. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "jepsen-lite/nemesis.h"

enum {
    FILL_BYTES = 2 << 20, /* a new segment or two */
    FILL_PAUSE_MS = 300,
    FILLS_MAX = 8,
    ENDS_MS = 10000, /* a node with a failed disk ends */
    FILES_MAX = 64,
    DAMAGE_TRIES = 20,
    STARTS_MS = 8000
};

static uint64_t refused(const struct fault *f)
{
    uint64_t n = 0;

    for (int k = 0; k < f->nodes_n; k++) {
        n += CTL_GET(nem.node[f->nodes[k]].ctl, refused);
    }
    return n;
}

/* The leader, another one, or a majority. */
static bool claim_disks(struct fault *f)
{
    uint64_t p = rng_below(&f->rng, 4);

    return claim(f, p == 0 ? nem.majority : 1, p <= 2);
}

static void stall(struct fault *f)
{
    uint64_t n = 0;

    if (!claim_disks(f)) {
        return;
    }
    fault_begin(f, "disk stalls");
    for (int k = 0; k < f->nodes_n; k++) {
        struct fault_ctl *c = nem.node[f->nodes[k]].ctl;

        n -= CTL_GET(c, stalled);
        CTL_SET(c, stall, 1);
    }
    sleep_ms(300);
    nem_hold(f->hold_ms);
    for (int k = 0; k < f->nodes_n; k++) {
        struct fault_ctl *c = nem.node[f->nodes[k]].ctl;

        CTL_SET(c, stall, 0);
        n += CTL_GET(c, stalled);
    }
    /* A stall of many election timeouts ends a node by design. */
    sleep_ms(300);
    for (int k = 0; k < f->nodes_n; k++) {
        node_start(f->nodes[k], NULL);
    }
    fault_proof(f, "\"calls\":%llu", (unsigned long long)n);
    f->bit = n > 0;
}

struct filling {
    struct fault *f;
    uint64_t was;
    int fills;
};

/* A full node that is cut off as well gets none of it: there is an end to
 * what is written, or else the feed would be trimmed as it should be. */
static bool has_refused(void *arg)
{
    struct filling *a = arg;
    int leader = leader_now();

    if (refused(a->f) > a->was) {
        return true;
    }
    if (leader != 0 && a->fills < FILLS_MAX) {
        fill(leader, FILL_BYTES);
        a->fills++;
        sleep_ms(FILL_PAUSE_MS);
    }
    return false;
}

static void full(struct fault *f)
{
    struct filling a = {f, 0, 0};

    if (!claim_disks(f)) {
        return;
    }
    fault_begin(f, "disk full");
    a.was = refused(f);
    for (int k = 0; k < f->nodes_n; k++) {
        CTL_SET(nem.node[f->nodes[k]].ctl, full, 1);
    }
    (void)nem_until(ENDS_MS, has_refused, &a);
    nem_hold(f->hold_ms);
    for (int k = 0; k < f->nodes_n; k++) {
        CTL_SET(nem.node[f->nodes[k]].ctl, full, 0);
    }
    fault_proof(f, "\"refused\":%llu",
                (unsigned long long)(refused(f) - a.was));
    f->bit = refused(f) > a.was;
}

/* The nodes end by themselves; after a while they are started again. */
static void ends(struct fault *f, uint64_t was)
{
    int gone = 0, clean = 0;

    for (int k = 0; k < f->nodes_n; k++) {
        int status = -1;

        if (node_gone(f->nodes[k], ENDS_MS, &status)) {
            gone++;
            clean += status == 0;
        } else {
            (void)node_kill(f->nodes[k]);
        }
    }
    nem_hold(f->hold_ms / 2);
    for (int k = 0; k < f->nodes_n; k++) {
        struct fault_ctl *c = nem.node[f->nodes[k]].ctl;

        CTL_SET(c, once, 0);
        CTL_SET(c, readonly, 0);
        node_start(f->nodes[k], NULL);
    }
    fault_proof(f, "\"refused\":%llu,\"ended\":%d,\"status0\":%d",
                (unsigned long long)(refused(f) - was), gone, clean);
    f->bit = gone == f->nodes_n && clean == 0 && refused(f) > was;
}

static void eio(struct fault *f)
{
    uint64_t was;

    if (!claim_disks(f)) {
        return;
    }
    fault_begin(f, "one write or sync fails");
    was = refused(f);
    for (int k = 0; k < f->nodes_n; k++) {
        CTL_SET(nem.node[f->nodes[k]].ctl, once, EIO);
    }
    ends(f, was);
}

static void readonly(struct fault *f)
{
    uint64_t was;

    if (!claim_disks(f)) {
        return;
    }
    fault_begin(f, "disk turns read-only");
    was = refused(f);
    for (int k = 0; k < f->nodes_n; k++) {
        CTL_SET(nem.node[f->nodes[k]].ctl, readonly, 1);
    }
    ends(f, was);
}

/* ---- power ---- */

/* What was not synced is gone. False when the log proves nothing. */
static bool take_back(struct fault *f, int i, char *text, size_t cap)
{
    return run(text, cap,
               "%s/tests/fault/powercut %llu %s/nodes/n%d "
               "%s/nodes/n%d.undo 2>&1 | tr -d '\\n\"'; test -s "
               "%s/nodes/n%d.undo",
               nem.tools, (unsigned long long)(rng_next(&f->rng) >> 32),
               nem.dir, i, nem.dir, i, nem.dir, i) == 0 &&
           strncmp(text, "steps ", 6) == 0;
}

static void power_off(struct fault *f, int n, const char *text)
{
    char said[NEM_TEXT];
    int gone, cut = 0;

    if (!claim(f, n, rng_below(&f->rng, 2) == 0)) {
        return;
    }
    fault_begin(f, "power lost: %s", text);
    gone = nodes_kill(f->nodes, n);
    for (int k = 0; k < n; k++) {
        if (take_back(f, f->nodes[k], said, sizeof said)) {
            cut++;
        }
        if (k == 0) {
            fault_proof(f, "\"first\":\"%.60s\"", said);
        }
    }
    nem_hold(f->hold_ms / 2);
    for (int k = 0; k < n; k++) {
        node_start(f->nodes[k], NULL);
    }
    fault_proof(f, "\"gone\":%d,\"cut\":%d", gone, cut);
    /* One that has just been started may have written nothing yet. */
    f->bit = gone == n && cut > 0;
}

static void power_minority(struct fault *f)
{
    int most = nem.nodes - nem.majority;

    power_off(f, 1 + (int)rng_below(&f->rng, (uint64_t)most), "a minority");
}

static void power_all(struct fault *f)
{
    power_off(f, nem.nodes, "all");
}

/* ---- data that is gone or wrong ---- */

/* Started blank; true when the cluster is whole again, with another id. */
static bool rejoin(int i, uint64_t was)
{
    node_wipe(i);
    node_start(i, NULL);
    return cluster_whole(NEM_WHOLE_MS) && node_seen(i).id != was;
}

static void wipe(struct fault *f)
{
    int most = nem.nodes - nem.majority;
    int n = 1 + (int)rng_below(&f->rng, (uint64_t)most);
    uint64_t was[NEM_NODES] = {0};
    bool bit, back;

    if (!claim(f, n, rng_below(&f->rng, 3) == 0)) {
        return;
    }
    for (int k = 0; k < n; k++) {
        was[k] = node_seen(f->nodes[k]).id;
    }
    fault_begin(f, "directories lost");
    bit = nodes_kill(f->nodes, n) == n;
    for (int k = 0; bit && k < n; k++) {
        node_wipe(f->nodes[k]);
    }
    nem_hold(f->hold_ms / 2);
    for (int k = 0; k < n; k++) {
        node_start(f->nodes[k], NULL);
    }
    back = cluster_whole(NEM_WHOLE_MS);
    for (int k = 0; k < n; k++) {
        bit = bit && node_seen(f->nodes[k]).id != was[k];
    }
    fault_proof(f, "\"back\":%s", back ? "true" : "false");
    f->bit = bit && back;
}

/* Files of log and snap of node @i with content. */
static int files_of(int i, char path[FILES_MAX][NEM_PATH])
{
    static const char *const subs[] = {"log", "snap"};
    int n = 0;

    for (int s = 0; s < 2; s++) {
        char dir[NEM_PATH];
        struct dirent *e;
        DIR *d;

        snprintf(dir, sizeof dir, "%.400s/nodes/n%d/%s", nem.dir, i, subs[s]);
        d = opendir(dir);
        while (d != NULL && n < FILES_MAX && (e = readdir(d)) != NULL) {
            struct stat st;

            if (snprintf(path[n], NEM_PATH, "%s/%s", dir, e->d_name) <
                    NEM_PATH &&
                stat(path[n], &st) == 0 && S_ISREG(st.st_mode) &&
                st.st_size >= 8192) {
                n++;
            }
        }
        if (d != NULL) {
            closedir(d);
        }
    }
    return n;
}

/* Bytes of @path that are not zero are flipped, at @count places; how many. */
static int flip(struct fault *f, const char *path, int count)
{
    struct stat st;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    int done = 0;

    if (fd < 0) {
        return 0;
    }
    for (int tries = 0; fstat(fd, &st) == 0 && tries < 2000 && done < count;
         tries++) {
        off_t at = (off_t)rng_below(&f->rng, (uint64_t)st.st_size);
        unsigned char c;

        if (pread(fd, &c, 1, at) == 1 && c != 0) {
            c ^= (unsigned char)(1U << rng_below(&f->rng, 8));
            done += pwrite(fd, &c, 1, at) == 1;
        }
    }
    fsync(fd);
    close(fd);
    return done;
}

/* One way of damage by the seed; what it was, or NULL. */
static const char *damage_files(struct fault *f, int i)
{
    static char path[FILES_MAX][NEM_PATH];
    int n = files_of(i, path);
    const char *a, *b;
    struct stat st;

    if (n == 0) {
        return NULL;
    }
    a = path[rng_below(&f->rng, (uint64_t)n)];
    b = path[rng_below(&f->rng, (uint64_t)n)];
    switch (rng_below(&f->rng, 4)) {
        case 0:
            if (stat(a, &st) == 0 &&
                truncate(a, (off_t)rng_below(&f->rng, (uint64_t)st.st_size)) ==
                    0) {
                return "a file cut";
            }
            return NULL;
        case 1:
            if (a != b) {
                return run(NULL, 0, "mv %s %s.x && mv %s %s && mv %s.x %s", a,
                           a, b, a, a, b) == 0
                           ? "two files swapped"
                           : NULL;
            }
            return flip(f, a, 1) > 0 ? "a bit flipped" : NULL;
        case 2:
            return flip(f, a, 8) > 0 ? "eight bits flipped" : NULL;
        default:
            return flip(f, a, 1) > 0 ? "a bit flipped" : NULL;
    }
}

/* A node of whole files, stopped in order (so that what it acknowledged last
 * has a witness), then damaged. It repairs itself, or refuses to start and
 * comes back blank. */
static void damage(struct fault *f)
{
    const char *what = NULL;
    const char *outcome = "started";
    uint64_t id;
    bool back;
    int i;

    if (!claim(f, 1, rng_below(&f->rng, 3) == 0)) {
        return;
    }
    i = f->nodes[0];
    id = node_seen(i).id;
    fault_begin(f, "files damaged");
    (void)node_stop(i);
    /* A file may be a spare one, of zeros. */
    for (int tries = 0; what == NULL && tries < DAMAGE_TRIES; tries++) {
        what = damage_files(f, i);
    }
    nem_hold(f->hold_ms / 2);
    node_start(i, NULL);
    back = node_ready(i, STARTS_MS) && cluster_whole(STARTS_MS * 2);
    if (!back) {
        outcome = node_running(i) ? "not caught up" : "refused";
        (void)node_kill(i);
        back = rejoin(i, id);
    } else if (node_seen(i).id != id) {
        outcome = "new member";
    }
    fault_proof(f, "\"what\":\"%s\",\"outcome\":\"%s\",\"back\":%s",
                what == NULL ? "nothing" : what, outcome,
                back ? "true" : "false");
    f->bit = what != NULL && back;
}

const struct kind kinds_disk[] = {
    {"disk", "stall", stall, FAULT_LEADER},
    {"disk", "full", full, 0},
    {"disk", "eio", eio, FAULT_LEADER},
    {"disk", "read-only", readonly, FAULT_LEADER},
    {"power", "power-minority", power_minority, FAULT_KILLS},
    {"power", "power-all", power_all, FAULT_KILLS | FAULT_LEADER},
    {"wipe", "wipe", wipe, FAULT_DESTROYS | FAULT_KILLS},
    {"damage", "damage", damage, FAULT_DESTROYS},
    {NULL, NULL, NULL, 0},
};
