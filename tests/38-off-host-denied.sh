#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Goal of this test: on the system bus only members of p2pbus-net reach other hosts; the others are told.

# shellcheck disable=SC1091,SC2016,SC2119,SC2154 # names set by lib.sh, scripts for other shells

# The groups are made for this test alone, in a mount namespace with /etc/passwd and /etc/group of
# its own.
if [ "${1-}" != inside ]; then
        if ! [ "$(id -u)" = 0 ] || ! unshare -m true 2>/dev/null; then
                echo '1..0 # SKIP needs root and mount namespaces'
                exit 0
        fi
        # libtool's programs are wrappers that read the build directory.
        if ! setpriv --reuid=65534 --regid=65534 --clear-groups p2pbus-send --version >/dev/null 2>&1; then
                echo '1..0 # SKIP needs a build directory that others may read'
                exit 0
        fi
        exec unshare -m sh "$0" inside
fi

. "${top_srcdir:-.}/tests/lib.sh"

cp /etc/passwd /etc/group "$work/"
chmod 755 "$work"
for entry in p2pbus-bridge:4242 p2pbus-net:4343; do
        sed -i "/^${entry%:*}:/d" "$work/passwd" "$work/group"
        echo "${entry%:*}:x:${entry#*:}:" >>"$work/group"
done
echo 'p2pbus-bridge:x:4242:4242::/:/bin/false' >>"$work/passwd"
mount --make-rprivate /
mount --bind "$work/passwd" /etc/passwd
mount --bind "$work/group" /etc/group

stranger() {
        setpriv --reuid=65534 --regid=65534 --clear-groups "$@"
}

mkdir -m 755 "$work/bus"
P2PBUS_SOCKET=$work/bus/socket
export P2PBUS_SOCKET
start bus p2pbusd --system --socket "$P2PBUS_SOCKET" --state-dir "$work/bus/state"
wait_line "$work/bus.err" '^Listening on '
mkdir -m 700 "$work/bridge"
chown 4242 "$work/bridge"
relay=$(p2pbusctl keygen "$work/relay.key")
start bridge setpriv --reuid=4242 --regid=4242 --clear-groups p2pbus-bridge \
        --socket "$P2PBUS_SOCKET" --key "$work/bridge/key" --relay "ws://127.0.0.1:1#$relay"
wait_line "$work/bridge.err" 'attached to the bus'

none=0123456789abcdef
run stranger p2pbus-send -t 5 "$none" x
is 'a stranger is refused who sends to another host' 5 "$status"
check 'and told of which group to be' said '^p2pbus-send: .*; be a member of group p2pbus-net$'
run stranger p2pbus-send -t 5 test.none x
is 'a name that nobody here provides is nobody there' 3 "$status"
check 'but may be elsewhere' said '; start .* on another host, be a member of group p2pbus-net$'
run stranger p2pbusctl resolve "$none"
is 'resolve says so too' 5 "$status"
run stranger p2pbus-send --local "$none" x
is 'with --local there just is nobody' 3 "$status"
run stranger p2pbus-recv -t 0
is 'recv listens for this host' 0 "$status"
check 'and says what it is missing' said 'other hosts: refused by policy.*p2pbus-net'
run setpriv --reuid=65534 --regid=65534 --groups 4343 p2pbus-send -t 0.5 "$none" x
is 'a member asks the relays: none is connected within -t' 4 "$status"
check 'and learns where to look' said 'p2pbusctl status'

run stranger p2pbus-recv --name test.alpha
is 'a stranger may not own a name' 5 "$status"
run stranger p2pbus-monitor
is 'nor monitor' 5 "$status"
run stranger p2pbusctl reload
is 'nor administer' 5 "$status"
start_recv root
run stranger p2pbus-send "$dest_root" x
is 'nor send to another user' 5 "$status"
finish
