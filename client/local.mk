# libholdfast is one archive: what it uses of resp/ and base/ is inside.
lib_LIBRARIES += client/libholdfast.a
client_libholdfast_a_SOURCES = \
	$(base_libbase_a_SOURCES) \
	$(resp_libresp_a_SOURCES)
nodist_pkgconfig_DATA += client/holdfast.pc
