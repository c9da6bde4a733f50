#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Goal of this test: each library exports what its header declares, versioned, and nothing else; and the
# program in that header compiles and links; that of p2pbus.h runs, too.
set -eu
LC_ALL=C
export LC_ALL

: "${top_srcdir:?set by make check}" "${top_builddir:?set by make check}"
CC=${CC:-cc}
lib=$top_builddir/.libs/libp2pbus.so
header=$top_srcdir/libclient/p2pbus.h

tmp=$(mktemp -d)
daemon=
trap 'test -z "$daemon" || kill "$daemon"; rm -rf "$tmp"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

n=0
check() {
        n=$((n + 1))
        if [ -z "$2" ]; then
                echo "ok $n - $1"
        else
                echo "not ok $n - $1"
                printf '%s\n' "$2" | sed 's/^/#   /'
        fi
}

# exports LIBRARY HEADER SYM VERSION
# Declarations stand at the beginning of a line; what is in comments does not count.
exports() {
        sed 's|/\*.*\*/||; /\/\*/,/\*\//d' "$2" | grep -vE '^typedef' |
                grep -oE '^[a-z].*[ *]p2pbus_[a-z0-9_]+\(' | grep -oE 'p2pbus_[a-z0-9_]+\(' | tr -d '(' |
                sort >"$tmp/declared"
        sed -n 's/^ *\(p2pbus_[a-z0-9_]*\);$/\1/p' "$3" | sort >"$tmp/listed"
        nm -D --defined-only "$1" | awk '$2 != "A" { print $3 }' | sort >"$tmp/exported"
        sed "s/\$/@@$4/" "$tmp/listed" >"$tmp/versioned"
        check "${3##*/} lists what ${2##*/} declares" "$(diff "$tmp/declared" "$tmp/listed" || true)"
        check 'the library exports that, under its version' \
                "$(diff "$tmp/versioned" "$tmp/exported" || true)"
}

echo 1..9
exports "$lib" "$header" "$top_srcdir/libclient/libp2pbus.sym" P2PBUS_0
# libtool's library without the symbols of anybody else's: libsystemd belongs to those who use it.
check 'it needs nothing but libc and libsodium' "$(objdump -p "$lib" |
        sed -n 's/^ *NEEDED *//p' | grep -vE '^(libc|libsodium|libpthread|libasan|libubsan|libtsan|libm|libdl|librt|ld-linux[-a-z0-9]*|libgcc_s)\.so' || true)"

# The program in the head of p2pbus.h: the indented lines of the first comment, from its #include on.
sed -n '/^ \*      #include <p2pbus.h>/,/^ \*      }$/s/^ \*      //p' "$header" >"$tmp/example.c"
# A sanitized library wants a sanitized program.
san=$(objdump -p "$lib" | sed -n 's/^ *NEEDED *libasan.*/-fsanitize=address/p
        s/^ *NEEDED *libubsan.*/-fsanitize=undefined/p; s/^ *NEEDED *libtsan.*/-fsanitize=thread/p')
# shellcheck disable=SC2086 # the compiler may come with flags
check "the program in p2pbus.h's head compiles" "$($CC -Wall -Wextra -Werror $san \
        -I"$top_srcdir/libclient" "$tmp/example.c" -L"$top_builddir/.libs" -lp2pbus \
        -Wl,-rpath,"$top_builddir/.libs" -o "$tmp/example" 2>&1)"

call=$top_builddir/.libs/libp2pbus-call.so
call_header=$top_srcdir/libcall/p2pbus-call.h
exports "$call" "$call_header" "$top_srcdir/libcall/libp2pbus-call.sym" P2PBUS_CALL_0
check 'it needs nothing but libp2pbus and jansson' "$(objdump -p "$call" |
        sed -n 's/^ *NEEDED *//p' | grep -vE '^(libc|libp2pbus|libjansson|libsodium|libpthread|libasan|libubsan|libtsan|libm|libdl|librt|ld-linux[-a-z0-9]*|libgcc_s)\.so' || true)"
sed -n '/^ \*      #include <p2pbus-call.h>/,/^ \*      }$/s/^ \*      //p' "$call_header" >"$tmp/adder.c"
sed -n '/^ \*      int main/,/^ \*      }$/s/^ \*      //p' "$call_header" >>"$tmp/adder.c"
# shellcheck disable=SC2086 # the compiler may come with flags
check "the program in p2pbus-call.h's head compiles" "$($CC -Wall -Wextra -Werror $san ${test_cppflags-} \
        -I"$top_srcdir/libclient" -I"$top_srcdir/libcall" "$tmp/adder.c" -L"$top_builddir/.libs" \
        -lp2pbus-call -lp2pbus -ljansson -Wl,-rpath,"$top_builddir/.libs" -o "$tmp/adder" 2>&1)"

# What it says when nobody has the PID shows that it found the bus and asked.
mkfifo "$tmp/log"
"$top_builddir/p2pbusd" --user --socket "$tmp/bus" --state-dir "$tmp/state" 2>"$tmp/log" &
daemon=$!
exec 3<"$tmp/log"
read -r listening <&3
said=$(P2PBUS_SOCKET=$tmp/bus "$tmp/example" 0123456789abcdef 2>&1 || true)
check 'and finds the bus' "$(test "$said" = 'no such destination' || echo "$listening; $said")"
