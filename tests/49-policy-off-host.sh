#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Goal of this test: what policy denies between two hosts, at either end, is refused, and who is denied
# hears by whom, and on his own host by which line.
# shellcheck source=tests/lib.sh source=tests/hosts.sh disable=SC2016,SC2154
. "$top_srcdir/tests/lib.sh"
. "$top_srcdir/tests/hosts.sh"

# rule HOST: what stdin has is policy there, from now on if the bus runs
rule() {
        mkdir -p "$work/$1/config/p2pbus/policy.d"
        cat >"$work/$1/config/p2pbus/policy.d/50-test.policy"
        [ ! -S "$work/$1/socket" ] || on "$1" p2pbusctl reload
}

# b_said RULE: its daemon's log has that line of the policy
b_said() {
        grep -q "may not .*50-test.policy:$1" "$work/bus_b.err" && return 0
        echo "# no '$1' in:"
        sed 's/^/#   /' "$work/bus_b.err"
        return 1
}

call() {
        run on a p2pbus-send -r -t 10 --key "$work/caller.key" demo.far hello
}

for key in far caller other; do eval "$key=\$(p2pbusctl keygen \"$work/$key.key\")"; done
make_net_if_possible 5 1
start_relay relay --listen "$address_r:0"
for host in a b; do
        mkdir -p "$work/$host"
        printf '[Names]\nTrustNames=any\n' >"$work/$host/p2pbusd.conf"
        rule "$host" </dev/null
        XDG_CONFIG_HOME=$work/$host/config
        export XDG_CONFIG_HOME
        start_host "$host" "$url_relay"
done
unset XDG_CONFIG_HOME
at b
start far in_ns "$here" p2pbus-recv --name demo.far --key "$work/far.key" --exec cat
wait_line "$work/far.err" '^listening as '
call
is 'it can be called' '0 hello' "$status $(cat "$work/out")"

# At the caller
rule a <<END
[Network]
Send=none
Send=key:$other
END
call
is 'who may only talk to somebody else is refused' 5 "$status"
check '  and hears by which line' said 'refused by policy: .*50-test.policy:3: \[Network\] Send=key:'
rule a <<END
[Network]
Send=none
Send=name:demo.far
END
call
is 'who may talk to this name is not' '0 hello' "$status $(cat "$work/out")"
rule a <<END
[Network]
Send=none
Send=granted
END
call
is 'nor is who may talk to providers' '0 hello' "$status $(cat "$work/out")"
run on a p2pbus-send -r -t 10 --key "$work/caller.key" "$far" hello
is '  but to nobody by the key alone' 5 "$status"
check '  and hears by which line' said 'refused by policy: .*50-test.policy:3: \[Network\] Send=granted'
rule a <<END
[Talk]
DenySendTo=remote
END
call
is 'who may not talk to other hosts is' 5 "$status"
check '  and hears by which line' said 'refused by policy: .*50-test.policy:2: \[Talk\] DenySendTo=remote'
rule a <<END
[Network]
Publish=no
END
call
is 'to who is not known there nobody is' 3 "$status"
check '  but may be' said 'on another host'
rule a </dev/null
call
is 'nothing is denied' '0 hello' "$status $(cat "$work/out")"

# At the provider
rule b <<END
[Network]
ReceiveFrom=none
ReceiveFrom=key:$other
END
call
is 'a provider that hears only somebody else refuses' 5 "$status"
check '  and its caller hears that it was that' said \
        "refused by policy, says the receiver, whose host's log has the rule; "
check '  by that line, says the log' b_said "3: \[Network\] ReceiveFrom=key:"
rule b <<END
[Network]
ReceiveFrom=none
ReceiveFrom=key:$caller
END
call
is 'it hears whom it may' '0 hello' "$status $(cat "$work/out")"
rule b <<END
[Talk]
DenyReceiveFrom=remote
END
call
is 'nobody of other hosts' 5 "$status"
check '  by that line, says the log' b_said '2: \[Talk\] DenyReceiveFrom=remote'
rule b <<END
[Network]
Publish=no
END
call
is 'what is not known to other hosts is not there' 3 "$status"
check '  by that line, says the log' b_said '2: \[Network\] Publish=no'
finish
