#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Goal of this test: a stream between two hosts goes on when the relay that carries it is killed, and
# when it only stops answering: every message arrives, once, in order.
#
# Two relays; the one that the bridges prefer is not known. When the first was killed and is back,
# the second carries everything, so killing that one always hits the stream.
# shellcheck source=tests/lib.sh source=tests/hosts.sh disable=SC2034,SC2154
. "$top_srcdir/tests/lib.sh"
. "$top_srcdir/tests/hosts.sh"

deadline=60
heartbeat=500ms # a link is dead after twice that
n=60000

# into PIPE COMMAND...: its stdout is PIPE
into() {
        into_pipe=$1
        shift
        exec "$@" >"$into_pipe"
}

# stream NAME WHAT RELAY: WHAT RELAY when 2,000 lines were read of 50,000 that are sent. What reads them
# is the test, so that the receiver cannot be further by the time than a pipe is long.
stream() {
        at b
        mkfifo "$work/$1.pipe" "$work/$1.fifo"
        start "$1" into "$work/$1.pipe" p2pbus-recv -n "$n"
        exec 8<"$work/$1.pipe"
        wait_line "$work/$1.err" '^listening as '
        dest=$(sed -n 's/^listening as //p' "$work/$1.err")
        at a
        exec 9<>"$work/$1.fifo" # so that opening it waits for nobody
        start "send_$1" p2pbus-send --lines -t "$deadline" "$dest" <"$work/$1.fifo" 8<&- 9<&-
        start "feed_$1" into "$work/$1.fifo" head -n 50000 "$work/lines" 8<&- 9<&-
        timeout "$deadline" sed -u 2000q <&8 >"$work/$1.lines"
        cat <&8 >>"$work/$1.lines" 9<&- &
        reader=$!
        eval "kill -\$2 \$pid_$3"
        end "feed_$1"
        tail -n 10000 "$work/lines" >&9
        exec 8<&- 9<&-
        end "send_$1"
        is "$1: the sender was told that all were delivered" 0 "$status"
        end "$1"
        is "$1: the receiver has all" 0 "$status"
        wait "$reader"
        check "$1: each once and in order" cmp "$work/lines" "$work/$1.lines"
}

# again NAME: a relay with the same key at the same port
again() {
        eval "url=\$url_$1"
        address=${url#ws://}
        # shellcheck disable=SC2086 # words
        start "$1" p2pbus-relay --config "$work/$1/empty.conf" --state-dir "$work/$1" \
                --key "$work/$1/key" $allow --listen "${address%%#*}"
        wait_links "$1" "$2"
}

# wait_links RELAY N: until both bridges had N links to it, one after the other
wait_links() {
        eval "url=\$url_$1"
        for host in a b; do
                wait_count "$work/bridge_$host.err" "link up ${url%%#*}" "$2"
        done
}

# wait_count FILE PATTERN N: until N lines match
wait_count() {
        [ "$(timeout "$deadline" tail -n +1 -f "$1" | grep -c -m "$3" -e "$2")" = "$3" ]
}

i=0
while [ "$i" -lt "$n" ]; do
        i=$((i + 1))
        echo "line $i of the stream, with some text so that it has a size"
done >"$work/lines"

start_relay one --listen 127.0.0.1:0
start_relay two --listen 127.0.0.1:0
start_host a "$url_one" "$url_two"
start_host b "$url_one" "$url_two"

stream first KILL one
end one
again one 2
stream second KILL two
end two
again two 2
stream third STOP one
check 'a bridge notices the silence' wait_count "$work/bridge_a.err" 'the relay no longer answers' 1
check 'and the other' wait_count "$work/bridge_b.err" 'the relay no longer answers' 1
kill -CONT "$pid_one"
wait_links one 3
stream fourth STOP two
check 'a bridge notices the silence again' \
        wait_count "$work/bridge_a.err" 'the relay no longer answers' 2
kill -CONT "$pid_two"

for each in bridge_a bridge_b bus_a bus_b; do
        stop "$each"
        is "$each ends with 0" 0 "$status"
done
finish
