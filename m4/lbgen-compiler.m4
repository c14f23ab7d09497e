# SPDX-License-Identifier: Apache-2.0
#
# What the compiler is asked for, beyond what the user says in CFLAGS.

# LBGEN_WARNINGS
# --------------
# Sets LBGEN_CFLAGS to the language and the warnings.  The language is C11 with
# GNU extensions, because the list macros in Open vSwitch's public headers use
# "typeof", which strict C11 does not have.  Warnings are errors in a git
# checkout, where they can be fixed, and not in a release, which has to build
# with compilers that did not exist when it was made.
AC_DEFUN([LBGEN_WARNINGS],
  [AC_ARG_ENABLE([Werror],
     [AS_HELP_STRING([--enable-Werror],
        [treat warnings as errors (default: in a git checkout)])],
     [],
     [if test -e "$srcdir/.git"; then
          enable_Werror=yes
      else
          enable_Werror=no
      fi])
   LBGEN_CFLAGS="-std=gnu11 -Wall -Wextra -Wstrict-prototypes \
-Wmissing-prototypes -Wshadow -Wold-style-definition -Wwrite-strings \
-Wformat=2 -Wundef"
   if test "$enable_Werror" = yes; then
       LBGEN_CFLAGS="$LBGEN_CFLAGS -Werror"
   fi
   AC_SUBST([LBGEN_CFLAGS])])

# LBGEN_SANITIZERS
# ----------------
# Sets LBGEN_SANITIZE, for compiling and linking.  What a sanitizer finds ends
# the program, so that no test can pass over it.
AC_DEFUN([LBGEN_SANITIZERS],
  [AC_ARG_ENABLE([sanitizers],
     [AS_HELP_STRING([--enable-sanitizers],
        [build with AddressSanitizer and UndefinedBehaviorSanitizer])],
     [], [enable_sanitizers=no])
   LBGEN_SANITIZE=
   if test "$enable_sanitizers" = yes; then
       LBGEN_SANITIZE="-fsanitize=address,undefined \
-fno-sanitize-recover=all -fno-omit-frame-pointer"
       lbgen_save_CFLAGS=$CFLAGS
       CFLAGS="$CFLAGS $LBGEN_SANITIZE"
       AC_MSG_CHECKING([whether programs link with the sanitizers])
       AC_LINK_IFELSE([AC_LANG_PROGRAM([], [])],
         [AC_MSG_RESULT([yes])],
         [AC_MSG_RESULT([no])
          AC_MSG_ERROR([$CC does not link with $LBGEN_SANITIZE])])
       CFLAGS=$lbgen_save_CFLAGS
   fi
   AC_SUBST([LBGEN_SANITIZE])])

# LBGEN_FUZZER
# ------------
# Decides whether the fuzzer is built.  Everything is then compiled for it, and
# with the sanitizers, because a mistake that nothing notices is not found.
AC_DEFUN([LBGEN_FUZZER],
  [AC_REQUIRE([LBGEN_SANITIZERS])
   AC_ARG_ENABLE([fuzzer],
     [AS_HELP_STRING([--enable-fuzzer],
        [build tests/fuzz-model, with sanitizers (needs CC=clang)])],
     [], [enable_fuzzer=no])
   if test "$enable_fuzzer" = yes; then
       LBGEN_SANITIZE="-fsanitize=fuzzer-no-link,address,undefined \
-fno-sanitize-recover=all -fno-omit-frame-pointer"
       lbgen_save_CFLAGS=$CFLAGS
       CFLAGS="$CFLAGS $LBGEN_SANITIZE"
       AC_MSG_CHECKING([whether programs link with the fuzzer])
       AC_LINK_IFELSE([AC_LANG_PROGRAM([], [])],
         [AC_MSG_RESULT([yes])],
         [AC_MSG_RESULT([no])
          AC_MSG_ERROR([$CC has no fuzzer; --enable-fuzzer needs CC=clang])])
       CFLAGS=$lbgen_save_CFLAGS
   fi
   AM_CONDITIONAL([FUZZER], [test "$enable_fuzzer" = yes])])
