/* SLOWLOG, LATENCY, MEMORY, and what remains of server commands. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "resp/resp.h"
#include "server/command/admin_int.h"
#include "server/command/args.h"
#include "server/command/stats.h"
#include "server/store/machine.h"

/* Beside key and value: its header, and its places in tree and hash. */
enum { MEMORY_ITEM_BYTES = sizeof(struct item) + 2 * sizeof(void *) };

/* NULL: nothing was ever counted, for a view without a process. */
static struct stats *stats_of(const struct ask *a)
{
    return a->v->edge != NULL ? a->v->edge->stats : NULL;
}

/* ---- SLOWLOG ---- */

void admin_slowlog_get(const struct ask *a)
{
    const struct stats *s = stats_of(a);
    int64_t n = 10;
    uint64_t have = s == NULL ? 0 : s->slow_n;
    const struct stats_slow *w = s == NULL ? NULL : s->slow;

    if (a->argc > 3) {
        resp_error(a->reply,
                   "ERR unknown subcommand or wrong number of arguments for "
                   "'GET'. Try SLOWLOG HELP.");
        return;
    }
    if (a->argc == 3 && (!args_i64(a->argv[2], &n) || n < -1)) {
        resp_error(a->reply, "ERR count should be greater than or equal to -1");
        return;
    }
    if (n == -1 || (uint64_t)n > have) {
        n = (int64_t)have;
    }
    resp_array(a->reply, (size_t)n);
    for (; n > 0; n--, w = w->older) {
        resp_array(a->reply, 6);
        resp_int(a->reply, (int64_t)w->id);
        resp_int(a->reply, (int64_t)w->unix_s);
        resp_int(a->reply, (int64_t)w->us);
        buf_bytes_append(a->reply, buf_bytes(&w->words));
        resp_bulk_str(a->reply, w->addr);
        resp_bulk(a->reply, buf_bytes(&w->name));
    }
}

void admin_slowlog_len(const struct ask *a)
{
    const struct stats *s = stats_of(a);

    resp_int(a->reply, s == NULL ? 0 : (int64_t)s->slow_n);
}

void admin_slowlog_reset(const struct ask *a)
{
    if (stats_of(a) != NULL) {
        stats_slow_reset(stats_of(a));
    }
    resp_ok(a->reply);
}

/* ---- LATENCY ---- */

void admin_latency_latest(const struct ask *a)
{
    const struct stats *s = stats_of(a);
    unsigned n = s == NULL ? 0 : s->events_n;

    resp_array(a->reply, n);
    for (unsigned i = 0; i < n; i++) {
        const struct stats_event *e = &s->events[i];
        const struct stats_sample *last = stats_event_at(e, e->n - 1);

        resp_array(a->reply, 4);
        resp_bulk_str(a->reply, e->name);
        resp_int(a->reply, (int64_t)last->unix_s);
        resp_int(a->reply, (int64_t)last->ms);
        resp_int(a->reply, (int64_t)e->max_ms);
    }
}

static const struct stats_event *event_of(const struct ask *a)
{
    return stats_of(a) == NULL ? NULL
                               : stats_event_find(stats_of(a), a->argv[2]);
}

void admin_latency_history(const struct ask *a)
{
    const struct stats_event *e = event_of(a);
    unsigned n = e == NULL ? 0 : e->n;

    resp_array(a->reply, n);
    for (unsigned i = 0; i < n; i++) {
        resp_array(a->reply, 2);
        resp_int(a->reply, (int64_t)stats_event_at(e, i)->unix_s);
        resp_int(a->reply, (int64_t)stats_event_at(e, i)->ms);
    }
}

void admin_latency_reset(const struct ask *a)
{
    struct stats *s = stats_of(a);
    unsigned gone = 0;

    if (s != NULL && a->argc == 2) {
        gone = stats_event_reset(s, NULL);
    }
    for (int i = 2; s != NULL && i < a->argc; i++) {
        gone += stats_event_reset(s, &a->argv[i]);
    }
    resp_int(a->reply, gone);
}

enum { GRAPH_ROWS = 4 };

/* A column for each sample, oldest first, as high as it is long. */
void admin_latency_graph(const struct ask *a)
{
    const struct stats_event *e = event_of(a);
    struct buf t = BUF_INIT;
    uint64_t low = UINT64_MAX, high = 0;

    if (e == NULL) {
        resp_errorf(a->reply, "ERR No samples available for event '%.*s'",
                    (int)(a->argv[2].n < 64 ? a->argv[2].n : 64),
                    (const char *)a->argv[2].p);
        return;
    }
    for (unsigned i = 0; i < e->n; i++) {
        uint64_t ms = stats_event_at(e, i)->ms;

        low = ms < low ? ms : low;
        high = ms > high ? ms : high;
    }
    buf_printf(&t,
               "%s - high %" PRIu64 " ms, low %" PRIu64
               " ms (all time high %" PRIu64 " ms)\n",
               e->name, high, low, e->max_ms);
    for (uint64_t row = GRAPH_ROWS; row-- > 0;) {
        for (unsigned i = 0; i < e->n; i++) {
            uint64_t ms = stats_event_at(e, i)->ms;
            uint64_t top =
                high == low ? 0 : (ms - low) * (GRAPH_ROWS - 1) / (high - low);

            buf_u8(&t, top > row ? '|' : top == row ? '#' : ' ');
        }
        buf_u8(&t, '\n');
    }
    resp_verbatim(a->reply, buf_bytes(&t));
    buf_release(&t);
}

static const struct {
    const char *event;
    const char *meaning;
} meanings[] = {
    {"command", "a client waited so long for its reply: see SLOWLOG"},
    {"log-fsync",
     "a write to the log and its fsync: every write of every "
     "client waits for it. A faster disk, or one that nothing "
     "else uses, is what helps"},
    {"snapshot",
     "a snapshot was written, beside the clients: only if other "
     "events come at the same time does it matter"},
    {"loop-turn",
     "this node answered nobody meanwhile: the processor was "
     "taken away from it, or a request was very large"},
    {"election", "so long no leader was heard, and writes waited"},
};

void admin_latency_doctor(const struct ask *a)
{
    const struct stats *s = stats_of(a);
    struct buf t = BUF_INIT;

    if (s == NULL || s->latency_ms == 0) {
        buf_printf(&t,
                   "Events are not recorded: CONFIG SET "
                   "latency-monitor-threshold <milliseconds> records those "
                   "that take so long.\n");
    } else if (s->events_n == 0) {
        buf_printf(&t, "Nothing took %" PRIu64 " ms or longer.\n",
                   s->latency_ms);
    }
    for (unsigned i = 0; s != NULL && i < s->events_n; i++) {
        const struct stats_event *e = &s->events[i];
        uint64_t sum = 0;

        for (unsigned k = 0; k < e->n; k++) {
            sum += stats_event_at(e, k)->ms;
        }
        buf_printf(&t,
                   "%u. %s: %u samples, on average %" PRIu64
                   " ms, at most %" PRIu64 " ms.",
                   i + 1, e->name, e->n, sum / e->n, e->max_ms);
        for (size_t m = 0; m < sizeof meanings / sizeof meanings[0]; m++) {
            if (strcmp(meanings[m].event, e->name) == 0) {
                buf_printf(&t, " It means: %s.", meanings[m].meaning);
            }
        }
        buf_u8(&t, '\n');
    }
    resp_verbatim(a->reply, buf_bytes(&t));
    buf_release(&t);
}

static void histogram(const struct command *c,
                      const struct stats_command *r,
                      struct buf *out)
{
    struct buf body = BUF_INIT;
    uint64_t seen = 0, top = 1024; /* nanoseconds, doubling */
    size_t n = 0;
    char name[48];

    for (unsigned i = 0; i < STATS_BUCKETS && seen < r->calls;) {
        uint64_t before = seen;

        while (i < STATS_BUCKETS && stats_bucket_top(i) * 1000 <= top) {
            seen += r->buckets[i++];
        }
        if (seen > before) {
            resp_int(&body, (int64_t)(top / 1000));
            resp_int(&body, (int64_t)seen);
            n++;
        }
        top *= 2;
    }
    command_full_name(c, name);
    resp_bulk_str(out, name);
    resp_map(out, 2);
    admin_field_int(out, "calls", r->calls);
    resp_bulk_str(out, "histogram_usec");
    resp_map(out, n);
    buf_bytes_append(out, buf_bytes(&body));
    buf_release(&body);
}

/* A command by itself, or with all its subcommands. */
static bool asked_for(const struct ask *a, const struct command *c)
{
    char name[48];

    command_full_name(c, name);
    for (int i = 2; i < a->argc; i++) {
        if (bytes_ieq(a->argv[i], name) ||
            (c->parent != NULL && bytes_ieq(a->argv[i], c->parent))) {
            return true;
        }
    }
    return a->argc == 2;
}

void admin_latency_histogram(const struct ask *a)
{
    const struct stats *s = stats_of(a);
    struct buf body = BUF_INIT;
    size_t rows, n = 0;
    const struct command *c = command_table(&rows);

    for (size_t i = 0; s != NULL && i < rows; i++) {
        if (s->commands[i] != NULL && s->commands[i]->calls > 0 &&
            asked_for(a, &c[i])) {
            histogram(&c[i], s->commands[i], &body);
            n++;
        }
    }
    resp_map(a->reply, n);
    buf_bytes_append(a->reply, buf_bytes(&body));
    buf_release(&body);
}

/* ---- MEMORY ---- */

void admin_memory_stats(const struct ask *a)
{
    const struct node_view *v = a->v;
    const struct stats *s = stats_of(a);
    uint64_t peak = s == NULL ? 0 : s->memory_peak;
    uint64_t rest =
        v->rss_bytes > v->memory_bytes ? v->rss_bytes - v->memory_bytes : 0;

    peak = peak > v->memory_bytes ? peak : v->memory_bytes;
    resp_map(a->reply, 14);
    admin_field_int(a->reply, "peak.allocated", peak);
    admin_field_int(a->reply, "total.allocated", v->memory_bytes);
    admin_field_int(a->reply, "startup.allocated", 0);
    admin_field_int(a->reply, "replication.backlog", 0);
    admin_field_int(a->reply, "clients.normal", v->clients_bytes);
    admin_field_int(a->reply, "overhead.total", v->memory_held);
    admin_field_int(a->reply, "held.bytes", v->memory_held);
    admin_field_int(a->reply, "keys.count", v->keys);
    admin_field_int(a->reply, "keys.bytes-per-key",
                    v->keys == 0 ? 0 : v->memory_bytes / v->keys);
    admin_field_int(a->reply, "dataset.bytes", v->memory_bytes);
    resp_bulk_str(a->reply, "peak.percentage");
    resp_double(a->reply, 100 * admin_ratio(v->memory_bytes, peak));
    admin_field_int(a->reply, "process.resident", v->rss_bytes);
    resp_bulk_str(a->reply, "fragmentation");
    resp_double(a->reply, admin_ratio(v->rss_bytes, v->memory_bytes));
    admin_field_int(a->reply, "fragmentation.bytes", rest);
}

void admin_memory_doctor(const struct ask *a)
{
    const struct node_view *v = a->v;
    struct buf t = BUF_INIT;
    int n = 0;

    if (v->memory_limit > 0 && v->memory_bytes > v->memory_limit / 10 * 9) {
        buf_printf(&t,
                   "%d. Keys and values take %" PRIu64 " of %" PRIu64
                   " bytes (memory-limit); beyond, writes are refused.\n",
                   ++n, v->memory_bytes, v->memory_limit);
    }
    if (v->system_memory > 0 && v->rss_bytes > v->system_memory / 10 * 8) {
        buf_printf(&t,
                   "%d. The process has %" PRIu64 " of %" PRIu64
                   " bytes of this machine.\n",
                   ++n, v->rss_bytes, v->system_memory);
    }
    if (v->memory_held > v->memory_bytes / 2 && v->memory_held > 64 << 20) {
        buf_printf(&t,
                   "%d. %" PRIu64
                   " bytes are kept only for a snapshot or a walk that is "
                   "under way; they go when it ends.\n",
                   ++n, v->memory_held);
    }
    if (v->rss_bytes > 2 * (v->memory_bytes + v->memory_held) &&
        v->rss_bytes > 512 << 20) {
        buf_printf(&t,
                   "%d. Half of the process's memory holds no keys: buffers "
                   "of clients and log, or free pieces. MEMORY PURGE gives "
                   "free ones back.\n",
                   ++n);
    }
    if (n == 0) {
        buf_printf(&t, "Nothing is wrong with the use of memory.\n");
    }
    resp_verbatim(a->reply, buf_bytes(&t));
    buf_release(&t);
}

void admin_memory_purge(const struct ask *a)
{
    if (admin_need_process(a)) {
        a->v->process->purge(a->v->process->data);
        resp_ok(a->reply);
    }
}

void admin_memory_malloc(const struct ask *a)
{
    struct buf t = BUF_INIT;

    if (admin_need_process(a)) {
        a->v->process->malloc_stats(a->v->process->data, &t);
        resp_verbatim(a->reply, buf_bytes(&t));
        buf_release(&t);
    }
}

/* ---- the rest ---- */

void admin_lastsave(const struct ask *a)
{
    resp_int(a->reply, (int64_t)a->v->snapshot_unix_s);
}

void admin_debug(const struct ask *a)
{
    enum { SLEEP_MAX_S = 3600 };
    char text[32], *end;
    double seconds;

    if (a->v->process == NULL || !a->v->process->debug) {
        resp_error(a->reply,
                   "ERR DEBUG command not allowed. If the enable-debug-command "
                   "option is set to \"local\", you can run it from a local "
                   "connection, otherwise you need to set this option in the "
                   "configuration file, and then restart the server.");
        return;
    }
    if (!bytes_ieq(a->argv[1], "SLEEP") || a->argc != 3) {
        resp_errorf(a->reply,
                    "ERR unknown subcommand or wrong number of arguments for "
                    "'%.*s'. Try DEBUG HELP.",
                    (int)(a->argv[1].n < 128 ? a->argv[1].n : 128),
                    (const char *)a->argv[1].p);
        return;
    }
    snprintf(text, sizeof text, "%.*s",
             (int)(a->argv[2].n < 31 ? a->argv[2].n : 31),
             (const char *)a->argv[2].p);
    seconds = strtod(text, &end);
    if (end == text || *end != 0 || !(seconds >= 0) || seconds > SLEEP_MAX_S) {
        resp_error(a->reply, "ERR value is not a valid float");
        return;
    }
    a->v->process->sleep_us(a->v->process->data, (uint64_t)(seconds * 1e6));
    resp_ok(a->reply);
}

void admin_shutdown(const struct ask *a)
{
    bool save = false, nosave = false, abort = false, more = false;

    for (int i = 1; i < a->argc; i++) {
        bool s = bytes_ieq(a->argv[i], "SAVE");
        bool ns = bytes_ieq(a->argv[i], "NOSAVE");
        bool ab = bytes_ieq(a->argv[i], "ABORT");
        bool m = bytes_ieq(a->argv[i], "NOW") || bytes_ieq(a->argv[i], "FORCE");

        if (!s && !ns && !ab && !m) {
            resp_error(a->reply, ERR_SYNTAX);
            return;
        }
        save |= s;
        nosave |= ns;
        abort |= ab;
        more |= m;
    }
    if ((save && nosave) || (abort && (save || nosave || more))) {
        resp_error(a->reply, ERR_SYNTAX);
    } else if (abort) {
        resp_error(a->reply, "ERR No shutdown in progress.");
    } else if (admin_need_process(a) &&
               !a->v->process->shutdown(a->v->process->data)) {
        resp_error(a->reply, "ERR this node is being stopped already");
    } else if (a->v->process != NULL) {
        /* The connection's end is the answer. All that was acknowledged is in
         * the log, so there is nothing to save. */
        resp_ok(a->reply);
    }
}

void admin_module_list(const struct ask *a)
{
    resp_array(a->reply, 0);
}

/* A bay at the edge of which the version stands; the waves come from it. */
void admin_lolwut(const struct ask *a)
{
    enum { WIDE = 48, HIGH = 7 };
    struct buf t = BUF_INIT;
    int64_t version = 0;
    uint64_t x = a->v->applied_index + 1;

    if (a->argc > 2 && bytes_ieq(a->argv[1], "VERSION") &&
        !args_need_i64(a->argv[2], &version, a->reply)) {
        return;
    }
    for (int row = 0; row < HIGH; row++) {
        for (int col = 0; col < WIDE; col++) {
            int mast = WIDE / 2;

            x = x * 6364136223846793005u + 1442695040888963407u;
            if (row < 4 && col == mast) {
                buf_u8(&t, '|');
            } else if (row < 4 && col > mast && col <= mast + 1 + row * 2) {
                buf_u8(&t, col == mast + 1 + row * 2 ? '\\' : ' ');
            } else if (row == 4 && col >= mast - 6 && col <= mast + 8) {
                buf_u8(&t, col == mast - 6   ? '\\'
                           : col == mast + 8 ? '/'
                                             : '_');
            } else if (row > 4) {
                buf_u8(&t, (uint8_t) "~~~-. "[x >> 61 < 6 ? x >> 61 : 0]);
            } else {
                buf_u8(&t, ' ');
            }
        }
        buf_u8(&t, '\n');
    }
    buf_printf(&t,
               "Holdfast ver. %s, %" PRIu64 " entries since it was moored\n",
               a->v->version, a->v->applied_index);
    resp_verbatim(a->reply, buf_bytes(&t));
    buf_release(&t);
}

/* A read of the machine: the same on every node, so that it may stand in a
 * transaction. Key, value, and what an item of the tree takes beside them. */
void cmd_memory_usage(struct machine *m,
                      const struct bytes *argv,
                      int argc,
                      struct buf *reply)
{
    const struct item *it;
    int64_t samples;

    for (int i = 3; i < argc; i += 2) {
        if (!bytes_ieq(argv[i], "SAMPLES") || i + 1 >= argc) {
            resp_error(reply, ERR_SYNTAX);
            return;
        }
        if (!args_need_i64(argv[i + 1], &samples, reply)) {
            return;
        }
        if (samples < 0) {
            resp_error(reply, ERR_SYNTAX);
            return;
        }
    }
    if (!args_need_key(argv[2], reply) || m == NULL) {
        return;
    }
    it = store_get(machine_store(m), argv[2]);
    if (it == NULL) {
        resp_null(reply);
    } else {
        resp_int(reply, (int64_t)(item_key(it).n + item_value(it).n +
                                  MEMORY_ITEM_BYTES));
    }
}
