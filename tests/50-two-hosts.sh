#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Goal of this test: two hosts that can only reach a relay, over a slow and lossy wire, exchange
# text, a big binary file and requests with replies, over ws and over wss.
#
# The wires to the relay have 20 ms each way, so 40 ms from host to host, and lose 2 of 100 packets.
# shellcheck source=tests/lib.sh source=tests/hosts.sh disable=SC2154
. "$top_srcdir/tests/lib.sh"
. "$top_srcdir/tests/hosts.sh"
need_net

deadline=120
size=10485760

# recv_on HOST NAME OPTION...: a receiver there; $dest_NAME
recv_on() {
        at "$1"
        shift
        name=$1
        shift
        start "$name" in_ns "$here" p2pbus-recv "$@"
        wait_line "$work/$name.err" '^listening as '
        pid=$(sed -n 's/^listening as \([0-9a-f]*\).*/\1/p' "$work/$name.err")
        eval "dest_$name=$pid"
}

# left HOST PID: until the bus there has seen the end of that process
left() {
        n_left=2000
        while on "$1" p2pbusctl list | grep -q "^$2"; do
                n_left=$((n_left - 1))
                [ "$n_left" -gt 0 ] || return 1
        done
}

text() {
        recv_on a "text$1" -n 2
        eval "dest=\$dest_text$1"
        run on b p2pbus-send "$dest" 'hello from b'
        is "$1: text is delivered" 0 "$status"
        echo 'and one from stdin' | run on b p2pbus-send "$dest"
        is "$1: stdin is delivered" 0 "$status"
        end "text$1"
        is "$1: the receiver has its two messages and ends" 0 "$status"
        is "$1: they are what was sent" 'hello from b and one from stdin' \
                "$(tr '\n' ' ' <"$work/text$1.out" | sed 's/ $//')"
}

file() {
        recv_on b "file$1" -n 1 --format raw
        eval "dest=\$dest_file$1"
        run on a p2pbus-send -t "$deadline" "$dest" <"$work/file"
        is "$1: 10 MiB are delivered" 0 "$status"
        end "file$1"
        check "$1: byte for byte" cmp "$work/file" "$work/file$1.out"
        rm -f "$work/file$1.out"
}

replies() {
        recv_on a "exec$1" --exec tr a-z A-Z
        eval "dest=\$dest_exec$1"
        run on b p2pbus-send -r "$dest" 'shout'
        is "$1: a request is answered" 0 "$status"
        is "$1: by the command at the other host" SHOUT "$(cat "$work/out")"
        stop "exec$1"
        recv_on a "false$1" --exec false
        eval "dest=\$dest_false$1"
        run on b p2pbus-send -r "$dest" 'fail'
        is "$1: a command that fails there fails here" 1 "$status"
        stop "false$1"
        check "$1: its bus has seen it leave" left a "$dest"
        run on b p2pbus-send "$dest" 'anybody?'
        is "$1: who has left is no destination" 3 "$status"
}

nobody() {
        run on b p2pbus-send 0123456789abcdef 'anybody?'
        is "$1: nobody there is said at once" 3 "$status"
        run on a p2pbusctl resolve 0123456789abcdef
        is "$1: and does not resolve" 3 "$status"
}

all_of() {
        text "$1"
        file "$1"
        replies "$1"
        nobody "$1"
}

head -c "$size" /dev/urandom >"$work/file"
make_net 20 2

start_relay relayws --listen "$address_a:0" --listen "$address_b:0"
url_b=$(sed -n 's/^relay \(ws.*\)/\1/p' "$work/relayws.err" | sed -n 2p)
start_host a "$url_relayws"
start_host b "$url_b"
all_of ws
for each in bridge_a bridge_b bus_a bus_b relayws; do
        stop "$each"
        is "ws: $each ends with 0" 0 "$status"
done

# The certificate is of the address that host b sees. Host a pins the key, and may take any; host b
# must find the certificate valid, and trusts the key that it sees first.
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=relay -keyout "$work/tls.key" \
        -out "$work/tls.crt" -addext "subjectAltName=IP:$address_b" 2>/dev/null
start_relay relaywss --listen "$address_a:0" --listen "$address_b:0" \
        --tls-cert "$work/tls.crt" --tls-key "$work/tls.key"
url_b=$(sed -n 's/^relay \(ws.*\)/\1/p' "$work/relaywss.err" | sed -n 2p)
start_host a "$url_relaywss"
SSL_CERT_FILE=$work/tls.crt
export SSL_CERT_FILE
start_host b "${url_b%%#*}"
unset SSL_CERT_FILE
check 'wss: the key that was seen first is kept' grep -qxF "${url_b%%#*} ${url_b#*#}" \
        "$work/b/known_relays"
all_of wss

# A relay at the same address with another key, as host a would meet it after an attack.
stop bridge_a
stop relaywss
rm "$work/relaywss/key"
start relaywss in_ns "$ns_r" p2pbus-relay --config "$work/relaywss/empty.conf" --open \
        --state-dir "$work/relaywss" --key "$work/relaywss/key" \
        --listen "$(echo "$url_relaywss" | sed 's,^wss://\([^#]*\)#.*,\1,')" \
        --tls-cert "$work/tls.crt" --tls-key "$work/tls.key"
wait_line "$work/relaywss.err" '^relay ws'
false_url=$(sed -n 's/^relay \(ws.*\)/\1/p' "$work/relaywss.err" | head -n 1)
start bridge_a in_ns "$ns_a" env "STATE_DIRECTORY=$work/a" p2pbus-bridge \
        --config "$work/a/bridge.conf" --socket "$work/a/socket" \
        --key "$work/a/bridge.key" --relay "$url_relaywss"
check 'a relay with another key is named' wait_line "$work/bridge_a.err" \
        "relay ${url_relaywss%%#*}: key ${false_url#*#} does not match the pinned key ${url_relaywss#*#}"

finish
