/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/* File names in commands that we show to be pasted. */

#define QUOTE_SIZE 1024

/* @text as one word of a shell, in quotes if it needs them; cut if it does not fit. Returns
 * @quoted. */
const char *quote_for_shell(const char *text, char quoted[static QUOTE_SIZE]);
