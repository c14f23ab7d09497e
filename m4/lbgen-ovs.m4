# SPDX-License-Identifier: Apache-2.0
#
# Finding libopenvswitch.  Few distributions package it for development, so
# there are three ways to name one: a built source tree, an install prefix, or
# whatever pkg-config knows.  All three end in a libopenvswitch.pc.

# Oldest version whose public headers have what lbgen uses.
m4_define([LBGEN_OVS_MIN], [3.1])

# LBGEN_OVS
# ---------
# Sets OVS_CFLAGS, OVS_LIBS and OVS_VERSION, or stops and says what to do.
# LBGEN_OVS_ARGS is what makes another configure find the same library.
AC_DEFUN([LBGEN_OVS],
  [AC_ARG_WITH([ovs],
     [AS_HELP_STRING([--with-ovs=DIR],
        [use the Open vSwitch library in DIR, an install prefix or a built
         source tree (default: .ovs, which "./dev build" makes, or what
         pkg-config finds)])],
     [],
     [with_ovs=
      if test -f "$srcdir/.ovs/lib/pkgconfig/libopenvswitch.pc"; then
          with_ovs=$srcdir/.ovs
      fi])
   AS_CASE([$with_ovs],
     [yes|no], [AC_MSG_ERROR([--with-ovs needs a directory])])
   LBGEN_OVS_LOCATE
   LBGEN_OVS_FLAGS
   LBGEN_OVS_LINK])

# Sets lbgen_ovs_pc to the pkg-config command that knows the library.  A prefix
# may have been moved since it was installed and a source tree need never be
# installed, so what libopenvswitch.pc says about directories is overridden.
AC_DEFUN([LBGEN_OVS_LOCATE],
  [lbgen_ovs_pc="$PKG_CONFIG --static"
   if test -n "$with_ovs"; then
       lbgen_ovs_dir=`cd "$with_ovs" 2>/dev/null && pwd`
       AS_IF([test -z "$lbgen_ovs_dir"],
         [AC_MSG_ERROR([--with-ovs: there is no directory $with_ovs])])
       lbgen_ovs_lib=
       for lbgen_dir in "$lbgen_ovs_dir/lib" "$lbgen_ovs_dir/lib64" \
                        "$lbgen_ovs_dir"/lib/*-*; do
           if test -f "$lbgen_dir/pkgconfig/libopenvswitch.pc"; then
               lbgen_ovs_lib=$lbgen_dir
               lbgen_ovs_pcdir=$lbgen_dir/pkgconfig
           fi
       done
       if test -z "$lbgen_ovs_lib" &&
          test -f "$lbgen_ovs_dir/lib/.libs/libopenvswitch.a"; then
           lbgen_ovs_lib=$lbgen_ovs_dir/lib/.libs
           lbgen_ovs_pcdir=$lbgen_ovs_dir/lib
       fi
       AS_IF([test -z "$lbgen_ovs_lib"],
         [AC_MSG_ERROR([--with-ovs: $with_ovs is neither a prefix with lib/pkgconfig/libopenvswitch.pc
nor a source tree with lib/.libs/libopenvswitch.a (run "make" there first)])])
       lbgen_ovs_pc="$lbgen_ovs_pc --define-variable=libdir=$lbgen_ovs_lib \
--define-variable=includedir=$lbgen_ovs_dir/include"
       PKG_CONFIG_PATH="$lbgen_ovs_pcdir${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}"
       export PKG_CONFIG_PATH
   fi
   LBGEN_OVS_ARGS=${lbgen_ovs_dir:+--with-ovs=$lbgen_ovs_dir}
   AC_SUBST([LBGEN_OVS_ARGS])])

# Asks lbgen_ovs_pc.  The headers are made system headers, because the warnings
# that lbgen asks for are not Open vSwitch's.
AC_DEFUN([LBGEN_OVS_FLAGS],
  [AC_ARG_VAR([OVS_CFLAGS], [how to compile against libopenvswitch])
   AC_ARG_VAR([OVS_LIBS], [how to link with libopenvswitch])
   AC_MSG_CHECKING([for libopenvswitch])
   AS_IF([OVS_VERSION=`$lbgen_ovs_pc --modversion libopenvswitch 2>/dev/null`],
     [], [AC_MSG_RESULT([no])
          LBGEN_OVS_MISSING])
   AC_MSG_RESULT([$OVS_VERSION])
   AS_IF([$lbgen_ovs_pc --atleast-version=LBGEN_OVS_MIN libopenvswitch], [],
     [AC_MSG_ERROR([libopenvswitch is $OVS_VERSION, but lbgen needs ]LBGEN_OVS_MIN[ or later])])
   test -n "$OVS_CFLAGS" ||
       OVS_CFLAGS=`$lbgen_ovs_pc --cflags libopenvswitch |
                   sed 's,-I *\([[^ ]]\),-isystem \1,g'`
   test -n "$OVS_LIBS" ||
       OVS_LIBS="`$lbgen_ovs_pc --libs libopenvswitch` -lpthread"
   AC_DEFINE_UNQUOTED([OVS_BUILD_VERSION], ["$OVS_VERSION"],
     [Version of the Open vSwitch library that lbgen was configured with.])
   AC_SUBST([OVS_VERSION])])

AC_DEFUN([LBGEN_OVS_MISSING],
  [AC_MSG_ERROR([the Open vSwitch library was not found.

  Any one of these helps:
    - Run "./dev build": it builds the library from Debian's package
      openvswitch-source into .ovs/, and then lbgen.
    - Configure with --with-ovs=DIR, where DIR is a built Open vSwitch source
      tree or the prefix it was installed to.
    - Set PKG_CONFIG_PATH to the directory that has libopenvswitch.pc.])])

AC_DEFUN([LBGEN_OVS_LINK],
  [lbgen_save_CPPFLAGS=$CPPFLAGS
   lbgen_save_LIBS=$LIBS
   CPPFLAGS="$CPPFLAGS $OVS_CFLAGS"
   LIBS="$OVS_LIBS $LIBS"
   AC_MSG_CHECKING([whether programs link with libopenvswitch])
   AC_LINK_IFELSE(
     [AC_LANG_PROGRAM([[#include <stddef.h>
#include <openvswitch/vconn.h>]],
        [[return vconn_open("unix:x", 0, 0, NULL);]])],
     [AC_MSG_RESULT([yes])],
     [AC_MSG_RESULT([no])
      AC_MSG_ERROR([libopenvswitch $OVS_VERSION was found, but a program that calls vconn_open()
does not compile and link with "$OVS_CFLAGS" and "$OVS_LIBS".
config.log has the compiler's words.])])
   CPPFLAGS=$lbgen_save_CPPFLAGS
   LIBS=$lbgen_save_LIBS])
