/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcall/provider.h"

#define USEC_PER_MSEC 1000

/* Life and death */

int answer_begin(p2pbus_provider *provider, Method *method, const char *name,
                 p2pbus_message *request, p2pbus_call_handle **ret) {
        p2pbus_call_handle *call;

        if (provider->n_open >= P2PBUS_CALL_OPEN_MAX)
                return -EBUSY;
        call = calloc(1, sizeof(*call));
        if (!call)
                return -ENOMEM;
        call->method_name = strdup(name);
        if (!call->method_name) {
                free(call);
                return -ENOMEM;
        }
        call->provider = provider;
        call->method = method;
        call->request = p2pbus_message_ref(request);
        call->begun_usec = call->heard_usec = provider_now_usec();
        call->next = provider->open;
        if (call->next)
                call->next->prev = call;
        provider->open = call;
        provider->n_open++;
        if (method)
                method->n_open++;
        *ret = call;
        return 0;
}

static void answer_free(p2pbus_call_handle *call) {
        json_decref(call->parts);
        free(call->method_name);
        p2pbus_message_unref(call->request);
        free(call);
}

static void count(p2pbus_call_handle *call, uint32_t status) {
        p2pbus_provider *provider = call->provider;
        uint64_t usec = provider_now_usec() - call->begun_usec;
        Method *method = call->method;

        if (!method)
                return;
        method->n_open--;
        method->n_calls++;
        method->n_errors += status != 0;
        latency_add(&method->latency, usec);
        provider->n_calls++;
        provider->n_errors += status != 0;
        provider->n_cancelled += p2pbus_message_is_cancelled(call->request) != 0;
        latency_add(&provider->latency, usec);
}

/* It was answered. The method that does it may look at the handle until it returns. */
static void finish(p2pbus_call_handle *call, uint32_t status) {
        p2pbus_provider *provider = call->provider;

        count(call, status);
        if (call->prev)
                call->prev->next = call->next;
        else
                provider->open = call->next;
        if (call->next)
                call->next->prev = call->prev;
        provider->n_open--;
        call->is_answered = true;
        if (!call->in_method)
                answer_free(call);
}

void answer_run(p2pbus_call_handle *call, p2pbus_method_function function, json_t *payload,
                void *userdata) {
        int r;

        call->in_method = true;
        r = function(call, payload, userdata);
        call->in_method = false;
        if (call->is_answered)
                answer_free(call);
        else if (r < 0)
                (void)p2pbus_call_fail(call, P2PBUS_CALL_INTERNAL, p2pbus_error_text(r));
}

int answer_refuse(p2pbus_provider *provider, p2pbus_message *request, uint32_t status,
                  const char *text) {
        return p2pbus_reply_error(provider->bus, request, status, text);
}

_public_ void p2pbus_call_end(p2pbus_call_handle *call, uint32_t status) {
        finish(call, status);
}

/* Answers */

/* Return: 0, -EINVAL: not to be said in JSON; -ENOMEM. */
static int make_message(json_t *payload, p2pbus_message **ret) {
        char *text;
        size_t n = 0;

        text = envelope_encode_answer(payload, &n);
        return envelope_to_message(text, n, ret);
}

static int reply_error(const p2pbus_call_handle *call, uint32_t status, const char *text) {
        char cut[P2PBUS_ERROR_TEXT_MAX + 1];

        if (!text)
                text = p2pbus_call_status_text(status);
        (void)snprintf(cut, sizeof(cut), "%s", text ? text : "error");
        return p2pbus_reply_error(call->provider->bus, call->request, status, cut);
}

/* The list of what was sent in parts to a caller that takes one reply, @last being its end. */
static json_t *whole_of(p2pbus_call_handle *call, json_t *last) {
        json_t *list = call->parts;

        if (!list)
                return last;
        call->parts = NULL;
        if (last && !json_is_null(last) && json_array_append(list, last) < 0) {
                json_decref(list);
                list = NULL;
        }
        json_decref(last);
        return list;
}

_public_ int p2pbus_call_reply(p2pbus_call_handle *call, json_t *payload) {
        p2pbus_message *message = NULL;
        bool has_payload = payload || call->parts;
        int r;

        payload = whole_of(call, payload);
        r = has_payload && !payload ? -ENOMEM : make_message(payload, &message);
        if (r == 0)
                r = p2pbus_reply(call->provider->bus, call->request, message);
        p2pbus_message_unref(message);
        if (r == -EMSGSIZE)
                (void)reply_error(call, P2PBUS_CALL_TOO_BIG, "the answer is too big for this bus");
        else if (r < 0)
                (void)reply_error(call, P2PBUS_CALL_INTERNAL, "the answer could not be made");
        finish(call, r == -EMSGSIZE ? P2PBUS_CALL_TOO_BIG : r < 0 ? P2PBUS_CALL_INTERNAL : 0);
        return r;
}

_public_ int p2pbus_call_fail(p2pbus_call_handle *call, uint32_t status, const char *text) {
        int r;

        r = reply_error(call, status, text);
        finish(call, status ? status : P2PBUS_CALL_FAILED);
        return r;
}

/* Parts */

/* For a caller that takes one reply. What is kept is limited as a message is. */
static int keep_part(p2pbus_call_handle *call, json_t *payload) {
        size_t n = json_dumpb(payload, NULL, 0, JSON_COMPACT | JSON_ENCODE_ANY);
        uint64_t max = p2pbus_get_message_max(call->provider->bus);

        if (n == 0 || n > max || call->n_parts_bytes + n + 1 > max ||
            call->n_parts_bytes + n + 1 > P2PBUS_CALL_SIZE_MAX) {
                json_decref(payload);
                return n == 0 ? -ENOMEM : -EMSGSIZE;
        }
        if (!call->parts)
                call->parts = json_array();
        if (!call->parts || json_array_append_new(call->parts, payload) < 0) {
                if (!call->parts)
                        json_decref(payload);
                return -ENOMEM;
        }
        call->n_parts_bytes += n + 1;
        return 0;
}

static int send_part(p2pbus_call_handle *call, p2pbus_message *message, uint64_t timeout_usec) {
        uint64_t now = provider_now_usec();
        uint64_t until = timeout_usec < P2PBUS_FOREVER - now ? now + timeout_usec : P2PBUS_FOREVER;
        p2pbus *bus = call->provider->bus;
        int r;

        while ((r = p2pbus_reply_more(bus, call->request, message)) == -EAGAIN) {
                now = provider_now_usec();
                if (now >= until)
                        return r;
                r = p2pbus_wait(bus, until == P2PBUS_FOREVER ? until : until - now);
                if (r < 0 && r != -ETIMEDOUT)
                        return r;
        }
        return r;
}

_public_ int p2pbus_call_part(p2pbus_call_handle *call, json_t *payload, uint64_t timeout_usec) {
        p2pbus_message *message;
        int r;

        if (!payload)
                return -ENOMEM;
        if (!p2pbus_message_takes_parts(call->request)) {
                if (p2pbus_message_is_cancelled(call->request)) {
                        json_decref(payload);
                        return -ECANCELED;
                }
                return keep_part(call, payload);
        }
        r = make_message(payload, &message);
        if (r < 0)
                return r;
        r = send_part(call, message, timeout_usec);
        p2pbus_message_unref(message);
        if (r == 0)
                call->heard_usec = provider_now_usec();
        return r;
}

_public_ int p2pbus_call_progress(p2pbus_call_handle *call, json_t *payload) {
        p2pbus_message *message;
        int r;

        if (p2pbus_message_is_cancelled(call->request)) {
                json_decref(payload);
                return -ECANCELED;
        }
        r = make_message(payload, &message);
        if (r < 0)
                return r;
        r = p2pbus_reply_progress(call->provider->bus, call->request, message);
        p2pbus_message_unref(message);
        if (r == 0 && p2pbus_message_takes_parts(call->request))
                call->heard_usec = provider_now_usec();
        return r == -EAGAIN ? 0 : r;
}

/* What is known of it */

_public_ int p2pbus_call_is_cancelled(p2pbus_call_handle *call) {
        return p2pbus_message_is_cancelled(call->request);
}

_public_ int p2pbus_call_takes_parts(p2pbus_call_handle *call) {
        return p2pbus_message_takes_parts(call->request);
}

_public_ uint64_t p2pbus_call_get_time_left(p2pbus_call_handle *call) {
        uint64_t span = (uint64_t)p2pbus_message_get_lifetime(call->request) * USEC_PER_MSEC;
        uint64_t gone = provider_now_usec() - call->heard_usec;

        if (span == 0)
                return P2PBUS_FOREVER;
        return gone < span ? span - gone : 0;
}

_public_ p2pbus_message *p2pbus_call_get_request(p2pbus_call_handle *call) {
        return call->request;
}

_public_ const char *p2pbus_call_get_method(p2pbus_call_handle *call) {
        return call->method_name;
}
