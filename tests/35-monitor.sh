#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Goal of this test: p2pbus-monitor shows who sends what to whom, and only what was asked for.

# shellcheck disable=SC1091,SC2016,SC2119,SC2154 # names set by lib.sh, scripts for other shells
. "${top_srcdir:-.}/tests/lib.sh"
start_bus
tab=$(printf '\t')
full=$(p2pbusctl keygen "$work/key")
me=${full%%:*}

start_recv a --name test.alpha
start_recv b
start all p2pbus-monitor
wait_line "$work/all.err" '^p2pbus-monitor: monitoring '
start json p2pbus-monitor --json
wait_line "$work/json.err" monitoring
start peer p2pbus-monitor --peer "$full_b" -n 2
wait_line "$work/peer.err" monitoring
start name p2pbus-monitor --name test.alpha -n 1
wait_line "$work/name.err" monitoring

p2pbus-send -k "$work/key" "$dest_b" 'first to b'
p2pbus-send -k "$work/key" test.alpha 'to alpha'
head -c 200000 /dev/zero | p2pbus-send -k "$work/key" "$dest_b"

check 'a message is a line' wait_line "$work/all.out" "${tab}200000${tab}"
end peer
is '--peer and -n: it ends after so many' 0 "$status"
end name
is '--name too' 0 "$status"
is 'all see all of them, a long one once' 3 "$(lines "$work/all.out")"
is '--peer shows only what is of that process' "$dest_b $dest_b" "$(cut -f 3 "$work/peer.out" | tr '\n' ' ' | sed 's/ $//')"
is '--name shows only what is of its provider' "$dest_a" "$(cut -f 3 "$work/name.out")"

line=$(sed -n 2p "$work/all.out")
field() {
        printf '%s\n' "$line" | cut -f "$1"
}
check 'time, in UTC' sh -c 'echo "$1" | grep -qE "^20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z$"' sh "$(field 1)"
is 'source' "$me" "$(field 2)"
is 'destination' "$dest_a" "$(field 3)"
is 'kind' one-way "$(field 4)"
check 'id' sh -c 'echo "$1" | grep -qE "^[0-9a-f]{32}$"' sh "$(field 5)"
is 'size' 8 "$(field 6)"
is 'name' test.alpha "$(field 7)"
is 'path' daemon "$(field 8)"

start_recv c --exec cat
p2pbus-send -r "$dest_c" question >/dev/null
check 'a reply is one of its own' wait_line "$work/all.out" "^[^$tab]*${tab}$dest_c$tab.*${tab}reply$tab"
check 'and names its request' wait_line "$work/json.out" '"kind": "reply".*"reply_to": "[0-9a-f]\{32\}"'
line=$(grep '"destination": "'"$dest_a" "$work/json.out")
for member in '"time": "20' "\"source\": \"$me\"" "\"destination\": \"$dest_a\"" '"kind": "one-way"' \
        '"id": "' '"size": 8' '"name": "test.alpha"' '"path": "daemon"'; do
        check "as JSON: $member" sh -c 'case $1 in *"$2"*) ;; *) echo "# $1"; exit 1 ;; esac' sh "$line" "$member"
done
check 'no payload is shown' sh -c '! grep -q "to alpha\|question" "$1" "$2"' sh "$work/all.out" "$work/json.out"

stop bus
wait_line "$work/all.err" 'waiting for it to come back'
start_bus
# What passes before the monitors (all, json) are back, they cannot see.
n_left=1000
until p2pbusctl status | grep -q "^monitors${tab}2" || [ "$n_left" = 0 ]; do
        n_left=$((n_left - 1))
done
wait_there "$dest_b"
run p2pbus-send -t 20 "$dest_b" 'after the restart'
check 'a monitor outlives a restart of the bus' wait_line "$work/all.out" "${tab}17${tab}"
stop all
is 'and ends with 143 on SIGTERM' 143 "$status"
finish
