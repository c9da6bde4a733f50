# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2034,SC2154
#
# Hosts and relays for shell scenarios; to be sourced after lib.sh.
#
#     need_net                     skips the test where there are no namespaces and no TUN
#     make_net DELAY_MS LOSS       hosts a and b, each with a wire to the namespace of relays:
#                                  $ns_a, $ns_b, $ns_r; $address_a, $address_b: the relay's, as they
#                                  see it; $work/wire_a.cap, $work/wire_b.cap: all that is sent
#     start_relay NAME [OPTION]... in $ns_r if there is one; admits the bridges of a and b; $url_NAME
#     start_host HOST URL...       a bus and its bridge; waits for all links; processes bus_HOST and
#                                  bridge_HOST
#     on HOST COMMAND...           there, with that bus; for functions of lib.sh: at HOST; ...; home
#     wait_size FILE N             until FILE has N bytes
#
# Without make_net everything runs on this machine's loopback.

ns_a=''
ns_b=''
ns_r=''
address_a=127.0.0.1 address_b=127.0.0.1

skip() {
        echo "1..0 # SKIP needs $1"
        exit 0
}

need_net() {
        [ "$(id -u)" = 0 ] || skip root
        [ -c /dev/net/tun ] || skip /dev/net/tun
        command -v ip >/dev/null || skip 'ip (iproute2)'
        ip netns add "p2pbus-t$$" 2>/dev/null || skip 'network namespaces'
        ip netns del "p2pbus-t$$"
}

# shellcheck disable=SC2317 # called by the trap
drop_net() {
        for ns in $ns_a $ns_b $ns_r; do
                ip netns del "$ns" 2>/dev/null || true
        done
        clean_up
}

# wire HOST NAMESPACE NUMBER DELAY LOSS: 10.77.NUMBER.1 is the relay's end, .2 the host's
wire() {
        start "wire_$1" "$top_builddir/tests/vwire" -s "$3" -c "$work/wire_$1.cap" \
                "$2" relay "$ns_r" "host$1" "$4" "$5"
        wait_line "$work/wire_$1.out" ready
        ip -n "$2" addr add "10.77.$3.2" peer "10.77.$3.1" dev relay
        ip -n "$ns_r" addr add "10.77.$3.1" peer "10.77.$3.2" dev "host$1"
        for device in lo relay; do ip -n "$2" link set "$device" up; done
        for device in lo "host$1"; do ip -n "$ns_r" link set "$device" up; done
}

make_net() {
        ns_a=p2pbus-a$$ ns_b=p2pbus-b$$ ns_r=p2pbus-r$$
        trap drop_net EXIT
        for ns in $ns_a $ns_b $ns_r; do ip netns add "$ns"; done
        wire a "$ns_a" 1 "$1" "$2"
        wire b "$ns_b" 2 "$1" "$2"
        address_a=10.77.1.1 address_b=10.77.2.1
}

# in_ns NAMESPACE COMMAND...: the process itself goes there, there is none in between
in_ns() {
        in_ns_name=$1
        shift
        if [ -n "$in_ns_name" ]; then
                exec ip netns exec "$in_ns_name" "$@"
        else
                exec "$@"
        fi
}

make_keys() {
        [ -z "${allow:-}" ] || return 0
        for host in a b; do
                mkdir -p "$work/$host"
                allow="${allow:-} --allow $(p2pbusctl keygen "$work/$host/bridge.key")"
        done
}

start_relay() {
        relay_name=$1
        shift
        make_keys
        mkdir -p "$work/$relay_name"
        printf '' >"$work/$relay_name/empty.conf"
        # shellcheck disable=SC2086 # words
        start "$relay_name" in_ns "$ns_r" p2pbus-relay --config "$work/$relay_name/empty.conf" \
                --state-dir "$work/$relay_name" --key "$work/$relay_name/key" $allow "$@"
        wait_line "$work/$relay_name.err" '^relay ws'
        relay_url=$(sed -n 's/^relay \(ws.*\)/\1/p' "$work/$relay_name.err" | head -n 1)
        eval "url_$relay_name=\$relay_url"
}

# at HOST: commands and functions from here on belong to it
at() {
        P2PBUS_SOCKET=$work/$1/socket
        export P2PBUS_SOCKET
        eval "here=\$ns_$1"
}

on() {
        (
                at "$1"
                shift
                in_ns "$here" "$@"
        )
}

start_host() {
        host=$1
        shift
        mkdir -p "$work/$host"
        printf '[Bridge]\nHeartbeat=%s\n' "${heartbeat:-5s}" >"$work/$host/bridge.conf"
        at "$host"
        start "bus_$host" in_ns "$here" p2pbusd --user --socket "$P2PBUS_SOCKET" \
                --state-dir "$work/$host/state"
        wait_line "$work/bus_$host.err" '^Listening on '
        relays=
        for url; do relays="$relays --relay $url"; done
        # shellcheck disable=SC2086 # words
        start "bridge_$host" in_ns "$here" env "STATE_DIRECTORY=$work/$host" \
                p2pbus-bridge --config "$work/$host/bridge.conf" \
                --key "$work/$host/bridge.key" $relays
        for url; do wait_line "$work/bridge_$host.err" "link up ${url%%#*}"; done
}

wait_size() {
        # shellcheck disable=SC2016 # the inner shell's
        timeout "$deadline" sh -c 'until [ "$(stat -c %s "$1")" -ge "$2" ]; do :; done' sh "$1" "$2"
}
