# libholdfast is one archive: what it uses of resp/ and base/ is inside.
include_HEADERS += client/holdfast.h
nodist_pkgconfig_DATA += client/holdfast.pc
lib_LIBRARIES += client/libholdfast.a
client_libholdfast_a_SOURCES = \
	client/conn.c \
	client/conn.h \
	client/hf_int.h \
	client/hf_keys.c \
	client/hf_reply.c \
	client/hf_watch.c \
	client/holdfast.c \
	client/holdfast.h \
	$(base_libbase_a_SOURCES) \
	$(resp_libresp_a_SOURCES)

bin_PROGRAMS += kv
kv_SOURCES = \
	client/kv.c \
	client/kv_admin.c \
	client/kv_int.h \
	client/kv_keys.c \
	client/kv_out.c \
	client/kv_txn.c \
	client/kv_watch.c
kv_LDADD = client/libholdfast.a
