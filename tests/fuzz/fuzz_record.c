/* SPDX-License-Identifier: Apache-2.0 */

/* A record that is accepted is the encoding of what was read, and points into what was read. */

#include "libcore/record.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"

static void check_extensions(const RecordMessage *m) {
        for (unsigned type = 0; type < 256; type++) {
                size_t n = 0;
                const uint8_t *p =
                        record_extension(m->extensions, m->n_extensions, (uint8_t)type, &n);

                assert(!p || (p >= m->extensions && n <= m->n_extensions &&
                              p + n <= m->extensions + m->n_extensions));
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_data) {
        size_t at = 0;
        Record r;
        int c;

        assert(record_unpadded_size(data, n_data) <= n_data);
        do {
                size_t before = at;

                c = record_decode(data, n_data, &at, &r);
                assert(at <= n_data);
                if (c == RECORD_E_UNSUPPORTED)
                        assert(at > before && at - before == r.size);
                if (c == 0) {
                        uint8_t *again = malloc(r.size);

                        assert(again && at - before == r.size && record_size(&r) == r.size);
                        record_encode(&r, again);
                        assert(memcmp(again, data + before, r.size) == 0);
                        free(again);
                        if (r.type == RECORD_MSG)
                                check_extensions(&r.message);
                }
        } while (c == 0 || c == RECORD_E_UNSUPPORTED);
        return 0;
}
