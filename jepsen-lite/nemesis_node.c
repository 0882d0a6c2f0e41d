/* The nodes as processes: started as scripts/cluster.sh does it (the words of
 * the command line are its), ended, stopped, chosen and claimed. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mutant.h"
#include "jepsen-lite/nemesis.h"

enum { CLAIM_MS = 4000, POLL_MS = 10 };

static void node_path(int i, const char *end, char out[NEM_PATH + 32])
{
    snprintf(out, NEM_PATH + 32, "%s/nodes/n%d%s", nem.dir, i, end);
}

/* ---- at start ---- */

static int read_argv(int i)
{
    char path[NEM_PATH + 32], line[NEM_PATH];
    struct node *n = &nem.node[i];
    int words = 0;
    FILE *f;

    node_path(i, ".argv", path);
    f = fopen(path, "re");
    if (f == NULL) {
        perror(path);
        return -1;
    }
    while (words < NEM_WORDS && fgets(line, sizeof line, f) != NULL) {
        size_t len;

        line[strcspn(line, "\n")] = '\0';
        len = strlen(line);
        n->argv[words] = strdup(line);
        if (len > 10 && strcmp(line + len - 10, "/holdfastd") == 0) {
            n->binary = n->argv[words];
        }
        words++;
    }
    fclose(f);
    return words > 0 && words < NEM_WORDS && n->binary != NULL ? 0 : -1;
}

static int map_ctl(int i)
{
    char path[NEM_PATH + 32];
    void *p;
    int fd;

    node_path(i, ".ctl", path);
    fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        perror(path);
        return -1;
    }
    p = mmap(NULL, sizeof(struct fault_ctl), PROT_READ | PROT_WRITE, MAP_SHARED,
             fd, 0);
    close(fd);
    nem.node[i].ctl = p;
    return p == MAP_FAILED ? -1 : 0;
}

int nodes_open(void)
{
    for (int i = 1; i <= nem.nodes; i++) {
        char path[NEM_PATH + 32];
        long pid = 0;
        FILE *f;

        node_path(i, ".pid", path);
        f = fopen(path, "re");
        if (f == NULL || fscanf(f, "%ld", &pid) != 1 || pid <= 1) {
            fprintf(stderr, "%s: no pid\n", path);
            return -1;
        }
        fclose(f);
        nem.node[i].pid = (pid_t)pid;
        if (read_argv(i) != 0 || map_ctl(i) != 0) {
            fprintf(stderr, "node %d: its files cannot be read\n", i);
            return -1;
        }
    }
    return 0;
}

/* ---- start ---- */

static void child(int i, char *const *argv)
{
    char path[NEM_PATH + 32];
    sigset_t none;
    int fd;

    node_path(i, ".log", path);
    fd = open(path, O_WRONLY | O_APPEND | O_CREAT, 0644);
    if (fd >= 0) {
        dup2(fd, 1);
        dup2(fd, 2);
    }
    fd = open("/dev/null", O_RDONLY);
    if (fd >= 0) {
        dup2(fd, 0);
    }
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid();
    execvp(argv[0], argv);
    _exit(127);
}

/* What undo.so wrote is of no use after a restart without a loss of power. */
static void forget_undo(int i)
{
    char log[NEM_PATH + 32], keep[NEM_PATH + 32];

    node_path(i, ".undo", log);
    node_path(i, ".keep", keep);
    if (access(log, F_OK) == 0) {
        run(NULL, 0, "rm -rf %s %s/*", log, keep);
    }
}

void node_start(int i, const char *binary)
{
    struct node *n = &nem.node[i];
    char path[NEM_PATH + 32];
    char *argv[NEM_WORDS + 1];
    pid_t pid;
    FILE *f;

    if (node_running(i)) {
        return;
    }
    forget_undo(i);
    for (int k = 0; k <= NEM_WORDS; k++) {
        argv[k] = n->argv[k];
        if (binary != NULL && argv[k] == n->binary) {
            argv[k] = (char *)(uintptr_t)binary;
        }
    }
    pid = fork();
    if (pid == 0) {
        child(i, argv);
    }
    if (pid < 0) {
        perror("fork");
        return;
    }
    pthread_mutex_lock(&nem.lock);
    n->pid = pid;
    n->owned = true;
    n->seen = (struct seen){0};
    pthread_mutex_unlock(&nem.lock);
    node_path(i, ".pid", path);
    f = fopen(path, "we");
    if (f != NULL) {
        fprintf(f, "%ld\n", (long)pid);
        fclose(f);
    }
}

/* ---- end ---- */

char node_state(int i)
{
    char path[64], line[256];
    char state = 0;
    FILE *f;
    char *p;

    snprintf(path, sizeof path, "/proc/%ld/stat", (long)nem.node[i].pid);
    f = fopen(path, "re");
    if (f == NULL) {
        return 0;
    }
    if (fgets(line, sizeof line, f) != NULL &&
        (p = strrchr(line, ')')) != NULL && p[1] == ' ') {
        state = p[2];
    }
    fclose(f);
    return state;
}

/* A dead process whose threads all ended. */
static bool ended(pid_t pid)
{
    struct pollfd p = {.events = POLLIN};
    bool yes;

    p.fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (p.fd < 0) {
        return errno == ESRCH;
    }
    yes = poll(&p, 1, 0) == 1;
    close(p.fd);
    return yes;
}

bool node_running(int i)
{
    pid_t pid = nem.node[i].pid;

    return pid > 0 && !ended(pid);
}

bool node_gone(int i, int64_t ms, int *status)
{
    struct node *n = &nem.node[i];
    int64_t until = now_ns() + ms * 1000000;
    int code = -1;

    while (!ended(n->pid)) {
        if (now_ns() > until) {
            return false;
        }
        sleep_ms(POLL_MS);
    }
    if (n->owned && waitpid(n->pid, &code, WNOHANG) != n->pid) {
        code = -1;
    }
    if (status != NULL) {
        *status = code;
    }
    return true;
}

bool node_signal(int i, int sig)
{
    if (mutant(KILLS_NOTHING)) {
        return true;
    }
    return node_running(i) && kill(nem.node[i].pid, sig) == 0;
}

int nodes_kill(const int *v, int n)
{
    bool sent[NEM_NODES + 1] = {false};
    int gone = 0;

    for (int k = 0; k < n; k++) {
        sent[v[k]] = node_signal(v[k], SIGKILL);
    }
    for (int k = 0; k < n; k++) {
        if (sent[v[k]] && node_gone(v[k], 3000, NULL)) {
            gone++;
        }
    }
    pthread_mutex_lock(&nem.lock);
    nem.sigkills += (unsigned)gone;
    pthread_mutex_unlock(&nem.lock);
    return gone;
}

bool node_kill(int i)
{
    return nodes_kill(&i, 1) == 1;
}

int node_stop(int i)
{
    int status = -1;

    if (node_signal(i, SIGTERM) && node_gone(i, NEM_GONE_MS, &status)) {
        return status;
    }
    (void)node_kill(i);
    return -1;
}

void node_wipe(int i)
{
    char path[NEM_PATH + 32];

    node_path(i, "", path);
    run(NULL, 0, "rm -rf %s", path);
}

/* ---- what is known of them ---- */

struct seen node_seen(int i)
{
    struct seen s;

    pthread_mutex_lock(&nem.lock);
    s = nem.node[i].seen;
    pthread_mutex_unlock(&nem.lock);
    return s;
}

/* The one that leads in the highest term, as of less than a second ago. */
int leader_now(void)
{
    uint64_t term = 0;
    int leader = 0;

    for (int i = 1; i <= nem.nodes; i++) {
        struct seen s = node_seen(i);

        if (s.leader && s.term > term && now_ns() - s.at_ns < 1000000000) {
            term = s.term;
            leader = i;
        }
    }
    return leader;
}

static bool has_leader(void *arg)
{
    int *out = arg;

    *out = leader_now();
    return *out != 0;
}

bool leader_wait(int64_t ms, int *out)
{
    return nem_until(ms, has_leader, out);
}

/* Or never will be. */
static bool is_ready(void *arg)
{
    int i = *(int *)arg;

    return node_seen(i).at_ns != 0 || !node_running(i);
}

bool node_ready(int i, int64_t ms)
{
    return nem_until(ms, is_ready, &i) && node_running(i);
}

static bool is_whole(void *arg)
{
    uint64_t *commit = arg;
    int leader = leader_now();
    struct seen s = node_seen(leader);

    if (leader == 0 || !s.healthy || s.tolerates != nem.nodes - nem.majority) {
        return false;
    }
    if (*commit == 0) {
        *commit = s.commit;
    }
    for (int i = 1; i <= nem.nodes; i++) {
        s = node_seen(i);
        if (s.at_ns == 0 || s.id == 0 || s.applied < *commit) {
            return false;
        }
    }
    return true;
}

bool cluster_whole(int64_t ms)
{
    uint64_t commit = 0;
    bool yes = nem_until(ms / 3, is_whole, &commit);

    if (!yes) {
        __atomic_fetch_add(&nem.calm, 1, __ATOMIC_RELAXED);
        yes = nem_until(ms - ms / 3, is_whole, &commit);
        __atomic_fetch_sub(&nem.calm, 1, __ATOMIC_RELAXED);
    }
    return yes;
}

/* ---- which ones ---- */

/* All nodes by chance, the leader first or last. */
static int shuffled(struct fault *f, int lead, int out[NEM_NODES])
{
    int leader = 0;
    int n = 0;

    if (lead > 0) {
        (void)leader_wait(2000, &leader);
    } else if (lead < 0) {
        leader = leader_now();
    }
    for (int i = 1; i <= nem.nodes; i++) {
        out[n++] = i;
    }
    for (int i = n - 1; i > 0; i--) {
        int k = (int)rng_below(&f->rng, (uint64_t)i + 1);
        int t = out[i];

        out[i] = out[k];
        out[k] = t;
    }
    for (int i = 0; lead != 0 && i < n; i++) {
        if (out[i] == leader) {
            int at = lead > 0 ? 0 : n - 1;

            out[i] = out[at];
            out[at] = leader;
            break;
        }
    }
    return lead > 0 ? leader : 1;
}

bool choose(struct fault *f, int n, int lead)
{
    int order[NEM_NODES];

    if (shuffled(f, lead, order) == 0) {
        return false;
    }
    f->nodes_n = n;
    memcpy(f->nodes, order, (size_t)n * sizeof order[0]);
    return true;
}

static bool try_claim(struct fault *f, const int *v, int n)
{
    bool free = true;

    pthread_mutex_lock(&nem.lock);
    for (int k = 0; k < n; k++) {
        free = free && (!nem.node[v[k]].claimed || f->claimed[v[k]]);
    }
    for (int k = 0; free && k < n; k++) {
        nem.node[v[k]].claimed = true;
        f->claimed[v[k]] = true;
    }
    pthread_mutex_unlock(&nem.lock);
    return free;
}

bool claim_one(struct fault *f, int i)
{
    return try_claim(f, &i, 1);
}

bool claim(struct fault *f, int n, bool lead)
{
    int64_t until = now_ns() + CLAIM_MS * 1000000LL;

    do {
        if (choose(f, n, lead ? 1 : 0) && try_claim(f, f->nodes, n)) {
            return true;
        }
        sleep_ms(5L * POLL_MS);
    } while (now_ns() < until && !nem_over());
    f->nodes_n = 0;
    return false;
}

void claim_release(struct fault *f)
{
    pthread_mutex_lock(&nem.lock);
    for (int i = 1; i <= nem.nodes; i++) {
        if (f->claimed[i]) {
            nem.node[i].claimed = false;
            f->claimed[i] = false;
        }
    }
    pthread_mutex_unlock(&nem.lock);
}
