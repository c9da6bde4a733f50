#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Goal of this test: make install keeps to DESTDIR and to the prefix, and what it installed is whole.
set -eu
LC_ALL=C
export LC_ALL

: "${top_srcdir:?set by make check}" "${top_builddir:?set by make check}"

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# The build's own answer, with ${prefix} and the like written out.
variable() {
        # shellcheck disable=SC2016 # make's variable, not ours
        printf 'include Makefile\np2pbus-print:\n\t@echo "$(%s)"\n' "$1" >"$tmp/print.mk"
        make -s -C "$top_builddir" -f "$tmp/print.mk" p2pbus-print
}

check() {
        n=$((n + 1))
        if [ -z "$2" ]; then
                echo "ok $n - $1"
        else
                echo "not ok $n - $1"
                printf '%s\n' "$2" | sed 's/^/#   /'
        fi
}
n=0

# This make is nobody's child: the one that runs the tests has its own jobs and flags.
unset MAKEFLAGS MFLAGS MAKELEVEL
prefix=$(variable prefix)
root=$top_builddir/tests/installed
[ -d "$root" ] || {
        echo "Bail out! no $root; make check makes it"
        exit 1
}

echo 1..3
installed=$(cd "$root" && find . ! -type d | sed 's/^\.//')
if [ "$prefix" = /usr ]; then
        # Debian's systemd names /lib, which is /usr/lib.
        outside=$(printf '%s\n' "$installed" | grep -vE '^/(usr|etc|lib/systemd)/' || true)
else
        outside=$(printf '%s\n' "$installed" | grep -vE "^$prefix/" || true)
fi
check "nothing outside $prefix" "$outside"

check 'no text names the build directory' \
        "$(grep -rlIF -e "$top_builddir" -e "$top_srcdir" "$root" || true)"
check 'no substitution was forgotten' \
        "$(grep -rlIE '@[A-Za-z_]+(dir|DIR|VERSION)@|@prefix@' "$root" || true)"
