# Real clusters under faults (jepsen-lite/HISTORY.md); installed nowhere. One
# block a program.
EXTRA_DIST += jepsen-lite/HISTORY.md

# holdfast-nemesis: faults

# holdfast-load: clients

# holdfast-check: the judge
noinst_LIBRARIES += jepsen-lite/libcheck.a
jepsen_lite_libcheck_a_SOURCES = \
	jepsen-lite/check.c \
	jepsen-lite/check.h \
	jepsen-lite/check_append.c \
	jepsen-lite/check_clock.c \
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
	jepsen-lite/check_wgl.c \
	jepsen-lite/check_wgl.h
CHECK_LIBS = jepsen-lite/libcheck.a base/libbase.a $(JANSSON_LIBS)
noinst_PROGRAMS += holdfast-check
holdfast_check_SOURCES = jepsen-lite/check_main.c
holdfast_check_LDADD = $(CHECK_LIBS)
