/* SPDX-License-Identifier: Apache-2.0 */

/*
 * p2pbus-send: sends messages to one destination, or publishes them on a topic
 *
 * Code structure:
 *      send.c          from input to messages, from results to the exit status
 *      send-options.c  what the arguments say
 *      outgoing.c      messages on their way
 *      input.c         stdin cut into messages
 *      all.c           the message to all providers of a name
 *      connection.c    the bus, signals, the one place that waits
 *      output.c        stdout
 */

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libclient/p2pbus.h"
#include "tools/all.h"
#include "tools/common.h"
#include "tools/connection.h"
#include "tools/input.h"
#include "tools/outgoing.h"
#include "tools/output.h"
#include "tools/progress.h"
#include "tools/send-options.h"

#define GRACE_USEC (50 * USEC_PER_MSEC)

typedef struct Sender {
        SendOptions options;
        Connection connection;
        All all;
        Input input;
        bool input_ended; /* nothing more will be read, or there was a failure */
        Outgoing *unsent; /* did not fit yet */
        OutgoingRow row;
        uint64_t n_messages;
} Sender;

static void sender_done(Sender *sender) {
        connection_done(&sender->connection); /* first: no callback finds an Outgoing gone */
        while (sender->row.first) {
                Outgoing *next = sender->row.first->next;

                (void)outgoing_free(sender->row.first);
                sender->row.first = next;
        }
        sender->unsent = outgoing_free(sender->unsent);
        all_done(&sender->all);
        input_done(&sender->input);
}

/* ---- Results ---- */

static void on_reply(p2pbus *bus, int error, int reason, p2pbus_message *reply, void *userdata) {
        Outgoing *out = userdata;

        (void)bus;
        if (reply)
                out->reply = p2pbus_message_ref(reply);
        outgoing_settle(out, error, reason);
}

/* What providers have said is written as it comes; the message is settled with the last. */
static int take_all(Sender *sender) {
        All *all = &sender->all;
        int r = all_write(all, &sender->connection);

        if (r == 0 && all->is_over && sender->row.first && !sender->row.first->settled)
                outgoing_settle(sender->row.first, all->error, all->reason);
        return r;
}

/* ---- Sending ---- */

static int append_too_big(Sender *sender, uint64_t size) {
        Outgoing *out = calloc(1, sizeof(*out));

        if (!out)
                return -ENOMEM;
        out->row = &sender->row;
        out->number = ++sender->n_messages;
        out->too_big = size;
        outgoing_append(&sender->row, out);
        outgoing_settle(out, -EMSGSIZE, P2PBUS_REASON_TOO_BIG);
        return 0;
}

static int make_outgoing(Sender *sender, const char *data, size_t n) {
        Outgoing *out = calloc(1, sizeof(*out));
        int r;

        if (!out)
                return -ENOMEM;
        /* All of stdin is one message: up to 64 MiB that need not be there twice. */
        if (sender->options.mode == INPUT_WHOLE && !sender->options.text && n > 0) {
                r = p2pbus_message_new_take(&out->message, sender->input.data, n);
                if (r >= 0)
                        sender->input.data = NULL;
        } else
                r = p2pbus_message_new(&out->message, n > 0 ? data : NULL, n);
        if (r >= 0 && sender->options.type)
                r = p2pbus_message_set_type(out->message, sender->options.type);
        if (r >= 0 && sender->options.idempotent)
                r = p2pbus_message_set_idempotent(out->message, 1);
        if (r >= 0)
                r = p2pbus_message_set_mode(out->message, sender->options.provider_mode);
        if (r < 0) {
                (void)outgoing_free(out);
                return r;
        }
        p2pbus_message_set_userdata(out->message, out);
        out->row = &sender->row;
        out->number = ++sender->n_messages;
        out->deadline_usec = deadline_after(sender->options.timeout_usec);
        sender->unsent = out;
        if (sender->options.mode == INPUT_WHOLE)
                progress_begin(n);
        return 0;
}

/*
 * A single message waits for the daemon's word; many do not wait for each. Return: as
 * p2pbus_publish(), -EAGAIN within the message's time only; or CONNECTION_E_X.
 */
static int publish(Sender *sender, Outgoing *out) {
        uint32_t flags = sender->options.retain ? P2PBUS_RETAIN : 0;
        p2pbus *bus = sender->connection.bus;
        int r;

        if (sender->options.mode == INPUT_WHOLE) {
                r = connection_blocking(&sender->connection);
                if (r != 0)
                        return r;
                return p2pbus_publish(bus, sender->options.topic, out->message, flags,
                                      MAX(sender->options.timeout_usec, (uint64_t)1));
        }
        r = p2pbus_publish(bus, sender->options.topic, out->message, flags, 0);
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
        outgoing_append(&sender->row, out);
        outgoing_settle(out, r,
                        r == -ETIMEDOUT ? P2PBUS_REASON_TIMEOUT
                        : r < 0         ? p2pbus_get_reason()
                                        : 0);
        if (r < 0)
                sender->input_ended = true;
        return -1;
}

/* Return: -1: sent; -EAGAIN: it does not fit yet; else the status to end with. */
static int send_unsent(Sender *sender) {
        Outgoing *out = sender->unsent;
        uint64_t timeout_usec =
                MAX(sender->options.timeout_usec, (uint64_t)1); /* 0 is the default there */
        p2pbus *bus = sender->connection.bus;
        int r;

        if (sender->options.topic)
                return publish_unsent(sender);
        if (sender->options.to_all)
                r = all_start(&sender->all, bus, sender->options.dest, out->message, timeout_usec);
        else if (sender->options.request)
                r = p2pbus_request_start(bus, sender->options.dest, out->message, timeout_usec,
                                         on_reply, out, NULL);
        else
                r = p2pbus_send(bus, sender->options.dest, out->message, timeout_usec, NULL);
        if (r == -EAGAIN)
                return -EAGAIN;

        sender->unsent = NULL;
        outgoing_append(&sender->row, out);
        out->deadline_usec = deadline_after(sender->options.timeout_usec + GRACE_USEC);
        if (r < 0) {
                /* What went before it may still fail, and would be the first to tell of. */
                outgoing_settle(out, r, p2pbus_get_reason());
                sender->input_ended = true;
        }
        return -1;
}

/* Sends as much as is there and fits. Return: -1 to go on, else the status to end with. */
static int send_input(Sender *sender) {
        while (!sender->row.failed) {
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
        uint64_t n = sender->row.n_bytes_done;

        if (sender->options.mode == INPUT_WHOLE && sender->row.first)
                n = p2pbus_message_get_progress(sender->row.first->message);
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
        r = p2pbus_hand_over(sender->connection.bus, sender->options.timeout_usec);
        if (r < 0) {
                int reason = p2pbus_get_reason();

                outgoing_take_results(&sender->row);
                status = outgoing_drop_settled(&sender->row);
                if (status >= 0)
                        return status;
                return connection_fail(&sender->connection,
                                       sender->options.topic ? sender->options.topic
                                                             : sender->options.dest,
                                       NULL, r, reason, NULL);
        }
        for (Outgoing *out = sender->row.first; out; out = out->next) {
                r = outgoing_print(&sender->row, out);
                if (r != 0)
                        return output_end(&sender->connection, r);
        }
        return STATUS_DONE;
}

static int run(Sender *sender) {
        for (;;) {
                bool writes = sender->options.request || sender->options.common.json;
                struct pollfd fds[] = { { .fd = -1, .events = POLLIN }, output_pollfd(writes) };
                uint64_t deadline;
                int r, status;

                status = send_input(sender);
                if (status < 0)
                        status = outgoing_drop_settled(&sender->row);
                if (status >= 0)
                        return status;
                if (sender->input_ended && !sender->unsent) {
                        if (!sender->row.first)
                                return sender->options.topic ? hand_over(sender) : STATUS_DONE;
                        if (sender->options.no_wait && !sender->row.failed)
                                return hand_over(sender);
                }

                /* No more is read than can be sent. */
                if (!sender->input_ended && !sender->unsent && !sender->row.failed)
                        fds[0].fd = STDIN_FILENO;
                deadline = progress_due();
                if (sender->row.first)
                        deadline = MIN(deadline, sender->row.first->deadline_usec);
                if (sender->options.topic && sender->unsent)
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
                outgoing_take_results(&sender->row);
                r = take_all(sender);
                if (r != 0)
                        return output_end(&sender->connection, r);
                outgoing_settle_late(&sender->row);
                show_progress(sender);
        }
}

/* ---- Start ---- */

/* What can be refused before anything is read. Return: -1 to go on, else the status to end with. */
static int prepare(Sender *sender) {
        uint64_t max = outgoing_message_max(&sender->row);
        int r;

        if (sender->options.mode == INPUT_CHUNKS && sender->options.chunk_size > max)
                return outgoing_fail_too_big(&sender->row, 1, sender->options.chunk_size);
        if (!sender->options.text && isatty(STDIN_FILENO))
                tell(LEVEL_INFO, "stdin: a terminal; write, and end with Ctrl-D");
        input_init(&sender->input, sender->options.mode, sender->options.chunk_size, max);
        if (sender->options.text) {
                if (strlen(sender->options.text) > max)
                        return outgoing_fail_too_big(&sender->row, 1, strlen(sender->options.text));
                r = make_outgoing(sender, sender->options.text, strlen(sender->options.text));
                if (r < 0)
                        return fail(STATUS_FAILED, "message: %s; try again", strerror(-r));
                sender->input_ended = true;
        }
        if (sender->options.mode != INPUT_WHOLE)
                progress_begin(stdin_size());
        return -1;
}

int main(int argc, char **argv) {
        Sender sender = { 0 };
        int status;

        common_init("p2pbus-send");
        connection_init(&sender.connection);
        send_options_init(&sender.options);
        sender.row.options = &sender.options;
        sender.row.connection = &sender.connection;
        sender.row.end = &sender.row.first;

        status = send_options_parse(&sender.options, argc, argv);
        if (status >= 0)
                return status;
        sender.all.one_way = !sender.options.request;
        sender.all.json = sender.options.common.json;
        status = connection_open(&sender.connection, &sender.options.common, P2PBUS_RESULTS);
        if (status == 0)
                status = connection_watch(&sender.connection);
        if (status == 0) {
                status = prepare(&sender);
                if (status < 0)
                        status = run(&sender);
                if (status == STATUS_DONE && !sender.options.no_wait)
                        progress_end(sender.row.n_bytes_done);
        }
        progress_clear();
        sender_done(&sender);
        return status;
}
