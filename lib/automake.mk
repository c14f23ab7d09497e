# SPDX-License-Identifier: Apache-2.0

noinst_LIBRARIES += lib/liblbgen.a
lib_liblbgen_a_SOURCES = \
	lib/diag.c \
	lib/diag.h \
	lib/document.h \
	lib/model.h \
	lib/slots.c \
	lib/slots.h \
	lib/util.c \
	lib/util.h
