/* SPDX-License-Identifier: Apache-2.0 */

/*
 * p2pbus-bridge: carries sealed packets between the bus of this host and relays
 *
 * Code structure
 *
 *      main.c           arguments, configuration, key; then the manager
 *      settings.c       bridge.conf(5), where files are
 *      manager.c        the loop: signals, timer, set of uplinks, service manager
 *      forward.c        which way each packet goes
 *      registrations.c  leases, services and wants of this host, to the links
 *      questions.c      where others are, and who provides a name
 *      barrier.c        whether all have what was said before
 *      gateway.c        the bridge as a process of the bus
 *      leases.c         the processes of this host that may be carried
 *      routes.c         which links know whom elsewhere
 *      lookups.c        one question on several links
 *      relay-lists.c    which links a process may use, by the URLs of its policy
 *      wants.c          who wants what is published, here and elsewhere
 *      services.c       which names the processes of this host provide
 *      uplink.c         the link to one relay, for as long as it is configured
 *      handshake.c      the way up of an uplink: who is the relay, does it take us
 *      batch.c          what goes out on one link, and what went lately
 *      outbox.c         what waits for one link, and whose turn it is
 *      parcel.c         one packet that is held
 *      heartbeat.c      whether a link lives, and its round trip
 *      backoff.c        when to try again
 *      suspend.c        that the machine was asleep
 *      presence.c       the bridge's own signed record
 *      known-relays.c   trust on first use
 *      transport.h      what an uplink needs of the network
 *      transport-ws.c   that, over WebSockets
 */

#include <stdio.h>
#include <systemd/sd-journal.h>

#include "bridge/known-relays.h"
#include "bridge/manager.h"
#include "bridge/routes.h"
#include "bridge/settings.h"
#include "bridge/uplink.h"
#include "libclient/connection.h"
#include "libcore/program.h"
#include "libcore/util.h"
#include "libsecure/own-key.h"

#define PROGRAM "p2pbus-bridge"
#define USAGE PROGRAM_STATUS_USAGE

static char arg_socket[CONNECTION_PATH_SIZE];
static const char *arg_relays[ROUTES_LINKS_MAX];
static unsigned arg_n_relays;
static const char *arg_key;
static const char *arg_config;

static void help(void) {
        printf("Usage: " PROGRAM " [OPTION]...\n"
               "Carries sealed packets between the bus of this host and relays.\n"
               "\n"
               "      --socket PATH    the bus; default: $P2PBUS_SOCKET, the user's bus if it is\n"
               "                       there, /run/p2pbus/bus\n"
               "      --relay URL      a relay, ws[s]://HOST[:PORT][/PATH][#FULL]; may be "
               "repeated,\n"
               "                       up to %d; replaces Relay= of the configuration\n"
               "      --key FILE       the bridge's key; made if it is missing\n"
               "      --config FILE    instead of the default bridge.conf\n"
               "      --check-config   only check options and configuration\n"
               "  -v, --verbose        say more; -q, --quiet: only warnings and errors\n"
               "  -h, --help           this text; -V, --version: the version\n"
               "\n"
               "See p2pbus-bridge(8) and bridge.conf(5).\n",
               ROUTES_LINKS_MAX);
}

static Program program = { .name = PROGRAM, .hint = "see --help", .help = help };

#define fail(status, ...) program_fail(&program, (status), __VA_ARGS__)

/* Return: an exit status, or PROGRAM_GO_ON. */
static int add_relay(const char *url) {
        bool no_key;
        const char *why = uplink_check_url(url, &no_key);

        if (why)
                return fail(USAGE, "--relay %s: %s", url, why);
        for (unsigned i = 0; i < arg_n_relays; i++)
                if (strcmp(arg_relays[i], url) == 0)
                        return PROGRAM_GO_ON;
        if (arg_n_relays == ROUTES_LINKS_MAX)
                return fail(USAGE, "--relay %s: more than %d relays; leave some out", url,
                            ROUTES_LINKS_MAX);
        arg_relays[arg_n_relays++] = url;
        return PROGRAM_GO_ON;
}

/* Return: as above. */
static int set_socket(const char *path) {
        if (strlen(path) >= sizeof(arg_socket))
                return fail(USAGE, "--socket %s: longer than %zu bytes; use a shorter path", path,
                            sizeof(arg_socket) - 1);
        snprintf(arg_socket, sizeof(arg_socket), "%s", path);
        return PROGRAM_GO_ON;
}

/* Return: an exit status, or PROGRAM_GO_ON. */
static int parse_argv(int argc, char **argv) {
        enum { OPT_SOCKET = _PROGRAM_OPT_FIRST_OWN, OPT_RELAY, OPT_KEY, OPT_CONFIG };
        static const struct option options[] = {
                { "socket", required_argument, NULL, OPT_SOCKET },
                { "relay", required_argument, NULL, OPT_RELAY },
                { "key", required_argument, NULL, OPT_KEY },
                { "config", required_argument, NULL, OPT_CONFIG },
                PROGRAM_OPTIONS,
                { 0 },
        };
        int c, status = PROGRAM_GO_ON;

        while (status < 0 && (c = getopt_long(argc, argv, PROGRAM_LETTERS, options, NULL)) >= 0)
                switch (c) {
                case OPT_SOCKET:
                        status = set_socket(optarg);
                        break;
                case OPT_RELAY:
                        status = add_relay(optarg);
                        break;
                case OPT_KEY:
                        arg_key = optarg;
                        break;
                case OPT_CONFIG:
                        arg_config = optarg;
                        break;
                default:
                        status = program_take(&program, c, argv);
                }
        if (status >= 0)
                return status;
        if (optind < argc)
                return fail(USAGE, "%s: no operand is taken; see --help", argv[optind]);
        return PROGRAM_GO_ON;
}

/* Options before files. Return: an exit status, or PROGRAM_GO_ON. */
static int load_config(Settings *settings) {
        ConfError error;
        int r;

        r = settings_load(settings, arg_config, &error);
        if (r < 0)
                return fail(EXIT_FAILURE, "configuration: %s; try again", strerror(-r));
        if (r != 0)
                return program_fail_config(&program, settings->no_key ? USAGE : EXIT_FAILURE,
                                           error.text);

        if (arg_n_relays > 0) {
                const char *reason;

                (void)conf_parse_list("", NULL, &settings->relays, &reason); /* empties it */
        }
        for (unsigned i = 0; i < arg_n_relays; i++)
                if (settings_add_relay(settings, arg_relays[i]) < 0)
                        return fail(EXIT_FAILURE, "relays: %s; try again", strerror(ENOMEM));
        if (settings_n_relays(settings) == 0)
                return fail(
                        USAGE,
                        "--relay: there is no relay to connect to; give --relay URL, or Relay= in "
                        "bridge.conf");
        return PROGRAM_GO_ON;
}

static int key_problem(const char *path, int r) {
        char text[OWN_KEY_TEXT_SIZE];

        return fail(EXIT_FAILURE, "%s", own_key_explain(path, r, text));
}

static int make_key(IdentityKey **ret, const char *path, bool is_default, const Log *log) {
        char folder[PATH_MAX];
        int r;

        if (is_default && settings_state_folder(folder) == 0) {
                r = settings_make_folder(folder);
                if (r < 0)
                        return fail(EXIT_FAILURE, "%s: %s; name a key file with --key", folder,
                                    strerror(-r));
        }
        r = own_key_make(ret, path);
        if (r != 0)
                return key_problem(path, r);
        log_write(log, LOG_LEVEL_INFO, NULL, "made key %s", path);
        return PROGRAM_GO_ON;
}

/* Return: an exit status, or PROGRAM_GO_ON. */
static int load_key(IdentityKey **ret, const Settings *settings, const Log *log) {
        const char *path = arg_key ? arg_key : settings->key;
        char by_default[PATH_MAX];
        int r;

        if (!path) {
                r = settings_default_key(by_default);
                if (r < 0)
                        return fail(EXIT_FAILURE, "no place for a key: %s; name one with --key",
                                    strerror(-r));
                path = by_default;
        }
        r = identity_load(ret, path);
        if (r == -ENOENT)
                return make_key(ret, path, path == by_default, log);
        return r == 0 ? PROGRAM_GO_ON : key_problem(path, r);
}

/* Where keys of relays are kept that were not pinned. Return: as above. */
static int load_known(KnownRelays **ret, const Log *log) {
        char folder[PATH_MAX], path[PATH_MAX];
        const char *kept = NULL;
        unsigned line = 0;
        int r, n;

        r = settings_state_folder(folder);
        if (r == 0)
                r = settings_make_folder(folder);
        if (r == 0) {
                n = snprintf(path, sizeof(path), "%s/known_relays", folder);
                kept = n < (int)sizeof(path) ? path : NULL;
        }
        if (!kept)
                log_write(log, LOG_LEVEL_DEBUG, NULL, "no state folder: %s", strerror(-r));

        r = known_relays_new(ret, kept, &line);
        if (r == KNOWN_RELAYS_E_MALFORMED)
                return fail(EXIT_FAILURE,
                            "%s:%u: not a line of URL and full key; mend or remove it", path, line);
        if (r != 0)
                return fail(EXIT_FAILURE, "%s: %s; see who may read and write it",
                            kept ? kept : "known relays", strerror(-r));
        return PROGRAM_GO_ON;
}

static int run(const Settings *settings, const Log *log) {
        _cleanup_(identity_freep) IdentityKey *identity = NULL;
        _cleanup_(known_relays_freep) KnownRelays *known = NULL;
        _cleanup_(manager_freep) Manager *manager = NULL;
        ManagerOptions options = {
                .log = log,
                .socket = arg_socket,
                .settings = settings,
                .file = arg_config,
                .keep_relays = arg_n_relays > 0,
        };
        char key[KEY_TEXT_SIZE];
        int status, r;

        r = crypto_init();
        if (r < 0)
                return fail(EXIT_FAILURE, "libsodium: cannot work here: %s; install it again",
                            strerror(-r));
        status = load_key(&identity, settings, log);
        if (status < 0)
                status = load_known(&known, log);
        if (status >= 0)
                return status;
        log_write(log, LOG_LEVEL_INFO, NULL, "this bridge is %s",
                  key_format(identity_public(identity), key));

        options.identity = identity;
        options.known = known;
        r = manager_new(&manager, &options);
        if (r == MANAGER_E_PLUGIN)
                return fail(EXIT_FAILURE, "libwebsockets: it has no libuv plugin; install "
                                          "libwebsockets-evlib-uv");
        if (r == 0)
                r = manager_run(manager);
        return r < 0 ? fail(EXIT_FAILURE, "event loop: %s; start it again", strerror(-r))
                     : EXIT_SUCCESS;
}

int main(int argc, char **argv) {
        Settings settings = { 0 };
        Log log;
        int status;

        status = parse_argv(argc, argv);
        if (status >= 0)
                return status;
        program_init_log(&program, &log, sd_journal_sendv);

        status = arg_socket[0] != '\0' ? 0 : connection_default_path(arg_socket);
        if (status < 0)
                return fail(USAGE, "$P2PBUS_SOCKET: longer than %zu bytes; use a shorter path",
                            sizeof(arg_socket) - 1);
        status = load_config(&settings);
        if (status < 0) {
                program_block_signals(); /* threads of the resolver are not to take them */
                status = program.check_config ? EXIT_SUCCESS : run(&settings, &log);
        }
        settings_done(&settings);
        return status;
}
