/* libFuzzer target: settings (file and flags) and the file of peers.
 *
 *   first byte % 3   0: a configuration file
 *                    1: flags, each ends with a zero byte
 *                    2: a file of peers; its checksum is put right
 *
 * What is accepted keeps its meaning when it is said again in the words that
 * CONFIG GET prints. */
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/limits.h"
#include "server/edge/settings.h"
#include "server/node/peers_file.h"
#include "tests/fuzz/fuzz.h"

enum { FLAGS_MAX = 24, WORD_MAX = 4096 };

static void check_same(const struct settings *a, const struct settings *b)
{
    const char *name;
    char va[WORD_MAX / 2];
    char vb[WORD_MAX / 2];

    for (size_t i = 0; settings_row(a, i, &name, va, sizeof va); i++) {
        hf_assert(settings_row(b, i, &name, vb, sizeof vb));
        hf_assert(strcmp(name, "config") == 0 || strcmp(va, vb) == 0);
    }
    hf_assert(a->join_n == b->join_n);
    for (int i = 0; i < a->join_n; i++) {
        hf_assert(strcmp(a->join[i], b->join[i]) == 0);
    }
}

static void check_again(const struct settings *s)
{
    static char words[SETTINGS_MAX][WORD_MAX];
    static char *argv[SETTINGS_MAX + 1];
    static struct settings again;
    struct errmsg em = {{0}};
    const char *name;
    char value[WORD_MAX / 2];
    int argc = 1;

    argv[0] = words[0];
    for (size_t i = 0; settings_row(s, i, &name, value, sizeof value); i++) {
        if (strcmp(name, "config") == 0 || value[0] == '\0') {
            continue;
        }
        argv[argc] = words[argc];
        snprintf(words[argc], WORD_MAX, "--%s=%s", name, value);
        argc++;
    }
    hf_assert(settings_parse(&again, argc, argv, &em) == 0);
    check_same(&again, s);
}

static void parse(int argc, char *const *argv)
{
    static struct settings s;
    static struct settings twice;
    struct errmsg em = {{0}};
    int rv = settings_parse(&s, argc, argv, &em);

    hf_assert(settings_parse(&twice, argc, argv, NULL) == rv);
    if (rv != 0) {
        hf_assert(rv == HF_EINVAL && em.text[0] != '\0');
        return;
    }
    check_same(&s, &twice);
    if (!s.help && !s.version) {
        check_again(&s);
    }
}

static void file(struct bytes b)
{
    char arg[] = "--config=/proc/self/fd/0123456789";
    char prog[] = "holdfastd";
    char *argv[2] = {prog, arg};
    int fd = memfd_create("fuzz", 0);

    hf_assert(fd >= 0);
    hf_assert(write(fd, b.p, b.n) == (ssize_t)b.n);
    snprintf(arg, sizeof arg, "--config=/proc/self/fd/%d", fd);
    parse(2, argv);
    close(fd);
}

static void flags(struct bytes b)
{
    char *text = hf_malloc(b.n + 1);
    char *argv[FLAGS_MAX] = {text};
    int argc = 1;

    memcpy(text, b.p, b.n);
    text[b.n] = '\0';
    for (size_t at = 0; at < b.n && argc < FLAGS_MAX;) {
        argv[argc++] = text + at;
        at += strlen(text + at) + 1;
    }
    /* Any file at all could be named. */
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--config", 8) == 0 && argv[i][8] != '-') {
            argv[i][2] = 'x';
        }
    }
    parse(argc, argv);
    free(text);
}

static void peers(struct bytes b)
{
    struct disk *d = disk_sim_new();
    struct peer_member m[LIM_NODES];
    struct buf again = BUF_INIT;
    struct buf all = BUF_INIT;
    unsigned n;

    buf_u32(&all, crc32c(0, b.p, b.n));
    buf_bytes_append(&all, b);
    fuzz_put(d, "peers", buf_bytes(&all));
    n = peers_file_load(d, m, LIM_NODES);
    hf_assert(n <= LIM_NODES);
    if (n > 0) {
        peers_file_encode(&again, m, n);
        hf_assert(bytes_eq(buf_bytes(&all), buf_bytes(&again)));
    }
    buf_release(&all);
    buf_release(&again);
    disk_sim_free(d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    if (data[0] % 3 == 0) {
        file(bytes_of(data + 1, size - 1));
    } else if (data[0] % 3 == 1) {
        flags(bytes_of(data + 1, size - 1));
    } else {
        peers(bytes_of(data + 1, size - 1));
    }
    return 0;
}
