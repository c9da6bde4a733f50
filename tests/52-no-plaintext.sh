#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Goal of this test: what a process sends to another host stands nowhere in the clear on its way:
# neither in the memory of daemon, bridge and relay, nor on a wire; not while it is under way, and
# not when it has arrived.
#
# Both ways of looking are shown to see what there is to see first.
# shellcheck source=tests/lib.sh source=tests/hosts.sh disable=SC2154
. "$top_srcdir/tests/lib.sh"
. "$top_srcdir/tests/hosts.sh"
need_net

marker() {
        od -An -tx1 -N16 /dev/urandom | tr -d ' \n'
}

# repeat FILE: 256 KiB of what stands in FILE
repeat() {
        awk '{ for (i = 0; i < 8192; i++) printf "%s", $0 }' "$1"
}

# found FILE PROCESS...: how often the bytes of FILE stand in the memory of all of these
found() {
        what=$1
        shift
        pids=
        for each; do eval "pids=\"\$pids \$pid_$each\""; done
        # shellcheck disable=SC2086 # words
        "$top_builddir/tests/memgrep" "$what" $pids | awk '{ n += $2 } END { print n }'
}

on_the_way='bus_a bridge_a relay bridge_b bus_b'

make_net 5 0
start_relay relay --listen "$address_a:0" --listen "$address_b:0"
start_host a "$url_relay"
start_host b "$(sed -n 's/^relay \(ws.*\)/\1/p' "$work/relay.err" | sed -n 2p)"

# What is looked for must not come from us: it goes by files and pipes only.
marker >"$work/local"
marker >"$work/remote"

at a
start_recv neighbour
kill -STOP "$pid_neighbour"
repeat "$work/local" >"$work/local.message"
start talker p2pbus-send "$dest_neighbour" <"$work/local.message"
wait_found() { # fails if one of them is gone
        until n_found=$(found "$@") && [ -n "$n_found" ] && [ "$n_found" -gt 0 ]; do
                [ -n "$n_found" ] || return 1
        done
}
check 'a local message is seen in the memory of its sender' wait_found "$work/local" talker
check 'and of the daemon while the receiver is stopped' wait_found "$work/local" bus_a
kill -CONT "$pid_neighbour"
end talker
is 'it is delivered in the end' 0 "$status"
stop neighbour
check 'the wire is seen: the upgrade to a WebSocket' grep -aq 'p2pbus.v1' "$work/wire_a.cap"

at b
start_recv far
kill -STOP "$pid_far"
at a
before=$(wc -c <"$work/wire_b.cap")
repeat "$work/remote" >"$work/remote.message"
start sender p2pbus-send -t 120 "$dest_far" <"$work/remote.message"
check 'the message is under way' wait_size "$work/wire_b.cap" $((before + 40000))
check 'it stands in the memory of its sender' wait_found "$work/remote" sender
# shellcheck disable=SC2086 # words
is 'under way: not in the memory of daemons, bridges, relay' 0 "$(found "$work/remote" $on_the_way)"

kill -CONT "$pid_far"
end sender
is 'it is delivered' 0 "$status"
# shellcheck disable=SC2086 # words
is 'delivered: not in the memory of daemons, bridges, relay' 0 "$(found "$work/remote" $on_the_way)"
check 'the receiver has all of it' test "$(grep -ao "$(cat "$work/remote")" "$work/far.out" | wc -l)" \
        -eq 8192

for host in a b; do
        stop "wire_$host"
        check "the wire of $host carried it" test "$(wc -c <"$work/wire_$host.cap")" -gt 262144
        # shellcheck disable=SC2016 # the inner shell's
        check "the wire of $host did not show it" \
                sh -c '! grep -aqF -f "$1" "$2"' sh "$work/remote" "$work/wire_$host.cap"
done
finish
