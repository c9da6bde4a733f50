/* SPDX-License-Identifier: Apache-2.0 */

/*
 * p2pbusctl call: a request in JSON, and its answer
 *
 * The request is {"method": METHOD, "payload": JSON}, the payload left out if there is none; the answer
 * {"payload": JSON}, of which the payload is shown: null if it is left out. This is what ProcBridge's
 * programs say to each other. An error is an error reply, in words.
 */

#include <inttypes.h>
#include <stdio.h>

#include "tools/common.h"
#include "tools/ctl.h"
#include "tools/json.h"
#include "tools/output.h"

#define TYPE "application/json"

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

static int print_answer(const char *dest, p2pbus_message *reply) {
        char why[JSON_WHY_SIZE], *text;
        JsonValue *answer, *payload;
        size_t n;

        answer = json_parse(p2pbus_message_get_payload(reply), p2pbus_message_get_size(reply), why);
        if (!answer || !json_value_is_object(answer)) {
                json_free(answer);
                return fail(STATUS_FAILED,
                            "%s: its reply is no answer to a call: %s; see whether it takes calls",
                            dest, answer ? "not an object" : why);
        }
        payload = json_get(answer, "payload");
        json_free(answer);
        text = json_finish(payload ? payload : json_null_value(), &n);
        return output_print(text, n);
}

static int fail_reply(const char *dest, p2pbus_message *reply) {
        const char *text = p2pbus_message_get_payload(reply);

        return fail(STATUS_FAILED, "%s: error reply %" PRIu32 ": %.*s; see the receiver", dest,
                    p2pbus_message_get_status(reply),
                    (int)MIN(p2pbus_message_get_size(reply), (size_t)1000), text ? text : "");
}

int ctl_call(Ctl *ctl) {
        const char *dest = ctl->operands[0];
        p2pbus_message *message = NULL, *reply = NULL;
        _cleanup_(freep) char *request = NULL;
        int r, status;
        size_t n;

        status = ctl_check_destination(dest);
        if (status >= 0)
                return status;
        request = make_request(ctl, &n, &status);
        if (!request)
                return status;
        status = ctl_open(ctl, true);
        if (status != 0)
                return status;

        r = p2pbus_message_new(&message, request, n - 1); /* without its newline */
        if (r >= 0)
                r = p2pbus_message_set_type(message, TYPE);
        if (r >= 0)
                r = p2pbus_request(ctl->connection.bus, dest, message, ctl->timeout_usec, &reply);
        if (r >= 0)
                status = print_answer(dest, reply);
        else if (r == -EREMOTEIO && reply)
                status = fail_reply(dest, reply);
        else
                status =
                        connection_fail(&ctl->connection, dest, NULL, r, p2pbus_get_reason(), NULL);
        p2pbus_message_unref(message);
        p2pbus_message_unref(reply);
        return status;
}
