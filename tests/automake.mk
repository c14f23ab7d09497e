# SPDX-License-Identifier: Apache-2.0

# The one program through which the tests reach what is inside the libraries.
check_PROGRAMS += tests/lbtest
tests_lbtest_LDADD = $(LBGEN_LIBS)
tests_lbtest_SOURCES = \
	tests/lbtest-policies.c \
	tests/lbtest-slots.c \
	tests/lbtest.c \
	tests/lbtest.h

EXTRA_DIST += \
	tests/pytest.ini \
	tests/run \
	tests/sandbox \
	tests/test_configure.py \
	tests/test_sandbox.py

# The tests run in a sandbox of their own, whatever directory this is built in.
# LBGEN_CHECK says which: in the environment, or else as configured.
check-local: lbgen/lbgen tests/lbtest
	LBGEN='$(abs_top_builddir)/lbgen/lbgen' \
	LBTEST='$(abs_top_builddir)/tests/lbtest' \
	SRCDIR='$(abs_top_srcdir)' \
	LBGEN_CHECK="$${LBGEN_CHECK:-$(DEFAULT_CHECK)}" \
	$(srcdir)/tests/run $(CHECK_ARGS)
