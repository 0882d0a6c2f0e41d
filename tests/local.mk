# A unit test is one file; add its name here. It may use every library.
UNIT_TESTS = \
	tests/unit/test_acl \
	tests/unit/test_admin \
	tests/unit/test_auth \
	tests/unit/test_bounds \
	tests/unit/test_bytes \
	tests/unit/test_check \
	tests/unit/test_client \
	tests/unit/test_command \
	tests/unit/test_conn \
	tests/unit/test_crc32c \
	tests/unit/test_driver \
	tests/unit/test_holdfast_uv \
	tests/unit/test_kv \
	tests/unit/test_kv_bench \
	tests/unit/test_load \
	tests/unit/test_log_line \
	tests/unit/test_message \
	tests/unit/test_disk_sim \
	tests/unit/test_identity \
	tests/unit/test_machine \
	tests/unit/test_map \
	tests/unit/test_node \
	tests/unit/test_env_sim \
	tests/unit/test_env_uv \
	tests/unit/test_formats \
	tests/unit/test_feed \
	tests/unit/test_found \
	tests/unit/test_history \
	tests/unit/test_history_out \
	tests/unit/test_pace \
	tests/unit/test_peer \
	tests/unit/test_pubsub \
	tests/unit/test_push \
	tests/unit/test_repair \
	tests/unit/test_resp \
	tests/unit/test_server \
	tests/unit/test_settings \
	tests/unit/test_snap \
	tests/unit/test_snapxfer \
	tests/unit/test_store \
	tests/unit/test_tracking \
	tests/unit/test_strings \
	tests/unit/test_vote \
	tests/unit/test_wal

# Tests of real processes; each makes its own cluster. One after the other:
# some measure time.
PROCESS_TESTS = \
	tests/clients/acl.sh \
	tests/clients/push.sh \
	tests/fault/big_start.sh \
	tests/fault/cold_start.sh \
	tests/fault/gaps.sh \
	tests/fault/disk_full.sh \
	tests/fault/failover.sh \
	tests/fault/feed.sh \
	tests/fault/large_replies.sh \
	tests/fault/kv_script.sh \
	tests/fault/load.sh \
	tests/fault/minority_damage.sh \
	tests/fault/lossy.sh \
	tests/fault/loopcut.sh \
	tests/fault/powercut.sh \
	tests/fault/readonly_disk.sh \
	tests/fault/refuse.sh \
	tests/fault/seat.sh \
	tests/fault/stale.sh \
	tests/fault/stalled_disk.sh \
	tests/fault/syscalls.sh \
	tests/clients/tools.sh \
	tests/fault/uv_client.sh
FAULT_TOOLS = \
	tests/fault/damage \
	tests/fault/feed_watch \
	tests/fault/freeport \
	tests/fault/godown \
	tests/fault/powercut \
	tests/fault/rude \
	tests/fault/stale_read \
	tests/fault/uv_load
check_DATA = tests/fault/undo.so
tests/fault/cold_start.log: tests/fault/big_start.log
tests/fault/gaps.log: tests/fault/cold_start.log
tests/fault/failover.log: tests/fault/gaps.log
tests/fault/feed.log: tests/fault/failover.log
tests/fault/powercut.log: tests/fault/feed.log
tests/fault/minority_damage.log: tests/fault/powercut.log
tests/fault/seat.log: tests/fault/minority_damage.log
tests/fault/stale.log: tests/fault/seat.log
tests/fault/disk_full.log: tests/fault/stale.log
tests/fault/refuse.log: tests/fault/disk_full.log
tests/fault/load.log: tests/fault/refuse.log
tests/fault/loopcut.log: tests/fault/refuse.log
tests/fault/stalled_disk.log: tests/fault/loopcut.log
tests/fault/readonly_disk.log: tests/fault/stalled_disk.log
tests/fault/syscalls.log: tests/fault/readonly_disk.log
tests/fault/lossy.log: tests/fault/load.log
tests/clients/tools.log: tests/fault/uv_client.log
tests/fault/uv_client.log: tests/fault/lossy.log
tests/fault/kv_script.log: tests/clients/tools.log
tests/clients/acl.log: tests/clients/tools.log
tests/clients/push.log: tests/clients/acl.log

# Preloaded into nodes, so without sanitizers and with nothing of ours in it.
tests/fault/undo.so: $(srcdir)/tests/fault/undo.c $(srcdir)/tests/fault/undo.h
	$(AM_V_CC)$(CC) -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Wconversion \
		-O1 -g -fPIC -shared -I$(srcdir) -o $@ \
		$(srcdir)/tests/fault/undo.c -ldl -lpthread
CLEANFILES += tests/fault/undo.so

check_PROGRAMS += $(UNIT_TESTS) $(FAULT_TOOLS)
# What is worth a second run in a sanitizer build: what runs the most code in
# the least time.
check-again:
	$(MAKE) $(AM_MAKEFLAGS) check \
		TESTS="$(UNIT_TESTS) tests/fault/large_replies.sh"
.PHONY: check-again
# A sample of the storage faults, by the program that has them all.
STORAGE_TESTS = tests/storage/sample.sh
tests/storage/sample.log: holdfast-storm
TESTS += $(UNIT_TESTS) $(STORAGE_TESTS) $(PROCESS_TESTS)
LDADD = $(ALL_LIBS) $(CMOCKA_LIBS)
STORE_LDADD = server/libserver_store.a base/libbase.a $(CMOCKA_LIBS)
tests_unit_test_machine_LDADD = $(STORE_LDADD)
tests_unit_test_map_LDADD = $(STORE_LDADD)
tests_unit_test_store_LDADD = $(STORE_LDADD)
FAKE_CLUSTER = tests/unit/fake_cluster.c tests/unit/fake_cluster.h
CLIENT_LDADD = client/libholdfast.a $(CMOCKA_LIBS) -lm
tests_unit_test_client_SOURCES = tests/unit/test_client.c $(FAKE_CLUSTER)
tests_unit_test_client_LDADD = $(CLIENT_LDADD)
tests_unit_test_holdfast_uv_SOURCES = tests/unit/test_holdfast_uv.c \
	$(FAKE_CLUSTER)
tests_unit_test_holdfast_uv_LDADD = client/libholdfast_uv.a \
	$(CLIENT_LDADD) $(UV_LIBS)
tests_unit_test_kv_SOURCES = tests/unit/test_kv.c $(FAKE_CLUSTER)
tests_unit_test_kv_LDADD = $(CLIENT_LDADD)
tests_unit_test_kv_bench_SOURCES = tests/unit/test_kv_bench.c $(FAKE_CLUSTER) \
	client/kv_bench_conn.c client/kv_bench_load.c client/kv_bench_mix.c \
	client/kv_bench_out.c client/kv_hist.c client/kv_out.c
tests_unit_test_kv_bench_LDADD = $(CLIENT_LDADD) $(JANSSON_LIBS)
DISK_SIM = tests/sim/disk_sim.c tests/sim/disk_sim.h tests/unit/wal_env.h
tests_unit_test_command_SOURCES = tests/unit/test_command.c tests/unit/ask.h
tests_unit_test_server_SOURCES = tests/unit/test_server.c tests/unit/ask.h
tests_unit_test_strings_SOURCES = tests/unit/test_strings.c tests/unit/ask.h
tests_unit_test_disk_sim_SOURCES = tests/unit/test_disk_sim.c $(DISK_SIM)
tests_unit_test_formats_SOURCES = tests/unit/test_formats.c $(DISK_SIM)
tests_unit_test_found_SOURCES = tests/unit/test_found.c $(DISK_SIM)
tests_unit_test_identity_SOURCES = tests/unit/test_identity.c $(DISK_SIM)
tests_unit_test_snap_SOURCES = tests/unit/test_snap.c $(DISK_SIM)
tests_unit_test_vote_SOURCES = tests/unit/test_vote.c $(DISK_SIM)
tests_unit_test_wal_SOURCES = tests/unit/test_wal.c $(DISK_SIM)
tests_unit_test_env_sim_SOURCES = tests/unit/test_env_sim.c \
	tests/sim/env_sim.c tests/sim/env_sim.h
tests_unit_test_bounds_SOURCES = tests/unit/test_bounds.c \
	tests/sim/check.c tests/sim/check.h \
	tests/sim/cluster.c tests/sim/cluster.h \
	tests/sim/disk_sim.c tests/sim/disk_sim.h \
	tests/sim/env_sim.c tests/sim/env_sim.h \
	tests/sim/mini.c tests/sim/mini.h \
	tests/sim/rot.c tests/sim/rot.h
tests_unit_test_bounds_LDADD = server/libserver_edge.a $(NODE_LIBS) \
	$(NODE_SYSTEM_LIBS) $(CMOCKA_LIBS)
tests_unit_test_acl_SOURCES = tests/unit/test_acl.c \
	tests/unit/acl_categories.h
tests_unit_test_history_SOURCES = tests/unit/test_history.c \
	tests/sim/check.c tests/sim/check.h \
	tests/sim/history.c tests/sim/history.h
tests_unit_test_history_out_SOURCES = tests/unit/test_history_out.c \
	jepsen-lite/history_out.c jepsen-lite/history_out.h
tests_unit_test_history_out_LDADD = base/libbase.a $(CMOCKA_LIBS)
tests_unit_test_load_SOURCES = tests/unit/test_load.c \
	jepsen-lite/client.c \
	jepsen-lite/client_lib.c jepsen-lite/client_lib.h \
	jepsen-lite/client_resp.c jepsen-lite/client_resp.h \
	jepsen-lite/history_out.c jepsen-lite/history_out.h \
	jepsen-lite/keys.c jepsen-lite/load.h
tests_unit_test_load_LDADD = $(CLIENT_LDADD)
tests_unit_test_log_line_LDADD = base/libbase.a $(JANSSON_LIBS) \
	$(CMOCKA_LIBS)
tests_unit_test_node_SOURCES = tests/unit/test_node.c \
	tests/sim/check.c tests/sim/check.h \
	tests/sim/cluster.c tests/sim/cluster.h \
	tests/sim/disk_sim.c tests/sim/disk_sim.h \
	tests/sim/env_sim.c tests/sim/env_sim.h \
	tests/sim/mini.c tests/sim/mini.h \
	tests/sim/rot.c tests/sim/rot.h
tests_unit_test_node_LDADD = server/libserver_edge.a $(NODE_LIBS) \
	$(NODE_SYSTEM_LIBS) $(CMOCKA_LIBS)
tests_unit_test_push_SOURCES = tests/unit/test_push.c \
	tests/sim/check.c tests/sim/check.h \
	tests/sim/cluster.c tests/sim/cluster.h \
	tests/sim/disk_sim.c tests/sim/disk_sim.h \
	tests/sim/env_sim.c tests/sim/env_sim.h \
	tests/sim/mini.c tests/sim/mini.h \
	tests/sim/rot.c tests/sim/rot.h
tests_unit_test_push_LDADD = server/libserver_edge.a $(NODE_LIBS) \
	$(NODE_SYSTEM_LIBS) $(CMOCKA_LIBS)
tests_unit_test_repair_SOURCES = tests/unit/test_repair.c $(DISK_SIM)
tests_fault_feed_watch_LDADD = client/libholdfast.a
tests_fault_freeport_LDADD =
tests_fault_powercut_SOURCES = tests/fault/powercut.c tests/fault/undo.h
tests_fault_powercut_LDADD =
tests_fault_godown_LDADD =
tests_fault_stale_read_LDADD =
tests_fault_uv_load_LDADD = client/libholdfast_uv.a client/libholdfast.a \
	$(UV_LIBS)
tests_fault_rude_LDADD =
tests_fault_damage_LDADD = base/libbase.a
tests_unit_test_check_LDADD = $(CHECK_LIBS) $(CMOCKA_LIBS)
EXTRA_DIST += tests/sim/seeds.txt tests/sim/raft_seeds.txt tests/fault/jepsen.sh \
	tests/fault/tracking.sh \
	tests/fault/cutoff.sh \
	tests/jepsen \
	tests/golden/command-user.hex \
	tests/golden/entry.hex \
	tests/golden/hello.hex \
	tests/golden/identity.hex \
	tests/golden/peers.hex \
	tests/golden/segment.hex \
	tests/golden/snapshot.hex \
	tests/golden/snapshot-2.hex \
	tests/golden/user.hex \
	tests/golden/vote.hex \
	tests/fuzz/corpus \
	tests/clients/acl.py \
	tests/clients/compare.sh \
	tests/clients/compare.py \
	tests/clients/compare \
	tests/clients/compare-cluster.txt \
	tests/clients/tools.sh \
	tests/clients/cli.py \
	tests/clients/commands.txt \
	tests/clients/debs.txt \
	tests/clients/doc.py \
	tests/clients/haproxy.sh \
	tests/clients/hiredis.c \
	tests/clients/install.sh \
	tests/clients/ioredis.mjs \
	tests/clients/judge.py \
	tests/clients/load.mjs \
	tests/clients/load.py \
	tests/clients/node \
	tests/clients/noderedis.mjs \
	tests/clients/probe.py \
	tests/clients/push.py \
	tests/clients/redispy.py \
	tests/clients/rules.py \
	tests/clients/run.sh \
	$(PROCESS_TESTS) \
	$(STORAGE_TESTS) \
	tests/fault/undo.c \
	tests/fault/loopfs.sh \
	tests/fault/process.sh
TEST_EXTENSIONS = .sh

# Each fuzz target is one file with LLVMFuzzerTestOneInput; --enable-fuzz.
# "make fuzzers" makes them; they start from tests/fuzz/corpus.
if FUZZ
FUZZ_DISK = tests/fuzz/fuzz.h tests/sim/disk_sim.c tests/sim/disk_sim.h
FUZZ_FLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
FUZZ_TARGETS = \
	tests/fuzz/fuzz_config \
	tests/fuzz/fuzz_machine \
	tests/fuzz/fuzz_peer \
	tests/fuzz/fuzz_resp \
	tests/fuzz/fuzz_snap \
	tests/fuzz/fuzz_vote \
	tests/fuzz/fuzz_wal
EXTRA_PROGRAMS += $(FUZZ_TARGETS)
fuzzers: $(FUZZ_TARGETS)
tests_fuzz_fuzz_config_SOURCES = tests/fuzz/fuzz_config.c $(FUZZ_DISK)
tests_fuzz_fuzz_config_LDFLAGS = $(FUZZ_FLAGS)
tests_fuzz_fuzz_machine_SOURCES = tests/fuzz/fuzz_machine.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_machine_LDADD = server/libserver_store.a base/libbase.a
tests_fuzz_fuzz_machine_LDFLAGS = $(FUZZ_FLAGS)
tests_fuzz_fuzz_peer_SOURCES = tests/fuzz/fuzz_peer.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_peer_LDADD = raftio/libraftio.a base/libbase.a $(RAFT_A)
tests_fuzz_fuzz_peer_LDFLAGS = $(FUZZ_FLAGS)
tests_fuzz_fuzz_resp_SOURCES = tests/fuzz/fuzz_resp.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_resp_LDADD = resp/libresp.a base/libbase.a
tests_fuzz_fuzz_resp_LDFLAGS = $(FUZZ_FLAGS)
tests_fuzz_fuzz_snap_SOURCES = tests/fuzz/fuzz_snap.c $(FUZZ_DISK)
tests_fuzz_fuzz_snap_LDFLAGS = $(FUZZ_FLAGS)
tests_fuzz_fuzz_vote_SOURCES = tests/fuzz/fuzz_vote.c $(FUZZ_DISK)
tests_fuzz_fuzz_vote_LDFLAGS = $(FUZZ_FLAGS)
tests_fuzz_fuzz_wal_SOURCES = tests/fuzz/fuzz_wal.c $(FUZZ_DISK)
tests_fuzz_fuzz_wal_LDFLAGS = $(FUZZ_FLAGS)
endif

# Clusters of drivers under faults, by seed (./raft_sim --seeds N).
noinst_PROGRAMS += tests/sim/raft_sim
tests_sim_raft_sim_SOURCES = tests/sim/raft_sim.c
tests_sim_raft_sim_LDADD = raftio/libraftio.a base/libbase.a $(RAFT_A)
# Storage faults on a disk in memory: flips, cuts, errors, files.
noinst_PROGRAMS += holdfast-storm
holdfast_storm_SOURCES = \
	tests/sim/disk_sim.c \
	tests/sim/disk_sim.h \
	tests/storage/cuts.c \
	tests/storage/errors.c \
	tests/storage/files.c \
	tests/storage/flips.c \
	tests/storage/main.c \
	tests/storage/rig.c \
	tests/storage/rig.h \
	tests/storage/sweep.h \
	tests/unit/edge_world.h \
	tests/unit/wal_env.h
holdfast_storm_LDADD = server/libserver_node.a raftio/libraftio.a \
	base/libbase.a $(NODE_SYSTEM_LIBS)
# Simulated clusters: the node and its edge over another env and disk.
noinst_PROGRAMS += holdfast-sim
holdfast_sim_SOURCES = \
	tests/sim/check.c \
	tests/sim/check.h \
	tests/sim/cluster.c \
	tests/sim/cluster.h \
	tests/sim/disk_sim.c \
	tests/sim/disk_sim.h \
	tests/sim/env_sim.c \
	tests/sim/env_sim.h \
	tests/sim/caches.c \
	tests/sim/caches.h \
	tests/sim/feeds.c \
	tests/sim/feeds.h \
	tests/sim/history.c \
	tests/sim/history.h \
	tests/sim/main.c \
	tests/sim/mini.c \
	tests/sim/mini.h \
	tests/sim/nemesis.c \
	tests/sim/nemesis.h \
	tests/sim/rot.c \
	tests/sim/rot.h \
	tests/sim/seed.c \
	tests/sim/seed.h \
	tests/sim/workload.c \
	tests/sim/workload.h
holdfast_sim_LDADD = server/libserver_edge.a $(NODE_LIBS) $(NODE_SYSTEM_LIBS)
