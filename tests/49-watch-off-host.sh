#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Goal of this test: who watches a name sees its providers on another host come and go, be it that they
# are killed, beside those of its own host; and a relay that dies and comes back is no news of them.
# shellcheck source=tests/lib.sh source=tests/hosts.sh disable=SC2154
. "$top_srcdir/tests/lib.sh"
. "$top_srcdir/tests/hosts.sh"
need_net

# provide HOST NAME: a provider of demo.far there
provide() {
        at "$1"
        start "$2" in_ns "$here" p2pbus-recv --name demo.far --key "$work/$2.key"
        wait_line "$work/$2.err" '^listening as '
}

# watch NAME OPTION...: host a watches demo.far
watch() {
        at a
        name=$1
        shift
        start "$name" in_ns "$here" p2pbusctl "$@" watch demo.far
}

# events NAME: what it saw, but when
events() {
        cut -f 2- "$work/$1.out"
}

# line EVENT FULL PATH
line() {
        printf '%s\t%s\tdemo.far\t-\t%s\n' "$@"
}

far=$(p2pbusctl keygen "$work/far.key")
near=$(p2pbusctl keygen "$work/near.key")
make_net 5 0
start_hosts_that_trust a b

watch watcher
watch local --local
provide b far
check 'a provider on another host comes' wait_count "$work/watcher.out" "$(line here "$far" remote)" 1
kill -KILL "$pid_far"
end far
check '  and goes, when it is killed' wait_count "$work/watcher.out" "$(line gone "$far" remote)" 1
provide b far
check '  and comes again' wait_count "$work/watcher.out" "$(line here "$far" remote)" 2
run on a p2pbusctl -c 1 --json watch demo.far
is 'who begins to watch sees it at once' 0 "$status"
check '  as JSON' grep -q '"event": "here", "full": "'"$far"'", "name": "demo.far", "comm": null, "path": "remote"}$' "$work/out"

kill -KILL "$pid_relay"
end relay
again relay 2
provide a near
check 'one of this host comes' wait_count "$work/watcher.out" "$(line here "$near" local)" 1
stop near
check '  and goes' wait_count "$work/watcher.out" "$(line gone "$near" local)" 1
stop far
check 'the other ends' wait_count "$work/watcher.out" "$(line gone "$far" remote)" 2
events watcher >"$work/found"
for event in here gone here; do line "$event" "$far" remote; done >"$work/expected"
for event in here gone; do line "$event" "$near" local; done >>"$work/expected"
line gone "$far" remote >>"$work/expected"
is 'all was told once, and nothing else' "$(cat "$work/expected")" "$(cat "$work/found")"
check 'who stays on its host has heard' wait_count "$work/local.out" "$(line gone "$near" local)" 1
is '  and sees nobody else' "$(grep local "$work/expected")" "$(events local)"
finish
