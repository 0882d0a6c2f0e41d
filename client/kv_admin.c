/* kv: the verbs for operation. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "client/kv_int.h"

enum {
    INIT_TIMEOUT_MS = 60000,
    MEMBER_TIMEOUT_MS = 30000,
    WAIT_TIMEOUT_MS = 60000,
    WAIT_STEP_MS = 200
};

static uint32_t timeout_or(const struct kv *kv, uint32_t ms)
{
    return kv->timeout_ms > 0 ? kv->timeout_ms : ms;
}

/* ---- fields of maps, unknown or missing ones tolerated ---- */

static int64_t int_field(const struct hf_reply *m, const char *key)
{
    const struct hf_reply *f = hf_reply_field(m, key);

    return f == NULL ? 0 : f->integer;
}

static const char *str_field(const struct hf_reply *m, const char *key)
{
    const struct hf_reply *f = hf_reply_field(m, key);

    return f == NULL || f->str == NULL || f->len == 0 ? "-" : f->str;
}

/* An id may come as a number or as text. */
static void print_id(const struct hf_reply *m, const char *key, int width)
{
    const struct hf_reply *f = hf_reply_field(m, key);

    if (f != NULL && f->type == HF_REPLY_INTEGER) {
        printf("%-*" PRId64, width, f->integer);
    } else {
        printf("%-*s", width, str_field(m, key));
    }
}

static void print_size(const char *name, int64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double v = (double)bytes;
    size_t u = 0;

    while (v >= 1024 && u + 1 < sizeof(units) / sizeof(units[0])) {
        v /= 1024;
        u++;
    }
    printf("%-12s%.*f %s\n", name, u == 0 ? 0 : 1, v, units[u]);
}

static void print_members(const struct hf_reply *list)
{
    printf("%-21s %-8s %-9s %12s %8s  %s\n", "ID", "ROLE", "STATE", "MATCH",
           "LAG", "ADDRESS");
    for (size_t i = 0; i < list->n; i++) {
        const struct hf_reply *m = &list->items[i];
        const char *addr = str_field(m, "client_address");

        if (m->type != HF_REPLY_MAP) {
            continue;
        }
        print_id(m, "id", 21);
        printf(" %-8s %-9s %12" PRId64 " %8" PRId64 "  %s\n",
               str_field(m, "role"), str_field(m, "state"),
               int_field(m, "match_index"), int_field(m, "lag"),
               strcmp(addr, "-") != 0 ? addr : str_field(m, "address"));
    }
}

static int64_t count_voters(const struct hf_reply *s)
{
    const struct hf_reply *members = hf_reply_field(s, "members");
    int64_t voters = 0;

    for (size_t i = 0; members != NULL && i < members->n; i++) {
        voters += strcmp(str_field(&members->items[i], "role"), "voter") == 0;
    }
    return voters;
}

static void print_status(const struct kv *kv, const struct hf_reply *s)
{
    const struct hf_reply *members = hf_reply_field(s, "members");

    printf("%-12s%s\n", "cluster", str_field(s, "cluster_id"));
    printf("%-12s", "node");
    print_id(s, "node_id", 0);
    printf(" (%s) at %s\n", str_field(s, "role"), hf_node(kv->c));
    printf("%-12s", "leader");
    print_id(s, "leader_id", 0);
    printf("\n%-12s%" PRId64 "\n", "term", int_field(s, "term"));
    printf("%-12slast %" PRId64 ", committed %" PRId64 ", applied %" PRId64
           ", snapshot %" PRId64 "\n",
           "log", int_field(s, "last_index"), int_field(s, "commit_index"),
           int_field(s, "applied_index"), int_field(s, "snapshot_index"));
    printf("%-12s%" PRId64 "\n", "keys", int_field(s, "keys"));
    print_size("disk", int_field(s, "disk_bytes"));
    print_size("memory", int_field(s, "memory_bytes"));
    if (count_voters(s) < int_field(s, "seats")) {
        printf("%-12s%" PRId64 " of %" PRId64 " taken\n", "seats",
               count_voters(s), int_field(s, "seats"));
    }
    if (members != NULL && members->n > 0) {
        putchar('\n');
        print_members(members);
    }
    printf("\n%s\n", str_field(s, "message"));
}

/* Has the cluster a leader, is every seat taken and every member up? */
static bool is_healthy(const struct hf_reply *s)
{
    const struct hf_reply *members = hf_reply_field(s, "members");
    int64_t voters = count_voters(s);
    bool leader = false;

    if (members == NULL || strcmp(str_field(s, "role"), "blank") == 0) {
        return false;
    }
    for (size_t i = 0; i < members->n; i++) {
        const char *state = str_field(&members->items[i], "state");

        leader = leader || strcmp(state, "leader") == 0;
        if (strcmp(state, "down") == 0 || strcmp(state, "joining") == 0) {
            return false;
        }
    }
    if (voters < int_field(s, "seats")) {
        return false; /* a seat is vacant */
    }
    return leader && (voters <= 2 || int_field(s, "tolerates_loss") != 0);
}

static int64_t now_ms(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Ask until the cluster is whole or the time is over; @last gets the last
 * answer, also when the very last try, short of time, had none. */
static int ask_status(struct kv *kv, struct hf_reply **last)
{
    struct hf_bytes argv[] = {hf_str("STATUS")};
    struct timespec step = {0, WAIT_STEP_MS * 1000000L};
    int64_t end_ms = now_ms() + timeout_or(kv, kv->wait ? WAIT_TIMEOUT_MS : 0);
    int64_t at_ms = 0;

    for (;;) {
        int64_t left = end_ms - now_ms();
        uint32_t once_ms = left > 2000 ? 2000 : left > 1 ? (uint32_t)left : 1;
        struct hf_reply *r = NULL;
        int rv = hf_call(kv->c, HF_CALL_READ, argv, 1,
                         kv->wait ? once_ms : kv->timeout_ms, &r);

        if (rv == HF_OK) {
            hf_reply_free(*last);
            *last = r;
            at_ms = now_ms();
        }
        if (kv->wait && now_ms() < end_ms && !kv_interrupted &&
            (rv == HF_OK ? !is_healthy(r) : rv == HF_ENOLEADER)) {
            (void)nanosleep(&step, NULL);
            continue;
        }
        if (kv->wait && rv == HF_ENOLEADER && *last != NULL &&
            !kv_interrupted) {
            fprintf(stderr, "kv: the last answer came %.1f s ago\n",
                    (double)(now_ms() - at_ms) / 1000);
            return HF_OK;
        }
        return rv;
    }
}

int kv_status(struct kv *kv)
{
    struct hf_reply *r = NULL;
    int rv = ask_status(kv, &r);
    int status = KV_DONE;

    if (rv != HF_OK) {
        status = kv_result(kv, rv, "");
    } else if (kv->output == KV_JSON || r->type != HF_REPLY_MAP) {
        kv_print_reply(kv, r);
    } else {
        print_status(kv, r);
    }
    if (rv == HF_OK && kv->wait && !is_healthy(r)) {
        fprintf(stderr,
                "kv: the cluster was not whole within the timeout\n"
                "hint: see the state of each member above; start those that "
                "are down, or give a longer --timeout\n");
        status = KV_FAILED;
    }
    hf_reply_free(r);
    return status;
}

/* Send a command, print its reply. */
static int run_command(struct kv *kv,
                       enum hf_call_mode mode,
                       const struct hf_bytes *argv,
                       size_t argc,
                       uint32_t timeout_ms)
{
    struct hf_reply *r = NULL;
    int rv = hf_call(kv->c, mode, argv, argc, timeout_ms, &r);

    if (rv == HF_OK && kv->output != KV_JSON && r->type == HF_REPLY_ARRAY &&
        r->n > 0 && r->items[0].type == HF_REPLY_MAP) {
        print_members(r);
    } else if (rv == HF_OK) {
        kv_print_reply(kv, r);
    }
    hf_reply_free(r);
    return kv_result(kv, rv, "");
}

int kv_init(struct kv *kv)
{
    struct hf_bytes argv[] = {hf_str("INIT"), hf_str("FORCE")};

    return run_command(kv, HF_CALL_ONCE, argv, kv->force ? 2 : 1,
                       timeout_or(kv, INIT_TIMEOUT_MS));
}

int kv_member(struct kv *kv)
{
    static const struct {
        const char *name;
        size_t min;
        size_t max;
        enum hf_call_mode mode;
        uint32_t timeout_ms; /* 0: the default of any call */
    } table[] = {{"list", 1, 1, HF_CALL_READ, 0},
                 {"remove", 2, 2, HF_CALL_ONCE, MEMBER_TIMEOUT_MS},
                 {"promote", 2, 2, HF_CALL_ONCE, MEMBER_TIMEOUT_MS},
                 {"transfer", 1, 2, HF_CALL_ONCE, MEMBER_TIMEOUT_MS}};
    struct hf_bytes argv[3] = {hf_str("MEMBER")};

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (strcmp(kv->args[0], table[i].name) != 0) {
            continue;
        }
        if (kv->nargs < table[i].min || kv->nargs > table[i].max) {
            return kv_usage(kv, "member %s: wrong number of arguments",
                            table[i].name);
        }
        for (size_t k = 0; k < kv->nargs; k++) {
            argv[k + 1] = hf_str(kv->args[k]);
        }
        return run_command(kv, table[i].mode, argv, kv->nargs + 1,
                           timeout_or(kv, table[i].timeout_ms));
    }
    return kv_usage(kv, "member %s: there are list, remove, promote, transfer",
                    kv->args[0]);
}

int kv_call(struct kv *kv)
{
    struct hf_bytes *argv = hf_calloc(kv->nargs, sizeof(*argv));
    struct hf_reply *r = NULL;
    int rv;

    for (size_t i = 0; i < kv->nargs; i++) {
        argv[i] = hf_str(kv->args[i]);
    }
    rv = hf_call(kv->c, HF_CALL_ONCE, argv, kv->nargs, kv->timeout_ms, &r);
    free(argv);
    if (r != NULL) {
        kv_print_reply(kv, r);
    }
    hf_reply_free(r);
    return kv_result(kv, rv, "");
}
