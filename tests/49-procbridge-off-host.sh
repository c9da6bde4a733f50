#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Goal of this test: ProcBridge's programs on two hosts: a client on one calls services of the bus on the
# other, and servers behind a gateway there, which processes of the bus call too; either end hears when the
# other goes, and a relay that dies costs nothing.
# shellcheck source=tests/lib.sh source=tests/hosts.sh source=tests/procbridge.sh disable=SC2154
. "$top_srcdir/tests/lib.sh"
. "$top_srcdir/tests/hosts.sh"
. "$top_srcdir/tests/procbridge.sh"
need_net

# gateway HOST NAME OPTION...: p2pbus-procbridge there, until what it has is there
gateway() {
        at "$1"
        gateway_name=$2
        shift 2
        start "$gateway_name" in_ns "$here" p2pbus-procbridge -v "$@"
        wait_line "$work/$gateway_name.err" '^\(listening on\|providing\)'
}

# client HEX: of a, the answer; asked_on_a CLAIM EXPECTED HEX: one line of TAP
client() {
        printf '%s' "$1" | on a timeout "$deadline" "$raw" ask "$place"
}

asked_on_a() {
        is "$1" "$2" "$(client "$3")"
}

# server_asked TEXT: until the server on b was asked this
server_asked() {
        wait_line "$work/server.out" "^$(packet 0 "$1")\$"
}

for key in echo server; do p2pbusctl keygen "$work/$key.key" >/dev/null; done
make_net 5 1
start_hosts_that_trust a b

at b
start_recv echo --name demo.echo --key "$work/echo.key" --exec cat
start server in_ns "$here" "$raw" answer "$work/server.sock" "$work/answer"
wait_line "$work/server.err" listening
gateway b out --provide demo.server="$work/server.sock" --key "$work/server.key"
gateway a in --listen 127.0.0.1:0
place=$(port_of in)

# A service of the bus
asked_on_a 'a client calls a service on another host' "$(good '{"payload": {"a": 1}}')" \
        "$(packet 0 '{"method":"demo.echo/echo","payload":{"a": 1}}')"
gateway a old --service demo.echo --listen 127.0.0.1:0
place=$(port_of old)
asked_on_a '  in 1.0' "$(good '{"body": {"a": 1}}' 0100)" "$(packet 0 '{"api":"echo","body":{"a": 1}}' 0100)"
many=$(printf '"%0300000d"' 0)
asked_on_a '  with 300,000 bytes' "$(good "{\"payload\": $many}")" "$(packet 0 "{\"method\":\"echo\",\"payload\":$many}")"
gateway a here --local --service demo.echo --listen 127.0.0.1:0
place=$(port_of here)
asked_on_a '  but not with --local' "$(bad 'demo.echo: nobody provides this name')" "$(packet 0 '{"method":"echo"}')"
stop here

# A server
answer_with "$(hex good-10)"
run on a p2pbusctl call demo.server sum '[1,2,3,4]'
is 'a process of the bus calls a server on another host' '0 10' "$status $(cat "$work/out")"
is '  which was asked as it asked' "$(packet 0 '{"method": "sum", "payload": [1, 2, 3, 4]}')" \
        "$(tail -n 1 "$work/server.out")"
place=$(port_of in)
asked_on_a 'so does a client, with two gateways between them' "$(hex good-10)" \
        "$(packet 0 '{"method":"demo.server/sum","payload":[1]}')"
answer_with "$(hex bad)"
run on a p2pbusctl call demo.server sum
is "a server's error" 1 "$status"
check '  is told' said 'error reply 1013 failed: generated error'
asked_on_a '  to a client, too' "$(bad 'generated error')" "$(packet 0 '{"method":"demo.server/sum"}')"
run on a p2pbusctl call demo.server p2pbus.Stats
check 'the gateway says how it fares' grep -q '"calls": 4, "errors": 2, ' "$work/out"

# Who goes
echo wait >"$work/answer"
packet 0 '{"method":"demo.server/leave"}' >"$work/leave.hex"
at a
start leaver in_ns "$here" "$raw" ask "$place" <"$work/leave.hex"
server_asked '{"method": "leave"}'
kill -KILL "$pid_leaver"
end leaver
wait_line "$work/server.out" '^gone$'
check 'a client that goes ends its request at the server' grep -q '^gone$' "$work/server.out"
start asker in_ns "$here" p2pbusctl call demo.server die
server_asked '{"method": "die"}'
kill -KILL "$pid_asker"
end asker
check '  so does a process that is killed' wait_count "$work/server.out" '^gone$' 2
packet 0 '{"method":"demo.server/last"}' >"$work/last.hex"
start asker in_ns "$here" "$raw" ask "$place" <"$work/last.hex"
server_asked '{"method": "last"}'
kill -KILL "$pid_out"
end out
end asker
is 'a client hears that the gateway at the server was killed' \
        "$(bad 'demo.server: the receiver ended before it confirmed: delivered or not, nobody knows')" \
        "$(cat "$work/asker.out")"

# A relay that dies
rm "$work/answer"
mkfifo "$work/answer"
gateway b out --provide demo.server="$work/server.sock" --key "$work/server.key"
at a
packet 0 '{"method":"demo.server/relay"}' >"$work/relay.hex"
start asker in_ns "$here" "$raw" ask "$place" <"$work/relay.hex"
server_asked '{"method": "relay"}'
kill -KILL "$pid_relay"
end relay
hex good-10 >"$work/answer"
again relay 2
end asker
is 'a call outlives the relay' "$(hex good-10)" "$(cat "$work/asker.out")"
finish
