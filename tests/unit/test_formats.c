/* Bytes that version 0.1.0 wrote, read back: a later version must still
 * understand them. The files are tests/golden/NAME.hex: lines of hexadecimal
 * digits, and lines "* N" for N zero bytes.
 *
 * "test_formats --write DIR" makes them anew; only a new file version gives
 * reason to, and then under new names beside the old ones. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/crc32c.h"
#include "raftio/driver.h"
#include "raftio/identity.h"
#include "raftio/peer_frame.h"
#include "raftio/snap.h"
#include "raftio/vote.h"
#include "raftio/wal.h"
#include "server/command/acl.h"
#include "server/command/command.h"
#include "server/node/peers_file.h"
#include "server/store/machine.h"
#include "server/store/users.h"
#include "tests/sim/disk_sim.h"
#include "tests/unit/wal_env.h"

enum { SEGMENT = 32 << 10, LOG_ENTRIES = 6, GOLDEN_MAX = 64 << 10 };
#define LOG_NAME "log/0000000000000001.log"
#define SNAP_NAME "snap/0000000000000006-0000000000000002.snap"
#define TIME_MS UINT64_C(1795173472126)

/* ---- hexadecimal files ---- */

static void golden_path(const char *name, char out[512])
{
    const char *dir = getenv("srcdir");

    snprintf(out, 512, "%s/tests/golden/%s.hex", dir != NULL ? dir : ".", name);
}

static struct buf golden(const char *name)
{
    struct buf b = BUF_INIT;
    char path[512];
    char line[160];
    FILE *f;

    golden_path(name, path);
    f = fopen(path, "r");
    if (f == NULL) {
        fail_msg("%s: %s", path, strerror(errno));
    }
    while (fgets(line, sizeof line, f) != NULL) {
        unsigned v;

        if (line[0] == '*') {
            for (long n = strtol(line + 1, NULL, 10); n > 0; n--) {
                buf_u8(&b, 0);
            }
            continue;
        }
        for (const char *p = line; sscanf(p, "%2x", &v) == 1; p += 2) {
            buf_u8(&b, (uint8_t)v);
        }
    }
    fclose(f);
    assert_in_range(b.n, 1, GOLDEN_MAX);
    return b;
}

static size_t zeros_at(struct bytes b, size_t at)
{
    size_t n = 0;

    while (at + n < b.n && b.p[at + n] == 0) {
        n++;
    }
    return n;
}

static void write_hex(const char *dir, const char *name, struct bytes b)
{
    char path[512];
    FILE *f;
    size_t at = 0;

    snprintf(path, sizeof path, "%s/%s.hex", dir, name);
    f = fopen(path, "w");
    hf_assert(f != NULL);
    while (at < b.n) {
        size_t zeros = zeros_at(b, at);

        if (zeros >= 64) {
            fprintf(f, "* %zu\n", zeros);
            at += zeros;
            continue;
        }
        for (int i = 0; i < 32 && at < b.n; i++) {
            fprintf(f, "%02x", b.p[at++]);
        }
        fputc('\n', f);
    }
    hf_assert(fclose(f) == 0);
}

/* ---- what was written ---- */

static struct identity who(void)
{
    struct identity id;

    memset(&id, 0, sizeof id);
    for (uint8_t i = 0; i < ID_BYTES; i++) {
        id.cluster_id[i] = (uint8_t)(0xC0 + i);
        id.dir_id[i] = (uint8_t)(0xD0 + i);
    }
    id.node_id = 1;
    return id;
}

static void put_command(struct buf *b, uint64_t number, const char *text)
{
    struct bytes argv[12];
    char words[128];
    char *rest = words;
    const struct command *c;
    struct buf reply = BUF_INIT;
    struct blob *bytes;
    int argc = 0;

    snprintf(words, sizeof words, "%s", text);
    for (char *w; (w = strtok_r(rest, " ", &rest)) != NULL && argc < 12;) {
        argv[argc++] = bytes_str(w);
    }
    c = command_find(argv, argc, &reply);
    hf_assert(c != NULL);
    bytes = command_encode(c, 0, argv, argc);
    entry_request(b, 4, number, blob_bytes(bytes));
    blob_unref(bytes);
    buf_release(&reply);
}

/* The payload of the command entry @index, 3 to LOG_ENTRIES: every kind of
 * record occurs. */
static struct blob *command_entry(uint64_t index)
{
    static const char *const seats[] = {"a:17379", "b:17379", "c:17379"};
    struct identity id = who();
    struct entry_node node = {{0}, seats[0], "a:7379", "a:8379"};
    struct buf b = BUF_INIT;
    struct blob *blob;

    memcpy(node.dir_id, id.dir_id, ID_BYTES);
    entry_begin(&b, TIME_MS + index, index == 3 ? ENTRY_COLD_START : 0);
    if (index == 3) {
        entry_init(&b, id.cluster_id, seats, 3, &node);
    } else if (index == 4) {
        entry_open(&b, 1, id.dir_id);
        memset(node.dir_id, 0xE1, ID_BYTES);
        node.peer = seats[1];
        entry_join(&b, &node);
        memset(node.dir_id, 0xE2, ID_BYTES);
        node.peer = seats[2];
        entry_join(&b, &node);
    } else if (index == 5) {
        put_command(&b, 1, "SET colour blue");
        put_command(&b, 2, "SET soon gone PX 60000");
        entry_void(&b, 4, 3);
        put_command(&b, 4, "ONCE OPEN");
        entry_address(&b, 2, seats[1], "b:1", "b:2");
        entry_gone(&b, 3);
        entry_initialized(&b);
    } else {
        put_command(&b, 5, "ONCE 5 1 INCRBY count 41");
        put_command(&b, 6, "TXN 1 colour 1 1 3 APPEND colour ish");
    }
    blob = blob_copy(b.p, b.n);
    buf_release(&b);
    return blob;
}

static void log_entry(uint64_t index, struct entry *e)
{
    struct conf c = {1, {{1, CONF_VOTER}}};

    if (index == 1) {
        driver_bootstrap_entry(&c, e);
        return;
    }
    *e = (struct entry){2, ENTRY_BARRIER, {NULL, 0}, NULL};
    if (index > 2) {
        e->type = ENTRY_COMMAND;
        e->blob = command_entry(index);
        e->data = blob_bytes(e->blob);
    }
}

static struct machine *machine_made(void)
{
    struct machine *m = machine_new();

    machine_set_run(m, command_run, NULL);
    for (uint64_t i = 3; i <= LOG_ENTRIES; i++) {
        struct blob *b = command_entry(i);

        hf_assert(machine_apply(m, i, blob_bytes(b)) == 0);
        blob_unref(b);
    }
    return m;
}

static struct hello hello_made(void)
{
    struct identity id = who();
    struct hello h = {1, 1, HELLO_MEMBER, {{0}, 0, {0}, ""}, 2, 0x1234, 0};

    memcpy(h.who.cluster_id, id.cluster_id, ID_BYTES);
    memcpy(h.who.dir_id, id.dir_id, ID_BYTES);
    h.who.node_id = 1;
    snprintf(h.who.addr, sizeof h.who.addr, "a:17379");
    return h;
}

static struct buf hello_bytes(void)
{
    struct hello h = hello_made();
    struct buf payload = BUF_INIT;
    struct buf b = BUF_INIT;
    uint8_t head[FRAME_HEADER];
    struct frame f = {0};

    hello_encode(&payload, &h);
    f.payload_crc = crc32c(0, payload.p, payload.n);
    f.payload_len = (uint32_t)payload.n;
    f.kind = FRAME_HELLO;
    f.flags = FRAME_FIRST | FRAME_LAST;
    f.seq = 1;
    f.message_len = f.payload_len;
    frame_encode(head, &f, 0);
    buf_append(&b, head, sizeof head);
    buf_bytes_append(&b, buf_bytes(&payload));
    buf_release(&payload);
    return b;
}

/* A user with one of everything. */
static struct user *user_made(void)
{
    static const uint8_t hash[USER_HASH] = {0xAB, 0xCD};
    struct user *u = user_new(bytes_str("app"), 17);
    struct user_rule read = {1, RULE_CATEGORY, 1};
    struct user_rule get = {0, RULE_COMMAND, 1};

    u->flags = USER_ON;
    hf_assert(user_add_hash(u, hash) && user_add_selector(u));
    hf_assert(selector_add_rule(&u->selectors[0], read));
    hf_assert(selector_add_rule(&u->selectors[0], get));
    hf_assert(
        patterns_add(&u->selectors[0].keys, bytes_str("app:*"), KEY_READ));
    hf_assert(patterns_add(&u->selectors[0].channels, bytes_str("c"), 0));
    u->selectors[1].flags =
        SELECTOR_COMMANDS | SELECTOR_KEYS | SELECTOR_CHANNELS;
    return u;
}

static struct buf user_bytes(void)
{
    struct user *u = user_made();
    struct buf b = BUF_INIT;

    user_encode(u, &b);
    user_free(u);
    return b;
}

/* Command bytes of a connection that has authenticated. */
static struct buf command_user_bytes(void)
{
    struct bytes argv[] = {bytes_str("get"), bytes_str("key")};
    struct acl_who who = {true, bytes_str("app"), 17};
    struct blob *c =
        command_encode_as(command_by_name(argv[0]), 0, &who, argv, 2);
    struct buf b = BUF_INIT;

    buf_append(&b, c->d, c->n);
    blob_unref(c);
    return b;
}

/* The same, as bytes, wherever an encoder is pure. */
static struct buf made(const char *name)
{
    struct identity id = who();
    struct vote_state v = {7, 9, 2, 41};
    uint8_t raw[VOTE_SLOT_BYTES];
    struct buf b = BUF_INIT;
    struct blob *e;

    if (strcmp(name, "hello") == 0) {
        return hello_bytes();
    }
    if (strcmp(name, "user") == 0) {
        return user_bytes();
    }
    if (strcmp(name, "command-user") == 0) {
        return command_user_bytes();
    }
    if (strcmp(name, "entry") == 0) {
        e = command_entry(5);
        buf_append(&b, e->d, e->n);
        blob_unref(e);
    } else if (strcmp(name, "identity") == 0) {
        identity_encode(&id, raw);
        buf_append(&b, raw, IDENTITY_BYTES);
    } else {
        hf_assert(strcmp(name, "vote") == 0);
        vote_encode(&v, &id, raw);
        buf_append(&b, raw, sizeof raw);
    }
    return b;
}

/* ---- a disk with such a file ---- */

static void put_file(struct disk *d, const char *name, struct bytes b)
{
    struct disk_file *f;

    assert_int_equal(disk_open(d, name, DISK_WRITE | DISK_CREATE, &f), 0);
    assert_int_equal(disk_pwrite(f, b.p, b.n, 0), 0);
    assert_int_equal(disk_sync(f), 0);
    disk_close(f);
}

static void put_golden(struct disk *d, const char *name, const char *file)
{
    struct buf b = golden(file);

    put_file(d, name, buf_bytes(&b));
    buf_release(&b);
}

/* ---- tests ---- */

/* Encoders still write what version 0.1.0 wrote. */
static void still_written(void **state)
{
    static const char *const names[] = {"identity", "vote", "entry",
                                        "hello",    "user", "command-user"};

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct buf is = made(names[i]);
        struct buf was = golden(names[i]);

        assert_int_equal(is.n, was.n);
        assert_memory_equal(is.p, was.p, was.n);
        buf_release(&is);
        buf_release(&was);
    }
}

/* A user of a snapshot is the one that it was, and so is a command's. */
static void users(void **state)
{
    struct buf b = golden("user");
    struct buf c = golden("command-user");
    struct user *u = user_decode(buf_bytes(&b));
    struct command_words w;

    (void)state;
    assert_non_null(u);
    assert_true(bytes_eq(blob_bytes(u->name), bytes_str("app")));
    assert_int_equal(u->born, 17);
    assert_int_equal(u->flags, USER_ON);
    assert_int_equal(u->hashes[0][1], 0xCD);
    assert_int_equal(u->selectors_n, 2);
    assert_int_equal(u->selectors[0].rules_n, 2);
    assert_int_equal(u->selectors[0].keys.v[0].access, KEY_READ);
    assert_int_equal(u->selectors[0].channels.n, 1);
    assert_int_equal(command_decode(buf_bytes(&c), &w), 0);
    assert_true(bytes_eq(w.user, bytes_str("app")));
    assert_int_equal(w.born, 17);
    command_words_release(&w);
    user_free(u);
    buf_release(&b);
    buf_release(&c);
}

/* A directory keeps its identity. */
static void identity(void **state)
{
    static const uint8_t fresh[ID_BYTES] = {1};
    struct disk *d = disk_sim_new();
    struct identity want = who();
    struct errmsg em = {{0}};
    struct identity id;

    (void)state;
    put_golden(d, "identity", "identity");
    assert_int_equal(identity_open(d, fresh, &id, &em), 0);
    assert_memory_equal(&id, &want, sizeof id);
    disk_sim_free(d);
}

/* A node keeps its word. */
static void vote(void **state)
{
    struct disk *d = disk_sim_new();
    struct identity id = who();
    struct errmsg em = {{0}};
    struct vote v;

    (void)state;
    put_golden(d, "vote.a", "vote");
    put_golden(d, "vote.b", "vote");
    assert_int_equal(vote_open(&v, d, &id, true, &em), 0);
    assert_false(v.repaired);
    assert_int_equal(v.now.seq, 7);
    assert_int_equal(v.now.term, 9);
    assert_int_equal(v.now.vote, 2);
    assert_int_equal(v.now.log_no, 41);
    disk_sim_free(d);
}

static void get_is(struct machine *m, const char *key, const char *reply)
{
    struct bytes argv[2] = {bytes_str("GET"), bytes_str(key)};
    struct buf b = BUF_INIT;
    struct blob *c = command_encode(command_by_name(argv[0]), 0, argv, 2);

    command_read(m, blob_bytes(c), &b);
    buf_u8(&b, 0);
    assert_string_equal(b.p, reply);
    blob_unref(c);
    buf_release(&b);
}

/* What the entries of the log made, whichever way it was kept. */
static void check_state(struct machine *m)
{
    uint64_t last;

    assert_int_equal(machine_index(m), LOG_ENTRIES);
    assert_int_equal(machine_time(m), TIME_MS + LOG_ENTRIES);
    get_is(m, "colour", "$7\r\nblueish\r\n");
    get_is(m, "count", "$2\r\n41\r\n");
    get_is(m, "soon", "$4\r\ngone\r\n");
    assert_int_equal(machine_next_deadline(m, 0), TIME_MS + 5 + 60000);
    assert_true(machine_initialized(m));
    assert_int_equal(machine_members(m), 2);
    assert_string_equal(machine_member(m, 2)->client, "b:1");
    assert_int_equal(machine_seats(m), 3);
    assert_int_equal(machine_session_of_node(m, 1, &last), 4);
    assert_int_equal(last, 6);
    assert_int_equal(machine_once_count(m), 1);
}

/* The log is found whole, and its entries do what they did. */
static void segment(void **state)
{
    struct disk *d = disk_sim_new();
    struct wal_recover_in in = {.cfg = {who(), SEGMENT, 0}};
    struct machine *m = machine_new();
    struct wal_recovered rec;
    struct errmsg em = {{0}};
    struct conf c;

    (void)state;
    assert_int_equal(disk_mkdir(d, "log"), 0);
    put_golden(d, LOG_NAME, "segment");
    assert_int_equal(wal_recover(d, &in, &rec, &em), 0);
    assert_true(rec.clean);
    assert_int_equal(rec.torn_bytes, 0);
    assert_int_equal(rec.first_index, 1);
    assert_int_equal(rec.n, LOG_ENTRIES);
    assert_int_equal(rec.entries[0].type, ENTRY_CHANGE);
    assert_int_equal(conf_decode(rec.entries[0].data, &c), 0);
    assert_true(conf_is_lone(&c, 1));
    assert_int_equal(rec.entries[1].type, ENTRY_BARRIER);
    machine_set_run(m, command_run, NULL);
    for (uint64_t i = 3; i <= LOG_ENTRIES; i++) {
        assert_int_equal(rec.entries[i - 1].term, 2);
        assert_int_equal(machine_apply(m, i, rec.entries[i - 1].data), 0);
    }
    check_state(m);
    machine_free(m);
    wal_recovered_release(&rec);
    disk_sim_free(d);
}

static int feed(void *dst, struct bytes b)
{
    struct errmsg em = {{0}};

    return machine_load_feed(dst, b, &em);
}

/* A state stream of version 1 knows no changes: its history begins behind it.
 */
static void check_history(struct machine *m, bool kept)
{
    struct history *h = store_history(machine_store(m));
    uint64_t revision = store_revision(machine_store(m));

    assert_int_equal(history_last(h).rev, revision);
    assert_int_equal(history_floor(h).rev, kept ? 0 : revision);
    assert_true(kept == (history_count(h) > 0));
}

/* The snapshot @name gives the same state as the log. */
static void check_snapshot(const char *name, bool history)
{
    struct disk *d = disk_sim_new();
    struct identity id = who();
    struct machine_load *l = machine_load_begin();
    struct snap_sink sink = {feed, l};
    struct machine *m = NULL;
    struct machine *by_log = machine_made();
    struct errmsg em = {{0}};
    struct snap_file f;

    assert_int_equal(disk_mkdir(d, "snap"), 0);
    put_golden(d, SNAP_NAME, name);
    assert_int_equal(snap_open(d, &id, &f, &em), 0);
    assert_int_equal(f.index, LOG_ENTRIES);
    snap_file_release(&f);
    assert_int_equal(snap_read(d, &id, 6, 2, &sink, &f, &em), 0);
    assert_int_equal(f.conf_index, 1);
    assert_int_equal(f.log_no, 3);
    assert_int_equal(f.node_id, 1);
    assert_int_equal(machine_load_finish(l, &m, &em), 0);
    machine_set_run(m, command_run, NULL);
    check_history(m, history);
    check_state(m);
    assert_int_equal(machine_sum(m), machine_sum(by_log));
    assert_int_equal(machine_digest(m), machine_digest(by_log));
    snap_file_release(&f);
    machine_free(m);
    machine_free(by_log);
    disk_sim_free(d);
}

/* That of version 0.1.0, whose state stream is of version 1. */
static void snapshot(void **state)
{
    (void)state;
    check_snapshot("snapshot", false);
}

/* State stream version 2: with the latest changes. */
static void snapshot_2(void **state)
{
    (void)state;
    check_snapshot("snapshot-2", true);
}

/* A node of version 0.1.0 may still introduce itself. */
static void hello(void **state)
{
    struct buf b = golden("hello");
    struct hello want = hello_made();
    struct hello h;
    struct frame f;

    (void)state;
    assert_int_equal(frame_decode(buf_bytes(&b), 0, &f), 0);
    assert_int_equal(f.kind, FRAME_HELLO);
    assert_int_equal(f.seq, 1);
    assert_int_equal(
        hello_decode(bytes_of(b.p + FRAME_HEADER, f.payload_len), &h), 0);
    assert_int_equal(h.version_min, 1);
    assert_int_equal(h.expected_id, 2);
    assert_int_equal(h.nonce, 0x1234);
    assert_memory_equal(&h.who, &want.who, sizeof h.who);
    buf_release(&b);
}

/* Addresses are found again at a cold start. */
static void peers(void **state)
{
    struct disk *d = disk_sim_new();
    struct peer_member m[LIM_NODES];
    struct identity id = who();

    (void)state;
    put_golden(d, "peers", "peers");
    assert_int_equal(peers_file_load(d, m, LIM_NODES), 2);
    assert_int_equal(m[0].id, 1);
    assert_memory_equal(m[0].dir_id, id.dir_id, ID_BYTES);
    assert_string_equal(m[1].addr, "b:17379");
    disk_sim_free(d);
}

/* ---- making the files ---- */

static void copy_out(struct disk *d,
                     const char *file,
                     const char *dir,
                     const char *name)
{
    static uint8_t raw[GOLDEN_MAX];
    struct disk_file *f;
    int64_t n;

    hf_assert(disk_open(d, file, DISK_READ, &f) == 0);
    n = disk_pread(f, raw, sizeof raw, 0);
    hf_assert(n > 0 && n < GOLDEN_MAX);
    disk_close(f);
    write_hex(dir, name, bytes_of(raw, (size_t)n));
}

static void on_durable(void *data, uint64_t token)
{
    *(uint64_t *)data = token;
}

static void on_fatal(void *data, const struct errmsg *em)
{
    (void)data;
    hf_assert(em == NULL);
}

static void on_closed(void *data, bool clean)
{
    hf_assert(clean);
    *(uint64_t *)data = LOG_ENTRIES + 1;
}

static void write_segment(const char *dir)
{
    struct disk *d = disk_sim_new();
    struct wal_recover_in in = {.cfg = {who(), SEGMENT, 0}};
    struct wal_recovered rec;
    struct errmsg em = {{0}};
    struct test_env t;
    uint64_t done = 0;
    struct wal_cbs cbs = {on_durable, on_fatal, &done};
    struct wal *w;

    hf_assert(wal_recover(d, &in, &rec, &em) == 0);
    test_env_init(&t, d, 1);
    w = wal_new(&t.e, NULL, &in.cfg, &rec, &cbs);
    wal_recovered_release(&rec);
    for (uint64_t i = 1; i <= LOG_ENTRIES; i++) {
        struct entry e;

        log_entry(i, &e);
        wal_append(w, i, &e, 1, i);
        entry_unref(&e);
        if (i % 2 == 0) {
            test_env_run(&t, 1000);
        }
    }
    wal_close(w, on_closed, &done);
    test_env_run(&t, 100000);
    hf_assert(done == LOG_ENTRIES + 1);
    copy_out(d, LOG_NAME, dir, "segment");
    wal_free_crashed(w);
    env_release(&t.e);
    disk_sim_free(d);
}

static int next_bytes(void *src, struct buf *out)
{
    return machine_snapshot_next(src, out) ? 1 : 0;
}

static void write_snapshot(const char *dir)
{
    struct disk *d = disk_sim_new();
    struct machine *m = machine_made();
    struct machine_frozen *frozen = machine_freeze(m);
    struct snap_source src = {next_bytes, frozen, NULL, 0};
    struct identity id = who();
    struct errmsg em = {{0}};
    struct snap_file f;
    struct entry e;

    log_entry(1, &e);
    hf_assert(snap_open(d, &id, &f, &em) == 0);
    f = (struct snap_file){.index = LOG_ENTRIES,
                           .term = 2,
                           .conf_index = 1,
                           .conf = e.data,
                           .log_no = 3};
    hf_assert(snap_write(d, &id, &f, &src, &em) == 0);
    copy_out(d, SNAP_NAME, dir, "snapshot-2");
    entry_unref(&e);
    machine_freeze_release(m, frozen);
    machine_free(m);
    disk_sim_free(d);
}

static void write_peers(const char *dir)
{
    struct identity id = who();
    struct buf b = BUF_INIT;

    buf_u32(&b, 0);
    buf_u32(&b, PEERS_FILE_VERSION);
    buf_u32(&b, 2);
    buf_u64(&b, 1);
    buf_append(&b, id.dir_id, ID_BYTES);
    buf_lbytes(&b, bytes_str("a:17379"));
    buf_u64(&b, 2);
    buf_append(&b, id.cluster_id, ID_BYTES);
    buf_lbytes(&b, bytes_str("b:17379"));
    put_u32(b.p, crc32c(0, b.p + 4, b.n - 4));
    write_hex(dir, "peers", buf_bytes(&b));
    buf_release(&b);
}

static int write_all(const char *dir)
{
    static const char *const names[] = {"identity", "vote", "entry",
                                        "hello",    "user", "command-user"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct buf b = made(names[i]);

        write_hex(dir, names[i], buf_bytes(&b));
        buf_release(&b);
    }
    write_segment(dir);
    write_snapshot(dir);
    write_peers(dir);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(still_written), cmocka_unit_test(users),
        cmocka_unit_test(identity),      cmocka_unit_test(vote),
        cmocka_unit_test(segment),       cmocka_unit_test(snapshot),
        cmocka_unit_test(hello),         cmocka_unit_test(snapshot_2),
        cmocka_unit_test(peers),
    };

    if (argc == 3 && strcmp(argv[1], "--write") == 0) {
        return write_all(argv[2]);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
