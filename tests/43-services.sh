#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Goal of this test: shells provide services, several a name, and ask one of them or all.

# shellcheck disable=SC1091,SC2016,SC2119,SC2154 # names set by lib.sh, scripts for other shells
. "${top_srcdir:-.}/tests/lib.sh"
start_bus

# The manual's own line, and beside it the one that it stands by for.
example=$(sed -n 's/^\.Dl \(p2pbus-recv --name demo\.upper .*\)$/\1/p' "$top_srcdir/man/p2pbus-recv.1")
eval "set -- ${example#p2pbus-recv }"
start_recv standby "$@"
run p2pbus-send -r demo.upper 'hello'
is 'a command is a service' '0 HELLO' "$status $(cat "$work/out")"
start_recv first --name demo.upper --priority 10 --jobs 4 --exec sh -c 'tr a-z A-Z; echo !'
run p2pbus-send -r demo.upper 'hello'
is 'the lowest priority number is asked' '0 HELLO!' "$status $(cat "$work/out")"
run p2pbus-send -r --mode failover demo.upper 'hello'
is 'in the other mode too' '0 HELLO!' "$status $(cat "$work/out")"
run p2pbusctl services
is 'who they are' "0
demo.upper ${dest_standby%%[-:]*} 200 100 ready p2pbus-recv $(id -u) stand-by
demo.upper ${dest_first%%[-:]*} 10 100 ready p2pbus-recv $(id -u) -" \
        "$status
$(tr '\t' ' ' <"$work/out" | sed 's/:[^ ]*//')"
run p2pbusctl --json services
is 'as JSON, too' 0 "$status"
check '  with what they say' grep -q '"priority": 200, "weight": 100, "state": "ready", "comm": "p2pbus-recv", "uid": [0-9]*, "metadata": "stand-by"' "$work/out"

run p2pbus-send -r --all demo.upper 'all'
is 'all answer' '0 ALL ALL!' "$status $(sort "$work/out" | tr '\n' ' ' | sed 's/ $//')"
run p2pbus-send -r --all --json demo.upper 'all'
is 'and are told apart' "0 $(printf '%s\n' "${dest_standby%%[-:]*}" "${dest_first%%[-:]*}" | sort | tr '\n' ' ')" \
        "$status $(sed 's/.*"from": "\([0-9a-f]*\)".*/\1/' "$work/out" | sort | tr '\n' ' ')"
start_recv broken --name demo.upper --exec sh -c 'exit 3'
run p2pbus-send -r --all demo.upper 'all'
is 'one that fails is told of' '1 ALL ALL!' "$status $(sort "$work/out" | tr '\n' ' ' | sed 's/ $//')"
check '  by its PID' said "${dest_broken%%[-:]*}: error reply 3: sh ended with status 3"
kill "$pid_broken"
end broken

# Until everybody can know that one drains.
wait_drain() {
        n_left=2000
        until p2pbusctl services | grep -q '	drain	' || [ "$n_left" = 0 ]; do
                n_left=$((n_left - 1))
        done
}

# Drained: what it has it finishes, and nobody notices but that another answers. The second one waits for
# the first to have its request, and that one for a word from here.
mkfifo "$work/begun" "$work/go"
start_recv slow --name demo.upper --priority 1 --exec sh -c "cat >/dev/null; echo >'$work/begun'; cat '$work/go'; echo slow"
p2pbus-send -r demo.upper 'take your time' >"$work/slow.reply" 2>&1 &
sender=$!
read -r _ <"$work/begun"
kill "$pid_slow"
wait_drain
run p2pbus-send -r demo.upper 'hello'
is 'who drains is not asked' '0 HELLO!' "$status $(cat "$work/out")"
echo >"$work/go"
wait "$sender" && status=0 || status=$?
is 'and finishes what it has' '0 slow' "$status $(tr -d '\n' <"$work/slow.reply")"
end slow
is 'then it ends as it always does' 143 "$status"

# A second signal does not wait.
start_recv stuck --name demo.stuck --exec sh -c "echo >'$work/begun'; exec sleep 100"
p2pbus-send -r demo.stuck x >/dev/null 2>&1 &
sender=$!
read -r _ <"$work/begun"
kill "$pid_stuck"
wait_drain
kill "$pid_stuck"
end stuck
is 'a second signal ends it at once' 143 "$status"
wait "$sender" && status=0 || status=$?
is 'and the sender learns that nobody answers' 1 "$status"

run p2pbus-send -r demo.stuck x
is 'nobody is there' 3 "$status"
run p2pbus-send --all demo.stuck x
is 'of nobody, all' 3 "$status"
run p2pbus-send --all --json demo.upper x
is 'one way to all, delivered' '0 2' "$status $(grep -c '"result": "delivered"' "$work/out")"
for wrong in '--mode fast demo.upper x' '--mode balance 0123456789abcdef x' '--all 0123456789abcdef x' \
        '--all --lines demo.upper' '--all --no-wait demo.upper x'; do
        # shellcheck disable=SC2086 # words
        run p2pbus-send $wrong
        is "p2pbus-send $wrong" 2 "$status"
done
for wrong in '--priority 1' '--name a.b --priority 65536' '--name a.b --weight 0' '--name a.b --weight x'; do
        # shellcheck disable=SC2086 # words
        run p2pbus-recv -t 0 $wrong
        is "p2pbus-recv $wrong" 2 "$status"
done
finish
