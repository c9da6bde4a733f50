/* SPDX-License-Identifier: Apache-2.0 */

#include "procbridge/body.h"

#include "libcore/err.h"
#include "libcore/util.h"

#define CLOSE_METHOD "__PB_CLOSE__"
#define UNKNOWN_ERROR "unknown server error"

/* What the members are called. */
static const struct Names {
        const char *method, *payload, *message;
} names_1_0 = { "api", "body", "msg" }, names_1_1 = { "method", "payload", "message" };

static const struct Names *names_of(PbVersion version) {
        return version == PB_1_0 ? &names_1_0 : &names_1_1;
}

/* Members by their names; one that is null is not there. Return: 0, BODY_E_INVALID. */
static int read_members(const void *body, size_t n, const char *name_a, JsonText *ret_a,
                        const char *name_b, JsonText *ret_b) {
        JsonText name, value, a = { 0 }, b = { 0 };
        JsonMembers members;
        int r;

        r = json_members_begin(&members, body, n);
        while (r == 0) {
                r = json_members_next(&members, &name, &value);
                if (r != 0)
                        break;
                if (json_text_type(value) == 'n')
                        value = (JsonText){ 0 };
                if (json_text_says(name, name_a))
                        a = value;
                else if (name_b && json_text_says(name, name_b))
                        b = value;
        }
        if (r != JSON_TEXT_E_END)
                return BODY_E_INVALID;
        *ret_a = a;
        if (name_b)
                *ret_b = b;
        return 0;
}

/* Return: 0, BODY_E_INVALID: it has no text; -ENOMEM. */
static int read_text(JsonText value, char **ret) {
        int r;

        switch (json_text_type(value)) {
        case '"':
                r = json_text_decode(value, ret);
                return r > 0 ? BODY_E_INVALID : r;
        case '0':
        case 't':
        case 'f':
                *ret = strndup(value.data, value.n);
                return *ret ? 0 : err_origin(-ENOMEM);
        default:
                return BODY_E_INVALID;
        }
}

int body_read_request(PbVersion version, const void *body, size_t n, BodyRequest *ret) {
        const struct Names *names = names_of(version);
        BodyRequest request = { 0 };
        JsonText method;
        int r;

        r = read_members(body, n, names->method, &method, names->payload, &request.payload);
        if (r != 0)
                return r;
        if (version == PB_1_0 && (json_text_type(method) != '"' || method.n == 2 ||
                                  (request.payload.data && *request.payload.data != '{')))
                return BODY_E_INVALID;
        if (method.data) {
                r = read_text(method, &request.method);
                if (r != 0)
                        return r;
        }
        if (version == PB_1_0 && strcmp(request.method, CLOSE_METHOD) == 0) {
                free(request.method);
                return BODY_E_CLOSE;
        }
        if (version == PB_1_0 && !request.payload.data)
                request.payload = (JsonText){ "{}", 2 };
        *ret = request;
        return 0;
}

int body_read_good(PbVersion version, const void *body, size_t n, JsonText *ret_payload) {
        return read_members(body, n, names_of(version)->payload, ret_payload, NULL, NULL);
}

int body_read_bad(PbVersion version, const void *body, size_t n, char **ret_message) {
        JsonText message;
        int r;

        r = read_members(body, n, names_of(version)->message, &message, NULL, NULL);
        if (r != 0)
                return r;
        if (message.data) {
                r = read_text(message, ret_message);
                if (r <= 0)
                        return r;
        }
        *ret_message = strdup(UNKNOWN_ERROR);
        return *ret_message ? 0 : err_origin(-ENOMEM);
}

void body_put_request(Text *text, const char *method, JsonText payload) {
        text_puts(text, "{");
        if (method) {
                text_puts(text, "\"method\": ");
                text_put_json_string(text, method, strlen(method));
        }
        if (payload.data) {
                text_puts(text, method ? ", \"payload\": " : "\"payload\": ");
                text_put(text, payload.data, payload.n);
        }
        text_puts(text, "}");
}

int body_put_good(Text *text, PbVersion version, JsonText payload) {
        if (version == PB_1_0) {
                if (!payload.data)
                        payload = (JsonText){ "{}", 2 };
                if (*payload.data != '{')
                        return BODY_E_INVALID;
        }
        text_puts(text, "{");
        if (payload.data) {
                text_puts(text, version == PB_1_0 ? "\"body\": " : "\"payload\": ");
                text_put(text, payload.data, payload.n);
        }
        text_puts(text, "}");
        return 0;
}

void body_put_bad(Text *text, PbVersion version, const char *message, size_t n) {
        text_puts(text, version == PB_1_0 ? "{\"msg\": " : "{\"message\": ");
        text_put_json_string(text, message, n);
        text_puts(text, "}");
}
