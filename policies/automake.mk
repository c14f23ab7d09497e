# SPDX-License-Identifier: Apache-2.0

noinst_LIBRARIES += policies/libpolicies.a
policies_libpolicies_a_SOURCES = \
	policies/hash.h \
	policies/policy.h
