noinst_LIBRARIES += resp/libresp.a
resp_libresp_a_SOURCES = \
	resp/reply.c \
	resp/resp.c \
	resp/resp.h \
	resp/resp_int.h \
	resp/scan.c
