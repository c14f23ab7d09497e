# SPDX-License-Identifier: Apache-2.0

# Made by make and not by configure, because the directories may refer to
# variables of make.  "@system-service" is systemd's.
make_unit = $(AM_V_GEN)$(MKDIR_P) systemd && \
	sed -e 's,[@]sbindir[@],$(sbindir),g' \
	    -e 's,[@]sysconfdir[@],$(sysconfdir),g' \
	    '$(srcdir)/$@.in' >$@.tmp && mv $@.tmp $@

made_units = \
	systemd/lbgen-monitor@.service \
	systemd/lbgen-refresh@.service \
	systemd/lbgen@.service
systemd/lbgen-monitor@.service: systemd/lbgen-monitor@.service.in Makefile
	$(make_unit)
systemd/lbgen-refresh@.service: systemd/lbgen-refresh@.service.in Makefile
	$(make_unit)
systemd/lbgen@.service: systemd/lbgen@.service.in Makefile
	$(make_unit)

systemd_units = $(made_units) systemd/lbgen-refresh@.timer

EXTRA_DIST += \
	systemd/lbgen-monitor@.service.in \
	systemd/lbgen-refresh@.service.in \
	systemd/lbgen-refresh@.timer \
	systemd/lbgen.conf \
	systemd/lbgen@.service.in
CLEANFILES += $(made_units)

# Where it goes to is up to who is at work; what it is for has no name of its
# own.
dist_examples_DATA += systemd/ovs-vswitchd-lbgen.conf

if SYSTEMD_UNITS
systemdsystemunit_DATA = $(systemd_units)
sysusersdir = $(systemdsystemunitdir)/../../sysusers.d
sysusers_DATA = systemd/lbgen.conf
else
noinst_DATA = $(systemd_units)
endif
