/* Histories are whole lines in the order of their time, whoever writes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "jepsen-lite/history_out.h"

enum { THREADS = 4, LINES = 2000 };

struct world {
    char path[64];
    struct history_out *h;
    char *text; /* of the file, after the close */
};

static int setup(void **state)
{
    struct world *w = hf_calloc(1, sizeof(*w));
    int fd;

    snprintf(w->path, sizeof(w->path), "/tmp/history_out.XXXXXX");
    fd = mkstemp(w->path);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(history_open(w->path, NULL, &w->h), 0);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;

    if (w->h != NULL) {
        (void)history_close(w->h, NULL);
    }
    unlink(w->path);
    free(w->text);
    free(w);
    return 0;
}

/* Close, and read the file back. */
static const char *written(struct world *w)
{
    FILE *f;
    long n;

    assert_int_equal(history_close(w->h, NULL), 0);
    w->h = NULL;
    f = fopen(w->path, "r");
    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    n = ftell(f);
    rewind(f);
    w->text = hf_calloc(1, (size_t)n + 1);
    assert_int_equal(fread(w->text, 1, (size_t)n, f), n);
    fclose(f);
    return w->text;
}

/* A line is the time, then the fields as given. */
static void test_line(void **state)
{
    struct world *w = *state;
    uint64_t before = history_now_ns();
    uint64_t t = history_line(w->h, "\"p\":%d,\"type\":\"ok\"", 7);
    char want[80];

    assert_true(before <= t && t <= history_now_ns());
    snprintf(want, sizeof(want), "{\"t\":%llu,\"p\":7,\"type\":\"ok\"}\n",
             (unsigned long long)t);
    assert_string_equal(written(w), want);
}

/* A line longer than what is kept back comes through whole. */
static void test_long_line(void **state)
{
    struct world *w = *state;
    size_t n = 3 * HISTORY_FLUSH;
    char *big = hf_malloc(n + 1);
    const char *text;

    memset(big, 'x', n);
    big[n] = '\0';
    history_line(w->h, "\"a\":1");
    history_line(w->h, "\"v\":\"%s\"", big);
    history_line(w->h, "\"b\":2");
    text = written(w);
    assert_non_null(strstr(text, big));
    assert_non_null(strstr(text, "\"}\n{\"t\":"));
    assert_string_equal(text + strlen(text) - 8, ",\"b\":2}\n");
    free(big);
}

/* What is flushed is in the file while it is still open. */
static void test_flush(void **state)
{
    struct world *w = *state;

    history_line(w->h, "\"a\":1");
    history_flush(w->h);
    assert_int_not_equal(truncate(w->path, 0), -1);
    assert_string_equal(written(w), ""); /* it had been there */
}

static void *writer(void *data)
{
    struct world *w = data;

    for (int i = 0; i < LINES; i++) {
        history_line(w->h, "\"i\":%d", i);
    }
    return NULL;
}

/* Several writers: no line is lost or torn, and time never goes back. */
static void test_threads(void **state)
{
    struct world *w = *state;
    pthread_t threads[THREADS];
    uint64_t last = 0;
    int lines = 0;
    int sum = 0;

    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, writer, w), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    for (const char *s = written(w); *s != '\0'; lines++) {
        unsigned long long t;
        int i;
        int n = 0;

        assert_int_equal(sscanf(s, "{\"t\":%llu,\"i\":%d}\n%n", &t, &i, &n), 2);
        assert_true(n > 0 && s[n - 1] == '\n' && t >= last);
        last = t;
        sum += i;
        s += n;
    }
    assert_int_equal(lines, THREADS * LINES);
    assert_int_equal(sum, THREADS * (LINES * (LINES - 1) / 2));
}

/* A failed write is told at the close, even if later ones would succeed. */
static void test_full(void **state)
{
    struct errmsg e = {{0}};
    struct history_out *h;

    (void)state;
    assert_int_equal(history_open("/dev/full", NULL, &h), 0);
    history_line(h, "\"a\":1");
    history_flush(h);
    assert_int_equal(history_close(h, &e), HF_EIO);
    assert_non_null(strstr(e.text, "No space"));
}

/* A place that cannot be written to is an error, not a history. */
static void test_no_place(void **state)
{
    struct errmsg e = {{0}};
    struct history_out *h = NULL;

    (void)state;
    assert_int_equal(history_open("/nowhere/at/all", &e, &h), HF_EIO);
    assert_null(h);
    assert_non_null(strstr(e.text, "/nowhere/at/all"));
}

/* Every byte has a form in a JSON string. */
static void test_string(void **state)
{
    struct buf b = BUF_INIT;

    (void)state;
    json_string(&b, bytes_of("a\"b\\c\n\0\xff~", 9));
    buf_append(&b, "", 1);
    assert_string_equal((char *)b.p, "\"a\\\"b\\\\c\\u000a\\u0000\\u00ff~\"");
    buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_line, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_line, setup, teardown),
        cmocka_unit_test_setup_teardown(test_flush, setup, teardown),
        cmocka_unit_test_setup_teardown(test_threads, setup, teardown),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_no_place),
        cmocka_unit_test(test_string),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
