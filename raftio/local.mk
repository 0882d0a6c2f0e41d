noinst_LIBRARIES += raftio/libraftio.a
raftio_libraftio_a_SOURCES = \
	raftio/entry.h \
	raftio/file_int.c \
	raftio/file_int.h \
	raftio/identity.c \
	raftio/identity.h \
	raftio/snap.c \
	raftio/snap.h \
	raftio/vote.c \
	raftio/vote.h \
	raftio/wal.c \
	raftio/wal.h \
	raftio/wal_format.c \
	raftio/wal_int.h \
	raftio/wal_recover.c
