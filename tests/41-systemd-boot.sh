#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Goal of this test: under a real systemd the first connection starts the daemon, READY and STATUS
# arrive, a message is delivered, a daemon that hangs is restarted by the watchdog, and a receiver
# outlives that.

set -eu
: "${top_srcdir:?}" "${top_builddir:?}"

skip() {
	echo "1..0 # SKIP needs $1"
	exit 0
}
[ "$(id -u)" = 0 ] || skip root
for program in systemd-nspawn nsenter; do
	command -v "$program" >/dev/null || skip "$program"
done
# Where they are installed is built into the units, and make distcheck, for one, installs elsewhere.
# shellcheck disable=SC2016 # it is make's
units=$(MAKEFLAGS='' make -s --no-print-directory -C "$top_builddir" --eval 'where: ; @echo $(systemdsystemunitdir)' where)
case $units in
/etc/systemd/system | /usr/local/lib/systemd/system | /usr/lib/systemd/system | /lib/systemd/system) ;;
*) skip "a prefix below which systemd finds units (/usr, /usr/local)" ;;
esac

work=$(mktemp -d "$top_builddir/boot.XXXXXX")
root=$work/root
mkdir "$work/upper" "$work/work" "$root"
container=
listener=
leader=
groups=
cleanup() {
	status=$?
	trap '' INT TERM
	# timeout cannot be killed without leaving the container behind; with its first process it ends.
	[ -z "$leader" ] || kill -KILL "$leader" 2>/dev/null || true
	[ -z "$container" ] || kill "$container" 2>/dev/null || true
	[ -z "$listener" ] || kill "$listener" 2>/dev/null || true
	wait 2>/dev/null || true
	umount "$root" 2>/dev/null || true
	rm -rf --one-file-system "$work" "/run/systemd/nspawn/propagate/p2pbus-test-$$"
	rmdir /run/systemd/nspawn/* /run/systemd/nspawn 2>/dev/null || true
	for group in $groups; do
		echo 0 >"${group%/*}/cgroup.procs"
		find "$group" -depth -type d -exec rmdir {} + || true
	done
	exit $status
}
trap cleanup EXIT
trap 'exit 130' INT TERM

mount -t overlay overlay -o "lowerdir=/,upperdir=$work/upper,workdir=$work/work" "$root" 2>/dev/null ||
	skip "overlay on a disk file system"

# What the host has enabled is not ours; the rest is as after an installation.
rm -f "$root"/etc/systemd/system/*.wants/* "$root/etc/fstab"
: >"$root/etc/machine-id"
# By make check, which does not do that beside tests; /lib and the like are links here.
tar -C "$top_builddir/tests/installed" -cf - . |
	tar -C "$root" -xf - --keep-directory-symlink --no-overwrite-dir --no-same-owner
chroot "$root" ldconfig
mkdir -p "$root/etc/systemd/system/p2pbusd.service.d"
printf '[Service]\nWatchdogSec=2s\nTimeoutAbortSec=1s\n' >"$root/etc/systemd/system/p2pbusd.service.d/test.conf"

# Its control groups it makes in ours and leaves there: a group that is this test's alone, where
# systemd has one.
while IFS=: read -r _ name path; do
	case $name in
	'') top=/sys/fs/cgroup/unified && [ -d "$top" ] || top=/sys/fs/cgroup ;;
	name=systemd) top=/sys/fs/cgroup/systemd ;;
	*) continue ;;
	esac
	group=$top${path%/}/p2pbus-test-$$
	mkdir "$group" 2>/dev/null || continue
	groups="$groups $group"
	echo 0 >"$group/cgroup.procs"
done </proc/self/cgroup

# systemd-nspawn says over the notification socket who its PID 1 is and when it has booted.
mkfifo "$work/notified"
"$top_builddir/tests/notified" "$work/notify" >"$work/notified" &
listener=$!
exec 3<"$work/notified"
until [ -S "$work/notify" ]; do :; done
NOTIFY_SOCKET=$work/notify SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 timeout -k 1 120 systemd-nspawn -q -D "$root" \
	--register=no --keep-unit --private-network --notify-ready=yes -M "p2pbus-test-$$" --console=pipe \
	--boot systemd.log_target=journal </dev/null >"$work/console.log" 2>&1 3<&- &
container=$!
# A container that never comes up (in a chroot, say) ends what is waited for below.
(exec 3<&-; tail -f --pid="$container" -s 0.1 /dev/null; kill "$listener" 2>/dev/null) &
while read -r line <&3; do
	case $line in
	X_NSPAWN_LEADER_PID=*) leader=${line#*=} ;;
	READY=1) break ;;
	esac
done
[ -n "$leader" ] || {
	sed 's/^/# /' "$work/console.log"
	skip "a root that systemd-nspawn can boot"
}
inside() { nsenter -t "$leader" -a -- env PATH="$PATH:/usr/local/bin" "$@"; }
show() { inside systemctl show --value -p "$1" p2pbusd.service; }

n=0
ok() {
	n=$((n + 1))
	if [ "$1" = 0 ]; then echo "ok $n - $2"; else
		echo "not ok $n - $2"
		inside journalctl -n 30 --no-pager 2>&1 | sed 's/^/# /'
	fi
}
is() {
	[ "$1" = "$2" ] && r=0 || r=1
	[ "$r" = 0 ] || echo "# got '$1', wanted '$2'"
	ok "$r" "$3"
}

inside systemctl start p2pbusd.socket
is "$(show ActiveState)" inactive "the daemon waits for its first connection"

# The receiver's stderr tells when it listens and when it is back; its stdout is what came.
mkfifo "$work/said"
inside timeout 60 p2pbus-recv -n 2 >"$work/received" 2>"$work/said" &
receiver=$!
exec 4<"$work/said"
read -r line <&4
address=${line#listening as }
[ "$address" != "$line" ] && r=0 || r=1
ok "$r" "the first connection starts the daemon"
is "$(show ActiveState)" active "READY arrived"
[ -n "$(show StatusText)" ] && r=0 || r=1
ok "$r" "STATUS says: $(show StatusText)"

inside p2pbus-send "$address" first && r=0 || r=1
ok "$r" "a message is delivered"

# A stopped daemon answers no watchdog: systemd kills it and starts another.
before=$(show MainPID)
[ "$before" -gt 1 ] || {
	echo "Bail out! no daemon to stop"
	exit 1
}
inside kill -STOP "$before"
inside timeout 30 journalctl -f -n 0 -o cat -u p2pbusd.service 2>/dev/null | grep -q -m 1 -e 'Started .*p2pbus' &
waiter=$!
# The receiver says one line when it lost the bus or has it again.
read -r line <&4 || true
echo "# receiver: $line"
wait $waiter || true
after=$(show MainPID)
[ "$after" != "$before" ] && [ "$after" != 0 ] && r=0 || r=1
ok "$r" "the watchdog replaced a hanging daemon"
is "$(show NRestarts)" 1 "systemd counts one restart"

n_left=1000
until inside p2pbusctl resolve "$address" >/dev/null 2>&1 || [ "$n_left" = 0 ]; do
	n_left=$((n_left - 1))
done
inside p2pbus-send "$address" second && r=0 || r=1
ok "$r" "a message is delivered after the restart"
wait $receiver && r=0 || r=1
ok "$r" "the receiver outlived it"
is "$(cat "$work/received")" "first
second" "everything came, once and in order"

# Relay and bridge in their sandboxes, with their own users, on the system bus.
configuration=$(sed -n 's/^sysconfdir = //p' "$top_builddir/Makefile")
case $configuration in *'{prefix}'*) configuration=$(sed -n 's/^prefix = //p' "$top_builddir/Makefile")${configuration#*\}} ;; esac
journal() { inside timeout 20 journalctl -f -n 100 -o cat -u "$1" 2>/dev/null; }
mkdir -p "$root$configuration/p2pbus"
printf '[Relay]\nListen=127.0.0.1:7400\nOpen=yes\n' >"$root$configuration/p2pbus/relay.conf"
inside systemctl start p2pbus-relay.service && r=0 || r=1
ok "$r" "the relay starts in its sandbox"
url=$(journal p2pbus-relay.service | grep -m 1 -o 'ws://[^ ]*') || true
printf '[Bridge]\nRelay=%s\n' "$url" >"$root$configuration/p2pbus/bridge.conf"
inside systemctl start p2pbus-bridge.service && r=0 || r=1
ok "$r" "the bridge starts in its sandbox"
journal p2pbus-bridge.service | grep -q -m 1 'link up' && r=0 || r=1
ok "$r" "the bridge has a link to the relay"
is "$(inside systemctl show --value -p StatusText p2pbus-bridge.service)" '1 of 1 relays' "and says so in STATUS"
inside systemctl stop p2pbus-bridge.service p2pbus-relay.service && r=0 || r=1
ok "$r" "both stop"

# A rule for a unit, whose processes the daemon tells apart from its sandbox.
mkdir -p "$root$configuration/p2pbus/policy.d"
printf '[Match]\nUnit=orders@*.service\n\n[Own]\nDenyName=com.example.*\n' \
	>"$root$configuration/p2pbus/policy.d/50-orders.policy"
inside systemctl reload p2pbusd.service
in_unit() { inside systemd-run --wait --quiet --pipe --setenv=PATH="$PATH:/usr/local/bin" --unit="$1" p2pbusctl policy explain --own "$2"; }
if [ "$(inside journalctl -o cat -u p2pbusd.service --no-pager | grep -c SO_PEERPIDFD)" = 0 ]; then
	in_unit orders@1 com.example.orders >"$work/explained" && r=0 || r=$?
	is "$r" 5 "a rule for a unit fits its processes"
	grep -q '50-orders.policy:5	' "$work/explained" && r=0 || r=1
	ok "$r" "and is named"
	in_unit others@1 com.example.orders >"$work/explained" && r=0 || r=$?
	is "$r" 0 "but no others"
else
	n=$((n + 1))
	echo "ok $n - rules for units # SKIP needs Linux 6.5"
fi

# A user's own bus, under the user's own manager.
user_bus() {
	inside useradd -m -u 4711 tester
	inside systemctl start user@4711.service && r=0 || r=1
	ok "$r" "a user manager runs"
	as_user() { inside setpriv --reuid 4711 --regid 4711 --clear-groups env HOME=/home/tester XDG_RUNTIME_DIR=/run/user/4711 "$@"; }
	as_user systemctl --user enable --now p2pbusd.socket 2>/dev/null && r=0 || r=1
	ok "$r" "systemctl --user enable --now p2pbusd.socket"
	is "$(inside stat -c '%a %U' /run/user/4711/p2pbus /run/user/4711/p2pbus/bus | tr '\n' ' ')" '700 tester 600 tester ' \
		"the user's socket is the user's alone"
	as_user p2pbusctl status >"$work/status" && r=0 || r=1
	ok "$r" "the user's daemon answers from its sandbox"
}
if ls "$root"/lib/*/security/pam_systemd.so >/dev/null 2>&1; then
	user_bus
else
	n=$((n + 1))
	echo "ok $n - a user's own bus # SKIP needs libpam-systemd"
fi

inside systemctl reload p2pbusd.service && r=0 || r=1
ok "$r" "systemctl reload works"
inside systemctl stop p2pbusd.service && r=0 || r=1
is "$(show Result)" success "an orderly stop"

exec 4<&-
kill -s RTMIN+4 "$leader"
wait $container && r=0 || r=1
container=
leader=
ok "$r" "power off"
echo "1..$n"
