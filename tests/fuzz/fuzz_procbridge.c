/* SPDX-License-Identifier: Apache-2.0 */

/* A packet in pieces is the packet as a whole, and what was read from a body and written again is read as
 * the same. */

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "libcore/util.h"
#include "procbridge/body.h"
#include "procbridge/packet.h"
#include "tests/fuzz/fuzz.h"

#define BODY_MAX 65536

/* Feeds @piece bytes at a time; returns what pb_reader_fed() said last. */
static int feed(PbReader *reader, const uint8_t *data, size_t n, size_t piece) {
        int r = PB_E_MORE;

        for (size_t at = 0, taken; at < n && r == PB_E_MORE; at += taken) {
                uint8_t *room;
                size_t n_room;

                if (pb_reader_room(reader, &room, &n_room) != 0)
                        abort();
                taken = MIN(MIN(n_room, piece), n - at);
                memcpy(room, data + at, taken);
                r = pb_reader_fed(reader, taken);
        }
        return r;
}

static void try_request(PbVersion version, const uint8_t *body, size_t n) {
        BodyRequest request, again;
        Text text = { 0 };
        char *bytes;
        size_t n_bytes;

        if (body_read_request(version, body, n, &request) != 0)
                return;
        body_put_request(&text, request.method, request.payload);
        bytes = text_take(&text, &n_bytes);
        assert(bytes && body_read_request(PB_1_1, bytes, n_bytes, &again) == 0);
        assert(!request.method == !again.method);
        assert(!request.method || strcmp(request.method, again.method) == 0);
        assert(request.payload.n == again.payload.n);
        assert(request.payload.n == 0 ||
               memcmp(request.payload.data, again.payload.data, again.payload.n) == 0);
        free(request.method);
        free(again.method);
        free(bytes);
}

static void try_answer(PbVersion version, const uint8_t *body, size_t n) {
        JsonText payload, payload_again;
        char *message, *again, *bytes;
        Text text = { 0 };
        size_t n_bytes;

        if (body_read_good(version, body, n, &payload) == 0 &&
            body_put_good(&text, version, payload) == 0) {
                bytes = text_take(&text, &n_bytes);
                assert(bytes && body_read_good(version, bytes, n_bytes, &payload_again) == 0);
                assert(!payload.data || payload.n == payload_again.n);
                free(bytes);
        }
        text_done(&text);
        if (body_read_bad(version, body, n, &message) == 0) {
                body_put_bad(&text, version, message, strlen(message));
                bytes = text_take(&text, &n_bytes);
                assert(bytes && body_read_bad(version, bytes, n_bytes, &again) == 0);
                assert(strcmp(message, again) == 0);
                free(again);
                free(message);
                free(bytes);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_data) {
        Budget budget = { .max = SIZE_MAX };
        PbReader whole, pieces;
        int r;

        pb_reader_init(&whole, BODY_MAX, &budget);
        pb_reader_init(&pieces, BODY_MAX, &budget);
        r = feed(&whole, data, n_data, SIZE_MAX);
        assert(feed(&pieces, data, n_data, 1) == r);
        if (r == 0) {
                PbVersion version = (PbVersion)whole.header.version;
                const uint8_t *body = pb_reader_body(&whole);
                size_t n = whole.header.n_body;

                assert(memcmp(body, pb_reader_body(&pieces), n) == 0);
                try_request(version, body, n);
                try_answer(version, body, n);
        }
        pb_reader_done(&whole);
        pb_reader_done(&pieces);
        assert(budget.used == 0);
        return 0;
}
