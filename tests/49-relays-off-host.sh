#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Goal of this test: a process that policy lets use one relay is unknown to the other, sends through its own
# although the other is nearer, is as good as alone while only the other is there, and follows the policy
# when that is read again.
#
# Two relays, and both hosts have links to both. The process is on host a; beside it is one that may use all.
# shellcheck source=tests/lib.sh source=tests/hosts.sh disable=SC2016,SC2034,SC2154
. "$top_srcdir/tests/lib.sh"
. "$top_srcdir/tests/hosts.sh"

heartbeat=30s # a relay that does not move for a while is not taken for dead

# rule WORD...: what Relays= says of the process from now on
rule() {
        printf '[Match]\nKey=%s\n\n[Network]\nRelays=%s\n' "$bound" "$*" \
                >"$work/a/config/p2pbus/policy.d/50-test.policy"
        [ ! -S "$work/a/socket" ] || on a p2pbusctl reload
}

# round_trip URL: host a's, in microseconds; waits until it was measured
round_trip() {
        n_left=2000
        until on a p2pbusctl status | sed -n "s#^link_round_trip_usec, $1\t##p" | grep .; do
                n_left=$((n_left - 1))
                [ "$n_left" -gt 0 ] || return 1
        done
}

# listen NAME OPTION...: on the host that at was said of
listen() {
        name=$1
        shift
        start "$name" in_ns "$here" p2pbus-recv "$@"
        wait_line "$work/$name.err" '^listening as '
        eval "full_$name=\$(sed -n 's/^listening as //p' \"$work/$name.err\")"
}

# wait_gone DEST: until who sends to it from host b hears that nobody has it
wait_gone() {
        n_left=200
        run on b p2pbus-send -t 5 "$1" 'anybody?'
        while [ "$status" != 3 ] && [ "$n_left" -gt 0 ]; do
                n_left=$((n_left - 1))
                run on b p2pbus-send -t 5 "$1" 'anybody?'
        done
        [ "$status" = 3 ]
}

# bridge_b URL...: host b has links to these relays alone
bridge_b() {
        stop bridge_b
        start_bridge_of b "$@"
}

start_relay one --listen 127.0.0.1:0
start_relay two --listen 127.0.0.1:0
bound=$(p2pbusctl keygen "$work/bound.key")
mkdir -p "$work/a/config/p2pbus/policy.d"
XDG_CONFIG_HOME=$work/a/config
export XDG_CONFIG_HOME
start_host a "$url_one" "$url_two"
unset XDG_CONFIG_HOME
start_host b "$url_one" "$url_two"

# The process may use the one that is not nearer.
near=one own=two
if [ "$(round_trip "${url_two%%#*}")" -lt "$(round_trip "${url_one%%#*}")" ]; then
        near=two own=one
fi
eval "near_url=\$url_$near own_url=\$url_$own near_pid=\$pid_$near"
rule "${own_url%%#*}"
at b
listen far
at a
listen open

# What it sends
run on a p2pbus-send "$full_far" 'so that the bridge knows that both relays have it'
is 'who may use all sends' 0 "$status"
kill -STOP "$near_pid"
run on a p2pbus-send -t 20 --key "$work/bound.key" "$full_far" 'by its own'
kill -CONT "$near_pid"
is 'it sends through its own relay while the nearer one does not move' 0 "$status"
bridge_b "$near_url"
run on a p2pbus-send --key "$work/bound.key" "$full_far" 'by the nearer'
is 'whom only the other relay has it does not reach' 3 "$status"
check '  and hears so' said 'no such destination'
run on a p2pbus-send "$full_far" 'by the nearer'
is '  who may use all does' 0 "$status"

# Who knows it
at a
listen bound --key "$work/bound.key"
run on b p2pbus-send "$full_bound" 'anybody?'
is 'the other relay does not know it' 3 "$status"
run on b p2pbus-send "$full_open" 'anybody?'
is '  but who is beside it' 0 "$status"
bridge_b "$own_url"
run on b p2pbus-send "$full_bound" 'anybody?'
is 'its own does' 0 "$status"
bridge_b "$url_one" "$url_two"

# While only the other is there
stop "$own"
run on b p2pbus-send -t 2 "$full_bound" 'anybody?'
check 'nobody reaches it' [ "$status" != 0 ]
stop bound
run on a p2pbus-send -t 2 --key "$work/bound.key" "$full_far" 'by its own'
is 'nor does it reach anybody' 4 "$status"
check '  and hears where to look' said 'see with p2pbusctl status whether a relay is connected'
run on a p2pbus-send "$full_far" 'by the nearer'
is '  but who may use all does' 0 "$status"

# Another policy
at a
listen bound --key "$work/bound.key"
rule "${near_url%%#*}"
at b
wait_there "$full_bound"
run on b p2pbus-send "$full_bound" 'anybody?'
is 'it may use the other relay now, and is known there' 0 "$status"
rule wss://relay.example
check 'it may use none that is there, and is not known any more' wait_gone "$full_bound"
stop bound
run on a p2pbus-send --key "$work/bound.key" "$full_far" 'by none'
is 'it reaches nobody' 3 "$status"
check '  since there is no relay for it' said 'no relay to ask'
rule none
run on a p2pbus-send --key "$work/bound.key" "$full_far" 'by none'
is 'it may use none at all, and is refused other hosts' 5 "$status"

# What is said of all
printf '[Network]\nRelays=wss://a.example\nRelays=none\n' \
        >"$work/a/config/p2pbus/policy.d/50-test.policy"
on a p2pbusctl reload
run on a p2pbusctl policy explain --off-host
is 'who may use no relay is denied other hosts' 5 "$status"
check '  by this line' grep -q '50-test.policy:3.*\[Network\] Relays=none' "$work/out"
printf '[Network]\nRelays=wss://a.example\nRelays=%s\n' "${near_url%%#*}" \
        >"$work/a/config/p2pbus/policy.d/50-test.policy"
on a p2pbusctl reload
run on a p2pbusctl policy explain
check 'the list of relays is explained' [ "$(grep -c '^Network.Relays.wss*://.*50-test.policy:[23]$' "$work/out")" = 2 ]
run on a p2pbus-send "$full_far" 'by the nearer'
is '  and counts for everybody' 0 "$status"
finish
