/* SPDX-License-Identifier: Apache-2.0 */

/*
 * p2pbusctl call: a request in JSON, and its answer
 *
 * The request is {"method": METHOD, "payload": JSON}, the payload left out if there is none; the answer
 * {"payload": JSON}, of which the payload is shown: null if it is left out. This is what ProcBridge's
 * programs say to each other. An answer in parts is shown as it comes, a line a part; what was not yet
 * written is held, so that a slow reader of stdout slows the provider. An error is an error reply, in
 * words.
 */

#include <stdio.h>

#include "libcall/p2pbus-call.h"
#include "tools/common.h"
#include "tools/ctl.h"
#include "tools/error-reply.h"
#include "tools/json.h"
#include "tools/output.h"

#define TYPE "application/json"

typedef struct Call {
        const char *dest;
        p2pbus_message *request;
        p2pbus_message **parts; /* with references; not yet shown */
        size_t n_parts, n_allocated;
        bool no_memory;
        bool is_over;
        int error, reason;
        p2pbus_message *last; /* the reply, or error reply */
        bool any_part;
        JsonValue *list; /* --json: what came, if it came in parts */
        int status;      /* of a part that is no answer; 0 */
} Call;

/* Return: the request's text, to be freed; NULL: a status was told in @ret_status. */
static char *make_request(const Ctl *ctl, size_t *ret_n, int *ret_status) {
        JsonValue *object = json_begin();
        char why[JSON_WHY_SIZE], *text;

        json_add_text(object, "method", ctl->operands[1]);
        if (ctl->n_operands > 2) {
                const char *given = ctl->operands[2];
                JsonValue *payload = json_parse(given, strlen(given), why);

                if (!payload) {
                        json_free(object);
                        *ret_status = fail(STATUS_USAGE,
                                           "JSON: %s; write for example '{\"a\": [1, \"x\"]}', or "
                                           "'\"text\"'",
                                           why);
                        return NULL;
                }
                json_add_value(object, "payload", payload);
        }
        text = json_finish(object, ret_n);
        if (!text)
                *ret_status = fail(STATUS_FAILED, "call: out of memory; try again");
        return text;
}

/* The payload of an answer; NULL: a status was told in @ret_status. */
static JsonValue *read_answer(const char *dest, p2pbus_message *reply, int *ret_status) {
        char why[JSON_WHY_SIZE];
        JsonValue *answer, *payload;

        answer = json_parse(p2pbus_message_get_payload(reply), p2pbus_message_get_size(reply), why);
        if (!answer || !json_value_is_object(answer)) {
                *ret_status = fail(STATUS_FAILED,
                                   "%s: its reply is no answer to a call: %s; see whether it takes "
                                   "calls",
                                   dest, answer ? "not an object" : why);
                json_free(answer);
                return NULL;
        }
        payload = json_get(answer, "payload");
        json_free(answer);
        if (!payload)
                payload = json_null_value();
        if (!payload)
                *ret_status = output_print(NULL, 0);
        return payload;
}

/* ---- What comes ---- */

static void hold(Call *call, p2pbus_message *part) {
        if (call->n_parts == call->n_allocated) {
                size_t n = MAX(2 * call->n_allocated, (size_t)16);
                p2pbus_message **parts = realloc(call->parts, n * sizeof(*parts));

                if (!parts) {
                        call->no_memory = true;
                        return;
                }
                call->parts = parts;
                call->n_allocated = n;
        }
        call->parts[call->n_parts++] = p2pbus_message_ref(part);
}

static void on_event(p2pbus *bus, int event, int error, int reason, p2pbus_message *message,
                     void *userdata) {
        Call *call = userdata;

        (void)bus;
        if (event == P2PBUS_STREAM_PART || event == P2PBUS_STREAM_PROGRESS) {
                hold(call, message);
                return;
        }
        call->is_over = true;
        call->error = error;
        call->reason = reason;
        if (message)
                call->last = p2pbus_message_ref(message);
}

/* For people: its payload if it has the form of an answer, else as it is. */
static void show_progress(const Call *call, p2pbus_message *message) {
        size_t n = p2pbus_message_get_size(message);
        const char *bytes = n > 0 ? p2pbus_message_get_payload(message) : "";
        char why[JSON_WHY_SIZE];
        JsonValue *answer = json_parse(bytes, n, why);
        JsonValue *payload =
                answer && json_value_is_object(answer) ? json_get(answer, "payload") : NULL;
        char *text = payload ? json_finish(payload, &n) : strndup(bytes, MIN(n, (size_t)1000));

        json_free(answer);
        if (!text)
                return;
        text[strcspn(text, "\n")] = '\0';
        common_make_printable(text);
        tell(LEVEL_INFO, "%s: progress: %s", call->dest, text);
        free(text);
}

/* A part or the last of them: shown, or kept for the list. Return: 0, CONNECTION_E_X, OUTPUT_E_CLOSED,
 * -errno. */
static int show(Ctl *ctl, Call *call, p2pbus_message *message) {
        JsonValue *payload = read_answer(call->dest, message, &call->status);
        char *line;
        size_t n;
        int r;

        if (!payload)
                return 0;
        if (call->list) {
                json_append(call->list, payload);
                return 0;
        }
        line = json_finish(payload, &n);
        if (!line)
                return -ENOMEM;
        r = output_write(&ctl->connection, line, n);
        free(line);
        return r;
}

/* In the order in which they came; more may come meanwhile. */
static int show_parts(Ctl *ctl, Call *call) {
        int r = 0;

        for (size_t i = 0; i < call->n_parts; i++) {
                p2pbus_message *part = call->parts[i];

                if (r == 0 && call->status == 0) {
                        if (p2pbus_message_get_kind(part) == P2PBUS_KIND_PROGRESS)
                                show_progress(call, part);
                        else {
                                if (ctl->options.json && !call->list)
                                        call->list = json_begin_list();
                                call->any_part = true;
                                r = show(ctl, call, part);
                        }
                }
                p2pbus_message_unref(part);
        }
        call->n_parts = 0;
        return r;
}

/* The end, if there is nothing more to show. Return: the status to end with. */
static int show_last(Ctl *ctl, Call *call) {
        char why[JSON_WHY_SIZE];
        JsonValue *answer, *payload;
        int r = 0;

        if (call->error == -EREMOTEIO && call->last)
                return error_reply_fail(call->dest, call->last);
        if (call->error < 0)
                return connection_fail_message(&ctl->connection, call->dest, call->request,
                                               call->error, call->reason);
        /* A stream that only says that it is over has no more to show. */
        answer = json_parse(p2pbus_message_get_payload(call->last),
                            p2pbus_message_get_size(call->last), why);
        payload = answer && json_value_is_object(answer) ? json_get(answer, "payload") : NULL;
        if (!call->any_part || !answer || !json_value_is_object(answer) ||
            (payload && !json_value_is_null(payload)))
                r = show(ctl, call, call->last);
        json_free(answer);
        json_free(payload);
        if (r != 0)
                return output_end(&ctl->connection, r);
        if (call->status == 0 && call->list) {
                size_t n;
                char *text = json_finish(TAKE_PTR(call->list), &n);

                return output_print(text, n);
        }
        return call->status;
}

/* Return: the status to end with. */
static int follow(Ctl *ctl, Call *call, const char *id) {
        p2pbus *bus = ctl->connection.bus;
        int r = 0;

        while (r == 0 && !call->is_over && call->status == 0 && !call->no_memory) {
                r = connection_wait(&ctl->connection, NULL, 0, USEC_NEVER);
                if (r == 0)
                        r = show_parts(ctl, call);
        }
        while (r == 0 && call->n_parts > 0 && call->status == 0)
                r = show_parts(ctl, call);
        if (r == 0 && call->is_over && call->status == 0 && !call->no_memory)
                return show_last(ctl, call);

        /* The provider need not go on for a reader that has gone. */
        if (!call->is_over && p2pbus_cancel(bus, id) == 0)
                (void)p2pbus_process(bus);
        if (call->status != 0)
                return call->status;
        return output_end(&ctl->connection, r ? r : -ENOMEM);
}

static void call_done(Call *call) {
        for (size_t i = 0; i < call->n_parts; i++)
                p2pbus_message_unref(call->parts[i]);
        free(call->parts);
        p2pbus_message_unref(call->last);
        json_free(call->list);
}

int ctl_call(Ctl *ctl) {
        Call call = { .dest = ctl->operands[0] };
        _cleanup_(freep) char *request = NULL;
        p2pbus_message *message = NULL;
        char id[P2PBUS_ID_SIZE];
        int r, status;
        size_t n;

        status = ctl_check_destination(call.dest);
        if (status >= 0)
                return status;
        request = make_request(ctl, &n, &status);
        if (!request)
                return status;
        status = ctl_open(ctl, true);
        if (status == 0)
                status = connection_watch(&ctl->connection);
        if (status != 0)
                return status;

        r = p2pbus_message_new(&message, request, n - 1); /* without its newline */
        if (r >= 0)
                r = p2pbus_message_set_type(message, TYPE);
        call.request = message;
        if (r >= 0)
                r = p2pbus_request_stream(ctl->connection.bus, call.dest, message,
                                          ctl->timeout_usec, on_event, &call, id);
        if (r >= 0)
                status = follow(ctl, &call, id);
        else
                status = connection_fail(&ctl->connection, call.dest, NULL, r, p2pbus_get_reason(),
                                         NULL);
        p2pbus_message_unref(message);
        /* What is still called back finds what it needs. */
        p2pbus_close(ctl->connection.bus);
        call_done(&call);
        return status;
}
