# A unit test is one file; add its name here. It may use every library.
UNIT_TESTS = \
	tests/unit/test_bytes \
	tests/unit/test_client \
	tests/unit/test_crc32c \
	tests/unit/test_kv \
	tests/unit/test_machine \
	tests/unit/test_map \
	tests/unit/test_env_uv \
	tests/unit/test_peer \
	tests/unit/test_resp \
	tests/unit/test_settings \
	tests/unit/test_snapxfer \
	tests/unit/test_store

# Tests of real processes; each makes its own cluster.
PROCESS_TESTS =

check_PROGRAMS += $(UNIT_TESTS) tests/fault/freeport
TESTS += $(UNIT_TESTS) $(PROCESS_TESTS)
LDADD = $(ALL_LIBS) $(CMOCKA_LIBS)
FAKE_CLUSTER = tests/unit/fake_cluster.c tests/unit/fake_cluster.h
CLIENT_LDADD = client/libholdfast.a $(CMOCKA_LIBS) -lm
tests_unit_test_client_SOURCES = tests/unit/test_client.c $(FAKE_CLUSTER)
tests_unit_test_client_LDADD = $(CLIENT_LDADD)
tests_unit_test_kv_SOURCES = tests/unit/test_kv.c $(FAKE_CLUSTER)
tests_unit_test_kv_LDADD = $(CLIENT_LDADD)
tests_fault_freeport_LDADD =
EXTRA_DIST += \
	tests/fault/process.sh \
	tests/fault/failover.sh \
	tests/fault/cold_start.sh
TEST_EXTENSIONS = .sh

# Each fuzz target is one file with LLVMFuzzerTestOneInput; --enable-fuzz.
if FUZZ
noinst_PROGRAMS += tests/fuzz/fuzz_machine tests/fuzz/fuzz_peer tests/fuzz/fuzz_resp
tests_fuzz_fuzz_machine_LDADD = server/libserver_store.a base/libbase.a
tests_fuzz_fuzz_machine_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_peer_LDADD = raftio/libraftio.a base/libbase.a
tests_fuzz_fuzz_peer_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_resp_LDADD = resp/libresp.a base/libbase.a
tests_fuzz_fuzz_resp_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
endif
