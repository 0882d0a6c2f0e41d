noinst_LIBRARIES += raftio/libraftio.a
raftio_libraftio_a_SOURCES =
