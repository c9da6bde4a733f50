#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Goal of this test: programs that speak ProcBridge call services of the bus, and are services; whatever
# they send, they get an answer or an end.

# shellcheck disable=SC1091,SC2016,SC2119,SC2154 # names set by lib.sh, scripts for other shells
. "${top_srcdir:-.}/tests/lib.sh"
. "$top_srcdir/tests/procbridge.sh"

# last_request: what the server behind the bus was asked
last_request() {
        tail -n 1 "$work/server.out"
}
start_bus
answer_with 00
start server "$raw" answer "$work/server.sock" "$work/answer"
wait_line "$work/server.err" listening
start_gateway both --provide test.raw="$work/server.sock" --service test.raw \
        --listen 127.0.0.1:0 --listen "$work/in.sock" --max-body 64K --first-timeout 60
wait_line "$work/both.err" "listening on $work/in.sock"

# The golden vectors, from client to server and back
for place in "$work/in.sock" "$(port_of both)"; do
        for vector in request-echo request-none request-utf8 request-sum; do
                answer_with "$(hex good-10)"
                asked "$vector is answered" "$(hex good-10)" "$(hex $vector)"
        done
        is '  the server was asked the same' "$(packet 0 '{"method": "sum", "payload": [1,2,3,4]}')" \
                "$(last_request)"
        answer_with "$(hex good-none)"
        asked 'nothing is a result' "$(hex good-none)" "$(hex request-echo)"
        is '  the server was asked byte by byte the same' "$(hex request-echo)" "$(last_request)"
        answer_with "$(hex bad)"
        asked 'an error is an error' "$(hex bad)" "$(hex request-echo)"
done
answer_with "$(good '{"payload":{"sum": 3}}')"
asked '1.0 is answered in 1.0' "$(hex good-1-0)" "$(hex request-1-0)"
is '  and asked in 1.1' "$(packet 0 '{"method": "add", "payload": {"a": 1}}')" "$(last_request)"
answer_with "$(hex good-10)"
asked '1.0 is not told what it cannot say' \
        "$(packet 2 '{"msg": "the result is no object, and 1.0 has nothing else"}' 0100)" "$(hex request-1-0)"
answer_with "$(hex bad)"
asked 'an error in 1.0' "$(hex bad-1-0)" "$(hex request-1-0)"
asked 'the close of 1.0 is not answered' '' "$(hex close-1-0)"

# What clients may send
answer_with "$(hex good-none)"
asked 'another flag' '' 7063010100000002000000
asked 'another protocol' '' "$(printf 'GET / HTTP/1.1\r\n\r\n' | od -An -v -tx1)"
asked 'version 2.0' "$(bad 'incompatible protocol version')" 70620200000000020000007b7d
asked 'status 1' "$(bad 'invalid status code')" 70620101010000020000007b7d
asked 'status 9' "$(bad 'invalid status code')" 70620101090000020000007b7d
asked 'reserved bytes' "$(hex good-none)" 70620101001234020000007b7d
asked 'no JSON' "$(bad 'invalid body')" "$(packet 0 hello)"
asked 'no body' "$(bad 'invalid body')" "$(packet 0 '')"
asked 'no UTF-8' "$(bad 'invalid body')" 7062010100000003000000227bff
asked 'a byte order mark' "$(bad 'invalid body')" 7062010100000005000000efbbbf7b7d
asked 'no object' "$(bad 'invalid body')" "$(packet 0 '[1]')"
asked 'a number for a method' "$(hex good-none)" "$(packet 0 '{"method":5}')"
is '  is its text' "$(packet 0 '{"method": "5"}')" "$(last_request)"
asked 'null' "$(hex good-none)" "$(packet 0 '{"method":"a","payload":null}')"
is '  is left out' "$(packet 0 '{"method": "a"}')" "$(last_request)"
answer_with "$(hex good-10)"
asked 'two requests: the first is answered, whole' "$(hex good-10)" "$(hex request-echo)$(hex request-sum)"
asked 'half a body, and no more' "$(bad 'incomplete data')" 70620101000000020000007b half
asked 'half a header, and no more' '' 7062010100 half
asked 'nothing, and no more' '' '' half
asked 'four gigabytes' "$(bad 'body of 4294967295 bytes, this gateway takes 65536')" 70620101000000ffffffff7b7d
asked 'one byte too many' "$(bad 'body of 65537 bytes, this gateway takes 65536')" \
        "7062010100000001000100$(head -c 65537 /dev/zero | od -An -v -tx1)"
place=$work/in.sock
asked 'a client on a Unix socket that says no more still waits' "$(hex good-10)" "$(hex request-echo)" half
digits='{"payload": [1.10, 123456789012345678901234567890, 1e400, "\u0041"]}'
answer_with "$(good "$digits")"
asked 'numbers and escapes come as they were sent' "$(good "$digits")" "$(hex request-echo)"
run p2pbusctl call test.raw none
is 'p2pbusctl calls the server too' 1 "$status"

# What servers may answer
says() {
        answer_with "$2"
        run p2pbusctl call test.raw method
        is "$1" 1 "$status"
        check "  $3" said "error reply $4 [a-z-]*: .*$3"
}
says 'a server with another flag' 7063010101000002000000 'unrecognized protocol' 1003
says 'a server of version 2.0' 70620200010000020000007b7d 'incompatible protocol version' 1003
says 'a server that asks' "$(packet 0 '{}')" 'invalid status code' 1003
says 'a server with status 9' "$(packet 9 '{}')" 'invalid status code' 1003
says 'a server without JSON' "$(packet 1 hello)" 'invalid body' 1003
says 'a server that breaks off' 7062010101000009000000 'incomplete data' 1003
says 'a server that says nothing' '' 'it closed without an answer' 1003
says 'the corrupt stream of the Python server' "70620101010000$(hex bad)" 'over --max-body' 1009
says 'a server without a message' "$(packet 2 '{}')" 'unknown server error' 1013
says "a server's error" "$(hex bad)" 'generated error' 1013
answer_with "$(hex good-10)7062"
run p2pbusctl call test.raw method '[1]'
is 'bytes behind the answer are nobody'\''s' '0 10' "$status $(cat "$work/out")"
run p2pbus-send -r test.raw 'no call'
is 'a request that is no call' 1 "$status"
check '  is told so' said 'error reply 1000 bad-request: no call'
answer_with hold
run p2pbusctl -t 0.3 call test.raw method
check 'a server that hangs' [ "$status" != 0 ]
run p2pbus-procbridge --provide test.raw2="$work/none.sock" --listen "$work/server.sock"
is 'a socket where somebody listens' 1 "$status"
start_gateway nobody --provide test.nobody="$work/none.sock"
run p2pbusctl call test.nobody method
check 'no server' said 'error reply 1010 [a-z-]*: .*No such file'
stop nobody
is 'a gateway ends with' 0 "$status"

# Time, places, and going away
start_recv slow --name test.slow --jobs 9 --exec sh -c '
        case $(cat) in
        *hang*) echo here >>"$0/hung"; exec sleep 1000 ;;
        *wait*) echo here >>"$0/waits"; read -r x <"$0/go"; echo "{\"payload\": \"$x\"}" ;;
        *) echo "{\"payload\": 1}" ;;
        esac' "$work"
start_gateway quick --service test.slow --listen 127.0.0.1:0 --listen "$work/quick.sock" --first-timeout 0.3 \
        --request-timeout 0.4 --max-calls 1 --max-peer 3 --strict --mode 0640
wait_line "$work/quick.err" "listening on $work/quick.sock"
is 'the mode of a Unix socket' 640 "$(stat -c %a "$work/quick.sock")"
place=$work/quick.sock
asked 'who says nothing is sent away' '' ''
asked 'who does not finish is told' "$(bad 'incomplete data')" 70620101000000020000007b
asked 'strict: no 1.0' "$(bad 'incompatible protocol version')" "$(hex request-1-0)"
# It goes while its call runs: the place is free again, whatever the service does.
for place in "$work/quick.sock" "$(port_of quick)"; do
        : >"$work/hung"
        packet 0 '{"method":"hang"}' >"$work/hang.hex"
        start leaver "$raw" ask "$place" <"$work/hang.hex"
        wait_line "$work/hung" here
        kill -KILL "$pid_leaver"
        end leaver
        asked 'who goes leaves no call behind' "$(good '{"payload": 1}')" "$(packet 0 '{"method":"x"}')"
done
is '  and it was cancelled' 2 "$(grep -c 'the call is cancelled' "$work/quick.err")"
: >"$work/hung"
for i in 1 2 3; do
        start "hanger$i" "$raw" ask "$place" <"$work/hang.hex"
done
wait_line "$work/hung" here
# Until all three are there this one is sent away for saying nothing.
check 'the fourth of one client is turned away' timeout "$deadline" sh -c '
        until grep -q "too many connections of this client" "$3"; do "$1" ask "$2" </dev/null >/dev/null; done' \
        sh "$raw" "$place" "$work/quick.err"
kill -TERM "$pid_quick" && kill -TERM "$pid_quick"
end quick
is 'a second signal ends it at once' 0 "$status"
check '  its socket is gone' [ ! -e "$work/quick.sock" ]

mkfifo "$work/go"
start_gateway last --service test.slow --listen "$work/last.sock"
packet 0 '{"method":"wait"}' >"$work/wait.hex"
start waiter "$raw" ask "$work/last.sock" <"$work/wait.hex"
wait_line "$work/waits" here
kill -TERM "$pid_last"
wait_line "$work/last.err" 'stopping on signal'
echo answered >"$work/go"
end waiter
is 'who had asked is still answered' "$(good '{"payload": "answered"}')" "$(cat "$work/waiter.out")"
end last
is '  then it ends' 0 "$status"

# A socket file of a gateway that was killed is replaced.
start_gateway first --listen "$work/stale.sock"
kill -KILL "$pid_first"
end first
start_gateway second --listen "$work/stale.sock"
place=$work/stale.sock
asked 'NAME/METHOD names a service' "$(good '{"payload": 1}')" "$(packet 0 '{"method":"test.slow/x"}')"
asked '  that is there' "$(bad 'no.such: nobody provides this name')" "$(packet 0 '{"method":"no.such/x"}')"
for method in x /x test.slow/ "$dest_slow/x"; do
        asked "  not '$method'" "$(bad 'no service in the method; write NAME/METHOD')" \
                "$(packet 0 "{\"method\":\"$method\"}")"
done
stop second
start_gateway half --half-close --service test.slow --listen 127.0.0.1:0
place=$(port_of half)
asked '--half-close: so does one on TCP' "$(good '{"payload": 1}')" "$(packet 0 '{"method":"x"}')" half
stop half

# Usage
for words in '' '--listen 8000' '--provide x=127.0.0.1:1' '--provide a.b' '--service a.b --provide c.d=127.0.0.1:1' \
        '--listen 127.0.0.1:0 operand' '--listen 127.0.0.1:0 --mode 8' '--listen 127.0.0.1:0 -t 0' \
        '--listen 127.0.0.1:0 --max-calls 0' "-k $work/k --provide a.b=127.0.0.1:1 --provide c.d=127.0.0.1:1"; do
        # shellcheck disable=SC2086 # options are words
        run p2pbus-procbridge $words
        is "usage: p2pbus-procbridge $words" '2 1' "$status $(lines "$work/err")"
done
run p2pbus-procbridge -S "$work/none" --listen 127.0.0.1:0
is 'no bus' 6 "$status"
stop both
is 'it ends with' 0 "$status"
check '  and says what it did' grep -q ' connections, 0 turned away, ' "$work/both.err"

# Real programs: the npm package, as client of the bus and as server on it. It is fetched once a build
# directory, in a version that is known by its hash.
package=$top_builddir/npm/procbridge-1.1.1.tgz
hash=W6Skzf3MLQ9vxb7T9gaz3woyxn/LUC9j5WoWMJxx3wQJhJh9vYuXLhMjceZukLXDMwcIYlqwdukmSDKXfHaCpg==
is_whole() {
        [ "$(openssl dgst -sha512 -binary "$1" 2>/dev/null | openssl base64 -A)" = "$hash" ]
}
if ! command -v node >/dev/null; then
        skip 'the npm package procbridge' node
elif ! is_whole "$package" && ! { mkdir -p "$work/npm" "${package%/*}" && cd "$work/npm" &&
        timeout 120 npm pack --silent procbridge@1.1.1 >"$work/npm.log" 2>&1 && is_whole procbridge-1.1.1.tgz &&
        mv procbridge-1.1.1.tgz "$package"; }; then
        skip 'the npm package procbridge' 'the npm registry'
else
        cd "$work"
        tar -xzf "$package"
        start npm node "$top_srcdir/tests/procbridge.js" package serve "$work/npm.sock"
        wait_line "$work/npm.out" listening
        start_gateway out --provide test.npm="$work/npm.sock"
        start_gateway in --listen "$work/npm-in.sock" --listen 127.0.0.1:0
        wait_line "$work/in.err" 'listening on 127'
        start_gateway one --service test.npm --listen "$work/npm-one.sock"
        # suite HOW WHERE [PREFIX]
        suite() {
                run timeout "$deadline" node "$top_srcdir/tests/procbridge.js" package suite "$2" ${3:+"$3"}
                is "npm's suite, $1" 7 "$(grep -c '^ok ' "$work/out")"
                ! grep '^not ok' "$work/out" || sed 's/^/# /' "$work/err"
        }
        suite 'without a gateway' "$work/npm.sock"
        suite 'of one service' "$work/npm-one.sock"
        suite 'of any service, over a Unix socket' "$work/npm-in.sock" test.npm/
        suite 'over TCP' "$(port_of in)" test.npm/
        run p2pbusctl call test.npm sum '[1,2,3,4]'
        is "npm's server is a service" '0 10' "$status $(cat "$work/out")"
fi
finish
