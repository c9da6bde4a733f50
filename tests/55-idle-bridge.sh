#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Goal of this test: a bridge that is told to closes its links when there is nothing to carry, and
# dials again when there is; who waits on its host cannot be reached meanwhile.
# shellcheck source=tests/lib.sh source=tests/hosts.sh disable=SC2034,SC2154
. "$top_srcdir/tests/lib.sh"
. "$top_srcdir/tests/hosts.sh"

# closed N: the bridge of a has closed its link so often
closed() {
        wait_count "$work/bridge_a.err" 'link closed .*nothing to carry' "$1"
}

start_relay relay --listen 127.0.0.1:0
start_host b "$url_relay"
at b
start_recv there
idle=1s
start_host a "$url_relay"

# shows HOST LINE: until status there has it
shows() {
        # shellcheck disable=SC2016 # the inner shell's
        on "$1" timeout "$deadline" sh -c \
                'until p2pbusctl status | grep -q "^$1"; do :; done' sh "$2"
}

tab=$(printf '\t')
check 'a link is shown' shows b "link, ${url_relay%%#*}${tab}up"
check 'and its round trip' shows b "link_round_trip_usec, ${url_relay%%#*}${tab}[0-9]"
check 'it closes its link' closed 1
check 'which is shown' shows a "link, ${url_relay%%#*}${tab}down"
run on a p2pbus-send "$dest_there" 'from one that rested'
is 'who sends waits for the link and is delivered' 0 "$status"
is 'it dialled again' 2 "$(grep -c 'link up' "$work/bridge_a.err")"
check 'and closes it again' closed 2

at a
start_recv here
check 'who attaches to be reachable has it dialled' wait_count "$work/bridge_a.err" 'link up' 3
check 'until it rests' closed 3
run on b p2pbus-send "$dest_here" 'to one that rests'
is 'who waits there is no destination then' 3 "$status"
run on a p2pbus-send "$dest_there" 'I am back'
is 'after a word from there' 0 "$status"
run on b p2pbus-send "$dest_here" 'to one that is awake'
is 'he is' 0 "$status"
finish
