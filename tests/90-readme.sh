#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Goal of this test: the examples of the README and of p2pbus_reserve(3) do what is said of them,
# pasted as they stand.

set -eu
: "${top_srcdir:?}" "${top_builddir:?}" "${CC:=cc}"

work=$(mktemp -d)
running=
cleanup() {
	# shellcheck disable=SC2086 # process ids are words
	[ -z "$running" ] || kill $running 2>/dev/null || true
	wait 2>/dev/null || true
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

n=0
ok() {
	n=$((n + 1))
	if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; fi
}

# The shell examples: the indented blocks under two headings, with a folder of our own for /tmp, in one
# shell.
sed -n '/^## Five lines of shell/,/^## By name/s/^    //p' "$top_srcdir/README.md" >"$work/five"
sed -n '/^## By name/,/^## Across/s/^    //p' "$top_srcdir/README.md" >"$work/more"
[ "$(wc -l <"$work/five")" -eq 5 ] && r=0 || r=1
ok "$r" "the shell example has five lines"
{
	cat "$work/five"
	echo 'echo "   five"'
	cat "$work/more"
	echo 'kill %3 %2 %1'
} | sed "s,/tmp/,$work/,g" >"$work/example.sh"
said=$(PATH=$top_builddir:$PATH timeout 60 bash "$work/example.sh" 2>"$work/stderr") || true
[ "$(echo "$said" | sed -n '1s/   five$//p')" = 'HELLO, BUS' ] && r=0 || r=1
[ "$r" = 0 ] || sed 's/^/# /' "$work/stderr"
ok "$r" "the shell example prints HELLO, BUS"
[ "$(echo "$said" | sed -n 2p)" = 'HELLO, SERVICE4 degrees' ] && r=0 || r=1
ok "$r" "a service and a topic are found by name"
[ "$(echo "$said" | sed -n 3p)" = null ] && r=0 || r=1
ok "$r" "a provider answers p2pbus.Ping"
[ "$(echo "$said" | sed -n '4s/\t.*//p')" = demo.upper ] && r=0 || r=1
ok "$r" "and is listed"

# The C example, compiled as any program would be, and asked.
# shellcheck disable=SC2016 # backquotes are meant
sed -n '/^```c$/,/^```$/p' "$top_srcdir/README.md" | sed '/^```/d' >"$work/shout.c"
# shellcheck disable=SC2086 # flags are words
$CC ${test_cflags-} -Wall -Wextra -Werror -I"$top_srcdir/libclient" -o "$work/shout" "$work/shout.c" \
	-L"$top_builddir/.libs" -lp2pbus -Wl,-rpath,"$top_builddir/.libs" 2>"$work/stderr" && r=0 || r=1
[ "$r" = 0 ] || sed 's/^/# /' "$work/stderr"
ok "$r" "the C example compiles without a warning"

PATH=$top_builddir:$PATH
export P2PBUS_SOCKET="$work/bus"
mkfifo "$work/daemon" "$work/shout.says"
p2pbusd --user --socket "$P2PBUS_SOCKET" --state-dir "$work/state" 2>"$work/daemon" &
running=$!
exec 3<"$work/daemon"
read -r _ <&3
"$work/shout" 2>"$work/shout.says" &
running="$running $!"
exec 4<"$work/shout.says"
read -r line <&4
said=$(p2pbus-send -r -t 10 "${line#listening as }" 'hello, library') || true
[ "$said" = 'HELLO, LIBRARY' ] && r=0 || r=1
ok "$r" "the C example answers"

# The program of p2pbus_reserve(3), which sends to the process that it is given.
sed -n '/^\.Bd -literal$/,/^\.Ed$/p' "$top_srcdir/man/p2pbus_reserve.3" |
	sed '/^\.[BE]d/d; s/\\e/\\/g' >"$work/pictures.c"
# shellcheck disable=SC2086 # flags are words
$CC ${test_cflags-} -Wall -Wextra -Werror -I"$top_srcdir/libclient" -o "$work/pictures" \
	"$work/pictures.c" -L"$top_builddir/.libs" -lp2pbus -Wl,-rpath,"$top_builddir/.libs" \
	2>"$work/stderr" && r=0 || r=1
[ "$r" = 0 ] || sed 's/^/# /' "$work/stderr"
ok "$r" "the example of p2pbus_reserve(3) compiles without a warning"

mkfifo "$work/recv.says"
p2pbus-recv -n 1000 -t 60 --format raw >"$work/received" 2>"$work/recv.says" &
receiver=$!
running="$running $receiver"
exec 5<"$work/recv.says"
read -r line <&5
"$work/pictures" "${line#listening as }" && wait "$receiver" && r=0 || r=1
[ "$(wc -c <"$work/received")" -eq 32768000 ] || r=1
ok "$r" "and sends 1000 pictures"

echo "1..$n"
