noinst_LIBRARIES += resp/libresp.a
resp_libresp_a_SOURCES =
