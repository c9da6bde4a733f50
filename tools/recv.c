/* SPDX-License-Identifier: Apache-2.0 */

/*
 * p2pbus-recv: receives messages
 *
 * Code structure:
 *      recv.c          options; from messages to stdout or to commands, and their replies back
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
#include "tools/argument.h"
#include "tools/common.h"
#include "tools/connection.h"
#include "tools/format.h"
#include "tools/grant.h"
#include "tools/job.h"
#include "tools/options.h"
#include "tools/output.h"

#define JOBS_MAX 1024
#define NAMES_MAX 64
#define GRANTS_MAX 16
#define REACHABLE_USEC (3 * USEC_PER_SEC) /* how long others may take to learn of us */
#define ANSWER_USEC (5 * USEC_PER_SEC)    /* for the daemon to answer */
#define TERMINATE_USEC (2 * USEC_PER_SEC) /* for commands to end after SIGTERM */
#define TURN_MESSAGES 256                 /* before signals and the bus have their turn */
#define SETTLE_USEC (5 * USEC_PER_SEC)    /* for the last replies and confirmations */

static const char help[] =
        "Usage: p2pbus-recv [OPTION]... [--exec CMD [ARG]...]\n"
        "Write each message that comes to stdout, or give it to CMD.\n"
        "\n"
        "  -n, --count COUNT   end after COUNT messages\n"
        "  -t, --timeout SECONDS\n"
        "                      end after so long (0: take what is there)\n"
        "      --name NAME     provide the service NAME too; may be repeated\n"
        "      --priority N    of these names: who has the lowest number is asked (default: 100)\n"
        "      --weight N      of these names: a share among those of one priority (default: 100)\n"
        "      --metadata TEXT of these names: what others may want to know of this provider\n"
        "      --grant FILE    a realm's grant of such a name, for other hosts; may be repeated\n"
        "      --topic PATTERN receive what is published on topics that fit: * stands for one "
        "word,\n"
        "                      > at the end for all that follow; may be repeated\n"
        "      --retained      with --topic: first what was retained on them\n"
        "      --format FORMAT line (the default), raw, json or hex\n"
        "      --jobs N        run up to N commands at a time (default: 1)\n"
        "      --exec CMD [ARG]...\n"
        "                      the last option: run CMD for each message, payload on stdin, "
        "stdout\n"
        "                      being the reply if one was asked for\n" OPTIONS_HELP "\n"
        "Exit status: 0 done, 1 failed, 2 usage, 4 timed out, 5 refused, 6 no bus. More in\n"
        "p2pbus-recv(1).\n";

/* A command that works on a message. */
typedef struct Work {
        p2pbus_message *message;
        p2pbus_call_handle *call; /* a request, as it is counted; or NULL */
        Job *job;
        bool is_unwanted; /* nobody waits for its answer, and the command was told to end */
} Work;

typedef struct Receiver {
        Options options;
        Connection connection;
        uint64_t count; /* 0: no end */
        uint64_t timeout_usec;
        const char *names[NAMES_MAX];
        size_t n_names;
        p2pbus_service service; /* what is said of all of them */
        bool service_given;
        Grant grants[GRANTS_MAX];
        size_t n_grants;
        const char *topics[NAMES_MAX];
        size_t n_topics;
        bool retained;
        Format format;
        bool format_given;
        char **command; /* NULL: to stdout */
        uint64_t n_jobs;
        bool jobs_given;

        uint64_t deadline_usec;
        uint64_t n_started; /* messages taken from the bus */
        bool has_more;      /* there may be some, but others had to have their turn */
        uint64_t n_done;    /* confirmed */
        bool told_unanswered;
        p2pbus_message *unwritten; /* what stdout did not take */
        Work *works;               /* n_jobs, those without a job are free */
        size_t n_working;
        struct pollfd *fds;
        p2pbus_provider *provider; /* with --exec: says how the commands fare; made when needed */
} Receiver;

static void receiver_done(Receiver *receiver) {
        connection_done(&receiver->connection); /* first: nothing is confirmed by unref */
        p2pbus_provider_free(receiver->provider);
        p2pbus_message_unref(receiver->unwritten);
        for (size_t i = 0; receiver->works && i < receiver->n_jobs; i++) {
                receiver->works[i].job = job_free(receiver->works[i].job);
                p2pbus_message_unref(receiver->works[i].message);
        }
        free(receiver->works);
        free(receiver->fds);
        free(receiver->command);
}

static void confirm(Receiver *receiver, p2pbus_message *message) {
        p2pbus_done(message);
        p2pbus_message_unref(message);
        receiver->n_done++;
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
        _cleanup_(freep) char *owned = NULL;
        const char *data;
        size_t n;
        int r;

        r = format_message(receiver->format, message, p2pbus_get_pid(receiver->connection.bus),
                           &data, &n, &owned);
        if (r == 0)
                r = output_write(&receiver->connection, data, n);
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
                .argv = receiver->command,
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
        (void)snprintf(text, sizeof(text), "%.120s %s", receiver->command[0], how);
        if (work->is_unwanted)
                ; /* how it ended is nobody's business */
        else if (work->job->overflow) {
                (void)snprintf(
                        text, sizeof(text),
                        "%.120s wrote a reply of more than %zu bytes, which this bus does not "
                        "take",
                        receiver->command[0], work->job->output_max);
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
             receiver->command[0]);
        job_terminate(work->job);
}

/* Serves the pipes of all commands. Return: 0 or -errno. */
static int drive_works(Receiver *receiver) {
        for (size_t i = 0; i < receiver->n_jobs && receiver->n_working > 0; i++) {
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

/* p2pbus.Ping, p2pbus.Info and p2pbus.Stats are not the command's to answer. */
static bool answer_own(Receiver *receiver, p2pbus_message *message) {
        if (p2pbus_message_get_kind(message) != P2PBUS_KIND_REQUEST)
                return false;
        if (!receiver->provider &&
            p2pbus_provider_new(&receiver->provider, receiver->connection.bus, NULL, 0, NULL) < 0)
                return false; /* no memory: then it is as without it */
        if (p2pbus_provider_handle_own(receiver->provider, message) <= 0)
                return false;
        p2pbus_message_unref(message);
        return true;
}

static int start_work(Receiver *receiver, p2pbus_message *message) {
        Work *work = receiver->works;
        int r;

        while (work->job)
                work++;
        work->call = NULL;
        work->is_unwanted = false;
        if (receiver->provider)
                (void)p2pbus_provider_begin(receiver->provider, message, NULL, &work->call);
        work->message = message;
        r = start_job(receiver, work);
        if (r < 0) {
                char text[256];

                /* What keeps one command from starting may be over for the next. */
                (void)snprintf(text, sizeof(text), "%.120s could not be started: %s",
                               receiver->command[0], strerror(-r));
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

        for (size_t i = 0; i < receiver->n_jobs && receiver->works; i++)
                if (receiver->works[i].job)
                        job_terminate(receiver->works[i].job);

        while (receiver->n_working > 0 && now_usec(CLOCK_MONOTONIC) < deadline) {
                size_t n_running = 0;

                for (size_t i = 0; i < receiver->n_jobs; i++) {
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
        return receiver->count > 0 && receiver->n_started >= receiver->count;
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
        for (unsigned i = 0; r == 0 && !is_complete(receiver) &&
                             (!receiver->command || receiver->n_working < receiver->n_jobs);
             i++) {
                p2pbus_message *message;

                if (i == TURN_MESSAGES) {
                        receiver->has_more = true;
                        return 0;
                }
                r = p2pbus_receive(receiver->connection.bus, 0, &message);
                if (r < 0)
                        return r == -EAGAIN || r == -ENOTCONN ? 0 : r;
                receiver->n_started++;
                tell_lost(message);
                if (receiver->command) {
                        if (answer_own(receiver, message))
                                receiver->n_started--;
                        else
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
                if (receiver->timeout_usec > 0 && is_late(receiver))
                        break;
        }
        return r;
}

static size_t collect_fds(Receiver *receiver) {
        size_t n = 0;

        receiver->fds[n++] = output_pollfd(!receiver->command);
        for (size_t i = 0; receiver->works && i < receiver->n_jobs; i++)
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

        receiver->deadline_usec = deadline_after(receiver->timeout_usec);
        r = connection_wait(&receiver->connection, NULL, 0, 0); /* what is there already */
        if (r == 0 || r == CONNECTION_E_TIMEOUT)
                r = receive(receiver);
        if (r == CONNECTION_E_SIGNAL && receiver->connection.signal == SIGTERM &&
            receiver->n_names > 0)
                r = drain(receiver);
        if (r == CONNECTION_E_SIGNAL)
                terminate_works(receiver);
        if (r != 0)
                return output_end(&receiver->connection, r);

        status = settle(receiver);
        if (status != 0)
                return status;
        if (receiver->count > 0 && receiver->n_done < receiver->count)
                return fail(STATUS_TIMEOUT,
                            "timed out: %" PRIu64 " of %" PRIu64 " messages came; "
                            "give them more time with -t",
                            receiver->n_done, receiver->count);
        return STATUS_DONE;
}

/* ---- Being there ---- */

/* The text of the grant for @name; NULL: there is none. */
static const char *find_grant(const Receiver *receiver, const char *name) {
        for (size_t i = 0; i < receiver->n_grants; i++)
                if (grant_fits(&receiver->grants[i], name))
                        return receiver->grants[i].text;
        return NULL;
}

static int own_names(Receiver *receiver) {
        for (size_t i = 0; i < receiver->n_names; i++) {
                int r;

                receiver->service.grant = find_grant(receiver, receiver->names[i]);
                r = p2pbus_provide(receiver->connection.bus, receiver->names[i], &receiver->service,
                                   ANSWER_USEC);
                if (r == -EINVAL && receiver->service.grant)
                        return fail(STATUS_USAGE,
                                    "--grant: %s; ask for another one, or name its "
                                    "key with -k",
                                    p2pbus_get_explanation());

                if (r < 0)
                        return connection_fail(&receiver->connection, "name", receiver->names[i], r,
                                               p2pbus_get_reason(), NULL);
        }
        return 0;
}

static int subscribe(Receiver *receiver) {
        for (size_t i = 0; i < receiver->n_topics; i++) {
                int r = p2pbus_subscribe(receiver->connection.bus, receiver->topics[i],
                                         receiver->retained ? P2PBUS_RETAINED : 0, ANSWER_USEC);

                if (r < 0)
                        return connection_fail(&receiver->connection, "topic", receiver->topics[i],
                                               r, p2pbus_get_reason(), NULL);
        }
        return 0;
}

/* Others on this host reach us from now on in any case; so this only warns. Return: 0, or the status
 * to end with. */
static int wait_reachable(Receiver *receiver) {
        uint64_t deadline = deadline_after(REACHABLE_USEC);

        if (receiver->options.local)
                return 0;
        for (;;) {
                int state = p2pbus_get_state(receiver->connection.bus, NULL), r;

                if (state < 0 || !(state & P2PBUS_STATE_GATEWAY) || state & P2PBUS_STATE_REACHABLE)
                        return 0;
                if (!(state & P2PBUS_STATE_OFF_HOST)) {
                        tell(LEVEL_WARNING,
                             "other hosts: refused by policy, only this host reaches "
                             "this program; be a member of group p2pbus-net, or say --local");
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

        status = connection_open(&receiver->connection, &receiver->options, 0);
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

/* ---- Options ---- */

enum {
        OPTION_NAME = _OPTION_FIRST_OWN,
        OPTION_PRIORITY,
        OPTION_WEIGHT,
        OPTION_METADATA,
        OPTION_TOPIC,
        OPTION_RETAINED,
        OPTION_FORMAT,
        OPTION_JOBS,
        OPTION_EXEC,
        OPTION_GRANT,
};

static int take_name(Receiver *receiver, const char *name) {
        if (p2pbus_check_destination(name) != P2PBUS_DESTINATION_NAME)
                return fail(STATUS_USAGE,
                            "--name %s: not a name; write words of letters, digits, - "
                            "and _ with a dot between, for example demo.clock",
                            name);
        if (receiver->n_names == NAMES_MAX)
                return fail(STATUS_USAGE, "--name %s: one name too many; %d are enough", name,
                            NAMES_MAX);
        receiver->names[receiver->n_names++] = name;
        return -1;
}

static int take_rank(Receiver *receiver, const char *option, const char *text, uint64_t least,
                     uint16_t *ret) {
        uint64_t n;

        receiver->service_given = true;
        if (argument_count(text, least, UINT16_MAX, &n) < 0)
                return fail(STATUS_USAGE, "%s %s: not such a number; write one from %u to %u",
                            option, text, (unsigned)least, UINT16_MAX);
        *ret = (uint16_t)n;
        return -1;
}

static int take_grant(Receiver *receiver, const char *file) {
        int status;

        if (receiver->n_grants == GRANTS_MAX)
                return fail(STATUS_USAGE, "--grant %s: one grant too many; %d are enough", file,
                            GRANTS_MAX);
        receiver->service_given = true;
        status = grant_load(&receiver->grants[receiver->n_grants], file);
        if (status != 0)
                return status;
        receiver->n_grants++;
        return -1;
}

/* Each is for one of the names. Return: -1 to go on, else the status to end with. */
static int check_grants(const Receiver *receiver) {
        for (size_t i = 0; i < receiver->n_grants; i++) {
                size_t k = 0;

                while (k < receiver->n_names &&
                       !grant_fits(&receiver->grants[i], receiver->names[k]))
                        k++;
                if (k == receiver->n_names)
                        return fail(STATUS_USAGE, "--grant: one is for %s; add --name for that",
                                    receiver->grants[i].read.name);
        }
        return -1;
}

static int take_topic(Receiver *receiver, const char *pattern) {
        if (p2pbus_check_topic(pattern) < 0)
                return fail(
                        STATUS_USAGE,
                        "--topic %s: not a pattern; write words, * and > with dots between, for "
                        "example weather.*.temperature",
                        pattern);
        if (receiver->n_topics == NAMES_MAX)
                return fail(STATUS_USAGE, "--topic %s: one pattern too many; %d are enough",
                            pattern, NAMES_MAX);
        receiver->topics[receiver->n_topics++] = pattern;
        return -1;
}

static int take_format(Receiver *receiver, const char *text) {
        receiver->format = format_from_text(text);
        receiver->format_given = true;
        if (receiver->format == _FORMAT_INVALID)
                return fail(STATUS_USAGE,
                            "--format %s: no such format; choose line, raw, json or "
                            "hex",
                            text);
        return -1;
}

static int take_count(Receiver *receiver, const char *text) {
        if (argument_count(text, 1, UINT64_MAX, &receiver->count) < 0)
                return fail(STATUS_USAGE, "-n %s: not a count; write a number from 1", text);
        return -1;
}

static int take_timeout(Receiver *receiver, const char *text) {
        if (argument_seconds(text, &receiver->timeout_usec) < 0)
                return fail(STATUS_USAGE, "-t %s: not a number of seconds; write for example 2.5",
                            text);
        return -1;
}

static int take_jobs(Receiver *receiver, const char *text) {
        receiver->jobs_given = true;
        if (argument_count(text, 1, JOBS_MAX, &receiver->n_jobs) < 0)
                return fail(STATUS_USAGE, "--jobs %s: not a number of jobs; write one from 1 to %d",
                            text, JOBS_MAX);
        return -1;
}

/* CMD is the option's value, its arguments are whatever stands behind it. */
static int take_exec(Receiver *receiver, char *command, char *const *arguments, size_t n) {
        receiver->command = calloc(n + 2, sizeof(*receiver->command));
        if (!receiver->command)
                return fail(STATUS_FAILED, "--exec: out of memory; try again");
        receiver->command[0] = command;
        for (size_t i = 0; i < n; i++)
                receiver->command[i + 1] = arguments[i];
        return -1;
}

/* Return: -1 to go on, else the status to end with. */
static int check_arguments(Receiver *receiver) {
        int r;

        if (receiver->command && (receiver->format_given || receiver->options.json))
                return fail(STATUS_USAGE,
                            "--format and --json: with --exec the messages go to CMD; "
                            "leave them out");
        if (receiver->retained && receiver->n_topics == 0)
                return fail(STATUS_USAGE, "--retained: only a topic retains; add --topic");
        if (receiver->service_given && receiver->n_names == 0)
                return fail(STATUS_USAGE, "--priority, --weight, --metadata and --grant: they are "
                                          "said of names; add --name");
        r = check_grants(receiver);
        if (r >= 0)
                return r;
        if (receiver->service.metadata && strlen(receiver->service.metadata) > P2PBUS_METADATA_MAX)
                return fail(STATUS_USAGE, "--metadata: %zu bytes; write at most %d",
                            strlen(receiver->service.metadata), P2PBUS_METADATA_MAX);
        if (receiver->jobs_given && !receiver->command)
                return fail(STATUS_USAGE, "--jobs: nothing to run; add --exec CMD");
        if (receiver->options.json && receiver->format_given && receiver->format != FORMAT_JSON)
                return fail(STATUS_USAGE, "--json: another --format is given too; leave one out");
        if (receiver->options.json)
                receiver->format = FORMAT_JSON;
        if (!receiver->command)
                return -1;

        r = job_find_command(receiver->command[0]);
        if (r < 0)
                return fail(STATUS_FAILED,
                            "--exec %s: %s; give a program of $PATH or its whole path",
                            receiver->command[0],
                            r == -ENOENT ? "there is no such command" : "it cannot be executed");
        return -1;
}

/* Return: -1 to go on, else the status to end with. */
static int parse_argv(Receiver *receiver, int argc, char **argv) {
        static const struct option long_options[] = {
                { "count", required_argument, NULL, 'n' },
                { "timeout", required_argument, NULL, 't' },
                { "name", required_argument, NULL, OPTION_NAME },
                { "priority", required_argument, NULL, OPTION_PRIORITY },
                { "weight", required_argument, NULL, OPTION_WEIGHT },
                { "metadata", required_argument, NULL, OPTION_METADATA },
                { "grant", required_argument, NULL, OPTION_GRANT },
                { "topic", required_argument, NULL, OPTION_TOPIC },
                { "retained", no_argument, NULL, OPTION_RETAINED },
                { "format", required_argument, NULL, OPTION_FORMAT },
                { "jobs", required_argument, NULL, OPTION_JOBS },
                { "exec", required_argument, NULL, OPTION_EXEC },
                OPTIONS_LONG,
                { 0 },
        };
        int c, status = -1;

        while (status < 0 && !receiver->command &&
               (c = getopt_long(argc, argv, "-:n:t:" OPTIONS_SHORT, long_options, NULL)) >= 0) {
                switch (c) {
                case 1:
                        status = fail(STATUS_USAGE,
                                      "%s: no operand is expected; see p2pbus-recv "
                                      "--help",
                                      optarg);
                        break;
                case 'n':
                        status = take_count(receiver, optarg);
                        break;
                case 't':
                        status = take_timeout(receiver, optarg);
                        break;
                case OPTION_NAME:
                        status = take_name(receiver, optarg);
                        break;
                case OPTION_PRIORITY:
                        status = take_rank(receiver, "--priority", optarg, 0,
                                           &receiver->service.priority);
                        break;
                case OPTION_WEIGHT:
                        status = take_rank(receiver, "--weight", optarg, 1,
                                           &receiver->service.weight);
                        break;
                case OPTION_METADATA:
                        receiver->service_given = true;
                        receiver->service.metadata = optarg;
                        break;
                case OPTION_GRANT:
                        status = take_grant(receiver, optarg);
                        break;
                case OPTION_TOPIC:
                        status = take_topic(receiver, optarg);
                        break;
                case OPTION_RETAINED:
                        receiver->retained = true;
                        break;
                case OPTION_FORMAT:
                        status = take_format(receiver, optarg);
                        break;
                case OPTION_JOBS:
                        status = take_jobs(receiver, optarg);
                        break;
                case OPTION_EXEC:
                        status =
                                take_exec(receiver, optarg, argv + optind, (size_t)(argc - optind));
                        break;
                default:
                        status = options_take(&receiver->options, c, argv, help);
                }
        }
        if (status < 0 && !receiver->command && optind < argc)
                status = fail(STATUS_USAGE, "%s: no operand is expected; see p2pbus-recv --help",
                              argv[optind]);
        return status < 0 ? check_arguments(receiver) : status;
}

static int allocate(Receiver *receiver) {
        if (receiver->command)
                receiver->works = calloc(receiver->n_jobs, sizeof(*receiver->works));
        receiver->fds = calloc(1 + JOB_POLLFDS * receiver->n_jobs, sizeof(*receiver->fds));
        if (!receiver->fds || (receiver->command && !receiver->works))
                return fail(STATUS_FAILED, "start: out of memory; try again");
        return 0;
}

int main(int argc, char **argv) {
        Receiver receiver = {
                .timeout_usec = USEC_NEVER,
                .n_jobs = 1,
                .service = { .struct_size = sizeof(p2pbus_service),
                             .priority = 100,
                             .weight = 100 },
        };
        int status;

        common_init("p2pbus-recv");
        connection_init(&receiver.connection);
        options_init(&receiver.options);

        status = parse_argv(&receiver, argc, argv);
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
