# libholdfast is one archive: what it uses of resp/ and base/ is inside.
include_HEADERS += client/holdfast.h
nodist_pkgconfig_DATA += client/holdfast.pc
lib_LIBRARIES += client/libholdfast.a
client_libholdfast_a_SOURCES = \
	client/attempt.c \
	client/attempt.h \
	client/conn.c \
	client/conn.h \
	client/hf_int.h \
	client/hf_keys.c \
	client/hf_reply.c \
	client/hf_request.c \
	client/hf_watch.c \
	client/holdfast.c \
	client/holdfast.h \
	client/nodes.c \
	client/nodes.h \
	$(base_libbase_a_SOURCES) \
	$(resp_libresp_a_SOURCES)

# On a loop of libuv; it goes before libholdfast in a link line.
include_HEADERS += client/holdfast_uv.h
nodist_pkgconfig_DATA += client/holdfast_uv.pc
lib_LIBRARIES += client/libholdfast_uv.a
client_libholdfast_uv_a_SOURCES = \
	client/hf_int_uv.h \
	client/holdfast_uv.c \
	client/holdfast_uv.h \
	client/link_uv.c

bin_PROGRAMS += kv
kv_SOURCES = \
	client/kv.c \
	client/kv_admin.c \
	client/kv_bench.c \
	client/kv_bench_conn.c \
	client/kv_bench_int.h \
	client/kv_bench_load.c \
	client/kv_bench_load.h \
	client/kv_bench_mix.c \
	client/kv_bench_out.c \
	client/kv_hist.c \
	client/kv_hist.h \
	client/kv_int.h \
	client/kv_keys.c \
	client/kv_out.c \
	client/kv_prompt.c \
	client/kv_session.c \
	client/kv_session.h \
	client/kv_stream.c \
	client/kv_txn.c \
	client/kv_watch.c
kv_LDADD = client/libholdfast.a $(EDIT_LIBS) -lm
