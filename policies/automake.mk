# SPDX-License-Identifier: Apache-2.0

noinst_LIBRARIES += policies/libpolicies.a
policies_libpolicies_a_SOURCES = \
	policies/failover.c \
	policies/hash.c \
	policies/hash.h \
	policies/policy.c \
	policies/policy.h \
	policies/random.c \
	policies/round-robin.c \
	policies/sticky.c \
	policies/weight-adaptive.c \
	policies/weight-feedback.c \
	policies/weight-least-connections.c \
	policies/weight-orca.c \
	policies/weight-sblb.c \
	policies/weight-slow-start.c \
	policies/weight-static.c \
	policies/weight-threshold.c \
	policies/weight.c \
	policies/weight.h \
	policies/wrr.c
