/* SPDX-License-Identifier: Apache-2.0 */

/*
 * p2pbusd: routes messages between the processes of one host
 *
 * Code structure:
 *      main.c      -- options, paths, configuration; starts the manager
 *      settings.c  -- p2pbusd.conf and default paths
 *      policy-term.c   -- one word of a policy file
 *      policy-book.c   -- all policy files, as they were read
 *      policy-folder.c -- where they are, and whose
 *      builtin-policies.c -- those that are compiled in
 *      manager.c   -- owns everything; the loop, turns, signals, reload, stop
 *      listener.c  -- accepts connections
 *      peer.c      -- one connection: reading, writing, its end
 *      admission.c -- how it becomes a process of the bus
 *      outbox.c    -- what waits to be written to a connection, and who pays for it
 *      route.c     -- where a packet goes
 *      words.c     -- control words of processes, a handler each
 *      registry.c  -- from an address to a connection
 *      names.c     -- from a name to its providers
 *      name-watches.c -- who is told when they change
 *      remote-names.c -- who provides them on other hosts
 *      name-trust.c -- and who of these is believed
 *      own-services.c -- what other hosts are told of the names of this one
 *      gateway.c   -- the gateway role: questions, answers, cached leases
 *      lease.c     -- leases of this host's processes
 *      introduction.c -- how two processes get a ring, and lose it
 *      rings.c     -- which processes have one, and who pays for it
 *      monitor.c   -- copies for those who watch
 *      query.c     -- status and lists as text
 *      survey.c    -- what processes say of their conversations
 *      topic-frame.c -- what was published, kept once for all its readers
 *      topics.c    -- who subscribed to what, and what was retained
 *      wants.c     -- who on other hosts wants what is published here
 *      barrier.c   -- who waits until other hosts have heard what it wants
 *      metrics.c   -- counters as OpenMetrics
 *      credentials.c -- what the kernel says of a process
 *      subject.c   -- all processes that policy treats alike
 *      policy-answer.c -- what policy says, and by which line: pure functions
 *      policy.c    -- who may do what, found out once
 *      explanation.c -- the same for people
 *      rights.c    -- what a process is to policy, and what a new one takes from it
 *      quota.c     -- who pays for what the daemon holds
 *
 * One message: peer.c reads it, route.c finds its receiver, quota.c charges it, outbox.c holds it,
 * peer.c writes it at the end of the turn.
 */

#include "config.h"

#include <pwd.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-journal.h>

#include "daemon/manager.h"
#include "daemon/settings.h"
#include "libcore/err.h"
#include "libcore/program.h"
#include "libsecure/crypto.h"

#define PROGRAM "p2pbusd"
#define USAGE PROGRAM_STATUS_USAGE
#define SOCKET_PATH_MAX 107

typedef enum Bus {
        BUS_BY_UID, /* neither --user nor --system */
        BUS_USER,
        BUS_SYSTEM,
} Bus;

static Bus arg_bus = BUS_BY_UID;
static Paths arg_paths;
static bool arg_config_named = false;

static void help(void) {
        puts("Usage: " PROGRAM " [OPTION]...\n"
             "Routes messages between the processes of this host.\n"
             "\n"
             "      --user            a bus of one user: its policy, configuration and paths\n"
             "      --system          the bus of the host; the default for root and user p2pbus\n"
             "  -S, --socket PATH     listen there\n"
             "  -c, --config FILE     configuration, instead of p2pbusd.conf of this kind of bus\n"
             "      --policy-dir DIR  policy files, instead of those of this kind of bus\n"
             "      --state-dir DIR   what is kept from one start to the next\n"
             "      --check-config    read configuration and policy, say what is wrong, and end\n"
             "  -v, --verbose         say more; -q, --quiet: only warnings and errors\n"
             "  -h, --help\n"
             "  -V, --version\n"
             "\n"
             "A socket handed over by systemd is used instead of PATH. Ends on SIGTERM and "
             "SIGINT,\n"
             "reads configuration and policy again on SIGHUP. See p2pbusd(8).");
}

static Program program = { .name = PROGRAM, .hint = "try '" PROGRAM " --help'", .help = help };

#define fail(status, ...) program_fail(&program, (status), __VA_ARGS__)

static int replace(char **path, const char *value) {
        free(*path);
        *path = strdup(value);
        return *path ? 0 : err_origin(-ENOMEM);
}

/* Return: an exit status, or PROGRAM_GO_ON. */
static int parse_argv(int argc, char *argv[]) {
        enum { OPT_USER = _PROGRAM_OPT_FIRST_OWN, OPT_SYSTEM, OPT_STATE_DIR, OPT_POLICY_DIR };
        static const struct option options[] = {
                { "user", no_argument, NULL, OPT_USER },
                { "system", no_argument, NULL, OPT_SYSTEM },
                { "socket", required_argument, NULL, 'S' },
                { "config", required_argument, NULL, 'c' },
                { "state-dir", required_argument, NULL, OPT_STATE_DIR },
                { "policy-dir", required_argument, NULL, OPT_POLICY_DIR },
                PROGRAM_OPTIONS,
                { NULL, 0, NULL, 0 },
        };
        int c, r = 0, status = PROGRAM_GO_ON;

        while (r == 0 && status < 0 &&
               (c = getopt_long(argc, argv, PROGRAM_LETTERS "S:c:", options, NULL)) >= 0)
                switch (c) {
                case OPT_USER:
                        arg_bus = BUS_USER;
                        break;
                case OPT_SYSTEM:
                        arg_bus = BUS_SYSTEM;
                        break;
                case 'S':
                        if (strlen(optarg) > SOCKET_PATH_MAX || optarg[0] == '\0')
                                return fail(USAGE,
                                            "%s: a socket path has 1 to %d bytes; choose a "
                                            "shorter one",
                                            optarg, SOCKET_PATH_MAX);
                        r = replace(&arg_paths.socket, optarg);
                        break;
                case 'c':
                        arg_config_named = true;
                        r = replace(&arg_paths.config, optarg);
                        break;
                case OPT_STATE_DIR:
                        r = replace(&arg_paths.state, optarg);
                        break;
                case OPT_POLICY_DIR:
                        arg_paths.policy_is_named = true;
                        r = replace(&arg_paths.policy[0], optarg);
                        break;
                default:
                        status = program_take(&program, c, argv);
                }
        if (status >= 0)
                return status;
        if (r < 0)
                return fail(EXIT_FAILURE, "options: %s; try again", strerror(-r));
        if (optind < argc)
                return fail(USAGE, "%s: takes no operands; %s", argv[optind], program.hint);
        return PROGRAM_GO_ON;
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

static int run(const Log *log, ManagerOptions *options, Config *config, Policy **policy) {
        _cleanup_(manager_freep) Manager *manager = NULL;
        int r;

        options->listen_fd = take_listen_fd(log);
        if (options->listen_fd < 0 && options->listen_fd != -EBADF)
                return EXIT_FAILURE;
        r = program_make_folder(arg_paths.state);
        if (r < 0) {
                log_write(log, LOG_LEVEL_ERROR, NULL, "%s: %s; name another with --state-dir",
                          arg_paths.state, strerror(-r));
                return EXIT_FAILURE;
        }
        r = manager_new(&manager, log, options, config, policy);
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
                log_write(log, LOG_LEVEL_ERROR, NULL,
                          "%s: cannot listen: %s; choose another path with --socket",
                          arg_paths.socket, strerror(-r));
                return EXIT_FAILURE;
        }
        if (options->listen_fd < 0)
                fprintf(stderr, "Listening on %s\n", arg_paths.socket);
        r = manager_run(manager);
        if (r < 0) {
                log_write(log, LOG_LEVEL_ERROR, NULL, "event loop: %s; start it again",
                          strerror(-r));
                return EXIT_FAILURE;
        }
        return EXIT_SUCCESS;
}

static void make_options(bool user_bus, ManagerOptions *ret) {
        *ret = (ManagerOptions){
                .user_bus = user_bus,
                .socket_path = arg_paths.socket,
                .listen_fd = -EBADF,
                .config_path = arg_paths.config,
                .config_missing = arg_config_named ? CONF_MISSING_BAD : CONF_MISSING_FINE,
                .state_path = arg_paths.state,
                .policy_folders = { .is_own_fine = user_bus || arg_paths.policy_is_named },
        };
        for (unsigned i = 0; i < POLICY_FOLDERS_MAX; i++)
                ret->policy_folders.paths[i] = arg_paths.policy[i];
}

static int start(void) {
        _cleanup_(policy_freep) Policy *policy = NULL;
        bool user_bus = is_user_bus();
        ManagerOptions options;
        const char *missing;
        ConfError error;
        Config config;
        Log log;
        int r, status;

        program_init_log(&program, &log, sd_journal_sendv);
        r = paths_fill(&arg_paths, user_bus, &missing);
        if (r < 0)
                return fail(EXIT_FAILURE, "%s: not set; set it, or use --socket and --state-dir",
                            r == -ENOENT ? missing : strerror(-r));
        make_options(user_bus, &options);
        config_init(&config);
        r = 0;
        if (arg_paths.config)
                r = config_load(&config, arg_paths.config, options.config_missing, &error);
        if (r == 0)
                r = manager_read_policy(&options, &config, &log, &policy, &error);
        if (r != 0)
                status = program_fail_config(&program, EXIT_FAILURE,
                                             r > 0 ? error.text : strerror(-r));
        else if (program.check_config)
                status = EXIT_SUCCESS;
        else if (crypto_init() < 0)
                status = fail(EXIT_FAILURE, "libsodium: does not work here; install it again");
        else
                status = run(&log, &options, &config, &policy);
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
