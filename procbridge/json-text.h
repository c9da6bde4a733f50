/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * JSON as text: what stands where, without taking it apart
 *
 * A gateway changes two or three names of a body and must hand on the rest as it came: the digits of a
 * number that no double holds, the order and the escapes of somebody else's program. So bodies are
 * never turned into values and back. They are checked, once, from their first byte to their last, and
 * parts of them are pointed at; that takes no memory, however deep or long the body is.
 *
 * Accepted is what RFC 8259 has, in UTF-8, nested up to JSON_TEXT_DEPTH_MAX deep. \u escapes of single
 * surrogates pass as part of a value, as the grammar has it; json_text_decode() refuses them.
 */

#include <stdbool.h>
#include <stddef.h>

#define JSON_TEXT_DEPTH_MAX 512

/* One value as it stands in somebody's bytes, without the blanks around it. */
typedef struct JsonText {
        const char *data; /* NULL: there is none */
        size_t n;
} JsonText;

enum {
        _JSON_TEXT_E_SUCCESS,

        JSON_TEXT_E_INVALID, /* no JSON, no object, or no text */
        JSON_TEXT_E_END,     /* that was the last member */
};

/* The members of an object, one after the other. */
typedef struct JsonMembers {
        const char *at, *end;
        bool begun;
} JsonMembers;

/* Return: 0; JSON_TEXT_E_INVALID: @text is no object. Borrows @text. */
int json_members_begin(JsonMembers *members, const void *text, size_t n);
/*
 * Return: 0; JSON_TEXT_E_END: all of the text was one object; JSON_TEXT_E_INVALID: it is not, also where
 * the reason stands behind members that were returned.
 */
int json_members_next(JsonMembers *members, JsonText *ret_name, JsonText *ret_value);

/* '{', '[', '"', 't', 'f', 'n', or '0' for any number; 0 if @value is not there. */
char json_text_type(JsonText value);
/* Whether @string, of type '"', says @plain. */
bool json_text_says(JsonText string, const char *plain);
/* The text that @string means, with a NUL behind it, to be freed. Return: 0; JSON_TEXT_E_INVALID: it has
 * NULs or single surrogates; -ENOMEM. */
int json_text_decode(JsonText string, char **ret);

/* Bytes of the UTF-8 sequence that @bytes begins with; 0: it is none, or not whole. */
size_t json_text_utf8(const char *bytes, size_t n);
