/* The clients of holdfast-load believe only what is proved, and give a key up
 * before a checker has too much to do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "jepsen-lite/load.h"

/* ---- errors ---- */

static enum outcome judge(const char *reply)
{
    struct answer a = {0};
    enum outcome o;

    buf_append(&a.raw, reply, strlen(reply));
    assert_true(answer_parse(&a, 1));
    o = rconn_judge(a.v);
    answer_clear(&a);
    return o;
}

/* Each error word means what the protocol says of it; one that is not known,
 * or only begins like a known one, proves nothing. */
static void test_judge(void **state)
{
    static const char *const refusals[] = {
        "ERR x",       "EXECABORT x", "NOPROTO x", "CLUSTERDOWN x",
        "TRYAGAIN x",  "OOM x",       "NOSPACE x", "LOADING x",
        "MOVED 1 a:1", "STALE x",     "ERR",       "TRYAGAIN"};
    static const char *const others[] = {"UNKNOWN x", "NOSESSION x", "ERRX x",
                                         "TRY x",     "err x",       "x"};
    char line[64];

    (void)state;
    for (size_t i = 0; i < sizeof(refusals) / sizeof(*refusals); i++) {
        snprintf(line, sizeof(line), "-%s\r\n", refusals[i]);
        assert_int_equal(judge(line), OUT_FAIL);
    }
    for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
        snprintf(line, sizeof(line), "-%s\r\n", others[i]);
        assert_int_equal(judge(line), OUT_INFO);
    }
    assert_int_equal(judge("+OK\r\n"), OUT_OK);
    assert_int_equal(judge("$-1\r\n"), OUT_OK);
}

/* Only a MOVED error with an address sends a client elsewhere. */
static void test_moved(void **state)
{
    static const struct {
        const char *reply;
        const char *addr;
    } cases[] = {{"-MOVED 12 10.99.0.3:8379\r\n", "10.99.0.3:8379"},
                 {"-MOVEDX 12 10.99.0.3:8379\r\n", NULL},
                 {"-ERR MOVED 12 a:1\r\n", NULL},
                 {"+MOVED 12 a:1\r\n", NULL}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct answer a = {0};
        char addr[LIM_ADDR] = "";

        buf_append(&a.raw, cases[i].reply, strlen(cases[i].reply));
        assert_true(answer_parse(&a, 1));
        assert_int_equal(rconn_moved(a.v, addr), cases[i].addr != NULL);
        assert_string_equal(addr, cases[i].addr != NULL ? cases[i].addr : "");
        answer_clear(&a);
    }
}

/* ---- a node that answers in one way ---- */

struct fake {
    int fd;
    char addr[LIM_ADDR];
    const char *reply; /* "": silence until the client goes; NULL: close */
    pthread_t thread;
};

static void *fake_main(void *data)
{
    struct fake *f = data;
    char request[256];
    int fd = accept(f->fd, NULL, NULL);

    if (recv(fd, request, sizeof(request), 0) > 0 && f->reply != NULL) {
        (void)!write(fd, f->reply, strlen(f->reply));
        while (recv(fd, request, sizeof(request), 0) > 0) {
        }
    }
    close(fd);
    return NULL;
}

static void fake_start(struct fake *f, const char *reply)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);

    f->reply = reply;
    f->fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(f->fd, (struct sockaddr *)&at, len), 0);
    assert_int_equal(listen(f->fd, 1), 0);
    assert_int_equal(getsockname(f->fd, (struct sockaddr *)&at, &len), 0);
    snprintf(f->addr, sizeof(f->addr), "127.0.0.1:%d", ntohs(at.sin_port));
    assert_int_equal(pthread_create(&f->thread, NULL, fake_main, f), 0);
}

/* What becomes of two commands, with @ms for them, at a node that answers
 * @reply. */
static enum outcome exchange(const char *reply, int64_t ms, struct answer *a)
{
    static const char two[] = "PING\r\nPING\r\n";
    struct fake f;
    struct rconn c;
    enum outcome o;

    fake_start(&f, reply);
    rconn_init(&c);
    assert_true(rconn_dial(&c, f.addr, rconn_now_ms() + 5000));
    o = rconn_exchange(&c, bytes_str(two), 2, rconn_now_ms() + ms, a);
    assert_int_equal(c.fd >= 0, o == OUT_OK);
    assert_int_equal(c.error[0] != '\0', o != OUT_OK);
    rconn_close(&c);
    pthread_join(f.thread, NULL);
    close(f.fd);
    return o;
}

/* All replies in time are an answer; the last one counts. */
static void test_answered(void **state)
{
    struct answer a = {0};

    (void)state;
    assert_int_equal(exchange("+A\r\n:7\r\n", 5000, &a), OUT_OK);
    assert_int_equal(a.root->n, 2);
    assert_int_equal(a.v->i, 7);
    answer_clear(&a);
}

/* A request that was sent and not answered in full may have been applied:
 * silence, a closed connection, half an answer, nonsense. */
static void test_unanswered(void **state)
{
    static const char *const replies[] = {"", NULL, "+A\r\n",
                                          "+A\r\n:", "+A\r\n?\r\n"};

    (void)state;
    for (size_t i = 0; i < sizeof(replies) / sizeof(*replies); i++) {
        struct answer a = {0};

        assert_int_equal(exchange(replies[i], 200, &a), OUT_INFO);
        answer_clear(&a);
    }
}

/* Nothing is sent where nobody listens: certainly not applied. */
static void test_not_connected(void **state)
{
    struct answer a = {0};
    struct rconn c;

    (void)state;
    rconn_init(&c);
    assert_false(rconn_dial(&c, "127.0.0.1:1", rconn_now_ms() + 500));
    assert_int_equal(
        rconn_exchange(&c, bytes_str("PING\r\n"), 1, rconn_now_ms() + 500, &a),
        OUT_FAIL);
    assert_false(rconn_alive(&c));
}

/* ---- what is written down ---- */

/* One operation that ends with @o: its last line, and the process after it. */
static void written(bool read, enum outcome o, char out[512], uint64_t *p)
{
    static const struct workload w = {.name = "register"};
    char path[] = "/tmp/load.XXXXXX";
    struct load l = {.n_nodes = 1};
    struct client c;
    FILE *f;

    close(mkstemp(path));
    pthread_mutex_init(&l.lock, NULL);
    assert_int_equal(history_open(path, NULL, &l.out), 0);
    client_init(&c, &l, 1);
    c.w = &w;
    assert_int_equal(c.p, 0);
    op_begin(&c, read, read ? "read" : "write", "r1", "\"x\"", "");
    snprintf(c.error, sizeof(c.error), "because");
    op_end(&c, o, NULL, ",\"rev\":3");
    *p = c.p;
    client_release(&c);
    assert_int_equal(history_close(l.out, NULL), 0);
    f = fopen(path, "r");
    assert_non_null(f);
    assert_non_null(fgets(out, 512, f));
    assert_non_null(strstr(out, "\"type\":\"invoke\""));
    assert_non_null(fgets(out, 512, f));
    assert_null(fgets(out, 512, f));
    fclose(f);
    unlink(path);
}

/* Each outcome under its name; after an unknown one of a write the process is
 * retired; a read without an answer has failed. */
static void test_outcomes(void **state)
{
    static const struct {
        bool read;
        enum outcome o;
        const char *type;
        uint64_t p;
    } cases[] = {{false, OUT_OK, "ok", 0},     {true, OUT_OK, "ok", 0},
                 {false, OUT_FAIL, "fail", 0}, {true, OUT_FAIL, "fail", 0},
                 {false, OUT_INFO, "info", 1}, {true, OUT_INFO, "fail", 0}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        bool ok = cases[i].o == OUT_OK;
        char want[32];
        char line[512];
        uint64_t p;

        written(cases[i].read, cases[i].o, line, &p);
        snprintf(want, sizeof(want), "\"type\":\"%s\"", cases[i].type);
        assert_non_null(strstr(line, want));
        assert_non_null(strstr(line, "\"p\":0,"));
        assert_int_equal(p, cases[i].p);
        assert_int_equal(strstr(line, "\"rev\":3") != NULL, ok);
        assert_int_equal(strstr(line, "\"err\":\"because\"") != NULL, !ok);
    }
}

/* ---- keys ---- */

/* A key has at most so many operations, the last ones included. */
static void test_key_operations(void **state)
{
    struct keys k;
    char first[NAME_MAX_LEN];
    char name[NAME_MAX_LEN];

    (void)state;
    keys_init(&k, "r", 2);
    assert_true(keys_use(&k, 0, 1, 1, first));
    for (int i = 1; i < KEY_OPS_MAX - 1; i++) {
        assert_false(keys_use(&k, 0, 1, 1, name));
        assert_string_equal(name, first);
    }
    assert_true(keys_use(&k, 0, 1, 2, name)); /* one would have fitted */
    assert_string_not_equal(name, first);
    keys_name(&k, 1, first);
    assert_string_not_equal(name, first);
}

/* A key has at most so many processes. */
static void test_key_processes(void **state)
{
    struct keys k;
    char first[NAME_MAX_LEN];
    char name[NAME_MAX_LEN];

    (void)state;
    keys_init(&k, "r", 1);
    for (uint64_t p = 0; p < 2 * KEY_PROCESSES_MAX; p++) {
        assert_int_equal(keys_use(&k, 0, p % KEY_PROCESSES_MAX, 1, first),
                         p == 0);
    }
    assert_true(keys_use(&k, 0, KEY_PROCESSES_MAX, 1, name));
    assert_string_not_equal(name, first);
}

/* A key has at most so many unknown outcomes; those of a key that was given
 * up already change nothing. */
static void test_key_infos(void **state)
{
    struct keys k;
    char first[NAME_MAX_LEN];
    char name[NAME_MAX_LEN];

    (void)state;
    keys_init(&k, "r", 1);
    keys_use(&k, 0, 1, 1, first);
    for (int i = 0; i < KEY_INFO_MAX; i++) {
        assert_false(keys_use(&k, 0, 1, 1, name));
        keys_info(&k, first);
    }
    assert_true(keys_use(&k, 0, 1, 1, name));
    keys_info(&k, first);
    keys_drop(&k, first);
    assert_false(keys_use(&k, 0, 1, 1, first));
    assert_string_equal(name, first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_judge),
        cmocka_unit_test(test_moved),
        cmocka_unit_test(test_answered),
        cmocka_unit_test(test_unanswered),
        cmocka_unit_test(test_not_connected),
        cmocka_unit_test(test_outcomes),
        cmocka_unit_test(test_key_operations),
        cmocka_unit_test(test_key_processes),
        cmocka_unit_test(test_key_infos),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
