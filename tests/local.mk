# A unit test is one file; add its name here. It may use every library.
UNIT_TESTS = \
	tests/unit/test_bytes \
	tests/unit/test_crc32c

check_PROGRAMS += $(UNIT_TESTS)
TESTS += $(UNIT_TESTS)
LDADD = $(ALL_LIBS) $(CMOCKA_LIBS)
