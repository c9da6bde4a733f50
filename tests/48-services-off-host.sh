#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Goal of this test: a service on one host is called by its name from another, if its key is pinned or a
# realm granted it the name, and not otherwise; who is on the caller's host is asked first; who dies or
# drains is not asked any more; and all can be asked at once.
# shellcheck source=tests/lib.sh source=tests/hosts.sh disable=SC2154
. "$top_srcdir/tests/lib.sh"
. "$top_srcdir/tests/hosts.sh"
need_net

# provide HOST NAME OPTION...: a provider of demo.far there that answers its name and the request
provide() {
        at "$1"
        name=$2
        shift 2
        start "$name" in_ns "$here" p2pbus-recv --name demo.far --key "$work/$name.key" "$@" \
                --exec sh -c "printf '$name '; cat"
        wait_line "$work/$name.err" '^listening as '
}

# known N PATTERN: until host a knows of N providers whose lines in the list match
known() {
        n_left=2000
        until on a p2pbusctl resolve demo.far >/dev/null 2>&1 || [ "$1" = 0 ] || [ "$n_left" = 0 ]; do
                n_left=$((n_left - 1))
        done
        until [ "$(on a p2pbusctl services | grep -c "$2")" = "$1" ]; do
                n_left=$((n_left - 1))
                [ "$n_left" -gt 0 ] || return 1
                on a p2pbusctl resolve demo.far >/dev/null 2>&1 || true
        done
}

call() {
        run on a p2pbus-send -r --key "$work/caller.key" "$@"
}

# names LINE...: the [Names] of host a
names() {
        printf '[Names]\n' >"$work/a/p2pbusd.conf"
        [ $# -eq 0 ] || printf '%s\n' "$@" >>"$work/a/p2pbusd.conf"
}

reload() {
        names "$@"
        on a p2pbusctl reload
}

for key in one two near caller other; do
        eval "$key=\$(p2pbusctl keygen \"$work/$key.key\")"
done
mkdir -p "$work/a"
names
make_net 5 0
start_relay relay --listen "$address_a:0" --listen "$address_b:0"
start_host a "$url_relay"
start_host b "$(sed -n 's/^relay \(ws.*\)/\1/p' "$work/relay.err" | sed -n 2p)"

# Pins
provide b one --metadata 'far away'
call demo.far hello
is 'nobody is believed without pin or grant' 3 "$status"
reload "Pin=demo.far $other"
call demo.far hello
is 'nor with a pin of another key' 3 "$status"
reload "Pin=demo.else $one"
call demo.far hello
is 'nor with a pin for another name' 3 "$status"
reload "Pin=demo.far $one"
call demo.far hello
is 'one that is pinned is asked' '0 one hello' "$status $(cat "$work/out")"
is 'it is in the list' "demo.far $one 100 100 remote - - far away" \
        "$(on a p2pbusctl services | tr '\t' ' ')"
reload "Pin=demo.* $one"
call demo.far hello
is 'a pin may be for all names below' '0 one hello' "$status $(cat "$work/out")"
run on a p2pbus-send -r --local demo.far hello
is 'who stays on its host asks nobody else' 3 "$status"
reload 'TrustNames=any'
call demo.far hello
is 'anybody may be believed' '0 one hello' "$status $(cat "$work/out")"
reload 'TrustNames=pinned' "RealmKey=$other"
call demo.far hello
is 'or only who is pinned' 3 "$status"
stop one

# Grants
realm=$(p2pbusctl realm keygen "$work/realm.key")
p2pbusctl realm keygen "$work/strange.key" >/dev/null
grant() {
        p2pbusctl realm grant --realm-key "$work/$1.key" --name "$2" "$3" >"$work/$4.grant"
}
grant realm demo.far "$one" one
grant realm 'demo.*' "$two" two
grant strange demo.far "$one" strange
grant realm demo.else "$one" else
run p2pbusctl realm show "$work/two.grant"
is 'a grant can be read' "realm $realm
subject $two
name demo.*" "$(tr '\t' ' ' <"$work/out" | head -n 3)"
reload "RealmKey=$realm"
provide b one
call demo.far hello
is 'a realm believes nobody without its grant' 3 "$status"
stop one
provide b one --grant "$work/strange.grant"
call demo.far hello
is 'nor with that of another realm' 3 "$status"
stop one
at b
run on b p2pbus-recv --name demo.far --key "$work/one.key" --grant "$work/two.grant"
is 'the grant of another key is not taken' 2 "$status"
run on b p2pbus-recv --name demo.far --key "$work/one.key" --grant "$work/else.grant"
is 'nor that of another name' 2 "$status"
provide b one --grant "$work/one.grant"
check 'with a grant it is known' known 1 'remote'
call demo.far hello
is 'and asked' '0 one hello' "$status $(cat "$work/out")"

# Several
provide b two --grant "$work/two.grant" --priority 200
check 'another one comes' known 2 'remote'
kill -KILL "$pid_one"
end one
call demo.far hello
is 'the next one answers for one that died' '0 two hello' "$status $(cat "$work/out")"
provide a near --priority 200
call demo.far hello
is 'of one priority the nearest is asked' '0 near hello' "$status $(cat "$work/out")"
run on a p2pbus-send -r --all --key "$work/caller.key" demo.far all
is 'all of both hosts can be asked' '0 near all two all' \
        "$status $(sed 's/all/all\n/g' "$work/out" | sed '/^$/d' | sort | tr '\n' ' ' | sed 's/ $//')"

# Drained, or gone
stop near
call demo.far hello
is 'who has gone from here is not asked' '0 two hello' "$status $(cat "$work/out")"
stop two
check 'nobody is left' known 0 'remote'
call demo.far hello
is 'nobody is there' 3 "$status"

# The relay dies, and its bridges come back with all names
provide b one --grant "$work/one.grant"
check 'one more time' known 1 'remote'
kill -KILL "$pid_relay"
end relay
# shellcheck disable=SC2086 # words
start relay in_ns "$ns_r" p2pbus-relay --config "$work/relay/empty.conf" \
        --state-dir "$work/relay" --key "$work/relay/key" $allow \
        --listen "$(echo "$url_relay" | sed 's,^ws://\([^#]*\)#.*,\1,')" \
        --listen "$(sed -n 's/^.*link up ws:\/\/\([^ ]*\).*/\1/p' "$work/bridge_b.err" | head -n 1)"
for host in a b; do wait_count "$work/bridge_$host.err" 'link up ' 2; done
check 'a relay that is new learns the names again' known 1 'remote'
call demo.far hello
is 'and they are served' '0 one hello' "$status $(cat "$work/out")"
finish
