/* SPDX-License-Identifier: Apache-2.0 */

/* What is read as the name of a process says the same again when it is written and read. */

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "libsecure/key.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_data) {
        char *text = malloc(n_data + 1), full[KEY_TEXT_SIZE], tagged[PID_TAGGED_SIZE];
        KeyText first, again;

        if (!text)
                return 0;
        if (n_data > 0)
                memcpy(text, data, n_data);
        text[n_data] = '\0';
        if (key_text_parse(text, &first) == 0) {
                if (first.form == KEY_FORM_FULL) {
                        assert(address_equal(first.address, key_hash(&first.key).address));
                        (void)key_format(&first.key, full);
                        assert(strlen(full) == KEY_TEXT_SIZE - 1);
                        assert(key_text_parse(full, &again) == 0 && again.form == KEY_FORM_FULL);
                        assert(key_equal(&first.key, &again.key));
                } else {
                        assert(key_is_zero(&first.key));
                        (void)address_format(first.address, tagged);
                        assert(key_text_parse(tagged, &again) == 0);
                }
                assert(address_equal(first.address, again.address));
        }
        free(text);
        return 0;
}
