# SPDX-License-Identifier: Apache-2.0

# LBGEN_SYSTEMD
# -------------
# Sets systemdsystemunitdir to where systemd looks for units, and the condition
# SYSTEMD_UNITS if they are to be installed.  Without the option that is what
# pkg-config says, and only when installing to a place of the system's: nothing
# is to be written there by who installs to a directory of his own.
AC_DEFUN([LBGEN_SYSTEMD], [
    AC_ARG_WITH([systemdsystemunitdir],
        [AS_HELP_STRING([--with-systemdsystemunitdir=DIR],
            [install the systemd unit there; "no" for nowhere])],
        [], [with_systemdsystemunitdir=auto])
    AS_CASE([$with_systemdsystemunitdir],
        [no], [systemdsystemunitdir=],
        [auto], [
            systemdsystemunitdir=
            AS_CASE([$prefix], [NONE|/usr|/usr/local], [
                systemdsystemunitdir=`$PKG_CONFIG \
                    --variable=systemdsystemunitdir systemd 2>/dev/null`])],
        [yes], [
            systemdsystemunitdir=`$PKG_CONFIG \
                --variable=systemdsystemunitdir systemd 2>/dev/null`
            AS_IF([test -z "$systemdsystemunitdir"], [
                AC_MSG_ERROR([pkg-config does not know where systemd has its
units.  Say where: --with-systemdsystemunitdir=DIR])])],
        [systemdsystemunitdir=$with_systemdsystemunitdir])
    AC_SUBST([systemdsystemunitdir])
    AM_CONDITIONAL([SYSTEMD_UNITS], [test -n "$systemdsystemunitdir"])
])
