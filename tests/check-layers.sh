#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Goal of this test: who may include whom stands in DESIGN.md; this holds the tree against it.
#
# One line a rule. A new library gets a line here in the same commit that uses it.
set -eu
LC_ALL=C
export LC_ALL

cd "${top_srcdir:-.}"
n=0
folders='libcore libsecure libclient libcall libws daemon bridge relay procbridge tools tests bench'

# Every include of the tree as "FILE:LINE:WHAT", WHAT with its quotes or brackets.
# shellcheck disable=SC2086 # a list of words
includes=$(find $folders -name '*.[ch]' -exec grep -HnE '^[[:space:]]*#[[:space:]]*include' {} + |
        sed -E 's/:[[:space:]]*#[[:space:]]*include[[:space:]]*/:/; s/([">])[^">]*$/\1/' | sort)

# result CLAIM OFFENDERS: one line of TAP, and who broke the claim
result() {
        n=$((n + 1))
        if [ -z "$2" ]; then
                echo "ok $n - $1"
        else
                echo "not ok $n - $1"
                printf '%s\n' "$2" | sed 's/^/#   /'
        fi
}

# may_include FOLDER 'A|B': its quoted includes begin with A/ or B/
may_include() {
        result "$1 includes only $2" "$(printf '%s\n' "$includes" |
                grep -E "^$1/.*:\"" | grep -vE ":\"($2)/" | grep -vE "^$1/[^:]*\\.c:[0-9]+:\"config\\.h\"" || true)"
}

# only_in WHAT 'PATH|PATH': WHAT (begin of an include, an extended pattern) stands only in files
# whose names begin with one of the paths
only_in() {
        result "$1 only in $2" "$(printf '%s\n' "$includes" |
                grep -E ":[0-9]+:$1" | grep -vE "^($2)" || true)"
}

echo 1..30
may_include libcore 'libcore'
may_include libsecure 'libcore|libsecure'
may_include libclient 'libcore|libsecure|libclient'
may_include libcall 'libcall'
may_include libws 'libcore|libws'
may_include daemon 'libcore|libsecure|daemon'
may_include bridge 'libcore|libsecure|libclient|libws|bridge'
may_include relay 'libcore|libsecure|libws|relay'
may_include procbridge 'libcore|libclient|libcall|procbridge'
may_include tools 'libclient|libcall|tools'
may_include tests "$(echo "$folders" | tr ' ' '|')"
may_include bench "$(echo "$folders" | tr ' ' '|')"

result 'tools know nothing but the public headers' "$(printf '%s\n' "$includes" |
        grep -E '^tools/.*:"lib(client|call)/' |
        grep -vE ':"(libclient/p2pbus(-sd-event)?|libcall/p2pbus-call)\.h"' || true)"
result 'procbridge knows nothing of the libraries but the public headers' "$(printf '%s\n' "$includes" |
        grep -E '^procbridge/.*:"lib(client|call)/' |
        grep -vE ':"(libclient/p2pbus(-sd-event)?|libcall/p2pbus-call)\.h"' || true)"
# Daemon, bridge and relay carry sealed messages and have no code that could open one.
only_in '"libsecure/(seal|epochs?)\.h"' 'libsecure/|libclient/|tests/|bench/'
only_in '"libsecure/sealer\.h"' 'libsecure/'

only_in '<sodium' 'libsecure/|tests/|bench/'
only_in '<(libwebsockets|lws)' 'libws/|tests/|bench/'
only_in '<uv' 'libws/|tests/|bench/'
only_in '<systemd/' 'libclient/p2pbus-sd-event\.h|libws/|daemon/|bridge/|relay/|procbridge/|tests/|bench/'
only_in '<jansson' 'libcall/|tools/json\.c|tests/|bench/'
# As installed: libcall stands on the public header, as everybody else's code does.
only_in '<p2pbus' 'libclient/p2pbus-sd-event\.h|libcall/p2pbus-call\.h|tests/'
only_in '<ini\.h' 'libcore/conf\.c'
only_in '<sqlite3' 'daemon/store\.c'
only_in '<nats' 'relay/directory-nats\.c|bench/'
only_in '<check\.h' 'tests/'
only_in '<openssl' 'libws/ws-client\.c|tests/|bench/'
only_in '<(hiredis|zmq|dbus)' 'bench/'

result 'project headers are named from the top, with quotes' "$(printf '%s\n' "$includes" |
        grep -E ":(\"[^/\"]*\"|<($(echo "$folders" | tr ' ' '|'))/)" |
        grep -vE '\.c:[0-9]+:"config\.h"' || true)"
result 'no include climbs with ..' "$(printf '%s\n' "$includes" | grep -E '\.\./' || true)"
