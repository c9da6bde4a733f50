#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Goal of this test: bash completes options, verbs, formats, and who is on the bus.

# shellcheck disable=SC1091,SC2016,SC2119,SC2154 # names set by lib.sh, scripts for other shells
. "${top_srcdir:-.}/tests/lib.sh"

if ! command -v bash >/dev/null; then
        echo '1..0 # SKIP needs bash'
        exit 0
fi

# offered WORD...: what bash offers for the last word, sorted, one line
offered() {
        # shellcheck disable=SC2016 # the inner shell's words
        bash --norc --noprofile -c '
                source "$top_srcdir/tools/completion/$1"
                COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
                "_${1//-/_}" 2>/dev/null
                printf "%s\n" "${COMPREPLY[@]}"' bash "$@" | sort -u | tr '\n' ' ' | sed 's/ *$//'
}

is 'an option of send' '--lines' "$(offered p2pbus-send --li)"
is 'a format of recv' 'hex json line raw' "$(offered p2pbus-recv --format '')"
is 'all verbs' 'audit call forget id keygen list metrics peers ping policy realm reload resolve services show-config status top watch' "$(offered p2pbusctl '')"
is 'a verb' 'resolve' "$(offered p2pbusctl --json res)"
is "a verb behind an option's value" 'status' "$(offered p2pbusctl -t 3 stat)"
is 'options behind a verb' '--count' "$(offered p2pbusctl ping --cou)"
is 'nothing for a number' '' "$(offered p2pbus-recv -n '')"
: >"$work/a.key"
is 'a key file' "$work/a.key" "$(offered p2pbus-send -k "$work/a.k")"
is 'a file to show the id of' "$work/a.key" "$(offered p2pbusctl id "$work/a.k")"
is 'a command for --exec' sha256sum "$(offered p2pbus-recv --exec sha256s)"
is 'a file for the command' "$work/a.key" "$(offered p2pbus-recv --exec cat "$work/a")"
is 'nobody without a bus' '' "$(P2PBUS_SOCKET=$work/none offered p2pbus-send '')"

start_bus
start_recv r --name test.alpha
is 'a name' test.alpha "$(offered p2pbus-send test.)"
is 'a PID' "$dest_r" "$(offered p2pbusctl ping "$(echo "$dest_r" | cut -c 1-8)")"
is 'a PID to monitor' "$dest_r" "$(offered p2pbus-monitor --peer "$(echo "$dest_r" | cut -c 1-8)")"
is 'a name to monitor' test.alpha "$(offered p2pbus-monitor --name te)"
finish
