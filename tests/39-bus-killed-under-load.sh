#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Goal of this test: the daemon is killed while 200,000 messages are on their way; none is lost or doubled.

# shellcheck disable=SC1091,SC2016,SC2119,SC2154 # names set by lib.sh, scripts for other shells
. "${top_srcdir:-.}/tests/lib.sh"
start_bus

# The sender reads from a pipe, so that no round begins before both have found the new bus: a bus that
# goes before they came is not missed. Each then has something under way again.
full=$(p2pbusctl keygen "$work/key")
mkfifo "$work/lines"
exec 8<>"$work/lines"
start_recv r 8>&-
start sender p2pbus-send -k "$work/key" --lines "$dest_r" <"$work/lines" 8>&-
for first in 1 40001 80001 120001; do
        start feeder sh -c 'exec seq "$1" "$(($1 + 39999))" >"$0"' "$work/lines" "$first" 8>&-
        wait_line "$work/r.out" "^$((first + 1000))\$"
        kill -KILL "$pid_bus"
        end bus
        start_bus 8>&-
        wait_there "$dest_r"
        wait_there "${full%%:*}"
        end feeder
done
seq 160001 200000 >&8
exec 8>&-
end sender
is 'the sender is told that all were delivered' 0 "$status"
seq 1 200000 >"$work/numbers"
check 'they are there, in order, none twice' cmp "$work/numbers" "$work/r.out"
for each in r sender; do
        is "$each says each time once that the bus was away" 4 "$(grep -c 'waiting for it' "$work/$each.err")"
done

# A request whose reply is under way
start_recv slow --jobs 4 --exec sh -c 'cat; kill -KILL "$(cat "$0")" 2>/dev/null' "$work/bus.pid"
echo "$pid_bus" >"$work/bus.pid"
start asker p2pbus-send -r -t 25 "$dest_slow" 'still there?'
end bus
rm "$work/bus.pid"
start_bus
end asker
is 'a reply survives the bus that it was written to' '0 still there?' "$status $(cat "$work/asker.out")"

# A receiver that is restarted: with --idempotent nothing is left unknown
mkfifo "$work/more"
full=$(p2pbusctl keygen "$work/key2")
exec 8<>"$work/more"
start_recv once -k "$work/key2" 8>&-
start sender p2pbus-send --idempotent --lines "$full" <"$work/more" 8>&-
start feeder sh -c 'exec seq 1 20000 >"$0"' "$work/more" 8>&-
wait_line "$work/once.out" '^500$'
kill -KILL "$pid_once"
end once
cp "$work/once.out" "$work/before"
start_recv once -k "$work/key2" 8>&-
end feeder
exec 8>&-
end sender
is 'the sender is told that all were delivered, by one or the other' 0 "$status"
seq 1 20000 >"$work/numbers"
check 'all are there, in order' sh -c 'sort -n -u "$0" "$1" | cmp - "$2" && sort -n -c "$1"' \
        "$work/before" "$work/once.out" "$work/numbers"
finish
