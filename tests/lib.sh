# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2034
#
# What shell scenarios are written in; to be sourced first.
#
#     start_bus                   a user bus of the test's own; tools find it by $P2PBUS_SOCKET
#     start NAME COMMAND...       in the background; $pid_NAME, $work/NAME.out, $work/NAME.err
#     wait_line FILE PATTERN      until FILE has a line that matches; fails after 30 s
#     wait_count FILE PATTERN N   until N lines match
#     wait_there DEST             until it is attached; who is sent to before is "not here" at once
#     start_recv NAME [OPTION]... p2pbus-recv that listens; $full_NAME and $dest_NAME (its PID) too
#     end NAME; stop NAME         waits for it; or ends it by SIGTERM first. $status
#     run COMMAND...              in the foreground; $status, $work/out, $work/err
#     check CLAIM COMMAND...      one line of TAP: the command succeeds
#     is CLAIM EXPECTED FOUND     one line of TAP: the texts are equal
#     skip CLAIM WHAT             one line of TAP: cannot be seen here, needs WHAT
#     finish                      last line of the test: the plan
#
# There are no sleeps: everything is waited for, with a deadline that only ends what hangs. Whatever
# happens, the processes and the folder $work go with the test.

set -eu
LC_ALL=C
export LC_ALL
: "${top_srcdir:?set by make check}" "${top_builddir:?set by make check}"
unset P2PBUS_SOCKET P2PBUS_KEY P2PBUS_LOG XDG_RUNTIME_DIR CREDENTIALS_DIRECTORY

work=$(mktemp -d /tmp/p2pbus-test.XXXXXX)
# Whom the tools meet is not the caller's to remember.
XDG_STATE_HOME=$work/state-home
export XDG_STATE_HOME
n_checks=0
started=
status=0
deadline=30

# shellcheck disable=SC2317 # called by the trap
clean_up() {
        for pid in $started; do
                kill -CONT "$pid" 2>/dev/null || true
                kill -KILL "$pid" 2>/dev/null || true
        done
        wait 2>/dev/null || true
        rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 1' HUP INT TERM

start() {
        start_name=$1
        shift
        # Out of the way of wait_line: a file of an earlier process of this name.
        rm -f "$work/$start_name.out" "$work/$start_name.err"
        # A shell gives /dev/null to what is in the background; the caller's stdin comes through 3.
        {
                "$@" >"$work/$start_name.out" 2>"$work/$start_name.err" <&3 3<&- &
        } 3<&0
        eval "pid_$start_name=$!"
        started="$started $!"
}

wait_there() {
        n_left=2000
        until p2pbusctl resolve "$1" >/dev/null 2>&1 || [ "$n_left" = 0 ]; do
                n_left=$((n_left - 1))
        done
}

# The file may be made by a process that is just starting.
wait_line() {
        [ -e "$1" ] || : >>"$1"
        timeout "$deadline" tail -n +1 -f "$1" 2>/dev/null | grep -q -m 1 -e "$2" && return 0
        echo "# no line '$2' in $1 after $deadline s:"
        sed 's/^/#   /' "$1"
        return 1
}

wait_count() {
        [ "$(timeout "$deadline" tail -n +1 -f "$1" | grep -c -m "$3" -e "$2")" = "$3" ]
}

start_bus() {
        mkdir -p "$work/bus"
        P2PBUS_SOCKET=$work/bus/socket
        export P2PBUS_SOCKET
        start bus p2pbusd --user --socket "$P2PBUS_SOCKET" --state-dir "$work/bus/state" "$@"
        wait_line "$work/bus.err" '^Listening on '
}

start_recv() {
        recv_name=$1
        shift
        start "$recv_name" p2pbus-recv "$@"
        wait_line "$work/$recv_name.err" '^listening as '
        recv_full=$(sed -n 's/^listening as //p' "$work/$recv_name.err")
        eval "full_$recv_name=\$recv_full"
        eval "dest_$recv_name=\${recv_full%%:*}"
}

end() {
        eval "end_pid=\$pid_$1"
        status=0
        # shellcheck disable=SC2154 # set by eval
        wait "$end_pid" || status=$?
        # A number that is free again may be somebody else's by the time of clean_up.
        left=
        for pid in $started; do
                [ "$pid" = "$end_pid" ] || left="$left $pid"
        done
        started=$left
}

stop() {
        eval "kill -TERM \$pid_$1"
        end "$1"
}

run() {
        status=0
        "$@" >"$work/out" 2>"$work/err" || status=$?
}

check() {
        claim=$1
        shift
        n_checks=$((n_checks + 1))
        if "$@"; then
                echo "ok $n_checks - $claim"
        else
                echo "not ok $n_checks - $claim"
        fi
}

is() {
        n_checks=$((n_checks + 1))
        if [ "$2" = "$3" ]; then
                echo "ok $n_checks - $1"
                return
        fi
        echo "not ok $n_checks - $1"
        printf 'expected: %s\nfound:    %s\n' "$2" "$3" | sed 's/^/#   /'
        [ ! -s "$work/err" ] || sed 's/^/#   stderr: /' "$work/err"
}

# said PATTERN: the last run() wrote it to stderr
said() {
        grep -q -e "$1" "$work/err" && return 0
        echo "# no '$1' in:"
        sed 's/^/#   /' "$work/err"
        return 1
}

lines() {
        wc -l <"$1" | tr -d ' '
}

skip() {
        n_checks=$((n_checks + 1))
        echo "ok $n_checks - $1 # SKIP needs $2"
}

finish() {
        echo "1..$n_checks"
}
