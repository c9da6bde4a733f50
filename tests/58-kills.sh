#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Goal of this test: whatever is killed between two hosts while a stream runs, every message arrives
# once and in order, and neither program notices more than a pause.
#
# Two hosts, two relays. Again and again one of the six processes between sender and receiver is
# killed, chosen by a seed, and started anew; then 2,500 messages have to come before the next one
# goes, which is more than pipes and sessions hold: so the stream has always got over the last one.
#
# $KILLS: how many, 200 unless set. $SEED repeats a choice.
# shellcheck source=tests/lib.sh source=tests/hosts.sh disable=SC2016,SC2034,SC2154
. "$top_srcdir/tests/lib.sh"
. "$top_srcdir/tests/hosts.sh"

kills=${KILLS:-200}
seed=${SEED:-$(od -An -N2 -tu2 /dev/urandom | tr -d ' ')}
echo "# $kills kills; repeat with SEED=$seed"
deadline=120
heartbeat=1s
line_size=100

# feed FLAG: numbered lines until the file FLAG is there, and then how many they were
feed() {
        exec awk -v flag="$1" -v pad="$(printf '%090d' 0)" 'BEGIN {
                while ((getline nothing <flag) < 0)
                        for (i = 0; i < 100; i++)
                                printf "%09d%s\n", ++n, pad
                printf "%09d%s\n", n, "end"
        }' >"$2"
}

# listen_again NAME: a relay with the same key at the same port
listen_again() {
        eval "url=\$url_$1"
        address=${url#ws://}
        # shellcheck disable=SC2086 # words
        start "$1" p2pbus-relay --config "$work/$1/empty.conf" --state-dir "$work/$1" \
                --key "$work/$1/key" $allow --listen "${address%%#*}"
}

# What was killed comes back as it was; nothing is waited for.
back() {
        case $1 in
        bus_?)
                start "$1" p2pbusd --user --socket "$work/${1#bus_}/socket" \
                        --state-dir "$work/${1#bus_}/state"
                ;;
        bridge_?)
                start "$1" env "STATE_DIRECTORY=$work/${1#bridge_}" p2pbus-bridge \
                        --socket "$work/${1#bridge_}/socket" \
                        --config "$work/${1#bridge_}/bridge.conf" \
                        --key "$work/${1#bridge_}/bridge.key" \
                        --relay "$url_one" --relay "$url_two"
                ;;
        *) listen_again "$1" ;;
        esac
}

# take N: N lines of the stream come in time
take() {
        n_before=$(stat -c %s "$work/lines")
        timeout "$deadline" head -c $(($1 * line_size)) <&8 >>"$work/lines" || true
        [ $(($(stat -c %s "$work/lines") - n_before)) = $(($1 * line_size)) ]
}

start_relay one --listen 127.0.0.1:0
start_relay two --listen 127.0.0.1:0
start_host a "$url_one" "$url_two"
start_host b "$url_one" "$url_two"

at b
mkfifo "$work/out" "$work/in"
: >"$work/lines"
recv() { exec p2pbus-recv >"$work/out"; }
start r recv
exec 8<"$work/out"
wait_line "$work/r.err" '^listening as '
dest=$(sed -n 's/^listening as //p' "$work/r.err")
at a
start feeder feed "$work/enough" "$work/in" 8<&-
start sender p2pbus-send --lines -t "$deadline" "$dest" <"$work/in" 8<&-

check 'the stream runs' take 2500
n=0
awk -v seed="$seed" -v n="$kills" 'BEGIN {
        srand(seed)
        split("one two bus_a bus_b bridge_a bridge_b", victims, " ")
        while (n-- > 0) print victims[1 + int(rand() * 6)]
}' >"$work/victims"
while read -r victim; do
        n=$((n + 1))
        eval "kill -KILL \$pid_$victim"
        end "$victim"
        back "$victim" 8<&-
        check "it gets over kill $n, of $victim" take 2500
done <"$work/victims"

: >"$work/enough"
exec 7>>"$work/lines"
cat <&8 >&7 &
reader=$!
exec 8<&- 7>&-
end feeder
end sender
is 'the sender is told that all were delivered' 0 "$status"
stop r
wait "$reader"
check 'each came once and in order' awk '
        substr($0, 10) == "end" { exit !(substr($0, 1, 9) + 0 == n) }
        substr($0, 1, 9) + 0 != ++n { print "# line " n " is " $0; exit 1 }
        END { if (substr($0, 10) != "end") exit 1 }' "$work/lines"
echo "# $(wc -l <"$work/lines") messages"
finish
