# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2034,SC2154 # for and from those who source it
#
# What tests of p2pbus-procbridge share; to be sourced after lib.sh.
#
#     start_gateway NAME OPTION...    p2pbus-procbridge, until all that it has is there
#     port_of NAME                    where on 127.0.0.1 it listens
#     hex VECTOR                      one of tests/vectors/procbridge
#     packet STATUS TEXT [VERSION]    a packet; good TEXT [VERSION], bad MESSAGE: those of answers
#     asked CLAIM EXPECTED HEX [half] one line of TAP: the answer to these bytes at $place
#     answer_with HEX                 what the server that pb-raw is answers from now on
#
# All bytes are in hex.

raw=$top_builddir/tests/pb-raw
vectors=$top_srcdir/tests/vectors/procbridge

start_gateway() {
        gateway=$1
        shift
        start "$gateway" p2pbus-procbridge -v "$@"
        wait_line "$work/$gateway.err" "^\\(listening on\\|providing\\)"
}
port_of() {
        sed -n 's/^listening on 127.0.0.1://p' "$work/$1.err"
}
hex() {
        sed 's/#.*//' "$vectors/$1.hex" | tr -d ' \n'
}
packet() {
        n_body=$(printf '%s' "$2" | wc -c)
        printf '7062%s%02x0000%02x%02x%02x00' "${3:-0101}" "$1" $((n_body % 256)) $((n_body / 256 % 256)) \
                $((n_body / 65536))
        printf '%s' "$2" | od -An -v -tx1 | tr -d ' \n'
}
good() { packet 1 "$1" "${2:-}"; }
bad() { packet 2 "{\"message\": \"$1\"}"; }
asked() {
        is "$1" "$2" "$(printf '%s' "$3" | timeout "$deadline" "$raw" ask "$place" ${4:+"$4"})"
}
answer_with() {
        printf '%s\n' "$1" >"$work/answer"
}
