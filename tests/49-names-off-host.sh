#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Goal of this test: providers of one name on two hosts share the calls of a third one; who is slow, or
# second by its priority, gets less; and whatever dies, each call has one answer.
# shellcheck source=tests/lib.sh source=tests/hosts.sh disable=SC2016,SC2154
. "$top_srcdir/tests/lib.sh"
. "$top_srcdir/tests/hosts.sh"
need_net

# provide HOST NAME COMMAND OPTION...: a provider of demo.far there that notes each request in NAME.log,
# runs COMMAND, and answers its name and the request
provide() {
        at "$1"
        name=$2 command=$3
        shift 3
        start "$name" in_ns "$here" p2pbus-recv --name demo.far --key "$work/$name.key" "$@" \
                --exec sh -c "read -r line; echo \"\$line\" >>'$work/$name.log'; $command; echo \"$name \$line\"" 8<&- 9<&-
        wait_line "$work/$name.err" '^listening as '
        : >"$work/$name.log"
}

# close_gate: whoever runs $gate waits; open_gate: all of these go on, also those whose provider has died
close_gate() {
        mkfifo "$work/gate"
        exec 8<>"$work/gate"
}

open_gate() {
        rm "$work/gate"
        exec 8<&-
}
gate="cat '$work/gate'"

# taken N NAME...: until they have noted N requests, all together
taken() {
        taken_n=$1
        shift
        n_left=20000
        until [ "$(for name; do cat "$work/$name.log"; done | wc -l)" -ge "$taken_n" ]; do
                n_left=$((n_left - 1))
                [ "$n_left" -gt 0 ] || return 1
        done
}

# calls HOST N OPTION...: so many, at once
calls() {
        host=$1
        seq "$2" >"$work/lines"
        shift 2
        run on "$host" p2pbus-send -r --lines --key "$work/caller.key" "$@" demo.far <"$work/lines"
}

# who: the providers that answered, each once; numbers: what they were asked
who() {
        sed 's/ .*//' "$work/out" | sort -u | tr '\n' ' ' | sed 's/ $//'
}

numbers() {
        sed 's/.* //' "${1-$work/out}"
}

for key in one two caller other; do p2pbusctl keygen "$work/$key.key" >/dev/null; done
make_net 5 0
start_hosts_that_trust a b c

# Shared
provide a one : --jobs 4
provide b two : --jobs 4
check 'both are known' known c demo.far 2
calls c 100
is 'providers on two hosts answer' '0 one two' "$status $(who)"
numbers >"$work/numbers"
check '  each call once, in order' cmp "$work/lines" "$work/numbers"
is '  which was begun once' 100 "$(sort -u "$work/one.log" "$work/two.log" | wc -l)"
run on c p2pbus-send -r --all --key "$work/caller.key" demo.far all
is 'all are asked' '0 one two' "$status $(sort "$work/out" | sed 's/ .*//' | tr '\n' ' ' | sed 's/ $//')"

# Slow
stop two
mkfifo "$work/feed"
close_gate
provide b two "$gate" --jobs 40
: >"$work/one.log"
at b
exec 9<>"$work/feed"
start calls in_ns "$here" p2pbus-send -r --lines --key "$work/caller.key" demo.far <"$work/feed" 8<&- 9<&-
for n in $(seq 40); do
        echo "$n" >&9
        taken "$n" one two || break
done
exec 9>&-
n_slow=$(lines "$work/two.log")
check 'who does not answer is asked less' test "$n_slow" -lt 20
open_gate
end calls
is 'what it was asked it answers in the end' 0 "$status"
seq 40 >"$work/lines"
numbers "$work/calls.out" >"$work/numbers"
check '  each call once, in order' cmp "$work/lines" "$work/numbers"

# Replaced
stop two
at c
exec 9<>"$work/feed"
start calls in_ns "$here" p2pbus-send -r --lines --idempotent --key "$work/caller.key" demo.far \
        <"$work/feed" 9<&-
echo 1 >&9
wait_line "$work/calls.out" '^one 1$'
provide b two : --jobs 4
stop one
echo 2 >&9
exec 9>&-
end calls
is 'who is replaced by one on another host is not missed' '0 one 1 two 2' \
        "$status $(tr '\n' ' ' <"$work/calls.out" | sed 's/ $//')"
[ "$status" = 0 ] || sed 's/^/#   /' "$work/calls.err"
provide a one : --jobs 4

# First and second
stop two
provide b two : --priority 10
check 'one comes before the other' known c demo.far 1 '^demo.far [^ ]* 10 '
calls c 20
is 'the first is asked' '0 two' "$status $(who)"
stop two
calls c 20
is 'the second takes its place' '0 one' "$status $(who)"
provide b two : --priority 10
check 'the first is back' known c demo.far 2
calls c 20
is '  and is asked again' '0 two' "$status $(who)"

# Killed
stop two
close_gate
provide b two "$gate" --priority 10 --jobs 10
check 'it does not answer' known c demo.far 2
: >"$work/one.log"
at c
seq 50 >"$work/lines"
start calls in_ns "$here" p2pbus-send -r --lines --idempotent --key "$work/caller.key" demo.far \
        <"$work/lines" 8<&-
taken 5 two
kill -KILL "$pid_two"
end two
end calls
is 'calls that may be repeated go on when their provider is killed' 0 "$status"
numbers "$work/calls.out" >"$work/numbers"
check '  each has one answer, in order' cmp "$work/lines" "$work/numbers"
sort "$work/one.log" >"$work/once"
sort -u "$work/once" >"$work/numbers"
check '  of the other, which was asked once' cmp "$work/numbers" "$work/once"
provide b two "$gate" --priority 10 --jobs 10
check 'it is back' known c demo.far 2
at c
start call in_ns "$here" p2pbus-send -r --key "$work/caller.key" demo.far once 8<&-
taken 1 two
: >"$work/one.log"
kill -KILL "$pid_two"
end two
end call
is 'one that may not be repeated fails' 1 "$status"
is '  and nobody else is asked' 0 "$(lines "$work/one.log")"

# Cut off
provide b two "[ \"\$line\" = first ] || $gate" --priority 10 --jobs 10
check 'it is back once more' known c demo.far 2
at c
exec 9<>"$work/feed"
start calls in_ns "$here" p2pbus-send -r --lines -t 300 --key "$work/caller.key" demo.far \
        <"$work/feed" 8<&- 9<&-
echo first >&9
wait_line "$work/calls.out" '^two first$' # they have met
echo second >&9
exec 9>&-
start call in_ns "$here" p2pbus-send -r -t 300 --key "$work/other.key" --idempotent demo.far third 8<&-
taken 3 two
: >"$work/one.log"
cut_wire b
end call
is 'a call that may be repeated leaves a host that is cut off' '0 one third' "$status $(cat "$work/call.out")"
mend_wire b
open_gate
end calls
is 'one that may not waits for it' '0 two second' "$status $(sed -n 2p "$work/calls.out")"
[ "$status" = 0 ] || sed 's/^/#   /' "$work/calls.err"
is '  and nobody else is asked' third "$(cat "$work/one.log")"

# Nobody can say
run on a p2pbus-send -r --key "$work/caller.key" demo.nobody hello
is 'that nobody has a name is said at once' 3 "$status"
kill -KILL "$pid_relay"
end relay
wait_line "$work/bridge_a.err" 'link down'
run on a p2pbus-send -r -t 3 --key "$work/caller.key" demo.nobody hello
is 'not while no relay is there to know' 4 "$status"
at a
start call in_ns "$here" p2pbus-send -r --key "$work/caller.key" demo.nobody hello
again relay 2
end call
is 'who waited hears it from the next one' 3 "$status"
finish
