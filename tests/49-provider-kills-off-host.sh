#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Goal of this test: of 10,000 calls of a name that two other hosts provide, whose providers are killed
# again and again, each has one answer, in order.
# shellcheck source=tests/lib.sh source=tests/hosts.sh disable=SC2154
. "$top_srcdir/tests/lib.sh"
. "$top_srcdir/tests/hosts.sh"
need_net

calls=10000
kills=10

# echo KEY-FILE: provides demo.far, writes down what it is asked, and answers that
cat >"$work/echo.c" <<'END'
#include <stdio.h>
#include <p2pbus.h>
int main(int argc, char **argv) {
        p2pbus_options options = { .struct_size = sizeof(options), .flags = P2PBUS_OFF_HOST };
        p2pbus_message *request, *reply;
        p2pbus *bus;
        if (argc != 2)
                return 1;
        options.key_file = argv[1];
        if (p2pbus_open(&bus, &options) < 0 || p2pbus_own_name(bus, "demo.far", 0) < 0)
                return 1;
        fprintf(stderr, "ready\n");
        while (p2pbus_receive(bus, P2PBUS_FOREVER, &request) == 0) {
                const char *text = p2pbus_message_get_payload(request);
                size_t n = p2pbus_message_get_size(request);
                printf("%.*s\n", (int)n, text);
                fflush(stdout);
                if (p2pbus_message_new(&reply, text, n) < 0 || p2pbus_reply(bus, request, reply) < 0)
                        return 1;
                p2pbus_message_unref(reply);
                p2pbus_message_unref(request);
        }
        return 1;
}
END
# shellcheck disable=SC2086 # flags are words
run ${CC:-cc} ${test_cflags-} ${test_cppflags-} -Wall -Wextra -Werror -I"$top_srcdir/libclient" \
        -o "$work/echo" "$work/echo.c" -L"$top_builddir/.libs" -lp2pbus -Wl,-rpath,"$top_builddir/.libs"
is 'the provider compiles' 0 "$status"

for key in b c caller; do p2pbusctl keygen "$work/$key.key" >/dev/null; done
make_net 2 0
start_hosts_that_trust a b c

# provide HOST: when this returns it can be asked
provide() {
        at "$1"
        start "provider_$1" in_ns "$here" "$work/echo" "$work/$1.key" 9<&-
        wait_line "$work/provider_$1.err" ready
}

# answered N: until so many calls are
answered() {
        wait_count "$work/calls.out" . "$1"
}

at b
provide b
wait_there demo.far
at c
provide c
wait_there demo.far
at a
wait_there demo.far

seq "$calls" >"$work/lines"
mkfifo "$work/feed"
exec 9<>"$work/feed"
start calls in_ns "$ns_a" p2pbus-send -r --lines --idempotent -t 60 --key "$work/caller.key" demo.far \
        <"$work/feed" 9<&-
share=$((calls / kills))
n_killed=0
while [ "$n_killed" -lt "$kills" ]; do
        case $((n_killed % 2)) in 0) victim=b ;; *) victim=c ;; esac
        known a demo.far 2 || break
        # All of the shares before are answered then: so each call meets one kill at most.
        tail -n "+$((n_killed * share + 1))" "$work/lines" | head -n "$share" >&9
        answered $((n_killed * share + share / 10)) || break
        eval "kill -KILL \$pid_provider_$victim"
        end "provider_$victim"
        provide "$victim"
        n_killed=$((n_killed + 1))
done
exec 9>&-
is 'providers are killed in the middle' "$kills" "$n_killed"
end calls
is 'all calls are answered' 0 "$status"
[ "$status" = 0 ] || sed 's/^/#   /' "$work/calls.err"
check '  each once, in order' cmp "$work/lines" "$work/calls.out"
finish
