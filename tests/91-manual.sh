#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Goal of this test: the examples of the manual do what is said of them, as they stand but for files
# and addresses that are the reader's.

# shellcheck disable=SC1091,SC2016,SC2088,SC2119,SC2154 # names set by lib.sh, what other shells expand
. "${top_srcdir:-.}/tests/lib.sh"
. "$top_srcdir/tests/procbridge.sh"
start_bus
mkdir "$work/home"
export HOME="$work/home"

# example PAGE BEGINNING [EDIT]: the one line of the page's examples that begins so, a regular expression,
# changed by sed
example() {
        sed -n '/^\.Sh EXAMPLES/,/^\.Sh SEE/s/^\.Dl //p' "$top_srcdir/man/$1" | grep -e "^$2" |
                sed -e 's/\\(dq/"/g' -e 's/\\(rs/\\/g' ${3+-e "$3"} >"$work/example"
        [ "$(lines "$work/example")" = 1 ] || echo "false # $1 has $(lines "$work/example") times: $2"
        sed 's/^/exec /' "$work/example"
}

# receiver NAME BEGINNING [EDIT]: one of p2pbus-recv(1), in the background
receiver() {
        receiver_name=$1
        shift
        start "$receiver_name" bash -c "$(example p2pbus-recv.1 "$@")"
        wait_line "$work/$receiver_name.err" '^listening as '
}

# end_pipe NAME PROGRAM: the process of the bus that is PROGRAM gets SIGTERM, and so the pipe NAME its end
end_pipe() {
        kill -TERM "$(p2pbusctl list | awk -F '\t' -v "program=$2" '$4 == program { print $3 }')"
        end "$1"
}

# shown PAGE BEGINNING [EDIT]: one in the foreground
shown() {
        run timeout 30 bash -c "$(example "$@" | sed 's/^exec //')"
}

receiver clock 'p2pbus-recv --name demo.clock'
receiver second 'p2pbus-recv --name demo.clock'
shown p2pbus-send.1 'p2pbus-send demo.clock'
is 'a text is sent to a service' 0 "$status"
shown p2pbus-send.1 'p2pbus-send -r -t 2 demo.clock' 's/-t 2/-t 20/'
check 'the service answers' grep -q "$(date +%Y)" "$work/out"
shown p2pbus-send.1 'p2pbus-send -r --all'
is 'all who provide it answer' '0 2' "$status $(grep -c '"from": "[0-9a-f]*".*"payload": ' "$work/out")"
shown p2pbusctl.1 'p2pbusctl watch demo.clock'
is 'it is waited for' 0 "$status"
start monitor bash -c "$(example p2pbus-monitor.1 'p2pbus-monitor -n 1 --name')"
wait_line "$work/monitor.err" 'monitoring /'
run p2pbus-send -r -t 20 demo.clock '?'
end monitor
is 'it is watched' '0 1' "$status $(lines "$work/monitor.out")"
stop clock
stop second

start_recv upper --name demo.upper --exec sed 's/^/first: /'
receiver stand_by 'p2pbus-recv --name demo.upper'
run p2pbus-send -r -t 20 demo.upper hello
is 'who stands by is not asked' '0 first: hello' "$status $(cat "$work/out")"
stop upper
run p2pbus-send -r -t 20 demo.upper hello
is '  and takes over' '0 HELLO' "$status $(cat "$work/out")"
stop stand_by

receiver plain 'p2pbus-recv$'
plain=$(sed -n 's/^listening as //p' "$work/plain.err")
start monitor bash -c "$(example p2pbus-monitor.1 'p2pbus-monitor$')"
wait_line "$work/monitor.err" 'monitoring /'
# Seen on the way, for awk may keep its lines until the end.
start counting bash -c "$(example p2pbus-monitor.1 'p2pbus-monitor | awk' "s,|,| tee '$work/counted' |,")"
wait_line "$work/counting.err" 'monitoring /'
p2pbusctl keygen "$work/talker.key" >"$work/talker"
for text in 'hello, all' 'goodbye'; do p2pbus-send --key "$work/talker.key" "$plain" "$text"; done
is 'what comes is shown' 'hello, all goodbye ' "$(tr '\n' ' ' <"$work/plain.out")"
stop plain
talker=$(cut -d: -f1 "$work/talker")
check 'everything is watched' wait_count "$work/monitor.out" \
        "	$talker	${plain%%:*}	one-way	[0-9a-f]*	[0-9]*	-	daemon\$" 2
stop monitor
wait_count "$work/counted" "	$talker	" 2
end_pipe counting p2pbus-monitor
is 'and the bytes of each are counted' "$talker 10 $talker 17 " "$(tr '\n' ' ' <"$work/counting.out")"

shown p2pbus-send.1 'p2pbus-send --topic weather.paris'
is 'a temperature is published' 0 "$status"
receiver weather 'p2pbus-recv --topic'
wait_line "$work/weather.out" '^21.5$'
is 'who subscribes later has it' 21.5 "$(cat "$work/weather.out")"
stop weather

# Keys, and what the shell's home is for.
shown p2pbusctl.1 'p2pbusctl keygen ~/my.key'
is 'a key is made' 0 "$status"
shown p2pbusctl.1 'export P2PBUS_KEY' 's/$/; p2pbusctl id/'
is '  and used from then on' "0 $(p2pbusctl id "$HOME/my.key")" "$status $(cat "$work/out")"
shown p2pbus-recv.1 'p2pbusctl keygen ~/mailbox.key'
box=$(p2pbusctl id "$HOME/mailbox.key")
receiver box 'p2pbus-recv -k ~/mailbox.key'
check 'a receiver has that address each time' grep -q "^listening as $box" "$work/box.err"
shown p2pbusctl.1 'p2pbusctl ping -c 3' "s/e85004f63798e2c0/$box/"
is 'it is well' 0 "$status"
shown p2pbusctl.1 'p2pbusctl peers | sort'
is 'who does not read is listed' '0 ' "$status $(cat "$work/err")"
shown p2pbusctl.1 'p2pbusctl peers | awk'
is 'and who waits' '0 ' "$status $(cat "$work/err")"
stop box

if command -v jq >/dev/null; then
        receiver jq 'p2pbus-recv --json | jq' "s/e85004f63798e2c0/$talker/"
        at=$(sed -n 's/^listening as //p' "$work/jq.err")
        p2pbus-send --key "$work/talker.key" "$at" 'of the one'
        p2pbus-send "$at" 'of another'
        p2pbus-send --key "$work/talker.key" "$at" 'again'
        end_pipe jq p2pbus-recv
        is 'messages of one process are worked on' '0 of the one again ' "$status $(tr '\n' ' ' <"$work/jq.out")"
else
        skip 'messages of one process are worked on' jq
fi

head -c 100000 /dev/urandom >"$work/picture"
start picture bash -c "$(example p2pbus-recv.1 'p2pbus-recv -n 1 --format raw' "s,>.*,>$work/received,")"
wait_line "$work/picture.err" '^listening as '
at=$(sed -n 's/^listening as \([0-9a-f]*\).*/\1/p' "$work/picture.err")
shown p2pbus-send.1 'p2pbus-send --type image/png' "s/e85004f63798e2c0/$at/; s,<.*,<$work/picture,"
end picture
check 'a file is one message' cmp "$work/picture" "$work/received"

# Streams
printf 'first\nsecond\n' >"$work/log"
start_recv ops --name ops.log
start log bash -c "$(example p2pbus-send.1 'tail -f' "s,/var/log/syslog,$work/log," | sed 's/^exec //')"
wait_line "$work/ops.out" '^second$'
echo third >>"$work/log"
wait_line "$work/ops.out" '^third$'
is 'each line of a log is sent as it is written' 'first second third ' "$(tr '\n' ' ' <"$work/ops.out")"
pkill -P "$pid_log"
stop ops

mkdir "$work/backup"
head -c 3000000 /dev/urandom >"$work/backup/file"
start_recv store --name backup.store --format raw -t 20
shown p2pbus-send.1 'tar -c /home' "s,/home,-C $work backup,"
is 'a backup is sent in pieces' 0 "$status"
stop store
tar -xOf "$work/store.out" backup/file >"$work/restored"
check 'and restored' cmp "$work/backup/file" "$work/restored"

start_recv sums --name demo.sums --exec sh -c 'cat >/dev/null; echo "{\"payload\": 6}"'
shown p2pbusctl.1 'p2pbusctl call demo.sums'
is 'a sum is asked for' '0 6' "$status $(cat "$work/out")"
stop sums

# ProcBridge: sockets stand for ports, which may be taken.
gateway() {
        gateway_name=$1
        shift
        start "$gateway_name" bash -c "$(example p2pbus-procbridge.1 "$@")"
        wait_line "$work/$gateway_name.err" '^\(listening on\|providing\) '
}
answer_with "$(hex good-10)"
start server "$raw" answer "$work/server.sock" "$work/answer"
wait_line "$work/server.err" listening
gateway provider 'p2pbus-procbridge --provide demo.calculator=127.0.0.1:8077' "s,127.*,$work/server.sock,"
gateway stand_by 'p2pbus-procbridge --provide demo.calculator=127.0.0.1:8078' "s,127[^ ]*,$work/none.sock,"
shown p2pbus-procbridge.1 'p2pbusctl call demo.calculator sum'
is "an existing server's sum is asked for" '0 10' "$status $(cat "$work/out")"
shown p2pbus-procbridge.1 'p2pbusctl call demo.calculator p2pbus.Stats'
check 'its calls are counted' grep -q '"calls": *1,' "$work/out"
gateway any 'p2pbus-procbridge --listen' "s,127.*,$work/any.sock,"
gateway one 'p2pbus-procbridge --service' "s,127.*,$work/one.sock,"
place=$work/any.sock
asked 'existing clients name the service' "$(hex good-10)" "$(packet 0 '{"method":"demo.calculator/sum"}')"
place=$work/one.sock
asked 'or call one' "$(hex good-10)" "$(packet 0 '{"method":"sum"}')"
for name in one any stand_by provider; do
        stop "$name"
done

# The file that is copied is smaller than the manual's.
sed -n '/^Move a file/,/^\.Sh/p' "$top_srcdir/man/p2pbus-send.1" |
        sed -n '/^\.Bd/,/^\.Ed/{/^\./!p}' | sed 's/-n 1024/-n 3/' >"$work/copy"
head -c 3000000 /dev/urandom >"$work/home/file"
sed 2q "$work/copy" >"$work/copy.recv"
sed 1,2d "$work/copy" >"$work/copy.send"
start copy sh -c "cd '$HOME' && . '$work/copy.recv'"
wait_line "$work/copy.err" '^listening as '
run timeout 30 sh -c "cd '$HOME' && . '$work/copy.send'"
is 'a file is copied' '0 ' "$status $(cat "$work/err")"
end copy
is 'and its receiver has seen the end' 0 "$status"

finish
