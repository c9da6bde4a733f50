#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Goal of this test: who is met on another host by a bare PID is kept, and can be forgotten.
# shellcheck source=tests/lib.sh source=tests/hosts.sh disable=SC2154
. "$top_srcdir/tests/lib.sh"
. "$top_srcdir/tests/hosts.sh"

peers=$XDG_STATE_HOME/p2pbus/peers
start_relay relay --listen 127.0.0.1:0
start_host a "$url_relay"
start_host b "$url_relay"

at b
full=$(p2pbusctl keygen "$work/b/key")
start_recv lasting -k "$work/b/key"
start_recv passing

at a
run p2pbus-send "$full" 'by its full form'
is 'sent to a full form' 0 "$status"
run p2pbus-send "$dest_passing" 'by its PID'
is 'sent to the PID of a key for one run' 0 "$status"
check 'neither is kept' test ! -e "$peers"
run p2pbus-send "$dest_lasting" 'by its PID'
is 'sent to the PID of a lasting key' 0 "$status"
is 'that is kept' "$full" "$(cat "$peers")"
is 'for its owner alone' '600 700' "$(stat -c %a "$peers" "${peers%/*}" | tr '\n' ' ' | sed 's/ $//')"
run p2pbus-send "$dest_lasting" 'again'
is 'once' "0 $full" "$status $(cat "$peers")"
run p2pbusctl resolve "$dest_lasting"
is 'and resolves' "0 $full remote" "$status $(cat "$work/out")"

run p2pbusctl forget "$dest_lasting"
is 'forgotten' 0 "$status"
is 'the file is empty' '' "$(cat "$peers")"
run p2pbusctl forget "$dest_lasting"
is 'again: nothing to forget' 3 "$status"
check 'and where to look' said "see $peers\$"
run p2pbusctl forget demo.name
is 'a name is none of them' 2 "$status"
run p2pbusctl resolve "$dest_lasting"
is 'resolving keeps it, too' "0 $full" "$status $(cat "$peers")"

echo 'rubbish' >>"$peers"
run p2pbus-send "$dest_lasting" 'x'
is 'a damaged file is told' 1 "$status"
check 'with its line, and what to do' said "$peers:2: .*; mend the file"
run p2pbus-send --local "$dest_lasting" 'x'
is 'and of no interest on this host' 3 "$status"
finish
