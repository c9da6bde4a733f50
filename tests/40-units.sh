#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Goal of this test: the units are well-formed and their sandboxes tight.

set -eu

: "${top_srcdir:?set by make check}" "${top_builddir:?set by make check}"
units=$top_builddir/systemd
sockets=$top_srcdir/systemd
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if ! command -v systemd-analyze >/dev/null; then
	echo '1..0 # SKIP needs systemd-analyze'
	exit 0
fi

n=0
ok() {
	n=$((n + 1))
	if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; fi
}

# verify wants the programs at their final paths and users that exist: neither is installed here.
verify() {
	cp "$2/p2pbusd.socket" "$work/"
	for unit in "$1"/*.service; do
		sed -e "s|^\(Exec[A-Za-z]*=+*\)[^ ]*|\1/bin/true|" -e '/^User=/d' -e '/^Group=/d' \
			"$unit" >"$work/${unit##*/}"
	done
	# It ends with 0 for unknown keys, so what it says decides.
	said=$(XDG_RUNTIME_DIR=$work systemd-analyze "$3" --man=no verify "$work"/*.service "$work"/*.socket 2>&1) || true
	[ -z "$said" ] && return 0
	echo "$said" | sed 's/^/# /'
	return 1
}

verify "$units/system" "$sockets/system" --system && r=0 || r=1
ok "$r" "system units verify without a word"
rm -f "$work"/*.service "$work"/*.socket
verify "$units/user" "$sockets/user" --user && r=0 || r=1
ok "$r" "user units verify without a word"

for unit in "$units"/system/*.service "$units"/user/*.service; do
	case $unit in */user/*) manager=--user ;; *) manager=--system ;; esac
	said=$(XDG_RUNTIME_DIR=$work systemd-analyze "$manager" security --offline=yes --no-pager --threshold=20 "$unit" 2>&1) && r=0 || r=1
	echo "# $(echo "$said" | tail -n 1)"
	ok "$r" "${unit#"$units"/} is exposed at 2.0 or less"
done
echo "1..$n"
