/* SPDX-License-Identifier: Apache-2.0 */

/* What is accepted as a call or its answer can be said again, and means the same then. */

#include "libcall/envelope.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"

static void say_again(const Envelope *envelope, int is_request) {
        char why[ENVELOPE_WHY_SIZE], *text;
        Envelope again = { 0 };
        size_t n;

        if (is_request && !envelope->method)
                return;
        text = is_request ? envelope_encode_request(envelope->method,
                                                    json_incref(envelope->payload), &n)
                          : envelope_encode_answer(json_incref(envelope->payload), &n);
        assert(text && n == strlen(text));
        if (is_request)
                assert(envelope_decode_request(text, n, &again, why) == 0);
        else
                assert(envelope_decode_answer(text, n, &again, why) == 0);
        assert(json_equal(again.payload, envelope->payload));
        assert(!is_request || strcmp(again.method, envelope->method) == 0);
        envelope_done(&again);
        free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_data) {
        char why[ENVELOPE_WHY_SIZE];
        Envelope envelope = { 0 };
        int r;

        r = envelope_decode_request(data, n_data, &envelope, why);
        assert(r == 0 || strlen(why) < sizeof(why));
        if (r == 0)
                say_again(&envelope, 1);
        envelope_done(&envelope);
        if (envelope_decode_answer(data, n_data, &envelope, why) == 0)
                say_again(&envelope, 0);
        envelope_done(&envelope);
        return 0;
}
