/* SPDX-License-Identifier: Apache-2.0 */

#include "libcore/topic.h"

#include <string.h>

size_t topic_element(const char *text, size_t n_text) {
        const char *dot = memchr(text, '.', n_text);

        return dot ? (size_t)(dot - text) : n_text;
}

static bool is_plain(const char *element, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (element[i] <= ' ' || element[i] > '~' || element[i] == '*' || element[i] == '>')
                        return false;
        return n > 0;
}

static bool is_valid(const char *text, size_t n_text, bool is_pattern) {
        size_t n_elements = 0;

        if (n_text < 1 || n_text > TOPIC_SIZE_MAX)
                return false;
        for (;;) {
                size_t n = topic_element(text, n_text);
                bool is_last = n == n_text;
                bool is_wild =
                        is_pattern && n == 1 && (text[0] == '*' || (text[0] == '>' && is_last));

                if (++n_elements > TOPIC_ELEMENTS_MAX || (!is_wild && !is_plain(text, n)))
                        return false;
                if (is_last)
                        return true;
                text += n + 1; /* behind the dot; what is empty there is no element */
                n_text -= n + 1;
        }
}

bool topic_is_valid(const char *topic, size_t n_topic) {
        return is_valid(topic, n_topic, false);
}

bool topic_is_pattern(const char *pattern, size_t n_pattern) {
        return is_valid(pattern, n_pattern, true);
}

bool topic_matches(const char *pattern, size_t n_pattern, const char *topic, size_t n_topic) {
        for (;;) {
                size_t n_wanted = topic_element(pattern, n_pattern);
                size_t n = topic_element(topic, n_topic);

                if (n_wanted == 1 && pattern[0] == '>')
                        return true;
                if (!(n_wanted == 1 && pattern[0] == '*') &&
                    (n_wanted != n || memcmp(pattern, topic, n) != 0))
                        return false;
                if (n_wanted == n_pattern || n == n_topic)
                        return n_wanted == n_pattern && n == n_topic;
                pattern += n_wanted + 1;
                n_pattern -= n_wanted + 1;
                topic += n + 1;
                n_topic -= n + 1;
        }
}

static bool is_element(const char *text, size_t n, char c) {
        return n == 1 && text[0] == c;
}

bool topic_covers(const char *pattern, size_t n_pattern, const char *narrower, size_t n_narrower) {
        for (;;) {
                size_t n = topic_element(pattern, n_pattern);
                size_t n_inner = topic_element(narrower, n_narrower);

                if (is_element(pattern, n, '>'))
                        return true;
                if (is_element(narrower, n_inner, '>') ||
                    (!is_element(pattern, n, '*') &&
                     (n != n_inner || memcmp(pattern, narrower, n) != 0)))
                        return false;
                if (n == n_pattern || n_inner == n_narrower)
                        return n == n_pattern && n_inner == n_narrower;
                pattern += n + 1;
                n_pattern -= n + 1;
                narrower += n_inner + 1;
                n_narrower -= n_inner + 1;
        }
}

bool topic_overlaps(const char *a, size_t n_a, const char *b, size_t n_b) {
        for (;;) {
                size_t n = topic_element(a, n_a), m = topic_element(b, n_b);

                if (is_element(a, n, '>') || is_element(b, m, '>'))
                        return true;
                if (!is_element(a, n, '*') && !is_element(b, m, '*') &&
                    (n != m || memcmp(a, b, n) != 0))
                        return false;
                if (n == n_a || m == n_b)
                        return n == n_a && m == n_b;
                a += n + 1;
                n_a -= n + 1;
                b += m + 1;
                n_b -= m + 1;
        }
}

bool topic_is_own(const char *text, size_t n_text) {
        size_t n = strlen(TOPIC_OWN);

        return n_text >= n && memcmp(text, TOPIC_OWN, n) == 0;
}
