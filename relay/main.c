/* SPDX-License-Identifier: Apache-2.0 */

/*
 * p2pbus-relay: passes sealed packets from bridge to bridge
 *
 * Code structure
 *
 *      main.c                arguments, configuration, key; then the manager
 *      settings.c            relay.conf(5), where files are
 *      manager.c             the loop: listeners, signals, timer, service manager, stopping
 *      link.c                one bridge's connection: reading, writing, packets, its end
 *      handshake.c           how a connection becomes a link
 *      words.c               control words of bridges, a handler each
 *      service-words.c       the same of names that processes provide
 *      services.c            who provides which name
 *      forward.c             what becomes of a packet
 *      directory.h           who can be reached through which link
 *      directory-embedded.c  that, in memory
 *      wants.c               what processes behind the links want of what is published; the barrier
 *      outbox.c              what waits for one link, and whose turn it is
 *      limits.c              what strangers and bridges may cost
 *      tombs.c               the file of revoked keys
 *      self.c                the relay's own signed record
 *      counters.c            everything that happened
 *      http.c                /healthz and /metrics
 */

#include <stdio.h>
#include <sys/prctl.h>
#include <systemd/sd-journal.h>

#include "libcore/program.h"
#include "libsecure/own-key.h"
#include "relay/manager.h"
#include "relay/settings.h"

#define PROGRAM "p2pbus-relay"
#define USAGE PROGRAM_STATUS_USAGE
#define LIST_MAX 64 /* --listen, and --allow, on one command line */

typedef struct List {
        char *values[LIST_MAX];
        size_t n;
} List;

static List arg_listen;
static List arg_allow;
static bool arg_open;
static char *arg_key;
static char *arg_config;
static char *arg_state_dir;
static char *arg_tls_cert;
static char *arg_tls_key;

static void help(void) {
        printf("Usage: " PROGRAM " [OPTION]...\n"
               "Passes sealed packets between the bridges that connect to it.\n"
               "\n"
               "      --listen ADDR:PORT  where bridges connect; may be repeated; port 0 takes a\n"
               "                          free one; default: " SETTINGS_LISTEN_DEFAULT "\n"
               "      --allow FULL        admit the bridge with this key; may be repeated\n"
               "      --open              let any other bridge in, too, under small limits\n"
               "      --key FILE          the relay's key; made if it is missing\n"
               "      --state-dir DIR     where the key and the revoked keys are kept\n"
               "      --tls-cert FILE     certificate, PEM; with --tls-key FILE: wss instead of "
               "ws\n"
               "      --config FILE       instead of the default relay.conf\n"
               "      --check-config      only check options and configuration\n"
               "  -v, --verbose           say more; -q, --quiet: only warnings and errors\n"
               "  -h, --help              this text; -V, --version: the version\n"
               "\n"
               "--listen and --allow replace the lists of the configuration.\n"
               "See p2pbus-relay(8) and relay.conf(5).\n");
}

static Program program = { .name = PROGRAM, .hint = "see --help", .help = help };

#define fail(status, ...) program_fail(&program, (status), __VA_ARGS__)

/* Return: an exit status, or PROGRAM_GO_ON. */
static int add_to_list(List *list, const char *option, char *value,
                       const char *(*check)(const char *text)) {
        const char *why = check(value);

        if (why)
                return fail(USAGE, "%s %s: %s%s", option, value, why,
                            strchr(why, ';') ? "" : "; see --help");
        if (list->n == LIST_MAX)
                return fail(USAGE, "%s %s: more than %d; put them into relay.conf", option, value,
                            LIST_MAX);
        list->values[list->n++] = value;
        return PROGRAM_GO_ON;
}

/* Return: an exit status, or PROGRAM_GO_ON. */
static int parse_argv(int argc, char **argv) {
        enum {
                OPT_LISTEN = _PROGRAM_OPT_FIRST_OWN,
                OPT_ALLOW,
                OPT_OPEN,
                OPT_KEY,
                OPT_CONFIG,
                OPT_STATE_DIR,
                OPT_TLS_CERT,
                OPT_TLS_KEY,
        };
        static const struct option options[] = {
                { "listen", required_argument, NULL, OPT_LISTEN },
                { "allow", required_argument, NULL, OPT_ALLOW },
                { "open", no_argument, NULL, OPT_OPEN },
                { "key", required_argument, NULL, OPT_KEY },
                { "config", required_argument, NULL, OPT_CONFIG },
                { "state-dir", required_argument, NULL, OPT_STATE_DIR },
                { "tls-cert", required_argument, NULL, OPT_TLS_CERT },
                { "tls-key", required_argument, NULL, OPT_TLS_KEY },
                PROGRAM_OPTIONS,
                { 0 },
        };
        int c, status = PROGRAM_GO_ON;

        while (status < 0 && (c = getopt_long(argc, argv, PROGRAM_LETTERS, options, NULL)) >= 0)
                switch (c) {
                case OPT_LISTEN:
                        status =
                                add_to_list(&arg_listen, "--listen", optarg, settings_check_listen);
                        break;
                case OPT_ALLOW:
                        status = add_to_list(&arg_allow, "--allow", optarg, settings_check_allow);
                        break;
                case OPT_OPEN:
                        arg_open = true;
                        break;
                case OPT_KEY:
                        arg_key = optarg;
                        break;
                case OPT_CONFIG:
                        arg_config = optarg;
                        break;
                case OPT_STATE_DIR:
                        arg_state_dir = optarg;
                        break;
                case OPT_TLS_CERT:
                        arg_tls_cert = optarg;
                        break;
                case OPT_TLS_KEY:
                        arg_tls_key = optarg;
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

static int replace_text(char **text, const char *value) {
        char *copy;

        if (!value)
                return 0;
        copy = strdup(value);
        if (!copy)
                return -ENOMEM;
        free(*text);
        *text = copy;
        return 0;
}

/* Options before files. Return: an exit status, or PROGRAM_GO_ON. */
static int load_config(Settings *settings) {
        ConfError error;
        int r;

        r = settings_load(settings, arg_config, &error);
        if (r > 0)
                return program_fail_config(&program, EXIT_FAILURE, error.text);
        if (r == 0 && arg_listen.n > 0)
                r = settings_replace_list(&settings->listen, arg_listen.values, arg_listen.n);
        if (r == 0 && arg_allow.n > 0)
                r = settings_replace_list(&settings->allow, arg_allow.values, arg_allow.n);
        if (r == 0)
                r = replace_text(&settings->key, arg_key);
        if (r == 0)
                r = replace_text(&settings->state_dir, arg_state_dir);
        if (r == 0)
                r = replace_text(&settings->tls_cert, arg_tls_cert);
        if (r == 0)
                r = replace_text(&settings->tls_key, arg_tls_key);
        if (r < 0)
                return fail(EXIT_FAILURE, "configuration: %s; try again", strerror(-r));
        settings->open = settings->open || arg_open;

        if (!settings->open && !(settings->allow && settings->allow[0]))
                return fail(
                        USAGE,
                        "bridges: nobody may connect; admit some with --allow FULL (Allow=), or "
                        "any with --open (Open=yes)");
        if (!settings->tls_cert != !settings->tls_key)
                return fail(USAGE,
                            "--tls-cert and --tls-key: TLS needs both; give the other one, too");
        return PROGRAM_GO_ON;
}

static int key_problem(const char *path, int r) {
        char text[OWN_KEY_TEXT_SIZE];

        return fail(EXIT_FAILURE, "%s", own_key_explain(path, r, text));
}

static int make_key(IdentityKey **ret, const char *path, const Log *log) {
        int r = own_key_make(ret, path);

        if (r != 0)
                return key_problem(path, r);
        log_write(log, LOG_LEVEL_INFO, NULL, "made key %s", path);
        return PROGRAM_GO_ON;
}

/* Return: an exit status, or PROGRAM_GO_ON. */
static int load_key(IdentityKey **ret, const Settings *settings, const char *state_dir,
                    const Log *log) {
        char path[PATH_MAX];
        int r;

        if (settings->key)
                r = snprintf(path, sizeof(path), "%s", settings->key) < (int)sizeof(path)
                            ? 0
                            : -ENAMETOOLONG;
        else
                r = settings_default_key(state_dir, path);
        if (r < 0)
                return key_problem(settings->key ? settings->key : state_dir, r);
        r = identity_load(ret, path);
        if (r == -ENOENT)
                return make_key(ret, path, log);
        return r == 0 ? PROGRAM_GO_ON : key_problem(path, r);
}

static int run(const Settings *settings, const Log *log) {
        _cleanup_(identity_freep) IdentityKey *identity = NULL;
        _cleanup_(manager_freep) Manager *manager = NULL;
        char state_dir[PATH_MAX];
        ManagerOptions options = {
                .log = log,
                .settings = settings,
                .state_dir = state_dir,
                .config = arg_config,
                .keep_allow = arg_allow.n > 0,
                .keep_open = arg_open,
        };
        ManagerError error;
        int status, r;

        r = settings->state_dir ? 0 : settings_default_state(state_dir);
        if (settings->state_dir && snprintf(state_dir, sizeof(state_dir), "%s",
                                            settings->state_dir) >= (int)sizeof(state_dir))
                r = -ENAMETOOLONG;
        if (r == 0)
                r = program_make_folder(state_dir);
        if (r < 0)
                return fail(EXIT_FAILURE, "state directory: %s; name one with --state-dir",
                            strerror(-r));
        r = crypto_init();
        if (r < 0)
                return fail(EXIT_FAILURE, "libsodium: cannot work here: %s; install it again",
                            strerror(-r));
        status = load_key(&identity, settings, state_dir, log);
        if (status >= 0)
                return status;

        r = manager_new(&manager, &options, TAKE_PTR(identity), &error);
        if (r != 0)
                return error.text[0] ? fail(EXIT_FAILURE, "%s", error.text)
                                     : fail(EXIT_FAILURE, "start: %s; try again", strerror(-r));
        r = manager_run(manager);
        return r < 0 ? fail(EXIT_FAILURE, "event loop: %s; start it again", strerror(-r))
                     : EXIT_SUCCESS;
}

int main(int argc, char **argv) {
        Settings settings = { 0 };
        Log log;
        int status;

        /* A relay's key must not end in a core file, nor be read by a debugger of its own user. */
#ifndef __SANITIZE_ADDRESS__ /* whose search for leaks is such a debugger */
        (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
        status = parse_argv(argc, argv);
        if (status >= 0)
                return status;
        program_init_log(&program, &log, sd_journal_sendv);

        status = load_config(&settings);
        if (status < 0) {
                program_block_signals();
                status = program.check_config ? EXIT_SUCCESS : run(&settings, &log);
        }
        settings_done(&settings);
        return status;
}
