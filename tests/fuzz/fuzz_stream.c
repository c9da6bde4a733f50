/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Bytes in pieces of any size, a lent buffer or not: the frames that come out are, one after the
 * other, exactly the bytes that went in. Input: n pieces' sizes (1 byte each, up to a zero), then
 * the bytes.
 */

#include <assert.h>
#include <string.h>

#include "libcore/stream.h"
#include "tests/fuzz/fuzz.h"

static uint8_t lent[FRAME_SIZE_MAX + STREAM_READ_SIZE];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_data) {
        size_t n_steps = 0, i = 0, fed = 0, popped = 0, n;
        Stream *s = NULL;
        StreamFrame frame;
        int c = STREAM_E_EMPTY;

        while (n_steps < n_data && data[n_steps] != 0)
                n_steps++;
        n = n_steps < n_data ? n_data - n_steps - 1 : 0;
        if (n_steps == 0 || n == 0 || stream_new(&s) < 0)
                return 0;

        for (; fed < n && c == STREAM_E_EMPTY; i++) {
                const uint8_t *bytes = data + n_steps + 1;
                size_t step = data[i % n_steps], n_room;
                uint8_t *room;

                step = MIN(step, n - fed);
                if (i % 3 == 1)
                        stream_lend(s, lent, sizeof(lent));
                if (stream_input(s, &room, &n_room) < 0)
                        break;
                assert(n_room >= step);
                memcpy(room, bytes + fed, step);
                fed += step;
                assert(stream_fed(s, step, NULL, 0) == 0);
                while ((c = stream_pop(s, &frame)) == 0) {
                        assert(frame.prefix.n_fds == 0 && frame.size <= FRAME_SIZE_MAX);
                        assert(memcmp(frame.data, bytes + popped, frame.size) == 0);
                        popped += frame.size;
                }
                assert(c == STREAM_E_EMPTY || c == STREAM_E_VIOLATION);
                assert(stream_input_size(s) == fed - popped);
                if (stream_settle(s) < 0)
                        break;
                assert(stream_input_size(s) == fed - popped);
        }
        stream_free(s);
        return 0;
}
