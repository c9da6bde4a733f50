# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# What the scripts of bench/ share: bench/run-daemon and so on begin with it. They run in a build
# directory, or with $top_builddir set; $ROUNDS, or their first argument, is how often each figure is
# taken. Brokers live in $work and end with the script.

# shellcheck disable=SC2034 # the scripts' own
rounds=${1:-${ROUNDS:-5}}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build=${top_builddir:-$PWD}
PATH=$build:$build/bench:$PATH
work=$(mktemp -d /tmp/p2pbus-bench.XXXXXX)
all_cpus=0-$(($(nproc) - 1))
declare -A running # by os pid

# What is compared, p2pbus first. For each there is a start_SYSTEM CPUS TAG, which leaves in $pid what
# `stop` ends.
systems=()
# Of SYSTEM, or SYSTEM_one where all is on CPU 0: what `measure` gets, and whose cost counts, if there
# is a broker.
declare -A where broker

cleanup() {
	local pid
	for pid in "${!running[@]}"; do
		kill "$pid" 2>/dev/null || true
	done
	wait 2>/dev/null || true
	[ -z "${journal:-}" ] || rm -f /run/systemd/journal/socket
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# have PEER COMMAND: true if it is installed; otherwise it is named, and left out.
have() {
	! command -v "$2" >/dev/null || return 0
	echo "bench: $1 is not installed and left out; scripts/install-deps --bench brings it" >&2
	return 1
}

# start LOG PATTERN COMMAND...: in the background, until PATTERN stands in LOG; $pid is its.
start() {
	local log=$1 pattern=$2
	shift 2
	: >"$log"
	"$@" </dev/null >>"$log" 2>&1 &
	pid=$!
	running[$pid]=1
	timeout 30 tail -n +1 -f --pid="$pid" "$log" 2>/dev/null | grep -q -m 1 -e "$pattern" || {
		cat "$log" >&2
		exit 1
	}
}

stop() { # PID
	kill "$1" 2>/dev/null || true
	wait "$1" 2>/dev/null || true
	unset "running[$1]"
}

# Two buses, $work/a and $work/b, a bridge each, and one relay that admits these two under the full
# limits; ${far_brokers[@]} are options of `measure`.
start_far() {
	local side
	start "$work/far.log" '^relay ' p2pbus-relay --allow "$(p2pbusctl keygen "$work/a.key")" \
		--allow "$(p2pbusctl keygen "$work/b.key")" --listen 127.0.0.1:0 \
		--state-dir "$work/far.state" --key "$work/far.key"
	far_brokers=(--broker "$pid")
	for side in a b; do
		start "$work/$side.log" 'Listening on' \
			p2pbusd --user --socket "$work/$side" --state-dir "$work/$side.state"
		far_brokers+=(--broker "$pid")
		start "$work/$side.bridge.log" 'link up' p2pbus-bridge --socket "$work/$side" \
			--relay "$(sed -n 's/^relay //p' "$work/far.log")" --key "$work/$side.key"
		far_brokers+=(--broker "$pid")
	done
}

# One broker for both of its listeners, TCP and WebSocket: start_nats CPUS TAG.
start_nats() {
	local log=$work/nats$2.log
	cat >"$work/nats.conf" <<-CONF
		listen: "127.0.0.1:-1"
		max_payload: 8MB
		max_pending: 256MB
		write_deadline: "60s"
		websocket { listen: "127.0.0.1:-1", no_tls: true }
	CONF
	start "$log" 'Server is ready' taskset -c "$1" nats-server -c "$work/nats.conf"
	where[nats$2]=$(sed -n 's/.*Listening for client connections on //p' "$log")
	where[nats-ws$2]=$(sed -n 's/.*Listening for websocket clients on ws:\/\///p' "$log")
	broker[nats$2]=$pid
	broker[nats-ws$2]=$pid
}

begin_results() { # FILE: JSON lines go there
	results=$build/bench/$1
	mkdir -p "$build/bench"
	: >"$results"
}

# take BENCH SYSTEM TAG OPTIONS...: one line of one system. What hangs is no result.
take() {
	local bench=$1 system=$2 at=$2$3
	shift 3
	timeout --foreground 120 measure "$bench" "$system" "${where[$at]}" \
		${broker[$at]:+--broker "${broker[$at]}"} "$@" >>"$results" || {
		echo "bench: $bench of $system failed: $*" >&2
		exit 1
	}
}

# take_all BENCH OPTIONS...: of all ${systems[@]}, one after the other.
take_all() {
	local bench=$1 tag='' system
	shift
	case " $* " in *' --one-cpu '*) tag=_one ;; esac
	for system in "${systems[@]}"; do
		take "$bench" "$system" "$tag" "$@"
	done
	printf . >&2
}

# take_fresh BENCH OPTIONS...: the same with brokers that have served nobody yet: one that has keeps
# room for more.
take_fresh() {
	local bench=$1 system
	shift
	for system in "${systems[@]}"; do
		"start_${system//-/_}" "$all_cpus" _fresh
		take "$bench" "$system" _fresh "$@"
		stop "$pid"
	done
	printf . >&2
}

show_table() { # FORM [VARIABLE=VALUE]...
	awk -f "$here/median.awk" -f "$here/$1.awk" "${@:2}" "$results"
}
