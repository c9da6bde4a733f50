/* SPDX-License-Identifier: Apache-2.0 */

/*
 * p2pbus-send: sends messages to one destination, or publishes them on a topic
 *
 * Code structure:
 *      send.c          options; from input to messages, from results to the exit status
 *      input.c         stdin cut into messages
 *      all.c           the message to all providers of a name
 *      connection.c    the bus, signals, the one place that waits
 *      output.c        stdout
 *
 * A message on its way is an Outgoing, in the order of sending. The list's head decides: what is
 * settled well leaves it there, and a failed head is the first failure in the order of the input,
 * which is the one that is told.
 */

#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libclient/p2pbus.h"
#include "tools/all.h"
#include "tools/argument.h"
#include "tools/common.h"
#include "tools/connection.h"
#include "tools/format.h"
#include "tools/input.h"
#include "tools/json.h"
#include "tools/options.h"
#include "tools/output.h"
#include "tools/progress.h"

#define TIMEOUT_DEFAULT_USEC (30 * USEC_PER_SEC)
#define GRACE_USEC (50 * USEC_PER_MSEC)

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

typedef struct Outgoing Outgoing;
typedef struct Sender Sender;

/* One message on its way. */
struct Outgoing {
        Outgoing *next;
        Sender *sender;
        uint64_t number; /* from 1 */
        uint64_t deadline_usec;
        uint64_t too_big; /* its size, if it is over the limit: there is no message then */
        p2pbus_message *message;
        p2pbus_message *reply;
        bool settled;
        int error; /* once settled */
        int reason;
};

struct Sender {
        Options options;
        Connection connection;
        const char *dest;
        const char *text; /* MESSAGE, or NULL: stdin */
        const char *type;
        const char *topic; /* then there is no @dest; or NULL */
        bool retain;
        uint64_t timeout_usec;
        bool request;
        bool no_wait;
        bool idempotent;
        int provider_mode; /* enum p2pbus_mode */
        bool has_provider_mode;
        bool to_all;
        All all;
        InputMode mode;
        size_t chunk_size;

        Input input;
        bool input_ended; /* nothing more will be read, or there was a failure */
        Outgoing *unsent; /* did not fit yet */
        Outgoing *first;  /* sent, in order */
        Outgoing **end;
        uint64_t n_messages;
        uint64_t n_bytes_done; /* of settled messages, for the progress line */
        bool failed;           /* something in the list has failed */
};

static Outgoing *outgoing_free(Outgoing *out) {
        if (!out)
                return NULL;
        p2pbus_message_unref(out->message);
        p2pbus_message_unref(out->reply);
        free(out);
        return NULL;
}

static void sender_done(Sender *sender) {
        connection_done(&sender->connection); /* first: no callback finds an Outgoing gone */
        while (sender->first) {
                Outgoing *next = sender->first->next;

                (void)outgoing_free(sender->first);
                sender->first = next;
        }
        sender->unsent = outgoing_free(sender->unsent);
        all_done(&sender->all);
        input_done(&sender->input);
}

/* "line 3", "chunk 3", "message". */
static const char *outgoing_name(const Sender *sender, uint64_t number, char name[static 40]) {
        if (sender->mode == INPUT_WHOLE)
                (void)snprintf(name, 40, "message");
        else
                (void)snprintf(name, 40, "%s %" PRIu64,
                               sender->mode == INPUT_LINES ? "line" : "chunk", number);
        return name;
}

static uint64_t message_max(const Sender *sender) {
        uint64_t max = p2pbus_get_message_max(sender->connection.bus);

        return sender->topic ? MIN(max, (uint64_t)P2PBUS_TOPIC_MESSAGE_MAX) : max;
}

static int fail_too_big(Sender *sender, uint64_t number, uint64_t size) {
        bool single = sender->mode == INPUT_WHOLE;
        char name[40];

        outgoing_name(sender, number, name);
        return fail(STATUS_REFUSED,
                    "%s%smessage of %" PRIu64 " bytes, %s takes %" PRIu64
                    "; send it in pieces with --chunk",
                    single ? "" : name, single ? "" : ": ", size,
                    sender->topic ? "a topic" : "this bus", message_max(sender));
}

/* The reason comes right behind "line N:"; for a single message it comes behind its destination. */
static int fail_outgoing(Sender *sender, const Outgoing *out) {
        char name[40], why[1024];
        const char *rule;
        int by;

        if (out->too_big > 0)
                return fail_too_big(sender, out->number, out->too_big);
        outgoing_name(sender, out->number, name);
        if (out->error == -EREMOTEIO && out->reply) {
                const char *text = p2pbus_message_get_payload(out->reply);

                return fail(STATUS_FAILED, "%s: error reply %" PRIu32 ": %.*s; see the receiver",
                            sender->mode == INPUT_WHOLE ? sender->dest : name,
                            p2pbus_message_get_status(out->reply),
                            (int)MIN(p2pbus_message_get_size(out->reply), (size_t)1000),
                            text ? text : "");
        }
        by = p2pbus_message_get_refuser(out->message);
        rule = p2pbus_message_get_refusal(out->message);
        if (rule)
                (void)snprintf(why, sizeof(why), "%s: %s", p2pbus_reason_text(out->reason), rule);
        else
                (void)snprintf(why, sizeof(why), "%s, says %s", p2pbus_reason_text(out->reason),
                               p2pbus_refuser_text(by));
        return connection_fail(&sender->connection,
                               sender->mode != INPUT_WHOLE ? name
                               : sender->topic             ? sender->topic
                                                           : sender->dest,
                               NULL, out->error, out->reason,
                               rule || by > P2PBUS_BY_DAEMON ? why : NULL);
}

/* ---- Results ---- */

static void settle(Outgoing *out, int error, int reason) {
        out->settled = true;
        out->error = error;
        out->reason = reason;
        if (error < 0)
                out->sender->failed = true;
        else
                out->sender->n_bytes_done += p2pbus_message_get_size(out->message);
}

static void on_reply(p2pbus *bus, int error, int reason, p2pbus_message *reply, void *userdata) {
        Outgoing *out = userdata;

        (void)bus;
        if (reply)
                out->reply = p2pbus_message_ref(reply);
        settle(out, error, reason);
}

static void take_results(Sender *sender) {
        p2pbus_message *message;

        while (p2pbus_next_result(sender->connection.bus, &message) == 0) {
                settle(p2pbus_message_get_userdata(message), p2pbus_message_get_result(message),
                       p2pbus_message_get_reason(message));
                p2pbus_message_unref(message);
        }
}

/* What providers have said is written as it comes; the message is settled with the last. */
static int take_all(Sender *sender) {
        All *all = &sender->all;
        int r = all_write(all, &sender->connection);

        if (r == 0 && all->is_over && sender->first && !sender->first->settled)
                settle(sender->first, all->error, all->reason);
        return r;
}

/*
 * The library gives a message up in time, but its account closes only when the receiver has said
 * which came first, and a stopped receiver says nothing. The head's deadline is the earliest.
 */
static void settle_late(Sender *sender) {
        Outgoing *out = sender->first;

        if (out && !out->settled && now_usec(CLOCK_MONOTONIC) >= out->deadline_usec)
                settle(out, -ETIMEDOUT, P2PBUS_REASON_TIMEOUT);
}

static int print_outgoing(Sender *sender, const Outgoing *out) {
        Format format = sender->options.json          ? FORMAT_JSON
                        : sender->mode == INPUT_LINES ? FORMAT_LINE
                                                      : FORMAT_RAW;
        _cleanup_(freep) char *owned = NULL;
        const char *data;
        size_t n;
        int r;

        if (out->reply) {
                r = format_message(format, out->reply, p2pbus_get_pid(sender->connection.bus),
                                   &data, &n, &owned);
                if (r < 0)
                        return r;
        } else if (sender->options.json && !sender->to_all) {
                JsonValue *object = json_begin();

                json_add_text(object, sender->topic ? "topic" : "to",
                              sender->topic ? sender->topic : sender->dest);
                json_add_text(object, "id", p2pbus_message_get_id(out->message));
                json_add_number(object, "size", p2pbus_message_get_size(out->message));
                json_add_text(object, "result",
                              sender->topic     ? "published"
                              : sender->no_wait ? "handed over"
                                                : "delivered");
                data = owned = json_finish(object, &n);
                if (!owned)
                        return -ENOMEM;
        } else
                return 0;
        return output_write(&sender->connection, data, n);
}

/* Takes what is settled off the head. Return: -1 to go on, else the status to end with. */
static int drop_settled(Sender *sender) {
        while (sender->first && sender->first->settled) {
                Outgoing *out = sender->first;
                int r;

                if (out->error < 0)
                        return fail_outgoing(sender, out);
                r = print_outgoing(sender, out);
                if (r != 0)
                        return output_end(&sender->connection, r);

                sender->first = out->next;
                if (!sender->first)
                        sender->end = &sender->first;
                (void)outgoing_free(out);
        }
        return -1;
}

/* ---- Sending ---- */

/* The next one goes behind all others. */
static void append(Sender *sender, Outgoing *out) {
        *sender->end = out;
        sender->end = &out->next;
}

static int append_too_big(Sender *sender, uint64_t size) {
        Outgoing *out = calloc(1, sizeof(*out));

        if (!out)
                return -ENOMEM;
        out->sender = sender;
        out->number = ++sender->n_messages;
        out->too_big = size;
        append(sender, out);
        settle(out, -EMSGSIZE, P2PBUS_REASON_TOO_BIG);
        return 0;
}

static int make_outgoing(Sender *sender, const char *data, size_t n) {
        Outgoing *out = calloc(1, sizeof(*out));
        int r;

        if (!out)
                return -ENOMEM;
        /* All of stdin is one message: up to 64 MiB that need not be there twice. */
        if (sender->mode == INPUT_WHOLE && !sender->text && n > 0) {
                r = p2pbus_message_new_take(&out->message, sender->input.data, n);
                if (r >= 0)
                        sender->input.data = NULL;
        } else
                r = p2pbus_message_new(&out->message, n > 0 ? data : NULL, n);
        if (r >= 0 && sender->type)
                r = p2pbus_message_set_type(out->message, sender->type);
        if (r >= 0 && sender->idempotent)
                r = p2pbus_message_set_idempotent(out->message, 1);
        if (r >= 0)
                r = p2pbus_message_set_mode(out->message, sender->provider_mode);
        if (r < 0) {
                (void)outgoing_free(out);
                return r;
        }
        p2pbus_message_set_userdata(out->message, out);
        out->sender = sender;
        out->number = ++sender->n_messages;
        out->deadline_usec = deadline_after(sender->timeout_usec);
        sender->unsent = out;
        if (sender->mode == INPUT_WHOLE)
                progress_begin(n);
        return 0;
}

/*
 * A single message waits for the daemon's word; many do not wait for each. Return: as
 * p2pbus_publish(), -EAGAIN within the message's time only; or CONNECTION_E_X.
 */
static int publish(Sender *sender, Outgoing *out) {
        uint32_t flags = sender->retain ? P2PBUS_RETAIN : 0;
        p2pbus *bus = sender->connection.bus;
        int r;

        if (sender->mode == INPUT_WHOLE) {
                r = connection_blocking(&sender->connection);
                if (r != 0)
                        return r;
                return p2pbus_publish(bus, sender->topic, out->message, flags,
                                      MAX(sender->timeout_usec, (uint64_t)1));
        }
        r = p2pbus_publish(bus, sender->topic, out->message, flags, 0);
        if (r == -EAGAIN && now_usec(CLOCK_MONOTONIC) >= out->deadline_usec)
                return -ETIMEDOUT;
        return r;
}

/* Nobody confirms: what the daemon has is done with. Return: as send_unsent(). */
static int publish_unsent(Sender *sender) {
        Outgoing *out = sender->unsent;
        int r = publish(sender, out);

        if (r > 0)
                return connection_end(&sender->connection, r);
        if (r == -EAGAIN)
                return -EAGAIN;
        sender->unsent = NULL;
        append(sender, out);
        settle(out, r, r == -ETIMEDOUT ? P2PBUS_REASON_TIMEOUT : r < 0 ? p2pbus_get_reason() : 0);
        if (r < 0)
                sender->input_ended = true;
        return -1;
}

/* Return: -1: sent; -EAGAIN: it does not fit yet; else the status to end with. */
static int send_unsent(Sender *sender) {
        Outgoing *out = sender->unsent;
        uint64_t timeout_usec = MAX(sender->timeout_usec, (uint64_t)1); /* 0 is the default there */
        p2pbus *bus = sender->connection.bus;
        int r;

        if (sender->topic)
                return publish_unsent(sender);
        if (sender->to_all)
                r = all_start(&sender->all, bus, sender->dest, out->message, timeout_usec);
        else if (sender->request)
                r = p2pbus_request_start(bus, sender->dest, out->message, timeout_usec, on_reply,
                                         out, NULL);
        else
                r = p2pbus_send(bus, sender->dest, out->message, timeout_usec, NULL);
        if (r == -EAGAIN)
                return -EAGAIN;

        sender->unsent = NULL;
        append(sender, out);
        out->deadline_usec = deadline_after(sender->timeout_usec + GRACE_USEC);
        if (r < 0) {
                /* What went before it may still fail, and would be the first to tell of. */
                settle(out, r, p2pbus_get_reason());
                sender->input_ended = true;
        }
        return -1;
}

/* Sends as much as is there and fits. Return: -1 to go on, else the status to end with. */
static int send_input(Sender *sender) {
        while (!sender->failed) {
                const char *data;
                uint64_t n;
                int r;

                if (sender->unsent) {
                        r = send_unsent(sender);
                        if (r == -EAGAIN)
                                return -1;
                        if (r >= 0)
                                return r;
                        continue;
                }
                if (sender->input_ended)
                        return -1;

                r = input_next(&sender->input, &data, &n);
                if (r == INPUT_E_MORE)
                        return -1;
                if (r == INPUT_E_END) {
                        sender->input_ended = true;
                        return -1;
                }
                r = r == INPUT_E_TOO_BIG ? append_too_big(sender, n)
                                         : make_outgoing(sender, data, (size_t)n);
                if (r < 0)
                        return fail(STATUS_FAILED, "message: %s; try again", strerror(-r));
        }
        return -1;
}

static void show_progress(Sender *sender) {
        uint64_t n = sender->n_bytes_done;

        if (sender->mode == INPUT_WHOLE && sender->first)
                n = p2pbus_message_get_progress(sender->first->message);
        progress_update(n);
}

/* How much there will be to send, if stdin is a file. */
static uint64_t stdin_size(void) {
        off_t at = lseek(STDIN_FILENO, 0, SEEK_CUR);
        struct stat st;

        if (at < 0 || fstat(STDIN_FILENO, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size < at)
                return 0;
        return (uint64_t)(st.st_size - at);
}

/* Return: -1 to go on, else the status to end with. */
static int read_input(Sender *sender) {
        int r = input_fill(&sender->input, STDIN_FILENO);

        if (r < 0 && r != -EAGAIN)
                return fail(STATUS_FAILED, "stdin: %s; see where it comes from", strerror(-r));
        return -1;
}

/* --no-wait, --topic: all is sent; the bus only has to take it over. */
static int hand_over(Sender *sender) {
        int r, status;

        r = connection_blocking(&sender->connection);
        if (r != 0)
                return connection_end(&sender->connection, r);
        r = p2pbus_hand_over(sender->connection.bus, sender->timeout_usec);
        if (r < 0) {
                int reason = p2pbus_get_reason();

                take_results(sender);
                status = drop_settled(sender);
                if (status >= 0)
                        return status;
                return connection_fail(&sender->connection,
                                       sender->topic ? sender->topic : sender->dest, NULL, r,
                                       reason, NULL);
        }
        for (Outgoing *out = sender->first; out; out = out->next) {
                r = print_outgoing(sender, out);
                if (r != 0)
                        return output_end(&sender->connection, r);
        }
        return STATUS_DONE;
}

static int run(Sender *sender) {
        for (;;) {
                bool writes = sender->request || sender->options.json;
                struct pollfd fds[] = { { .fd = -1, .events = POLLIN }, output_pollfd(writes) };
                uint64_t deadline;
                int r, status;

                status = send_input(sender);
                if (status < 0)
                        status = drop_settled(sender);
                if (status >= 0)
                        return status;
                if (sender->input_ended && !sender->unsent) {
                        if (!sender->first)
                                return sender->topic ? hand_over(sender) : STATUS_DONE;
                        if (sender->no_wait && !sender->failed)
                                return hand_over(sender);
                }

                /* No more is read than can be sent. */
                if (!sender->input_ended && !sender->unsent && !sender->failed)
                        fds[0].fd = STDIN_FILENO;
                deadline = progress_due();
                if (sender->first)
                        deadline = MIN(deadline, sender->first->deadline_usec);
                if (sender->topic && sender->unsent)
                        deadline = MIN(deadline, sender->unsent->deadline_usec);
                r = connection_wait(&sender->connection, fds, ELEMENTSOF(fds), deadline);
                if (r != 0 && r != CONNECTION_E_TIMEOUT)
                        return connection_end(&sender->connection, r);
                if (fds[1].revents != 0)
                        return STATUS_DONE;
                if (fds[0].revents != 0) {
                        status = read_input(sender);
                        if (status >= 0)
                                return status;
                }
                take_results(sender);
                r = take_all(sender);
                if (r != 0)
                        return output_end(&sender->connection, r);
                settle_late(sender);
                show_progress(sender);
        }
}

/* ---- Options ---- */

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

static int take_operand(Sender *sender, const char *text) {
        if (!sender->dest)
                sender->dest = text;
        else if (!sender->text)
                sender->text = text;
        else
                return fail(STATUS_USAGE,
                            "%s: one DEST and one MESSAGE are enough; quote a MESSAGE "
                            "with blanks",
                            text);
        return -1;
}

static int take_mode(Sender *sender, InputMode mode) {
        if (sender->mode != INPUT_WHOLE && sender->mode != mode)
                return fail(STATUS_USAGE,
                            "--lines and --chunk: stdin is cut in one way only; leave "
                            "one out");
        sender->mode = mode;
        return -1;
}

static int take_chunk(Sender *sender, const char *text) {
        if (argument_size(text, &sender->chunk_size) < 0)
                return fail(STATUS_USAGE, "--chunk %s: not a size; write for example 64K or 1M",
                            text);
        return take_mode(sender, INPUT_CHUNKS);
}

static int take_timeout(Sender *sender, const char *text) {
        if (argument_seconds(text, &sender->timeout_usec) < 0)
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

static int take_provider_mode(Sender *sender, const char *text) {
        sender->has_provider_mode = true;
        if (strcmp(text, "balance") == 0)
                sender->provider_mode = P2PBUS_MODE_BALANCE;
        else if (strcmp(text, "failover") == 0)
                sender->provider_mode = P2PBUS_MODE_FAILOVER;
        else
                return fail(STATUS_USAGE, "--mode %s: no such mode; choose balance or failover",
                            text);
        return -1;
}

/* Return: -1 to go on, else the status to end with. */
static int check_providers(const Sender *sender) {
        bool is_name =
                !sender->topic && p2pbus_check_destination(sender->dest) == P2PBUS_DESTINATION_NAME;

        if ((sender->to_all || sender->has_provider_mode) && !is_name)
                return fail(STATUS_USAGE, "--mode and --all: only a name has several providers; "
                                          "write one as DEST");
        if (sender->to_all &&
            (sender->has_provider_mode || sender->no_wait || sender->mode != INPUT_WHOLE))
                return fail(STATUS_USAGE, "--all: one message goes to all, and each is heard of; "
                                          "leave --mode, --no-wait, --lines and --chunk out");
        return -1;
}

/* The only operand is MESSAGE. Return: -1 to go on, else the status to end with. */
static int check_topic(Sender *sender) {
        if (sender->text)
                return fail(STATUS_USAGE,
                            "%s: with --topic there is no DEST; quote a MESSAGE with blanks",
                            sender->text);
        sender->text = sender->dest;
        sender->dest = NULL;
        if (sender->request || sender->idempotent)
                return fail(STATUS_USAGE, "-r and --idempotent: who subscribed to a topic neither "
                                          "replies nor confirms; leave them out");
        if (p2pbus_check_topic(sender->topic) != 0)
                return fail(STATUS_USAGE,
                            "--topic %s: not a topic; write words with dots between, for example "
                            "weather.paris.temperature",
                            sender->topic);
        return -1;
}

/* Return: -1 to go on, else the status to end with. */
static int check_destination(const Sender *sender) {
        if (sender->retain)
                return fail(STATUS_USAGE, "--retain: only a topic retains; add --topic");
        if (!sender->dest)
                return fail(STATUS_USAGE, "DEST: missing; see p2pbus-send --help");
        if (p2pbus_check_destination(sender->dest) < 0 &&
            p2pbus_get_reason() != P2PBUS_REASON_RESERVED)
                return fail(STATUS_USAGE,
                            "%s: neither a PID nor a name with a dot; see who is there "
                            "with p2pbusctl list",
                            sender->dest);
        return -1;
}

/* Return: -1 to go on, else the status to end with. */
static int check_arguments(Sender *sender) {
        int status = sender->topic ? check_topic(sender) : check_destination(sender);

        if (status >= 0)
                return status;
        status = check_providers(sender);
        if (status >= 0)
                return status;
        if (sender->text && sender->mode != INPUT_WHOLE)
                return fail(STATUS_USAGE, "MESSAGE: --lines and --chunk send stdin; leave it out");
        if (sender->request && sender->no_wait)
                return fail(STATUS_USAGE,
                            "-r and --no-wait: a reply has to be waited for; leave one "
                            "out");
        if (sender->type && !is_type(sender->type))
                return fail(STATUS_USAGE,
                            "--type %s: not a MIME type; write for example "
                            "text/plain",
                            sender->type);
        return -1;
}

/* Return: -1 to go on, else the status to end with. */
static int parse_argv(Sender *sender, int argc, char **argv) {
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
                        status = take_operand(sender, optarg);
                        break;
                case 'r':
                        sender->request = true;
                        break;
                case 't':
                        status = take_timeout(sender, optarg);
                        break;
                case OPTION_NO_WAIT:
                        sender->no_wait = true;
                        break;
                case OPTION_LINES:
                        status = take_mode(sender, INPUT_LINES);
                        break;
                case OPTION_CHUNK:
                        status = take_chunk(sender, optarg);
                        break;
                case OPTION_IDEMPOTENT:
                        sender->idempotent = true;
                        break;
                case OPTION_MODE:
                        status = take_provider_mode(sender, optarg);
                        break;
                case OPTION_ALL:
                        sender->to_all = true;
                        break;
                case OPTION_TYPE:
                        sender->type = optarg;
                        break;
                case OPTION_TOPIC:
                        sender->topic = optarg;
                        break;
                case OPTION_RETAIN:
                        sender->retain = true;
                        break;
                default:
                        status = options_take(&sender->options, c, argv, help);
                }
        }
        for (; status < 0 && optind < argc; optind++)
                status = take_operand(sender, argv[optind]);
        return status < 0 ? check_arguments(sender) : status;
}

/* What can be refused before anything is read. Return: -1 to go on, else the status to end with. */
static int prepare(Sender *sender) {
        uint64_t max = message_max(sender);
        int r;

        if (sender->mode == INPUT_CHUNKS && sender->chunk_size > max)
                return fail_too_big(sender, 1, sender->chunk_size);
        if (!sender->text && isatty(STDIN_FILENO))
                tell(LEVEL_INFO, "stdin: a terminal; write, and end with Ctrl-D");
        input_init(&sender->input, sender->mode, sender->chunk_size, max);
        if (sender->text) {
                if (strlen(sender->text) > max)
                        return fail_too_big(sender, 1, strlen(sender->text));
                r = make_outgoing(sender, sender->text, strlen(sender->text));
                if (r < 0)
                        return fail(STATUS_FAILED, "message: %s; try again", strerror(-r));
                sender->input_ended = true;
        }
        if (sender->mode != INPUT_WHOLE)
                progress_begin(stdin_size());
        return -1;
}

int main(int argc, char **argv) {
        Sender sender = { .timeout_usec = TIMEOUT_DEFAULT_USEC };
        int status;

        common_init("p2pbus-send");
        connection_init(&sender.connection);
        options_init(&sender.options);
        sender.end = &sender.first;

        status = parse_argv(&sender, argc, argv);
        if (status >= 0)
                return status;
        sender.all.one_way = !sender.request;
        sender.all.json = sender.options.json;
        status = connection_open(&sender.connection, &sender.options, P2PBUS_RESULTS);
        if (status == 0)
                status = connection_watch(&sender.connection);
        if (status == 0) {
                status = prepare(&sender);
                if (status < 0)
                        status = run(&sender);
                if (status == STATUS_DONE && !sender.no_wait)
                        progress_end(sender.n_bytes_done);
        }
        progress_clear();
        sender_done(&sender);
        return status;
}
