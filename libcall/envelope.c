/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include "libcall/envelope.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "libcall/p2pbus-call.h"

static int fail(char *why, int error, const char *text) {
        (void)snprintf(why, ENVELOPE_WHY_SIZE, "%s", text);
        return error;
}

/* Whether a parser may be let at it. Text that is no JSON may pass. */
static int survey(const char *text, size_t n, char *why) {
        size_t depth = 0, n_values = 1;
        bool in_string = false;

        if (n > P2PBUS_CALL_SIZE_MAX)
                return fail(why, ENVELOPE_E_TOO_BIG, "JSON of more than 4 MiB");
        for (size_t i = 0; i < n; i++) {
                char c = text[i];

                if (in_string) {
                        if (c == '\\')
                                i++;
                        else if (c == '"')
                                in_string = false;
                        continue;
                }
                switch (c) {
                case '"':
                        in_string = true;
                        break;
                case '[':
                case '{':
                        n_values++;
                        if (++depth > P2PBUS_CALL_DEPTH_MAX)
                                return fail(why, ENVELOPE_E_TOO_BIG,
                                            "JSON of more than 64 lists and objects inside one "
                                            "another");
                        break;
                case ']':
                case '}':
                        depth -= depth > 0;
                        break;
                case ',':
                        n_values++;
                        break;
                default:
                        break;
                }
        }
        if (n_values > P2PBUS_CALL_VALUES_MAX)
                return fail(why, ENVELOPE_E_TOO_BIG, "JSON of more than 100000 values");
        return 0;
}

/* What jansson says quotes what others wrote: it may be cut in a character, and drives terminals. */
static void make_printable(char *text) {
        for (unsigned char *c = (unsigned char *)text; *c; c++)
                if (*c < ' ' || *c > '~')
                        *c = '?';
}

static int decode(const void *text, size_t n, Envelope *ret, char *why) {
        Envelope envelope = { 0 };
        json_error_t error;
        int r;

        r = survey(text, n, why);
        if (r != 0)
                return r;
        envelope.whole =
                json_loadb(n > 0 ? text : "", n, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &error);
        if (!envelope.whole) {
                if (json_error_code(&error) == json_error_out_of_memory)
                        return -ENOMEM;
                (void)snprintf(why, ENVELOPE_WHY_SIZE, "no JSON: %.140s", error.text);
                make_printable(why);
                return ENVELOPE_E_MALFORMED;
        }
        if (!json_is_object(envelope.whole)) {
                json_decref(envelope.whole);
                return fail(why, ENVELOPE_E_MALFORMED, "JSON, but no object");
        }
        envelope.payload = json_object_get(envelope.whole, "payload");
        if (!envelope.payload)
                envelope.payload = json_null();
        *ret = envelope;
        return 0;
}

int envelope_decode_request(const void *text, size_t n, Envelope *ret,
                            char why[static ENVELOPE_WHY_SIZE]) {
        Envelope envelope;
        const json_t *method;
        int r;

        r = decode(text, n, &envelope, why);
        if (r != 0)
                return r;
        method = json_object_get(envelope.whole, "method");
        if (method && !json_is_null(method)) {
                envelope.method = json_string_value(method);
                if (!envelope.method || json_string_length(method) > P2PBUS_CALL_METHOD_MAX) {
                        envelope_done(&envelope);
                        return fail(why, ENVELOPE_E_MALFORMED,
                                    "\"method\" is no text of at most 255 bytes");
                }
        }
        *ret = envelope;
        return 0;
}

int envelope_decode_answer(const void *text, size_t n, Envelope *ret,
                           char why[static ENVELOPE_WHY_SIZE]) {
        return decode(text, n, ret, why);
}

void envelope_done(Envelope *envelope) {
        json_decref(envelope->whole);
        *envelope = (Envelope){ 0 };
}

static char *encode(json_t *object, json_t *payload, size_t *ret_n) {
        bool failed = !object;
        char *text = NULL;

        if (payload && object)
                failed = json_object_set_new(object, "payload", payload) < 0;
        else
                json_decref(payload);
        if (!failed)
                text = json_dumps(object, JSON_COMPACT);
        json_decref(object);
        if (text)
                *ret_n = strlen(text);
        return text;
}

char *envelope_encode_request(const char *method, json_t *payload, size_t *ret_n) {
        json_t *object = json_object();

        if (object && json_object_set_new(object, "method", json_string(method)) < 0) {
                json_decref(object);
                object = NULL;
        }
        return encode(object, payload, ret_n);
}

char *envelope_encode_answer(json_t *payload, size_t *ret_n) {
        return encode(json_object(), payload, ret_n);
}
