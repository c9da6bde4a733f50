#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Goal of this test: keys are made once, kept safe, and what is wrong with one is told with its cure.

# shellcheck disable=SC1091,SC2016,SC2119,SC2154 # names set by lib.sh, scripts for other shells
. "${top_srcdir:-.}/tests/lib.sh"

key=$work/my.key
run p2pbusctl keygen "$key"
is 'keygen makes a key without a bus' 0 "$status"
full=$(cat "$work/out")
check 'and prints its full form' sh -c 'echo "$1" | grep -qE "^[0-9a-f]{16}:[A-Za-z0-9_-]{43}$"' sh "$full"
is 'the file is for its owner alone' 600 "$(stat -c %a "$key")"
check 'its content is one line of the known form' grep -qE '^P2PBUS-SECRET-1:[A-Za-z0-9_-]{48}$' "$key"

cp "$key" "$work/copy"
run p2pbusctl keygen "$key"
is 'keygen never overwrites' 1 "$status"
check 'and says so' said "^p2pbusctl: $key: .*already.*;"
check 'the file is as it was' cmp "$key" "$work/copy"
run p2pbusctl keygen "$work/missing/folder/key"
is 'keygen makes no folders' 1 "$status"
check 'and says which one is missing' said 'mkdir'

run p2pbusctl id "$key"
is 'id prints the full form' "0 $full" "$status $(cat "$work/out")"
run p2pbusctl -k "$key" id
is 'also of -k' "0 $full" "$status $(cat "$work/out")"
run env P2PBUS_KEY="$key" p2pbusctl id
is 'and of $P2PBUS_KEY' "0 $full" "$status $(cat "$work/out")"
run env P2PBUS_KEY=/nonexistent p2pbusctl id -k "$key"
is 'an option goes over the environment' "0 $full" "$status $(cat "$work/out")"
run env P2PBUS_KEY=/nonexistent p2pbusctl -k /nonexistent id "$key"
is 'an operand goes over both' "0 $full" "$status $(cat "$work/out")"
run p2pbusctl id
is 'id of nothing is usage' 2 "$status"
run p2pbusctl --json id "$key"
check 'as JSON' grep -qF "\"full\": \"$full\"" "$work/out"

# What is wrong with a key file
bad() {
        bad_claim=$1 bad_pattern=$2
        run p2pbusctl id "$3"
        is "$bad_claim" 1 "$status"
        check "  and says: $bad_pattern" said "$bad_pattern"
        run p2pbus-recv -k "$3" -S "$work/no-bus"
        is '  recv says it before it looks for a bus' 1 "$status"
        check '  in the same words' said "$bad_pattern"
}

bad 'a missing key file' "make it: p2pbusctl keygen $work/none" "$work/none"
for mode in 644 640 604 620 610; do
        chmod "$mode" "$work/copy"
        bad "a key file of mode $mode" "run: chmod 600 $work/copy$" "$work/copy"
done
cp "$work/copy" "$work/my copy"
chmod 644 "$work/my copy"
bad 'its name is quoted for the shell' "run: chmod 600 '$work/my copy'$" "$work/my copy"
chmod 600 "$work/copy"
run p2pbusctl id "$work/copy"
is 'the chmod helps' 0 "$status"
chmod 400 "$work/copy"
run p2pbusctl id "$work/copy"
is 'a key that its owner cannot write is fine' 0 "$status"

mkdir "$work/folder"
bad 'a folder' 'not a regular file' "$work/folder"
ln -s "$key" "$work/link"
bad 'a symbolic link' 'not a regular file' "$work/link"
(umask 077 && echo nonsense >"$work/nonsense")
bad 'a file of another kind' 'not a key file' "$work/nonsense"
(umask 077 && head -c 40 "$key" >"$work/short")
bad 'a key cut short' 'not a key file' "$work/short"
(umask 077 && sed 's/:./:~/' "$key" >"$work/flipped")
bad 'a key with a wrong letter' 'not a key file' "$work/flipped"
if [ "$(id -u)" = 0 ]; then
        cp "$key" "$work/foreign"
        chown 12345 "$work/foreign"
        bad "somebody else's key" "chown 0 $work/foreign" "$work/foreign"
else
        skip "somebody else's key" root
fi

# One address each time
start_bus
start_recv one -k "$key"
is 'recv listens as its key' "$full" "$full_one"
stop one
start_recv two -k "$key" -n 1
run p2pbus-send "$full" again
is 'and again after a restart' 0 "$status"
end two
finish
