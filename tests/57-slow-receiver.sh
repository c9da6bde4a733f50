#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Goal of this test: a receiver on another host that stops reading holds up its own sender, which
# learns whom it waits for, and nobody else.
# shellcheck source=tests/lib.sh source=tests/hosts.sh disable=SC2154
. "$top_srcdir/tests/lib.sh"
. "$top_srcdir/tests/hosts.sh"

deadline=60
start_relay relay --listen 127.0.0.1:0
start_host a "$url_relay"
start_host b "$url_relay"

at b
start_recv slow
start_recv quick
at a
full=$(p2pbusctl keygen "$work/a/key")
pid=${full%%:*}
seq 1 100000 >"$work/numbers"

start waits p2pbus-send -k "$work/a/key" -t "$deadline" --lines "$dest_slow" <"$work/numbers"
wait_line "$work/slow.out" '^100$'
kill -STOP "$pid_slow"

# waiting: until peers says that the sender waits for the slow one
waiting() {
        n_left=2000
        until [ "$n_left" = 0 ] || p2pbusctl peers | awk -F '\t' -v pid="$pid" -v slow="$dest_slow" '
                        $1 ~ "^" pid && $11 == slow && $16 > 0 { found = 1 } END { exit !found }'; do
                n_left=$((n_left - 1))
        done
        [ "$n_left" -gt 0 ]
}
check 'peers says who waits for whom, and that it has' waiting

run p2pbus-send -t "$deadline" --lines "$dest_quick" <"$work/numbers"
is 'another receiver on that host gets everything meanwhile' 0 "$status"
check '  in order' cmp "$work/numbers" "$work/quick.out"
at b
start_recv back
run p2pbus-send --lines "$dest_back" <"$work/numbers"
is 'and so does one from its own host' 0 "$status"
at a
is 'the slow one has got nothing new' '' "$(grep -x 100000 "$work/slow.out" || true)"

kill -CONT "$pid_slow"
end waits
is 'it goes on, and its sender is told of every delivery' 0 "$status"
check '  in order' cmp "$work/numbers" "$work/slow.out"
finish
