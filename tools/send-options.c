/* SPDX-License-Identifier: Apache-2.0 */

#include "tools/send-options.h"

#include <string.h>

#include "libclient/p2pbus.h"
#include "tools/argument.h"
#include "tools/common.h"

#define TIMEOUT_DEFAULT_USEC (30 * USEC_PER_SEC)

static const char help[] =
        "Usage: p2pbus-send [OPTION]... DEST [MESSAGE]\n"
        "       p2pbus-send [OPTION]... --topic TOPIC [MESSAGE]\n"
        "Send MESSAGE, or all of stdin, to DEST: a PID, its tagged or full form, or a service "
        "name.\n"
        "\n"
        "  -r, --request       wait for the reply and write it to stdout\n"
        "  -t, --timeout SECONDS\n"
        "                      wait so long for each delivery or reply (default: 30; 0: not at "
        "all)\n"
        "      --no-wait       end when the bus has taken the messages over\n"
        "      --lines         each line of stdin is a message\n"
        "      --chunk SIZE    each SIZE bytes of stdin are a message, for example 64K or 1M\n"
        "      --idempotent    messages may be delivered twice: to a receiver that is restarted, "
        "or\n"
        "                      to another provider if one dies\n"
        "      --mode MODE     which provider of a name: balance (the default) or failover\n"
        "      --all           all providers of the name DEST; with -r each reply is a line\n"
        "      --topic TOPIC   to whoever subscribed to it, instead of DEST\n"
        "      --retain        with --topic: keep the last message for who subscribes later; an\n"
        "                      empty one ends that\n"
        "      --type MIME     what the payload is, for example application/json\n" OPTIONS_HELP
        "\n"
        "Exit status: 0 delivered, 1 failed, 2 usage, 3 no such destination, 4 timed out, 5 "
        "refused,\n"
        "6 no bus. More in p2pbus-send(1).\n";

void send_options_init(SendOptions *o) {
        *o = (SendOptions){ .timeout_usec = TIMEOUT_DEFAULT_USEC };
        options_init(&o->common);
}

enum {
        OPTION_NO_WAIT = _OPTION_FIRST_OWN,
        OPTION_LINES,
        OPTION_CHUNK,
        OPTION_IDEMPOTENT,
        OPTION_MODE,
        OPTION_ALL,
        OPTION_TYPE,
        OPTION_TOPIC,
        OPTION_RETAIN,
};

static int take_operand(SendOptions *o, const char *text) {
        if (!o->dest)
                o->dest = text;
        else if (!o->text)
                o->text = text;
        else
                return fail(STATUS_USAGE,
                            "%s: one DEST and one MESSAGE are enough; quote a MESSAGE "
                            "with blanks",
                            text);
        return -1;
}

static int take_mode(SendOptions *o, InputMode mode) {
        if (o->mode != INPUT_WHOLE && o->mode != mode)
                return fail(STATUS_USAGE,
                            "--lines and --chunk: stdin is cut in one way only; leave "
                            "one out");
        o->mode = mode;
        return -1;
}

static int take_chunk(SendOptions *o, const char *text) {
        if (argument_size(text, &o->chunk_size) < 0)
                return fail(STATUS_USAGE, "--chunk %s: not a size; write for example 64K or 1M",
                            text);
        return take_mode(o, INPUT_CHUNKS);
}

static int take_timeout(SendOptions *o, const char *text) {
        if (argument_seconds(text, &o->timeout_usec) < 0)
                return fail(STATUS_USAGE, "-t %s: not a number of seconds; write for example 2.5",
                            text);
        return -1;
}

static bool is_type(const char *type) {
        p2pbus_message *message = NULL;
        int r;

        r = p2pbus_message_new(&message, NULL, 0);
        if (r >= 0)
                r = p2pbus_message_set_type(message, type);
        p2pbus_message_unref(message);
        return r >= 0;
}

static int take_provider_mode(SendOptions *o, const char *text) {
        o->has_provider_mode = true;
        if (strcmp(text, "balance") == 0)
                o->provider_mode = P2PBUS_MODE_BALANCE;
        else if (strcmp(text, "failover") == 0)
                o->provider_mode = P2PBUS_MODE_FAILOVER;
        else
                return fail(STATUS_USAGE, "--mode %s: no such mode; choose balance or failover",
                            text);
        return -1;
}

/* Return: -1 to go on, else the status to end with. */
static int check_providers(const SendOptions *o) {
        bool is_name = !o->topic && p2pbus_check_destination(o->dest) == P2PBUS_DESTINATION_NAME;

        if ((o->to_all || o->has_provider_mode) && !is_name)
                return fail(STATUS_USAGE, "--mode and --all: only a name has several providers; "
                                          "write one as DEST");
        if (o->to_all && (o->has_provider_mode || o->no_wait || o->mode != INPUT_WHOLE))
                return fail(STATUS_USAGE, "--all: one message goes to all, and each is heard of; "
                                          "leave --mode, --no-wait, --lines and --chunk out");
        return -1;
}

/* The only operand is MESSAGE. Return: -1 to go on, else the status to end with. */
static int check_topic(SendOptions *o) {
        if (o->text)
                return fail(STATUS_USAGE,
                            "%s: with --topic there is no DEST; quote a MESSAGE with blanks",
                            o->text);
        o->text = o->dest;
        o->dest = NULL;
        if (o->request || o->idempotent)
                return fail(STATUS_USAGE, "-r and --idempotent: who subscribed to a topic neither "
                                          "replies nor confirms; leave them out");
        if (p2pbus_check_topic(o->topic) != 0)
                return fail(STATUS_USAGE,
                            "--topic %s: not a topic; write words with dots between, for example "
                            "weather.paris.temperature",
                            o->topic);
        return -1;
}

/* Return: -1 to go on, else the status to end with. */
static int check_destination(const SendOptions *o) {
        if (o->retain)
                return fail(STATUS_USAGE, "--retain: only a topic retains; add --topic");
        if (!o->dest)
                return fail(STATUS_USAGE, "DEST: missing; see p2pbus-send --help");
        if (p2pbus_check_destination(o->dest) < 0 && p2pbus_get_reason() != P2PBUS_REASON_RESERVED)
                return fail(STATUS_USAGE,
                            "%s: neither a PID nor a name with a dot; see who is there "
                            "with p2pbusctl list",
                            o->dest);
        return -1;
}

/* Return: -1 to go on, else the status to end with. */
static int check_arguments(SendOptions *o) {
        int status = o->topic ? check_topic(o) : check_destination(o);

        if (status >= 0)
                return status;
        status = check_providers(o);
        if (status >= 0)
                return status;
        if (o->text && o->mode != INPUT_WHOLE)
                return fail(STATUS_USAGE, "MESSAGE: --lines and --chunk send stdin; leave it out");
        if (o->request && o->no_wait)
                return fail(STATUS_USAGE,
                            "-r and --no-wait: a reply has to be waited for; leave one "
                            "out");
        if (o->type && !is_type(o->type))
                return fail(STATUS_USAGE,
                            "--type %s: not a MIME type; write for example "
                            "text/plain",
                            o->type);
        return -1;
}

int send_options_parse(SendOptions *o, int argc, char **argv) {
        static const struct option long_options[] = {
                { "request", no_argument, NULL, 'r' },
                { "timeout", required_argument, NULL, 't' },
                { "no-wait", no_argument, NULL, OPTION_NO_WAIT },
                { "lines", no_argument, NULL, OPTION_LINES },
                { "chunk", required_argument, NULL, OPTION_CHUNK },
                { "idempotent", no_argument, NULL, OPTION_IDEMPOTENT },
                { "mode", required_argument, NULL, OPTION_MODE },
                { "all", no_argument, NULL, OPTION_ALL },
                { "type", required_argument, NULL, OPTION_TYPE },
                { "topic", required_argument, NULL, OPTION_TOPIC },
                { "retain", no_argument, NULL, OPTION_RETAIN },
                OPTIONS_LONG,
                { 0 },
        };
        int c, status = -1;

        while (status < 0 &&
               (c = getopt_long(argc, argv, "-:rt:" OPTIONS_SHORT, long_options, NULL)) >= 0) {
                switch (c) {
                case 1:
                        status = take_operand(o, optarg);
                        break;
                case 'r':
                        o->request = true;
                        break;
                case 't':
                        status = take_timeout(o, optarg);
                        break;
                case OPTION_NO_WAIT:
                        o->no_wait = true;
                        break;
                case OPTION_LINES:
                        status = take_mode(o, INPUT_LINES);
                        break;
                case OPTION_CHUNK:
                        status = take_chunk(o, optarg);
                        break;
                case OPTION_IDEMPOTENT:
                        o->idempotent = true;
                        break;
                case OPTION_MODE:
                        status = take_provider_mode(o, optarg);
                        break;
                case OPTION_ALL:
                        o->to_all = true;
                        break;
                case OPTION_TYPE:
                        o->type = optarg;
                        break;
                case OPTION_TOPIC:
                        o->topic = optarg;
                        break;
                case OPTION_RETAIN:
                        o->retain = true;
                        break;
                default:
                        status = options_take(&o->common, c, argv, help);
                }
        }
        for (; status < 0 && optind < argc; optind++)
                status = take_operand(o, argv[optind]);
        return status < 0 ? check_arguments(o) : status;
}
