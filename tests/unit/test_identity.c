#include "raftio/identity.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "tests/sim/disk_sim.h"
#include "tests/unit/wal_env.h"

static const uint8_t fresh[ID_BYTES] = {1, 2, 3};
static const uint8_t other[ID_BYTES] = {4, 5, 6};
static const uint8_t cluster[ID_BYTES] = {7, 8, 9};

/* The first start makes a directory id; later ones find it. */
static void first_and_second(void **state)
{
    struct disk *d = disk_sim_new();
    struct errmsg em = {{0}};
    struct identity id;

    (void)state;
    assert_int_equal(identity_open(d, fresh, &id, &em), 0);
    assert_false(identity_has_node(&id));
    disk_sim_crash(d, 1);
    assert_int_equal(identity_open(d, other, &id, &em), 0);
    assert_memory_equal(id.dir_id, fresh, ID_BYTES);
    disk_sim_free(d);
}

/* A second process on the directory is refused. */
static void locked(void **state)
{
    struct disk *d = disk_sim_new();
    struct errmsg em = {{0}};
    struct identity id;

    (void)state;
    assert_int_equal(identity_open(d, fresh, &id, &em), 0);
    assert_int_equal(identity_open(d, fresh, &id, &em), HF_EBUSY);
    assert_non_null(strstr(em.text, "lock"));
    disk_sim_free(d);
}

/* The real disk's lock holds against a second opening of the directory. */
static void locked_for_real(void **state)
{
    char dir[] = "/tmp/holdfast-identity-XXXXXX";
    struct errmsg em = {{0}};
    struct identity id;
    struct disk *a;
    struct disk *b;
    int err;

    (void)state;
    assert_non_null(mkdtemp(dir));
    assert_int_equal(disk_posix_new(dir, &a, &err), 0);
    assert_int_equal(disk_posix_new(dir, &b, &err), 0);
    assert_int_equal(identity_open(a, fresh, &id, &em), 0);
    assert_int_equal(identity_open(b, fresh, &id, &em), HF_EBUSY);
    disk_posix_free(a);
    assert_int_equal(identity_open(b, fresh, &id, &em), 0);
    assert_int_equal(disk_unlink(b, "identity"), 0);
    assert_int_equal(disk_unlink(b, "lock"), 0);
    disk_posix_free(b);
    rmdir(dir);
}

/* Cluster and node id are given once; the same again is fine, others not. */
static void assigned_once(void **state)
{
    struct disk *d = disk_sim_new();
    struct errmsg em = {{0}};
    struct identity id;

    (void)state;
    assert_int_equal(identity_open(d, fresh, &id, &em), 0);
    assert_int_equal(identity_assign(d, &id, cluster, 0, &em), 0);
    assert_int_equal(identity_assign(d, &id, cluster, 3, &em), 0);
    assert_int_equal(identity_assign(d, &id, cluster, 3, &em), 0);
    assert_int_equal(identity_assign(d, &id, cluster, 4, &em), HF_EIDENTITY);
    assert_int_equal(identity_assign(d, &id, other, 3, &em), HF_EIDENTITY);
    disk_sim_crash(d, 2);
    assert_int_equal(identity_open(d, other, &id, &em), 0);
    assert_int_equal(id.node_id, 3);
    assert_memory_equal(id.cluster_id, cluster, ID_BYTES);
    disk_sim_free(d);
}

/* Whichever bit changes, wherever the file is cut: refused by name. */
static void damaged(void **state)
{
    uint8_t raw[IDENTITY_BYTES];
    struct identity id = {{7}, {1}, 3};
    struct identity out;
    struct errmsg em = {{0}};

    (void)state;
    identity_encode(&id, raw);
    assert_int_equal(identity_decode(raw, sizeof raw, "f", &out, &em), 0);
    assert_memory_equal(&out, &id, sizeof id);
    for (size_t bit = 0; bit < sizeof raw * 8; bit++) {
        raw[bit / 8] ^= (uint8_t)(1U << (bit % 8));
        assert_int_equal(identity_decode(raw, sizeof raw, "f", &out, &em),
                         HF_ECORRUPT);
        raw[bit / 8] ^= (uint8_t)(1U << (bit % 8));
    }
    for (size_t n = 0; n < sizeof raw; n++) {
        assert_int_equal(identity_decode(raw, n, "f", &out, &em), HF_ECORRUPT);
    }
}

/* A newer format says so. */
static void newer(void **state)
{
    uint8_t raw[IDENTITY_BYTES];
    struct identity id = {{7}, {1}, 3};
    struct errmsg em = {{0}};

    (void)state;
    identity_encode(&id, raw);
    put_u32(raw + 8, IDENTITY_VERSION + 1);
    put_u32(raw + IDENTITY_BYTES - 4, crc32c(0, raw, IDENTITY_BYTES - 4));
    assert_int_equal(identity_decode(raw, sizeof raw, "f", &id, &em),
                     HF_EVERSION);
    assert_non_null(strstr(em.text, "newer"));
}

/* A directory with data but no identity never gets a new one. */
static void lost_identity(void **state)
{
    static const char *const data[] = {"vote.a", "vote.b", "log", "snap"};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct disk *d = disk_sim_new();
        struct errmsg em = {{0}};
        struct identity id;

        assert_int_equal(disk_mkdir(d, data[i]), 0);
        assert_int_equal(identity_open(d, fresh, &id, &em), HF_ECORRUPT);
        disk_sim_free(d);
    }
}

/* The power fails at each disk call: the directory id, once seen in a start
 * that finished, stays; an assignment that was answered stays. */
static void crash_everywhere(void **state)
{
    bool died = true;

    (void)state;
    for (uint64_t k = 0; died; k++) {
        for (uint64_t seed = 0; seed < 20; seed++) {
            struct disk *d = disk_sim_new();
            struct errmsg em = {{0}};
            struct identity id;
            bool made;
            bool given;

            disk_sim_dies_after(d, k);
            assert_int_equal(identity_open(d, fresh, &id, &em), 0);
            made = !disk_sim_dead(d);
            assert_int_equal(identity_assign(d, &id, cluster, 3, &em), 0);
            given = !disk_sim_dead(d);
            died = disk_sim_dead(d);
            disk_sim_crash(d, seed);
            assert_int_equal(identity_open(d, other, &id, &em), 0);
            assert_true(!made || memcmp(id.dir_id, fresh, ID_BYTES) == 0);
            assert_true(!given || id.node_id == 3);
            disk_sim_free(d);
        }
    }
}

/* Each failing call is reported and changes nothing. */
static void errors(void **state)
{
    static const int errs[] = {EIO, ENOSPC, EROFS, EACCES};
    bool failed = true;

    (void)state;
    for (uint64_t k = 1; failed; k++) {
        struct disk *d = disk_sim_new();
        struct errmsg em = {{0}};
        struct identity id;

        assert_int_equal(identity_open(d, fresh, &id, &em), 0);
        disk_sim_fail_at(d, k, errs[k % 4], false);
        failed = identity_assign(d, &id, cluster, 3, &em) != 0;
        assert_int_equal(id.node_id, failed ? 0 : 3);
        assert_true(!failed || strstr(em.text, "identity") != NULL);
        assert_true(k > 1 || failed);
        disk_sim_free(d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_and_second), cmocka_unit_test(locked),
        cmocka_unit_test(locked_for_real),  cmocka_unit_test(assigned_once),
        cmocka_unit_test(damaged),          cmocka_unit_test(newer),
        cmocka_unit_test(lost_identity),    cmocka_unit_test(errors),
        cmocka_unit_test(crash_everywhere),
    };

    test_choose_mutant();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
