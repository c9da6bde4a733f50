/* SPDX-License-Identifier: Apache-2.0 */

/*
 * p2pbusctl: asks and administers the bus
 *
 * Code structure:
 *      ctl.c           options, the table of verbs, what several verbs need
 *      ctl-VERB.c      one verb each
 *      table.c         rows for terminals, pipes and JSON
 *      connection.c    the bus, and why it cannot be had
 */

#include "tools/ctl.h"

#include <stdio.h>
#include <unistd.h>

#include "libclient/p2pbus.h"
#include "tools/argument.h"
#include "tools/common.h"
#include "tools/json.h"
#include "tools/output.h"

#define TIMEOUT_DEFAULT_USEC (10 * USEC_PER_SEC)
#define OPERANDS_MAX 3

/* Options of policy. */
enum {
        OPTION_UID = _OPTION_FIRST_OWN,
        OPTION_FOR_KEY,
        OPTION_UNIT,
        OPTION_OWN,
        OPTION_CALL,
        OPTION_PUBLISH,
        OPTION_PUBLISH_OFF_HOST,
        OPTION_SUBSCRIBE,
        OPTION_MONITOR,
        OPTION_GATEWAY,
        OPTION_ADMIN,
        OPTION_OFF_HOST,
        OPTION_REALM_KEY, /* options of realm */
        OPTION_NAME,
        OPTION_DAYS,
};

typedef struct Verb {
        const char *name;
        int (*run)(Ctl *ctl);
        const char *operands; /* as in the usage */
        size_t n_least;
        size_t n_greatest;
        const char *help;
} Verb;

/* clang-format off */
static const Verb verbs[] = {
        { "status",  ctl_status,  "",              0, 0, "how the bus is doing" },
        { "list",    ctl_list,    "",              0, 0, "the processes on this host's bus" },
        { "resolve", ctl_resolve, "DEST",          1, 1, "who answers to DEST, and whether local or remote" },
        { "ping",    ctl_ping,    "[-c N] DEST",   1, 1, "round trips to DEST" },
        { "services", ctl_services, "",            0, 0, "who provides which name, and how" },
        { "call",    ctl_call,    "DEST METHOD [JSON]", 2, 3, "call a method, and show its answer" },
        { "keygen",  ctl_keygen,  "FILE",          1, 1, "make a key in the new file FILE" },
        { "id",      ctl_id,      "[FILE]",        0, 1, "the full form of a key file" },
        { "peers",   ctl_peers,   "",              0, 0, "who talks with whom, which way, and who waits" },
        { "audit",   ctl_audit,   "",              0, 0, "whether each message that was sent is accounted for" },
        { "forget",  ctl_forget,  "DEST",          1, 1, "let DEST have another key than it was first met with" },
        { "top",     ctl_top,     "",              0, 0, "how the providers of names fare, again and again" },
        { "watch",   ctl_watch,   "[DEST]",        0, 1, "who comes and goes; of a name elsewhere, too" },
        { "metrics", ctl_metrics, "",              0, 0, "what the daemon counts, as OpenMetrics text" },
        { "policy",  ctl_policy,  "explain",       1, 1, "who may do what, and which file says so" },
        { "realm",   ctl_realm,   "keygen|grant|show FILE|FULL", 2, 2, "a realm's key, and whom it grants which name" },
        { "show-config", ctl_show_config, "",      0, 0, "the settings that the daemon goes by" },
        { "reload",  ctl_reload,  "",              0, 0, "make the daemon read its configuration again" },
};
/* clang-format on */

static const char help_head[] =
        "Usage: p2pbusctl [OPTION]... VERB [OPERAND]...\n"
        "Ask and administer the bus. Options may stand before or after VERB.\n"
        "\n";
static const char help_tail[] =
        "\n"
        "  -c, --count N       ping: so many round trips (default: 4); watch: end after so many\n"
        "                      lines; top: after so many tables (default: no end)\n"
        "  -i, --interval SECONDS\n"
        "                      ping, top: from one to the next (default: 1)\n"
        "  -t, --timeout SECONDS\n"
        "                      wait so long for an answer (default: 10), call: for each part of\n"
        "                      it; watch: end after so long\n"
        "      --uid USER      policy: of this user, by name or number; asks for Admin=yes\n"
        "      --for-key FULL  policy: of a process with this key\n"
        "      --unit UNIT     policy: of a process of this unit\n"
        "      --own NAME, --call DEST, --publish TOPIC, --publish-off-host TOPIC,\n"
        "      --subscribe PATTERN, --monitor, --gateway, --admin, --off-host\n"
        "                      policy: may it? One of these; without, all that holds\n"
        "      --realm-key FILE, --name NAME, --days N\n"
        "                      realm grant: the realm's key; the name, or demo.* for all below;\n"
        "                      for so long (default: 365)\n" OPTIONS_HELP "\n"
        "Exit status: 0 done, 1 failed, 2 usage, 3 no such destination, 4 timed out, 5 refused,\n"
        "6 no bus. More in p2pbusctl(1).\n";

/* The table of verbs is the only list of them. */
static char *make_help(void) {
        char *text = NULL;
        size_t n;
        FILE *out = open_memstream(&text, &n);

        if (!out)
                return NULL;
        (void)fputs(help_head, out); /* memory is all that can fail, and fclose() tells */
        for (size_t i = 0; i < ELEMENTSOF(verbs); i++)
                (void)fprintf(out, "  %-11s %-20s %s\n", verbs[i].name, verbs[i].operands,
                              verbs[i].help);
        (void)fputs(help_tail, out);
        if (fclose(out) != 0) {
                free(text);
                return NULL;
        }
        return text;
}

/* ---- What several verbs need ---- */

int ctl_open(Ctl *ctl, bool off_host) {
        if (!off_host)
                ctl->options.local = true;
        return connection_open(&ctl->connection, &ctl->options, 0);
}

int ctl_check_destination(const char *dest) {
        if (p2pbus_check_destination(dest) >= 0 || p2pbus_get_reason() == P2PBUS_REASON_RESERVED)
                return -1;
        return fail(STATUS_USAGE,
                    "%s: neither a PID nor a name with a dot; see who is there with "
                    "p2pbusctl list",
                    dest);
}

int ctl_query(Ctl *ctl, int kind, char **ret_text) {
        int r;

        r = p2pbus_query(ctl->connection.bus, kind, ctl->timeout_usec, ret_text);
        if (r < 0)
                return connection_fail(&ctl->connection, "bus",
                                       p2pbus_get_socket(ctl->connection.bus), r,
                                       p2pbus_get_reason(), NULL);
        return 0;
}

int ctl_open_query(Ctl *ctl, int kind, char **ret_text) {
        int status = ctl_open(ctl, false);

        return status == 0 ? ctl_query(ctl, kind, ret_text) : status;
}

int ctl_print_query(Ctl *ctl, int kind, char *(*format_json)(char *text, size_t *ret_n)) {
        _cleanup_(freep) char *text = NULL;
        char *json;
        size_t n;
        int status;

        status = ctl_open_query(ctl, kind, &text);
        if (status != 0)
                return status;
        if (ctl->options.json) {
                json = format_json(text, &n);
                return output_print(json, n);
        }
        n = strlen(text);
        return output_print(TAKE_PTR(text), n);
}

int ctl_print_table(const Ctl *ctl, const Table *table) {
        TableForm form = ctl->options.json       ? TABLE_JSON
                         : isatty(STDOUT_FILENO) ? TABLE_ALIGNED
                                                 : TABLE_TABS;
        size_t n = 0;
        char *text = table_format(table, form, common_colours(STDOUT_FILENO), &n);

        return output_print(text, n);
}

int ctl_print_key(const Ctl *ctl, const char *file, const char *full) {
        char line[P2PBUS_FULL_SIZE + 1], pid[P2PBUS_PID_SIZE];
        JsonValue *object;
        char *text;
        size_t n;

        if (!ctl->options.json) {
                n = (size_t)snprintf(line, sizeof(line), "%s\n", full);
                return output_print(strdup(line), n);
        }
        (void)snprintf(pid, sizeof(pid), "%s", full);
        object = json_begin();
        json_add_text(object, "file", file);
        json_add_text(object, "pid", pid);
        json_add_text(object, "full", full);
        text = json_finish(object, &n);
        return output_print(text, n);
}

/* ---- Options ---- */

static const Verb *find_verb(const char *name) {
        for (size_t i = 0; i < ELEMENTSOF(verbs); i++)
                if (strcmp(verbs[i].name, name) == 0)
                        return verbs + i;
        return NULL;
}

/* The first operand is the verb. Return: -1 to go on, else the status to end with. */
static int take_operand(Ctl *ctl, const Verb **verb, char *text) {
        if (!*verb) {
                *verb = find_verb(text);
                if (!*verb)
                        return fail(STATUS_USAGE, "%s: no such verb; see p2pbusctl --help", text);
                return -1;
        }
        if (ctl->n_operands == (*verb)->n_greatest)
                return fail(STATUS_USAGE, "%s: one operand too many; the usage is p2pbusctl %s%s%s",
                            text, (*verb)->name, *(*verb)->operands ? " " : "", (*verb)->operands);
        ctl->operands[ctl->n_operands++] = text;
        return -1;
}

static int take_seconds(char option, const char *text, uint64_t *ret_usec) {
        if (argument_seconds(text, ret_usec) < 0)
                return fail(STATUS_USAGE, "-%c %s: not a number of seconds; write for example 2.5",
                            option, text);
        return -1;
}

/* Options of policy alone; only one asks. Return: -1 to go on, else the status to end with. */
static int take_policy(Ctl *ctl, int c, const char *value) {
        static const char *const questions[] = {
                [OPTION_OWN - OPTION_OWN] = "own",
                [OPTION_CALL - OPTION_OWN] = "call",
                [OPTION_PUBLISH - OPTION_OWN] = "publish",
                [OPTION_PUBLISH_OFF_HOST - OPTION_OWN] = "publish-off-host",
                [OPTION_SUBSCRIBE - OPTION_OWN] = "subscribe",
                [OPTION_MONITOR - OPTION_OWN] = "monitor",
                [OPTION_GATEWAY - OPTION_OWN] = "gateway",
                [OPTION_ADMIN - OPTION_OWN] = "admin",
                [OPTION_OFF_HOST - OPTION_OWN] = "off-host",
        };
        CtlPolicy *policy = &ctl->policy;

        if (value && strpbrk(value, "\t\n"))
                return fail(STATUS_USAGE, "%s: no such thing has blanks; leave them out", value);
        policy->is_given = true;
        switch (c) {
        case OPTION_UID:
                policy->user = value;
                return -1;
        case OPTION_FOR_KEY:
                policy->key = value;
                return -1;
        case OPTION_UNIT:
                policy->unit = value;
                return -1;
        }
        if (policy->question)
                return fail(STATUS_USAGE,
                            "--%s and --%s: policy answers one question at a time; "
                            "leave one out",
                            policy->question, questions[c - OPTION_OWN]);
        policy->question = questions[c - OPTION_OWN];
        policy->value = value;
        return -1;
}

/* Options of realm. Return: as take_policy(). */
static int take_realm(Ctl *ctl, int c, const char *value) {
        CtlRealm *realm = &ctl->realm;

        realm->is_given = true;
        if (c == OPTION_REALM_KEY)
                realm->key = value;
        else if (c == OPTION_NAME)
                realm->name = value;
        else if (argument_count(value, 1, 400, &realm->days) < 0)
                return fail(STATUS_USAGE, "--days %s: write a number of days from 1 to 400", value);
        return -1;
}

static int check_arguments(const Ctl *ctl, const Verb *verb, bool interval_given) {
        if (!verb)
                return fail(STATUS_USAGE, "VERB: missing; see p2pbusctl --help");
        if (ctl->n_operands < verb->n_least)
                return fail(STATUS_USAGE, "%s: an operand is missing; the usage is p2pbusctl %s %s",
                            verb->name, verb->name, verb->operands);
        if ((ctl->count_given && verb->run != ctl_ping && verb->run != ctl_watch &&
             verb->run != ctl_top) ||
            (interval_given && verb->run != ctl_ping && verb->run != ctl_top))
                return fail(STATUS_USAGE, "-c and -i: only ping and top have them, and watch has "
                                          "-c; leave them out");
        if (ctl->policy.is_given && verb->run != ctl_policy)
                return fail(STATUS_USAGE,
                            "%s: has no options but -t and those that all verbs have; "
                            "leave out what is for policy",
                            verb->name);
        if (ctl->realm.is_given && verb->run != ctl_realm)
                return fail(STATUS_USAGE,
                            "%s: --realm-key, --name and --days are for realm; leave them out",
                            verb->name);
        return -1;
}

/* Return: -1 to go on with *ret_verb, else the status to end with. */
static int parse_argv(Ctl *ctl, int argc, char **argv, const Verb **ret_verb) {
        static const struct option long_options[] = {
                { "count", required_argument, NULL, 'c' },
                { "interval", required_argument, NULL, 'i' },
                { "timeout", required_argument, NULL, 't' },
                { "uid", required_argument, NULL, OPTION_UID },
                { "for-key", required_argument, NULL, OPTION_FOR_KEY },
                { "unit", required_argument, NULL, OPTION_UNIT },
                { "own", required_argument, NULL, OPTION_OWN },
                { "call", required_argument, NULL, OPTION_CALL },
                { "publish", required_argument, NULL, OPTION_PUBLISH },
                { "publish-off-host", required_argument, NULL, OPTION_PUBLISH_OFF_HOST },
                { "subscribe", required_argument, NULL, OPTION_SUBSCRIBE },
                { "monitor", no_argument, NULL, OPTION_MONITOR },
                { "gateway", no_argument, NULL, OPTION_GATEWAY },
                { "admin", no_argument, NULL, OPTION_ADMIN },
                { "off-host", no_argument, NULL, OPTION_OFF_HOST },
                { "realm-key", required_argument, NULL, OPTION_REALM_KEY },
                { "name", required_argument, NULL, OPTION_NAME },
                { "days", required_argument, NULL, OPTION_DAYS },
                OPTIONS_LONG,
                { 0 },
        };
        _cleanup_(freep) char *help = make_help();
        const Verb *verb = NULL;
        bool interval_given = false;
        int c, status = -1;

        while (status < 0 &&
               (c = getopt_long(argc, argv, "-:c:i:t:" OPTIONS_SHORT, long_options, NULL)) >= 0) {
                switch (c) {
                case 1:
                        status = take_operand(ctl, &verb, optarg);
                        break;
                case 'c':
                        ctl->count_given = true;
                        if (argument_count(optarg, 1, 1000000, &ctl->count) < 0)
                                status = fail(STATUS_USAGE,
                                              "-c %s: not a count; write a number "
                                              "from 1 to 1000000",
                                              optarg);
                        break;
                case 'i':
                        interval_given = true;
                        status = take_seconds('i', optarg, &ctl->interval_usec);
                        break;
                case 't':
                        ctl->timeout_given = true;
                        status = take_seconds('t', optarg, &ctl->timeout_usec);
                        break;
                case OPTION_UID ... OPTION_OFF_HOST:
                        status = take_policy(ctl, c, optarg);
                        break;
                case OPTION_REALM_KEY ... OPTION_DAYS:
                        status = take_realm(ctl, c, optarg);
                        break;
                default:
                        status = options_take(&ctl->options, c, argv, help ? help : help_head);
                }
        }
        for (; status < 0 && optind < argc; optind++)
                status = take_operand(ctl, &verb, argv[optind]);
        if (status < 0)
                status = check_arguments(ctl, verb, interval_given);
        *ret_verb = verb;
        return status;
}

int main(int argc, char **argv) {
        char *operands[OPERANDS_MAX];
        Ctl ctl = {
                .timeout_usec = TIMEOUT_DEFAULT_USEC,
                .count = 4,
                .interval_usec = USEC_PER_SEC,
                .realm = { .days = 365 },
                .operands = operands,
        };
        const Verb *verb;
        int status;

        common_init("p2pbusctl");
        connection_init(&ctl.connection);
        options_init(&ctl.options);

        status = parse_argv(&ctl, argc, argv, &verb);
        if (status < 0) {
                ctl.timeout_usec = MAX(ctl.timeout_usec, (uint64_t)1); /* 0 may be a default */
                status = verb->run(&ctl);
        }
        connection_done(&ctl.connection);
        return status;
}
