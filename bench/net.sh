# shellcheck shell=bash disable=SC2154
# SPDX-License-Identifier: Apache-2.0
#
# A network of hosts for bench/experiments; to be sourced after lib.sh.
#
# Each host is a network namespace with a bus and a bridge; relays are in a namespace of their own.
# From each host to it leads a wire, tests/vwire, which is as slow and as bad as is asked for. One
# network is up at a time; namespaces stay until the script ends, since the kernel takes its time.
#
#     need_net                          ends with a word if this cannot be done here
#     net_up 'DELAY_MS LOSS [OPTION]...' HOST...   namespaces and wires, with these arguments of vwire
#     relay_up NAME...                  again after relay_kill: with the same key at the same address
#     hosts_up                          a bus and a bridge each, with a link to each relay
#     relay_counter NAME COUNTER        of its /metrics
#     net_down                          ends all that runs in it
#
# What runs is in ${running_as[NAME]}: wire_HOST, bus_HOST, bridge_HOST and relay_NAME.

net=p2pbus-$$
net_made=()
net_hosts=()
net_relays=()
declare -A running_as relay_url
relay_address=10.77.0.1

need_net() {
	[ "$(id -u)" = 0 ] || give_up 'needs root, for network namespaces'
	command -v ip >/dev/null || give_up 'needs ip, of package iproute2'
	[ -c /dev/net/tun ] || give_up 'needs /dev/net/tun, for wires'
	ip netns add "p2pbus-$$-try" 2>"$work/netns" || give_up "needs network namespaces: $(<"$work/netns")"
	ip netns del "p2pbus-$$-try"
	[ -x "$build/tests/vwire" ] || give_up "needs $build/tests/vwire: make -C $build tests/vwire"
}

give_up() {
	echo "experiments: $*" >&2
	exit 1
}

# shellcheck disable=SC2317 # called by a trap
drop_net() {
	local name
	cleanup
	for name in ${net_made[@]+"${net_made[@]}"}; do
		ip netns del "$name" || true
	done
}
trap drop_net EXIT

make_namespace() { # NAME: unless it is there
	case " ${net_made[*]-} " in *" $net-$1 "*) return ;; esac
	ip netns add "$net-$1"
	net_made+=("$net-$1")
	ip -n "$net-$1" link set lo up
	[ "$1" != relays ] || ip -n "$net-$1" addr add "$relay_address" dev lo
}

# start_as NAME PATTERN COMMAND...: its output is in $work/NAME.log
start_as() {
	local name=$1
	shift
	start "$work/$name.log" "$@"
	running_as[$name]=$pid
}

wire_up() { # HOST NUMBER VWIRE-ARGUMENT...
	local there=$net-$1 here=$net-relays wire=host$2 address=10.77.$2.2
	start_as "wire_$1" ready "$build/tests/vwire" -s "$((seed + $2))" "${@:5}" "$there" relays \
		"$here" "$wire" "$3" "$4"
	ip -n "$there" addr add "$address" peer "10.77.$2.1" dev relays
	ip -n "$here" addr add "10.77.$2.1" peer "$address" dev "$wire"
	ip -n "$there" link set relays up
	ip -n "$here" link set "$wire" up
	ip -n "$there" route add "$relay_address" dev relays
}

net_up() {
	local host words number=0
	read -ra words <<<"$1"
	shift
	net_hosts=("$@")
	make_namespace relays
	allow=()
	for host; do
		number=$((number + 1))
		make_namespace "$host"
		wire_up "$host" "$number" "${words[@]}"
		allow+=(--allow "$(p2pbusctl keygen "$work/$host.key")")
	done
}

relay_up() {
	local name url
	for name; do
		url=${relay_url[$name]:-$relay_address:0}
		url=${url#ws://}
		start_as "relay_$name" '^relay ' ip netns exec "$net-relays" p2pbus-relay \
			"${allow[@]}" --listen "${url%%#*}" --state-dir "$work/$name.relay" \
			--key "$work/$name.relay.key"
		[ -n "${relay_url[$name]:-}" ] || net_relays+=("$name")
		relay_url[$name]=$(sed -n 's/^relay //p' "$work/relay_$name.log")
	done
}

relay_counter() {
	local at=${relay_url[$1]#ws://}
	at=${at%%#*}
	# shellcheck disable=SC2016 # the inner shell's
	ip netns exec "$net-relays" bash -c 'exec 3<>"/dev/tcp/${1%:*}/${1#*:}"
		printf "GET /metrics HTTP/1.0\r\n\r\n" >&3
		cat <&3' - "$at" | awk -v name="p2pbus_relay_$2_total" '$1 == name { print $2 }'
}

relay_kill() { # NAME
	local its=${running_as[relay_$1]}
	kill -KILL "$its"
	wait "$its" 2>/dev/null || true
	unset "running[$its]"
}

hosts_up() {
	local host name links=()
	for name in "${net_relays[@]}"; do
		links+=(--relay "${relay_url[$name]}")
	done
	for host in "${net_hosts[@]}"; do
		start_as "bus_$host" 'Listening on' ip netns exec "$net-$host" p2pbusd --user \
			--socket "$work/$host.bus" --state-dir "$work/$host.state"
		start_as "bridge_$host" 'link up' ip netns exec "$net-$host" \
			env STATE_DIRECTORY="$work" p2pbus-bridge --socket "$work/$host.bus" \
			--key "$work/$host.key" "${links[@]}"
	done
	for host in "${net_hosts[@]}"; do
		wait_lines "$work/bridge_$host.log" 'link up' "${#net_relays[@]}"
	done
}

wait_lines() { # FILE PATTERN N
	[ "$(timeout 30 tail -n +1 -f "$1" | grep -c -m "$3" -e "$2")" = "$3" ] || {
		cat "$1" >&2
		give_up "less than $3 lines '$2' in $1"
	}
}

net_down() {
	local name
	for name in "${!running_as[@]}"; do
		case $name in bridge_* | bus_*) stop "${running_as[$name]}" ;; esac
	done
	for name in "${!running_as[@]}"; do
		stop "${running_as[$name]}"
	done
	for name in "${net_hosts[@]}" "${net_relays[@]}"; do
		rm -rf "$work/$name".*
	done
	net_hosts=() net_relays=() running_as=() relay_url=()
}
