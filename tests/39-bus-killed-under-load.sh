#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Goal of this test: the daemon is killed while 200,000 messages are on their way; none is lost or doubled.

# shellcheck disable=SC1091,SC2016,SC2119,SC2154 # names set by lib.sh, scripts for other shells
. "${top_srcdir:-.}/tests/lib.sh"
start_bus

seq 1 200000 >"$work/numbers"
start_recv r
start sender p2pbus-send --lines "$dest_r" <"$work/numbers"
for at in 20000 70000 120000 170000; do
        wait_line "$work/r.out" "^$at\$"
        kill -KILL "$pid_bus"
        end bus
        start_bus
done
end sender
is 'the sender is told that all were delivered' 0 "$status"
check 'they are there, in order, none twice' cmp "$work/numbers" "$work/r.out"
check 'both say each time once that the bus was away' sh -c \
        '[ "$(grep -c "waiting for it" "$1")" = 4 ] && [ "$(grep -c "waiting for it" "$2")" -le 4 ]' \
        sh "$work/r.err" "$work/sender.err"

# A request whose reply is under way
start_recv slow --jobs 4 --exec sh -c 'cat; kill -KILL "$(cat "$0")" 2>/dev/null' "$work/bus.pid"
echo "$pid_bus" >"$work/bus.pid"
start asker p2pbus-send -r -t 25 "$dest_slow" 'still there?'
end bus
rm "$work/bus.pid"
start_bus
end asker
is 'a reply survives the bus that it was written to' '0 still there?' "$status $(cat "$work/asker.out")"
finish
