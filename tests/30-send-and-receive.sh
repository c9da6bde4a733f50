#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Goal of this test: what p2pbus-send takes is what p2pbus-recv writes, and "delivered" means it.

# shellcheck disable=SC1091,SC2016,SC2119,SC2154 # names set by lib.sh, scripts for other shells
. "${top_srcdir:-.}/tests/lib.sh"
start_bus

# One message, every form of destination
start_recv a --name test.alpha
run p2pbus-send "$dest_a" 'by PID'
is 'a message to a PID is delivered' 0 "$status"
run p2pbus-send "$full_a" 'by full form'
is 'a message to a full form is delivered' 0 "$status"
run p2pbus-send test.alpha 'by name'
is 'a message to a name is delivered' 0 "$status"
run p2pbus-send "$(echo "$dest_a" | tr a-f A-F)" -- '-q'
is 'a message that looks like an option stands behind --' 0 "$status"
stop a
is 'all of them are written, in order' 'by PID/by full form/by name/-q/' "$(tr '\n' / <"$work/a.out")"
is 'recv ends with 143 on SIGTERM' 143 "$status"

# stdin as one message
start_recv b -n 4 --format raw
printf 'no newline' | p2pbus-send "$dest_b"
p2pbus-send "$dest_b" </dev/null
printf '\n\0\377\n' | p2pbus-send "$dest_b"
head -c 10485760 /dev/urandom >"$work/big"
run p2pbus-send -q --type application/octet-stream "$dest_b" <"$work/big"
is '10 MiB are delivered' 0 "$status"
end b
is 'recv ends with 0 after -n messages' 0 "$status"
{ printf 'no newline\n\0\377\n'; cat "$work/big"; } >"$work/expected"
check 'bytes arrive as they are' cmp "$work/expected" "$work/b.out"

# A stream of messages
start_recv c -n 5000
seq 1 5000 >"$work/numbers"
run p2pbus-send --lines "$dest_c" <"$work/numbers"
is '5000 lines are delivered, and nothing is said of it' 0/0 "$status/$(lines "$work/err")"
end c
check 'lines arrive in order, none twice' cmp "$work/numbers" "$work/c.out"

start_recv d -n 4
printf 'x\n\n\nlast' | p2pbus-send --lines "$dest_d"
end d
is 'empty lines are empty messages' 'x///last/' "$(tr '\n' / <"$work/d.out")"

start_recv e -n 11 --format raw
run p2pbus-send -v --chunk 1M "$dest_e" <"$work/big"
is 'chunks of a mebibyte are delivered' 0 "$status"
check '-v tells how many bytes, how long and how fast' \
        said '^p2pbus-send: 10485760 bytes delivered in [0-9]*\.[0-9]* s, [0-9.]* [KMG]iB/s$'
printf end | p2pbus-send "$dest_e"
end e
{ cat "$work/big"; printf end; } >"$work/expected"
check 'chunks arrive in order' cmp "$work/expected" "$work/e.out"
check 'pairs that talked much had a ring' test "$(p2pbusctl status | sed -n 's/^rings_made\t//p')" -gt 0

run p2pbus-send --lines 0123456789abcdef </dev/null
is 'no lines are no message, and status 0 whoever is there' 0 "$status"
run p2pbus-send --chunk 10 0123456789abcdef </dev/null
is 'no input is no chunk' 0 "$status"

# Nothing is taken that is not written
start_recv f -n 2
run p2pbus-send --no-wait "$dest_f" one
is '--no-wait ends with 0' 0 "$status"
run p2pbus-send --no-wait --lines "$dest_f" <<END
two
END
is '--no-wait with --lines too' 0 "$status"
end f
is 'what was handed over arrives' 'one/two/' "$(tr '\n' / <"$work/f.out")"

start g p2pbus-recv -t 0
end g
is 'without -n the time-out is an end with 0' 0 "$status"
start_recv h -n 2 -t 3
run p2pbus-send "$dest_h" only
end h
is 'with -n it is 4 if fewer came' 4 "$status"
check 'and says how many' grep -q '^p2pbus-recv: timed out: 1 of 2 ' "$work/h.err"

start_recv i
kill -STOP "$pid_i"
run p2pbus-send -t 0.5 "$dest_i" anybody
is 'a stopped receiver makes the sender end with 4' 4 "$status"
kill -CONT "$pid_i"

# A restart of the bus
stop bus
is 'the daemon ends with 0' 0 "$status"
wait_line "$work/i.err" 'waiting for it to come back'
start_bus
wait_there "$dest_i"
run p2pbus-send -t 20 "$dest_i" 'after the restart'
is 'recv is there again under its address' 0 "$status"
wait_line "$work/i.out" 'after the restart'
is 'and said one line about it' 1 "$(grep -vc '^listening as ' "$work/i.err")"

mkfifo "$work/fifo"
exec 8<>"$work/fifo"
start sender p2pbus-send -t 20 --lines "$dest_i" <"$work/fifo" 8>&-
echo before >&8
wait_line "$work/i.out" before
stop bus
wait_line "$work/sender.err" 'waiting for it to come back'
start_bus 8>&-
echo behind >&8
exec 8>&-
end sender
is 'a sender outlives a restart within its time' 0 "$status"
check 'and its message arrives' wait_line "$work/i.out" behind
is 'once' 1 "$(grep -c behind "$work/i.out")"

finish
