#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Goal of this test: recv --exec makes a service of any command, and send -r asks it.

# shellcheck disable=SC1091,SC2016,SC2119,SC2154 # names set by lib.sh, scripts for other shells
. "${top_srcdir:-.}/tests/lib.sh"
start_bus

start_recv echo --name test.echo --exec cat
run p2pbus-send -r test.echo 'hello there'
is 'a request is answered' 0 "$status"
is 'with what the command wrote, no more' 'hello there' "$(cat "$work/out")"
is 'of that length' 11 "$(wc -c <"$work/out" | tr -d ' ')"

run p2pbus-send -r test.echo </dev/null
is 'an empty request gets an empty reply' '0/' "$status/$(cat "$work/out")"

head -c 4194304 /dev/urandom >"$work/big"
p2pbus-send -q -r test.echo <"$work/big" >"$work/big.reply"
check '4 MiB come back as they were' cmp "$work/big" "$work/big.reply"

seq 1 300 >"$work/numbers"
p2pbus-send -r --lines test.echo <"$work/numbers" >"$work/numbers.reply"
check 'replies of --lines come in the order of the requests' cmp "$work/numbers" "$work/numbers.reply"

run p2pbus-send -r --json --type text/x-test test.echo 'as JSON'
check 'a reply as JSON' grep -q '"kind": "reply".*"payload": "as JSON"' "$work/out"
stop echo

start_recv env --exec sh -c 'printf "%s\n" "$P2PBUS_FROM" "$P2PBUS_FROM_KEY" "$P2PBUS_ID" "$P2PBUS_TYPE"'
p2pbusctl keygen "$work/key" >"$work/full"
run p2pbus-send -k "$work/key" -r --type text/plain "$dest_env" x
is 'the command knows the PID of who asks' "$(cut -d : -f 1 "$work/full")" "$(sed -n 1p "$work/out")"
is 'and the full form' "$(cat "$work/full")" "$(sed -n 2p "$work/out")"
check 'and the id' sh -c 'sed -n 3p "$1" | grep -qE "^[0-9a-f]{32}$"' sh "$work/out"
is 'and the type' text/plain "$(sed -n 4p "$work/out")"
stop env

start_recv args --exec printf '%s|' -n 5 '$HOME' 'a b' --format raw
run p2pbus-send -r "$dest_args" x
is 'everything behind --exec belongs to the command, and no shell is between' \
        '-n|5|$HOME|a b|--format|raw|' "$(cat "$work/out")"
stop args

start_recv fail --exec sh -c 'echo partly; echo "to stderr" >&2; exit 42'
run p2pbus-send -r "$dest_fail" x
is 'a command that fails makes send -r end with 1' 1 "$status"
check 'which names its status' said '42'
is 'and writes nothing' '' "$(cat "$work/out")"
check "stderr of the command is recv's" wait_line "$work/fail.err" '^to stderr$'
run p2pbus-send "$dest_fail" x
is 'a one-way message is delivered all the same' 0 "$status"
stop fail

start_recv killed --exec sh -c 'kill -9 $$'
run p2pbus-send -r "$dest_killed" x
check 'a command that is killed is told by its signal' said 'signal 9'
stop killed

# Commands that treat their pipes badly
start_recv deaf --exec sh -c 'echo heard nothing'
run p2pbus-send -q -r "$dest_deaf" <"$work/big"
is 'a command that does not read its stdin answers' 'heard nothing' "$(cat "$work/out")"
stop deaf
start_recv talker --exec sh -c 'head -c 1000000 /dev/zero; cat'
p2pbus-send -q -r "$dest_talker" <"$work/big" >"$work/talk"
is 'a command that writes much before it reads is no deadlock' 5194304 \
        "$(wc -c <"$work/talk" | tr -d ' ')"
stop talker
start_recv opener -n 1 --exec sh -c 'sleep 600 & echo $!'
run p2pbus-send -r "$dest_opener" x
kill "$(cat "$work/out")"
end opener
is 'a command is over when it ends, whoever holds its stdout' 0 "$status"

# Without a request stdout is recv's own
start_recv plain -n 1 --exec sh -c 'echo "got $(cat)"'
run p2pbus-send "$dest_plain" it
is 'delivered is told when the command has ended' 'got it' "$(cat "$work/plain.out")"
end plain

# --jobs: two commands that wait for each other
mkfifo "$work/meet"
start_recv pair -n 2 --jobs 2 --exec sh -c 'if [ "$(cat)" = open ]; then echo met >"$0"; else cat "$0"; fi' "$work/meet"
start waiter p2pbus-send -r "$dest_pair" wait
start opener2 p2pbus-send -r "$dest_pair" open
end waiter
is 'two jobs run at a time' '0 met' "$status $(cat "$work/waiter.out")"
end opener2
end pair
is 'and recv ends when both have' 0 "$status"

start_recv slow --exec sleep 600
run p2pbus-send -r -t 0.3 "$dest_slow" x
is 'a reply that does not come in time is status 4' 4 "$status"
stop slow
is 'recv ends its command and then itself' 143 "$status"

start_recv busy --exec sh -c 'read -r n; case $n in 2) echo 2 ;; *) echo "begun $n" >&2; exec sleep 600 ;; esac'
run p2pbus-send -r -t 0.3 "$dest_busy" 1
is 'who does not wait any more' 4 "$status"
run p2pbus-send -r "$dest_busy" 2
is '  is not worked for any more' '0 2' "$status $(cat "$work/out")"
start caller p2pbusctl call "$dest_busy" long
wait_line "$work/busy.err" '^begun {"method": "long"}'
kill -INT "$pid_caller"
end caller
run p2pbus-send -r "$dest_busy" 2
is '  nor who cancels' '0 2' "$status $(cat "$work/out")"
stop busy

start_recv mute -n 1
run p2pbus-send -r "$dest_mute" 'are you there?'
is 'a receiver that takes the message and ends is status 1' 1 "$status"
check 'and the message was delivered' \
        said "^p2pbus-send: $dest_mute: delivered, but the receiver ended without replying; "
end mute
is 'as the receiver shows' 'are you there?' "$(cat "$work/mute.out")"

run p2pbus-recv --exec no-such-command-anywhere
is 'a command that is not there is told at the start' 1 "$status"
check 'by name' said '^p2pbus-recv: --exec no-such-command-anywhere: .*;'
finish
