/* kv: the prompt of a terminal, and scripts on stdin. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <histedit.h>
#include <locale.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>

#include "client/hf_int.h"
#include "client/kv_session.h"

enum {
    HISTORY_MAX = 1000,   /* lines kept */
    CANDIDATES_MAX = 512, /* names that one Tab offers */
    SLOW_MS = 500,        /* a command that takes longer tells how long */
    CTRL_D = 4
};
#define AHEAD_UNKNOWN SIZE_MAX

volatile sig_atomic_t kv_interrupted;

struct prompt {
    struct session s;
    EditLine *el;
    History *history;
    char *history_file; /* NULL: none */
    char text[160];
    int fd;       /* the terminal, opened anew: its reads do not block */
    size_t ahead; /* bytes of this line that were typed before it was asked */
};

static int64_t now_ms(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* A byte for each Ctrl-C, until the next character is read: so it ends the
 * command that runs. */
static int wake[2] = {-1, -1};

static void on_sigint(int signum)
{
    int e = errno;

    (void)signum;
    kv_interrupted = 1;
    if (write(wake[1], "", 1) < 0) {
        kv_interrupted = 1; /* full: there is one unread already */
    }
    errno = e;
}

static bool catch_sigint(void)
{
    /* A write to the terminal goes on; poll() ends all the same. */
    struct sigaction sa = {.sa_handler = on_sigint, .sa_flags = SA_RESTART};

    return pipe2(wake, O_NONBLOCK | O_CLOEXEC) == 0 &&
           sigaction(SIGINT, &sa, NULL) == 0;
}

/* The next character of the terminal, for libedit, whose own reader goes on
 * after the first signal. 1; 0: the end; -1: Ctrl-C, or an error.
 *
 * A Ctrl-D typed while a command ran comes from the terminal as a zero byte
 * (termios(3): the mark of a line's end, in canonical mode), which libedit
 * takes for "quote the next": the prompt would never end. */
static int read_char(EditLine *el, wchar_t *out)
{
    mbstate_t state;
    struct prompt *q;
    char byte;

    (void)el_get(el, EL_CLIENTDATA, (void **)&q);
    if (q->ahead == AHEAD_UNKNOWN) {
        int n = 0;

        q->ahead = ioctl(q->fd, FIONREAD, &n) == 0 ? (size_t)n : 0;
    }
    memset(&state, 0, sizeof(state));
    for (;;) {
        struct pollfd p[2] = {{q->fd, POLLIN, 0}, {wake[0], POLLIN, 0}};
        ssize_t n;
        size_t rv;

        if (poll(p, 2, -1) < 0 && errno != EINTR) {
            return -1;
        }
        while (read(wake[0], &byte, 1) == 1) {
        }
        if (kv_interrupted) {
            errno = EINTR;
            return -1;
        }
        if (p[0].revents == 0) {
            continue;
        }
        n = read(q->fd, &byte, 1);
        if (n < 0 && errno == EAGAIN) {
            continue; /* a Ctrl-C emptied it since */
        }
        if (n <= 0) {
            return (int)n;
        }
        if (q->ahead > 0) {
            q->ahead--;
            byte = byte == '\0' ? CTRL_D : byte;
        }
        rv = mbrtowc(out, &byte, 1, &state);
        if (rv != (size_t)-2) {
            /* Not a character of this locale: the byte itself. */
            *out = rv == (size_t)-1 ? (wchar_t)(unsigned char)byte : *out;
            return 1;
        }
    }
}

/* ---- completion ---- */

struct candidates {
    const char *names[CANDIDATES_MAX];
    size_t n;
    size_t skip; /* bytes of each name that are not shown: "config|" */
    const char *typed;
    size_t typed_n;
};

static void offer(struct candidates *c, const char *name, const char *prefix)
{
    size_t skip = strlen(prefix);

    if (c->n < CANDIDATES_MAX && strncasecmp(name, prefix, skip) == 0 &&
        strncasecmp(name + skip, c->typed, c->typed_n) == 0 &&
        strchr(name + skip, '|') == NULL) {
        c->names[c->n++] = name;
        c->skip = skip;
    }
}

/* What may stand at word @word of a line that begins with @first. */
static void offer_all(struct prompt *p,
                      struct candidates *c,
                      const char *first,
                      size_t word)
{
    static const char *const own[] = {"exit", "quit", "help", "kv"};
    char prefix[64] = "";
    const char *verb;

    if (word == 1 && strcasecmp(first, "kv") == 0) {
        for (size_t i = 0; (verb = kv_verb_name(i)) != NULL; i++) {
            offer(c, verb, "");
        }
        return;
    }
    if (word == 1 && strcasecmp(first, "help") != 0) {
        snprintf(prefix, sizeof(prefix), "%s|", first);
    }
    if (word > 1 || !session_load(&p->s)) {
        return;
    }
    for (size_t i = 0; i < p->s.ncmds; i++) {
        offer(c, p->s.cmds[i].name, prefix);
    }
    for (size_t i = 0; word == 0 && i < sizeof(own) / sizeof(own[0]); i++) {
        offer(c, own[i], "");
    }
}

/* How many bytes all candidates have in common. */
static size_t common(const struct candidates *c)
{
    const char *a = c->names[0] + c->skip;
    size_t n = strlen(a);

    for (size_t i = 1; i < c->n; i++) {
        size_t k = 0;

        while (k < n && tolower((unsigned char)a[k]) ==
                            tolower((unsigned char)c->names[i][c->skip + k])) {
            k++;
        }
        n = k;
    }
    return n;
}

/* Put in what is certain, in the case of what was typed. */
static void put_in(struct prompt *p, const struct candidates *c, size_t n)
{
    const char *name = c->names[0] + c->skip;
    char text[128];
    bool upper = c->typed_n > 0;
    size_t len = 0;

    for (size_t i = 0; i < c->typed_n; i++) {
        upper = upper && !islower((unsigned char)c->typed[i]);
    }
    for (size_t i = c->typed_n; i < n && len + 2 < sizeof(text); i++) {
        text[len++] = (char)(upper ? toupper((unsigned char)name[i])
                                   : tolower((unsigned char)name[i]));
    }
    if (c->n == 1) {
        text[len++] = ' ';
    }
    text[len] = '\0';
    (void)el_insertstr(p->el, text);
}

/* The words of a command whose name is complete. */
static void show_syntax(struct prompt *p, const char *line, size_t n)
{
    char name[96];
    const struct cmd *c;
    size_t len = 0;

    /* "config set x": first as "config|set", then as "config". */
    for (int words = 2; words > 0; words--) {
        len = 0;
        for (size_t i = 0, w = 1; i < n && len < sizeof(name); i++) {
            bool gap = line[i] == ' ';

            if (gap && ++w > (size_t)words) {
                break;
            }
            name[len++] = gap ? '|' : line[i];
        }
        c = session_find(&p->s, name, len);
        if (c != NULL && c->syntax != NULL) {
            printf("\n  %.*s %s\n", (int)len, name, c->syntax);
            return;
        }
    }
}

static unsigned char complete(EditLine *el, int key)
{
    const LineInfo *li = el_line(el);
    struct candidates c = {.typed = li->cursor};
    struct prompt *p;
    char first[48] = "";
    size_t word = 0;

    (void)key;
    (void)el_get(el, EL_CLIENTDATA, (void **)&p);
    while (c.typed > li->buffer && c.typed[-1] != ' ') {
        c.typed--;
    }
    c.typed_n = (size_t)(li->cursor - c.typed);
    for (const char *at = li->buffer; at < c.typed; at++) {
        word += *at == ' ' && at > li->buffer && at[-1] != ' ';
    }
    snprintf(first, sizeof(first), "%.*s",
             (int)strcspn(li->buffer, " ") < (int)(li->cursor - li->buffer)
                 ? (int)strcspn(li->buffer, " ")
                 : (int)(li->cursor - li->buffer),
             li->buffer);
    offer_all(p, &c, first, word);
    if (c.n == 0) {
        show_syntax(p, li->buffer, (size_t)(li->cursor - li->buffer));
        return CC_REDISPLAY;
    }
    if (c.n == 1 || common(&c) > c.typed_n) {
        put_in(p, &c, common(&c));
        return CC_REFRESH;
    }
    putchar('\n');
    for (size_t i = 0; i < c.n; i++) {
        printf("%-20s%s", c.names[i] + c.skip,
               i % 4 == 3 || i + 1 == c.n ? "\n" : "");
    }
    return CC_REDISPLAY;
}

/* ---- the terminal ---- */

static char *prompt_text(EditLine *el)
{
    struct prompt *p;
    const char *node;

    (void)el_get(el, EL_CLIENTDATA, (void **)&p);
    node = hf_node(p->s.kv->c);
    snprintf(p->text, sizeof(p->text), "%s%s> ",
             node[0] != '\0' ? node : "not connected", p->s.tx ? "(tx)" : "");
    return p->text;
}

static void history_open(struct prompt *p)
{
    const char *home = getenv("HOME");
    HistEvent ev;
    size_t n;

    p->history = history_init();
    (void)history(p->history, &ev, H_SETSIZE, HISTORY_MAX);
    (void)history(p->history, &ev, H_SETUNIQUE, 1);
    if (home == NULL || home[0] == '\0') {
        return;
    }
    n = strlen(home) + sizeof("/.kv_history");
    p->history_file = hf_malloc(n);
    snprintf(p->history_file, n, "%s/.kv_history", home);
    /* -1 the first time: there is no file. */
    (void)history(p->history, &ev, H_LOAD, p->history_file);
}

static void history_keep(struct prompt *p, const char *line)
{
    HistEvent ev;

    if (line[strspn(line, " \t\n")] != '\0' && session_may_keep(line)) {
        (void)history(p->history, &ev, H_ENTER, line);
    }
}

static void history_close(struct prompt *p)
{
    HistEvent ev;
    mode_t old = umask(077);

    if (p->history_file != NULL) {
        /* Also a file that was there before is for its owner alone. */
        (void)chmod(p->history_file, 0600);
        if (history(p->history, &ev, H_SAVE, p->history_file) < 0) {
            fprintf(stderr,
                    "kv: %s: %s\nhint: the lines of this session are "
                    "not kept\n",
                    p->history_file, strerror(errno));
        }
        free(p->history_file);
    }
    (void)umask(old);
    history_end(p->history);
}

static void one_line(struct prompt *p, const char *line, size_t n)
{
    int64_t start = now_ms();

    while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r')) {
        n--;
    }
    (void)session_line(&p->s, bytes_of(line, n));
    if (now_ms() - start >= SLOW_MS) {
        printf("(%.2fs)\n", (double)(now_ms() - start) / 1000);
    }
    fflush(stdout);
    kv_interrupted = 0;
}

static void edit(struct prompt *p)
{
    while (!p->s.done) {
        int n = 0;
        const char *line;

        p->ahead = AHEAD_UNKNOWN;
        line = el_gets(p->el, &n);

        if (line == NULL || n <= 0) {
            printf("\n");
            if (!kv_interrupted) {
                return; /* Ctrl-D */
            }
            kv_interrupted = 0;
            el_reset(p->el);
            continue;
        }
        history_keep(p, line);
        one_line(p, line, (size_t)n);
    }
}

/* The terminal of stdin as a file of its own, as O_NONBLOCK on stdin would be
 * the shell's, too. Where it cannot be opened, stdin itself: then Ctrl-C may
 * once in a while need another key. */
static int open_terminal(void)
{
    const char *name = ttyname(STDIN_FILENO);
    int fd = name == NULL
                 ? -1
                 : open(name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

    return fd < 0 ? STDIN_FILENO : fd;
}

static int run_terminal(struct kv *kv)
{
    struct prompt p = {0};

    (void)setlocale(LC_CTYPE, "");
    if (!catch_sigint()) {
        return kv_usage(kv, "no pipe: %s", strerror(errno));
    }
    kv->c->conn.stop_fd = wake[0];
    session_init(&p.s, kv, true);
    (void)session_load(&p.s); /* connects, for the prompt to show the node */
    p.el = el_init("kv", stdin, stdout, stderr);
    if (p.el == NULL) {
        session_release(&p.s);
        return kv_usage(kv, "this terminal cannot be used");
    }
    p.fd = open_terminal();
    history_open(&p);
    (void)el_set(p.el, EL_CLIENTDATA, &p);
    (void)el_set(p.el, EL_GETCFN, read_char);
    (void)el_set(p.el, EL_PROMPT, prompt_text);
    (void)el_set(p.el, EL_EDITOR, "emacs");
    (void)el_set(p.el, EL_HIST, history, p.history);
    /* Wide: el_set() would lose its copies of these two texts. */
    (void)el_wset(p.el, EL_ADDFN, L"kv-complete", L"Complete a name", complete);
    (void)el_set(p.el, EL_BIND, "^I", "kv-complete", NULL);
    (void)el_source(p.el, NULL); /* ~/.editrc; there may be none */
    edit(&p);
    history_close(&p);
    el_end(p.el);
    if (p.fd != STDIN_FILENO) {
        close(p.fd);
    }
    session_release(&p.s);
    return KV_DONE;
}

/* Each line in its turn, whatever became of those before it; the status is
 * the highest of all lines. */
static int run_script(struct kv *kv)
{
    struct session s;
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    int worst = KV_DONE;

    session_init(&s, kv, false);
    while (!s.done && (n = getline(&line, &cap, stdin)) > 0) {
        int status;

        while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r')) {
            n--;
        }
        status = session_line(&s, bytes_of(line, (size_t)n));
        worst = status > worst ? status : worst;
        fflush(stdout);
    }
    if (s.tx) {
        fprintf(stderr,
                "kv: MULTI without EXEC\nhint: none of its commands "
                "was done\n");
        worst = worst < KV_FAILED ? KV_FAILED : worst;
    }
    free(line);
    session_release(&s);
    return worst;
}

int kv_prompt(struct kv *kv)
{
    return isatty(STDIN_FILENO) ? run_terminal(kv) : run_script(kv);
}
