#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Goal of this test: each format of recv shows any payload as promised.

# shellcheck disable=SC1091,SC2016,SC2119,SC2154 # names set by lib.sh, scripts for other shells
. "${top_srcdir:-.}/tests/lib.sh"
start_bus

printf 'text' >"$work/p1"
printf 'line\n' >"$work/p2"
: >"$work/p3"
printf 'a\0b' >"$work/p4"
printf '\377\376\n' >"$work/p5"
printf 'gr\303\274n "q"\\\t\n\n' >"$work/p6"

# receive OPTION...: one of each payload, $work/r.out
receive() {
        start_recv r -n 6 "$@"
        for p in 1 2 3 4 5 6; do
                p2pbus-send --type text/x-test -k "$work/key" "$dest_r" <"$work/p$p"
        done
        end r
}

full=$(p2pbusctl keygen "$work/key")

receive
{
        cat "$work/p1"; echo
        cat "$work/p2"
        echo
        cat "$work/p4"; echo
        cat "$work/p5"
        cat "$work/p6"
} >"$work/expected"
check 'line: the payload, and a newline unless it ends in one' cmp "$work/expected" "$work/r.out"

receive --format raw
cat "$work/p1" "$work/p2" "$work/p3" "$work/p4" "$work/p5" "$work/p6" >"$work/expected"
check 'raw: bytes and nothing else' cmp "$work/expected" "$work/r.out"

receive --format hex
for p in 1 2 3 4 5 6; do
        od -An -v -tx1 "$work/p$p" | tr -d ' \n'
        echo
done >"$work/expected"
check 'hex: a line a message' cmp "$work/expected" "$work/r.out"

receive --json
is 'json: an object a line' 6 "$(lines "$work/r.out")"
# member LINE NAME VALUE: as it stands in the line
member() {
        sed -n "$1p" "$work/r.out" | grep -qF "\"$2\": $3" && return 0
        sed -n "$1p" "$work/r.out" | sed 's/^/# /'
        return 1
}
check 'from is the PID of the sender' member 1 from "\"${full%%:*}\""
check 'from_key its full form' member 1 from_key "\"$full\""
check 'to is the PID of recv' member 1 to "\"$dest_r\""
check 'kind' member 1 kind '"one-way"'
check 'type' member 1 type '"text/x-test"'
check 'size' member 1 size 4
check 'text' member 1 payload '"text"'
check 'a newline' member 2 payload '"line\n"'
check 'an empty payload' member 3 payload '""'
check 'a NUL is text too' member 4 payload '"a\u0000b"'
check 'what is no UTF-8 is base64' member 5 payload_base64 '"//4K"'
check 'and has no text' sh -c '! sed -n 5p "$1" | grep -qF "\"payload\""' sh "$work/r.out"
check 'UTF-8 stays as it is' member 6 payload "$(printf '"gr\303\274n \\"q\\"\\\\\\t\\n\\n"')"
check 'ids are 32 hex digits' sh -c '[ "$(grep -cE "\"id\": \"[0-9a-f]{32}\"" "$1")" = 6 ]' sh "$work/r.out"
is 'and differ' 6 "$(grep -oE '"id": "[0-9a-f]{32}"' "$work/r.out" | sort -u | wc -l | tr -d ' ')"

receive --format json
is '--format json is the same' 6 "$(grep -c '^{"from": ' "$work/r.out")"

# Each object is written at once
start_recv live --json
p2pbus-send "$dest_live" now
check 'an object does not wait for the next' wait_line "$work/live.out" '"payload": "now"'
p2pbus-send --json -k "$work/key" "$dest_live" x >"$work/sent"
id=$(grep -oE '"id": "[0-9a-f]{32}"' "$work/sent")
check 'send --json tells the id that recv sees' wait_line "$work/live.out" "$id"
check 'and what became of it' grep -q '"result": "delivered"' "$work/sent"
finish
