#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Goal of this test: a ProcBridge server behind the bus is a provider as others are: it says how it fares,
# has its rank, drains, and is not kept working for those who have gone.

# shellcheck disable=SC1091,SC2016,SC2119,SC2154 # names set by lib.sh, scripts for other shells
. "${top_srcdir:-.}/tests/lib.sh"
. "$top_srcdir/tests/procbridge.sh"

# member NAME: of the last answer, in JSON
member() {
        grep -o "\"$1\": *[^,}]*" "$work/out" | head -n 1 | sed 's/^[^:]*: *//'
}

start_bus
answer_with "$(hex good-10)"
start server "$raw" answer "$work/server.sock" "$work/answer"
wait_line "$work/server.err" listening
start_gateway out --provide test.pb="$work/server.sock" --priority 7 --weight 9 --metadata 'on the shelf'

# What every provider answers
run p2pbusctl call test.pb p2pbus.Ping '[1, 2]'
is 'Ping is answered' '0 [1, 2]' "$status $(cat "$work/out")"
run p2pbusctl --json call test.pb p2pbus.Info
is 'Info is' 0 "$status"
is '  and says the name' '"test.pb"' "$(member name)"
is '  what is spoken there' '"ProcBridge 1.1"' "$(member protocol)"
check '  and what was said of it' grep -q '"metadata": *"on the shelf"' "$work/out"
check '  but not where it is' sh -c '! grep -q -F "$1" "$2"' sh server.sock "$work/out"
is '  the server was not asked for any of it' '' "$(cat "$work/server.out")"
run p2pbusctl call test.pb any
answer_with "$(hex bad)"
run p2pbusctl call test.pb any
run p2pbus-send -r test.pb 'no call'
answer_with "$(hex good-10)"
run p2pbusctl --json call test.pb p2pbus.Stats
is 'Stats counts calls' '0 2 1 0' "$status $(member calls) $(member errors) $(member outstanding)"
run p2pbusctl call test.pb p2pbus.Other
is 'other names are the server'\''s' "$(packet 0 '{"method": "p2pbus.Other"}')" "$(tail -n 1 "$work/server.out")"
run p2pbusctl services
check 'its rank is shown' grep -q 'test\.pb.*	7	9	.*	on the shelf$' "$work/out"

# Nobody waits any more
echo wait >"$work/answer"
start_gateway in --service test.pb --listen "$work/in.sock"
packet 0 '{"method":"slow"}' >"$work/slow.hex"
: >"$work/server.out"
start leaver "$raw" ask "$work/in.sock" <"$work/slow.hex"
wait_line "$work/server.out" "$(packet 0 '{"method": "slow"}')"
kill -KILL "$pid_leaver"
end leaver
check 'a client that goes ends its request at the server' wait_line "$work/server.out" gone
: >"$work/server.out"
start asker p2pbusctl call test.pb slow
wait_line "$work/server.out" "$(packet 0 '{"method": "slow"}')"
kill -TERM "$pid_asker"
end asker
check 'so does a process of the bus that ends' wait_line "$work/server.out" gone
answer_with "$(hex good-10)"
run p2pbusctl call test.pb any
is '  and the server goes on' '0 10' "$status $(cat "$work/out")"
run p2pbusctl --json call test.pb p2pbus.Stats
is '  Stats counts them' '0 2 0' "$status $(member cancelled) $(member outstanding)"
stop out
check '  so does the gateway' grep -q ' 2 cancelled,' "$work/out.err"
stop in

# Two providers, of whom the first drains; its server answers when it is let.
mkfifo "$work/go"
start first_server "$raw" answer "$work/first.sock" "$work/go"
wait_line "$work/first_server.err" listening
start_gateway first --provide test.pair="$work/first.sock" --priority 1
start_gateway second --provide test.pair="$work/server.sock" --priority 2
start asker p2pbusctl call test.pair which
wait_line "$work/first_server.out" "$(packet 0 '{"method": "which"}')"
kill -TERM "$pid_first"
wait_line "$work/first.err" 'stopping on signal'
timeout "$deadline" sh -c 'until p2pbusctl services | grep -q "	drain	"; do :; done'
run p2pbusctl call test.pair which
is 'who drains is not asked' '0 10' "$status $(cat "$work/out")"
good '{"payload": "first"}' >"$work/go"
end asker
is '  what it has it answers' '0 "first"' "$status $(cat "$work/asker.out")"
end first
is '  then it ends' 0 "$status"
check '  its time was not over' sh -c '! grep -q "time is up" "$1"' sh "$work/first.err"

echo hold >"$work/answer"
start asker p2pbusctl call test.pair hang
wait_line "$work/server.out" "$(packet 0 '{"method": "hang"}')"
kill -TERM "$pid_second"
wait_line "$work/second.err" 'stopping on signal'
kill -TERM "$pid_second"
end second
is 'a second signal does not wait' 0 "$status"
end asker
check '  who had asked is told' [ "$status" != 0 ]

# Usage
for words in '--listen 127.0.0.1:0 --priority 1' '--provide a.b=127.0.0.1:1 --weight 0' \
        '--provide a.b=127.0.0.1:1 --priority 65536' '--provide a.b=127.0.0.1:1 --priority x'; do
        # shellcheck disable=SC2086 # options are words
        run p2pbus-procbridge $words
        is "usage: p2pbus-procbridge $words" '2 1' "$status $(lines "$work/err")"
done
for metadata in "$(printf '%0513d' 0)" "$(printf 'a\tb')"; do
        run p2pbus-procbridge --provide a.b=127.0.0.1:1 --metadata "$metadata"
        is "usage: metadata of ${#metadata} bytes" '2 1' "$status $(lines "$work/err")"
done
finish
