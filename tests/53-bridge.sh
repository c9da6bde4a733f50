#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Goal of this test: the bridge in daily life: what it says when something is wrong and with which
# status it ends, that it outlives bus and relay, reads its configuration again, tells the service
# manager how it is, and ends when it is told to.
# shellcheck source=tests/lib.sh source=tests/hosts.sh disable=SC2154
. "$top_srcdir/tests/lib.sh"
. "$top_srcdir/tests/hosts.sh"

full=e85004f63798e2c0:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo
conf=$work/test.conf
STATE_DIRECTORY=$work/state
export STATE_DIRECTORY
: >"$conf"

# refused STATUS PATTERN WHAT ARGUMENT...: it does not start, and says why in one line
refused() {
        expected=$1 pattern=$2 what=$3
        shift 3
        run p2pbus-bridge --config "$conf" --socket "$work/none" "$@"
        is "$what: status" "$expected" "$status"
        check "$what: reason" said "^p2pbus-bridge: .*$pattern"
        check "$what: what to do" said '^p2pbus-bridge: .*: .*; '
        is "$what: one line" 1 "$(lines "$work/err")"
}

# Usage and configuration.
refused 2 'add #FULL' 'ws without a key' --relay ws://127.0.0.1:1
refused 2 'not a URL of a relay' 'no URL' --relay 127.0.0.1:1
refused 2 'no full key' 'a short key' --relay ws://127.0.0.1:1#e85004f63798e2c0
refused 2 'no relay to connect to' 'no relay at all'
refused 2 'no operand' 'an operand' --relay "ws://127.0.0.1:1#$full" operand
printf '[Bridge]\nRelay=ws://127.0.0.1:1\n' >"$conf"
refused 2 "$conf:2: .*add #FULL" 'ws without a key in the file' --check-config
printf '[Bridge]\nRelay=wss://127.0.0.1:1\nHartbeat=3s\n' >"$conf"
refused 1 "$conf:3: " 'a misspelt key in the file' --check-config
printf '[Bridge]\nRelay=wss://127.0.0.1:1\nHeartbeat=1ms\n' >"$conf"
refused 1 "$conf:3: " 'a heartbeat too short' --check-config
printf '[Bridge]\nRelay=wss://127.0.0.1:1 wss://127.0.0.1:2/path\nHeartbeat=3s\nIdleDisconnect=10min\n' \
        >"$conf"
run p2pbus-bridge --config "$conf" --check-config
is 'a good file passes' 0 "$status"
is 'and nothing is said' '' "$(cat "$work/err")"
printf '[Bridge]\n' >"$conf"

# Key files.
echo nonsense >"$work/bad.key"
chmod 600 "$work/bad.key"
refused 1 "$work/bad.key: not a key file" 'a key file that is none' --relay wss://127.0.0.1:1 \
        --key "$work/bad.key"
p2pbusctl keygen "$work/open.key" >/dev/null
chmod 644 "$work/open.key"
refused 1 "chmod 600 $work/open.key" 'a key file that others may read' --relay wss://127.0.0.1:1 \
        --key "$work/open.key"
refused 1 "$work/bad.key/x: " 'a key file in no folder' --relay wss://127.0.0.1:1 \
        --key "$work/bad.key/x"

# No bus, and then one. What the service manager hears comes line by line.
start_relay relay --listen 127.0.0.1:0
at a
mkdir -p "$work/a"
start notify "$top_builddir/tests/notified" "$work/notify"
until [ -S "$work/notify" ]; do :; done
start bridge_a env "NOTIFY_SOCKET=$work/notify" p2pbus-bridge --config "$conf" \
        --key "$work/a/bridge.key" --relay "$url_relay" --relay "ws://127.0.0.1:1#$full"
check 'no bus: it says so' wait_line "$work/bridge_a.err" "bus $work/a/socket: .*is p2pbusd running"
check 'its link comes up without' wait_line "$work/bridge_a.err" "link up ${url_relay%%#*}"
is 'it is not ready' 0 "$(grep -c READY "$work/notify.out" || true)"
start bus_a p2pbusd --user --socket "$P2PBUS_SOCKET" --state-dir "$work/a/state"
check 'ready when attached' wait_line "$work/notify.out" READY=1
check 'how many relays' wait_line "$work/notify.out" 'STATUS=1 of 2 relays'
is 'no bus was said once' 1 "$(grep -c 'is p2pbusd running' "$work/bridge_a.err")"

# A second bridge on the same bus.
start second p2pbus-bridge --config "$conf" --key "$work/second.key" --relay "$url_relay"
check 'a made key is said' wait_line "$work/second.err" "made key $work/second.key"
check 'another gateway is said' wait_line "$work/second.err" 'it has another gateway already'
stop second
is 'a bridge that waits ends with 0' 0 "$status"

# The bus is restarted; sender and receiver, on two hosts, do not mind.
start_host b "$url_relay"
start_recv far -n 2 -t 60
at a
run p2pbus-send "$dest_far" before
is 'a message before the restart' 0 "$status"
kill -KILL "$pid_bus_a"
wait "$pid_bus_a" || true
start bus_a p2pbusd --user --socket "$P2PBUS_SOCKET" --state-dir "$work/a/state"
wait_line "$work/bus_a.err" '^Listening on '
run p2pbus-send "$dest_far" after
is 'a message after it' 0 "$status"
end far
is 'both came' 'before after' "$(tr '\n' ' ' <"$work/far.out" | sed 's/ $//')"
is 'the link was not made anew' 1 "$(grep -c 'link up' "$work/bridge_a.err")"

# The configuration is read again.
stop bridge_b
at b
printf '[Bridge]\nRelay=%s\n' "$url_relay" >"$work/b/bridge.conf"
start bridge_b p2pbus-bridge --config "$work/b/bridge.conf" --key "$work/b/bridge.key"
wait_line "$work/bridge_b.err" 'link up'
start_relay other --listen 127.0.0.1:0
printf '[Bridge]\nRelay=%s\nRelay=nonsense\n' "$url_relay" >"$work/b/bridge.conf"
kill -HUP "$pid_bridge_b"
check 'a bad file is named' wait_line "$work/bridge_b.err" \
        "$work/b/bridge.conf:3: .*the old settings stay"
printf '[Bridge]\nRelay=%s %s\n' "$url_relay" "$url_other" >"$work/b/bridge.conf"
kill -HUP "$pid_bridge_b"
check 'a new relay is connected' wait_line "$work/bridge_b.err" "link up ${url_other%%#*}"
is 'the old link stays' 1 "$(grep -c "link up ${url_relay%%#*}" "$work/bridge_b.err")"
printf '[Bridge]\nRelay=%s\n' "$url_other" >"$work/b/bridge.conf"
kill -HUP "$pid_bridge_b"
check 'a relay that is no longer there is left' wait_line "$work/relay.err" 'link down'

# TLS: without a pinned key the certificate decides.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=relay \
        -keyout "$work/tls.key" -out "$work/tls.pem" 2>"$work/openssl.err"
start_relay tls --listen 127.0.0.1:0 --tls-cert "$work/tls.pem" --tls-key "$work/tls.key"
start unpinned p2pbus-bridge --config "$conf" --key "$work/second.key" --relay "${url_tls%%#*}"
check 'a certificate of nobody: what, and what to do' wait_line "$work/unpinned.err" \
        "relay ${url_tls%%#*}: its certificate is self-signed, .*; install .*, or pin its key: add #FULL, as the relay prints it, to its URL; trying again"
stop unpinned
start pinned p2pbus-bridge --config "$conf" --key "$work/a/bridge.key" --relay "$url_tls"
check 'with its key it will do' wait_line "$work/pinned.err" "link up ${url_tls%%#*}"
stop pinned

# Nobody to ask: a sender waits for as long as it said.
stop bridge_a
is 'a bridge ends with 0' 0 "$status"
check 'and says that it stops' wait_line "$work/notify.out" STOPPING=1
at a
start bridge_a p2pbus-bridge --config "$conf" --key "$work/a/bridge.key" \
        --relay "ws://127.0.0.1:1#$full"
wait_line "$work/bridge_a.err" 'attached to the bus'
run p2pbus-send -t 1 0123456789abcdef nobody
is 'no relay within the time: timed out' 4 "$status"
finish
