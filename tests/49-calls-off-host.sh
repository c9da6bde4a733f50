#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Goal of this test: calls between two hosts, by address and by name, are as calls on one: parts in order,
# progress, errors with names, cancelling; what dies in between and comes back costs nothing.
# shellcheck source=tests/lib.sh source=tests/hosts.sh disable=SC2016,SC2154
. "$top_srcdir/tests/lib.sh"
. "$top_srcdir/tests/hosts.sh"
need_net

# The provider of p2pbus_provider_new(3), for other hosts as well.
sed -n '/^\.Bd -literal$/,/^\.Ed$/p' "$top_srcdir/man/p2pbus_provider_new.3" |
        sed -e '/^\.[BE]d/d' -e 's/\\e/\\/g' -e 's/p2pbus_open(&bus, NULL)/p2pbus_open(\&bus, \&off_host)/' \
                -e 's/^int main.*/static const p2pbus_options off_host = { .struct_size = sizeof(p2pbus_options), .key_file = KEY_FILE, .flags = P2PBUS_OFF_HOST };\n&/' \
                >"$work/counter.c"
# shellcheck disable=SC2086 # flags are words
run ${CC:-cc} ${test_cflags-} ${test_cppflags-} -Wall -Wextra -Werror -I"$top_srcdir/libclient" \
        -DKEY_FILE="\"$work/counter.key\"" -I"$top_srcdir/libcall" -o "$work/counter" "$work/counter.c" -L"$top_builddir/.libs" \
        -lp2pbus-call -lp2pbus -ljansson -Wl,-rpath,"$top_builddir/.libs"
is 'the provider compiles' 0 "$status"
counter=$(p2pbusctl keygen "$work/counter.key")

make_net 5 1
start_relay relay --listen "$address_r:0"
mkdir -p "$work/a"
printf '[Names]\nPin=test.* %s\nPin=slow.* %s\n' "$counter" "$(p2pbusctl keygen "$work/echo.key")" >"$work/a/p2pbusd.conf"
start_host a "$url_relay"
start_host b "$url_relay"

# provide NAME: on b; $full is its address
provide() {
        at b
        start "$1" in_ns "$here" "$work/counter" "test.$1"
        wait_there "test.$1"
        full=$(p2pbusctl resolve "test.$1" | sed "s,[[:space:]].*,,")
        at a
}

at a
provide counter
run on a p2pbusctl call "$full" count 3
is 'a line a part' "0 1 2 3 " "$status $(tr '\n' ' ' <"$work/out")"
check '  and progress on stderr' said 'progress: "begun"'
run on a p2pbusctl call "$full" other
is 'an error is named' 1 "$status"
check '  by number and name' said 'error reply 1001 unknown-method: '
run on a p2pbusctl call "$full" p2pbus.Ping '[1]'
is 'a provider is there' '0 [1]' "$status $(cat "$work/out")"
run on a p2pbusctl call "$full" p2pbus.Info
check '  and says what it can' grep -q '"count"' "$work/out"

start caller in_ns "$ns_a" p2pbusctl call "$full" count 1000000000
wait_line "$work/caller.out" '^1000$'
kill -INT "$pid_caller"
end caller
is 'SIGINT ends a call' 130 "$status"
run on a p2pbusctl call "$full" count 1
is '  and frees its provider' '0 1' "$status $(cat "$work/out")"

start caller in_ns "$ns_a" p2pbusctl call "$full" count 20000
wait_line "$work/caller.out" '^1000$'
kill -KILL "$pid_relay"
end relay
again relay 2
end caller
is 'a relay that was killed costs no part' 0 "$status"
seq 20000 >"$work/expected"
check '  and no order' cmp "$work/expected" "$work/caller.out"

start caller in_ns "$ns_a" p2pbusctl call -t 1000 "$full" count 1000000000
wait_line "$work/caller.out" '^1000$'
kill -KILL "$pid_counter"
end counter
end caller
is 'a call of a provider that dies ends long before its time is over' 1 "$status"
check '  and says so' grep -q 'the receiver ended' "$work/caller.err"

# By name
provide counter
at a
check 'its host may call it by its name' wait_there test.counter
run on a p2pbusctl call test.counter count 3
is 'a line a part' "0 1 2 3 " "$status $(tr '\n' ' ' <"$work/out")"
run on a p2pbusctl call test.counter other
check 'an error is named' said 'error reply 1001 unknown-method: '
run on a p2pbusctl call test.other count 3
is 'nobody has this name' 3 "$status"
start caller in_ns "$ns_a" p2pbusctl call test.counter count 1000000000
wait_line "$work/caller.out" '^1000$'
kill -INT "$pid_caller"
end caller
is 'SIGINT ends a call' 130 "$status"
run on a p2pbusctl call test.counter count 1
is '  and frees its provider' '0 1' "$status $(cat "$work/out")"

# lives WHAT COMMAND...: a call by name outlives COMMAND in the middle of it
lives() {
        lives=$1
        shift
        at a
        start caller in_ns "$ns_a" p2pbusctl call test.counter count 20000
        wait_line "$work/caller.out" '^1000$'
        "$@"
        end caller
        is "a call by name outlives $lives" 0 "$status"
        check '  and loses no part' cmp "$work/expected" "$work/caller.out"
        run on a p2pbusctl call test.counter count 1
        is '  as does the name' '0 1' "$status $(cat "$work/out")"
}

kill_relay() {
        kill -KILL "$pid_relay"
        end relay
        again relay "$1"
}

# again_of WHAT HOST URL...: that host's bus or bridge, killed and begun anew
again_of() {
        again_what=$1
        shift
        eval "kill -KILL \$pid_${again_what}_$1"
        end "${again_what}_$1"
        "start_${again_what}_of" "$@"
}

lives 'the relay' kill_relay 3
lives "the caller's bridge" again_of bridge a "$url_relay"
lives "the provider's bridge" again_of bridge b "$url_relay"
lives "the caller's bus" again_of bus a
lives "the provider's bus" again_of bus b
# unlisted: until no host has heard of the provider for so long that the name has none
unlisted() {
        n_left=2000
        while on a p2pbusctl services | grep -q test.counter; do
                n_left=$((n_left - 1))
                [ "$n_left" -gt 0 ] || return 1
                on a p2pbusctl resolve test.counter >/dev/null 2>&1 || true
        done
}

# What may be repeated waits, too, for there is nobody else.
mkfifo "$work/gate" "$work/feed"
exec 8<>"$work/gate" 9<>"$work/feed"
at b
start echo in_ns "$here" p2pbus-recv --name slow.echo --key "$work/echo.key" --exec sh -c \
        "read -r line; echo \"\$line\" >>'$work/asked'; [ \"\$line\" = first ] || cat '$work/gate'; echo \"\$line\"" \
        8<&- 9<&-
at a
check 'a name that is one host'"'"'s alone' wait_there slow.echo
start repeats in_ns "$ns_a" p2pbus-send -r --lines --idempotent -t 300 slow.echo <"$work/feed" 8<&- 9<&-
echo first >&9
wait_line "$work/repeats.out" '^first$' # they have met
echo second >&9
exec 9>&-
wait_line "$work/asked" '^second$'
start caller in_ns "$ns_a" p2pbusctl call -t 300 test.counter count 20000 8<&-
wait_line "$work/caller.out" '^1000$'
cut_wire b
check 'a host that is cut off for long provides nothing' unlisted
mend_wire b
end caller
is "a call by name outlives that" 0 "$status"
check '  and loses no part' cmp "$work/expected" "$work/caller.out"
check '  and the name has its provider again' wait_there test.counter
rm "$work/gate"
exec 8<&-
end repeats
is '  as does one that may be repeated' '0 second' "$status $(sed -n 2p "$work/repeats.out")"
is '  which was asked for once' 'first second' "$(tr '\n' ' ' <"$work/asked" | sed 's/ $//')"

for what in bridge bus; do
        eval "kill -KILL \$pid_${what}_a"
        end "${what}_a"
done
start_bus_of a
start caller in_ns "$ns_a" p2pbusctl call test.counter count 1
start_bridge_of a "$url_relay"
end caller
is 'a call on a host that just booted waits for its bridge' '0 1' "$status $(cat "$work/caller.out")"

stop counter
at b
start_recv upper --exec tr a-z A-Z
at a
run on a p2pbus-send -r "$full_upper" 'hello'
is 'a command of a shell answers, too' '0 HELLO' "$status $(cat "$work/out")"
run on a p2pbusctl call "$full_upper" p2pbus.Stats
check '  and says how it fares' grep -q '"calls": 1, "errors": 0, ' "$work/out"
finish
