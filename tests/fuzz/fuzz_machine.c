/* Fuzz target: log entries and state streams. Foreign bytes are refused or
 * give a consistent state; they never crash, hang or leak.
 *
 *   first byte even   the rest are entries, each after a u16 length
 *   first byte odd    the rest is a state stream, fed in pieces; its
 *                     checksums are put right, so that what is behind them is
 *                     reached */
#include "server/store/machine.h"
#include "tests/fuzz/fuzz.h"

/* Commands: verb, key length, key, value; enough to reach every call. */
static void run(void *ctx,
                struct machine *m,
                struct bytes command,
                struct buf *reply)
{
    struct store *s = machine_store(m);
    struct reader r = reader_of(command);
    uint8_t verb = rd_u8(&r);
    uint64_t number = rd_u8(&r);
    struct bytes key = rd_bytes(&r, number % 8);
    struct bytes value = bytes_of(r.p, r.n);
    struct bytes saved = bytes_of("", 0);

    (void)ctx;
    if (!reader_ok(&r)) {
        return;
    }
    switch (verb % 7) {
        case 0:
            store_put(s, key, value, number * 10);
            break;
        case 1:
            store_delete(s, key);
            break;
        case 2:
            store_set_deadline(s, key, number);
            break;
        case 3:
            store_clear(s);
            break;
        case 4:
            machine_once_open(m);
            break;
        case 5:
            if (machine_once_begin(m, number / 4, number % 4, &saved) ==
                ONCE_RUN) {
                store_put(s, key, value, 0);
                machine_once_end(m, number / 4, number % 4, value);
            }
            break;
        default:
            machine_once_set_idle(m, number);
            break;
    }
    if (reply != NULL) {
        buf_bytes_append(reply, saved);
    }
}

static void fuzz_entries(const uint8_t *p, size_t n)
{
    struct machine *m = machine_new();
    struct machine_frozen *z = NULL;
    uint64_t index = 0;

    machine_set_run(m, run, NULL);
    while (n >= 2) {
        size_t k = get_u16(p);

        p += 2;
        n -= 2;
        k = k < n ? k : n;
        machine_apply(m, ++index, bytes_of(p, k));
        if (index % 8 == 3) {
            z = machine_freeze(m);
        } else if (index % 8 == 7) {
            machine_freeze_release(m, z);
            z = NULL;
        }
        machine_free_step(m, 2);
        p += k;
        n -= k;
    }
    map_check(store_map(machine_store(m)));
    if (z != NULL) {
        machine_freeze_release(m, z);
    }
    machine_free(m);
}

static void use_loaded(struct machine *m)
{
    uint64_t digest = machine_digest(m);
    struct buf b = BUF_INIT;

    map_check(store_map(machine_store(m)));
    hf_assert(machine_digest(m) == digest);
    machine_set_run(m, run, NULL);
    if (machine_index(m) != UINT64_MAX) {
        entry_begin(&b, machine_time(m), 0);
        hf_assert(machine_apply(m, UINT64_MAX, buf_bytes(&b)) == 0);
    }
    buf_release(&b);
    machine_free(m);
}

static void fuzz_stream(const uint8_t *p, size_t n, size_t step)
{
    struct machine_load *l = machine_load_begin();
    struct machine *m = NULL;
    uint8_t *copy = hf_malloc(n + 1);
    int rv = 0;

    if (n > 0) {
        memcpy(copy, p, n);
    }
    fuzz_mend_stream(copy, n);
    for (size_t at = 0; at < n && rv == 0; at += step) {
        size_t k = n - at < step ? n - at : step;

        rv = machine_load_feed(l, bytes_of(copy + at, k), NULL);
    }
    if (rv == 0) {
        rv = machine_load_finish(l, &m, NULL);
    }
    if (rv == 0) {
        use_loaded(m);
    } else {
        machine_load_abort(l);
    }
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    if (data[0] % 2 == 0) {
        fuzz_entries(data + 1, size - 1);
    } else {
        fuzz_stream(data + 1, size - 1, (size_t)data[0] + 1);
    }
    return 0;
}
