#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Goal of this test: a stream between two hosts goes on when the relay that carries it is killed, and
# when it only stops answering: every message arrives, once, in order.
#
# Two relays; the one that the bridges prefer is not known. When the first was killed and is back,
# the second carries everything, so killing that one always hits the stream.
# shellcheck source=tests/lib.sh source=tests/hosts.sh disable=SC2034,SC2154
. "$top_srcdir/tests/lib.sh"
. "$top_srcdir/tests/hosts.sh"

deadline=60
heartbeat=500ms # a link is dead after twice that
n=60000

# hit SIGNAL RELAY
hit() {
        eval "kill -$1 \$pid_$2"
}

i=0
while [ "$i" -lt "$n" ]; do
        i=$((i + 1))
        echo "line $i of the stream, with some text so that it has a size"
done >"$work/lines"

start_relay one --listen 127.0.0.1:0
start_relay two --listen 127.0.0.1:0
start_host a "$url_one" "$url_two"
start_host b "$url_one" "$url_two"

stream first 10000 hit KILL one
end one
again one 2
stream second 10000 hit KILL two
end two
again two 2
stream third 10000 hit STOP one
check 'a bridge notices the silence' wait_count "$work/bridge_a.err" 'the relay no longer answers' 1
check 'and the other' wait_count "$work/bridge_b.err" 'the relay no longer answers' 1
kill -CONT "$pid_one"
wait_links one 3
stream fourth 10000 hit STOP two
check 'a bridge notices the silence again' \
        wait_count "$work/bridge_a.err" 'the relay no longer answers' 2
kill -CONT "$pid_two"

for each in bridge_a bridge_b bus_a bus_b; do
        stop "$each"
        is "$each ends with 0" 0 "$status"
done
finish
