#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Goal of this test: shells publish and subscribe.

# shellcheck disable=SC1091,SC2016,SC2119,SC2154 # names set by lib.sh, scripts for other shells
. "${top_srcdir:-.}/tests/lib.sh"
start_bus

run p2pbus-send --topic state.door --retain open
is 'published, though nobody is there' 0 "$status"
start_recv all -n 6 --topic '>'
start_recv doors -n 2 --topic 'state.>' --retained --json
run p2pbus-send --topic state.door --type text/x-test closed
is 'published' 0 "$status"
printf 'one\ntwo\n\nfour\n' >"$work/lines"
run p2pbus-send --topic lines --lines <"$work/lines"
is 'each line' 0 "$status"
run p2pbus-send --json --topic last bye
is 'as JSON' '0 {"topic": "last", "id": "X", "size": 3, "result": "published"}' \
        "$status $(sed 's/"id": "[0-9a-f]*"/"id": "X"/' "$work/out")"
end all
is 'whoever has > gets everything' 'closed one two  four bye' "$(tr '\n' ' ' <"$work/all.out" | sed 's/ $//')"
end doors
is 'what was retained came first' '"open" "closed"' \
        "$(sed 's/.*"payload": \(".*"\)}/\1/' "$work/doors.out" | tr '\n' ' ' | sed 's/ $//')"
check 'with its topic' grep -q '"topic": "state.door", "lost": 0,' "$work/doors.out"

start_recv job -n 1 --topic 'job.*' --exec sh -c 'echo "$P2PBUS_TOPIC: $(cat)"'
run p2pbus-send --topic job.one 'do it'
end job
is 'a command knows the topic' 'job.one: do it' "$(cat "$work/job.out")"

run p2pbus-send --topic state.door --retain ''
is 'an empty message ends what was retained' 0 "$status"
run p2pbus-recv -t 0 --topic state.door --retained
is 'then there is none' '0 ' "$status $(cat "$work/out")"

head -c 60001 /dev/zero >"$work/big"
run p2pbus-send --topic big <"$work/big"
is 'too big' 5 "$status"
check '  and what to do' said 'message of 60001 bytes, a topic takes 60000; send it in pieces'
run p2pbus-send --topic 'a.*' x
is 'a pattern is no topic' 2 "$status"
run p2pbus-send --topic a x y
is 'there is no DEST' 2 "$status"
run p2pbus-send --topic a -r x
is 'nobody replies' 2 "$status"
run p2pbus-send --retain 0123456789abcdef x
is 'a process retains nothing' 2 "$status"
run p2pbus-recv --topic 'a..b'
is 'no pattern' 2 "$status"
run p2pbus-recv --retained
is 'retained of nothing' 2 "$status"

# The bus is restarted: subscribers are there again, publishers wait.
start_recv after -n 1 --topic after
kill -KILL "$pid_bus"
end bus
start_bus
wait_there "$dest_after"
run p2pbus-send --topic after back
end after
is 'both outlive the bus' '0 back' "$status $(cat "$work/after.out")"
finish
