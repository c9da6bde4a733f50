#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Goal of this test: a sender learns who refused its message, and why.
# shellcheck source=tests/lib.sh source=tests/hosts.sh disable=SC2016,SC2154
. "$top_srcdir/tests/lib.sh"
. "$top_srcdir/tests/hosts.sh"

start_relay relay --listen 127.0.0.1:0
start_host a "$url_relay"
start_host b "$url_relay"
at b
start_recv r
at a
run p2pbus-send "$dest_r" 'so that its lease is known here'
is 'delivered' 0 "$status"

# The lease is still in the memory of the daemon here; the relay knows that who signed it has left.
kill -KILL "$pid_r"
end r
at b
start_recv barrier
at a
run p2pbus-send "$dest_barrier" 'comes behind the word that it left'
is 'delivered to another' 0 "$status"
run p2pbus-send "$dest_r" 'anybody?'
is 'refused' 3 "$status"
check '  by somebody who is named' said 'left, says a relay; '
run p2pbus-send "$dest_r" 'anybody?'
is 'again' 3 "$status"

run p2pbus-send --local "$dest_barrier" 'not on this host'
is 'what never left is refused here' 3 "$status"
check '  by nobody else' sh -c '! grep -q says "$1"' sh "$work/err"
finish
