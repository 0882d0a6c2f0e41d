/* hiredis: hiredis VERB MODE SEEDS FILE COMMANDS, as redispy.py; COMMANDS is
 * commands.txt. The library knows
 * nothing of clusters: with MODE cluster this program does what an application
 * must, it follows -MOVED and, when a connection is lost, goes to the next of
 * the SEEDS. It sends nothing twice. */
#include <hiredis/hiredis.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { WRITERS = 4, PAUSE_MS = 15, SEEDS_MAX = 8, BIG = 1 << 20, PIPE = 10000 };

static bool cluster;
static char *seeds[SEEDS_MAX];
static int n_seeds;
static const char *path;
static const char *name;
static FILE *out;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static volatile bool ending;
static int lines;

struct client {
    redisContext *c;
    int seed;      /* where to go next */
    char told[64]; /* by -MOVED: goes before the seed */
};

/* One that this writer waits for when the test ends. */
static struct {
    int64_t sent;
    int number;
    bool open;
} waiting[WRITERS];

static int64_t now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void sleep_ms(int ms)
{
    struct timespec t = {.tv_nsec = ms * 1000000L};

    nanosleep(&t, NULL);
}

/* [hiredis] */
static bool client_connect(struct client *k)
{
    struct timeval wait = {.tv_usec = 500000};
    char host[64];
    const char *at = k->told[0] ? k->told : seeds[k->seed++ % n_seeds];
    const char *colon = strrchr(at, ':');

    snprintf(host, sizeof host, "%.*s", (int)(colon - at), at);
    k->c = redisConnectWithTimeout(host, atoi(colon + 1), wait);
    k->told[0] = 0;
    if (k->c == NULL || k->c->err) {
        redisFree(k->c);
        k->c = NULL;
        return false;
    }
    /* On the plain port above the server's request-timeout, so that it says
     * what became of the request. */
    wait = (struct timeval){.tv_sec = cluster ? 1 : 5};
    redisSetTimeout(k->c, wait);
    return true;
}

/* The reply, or NULL: the connection broke, and what was sent is unknown. */
static redisReply *client_do(struct client *k, int argc, const char **argv)
{
    for (int tries = 0; tries < 16; tries++) {
        redisReply *r;

        if (k->c == NULL && !client_connect(k)) {
            sleep_ms(20); /* not sent: try the next */
            continue;
        }
        r = redisCommandArgv(k->c, argc, argv, NULL);
        if (r == NULL) {
            redisFree(k->c);
            k->c = NULL;
            return NULL;
        }
        if (cluster && r->type == REDIS_REPLY_ERROR &&
            sscanf(r->str, "MOVED %*d %63s", k->told) == 1) {
            freeReplyObject(r);
            redisFree(k->c);
            k->c = NULL;
            continue; /* not applied: ask there */
        }
        return r;
    }
    return NULL;
}
/* [end] */

static void heard(int w, const char *status, const char *text)
{
    pthread_mutex_lock(&lock);
    if (waiting[w].open) {
        fprintf(out, "%lld\t%lld\t%d\t%d\t%s\t%s\t%s\n",
                (long long)waiting[w].sent, (long long)now_us(), w,
                waiting[w].number, waiting[w].number % 2 ? "incr" : "append",
                status, text);
        waiting[w].open = false;
        lines++;
    }
    pthread_mutex_unlock(&lock);
}

static void *writer(void *arg)
{
    int w = (int)(intptr_t)arg;
    struct client k = {0};
    char log[256], count[256], text[32];

    snprintf(log, sizeof log, "%s:log:%d", name, w);
    snprintf(count, sizeof count, "%s:count:%d", name, w);
    for (int n = 1; !ending; n++) {
        const char *incr[] = {"INCR", count};
        const char *append[] = {"APPEND", log, text};
        redisReply *r;

        snprintf(text, sizeof text, "%d;", n);
        waiting[w].number = n;
        waiting[w].sent = now_us();
        waiting[w].open = true;
        r = n % 2 ? client_do(&k, 2, incr) : client_do(&k, 3, append);
        if (r == NULL) {
            heard(w, "error", "the connection broke");
        } else if (r->type == REDIS_REPLY_ERROR) {
            heard(w, "error", r->str);
        } else {
            heard(w, "ok", "");
        }
        freeReplyObject(r);
        sleep_ms(PAUSE_MS);
    }
    return NULL;
}

static bool ended(void)
{
    char stop[512];

    snprintf(stop, sizeof stop, "%s.stop", path);
    return access(stop, F_OK) == 0 || access(path, F_OK) != 0;
}

static void load(void)
{
    pthread_t t[WRITERS];
    char file[512];

    out = fopen(path, "w");
    if (out == NULL) {
        perror(path);
        exit(1);
    }
    for (int w = 0; w < WRITERS; w++) {
        pthread_create(&t[w], NULL, writer, (void *)(intptr_t)w);
    }
    while (lines < 2 * WRITERS && !ended()) {
        sleep_ms(20);
    }
    snprintf(file, sizeof file, "%s.ready", path);
    fclose(fopen(file, "w"));
    while (!ended()) {
        sleep_ms(20);
    }
    ending = true;
    sleep_ms(900);
    for (int w = 0; w < WRITERS; w++) {
        heard(w, "pending", "");
    }
    fclose(out);
    _exit(0);
}

static int checks;

/* @line, with the name of this run for each "hr". */
static void expand(char *words, size_t size, const char *line)
{
    size_t n = 0;

    while (*line != 0 && n + strlen(name) + 2 < size) {
        if (strncmp(line, "hr:", 3) == 0) {
            n += (size_t)snprintf(words + n, size - n, "%s", name);
            line += 2;
        } else {
            words[n++] = *line++;
        }
    }
    words[n] = 0;
}

/* Send @line, words between spaces; its reply as text must be @want. */
static void check(struct client *k, const char *want, const char *line)
{
    char words[512], have[64] = "nil";
    const char *argv[16];
    int argc = 0;
    redisReply *r;

    expand(words, sizeof words, line);
    for (char *save = NULL, *p = strtok_r(words, " ", &save);
         p != NULL && argc < 16; p = strtok_r(NULL, " ", &save)) {
        argv[argc++] = p;
    }
    r = client_do(k, argc, argv);
    if (r == NULL) {
        snprintf(have, sizeof have, "no reply");
    } else if (r->type == REDIS_REPLY_INTEGER) {
        snprintf(have, sizeof have, "%lld", r->integer);
    } else if (r->type == REDIS_REPLY_ARRAY) {
        snprintf(have, sizeof have, "array of %zu", r->elements);
    } else if (r->type != REDIS_REPLY_NIL) {
        snprintf(have, sizeof have, "%s", r->str);
    }
    freeReplyObject(r);
    checks++;
    if (strncmp(have, want, strlen(want)) != 0) {
        printf("%s: %s, expected %s\n", line, have, want);
        exit(1);
    }
}

static void check_bulk(struct client *k)
{
    char *big = malloc(BIG), key[64];
    redisReply *r;
    long long last = 0;

    memset(big, 'x', BIG);
    snprintf(key, sizeof key, "%s:big", name);
    r = redisCommand(k->c, "SET %s %b", key, big, (size_t)BIG);
    freeReplyObject(r);
    r = redisCommand(k->c, "GET %s", key);
    if (r == NULL || r->len != BIG || memcmp(r->str, big, BIG) != 0) {
        printf("1 MiB came back otherwise\n");
        exit(1);
    }
    freeReplyObject(r);
    free(big);
    for (int i = 0; i < PIPE; i++) {
        redisAppendCommand(k->c, "INCR %s:pipe", name);
    }
    for (int i = 0; i < PIPE; i++) {
        if (redisGetReply(k->c, (void **)&r) != REDIS_OK) {
            printf("the pipeline broke: %s\n", k->c->errstr);
            exit(1);
        }
        last = r->integer;
        freeReplyObject(r);
    }
    checks += 3;
    if (last != PIPE) {
        printf("pipeline: %lld, expected %d\n", last, PIPE);
        exit(1);
    }
}

static void families(const char *file)
{
    FILE *f = fopen(file, "r");
    char line[512];
    struct client k = {0};

    if (f == NULL) {
        perror(file);
        exit(1);
    }
    while (fgets(line, sizeof line, f) != NULL) {
        char *bar = strstr(line, " | ");

        line[strcspn(line, "\n")] = 0;
        if (bar != NULL) {
            *bar = 0;
            check(&k, line, bar + 3);
        }
    }
    fclose(f);
    check_bulk(&k);
    redisFree(k.c);
    printf("%d checks\n", checks);
}

int main(int argc, char **argv)
{
    if (argc != 6) {
        fprintf(stderr, "usage: hiredis VERB MODE SEEDS FILE COMMANDS\n");
        return 2;
    }
    cluster = strcmp(argv[2], "plain") != 0;
    path = argv[4];
    name = path + strlen(path);
    /* The file and its directory. */
    for (int slashes = 0; name > path; name--) {
        slashes += name[-1] == '/';
        if (slashes == 2) {
            break;
        }
    }
    for (char *save = NULL, *p = strtok_r(argv[3], ",", &save);
         p != NULL && n_seeds < SEEDS_MAX; p = strtok_r(NULL, ",", &save)) {
        seeds[n_seeds++] = p;
    }
    if (strcmp(argv[1], "families") == 0) {
        families(argv[5]);
    } else {
        load();
    }
    return 0;
}
