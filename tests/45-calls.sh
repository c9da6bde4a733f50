#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Goal of this test: p2pbusctl call shows answers in parts as they come, names errors, and cancels; and
# p2pbusctl top shows how providers fare.
# shellcheck disable=SC1091,SC2016,SC2119,SC2154 # names set by lib.sh, scripts for other shells
. "${top_srcdir:?}/tests/lib.sh"

tab=$(printf '\t')
start_bus

# The provider of p2pbus_provider_new(3): "count" answers in parts.
sed -n '/^\.Bd -literal$/,/^\.Ed$/p' "$top_srcdir/man/p2pbus_provider_new.3" |
        sed -e '/^\.[BE]d/d' -e 's/\\e/\\/g' >"$work/counter.c"
# shellcheck disable=SC2086 # flags are words
run ${CC:-cc} ${test_cflags-} ${test_cppflags-} -Wall -Wextra -Werror -I"$top_srcdir/libclient" \
        -I"$top_srcdir/libcall" -o "$work/counter" "$work/counter.c" -L"$top_builddir/.libs" \
        -lp2pbus-call -lp2pbus -ljansson -Wl,-rpath,"$top_builddir/.libs"
is 'the example of p2pbus_provider_new(3) compiles' 0 "$status"
start counter "$work/counter" test.counter
wait_there test.counter

run p2pbusctl call test.counter count 3
is 'a line a part' "0 1 2 3 " "$status $(tr '\n' ' ' <"$work/out")"
check '  and progress on stderr' said 'progress: "begun"'
run p2pbusctl --json call test.counter count 3
is '  with --json one list' '0 [1, 2, 3]' "$status $(cat "$work/out")"
run p2pbusctl call test.counter other
is 'an error is named' 1 "$status"
check '  by number and name' said 'test.counter: error reply 1001 unknown-method: '
run p2pbusctl call test.counter count '"x"'
check '  as the method says' said 'error reply 1002 bad-payload: '
run p2pbus-send -r test.counter 'no call'
is 'p2pbus-send is answered so, too' 1 "$status"
check '  and says it alike' said 'test.counter: error reply 1000 bad-request: '
run p2pbusctl call test.counter p2pbus.Ping '[1]'
is 'a provider is there' '0 [1]' "$status $(cat "$work/out")"

start caller p2pbusctl call test.counter count 1000000000
wait_line "$work/caller.out" '^1000$'
kill -INT "$pid_caller"
end caller
is 'SIGINT ends a call' 130 "$status"
run p2pbusctl call test.counter count 1
is '  and frees its provider' '0 1' "$status $(cat "$work/out")"

# What p2pbus-recv prints it does not answer, but what every provider does it does.
start_recv plain --name test.plain --name test.other --metadata 'of "two" names'
run p2pbusctl call test.other p2pbus.Ping '[2]'
is 'p2pbus-recv is a provider' '0 [2]' "$status $(cat "$work/out")"
run p2pbusctl call test.plain p2pbus.Info
check '  with its first name' grep -q '"name": "test.plain", ' "$work/out"
check '  and what was said of it' grep -q '"metadata": "of \\"two\\" names", ' "$work/out"
start asker p2pbus-send -r test.plain 'a request'
check '  that answers nothing else' wait_line "$work/plain.err" 'nobody answers it'
stop asker
run p2pbus-send test.plain 'one way'
run p2pbusctl call test.plain p2pbus.Stats
check '  and says so' grep -q '"calls": 1, "errors": 1, "cancelled": 0, "bad_requests": 0, "outstanding": 0, ' "$work/out"
is '  the rest it prints' 'a request one way ' "$(tr '\n' ' ' <"$work/plain.out")"
kill -STOP "$pid_plain"
run p2pbusctl top -c 1
is 'top shows providers' 0 "$status"
check '  with what they say' grep -qE "^test.counter$tab.*${tab}[0-9.]+${tab}[0-9.]+${tab}0${tab}[0-9]+${tab}[0-9]+$" "$work/out"
check '  and those that do not answer' grep -qE "^test.plain,test.other$tab.*$tab-$tab-$tab-$tab-$tab-$" "$work/out"
kill -CONT "$pid_plain"
run p2pbusctl top -c 1
check '  until they do' grep -qE "^test.plain,test.other$tab.*${tab}0${tab}[0-9]+${tab}[0-9]+$" "$work/out"
stop plain
start_recv unnamed
start asker p2pbusctl call "$dest_unnamed" p2pbus.Ping
check 'without a name it is none, and prints what comes' wait_line "$work/unnamed.out" p2pbus.Ping
stop asker
start_recv shell --name test.shell --metadata upstairs --exec sh -c 'read -r n; test "$n" = 1 && echo ok'
run p2pbus-send -r test.shell 1
is 'a command that answers' '0 ok' "$status $(cat "$work/out")"
run p2pbus-send -r test.shell 2
is '  or does not' 1 "$status"
run p2pbusctl call test.shell p2pbus.Ping 5
is '  is not asked whether it is there' '0 5' "$status $(cat "$work/out")"
run p2pbusctl call test.shell p2pbus.Info
check '    nor what it is' grep -q '^{"name": "test.shell", .* "metadata": "upstairs", ' "$work/out"
run p2pbusctl call test.shell p2pbus.Stats
check '    nor how it fares' grep -q '"calls": 2, "errors": 1, ' "$work/out"
run p2pbusctl --json top -i 0.1
is '  with --json one value' '0 1' "$status $(lines "$work/out")"
check '    with numbers' grep -q '"calls_per_second": [0-9.]*, "errors_per_second": [0-9.]*, "outstanding": 0' "$work/out"

# What others say of themselves may be anything.
cat >"$work/liar.c" <<'END'
#include <string.h>
#include <p2pbus.h>
int main(int argc, char **argv) {
        p2pbus_message *request, *reply;
        p2pbus *bus;
        if (argc != 3 || p2pbus_open(&bus, NULL) < 0 || p2pbus_own_name(bus, argv[1], 0) < 0)
                return 1;
        while (p2pbus_receive(bus, P2PBUS_FOREVER, &request) == 0) {
                if (p2pbus_message_new(&reply, argv[2], strlen(argv[2])) < 0)
                        return 1;
                (void)p2pbus_reply(bus, request, reply);
                p2pbus_message_unref(reply);
                p2pbus_message_unref(request);
        }
        return 1;
}
END
# shellcheck disable=SC2086 # flags are words
run ${CC:-cc} ${test_cflags-} ${test_cppflags-} -Wall -Wextra -Werror -I"$top_srcdir/libclient" \
        -o "$work/liar" "$work/liar.c" -L"$top_builddir/.libs" -lp2pbus -Wl,-rpath,"$top_builddir/.libs"
is 'a provider that says what it likes compiles' 0 "$status"
huge=9223372036854775807
lie() {
        start liar "$work/liar" test.liar "{\"payload\": {\"uptime_usec\": $1, \"calls\": $2, \"errors\": 0,
                \"outstanding\": 0, \"bounds_usec\": $3, \"latency\": $4}}"
        wait_there test.liar
        run p2pbusctl top -c 1
        top_status=$status
        stop liar
}
lie 1 1 '[]' '[5]'
check 'top takes one bucket without a bound' grep -qE "^test.liar$tab.*$tab-$tab-$" "$work/out"
is '  as if nothing were' 0 "$top_status"
lie 0 "$huge" '[1]' "[$huge, $huge]"
check '  and numbers beyond all sums' grep -qE "^test.liar$tab.*${tab}0.00$tab.*${tab}1${tab}1$" "$work/out"
lie -1 '"x"' 5 '{}'
check '  and none' grep -qE "^test.liar$tab.*$tab-$tab-$tab-$tab-$tab-$" "$work/out"

run p2pbusctl top -c 2 -i 0.1
is '  again and again' '0 2' "$status $(grep -c '^test.counter' "$work/out")"
finish
