/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Topics and patterns
 *
 * A topic is 1 to 255 bytes: elements of printable ASCII other than blank, '.', '*' and '>', joined by
 * dots, none empty, at most TOPIC_ELEMENTS_MAX. A pattern is a topic in which "*" stands for one element
 * that may be anything, and ">", as the last, for one or more.
 */

#include <stdbool.h>
#include <stddef.h>

#define TOPIC_SIZE_MAX 255
#define TOPIC_ELEMENTS_MAX 32
#define TOPIC_OWN "p2pbus." /* what begins so is the daemon's, and stays on the host */

bool topic_is_valid(const char *topic, size_t n_topic);
bool topic_is_pattern(const char *pattern, size_t n_pattern);
/* Whether @topic, valid, is one that @pattern, valid, stands for. */
bool topic_matches(const char *pattern, size_t n_pattern, const char *topic, size_t n_topic);
/* Whether each topic that @narrower stands for is one of @pattern's; both valid patterns. */
bool topic_covers(const char *pattern, size_t n_pattern, const char *narrower, size_t n_narrower);
/* Whether some topic is one of both patterns'. */
bool topic_overlaps(const char *a, size_t n_a, const char *b, size_t n_b);
/* Whether its first element is the one of the daemon's own topics. */
bool topic_is_own(const char *text, size_t n_text);
/* Bytes of the element at @text, up to its dot or the end. */
size_t topic_element(const char *text, size_t n_text);
