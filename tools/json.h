/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * JSON: objects and lists of them, one value a line; and values that others wrote
 *
 * A value is built field by field and turned into its line at the end. Running out of memory on
 * the way is remembered and comes out there, once. Members keep the order in which they were added.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct JsonValue JsonValue;

/*
 * Reads one value of any type, UTF-8, with nothing but blanks around it. Return: NULL: it is none, and
 * why is in @why.
 */
#define JSON_WHY_SIZE 160
JsonValue *json_parse(const void *text, size_t n, char why[static JSON_WHY_SIZE]);
/* The member @name of an object, to be freed apart; NULL: there is none, or @value is no object. */
JsonValue *json_get(const JsonValue *value, const char *name);
bool json_value_is_object(const JsonValue *value);
bool json_value_is_null(const JsonValue *value);
/* Return: whether it is a whole number, and not negative. */
bool json_value_number(const JsonValue *value, uint64_t *ret);
/* Of a list: how many elements, and one of them, to be freed apart. Anything else has none. */
size_t json_value_size(const JsonValue *value);
JsonValue *json_at(const JsonValue *value, size_t i);
JsonValue *json_null_value(void);
/* Accepts NULL, returns NULL. */
JsonValue *json_free(JsonValue *value);

JsonValue *json_begin(void);
JsonValue *json_begin_list(void);

/* @text is UTF-8, or shown with its other bytes replaced; NULL becomes null. */
void json_add_text(JsonValue *object, const char *name, const char *text);
void json_add_number(JsonValue *object, const char *name, uint64_t number);
void json_add_real(JsonValue *object, const char *name, double number);
void json_add_flag(JsonValue *object, const char *name, bool flag);
/* The bytes as text under "NAME" if they are UTF-8, else in base64 under "NAME_base64". */
void json_add_bytes(JsonValue *object, const char *name, const void *bytes, size_t n);
/* Elements of a comma list, "-" being the empty one, as a list of texts. */
void json_add_words(JsonValue *object, const char *name, const char *list);
/* Takes @value over, also on failure. */
void json_add_value(JsonValue *object, const char *name, JsonValue *value);
void json_append(JsonValue *list, JsonValue *value);
void json_append_number(JsonValue *list, uint64_t number);

/* Frees @value. Returns its line with a newline, to be freed, and its length; NULL: no memory. */
char *json_finish(JsonValue *value, size_t *ret_n);
