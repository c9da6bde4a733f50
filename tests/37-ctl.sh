#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Goal of this test: p2pbusctl tells what is, for people, for scripts, and as one JSON value.

# shellcheck disable=SC1091,SC2016,SC2119,SC2154 # names set by lib.sh, scripts for other shells
. "${top_srcdir:-.}/tests/lib.sh"
start_bus
tab=$(printf '\t')
start_recv r --name test.alpha --name test.beta

run p2pbusctl status
is 'status' 0 "$status"
check '  a key and a value a line' sh -c '! grep -vqE "^[a-z_]+	[^	]+$" "$1"' sh "$work/out"
is '  its socket' "$P2PBUS_SOCKET" "$(sed -n "s/^socket$tab//p" "$work/out")"
check '  its version' grep -q "^version$tab" "$work/out"

run p2pbusctl list
is 'list' 0 "$status"
row=$(grep "^$full_r$tab" "$work/out")
is '  a process: uid' "$(id -u)" "$(echo "$row" | cut -f 2)"
is '  its process id' "$pid_r" "$(echo "$row" | cut -f 3)"
is '  its names' test.alpha,test.beta "$(echo "$row" | cut -f 6 | tr , '\n' | sort | tr '\n' , | sed 's/,$//')"
check '  fields are separated by tabs, and there are no headings' sh -c '! awk -F "\t" "NF != 7" "$1" | grep -q .' sh "$work/out"

run p2pbusctl peers
is 'peers' 0 "$status"
check '  fields of the daemon, and of the process' sh -c '! awk -F "\t" "NF != 24" "$1" | grep -q .' sh "$work/out"
check '  this one is there' grep -q "^$full_r$tab$pid_r$tab" "$work/out"

run p2pbusctl audit
is 'audit' 0 "$status"
check '  fields, of which the difference is none' sh -c '! awk -F "\t" "NF != 14 || \$12 !~ /^(0|-)\$/" "$1" | grep -q .' sh "$work/out"

start_recv sums --name test.sums --exec sh -c '
        case $(cat) in
        "{\"method\": \"add\", \"payload\": [1, 2]}") echo "{\"payload\": {\"sum\": 3}}" ;;
        "{\"method\": \"nothing\"}") echo "{}" ;;
        "{\"method\": \"text\"}") echo text ;;
        "{\"method\": \"list\"}") echo "[]" ;;
        *) exit 7 ;;
        esac'
run p2pbusctl call test.sums add '[1,2]'
is 'call' '0 {"sum": 3}' "$status $(cat "$work/out")"
run p2pbusctl call "$dest_sums" nothing --json
is '  without payloads' '0 null' "$status $(cat "$work/out")"
run p2pbusctl call test.sums text
is '  a reply that is no JSON' 1 "$status"
check '    is told' said 'no answer to a call'
run p2pbusctl call test.sums list
is '  or no object' 1 "$status"
run p2pbusctl call test.sums other 1
is '  an error' 1 "$status"
check '    is told, with its status' said 'test.sums: error reply 7: '
run p2pbusctl call test.sums add '[1,'
is '  a payload that is no JSON' 2 "$status"
run p2pbusctl call no.such add
is '  nobody there' 3 "$status"
run p2pbusctl call test.sums
is '  no method' 2 "$status"
stop sums

start watcher p2pbusctl watch
wait_line "$work/watcher.out" "here$tab$full_r${tab}test.alpha"
check 'watch tells who is there' grep -q "here$tab$full_r$tab-" "$work/watcher.out"
start_recv passing --name test.passing
wait_line "$work/watcher.out" "here$tab$full_passing${tab}test.passing"
check '  who comes' grep -q "here$tab$full_passing$tab-" "$work/watcher.out"
stop passing
wait_line "$work/watcher.out" "gone$tab$full_passing$tab-"
check '  and who goes, with its name before it' sh -c '
        grep gone "$0" | cut -f 4 | tr "\n" " " | grep -q "^test.passing - $"' "$work/watcher.out"
stop watcher
run p2pbusctl -c 1 --json watch test.beta
is '  one line of one name, as JSON' 0 "$status"
check '    which is there' grep -q '^{"time_usec": [0-9]*, "event": "here", "full": "'"$full_r"'", "name": "test.beta", "comm": null, "path": "local"}$' "$work/out"
run p2pbusctl -c 1 watch
is '  as many lines as are wanted, of more' '0 1' "$status $(lines "$work/out")"
start watcher p2pbusctl watch test.passing
start_recv passing --name test.passing
wait_line "$work/watcher.out" "here$tab$full_passing${tab}test.passing${tab}-${tab}local\$"
stop passing
wait_line "$work/watcher.out" "gone$tab$full_passing${tab}test.passing${tab}-${tab}local\$"
is '  who provides a name comes and goes' 2 "$(lines "$work/watcher.out")"
stop watcher
# shellcheck disable=SC2016 # the inner shell's
run timeout "$deadline" sh -c 'p2pbusctl watch test.beta | head -n 1'
is '  and it ends when nobody reads it' 0 "$status"
run p2pbusctl -t 0.1 watch 0123456789abcdef
is '  nothing of who is not there' '0 ' "$status $(cat "$work/out")"
run p2pbus-send --topic p2pbus.process.here x
is '  and nobody but the daemon tells it' 5 "$status"

run p2pbusctl resolve test.alpha
is 'resolve a name' "0 $full_r local" "$status $(cat "$work/out")"
run p2pbusctl resolve "$dest_r"
is 'resolve a PID' "0 $full_r local" "$status $(cat "$work/out")"
run p2pbusctl --json resolve 0123456789abcdef
is 'resolve who is not there' 3 "$status"
check '  is an answer too' grep -q '^{"destination": "0123456789abcdef", "full": null, "path": null' "$work/out"

run p2pbusctl ping -c 3 -i 0 test.alpha
is 'ping' 0 "$status"
is '  a line each and two of summary' 5 "$(lines "$work/out")"
check '  how many' grep -q '3 sent, 3 answered, 0 lost' "$work/out"
check '  how long' grep -qE '^round trip min/avg/max [0-9.]+/[0-9.]+/[0-9.]+ ms$' "$work/out"
kill -STOP "$pid_r"
run p2pbusctl ping -c 2 -i 0 -t 0.2 "$dest_r"
is '  of who is stopped' 4 "$status"
check '  counts what is lost' grep -q '2 sent, 0 answered, 2 lost' "$work/out"
kill -CONT "$pid_r"

run p2pbusctl metrics
is 'metrics' 0 "$status"
check '  each line is one of OpenMetrics' sh -c '! grep -vqE "^(# (TYPE|HELP) p2pbusd_[a-z_]+ .+|p2pbusd_[a-z_]+(\{reason=\"[^\"]+\"\})? [0-9]+|# EOF)$" "$1"' sh "$work/out"
is '  the last is its end' '# EOF' "$(tail -n 1 "$work/out")"
check '  a gauge' grep -qE '^p2pbusd_processes [0-9]+$' "$work/out"
was=$(sed -n 's/^p2pbusd_packets_routed_total //p' "$work/out")
p2pbus-send "$dest_r" x
p2pbusctl metrics >"$work/out"
check '  a counter counts' [ "$(sed -n 's/^p2pbusd_packets_routed_total //p' "$work/out")" -gt "$was" ]

run p2pbusctl show-config
is 'show-config' 0 "$status"
check '  has sections' grep -qx '\[Limits\]' "$work/out"
check '  and defaults' grep -qx 'MaxMessage=64M' "$work/out"
grep -E '^[A-Za-z]+=[0-9]' "$work/out" | sort >"$work/defaults"
is '  which are those of the manual' \
        "$(sed -nE 's/^#([A-Z][A-Za-z]*=[0-9].*)/\1/p' "$top_srcdir/daemon/p2pbusd.conf" | sort)" \
        "$(cat "$work/defaults")"
mv "$work/out" "$work/shown.conf"
run p2pbusd --check-config --config "$work/shown.conf" --user --socket "$work/none" --state-dir "$work/none.state"
is '  which the daemon takes as a file' 0 "$status"

run p2pbusctl reload
is 'reload' 0 "$status"

# As JSON: exactly one value, judged by whatever is there
if command -v python3 >/dev/null; then
        one_value() {
                python3 -c 'import json, sys; json.load(sys.stdin)' <"$work/out"
        }
elif command -v jq >/dev/null; then
        one_value() {
                [ "$(jq -s length <"$work/out")" = 1 ]
        }
else
        one_value() {
                [ "$(lines "$work/out")" = 1 ]
        }
fi
p2pbusctl keygen "$work/key" >/dev/null
for words in status list peers audit metrics show-config 'resolve test.alpha' 'ping -c 1 test.alpha' reload \
        "keygen $work/key2" "id $work/key" 'resolve no.such' 'ping -c 1 -t 0.1 0123456789abcdef'; do
        # shellcheck disable=SC2086 # a verb and its operand
        run p2pbusctl $words --json
        check "one JSON value: $words" one_value
done
p2pbusctl list --json >"$work/out"
check 'names are a list there' grep -q '"names": \["test\.[a-z]*", "test\.[a-z]*"\]' "$work/out"

# On a terminal
if command -v script >/dev/null; then
        script -qec 'p2pbusctl list' /dev/null </dev/null >"$work/out" 2>"$work/err" || true
        check 'on a terminal there are headings' grep -q 'PROCESS .*NAMES' "$work/out"
        NO_COLOR=1 script -qec 'p2pbusctl list' /dev/null </dev/null >"$work/out" 2>"$work/err" || true
        check 'and no bold ones with NO_COLOR' sh -c '! grep -q "$(printf "\033")\[" "$1"' sh "$work/out"
else
        skip 'on a terminal there are headings' script
fi

# Realms need no bus.
realm=$(p2pbusctl realm keygen "$work/realm.key")
subject=$(p2pbusctl keygen "$work/subject.key")
run p2pbusctl realm grant --realm-key "$work/realm.key" --name 'demo.*' --days 30 "$subject"
is 'a realm grants a name' 0 "$status"
cp "$work/out" "$work/grant"
run p2pbusctl realm show "$work/grant"
is 'which can be read' "0 realm $realm subject $subject name demo.*" \
        "$status $(head -n 3 "$work/out" | tr '\t\n' '  ' | sed 's/ $//')"
run p2pbusctl --json realm show "$work/grant"
is 'as JSON, too' 1 "$(grep -c "\"realm\": \"$realm\", .*\"name\": \"demo.\*\"" "$work/out")"
sed 's/.$/-/' "$work/grant" >"$work/bad.grant"
run p2pbusctl realm show "$work/bad.grant"
is 'a changed one is none' 1 "$status"
run p2pbusctl realm show "$work/realm.key"
is 'nor is a key' 1 "$status"
run p2pbusctl realm grant --realm-key "$work/realm.key" --name demo "$subject"
is 'a name has a dot' 2 "$status"
run p2pbusctl realm grant --realm-key "$work/realm.key" --name demo.x "${subject%%:*}"
is 'a grant is for a whole key' 2 "$status"
run p2pbusctl realm grant --name demo.x "$subject"
is 'and of a realm' 2 "$status"
run p2pbusctl realm grant --realm-key "$work/none.key" --name demo.x "$subject"
is 'whose key is there' 1 "$status"
run p2pbusctl realm grant --realm-key "$work/realm.key" --name demo.x --days 401 "$subject"
is 'for 400 days at most' 2 "$status"
run p2pbusctl realm revoke "$work/grant"
is 'and that is all' 2 "$status"
run p2pbusctl --days 3 list
is 'other verbs have no such options' 2 "$status"
run p2pbus-recv -t 0 --grant "$work/grant" --name other.x
is 'a grant is for a name' 2 "$status"
run p2pbus-recv -t 0 --key "$work/realm.key" --grant "$work/grant" --name demo.x
is 'and for a key' 2 "$status"
run p2pbus-recv -t 0 --key "$work/subject.key" --grant "$work/grant" --name demo.x --name demo.y
is 'a receiver with both has both' 0 "$status"
finish
