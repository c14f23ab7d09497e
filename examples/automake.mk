# SPDX-License-Identifier: Apache-2.0

examplesdir = $(docdir)/examples
dist_examples_DATA = \
	examples/adaptive.yaml \
	examples/anchors.yaml \
	examples/any.yaml \
	examples/backup.yaml \
	examples/direct.yaml \
	examples/failover.yaml \
	examples/ipv6.yaml \
	examples/grafana-dashboard.json \
	examples/health-switch.yaml \
	examples/health.yaml \
	examples/lab-adaptive.yaml \
	examples/lab-affinity.yaml \
	examples/lab-hidden.yaml \
	examples/lab-hidden-turns.yaml \
	examples/lab-round-robin.yaml \
	examples/lab-sets.yaml \
	examples/lab-weights.yaml \
	examples/low-bits.yaml \
	examples/ports.yaml \
	examples/random.yaml \
	examples/round-robin.yaml \
	examples/routed.yaml \
	examples/sblb.yaml \
	examples/sets.yaml \
	examples/stateless.yaml \
	examples/sticky.yaml \
	examples/two-sites.yaml \
	examples/two-sites-west.yaml \
	examples/vlan.yaml \
	examples/wrr.yaml
