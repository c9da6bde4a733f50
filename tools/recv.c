/* SPDX-License-Identifier: Apache-2.0 */

/*
 * p2pbus-recv: receives messages
 *
 * Code structure:
 *      recv.c          from messages to stdout or to commands, and their replies back
 *      recv-options.c  what the arguments say
 *      format.c        how a message looks
 *      job.c           one run of the command behind --exec
 *      connection.c    the bus, signals, the one place that waits
 *      output.c        stdout
 *
 * A message is confirmed when its bytes are written, or its command has ended; then its sender is
 * told "delivered". What is interrupted before is not confirmed: the connection closes first, the
 * messages go after it.
 */

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>

#include "libcall/p2pbus-call.h"
#include "libclient/p2pbus.h"
#include "tools/common.h"
#include "tools/connection.h"
#include "tools/job.h"
#include "tools/output.h"
#include "tools/recv-options.h"

#define REACHABLE_USEC (3 * USEC_PER_SEC) /* how long others may take to learn of us */
#define ANSWER_USEC (5 * USEC_PER_SEC)    /* for the daemon to answer */
#define TERMINATE_USEC (2 * USEC_PER_SEC) /* for commands to end after SIGTERM */
#define TURN_MESSAGES 256                 /* before signals and the bus have their turn */
#define SETTLE_USEC (5 * USEC_PER_SEC)    /* for the last replies and confirmations */

/* A command that works on a message. */
typedef struct Work {
        p2pbus_message *message;
        p2pbus_call_handle *call; /* a request, as it is counted; or NULL */
        Job *job;
        bool is_unwanted; /* nobody waits for its answer, and the command was told to end */
} Work;

typedef struct Receiver {
        RecvOptions options;
        Connection connection;

        uint64_t deadline_usec;
        uint64_t n_started; /* messages taken from the bus */
        bool has_more;      /* there may be some, but others had to have their turn */
        uint64_t n_done;    /* confirmed */
        bool told_unanswered;
        p2pbus_message *unwritten; /* what stdout did not take */
        Work *works;               /* n_jobs, those without a job are free */
        size_t n_working;
        struct pollfd *fds;
        p2pbus_provider *provider; /* with a name or --exec: says what it is, and how it fares */
} Receiver;

static void receiver_done(Receiver *receiver) {
        connection_done(&receiver->connection); /* first: nothing is confirmed by unref */
        p2pbus_provider_free(receiver->provider);
        p2pbus_message_unref(receiver->unwritten);
        for (size_t i = 0; receiver->works && i < receiver->options.n_jobs; i++) {
                receiver->works[i].job = job_free(receiver->works[i].job);
                p2pbus_message_unref(receiver->works[i].message);
        }
        free(receiver->works);
        free(receiver->fds);
        recv_options_done(&receiver->options);
}

static void confirm(Receiver *receiver, p2pbus_message *message) {
        p2pbus_done(message);
        p2pbus_message_unref(message);
        receiver->n_done++;
}

/* ---- As a provider ---- */

/* p2pbus.Ping, p2pbus.Info and p2pbus.Stats are neither the command's to answer, nor to be written. */
static bool answer_own(Receiver *receiver, p2pbus_message *message) {
        if (!receiver->provider || p2pbus_provider_handle_own(receiver->provider, message) <= 0)
                return false;
        p2pbus_message_unref(message);
        return true;
}

/* The request as it is counted; NULL: it is none, or is not. */
static p2pbus_call_handle *begin_call(Receiver *receiver, p2pbus_message *message) {
        p2pbus_call_handle *call = NULL;

        if (receiver->provider)
                (void)p2pbus_provider_begin(receiver->provider, message, NULL, &call);
        return call;
}

/* ---- To stdout ---- */

static void tell_unanswered(Receiver *receiver, p2pbus_message *message) {
        if (receiver->told_unanswered || p2pbus_message_get_kind(message) != P2PBUS_KIND_REQUEST)
                return;
        receiver->told_unanswered = true;
        tell(LEVEL_WARNING, "request of %s: nobody answers it; give --exec CMD to reply",
             p2pbus_message_get_from_pid(message));
}

static void tell_lost(p2pbus_message *message) {
        uint64_t n = p2pbus_message_get_lost(message);

        if (n > 0)
                tell(LEVEL_WARNING,
                     "%s: %" PRIu64
                     " messages on topics were lost before this one; read faster, or "
                     "publish less",
                     p2pbus_message_get_topic(message), n);
}

static int print_message(Receiver *receiver, p2pbus_message *message) {
        p2pbus_call_handle *call = begin_call(receiver, message);
        _cleanup_(freep) char *owned = NULL;
        const char *data;
        size_t n;
        int r;

        r = format_message(receiver->options.format, message,
                           p2pbus_get_pid(receiver->connection.bus), &data, &n, &owned);
        if (r == 0)
                r = output_write(&receiver->connection, data, n);
        if (call)
                p2pbus_call_end(call, P2PBUS_CALL_UNSUPPORTED); /* nobody answers it */
        return r;
}

/* ---- To commands ---- */

/* Borrowed texts would have to outlive posix_spawn() only, which these buffers do. */
static int start_job(Receiver *receiver, Work *work) {
        char from[sizeof("P2PBUS_FROM=") + P2PBUS_PID_SIZE];
        char from_key[sizeof("P2PBUS_FROM_KEY=") + P2PBUS_FULL_SIZE];
        char id[sizeof("P2PBUS_ID=") + P2PBUS_ID_SIZE];
        char type[sizeof("P2PBUS_TYPE=") + P2PBUS_TYPE_MAX];
        char topic[sizeof("P2PBUS_TOPIC=") + P2PBUS_TOPIC_MAX];
        char *environment[] = { from, from_key, id, type, topic };
        p2pbus_message *message = work->message;
        const char *mime = p2pbus_message_get_type(message);
        JobOptions options = {
                .argv = receiver->options.command,
                .environment = environment,
                .n_environment = ELEMENTSOF(environment),
                .payload = p2pbus_message_get_payload(message),
                .n_payload = p2pbus_message_get_size(message),
                .capture = p2pbus_message_get_kind(message) == P2PBUS_KIND_REQUEST,
                .output_max = p2pbus_get_message_max(receiver->connection.bus),
        };

        (void)snprintf(from, sizeof(from), "P2PBUS_FROM=%s", p2pbus_message_get_from_pid(message));
        (void)snprintf(from_key, sizeof(from_key), "P2PBUS_FROM_KEY=%s",
                       p2pbus_message_get_from(message));
        (void)snprintf(id, sizeof(id), "P2PBUS_ID=%s", p2pbus_message_get_id(message));
        (void)snprintf(type, sizeof(type), "P2PBUS_TYPE=%s", mime ? mime : "");
        (void)snprintf(topic, sizeof(topic), "P2PBUS_TOPIC=%s", p2pbus_message_get_topic(message));
        return job_new(&work->job, &options);
}

/* Answers the request with an error. The request may be over by now: then nobody minds. */
static void reply_error(Receiver *receiver, p2pbus_message *request, uint32_t status,
                        const char *text) {
        tell(LEVEL_WARNING, "message %s of %s: %s", p2pbus_message_get_id(request),
             p2pbus_message_get_from_pid(request), text);
        if (p2pbus_message_get_kind(request) == P2PBUS_KIND_REQUEST)
                (void)p2pbus_reply_error(receiver->connection.bus, request, status, text);
}

/* The reply takes the command's output over. */
static void reply_output(Receiver *receiver, Work *work) {
        p2pbus_message *reply = NULL;
        int r;

        if (work->job->n_output > 0)
                r = p2pbus_message_new_take(&reply, work->job->output, work->job->n_output);
        else
                r = p2pbus_message_new(&reply, NULL, 0);
        if (r >= 0 && work->job->n_output > 0)
                work->job->output = NULL;
        if (r >= 0)
                r = p2pbus_reply(receiver->connection.bus, work->message, reply);
        p2pbus_message_unref(reply);
        if (r < 0)
                reply_error(receiver, work->message, 1, p2pbus_error_text(r));
}

static void finish_work(Receiver *receiver, Work *work) {
        char how[80], text[256];
        uint32_t number;

        job_status_text(work->job->status, how, &number);
        (void)snprintf(text, sizeof(text), "%.120s %s", receiver->options.command[0], how);
        if (work->is_unwanted)
                ; /* how it ended is nobody's business */
        else if (work->job->overflow) {
                (void)snprintf(
                        text, sizeof(text),
                        "%.120s wrote a reply of more than %zu bytes, which this bus does not "
                        "take",
                        receiver->options.command[0], work->job->output_max);
                reply_error(receiver, work->message, number ? number : 1, text);
        } else if (number != 0)
                reply_error(receiver, work->message, number, text);
        else if (p2pbus_message_get_kind(work->message) == P2PBUS_KIND_REQUEST)
                reply_output(receiver, work);

        if (work->call)
                p2pbus_call_end(TAKE_PTR(work->call), number                ? number
                                                      : work->job->overflow ? P2PBUS_CALL_TOO_BIG
                                                                            : 0);
        confirm(receiver, TAKE_PTR(work->message));
        work->job = job_free(work->job);
        receiver->n_working--;
}

/* A job is for those who still wait. Told once: a command may take its time, or not listen at all. */
static void end_if_unwanted(Receiver *receiver, Work *work) {
        if (work->is_unwanted || p2pbus_message_get_kind(work->message) != P2PBUS_KIND_REQUEST ||
            !p2pbus_message_is_cancelled(work->message))
                return;
        work->is_unwanted = true;
        tell(LEVEL_INFO, "message %s of %s: nobody waits for its answer any more; ending %s",
             p2pbus_message_get_id(work->message), p2pbus_message_get_from_pid(work->message),
             receiver->options.command[0]);
        job_terminate(work->job);
}

/* Serves the pipes of all commands. Return: 0 or -errno. */
static int drive_works(Receiver *receiver) {
        for (size_t i = 0; i < receiver->options.n_jobs && receiver->n_working > 0; i++) {
                Work *work = receiver->works + i;
                int r;

                if (!work->job)
                        continue;
                end_if_unwanted(receiver, work);
                r = job_drive(work->job);
                if (r < 0)
                        return r;
                if (work->job->done)
                        finish_work(receiver, work);
        }
        return 0;
}

static int start_work(Receiver *receiver, p2pbus_message *message) {
        Work *work = receiver->works;
        int r;

        while (work->job)
                work++;
        work->call = begin_call(receiver, message);
        work->is_unwanted = false;
        work->message = message;
        r = start_job(receiver, work);
        if (r < 0) {
                char text[256];

                /* What keeps one command from starting may be over for the next. */
                (void)snprintf(text, sizeof(text), "%.120s could not be started: %s",
                               receiver->options.command[0], strerror(-r));
                reply_error(receiver, message, 127, text);
                if (work->call)
                        p2pbus_call_end(TAKE_PTR(work->call), 127);
                confirm(receiver, TAKE_PTR(work->message));
                return 0;
        }
        receiver->n_working++;
        return job_drive(work->job);
}

/* A signal has come: the commands get a moment to end by themselves. */
static void terminate_works(Receiver *receiver) {
        uint64_t deadline = deadline_after(TERMINATE_USEC);

        for (size_t i = 0; i < receiver->options.n_jobs && receiver->works; i++)
                if (receiver->works[i].job)
                        job_terminate(receiver->works[i].job);

        while (receiver->n_working > 0 && now_usec(CLOCK_MONOTONIC) < deadline) {
                size_t n_running = 0;

                for (size_t i = 0; i < receiver->options.n_jobs; i++) {
                        Job *job = receiver->works[i].job;

                        if (job && job_drive(job) == 0 && !job->done)
                                n_running++;
                }
                if (n_running == 0)
                        return;
                connection_wait_child(&receiver->connection, deadline);
        }
}

/* ---- The run ---- */

static bool is_complete(const Receiver *receiver) {
        return receiver->options.count > 0 && receiver->n_started >= receiver->options.count;
}

static bool is_late(const Receiver *receiver) {
        return receiver->deadline_usec != USEC_NEVER &&
               now_usec(CLOCK_MONOTONIC) >= receiver->deadline_usec;
}

/*
 * Takes messages as long as there are some, and room for them; but a stream without end does not keep
 * signals and the bus from being looked after. Return: 0, CONNECTION_E_X, OUTPUT_E_X, -errno.
 */
static int take_messages(Receiver *receiver) {
        int r = 0;

        receiver->has_more = false;
        for (unsigned i = 0;
             r == 0 && !is_complete(receiver) &&
             (!receiver->options.command || receiver->n_working < receiver->options.n_jobs);
             i++) {
                p2pbus_message *message;

                if (i == TURN_MESSAGES) {
                        receiver->has_more = true;
                        return 0;
                }
                r = p2pbus_receive(receiver->connection.bus, 0, &message);
                if (r < 0)
                        return r == -EAGAIN || r == -ENOTCONN ? 0 : r;
                if (answer_own(receiver, message))
                        continue;
                receiver->n_started++;
                tell_lost(message);
                if (receiver->options.command) {
                        r = start_work(receiver, message);
                        continue;
                }
                r = print_message(receiver, message);
                if (r != 0) {
                        receiver->unwritten = message; /* to unref it would confirm it */
                        return r;
                }
                tell_unanswered(receiver, message);
                confirm(receiver, message);
                if (receiver->options.timeout_usec > 0 && is_late(receiver))
                        break;
        }
        return r;
}

static size_t collect_fds(Receiver *receiver) {
        size_t n = 0;

        receiver->fds[n++] = output_pollfd(!receiver->options.command);
        for (size_t i = 0; receiver->works && i < receiver->options.n_jobs; i++)
                if (receiver->works[i].job) {
                        job_poll(receiver->works[i].job, receiver->fds + n);
                        n += JOB_POLLFDS;
                }
        return n;
}

/* Until COUNT, the deadline, or an end from outside. Return: 0, CONNECTION_E_X, OUTPUT_E_X, -errno. */
static int receive(Receiver *receiver) {
        for (;;) {
                bool late = is_late(receiver);
                uint64_t deadline;
                size_t n_fds;
                int r;

                r = drive_works(receiver);
                if (r == 0 && (!late || receiver->n_started == 0))
                        r = take_messages(receiver);
                if (r != 0)
                        return r;

                /* Commands that were begun are let end. */
                late = is_late(receiver);
                if ((late || is_complete(receiver)) && receiver->n_working == 0)
                        return 0;
                deadline = late || is_complete(receiver) ? USEC_NEVER : receiver->deadline_usec;
                if (receiver->has_more)
                        deadline = 0;
                n_fds = collect_fds(receiver);
                r = connection_wait(&receiver->connection, receiver->fds, n_fds, deadline);
                if (r != 0 && r != CONNECTION_E_TIMEOUT)
                        return r;
                if (receiver->fds[0].revents != 0)
                        return OUTPUT_E_CLOSED;
        }
}

/* Replies and confirmations are on their way before the program is gone. */
static void flush(Receiver *receiver) {
        if (receiver->n_done > 0 &&
            p2pbus_flush(receiver->connection.bus, SETTLE_USEC) == -ETIMEDOUT)
                tell(LEVEL_WARNING,
                     "end: some replies are not confirmed; see whether who asked for "
                     "them still runs");
}

/* The end. Return: 0 or a status. */
static int settle(Receiver *receiver) {
        int r;

        r = connection_blocking(&receiver->connection);
        if (r != 0)
                return connection_end(&receiver->connection, r);
        flush(receiver);
        return 0;
}

/*
 * SIGTERM, and there are names: others are asked from now on, and what is here is finished. Return: as
 * receive(); CONNECTION_E_SIGNAL: another one has come.
 */
static int drain(Receiver *receiver) {
        int signal = connection_take_signal(&receiver->connection), r;

        tell(LEVEL_INFO, "draining: taking nothing more by name, and finishing what is here; "
                         "another signal ends it");
        for (;;) {
                r = drive_works(receiver);
                if (r == 0)
                        r = take_messages(receiver);
                if (r != 0)
                        return r;
                r = p2pbus_drain(receiver->connection.bus, 0);
                if (r == 0 && receiver->n_working == 0)
                        break;
                if (r < 0 && r != -EAGAIN)
                        break; /* the bus is gone for good: there is nothing to finish for */
                r = connection_wait(&receiver->connection, receiver->fds, collect_fds(receiver),
                                    receiver->has_more ? 0 : USEC_NEVER);
                if (r != 0 && r != CONNECTION_E_TIMEOUT)
                        return r;
                if (receiver->fds[0].revents != 0)
                        return OUTPUT_E_CLOSED;
        }
        r = connection_blocking(&receiver->connection);
        if (r == 0) {
                flush(receiver);
                receiver->connection.signal = signal;
        }
        return CONNECTION_E_SIGNAL;
}

static int run(Receiver *receiver) {
        int r, status;

        receiver->deadline_usec = deadline_after(receiver->options.timeout_usec);
        r = connection_wait(&receiver->connection, NULL, 0, 0); /* what is there already */
        if (r == 0 || r == CONNECTION_E_TIMEOUT)
                r = receive(receiver);
        if (r == CONNECTION_E_SIGNAL && receiver->connection.signal == SIGTERM &&
            receiver->options.n_names > 0)
                r = drain(receiver);
        if (r == CONNECTION_E_SIGNAL)
                terminate_works(receiver);
        if (r != 0)
                return output_end(&receiver->connection, r);

        status = settle(receiver);
        if (status != 0)
                return status;
        if (receiver->options.count > 0 && receiver->n_done < receiver->options.count)
                return fail(STATUS_TIMEOUT,
                            "timed out: %" PRIu64 " of %" PRIu64 " messages came; "
                            "give them more time with -t",
                            receiver->n_done, receiver->options.count);
        return STATUS_DONE;
}

/* ---- Being there ---- */

/* The text of the grant for @name; NULL: there is none. */
static const char *find_grant(const Receiver *receiver, const char *name) {
        for (size_t i = 0; i < receiver->options.n_grants; i++)
                if (grant_fits(&receiver->options.grants[i], name))
                        return receiver->options.grants[i].text;
        return NULL;
}

/* p2pbus.Info shows @name, which it claims; NULL: none. Return: as p2pbus_provider_new(). */
static int make_provider(Receiver *receiver, const char *name) {
        const p2pbus_service *service = &receiver->options.service;
        p2pbus_provider_options options = {
                .struct_size = sizeof(options),
                .name = name,
                .service = service,
                .timeout_usec = ANSWER_USEC,
                .metadata = service->metadata ? json_string(service->metadata) : NULL,
        };
        int r;

        r = p2pbus_provider_new(&receiver->provider, receiver->connection.bus, NULL, 0, &options);
        json_decref(options.metadata);
        return r;
}

static int own_names(Receiver *receiver) {
        if (receiver->options.command && receiver->options.n_names == 0 &&
            make_provider(receiver, NULL) < 0)
                return fail(STATUS_FAILED, "start: out of memory; try again");

        for (size_t i = 0; i < receiver->options.n_names; i++) {
                const char *name = receiver->options.names[i];
                int r;

                receiver->options.service.grant = find_grant(receiver, name);
                r = i == 0 ? make_provider(receiver, name)
                           : p2pbus_provide(receiver->connection.bus, name,
                                            &receiver->options.service, ANSWER_USEC);
                if (r == -EINVAL && receiver->options.service.grant)
                        return fail(STATUS_USAGE,
                                    "--grant: %s; ask for another one, or name its "
                                    "key with -k",
                                    p2pbus_get_explanation());

                if (r < 0)
                        return connection_fail(&receiver->connection, "name", name, r,
                                               p2pbus_get_reason(), NULL);
        }
        return 0;
}

static int subscribe(Receiver *receiver) {
        for (size_t i = 0; i < receiver->options.n_topics; i++) {
                bool is_last = i + 1 == receiver->options.n_topics;
                int r;

                r = p2pbus_subscribe(receiver->connection.bus, receiver->options.topics[i],
                                     (receiver->options.retained ? P2PBUS_RETAINED : 0U) |
                                             (is_last ? 0U : P2PBUS_NO_WAIT),
                                     ANSWER_USEC);
                if (r < 0)
                        return connection_fail(&receiver->connection, "topic",
                                               receiver->options.topics[i], r, p2pbus_get_reason(),
                                               NULL);
        }
        return 0;
}

/* Others on this host reach us from now on in any case; so this only warns. Return: 0, or the status
 * to end with. */
static int wait_reachable(Receiver *receiver) {
        uint64_t deadline = deadline_after(REACHABLE_USEC);

        if (receiver->options.common.local)
                return 0;
        for (;;) {
                int state = p2pbus_get_state(receiver->connection.bus, NULL), r;

                if (state < 0 || !(state & P2PBUS_STATE_GATEWAY) || state & P2PBUS_STATE_REACHABLE)
                        return 0;
                if (!(state & P2PBUS_STATE_OFF_HOST)) {
                        (void)p2pbus_wait_reachable(receiver->connection.bus, 0); /* says why */
                        tell(LEVEL_WARNING,
                             "other hosts: refused by policy, only this host reaches "
                             "this program: %s; be a member of group p2pbus-net, or say --local",
                             p2pbus_get_explanation());
                        return 0;
                }
                r = connection_wait(&receiver->connection, NULL, 0, deadline);
                if (r == CONNECTION_E_TIMEOUT) {
                        tell(LEVEL_WARNING,
                             "other hosts: no relay has answered yet, only this host "
                             "reaches this program; see p2pbusctl status");
                        return 0;
                }
                if (r != 0)
                        return connection_end(&receiver->connection, r);
        }
}

static int listen_on_bus(Receiver *receiver) {
        int status;

        status = connection_open(&receiver->connection, &receiver->options.common, 0);
        if (status == 0)
                status = own_names(receiver);
        if (status == 0)
                status = subscribe(receiver);
        if (status == 0)
                status = connection_watch(&receiver->connection);
        if (status == 0)
                status = wait_reachable(receiver);
        if (status == 0)
                announce("listening as %s", p2pbus_get_full(receiver->connection.bus));
        return status;
}

static int allocate(Receiver *receiver) {
        if (receiver->options.command)
                receiver->works = calloc(receiver->options.n_jobs, sizeof(*receiver->works));
        receiver->fds = calloc(1 + JOB_POLLFDS * receiver->options.n_jobs, sizeof(*receiver->fds));
        if (!receiver->fds || (receiver->options.command && !receiver->works))
                return fail(STATUS_FAILED, "start: out of memory; try again");
        return 0;
}

int main(int argc, char **argv) {
        Receiver receiver = { 0 };
        int status;

        common_init("p2pbus-recv");
        connection_init(&receiver.connection);
        recv_options_init(&receiver.options);

        status = recv_options_parse(&receiver.options, argc, argv);
        if (status < 0) {
                status = allocate(&receiver);
                if (status == 0)
                        status = listen_on_bus(&receiver);
                if (status == 0)
                        status = run(&receiver);
        }
        receiver_done(&receiver);
        return status;
}
