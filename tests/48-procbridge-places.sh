#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Goal of this test: ProcBridge clients of both versions are served wherever they connect, and memory has
# its limit: who is over it is told, and nobody else notices.

# shellcheck disable=SC1091,SC2016,SC2119,SC2154 # names set by lib.sh, scripts for other shells
. "${top_srcdir:-.}/tests/lib.sh"
. "$top_srcdir/tests/procbridge.sh"

# served WHERE: by a service that echoes, in 1.1 and in 1.0
served() {
        asked "$1: 1.1" "$(good '{"payload": {"a": 1}}')" "$(packet 0 '{"method":"echo","payload":{"a": 1}}')"
        asked "$1: 1.0" "$(good '{"body": {"a": 1}}' 0100)" "$(packet 0 '{"api":"echo","body":{"a": 1}}' 0100)"
}
# text N: so many bytes in quotes
text() {
        printf '"%0*d"' $(($1 - 2)) 0
}
busy=$(bad 'the gateway is busy: no memory for the request')

start_bus
start_recv echo --name test.echo --jobs 9 --exec cat

start_gateway unix --service test.echo --listen "$work/unix.sock"
place=$work/unix.sock
served 'Unix socket'
start_gateway tcp --service test.echo --listen 127.0.0.1:0
place=$(port_of tcp)
served 'IPv4'
if grep -q '^0\{31\}1 ' /proc/net/if_inet6 2>/dev/null; then
        start_gateway six --service test.echo --listen '[::1]:0'
        six=$(sed -n 's/^listening on //p' "$work/six.err")
        place=$six
        served 'IPv6'
        # The server that it asks is the other gateway.
        start_gateway to_six --provide test.six="$six"
        run p2pbusctl call test.six any '[1]'
        is 'a server at an IPv6 address is asked' '0 [1]' "$status $(cat "$work/out")"
        stop six
        run p2pbusctl call test.six any '[1]'
        check '  and named when it is not there' said "error reply 1010 unavailable: server \\[::1\\]:[0-9]*: "
        stop to_six
else
        skip 'IPv6' 'an address ::1'
fi

# Sockets that are passed
place=$work/passed.sock
start passed "$raw" pass "$place" p2pbus-procbridge --service test.echo
wait_line "$work/passed.err" "^listening on $place"
served 'a socket as systemd passes it'
stop passed
check '  its file is not the gateway'\''s to remove' [ "$status$(stat -c %F "$place")" = 0socket ]
run timeout "$deadline" p2pbus-procbridge --service test.echo 3<"$work"
is '  what was not passed is not taken' 2 "$status"
run env LISTEN_FDS=1 sh -c 'LISTEN_PID=$$ exec p2pbus-procbridge --service test.echo 3</dev/null'
is '  no socket is refused' 1 "$status"
check '    in words' said 'see its socket unit'
activate=$(command -v systemd-socket-activate || true)
if [ -n "$activate" ]; then
        place=$work/activated.sock
        start activated "$activate" -l "$place" p2pbus-procbridge -S "$P2PBUS_SOCKET" --service test.echo
        wait_line "$work/activated.err" "^Listening on"
        served 'systemd-socket-activate'
        stop activated
        is '  it ends with' 0 "$status"
else
        skip 'systemd-socket-activate' 'systemd'
fi

# Memory of clients: 64 KiB, of which one takes most and is in no hurry
start_gateway small --service test.echo --listen "$work/small.sock" --max-memory 64K --max-body 1M
place=$work/small.sock
asked 'a body over --max-memory' "$busy" "$(packet 0 "{\"method\":\"echo\",\"payload\":$(text 100000)}")"
middle=$(packet 0 "{\"method\":\"echo\",\"payload\":$(text 20000)}")
middle_answer=$(good "{\"payload\": $(text 20000)}")
asked '  it is free again' "$middle_answer" "$middle"
{
        printf '7062010100000080bb0000' # 48,000 bytes
        printf '%080000d' 0
} >"$work/holder.hex"
start holder "$raw" ask "$place" <"$work/holder.hex"
printf '%s' "$middle" >"$work/middle.hex"
check 'one that has most of it and does not finish: another one is told' timeout "$deadline" sh -c '
        until [ "$("$1" ask "$2" <"$3")" = "$4" ]; do :; done' sh "$raw" "$place" "$work/middle.hex" "$busy"
served '  small ones are served'
kill -KILL "$pid_holder"
end holder
wait_line "$work/small.err" 'incomplete data'
asked '  when it has gone all is as before' "$middle_answer" "$middle"

# The same of servers
good "{\"payload\": $(text 100000)}" >"$work/answer"
start server "$raw" answer "$work/server.sock" "$work/answer"
wait_line "$work/server.err" listening
start_gateway out --provide test.big="$work/server.sock" --max-memory 64K
run p2pbusctl call test.big any
check "a server's answer over --max-memory" said 'error reply 1008 busy: .*no memory for its answer'
run p2pbusctl call test.big any "$(text 100000)"
check 'a request over it' said 'error reply 1008 busy: .*no memory for the request'
answer_with "$(hex good-10)"
run p2pbusctl call test.big any
is '  it is free again' '0 10' "$status $(cat "$work/out")"
finish
