# Real clusters under faults (jepsen-lite/HISTORY.md); installed nowhere. One
# block a program.
EXTRA_DIST += jepsen-lite/HISTORY.md

# holdfast-nemesis: faults

# holdfast-load: clients
noinst_PROGRAMS += holdfast-load
holdfast_load_SOURCES = \
	jepsen-lite/client.c \
	jepsen-lite/client_lib.c \
	jepsen-lite/client_lib.h \
	jepsen-lite/client_resp.c \
	jepsen-lite/client_resp.h \
	jepsen-lite/history_out.c \
	jepsen-lite/history_out.h \
	jepsen-lite/keys.c \
	jepsen-lite/load.c \
	jepsen-lite/load.h \
	jepsen-lite/state.c \
	jepsen-lite/work_append.c \
	jepsen-lite/work_bank.c \
	jepsen-lite/work_counter.c \
	jepsen-lite/work_ids.c \
	jepsen-lite/work_lock.c \
	jepsen-lite/work_register.c \
	jepsen-lite/work_set.c \
	jepsen-lite/work_stale.c \
	jepsen-lite/work_ttl.c
holdfast_load_LDADD = client/libholdfast.a

# holdfast-check: the judge
