#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Goal of this test: who asks a process by its address hears that it was killed, and who works for
# somebody who was killed hears that nobody waits, long before the time of the request is over.
# shellcheck disable=SC1091,SC2119,SC2154 # names set by lib.sh
. "${top_srcdir:?}/tests/lib.sh"

start_bus
cat >"$work/hang" <<END
#!/bin/sh
echo begun >>"$work/begun"
exec tail -f /dev/null
END
chmod +x "$work/hang"

start_recv far --exec "$work/hang"
start asker p2pbus-send -r -t 1000 "$full_far" hello
wait_line "$work/begun" '^begun$'
kill -KILL "$pid_far"
end far
end asker
is 'who asks hears that the receiver was killed' 1 "$status"
check '  and that nobody knows what it had done' grep -q 'nobody knows' "$work/asker.err"

rm "$work/begun"
start_recv far --exec "$work/hang"
start asker p2pbus-send -r -t 1000 "$full_far" hello
wait_line "$work/begun" '^begun$'
kill -KILL "$pid_asker"
end asker
check 'who works hears that nobody waits' wait_line "$work/far.err" 'nobody waits for its answer'
run p2pbusctl ping "$full_far"
is '  and goes on' 0 "$status"
finish
