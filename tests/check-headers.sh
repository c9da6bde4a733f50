#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Goal of this test: every header compiles alone and twice; what users include also compiles as
# pedantic C89 and as C++.
#
# `make check` hands over the compiler and the libraries' flags.
set -eu
LC_ALL=C
export LC_ALL

top=${top_srcdir:-.}
build=${top_builddir:-$top}
CC=${CC:-cc}
CXX=${CXX:-c++}
n=0

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

cd "$top"
headers=$(find libcore libsecure libclient libcall libws daemon bridge relay procbridge tools tests bench -name '*.h' | sort)
public=$(find libclient libcall -name 'p2pbus*.h' | sort)

# compiles NAME FILE COMMAND...: one line of TAP, and what the compiler said
compiles() {
        name=$1 file=$2
        shift 2
        n=$((n + 1))
        # shellcheck disable=SC2086 # flags are words
        if "$@" -fsyntax-only -I. -I"$build" -Ilibclient ${test_cppflags:-} "$file" >"$tmp/said" 2>&1; then
                echo "ok $n - $name"
        else
                echo "not ok $n - $name"
                sed 's/^/#   /' "$tmp/said"
        fi
}

twice() {
        printf '#include "%s"\n#include "%s"\n' "$1" "$1" >"$tmp/$2"
}

count() {
        echo $#
}
# shellcheck disable=SC2086 # lists of words
echo "1..$(($(count $headers) + 2 * $(count $public)))"

for h in $headers; do
        twice "$h" header.c
        # shellcheck disable=SC2086 # the compiler may come with flags
        compiles "$h compiles alone" "$tmp/header.c" $CC -std=gnu11 -Wall -Wextra -Wundef -Werror
done

for h in $public; do
        twice "$h" header.c
        twice "$h" header.cc
        # sd-event's own header is not C89.
        case $h in
        */p2pbus-sd-event.h) std='-std=gnu11' ;;
        # Nor is jansson's, which is C99.
        */p2pbus-call.h) std='-std=c99 -pedantic' ;;
        *) std='-std=c89 -pedantic' ;;
        esac
        # shellcheck disable=SC2086
        compiles "$h compiles with $std" "$tmp/header.c" $CC $std -Wall -Wextra -Werror
        # shellcheck disable=SC2086
        if command -v ${CXX%% *} >/dev/null; then
                compiles "$h compiles as C++" "$tmp/header.cc" $CXX -std=c++98 -pedantic -Wall -Wextra -Werror
        else
                n=$((n + 1))
                echo "ok $n - $h compiles as C++ # SKIP needs g++"
        fi
done
