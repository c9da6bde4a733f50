/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include "tools/connection.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "tools/common.h"
#include "tools/quote.h"

/* In a handler: only what is safe there. */
static void on_early_signal(int number) {
        const char *program = common_program();
        const char *what = number == SIGINT ? ": interrupted: SIGINT; start it again\n"
                                            : ": terminated: SIGTERM; start it again\n";
        char line[128];
        size_t n = strlen(program);

        if (n > 64)
                n = 64;
        memcpy(line, program, n);
        memcpy(line + n, what, strlen(what));
        (void)!write(STDERR_FILENO, line, n + strlen(what)); /* nobody is left to be told */
        _exit(STATUS_SIGNAL + number);
}

static sigset_t watched_signals(void) {
        sigset_t set;

        (void)sigemptyset(&set);
        (void)sigaddset(&set, SIGINT);
        (void)sigaddset(&set, SIGTERM);
        (void)sigaddset(&set, SIGCHLD);
        return set;
}

/* A descriptor of ours must not become the stdout of a tool that was started without one. */
static void open_standard_fds(void) {
        for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
                if (fcntl(fd, F_GETFD) < 0)
                        (void)!open("/dev/null", O_RDWR); /* then it stays closed */
}

void connection_init(Connection *connection) {
        struct sigaction end = { .sa_handler = on_early_signal };
        struct sigaction ignore = { .sa_handler = SIG_IGN };
        struct sigaction usual = { .sa_handler = SIG_DFL };

        *connection = (Connection){ .signal_fd = -EBADF };
        open_standard_fds();

        /* None of these can fail. SIGINT counts also where a shell's "&" has ignored it. */
        (void)sigaction(SIGINT, &end, NULL);
        (void)sigaction(SIGTERM, &end, NULL);
        (void)sigaction(SIGPIPE, &ignore, NULL);
        (void)sigaction(SIGCHLD, &usual, NULL);
}

static const char *socket_path(const Options *options, char path[static 256]) {
        if (options->socket)
                return options->socket;
        return p2pbus_default_socket(path, 256) == 0 ? path : "$P2PBUS_SOCKET";
}

static int fail_open(const Options *options, int error, int reason) {
        char path[256];
        const char *socket = socket_path(options, path);
        const char *why = p2pbus_reason_text(reason);
        char quoted[QUOTE_SIZE];
        bool system = strcmp(socket, "/run/p2pbus/bus") == 0;

        switch (reason) {
        case P2PBUS_REASON_PATH_TOO_LONG:
                return fail(STATUS_USAGE, "socket %s: longer than 107 bytes; choose a shorter path",
                            socket);
        case P2PBUS_REASON_NO_SOCKET:
        case P2PBUS_REASON_NO_LISTENER:
                quote_for_shell(socket, quoted);
                return fail(STATUS_NO_BUS, "bus %s: %s; start it: %s%s", socket,
                            reason == P2PBUS_REASON_NO_SOCKET ? "there is no such socket"
                                                              : "nobody listens there",
                            system ? "systemctl start p2pbusd.socket, or your own: p2pbusd --user"
                                   : "p2pbusd --socket ",
                            system ? "" : quoted);
        case P2PBUS_REASON_NO_ACCESS:
                return fail(STATUS_NO_BUS,
                            "bus %s: permission denied; see the modes of the socket "
                            "and its folders, or choose another with --socket",
                            socket);
        case P2PBUS_REASON_BUSY:
                return fail(STATUS_FAILED,
                            "bus %s: this key is attached already; end the other "
                            "program or use another key",
                            socket);
        case P2PBUS_REASON_DENIED:
                return fail(STATUS_REFUSED, "bus %s: %s; ask its administrator", socket, why);
        case P2PBUS_REASON_RATE:
        case P2PBUS_REASON_QUOTA:
                return fail(STATUS_REFUSED,
                            "bus %s: %s; end some of your processes or wait a "
                            "moment",
                            socket, why);
        }
        if (error == -ETIMEDOUT)
                return fail(STATUS_NO_BUS, "bus %s: the daemon does not answer; look at its log",
                            socket);
        if (error == -ENOTCONN)
                return fail(STATUS_NO_BUS,
                            "bus %s: %s; look at its log, or choose another with "
                            "--socket",
                            socket, reason != 0 ? why : "no connection");
        return fail(STATUS_FAILED, "bus %s: %s; look at its log", socket,
                    reason != 0 ? why : p2pbus_error_text(error));
}

int connection_fail_key(const char *file, int error, int reason) {
        char quoted[QUOTE_SIZE];

        quote_for_shell(file, quoted);
        switch (reason) {
        case P2PBUS_REASON_KEY_MISSING:
                return fail(STATUS_FAILED,
                            "key %s: there is no such file; make it: "
                            "p2pbusctl keygen %s",
                            file, quoted);
        case P2PBUS_REASON_KEY_UNREADABLE:
                return fail(STATUS_FAILED,
                            "key %s: it cannot be read; run as its owner, or make "
                            "your own: p2pbusctl keygen FILE",
                            file);
        case P2PBUS_REASON_KEY_OWNER:
                return fail(STATUS_FAILED,
                            "key %s: it belongs to another user; run as root: "
                            "chown %u %s && chmod 600 %s",
                            file, (unsigned)geteuid(), quoted, quoted);
        case P2PBUS_REASON_KEY_MODE:
                return fail(STATUS_FAILED,
                            "key %s: group or others have rights on it; run: "
                            "chmod 600 %s",
                            file, quoted);
        case P2PBUS_REASON_KEY_NOT_REGULAR:
                return fail(STATUS_FAILED,
                            "key %s: not a regular file; name the file itself, or "
                            "make one: p2pbusctl keygen FILE",
                            file);
        case P2PBUS_REASON_KEY_MALFORMED:
                return fail(STATUS_FAILED,
                            "key %s: not a key file; make one: p2pbusctl keygen FILE", file);
        }
        return fail(STATUS_FAILED, "key %s: %s; make one: p2pbusctl keygen FILE", file,
                    p2pbus_error_text(error));
}

int connection_open(Connection *connection, const Options *options, uint32_t flags) {
        p2pbus_options wishes;
        char known_peers[4096];
        int r;

        memset(&wishes, 0, sizeof(wishes));
        wishes.struct_size = sizeof(wishes);
        wishes.socket_path = options->socket;
        wishes.key_file = options->key;
        wishes.flags = flags | (options->local ? 0 : (uint32_t)P2PBUS_OFF_HOST);
        if (!options->local && p2pbus_default_known_peers(known_peers, sizeof(known_peers)) == 0)
                wishes.known_peers = known_peers;
        connection->options = options;

        r = p2pbus_open(&connection->bus, &wishes);
        if (r == -ENOKEY || r == -EKEYREJECTED)
                return connection_fail_key(options->key, r, p2pbus_get_reason());
        if (r < 0 && p2pbus_get_reason() == P2PBUS_REASON_KNOWN_PEERS)
                return fail(STATUS_FAILED, "known peers: %s; mend the file or move it away",
                            p2pbus_get_explanation());
        if (r < 0)
                return fail_open(options, r, p2pbus_get_reason());
        connection->attached = true;
        tell(LEVEL_DEBUG, "attached to %s as %s", p2pbus_get_socket(connection->bus),
             p2pbus_get_full(connection->bus));
        return 0;
}

int connection_watch(Connection *connection) {
        sigset_t signals = watched_signals();

        connection->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
        if (connection->signal_fd < 0)
                return fail(STATUS_FAILED, "signalfd: %s; raise the limit of open files",
                            strerror(errno));
        (void)sigprocmask(SIG_BLOCK, &signals, NULL); /* cannot fail */
        return 0;
}

void connection_done(Connection *connection) {
        if (connection->bus)
                p2pbus_close(connection->bus);
        connection->bus = p2pbus_unref(connection->bus);
        if (connection->signal_fd >= 0)
                (void)close(connection->signal_fd);
        connection->signal_fd = -EBADF;
        free(connection->fds);
        connection->fds = NULL;
}

static void read_signals(Connection *connection) {
        struct signalfd_siginfo info;

        /* SIGCHLD has done its work by waking us. */
        while (read(connection->signal_fd, &info, sizeof(info)) == sizeof(info))
                if (info.ssi_signo != SIGCHLD && connection->signal == 0)
                        connection->signal = (int)info.ssi_signo;
}

static const char *right_name(int right) {
        switch (right) {
        case P2PBUS_RIGHT_NAME:
                return "name ";
        case P2PBUS_RIGHT_TOPIC:
                return "topic ";
        case P2PBUS_RIGHT_MONITOR:
                return "monitor";
        default:
                return "other hosts";
        }
}

/* What policy takes away from a tool that goes on, and gives back. */
static void tell_rights(Connection *connection) {
        p2pbus_right_change change = { .struct_size = sizeof(change) };

        while (p2pbus_next_right_change(connection->bus, &change) == 0)
                if (change.reason == 0)
                        tell(LEVEL_INFO, "%s%s: given back", right_name(change.right), change.what);
                else
                        tell(LEVEL_WARNING, "%s%s: taken away: %s; it comes back when %s",
                             right_name(change.right), change.what, change.explanation,
                             change.reason == P2PBUS_REASON_DENIED ? "policy allows it"
                                                                   : "the bus is started again");
}

/* One line when the bus goes, none when it is back: that is as everybody expects. */
static int look_after_bus(Connection *connection) {
        int reason = 0;
        int state = p2pbus_get_state(connection->bus, &reason);
        bool attached = state >= 0 && (state & P2PBUS_STATE_ATTACHED);

        if (state < 0 || (state & P2PBUS_STATE_CLOSED))
                return CONNECTION_E_CLOSED;
        tell_rights(connection);
        if (attached != connection->attached) {
                connection->attached = attached;
                if (attached)
                        tell(LEVEL_DEBUG, "bus %s: attached again",
                             p2pbus_get_socket(connection->bus));
                else
                        tell(LEVEL_WARNING, "bus %s: %s; waiting for it to come back",
                             p2pbus_get_socket(connection->bus), p2pbus_reason_text(reason));
        }
        return 0;
}

static int reserve_fds(Connection *connection, size_t n_fds) {
        struct pollfd *fds;

        if (connection->n_fds >= n_fds)
                return 0;
        fds = reallocarray(connection->fds, n_fds, sizeof(*fds));
        if (!fds)
                return -ENOMEM;
        connection->fds = fds;
        connection->n_fds = n_fds;
        return 0;
}

int connection_wait(Connection *connection, struct pollfd *fds, size_t n_fds,
                    uint64_t deadline_usec) {
        uint64_t now, timeout_usec = 0, library_usec = P2PBUS_FOREVER;
        struct timespec timeout;
        int r, n;

        r = reserve_fds(connection, n_fds + 2);
        if (r < 0)
                return r;
        r = p2pbus_get_timeout(connection->bus, &library_usec);
        if (r < 0)
                return r;

        connection->fds[0] = (struct pollfd){ .fd = p2pbus_get_fd(connection->bus),
                                              .events = (short)p2pbus_get_events(connection->bus) };
        connection->fds[1] = (struct pollfd){ .fd = connection->signal_fd, .events = POLLIN };
        if (n_fds > 0)
                memcpy(connection->fds + 2, fds, n_fds * sizeof(*fds));

        now = now_usec(CLOCK_MONOTONIC);
        if (deadline_usec > now)
                timeout_usec = deadline_usec == USEC_NEVER ? USEC_NEVER : deadline_usec - now;
        timeout_usec = MIN(timeout_usec, library_usec);
        timeout.tv_sec = (time_t)(timeout_usec / USEC_PER_SEC);
        timeout.tv_nsec = (long)(timeout_usec % USEC_PER_SEC * 1000);

        n = ppoll(connection->fds, n_fds + 2, timeout_usec == USEC_NEVER ? NULL : &timeout, NULL);
        if (n < 0 && errno != EINTR)
                return -errno;
        if (n_fds > 0 && n >= 0)
                memcpy(fds, connection->fds + 2, n_fds * sizeof(*fds));

        if (n > 0 && connection->fds[1].revents != 0)
                read_signals(connection);
        if (connection->signal != 0)
                return CONNECTION_E_SIGNAL;

        r = p2pbus_process(connection->bus);
        if (r < 0 && r != -ENOTCONN)
                return r;
        n += r > 0;
        r = look_after_bus(connection);
        if (r != 0)
                return r;
        return n == 0 && now_usec(CLOCK_MONOTONIC) >= deadline_usec ? CONNECTION_E_TIMEOUT : 0;
}

int connection_take_signal(Connection *connection) {
        int signal = connection->signal;

        connection->signal = 0;
        return signal;
}

void connection_wait_child(Connection *connection, uint64_t deadline_usec) {
        struct pollfd fd = { .fd = connection->signal_fd, .events = POLLIN };
        uint64_t now = now_usec(CLOCK_MONOTONIC);

        if (now >= deadline_usec)
                return;
        (void)poll(&fd, 1, (int)((deadline_usec - now) / USEC_PER_MSEC) + 1); /* then try again */
        read_signals(connection);
}

int connection_blocking(Connection *connection) {
        sigset_t signals = watched_signals();

        read_signals(connection);
        if (connection->signal != 0)
                return CONNECTION_E_SIGNAL;
        (void)sigprocmask(SIG_UNBLOCK, &signals, NULL); /* cannot fail */
        return 0;
}

int connection_end(Connection *connection, int r) {
        int reason = 0;

        switch (r) {
        case CONNECTION_E_SIGNAL:
                if (connection->signal == SIGINT)
                        return fail(STATUS_SIGNAL + SIGINT, "interrupted: SIGINT; start it again");
                return fail(STATUS_SIGNAL + connection->signal,
                            "terminated: SIGTERM; start it again");
        case CONNECTION_E_CLOSED:
                (void)p2pbus_get_state(connection->bus, &reason);
                if (reason == P2PBUS_REASON_REPLACED)
                        return fail(STATUS_NO_BUS,
                                    "bus %s: another program has attached with this "
                                    "key; use a key for each",
                                    p2pbus_get_socket(connection->bus));
                return connection_fail(connection, "bus", NULL, -ENOTCONN, reason, NULL);
        case CONNECTION_E_TIMEOUT:
                return fail(STATUS_TIMEOUT, "timed out: nothing came; give it more time with -t");
        default:
                return fail(STATUS_FAILED, "%s: %s; try again", r < 0 ? "system" : "internal",
                            strerror(r < 0 ? -r : ENOTRECOVERABLE));
        }
}

int connection_status(int error, int reason) {
        switch (error) {
        case -EHOSTUNREACH:
                return reason == P2PBUS_REASON_SETTLING ? STATUS_TIMEOUT : STATUS_NOT_FOUND;
        case -ENXIO:
        case -ENETUNREACH:
                return STATUS_NOT_FOUND;
        case -ETIMEDOUT:
                return STATUS_TIMEOUT;
        case -EACCES:
        case -EDQUOT:
        case -EMSGSIZE:
                return STATUS_REFUSED;
        case -ENOTCONN:
                return STATUS_NO_BUS;
        case -EINVAL:
                if (reason == P2PBUS_REASON_RESERVED)
                        return STATUS_NOT_FOUND;
                return reason == P2PBUS_REASON_BAD_DESTINATION ? STATUS_USAGE : STATUS_FAILED;
        default:
                return STATUS_FAILED;
        }
}

static int state_of(Connection *connection) {
        int state = connection->bus ? p2pbus_get_state(connection->bus, NULL) : 0;

        return MAX(state, 0);
}

/* Other hosts can be reached from here, but not by this user: the daemon then says no more than
 * "not here". */
static bool is_kept_from_other_hosts(Connection *connection) {
        int state = state_of(connection);

        return connection->options && !connection->options->local && state & P2PBUS_STATE_GATEWAY &&
               !(state & P2PBUS_STATE_OFF_HOST);
}

/* What a user can do about it; never empty. */
static const char *advice(Connection *connection, int error, int reason) {
        int state = state_of(connection);
        bool local = !connection->options || connection->options->local;

        switch (reason) {
        case P2PBUS_REASON_NO_ROUTE:
        case P2PBUS_REASON_NOT_LEASED:
                if (local)
                        return "leave out --local to look on other hosts";
                return "see the processes of this host with p2pbusctl list, or start p2pbus-bridge";
        case P2PBUS_REASON_WRONG_KEY:
                return "write the full form that p2pbusctl id prints there, or, if its key was "
                       "replaced, run p2pbusctl forget";
        case P2PBUS_REASON_AMBIGUOUS:
                return "write the full form that p2pbusctl id prints there";
        case P2PBUS_REASON_UNKNOWN:
                return "ask the receiver before you send it again";
        case P2PBUS_REASON_NO_REPLY:
                return "leave out -r, or start a receiver that replies: p2pbus-recv --exec";
        case P2PBUS_REASON_QUEUE_FULL:
        case P2PBUS_REASON_OVERLOAD:
        case P2PBUS_REASON_RATE:
        case P2PBUS_REASON_QUOTA:
                return "send less at a time, or later";
        }
        switch (error) {
        case -EHOSTUNREACH:
        case -ENETUNREACH:
                return "see who is there with p2pbusctl list";
        case -ENXIO:
                if (is_kept_from_other_hosts(connection))
                        return "start a program that provides it, or, if that is on another host, "
                               "be a member of group p2pbus-net";
                return "start a program that provides it, for example p2pbus-recv --name";
        case -ETIMEDOUT:
                if (!local && state & P2PBUS_STATE_GATEWAY && !(state & P2PBUS_STATE_REACHABLE))
                        return "see with p2pbusctl status whether a relay is connected, or give it "
                               "more time with -t";
                return "see whether the receiver is stopped, or give it more time with -t";
        case -EMSGSIZE:
                return "send it in pieces with --chunk";
        case -EACCES:
                return "ask the bus's administrator";
        case -ENOTCONN:
                return "start the bus again";
        case -EINVAL:
                return "see what exists with p2pbusctl list";
        default:
                return "try again";
        }
}

int connection_fail(Connection *connection, const char *what, const char *dest, int error,
                    int reason, const char *text) {
        if ((error == -EHOSTUNREACH || error == -ENETUNREACH || error == -EACCES) &&
            is_kept_from_other_hosts(connection))
                return fail(
                        STATUS_REFUSED,
                        "%s%s%s: not on this host, and policy keeps this user from other hosts; "
                        "be a member of group p2pbus-net",
                        what, dest ? " " : "", dest ? dest : "");
        /* What this thread noted last says by which rule. */
        if (!text && reason == P2PBUS_REASON_DENIED && p2pbus_get_reason() == reason)
                text = p2pbus_get_explanation();
        if (!text)
                text = reason != 0 ? p2pbus_reason_text(reason) : p2pbus_error_text(error);
        return fail(connection_status(error, reason), "%s%s%s: %s; %s", what, dest ? " " : "",
                    dest ? dest : "", text, advice(connection, error, reason));
}

int connection_fail_message(Connection *connection, const char *what, p2pbus_message *message,
                            int error, int reason) {
        const char *rule = p2pbus_message_get_refusal(message);
        int by = p2pbus_message_get_refuser(message);
        bool has_rule = reason == P2PBUS_REASON_DENIED && by == P2PBUS_BY_RECEIVER;
        char why[1024];

        if (rule)
                (void)snprintf(why, sizeof(why), "%s: %s", p2pbus_reason_text(reason), rule);
        else
                (void)snprintf(why, sizeof(why), "%s, says %s%s", p2pbus_reason_text(reason),
                               p2pbus_refuser_text(by),
                               has_rule ? ", whose host's log has the rule" : "");
        return connection_fail(connection, what, NULL, error, reason,
                               rule || by > P2PBUS_BY_DAEMON ? why : NULL);
}
