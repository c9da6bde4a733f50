#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Goal of this test: each failure has its exit status, and one line that says what to do.

# shellcheck disable=SC1091,SC2016,SC2119,SC2154 # names set by lib.sh, scripts for other shells
. "${top_srcdir:-.}/tests/lib.sh"

# fails STATUS PATTERN COMMAND...: one line on stderr, "PROGRAM: WHAT: WHY; WHAT TO DO"
fails() {
        fails_status=$1 fails_pattern=$2
        shift 2
        run "$@"
        is "$(echo "$*" | tr '\n' ' ' | sed "s|$work|.|g" | cut -c 1-60) - $fails_status" "$fails_status" "$status"
        check "  and says: $fails_pattern" one_line "$1" "$fails_pattern"
}

one_line() {
        [ "$(lines "$work/err")" = 1 ] && said "^$1: .*: .*; " && said "$2"
}

none=0123456789abcdef
long=/tmp/$(printf '%0120d' 0)

# Usage is told before anything is connected
for program in p2pbus-send p2pbus-recv p2pbus-monitor p2pbusctl; do
        fails 2 'no such option' "$program" --no-such-option
        fails 2 'no such option' "$program" -Z
        fails 2 'needs a value' "$program" --socket
        run "$program" --help
        is "$program --help" '0 Usage:' "$status $(head -n 1 "$work/out" | cut -c 1-6)"
        run "$program" --version
        is "$program --version" 0 "$status"
done
for program in p2pbusd p2pbus-bridge p2pbus-relay; do
        fails 2 'no such option' "$program" --no-such-option
        fails 2 '-Z: no such option' "$program" -Z
        fails 2 '-Z: no such option' "$program" -vZq
        fails 2 'needs a value' "$program" --config
done
set -- --socket "$work/none" --state-dir "$work/none.state"
fails 1 'nothing.conf: No such file' p2pbusd --user "$@" --config "$work/nothing.conf"
fails 2 'a socket path has' p2pbusd --user --socket "$long"
fails 2 'no operands' p2pbusd operand
fails 1 'nothing.conf: No such file' p2pbus-bridge --relay wss://127.0.0.1 --config "$work/nothing.conf"
fails 2 'no operand' p2pbus-bridge operand
fails 1 'nothing.conf: No such file' p2pbus-relay --open --config "$work/nothing.conf"
fails 2 'nobody may connect' p2pbus-relay
fails 2 'not ADDR:PORT' p2pbus-relay --open --listen 127.0.0.1
fails 2 'not a key' p2pbus-relay --allow nobody
fails 2 'TLS needs both' p2pbus-relay --open --tls-cert "$work/cert"
fails 2 'no operand' p2pbus-relay operand
fails 2 'DEST: missing' p2pbus-send
fails 2 'neither a PID nor a name' p2pbus-send nodot x
fails 2 'neither a PID nor a name' p2pbus-send 0123 x
fails 2 'neither a PID nor a name' p2pbus-send '' x
fails 2 'neither a PID nor a name' p2pbus-send "$none:AAAA" x
fails 2 'neither a PID nor a name' p2pbusctl resolve nodot
fails 2 'neither a PID nor a name' p2pbusctl ping nodot
fails 2 'quote a MESSAGE' p2pbus-send "$none" two words
fails 2 'cut in one way' p2pbus-send --lines --chunk 5 "$none"
fails 2 'leave it out' p2pbus-send --lines "$none" x
fails 2 'not a size' p2pbus-send --chunk 0 "$none"
fails 2 'not a size' p2pbus-send --chunk 5X "$none"
fails 2 'not a number of seconds' p2pbus-send -t -1 "$none" x
fails 2 'not a number of seconds' p2pbus-recv -t soon
fails 2 'not a MIME type' p2pbus-send --type "$(printf 'a\nb')" "$none" x
fails 2 'leave one' p2pbus-send -r --no-wait "$none" x
fails 2 'no operand' p2pbus-recv operand
fails 2 'no operand' p2pbus-monitor operand
fails 2 'no such format' p2pbus-recv --format xml
fails 2 'not a count' p2pbus-recv -n 0
fails 2 'not a count' p2pbus-monitor -n many
fails 2 'not a name' p2pbus-recv --name nodot
fails 2 'not a PID' p2pbus-monitor --peer nobody
fails 2 'nothing to run' p2pbus-recv --jobs 3
fails 2 'VERB: missing' p2pbusctl
fails 2 'no such verb' p2pbusctl frobnicate
fails 2 'operand is missing' p2pbusctl resolve
fails 2 'one operand too many' p2pbusctl status now
fails 2 'only ping' p2pbusctl -c 3 status
fails 2 'FILE: missing' p2pbusctl id
fails 2 'longer than 107 bytes' p2pbus-send -S "$long" "$none" x
fails 2 'longer than 107 bytes' p2pbus-recv --socket "$long"
fails 2 'longer than 107 bytes' p2pbusctl status --socket "$long"

# No bus
fails 6 "$work/nothing" p2pbus-send -S "$work/nothing" "$none" x
fails 6 'p2pbusd --socket' p2pbus-recv -S "$work/nothing"
fails 6 'no such socket' p2pbus-monitor -S "$work/nothing"
fails 6 'no such socket' p2pbusctl -S "$work/nothing" status
P2PBUS_SOCKET=$work/nothing
export P2PBUS_SOCKET
fails 6 "$work/nothing" p2pbusctl list
unset P2PBUS_SOCKET
: >"$work/file"
fails 6 "$work/file" p2pbusctl -S "$work/file" status

start_bus
fails 3 "$none" p2pbus-send "$none" x
fails 3 "$none" p2pbus-send --local "$none" x
fails 3 'no process can have this PID' p2pbus-send 0000000000000001 x
fails 3 'no.such.name' p2pbus-send no.such.name x
fails 3 "$none" p2pbusctl resolve "$none"
fails 3 "$none" p2pbusctl ping "$none"
is 'options stand before the verb or behind it' 0 "$(p2pbusctl --json status >/dev/null && p2pbusctl status --json >/dev/null && echo 0)"

printf 'a\nb\nc\n' >"$work/abc"
run p2pbus-send --lines "$none" <"$work/abc"
is 'the first line that fails gives the status' 3 "$status"
check 'and is named' said '^p2pbus-send: line 1: '
run p2pbus-send --chunk 2 "$none" <"$work/abc"
check 'so is a chunk' said '^p2pbus-send: chunk 1: '

start_recv r
head -c 67108865 /dev/zero >"$work/toobig"
run p2pbus-send "$dest_r" <"$work/toobig"
is 'a message over MaxMessage is status 5' 5 "$status"
check 'and says how big it may be' said 'message of 67108865 bytes, this bus takes 67108864'
run sh -c 'cat "$1" | p2pbus-send "$2"' sh "$work/toobig" "$dest_r"
check 'from a pipe too' said 'message of 67108865 bytes, this bus takes 67108864'
run sh -c '{ echo a; tr "\0" x <"$1"; echo; echo c; } | p2pbus-send --lines "$2"' sh "$work/toobig" "$dest_r"
is 'and as a line' 5 "$status"
check 'that is named' said '^p2pbus-send: line 2: message of 67108865 bytes, this bus takes 67108864'
fails 5 'message of 134217728 bytes, this bus takes 67108864' p2pbus-send --chunk 128M "$dest_r"
is 'what came before it was delivered' a "$(wait_line "$work/r.out" . && head -n 1 "$work/r.out")"
is 'and nothing else' 1 "$(lines "$work/r.out")"

kill -STOP "$pid_r"
fails 4 "$dest_r" p2pbus-send -t 0 "$dest_r" x
kill -CONT "$pid_r"
run p2pbus-recv -n 1 -t 0
is 'recv -n 1 -t 0 - 4' 4 "$status"
check '  and says how many came' said '^p2pbus-recv: timed out: 0 of 1 '

# Signals
for program in p2pbus-recv p2pbus-monitor; do
        for signal in INT:130 TERM:143; do
                start s "$program"
                wait_line "$work/s.err" '^listening as \|: monitoring '
                eval "kill -${signal%:*} \$pid_s"
                end s
                is "$program ends with ${signal#*:} on SIG${signal%:*}" "${signal#*:}" "$status"
        done
done
mkfifo "$work/fifo"
exec 8<>"$work/fifo"
start s p2pbus-send --lines "$dest_r" <"$work/fifo" 8>&-
echo 'a line' >&8
wait_line "$work/r.out" '^a line$'
kill -INT "$pid_s"
end s
is 'p2pbus-send ends with 130 on SIGINT' 130 "$status"
exec 8>&-

# A closed stdout
mkfifo "$work/stdout"
exec 8<>"$work/stdout"
start reader head -n 1 <"$work/stdout" 8>&-
sh -c 'exec p2pbus-recv >"$1" 2>"$2"' sh "$work/stdout" "$work/closed.err" 8>&- &
pid_closed=$!
started="$started $pid_closed"
wait_line "$work/closed.err" '^listening as '
exec 8>&-
run p2pbus-send "$(sed -n 's/^listening as //p' "$work/closed.err")" x
is 'what a reader has read is delivered' 0 "$status"
end reader
end closed
is 'recv ends quietly when its reader has gone' 0 "$status"
is 'with nothing said' 1 "$(lines "$work/closed.err")"
run sh -c 'p2pbusctl status >&-'
is 'so does a verb without any stdout' '0 0' "$status $(lines "$work/err")"

# The same key twice
p2pbusctl keygen "$work/key" >/dev/null
start_recv holder -k "$work/key"
fails 1 'attached already' p2pbus-recv -k "$work/key"
finish
