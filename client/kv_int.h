/* Shared by the files of the kv command only. */
#ifndef HF_CLIENT_KV_INT_H
#define HF_CLIENT_KV_INT_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "client/holdfast.h"

/* Exit statuses. */
enum {
    KV_DONE = 0,
    KV_NO = 1, /* no such key, or condition false */
    KV_USAGE = 2,
    KV_FAILED = 3,  /* certainly not done */
    KV_UNKNOWN = 4, /* outcome unknown */
    KV_TRIMMED = 5, /* watch: the position is no longer kept */
    KV_PARTLY = 6   /* txn: done, but for commands that failed by themselves */
};

enum kv_output {
    KV_TEXT, /* for people */
    KV_RAW,  /* for pipes: the bytes as they are */
    KV_JSON  /* one value a line */
};

struct kv_verb;

/* Options of kv bench; kv_bench.c has the defaults. */
struct kv_bench_options {
    uint64_t connections;
    uint64_t pipeline; /* 0: not given, as with the next three */
    uint64_t rate;
    uint64_t duration_ms;
    uint64_t requests;
    uint64_t reads;
    uint64_t keys;
    uint64_t key_size;
    uint64_t value_size;
    uint64_t seed;
    uint64_t warmup_ms;
    uint64_t idle;
    const char *distribution;
    bool fill;
    bool spread;
    bool progress;
};

/* The command line, taken apart. */
struct kv {
    const struct kv_verb *verb;
    const char *const *args; /* positional arguments of the verb */
    size_t nargs;
    struct hf *c;
    const char *endpoints;
    enum kv_output output;
    uint32_t timeout_ms; /* 0: the verb's own */
    bool stale;
    uint32_t max_age_ms;
    const char *user;
    const char *password_file;
    /* options of single verbs */
    uint64_t ttl_ms;
    uint64_t limit;
    uint64_t count;
    const char *from;
    bool if_absent;
    bool if_present;
    bool keep_ttl;
    bool reverse;
    bool keys_only;
    bool wait;
    bool force;
    struct kv_bench_options bench;
    bool help;
    bool version;
};

struct kv_verb {
    const char *name;
    size_t args_min;
    size_t args_max;
    int (*run)(struct kv *kv); /* an exit status */
    const char *synopsis;      /* what follows the name */
    const char *summary;
    const char *options; /* options of its own, separated by blanks */
    const char *help;    /* lines below the synopsis */
};

int kv_get(struct kv *kv);
int kv_set(struct kv *kv);
int kv_del(struct kv *kv);
int kv_incr(struct kv *kv);
int kv_cas(struct kv *kv);
int kv_scan(struct kv *kv);
int kv_range(struct kv *kv);
int kv_ttl(struct kv *kv);
int kv_txn(struct kv *kv);
int kv_init(struct kv *kv);
int kv_status(struct kv *kv);
int kv_member(struct kv *kv);
int kv_watch(struct kv *kv);
int kv_call(struct kv *kv);
int kv_bench(struct kv *kv);

void kv_bench_defaults(struct kv_bench_options *o);

/* Without a verb: the prompt, or a script on stdin. */
int kv_prompt(struct kv *kv);

/* At the prompt: a line as from the shell, argv[0] being "kv", with the handle
 * and the global options of @outer. */
int kv_line(const struct kv *outer, int argc, char **argv);

/* The name of verb @i; NULL past the last. */
const char *kv_verb_name(size_t i);

/* Ctrl-C at the prompt. Calls of the library end by themselves; what goes on
 * after one looks at it. */
extern volatile sig_atomic_t kv_interrupted;

/* Say what is wrong with the command line. Returns KV_USAGE. */
int kv_usage(const struct kv *kv, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Turn a library's result into an exit status; explain it on stderr unless
 * it is HF_OK. @no is what HF_NO means here. */
int kv_result(const struct kv *kv, int rv, const char *no);

/* The whole of stdin. False: over the limit of a request. */
bool kv_stdin(struct buf *b);

/* ---- output ---- */

/* Bytes for people: control characters as \xNN. */
void kv_print_safe(const char *p, size_t n);
/* A JSON string; bytes that are not UTF-8: {"base64":"..."}. */
void kv_print_json(const char *p, size_t n);
/* In the output form asked for, with a line end but for raw. */
void kv_print_bytes(const struct kv *kv, const char *p, size_t n);
/* Any reply, as redis-cli shows it. */
void kv_print_reply(const struct kv *kv, const struct hf_reply *r);

#endif
