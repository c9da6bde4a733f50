/* SPDX-License-Identifier: Apache-2.0 */

/*
 * p2pbus-procbridge: between programs that speak ProcBridge and the services of the bus
 *
 * Where this stands in the life of a message: at both its ends. A client's request becomes a call, and a
 * call becomes a request to a server; in between it is a message as any other.
 *
 * Code structure
 *
 *      main.c          arguments, the bus; then the manager
 *      settings.c      what the arguments say
 *      manager.c       the loop: signals, stopping
 *      listener.c      where clients connect
 *      client.c        one client: its request, its answer
 *      peers.c         who the clients are, and how many of one
 *      calls.c         requests to the bus, so many at a time
 *      service.c       a name of the bus, with a server behind it
 *      exchange.c      one request to a server
 *      transfer.c      packets in and out of sockets
 *      endpoint.c      addresses and paths
 *      packet.c        ProcBridge's packets
 *      body.c          what stands in them
 *      json-text.c     JSON, looked at and not taken apart
 *      text.c          bytes put together
 *      budget.h        memory of all bodies
 */

#include <stdio.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-journal.h>

#include "libcore/program.h"
#include "procbridge/listener.h"
#include "procbridge/manager.h"
#include "procbridge/service.h"

#define PROGRAM "p2pbus-procbridge"
#define USAGE PROGRAM_STATUS_USAGE
#define STATUS_REFUSED 5
#define STATUS_NO_BUS 6

static Settings settings;

static void help(void) {
        printf("Usage: " PROGRAM " [OPTION]... [--listen WHERE]... [--provide NAME=WHERE]...\n"
               "Lets programs that speak ProcBridge call services of the bus, and offers "
               "ProcBridge\n"
               "servers as services. WHERE is ADDR:PORT, or the path of a Unix socket.\n"
               "\n"
               "      --listen WHERE      take ProcBridge clients there; may be repeated; port 0 "
               "takes\n"
               "                          a free one. Their method is NAME/METHOD\n"
               "      --service NAME      or METHOD of this service, and no other can be called\n"
               "      --provide NAME=WHERE\n"
               "                          be service NAME, for the ProcBridge server there; may "
               "be\n"
               "                          repeated\n"
               "      --priority N        of these names: who has the lowest number is asked "
               "(100)\n"
               "      --weight N          of these names: a share among those of one priority "
               "(100)\n"
               "      --metadata TEXT     of these names: what others may want to know of this\n"
               "                          provider\n"
               "  -S, --socket PATH       the bus's socket (default: $P2PBUS_SOCKET, your user bus "
               "if\n"
               "                          it is there, /run/p2pbus/bus)\n"
               "  -k, --key FILE          be the process of this key (default: $P2PBUS_KEY, a "
               "fresh\n"
               "                          key); not with more than one --provide\n"
               "      --local             stay on this host\n"
               "  -t, --timeout SECONDS   of a call (30)\n"
               "      --mode MODE         of Unix sockets (0600)\n"
               "      --strict            take version 1.1 only, not 1.0\n"
               "      --half-close        a TCP client that says no more still waits for its "
               "answer\n"
               "      --first-timeout SECONDS\n"
               "                          to a client's first byte (10)\n"
               "      --request-timeout SECONDS\n"
               "                          to its last, and to take its answer (60)\n"
               "      --max-body SIZE     bytes of a request or a server's answer (16M)\n"
               "      --max-memory SIZE   bytes of all that are held (256M)\n"
               "      --max-connections N of clients (1024)\n"
               "      --max-peer N        of one user or address (256)\n"
               "      --max-calls N       at a time: of all clients, and to each server (256)\n"
               "  -v, --verbose           say more; -q, --quiet: only warnings and errors\n"
               "  -h, --help              this text; -V, --version: the version\n"
               "\n"
               "See " PROGRAM "(1).\n");
}

static Program program = { .name = PROGRAM, .hint = "see --help", .help = help };

#define fail(status, ...) program_fail(&program, (status), __VA_ARGS__)

enum {
        OPT_LISTEN = _PROGRAM_OPT_FIRST_OWN,
        OPT_SERVICE,
        OPT_PROVIDE,
        OPT_PRIORITY,
        OPT_WEIGHT,
        OPT_METADATA,
        OPT_LOCAL,
        OPT_MODE,
        OPT_STRICT,
        OPT_HALF_CLOSE,
        OPT_FIRST_TIMEOUT,
        OPT_REQUEST_TIMEOUT,
        OPT_MAX_BODY,
        OPT_MAX_MEMORY,
        OPT_MAX_CONNECTIONS,
        OPT_MAX_PEER,
        OPT_MAX_CALLS,
};

/* clang-format off */
static const struct option options[] = {
        { "listen",          required_argument, NULL, OPT_LISTEN },
        { "service",         required_argument, NULL, OPT_SERVICE },
        { "provide",         required_argument, NULL, OPT_PROVIDE },
        { "priority",        required_argument, NULL, OPT_PRIORITY },
        { "weight",          required_argument, NULL, OPT_WEIGHT },
        { "metadata",        required_argument, NULL, OPT_METADATA },
        { "socket",          required_argument, NULL, 'S' },
        { "key",             required_argument, NULL, 'k' },
        { "local",           no_argument,       NULL, OPT_LOCAL },
        { "timeout",         required_argument, NULL, 't' },
        { "mode",            required_argument, NULL, OPT_MODE },
        { "strict",          no_argument,       NULL, OPT_STRICT },
        { "half-close",      no_argument,       NULL, OPT_HALF_CLOSE },
        { "first-timeout",   required_argument, NULL, OPT_FIRST_TIMEOUT },
        { "request-timeout", required_argument, NULL, OPT_REQUEST_TIMEOUT },
        { "max-body",        required_argument, NULL, OPT_MAX_BODY },
        { "max-memory",      required_argument, NULL, OPT_MAX_MEMORY },
        { "max-connections", required_argument, NULL, OPT_MAX_CONNECTIONS },
        { "max-peer",        required_argument, NULL, OPT_MAX_PEER },
        { "max-calls",       required_argument, NULL, OPT_MAX_CALLS },
        { "verbose",         no_argument,       NULL, 'v' },
        { "quiet",           no_argument,       NULL, 'q' },
        { "help",            no_argument,       NULL, 'h' },
        { "version",         no_argument,       NULL, 'V' },
        { 0 },
};
/* clang-format on */

/* Return: what is wrong with @value; NULL: nothing. */
static const char *take_value(int c, const char *value) {
        switch (c) {
        case OPT_LISTEN:
                return settings_add_listen(&settings, value);
        case OPT_SERVICE:
                return settings.service ? "a second one; give one, or none and write NAME/METHOD"
                                        : settings_set_service(&settings, value);
        case OPT_PROVIDE:
                return settings_add_provide(&settings, value);
        case OPT_PRIORITY:
                return settings_set_priority(&settings, value);
        case OPT_WEIGHT:
                return settings_set_weight(&settings, value);
        case OPT_METADATA:
                return settings_set_metadata(&settings, value);
        case 'S':
                settings.socket = value;
                return NULL;
        case 'k':
                settings.key = value;
                return NULL;
        case 't':
                return settings_read_time(value, &settings.timeout_usec);
        case OPT_MODE:
                return settings_read_mode(value, &settings.mode);
        case OPT_FIRST_TIMEOUT:
                return settings_read_time(value, &settings.first_usec);
        case OPT_REQUEST_TIMEOUT:
                return settings_read_time(value, &settings.request_usec);
        case OPT_MAX_BODY:
                return settings_read_size(value, &settings.max_body);
        case OPT_MAX_MEMORY:
                return settings_read_size(value, &settings.max_memory);
        case OPT_MAX_CONNECTIONS:
                return settings_read_count(value, &settings.max_connections);
        case OPT_MAX_PEER:
                return settings_read_count(value, &settings.max_peer);
        case OPT_MAX_CALLS:
                return settings_read_count(value, &settings.max_calls);
        default:
                return "no such option"; /* not reached: their switch knows them all */
        }
}

/* Return: an exit status, or PROGRAM_GO_ON. */
static int take_option(int c, int index, char *const *argv) {
        const char *why;

        switch (c) {
        case OPT_LOCAL:
                settings.local = true;
                return PROGRAM_GO_ON;
        case OPT_STRICT:
                settings.strict = true;
                return PROGRAM_GO_ON;
        case OPT_HALF_CLOSE:
                settings.half_close = true;
                return PROGRAM_GO_ON;
        case 'v':
        case 'q':
        case 'h':
        case 'V':
        case ':':
        case '?':
                return program_take(&program, c, argv);
        }
        why = take_value(c, optarg);
        if (!why)
                return PROGRAM_GO_ON;
        if (index >= 0)
                return fail(USAGE, "--%s %s: %s%s", options[index].name, optarg, why,
                            strchr(why, ';') ? "" : "; see --help");
        return fail(USAGE, "-%c %s: %s%s", c, optarg, why, strchr(why, ';') ? "" : "; see --help");
}

/* Return: an exit status, or PROGRAM_GO_ON. */
static int parse_argv(int argc, char **argv) {
        int c, index, status = PROGRAM_GO_ON;

        settings.key = getenv("P2PBUS_KEY");
        for (;;) {
                index = -1;
                c = getopt_long(argc, argv, PROGRAM_LETTERS "S:k:t:", options, &index);
                if (c < 0)
                        break;
                status = take_option(c, index, argv);
                if (status >= 0)
                        return status;
        }
        if (optind < argc)
                return fail(USAGE, "%s: no operand is taken; see --help", argv[optind]);
        if (settings.key && *settings.key == '\0')
                settings.key = NULL;
        if (settings.key && settings.n_provide > 1)
                return fail(USAGE,
                            "--key %s: one key cannot be several services; start a gateway for "
                            "each",
                            settings.key);
        return PROGRAM_GO_ON;
}

static int fail_bus(const char *what, int r) {
        int reason = p2pbus_get_reason();

        switch (r) {
        case -EACCES:
        case -EDQUOT:
        case -EBUSY:
                return fail(STATUS_REFUSED, "%s: %s; ask the bus's administrator", what,
                            p2pbus_get_explanation());
        case -ENOTCONN:
        case -ETIMEDOUT:
                return fail(STATUS_NO_BUS,
                            "%s: %s; start p2pbusd, or name its socket with --socket", what,
                            p2pbus_get_explanation());
        case -EINVAL:
                return fail(USAGE, "%s: %s; --metadata is UTF-8 without control characters", what,
                            p2pbus_get_explanation());
        case -ENAMETOOLONG:
                return fail(USAGE, "%s: %s; use a shorter path", what, p2pbus_get_explanation());
        default:
                return fail(EXIT_FAILURE, "%s: %s; %s", what, p2pbus_get_explanation(),
                            reason >= P2PBUS_REASON_KEY_MISSING &&
                                            reason <= P2PBUS_REASON_KEY_MALFORMED
                                    ? "make a key with p2pbusctl keygen, or chmod 600 it"
                                    : "try again");
        }
}

/* Return: an exit status, or PROGRAM_GO_ON. */
static int open_service(Manager *m, const SettingsProvide *provide) {
        p2pbus_options bus_options = {
                .struct_size = sizeof(bus_options),
                .socket_path = settings.socket,
                .key_file = settings.key,
                .flags = settings.local ? 0 : P2PBUS_OFF_HOST,
        };
        p2pbus *bus = NULL;
        Service *service;
        int r;

        r = p2pbus_open(&bus, &bus_options);
        if (r < 0)
                return fail_bus(settings.key && (r == -ENOKEY || r == -EKEYREJECTED) ? settings.key
                                                                                     : "bus",
                                r);
        r = service_new(&service, m, bus, provide);
        p2pbus_unref(bus);
        if (r < 0)
                return fail(EXIT_FAILURE, "event loop: %s; try again", strerror(-r));
        r = service_claim(service);
        return r < 0 ? fail_bus(provide->name, r) : PROGRAM_GO_ON;
}

/* Return: an exit status, or PROGRAM_GO_ON. */
static int listen_at(Manager *m, const Endpoint *endpoint) {
        char text[ENDPOINT_TEXT_SIZE];
        const char *why;
        int r, fd;

        endpoint_format(endpoint, text);
        r = endpoint_listen(endpoint, (mode_t)settings.mode, &fd);
        if (r == 0) {
                r = listener_new(m, fd, endpoint->address.any.sa_family == AF_UNIX ? text : NULL);
                if (r == 0)
                        return PROGRAM_GO_ON;
        }
        why = r == ENDPOINT_E_ALIVE       ? "somebody listens there already"
              : r == ENDPOINT_E_NO_SOCKET ? "a file that is no socket is there"
                                          : strerror(-r);
        return fail(EXIT_FAILURE, "--listen %s: %s; name another place", text, why);
}

/* Sockets of systemd come first, then ours. Return: an exit status, or PROGRAM_GO_ON. */
static int listen_all(Manager *m, int n_passed) {
        int r, status = PROGRAM_GO_ON;

        for (int i = 0; i < n_passed; i++) {
                int fd = SD_LISTEN_FDS_START + i;

                r = sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1);
                if (r == 0)
                        return fail(EXIT_FAILURE, "the socket of systemd: it takes no connections; "
                                                  "see its socket unit");
                if (r > 0)
                        r = listener_new(m, fd, NULL);
                if (r < 0)
                        return fail(EXIT_FAILURE, "the socket of systemd: %s; see its socket unit",
                                    strerror(-r));
        }
        for (unsigned i = 0; status < 0 && i < settings.n_listen; i++)
                status = listen_at(m, settings.listen + i);
        return status;
}

/* Return: an exit status, or PROGRAM_GO_ON. */
static int set_up(Manager *m, const Log *log) {
        int n_passed = sd_listen_fds(true), r, status = PROGRAM_GO_ON;
        bool listens = settings.n_listen > 0 || n_passed > 0;

        if (!listens && settings.n_provide == 0)
                return fail(
                        USAGE,
                        "nothing to do: neither clients nor servers; give --listen or --provide");
        if (settings.service && !listens)
                return fail(USAGE, "--service %s: for clients, and there are none; give --listen",
                            settings.service);
        if (settings.rank_given && settings.n_provide == 0)
                return fail(USAGE,
                            "--priority, --weight and --metadata: they are said of names; give "
                            "--provide");
        r = manager_init(m, &settings, log);
        if (r < 0)
                return fail(EXIT_FAILURE, "event loop: %s; try again", strerror(-r));
        for (unsigned i = 0; status < 0 && i < settings.n_provide; i++)
                status = open_service(m, settings.provide + i);
        if (status < 0 && settings.n_provide == 0)
                status = open_service(m, NULL);
        if (status >= 0 || !listens)
                return status;
        r = calls_init(&m->calls, m->services->bus, m->event, &m->budget, settings.timeout_usec,
                       settings.max_calls);
        m->has_calls = true;
        if (r < 0)
                return fail(EXIT_FAILURE, "event loop: %s; try again", strerror(-r));
        return listen_all(m, n_passed);
}

static void announce(const Manager *m) {
        char text[ENDPOINT_TEXT_SIZE];

        for (const Service *service = m->services; service; service = service->next)
                if (service->provide)
                        fprintf(stderr, "providing %s as %s for %s\n", service->provide->name,
                                p2pbus_get_full(service->bus),
                                endpoint_format(&service->provide->server, text));
        listeners_announce(m);
}

int main(int argc, char **argv) {
        Manager manager = { 0 };
        int status, r;
        Log log;

        settings = settings_default;
        status = parse_argv(argc, argv);
        if (status < 0) {
                program_init_log(&program, &log, sd_journal_sendv);
                program_block_signals();
                status = set_up(&manager, &log);
        }
        if (status < 0) {
                announce(&manager);
                r = manager_run(&manager);
                status = EXIT_SUCCESS;
                if (r < 0)
                        status = fail(EXIT_FAILURE, "event loop: %s; start it again", strerror(-r));
                else if (manager.closed_reason > 0)
                        status = fail(STATUS_NO_BUS, "bus: %s; start it again",
                                      p2pbus_reason_text(manager.closed_reason));
        }
        manager_done(&manager);
        settings_done(&settings);
        return status;
}
