/* SPDX-License-Identifier: Apache-2.0 */

/* Any text is a policy file or is refused with a reason; a policy has an answer to every question. */

#include <assert.h>
#include <string.h>

#include "daemon/policy-answer.h"
#include "daemon/policy-book.h"
#include "tests/fuzz/fuzz.h"

static uint32_t find(const char *name) {
        return (uint32_t)strlen(name);
}

static const Accounts accounts = { find, find, 1 };

static void ask(const Subject *subject) {
        static const char name[] = "com.example.x", topic[] = "a.b", pattern[] = "a.>";
        char text[POLICY_ANSWER_MAX];
        PolicyAnswer answers[] = {
                policy_own(subject, "user", name, strlen(name)),
                policy_talk(subject, subject),
                policy_publish(subject, topic, strlen(topic)),
                policy_publish_off_host(subject, topic, strlen(topic)),
                policy_subscribe(subject, pattern, strlen(pattern)),
                policy_role(subject, POLICY_MONITOR),
                policy_off_host(subject),
        };

        for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++)
                assert(*policy_answer_text(&answers[i], text) != '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_data) {
        static const Credentials creds = { .uid = 1000, .unit = "web.service" };
        static const PublicKey key;
        uint64_t bits[1 + 1 + 4096] = { 1000 };
        ConfError error = { "" };
        PolicyBook book;
        Subject *subject;
        int r;

        policy_book_init(&book, false, &accounts);
        r = policy_book_begin_file(&book, "50-fuzz.policy");
        if (r == 0)
                r = policy_book_read(&book, (const char *)data, n_data, "fuzz", &error);
        if (r == 0)
                r = policy_book_finish(&book, &error);
        assert(r <= 0 || (r == CONF_E_BAD && strncmp(error.text, "fuzz:", 5) == 0));
        if (r == 0 && book.n_files == 1 && subject_words(book.n_traits) <= 4096) {
                bits[1] = policy_file_fits(book.files, &creds, &key);
                subject = subject_new(NULL, &book, bits, 2 + subject_words(book.n_traits));
                if (subject)
                        ask(subject);
                (void)subject_free(subject);
        }
        policy_book_done(&book);
        return 0;
}
