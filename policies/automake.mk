# SPDX-License-Identifier: Apache-2.0

noinst_LIBRARIES += policies/libpolicies.a
policies_libpolicies_a_SOURCES = \
	policies/hash.c \
	policies/hash.h \
	policies/policy.c \
	policies/policy.h \
	policies/random.c \
	policies/sticky.c \
	policies/wrr.c
