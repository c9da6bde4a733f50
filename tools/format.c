/* SPDX-License-Identifier: Apache-2.0 */

#include "tools/format.h"

#include "tools/common.h"
#include "tools/json.h"

Format format_from_text(const char *text) {
        static const char *const names[] = {
                [FORMAT_LINE] = "line",
                [FORMAT_RAW] = "raw",
                [FORMAT_JSON] = "json",
                [FORMAT_HEX] = "hex",
        };

        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                if (strcmp(text, names[i]) == 0)
                        return (Format)i;
        return _FORMAT_INVALID;
}

static char *format_json(p2pbus_message *message, const char *to, size_t *ret_n) {
        JsonValue *object = json_begin();
        const char *reply_to = p2pbus_message_get_reply_to(message);
        int kind = p2pbus_message_get_kind(message);
        size_t size = p2pbus_message_get_size(message);

        json_add_text(object, "from", p2pbus_message_get_from_pid(message));
        json_add_text(object, "from_key", p2pbus_message_get_from(message));
        json_add_text(object, "to", to);
        json_add_text(object, "id", p2pbus_message_get_id(message));
        json_add_text(object, "kind", p2pbus_kind_text(kind));
        if (*reply_to)
                json_add_text(object, "reply_to", reply_to);
        if (*p2pbus_message_get_topic(message)) {
                json_add_text(object, "topic", p2pbus_message_get_topic(message));
                json_add_number(object, "lost", p2pbus_message_get_lost(message));
        }
        if (kind == P2PBUS_KIND_ERROR)
                json_add_number(object, "status", p2pbus_message_get_status(message));
        if (p2pbus_message_get_type(message))
                json_add_text(object, "type", p2pbus_message_get_type(message));
        json_add_text(object, "path", p2pbus_message_is_remote(message) ? "remote" : "local");
        json_add_number(object, "size", size);
        json_add_bytes(object, "payload", p2pbus_message_get_payload(message), size);
        return json_finish(object, ret_n);
}

static char *format_line(const char *payload, size_t n, size_t *ret_n) {
        char *line = malloc(n + 1);

        if (!line)
                return NULL;
        if (n > 0)
                memcpy(line, payload, n);
        line[n] = '\n';
        *ret_n = n + 1;
        return line;
}

static char *format_hex(const char *payload, size_t n, size_t *ret_n) {
        static const char digits[] = "0123456789abcdef";
        char *line = malloc(n * 2 + 1), *p = line;

        if (!line)
                return NULL;
        for (size_t i = 0; i < n; i++) {
                *p++ = digits[(unsigned char)payload[i] >> 4];
                *p++ = digits[payload[i] & 15];
        }
        *p = '\n';
        *ret_n = n * 2 + 1;
        return line;
}

int format_message(Format format, p2pbus_message *message, const char *to, const char **ret_data,
                   size_t *ret_n, char **ret_owned) {
        const char *payload = p2pbus_message_get_payload(message);
        size_t n = p2pbus_message_get_size(message);

        if (format == FORMAT_RAW || (format == FORMAT_LINE && n > 0 && payload[n - 1] == '\n')) {
                *ret_data = payload;
                *ret_n = n;
                *ret_owned = NULL;
                return 0;
        }
        if (format == FORMAT_JSON)
                *ret_owned = format_json(message, to, ret_n);
        else if (format == FORMAT_HEX)
                *ret_owned = format_hex(payload, n, ret_n);
        else
                *ret_owned = format_line(payload, n, ret_n);
        if (!*ret_owned)
                return -ENOMEM;
        *ret_data = *ret_owned;
        return 0;
}
