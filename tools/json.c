/* SPDX-License-Identifier: Apache-2.0 */

#include "tools/json.h"

#include <jansson.h>

#include "tools/common.h"

struct JsonValue {
        json_t *json;
        bool failed;
};

static JsonValue *new_value(json_t *json) {
        JsonValue *value = calloc(1, sizeof(*value));

        if (!value || !json) {
                json_decref(json);
                free(value);
                return NULL;
        }
        value->json = json;
        return value;
}

JsonValue *json_parse(const void *text, size_t n, char why[static JSON_WHY_SIZE]) {
        json_error_t error;
        json_t *json;

        json = json_loadb(text, n, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &error);
        if (!json) {
                (void)snprintf(why, JSON_WHY_SIZE, "%s", error.text);
                common_make_printable(why); /* it quotes what others wrote */
                return NULL;
        }
        (void)snprintf(why, JSON_WHY_SIZE, "out of memory");
        return new_value(json);
}

JsonValue *json_get(const JsonValue *value, const char *name) {
        json_t *member = json_object_get(value->json, name);

        return member ? new_value(json_incref(member)) : NULL;
}

bool json_value_is_object(const JsonValue *value) {
        return json_typeof(value->json) == JSON_OBJECT;
}

bool json_value_is_null(const JsonValue *value) {
        return json_typeof(value->json) == JSON_NULL;
}

bool json_value_number(const JsonValue *value, uint64_t *ret) {
        if (!json_is_integer(value->json) || json_integer_value(value->json) < 0)
                return false;
        *ret = (uint64_t)json_integer_value(value->json);
        return true;
}

size_t json_value_size(const JsonValue *value) {
        return json_array_size(value->json);
}

JsonValue *json_at(const JsonValue *value, size_t i) {
        json_t *element = json_array_get(value->json, i);

        return element ? new_value(json_incref(element)) : NULL;
}

JsonValue *json_null_value(void) {
        return new_value(json_null());
}

JsonValue *json_free(JsonValue *value) {
        if (value) {
                json_decref(value->json);
                free(value);
        }
        return NULL;
}

JsonValue *json_begin(void) {
        return new_value(json_object());
}

JsonValue *json_begin_list(void) {
        return new_value(json_array());
}

/* jansson takes the reference over even where it fails, as it does for a NULL. */
static void set(JsonValue *object, const char *name, json_t *json) {
        if (!object)
                json_decref(json);
        else if (json_object_set_new(object->json, name, json) < 0)
                object->failed = true;
}

void json_add_text(JsonValue *object, const char *name, const char *text) {
        json_t *json = text ? json_string(text) : json_null();

        /* Names of programs are the kernel's to allow, and it allows any byte. */
        if (!json && text) {
                _cleanup_(freep) char *ascii = strdup(text);

                for (char *p = ascii; p && *p; p++)
                        if ((unsigned char)*p >= 0x80)
                                *p = '?';
                json = ascii ? json_string(ascii) : NULL;
        }
        set(object, name, json);
}

void json_add_number(JsonValue *object, const char *name, uint64_t number) {
        set(object, name, json_integer((json_int_t)MIN(number, (uint64_t)INT64_MAX)));
}

void json_add_real(JsonValue *object, const char *name, double number) {
        set(object, name, json_real(number));
}

void json_add_flag(JsonValue *object, const char *name, bool flag) {
        set(object, name, json_boolean(flag));
}

static char *encode_base64(const uint8_t *bytes, size_t n) {
        static const char digits[] =
                "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        char *text = malloc((n + 2) / 3 * 4 + 1), *p = text;

        for (size_t i = 0; text && i < n; i += 3) {
                uint32_t v = (uint32_t)bytes[i] << 16;

                if (i + 1 < n)
                        v |= (uint32_t)bytes[i + 1] << 8;
                if (i + 2 < n)
                        v |= bytes[i + 2];
                *p++ = digits[v >> 18];
                *p++ = digits[v >> 12 & 63];
                *p++ = i + 1 < n ? digits[v >> 6 & 63] : '=';
                *p++ = i + 2 < n ? digits[v & 63] : '=';
        }
        if (text)
                *p = '\0';
        return text;
}

void json_add_bytes(JsonValue *object, const char *name, const void *bytes, size_t n) {
        _cleanup_(freep) char *base64 = NULL;
        json_t *json = json_stringn(n > 0 ? bytes : "", n);
        char name_base64[64];
        size_t n_name = strlen(name);

        if (json) {
                set(object, name, json);
                return;
        }
        base64 = encode_base64(bytes, n);
        if (n_name + sizeof("_base64") > sizeof(name_base64) || !base64) {
                set(object, name, NULL);
                return;
        }
        memcpy(name_base64, name, n_name);
        memcpy(name_base64 + n_name, "_base64", sizeof("_base64"));
        set(object, name_base64, json_string_nocheck(base64));
}

void json_add_words(JsonValue *object, const char *name, const char *list) {
        json_t *json = json_array();

        if (strcmp(list, "-") == 0)
                list = "";
        for (size_t n; json && *list; list += n + (list[n] == ',')) {
                n = strcspn(list, ",");
                if (json_array_append_new(json, json_stringn(list, n)) < 0 && object)
                        object->failed = true;
        }
        set(object, name, json);
}

static json_t *unwrap(JsonValue *value, JsonValue *into) {
        json_t *json = value && !value->failed ? value->json : NULL;

        if (value && !json)
                json_decref(value->json);
        if (into && !json)
                into->failed = true;
        free(value);
        return json;
}

void json_add_value(JsonValue *object, const char *name, JsonValue *value) {
        set(object, name, unwrap(value, object));
}

void json_append(JsonValue *list, JsonValue *value) {
        json_t *json = unwrap(value, list);

        if (!list)
                json_decref(json);
        else if (json_array_append_new(list->json, json) < 0)
                list->failed = true;
}

void json_append_number(JsonValue *list, uint64_t number) {
        if (list && json_array_append_new(list->json, json_integer((json_int_t)number)) < 0)
                list->failed = true;
}

char *json_finish(JsonValue *value, size_t *ret_n) {
        json_t *json = unwrap(value, NULL);
        char *text = json ? json_dumps(json, JSON_ENCODE_ANY) : NULL;
        char *line;
        size_t n;

        json_decref(json);
        if (!text)
                return NULL;
        n = strlen(text);
        line = realloc(text, n + 2);
        if (!line) {
                free(text);
                return NULL;
        }
        line[n] = '\n';
        line[n + 1] = '\0';
        *ret_n = n + 1;
        return line;
}
