/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcall/envelope.h"
#include "libcall/p2pbus-call.h"

/* Steals @payload. Return: 0, -EINVAL, -EMSGSIZE, -ENOMEM. */
static int make_request(const char *method, json_t *payload, p2pbus_message **ret) {
        char *text;
        size_t n = 0;

        if (!method || strlen(method) > P2PBUS_CALL_METHOD_MAX) {
                json_decref(payload);
                return -EINVAL;
        }
        text = envelope_encode_request(method, payload, &n);
        if (text && n > P2PBUS_CALL_SIZE_MAX) {
                free(text);
                return -EMSGSIZE;
        }
        return envelope_to_message(text, n, ret);
}

/* Return: 0 and a reference in @ret; -EBADMSG, -EMSGSIZE, -ENOMEM. */
static int read_answer(p2pbus_message *reply, json_t **ret) {
        char why[ENVELOPE_WHY_SIZE];
        Envelope envelope = { 0 };
        int r;

        r = envelope_decode_answer(p2pbus_message_get_payload(reply),
                                   p2pbus_message_get_size(reply), &envelope, why);
        if (r != 0)
                return r == ENVELOPE_E_TOO_BIG ? -EMSGSIZE : r < 0 ? r : -EBADMSG;
        *ret = json_incref(envelope.payload);
        envelope_done(&envelope);
        return 0;
}

static void read_error(p2pbus_message *reply, p2pbus_call_error *ret) {
        const char *name;
        size_t n = p2pbus_message_get_size(reply);

        if (n > P2PBUS_ERROR_TEXT_MAX)
                n = P2PBUS_ERROR_TEXT_MAX;
        ret->status = p2pbus_message_get_status(reply);
        name = p2pbus_call_status_text(ret->status);
        (void)snprintf(ret->name, sizeof(ret->name), "%s", name ? name : "");
        if (n > 0)
                memcpy(ret->text, p2pbus_message_get_payload(reply), n);
        ret->text[n] = '\0';
}

_public_ int p2pbus_call(p2pbus *bus, const char *dest, const char *method, json_t *payload,
                         uint64_t timeout_usec, json_t **ret_result, p2pbus_call_error *ret_error) {
        p2pbus_message *request, *reply = NULL;
        int r;

        r = make_request(method, payload, &request);
        if (r < 0)
                return r;
        r = p2pbus_request(bus, dest, request, timeout_usec, &reply);
        p2pbus_message_unref(request);
        if (r == 0)
                r = read_answer(reply, ret_result);
        else if (r == -EREMOTEIO && reply && ret_error)
                read_error(reply, ret_error);
        p2pbus_message_unref(reply);
        return r;
}

static void on_event(p2pbus *bus, int event, int error, int reason, p2pbus_message *message,
                     void *userdata) {
        p2pbus_calling *calling = userdata;
        p2pbus_call_error said;
        json_t *payload = NULL;

        (void)reason;
        if (event != P2PBUS_STREAM_FAILED && calling->error == 0)
                calling->error = read_answer(message, &payload);
        if (event != P2PBUS_STREAM_FAILED && calling->error < 0) {
                if (event != P2PBUS_STREAM_LAST) { /* the end comes now, and is told then */
                        (void)p2pbus_cancel(bus, p2pbus_message_get_reply_to(message));
                        return;
                }
                event = P2PBUS_STREAM_FAILED;
        }
        if (calling->error < 0)
                error = calling->error;
        if (error == -EREMOTEIO)
                read_error(message, &said);
        calling->callback(bus, event, error, payload, error == -EREMOTEIO ? &said : NULL,
                          calling->userdata);
        json_decref(payload);
}

_public_ int p2pbus_call_start(p2pbus *bus, p2pbus_calling *calling, const char *dest,
                               const char *method, json_t *payload, uint64_t timeout_usec,
                               char ret_id[P2PBUS_ID_SIZE]) {
        p2pbus_message *request;
        int r;

        if (!calling || !calling->callback) {
                json_decref(payload);
                return -EINVAL;
        }
        calling->error = 0;
        r = make_request(method, payload, &request);
        if (r < 0)
                return r;
        r = p2pbus_request_stream(bus, dest, request, timeout_usec, on_event, calling, ret_id);
        p2pbus_message_unref(request);
        return r;
}
