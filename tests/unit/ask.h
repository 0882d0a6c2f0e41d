/* A machine that is asked in lines, for tests of commands: writes go through
 * entries, reads are answered where they are. */
#ifndef HF_TESTS_UNIT_ASK_H
#define HF_TESTS_UNIT_ASK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "resp/resp.h"
#include "server/command/args.h"
#include "server/command/command.h"
#include "server/store/machine.h"

enum { T0 = 1000000, WORDS = 64 };

/* A machine with one member and its session: writes are applied as entries,
 * reads are run where they are. */
struct fixture {
    struct machine *m;
    uint64_t index;
    uint64_t session;
    uint64_t number;
    uint64_t time;
    struct buf reply;
    char text[4096];
};

static inline bool wants(void *ctx, uint64_t session, uint64_t number)
{
    (void)ctx;
    (void)session;
    (void)number;
    return true;
}

static inline void on_request(void *ctx,
                              uint64_t session,
                              uint64_t number,
                              enum request_outcome outcome,
                              struct bytes reply)
{
    struct fixture *f = ctx;

    (void)session;
    (void)number;
    assert_int_equal(outcome, REQUEST_APPLIED);
    buf_clear(&f->reply);
    buf_bytes_append(&f->reply, reply);
}

static inline void apply(struct fixture *f, struct buf *entry)
{
    assert_int_equal(machine_apply(f->m, ++f->index, buf_bytes(entry)), 0);
    buf_release(entry);
}

static inline void fixture_init(struct fixture *f)
{
    static const uint8_t id[HF_ID_SIZE] = {1};
    static const char *const seats[] = {"h:1"};
    struct entry_node first = {{7}, "h:1", "h:2", "h:3"};
    struct machine_observer o = {
        .ctx = f, .wants_reply = wants, .on_request = on_request};
    struct buf b = BUF_INIT;

    memset(f, 0, sizeof *f);
    f->time = T0;
    f->m = machine_new();
    machine_set_run(f->m, command_run, NULL);
    machine_set_observer(f->m, &o);
    entry_begin(&b, f->time, 0);
    entry_init(&b, id, seats, 1, &first);
    apply(f, &b);
    entry_begin(&b, f->time, 0);
    entry_open(&b, 1, id);
    apply(f, &b);
    f->session = f->index;
}

static inline void fixture_release(struct fixture *f)
{
    buf_release(&f->reply);
    machine_free(f->m);
}

static inline int setup(void **state)
{
    struct fixture *f = malloc(sizeof *f);

    fixture_init(f);
    *state = f;
    return 0;
}

static inline int teardown(void **state)
{
    fixture_release(*state);
    free(*state);
    return 0;
}

static inline void apply_command(struct fixture *f, struct bytes command)
{
    struct buf b = BUF_INIT;

    entry_begin(&b, f->time, 0);
    entry_request(&b, f->session, ++f->number, command);
    apply(f, &b);
}

/* The whole way of a command; the reply is in f->reply. */
static inline void ask_words(struct fixture *f,
                             const struct bytes *argv,
                             int argc)
{
    const struct command *c;
    struct blob *bytes;

    buf_clear(&f->reply);
    c = command_find(argv, argc, &f->reply);
    if (c == NULL || !command_check(c, argv, argc, &f->reply)) {
        assert_true(f->reply.n > 0);
        return;
    }
    if (c->handler == NULL) {
        command_local(c, argv, argc, &f->reply);
        return;
    }
    bytes = command_encode(c, 0, argv, argc);
    if (command_writes(c, argv, argc)) {
        apply_command(f, blob_bytes(bytes));
    } else {
        command_read(f->m, blob_bytes(bytes), &f->reply);
    }
    blob_unref(bytes);
}

/* Words by spaces; '' is the empty word. */
static inline int split(char *line, struct bytes argv[WORDS])
{
    int argc = 0;

    for (char *w; (w = strtok_r(line, " ", &line)) != NULL;) {
        assert_true(argc < WORDS);
        argv[argc++] = strcmp(w, "''") == 0 ? bytes_str("") : bytes_str(w);
    }
    return argc;
}

/* The reply, line ends as spaces. */
static inline const char *ask(struct fixture *f, const char *line)
{
    struct bytes argv[WORDS];
    char words[1024];
    size_t n = 0;

    snprintf(words, sizeof words, "%s", line);
    ask_words(f, argv, split(words, argv));
    for (size_t i = 0; i < f->reply.n && n < sizeof f->text - 1; i++) {
        if (f->reply.p[i] != '\r') {
            f->text[n++] = f->reply.p[i] == '\n' ? ' ' : (char)f->reply.p[i];
        }
    }
    assert_true(n > 0); /* a long reply is cut in @text only */
    f->text[n - (f->text[n - 1] == ' ')] = 0;
    return f->text;
}

struct line {
    const char *command; /* "+5" alone: so many milliseconds pass */
    const char *reply;
};

static inline void check_lines(struct fixture *f, const struct line *l)
{
    for (; l->command != NULL; l++) {
        if (l->command[0] == '+') {
            struct buf b = BUF_INIT;

            f->time += strtoull(l->command + 1, NULL, 10);
            entry_begin(&b, f->time, 0);
            apply(f, &b);
        } else if (strcmp(ask(f, l->command), l->reply) != 0) {
            fail_msg("%s\n  gave %s\n  not  %s", l->command, f->text, l->reply);
        }
    }
}

#define SYNTAX "-ERR syntax error"
#define NOT_INT "-ERR value is not an integer or out of range"

#endif
