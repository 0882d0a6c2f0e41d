# The service file and an example configuration. The example goes to the
# documentation: a file in /etc that someone wrote is never overwritten.
systemunitdir = $(prefix)/lib/systemd/system
nodist_systemunit_DATA = etc/holdfastd.service
dist_doc_DATA += etc/haproxy.cfg etc/holdfastd.conf
EXTRA_DIST += etc/holdfastd.service.in
CLEANFILES += etc/holdfastd.service

etc/holdfastd.service: etc/holdfastd.service.in Makefile
	$(AM_V_GEN)$(MKDIR_P) etc && \
	sed -e 's|@bindir[@]|$(bindir)|' -e 's|@sysconfdir[@]|$(sysconfdir)|' \
		$(srcdir)/etc/holdfastd.service.in >$@
