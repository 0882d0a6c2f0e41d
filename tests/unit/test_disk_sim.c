#include "tests/sim/disk_sim.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct disk_file *make(struct disk *d, const char *name)
{
    struct disk_file *f = NULL;

    assert_int_equal(disk_open(d, name, DISK_WRITE | DISK_CREATE, &f), 0);
    return f;
}

static int content(struct disk *d, const char *name, char *out, size_t cap)
{
    struct disk_file *f;
    int64_t n;

    memset(out, 0, cap);
    if (disk_open(d, name, DISK_READ, &f) != 0) {
        return -1;
    }
    n = disk_pread(f, out, cap, 0);
    disk_close(f);
    return (int)n;
}

/* Synced content under a synced name survives every power cut. */
static void synced_stays(void **state)
{
    char got[16];

    (void)state;
    for (uint64_t seed = 0; seed < 100; seed++) {
        struct disk *d = disk_sim_new();
        struct disk_file *f = make(d, "a");

        assert_int_equal(disk_pwrite(f, "hello", 5, 0), 0);
        assert_int_equal(disk_sync(f), 0);
        assert_int_equal(disk_sync_dir(d, ""), 0);
        disk_close(f);
        disk_sim_crash(d, seed);
        assert_int_equal(content(d, "a", got, sizeof got), 5);
        assert_string_equal(got, "hello");
        disk_sim_free(d);
    }
}

/* Unsynced content is sometimes kept, dropped and torn; unsynced names are
 * sometimes kept and lost. */
static void unsynced_varies(void **state)
{
    char got[512];
    char want[512];
    int kept = 0;
    int dropped = 0;
    int torn = 0;
    int named = 0;

    (void)state;
    memset(want, 'x', sizeof want);
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct disk *d = disk_sim_new();
        struct disk_file *f = make(d, "a");

        assert_int_equal(disk_pwrite(f, "-", 1, 511), 0);
        assert_int_equal(disk_sync(f), 0);
        assert_int_equal(disk_sync_dir(d, ""), 0);
        assert_int_equal(disk_pwrite(f, want, 512, 0), 0);
        disk_close(f);
        disk_close(make(d, "b"));
        disk_sim_crash(d, seed);
        assert_int_equal(content(d, "a", got, 512), 512);
        kept += memcmp(got, want, 512) == 0;
        dropped += got[0] == 0 && got[511] == '-';
        torn += got[0] == 'x' && got[511] == '-';
        named += disk_sim_exists(d, "b");
        disk_sim_free(d);
    }
    assert_true(kept > 20 && dropped > 20 && torn > 10);
    assert_true(named > 20 && named < 180);
}

/* A rename that was not synced is there or not, never half. */
static void rename_is_whole(void **state)
{
    char got[16];
    int fresh = 0;

    (void)state;
    for (uint64_t seed = 0; seed < 100; seed++) {
        struct disk *d = disk_sim_new();
        struct disk_file *f = make(d, "a");

        assert_int_equal(disk_pwrite(f, "old", 3, 0), 0);
        assert_int_equal(disk_sync(f), 0);
        disk_close(f);
        f = make(d, "t");
        assert_int_equal(disk_pwrite(f, "new", 3, 0), 0);
        assert_int_equal(disk_sync(f), 0);
        disk_close(f);
        assert_int_equal(disk_sync_dir(d, ""), 0);
        assert_int_equal(disk_rename(d, "t", "a"), 0);
        disk_sim_crash(d, seed);
        assert_int_equal(content(d, "a", got, sizeof got), 3);
        assert_true(!strcmp(got, "old") || !strcmp(got, "new"));
        assert_true(disk_sim_exists(d, "t") == !strcmp(got, "old"));
        fresh += !strcmp(got, "new");
        disk_sim_free(d);
    }
    assert_true(fresh > 10 && fresh < 90);
}

/* After a failed sync the next one succeeds and saves nothing, as in Linux. */
static void failed_sync_lies(void **state)
{
    struct disk *d = disk_sim_new();
    struct disk_file *f = make(d, "a");
    char got[16];

    (void)state;
    assert_int_equal(disk_pwrite(f, "old", 3, 0), 0);
    assert_int_equal(disk_sync(f), 0);
    assert_int_equal(disk_sync_dir(d, ""), 0);
    assert_int_equal(disk_pwrite(f, "new", 3, 0), 0);
    disk_sim_fail_at(d, 1, EIO, false);
    assert_int_equal(disk_sync(f), -EIO);
    assert_int_equal(disk_sync(f), 0);
    disk_close(f);
    disk_sim_crash(d, 3);
    assert_int_equal(content(d, "a", got, sizeof got), 3);
    assert_string_equal(got, "old");
    disk_sim_free(d);
}

/* After the power is gone calls succeed and do nothing; files opened before
 * are stale after the crash; the lock falls. */
static void dead(void **state)
{
    struct disk *d = disk_sim_new();
    struct disk_file *f = make(d, "a");
    char got[16];

    (void)state;
    assert_int_equal(disk_lock(d, "lock"), 0);
    assert_int_equal(disk_lock(d, "lock"), -EAGAIN);
    assert_int_equal(disk_pwrite(f, "old", 3, 0), 0);
    assert_int_equal(disk_sync(f), 0);
    assert_int_equal(disk_sync_dir(d, ""), 0);
    disk_sim_dies_after(d, 0);
    assert_int_equal(disk_sync(f), 0);
    assert_true(disk_sim_dead(d));
    assert_int_equal(disk_pwrite(f, "new", 3, 0), 0);
    assert_int_equal(disk_unlink(d, "a"), 0);
    disk_sim_crash(d, 1);
    assert_int_equal(disk_pwrite(f, "new", 3, 0), -EIO);
    disk_close(f);
    assert_int_equal(disk_lock(d, "lock"), 0);
    assert_int_equal(content(d, "a", got, sizeof got), 3);
    assert_string_equal(got, "old");
    disk_sim_free(d);
}

/* A full disk refuses growth only. */
static void full(void **state)
{
    struct disk *d = disk_sim_new();
    struct disk_file *f = make(d, "a");
    struct disk_file *g;

    (void)state;
    assert_int_equal(disk_pwrite(f, "abc", 3, 0), 0);
    disk_sim_set_room(d, 4);
    assert_int_equal(disk_room(d), 1);
    assert_int_equal(disk_pwrite(f, "xyz", 3, 0), 0);
    assert_int_equal(disk_pwrite(f, "xyz", 3, 3), -ENOSPC);
    disk_sim_set_room(d, 3);
    assert_int_equal(disk_open(d, "b", DISK_WRITE | DISK_CREATE, &g), -ENOSPC);
    disk_close(f);
    disk_sim_free(d);
}

enum { NAMES_MAX = 200 };

static int collect(void *data, const char *name)
{
    char *names = data; /* NAMES_MAX bytes */
    size_t n = strlen(names);

    snprintf(names + n, NAMES_MAX - n, "%s ", name);
    return 0;
}

/* Both disks do the same for the same calls. */
static void same_as_real(void **state)
{
    char path[] = "/tmp/holdfast-disk-XXXXXX";
    char log[64];
    struct disk *d[2] = {disk_sim_new(), NULL};
    int err;

    (void)state;
    assert_non_null(mkdtemp(path));
    assert_int_equal(disk_posix_new(path, &d[1], &err), 0);
    for (int i = 0; i < 2; i++) {
        struct disk_file *f;
        char names[NAMES_MAX] = "";
        char *page = aligned_alloc(4096, 4096);

        assert_int_equal(disk_mkdir(d[i], "log"), 0);
        assert_int_equal(disk_mkdir(d[i], "log"), -EEXIST);
        assert_int_equal(disk_open(d[i], "log/x", DISK_READ, &f), -ENOENT);
        assert_int_equal(disk_open(d[i], "no/x", DISK_WRITE | DISK_CREATE, &f),
                         -ENOENT);
        assert_int_equal(
            disk_open(d[i], "log/x",
                      DISK_WRITE | DISK_CREATE | DISK_DIRECT | DISK_DSYNC, &f),
            0);
        memset(page, 'q', 4096);
        assert_int_equal(disk_pwrite(f, page, 4096, 4096), 0);
        assert_int_equal(disk_size(f), 8192);
        assert_int_equal(disk_pread(f, page, 4096, 0), 4096);
        assert_int_equal(page[17], 0);
        assert_int_equal(disk_pread(f, page, 4096, 8192), 0);
        assert_int_equal(disk_sync(f), 0);
        disk_close(f);
        free(page);
        assert_int_equal(disk_open(d[i], "log/x", DISK_WRITE | DISK_CREATE, &f),
                         -EEXIST);
        assert_int_equal(disk_rename(d[i], "log/x", "log/b"), 0);
        disk_close(make(d[i], "log/a"));
        assert_int_equal(disk_sync_dir(d[i], "log"), 0);
        assert_int_equal(disk_list(d[i], "log", collect, names), 0);
        assert_string_equal(names, "a b ");
        assert_true(disk_room(d[i]) > 0);
        assert_int_equal(disk_unlink(d[i], "log/a"), 0);
        assert_int_equal(disk_unlink(d[i], "log/a"), -ENOENT);
        assert_int_equal(disk_unlink(d[i], "log/b"), 0);
    }
    disk_sim_free(d[0]);
    disk_posix_free(d[1]);
    snprintf(log, sizeof log, "%s/log", path);
    rmdir(log);
    rmdir(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(synced_stays),
        cmocka_unit_test(unsynced_varies),
        cmocka_unit_test(rename_is_whole),
        cmocka_unit_test(failed_sync_lies),
        cmocka_unit_test(dead),
        cmocka_unit_test(full),
        cmocka_unit_test(same_as_real),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
