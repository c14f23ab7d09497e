# SPDX-License-Identifier: Apache-2.0

# The one program through which the tests reach what is inside the libraries.
check_PROGRAMS += tests/lbtest
tests_lbtest_LDADD = $(LBGEN_LIBS)
tests_lbtest_SOURCES = \
	tests/lbtest-conntrack.c \
	tests/lbtest-explain.c \
	tests/lbtest-health.c \
	tests/lbtest-model.c \
	tests/lbtest-policies.c \
	tests/lbtest-refresh.c \
	tests/lbtest-slots.c \
	tests/lbtest.c \
	tests/lbtest.h

# Servers and clients in the labs of the tests that need a switch.
check_PROGRAMS += tests/traffic
tests_traffic_SOURCES = \
	tests/traffic-client.c \
	tests/traffic-server.c \
	tests/traffic.c \
	tests/traffic.h

# "tests/fuzz-model -max_len=4096 DIR tests/fuzz/corpus" looks for files that
# crash the reader, and keeps what it learns in DIR.
if FUZZER
noinst_PROGRAMS = tests/fuzz-model
tests_fuzz_model_LDADD = $(LBGEN_LIBS)
tests_fuzz_model_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_model_SOURCES = tests/fuzz/fuzz-model.c
endif

EXTRA_DIST += \
	tests/bench \
	tests/conftest.py \
	tests/demo.py \
	tests/errors \
	tests/fuzz/corpus \
	tests/golden \
	tests/lab.py \
	tests/lab_capture.py \
	tests/lab_datagrams.py \
	tests/lab_frames.py \
	tests/lab_http.py \
	tests/lab_load.py \
	tests/lab_monitor.py \
	tests/lab_simulation.py \
	tests/lab_sites.py \
	tests/lab_slots.py \
	tests/lab_switch.py \
	tests/lab_topology.py \
	tests/lab_traffic.py \
	tests/pytest.ini \
	tests/run \
	tests/sandbox \
	tests/set-clock.c \
	tests/slot_model.py \
	tests/soak.py \
	tests/test_affinity.py \
	tests/test_alive.py \
	tests/test_apply.py \
	tests/test_arp.py \
	tests/test_bench.py \
	tests/test_bench_refresh.py \
	tests/test_busy.py \
	tests/test_check_switch.py \
	tests/test_checker.py \
	tests/test_clock.py \
	tests/test_command_line.py \
	tests/test_configure.py \
	tests/test_connections.py \
	tests/test_death.py \
	tests/test_demo.py \
	tests/test_direct.py \
	tests/test_discovery.py \
	tests/test_discovery6.py \
	tests/test_docs.py \
	tests/test_drift.py \
	tests/test_errors_switch.py \
	tests/test_every_policy.py \
	tests/test_examples.py \
	tests/test_export.py \
	tests/test_failover.py \
	tests/test_fast_path.py \
	tests/test_fragments.py \
	tests/test_guard.py \
	tests/test_half_open.py \
	tests/test_explain.py \
	tests/test_health.py \
	tests/test_ipv6.py \
	tests/test_json.py \
	tests/test_lab.py \
	tests/test_labs.py \
	tests/test_locking.py \
	tests/test_living_with_others.py \
	tests/test_matrix.py \
	tests/test_metrics.py \
	tests/test_monitor.py \
	tests/test_monitor_metrics.py \
	tests/test_monitor_repair.py \
	tests/test_monitor_states.py \
	tests/test_monitor_valgrind.py \
	tests/test_moves.py \
	tests/test_neighbor.py \
	tests/test_override.py \
	tests/test_path_checks.py \
	tests/test_part.py \
	tests/test_path_mtu.py \
	tests/test_paths.py \
	tests/test_ovs_hash.py \
	tests/test_policies.py \
	tests/test_protocols.py \
	tests/test_reading.py \
	tests/test_refresh.py \
	tests/test_refresh_samples.py \
	tests/test_refresh_switch.py \
	tests/test_removal.py \
	tests/test_resident.py \
	tests/test_restart.py \
	tests/test_round_robin.py \
	tests/test_sandbox.py \
	tests/test_sets.py \
	tests/test_service.py \
	tests/test_shares.py \
	tests/test_sites.py \
	tests/test_slot_flows.py \
	tests/test_slots.py \
	tests/test_soak.py \
	tests/test_stale_flows.py \
	tests/test_states_basic.py \
	tests/test_status_watch.py \
	tests/test_sudden_ends.py \
	tests/test_systemd.py \
	tests/test_ties.py \
	tests/test_turn_rate.py \
	tests/test_turns.py \
	tests/test_turns_alive.py \
	tests/test_turns_paths.py \
	tests/test_valgrind.py \
	tests/test_vlan.py \
	tests/test_weight_policies.py \
	tests/try_lab.py \
	tests/turn_model.py

# The tests run in a sandbox of their own, whatever directory this is built in.
# LBGEN_CHECK says which: in the environment, or else as configured.
check-local: lbgen/lbgen tests/lbtest tests/traffic
	LBGEN='$(abs_top_builddir)/lbgen/lbgen' \
	LBTEST='$(abs_top_builddir)/tests/lbtest' \
	SRCDIR='$(abs_top_srcdir)' \
	LBGEN_CHECK="$${LBGEN_CHECK:-$(DEFAULT_CHECK)}" \
	$(srcdir)/tests/run $(CHECK_ARGS)

# Side by side with what else there is.  BENCH_ARGS are chapters, by default
# all of them; docs/benchmarks.md says what BENCH_SECONDS and so on are for.
bench: lbgen/lbgen tests/traffic
	@LBGEN='$(abs_top_builddir)/lbgen/lbgen' SRCDIR='$(abs_top_srcdir)' \
	LBTEST='$(abs_top_builddir)/tests/lbtest' \
	PYTHONPATH='$(abs_top_srcdir)/tests' PYTHONDONTWRITEBYTECODE=1 \
	    $(srcdir)/tests/sandbox /usr/bin/python3 -m bench $(BENCH_ARGS)
.PHONY: bench

# A day of the monitor in minutes.  SOAK_ARGS are seconds.
soak: lbgen/lbgen tests/traffic
	@LBGEN='$(abs_top_builddir)/lbgen/lbgen' SRCDIR='$(abs_top_srcdir)' \
	PYTHONDONTWRITEBYTECODE=1 $(srcdir)/tests/sandbox /usr/bin/python3 \
	    '$(abs_top_srcdir)/tests/soak.py' $(SOAK_ARGS)
.PHONY: soak
