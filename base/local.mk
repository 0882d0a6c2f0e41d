noinst_LIBRARIES += base/libbase.a
base_libbase_a_SOURCES = \
	base/assert.c \
	base/assert.h \
	base/bytes.c \
	base/bytes.h \
	base/crc32c.c \
	base/crc32c.h \
	base/disk.c \
	base/disk.h \
	base/disk_posix.c \
	base/env.c \
	base/env.h \
	base/err.c \
	base/err.h \
	base/limits.h \
	base/log.c \
	base/log.h \
	base/mutant.c \
	base/mutant.h \
	base/quota.h \
	base/mutants.def.h \
	base/mutants_acl.def.h \
	base/mutants_client.def.h \
	base/mutants_driver.def.h \
	base/mutants_edge.def.h \
	base/mutants_feed.def.h \
	base/mutants_jepsen.def.h \
	base/mutants_log.def.h \
	base/mutants_node.def.h \
	base/mutants_peer.def.h \
	base/mutants_server.def.h \
	base/mutants_store.def.h \
	base/rng.h
