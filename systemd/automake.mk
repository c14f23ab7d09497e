# SPDX-License-Identifier: Apache-2.0

# Made by make and not by configure, because the directories may refer to
# variables of make.  "@system-service" is systemd's.
systemd_units = systemd/lbgen@.service
systemd/lbgen@.service: systemd/lbgen@.service.in Makefile
	$(AM_V_GEN)$(MKDIR_P) systemd && \
	sed -e 's,[@]sbindir[@],$(sbindir),g' \
	    -e 's,[@]sysconfdir[@],$(sysconfdir),g' \
	    '$(srcdir)/systemd/lbgen@.service.in' >$@.tmp && mv $@.tmp $@

EXTRA_DIST += systemd/lbgen@.service.in
CLEANFILES += $(systemd_units)

if SYSTEMD_UNITS
systemdsystemunit_DATA = $(systemd_units)
else
noinst_DATA = $(systemd_units)
endif
