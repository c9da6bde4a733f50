#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Goal of this test: two hosts on wires that are slow, lose and reorder packets, and are cut for a
# while, exchange a stream of messages through two relays, one of which dies: every message arrives,
# once, in order.
#
# From host to host it takes 200 ms and up to 80 ms more, 3 of 100 packets are lost on each wire, and
# 2 Mbit pass in a second.
# shellcheck source=tests/lib.sh source=tests/hosts.sh disable=SC2154
. "$top_srcdir/tests/lib.sh"
. "$top_srcdir/tests/hosts.sh"
need_net

deadline=60

# The wires are cut until all at their ends have noticed.
partition() {
        cut_wire a
        cut_wire b
        for each in bridge_a bridge_b; do
                check "$each notices that its wire is cut" \
                        wait_count "$work/$each.err" 'the relay no longer answers' 2
        done
        for each in one two; do
                check "so does relay $each" wait_count "$work/$each.err" 'link down: ' 2
        done
        mend_wire a
        mend_wire b
}

# One of the two carries the stream.
kill_both() {
        kill -KILL "$pid_one"
        end one
        again one "$1"
        kill -KILL "$pid_two"
        end two
        again two "$1"
}

i=0
while [ "$i" -lt 4500 ]; do
        i=$((i + 1))
        echo "line $i of the stream, with some text so that it has a size"
done >"$work/lines"

make_net 100 3 -j 40 -b 2000
start_relay one --listen "$address_r:0"
start_relay two --listen "$address_r:0"
start_host a "$url_one" "$url_two"
start_host b "$url_one" "$url_two"
stream parted 500 partition
wait_links one 2
wait_links two 2
stream killed 500 kill_both 3

for each in bridge_a bridge_b bus_a bus_b; do
        stop "$each"
        is "$each ends with 0" 0 "$status"
done
finish
