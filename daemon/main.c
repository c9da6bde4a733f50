/* SPDX-License-Identifier: Apache-2.0 */

/*
 * p2pbusd: routes messages between the processes of one host
 *
 * Code structure:
 *      main.c      -- options, paths, configuration; starts the manager
 *      settings.c  -- p2pbusd.conf and default paths
 *      manager.c   -- owns everything; the loop, turns, signals, reload, stop
 *      listener.c  -- accepts connections
 *      peer.c      -- one connection: attach, reading, writing, its end
 *      outbox.c    -- what waits to be written to a connection, and who pays for it
 *      route.c     -- where a packet goes
 *      words.c     -- control words of processes, a handler each
 *      registry.c  -- from an address to a connection
 *      names.c     -- from a name to its providers
 *      gateway.c   -- the gateway role: questions, answers, cached leases
 *      lease.c     -- leases of this host's processes
 *      introduction.c -- how two processes get a ring, and lose it
 *      rings.c     -- which processes have one, and who pays for it
 *      monitor.c   -- copies for those who watch
 *      query.c     -- status and lists as text
 *      policy.c    -- who may do what: pure functions
 *      quota.c     -- who pays for what the daemon holds
 *
 * One message: peer.c reads it, route.c finds its receiver, quota.c charges it, outbox.c holds it,
 * peer.c writes it at the end of the turn.
 */

#include "config.h"

#include <getopt.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-journal.h>

#include "daemon/manager.h"
#include "daemon/settings.h"
#include "libcore/err.h"
#include "libsecure/crypto.h"

#define PROGRAM "p2pbusd"
#define EXIT_USAGE 2
#define SOCKET_PATH_MAX 107

typedef enum Bus {
        BUS_BY_UID, /* neither --user nor --system */
        BUS_USER,
        BUS_SYSTEM,
} Bus;

static Bus arg_bus = BUS_BY_UID;
static Paths arg_paths;
static bool arg_check_config = false;
static bool arg_config_named = false;
static int arg_verbosity = 0;

static void help(void) {
        puts("Usage: " PROGRAM " [OPTION]...\n"
             "Routes messages between the processes of this host.\n"
             "\n"
             "      --user            a bus of one user: its policy, configuration and paths\n"
             "      --system          the bus of the host; the default for root and user p2pbus\n"
             "  -S, --socket PATH     listen there\n"
             "  -c, --config FILE     configuration, instead of p2pbusd.conf of this kind of bus\n"
             "      --state-dir DIR   what is kept from one start to the next\n"
             "      --check-config    read the configuration, say what is wrong, and end\n"
             "  -v, --verbose         say more; -q, --quiet: only warnings and errors\n"
             "  -h, --help\n"
             "  -V, --version\n"
             "\n"
             "A socket handed over by systemd is used instead of PATH. Ends on SIGTERM and "
             "SIGINT,\n"
             "reads its configuration again on SIGHUP. See p2pbusd(8).");
}

static int replace(char **path, const char *value) {
        free(*path);
        *path = strdup(value);
        return *path ? 0 : err_origin(-ENOMEM);
}

/* Return: -1 to go on, or the exit status. */
static int parse_argv(int argc, char *argv[]) {
        enum { OPT_USER = 256, OPT_SYSTEM, OPT_STATE_DIR, OPT_CHECK_CONFIG };
        static const struct option options[] = {
                { "user", no_argument, NULL, OPT_USER },
                { "system", no_argument, NULL, OPT_SYSTEM },
                { "socket", required_argument, NULL, 'S' },
                { "config", required_argument, NULL, 'c' },
                { "state-dir", required_argument, NULL, OPT_STATE_DIR },
                { "check-config", no_argument, NULL, OPT_CHECK_CONFIG },
                { "verbose", no_argument, NULL, 'v' },
                { "quiet", no_argument, NULL, 'q' },
                { "help", no_argument, NULL, 'h' },
                { "version", no_argument, NULL, 'V' },
                { NULL, 0, NULL, 0 },
        };
        int c, r = 0;

        opterr = 0; /* one line, ours */
        while (r == 0 && (c = getopt_long(argc, argv, ":S:c:vqhV", options, NULL)) >= 0)
                switch (c) {
                case OPT_USER:
                        arg_bus = BUS_USER;
                        break;
                case OPT_SYSTEM:
                        arg_bus = BUS_SYSTEM;
                        break;
                case 'S':
                        if (strlen(optarg) > SOCKET_PATH_MAX || optarg[0] == '\0') {
                                fprintf(stderr,
                                        PROGRAM ": %s: a socket path has 1 to %d bytes; "
                                                "choose a shorter one\n",
                                        optarg, SOCKET_PATH_MAX);
                                return EXIT_USAGE;
                        }
                        r = replace(&arg_paths.socket, optarg);
                        break;
                case 'c':
                        arg_config_named = true;
                        r = replace(&arg_paths.config, optarg);
                        break;
                case OPT_STATE_DIR:
                        r = replace(&arg_paths.state, optarg);
                        break;
                case OPT_CHECK_CONFIG:
                        arg_check_config = true;
                        break;
                case 'v':
                        arg_verbosity++;
                        break;
                case 'q':
                        arg_verbosity--;
                        break;
                case 'h':
                        help();
                        return EXIT_SUCCESS;
                case 'V':
                        puts(PROGRAM " " PACKAGE_VERSION);
                        return EXIT_SUCCESS;
                default:
                        fprintf(stderr, PROGRAM ": %s: %s; try '" PROGRAM " --help'\n",
                                argv[optind - 1], c == ':' ? "needs a value" : "no such option");
                        return EXIT_USAGE;
                }
        if (r < 0) {
                fprintf(stderr, PROGRAM ": %s\n", strerror(-r));
                return EXIT_FAILURE;
        }
        if (optind < argc) {
                fprintf(stderr, PROGRAM ": %s: takes no operands; try '" PROGRAM " --help'\n",
                        argv[optind]);
                return EXIT_USAGE;
        }
        return -1;
}

static bool is_user_bus(void) {
        const struct passwd *account;

        if (arg_bus != BUS_BY_UID)
                return arg_bus == BUS_USER;
        if (geteuid() == 0)
                return false;
        account = getpwnam("p2pbus");
        return !account || account->pw_uid != geteuid();
}

/* With its parents: the first start on a fresh host has none of them. */
static int make_state_folder(const char *path) {
        _cleanup_(freep) char *copy = strdup(path);

        if (!copy)
                return err_origin(-ENOMEM);
        for (char *p = copy + 1; *p != '\0'; p++)
                if (*p == '/') {
                        *p = '\0';
                        if (mkdir(copy, 0755) < 0 && errno != EEXIST)
                                return err_origin(-errno);
                        *p = '/';
                }
        return mkdir(copy, 0700) == 0 || errno == EEXIST ? 0 : err_origin(-errno);
}

/* The one socket that systemd may hand over. Return: a descriptor, -EBADF if none, -errno. */
static int take_listen_fd(const Log *log) {
        int n = sd_listen_fds(true);

        if (n < 0)
                return err_origin(n);
        if (n == 0)
                return -EBADF;
        if (n > 1 || sd_is_socket_unix(SD_LISTEN_FDS_START, SOCK_STREAM, 1, NULL, 0) <= 0) {
                log_write(log, LOG_LEVEL_ERROR, NULL,
                          "systemd handed over something else than one listening Unix stream "
                          "socket; see p2pbusd.socket");
                return err_origin(-EINVAL);
        }
        return SD_LISTEN_FDS_START;
}

static int run(const Log *log, bool user_bus, Config *config) {
        _cleanup_(manager_freep) Manager *manager = NULL;
        ManagerOptions options = {
                .user_bus = user_bus,
                .socket_path = arg_paths.socket,
                .config_path = arg_paths.config,
                .config_missing = arg_config_named ? CONF_MISSING_BAD : CONF_MISSING_FINE,
                .state_path = arg_paths.state,
        };
        int r;

        options.listen_fd = take_listen_fd(log);
        if (options.listen_fd < 0 && options.listen_fd != -EBADF)
                return EXIT_FAILURE;
        r = make_state_folder(arg_paths.state);
        if (r < 0) {
                log_write(log, LOG_LEVEL_ERROR, NULL, "%s: %s; name another with --state-dir",
                          arg_paths.state, strerror(-r));
                return EXIT_FAILURE;
        }
        r = manager_new(&manager, log, &options, config);
        if (r == -EADDRINUSE) {
                log_write(log, LOG_LEVEL_ERROR, NULL,
                          "%s: a bus is running there; stop it, or choose another path with "
                          "--socket",
                          arg_paths.socket);
                return EXIT_FAILURE;
        }
        if (r == -ENOTSOCK) {
                log_write(log, LOG_LEVEL_ERROR, NULL,
                          "%s: is there and is no socket; remove it, or choose another path with "
                          "--socket",
                          arg_paths.socket);
                return EXIT_FAILURE;
        }
        if (r < 0) {
                log_write(log, LOG_LEVEL_ERROR, NULL, "%s: cannot listen: %s", arg_paths.socket,
                          strerror(-r));
                return EXIT_FAILURE;
        }
        if (options.listen_fd < 0)
                fprintf(stderr, "Listening on %s\n", arg_paths.socket);
        r = manager_run(manager);
        if (r < 0) {
                log_write(log, LOG_LEVEL_ERROR, NULL, "event loop: %s", strerror(-r));
                return EXIT_FAILURE;
        }
        return EXIT_SUCCESS;
}

static int start(void) {
        bool user_bus = is_user_bus();
        const char *missing;
        ConfError error;
        Config config;
        Log log;
        int r, status;

        log_init(&log, PROGRAM, sd_journal_sendv);
        if (arg_verbosity > 0)
                log.level = LOG_LEVEL_DEBUG;
        else if (arg_verbosity < 0)
                log.level = LOG_LEVEL_WARNING;

        r = paths_fill(&arg_paths, user_bus, &missing);
        if (r < 0) {
                fprintf(stderr, PROGRAM ": %s: not set; set it, or use --socket and --state-dir\n",
                        r == -ENOENT ? missing : strerror(-r));
                return EXIT_FAILURE;
        }
        config_init(&config);
        if (arg_paths.config) {
                r = config_load(&config, arg_paths.config,
                                arg_config_named ? CONF_MISSING_BAD : CONF_MISSING_FINE, &error);
                if (r != 0) {
                        fprintf(stderr, PROGRAM ": %s\n", r > 0 ? error.text : strerror(-r));
                        return EXIT_FAILURE;
                }
        }
        if (arg_check_config)
                status = EXIT_SUCCESS;
        else if (crypto_init() < 0) {
                fprintf(stderr, PROGRAM ": libsodium does not work here\n");
                status = EXIT_FAILURE;
        } else
                status = run(&log, user_bus, &config);
        config_done(&config);
        return status;
}

int main(int argc, char *argv[]) {
        int status;

        /* Nothing of what passes through may be read by who has our uid. */
        (void)prctl(PR_SET_DUMPABLE, 0); /* cannot fail with these arguments */
        status = parse_argv(argc, argv);
        if (status < 0)
                status = start();
        paths_done(&arg_paths);
        return status;
}
