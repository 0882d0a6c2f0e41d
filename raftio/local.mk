noinst_LIBRARIES += raftio/libraftio.a
raftio_libraftio_a_SOURCES = \
	raftio/conf.c \
	raftio/conf.h \
	raftio/driver.c \
	raftio/driver.h \
	raftio/driver_ask.c \
	raftio/driver_int.h \
	raftio/driver_recv.c \
	raftio/driver_send.c \
	raftio/entry.h \
	raftio/entry_cache.c \
	raftio/entry_cache.h \
	raftio/file_int.c \
	raftio/file_int.h \
	raftio/identity.c \
	raftio/identity.h \
	raftio/message.c \
	raftio/message.h \
	raftio/peer.c \
	raftio/peer.h \
	raftio/peer_conn.c \
	raftio/peer_frame.c \
	raftio/peer_frame.h \
	raftio/peer_int.h \
	raftio/snap.c \
	raftio/snap.h \
	raftio/snap_meta.h \
	raftio/snapxfer.c \
	raftio/snapxfer.h \
	raftio/vote.c \
	raftio/vote.h \
	raftio/wal.c \
	raftio/wal.h \
	raftio/wal_format.c \
	raftio/wal_int.h \
	raftio/wal_recover.c
