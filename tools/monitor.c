/* SPDX-License-Identifier: Apache-2.0 */

/*
 * p2pbus-monitor: shows the messages that pass through this host's daemon and through rings
 *
 * Code structure:
 *      monitor.c       options; filters; a line or an object a message
 *      names.c         which names which process provides, as the daemon lists them
 *      connection.c    the bus, signals, the one place that waits
 *      output.c        stdout
 *
 * A message in several packets is one line: its first piece tells all there is to show. That piece
 * is payload to the daemon, so payloads are asked for, and read no further. Of what is sealed for
 * other hosts, and where policy allows headers only, each packet is a line.
 */

#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "libclient/p2pbus.h"
#include "tools/argument.h"
#include "tools/common.h"
#include "tools/connection.h"
#include "tools/json.h"
#include "tools/names.h"
#include "tools/options.h"
#include "tools/output.h"

#define PEERS_MAX 64
#define ANSWER_USEC (5 * USEC_PER_SEC) /* for the daemon to answer */

static const char help[] =
        "Usage: p2pbus-monitor [OPTION]...\n"
        "Show the messages that pass through this host's bus: time, source, destination, kind, id,\n"
        "size, name, path.\n"
        "\n"
        "  -n, --count COUNT   end after COUNT messages\n"
        "      --peer PID      only what comes from or goes to PID; may be repeated\n"
        "      --name NAME     only what comes from or goes to a provider of NAME; may be "
        "repeated\n" OPTIONS_HELP "\n"
        "Exit status: 0 done, 1 failed, 2 usage, 5 refused, 6 no bus. More in p2pbus-monitor(1).\n";

typedef struct Monitor {
        Options options;
        Connection connection;
        Names names;
        uint64_t count; /* 0: no end */
        char peers[PEERS_MAX][P2PBUS_PID_SIZE];
        size_t n_peers;
        const char *wanted_names[PEERS_MAX];
        size_t n_wanted_names;
        uint64_t n_seen;
        bool told_headers_only;
} Monitor;

static bool is_wanted_peer(const Monitor *monitor, const p2pbus_seen *seen) {
        for (size_t i = 0; i < monitor->n_peers; i++)
                if (strcmp(monitor->peers[i], seen->from) == 0 ||
                    strcmp(monitor->peers[i], seen->to) == 0)
                        return true;
        return monitor->n_peers == 0;
}

static bool is_wanted_name(const Monitor *monitor, const p2pbus_seen *seen) {
        for (size_t i = 0; i < monitor->n_wanted_names; i++)
                if (names_provides(&monitor->names, seen->from, monitor->wanted_names[i]) ||
                    names_provides(&monitor->names, seen->to, monitor->wanted_names[i]))
                        return true;
        return monitor->n_wanted_names == 0;
}

/* A name that tells what the message is about: of who is asked, or of who answers. */
static const char *name_of(const Monitor *monitor, const p2pbus_seen *seen) {
        const char *name = names_of(&monitor->names, seen->to);

        return name ? name : names_of(&monitor->names, seen->from);
}

static const char *format_time(uint64_t usec, char text[static 32]) {
        time_t seconds = (time_t)(usec / USEC_PER_SEC);
        struct tm tm;
        size_t n;

        (void)gmtime_r(&seconds, &tm); /* fails only for years beyond int */
        n = strftime(text, 32, "%Y-%m-%dT%H:%M:%S", &tm);
        (void)snprintf(text + n, 32 - n, ".%06uZ", (unsigned)(usec % USEC_PER_SEC));
        return text;
}

static char *format_object(const Monitor *monitor, const p2pbus_seen *seen, const char *kind,
                           uint64_t size, const char *path, size_t *ret_n) {
        JsonValue *object = json_begin();
        char time_text[32];

        json_add_text(object, "time", format_time(seen->time_usec, time_text));
        json_add_text(object, "source", seen->from);
        json_add_text(object, "destination", seen->to);
        json_add_text(object, "kind", kind);
        json_add_text(object, "id", seen->id);
        if (*seen->reply_to)
                json_add_text(object, "reply_to", seen->reply_to);
        json_add_number(object, "size", size);
        json_add_text(object, "name", name_of(monitor, seen));
        json_add_text(object, "path", path);
        if (seen->type)
                json_add_text(object, "type", seen->type);
        return json_finish(object, ret_n);
}

static char *format_line(const Monitor *monitor, const p2pbus_seen *seen, const char *kind,
                         uint64_t size, const char *path, size_t *ret_n) {
        const char *name = name_of(monitor, seen);
        char time_text[32];
        char *line = NULL;
        int n;

        n = asprintf(&line,
                     isatty(STDOUT_FILENO) ? "%s  %s  %s  %-7s  %s  %8" PRIu64 "  %-20s  %s\n"
                                           : "%s\t%s\t%s\t%s\t%s\t%" PRIu64 "\t%s\t%s\n",
                     format_time(seen->time_usec, time_text), seen->from, seen->to, kind, seen->id,
                     size, name ? name : "-", path);
        if (n < 0)
                return NULL;
        *ret_n = (size_t)n;
        return line;
}

static const char *path_text(const p2pbus_seen *seen) {
        switch (seen->path) {
        case P2PBUS_PATH_OFF_HOST:
                return "gateway";
        case P2PBUS_PATH_RING:
                return "ring";
        default:
                return "daemon";
        }
}

/* Return: 0, OUTPUT_E_X, CONNECTION_E_X, -errno. */
static int show(Monitor *monitor, const p2pbus_seen *seen) {
        bool sealed = seen->seen == P2PBUS_SEEN_SEALED;
        bool message = seen->seen == P2PBUS_SEEN_MESSAGE;
        const char *kind = message ? p2pbus_kind_text(seen->kind) : sealed ? "sealed" : "packet";
        const char *path = path_text(seen);
        uint64_t size = message ? seen->message_bytes : seen->packet_bytes;
        _cleanup_(freep) char *text = NULL;
        size_t n;

        if (!message && !sealed && !monitor->told_headers_only) {
                monitor->told_headers_only = true;
                tell(LEVEL_WARNING, "monitor: policy allows headers only, each packet is a line; "
                                    "ask the bus's administrator for more");
        }
        if (monitor->options.json)
                text = format_object(monitor, seen, kind, size, path, &n);
        else
                text = format_line(monitor, seen, kind, size, path, &n);
        return text ? output_write(&monitor->connection, text, n) : -ENOMEM;
}

static bool is_shown(const p2pbus_seen *seen) {
        return seen->seen == P2PBUS_SEEN_MESSAGE || seen->seen == P2PBUS_SEEN_SEALED ||
               seen->seen == P2PBUS_SEEN_RECORDS;
}

/* Shows what has come. Return: 0, OUTPUT_E_X, CONNECTION_E_X, -errno. */
static int show_all(Monitor *monitor) {
        for (;;) {
                p2pbus_seen seen;
                uint64_t n_lost = 0;
                int r;

                memset(&seen, 0, sizeof(seen));
                seen.struct_size = sizeof(seen);
                r = p2pbus_monitor_next(monitor->connection.bus, 0, &seen, &n_lost);
                if (n_lost > 0)
                        tell(LEVEL_WARNING,
                             "%" PRIu64 " packets were not seen: too many at a time; "
                             "see fewer with --peer",
                             n_lost);
                if (r == -EAGAIN || r == -ENOTCONN)
                        return 0;
                if (r < 0)
                        return r;
                if (!is_shown(&seen) || !is_wanted_peer(monitor, &seen))
                        continue;
                names_refresh(&monitor->names, seen.from, seen.to);
                if (!is_wanted_name(monitor, &seen))
                        continue;
                r = show(monitor, &seen);
                if (r != 0)
                        return r;
                monitor->n_seen++;
                if (monitor->count > 0 && monitor->n_seen == monitor->count)
                        return 0;
        }
}

static int run(Monitor *monitor) {
        for (;;) {
                struct pollfd stdout_fd = output_pollfd(true);
                int r;

                r = connection_wait(&monitor->connection, &stdout_fd, 1, USEC_NEVER);
                if (r == 0 && stdout_fd.revents != 0)
                        return STATUS_DONE;
                if (r == 0)
                        r = show_all(monitor);
                if (r != 0)
                        return output_end(&monitor->connection, r);
                if (monitor->count > 0 && monitor->n_seen >= monitor->count)
                        return STATUS_DONE;
        }
}

static int start(Monitor *monitor) {
        p2pbus *bus = monitor->connection.bus;
        int r;

        /* One process the daemon can pick out itself, by its PID: senders need not know more. */
        r = p2pbus_monitor_start(bus, 1, monitor->n_peers == 1 ? monitor->peers[0] : NULL,
                                 ANSWER_USEC);
        if (r < 0)
                return connection_fail(&monitor->connection, "monitor", NULL, r,
                                       p2pbus_get_reason(), NULL);

        names_init(&monitor->names, bus);
        tell(LEVEL_INFO, "monitoring %s", p2pbus_get_socket(bus));
        return 0;
}

/* ---- Options ---- */

enum {
        OPTION_PEER = _OPTION_FIRST_OWN,
        OPTION_NAME,
};

static int take_peer(Monitor *monitor, const char *text) {
        int form = p2pbus_check_destination(text);
        size_t n = 0;
        char *pid;

        if (form < 0 || form == P2PBUS_DESTINATION_NAME)
                return fail(STATUS_USAGE, "--peer %s: not a PID; see p2pbusctl list", text);
        if (monitor->n_peers >= PEERS_MAX)
                return fail(STATUS_USAGE, "--peer %s: one too many; %d are enough", text,
                            PEERS_MAX);
        pid = monitor->peers[monitor->n_peers++];
        for (; n < P2PBUS_PID_SIZE - 1; text++)
                if (*text != '-')
                        pid[n++] = (char)(*text >= 'A' && *text <= 'F' ? *text - 'A' + 'a' : *text);
        pid[n] = '\0';
        return -1;
}

static int take_name(Monitor *monitor, const char *name) {
        if (p2pbus_check_destination(name) != P2PBUS_DESTINATION_NAME)
                return fail(STATUS_USAGE, "--name %s: not a name; it has a dot", name);
        if (monitor->n_wanted_names >= PEERS_MAX)
                return fail(STATUS_USAGE, "--name %s: one too many; %d are enough", name,
                            PEERS_MAX);
        monitor->wanted_names[monitor->n_wanted_names++] = name;
        return -1;
}

static int take_count(Monitor *monitor, const char *text) {
        if (argument_count(text, 1, UINT64_MAX, &monitor->count) < 0)
                return fail(STATUS_USAGE, "-n %s: not a count; write a number from 1", text);
        return -1;
}

/* Return: -1 to go on, else the status to end with. */
static int parse_argv(Monitor *monitor, int argc, char **argv) {
        static const struct option long_options[] = {
                { "count", required_argument, NULL, 'n' },
                { "peer", required_argument, NULL, OPTION_PEER },
                { "name", required_argument, NULL, OPTION_NAME },
                OPTIONS_LONG,
                { 0 },
        };
        int c, status = -1;

        while (status < 0 &&
               (c = getopt_long(argc, argv, "-:n:" OPTIONS_SHORT, long_options, NULL)) >= 0) {
                switch (c) {
                case 1:
                        status = fail(STATUS_USAGE,
                                      "%s: no operand is expected; see p2pbus-monitor "
                                      "--help",
                                      optarg);
                        break;
                case 'n':
                        status = take_count(monitor, optarg);
                        break;
                case OPTION_PEER:
                        status = take_peer(monitor, optarg);
                        break;
                case OPTION_NAME:
                        status = take_name(monitor, optarg);
                        break;
                default:
                        status = options_take(&monitor->options, c, argv, help);
                }
        }
        if (status < 0 && optind < argc)
                status = fail(STATUS_USAGE, "%s: no operand is expected; see p2pbus-monitor --help",
                              argv[optind]);
        return status;
}

int main(int argc, char **argv) {
        Monitor monitor = { 0 };
        int status;

        common_init("p2pbus-monitor");
        connection_init(&monitor.connection);
        options_init(&monitor.options);

        status = parse_argv(&monitor, argc, argv);
        if (status < 0) {
                monitor.options.local = true; /* nobody sends to a monitor */
                status = connection_open(&monitor.connection, &monitor.options, 0);
                if (status == 0)
                        status = start(&monitor);
                if (status == 0)
                        status = connection_watch(&monitor.connection);
                if (status == 0)
                        status = run(&monitor);
        }
        names_done(&monitor.names);
        connection_done(&monitor.connection);
        return status;
}
