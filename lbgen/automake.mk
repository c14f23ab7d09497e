# SPDX-License-Identifier: Apache-2.0

# The model asks a policy, and a policy may use the helpers in lib/: hence
# twice.
LBGEN_LIBS = \
	lib/liblbgen.a \
	policies/libpolicies.a \
	lib/liblbgen.a \
	$(YAML_LIBS) \
	$(CURL_LIBS) \
	$(OVS_LIBS)

sbin_PROGRAMS += lbgen/lbgen
lbgen_lbgen_LDADD = $(LBGEN_LIBS) $(MICROHTTPD_LIBS)
lbgen_lbgen_SOURCES = \
	lbgen/cmd-apply.c \
	lbgen/cmd-check.c \
	lbgen/cmd-connections.c \
	lbgen/cmd-delete.c \
	lbgen/cmd-explain.c \
	lbgen/cmd-export.c \
	lbgen/cmd-monitor.c \
	lbgen/cmd-override.c \
	lbgen/cmd-refresh.c \
	lbgen/cmd-status.c \
	lbgen/command.h \
	lbgen/connect.c \
	lbgen/connect.h \
	lbgen/drain-wait.c \
	lbgen/drain-wait.h \
	lbgen/exposition.c \
	lbgen/exposition.h \
	lbgen/job.c \
	lbgen/job.h \
	lbgen/load.c \
	lbgen/load.h \
	lbgen/main.c \
	lbgen/monitor-files.c \
	lbgen/monitor-metrics.c \
	lbgen/monitor-refresh.c \
	lbgen/monitor-sync.c \
	lbgen/monitor.h \
	lbgen/notify.c \
	lbgen/notify.h \
	lbgen/options.c \
	lbgen/options.h \
	lbgen/report-explain.c \
	lbgen/report-explain.h \
	lbgen/report-json.c \
	lbgen/report-refresh.c \
	lbgen/report-refresh.h \
	lbgen/report-text.c \
	lbgen/report.h \
	lbgen/run-refresh.c \
	lbgen/run-refresh.h \
	lbgen/status-watch.c \
	lbgen/status-watch.h \
	lbgen/run-update.c

dist_man_MANS += \
	lbgen/lbgen.8 \
	lbgen/lbgen.yaml.5
