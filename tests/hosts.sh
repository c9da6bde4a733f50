# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2034,SC2154
#
# Hosts and relays for shell scenarios; to be sourced after lib.sh.
#
#     need_net                     skips the test where there are no namespaces and no TUN
#     make_net DELAY_MS LOSS [OPTION]...
#                                  hosts a and b, each with a wire to the namespace of relays, with
#                                  further options of vwire; $ns_a, $ns_b, $ns_r; $address_a,
#                                  $address_b: the relay's, as they see it, $address_r: one that
#                                  both see; $work/wire_a.cap, $work/wire_b.cap: all that is sent
#     make_net_if_possible ...     the same, or nothing where need_net would skip
#     cut_wire HOST; mend_wire HOST  nothing passes; all does again
#     start_relay NAME [OPTION]... in $ns_r if there is one; admits the bridges of a and b; $url_NAME
#     start_host HOST URL...       a bus and its bridge with the settings $heartbeat and $idle; waits
#                                  for all links; processes bus_HOST and bridge_HOST. The bus reads
#                                  $work/HOST/p2pbusd.conf if there is one
#     start_bus_of HOST; start_bridge_of HOST URL...  one of these two
#     start_hosts_that_trust HOST...  a relay and hosts on it, of a, b and c, where whoever has a name
#                                  on another is believed; c has no wire, but is in $ns_r
#     on HOST COMMAND...           there, with that bus; for functions of lib.sh: at HOST; ...; home
#     known HOST NAME N [PATTERN]  until HOST knows of N providers on others whose lines match; NAME is
#                                  what is asked for meanwhile
#     wait_size FILE N             until FILE has N bytes
#     stream NAME N COMMAND...     sends the lines of $work/lines from a to b, COMMAND when 2,000 were
#                                  read of all but the last N, which are sent after it; checks that
#                                  all arrive, once, in order
#     again RELAY N                a relay with the same key at the same port; waits for links
#     wait_links RELAY N           until both bridges had N links to it, one after the other
#
# Without make_net everything runs on this machine's loopback.

ns_a=''
ns_b=''
ns_r=''
address_a=127.0.0.1 address_b=127.0.0.1 address_r=127.0.0.1

skip() {
        echo "1..0 # SKIP needs $1"
        exit 0
}

missing_net() {
        if [ "$(id -u)" != 0 ]; then
                echo root
        elif [ ! -c /dev/net/tun ]; then
                echo /dev/net/tun
        elif ! command -v ip >/dev/null; then
                echo 'ip (iproute2)'
        elif ! ip netns add "p2pbus-t$$" 2>/dev/null; then
                echo 'network namespaces'
        else
                ip netns del "p2pbus-t$$"
        fi
}

need_net() {
        missing=$(missing_net)
        [ -z "$missing" ] || skip "$missing"
}

make_net_if_possible() {
        missing=$(missing_net)
        if [ -z "$missing" ]; then
                make_net "$@"
        else
                echo "# on loopback: network namespaces need $missing"
        fi
}

# shellcheck disable=SC2317 # called by the trap
drop_net() {
        for ns in $ns_a $ns_b $ns_r; do
                ip netns del "$ns" 2>/dev/null || true
        done
        clean_up
}

# wire HOST NAMESPACE NUMBER DELAY LOSS [OPTION]...: 10.77.NUMBER.1 is the relay's end, .2 the host's
wire() {
        wire_host=$1 wire_ns=$2 wire_number=$3 wire_delay=$4 wire_loss=$5
        shift 5
        start "wire_$wire_host" "$top_builddir/tests/vwire" -s "$wire_number" \
                -c "$work/wire_$wire_host.cap" "$@" "$wire_ns" relay "$ns_r" "host$wire_host" \
                "$wire_delay" "$wire_loss"
        wait_line "$work/wire_$wire_host.out" ready
        ip -n "$wire_ns" addr add "10.77.$wire_number.2" peer "10.77.$wire_number.1" dev relay
        ip -n "$ns_r" addr add "10.77.$wire_number.1" peer "10.77.$wire_number.2" \
                dev "host$wire_host"
        for device in lo relay; do ip -n "$wire_ns" link set "$device" up; done
        for device in lo "host$wire_host"; do ip -n "$ns_r" link set "$device" up; done
        ip -n "$wire_ns" route add "$address_r" dev relay
}

cut_wire() {
        eval "kill -USR1 \$pid_wire_$1"
        wait_line "$work/wire_$1.out" cut
}

mend_wire() {
        eval "kill -USR2 \$pid_wire_$1"
        wait_line "$work/wire_$1.out" mended
}

make_net() {
        ns_a=p2pbus-a$$ ns_b=p2pbus-b$$ ns_r=p2pbus-r$$
        trap drop_net EXIT
        for ns in $ns_a $ns_b $ns_r; do ip netns add "$ns"; done
        address_r=10.77.0.1
        ip -n "$ns_r" addr add "$address_r" dev lo
        wire a "$ns_a" 1 "$@"
        wire b "$ns_b" 2 "$@"
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

# make_keys HOST...: for the bridges of those that have none yet
make_keys() {
        for host; do
                [ ! -e "$work/$host/bridge.key" ] || continue
                mkdir -p "$work/$host"
                allow="${allow:-} --allow $(p2pbusctl keygen "$work/$host/bridge.key")"
        done
}

start_relay() {
        relay_name=$1
        shift
        make_keys a b
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

# The bus reads its settings if there are any.
start_bus_of() {
        at "$1"
        mkdir -p "$work/$1"
        bus_config=
        [ ! -f "$work/$1/p2pbusd.conf" ] || bus_config="--config $work/$1/p2pbusd.conf"
        # shellcheck disable=SC2086 # words
        start "bus_$1" in_ns "$here" p2pbusd --user --socket "$P2PBUS_SOCKET" \
                --state-dir "$work/$1/state" $bus_config
        wait_line "$work/bus_$1.err" '^Listening on '
}

start_bridge_of() {
        host=$1
        shift
        at "$host"
        printf '[Bridge]\nHeartbeat=%s\nIdleDisconnect=%s\n' "${heartbeat:-5s}" "${idle:-0}" \
                >"$work/$host/bridge.conf"
        relays=
        for url; do relays="$relays --relay $url"; done
        # shellcheck disable=SC2086 # words
        start "bridge_$host" in_ns "$here" env "STATE_DIRECTORY=$work/$host" \
                p2pbus-bridge --config "$work/$host/bridge.conf" \
                --key "$work/$host/bridge.key" $relays
        for url; do wait_line "$work/bridge_$host.err" "link up ${url%%#*}"; done
}

start_host() {
        start_bus_of "$1"
        start_bridge_of "$@"
}

start_hosts_that_trust() {
        ns_c=$ns_r
        make_keys "$@"
        start_relay relay --listen "$address_r:0"
        for trusting; do
                printf '[Names]\nTrustNames=any\n' >"$work/$trusting/p2pbusd.conf"
                start_host "$trusting" "$url_relay"
        done
}

# into PIPE NAMESPACE COMMAND...: its stdout is PIPE
into() {
        into_pipe=$1
        shift
        in_ns "$@" >"$into_pipe"
}

# What reads the lines is the test, so that the receiver cannot be further by the time than a pipe
# is long.
stream() {
        stream=$1 stream_rest=$2
        shift 2
        stream_n=$(lines "$work/lines")
        at b
        mkfifo "$work/$stream.pipe" "$work/$stream.fifo"
        start "$stream" into "$work/$stream.pipe" "$here" p2pbus-recv -n "$stream_n"
        exec 8<"$work/$stream.pipe"
        wait_line "$work/$stream.err" '^listening as '
        dest=$(sed -n 's/^listening as //p' "$work/$stream.err")
        at a
        exec 9<>"$work/$stream.fifo" # so that opening it waits for nobody
        start "send_$stream" in_ns "$here" p2pbus-send --lines -t "$deadline" "$dest" \
                <"$work/$stream.fifo" 8<&- 9<&-
        start "feed_$stream" into "$work/$stream.fifo" '' head -n "-$stream_rest" \
                "$work/lines" 8<&- 9<&-
        timeout "$deadline" sed -u 2000q <&8 >"$work/$stream.lines" || {
                for said in "send_$stream" "$stream" bridge_a bridge_b; do
                        sed "s/^/# $said: /" "$work/$said.err"
                done
                exit 1
        }
        cat <&8 >>"$work/$stream.lines" 9<&- &
        reader=$!
        "$@" 8<&- 9<&-
        end "feed_$stream"
        tail -n "$stream_rest" "$work/lines" >&9
        exec 8<&- 9<&-
        end "send_$stream"
        is "$stream: the sender was told that all were delivered" 0 "$status"
        end "$stream"
        is "$stream: the receiver has all" 0 "$status"
        wait "$reader"
        check "$stream: each once and in order" cmp "$work/lines" "$work/$stream.lines"
}

again() {
        eval "url=\$url_$1"
        address=${url#ws://}
        # shellcheck disable=SC2086 # words
        start "$1" in_ns "$ns_r" p2pbus-relay --config "$work/$1/empty.conf" \
                --state-dir "$work/$1" --key "$work/$1/key" $allow --listen "${address%%#*}"
        wait_links "$1" "$2"
}

wait_links() {
        eval "url=\$url_$1"
        for host in a b; do
                wait_count "$work/bridge_$host.err" "link up ${url%%#*}" "$2"
        done
}

known() {
        n_left=2000
        until [ "$(on "$1" p2pbusctl services | tr '\t' ' ' | grep remote | grep -c "${4-.}")" = "$3" ]; do
                n_left=$((n_left - 1))
                [ "$n_left" -gt 0 ] || return 1
                on "$1" p2pbusctl resolve "$2" >/dev/null 2>&1 || true
        done
}

wait_size() {
        # shellcheck disable=SC2016 # the inner shell's
        timeout "$deadline" sh -c 'until [ "$(stat -c %s "$1")" -ge "$2" ]; do :; done' sh "$1" "$2"
}
