#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Goal of this test: what is published on one host comes to those on another who subscribed, and only
# to these; it stands nowhere in the clear on its way; when nobody is subscribed nothing is sent; who
# subscribes later gets the last value, once, if it asks for it; and a relay that is restarted learns
# again who is subscribed.
# shellcheck source=tests/lib.sh source=tests/hosts.sh disable=SC2154
. "$top_srcdir/tests/lib.sh"
. "$top_srcdir/tests/hosts.sh"
need_net

# subscribe NAME OPTION...: a receiver on b
subscribe() {
        at b
        name=$1
        shift
        start "$name" in_ns "$here" p2pbus-recv --json "$@"
        wait_line "$work/$name.err" '^listening as '
}

# wait_wants N: until host a knows of N patterns elsewhere; who leaves does not wait for that
wait_wants() {
        n_left=2000
        until [ "$(on a p2pbusctl metrics | sed -n 's/^p2pbusd_wants //p')" = "$1" ]; do
                n_left=$((n_left - 1))
                [ "$n_left" -gt 0 ] || return 1
        done
}

publish() {
        on a p2pbus-send --key "$work/publisher.key" --topic "$@"
}

# field FILE NAME: of each line
field() {
        sed "s/.*\"$2\": \"\{0,1\}\([^\",}]*\).*/\1/" "$1" | tr '\n' ' ' | sed 's/ $//'
}

make_net 5 0
start_relay relay --listen "$address_a:0" --listen "$address_b:0"
start_host a "$url_relay"
start_host b "$(sed -n 's/^relay \(ws.*\)/\1/p' "$work/relay.err" | sed -n 2p)"
publisher=$(p2pbusctl keygen "$work/publisher.key")

# Who subscribed
subscribe far -n 2 --topic 'weather.*.temperature'
run publish weather.paris.rain no
run publish --local weather.paris.temperature 20
run publish weather.paris.temperature 21
is 'published' 0 "$status"
run publish weather.rome.temperature --type text/x-degrees 25
end far
is 'what fits arrives, but nothing of a process that stays on its host' '21 25' \
        "$(field "$work/far.out" payload)"
is 'with its topic' 'weather.paris.temperature weather.rome.temperature' \
        "$(field "$work/far.out" topic)"
is 'and its sender' "$publisher $publisher" "$(field "$work/far.out" from_key)"
check 'who left wants nothing' wait_wants 0

# Many, in order
subscribe many -n 500 --topic 'count'
seq 500 >"$work/lines"
run publish count --lines <"$work/lines"
is 'many are published' 0 "$status"
end many
is 'all arrive in order' "$(tr '\n' ' ' <"$work/lines" | sed 's/ $//')" \
        "$(field "$work/many.out" payload)"
is 'none was lost' 0 "$(field "$work/many.out" lost | tr ' ' '\n' | sort -u)"

# In the clear nowhere
marker=$(od -An -tx1 -N16 /dev/urandom | tr -d ' \n')
printf %s "$marker" >"$work/marker"
awk '{ for (i = 0; i < 1800; i++) printf "%s", $0 }' "$work/marker" >"$work/marker.message"
subscribe secret -n 1 --topic 'secret'
kill -STOP "$pid_secret"
before=$(wc -c <"$work/wire_b.cap")
run publish secret <"$work/marker.message"
check 'a large one is under way' wait_size "$work/wire_b.cap" $((before + 50000))
is 'it is not in the memory of bridges, relay and the other daemon' 0 \
        "$("$top_builddir/tests/memgrep" "$work/marker" "$pid_bridge_a" "$pid_relay" \
                "$pid_bridge_b" "$pid_bus_b" | awk '{ n += $2 } END { print n }')"
kill -CONT "$pid_secret"
end secret
check 'the subscriber has all of it' test "$(grep -ao "$marker" "$work/secret.out" | wc -l)" -eq 1800
for host in a b; do
        # shellcheck disable=SC2016 # the inner shell's
        check "the wire of $host did not show it" \
                sh -c '! grep -aqF -f "$1" "$2"' sh "$work/marker" "$work/wire_$host.cap"
done

# Nobody is there
check 'nobody is left' wait_wants 0
before=$(wc -c <"$work/wire_a.cap")
for _ in 1 2 3 4; do publish secret <"$work/marker.message"; done
check 'then nothing leaves the host' test "$(wc -c <"$work/wire_a.cap")" -lt $((before + 50000))

# What is retained, as long as who published it is there
mkfifo "$work/values"
exec 4<>"$work/values"
at a
start near in_ns "$here" p2pbus-recv -n 3 --topic kept
wait_line "$work/near.err" '^listening as '
start keeper in_ns "$here" p2pbus-send --topic kept --retain --lines <"$work/values"
printf '18\n19\n20\n' >&4
end near
subscribe plain -n 1 --topic kept
subscribe later -n 3 --topic kept --topic '*' --retained
check 'it has come' wait_line "$work/later.out" '"20"'
echo 21 >&4
end plain
is 'who did not ask gets what is new' '21' "$(field "$work/plain.out" payload)"
check 'who did as well' wait_line "$work/later.out" '"21"'
check 'one has left' wait_wants 2

# The relay dies
subscribe after -n 1 --topic 'after.*'
kill -KILL "$pid_relay"
end relay
# shellcheck disable=SC2086 # words
start relay in_ns "$ns_r" p2pbus-relay --config "$work/relay/empty.conf" \
        --state-dir "$work/relay" --key "$work/relay/key" $allow \
        --listen "$(echo "$url_relay" | sed 's,^ws://\([^#]*\)#.*,\1,')" \
        --listen "$(sed -n 's/^.*link up ws:\/\/\([^ ]*\).*/\1/p' "$work/bridge_b.err" | head -n 1)"
n=0
while kill -0 "$pid_after" 2>/dev/null && [ "$n" -lt 500 ]; do
        n=$((n + 1))
        publish "after.$n" "$n" || true
done
end after
is 'the subscription is back' 0 "$status"

# What was retained was said again, and is not given out twice
n=100
while kill -0 "$pid_later" 2>/dev/null && [ "$n" -lt 600 ]; do
        n=$((n + 1))
        echo "$n" >&4
        publish nobody.wants "$n" || true
done
end later
check 'who asked has had the last one, then each that was new' \
        expr "$(field "$work/later.out" payload)" : '20 21 [0-9]\{3\}$'

# And no more when it was ended
check 'nobody is left again' wait_wants 0
at a
start near in_ns "$here" p2pbus-recv --topic kept --json
wait_line "$work/near.err" '^listening as '
echo >&4
check 'it is ended' wait_line "$work/near.out" '"payload": ""'
subscribe ended -n 1 --topic kept --retained
run publish kept new
end ended
is 'who comes then gets what is new' 'new' "$(field "$work/ended.out" payload)"
finish
