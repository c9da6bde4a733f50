/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Text: bytes that are put together, one after the other
 *
 * Running out of memory on the way is remembered and told once, by text_take().
 */

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

typedef struct Text {
        char *data;
        size_t n, allocated;
        bool failed;
} Text;

void text_done(Text *text);
/* @n more bytes, of which nothing is known yet. Return: where, or NULL. */
char *text_extend(Text *text, size_t n);
void text_put(Text *text, const void *bytes, size_t n);
/* @n bytes as a JSON string. What is not UTF-8 of them becomes "?". */
void text_put_json_string(Text *text, const char *bytes, size_t n);
/* The bytes, to be freed, and how many; @text is empty then. Return: NULL: there was no memory. */
char *text_take(Text *text, size_t *ret_n);

static inline void text_puts(Text *text, const char *string) {
        text_put(text, string, strlen(string));
}
