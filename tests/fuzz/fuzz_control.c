/* SPDX-License-Identifier: Apache-2.0 */

/* A control word that is accepted is the encoding of what was read. */

#include "libcore/control.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_data) {
        uint8_t *again;
        Control c;

        if (control_decode(data, n_data, &c) != 0)
                return 0;
        assert(CONTROL_HEAD_SIZE + c.n_body == n_data && control_code_text(c.code));
        again = malloc(n_data);
        assert(again);
        control_encode(&c, again);
        assert(memcmp(again, data, n_data) == 0);
        free(again);
        return 0;
}
