/* OBJECT and RANDOMKEY: what Redis tells of a key beside its value. */
#include "resp/resp.h"
#include "server/command/args.h"
#include "server/store/machine.h"

/* ---- OBJECT ---- */

enum {
    EMBSTR_MAX = 44,          /* bytes of the longest "embstr" */
    SHARED_INTEGERS = 10000,  /* 0 .. 9999 have one object each in Redis, */
    SHARED_COUNT = INT32_MAX, /* of so many references */
};

static void object_encoding(struct bytes value, struct buf *reply)
{
    int64_t v;

    resp_bulk_str(reply, args_i64(value, &v)     ? "int"
                         : value.n <= EMBSTR_MAX ? "embstr"
                                                 : "raw");
}

static void object_refcount(struct bytes value, struct buf *reply)
{
    int64_t v;
    bool shared = args_i64(value, &v) && v >= 0 && v < SHARED_INTEGERS;

    resp_int(reply, shared ? SHARED_COUNT : 1);
}

static void object_idle(struct machine *m,
                        const struct item *it,
                        struct buf *reply)
{
    /* Each node has its own idea of it, and replies in the log are saved. */
    if (machine_applying(m)) {
        resp_error(reply,
                   "ERR OBJECT IDLETIME cannot stand in a transaction that "
                   "writes");
        return;
    }
    resp_int(reply,
             (int64_t)(store_idle_ms(machine_store(m), it, machine_clock(m)) /
                       1000));
}

void cmd_object(struct machine *m,
                const struct bytes *argv,
                int argc,
                struct buf *reply)
{
    const struct command *object = command_by_name(argv[0]);
    const struct command *c = command_sub(object, argv[1]);
    const struct item *it;

    if (c == NULL) {
        command_error_subcommand(object, argv[1], reply);
        return;
    }
    if (argc != c->arity) {
        command_error_arity(c, reply);
        return;
    }
    if (argc == 2) {
        if (m != NULL) {
            command_help(object, reply);
        }
        return;
    }
    if (!args_need_key(argv[2], reply) || m == NULL) {
        return;
    }
    it = store_get(machine_store(m), argv[2]);
    if (it == NULL) {
        resp_null(reply);
    } else if (bytes_ieq(argv[1], "ENCODING")) {
        object_encoding(item_value(it), reply);
    } else if (bytes_ieq(argv[1], "REFCOUNT")) {
        object_refcount(item_value(it), reply);
    } else if (bytes_ieq(argv[1], "IDLETIME")) {
        object_idle(m, it, reply);
    } else {
        resp_error(reply,
                   "ERR An LFU maxmemory policy is not selected, access "
                   "frequency not tracked. Please note that when switching "
                   "between policies at runtime LRU and LFU data will take "
                   "some time to adjust.");
    }
}

/* ---- RANDOMKEY ---- */

/* The first key in hash order, from a place of chance on: neither the order
 * nor a tie depends on how the index of this node is laid out. */
struct nearest {
    const struct item *it;
    uint64_t hash;
};

static void nearest_found(void *ctx, const struct item *it)
{
    struct nearest *n = ctx;
    uint64_t hash = map_hash(item_key(it));

    if (n->it == NULL || hash < n->hash ||
        (hash == n->hash && bytes_cmp(item_key(it), item_key(n->it)) < 0)) {
        n->it = it;
        n->hash = hash;
    }
}

void cmd_randomkey(struct machine *m,
                   const struct bytes *argv,
                   int argc,
                   struct buf *reply)
{
    enum { STEPS_MAX = 1000 };
    struct nearest n = {NULL, 0};
    struct store_iter walk;
    struct store *s;
    uint64_t at;

    (void)argv;
    (void)argc;
    if (m == NULL) {
        return;
    }
    s = machine_store(m);
    at = machine_chance(m) >> (64 - MAP_CURSOR_BITS);
    /* Behind the last position it goes on at the first. How many steps it
     * takes is each node's own, so an entry that is applied, whose reply may be
     * kept (ONCE), takes as many as there are. */
    for (int i = 0; n.it == NULL && store_count(s) > 0 &&
                    (i < STEPS_MAX || machine_applying(m));
         i++) {
        at = store_scan(s, at, 1, nearest_found, &n);
    }
    /* Only among very many keys that wait for their removal. */
    if (n.it == NULL) {
        n.it = store_iter_seek(s, &walk, NULL, false);
    }
    if (n.it == NULL) {
        resp_null(reply);
    } else {
        resp_bulk(reply, item_key(n.it));
    }
}
