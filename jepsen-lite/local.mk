# Real clusters under faults (jepsen-lite/HISTORY.md); installed nowhere. One
# block a program.
EXTRA_DIST += jepsen-lite/HISTORY.md

# holdfast-nemesis: faults
noinst_PROGRAMS += holdfast-nemesis holdfast-netdelay
holdfast_nemesis_SOURCES = \
	jepsen-lite/nemesis.c \
	jepsen-lite/nemesis.h \
	jepsen-lite/nemesis_disk.c \
	jepsen-lite/nemesis_net.c \
	jepsen-lite/nemesis_node.c \
	jepsen-lite/nemesis_out.c \
	jepsen-lite/nemesis_proc.c \
	jepsen-lite/nemesis_watch.c \
	jepsen-lite/preload.h
holdfast_nemesis_LDADD = base/libbase.a
holdfast_netdelay_SOURCES = jepsen-lite/netdelay.c
holdfast_netdelay_LDADD =

# Preloaded into nodes, so without sanitizers and with nothing of ours in them.
PRELOADS = jepsen-lite/clockshift.so jepsen-lite/diskfault.so
noinst_DATA = $(PRELOADS)
$(PRELOADS): jepsen-lite/%.so: $(srcdir)/jepsen-lite/%.c \
		$(srcdir)/jepsen-lite/preload.h
	$(AM_V_CC)$(MKDIR_P) jepsen-lite && $(CC) -std=gnu11 -D_GNU_SOURCE \
		-Wall -Wextra -Wconversion -O1 -g -fPIC -shared -I$(srcdir) \
		-o $@ $< -ldl
CLEANFILES += $(PRELOADS)
EXTRA_DIST += jepsen-lite/clockshift.c jepsen-lite/diskfault.c

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
	jepsen-lite/work_feed.c \
	jepsen-lite/work_ids.c \
	jepsen-lite/work_lock.c \
	jepsen-lite/work_register.c \
	jepsen-lite/work_set.c \
	jepsen-lite/work_stale.c \
	jepsen-lite/work_tracking.c \
	jepsen-lite/work_ttl.c \
	jepsen-lite/work_watch.c
holdfast_load_LDADD = client/libholdfast.a

# holdfast-check: the judge
noinst_LIBRARIES += jepsen-lite/libcheck.a
jepsen_lite_libcheck_a_SOURCES = \
	jepsen-lite/check.c \
	jepsen-lite/check.h \
	jepsen-lite/check_append.c \
	jepsen-lite/check_clock.c \
	jepsen-lite/check_feed.c \
	jepsen-lite/check_graph.c \
	jepsen-lite/check_graph.h \
	jepsen-lite/check_history.h \
	jepsen-lite/check_int.h \
	jepsen-lite/check_lock.c \
	jepsen-lite/check_map.h \
	jepsen-lite/check_read.c \
	jepsen-lite/check_register.c \
	jepsen-lite/check_report.c \
	jepsen-lite/check_sums.c \
	jepsen-lite/check_tally.c \
	jepsen-lite/check_timeline.c \
	jepsen-lite/check_tracking.c \
	jepsen-lite/check_watch.c \
	jepsen-lite/check_wgl.c \
	jepsen-lite/check_wgl.h
CHECK_LIBS = jepsen-lite/libcheck.a base/libbase.a $(JANSSON_LIBS)
noinst_PROGRAMS += holdfast-check
holdfast_check_SOURCES = jepsen-lite/check_main.c
holdfast_check_LDADD = $(CHECK_LIBS)
