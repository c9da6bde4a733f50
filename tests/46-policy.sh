#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Goal of this test: people can write policy, check it, see what it does, and whoever is denied hears why.

# shellcheck disable=SC1091,SC2016,SC2119,SC2154 # names set by lib.sh, scripts for other shells
. "${top_srcdir:-.}/tests/lib.sh"

chmod 755 "$work"
mkdir -m 755 "$work/policy.d"
# rule NAME: the policy file NAME is what stdin has
rule() {
        cat >"$work/policy.d/$1"
        chmod 644 "$work/policy.d/$1"
}

run p2pbusd --user --check-config --socket "$work/s" --state-dir "$work/t" --policy-dir "$work/policy.d"
is 'no file is a good policy' 0 "$status"
rule 50-test.policy <<'END'
[Own]
Nmae=com.example.*
END
run p2pbusd --user --check-config --socket "$work/s" --state-dir "$work/t" --policy-dir "$work/policy.d"
is 'a misspelt key is none' 1 "$status"
check 'and is named' said 'p2pbusd: .*/50-test.policy:2: unknown key Nmae= in section \[Own\]'
run p2pbusd --user --socket "$work/s" --state-dir "$work/t" --policy-dir "$work/policy.d"
is 'no daemon starts with it' 1 "$status"

rule 50-test.policy <<'END'
[Own]
DenyName=com.example.*
END
rule 60-orders.policy <<'END'
[Match]
User=orders
Unit=orders@*.service
Key=e85004f63798e2c0:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo

[Own]
Name=com.example.orders com.example.orders.*

[Talk]
SendTo=name:com.example.* same-user
ReceiveFrom=user:web group:billing
DenySendTo=name:com.example.hr.*

[Network]
Publish=yes
Send=name:com.example.*
ReceiveFrom=granted

[Role]
Gateway=no
Monitor=none
Admin=no

[Limits]
Bytes=32M
Rings=64
END
run p2pbusd --user --check-config --socket "$work/s" --state-dir "$work/t" --policy-dir "$work/policy.d"
is 'limits may be for a unit and a key' 0 "$status"
echo 'Connections=3' >>"$work/policy.d/60-orders.policy"
run p2pbusd --user --check-config --socket "$work/s" --state-dir "$work/t" --policy-dir "$work/policy.d"
is 'but not those decided before' 1 "$status"
check 'which are named' said '60-orders.policy:27: Connections= is decided before a process has attached'
rm "$work/policy.d/60-orders.policy"
start_bus --policy-dir "$work/policy.d"
run p2pbusctl policy explain --own com.example.orders
is 'what is denied is told beforehand' 5 "$status"
is 'with its line' "denied	$work/policy.d/50-test.policy:2	[Own] DenyName=com.example.*" \
        "$(cat "$work/out")"
run p2pbusctl policy explain --own com.other.orders
is 'so is what is allowed' 0 "$status"
is 'with the line of what is compiled in' 'allowed	(built-in) 40-owner.policy:9	[Own] Name=*' \
        "$(cat "$work/out")"
run p2pbusctl --json policy explain --own com.example.orders
is 'and in JSON' "{\"allowed\": false, \"place\": \"$work/policy.d/50-test.policy:2\", \"rule\": \"[Own] DenyName=com.example.*\"}" \
        "$(cat "$work/out")"
run p2pbusctl policy explain
check 'all that holds is a line each' grep -q "^Own	DenyName	com.example.\*	$work/policy.d/50-test.policy:2\$" "$work/out"
run p2pbusctl policy explain --own com.example.orders --monitor
is 'two questions are one too many' 2 "$status"
run p2pbusctl list --own com.example.orders
is 'and other verbs have none' 2 "$status"

run p2pbus-recv -t 0 --name com.example.orders
is 'recv may not have the name' 5 "$status"
check 'and says by which line' said '50-test.policy:2: \[Own\] DenyName=com.example'

start_recv orders --name com.other.orders
run p2pbusctl resolve com.other.orders
is 'a name is there' 0 "$status"
rule 60-test.policy <<'END'
[Own]
DenyName=com.other.*
END
run p2pbusctl reload
is 'and a reload' 0 "$status"
run p2pbusctl resolve com.other.orders
is 'takes it away' 3 "$status"
check 'and its program says so, with the line' wait_line "$work/orders.err" \
        '^p2pbus-recv: name com.other.orders: taken away: .*60-test.policy:2: \[Own\] DenyName=com.other.\*; it comes back when policy allows it$'
rm "$work/policy.d/60-test.policy"
run p2pbusctl reload
check 'without the rule it is given back' wait_line "$work/orders.err" \
        '^p2pbus-recv: name com.other.orders: given back$'
run p2pbusctl resolve com.other.orders
is 'and is there again' 0 "$status"
rule 60-test.policy <<'END'
[Own]
DenyName=com.other.*
END
run p2pbusctl reload
echo 'nonsense' | rule 70-test.policy
run p2pbusctl reload
is 'a bad file does nothing' 1 "$status"
run p2pbusctl policy explain --own com.other.orders
is 'the policy of before holds' 5 "$status"
rm "$work/policy.d/70-test.policy"
stop orders

# Limits of a process with a key are its user's.
rule 70-test.policy <<END
[Match]
Key=$(p2pbusctl keygen "$work/limited.key")

[Limits]
Bytes=32M
END
run p2pbusctl reload
run p2pbusctl policy explain
is 'limits of a key that is not here do not hold' 0 "$(grep -c '^Limits' "$work/out")"
start_recv limited --key "$work/limited.key"
run p2pbusctl policy explain
check 'those of one that is are told' grep -q "^Limits	Bytes	32M	$work/policy.d/70-test.policy:5\$" "$work/out"
stop limited
rm "$work/policy.d/70-test.policy"

# The gateway's role.
relay=$(p2pbusctl keygen "$work/relay.key")
start bridge p2pbus-bridge --key "$work/bridge.key" --relay "ws://127.0.0.1:1#$relay"
wait_line "$work/bridge.err" 'attached to the bus'
rule 70-test.policy <<'END'
[Role]
Gateway=no
END
run p2pbusctl reload
check 'a bridge hears that it may not be the gateway any more' wait_line "$work/bridge.err" \
        'does not allow us to be the gateway any more: .*70-test.policy:2: \[Role\] Gateway=no'
rm "$work/policy.d/70-test.policy"
run p2pbusctl reload
attached_twice() {
        timeout "$deadline" tail -n +1 -f "$work/bridge.err" | awk '/attached to the bus/ && ++n == 2 { print n; exit }' >"$work/n"
        [ -s "$work/n" ]
}
check 'and is it again when it may' attached_twice
stop bridge
stop bus

# Two users, one bus.
if ! [ "$(id -u)" = 0 ] ||
        ! setpriv --reuid=65534 --regid=65534 --clear-groups p2pbus-send --version >/dev/null 2>&1; then
        skip 'users are told why they may not talk' 'root, and a build directory that others may read'
        finish
        exit 0
fi
stranger() {
        XDG_STATE_HOME=$work/strange setpriv --reuid=65534 --regid=65534 --clear-groups "$@"
}
rm "$work/policy.d/"*.policy
mkdir -m 755 "$work/all"
mkdir "$work/strange"
chown 65534 "$work/strange"
P2PBUS_SOCKET=$work/all/socket
start all p2pbusd --system --socket "$P2PBUS_SOCKET" --state-dir "$work/all/state" --policy-dir "$work/policy.d"
wait_line "$work/all.err" '^Listening on '
start_recv there --local --name com.example.there
run stranger p2pbus-send --local "$dest_there" x
is 'a stranger is refused' 5 "$status"
check 'and told by which line' said \
        "00-default.policy:10: the receiver's \[Talk\] ReceiveFrom=same-user root does not have it"
for how in 'p2pbus-send --local -r' 'p2pbusctl --local call'; do
        # shellcheck disable=SC2086 # several words
        run stranger $how "$dest_there" x
        is "so is who asks: $how" 5 "$status"
        check 'by the same line' said "00-default.policy:10: the receiver's .Talk. ReceiveFrom"
done
run stranger p2pbusctl policy explain --call com.example.there
is 'who asks before hears the same' 5 "$status"
run stranger p2pbusctl policy explain --uid root
is 'nobody asks about root' 5 "$status"
run p2pbusctl policy explain --uid 65534 --call com.example.there
is 'and root about everybody' 5 "$status"
check 'the log names the pair once' [ "$(grep -c 'may not send to .*reason=policy' "$work/all.err")" = 1 ]

rule 50-there.policy <<'END'
[Match]
User=root

[Talk]
ReceiveFrom=user:65534
END
run p2pbusctl reload
is 'a file lets it in' 0 "$status"
run stranger p2pbus-send --local "$dest_there" x
is 'and a stranger is no stranger any more' 0 "$status"

# Units of systemd are control groups: here is one.
unit=p2pbus-test-$$.service
for top in /sys/fs/cgroup/unified /sys/fs/cgroup; do
        [ ! -w "$top/cgroup.procs" ] || break
done
rule 60-unit.policy <<END
[Match]
Unit=$unit

[Own]
DenyName=com.example.*
END
run p2pbusctl reload
in_unit=$work/in-unit
cat >"$in_unit" <<END
#!/bin/sh
echo 0 >"$top/$unit/cgroup.procs" && exec "\$@"
END
chmod 755 "$in_unit"
trap 'clean_up; rmdir "$top/$unit" 2>/dev/null || true' EXIT
if grep -q SO_PEERPIDFD "$work/all.err" || ! [ -w "$top/cgroup.procs" ] ||
        ! mkdir "$top/$unit" 2>/dev/null || ! "$in_unit" true 2>/dev/null; then
        skip 'rules are for units' 'Linux 6.5 and control groups that can be made'
        finish
        exit 0
fi
run "$in_unit" p2pbusctl policy explain --own com.example.orders
is 'a unit is told what it may not' 5 "$status"
check 'by the rule for it' grep -q '60-unit.policy:5	.Own. DenyName=com.example' "$work/out"
run "$in_unit" p2pbus-recv --local -t 0 --name com.example.orders
is 'nor may it' 5 "$status"
run p2pbus-recv --local -t 0 --name com.example.orders
is 'others may' 0 "$status"

rm "$work/policy.d/60-unit.policy"
run p2pbusctl reload
start early "$in_unit" p2pbus-recv --local --name com.example.early
wait_line "$work/early.err" '^listening as '
rule 60-unit.policy <<END
[Match]
Unit=$unit

[Own]
DenyName=com.example.early
END
run p2pbusctl reload
check 'a rule for a unit is also for who was there before it' wait_line "$work/early.err" \
        'name com.example.early: taken away: .*60-unit.policy:5: '
stop early
finish
